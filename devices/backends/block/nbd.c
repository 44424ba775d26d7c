/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A network block device as a BlockFile, through libnbd: nbd://HOST[:PORT]/EXPORT,
 * nbd+unix:///EXPORT?socket=PATH, and nbds: with TLS where libnbd has it.
 *
 * One command at a time. A server that does not answer for TIMEOUT_MS, or goes away, fails the
 * command with EIO; the next one connects anew. What was written and not flushed may be lost with
 * the old connection: from then on flushes fail, as those of a file do. */
#include "devices/backends/block/file-private.h"

#include <errno.h>

#ifdef HAVE_LIBNBD
#include <libnbd.h>
#include <string.h>

#define TIMEOUT_MS  30000
#define MAX_COMMAND (4u << 20) /* bytes; servers take 32 MiB */
#define MAX_BLOCK   65536u
#define ALLOCATION  "base:allocation"

typedef struct
{
  BlockFile parent;
  GMutex lock;            /* all that follows */
  struct nbd_handle *nbd; /* NULL: not connected */
  guint64 size;
  guint32 block; /* the smallest access */
  gboolean can_flush, can_trim, can_zero, can_map;
  gboolean unflushed, lost; /* writes; writes that may be gone */
} NbdFile;

/* ---- connection ---- */

static void
disconnect_locked (NbdFile *self)
{
  g_clear_pointer (&self->nbd, nbd_close);
  self->lost |= self->unflushed;
}

/* Runs the connection until is_done says so. 0 or -errno. */
static int
run (struct nbd_handle *nbd, int (*is_done) (struct nbd_handle *nbd, gint64 cookie), gint64 cookie)
{
  gint64 deadline = g_get_monotonic_time () + TIMEOUT_MS * G_GINT64_CONSTANT (1000);

  for (;;)
    {
      int done = is_done (nbd, cookie);
      gint64 left = (deadline - g_get_monotonic_time ()) / 1000;

      if (done != 0)
        return done > 0 ? 0 : -MAX (nbd_get_errno (), 1);
      if (left <= 0)
        return -ETIMEDOUT;
      if (nbd_poll (nbd, (int)left) < 0 && nbd_get_errno () != EINTR)
        return -MAX (nbd_get_errno (), 1);
    }
}

static int
is_connected (struct nbd_handle *nbd, gint64 cookie)
{
  if (nbd_aio_is_ready (nbd) == 1)
    return 1;
  return nbd_aio_is_dead (nbd) == 1 || nbd_aio_is_closed (nbd) == 1 ? -1 : 0;
}

static int
is_completed (struct nbd_handle *nbd, gint64 cookie)
{
  int done = nbd_aio_command_completed (nbd, (guint64)cookie);

  if (done == 0 && (nbd_aio_is_dead (nbd) == 1 || nbd_aio_is_closed (nbd) == 1))
    return -1;
  return done;
}

static gboolean
connect_locked (NbdFile *self, GError **error)
{
  struct nbd_handle *nbd = nbd_create ();
  const char *uri = self->parent.name;
  int result = -ENOMEM;
  gint64 block;

  /* An export is a disk: no local files (TLS keys elsewhere) by way of the address. */
  if (nbd != NULL)
    {
      result = nbd_add_meta_context (nbd, ALLOCATION) < 0 ||
                       nbd_set_uri_allow_local_file (nbd, FALSE) < 0 ||
                       nbd_set_uri_allow_transports (nbd, LIBNBD_ALLOW_TRANSPORT_TCP |
                                                              LIBNBD_ALLOW_TRANSPORT_UNIX) < 0 ||
                       nbd_aio_connect_uri (nbd, uri) < 0
                   ? -MAX (nbd_get_errno (), 1)
                   : run (nbd, is_connected, 0);
    }
  if (result < 0)
    {
      const char *why = nbd != NULL ? nbd_get_error () : NULL;

      g_set_error (
          error, VMM_ERROR,
          result == -ENOENT || result == -ECONNREFUSED ? VMM_ERROR_NOT_FOUND : VMM_ERROR_FAILED,
          "Cannot connect to “%s”: %s (is the server running, and is the address right?)", uri,
          result == -ETIMEDOUT ? "no answer"
          : why != NULL        ? why
                               : g_strerror (-result));
      nbd_close (nbd);
      return FALSE;
    }
  block = nbd_get_block_size (nbd, LIBNBD_SIZE_MINIMUM);
  self->nbd = nbd;
  self->block = block > 0 ? (guint32)MIN (block, MAX_BLOCK) : 1;
  self->can_flush = nbd_can_flush (nbd) == 1;
  self->can_trim = nbd_can_trim (nbd) == 1;
  self->can_zero = nbd_can_zero (nbd) == 1;
  self->can_map = nbd_can_meta_context (nbd, ALLOCATION) == 1;
  return TRUE;
}

/* The connection as it was, or a new one to the same disk. */
static int
ensure_locked (NbdFile *self)
{
  if (self->nbd != NULL)
    return 0;
  if (!connect_locked (self, NULL))
    return -EIO;
  if (nbd_get_size (self->nbd) != (gint64)self->size ||
      (!self->parent.readonly && nbd_is_read_only (self->nbd) == 1))
    {
      disconnect_locked (self); /* another disk is there now */
      return -EIO;
    }
  return 0;
}

static int
finish_locked (NbdFile *self, gint64 cookie)
{
  int result = cookie < 0 ? -MAX (nbd_get_errno (), 1) : run (self->nbd, is_completed, cookie);

  if (result == -ETIMEDOUT || result == -ENOTCONN || nbd_aio_is_dead (self->nbd) == 1 ||
      nbd_aio_is_closed (self->nbd) == 1)
    {
      disconnect_locked (self);
      result = -EIO;
    }
  return result;
}

/* ---- commands; offset and length are multiples of the block ---- */

static int
read_locked (NbdFile *self, guint64 offset, void *buffer, gsize length)
{
  int result = ensure_locked (self);

  if (result < 0)
    return result;
  return finish_locked (self,
                        nbd_aio_pread (self->nbd, buffer, length, offset, NBD_NULL_COMPLETION, 0));
}

static int
write_locked (NbdFile *self, guint64 offset, const void *buffer, gsize length)
{
  int result = ensure_locked (self);

  if (result < 0)
    return result;
  self->unflushed = TRUE;
  return finish_locked (self,
                        nbd_aio_pwrite (self->nbd, buffer, length, offset, NBD_NULL_COMPLETION, 0));
}

/* ---- the file ---- */

static int
nbd_readv (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  NbdFile *self = (NbdFile *)file;
  g_autofree guint8 *buffer = NULL;
  guint64 length;
  int result = 0;

  if (!block_iov_length (iov, n_iov, &length) || offset > (guint64)G_MAXINT64 - length)
    return -EINVAL;
  buffer = g_malloc (MIN (length, MAX_COMMAND) + 2 * MAX_BLOCK);
  g_mutex_lock (&self->lock);
  for (guint64 done = 0; done < length && result == 0;)
    {
      guint64 at = offset + done, from = at - at % self->block, end;
      guint64 piece = MIN (length - done, MAX_COMMAND);

      if (at >= self->size)
        {
          block_iov_copy (iov, n_iov, done, NULL, length - done, TRUE);
          break;
        }
      piece = MIN (piece, self->size - at);
      end = MIN ((at + piece + self->block - 1) / self->block * self->block, self->size);
      result = read_locked (self, from, buffer, end - from);
      if (result == 0)
        block_iov_copy (iov, n_iov, done, buffer + (at - from), piece, TRUE);
      done += piece;
    }
  g_mutex_unlock (&self->lock);
  return result;
}

static int
nbd_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  NbdFile *self = (NbdFile *)file;
  g_autofree guint8 *buffer = NULL;
  guint64 length;
  int result = 0;

  if (!block_iov_length (iov, n_iov, &length) || offset > (guint64)G_MAXINT64 - length)
    return -EINVAL;
  if (file->readonly)
    return -EROFS;
  if (length > self->size || offset > self->size - length)
    return -ENOSPC; /* as a block device */
  buffer = g_malloc (MIN (length, MAX_COMMAND) + 2 * MAX_BLOCK);
  g_mutex_lock (&self->lock);
  for (guint64 done = 0; done < length && result == 0;)
    {
      guint64 at = offset + done, from = at - at % self->block;
      guint64 piece = MIN (length - done, MAX_COMMAND);
      guint64 end = MIN ((at + piece + self->block - 1) / self->block * self->block, self->size);

      if (end - from != piece) /* part of a block: the rest stays */
        result = read_locked (self, from, buffer, end - from);
      if (result == 0)
        {
          block_iov_copy (iov, n_iov, done, buffer + (at - from), piece, FALSE);
          result = write_locked (self, from, buffer, end - from);
        }
      done += piece;
    }
  g_mutex_unlock (&self->lock);
  return result;
}

static int
nbd_flush_file (BlockFile *file)
{
  NbdFile *self = (NbdFile *)file;
  int result = 0;

  g_mutex_lock (&self->lock);
  if (self->unflushed && !self->lost)
    {
      result = ensure_locked (self);
      /* A server without flushes has nothing that could be lost by waiting. */
      if (result == 0 && self->can_flush)
        result = finish_locked (self, nbd_aio_flush (self->nbd, NBD_NULL_COMPLETION, 0));
      if (result == 0)
        self->unflushed = FALSE;
      else
        self->lost = TRUE;
    }
  if (self->lost)
    result = -EIO;
  g_mutex_unlock (&self->lock);
  return result;
}

static int
nbd_truncate (BlockFile *file, guint64 size)
{
  NbdFile *self = (NbdFile *)file;

  if (file->readonly)
    return -EROFS;
  return size > self->size ? -ENOSPC : 0;
}

static int
write_zeroes (BlockFile *file, guint64 offset, guint64 length)
{
  g_autofree guint8 *zeroes = g_malloc0 (MIN (length, MAX_COMMAND));
  int result = 0;

  while (length > 0 && result == 0)
    {
      struct iovec iov = { zeroes, MIN (length, MAX_COMMAND) };

      result = nbd_writev (file, offset, &iov, 1);
      offset += iov.iov_len;
      length -= iov.iov_len;
    }
  return result;
}

static int
nbd_zero_file (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags)
{
  NbdFile *self = (NbdFile *)file;
  int result = -ENOTSUP;

  if (file->readonly)
    return -EROFS;
  if (length > self->size || offset > self->size - length)
    return -ENOSPC;
  g_mutex_lock (&self->lock);
  if (self->can_zero && (offset | length) % self->block == 0)
    {
      result = 0;
      for (guint64 done = 0; done < length && result == 0;)
        {
          guint64 piece = MIN (length - done, G_GUINT64_CONSTANT (1) << 30);

          result = ensure_locked (self);
          if (result == 0)
            {
              self->unflushed = TRUE;
              result = finish_locked (
                  self, nbd_aio_zero (self->nbd, piece, offset + done, NBD_NULL_COMPLETION,
                                      flags & BLOCK_FILE_ZERO_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE));
            }
          done += piece;
        }
      if (result == -EOPNOTSUPP)
        result = -ENOTSUP;
    }
  g_mutex_unlock (&self->lock);
  if (result == -ENOTSUP && !(flags & BLOCK_FILE_ZERO_NO_FALLBACK))
    result = write_zeroes (file, offset, length);
  return result;
}

static int
nbd_discard (BlockFile *file, guint64 offset, guint64 length)
{
  NbdFile *self = (NbdFile *)file;
  guint64 end;
  int result = 0;

  if (file->readonly)
    return -EROFS;
  if (length > self->size || offset > self->size - length)
    return -EINVAL;
  g_mutex_lock (&self->lock);
  end = (offset + length) / self->block * self->block;
  offset = (offset + self->block - 1) / self->block * self->block;
  while (self->can_trim && offset < end && result == 0)
    {
      guint64 piece = MIN (end - offset, G_GUINT64_CONSTANT (1) << 30);

      result = ensure_locked (self);
      if (result == 0)
        result =
            finish_locked (self, nbd_aio_trim (self->nbd, piece, offset, NBD_NULL_COMPLETION, 0));
      offset += piece;
    }
  g_mutex_unlock (&self->lock);
  return result == -EOPNOTSUPP ? 0 : result;
}

static gint64
nbd_get_file_size (BlockFile *file)
{
  return (gint64)((NbdFile *)file)->size;
}

typedef struct
{
  guint64 length;
  gboolean data;
} FirstExtent;

static int
on_extents (void *user_data,
            const char *context,
            uint64_t offset,
            uint32_t *entries,
            size_t n_entries,
            int *error)
{
  FirstExtent *first = user_data;

  /* Pairs of length and flags; of the latter, bit 1 says that it reads as zeroes. */
  if (strcmp (context, ALLOCATION) == 0 && n_entries >= 2 && first->length == 0)
    {
      first->length = entries[0];
      first->data = !(entries[1] & LIBNBD_STATE_ZERO);
    }
  return 0;
}

static int
nbd_map (BlockFile *file, guint64 offset, guint64 length, guint64 *ret_length, gboolean *ret_data)
{
  NbdFile *self = (NbdFile *)file;
  FirstExtent first = { 0, TRUE };
  int result = 0;

  *ret_length = length;
  *ret_data = TRUE;
  g_mutex_lock (&self->lock);
  if (self->can_map && offset % self->block == 0)
    {
      guint64 piece = MIN (MIN (length, self->size - MIN (offset, self->size)), 1u << 30);
      nbd_extent_callback callback = { .callback = on_extents, .user_data = &first };

      piece = (piece + self->block - 1) / self->block * self->block;
      if (piece > 0 && (result = ensure_locked (self)) == 0)
        result = finish_locked (self, nbd_aio_block_status (self->nbd, piece, offset, callback,
                                                            NBD_NULL_COMPLETION, 0));
    }
  g_mutex_unlock (&self->lock);
  if (result == 0 && first.length > 0)
    {
      *ret_length = MIN (length, first.length);
      *ret_data = first.data;
    }
  return result == -EIO ? result : 0;
}

static int
nbd_get_fd (BlockFile *file)
{
  return -1;
}

static void
nbd_close_file (BlockFile *file)
{
  NbdFile *self = (NbdFile *)file;

  if (self->nbd != NULL)
    (void)nbd_shutdown (self->nbd, LIBNBD_SHUTDOWN_ABANDON_PENDING);
  nbd_close (self->nbd);
  g_mutex_clear (&self->lock);
  g_free (file->name);
  g_free (self);
}

static const BlockFileOps nbd_ops = {
  .name = "nbd",
  .readv = nbd_readv,
  .writev = nbd_writev,
  .flush = nbd_flush_file,
  .truncate = nbd_truncate,
  .zero = nbd_zero_file,
  .discard = nbd_discard,
  .get_size = nbd_get_file_size,
  .get_allocated = nbd_get_file_size,
  .map = nbd_map,
  .get_fd = nbd_get_fd,
  .close = nbd_close_file,
};

BlockFile *
block_file_open_nbd (const char *uri, const BlockFileFlags *flags, GError **error)
{
  NbdFile *self;
  gint64 size;

  if (flags->create)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s” cannot be created from here; the server makes its exports", uri);
      return NULL;
    }
  self = g_new0 (NbdFile, 1);
  self->parent.ops = &nbd_ops;
  self->parent.name = g_strdup (uri);
  self->parent.readonly = flags->readonly;
  self->parent.request_align = self->parent.memory_align = 1;
  g_mutex_init (&self->lock);
  if (!connect_locked (self, error))
    {
      nbd_close_file (&self->parent);
      return NULL;
    }
  size = nbd_get_size (self->nbd);
  if (size < 0 || (!flags->readonly && nbd_is_read_only (self->nbd) == 1))
    {
      if (size < 0)
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "“%s” does not say how large it is", uri);
      else
        g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                     "The server lets “%s” be read only; mark the disk read-only", uri);
      nbd_close_file (&self->parent);
      return NULL;
    }
  self->size = (guint64)size;
  return &self->parent;
}

#else

BlockFile *
block_file_open_nbd (const char *uri, const BlockFileFlags *flags, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "“%s” cannot be opened: this build has no network block devices (libnbd)", uri);
  return NULL;
}

#endif
