/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Limits, latencies and held requests, with a back end that does what the test says. */
#include <errno.h>
#include <string.h>

#include "devices/backends/block/guard.h"
#include "devices/backends/block/histogram.h"

typedef struct
{
  BlockBackend parent; /* the inner back end */
  BlockBackend *guard;
  VmmClock *clock;
  VmmWorker *worker;
  int answer;      /* to every request that arrives */
  guint n_arrived; /* at the inner back end */
  guint n_done;
  int result;
  guint n_held_calls;
  int held_error;
  gboolean closed;
} Fixture;

static void
inner_submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  Fixture *f = (Fixture *)backend;

  f->n_arrived++;
  request->done (request, f->answer);
}

static void
inner_drain (BlockBackend *backend, VmmWorker *worker)
{
}

static void
inner_get_info (BlockBackend *backend, BlockInfo *info)
{
  *info = (BlockInfo){ .size = 1 << 20, .logical_block = 512 };
}

static gboolean
inner_flush_sync (BlockBackend *backend, GError **error)
{
  return TRUE;
}

static void
inner_close (BlockBackend *backend)
{
  ((Fixture *)backend)->closed = TRUE;
}

static const BlockBackendOps inner_ops = {
  .name = "inner",
  .submit = inner_submit,
  .drain = inner_drain,
  .get_info = inner_get_info,
  .flush_sync = inner_flush_sync,
  .close = inner_close,
};

static void
on_held (BlockBackend *backend, int error, gpointer user_data)
{
  Fixture *f = user_data;

  f->n_held_calls++;
  f->held_error = error;
}

static void
set_up_with (Fixture *f, gboolean pause, const BlockThrottleConfig *throttle)
{
  BlockGuardConfig config = { .pause_on_error = pause, .held = on_held, .user_data = f };

  f->parent.ops = &inner_ops;
  f->parent.name = (char *)"inner";
  f->clock = vmm_clock_new_fake (VMM_NSEC_PER_SEC, 0);
  f->worker = vmm_worker_new_manual ("io", VMM_WORKER_NO_URING);
  config.clock = f->clock;
  if (throttle != NULL)
    config.throttle = *throttle;
  f->guard = block_guard_new (&f->parent, &config);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  set_up_with (f, data != NULL, NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  /* As a machine ends: what is under way, then the clock, then the back ends. */
  f->guard->ops->drain (f->guard, f->worker);
  vmm_worker_free (f->worker);
  vmm_clock_free (f->clock);
  block_backend_close (f->guard);
  g_assert_true (f->closed);
}

static void
on_done (BlockRequest *request, int result)
{
  Fixture *f = request->user_data;

  f->n_done++;
  f->result = result;
}

static void
submit (Fixture *f, BlockRequest *request, BlockOp op, guint64 length)
{
  static const struct iovec iov;

  *request = (BlockRequest){
    .op = op, .length = length, .iov = &iov, .n_iov = 1, .done = on_done, .user_data = f
  };
  f->guard->ops->submit (f->guard, f->worker, request);
}

static void
iterate (Fixture *f)
{
  while (vmm_worker_iterate (f->worker, 0))
    continue;
}

static void
test_hold (Fixture *f, gconstpointer data)
{
  BlockRequest requests[3];
  g_autoptr (GError) error = NULL;

  f->answer = -ENOSPC;
  submit (f, &requests[0], BLOCK_OP_WRITE, 512);
  submit (f, &requests[1], BLOCK_OP_WRITE_ZEROES, 512);
  submit (f, &requests[2], BLOCK_OP_FLUSH, 0);
  g_assert_cmpuint (f->n_done, ==, 0);
  g_assert_cmpuint (f->n_held_calls, ==, 3);
  g_assert_cmpint (f->held_error, ==, -ENOSPC);
  g_assert_cmpuint (block_guard_get_n_held (f->guard), ==, 3);
  g_assert_cmpuint (block_backend_settle (f->guard, f->worker), ==, 3);
  g_assert_false (f->guard->ops->flush_sync (f->guard, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);

  block_guard_retry (f->guard); /* still no space */
  iterate (f);
  g_assert_cmpuint (f->n_arrived, ==, 6);
  g_assert_cmpuint (f->n_done, ==, 0);
  g_assert_cmpuint (block_guard_get_n_held (f->guard), ==, 3);

  f->answer = 0;
  block_guard_retry (f->guard);
  iterate (f);
  g_assert_cmpuint (f->n_done, ==, 3);
  g_assert_cmpint (f->result, ==, 0);
  g_assert_cmpuint (block_guard_get_n_held (f->guard), ==, 0);
  g_assert_cmpuint (block_backend_settle (f->guard, f->worker), ==, 0);
  g_assert_true (f->guard->ops->flush_sync (f->guard, NULL));
}

/* A reset: what is held ends, with its error. */
static void
test_drain (Fixture *f, gconstpointer data)
{
  BlockRequest request;

  f->answer = -EDQUOT;
  submit (f, &request, BLOCK_OP_WRITE, 512);
  g_assert_cmpuint (f->n_done, ==, 0);
  f->guard->ops->drain (f->guard, f->worker);
  g_assert_cmpuint (f->n_done, ==, 1);
  g_assert_cmpint (f->result, ==, -EDQUOT);
  block_guard_retry (f->guard);
  iterate (f);
  g_assert_cmpuint (f->n_arrived, ==, 1);
}

static void
test_errors (Fixture *f, gconstpointer data)
{
  static const int own[] = { EINVAL, EROFS, EOPNOTSUPP };
  gboolean pauses = data != NULL;
  BlockRequest request;

  for (guint i = 0; i < G_N_ELEMENTS (own); i++)
    {
      f->answer = -own[i];
      submit (f, &request, BLOCK_OP_WRITE, 512);
      g_assert_cmpuint (f->n_done, ==, i + 1);
      g_assert_cmpint (f->result, ==, -own[i]);
    }
  f->n_done = 0;
  f->answer = -EIO;
  submit (f, &request, BLOCK_OP_READ, 512);
  g_assert_cmpuint (f->n_done, ==, pauses ? 0 : 1);
  g_assert_cmpuint (f->n_held_calls, ==, pauses ? 1 : 0);
  f->guard->ops->drain (f->guard, f->worker);
  g_assert_cmpuint (f->n_done, ==, 1);
  g_assert_cmpint (f->result, ==, -EIO);
}

/* A retry that is on its way when the back end is closed finds nothing. */
static void
test_late_retry (Fixture *f, gconstpointer data)
{
  BlockRequest request;

  submit (f, &request, BLOCK_OP_WRITE, 512);
  block_guard_retry (f->guard);
}

static void
test_throttle (Fixture *f, gconstpointer data)
{
  const BlockThrottleConfig throttle = { .rates = { [BLOCK_LIMIT_OPS_WRITE] = 10 },
                                         .burst_ms = 200 };
  BlockRequest requests[32];
  guint n;

  set_up_with (f, FALSE, &throttle);
  for (guint i = 0; i < 20; i++)
    submit (f, &requests[i], BLOCK_OP_WRITE, 512);
  /* Two of the burst, and the one that the rate has now. */
  g_assert_cmpuint (f->n_done, ==, 3);
  submit (f, &requests[20], BLOCK_OP_READ, 512);
  submit (f, &requests[21], BLOCK_OP_FLUSH, 0);
  g_assert_cmpuint (f->n_done, ==, 4); /* a read stands behind the writes that wait, a flush not */
  f->n_done--;
  for (guint i = 1; i <= 10; i++)
    {
      vmm_clock_advance (f->clock, VMM_NSEC_PER_SEC / 10);
      iterate (f);
      g_assert_cmpuint (f->n_done, ==, 3 + i);
    }
  n = f->n_done;
  /* A pause waits for nothing. */
  g_assert_cmpuint (block_backend_settle (f->guard, f->worker), ==, 0);
  g_assert_cmpuint (f->n_done, ==, 21);
  g_assert_cmpuint (n, <, 21);
}

static void
test_burst (void)
{
  const BlockThrottleConfig config = {
    .rates = { [BLOCK_LIMIT_BYTES] = 1 << 20, [BLOCK_LIMIT_OPS_READ] = 1000 }, .burst_ms = 1000
  };
  BlockThrottle throttle;
  gint64 now = 5 * VMM_NSEC_PER_SEC, last = 0;
  guint64 bytes = 0;

  g_assert_true (block_throttle_is_limited (&config));
  block_throttle_init (&throttle, &config);
  /* 1 MiB at once after a rest, then 1 MiB a second. */
  while (bytes < 5 << 20)
    {
      last = block_throttle_reserve (&throttle, TRUE, 65536, now);
      g_assert_cmpint (last, >=, now);
      bytes += 65536;
      if (bytes <= 1 << 20)
        g_assert_cmpint (last, ==, now);
    }
  g_assert_cmpint (last - now, >, 38 * VMM_NSEC_PER_SEC / 10);
  g_assert_cmpint (last - now, <, 40 * VMM_NSEC_PER_SEC / 10);
  /* A rest makes good, but no more than the burst. */
  now += 1000 * VMM_NSEC_PER_SEC;
  g_assert_cmpint (block_throttle_reserve (&throttle, FALSE, 1 << 20, now), ==, now);
  g_assert_cmpint (block_throttle_reserve (&throttle, FALSE, 1, now), ==, now);
  g_assert_cmpint (block_throttle_reserve (&throttle, FALSE, 1, now), >, now);
  /* One that is absurdly large does not stop the disk for ever. */
  (void)block_throttle_reserve (&throttle, TRUE, G_MAXUINT64, now);
  g_assert_cmpint (block_throttle_reserve (&throttle, TRUE, 1, now), <=,
                   now + 3600 * VMM_NSEC_PER_SEC);
}

static void
test_histogram (void)
{
  BlockHistogram *histogram = g_new0 (BlockHistogram, 1);

  g_assert_cmpuint (block_histogram_get (histogram, 500), ==, 0);
  for (gint64 us = 1; us <= 1000; us++)
    block_histogram_add (histogram, us * 1000);
  g_assert_cmpuint (histogram->n, ==, 1000);
  g_assert_cmpuint (histogram->max_ns, ==, 1000000);
  g_assert_cmpuint (block_histogram_get (histogram, 500), >=, 500000);
  g_assert_cmpuint (block_histogram_get (histogram, 500), <=, 640000);
  g_assert_cmpuint (block_histogram_get (histogram, 10), >=, 990000);
  g_assert_cmpuint (block_histogram_get (histogram, 10), <=, 1000000);
  block_histogram_add (histogram, -5);
  block_histogram_add (histogram, G_MAXINT64);
  g_assert_cmpuint (block_histogram_get (histogram, 0), <=, G_MAXINT64);
  g_free (histogram);
}

static void
add_stat (gpointer user_data, const char *name, guint64 value)
{
  guint64 *delays = user_data;

  if (strcmp (name, "latency.write.p50-us") == 0)
    delays[0] = value;
  if (strcmp (name, "throttled") == 0)
    delays[1] = value;
}

static void
test_stats (Fixture *f, gconstpointer data)
{
  const BlockThrottleConfig throttle = { .rates = { [BLOCK_LIMIT_OPS] = 100 } };
  BlockRequest requests[2];
  guint64 values[2] = { 0 };

  set_up_with (f, FALSE, &throttle);
  submit (f, &requests[0], BLOCK_OP_WRITE, 512);
  submit (f, &requests[1], BLOCK_OP_WRITE, 512);
  vmm_clock_advance (f->clock, VMM_NSEC_PER_SEC / 100);
  iterate (f);
  g_assert_cmpuint (f->n_done, ==, 2);
  block_guard_stats (f->guard, add_stat, values);
  g_assert_cmpuint (values[1], ==, 1);
  g_assert_cmpuint (values[0], <=, 1);
}

static void
no_set_up (Fixture *f, gconstpointer data)
{
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data, up) g_test_add ("/guard/" name, Fixture, data, up, func, tear_down)
  ADD ("hold", test_hold, NULL, set_up);
  ADD ("drain", test_drain, NULL, set_up);
  ADD ("errors/report", test_errors, NULL, set_up);
  ADD ("errors/pause", test_errors, "pause", set_up);
  ADD ("late-retry", test_late_retry, NULL, set_up);
  ADD ("throttle", test_throttle, NULL, no_set_up);
  ADD ("stats", test_stats, NULL, no_set_up);
  g_test_add_func ("/guard/burst", test_burst);
  g_test_add_func ("/guard/histogram", test_histogram);
  return g_test_run ();
}
