/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reference counts of host clusters, and who gets which cluster.
 *
 * Counts go up in the cache at once and may reach the disk at any time: too high a count is a leak.
 * They go down only when no table on disk refers to the cluster any more (qcow2_free_later).
 * New data goes into the reserve: clusters that are counted already and read as zeroes, so that an
 * allocation in the steady state changes an L2 entry and nothing else. */
#include "devices/backends/block/qcow2/qcow2-private.h"

#define RESERVE_BYTES (8u << 20)
#define SCAN_MAX      262144u /* clusters looked at for one allocation */

guint64
qcow2_refcount_read_entry (const Qcow2 *q, const guint8 *data, guint64 index)
{
  switch (q->refcount_order)
    {
    case 3:
      return data[index];
    case 4:
      return be16_get (data + index * 2);
    case 5:
      return be32_get (data + index * 4);
    case 6:
      return be64_get (data + index * 8);
    default:
      {
        guint per_byte = 8u >> q->refcount_order;
        guint shift = (guint)(index % per_byte) << q->refcount_order;

        return data[index / per_byte] >> shift & q->refcount_max;
      }
    }
}

void
qcow2_refcount_write_entry (const Qcow2 *q, guint8 *data, guint64 index, guint64 value)
{
  switch (q->refcount_order)
    {
    case 3:
      data[index] = (guint8)value;
      break;
    case 4:
      be16_put (data + index * 2, (guint16)value);
      break;
    case 5:
      be32_put (data + index * 4, (guint32)value);
      break;
    case 6:
      be64_put (data + index * 8, value);
      break;
    default:
      {
        guint per_byte = 8u >> q->refcount_order;
        guint shift = (guint)(index % per_byte) << q->refcount_order;
        guint8 *byte = data + index / per_byte;

        *byte = (guint8)((*byte & ~(q->refcount_max << shift)) | value << shift);
        break;
      }
    }
}

int
qcow2_table_load (Qcow2 *q)
{
  gsize bytes = (gsize)q->table_size * 8;
  int r;

  q->table = g_malloc0 (MAX (bytes, 8));
  q->table_dirty = g_malloc0 (bytes / 512 + 1);
  if (bytes == 0)
    return 0;
  r = block_file_read (q->parent.file, q->table_offset, q->table, bytes);
  for (guint32 i = 0; i < q->table_size; i++)
    q->table[i] = GUINT64_FROM_BE (q->table[i]);
  return r;
}

static void
table_set (Qcow2 *q, guint32 index, guint64 value)
{
  q->table[index] = value;
  q->table_dirty[index / 64] = 1;
  q->table_any_dirty = TRUE;
}

/* Pins the slice with the count of a cluster. *ret NULL: there is no block, the count is 0. */
static int
get_slice (Qcow2 *q, guint64 cluster, Qcow2Slice **ret, guint64 *ret_index)
{
  guint64 block = cluster >> q->block_bits;
  guint64 in_block = cluster & ((G_GUINT64_CONSTANT (1) << q->block_bits) - 1);
  guint64 byte = in_block << q->refcount_order >> 3;
  guint64 slice_at = byte & ~(guint64)(q->blocks.slice_size - 1);
  guint64 offset;

  *ret = NULL;
  if (block >= q->table_size || q->table[block] == 0)
    return 0;
  offset = q->table[block];
  if ((offset & (q->cluster_size - 1)) != 0 || offset > (guint64)G_MAXINT64 - q->cluster_size ||
      (!q->readonly && offset >= q->file_end))
    return qcow2_corrupt (q, "refcount block %" G_GUINT64_FORMAT " is at an impossible place",
                          block);
  *ret_index = in_block - ((slice_at << 3) >> q->refcount_order);
  return qcow2_cache_get (q, &q->blocks, offset + slice_at, FALSE, ret);
}

int
qcow2_refcount_get (Qcow2 *q, guint64 cluster, guint64 *ret)
{
  Qcow2Slice *slice;
  guint64 index;
  int r = get_slice (q, cluster, &slice, &index);

  if (r < 0)
    return r;
  *ret = slice != NULL ? qcow2_refcount_read_entry (q, slice->data, index) : 0;
  qcow2_cache_put (slice);
  return 0;
}

int
qcow2_refcount_set (Qcow2 *q, guint64 cluster, guint64 value)
{
  Qcow2Slice *slice;
  guint64 index;
  int r = get_slice (q, cluster, &slice, &index);

  if (r < 0)
    return r;
  if (slice == NULL)
    return value == 0 ? 0 : -EIO;
  if (qcow2_refcount_read_entry (q, slice->data, index) != value)
    {
      qcow2_refcount_write_entry (q, slice->data, index, value);
      qcow2_cache_dirty (&q->blocks, slice);
    }
  qcow2_cache_put (slice);
  if (value == 0)
    {
      q->free_hint = MIN (q->free_hint, cluster);
      g_hash_table_remove (q->metadata, GSIZE_TO_POINTER ((gsize)cluster));
    }
  return 0;
}

static int
add_one (Qcow2 *q, guint64 cluster, gboolean up)
{
  guint64 value;
  int r = qcow2_refcount_get (q, cluster, &value);

  if (r < 0)
    return r;
  if (up && value == q->refcount_max)
    return -ERANGE;
  if (!up && value == 0)
    return qcow2_corrupt (q, "cluster %#" G_GINT64_MODIFIER "x is freed once too often",
                          cluster << q->cluster_bits);
  return qcow2_refcount_set (q, cluster, up ? value + 1 : value - 1);
}

int
qcow2_refcount_add (Qcow2 *q, guint64 cluster, guint64 n, gboolean up)
{
  for (guint64 i = 0; i < n; i++)
    {
      int r = add_one (q, cluster + i, up);

      if (r == 0)
        continue;
      /* The slices are in the cache still, or can be read as they could before. */
      while (i-- > 0)
        (void)add_one (q, cluster + i, !up);
      return r;
    }
  return 0;
}

/* ---- room ---- */

/* Blocks that [first, first + n) needs and that are not there. */
static guint64
missing_blocks (Qcow2 *q, guint64 first, guint64 n)
{
  guint64 missing = 0;

  for (guint64 b = first >> q->block_bits; b <= (first + n - 1) >> q->block_bits; b++)
    if (b >= q->table_size || q->table[b] == 0)
      missing++;
  return missing;
}

/* How many clusters in front of n at first their blocks take. */
static guint64
blocks_for (Qcow2 *q, guint64 first, guint64 n)
{
  guint64 k = 0, need;

  while ((need = missing_blocks (q, first, k + n)) > k)
    k = need;
  return k;
}

/* Undoes what make_run began: blocks that lie in the first k clusters, counts of all. A count that
 * cannot be reached stays: a leak. */
static void
unmake_run (Qcow2 *q, guint64 first, guint64 k, guint64 n)
{
  for (guint64 b = first >> q->block_bits; b <= (first + k + n - 1) >> q->block_bits; b++)
    {
      guint64 offset = b < q->table_size ? q->table[b] : 0;

      if (offset < first << q->cluster_bits || offset >= (first + k) << q->cluster_bits)
        continue;
      table_set (q, (guint32)b, 0);
      qcow2_cache_drop (&q->blocks, offset, q->cluster_size);
      qcow2_metadata_remove (q, offset, q->cluster_size);
    }
  for (guint64 i = 0; i < k + n; i++)
    (void)qcow2_refcount_set (q, first + i, 0);
}

/* Counts [first, first + k + n) once each; the blocks that this needs are made in its first k
 * clusters. All or nothing. */
static int
make_run (Qcow2 *q, guint64 first, guint64 k, guint64 n)
{
  guint64 at = first;
  int r = 0;

  for (guint64 b = first >> q->block_bits; b <= (first + k + n - 1) >> q->block_bits; b++)
    {
      guint64 offset = at << q->cluster_bits;

      if (q->table[b] != 0)
        continue;
      g_assert (at < first + k);
      /* Beyond the end everything reads as zeroes: only slices with counts need writing. */
      qcow2_cache_drop (&q->blocks, offset, q->cluster_size);
      table_set (q, (guint32)b, offset);
      qcow2_metadata_add (q, offset, q->cluster_size, QCOW2_META_BLOCK);
      at++;
    }
  for (guint64 i = 0; r == 0 && i < k + n; i++)
    r = qcow2_refcount_set (q, first + i, 1);
  if (r < 0)
    unmake_run (q, first, k, n);
  return r;
}

/* Makes the file reach to a host cluster, so that nothing can be missing later. */
static int
extend_file (Qcow2 *q, guint64 clusters)
{
  guint64 bytes = clusters << q->cluster_bits;
  BlockFile *file = q->parent.file;
  gint64 size;
  int r = 0;

  if (clusters > (QCOW2_OFFSET >> q->cluster_bits))
    return -EFBIG;
  if (bytes <= q->file_end)
    return 0;
  qcow2_io_begin (q);
  size = file->ops->get_size (file);
  if (size < 0)
    r = (int)size;
  else if (bytes > (guint64)size)
    r = file->ops->truncate (file, bytes);
  /* A device keeps what was in it before. */
  if (r == 0 && (guint64)MAX (size, 0) > q->file_end)
    r = file->ops->zero (file, q->file_end, MIN (bytes, (guint64)size) - q->file_end,
                         BLOCK_FILE_ZERO_UNMAP);
  qcow2_io_end (q);
  if (r == 0)
    {
      q->file_end = bytes;
      q->refcounts_unsynced = TRUE; /* no table is to point behind the end */
    }
  return r;
}

/* A refcount table for at least `blocks` blocks, at the end of the file. It is written, and the
 * header changed, by the next flush. */
static int
grow_table (Qcow2 *q, guint64 blocks)
{
  guint64 per_cluster = q->cluster_size / 8, clusters, k, entries, first = q->end;
  guint32 old_size = q->table_size;
  guint64 *table;
  int r;

  if (q->table_moved)
    {
      /* The former one must be where the header says before it can move again. */
      r = qcow2_refcounts_write (q);
      if (r < 0)
        return r;
      first = q->end;
    }
  entries = blocks + blocks / 2;
  for (;;)
    {
      clusters = (entries + per_cluster - 1) / per_cluster;
      k = blocks_for (q, first, clusters);
      if (((first + k + clusters) >> q->block_bits) < clusters * per_cluster)
        break;
      entries = ((first + k + clusters) >> q->block_bits) + 1;
    }
  if (clusters << q->cluster_bits > MAX (QCOW2_MAX_TABLE_BYTES, q->cluster_size))
    return -EFBIG;
  r = extend_file (q, first + k + clusters);
  if (r < 0)
    return r;
  entries = clusters * per_cluster;
  table = g_new0 (guint64, entries);
  memcpy (table, q->table, (gsize)q->table_size * 8);
  g_free (q->table);
  g_free (q->table_dirty);
  q->table = table;
  q->table_dirty = g_malloc0 (entries / 64 + 1);
  memset (q->table_dirty, q->table_any_dirty, old_size / 64);
  q->table_size = (guint32)entries;
  r = make_run (q, first, k, clusters);
  if (r < 0)
    {
      q->table_size = old_size;
      return r;
    }
  q->table_any_dirty = q->table_moved = TRUE;
  q->table_old_offset = q->table_offset;
  q->table_old_clusters = q->table_clusters;
  q->table_offset = (first + k) << q->cluster_bits;
  q->table_clusters = (guint32)clusters;
  q->end = first + k + clusters;
  qcow2_metadata_add (q, q->table_offset, clusters << q->cluster_bits, QCOW2_META_TABLE);
  return 0;
}

/* In an image that was cut off, clusters behind the end of the file may be in use. */
static int
skip_counted (Qcow2 *q, guint64 n)
{
  guint64 to = q->end + n + 1, from = q->end;

  for (guint64 c = from; c < to; c++)
    {
      guint64 value;
      int r;

      if (c >> q->block_bits >= q->table_size)
        break;
      r = qcow2_refcount_get (q, c, &value);
      if (r < 0)
        return r;
      if (value == 0)
        continue;
      q->end = c + 1;
      to = MAX (to, q->end + n + 1);
      if (c - from > SCAN_MAX)
        return -EFBIG;
    }
  return 0;
}

/* n clusters that nothing has used before. */
static int
alloc_at_end (Qcow2 *q, guint64 n, guint64 *ret_first)
{
  guint64 k, first;
  int r;

  for (guint tries = 0;; tries++)
    {
      r = skip_counted (q, n);
      if (r < 0)
        return r;
      first = q->end;
      k = blocks_for (q, first, n);
      if (((first + k + n - 1) >> q->block_bits) < q->table_size)
        break;
      if (tries == 3)
        return -EFBIG;
      r = grow_table (q, ((first + k + n - 1) >> q->block_bits) + 1);
      if (r < 0)
        return r;
    }
  r = extend_file (q, first + k + n);
  if (r < 0)
    return r;
  r = make_run (q, first, k, n);
  if (r < 0)
    return r;
  q->end = first + k + n;
  *ret_first = first + k;
  return 0;
}

/* The first run of min to max free clusters below the end. *ret->n 0: none. */
static int
find_run (Qcow2 *q, guint64 min, guint64 max, Qcow2Run *ret)
{
  guint64 block_mask = (G_GUINT64_CONSTANT (1) << q->block_bits) - 1;
  gboolean first_free = TRUE;
  guint64 looked = 0, c;
  Qcow2Run run = { 0 };

  for (c = q->free_hint; c < q->end; c++)
    {
      guint64 value;
      int r;

      if (c >> q->block_bits >= q->table_size)
        {
          c = q->end;
          break;
        }
      if (looked++ == SCAN_MAX)
        break;
      if (q->table[c >> q->block_bits] == 0)
        {
          /* Whole blocks without counts: left to be cut off, or for check to see to. */
          c |= block_mask;
          run.n = 0;
          continue;
        }
      r = qcow2_refcount_get (q, c, &value);
      if (r < 0)
        return r;
      if (value != 0)
        {
          if (run.n >= min)
            break;
          run.n = 0;
          continue;
        }
      if (first_free)
        {
          q->free_hint = c;
          first_free = FALSE;
        }
      if (run.n++ == 0)
        run.first = c;
      if (run.n == max)
        break;
    }
  if (first_free)
    q->free_hint = MIN (c, q->end);
  *ret = run;
  if (run.n < min)
    ret->n = 0;
  return 0;
}

static int
take_run (Qcow2 *q, const Qcow2Run *run, gboolean zeroed)
{
  int r = 0;

  for (guint64 c = run->first; c < run->first + run->n; c++)
    if (g_hash_table_contains (q->metadata, GSIZE_TO_POINTER ((gsize)c)))
      return qcow2_corrupt (q, "metadata at %#" G_GINT64_MODIFIER "x counts as free",
                            c << q->cluster_bits);
  if (zeroed)
    {
      qcow2_io_begin (q);
      r = q->parent.file->ops->zero (q->parent.file, run->first << q->cluster_bits,
                                     run->n << q->cluster_bits, BLOCK_FILE_ZERO_UNMAP);
      qcow2_io_end (q);
      /* The zeroes are to be there before any table refers to them. */
      q->refcounts_unsynced = TRUE;
    }
  for (guint64 i = 0; r == 0 && i < run->n; i++)
    {
      r = qcow2_refcount_set (q, run->first + i, 1);
      if (r < 0)
        while (i-- > 0)
          (void)qcow2_refcount_set (q, run->first + i, 0);
    }
  if (r == 0 && q->free_hint == run->first)
    q->free_hint = run->first + run->n;
  return r;
}

int
qcow2_alloc (Qcow2 *q, guint64 n, gboolean zeroed, guint64 *ret_first)
{
  Qcow2Run run;
  int r;

  g_assert (n > 0);
  if (q->broken)
    return -EIO;
  if (n <= q->reserve.n)
    {
      *ret_first = q->reserve.first;
      q->reserve.first += n;
      q->reserve.n -= n;
      return 0;
    }
  r = find_run (q, n, n, &run);
  if (r < 0)
    return r;
  if (run.n == 0)
    return alloc_at_end (q, n, ret_first);
  *ret_first = run.first;
  return take_run (q, &run, zeroed);
}

int
qcow2_alloc_data (Qcow2 *q, guint64 max, Qcow2Run *ret_run)
{
  if (q->broken)
    return -EIO;
  if (q->reserve.n == 0)
    {
      guint64 want = CLAMP (RESERVE_BYTES >> q->cluster_bits, 16, 1024);
      Qcow2Run run;
      int r = find_run (q, 1, want, &run);

      if (r < 0)
        return r;
      if (run.n > 0)
        r = take_run (q, &run, TRUE);
      else
        {
          run.n = want;
          r = alloc_at_end (q, want, &run.first);
          if (r == -ENOSPC || r == -EFBIG)
            {
              run.n = 1;
              r = alloc_at_end (q, 1, &run.first);
            }
        }
      if (r < 0)
        return r;
      q->reserve = run;
    }
  ret_run->first = q->reserve.first;
  ret_run->n = MIN (max, q->reserve.n);
  q->reserve.first += ret_run->n;
  q->reserve.n -= ret_run->n;
  return 0;
}

void
qcow2_unalloc (Qcow2 *q, guint64 first, guint64 n)
{
  /* A count that cannot be reached stays: a leak. */
  for (guint64 i = 0; i < n; i++)
    (void)qcow2_refcount_set (q, first + i, 0);
}

void
qcow2_release_reserve (Qcow2 *q)
{
  qcow2_unalloc (q, q->reserve.first, q->reserve.n);
  q->reserve.n = 0;
}

/* ---- letting go ---- */

void
qcow2_free_later (Qcow2 *q, guint64 first, guint64 n)
{
  Qcow2Run run = { first, n };

  if (q->frees->len > 0)
    {
      Qcow2Run *last = &g_array_index (q->frees, Qcow2Run, q->frees->len - 1);

      if (last->first + last->n == first)
        {
          last->n += n;
          return;
        }
    }
  g_array_append_val (q->frees, run);
}

void
qcow2_free_entry_later (Qcow2 *q, guint64 entry)
{
  guint64 offset = entry & QCOW2_OFFSET, length = 1;

  if (entry & QCOW2_COMPRESSED)
    {
      qcow2_packed_place (q, entry, &offset, &length);
      length += offset & 511;
      offset &= ~(guint64)511;
    }
  else if (offset == 0)
    return;
  if (q->external)
    return;
  for (guint64 c = offset >> q->cluster_bits; c < qcow2_clusters (q, offset + length); c++)
    if (g_hash_table_contains (q->metadata, GSIZE_TO_POINTER ((gsize)c)))
      {
        (void)qcow2_corrupt (q, "data lies where metadata is, at %#" G_GINT64_MODIFIER "x", offset);
        return;
      }
  qcow2_free_later (q, offset >> q->cluster_bits,
                    qcow2_clusters (q, offset + length) - (offset >> q->cluster_bits));
}

/* What nothing counts any more goes back to the host, if that is wanted. */
static void
give_back (Qcow2 *q, guint64 first, guint64 n)
{
  if (n == 0 || !q->flags.discard)
    return;
  qcow2_io_begin (q);
  (void)q->parent.file->ops->discard (q->parent.file, first << q->cluster_bits,
                                      n << q->cluster_bits);
  qcow2_io_end (q);
}

int
qcow2_process_frees (Qcow2 *q, const Qcow2Run *runs, guint n)
{
  int result = 0;

  for (guint i = 0; i < n; i++)
    {
      Qcow2Run gone = { 0 };

      for (guint64 c = runs[i].first; c < runs[i].first + runs[i].n; c++)
        {
          guint64 value;
          int r = add_one (q, c, FALSE);

          if (r == 0)
            r = qcow2_refcount_get (q, c, &value);
          if (r < 0)
            result = r; /* a leak */
          if (r == 0 && value == 0 && c == gone.first + gone.n)
            gone.n++;
          else if (r == 0 && value == 0)
            {
              give_back (q, gone.first, gone.n);
              gone = (Qcow2Run){ c, 1 };
            }
          if (r == 0 && value == 0 && q->byte_offset >> q->cluster_bits == c)
            q->byte_offset = 0;
        }
      give_back (q, gone.first, gone.n);
    }
  return result;
}

/* ---- to disk ---- */

int
qcow2_barrier (Qcow2 *q)
{
  int r;

  qcow2_io_begin (q);
  r = q->parent.file->ops->flush (q->parent.file);
  if (r == 0 && q->external)
    r = q->data->ops->flush (q->data);
  qcow2_io_end (q);
  return r;
}

static int
write_table (Qcow2 *q)
{
  gsize bytes = (gsize)q->table_size * 8;
  guint64 sector[64];
  int r = 0;

  if (q->table_moved)
    {
      g_autofree guint64 *all = g_new (guint64, q->table_size);

      for (guint32 i = 0; i < q->table_size; i++)
        all[i] = GUINT64_TO_BE (q->table[i]);
      return qcow2_metadata_write (q, q->table_offset, all, bytes, QCOW2_META_TABLE);
    }
  for (gsize s = 0; r == 0 && s < bytes / 512; s++)
    {
      if (!q->table_dirty[s])
        continue;
      for (guint i = 0; i < 64; i++)
        sector[i] = GUINT64_TO_BE (q->table[s * 64 + i]);
      r = qcow2_metadata_write (q, q->table_offset + s * 512, sector, 512, QCOW2_META_TABLE);
    }
  return r;
}

int
qcow2_refcounts_write (Qcow2 *q)
{
  int r = qcow2_cache_write_all (q, &q->blocks);

  if (r < 0 || !q->table_any_dirty)
    return r;
  /* New blocks first, then the table that points to them. */
  r = qcow2_barrier (q);
  if (r < 0)
    return r;
  qcow2_io_begin (q);
  r = write_table (q);
  qcow2_io_end (q);
  if (r < 0)
    return r;
  q->refcounts_unsynced = TRUE;
  if (q->table_moved)
    {
      guint64 old = q->table_old_offset, old_clusters = q->table_old_clusters;

      r = qcow2_barrier (q);
      if (r < 0)
        return r;
      q->table_moved = FALSE; /* the header names the new one */
      r = qcow2_header_update (q);
      if (r == 0)
        r = qcow2_barrier (q);
      if (r < 0)
        {
          q->table_moved = TRUE;
          return r;
        }
      memset (q->table_dirty, 0, q->table_size / 64 + 1);
      q->table_any_dirty = FALSE;
      if (old_clusters > 0)
        qcow2_free_later (q, old >> q->cluster_bits, old_clusters);
      return 0;
    }
  memset (q->table_dirty, 0, q->table_size / 64 + 1);
  q->table_any_dirty = FALSE;
  return 0;
}
