/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Machines of other programs: any bytes are either refused with a message, or a machine whose
 * definition can be read, or nothing at all is left. The first byte says which: o an OVF envelope
 * (after a line "%%": its manifest), a an archive (the sums of its members' heads are mended), l a
 * libvirt domain, q a quickemu file, d a bare image. Beside it lie disk.raw and disk.qcow2; "/m/" in
 * a libvirt domain becomes their folder. */
#include "app/import/import.h"

#include "app/definition.h"
#include "fuzz-folder.h"
#include "fuzz.h"

#define INPUT_MAX (256 * 1024)
#define DISK_MAX  (64u << 20) /* copying larger ones is no test of documents */
#define SECTOR    512

static const char *
write_document (const char *folder, char kind, const char *data, gsize size)
{
  g_autofree guint8 *copy = NULL;
  const char *part;
  gsize length;

  switch (kind)
    {
    case 'o':
      (void)fuzz_folder_take_part (&data, &size, &part, &length);
      fuzz_folder_write (folder, "m.ovf", part, length);
      if (fuzz_folder_take_part (&data, &size, &part, &length))
        fuzz_folder_write (folder, "m.mf", part, length);
      return "m.ovf";
    case 'a':
      copy = g_memdup2 (data, size);
      for (gsize at = 0; at + SECTOR <= size; at += SECTOR)
        {
          guint sum = 0;

          if (memcmp (copy + at + 257, "ustar", 5) != 0)
            continue;
          memset (copy + at + 148, ' ', 8);
          for (guint i = 0; i < SECTOR; i++)
            sum += copy[at + i];
          (void)g_snprintf ((char *)copy + at + 148, 8, "%06o", sum);
        }
      fuzz_folder_write (folder, "m.ova", copy, size);
      return "m.ova";
    case 'l':
      {
        g_autoptr (GString) text = g_string_new_len (data, (gssize)size);
        g_autofree char *place = g_strconcat (folder, "/", NULL);

        if (memchr (data, 0, size) == NULL)
          g_string_replace (text, "/m/", place, 8);
        fuzz_folder_write (folder, "m.xml", text->str, text->len);
        return "m.xml";
      }
    case 'q':
      fuzz_folder_write (folder, "m.conf", data, size);
      return "m.conf";
    default:
      fuzz_folder_write (folder, "m.img", data, size);
      return "m.img";
    }
}

static void
make_disks (const char *folder)
{
  static const guint8 sector[SECTOR] = { 0xeb };
  const BlockCreateOptions options = { .size = 65536 };
  g_autofree char *path = g_build_filename (folder, "disk.qcow2", NULL);

  fuzz_folder_write (folder, "disk.raw", sector, sizeof sector);
  g_assert_true (block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, NULL));
}

static gboolean
is_small (const AlcoveImport *import)
{
  for (guint i = 0; i < import->disks->len; i++)
    {
      const AlcoveImportDisk *disk = g_ptr_array_index (import->disks, i);
      const BlockImageFlags flags = { .readonly = TRUE };
      BlockImage *image;
      gboolean small;

      if (disk->in_archive)
        {
          /* Its size is the image's own word, read when it is unpacked. */
          if (disk->format != BLOCK_FORMAT_RAW)
            return FALSE;
          continue;
        }
      image = block_image_open (disk->source, disk->format, &flags, NULL);
      small = image == NULL || block_image_get_size (image) <= DISK_MAX;
      block_image_close (image);
      if (!small)
        return FALSE;
    }
  return TRUE;
}

static void
check_import (const AlcoveImport *import)
{
  g_assert_nonnull (import->kind);
  fuzz_check_text (import->title);
  g_assert_cmpuint (strlen (import->title), <=, 160);
  g_assert_cmpuint (import->cpus, >=, 1);
  g_assert_cmpuint (import->cpus, <=, 255);
  g_assert_cmpuint (import->memory_mib, >=, 1);
  for (guint i = 0; i < import->findings->len; i++)
    {
      const AlcoveFinding *finding = g_ptr_array_index (import->findings, i);

      fuzz_check_text (finding->what);
      fuzz_check_text (finding->meaning);
    }
}

static void
run (const AlcoveImport *import, const char *folder)
{
  g_autofree char *machines = g_build_filename (folder, "machines", NULL);
  const AlcoveImportSpec spec = { machines, NULL, BLOCK_FORMAT_QCOW2 };
  g_autoptr (GError) error = NULL;
  g_autofree char *made = alcove_import_run (import, &spec, NULL, &error);
  g_autoptr (GDir) dir = g_dir_open (machines, 0, NULL);
  const char *name = g_dir_read_name (dir);

  if (made == NULL)
    {
      g_assert_nonnull (error);
      fuzz_check_text (error->message);
      g_assert_null (name);
    }
  else
    {
      g_autofree char *conf = g_build_filename (made, ALCOVE_DEFINITION_FILE, NULL);
      g_autofree char *parent = g_path_get_dirname (made);
      g_autoptr (AlcoveDefinition) definition = alcove_definition_load (conf, &error);

      g_assert_no_error (error);
      g_assert_nonnull (definition);
      g_assert_cmpstr (parent, ==, machines);
      g_assert_nonnull (name);
      g_assert_null (g_dir_read_name (dir));
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (AlcoveImport) import = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  char *folder;

  if (size < 2 || size > INPUT_MAX)
    return 0;
  folder = fuzz_folder_new ();
  make_disks (folder);
  path = g_build_filename (
      folder, write_document (folder, (char)data[0], (const char *)data + 1, size - 1), NULL);
  import = alcove_import_open (path, NULL, &error);
  if (import == NULL)
    {
      g_assert_nonnull (error);
      fuzz_check_text (error->message);
    }
  else
    {
      g_assert_no_error (error);
      check_import (import);
      if (is_small (import))
        run (import, folder);
    }
  fuzz_folder_free (folder);
  return 0;
}
