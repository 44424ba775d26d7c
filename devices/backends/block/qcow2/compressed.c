/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Compressed clusters: raw deflate or one zstd stream a cluster, packed at any byte. What comes out
 * is bounded by the cluster, whatever went in. */
#include <zlib.h>
#include <zstd.h>

#include "devices/backends/block/qcow2/qcow2-private.h"

#define WINDOW_BITS -12 /* raw deflate, window of 4 KiB: what readers expect */

static int
inflate_cluster (const guint8 *in, gsize in_length, guint8 *out, gsize out_length)
{
  z_stream z = { .next_in = (guint8 *)in,
                 .avail_in = (uInt)in_length,
                 .next_out = out,
                 .avail_out = (uInt)out_length };
  int r;

  if (inflateInit2 (&z, WINDOW_BITS) != Z_OK)
    return -ENOMEM;
  r = inflate (&z, Z_FINISH);
  inflateEnd (&z);
  return (r == Z_STREAM_END || r == Z_BUF_ERROR || r == Z_OK) && z.avail_out == 0 ? 0 : -EIO;
}

static int
unzstd_cluster (const guint8 *in, gsize in_length, guint8 *out, gsize out_length)
{
  ZSTD_inBuffer input = { in, in_length, 0 };
  ZSTD_outBuffer output = { out, out_length, 0 };
  ZSTD_DCtx *z = ZSTD_createDCtx ();
  int r = 0;

  if (z == NULL)
    return -ENOMEM;
  while (r == 0 && output.pos < output.size)
    {
      gsize in_before = input.pos, out_before = output.pos;
      gsize left = ZSTD_decompressStream (z, &output, &input);

      if (ZSTD_isError (left) || (input.pos == in_before && output.pos == out_before))
        r = -EIO;
    }
  ZSTD_freeDCtx (z);
  return r;
}

int
qcow2_packed_read (Qcow2 *q, guint64 entry, guint8 *buffer)
{
  g_autofree guint8 *packed = NULL;
  guint64 offset, length;
  int r;

  qcow2_packed_place (q, entry, &offset, &length);
  packed = g_malloc (length);
  r = block_file_read (q->parent.file, offset, packed, length);
  if (r < 0)
    return r;
  return q->compression == 0 ? inflate_cluster (packed, length, buffer, q->cluster_size)
                             : unzstd_cluster (packed, length, buffer, q->cluster_size);
}

/* ---- writing ---- */

/* 0: it does not get smaller. */
static gsize
deflate_cluster (const guint8 *in, gsize in_length, guint8 *out, gsize out_length)
{
  z_stream z = { .next_in = (guint8 *)in,
                 .avail_in = (uInt)in_length,
                 .next_out = out,
                 .avail_out = (uInt)out_length };
  int r;

  if (deflateInit2 (&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, 9, Z_DEFAULT_STRATEGY) !=
      Z_OK)
    return 0;
  r = deflate (&z, Z_FINISH);
  deflateEnd (&z);
  return r == Z_STREAM_END ? out_length - z.avail_out : 0;
}

static gsize
zstd_cluster (const guint8 *in, gsize in_length, guint8 *out, gsize out_length)
{
  gsize n = ZSTD_compress (out, out_length, in, in_length, ZSTD_CLEVEL_DEFAULT);

  return ZSTD_isError (n) ? 0 : n;
}

/* A place for length bytes: after the compressed cluster before, or in new clusters. Every host
 * cluster that it touches counts it. With the lock. */
static int
alloc_bytes (Qcow2 *q, guint64 length, guint64 *ret_offset)
{
  guint64 mask = q->cluster_size - 1, first;
  guint64 room = (q->byte_offset & mask) != 0 ? q->cluster_size - (q->byte_offset & mask) : 0;
  int r;

  if (room >= length)
    {
      r = qcow2_refcount_add (q, q->byte_offset >> q->cluster_bits, 1, TRUE);
      if (r == 0)
        {
          *ret_offset = q->byte_offset;
          q->byte_offset += length;
          return 0;
        }
      /* As many references as fit: a new cluster. */
      if (r != -ERANGE)
        return r;
      room = 0;
    }
  r = qcow2_alloc (q, 1, FALSE, &first);
  if (r < 0)
    return r;
  if (room > 0 && first == (q->byte_offset >> q->cluster_bits) + 1 &&
      qcow2_refcount_add (q, q->byte_offset >> q->cluster_bits, 1, TRUE) == 0)
    *ret_offset = q->byte_offset;
  else
    *ret_offset = first << q->cluster_bits;
  q->byte_offset = *ret_offset + length;
  return 0;
}

static guint64
packed_entry (const Qcow2 *q, guint64 offset, guint64 length)
{
  guint x = 62 - (q->cluster_bits - 8);
  guint64 sectors = ((offset + length - 1) >> 9) - (offset >> 9);

  return QCOW2_COMPRESSED | sectors << x | offset;
}

/* With the range alone. */
static int
write_packed (Qcow2 *q, guint64 cluster, const guint8 *packed, gsize length)
{
  guint x = 62 - (q->cluster_bits - 8);
  Qcow2Slice *slice = NULL;
  guint64 offset, entry;
  guint index;
  int r;

  g_mutex_lock (&q->lock);
  r = qcow2_slice_get_writable (q, cluster, &slice, &index);
  if (r == 0 && !qcow2_entry_check (q, qcow2_entry_get (q, slice, index), cluster))
    r = -EIO;
  if (r == 0)
    r = alloc_bytes (q, length, &offset);
  if (r == 0 && offset + length > MIN (G_GUINT64_CONSTANT (1) << x, QCOW2_OFFSET))
    r = -EFBIG;
  if (r < 0)
    {
      qcow2_cache_put (slice);
      g_mutex_unlock (&q->lock);
      return r;
    }
  g_mutex_unlock (&q->lock);
  r = block_file_write (q->parent.file, offset, packed, length);
  g_mutex_lock (&q->lock);
  entry = packed_entry (q, offset, length);
  if (r == 0)
    {
      Qcow2Entry old = qcow2_entry_get (q, slice, index), e = { entry, 0 };

      qcow2_entry_set (q, slice, index, e);
      qcow2_free_entry_later (q, old.entry);
      q->data_unsynced = TRUE;
    }
  else
    qcow2_free_entry_later (q, entry);
  qcow2_cache_put (slice);
  g_mutex_unlock (&q->lock);
  return r;
}

/* One cluster (the last of the disk may be shorter). */
static int
write_one (Qcow2 *q, guint64 offset, const guint8 *data, gsize length)
{
  g_autofree guint8 *padded = NULL, *packed = g_malloc (q->cluster_size);
  gsize n;

  if (length < q->cluster_size)
    {
      padded = g_malloc0 (q->cluster_size);
      memcpy (padded, data, length);
      data = padded;
    }
  /* It has to be smaller than the cluster to be worth it. */
  n = q->compression == 0 ? deflate_cluster (data, q->cluster_size, packed, q->cluster_size - 1)
                          : zstd_cluster (data, q->cluster_size, packed, q->cluster_size - 1);
  if (n == 0)
    {
      struct iovec iov = { (guint8 *)data, length };

      return qcow2_write_held (q, offset, &iov, 1);
    }
  return write_packed (q, offset >> q->cluster_bits, packed, n);
}

int
qcow2_write_compressed (BlockImage *image, guint64 offset, const void *data, gsize length)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Op op;
  int r;

  if (q->external)
    return -ENOTSUP;
  g_mutex_lock (&q->lock);
  if (length == 0 || (offset & (q->cluster_size - 1)) != 0 || length > q->active.disk_size ||
      offset > q->active.disk_size - length ||
      ((length & (q->cluster_size - 1)) != 0 && offset + length != q->active.disk_size))
    {
      g_mutex_unlock (&q->lock);
      return length == 0 ? 0 : -EINVAL;
    }
  qcow2_op_begin (q, &op, offset >> q->cluster_bits, (offset + length - 1) >> q->cluster_bits,
                  TRUE);
  r = qcow2_start_writing (q);
  if (r == 0)
    qcow2_bitmaps_mark (q, offset, length);
  g_mutex_unlock (&q->lock);
  for (gsize done = 0; r == 0 && done < length; done += q->cluster_size)
    r = write_one (q, offset + done, (const guint8 *)data + done,
                   MIN (q->cluster_size, length - done));
  g_mutex_lock (&q->lock);
  qcow2_op_end (q, &op);
  g_mutex_unlock (&q->lock);
  return r;
}
