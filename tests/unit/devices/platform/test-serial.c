/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/char/char.h"
#include "devices/platform/debug-console.h"
#include "devices/platform/serial.h"
#include "tests/unit/harness/harness.h"

#include <string.h>

/* A back end that records output, takes as much as told, and delivers input by hand. */
typedef struct
{
  CharBackend parent;
  GString *out;
  gsize room;
  const CharReceiver *receiver;
  gpointer device;
  void (*writable) (gpointer);
  gpointer writable_data;
  guint n_more;
} TestChar;

static gsize
test_write (CharBackend *backend, const guint8 *data, gsize length)
{
  TestChar *self = (TestChar *)backend;
  gsize n = MIN (length, self->room);

  g_string_append_len (self->out, (const char *)data, (gssize)n);
  self->room -= n;
  return n;
}

static void
test_attach (CharBackend *backend, VmmWorker *worker, const CharReceiver *receiver, gpointer device)
{
  TestChar *self = (TestChar *)backend;

  self->receiver = receiver;
  self->device = device;
}

static void
test_detach (CharBackend *backend)
{
  ((TestChar *)backend)->receiver = NULL;
}

static void
test_more (CharBackend *backend)
{
  ((TestChar *)backend)->n_more++;
}

static void
test_notify (CharBackend *backend, void (*callback) (gpointer), gpointer user_data)
{
  TestChar *self = (TestChar *)backend;

  self->writable = callback;
  self->writable_data = user_data;
}

static const CharBackendOps char_ops = {
  .name = "test",
  .write = test_write,
  .attach = test_attach,
  .detach = test_detach,
  .can_receive_more = test_more,
  .notify_writable = test_notify,
};

typedef struct
{
  HarnessMachine *h;
  TestChar c;
} Fixture;

static void
set_up (Fixture *f)
{
  VmmDevice *serial = vmm_device_new (&serial_ops, "serial");

  memset (f, 0, sizeof *f);
  f->h = harness_new (0);
  f->c.parent.ops = &char_ops;
  f->c.out = g_string_new (NULL);
  f->c.room = G_MAXSIZE;
  g_assert_true (vmm_device_set_pointer (serial, "chardev", &f->c, NULL));
  harness_realize (f->h, serial);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
}

static void
tear_down (Fixture *f)
{
  harness_free (f->h);
  g_string_free (f->c.out, TRUE);
}

static guint8
in (Fixture *f, guint reg)
{
  return (guint8)harness_in (f->h, (guint16)(0x3f8 + reg), 1);
}

static void
out (Fixture *f, guint reg, guint8 value)
{
  harness_out (f->h, (guint16)(0x3f8 + reg), 1, value);
}

static gsize
deliver (Fixture *f, const char *text)
{
  gsize n = MIN (f->c.receiver->can_receive (f->c.device), strlen (text));

  if (n > 0)
    f->c.receiver->receive (f->c.device, (const guint8 *)text, n);
  return n;
}

static void
test_registers (void)
{
  Fixture f;

  set_up (&f);
  g_assert_cmphex (in (&f, 1), ==, 0);
  g_assert_cmphex (in (&f, 2), ==, 1);
  g_assert_cmphex (in (&f, 5), ==, 0x60);
  g_assert_cmphex (in (&f, 6), ==, 0xb0);
  out (&f, 7, 0x5a);
  g_assert_cmphex (in (&f, 7), ==, 0x5a);
  out (&f, 1, 0xff);
  g_assert_cmphex (in (&f, 1), ==, 0x0f);
  out (&f, 3, 0x83);
  out (&f, 0, 0x34);
  out (&f, 1, 0x12);
  g_assert_cmphex (in (&f, 0), ==, 0x34);
  g_assert_cmphex (in (&f, 1), ==, 0x12);
  out (&f, 3, 0x03);
  g_assert_cmphex (in (&f, 1), ==, 0x0f);
  out (&f, 4, 0xff);
  g_assert_cmphex (in (&f, 4), ==, 0x1f);
  /* The detection drivers do: loopback shows MCR in MSR. */
  out (&f, 4, 0x1a);
  g_assert_cmphex (in (&f, 6) & 0xf0, ==, 0x90);
  out (&f, 4, 0);
  out (&f, 2, 1);
  g_assert_cmphex (in (&f, 2) & 0xc0, ==, 0xc0);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (in (&f, 2), ==, 1);
  g_assert_cmphex (in (&f, 7), ==, 0);
  tear_down (&f);
}

static void
test_transmit (void)
{
  Fixture f;

  set_up (&f);
  out (&f, 4, 0x08);
  out (&f, 0, 'A');
  g_assert_cmpstr (f.c.out->str, ==, "A");
  g_assert_false (f.h->gsi[4]);
  /* Enabling the interrupt while empty raises it; reading IIR takes it away. */
  out (&f, 1, 0x02);
  g_assert_true (f.h->gsi[4]);
  g_assert_cmphex (in (&f, 2), ==, 0x02);
  g_assert_false (f.h->gsi[4]);
  g_assert_cmphex (in (&f, 2), ==, 0x01);
  out (&f, 0, 'B');
  g_assert_true (f.h->gsi[4]);
  /* OUT2 gates the line. */
  out (&f, 4, 0);
  g_assert_false (f.h->gsi[4]);
  g_assert_cmpstr (f.c.out->str, ==, "AB");
  tear_down (&f);
}

/* A back end without room: bytes wait, THRE stays clear, and nothing is lost. */
static void
test_back_pressure (void)
{
  Fixture f;

  set_up (&f);
  out (&f, 2, 1);
  f.c.room = 2;
  for (guint8 i = 0; i < 6; i++)
    out (&f, 0, (guint8)('a' + i));
  g_assert_cmpstr (f.c.out->str, ==, "ab");
  g_assert_cmphex (in (&f, 5) & 0x60, ==, 0);
  g_assert_nonnull (f.c.writable);
  harness_check_save_load (f.h);
  f.c.room = 100;
  f.c.writable (f.c.writable_data);
  g_assert_cmphex (in (&f, 5) & 0x60, ==, 0x60);
  g_assert_cmpstr (f.c.out->str, ==, "abcdef");
  tear_down (&f);
}

static void
test_receive (void)
{
  Fixture f;

  set_up (&f);
  out (&f, 4, 0x08);
  out (&f, 1, 0x01);
  /* Without FIFO: one byte. */
  g_assert_cmpuint (deliver (&f, "xyz"), ==, 1);
  g_assert_true (f.h->gsi[4]);
  g_assert_cmphex (in (&f, 2), ==, 0x04);
  g_assert_cmpuint (deliver (&f, "yz"), ==, 0);
  g_assert_cmphex (in (&f, 0), ==, 'x');
  g_assert_false (f.h->gsi[4]);
  harness_advance (f.h, 1);
  g_assert_cmpuint (f.c.n_more, ==, 1);
  /* FIFO with trigger 8: below it, the timeout tells. */
  out (&f, 2, 0x81);
  g_assert_cmpuint (deliver (&f, "hello"), ==, 5);
  g_assert_false (f.h->gsi[4]);
  g_assert_cmphex (in (&f, 5) & 1, ==, 1);
  harness_advance (f.h, 100 * 1000 * 1000);
  g_assert_true (f.h->gsi[4]);
  g_assert_cmphex (in (&f, 2) & 0x0f, ==, 0x0c);
  g_assert_cmphex (in (&f, 0), ==, 'h');
  g_assert_false (f.h->gsi[4]);
  g_assert_cmpuint (deliver (&f, "0123456789abcdef"), ==, 12);
  g_assert_true (f.h->gsi[4]);
  g_assert_cmphex (in (&f, 2) & 0x0f, ==, 0x04);
  for (guint i = 0; i < 16; i++)
    in (&f, 0);
  g_assert_cmphex (in (&f, 5) & 1, ==, 0);
  g_assert_cmphex (in (&f, 0), ==, 0);
  /* Overrun by a back end that does not ask. */
  f.c.receiver->receive (f.c.device, (const guint8 *)"0123456789abcdefXYZ", 19);
  g_assert_cmphex (in (&f, 5) & 2, ==, 2);
  g_assert_cmphex (in (&f, 5) & 2, ==, 0);
  tear_down (&f);
}

static void
test_loopback (void)
{
  Fixture f;

  set_up (&f);
  out (&f, 4, 0x10);
  g_assert_cmpuint (f.c.receiver->can_receive (f.c.device), ==, 0);
  out (&f, 0, 0x42);
  g_assert_cmpuint (f.c.out->len, ==, 0);
  g_assert_cmphex (in (&f, 5) & 1, ==, 1);
  g_assert_cmphex (in (&f, 0), ==, 0x42);
  tear_down (&f);
}

static void
test_hostile (void)
{
  Fixture f;
  GRand *rand = g_rand_new_with_seed (9);

  set_up (&f);
  for (guint i = 0; i < 100000; i++)
    {
      if (i % 7 == 0)
        f.c.room = (gsize)g_rand_int_range (rand, 0, 4);
      if (i % 11 == 0 && f.c.writable != NULL)
        f.c.writable (f.c.writable_data);
      if (i % 13 == 0)
        deliver (&f, "abcdefgh");
      out (&f, (guint)g_rand_int_range (rand, 0, 8), (guint8)g_rand_int (rand));
      in (&f, (guint)g_rand_int_range (rand, 0, 8));
    }
  harness_run (f.h);
  f.c.room = G_MAXSIZE;
  {
    g_autoptr (GBytes) state = harness_save (f.h);

    harness_check_save_load (f.h);
    harness_storm_load (f.h, state, 8, 2000);
  }
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (in (&f, 5), ==, 0x60);
  g_rand_free (rand);
  tear_down (&f);
}

static void
test_debug_console (void)
{
  HarnessMachine *h = harness_new (0);
  VmmDevice *console = vmm_device_new (&debug_console_ops, "debug");
  TestChar c = { .parent.ops = &char_ops, .out = g_string_new (NULL), .room = 2 };

  g_assert_true (vmm_device_set_pointer (console, "chardev", &c, NULL));
  harness_realize (h, console);
  g_assert_cmphex (harness_in (h, 0x402, 1), ==, 0xe9);
  for (guint i = 0; i < 5; i++)
    harness_out (h, 0x402, 1, 'a' + i);
  g_assert_cmpstr (c.out->str, ==, "ab"); /* the rest is dropped, the guest goes on */
  harness_check_save_load (h);
  harness_free (h);
  g_string_free (c.out, TRUE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/platform/serial/registers", test_registers);
  g_test_add_func ("/platform/serial/transmit", test_transmit);
  g_test_add_func ("/platform/serial/back-pressure", test_back_pressure);
  g_test_add_func ("/platform/serial/receive", test_receive);
  g_test_add_func ("/platform/serial/loopback", test_loopback);
  g_test_add_func ("/platform/serial/hostile", test_hostile);
  g_test_add_func ("/platform/debug-console", test_debug_console);
  return g_test_run ();
}
