/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What goes to disk in which order, and what must not be written at all. README.md has the argument.
 *
 * A flush takes copies of what is dirty, and lets go of the lock while it waits for the disk: what
 * changes meanwhile is dirty again, and goes with the next one. */
#include <stdarg.h>

#include "devices/backends/block/qcow2/qcow2-private.h"

typedef struct
{
  guint64 offset;
  guint8 *data;
  gsize length;
  Qcow2Slice *slice; /* (nullable) L1: NULL */
  gsize l1_sector;
} Copy;

int
qcow2_corrupt (Qcow2 *q, const char *format, ...)
{
  va_list args;

  if (q->broken || q->readonly)
    return -EIO;
  q->broken = TRUE;
  va_start (args, format);
  q->broken_text = g_strdup_vprintf (format, args);
  va_end (args);
  if (q->version >= 3)
    {
      q->incompatible |= QCOW2_CORRUPT;
      /* When even that cannot be written there is nothing more to do: nothing else will be. */
      (void)qcow2_header_update (q);
    }
  return -EIO;
}

void
qcow2_metadata_add (Qcow2 *q, guint64 offset, guint64 length, Qcow2Meta kind)
{
  for (guint64 c = offset >> q->cluster_bits; c < qcow2_clusters (q, offset + length); c++)
    g_hash_table_insert (q->metadata, GSIZE_TO_POINTER ((gsize)c), GUINT_TO_POINTER (kind));
}

void
qcow2_metadata_remove (Qcow2 *q, guint64 offset, guint64 length)
{
  for (guint64 c = offset >> q->cluster_bits; c < qcow2_clusters (q, offset + length); c++)
    g_hash_table_remove (q->metadata, GSIZE_TO_POINTER ((gsize)c));
}

int
qcow2_check_overlap (Qcow2 *q, guint64 offset, guint64 length, Qcow2Meta kind)
{
  guint64 end = qcow2_clusters (q, offset + length);

  if (q->broken)
    return -EIO;
  for (guint64 c = offset >> q->cluster_bits; c < end; c++)
    {
      guint found =
          GPOINTER_TO_UINT (g_hash_table_lookup (q->metadata, GSIZE_TO_POINTER ((gsize)c)));

      if (found != kind)
        return qcow2_corrupt (
            q, "a write of metadata at %#" G_GINT64_MODIFIER "x would hit something else",
            c << q->cluster_bits);
    }
  return 0;
}

int
qcow2_metadata_write (Qcow2 *q, guint64 offset, const void *data, gsize length, Qcow2Meta kind)
{
  int r = qcow2_check_overlap (q, offset, length, kind);

  return r < 0 ? r : block_file_write (q->parent.file, offset, data, length);
}

int
qcow2_start_writing (Qcow2 *q)
{
  guint64 incompatible = q->incompatible, autoclear = q->autoclear;
  int r;

  if (q->readonly)
    return -EROFS;
  if (q->broken)
    return -EIO;
  if (q->writing)
    return 0;
  q->autoclear &= QCOW2_AUTOCLEAR_KNOWN;
  /* Whoever opens it after a crash finds leaks at worst, and with this mark frees them. */
  if (q->version >= 3)
    q->incompatible |= QCOW2_DIRTY;
  r = qcow2_bitmaps_start (q);
  if (r == 0)
    r = qcow2_header_update (q);
  if (r == 0)
    r = qcow2_barrier (q);
  if (r < 0)
    {
      q->incompatible = incompatible;
      q->autoclear = autoclear;
      return r;
    }
  q->writing = TRUE;
  return 0;
}

/* ---- one flush ---- */

static void
clear_copy (gpointer data)
{
  g_free (((Copy *)data)->data);
}

static int
take_l2_copies (Qcow2 *q, GArray *copies)
{
  for (Qcow2Slice *slice = q->l2.oldest; slice != NULL && q->l2.n_dirty > 0; slice = slice->newer)
    {
      Copy copy = { slice->offset, NULL, q->l2.slice_size, slice, 0 };
      int r;

      if (!slice->dirty)
        continue;
      r = qcow2_check_overlap (q, slice->offset, q->l2.slice_size, QCOW2_META_L2);
      if (r < 0)
        return r;
      copy.data = g_memdup2 (slice->data, q->l2.slice_size);
      slice->flushing = TRUE;
      qcow2_cache_clean (&q->l2, slice);
      g_array_append_val (copies, copy);
    }
  return 0;
}

static int
take_l1_copies (Qcow2 *q, GArray *copies)
{
  gsize bytes = (gsize)q->active.l1_size * 8;
  int r;

  if (!q->l1_any_dirty)
    return 0;
  r = qcow2_check_overlap (q, q->l1_offset, MAX (bytes, 1), QCOW2_META_L1);
  if (r < 0)
    return r;
  for (gsize at = 0; at < bytes; at += 512)
    {
      gsize length = MIN (512, bytes - at);
      Copy copy = { q->l1_offset + at, NULL, length, NULL, at / 512 };

      if (!q->l1_moved && !q->l1_dirty[at / 512])
        continue;
      copy.data = g_malloc (length);
      for (gsize i = 0; i < length; i += 8)
        be64_put (copy.data + i, q->active.l1[(at + i) / 8]);
      q->l1_dirty[at / 512] = 0;
      g_array_append_val (copies, copy);
    }
  q->l1_any_dirty = FALSE;
  return 0;
}

static int
write_copies (Qcow2 *q, GArray *copies)
{
  int r = 0;

  for (guint i = 0; r == 0 && i < copies->len; i++)
    {
      const Copy *copy = &g_array_index (copies, Copy, i);

      r = block_file_write (q->parent.file, copy->offset, copy->data, copy->length);
    }
  return r;
}

static int
barrier_unlocked (Qcow2 *q)
{
  int r = q->parent.file->ops->flush (q->parent.file);

  if (r == 0 && q->external)
    r = q->data->ops->flush (q->data);
  return r;
}

/* The header names the L1 table where it is now. Without the lock. */
static int
switch_l1 (Qcow2 *q)
{
  int r = barrier_unlocked (q);

  if (r < 0)
    return r;
  g_mutex_lock (&q->lock);
  q->l1_moved = FALSE;
  r = qcow2_header_update (q);
  if (r < 0)
    q->l1_moved = TRUE;
  g_mutex_unlock (&q->lock);
  return r;
}

/* The lock is held before and after, not inside. */
static int
write_out (
    Qcow2 *q, GArray *l2, GArray *l1, gboolean first_barrier, gboolean last_barrier, gboolean moved)
{
  int r = 0;

  g_mutex_unlock (&q->lock);
  if (first_barrier)
    r = barrier_unlocked (q);
  if (r == 0)
    r = write_copies (q, l2);
  if (r == 0 && l1->len > 0)
    {
      /* A table is whole before anything points to it. */
      r = barrier_unlocked (q);
      if (r == 0)
        r = write_copies (q, l1);
      if (r == 0 && moved)
        r = switch_l1 (q);
    }
  if (r == 0 && last_barrier)
    r = barrier_unlocked (q);
  g_mutex_lock (&q->lock);
  return r;
}

static void
finish_copies (Qcow2 *q, GArray *l2, GArray *l1, gboolean failed)
{
  for (guint i = 0; i < l2->len; i++)
    {
      Qcow2Slice *slice = g_array_index (l2, Copy, i).slice;

      slice->flushing = FALSE;
      if (failed)
        qcow2_cache_dirty (&q->l2, slice);
    }
  for (guint i = 0; failed && i < l1->len; i++)
    {
      q->l1_dirty[g_array_index (l1, Copy, i).l1_sector] = 1;
      q->l1_any_dirty = TRUE;
    }
}

int
qcow2_flush_metadata (Qcow2 *q, gboolean barrier)
{
  g_autoptr (GArray) l2 = g_array_new (FALSE, FALSE, sizeof (Copy));
  g_autoptr (GArray) l1 = g_array_new (FALSE, FALSE, sizeof (Copy));
  GArray *frees;
  gboolean refcounts, data, moved, any;
  int r;

  g_array_set_clear_func (l2, clear_copy);
  g_array_set_clear_func (l1, clear_copy);
  while (q->flushing)
    qcow2_wait (q);
  if (q->broken)
    return -EIO;
  q->flushing = TRUE;
  /* What a failed update may have written goes first; frees come after a barrier anyway. */
  r = q->header_doubtful ? qcow2_header_update (q) : 0;
  /* With lazy refcounts the image is marked: who opens it after a crash counts anew. */
  if (r == 0 && (!q->lazy || q->closing))
    r = qcow2_refcounts_write (q);
  if (r == 0)
    r = take_l2_copies (q, l2);
  if (r == 0)
    r = take_l1_copies (q, l1);
  frees = q->frees;
  q->frees = g_array_new (FALSE, FALSE, sizeof (Qcow2Run));
  refcounts = q->refcounts_unsynced;
  data = q->data_unsynced;
  moved = q->l1_moved;
  any = l2->len > 0 || l1->len > 0;
  if (r == 0 && (any || barrier || frees->len > 0))
    {
      q->refcounts_unsynced = q->data_unsynced = FALSE;
      r = write_out (q, l2, l1, any && (refcounts || data), barrier || frees->len > 0, moved);
    }
  finish_copies (q, l2, l1, r < 0);
  if (r < 0)
    {
      q->refcounts_unsynced |= refcounts;
      q->data_unsynced |= data;
      g_array_prepend_vals (q->frees, frees->data, frees->len);
    }
  else
    {
      if (moved && q->l1_old_size > 0)
        qcow2_free_later (q, q->l1_old_offset >> q->cluster_bits,
                          qcow2_clusters (q, (guint64)q->l1_old_size * 8));
      (void)qcow2_process_frees (q, (const Qcow2Run *)(gpointer)frees->data, frees->len);
    }
  g_array_unref (frees);
  q->flushing = FALSE;
  qcow2_wake (q);
  return r;
}

int
qcow2_flush_all (Qcow2 *q)
{
  int r;

  do
    r = qcow2_flush_metadata (q, TRUE);
  while (r == 0 && (q->frees->len > 0 || q->l2.n_dirty > 0 || q->l1_any_dirty ||
                    (!q->lazy && (q->blocks.n_dirty > 0 || q->table_any_dirty))));
  return r;
}
