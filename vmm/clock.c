/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guest time and timers. Timers of one worker share a timerfd, kept in a queue sorted by deadline;
 * a fake clock has one queue without worker or fd. */
#include "vmm/clock.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

typedef struct
{
  VmmClock *clock;
  VmmWorker *worker;
  VmmSource *source;
  int fd;
  guint n_timers;
  gboolean dispatching; /* on_timerfd runs callbacks */
  gboolean orphan;      /* on_timerfd frees it */
  gint64 armed;         /* guest ns the timerfd is set to; VMM_CLOCK_NEVER when off */
  GQueue armed_timers;  /* VmmTimer, sorted by deadline, then by arming order */
} TimerQueue;

struct _VmmTimer
{
  VmmClock *clock;
  TimerQueue *queue;
  VmmTimerFunc callback;
  gpointer user_data;
  gint64 deadline;
  GList link;
  gboolean running;
  gboolean freed; /* freed inside its own callback */
  GThread *runner;
};

struct _VmmClock
{
  gboolean fake;
  GMutex lock;
  GCond idle;      /* a callback returned */
  guint n_running; /* callbacks in flight */
  gboolean paused;
  gint64 offset;    /* guest ns = host ns - offset while running */
  gint64 frozen;    /* guest ns while paused, and always for a fake clock */
  gint64 fake_wall; /* ns since 1970 */
  GPtrArray *queues;
};

static gint64
host_ns (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (gint64)ts.tv_sec * VMM_NSEC_PER_SEC + ts.tv_nsec;
}

static VmmClock *
clock_new (gboolean fake)
{
  VmmClock *clock = g_new0 (VmmClock, 1);

  clock->fake = fake;
  g_mutex_init (&clock->lock);
  g_cond_init (&clock->idle);
  clock->queues = g_ptr_array_new ();
  return clock;
}

VmmClock *
vmm_clock_new (void)
{
  VmmClock *clock = clock_new (FALSE);

  clock->offset = host_ns ();
  return clock;
}

VmmClock *
vmm_clock_new_fake (gint64 start_ns, gint64 start_wall_us)
{
  VmmClock *clock = clock_new (TRUE);

  clock->frozen = start_ns;
  clock->fake_wall = start_wall_us * 1000;
  return clock;
}

void
vmm_clock_free (VmmClock *clock)
{
  if (clock == NULL)
    return;
  g_assert (clock->queues->len == 0);
  g_ptr_array_unref (clock->queues);
  g_cond_clear (&clock->idle);
  g_mutex_clear (&clock->lock);
  g_free (clock);
}

gboolean
vmm_clock_is_fake (VmmClock *clock)
{
  return clock->fake;
}

static gint64
get_ns_locked (VmmClock *clock)
{
  return clock->fake || clock->paused ? clock->frozen : host_ns () - clock->offset;
}

gint64
vmm_clock_get_ns (VmmClock *clock)
{
  gint64 ns;

  /* The PM timer reads this on every access: no lock while the clock runs. offset changes only in
   * a pause, when no vCPU runs. */
  if (!clock->fake && !__atomic_load_n (&clock->paused, __ATOMIC_ACQUIRE))
    return host_ns () - __atomic_load_n (&clock->offset, __ATOMIC_RELAXED);
  g_mutex_lock (&clock->lock);
  ns = get_ns_locked (clock);
  g_mutex_unlock (&clock->lock);
  return ns;
}

gint64
vmm_clock_get_wall_us (VmmClock *clock)
{
  gint64 us;

  if (!clock->fake)
    return g_get_real_time ();
  g_mutex_lock (&clock->lock);
  us = clock->fake_wall / 1000;
  g_mutex_unlock (&clock->lock);
  return us;
}

/* Sets the queue's timerfd to its first deadline. clock->lock is held. */
static void
rearm_locked (TimerQueue *queue)
{
  VmmClock *clock = queue->clock;
  VmmTimer *first = g_queue_peek_head (&queue->armed_timers);
  gint64 want = first != NULL && !clock->paused ? first->deadline : VMM_CLOCK_NEVER;
  struct itimerspec spec = { 0 };
  gint64 host;

  if (queue->fd < 0 || want == queue->armed)
    return;
  queue->armed = want;
  if (want != VMM_CLOCK_NEVER)
    {
      /* A past deadline must still fire: zero would disarm. */
      host = want > G_MAXINT64 - MAX (clock->offset, 0) ? G_MAXINT64 : want + clock->offset;
      host = MAX (host, 1);
      spec.it_value.tv_sec = host / VMM_NSEC_PER_SEC;
      spec.it_value.tv_nsec = host % VMM_NSEC_PER_SEC;
    }
  (void)timerfd_settime (queue->fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void
unlink_locked (VmmTimer *timer)
{
  if (timer->deadline == VMM_CLOCK_NEVER)
    return;
  timer->deadline = VMM_CLOCK_NEVER;
  g_queue_unlink (&timer->queue->armed_timers, &timer->link);
}

static void
run_locked (VmmTimer *timer)
{
  VmmClock *clock = timer->clock;

  timer->running = TRUE;
  timer->runner = g_thread_self ();
  clock->n_running++;
  g_mutex_unlock (&clock->lock);
  timer->callback (timer->user_data);
  g_mutex_lock (&clock->lock);
  clock->n_running--;
  timer->running = FALSE;
  timer->runner = NULL;
  g_cond_broadcast (&clock->idle);
  if (timer->freed)
    g_free (timer);
}

/* Gives back a timer's count of the queue. Returns it when that was the last: free it with queue_free
 * after unlocking (removing the source waits for the worker). A callback that freed the last timer
 * itself leaves the queue to on_timerfd, which is using it. */
static TimerQueue *
queue_unref_locked (TimerQueue *queue)
{
  if (--queue->n_timers > 0)
    return NULL;
  g_ptr_array_remove_fast (queue->clock->queues, queue);
  queue->orphan = queue->dispatching && vmm_worker_is_current (queue->worker);
  return queue->orphan ? NULL : queue;
}

static void
queue_free (TimerQueue *queue)
{
  if (queue == NULL)
    return;
  if (queue->source != NULL)
    vmm_source_remove (queue->source);
  if (queue->fd >= 0)
    close (queue->fd);
  g_free (queue);
}

/* The timerfd fired. One pass over what is due now, so that a timer that always rearms itself in
 * the past cannot keep the worker from its other sources. */
static void
on_timerfd (gpointer user_data)
{
  TimerQueue *queue = user_data;
  VmmClock *clock = queue->clock;
  TimerQueue *orphan = NULL;
  gint64 now;

  g_mutex_lock (&clock->lock);
  queue->armed = VMM_CLOCK_NEVER;
  now = get_ns_locked (clock);
  queue->dispatching = TRUE;
  for (guint budget = g_queue_get_length (&queue->armed_timers); budget > 0; budget--)
    {
      VmmTimer *timer = g_queue_peek_head (&queue->armed_timers);

      if (timer == NULL || timer->deadline > now || clock->paused)
        break;
      unlink_locked (timer);
      run_locked (timer);
    }
  queue->dispatching = FALSE;
  if (!queue->orphan)
    rearm_locked (queue);
  else
    orphan = queue;
  g_mutex_unlock (&clock->lock);
  queue_free (orphan);
}

static TimerQueue *
get_queue_locked (VmmClock *clock, VmmWorker *worker)
{
  TimerQueue *queue;

  for (guint i = 0; i < clock->queues->len; i++)
    {
      queue = g_ptr_array_index (clock->queues, i);
      if (clock->fake || queue->worker == worker)
        return queue;
    }
  queue = g_new0 (TimerQueue, 1);
  queue->clock = clock;
  queue->worker = worker;
  queue->armed = VMM_CLOCK_NEVER;
  queue->fd = -1;
  if (!clock->fake)
    {
      g_assert (worker != NULL);
      queue->fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
      if (queue->fd >= 0)
        queue->source = vmm_worker_add_eventfd (worker, queue->fd, on_timerfd, queue);
    }
  g_queue_init (&queue->armed_timers);
  g_ptr_array_add (clock->queues, queue);
  return queue;
}

VmmTimer *
vmm_timer_new (VmmClock *clock, VmmWorker *worker, VmmTimerFunc callback, gpointer user_data)
{
  VmmTimer *timer = g_new0 (VmmTimer, 1);

  timer->clock = clock;
  timer->callback = callback;
  timer->user_data = user_data;
  timer->deadline = VMM_CLOCK_NEVER;
  timer->link.data = timer;
  g_mutex_lock (&clock->lock);
  timer->queue = get_queue_locked (clock, worker);
  timer->queue->n_timers++;
  g_mutex_unlock (&clock->lock);
  return timer;
}

void
vmm_timer_free (VmmTimer *timer)
{
  VmmClock *clock;
  TimerQueue *queue;

  if (timer == NULL)
    return;
  clock = timer->clock;
  queue = timer->queue;
  g_mutex_lock (&clock->lock);
  unlink_locked (timer);
  while (timer->running && timer->runner != g_thread_self ())
    {
      g_cond_wait (&clock->idle, &clock->lock);
      unlink_locked (timer); /* its callback may have armed it again */
    }
  queue = queue_unref_locked (queue);
  if (timer->running)
    timer->freed = TRUE;
  else
    g_free (timer);
  g_mutex_unlock (&clock->lock);
  queue_free (queue);
}

void
vmm_timer_set (VmmTimer *timer, gint64 deadline_ns)
{
  VmmClock *clock = timer->clock;
  TimerQueue *queue = timer->queue;
  GList *before;

  g_mutex_lock (&clock->lock);
  if (deadline_ns != timer->deadline && !timer->freed)
    {
      unlink_locked (timer);
      timer->deadline = deadline_ns;
      if (deadline_ns != VMM_CLOCK_NEVER)
        {
          for (before = queue->armed_timers.head; before != NULL; before = before->next)
            if (((VmmTimer *)before->data)->deadline > deadline_ns)
              break;
          if (before != NULL)
            g_queue_insert_before_link (&queue->armed_timers, before, &timer->link);
          else
            g_queue_push_tail_link (&queue->armed_timers, &timer->link);
        }
      rearm_locked (queue);
    }
  g_mutex_unlock (&clock->lock);
}

gint64
vmm_timer_get (VmmTimer *timer)
{
  gint64 deadline;

  g_mutex_lock (&timer->clock->lock);
  deadline = timer->deadline;
  g_mutex_unlock (&timer->clock->lock);
  return deadline;
}

/* Does this thread run one of the callbacks in flight? */
static gboolean
in_callback_locked (VmmClock *clock)
{
  /* Only the worker's own thread can be inside a callback of its queue. */
  for (guint i = 0; i < clock->queues->len; i++)
    {
      TimerQueue *queue = g_ptr_array_index (clock->queues, i);

      if (queue->worker != NULL && vmm_worker_is_current (queue->worker))
        return TRUE;
    }
  return clock->fake;
}

void
vmm_clock_pause (VmmClock *clock)
{
  g_mutex_lock (&clock->lock);
  if (!clock->paused)
    {
      clock->frozen = get_ns_locked (clock);
      __atomic_store_n (&clock->paused, TRUE, __ATOMIC_RELEASE);
      for (guint i = 0; i < clock->queues->len; i++)
        rearm_locked (g_ptr_array_index (clock->queues, i));
    }
  while (clock->n_running > 0 && !in_callback_locked (clock))
    g_cond_wait (&clock->idle, &clock->lock);
  g_mutex_unlock (&clock->lock);
}

void
vmm_clock_resume (VmmClock *clock)
{
  g_mutex_lock (&clock->lock);
  if (clock->paused)
    {
      if (!clock->fake)
        __atomic_store_n (&clock->offset, host_ns () - clock->frozen, __ATOMIC_RELAXED);
      __atomic_store_n (&clock->paused, FALSE, __ATOMIC_RELEASE);
      for (guint i = 0; i < clock->queues->len; i++)
        rearm_locked (g_ptr_array_index (clock->queues, i));
    }
  g_mutex_unlock (&clock->lock);
}

void
vmm_clock_set_ns (VmmClock *clock, gint64 ns)
{
  g_mutex_lock (&clock->lock);
  if (clock->fake || clock->paused)
    clock->frozen = ns;
  g_mutex_unlock (&clock->lock);
}

void
vmm_clock_advance (VmmClock *clock, gint64 ns)
{
  gint64 end;

  g_assert (clock->fake);
  g_mutex_lock (&clock->lock);
  end = clock->frozen + ns;
  while (!clock->paused && clock->queues->len > 0)
    {
      TimerQueue *queue = g_ptr_array_index (clock->queues, 0);
      VmmTimer *timer = g_queue_peek_head (&queue->armed_timers);

      if (timer == NULL || timer->deadline > end)
        break;
      if (timer->deadline > clock->frozen)
        {
          clock->fake_wall += timer->deadline - clock->frozen;
          clock->frozen = timer->deadline;
        }
      unlink_locked (timer);
      run_locked (timer);
    }
  if (!clock->paused && end > clock->frozen)
    {
      clock->fake_wall += end - clock->frozen;
      clock->frozen = end;
    }
  g_mutex_unlock (&clock->lock);
}
