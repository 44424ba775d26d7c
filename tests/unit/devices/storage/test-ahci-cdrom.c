/* SPDX-License-Identifier: GPL-3.0-or-later */
/* ATAPI CD-ROM drives behind AHCI; what the commands themselves do is the SCSI engine's test. */
#include <errno.h>
#include <string.h>

#include "ahci-driver.h"
#include "fake-block.h"

#define BLOCKS 64
#define GOOD   0x50

typedef struct
{
  AhciDriver d;
  FakeBlock medium, other;
  VmmDevice *drive;
} Fixture;

static guint32 packet (Fixture *f, const guint8 *cdb, guint32 length);

/* The first command after a reset is refused with a unit attention: as a driver, ask and go on. */
static void
clear_attention (Fixture *f)
{
  static const guint8 ready[12] = { 0x00 }, sense[12] = { 0x03, 0, 0, 0, 18 };

  for (guint i = 0; i < 8 && packet (f, ready, 0) != GOOD; i++)
    {
      ahci_driver_stop (&f->d, 1);
      ahci_driver_start (&f->d, 1);
      g_assert_cmphex (packet (f, sense, 18), ==, GOOD);
    }
}

static void
set_up (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  fake_block_init (&f->medium, BLOCKS * 2048);
  fake_block_init (&f->other, 2 * BLOCKS * 2048);
  f->medium.info.readonly = f->other.info.readonly = TRUE;
  memset (f->other.data, 0x77, 4096);
  ahci_driver_init (&f->d);
  f->drive =
      ahci_driver_plug (&f->d, &ahci_cdrom_device_ops, 1, data != NULL ? NULL : &f->medium.parent);
  ahci_driver_start (&f->d, 1);
  if (data == NULL)
    clear_attention (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  ahci_driver_finish (&f->d);
  fake_block_clear (&f->medium);
  fake_block_clear (&f->other);
}

static guint32
packet (Fixture *f, const guint8 *cdb, guint32 length)
{
  return ahci_driver_request (
      &f->d, 1, &(AhciRequest){ .command = 0xa0, .features = 1, .packet = cdb, .length = length });
}

/* After CHECK CONDITION: the port again, then key << 16 | asc << 8 | ascq. */
static guint32
get_sense (Fixture *f)
{
  static const guint8 cdb[12] = { 0x03, 0, 0, 0, 18 };
  guint8 sense[18];

  ahci_driver_stop (&f->d, 1);
  ahci_driver_start (&f->d, 1);
  g_assert_cmphex (packet (f, cdb, 18), ==, GOOD);
  harness_read (f->d.h, f->d.ports[1].data, sense, 18);
  return (sense[2] & 0xf) << 16 | sense[12] << 8 | sense[13];
}

static guint32
read_capacity (Fixture *f)
{
  static const guint8 cdb[12] = { 0x25 };
  guint32 be;

  if (packet (f, cdb, 8) & 1)
    return get_sense (f);
  harness_read (f->d.h, f->d.ports[1].data, &be, 4);
  return GUINT32_FROM_BE (be);
}

static void
test_identify (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  g_assert_cmphex (ahci_port_read (d, 1, 0x24), ==, 0xeb140101);
  g_assert_cmphex (ahci_driver_request (d, 1, &(AhciRequest){ .command = 0xa1, .length = 512 }), ==,
                   GOOD);
  g_assert_cmphex (harness_read_le (d->h, d->ports[1].data, 2), ==, 0x85c0);
  g_assert_cmphex (harness_read_le (d->h, d->ports[1].data + 2 * 78, 2) & 0x20, ==, 0x20);
  /* IDENTIFY DEVICE is refused with the signature. */
  g_assert_cmphex (ahci_driver_request (d, 1, &(AhciRequest){ .command = 0xec, .length = 512 }), ==,
                   0x400 | GOOD | 1);
  g_assert_cmphex (harness_read_le (d->h, d->ports[1].fb + 0x44, 4) & 0xffff00, ==, 0xeb1400);
  ahci_driver_stop (d, 1);
  ahci_driver_start (d, 1);
  g_assert_cmphex (ahci_driver_request (d, 1, &(AhciRequest){ .command = 0x08 }), ==, 0x100);
  g_assert_cmphex (ahci_driver_request (d, 1, &(AhciRequest){ .command = 0xe5 }), ==, GOOD);
  /* PACKET without the bit in the header; a hard disk's command. */
  g_assert_cmphex (ahci_driver_request (d, 1, &(AhciRequest){ .command = 0xa0 }), ==,
                   0x400 | GOOD | 1);
  ahci_driver_stop (d, 1);
  ahci_driver_start (d, 1);
  g_assert_cmphex (ahci_driver_request (d, 1, &(AhciRequest){ .command = 0x25, .count = 1 }), ==,
                   0x400 | GOOD | 1);
}

static void
test_read (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  static const guint8 read[12] = { 0x28, 0, 0, 0, 0, 5, 0, 0, 3 };
  static const guint8 far[12] = { 0x28, 0, 0, 0, 0, BLOCKS - 1, 0, 0, 2 };
  guint8 bytes[3 * 2048];

  g_assert_cmpuint (read_capacity (f), ==, BLOCKS - 1);
  g_assert_cmphex (packet (f, read, sizeof bytes), ==, GOOD);
  harness_read (d->h, d->ports[1].data, bytes, sizeof bytes);
  g_assert_cmpmem (bytes, sizeof bytes, f->medium.data + 5 * 2048, sizeof bytes);
  g_assert_cmpuint (harness_read_le (d->h, d->ports[1].clb + 4, 4), ==, sizeof bytes);
  g_assert_cmphex (harness_read_le (d->h, d->ports[1].fb + 0x4c, 1), ==, 3);
  g_assert_cmphex (packet (f, far, 4096), ==, 0x5400 | GOOD | 1);
  g_assert_cmphex (get_sense (f), ==, 0x052100);
  f->medium.result = -EIO;
  g_assert_cmphex (packet (f, read, sizeof bytes) & 0xf0ff, ==, 0x3000 | GOOD | 1);
  g_assert_cmphex (get_sense (f) >> 16, ==, 3);
  f->medium.result = 0;
  /* Less memory than data. */
  g_assert_cmphex (packet (f, read, 2048) & 0x80, ==, 0x80);
  g_assert_cmphex (ahci_port_read (d, 1, 0x10) & 0x01000000, ==, 0x01000000);
}

static void
test_bad_memory (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  static const guint8 read[12] = { 0x28, 0, 0, 0, 0, 5, 0, 0, 1 };

  ahci_driver_prepare (d, 1, 0, &(AhciRequest){ .command = 0xa0, .packet = read, .length = 2048 });
  ahci_driver_put_prd (d, 1, 0, 0, AHCI_DRIVER_RAM - 512, 2047);
  ahci_driver_issue (d, 1, 1, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x10) & 0x20000000, ==, 0x20000000);
  g_assert_cmpuint (f->medium.n_ops[BLOCK_OP_READ], ==, 0);
  ahci_driver_stop (d, 1);
  ahci_port_write (d, 1, 0x2c, 1);
  ahci_port_write (d, 1, 0x2c, 0);
  ahci_driver_start (d, 1);
  clear_attention (f);
  /* More memory than is used, and not RAM there: nobody looks (SeaBIOS does so). */
  ahci_driver_prepare (d, 1, 0, &(AhciRequest){ .command = 0xa0, .packet = read, .length = 2048 });
  ahci_driver_put_prd (d, 1, 0, 0, AHCI_DRIVER_RAM - 3072, 0x3fffff);
  ahci_driver_issue (d, 1, 1, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x20), ==, GOOD);
  g_assert_cmphex (harness_read_le (d->h, AHCI_DRIVER_RAM - 3072 + 2047, 1), ==,
                   f->medium.data[5 * 2048 + 2047]);
  ahci_driver_put_prd (d, 1, 0, 0, AHCI_DRIVER_ABAR, 0x3fffff);
  harness_write_le (d->h, ahci_driver_table (d, 1, 0) + 0x40, 8, 0); /* TEST UNIT READY */
  ahci_driver_issue (d, 1, 1, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x20), ==, GOOD);
}

static void
test_medium (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  static const guint8 lock[12] = { 0x1e, 0, 0, 0, 1 }, unlock[12] = { 0x1e };
  static const guint8 eject[12] = { 0x1b, 0, 0, 0, 2 }, ready[12] = { 0 };
  static const guint8 read[12] = { 0x28, 0, 0, 0, 0, 0, 0, 0, 1 };
  BlockBackend *old = NULL;
  gboolean locked, open;
  g_autoptr (GError) error = NULL;

  /* Asynchronous notification. */
  ahci_driver_request (d, 1, &(AhciRequest){ .command = 0xef, .features = 0x10, .count = 5 });
  ahci_port_write (d, 1, 0x10, G_MAXUINT32);
  g_assert_true (ahci_cdrom_set_medium (f->drive, &f->other.parent, FALSE, &old, &error));
  g_assert_no_error (error);
  g_assert_true (old == &f->medium.parent);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x3c), ==, 1);
  g_assert_cmphex (ahci_port_read (d, 1, 0x10), ==, 8);
  g_assert_cmphex (harness_read_le (d->h, d->ports[1].fb + 0x58, 2), ==, 0xc0a1);
  g_assert_cmphex (packet (f, ready, 0) & 1, ==, 1);
  clear_attention (f);
  g_assert_cmpuint (read_capacity (f), ==, 2 * BLOCKS - 1);
  g_assert_cmphex (packet (f, read, 2048), ==, GOOD);
  g_assert_cmphex (harness_read_le (d->h, d->ports[1].data, 4), ==, 0x77777777);
  /* Locked by the guest. */
  g_assert_cmphex (packet (f, lock, 0), ==, GOOD);
  ahci_cdrom_get_tray (f->drive, &locked, &open);
  g_assert_true (locked && !open);
  g_assert_false (ahci_cdrom_set_medium (f->drive, NULL, FALSE, &old, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_true (ahci_cdrom_set_medium (f->drive, NULL, TRUE, &old, NULL));
  g_assert_true (old == &f->other.parent);
  while (packet (f, ready, 0) & 1)
    if (get_sense (f) >> 8 == 0x023a)
      break;
  /* In again, unlocked, ejected by the guest, in again. */
  g_assert_true (ahci_cdrom_set_medium (f->drive, &f->medium.parent, TRUE, &old, NULL));
  clear_attention (f);
  g_assert_cmpuint (read_capacity (f), ==, BLOCKS - 1);
  g_assert_cmphex (packet (f, unlock, 0), ==, GOOD);
  g_assert_cmphex (packet (f, eject, 0), ==, GOOD);
  ahci_cdrom_get_tray (f->drive, &locked, &open);
  g_assert_true (!locked && open);
  harness_check_save_load (d->h);
  ahci_cdrom_get_tray (f->drive, &locked, &open);
  g_assert_true (open);
}

static void
test_empty (Fixture *f, gconstpointer data)
{
  static const guint8 ready[12] = { 0 };
  BlockBackend *old = NULL;
  guint32 sense = 0;

  for (guint i = 0; i < 4 && sense >> 8 != 0x023a; i++)
    {
      g_assert_cmphex (packet (f, ready, 0) & 1, ==, 1);
      sense = get_sense (f);
    }
  g_assert_cmphex (sense >> 8, ==, 0x023a);
  g_assert_true (ahci_cdrom_set_medium (f->drive, &f->medium.parent, FALSE, &old, NULL));
  g_assert_null (old);
  clear_attention (f);
  g_assert_cmpuint (read_capacity (f), ==, BLOCKS - 1);
}

static void
start_held (Fixture *f)
{
  static const guint8 read[12] = { 0x28, 0, 0, 0, 0, 5, 0, 0, 3 };

  f->medium.hold = TRUE;
  packet (f, read, 3 * 2048);
  g_assert_cmpuint (f->medium.held->len, ==, 1);
}

static void
test_in_flight (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  BlockBackend *old;

  /* Saved: done first. */
  start_held (f);
  harness_check_save_load (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x38), ==, 0);
  /* COMRESET: busy until it is back. */
  start_held (f);
  ahci_driver_stop (d, 1);
  ahci_port_write (d, 1, 0x2c, 1);
  ahci_port_write (d, 1, 0x2c, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x20), ==, 0x80);
  f->medium.hold = FALSE;
  fake_block_finish (&f->medium);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x20), ==, 0x100);
  g_assert_cmphex (ahci_port_read (d, 1, 0x24), ==, 0xeb140101);
  ahci_driver_start (d, 1);
  clear_attention (f);
  /* The medium changes under a read. */
  start_held (f);
  g_assert_true (ahci_cdrom_set_medium (f->drive, &f->other.parent, FALSE, &old, NULL));
  g_assert_cmpuint (f->medium.held->len, ==, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 1, 0x38), ==, 0);
  g_assert_true (ahci_cdrom_set_medium (f->drive, &f->medium.parent, FALSE, &old, NULL));
  clear_attention (f);
  /* Machine reset and unplug. */
  start_held (f);
  vmm_machine_reset_devices (d->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (f->medium.held->len, ==, 0);
  ahci_driver_set_bars (d);
  ahci_driver_start (d, 1);
  f->medium.hold = FALSE;
  clear_attention (f);
  start_held (f);
  vmm_device_unrealize (f->drive);
  vmm_device_free (f->drive);
  g_assert_cmpuint (f->medium.held->len, ==, 0);
  g_assert_cmphex (ahci_port_read (d, 1, 0x28), ==, 0);
}

static void
test_storm (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  g_autoptr (GRand) rand = g_rand_new_with_seed (9);
  g_autoptr (GBytes) state = NULL;

  for (guint i = 0; i < 5000; i++)
    {
      guint8 cdb[12];
      BlockBackend *old;

      for (guint b = 0; b < sizeof cdb; b++)
        cdb[b] = (guint8)g_rand_int_range (rand, 0, b == 0 ? 256 : g_rand_int_range (rand, 1, 257));
      if (packet (f, cdb, g_rand_int_range (rand, 0, 40) * 512) & 0x81)
        {
          ahci_driver_stop (d, 1);
          if (ahci_port_read (d, 1, 0x20) & 0x80)
            {
              ahci_port_write (d, 1, 0x2c, 1);
              ahci_port_write (d, 1, 0x2c, 0);
            }
          ahci_driver_start (d, 1);
        }
      if (i % 50 == 0)
        (void)!ahci_cdrom_set_medium (f->drive, i % 100 ? NULL : &f->medium.parent, i % 150 == 0,
                                      &old, NULL);
    }
  state = harness_save (d->h);
  harness_storm_load (d->h, state, 3, 300);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data)                                                                      \
  g_test_add ("/storage/ahci-cdrom/" name, Fixture, data, set_up, func, tear_down)
  ADD ("identify", test_identify, NULL);
  ADD ("read", test_read, NULL);
  ADD ("bad-memory", test_bad_memory, NULL);
  ADD ("medium", test_medium, NULL);
  ADD ("empty", test_empty, "");
  ADD ("in-flight", test_in_flight, NULL);
  ADD ("storm", test_storm, NULL);
  return g_test_run ();
}
