/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <unistd.h>

#include "tests/unit/harness/harness.h"

static void
test_lines (void)
{
  HarnessMachine *h = harness_new (0);
  VmmIrqLine a, b, other;

  vmm_irq_line_init (&a, h->machine, 10);
  vmm_irq_line_init (&b, h->machine, 10);
  vmm_irq_line_init (&other, h->machine, 11);
  vmm_irq_line_set (&a, TRUE);
  vmm_irq_line_set (&a, TRUE);
  vmm_irq_line_set (&b, 7);
  g_assert_true (h->gsi[10]);
  g_assert_false (h->gsi[11]);
  vmm_irq_line_set (&a, FALSE);
  g_assert_true (h->gsi[10]); /* b still holds it */
  g_assert_false (vmm_irq_line_get (&a));
  g_assert_true (vmm_irq_line_get (&b));
  vmm_irq_line_set (&b, FALSE);
  vmm_irq_line_set (&b, FALSE);
  g_assert_false (h->gsi[10]);
  g_assert_cmpuint (h->gsi_raised[10], ==, 1);
  vmm_irq_line_pulse (&other);
  vmm_irq_line_pulse (&other);
  g_assert_cmpuint (h->gsi_raised[11], ==, 2);
  g_assert_false (h->gsi[11]);
  harness_free (h);
}

typedef struct
{
  HarnessMachine *h;
  gint go;
} Race;

static gpointer
race_thread (gpointer data)
{
  Race *race = data;
  VmmIrqLine line;

  vmm_irq_line_init (&line, race->h->machine, 5);
  while (!g_atomic_int_get (&race->go))
    continue;
  for (guint i = 0; i < 20000; i++)
    vmm_irq_line_pulse (&line);
  vmm_irq_line_set (&line, TRUE);
  return NULL;
}

static void
test_race (void)
{
  Race race = { .h = harness_new (0) };
  GThread *threads[2];

  for (guint i = 0; i < 2; i++)
    threads[i] = g_thread_new ("irq", race_thread, &race);
  g_atomic_int_set (&race.go, TRUE);
  for (guint i = 0; i < 2; i++)
    g_thread_join (threads[i]);
  g_assert_true (race.h->gsi[5]);
  harness_free (race.h);
}

static void
check_msi (HarnessMachine *h, guint n, guint64 address, guint32 data)
{
  HarnessMsi last;

  g_assert_cmpuint (harness_get_n_msis (h), ==, n);
  last = harness_get_msi (h, n - 1);
  g_assert_cmphex (last.address, ==, address);
  g_assert_cmphex (last.data, ==, data);
}

static void
test_msi (gconstpointer no_irqfd)
{
  HarnessMachine *h = harness_new (0);
  VmmMsi *msi = vmm_msi_new (h->machine);
  g_autoptr (GError) error = NULL;
  const guint64 one = 1;
  int fd;

  h->no_irqfd = no_irqfd != NULL;
  vmm_msi_set_message (msi, 0xfee01000, 0x41);
  vmm_msi_raise (msi);
  g_assert_cmpuint (harness_get_n_msis (h), ==, 0); /* not enabled */
  vmm_msi_set_enabled (msi, TRUE);
  vmm_msi_raise (msi);
  check_msi (h, 1, 0xfee01000, 0x41);

  fd = vmm_msi_get_eventfd (msi, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fd, ==, vmm_msi_get_eventfd (msi, NULL));
  g_assert_cmpint (write (fd, &one, 8), ==, 8);
  harness_run (h);
  check_msi (h, 2, 0xfee01000, 0x41);
  /* the route follows the message */
  vmm_msi_set_message (msi, 0xfee02000, 0x42);
  g_assert_cmpint (write (fd, &one, 8), ==, 8);
  harness_run (h);
  check_msi (h, 3, 0xfee02000, 0x42);

  /* masked: signals collect, and show in the PBA or are delivered later */
  vmm_msi_set_enabled (msi, FALSE);
  g_assert_false (vmm_msi_take_pending (msi));
  g_assert_cmpint (write (fd, &one, 8), ==, 8);
  harness_run (h);
  g_assert_cmpuint (harness_get_n_msis (h), ==, 3);
  g_assert_true (vmm_msi_take_pending (msi));
  g_assert_false (vmm_msi_take_pending (msi));
  g_assert_cmpint (write (fd, &one, 8), ==, 8);
  vmm_msi_set_enabled (msi, TRUE);
  harness_run (h);
  check_msi (h, 4, 0xfee02000, 0x42);
  vmm_msi_free (msi);
  vmm_msi_free (NULL);
  harness_free (h);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/irq/lines", test_lines);
  g_test_add_func ("/vmm/irq/race", test_race);
  g_test_add_data_func ("/vmm/irq/msi", NULL, test_msi);
  g_test_add_data_func ("/vmm/irq/msi-by-worker", "", test_msi);
  return g_test_run ();
}
