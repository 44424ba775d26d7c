/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/block/guard.h"

#include <errno.h>

#include "devices/backends/block/histogram.h"
#include "vmm/post.h"

typedef struct _Guard Guard;
typedef struct _GuardQueue GuardQueue;

typedef struct
{
  BlockRequest *head, *tail;
} RequestList;

/* What one worker has here. */
struct _GuardQueue
{
  GuardQueue *next;
  Guard *guard;
  VmmWorker *worker;
  VmmPost *retry;
  /* The following: on the worker. */
  guint n_inflight, n_held;
  gboolean settling; /* limits do not count: everything is to come to an end */
  RequestList held, delayed;
  /* (nullable) To the first delayed request's time. Gone when the queue has settled: the clock may
   * be freed before the back ends are. */
  VmmTimer *timer;
};

typedef enum
{
  KIND_READ,
  KIND_WRITE,
  KIND_FLUSH,
  KIND_OTHER, /* discard, write zeroes */
} Kind;
#define N_KINDS (KIND_OTHER + 1)

struct _Guard
{
  BlockBackend parent;
  BlockBackend *inner;
  BlockGuardConfig config;
  gboolean limited;
  gint n_held;        /* atomic, all queues */
  GuardQueue *queues; /* atomic; only ever gets longer */
  GMutex lock;        /* throttle */
  BlockThrottle throttle;
  BlockHistogram latencies[N_KINDS];
  guint64 n_delayed, delayed_ns, n_held_ever; /* atomic */
};

static void guard_done (BlockRequest *request, int result);

static void
push (RequestList *list, BlockRequest *request)
{
  request->guard.next = NULL;
  if (list->tail != NULL)
    list->tail->guard.next = request;
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
      list->head = request->guard.next;
      if (list->head == NULL)
        list->tail = NULL;
    }
  return request;
}

static void on_timer (gpointer user_data);
static void retry_queue (gpointer user_data);

static GuardQueue *
find_queue (Guard *self, VmmWorker *worker)
{
  GuardQueue *queue;

  for (queue = g_atomic_pointer_get (&self->queues); queue != NULL; queue = queue->next)
    if (queue->worker == worker)
      return queue;
  queue = g_new0 (GuardQueue, 1);
  queue->guard = self;
  queue->worker = worker;
  queue->retry = vmm_post_new (worker, retry_queue, queue);
  /* Only the worker itself adds its queue. */
  do
    queue->next = g_atomic_pointer_get (&self->queues);
  while (!g_atomic_pointer_compare_and_exchange (&self->queues, queue->next, queue));
  return queue;
}

static void
forward (GuardQueue *queue, BlockRequest *request)
{
  BlockBackend *inner = queue->guard->inner;

  inner->ops->submit (inner, queue->worker, request);
}

static void
finish (BlockRequest *request, int result)
{
  GuardQueue *queue = request->guard.queue;

  queue->n_inflight--;
  request->done = request->guard.done;
  request->done (request, result);
}

/* ---- delays ---- */

static void
submit_due (GuardQueue *queue, gboolean all)
{
  gint64 now = vmm_clock_get_ns (queue->guard->config.clock);

  while (queue->delayed.head != NULL && (all || queue->delayed.head->guard.due_ns <= now))
    forward (queue, pop (&queue->delayed));
  if (queue->timer != NULL)
    vmm_timer_set (queue->timer, queue->delayed.head != NULL ? queue->delayed.head->guard.due_ns
                                                             : VMM_CLOCK_NEVER);
}

static void
on_timer (gpointer user_data)
{
  submit_due (user_data, FALSE);
}

/* TRUE: it comes later. */
static gboolean
delay (GuardQueue *queue, BlockRequest *request)
{
  Guard *self = queue->guard;
  gint64 now = request->guard.start_ns, due;

  if (!self->limited || queue->settling || request->op == BLOCK_OP_FLUSH ||
      request->op == BLOCK_OP_DISCARD)
    return FALSE;
  g_mutex_lock (&self->lock);
  due = block_throttle_reserve (&self->throttle, request->op != BLOCK_OP_READ,
                                request->n_iov > 0 ? request->length : 0, now);
  g_mutex_unlock (&self->lock);
  if (due <= now && queue->delayed.head == NULL)
    return FALSE;
  request->guard.due_ns = due;
  __atomic_fetch_add (&self->n_delayed, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add (&self->delayed_ns, (guint64)MAX (due - now, 0), __ATOMIC_RELAXED);
  push (&queue->delayed, request);
  if (queue->timer == NULL)
    queue->timer = vmm_timer_new (self->config.clock, queue->worker, on_timer, queue);
  if (queue->delayed.head == request)
    vmm_timer_set (queue->timer, due);
  return TRUE;
}

/* ---- requests ---- */

static gboolean
is_to_hold (Guard *self, const BlockRequest *request, int result)
{
  if (result >= 0 || self->config.held == NULL)
    return FALSE;
  switch (-result)
    {
    case ENOSPC:
    case EDQUOT:
      return TRUE;
    case EINVAL:     /* what the guest asked for is wrong */
    case EROFS:      /* the disk is what it was made to be */
    case EOPNOTSUPP: /* no matter how often */
    case ECANCELED:
      return FALSE;
    default:
      return self->config.pause_on_error;
    }
}

static void
guard_done (BlockRequest *request, int result)
{
  GuardQueue *queue = request->guard.queue;
  Guard *self = queue->guard;
  Kind kind = request->op == BLOCK_OP_READ    ? KIND_READ
              : request->op == BLOCK_OP_WRITE ? KIND_WRITE
              : request->op == BLOCK_OP_FLUSH ? KIND_FLUSH
                                              : KIND_OTHER;

  if (is_to_hold (self, request, result))
    {
      request->guard.error = result;
      push (&queue->held, request);
      queue->n_held++;
      g_atomic_int_inc (&self->n_held);
      __atomic_fetch_add (&self->n_held_ever, 1, __ATOMIC_RELAXED);
      self->config.held (&self->parent, result, self->config.user_data);
      return;
    }
  block_histogram_add (&self->latencies[kind],
                       vmm_clock_get_ns (self->config.clock) - request->guard.start_ns);
  finish (request, result);
}

static void
guard_submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  Guard *self = (Guard *)backend;
  GuardQueue *queue = find_queue (self, worker);

  request->guard.done = request->done;
  request->guard.queue = queue;
  request->guard.start_ns = vmm_clock_get_ns (self->config.clock);
  request->done = guard_done;
  queue->n_inflight++;
  if (!delay (queue, request))
    forward (queue, request);
}

/* ---- coming to an end ---- */

static RequestList
take_held (GuardQueue *queue)
{
  RequestList held = queue->held;

  g_atomic_int_add (&queue->guard->n_held, -(gint)queue->n_held);
  queue->held = (RequestList){ NULL, NULL };
  queue->n_held = 0;
  return held;
}

static guint
guard_settle (BlockBackend *backend, VmmWorker *worker)
{
  Guard *self = (Guard *)backend;
  GuardQueue *queue = find_queue (self, worker);

  queue->settling = TRUE;
  while (queue->n_inflight > queue->n_held)
    {
      submit_due (queue, TRUE);
      self->inner->ops->drain (self->inner, worker);
    }
  queue->settling = FALSE;
  g_clear_pointer (&queue->timer, vmm_timer_free);
  return queue->n_held;
}

static void
guard_drain (BlockBackend *backend, VmmWorker *worker)
{
  GuardQueue *queue = find_queue ((Guard *)backend, worker);

  /* What ends may bring the next one (a list of ranges), which may be held again. */
  while (guard_settle (backend, worker) > 0)
    {
      RequestList held = take_held (queue);
      BlockRequest *request;

      while ((request = pop (&held)) != NULL)
        finish (request, request->guard.error);
    }
}

static void
retry_queue (gpointer user_data)
{
  GuardQueue *queue = user_data;
  RequestList held = take_held (queue);
  BlockRequest *request;

  while ((request = pop (&held)) != NULL)
    forward (queue, request);
}

void
block_guard_retry (BlockBackend *backend)
{
  Guard *self = (Guard *)backend;

  for (GuardQueue *queue = g_atomic_pointer_get (&self->queues); queue != NULL; queue = queue->next)
    vmm_post_schedule (queue->retry);
}

guint
block_guard_get_n_held (BlockBackend *backend)
{
  return (guint)g_atomic_int_get (&((Guard *)backend)->n_held);
}

/* ---- the rest of the interface ---- */

static void
guard_get_info (BlockBackend *backend, BlockInfo *ret_info)
{
  Guard *self = (Guard *)backend;

  self->inner->ops->get_info (self->inner, ret_info);
}

static gboolean
guard_flush_sync (BlockBackend *backend, GError **error)
{
  Guard *self = (Guard *)backend;
  guint n = block_guard_get_n_held (backend);

  if (n > 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "“%s” has %u unfinished requests, because the host could not carry them out: "
                   "make room or mend the storage, then resume the machine",
                   backend->name, n);
      return FALSE;
    }
  return self->inner->ops->flush_sync (self->inner, error);
}

static struct _BlockImage *
guard_get_image (BlockBackend *backend)
{
  return block_backend_get_image (((Guard *)backend)->inner);
}

static void
guard_close (BlockBackend *backend)
{
  Guard *self = (Guard *)backend;
  GuardQueue *queue = self->queues, *next;

  for (; queue != NULL; queue = next)
    {
      next = queue->next;
      vmm_post_free (queue->retry);
      g_free (queue);
    }
  block_backend_close (self->inner);
  g_mutex_clear (&self->lock);
  g_free (backend->name);
  g_free (self);
}

static const BlockBackendOps guard_ops = {
  .name = "guard",
  .submit = guard_submit,
  .drain = guard_drain,
  .settle = guard_settle,
  .get_info = guard_get_info,
  .flush_sync = guard_flush_sync,
  .close = guard_close,
  .get_image = guard_get_image,
};

BlockBackend *
block_guard_new (BlockBackend *inner, const BlockGuardConfig *config)
{
  Guard *self = g_new0 (Guard, 1);

  self->parent.ops = &guard_ops;
  self->parent.name = g_strdup (inner->name);
  self->inner = inner;
  self->config = *config;
  self->limited = block_throttle_is_limited (&config->throttle);
  g_mutex_init (&self->lock);
  block_throttle_init (&self->throttle, &config->throttle);
  return &self->parent;
}

void
block_guard_stats (BlockBackend *backend,
                   void (*add) (gpointer user_data, const char *name, guint64 value),
                   gpointer user_data)
{
  static const char *const kinds[N_KINDS] = { "read", "write", "flush", "other" };
  static const struct
  {
    const char *name;
    guint per_mille;
  } points[] = { { "p50", 500 }, { "p90", 100 }, { "p99", 10 }, { "p999", 1 } };
  Guard *self = (Guard *)backend;

  for (guint i = 0; i < N_KINDS; i++)
    {
      const BlockHistogram *histogram = &self->latencies[i];
      guint64 n = __atomic_load_n (&histogram->n, __ATOMIC_RELAXED);
      char name[64];

      if (n == 0)
        continue;
      for (guint j = 0; j < G_N_ELEMENTS (points); j++)
        {
          g_snprintf (name, sizeof name, "latency.%s.%s-us", kinds[i], points[j].name);
          add (user_data, name, block_histogram_get (histogram, points[j].per_mille) / 1000);
        }
      g_snprintf (name, sizeof name, "latency.%s.max-us", kinds[i]);
      add (user_data, name, __atomic_load_n (&histogram->max_ns, __ATOMIC_RELAXED) / 1000);
      g_snprintf (name, sizeof name, "latency.%s.mean-us", kinds[i]);
      add (user_data, name, __atomic_load_n (&histogram->total_ns, __ATOMIC_RELAXED) / n / 1000);
      g_snprintf (name, sizeof name, "latency.%s.count", kinds[i]);
      add (user_data, name, n);
    }
  if (self->limited)
    {
      add (user_data, "throttled", __atomic_load_n (&self->n_delayed, __ATOMIC_RELAXED));
      add (user_data, "throttled-us", __atomic_load_n (&self->delayed_ns, __ATOMIC_RELAXED) / 1000);
    }
  add (user_data, "held", block_guard_get_n_held (backend));
  add (user_data, "held-ever", __atomic_load_n (&self->n_held_ever, __ATOMIC_RELAXED));
}
