/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening and closing, and the table of operations. */
#include <sys/stat.h>

#include "devices/backends/block/qcow2/qcow2-private.h"

#define MIN_L2_CACHE    (1u << 20)
#define MAX_L2_CACHE    (32u << 20)
#define MAX_BLOCK_CACHE (4u << 20)
#define SLICE           4096u

static void
qcow2_get_info (BlockImage *image, BlockImageInfo *ret_info)
{
  Qcow2 *q = (Qcow2 *)image;

  g_mutex_lock (&q->lock);
  *ret_info = (BlockImageInfo){
    .format = BLOCK_FORMAT_QCOW2,
    .size = q->active.disk_size,
    .cluster_size = q->cluster_size,
    .subcluster_size = 1u << q->subcluster_bits,
    .version = q->version,
    .readonly = q->readonly,
    .dirty = (q->incompatible & QCOW2_DIRTY) != 0 && !q->writing,
    .corrupt = (q->incompatible & QCOW2_CORRUPT) != 0 || q->broken,
    .lazy_refcounts = (q->compatible & QCOW2_LAZY_REFCOUNTS) != 0,
    .compressed_zstd = q->compression == 1,
    .external_data = q->external,
    .n_snapshots = q->snapshots->len,
    .n_bitmaps = q->bitmaps->len,
    .backing_file = q->backing_file,
    .backing_format = q->backing_format,
    .data_file = q->data_name,
  };
  g_mutex_unlock (&q->lock);
}

static void
destroy (Qcow2 *q)
{
  block_image_close (q->parent.backing);
  if (q->data != q->parent.file)
    block_file_close (q->data);
  if (!q->borrowed)
    block_file_close (q->parent.file);
  qcow2_header_free (q);
  if (q->l2.buckets != NULL)
    qcow2_cache_finish (&q->l2);
  if (q->blocks.buckets != NULL)
    qcow2_cache_finish (&q->blocks);
  g_clear_pointer (&q->snapshots, g_ptr_array_unref);
  g_clear_pointer (&q->bitmaps, g_ptr_array_unref);
  g_clear_pointer (&q->free_ops, g_ptr_array_unref);
  g_clear_pointer (&q->frees, g_array_unref);
  g_clear_pointer (&q->metadata, g_hash_table_unref);
  g_free (q->active.l1);
  g_free (q->l1_dirty);
  g_free (q->table);
  g_free (q->table_dirty);
  g_free (q->broken_text);
  g_free (q->parent.name);
  g_cond_clear (&q->changed);
  g_mutex_clear (&q->lock);
  g_free (q);
}

/* What was made longer than it turned out to be needed. */
static void
cut_file (Qcow2 *q)
{
  guint64 end = q->end, value;
  gint64 size = q->parent.file->ops->get_size (q->parent.file);

  while (end > 1 && (end - 1) >> q->block_bits < q->table_size &&
         q->table[(end - 1) >> q->block_bits] != 0 &&
         qcow2_refcount_get (q, end - 1, &value) == 0 && value == 0)
    end--;
  if (size > 0 && (guint64)size > end << q->cluster_bits)
    (void)q->parent.file->ops->truncate (q->parent.file, end << q->cluster_bits);
}

static void
stop_writing (Qcow2 *q)
{
  int r = qcow2_bitmaps_store (q);

  q->closing = TRUE;
  r = qcow2_flush_all (q);
  if (r == 0 && q->needs_repair)
    {
      BlockCheckReport report = { 0 };

      if (!qcow2_check_held (q, BLOCK_CHECK_REPAIR_LEAKS | BLOCK_CHECK_REPAIR_ALL, &report, NULL,
                             NULL) ||
          report.errors > 0)
        r = -EIO;
      block_check_report_clear (&report);
    }
  if (r < 0)
    return; /* the mark stays: whoever opens it next looks after it */
  qcow2_release_reserve (q);
  r = qcow2_refcounts_write (q);
  if (r == 0)
    r = qcow2_barrier (q);
  if (r < 0 || q->broken)
    return;
  cut_file (q);
  if (q->version >= 3)
    {
      q->incompatible &= ~QCOW2_DIRTY;
      if (qcow2_header_update (q) == 0)
        (void)qcow2_barrier (q);
    }
}

static void
qcow2_close (BlockImage *image)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  if (q->writing && !q->broken)
    stop_writing (q);
  qcow2_control_end (q, &op);
  destroy (q);
}

static const BlockImageOps qcow2_ops = {
  .name = "qcow2",
  .get_info = qcow2_get_info,
  .readv = qcow2_readv,
  .writev = qcow2_writev,
  .write_zeroes = qcow2_write_zeroes,
  .discard = qcow2_discard,
  .flush = qcow2_flush,
  .map = qcow2_map_extent,
  .begin = qcow2_begin,
  .end = qcow2_end,
  .write_compressed = qcow2_write_compressed,
  .resize = qcow2_resize,
  .check = qcow2_check,
  .snapshot_list = qcow2_snapshot_list,
  .snapshot_create = qcow2_snapshot_create,
  .snapshot_apply = qcow2_snapshot_apply,
  .snapshot_delete = qcow2_snapshot_delete,
  .snapshot_open = qcow2_snapshot_open,
  .bitmap_list = qcow2_bitmap_list,
  .bitmap_add = qcow2_bitmap_add,
  .bitmap_remove = qcow2_bitmap_remove,
  .bitmap_map = qcow2_bitmap_map,
  .bitmap_clear = qcow2_bitmap_clear,
  .set_backing = qcow2_set_backing,
  .close = qcow2_close,
};

/* ---- open ---- */

static gboolean
open_data_file (Qcow2 *q, GError **error)
{
  const BlockFileFlags flags = {
    .readonly = q->readonly,
    .direct = q->flags.direct,
    .lock = q->flags.no_lock || q->flags.force_share ? BLOCK_LOCK_NONE
            : q->readonly                            ? BLOCK_LOCK_SHARED
                                                     : BLOCK_LOCK_EXCLUSIVE,
  };
  g_autofree char *folder = NULL, *path = NULL;

  q->data = q->parent.file;
  if (!q->external)
    return TRUE;
  if (q->data_name == NULL || q->data_name[0] == 0)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "keeps its data in another file, but does not say in which");
  folder = g_path_get_dirname (q->parent.file->name);
  path = g_path_is_absolute (q->data_name) ? g_strdup (q->data_name)
                                           : g_build_filename (folder, q->data_name, NULL);
  q->data = block_file_open (path, &flags, error);
  if (q->data == NULL)
    {
      q->data = q->parent.file;
      g_prefix_error (error, "The data file of “%s”: ", q->parent.name);
      return FALSE;
    }
  return TRUE;
}

static void
init_caches (Qcow2 *q)
{
  guint32 slice = MIN (SLICE, q->cluster_size);
  guint64 l2 = q->flags.cache_size, all;

  /* All tables of the disk, if that is bearable. */
  all = (q->active.disk_size >> q->cluster_bits) * q->entry_size;
  if (l2 == 0)
    l2 = CLAMP (all, MIN_L2_CACHE, MAX_L2_CACHE);
  qcow2_cache_init (&q->l2, TRUE, slice, l2);
  qcow2_cache_init (&q->blocks, FALSE, slice, CLAMP (l2 / 4, 256u << 10, MAX_BLOCK_CACHE));
}

void
qcow2_metadata_load (Qcow2 *q)
{
  guint64 cs = q->cluster_size;

  g_hash_table_remove_all (q->metadata);
  for (guint32 i = 0; i < q->active.l1_size; i++)
    if ((q->active.l1[i] & QCOW2_OFFSET) != 0)
      qcow2_metadata_add (q, q->active.l1[i] & QCOW2_OFFSET, cs, QCOW2_META_L2);
  for (guint32 i = 0; i < q->table_size; i++)
    if ((q->table[i] & QCOW2_TABLE_OFFSET) != 0)
      qcow2_metadata_add (q, q->table[i] & QCOW2_TABLE_OFFSET, 1, QCOW2_META_BLOCK);
  for (guint i = 0; i < q->snapshots->len; i++)
    {
      const Qcow2Snapshot *s = g_ptr_array_index (q->snapshots, i);

      if (s->l1_size > 0)
        qcow2_metadata_add (q, s->l1_offset, (guint64)s->l1_size * 8, QCOW2_META_SNAPSHOT_L1);
    }
  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      const Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);

      if (b->table_size > 0)
        qcow2_metadata_add (q, b->table_offset, (guint64)b->table_size * 8, QCOW2_META_BITMAPS);
    }
  if (q->bitmaps_size > 0)
    qcow2_metadata_add (q, q->bitmaps_offset, q->bitmaps_size, QCOW2_META_BITMAPS);
  if (q->snapshots_offset != 0 && q->snapshots->len > 0)
    qcow2_metadata_add (q, q->snapshots_offset, qcow2_snapshots_size (q), QCOW2_META_SNAPSHOTS);
  qcow2_metadata_add (q, q->table_offset, (guint64)q->table_clusters << q->cluster_bits,
                      QCOW2_META_TABLE);
  if (q->active.l1_size > 0)
    qcow2_metadata_add (q, q->l1_offset, (guint64)q->active.l1_size * 8, QCOW2_META_L1);
  qcow2_metadata_add (q, 0, 1, QCOW2_META_HEADER);
}

/* A device is as large as it is: behind the last cluster with a count nothing is used. */
static int
last_counted (Qcow2 *q, guint64 *ret_end)
{
  guint64 limit = q->end;

  *ret_end = 1;
  for (guint64 b = MIN (q->table_size, (limit >> q->block_bits) + 1); b-- > 0;)
    {
      guint64 base = b << q->block_bits;

      if (q->table[b] == 0)
        continue;
      for (guint64 i = G_GUINT64_CONSTANT (1) << q->block_bits; i-- > 0;)
        {
          guint64 value;
          int r = base + i < limit ? qcow2_refcount_get (q, base + i, &value) : 0;

          if (r < 0)
            return r;
          if (base + i < limit && value != 0)
            {
              *ret_end = base + i + 1;
              return 0;
            }
        }
    }
  return 0;
}

int
qcow2_find_end (Qcow2 *q)
{
  gint64 size = q->parent.file->ops->get_size (q->parent.file);
  int fd = q->parent.file->ops->get_fd (q->parent.file), r = 0;
  struct stat st;

  if (size < 0)
    return (int)size;
  q->end = qcow2_clusters (q, (guint64)size);
  q->file_end = (guint64)size;
  q->free_hint = 0;
  if (fd >= 0 && fstat (fd, &st) == 0 && S_ISBLK (st.st_mode))
    {
      guint64 end;

      r = last_counted (q, &end);
      q->end = end;
      q->file_end = end << q->cluster_bits;
    }
  return r;
}

static gboolean
load_tables (Qcow2 *q, GError **error)
{
  int r = qcow2_l1_load (q, q->l1_offset, q->active.l1_size, &q->active.l1);

  q->l1_dirty = g_malloc0 (q->active.l1_size / 64 + 1);
  if (r == 0 && !q->readonly)
    r = qcow2_table_load (q);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the tables of “%s”", q->parent.name);
  return TRUE;
}

/* After a crash: what is counted and used by nothing is freed. */
static gboolean
repair (Qcow2 *q, GError **error)
{
  BlockCheckReport report = { 0 };
  gboolean ok;
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  ok =
      qcow2_check_held (q, BLOCK_CHECK_REPAIR_LEAKS | BLOCK_CHECK_REPAIR_ALL, &report, NULL, error);
  if (ok && (report.corruptions > report.corruptions_fixed || report.errors > 0))
    ok = qcow2_refuse (q, error, VMM_ERROR_INVALID,
                       "was not closed properly and cannot be repaired without loss; look at what "
                       "a check of it says, and have a copy before it is repaired");
  block_check_report_clear (&report);
  qcow2_control_end (q, &op);
  return ok;
}

static gboolean
open_image (Qcow2 *q, GError **error)
{
  int r;

  if (!qcow2_header_read (q, error))
    return FALSE;
  if ((q->incompatible & QCOW2_CORRUPT) && !q->readonly)
    {
      if (!q->flags.no_backing)
        return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                             "is marked as damaged; open it read-only to save what is there, or "
                             "repair it");
      q->broken = TRUE;
    }
  if (!open_data_file (q, error))
    return FALSE;
  init_caches (q);
  if (!load_tables (q, error) || qcow2_snapshots_load (q, error) < 0)
    return FALSE;
  if (q->readonly)
    return TRUE;
  g_mutex_lock (&q->lock);
  qcow2_metadata_load (q);
  r = q->broken ? 0 : qcow2_find_end (q);
  g_mutex_unlock (&q->lock);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the reference counts of “%s”",
                                q->parent.name);
  if ((q->incompatible & QCOW2_DIRTY) && !q->broken && !repair (q, error))
    return FALSE;
  return TRUE;
}

static void
free_op (gpointer data)
{
  Qcow2Op *op = data;

  g_free (op->commits);
  g_free (op);
}

BlockImage *
qcow2_open (BlockFile *file, const BlockImageFlags *flags, gboolean borrowed, GError **error)
{
  Qcow2 *q = g_new0 (Qcow2, 1);

  q->parent.ops = &qcow2_ops;
  q->parent.file = q->data = file;
  q->parent.name = g_strdup (file->name);
  q->borrowed = borrowed;
  q->flags = *flags;
  q->readonly = flags->readonly || file->readonly;
  g_mutex_init (&q->lock);
  g_cond_init (&q->changed);
  q->snapshots = g_ptr_array_new_with_free_func ((GDestroyNotify)qcow2_snapshot_free);
  q->bitmaps = g_ptr_array_new_with_free_func ((GDestroyNotify)qcow2_bitmap_free);
  q->free_ops = g_ptr_array_new_with_free_func (free_op);
  q->frees = g_array_new (FALSE, FALSE, sizeof (Qcow2Run));
  q->metadata = g_hash_table_new (NULL, NULL);
  if (!open_image (q, error))
    {
      destroy (q);
      return NULL;
    }
  return &q->parent;
}

BlockImage *
block_image_open_qcow2 (BlockFile *file, const BlockImageFlags *flags, GError **error)
{
  return qcow2_open (file, flags, FALSE, error);
}
