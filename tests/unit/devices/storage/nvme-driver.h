/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest driver for the NVMe controller in tests: enables it, makes queues, sends commands, reads
 * completions; and a block back end in memory that answers at once or when told. */
#pragma once
#include "devices/storage/nvme.h"
#include "tests/unit/harness/harness.h"

#define NVME_TEST_RAM      0x800000
#define NVME_TEST_BAR      0xe0000000
#define NVME_TEST_MSIX     0xe0010000
#define NVME_TEST_DEVFN    (4 << 3)
#define NVME_TEST_MSI_DATA 0x50 /* of vector 0 */
#define NVME_TEST_DISK     (256 * 4096)

/* A disk in memory. */
typedef struct
{
  BlockBackend parent;
  guint8 data[NVME_TEST_DISK];
  guint32 block;
  gboolean readonly;
  GPtrArray *held;
  gboolean hold; /* requests wait for nvme_disk_finish or a drain */
  int result;
  guint n_fua, n_flushes, n_discards, n_zeroes, n_unmaps;
} NvmeDisk;

NvmeDisk *nvme_disk_new (void);
void nvme_disk_free (NvmeDisk *disk);
void nvme_disk_finish (NvmeDisk *disk);

typedef struct
{
  guint size;
  guint64 base;
  guint tail, head; /* submission: tail; completion: head */
  guint phase;
} NvmeTestQueue;

typedef struct
{
  guint16 cid, sqid, sqhead;
  guint16 status; /* type << 8 | code */
  gboolean dnr, more;
  guint32 dw0;
} NvmeTestEntry;

typedef struct
{
  HarnessMachine *h;
  PciBus *bus;
  VmmDevice *device;
  NvmeTestQueue sq[17], cq[17];
  guint64 shadow; /* doorbell buffers in use: shadow page, event index page after it */
  guint64 arena;  /* 1 MiB, page aligned */
  guint16 next_cid;
} NvmeDriver;

/* 64 bytes, host order. */
typedef struct
{
  guint8 opcode, flags;
  guint16 cid;
  guint32 nsid;
  guint64 prp1, prp2;
  guint32 dw[6]; /* 10.. */
} NvmeTestCommand;

void nvme_driver_init (NvmeDriver *d);
/* disks: n of them as namespaces 1..n. */
void nvme_driver_plug (NvmeDriver *d, NvmeDisk **disks, guint n, guint n_queues, guint iothreads);
void nvme_driver_finish (NvmeDriver *d);
void nvme_driver_set_bars (NvmeDriver *d);
void nvme_driver_enable_msix (NvmeDriver *d);
void nvme_driver_disable_msix (NvmeDriver *d);
guint32 nvme_driver_read (NvmeDriver *d, guint offset);
void nvme_driver_write (NvmeDriver *d, guint offset, guint32 value);
/* Disable, admin queues of 32, enable; checks that it is ready. */
void nvme_driver_enable (NvmeDriver *d);
void nvme_driver_disable (NvmeDriver *d);
/* Writes a command into the queue, without the doorbell. */
void nvme_driver_put (NvmeDriver *d, guint sqid, const NvmeTestCommand *command);
/* Rings the doorbell; runs the machine. */
void nvme_driver_ring (NvmeDriver *d, guint sqid);
/* Takes a completion and moves the head (with doorbell). FALSE when there is none. */
gboolean nvme_driver_take (NvmeDriver *d, guint cqid, NvmeTestEntry *ret_entry);
/* Peeks: TRUE when a completion waits. */
gboolean nvme_driver_has (NvmeDriver *d, guint cqid);
/* put, ring, take; gives the command an identifier. Returns the status. */
guint16 nvme_driver_do (NvmeDriver *d, guint sqid, NvmeTestCommand *command, guint32 *ret_dw0);
guint16 nvme_driver_admin (NvmeDriver *d,
                           guint8 opcode,
                           guint32 nsid,
                           guint64 prp1,
                           guint32 dw10,
                           guint32 dw11,
                           guint32 *ret_dw0);
void nvme_driver_make_queue (NvmeDriver *d, guint qid, guint size);
/* enable and n queue pairs of 32 */
void nvme_driver_start (NvmeDriver *d, guint n_queues);
/* opcode 1 write, 2 read; PRPs set for one or two pages at gpa. */
guint16 nvme_driver_rw (
    NvmeDriver *d, guint qid, guint8 opcode, guint32 nsid, guint64 lba, guint n, guint64 gpa);
