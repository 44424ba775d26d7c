/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From guest clusters to host clusters: L1 table, L2 tables, their entries with and without
 * subclusters. */
#include "devices/backends/block/qcow2/qcow2-private.h"

int
qcow2_l1_load (Qcow2 *q, guint64 offset, guint32 n, guint64 **ret)
{
  guint64 *l1 = g_malloc0 (MAX ((gsize)n * 8, 8));
  int r = n > 0 ? block_file_read (q->parent.file, offset, l1, (gsize)n * 8) : 0;

  for (guint32 i = 0; i < n; i++)
    l1[i] = GUINT64_FROM_BE (l1[i]);
  *ret = l1;
  return r;
}

void
qcow2_l1_set (Qcow2 *q, guint32 index, guint64 value)
{
  q->active.l1[index] = value;
  q->l1_dirty[index / 64] = 1;
  q->l1_any_dirty = TRUE;
}

int
qcow2_l1_grow (Qcow2 *q, guint32 n)
{
  guint64 first;
  int r;

  if (n <= q->active.l1_size)
    return 0;
  if (q->l1_moved)
    {
      r = qcow2_flush_metadata (q, TRUE);
      if (r < 0)
        return r;
    }
  r = qcow2_alloc (q, qcow2_clusters (q, (guint64)n * 8), FALSE, &first);
  if (r < 0)
    return r;
  q->l1_old_offset = q->l1_offset;
  q->l1_old_size = q->active.l1_size;
  q->l1_offset = first << q->cluster_bits;
  q->active.l1 = g_realloc (q->active.l1, (gsize)n * 8);
  memset (q->active.l1 + q->active.l1_size, 0, (gsize)(n - q->active.l1_size) * 8);
  q->active.l1_size = n;
  g_free (q->l1_dirty);
  q->l1_dirty = g_malloc0 (n / 64 + 1);
  q->l1_moved = q->l1_any_dirty = TRUE;
  qcow2_metadata_add (q, q->l1_offset, (guint64)n * 8, QCOW2_META_L1);
  return 0;
}

/* ---- entries ---- */

Qcow2Entry
qcow2_entry_get (const Qcow2 *q, const Qcow2Slice *slice, guint index)
{
  const guint8 *at = slice->data + index * q->entry_size;
  Qcow2Entry entry = { be64_get (at), q->extended ? be64_get (at + 8) : 0 };

  return entry;
}

void
qcow2_entry_set (Qcow2 *q, Qcow2Slice *slice, guint index, Qcow2Entry entry)
{
  guint8 *at = slice->data + index * q->entry_size;

  be64_put (at, entry.entry);
  if (q->extended)
    be64_put (at + 8, entry.bitmap);
  qcow2_cache_dirty (&q->l2, slice);
}

void
qcow2_packed_place (const Qcow2 *q, guint64 entry, guint64 *ret_offset, guint64 *ret_length)
{
  guint x = 62 - (q->cluster_bits - 8);
  guint64 offset = entry & ((G_GUINT64_CONSTANT (1) << x) - 1);
  guint64 sectors = (entry & (QCOW2_COMPRESSED - 1)) >> x;

  *ret_offset = offset;
  *ret_length = (sectors + 1) * 512 - (offset & 511);
}

gboolean
qcow2_entry_ok (const Qcow2 *q, Qcow2Entry e, guint64 cluster)
{
  guint64 host = e.entry & QCOW2_OFFSET;

  if (e.entry & QCOW2_COMPRESSED)
    {
      guint64 offset, length;

      qcow2_packed_place (q, e.entry, &offset, &length);
      return !q->external && offset <= QCOW2_OFFSET;
    }
  return ((host & (q->cluster_size - 1)) == 0 && host <= QCOW2_OFFSET - q->cluster_size &&
          !(q->version < 3 && (e.entry & QCOW2_ZERO)) &&
          !(q->external && (host != 0 || (e.entry & QCOW2_COPIED)) &&
            host != cluster << q->cluster_bits) &&
          ((guint32)e.bitmap & (guint32)(e.bitmap >> 32)) == 0 &&
          !((guint32)e.bitmap != 0 && host == 0 && !(q->external && (e.entry & QCOW2_COPIED))));
}

gboolean
qcow2_entry_check (Qcow2 *q, Qcow2Entry e, guint64 cluster)
{
  if (qcow2_entry_ok (q, e, cluster))
    return TRUE;
  (void)qcow2_corrupt (q, "the entry of guest cluster %" G_GUINT64_FORMAT " is malformed", cluster);
  return FALSE;
}

static gboolean
has_host (const Qcow2 *q, guint64 entry)
{
  return (entry & QCOW2_OFFSET) != 0 || (q->external && (entry & QCOW2_COPIED));
}

static Qcow2Kind
subcluster_kind (guint64 bitmap, guint sub)
{
  if (bitmap >> (sub + 32) & 1)
    return QCOW2_ZEROES;
  return bitmap >> sub & 1 ? QCOW2_DATA : QCOW2_UNALLOCATED;
}

Qcow2Kind
qcow2_entry_kind (const Qcow2 *q, Qcow2Entry e, guint32 in_cluster, guint32 *ret_length)
{
  *ret_length = q->cluster_size - in_cluster;
  if (e.entry & QCOW2_COMPRESSED)
    return QCOW2_PACKED;
  if (q->extended)
    {
      guint sub = in_cluster >> q->subcluster_bits, next = sub + 1;
      Qcow2Kind kind = subcluster_kind (e.bitmap, sub);

      while (next < QCOW2_SUBCLUSTERS && subcluster_kind (e.bitmap, next) == kind)
        next++;
      *ret_length = (next << q->subcluster_bits) - in_cluster;
      return kind;
    }
  if (e.entry & QCOW2_ZERO)
    return QCOW2_ZEROES;
  return has_host (q, e.entry) ? QCOW2_DATA : QCOW2_UNALLOCATED;
}

/* ---- tables ---- */

static int
get_in_table (Qcow2 *q,
              guint64 table,
              guint64 cluster,
              gboolean fresh,
              Qcow2Slice **ret_slice,
              guint *ret_index)
{
  guint64 byte = (cluster & ((G_GUINT64_CONSTANT (1) << q->l2_bits) - 1)) * q->entry_size;
  guint64 slice_at = byte & ~(guint64)(q->l2.slice_size - 1);

  *ret_slice = NULL;
  if ((table & (q->cluster_size - 1)) != 0)
    return qcow2_corrupt (q, "the L2 table of guest cluster %" G_GUINT64_FORMAT " is misaligned",
                          cluster);
  *ret_index = (guint)(byte - slice_at) / q->entry_size;
  return qcow2_cache_get (q, &q->l2, table + slice_at, fresh, ret_slice);
}

int
qcow2_slice_get (
    Qcow2 *q, const Qcow2Root *root, guint64 cluster, Qcow2Slice **ret_slice, guint *ret_index)
{
  guint64 l1_index = cluster >> q->l2_bits;
  guint64 table = l1_index < root->l1_size ? root->l1[l1_index] & QCOW2_OFFSET : 0;

  *ret_slice = NULL;
  *ret_index = 0;
  return table == 0 ? 0 : get_in_table (q, table, cluster, FALSE, ret_slice, ret_index);
}

/* Copies a table that a snapshot has too. l2_busy is held. */
static int
copy_table (Qcow2 *q, guint64 from, guint64 to)
{
  g_autofree guint8 *table = g_malloc (q->cluster_size);
  int r = qcow2_check_overlap (q, to, q->cluster_size, QCOW2_META_L2);

  if (r < 0)
    return r;
  g_mutex_unlock (&q->lock);
  r = block_file_read (q->parent.file, from, table, q->cluster_size);
  for (guint32 at = 0; at < q->cluster_size; at += q->entry_size)
    table[at] &= 0x7f; /* no COPIED: the snapshot has these clusters too */
  if (r == 0)
    r = block_file_write (q->parent.file, to, table, q->cluster_size);
  g_mutex_lock (&q->lock);
  return r;
}

static int
make_table (Qcow2 *q, guint32 l1_index)
{
  guint64 old = q->active.l1[l1_index] & QCOW2_OFFSET, first, offset;
  int r;

  if ((old & (q->cluster_size - 1)) != 0)
    return qcow2_corrupt (q, "L2 table %u is misaligned", l1_index);
  r = qcow2_alloc (q, 1, old == 0, &first);
  if (r < 0)
    return r;
  offset = first << q->cluster_bits;
  qcow2_cache_drop (&q->l2, offset, q->cluster_size);
  qcow2_metadata_add (q, offset, q->cluster_size, QCOW2_META_L2);
  if (old != 0)
    r = copy_table (q, old, offset);
  if (r < 0)
    {
      qcow2_metadata_remove (q, offset, q->cluster_size);
      qcow2_unalloc (q, first, 1);
      return r;
    }
  qcow2_l1_set (q, l1_index, offset | QCOW2_COPIED);
  if (old != 0)
    qcow2_free_later (q, old >> q->cluster_bits, 1);
  return 0;
}

int
qcow2_slice_get_writable (Qcow2 *q, guint64 cluster, Qcow2Slice **ret_slice, guint *ret_index)
{
  guint64 l1_index = cluster >> q->l2_bits;

  *ret_slice = NULL;
  if (l1_index >= q->active.l1_size)
    return -EINVAL;
  for (;;)
    {
      guint64 entry = q->active.l1[l1_index];
      int r;

      if (q->broken)
        return -EIO;
      if ((entry & QCOW2_OFFSET) >> q->cluster_bits >= q->end)
        return qcow2_corrupt (q, "L2 table %" G_GUINT64_FORMAT " is behind the end", l1_index);
      if ((entry & QCOW2_OFFSET) != 0 && (entry & QCOW2_COPIED))
        return get_in_table (q, entry & QCOW2_OFFSET, cluster, FALSE, ret_slice, ret_index);
      if (q->l2_busy)
        {
          qcow2_wait (q);
          continue;
        }
      q->l2_busy = TRUE;
      r = make_table (q, (guint32)l1_index);
      q->l2_busy = FALSE;
      qcow2_wake (q);
      if (r < 0)
        return r;
    }
}

int
qcow2_map (Qcow2 *q, const Qcow2Root *root, guint64 offset, guint64 length, Qcow2Extent *ret)
{
  guint64 cluster = offset >> q->cluster_bits;
  guint32 in_cluster = offset & (q->cluster_size - 1), reach;
  Qcow2Slice *slice;
  guint index, n;
  int r = qcow2_slice_get (q, root, cluster, &slice, &index);

  memset (ret, 0, sizeof *ret);
  if (r < 0)
    return r;
  if (slice == NULL)
    {
      guint64 table = (guint64)1 << (q->l2_bits + q->cluster_bits);

      ret->length = MIN (length, table - (offset & (table - 1)));
      return 0;
    }
  n = q->l2.slice_size / q->entry_size;
  for (; index < n && ret->length < length; index++, cluster++, in_cluster = 0)
    {
      Qcow2Entry e = qcow2_entry_get (q, slice, index);
      guint64 host;
      Qcow2Kind kind;

      if (!qcow2_entry_check (q, e, cluster))
        {
          if (ret->length == 0)
            r = -EIO;
          break;
        }
      kind = qcow2_entry_kind (q, e, in_cluster, &reach);
      host = kind == QCOW2_PACKED ? e.entry : (e.entry & QCOW2_OFFSET) + in_cluster;
      if (ret->length == 0)
        {
          ret->kind = kind;
          ret->has_host = kind != QCOW2_PACKED && has_host (q, e.entry);
          ret->host = ret->has_host || kind == QCOW2_PACKED ? host : 0;
        }
      else if (kind != ret->kind || kind == QCOW2_PACKED ||
               (kind == QCOW2_DATA && host != ret->host + ret->length) ||
               (kind == QCOW2_ZEROES && has_host (q, e.entry) != ret->has_host))
        break;
      ret->length += reach;
      if (in_cluster + reach < q->cluster_size)
        break; /* the next subcluster is of another kind */
    }
  ret->length = MIN (ret->length, length);
  qcow2_cache_put (slice);
  return r;
}
