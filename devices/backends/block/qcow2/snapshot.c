/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Internal snapshots: an L1 table of its own, every cluster that it reaches counted once more.
 * Counts go up on disk before anything says that there is one more user; the header switches from
 * one state to the next in one sector; counts go down after that. */
#include "devices/backends/block/qcow2/qcow2-private.h"

#define ENTRY_HEAD      40u
#define MAX_EXTRA       1024u
#define MAX_TABLE_BYTES (64u << 20)
#define MAX_L1_BYTES    (G_GUINT64_CONSTANT (4) << 30) /* of all snapshots */
#define KNOWN_EXTRA     16u                            /* size of machine state, of the disk */

void
qcow2_snapshot_free (Qcow2Snapshot *s)
{
  if (s == NULL)
    return;
  g_free (s->id);
  g_free (s->name);
  g_free (s->extra);
  g_free (s);
}

/* ---- the table ---- */

static gboolean
damaged (Qcow2 *q, guint index, GError **error)
{
  return qcow2_refuse (q, error, VMM_ERROR_INVALID,
                       "is damaged: snapshot %u in its table makes no sense", index);
}

static gboolean
read_one (Qcow2 *q, guint index, guint64 *at, Qcow2Snapshot *s, GError **error)
{
  BlockFile *file = q->parent.file;
  g_autofree guint8 *rest = NULL;
  guint8 h[ENTRY_HEAD];
  guint32 id_length, name_length, extra;
  gsize length;
  int r = block_file_read (file, *at, h, sizeof h);

  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the snapshots of “%s”", q->parent.name);
  s->l1_offset = be64_get (h);
  s->l1_size = be32_get (h + 8);
  id_length = be16_get (h + 12);
  name_length = be16_get (h + 14);
  s->date_sec = be32_get (h + 16);
  s->date_nsec = be32_get (h + 20);
  s->guest_ns = be64_get (h + 24);
  s->state_size = be32_get (h + 32);
  extra = be32_get (h + 36);
  if (extra > MAX_EXTRA || s->l1_size > QCOW2_MAX_L1_BYTES / 8 ||
      (s->l1_offset & (q->cluster_size - 1)) != 0 || s->l1_offset > QCOW2_OFFSET ||
      (s->l1_size > 0 && s->l1_offset == 0))
    return damaged (q, index, error);
  length = extra + id_length + name_length;
  rest = g_malloc0 (MAX (length, 1));
  r = block_file_read (file, *at + ENTRY_HEAD, rest, length);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the snapshots of “%s”", q->parent.name);
  if (extra >= 8)
    s->state_size = be64_get (rest);
  s->disk_size = q->active.disk_size;
  if (extra >= 16)
    {
      s->disk_size = be64_get (rest + 8);
      s->has_disk_size = TRUE;
    }
  if (extra > KNOWN_EXTRA)
    {
      s->extra_size = extra - KNOWN_EXTRA;
      s->extra = g_memdup2 (rest + KNOWN_EXTRA, s->extra_size);
    }
  s->id = g_strndup ((const char *)rest + extra, id_length);
  s->name = g_strndup ((const char *)rest + extra + id_length, name_length);
  *at += (ENTRY_HEAD + length + 7) & ~(guint64)7;
  {
    guint32 n;

    if (s->disk_size > G_MAXINT64 || !qcow2_l1_entries (q, s->disk_size, &n) || n > s->l1_size)
      return damaged (q, index, error);
  }
  return TRUE;
}

int
qcow2_snapshots_load (Qcow2 *q, GError **error)
{
  guint n = q->snapshots->len;
  guint64 at = q->snapshots_offset, bytes = 0;
  gint64 size = q->parent.file->ops->get_size (q->parent.file);

  g_ptr_array_set_size (q->snapshots, 0);
  for (guint i = 0; i < n; i++)
    {
      Qcow2Snapshot *s = g_new0 (Qcow2Snapshot, 1);

      g_ptr_array_add (q->snapshots, s);
      if (!read_one (q, i, &at, s, error))
        return -EINVAL;
      /* Tables that overlap would take longer to look at than the file is long. */
      bytes += (guint64)s->l1_size * 8;
      if (at - q->snapshots_offset > MAX_TABLE_BYTES || bytes > MIN (MAX_L1_BYTES, (guint64)size))
        {
          (void)damaged (q, i, error);
          return -EINVAL;
        }
    }
  return 0;
}

static void
put_one (GByteArray *table, const Qcow2Snapshot *s, gboolean v3)
{
  guint32 extra = v3 || s->has_disk_size || s->extra_size > 0 ? KNOWN_EXTRA + s->extra_size : 0;
  guint32 id_length = (guint32)strlen (s->id), name_length = (guint32)strlen (s->name);
  guint8 h[ENTRY_HEAD + KNOWN_EXTRA] = { 0 }, zeroes[8] = { 0 };

  be64_put (h, s->l1_offset);
  be32_put (h + 8, s->l1_size);
  be16_put (h + 12, (guint16)id_length);
  be16_put (h + 14, (guint16)name_length);
  be32_put (h + 16, s->date_sec);
  be32_put (h + 20, s->date_nsec);
  be64_put (h + 24, s->guest_ns);
  be32_put (h + 32, s->state_size > G_MAXUINT32 ? 0 : (guint32)s->state_size);
  be32_put (h + 36, extra);
  be64_put (h + 40, s->state_size);
  be64_put (h + 48, s->disk_size);
  g_byte_array_append (table, h, ENTRY_HEAD + (extra > 0 ? KNOWN_EXTRA : 0));
  if (s->extra_size > 0)
    g_byte_array_append (table, s->extra, s->extra_size);
  g_byte_array_append (table, (const guint8 *)s->id, id_length);
  g_byte_array_append (table, (const guint8 *)s->name, name_length);
  g_byte_array_append (table, zeroes, (8 - table->len % 8) % 8);
}

static GByteArray *
put_all (Qcow2 *q)
{
  GByteArray *table = g_byte_array_new ();

  for (guint i = 0; i < q->snapshots->len; i++)
    put_one (table, g_ptr_array_index (q->snapshots, i), q->version >= 3);
  return table;
}

guint64
qcow2_snapshots_size (Qcow2 *q)
{
  g_autoptr (GByteArray) table = put_all (q);

  return table->len;
}

/* A new table in a new place, then the header; `before` bytes of the old one are freed. */
static int
store (Qcow2 *q, guint64 before)
{
  g_autoptr (GByteArray) table = put_all (q);
  guint64 old = q->snapshots_offset, first = 0;
  int r = 0;

  if (table->len > MAX_TABLE_BYTES)
    return -EFBIG;
  if (table->len > 0)
    {
      r = qcow2_alloc (q, qcow2_clusters (q, table->len), FALSE, &first);
      if (r < 0)
        return r;
      qcow2_metadata_add (q, first << q->cluster_bits, table->len, QCOW2_META_SNAPSHOTS);
      r = qcow2_metadata_write (q, first << q->cluster_bits, table->data, table->len,
                                QCOW2_META_SNAPSHOTS);
    }
  if (r == 0)
    r = qcow2_flush_all (q);
  if (r == 0)
    {
      q->snapshots_offset = first << q->cluster_bits;
      r = qcow2_header_update (q);
      if (r == 0)
        r = qcow2_barrier (q);
    }
  if (r < 0)
    {
      q->snapshots_offset = old;
      /* Freed with the next flush, which brings the header back first. */
      if (table->len > 0)
        qcow2_free_later (q, first, qcow2_clusters (q, table->len));
      q->header_doubtful = TRUE;
      return r;
    }
  if (old != 0 && before > 0)
    qcow2_free_later (q, old >> q->cluster_bits, qcow2_clusters (q, before));
  return 0;
}

/* ---- operations ---- */

static Qcow2Snapshot *
find (Qcow2 *q, const char *id, guint *ret_index, GError **error)
{
  for (guint i = 0; i < q->snapshots->len; i++)
    {
      Qcow2Snapshot *s = g_ptr_array_index (q->snapshots, i);

      if (strcmp (s->id, id) != 0)
        continue;
      if (ret_index != NULL)
        *ret_index = i;
      return s;
    }
  if (error != NULL)
    (void)qcow2_refuse (q, error, VMM_ERROR_NOT_FOUND, "has no snapshot with the number “%s”", id);
  return NULL;
}

static gboolean
fail (Qcow2 *q, const char *what, int r, GError **error)
{
  if (r == -ERANGE)
    return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                         "has reference counts of %u bits: no further snapshot fits; delete one, "
                         "or convert it with larger counts",
                         q->refcount_bits);
  if (r == -EIO && q->broken)
    return qcow2_refuse (q, error, VMM_ERROR_INVALID, "is damaged: %s",
                         q->broken_text != NULL ? q->broken_text : "check and repair it");
  return vmm_error_set_errno (error, r, "Cannot %s a snapshot of “%s”", what, q->parent.name);
}

GPtrArray *
qcow2_snapshot_list (BlockImage *image)
{
  Qcow2 *q = (Qcow2 *)image;
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify)block_snapshot_free);

  g_mutex_lock (&q->lock);
  for (guint i = 0; i < q->snapshots->len; i++)
    {
      const Qcow2Snapshot *s = g_ptr_array_index (q->snapshots, i);
      BlockSnapshot *one = g_new0 (BlockSnapshot, 1);

      one->id = g_strdup (s->id);
      one->name = g_strdup (s->name);
      one->disk_size = s->disk_size;
      one->time_ns = (gint64)s->date_sec * 1000000000 + s->date_nsec;
      one->guest_ns = s->guest_ns;
      one->state_size = s->state_size;
      g_ptr_array_add (list, one);
    }
  g_mutex_unlock (&q->lock);
  return list;
}

static Qcow2Snapshot *
new_snapshot (Qcow2 *q, const BlockSnapshot *from, GError **error)
{
  const char *name = from->name != NULL ? from->name : "";
  guint64 next = 1;
  Qcow2Snapshot *s;

  for (guint i = 0; i < q->snapshots->len; i++)
    {
      const Qcow2Snapshot *other = g_ptr_array_index (q->snapshots, i);
      guint64 number = g_ascii_strtoull (other->id, NULL, 10);

      if (number >= next && number < G_MAXINT64)
        next = number + 1;
      if (strcmp (other->name, name) == 0 ||
          (from->id != NULL && strcmp (other->id, from->id) == 0))
        {
          (void)qcow2_refuse (q, error, VMM_ERROR_BUSY,
                              "has a snapshot “%s” already; choose another name", name);
          return NULL;
        }
    }
  if (q->snapshots->len >= QCOW2_MAX_SNAPSHOTS || strlen (name) > G_MAXUINT16 ||
      (from->id != NULL && (from->id[0] == 0 || strlen (from->id) > G_MAXUINT16)))
    {
      (void)qcow2_refuse (q, error, VMM_ERROR_INVALID,
                          "cannot take another snapshot, or not under this name");
      return NULL;
    }
  s = g_new0 (Qcow2Snapshot, 1);
  s->id = from->id != NULL ? g_strdup (from->id) : g_strdup_printf ("%" G_GUINT64_FORMAT, next);
  s->name = g_strdup (name);
  s->date_sec = (guint32)(from->time_ns / 1000000000);
  s->date_nsec = (guint32)(from->time_ns % 1000000000);
  s->guest_ns = from->guest_ns;
  s->disk_size = q->active.disk_size;
  s->has_disk_size = TRUE;
  return s;
}

/* Back to the counts from before, and to the marks that go with them. Clusters must not be marked
 * as ours alone while a header on disk might still name the other user, so that the header's turn
 * comes first (qcow2_flush_metadata); what fails here leaves counts too high and marks missing,
 * which cost copies and space, and no data. */
static void
uncount (Qcow2 *q, const Qcow2Root *root)
{
  guint64 done;

  if (q->broken)
    return;
  if ((q->header_doubtful && qcow2_flush_metadata (q, TRUE) < 0) ||
      qcow2_root_count (q, root, FALSE, G_MAXUINT64, &done) < 0 || qcow2_mark_copied (q) < 0)
    q->needs_repair = TRUE;
}

static int
create (Qcow2 *q, Qcow2Snapshot *s)
{
  guint64 before = qcow2_snapshots_size (q);
  int r = qcow2_flush_all (q);

  if (r < 0)
    return r;
  s->l1_size = q->active.l1_size;
  r = qcow2_root_write (q, q->active.l1, s->l1_size, QCOW2_META_SNAPSHOT_L1, &s->l1_offset);
  if (r < 0)
    return r;
  r = qcow2_root_count_up (q, &q->active);
  if (r == 0)
    {
      r = qcow2_flush_all (q);
      if (r == 0)
        r = qcow2_root_mark (q, TRUE);
      if (r == 0)
        r = qcow2_flush_all (q);
      if (r == 0)
        {
          g_ptr_array_add (q->snapshots, s);
          r = store (q, before);
          if (r == 0)
            return 0;
          (void)g_ptr_array_steal_index (q->snapshots, q->snapshots->len - 1);
        }
      uncount (q, &q->active);
    }
  qcow2_free_later (q, s->l1_offset >> q->cluster_bits,
                    qcow2_clusters (q, MAX ((guint64)s->l1_size * 8, 1)));
  return r;
}

gboolean
qcow2_snapshot_create (BlockImage *image, const BlockSnapshot *snapshot, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Snapshot *s = NULL;
  Qcow2Op op;
  int r = 0;

  if (q->external)
    return qcow2_refuse (q, error, VMM_ERROR_NOT_SUPPORTED,
                         "keeps its data in another file, and cannot have snapshots in it");
  qcow2_control_begin (q, &op);
  r = qcow2_start_writing (q);
  if (r == 0)
    {
      s = new_snapshot (q, snapshot, error);
      if (s != NULL)
        r = create (q, s);
    }
  if (r < 0)
    {
      (void)fail (q, "take", r, error);
      g_clear_pointer (&s, qcow2_snapshot_free);
    }
  qcow2_control_end (q, &op);
  return s != NULL;
}

/* The header names another root: it is the state now. */
static int
switch_root (Qcow2 *q, const Qcow2Root *root, guint64 l1_offset, Qcow2Root *ret_old)
{
  guint64 old_offset = q->l1_offset;
  int r;

  *ret_old = q->active;
  q->active = *root;
  q->l1_offset = l1_offset;
  r = qcow2_header_update (q);
  if (r == 0)
    r = qcow2_barrier (q);
  if (r < 0)
    {
      q->active = *ret_old;
      q->l1_offset = old_offset;
      q->header_doubtful = TRUE;
      return r;
    }
  g_free (q->l1_dirty);
  q->l1_dirty = g_malloc0 (q->active.l1_size / 64 + 1);
  q->l1_any_dirty = FALSE;
  return 0;
}

static int
apply (Qcow2 *q, const Qcow2Snapshot *s, GError **error)
{
  guint64 old_offset = q->l1_offset, l1_offset = 0, size = q->active.disk_size;
  Qcow2Root root = { NULL, s->l1_size, s->has_disk_size ? s->disk_size : size }, old;
  guint32 need;
  int r = qcow2_flush_all (q);

  if (r < 0)
    return r;
  if (!qcow2_l1_entries (q, root.disk_size, &need))
    return -EFBIG;
  if (root.disk_size != size && !qcow2_bitmaps_resize (q, root.disk_size, error))
    return -EFBIG;
  r = qcow2_l1_load (q, s->l1_offset, s->l1_size, &root.l1);
  if (r == 0 && need > root.l1_size)
    {
      root.l1 = g_realloc (root.l1, (gsize)need * 8);
      memset (root.l1 + root.l1_size, 0, (gsize)(need - root.l1_size) * 8);
      root.l1_size = need;
    }
  for (guint32 i = 0; r == 0 && i < root.l1_size; i++)
    root.l1[i] &= QCOW2_OFFSET;
  if (r == 0)
    r = qcow2_root_count_up (q, &root);
  if (r == 0)
    {
      r = qcow2_root_write (q, root.l1, root.l1_size, QCOW2_META_L1, &l1_offset);
      if (r == 0)
        r = qcow2_flush_all (q);
      if (r == 0)
        r = switch_root (q, &root, l1_offset, &old);
      if (r < 0)
        uncount (q, &root);
      if (r < 0 && l1_offset != 0)
        qcow2_free_later (q, l1_offset >> q->cluster_bits,
                          qcow2_clusters (q, MAX ((guint64)root.l1_size * 8, 1)));
    }
  if (r < 0)
    {
      g_free (root.l1);
      if (root.disk_size != size)
        (void)qcow2_bitmaps_resize (q, size, NULL);
      return r;
    }
  for (guint32 i = 0; i < q->active.l1_size; i++)
    if (q->active.l1[i] != 0)
      qcow2_metadata_add (q, q->active.l1[i], q->cluster_size, QCOW2_META_L2);
  /* It is done; what goes wrong from here on is a leak. */
  if (qcow2_root_free (q, &old, old_offset) < 0)
    q->needs_repair = TRUE;
  g_free (old.l1);
  qcow2_bitmaps_mark (q, 0, q->active.disk_size);
  if (qcow2_flush_all (q) < 0 || qcow2_mark_copied (q) < 0)
    q->needs_repair = TRUE;
  if (root.disk_size != size)
    (void)qcow2_bitmaps_update (q);
  return 0;
}

gboolean
qcow2_snapshot_apply (BlockImage *image, const char *id, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Snapshot *s;
  gboolean ok = FALSE;
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  s = find (q, id, NULL, error);
  if (s != NULL)
    {
      int r = qcow2_start_writing (q);

      if (r == 0)
        r = apply (q, s, error);
      ok = r == 0;
      if (!ok && (error == NULL || *error == NULL))
        (void)fail (q, "go back to", r, error);
    }
  qcow2_control_end (q, &op);
  return ok;
}

static int delete (Qcow2 *q, guint index)
{
  Qcow2Snapshot *s = g_ptr_array_index (q->snapshots, index);
  guint64 before = qcow2_snapshots_size (q);
  Qcow2Root root = { NULL, s->l1_size, s->disk_size };
  int r = qcow2_l1_load (q, s->l1_offset, s->l1_size, &root.l1);

  if (r == 0)
    {
      s = g_ptr_array_steal_index (q->snapshots, index);
      r = store (q, before);
      if (r < 0)
        g_ptr_array_insert (q->snapshots, (gint)index, s);
      else
        {
          if (qcow2_root_free (q, &root, s->l1_offset) < 0 || qcow2_flush_all (q) < 0 ||
              qcow2_mark_copied (q) < 0)
            q->needs_repair = TRUE;
          qcow2_snapshot_free (s);
        }
    }
  g_free (root.l1);
  return r;
}

gboolean
qcow2_snapshot_delete (BlockImage *image, const char *id, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  Qcow2Snapshot *s;
  gboolean ok = FALSE;
  Qcow2Op op;
  guint index;

  qcow2_control_begin (q, &op);
  s = find (q, id, &index, error);
  if (s != NULL && s->n_views > 0)
    (void)qcow2_refuse (q, error, VMM_ERROR_BUSY,
                        "has its snapshot “%s” in use; close what reads it first", s->name);
  else if (s != NULL)
    {
      int r = qcow2_start_writing (q);

      if (r == 0)
        r = delete (q, index);
      ok = r == 0 || fail (q, "delete", r, error);
    }
  qcow2_control_end (q, &op);
  return ok;
}

/* ---- a view of one ---- */

typedef struct
{
  BlockImage parent;
  Qcow2 *q;
  Qcow2Snapshot *snapshot;
  Qcow2Root root;
} View;

static void
view_get_info (BlockImage *image, BlockImageInfo *ret_info)
{
  View *view = (View *)image;

  view->q->parent.ops->get_info (&view->q->parent, ret_info);
  ret_info->size = view->root.disk_size;
  ret_info->readonly = TRUE;
  ret_info->n_snapshots = ret_info->n_bitmaps = 0;
}

static gboolean
view_range (View *view, guint64 offset, guint64 length)
{
  return length > 0 && length <= view->root.disk_size && offset <= view->root.disk_size - length;
}

static int
view_readv (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov)
{
  View *view = (View *)image;
  Qcow2 *q = view->q;
  guint64 length;
  Qcow2Op op;
  int r;

  if (!block_iov_length (iov, n_iov, &length))
    return -EINVAL;
  if (!view_range (view, offset, length))
    return length == 0 ? 0 : -EINVAL;
  /* Its clusters stay while it is open: any range keeps control operations out. */
  g_mutex_lock (&q->lock);
  qcow2_op_begin (q, &op, G_MAXUINT64, G_MAXUINT64, FALSE);
  g_mutex_unlock (&q->lock);
  r = qcow2_read_root (q, &view->root, offset, iov, n_iov);
  g_mutex_lock (&q->lock);
  qcow2_op_end (q, &op);
  g_mutex_unlock (&q->lock);
  return r;
}

static int
view_map (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent)
{
  View *view = (View *)image;
  Qcow2 *q = view->q;
  Qcow2Op op;
  int r;

  if (offset >= view->root.disk_size || length == 0)
    return -EINVAL;
  length = MIN (length, view->root.disk_size - offset);
  g_mutex_lock (&q->lock);
  qcow2_op_begin (q, &op, G_MAXUINT64, G_MAXUINT64, FALSE);
  r = qcow2_map_root (q, &view->root, offset, length, ret_extent);
  qcow2_op_end (q, &op);
  g_mutex_unlock (&q->lock);
  return r;
}

static void
view_close (BlockImage *image)
{
  View *view = (View *)image;

  g_mutex_lock (&view->q->lock);
  view->snapshot->n_views--;
  g_mutex_unlock (&view->q->lock);
  g_free (view->root.l1);
  g_free (view->parent.name);
  g_free (view);
}

static const BlockImageOps view_ops = {
  .name = "qcow2",
  .get_info = view_get_info,
  .readv = view_readv,
  .map = view_map,
  .close = view_close,
};

BlockImage *
qcow2_snapshot_open (BlockImage *image, const char *id, GError **error)
{
  Qcow2 *q = (Qcow2 *)image;
  View *view = NULL;
  Qcow2Snapshot *s;
  Qcow2Op op;

  qcow2_control_begin (q, &op);
  s = find (q, id, NULL, error);
  if (s != NULL)
    {
      Qcow2Root root = { NULL, s->l1_size, s->disk_size };
      int r = qcow2_l1_load (q, s->l1_offset, s->l1_size, &root.l1);

      if (r < 0)
        {
          (void)fail (q, "open", r, error);
          g_free (root.l1);
        }
      else
        {
          view = g_new0 (View, 1);
          view->parent.ops = &view_ops;
          view->parent.name = g_strdup_printf ("%s (snapshot %s)", q->parent.name, s->name);
          view->parent.file = q->parent.file;
          view->parent.backing = q->parent.backing; /* borrowed, as the file */
          view->q = q;
          view->snapshot = s;
          view->root = root;
          s->n_views++;
        }
    }
  qcow2_control_end (q, &op);
  return view != NULL ? &view->parent : NULL;
}
