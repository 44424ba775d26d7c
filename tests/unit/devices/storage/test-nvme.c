/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The NVMe controller as its guest sees it: registers, queues, commands, events, life cycle. */
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "nvme-driver.h"

typedef struct
{
  NvmeDriver d;
  NvmeDisk *disks[4];
} Fixture;

/* data: number of queue pairs, as a string; "0" puts all on the machine's worker. */
static void
set_up (Fixture *f, gconstpointer data)
{
  guint n = data != NULL ? (guint)g_ascii_strtoull (data, NULL, 10) : 4;

  memset (f, 0, sizeof *f);
  for (guint i = 0; i < 2; i++)
    f->disks[i] = nvme_disk_new ();
  f->disks[1]->block = 4096;
  nvme_driver_init (&f->d);
  nvme_driver_plug (&f->d, f->disks, 2, n != 0 ? n : 4, n != 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  nvme_driver_finish (&f->d);
  for (guint i = 0; i < G_N_ELEMENTS (f->disks); i++)
    nvme_disk_free (f->disks[i]);
}

static void
test_registers (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  static const guint readable[] = { 0x00, 0x04, 0x08, 0x0c, 0x10, 0x14,
                                    0x1c, 0x24, 0x28, 0x2c, 0x30, 0x34 };

  g_assert_cmphex (nvme_driver_read (d, 0x00), ==, 0x3c0103ff);
  g_assert_cmphex (nvme_driver_read (d, 0x04), ==, 0x00400020);
  g_assert_cmphex (nvme_driver_read (d, 0x08), ==, 0x00010400);
  for (guint i = 3; i < G_N_ELEMENTS (readable); i++)
    g_assert_cmphex (nvme_driver_read (d, readable[i]), ==, 0);
  /* All at every size; 8 bytes are two halves, less are cut out. */
  nvme_driver_write (d, 0x28, 0xffffffff);
  nvme_driver_write (d, 0x2c, 0x12345678);
  g_assert_cmphex (harness_mmio_read (d->h, NVME_TEST_BAR + 0x28, 8), ==, 0x12345678fffff000);
  g_assert_cmphex (harness_mmio_read (d->h, NVME_TEST_BAR + 0x2c, 2), ==, 0x5678);
  g_assert_cmphex (harness_mmio_read (d->h, NVME_TEST_BAR + 0x2e, 1), ==, 0x34);
  harness_mmio_write (d->h, NVME_TEST_BAR + 0x30, 8, G_GUINT64_CONSTANT (0xabcdef0123456789));
  g_assert_cmphex (nvme_driver_read (d, 0x30), ==, 0x23456000);
  g_assert_cmphex (nvme_driver_read (d, 0x34), ==, 0xabcdef01);
  nvme_driver_write (d, 0x24, 0xffffffff);
  g_assert_cmphex (nvme_driver_read (d, 0x24), ==, 0x0fff0fff);
  nvme_driver_write (d, 0x0c, 0xf0);
  g_assert_cmphex (nvme_driver_read (d, 0x10), ==, 0xf0);
  nvme_driver_write (d, 0x10, 0x30);
  g_assert_cmphex (nvme_driver_read (d, 0x0c), ==, 0xc0);
  /* Read-only ones, small writes, the space between. */
  nvme_driver_write (d, 0x00, 0);
  nvme_driver_write (d, 0x08, 0);
  nvme_driver_write (d, 0x1c, 0xff);
  harness_mmio_write (d->h, NVME_TEST_BAR + 0x24, 1, 0);
  g_assert_cmphex (nvme_driver_read (d, 0x00), ==, 0x3c0103ff);
  g_assert_cmphex (nvme_driver_read (d, 0x1c), ==, 0);
  g_assert_cmphex (nvme_driver_read (d, 0x24), ==, 0x0fff0fff);
  for (guint offset = 0; offset < 0x2000; offset += 4)
    {
      (void)harness_mmio_read (d->h, NVME_TEST_BAR + offset, 4);
      if (offset != 0x14)
        nvme_driver_write (d, offset, 0xffffffff);
    }
  vmm_machine_reset_devices (d->h->machine, VMM_RESET_COLD);
  nvme_driver_set_bars (d);
  for (guint i = 3; i < G_N_ELEMENTS (readable); i++)
    g_assert_cmphex (nvme_driver_read (d, readable[i]), ==, 0);
}

static void
test_enable (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;

  nvme_driver_enable (d);
  /* The addresses are latched: changing them now changes nothing. */
  nvme_driver_write (d, 0x28, 0);
  g_assert_cmphex (nvme_driver_admin (d, 6, 0, d->arena, 1, 0, NULL), ==, 0);
  nvme_driver_disable (d);

  /* What cannot be: queues of one entry, outside RAM, of another command set. */
  for (guint i = 0; i < 5; i++)
    {
      nvme_driver_write (d, 0x24, i == 0 ? 0x1f0000 : i == 1 ? 0x1f : 0x1f001f);
      harness_mmio_write (d->h, NVME_TEST_BAR + 0x28, 8,
                          i == 2 ? NVME_TEST_RAM - 64 : d->sq[0].base);
      harness_mmio_write (d->h, NVME_TEST_BAR + 0x30, 8,
                          i == 3 ? ~G_GUINT64_CONSTANT (0xfff) : d->cq[0].base);
      nvme_driver_write (d, 0x14, i == 4 ? 0x460011 : 0x460001);
      harness_run (d->h);
      g_assert_cmphex (nvme_driver_read (d, 0x1c), ==, i == 2 ? 1 : 2);
      nvme_driver_disable (d);
    }
  nvme_driver_enable (d);
  g_assert_cmphex (nvme_driver_admin (d, 6, 0, d->arena, 1, 0, NULL), ==, 0);
}

static void
test_identify (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  guint8 page[4096];

  nvme_driver_enable (d);
  g_assert_cmphex (nvme_driver_admin (d, 6, 0, d->arena, 1, 0, NULL), ==, 0);
  harness_read (d->h, d->arena, page, sizeof page);
  g_assert_cmpmem (page + 4, 20, "ROOM-0001           ", 20);
  g_assert_cmphex (page[77], ==, 8);
  g_assert_cmphex (page[512], ==, 0x66);
  g_assert_cmphex (page[513], ==, 0x44);
  g_assert_cmpstr ((const char *)page + 768, ==,
                   "nqn.2014-08.org.nvmexpress:uuid:01234567-89ab-cdef-0123-456789abcdef");
  /* Namespaces: 512 and 4096 bytes. */
  g_assert_cmphex (nvme_driver_admin (d, 6, 1, d->arena, 0, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 8), ==, NVME_TEST_DISK / 512);
  g_assert_cmphex (harness_read_le (d->h, d->arena + 128, 4), ==, 9 << 16);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 64, 2), ==, 7);
  g_assert_cmphex (nvme_driver_admin (d, 6, 2, d->arena, 0, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 8), ==, NVME_TEST_DISK / 4096);
  g_assert_cmphex (harness_read_le (d->h, d->arena + 128, 4), ==, 12 << 16);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 64, 2), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 6, 3, d->arena, 0, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 8), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 6, 0, d->arena, 0, 0, NULL), ==, 0x0b);
  g_assert_cmphex (nvme_driver_admin (d, 6, 0xffffffff, d->arena, 0, 0, NULL), ==, 0x0b);
  /* Lists and descriptors. */
  g_assert_cmphex (nvme_driver_admin (d, 6, 0, d->arena, 2, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 4), ==, 1);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 4, 4), ==, 2);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 8, 4), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 6, 1, d->arena, 2, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 4), ==, 2);
  g_assert_cmphex (nvme_driver_admin (d, 6, 0xfffffffe, d->arena, 2, 0, NULL), ==, 0x0b);
  g_assert_cmphex (nvme_driver_admin (d, 6, 2, d->arena, 3, 0, NULL), ==, 0);
  g_assert_cmphex (harness_read_le (d->h, d->arena, 4), ==, 0x1003);
  g_assert_cmphex (harness_read_le (d->h, d->arena + 4, 8), ==,
                   G_GUINT64_CONSTANT (0x1111111111111111));
  g_assert_cmphex (nvme_driver_admin (d, 6, 9, d->arena, 3, 0, NULL), ==, 0x0b);
  g_assert_cmphex (nvme_driver_admin (d, 6, 1, d->arena, 0x77, 0, NULL), ==, 0x02);
  /* Across two pages, then outside RAM. */
  NvmeTestCommand split = {
    .opcode = 6, .prp1 = d->arena + 4092, .prp2 = d->arena + 8192, .dw = { 1 }
  };
  g_assert_cmphex (nvme_driver_do (d, 0, &split, NULL), ==, 0);
  g_assert_cmphex (harness_read_le (d->h, d->arena + 8192, 2), ==, 0x4f52);
  split.prp2 = NVME_TEST_RAM;
  g_assert_cmphex (nvme_driver_do (d, 0, &split, NULL), ==, 0x04);
  split.prp2 = d->arena + 8;
  g_assert_cmphex (nvme_driver_do (d, 0, &split, NULL), ==, 0x13);
  /* Format NVM and friends. */
  for (guint opcode = 0x0d; opcode < 0x100; opcode++)
    if (opcode != 0x7c)
      g_assert_cmphex (nvme_driver_admin (d, (guint8)opcode, 1, d->arena, 0, 0, NULL), ==, 0x01);
}

static void
test_queues (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  guint32 dw0;

  nvme_driver_enable_msix (d);
  nvme_driver_enable (d);
  g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, 7, 0x00ff00ff, &dw0), ==, 0);
  g_assert_cmphex (dw0, ==, 0x00030003);
  g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, 7, 0xffff, NULL), ==, 0x02);
  /* Creating what cannot be. */
  guint64 base = d->arena;
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base, 31 << 16, 1, NULL), ==, 0x101);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base, 31 << 16 | 5, 1, NULL), ==, 0x101);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base, 1, 1, NULL), ==, 0x102);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base, 1024 << 16 | 1, 1, NULL), ==, 0x102);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base, 31 << 16 | 1, 0, NULL), ==, 0x02);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base + 8, 31 << 16 | 1, 1, NULL), ==, 0x13);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, NVME_TEST_RAM, 31 << 16 | 1, 1, NULL), ==, 0x13);
  g_assert_cmphex (
      nvme_driver_admin (d, 5, 0, ~G_GUINT64_CONSTANT (0xfff), 1023u << 16 | 1, 1, NULL), ==, 0x13);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base, 31 << 16 | 1, 5 << 16 | 3, NULL), ==, 0x108);
  g_assert_cmphex (nvme_driver_admin (d, 1, 0, base, 31 << 16 | 1, 1 << 16 | 1, NULL), ==, 0x100);
  g_assert_cmphex (nvme_driver_admin (d, 1, 0, base, 31 << 16 | 1, 9 << 16 | 1, NULL), ==, 0x101);
  nvme_driver_make_queue (d, 1, 32);
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, base, 31 << 16 | 1, 1, NULL), ==, 0x101);
  g_assert_cmphex (nvme_driver_admin (d, 1, 0, base, 31 << 16 | 1, 1 << 16 | 1, NULL), ==, 0x101);
  g_assert_cmphex (nvme_driver_admin (d, 1, 0, base, 31 << 16, 1 << 16 | 1, NULL), ==, 0x101);
  g_assert_cmphex (nvme_driver_admin (d, 1, 0, base + 64, 31 << 16 | 2, 1 << 16 | 1, NULL), ==,
                   0x13);
  g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, 7, 0, NULL), ==, 0x0c);
  /* Two submission queues share a completion queue. */
  d->sq[2] = (NvmeTestQueue){ .size = 8, .base = d->arena + 0x8000 };
  g_assert_cmphex (nvme_driver_admin (d, 1, 0, d->sq[2].base, 7 << 16 | 2, 1 << 16 | 1, NULL), ==,
                   0);
  for (guint i = 0; i < 20; i++)
    {
      NvmeTestCommand flush = { .opcode = 0, .cid = i, .nsid = 1 };
      NvmeTestEntry entry;

      nvme_driver_put (d, 1 + i % 2, &flush);
      nvme_driver_ring (d, 1 + i % 2);
      g_assert_true (nvme_driver_take (d, 1, &entry));
      g_assert_cmpuint (entry.sqid, ==, 1 + i % 2);
      g_assert_cmpuint (entry.cid, ==, i);
      g_assert_cmphex (entry.status, ==, 0);
    }
  /* A completion queue that is in use, twice; then in order. */
  g_assert_cmphex (nvme_driver_admin (d, 4, 0, 0, 1, 0, NULL), ==, 0x10c);
  g_assert_cmphex (nvme_driver_admin (d, 0, 0, 0, 1, 0, NULL), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 4, 0, 0, 1, 0, NULL), ==, 0x10c);
  g_assert_cmphex (nvme_driver_admin (d, 0, 0, 0, 2, 0, NULL), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 0, 0, 0, 2, 0, NULL), ==, 0x101);
  g_assert_cmphex (nvme_driver_admin (d, 4, 0, 0, 1, 0, NULL), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 4, 0, 0, 1, 0, NULL), ==, 0x101);
  g_assert_cmphex (nvme_driver_admin (d, 4, 0, 0, 0, 0, NULL), ==, 0x101);
  nvme_driver_make_queue (d, 1, 2);
  for (guint i = 0; i < 9; i++)
    g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, i, 1, d->arena), ==, 0);
}

static void
test_read_write (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  guint8 buffer[8192], zeroes[4096] = { 0 };

  nvme_driver_start (d, 4);
  /* Half a page into memory, across a page. */
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 5, 8, d->arena + 2048), ==, 0);
  harness_read (d->h, d->arena + 2048, buffer, 4096);
  g_assert_cmpmem (buffer, 4096, f->disks[0]->data + 5 * 512, 4096);
  for (guint i = 0; i < sizeof buffer; i++)
    buffer[i] = i ^ i >> 8;
  harness_write (d->h, d->arena, buffer, sizeof buffer);
  g_assert_cmphex (nvme_driver_rw (d, 2, 1, 2, 254, 2, d->arena), ==, 0);
  g_assert_cmpmem (f->disks[1]->data + 254 * 4096, 8192, buffer, 8192);
  g_assert_cmpuint (harness_count_msi (d->h, NVME_TEST_MSI_DATA + 1), ==, 1);
  g_assert_cmpuint (harness_count_msi (d->h, NVME_TEST_MSI_DATA + 2), ==, 1);
  /* FUA, flush of one and of all, write zeroes, with and without deallocation. */
  NvmeTestCommand fua = { .opcode = 1, .nsid = 1, .prp1 = d->arena, .dw = { 0, 0, 1u << 30 } };
  g_assert_cmphex (nvme_driver_do (d, 1, &fua, NULL), ==, 0);
  g_assert_cmpuint (f->disks[0]->n_fua, ==, 1);
  g_assert_cmphex (nvme_driver_rw (d, 1, 0, 2, 0, 1, 0), ==, 0);
  g_assert_cmphex (nvme_driver_rw (d, 1, 0, 0xffffffff, 0, 1, 0), ==, 0);
  g_assert_cmpuint (f->disks[0]->n_flushes, ==, 1);
  g_assert_cmpuint (f->disks[1]->n_flushes, ==, 2);
  NvmeTestCommand zero = { .opcode = 8, .nsid = 2, .dw = { 254, 0, 0 } };
  g_assert_cmphex (nvme_driver_do (d, 1, &zero, NULL), ==, 0);
  g_assert_cmpmem (f->disks[1]->data + 254 * 4096, 4096, zeroes, 4096);
  g_assert_cmpuint (f->disks[1]->n_unmaps, ==, 0);
  zero.dw[2] = 1u << 25 | 1;
  g_assert_cmphex (nvme_driver_do (d, 1, &zero, NULL), ==, 0);
  g_assert_cmpuint (f->disks[1]->n_unmaps, ==, 1);
  /* Write cache off: each write goes through. */
  g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, 6, 0, NULL), ==, 0);
  g_assert_cmphex (nvme_driver_rw (d, 1, 1, 1, 0, 1, d->arena), ==, 0);
  g_assert_cmpuint (f->disks[0]->n_fua, ==, 2);
  /* Compare. */
  harness_write (d->h, d->arena, f->disks[0]->data, 4096);
  g_assert_cmphex (nvme_driver_rw (d, 1, 5, 1, 0, 8, d->arena), ==, 0);
  harness_write_le (d->h, d->arena + 4095, 1, 0xee);
  g_assert_cmphex (nvme_driver_rw (d, 1, 5, 1, 0, 8, d->arena), ==, 0x285);
}

static void
test_bad_commands (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeTestCommand c = { .opcode = 2, .nsid = 1, .prp1 = d->arena };

  nvme_driver_start (d, 1);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, NVME_TEST_DISK / 512, 1, d->arena), ==, 0x80);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, NVME_TEST_DISK / 512 - 1, 2, d->arena), ==, 0x80);
  g_assert_cmphex (nvme_driver_rw (d, 1, 1, 1, G_MAXUINT64, 1, d->arena), ==, 0x80);
  g_assert_cmphex (nvme_driver_rw (d, 1, 8, 1, G_MAXUINT64 - 5, 0x10000, 0), ==, 0x80);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 0, 0, 1, d->arena), ==, 0x0b);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 3, 0, 1, d->arena), ==, 0x02);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 33, 0, 1, d->arena), ==, 0x0b);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 0xffffffff, 0, 1, d->arena), ==, 0x0b);
  g_assert_cmphex (nvme_driver_rw (d, 1, 0x80, 1, 0, 1, d->arena), ==, 0x01);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 2, 0, 257, d->arena), ==, 0x80);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, NVME_TEST_RAM), ==, 0x04);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, NVME_TEST_RAM - 256), ==, 0x04);
  g_assert_cmphex (nvme_driver_rw (d, 1, 1, 1, 0, 1, ~G_GUINT64_CONSTANT (3)), ==, 0x04);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, NVME_TEST_BAR), ==, 0x04);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, d->arena + 1), ==, 0x13);
  c.flags = 1;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x02);
  c.flags = 0xc0;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x02);
  c.flags = 0;
  c.dw[2] = 1u << 26;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x02);
  /* More than MDTS. */
  c = (NvmeTestCommand){ .opcode = 2, .nsid = 2, .prp1 = d->arena, .dw = { 0, 0, 256 } };
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x80);
}

static void
test_errors (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeTestCommand c = { .opcode = 2, .nsid = 1, .cid = 77, .prp1 = d->arena, .dw = { 12 } };
  NvmeTestEntry entry;

  nvme_driver_start (d, 1);
  f->disks[0]->result = -EIO;
  nvme_driver_put (d, 1, &c);
  nvme_driver_ring (d, 1);
  g_assert_true (nvme_driver_take (d, 1, &entry));
  g_assert_cmphex (entry.status, ==, 0x281);
  g_assert_false (entry.dnr);
  g_assert_true (entry.more);
  g_assert_cmphex (nvme_driver_rw (d, 1, 1, 1, 0, 1, d->arena), ==, 0x280);
  g_assert_cmphex (nvme_driver_rw (d, 1, 0, 1, 0, 1, d->arena), ==, 0x06);
  f->disks[0]->result = -ENOSPC;
  g_assert_cmphex (nvme_driver_rw (d, 1, 1, 1, 0, 1, d->arena), ==, 0x81);
  f->disks[0]->result = 0;
  /* The error log: newest first. SMART counts. */
  g_assert_cmphex (nvme_driver_admin (d, 2, 0, d->arena, 255 << 16 | 1, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 8), ==, 4);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 3 * 64, 8), ==, 1);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 3 * 64 + 8, 2), ==, 1);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 3 * 64 + 10, 2), ==, 77);
  g_assert_cmphex (harness_read_le (d->h, d->arena + 3 * 64 + 12, 2), ==, 0x281 << 1);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 3 * 64 + 16, 8), ==, 12);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 4 * 64, 8), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 2, 0xffffffff, d->arena, 127 << 16 | 2, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 1), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 1, 2), ==, 313);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 32, 8), ==, 1);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 64, 8), ==, 1);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 80, 8), ==, 2);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 160, 8), ==, 2);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 176, 8), ==, 4);
  /* Log pages that are not, offsets, lengths. */
  g_assert_cmphex (nvme_driver_admin (d, 2, 1, d->arena, 127 << 16 | 2, 0, NULL), ==, 0x02);
  g_assert_cmphex (nvme_driver_admin (d, 2, 0, d->arena, 1 << 16 | 0xc0, 0, NULL), ==, 0x109);
  g_assert_cmphex (nvme_driver_admin (d, 2, 0, d->arena, 1, 0xffff, NULL), ==, 0x02);
  NvmeTestCommand log = { .opcode = 2, .prp1 = d->arena, .dw = { 1 << 16 | 3, 0, 8 } };
  g_assert_cmphex (nvme_driver_do (d, 0, &log, NULL), ==, 0);
  g_assert_cmphex (harness_read_le (d->h, d->arena, 4), ==, 0x20302e31);
  log.dw[3] = 1;
  g_assert_cmphex (nvme_driver_do (d, 0, &log, NULL), ==, 0x02);
  g_assert_cmphex (nvme_driver_admin (d, 2, 0, d->arena, 1023 << 16 | 5, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 1024 + 4, 4), ==, 3);
}

static void
put_prp_list (Fixture *f, guint64 list, guint n, guint64 first)
{
  for (guint i = 0; i < n; i++)
    harness_write_le (f->d.h, list + i * 8, 8, first + i * 4096);
}

static void
test_prp_lists (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  guint64 list = d->arena + 0xf0000, pages = d->arena;
  NvmeTestCommand c = { .opcode = 2, .nsid = 2, .prp1 = pages, .prp2 = list, .dw = { 0, 0, 9 } };
  g_autofree guint8 *buffer = g_malloc (0x100000);

  nvme_driver_start (d, 1);
  /* Ten pages, in reverse order. */
  for (guint i = 0; i < 9; i++)
    harness_write_le (d->h, list + i * 8, 8, pages + (9 - i) * 4096);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0);
  harness_read (d->h, pages + 9 * 4096, buffer, 4096);
  g_assert_cmpmem (buffer, 4096, f->disks[1]->data + 4096, 4096);
  harness_read (d->h, pages + 1 * 4096, buffer, 4096);
  g_assert_cmpmem (buffer, 4096, f->disks[1]->data + 9 * 4096, 4096);
  /* The list begins at the end of a page: its last entry leads to the next list. */
  c.prp2 = list + 4096 - 24;
  put_prp_list (f, c.prp2, 2, pages + 4096);
  harness_write_le (d->h, list + 4096 - 8, 8, list + 8192);
  put_prp_list (f, list + 8192, 7, pages + 3 * 4096);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0);
  harness_read (d->h, pages, buffer, 10 * 4096);
  g_assert_cmpmem (buffer, 10 * 4096, f->disks[1]->data, 10 * 4096);
  /* A list that leads to its own last entry would not end: it must begin with a page. */
  c.prp2 = list + 4096 - 8;
  harness_write_le (d->h, c.prp2, 8, c.prp2);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x13);
  harness_write_le (d->h, c.prp2, 8, NVME_TEST_RAM);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x04);
  /* Entries with an offset, outside RAM, at the end of addresses; the list itself. */
  c.prp2 = list;
  put_prp_list (f, list, 9, pages + 4096);
  harness_write_le (d->h, list + 32, 8, pages + 8);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x13);
  harness_write_le (d->h, list + 32, 8, NVME_TEST_RAM);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x04);
  harness_write_le (d->h, list + 32, 8, ~G_GUINT64_CONSTANT (0xfff));
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x04);
  c.prp2 = list + 4;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x13);
  c.prp2 = NVME_TEST_RAM;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x04);
  /* As much as MDTS allows: the whole disk into pages that are all the same. */
  for (guint i = 0; i < 255; i++)
    harness_write_le (d->h, list + i * 8, 8, pages + (i % 2) * 8192);
  c.prp2 = list;
  c.dw[2] = 255;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0);
}

static void
put_sgl (Fixture *f, guint64 at, guint64 address, guint32 length, guint8 type)
{
  harness_write_le (f->d.h, at, 8, address);
  harness_write_le (f->d.h, at + 8, 8, length | (guint64)type << 56);
}

static guint16
do_sgl (Fixture *f, guint64 address, guint32 length, guint8 type)
{
  NvmeTestCommand c = { .opcode = 2, .flags = 0x40, .nsid = 1, .prp1 = address, .dw = { 0, 0, 7 } };

  c.prp2 = length | (guint64)type << 56;
  return nvme_driver_do (&f->d, 1, &c, NULL);
}

static void
test_sgl (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  guint64 list = d->arena + 0x80000;
  guint8 buffer[4096];

  nvme_driver_start (d, 1);
  g_assert_cmphex (do_sgl (f, d->arena + 3, 4096, 0x00), ==, 0);
  harness_read (d->h, d->arena + 3, buffer, sizeof buffer);
  g_assert_cmpmem (buffer, 4096, f->disks[0]->data, 4096);
  g_assert_cmphex (do_sgl (f, d->arena, 4095, 0x00), ==, 0x0f);
  g_assert_cmphex (do_sgl (f, d->arena, 4097, 0x00), ==, 0x0f);
  g_assert_cmphex (do_sgl (f, d->arena, 4096, 0x10), ==, 0x11);
  g_assert_cmphex (do_sgl (f, d->arena, 4096, 0x01), ==, 0x11);
  g_assert_cmphex (do_sgl (f, d->arena, 4096, 0x40), ==, 0x11);
  g_assert_cmphex (do_sgl (f, NVME_TEST_RAM - 8, 4096, 0x00), ==, 0x04);
  g_assert_cmphex (do_sgl (f, G_MAXUINT64 - 8, 4096, 0x00), ==, 0x0e);
  /* A segment that leads to the last one. */
  put_sgl (f, list, d->arena, 1000, 0x00);
  put_sgl (f, list + 16, d->arena + 50000, 0, 0x00);
  put_sgl (f, list + 32, list + 4096, 32, 0x30);
  put_sgl (f, list + 4096, d->arena + 8192, 3000, 0x00);
  put_sgl (f, list + 4112, d->arena + 12288, 96, 0x00);
  g_assert_cmphex (do_sgl (f, list, 48, 0x20), ==, 0);
  harness_read (d->h, d->arena + 8192, buffer, 3000);
  g_assert_cmpmem (buffer, 3000, f->disks[0]->data + 1000, 3000);
  /* Too short, too long, odd lengths, wrong ends, segments in the middle. */
  put_sgl (f, list + 4112, d->arena + 12288, 95, 0x00);
  g_assert_cmphex (do_sgl (f, list, 48, 0x20), ==, 0x0f);
  put_sgl (f, list + 4112, d->arena + 12288, 97, 0x00);
  g_assert_cmphex (do_sgl (f, list, 48, 0x20), ==, 0x0f);
  g_assert_cmphex (do_sgl (f, list, 47, 0x20), ==, 0x0d);
  g_assert_cmphex (do_sgl (f, list, 0, 0x30), ==, 0x0d);
  g_assert_cmphex (do_sgl (f, list, 16, 0x20), ==, 0x0d);
  g_assert_cmphex (do_sgl (f, list, 48, 0x30), ==, 0x0d);
  put_sgl (f, list + 16, list + 4096, 32, 0x20);
  g_assert_cmphex (do_sgl (f, list, 48, 0x20), ==, 0x0d);
  g_assert_cmphex (do_sgl (f, list, 0xfffffff0, 0x30), ==, 0x0e);
  g_assert_cmphex (do_sgl (f, G_MAXUINT64 - 15, 32, 0x30), ==, 0x0e);
  g_assert_cmphex (do_sgl (f, NVME_TEST_RAM, 32, 0x30), ==, 0x04);
  /* A loop: a segment whose only descriptor is itself. */
  put_sgl (f, list, list, 16, 0x20);
  g_assert_cmphex (do_sgl (f, list, 16, 0x20), ==, 0x0e);
  /* Admin commands take no SGL. */
  NvmeTestCommand identify = {
    .opcode = 6, .flags = 0x40, .prp1 = d->arena, .prp2 = 4096, .dw = { 1 }
  };
  g_assert_cmphex (nvme_driver_do (d, 0, &identify, NULL), ==, 0x02);
}

static void
put_range (Fixture *f, guint i, guint64 lba, guint32 n)
{
  harness_write_le (f->d.h, f->d.arena + 16 * i, 8, (guint64)n << 32);
  harness_write_le (f->d.h, f->d.arena + 16 * i + 8, 8, lba);
}

static void
test_deallocate (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeTestCommand c = { .opcode = 9, .nsid = 1, .prp1 = d->arena, .dw = { 2, 4 } };

  nvme_driver_start (d, 1);
  put_range (f, 0, 8, 8);
  put_range (f, 1, 0, 0);
  put_range (f, 2, 100, 2);
  for (guint hold = 0; hold < 2; hold++)
    {
      NvmeTestEntry entry;

      f->disks[0]->hold = hold;
      memset (f->disks[0]->data, 0xee, NVME_TEST_DISK);
      nvme_driver_put (d, 1, &c);
      nvme_driver_ring (d, 1);
      nvme_disk_finish (f->disks[0]);
      g_assert_true (nvme_driver_take (d, 1, &entry));
      g_assert_cmphex (entry.status, ==, 0);
      for (guint s = 0; s < 128; s++)
        g_assert_cmphex (f->disks[0]->data[s * 512 + 5], ==,
                         (s >= 8 && s < 16) || s == 100 || s == 101 ? 0 : 0xee);
    }
  f->disks[0]->hold = FALSE;
  g_assert_cmpuint (f->disks[0]->n_discards, ==, 4);
  /* One bad range: none is acted on. Not a deallocation: nothing to do. */
  put_range (f, 2, NVME_TEST_DISK / 512 - 1, 2);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x80);
  put_range (f, 2, G_MAXUINT64, 2);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x80);
  put_range (f, 2, 0, 0);
  c.dw[1] = 3;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0);
  c.dw[1] = 4;
  c.prp1 = NVME_TEST_RAM;
  c.prp2 = 0;
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0x04);
  g_assert_cmpuint (f->disks[0]->n_discards, ==, 4);
  c.prp1 = d->arena;
  c.dw[0] = 255;
  for (guint i = 0; i < 256; i++)
    put_range (f, i, i, 1);
  g_assert_cmphex (nvme_driver_do (d, 1, &c, NULL), ==, 0);
  g_assert_cmpuint (f->disks[0]->n_discards, ==, 4 + 256);
}

static void
test_readonly (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeNamespaceConfig config = { .nsid = 7 };

  f->disks[2] = nvme_disk_new ();
  f->disks[2]->readonly = TRUE;
  config.backend = &f->disks[2]->parent;
  g_assert_true (nvme_add_namespace (d->device, &config, NULL));
  nvme_driver_start (d, 1);
  g_assert_cmphex (nvme_driver_admin (d, 6, 7, d->arena, 0, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena + 99, 1), ==, 1);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 7, 0, 1, d->arena), ==, 0);
  g_assert_cmphex (nvme_driver_rw (d, 1, 1, 7, 0, 1, d->arena), ==, 0x20);
  g_assert_cmphex (nvme_driver_rw (d, 1, 8, 7, 0, 1, d->arena), ==, 0x20);
  g_assert_cmphex (nvme_driver_rw (d, 1, 9, 7, 0, 1, d->arena), ==, 0x20);
}

static void
test_features (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  static const struct
  {
    guint8 id;
    guint32 set, get;
    guint16 status;
  } features[] = {
    { 0x01, 0x01020307, 0x01020307, 0 },
    { 0x02, 0, 0, 0 },
    { 0x02, 3, 0, 2 },
    { 0x05, 0x12345, 0x2345, 0 },
    { 0x06, 1, 1, 0 },
    { 0x08, 0x102, 0x102, 0 },
    { 0x09, 0x10002, 0x10002, 0 },
    { 0x0a, 1, 1, 0 },
    { 0x0b, 0xffffffff, 0x11f, 0 },
    { 0x03, 0, 0, 2 },
    { 0x0c, 0, 0, 2 },
    { 0x80, 0, 0, 2 },
    { 0x09, 99, 0, 2 },
  };
  guint32 dw0;

  nvme_driver_enable (d);
  for (guint i = 0; i < G_N_ELEMENTS (features); i++)
    {
      g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, features[i].id, features[i].set, NULL), ==,
                       features[i].status);
      if (features[i].status != 0)
        continue;
      g_assert_cmphex (nvme_driver_admin (d, 10, 0, 0, features[i].id, 2, &dw0), ==, 0);
      g_assert_cmphex (dw0, ==, features[i].get);
    }
  g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, 1u << 31 | 1, 0, NULL), ==, 0x10d);
  g_assert_cmphex (nvme_driver_admin (d, 10, 0, 0, 1 << 8 | 1, 0, NULL), ==, 0x02);
  /* A reset forgets them. */
  nvme_driver_enable (d);
  g_assert_cmphex (nvme_driver_admin (d, 10, 0, 0, 1, 0, &dw0), ==, 0);
  g_assert_cmphex (dw0, ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 10, 0, 0, 4, 0, &dw0), ==, 0);
  g_assert_cmphex (dw0, ==, 343);
}

static void
send_event_request (NvmeDriver *d, guint16 cid)
{
  NvmeTestCommand c = { .opcode = 12, .cid = cid };

  nvme_driver_put (d, 0, &c);
  nvme_driver_ring (d, 0);
}

static void
test_events (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeTestEntry entry;
  NvmeNamespaceConfig config = { .nsid = 3 };
  guint32 dw0;

  nvme_driver_start (d, 1);
  for (guint i = 0; i < 4; i++)
    send_event_request (d, 0x100 + i);
  g_assert_false (nvme_driver_has (d, 0));
  send_event_request (d, 0x104);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmphex (entry.status, ==, 0x105);
  /* The temperature, which is wanted. */
  g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, 11, 0x102, NULL), ==, 0);
  NvmeTestCommand hot = { .opcode = 9, .cid = 9, .dw = { 4, 300 } };
  nvme_driver_put (d, 0, &hot);
  nvme_driver_ring (d, 0);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  if (entry.cid == 9)
    g_assert_true (nvme_driver_take (d, 0, &entry));
  else
    {
      NvmeTestEntry other;
      g_assert_true (nvme_driver_take (d, 0, &other));
    }
  g_assert_cmphex (entry.dw0, ==, 0x020101);
  /* Once, until the log is read. */
  g_assert_cmphex (nvme_driver_admin (d, 9, 0, 0, 4, 301, NULL), ==, 0);
  g_assert_false (nvme_driver_has (d, 0));
  NvmeTestCommand log = {
    .opcode = 2, .nsid = 0xffffffff, .cid = 10, .prp1 = d->arena, .dw = { 127 << 16 | 2 }
  };
  nvme_driver_put (d, 0, &log);
  nvme_driver_ring (d, 0);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 1), ==, 2);
  g_assert_false (nvme_driver_has (d, 0));
  /* Doorbells of queues that are not, and with values that cannot be. */
  nvme_driver_write (d, 0x1000 + 3 * 8, 1);
  harness_run (d->h);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmphex (entry.dw0, ==, 0x010000);
  nvme_driver_write (d, 0x1000 + 8, 32);
  harness_run (d->h);
  g_assert_false (nvme_driver_has (d, 0)); /* masked */
  NvmeTestCommand errors = { .opcode = 2, .cid = 11, .prp1 = d->arena, .dw = { 15 << 16 | 1 } };
  nvme_driver_put (d, 0, &errors);
  nvme_driver_ring (d, 0);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmpuint (entry.cid, ==, 11);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmphex (entry.dw0, ==, 0x010100);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, d->arena), ==, 0);
  /* Nobody waits: the event does. */
  f->disks[2] = nvme_disk_new ();
  config.backend = &f->disks[2]->parent;
  g_assert_true (nvme_add_namespace (d->device, &config, NULL));
  harness_run (d->h);
  g_assert_false (nvme_driver_has (d, 0));
  send_event_request (d, 0x200);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmpuint (entry.cid, ==, 0x200);
  g_assert_cmphex (entry.dw0, ==, 0x040002);
  g_assert_cmphex (nvme_driver_admin (d, 2, 0, d->arena, 1023 << 16 | 4, 0, NULL), ==, 0);
  g_assert_cmpuint (harness_read_le (d->h, d->arena, 8), ==, 3);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 3, 0, 1, d->arena), ==, 0);
  /* Abort: an event request can be, others are done already. */
  send_event_request (d, 0x201);
  send_event_request (d, 0x201);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmphex (entry.status, ==, 0x03);
  NvmeTestCommand abort_it = { .opcode = 8, .cid = 12, .dw = { 0x201 << 16 } };
  nvme_driver_put (d, 0, &abort_it);
  nvme_driver_ring (d, 0);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmpuint (entry.cid, ==, 0x201);
  g_assert_cmphex (entry.status, ==, 0x07);
  g_assert_true (nvme_driver_take (d, 0, &entry));
  g_assert_cmphex (entry.dw0, ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 8, 0, 0, 0x201 << 16, 0, &dw0), ==, 0);
  g_assert_cmphex (dw0, ==, 1);
  g_assert_cmphex (nvme_driver_admin (d, 8, 0, 0, 9, 0, &dw0), ==, 0x02);
}

static void
test_namespaces (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeNamespaceConfig config = { .nsid = 1 };
  g_autoptr (GError) error = NULL;
  NvmeTestCommand read = { .opcode = 2, .nsid = 2, .cid = 5, .prp1 = d->arena };
  NvmeTestEntry entry;

  f->disks[2] = nvme_disk_new ();
  config.backend = &f->disks[2]->parent;
  nvme_driver_start (d, 1);
  g_assert_cmpuint (nvme_get_n_namespaces (d->device), ==, 2);
  g_assert_cmpuint (nvme_find_free_nsid (d->device), ==, 3);
  g_assert_false (nvme_add_namespace (d->device, &config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  config.nsid = 33;
  g_assert_false (nvme_add_namespace (d->device, &config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  config.nsid = 3;
  config.block_size = 1024;
  g_assert_false (nvme_add_namespace (d->device, &config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  config.block_size = 512;
  f->disks[2]->block = 4096;
  g_assert_false (nvme_add_namespace (d->device, &config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  /* Removal with a command under way: it is finished. */
  f->disks[1]->hold = TRUE;
  nvme_driver_put (d, 1, &read);
  nvme_driver_ring (d, 1);
  g_assert_false (nvme_driver_has (d, 1));
  g_assert_true (nvme_remove_namespace (d->device, 2, &error));
  g_assert_cmpuint (f->disks[1]->held->len, ==, 0);
  g_assert_true (nvme_driver_take (d, 1, &entry));
  g_assert_cmphex (entry.status, ==, 0);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 2, 0, 1, d->arena), ==, 0x02);
  g_assert_false (nvme_remove_namespace (d->device, 2, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  config = (NvmeNamespaceConfig){ .nsid = 2, .backend = &f->disks[2]->parent };
  g_assert_true (nvme_add_namespace (d->device, &config, NULL));
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 2, 0, 1, d->arena), ==, 0);
}

static void
test_in_flight (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeTestEntry entry;
  NvmeDisk *disk = f->disks[0];
  guint n = 0;

  nvme_driver_start (d, 2);
  disk->hold = TRUE;
  /* The same identifier twice: the second one is refused, the first goes on. */
  for (guint i = 0; i < 2; i++)
    {
      NvmeTestCommand c = { .opcode = 2, .nsid = 1, .cid = 7, .prp1 = d->arena };
      nvme_driver_put (d, 1, &c);
    }
  nvme_driver_ring (d, 1);
  g_assert_cmpuint (disk->held->len, ==, 1);
  g_assert_true (nvme_driver_take (d, 1, &entry));
  g_assert_cmphex (entry.status, ==, 0x03);
  nvme_disk_finish (disk);
  g_assert_true (nvme_driver_take (d, 1, &entry));
  g_assert_cmphex (entry.status, ==, 0);
  g_assert_cmpuint (entry.cid, ==, 7);
  /* More than completions have room for: the rest waits in the queue. */
  for (guint round = 0; round < 2; round++)
    {
      for (guint i = 0; i < 31; i++)
        {
          NvmeTestCommand c = { .opcode = 2, .nsid = 1, .cid = 100 * round + i, .prp1 = d->arena };
          nvme_driver_put (d, 1, &c);
        }
      nvme_driver_ring (d, 1);
    }
  g_assert_cmpuint (disk->held->len, ==, 31);
  disk->hold = FALSE;
  nvme_disk_finish (disk);
  harness_run (d->h);
  while (nvme_driver_take (d, 1, &entry))
    {
      g_assert_cmphex (entry.status, ==, 0);
      n++;
      harness_run (d->h);
    }
  g_assert_cmpuint (n, ==, 31 * 2);
  /* A queue is deleted with commands under way: they are completed first. */
  disk->hold = TRUE;
  for (guint i = 0; i < 5; i++)
    {
      NvmeTestCommand c = { .opcode = 1, .nsid = 1, .cid = i, .prp1 = d->arena };
      nvme_driver_put (d, 2, &c);
    }
  nvme_driver_ring (d, 2);
  g_assert_cmpuint (disk->held->len, ==, 5);
  g_assert_cmphex (nvme_driver_admin (d, 0, 0, 0, 2, 0, NULL), ==, 0);
  g_assert_cmpuint (disk->held->len, ==, 0);
  for (guint i = 0; i < 5; i++)
    g_assert_true (nvme_driver_take (d, 2, &entry));
  nvme_driver_ring (d, 2); /* nobody there */
  g_assert_cmphex (nvme_driver_admin (d, 4, 0, 0, 2, 0, NULL), ==, 0);
}

static void
test_resets (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeDisk *disk = f->disks[0];

  for (guint round = 0; round < 6; round++)
    {
      disk->hold = FALSE;
      nvme_driver_start (d, 4);
      disk->hold = TRUE;
      for (guint q = 1; q <= 4; q++)
        {
          for (guint i = 0; i < 8; i++)
            {
              NvmeTestCommand c = { .opcode = 1 + i % 2, .nsid = 1, .cid = i, .prp1 = d->arena };
              nvme_driver_put (d, q, &c);
            }
          nvme_driver_ring (d, q);
        }
      send_event_request (d, 0x77);
      g_assert_cmpuint (disk->held->len, ==, 32);
      switch (round)
        {
        case 0: /* controller reset under load */
          nvme_driver_disable (d);
          break;
        case 1: /* and at once enabled again */
          nvme_driver_write (d, 0x14, 0x460000);
          nvme_driver_write (d, 0x14, 0x460001);
          harness_run (d->h);
          g_assert_cmphex (nvme_driver_read (d, 0x1c), ==, 1);
          break;
        case 2: /* of the machine */
          vmm_machine_reset_devices (d->h->machine, VMM_RESET_WARM);
          nvme_driver_set_bars (d);
          break;
        case 3: /* orderly and abrupt shutdown */
        case 4:
          nvme_driver_write (d, 0x14, 0x460001 | (round - 2) << 14);
          harness_run (d->h);
          g_assert_cmpuint (disk->held->len, ==, 1);
          g_assert_cmphex (nvme_driver_read (d, 0x1c), ==, 5);
          nvme_disk_finish (disk);
          g_assert_cmphex (nvme_driver_read (d, 0x1c), ==, 9);
          g_assert_cmpuint (f->disks[0]->n_flushes, >=, 1);
          nvme_driver_ring (d, 1);
          g_assert_cmpuint (disk->held->len, ==, 0);
          break;
        case 5: /* taken out while all of it is under way */
          vmm_device_unrealize (d->device);
          vmm_device_free (d->device);
          break;
        default:
          g_assert_not_reached ();
        }
      g_assert_cmpuint (disk->held->len, ==, 0);
    }
}

static void
test_shadow_doorbells (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeTestCommand config = { .opcode = 0x7c };
  guint64 page = d->arena + 0x90000;
  guint n = 0;

  nvme_driver_start (d, 1);
  g_assert_cmphex (nvme_driver_do (d, 0, &config, NULL), ==, 0x02);
  config.prp1 = page + 8;
  config.prp2 = page + 4096;
  g_assert_cmphex (nvme_driver_do (d, 0, &config, NULL), ==, 0x02);
  config.prp1 = NVME_TEST_RAM;
  g_assert_cmphex (nvme_driver_do (d, 0, &config, NULL), ==, 0x02);
  config.prp1 = page;
  harness_write_le (d->h, page + 8, 4, d->sq[1].tail);
  harness_write_le (d->h, page + 12, 4, d->cq[1].head);
  g_assert_cmphex (nvme_driver_do (d, 0, &config, NULL), ==, 0);
  d->shadow = page;
  for (guint i = 0; i < 100; i++)
    g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, i, 1, d->arena), ==, 0);
  g_assert_true (harness_has_ioeventfd (d->h, FALSE, NVME_TEST_BAR + 0x1008));
  /* The event index says what was seen. */
  g_assert_cmpuint (harness_read_le (d->h, page + 4096 + 8, 4), ==, d->sq[1].tail);
  /* A shadow out of range is an error event, not an index. */
  harness_write_le (d->h, page + 8, 4, 0x12345);
  nvme_driver_write (d, 0x1008, 1);
  harness_run (d->h);
  harness_write_le (d->h, page + 12, 4, 0xffffffff);
  nvme_driver_write (d, 0x100c, 1);
  harness_run (d->h);
  harness_write_le (d->h, page + 12, 4, d->cq[1].head);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, d->arena), ==, 0);
  harness_check_save_load (d->h);
  while (n++ < 40)
    g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, d->arena), ==, 0);
  g_assert_true (harness_has_ioeventfd (d->h, FALSE, NVME_TEST_BAR + 0x1008));
  nvme_driver_disable (d);
  g_assert_false (harness_has_ioeventfd (d->h, FALSE, NVME_TEST_BAR + 0x1008));
}

static void
test_intx (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  NvmeTestCommand c = { .opcode = 2, .nsid = 1, .prp1 = d->arena };
  NvmeTestEntry entry;

  nvme_driver_enable (d);
  /* Without MSI-X there is one vector. */
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, d->arena, 31 << 16 | 1, 1 << 16 | 3, NULL), ==,
                   0x108);
  g_assert_false (d->h->gsi[20]);
  d->cq[1] = (NvmeTestQueue){ .size = 32, .base = d->arena + 0x10000, .phase = 1 };
  d->sq[1] = (NvmeTestQueue){ .size = 32, .base = d->arena + 0x20000 };
  g_assert_cmphex (nvme_driver_admin (d, 5, 0, d->cq[1].base, 31 << 16 | 1, 3, NULL), ==, 0);
  g_assert_cmphex (nvme_driver_admin (d, 1, 0, d->sq[1].base, 31 << 16 | 1, 1 << 16 | 1, NULL), ==,
                   0);
  for (guint i = 0; i < 70; i++)
    {
      c.cid = i;
      nvme_driver_put (d, 1, &c);
      nvme_driver_ring (d, 1);
      g_assert_true (d->h->gsi[20]);
      nvme_driver_write (d, 0x0c, 1); /* masked */
      g_assert_false (d->h->gsi[20]);
      nvme_driver_write (d, 0x10, 1);
      g_assert_true (d->h->gsi[20]);
      if (i == 20)
        harness_check_save_load (d->h);
      g_assert_true (d->h->gsi[20]);
      g_assert_true (nvme_driver_take (d, 1, &entry));
      g_assert_false (d->h->gsi[20]);
    }
}

static void
test_save_load (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  g_autoptr (GBytes) state = NULL;
  NvmeTestEntry entry;
  Fixture other;

  nvme_driver_start (d, 4);
  send_event_request (d, 0x77);
  f->disks[0]->hold = TRUE;
  for (guint q = 1; q <= 4; q++)
    {
      for (guint i = 0; i < 8; i++)
        {
          NvmeTestCommand c = { .opcode = 2, .nsid = 1, .cid = i, .prp1 = d->arena };
          nvme_driver_put (d, q, &c);
        }
      nvme_driver_ring (d, q);
    }
  /* A pause is over when all of it is done and in the completion queues. */
  harness_check_save_load (d->h);
  g_assert_cmpuint (f->disks[0]->held->len, ==, 0);
  f->disks[0]->hold = FALSE;
  for (guint q = 1; q <= 4; q++)
    for (guint i = 0; i < 8; i++)
      g_assert_true (nvme_driver_take (d, q, &entry));
  g_assert_cmphex (nvme_driver_rw (d, 3, 2, 2, 0, 1, d->arena), ==, 0);
  set_up (&other, "4");
  harness_check_save_load_into (d->h, other.d.h);
  tear_down (&other, NULL);
  state = harness_save (d->h);
  harness_storm_load (d->h, state, 5, 800);
}

static void
test_storm (Fixture *f, gconstpointer data)
{
  NvmeDriver *d = &f->d;
  GRand *rand = g_rand_new_with_seed (19);

  nvme_driver_start (d, 4);
  for (guint i = 0; i < 20000; i++)
    {
      guint size = 1u << g_rand_int_range (rand, 0, 4);
      guint offset = g_rand_boolean (rand) ? g_rand_int_range (rand, 0, 0x40)
                                           : 0x1000 + g_rand_int_range (rand, 0, 0x90);
      guint64 value =
          g_rand_boolean (rand) ? (guint)g_rand_int_range (rand, 0, 64) : g_rand_int (rand);

      if (g_rand_boolean (rand))
        harness_mmio_write (d->h, NVME_TEST_BAR + offset, size,
                            value << (offset == 0x14 ? 16 : 0) | value);
      else
        (void)harness_mmio_read (d->h, NVME_TEST_BAR + offset, size);
      if (i % 16 == 0)
        harness_run (d->h);
      if (i % 1000 == 0)
        nvme_driver_start (d, 4);
    }
  g_rand_free (rand);
  nvme_driver_start (d, 4);
  g_assert_cmphex (nvme_driver_rw (d, 1, 2, 1, 0, 1, d->arena), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data) g_test_add ("/nvme/" name, Fixture, data, set_up, func, tear_down)
  ADD ("registers", test_registers, NULL);
  ADD ("enable", test_enable, NULL);
  ADD ("identify", test_identify, NULL);
  ADD ("queues", test_queues, NULL);
  ADD ("read-write", test_read_write, NULL);
  ADD ("bad-commands", test_bad_commands, NULL);
  ADD ("errors", test_errors, NULL);
  ADD ("prp-lists", test_prp_lists, NULL);
  ADD ("sgl", test_sgl, NULL);
  ADD ("deallocate", test_deallocate, NULL);
  ADD ("readonly", test_readonly, NULL);
  ADD ("features", test_features, NULL);
  ADD ("events", test_events, NULL);
  ADD ("namespaces", test_namespaces, NULL);
  ADD ("in-flight", test_in_flight, NULL);
  ADD ("in-flight-one-worker", test_in_flight, "0");
  ADD ("resets", test_resets, NULL);
  ADD ("resets-one-worker", test_resets, "0");
  ADD ("shadow-doorbells", test_shadow_doorbells, NULL);
  ADD ("intx", test_intx, NULL);
  ADD ("save-load", test_save_load, NULL);
  ADD ("save-load-one-worker", test_save_load, "0");
  ADD ("storm", test_storm, NULL);
  return g_test_run ();
}
