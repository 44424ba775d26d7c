/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-scsi: commands, task management, events, units that come and go, over back ends in
 * memory. */
#include "devices/virtio/scsi.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/devices/storage/fake-block.h"
#include "virtio-driver.h"

#define DISK_SIZE (1024 * 512)
#define CD_SIZE   (100 * 2048)
#define ALL       (~G_GUINT64_CONSTANT (0))
#define BIT(n)    (G_GUINT64_CONSTANT (1) << (n))
#define REPLY     108
#define DATA      16384 /* into the arena */
#define EVENTS    40000
#define FIRST     2 /* request queue */

enum
{
  OK = 0,
  OVERRUN = 1,
  ABORTED = 2,
  BAD_TARGET = 3,
  RESET = 4,
  FAILURE = 9,
  SUCCEEDED = 10,
  REJECTED = 11,
  INCORRECT_LUN = 12,
};

typedef struct
{
  VirtioDriver d;
  VmmDevice *device;
  FakeBlock disk, cd, more;
  guint8 status, response;
  guint32 residual, sense, used;
} Fixture;

static ScsiUnit *
make_unit (Fixture *f, ScsiKind kind, FakeBlock *block)
{
  g_autoptr (GError) error = NULL;
  ScsiUnitOptions options = { .kind = kind, .backend = block != NULL ? &block->parent : NULL };
  ScsiUnit *unit = scsi_unit_new (virtio_scsi_get_worker (f->device), &options, &error);

  g_assert_no_error (error);
  return unit;
}

static void
attach (Fixture *f, const char *name, guint target, guint lun, ScsiKind kind, FakeBlock *block)
{
  g_autoptr (GError) error = NULL;

  virtio_scsi_attach (f->device, name, target, lun, make_unit (f, kind, block), &error);
  g_assert_no_error (error);
  harness_run (f->d.h);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  fake_block_init (&f->disk, DISK_SIZE);
  fake_block_init (&f->cd, CD_SIZE);
  fake_block_init (&f->more, DISK_SIZE);
  virtio_driver_init (&f->d);
  f->device = virtio_driver_new_device (&f->d, &virtio_scsi_device_ops);
  g_assert_true (vmm_device_set_uint (f->device, "num-queues", 4, NULL));
  virtio_driver_probe (&f->d, f->device);
  attach (f, "disk.system", 0, 0, SCSI_KIND_DISK, &f->disk);
  attach (f, "cdrom.install", 3, 0, SCSI_KIND_CDROM, &f->cd);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  virtio_driver_finish (&f->d);
  fake_block_clear (&f->disk);
  fake_block_clear (&f->cd);
  fake_block_clear (&f->more);
}

static void
put_lun (Fixture *f, guint64 at, guint target, guint lun)
{
  guint8 bytes[8] = { 1, target, 0x40 | lun >> 8, lun };

  harness_write (f->d.h, at, bytes, sizeof bytes);
}

/* Request in slot: header at arena + 512 * slot, reply 256 after it, data at DATA. */
static guint16
start (Fixture *f,
       guint queue,
       guint slot,
       guint target,
       guint lun,
       const guint8 *cdb,
       gsize n_cdb,
       guint32 in,
       guint32 out)
{
  guint64 base = f->d.arena + 512 * slot;
  guint8 zeroes[51] = { 0 };
  HarnessSegment segments[4];
  guint n = 0;

  harness_write (f->d.h, base, zeroes, sizeof zeroes);
  put_lun (f, base, target, lun);
  harness_write_le (f->d.h, base + 8, 8, 1000 + slot); /* tag */
  harness_write (f->d.h, base + 19, cdb, n_cdb);
  harness_write_le (f->d.h, base + 256 + 10, 2, 0xeeee);
  segments[n++] = (HarnessSegment){ base, 51, FALSE };
  if (out > 0)
    segments[n++] = (HarnessSegment){ f->d.arena + DATA, out, FALSE };
  segments[n++] = (HarnessSegment){ base + 256, REPLY, TRUE };
  if (in > 0)
    segments[n++] = (HarnessSegment){ f->d.arena + DATA, in, TRUE };
  return harness_ring_send (&f->d.rings[queue], segments, n);
}

static void
take_reply (Fixture *f, guint slot)
{
  guint64 reply = f->d.arena + 512 * slot + 256;

  f->residual = harness_read_le (f->d.h, reply + 4, 4);
  f->status = harness_read_le (f->d.h, reply + 10, 1);
  f->response = harness_read_le (f->d.h, reply + 11, 1);
  f->sense = 0;
  if (harness_read_le (f->d.h, reply, 4) == 18)
    f->sense = harness_read_le (f->d.h, reply + 12 + 2, 1) << 16 |
               harness_read_le (f->d.h, reply + 12 + 12, 1) << 8 |
               harness_read_le (f->d.h, reply + 12 + 13, 1);
  else
    g_assert_cmpuint (harness_read_le (f->d.h, reply, 4), ==, 0);
}

static guint8
run (Fixture *f, guint target, guint lun, const guint8 *cdb, gsize n_cdb, guint32 in, guint32 out)
{
  HarnessUsed used;

  start (f, FIRST, 0, target, lun, cdb, n_cdb, in, out);
  virtio_driver_kick (&f->d, FIRST);
  g_assert_true (harness_ring_take_used (&f->d.rings[FIRST], &used));
  f->used = used.length;
  take_reply (f, 0);
  return f->response;
}
#define RUN(f, target, lun, in, out, ...)                                                          \
  run (f, target, lun, (const guint8[]){ __VA_ARGS__ }, sizeof (const guint8[]){ __VA_ARGS__ },    \
       in, out)

/* Past the unit attentions. */
static void
ready (Fixture *f, guint target, guint lun)
{
  do
    g_assert_cmpuint (RUN (f, target, lun, 0, 0, 0), ==, OK);
  while (f->sense >> 16 == 6);
}

static void
boot (Fixture *f)
{
  virtio_driver_start (&f->d, ALL, FIRST + 4);
  ready (f, 0, 0);
  ready (f, 3, 0);
}

static guint8
data_byte (Fixture *f, guint at)
{
  return harness_read_le (f->d.h, f->d.arena + DATA + at, 1);
}

static void
test_config (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;

  g_assert_cmphex (virtio_driver_get_features (d), ==,
                   BIT (1) | BIT (2) | BIT (28) | BIT (29) | BIT (32));
  g_assert_cmpuint (virtio_driver_read_config (d, 0, 4), ==, 4);
  g_assert_cmpuint (virtio_driver_read_config (d, 4, 4), ==, 254);
  g_assert_cmpuint (virtio_driver_read_config (d, 16, 4), ==, 16);
  g_assert_cmpuint (virtio_driver_read_config (d, 20, 4), ==, 96);
  g_assert_cmpuint (virtio_driver_read_config (d, 24, 4), ==, 32);
  g_assert_cmpuint (virtio_driver_read_config (d, 30, 2), ==, 255);
  g_assert_cmpuint (virtio_driver_read_config (d, 32, 4), ==, 16383);
  harness_mmio_write (d->h, d->config + 20, 4, 97);
  g_assert_cmpuint (virtio_driver_read_config (d, 20, 4), ==, 96);
  harness_mmio_write (d->h, d->config + 24, 4, 33);
  harness_mmio_write (d->h, d->config + 24, 4, 0);
  g_assert_cmpuint (virtio_driver_read_config (d, 24, 4), ==, 32);
  harness_mmio_write (d->h, d->config + 20, 4, 18);
  harness_mmio_write (d->h, d->config + 24, 4, 16);
  g_assert_cmpuint (virtio_driver_read_config (d, 20, 4), ==, 18);
  g_assert_cmpuint (virtio_driver_read_config (d, 24, 4), ==, 16);
  for (guint offset = 0; offset < 36; offset++)
    for (guint size = 2; size <= 4; size *= 2)
      if (offset + size <= 36)
        for (guint i = 0; i < size; i++)
          g_assert_cmphex (virtio_driver_read_config (d, offset, size) >> (8 * i) & 0xff, ==,
                           virtio_driver_read_config (d, offset + i, 1));
}

static void
test_read_write (Fixture *f, gconstpointer data)
{
  guint8 buffer[8192];

  boot (f);
  g_assert_cmpuint (RUN (f, 0, 0, 8192, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 16), ==, OK);
  g_assert_cmpuint (f->status, ==, 0);
  g_assert_cmpuint (f->residual, ==, 0);
  g_assert_cmpuint (f->used, ==, REPLY + 8192);
  harness_read (f->d.h, f->d.arena + DATA, buffer, sizeof buffer);
  g_assert_cmpmem (buffer, 8192, f->disk.data + 5 * 512, 8192);
  for (guint i = 0; i < sizeof buffer; i++)
    buffer[i] = i * 3;
  harness_write (f->d.h, f->d.arena + DATA, buffer, sizeof buffer);
  g_assert_cmpuint (RUN (f, 0, 0, 0, 8192, 0x2a, 0, 0, 0, 0, 9, 0, 0, 15), ==, OK);
  g_assert_cmpuint (f->residual, ==, 512);
  g_assert_cmpuint (f->used, ==, REPLY);
  g_assert_cmpmem (buffer, 15 * 512, f->disk.data + 9 * 512, 15 * 512);
  /* The other one, by a LUN in peripheral form. */
  g_assert_cmpuint (RUN (f, 3, 0, 4096, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 2), ==, OK);
  harness_read (f->d.h, f->d.arena + DATA, buffer, 4096);
  g_assert_cmpmem (buffer, 4096, f->cd.data + 5 * 2048, 4096);
  g_assert_cmpuint (harness_count_msi (f->d.h, VIRTIO_DRIVER_MSI_DATA + 1 + FIRST), >=, 1);
}

static void
test_sense (Fixture *f, gconstpointer data)
{
  virtio_driver_start (&f->d, ALL, FIRST + 4);
  g_assert_cmpuint (RUN (f, 0, 0, 0, 0, 0x00), ==, OK);
  g_assert_cmpuint (f->status, ==, SCSI_STATUS_CHECK_CONDITION);
  g_assert_cmphex (f->sense, ==, 0x062901);
  ready (f, 0, 0);
  g_assert_cmpuint (RUN (f, 0, 0, 512, 0, 0x28, 0, 0, 0, 0x10, 0, 0, 0, 1), ==, OK);
  g_assert_cmphex (f->sense, ==, 0x052100);
  g_assert_cmpuint (f->residual, ==, 512);
  f->disk.result = -EIO;
  g_assert_cmpuint (RUN (f, 0, 0, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), ==, OK);
  g_assert_cmphex (f->sense, ==, 0x031100);
  f->disk.result = 0;
  g_assert_cmpuint (RUN (f, 0, 0, 511, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), ==, OVERRUN);
  g_assert_cmpuint (f->residual, ==, 511);
}

static void
test_addresses (Fixture *f, gconstpointer data)
{
  static const guint8 bad[][8] = { { 0, 0, 0x40 },
                                   { 2, 0, 0x40 },
                                   { 1, 0, 0x80 },
                                   { 1, 0, 0xc1 },
                                   { 1, 0, 0x01 },
                                   { 1, 0, 0x40, 0, 1 },
                                   { 1, 0, 0, 0, 0, 0, 0, 1 } };
  HarnessUsed used;

  boot (f);
  g_assert_cmpuint (RUN (f, 1, 0, 36, 0, 0x12, 0, 0, 0, 36), ==, BAD_TARGET);
  g_assert_cmpuint (f->residual, ==, 36);
  /* A target without this LUN. */
  g_assert_cmpuint (RUN (f, 0, 1, 36, 0, 0x12, 0, 0, 0, 36), ==, OK);
  g_assert_cmphex (data_byte (f, 0), ==, 0x7f);
  g_assert_cmpuint (RUN (f, 0, 1, 0, 0, 0), ==, OK);
  g_assert_cmphex (f->sense, ==, 0x052500);
  attach (f, "disk.more", 0, 300, SCSI_KIND_DISK, &f->more);
  g_assert_cmpuint (RUN (f, 0, 7, 64, 0, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64), ==, OK);
  g_assert_cmpuint (f->residual, ==, 64 - 24);
  g_assert_cmphex (data_byte (f, 3), ==, 16);
  g_assert_cmphex (data_byte (f, 8), ==, 0);
  g_assert_cmphex (data_byte (f, 16), ==, 0x41);
  g_assert_cmphex (data_byte (f, 17), ==, 300 - 256);
  /* The disk beside it says that something changed. */
  g_assert_cmpuint (RUN (f, 0, 0, 0, 0, 0), ==, OK);
  g_assert_cmphex (f->sense, ==, 0x063f0e);
  ready (f, 0, 300);
  g_assert_cmpuint (RUN (f, 0, 300, 512, 0, 0x28, 0, 0, 0, 0, 1, 0, 0, 1), ==, OK);
  g_assert_cmphex (data_byte (f, 0), ==, 8);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      static const guint8 ready_cdb[6];

      start (f, FIRST, 0, 0, 0, ready_cdb, 6, 0, 0);
      harness_write (f->d.h, f->d.arena, bad[i], 8);
      virtio_driver_kick (&f->d, FIRST);
      g_assert_true (harness_ring_take_used (&f->d.rings[FIRST], &used));
      take_reply (f, 0);
      g_assert_cmpuint (f->response, ==, BAD_TARGET);
    }
}

static void
test_short_requests (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  HarnessRing *ring = &d->rings[FIRST];
  HarnessSegment header = { d->arena, 51, FALSE }, small = { d->arena, 50, FALSE };
  HarnessSegment reply = { d->arena + 256, REPLY, TRUE }, little = { d->arena + 256, 107, TRUE };
  HarnessSegment in = { d->arena + DATA, 512, TRUE }, out = { d->arena + DATA, 512, FALSE };
  HarnessUsed used;

  boot (f);
  {
    HarnessSegment both[] = { header, little };
    harness_ring_send (ring, both, 2);
    virtio_driver_kick (d, FIRST);
    g_assert_true (harness_ring_take_used (ring, &used));
    g_assert_cmpuint (used.length, ==, 0); /* no room for an answer */
  }
  {
    HarnessSegment both[] = { small, reply };
    harness_ring_send (ring, both, 2);
    virtio_driver_kick (d, FIRST);
    g_assert_true (harness_ring_take_used (ring, &used));
    take_reply (f, 0);
    g_assert_cmpuint (f->response, ==, FAILURE);
  }
  {
    HarnessSegment both[] = { header, out, reply, in };
    put_lun (f, d->arena, 0, 0);
    harness_ring_send (ring, both, 4);
    virtio_driver_kick (d, FIRST);
    g_assert_true (harness_ring_take_used (ring, &used));
    take_reply (f, 0);
    g_assert_cmpuint (f->response, ==, FAILURE); /* both directions */
  }
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0xf);
  /* Smaller CDBs and sense data, as configured. */
  harness_mmio_write (d->h, d->config + 20, 4, 18);
  harness_mmio_write (d->h, d->config + 24, 4, 16);
  {
    HarnessSegment both[] = { { d->arena, 35, FALSE }, { d->arena + 256, 30, TRUE } };
    guint8 cdb[16] = { 0xff };
    harness_write (d->h, d->arena + 19, cdb, 16);
    harness_ring_send (ring, both, 2);
    virtio_driver_kick (d, FIRST);
    g_assert_true (harness_ring_take_used (ring, &used));
    g_assert_cmpuint (used.length, ==, 30);
    take_reply (f, 0);
    g_assert_cmphex (f->sense, ==, 0x052000);
  }
}

static void
test_queues (Fixture *f, gconstpointer data)
{
  static const guint8 read[] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 1 };
  HarnessUsed used;

  boot (f);
  for (guint round = 0; round < 40; round++)
    {
      f->disk.hold = round & 1;
      for (guint q = 0; q < 4; q++)
        for (guint i = 0; i < 3; i++)
          start (f, FIRST + q, q * 4 + i, i == 2 ? 3 : 0, 0, read, sizeof read, 2048, 0);
      for (guint q = 0; q < 4; q++)
        harness_out (f->d.h, f->d.notify_pio + f->d.notify_step * (FIRST + q), 2, FIRST + q);
      harness_run (f->d.h);
      if (f->disk.hold)
        {
          g_assert_cmpuint (f->disk.held->len, ==, 8);
          fake_block_finish (&f->disk);
          harness_run (f->d.h);
        }
      for (guint q = 0; q < 4; q++)
        for (guint i = 0; i < 3; i++)
          {
            g_assert_true (harness_ring_take_used (&f->d.rings[FIRST + q], &used));
            take_reply (f, q * 4 + i);
            g_assert_cmpuint (f->response, ==, OK);
            g_assert_cmpuint (f->status, ==, 0);
          }
    }
}

/* ---- task management ---- */

static void
send_tmf (Fixture *f, guint subtype, guint target, guint lun, guint64 tag)
{
  guint64 base = f->d.arena + 0x7000;
  HarnessSegment segments[] = { { base, 24, FALSE }, { base + 32, 1, TRUE } };

  harness_write_le (f->d.h, base, 4, 0);
  harness_write_le (f->d.h, base + 4, 4, subtype);
  put_lun (f, base + 8, target, lun);
  harness_write_le (f->d.h, base + 16, 8, tag);
  harness_write_le (f->d.h, base + 32, 1, 0xee);
  harness_ring_send (&f->d.rings[0], segments, 2);
  virtio_driver_kick (&f->d, 0);
}

static guint8
take_tmf (Fixture *f)
{
  HarnessUsed used;

  if (!harness_ring_take_used (&f->d.rings[0], &used))
    return 0xff;
  g_assert_cmpuint (used.length, ==, 1);
  return harness_read_le (f->d.h, f->d.arena + 0x7000 + 32, 1);
}

static guint8
tmf (Fixture *f, guint subtype, guint target, guint lun, guint64 tag)
{
  send_tmf (f, subtype, target, lun, tag);
  return take_tmf (f);
}

static void
test_tmf (Fixture *f, gconstpointer data)
{
  static const guint8 read[] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 1 };
  static const guint8 after[] = { ABORTED, ABORTED, RESET, RESET };
  static const guint8 functions[] = { 1, 3, 5, 4 };
  HarnessUsed used;

  boot (f);
  /* Nothing is under way. */
  g_assert_cmpuint (tmf (f, 0, 0, 0, 1000), ==, OK);
  g_assert_cmpuint (tmf (f, 6, 0, 0, 1000), ==, OK);
  g_assert_cmpuint (tmf (f, 2, 0, 0, 0), ==, REJECTED);
  g_assert_cmpuint (tmf (f, 99, 0, 0, 0), ==, REJECTED);
  g_assert_cmpuint (tmf (f, 5, 9, 0, 0), ==, BAD_TARGET);
  g_assert_cmpuint (tmf (f, 5, 0, 9, 0), ==, INCORRECT_LUN);

  f->disk.hold = TRUE;
  for (guint slot = 0; slot < 3; slot++)
    start (f, FIRST, slot, 0, 0, read, sizeof read, 512, 0);
  virtio_driver_kick (&f->d, FIRST);
  g_assert_cmpuint (f->disk.held->len, ==, 3);
  g_assert_cmpuint (tmf (f, 6, 0, 0, 1001), ==, SUCCEEDED);
  g_assert_cmpuint (tmf (f, 6, 0, 0, 1003), ==, OK);
  g_assert_cmpuint (tmf (f, 7, 0, 0, 0), ==, SUCCEEDED);
  /* The answer waits for the command, which waits for the back end. */
  g_assert_cmpuint (tmf (f, 0, 0, 0, 1001), ==, 0xff);
  fake_block_finish_one (&f->disk);
  harness_run (f->d.h);
  take_reply (f, 0);
  g_assert_cmpuint (f->response, ==, OK);
  g_assert_cmpuint (take_tmf (f), ==, 0xff);
  fake_block_finish_one (&f->disk);
  harness_run (f->d.h);
  take_reply (f, 1);
  g_assert_cmpuint (f->response, ==, ABORTED);
  g_assert_cmpuint (take_tmf (f), ==, OK);
  fake_block_finish (&f->disk);
  harness_run (f->d.h);
  take_reply (f, 2);
  g_assert_cmpuint (f->response, ==, OK);
  while (harness_ring_take_used (&f->d.rings[FIRST], &used))
    continue;

  for (guint i = 0; i < G_N_ELEMENTS (functions); i++)
    {
      for (guint slot = 0; slot < 3; slot++)
        start (f, FIRST, slot, 0, 0, read, sizeof read, 512, 0);
      virtio_driver_kick (&f->d, FIRST);
      g_assert_cmpuint (tmf (f, functions[i], 0, 0, 0), ==, 0xff);
      /* Later commands are none of its business. */
      start (f, FIRST, 3, 0, 0, read, sizeof read, 512, 0);
      virtio_driver_kick (&f->d, FIRST);
      for (guint slot = 0; slot < 3; slot++)
        {
          g_assert_cmpuint (take_tmf (f), ==, 0xff);
          fake_block_finish_one (&f->disk);
          harness_run (f->d.h);
          take_reply (f, slot);
          g_assert_cmpuint (f->response, ==, after[i]);
          g_assert_cmpuint (f->residual, ==, 512);
        }
      g_assert_cmpuint (take_tmf (f), ==, OK);
      fake_block_finish (&f->disk);
      harness_run (f->d.h);
      take_reply (f, 3);
      /* It was first to hear of the reset. */
      g_assert_cmphex (f->sense, ==, i < 2 ? 0 : i == 2 ? 0x062903 : 0x062902);
      while (harness_ring_take_used (&f->d.rings[FIRST], &used))
        continue;
    }
}

static void
test_control_oddities (Fixture *f, gconstpointer data)
{
  VirtioDriver *d = &f->d;
  guint64 base = d->arena + 0x7000;
  HarnessSegment query[] = { { base, 16, FALSE }, { base + 32, 5, TRUE } };
  HarnessSegment little[] = { { base, 3, FALSE }, { base + 32, 1, TRUE } };
  HarnessSegment mute[] = { { base, 24, FALSE } };
  HarnessUsed used;

  boot (f);
  harness_write_le (d->h, base, 4, 1);
  harness_ring_send (&d->rings[0], query, 2);
  virtio_driver_kick (d, 0);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_cmpuint (used.length, ==, 5);
  g_assert_cmpuint (harness_read_le (d->h, base + 32, 4), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, base + 36, 1), ==, OK);
  harness_write_le (d->h, base, 4, 7);
  harness_ring_send (&d->rings[0], query, 2);
  virtio_driver_kick (d, 0);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_cmpuint (harness_read_le (d->h, base + 32, 1), ==, FAILURE);
  harness_write_le (d->h, base, 4, 0);
  harness_ring_send (&d->rings[0], little, 2);
  virtio_driver_kick (d, 0);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_cmpuint (harness_read_le (d->h, base + 32, 1), ==, FAILURE);
  harness_ring_send (&d->rings[0], mute, 1);
  virtio_driver_kick (d, 0);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_cmpuint (used.length, ==, 0);
}

/* ---- events ---- */

static void
give_event_buffer (Fixture *f, guint slot, guint32 length)
{
  HarnessSegment segment = { f->d.arena + EVENTS + 32 * slot, length, TRUE };

  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
}

static gboolean
take_event (Fixture *f, guint slot, guint32 *event, guint *target, guint *lun, guint32 *reason)
{
  guint64 at = f->d.arena + EVENTS + 32 * slot;
  HarnessUsed used;

  if (!harness_ring_take_used (&f->d.rings[1], &used))
    return FALSE;
  *event = harness_read_le (f->d.h, at, 4);
  *target = harness_read_le (f->d.h, at + 5, 1);
  *lun = (harness_read_le (f->d.h, at + 6, 1) << 8 | harness_read_le (f->d.h, at + 7, 1)) & 0x3fff;
  *reason = harness_read_le (f->d.h, at + 12, 4);
  return TRUE;
}

static void
test_hot_plug (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  guint32 event, reason;
  guint target, lun;

  boot (f);
  give_event_buffer (f, 0, 16);
  g_assert_false (take_event (f, 0, &event, &target, &lun, &reason));
  g_assert_cmpint (virtio_scsi_find_free_target (f->device, 0), ==, 1);
  attach (f, "disk.more", 1, 2, SCSI_KIND_DISK, &f->more);
  g_assert_true (take_event (f, 0, &event, &target, &lun, &reason));
  g_assert_cmphex (event, ==, 1);
  g_assert_cmpuint (target, ==, 1);
  g_assert_cmpuint (lun, ==, 2);
  g_assert_cmpuint (reason, ==, 1);
  g_assert_cmpuint (harness_count_msi (f->d.h, VIRTIO_DRIVER_MSI_DATA + 2), ==, 1);
  ready (f, 1, 2);
  g_assert_cmpint (virtio_scsi_find_free_target (f->device, 0), ==, 2);

  /* Without a buffer the event waits for one. */
  f->more.hold = TRUE;
  start (f, FIRST, 1, 1, 2, (const guint8[]){ 0x28, 0, 0, 0, 0, 1, 0, 0, 1 }, 9, 512, 0);
  virtio_driver_kick (&f->d, FIRST);
  g_assert_cmpuint (f->more.held->len, ==, 1);
  g_assert_true (virtio_scsi_detach (f->device, "disk.more", &error));
  g_assert_cmpuint (f->more.held->len, ==, 0); /* its I/O has ended */
  harness_run (f->d.h);
  take_reply (f, 1);
  g_assert_cmpuint (f->response, ==, OK);
  g_assert_cmpuint (harness_ring_get_n_used (&f->d.rings[FIRST]), ==, 1);
  g_assert_false (take_event (f, 1, &event, &target, &lun, &reason));
  give_event_buffer (f, 1, 16);
  g_assert_true (take_event (f, 1, &event, &target, &lun, &reason));
  g_assert_cmphex (event, ==, 1);
  g_assert_cmpuint (target, ==, 1);
  g_assert_cmpuint (reason, ==, 2);
  harness_ring_take_used (&f->d.rings[FIRST], &(HarnessUsed){ 0 });
  g_assert_cmpuint (RUN (f, 1, 2, 0, 0, 0), ==, BAD_TARGET);

  g_assert_false (virtio_scsi_detach (f->device, "disk.more", &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
}

/* A driver that hears of it first still finds the disk, and hears of it once. */
static void
test_announce (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  guint32 event, reason;
  guint target, lun;

  f->more.hold = FALSE;
  attach (f, "disk.more", 1, 0, SCSI_KIND_DISK, &f->more);
  g_assert_false (virtio_scsi_announce_removal (f->device, "disk.more", &error)); /* no driver */
  g_assert_no_error (error);
  boot (f);
  ready (f, 1, 0);
  give_event_buffer (f, 0, 16);
  give_event_buffer (f, 1, 16);
  g_assert_true (virtio_scsi_announce_removal (f->device, "disk.more", &error));
  harness_run (f->d.h);
  g_assert_true (take_event (f, 0, &event, &target, &lun, &reason));
  g_assert_cmpuint (target, ==, 1);
  g_assert_cmpuint (reason, ==, 2);
  g_assert_cmpuint (RUN (f, 1, 0, 0, 0, 0x35), ==, OK);
  g_assert_cmpuint (f->status, ==, 0);
  g_assert_cmpuint (f->more.n_ops[BLOCK_OP_FLUSH], ==, 1);
  g_assert_true (virtio_scsi_detach (f->device, "disk.more", &error));
  harness_run (f->d.h);
  g_assert_false (take_event (f, 1, &event, &target, &lun, &reason));
  g_assert_cmpuint (RUN (f, 1, 0, 0, 0, 0x35), ==, BAD_TARGET);
  g_assert_false (virtio_scsi_announce_removal (f->device, "disk.more", &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
}

static void
test_attach_errors (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *name;
    guint target, lun;
    int code;
  } cases[] = {
    { "disk.x", 0, 0, VMM_ERROR_BUSY },
    { "disk.system", 5, 0, VMM_ERROR_BUSY },
    { "disk.x", 256, 0, VMM_ERROR_INVALID },
    { "disk.x", 1, 16384, VMM_ERROR_INVALID },
  };
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_clear_error (&error);
      g_assert_false (virtio_scsi_attach (f->device, cases[i].name, cases[i].target, cases[i].lun,
                                          make_unit (f, SCSI_KIND_DISK, &f->more), &error));
      g_assert_error (error, VMM_ERROR, cases[i].code);
    }
  for (guint i = 2; i < 256; i++)
    {
      g_autofree char *name = g_strdup_printf ("disk.%u", i);

      attach (f, name, 7, i, SCSI_KIND_DISK, &f->more);
    }
  g_clear_error (&error);
  g_assert_false (virtio_scsi_attach (f->device, "disk.x", 8, 0,
                                      make_unit (f, SCSI_KIND_DISK, &f->more), &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  boot (f);
  g_assert_cmpuint (RUN (f, 7, 0, 4096, 0, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0), ==, OK);
  g_assert_cmpuint (f->residual, ==, 4096 - 8 - 254 * 8);
}

static void
test_medium (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  BlockBackend *old;
  guint32 event, reason;
  guint target, lun;

  boot (f);
  give_event_buffer (f, 0, 16);
  g_assert_true (
      virtio_scsi_set_medium (f->device, "cdrom.install", &f->more.parent, FALSE, &old, &error));
  g_assert_true (old == &f->cd.parent);
  harness_run (f->d.h);
  g_assert_true (take_event (f, 0, &event, &target, &lun, &reason));
  g_assert_cmphex (event, ==, 3);
  g_assert_cmpuint (target, ==, 3);
  g_assert_cmphex (reason, ==, 0x28);
  g_assert_cmpuint (RUN (f, 3, 0, 0, 0, 0), ==, OK);
  g_assert_cmphex (f->sense, ==, 0x062800);
  /* Locked, asked for, forced. */
  g_assert_cmpuint (RUN (f, 3, 0, 0, 0, 0x1e, 0, 0, 0, 1), ==, OK);
  g_assert_false (virtio_scsi_set_medium (f->device, "cdrom.install", NULL, FALSE, &old, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_true (virtio_scsi_set_medium (f->device, "cdrom.install", NULL, TRUE, &old, &error));
  g_assert_true (old == &f->more.parent);
  g_assert_false (virtio_scsi_set_medium (f->device, "disk.system", NULL, TRUE, &old, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (virtio_scsi_set_medium (f->device, "disk.none", NULL, TRUE, &old, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_clear_error (&error);

  give_event_buffer (f, 1, 16);
  g_assert_true (take_event (f, 1, &event, &target, &lun, &reason));
  f->disk.info.size = 512 * 100;
  g_assert_true (virtio_scsi_capacity_changed (f->device, "disk.system", &error));
  give_event_buffer (f, 2, 16);
  g_assert_true (take_event (f, 2, &event, &target, &lun, &reason));
  g_assert_cmphex (event, ==, 3);
  g_assert_cmphex (reason, ==, 0x092a);
}

static void
test_missed_events (Fixture *f, gconstpointer data)
{
  guint32 event, reason;
  guint target, lun, n = 0;
  gboolean missed = FALSE;

  boot (f);
  for (guint i = 0; i < 40; i++)
    {
      attach (f, "disk.more", 1, 0, SCSI_KIND_DISK, &f->more);
      g_assert_true (virtio_scsi_detach (f->device, "disk.more", NULL));
    }
  harness_check_save_load (f->d.h);
  for (guint i = 0; i < 64; i++)
    {
      give_event_buffer (f, 0, 16);
      if (!take_event (f, 0, &event, &target, &lun, &reason))
        break;
      n++;
      missed |= event >> 31;
    }
  g_assert_true (missed);
  g_assert_cmpuint (n, ==, 32);
  /* A buffer that is too small for an event, and one that cannot be written. */
  give_event_buffer (f, 0, 5);
  g_assert_true (virtio_scsi_capacity_changed (f->device, "disk.system", NULL));
  f->disk.info.size = 512 * 100;
  g_assert_true (virtio_scsi_capacity_changed (f->device, "disk.system", NULL));
  harness_run (f->d.h);
  g_assert_cmpuint (harness_ring_get_n_used (&f->d.rings[1]), >=, 1);
  g_assert_cmphex (virtio_driver_get_status (&f->d), ==, 0xf);
}

static void
test_no_features (Fixture *f, gconstpointer data)
{
  guint32 event, reason;
  guint target, lun;

  virtio_driver_start (&f->d, ~(BIT (1) | BIT (2)), FIRST + 4);
  give_event_buffer (f, 0, 16);
  attach (f, "disk.more", 1, 0, SCSI_KIND_DISK, &f->more);
  f->disk.info.size = 512 * 100;
  g_assert_true (virtio_scsi_capacity_changed (f->device, "disk.system", NULL));
  harness_run (f->d.h);
  g_assert_false (take_event (f, 0, &event, &target, &lun, &reason));
}

/* ---- reset, state ---- */

static void
test_reset_in_flight (Fixture *f, gconstpointer data)
{
  static const guint8 read[] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 1 };
  VirtioDriver *d = &f->d;

  boot (f);
  for (guint round = 0; round < 3; round++)
    {
      f->disk.hold = TRUE;
      for (guint i = 0; i < 8; i++)
        start (f, FIRST + i % 4, i, 0, 0, read, sizeof read, 512, 0);
      for (guint q = 0; q < 4; q++)
        virtio_driver_kick (d, FIRST + q);
      g_assert_cmpuint (f->disk.held->len, ==, 8);
      if (round != 2)
        {
          send_tmf (f, 5, 0, 0, 0);
          g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 0);
        }
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
          for (guint q = 0; q < 4; q++)
            g_assert_cmpuint (harness_ring_get_n_used (&d->rings[FIRST + q]), ==, 2);
        }
      g_assert_cmpuint (f->disk.held->len, ==, 0);
      f->disk.hold = FALSE;
      boot (f);
    }
  /* And the end of the machine with requests under way. */
  f->disk.hold = TRUE;
  start (f, FIRST, 0, 0, 0, read, sizeof read, 512, 0);
  virtio_driver_kick (d, FIRST);
  send_tmf (f, 0, 0, 0, 1000);
  g_assert_cmpuint (f->disk.held->len, ==, 1);
}

/* Units are taken out, then the controller, with commands under way and the notification of those that
 * have ended on its way. */
static void
test_unplug_in_flight (Fixture *f, gconstpointer data)
{
  static const guint8 read[] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 1 };
  VirtioDriver *d = &f->d;

  boot (f);
  attach (f, "disk.more", 1, 0, SCSI_KIND_DISK, &f->more);
  ready (f, 1, 0);
  for (guint round = 0; round < 2; round++)
    {
      f->disk.hold = f->more.hold = TRUE;
      for (guint i = 0; i < 8; i++)
        start (f, FIRST + i % 4, i, round == 0 ? i % 2 : 0, 0, read, sizeof read, 512, 0);
      for (guint q = 0; q < 4; q++)
        virtio_driver_kick (d, FIRST + q);
      g_assert_cmpuint (f->disk.held->len + f->more.held->len, ==, 8);
      fake_block_finish_one (&f->disk);
      if (round == 0)
        {
          g_assert_true (virtio_scsi_detach (f->device, "disk.more", NULL));
          g_assert_cmpuint (f->more.held->len, ==, 0);
          harness_run (d->h);
          f->disk.hold = FALSE;
          fake_block_finish (&f->disk);
          boot (f);
        }
    }
  virtio_driver_unplug (d);
  g_assert_cmpuint (f->disk.held->len, ==, 0);
  harness_run (d->h);
}

static void
test_save_load (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) state = NULL;
  g_autoptr (GError) error = NULL;

  boot (f);
  harness_mmio_write (f->d.h, f->d.config + 20, 4, 18);
  g_assert_cmpuint (RUN (f, 3, 0, 0, 0, 0x1b, 0, 0, 0, 2), ==, OK); /* eject */
  harness_check_save_load (f->d.h);
  g_assert_cmpuint (virtio_driver_read_config (&f->d, 20, 4), ==, 18);
  harness_mmio_write (f->d.h, f->d.config + 20, 4, 96);
  g_assert_cmpuint (RUN (f, 3, 0, 0, 0, 0), ==, OK);
  g_assert_cmphex (f->sense, ==, 0x023a02);
  attach (f, "disk.more", 1, 0, SCSI_KIND_DISK, &f->more);
  state = harness_save (f->d.h);
  g_assert_true (virtio_scsi_detach (f->device, "disk.more", NULL));
  g_assert_false (harness_load (f->d.h, state, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  attach (f, "disk.more", 2, 0, SCSI_KIND_DISK, &f->more);
  g_assert_false (harness_load (f->d.h, state, &error));
  g_assert_true (virtio_scsi_detach (f->device, "disk.more", NULL));
  attach (f, "disk.more", 1, 0, SCSI_KIND_DISK, &f->more);
  g_clear_error (&error);
  g_assert_true (harness_load (f->d.h, state, &error));
  harness_storm_load (f->d.h, state, 3, 600);
}

static guint
settle_held (BlockBackend *backend, VmmWorker *worker)
{
  return ((FakeBlock *)backend)->held->len;
}

/* A host that cannot go on: a pause does not wait for it, but nothing can be saved. */
static void
test_held (Fixture *f, gconstpointer data)
{
  static const guint8 write[] = { 0x2a, 0, 0, 0, 0, 1, 0, 0, 1 };
  const BlockBackendOps *usual = f->disk.parent.ops;
  BlockBackendOps ops = *usual;
  VmmStateWriter *writer = vmm_state_writer_new ();
  g_autoptr (GError) error = NULL;

  boot (f);
  ops.settle = settle_held;
  f->disk.parent.ops = &ops;
  f->disk.hold = TRUE;
  start (f, FIRST, 0, 0, 0, write, sizeof write, 0, 512);
  virtio_driver_kick (&f->d, FIRST);
  f->device->ops->quiesce (f->device);
  g_assert_cmpuint (f->disk.held->len, ==, 1);
  vmm_state_writer_begin (writer, "scsi", "virtio-scsi", 1);
  g_assert_false (f->device->ops->save (f->device, writer, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  vmm_state_writer_free (writer);
  f->device->ops->resume (f->device);
  fake_block_finish (&f->disk);
  harness_run (f->d.h);
  take_reply (f, 0);
  g_assert_cmpuint (f->response, ==, OK);
  g_assert_cmpuint (f->status, ==, 0);
  f->disk.parent.ops = usual;
}

static void
test_storm (Fixture *f, gconstpointer data)
{
  boot (f);
  virtio_driver_storm (&f->d, 11, 20000);
  boot (f);
  g_assert_cmpuint (RUN (f, 0, 0, 512, 0, 0x28, 0, 0, 0, 0, 1, 0, 0, 1), ==, OK);
}

/* Any header, any CDB, any mixture of buffers, functions among them, units coming and going. */
static void
test_command_storm (Fixture *f, gconstpointer data)
{
  GRand *rand = g_rand_new_with_seed (5);
  VirtioDriver *d = &f->d;

  boot (f);
  for (guint round = 0; round < 8000; round++)
    {
      /* Events are few, and buffers wait for them: not more than the ring holds. */
      guint q = g_rand_int_range (rand, 0, FIRST + 4), n = 0;
      HarnessSegment segments[6];
      HarnessUsed used;

      for (guint i = 0; i < 64; i++)
        harness_write_le (d->h, d->arena + i, 1,
                          g_rand_int_range (rand, 0, 3) ? 0 : g_rand_int_range (rand, 0, 256));
      if (g_rand_int_range (rand, 0, 8))
        put_lun (f, d->arena + (q == 0 ? 8 : 0), g_rand_int_range (rand, 0, 4), 0);
      if (q == 0)
        {
          harness_write_le (d->h, d->arena, 4, g_rand_int_range (rand, 0, 3));
          harness_write_le (d->h, d->arena + 4, 4, g_rand_int_range (rand, 0, 9));
        }
      segments[n++] = (HarnessSegment){ d->arena, q == 0 ? 24 : 51, FALSE };
      if (q > 1 && g_rand_boolean (rand))
        segments[n++] =
            (HarnessSegment){ d->arena + DATA, g_rand_int_range (rand, 1, 5000), FALSE };
      if (g_rand_int_range (rand, 0, 20))
        segments[n++] = (HarnessSegment){ d->arena + 256, q == 0 ? 5 : REPLY, TRUE };
      if (q > 1 && g_rand_boolean (rand))
        segments[n++] = (HarnessSegment){ d->arena + DATA, g_rand_int_range (rand, 1, 5000), TRUE };
      if (q != 1 || (guint16)(d->rings[1].avail_idx - d->rings[1].last_used) < 4)
        harness_ring_send (&d->rings[q], segments, n);
      f->disk.hold = g_rand_boolean (rand);
      f->disk.result = g_rand_int_range (rand, 0, 9) ? 0 : -EIO;
      virtio_driver_kick (d, q);
      if (g_rand_int_range (rand, 0, 6) == 0)
        {
          if (virtio_scsi_has_unit (f->device, "disk.more"))
            g_assert_true (virtio_scsi_detach (f->device, "disk.more", NULL));
          else
            attach (f, "disk.more", 1, 0, SCSI_KIND_DISK, &f->more);
        }
      if (f->disk.held->len > 4)
        fake_block_finish (&f->disk);
      harness_run (d->h);
      for (q = 0; q < FIRST + 4; q++)
        while (harness_ring_take_used (&d->rings[q], &used))
          continue;
    }
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0xf);
  f->disk.hold = FALSE;
  f->disk.result = 0;
  fake_block_finish (&f->disk);
  harness_run (d->h);
  boot (f);
  g_assert_cmpuint (RUN (f, 0, 0, 512, 0, 0x28, 0, 0, 0, 0, 1, 0, 0, 1), ==, OK);
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/virtio/scsi/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("config", test_config);
  ADD ("read-write", test_read_write);
  ADD ("sense", test_sense);
  ADD ("addresses", test_addresses);
  ADD ("short-requests", test_short_requests);
  ADD ("queues", test_queues);
  ADD ("tmf", test_tmf);
  ADD ("control-oddities", test_control_oddities);
  ADD ("hot-plug", test_hot_plug);
  ADD ("announce", test_announce);
  ADD ("attach-errors", test_attach_errors);
  ADD ("medium", test_medium);
  ADD ("missed-events", test_missed_events);
  ADD ("no-features", test_no_features);
  ADD ("reset-in-flight", test_reset_in_flight);
  ADD ("unplug-in-flight", test_unplug_in_flight);
  ADD ("save-load", test_save_load);
  ADD ("held", test_held);
  ADD ("storm", test_storm);
  ADD ("command-storm", test_command_storm);
  return g_test_run ();
}
