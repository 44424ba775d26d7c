/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/input/router.h"
#include <linux/input-event-codes.h>

/* A sink that writes what it gets into a log. */
typedef struct
{
  const char *name;
  GString *log; /* shared */
} Log;

static void
log_key (gpointer sink, guint keycode, gboolean down)
{
  Log *l = sink;
  g_string_append_printf (l->log, "%s:%c%u ", l->name, down ? '+' : '-', keycode);
}

static void
log_absolute (gpointer sink, guint x, guint y)
{
  Log *l = sink;
  g_string_append_printf (l->log, "%s:@%u,%u ", l->name, x, y);
}

static void
log_relative (gpointer sink, int dx, int dy)
{
  Log *l = sink;
  g_string_append_printf (l->log, "%s:%+d%+d ", l->name, dx, dy);
}

static void
log_buttons (gpointer sink, guint buttons)
{
  Log *l = sink;
  g_string_append_printf (l->log, "%s:b%x ", l->name, buttons);
}

static void
log_wheel (gpointer sink, int vertical, int horizontal)
{
  Log *l = sink;
  g_string_append_printf (l->log, "%s:w%d,%d ", l->name, vertical, horizontal);
}

static void
log_sync (gpointer sink)
{
  Log *l = sink;
  g_string_append_printf (l->log, "%s. ", l->name);
}

static const InputSinkOps keyboard_ops = { .key = log_key, .sync = log_sync };
static const InputSinkOps mouse_ops = {
  .relative = log_relative, .buttons = log_buttons, .wheel = log_wheel, .sync = log_sync
};
static const InputSinkOps tablet_ops = {
  .absolute = log_absolute, .buttons = log_buttons, .wheel = log_wheel, .sync = log_sync
};

typedef struct
{
  InputRouter *router;
  GString *log;
  Log k1, k2, mouse, tablet;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->log = g_string_new (NULL);
  f->k1 = (Log){ "k1", f->log };
  f->k2 = (Log){ "k2", f->log };
  f->mouse = (Log){ "m", f->log };
  f->tablet = (Log){ "t", f->log };
  f->router = input_router_new ();
  input_router_add_sink (f->router, &keyboard_ops, &f->k1);
  input_router_add_sink (f->router, &keyboard_ops, &f->k2);
  input_router_add_sink (f->router, &mouse_ops, &f->mouse);
  input_router_add_sink (f->router, &tablet_ops, &f->tablet);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  input_router_free (f->router);
  g_string_free (f->log, TRUE);
}

static void
expect (Fixture *f, const char *text)
{
  g_assert_cmpstr (f->log->str, ==, text);
  g_string_truncate (f->log, 0);
}

static void
test_keys (Fixture *f, gconstpointer data)
{
  /* Nobody is ready: dropped, and its release too. */
  input_router_key (f->router, KEY_A, TRUE);
  input_router_set_ready (f->router, &f->k1, TRUE);
  input_router_key (f->router, KEY_A, FALSE);
  input_router_sync (f->router);
  expect (f, "");

  input_router_key (f->router, KEY_A, TRUE);
  input_router_key (f->router, KEY_B, TRUE);
  input_router_sync (f->router);
  expect (f, "k1:+30 k1:+48 k1. ");

  /* The later one takes over; a release follows its press. */
  input_router_set_ready (f->router, &f->k2, TRUE);
  input_router_key (f->router, KEY_A, FALSE);
  input_router_key (f->router, KEY_A, TRUE);
  /* A repeat of a key that the old one still holds moves it. */
  input_router_key (f->router, KEY_B, TRUE);
  input_router_sync (f->router);
  expect (f, "k1:-30 k2:+30 k1:-48 k2:+48 k1. k2. ");

  input_router_set_ready (f->router, &f->k2, FALSE);
  input_router_release_all (f->router);
  expect (f, "k2:-30 k2:-48 k2. ");
  input_router_key (f->router, KEY_C, TRUE);
  expect (f, "k1:+46 ");
  /* A holder that is gone is not called. */
  input_router_remove_sink (f->router, &f->k1);
  input_router_release_all (f->router);
  expect (f, "");
}

static void
test_bad_keys (Fixture *f, gconstpointer data)
{
  input_router_set_ready (f->router, &f->k1, TRUE);
  input_router_key (f->router, 0, TRUE);
  input_router_key (f->router, KEY_CNT, TRUE);
  input_router_key (f->router, G_MAXUINT, TRUE);
  input_router_release_all (f->router);
  expect (f, "");
  input_router_key (f->router, KEY_MAX, TRUE);
  expect (f, "k1:+767 ");
}

static void
test_pointer (Fixture *f, gconstpointer data)
{
  g_assert_false (input_router_has_absolute (f->router));
  input_router_set_ready (f->router, &f->mouse, TRUE);
  g_assert_false (input_router_has_absolute (f->router));
  input_router_relative (f->router, 3, -4);
  input_router_buttons (f->router, INPUT_BUTTON_LEFT);
  input_router_absolute (f->router, 1, 1); /* nobody takes it */
  input_router_sync (f->router);
  expect (f, "m:+3-4 m:b1 m. ");

  /* The tablet comes up while the mouse holds a button: the mouse lets go of it. */
  input_router_set_ready (f->router, &f->tablet, TRUE);
  g_assert_true (input_router_has_absolute (f->router));
  input_router_absolute (f->router, 0x7fff, 0x9000);
  input_router_buttons (f->router, INPUT_BUTTON_LEFT | INPUT_BUTTON_RIGHT);
  input_router_wheel (f->router, 1, 0);
  input_router_wheel (f->router, 0, 0);
  input_router_sync (f->router);
  input_router_sync (f->router);
  expect (f, "t:@32767,32767 m:b0 t:b5 t:w1,0 m. t. ");

  input_router_release_all (f->router);
  expect (f, "t:b0 t. ");
}

static void
mode_changed (gpointer user_data, gboolean absolute)
{
  g_string_append_printf (user_data, "mode=%d ", absolute);
}

static void
leds_changed (gpointer user_data, guint leds)
{
  g_string_append_printf (user_data, "leds=%u ", leds);
}

static void
test_notify (Fixture *f, gconstpointer data)
{
  input_router_set_mode_func (f->router, mode_changed, f->log);
  input_router_set_leds_func (f->router, leds_changed, f->log);
  input_router_set_ready (f->router, &f->mouse, TRUE);
  input_router_set_ready (f->router, &f->tablet, TRUE);
  input_router_set_ready (f->router, &f->tablet, TRUE);
  input_router_set_leds (f->router, 0xf2);
  input_router_remove_sink (f->router, &f->tablet);
  expect (f, "mode=1 leds=2 mode=0 ");
  input_router_set_leds_func (f->router, NULL, NULL);
  input_router_set_leds (f->router, 1);
  expect (f, "");
}

/* A device that takes its lock in the sink, and reports readiness with that lock held: the two
 * must not deadlock. */
typedef struct
{
  GMutex lock;
  InputRouter *router;
  guint n_keys;
  gint stop;
} LockingDevice;

static void
locking_key (gpointer sink, guint keycode, gboolean down)
{
  LockingDevice *device = sink;

  g_mutex_lock (&device->lock);
  device->n_keys++;
  g_mutex_unlock (&device->lock);
}

static gpointer
flip_ready (gpointer data)
{
  LockingDevice *device = data;

  for (guint i = 0; !g_atomic_int_get (&device->stop); i++)
    {
      g_mutex_lock (&device->lock);
      input_router_set_ready (device->router, device, i % 3 != 0);
      input_router_set_leds (device->router, i & 7);
      g_mutex_unlock (&device->lock);
      g_thread_yield ();
    }
  return NULL;
}

static void
test_lock_order (void)
{
  static const InputSinkOps ops = { .key = locking_key };
  LockingDevice device = { .router = input_router_new () };
  GThread *thread;

  g_mutex_init (&device.lock);
  input_router_add_sink (device.router, &ops, &device);
  thread = g_thread_new ("flip", flip_ready, &device);
  /* Until keys got through while the other thread flipped readiness; on a busy machine that thread
   * may get its turn late. A deadlock is ended by the test's own time limit. */
  for (guint i = 0; device.n_keys < 200; i++)
    {
      input_router_key (device.router, KEY_A, i & 1);
      if (i % 64 == 0)
        g_thread_yield ();
    }
  g_atomic_int_set (&device.stop, 1);
  g_thread_join (thread);
  input_router_remove_sink (device.router, &device);
  g_assert_cmpuint (device.n_keys, >, 0);
  input_router_free (device.router);
  g_mutex_clear (&device.lock);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add (name, Fixture, NULL, set_up, func, tear_down)
  ADD ("/input/router/keys", test_keys);
  ADD ("/input/router/bad-keys", test_bad_keys);
  ADD ("/input/router/pointer", test_pointer);
  ADD ("/input/router/notify", test_notify);
  g_test_add_func ("/input/router/lock-order", test_lock_order);
  return g_test_run ();
}
