/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The raw format as a BlockImage: the file's bytes are the disk's. A size that is no multiple of 512
 * is rounded up, the rest reads as zeroes. raw.c is the faster way of a device to a host file. */
#include <errno.h>

#include "devices/backends/block/file-private.h"
#include "devices/backends/block/image.h"

#define SECTOR 512u

typedef struct
{
  BlockImage parent;
  gboolean discard;
  GMutex lock; /* size */
  guint64 size;
} RawImage;

static guint64
get_size (RawImage *self)
{
  guint64 size;

  g_mutex_lock (&self->lock);
  size = self->size;
  g_mutex_unlock (&self->lock);
  return size;
}

static gboolean
in_bounds (RawImage *self, guint64 offset, guint64 length)
{
  guint64 size = get_size (self);

  return length <= size && offset <= size - length;
}

static void
raw_get_info (BlockImage *image, BlockImageInfo *ret_info)
{
  *ret_info = (BlockImageInfo){
    .format = BLOCK_FORMAT_RAW,
    .size = get_size ((RawImage *)image),
    .readonly = image->file->readonly,
  };
}

static int
raw_readv (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov)
{
  guint64 length;

  if (!block_iov_length (iov, n_iov, &length) || !in_bounds ((RawImage *)image, offset, length))
    return -EINVAL;
  return image->file->ops->readv (image->file, offset, iov, n_iov);
}

static int
raw_writev (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov)
{
  guint64 length;

  if (!block_iov_length (iov, n_iov, &length) || !in_bounds ((RawImage *)image, offset, length))
    return -EINVAL;
  if (image->file->readonly)
    return -EROFS;
  return image->file->ops->writev (image->file, offset, iov, n_iov);
}

static int
raw_write_zeroes (BlockImage *image, guint64 offset, guint64 length, gboolean unmap)
{
  RawImage *self = (RawImage *)image;

  if (!in_bounds (self, offset, length))
    return -EINVAL;
  if (image->file->readonly)
    return -EROFS;
  return image->file->ops->zero (image->file, offset, length,
                                 unmap && self->discard ? BLOCK_FILE_ZERO_UNMAP
                                                        : BLOCK_FILE_ZERO_NONE);
}

static int
raw_discard (BlockImage *image, guint64 offset, guint64 length)
{
  RawImage *self = (RawImage *)image;

  if (!in_bounds (self, offset, length))
    return -EINVAL;
  if (image->file->readonly)
    return -EROFS;
  return self->discard ? image->file->ops->discard (image->file, offset, length) : 0;
}

static int
raw_flush (BlockImage *image)
{
  return image->file->ops->flush (image->file);
}

static int
raw_map (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent)
{
  RawImage *self = (RawImage *)image;
  gint64 end = image->file->ops->get_size (image->file);
  guint64 piece = length;
  gboolean data = FALSE;
  int result = 0;

  if (length == 0 || !in_bounds (self, offset, length))
    return -EINVAL;
  if (end < 0)
    return (int)end;
  if (offset < (guint64)end)
    result = image->file->ops->map (image->file, offset, MIN (length, (guint64)end - offset),
                                    &piece, &data);
  if (result < 0)
    return result;
  *ret_extent = (BlockExtent){
    .offset = offset,
    .length = piece,
    .kind = data ? BLOCK_EXTENT_DATA : BLOCK_EXTENT_ZERO,
    .file_offset = (gint64)offset,
  };
  return 0;
}

static gboolean
raw_begin (BlockImage *image, gboolean write, guint64 offset, guint64 length, BlockPlan *ret_plan)
{
  int fd = image->file->ops->get_fd (image->file);

  /* The rounded end of the disk may lie beyond the file's: reading there is the slow way's. */
  if (fd < 0 || !in_bounds ((RawImage *)image, offset, length) || (write && image->file->readonly))
    return FALSE;
  ret_plan->fd = fd;
  ret_plan->n_pieces = 1;
  ret_plan->pieces[0] = (BlockPlanPiece){ length, (gint64)offset };
  return TRUE;
}

static int
raw_end (BlockImage *image, BlockPlan *plan, int result)
{
  return result;
}

static gboolean
raw_resize (BlockImage *image, guint64 size, const BlockProgress *progress, GError **error)
{
  RawImage *self = (RawImage *)image;
  int result;

  if (size == 0 || size % SECTOR != 0 || size > G_MAXINT64)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” cannot get a size of %" G_GUINT64_FORMAT
                   " bytes: it must be a multiple of 512",
                   image->name, size);
      return FALSE;
    }
  g_mutex_lock (&self->lock);
  result = image->file->ops->truncate (image->file, size);
  if (result == 0)
    self->size = size;
  g_mutex_unlock (&self->lock);
  return result == 0 || vmm_error_set_errno (error, result, "Cannot resize “%s”", image->name);
}

static void
raw_close (BlockImage *image)
{
  RawImage *self = (RawImage *)image;

  if (image->file != NULL && !image->file->readonly)
    (void)image->file->ops->flush (image->file);
  block_image_close (image->backing);
  block_file_close (image->file);
  g_mutex_clear (&self->lock);
  g_free (image->name);
  g_free (self);
}

static const BlockImageOps raw_ops = {
  .name = "raw",
  .get_info = raw_get_info,
  .readv = raw_readv,
  .writev = raw_writev,
  .write_zeroes = raw_write_zeroes,
  .discard = raw_discard,
  .flush = raw_flush,
  .map = raw_map,
  .begin = raw_begin,
  .end = raw_end,
  .resize = raw_resize,
  .close = raw_close,
};

BlockImage *
block_image_open_raw (BlockFile *file, const BlockImageFlags *flags, GError **error)
{
  gint64 size = file->ops->get_size (file);
  RawImage *self;

  if (size <= 0 || size > G_MAXINT64 - SECTOR)
    {
      if (size < 0)
        (void)vmm_error_set_errno (error, (int)size, "Cannot get the size of “%s”", file->name);
      else
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                     size == 0
                         ? "The disk image “%s” is empty; give it a size, or choose another file"
                         : "“%s” is too large",
                     file->name);
      block_file_close (file);
      return NULL;
    }
  self = g_new0 (RawImage, 1);
  self->parent.ops = &raw_ops;
  self->parent.name = g_strdup (file->name);
  self->parent.file = file;
  self->discard = flags->discard;
  self->size = ((guint64)size + SECTOR - 1) / SECTOR * SECTOR;
  g_mutex_init (&self->lock);
  return &self->parent;
}
