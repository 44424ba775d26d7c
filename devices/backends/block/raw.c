/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Raw images and host block devices.
 *
 * A request is a small state machine: most are one asynchronous operation with the caller's
 * iovecs. The slow cases go in steps: a short transfer, an O_DIRECT access through an aligned
 * bounce buffer, zeroes written by hand, a write followed by a flush (FUA).
 * An image whose size is no multiple of 512 is rounded up; the bytes past its end read as zeroes
 * and a write there makes the file longer. */
#include "devices/backends/block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "devices/backends/block/file-private.h"

#define SECTOR       512u
#define BOUNCE_MAX   (1024u * 1024u)
#define INLINE_MAX   262144u /* bytes of a request that is done at once */
#define ZERO_IOVECS  16u
#define ZERO_BUFFER  65536u
#define MAX_TRANSFER G_GUINT64_CONSTANT (0x7ffff000) /* of one system call on Linux */

typedef struct
{
  BlockBackend parent;
  int fd;
  BlockInfo info;
  guint64 file_size; /* at open, before rounding */
  gboolean direct;
  gboolean in_memory;                 /* tmpfs: a transfer never waits for a device */
  gint no_nowait;                     /* atomic: the file system has no RWF_NOWAIT */
  guint32 memory_align, offset_align; /* O_DIRECT */
  gint no_zero_range, no_punch;       /* atomic: the file system said EOPNOTSUPP */
  guint8 *zeroes;                     /* ZERO_BUFFER bytes, aligned */
} RawBackend;

typedef enum
{
  STEP_TRANSFER, /* READ and WRITE */
  STEP_BOUNCE,
  STEP_ZERO_RANGE, /* WRITE_ZEROES by fallocate */
  STEP_ZERO_WRITE, /* by writing */
  STEP_PUNCH,      /* DISCARD */
  STEP_FLUSH,
} RawStep;

/* What a request of more than one operation carries; backend_data[1]. */
typedef struct
{
  RawStep step;
  guint64 done;      /* bytes */
  guint64 piece;     /* bytes of the operation under way */
  struct iovec *iov; /* the rest of the transfer */
  guint8 *bounce;
  guint32 bounce_skip; /* bytes in front that nobody asked for */
  struct iovec bounce_iov;
  struct iovec zero_iov[ZERO_IOVECS];
} RawSlow;

static void raw_step_done (VmmAioRequest *aio, gint64 result);

static RawBackend *
request_backend (BlockRequest *request)
{
  return request->backend_data[0];
}

static VmmWorker *
request_worker (BlockRequest *request)
{
  return request->backend_data[2];
}

static void
finish (BlockRequest *request, int result)
{
  RawSlow *slow = request->backend_data[1];

  if (slow != NULL)
    {
      free (slow->bounce);
      g_free (slow->iov);
      g_free (slow);
      request->backend_data[1] = NULL;
    }
  request->done (request, result);
}

static RawSlow *
get_slow (BlockRequest *request)
{
  if (request->backend_data[1] == NULL)
    request->backend_data[1] = g_new0 (RawSlow, 1);
  return request->backend_data[1];
}

static void
start (BlockRequest *request,
       VmmAioOp op,
       const struct iovec *iov,
       guint n_iov,
       guint64 offset,
       guint64 length,
       int mode)
{
  VmmAioRequest *aio = &request->aio;

  aio->op = op;
  aio->fd = request_backend (request)->fd;
  aio->iov = iov;
  aio->n_iov = n_iov;
  aio->offset = offset;
  aio->length = length;
  aio->mode = mode;
  aio->done = raw_step_done;
  aio->user_data = request;
  vmm_worker_submit (request_worker (request), aio);
}

static gboolean
needs_bounce (const RawBackend *raw, const BlockRequest *request)
{
  if (!raw->direct)
    return FALSE;
  if ((request->offset | request->length) % raw->offset_align != 0)
    return TRUE;
  for (guint i = 0; i < request->n_iov; i++)
    if (((gsize)request->iov[i].iov_base | request->iov[i].iov_len) % raw->memory_align != 0)
      return TRUE;
  return FALSE;
}

static void
start_bounce (BlockRequest *request)
{
  RawBackend *raw = request_backend (request);
  RawSlow *slow = get_slow (request);
  guint64 offset = request->offset + slow->done;
  guint64 left = request->length - slow->done;
  guint64 from = offset - offset % raw->offset_align;
  guint64 length;

  slow->step = STEP_BOUNCE;
  slow->bounce_skip = offset - from;
  slow->piece = MIN (left, BOUNCE_MAX - slow->bounce_skip);
  length = slow->bounce_skip + slow->piece;
  length += (raw->offset_align - length % raw->offset_align) % raw->offset_align;
  if (slow->bounce == NULL &&
      posix_memalign ((void **)&slow->bounce, MAX (raw->memory_align, 4096), BOUNCE_MAX) != 0)
    {
      slow->bounce = NULL;
      finish (request, -ENOMEM);
      return;
    }
  slow->bounce_iov = (struct iovec){ slow->bounce, length };
  if (request->op == BLOCK_OP_WRITE)
    {
      /* Smaller than the device can write: its logical block size says so to the guest. */
      if (slow->bounce_skip != 0 || length != slow->piece)
        {
          finish (request, -EINVAL);
          return;
        }
      block_iov_copy (request->iov, request->n_iov, slow->done, slow->bounce, slow->piece, FALSE);
    }
  start (request, request->op == BLOCK_OP_WRITE ? VMM_AIO_WRITEV : VMM_AIO_READV, &slow->bounce_iov,
         1, from, 0, 0);
}

/* Goes on after `done` bytes of a transfer that came back short. */
static void
start_rest (BlockRequest *request)
{
  RawSlow *slow = get_slow (request);
  guint64 skip = slow->done;
  guint first = 0;

  while (first < request->n_iov && skip >= request->iov[first].iov_len)
    skip -= request->iov[first++].iov_len;
  if (slow->iov == NULL)
    slow->iov = g_new (struct iovec, request->n_iov);
  memcpy (slow->iov, request->iov + first, (request->n_iov - first) * sizeof (struct iovec));
  slow->iov[0].iov_base = (guint8 *)slow->iov[0].iov_base + skip;
  slow->iov[0].iov_len -= skip;
  slow->step = STEP_TRANSFER;
  start (request, request->op == BLOCK_OP_WRITE ? VMM_AIO_WRITEV : VMM_AIO_READV, slow->iov,
         request->n_iov - first, request->offset + slow->done, 0, 0);
}

static void
start_zero_write (BlockRequest *request)
{
  RawBackend *raw = request_backend (request);
  RawSlow *slow = get_slow (request);
  guint64 left = request->length - slow->done;
  guint n = 0;

  slow->step = STEP_ZERO_WRITE;
  slow->piece = 0;
  while (left > 0 && n < ZERO_IOVECS)
    {
      gsize piece = MIN (left, ZERO_BUFFER);

      slow->zero_iov[n++] = (struct iovec){ raw->zeroes, piece };
      slow->piece += piece;
      left -= piece;
    }
  start (request, VMM_AIO_WRITEV, slow->zero_iov, n, request->offset + slow->done, 0, 0);
}

static void
start_write_zeroes (BlockRequest *request)
{
  RawBackend *raw = request_backend (request);
  RawSlow *slow = get_slow (request);
  /* Beyond the end of a file, fallocate would keep its size and the zeroes be nowhere; they read
   * as zeroes all the same. */
  int mode = 0;

  if ((request->flags & BLOCK_REQUEST_UNMAP) && raw->info.can_discard &&
      !g_atomic_int_get (&raw->no_punch))
    mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  else if (!g_atomic_int_get (&raw->no_zero_range))
    mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
  if (mode == 0)
    {
      start_zero_write (request);
      return;
    }
  slow->step = STEP_ZERO_RANGE;
  start (request, VMM_AIO_FALLOCATE, NULL, 0, request->offset, request->length, mode);
}

static void
written (BlockRequest *request)
{
  if (request->flags & BLOCK_REQUEST_FUA)
    {
      get_slow (request)->step = STEP_FLUSH;
      start (request, VMM_AIO_FSYNC, NULL, 0, 0, 0, 0);
    }
  else
    finish (request, 0);
}

static void
transfer_done (BlockRequest *request, gint64 result)
{
  RawBackend *raw = request_backend (request);
  RawSlow *slow = request->backend_data[1];
  guint64 done = (slow != NULL ? slow->done : 0) + MAX (result, 0);
  gboolean reading = request->op == BLOCK_OP_READ;

  if (result == -EAGAIN || result == -EINTR)
    result = 0;
  else if (result < 0)
    {
      finish (request, result);
      return;
    }
  else if (result == 0 && (!reading || request->offset + done < raw->file_size))
    {
      /* No space says so itself; nothing read inside the image means that it was cut short. */
      finish (request, -EIO);
      return;
    }
  if (done >= request->length)
    {
      if (reading)
        finish (request, 0);
      else
        written (request);
      return;
    }
  if (reading && request->offset + done >= raw->file_size)
    {
      block_iov_copy (request->iov, request->n_iov, done, NULL, request->length - done, TRUE);
      finish (request, 0);
      return;
    }
  get_slow (request)->done = done;
  start_rest (request);
}

static void
bounce_done (BlockRequest *request, gint64 result)
{
  RawBackend *raw = request_backend (request);
  RawSlow *slow = request->backend_data[1];
  guint64 got = result > (gint64)slow->bounce_skip ? result - slow->bounce_skip : 0;

  if (result == -EAGAIN || result == -EINTR)
    {
      start_bounce (request);
      return;
    }
  if (result < 0)
    {
      finish (request, result);
      return;
    }
  got = MIN (got, slow->piece);
  if (request->op == BLOCK_OP_READ)
    {
      block_iov_copy (request->iov, request->n_iov, slow->done, slow->bounce + slow->bounce_skip,
                      got, TRUE);
      if (got == 0 && request->offset + slow->done >= raw->file_size)
        {
          block_iov_copy (request->iov, request->n_iov, slow->done, NULL, slow->piece, TRUE);
          got = slow->piece;
        }
    }
  if (got == 0)
    {
      finish (request, -EIO);
      return;
    }
  slow->done += got;
  if (slow->done < request->length)
    start_bounce (request);
  else if (request->op == BLOCK_OP_WRITE)
    written (request);
  else
    finish (request, 0);
}

static void
raw_step_done (VmmAioRequest *aio, gint64 result)
{
  BlockRequest *request = aio->user_data;
  RawBackend *raw = request_backend (request);
  RawSlow *slow = request->backend_data[1];
  gboolean unsupported = result == -EOPNOTSUPP || result == -ENOSYS || result == -ENODEV;

  switch (slow != NULL ? slow->step : STEP_TRANSFER)
    {
    case STEP_TRANSFER:
      if (request->op == BLOCK_OP_FLUSH)
        finish (request, MIN (result, 0));
      else
        transfer_done (request, result);
      break;
    case STEP_BOUNCE:
      bounce_done (request, result);
      break;
    case STEP_ZERO_RANGE:
      if (unsupported || result == -EINVAL)
        {
          g_atomic_int_set (aio->mode & FALLOC_FL_PUNCH_HOLE ? &raw->no_punch : &raw->no_zero_range,
                            TRUE);
          start_write_zeroes (request);
        }
      else if (result < 0)
        finish (request, result);
      else
        written (request);
      break;
    case STEP_ZERO_WRITE:
      if (result == -EAGAIN || result == -EINTR)
        result = 0;
      else if (result <= 0)
        {
          finish (request, result < 0 ? result : -EIO);
          break;
        }
      slow->done += result;
      if (slow->done < request->length)
        start_zero_write (request);
      else
        written (request);
      break;
    case STEP_PUNCH:
      /* Discard is advice: where nothing can be punched, nothing is wrong. */
      finish (request, unsupported || result == -EINVAL ? 0 : MIN (result, 0));
      break;
    case STEP_FLUSH:
      finish (request, MIN (result, 0));
      break;
    }
}

/* ---- the interface ---- */

/* Data that is in memory already is had by one system call, where a round through the ring and the
 * loop costs three; a file in RAM would even go to a thread of the ring's. FALSE: not done. */
static gboolean
transfer_now (RawBackend *raw, BlockRequest *request)
{
  gboolean reading = request->op == BLOCK_OP_READ;
  ssize_t n;

  if (raw->direct || request->length > INLINE_MAX)
    return FALSE;
  if (raw->in_memory && reading)
    n = preadv (raw->fd, request->iov, request->n_iov, request->offset);
  else if (raw->in_memory && !(request->flags & BLOCK_REQUEST_FUA))
    n = pwritev (raw->fd, request->iov, request->n_iov, request->offset);
  else if (reading && (request->flags & BLOCK_REQUEST_ALONE) && !g_atomic_int_get (&raw->no_nowait))
    {
      n = preadv2 (raw->fd, request->iov, request->n_iov, request->offset, RWF_NOWAIT);
      if (n < 0 && errno == EOPNOTSUPP)
        g_atomic_int_set (&raw->no_nowait, TRUE);
    }
  else
    return FALSE;
  /* Short or refused: the long way begins from the start, and says what is wrong. */
  if (n < 0 || (guint64)n != request->length)
    return FALSE;
  request->done (request, 0);
  return TRUE;
}

static void
raw_submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  RawBackend *raw = (RawBackend *)backend;

  request->backend_data[0] = raw;
  request->backend_data[1] = NULL;
  request->backend_data[2] = worker;
  if (request->op != BLOCK_OP_FLUSH &&
      (request->length > raw->info.size || request->offset > raw->info.size - request->length ||
       request->length > MAX_TRANSFER))
    {
      request->done (request, -EINVAL);
      return;
    }
  if (raw->info.readonly && request->op != BLOCK_OP_READ && request->op != BLOCK_OP_FLUSH)
    {
      request->done (request, -EROFS);
      return;
    }
  switch (request->op)
    {
    case BLOCK_OP_READ:
    case BLOCK_OP_WRITE:
      if (transfer_now (raw, request))
        break;
      if (needs_bounce (raw, request))
        start_bounce (request);
      else
        start (request, request->op == BLOCK_OP_WRITE ? VMM_AIO_WRITEV : VMM_AIO_READV,
               request->iov, request->n_iov, request->offset, 0, 0);
      break;
    case BLOCK_OP_FLUSH:
      start (request, VMM_AIO_FSYNC, NULL, 0, 0, 0, 0);
      break;
    case BLOCK_OP_DISCARD:
      if (!raw->info.can_discard)
        {
          request->done (request, 0);
          break;
        }
      get_slow (request)->step = STEP_PUNCH;
      start (request, VMM_AIO_FALLOCATE, NULL, 0, request->offset, request->length,
             FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
      break;
    case BLOCK_OP_WRITE_ZEROES:
      start_write_zeroes (request);
      break;
    }
}

static void
raw_drain (BlockBackend *backend, VmmWorker *worker)
{
  vmm_worker_drain_aio (worker);
}

static void
raw_get_info (BlockBackend *backend, BlockInfo *ret_info)
{
  *ret_info = ((RawBackend *)backend)->info;
}

static gboolean
raw_flush_sync (BlockBackend *backend, GError **error)
{
  RawBackend *raw = (RawBackend *)backend;
  int r;

  if (raw->info.readonly)
    return TRUE;
  do
    r = fdatasync (raw->fd);
  while (r < 0 && errno == EINTR);
  return r == 0 ||
         vmm_error_set_errno (error, -errno, "Cannot write “%s” to stable storage", backend->name);
}

static void
raw_close (BlockBackend *backend)
{
  RawBackend *raw = (RawBackend *)backend;

  if (raw->fd >= 0)
    close (raw->fd);
  free (raw->zeroes);
  g_free (raw->parent.name);
  g_free (raw);
}

static const BlockBackendOps raw_ops = {
  .name = "raw",
  .submit = raw_submit,
  .drain = raw_drain,
  .get_info = raw_get_info,
  .flush_sync = raw_flush_sync,
  .close = raw_close,
};

/* ---- open ---- */

static gboolean
probe_block_device (RawBackend *raw, GError **error)
{
  guint64 size = 0;
  int logical = SECTOR, ro = 0;
  unsigned int physical = 0, optimal = 0;
  unsigned short rotational = 0;

  if (ioctl (raw->fd, BLKGETSIZE64, &size) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot get the size of “%s”", raw->parent.name);
  if (!raw->info.readonly && ioctl (raw->fd, BLKROGET, &ro) == 0 && ro != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                   "“%s” is write-protected; mark the disk read-only", raw->parent.name);
      return FALSE;
    }
  raw->file_size = size;
  if (ioctl (raw->fd, BLKSSZGET, &logical) == 0 && logical >= (int)SECTOR)
    raw->info.logical_block = logical;
  if (ioctl (raw->fd, BLKPBSZGET, &physical) == 0 && physical >= SECTOR)
    raw->info.physical_block = physical;
  if (ioctl (raw->fd, BLKIOOPT, &optimal) == 0)
    raw->info.optimal_io = optimal;
  if (ioctl (raw->fd, BLKROTATIONAL, &rotational) == 0)
    raw->info.rotational = rotational != 0;
  return TRUE;
}

/* What O_DIRECT asks of memory and offsets: the kernel says it (6.1 and later), otherwise the
 * smallest read that works tells. */
static void
probe_alignment (RawBackend *raw)
{
  struct statx stx;
  void *buffer = NULL;

  raw->memory_align = raw->offset_align = 4096;
#ifdef STATX_DIOALIGN
  if (statx (raw->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
      (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align != 0)
    {
      raw->memory_align = MAX (stx.stx_dio_mem_align, 1);
      raw->offset_align = stx.stx_dio_offset_align;
      return;
    }
#else
  (void)stx;
#endif
  if (posix_memalign (&buffer, 4096, 4096) != 0)
    return;
  if (pread (raw->fd, buffer, SECTOR, 0) == (ssize_t)SECTOR)
    raw->memory_align = raw->offset_align = SECTOR;
  free (buffer);
}

static gboolean
probe (RawBackend *raw, const BlockOpenFlags *flags, GError **error)
{
  const char *path = raw->parent.name;
  struct stat st;

  if (fstat (raw->fd, &st) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot look at “%s”", path);
  raw->info.logical_block = SECTOR;
  raw->info.physical_block = 4096;
  raw->info.can_discard = flags->discard && !flags->readonly;
  raw->info.can_write_zeroes = !flags->readonly;
  raw->info.discard_granularity = 4096;
  if (S_ISBLK (st.st_mode))
    {
      if (!probe_block_device (raw, error))
        return FALSE;
    }
  else if (S_ISREG (st.st_mode))
    {
      struct statfs fs;

      raw->file_size = st.st_size;
      raw->in_memory =
          fstatfs (raw->fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
    }
  else
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is neither a file nor a block device, and cannot be a disk", path);
      return FALSE;
    }
  if (raw->file_size == 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The disk image “%s” is empty; give it a size, or choose another file", path);
      return FALSE;
    }
  if (raw->file_size > (guint64)G_MAXINT64 - SECTOR)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "“%s” is too large", path);
      return FALSE;
    }
  if (raw->direct)
    {
      probe_alignment (raw);
      raw->info.logical_block = MAX (raw->info.logical_block, raw->offset_align);
    }
  raw->info.physical_block = MAX (raw->info.physical_block, raw->info.logical_block);
  raw->info.size = (raw->file_size + SECTOR - 1) / SECTOR * SECTOR;
  return TRUE;
}

BlockBackend *
block_raw_open (const char *path, const BlockOpenFlags *flags, GError **error)
{
  RawBackend *raw = g_new0 (RawBackend, 1);
  /* NONBLOCK: a FIFO in the place of an image is an error, not a wait. */
  int mode = O_CLOEXEC | O_NONBLOCK | (flags->readonly ? O_RDONLY : O_RDWR) |
             (flags->direct ? O_DIRECT : 0);

  raw->parent.ops = &raw_ops;
  raw->parent.name = g_strdup (path);
  raw->info.readonly = flags->readonly;
  raw->direct = flags->direct;
  do
    raw->fd = open (path, mode);
  while (raw->fd < 0 && errno == EINTR);
  if (raw->fd < 0)
    {
      int r = -errno;
      const char *remedy = "";

      if (r == -EACCES || r == -EPERM || r == -EROFS)
        remedy = flags->readonly ? " (may you read it?)" : " (may you write it? mark it read-only)";
      else if (r == -EINVAL && flags->direct)
        remedy = " (its file system refuses O_DIRECT; turn direct access off)";
      else if (r == -ENOENT)
        remedy = " (was it moved?)";
      vmm_error_set_errno (error, r, "Cannot open the disk image “%s”%s", path, remedy);
      raw_close (&raw->parent);
      return NULL;
    }
  if (!probe (raw, flags, error) ||
      !block_lock_change (raw->fd, path, BLOCK_LOCK_NONE, flags->lock, error))
    {
      raw_close (&raw->parent);
      return NULL;
    }
  if (!raw->info.readonly)
    {
      if (posix_memalign ((void **)&raw->zeroes, 4096, ZERO_BUFFER) != 0)
        raw->zeroes = NULL;
      g_assert (raw->zeroes != NULL);
      memset (raw->zeroes, 0, ZERO_BUFFER);
    }
  return &raw->parent;
}
