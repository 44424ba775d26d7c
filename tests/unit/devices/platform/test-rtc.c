/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/rtc.h"
#include "tests/unit/harness/harness.h"

typedef struct
{
  HarnessMachine *h;
  Rtc *rtc;
} Fixture;

static void
set_up (Fixture *f)
{
  f->h = harness_new (0);
  f->rtc = (Rtc *)harness_realize (f->h, vmm_device_new (&rtc_ops, "rtc"));
  rtc_set_cmos (f->rtc, 0x34, 0x77);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
}

static guint8
rd (Fixture *f, guint8 index)
{
  harness_out (f->h, 0x70, 1, index);
  return (guint8)harness_in (f->h, 0x71, 1);
}

static void
wr (Fixture *f, guint8 index, guint8 value)
{
  harness_out (f->h, 0x70, 1, index);
  harness_out (f->h, 0x71, 1, value);
}

/* The harness starts at 2024-02-29 12:34:56 UTC, a Thursday. */
static void
test_time (void)
{
  Fixture f;

  set_up (&f);
  g_assert_cmphex (rd (&f, 0), ==, 0x56);
  g_assert_cmphex (rd (&f, 2), ==, 0x34);
  g_assert_cmphex (rd (&f, 4), ==, 0x12);
  g_assert_cmphex (rd (&f, 6), ==, 5);
  g_assert_cmphex (rd (&f, 7), ==, 0x29);
  g_assert_cmphex (rd (&f, 8), ==, 0x02);
  g_assert_cmphex (rd (&f, 9), ==, 0x24);
  g_assert_cmphex (rd (&f, 0x32), ==, 0x20);
  g_assert_cmphex (rd (&f, 13), ==, 0x80);
  harness_advance (f.h, 4 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 0), ==, 0x00);
  g_assert_cmphex (rd (&f, 2), ==, 0x35);
  /* A leap day ends. */
  harness_advance (f.h, (gint64)12 * 3600 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 7), ==, 0x01);
  g_assert_cmphex (rd (&f, 8), ==, 0x03);
  /* Binary and 12-hour forms: 00:35 is 12:35 AM. */
  wr (&f, 11, 0x04);
  g_assert_cmphex (rd (&f, 2), ==, 35);
  g_assert_cmphex (rd (&f, 4), ==, 12);
  harness_advance (f.h, (gint64)13 * 3600 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 4), ==, 0x80 | 1);
  harness_free (f.h);
}

static void
test_set_time (void)
{
  Fixture f;

  set_up (&f);
  wr (&f, 11, 0x82);
  wr (&f, 0, 0x59);
  wr (&f, 2, 0x59);
  wr (&f, 4, 0x23);
  wr (&f, 7, 0x31);
  wr (&f, 8, 0x12);
  wr (&f, 9, 0x99);
  wr (&f, 0x32, 0x19);
  /* Held while SET. */
  harness_advance (f.h, 5 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 0), ==, 0x59);
  wr (&f, 11, 0x02);
  g_assert_cmphex (rd (&f, 9), ==, 0x99);
  harness_advance (f.h, VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 0), ==, 0);
  g_assert_cmphex (rd (&f, 9), ==, 0);
  g_assert_cmphex (rd (&f, 0x32), ==, 0x20);
  g_assert_cmphex (rd (&f, 8), ==, 1);
  g_assert_cmphex (rd (&f, 7), ==, 1);
  harness_check_save_load (f.h);
  g_assert_cmphex (rd (&f, 9), ==, 0);
  harness_free (f.h);
}

static void
test_uip (void)
{
  Fixture f;

  set_up (&f);
  g_assert_cmphex (rd (&f, 10), ==, 0x26);
  harness_advance (f.h, VMM_NSEC_PER_SEC - 100 * 1000);
  g_assert_cmphex (rd (&f, 10), ==, 0xa6);
  harness_advance (f.h, 200 * 1000);
  g_assert_cmphex (rd (&f, 10), ==, 0x26);
  harness_free (f.h);
}

static void
test_interrupts (void)
{
  Fixture f;

  set_up (&f);
  rd (&f, 12);
  /* Update ended. */
  wr (&f, 11, 0x12);
  harness_advance (f.h, VMM_NSEC_PER_SEC + 1000 * 1000);
  g_assert_true (f.h->gsi[8]);
  g_assert_cmphex (rd (&f, 12), ==, 0x90);
  g_assert_false (f.h->gsi[8]);
  g_assert_cmphex (rd (&f, 12), ==, 0);
  /* Alarm at any hour, any minute, second 05. */
  wr (&f, 11, 0x22);
  wr (&f, 1, 0x05);
  wr (&f, 3, 0xff);
  wr (&f, 5, 0xc0);
  harness_advance (f.h, 5 * VMM_NSEC_PER_SEC);
  g_assert_false (f.h->gsi[8]);
  harness_advance (f.h, 5 * VMM_NSEC_PER_SEC);
  g_assert_true (f.h->gsi[8]);
  g_assert_cmphex (rd (&f, 12) & 0xa0, ==, 0xa0);
  /* Periodic: rate 6 is 1024 Hz. */
  wr (&f, 11, 0x42);
  harness_advance (f.h, 976 * 1000);
  g_assert_false (f.h->gsi[8]);
  harness_advance (f.h, 1000);
  g_assert_true (f.h->gsi[8]);
  g_assert_cmphex (rd (&f, 12) & 0xc0, ==, 0xc0);
  g_assert_false (f.h->gsi[8]);
  harness_advance (f.h, 977 * 1000);
  g_assert_true (f.h->gsi[8]);
  /* Flags without interrupts, for those who poll. */
  wr (&f, 11, 0x02);
  rd (&f, 12);
  g_assert_false (f.h->gsi[8]);
  harness_advance (f.h, 2 * VMM_NSEC_PER_SEC);
  g_assert_false (f.h->gsi[8]);
  g_assert_cmphex (rd (&f, 12) & 0x90, ==, 0x10);
  harness_free (f.h);
}

static void
test_memory (void)
{
  Fixture f;

  set_up (&f);
  g_assert_cmphex (rd (&f, 0x34), ==, 0x77);
  wr (&f, 0x34, 1);
  wr (&f, 0x8f, 0xfe); /* bit 7 masks NMI */
  g_assert_cmphex (rd (&f, 0x0f), ==, 0xfe);
  /* The battery keeps it over a warm reset; a cold one brings the board's values. */
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (rd (&f, 0x0f), ==, 0xfe);
  g_assert_cmphex (rd (&f, 0x34), ==, 1);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_COLD);
  g_assert_cmphex (rd (&f, 0x34), ==, 0x77);
  g_assert_cmphex (harness_in (f.h, 0x70, 1), ==, 0xff);
  harness_free (f.h);
}

static void
test_hostile (void)
{
  Fixture f;
  GRand *rand = g_rand_new_with_seed (2);

  set_up (&f);
  for (guint i = 0; i < 30000; i++)
    {
      wr (&f,
          (guint8)(g_rand_boolean (rand) ? g_rand_int_range (rand, 0, 14)
                                         : (gint)g_rand_int (rand)),
          (guint8)g_rand_int (rand));
      rd (&f, (guint8)g_rand_int (rand));
      if (i % 64 == 0)
        harness_advance (f.h, g_rand_int (rand));
    }
  {
    g_autoptr (GBytes) state = harness_save (f.h);

    harness_check_save_load (f.h);
    harness_storm_load (f.h, state, 1, 1000);
  }
  harness_advance (f.h, VMM_NSEC_PER_SEC);
  g_rand_free (rand);
  harness_free (f.h);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/platform/rtc/time", test_time);
  g_test_add_func ("/platform/rtc/set-time", test_set_time);
  g_test_add_func ("/platform/rtc/uip", test_uip);
  g_test_add_func ("/platform/rtc/interrupts", test_interrupts);
  g_test_add_func ("/platform/rtc/memory", test_memory);
  g_test_add_func ("/platform/rtc/hostile", test_hostile);
  return g_test_run ();
}
