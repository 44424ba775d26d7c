/* SPDX-License-Identifier: GPL-3.0-or-later */
/* OVA: the envelope first, then the manifest, then the disks (DSP0243 1.1, 5.3). */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/export/export-private.h"

#define CHUNK (1u << 20)

static gboolean
fail_archive (GError **error, const char *path, struct archive *archive)
{
  int saved = archive_errno (archive);

  return vmm_error_set_errno (error, saved != 0 ? -saved : -EIO, "“%s” cannot be written", path);
}

static gboolean
start_member (
    struct archive *archive, const char *name, guint64 size, const char *to, GError **error)
{
  struct archive_entry *entry = archive_entry_new ();
  int result;

  archive_entry_set_pathname (entry, name);
  archive_entry_set_size (entry, (la_int64_t)size);
  archive_entry_set_filetype (entry, AE_IFREG);
  archive_entry_set_perm (entry, 0644);
  archive_entry_set_mtime (entry, (time_t)(g_get_real_time () / G_USEC_PER_SEC), 0);
  result = archive_write_header (archive, entry);
  archive_entry_free (entry);
  return result == ARCHIVE_OK || fail_archive (error, to, archive);
}

static gboolean
add_text (
    struct archive *archive, const char *name, const char *text, const char *to, GError **error)
{
  gsize length = strlen (text);

  return start_member (archive, name, length, to, error) &&
         (archive_write_data (archive, text, length) == (la_ssize_t)length ||
          fail_archive (error, to, archive));
}

/* Reads a file of the folder; each piece goes to the archive and the checksum, whichever is there. */
static gboolean
pass_file (const char *path,
           struct archive *archive,
           GChecksum *hash,
           guint64 *done,
           guint64 total,
           const BlockProgress *progress,
           GError **error)
{
  g_autofree guint8 *buffer = g_malloc (CHUNK);
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  gboolean good = TRUE;
  ssize_t n = 0;

  if (fd < 0)
    return vmm_error_set_errno (error, -errno, "“%s” cannot be read", path);
  while (good && (n = read (fd, buffer, CHUNK)) > 0)
    {
      if (hash != NULL)
        g_checksum_update (hash, buffer, n);
      if (archive != NULL && archive_write_data (archive, buffer, (gsize)n) != n)
        good = fail_archive (error, path, archive);
      *done += (guint64)n;
      if (good && progress != NULL && progress->step != NULL &&
          !progress->step (*done, total, progress->user_data))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "The export was cancelled");
          good = FALSE;
        }
    }
  if (n < 0)
    good = vmm_error_set_errno (error, -errno, "“%s” cannot be read", path);
  close (fd);
  return good;
}

static gboolean
write_members (struct archive *archive,
               const Export *export,
               const char *folder,
               const char *to,
               const BlockProgress *progress,
               GError **error)
{
  g_autofree char *ovf = export_dup_ovf (export), *sum = NULL;
  g_autofree char *ovf_name = g_strconcat (export->id, ".ovf", NULL);
  g_autofree char *mf_name = g_strconcat (export->id, ".mf", NULL);
  g_autoptr (GString) manifest = g_string_new (NULL);
  guint64 done = 0, total = 0;

  sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, ovf, -1);
  g_string_append_printf (manifest, "SHA256(%s)= %s\n", ovf_name, sum);
  for (guint i = 0; i < export->disks->len; i++)
    total += 2 * ((ExportDisk *)g_ptr_array_index (export->disks, i))->file_bytes;
  for (guint i = 0; i < export->disks->len; i++)
    {
      const ExportDisk *disk = g_ptr_array_index (export->disks, i);
      g_autofree char *path = g_build_filename (folder, disk->file, NULL);
      g_autoptr (GChecksum) hash = g_checksum_new (G_CHECKSUM_SHA256);

      if (!pass_file (path, NULL, hash, &done, total, progress, error))
        return FALSE;
      g_string_append_printf (manifest, "SHA256(%s)= %s\n", disk->file,
                              g_checksum_get_string (hash));
    }
  if (!add_text (archive, ovf_name, ovf, to, error) ||
      !add_text (archive, mf_name, manifest->str, to, error))
    return FALSE;
  for (guint i = 0; i < export->disks->len; i++)
    {
      const ExportDisk *disk = g_ptr_array_index (export->disks, i);
      g_autofree char *path = g_build_filename (folder, disk->file, NULL);

      if (!start_member (archive, disk->file, disk->file_bytes, to, error) ||
          !pass_file (path, archive, NULL, &done, total, progress, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
export_write_ova (const Export *export,
                  const char *folder,
                  const char *to,
                  const BlockProgress *progress,
                  GError **error)
{
  struct archive *archive = archive_write_new ();
  int fd = open (to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  gboolean good;

  if (fd < 0)
    {
      (void)vmm_error_set_errno (error, -errno, "“%s” cannot be made", to);
      archive_write_free (archive);
      return FALSE;
    }
  /* ustar, and pax headers only for what it cannot say (more than 8 GiB). */
  archive_write_set_format_pax_restricted (archive);
  archive_write_set_bytes_in_last_block (archive, 1);
  good = archive_write_open_fd (archive, fd) == ARCHIVE_OK || fail_archive (error, to, archive);
  good = good && write_members (archive, export, folder, to, progress, error);
  good = good && (archive_write_close (archive) == ARCHIVE_OK || fail_archive (error, to, archive));
  if (good && fsync (fd) < 0)
    good = vmm_error_set_errno (error, -errno, "“%s” cannot be written", to);
  archive_write_free (archive);
  close (fd);
  return good;
}
