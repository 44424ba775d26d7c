/* SPDX-License-Identifier: GPL-3.0-or-later */
/* New images: header, refcount table and blocks, an empty L1 table; then what is to be preallocated,
 * by the same code that writes. */
#include "devices/backends/block/qcow2/qcow2-private.h"

static gboolean
is_power_of_two (guint32 n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

static gboolean
check_options (Qcow2 *q, const BlockCreateOptions *o, GError **error)
{
  guint32 cluster = o->cluster_size != 0 ? o->cluster_size : 65536;
  guint32 bits = o->refcount_bits != 0 ? o->refcount_bits : 16;
  const char *what = NULL;

  if (!is_power_of_two (cluster) || cluster < 512 || cluster > 2u << 20)
    what = "needs a cluster size that is a power of two from 512 bytes to 2 MiB";
  else if (o->version != 0 && o->version != 2 && o->version != 3)
    what = "can have version 2 or 3";
  else if (!is_power_of_two (bits) || bits > 64)
    what = "needs reference counts of 1, 2, 4, 8, 16, 32 or 64 bits";
  else if (o->version == 2 && (bits != 16 || o->extended_l2 || o->lazy_refcounts ||
                               o->compress_zstd || o->data_file != NULL))
    what = "needs version 3 for these options";
  else if (o->extended_l2 && cluster < 16384)
    what = "needs clusters of 16 KiB or more to have subclusters";
  else if (o->backing_file != NULL && o->backing_format == NULL)
    what = "needs the name of its backing image's format";
  else if (o->backing_file != NULL && strlen (o->backing_file) > QCOW2_MAX_NAME)
    what = "cannot hold a backing image's name of more than 1023 bytes";
  else if (o->data_file_raw && o->data_file == NULL)
    what = "needs a data file for its data to be raw in it";
  else if (o->data_file_raw && o->backing_file != NULL)
    what = "cannot have a backing image when its data file is to be a raw image";
  else if (o->backing_file != NULL && o->preallocate != BLOCK_PREALLOCATE_OFF && !o->extended_l2)
    what = "can be preallocated over a backing image only with subclusters";
  if (what != NULL)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID, "%s", what);
  return TRUE;
}

static void
add_features (Qcow2 *q)
{
  static const struct
  {
    guint8 type, bit;
    const char *name;
  } features[] = {
    { 0, 0, "dirty bit" },        { 0, 1, "corrupt bit" },         { 0, 2, "external data file" },
    { 0, 3, "compression type" }, { 0, 4, "extended L2 entries" }, { 1, 0, "lazy refcounts" },
    { 2, 0, "bitmaps" },          { 2, 1, "raw external data" },
  };
  Qcow2Extension e = { QCOW2_EXT_FEATURES, G_N_ELEMENTS (features) * 48, NULL };

  e.data = g_malloc0 (e.length);
  for (guint i = 0; i < G_N_ELEMENTS (features); i++)
    {
      e.data[i * 48] = features[i].type;
      e.data[i * 48 + 1] = features[i].bit;
      memcpy (e.data + i * 48 + 2, features[i].name, strlen (features[i].name));
    }
  g_array_append_val (q->extensions, e);
}

static gboolean
set_fields (Qcow2 *q, const BlockCreateOptions *o, GError **error)
{
  guint32 cluster = o->cluster_size != 0 ? o->cluster_size : 65536;
  guint32 bits = o->refcount_bits != 0 ? o->refcount_bits : 16;

  q->version = o->version != 0 ? o->version : 3;
  q->cluster_bits = (guint)__builtin_ctz (cluster);
  q->refcount_order = (guint)__builtin_ctz (bits);
  q->header_length = 72;
  if (q->version >= 3)
    {
      q->header_length = 112;
      q->header_rest = g_malloc0 (8);
      q->incompatible = (o->extended_l2 ? QCOW2_EXTENDED_L2 : 0) |
                        (o->data_file != NULL ? QCOW2_DATA_FILE : 0) |
                        (o->compress_zstd ? QCOW2_COMPRESSION : 0);
      q->compatible = o->lazy_refcounts ? QCOW2_LAZY_REFCOUNTS : 0;
      q->autoclear = o->data_file_raw ? QCOW2_RAW_DATA_FILE : 0;
      q->header_rest[0] = o->compress_zstd;
      add_features (q);
    }
  qcow2_derive (q);
  q->active.disk_size = o->size;
  if (o->size > G_MAXINT64 || !qcow2_l1_entries (q, o->size, &q->active.l1_size))
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "cannot have a disk of %" G_GUINT64_FORMAT
                         " bytes with clusters of %u; choose larger clusters",
                         o->size, q->cluster_size);
  q->backing_file = g_strdup (o->backing_file);
  q->backing_format = o->backing_file != NULL ? g_strdup (o->backing_format) : NULL;
  q->data_name = g_strdup (o->data_file);
  return TRUE;
}

/* Header, table, blocks, L1 table, in this order in the file. */
static int
write_tables (Qcow2 *q)
{
  BlockFile *file = q->parent.file;
  guint64 l1 = qcow2_clusters (q, (guint64)q->active.l1_size * 8), blocks = 1, table, total;
  g_autofree guint8 *buffer = NULL;
  int r;

  for (;;)
    {
      table = qcow2_clusters (q, blocks * 8);
      total = 1 + table + blocks + l1;
      if (blocks << q->block_bits >= total)
        break;
      blocks = (total >> q->block_bits) + 1;
    }
  q->table_offset = q->cluster_size;
  q->table_clusters = (guint32)table;
  q->l1_offset = l1 > 0 ? (1 + table + blocks) << q->cluster_bits : 0;
  r = file->ops->truncate (file, 0);
  if (r == 0 || r == -ENOSPC)
    r = file->ops->truncate (file, total << q->cluster_bits);
  if (r == 0)
    r = file->ops->zero (file, 0, total << q->cluster_bits, BLOCK_FILE_ZERO_UNMAP);
  buffer = g_malloc0 (MAX (table << q->cluster_bits, q->cluster_size));
  for (guint64 b = 0; r == 0 && b < blocks; b++)
    {
      guint64 base = b << q->block_bits;
      guint64 n = MIN (G_GUINT64_CONSTANT (1) << q->block_bits, total - base);

      memset (buffer, 0, q->cluster_size);
      for (guint64 i = 0; i < n; i++)
        qcow2_refcount_write_entry (q, buffer, i, 1);
      /* The rest of a large cluster stays a hole. */
      r = block_file_write (file, (1 + table + b) << q->cluster_bits, buffer,
                            ((n << q->refcount_order) + 7) / 8);
    }
  memset (buffer, 0, table << q->cluster_bits);
  for (guint64 b = 0; b < blocks; b++)
    be64_put (buffer + b * 8, (1 + table + b) << q->cluster_bits);
  if (r == 0)
    r = block_file_write (file, q->table_offset, buffer, blocks * 8);
  /* The header last: until then it is no image. */
  if (r == 0)
    r = file->ops->flush (file);
  if (r == 0)
    r = qcow2_header_write (q);
  return r == 0 ? file->ops->flush (file) : r;
}

static gboolean
preallocate (BlockFile *file,
             const BlockCreateOptions *o,
             const BlockProgress *progress,
             GError **error)
{
  const BlockImageFlags flags = { .no_backing = TRUE };
  BlockImage *image = qcow2_open (file, &flags, TRUE, error);
  gboolean ok;
  int r;

  if (image == NULL)
    return FALSE;
  ok = qcow2_preallocate ((Qcow2 *)image, 0, o->size, o->preallocate, progress, error);
  r = block_image_flush (image);
  block_image_close (image);
  return ok && (r == 0 || vmm_error_set_errno (error, r, "Cannot write “%s”", file->name));
}

gboolean
block_qcow2_format (BlockFile *file,
                    const BlockCreateOptions *options,
                    const BlockProgress *progress,
                    GError **error)
{
  Qcow2 *q = g_new0 (Qcow2, 1);
  gboolean ok;
  int r;

  q->parent.file = q->data = file;
  q->parent.name = g_strdup (file->name);
  q->extensions = g_array_new (FALSE, FALSE, sizeof (Qcow2Extension));
  q->snapshots = g_ptr_array_new ();
  q->bitmaps = g_ptr_array_new ();
  ok = check_options (q, options, error) && set_fields (q, options, error);
  if (ok)
    {
      r = write_tables (q);
      if (r == -ENAMETOOLONG)
        ok = qcow2_refuse (q, error, VMM_ERROR_FAILED,
                           "could not be written: its clusters of %u bytes have no room for the "
                           "names of other files; choose larger clusters",
                           q->cluster_size);
      else
        ok = r == 0 || vmm_error_set_errno (error, r, "Cannot write “%s”", file->name);
    }
  qcow2_header_free (q);
  g_ptr_array_unref (q->snapshots);
  g_ptr_array_unref (q->bitmaps);
  g_free (q->parent.name);
  g_free (q);
  if (ok && options->preallocate != BLOCK_PREALLOCATE_OFF && options->size > 0)
    ok = preallocate (file, options, progress, error);
  return ok;
}
