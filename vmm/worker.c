/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The loop of a worker: epoll over its sources, a queue of posted calls, asynchronous I/O.
 * Sources are added from any thread (epoll is thread safe) and removed on the worker's own thread;
 * a removed source is freed at the end of the turn, since the events of that turn may name it. */
#include "vmm/worker-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MAX_EVENTS 32

typedef struct _Call Call;
struct _Call
{
  Call *next;
  void (*func) (gpointer user_data);
  gpointer user_data;
  gboolean wait; /* on the caller's stack; done is signalled */
  gboolean done;
};

struct _VmmSource
{
  VmmWorker *worker;
  int fd;
  guint32 events;
  VmmSourceFunc fd_func;
  void (*event_func) (gpointer user_data);
  gpointer user_data;
  gint removed; /* atomic */
  VmmSource *next_dead;
};

struct _VmmWorker
{
  char *name;
  gboolean manual;
  pthread_t thread;
  int epoll_fd;
  int wake_fd;
  int aio_fd; /* in the epoll set, or -1 */
  VmmAio *aio;
  VmmSource *dead;
  guint64 n_wakeups; /* atomic */

  GMutex lock;
  GCond called;
  Call *first_call, *last_call;
  gboolean stop;
};

gboolean
vmm_worker_is_current (VmmWorker *worker)
{
  return pthread_equal (worker->thread, pthread_self ()) != 0;
}

const char *
vmm_worker_get_io_engine (VmmWorker *worker)
{
  return vmm_aio_get_engine (worker->aio);
}

guint64
vmm_worker_get_n_wakeups (VmmWorker *worker)
{
  return __atomic_load_n (&worker->n_wakeups, __ATOMIC_RELAXED);
}

guint
vmm_worker_get_n_aio (VmmWorker *worker)
{
  return vmm_aio_get_n_inflight (worker->aio);
}

static void
wake (VmmWorker *worker)
{
  const guint64 one = 1;

  while (write (worker->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

static guint64
clear_eventfd (int fd)
{
  guint64 n = 0;

  while (read (fd, &n, sizeof n) < 0)
    if (errno != EINTR)
      return 0;
  return n;
}

/* Runs the calls that are queued now. Returns FALSE when there was none. */
static gboolean
run_calls (VmmWorker *worker)
{
  Call *call, *next;

  g_mutex_lock (&worker->lock);
  call = worker->first_call;
  worker->first_call = worker->last_call = NULL;
  g_mutex_unlock (&worker->lock);
  if (call == NULL)
    return FALSE;
  for (; call != NULL; call = next)
    {
      next = call->next;
      call->func (call->user_data);
      if (!call->wait)
        {
          g_free (call);
          continue;
        }
      g_mutex_lock (&worker->lock);
      call->done = TRUE;
      g_cond_broadcast (&worker->called);
      g_mutex_unlock (&worker->lock);
    }
  return TRUE;
}

static void
dispatch (VmmSource *source, guint32 events)
{
  if (g_atomic_int_get (&source->removed))
    return;
  if (source->event_func == NULL)
    source->fd_func (source->fd, events, source->user_data);
  else if ((events & EPOLLIN) != 0)
    {
      (void)clear_eventfd (source->fd);
      source->event_func (source->user_data);
    }
}

static gboolean
turn (VmmWorker *worker, int timeout_ms)
{
  struct epoll_event events[MAX_EVENTS];
  gboolean ran = FALSE;
  int n;

  vmm_aio_flush (worker->aio);
  n = epoll_wait (worker->epoll_fd, events, MAX_EVENTS, timeout_ms);
  __atomic_fetch_add (&worker->n_wakeups, 1, __ATOMIC_RELAXED);
  /* The wake-up is cleared before what it announces is looked for: completions and calls. */
  for (int i = 0; i < n; i++)
    if (events[i].data.ptr == NULL)
      (void)clear_eventfd (worker->wake_fd);
  /* Completions come first: they free what new requests need. They are looked for after every wait,
   * as EINTR may be io_uring's own notification. */
  ran = vmm_aio_reap (worker->aio, FALSE) > 0;
  for (int i = 0; i < n; i++)
    {
      gpointer source = events[i].data.ptr;

      if (source == NULL || source == worker) /* wake_fd; the ring */
        continue;
      dispatch (source, events[i].events);
      ran = TRUE;
    }
  ran |= run_calls (worker);
  vmm_aio_flush (worker->aio);
  while (worker->dead != NULL)
    {
      VmmSource *source = worker->dead;

      worker->dead = source->next_dead;
      g_free (source);
    }
  return ran;
}

static void *
worker_main (void *argument)
{
  VmmWorker *worker = argument;
  gboolean stop = FALSE;

  pthread_setname_np (pthread_self (), worker->name);
  g_mutex_lock (&worker->lock); /* worker->thread is set */
  g_mutex_unlock (&worker->lock);
  while (!stop)
    {
      turn (worker, -1);
      g_mutex_lock (&worker->lock);
      stop = worker->stop && worker->first_call == NULL;
      g_mutex_unlock (&worker->lock);
    }
  vmm_worker_drain_aio (worker);
  return NULL;
}

static void
destroy (VmmWorker *worker)
{
  vmm_aio_free (worker->aio);
  while (worker->dead != NULL)
    {
      VmmSource *source = worker->dead;

      worker->dead = source->next_dead;
      g_free (source);
    }
  if (worker->epoll_fd >= 0)
    close (worker->epoll_fd);
  if (worker->wake_fd >= 0)
    close (worker->wake_fd);
  g_cond_clear (&worker->called);
  g_mutex_clear (&worker->lock);
  g_free (worker->name);
  g_free (worker);
}

static VmmWorker *
worker_new (const char *name, VmmWorkerFlags flags, int *ret_r)
{
  VmmWorker *worker = g_new0 (VmmWorker, 1);
  struct epoll_event event = { .events = EPOLLIN };

  *ret_r = 0;
  worker->name = g_strndup (name, 15);
  worker->aio_fd = -1;
  g_mutex_init (&worker->lock);
  g_cond_init (&worker->called);
  worker->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  worker->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (worker->epoll_fd < 0 || worker->wake_fd < 0 ||
      epoll_ctl (worker->epoll_fd, EPOLL_CTL_ADD, worker->wake_fd, &event) < 0)
    *ret_r = -errno;
  worker->aio = vmm_aio_new (worker->wake_fd, (flags & VMM_WORKER_NO_URING) != 0);
  return worker;
}

VmmWorker *
vmm_worker_new (const char *name, VmmWorkerFlags flags, GError **error)
{
  int r;
  VmmWorker *worker = worker_new (name, flags, &r);

  if (r == 0)
    {
      g_mutex_lock (&worker->lock);
      r = vmm_thread_create (&worker->thread, worker_main, worker);
      g_mutex_unlock (&worker->lock);
    }
  if (r < 0)
    {
      vmm_error_set_errno (error, r, "Cannot start the worker “%s”", name);
      destroy (worker);
      return NULL;
    }
  return worker;
}

VmmWorker *
vmm_worker_new_manual (const char *name, VmmWorkerFlags flags)
{
  int r;
  VmmWorker *worker = worker_new (name, flags, &r);

  g_assert (r == 0); /* tests only */
  worker->manual = TRUE;
  worker->thread = pthread_self ();
  return worker;
}

gboolean
vmm_worker_iterate (VmmWorker *worker, int timeout_ms)
{
  g_assert (worker->manual);
  if (worker->first_call != NULL)
    timeout_ms = 0;
  return turn (worker, timeout_ms);
}

void
vmm_worker_free (VmmWorker *worker)
{
  if (worker == NULL)
    return;
  if (worker->manual)
    {
      while (run_calls (worker))
        continue;
      vmm_worker_drain_aio (worker);
    }
  else
    {
      g_assert (!vmm_worker_is_current (worker));
      g_mutex_lock (&worker->lock);
      worker->stop = TRUE;
      g_mutex_unlock (&worker->lock);
      wake (worker);
      pthread_join (worker->thread, NULL);
    }
  destroy (worker);
}

static VmmSource *
add_source (VmmWorker *worker, VmmSource *source)
{
  struct epoll_event event = { .events = source->events, .data.ptr = source };

  source->worker = worker;
  if (epoll_ctl (worker->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) < 0)
    {
      /* A regular file, or an fd twice: the caller's mistake, never the guest's. */
      g_assert (errno != EBADF && errno != EEXIST && errno != EPERM);
      g_free (source);
      return NULL;
    }
  return source;
}

VmmSource *
vmm_worker_add_fd (
    VmmWorker *worker, int fd, guint32 events, VmmSourceFunc callback, gpointer user_data)
{
  VmmSource *source = g_new0 (VmmSource, 1);

  source->fd = fd;
  source->events = events;
  source->fd_func = callback;
  source->user_data = user_data;
  return add_source (worker, source);
}

VmmSource *
vmm_worker_add_eventfd (VmmWorker *worker,
                        int fd,
                        void (*callback) (gpointer user_data),
                        gpointer user_data)
{
  VmmSource *source = g_new0 (VmmSource, 1);
  int flags = fcntl (fd, F_GETFL);

  /* Level triggered with a read: a blocking read could hang on a count somebody else took. */
  if (flags >= 0 && (flags & O_NONBLOCK) == 0)
    (void)fcntl (fd, F_SETFL, flags | O_NONBLOCK);
  source->fd = fd;
  source->events = EPOLLIN;
  source->event_func = callback;
  source->user_data = user_data;
  return add_source (worker, source);
}

void
vmm_source_set_events (VmmSource *source, guint32 events)
{
  struct epoll_event event = { .events = events, .data.ptr = source };

  if (source->events == events)
    return;
  source->events = events;
  (void)epoll_ctl (source->worker->epoll_fd, EPOLL_CTL_MOD, source->fd, &event);
}

static void
remove_source (gpointer user_data)
{
  VmmSource *source = user_data;
  VmmWorker *worker = source->worker;

  (void)epoll_ctl (worker->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
  g_atomic_int_set (&source->removed, TRUE);
  source->next_dead = worker->dead;
  worker->dead = source;
}

void
vmm_source_remove (VmmSource *source)
{
  if (source != NULL)
    vmm_worker_call (source->worker, remove_source, source);
}

static void
queue_call (VmmWorker *worker, Call *call)
{
  gboolean first;

  g_mutex_lock (&worker->lock);
  first = worker->first_call == NULL;
  if (first)
    worker->first_call = call;
  else
    worker->last_call->next = call;
  worker->last_call = call;
  g_mutex_unlock (&worker->lock);
  if (first)
    wake (worker);
}

void
vmm_worker_post (VmmWorker *worker, void (*func) (gpointer), gpointer user_data)
{
  Call *call = g_new0 (Call, 1);

  call->func = func;
  call->user_data = user_data;
  queue_call (worker, call);
}

void
vmm_worker_call (VmmWorker *worker, void (*func) (gpointer), gpointer user_data)
{
  Call call = { .func = func, .user_data = user_data, .wait = TRUE };

  if (vmm_worker_is_current (worker))
    {
      func (user_data);
      return;
    }
  queue_call (worker, &call);
  g_mutex_lock (&worker->lock);
  while (!call.done)
    g_cond_wait (&worker->called, &worker->lock);
  g_mutex_unlock (&worker->lock);
}

void
vmm_worker_submit (VmmWorker *worker, VmmAioRequest *request)
{
  vmm_aio_submit (worker->aio, request);
  if (worker->aio_fd < 0 && vmm_aio_get_fd (worker->aio) >= 0)
    {
      struct epoll_event event = { .events = EPOLLIN, .data.ptr = worker };

      worker->aio_fd = vmm_aio_get_fd (worker->aio);
      (void)epoll_ctl (worker->epoll_fd, EPOLL_CTL_ADD, worker->aio_fd, &event);
    }
}

void
vmm_worker_drain_aio (VmmWorker *worker)
{
  while (vmm_aio_get_n_inflight (worker->aio) > 0)
    (void)vmm_aio_reap (worker->aio, TRUE);
}
