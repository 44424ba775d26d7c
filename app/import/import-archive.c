/* SPDX-License-Identifier: GPL-3.0-or-later */
/* OVA: a tape archive with an OVF envelope first, its disks, and a manifest of checksums ("Open
 * Virtualization Format Specification", DSP0243 1.1, chapters 5 and 6.2). Nothing is unpacked by a name
 * of its own choice. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/disk-copy.h"
#include "app/import/import-private.h"

#define MEMBERS_MAX 64
#define CHUNK       (1u << 20)

typedef struct archive Archive;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Archive, archive_read_free)

static gboolean
fail_archive (GError **error, const char *path, Archive *archive)
{
  const char *why = archive_error_string (archive);

  return import_set_invalid (error, path, "the archive is damaged (%s): copy the file anew",
                             why != NULL ? why : "cut short");
}

/* Plain tape archives only: nothing that unpacks to more than it is. */
static Archive *
open_archive (const char *path, GError **error)
{
  g_autoptr (Archive) archive = archive_read_new ();

  if (archive_read_support_format_tar (archive) != ARCHIVE_OK ||
      archive_read_open_filename (archive, path, CHUNK) != ARCHIVE_OK)
    {
      (void)fail_archive (error, path, archive);
      return NULL;
    }
  return g_steal_pointer (&archive);
}

/* The next regular file. *ret_name NULL: the end. */
static gboolean
next_member (Archive *archive,
             const char *path,
             guint64 file_size,
             const char **ret_name,
             guint64 *ret_size,
             GError **error)
{
  struct archive_entry *entry;

  while (TRUE)
    {
      int result = archive_read_next_header (archive, &entry);
      const char *name;

      *ret_name = NULL;
      if (result == ARCHIVE_EOF)
        return TRUE;
      if (result != ARCHIVE_OK && result != ARCHIVE_WARN)
        return fail_archive (error, path, archive);
      if (archive_entry_filetype (entry) == AE_IFDIR)
        continue;
      name = archive_entry_pathname (entry);
      if (name != NULL && g_str_has_prefix (name, "./"))
        name += 2;
      if (archive_entry_filetype (entry) != AE_IFREG || archive_entry_hardlink (entry) != NULL ||
          name == NULL || !import_name_is_plain (name))
        return import_set_invalid (error, path,
                                   "its member “%s” is not a plain file at the top of the archive",
                                   name != NULL ? name : "?");
      if (archive_entry_size (entry) < 0 || (guint64)archive_entry_size (entry) > file_size)
        return import_set_invalid (error, path, "its member “%s” is larger than the archive", name);
      *ret_name = name;
      *ret_size = (guint64)archive_entry_size (entry);
      return TRUE;
    }
}

static guint64
size_of (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 ? (guint64)MAX (st.st_size, 0) : 0;
}

/* A small member, whole. */
static char *
read_member (Archive *archive, const char *path, const char *name, guint64 size, GError **error)
{
  g_autofree char *text = NULL;
  gsize done = 0;

  if (size > IMPORT_DOCUMENT_MAX)
    {
      (void)import_set_invalid (error, path, "its “%s” is larger than 4 MiB", name);
      return NULL;
    }
  text = g_malloc0 ((gsize)size + 1);
  while (done < size)
    {
      la_ssize_t n = archive_read_data (archive, text + done, (gsize)size - done);

      if (n <= 0)
        {
          (void)fail_archive (error, path, archive);
          return NULL;
        }
      done += (gsize)n;
    }
  return g_steal_pointer (&text);
}

typedef struct
{
  GHashTable *members; /* name to guint64 * */
  char *envelope_name, *envelope;
  gsize envelope_length;
  char *manifest;
} Contents;

static void
contents_clear (Contents *contents)
{
  g_clear_pointer (&contents->members, g_hash_table_unref);
  g_free (contents->envelope_name);
  g_free (contents->envelope);
  g_free (contents->manifest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Contents, contents_clear)

static gboolean
read_contents (Contents *contents, const char *path, GError **error)
{
  g_autoptr (Archive) archive = open_archive (path, error);
  guint64 file_size = size_of (path), size = 0;
  const char *name = NULL;

  if (archive == NULL)
    return FALSE;
  while (TRUE)
    {
      if (!next_member (archive, path, file_size, &name, &size, error))
        return FALSE;
      if (name == NULL)
        return TRUE;
      if (g_hash_table_size (contents->members) >= MEMBERS_MAX ||
          g_hash_table_contains (contents->members, name))
        return import_set_invalid (error, path, "it has too many members, or one twice");
      g_hash_table_insert (contents->members, g_strdup (name), g_memdup2 (&size, sizeof size));
      if (g_str_has_suffix (name, ".ovf") && contents->envelope == NULL)
        {
          contents->envelope_name = g_strdup (name);
          contents->envelope_length = (gsize)size;
          contents->envelope = read_member (archive, path, name, size, error);
          if (contents->envelope == NULL)
            return FALSE;
        }
      else if (g_str_has_suffix (name, ".mf") && contents->manifest == NULL)
        {
          contents->manifest = read_member (archive, path, name, size, error);
          if (contents->manifest == NULL)
            return FALSE;
        }
    }
}

gboolean
import_read_ova (AlcoveImport *import, GError **error)
{
  g_auto (Contents) contents = { 0 };
  g_autoptr (GChecksum) hash = NULL;

  contents.members = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  if (!read_contents (&contents, import->path, error))
    return FALSE;
  if (contents.envelope == NULL)
    return import_set_invalid (error, import->path, "there is no .ovf file in the archive");
  if (contents.manifest == NULL)
    alcove_findings_add (import->findings, ALCOVE_FINDING_NOTE, "Checksums",
                         "There is no manifest, so damage on the way here cannot be noticed.");
  else if (!import_read_manifest (import, contents.manifest, error))
    return FALSE;
  hash = import_hash_new (import, contents.envelope_name);
  if (hash != NULL)
    g_checksum_update (hash, (const guchar *)contents.envelope, (gssize)contents.envelope_length);
  return import_hash_check (import, contents.envelope_name, hash, error) &&
         import_read_ovf (import, contents.envelope, contents.envelope_length, contents.members,
                          error);
}

/* ---- manifest ---- */

/* "SHA256(name)= hex", a line each; spaces where programs put them. */
gboolean
import_read_manifest (AlcoveImport *import, const char *text, GError **error)
{
  static const char *const algorithms[] = { "SHA1", "SHA256", "SHA384", "SHA512" };
  g_auto (GStrv) lines = g_strsplit_set (text, "\r\n", -1);

  import->sums = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 0; lines[i] != NULL && i < 10 * MEMBERS_MAX; i++)
    {
      char *line = g_strstrip (lines[i]);
      char *open = strchr (line, '('), *close = strrchr (line, ')'), *equals;
      gboolean known = FALSE;

      if (*line == '\0')
        continue;
      equals = close != NULL ? strchr (close, '=') : NULL;
      if (open == NULL || equals == NULL || open > close)
        return import_set_invalid (error, import->path, "line %u of its manifest makes no sense",
                                   i + 1);
      *open = *close = '\0';
      g_strstrip (line);
      for (gsize k = 0; k < G_N_ELEMENTS (algorithms); k++)
        known = known || g_ascii_strcasecmp (line, algorithms[k]) == 0;
      if (!known)
        return import_set_invalid (error, import->path, "its manifest uses the unknown checksum %s",
                                   line);
      g_hash_table_insert (import->sums, g_strdup (open + 1),
                           g_strdup_printf ("%s:%s", line, g_strstrip (equals + 1)));
    }
  return TRUE;
}

GChecksum *
import_hash_new (const AlcoveImport *import, const char *name)
{
  const char *sum = import->sums != NULL ? g_hash_table_lookup (import->sums, name) : NULL;

  if (sum == NULL)
    return NULL;
  if (g_ascii_strncasecmp (sum, "SHA1:", 5) == 0)
    return g_checksum_new (G_CHECKSUM_SHA1);
  if (g_ascii_strncasecmp (sum, "SHA256:", 7) == 0)
    return g_checksum_new (G_CHECKSUM_SHA256);
  if (g_ascii_strncasecmp (sum, "SHA384:", 7) == 0)
    return g_checksum_new (G_CHECKSUM_SHA384);
  return g_checksum_new (G_CHECKSUM_SHA512);
}

gboolean
import_hash_check (const AlcoveImport *import, const char *name, GChecksum *hash, GError **error)
{
  const char *sum;

  if (hash == NULL)
    return TRUE;
  sum = strchr (g_hash_table_lookup (import->sums, name), ':') + 1;
  if (g_ascii_strcasecmp (sum, g_checksum_get_string (hash)) == 0)
    return TRUE;
  return import_set_invalid (
      error, import->path,
      "the checksum of “%s” in the manifest is another: the file was damaged or "
      "changed. Get it anew",
      name);
}

/* ---- extraction ---- */

/* Zeroes stay holes. */
static int
write_block (int fd, const guint8 *data, gsize length, guint64 offset)
{
  if (alcove_disk_is_zero (data, length))
    return 0;
  while (length > 0)
    {
      ssize_t n = pwrite (fd, data, length, (off_t)offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n < 0 ? -errno : -EIO;
      data += n;
      offset += (guint64)n;
      length -= (gsize)n;
    }
  return 0;
}

static gboolean
copy_member (Archive *archive,
             const AlcoveImport *import,
             const char *name,
             guint64 size,
             int fd,
             const BlockProgress *progress,
             GError **error)
{
  g_autoptr (GChecksum) hash = import_hash_new (import, name);
  g_autofree guint8 *buffer = g_malloc (CHUNK);
  guint64 done = 0;

  while (done < size)
    {
      la_ssize_t n = archive_read_data (archive, buffer, (gsize)MIN (CHUNK, size - done));
      int result;

      if (n <= 0)
        return fail_archive (error, import->path, archive);
      if (hash != NULL)
        g_checksum_update (hash, buffer, (gssize)n);
      result = write_block (fd, buffer, (gsize)n, done);
      if (result < 0)
        return vmm_error_set_errno (error, result, "“%s” cannot be unpacked", name);
      done += (guint64)n;
      if (progress != NULL && !progress->step (done, size, progress->user_data))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "The import was cancelled");
          return FALSE;
        }
    }
  if (ftruncate (fd, (off_t)size) < 0)
    return vmm_error_set_errno (error, -errno, "“%s” cannot be unpacked", name);
  return import_hash_check (import, name, hash, error);
}

gboolean
import_extract (const AlcoveImport *import,
                const char *member,
                const char *to,
                const BlockProgress *progress,
                GError **error)
{
  g_autoptr (Archive) archive = open_archive (import->path, error);
  guint64 file_size = size_of (import->path), size = 0;
  const char *name = NULL;
  gboolean good;
  int fd;

  if (archive == NULL)
    return FALSE;
  do
    if (!next_member (archive, import->path, file_size, &name, &size, error))
      return FALSE;
  while (name != NULL && strcmp (name, member) != 0);
  if (name == NULL)
    return import_set_invalid (error, import->path, "“%s” is no longer in the archive", member);
  fd = open (to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0)
    return vmm_error_set_errno (error, -errno, "“%s” cannot be made", to);
  good = copy_member (archive, import, name, size, fd, progress, error);
  close (fd);
  return good;
}
