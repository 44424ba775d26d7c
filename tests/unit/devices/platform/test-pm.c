/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/legacy-ports.h"
#include "devices/platform/pm.h"
#include "devices/platform/signal-port.h"
#include "tests/unit/harness/harness.h"

#define BASE 0x600

static HarnessMachine *
set_up (Pm **ret_pm)
{
  HarnessMachine *h = harness_new (0);

  *ret_pm = (Pm *)harness_realize (h, vmm_device_new (&pm_ops, "pm"));
  vmm_machine_reset_devices (h->machine, VMM_RESET_COLD);
  pm_set_base (*ret_pm, BASE);
  return h;
}

static void
test_registers (void)
{
  Pm *pm;
  HarnessMachine *h = set_up (&pm);

  g_assert_cmphex (harness_in (h, BASE, 2), ==, 0);
  g_assert_cmphex (harness_in (h, BASE + 2, 2), ==, 0);
  g_assert_cmphex (harness_in (h, BASE + 4, 4), ==, 1);
  g_assert_cmphex (harness_in (h, BASE + 0x30, 4), ==, 0x20);
  harness_out (h, BASE + 2, 2, 0xffff);
  g_assert_cmphex (harness_in (h, BASE + 2, 2), ==, 0x4721);
  g_assert_cmphex (harness_in (h, BASE, 4), ==, 0x47210000);
  g_assert_cmphex (harness_in (h, BASE + 3, 1), ==, 0x47);
  harness_out (h, BASE + 3, 1, 0);
  g_assert_cmphex (harness_in (h, BASE + 2, 2), ==, 0x21);
  harness_out (h, BASE + 0x28, 4, 0x12345678);
  harness_out (h, BASE + 0x2c, 2, 0xabcd);
  g_assert_cmphex (harness_in (h, BASE + 0x28, 4), ==, 0x12345678);
  g_assert_cmphex (harness_in (h, BASE + 0x2c, 4), ==, 0xabcd);
  harness_out (h, BASE + 0x30, 4, 0);
  g_assert_cmphex (harness_in (h, BASE + 0x30, 4), ==, 0x20);
  g_assert_cmphex (harness_in (h, BASE + 0x50, 4), ==, 0);
  /* The block moves, and goes. */
  pm_set_base (pm, 0x780);
  g_assert_cmphex (harness_in (h, BASE + 4, 4), ==, 0xffffffff);
  g_assert_cmphex (harness_in (h, 0x7a8, 4), ==, 0x12345678);
  pm_set_base (pm, -1);
  g_assert_cmphex (harness_in (h, 0x7a8, 4), ==, 0xffffffff);
  harness_free (h);
}

static void
test_timer (void)
{
  Pm *pm;
  HarnessMachine *h = set_up (&pm);
  guint32 before = (guint32)harness_in (h, BASE + 8, 4);

  g_assert_cmphex (before & 0xff000000, ==, 0);
  harness_advance (h, VMM_NSEC_PER_SEC);
  g_assert_cmpuint (((guint32)harness_in (h, BASE + 8, 4) - before) & 0xffffff, ==, PM_TIMER_HZ);
  g_assert_cmphex (harness_in (h, BASE + 9, 1), ==, harness_in (h, BASE + 8, 4) >> 8 & 0xff);
  harness_out (h, BASE + 8, 4, 0);
  /* Bit 23 changes every 2^23 ticks, 2.34 s: status, and an interrupt when asked. */
  harness_out (h, BASE, 2, 1);
  harness_advance (h, G_GINT64_CONSTANT (2400000000));
  g_assert_cmphex (harness_in (h, BASE, 2), ==, 1);
  g_assert_false (h->gsi[9]);
  harness_out (h, BASE, 2, 1);
  g_assert_cmphex (harness_in (h, BASE, 2), ==, 0);
  /* Saved before anybody looked at the status. */
  harness_advance (h, G_GINT64_CONSTANT (2400000000));
  harness_check_save_load (h);
  g_assert_cmphex (harness_in (h, BASE, 2), ==, 1);
  harness_out (h, BASE, 2, 1);
  harness_out (h, BASE + 2, 2, 1);
  harness_advance (h, G_GINT64_CONSTANT (2400000000));
  g_assert_true (h->gsi[9]);
  harness_out (h, BASE, 2, 1);
  g_assert_false (h->gsi[9]);
  harness_free (h);
}

static void
test_events (void)
{
  Pm *pm;
  HarnessMachine *h = set_up (&pm);

  pm_press_power_button (pm);
  g_assert_cmphex (harness_in (h, BASE, 2), ==, 0x100);
  harness_out (h, BASE + 2, 2, 0x100);
  g_assert_true (h->gsi[9]);
  harness_out (h, BASE + 4, 2, 0); /* SCI_EN off */
  g_assert_false (h->gsi[9]);
  harness_out (h, BASE + 4, 2, 1);
  harness_out (h, BASE + 1, 1, 0x01);
  g_assert_false (h->gsi[9]);
  pm_raise_gpe (pm, 5);
  pm_raise_gpe (pm, 63);
  g_assert_false (h->gsi[9]);
  harness_out (h, BASE + 0x28, 1, 0x20);
  g_assert_true (h->gsi[9]);
  g_assert_cmphex (harness_in (h, BASE + 0x20, 4), ==, 0x20);
  g_assert_cmphex (harness_in (h, BASE + 0x24, 4), ==, 0x80000000);
  harness_check_save_load (h);
  g_assert_true (h->gsi[9]);
  harness_out (h, BASE + 0x20, 1, 0x20);
  g_assert_false (h->gsi[9]);
  vmm_machine_reset_devices (h->machine, VMM_RESET_WARM);
  g_assert_cmphex (harness_in (h, BASE + 0x24, 4), ==, 0);
  harness_free (h);
}

static void
test_sleep (void)
{
  Pm *pm;
  HarnessMachine *h = set_up (&pm);

  harness_out (h, BASE + 4, 2, 0x0001); /* type 0 without SLP_EN */
  g_assert_cmpint (harness_take_request (h, NULL), ==, VMM_REQUEST_NONE);
  harness_out (h, BASE + 4, 2, 0x2001);
  g_assert_cmpint (harness_take_request (h, NULL), ==, VMM_REQUEST_POWEROFF);
  /* SLP_EN is write-only. */
  g_assert_cmphex (harness_in (h, BASE + 4, 2), ==, 1);
  /* Byte-wide, as some firmware does. */
  harness_out (h, BASE + 5, 1, 0x20);
  g_assert_cmpint (harness_take_request (h, NULL), ==, VMM_REQUEST_POWEROFF);
  /* S3 is refused: awake at once. */
  harness_out (h, BASE + 4, 2, 0x2401);
  g_assert_cmpint (harness_take_request (h, NULL), ==, VMM_REQUEST_SUSPEND);
  g_assert_cmphex (harness_in (h, BASE, 2) & 0x8000, ==, 0x8000);
  harness_free (h);
}

static void
test_hostile (void)
{
  Pm *pm;
  HarnessMachine *h = set_up (&pm);
  GRand *rand = g_rand_new_with_seed (6);

  for (guint i = 0; i < 60000; i++)
    {
      guint size = 1u << g_rand_int_range (rand, 0, 4);
      guint16 port = (guint16)(BASE - 8 + g_rand_int_range (rand, 0, PM_BLOCK_SIZE + 16));

      harness_out (h, port, size, g_rand_int (rand));
      harness_in (h, port, size);
      harness_take_request (h, NULL);
      if (i % 100 == 0)
        harness_advance (h, g_rand_int (rand));
    }
  harness_check_save_load (h);
  {
    g_autoptr (GBytes) state = harness_save (h);

    harness_storm_load (h, state, 6, 2000);
  }
  g_rand_free (rand);
  harness_free (h);
}

static void
test_debug_exit (void)
{
  HarnessMachine *h = harness_new (0);
  guint64 value = 0;

  harness_realize (h, vmm_device_new (&debug_exit_ops, "exit"));
  harness_realize (h, vmm_device_new (&pvpanic_ops, "panic"));
  harness_out (h, 0xf4, 4, 0x12345678);
  g_assert_cmpint (harness_take_request (h, &value), ==, VMM_REQUEST_DEBUG_EXIT);
  g_assert_cmphex (value, ==, 0x12345678);
  harness_out (h, 0xf4, 1, 0);
  g_assert_cmpint (harness_take_request (h, &value), ==, VMM_REQUEST_DEBUG_EXIT);
  g_assert_cmphex (value, ==, 0);
  g_assert_cmphex (harness_in (h, 0xf4, 1), ==, 0);
  g_assert_cmphex (harness_in (h, 0x505, 1), ==, 3);
  harness_out (h, 0x505, 1, 0);
  g_assert_cmpint (harness_take_request (h, &value), ==, VMM_REQUEST_NONE);
  harness_out (h, 0x505, 1, 1);
  g_assert_cmpint (harness_take_request (h, &value), ==, VMM_REQUEST_PANIC);
  g_assert_cmphex (value, ==, 1);
  harness_check_save_load (h);
  harness_free (h);
}

static void
test_legacy_ports (void)
{
  HarnessMachine *h = harness_new (0);

  harness_realize (h, vmm_device_new (&legacy_ports_ops, "legacy"));
  vmm_machine_reset_devices (h->machine, VMM_RESET_COLD);
  /* 8237: two bytes by the flip-flop, on both controllers. */
  harness_out (h, 0x0c, 1, 0);
  harness_out (h, 0x02, 1, 0x34);
  harness_out (h, 0x02, 1, 0x12);
  g_assert_cmphex (harness_in (h, 0x02, 1), ==, 0x34);
  g_assert_cmphex (harness_in (h, 0x02, 1), ==, 0x12);
  harness_out (h, 0xd8, 1, 0);
  harness_out (h, 0xc4, 1, 0x78);
  harness_out (h, 0xc4, 1, 0x56);
  g_assert_cmphex (harness_in (h, 0xc4, 1), ==, 0x78);
  g_assert_cmphex (harness_in (h, 0x0f, 1), ==, 0x0f);
  harness_out (h, 0x0a, 1, 0x02);
  g_assert_cmphex (harness_in (h, 0x0f, 1), ==, 0x0b);
  harness_out (h, 0x0a, 1, 0x06);
  harness_out (h, 0x0e, 1, 0);
  g_assert_cmphex (harness_in (h, 0x0f, 1), ==, 0);
  harness_out (h, 0x0d, 1, 0);
  g_assert_cmphex (harness_in (h, 0x0f, 1), ==, 0x0f);
  harness_out (h, 0x80, 1, 0xa5);
  g_assert_cmphex (harness_in (h, 0x80, 1), ==, 0xa5);
  harness_out (h, 0xb3, 1, 0x77);
  g_assert_cmphex (harness_in (h, 0xb3, 1), ==, 0x77);
  /* Fast A20 only remembers; fast reset acts on the edge. */
  g_assert_cmphex (harness_in (h, 0x92, 1), ==, 0x02);
  harness_out (h, 0x92, 1, 0x00);
  g_assert_cmphex (harness_in (h, 0x92, 1), ==, 0x00);
  harness_out (h, 0x92, 1, 0x03);
  g_assert_cmpint (harness_take_request (h, NULL), ==, VMM_REQUEST_RESET);
  harness_out (h, 0x92, 1, 0x03);
  g_assert_cmpint (harness_take_request (h, NULL), ==, VMM_REQUEST_NONE);
  harness_check_save_load (h);
  {
    g_autoptr (GBytes) state = harness_save (h);

    harness_storm_load (h, state, 6, 1000);
  }
  harness_free (h);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/platform/pm/registers", test_registers);
  g_test_add_func ("/platform/pm/timer", test_timer);
  g_test_add_func ("/platform/pm/events", test_events);
  g_test_add_func ("/platform/pm/sleep", test_sleep);
  g_test_add_func ("/platform/pm/hostile", test_hostile);
  g_test_add_func ("/platform/signal-port", test_debug_exit);
  g_test_add_func ("/platform/legacy-ports", test_legacy_ports);
  return g_test_run ();
}
