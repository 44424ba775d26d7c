/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/error.h"
#include "app/paths.h"
#include "vmm/crc32c.h"
#include "vmm/save.h"

#define GROUP      "saved"
#define VERSION    1
#define HEAD_BYTES (64 * 1024) /* of an image: headers and first tables, or first sectors */
#define RECORD_MAX (1024 * 1024)

/* What tells a disk image from itself at another time. */
typedef struct
{
  guint64 size;
  gint64 seconds, nanoseconds; /* of the last change */
  guint32 head;                /* CRC32C of its beginning */
} Identity;

char *
alcove_saved_dup_folder (const char *machine_folder)
{
  return g_build_filename (machine_folder, ALCOVE_SAVED_FOLDER, NULL);
}

gboolean
alcove_saved_exists (const char *machine_folder)
{
  g_autofree char *state =
      g_build_filename (machine_folder, ALCOVE_SAVED_FOLDER, VMM_SAVE_STATE_FILE, NULL);

  return g_file_test (state, G_FILE_TEST_IS_REGULAR);
}

gboolean
alcove_saved_is_snapshot (const char *machine_folder)
{
  g_autofree char *record =
      g_build_filename (machine_folder, ALCOVE_SAVED_FOLDER, ALCOVE_SAVED_RECORD, NULL);

  return alcove_saved_exists (machine_folder) && !g_file_test (record, G_FILE_TEST_EXISTS);
}

static gboolean
set_error (GError **error, int err, const char *act, const char *path)
{
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (err), "%s %s: %s", act, path,
               g_strerror (err));
  return FALSE;
}

static gboolean
read_identity (const char *path, Identity *ret, GError **error)
{
  g_autofree guint8 *head = g_malloc (HEAD_BYTES);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  gsize length = 0;
  struct stat st;
  ssize_t n;

  if (fd < 0 || fstat (fd, &st) < 0)
    {
      set_error (error, errno, "Cannot look at the disk image", path);
      if (fd >= 0)
        close (fd);
      return FALSE;
    }
  while (length < HEAD_BYTES &&
         ((n = pread (fd, head + length, HEAD_BYTES - length, (off_t)length)) > 0 ||
          (n < 0 && errno == EINTR)))
    length += n > 0 ? (gsize)n : 0;
  close (fd);
  *ret = (Identity){
    .size = (guint64)st.st_size,
    .seconds = st.st_mtim.tv_sec,
    .nanoseconds = st.st_mtim.tv_nsec,
    .head = vmm_crc32c (0, head, length),
  };
  return TRUE;
}

gboolean
alcove_saved_write_record (const char *folder, AlcoveDefinition *definition, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *path = g_build_filename (folder, ALCOVE_SAVED_RECORD, NULL);
  g_autofree char *text = NULL;
  gsize length;
  guint n;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (definition, &n);

  g_key_file_set_integer (file, GROUP, "version", VERSION);
  g_key_file_set_int64 (file, GROUP, "time", g_get_real_time () / G_USEC_PER_SEC);
  g_key_file_set_string (file, GROUP, "alcove", ALCOVE_VERSION);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *group = g_strconcat ("disk ", disks[i]->base.name, NULL);
      Identity identity;

      if (disks[i]->readonly)
        continue;
      if (!read_identity (disks[i]->file, &identity, error))
        return FALSE;
      g_key_file_set_uint64 (file, group, "size", identity.size);
      g_key_file_set_int64 (file, group, "seconds", identity.seconds);
      g_key_file_set_int64 (file, group, "nanoseconds", identity.nanoseconds);
      g_key_file_set_uint64 (file, group, "head", identity.head);
    }
  text = g_key_file_to_data (file, &length, NULL);
  return g_file_set_contents_full (path, text, (gssize)length,
                                   G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                   0600, error);
}

static gboolean
refuse (GError **error, const char *disk, const char *path, const char *what)
{
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
               "The saved state cannot be used: the disk “%s” (%s) %s after the machine was saved. "
               "Its memory would not fit to the disk and destroy data. Bring the disk back as it "
               "was, or start the machine afresh: alcove start --discard-saved",
               disk, path, what);
  return FALSE;
}

static gboolean
check_disk (GKeyFile *file, const AlcoveDiskConfig *disk, GError **error)
{
  g_autofree char *group = g_strconcat ("disk ", disk->base.name, NULL);
  Identity now;

  if (!g_key_file_has_group (file, group))
    return refuse (error, disk->base.name, disk->file, "was added");
  if (!read_identity (disk->file, &now, error))
    return FALSE;
  if (g_key_file_get_uint64 (file, group, "size", NULL) != now.size)
    return refuse (error, disk->base.name, disk->file, "has changed its size");
  if (g_key_file_get_uint64 (file, group, "head", NULL) != now.head ||
      g_key_file_get_int64 (file, group, "seconds", NULL) != now.seconds ||
      g_key_file_get_int64 (file, group, "nanoseconds", NULL) != now.nanoseconds)
    return refuse (error, disk->base.name, disk->file, "was written");
  return TRUE;
}

gboolean
alcove_saved_check_record (const char *folder, AlcoveDefinition *definition, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *path = g_build_filename (folder, ALCOVE_SAVED_RECORD, NULL);
  const AlcoveDiskConfig *const *disks;
  struct stat st;
  guint n;

  if (stat (path, &st) < 0 && errno == ENOENT)
    return TRUE;
  if (st.st_size > RECORD_MAX || !g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL) ||
      g_key_file_get_integer (file, GROUP, "version", NULL) != VERSION)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The saved state cannot be used: its record %s is damaged or of another version "
                   "of Alcove. Start the machine afresh: alcove start --discard-saved",
                   path);
      return FALSE;
    }
  disks = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!disks[i]->readonly && !check_disk (file, disks[i], error))
      return FALSE;
  return TRUE;
}

static void
sync_parent (const char *path)
{
  g_autofree char *parent = g_path_get_dirname (path);
  int fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return;
  (void)fsync (fd);
  close (fd);
}

gboolean
alcove_saved_publish (const char *partial, const char *folder, GError **error)
{
  if (renameat2 (AT_FDCWD, partial, AT_FDCWD, folder, RENAME_NOREPLACE) == 0)
    {
      sync_parent (folder);
      return TRUE;
    }
  if (errno == EEXIST && renameat2 (AT_FDCWD, partial, AT_FDCWD, folder, RENAME_EXCHANGE) == 0)
    {
      sync_parent (folder);
      alcove_paths_remove_tree (partial); /* the one before */
      return TRUE;
    }
  /* File systems without the flags; what is there already must go first. */
  if (errno == EINVAL && alcove_saved_remove (folder, error) && g_rename (partial, folder) == 0)
    {
      sync_parent (folder);
      return TRUE;
    }
  return set_error (error, errno, "Cannot give the saved state its name", folder);
}

gboolean
alcove_saved_remove (const char *folder, GError **error)
{
  g_autofree char *away = g_strconcat (folder, ".removed", NULL);

  alcove_paths_remove_tree (away);
  if (g_rename (folder, away) < 0)
    return errno == ENOENT ? TRUE : set_error (error, errno, "Cannot remove", folder);
  sync_parent (folder);
  alcove_paths_remove_tree (away);
  return TRUE;
}
