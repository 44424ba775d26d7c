/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an L1 table reaches: counting it up and down, letting go of it, the marks of the active one. */
#include "devices/backends/block/qcow2/qcow2-private.h"

int
qcow2_table_read (Qcow2 *q, guint64 offset, guint8 *buffer)
{
  int r;

  if ((offset & (q->cluster_size - 1)) != 0)
    return qcow2_corrupt (q, "an L2 table is misaligned");
  qcow2_io_begin (q);
  r = block_file_read (q->parent.file, offset, buffer, q->cluster_size);
  qcow2_io_end (q);
  return r;
}

static int
count_entry (Qcow2 *q, guint64 entry, gboolean up)
{
  guint64 offset, length;

  if (entry & QCOW2_COMPRESSED)
    {
      qcow2_packed_place (q, entry, &offset, &length);
      offset &= ~(guint64)511;
      return qcow2_refcount_add (
          q, offset >> q->cluster_bits,
          ((offset + length - 1) >> q->cluster_bits) - (offset >> q->cluster_bits) + 1, up);
    }
  return (entry & QCOW2_OFFSET) != 0
             ? qcow2_refcount_add (q, (entry & QCOW2_OFFSET) >> q->cluster_bits, 1, up)
             : 0;
}

int
qcow2_root_count (Qcow2 *q, const Qcow2Root *root, gboolean up, guint64 limit, guint64 *ret_done)
{
  g_autofree guint8 *table = g_malloc (q->cluster_size);

  *ret_done = 0;
  for (guint32 i = 0; i < root->l1_size && *ret_done < limit; i++)
    {
      guint64 offset = root->l1[i] & QCOW2_OFFSET;
      int r;

      if (offset == 0)
        continue;
      r = qcow2_table_read (q, offset, table);
      if (r == 0)
        r = qcow2_refcount_add (q, offset >> q->cluster_bits, 1, up);
      if (r < 0)
        return r;
      ++*ret_done;
      for (guint32 at = 0; at < q->cluster_size && *ret_done < limit; at += q->entry_size)
        {
          r = count_entry (q, be64_get (table + at), up);
          if (r < 0)
            return r;
          ++*ret_done;
        }
    }
  return 0;
}

int
qcow2_root_count_up (Qcow2 *q, const Qcow2Root *root)
{
  guint64 done, undone;
  int r = qcow2_root_count (q, root, TRUE, G_MAXUINT64, &done);

  if (r < 0 && qcow2_root_count (q, root, FALSE, done, &undone) < 0)
    q->needs_repair = TRUE;
  return r;
}

int
qcow2_root_free (Qcow2 *q, const Qcow2Root *root, guint64 l1_offset)
{
  g_autofree guint8 *table = g_malloc (q->cluster_size);

  for (guint32 i = 0; i < root->l1_size; i++)
    {
      guint64 offset = root->l1[i] & QCOW2_OFFSET;
      int r;

      if (offset == 0)
        continue;
      r = qcow2_table_read (q, offset, table);
      if (r < 0)
        return r;
      for (guint32 at = 0; at < q->cluster_size; at += q->entry_size)
        qcow2_free_entry_later (q, be64_get (table + at));
      qcow2_free_later (q, offset >> q->cluster_bits, 1);
    }
  if (l1_offset != 0 && root->l1_size > 0)
    qcow2_free_later (q, l1_offset >> q->cluster_bits,
                      qcow2_clusters (q, (guint64)root->l1_size * 8));
  return 0;
}

/* Sets or clears the mark of one entry by its count. all_off: clears. */
static int
mark_entry (Qcow2 *q, Qcow2Slice *slice, guint index, gboolean all_off)
{
  Qcow2Entry e = qcow2_entry_get (q, slice, index);
  guint64 before = e.entry, count = 0;

  if ((e.entry & QCOW2_COMPRESSED) || (e.entry & QCOW2_OFFSET) == 0)
    e.entry &= ~QCOW2_COPIED;
  else
    {
      int r =
          all_off ? 0 : qcow2_refcount_get (q, (e.entry & QCOW2_OFFSET) >> q->cluster_bits, &count);

      if (r < 0)
        return r;
      e.entry = count == 1 ? e.entry | QCOW2_COPIED : e.entry & ~QCOW2_COPIED;
    }
  if (e.entry != before)
    qcow2_entry_set (q, slice, index, e);
  return 0;
}

static int
mark_table (Qcow2 *q, guint64 offset, gboolean all_off)
{
  for (guint32 at = 0; at < q->cluster_size; at += q->l2.slice_size)
    {
      Qcow2Slice *slice;
      int r = qcow2_cache_get (q, &q->l2, offset + at, FALSE, &slice);

      for (guint i = 0; r == 0 && i < q->l2.slice_size / q->entry_size; i++)
        r = mark_entry (q, slice, i, all_off);
      qcow2_cache_put (slice);
      if (r < 0)
        return r;
    }
  return 0;
}

int
qcow2_root_mark (Qcow2 *q, gboolean all_off)
{
  if (q->external)
    return 0;
  for (guint32 i = 0; i < q->active.l1_size; i++)
    {
      guint64 l1 = q->active.l1[i], offset = l1 & QCOW2_OFFSET, count = 0;
      int r;

      if (offset == 0)
        continue;
      r = all_off ? 0 : qcow2_refcount_get (q, offset >> q->cluster_bits, &count);
      if (r == 0)
        r = mark_table (q, offset, all_off);
      if (r < 0)
        return r;
      if (((l1 & QCOW2_COPIED) != 0) != (count == 1))
        qcow2_l1_set (q, i, offset | (count == 1 ? QCOW2_COPIED : 0));
    }
  return 0;
}

int
qcow2_mark_copied (Qcow2 *q)
{
  int r = qcow2_root_mark (q, FALSE);

  return r == 0 ? qcow2_flush_all (q) : r;
}

int
qcow2_root_write (Qcow2 *q, const guint64 *l1, guint32 n, Qcow2Meta kind, guint64 *ret_offset)
{
  gsize bytes = MAX ((gsize)n * 8, 8);
  g_autofree guint64 *table = g_malloc0 (bytes);
  guint64 first;
  int r = qcow2_alloc (q, qcow2_clusters (q, bytes), FALSE, &first);

  if (r < 0)
    return r;
  for (guint32 i = 0; i < n; i++)
    table[i] = GUINT64_TO_BE (l1[i] & QCOW2_OFFSET);
  *ret_offset = first << q->cluster_bits;
  qcow2_metadata_add (q, *ret_offset, bytes, kind);
  r = qcow2_metadata_write (q, *ret_offset, table, bytes, kind);
  if (r < 0)
    {
      qcow2_metadata_remove (q, *ret_offset, bytes);
      qcow2_unalloc (q, first, qcow2_clusters (q, bytes));
      *ret_offset = 0;
    }
  return r;
}
