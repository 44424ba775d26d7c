/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/console.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "virtio-driver.h"

#define ALL    (~G_GUINT64_CONSTANT (0))
#define BIT(n) (G_GUINT64_CONSTANT (1) << (n))

/* A stream of the test's own, with a limit on what it takes. */
typedef struct
{
  CharBackend parent;
  GByteArray *out;
  gsize room;
  const CharReceiver *receiver;
  gpointer device;
  guint n_more;
  void (*writable) (gpointer);
  gpointer writable_data;
} Pipe;

static gsize
pipe_write (CharBackend *backend, const guint8 *data, gsize length)
{
  Pipe *p = (Pipe *)backend;

  length = MIN (length, p->room);
  p->room -= length;
  g_byte_array_append (p->out, data, length);
  return length;
}

static void
pipe_attach (CharBackend *backend, VmmWorker *worker, const CharReceiver *receiver, gpointer device)
{
  ((Pipe *)backend)->receiver = receiver;
  ((Pipe *)backend)->device = device;
}

static void
pipe_detach (CharBackend *backend)
{
  ((Pipe *)backend)->receiver = NULL;
}

static void
pipe_more (CharBackend *backend)
{
  ((Pipe *)backend)->n_more++;
}

static void
pipe_notify_writable (CharBackend *backend, void (*callback) (gpointer), gpointer user_data)
{
  ((Pipe *)backend)->writable = callback;
  ((Pipe *)backend)->writable_data = user_data;
}

static void
pipe_free (CharBackend *backend)
{
}

static const CharBackendOps pipe_ops = {
  .name = "pipe",
  .write = pipe_write,
  .attach = pipe_attach,
  .detach = pipe_detach,
  .can_receive_more = pipe_more,
  .notify_writable = pipe_notify_writable,
  .free = pipe_free,
};

typedef struct
{
  VirtioDriver d;
  Pipe pipes[2];
  VmmDevice *device;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  VirtioConsolePort ports[2] = {
    { .console = TRUE, .backend = &f->pipes[0].parent },
    { .name = "org.alcove.test.0", .backend = &f->pipes[1].parent },
  };
  VirtioConsolePorts list = { ports, 2 };

  memset (f, 0, sizeof *f);
  for (guint i = 0; i < 2; i++)
    {
      f->pipes[i].parent.ops = &pipe_ops;
      f->pipes[i].out = g_byte_array_new ();
      f->pipes[i].room = G_MAXSIZE / 2;
    }
  virtio_driver_init (&f->d);
  f->device = virtio_driver_new_device (&f->d, &virtio_console_device_ops);
  g_assert_true (vmm_device_set_pointer (f->device, "ports", &list, NULL));
  virtio_driver_probe (&f->d, f->device);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  virtio_driver_finish (&f->d);
  for (guint i = 0; i < 2; i++)
    g_byte_array_unref (f->pipes[i].out);
}

static void
give (Fixture *f, guint queue, guint n, guint32 length)
{
  for (guint i = 0; i < n; i++)
    {
      HarnessSegment segment = { f->d.arena + queue * 0x1000 + i * 0x100, length, TRUE };

      harness_ring_send (&f->d.rings[queue], &segment, 1);
    }
  virtio_driver_kick (&f->d, queue);
}

static void
say (Fixture *f, guint32 id, guint16 event, guint16 value)
{
  HarnessSegment segment = { f->d.arena + 0xf000, 8, FALSE };

  harness_write_le (f->d.h, f->d.arena + 0xf000, 4, id);
  harness_write_le (f->d.h, f->d.arena + 0xf004, 2, event);
  harness_write_le (f->d.h, f->d.arena + 0xf006, 2, value);
  harness_ring_send (&f->d.rings[3], &segment, 1);
  virtio_driver_kick (&f->d, 3);
}

/* The next message to the driver: event, or -1. */
static int
hear (Fixture *f, guint *ret_id, guint *ret_value, char *more, guint32 *ret_length)
{
  HarnessUsed used;
  guint64 gpa;

  if (!harness_ring_take_used (&f->d.rings[2], &used))
    return -1;
  gpa = harness_read_le (f->d.h, f->d.rings[2].desc + 16 * used.id, 8);
  g_assert_cmpuint (used.length, >=, 8);
  *ret_id = harness_read_le (f->d.h, gpa, 4);
  *ret_value = harness_read_le (f->d.h, gpa + 6, 2);
  *ret_length = used.length - 8;
  harness_read (f->d.h, gpa + 8, more, *ret_length);
  return harness_read_le (f->d.h, gpa + 4, 2);
}

static void
start (Fixture *f)
{
  guint id, value;
  guint32 length;
  char more[128];

  virtio_driver_start (&f->d, ALL, 6);
  give (f, 2, 16, 0x100);
  say (f, 0, 0, 1);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (hear (f, &id, &value, more, &length), ==, 1);
      g_assert_cmpuint (id, ==, i);
    }
  say (f, 0, 3, 1);
  g_assert_cmpint (hear (f, &id, &value, more, &length), ==, 4); /* console */
  g_assert_cmpuint (id, ==, 0);
  g_assert_cmpint (hear (f, &id, &value, more, &length), ==, 6); /* open */
  say (f, 1, 3, 1);
  g_assert_cmpint (hear (f, &id, &value, more, &length), ==, 7); /* name */
  g_assert_cmpuint (id, ==, 1);
  g_assert_cmpmem (more, length, "org.alcove.test.0", 17);
  g_assert_cmpint (hear (f, &id, &value, more, &length), ==, 6);
  g_assert_cmpuint (value, ==, 1);
  g_assert_cmpint (hear (f, &id, &value, more, &length), ==, -1);
  say (f, 1, 6, 1);
}

static void
test_config (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (virtio_driver_get_features (&f->d), ==, 3 | BIT (28) | BIT (29) | BIT (32));
  g_assert_cmpuint (virtio_driver_read_config (&f->d, 4, 4), ==, 2);
  g_assert_cmpuint (virtio_driver_read (&f->d, 0x12, 2), ==, 6);
}

static void
test_output (Fixture *f, gconstpointer data)
{
  HarnessSegment segments[2] = { { f->d.arena + 0x8000, 5000, FALSE },
                                 { f->d.arena + 0xa000, 3, FALSE } };
  HarnessUsed used;

  start (f);
  harness_write (f->d.h, f->d.arena + 0xa000, "end", 3);
  harness_ring_send (&f->d.rings[5], segments, 2);
  virtio_driver_kick (&f->d, 5);
  g_assert_true (harness_ring_take_used (&f->d.rings[5], &used));
  g_assert_cmpuint (f->pipes[1].out->len, ==, 5003);
  g_assert_cmpmem (f->pipes[1].out->data + 5000, 3, "end", 3);
  g_assert_cmpuint (f->pipes[0].out->len, ==, 0);
}

/* A stream that takes 10 bytes, then the rest: nothing is lost or said twice, over a save too. */
static void
test_back_pressure (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->d.arena + 0x8000, 26, FALSE };
  HarnessUsed used;

  start (f);
  harness_write (f->d.h, f->d.arena + 0x8000, "abcdefghijklmnopqrstuvwxyz", 26);
  f->pipes[1].room = 10;
  harness_ring_send (&f->d.rings[5], &segment, 1);
  virtio_driver_kick (&f->d, 5);
  g_assert_cmpuint (f->pipes[1].out->len, ==, 10);
  g_assert_false (harness_ring_take_used (&f->d.rings[5], &used));
  f->pipes[1].room = 3;
  harness_check_save_load (f->d.h);
  f->pipes[1].room = 100;
  f->pipes[1].writable (f->pipes[1].writable_data);
  harness_run (f->d.h);
  g_assert_true (harness_ring_take_used (&f->d.rings[5], &used));
  g_assert_cmpmem (f->pipes[1].out->data, f->pipes[1].out->len, "abcdefghijklmnopqrstuvwxyz", 26);
  /* A reset while it waits. */
  f->pipes[1].room = 1;
  harness_ring_send (&f->d.rings[5], &segment, 1);
  virtio_driver_kick (&f->d, 5);
  virtio_driver_write (&f->d, 0x14, 1, 0);
  f->pipes[1].writable (f->pipes[1].writable_data);
  harness_run (f->d.h);
}

static void
test_input (Fixture *f, gconstpointer data)
{
  Pipe *p = &f->pipes[1];
  HarnessUsed used;
  char back[300];

  g_assert_cmpuint (p->receiver->can_receive (p->device), ==, 0);
  start (f);
  g_assert_cmpuint (p->receiver->can_receive (p->device), ==, 0);
  p->n_more = 0;
  give (f, 4, 2, 200);
  g_assert_cmpuint (p->n_more, ==, 1);
  g_assert_cmpuint (p->receiver->can_receive (p->device), ==, 200);
  p->receiver->receive (p->device, (const guint8 *)"hello", 5);
  g_assert_true (harness_ring_take_used (&f->d.rings[4], &used));
  g_assert_cmpuint (used.length, ==, 5);
  harness_read (f->d.h, f->d.arena + 0x4000, back, 5);
  g_assert_cmpmem (back, 5, "hello", 5);
  /* The guest closes the port: nothing more goes in. */
  say (f, 1, 6, 0);
  g_assert_cmpuint (p->receiver->can_receive (p->device), ==, 0);
  /* The other side goes. */
  p->receiver->open_changed (p->device, FALSE);
  guint id, value;
  guint32 length;
  g_assert_cmpint (hear (f, &id, &value, back, &length), ==, 6);
  g_assert_cmpuint (value, ==, 0);
}

static void
test_single_port (Fixture *f, gconstpointer data)
{
  HarnessSegment segment = { f->d.arena + 0x8000, 3, FALSE };

  virtio_driver_start (&f->d, ALL & ~BIT (1), 2);
  harness_write (f->d.h, f->d.arena + 0x8000, "hvc", 3);
  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
  g_assert_cmpmem (f->pipes[0].out->data, f->pipes[0].out->len, "hvc", 3);
  give (f, 0, 1, 64);
  g_assert_cmpuint (f->pipes[0].receiver->can_receive (f->pipes[0].device), ==, 64);
}

static void
test_size (Fixture *f, gconstpointer data)
{
  guint id, value;
  guint32 length;
  char more[128];

  start (f);
  virtio_console_set_size (f->device, 132, 43);
  harness_run (f->d.h);
  g_assert_cmpint (hear (f, &id, &value, more, &length), ==, 5);
  g_assert_cmpuint (length, ==, 4);
  g_assert_cmpmem (more, 4, "\x2b\x00\x84\x00", 4);
  g_assert_cmpuint (virtio_driver_read_config (&f->d, 0, 2), ==, 132);
}

static void
test_hostile (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) state = NULL;

  virtio_driver_start (&f->d, ALL, 6);
  /* Asks for ever and gives no buffers: bounded. */
  for (guint i = 0; i < 2000; i++)
    say (f, i % 4, i % 9, 1);
  harness_check_save_load (f->d.h);
  say (f, 0xffffffff, 3, 1);
  state = harness_save (f->d.h);
  harness_storm_load (f->d.h, state, 4, 400);
  virtio_driver_storm (&f->d, 4, 20000);
  start (f);
  harness_ring_put_avail (&f->d.rings[4], 0x777);
  harness_ring_publish (&f->d.rings[4]);
  g_assert_cmpuint (f->pipes[1].receiver->can_receive (f->pipes[1].device), ==, 0);
  g_assert_cmphex (virtio_driver_get_status (&f->d), ==, 0x4f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/virtio/console/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("config", test_config);
  ADD ("output", test_output);
  ADD ("back-pressure", test_back_pressure);
  ADD ("input", test_input);
  ADD ("single-port", test_single_port);
  ADD ("size", test_size);
  ADD ("hostile", test_hostile);
  return g_test_run ();
}
