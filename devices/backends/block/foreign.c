/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/block/foreign-private.h"

#include <errno.h>
#include <string.h>

gpointer
block_foreign_new (gsize instance_size,
                   const BlockImageOps *ops,
                   const BlockForeignFormat *format,
                   BlockFormat id,
                   BlockFile *file)
{
  BlockForeign *self = g_malloc0 (instance_size);

  self->base.ops = ops;
  self->base.name = g_strdup (file->name);
  self->base.file = file;
  self->format = format;
  self->info.format = id;
  self->info.readonly = TRUE;
  self->unit_at = G_MAXUINT64;
  g_mutex_init (&self->unit_lock);
  return self;
}

void
block_foreign_close (BlockImage *image)
{
  BlockForeign *self = (BlockForeign *)image;

  if (self->format->clear != NULL)
    self->format->clear (self);
  g_mutex_clear (&self->unit_lock);
  g_free (self->unit);
  block_file_close (image->file);
  g_free (image->name);
  g_free (self);
}

void
block_foreign_get_info (BlockImage *image, BlockImageInfo *ret_info)
{
  *ret_info = ((BlockForeign *)image)->info;
}

/* Bytes [skip, skip + length) of the compressed unit into buffer. */
static int
read_unit (BlockForeign *self, const BlockForeignRun *run, gpointer buffer, gsize length)
{
  int result = 0;

  g_mutex_lock (&self->unit_lock);
  if (self->unit == NULL)
    self->unit = g_try_malloc (self->unit_size);
  if (self->unit == NULL)
    {
      result = -ENOMEM;
    }
  else if (self->unit_at != run->file_offset || self->unit_file != run->file)
    {
      self->unit_at = G_MAXUINT64;
      result = self->format->read_unit (self, run, self->unit);
      if (result == 0)
        {
          self->unit_at = run->file_offset;
          self->unit_file = run->file;
        }
    }
  if (result == 0)
    memcpy (buffer, self->unit + run->skip, length);
  g_mutex_unlock (&self->unit_lock);
  return result;
}

/* One piece: as much of [offset, offset + length) as lies in one run. */
static int
read_piece (BlockForeign *self, guint64 offset, guint8 *buffer, gsize length, gsize *ret_done)
{
  BlockForeignRun run = { 0 };
  int result = self->format->find (self, offset, &run);
  gsize n;

  if (result < 0)
    return result;
  n = (gsize)MIN (run.length, (guint64)length);
  *ret_done = n;
  switch (run.kind)
    {
    case BLOCK_EXTENT_DATA:
      {
        gint64 size = run.file->ops->get_size (run.file);

        /* Files read as zeroes past their end, but a disk whose data is missing must not. */
        if (size < 0)
          return (int)size;
        if (run.file_offset > (guint64)size || n > (guint64)size - run.file_offset)
          return -EIO;
        return block_file_read (run.file, run.file_offset, buffer, n);
      }
    case BLOCK_EXTENT_COMPRESSED:
      return read_unit (self, &run, buffer, n);
    case BLOCK_EXTENT_UNALLOCATED:
    case BLOCK_EXTENT_ZERO:
    default:
      memset (buffer, 0, n);
      return 0;
    }
}

int
block_foreign_readv (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov)
{
  BlockForeign *self = (BlockForeign *)image;

  for (guint i = 0; i < n_iov; i++)
    {
      guint8 *buffer = iov[i].iov_base;
      gsize left = iov[i].iov_len;

      if (offset > self->info.size || left > self->info.size - offset)
        return -EINVAL;
      while (left > 0)
        {
          gsize done = 0;
          int result = read_piece (self, offset, buffer, left, &done);

          if (result < 0)
            return result;
          offset += done;
          buffer += done;
          left -= done;
        }
    }
  return 0;
}

int
block_foreign_map (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent)
{
  BlockForeign *self = (BlockForeign *)image;
  BlockForeignRun run = { 0 };
  int result;

  if (length == 0 || offset >= self->info.size || length > self->info.size - offset)
    return -EINVAL;
  *ret_extent = (BlockExtent){ .offset = offset, .file_offset = -1 };
  while (ret_extent->length < length)
    {
      guint64 at = ret_extent->length;
      gint64 place;

      result = self->format->find (self, offset + at, &run);
      if (result < 0)
        return at > 0 ? 0 : result;
      place =
          run.kind == BLOCK_EXTENT_DATA && run.file == image->file ? (gint64)run.file_offset : -1;
      if (at == 0)
        {
          ret_extent->kind = run.kind;
          ret_extent->file_offset = place;
        }
      else if (run.kind != ret_extent->kind ||
               (ret_extent->file_offset < 0 ? place >= 0
                                            : place != ret_extent->file_offset + (gint64)at))
        {
          break;
        }
      ret_extent->length += MIN (run.length, length - at);
    }
  return 0;
}

int
block_foreign_writev (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov)
{
  return -EROFS;
}

int
block_foreign_write_zeroes (BlockImage *image, guint64 offset, guint64 length, gboolean unmap)
{
  return -EROFS;
}

int
block_foreign_discard (BlockImage *image, guint64 offset, guint64 length)
{
  return -EROFS;
}

int
block_foreign_flush (BlockImage *image)
{
  return 0;
}

G_GNUC_PRINTF (6, 0)
static gboolean
set_error (GError **error,
           VmmErrorCode code,
           BlockFile *file,
           const char *format,
           const char *joint,
           const char *text,
           va_list args)
{
  g_autofree char *detail = g_strdup_vprintf (text, args);

  g_set_error (error, VMM_ERROR, code, "%s %s %s image: %s", file->name, joint, format, detail);
  return FALSE;
}

gboolean
block_foreign_invalid (GError **error, BlockFile *file, const char *format, const char *text, ...)
{
  va_list args;

  va_start (args, text);
  (void)set_error (error, VMM_ERROR_INVALID, file, format, "is no good", text, args);
  va_end (args);
  return FALSE;
}

gboolean
block_foreign_unsupported (
    GError **error, BlockFile *file, const char *format, const char *text, ...)
{
  va_list args;

  va_start (args, text);
  (void)set_error (error, VMM_ERROR_NOT_SUPPORTED, file, format, "cannot be read as a", text, args);
  va_end (args);
  return FALSE;
}

static gboolean
check_range (BlockFile *file, guint64 offset, guint64 length, const char *what, GError **error)
{
  gint64 size = file->ops->get_size (file);

  if (size < 0)
    return vmm_error_set_errno (error, (int)size, "The size of %s cannot be found out", file->name);
  if (offset <= (guint64)size && length <= (guint64)size - offset)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "%s is cut short or damaged: its %s would end at byte %" G_GUINT64_FORMAT
               ", the file at %" G_GINT64_FORMAT ". Copy the file anew",
               file->name, what, offset > G_MAXUINT64 - length ? G_MAXUINT64 : offset + length,
               size);
  return FALSE;
}

gboolean
block_foreign_read (BlockFile *file,
                    guint64 offset,
                    gpointer buffer,
                    gsize length,
                    const char *what,
                    GError **error)
{
  int result;

  if (!check_range (file, offset, length, what, error))
    return FALSE;
  result = block_file_read (file, offset, buffer, length);
  if (result < 0)
    return vmm_error_set_errno (error, result, "The %s of %s cannot be read", what, file->name);
  return TRUE;
}

gpointer
block_foreign_load (
    BlockFile *file, guint64 offset, guint64 length, const char *what, GError **error)
{
  g_autofree guint8 *buffer = NULL;

  if (length > BLOCK_FOREIGN_TABLE_MAX)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The %s of %s says it has %" G_GUINT64_FORMAT
                   " bytes, which no sound image needs",
                   what, file->name, length);
      return NULL;
    }
  /* Nothing is allocated for what cannot be there. */
  if (!check_range (file, offset, length, what, error))
    return NULL;
  buffer = g_try_malloc ((gsize)MAX (length, 1));
  if (buffer == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
                   "There is not enough memory for the %s of %s", what, file->name);
      return NULL;
    }
  if (!block_foreign_read (file, offset, buffer, (gsize)length, what, error))
    return NULL;
  return g_steal_pointer (&buffer);
}

guint32
block_foreign_crc32c (guint32 crc, const guint8 *data, gsize length)
{
  crc = ~crc;
  for (gsize i = 0; i < length; i++)
    {
      crc ^= data[i];
      for (guint bit = 0; bit < 8; bit++)
        crc = crc >> 1 ^ (0x82f63b78u & -(crc & 1));
    }
  return ~crc;
}
