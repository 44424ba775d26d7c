/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The header: read once into memory of our own, every field bounded before anything is derived from
 * it. Extensions that we do not know are kept. */
#include <stdarg.h>

#include "devices/backends/block/qcow2/qcow2-private.h"

#define V2_LENGTH 72u
#define V3_LENGTH 104u

gboolean
qcow2_refuse (Qcow2 *q, GError **error, VmmErrorCode code, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, VMM_ERROR, code, "The qcow2 image “%s” %s", q->parent.name, text);
  return FALSE;
}

void
qcow2_derive (Qcow2 *q)
{
  q->cluster_size = 1u << q->cluster_bits;
  q->refcount_bits = 1u << q->refcount_order;
  q->refcount_max =
      q->refcount_bits == 64 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << q->refcount_bits) - 1;
  q->block_bits = q->cluster_bits + 3 - q->refcount_order;
  q->extended = (q->incompatible & QCOW2_EXTENDED_L2) != 0;
  q->entry_size = q->extended ? 16 : 8;
  q->l2_bits = q->cluster_bits - (q->extended ? 4 : 3);
  q->subcluster_bits = q->extended ? q->cluster_bits - 5 : q->cluster_bits;
  q->external = (q->incompatible & QCOW2_DATA_FILE) != 0;
  q->raw_data = q->external && (q->autoclear & QCOW2_RAW_DATA_FILE) != 0;
  q->lazy = q->version >= 3 && (q->compatible & QCOW2_LAZY_REFCOUNTS) != 0;
}

gboolean
qcow2_l1_entries (const Qcow2 *q, guint64 size, guint32 *ret_n)
{
  guint64 shift = q->cluster_bits + q->l2_bits;
  guint64 n = (size >> shift) + ((size & ((G_GUINT64_CONSTANT (1) << shift) - 1)) != 0);

  if (n > QCOW2_MAX_L1_BYTES / 8)
    return FALSE;
  *ret_n = (guint32)n;
  return TRUE;
}

static gboolean
check_table (Qcow2 *q, const char *what, guint64 offset, guint64 bytes, guint64 max, GError **error)
{
  if (bytes > max)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "is damaged: its %s is larger than any image needs (%" G_GUINT64_FORMAT
                         " bytes)",
                         what, bytes);
  if ((offset & (q->cluster_size - 1)) != 0 || offset > (guint64)G_MAXINT64 - bytes ||
      (bytes > 0 && offset == 0))
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "is damaged: its %s is at an impossible place (%#" G_GINT64_MODIFIER "x)",
                         what, offset);
  return TRUE;
}

/* The name that the image itself gives a feature bit. (transfer full) */
static char *
feature_name (Qcow2 *q, guint type, guint bit)
{
  for (guint i = 0; i < q->extensions->len; i++)
    {
      const Qcow2Extension *e = &g_array_index (q->extensions, Qcow2Extension, i);

      if (e->type != QCOW2_EXT_FEATURES)
        continue;
      for (guint32 at = 0; at + 48 <= e->length; at += 48)
        if (e->data[at] == type && e->data[at + 1] == bit)
          {
            g_autofree char *name = g_strndup ((const char *)e->data + at + 2, 46);

            if (name[0] != 0 && g_utf8_validate (name, -1, NULL))
              return g_steal_pointer (&name);
          }
    }
  return g_strdup_printf ("bit %u", bit);
}

static gboolean
check_features (Qcow2 *q, GError **error)
{
  guint64 unknown = q->incompatible & ~QCOW2_INCOMPATIBLE_KNOWN;

  if (unknown != 0)
    {
      g_autoptr (GString) names = g_string_new (NULL);

      for (guint bit = 0; bit < 64; bit++)
        if (unknown >> bit & 1)
          {
            g_autofree char *name = feature_name (q, 0, bit);

            g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "", name);
          }
      return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                           "uses features that this version does not know (%s); convert it with "
                           "the program that made it",
                           names->str);
    }
  if (q->extended && q->cluster_bits < 14)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "is damaged: subclusters need clusters of 16 KiB or more");
  return TRUE;
}

static char *
get_string (const guint8 *data, guint32 length)
{
  /* Up to the first NUL: some writers pad. */
  return g_strndup ((const char *)data, length);
}

static gboolean
read_extensions (Qcow2 *q,
                 const guint8 *area,
                 guint32 from,
                 guint32 end,
                 const guint8 **ret_bitmaps,
                 guint32 *ret_bitmaps_length,
                 GError **error)
{
  guint32 at = from;

  while (at + 8 <= end)
    {
      guint32 type = be32_get (area + at), length = be32_get (area + at + 4);
      const guint8 *data = area + at + 8;

      if (type == 0)
        return TRUE;
      at += 8;
      if (length > end - at)
        return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                             "is damaged: a header extension is longer than the header");
      switch (type)
        {
        case QCOW2_EXT_BACKING_FORMAT:
          g_free (q->backing_format);
          q->backing_format = get_string (data, length);
          break;
        case QCOW2_EXT_DATA_FILE:
          g_free (q->data_name);
          q->data_name = get_string (data, length);
          break;
        case QCOW2_EXT_BITMAPS:
          *ret_bitmaps = data;
          *ret_bitmaps_length = length;
          break;
        case QCOW2_EXT_ENCRYPTION:
          break;
        default:
          {
            Qcow2Extension e = { type, length, g_memdup2 (data, MAX (length, 1)) };

            g_array_append_val (q->extensions, e);
            break;
          }
        }
      at += MIN ((length + 7) & ~7u, end - at);
    }
  return TRUE;
}

static gboolean
read_fields (Qcow2 *q, const guint8 *h, gint64 file_size, GError **error)
{
  guint32 crypt;

  if (be32_get (h) != QCOW2_MAGIC)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "is not a qcow2 image; is its format named right?");
  q->version = be32_get (h + 4);
  if (q->version != 2 && q->version != 3)
    return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                         "has the unknown version %u; versions 2 and 3 are supported", q->version);
  q->cluster_bits = be32_get (h + 20);
  if (q->cluster_bits < QCOW2_MIN_CLUSTER_BITS || q->cluster_bits > QCOW2_MAX_CLUSTER_BITS)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "has clusters of 2^%u bytes; 512 bytes to 2 MiB are supported",
                         q->cluster_bits);
  q->cluster_size = 1u << q->cluster_bits;
  q->refcount_order = 4;
  q->header_length = V2_LENGTH;
  if (q->version >= 3)
    {
      q->incompatible = be64_get (h + 72);
      q->compatible = be64_get (h + 80);
      q->autoclear = be64_get (h + 88);
      q->refcount_order = be32_get (h + 96);
      q->header_length = be32_get (h + 100);
      if (q->refcount_order > 6)
        return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                             "is damaged: its reference counts have 2^%u bits", q->refcount_order);
      if (q->header_length < V3_LENGTH || q->header_length > q->cluster_size)
        return qcow2_refuse (q, error, VMM_ERROR_INVALID, "is damaged: its header has %u bytes",
                             q->header_length);
    }
  crypt = be32_get (h + 32);
  if (crypt != 0)
    return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                         "is encrypted (%s), which is not supported yet; decrypt it with "
                         "qemu-img convert first",
                         crypt == 1   ? "AES"
                         : crypt == 2 ? "LUKS"
                                      : "an unknown method");
  if (file_size < (gint64)q->header_length)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID, "is cut off inside its header");
  q->active.disk_size = be64_get (h + 24);
  q->active.l1_size = be32_get (h + 36);
  q->l1_offset = be64_get (h + 40);
  q->table_offset = be64_get (h + 48);
  q->table_clusters = be32_get (h + 56);
  q->snapshots_offset = be64_get (h + 64);
  return TRUE;
}

static gboolean
check_fields (Qcow2 *q, guint32 n_snapshots, GError **error)
{
  guint32 n;

  if (q->active.disk_size > G_MAXINT64 || !qcow2_l1_entries (q, q->active.disk_size, &n))
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "has a disk too large for its cluster size (%" G_GUINT64_FORMAT " bytes)",
                         q->active.disk_size);
  if (!check_table (q, "L1 table", q->l1_offset, (guint64)q->active.l1_size * 8, QCOW2_MAX_L1_BYTES,
                    error) ||
      !check_table (q, "refcount table", q->table_offset,
                    (guint64)q->table_clusters << q->cluster_bits,
                    MAX (QCOW2_MAX_TABLE_BYTES, q->cluster_size), error) ||
      !check_table (q, "snapshot table", q->snapshots_offset, (guint64)n_snapshots * 40,
                    QCOW2_MAX_SNAPSHOTS * 40, error))
    return FALSE;
  if (q->active.l1_size < n)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "is damaged: its L1 table is too small for the disk");
  if (q->table_clusters == 0 && !q->readonly)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID, "is damaged: it has no refcount table");
  return TRUE;
}

static gboolean
read_backing (Qcow2 *q, const guint8 *area, guint32 area_size, guint32 *ret_end, GError **error)
{
  guint64 offset = be64_get (area + 8);
  guint32 length = be32_get (area + 16);

  *ret_end = area_size;
  if (offset == 0)
    return TRUE;
  if (length > QCOW2_MAX_NAME || offset < q->header_length || offset > area_size ||
      length > area_size - offset)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "is damaged: the name of its backing image is outside its header");
  if (length > 0)
    q->backing_file = get_string (area + offset, length);
  *ret_end = (guint32)offset;
  return TRUE;
}

gboolean
qcow2_header_read (Qcow2 *q, GError **error)
{
  BlockFile *file = q->parent.file;
  gint64 file_size = file->ops->get_size (file);
  guint8 head[V3_LENGTH] = { 0 };
  g_autofree guint8 *area = NULL;
  const guint8 *bitmaps = NULL;
  guint32 bitmaps_length = 0, end;
  int r;

  if (file_size < 0)
    return vmm_error_set_errno (error, (int)file_size, "Cannot look at “%s”", q->parent.name);
  if (file_size < V2_LENGTH)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "is not a qcow2 image: it is too short; is its format named right?");
  r = block_file_read (file, 0, head, sizeof head);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read “%s”", q->parent.name);
  q->extensions = g_array_new (FALSE, FALSE, sizeof (Qcow2Extension));
  if (!read_fields (q, head, file_size, error))
    return FALSE;
  area = g_malloc0 (q->cluster_size);
  r = block_file_read (file, 0, area, q->cluster_size);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read “%s”", q->parent.name);
  /* Whoever changed it between the two reads is not helped by what was checked before. */
  memcpy (area, head, q->version >= 3 ? V3_LENGTH : V2_LENGTH);
  if (q->header_length > V3_LENGTH)
    {
      q->header_rest = g_memdup2 (area + V3_LENGTH, q->header_length - V3_LENGTH);
      q->compression = q->header_rest[0];
    }
  if (!read_backing (q, area, q->cluster_size, &end, error) ||
      !read_extensions (q, area, q->header_length, end, &bitmaps, &bitmaps_length, error) ||
      !check_features (q, error))
    return FALSE;
  if (((q->incompatible & QCOW2_COMPRESSION) != 0) != (q->compression != 0) || q->compression > 1)
    return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                         "uses an unknown compression (%u); zlib and zstd are supported",
                         q->compression);
  qcow2_derive (q);
  if (!check_fields (q, be32_get (head + 60), error))
    return FALSE;
  q->table_size = q->table_clusters << (q->cluster_bits - 3);
  g_ptr_array_set_size (q->snapshots, 0);
  if (be32_get (head + 60) > 0)
    {
      /* Only the number for now: snapshot.c reads them. */
      for (guint32 i = 0; i < be32_get (head + 60); i++)
        g_ptr_array_add (q->snapshots, NULL);
    }
  return qcow2_bitmaps_load (q, bitmaps, bitmaps_length, error);
}

static void
put_fields (Qcow2 *q, guint8 *h)
{
  be32_put (h, QCOW2_MAGIC);
  be32_put (h + 4, q->version);
  be32_put (h + 20, q->cluster_bits);
  be64_put (h + 24, q->active.disk_size);
  be32_put (h + 36, q->l1_moved ? q->l1_old_size : q->active.l1_size);
  be64_put (h + 40, q->l1_moved ? q->l1_old_offset : q->l1_offset);
  be64_put (h + 48, q->table_moved ? q->table_old_offset : q->table_offset);
  be32_put (h + 56, q->table_moved ? q->table_old_clusters : q->table_clusters);
  be32_put (h + 60, q->snapshots->len);
  be64_put (h + 64, q->snapshots_offset);
  if (q->version >= 3)
    {
      be64_put (h + 72, q->incompatible);
      be64_put (h + 80, q->compatible);
      be64_put (h + 88, q->autoclear);
      be32_put (h + 96, q->refcount_order);
      be32_put (h + 100, q->header_length);
    }
}

int
qcow2_header_update (Qcow2 *q)
{
  guint32 length = q->version >= 3 ? V3_LENGTH : V2_LENGTH;
  guint8 h[V3_LENGTH];
  int r;

  /* backing_file_offset and its size stay as they are. */
  qcow2_io_begin (q);
  r = block_file_read (q->parent.file, 0, h, length);
  if (r == 0)
    {
      put_fields (q, h);
      r = block_file_write (q->parent.file, 0, h, length);
    }
  qcow2_io_end (q);
  q->header_doubtful = r < 0;
  return r;
}

static gboolean
put_extension (
    guint8 *area, guint32 size, guint32 *at, guint32 type, const void *data, guint32 length)
{
  guint32 room = (length + 7) & ~7u;

  if (room > size || *at > size - 8 || room > size - 8 - *at)
    return FALSE;
  be32_put (area + *at, type);
  be32_put (area + *at + 4, length);
  if (length > 0)
    memcpy (area + *at + 8, data, length);
  *at += 8 + room;
  return TRUE;
}

int
qcow2_header_write (Qcow2 *q)
{
  g_autofree guint8 *area = g_malloc0 (q->cluster_size);
  guint32 size = q->cluster_size, at = q->header_length;
  gboolean fits = TRUE;
  int r;

  put_fields (q, area);
  if (q->header_rest != NULL)
    memcpy (area + V3_LENGTH, q->header_rest, q->header_length - V3_LENGTH);
  if (q->backing_format != NULL)
    fits = put_extension (area, size, &at, QCOW2_EXT_BACKING_FORMAT, q->backing_format,
                          (guint32)strlen (q->backing_format));
  if (q->data_name != NULL)
    fits = fits && put_extension (area, size, &at, QCOW2_EXT_DATA_FILE, q->data_name,
                                  (guint32)strlen (q->data_name));
  if (q->bitmaps->len > 0)
    {
      guint8 bitmaps[24] = { 0 };

      be32_put (bitmaps, q->bitmaps->len);
      be64_put (bitmaps + 8, q->bitmaps_size);
      be64_put (bitmaps + 16, q->bitmaps_offset);
      fits = fits && put_extension (area, size, &at, QCOW2_EXT_BITMAPS, bitmaps, sizeof bitmaps);
    }
  for (guint i = 0; i < q->extensions->len; i++)
    {
      const Qcow2Extension *e = &g_array_index (q->extensions, Qcow2Extension, i);
      /* Names of features are a convenience, which small clusters have no room for. */
      guint32 need = at + 16 + ((e->length + 7) & ~7u) +
                     (q->backing_file != NULL ? (guint32)strlen (q->backing_file) : 0);

      if (e->type == QCOW2_EXT_FEATURES && need > size)
        continue;
      fits = fits && put_extension (area, size, &at, e->type, e->data, e->length);
    }
  fits = fits && put_extension (area, size, &at, 0, NULL, 0);
  if (q->backing_file != NULL)
    {
      guint32 length = (guint32)strlen (q->backing_file);

      if (!fits || length > QCOW2_MAX_NAME || length > size - at)
        return -ENAMETOOLONG;
      memcpy (area + at, q->backing_file, length);
      be64_put (area + 8, at);
      be32_put (area + 16, length);
    }
  if (!fits)
    return -ENAMETOOLONG;
  /* The rest of a large cluster stays a hole. */
  if (q->backing_file != NULL)
    at += (guint32)strlen (q->backing_file);
  qcow2_io_begin (q);
  r = block_file_write (q->parent.file, 0, area, MIN (size, (at + 4095) & ~4095u));
  qcow2_io_end (q);
  return r;
}

void
qcow2_header_free (Qcow2 *q)
{
  if (q->extensions != NULL)
    {
      for (guint i = 0; i < q->extensions->len; i++)
        g_free (g_array_index (q->extensions, Qcow2Extension, i).data);
      g_array_unref (q->extensions);
    }
  g_free (q->header_rest);
  g_free (q->backing_file);
  g_free (q->backing_format);
  g_free (q->data_name);
}
