/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/input.h"

#include <linux/input.h>
#include <string.h>

#include "devices/input/router.h"
#include "virtio-driver.h"

#define ALL (~G_GUINT64_CONSTANT (0))

typedef struct
{
  VirtioDriver d;
  InputRouter *router;
  guint leds;
  guint next; /* buffer to give */
} Fixture;

static void
on_leds (gpointer user_data, guint leds)
{
  ((Fixture *)user_data)->leds = leds;
}

static void
set_up (Fixture *f, gconstpointer kind)
{
  VmmDevice *device;

  memset (f, 0, sizeof *f);
  virtio_driver_init (&f->d);
  f->router = input_router_new ();
  input_router_set_leds_func (f->router, on_leds, f);
  device = virtio_driver_new_device (&f->d, &virtio_input_device_ops);
  g_assert_true (vmm_device_set_string (device, "kind", kind, NULL));
  g_assert_true (vmm_device_set_pointer (device, "router", f->router, NULL));
  virtio_driver_probe (&f->d, device);
}

static void
tear_down (Fixture *f, gconstpointer kind)
{
  virtio_driver_finish (&f->d);
  input_router_free (f->router);
}

static void
give_buffers (Fixture *f, guint n)
{
  while (n-- > 0)
    {
      HarnessSegment segment = { f->d.arena + 8 * (f->next++ % VIRTIO_DRIVER_QUEUE), 8, TRUE };

      harness_ring_send (&f->d.rings[0], &segment, 1);
    }
  virtio_driver_kick (&f->d, 0);
}

/* Buffers come back in order, 8 bytes each. */
static gboolean
next_event (Fixture *f, guint *type, guint *code, gint32 *value)
{
  HarnessUsed used;
  guint64 gpa;

  harness_run (f->d.h);
  if (!harness_ring_take_used (&f->d.rings[0], &used))
    return FALSE;
  g_assert_cmpuint (used.length, ==, 8);
  gpa = harness_read_le (f->d.h, f->d.rings[0].desc + 16 * used.id, 8);
  *type = harness_read_le (f->d.h, gpa, 2);
  *code = harness_read_le (f->d.h, gpa + 2, 2);
  *value = harness_read_le (f->d.h, gpa + 4, 4);
  return TRUE;
}

static void
assert_event (Fixture *f, guint type, guint code, gint32 value)
{
  guint t, c;
  gint32 v;

  g_assert_true (next_event (f, &t, &c, &v));
  g_assert_cmpuint (t, ==, type);
  g_assert_cmpuint (c, ==, code);
  g_assert_cmpint (v, ==, value);
}

static void
assert_silence (Fixture *f)
{
  guint t, c;
  gint32 v;

  g_assert_false (next_event (f, &t, &c, &v));
}

static guint
select_config (Fixture *f, guint select, guint subsel)
{
  harness_mmio_write (f->d.h, f->d.config, 1, select);
  harness_mmio_write (f->d.h, f->d.config + 1, 1, subsel);
  return virtio_driver_read_config (&f->d, 2, 1);
}

static void
test_config (Fixture *f, gconstpointer kind)
{
  gboolean keyboard = g_str_equal (kind, "keyboard"), tablet = g_str_equal (kind, "tablet");
  char name[128] = { 0 };
  guint size = select_config (f, 1, 0);

  for (guint i = 0; i < size; i++)
    name[i] = virtio_driver_read_config (&f->d, 8 + i, 1);
  g_assert_nonnull (strstr (name, kind));
  g_assert_cmpuint (select_config (f, 1, 1), ==, 0);
  g_assert_cmpuint (select_config (f, 2, 0), ==, 0);
  g_assert_cmpuint (select_config (f, 3, 0), ==, 8);
  g_assert_cmpuint (select_config (f, 0x11, EV_KEY), ==, keyboard ? 31 : 35);
  g_assert_cmpuint (select_config (f, 0x11, EV_ABS), ==, tablet ? 1 : 0);
  g_assert_cmpuint (select_config (f, 0x11, EV_REL), ==, keyboard ? 0 : 2);
  g_assert_cmpuint (select_config (f, 0x11, EV_LED), ==, keyboard ? 1 : 0);
  g_assert_cmpuint (select_config (f, 0x11, EV_REP), ==, keyboard ? 1 : 0);
  g_assert_cmpuint (select_config (f, 0x12, ABS_X), ==, tablet ? 20 : 0);
  if (tablet)
    g_assert_cmpuint (virtio_driver_read_config (&f->d, 12, 4), ==, INPUT_ABS_MAX);
  g_assert_cmpuint (select_config (f, 0x12, 2), ==, 0);
  g_assert_cmpuint (select_config (f, 0x10, 0), ==, tablet ? 1 : 0);
  /* Anything else is empty. */
  for (guint select = 0; select < 256; select++)
    if (select > 0x12 || (select > 3 && select < 0x10) || select == 0)
      g_assert_cmpuint (select_config (f, select, 0), ==, 0);
}

static void
test_keys (Fixture *f, gconstpointer kind)
{
  input_router_key (f->router, KEY_A, TRUE); /* nobody listens yet */
  input_router_sync (f->router);
  virtio_driver_start (&f->d, ALL, 2);
  give_buffers (f, 16);
  assert_silence (f);
  input_router_key (f->router, KEY_B, TRUE);
  assert_silence (f); /* not before SYN */
  input_router_sync (f->router);
  assert_event (f, EV_KEY, KEY_B, 1);
  assert_event (f, EV_SYN, 0, 0);
  input_router_release_all (f->router);
  input_router_sync (f->router);
  assert_event (f, EV_KEY, KEY_B, 0);
  assert_event (f, EV_SYN, 0, 0);
  assert_silence (f);
  virtio_driver_write (&f->d, 0x14, 1, 0);
  input_router_key (f->router, KEY_C, TRUE);
  input_router_sync (f->router);
}

static void
test_tablet (Fixture *f, gconstpointer kind)
{
  g_assert_false (input_router_has_absolute (f->router));
  virtio_driver_start (&f->d, ALL, 2);
  g_assert_true (input_router_has_absolute (f->router));
  give_buffers (f, 16);
  input_router_absolute (f->router, 100, 0x9000);
  input_router_buttons (f->router, INPUT_BUTTON_LEFT | INPUT_BUTTON_EXTRA);
  input_router_wheel (f->router, -1, 2);
  input_router_sync (f->router);
  assert_event (f, EV_ABS, ABS_X, 100);
  assert_event (f, EV_ABS, ABS_Y, INPUT_ABS_MAX);
  assert_event (f, EV_KEY, BTN_LEFT, 1);
  assert_event (f, EV_KEY, BTN_EXTRA, 1);
  assert_event (f, EV_REL, REL_WHEEL, -1);
  assert_event (f, EV_REL, REL_HWHEEL, 2);
  assert_event (f, EV_SYN, 0, 0);
  input_router_buttons (f->router, INPUT_BUTTON_EXTRA);
  input_router_sync (f->router);
  assert_event (f, EV_KEY, BTN_LEFT, 0);
  assert_event (f, EV_SYN, 0, 0);
  assert_silence (f);
}

static void
test_mouse (Fixture *f, gconstpointer kind)
{
  virtio_driver_start (&f->d, ALL, 2);
  give_buffers (f, 8);
  input_router_relative (f->router, -5, 7);
  input_router_sync (f->router);
  assert_event (f, EV_REL, REL_X, -5);
  assert_event (f, EV_REL, REL_Y, 7);
  assert_event (f, EV_SYN, 0, 0);
}

/* A guest that sleeps: whole reports are lost, and keys are right when it wakes. */
static void
test_sleeper (Fixture *f, gconstpointer kind)
{
  gboolean down[KEY_CNT] = { FALSE };
  guint t, c, n = 0;
  gint32 v;

  virtio_driver_start (&f->d, ALL, 2);
  for (guint i = 0; i < 2001; i++)
    {
      input_router_key (f->router, KEY_A + i % 3, i % 2 == 0);
      input_router_sync (f->router);
    }
  input_router_key (f->router, KEY_LEFTSHIFT, TRUE);
  input_router_sync (f->router);
  harness_run (f->d.h);
  for (guint i = 0; i < 200; i++)
    {
      give_buffers (f, 16);
      while (next_event (f, &t, &c, &v))
        {
          if (t == EV_KEY)
            down[c] = v;
          else
            g_assert_cmpuint (t, ==, EV_SYN);
          n++;
        }
    }
  g_assert_cmpuint (n, <, 2200);
  g_assert_true (down[KEY_LEFTSHIFT]);
  /* What the router holds is what the guest believes. */
  input_router_release_all (f->router);
  input_router_sync (f->router);
  for (guint i = 0; i < 4; i++)
    {
      while (next_event (f, &t, &c, &v))
        if (t == EV_KEY)
          down[c] = v;
      give_buffers (f, 8);
    }
  for (guint i = 0; i < KEY_CNT; i++)
    g_assert_false (down[i]);
}

static void
test_leds (Fixture *f, gconstpointer kind)
{
  HarnessSegment segment = { f->d.arena + 0x1000, 8, FALSE };

  virtio_driver_start (&f->d, ALL, 2);
  harness_write_le (f->d.h, f->d.arena + 0x1000, 2, EV_LED);
  harness_write_le (f->d.h, f->d.arena + 0x1002, 2, LED_CAPSL);
  harness_write_le (f->d.h, f->d.arena + 0x1004, 4, 1);
  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
  g_assert_cmpuint (f->leds, ==, 4);
  harness_check_save_load (f->d.h);
  harness_write_le (f->d.h, f->d.arena + 0x1002, 2, 0xffff);
  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
  g_assert_cmpuint (f->leds, ==, 4);
  harness_write_le (f->d.h, f->d.arena + 0x1002, 2, LED_CAPSL);
  harness_write_le (f->d.h, f->d.arena + 0x1004, 4, 0);
  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
  g_assert_cmpuint (f->leds, ==, 0);
}

static void
test_hostile (Fixture *f, gconstpointer kind)
{
  g_autoptr (GBytes) state = NULL;

  virtio_driver_start (&f->d, ALL, 2);
  harness_ring_put_avail (&f->d.rings[0], 0x777);
  harness_ring_publish (&f->d.rings[0]);
  input_router_key (f->router, KEY_A, TRUE);
  input_router_sync (f->router);
  harness_run (f->d.h);
  g_assert_cmphex (virtio_driver_get_status (&f->d), ==, 0x4f);
  virtio_driver_storm (&f->d, 5, 20000);
  virtio_driver_start (&f->d, ALL, 2);
  state = harness_save (f->d.h);
  harness_storm_load (f->d.h, state, 3, 400);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, kind)                                                                      \
  g_test_add ("/virtio/input/" name, Fixture, kind, set_up, func, tear_down)
  ADD ("config-keyboard", test_config, "keyboard");
  ADD ("config-tablet", test_config, "tablet");
  ADD ("config-mouse", test_config, "mouse");
  ADD ("keys", test_keys, "keyboard");
  ADD ("tablet", test_tablet, "tablet");
  ADD ("mouse", test_mouse, "mouse");
  ADD ("sleeper", test_sleeper, "keyboard");
  ADD ("leds", test_leds, "keyboard");
  ADD ("hostile", test_hostile, "keyboard");
  return g_test_run ();
}
