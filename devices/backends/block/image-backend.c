/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk image under a disk device. Two ways:
 *
 * The fast one: the image tells where the bytes lie (begin), the worker's asynchronous I/O moves
 * them there, the image takes note (end). Data that is in memory is had at once, as raw.c does.
 * The slow one, for everything that may wait (metadata to be read, flushes, discards, compressed
 * clusters, what came back short): a few threads of the back end's own run the image's synchronous
 * operations; results go to the worker that submitted the request. */
#include "devices/backends/block/block.h"

#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <string.h>
#include <sys/vfs.h>

#include "devices/backends/block/file-private.h"
#include "devices/backends/block/image.h"
#include "vmm/post.h"
#include "vmm/thread.h"

#define SECTOR       512u
#define POOL_THREADS 4
#define INLINE_MAX   262144u /* bytes of a request that is done at once */
#define MAX_TRANSFER G_GUINT64_CONSTANT (0x7ffff000)

typedef struct _ImageBackend ImageBackend;
typedef struct _ImageQueue ImageQueue;

typedef struct
{
  BlockRequest *head, *tail;
} RequestList;

typedef struct _Transfer Transfer;

/* What one worker has under way here. */
struct _ImageQueue
{
  ImageQueue *next;
  ImageBackend *backend;
  VmmWorker *worker;
  guint n_inflight; /* on the worker, as is spare */
  Transfer *spare;  /* for the next requests */
  GMutex lock;
  GCond cond;
  RequestList done; /* lock */
  VmmPost *deliver;
};

/* A request on the fast way; backend_data[1]. */
struct _Transfer
{
  Transfer *next;
  BlockPlan plan;
  guint n_left; /* pieces */
  int error;
  gboolean is_short;
  VmmAioRequest aio[BLOCK_PLAN_MAX];
  struct iovec *iov[BLOCK_PLAN_MAX]; /* the piece's share, where it is not all */
};

struct _ImageBackend
{
  BlockBackend parent;
  BlockImage *image;
  gboolean discard, in_memory;
  gint no_nowait;     /* atomic: the file system has no RWF_NOWAIT */
  ImageQueue *queues; /* atomic; only ever gets longer */
  GMutex lock;
  GCond work;
  RequestList todo;
  pthread_t threads[POOL_THREADS];
  guint n_threads, n_idle;
  gboolean stop;
};

/* backend_data: [0] queue, [1] transfer, [2] next in a list, [3] result */

static ImageQueue *
request_queue (const BlockRequest *request)
{
  return request->backend_data[0];
}

static void
push (RequestList *list, BlockRequest *request)
{
  request->backend_data[2] = NULL;
  if (list->tail != NULL)
    list->tail->backend_data[2] = request;
  else
    list->head = request;
  list->tail = request;
}

static BlockRequest *
pop (RequestList *list)
{
  BlockRequest *request = list->head;

  if (request != NULL)
    {
      list->head = request->backend_data[2];
      if (list->head == NULL)
        list->tail = NULL;
    }
  return request;
}

static void
finish (BlockRequest *request, int result)
{
  request_queue (request)->n_inflight--;
  request->done (request, result);
}

static void
queue_free (ImageQueue *queue)
{
  vmm_post_free (queue->deliver);
  while (queue->spare != NULL)
    {
      Transfer *transfer = queue->spare;

      queue->spare = transfer->next;
      g_free (transfer);
    }
  g_mutex_clear (&queue->lock);
  g_cond_clear (&queue->cond);
  g_free (queue);
}

static void on_done (gpointer user_data);

static ImageQueue *
find_queue (ImageBackend *self, VmmWorker *worker)
{
  ImageQueue *queue;

  for (queue = g_atomic_pointer_get (&self->queues); queue != NULL; queue = queue->next)
    if (queue->worker == worker)
      return queue;
  queue = g_new0 (ImageQueue, 1);
  queue->backend = self;
  queue->worker = worker;
  queue->deliver = vmm_post_new (worker, on_done, queue);
  g_mutex_init (&queue->lock);
  g_cond_init (&queue->cond);
  /* Only the worker itself adds its queue. */
  do
    queue->next = g_atomic_pointer_get (&self->queues);
  while (!g_atomic_pointer_compare_and_exchange (&self->queues, queue->next, queue));
  return queue;
}

/* ---- the slow way ---- */

static int
run_request (ImageBackend *self, BlockRequest *request)
{
  const BlockImageOps *ops = self->image->ops;
  int result = -EINVAL;

  switch (request->op)
    {
    case BLOCK_OP_READ:
      return ops->readv (self->image, request->offset, request->iov, request->n_iov);
    case BLOCK_OP_WRITE:
      result = ops->writev (self->image, request->offset, request->iov, request->n_iov);
      break;
    case BLOCK_OP_WRITE_ZEROES:
      result = ops->write_zeroes (self->image, request->offset, request->length,
                                  self->discard && (request->flags & BLOCK_REQUEST_UNMAP));
      break;
    case BLOCK_OP_DISCARD:
      return ops->discard (self->image, request->offset, request->length);
    case BLOCK_OP_FLUSH:
      return block_image_flush (self->image);
    }
  if (result == 0 && (request->flags & BLOCK_REQUEST_FUA))
    result = block_image_flush (self->image);
  return result;
}

/* A write that went the fast way has only its flush left. */
static int
run_rest (ImageBackend *self, BlockRequest *request)
{
  if (request->backend_data[3] != NULL)
    return block_image_flush (self->image);
  return run_request (self, request);
}

static void
take_done (ImageQueue *queue)
{
  RequestList done;
  BlockRequest *request;

  g_mutex_lock (&queue->lock);
  done = queue->done;
  queue->done = (RequestList){ NULL, NULL };
  g_mutex_unlock (&queue->lock);
  while ((request = pop (&done)) != NULL)
    finish (request, GPOINTER_TO_INT (request->backend_data[3]));
}

static void
on_done (gpointer user_data)
{
  take_done (user_data);
}

static void
give_back (BlockRequest *request, int result)
{
  ImageQueue *queue = request_queue (request);

  request->backend_data[3] = GINT_TO_POINTER (result);
  g_mutex_lock (&queue->lock);
  push (&queue->done, request);
  g_cond_signal (&queue->cond);
  vmm_post_schedule (queue->deliver);
  g_mutex_unlock (&queue->lock);
}

static void *
pool_main (void *argument)
{
  ImageBackend *self = argument;

  pthread_setname_np (pthread_self (), "image");
  g_mutex_lock (&self->lock);
  for (;;)
    {
      BlockRequest *request = pop (&self->todo);

      if (request == NULL)
        {
          if (self->stop)
            break;
          self->n_idle++;
          g_cond_wait (&self->work, &self->lock);
          self->n_idle--;
          continue;
        }
      g_mutex_unlock (&self->lock);
      give_back (request, run_rest (self, request));
      g_mutex_lock (&self->lock);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

static void
start_slow (BlockRequest *request, gboolean only_flush)
{
  ImageBackend *self = request_queue (request)->backend;
  gboolean alone;

  request->backend_data[3] = GINT_TO_POINTER (only_flush ? 1 : 0);
  g_mutex_lock (&self->lock);
  alone = self->n_threads == 0 && self->n_idle == 0;
  if (self->n_idle > 0)
    g_cond_signal (&self->work);
  else if (self->n_threads < POOL_THREADS &&
           vmm_thread_create (&self->threads[self->n_threads], pool_main, self) == 0)
    {
      self->n_threads++;
      alone = FALSE;
    }
  if (!alone)
    push (&self->todo, request);
  g_mutex_unlock (&self->lock);
  if (alone) /* no thread can be had: do it here rather than never */
    finish (request, run_rest (self, request));
}

/* ---- the fast way ---- */

static Transfer *
take_transfer (ImageQueue *queue)
{
  Transfer *transfer = queue->spare;

  if (transfer != NULL)
    queue->spare = transfer->next;
  else
    transfer = g_new0 (Transfer, 1);
  transfer->n_left = 0;
  transfer->error = 0;
  transfer->is_short = FALSE;
  transfer->plan.n_pieces = 0;
  return transfer;
}

static void
put_transfer (ImageQueue *queue, Transfer *transfer)
{
  for (guint i = 0; i < transfer->plan.n_pieces; i++)
    g_clear_pointer (&transfer->iov[i], g_free);
  transfer->next = queue->spare;
  queue->spare = transfer;
}

static void
transfer_done (BlockRequest *request)
{
  ImageBackend *self = request_queue (request)->backend;
  Transfer *transfer = request->backend_data[1];
  gboolean again = transfer->is_short;
  int result = again ? -EAGAIN : transfer->error;

  result = self->image->ops->end (self->image, &transfer->plan, result);
  request->backend_data[1] = NULL;
  put_transfer (request_queue (request), transfer);
  if (again)
    start_slow (request, FALSE);
  else if (result == 0 && request->op == BLOCK_OP_WRITE && (request->flags & BLOCK_REQUEST_FUA))
    start_slow (request, TRUE);
  else
    finish (request, result);
}

static void
piece_done (VmmAioRequest *aio, gint64 result)
{
  BlockRequest *request = aio->user_data;
  Transfer *transfer = request->backend_data[1];

  if (result == -EAGAIN || result == -EINTR || (result >= 0 && (guint64)result != aio->length))
    transfer->is_short = TRUE;
  else if (result < 0 && transfer->error == 0)
    transfer->error = (int)result;
  if (--transfer->n_left == 0)
    transfer_done (request);
}

/* All of it by system calls that do not wait. FALSE: not (all) done, and nothing is known. */
static gboolean
transfer_now (ImageBackend *self, BlockRequest *request, Transfer *transfer)
{
  const BlockPlan *plan = &transfer->plan;
  gboolean reading = request->op == BLOCK_OP_READ;
  int flags = self->in_memory ? 0 : RWF_NOWAIT;

  if (request->length > INLINE_MAX || (!reading && !self->in_memory))
    return FALSE;
  if (!self->in_memory &&
      (!(request->flags & BLOCK_REQUEST_ALONE) || g_atomic_int_get (&self->no_nowait)))
    return FALSE;
  for (guint i = 0; i < plan->n_pieces; i++)
    {
      const VmmAioRequest *aio = &transfer->aio[i];
      ssize_t n;

      if (plan->pieces[i].file_offset < 0)
        continue;
      n = reading ? preadv2 (plan->fd, aio->iov, (int)aio->n_iov, (off_t)aio->offset, flags)
                  : pwritev (plan->fd, aio->iov, (int)aio->n_iov, (off_t)aio->offset);
      if (n < 0 && errno == EOPNOTSUPP)
        g_atomic_int_set (&self->no_nowait, TRUE);
      if (n < 0 || (guint64)n != aio->length)
        return FALSE;
    }
  return TRUE;
}

/* O_DIRECT: what descriptor I/O takes. */
static gboolean
memory_is_aligned (ImageBackend *self, const BlockRequest *request)
{
  const BlockFile *file = self->image->file;

  if (file->request_align <= 1 && file->memory_align <= 1)
    return TRUE;
  for (guint i = 0; i < request->n_iov; i++)
    if ((gsize)request->iov[i].iov_base % file->memory_align != 0 ||
        request->iov[i].iov_len % file->request_align != 0)
      return FALSE;
  return request->offset % file->request_align == 0;
}

/* Gives every piece its share of the iovecs. FALSE: a piece lies where descriptor I/O cannot go. */
static gboolean
prepare_pieces (ImageBackend *self, BlockRequest *request, Transfer *transfer)
{
  const BlockPlan *plan = &transfer->plan;
  guint32 align = self->image->file->request_align;
  gboolean reading = request->op == BLOCK_OP_READ;
  guint64 skip = 0;

  for (guint i = 0; i < plan->n_pieces; i++)
    {
      const BlockPlanPiece *piece = &plan->pieces[i];
      VmmAioRequest *aio = &transfer->aio[i];

      if (piece->file_offset < 0)
        block_iov_copy (request->iov, request->n_iov, skip, NULL, piece->length, TRUE);
      else
        {
          if ((guint64)piece->file_offset % align != 0 || piece->length % align != 0)
            return FALSE;
          aio->op = reading ? VMM_AIO_READV : VMM_AIO_WRITEV;
          aio->fd = plan->fd;
          aio->iov = request->iov;
          aio->n_iov = request->n_iov;
          if (plan->n_pieces > 1)
            aio->iov = transfer->iov[i] =
                block_iov_slice (request->iov, request->n_iov, skip, piece->length, &aio->n_iov);
          aio->offset = (guint64)piece->file_offset;
          aio->length = piece->length;
          aio->done = piece_done;
          aio->user_data = request;
          transfer->n_left++;
        }
      skip += piece->length;
    }
  return skip == request->length;
}

/* FALSE: take the slow way. */
static gboolean
start_fast (ImageBackend *self, BlockRequest *request)
{
  const BlockImageOps *ops = self->image->ops;
  ImageQueue *queue = request_queue (request);
  Transfer *transfer;
  guint n_pieces;

  if (ops->begin == NULL || !memory_is_aligned (self, request))
    return FALSE;
  transfer = take_transfer (queue);
  if (!ops->begin (self->image, request->op == BLOCK_OP_WRITE, request->offset, request->length,
                   &transfer->plan))
    {
      transfer->plan.n_pieces = 0;
      put_transfer (queue, transfer);
      return FALSE;
    }
  if (!prepare_pieces (self, request, transfer))
    {
      (void)ops->end (self->image, &transfer->plan, -EAGAIN);
      put_transfer (queue, transfer);
      return FALSE;
    }
  request->backend_data[1] = transfer;
  if (transfer->n_left == 0 || transfer_now (self, request, transfer))
    {
      transfer_done (request);
      return TRUE;
    }
  /* The last completion frees the transfer, even if submit ran it. */
  n_pieces = transfer->plan.n_pieces;
  for (guint i = 0, left = transfer->n_left; i < n_pieces && left > 0; i++)
    if (transfer->plan.pieces[i].file_offset >= 0)
      {
        left--;
        vmm_worker_submit (queue->worker, &transfer->aio[i]);
      }
  return TRUE;
}

/* ---- the interface ---- */

static void
image_submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  ImageBackend *self = (ImageBackend *)backend;
  ImageQueue *queue = find_queue (self, worker);
  gboolean readonly = self->image->file->readonly;
  guint64 size;

  request->backend_data[0] = queue;
  request->backend_data[1] = NULL;
  queue->n_inflight++;
  if (request->op != BLOCK_OP_FLUSH)
    {
      size = block_image_get_size (self->image);
      if (request->length > size || request->offset > size - request->length ||
          (request->n_iov > 0 && request->length > MAX_TRANSFER))
        {
          finish (request, -EINVAL);
          return;
        }
      if (readonly && request->op != BLOCK_OP_READ)
        {
          finish (request, -EROFS);
          return;
        }
    }
  switch (request->op)
    {
    case BLOCK_OP_READ:
    case BLOCK_OP_WRITE:
      if (!start_fast (self, request))
        start_slow (request, FALSE);
      break;
    case BLOCK_OP_FLUSH:
      if (readonly)
        finish (request, 0);
      else
        start_slow (request, FALSE);
      break;
    case BLOCK_OP_DISCARD:
      if (!self->discard || self->image->ops->discard == NULL || request->length == 0)
        finish (request, 0);
      else
        start_slow (request, FALSE);
      break;
    case BLOCK_OP_WRITE_ZEROES:
      start_slow (request, FALSE);
      break;
    }
}

static void
image_drain (BlockBackend *backend, VmmWorker *worker)
{
  ImageBackend *self = (ImageBackend *)backend;
  ImageQueue *queue = find_queue (self, worker);

  while (queue->n_inflight > 0)
    {
      /* First what runs here, which a slow operation may be waiting for. */
      vmm_worker_drain_aio (worker);
      take_done (queue);
      if (queue->n_inflight == 0 || vmm_worker_get_n_aio (worker) > 0)
        continue;
      g_mutex_lock (&queue->lock);
      while (queue->done.head == NULL)
        g_cond_wait (&queue->cond, &queue->lock);
      g_mutex_unlock (&queue->lock);
    }
}

static void
image_get_info (BlockBackend *backend, BlockInfo *ret_info)
{
  ImageBackend *self = (ImageBackend *)backend;
  const BlockFile *file = self->image->file;
  BlockImageInfo info;

  self->image->ops->get_info (self->image, &info);
  *ret_info = (BlockInfo){
    .size = info.size / SECTOR * SECTOR,
    .logical_block = MAX (SECTOR, file->request_align),
    .physical_block = 4096,
    .optimal_io = info.cluster_size,
    .readonly = file->readonly,
    .can_discard = self->discard && !file->readonly && self->image->ops->discard != NULL,
    .can_write_zeroes = !file->readonly && self->image->ops->write_zeroes != NULL,
    .discard_granularity = MAX (info.subcluster_size, 4096),
  };
}

static gboolean
image_flush_sync (BlockBackend *backend, GError **error)
{
  ImageBackend *self = (ImageBackend *)backend;
  int result = self->image->file->readonly ? 0 : block_image_flush (self->image);

  return result == 0 ||
         vmm_error_set_errno (error, result, "Cannot write “%s” to stable storage", backend->name);
}

static void
image_close (BlockBackend *backend)
{
  ImageBackend *self = (ImageBackend *)backend;
  ImageQueue *queue = self->queues, *next;

  g_mutex_lock (&self->lock);
  self->stop = TRUE;
  g_cond_broadcast (&self->work);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < self->n_threads; i++)
    pthread_join (self->threads[i], NULL);
  for (; queue != NULL; queue = next)
    {
      next = queue->next;
      queue_free (queue);
    }
  block_image_close (self->image);
  g_cond_clear (&self->work);
  g_mutex_clear (&self->lock);
  g_free (backend->name);
  g_free (self);
}

static BlockImage *
image_get_image (BlockBackend *backend)
{
  return ((ImageBackend *)backend)->image;
}

static const BlockBackendOps image_backend_ops = {
  .name = "image",
  .submit = image_submit,
  .drain = image_drain,
  .get_info = image_get_info,
  .flush_sync = image_flush_sync,
  .close = image_close,
  .get_image = image_get_image,
};

BlockBackend *
block_image_backend_new (BlockImage *image, gboolean discard)
{
  ImageBackend *self = g_new0 (ImageBackend, 1);
  int fd = image->file->ops->get_fd (image->file);
  struct statfs fs;

  self->parent.ops = &image_backend_ops;
  self->parent.name = g_strdup (image->name);
  self->image = image;
  self->discard = discard;
  self->in_memory =
      fd >= 0 && fstatfs (fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
  g_mutex_init (&self->lock);
  g_cond_init (&self->work);
  return &self->parent;
}
