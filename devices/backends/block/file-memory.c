/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A file in memory, sparse: tests and fuzzing. Chunks that were never written read as zeroes. */
#include "devices/backends/block/file-private.h"

#include <errno.h>
#include <string.h>

#define CHUNK      65536u
#define MAX_CHUNKS 16384u /* 1 GiB: a hostile image is not to take the host's memory */

typedef struct
{
  BlockFile parent;
  GMutex lock;
  guint64 size;
  GHashTable *chunks; /* of guint8[CHUNK] by guint64 index */
} MemoryFile;

static guint8 *
get_chunk (MemoryFile *self, guint64 index)
{
  return g_hash_table_lookup (self->chunks, &index);
}

static guint8 *
make_chunk (MemoryFile *self, guint64 index)
{
  guint8 *chunk = get_chunk (self, index);
  guint64 *key;

  if (chunk != NULL)
    return chunk;
  if (g_hash_table_size (self->chunks) >= MAX_CHUNKS)
    return NULL;
  key = g_new (guint64, 1);
  *key = index;
  chunk = g_malloc0 (CHUNK);
  g_hash_table_insert (self->chunks, key, chunk);
  return chunk;
}

static int
check_range (guint64 offset, const struct iovec *iov, guint n_iov, guint64 *ret_length)
{
  if (!block_iov_length (iov, n_iov, ret_length) || offset > (guint64)G_MAXINT64 - *ret_length)
    return -EINVAL;
  return 0;
}

static int
memory_readv (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  MemoryFile *self = (MemoryFile *)file;
  guint64 length;
  int result = check_range (offset, iov, n_iov, &length);

  if (result < 0)
    return result;
  g_mutex_lock (&self->lock);
  for (guint64 done = 0; done < length;)
    {
      guint64 at = offset + done;
      guint64 piece = MIN (length - done, CHUNK - at % CHUNK);
      guint8 *chunk = get_chunk (self, at / CHUNK);

      block_iov_copy (iov, n_iov, done, chunk != NULL ? chunk + at % CHUNK : NULL, piece, TRUE);
      done += piece;
    }
  g_mutex_unlock (&self->lock);
  return 0;
}

static int
memory_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  MemoryFile *self = (MemoryFile *)file;
  guint64 length;
  int result = check_range (offset, iov, n_iov, &length);

  if (result < 0)
    return result;
  if (file->readonly)
    return -EROFS;
  g_mutex_lock (&self->lock);
  for (guint64 done = 0; done < length && result == 0;)
    {
      guint64 at = offset + done;
      guint64 piece = MIN (length - done, CHUNK - at % CHUNK);
      guint8 *chunk = make_chunk (self, at / CHUNK);

      if (chunk == NULL)
        result = -ENOSPC;
      else
        {
          block_iov_copy (iov, n_iov, done, chunk + at % CHUNK, piece, FALSE);
          self->size = MAX (self->size, at + piece);
        }
      done += piece;
    }
  g_mutex_unlock (&self->lock);
  return result;
}

static int
memory_flush (BlockFile *file)
{
  return 0;
}

static void
clear_range_locked (MemoryFile *self, guint64 offset, guint64 end)
{
  GHashTableIter iter;
  gpointer key, value;

  /* Over the chunks there are: the range may be far larger. */
  g_hash_table_iter_init (&iter, self->chunks);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      guint64 first = *(guint64 *)key * CHUNK;
      guint64 from = MAX (first, offset), to = MIN (first + CHUNK, end);

      if (from >= to)
        continue;
      if (to - from == CHUNK)
        g_hash_table_iter_remove (&iter);
      else
        memset ((guint8 *)value + (from - first), 0, to - from);
    }
}

static int
memory_truncate (BlockFile *file, guint64 size)
{
  MemoryFile *self = (MemoryFile *)file;

  if (file->readonly)
    return -EROFS;
  if (size > G_MAXINT64)
    return -EFBIG;
  g_mutex_lock (&self->lock);
  if (size < self->size)
    clear_range_locked (self, size, G_MAXINT64);
  self->size = size;
  g_mutex_unlock (&self->lock);
  return 0;
}

static int
memory_zero (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags)
{
  MemoryFile *self = (MemoryFile *)file;

  if (length > G_MAXINT64 || offset > (guint64)G_MAXINT64 - length)
    return -EINVAL;
  if (file->readonly)
    return -EROFS;
  g_mutex_lock (&self->lock);
  clear_range_locked (self, offset, offset + length);
  self->size = MAX (self->size, offset + length);
  g_mutex_unlock (&self->lock);
  return 0;
}

static int
memory_discard (BlockFile *file, guint64 offset, guint64 length)
{
  MemoryFile *self = (MemoryFile *)file;

  if (length > G_MAXINT64 || offset > (guint64)G_MAXINT64 - length)
    return -EINVAL;
  if (file->readonly)
    return -EROFS;
  g_mutex_lock (&self->lock);
  clear_range_locked (self, offset, offset + length);
  g_mutex_unlock (&self->lock);
  return 0;
}

static gint64
memory_get_size (BlockFile *file)
{
  MemoryFile *self = (MemoryFile *)file;
  gint64 size;

  g_mutex_lock (&self->lock);
  size = (gint64)self->size;
  g_mutex_unlock (&self->lock);
  return size;
}

static gint64
memory_get_allocated (BlockFile *file)
{
  MemoryFile *self = (MemoryFile *)file;
  gint64 n;

  g_mutex_lock (&self->lock);
  n = (gint64)g_hash_table_size (self->chunks) * CHUNK;
  g_mutex_unlock (&self->lock);
  return n;
}

static int
memory_map (
    BlockFile *file, guint64 offset, guint64 length, guint64 *ret_length, gboolean *ret_data)
{
  MemoryFile *self = (MemoryFile *)file;
  guint64 end = offset + length, at = offset;

  g_mutex_lock (&self->lock);
  *ret_data = get_chunk (self, offset / CHUNK) != NULL;
  while (at < end && (get_chunk (self, at / CHUNK) != NULL) == *ret_data)
    {
      at += CHUNK - at % CHUNK;
      /* A hole is told in pieces, or a huge one would take as long as it is. */
      if (at - offset > MAX_CHUNKS * (guint64)CHUNK)
        break;
    }
  g_mutex_unlock (&self->lock);
  *ret_length = MIN (at, end) - offset;
  return 0;
}

static int
memory_get_fd (BlockFile *file)
{
  return -1;
}

static void
memory_close (BlockFile *file)
{
  MemoryFile *self = (MemoryFile *)file;

  g_hash_table_unref (self->chunks);
  g_mutex_clear (&self->lock);
  g_free (file->name);
  g_free (self);
}

static const BlockFileOps memory_ops = {
  .name = "memory",
  .readv = memory_readv,
  .writev = memory_writev,
  .flush = memory_flush,
  .truncate = memory_truncate,
  .zero = memory_zero,
  .discard = memory_discard,
  .get_size = memory_get_size,
  .get_allocated = memory_get_allocated,
  .map = memory_map,
  .get_fd = memory_get_fd,
  .close = memory_close,
};

BlockFile *
block_file_new_memory (const char *name, guint64 size)
{
  MemoryFile *self = g_new0 (MemoryFile, 1);

  self->parent.ops = &memory_ops;
  self->parent.name = g_strdup (name);
  self->parent.request_align = self->parent.memory_align = 1;
  self->size = MIN (size, G_MAXINT64);
  self->chunks = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_mutex_init (&self->lock);
  return &self->parent;
}
