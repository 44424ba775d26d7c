/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/acpi-loader.h"

#include <string.h>

enum
{
  COMMAND_NONE = 0,
  COMMAND_ALLOCATE = 1,
  COMMAND_ADD_POINTER = 2,
  COMMAND_ADD_CHECKSUM = 3,
  COMMAND_WRITE_POINTER = 4,
};

/* Offsets after the 32-bit command. */
#define NAME_1 4
#define NAME_2 (NAME_1 + VMM_ACPI_LOADER_NAME_SIZE)

static void
put_le (guint8 *out, guint64 value, guint n)
{
  for (guint i = 0; i < n; i++)
    out[i] = (guint8)(value >> (8 * i));
}

static guint64
get_le (const guint8 *in, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)in[i] << (8 * i);
  return value;
}

static void
put_name (guint8 *out, const char *name)
{
  g_assert (strlen (name) < VMM_ACPI_LOADER_NAME_SIZE);
  strcpy ((char *)out, name);
}

static void
append (GByteArray *script, const guint8 entry[VMM_ACPI_LOADER_ENTRY_SIZE])
{
  g_byte_array_append (script, entry, VMM_ACPI_LOADER_ENTRY_SIZE);
}

void
vmm_acpi_loader_allocate (GByteArray *script, const char *file, guint align, VmmAcpiZone zone)
{
  guint8 entry[VMM_ACPI_LOADER_ENTRY_SIZE] = { 0 };

  put_le (entry, COMMAND_ALLOCATE, 4);
  put_name (entry + NAME_1, file);
  put_le (entry + NAME_2, align, 4);
  entry[NAME_2 + 4] = (guint8)zone;
  append (script, entry);
}

void
vmm_acpi_loader_add_pointer (
    GByteArray *script, const char *file, const char *src_file, gsize offset, guint size)
{
  guint8 entry[VMM_ACPI_LOADER_ENTRY_SIZE] = { 0 };

  put_le (entry, COMMAND_ADD_POINTER, 4);
  put_name (entry + NAME_1, file);
  put_name (entry + NAME_2, src_file);
  put_le (entry + NAME_2 + VMM_ACPI_LOADER_NAME_SIZE, offset, 4);
  entry[NAME_2 + VMM_ACPI_LOADER_NAME_SIZE + 4] = (guint8)size;
  append (script, entry);
}

void
vmm_acpi_loader_add_checksum (
    GByteArray *script, const char *file, gsize offset, gsize start, gsize length)
{
  guint8 entry[VMM_ACPI_LOADER_ENTRY_SIZE] = { 0 };

  put_le (entry, COMMAND_ADD_CHECKSUM, 4);
  put_name (entry + NAME_1, file);
  put_le (entry + NAME_2, offset, 4);
  put_le (entry + NAME_2 + 4, start, 4);
  put_le (entry + NAME_2 + 8, length, 4);
  append (script, entry);
}

void
vmm_acpi_loader_write_pointer (GByteArray *script,
                               const char *file,
                               gsize offset,
                               const char *src_file,
                               gsize src_offset,
                               guint size)
{
  guint8 entry[VMM_ACPI_LOADER_ENTRY_SIZE] = { 0 };

  put_le (entry, COMMAND_WRITE_POINTER, 4);
  put_name (entry + NAME_1, file);
  put_name (entry + NAME_2, src_file);
  put_le (entry + NAME_2 + VMM_ACPI_LOADER_NAME_SIZE, offset, 4);
  put_le (entry + NAME_2 + VMM_ACPI_LOADER_NAME_SIZE + 4, src_offset, 4);
  entry[NAME_2 + VMM_ACPI_LOADER_NAME_SIZE + 8] = (guint8)size;
  append (script, entry);
}

static VmmAcpiLoaderFile *
find (const guint8 *name, VmmAcpiLoaderFile *files, guint n_files)
{
  if (memchr (name, 0, VMM_ACPI_LOADER_NAME_SIZE) == NULL)
    return NULL;
  for (guint i = 0; i < n_files; i++)
    if (strcmp ((const char *)name, files[i].name) == 0)
      return &files[i];
  return NULL;
}

static gboolean
inside (const VmmAcpiLoaderFile *file, guint64 offset, guint64 length)
{
  return offset <= file->size && length <= file->size - offset;
}

/* NULL when done, otherwise what is wrong. */
static const char *
run_one (const guint8 *entry, VmmAcpiLoaderFile *files, guint n_files)
{
  VmmAcpiLoaderFile *file = find (entry + NAME_1, files, n_files);
  const guint8 *arg = entry + NAME_2;
  guint32 command = (guint32)get_le (entry, 4);
  VmmAcpiLoaderFile *source;
  guint64 offset, size;
  guint8 sum = 0;

  if (command == COMMAND_NONE || command > COMMAND_WRITE_POINTER)
    return NULL; /* padding, or a newer command: skipped, as firmware does */
  if (file == NULL)
    return "names an unknown file";
  switch (command)
    {
    case COMMAND_ALLOCATE:
      size = get_le (arg, 4);
      if (size == 0 || (size & (size - 1)) != 0 || (file->address & (size - 1)) != 0)
        return "asks for an alignment that the file does not have";
      return NULL;
    case COMMAND_ADD_POINTER:
    case COMMAND_WRITE_POINTER:
      source = find (arg, files, n_files);
      arg += VMM_ACPI_LOADER_NAME_SIZE;
      offset = get_le (arg, 4);
      size = command == COMMAND_ADD_POINTER ? arg[4] : arg[8];
      if (source == NULL)
        return "names an unknown source";
      if ((size != 1 && size != 2 && size != 4 && size != 8) || !inside (file, offset, size))
        return "points outside its file";
      if (command == COMMAND_ADD_POINTER)
        size = get_le (file->data + offset, arg[4]);
      else
        size = get_le (arg + 4, 4);
      if (size >= source->size)
        return "points outside its source";
      size += source->address;
      if (command == COMMAND_ADD_POINTER)
        put_le (file->data + offset, size, arg[4]);
      else
        put_le (file->data + offset, size, arg[8]);
      return NULL;
    default:
      offset = get_le (arg, 4);
      if (!inside (file, get_le (arg + 4, 4), get_le (arg + 8, 4)) || !inside (file, offset, 1))
        return "sums outside its file";
      for (guint64 i = 0; i < get_le (arg + 8, 4); i++)
        sum = (guint8)(sum + file->data[get_le (arg + 4, 4) + i]);
      file->data[offset] = (guint8)(file->data[offset] - sum);
      return NULL;
    }
}

gboolean
vmm_acpi_loader_run (GBytes *script, VmmAcpiLoaderFile *files, guint n_files, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (script, &size);

  if (size % VMM_ACPI_LOADER_ENTRY_SIZE != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "the ACPI loader script has %" G_GSIZE_FORMAT
                   " bytes, which is no multiple of %d",
                   size, VMM_ACPI_LOADER_ENTRY_SIZE);
      return FALSE;
    }
  for (gsize i = 0; i < size; i += VMM_ACPI_LOADER_ENTRY_SIZE)
    {
      const char *fault = run_one (data + i, files, n_files);

      if (fault != NULL)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "command %" G_GSIZE_FORMAT " of the ACPI loader script %s",
                       i / VMM_ACPI_LOADER_ENTRY_SIZE, fault);
          return FALSE;
        }
    }
  return TRUE;
}
