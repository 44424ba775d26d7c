/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ELF kernels with a PVH entry (Xen, docs/misc/pvh: start of day ABI; start_info version 1). */
#include "vmm/boot/image-private.h"

#include <elf.h>
#include <string.h>

#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define START_INFO_MAGIC  0x336ec578
#define START_INFO_SIZE   56
#define MODULE_SIZE       32
#define MAP_ENTRY_SIZE    24
#define NO_ENTRY          G_MAXUINT64

static void
note (VmmBootImage *image, const char *name, guint32 type, const guint8 *desc, gsize length)
{
  if (type == NOTE_PHYS32_ENTRY && g_str_equal (name, "Xen") && (length == 4 || length == 8))
    image->pvh_entry = vmm_boot_le (desc, (guint)length);
}

static VmmBootProbe
probe (VmmBootImage *image, GError **error)
{
  if (image->head_size < SELFMAG || memcmp (image->head, ELFMAG, SELFMAG) != 0)
    return VMM_BOOT_PROBE_NO;
  image->pvh_entry = NO_ENTRY;
  if (!vmm_boot_elf_parse (image, note, error))
    return VMM_BOOT_PROBE_ERROR;
  if (image->pvh_entry > G_MAXUINT32)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "kernel “%s” is an ELF file without a PVH entry; build it with CONFIG_PVH=y, or "
                   "use its bzImage",
                   image->kernel.path);
      return VMM_BOOT_PROBE_ERROR;
    }
  image->entry = image->pvh_entry;
  return VMM_BOOT_PROBE_YES;
}

static gboolean
load_pvh (VmmBootLoad *load, GError **error)
{
  VmmBootImage *image = load->image;
  guint8 info[START_INFO_SIZE] = { 0 }, module[MODULE_SIZE] = { 0 };
  guint8 map[VMM_E820_MAX_ENTRIES * MAP_ENTRY_SIZE] = { 0 };
  guint64 end, initrd;

  G_STATIC_ASSERT (MODULE_SIZE + sizeof map <= VMM_BOOT_LISTS_END - VMM_BOOT_LISTS);
  if (!vmm_boot_load_segments (load, &end, error) ||
      !vmm_boot_load_initrd (load, MAX (end, 0x100000), G_MAXUINT32, &initrd, error))
    return FALSE;
  for (guint i = 0; i < load->map.n_entries; i++)
    {
      vmm_boot_put_le (map + i * MAP_ENTRY_SIZE, load->map.entries[i].base, 8);
      vmm_boot_put_le (map + i * MAP_ENTRY_SIZE + 8, load->map.entries[i].length, 8);
      vmm_boot_put_le (map + i * MAP_ENTRY_SIZE + 16, load->map.entries[i].type, 4);
    }
  vmm_boot_put_le (info, START_INFO_MAGIC, 4);
  vmm_boot_put_le (info + 4, 1, 4);
  if (initrd != 0)
    {
      vmm_boot_put_le (info + 12, 1, 4);
      vmm_boot_put_le (info + 16, VMM_BOOT_LISTS, 8);
      vmm_boot_put_le (module, initrd, 8);
      vmm_boot_put_le (module + 8, image->modules[0].file.size, 8);
    }
  vmm_boot_put_le (info + 24, VMM_BOOT_STRINGS, 8);
  vmm_boot_put_le (info + 32, load->rsdp.value, 8);
  vmm_boot_put_le (info + 40, VMM_BOOT_LISTS + MODULE_SIZE, 8);
  vmm_boot_put_le (info + 48, load->map.n_entries, 4);

  load->entry->kind = VMM_ENTRY_PVH;
  load->entry->rip = image->entry;
  load->entry->info = VMM_BOOT_INFO;
  return vmm_boot_write (load, VMM_BOOT_LISTS, module, sizeof module, error) &&
         vmm_boot_write (load, VMM_BOOT_LISTS + MODULE_SIZE, map, sizeof map, error) &&
         vmm_boot_write (load, VMM_BOOT_STRINGS, image->cmdline, strlen (image->cmdline) + 1,
                         error) &&
         vmm_boot_write (load, VMM_BOOT_INFO, info, sizeof info, error);
}

const VmmBootLoader vmm_boot_pvh = {
  .protocol = VMM_BOOT_PVH,
  .probe = probe,
  .load = load_pvh,
};
