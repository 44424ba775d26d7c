/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest at an NVMe controller: registers, doorbells with and without shadow buffers, commands with
 * lists that lead anywhere, queues made and deleted under load, pauses, resets, namespaces that come
 * and go, over a disk that answers at once, later, or with an error. */
#include <errno.h>

#include "fuzz-input.h"
#include "fuzz.h"
#include "tests/unit/devices/storage/nvme-driver.h"

#define QUEUES 3

typedef struct
{
  NvmeDriver d;
  NvmeDisk *disks[2];
  FuzzInput input;
} Fuzz;

static guint64
take (Fuzz *f, guint size)
{
  return fuzz_take (&f->input, size);
}

/* Mostly in the arena, page aligned or nearly so. */
static guint64
address (Fuzz *f)
{
  guint kind = (guint)take (f, 1);

  if (kind == 0xff)
    return take (f, 8);
  if (kind == 0xfe)
    return NVME_TEST_RAM - take (f, 2);
  return f->d.arena + (kind & 0x3f) * 4096 + (kind & 0x40 ? take (f, 2) & 0xfff : 0);
}

static void
put_command (Fuzz *f, guint queue)
{
  static const guint8 admin[] = { 0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x7c };
  static const guint8 io[] = { 0, 1, 2, 5, 8, 9 };
  guint head = (guint)take (f, 1);
  NvmeTestCommand c = { .cid = take (f, 1) & 0xf };

  c.opcode = head & 0x80  ? (guint8)take (f, 1)
             : queue == 0 ? admin[head % G_N_ELEMENTS (admin)]
                          : io[head % G_N_ELEMENTS (io)];
  c.flags = head & 0x40 ? (guint8)take (f, 1) : 0;
  c.nsid = head & 0x20 ? (guint32)take (f, 4) : 1 + (head >> 4 & 1);
  c.prp1 = address (f);
  c.prp2 = c.flags != 0 ? take (f, 8) : address (f);
  for (guint i = 0; i < (queue == 0 ? 3 : 3); i++)
    c.dw[i] = (guint32)take (f, i == 0 || queue == 0 ? 4 : 2);
  if (queue != 0)
    {
      c.dw[0] &= 0xfff;
      c.dw[1] &= head & 8 ? 0xffff : 0;
      c.dw[2] &= 0x0600ffff;
    }
  else if (c.opcode == 1 || c.opcode == 5)
    {
      c.dw[0] &= 0x001f0007;
      c.dw[1] &= 0x00070007;
    }
  if (f->d.sq[queue].base != 0)
    nvme_driver_put (&f->d, queue, &c);
}

static void
put_data (Fuzz *f)
{
  guint64 at = f->d.arena + (take (f, 1) & 0x3f) * 4096;
  guint n = (guint)take (f, 1) % 32;

  for (guint i = 0; i < n; i++)
    {
      guint kind = (guint)take (f, 1);

      /* A page's address, as lists have, an SGL descriptor's second half, or anything. */
      harness_write_le (f->d.h, at + i * 8, 8,
                        kind < 0xa0   ? f->d.arena + (kind & 0x3f) * 4096
                        : kind < 0xf0 ? (take (f, 2) | (guint64)(kind & 0x3f) << 56)
                                      : take (f, 8));
    }
}

static void
access_register (Fuzz *f, gboolean write)
{
  guint where = (guint)take (f, 1), size = 1u << (where >> 6);
  guint64 offset = where & 0x20 ? 0x1000 + take (f, 1) : (where & 0x1f) * 4;

  if (write)
    harness_mmio_write (f->d.h, NVME_TEST_BAR + offset, size, take (f, size));
  else
    (void)harness_mmio_read (f->d.h, NVME_TEST_BAR + offset, size);
}

static void
restart (Fuzz *f)
{
  gboolean msix = take (f, 1) & 1;

  nvme_driver_set_bars (&f->d);
  nvme_driver_enable_msix (&f->d);
  nvme_driver_enable (&f->d);
  for (guint i = 1; i <= QUEUES; i++)
    nvme_driver_make_queue (&f->d, i, 4 + (guint)take (f, 1) % 29);
  /* A driver that goes back to the interrupt line. */
  if (!msix)
    nvme_driver_disable_msix (&f->d);
}

static void
host_event (Fuzz *f)
{
  guint byte = (guint)take (f, 1);
  NvmeDisk *disk = f->disks[byte & 1];
  NvmeNamespaceConfig config = { .nsid = 1 + (byte & 1), .backend = &disk->parent };

  disk->result = byte & 2 ? -EIO : 0;
  disk->hold = (byte & 4) != 0;
  if (!disk->hold)
    nvme_disk_finish (disk);
  if (byte & 8)
    (void)nvme_remove_namespace (f->d.device, 1 + (byte & 1), NULL);
  if (byte & 16)
    (void)nvme_add_namespace (f->d.device, &config, NULL);
  if (byte & 32)
    vmm_machine_reset_devices (f->d.h->machine, VMM_RESET_WARM);
  if (byte & 64)
    {
      g_autoptr (GBytes) state = harness_save (f->d.h);

      g_assert_true (harness_load (f->d.h, state, NULL));
    }
}

static void
take_completions (Fuzz *f)
{
  NvmeTestEntry entry;
  guint n = (guint)take (f, 1) % 16;

  for (guint q = 0; q <= QUEUES; q++)
    for (guint i = 0; i < n && f->d.cq[q].base != 0 && nvme_driver_take (&f->d, q, &entry); i++)
      continue;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Fuzz f = { .input = { data, MIN (size, 4096) } };

  for (guint i = 0; i < 2; i++)
    f.disks[i] = nvme_disk_new ();
  f.disks[1]->block = 4096;
  nvme_driver_init (&f.d);
  nvme_driver_plug (&f.d, f.disks, 2, QUEUES, (guint)take (&f, 1) & 1);
  restart (&f);
  while (f.input.left > 0)
    {
      guint op = (guint)take (&f, 1), queue = (op >> 4) % (QUEUES + 1);

      switch (op % 16)
        {
        case 0:
        case 1:
        case 2:
        case 3:
        case 4:
          put_command (&f, queue);
          break;
        case 5:
        case 6:
        case 7:
          if (f.d.sq[queue].base != 0)
            nvme_driver_ring (&f.d, queue);
          break;
        case 8:
        case 9:
          put_data (&f);
          break;
        case 10:
          access_register (&f, TRUE);
          break;
        case 11:
          access_register (&f, FALSE);
          break;
        case 12:
          if (queue == 0)
            restart (&f);
          break;
        case 13:
          host_event (&f);
          break;
        case 14:
          take_completions (&f);
          break;
        default:
          harness_run (f.d.h);
          break;
        }
    }
  harness_run (f.d.h);
  nvme_driver_finish (&f.d);
  for (guint i = 0; i < 2; i++)
    nvme_disk_free (f.disks[i]);
  return 0;
}
