/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/hpet.h"
#include "tests/unit/harness/harness.h"

#define BASE G_GUINT64_CONSTANT (0xfed00000)
#define MS   G_GINT64_CONSTANT (1000000)

static HarnessMachine *
make (VmmDevice **ret_hpet)
{
  HarnessMachine *h = harness_new (4096);

  *ret_hpet = vmm_device_new (&hpet_ops, "hpet");
  g_assert_true (vmm_device_realize (*ret_hpet, h->machine, NULL));
  return h;
}

static guint64
reg (HarnessMachine *h, guint offset)
{
  return harness_mmio_read (h, BASE + offset, 8);
}

static void
set (HarnessMachine *h, guint offset, guint64 value)
{
  harness_mmio_write (h, BASE + offset, 8, value);
}

static void
test_reset_values (void)
{
  VmmDevice *hpet;
  HarnessMachine *h = make (&hpet);

  g_assert_cmphex (reg (h, 0), ==, 0x0098968080862201);
  g_assert_cmphex (reg (h, 0x10), ==, 0);
  g_assert_cmphex (reg (h, 0x20), ==, 0);
  g_assert_cmphex (reg (h, 0xf0), ==, 0);
  for (guint n = 0; n < 3; n++)
    {
      g_assert_cmphex (reg (h, 0x100 + n * 0x20), ==, 0x00ff000000000030);
      g_assert_cmphex (reg (h, 0x108 + n * 0x20), ==, G_MAXUINT64);
    }
  g_assert_cmphex (harness_mmio_read (h, BASE + 4, 4), ==, 10000000);
  set (h, 0, 0);
  g_assert_cmphex (reg (h, 0), ==, 0x0098968080862201);
  harness_free (h);
}

static void
test_counter (void)
{
  VmmDevice *hpet;
  HarnessMachine *h = make (&hpet);

  harness_advance (h, MS);
  g_assert_cmpuint (reg (h, 0xf0), ==, 0);
  set (h, 0x10, 1);
  harness_advance (h, MS);
  g_assert_cmpuint (reg (h, 0xf0), ==, MS / 10);
  set (h, 0x10, 0);
  harness_advance (h, MS);
  g_assert_cmpuint (reg (h, 0xf0), ==, MS / 10);
  set (h, 0xf0, 0xfffffffffffffff0);
  set (h, 0x10, 1);
  harness_advance (h, 320);
  g_assert_cmpuint (reg (h, 0xf0), ==, 0x10);
  /* Halves. */
  harness_mmio_write (h, BASE + 0xf4, 4, 7);
  g_assert_cmphex (reg (h, 0xf0), ==, 0x700000010);
  harness_free (h);
}

static void
test_one_shot (void)
{
  VmmDevice *hpet;
  HarnessMachine *h = make (&hpet);

  set (h, 0x100, 1u << 2 | 20u << 9);
  set (h, 0x108, MS / 10);
  set (h, 0x10, 1);
  harness_advance (h, MS - 10);
  g_assert_cmpuint (h->gsi_raised[20], ==, 0);
  harness_advance (h, 20);
  g_assert_cmpuint (h->gsi_raised[20], ==, 1);
  g_assert_false (h->gsi[20]);
  harness_advance (h, 100 * MS);
  g_assert_cmpuint (h->gsi_raised[20], ==, 1);
  harness_free (h);
}

static void
test_level (void)
{
  VmmDevice *hpet;
  HarnessMachine *h = make (&hpet);

  set (h, 0x100, 1u << 1 | 1u << 2 | 17u << 9);
  set (h, 0x108, 1000);
  set (h, 0x10, 1);
  harness_advance (h, MS);
  g_assert_true (h->gsi[17]);
  g_assert_cmphex (reg (h, 0x20), ==, 1);
  /* The route moves: the line goes with it. */
  set (h, 0x100, 1u << 1 | 1u << 2 | 18u << 9);
  g_assert_false (h->gsi[17]);
  g_assert_true (h->gsi[18]);
  set (h, 0x20, 1);
  g_assert_false (h->gsi[18]);
  harness_free (h);
}

static void
test_periodic (void)
{
  VmmDevice *hpet;
  HarnessMachine *h = make (&hpet);

  set (h, 0x120, 1u << 2 | 1u << 3 | 1u << 6 | 16u << 9);
  set (h, 0x128, MS / 10);
  g_assert_cmphex (reg (h, 0x120) & 0x40, ==, 0);
  set (h, 0x10, 1);
  for (guint i = 0; i < 10; i++)
    harness_advance (h, MS);
  g_assert_cmpuint (h->gsi_raised[16], ==, 10);
  /* A hostile period of one tick is merged, not served. */
  set (h, 0x120, 1u << 2 | 1u << 3 | 1u << 6 | 16u << 9);
  set (h, 0x128, 1);
  set (h, 0xf0, 0);
  h->gsi_raised[16] = 0;
  for (guint i = 0; i < 10; i++)
    harness_advance (h, MS);
  g_assert_cmpuint (h->gsi_raised[16], <=, 110);
  g_assert_cmpuint (h->gsi_raised[16], >=, 5);
  harness_free (h);
}

static void
test_hostile (void)
{
  VmmDevice *hpet;
  HarnessMachine *h = make (&hpet);
  GRand *random = g_rand_new_with_seed (7);

  /* Routes that are not offered read back as none. */
  set (h, 0x100, 31u << 9);
  g_assert_cmphex (reg (h, 0x100) & 31u << 9, ==, 0);
  for (guint i = 0; i < 20000; i++)
    {
      guint size = 1u << g_rand_int_range (random, 0, 4);
      guint64 value = (guint64)g_rand_int (random) << 32 | g_rand_int (random);

      harness_mmio_write (h, BASE + g_rand_int_range (random, 0, 1020), size, value);
      harness_mmio_read (h, BASE + g_rand_int_range (random, 0, 1020), size);
      harness_advance (h, g_rand_int_range (random, 1, 100000));
    }
  g_rand_free (random);
  harness_free (h);
}

static void
test_state (void)
{
  VmmDevice *hpet;
  HarnessMachine *h = make (&hpet);
  g_autoptr (GBytes) state = NULL;

  set (h, 0x120, 1u << 2 | 1u << 3 | 1u << 6 | 16u << 9);
  set (h, 0x128, MS / 10);
  set (h, 0x10, 1);
  harness_advance (h, 5 * MS / 2);
  harness_check_save_load (h);
  state = harness_save (h);
  hpet->ops->reset (hpet, VMM_RESET_COLD);
  g_assert_cmpuint (reg (h, 0x10), ==, 0);
  g_assert_true (harness_load (h, state, NULL));
  h->gsi_raised[16] = 0;
  harness_advance (h, 2 * MS);
  g_assert_cmpuint (h->gsi_raised[16], ==, 2);
  harness_storm_load (h, state, 1, 200);
  harness_free (h);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/hpet/reset-values", test_reset_values);
  g_test_add_func ("/hpet/counter", test_counter);
  g_test_add_func ("/hpet/one-shot", test_one_shot);
  g_test_add_func ("/hpet/level", test_level);
  g_test_add_func ("/hpet/periodic", test_periodic);
  g_test_add_func ("/hpet/hostile", test_hostile);
  g_test_add_func ("/hpet/state", test_state);
  return g_test_run ();
}
