/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asynchronous disk I/O of a worker: io_uring, or a pool of a few threads where the kernel or an
 * administrator refuses io_uring (RHEL 9: kernel.io_uring_disabled). Both are made on first use. */
#include "vmm/worker-private.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING_ENTRIES 128
#define POOL_THREADS 4

/* priv[0]: next request in a pool queue; priv[1]: result */

typedef struct
{
  VmmAioRequest *head, *tail;
} RequestQueue;

struct _VmmAio
{
  int wake_fd;
  GMutex setup_lock;
  gint ready; /* atomic */
  gboolean no_uring, uring;
  guint n_inflight;  /* worker's thread */
  guint n_unflushed; /* SQEs filled and not sent */
  struct io_uring ring;

  /* pool */
  GMutex lock;
  GCond work, done_cond;
  RequestQueue todo, done;
  pthread_t threads[POOL_THREADS];
  guint n_threads, n_idle;
  gboolean stop;
};

int
vmm_thread_create (pthread_t *ret_thread, void *(*func) (void *), void *argument)
{
  pthread_attr_t attr;
  sigset_t all, old;
  int r;

  pthread_attr_init (&attr);
  pthread_attr_setstacksize (&attr, VMM_THREAD_STACK);
  sigfillset (&all);
  /* Faults stay deliverable, a blocked SIGSEGV would kill without a core. */
  sigdelset (&all, SIGSEGV);
  sigdelset (&all, SIGBUS);
  sigdelset (&all, SIGILL);
  sigdelset (&all, SIGFPE);
  sigdelset (&all, SIGABRT);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  r = pthread_create (ret_thread, &attr, func, argument);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  pthread_attr_destroy (&attr);
  return -r;
}

static void
push (RequestQueue *queue, VmmAioRequest *request)
{
  request->priv[0] = NULL;
  if (queue->tail != NULL)
    queue->tail->priv[0] = request;
  else
    queue->head = request;
  queue->tail = request;
}

static VmmAioRequest *
pop (RequestQueue *queue)
{
  VmmAioRequest *request = queue->head;

  if (request != NULL)
    {
      queue->head = request->priv[0];
      if (queue->head == NULL)
        queue->tail = NULL;
    }
  return request;
}

VmmAio *
vmm_aio_new (int wake_fd, gboolean no_uring)
{
  VmmAio *aio = g_new0 (VmmAio, 1);

  aio->wake_fd = wake_fd;
  aio->no_uring = no_uring;
  g_mutex_init (&aio->setup_lock);
  g_mutex_init (&aio->lock);
  g_cond_init (&aio->work);
  g_cond_init (&aio->done_cond);
  return aio;
}

static void
set_up (VmmAio *aio)
{
  struct io_uring_params params = { .flags = IORING_SETUP_COOP_TASKRUN };

  if (g_atomic_int_get (&aio->ready))
    return;
  g_mutex_lock (&aio->setup_lock);
  if (!aio->ready)
    {
      if (!aio->no_uring)
        {
          int r = io_uring_queue_init_params (RING_ENTRIES, &aio->ring, &params);

          if (r == -EINVAL) /* before Linux 5.19 */
            {
              params = (struct io_uring_params){ 0 };
              r = io_uring_queue_init_params (RING_ENTRIES, &aio->ring, &params);
            }
          aio->uring = r == 0;
          if (aio->uring)
            (void)io_uring_ring_dontfork (&aio->ring);
        }
      g_atomic_int_set (&aio->ready, TRUE);
    }
  g_mutex_unlock (&aio->setup_lock);
}

const char *
vmm_aio_get_engine (VmmAio *aio)
{
  set_up (aio);
  return aio->uring ? "io_uring" : "threads";
}

int
vmm_aio_get_fd (VmmAio *aio)
{
  return aio->uring ? aio->ring.ring_fd : -1;
}

guint
vmm_aio_get_n_inflight (VmmAio *aio)
{
  return aio->n_inflight;
}

static gint64
run_request (const VmmAioRequest *request)
{
  gint64 r = -EINVAL;

  do
    switch (request->op)
      {
      case VMM_AIO_READV:
        r = preadv (request->fd, request->iov, (int)request->n_iov, (off_t)request->offset);
        break;
      case VMM_AIO_WRITEV:
        r = pwritev (request->fd, request->iov, (int)request->n_iov, (off_t)request->offset);
        break;
      case VMM_AIO_FSYNC:
        r = fdatasync (request->fd);
        break;
      case VMM_AIO_FALLOCATE:
        r = fallocate (request->fd, request->mode, (off_t)request->offset, (off_t)request->length);
        break;
      }
  while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}

static void
wake (VmmAio *aio)
{
  const guint64 one = 1;

  while (write (aio->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

static void *
pool_main (void *argument)
{
  VmmAio *aio = argument;

  pthread_setname_np (pthread_self (), "aio");
  g_mutex_lock (&aio->lock);
  for (;;)
    {
      VmmAioRequest *request = pop (&aio->todo);
      gint64 result;

      if (request == NULL)
        {
          if (aio->stop)
            break;
          aio->n_idle++;
          g_cond_wait (&aio->work, &aio->lock);
          aio->n_idle--;
          continue;
        }
      g_mutex_unlock (&aio->lock);
      result = run_request (request);
      g_mutex_lock (&aio->lock);
      request->priv[1] = (gpointer)(gintptr)result;
      push (&aio->done, request);
      g_cond_signal (&aio->done_cond);
      if (aio->done.head == request)
        wake (aio);
    }
  g_mutex_unlock (&aio->lock);
  return NULL;
}

static void
pool_submit (VmmAio *aio, VmmAioRequest *request)
{
  gboolean alone;

  g_mutex_lock (&aio->lock);
  push (&aio->todo, request);
  if (aio->n_idle > 0)
    g_cond_signal (&aio->work);
  else if (aio->n_threads < POOL_THREADS &&
           vmm_thread_create (&aio->threads[aio->n_threads], pool_main, aio) == 0)
    aio->n_threads++;
  alone = aio->n_threads == 0;
  if (alone) /* no thread can be had: do it here rather than never */
    {
      pop (&aio->todo);
      request->priv[1] = (gpointer)(gintptr)run_request (request);
      push (&aio->done, request);
      wake (aio);
    }
  g_mutex_unlock (&aio->lock);
}

static gboolean
fill_sqe (VmmAio *aio, VmmAioRequest *request)
{
  struct io_uring_sqe *sqe = io_uring_get_sqe (&aio->ring);

  if (sqe == NULL)
    return FALSE;
  switch (request->op)
    {
    case VMM_AIO_READV:
      if (request->n_iov == 1)
        io_uring_prep_read (sqe, request->fd, request->iov->iov_base,
                            (unsigned)MIN (request->iov->iov_len, G_MAXINT32), request->offset);
      else
        io_uring_prep_readv (sqe, request->fd, request->iov, request->n_iov, request->offset);
      break;
    case VMM_AIO_WRITEV:
      if (request->n_iov == 1)
        io_uring_prep_write (sqe, request->fd, request->iov->iov_base,
                             (unsigned)MIN (request->iov->iov_len, G_MAXINT32), request->offset);
      else
        io_uring_prep_writev (sqe, request->fd, request->iov, request->n_iov, request->offset);
      break;
    case VMM_AIO_FSYNC:
      io_uring_prep_fsync (sqe, request->fd, IORING_FSYNC_DATASYNC);
      break;
    case VMM_AIO_FALLOCATE:
      io_uring_prep_fallocate (sqe, request->fd, request->mode, (off_t)request->offset,
                               (off_t)request->length);
      break;
    }
  io_uring_sqe_set_data (sqe, request);
  return TRUE;
}

void
vmm_aio_submit (VmmAio *aio, VmmAioRequest *request)
{
  set_up (aio);
  aio->n_inflight++;
  if (!aio->uring)
    {
      pool_submit (aio, request);
      return;
    }
  while (!fill_sqe (aio, request))
    vmm_aio_flush (aio);
  aio->n_unflushed++;
}

void
vmm_aio_flush (VmmAio *aio)
{
  while (aio->n_unflushed > 0)
    {
      int r = io_uring_submit (&aio->ring);

      if (r >= 0)
        aio->n_unflushed -= MIN ((guint)r, aio->n_unflushed);
      /* EAGAIN, EBUSY: the kernel is short of memory or of completion slots; it frees them as
       * requests complete, so wait for one. Nothing is lost, the SQEs stay queued. */
      else if (r == -EAGAIN || r == -EBUSY)
        (void)vmm_aio_reap (aio, aio->n_inflight > aio->n_unflushed);
      else if (r != -EINTR)
        break;
    }
}

static guint
ring_reap (VmmAio *aio, gboolean wait)
{
  struct io_uring_cqe *cqe;
  guint n = 0;

  if (wait)
    {
      int r;

      do
        r = io_uring_submit_and_wait (&aio->ring, 1);
      while (r == -EINTR);
      if (r > 0)
        aio->n_unflushed -= MIN ((guint)r, aio->n_unflushed);
    }
  while (io_uring_peek_cqe (&aio->ring, &cqe) == 0)
    {
      VmmAioRequest *request = io_uring_cqe_get_data (cqe);
      gint64 result = cqe->res;

      io_uring_cqe_seen (&aio->ring, cqe);
      aio->n_inflight--;
      n++;
      request->done (request, result);
    }
  return n;
}

static guint
pool_reap (VmmAio *aio, gboolean wait)
{
  RequestQueue done;
  guint n = 0;

  g_mutex_lock (&aio->lock);
  while (wait && aio->done.head == NULL)
    g_cond_wait (&aio->done_cond, &aio->lock);
  done = aio->done;
  aio->done = (RequestQueue){ NULL, NULL };
  g_mutex_unlock (&aio->lock);
  for (VmmAioRequest *request = pop (&done); request != NULL; request = pop (&done))
    {
      aio->n_inflight--;
      n++;
      request->done (request, (gint64)(gintptr)request->priv[1]);
    }
  return n;
}

guint
vmm_aio_reap (VmmAio *aio, gboolean wait)
{
  if (!g_atomic_int_get (&aio->ready) || aio->n_inflight == 0)
    return 0;
  return aio->uring ? ring_reap (aio, wait) : pool_reap (aio, wait);
}

void
vmm_aio_free (VmmAio *aio)
{
  if (aio == NULL)
    return;
  g_mutex_lock (&aio->lock);
  aio->stop = TRUE;
  g_cond_broadcast (&aio->work);
  g_mutex_unlock (&aio->lock);
  for (guint i = 0; i < aio->n_threads; i++)
    pthread_join (aio->threads[i], NULL);
  if (aio->uring)
    io_uring_queue_exit (&aio->ring);
  g_cond_clear (&aio->work);
  g_cond_clear (&aio->done_cond);
  g_mutex_clear (&aio->lock);
  g_mutex_clear (&aio->setup_lock);
  g_free (aio);
}
