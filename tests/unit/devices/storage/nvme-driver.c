/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nvme-driver.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

/* ---- the disk ---- */

static void
serve (NvmeDisk *disk, BlockRequest *request)
{
  guint64 at = request->offset;

  g_assert_cmpuint (request->offset, <=, NVME_TEST_DISK);
  g_assert_cmpuint (request->length, <=, NVME_TEST_DISK - request->offset);
  disk->n_fua += (request->flags & BLOCK_REQUEST_FUA) != 0;
  disk->n_unmaps += (request->flags & BLOCK_REQUEST_UNMAP) != 0;
  disk->n_flushes += request->op == BLOCK_OP_FLUSH;
  disk->n_discards += request->op == BLOCK_OP_DISCARD;
  disk->n_zeroes += request->op == BLOCK_OP_WRITE_ZEROES;
  if (disk->result == 0 && request->op != BLOCK_OP_FLUSH)
    {
      guint64 length = 0;

      for (guint i = 0; i < request->n_iov; i++)
        {
          if (request->op == BLOCK_OP_READ)
            memcpy (request->iov[i].iov_base, disk->data + at, request->iov[i].iov_len);
          else
            memcpy (disk->data + at, request->iov[i].iov_base, request->iov[i].iov_len);
          at += request->iov[i].iov_len;
          length += request->iov[i].iov_len;
        }
      if (request->op == BLOCK_OP_DISCARD || request->op == BLOCK_OP_WRITE_ZEROES)
        memset (disk->data + request->offset, 0, request->length);
      else
        g_assert_cmpuint (length, ==, request->length);
    }
  request->done (request, disk->result);
}

static void
submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  NvmeDisk *disk = (NvmeDisk *)backend;

  if (disk->hold)
    g_ptr_array_add (disk->held, request);
  else
    serve (disk, request);
}

void
nvme_disk_finish (NvmeDisk *disk)
{
  while (disk->held->len > 0)
    serve (disk, g_ptr_array_steal_index (disk->held, disk->held->len - 1));
}

static void
drain (BlockBackend *backend, VmmWorker *worker)
{
  nvme_disk_finish ((NvmeDisk *)backend);
}

static void
get_info (BlockBackend *backend, BlockInfo *info)
{
  NvmeDisk *disk = (NvmeDisk *)backend;

  *info = (BlockInfo){ .size = NVME_TEST_DISK,
                       .logical_block = disk->block,
                       .physical_block = 4096,
                       .readonly = disk->readonly,
                       .can_discard = TRUE,
                       .can_write_zeroes = TRUE,
                       .discard_granularity = 4096 };
}

static gboolean
flush_sync (BlockBackend *backend, GError **error)
{
  return TRUE;
}

static void
close_disk (BlockBackend *backend)
{
}

static const BlockBackendOps disk_ops = {
  .name = "memory",
  .submit = submit,
  .drain = drain,
  .get_info = get_info,
  .flush_sync = flush_sync,
  .close = close_disk,
};

NvmeDisk *
nvme_disk_new (void)
{
  NvmeDisk *disk = g_new0 (NvmeDisk, 1);

  disk->parent.ops = &disk_ops;
  disk->parent.name = g_strdup ("memory");
  disk->block = 512;
  disk->held = g_ptr_array_new ();
  for (guint i = 0; i < NVME_TEST_DISK; i++)
    disk->data[i] = (i / 512) * 7 + 1;
  return disk;
}

void
nvme_disk_free (NvmeDisk *disk)
{
  if (disk == NULL)
    return;
  g_assert_cmpuint (disk->held->len, ==, 0);
  g_ptr_array_unref (disk->held);
  g_free (disk->parent.name);
  g_free (disk);
}

/* ---- the function ---- */

static void
set_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
  HarnessMachine *h = opaque;

  h->gsi[20] = level; /* where tests look for INTx */
}

static const PciBusOps bus_ops = { .set_intx = set_intx };

void
nvme_driver_init (NvmeDriver *d)
{
  memset (d, 0, sizeof *d);
  d->h = harness_new (NVME_TEST_RAM);
  d->bus = pci_bus_new (d->h->machine, "pcie.0", &bus_ops, d->h);
  d->arena = harness_alloc (d->h, 0x100000, 0x10000);
}

void
nvme_driver_finish (NvmeDriver *d)
{
  harness_free (d->h);
  pci_bus_free (d->bus);
}

static guint32
config_read (NvmeDriver *d, guint offset, guint size)
{
  return pci_bus_config_read (d->bus, 0, NVME_TEST_DEVFN, offset, size);
}

static void
config_write (NvmeDriver *d, guint offset, guint size, guint32 value)
{
  pci_bus_config_write (d->bus, 0, NVME_TEST_DEVFN, offset, size, value);
}

void
nvme_driver_set_bars (NvmeDriver *d)
{
  config_write (d, PCI_BASE_ADDRESS_0, 4, NVME_TEST_BAR);
  config_write (d, PCI_BASE_ADDRESS_1, 4, 0);
  config_write (d, PCI_BASE_ADDRESS_4, 4, NVME_TEST_MSIX);
  config_write (d, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

void
nvme_driver_plug (NvmeDriver *d, NvmeDisk **disks, guint n, guint n_queues, guint iothreads)
{
  NvmeNamespaceConfig configs[NVME_MAX_NAMESPACES];
  NvmeNamespaces list = { configs, n };
  VmmDevice *device = vmm_device_new (&nvme_device_ops, "test");

  for (guint i = 0; i < n; i++)
    {
      configs[i] = (NvmeNamespaceConfig){ .nsid = i + 1, .backend = &disks[i]->parent };
      memset (configs[i].uuid, 0x10 + i, 16);
    }
  g_assert_true (vmm_device_set_pointer (device, "bus", d->bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", NVME_TEST_DEVFN, NULL));
  g_assert_true (vmm_device_set_pointer (device, "namespaces", &list, NULL));
  g_assert_true (vmm_device_set_uint (device, "num-queues", n_queues, NULL));
  g_assert_true (vmm_device_set_uint (device, "iothreads", iothreads, NULL));
  g_assert_true (vmm_device_set_string (device, "serial", "ROOM-0001", NULL));
  g_assert_true (
      vmm_device_set_string (device, "uuid", "01234567-89ab-cdef-0123-456789abcdef", NULL));
  d->device = harness_realize (d->h, device);
  nvme_driver_set_bars (d);
}

static guint
find_msix (NvmeDriver *d)
{
  guint cap = config_read (d, PCI_CAPABILITY_LIST, 1);

  while (config_read (d, cap, 1) != PCI_CAP_ID_MSIX)
    cap = config_read (d, cap + 1, 1);
  return cap;
}

void
nvme_driver_disable_msix (NvmeDriver *d)
{
  config_write (d, find_msix (d) + PCI_MSIX_FLAGS, 2, 0);
}

void
nvme_driver_enable_msix (NvmeDriver *d)
{
  guint cap = find_msix (d);
  guint n;

  n = (config_read (d, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  for (guint i = 0; i < n; i++)
    {
      harness_mmio_write (d->h, NVME_TEST_MSIX + i * 16, 4, 0xfee00000);
      harness_mmio_write (d->h, NVME_TEST_MSIX + i * 16 + 8, 4, NVME_TEST_MSI_DATA + i);
      harness_mmio_write (d->h, NVME_TEST_MSIX + i * 16 + 12, 4, 0);
    }
  config_write (d, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
}

guint32
nvme_driver_read (NvmeDriver *d, guint offset)
{
  return (guint32)harness_mmio_read (d->h, NVME_TEST_BAR + offset, 4);
}

void
nvme_driver_write (NvmeDriver *d, guint offset, guint32 value)
{
  harness_mmio_write (d->h, NVME_TEST_BAR + offset, 4, value);
}

/* ---- queues ---- */

static void
new_queue (NvmeDriver *d, guint qid, guint size)
{
  static const guint8 zeroes[4096 * 4];

  for (guint i = 0; i < 2; i++)
    {
      NvmeTestQueue *queue = i ? &d->cq[qid] : &d->sq[qid];

      if (queue->base == 0)
        queue->base = harness_alloc (d->h, 4096 * 4, 4096);
      harness_write (d->h, queue->base, zeroes, sizeof zeroes);
      queue->size = size;
      queue->tail = queue->head = 0;
      queue->phase = 1;
    }
}

void
nvme_driver_disable (NvmeDriver *d)
{
  nvme_driver_write (d, 0x14, 0x00460000);
  harness_run (d->h);
  g_assert_cmphex (nvme_driver_read (d, 0x1c) & 3, ==, 0);
  d->shadow = 0;
}

void
nvme_driver_enable (NvmeDriver *d)
{
  nvme_driver_disable (d);
  new_queue (d, 0, 32);
  nvme_driver_write (d, 0x24, 31 << 16 | 31);
  harness_mmio_write (d->h, NVME_TEST_BAR + 0x28, 8, d->sq[0].base);
  harness_mmio_write (d->h, NVME_TEST_BAR + 0x30, 8, d->cq[0].base);
  nvme_driver_write (d, 0x14, 0x00460001);
  harness_run (d->h);
  g_assert_cmphex (nvme_driver_read (d, 0x1c), ==, 1);
}

void
nvme_driver_put (NvmeDriver *d, guint sqid, const NvmeTestCommand *command)
{
  NvmeTestQueue *sq = &d->sq[sqid];
  guint64 at = sq->base + sq->tail * 64;

  harness_write_le (d->h, at, 1, command->opcode);
  harness_write_le (d->h, at + 1, 1, command->flags);
  harness_write_le (d->h, at + 2, 2, command->cid);
  harness_write_le (d->h, at + 4, 4, command->nsid);
  for (guint i = 8; i < 24; i += 8)
    harness_write_le (d->h, at + i, 8, 0);
  harness_write_le (d->h, at + 24, 8, command->prp1);
  harness_write_le (d->h, at + 32, 8, command->prp2);
  for (guint i = 0; i < 6; i++)
    harness_write_le (d->h, at + 40 + i * 4, 4, command->dw[i]);
  sq->tail = (sq->tail + 1) % sq->size;
}

void
nvme_driver_ring (NvmeDriver *d, guint sqid)
{
  if (d->shadow != 0 && sqid != 0)
    harness_write_le (d->h, d->shadow + sqid * 8, 4, d->sq[sqid].tail);
  nvme_driver_write (d, 0x1000 + sqid * 8, d->sq[sqid].tail);
  harness_run (d->h);
}

gboolean
nvme_driver_has (NvmeDriver *d, guint cqid)
{
  NvmeTestQueue *cq = &d->cq[cqid];

  return (harness_read_le (d->h, cq->base + cq->head * 16 + 14, 2) & 1) == cq->phase;
}

gboolean
nvme_driver_take (NvmeDriver *d, guint cqid, NvmeTestEntry *ret_entry)
{
  NvmeTestQueue *cq = &d->cq[cqid];
  guint64 at = cq->base + cq->head * 16;
  guint status;

  if (!nvme_driver_has (d, cqid))
    return FALSE;
  status = (guint)harness_read_le (d->h, at + 14, 2);
  *ret_entry = (NvmeTestEntry){
    .dw0 = (guint32)harness_read_le (d->h, at, 4),
    .sqhead = harness_read_le (d->h, at + 8, 2),
    .sqid = harness_read_le (d->h, at + 10, 2),
    .cid = harness_read_le (d->h, at + 12, 2),
    .status = status >> 1 & 0x7ff,
    .more = status >> 14 & 1,
    .dnr = status >> 15,
  };
  if (++cq->head == cq->size)
    {
      cq->head = 0;
      cq->phase ^= 1;
    }
  if (d->shadow != 0 && cqid != 0)
    harness_write_le (d->h, d->shadow + cqid * 8 + 4, 4, cq->head);
  nvme_driver_write (d, 0x1000 + cqid * 8 + 4, cq->head);
  return TRUE;
}

guint16
nvme_driver_do (NvmeDriver *d, guint sqid, NvmeTestCommand *command, guint32 *ret_dw0)
{
  NvmeTestEntry entry;

  command->cid = d->next_cid++;
  nvme_driver_put (d, sqid, command);
  nvme_driver_ring (d, sqid);
  g_assert_true (nvme_driver_take (d, sqid, &entry));
  g_assert_cmpuint (entry.cid, ==, command->cid);
  g_assert_cmpuint (entry.sqid, ==, sqid);
  g_assert_cmpuint (entry.sqhead, ==, d->sq[sqid].tail);
  if (ret_dw0 != NULL)
    *ret_dw0 = entry.dw0;
  return entry.status;
}

guint16
nvme_driver_admin (NvmeDriver *d,
                   guint8 opcode,
                   guint32 nsid,
                   guint64 prp1,
                   guint32 dw10,
                   guint32 dw11,
                   guint32 *ret_dw0)
{
  NvmeTestCommand command = { .opcode = opcode, .nsid = nsid, .prp1 = prp1, .dw = { dw10, dw11 } };

  return nvme_driver_do (d, 0, &command, ret_dw0);
}

void
nvme_driver_make_queue (NvmeDriver *d, guint qid, guint size)
{
  new_queue (d, qid, size);
  g_assert_cmphex (
      nvme_driver_admin (d, 5, 0, d->cq[qid].base, (size - 1) << 16 | qid, qid << 16 | 3, NULL), ==,
      0);
  g_assert_cmphex (
      nvme_driver_admin (d, 1, 0, d->sq[qid].base, (size - 1) << 16 | qid, qid << 16 | 1, NULL), ==,
      0);
}

void
nvme_driver_start (NvmeDriver *d, guint n_queues)
{
  nvme_driver_enable_msix (d);
  nvme_driver_enable (d);
  for (guint i = 1; i <= n_queues; i++)
    nvme_driver_make_queue (d, i, 32);
}

guint16
nvme_driver_rw (
    NvmeDriver *d, guint qid, guint8 opcode, guint32 nsid, guint64 lba, guint n, guint64 gpa)
{
  NvmeTestCommand command = { .opcode = opcode,
                              .nsid = nsid,
                              .prp1 = gpa,
                              .prp2 = (gpa & ~G_GUINT64_CONSTANT (4095)) + 4096,
                              .dw = { (guint32)lba, (guint32)(lba >> 32), n - 1 } };

  return nvme_driver_do (d, qid, &command, NULL);
}
