/* SPDX-License-Identifier: GPL-3.0-or-later */
/* New images from others: convert and back up. */
#include "app/disk-tools.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *
alcove_disk_dup_part_path (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);

  while (TRUE)
    {
      g_autofree char *part = g_strdup_printf ("%s/.%s.part-%08x", folder, name, g_random_int ());

      if (!g_file_test (part, G_FILE_TEST_EXISTS))
        return g_steal_pointer (&part);
    }
}

static int
sync_folder_of (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int result = 0;

  if (fd < 0)
    return -errno;
  if (fsync (fd) < 0 && errno != EINVAL) /* some file systems cannot */
    result = -errno;
  close (fd);
  return result;
}

gboolean
alcove_disk_publish (const char *part, const char *path, gboolean replace, GError **error)
{
  int result = 0;

  if (renameat2 (AT_FDCWD, part, AT_FDCWD, path, replace ? 0 : RENAME_NOREPLACE) < 0)
    result = -errno;
  /* A file system without that flag. */
  if (result == -EINVAL && !replace)
    result = g_file_test (path, G_FILE_TEST_EXISTS) ? -EEXIST
             : rename (part, path) < 0              ? -errno
                                                    : 0;
  if (result < 0)
    (void)unlink (part);
  else if ((result = sync_folder_of (path)) < 0 && !replace)
    (void)unlink (path); /* what failed is not there */
  return result == 0 || vmm_error_set_errno (error, result, "“%s” cannot be given its name", path);
}

static gboolean
refuse_existing (const char *path, GError **error)
{
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "“%s” is there already: choose another name, or remove it first", path);
  return FALSE;
}

/* Nobody relies on the part before it has its name: it is written without the waits that keep an
 * image in use sound at every instant, and is made durable once, as a whole. */
gboolean
alcove_disk_fill_part (BlockImage *from,
                       const char *part,
                       BlockFormat format,
                       const AlcoveDiskPartOptions *options,
                       const BlockProgress *progress,
                       AlcoveDiskCopyResult *ret_result,
                       GError **error)
{
  const BlockImageFlags flags = { .draft = TRUE, .no_backing = options->no_backing };
  BlockCreateOptions create = options->create;
  BlockImage *to;
  gboolean good;
  int fd;

  create.draft = TRUE;
  if (!block_image_create (part, format, &create, NULL, error))
    return FALSE;
  /* Before the writes: a descriptor is told of what went wrong since it was opened. */
  fd = open (part, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return vmm_error_set_errno (error, -errno, "“%s” cannot be opened", part);
  to = block_image_open (part, format, &flags, error);
  good = to != NULL && alcove_disk_copy (from, to, &options->copy, progress, ret_result, error);
  block_image_close (to);
  if (good && fsync (fd) < 0)
    good = vmm_error_set_errno (error, -errno, "“%s” cannot be written", part);
  close (fd);
  return good;
}

gboolean
alcove_disk_convert_image (BlockImage *from,
                           const AlcoveDiskConvertSpec *spec,
                           const BlockProgress *progress,
                           GError **error)
{
  AlcoveDiskPartOptions options = {
    .create = spec->create, .copy = { .target_is_zero = TRUE, .compress = spec->compress }
  };
  g_autofree char *part = NULL;

  if (!refuse_existing (spec->to, error))
    return FALSE;
  if (spec->compress && spec->to_format != BLOCK_FORMAT_QCOW2)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s” cannot be compressed in the format %s: choose qcow2", spec->to,
                   block_format_to_string (spec->to_format));
      return FALSE;
    }
  if (options.create.size == 0)
    options.create.size = block_image_get_size (from);
  part = alcove_disk_dup_part_path (spec->to);
  if (!alcove_disk_fill_part (from, part, spec->to_format, &options, progress, NULL, error))
    {
      (void)unlink (part);
      return FALSE;
    }
  return alcove_disk_publish (part, spec->to, FALSE, error);
}

gboolean
alcove_disk_convert (const AlcoveDiskConvertSpec *spec,
                     const BlockProgress *progress,
                     GError **error)
{
  const BlockImageFlags flags = { .readonly = TRUE };
  BlockImage *from, *snapshot = NULL;
  gboolean good = TRUE;

  if (!refuse_existing (spec->to, error))
    return FALSE;
  from = block_image_open (spec->from, spec->from_format, &flags, error);
  if (from == NULL)
    return FALSE;
  if (spec->from_snapshot != NULL)
    {
      snapshot = block_image_snapshot_open (from, spec->from_snapshot, error);
      good = snapshot != NULL;
    }
  good =
      good && alcove_disk_convert_image (snapshot != NULL ? snapshot : from, spec, progress, error);
  block_image_close (snapshot);
  block_image_close (from);
  return good;
}

/* ---- backup ---- */

/* base as it is to be written into an image at path: its name alone in the same folder. */
static char *
dup_backing_name (const char *path, const char *base)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *base_folder = g_path_get_dirname (base);
  g_autofree char *a = g_canonicalize_filename (folder, NULL);
  g_autofree char *b = g_canonicalize_filename (base_folder, NULL);

  return strcmp (a, b) == 0 ? g_path_get_basename (base) : g_canonicalize_filename (base, NULL);
}

static gboolean
find_bitmap (BlockImage *image, const char *name, gboolean *ret_consistent)
{
  g_autoptr (GPtrArray) bitmaps =
      image->ops->bitmap_list != NULL ? image->ops->bitmap_list (image) : NULL;

  for (guint i = 0; bitmaps != NULL && i < bitmaps->len; i++)
    {
      const BlockBitmap *bitmap = g_ptr_array_index (bitmaps, i);

      if (strcmp (bitmap->name, name) == 0)
        {
          *ret_consistent = bitmap->consistent && bitmap->recording;
          return TRUE;
        }
    }
  return FALSE;
}

static gboolean
check_backup (BlockImage *from, const AlcoveDiskBackupSpec *spec, GError **error)
{
  gboolean consistent = FALSE, found;

  if (spec->bitmap == NULL)
    {
      if (spec->base == NULL)
        return TRUE;
      g_set_error (
          error, VMM_ERROR, VMM_ERROR_INVALID,
          "An incremental backup of “%s” needs the name of the bitmap that has marked what "
          "changed",
          spec->from);
      return FALSE;
    }
  if (from->ops->bitmap_add == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s” cannot have bitmaps in the format %s: make full backups, or convert it to "
                   "qcow2",
                   spec->from, block_format_to_string (spec->from_format));
      return FALSE;
    }
  found = find_bitmap (from, spec->bitmap, &consistent);
  if (spec->base == NULL || (found && consistent))
    return TRUE;
  g_set_error (
      error, VMM_ERROR, VMM_ERROR_INVALID,
      found ? "The bitmap “%s” of “%s” was in use when the host or program failed, so it does "
              "not know all changes: make a full backup"
            : "There is no bitmap “%s” in “%s”: make a full backup with it first",
      spec->bitmap, spec->from);
  return FALSE;
}

/* The bitmap is empty from now on. The image is not written by anybody else: we have its lock. */
static gboolean
restart_bitmap (BlockImage *from, const AlcoveDiskBackupSpec *spec, GError **error)
{
  gboolean consistent = FALSE;

  if (spec->bitmap == NULL)
    return TRUE;
  if (find_bitmap (from, spec->bitmap, &consistent))
    {
      if (consistent)
        return from->ops->bitmap_clear (from, spec->bitmap, error);
      if (!from->ops->bitmap_remove (from, spec->bitmap, error))
        return FALSE;
    }
  return from->ops->bitmap_add (from, spec->bitmap, 65536, error);
}

static gboolean
run_backup (BlockImage *from,
            const AlcoveDiskBackupSpec *spec,
            const BlockProgress *progress,
            AlcoveDiskCopyResult *ret_result,
            GError **error)
{
  AlcoveDiskPartOptions options = {
    .create = { .size = block_image_get_size (from) },
    .copy = { .target_is_zero = spec->base == NULL,
              .compress = spec->compress,
              .dirty_in = spec->base != NULL ? spec->bitmap : NULL },
  };
  g_autofree char *part = alcove_disk_dup_part_path (spec->to);
  g_autofree char *backing = NULL;

  if (!check_backup (from, spec, error))
    return FALSE;
  if (spec->base != NULL)
    {
      backing = dup_backing_name (spec->to, spec->base);
      options.create.backing_file = backing;
      options.create.backing_format = "qcow2";
    }
  if (!alcove_disk_fill_part (from, part, BLOCK_FORMAT_QCOW2, &options, progress, ret_result,
                              error))
    {
      (void)unlink (part);
      return FALSE;
    }
  /* In this order: after a crash between the two the next backup holds more than it needs. */
  return alcove_disk_publish (part, spec->to, FALSE, error) && restart_bitmap (from, spec, error);
}

gboolean
alcove_disk_backup (const AlcoveDiskBackupSpec *spec,
                    const BlockProgress *progress,
                    AlcoveDiskCopyResult *ret_result,
                    GError **error)
{
  const BlockImageFlags flags = { .readonly = spec->bitmap == NULL };
  BlockImage *from;
  gboolean good;

  if (!refuse_existing (spec->to, error))
    return FALSE;
  from = block_image_open (spec->from, spec->from_format, &flags, error);
  if (from == NULL)
    return FALSE;
  good = run_backup (from, spec, progress, ret_result, error);
  block_image_close (from);
  return good;
}
