/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reading and writing guest data. Writes in place share their range of guest clusters; a write that
 * allocates has it alone, from the look at the mapping to its change after the data was written. */
#include "devices/backends/block/qcow2/qcow2-private.h"

typedef struct
{
  const struct iovec *iov;
  guint n_iov;
  guint64 length;
} Vector;

static int
transfer (BlockFile *file,
          gboolean writing,
          guint64 offset,
          const Vector *v,
          guint64 skip,
          guint64 length)
{
  g_autofree struct iovec *slice = NULL;
  const struct iovec *iov = v->iov;
  guint n = v->n_iov;

  if (skip != 0 || length != v->length)
    iov = slice = block_iov_slice (v->iov, v->n_iov, skip, length, &n);
  return writing ? file->ops->writev (file, offset, iov, n)
                 : file->ops->readv (file, offset, iov, n);
}

static int
get_vector (Qcow2 *q, guint64 offset, const struct iovec *iov, guint n_iov, Vector *ret)
{
  *ret = (Vector){ iov, n_iov, 0 };
  if (!block_iov_length (iov, n_iov, &ret->length))
    return -EINVAL;
  if (ret->length > q->active.disk_size || offset > q->active.disk_size - ret->length)
    return -EINVAL;
  return 0;
}

/* ---- reading ---- */

static guint64
backing_size (Qcow2 *q)
{
  BlockImageInfo info;

  if (q->parent.backing == NULL)
    return 0;
  q->parent.backing->ops->get_info (q->parent.backing, &info);
  return info.size;
}

gboolean
qcow2_has_backing_at (Qcow2 *q, guint64 offset)
{
  if (q->parent.backing == NULL)
    return q->backing_file != NULL;
  return offset < backing_size (q);
}

static int
read_backing (Qcow2 *q, guint64 offset, const Vector *v, guint64 skip, guint64 length)
{
  BlockImage *backing = q->parent.backing;
  guint64 size = backing_size (q), there = offset < size ? MIN (length, size - offset) : 0;
  int r = 0;

  if (there > 0)
    {
      guint n;
      g_autofree struct iovec *slice = block_iov_slice (v->iov, v->n_iov, skip, there, &n);

      r = backing->ops->readv (backing, offset, slice, n);
    }
  block_iov_copy (v->iov, v->n_iov, skip + there, NULL, length - there, TRUE);
  return r;
}

static int
read_packed (Qcow2 *q, guint64 entry, guint64 offset, const Vector *v, guint64 skip, guint64 length)
{
  g_autofree guint8 *cluster = g_malloc (q->cluster_size);
  int r = qcow2_packed_read (q, entry, cluster);

  if (r == 0)
    block_iov_copy (v->iov, v->n_iov, skip, cluster + (offset & (q->cluster_size - 1)), length,
                    TRUE);
  return r;
}

int
qcow2_read_root (
    Qcow2 *q, const Qcow2Root *root, guint64 offset, const struct iovec *iov, guint n_iov)
{
  Vector v = { iov, n_iov, 0 };
  guint64 done = 0;

  if (!block_iov_length (iov, n_iov, &v.length))
    return -EINVAL;
  while (done < v.length)
    {
      guint64 at = offset + done;
      Qcow2Extent extent;
      int r;

      g_mutex_lock (&q->lock);
      r = qcow2_map (q, root, at, v.length - done, &extent);
      g_mutex_unlock (&q->lock);
      if (r < 0)
        return r;
      switch (extent.kind)
        {
        case QCOW2_DATA:
          r = transfer (q->data, FALSE, extent.host, &v, done, extent.length);
          break;
        case QCOW2_ZEROES:
          block_iov_copy (iov, n_iov, done, NULL, extent.length, TRUE);
          break;
        case QCOW2_UNALLOCATED:
          r = read_backing (q, at, &v, done, extent.length);
          break;
        case QCOW2_PACKED:
          r = read_packed (q, extent.host, at, &v, done, extent.length);
          break;
        }
      if (r < 0)
        return r;
      done += extent.length;
    }
  return 0;
}

int
qcow2_readv (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Op op;
  Vector v;
  int r;

  g_mutex_lock (&q->lock);
  r = get_vector (q, offset, iov, n_iov, &v);
  if (r == 0 && v.length > 0)
    {
      qcow2_op_begin (q, &op, offset >> q->cluster_bits, (offset + v.length - 1) >> q->cluster_bits,
                      FALSE);
      g_mutex_unlock (&q->lock);
      r = qcow2_read_root (q, &q->active, offset, iov, n_iov);
      g_mutex_lock (&q->lock);
      qcow2_op_end (q, &op);
    }
  g_mutex_unlock (&q->lock);
  return r;
}

/* ---- writing in place ---- */

/* May the bytes from in_cluster be written where they are? */
static gboolean
is_in_place (const Qcow2 *q, Qcow2Entry e, guint32 in_cluster, guint32 *ret_length)
{
  return qcow2_entry_kind (q, e, in_cluster, ret_length) == QCOW2_DATA &&
         (e.entry & QCOW2_COPIED) != 0;
}

/* Guest data goes into the file, and not where metadata is. */
static int
check_place (Qcow2 *q, guint64 host)
{
  if (host >> q->cluster_bits >= q->end)
    return qcow2_corrupt (q, "data at %#" G_GINT64_MODIFIER "x is behind the end", host);
  return qcow2_check_overlap (q, host, 1, QCOW2_META_NONE);
}

/* *ret_length 0: not in place. Drops the lock. */
static int
map_in_place (Qcow2 *q, guint64 offset, guint64 length, guint64 *ret_host, guint64 *ret_length)
{
  guint64 cluster = offset >> q->cluster_bits, l1_index = cluster >> q->l2_bits;
  guint32 in_cluster = offset & (q->cluster_size - 1), reach;
  Qcow2Slice *slice;
  guint index;
  int r;

  *ret_length = 0;
  if (l1_index >= q->active.l1_size || !(q->active.l1[l1_index] & QCOW2_COPIED))
    return 0;
  r = qcow2_slice_get (q, &q->active, cluster, &slice, &index);
  if (r < 0 || slice == NULL)
    return r;
  for (; index < q->l2.slice_size / q->entry_size && *ret_length < length;
       index++, cluster++, in_cluster = 0)
    {
      Qcow2Entry e = qcow2_entry_get (q, slice, index);
      guint64 host = (e.entry & QCOW2_OFFSET) + in_cluster;

      if (!qcow2_entry_check (q, e, cluster))
        r = -EIO;
      if (r < 0 || !is_in_place (q, e, in_cluster, &reach) ||
          (*ret_length > 0 && host != *ret_host + *ret_length))
        break;
      if (!q->external)
        r = check_place (q, host);
      if (r < 0)
        break;
      if (*ret_length == 0)
        *ret_host = host;
      *ret_length += reach;
      if (in_cluster + reach < q->cluster_size)
        break;
    }
  qcow2_cache_put (slice);
  *ret_length = MIN (*ret_length, length);
  return r;
}

/* As much as can be written in place. Without the lock. */
static int
write_in_place (Qcow2 *q, guint64 offset, const Vector *v, guint64 *done)
{
  while (*done < v->length)
    {
      guint64 host, length;
      int r;

      g_mutex_lock (&q->lock);
      r = map_in_place (q, offset + *done, v->length - *done, &host, &length);
      g_mutex_unlock (&q->lock);
      if (r < 0 || length == 0)
        return r;
      r = transfer (q->data, TRUE, host, v, *done, length);
      if (r < 0)
        return r;
      *done += length;
    }
  return 0;
}

/* ---- allocating ---- */

/* One step of an allocating write: clusters that are next to each other here and there. */
typedef struct
{
  Qcow2Slice *slice; /* pinned */
  guint index;
  guint64 cluster;  /* the first guest cluster */
  guint64 n;        /* how many */
  guint64 host;     /* where they go, bytes */
  gboolean fresh;   /* the host clusters are new */
  gboolean zeroed;  /* and read as zeroes */
  gboolean whole;   /* extended L2: the entry is made anew, with all its subclusters */
  guint64 from, to; /* the guest's bytes */
  guint64 fill_from, fill_to;
} Step;

static gboolean
has_place (const Qcow2 *q, Qcow2Entry e)
{
  return !(e.entry & QCOW2_COMPRESSED) &&
         ((e.entry & QCOW2_OFFSET) != 0 || (q->external && (e.entry & QCOW2_COPIED)));
}

gboolean
qcow2_entry_has_own_place (const Qcow2 *q, Qcow2Entry e)
{
  return has_place (q, e) && (e.entry & QCOW2_COPIED) != 0;
}

gboolean
qcow2_reads_zero (Qcow2 *q, guint64 offset, guint64 end)
{
  while (offset < end)
    {
      Qcow2Extent extent;

      if (qcow2_map (q, &q->active, offset, end - offset, &extent) < 0)
        return FALSE;
      if (extent.kind != QCOW2_ZEROES &&
          (extent.kind != QCOW2_UNALLOCATED || qcow2_has_backing_at (q, offset)))
        return FALSE;
      offset += extent.length;
    }
  return TRUE;
}

/* Which bytes around the guest's have to be written too. */
static void
plan_fill (Qcow2 *q, Step *s)
{
  guint64 mask = q->cluster_size - 1, first = s->cluster << q->cluster_bits;
  Qcow2Entry e = qcow2_entry_get (q, s->slice, s->index);
  guint32 reach;

  s->fill_from = s->from;
  s->fill_to = s->to;
  if (!q->extended || s->whole)
    {
      s->fill_from = first;
      s->fill_to = first + (s->n << q->cluster_bits);
      return;
    }
  mask = (G_GUINT64_CONSTANT (1) << q->subcluster_bits) - 1;
  if (s->fresh || !is_in_place (q, e, s->from - first, &reach))
    s->fill_from = s->from & ~mask;
  if (s->fresh || !is_in_place (q, e, s->to - 1 - first, &reach))
    s->fill_to = (s->to + mask) & ~mask;
}

/* Finds the step at offset, with its host clusters. With the lock, which it drops. */
static int
plan_step (Qcow2 *q, guint64 offset, guint64 end, Step *s)
{
  guint64 cluster = offset >> q->cluster_bits, max;
  Qcow2Entry e;
  int r;

  memset (s, 0, sizeof *s);
  s->cluster = cluster;
  r = qcow2_slice_get_writable (q, cluster, &s->slice, &s->index);
  if (r < 0)
    return r;
  e = qcow2_entry_get (q, s->slice, s->index);
  if (!qcow2_entry_check (q, e, cluster))
    return -EIO;
  s->from = offset;
  max = MIN (((end - 1) >> q->cluster_bits) - cluster + 1,
             q->l2.slice_size / q->entry_size - s->index);
  if (qcow2_entry_has_own_place (q, e))
    {
      s->n = 1;
      s->host = e.entry & QCOW2_OFFSET;
      r = q->external ? 0 : check_place (q, s->host);
    }
  else
    {
      gboolean whole = has_place (q, e) || (e.entry & QCOW2_COMPRESSED);

      for (s->n = 1; s->n < max; s->n++)
        {
          Qcow2Entry other = qcow2_entry_get (q, s->slice, s->index + (guint)s->n);

          if (!qcow2_entry_check (q, other, cluster + s->n))
            return -EIO;
          if (qcow2_entry_has_own_place (q, other) ||
              (has_place (q, other) || (other.entry & QCOW2_COMPRESSED)) != whole)
            break;
        }
      s->whole = whole;
      s->fresh = TRUE;
      s->host = cluster << q->cluster_bits;
      if (!q->external)
        {
          Qcow2Run run;

          r = qcow2_alloc_data (q, s->n, &run);
          if (r == 0)
            {
              s->n = run.n;
              s->host = run.first << q->cluster_bits;
              s->zeroed = TRUE;
            }
        }
    }
  if (r < 0)
    return r;
  s->to = MIN (end, (cluster + s->n) << q->cluster_bits);
  plan_fill (q, s);
  return 0;
}

/* The present content of what lies around the guest's bytes. Without the lock. */
static int
read_fill (Qcow2 *q, guint64 from, guint64 to, guint8 **ret)
{
  struct iovec iov = { NULL, to - from };

  *ret = NULL;
  if (from == to)
    return 0;
  if (q->parent.backing == NULL && q->backing_file != NULL)
    {
      if (from < q->active.disk_size)
        return -ENOENT;               /* opened without it: nobody knows what was there */
      *ret = g_malloc0 (iov.iov_len); /* nothing is behind the end of the disk */
      return 0;
    }
  *ret = iov.iov_base = g_malloc (iov.iov_len);
  return qcow2_read_root (q, &q->active, from, &iov, 1);
}

static int
write_step (Qcow2 *q, Step *s, const Vector *v, guint64 skip)
{
  g_autofree guint8 *head = NULL, *tail = NULL;
  g_autofree struct iovec *iov = NULL;
  guint64 first = s->cluster << q->cluster_bits;
  guint n;
  int r;

  if (s->fill_from == s->from && s->fill_to == s->to)
    return transfer (q->data, TRUE, s->host + (s->from - first), v, skip, s->to - s->from);
  r = read_fill (q, s->fill_from, s->from, &head);
  if (r == 0)
    r = read_fill (q, s->to, s->fill_to, &tail);
  if (r < 0)
    return r;
  {
    g_autofree struct iovec *middle = block_iov_slice (v->iov, v->n_iov, skip, s->to - s->from, &n);

    iov = g_new (struct iovec, n + 2);
    memcpy (iov + 1, middle, n * sizeof *iov);
  }
  iov[0] = (struct iovec){ head, s->from - s->fill_from };
  if (tail != NULL)
    iov[++n] = (struct iovec){ tail, s->fill_to - s->to };
  return q->data->ops->writev (q->data, s->host + (s->fill_from - first),
                               head != NULL ? iov : iov + 1, head != NULL ? n + 1 : n);
}

/* The data is there: now the mapping may say so. With the lock. */
static void
commit_step (Qcow2 *q, const Step *s)
{
  for (guint i = 0; i < s->n; i++)
    {
      guint64 first = (s->cluster + i) << q->cluster_bits, last = first + q->cluster_size;
      Qcow2Entry old = qcow2_entry_get (q, s->slice, s->index + i), e = old;

      e.entry = (s->host + ((guint64)i << q->cluster_bits)) | QCOW2_COPIED;
      if (q->extended && s->whole)
        e.bitmap = 0xffffffff;
      else if (q->extended)
        {
          guint from = (guint)((MAX (s->fill_from, first) - first) >> q->subcluster_bits);
          guint to = (guint)((MIN (s->fill_to, last) - first + (1u << q->subcluster_bits) - 1) >>
                             q->subcluster_bits);
          guint64 bits = (G_GUINT64_CONSTANT (1) << to) - (G_GUINT64_CONSTANT (1) << from);

          e.bitmap = (e.bitmap | bits) & ~(bits << 32);
        }
      qcow2_entry_set (q, s->slice, s->index + i, e);
      if (s->fresh)
        qcow2_free_entry_later (q, old.entry);
    }
}

int
qcow2_write_held (Qcow2 *q, guint64 offset, const struct iovec *iov, guint n_iov)
{
  Vector v = { iov, n_iov, 0 };
  guint64 done = 0, end;

  if (!block_iov_length (iov, n_iov, &v.length))
    return -EINVAL;
  end = offset + v.length;
  while (done < v.length)
    {
      Step s;
      int r = write_in_place (q, offset, &v, &done);

      if (r < 0 || done == v.length)
        return r;
      g_mutex_lock (&q->lock);
      r = plan_step (q, offset + done, end, &s);
      if (r == 0)
        {
          gboolean zero = qcow2_reads_zero (q, s.cluster << q->cluster_bits,
                                            (s.cluster + s.n) << q->cluster_bits);

          /* Fresh clusters are zeroes around the data, as what was there before; and it does not
           * matter whether the data or the mapping is on disk first. */
          if (zero && s.zeroed)
            {
              s.fill_from = s.from;
              s.fill_to = s.to;
            }
          g_mutex_unlock (&q->lock);
          r = write_step (q, &s, &v, done);
          g_mutex_lock (&q->lock);
          if (r == 0)
            commit_step (q, &s);
          else if (s.fresh && !q->external)
            qcow2_unalloc (q, s.host >> q->cluster_bits, s.n);
          if (r == 0 && !(zero && s.zeroed))
            q->data_unsynced = TRUE;
        }
      qcow2_cache_put (s.slice);
      g_mutex_unlock (&q->lock);
      if (r < 0)
        return r;
      done += s.to - s.from;
    }
  return 0;
}

int
qcow2_writev (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov)
{
  Qcow2 *q = (Qcow2 *)image;
  guint64 done = 0, first, last;
  Qcow2Op op;
  Vector v;
  int r;

  g_mutex_lock (&q->lock);
  r = get_vector (q, offset, iov, n_iov, &v);
  if (r < 0 || v.length == 0)
    {
      g_mutex_unlock (&q->lock);
      return r;
    }
  first = offset >> q->cluster_bits;
  last = (offset + v.length - 1) >> q->cluster_bits;
  qcow2_op_begin (q, &op, first, last, FALSE);
  r = qcow2_start_writing (q);
  if (r == 0)
    qcow2_bitmaps_mark (q, offset, v.length);
  g_mutex_unlock (&q->lock);
  if (r == 0)
    r = write_in_place (q, offset, &v, &done);
  g_mutex_lock (&q->lock);
  qcow2_op_end (q, &op);
  if (r == 0 && done < v.length)
    {
      guint n;
      g_autofree struct iovec *rest = block_iov_slice (iov, n_iov, done, v.length - done, &n);

      qcow2_op_begin (q, &op, (offset + done) >> q->cluster_bits, last, TRUE);
      g_mutex_unlock (&q->lock);
      r = qcow2_write_held (q, offset + done, rest, n);
      g_mutex_lock (&q->lock);
      qcow2_op_end (q, &op);
    }
  g_mutex_unlock (&q->lock);
  return r;
}

/* ---- flushing, looking ---- */

int
qcow2_flush (BlockImage *image)
{
  Qcow2 *q = (Qcow2 *)image;
  int r = 0;

  g_mutex_lock (&q->lock);
  while (q->control)
    qcow2_wait (q);
  if (q->writing)
    r = qcow2_flush_metadata (q, TRUE);
  g_mutex_unlock (&q->lock);
  return r;
}

int
qcow2_map_root (
    Qcow2 *q, const Qcow2Root *root, guint64 offset, guint64 length, BlockExtent *ret_extent)
{
  static const BlockExtentKind kinds[] = {
    [QCOW2_UNALLOCATED] = BLOCK_EXTENT_UNALLOCATED,
    [QCOW2_ZEROES] = BLOCK_EXTENT_ZERO,
    [QCOW2_DATA] = BLOCK_EXTENT_DATA,
    [QCOW2_PACKED] = BLOCK_EXTENT_COMPRESSED,
  };
  Qcow2Extent extent;
  int r = qcow2_map (q, root, offset, length, &extent);

  /* On over tables and slices, for as long as it stays the same kind without a place. */
  while (r == 0 && extent.length < length &&
         (extent.kind == QCOW2_UNALLOCATED || (extent.kind == QCOW2_ZEROES && !extent.has_host)))
    {
      Qcow2Extent more;

      if (qcow2_map (q, root, offset + extent.length, length - extent.length, &more) < 0 ||
          more.kind != extent.kind || (more.kind == QCOW2_ZEROES && more.has_host))
        break;
      extent.length += more.length;
    }
  if (r < 0)
    return r;
  *ret_extent = (BlockExtent){
    .offset = offset,
    .length = extent.length,
    .kind = kinds[extent.kind],
    .file_offset = extent.has_host && extent.kind != QCOW2_UNALLOCATED ? (gint64)extent.host : -1,
  };
  return 0;
}

int
qcow2_map_extent (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Op op;
  int r;

  g_mutex_lock (&q->lock);
  if (length == 0 || offset >= q->active.disk_size)
    {
      g_mutex_unlock (&q->lock);
      return -EINVAL;
    }
  length = MIN (length, q->active.disk_size - offset);
  qcow2_op_begin (q, &op, offset >> q->cluster_bits, (offset + length - 1) >> q->cluster_bits,
                  FALSE);
  r = qcow2_map_root (q, &q->active, offset, length, ret_extent);
  qcow2_op_end (q, &op);
  g_mutex_unlock (&q->lock);
  return r;
}
