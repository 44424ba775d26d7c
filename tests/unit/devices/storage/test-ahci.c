/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AHCI with hard disks in memory. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "ahci-driver.h"
#include "fake-block.h"

#define SECTORS 4096
#define PORT(p) (0x100 + 0x80 * (p))
#define GOOD    0x50 /* DRDY, DSC */

typedef struct
{
  AhciDriver d;
  FakeBlock disk;
  VmmDevice *drive;
} Fixture;

/* Each byte its own, more or less. */
static void
init_disk (FakeBlock *disk)
{
  fake_block_init (disk, SECTORS * 512);
  for (guint64 i = 0; i < SECTORS * 512; i++)
    disk->data[i] = (guint8)(i / 512 * 7 + i % 512);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  init_disk (&f->disk);
  ahci_driver_init (&f->d);
  f->drive = ahci_driver_plug (&f->d, &ahci_disk_device_ops, 0, &f->disk.parent);
  ahci_driver_start (&f->d, 0);
}

static void
set_up_readonly (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  init_disk (&f->disk);
  f->disk.info.readonly = TRUE;
  ahci_driver_init (&f->d);
  f->drive = ahci_driver_plug (&f->d, &ahci_disk_device_ops, 0, &f->disk.parent);
  ahci_driver_start (&f->d, 0);
}

static void
set_up_4k (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  init_disk (&f->disk);
  f->disk.info.logical_block = 4096;
  ahci_driver_init (&f->d);
  f->drive = ahci_driver_plug (&f->d, &ahci_disk_device_ops, 0, &f->disk.parent);
  ahci_driver_start (&f->d, 0);
}

static void
set_up_empty (Fixture *f, gconstpointer data)
{
  memset (f, 0, sizeof *f);
  init_disk (&f->disk);
  ahci_driver_init (&f->d);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  ahci_driver_finish (&f->d);
  fake_block_clear (&f->disk);
}

static void
fill_data (Fixture *f, guint length, guint8 seed)
{
  g_autofree guint8 *bytes = g_malloc (length);

  for (guint i = 0; i < length; i++)
    bytes[i] = (guint8)(seed + i * 3);
  harness_write (f->d.h, f->d.ports[0].data, bytes, length);
}

static void
check_data (Fixture *f, guint32 at, guint64 offset, guint length)
{
  g_autofree guint8 *bytes = g_malloc (length);

  harness_read (f->d.h, f->d.ports[0].data + at, bytes, length);
  g_assert_cmpmem (bytes, length, f->disk.data + offset, length);
}

/* The port after an error, as a driver mends it. */
static void
recover (Fixture *f)
{
  AhciDriver *d = &f->d;

  ahci_driver_stop (d, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x18) & 0x8001, ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, 0);
  if (ahci_port_read (d, 0, 0x20) & 0x88)
    {
      ahci_port_write (d, 0, 0x2c, 1);
      ahci_port_write (d, 0, 0x2c, 0);
    }
  ahci_driver_start (d, 0);
}

/* ---- registers ---- */

static void
test_reset_values (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  static const struct
  {
    guint offset;
    guint32 value;
  } generic[] = { { 0x00, 0xe1349f05 | 1u << 15 },
                  { 0x04, 0x80000000 },
                  { 0x08, 0 },
                  { 0x0c, 0x3f },
                  { 0x10, 0x00010301 },
                  { 0x24, 0 } },
    port[] = { { 0x00, 0 }, { 0x04, 0 }, { 0x08, 0 },    { 0x10, 0 },
               { 0x14, 0 }, { 0x18, 6 }, { 0x20, 0x7f }, { 0x24, G_MAXUINT32 },
               { 0x28, 0 }, { 0x2c, 0 }, { 0x30, 0 },    { 0x34, 0 },
               { 0x38, 0 }, { 0x3c, 0 }, { 0x40, 0 },    { 0x7c, 0 } };

  for (guint i = 0; i < G_N_ELEMENTS (generic); i++)
    g_assert_cmphex (ahci_driver_read (d, generic[i].offset), ==, generic[i].value);
  for (guint p = 0; p < AHCI_N_PORTS; p++)
    for (guint i = 0; i < G_N_ELEMENTS (port); i++)
      g_assert_cmphex (ahci_port_read (d, p, port[i].offset), ==, port[i].value);
  g_assert_cmphex (pci_bus_config_read (d->bus, 0, 0xfa, 0, 4), ==, 0x29228086);
  g_assert_cmphex (pci_bus_config_read (d->bus, 0, 0xfa, PCI_CLASS_REVISION, 4), ==, 0x01060102);
  /* A disk appears: signature, status, PCS. */
  f->drive = ahci_driver_plug (d, &ahci_disk_device_ops, 2, &f->disk.parent);
  g_assert_cmphex (ahci_port_read (d, 2, 0x28), ==, 0x133);
  g_assert_cmphex (ahci_port_read (d, 2, 0x24), ==, 0x101);
  g_assert_cmphex (ahci_port_read (d, 2, 0x20), ==, 0x150);
  g_assert_cmphex (ahci_port_read (d, 2, 0x10) & 0x40, ==, 0x40);
}

static void
test_register_sizes (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  HarnessMachine *h = d->h;
  guint64 port = AHCI_DRIVER_ABAR + PORT (1);

  g_assert_cmphex (harness_mmio_read (h, AHCI_DRIVER_ABAR + 0x11, 1), ==, 0x03);
  g_assert_cmphex (harness_mmio_read (h, AHCI_DRIVER_ABAR + 0x10, 2), ==, 0x0301);
  g_assert_cmphex (harness_mmio_read (h, AHCI_DRIVER_ABAR + 0x08, 8), ==, 0x3f00000000);
  harness_mmio_write (h, port, 8, 0x1234567800000fff);
  g_assert_cmphex (harness_mmio_read (h, port, 8), ==, 0x1234567800000c00);
  harness_mmio_write (h, port + 6, 1, 0xab);
  harness_mmio_write (h, port + 1, 1, 0x80);
  g_assert_cmphex (harness_mmio_read (h, port, 8), ==, 0x12ab567800008000);
  harness_mmio_write (h, port + 0x08, 4, 0xffffffff);
  g_assert_cmphex (harness_mmio_read (h, port + 8, 4), ==, 0xffffff00);
  harness_mmio_write (h, port + 0x14, 2, 0xffff);
  g_assert_cmphex (harness_mmio_read (h, port + 0x14, 4), ==, 0xff);
  harness_mmio_write (h, port + 0x16, 2, 0xffff);
  g_assert_cmphex (harness_mmio_read (h, port + 0x14, 4), ==, 0xfdc000ff & 0xffffffff);
  /* CI and SACT without ST, read-only ones, and what is not there. */
  for (guint offset = 0x34; offset <= 0x38; offset += 4)
    {
      ahci_port_write (d, 1, offset, G_MAXUINT32);
      g_assert_cmphex (ahci_port_read (d, 1, offset), ==, 0);
    }
  for (guint offset = 0; offset < 4096; offset += 4)
    if (offset != 0x04 && (offset < PORT (0) || offset >= PORT (1)))
      ahci_driver_write (d, offset, G_MAXUINT32 & ~1u);
  for (guint offset = 0; offset < 4096; offset++)
    for (guint size = 1; size <= 8; size *= 2)
      (void)harness_mmio_read (h, AHCI_DRIVER_ABAR + offset, size);
  g_assert_cmphex (ahci_driver_read (d, 0x0c), ==, 0x3f);
  g_assert_cmphex (ahci_driver_read (d, 0xffc), ==, 0);
}

static void
test_index_data (Fixture *f, gconstpointer data)
{
  HarnessMachine *h = f->d.h;

  harness_out (h, AHCI_DRIVER_IDP + 0x10, 4, 0x0c);
  g_assert_cmphex (harness_in (h, AHCI_DRIVER_IDP + 0x14, 4), ==, 0x3f);
  harness_out (h, AHCI_DRIVER_IDP + 0x10, 4, PORT (3) + 0x14);
  harness_out (h, AHCI_DRIVER_IDP + 0x14, 4, 0x3);
  g_assert_cmphex (ahci_port_read (&f->d, 3, 0x14), ==, 3);
  harness_out (h, AHCI_DRIVER_IDP + 0x10, 4, 0xffffffff);
  g_assert_cmphex (harness_in (h, AHCI_DRIVER_IDP + 0x10, 4), ==, 0xffc);
  g_assert_cmphex (harness_in (h, AHCI_DRIVER_IDP + 0x14, 4), ==, 0);
}

static void
test_interrupts (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest flush = { .command = 0xe7 };

  ahci_driver_request (d, 0, &flush);
  g_assert_true (d->h->gsi[20]);
  g_assert_cmphex (ahci_driver_read (d, 0x08), ==, 1);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10), ==, 1);
  /* IS does not stay clear while PxIS is set. */
  ahci_driver_write (d, 0x08, 1);
  g_assert_true (d->h->gsi[20]);
  ahci_port_write (d, 0, 0x10, 1);
  ahci_driver_write (d, 0x08, 1);
  g_assert_false (d->h->gsi[20]);

  ahci_driver_enable_msi (d);
  harness_clear_msis (d->h);
  ahci_driver_request (d, 0, &flush);
  g_assert_false (d->h->gsi[20]);
  g_assert_cmpuint (harness_count_msi (d->h, AHCI_DRIVER_MSI), ==, 1);
  ahci_driver_request (d, 0, &flush);
  g_assert_cmpuint (harness_count_msi (d->h, AHCI_DRIVER_MSI), ==, 1);
  /* Something came while the driver cleared: told again. */
  ahci_driver_write (d, 0x08, 1);
  g_assert_cmpuint (harness_count_msi (d->h, AHCI_DRIVER_MSI), ==, 2);
  ahci_port_write (d, 0, 0x10, 1);
  ahci_driver_write (d, 0x08, 1);
  ahci_driver_write (d, 0x04, 0x80000000);
  ahci_driver_request (d, 0, &flush);
  g_assert_cmpuint (harness_count_msi (d->h, AHCI_DRIVER_MSI), ==, 2);
  ahci_driver_write (d, 0x04, 0x80000002);
  g_assert_cmpuint (harness_count_msi (d->h, AHCI_DRIVER_MSI), ==, 3);
}

/* ---- commands ---- */

static void
test_identify (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest identify = { .command = 0xec, .length = 512 };
  guint16 words[256];
  guint8 bytes[512], sum = 0;

  g_assert_cmphex (ahci_driver_request (d, 0, &identify), ==, GOOD);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10), ==, 2); /* PSS */
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x20, 4), ==, 0x0058605f);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x20 + 15, 1), ==, GOOD);
  g_assert_cmpuint (harness_read_le (d->h, d->ports[0].clb + 4, 4), ==, 512);
  harness_read (d->h, d->ports[0].data, bytes, 512);
  memcpy (words, bytes, 512);
  for (guint i = 0; i < 512; i++)
    sum += bytes[i];
  g_assert_cmphex (sum, ==, 0);
  g_assert_cmpmem (bytes + 20, 20, "ORMO0-00 1          ", 20);
  g_assert_cmpuint (GUINT16_FROM_LE (words[60]), ==, SECTORS);
  g_assert_cmpuint (GUINT16_FROM_LE (words[100]), ==, SECTORS);
  g_assert_cmphex (GUINT16_FROM_LE (words[76]) & 0x100, ==, 0x100);
  g_assert_cmpuint (GUINT16_FROM_LE (words[75]), ==, 31);
  g_assert_cmphex (GUINT16_FROM_LE (words[169]), ==, 1);
  g_assert_cmphex (GUINT16_FROM_LE (words[106]), ==, 0x6003);
}

static void
test_transfers (Fixture *f, gconstpointer data)
{
  static const struct
  {
    guint8 opcode;
    gboolean write;
  } commands[] = { { 0x20, 0 }, { 0x24, 0 }, { 0x25, 0 }, { 0x29, 0 }, { 0xc4, 0 }, { 0xc8, 0 },
                   { 0x30, 1 }, { 0x34, 1 }, { 0x35, 1 }, { 0x39, 1 }, { 0x3d, 1 }, { 0xc5, 1 },
                   { 0xca, 1 }, { 0xce, 1 }, { 0x60, 0 }, { 0x61, 1 } };
  AhciDriver *d = &f->d;
  AhciRequest multiple = { .command = 0xc6, .count = 8 };

  g_assert_cmphex (ahci_driver_request (d, 0, &multiple), ==, GOOD);
  for (guint i = 0; i < G_N_ELEMENTS (commands); i++)
    {
      guint lba = 5 + i * 11;
      AhciRequest request = { .command = commands[i].opcode,
                              .lba = lba,
                              .count = 3,
                              .write = commands[i].write,
                              .queued = (commands[i].opcode & 0xfe) == 0x60,
                              .length = 1536 };

      fill_data (f, 1536, (guint8)i);
      ahci_port_write (d, 0, 0x10, G_MAXUINT32);
      g_assert_cmphex (ahci_driver_request (d, 0, &request), ==, GOOD);
      g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
      g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, 0);
      check_data (f, 0, lba * 512, 1536);
      if (!request.queued)
        g_assert_cmpuint (harness_read_le (d->h, d->ports[0].clb + 4, 4), ==, 1536);
      g_assert_cmphex (ahci_port_read (d, 0, 0x10), !=, 0);
    }
  g_assert_cmpuint (f->disk.n_fua, ==, 2);
  /* 0 is 256 sectors, or 65536, which this disk does not have. */
  g_assert_cmphex (
      ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xc8, .lba = 1, .length = 256 * 512 }),
      ==, GOOD);
  check_data (f, 0, 512, 256 * 512);
  g_assert_cmphex (
      ahci_driver_request (d, 0, &(AhciRequest){ .command = 0x25, .length = 256 * 512 }), ==,
      0x1000 | GOOD | 1);
}

static void
test_write_cache (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest write = { .command = 0x35, .count = 1, .write = TRUE, .length = 512 };

  ahci_driver_request (d, 0, &write);
  g_assert_cmpuint (f->disk.n_fua, ==, 0);
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xef, .features = 0x82 });
  g_assert_cmpuint (f->disk.n_ops[BLOCK_OP_FLUSH], ==, 1);
  ahci_driver_request (d, 0, &write);
  g_assert_cmpuint (f->disk.n_fua, ==, 1);
  harness_check_save_load (d->h);
  ahci_driver_request (d, 0, &write);
  g_assert_cmpuint (f->disk.n_fua, ==, 2);
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xef, .features = 0x02 });
  ahci_driver_request (d, 0, &write);
  g_assert_cmpuint (f->disk.n_fua, ==, 2);
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xea });
  g_assert_cmpuint (f->disk.n_ops[BLOCK_OP_FLUSH], ==, 2);
}

static void
test_small_commands (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  guint8 *at;
  guint8 page[512];
  static const struct
  {
    AhciRequest request;
    guint32 tfd;
  } cases[] = {
    { { .command = 0x00 }, 0x400 | GOOD | 1 },
    { { .command = 0xa1, .length = 512 }, 0x400 | GOOD | 1 },
    { { .command = 0xa0 }, 0x400 | GOOD | 1 },
    { { .command = 0x90 }, 0x100 | GOOD },
    { { .command = 0x91 }, GOOD },
    { { .command = 0x10 }, GOOD },
    { { .command = 0xef, .features = 0x03, .count = 0x45 }, GOOD },
    { { .command = 0xef, .features = 0x03, .count = 0x47 }, 0x400 | GOOD | 1 },
    { { .command = 0xef, .features = 0xaa }, GOOD },
    { { .command = 0xef, .features = 0x05 }, 0x400 | GOOD | 1 },
    { { .command = 0xc6, .count = 3 }, 0x400 | GOOD | 1 },
    { { .command = 0xc6, .count = 32 }, 0x400 | GOOD | 1 },
    { { .command = 0xc6, .count = 16 }, GOOD },
    { { .command = 0x40, .lba = SECTORS - 4, .count = 4 }, GOOD },
    { { .command = 0x42, .lba = SECTORS - 4, .count = 5 }, 0x1000 | GOOD | 1 },
    { { .command = 0xb0, .features = 0xd0, .lba = 0xc24f00, .length = 512 }, GOOD },
    { { .command = 0xb0, .features = 0xd1, .lba = 0xc24f00, .length = 512 }, GOOD },
    { { .command = 0xb0, .features = 0xd5, .lba = 0xc24f00, .count = 1, .length = 512 }, GOOD },
    { { .command = 0xb0, .features = 0xd4, .lba = 0xc24f00 }, 0x400 | GOOD | 1 },
    { { .command = 0xb0, .features = 0xd0, .lba = 0, .length = 512 }, 0x400 | GOOD | 1 },
    { { .command = 0xb0, .features = 0xd9, .lba = 0xc24f00 }, GOOD },
    { { .command = 0xb0, .features = 0xda, .lba = 0xc24f00 }, 0x400 | GOOD | 1 },
    { { .command = 0xb0, .features = 0xd8, .lba = 0xc24f00 }, GOOD },
    { { .command = 0xb0, .features = 0xda, .lba = 0xc24f00 }, GOOD },
    { { .command = 0x2f, .lba = 0x00, .count = 1, .length = 512 }, GOOD },
    { { .command = 0x2f, .lba = 0x10, .count = 1, .length = 512 }, GOOD },
    { { .command = 0x47, .lba = 0x30, .count = 2, .length = 1024 }, GOOD },
    { { .command = 0x2f, .lba = 0x130, .count = 2, .length = 1024 }, 0x400 | GOOD | 1 },
    { { .command = 0x2f, .lba = 0x44, .count = 1, .length = 512 }, 0x400 | GOOD | 1 },
    { { .command = 0x2f, .lba = 0x30, .count = 65535, .length = 512 }, 0x400 | GOOD | 1 },
    { { .command = 0xff }, 0x400 | GOOD | 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint32 tfd = ahci_driver_request (d, 0, &cases[i].request);

      g_test_message ("case %u", i);
      g_assert_cmphex (tfd, ==, cases[i].tfd);
      if (tfd & 1)
        {
          g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x40000000, !=, 0);
          g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 1);
          recover (f);
        }
    }
  /* SMART RETURN STATUS: the signature comes back. */
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xb0, .features = 0xda, .lba = 0xc24f00 });
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x44, 4) & 0xffff00, ==, 0xc24f00);
  /* CHECK POWER MODE, awake and in standby. */
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe5 });
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x4c, 1), ==, 0xff);
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe0 });
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe5 });
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x4c, 1), ==, 0);
  /* LBAs read show in SMART. */
  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xc8, .count = 200, .length = 102400 });
  ahci_driver_request (
      d, 0, &(AhciRequest){ .command = 0xb0, .features = 0xd0, .lba = 0xc24f00, .length = 512 });
  harness_read (d->h, d->ports[0].data, page, 512);
  for (at = page + 2; at < page + 362 && at[0] != 242; at += 12)
    continue;
  g_assert_cmpuint (at[0], ==, 242);
  g_assert_cmpuint (at[5], ==, 204); /* and the four sectors verified */
}

static void
put_range (Fixture *f, guint i, guint64 lba, guint count)
{
  harness_write_le (f->d.h, f->d.ports[0].data + 8 * i, 8, lba | (guint64)count << 48);
}

static void
test_trim (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest trim = { .command = 0x06, .features = 1, .count = 1, .write = TRUE, .length = 512 };
  static const guint8 zeroes[512];

  harness_write (d->h, d->ports[0].data, zeroes, 512);
  put_range (f, 0, 10, 2);
  put_range (f, 1, 12, 1);
  put_range (f, 5, 20, 1);
  g_assert_cmphex (ahci_driver_request (d, 0, &trim), ==, GOOD);
  g_assert_cmpuint (f->disk.n_ops[BLOCK_OP_DISCARD], ==, 2); /* neighbours became one */
  for (guint i = 9; i < 22; i++)
    g_assert_cmphex (f->disk.data[i * 512 + 17], ==,
                     (i >= 10 && i <= 12) || i == 20 ? 0 : (guint8)(i * 7 + 17));
  /* One range off the disk: nothing is discarded. */
  put_range (f, 6, SECTORS - 1, 2);
  g_assert_cmphex (ahci_driver_request (d, 0, &trim), ==, 0x1000 | GOOD | 1);
  g_assert_cmpuint (f->disk.n_ops[BLOCK_OP_DISCARD], ==, 2);
  recover (f);
  put_range (f, 6, 0xffffffffffff, 0xffff);
  g_assert_cmphex (ahci_driver_request (d, 0, &trim), ==, 0x1000 | GOOD | 1);
  recover (f);
  trim.count = 9;
  g_assert_cmphex (ahci_driver_request (d, 0, &trim), ==, 0x400 | GOOD | 1);
  recover (f);
  trim.count = 1;
  trim.features = 0;
  g_assert_cmphex (ahci_driver_request (d, 0, &trim), ==, 0x400 | GOOD | 1);
}

static void
test_readonly (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest write = { .command = 0x35, .count = 1, .write = TRUE, .length = 512 };

  g_assert_cmphex (ahci_driver_request (d, 0, &write), ==, 0x400 | GOOD | 1);
  recover (f);
  write.command = 0x61;
  write.queued = TRUE;
  g_assert_cmphex (ahci_driver_request (d, 0, &write), ==, 0x400 | GOOD | 1);
  g_assert_cmpuint (f->disk.n_ops[BLOCK_OP_WRITE], ==, 0);
}

static void
test_4k (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  guint16 words[256];

  ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xec, .length = 512 });
  harness_read (d->h, d->ports[0].data, words, 512);
  g_assert_cmphex (GUINT16_FROM_LE (words[106]), ==, 0x5000);
  g_assert_cmpuint (GUINT16_FROM_LE (words[117]), ==, 2048);
  g_assert_cmpuint (GUINT16_FROM_LE (words[100]), ==, SECTORS / 8);
  g_assert_cmphex (
      ahci_driver_request (d, 0,
                           &(AhciRequest){ .command = 0x25, .lba = 3, .count = 2, .length = 8192 }),
      ==, GOOD);
  check_data (f, 0, 3 * 4096, 8192);
}

/* ---- NCQ ---- */

static void
test_queued (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  ahci_driver_enable_msi (d);
  f->disk.hold = TRUE;
  for (guint slot = 0; slot < 32; slot++)
    ahci_driver_prepare (d, 0, slot,
                         &(AhciRequest){ .command = 0x60,
                                         .queued = TRUE,
                                         .lba = slot * 16,
                                         .count = 8,
                                         .length = 4096,
                                         .at = slot * 4096 });
  ahci_driver_issue (d, 0, G_MAXUINT32, G_MAXUINT32);
  harness_run (d->h);
  g_assert_cmpuint (f->disk.held->len, ==, 32);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, G_MAXUINT32);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, GOOD);
  ahci_port_write (d, 0, 0x10, G_MAXUINT32);
  harness_clear_msis (d->h);
  fake_block_finish (&f->disk);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10), ==, 8);
  /* All that ended in one turn is one FIS and one interrupt. */
  g_assert_cmpuint (harness_count_msi (d->h, AHCI_DRIVER_MSI), ==, 1);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x58, 4), ==, 0x005040a1);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x5c, 4), ==, G_MAXUINT32);
  for (guint slot = 0; slot < 32; slot++)
    check_data (f, slot * 4096, slot * 16 * 512, 4096);
  /* Done inside submit: still one. */
  f->disk.hold = FALSE;
  ahci_port_write (d, 0, 0x10, G_MAXUINT32);
  ahci_driver_write (d, 0x08, G_MAXUINT32);
  harness_clear_msis (d->h);
  ahci_driver_issue (d, 0, G_MAXUINT32, G_MAXUINT32);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, 0);
  g_assert_cmpuint (harness_count_msi (d->h, AHCI_DRIVER_MSI), ==, 1);
}

static void
test_queued_error (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest log = { .command = 0x2f, .lba = 0x10, .count = 1, .length = 512 };
  AhciRequest read = { .command = 0x60, .queued = TRUE, .lba = 77, .count = 1, .length = 512 };
  guint8 page[512];

  f->disk.hold = TRUE;
  for (guint slot = 4; slot < 7; slot++)
    ahci_driver_prepare (d, 0, slot, &read);
  ahci_driver_issue (d, 0, 0x70, 0x70);
  harness_run (d->h);
  /* The last one fails; the others come back meanwhile and do not count. */
  f->disk.result = -EIO;
  fake_block_finish (&f->disk);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x4000 | GOOD | 1);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x40000008, ==, 0x40000008);
  g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, 0x70);
  f->disk.result = 0;
  f->disk.hold = FALSE;
  recover (f);
  /* The log tells, also after a save; until then nothing else works. */
  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==,
                   0x400 | GOOD | 1);
  recover (f);
  harness_check_save_load (d->h);
  g_assert_cmphex (ahci_driver_request (d, 0, &log), ==, GOOD);
  harness_read (d->h, d->ports[0].data, page, 512);
  g_assert_cmphex (page[0], ==, 6);
  g_assert_cmphex (page[2], ==, GOOD | 1);
  g_assert_cmphex (page[3], ==, 0x40);
  g_assert_cmphex (page[4], ==, 77);
  g_assert_cmphex (ahci_driver_request (d, 0, &read), ==, GOOD);
  g_assert_cmphex (ahci_driver_request (d, 0, &log), ==, GOOD);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].data, 1), ==, 0x80);

  /* Off the disk: refused before it is queued. */
  read.lba = SECTORS;
  g_assert_cmphex (ahci_driver_request (d, 0, &read), ==, 0x1000 | GOOD | 1);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 1);
  recover (f);
  g_assert_cmphex (ahci_driver_request (d, 0, &log), ==, GOOD);
  /* A tag that is not the slot's. */
  read.lba = 1;
  ahci_driver_prepare (d, 0, 0, &read);
  harness_write_le (d->h, ahci_driver_table (d, 0, 0) + 12, 1, 3 << 3);
  ahci_driver_issue (d, 0, 1, 1);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x400 | GOOD | 1);
  recover (f);
  g_assert_cmphex (ahci_driver_request (d, 0, &log), ==, GOOD);
  /* An unqueued command among queued ones ends them all. */
  f->disk.hold = TRUE;
  ahci_driver_prepare (d, 0, 1, &read);
  ahci_driver_prepare (d, 0, 2, &(AhciRequest){ .command = 0xe7 });
  ahci_driver_issue (d, 0, 6, 2);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x400 | GOOD | 1);
  ahci_driver_stop (d, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x18) & 0x8000, ==, 0x8000); /* one is still out */
  f->disk.hold = FALSE;
  fake_block_finish (&f->disk);
  recover (f);
  g_assert_cmphex (ahci_driver_request (d, 0, &read), ==, GOOD);
  /* A tag that is still in use, given twice. */
  f->disk.hold = TRUE;
  ahci_driver_prepare (d, 0, 0, &read);
  ahci_driver_issue (d, 0, 1, 1);
  harness_run (d->h);
  ahci_driver_issue (d, 0, 1, 1);
  harness_run (d->h);
  g_assert_cmpuint (f->disk.held->len, ==, 1);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x400 | GOOD | 1);
  f->disk.hold = FALSE;
  fake_block_finish (&f->disk);
  recover (f);
  g_assert_cmphex (ahci_driver_request (d, 0, &read), ==, GOOD);
}

/* ---- errors and hostile input ---- */

static void
test_backend_errors (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  f->disk.result = -EIO;
  g_assert_cmphex (
      ahci_driver_request (d, 0,
                           &(AhciRequest){ .command = 0x25, .lba = 9, .count = 1, .length = 512 }),
      ==, 0x4000 | GOOD | 1);
  g_assert_cmpuint (harness_read_le (d->h, d->ports[0].fb + 0x44, 1), ==, 9);
  recover (f);
  f->disk.result = -ENOSPC;
  g_assert_cmphex (
      ahci_driver_request (
          d, 0, &(AhciRequest){ .command = 0x35, .count = 1, .write = TRUE, .length = 512 }),
      ==, 0x400 | GOOD | 0x21);
  recover (f);
  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==,
                   0x400 | GOOD | 0x21);
  recover (f);
  f->disk.result = 0;
  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==, GOOD);
}

static void
test_bad_prds (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest read = { .command = 0x25, .lba = 3, .count = 4, .length = 2048 };
  AhciRequest none = { .command = 0x25, .lba = 3, .count = 4 };
  AhciRequest identify = { .command = 0xec, .length = 510 };
  static const guint64 bad[] = { AHCI_DRIVER_RAM, AHCI_DRIVER_RAM - 1024, AHCI_DRIVER_ABAR,
                                 G_GUINT64_CONSTANT (0x100000000), G_MAXUINT64 - 255 };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      ahci_driver_prepare (d, 0, 0, &read);
      ahci_driver_put_prd (d, 0, 0, 0, bad[i], 2047);
      ahci_driver_issue (d, 0, 1, 0);
      harness_run (d->h);
      g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x20000000, ==, 0x20000000);
      g_assert_cmphex (ahci_port_read (d, 0, 0x20) & 0x80, ==, 0x80);
      recover (f);
    }
  /* Too short, and none at all: overflow. */
  g_assert_cmphex (ahci_driver_request (d, 0, &none) & 0x80, ==, 0x80);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x01000000, ==, 0x01000000);
  recover (f);
  read.length = 2046;
  ahci_driver_request (d, 0, &read);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x01000000, ==, 0x01000000);
  recover (f);
  ahci_driver_request (d, 0, &identify);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x01000000, ==, 0x01000000);
  recover (f);
  /* Longer than needed is fine; count odd bits are ignored; 1026 pieces of 2 bytes too. */
  read.length = 65536;
  g_assert_cmphex (ahci_driver_request (d, 0, &read), ==, GOOD);
  g_assert_cmpuint (harness_read_le (d->h, d->ports[0].clb + 4, 4), ==, 2048);
  check_data (f, 0, 3 * 512, 2048);
  for (guint i = 0; i < 1024; i++)
    {
      guint64 table = d->ports[1].tables;

      harness_write_le (d->h, table + 0x80 + 16 * i, 8, d->ports[0].data + 4096 + 4 * i);
      harness_write_le (d->h, table + 0x80 + 16 * i + 12, 4, (i == 5 ? 1u << 31 : 0) | (i & 1));
    }
  ahci_driver_prepare (d, 0, 0, &read);
  harness_write (
      d->h, d->ports[1].tables,
      (const guint8[]){ 0x27, 0x80, 0x25, 0, 3, 0, 0, 0x40, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0 },
      20);
  harness_write_le (d->h, d->ports[0].clb + 8, 8, d->ports[1].tables);
  ahci_driver_set_n_prds (d, 0, 0, 1024);
  ahci_port_write (d, 0, 0x10, G_MAXUINT32);
  f->disk.n_ops[BLOCK_OP_READ] = 0;
  ahci_driver_issue (d, 0, 1, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, GOOD);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10), ==, 0x21); /* DHRS and DPS */
  g_assert_cmpuint (f->disk.n_ops[BLOCK_OP_READ], ==, 2);  /* too many iovecs for one */
  for (guint i = 0; i < 1024; i++)
    g_assert_cmphex (harness_read_le (d->h, d->ports[0].data + 4096 + 4 * i, 2), ==,
                     f->disk.data[3 * 512 + 2 * i] | f->disk.data[3 * 512 + 2 * i + 1] << 8);
}

static void
test_bad_tables (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  AhciRequest flush = { .command = 0xe7 };

  /* A table, a list, and a receive area outside RAM. */
  ahci_driver_prepare (d, 0, 0, &flush);
  for (guint i = 0; i < 3; i++)
    {
      static const guint64 places[] = { AHCI_DRIVER_RAM - 64, 0xffffffffffffff80, 0xfee00000 };

      harness_write_le (d->h, d->ports[0].clb + 8, 8, places[i] & ~G_GUINT64_CONSTANT (0x7f));
      if (i == 0)
        harness_write_le (d->h, d->ports[0].clb + 8, 8, AHCI_DRIVER_RAM);
      ahci_driver_issue (d, 0, 1, 0);
      harness_run (d->h);
      g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x20000000, ==, 0x20000000);
      recover (f);
    }
  ahci_port_write (d, 0, 0x00, AHCI_DRIVER_RAM);
  ahci_driver_issue (d, 0, 1, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x20000000, ==, 0x20000000);
  recover (f);
  ahci_port_write (d, 0, 0x08, AHCI_DRIVER_RAM);
  ahci_driver_request (d, 0, &flush);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x20000000, ==, 0x20000000);
  recover (f);
  /* FIS lengths and types. */
  for (guint length = 0; length < 32; length++)
    {
      guint32 is;

      ahci_driver_prepare (d, 0, 0, &flush);
      harness_write_le (d->h, d->ports[0].clb, 1, length);
      ahci_driver_issue (d, 0, 1, 0);
      harness_run (d->h);
      is = ahci_port_read (d, 0, 0x10);
      g_assert_cmphex (is & 0x08000000, ==, length >= 5 && length <= 16 ? 0 : 0x08000000);
      if (is & 0x08000000)
        recover (f);
    }
  ahci_driver_prepare (d, 0, 0, &flush);
  harness_write_le (d->h, ahci_driver_table (d, 0, 0), 1, 0x34);
  ahci_driver_issue (d, 0, 1, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x08000000, ==, 0x08000000);
  recover (f);
  g_assert_cmphex (ahci_driver_request (d, 0, &flush), ==, GOOD);
}

/* ---- stop and reset ---- */

static void
start_held (Fixture *f, guint n)
{
  f->disk.hold = TRUE;
  for (guint slot = 0; slot < n; slot++)
    ahci_driver_prepare (&f->d, 0, slot,
                         &(AhciRequest){ .command = slot & 1 ? 0x61 : 0x60,
                                         .queued = TRUE,
                                         .write = slot & 1,
                                         .lba = 2048 + slot * 8,
                                         .count = 8,
                                         .length = 4096,
                                         .at = slot * 4096 });
  ahci_driver_issue (&f->d, 0, (guint32)((G_GUINT64_CONSTANT (1) << n) - 1),
                     (guint32)((G_GUINT64_CONSTANT (1) << n) - 1));
  harness_run (f->d.h);
  g_assert_cmpuint (f->disk.held->len, ==, n);
}

static void
test_stop (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  start_held (f, 5);
  ahci_driver_stop (d, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x18) & 0x8000, ==, 0x8000);
  /* Started again too early: waits for the old ones. */
  ahci_driver_start (d, 0);
  ahci_driver_prepare (d, 0, 9, &(AhciRequest){ .command = 0x25, .count = 1, .length = 512 });
  ahci_driver_issue (d, 0, 1 << 9, 0);
  harness_run (d->h);
  g_assert_cmpuint (f->disk.held->len, ==, 5);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 1 << 9);
  f->disk.hold = FALSE;
  fake_block_finish (&f->disk);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10), ==, 1); /* of the new command only */
  start_held (f, 3);
  ahci_driver_stop (d, 0);
  f->disk.hold = FALSE;
  fake_block_finish (&f->disk);
  g_assert_cmphex (ahci_port_read (d, 0, 0x18) & 0x8001, ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10), ==, 1);
}

static void
test_comreset (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  start_held (f, 8);
  ahci_driver_stop (d, 0);
  ahci_port_write (d, 0, 0x2c, 0x301);
  g_assert_cmphex (ahci_port_read (d, 0, 0x28), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x7f);
  ahci_port_write (d, 0, 0x2c, 0x300);
  g_assert_cmphex (ahci_port_read (d, 0, 0x28), ==, 0x133);
  /* Busy until the back end has let go. */
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x80);
  g_assert_cmphex (ahci_port_read (d, 0, 0x30), ==, 0x04010000);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x00400040, ==, 0x00400040);
  f->disk.hold = FALSE;
  fake_block_finish (&f->disk);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x150);
  g_assert_cmphex (ahci_port_read (d, 0, 0x24), ==, 0x101);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x40, 4), ==, 0x01500034);
  ahci_port_write (d, 0, 0x30, G_MAXUINT32);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x00400040, ==, 0);
  ahci_driver_start (d, 0);
  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==, GOOD);
  /* The Phy off line, and back. */
  ahci_driver_stop (d, 0);
  ahci_port_write (d, 0, 0x2c, 4);
  g_assert_cmphex (ahci_port_read (d, 0, 0x28), ==, 4);
  ahci_port_write (d, 0, 0x2c, 1);
  ahci_port_write (d, 0, 0x2c, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x150);
}

static void
test_hba_reset (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  start_held (f, 8);
  ahci_driver_write (d, 0x04, 0x80000001);
  g_assert_cmphex (ahci_driver_read (d, 0x04), ==, 0x80000001);
  f->disk.hold = FALSE;
  fake_block_finish (&f->disk);
  harness_run (d->h);
  g_assert_cmphex (ahci_driver_read (d, 0x04), ==, 0x80000000);
  g_assert_cmphex (ahci_port_read (d, 0, 0x18), ==, 6);
  g_assert_cmphex (ahci_port_read (d, 0, 0x00), ==, d->ports[0].clb);
  g_assert_cmphex (ahci_port_read (d, 0, 0x14), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x150);
  /* FRE was off: the FIS comes when it is on. */
  harness_write_le (d->h, d->ports[0].fb + 0x40, 4, 0);
  ahci_driver_start (d, 0);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x40, 4), ==, 0x01500034);
  ahci_driver_write (d, 0x04, 0x80000001);
  g_assert_cmphex (ahci_driver_read (d, 0x04), ==, 0x80000000);
}

static void
test_software_reset (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  ahci_driver_prepare (d, 0, 0, &(AhciRequest){ .no_command = TRUE, .control = 4, .clear = TRUE });
  ahci_driver_prepare (d, 0, 1, &(AhciRequest){ .no_command = TRUE });
  harness_write_le (d->h, d->ports[0].fb + 0x40, 4, 0);
  ahci_driver_issue (d, 0, 1, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  ahci_driver_issue (d, 0, 2, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x150);
  g_assert_cmphex (harness_read_le (d->h, d->ports[0].fb + 0x40, 4), ==, 0x01500034);
  /* With queued commands out. */
  start_held (f, 4);
  ahci_driver_prepare (d, 0, 8, &(AhciRequest){ .no_command = TRUE, .control = 4, .clear = TRUE });
  ahci_driver_prepare (d, 0, 9, &(AhciRequest){ .no_command = TRUE });
  ahci_driver_issue (d, 0, 1 << 8, 0);
  harness_run (d->h);
  ahci_driver_issue (d, 0, 1 << 9, 0);
  f->disk.hold = FALSE;
  fake_block_finish (&f->disk);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x150);
  recover (f);
  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==, GOOD);
}

static void
test_bus_master (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  pci_bus_config_write (d->bus, 0, 0xfa, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==, 0x150);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 1);
  ahci_driver_set_bars (d);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  g_assert_cmpuint (f->disk.n_ops[BLOCK_OP_FLUSH], ==, 1);
}

static void
test_hot_plug (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  VmmDevice *second;
  g_autoptr (GError) error = NULL;

  /* Away under load. */
  start_held (f, 6);
  ahci_port_write (d, 0, 0x10, G_MAXUINT32);
  vmm_device_unrealize (f->drive);
  vmm_device_free (f->drive);
  g_assert_cmpuint (f->disk.held->len, ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x28), ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x7f);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x00400040, ==, 0x00400000); /* PRCS */
  g_assert_true (d->h->gsi[20]);
  ahci_driver_issue (d, 0, 1, 0);
  harness_run (d->h);
  ahci_driver_stop (d, 0);
  ahci_port_write (d, 0, 0x30, G_MAXUINT32);
  /* And back. */
  f->disk.hold = FALSE;
  f->drive = ahci_driver_plug (d, &ahci_disk_device_ops, 0, &f->disk.parent);
  g_assert_cmphex (ahci_port_read (d, 0, 0x10) & 0x40, ==, 0x40); /* PCS */
  g_assert_cmphex (ahci_port_read (d, 0, 0x28), ==, 0x133);
  ahci_driver_start (d, 0);
  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==, GOOD);
  /* Two drives cannot share a port. */
  second = vmm_device_new (&ahci_disk_device_ops, "disk.two");
  g_assert_true (vmm_device_set_pointer (second, "controller", d->controller, NULL));
  g_assert_true (vmm_device_set_pointer (second, "backend", &f->disk.parent, NULL));
  g_assert_false (vmm_device_realize (second, d->h->machine, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  vmm_device_free (second);
}

/* ---- state ---- */

static void
test_save_load (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  g_autoptr (GBytes) state = NULL;

  g_assert_cmphex (ahci_driver_request (d, 0, &(AhciRequest){ .command = 0xe7 }), ==, GOOD);
  harness_check_save_load (d->h);
  /* Under way: all of it is done before the state is written. */
  start_held (f, 8);
  harness_check_save_load (d->h);
  g_assert_cmpuint (f->disk.held->len, ==, 0);
  g_assert_cmphex (ahci_port_read (d, 0, 0x34), ==, 0);
  /* Issued and not fetched: runs in the machine that it is loaded into. */
  ahci_driver_prepare (d, 0, 3,
                       &(AhciRequest){ .command = 0x25, .lba = 5, .count = 1, .length = 512 });
  vmm_machine_quiesce_devices (d->h->machine);
  ahci_driver_issue (d, 0, 1 << 3, 0);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 1 << 3);
  state = harness_save (d->h);
  g_assert_true (harness_load (d->h, state, NULL));
  f->disk.hold = FALSE;
  vmm_machine_resume_devices (d->h->machine);
  harness_run (d->h);
  g_assert_cmphex (ahci_port_read (d, 0, 0x38), ==, 0);
  check_data (f, 0, 5 * 512, 512);
  vmm_machine_reset_devices (d->h->machine, VMM_RESET_COLD);
  ahci_driver_set_bars (d);
  g_assert_cmphex (ahci_port_read (d, 0, 0x20), ==, 0x150);
  g_assert_cmphex (ahci_port_read (d, 0, 0x18), ==, 6);
}

static void
test_storm_load (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) state = harness_save (f->d.h);

  harness_storm_load (f->d.h, state, 7, 400);
  harness_run (f->d.h);
}

static void
test_reset_in_flight (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;

  for (guint round = 0; round < 3; round++)
    {
      start_held (f, 16);
      vmm_machine_reset_devices (d->h->machine, round & 1 ? VMM_RESET_WARM : VMM_RESET_COLD);
      g_assert_cmpuint (f->disk.held->len, ==, 0);
      ahci_driver_set_bars (d);
      ahci_driver_start (d, 0);
    }
  /* And the end of the machine with requests under way. */
  start_held (f, 16);
}

/* Random registers, tables and ends of requests; then a driver comes and all is well. */
static void
test_storm (Fixture *f, gconstpointer data)
{
  AhciDriver *d = &f->d;
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  static const guint8 opcodes[] = { 0x25, 0x35, 0x60, 0x61, 0xec, 0xe7, 0x06, 0xc8, 0x2f, 0x42 };

  for (guint i = 0; i < 30000; i++)
    {
      guint slot = g_rand_int_range (rand, 0, 32);

      switch (g_rand_int_range (rand, 0, 9))
        {
        case 0:
          ahci_driver_write (d, 4 * g_rand_int_range (rand, 0, 0x60), g_rand_int (rand));
          break;
        case 1:
          harness_mmio_write (d->h, AHCI_DRIVER_ABAR + g_rand_int_range (rand, 0x100, 0x200),
                              1u << g_rand_int_range (rand, 0, 3), g_rand_int (rand));
          break;
        case 2:
          harness_write_le (d->h, ahci_driver_table (d, 0, slot) + g_rand_int_range (rand, 0, 0xc0),
                            4, g_rand_int (rand));
          break;
        case 3:
        case 4:
          ahci_driver_prepare (d, 0, slot,
                               &(AhciRequest){ .command = opcodes[g_rand_int_range (rand, 0, 10)],
                                               .lba = g_rand_int_range (rand, 0, SECTORS + 8),
                                               .features = 1,
                                               .count = g_rand_int_range (rand, 0, 9),
                                               .queued = g_rand_boolean (rand),
                                               .length = g_rand_int_range (rand, 0, 20) * 512,
                                               .at = slot * 4096 });
          break;
        case 5:
          ahci_driver_issue (d, 0, g_rand_int (rand), g_rand_int (rand));
          break;
        case 6:
          f->disk.hold = g_rand_boolean (rand);
          f->disk.result = g_rand_int_range (rand, 0, 20) == 0 ? -EIO : 0;
          if (!f->disk.hold)
            fake_block_finish (&f->disk);
          break;
        case 7:
          if (g_rand_int_range (rand, 0, 4) == 0)
            ahci_driver_start (d, 0);
          break;
        default:
          harness_run (d->h);
          break;
        }
    }
  f->disk.hold = FALSE;
  f->disk.result = 0;
  fake_block_finish (&f->disk);
  harness_run (d->h);
  ahci_driver_write (d, 0x04, 0x80000001);
  harness_run (d->h);
  ahci_driver_start (d, 0);
  g_assert_cmphex (
      ahci_driver_request (d, 0, &(AhciRequest){ .command = 0x25, .count = 1, .length = 512 }), ==,
      GOOD);
  check_data (f, 0, 0, 512);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, up) g_test_add ("/storage/ahci/" name, Fixture, NULL, up, func, tear_down)
  ADD ("reset-values", test_reset_values, set_up_empty);
  ADD ("register-sizes", test_register_sizes, set_up_empty);
  ADD ("index-data", test_index_data, set_up_empty);
  ADD ("interrupts", test_interrupts, set_up);
  ADD ("identify", test_identify, set_up);
  ADD ("transfers", test_transfers, set_up);
  ADD ("write-cache", test_write_cache, set_up);
  ADD ("small-commands", test_small_commands, set_up);
  ADD ("trim", test_trim, set_up);
  ADD ("readonly", test_readonly, set_up_readonly);
  ADD ("4k", test_4k, set_up_4k);
  ADD ("queued", test_queued, set_up);
  ADD ("queued-error", test_queued_error, set_up);
  ADD ("backend-errors", test_backend_errors, set_up);
  ADD ("bad-prds", test_bad_prds, set_up);
  ADD ("bad-tables", test_bad_tables, set_up);
  ADD ("stop", test_stop, set_up);
  ADD ("comreset", test_comreset, set_up);
  ADD ("hba-reset", test_hba_reset, set_up);
  ADD ("software-reset", test_software_reset, set_up);
  ADD ("bus-master", test_bus_master, set_up);
  ADD ("hot-plug", test_hot_plug, set_up);
  ADD ("save-load", test_save_load, set_up);
  ADD ("storm-load", test_storm_load, set_up);
  ADD ("reset-in-flight", test_reset_in_flight, set_up);
  ADD ("storm", test_storm, set_up);
  return g_test_run ();
}
