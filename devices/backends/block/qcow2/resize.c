/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Control operations on the image as a whole: size, preallocation, the backing image's name. */
#include "devices/backends/block/qcow2/qcow2-private.h"

#define PROOF_BYTES (1u << 20)
#define ZERO_BUFFER (1u << 20)

gboolean
qcow2_step (Qcow2 *q, const BlockProgress *progress, guint64 done, guint64 total, GError **error)
{
  if (progress == NULL || progress->step == NULL ||
      progress->step (done, total, progress->user_data))
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "The work on “%s” was cancelled",
               q->parent.name);
  return FALSE;
}

/* ---- preallocation ---- */

static int
write_full (BlockFile *file, guint64 offset, guint64 length)
{
  g_autofree guint8 *zeroes = g_malloc0 (MIN (length, ZERO_BUFFER));
  int r = 0;

  while (length > 0 && r == 0)
    {
      gsize piece = MIN (length, ZERO_BUFFER);

      r = block_file_write (file, offset, zeroes, piece);
      offset += piece;
      length -= piece;
    }
  return r;
}

/* Maps clusters that have no place yet: *ret_n of them, from cluster on; *ret_host 0: they had. With
 * the lock, which it drops. */
static int
map_some (Qcow2 *q, guint64 cluster, guint64 n, Qcow2Run *ret)
{
  Qcow2Slice *slice;
  guint index, i;
  int r = qcow2_slice_get_writable (q, cluster, &slice, &index);

  *ret = (Qcow2Run){ 0, 1 };
  if (r < 0)
    return r;
  n = MIN (n, q->l2.slice_size / q->entry_size - index);
  for (i = 0; i < n; i++)
    {
      Qcow2Entry e = qcow2_entry_get (q, slice, index + i);

      if (e.entry != 0)
        break;
    }
  if (i > 0 && q->external)
    *ret = (Qcow2Run){ cluster, i };
  else if (i > 0)
    r = qcow2_alloc_data (q, i, ret);
  for (guint k = 0; r == 0 && i > 0 && k < ret->n; k++)
    {
      Qcow2Entry e = qcow2_entry_get (q, slice, index + k);

      /* Subclusters stay what they are: unallocated or zeroes. */
      e.entry = (ret->first + k) << q->cluster_bits | QCOW2_COPIED;
      qcow2_entry_set (q, slice, index + k, e);
    }
  if (i == 0)
    ret->first = G_MAXUINT64;
  qcow2_cache_put (slice);
  return r;
}

gboolean
qcow2_preallocate (Qcow2 *q,
                   guint64 offset,
                   guint64 length,
                   BlockPreallocate mode,
                   const BlockProgress *progress,
                   GError **error)
{
  guint64 cluster = offset >> q->cluster_bits;
  guint64 end = qcow2_clusters (q, offset + length), total = end - cluster;
  int r;

  g_mutex_lock (&q->lock);
  r = qcow2_start_writing (q);
  g_mutex_unlock (&q->lock);
  while (r == 0 && cluster < end)
    {
      Qcow2Run run;

      g_mutex_lock (&q->lock);
      r = map_some (q, cluster, end - cluster, &run);
      g_mutex_unlock (&q->lock);
      if (r == 0 && run.first != G_MAXUINT64 && mode == BLOCK_PREALLOCATE_FALLOC)
        r = q->data->ops->zero (q->data, run.first << q->cluster_bits, run.n << q->cluster_bits,
                                BLOCK_FILE_ZERO_NONE);
      else if (r == 0 && run.first != G_MAXUINT64 && mode == BLOCK_PREALLOCATE_FULL)
        r = write_full (q->data, run.first << q->cluster_bits, run.n << q->cluster_bits);
      cluster += run.n;
      if (r == 0 && !qcow2_step (q, progress, total - MIN (end - cluster, total), total, error))
        return FALSE;
    }
  return r == 0 ||
         vmm_error_set_errno (error, r, "Cannot allocate the space of “%s”", q->parent.name);
}

/* ---- size ---- */

static gboolean
fail (Qcow2 *q, int r, GError **error)
{
  return vmm_error_set_errno (error, r, "Cannot resize “%s”", q->parent.name);
}

static gboolean
is_zero (const guint8 *data, gsize length)
{
  return length == 0 || (data[0] == 0 && memcmp (data, data + 1, length - 1) == 0);
}

/* Nothing may be lost: what is cut off must read as zeroes. Without the lock. */
static gboolean
prove_empty (Qcow2 *q, guint64 from, guint64 to, const BlockProgress *progress, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (PROOF_BYTES);

  for (guint64 at = from; at < to;)
    {
      struct iovec iov = { buffer, 0 };
      Qcow2Extent extent;
      int r;

      g_mutex_lock (&q->lock);
      r = qcow2_map (q, &q->active, at, to - at, &extent);
      g_mutex_unlock (&q->lock);
      if (r == 0 && (extent.kind == QCOW2_ZEROES ||
                     (extent.kind == QCOW2_UNALLOCATED && !qcow2_has_backing_at (q, at))))
        {
          at += extent.length;
          continue;
        }
      iov.iov_len = MIN (extent.length, PROOF_BYTES);
      if (r == 0)
        r = qcow2_read_root (q, &q->active, at, &iov, 1);
      if (r < 0)
        return fail (q, r, error);
      if (!is_zero (buffer, iov.iov_len))
        return qcow2_refuse (q, error, VMM_ERROR_BUSY,
                             "has data beyond its new end, at byte %" G_GUINT64_FORMAT
                             " or after it; shrink the file systems and discard what is behind "
                             "them first, or choose a larger size",
                             at);
      at += iov.iov_len;
      if (!qcow2_step (q, progress, at - from, to - from, error))
        return FALSE;
    }
  return TRUE;
}

/* The new size in memory, in the header, in the bitmaps. With the lock. */
static gboolean
set_size (Qcow2 *q, guint64 size, GError **error)
{
  guint64 old = q->active.disk_size;
  int r;

  if (!qcow2_bitmaps_resize (q, size, error))
    return FALSE;
  r = qcow2_flush_all (q);
  if (r == 0)
    {
      q->active.disk_size = size;
      r = qcow2_header_update (q);
    }
  if (r == 0)
    r = qcow2_barrier (q);
  if (r < 0)
    {
      q->active.disk_size = old;
      q->header_doubtful = TRUE;
      (void)qcow2_bitmaps_resize (q, old, NULL);
      return fail (q, r, error);
    }
  r = qcow2_bitmaps_update (q);
  return r == 0 || fail (q, r, error);
}

static gboolean
grow (Qcow2 *q, guint64 size, GError **error)
{
  guint64 old = q->active.disk_size, mask = q->cluster_size - 1, from, to;
  BlockImageInfo backing = { 0 };
  guint32 n;
  int r;

  if (!qcow2_l1_entries (q, size, &n))
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "cannot have a disk of %" G_GUINT64_FORMAT
                         " bytes with clusters of %u; convert it to larger clusters",
                         size, q->cluster_size);
  if (q->parent.backing != NULL)
    q->parent.backing->ops->get_info (q->parent.backing, &backing);
  else if (q->backing_file != NULL)
    return qcow2_refuse (q, error, VMM_ERROR_BUSY,
                         "was opened without its backing image, which may be longer than it is; "
                         "open all of the chain");
  r = qcow2_l1_grow (q, n);
  if (r == 0 && q->l1_moved)
    r = qcow2_flush_all (q);
  if (r < 0)
    return fail (q, r, error);
  /* Behind the old end may be anything in its last cluster, and the backing image's rest. */
  from = old;
  to = MAX (MIN ((old + mask) & ~mask, size), MIN (backing.size, size));
  g_mutex_unlock (&q->lock);
  if (q->external)
    r = q->data->ops->truncate (q->data, size);
  if (r == 0 && from < to)
    r = qcow2_zero_held (q, from, to - from, TRUE);
  g_mutex_lock (&q->lock);
  return r == 0 ? set_size (q, size, error) : fail (q, r, error);
}

/* L2 tables that no guest cluster needs any more. */
static void
drop_tables (Qcow2 *q, guint32 from)
{
  for (guint32 i = from; i < q->active.l1_size; i++)
    if ((q->active.l1[i] & QCOW2_OFFSET) != 0)
      {
        guint64 table = q->active.l1[i] & QCOW2_OFFSET;

        qcow2_l1_set (q, i, 0);
        qcow2_free_later (q, table >> q->cluster_bits, 1);
      }
}

static gboolean
shrink (Qcow2 *q, guint64 size, const BlockProgress *progress, GError **error)
{
  guint64 old = q->active.disk_size, first = qcow2_clusters (q, size);
  gboolean ok;
  guint32 n;
  int r;

  g_mutex_unlock (&q->lock);
  ok = prove_empty (q, size, old, progress, error);
  g_mutex_lock (&q->lock);
  if (!ok)
    return FALSE;
  (void)qcow2_l1_entries (q, size, &n);
  r = qcow2_forget (q, first, qcow2_clusters (q, old) - first, FALSE, FALSE);
  if (r == 0)
    {
      guint32 used;

      /* Only those of the disk: machine state of another program may be behind them. */
      (void)qcow2_l1_entries (q, old, &used);
      if (used == q->active.l1_size)
        drop_tables (q, n);
      r = qcow2_flush_all (q);
    }
  if (r < 0)
    return fail (q, r, error);
  if (!set_size (q, size, error))
    return FALSE;
  if (q->external)
    r = q->data->ops->truncate (q->data, size);
  return r == 0 || fail (q, r, error);
}

gboolean
qcow2_resize (BlockImage *image, guint64 size, const BlockProgress *progress, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  gboolean ok;
  Qcow2Op op;
  int r;

  if (size % 512 != 0 || size > G_MAXINT64)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID, "needs a size that is a multiple of 512");
  qcow2_control_begin (q, &op);
  r = qcow2_start_writing (q);
  if (r < 0)
    ok = fail (q, r, error);
  else if (q->version < 3 && q->snapshots->len > 0)
    ok = qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                       "has version 2 and snapshots, which do not tell their size; delete them "
                       "first");
  else if (size == q->active.disk_size)
    ok = TRUE;
  else
    ok = size > q->active.disk_size ? grow (q, size, error) : shrink (q, size, progress, error);
  qcow2_control_end (q, &op);
  return ok;
}

/* ---- names ---- */

gboolean
qcow2_set_backing (BlockImage *image,
                   const char *backing_file,
                   const char *backing_format,
                   GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  char *old_file, *old_format;
  gboolean ok = FALSE;
  Qcow2Op op;
  int r;

  if (backing_file != NULL && (backing_format == NULL || strlen (backing_file) > QCOW2_MAX_NAME))
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "needs a name of at most 1023 bytes and a format for its backing image");
  if (backing_file != NULL && q->raw_data)
    return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                         "keeps its data as a raw image, and cannot have a backing image");
  qcow2_control_begin (q, &op);
  old_file = q->backing_file;
  old_format = q->backing_format;
  r = qcow2_start_writing (q);
  if (r == 0)
    r = qcow2_flush_all (q);
  if (r == 0)
    {
      q->backing_file = g_strdup (backing_file);
      q->backing_format = backing_file != NULL ? g_strdup (backing_format) : NULL;
      r = qcow2_header_write (q);
      if (r == 0)
        r = qcow2_barrier (q);
      if (r == 0)
        {
          g_free (old_file);
          g_free (old_format);
          ok = TRUE;
        }
      else
        {
          g_free (q->backing_file);
          g_free (q->backing_format);
          q->backing_file = old_file;
          q->backing_format = old_format;
        }
    }
  if (r == -ENAMETOOLONG)
    (void)qcow2_refuse (q, error, VMM_ERROR_FAILED,
                        "has no room in its header for the name of the backing image; choose a "
                        "shorter one");
  else if (r < 0)
    (void)vmm_error_set_errno (error, r, "Cannot change the backing image of “%s”", q->parent.name);
  qcow2_control_end (q, &op);
  return ok;
}
