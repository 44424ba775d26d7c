/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Checking and repair. Everything that is referred to is counted anew, each L2 table once however
 * many L1 entries lead to it; then the counts in the file are compared, and the COPIED marks. What
 * is malformed is not followed, so that the work is bounded by the size of the file. */
#include <stdarg.h>

#include "devices/backends/block/qcow2/qcow2-private.h"

#define CHUNK_BITS   10u
#define CHUNK        (1u << CHUNK_BITS)
#define MAX_MESSAGES 100u
#define STEP_EVERY   256u

typedef struct
{
  Qcow2 *q;
  BlockCheckFlags flags;
  BlockCheckReport *report;
  const BlockProgress *progress;
  guint64 file_clusters;
  GHashTable *chunks; /* of guint32[CHUNK] by cluster >> CHUNK_BITS */
  GHashTable *tables; /* L2 table cluster to how often it is referred to */
  guint64 highest;    /* cluster that is counted */
  gboolean rebuild;   /* the refcount blocks themselves are no good */
  GHashTable *bad;    /* indices of such in the table */
  guint64 done, total;
  guint64 fixed_entries;
} Check;

static gboolean
repairs (const Check *c)
{
  return (c->flags & BLOCK_CHECK_REPAIR_ALL) != 0;
}

static void G_GNUC_PRINTF (2, 3) note (Check *c, const char *format, ...)
{
  va_list args;

  if (c->report->messages->len >= MAX_MESSAGES)
    return;
  va_start (args, format);
  g_ptr_array_add (c->report->messages, g_strdup_vprintf (format, args));
  va_end (args);
}

/* ---- counting ---- */

static guint32 *
counter (Check *c, guint64 cluster, gboolean make)
{
  gpointer key = GSIZE_TO_POINTER ((gsize)(cluster >> CHUNK_BITS));
  guint32 *chunk = g_hash_table_lookup (c->chunks, key);

  if (chunk == NULL && !make)
    return NULL;
  if (chunk == NULL)
    {
      chunk = g_new0 (guint32, CHUNK);
      g_hash_table_insert (c->chunks, key, chunk);
    }
  return &chunk[cluster & (CHUNK - 1)];
}

static guint32
count_of (Check *c, guint64 cluster)
{
  guint32 *n = counter (c, cluster, FALSE);

  return n != NULL ? *n : 0;
}

/* FALSE: outside the file. */
static gboolean
add (Check *c, guint64 offset, guint64 length, guint32 times)
{
  guint64 first = offset >> c->q->cluster_bits;
  guint64 end = qcow2_clusters (c->q, offset + length);

  if (end > c->file_clusters)
    return FALSE;
  for (guint64 cluster = first; cluster < end; cluster++)
    {
      guint32 *n = counter (c, cluster, TRUE);

      *n = *n > G_MAXUINT32 - times ? G_MAXUINT32 : *n + times;
      c->highest = MAX (c->highest, cluster);
    }
  return TRUE;
}

static void
add_metadata (Check *c, const char *what, guint64 offset, guint64 length)
{
  if (length == 0)
    return;
  if (!add (c, offset, length, 1))
    {
      note (c, "The %s lies beyond the end of the file", what);
      c->report->corruptions++;
    }
}

static void
add_root (Check *c, const Qcow2Root *root, const char *what)
{
  Qcow2 *q = c->q;

  for (guint32 i = 0; i < root->l1_size; i++)
    {
      guint64 offset = root->l1[i] & QCOW2_OFFSET;
      gpointer key = GSIZE_TO_POINTER ((gsize)(offset >> q->cluster_bits)), n;

      if (offset == 0)
        continue;
      if ((offset & (q->cluster_size - 1)) != 0 || !add (c, offset, q->cluster_size, 1))
        {
          note (c, "L2 table %u of %s is at an impossible place", i, what);
          c->report->corruptions++;
          if (repairs (c) && root == &q->active)
            {
              qcow2_l1_set (q, i, 0);
              c->fixed_entries++;
            }
          continue;
        }
      n = g_hash_table_lookup (c->tables, key);
      g_hash_table_insert (c->tables, key, GUINT_TO_POINTER (GPOINTER_TO_UINT (n) + 1));
      if (!g_hash_table_contains (q->metadata, key))
        qcow2_metadata_add (q, offset, 1, QCOW2_META_L2);
    }
}

static gboolean
entry_good (Check *c, Qcow2Entry e, guint32 times)
{
  Qcow2 *q = c->q;
  guint64 offset = e.entry & QCOW2_OFFSET, length = q->cluster_size;

  if (e.entry & QCOW2_COMPRESSED)
    {
      qcow2_packed_place (q, e.entry, &offset, &length);
      length += offset & 511;
      offset &= ~(guint64)511;
    }
  if (offset == 0 || q->external)
    return TRUE;
  for (guint64 at = offset >> q->cluster_bits; at < qcow2_clusters (q, offset + length); at++)
    if (g_hash_table_contains (q->metadata, GSIZE_TO_POINTER ((gsize)at)))
      return FALSE;
  return add (c, offset, length, times);
}

static void
count_statistics (Check *c, Qcow2Entry e, guint64 *last_host)
{
  guint64 host = e.entry & QCOW2_OFFSET;

  if (e.entry & QCOW2_COMPRESSED)
    {
      c->report->clusters_allocated++;
      c->report->clusters_compressed++;
      c->report->clusters_fragmented++;
      *last_host = 0;
    }
  else if (host != 0)
    {
      c->report->clusters_allocated++;
      if (*last_host != 0 && host != *last_host + c->q->cluster_size)
        c->report->clusters_fragmented++;
      *last_host = host;
    }
}

static int
check_table (Check *c, guint64 table, guint32 times, gboolean active)
{
  Qcow2 *q = c->q;
  guint64 last_host = 0;

  for (guint32 at = 0; at < q->cluster_size; at += q->l2.slice_size)
    {
      Qcow2Slice *slice;
      int r = qcow2_cache_get (q, &q->l2, table + at, FALSE, &slice);

      if (r < 0)
        return r;
      for (guint i = 0; i < q->l2.slice_size / q->entry_size; i++)
        {
          Qcow2Entry e = qcow2_entry_get (q, slice, i);
          /* Where in the disk is known for data files only, where it is the place itself. */
          guint64 cluster = (e.entry & QCOW2_OFFSET) >> q->cluster_bits;

          if (e.entry == 0 && e.bitmap == 0)
            continue;
          if (qcow2_entry_ok (q, e, cluster) && entry_good (c, e, times))
            {
              if (active)
                count_statistics (c, e, &last_host);
              continue;
            }
          note (c,
                "An entry of the L2 table at %#" G_GINT64_MODIFIER
                "x is malformed, or points to metadata or beyond the end",
                table);
          c->report->corruptions++;
          if (!repairs (c))
            continue;
          e.entry = q->version >= 3 && !q->extended ? QCOW2_ZERO : 0;
          e.bitmap = q->extended ? (guint64)0xffffffff << 32 : 0;
          qcow2_entry_set (q, slice, i, e);
          c->fixed_entries++;
        }
      qcow2_cache_put (slice);
    }
  return 0;
}

static gboolean
count_tables (Check *c, GError **error)
{
  g_autoptr (GHashTable) active = g_hash_table_new (NULL, NULL);
  Qcow2 *q = c->q;
  GHashTableIter iter;
  gpointer key, value;

  for (guint32 i = 0; i < q->active.l1_size; i++)
    g_hash_table_add (
        active, GSIZE_TO_POINTER ((gsize)((q->active.l1[i] & QCOW2_OFFSET) >> q->cluster_bits)));
  c->total = g_hash_table_size (c->tables);
  g_hash_table_iter_init (&iter, c->tables);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      guint64 table = (guint64)GPOINTER_TO_SIZE (key) << q->cluster_bits;

      if (check_table (c, table, GPOINTER_TO_UINT (value), g_hash_table_contains (active, key)) < 0)
        {
          note (c, "The L2 table at %#" G_GINT64_MODIFIER "x cannot be read", table);
          c->report->errors++;
        }
      if (++c->done % STEP_EVERY == 0 && !qcow2_step (q, c->progress, c->done, c->total, error))
        return FALSE;
    }
  return TRUE;
}

static void
count_bitmaps (Check *c)
{
  Qcow2 *q = c->q;

  add_metadata (c, "directory of bitmaps", q->bitmaps_offset, q->bitmaps_size);
  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      const Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);
      guint64 bytes = (guint64)b->table_size * 8;
      g_autofree guint8 *table = NULL;

      if (b->table_offset == 0)
        continue;
      add_metadata (c, "table of a bitmap", b->table_offset, MAX (bytes, 1));
      if (qcow2_clusters (q, b->table_offset + bytes) > c->file_clusters)
        continue;
      table = g_malloc (MAX (bytes, 8));
      if (block_file_read (q->parent.file, b->table_offset, table, bytes) < 0)
        {
          c->report->errors++;
          continue;
        }
      for (guint64 at = 0; at < bytes; at += 8)
        if ((be64_get (table + at) & QCOW2_OFFSET) != 0)
          add_metadata (c, "contents of a bitmap", be64_get (table + at) & QCOW2_OFFSET,
                        q->cluster_size);
    }
}

static int
count_snapshots (Check *c)
{
  Qcow2 *q = c->q;

  if (q->snapshots->len > 0)
    add_metadata (c, "snapshot table", q->snapshots_offset, qcow2_snapshots_size (q));
  for (guint i = 0; i < q->snapshots->len; i++)
    {
      const Qcow2Snapshot *s = g_ptr_array_index (q->snapshots, i);
      Qcow2Root root = { NULL, s->l1_size, 0 };
      g_autofree char *what = g_strdup_printf ("the snapshot “%s”", s->name);
      int r;

      if (s->l1_size == 0)
        {
          if (s->l1_offset != 0)
            add_metadata (c, "L1 table of a snapshot", s->l1_offset, 8);
          continue;
        }
      add_metadata (c, "L1 table of a snapshot", s->l1_offset, (guint64)s->l1_size * 8);
      r = qcow2_l1_load (q, s->l1_offset, s->l1_size, &root.l1);
      if (r == 0)
        add_root (c, &root, what);
      else
        c->report->errors++;
      g_free (root.l1);
    }
  return 0;
}

/* The blocks that the table names, each once and inside the file. */
static void
count_blocks (Check *c)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  Qcow2 *q = c->q;

  add_metadata (c, "refcount table", q->table_offset,
                (guint64)q->table_clusters << q->cluster_bits);
  for (guint32 i = 0; i < q->table_size; i++)
    {
      guint64 offset = q->table[i];
      gpointer key = GSIZE_TO_POINTER ((gsize)(offset >> q->cluster_bits));

      if (offset == 0)
        continue;
      if ((offset & (q->cluster_size - 1)) != 0 || qcow2_clusters (q, offset) >= c->file_clusters ||
          !g_hash_table_add (seen, key) ||
          GPOINTER_TO_UINT (g_hash_table_lookup (q->metadata, key)) != QCOW2_META_BLOCK)
        {
          note (c, "Refcount block %u is at an impossible place", i);
          c->report->corruptions++;
          c->rebuild = TRUE;
          g_hash_table_add (c->bad, GUINT_TO_POINTER (i));
          continue;
        }
      (void)add (c, offset, q->cluster_size, 1);
    }
}

/* ---- comparing ---- */

static int
compare_cluster (Check *c, guint64 cluster, guint64 found)
{
  Qcow2 *q = c->q;
  guint32 real = count_of (c, cluster);
  int r = 0;

  if (found == real)
    return 0;
  if (found > real)
    {
      c->report->leaks++;
      note (c,
            "Cluster %" G_GUINT64_FORMAT " is counted %" G_GUINT64_FORMAT " times, used %u times",
            cluster, found, real);
      if (c->flags & (BLOCK_CHECK_REPAIR_LEAKS | BLOCK_CHECK_REPAIR_ALL))
        {
          r = qcow2_refcount_set (q, cluster, real);
          c->report->leaks_fixed += r == 0;
        }
      return r;
    }
  c->report->corruptions++;
  note (c,
        "Cluster %" G_GUINT64_FORMAT " is counted %" G_GUINT64_FORMAT " times, but used %u times",
        cluster, found, real);
  if (!repairs (c) || real > q->refcount_max)
    return 0;
  r = qcow2_refcount_set (q, cluster, real);
  c->report->corruptions_fixed += r == 0;
  return r;
}

static gboolean
has_block (Check *c, guint64 b)
{
  return b < c->q->table_size && c->q->table[b] != 0 &&
         !g_hash_table_contains (c->bad, GUINT_TO_POINTER ((guint)b));
}

static gboolean
compare_block (Check *c, guint64 b)
{
  for (guint64 i = 0; i < G_GUINT64_CONSTANT (1) << c->q->block_bits; i++)
    {
      guint64 cluster = b << c->q->block_bits | i, found;
      int r = qcow2_refcount_get (c->q, cluster, &found);

      if (r == 0)
        r = compare_cluster (c, cluster, found);
      if (r < 0)
        return FALSE;
    }
  return TRUE;
}

static gboolean
compare (Check *c, GError **error)
{
  Qcow2 *q = c->q;
  GHashTableIter iter;
  gpointer key, value;

  for (guint64 b = 0; b < q->table_size; b++)
    {
      if (!has_block (c, b))
        continue;
      if (!compare_block (c, b))
        {
          note (c, "Refcount block %" G_GUINT64_FORMAT " cannot be read or written", b);
          c->report->errors++;
        }
      if (!qcow2_step (q, c->progress, c->total, c->total, error))
        return FALSE;
    }
  /* What is used where no block is. */
  g_hash_table_iter_init (&iter, c->chunks);
  while (g_hash_table_iter_next (&iter, &key, &value))
    for (guint i = 0; i < CHUNK; i++)
      {
        guint64 cluster = (guint64)GPOINTER_TO_SIZE (key) << CHUNK_BITS | i;

        if (((guint32 *)value)[i] == 0 || has_block (c, cluster >> q->block_bits))
          continue;
        note (c, "Cluster %" G_GUINT64_FORMAT " is used, but has no refcount block", cluster);
        c->report->corruptions++;
        c->rebuild = TRUE;
      }
  return TRUE;
}

/* Is it ours alone, by the count in the file (which is right by now, or too high)? */
static gboolean
is_alone (Check *c, guint64 cluster)
{
  guint64 count;

  if (c->rebuild || qcow2_refcount_get (c->q, cluster, &count) < 0)
    count = count_of (c, cluster);
  return count == 1;
}

/* The marks of the active tables. */
static int
compare_marks (Check *c)
{
  Qcow2 *q = c->q;

  if (q->external)
    return 0;
  for (guint32 i = 0; i < q->active.l1_size; i++)
    {
      guint64 l1 = q->active.l1[i], table = l1 & QCOW2_OFFSET;

      if (table == 0 ||
          !g_hash_table_contains (c->tables, GSIZE_TO_POINTER ((gsize)(table >> q->cluster_bits))))
        continue;
      if (((l1 & QCOW2_COPIED) != 0) != is_alone (c, table >> q->cluster_bits))
        {
          c->report->corruptions++;
          c->fixed_entries += repairs (c);
          note (c, "The mark of L2 table %u is wrong", i);
        }
      for (guint32 at = 0; at < q->cluster_size; at += q->l2.slice_size)
        {
          Qcow2Slice *slice;
          int r = qcow2_cache_get (q, &q->l2, table + at, FALSE, &slice);

          if (r < 0)
            return r;
          for (guint k = 0; k < q->l2.slice_size / q->entry_size; k++)
            {
              guint64 e = qcow2_entry_get (q, slice, k).entry, host = e & QCOW2_OFFSET;
              gboolean marked = (e & QCOW2_COPIED) != 0;

              if ((e & QCOW2_COMPRESSED) || host == 0 || (host & (q->cluster_size - 1)) != 0 ||
                  marked == is_alone (c, host >> q->cluster_bits))
                continue;
              c->report->corruptions++;
              c->fixed_entries += repairs (c);
              note (c, "The mark of an entry of L2 table %u is wrong", i);
            }
          qcow2_cache_put (slice);
        }
    }
  return 0;
}

/* ---- a new set of refcount blocks ---- */

static int
write_block (Check *c, guint64 block, guint64 offset, guint8 *buffer)
{
  Qcow2 *q = c->q;

  memset (buffer, 0, q->cluster_size);
  for (guint64 i = 0; i < G_GUINT64_CONSTANT (1) << q->block_bits; i++)
    qcow2_refcount_write_entry (q, buffer, i,
                                MIN (count_of (c, block << q->block_bits | i), q->refcount_max));
  return block_file_write (q->parent.file, offset, buffer, q->cluster_size);
}

/* Behind everything in the file; the former blocks and table are free afterwards. */
static int
rebuild (Check *c)
{
  Qcow2 *q = c->q;
  guint64 first = MAX (c->highest + 1, c->file_clusters), n_blocks, n_table = 1, end;
  g_autofree guint8 *buffer = g_malloc (q->cluster_size), *table = NULL;
  int r;

  for (guint64 i = 0; i < q->table_size; i++)
    {
      guint32 *n = counter (c, q->table[i] >> q->cluster_bits, FALSE);

      /* Counted by count_blocks, those that were good; they are not used any more. */
      if (has_block (c, i) && n != NULL && *n > 0)
        --*n;
    }
  for (guint64 i = 0; i < q->table_clusters; i++)
    {
      guint32 *n = counter (c, (q->table_offset >> q->cluster_bits) + i, FALSE);

      if (n != NULL && *n > 0)
        --*n;
    }
  do
    {
      end = first + n_table;
      n_blocks = (end >> q->block_bits) + 1;
      while (n_blocks << q->block_bits < end + n_blocks)
        n_blocks++;
      if (qcow2_clusters (q, n_blocks * 8) <= n_table)
        break;
      n_table++;
    }
  while (TRUE);
  end = first + n_table + n_blocks;
  if (n_table << q->cluster_bits > MAX (QCOW2_MAX_TABLE_BYTES, q->cluster_size))
    return -EFBIG;
  c->file_clusters = end;
  (void)add (c, first << q->cluster_bits, (end - first) << q->cluster_bits, 1);
  r = q->parent.file->ops->truncate (q->parent.file, end << q->cluster_bits);
  table = g_malloc0 (n_table << q->cluster_bits);
  for (guint64 b = 0; r == 0 && b < n_blocks; b++)
    {
      guint64 offset = (first + n_table + b) << q->cluster_bits;

      be64_put (table + b * 8, offset);
      r = write_block (c, b, offset, buffer);
    }
  if (r == 0)
    r = block_file_write (q->parent.file, first << q->cluster_bits, table,
                          n_table << q->cluster_bits);
  if (r == 0)
    r = qcow2_barrier (q);
  if (r < 0)
    return r;
  qcow2_cache_drop_all (&q->blocks);
  q->table_moved = q->table_any_dirty = FALSE;
  q->table_offset = first << q->cluster_bits;
  q->table_clusters = (guint32)n_table;
  q->table_size = (guint32)(n_table << (q->cluster_bits - 3));
  g_clear_pointer (&q->table, g_free);
  g_clear_pointer (&q->table_dirty, g_free);
  r = qcow2_table_load (q);
  if (r == 0)
    r = qcow2_header_update (q);
  if (r == 0)
    r = qcow2_barrier (q);
  if (r == 0)
    {
      qcow2_metadata_load (q);
      r = qcow2_find_end (q);
    }
  return r;
}

/* ---- the whole ---- */

static gboolean
prepare (Check *c, GError **error)
{
  Qcow2 *q = c->q;
  gint64 size = q->parent.file->ops->get_size (q->parent.file);
  int r = size < 0 ? (int)size : 0;

  if (r == 0 && c->flags != BLOCK_CHECK_LOOK && q->broken)
    {
      q->broken = FALSE;
      r = qcow2_find_end (q);
    }
  if (r == 0 && c->flags != BLOCK_CHECK_LOOK)
    r = qcow2_start_writing (q);
  if (r == 0 && q->writing)
    {
      /* What was set aside for coming writes is no leak. */
      qcow2_release_reserve (q);
      q->byte_offset = 0;
      q->closing = TRUE;
      r = qcow2_flush_all (q);
      q->closing = FALSE;
      size = q->parent.file->ops->get_size (q->parent.file);
    }
  if (r == 0 && q->table == NULL)
    {
      r = qcow2_table_load (q);
      qcow2_metadata_load (q);
    }
  c->file_clusters = qcow2_clusters (q, (guint64)MAX (size, 0));
  return r == 0 || vmm_error_set_errno (error, r, "Cannot check “%s”", q->parent.name);
}

static gboolean
finish_repair (Check *c, GError **error)
{
  Qcow2 *q = c->q;
  int r = 0;

  q->closing = TRUE;
  if (c->rebuild && repairs (c))
    r = rebuild (c);
  if (r == 0)
    r = qcow2_flush_all (q);
  if (r == 0 && repairs (c))
    r = qcow2_mark_copied (q);
  if (r == 0 && repairs (c))
    {
      c->report->corruptions_fixed += c->fixed_entries;
      if (c->rebuild)
        c->report->corruptions_fixed = c->report->corruptions;
    }
  if (r == 0 && c->report->errors == 0 && c->report->corruptions == c->report->corruptions_fixed &&
      (q->incompatible & QCOW2_CORRUPT))
    {
      q->incompatible &= ~QCOW2_CORRUPT;
      r = qcow2_header_update (q);
      if (r == 0)
        r = qcow2_barrier (q);
    }
  q->closing = FALSE;
  q->free_hint = 0;
  return r == 0 || vmm_error_set_errno (error, r, "Cannot repair “%s”", q->parent.name);
}

gboolean
qcow2_check_held (Qcow2 *q,
                  BlockCheckFlags flags,
                  BlockCheckReport *report,
                  const BlockProgress *progress,
                  GError **error)
{
  Check c = { .q = q, .flags = flags, .report = report, .progress = progress };
  gboolean ok;

  memset (report, 0, sizeof *report);
  report->messages = g_ptr_array_new_with_free_func (g_free);
  if (!prepare (&c, error))
    return FALSE;
  c.chunks = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  c.tables = g_hash_table_new (NULL, NULL);
  c.bad = g_hash_table_new (NULL, NULL);
  report->clusters_total = qcow2_clusters (q, q->active.disk_size);
  add_metadata (&c, "header", 0, q->cluster_size);
  count_blocks (&c);
  add_metadata (&c, "L1 table", q->l1_offset, (guint64)q->active.l1_size * 8);
  add_root (&c, &q->active, "the disk");
  (void)count_snapshots (&c);
  count_bitmaps (&c);
  ok = count_tables (&c, error);
  if (ok && c.rebuild)
    report->corruptions += report->corruptions == 0;
  if (ok && !(c.rebuild && repairs (&c)))
    ok = compare (&c, error);
  if (ok && compare_marks (&c) < 0)
    report->errors++;
  if (ok && flags != BLOCK_CHECK_LOOK)
    ok = finish_repair (&c, error);
  report->end_offset = (c.highest + 1) << q->cluster_bits;
  g_hash_table_unref (c.chunks);
  g_hash_table_unref (c.tables);
  g_hash_table_unref (c.bad);
  return ok;
}

gboolean
qcow2_check (BlockImage *image,
             BlockCheckFlags flags,
             BlockCheckReport *report,
             const BlockProgress *progress,
             GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  gboolean ok;
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  ok = qcow2_check_held (q, flags, report, progress, error);
  qcow2_control_end (q, &op);
  return ok;
}
