/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/disk-copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What one thread takes at a time; large enough that a system call costs nothing beside it. */
#define PIECE       (2u << 20)
#define GRAIN_MIN   4096u /* zeroes shorter than this are data */
#define THREADS_MAX 8
#define STEP_US     (100 * 1000) /* between two progress steps */

typedef struct
{
  BlockImage *from, *to;
  AlcoveDiskCopyOptions options;
  guint64 size;
  gsize grain; /* bytes; zeroes are left out in units of this */
  gsize unit;  /* compress: bytes of a target cluster */
  GMutex lock;
  GCond changed;
  /* Below: under the lock. */
  guint64 next;       /* of the disk: what nobody took yet */
  guint64 done;       /* bytes */
  guint64 data_bytes; /* written as data */
  guint n_running;
  gboolean stop;
  int result; /* the first -errno */
  guint64 failed_at;
  gboolean failed_write;
} Copy;

gboolean
alcove_disk_is_zero (const void *buffer, gsize length)
{
  const guint8 *bytes = buffer;
  static const guint8 zeroes[32] = { 0 };
  gsize head = MIN (length, sizeof zeroes);

  /* Data seldom begins with so many zeroes; then each byte equals the one 32 before. */
  return memcmp (bytes, zeroes, head) == 0 &&
         (length <= head || memcmp (bytes, bytes + head, length - head) == 0);
}

static void
fail (Copy *copy, int result, guint64 at, gboolean writing)
{
  g_mutex_lock (&copy->lock);
  if (copy->result == 0)
    {
      copy->result = result;
      copy->failed_at = at;
      copy->failed_write = writing;
    }
  copy->stop = TRUE;
  g_cond_broadcast (&copy->changed);
  g_mutex_unlock (&copy->lock);
}

/* Zeroes at a place: written only where something else would be read. */
static int
put_zeroes (Copy *copy, guint64 offset, guint64 length)
{
  if (copy->options.target_is_zero && !copy->options.own_only && copy->options.dirty_in == NULL)
    return 0;
  return block_image_write_zeroes (copy->to, offset, length, TRUE);
}

/* Compressed, a cluster at a time; the disk's last one is filled up with zeroes. */
static int
put_compressed (Copy *copy, guint64 offset, guint8 *buffer, gsize length, guint64 *data_bytes)
{
  for (gsize done = 0; done < length; done += copy->unit)
    {
      gsize n = MIN (copy->unit, length - done);
      int result;

      if (alcove_disk_is_zero (buffer + done, n))
        {
          result = put_zeroes (copy, offset + done, n);
        }
      else
        {
          /* A cluster that does not shrink is stored as it is. */
          result = n == copy->unit
                       ? copy->to->ops->write_compressed (copy->to, offset + done, buffer + done, n)
                       : -ENOSPC;
          if (result == -ENOSPC || result == -E2BIG || result == -EINVAL)
            result = block_image_write (copy->to, offset + done, buffer + done, n);
          *data_bytes += n;
        }
      if (result < 0)
        return result;
    }
  return 0;
}

/* Runs of zeroes and of data, in units of the grain, from where the disk's own grains begin. */
static int
put_plain (Copy *copy, guint64 offset, const guint8 *buffer, gsize length, guint64 *data_bytes)
{
  gsize at = 0;

  while (at < length)
    {
      gsize n = MIN (length - at, copy->grain - (gsize)((offset + at) % copy->grain));
      gboolean zero = alcove_disk_is_zero (buffer + at, n);
      int result;

      while (at + n < length)
        {
          gsize more = MIN (copy->grain, length - at - n);

          if (alcove_disk_is_zero (buffer + at + n, more) != zero)
            break;
          n += more;
        }
      if (zero)
        {
          result = put_zeroes (copy, offset + at, n);
        }
      else
        {
          result = block_image_write (copy->to, offset + at, buffer + at, n);
          *data_bytes += n;
        }
      if (result < 0)
        return result;
      at += n;
    }
  return 0;
}

/* [offset, offset + length) lies in one extent of the source. */
static gboolean
copy_extent (Copy *copy, const BlockExtent *extent, guint8 *buffer, guint64 *data_bytes)
{
  gsize length = (gsize)extent->length;
  gboolean compress;
  int result;

  if (copy->options.own_only && (extent->depth > 0 || extent->kind == BLOCK_EXTENT_UNALLOCATED))
    return TRUE;
  if (extent->kind == BLOCK_EXTENT_UNALLOCATED || extent->kind == BLOCK_EXTENT_ZERO)
    {
      result = put_zeroes (copy, extent->offset, length);
      if (result < 0)
        fail (copy, result, extent->offset, TRUE);
      return result == 0;
    }
  result = block_image_read (copy->from, extent->offset, buffer, length);
  if (result < 0)
    {
      fail (copy, result, extent->offset, FALSE);
      return FALSE;
    }
  compress = copy->options.compress ||
             (copy->options.keep_compressed && extent->kind == BLOCK_EXTENT_COMPRESSED);
  result = compress && extent->offset % copy->unit == 0
               ? put_compressed (copy, extent->offset, buffer, length, data_bytes)
               : put_plain (copy, extent->offset, buffer, length, data_bytes);
  if (result < 0)
    fail (copy, result, extent->offset, TRUE);
  return result == 0;
}

static gboolean
copy_extents (Copy *copy, guint64 offset, guint64 length, guint8 *buffer, guint64 *data_bytes)
{
  guint64 end = offset + length;

  /* Compressed clusters must be written whole, even where their parts are different extents. */
  if (copy->options.compress)
    {
      BlockExtent whole = { .offset = offset, .length = length, .kind = BLOCK_EXTENT_DATA };
      BlockExtent first;
      int result = block_image_map (copy->from, offset, length, &first);

      if (result < 0)
        {
          fail (copy, result, offset, FALSE);
          return FALSE;
        }
      if (first.length == length)
        whole = first;
      return copy_extent (copy, &whole, buffer, data_bytes);
    }
  while (offset < end)
    {
      BlockExtent extent;
      int result = block_image_map (copy->from, offset, end - offset, &extent);

      if (result < 0)
        {
          fail (copy, result, offset, FALSE);
          return FALSE;
        }
      if (!copy_extent (copy, &extent, buffer, data_bytes))
        return FALSE;
      offset += extent.length;
    }
  return TRUE;
}

/* Of the piece, what the bitmap says has changed. */
static gboolean
copy_dirty (Copy *copy, guint64 offset, guint64 length, guint8 *buffer, guint64 *data_bytes)
{
  guint64 end = offset + length;

  while (offset < end)
    {
      guint64 n = 0;
      gboolean dirty = FALSE;

      if (!copy->from->ops->bitmap_map (copy->from, copy->options.dirty_in, offset, &n, &dirty,
                                        NULL) ||
          n == 0)
        {
          fail (copy, -EIO, offset, FALSE);
          return FALSE;
        }
      n = MIN (n, end - offset);
      if (dirty && !copy_extents (copy, offset, n, buffer, data_bytes))
        return FALSE;
      offset += n;
    }
  return TRUE;
}

static gboolean
take_piece (Copy *copy, guint64 done, guint64 data_bytes, guint64 *ret_offset, guint64 *ret_length)
{
  gboolean more;

  g_mutex_lock (&copy->lock);
  copy->done += done;
  copy->data_bytes += data_bytes;
  more = !copy->stop && copy->next < copy->size;
  if (more)
    {
      *ret_offset = copy->next;
      *ret_length = MIN (PIECE, copy->size - copy->next);
      copy->next += *ret_length;
    }
  g_mutex_unlock (&copy->lock);
  return more;
}

/* The extent where the next piece begins, if nothing is there, as a whole: a large empty disk is not
 * walked in pieces. */
static void
skip_holes (Copy *copy)
{
  BlockExtent extent;

  g_mutex_lock (&copy->lock);
  if (!copy->stop && copy->next < copy->size && copy->options.dirty_in == NULL &&
      copy->options.target_is_zero && !copy->options.own_only &&
      block_image_map (copy->from, copy->next, copy->size - copy->next, &extent) == 0 &&
      (extent.kind == BLOCK_EXTENT_UNALLOCATED || extent.kind == BLOCK_EXTENT_ZERO))
    {
      /* Pieces begin at multiples of their size: clusters stay whole. */
      guint64 end = copy->next + extent.length;

      if (end < copy->size)
        end -= end % PIECE;
      if (end > copy->next)
        {
          copy->done += end - copy->next;
          copy->next = end;
        }
    }
  g_mutex_unlock (&copy->lock);
}

static gpointer
copy_thread (gpointer data)
{
  Copy *copy = data;
  guint8 *buffer = NULL;
  guint64 offset = 0, length = 0, data_bytes = 0;

  if (posix_memalign ((void **)&buffer, 4096, PIECE) != 0)
    {
      fail (copy, -ENOMEM, 0, FALSE);
    }
  else
    {
      while (skip_holes (copy), take_piece (copy, length, data_bytes, &offset, &length))
        {
          data_bytes = 0;
          if (copy->options.dirty_in != NULL
                  ? !copy_dirty (copy, offset, length, buffer, &data_bytes)
                  : !copy_extents (copy, offset, length, buffer, &data_bytes))
            break;
        }
    }
  free (buffer);
  g_mutex_lock (&copy->lock);
  copy->n_running--;
  g_cond_broadcast (&copy->changed);
  g_mutex_unlock (&copy->lock);
  return NULL;
}

/* Until all threads have ended; their last pieces too. FALSE: cancelled. */
static gboolean
wait_for_threads (Copy *copy, const BlockProgress *progress)
{
  gboolean cancelled = FALSE;

  g_mutex_lock (&copy->lock);
  while (copy->n_running > 0)
    {
      guint64 done = copy->done;
      gboolean ended =
          g_cond_wait_until (&copy->changed, &copy->lock, g_get_monotonic_time () + STEP_US);

      if (ended || progress == NULL || progress->step == NULL || cancelled)
        continue;
      g_mutex_unlock (&copy->lock);
      cancelled = !progress->step (done, copy->size, progress->user_data);
      g_mutex_lock (&copy->lock);
      copy->stop = copy->stop || cancelled;
    }
  g_mutex_unlock (&copy->lock);
  return !cancelled;
}

/* Writers of one host file wait for each other, and burn time doing so: a raw target wants one that
 * reads while the other writes, no more. */
static guint
choose_threads (const AlcoveDiskCopyOptions *options, BlockImage *to)
{
  guint n = options->threads;
  BlockImageInfo info;

  to->ops->get_info (to, &info);
  if (n == 0)
    n = info.format == BLOCK_FORMAT_RAW ? 2 : g_get_num_processors () + 2;
  return CLAMP (n, 1, THREADS_MAX);
}

static gboolean
prepare (Copy *copy, GError **error)
{
  BlockImageInfo from, to;

  copy->from->ops->get_info (copy->from, &from);
  copy->to->ops->get_info (copy->to, &to);
  copy->size = from.size;
  copy->grain = GRAIN_MIN;
  if (to.size < from.size)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is smaller than “%s”: make it %" G_GUINT64_FORMAT " bytes large",
                   copy->to->name, copy->from->name, from.size);
      return FALSE;
    }
  /* A part of a cluster costs the whole cluster. */
  if (to.cluster_size != 0)
    copy->grain = MIN (MAX (GRAIN_MIN, to.subcluster_size), PIECE);
  copy->unit = to.cluster_size;
  if ((copy->options.compress || copy->options.keep_compressed) &&
      copy->to->ops->write_compressed == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s” cannot be compressed: its format is %s, choose qcow2", copy->to->name,
                   block_format_to_string (to.format));
      return FALSE;
    }
  if (copy->options.dirty_in != NULL && copy->from->ops->bitmap_map == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s” has no bitmaps: its format is %s", copy->from->name,
                   block_format_to_string (from.format));
      return FALSE;
    }
  return TRUE;
}

static gboolean
finish (Copy *copy, gboolean cancelled, GError **error)
{
  int result;

  if (copy->result != 0)
    return vmm_error_set_errno (error, copy->result, "“%s” cannot be %s at byte %" G_GUINT64_FORMAT,
                                copy->failed_write ? copy->to->name : copy->from->name,
                                copy->failed_write ? "written" : "read", copy->failed_at);
  if (cancelled)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "Copying “%s” was cancelled",
                   copy->from->name);
      return FALSE;
    }
  if (copy->options.no_flush)
    return TRUE;
  result = block_image_flush (copy->to);
  return result == 0 ||
         vmm_error_set_errno (error, result, "“%s” cannot be written", copy->to->name);
}

gboolean
alcove_disk_copy (BlockImage *from,
                  BlockImage *to,
                  const AlcoveDiskCopyOptions *options,
                  const BlockProgress *progress,
                  AlcoveDiskCopyResult *ret_result,
                  GError **error)
{
  Copy copy = { .from = from, .to = to, .options = *options };
  GThread *threads[THREADS_MAX] = { NULL };
  guint n_threads = choose_threads (options, to);
  gboolean cancelled, good;

  if (!prepare (&copy, error))
    return FALSE;
  if (progress != NULL && progress->step != NULL &&
      !progress->step (0, copy.size, progress->user_data))
    return finish (&copy, TRUE, error);
  g_mutex_init (&copy.lock);
  g_cond_init (&copy.changed);
  copy.n_running = n_threads;
  for (guint i = 0; i < n_threads; i++)
    threads[i] = g_thread_new ("disk-copy", copy_thread, &copy);
  cancelled = !wait_for_threads (&copy, progress);
  for (guint i = 0; i < n_threads; i++)
    g_thread_join (threads[i]);
  good = finish (&copy, cancelled, error);
  if (good && progress != NULL && progress->step != NULL)
    (void)progress->step (copy.size, copy.size, progress->user_data);
  if (ret_result != NULL)
    *ret_result = (AlcoveDiskCopyResult){ copy.data_bytes, copy.size - copy.data_bytes };
  g_mutex_clear (&copy.lock);
  g_cond_clear (&copy.changed);
  return good;
}
