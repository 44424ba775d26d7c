/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Linux/x86 boot protocol 2.12 and later (kernel documentation, arch/x86/boot): the 64-bit entry. */
#include "vmm/boot/image-private.h"

#include <string.h>

#define SECTOR           512
#define MIN_VERSION      0x020c
#define HEADER_START     0x1f1
#define HEADER_MAGIC     0x202
#define HEADER_LIMIT     0x290 /* boot_params goes on with other things */
#define PAYLOAD_SLACK    16    /* syssize counts paragraphs */
#define ENTRY_64         0x200
#define BOOT_PARAMS_SIZE 4096

/* Offsets in the file's setup header, and in boot_params. */
enum
{
  SETUP_SECTS = 0x1f1,
  SYSSIZE = 0x1f4,
  BOOT_FLAG = 0x1fe,
  HEADER_END = 0x201,
  VERSION = 0x206,
  TYPE_OF_LOADER = 0x210,
  LOADFLAGS = 0x211,
  RAMDISK_IMAGE = 0x218,
  RAMDISK_SIZE = 0x21c,
  CMD_LINE_PTR = 0x228,
  INITRD_ADDR_MAX = 0x22c,
  KERNEL_ALIGNMENT = 0x230,
  RELOCATABLE = 0x234,
  XLOADFLAGS = 0x236,
  CMDLINE_SIZE = 0x238,
  PREF_ADDRESS = 0x258,
  INIT_SIZE = 0x260,
  /* boot_params only */
  ACPI_RSDP_ADDR = 0x070,
  E820_ENTRIES = 0x1e8,
  E820_TABLE = 0x2d0,
};

#define LOADED_HIGH     (1 << 0)
#define XLF_KERNEL_64   (1 << 0)
#define LOADER_UNKNOWN  0xff
#define E820_MAX        128
#define E820_ENTRY_SIZE 20

static guint64
header_get (VmmBootImage *image, guint offset, guint n)
{
  return vmm_boot_le (image->linux_header + (offset - HEADER_START), n);
}

static VmmBootProbe
fault (VmmBootImage *image, GError **error, const char *what)
{
  vmm_boot_invalid (image, error, "%s", what);
  return VMM_BOOT_PROBE_ERROR;
}

static VmmBootProbe
unsupported (VmmBootImage *image, GError **error, const char *what)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "kernel “%s” %s; start it through firmware, from a disk", image->kernel.path, what);
  return VMM_BOOT_PROBE_ERROR;
}

static VmmBootProbe
probe (VmmBootImage *image, GError **error)
{
  const guint8 *head = image->head;
  guint64 align;
  gsize end;

  if (image->head_size < HEADER_LIMIT || vmm_boot_le (head + BOOT_FLAG, 2) != 0xaa55 ||
      memcmp (head + HEADER_MAGIC, "HdrS", 4) != 0)
    return VMM_BOOT_PROBE_NO;
  if (vmm_boot_le (head + VERSION, 2) < MIN_VERSION)
    return unsupported (image, error, "is too old for direct start (Linux 3.8 at least)");
  if ((vmm_boot_le (head + LOADFLAGS, 1) & LOADED_HIGH) == 0)
    return unsupported (image, error, "is a zImage, which only firmware can start");
  if ((vmm_boot_le (head + XLOADFLAGS, 2) & XLF_KERNEL_64) == 0)
    return unsupported (image, error, "is a 32-bit kernel");

  end = HEADER_MAGIC + head[HEADER_END];
  if (end < INIT_SIZE + 4 || end > HEADER_LIMIT)
    return fault (image, error, "has a setup header of an impossible length: the file is damaged");
  image->linux_header_size = end - HEADER_START;
  memcpy (image->linux_header, head + HEADER_START, image->linux_header_size);

  image->linux_setup_size =
      (header_get (image, SETUP_SECTS, 1) == 0 ? 5 : header_get (image, SETUP_SECTS, 1) + 1) *
      SECTOR;
  image->linux_payload_size = header_get (image, SYSSIZE, 4) * 16;
  if (image->kernel.size <= image->linux_setup_size ||
      image->kernel.size - image->linux_setup_size + PAYLOAD_SLACK < image->linux_payload_size)
    return fault (image, error, "is truncated: copy it again, or install its package again");
  /* Signatures and padding behind the payload are not part of it, but do no harm. */
  image->linux_payload_size = image->kernel.size - image->linux_setup_size;
  if (image->linux_payload_size <= ENTRY_64)
    return fault (image, error, "has no 64-bit entry: the file is damaged");

  align = header_get (image, KERNEL_ALIGNMENT, 4);
  if (align == 0 || (align & (align - 1)) != 0 || header_get (image, INIT_SIZE, 4) == 0)
    return fault (image, error, "has a damaged setup header");
  if (strlen (image->cmdline) > MAX (header_get (image, CMDLINE_SIZE, 4), 255))
    return fault (image, error, "takes a shorter command line only: shorten it");
  return VMM_BOOT_PROBE_YES;
}

/* Where the kernel runs: where it prefers to, else, if it can move, as low as its alignment lets it.
 * init_size counts from there. */
static gboolean
choose_address (VmmBootLoad *load, guint64 *ret_base, guint64 *ret_end, GError **error)
{
  VmmBootImage *image = load->image;
  guint64 size = MAX (header_get (image, INIT_SIZE, 4), image->linux_payload_size);
  guint64 align = header_get (image, KERNEL_ALIGNMENT, 4);
  guint64 base = header_get (image, PREF_ADDRESS, 8);

  if (base < 0x100000 || base > load->low_end || load->low_end - base < size)
    {
      if (header_get (image, RELOCATABLE, 1) == 0)
        return vmm_boot_no_room (load, error, "the kernel", size);
      base = (0x100000 + align - 1) & ~(align - 1);
      if (base > load->low_end || load->low_end - base < size)
        return vmm_boot_no_room (load, error, "the kernel", base + size);
    }
  *ret_base = base;
  *ret_end = base + size;
  return TRUE;
}

/* 6 pages: the root, four gigabytes of 2 MiB pages. */
static gboolean
write_page_tables (VmmBootLoad *load, GError **error)
{
  g_autofree guint8 *tables = g_malloc0 (6 * 4096);

  vmm_boot_put_le (tables, (VMM_BOOT_PAGE_TABLES + 4096) | 3, 8);
  for (guint i = 0; i < 4; i++)
    vmm_boot_put_le (tables + 4096 + 8 * i, (VMM_BOOT_PAGE_TABLES + (2 + i) * 4096) | 3, 8);
  for (guint i = 0; i < 4 * 512; i++)
    vmm_boot_put_le (tables + 2 * 4096 + 8 * i, (guint64)i << 21 | 0x83, 8);
  load->entry->page_table = VMM_BOOT_PAGE_TABLES;
  return vmm_boot_write (load, VMM_BOOT_PAGE_TABLES, tables, 6 * 4096, error);
}

static gboolean
load_linux (VmmBootLoad *load, GError **error)
{
  VmmBootImage *image = load->image;
  g_autofree guint8 *params = g_malloc0 (BOOT_PARAMS_SIZE);
  g_autoptr (GBytes) e820 = vmm_e820_to_bytes (&load->map);
  guint64 base, end, initrd;

  if (!choose_address (load, &base, &end, error) ||
      !vmm_boot_file_to_guest (load, &image->kernel, image->linux_setup_size, base,
                               image->linux_payload_size, error) ||
      !vmm_boot_load_initrd (load, end, header_get (image, INITRD_ADDR_MAX, 4), &initrd, error) ||
      !write_page_tables (load, error))
    return FALSE;

  memcpy (params + HEADER_START, image->linux_header, image->linux_header_size);
  params[TYPE_OF_LOADER] = LOADER_UNKNOWN;
  vmm_boot_put_le (params + CMD_LINE_PTR, VMM_BOOT_STRINGS, 4);
  if (initrd != 0)
    {
      vmm_boot_put_le (params + RAMDISK_IMAGE, initrd, 4);
      vmm_boot_put_le (params + RAMDISK_SIZE, image->modules[0].file.size, 4);
    }
  vmm_boot_put_le (params + ACPI_RSDP_ADDR, load->rsdp.value, 8);
  G_STATIC_ASSERT (VMM_E820_MAX_ENTRIES <= E820_MAX);
  params[E820_ENTRIES] = (guint8)load->map.n_entries;
  memcpy (params + E820_TABLE, g_bytes_get_data (e820, NULL),
          load->map.n_entries * E820_ENTRY_SIZE);

  load->entry->kind = VMM_ENTRY_LINUX64;
  load->entry->rip = base + ENTRY_64;
  load->entry->info = VMM_BOOT_INFO;
  return vmm_boot_write (load, VMM_BOOT_STRINGS, image->cmdline, strlen (image->cmdline) + 1,
                         error) &&
         vmm_boot_write (load, VMM_BOOT_INFO, params, BOOT_PARAMS_SIZE, error);
}

const VmmBootLoader vmm_boot_linux = {
  .protocol = VMM_BOOT_LINUX,
  .probe = probe,
  .load = load_linux,
};
