/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Changing an image that is there: check, resize, compact, rebase, commit. */
#include "app/disk-tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE (2u << 20)
#define GRAIN 4096u

static gboolean
step (const BlockProgress *progress, guint64 done, guint64 total, const char *path, GError **error)
{
  if (progress == NULL || progress->step == NULL ||
      progress->step (done, total, progress->user_data))
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "The work on “%s” was cancelled", path);
  return FALSE;
}

static gboolean
refuse_format (const char *path, BlockFormat format, const char *what, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "“%s” cannot be %s: its format is %s; convert it to qcow2 first", path, what,
               block_format_to_string (format));
  return FALSE;
}

gboolean
alcove_disk_check (const char *path,
                   BlockFormat format,
                   BlockCheckFlags check_flags,
                   const BlockProgress *progress,
                   BlockCheckReport *ret_report,
                   GError **error)
{
  /* The image alone: a missing backing image is no reason not to mend it. */
  const BlockImageFlags flags = { .readonly = check_flags == BLOCK_CHECK_LOOK, .no_backing = TRUE };
  BlockImage *image = block_image_open (path, format, &flags, error);
  gboolean good;

  if (image == NULL)
    return FALSE;
  good = image->ops->check != NULL
             ? image->ops->check (image, check_flags, ret_report, progress, error)
             : refuse_format (path, format, "checked", error);
  block_image_close (image);
  return good;
}

/* ---- resize ---- */

/* The first byte from offset on that is not zero; the size when there is none. */
static int
find_data (
    BlockImage *image, guint64 offset, const BlockProgress *progress, guint64 *ret, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (PIECE);
  guint64 size = block_image_get_size (image), start = offset;

  while (offset < size)
    {
      BlockExtent extent;
      gsize n;
      int result = block_image_map (image, offset, size - offset, &extent);

      if (result < 0)
        return result;
      if (!step (progress, offset - start, size - start, image->name, error))
        return -ECANCELED;
      if (extent.kind == BLOCK_EXTENT_ZERO || extent.kind == BLOCK_EXTENT_UNALLOCATED)
        {
          offset += extent.length;
          continue;
        }
      n = (gsize)MIN (extent.length, PIECE);
      result = block_image_read (image, offset, buffer, n);
      if (result < 0)
        return result;
      if (!alcove_disk_is_zero (buffer, n))
        {
          for (gsize i = 0; buffer[i] == 0; i++)
            offset++;
          break;
        }
      offset += n;
    }
  *ret = offset;
  return 0;
}

static gboolean
prove_empty (BlockImage *image, guint64 size, const BlockProgress *progress, GError **error)
{
  guint64 data = 0;
  int result = find_data (image, size, progress, &data, error);

  if (result == -ECANCELED)
    return FALSE;
  if (result < 0)
    return vmm_error_set_errno (error, result, "“%s” cannot be read", image->name);
  if (data >= block_image_get_size (image))
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "“%s” was not made smaller: the part to be cut off holds data, the first at byte "
               "%" G_GUINT64_FORMAT
               ". Shrink file system and partition in the guest first; force loses that data",
               image->name, data);
  return FALSE;
}

static gboolean
resize_image (
    BlockImage *image, guint64 size, gboolean force, const BlockProgress *progress, GError **error)
{
  BlockImageInfo info;
  int result;

  image->ops->get_info (image, &info);
  if (size == 0 || size % 512 != 0 || size > G_MAXINT64)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” cannot have %" G_GUINT64_FORMAT " bytes: give a multiple of 512",
                   image->name, size);
      return FALSE;
    }
  if (image->ops->resize == NULL)
    return refuse_format (image->name, info.format, "resized", error);
  if (size < info.size && !force && !prove_empty (image, size, progress, error))
    return FALSE;
  /* An image keeps data that is there, be it zeroes: the decision to drop it is made here. */
  if (size < info.size)
    {
      result = block_image_write_zeroes (image, size, info.size - size, TRUE);
      if (result < 0)
        return vmm_error_set_errno (error, result, "“%s” cannot be resized", image->name);
    }
  if (!image->ops->resize (image, size, progress, error))
    return FALSE;
  result = block_image_flush (image);
  return result == 0 || vmm_error_set_errno (error, result, "“%s” cannot be written", image->name);
}

gboolean
alcove_disk_resize (const char *path,
                    BlockFormat format,
                    guint64 size,
                    gboolean force,
                    const BlockProgress *progress,
                    GError **error)
{
  const BlockImageFlags flags = { 0 };
  BlockImage *image = block_image_open (path, format, &flags, error);
  gboolean good;

  if (image == NULL)
    return FALSE;
  good = resize_image (image, size, force, progress, error);
  block_image_close (image);
  return good;
}

/* ---- compact ---- */

static guint64
get_allocated (BlockImage *image)
{
  return (guint64)MAX (image->file->ops->get_allocated (image->file), 0);
}

/* Zeroes in data become holes, whole grains at a time. */
static int
punch_piece (BlockImage *image, guint64 offset, guint8 *buffer, gsize length, gsize grain)
{
  int result = block_image_read (image, offset, buffer, length);

  for (gsize at = 0; result == 0 && at < length;)
    {
      gsize n = 0;

      while (at + n < length && alcove_disk_is_zero (buffer + at + n, MIN (grain, length - at - n)))
        n += MIN (grain, length - at - n);
      if (n > 0)
        result = block_image_write_zeroes (image, offset + at, n, TRUE);
      at += n > 0 ? n : MIN (grain, length - at);
    }
  return result;
}

static gboolean
compact_in_place (BlockImage *image, gsize grain, const BlockProgress *progress, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (PIECE);
  guint64 size = block_image_get_size (image), at = 0;
  int result = 0;

  if (image->ops->check != NULL)
    {
      BlockCheckReport report = { 0 };
      gboolean good =
          image->ops->check (image, BLOCK_CHECK_REPAIR_LEAKS, &report, NULL, error) &&
          (report.corruptions == 0 ||
           (g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                         "“%s” is damaged: run \"alcove disk repair\" on it first", image->name),
            FALSE));

      block_check_report_clear (&report);
      if (!good)
        return FALSE;
    }
  while (at < size && result == 0)
    {
      BlockExtent extent;

      result = image->ops->map (image, at, MIN (PIECE, size - at), &extent);
      if (result < 0)
        break;
      extent.length = MIN (extent.length, PIECE);
      if (extent.kind == BLOCK_EXTENT_DATA)
        result = punch_piece (image, at, buffer, (gsize)extent.length, grain);
      if (!step (progress, at, size, image->name, error))
        return FALSE;
      at += extent.length;
    }
  if (result == 0)
    result = block_image_flush (image);
  return result == 0 ||
         vmm_error_set_errno (error, result, "“%s” cannot be compacted", image->name);
}

/* Owner and mode of the old file. Not being allowed to give it away is no reason to stop. */
static gboolean
keep_attributes (const char *path, const char *part, GError **error)
{
  struct stat st;

  if (stat (path, &st) == 0 && chmod (part, st.st_mode & 07777) == 0)
    {
      if (chown (part, st.st_uid, st.st_gid) < 0 && errno != EPERM)
        return vmm_error_set_errno (error, -errno, "“%s” cannot get its owner", part);
      return TRUE;
    }
  return vmm_error_set_errno (error, -errno, "“%s” cannot get the mode of the old file", part);
}

static gboolean
write_anew (BlockImage *image,
            const BlockImageInfo *info,
            const char *part,
            const BlockProgress *progress,
            GError **error)
{
  const AlcoveDiskPartOptions options = {
    .create = { .size = info->size,
                .cluster_size = info->cluster_size,
                .version = info->version,
                .extended_l2 = info->subcluster_size != info->cluster_size,
                .lazy_refcounts = info->lazy_refcounts,
                .compress_zstd = info->compressed_zstd,
                .backing_file = info->backing_file,
                .backing_format = info->backing_format },
    .copy = { .target_is_zero = TRUE,
              .own_only = info->backing_file != NULL,
              .keep_compressed = TRUE },
    .no_backing = TRUE,
  };

  return alcove_disk_fill_part (image, part, info->format, &options, progress, NULL, error);
}

/* A crash leaves the old file, and perhaps a hidden one beside it. We hold the old one's lock. */
static gboolean
compact_anew (BlockImage *image,
              const BlockImageInfo *info,
              const char *path,
              const BlockProgress *progress,
              guint64 *ret_after,
              GError **error)
{
  g_autofree char *real = realpath (path, NULL);
  g_autofree char *part = NULL;
  struct stat st;

  if (real == NULL)
    return vmm_error_set_errno (error, -errno, "“%s” cannot be found", path);
  part = alcove_disk_dup_part_path (real);
  if (!write_anew (image, info, part, progress, error) || !keep_attributes (real, part, error))
    {
      (void)unlink (part);
      return FALSE;
    }
  if (!alcove_disk_publish (part, real, TRUE, error))
    return FALSE;
  if (stat (real, &st) == 0)
    *ret_after = (guint64)st.st_blocks * 512;
  return TRUE;
}

static gboolean
is_one_file (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 && S_ISREG (st.st_mode) && st.st_nlink == 1;
}

gboolean
alcove_disk_compact (const char *path,
                     BlockFormat format,
                     const BlockProgress *progress,
                     guint64 *ret_before,
                     guint64 *ret_after,
                     GError **error)
{
  const BlockImageFlags flags = { .no_backing = TRUE, .discard = TRUE };
  BlockImage *image;
  BlockImageInfo info;
  guint64 before, after = 0;
  gboolean good;

  if (format != BLOCK_FORMAT_RAW && format != BLOCK_FORMAT_QCOW2)
    return refuse_format (path, format, "compacted", error);
  image = block_image_open (path, format, &flags, error);
  if (image == NULL)
    return FALSE;
  before = get_allocated (image);
  image->ops->get_info (image, &info);
  if (format == BLOCK_FORMAT_QCOW2 && info.n_snapshots == 0 && info.n_bitmaps == 0 &&
      !info.external_data && is_one_file (path))
    {
      good = compact_anew (image, &info, path, progress, &after, error);
    }
  else
    {
      good = compact_in_place (image, MAX (GRAIN, info.subcluster_size), progress, error);
      after = get_allocated (image);
    }
  block_image_close (image);
  if (ret_before != NULL)
    *ret_before = before;
  if (ret_after != NULL)
    *ret_after = after;
  return good;
}

/* ---- rebase, commit ---- */

/* What the backing image gives for a place of the image; zeroes past its end and without one. */
static int
read_backing (BlockImage *backing, guint64 offset, guint8 *buffer, gsize length)
{
  guint64 size = backing != NULL ? block_image_get_size (backing) : 0;
  gsize n = offset < size ? (gsize)MIN ((guint64)length, size - offset) : 0;

  memset (buffer + n, 0, length - n);
  return n > 0 ? block_image_read (backing, offset, buffer, n) : 0;
}

/* Zeroes that stay when another image comes to lie behind: where nothing does now, the image need not
 * note that they are zeroes, and does not. */
static int
put_zeroes (BlockImage *image, guint64 offset, const guint8 *zeroes, gsize length)
{
  guint64 behind = image->backing != NULL ? block_image_get_size (image->backing) : 0;

  return offset + length <= behind ? block_image_write_zeroes (image, offset, length, FALSE)
                                   : block_image_write (image, offset, zeroes, length);
}

/* What image does not hold itself must read the same over the new backing image. */
static gboolean
copy_differences (BlockImage *image,
                  BlockImage *backing,
                  const BlockProgress *progress,
                  GError **error)
{
  g_autofree guint8 *now = g_malloc (PIECE), *then = g_malloc (PIECE);
  guint64 size = block_image_get_size (image), at = 0;
  BlockImageInfo info;
  gsize grain;
  int result = 0;

  image->ops->get_info (image, &info);
  grain = MAX (GRAIN, info.subcluster_size);
  while (at < size && result == 0)
    {
      BlockExtent extent;
      gsize length;

      result = image->ops->map (image, at, MIN (PIECE, size - at), &extent);
      if (result < 0)
        break;
      length = (gsize)MIN (extent.length, PIECE);
      if (extent.kind == BLOCK_EXTENT_UNALLOCATED)
        {
          result = block_image_read (image, at, now, length);
          if (result == 0)
            result = read_backing (backing, at, then, length);
          for (gsize i = 0; result == 0 && i < length; i += grain)
            {
              gsize n = MIN (grain, length - i);

              if (memcmp (now + i, then + i, n) != 0)
                result = alcove_disk_is_zero (now + i, n)
                             ? put_zeroes (image, at + i, now + i, n)
                             : block_image_write (image, at + i, now + i, n);
            }
        }
      if (!step (progress, at, size, image->name, error))
        return FALSE;
      at += length;
    }
  if (result == 0)
    result = block_image_flush (image);
  return result == 0 || vmm_error_set_errno (error, result, "“%s” cannot be changed", image->name);
}

/* backing as block_image_open would find it from an image at path. */
static char *
dup_backing_path (const char *path, const char *backing)
{
  g_autofree char *folder = g_path_get_dirname (path);

  return g_path_is_absolute (backing) ? g_strdup (backing)
                                      : g_build_filename (folder, backing, NULL);
}

gboolean
alcove_disk_rebase (const char *path,
                    BlockFormat format,
                    const char *backing,
                    const char *backing_format,
                    gboolean header_only,
                    const BlockProgress *progress,
                    GError **error)
{
  const BlockImageFlags flags = { .no_backing = header_only };
  const BlockImageFlags backing_flags = { .readonly = TRUE };
  g_autofree char *backing_path = backing != NULL ? dup_backing_path (path, backing) : NULL;
  BlockImage *image, *onto = NULL;
  BlockFormat onto_format;
  gboolean good;

  if (backing != NULL &&
      (backing_format == NULL || !block_format_from_string (backing_format, &onto_format)))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The backing image “%s” needs the name of its format", backing);
      return FALSE;
    }
  image = block_image_open (path, format, &flags, error);
  if (image == NULL)
    return FALSE;
  good = image->ops->set_backing != NULL ||
         refuse_format (path, format, "given a backing image", error);
  if (good && !header_only && backing != NULL)
    {
      onto = block_image_open (backing_path, onto_format, &backing_flags, error);
      good = onto != NULL;
    }
  if (good && !header_only)
    good = copy_differences (image, onto, progress, error);
  good = good && image->ops->set_backing (image, backing, backing_format, error);
  block_image_close (onto);
  block_image_close (image);
  return good;
}

gboolean
alcove_disk_commit (const char *path,
                    BlockFormat format,
                    const BlockProgress *progress,
                    GError **error)
{
  /* Alone, and its backing image for writing, which an open chain would only read. */
  const BlockImageFlags flags = { .readonly = TRUE, .no_backing = TRUE };
  const BlockImageFlags backing_flags = { .discard = TRUE };
  const AlcoveDiskCopyOptions copy = { .own_only = TRUE };
  BlockImage *image = block_image_open (path, format, &flags, error), *backing = NULL;
  g_autofree char *backing_path = NULL;
  BlockFormat backing_format;
  BlockImageInfo info;
  gboolean good = FALSE;

  if (image == NULL)
    return FALSE;
  image->ops->get_info (image, &info);
  if (info.backing_file == NULL || info.backing_format == NULL ||
      !block_format_from_string (info.backing_format, &backing_format))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” has no backing image of a named format to write into", path);
    }
  else
    {
      backing_path = dup_backing_path (path, info.backing_file);
      backing = block_image_open (backing_path, backing_format, &backing_flags, error);
    }
  if (backing != NULL)
    {
      good = block_image_get_size (backing) >= info.size ||
             resize_image (backing, info.size, FALSE, NULL, error);
      good = good && alcove_disk_copy (image, backing, &copy, progress, NULL, error);
    }
  block_image_close (backing);
  block_image_close (image);
  return good;
}
