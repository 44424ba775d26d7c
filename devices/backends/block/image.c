/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is the same for all formats: names, bounds, the walk along the chain. */
#include "devices/backends/block/image.h"

#include <errno.h>
#include <string.h>

static const char *const format_names[BLOCK_N_FORMATS] = {
  [BLOCK_FORMAT_RAW] = "raw", [BLOCK_FORMAT_QCOW2] = "qcow2", [BLOCK_FORMAT_VMDK] = "vmdk",
  [BLOCK_FORMAT_VHD] = "vhd", [BLOCK_FORMAT_VHDX] = "vhdx",   [BLOCK_FORMAT_VDI] = "vdi",
};

const char *
block_format_to_string (BlockFormat format)
{
  g_return_val_if_fail ((guint)format < BLOCK_N_FORMATS, "unknown");
  return format_names[format];
}

gboolean
block_format_from_string (const char *word, BlockFormat *ret_format)
{
  /* QEMU's name of VHD, as a backing format in an image. */
  if (strcmp (word, "vpc") == 0)
    word = "vhd";
  for (guint i = 0; i < BLOCK_N_FORMATS; i++)
    if (strcmp (word, format_names[i]) == 0)
      {
        *ret_format = i;
        return TRUE;
      }
  return FALSE;
}

BlockFormat
block_format_guess (BlockFile *file)
{
  guint8 head[512] = { 0 }, tail[512] = { 0 };
  gint64 size = file->ops->get_size (file);

  if (size < 4 || block_file_read (file, 0, head, sizeof head) < 0)
    return BLOCK_FORMAT_RAW;
  if (memcmp (head, "QFI\xfb", 4) == 0)
    return BLOCK_FORMAT_QCOW2;
  if (memcmp (head, "KDMV", 4) == 0 || memcmp (head, "COWD", 4) == 0 ||
      memcmp (head, "# Disk DescriptorFile", 21) == 0)
    return BLOCK_FORMAT_VMDK;
  if (memcmp (head, "vhdxfile", 8) == 0)
    return BLOCK_FORMAT_VHDX;
  if (memcmp (head + 0x40, "\x7f\x10\xda\xbe", 4) == 0)
    return BLOCK_FORMAT_VDI;
  if (memcmp (head, "conectix", 8) == 0)
    return BLOCK_FORMAT_VHD;
  /* A fixed VHD has its footer at the end only, of 511 bytes from some programs. */
  if (size >= 1024 && block_file_read (file, (guint64)size - 512, tail, sizeof tail) == 0 &&
      (memcmp (tail, "conectix", 8) == 0 || memcmp (tail + 1, "conectix", 8) == 0))
    return BLOCK_FORMAT_VHD;
  return BLOCK_FORMAT_RAW;
}

void
block_snapshot_free (BlockSnapshot *snapshot)
{
  if (snapshot == NULL)
    return;
  g_free (snapshot->id);
  g_free (snapshot->name);
  g_free (snapshot);
}

void
block_bitmap_free (BlockBitmap *bitmap)
{
  if (bitmap == NULL)
    return;
  g_free (bitmap->name);
  g_free (bitmap);
}

void
block_check_report_clear (BlockCheckReport *report)
{
  g_clear_pointer (&report->messages, g_ptr_array_unref);
}

/* ---- data ---- */

guint64
block_image_get_size (BlockImage *image)
{
  BlockImageInfo info;

  image->ops->get_info (image, &info);
  return info.size;
}

static gboolean
in_bounds (BlockImage *image, guint64 offset, guint64 length)
{
  guint64 size = block_image_get_size (image);

  return length <= size && offset <= size - length;
}

int
block_image_read (BlockImage *image, guint64 offset, void *buffer, gsize length)
{
  struct iovec iov = { buffer, length };

  if (!in_bounds (image, offset, length))
    return -EINVAL;
  return length == 0 ? 0 : image->ops->readv (image, offset, &iov, 1);
}

int
block_image_write (BlockImage *image, guint64 offset, const void *buffer, gsize length)
{
  struct iovec iov = { (void *)buffer, length };

  if (!in_bounds (image, offset, length))
    return -EINVAL;
  if (image->ops->writev == NULL)
    return -EROFS;
  return length == 0 ? 0 : image->ops->writev (image, offset, &iov, 1);
}

int
block_image_write_zeroes (BlockImage *image, guint64 offset, guint64 length, gboolean unmap)
{
  if (!in_bounds (image, offset, length))
    return -EINVAL;
  if (image->ops->write_zeroes == NULL)
    return -EROFS;
  return length == 0 ? 0 : image->ops->write_zeroes (image, offset, length, unmap);
}

int
block_image_flush (BlockImage *image)
{
  return image->ops->flush != NULL ? image->ops->flush (image) : 0;
}

int
block_image_map (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent)
{
  guint64 size = block_image_get_size (image);

  if (length == 0 || offset >= size)
    return -EINVAL;
  length = MIN (length, size - offset);
  for (guint depth = 0;; depth++)
    {
      int result = image->ops->map (image, offset, length, ret_extent);

      if (result < 0)
        return result;
      length = MIN (length, ret_extent->length);
      ret_extent->offset = offset;
      ret_extent->length = length;
      ret_extent->depth = depth;
      image = image->backing;
      if (ret_extent->kind != BLOCK_EXTENT_UNALLOCATED || image == NULL)
        return 0;
      size = block_image_get_size (image);
      if (offset >= size)
        return 0;
      length = MIN (length, size - offset);
    }
}

/* ---- snapshots ---- */

static gboolean
refuse_unsupported (BlockImage *image, GError **error)
{
  BlockImageInfo info;

  image->ops->get_info (image, &info);
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "“%s” cannot hold snapshots: its format is %s; convert it to qcow2", image->name,
               block_format_to_string (info.format));
  return FALSE;
}

gboolean
block_image_snapshot_create (
    BlockImage *image, const char *id, const char *name, guint64 guest_ns, GError **error)
{
  const BlockSnapshot snapshot = {
    .id = (char *)id,
    .name = (char *)name,
    .disk_size = block_image_get_size (image),
    .time_ns = g_get_real_time () * 1000,
    .guest_ns = guest_ns,
  };

  if (image->ops->snapshot_create == NULL)
    return refuse_unsupported (image, error);
  return image->ops->snapshot_create (image, &snapshot, error);
}

gboolean
block_image_snapshot_apply (BlockImage *image, const char *id, GError **error)
{
  if (image->ops->snapshot_apply == NULL)
    return refuse_unsupported (image, error);
  return image->ops->snapshot_apply (image, id, error);
}

gboolean
block_image_snapshot_delete (BlockImage *image, const char *id, GError **error)
{
  if (image->ops->snapshot_delete == NULL)
    return refuse_unsupported (image, error);
  return image->ops->snapshot_delete (image, id, error);
}

BlockImage *
block_image_snapshot_open (BlockImage *image, const char *id, GError **error)
{
  if (image->ops->snapshot_open == NULL)
    {
      (void)refuse_unsupported (image, error);
      return NULL;
    }
  return image->ops->snapshot_open (image, id, error);
}
