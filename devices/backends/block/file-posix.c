/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Host files and block devices.
 *
 * With O_DIRECT, what is not aligned goes through an aligned buffer; a write that covers part of a
 * block reads the block first, and excludes other writes meanwhile (io_lock), so that none is
 * overwritten by what was read before it.
 * A failed fdatasync is remembered: the kernel drops what it could not write and would say yes the
 * next time, so that no later flush may succeed. */
#include "devices/backends/block/file-private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOUNCE_MAX  (1024u * 1024u)
#define ZERO_BUFFER (256u * 1024u)

typedef struct
{
  BlockFile parent;
  int fd;
  gboolean direct, draft, is_device;
  BlockLock lock;
  GRWLock io_lock;                 /* O_DIRECT writes; a partial block takes it for itself */
  gint flush_error;                /* atomic: the first failure, -errno */
  gint no_zero, no_punch, no_seek; /* atomic: the file system refuses it */
} PosixFile;

static gboolean
is_unsupported (int err)
{
  return err == EOPNOTSUPP || err == ENOSYS || err == ENODEV || err == ENOTTY || err == EINVAL;
}

/* ---- transfers ---- */

/* All of it, aligned or without O_DIRECT. *ret_done: bytes before the end of the file or error. */
static int
transfer (PosixFile *self,
          gboolean writing,
          guint64 offset,
          const struct iovec *iov,
          guint n_iov,
          guint64 length,
          guint64 *ret_done)
{
  struct iovec *rest = NULL;
  guint64 done = 0;
  int result = 0;

  while (done < length)
    {
      guint n = MIN (n_iov, IOV_MAX);
      ssize_t got = writing ? pwritev (self->fd, iov, (int)n, (off_t)(offset + done))
                            : preadv (self->fd, iov, (int)n, (off_t)(offset + done));

      if (got < 0 && (errno == EINTR || errno == EAGAIN))
        continue;
      if (got < 0)
        {
          result = -errno;
          break;
        }
      if (got == 0)
        {
          if (writing)
            result = -EIO;
          break;
        }
      done += (guint64)got;
      if (done < length)
        {
          struct iovec *next = block_iov_slice (iov, n_iov, (guint64)got, length, &n_iov);

          g_free (rest);
          iov = rest = next;
        }
    }
  g_free (rest);
  *ret_done = done;
  return result;
}

static gboolean
is_aligned (PosixFile *self, guint64 offset, const struct iovec *iov, guint n_iov)
{
  for (guint i = 0; i < n_iov; i++)
    if (((gsize)iov[i].iov_base % self->parent.memory_align) != 0 ||
        iov[i].iov_len % self->parent.request_align != 0)
      return FALSE;
  return offset % self->parent.request_align == 0;
}

/* The aligned block range of at most BOUNCE_MAX bytes that begins with the one of offset. */
static guint64
bounce_range (PosixFile *self, guint64 offset, guint64 left, guint64 *ret_from, guint64 *ret_piece)
{
  guint64 align = self->parent.request_align;
  guint64 skip = offset % align;
  guint64 length;

  *ret_from = offset - skip;
  *ret_piece = MIN (left, BOUNCE_MAX - skip);
  length = skip + *ret_piece;
  return length + (align - length % align) % align;
}

/* Reads an aligned range; what lies past the end of the file becomes zeroes. */
static int
read_range (PosixFile *self, guint64 from, guint8 *buffer, guint64 length)
{
  const struct iovec iov = { buffer, length };
  guint64 done;
  int result = transfer (self, FALSE, from, &iov, 1, length, &done);

  if (result == 0 && done < length)
    memset (buffer + done, 0, length - done);
  return result;
}

static guint8 *
new_bounce (PosixFile *self)
{
  void *buffer = NULL;

  if (posix_memalign (&buffer, MAX (self->parent.memory_align, 4096), BOUNCE_MAX) != 0)
    return NULL;
  return buffer;
}

static int
read_bounced (PosixFile *self, guint64 offset, const struct iovec *iov, guint n_iov, guint64 length)
{
  guint8 *bounce = new_bounce (self);
  int result = bounce != NULL ? 0 : -ENOMEM;

  for (guint64 done = 0; result == 0 && done < length;)
    {
      guint64 from, piece;
      guint64 range = bounce_range (self, offset + done, length - done, &from, &piece);

      result = read_range (self, from, bounce, range);
      if (result == 0)
        block_iov_copy (iov, n_iov, done, bounce + (offset + done - from), piece, TRUE);
      done += piece;
    }
  free (bounce);
  return result;
}

/* io_lock is held for writing. */
static int
write_bounced_locked (
    PosixFile *self, guint64 offset, const struct iovec *iov, guint n_iov, guint64 length)
{
  guint8 *bounce = new_bounce (self);
  guint64 end = offset + length;
  gint64 size = self->parent.ops->get_size (&self->parent);
  int result = bounce == NULL ? -ENOMEM : size < 0 ? (int)size : 0;

  for (guint64 done = 0; result == 0 && done < length;)
    {
      guint64 from, piece, wrote;
      guint64 range = bounce_range (self, offset + done, length - done, &from, &piece);
      struct iovec all = { bounce, range };

      if (piece != range)
        result = read_range (self, from, bounce, range);
      if (result != 0)
        break;
      block_iov_copy (iov, n_iov, done, bounce + (offset + done - from), piece, FALSE);
      result = transfer (self, TRUE, from, &all, 1, range, &wrote);
      done += piece;
      /* The block's rest made the file longer than was asked for. */
      if (result == 0 && done == length && !self->is_device &&
          from + range > MAX (end, (guint64)size))
        if (ftruncate (self->fd, (off_t)MAX (end, (guint64)size)) < 0)
          result = -errno;
    }
  free (bounce);
  return result;
}

/* Bytes, or -errno. */
static gint64
check_range (guint64 offset, const struct iovec *iov, guint n_iov)
{
  guint64 length;

  if (!block_iov_length (iov, n_iov, &length) || offset > (guint64)G_MAXINT64 - length)
    return -EINVAL;
  return (gint64)length;
}

static int
posix_readv (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  PosixFile *self = (PosixFile *)file;
  gint64 length = check_range (offset, iov, n_iov);
  guint64 done;
  int result;

  if (length <= 0)
    return (int)length;
  if (self->direct && !is_aligned (self, offset, iov, n_iov))
    return read_bounced (self, offset, iov, n_iov, (guint64)length);
  result = transfer (self, FALSE, offset, iov, n_iov, (guint64)length, &done);
  if (result == -EINVAL && self->direct) /* an unaligned rest after the end of the file was met */
    return read_bounced (self, offset, iov, n_iov, (guint64)length);
  if (result == 0 && done < (guint64)length)
    block_iov_copy (iov, n_iov, done, NULL, (guint64)length - done, TRUE);
  return result;
}

static int
posix_writev (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov)
{
  PosixFile *self = (PosixFile *)file;
  gint64 length = check_range (offset, iov, n_iov);
  guint64 done;
  int result;

  if (length <= 0)
    return (int)length;
  if (file->readonly)
    return -EROFS;
  if (!self->direct)
    return transfer (self, TRUE, offset, iov, n_iov, (guint64)length, &done);
  if (is_aligned (self, offset, iov, n_iov))
    {
      g_rw_lock_reader_lock (&self->io_lock);
      result = transfer (self, TRUE, offset, iov, n_iov, (guint64)length, &done);
      g_rw_lock_reader_unlock (&self->io_lock);
    }
  else
    {
      g_rw_lock_writer_lock (&self->io_lock);
      result = write_bounced_locked (self, offset, iov, n_iov, (guint64)length);
      g_rw_lock_writer_unlock (&self->io_lock);
    }
  return result;
}

static int
posix_flush (BlockFile *file)
{
  PosixFile *self = (PosixFile *)file;
  int result;

  if (file->readonly || self->draft)
    return 0;
  do
    result = fdatasync (self->fd) < 0 ? -errno : 0;
  while (result == -EINTR);
  if (result < 0)
    (void)g_atomic_int_compare_and_exchange (&self->flush_error, 0, result);
  return g_atomic_int_get (&self->flush_error);
}

/* ---- sizes, zeroes and holes ---- */

static gint64
posix_get_size (BlockFile *file)
{
  PosixFile *self = (PosixFile *)file;
  struct stat st;
  guint64 size;

  if (self->is_device)
    return ioctl (self->fd, BLKGETSIZE64, &size) < 0 ? -errno : (gint64)MIN (size, G_MAXINT64);
  return fstat (self->fd, &st) < 0 ? -errno : (gint64)st.st_size;
}

static gint64
posix_get_allocated (BlockFile *file)
{
  PosixFile *self = (PosixFile *)file;
  struct stat st;

  if (self->is_device)
    return posix_get_size (file);
  return fstat (self->fd, &st) < 0 ? -errno : (gint64)st.st_blocks * 512;
}

static int
posix_truncate (BlockFile *file, guint64 size)
{
  PosixFile *self = (PosixFile *)file;
  int result;

  if (file->readonly)
    return -EROFS;
  if (size > G_MAXINT64)
    return -EFBIG;
  if (self->is_device)
    {
      gint64 present = posix_get_size (file);

      return present < 0 ? (int)present : size > (guint64)present ? -ENOSPC : 0;
    }
  do
    result = ftruncate (self->fd, (off_t)size) < 0 ? -errno : 0;
  while (result == -EINTR);
  return result;
}

static int
do_fallocate (PosixFile *self, int mode, guint64 offset, guint64 length)
{
  int result;

  do
    result = fallocate (self->fd, mode, (off_t)offset, (off_t)length) < 0 ? -errno : 0;
  while (result == -EINTR);
  return result;
}

static int
write_zeroes (BlockFile *file, guint64 offset, guint64 length)
{
  gsize room = MIN (length, ZERO_BUFFER);
  void *zeroes = NULL;
  int result = 0;

  if (posix_memalign (&zeroes, 4096, MAX (room, 4096)) != 0)
    return -ENOMEM;
  memset (zeroes, 0, room);
  while (length > 0 && result == 0)
    {
      /* To a multiple of the buffer's size first, so that the rest is aligned. */
      struct iovec iov = { zeroes, MIN (length, room - offset % room) };

      result = posix_writev (file, offset, &iov, 1);
      offset += iov.iov_len;
      length -= iov.iov_len;
    }
  free (zeroes);
  return result;
}

/* PUNCH_HOLE does not make a file longer; a file that is to be is made so afterwards. */
static int
punch (PosixFile *self, guint64 offset, guint64 length, gboolean extend)
{
  BlockFile *file = &self->parent;
  int result;

  if (g_atomic_int_get (&self->no_punch))
    return -ENOTSUP;
  result = do_fallocate (self, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  if (result < 0 && is_unsupported (-result))
    {
      /* EINVAL may come from a device's alignment: that says nothing of other requests. */
      if (result != -EINVAL)
        g_atomic_int_set (&self->no_punch, TRUE);
      return -ENOTSUP;
    }
  if (result == 0 && extend && !self->is_device)
    {
      gint64 size = posix_get_size (file);

      if (size < 0)
        result = (int)size;
      else if (offset + length > (guint64)size)
        result = posix_truncate (file, offset + length);
    }
  return result;
}

static int
posix_zero (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags)
{
  PosixFile *self = (PosixFile *)file;
  int result = -ENOTSUP;

  if (offset > (guint64)G_MAXINT64 - MIN (length, G_MAXINT64) || length > G_MAXINT64)
    return -EINVAL;
  if (length == 0)
    return 0;
  if (file->readonly)
    return -EROFS;
  if (flags & BLOCK_FILE_ZERO_UNMAP)
    result = punch (self, offset, length, TRUE);
  if (result == -ENOTSUP && !g_atomic_int_get (&self->no_zero))
    {
      result = do_fallocate (self, FALLOC_FL_ZERO_RANGE, offset, length);
      if (result < 0 && is_unsupported (-result))
        {
          if (result != -EINVAL)
            g_atomic_int_set (&self->no_zero, TRUE);
          result = -ENOTSUP;
        }
    }
  if (result == -ENOTSUP && !(flags & BLOCK_FILE_ZERO_NO_FALLBACK))
    result = write_zeroes (file, offset, length);
  return result;
}

static int
posix_discard (BlockFile *file, guint64 offset, guint64 length)
{
  PosixFile *self = (PosixFile *)file;
  int result;

  if (offset > (guint64)G_MAXINT64 - MIN (length, G_MAXINT64) || length > G_MAXINT64)
    return -EINVAL;
  if (length == 0)
    return 0;
  if (file->readonly)
    return -EROFS;
  result = punch (self, offset, length, FALSE);
  return result == -ENOTSUP ? 0 : result;
}

static int
posix_map (BlockFile *file, guint64 offset, guint64 length, guint64 *ret_length, gboolean *ret_data)
{
  PosixFile *self = (PosixFile *)file;
  off_t at;

  *ret_length = length;
  *ret_data = TRUE;
  if (self->is_device || g_atomic_int_get (&self->no_seek))
    return 0;
  at = lseek (self->fd, (off_t)offset, SEEK_DATA);
  if (at < 0 && errno == ENXIO) /* a hole up to the end */
    {
      *ret_data = FALSE;
      return 0;
    }
  if (at < 0)
    {
      g_atomic_int_set (&self->no_seek, TRUE);
      return 0;
    }
  if ((guint64)at > offset)
    {
      *ret_data = FALSE;
      *ret_length = MIN (length, (guint64)at - offset);
      return 0;
    }
  at = lseek (self->fd, (off_t)offset, SEEK_HOLE);
  if (at > 0 && (guint64)at > offset)
    *ret_length = MIN (length, (guint64)at - offset);
  return 0;
}

static int
posix_get_fd (BlockFile *file)
{
  return ((PosixFile *)file)->fd;
}

static void
posix_close (BlockFile *file)
{
  PosixFile *self = (PosixFile *)file;

  if (self->fd >= 0)
    close (self->fd);
  g_rw_lock_clear (&self->io_lock);
  g_free (file->name);
  g_free (self);
}

static const BlockFileOps posix_ops = {
  .name = "file",
  .readv = posix_readv,
  .writev = posix_writev,
  .flush = posix_flush,
  .truncate = posix_truncate,
  .zero = posix_zero,
  .discard = posix_discard,
  .get_size = posix_get_size,
  .get_allocated = posix_get_allocated,
  .map = posix_map,
  .get_fd = posix_get_fd,
  .close = posix_close,
};

/* ---- open ---- */

/* What O_DIRECT asks of memory and offsets: the kernel says it (6.1 and later), otherwise the
 * smallest read that works tells. */
static void
probe_alignment (PosixFile *self)
{
  BlockFile *file = &self->parent;
  struct statx stx;
  void *buffer = NULL;
  int logical = 0;

  file->memory_align = file->request_align = 4096;
#ifdef STATX_DIOALIGN
  if (statx (self->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
      (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align != 0)
    {
      file->memory_align = MAX (stx.stx_dio_mem_align, 1);
      file->request_align = stx.stx_dio_offset_align;
      return;
    }
#else
  (void)stx;
#endif
  if (self->is_device && ioctl (self->fd, BLKSSZGET, &logical) == 0 && logical >= 512)
    {
      file->memory_align = file->request_align = (guint32)logical;
      return;
    }
  if (posix_memalign (&buffer, 4096, 4096) != 0)
    return;
  /* An empty file reads nothing at any length, and tells nothing. */
  if (posix_get_size (file) > 0 && pread (self->fd, buffer, 512, 0) == 512)
    file->memory_align = file->request_align = 512;
  free (buffer);
}

static gboolean
probe (PosixFile *self, GError **error)
{
  const char *path = self->parent.name;
  struct stat st;
  int ro = 0;

  if (fstat (self->fd, &st) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot look at “%s”", path);
  self->is_device = S_ISBLK (st.st_mode);
  if (!self->is_device && !S_ISREG (st.st_mode))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is neither a file nor a block device, and cannot be a disk", path);
      return FALSE;
    }
  if (self->is_device && !self->parent.readonly && ioctl (self->fd, BLKROGET, &ro) == 0 && ro != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                   "“%s” is write-protected; mark the disk read-only", path);
      return FALSE;
    }
  if (self->direct)
    probe_alignment (self);
  return TRUE;
}

static gboolean
set_open_error (GError **error, const char *path, const BlockFileFlags *flags, int err)
{
  const char *remedy = "";

  if (flags->create && err == EEXIST)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "“%s” exists already; choose another name, or remove it first", path);
      return FALSE;
    }
  if (flags->create)
    return vmm_error_set_errno (error, -err, "Cannot create “%s”%s", path,
                                err == ENOENT ? " (is the folder there?)" : "");
  if (err == EACCES || err == EPERM || err == EROFS)
    remedy = flags->readonly ? " (may you read it?)" : " (may you write it? mark it read-only)";
  else if (err == EINVAL && flags->direct)
    remedy = " (its file system refuses O_DIRECT; turn direct access off)";
  else if (err == ENOENT)
    remedy = " (was it moved?)";
  else if (err == EISDIR)
    remedy = " (choose a file in it)";
  return vmm_error_set_errno (error, -err, "Cannot open the disk image “%s”%s", path, remedy);
}

BlockFile *
block_file_open (const char *path, const BlockFileFlags *flags, GError **error)
{
  PosixFile *self = g_new0 (PosixFile, 1);
  BlockFile *file = &self->parent;
  /* NONBLOCK: a FIFO in the place of an image is an error, not a wait. */
  int mode = O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (flags->readonly ? O_RDONLY : O_RDWR) |
             (flags->direct ? O_DIRECT : 0) | (flags->create ? O_CREAT | O_EXCL : 0);

  file->ops = &posix_ops;
  file->name = g_strdup (path);
  file->readonly = flags->readonly;
  file->request_align = file->memory_align = 1;
  self->direct = flags->direct;
  self->draft = flags->draft;
  g_rw_lock_init (&self->io_lock);
  do
    self->fd = open (path, mode, 0644);
  while (self->fd < 0 && errno == EINTR);
  if (self->fd < 0)
    {
      (void)set_open_error (error, path, flags, errno);
      posix_close (file);
      return NULL;
    }
  if (!probe (self, error) ||
      !block_lock_change (self->fd, path, BLOCK_LOCK_NONE, flags->lock, error))
    {
      if (flags->create)
        (void)unlink (path);
      posix_close (file);
      return NULL;
    }
  self->lock = flags->lock;
  return file;
}

gboolean
block_file_change_lock (BlockFile *file, BlockLock lock, GError **error)
{
  PosixFile *self = (PosixFile *)file;

  if (file->ops != &posix_ops) /* nothing on this host to lock */
    return TRUE;
  if (!block_lock_change (self->fd, file->name, self->lock, lock, error))
    return FALSE;
  self->lock = lock;
  return TRUE;
}

/* ---- conveniences over any file ---- */

int
block_file_read (BlockFile *file, guint64 offset, void *buffer, gsize length)
{
  struct iovec iov = { buffer, length };

  return file->ops->readv (file, offset, &iov, 1);
}

int
block_file_write (BlockFile *file, guint64 offset, const void *buffer, gsize length)
{
  struct iovec iov = { (void *)buffer, length };

  return file->ops->writev (file, offset, &iov, 1);
}
