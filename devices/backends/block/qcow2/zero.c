/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zeroes and discards. They have their range of guest clusters alone. */
#include "devices/backends/block/qcow2/qcow2-private.h"

#define ZERO_BUFFER 65536u

/* One L2 slice's worth. Drops the lock. *ret_n: clusters dealt with. */
static int
forget_some (Qcow2 *q, guint64 cluster, guint64 n, gboolean zero, gboolean keep, guint64 *ret_n)
{
  guint64 l1_index = cluster >> q->l2_bits, in_table = G_GUINT64_CONSTANT (1) << q->l2_bits;
  gboolean backing = qcow2_has_backing_at (q, cluster << q->cluster_bits);
  gboolean flag = zero && q->version >= 3;
  Qcow2Slice *slice;
  guint index;
  int r;

  if (l1_index >= q->active.l1_size)
    return -EINVAL;
  if ((q->active.l1[l1_index] & QCOW2_OFFSET) == 0 && !(flag && backing))
    {
      *ret_n = MIN (n, in_table - (cluster & (in_table - 1)));
      return 0;
    }
  r = qcow2_slice_get_writable (q, cluster, &slice, &index);
  if (r < 0)
    return r;
  for (*ret_n = 0; *ret_n < n && index < q->l2.slice_size / q->entry_size; (*ret_n)++, index++)
    {
      Qcow2Entry old = qcow2_entry_get (q, slice, index), e = { 0 };
      gboolean kept;

      if (!qcow2_entry_check (q, old, cluster + *ret_n))
        {
          r = -EIO;
          break;
        }
      kept = keep && flag && qcow2_entry_has_own_place (q, old);
      if (kept)
        e.entry = old.entry & (QCOW2_OFFSET | QCOW2_COPIED);
      if (flag && q->extended)
        e.bitmap = (guint64)0xffffffff << 32;
      else if (flag)
        e.entry |= QCOW2_ZERO;
      if (flag && old.entry == 0 && old.bitmap == 0 && !backing)
        continue; /* zeroes as it is */
      if (e.entry == old.entry && e.bitmap == old.bitmap)
        continue;
      qcow2_entry_set (q, slice, index, e);
      if (!kept)
        qcow2_free_entry_later (q, old.entry);
    }
  qcow2_cache_put (slice);
  return r;
}

int
qcow2_forget (Qcow2 *q, guint64 first, guint64 n, gboolean zero, gboolean keep)
{
  while (n > 0)
    {
      guint64 step;
      int r = forget_some (q, first, n, zero, keep, &step);

      if (r < 0)
        return r;
      first += step;
      n -= step;
    }
  return 0;
}

static int
write_zero_data (Qcow2 *q, guint64 offset, guint64 length)
{
  /* Whole clusters: a part would need what is around it. */
  gsize piece = MIN (length, MAX (ZERO_BUFFER, q->cluster_size));
  g_autofree guint8 *zeroes = g_malloc0 (piece);
  int r = 0;

  while (length > 0 && r == 0)
    {
      struct iovec iov = { zeroes, MIN (length, piece) };

      r = qcow2_write_held (q, offset, &iov, 1);
      offset += iov.iov_len;
      length -= iov.iov_len;
    }
  return r;
}

/* Whole subclusters of one cluster. *ret_done FALSE: it takes data. With the lock. */
static int
zero_subclusters (Qcow2 *q, guint64 offset, guint64 length, gboolean *ret_done)
{
  guint32 in_cluster = offset & (q->cluster_size - 1);
  guint64 from = in_cluster >> q->subcluster_bits;
  guint64 to = (in_cluster + length) >> q->subcluster_bits;
  guint64 bits = (G_GUINT64_CONSTANT (1) << to) - (G_GUINT64_CONSTANT (1) << from);
  Qcow2Slice *slice;
  Qcow2Entry e;
  guint index;
  int r = qcow2_slice_get_writable (q, offset >> q->cluster_bits, &slice, &index);

  *ret_done = FALSE;
  if (r < 0)
    return r;
  e = qcow2_entry_get (q, slice, index);
  if (!qcow2_entry_check (q, e, offset >> q->cluster_bits))
    r = -EIO;
  else if (!(e.entry & QCOW2_COMPRESSED))
    {
      e.bitmap = (e.bitmap & ~bits) | bits << 32;
      qcow2_entry_set (q, slice, index, e);
      *ret_done = TRUE;
    }
  qcow2_cache_put (slice);
  return r;
}

/* Less than a cluster, inside one. */
static int
zero_part (Qcow2 *q, guint64 offset, guint64 length)
{
  guint64 mask = (G_GUINT64_CONSTANT (1) << q->subcluster_bits) - 1;
  guint64 from = (offset + mask) & ~mask, to = (offset + length) & ~mask;
  gboolean zero, done = FALSE;
  int r = 0;

  g_mutex_lock (&q->lock);
  zero = qcow2_reads_zero (q, offset, offset + length);
  if (!zero && q->extended && from < to)
    r = zero_subclusters (q, from, to - from, &done);
  g_mutex_unlock (&q->lock);
  if (zero || r < 0)
    return r;
  if (!done)
    return write_zero_data (q, offset, length);
  if (offset < from)
    r = write_zero_data (q, offset, from - offset);
  if (r == 0 && to < offset + length)
    r = write_zero_data (q, to, offset + length - to);
  return r;
}

int
qcow2_zero_held (Qcow2 *q, guint64 offset, guint64 length, gboolean unmap)
{
  guint64 mask = q->cluster_size - 1, end = offset + length, from, to;
  int r = 0;

  if (q->raw_data)
    r = q->data->ops->zero (q->data, offset, length, unmap ? BLOCK_FILE_ZERO_UNMAP : 0);
  from = MIN ((offset + mask) & ~mask, end);
  to = end & ~mask;
  /* Nothing is behind the end of the disk. */
  if (end == q->active.disk_size)
    to = end;
  if (r == 0 && offset < from)
    r = zero_part (q, offset, from - offset);
  if (r < 0 || from >= end)
    return r;
  to = MAX (to, from);
  if (q->version < 3 && to > from && qcow2_has_backing_at (q, from))
    r = write_zero_data (q, from, to - from);
  else if (to > from)
    {
      g_mutex_lock (&q->lock);
      r = qcow2_forget (q, from >> q->cluster_bits, qcow2_clusters (q, to - from), TRUE,
                        !unmap || q->external);
      g_mutex_unlock (&q->lock);
    }
  if (r == 0 && to < end)
    r = zero_part (q, to, end - to);
  return r;
}

static int
begin_alone (Qcow2 *q, Qcow2Op *op, guint64 offset, guint64 length)
{
  int r;

  g_mutex_lock (&q->lock);
  if (length == 0 || length > q->active.disk_size || offset > q->active.disk_size - length)
    {
      g_mutex_unlock (&q->lock);
      return -EINVAL;
    }
  qcow2_op_begin (q, op, offset >> q->cluster_bits, (offset + length - 1) >> q->cluster_bits, TRUE);
  r = qcow2_start_writing (q);
  if (r < 0)
    qcow2_op_end (q, op);
  else
    qcow2_bitmaps_mark (q, offset, length);
  g_mutex_unlock (&q->lock);
  return r;
}

static void
end_alone (Qcow2 *q, Qcow2Op *op)
{
  g_mutex_lock (&q->lock);
  qcow2_op_end (q, op);
  g_mutex_unlock (&q->lock);
}

int
qcow2_write_zeroes (BlockImage *image, guint64 offset, guint64 length, gboolean unmap)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Op op;
  int r;

  if (length == 0)
    return 0;
  r = begin_alone (q, &op, offset, length);
  if (r < 0)
    return r;
  r = qcow2_zero_held (q, offset, length, unmap);
  end_alone (q, &op);
  return r;
}

int
qcow2_discard (BlockImage *image, guint64 offset, guint64 length)
{
  Qcow2 *q = (Qcow2 *)image;
  guint64 mask = q->cluster_size - 1, from, to;
  Qcow2Op op;
  int r;

  if (length == 0)
    return 0;
  r = begin_alone (q, &op, offset, length);
  if (r < 0)
    return r;
  from = (offset + mask) & ~mask;
  to = offset + length == q->active.disk_size ? offset + length : (offset + length) & ~mask;
  if (from < to)
    {
      /* v2 has no zero clusters: what the backing image has stays hidden. */
      gboolean possible = q->version >= 3 || !qcow2_has_backing_at (q, from);

      if (possible && q->external && (q->raw_data || q->flags.discard))
        r = q->data->ops->zero (q->data, from, to - from, BLOCK_FILE_ZERO_UNMAP);
      g_mutex_lock (&q->lock);
      if (possible && r == 0)
        r = qcow2_forget (q, from >> q->cluster_bits, qcow2_clusters (q, to - from), TRUE,
                          q->raw_data);
      g_mutex_unlock (&q->lock);
    }
  end_alone (q, &op);
  return r;
}
