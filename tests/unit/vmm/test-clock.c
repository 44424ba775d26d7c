/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/harness.h"

typedef struct
{
  VmmClock *clock;
  VmmTimer *timer, *other;
  GString *log;
  char name;
  gint64 again; /* rearm after this many ns */
  guint n;
  gboolean free_self;
  gint64 at;
} Probe;

static void
on_timer (gpointer user_data)
{
  Probe *p = user_data;

  p->n++;
  p->at = vmm_clock_get_ns (p->clock);
  if (p->log != NULL)
    g_string_append_c (p->log, p->name);
  if (p->again != 0)
    vmm_timer_set (p->timer, p->at + p->again);
  if (p->free_self)
    vmm_timer_free (g_steal_pointer (&p->timer));
  if (p->other != NULL)
    vmm_timer_free (g_steal_pointer (&p->other));
}

static void
test_fake (void)
{
  VmmClock *clock = vmm_clock_new_fake (1000, 5000000);
  g_autoptr (GString) log = g_string_new (NULL);
  Probe a = { .clock = clock, .log = log, .name = 'a' };
  Probe b = { .clock = clock, .log = log, .name = 'b', .again = 100 };
  Probe c = { .clock = clock, .log = log, .name = 'c' };

  a.timer = vmm_timer_new (clock, NULL, on_timer, &a);
  b.timer = vmm_timer_new (clock, NULL, on_timer, &b);
  c.timer = vmm_timer_new (clock, NULL, on_timer, &c);
  g_assert_cmpint (vmm_timer_get (a.timer), ==, VMM_CLOCK_NEVER);
  vmm_timer_set (a.timer, 1250);
  vmm_timer_set (b.timer, 1100);
  vmm_timer_set (c.timer, 1250);
  vmm_clock_advance (clock, 99);
  g_assert_cmpuint (log->len, ==, 0);
  vmm_clock_advance (clock, 201); /* 1300: b at 1100, b at 1200, a, c at 1250, b at 1300 */
  g_assert_cmpstr (log->str, ==, "bbacb");
  g_assert_cmpint (a.at, ==, 1250);
  g_assert_cmpint (vmm_clock_get_ns (clock), ==, 1300);
  vmm_timer_set (b.timer, VMM_CLOCK_NEVER);
  vmm_timer_set (a.timer, 0); /* past: fires at once */
  vmm_clock_advance (clock, 0);
  g_assert_cmpuint (a.n, ==, 2);
  g_assert_cmpint (a.at, ==, 1300);

  vmm_clock_advance (clock, 3 * VMM_NSEC_PER_SEC - 300);
  g_assert_cmpint (vmm_clock_get_wall_us (clock), ==, 8000000);

  /* a pause holds time and timers */
  vmm_timer_set (a.timer, vmm_clock_get_ns (clock) + 10);
  vmm_clock_pause (clock);
  vmm_clock_advance (clock, 100);
  g_assert_cmpuint (a.n, ==, 2);
  vmm_clock_resume (clock);
  vmm_clock_advance (clock, 10);
  g_assert_cmpuint (a.n, ==, 3);

  /* a callback frees its own timer and another that is due */
  c.free_self = TRUE;
  c.other = g_steal_pointer (&b.timer);
  vmm_timer_set (c.other, vmm_clock_get_ns (clock) + 1);
  vmm_timer_set (c.timer, vmm_clock_get_ns (clock) + 1);
  b.n = 0;
  b.again = 0;
  vmm_timer_set (c.other, vmm_clock_get_ns (clock) + 2);
  vmm_clock_advance (clock, 5);
  g_assert_null (c.timer);
  g_assert_cmpuint (b.n, ==, 0);
  vmm_timer_free (a.timer);
  vmm_timer_free (NULL);
  vmm_clock_free (clock);
}

typedef struct
{
  GMutex lock;
  GCond cond;
  guint n;
  VmmClock *clock;
  gint64 at;
  VmmWorker *worker;
  VmmTimer *timer;
} Real;

static void
on_real (gpointer user_data)
{
  Real *r = user_data;

  g_assert_true (vmm_worker_is_current (r->worker));
  g_mutex_lock (&r->lock);
  r->n++;
  r->at = vmm_clock_get_ns (r->clock);
  g_cond_signal (&r->cond);
  g_mutex_unlock (&r->lock);
}

static void
wait_n (Real *r, guint n)
{
  gint64 deadline = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

  g_mutex_lock (&r->lock);
  while (r->n < n)
    g_assert_true (g_cond_wait_until (&r->cond, &r->lock, deadline));
  g_mutex_unlock (&r->lock);
}

static void
test_real (void)
{
  Real r = { .clock = vmm_clock_new () };
  VmmTimer *timer;
  gint64 due, frozen;

  r.worker = vmm_worker_new ("clock", VMM_WORKER_NONE, NULL);
  timer = vmm_timer_new (r.clock, r.worker, on_real, &r);
  due = vmm_clock_get_ns (r.clock) + 3000000;
  vmm_timer_set (timer, due);
  wait_n (&r, 1);
  g_assert_cmpint (r.at, >=, due);
  vmm_timer_set (timer, 1);
  wait_n (&r, 2);

  vmm_clock_pause (r.clock);
  frozen = vmm_clock_get_ns (r.clock);
  vmm_timer_set (timer, frozen + 1);
  g_usleep (3000);
  g_assert_cmpint (vmm_clock_get_ns (r.clock), ==, frozen);
  g_assert_cmpuint (r.n, ==, 2);
  vmm_clock_resume (r.clock);
  wait_n (&r, 3);
  vmm_clock_pause (r.clock);
  vmm_clock_set_ns (r.clock, 77);
  g_assert_cmpint (vmm_clock_get_ns (r.clock), ==, 77);
  vmm_clock_resume (r.clock);
  g_assert_cmpint (vmm_clock_get_ns (r.clock), >=, 77);
  g_assert_cmpint (vmm_clock_get_ns (r.clock), <, 60 * VMM_NSEC_PER_SEC);
  vmm_timer_free (timer);
  vmm_clock_free (r.clock);
  vmm_worker_free (r.worker);
}

/* Free from another thread while the callback fires all the time. */
static void
on_busy (gpointer user_data)
{
  Probe *p = user_data;

  p->n++;
  vmm_timer_set (p->timer, 0);
}

static void
test_free_race (void)
{
  VmmClock *clock = vmm_clock_new ();
  VmmWorker *worker = vmm_worker_new ("clock", VMM_WORKER_NONE, NULL);

  for (guint i = 0; i < 200; i++)
    {
      Probe p = { .clock = clock };

      if (i % 10 == 0) /* nothing of the timers may outlive them */
        {
          vmm_clock_free (clock);
          p.clock = clock = vmm_clock_new ();
        }
      p.timer = vmm_timer_new (clock, worker, on_busy, &p);
      vmm_timer_set (p.timer, 0);
      if (i % 3 == 0)
        g_usleep (100);
      vmm_timer_free (p.timer);
    }
  vmm_clock_free (clock);
  vmm_worker_free (worker);
}

/* The last timer of a worker frees itself in its callback. */
static void
on_last (gpointer user_data)
{
  Real *r = user_data;

  vmm_timer_free (g_steal_pointer (&r->timer));
  on_real (r);
}

static void
test_free_self (void)
{
  Real r = { .clock = vmm_clock_new () };

  r.worker = vmm_worker_new ("clock", VMM_WORKER_NONE, NULL);
  for (guint i = 0; i < 100; i++)
    {
      r.timer = vmm_timer_new (r.clock, r.worker, on_last, &r);
      vmm_timer_set (r.timer, 0);
      wait_n (&r, i + 1);
    }
  vmm_worker_free (r.worker);
  vmm_clock_free (r.clock);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/clock/fake", test_fake);
  g_test_add_func ("/vmm/clock/real", test_real);
  g_test_add_func ("/vmm/clock/free-race", test_free_race);
  g_test_add_func ("/vmm/clock/free-self", test_free_self);
  return g_test_run ();
}
