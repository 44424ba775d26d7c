/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/post.h"

typedef struct
{
  VmmWorker *worker;
  VmmPost *post;
  guint n, more;
  GMutex lock;
  GCond cond;
  gboolean started, go_on;
} Fixture;

static void
count (gpointer user_data)
{
  Fixture *f = user_data;

  f->n++;
  if (f->more > 0)
    {
      f->more--;
      vmm_post_schedule (f->post);
    }
}

static void
run (VmmWorker *worker)
{
  while (vmm_worker_iterate (worker, 0))
    continue;
}

static void
test_once (void)
{
  Fixture f = { .worker = vmm_worker_new_manual ("w", VMM_WORKER_NO_URING), .more = 2 };

  f.post = vmm_post_new (f.worker, count, &f);
  run (f.worker);
  g_assert_cmpuint (f.n, ==, 0);
  vmm_post_schedule (f.post);
  vmm_post_schedule (f.post);
  g_assert_cmpuint (f.n, ==, 0);
  run (f.worker);
  g_assert_cmpuint (f.n, ==, 3); /* once, and twice what it asked for itself */
  vmm_post_schedule (f.post);
  run (f.worker);
  g_assert_cmpuint (f.n, ==, 4);
  vmm_post_free (f.post);
  vmm_post_free (NULL);
  vmm_worker_free (f.worker);
}

/* What it points to may be gone, and so may the worker. */
static void
test_taken_back (void)
{
  VmmWorker *worker = vmm_worker_new_manual ("w", VMM_WORKER_NO_URING);
  Fixture *f = g_new0 (Fixture, 1);
  VmmPost *late;

  f->post = vmm_post_new (worker, count, f);
  vmm_post_schedule (f->post);
  vmm_post_free (f->post);
  late = vmm_post_new (worker, count, f);
  vmm_post_schedule (late);
  g_free (f);
  vmm_post_free (late);
  run (worker);

  f = g_new0 (Fixture, 1);
  late = vmm_post_new (worker, count, f);
  vmm_post_schedule (late);
  vmm_worker_free (worker); /* runs it */
  g_assert_cmpuint (f->n, ==, 1);
  vmm_post_free (late);
  g_free (f);
}

static void
free_itself (gpointer user_data)
{
  Fixture *f = user_data;

  vmm_post_schedule (f->post);
  g_clear_pointer (&f->post, vmm_post_free);
  f->n++;
}

static void
test_frees_itself (void)
{
  Fixture f = { .worker = vmm_worker_new_manual ("w", VMM_WORKER_NO_URING) };

  f.post = vmm_post_new (f.worker, free_itself, &f);
  vmm_post_schedule (f.post);
  run (f.worker);
  g_assert_cmpuint (f.n, ==, 1);
  vmm_worker_free (f.worker);
}

static void
wait_inside (gpointer user_data)
{
  Fixture *f = user_data;

  g_mutex_lock (&f->lock);
  f->started = TRUE;
  g_cond_signal (&f->cond);
  while (!f->go_on)
    g_cond_wait (&f->cond, &f->lock);
  g_mutex_unlock (&f->lock);
  g_atomic_int_inc (&f->n);
}

static gpointer
let_go (gpointer user_data)
{
  Fixture *f = user_data;

  g_mutex_lock (&f->lock);
  f->go_on = TRUE;
  g_cond_signal (&f->cond);
  g_mutex_unlock (&f->lock);
  return NULL;
}

/* One that is under way is waited for. */
static void
test_waits (void)
{
  Fixture f = { .worker = vmm_worker_new ("w", VMM_WORKER_NO_URING, NULL) };
  GThread *thread;

  g_mutex_init (&f.lock);
  g_cond_init (&f.cond);
  f.post = vmm_post_new (f.worker, wait_inside, &f);
  vmm_post_schedule (f.post);
  g_mutex_lock (&f.lock);
  while (!f.started)
    g_cond_wait (&f.cond, &f.lock);
  g_mutex_unlock (&f.lock);
  thread = g_thread_new ("let-go", let_go, &f);
  vmm_post_free (f.post);
  g_assert_cmpuint (g_atomic_int_get (&f.n), ==, 1);
  g_thread_join (thread);
  vmm_worker_free (f.worker);
  g_mutex_clear (&f.lock);
  g_cond_clear (&f.cond);
}

static void
count_atomic (gpointer user_data)
{
  g_atomic_int_inc ((guint *)user_data);
}

/* Scheduled by this thread while the worker runs it, taken back at any moment. */
static void
test_race (void)
{
  VmmWorker *worker = vmm_worker_new ("w", VMM_WORKER_NO_URING, NULL);

  for (guint i = 0; i < 2000; i++)
    {
      guint *n = g_new0 (guint, 1), end;
      VmmPost *post = vmm_post_new (worker, count_atomic, n);

      for (guint k = 0; k < i % 7; k++)
        vmm_post_schedule (post);
      if (i % 3 == 0)
        g_thread_yield ();
      vmm_post_free (post);
      end = g_atomic_int_get (n);
      g_assert_cmpuint (end, <=, i % 7);
      g_free (n);
    }
  vmm_worker_free (worker);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/post/once", test_once);
  g_test_add_func ("/post/taken-back", test_taken_back);
  g_test_add_func ("/post/frees-itself", test_frees_itself);
  g_test_add_func ("/post/waits", test_waits);
  g_test_add_func ("/post/race", test_race);
  return g_test_run ();
}
