/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-blk over a raw image on a scratch file, and over a back end that fails or waits. */
#include "devices/virtio/block.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/block.h"
#include "virtio-driver.h"

#define SECTORS 2048
#define ALL     (~G_GUINT64_CONSTANT (0))
#define BIT(n)  (G_GUINT64_CONSTANT (1) << (n))

/* A back end that keeps requests until told. */
typedef struct
{
  BlockBackend parent;
  GPtrArray *held;
  gboolean hold, sync;
  int result;
  guint n_fua;
} SlowBackend;

static void
slow_submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  SlowBackend *slow = (SlowBackend *)backend;

  if (request->flags & BLOCK_REQUEST_FUA)
    slow->n_fua++;
  if (slow->sync)
    request->done (request, slow->result);
  else
    g_ptr_array_add (slow->held, request);
}

static void
slow_finish (SlowBackend *slow)
{
  while (slow->held->len > 0)
    {
      BlockRequest *request = g_ptr_array_steal_index (slow->held, slow->held->len - 1);

      request->done (request, slow->result);
    }
}

static void
slow_drain (BlockBackend *backend, VmmWorker *worker)
{
  slow_finish ((SlowBackend *)backend);
}

static void
slow_get_info (BlockBackend *backend, BlockInfo *info)
{
  *info = (BlockInfo){ .size = SECTORS * 512,
                       .logical_block = 512,
                       .physical_block = 4096,
                       .can_discard = TRUE,
                       .can_write_zeroes = TRUE,
                       .discard_granularity = 4096 };
}

static gboolean
slow_flush_sync (BlockBackend *backend, GError **error)
{
  return TRUE;
}

static void
slow_close (BlockBackend *backend)
{
}

static const BlockBackendOps slow_ops = {
  "slow", slow_submit, slow_drain, slow_get_info, slow_flush_sync, slow_close,
};

typedef struct
{
  VirtioDriver d;
  char *path;
  BlockBackend *backend;
  SlowBackend slow;
} Fixture;

static void
plug (Fixture *f, BlockBackend *backend, guint n_queues)
{
  VmmDevice *device;

  virtio_driver_init (&f->d);
  device = virtio_driver_new_device (&f->d, &virtio_block_device_ops);
  g_assert_true (vmm_device_set_pointer (device, "backend", backend, NULL));
  g_assert_true (vmm_device_set_string (device, "serial", "ROOM-0001", NULL));
  g_assert_true (vmm_device_set_uint (device, "num-queues", n_queues, NULL));
  virtio_driver_probe (&f->d, device);
}

static void
open_file (Fixture *f, gboolean readonly)
{
  g_autoptr (GError) error = NULL;
  BlockOpenFlags flags = { .readonly = readonly, .discard = TRUE };
  int fd = g_file_open_tmp ("alcove-blk-XXXXXX", &f->path, NULL);
  guint8 pattern[512];

  g_assert_cmpint (fd, >=, 0);
  for (guint i = 0; i < SECTORS; i++)
    {
      memset (pattern, i * 7 + 1, sizeof pattern);
      g_assert_cmpint (pwrite (fd, pattern, 512, i * 512), ==, 512);
    }
  close (fd);
  f->backend = block_raw_open (f->path, &flags, &error);
  g_assert_no_error (error);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  open_file (f, FALSE);
  plug (f, f->backend, data != NULL ? 4 : 1);
}

static void
set_up_readonly (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  open_file (f, TRUE);
  plug (f, f->backend, 1);
}

static void
set_up_slow (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  f->slow.parent.ops = &slow_ops;
  f->slow.held = g_ptr_array_new ();
  plug (f, &f->slow.parent, data != NULL ? (guint)g_ascii_strtoull (data, NULL, 10) : 1);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  virtio_driver_finish (&f->d);
  block_backend_close (f->backend);
  if (f->path != NULL)
    g_unlink (f->path);
  g_free (f->path);
  if (f->slow.held != NULL)
    g_ptr_array_unref (f->slow.held);
}

/* Header at arena, status at arena + 64, data at arena + 4096. */
static guint16
start (
    Fixture *f, guint queue, guint slot, guint32 type, guint64 sector, guint32 length, gboolean in)
{
  HarnessMachine *h = f->d.h;
  guint64 base = f->d.arena + slot * 128;
  HarnessSegment segments[] = {
    { base, 16, FALSE },
    { f->d.arena + 4096, length, in },
    { base + 64, 1, TRUE },
  };

  harness_write_le (h, base, 4, type);
  harness_write_le (h, base + 4, 4, 0);
  harness_write_le (h, base + 8, 8, sector);
  harness_write_le (h, base + 64, 1, 0xee);
  if (length == 0)
    segments[1] = segments[2];
  return harness_ring_send (&f->d.rings[queue], segments, length == 0 ? 2 : 3);
}

static guint8
request (Fixture *f, guint32 type, guint64 sector, guint32 length, gboolean in, guint32 *ret_used)
{
  HarnessUsed used;

  start (f, 0, 0, type, sector, length, in);
  virtio_driver_kick (&f->d, 0);
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  if (ret_used != NULL)
    *ret_used = used.length;
  return harness_read_le (f->d.h, f->d.arena + 64, 1);
}

static void
test_config (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  g_assert_cmphex (virtio_driver_get_features (d), ==,
                   BIT (2) | BIT (6) | BIT (9) | BIT (10) | BIT (11) | BIT (12) | BIT (13) |
                       BIT (14) | BIT (28) | BIT (29) | BIT (32));
  g_assert_cmpuint (virtio_driver_read_config (d, 0, 8), ==, SECTORS);
  g_assert_cmpuint (virtio_driver_read_config (d, 12, 4), ==, 254);
  g_assert_cmpuint (virtio_driver_read_config (d, 20, 4), ==, 512);
  g_assert_cmpuint (virtio_driver_read_config (d, 24, 1), ==, 3);
  g_assert_cmpuint (virtio_driver_read_config (d, 32, 1), ==, 1);
  g_assert_cmpuint (virtio_driver_read_config (d, 34, 2), ==, 1);
  /* Every byte at every size reads the same. */
  for (guint offset = 0; offset < 60; offset++)
    for (guint size = 2; size <= 4; size *= 2)
      if (offset + size <= 60)
        for (guint i = 0; i < size; i++)
          g_assert_cmphex (virtio_driver_read_config (d, offset, size) >> (8 * i) & 0xff, ==,
                           virtio_driver_read_config (d, offset + i, 1));
}

static void
test_read_write (Fixture *f, gconstpointer data)
{
  guint8 buffer[4096], file[4096];
  guint32 used;
  int fd;

  virtio_driver_start (&f->d, ALL, 1);
  g_assert_cmpuint (request (f, 0, 5, 4096, TRUE, &used), ==, 0);
  g_assert_cmpuint (used, ==, 4097);
  harness_read (f->d.h, f->d.arena + 4096, buffer, 4096);
  for (guint i = 0; i < 4096; i++)
    g_assert_cmphex (buffer[i], ==, (guint8)((5 + i / 512) * 7 + 1));
  for (guint i = 0; i < 4096; i++)
    buffer[i] = i ^ 0x5a;
  harness_write (f->d.h, f->d.arena + 4096, buffer, 4096);
  g_assert_cmpuint (request (f, 1, SECTORS - 8, 4096, FALSE, &used), ==, 0);
  g_assert_cmpuint (used, ==, 1);
  g_assert_cmpuint (request (f, 4, 0, 0, FALSE, NULL), ==, 0);
  fd = open (f->path, O_RDONLY);
  g_assert_cmpint (pread (fd, file, 4096, (SECTORS - 8) * 512), ==, 4096);
  close (fd);
  g_assert_cmpmem (file, 4096, buffer, 4096);
  g_assert_cmpuint (harness_count_msi (f->d.h, VIRTIO_DRIVER_MSI_DATA + 1), >=, 1);
}

static void
test_serial (Fixture *f, gconstpointer data)
{
  char id[21] = { 0 };
  guint32 used;

  virtio_driver_start (&f->d, ALL, 1);
  g_assert_cmpuint (request (f, 8, 0, 20, TRUE, &used), ==, 0);
  g_assert_cmpuint (used, ==, 21);
  harness_read (f->d.h, f->d.arena + 4096, id, 20);
  g_assert_cmpstr (id, ==, "ROOM-0001");
}

static void
test_bad_requests (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  HarnessSegment one = { d->arena, 16, FALSE }, tiny = { d->arena, 8, FALSE };
  HarnessSegment status = { d->arena + 64, 1, TRUE };
  HarnessUsed used;

  virtio_driver_start (d, ALL, 1);
  g_assert_cmpuint (request (f, 0, SECTORS - 7, 4096, TRUE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 0, G_MAXUINT64, 512, TRUE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 1, G_MAXUINT64 / 512, 512, FALSE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 0, 0, 100, TRUE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 1, 0, 513, FALSE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 0, 0, 0, FALSE, NULL), ==, 0);
  g_assert_cmpuint (request (f, 77, 0, 512, TRUE, NULL), ==, 2);
  g_assert_cmpuint (request (f, 2, 0, 512, TRUE, NULL), ==, 2);
  /* No room for a status; no whole header. */
  harness_ring_send (&d->rings[0], &one, 1);
  virtio_driver_kick (d, 0);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_cmpuint (used.length, ==, 0);
  HarnessSegment short_header[] = { tiny, status };
  harness_ring_send (&d->rings[0], short_header, 2);
  virtio_driver_kick (d, 0);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 64, 1), ==, 1);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0xf);
}

static void
put_range (Fixture *f, guint i, guint64 sector, guint32 n, guint32 flags)
{
  harness_write_le (f->d.h, f->d.arena + 4096 + 16 * i, 8, sector);
  harness_write_le (f->d.h, f->d.arena + 4096 + 16 * i + 8, 4, n);
  harness_write_le (f->d.h, f->d.arena + 4096 + 16 * i + 12, 4, flags);
}

static void
test_ranges (Fixture *f, gconstpointer data)
{
  guint8 buffer[512 * 3];
  int fd;

  virtio_driver_start (&f->d, ALL, 1);
  put_range (f, 0, 3, 1, 0);
  put_range (f, 1, 5, 0, 0);
  put_range (f, 2, 9, 2, 1);
  g_assert_cmpuint (request (f, 13, 0, 48, FALSE, NULL), ==, 0);
  fd = open (f->path, O_RDONLY);
  for (guint s = 2; s < 13; s++)
    {
      g_assert_cmpint (pread (fd, buffer, 512, s * 512), ==, 512);
      g_assert_cmphex (buffer[17], ==, s == 3 || s == 9 || s == 10 ? 0 : (guint8)(s * 7 + 1));
    }
  put_range (f, 0, 16, 8, 0);
  g_assert_cmpuint (request (f, 11, 0, 16, FALSE, NULL), ==, 0);
  close (fd);
  put_range (f, 0, 16, 8, 1);
  g_assert_cmpuint (request (f, 11, 0, 16, FALSE, NULL), ==, 2);
  put_range (f, 0, 16, 8, 2);
  g_assert_cmpuint (request (f, 13, 0, 16, FALSE, NULL), ==, 2);
  put_range (f, 0, SECTORS - 1, 2, 0);
  g_assert_cmpuint (request (f, 13, 0, 16, FALSE, NULL), ==, 1);
  put_range (f, 0, 0, 0xffffffff, 0);
  g_assert_cmpuint (request (f, 11, 0, 16, FALSE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 11, 0, 15, FALSE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 11, 0, 16 * 17, FALSE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 11, 0, 0, FALSE, NULL), ==, 1);
}

static void
test_readonly (Fixture *f, gconstpointer data)
{
  g_assert_true ((virtio_driver_get_features (&f->d) & BIT (5)) != 0);
  g_assert_true ((virtio_driver_get_features (&f->d) & (BIT (13) | BIT (14))) == 0);
  virtio_driver_start (&f->d, ALL, 1);
  g_assert_cmpuint (request (f, 1, 0, 512, FALSE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 0, 0, 512, TRUE, NULL), ==, 0);
  g_assert_cmpuint (request (f, 4, 0, 0, FALSE, NULL), ==, 0);
  put_range (f, 0, 16, 8, 0);
  g_assert_cmpuint (request (f, 13, 0, 16, FALSE, NULL), ==, 2);
}

static void
test_queues (Fixture *f, gconstpointer data)
{
  HarnessUsed used;

  virtio_driver_start (&f->d, ALL, 4);
  for (guint round = 0; round < 20; round++)
    {
      for (guint q = 0; q < 4; q++)
        for (guint i = 0; i < 3; i++)
          start (f, q, q * 4 + i, 0, 1, 512, TRUE);
      for (guint q = 0; q < 4; q++)
        harness_out (f->d.h, f->d.notify_pio + 4 * q, 2, q);
      harness_run (f->d.h);
      for (guint q = 0; q < 4; q++)
        for (guint i = 0; i < 3; i++)
          {
            g_assert_true (harness_ring_take_used (&f->d.rings[q], &used));
            g_assert_cmpuint (harness_read_le (f->d.h, f->d.arena + (q * 4 + i) * 128 + 64, 1), ==,
                              0);
          }
    }
}

static void
test_errors (Fixture *f, gconstpointer data)
{
  f->slow.sync = TRUE;
  virtio_driver_start (&f->d, ALL, 1);
  f->slow.result = -EIO;
  g_assert_cmpuint (request (f, 0, 0, 512, TRUE, NULL), ==, 1);
  g_assert_cmpuint (request (f, 4, 0, 0, FALSE, NULL), ==, 1);
  f->slow.result = -ENOSPC;
  g_assert_cmpuint (request (f, 1, 0, 512, FALSE, NULL), ==, 1);
  put_range (f, 0, 3, 1, 0);
  put_range (f, 1, 3, 1, 0);
  g_assert_cmpuint (request (f, 13, 0, 32, FALSE, NULL), ==, 1);
  f->slow.result = -EOPNOTSUPP;
  g_assert_cmpuint (request (f, 13, 0, 32, FALSE, NULL), ==, 2);
  f->slow.result = 0;
  g_assert_cmpuint (request (f, 13, 0, 32, FALSE, NULL), ==, 0);
}

static void
test_write_through (Fixture *f, gconstpointer data)
{
  f->slow.sync = TRUE;
  virtio_driver_start (&f->d, ALL, 1);
  g_assert_cmpuint (request (f, 1, 0, 512, FALSE, NULL), ==, 0);
  g_assert_cmpuint (f->slow.n_fua, ==, 0);
  harness_mmio_write (f->d.h, f->d.config + 32, 1, 0);
  g_assert_cmpuint (request (f, 1, 0, 512, FALSE, NULL), ==, 0);
  g_assert_cmpuint (f->slow.n_fua, ==, 1);
  harness_check_save_load (f->d.h);
  g_assert_cmpuint (request (f, 1, 0, 512, FALSE, NULL), ==, 0);
  g_assert_cmpuint (f->slow.n_fua, ==, 2);
  /* A driver that cannot flush. */
  virtio_driver_start (&f->d, ~BIT (9), 1);
  g_assert_cmpuint (request (f, 1, 0, 512, FALSE, NULL), ==, 0);
  g_assert_cmpuint (f->slow.n_fua, ==, 3);
}

static void
test_reset_in_flight (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  virtio_driver_start (d, ALL, 1);
  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < 8; i++)
        start (f, 0, i, i % 2, i, 512, !(i % 2));
      virtio_driver_kick (d, 0);
      g_assert_cmpuint (f->slow.held->len, ==, 8);
      if (round == 0)
        virtio_driver_write (d, 0x14, 1, 0);
      else if (round == 1)
        {
          vmm_machine_reset_devices (d->h->machine, VMM_RESET_COLD);
          virtio_driver_set_bars (d);
        }
      else
        {
          /* A pause is over when all of it is done and given back. */
          harness_check_save_load (d->h);
          g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 8);
        }
      g_assert_cmpuint (f->slow.held->len, ==, 0);
      virtio_driver_start (d, ALL, 1);
    }
  /* And the end of the machine with requests under way. */
  for (guint i = 0; i < 3; i++)
    start (f, 0, i, 0, 0, 512, TRUE);
  virtio_driver_kick (d, 0);
  g_assert_cmpuint (f->slow.held->len, ==, 3);
}

/* Requests have ended, and their notification is on its way, when the disk is taken out; others are
 * still under way. Nothing of it may come later. */
static void
test_unplug_in_flight (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  virtio_driver_start (d, ALL, 2);
  for (guint q = 0; q < 2; q++)
    {
      for (guint i = 0; i < 8; i++)
        start (f, q, q * 8 + i, i % 2, i, 512, !(i % 2));
      virtio_driver_kick (d, q);
    }
  g_assert_cmpuint (f->slow.held->len, ==, 16);
  for (guint i = 0; i < 12; i++)
    {
      BlockRequest *request = g_ptr_array_steal_index (f->slow.held, i % f->slow.held->len);

      request->done (request, 0);
    }
  virtio_driver_unplug (d);
  g_assert_cmpuint (f->slow.held->len, ==, 0);
  harness_run (d->h);
}

static void
test_save_load (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) state = NULL;

  virtio_driver_start (&f->d, ALL, 1);
  g_assert_cmpuint (request (f, 0, 0, 512, TRUE, NULL), ==, 0);
  harness_check_save_load (f->d.h);
  g_assert_cmpuint (request (f, 0, 0, 512, TRUE, NULL), ==, 0);
  state = harness_save (f->d.h);
  harness_storm_load (f->d.h, state, 3, 600);
}

static void
test_storm (Fixture *f, gconstpointer data)
{
  virtio_driver_start (&f->d, ALL, 1);
  virtio_driver_storm (&f->d, 11, 20000);
  virtio_driver_start (&f->d, ALL, 1);
  g_assert_cmpuint (request (f, 0, 0, 512, TRUE, NULL), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data, up)                                                                  \
  g_test_add ("/virtio/block/" name, Fixture, data, up, func, tear_down)
  ADD ("config", test_config, NULL, set_up);
  ADD ("read-write", test_read_write, NULL, set_up);
  ADD ("serial", test_serial, NULL, set_up);
  ADD ("bad-requests", test_bad_requests, NULL, set_up);
  ADD ("ranges", test_ranges, NULL, set_up);
  ADD ("readonly", test_readonly, NULL, set_up_readonly);
  ADD ("queues", test_queues, "4", set_up);
  ADD ("errors", test_errors, NULL, set_up_slow);
  ADD ("write-through", test_write_through, NULL, set_up_slow);
  ADD ("reset-in-flight", test_reset_in_flight, NULL, set_up_slow);
  ADD ("unplug-in-flight", test_unplug_in_flight, "2", set_up_slow);
  ADD ("save-load", test_save_load, NULL, set_up);
  ADD ("storm", test_storm, NULL, set_up);
  return g_test_run ();
}
