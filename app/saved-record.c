/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a saved state needs outside itself: the disks as they were, whole chains of images, and what
 * lay in the drives. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/error.h"
#include "app/files.h"
#include "app/saved.h"
#include "devices/backends/block/image.h"
#include "vmm/crc32c.h"

#define GROUP      "saved"
#define VERSION    2           /* 1 had nothing but the disks' own files */
#define HEAD_BYTES (64 * 1024) /* of an image: headers and first tables, or first sectors */
#define RECORD_MAX (1024 * 1024)

/* What tells a disk image from itself at another time. */
typedef struct
{
  guint64 size;
  gint64 seconds, nanoseconds; /* of the last change */
  guint32 head;                /* CRC32C of its beginning */
} Identity;

static gboolean
fail_to_look (GError **error, const char *path)
{
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno),
               "Cannot look at the disk image %s: %s", path, g_strerror (errno));
  return FALSE;
}

static gboolean
read_identity (const char *path, Identity *ret, GError **error)
{
  g_autofree guint8 *head = g_malloc (HEAD_BYTES);
  gsize length = 0;
  struct stat st;
  ssize_t n;
  int fd;

  if (block_path_is_nbd (path))
    {
      /* Of what another machine serves only the name is known. */
      *ret = (Identity){ .head = vmm_crc32c (0, path, strlen (path)) };
      return TRUE;
    }
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return fail_to_look (error, path);
  if (fstat (fd, &st) < 0)
    {
      close (fd);
      return fail_to_look (error, path);
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

/* -- Identities in a key file: prefix "" for the group's own file, "image1-" for what is behind -- */

static void
put_identity (GKeyFile *file, const char *group, const char *prefix, const Identity *identity)
{
  g_autofree char *size = g_strconcat (prefix, "size", NULL);
  g_autofree char *seconds = g_strconcat (prefix, "seconds", NULL);
  g_autofree char *nanoseconds = g_strconcat (prefix, "nanoseconds", NULL);
  g_autofree char *head = g_strconcat (prefix, "head", NULL);

  g_key_file_set_uint64 (file, group, size, identity->size);
  g_key_file_set_int64 (file, group, seconds, identity->seconds);
  g_key_file_set_int64 (file, group, nanoseconds, identity->nanoseconds);
  g_key_file_set_uint64 (file, group, head, identity->head);
}

/* (nullable): what happened to the file since, in words. */
static const char *
compare_identity (GKeyFile *file, const char *group, const char *prefix, const Identity *now)
{
  g_autofree char *size = g_strconcat (prefix, "size", NULL);
  g_autofree char *seconds = g_strconcat (prefix, "seconds", NULL);
  g_autofree char *nanoseconds = g_strconcat (prefix, "nanoseconds", NULL);
  g_autofree char *head = g_strconcat (prefix, "head", NULL);

  if (g_key_file_get_uint64 (file, group, size, NULL) != now->size)
    return "has changed its size";
  if (g_key_file_get_uint64 (file, group, head, NULL) != now->head ||
      g_key_file_get_int64 (file, group, seconds, NULL) != now->seconds ||
      g_key_file_get_int64 (file, group, nanoseconds, NULL) != now->nanoseconds)
    return "was written";
  return NULL;
}

static gboolean
write_file (GKeyFile *file, const char *folder, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = NULL;
  gsize length;

  text = g_key_file_to_data (file, &length, NULL);
  return g_file_set_contents_full (path, text, (gssize)length,
                                   G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                   0600, error);
}

/* *ret_file: (transfer full) (nullable): there is none. Errors: it is there and of no use. */
static gboolean
read_file (const char *folder, const char *name, GKeyFile **ret_file, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *text = NULL;
  int version = 0;
  gsize length = 0;
  struct stat st;

  *ret_file = NULL;
  if (lstat (path, &st) < 0 && errno == ENOENT)
    return TRUE;
  text = alcove_files_read (path, RECORD_MAX, &length, NULL);
  if (text != NULL && g_key_file_load_from_data (file, text, length, G_KEY_FILE_NONE, NULL))
    version = g_key_file_get_integer (file, GROUP, "version", NULL);
  if (version < 1 || version > VERSION)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The saved state cannot be used: its record %s is damaged or of another version "
                   "of Alcove. Start the machine afresh: alcove start --discard-saved",
                   path);
      return FALSE;
    }
  *ret_file = g_steal_pointer (&file);
  return TRUE;
}

/* -- Disks -- */

/* (transfer full): the files that a disk's image needs: data files, backing images and theirs. */
static GPtrArray *
list_behind (const AlcoveDiskConfig *disk, GError **error)
{
  const BlockImageFlags flags = { .readonly = TRUE, .no_lock = TRUE };
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
  BlockImage *image;

  if (disk->format != ALCOVE_DISK_QCOW2)
    return g_steal_pointer (&files);
  image = block_image_open (disk->file, BLOCK_FORMAT_QCOW2, &flags, error);
  if (image == NULL)
    return NULL;
  for (BlockImage *at = image; at != NULL; at = at->backing)
    {
      g_autofree char *place = g_path_get_dirname (at->file->name);
      BlockImageInfo info = { 0 };

      if (at != image)
        g_ptr_array_add (files, g_strdup (at->file->name));
      at->ops->get_info (at, &info);
      if (info.data_file != NULL)
        g_ptr_array_add (files, g_canonicalize_filename (info.data_file, place));
    }
  block_image_close (image);
  return g_steal_pointer (&files);
}

static gboolean
record_disk (GKeyFile *file, const AlcoveDiskConfig *disk, GError **error)
{
  g_autofree char *group = g_strconcat ("disk ", disk->base.name, NULL);
  g_autoptr (GPtrArray) behind = list_behind (disk, error);
  Identity identity;

  if (behind == NULL || !read_identity (disk->file, &identity, error))
    return FALSE;
  put_identity (file, group, "", &identity);
  g_key_file_set_integer (file, group, "images", (int)behind->len);
  for (guint i = 0; i < behind->len; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("image%u-", i + 1);

      if (!read_identity (g_ptr_array_index (behind, i), &identity, error))
        return FALSE;
      put_identity (file, group, prefix, &identity);
    }
  return TRUE;
}

gboolean
alcove_saved_write_record (const char *folder,
                           AlcoveDefinition *definition,
                           gboolean from_snapshot,
                           GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  guint n;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (definition, &n);

  g_key_file_set_integer (file, GROUP, "version", VERSION);
  g_key_file_set_int64 (file, GROUP, "time", g_get_real_time () / G_USEC_PER_SEC);
  g_key_file_set_string (file, GROUP, "alcove", ALCOVE_VERSION);
  if (from_snapshot)
    g_key_file_set_boolean (file, GROUP, "snapshot", TRUE);
  for (guint i = 0; i < n; i++)
    if (!disks[i]->readonly && !record_disk (file, disks[i], error))
      return FALSE;
  return write_file (file, folder, ALCOVE_SAVED_RECORD, error);
}

gboolean
alcove_saved_is_snapshot (const char *machine_folder)
{
  g_autofree char *folder = alcove_saved_dup_folder (machine_folder);
  g_autoptr (GKeyFile) file = NULL;

  return alcove_saved_exists (machine_folder) &&
         read_file (folder, ALCOVE_SAVED_RECORD, &file, NULL) &&
         (file == NULL || g_key_file_get_boolean (file, GROUP, "snapshot", NULL));
}

static gboolean
refuse (GError **error, const AlcoveDiskConfig *disk, const char *behind, const char *what)
{
  g_autofree char *who =
      behind == NULL ? g_strdup_printf ("the disk “%s” (%s)", disk->base.name, disk->file)
                     : g_strdup_printf ("the image %s, which the disk “%s” (%s) is made on,",
                                        behind, disk->base.name, disk->file);

  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
               "The saved state cannot be used: %s %s after the machine was saved. "
               "Its memory would not fit to the disk and destroy data. Bring the disk back as it "
               "was, or start the machine afresh: alcove start --discard-saved",
               who, what);
  return FALSE;
}

static gboolean
check_behind (GKeyFile *file, const char *group, const AlcoveDiskConfig *disk, GError **error)
{
  g_autoptr (GPtrArray) behind = list_behind (disk, error);
  int n = g_key_file_get_integer (file, group, "images", NULL);

  if (behind == NULL)
    {
      g_prefix_error (error, "The saved state cannot be used: [disk %s]: ", disk->base.name);
      return FALSE;
    }
  for (guint i = 0; i < behind->len; i++)
    {
      g_autofree char *prefix = g_strdup_printf ("image%u-", i + 1);
      const char *path = g_ptr_array_index (behind, i), *what;
      Identity now;

      if (!read_identity (path, &now, error))
        return FALSE;
      what = n >= 0 && i < (guint)n ? compare_identity (file, group, prefix, &now) : "was added";
      if (what != NULL)
        return refuse (error, disk, path, what);
    }
  return (guint)n == behind->len || refuse (error, disk, NULL, "lost a backing image");
}

static gboolean
check_disk (GKeyFile *file, const AlcoveDiskConfig *disk, GError **error)
{
  g_autofree char *group = g_strconcat ("disk ", disk->base.name, NULL);
  const char *what;
  Identity now;

  if (!g_key_file_has_group (file, group))
    return refuse (error, disk, NULL, "was added");
  if (!read_identity (disk->file, &now, error))
    return FALSE;
  what = compare_identity (file, group, "", &now);
  if (what != NULL)
    return refuse (error, disk, NULL, what);
  return g_key_file_get_integer (file, GROUP, "version", NULL) < 2 ||
         check_behind (file, group, disk, error);
}

gboolean
alcove_saved_check_record (const char *folder, AlcoveDefinition *definition, GError **error)
{
  g_autoptr (GKeyFile) file = NULL;
  const AlcoveDiskConfig *const *disks;
  guint n;

  if (!read_file (folder, ALCOVE_SAVED_RECORD, &file, error))
    return FALSE;
  disks = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; file != NULL && i < n; i++)
    if (!disks[i]->readonly && !check_disk (file, disks[i], error))
      return FALSE;
  return TRUE;
}

/* -- Drives -- */

static gboolean
has_tray (const AlcoveDiskConfig *drive)
{
  return drive->bus == ALCOVE_DISK_SATA || drive->bus == ALCOVE_DISK_SCSI;
}

gboolean
alcove_saved_write_media (const char *folder, AlcoveDefinition *definition, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  guint n;
  const AlcoveDiskConfig *const *drives = alcove_definition_get_cdroms (definition, &n);

  g_key_file_set_integer (file, GROUP, "version", VERSION);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *group = g_strconcat ("cdrom ", drives[i]->base.name, NULL);
      Identity identity;

      if (drives[i]->passthrough)
        continue;
      g_key_file_set_string (file, group, "file", drives[i]->file != NULL ? drives[i]->file : "");
      /* The file of an open medium may be gone. */
      if (drives[i]->file != NULL && read_identity (drives[i]->file, &identity, NULL))
        put_identity (file, group, "", &identity);
    }
  return write_file (file, folder, ALCOVE_SAVED_MEDIA, error);
}

static gboolean
is_same_medium (GKeyFile *file, const char *group, const char *path)
{
  g_autofree char *before = g_key_file_get_string (file, group, "file", NULL);
  Identity now;

  if (before == NULL || *before == '\0' || path == NULL)
    return (before == NULL || *before == '\0') == (path == NULL);
  /* The same image may have moved; another one may have taken its name. */
  return g_key_file_has_key (file, group, "head", NULL) && read_identity (path, &now, NULL) &&
         compare_identity (file, group, "", &now) == NULL;
}

gboolean
alcove_saved_list_changed_media (const char *folder,
                                 AlcoveDefinition *definition,
                                 char ***ret_drives,
                                 GError **error)
{
  g_autoptr (GPtrArray) drives = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GKeyFile) file = NULL;
  const AlcoveDiskConfig *const *cdroms;
  guint n;

  if (!read_file (folder, ALCOVE_SAVED_MEDIA, &file, error))
    return FALSE;
  cdroms = alcove_definition_get_cdroms (definition, &n);
  for (guint i = 0; file != NULL && i < n; i++)
    {
      g_autofree char *group = g_strconcat ("cdrom ", cdroms[i]->base.name, NULL);

      if (!g_key_file_has_group (file, group) || is_same_medium (file, group, cdroms[i]->file))
        continue;
      if (!has_tray (cdroms[i]))
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                       "The saved state cannot be used: the medium of the drive “%s” was changed "
                       "after the machine was saved, and this drive is a virtio disk without a "
                       "tray. Put the medium back, or start the machine afresh: alcove start "
                       "--discard-saved",
                       cdroms[i]->base.name);
          return FALSE;
        }
      g_ptr_array_add (drives, g_strdup (cdroms[i]->base.name));
    }
  g_ptr_array_add (drives, NULL);
  *ret_drives = (char **)g_ptr_array_free (g_steal_pointer (&drives), FALSE);
  return TRUE;
}
