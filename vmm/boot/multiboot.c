/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Multiboot 0.6.96 ("multiboot 1"): ELF images and images described by their own header. */
#include "vmm/boot/image-private.h"

#include <string.h>

#define HEADER_MAGIC 0x1badb002
#define SEARCH_LIMIT 8192 /* 3.1: the header lies in the first 8192 bytes, 4-byte aligned */
#define INFO_SIZE    120
#define MODULE_SIZE  16
#define MAP_ENTRY    24
#define LOWER_KIB    639
#define KNOWN_FLAGS  0x7 /* of the 16 that a loader must understand or refuse */
#define FLAG_ADDRESS (1 << 16)
#define BOOT_LOADER  "Alcove"

/* 3.3: which parts of the information are there. */
enum
{
  INFO_MEMORY = 1 << 0,
  INFO_BOOT_DEVICE = 1 << 1,
  INFO_CMDLINE = 1 << 2,
  INFO_MODS = 1 << 3,
  INFO_MMAP = 1 << 6,
  INFO_LOADER_NAME = 1 << 9,
};

/* Offset of a valid header, or -1. */
static gssize
find_header (VmmBootImage *image)
{
  gsize limit = MIN (image->head_size, SEARCH_LIMIT);

  for (gsize i = 0; i + 12 <= limit; i += 4)
    {
      guint32 flags = (guint32)vmm_boot_le (image->head + i + 4, 4);
      guint32 checksum = (guint32)vmm_boot_le (image->head + i + 8, 4);

      if (vmm_boot_le (image->head + i, 4) == HEADER_MAGIC && HEADER_MAGIC + flags + checksum == 0)
        return (gssize)i;
    }
  return -1;
}

/* 3.1.3: the address fields, for images that are not ELF. */
static gboolean
parse_addresses (VmmBootImage *image, gsize at, GError **error)
{
  const guint8 *h = image->head + at;
  guint64 header, load, load_end, bss_end, offset, size, mem_size;

  if (at + 32 > image->head_size)
    return vmm_boot_invalid (image, error, "is truncated: its multiboot header is not complete");
  header = vmm_boot_le (h + 12, 4);
  load = vmm_boot_le (h + 16, 4);
  load_end = vmm_boot_le (h + 20, 4);
  bss_end = vmm_boot_le (h + 24, 4);
  image->entry = vmm_boot_le (h + 28, 4);
  if (header < load || header - load > at)
    return vmm_boot_invalid (image, error,
                             "has a multiboot header whose load address lies before the file");
  offset = at - (header - load);
  size = image->kernel.size - offset;
  if (load_end != 0)
    {
      if (load_end <= load || load_end - load > size)
        return vmm_boot_invalid (
            image, error,
            "is truncated: its multiboot header says that more is to be loaded "
            "than the file holds");
      size = load_end - load;
    }
  mem_size = size;
  if (bss_end != 0)
    {
      if (bss_end < load || bss_end - load < size)
        return vmm_boot_invalid (image, error,
                                 "has a multiboot header whose bss ends before its data");
      mem_size = bss_end - load;
    }
  if (mem_size > (G_GUINT64_CONSTANT (1) << 32) - load)
    return vmm_boot_invalid (image, error, "does not fit below 4 GiB");
  image->n_segments = 1;
  image->segments[0] = (VmmBootSegment){ offset, size, load, mem_size };
  return TRUE;
}

static VmmBootProbe
probe (VmmBootImage *image, GError **error)
{
  gssize at = find_header (image);
  guint32 flags;

  if (at < 0)
    return VMM_BOOT_PROBE_NO;
  flags = (guint32)vmm_boot_le (image->head + at + 4, 4);
  if ((flags & 0xffff & ~(guint32)KNOWN_FLAGS) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "kernel “%s” asks for multiboot features that are not known (flags 0x%x)",
                   image->kernel.path, flags);
      return VMM_BOOT_PROBE_ERROR;
    }
  if ((flags & FLAG_ADDRESS) != 0 ? !parse_addresses (image, (gsize)at, error)
                                  : !vmm_boot_elf_parse (image, NULL, error))
    return VMM_BOOT_PROBE_ERROR;
  if (image->entry > G_MAXUINT32)
    {
      vmm_boot_invalid (image, error, "has an entry above 4 GiB, which multiboot cannot start");
      return VMM_BOOT_PROBE_ERROR;
    }
  return VMM_BOOT_PROBE_YES;
}

/* Appends a string to the strings area. Returns its address, 0 when full. */
static guint32
add_string (GByteArray *strings, const char *a, const char *b)
{
  guint32 address = VMM_BOOT_STRINGS + strings->len;
  gsize length = strlen (a) + (b != NULL ? 1 + strlen (b) : 0) + 1;

  if (length > VMM_BOOT_MAX_CMDLINE - strings->len)
    return 0;
  g_byte_array_append (strings, (const guint8 *)a, (guint)strlen (a));
  if (b != NULL)
    {
      g_byte_array_append (strings, (const guint8 *)" ", 1);
      g_byte_array_append (strings, (const guint8 *)b, (guint)strlen (b));
    }
  g_byte_array_append (strings, (const guint8 *)"", 1);
  return address;
}

/* Modules lie behind the kernel, on page boundaries. */
static gboolean
load_modules (VmmBootLoad *load, guint64 at, guint8 *list, GByteArray *strings, GError **error)
{
  VmmBootImage *image = load->image;

  for (guint i = 0; i < image->n_modules; i++)
    {
      const VmmBootFile *file = &image->modules[i].file;
      guint8 *entry = list + i * MODULE_SIZE;
      guint32 string = add_string (strings, image->modules[i].string, NULL);

      at = (at + 0xfff) & ~G_GUINT64_CONSTANT (0xfff);
      if (at > load->low_end || file->size > load->low_end - at)
        return vmm_boot_no_room (load, error, "a module", at + file->size);
      if (string == 0)
        return vmm_boot_invalid (image, error, "is given more words than fit; shorten them");
      if (!vmm_boot_file_to_guest (load, file, 0, at, file->size, error))
        return FALSE;
      vmm_boot_put_le (entry, at, 4);
      vmm_boot_put_le (entry + 4, at + file->size, 4);
      vmm_boot_put_le (entry + 8, string, 4);
      at += file->size;
    }
  return TRUE;
}

static gboolean
load_multiboot (VmmBootLoad *load, GError **error)
{
  VmmBootImage *image = load->image;
  guint8 info[INFO_SIZE] = { 0 };
  guint8 modules[VMM_BOOT_MAX_MODULES * MODULE_SIZE] = { 0 };
  guint8 map[VMM_E820_MAX_ENTRIES * MAP_ENTRY] = { 0 };
  g_autoptr (GByteArray) strings = g_byte_array_new ();
  guint32 flags = INFO_MEMORY | INFO_BOOT_DEVICE | INFO_CMDLINE | INFO_MMAP | INFO_LOADER_NAME;
  guint32 cmdline, name;
  guint64 end;

  G_STATIC_ASSERT (sizeof modules + sizeof map <= VMM_BOOT_LISTS_END - VMM_BOOT_LISTS);
  /* The first word of the command line is the kernel's name, as boot loaders give it. */
  name = add_string (strings, BOOT_LOADER, NULL);
  cmdline =
      add_string (strings, image->kernel.path, image->cmdline[0] != '\0' ? image->cmdline : NULL);
  if (cmdline == 0)
    return vmm_boot_invalid (image, error, "is given too long a command line; shorten it");
  if (!vmm_boot_load_segments (load, &end, error) ||
      !load_modules (load, MAX (end, 0x100000), modules, strings, error))
    return FALSE;
  for (guint i = 0; i < load->map.n_entries; i++)
    {
      vmm_boot_put_le (map + i * MAP_ENTRY, MAP_ENTRY - 4, 4);
      vmm_boot_put_le (map + i * MAP_ENTRY + 4, load->map.entries[i].base, 8);
      vmm_boot_put_le (map + i * MAP_ENTRY + 12, load->map.entries[i].length, 8);
      vmm_boot_put_le (map + i * MAP_ENTRY + 20, load->map.entries[i].type, 4);
    }

  if (image->n_modules > 0)
    flags |= INFO_MODS;
  vmm_boot_put_le (info, flags, 4);
  vmm_boot_put_le (info + 4, LOWER_KIB, 4);
  vmm_boot_put_le (info + 8, (load->low_end - 0x100000) / 1024, 4);
  vmm_boot_put_le (info + 12, 0x8000ffff, 4); /* first hard disk, no partition */
  vmm_boot_put_le (info + 16, cmdline, 4);
  vmm_boot_put_le (info + 20, image->n_modules, 4);
  vmm_boot_put_le (info + 24, image->n_modules > 0 ? VMM_BOOT_LISTS : 0, 4);
  vmm_boot_put_le (info + 44, load->map.n_entries * MAP_ENTRY, 4);
  vmm_boot_put_le (info + 48, VMM_BOOT_LISTS + sizeof modules, 4);
  vmm_boot_put_le (info + 64, name, 4);

  load->entry->kind = VMM_ENTRY_MULTIBOOT;
  load->entry->rip = image->entry;
  load->entry->info = VMM_BOOT_INFO;
  return vmm_boot_write (load, VMM_BOOT_LISTS, modules, sizeof modules, error) &&
         vmm_boot_write (load, VMM_BOOT_LISTS + sizeof modules, map, sizeof map, error) &&
         vmm_boot_write (load, VMM_BOOT_STRINGS, strings->data, strings->len, error) &&
         vmm_boot_write (load, VMM_BOOT_INFO, info, sizeof info, error);
}

const VmmBootLoader vmm_boot_multiboot = {
  .protocol = VMM_BOOT_MULTIBOOT,
  .probe = probe,
  .load = load_multiboot,
};
