/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Dirty bitmaps kept in the image. One that records is marked in use on disk before the first write
 * and is written back at close, to new places: until the header names the new directory, the old one
 * says "in use", which is the truth after a crash. */
#include "devices/backends/block/qcow2/qcow2-private.h"

#define MAX_BITMAPS          65535u
#define MAX_DIRECTORY        (64u << 20)
#define MAX_BITS_BYTES       (512u << 20)
#define DIRTY_TRACKING       1u
#define ENTRY_HEAD           24u
#define MIN_GRANULARITY_BITS 9u
#define MAX_GRANULARITY_BITS 31u

void
qcow2_bitmap_free (Qcow2Bitmap *b)
{
  if (b == NULL)
    return;
  g_free (b->name);
  g_free (b->extra);
  g_free (b->bits);
  g_free (b);
}

static guint64
bits_for (guint64 size, guint granularity_bits)
{
  return (size >> granularity_bits) +
         ((size & ((G_GUINT64_CONSTANT (1) << granularity_bits) - 1)) != 0);
}

static guint64
n_bytes (const Qcow2Bitmap *b)
{
  return (b->n_bits + 7) / 8;
}

/* May its bits be believed? */
static gboolean
is_consistent (const Qcow2 *q, const Qcow2Bitmap *b)
{
  return (q->autoclear & QCOW2_BITMAPS) && (!(b->flags & QCOW2_BITMAP_IN_USE) || b->bits != NULL) &&
         b->type == DIRTY_TRACKING &&
         (b->extra_size == 0 || (b->flags & QCOW2_BITMAP_EXTRA_COMPATIBLE));
}

/* ---- from the file ---- */

static gboolean
damaged (Qcow2 *q, GError **error)
{
  return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                       "is damaged: its directory of bitmaps makes no sense");
}

static gboolean
read_entry (
    Qcow2 *q, const guint8 *directory, guint32 *at, guint32 length, Qcow2Bitmap *b, GError **error)
{
  const guint8 *e = directory + *at;
  guint64 size;
  guint32 name_length;

  if (length - *at < ENTRY_HEAD)
    return damaged (q, error);
  b->table_offset = be64_get (e);
  b->table_size = be32_get (e + 8);
  b->flags = be32_get (e + 12);
  b->type = e[16];
  b->granularity_bits = e[17];
  name_length = be16_get (e + 18);
  b->extra_size = be32_get (e + 20);
  size = ENTRY_HEAD + (guint64)b->extra_size + name_length;
  size = (size + 7) & ~(guint64)7;
  if (size > length - *at || name_length == 0 || name_length > QCOW2_MAX_NAME ||
      b->granularity_bits < MIN_GRANULARITY_BITS || b->granularity_bits > MAX_GRANULARITY_BITS ||
      (b->table_offset & (q->cluster_size - 1)) != 0 ||
      b->table_offset > QCOW2_OFFSET - ((guint64)b->table_size * 8))
    return damaged (q, error);
  b->extra = b->extra_size > 0 ? g_memdup2 (e + ENTRY_HEAD, b->extra_size) : NULL;
  b->name = g_strndup ((const char *)e + ENTRY_HEAD + b->extra_size, name_length);
  b->n_bits = bits_for (q->active.disk_size, b->granularity_bits);
  q->bitmaps_total += (guint64)b->table_size * 8;
  if (n_bytes (b) > MAX_BITS_BYTES || b->table_size > MAX_BITS_BYTES / 512 ||
      q->bitmaps_total > (guint64)q->parent.file->ops->get_size (q->parent.file))
    return damaged (q, error);
  /* Of another size than the disk: a resize did not come to its end. */
  if (b->table_size != qcow2_clusters (q, n_bytes (b)))
    b->flags |= QCOW2_BITMAP_IN_USE;
  *at += (guint32)size;
  return TRUE;
}

gboolean
qcow2_bitmaps_load (Qcow2 *q, const guint8 *extension, guint32 length, GError **error)
{
  g_autofree guint8 *directory = NULL;
  guint32 n, at = 0;
  int r;

  /* Without the mark some program has changed the disk that does not know bitmaps: they tell
   * nothing any more, and their space is anybody's. */
  if (extension == NULL || !(q->autoclear & QCOW2_BITMAPS))
    {
      q->autoclear &= ~QCOW2_BITMAPS;
      return TRUE;
    }
  if (length != 24)
    return damaged (q, error);
  n = be32_get (extension);
  q->bitmaps_size = be64_get (extension + 8);
  q->bitmaps_offset = be64_get (extension + 16);
  if (n == 0 || n > MAX_BITMAPS || q->bitmaps_size > MAX_DIRECTORY ||
      q->bitmaps_size < (guint64)n * ENTRY_HEAD || q->bitmaps_offset == 0 ||
      (q->bitmaps_offset & (q->cluster_size - 1)) != 0 ||
      q->bitmaps_offset > QCOW2_OFFSET - q->bitmaps_size)
    return damaged (q, error);
  directory = g_malloc (q->bitmaps_size);
  r = block_file_read (q->parent.file, q->bitmaps_offset, directory, q->bitmaps_size);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the bitmaps of “%s”", q->parent.name);
  for (guint32 i = 0; i < n; i++)
    {
      Qcow2Bitmap *b = g_new0 (Qcow2Bitmap, 1);

      g_ptr_array_add (q->bitmaps, b);
      if (!read_entry (q, directory, &at, (guint32)q->bitmaps_size, b, error))
        return FALSE;
    }
  return TRUE;
}

static int
read_table (Qcow2 *q, const Qcow2Bitmap *b, guint64 **ret)
{
  guint64 *table = g_malloc0 (MAX ((gsize)b->table_size * 8, 8));
  int r = block_file_read (q->parent.file, b->table_offset, table, (gsize)b->table_size * 8);

  for (guint32 i = 0; i < b->table_size; i++)
    table[i] = GUINT64_FROM_BE (table[i]);
  *ret = table;
  return r;
}

static int
load_bits (Qcow2 *q, Qcow2Bitmap *b)
{
  g_autofree guint64 *table = NULL;
  g_autofree guint8 *bits = NULL;
  int r;

  if (b->bits != NULL)
    return 0;
  bits = g_try_malloc0 (MAX (n_bytes (b), 1));
  if (bits == NULL)
    return -ENOMEM;
  qcow2_io_begin (q);
  r = read_table (q, b, &table);
  for (guint32 i = 0; r == 0 && i < b->table_size; i++)
    {
      guint64 at = (guint64)i << q->cluster_bits;
      guint64 piece, host = table[i] & QCOW2_OFFSET;

      if (at >= n_bytes (b))
        break;
      piece = MIN (q->cluster_size, n_bytes (b) - at);
      if (host != 0)
        r = block_file_read (q->parent.file, host, bits + at, piece);
      else if (table[i] & 1)
        memset (bits + at, 0xff, piece);
    }
  qcow2_io_end (q);
  if (r == 0)
    b->bits = g_steal_pointer (&bits);
  return r;
}

/* ---- to the file ---- */

static int
put_directory (Qcow2 *q, GByteArray *directory, gboolean closing)
{
  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      const Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);
      guint32 name_length = (guint32)strlen (b->name), flags = b->flags;
      guint8 head[ENTRY_HEAD] = { 0 }, zeroes[8] = { 0 };

      if (b->bits != NULL && closing)
        flags &= ~QCOW2_BITMAP_IN_USE;
      else if (b->bits != NULL && (flags & QCOW2_BITMAP_AUTO))
        flags |= QCOW2_BITMAP_IN_USE;
      be64_put (head, b->table_offset);
      be32_put (head + 8, b->table_size);
      be32_put (head + 12, flags);
      head[16] = b->type;
      head[17] = b->granularity_bits;
      be16_put (head + 18, (guint16)name_length);
      be32_put (head + 20, b->extra_size);
      g_byte_array_append (directory, head, sizeof head);
      if (b->extra_size > 0)
        g_byte_array_append (directory, b->extra, b->extra_size);
      g_byte_array_append (directory, (const guint8 *)b->name, name_length);
      g_byte_array_append (directory, zeroes, (8 - directory->len % 8) % 8);
    }
  return directory->len <= MAX_DIRECTORY ? 0 : -ENOSPC;
}

int
qcow2_bitmaps_start (Qcow2 *q)
{
  g_autoptr (GByteArray) directory = g_byte_array_new ();
  gboolean any = FALSE;
  int r = 0;

  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);

      if (!(b->flags & QCOW2_BITMAP_AUTO) || !is_consistent (q, b))
        continue;
      r = load_bits (q, b);
      if (r < 0)
        return r;
      any = TRUE;
    }
  if (any)
    {
      r = put_directory (q, directory, FALSE);
      /* The entries' sizes are what they were. */
      if (r == 0 && directory->len <= q->bitmaps_size)
        r = qcow2_metadata_write (q, q->bitmaps_offset, directory->data, directory->len,
                                  QCOW2_META_BITMAPS);
    }
  if (r == 0)
    q->bitmaps_recording = any;
  return r;
}

static gboolean
all_bytes (const guint8 *data, gsize length, guint8 value)
{
  for (gsize i = 0; i < length; i++)
    if (data[i] != value)
      return FALSE;
  return TRUE;
}

/* Writes a bitmap's bits and table to new clusters; the old ones are noted in `old`. */
static int
store_bits (Qcow2 *q, Qcow2Bitmap *b, GArray *old)
{
  guint32 n = (guint32)qcow2_clusters (q, n_bytes (b));
  g_autofree guint64 *table = g_new0 (guint64, MAX (n, 1));
  g_autofree guint8 *cluster = g_malloc0 (q->cluster_size);
  guint64 first, length = MAX ((guint64)n * 8, 1);
  int r = 0;

  for (guint32 i = 0; r == 0 && i < n; i++)
    {
      guint64 at = (guint64)i << q->cluster_bits;
      guint64 piece = MIN (q->cluster_size, n_bytes (b) - at);

      if (all_bytes (b->bits + at, piece, 0))
        continue;
      r = qcow2_alloc (q, 1, FALSE, &first);
      if (r < 0)
        break;
      memset (cluster, 0, q->cluster_size);
      memcpy (cluster, b->bits + at, piece);
      qcow2_metadata_add (q, first << q->cluster_bits, q->cluster_size, QCOW2_META_BITMAPS);
      r = qcow2_metadata_write (q, first << q->cluster_bits, cluster, q->cluster_size,
                                QCOW2_META_BITMAPS);
      table[i] = GUINT64_TO_BE (first << q->cluster_bits);
    }
  if (r == 0)
    r = qcow2_alloc (q, qcow2_clusters (q, length), FALSE, &first);
  if (r < 0)
    return r; /* what was allocated is a leak until the next check */
  qcow2_metadata_add (q, first << q->cluster_bits, length, QCOW2_META_BITMAPS);
  r = qcow2_metadata_write (q, first << q->cluster_bits, table, (gsize)n * 8, QCOW2_META_BITMAPS);
  if (r == 0 && b->table_offset != 0)
    {
      g_autofree guint64 *before = NULL;
      Qcow2Run run = { b->table_offset >> q->cluster_bits,
                       qcow2_clusters (q, MAX ((guint64)b->table_size * 8, 1)) };

      r = read_table (q, b, &before);
      for (guint32 i = 0; r == 0 && i < b->table_size; i++)
        if ((before[i] & QCOW2_OFFSET) != 0)
          {
            Qcow2Run one = { (before[i] & QCOW2_OFFSET) >> q->cluster_bits, 1 };

            g_array_append_val (old, one);
          }
      g_array_append_val (old, run);
    }
  if (r == 0)
    {
      b->table_offset = first << q->cluster_bits;
      b->table_size = n;
      b->dirty = FALSE;
    }
  return r;
}

/* All that changed, a new directory, the header that names it. */
static int
store_all (Qcow2 *q, GArray *old, gboolean closing)
{
  g_autoptr (GByteArray) directory = g_byte_array_new ();
  guint64 old_offset = q->bitmaps_offset, old_size = q->bitmaps_size, first;
  int r = 0;

  for (guint i = 0; r == 0 && i < q->bitmaps->len; i++)
    {
      Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);

      if (b->bits != NULL && b->dirty)
        r = store_bits (q, b, old);
    }
  if (r == 0)
    r = put_directory (q, directory, closing);
  if (r == 0 && directory->len > 0)
    {
      r = qcow2_alloc (q, qcow2_clusters (q, directory->len), FALSE, &first);
      if (r == 0)
        {
          qcow2_metadata_add (q, first << q->cluster_bits, directory->len, QCOW2_META_BITMAPS);
          r = qcow2_metadata_write (q, first << q->cluster_bits, directory->data, directory->len,
                                    QCOW2_META_BITMAPS);
        }
    }
  if (r == 0)
    r = qcow2_flush_metadata (q, TRUE); /* the counts of all that is new, too */
  if (r < 0)
    return r;
  q->bitmaps_offset = directory->len > 0 ? first << q->cluster_bits : 0;
  q->bitmaps_size = directory->len;
  if (directory->len > 0)
    q->autoclear |= QCOW2_BITMAPS;
  else
    q->autoclear &= ~QCOW2_BITMAPS;
  r = qcow2_header_write (q);
  if (r == 0)
    r = qcow2_barrier (q);
  if (r < 0)
    {
      q->bitmaps_offset = old_offset;
      q->bitmaps_size = old_size;
      return r;
    }
  if (old_offset != 0)
    qcow2_free_later (q, old_offset >> q->cluster_bits, qcow2_clusters (q, old_size));
  for (guint i = 0; i < old->len; i++)
    {
      const Qcow2Run *run = &g_array_index (old, Qcow2Run, i);

      qcow2_free_later (q, run->first, run->n);
    }
  return 0;
}

int
qcow2_bitmaps_store (Qcow2 *q)
{
  g_autoptr (GArray) old = g_array_new (FALSE, FALSE, sizeof (Qcow2Run));
  gboolean any = FALSE;

  for (guint i = 0; i < q->bitmaps->len; i++)
    any |= ((Qcow2Bitmap *)g_ptr_array_index (q->bitmaps, i))->bits != NULL;
  return any ? store_all (q, old, TRUE) : 0;
}

int
qcow2_bitmaps_update (Qcow2 *q)
{
  g_autoptr (GArray) old = g_array_new (FALSE, FALSE, sizeof (Qcow2Run));

  return q->bitmaps->len > 0 ? store_all (q, old, FALSE) : 0;
}

/* ---- recording ---- */

static void
set_bits (guint8 *bits, guint64 from, guint64 to)
{
  for (; from < to && from % 8 != 0; from++)
    bits[from / 8] |= (guint8)(1u << from % 8);
  if (from < to)
    memset (bits + from / 8, 0xff, (to - from) / 8);
  for (from += (to - from) / 8 * 8; from < to; from++)
    bits[from / 8] |= (guint8)(1u << from % 8);
}

void
qcow2_bitmaps_mark (Qcow2 *q, guint64 offset, guint64 length)
{
  if (!q->bitmaps_recording || length == 0)
    return;
  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);

      if (b->bits == NULL || !(b->flags & QCOW2_BITMAP_AUTO))
        continue;
      set_bits (b->bits, MIN (offset >> b->granularity_bits, b->n_bits),
                MIN (bits_for (offset + length, b->granularity_bits), b->n_bits));
      b->dirty = TRUE;
    }
}

gboolean
qcow2_bitmaps_resize (Qcow2 *q, guint64 size, GError **error)
{
  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);
      guint64 n = bits_for (size, b->granularity_bits), old = n_bytes (b);
      gboolean believed = is_consistent (q, b);
      int r = believed ? load_bits (q, b) : 0;

      if (r < 0)
        return vmm_error_set_errno (error, r, "Cannot read the bitmap “%s” of “%s”", b->name,
                                    q->parent.name);
      if ((n + 7) / 8 > MAX_BITS_BYTES)
        return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                             "has a bitmap too fine for a disk of this size (“%s”); remove it",
                             b->name);
      if (!believed)
        {
          /* Nothing is known of it, and nothing will be. */
          b->n_bits = n;
          continue;
        }
      b->n_bits = n;
      b->bits = g_realloc (b->bits, MAX (n_bytes (b), 1));
      if (n_bytes (b) > old)
        memset (b->bits + old, 0, n_bytes (b) - old);
      else if (n % 8 != 0)
        b->bits[n / 8] &= (guint8)((1u << n % 8) - 1);
      b->dirty = TRUE;
    }
  return TRUE;
}

/* ---- control operations ---- */

static Qcow2Bitmap *
find (Qcow2 *q, const char *name, guint *ret_index, GError **error)
{
  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);

      if (strcmp (b->name, name) != 0)
        continue;
      if (ret_index != NULL)
        *ret_index = i;
      return b;
    }
  if (error != NULL)
    (void)qcow2_refuse (q, error, VMM_ERROR_NOT_FOUND, "has no bitmap “%s”", name);
  return NULL;
}

static guint64
count_bytes (Qcow2 *q, const Qcow2Bitmap *b)
{
  guint64 n = 0;

  for (guint64 i = 0; b->bits != NULL && i < n_bytes (b); i++)
    n += (guint)__builtin_popcount (b->bits[i]);
  return MIN (n << b->granularity_bits, q->active.disk_size);
}

GPtrArray *
qcow2_bitmap_list (BlockImage *image)
{
  Qcow2 *q = (Qcow2 *)image;
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify)block_bitmap_free);
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  for (guint i = 0; i < q->bitmaps->len; i++)
    {
      Qcow2Bitmap *b = g_ptr_array_index (q->bitmaps, i);
      BlockBitmap *one = g_new0 (BlockBitmap, 1);
      gboolean had = b->bits != NULL;

      one->name = g_strdup (b->name);
      one->granularity = G_GUINT64_CONSTANT (1) << b->granularity_bits;
      one->recording = (b->flags & QCOW2_BITMAP_AUTO) != 0;
      one->consistent = is_consistent (q, b) && load_bits (q, b) == 0;
      if (one->consistent)
        one->dirty_bytes = count_bytes (q, b);
      if (!had)
        g_clear_pointer (&b->bits, g_free);
      g_ptr_array_add (list, one);
    }
  qcow2_control_end (q, &op);
  return list;
}

static gboolean
failed (Qcow2 *q, const char *what, const char *name, int r, GError **error)
{
  return vmm_error_set_errno (error, r, "Cannot %s the bitmap “%s” of “%s”", what, name,
                              q->parent.name);
}

gboolean
qcow2_bitmap_add (BlockImage *image, const char *name, guint64 granularity, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  g_autoptr (GArray) old = g_array_new (FALSE, FALSE, sizeof (Qcow2Run));
  gboolean ok = FALSE;
  Qcow2Bitmap *b;
  Qcow2Op op;
  int r;

  if (granularity == 0)
    granularity = CLAMP (q->cluster_size, 4096, 65536);
  if (q->version < 3)
    return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                         "has version 2, which has no bitmaps; convert it");
  if (name[0] == 0 || strlen (name) > QCOW2_MAX_NAME || (granularity & (granularity - 1)) != 0 ||
      granularity < 1u << MIN_GRANULARITY_BITS || granularity > 1u << MAX_GRANULARITY_BITS)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                         "was not given a bitmap: its name needs 1 to 1023 bytes, its granularity "
                         "is a power of two from 512 bytes to 2 GiB");
  qcow2_control_begin (q, &op);
  r = qcow2_start_writing (q);
  if (r < 0)
    (void)failed (q, "add", name, r, error);
  else if (find (q, name, NULL, NULL) != NULL)
    (void)qcow2_refuse (q, error, VMM_ERROR_BUSY, "has a bitmap “%s” already", name);
  else if (q->bitmaps->len >= MAX_BITMAPS ||
           bits_for (q->active.disk_size, (guint)__builtin_ctzll (granularity)) / 8 >=
               MAX_BITS_BYTES)
    (void)qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                        "cannot hold such a bitmap; choose a coarser granularity");
  else
    {
      b = g_new0 (Qcow2Bitmap, 1);
      b->name = g_strdup (name);
      b->flags = QCOW2_BITMAP_AUTO;
      b->type = DIRTY_TRACKING;
      b->granularity_bits = (guint8)__builtin_ctzll (granularity);
      b->n_bits = bits_for (q->active.disk_size, b->granularity_bits);
      b->bits = g_malloc0 (MAX (n_bytes (b), 1));
      b->dirty = TRUE;
      /* Bitmaps that were not to be believed must not become so by the new one's mark. */
      for (guint i = 0; !(q->autoclear & QCOW2_BITMAPS) && i < q->bitmaps->len; i++)
        ((Qcow2Bitmap *)g_ptr_array_index (q->bitmaps, i))->flags |= QCOW2_BITMAP_IN_USE;
      g_ptr_array_add (q->bitmaps, b);
      r = store_all (q, old, FALSE);
      if (r < 0)
        g_ptr_array_remove_index (q->bitmaps, q->bitmaps->len - 1);
      ok = r == 0 || failed (q, "add", name, r, error);
      if (ok)
        q->bitmaps_recording = TRUE;
    }
  qcow2_control_end (q, &op);
  return ok;
}

gboolean
qcow2_bitmap_remove (BlockImage *image, const char *name, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  g_autoptr (GArray) old = g_array_new (FALSE, FALSE, sizeof (Qcow2Run));
  g_autofree guint64 *table = NULL;
  gboolean ok = FALSE;
  Qcow2Bitmap *b;
  Qcow2Op op;
  guint index;
  int r;

  qcow2_control_begin (q, &op);
  b = find (q, name, &index, error);
  if (b != NULL)
    {
      r = qcow2_start_writing (q);
      if (r == 0)
        r = read_table (q, b, &table);
      if (r == 0)
        {
          Qcow2Run run = { b->table_offset >> q->cluster_bits,
                           qcow2_clusters (q, MAX ((guint64)b->table_size * 8, 1)) };

          for (guint32 i = 0; i < b->table_size; i++)
            if ((table[i] & QCOW2_OFFSET) != 0)
              {
                Qcow2Run one = { (table[i] & QCOW2_OFFSET) >> q->cluster_bits, 1 };

                g_array_append_val (old, one);
              }
          if (b->table_offset != 0)
            g_array_append_val (old, run);
          b = g_ptr_array_steal_index (q->bitmaps, index);
          r = store_all (q, old, FALSE);
          if (r < 0)
            g_ptr_array_insert (q->bitmaps, (gint)index, b);
          else
            qcow2_bitmap_free (b);
        }
      ok = r == 0 || failed (q, "remove", name, r, error);
    }
  qcow2_control_end (q, &op);
  return ok;
}

static Qcow2Bitmap *
find_believed (Qcow2 *q, const char *name, GError **error)
{
  Qcow2Bitmap *b = find (q, name, NULL, error);
  int r;

  if (b == NULL)
    return NULL;
  if (!is_consistent (q, b))
    {
      (void)qcow2_refuse (q, error, VMM_ERROR_INVALID,
                          "was in use when the program or host stopped: its bitmap “%s” does not "
                          "tell what changed; remove it and make a full backup",
                          name);
      return NULL;
    }
  r = load_bits (q, b);
  if (r < 0)
    {
      (void)failed (q, "read", name, r, error);
      return NULL;
    }
  return b;
}

static gboolean
test_bit (const Qcow2Bitmap *b, guint64 bit)
{
  return b->bits[bit / 8] >> (bit % 8) & 1;
}

gboolean
qcow2_bitmap_map (BlockImage *image,
                  const char *name,
                  guint64 offset,
                  guint64 *ret_length,
                  gboolean *ret_dirty,
                  GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  gboolean ok = FALSE;
  Qcow2Bitmap *b;
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  b = find_believed (q, name, error);
  if (b != NULL && offset >= q->active.disk_size)
    (void)qcow2_refuse (q, error, VMM_ERROR_INVALID, "ends before that offset");
  else if (b != NULL)
    {
      guint64 bit = offset >> b->granularity_bits;
      guint64 end;

      *ret_dirty = test_bit (b, bit);
      while (bit < b->n_bits && test_bit (b, bit) == *ret_dirty)
        bit++;
      end = MIN (bit << b->granularity_bits, q->active.disk_size);
      *ret_length = (bit == b->n_bits ? q->active.disk_size : end) - offset;
      ok = TRUE;
    }
  qcow2_control_end (q, &op);
  return ok;
}

gboolean
qcow2_bitmap_clear (BlockImage *image, const char *name, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  g_autoptr (GArray) old = g_array_new (FALSE, FALSE, sizeof (Qcow2Run));
  gboolean ok = FALSE;
  Qcow2Bitmap *b;
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  b = find_believed (q, name, error);
  if (b != NULL)
    {
      int r = qcow2_start_writing (q);

      if (r == 0)
        {
          memset (b->bits, 0, n_bytes (b));
          b->dirty = TRUE;
          r = store_all (q, old, FALSE);
        }
      ok = r == 0 || failed (q, "clear", name, r, error);
    }
  qcow2_control_end (q, &op);
  return ok;
}
