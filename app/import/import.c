/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a document is, and what the readers share. */
#include "app/import/import-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/disk-tools.h"

#define MEMORY_MAX_MIB 4194304

const char *
alcove_finding_kind_to_string (AlcoveFindingKind kind)
{
  static const char *const words[] = { "note", "changed", "lost" };

  return words[kind];
}

static void
finding_free (gpointer data)
{
  AlcoveFinding *finding = data;

  g_free (finding->what);
  g_free (finding->meaning);
  g_free (finding);
}

GPtrArray *
alcove_findings_new (void)
{
  return g_ptr_array_new_with_free_func (finding_free);
}

void
alcove_findings_add (
    GPtrArray *findings, AlcoveFindingKind kind, const char *what, const char *format, ...)
{
  g_autofree char *meaning = NULL;
  AlcoveFinding *finding;
  va_list args;

  if (findings->len >= 200) /* a report nobody reads any more */
    return;
  finding = g_new0 (AlcoveFinding, 1);
  finding->kind = kind;
  finding->what = g_utf8_make_valid (what, -1);
  va_start (args, format);
  meaning = g_strdup_vprintf (format, args);
  va_end (args);
  finding->meaning = g_utf8_make_valid (meaning, -1);
  g_ptr_array_add (findings, finding);
}

static void
disk_free (gpointer data)
{
  AlcoveImportDisk *disk = data;

  g_free (disk->source);
  g_free (disk->bus);
  g_free (disk);
}

const char *
alcove_import_disk_get_format (const AlcoveImportDisk *disk)
{
  return block_format_to_string (disk->format);
}

static void
nic_free (gpointer data)
{
  AlcoveImportNic *nic = data;

  g_free (nic->forwards);
  g_free (nic);
}

void
alcove_import_free (AlcoveImport *import)
{
  if (import == NULL)
    return;
  g_free (import->path);
  g_free (import->title);
  g_free (import->os);
  g_ptr_array_unref (import->disks);
  g_ptr_array_unref (import->cdroms);
  g_ptr_array_unref (import->nics);
  g_ptr_array_unref (import->findings);
  g_clear_pointer (&import->sums, g_hash_table_unref);
  g_free (import);
}

static AlcoveImport *
import_new (const char *path)
{
  AlcoveImport *import = g_new0 (AlcoveImport, 1);
  AlcoveCreateSpec spec;

  alcove_create_spec_init (&spec);
  import->path = g_canonicalize_filename (path, NULL);
  import->memory_mib = spec.memory_mib;
  import->cpus = spec.cpus;
  import->firmware = ALCOVE_FIRMWARE_BIOS;
  import->disks = g_ptr_array_new_with_free_func (disk_free);
  import->cdroms = g_ptr_array_new_with_free_func (g_free);
  import->nics = g_ptr_array_new_with_free_func (nic_free);
  import->findings = alcove_findings_new ();
  return import;
}

/* ---- what the readers share ---- */

gboolean
import_set_invalid (GError **error, const char *path, const char *format, ...)
{
  g_autofree char *text = NULL, *whole = NULL, *valid = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  whole = g_strdup_printf ("“%s” cannot be imported: %s", path, text);
  valid = g_utf8_make_valid (whole, -1); /* names of files and what is in them can be any bytes */
  g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, valid);
  return FALSE;
}

gboolean
import_name_is_plain (const char *name)
{
  return *name != '\0' && *name != '.' && strlen (name) < 200 && strpbrk (name, "/\\") == NULL &&
         g_utf8_validate (name, -1, NULL);
}

AlcoveImportDisk *
import_add_disk (AlcoveImport *import, const char *source, const char *bus)
{
  AlcoveImportDisk *disk;

  if (import->disks->len >= IMPORT_DISKS_MAX)
    {
      alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, source,
                           "A machine can have %d disks.", IMPORT_DISKS_MAX);
      return NULL;
    }
  disk = g_new0 (AlcoveImportDisk, 1);
  disk->source = g_strdup (source);
  disk->bus = g_strdup (bus);
  g_ptr_array_add (import->disks, disk);
  return disk;
}

AlcoveImportNic *
import_add_nic (AlcoveImport *import)
{
  AlcoveImportNic *nic;

  if (import->nics->len >= IMPORT_NICS_MAX)
    {
      alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "Network card",
                           "A machine can have %d of them.", IMPORT_NICS_MAX);
      return NULL;
    }
  nic = g_new0 (AlcoveImportNic, 1);
  g_ptr_array_add (import->nics, nic);
  return nic;
}

void
import_set_memory (AlcoveImport *import, guint64 mib)
{
  guint64 use = CLAMP (mib, 1, MEMORY_MAX_MIB);

  if (use != mib)
    alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, "Memory",
                         "%" G_GUINT64_FORMAT " MiB are not possible; it becomes %" G_GUINT64_FORMAT
                         " MiB.",
                         mib, use);
  import->memory_mib = use;
}

void
import_set_cpus (AlcoveImport *import, guint64 n)
{
  guint use = (guint)CLAMP (n, 1, 255);

  if (use != n)
    alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, "CPUs",
                         "%" G_GUINT64_FORMAT " are not possible; it becomes %u.", n, use);
  import->cpus = use;
}

/* Opens it as the run will, so that what cannot be read is named now. */
static void
look_at_disk (AlcoveImport *import, AlcoveImportDisk *disk)
{
  const BlockImageFlags flags = { .readonly = TRUE };
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (disk->source, disk->format, &flags, &error);
  BlockImageInfo info;

  if (image == NULL)
    {
      alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, disk->source,
                           "This disk cannot be read: %s", error->message);
      g_ptr_array_remove (import->disks, disk);
      return;
    }
  image->ops->get_info (image, &info);
  disk->size = info.size;
  if (info.n_snapshots > 0)
    alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, disk->source,
                         "Its %u internal snapshots: only the present contents are copied.",
                         info.n_snapshots);
  if (info.backing_file != NULL)
    alcove_findings_add (import->findings, ALCOVE_FINDING_CHANGED, disk->source,
                         "It stands on “%s”; the copy stands alone.", info.backing_file);
  if (info.n_bitmaps > 0)
    alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, disk->source,
                         "Its %u bitmaps of incremental backups.", info.n_bitmaps);
  block_image_close (image);
}

gboolean
import_check_alone (const AlcoveImport *import,
                    const char *path,
                    const char *name,
                    BlockFormat format,
                    GError **error)
{
  const BlockImageFlags flags = { .readonly = TRUE, .no_backing = TRUE };
  BlockImage *image;
  BlockImageInfo info;
  gboolean good = TRUE;

  if (format != BLOCK_FORMAT_QCOW2)
    return TRUE; /* VMDK looks for its parts beside it by itself; others are whole */
  image = block_image_open (path, format, &flags, error);
  if (image == NULL)
    return FALSE;
  image->ops->get_info (image, &info);
  if (info.backing_file != NULL || info.data_file != NULL)
    good = import_set_invalid (
        error, import->path,
        "its disk “%s” takes contents from the file “%s”, which is not part of it. Export it again "
        "as a whole",
        name, info.backing_file != NULL ? info.backing_file : info.data_file);
  block_image_close (image);
  return good;
}

void
import_add_file_disk (AlcoveImport *import,
                      const char *path,
                      const char *format_word,
                      const char *bus,
                      gboolean readonly)
{
  AlcoveImportDisk *disk;
  BlockFormat format;

  if (format_word == NULL)
    {
      format = alcove_disk_guess_format (path);
      alcove_findings_add (import->findings, ALCOVE_FINDING_NOTE, path,
                           "Its format is not named; the contents look like %s.",
                           block_format_to_string (format));
    }
  else if (!block_format_from_string (format_word, &format))
    {
      alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, path,
                           "This disk has the format %s, which Alcove does not read.", format_word);
      return;
    }
  disk = import_add_disk (import, path, bus);
  if (disk == NULL)
    return;
  disk->format = format;
  disk->readonly = readonly;
  look_at_disk (import, disk);
}

/* ---- which reader ---- */

static gboolean
read_bare (AlcoveImport *import, const char *format, GError **error)
{
  g_autofree char *name = g_path_get_basename (import->path);
  char *dot = strrchr (name, '.');
  const AlcoveFinding *why;
  BlockFormat known;

  if (format != NULL && !block_format_from_string (format, &known))
    return import_set_invalid (error, import->path,
                               "“%s” is no format: raw, qcow2, vmdk, vhd, vhdx, vdi", format);
  import->kind = "disk";
  if (dot != NULL && dot != name)
    *dot = '\0';
  import->title = g_strdup (name);
  import_add_file_disk (import, import->path, format, NULL, FALSE);
  if (import->disks->len == 0)
    {
      why = g_ptr_array_index (import->findings, import->findings->len - 1);
      return import_set_invalid (error, import->path, "%s", why->meaning);
    }
  (void)import_add_nic (import);
  alcove_findings_add (import->findings, ALCOVE_FINDING_NOTE, "Settings",
                       "A disk says nothing about its machine: memory, CPUs and devices are chosen "
                       "anew. If it does not start, try the other firmware (UEFI or BIOS).");
  return TRUE;
}

/* The start of a GPT disk with an EFI system partition, for bare images: UEFI is what it boots with. */
static gboolean
looks_like_uefi (const AlcoveImportDisk *disk)
{
  static const guint8 esp[16] = { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
                                  0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b };
  const BlockImageFlags flags = { .readonly = TRUE };
  BlockImage *image = block_image_open (disk->source, disk->format, &flags, NULL);
  guint8 sectors[33 * 512];
  gboolean found = FALSE;

  if (image == NULL)
    return FALSE;
  /* UEFI 2.10, 5.3: the header is in the second sector, 128 entries of 128 bytes follow. */
  if (block_image_get_size (image) > 512 + sizeof sectors &&
      block_image_read (image, 512, sectors, sizeof sectors) == 0 &&
      memcmp (sectors, "EFI PART", 8) == 0)
    for (guint i = 0; i < 128 && !found; i++)
      found = memcmp (sectors + 512 + i * 128, esp, sizeof esp) == 0;
  block_image_close (image);
  return found;
}

static gboolean
read_document (AlcoveImport *import, gboolean *ret_is_document, GError **error)
{
  g_autofree char *text = NULL;
  gsize length = 0;
  struct stat st;
  const char *p;

  *ret_is_document = FALSE;
  if (stat (import->path, &st) < 0 || !S_ISREG (st.st_mode) || st.st_size > IMPORT_DOCUMENT_MAX)
    return TRUE;
  if (!g_file_get_contents (import->path, &text, &length, error))
    return FALSE;
  p = g_str_has_prefix (text, "\xef\xbb\xbf") ? text + 3 : text;
  while (g_ascii_isspace (*p))
    p++;
  if (*p == '<')
    {
      *ret_is_document = TRUE;
      if (strstr (p, "Envelope") != NULL)
        {
          import->kind = "OVF";
          return import_read_ovf (import, text, length, NULL, error);
        }
      import->kind = "libvirt";
      return import_read_libvirt (import, text, length, error);
    }
  if (g_str_has_suffix (import->path, ".conf"))
    {
      *ret_is_document = TRUE;
      import->kind = "quickemu";
      return import_read_quickemu (import, text, length, error);
    }
  return TRUE;
}

/* A tape archive has "ustar" at 257 of its first block. */
static gboolean
is_archive (const char *path)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be a pipe */
  char magic[5] = "";
  gboolean is;

  if (fd < 0)
    return FALSE;
  is = pread (fd, magic, sizeof magic, 257) == sizeof magic && memcmp (magic, "ustar", 5) == 0;
  close (fd);
  return is;
}

static gint
compare_findings (gconstpointer a, gconstpointer b)
{
  const AlcoveFinding *const *x = a, *const *y = b;

  return (gint)(*y)->kind - (gint)(*x)->kind;
}

static const char *const boxes_folders[] = {
  ".config/libvirt/qemu",
  ".var/app/org.gnome.Boxes/config/libvirt/qemu",
};

GPtrArray *
alcove_import_list_boxes (void)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  for (gsize i = 0; i < G_N_ELEMENTS (boxes_folders); i++)
    {
      g_autofree char *folder = g_build_filename (g_get_home_dir (), boxes_folders[i], NULL);
      g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        if (g_str_has_suffix (name, ".xml"))
          g_ptr_array_add (names, g_strndup (name, strlen (name) - strlen (".xml")));
    }
  return names;
}

/* (transfer full): path itself, or the document of a GNOME Boxes machine of that name. */
static char *
find_document (const char *path)
{
  if (!g_file_test (path, G_FILE_TEST_EXISTS) && import_name_is_plain (path))
    for (gsize i = 0; i < G_N_ELEMENTS (boxes_folders); i++)
      {
        g_autofree char *file = g_strconcat (path, ".xml", NULL);
        char *document = g_build_filename (g_get_home_dir (), boxes_folders[i], file, NULL);

        if (g_file_test (document, G_FILE_TEST_IS_REGULAR))
          return document;
        g_free (document);
      }
  return g_strdup (path);
}

/* They are used where they are, so people should see which files that is. */
static void
check_cdroms (AlcoveImport *import)
{
  for (guint i = 0; i < import->cdroms->len;)
    {
      const char *path = g_ptr_array_index (import->cdroms, i);
      gboolean there = g_file_test (path, G_FILE_TEST_IS_REGULAR) && access (path, R_OK) == 0;

      alcove_findings_add (import->findings, there ? ALCOVE_FINDING_NOTE : ALCOVE_FINDING_LOST,
                           "CD-ROM",
                           there ? "“%s” is used where it is."
                                 : "“%s” cannot be read; add a medium when one is needed.",
                           path);
      if (there)
        i++;
      else
        g_ptr_array_remove_index (import->cdroms, i);
    }
}

AlcoveImport *
alcove_import_open (const char *path, const char *format, GError **error)
{
  g_autofree char *document = find_document (path);
  g_autoptr (AlcoveImport) import = import_new (document);
  gboolean is_document = FALSE;

  if (access (import->path, R_OK) < 0)
    {
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno), "“%s” cannot be read: %s",
                   import->path, g_strerror (errno));
      return NULL;
    }
  if (format == NULL && is_archive (import->path))
    {
      import->kind = "OVA";
      if (!import_read_ova (import, error))
        return NULL;
    }
  else
    {
      if (format == NULL && !read_document (import, &is_document, error))
        return NULL;
      if (!is_document)
        {
          if (!read_bare (import, format, error))
            return NULL;
          if (looks_like_uefi (g_ptr_array_index (import->disks, 0)))
            import->firmware = ALCOVE_FIRMWARE_UEFI;
        }
    }
  if (import->title == NULL || *import->title == '\0')
    {
      g_free (import->title);
      import->title = g_path_get_basename (import->path);
    }
  if (strlen (import->title) > 128)
    {
      char *valid = g_utf8_make_valid (import->title, 120);

      g_free (import->title);
      import->title = valid;
    }
  check_cdroms (import);
  import_note_buses (import);
  g_ptr_array_sort (import->findings, compare_findings);
  return g_steal_pointer (&import);
}
