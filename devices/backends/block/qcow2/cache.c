/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Caches of metadata, in slices so that tables of large clusters cost no more than what is used of
 * them. Bounded; a slice that is pinned, dirty or on its way to disk stays. */
#include "devices/backends/block/qcow2/qcow2-private.h"

void
qcow2_cache_init (Qcow2Cache *cache, gboolean is_l2, guint32 slice_size, guint64 bytes)
{
  cache->is_l2 = is_l2;
  cache->slice_size = slice_size;
  cache->max = (guint)CLAMP (bytes / slice_size, 16, 1u << 20);
  cache->n_buckets = 16;
  while (cache->n_buckets < cache->max && cache->n_buckets < 1u << 16)
    cache->n_buckets *= 2;
  cache->buckets = g_new0 (Qcow2Slice *, cache->n_buckets);
}

static guint
bucket_of (const Qcow2Cache *cache, guint64 offset)
{
  guint64 key = offset / cache->slice_size;

  return (guint)(key ^ key >> 16) & (cache->n_buckets - 1);
}

static void
unlink_use (Qcow2Cache *cache, Qcow2Slice *slice)
{
  if (slice->newer != NULL)
    slice->newer->older = slice->older;
  else
    cache->newest = slice->older;
  if (slice->older != NULL)
    slice->older->newer = slice->newer;
  else
    cache->oldest = slice->newer;
}

static void
link_use (Qcow2Cache *cache, Qcow2Slice *slice)
{
  slice->newer = NULL;
  slice->older = cache->newest;
  if (cache->newest != NULL)
    cache->newest->newer = slice;
  else
    cache->oldest = slice;
  cache->newest = slice;
}

static void
remove_slice (Qcow2Cache *cache, Qcow2Slice *slice)
{
  Qcow2Slice **at = &cache->buckets[bucket_of (cache, slice->offset)];

  g_assert (slice->pins == 0 && !slice->loading && !slice->flushing);
  while (*at != slice)
    at = &(*at)->chain;
  *at = slice->chain;
  unlink_use (cache, slice);
  if (slice->dirty)
    cache->n_dirty--;
  cache->n--;
  g_free (slice->data);
  g_free (slice);
}

void
qcow2_cache_finish (Qcow2Cache *cache)
{
  while (cache->newest != NULL)
    remove_slice (cache, cache->newest);
  g_clear_pointer (&cache->buckets, g_free);
}

static Qcow2Slice *
find (Qcow2Cache *cache, guint64 offset)
{
  Qcow2Slice *slice = cache->buckets[bucket_of (cache, offset)];

  while (slice != NULL && slice->offset != offset)
    slice = slice->chain;
  return slice;
}

Qcow2Slice *
qcow2_cache_peek (Qcow2Cache *cache, guint64 offset)
{
  Qcow2Slice *slice = find (cache, offset);

  if (slice == NULL || slice->loading)
    return NULL;
  if (slice != cache->newest)
    {
      unlink_use (cache, slice);
      link_use (cache, slice);
    }
  return slice;
}

void
qcow2_cache_dirty (Qcow2Cache *cache, Qcow2Slice *slice)
{
  if (!slice->dirty)
    cache->n_dirty++;
  slice->dirty = TRUE;
}

void
qcow2_cache_clean (Qcow2Cache *cache, Qcow2Slice *slice)
{
  if (slice->dirty)
    cache->n_dirty--;
  slice->dirty = FALSE;
}

void
qcow2_cache_drop (Qcow2Cache *cache, guint64 offset, guint64 length)
{
  for (guint64 at = offset; at < offset + length; at += cache->slice_size)
    {
      Qcow2Slice *slice = find (cache, at);

      if (slice != NULL && slice->pins == 0 && !slice->flushing && !slice->loading)
        remove_slice (cache, slice);
    }
}

void
qcow2_cache_drop_all (Qcow2Cache *cache)
{
  Qcow2Slice *next;

  for (Qcow2Slice *slice = cache->oldest; slice != NULL; slice = next)
    {
      next = slice->newer;
      if (slice->pins == 0 && !slice->flushing && !slice->loading)
        remove_slice (cache, slice);
    }
}

int
qcow2_cache_write (Qcow2 *q, Qcow2Cache *cache, Qcow2Slice *slice)
{
  int r;

  qcow2_io_begin (q);
  r = qcow2_metadata_write (q, slice->offset, slice->data, cache->slice_size,
                            cache->is_l2 ? QCOW2_META_L2 : QCOW2_META_BLOCK);
  qcow2_io_end (q);
  if (r == 0)
    qcow2_cache_clean (cache, slice);
  return r;
}

int
qcow2_cache_write_all (Qcow2 *q, Qcow2Cache *cache)
{
  for (Qcow2Slice *slice = cache->oldest; slice != NULL && cache->n_dirty > 0; slice = slice->newer)
    if (slice->dirty)
      {
        int r = qcow2_cache_write (q, cache, slice);

        if (r < 0)
          return r;
        if (!cache->is_l2)
          q->refcounts_unsynced = TRUE;
      }
  return 0;
}

/* 0: there is room (or all is pinned, and the cache grows for the moment); 1: the lock was dropped,
 * look again. */
static int
make_room (Qcow2 *q, Qcow2Cache *cache)
{
  Qcow2Slice *slice, *dirty = NULL;
  int r;

  if (cache->n < cache->max)
    return 0;
  if (!cache->is_l2 || cache->n_dirty < cache->max - cache->max / 8)
    for (slice = cache->oldest; slice != NULL; slice = slice->newer)
      {
        if (slice->pins > 0 || slice->loading || slice->flushing)
          continue;
        if (!slice->dirty)
          {
            remove_slice (cache, slice);
            return 0;
          }
        if (dirty == NULL)
          dirty = slice;
        if (!cache->is_l2)
          break;
      }
  if (cache->is_l2)
    {
      if (cache->n_dirty == 0)
        return 0;
      r = qcow2_flush_metadata (q, FALSE);
      return r < 0 ? r : 1;
    }
  if (dirty == NULL)
    return 0;
  r = qcow2_cache_write (q, cache, dirty);
  if (r < 0)
    return r;
  q->refcounts_unsynced = TRUE;
  remove_slice (cache, dirty);
  return 0;
}

static Qcow2Slice *
insert (Qcow2Cache *cache, guint64 offset)
{
  Qcow2Slice *slice = g_new0 (Qcow2Slice, 1);
  guint bucket = bucket_of (cache, offset);

  slice->offset = offset;
  slice->data = g_malloc0 (cache->slice_size);
  slice->pins = 1;
  slice->chain = cache->buckets[bucket];
  cache->buckets[bucket] = slice;
  link_use (cache, slice);
  cache->n++;
  return slice;
}

static int
load (Qcow2 *q, Qcow2Cache *cache, Qcow2Slice *slice)
{
  BlockFile *file = q->parent.file;
  int r;

  if (!cache->is_l2)
    {
      qcow2_io_begin (q);
      r = block_file_read (file, slice->offset, slice->data, cache->slice_size);
      qcow2_io_end (q);
      return r;
    }
  slice->loading = TRUE;
  g_mutex_unlock (&q->lock);
  r = block_file_read (file, slice->offset, slice->data, cache->slice_size);
  g_mutex_lock (&q->lock);
  slice->loading = FALSE;
  qcow2_wake (q);
  return r;
}

int
qcow2_cache_get (Qcow2 *q, Qcow2Cache *cache, guint64 offset, gboolean fresh, Qcow2Slice **ret)
{
  Qcow2Slice *slice;
  guint room_tries = 0;
  int r;

  *ret = NULL;
  for (;;)
    {
      slice = find (cache, offset);
      if (slice != NULL && slice->loading)
        {
          qcow2_wait (q);
          continue;
        }
      if (slice != NULL)
        {
          slice = qcow2_cache_peek (cache, offset);
          slice->pins++;
          if (fresh)
            memset (slice->data, 0, cache->slice_size);
          *ret = slice;
          return 0;
        }
      /* After a few rounds others are quicker at filling it than we at making room. */
      r = room_tries++ < 4 ? make_room (q, cache) : 0;
      if (r < 0)
        return r;
      if (r == 0)
        break;
    }
  slice = insert (cache, offset);
  if (!fresh)
    {
      r = load (q, cache, slice);
      if (r < 0)
        {
          slice->pins--;
          remove_slice (cache, slice);
          return r;
        }
    }
  *ret = slice;
  return 0;
}
