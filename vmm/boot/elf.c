/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ELF executables of either class (System V ABI, chapters 4 and 5), as far as loading needs. */
#include "vmm/boot/image-private.h"

#include <elf.h>
#include <string.h>

#define MAX_PROGRAM_HEADERS 64
#define MAX_NOTES           65536 /* bytes of one note segment that are looked at */

typedef struct
{
  guint32 type;
  guint64 offset, paddr, filesz, memsz;
} Header;

static Header
parse_header (const guint8 *data, gboolean is_64)
{
  Header h;

  h.type = (guint32)vmm_boot_le (data, 4);
  if (is_64)
    {
      h.offset = vmm_boot_le (data + G_STRUCT_OFFSET (Elf64_Phdr, p_offset), 8);
      h.paddr = vmm_boot_le (data + G_STRUCT_OFFSET (Elf64_Phdr, p_paddr), 8);
      h.filesz = vmm_boot_le (data + G_STRUCT_OFFSET (Elf64_Phdr, p_filesz), 8);
      h.memsz = vmm_boot_le (data + G_STRUCT_OFFSET (Elf64_Phdr, p_memsz), 8);
    }
  else
    {
      h.offset = vmm_boot_le (data + G_STRUCT_OFFSET (Elf32_Phdr, p_offset), 4);
      h.paddr = vmm_boot_le (data + G_STRUCT_OFFSET (Elf32_Phdr, p_paddr), 4);
      h.filesz = vmm_boot_le (data + G_STRUCT_OFFSET (Elf32_Phdr, p_filesz), 4);
      h.memsz = vmm_boot_le (data + G_STRUCT_OFFSET (Elf32_Phdr, p_memsz), 4);
    }
  return h;
}

/* A note: name size, description size, type, name, description, each padded to 4 bytes. */
static void
walk_notes (VmmBootImage *image, const guint8 *data, gsize length, VmmBootNoteFunc note)
{
  while (length >= 12)
    {
      guint64 name_size = vmm_boot_le (data, 4), desc_size = vmm_boot_le (data + 4, 4);
      guint32 type = (guint32)vmm_boot_le (data + 8, 4);
      guint64 desc_at = 12 + ((name_size + 3) & ~G_GUINT64_CONSTANT (3));
      guint64 next = desc_at + ((desc_size + 3) & ~G_GUINT64_CONSTANT (3));
      g_autofree char *name = NULL;

      if (desc_at > length || desc_size > length - desc_at)
        return;
      name = g_strndup ((const char *)data + 12, name_size);
      note (image, name, type, data + desc_at, desc_size);
      if (next >= length)
        return;
      data += next;
      length -= next;
    }
}

static gboolean
add_segment (VmmBootImage *image, const Header *h, GError **error)
{
  if (h->memsz == 0)
    return TRUE;
  if (h->filesz > h->memsz || h->offset > image->kernel.size ||
      h->filesz > image->kernel.size - h->offset)
    return vmm_boot_invalid (image, error,
                             "is damaged: a program header reaches past the end of the file");
  if (h->paddr >= G_GUINT64_CONSTANT (1) << 32 ||
      h->memsz > (G_GUINT64_CONSTANT (1) << 32) - h->paddr)
    return vmm_boot_invalid (image, error, "wants to be loaded above 4 GiB, which is not possible");
  if (image->n_segments == VMM_BOOT_MAX_SEGMENTS)
    return vmm_boot_invalid (image, error, "has more than %d segments", VMM_BOOT_MAX_SEGMENTS);
  image->segments[image->n_segments++] =
      (VmmBootSegment){ h->offset, h->filesz, h->paddr, h->memsz };
  return TRUE;
}

static gboolean
read_notes (VmmBootImage *image, const Header *h, VmmBootNoteFunc note, GError **error)
{
  g_autofree guint8 *data = NULL;
  gsize length = MIN (h->filesz, MAX_NOTES);

  if (h->offset > image->kernel.size || h->filesz > image->kernel.size - h->offset)
    return vmm_boot_invalid (image, error, "is damaged: its notes reach past the end of the file");
  data = g_malloc (length + 1);
  if (!vmm_boot_file_read (&image->kernel, h->offset, data, length, error))
    return FALSE;
  walk_notes (image, data, length, note);
  return TRUE;
}

gboolean
vmm_boot_elf_parse (VmmBootImage *image, VmmBootNoteFunc note, GError **error)
{
  const guint8 *head = image->head;
  gboolean is_64;
  guint64 offset, entry_size, n_headers, machine;
  g_autofree guint8 *table = NULL;

  if (image->head_size < sizeof (Elf64_Ehdr) || memcmp (head, ELFMAG, SELFMAG) != 0)
    return vmm_boot_invalid (image, error, "is no ELF file");
  is_64 = head[EI_CLASS] == ELFCLASS64;
  machine = vmm_boot_le (head + G_STRUCT_OFFSET (Elf64_Ehdr, e_machine), 2);
  if ((!is_64 && head[EI_CLASS] != ELFCLASS32) || head[EI_DATA] != ELFDATA2LSB ||
      (machine != EM_386 && machine != EM_X86_64))
    return vmm_boot_invalid (image, error, "is an ELF file for another kind of processor");
  if (is_64)
    {
      image->entry = vmm_boot_le (head + G_STRUCT_OFFSET (Elf64_Ehdr, e_entry), 8);
      offset = vmm_boot_le (head + G_STRUCT_OFFSET (Elf64_Ehdr, e_phoff), 8);
      entry_size = vmm_boot_le (head + G_STRUCT_OFFSET (Elf64_Ehdr, e_phentsize), 2);
      n_headers = vmm_boot_le (head + G_STRUCT_OFFSET (Elf64_Ehdr, e_phnum), 2);
    }
  else
    {
      image->entry = vmm_boot_le (head + G_STRUCT_OFFSET (Elf32_Ehdr, e_entry), 4);
      offset = vmm_boot_le (head + G_STRUCT_OFFSET (Elf32_Ehdr, e_phoff), 4);
      entry_size = vmm_boot_le (head + G_STRUCT_OFFSET (Elf32_Ehdr, e_phentsize), 2);
      n_headers = vmm_boot_le (head + G_STRUCT_OFFSET (Elf32_Ehdr, e_phnum), 2);
    }
  if (n_headers == 0 || n_headers > MAX_PROGRAM_HEADERS ||
      entry_size != (is_64 ? sizeof (Elf64_Phdr) : sizeof (Elf32_Phdr)) ||
      offset > image->kernel.size || n_headers * entry_size > image->kernel.size - offset)
    return vmm_boot_invalid (image, error, "is damaged: its program headers are not in the file");

  table = g_malloc (n_headers * entry_size);
  if (!vmm_boot_file_read (&image->kernel, offset, table, n_headers * entry_size, error))
    return FALSE;
  image->n_segments = 0;
  for (guint64 i = 0; i < n_headers; i++)
    {
      Header h = parse_header (table + i * entry_size, is_64);

      if (h.type == PT_LOAD && !add_segment (image, &h, error))
        return FALSE;
      if (h.type == PT_NOTE && note != NULL && !read_notes (image, &h, note, error))
        return FALSE;
    }
  if (image->n_segments == 0)
    return vmm_boot_invalid (image, error, "has nothing to load: it is no kernel");
  return TRUE;
}
