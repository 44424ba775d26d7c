/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The fast path: where a request's bytes go, from what is in memory. An allocation of a cluster that
 * reads as zeroes over one that read as zeroes counts at once: until its data is there, both say the
 * same. One over the backing image's content (subclusters) counts when its data is written. */
#include "devices/backends/block/qcow2/qcow2-private.h"

#define LOCK_TRIES 1000

/* Waits for others that look at the tables, not for those that wait for the disk. */
static gboolean
try_lock (Qcow2 *q)
{
  for (guint i = 0; i < LOCK_TRIES; i++)
    {
      if (g_mutex_trylock (&q->lock))
        return TRUE;
      if (g_atomic_int_get (&q->in_io) > 0)
        return FALSE;
      __builtin_ia32_pause ();
    }
  return FALSE;
}

static gboolean
add_piece (BlockPlan *plan, guint64 length, gint64 offset)
{
  if (plan->n_pieces > 0)
    {
      BlockPlanPiece *last = &plan->pieces[plan->n_pieces - 1];

      if (offset < 0 ? last->file_offset < 0
                     : last->file_offset >= 0 && last->file_offset + (gint64)last->length == offset)
        {
          last->length += length;
          return TRUE;
        }
    }
  if (plan->n_pieces == BLOCK_PLAN_MAX)
    return FALSE;
  plan->pieces[plan->n_pieces++] = (BlockPlanPiece){ length, offset };
  return TRUE;
}

/* Not pinned. FALSE: it would have to be read. *ret NULL: there is no table. */
static gboolean
peek (Qcow2 *q, guint64 cluster, gboolean write, Qcow2Slice **ret, guint *ret_index)
{
  guint64 l1 = q->active.l1[cluster >> q->l2_bits], table = l1 & QCOW2_OFFSET;
  guint64 byte = (cluster & ((G_GUINT64_CONSTANT (1) << q->l2_bits) - 1)) * q->entry_size;
  guint64 slice_at = byte & ~(guint64)(q->l2.slice_size - 1);

  *ret = NULL;
  if (write && (table == 0 || !(l1 & QCOW2_COPIED)))
    return FALSE;
  if (table == 0)
    return TRUE;
  if ((table & (q->cluster_size - 1)) != 0)
    return FALSE;
  *ret_index = (guint)(byte - slice_at) / q->entry_size;
  *ret = qcow2_cache_peek (&q->l2, table + slice_at);
  return *ret != NULL;
}

static gboolean
plan_read (Qcow2 *q, guint64 offset, guint64 length, BlockPlan *plan)
{
  gboolean backing = q->parent.backing != NULL || q->backing_file != NULL;

  while (length > 0)
    {
      guint64 cluster = offset >> q->cluster_bits;
      guint32 in_cluster = offset & (q->cluster_size - 1), reach = q->cluster_size - in_cluster;
      Qcow2Kind kind = QCOW2_UNALLOCATED;
      Qcow2Entry e = { 0 };
      Qcow2Slice *slice;
      guint index;

      if (!peek (q, cluster, FALSE, &slice, &index))
        return FALSE;
      if (slice != NULL)
        {
          e = qcow2_entry_get (q, slice, index);
          if (!qcow2_entry_ok (q, e, cluster))
            return FALSE;
          kind = qcow2_entry_kind (q, e, in_cluster, &reach);
        }
      if (kind == QCOW2_PACKED || (kind == QCOW2_UNALLOCATED && backing))
        return FALSE;
      reach = (guint32)MIN (reach, length);
      if (!add_piece (plan, reach,
                      kind == QCOW2_DATA ? (gint64)((e.entry & QCOW2_OFFSET) + in_cluster) : -1))
        return FALSE;
      offset += reach;
      length -= reach;
    }
  return TRUE;
}

/* A cluster of the reserve for an entry that has no place. */
static gboolean
give_place (Qcow2 *q, Qcow2Entry *e)
{
  if (q->reserve.n == 0)
    return FALSE;
  e->entry = (q->reserve.first << q->cluster_bits) | QCOW2_COPIED;
  q->reserve.first++;
  q->reserve.n--;
  return TRUE;
}

/* Whole subclusters; parts only of those that are there. */
static gboolean
plan_subclusters (Qcow2 *q,
                  Qcow2Op *op,
                  Qcow2Slice *slice,
                  guint index,
                  Qcow2Entry e,
                  guint32 in_cluster,
                  guint32 length)
{
  guint64 mask = (G_GUINT64_CONSTANT (1) << q->subcluster_bits) - 1;
  guint first = in_cluster >> q->subcluster_bits;
  guint last = (in_cluster + length - 1) >> q->subcluster_bits;
  guint64 bits = (G_GUINT64_CONSTANT (2) << last) - (G_GUINT64_CONSTANT (1) << first);
  Qcow2Commit *commit;

  if ((in_cluster & mask) != 0 && !(e.bitmap >> first & 1))
    return FALSE;
  if (((in_cluster + length) & mask) != 0 && !(e.bitmap >> last & 1))
    return FALSE;
  if ((e.bitmap & bits) == bits)
    return TRUE;
  if (op->n_commits == QCOW2_MAX_COMMITS)
    return FALSE;
  if (op->commits == NULL)
    op->commits = g_new0 (Qcow2Commit, QCOW2_MAX_COMMITS);
  commit = &op->commits[op->n_commits++];
  slice->pins++;
  *commit = (Qcow2Commit){ .slice = slice, .index = index, .subclusters = (guint32)bits };
  return TRUE;
}

static gboolean
plan_write (Qcow2 *q, Qcow2Op *op, guint64 offset, guint64 length, BlockPlan *plan)
{
  gboolean backing = q->parent.backing != NULL || q->backing_file != NULL;

  while (length > 0)
    {
      guint64 cluster = offset >> q->cluster_bits, host;
      guint32 in_cluster = offset & (q->cluster_size - 1), reach;
      guint32 piece = (guint32)MIN (q->cluster_size - in_cluster, length);
      Qcow2Slice *slice;
      Qcow2Entry e;
      guint index;

      if (!peek (q, cluster, TRUE, &slice, &index))
        return FALSE;
      e = qcow2_entry_get (q, slice, index);
      if (!qcow2_entry_ok (q, e, cluster) || (e.entry & QCOW2_COMPRESSED))
        return FALSE;
      if ((e.entry & QCOW2_COPIED) == 0)
        {
          if ((e.entry & QCOW2_OFFSET) != 0 || q->external ||
              (!q->extended && backing && !(e.entry & QCOW2_ZERO)) || !give_place (q, &e))
            return FALSE;
          if (q->extended && !backing)
            e.bitmap = 0xffffffff; /* all zeroes as before */
          qcow2_entry_set (q, slice, index, e);
        }
      if (q->extended)
        {
          if (!plan_subclusters (q, op, slice, index, e, in_cluster, piece))
            return FALSE;
        }
      else if (qcow2_entry_kind (q, e, in_cluster, &reach) != QCOW2_DATA)
        return FALSE;
      host = (e.entry & QCOW2_OFFSET) + in_cluster;
      if (!q->external &&
          g_hash_table_contains (q->metadata, GSIZE_TO_POINTER ((gsize)(host >> q->cluster_bits))))
        return FALSE;
      if (!add_piece (plan, piece, (gint64)host))
        return FALSE;
      offset += piece;
      length -= piece;
    }
  return TRUE;
}

static void
release_commits (Qcow2Op *op)
{
  for (guint i = 0; i < op->n_commits; i++)
    qcow2_cache_put (op->commits[i].slice);
  op->n_commits = 0;
}

static Qcow2Op *
take_op (Qcow2 *q)
{
  return q->free_ops->len > 0 ? g_ptr_array_steal_index_fast (q->free_ops, q->free_ops->len - 1)
                              : g_new0 (Qcow2Op, 1);
}

gboolean
qcow2_begin (BlockImage *image, gboolean write, guint64 offset, guint64 length, BlockPlan *plan)
{
  Qcow2 *q = (Qcow2 *)image;
  guint64 align = q->data->request_align;
  gboolean ok;
  Qcow2Op *op;

  plan->fd = q->data->ops->get_fd (q->data);
  plan->n_pieces = 0;
  if (plan->fd < 0 || length == 0 || (align > 1 && (offset | length) % align != 0) || !try_lock (q))
    return FALSE;
  if (length > q->active.disk_size || offset > q->active.disk_size - length ||
      (write && (!q->writing || q->broken)))
    {
      g_mutex_unlock (&q->lock);
      return FALSE;
    }
  op = take_op (q);
  ok = qcow2_op_try (q, op, offset >> q->cluster_bits, (offset + length - 1) >> q->cluster_bits,
                     FALSE);
  if (ok)
    {
      ok = write ? plan_write (q, op, offset, length, plan) : plan_read (q, offset, length, plan);
      if (!ok)
        {
          release_commits (op);
          qcow2_op_end (q, op);
        }
    }
  if (ok && write)
    qcow2_bitmaps_mark (q, offset, length);
  if (ok)
    plan->priv[0] = op;
  else
    g_ptr_array_add (q->free_ops, op);
  g_mutex_unlock (&q->lock);
  return ok;
}

int
qcow2_end (BlockImage *image, BlockPlan *plan, int result)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Op *op = plan->priv[0];

  g_mutex_lock (&q->lock);
  for (guint i = 0; result == 0 && i < op->n_commits; i++)
    {
      const Qcow2Commit *commit = &op->commits[i];
      Qcow2Entry e = qcow2_entry_get (q, commit->slice, commit->index);

      e.bitmap = (e.bitmap | commit->subclusters) & ~((guint64)commit->subclusters << 32);
      qcow2_entry_set (q, commit->slice, commit->index, e);
      q->data_unsynced = TRUE;
    }
  release_commits (op);
  qcow2_op_end (q, op);
  g_ptr_array_add (q->free_ops, op);
  g_mutex_unlock (&q->lock);
  return result;
}
