/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/input/router.h"
#include "devices/platform/i8042.h"
#include "devices/platform/ps2.h"
#include "tests/unit/harness/harness.h"

#include <linux/input-event-codes.h>

typedef struct
{
  HarnessMachine *h;
  InputRouter *router;
  VmmDevice *i8042;
  guint leds;
} Fixture;

static void
on_leds (gpointer user_data, guint leds)
{
  ((Fixture *)user_data)->leds = leds;
}

static void
setup (Fixture *f, gconstpointer data)
{
  f->h = harness_new (4096);
  f->router = input_router_new ();
  input_router_set_leds_func (f->router, on_leds, f);
  f->i8042 = vmm_device_new (&i8042_ops, "i8042");
  g_assert_true (vmm_device_set_pointer (f->i8042, "router", f->router, NULL));
  harness_realize (f->h, f->i8042);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  harness_free (f->h);
  input_router_free (f->router);
}

static guint8
status (Fixture *f)
{
  return (guint8)harness_in (f->h, 0x64, 1);
}

/* The next byte, or -1. */
static int
take (Fixture *f)
{
  return status (f) & 1 ? (int)harness_in (f->h, 0x60, 1) : -1;
}

static void
command (Fixture *f, guint8 byte)
{
  harness_out (f->h, 0x64, 1, byte);
}

static void
data (Fixture *f, guint8 byte)
{
  harness_out (f->h, 0x60, 1, byte);
}

static void
set_mode (Fixture *f, guint8 mode)
{
  command (f, 0x60);
  data (f, mode);
}

static void
mouse (Fixture *f, guint8 byte)
{
  command (f, 0xd4);
  data (f, byte);
}

#define expect(f, ...)                                                                             \
  G_STMT_START                                                                                     \
  {                                                                                                \
    const int expected[] = { __VA_ARGS__ };                                                        \
    for (guint i_ = 0; i_ < G_N_ELEMENTS (expected); i_++)                                         \
      g_assert_cmphex (take (f), ==, expected[i_]);                                                \
    g_assert_cmphex (take (f), ==, -1);                                                            \
  }                                                                                                \
  G_STMT_END

static void
test_controller (Fixture *f, gconstpointer d)
{
  g_assert_cmphex (status (f), ==, 0x10);
  command (f, 0x20);
  expect (f, 0x30);
  command (f, 0xaa);
  g_assert_cmphex (status (f) & 0x0d, ==, 0x0d);
  expect (f, 0x55);
  command (f, 0xab);
  expect (f, 0);
  command (f, 0xa9);
  expect (f, 0);
  set_mode (f, 0x47);
  command (f, 0x20);
  expect (f, 0x47);
  command (f, 0x71);
  data (f, 0x99);
  command (f, 0x31);
  expect (f, 0x99);
  command (f, 0xd0);
  expect (f, 0x03);
  command (f, 0xd2);
  data (f, 0x12);
  expect (f, 0x12);
  command (f, 0xd3);
  data (f, 0x34);
  g_assert_cmphex (status (f) & 0x21, ==, 0x21);
  expect (f, 0x34);
}

static void
test_reset_lines (Fixture *f, gconstpointer d)
{
  command (f, 0xfe);
  g_assert_cmpint (harness_take_request (f->h, NULL), ==, VMM_REQUEST_RESET);
  command (f, 0xff);
  g_assert_cmpint (harness_take_request (f->h, NULL), ==, VMM_REQUEST_NONE);
  command (f, 0xd1);
  data (f, 0x02);
  g_assert_cmpint (harness_take_request (f->h, NULL), ==, VMM_REQUEST_RESET);
}

static void
test_keyboard (Fixture *f, gconstpointer d)
{
  set_mode (f, 0x01); /* no translation */
  data (f, 0xf2);
  expect (f, 0xfa, 0xab, 0x83);
  data (f, 0xee);
  expect (f, 0xee);
  data (f, 0xff);
  expect (f, 0xfa, 0xaa);
  data (f, 0xed);
  data (f, 0x05);
  expect (f, 0xfa, 0xfa);
  g_assert_cmphex (f->leds, ==, 5);
  data (f, 0x77);
  expect (f, 0xfe);
  input_router_key (f->router, KEY_A, TRUE);
  input_router_key (f->router, KEY_A, FALSE);
  input_router_key (f->router, KEY_UP, TRUE);
  input_router_key (f->router, KEY_UP, FALSE);
  expect (f, 0x1c, 0xf0, 0x1c, 0xe0, 0x75, 0xe0, 0xf0, 0x75);
  input_router_key (f->router, KEY_PAUSE, TRUE);
  input_router_key (f->router, KEY_PAUSE, FALSE);
  expect (f, 0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77);
  data (f, 0xf0);
  data (f, 1);
  expect (f, 0xfa, 0xfa);
  input_router_key (f->router, KEY_A, TRUE);
  input_router_key (f->router, KEY_A, FALSE);
  expect (f, 0x1e, 0x9e);
  data (f, 0xf5);
  expect (f, 0xfa);
  input_router_key (f->router, KEY_B, TRUE);
  expect (f, -1);
}

static void
test_translation (Fixture *f, gconstpointer d)
{
  set_mode (f, 0x41);
  for (guint key = KEY_ESC; key <= KEY_F10; key++)
    {
      input_router_key (f->router, key, TRUE);
      input_router_key (f->router, key, FALSE);
      expect (f, (int)key, (int)(key | 0x80));
    }
  input_router_key (f->router, KEY_LEFTMETA, TRUE);
  input_router_key (f->router, KEY_LEFTMETA, FALSE);
  expect (f, 0xe0, 0x5b, 0xe0, 0xdb);
  input_router_key (f->router, KEY_PAUSE, TRUE);
  expect (f, 0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5);
  data (f, 0xf2);
  expect (f, 0xfa, 0xab, 0x41);
}

static void
test_interrupts (Fixture *f, gconstpointer d)
{
  set_mode (f, 0x43);
  input_router_key (f->router, KEY_A, TRUE);
  input_router_key (f->router, KEY_A, FALSE);
  g_assert_true (f->h->gsi[1]);
  g_assert_cmpuint (f->h->gsi_raised[1], ==, 1);
  take (f);
  /* A new edge for the next byte. */
  g_assert_true (f->h->gsi[1]);
  g_assert_cmpuint (f->h->gsi_raised[1], ==, 2);
  take (f);
  g_assert_false (f->h->gsi[1]);
  mouse (f, 0xf4);
  g_assert_true (f->h->gsi[12]);
  g_assert_false (f->h->gsi[1]);
  expect (f, 0xfa);
  g_assert_false (f->h->gsi[12]);
  /* Disabled interrupts: polling only. */
  set_mode (f, 0x40);
  input_router_key (f->router, KEY_A, TRUE);
  g_assert_false (f->h->gsi[1]);
  expect (f, 0x1e);
}

static void
test_mouse (Fixture *f, gconstpointer d)
{
  set_mode (f, 0x02);
  mouse (f, 0xff);
  expect (f, 0xfa, 0xaa, 0);
  mouse (f, 0xf4);
  expect (f, 0xfa);
  input_router_relative (f->router, 5, 3);
  input_router_sync (f->router);
  expect (f, 0x28, 5, 0xfd);
  input_router_buttons (f->router, INPUT_BUTTON_LEFT);
  input_router_buttons (f->router, 0);
  input_router_sync (f->router);
  expect (f, 0x09, 0, 0, 0x08, 0, 0);
  /* The wheel, after the knock. */
  for (guint i = 0; i < 3; i++)
    {
      static const guint8 rates[] = { 200, 100, 80 };

      mouse (f, 0xf3);
      mouse (f, rates[i]);
    }
  expect (f, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa);
  mouse (f, 0xf2);
  expect (f, 0xfa, 3);
  input_router_wheel (f->router, 1, 0);
  input_router_sync (f->router);
  expect (f, 0x08, 0, 0, 0xff);
  /* Far motion takes several packets, nothing gets lost. */
  input_router_relative (f->router, 600, 0);
  input_router_sync (f->router);
  expect (f, 0x08, 0xff, 0, 0, 0x08, 0xff, 0, 0, 0x08, 90, 0, 0);
  mouse (f, 0xe9);
  expect (f, 0xfa, 0x20, 2, 80);
}

static void
test_hostile (Fixture *f, gconstpointer d)
{
  GRand *random = g_rand_new_with_seed (11);

  for (guint i = 0; i < 200000; i++)
    switch (g_rand_int_range (random, 0, 6))
      {
      case 0:
        harness_out (f->h, 0x64, 1, g_rand_int_range (random, 0, 256));
        break;
      case 1:
        harness_out (f->h, 0x60, 1u << g_rand_int_range (random, 0, 3), g_rand_int (random));
        break;
      case 2:
        harness_in (f->h, g_rand_boolean (random) ? 0x60 : 0x64, 1);
        break;
      case 3:
        input_router_key (f->router, (guint)g_rand_int_range (random, 0, 800),
                          g_rand_boolean (random));
        break;
      case 4:
        input_router_relative (f->router, (int)g_rand_int (random), (int)g_rand_int (random));
        input_router_wheel (f->router, (int)g_rand_int (random), 0);
        break;
      default:
        input_router_buttons (f->router, g_rand_int (random) & 31);
        input_router_sync (f->router);
      }
  g_rand_free (random);
}

static void
test_state (Fixture *f, gconstpointer d)
{
  g_autoptr (GBytes) state = NULL;

  set_mode (f, 0x43);
  mouse (f, 0xf4);
  input_router_key (f->router, KEY_A, TRUE);
  input_router_relative (f->router, 300, 300);
  input_router_sync (f->router);
  harness_check_save_load (f->h);
  expect (f, 0xfa, 0x1e, 0x28, 0xff, 1, 0x28, 45, 0xd3);
  state = harness_save (f->h);
  harness_storm_load (f->h, state, 5, 300);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, setup, func, teardown)
  ADD ("/i8042/controller", test_controller);
  ADD ("/i8042/reset-lines", test_reset_lines);
  ADD ("/i8042/keyboard", test_keyboard);
  ADD ("/i8042/translation", test_translation);
  ADD ("/i8042/interrupts", test_interrupts);
  ADD ("/i8042/mouse", test_mouse);
  ADD ("/i8042/hostile", test_hostile);
  ADD ("/i8042/state", test_state);
  return g_test_run ();
}
