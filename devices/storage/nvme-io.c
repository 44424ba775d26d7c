/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands of the NVM command set (Base 1.4, section 6): Read, Write, Flush, Write Zeroes, Dataset
 * Management, Compare. A request's struct belongs to its lane's pool from the moment a command is
 * fetched until its completion is posted; there is one way out, finish. */
#include "devices/storage/nvme-private.h"

#include <errno.h>
#include <string.h>

#define POOL_MAX     64 /* requests a lane keeps */
#define POOL_IOV_MAX 64

enum
{
  IO_FLUSH = 0x00,
  IO_WRITE = 0x01,
  IO_READ = 0x02,
  IO_COMPARE = 0x05,
  IO_WRITE_ZEROES = 0x08,
  IO_DATASET_MANAGEMENT = 0x09,

  DW12_FUA = 1u << 30,
  DW12_DEAC = 1u << 25,
  DW12_PRINFO = 0xfu << 26,
  DSM_DEALLOCATE = 1u << 2,
};

/* Base 1.4, 6.7.1 */
typedef struct
{
  guint32 attributes;
  guint32 n_blocks;
  guint64 lba;
} WireRange;
G_STATIC_ASSERT (sizeof (WireRange) == 16);

static gint64
now (Nvme *nvme)
{
  return vmm_clock_get_ns (vmm_machine_get_clock (nvme->host.machine));
}

/* ---- requests ---- */

static void
free_request (NvmeRequest *request)
{
  g_free (request->iov);
  g_free (request->ranges);
  g_free (request->bounce);
  g_free (request);
}

void
nvme_io_free_pool (NvmeLane *lane)
{
  while (lane->pool != NULL)
    {
      NvmeRequest *request = lane->pool;

      lane->pool = request->next;
      free_request (request);
    }
  lane->n_pool = 0;
}

static NvmeRequest *
take_request (NvmeLane *lane, guint sqid, const NvmeCommand *command)
{
  Nvme *nvme = lane->nvme;
  NvmeRequest *request = lane->pool;

  if (request != NULL)
    {
      lane->pool = request->next;
      lane->n_pool--;
    }
  else
    request = g_new0 (NvmeRequest, 1);
  request->nvme = nvme;
  request->lane = lane;
  request->sqid = sqid;
  request->cqid = nvme->guest.sq[sqid].cqid;
  request->command = *command;
  request->ns = NULL;
  request->n_ranges = request->range = 0;
  request->parent.flags = BLOCK_REQUEST_NONE;
  request->parent.iov = NULL;
  request->parent.n_iov = 0;
  request->parent.offset = request->parent.length = 0;
  nvme->host.reserved[request->cqid]++;
  nvme->host.in_flight[sqid]++;
  if (lane->n_in_flight++ == 0)
    lane->busy_since = now (nvme);
  return request;
}

/* Lane lock held. */
static void
finish (NvmeRequest *request, NvmeStatus status)
{
  NvmeLane *lane = request->lane;
  Nvme *nvme = lane->nvme;
  guint cid = request->command.cid;

  nvme_data_unpin (request);
  if (status != NVME_OK)
    nvme_log_error (nvme, request->sqid, &request->command, status);
  if (status != NVME_ID_CONFLICT)
    nvme->host.cids[request->sqid][cid / 8] &= ~(1u << cid % 8);
  nvme->host.reserved[request->cqid]--;
  nvme->host.in_flight[request->sqid]--;
  if (--lane->n_in_flight == 0)
    nvme_count (&nvme->guest.busy_ns, (guint64)MAX (now (nvme) - lane->busy_since, 0));
  nvme_cq_post (nvme, request->cqid, request->sqid, (guint16)cid, status, 0);

  g_clear_pointer (&request->ranges, g_free);
  g_clear_pointer (&request->bounce, g_free);
  if (request->iov_max > POOL_IOV_MAX)
    {
      g_clear_pointer (&request->iov, g_free);
      request->iov_max = 0;
    }
  if (lane->n_pool < POOL_MAX)
    {
      request->next = lane->pool;
      lane->pool = request;
      lane->n_pool++;
    }
  else
    free_request (request);

  if (lane->draining)
    return;
  /* At once when nothing else is under way, together with the others otherwise: lane_run does. */
  if (lane->n_in_flight == 0)
    nvme_lane_notify (lane);
  else if (!lane->notify_rung)
    {
      lane->notify_rung = TRUE;
      nvme_lane_kick (lane);
    }
}

static NvmeStatus
status_of (BlockOp op, int result)
{
  switch (result)
    {
    case 0:
      return NVME_OK;
    case -ENOSPC:
    case -EDQUOT:
      return NVME_CAPACITY;
    case -EOPNOTSUPP:
      return NVME_INVALID_FIELD;
    case -EROFS:
    case -EPERM:
      return NVME_WRITE_PROTECTED;
    default:
      return op == BLOCK_OP_READ    ? NVME_READ_ERROR
             : op == BLOCK_OP_FLUSH ? NVME_INTERNAL
                                    : NVME_WRITE_FAULT;
    }
}

static gboolean same_data (NvmeRequest *request);
static gboolean flush_next (NvmeRequest *request);
static void submit_range (NvmeRequest *request);

/* On the lane's worker. From a back end that is done at once, this comes inside a kick, which holds
 * the lock already. */
static void
request_done (BlockRequest *parent, int result)
{
  NvmeRequest *request = (NvmeRequest *)parent;
  NvmeLane *lane = request->lane;
  gboolean inside = lane->inside;
  NvmeStatus status = status_of (parent->op, result);

  if (!inside)
    nvme_lane_lock (lane);
  if (status == NVME_READ_ERROR || status == NVME_WRITE_FAULT)
    nvme_count (&lane->nvme->guest.n_media_errors, 1);
  if (status == NVME_OK && request->range + 1 < request->n_ranges)
    {
      request->range++;
      submit_range (request);
    }
  else if (status == NVME_OK && request->command.opcode == IO_FLUSH && flush_next (request))
    ;
  else
    {
      if (status == NVME_OK && request->bounce != NULL && !same_data (request))
        status = NVME_COMPARE_FAILURE;
      finish (request, status);
    }
  if (!inside)
    nvme_lane_unlock (lane);
}

static void
submit (NvmeRequest *request, BlockOp op)
{
  BlockBackend *backend = request->ns->backend;

  request->parent.op = op;
  request->parent.done = request_done;
  if ((op == BLOCK_OP_WRITE || op == BLOCK_OP_WRITE_ZEROES) && !request->nvme->guest.write_cache)
    request->parent.flags |= BLOCK_REQUEST_FUA;
  backend->ops->submit (backend, request->lane->worker, &request->parent);
}

/* ---- commands ---- */

/* SLBA and NLB of most commands, to bytes. */
static NvmeStatus
get_blocks (NvmeRequest *request)
{
  const NvmeNamespace *ns = request->ns;
  guint64 lba = request->command.dw[0] | (guint64)request->command.dw[1] << 32;
  guint64 n = (request->command.dw[2] & 0xffff) + 1;

  if (lba >= ns->n_blocks || n > ns->n_blocks - lba)
    return NVME_LBA_RANGE;
  if (request->command.dw[2] & DW12_PRINFO)
    return NVME_INVALID_FIELD; /* no protection information */
  request->parent.offset = lba << ns->block_bits;
  request->parent.length = n << ns->block_bits;
  return NVME_OK;
}

static NvmeStatus
start_transfer (NvmeRequest *request, BlockOp op)
{
  Nvme *nvme = request->nvme;
  gboolean reading = op == BLOCK_OP_READ;
  NvmeStatus status = get_blocks (request);

  if (status == NVME_OK && request->parent.length > NVME_MAX_TRANSFER)
    status = NVME_INVALID_FIELD;
  if (status == NVME_OK)
    status = nvme_data_pin (request, (guint32)request->parent.length, reading);
  if (status != NVME_OK)
    return status;
  request->parent.iov = request->iov;
  request->parent.n_iov = request->n_iov;
  if (request->command.dw[2] & DW12_FUA)
    request->parent.flags |= reading ? BLOCK_REQUEST_NONE : BLOCK_REQUEST_FUA;
  nvme_count (reading ? &nvme->guest.n_reads : &nvme->guest.n_writes, 1);
  nvme_count (reading ? &nvme->guest.blocks_read : &nvme->guest.blocks_written,
              request->parent.length / 512);
  submit (request, op);
  return NVME_LATER;
}

/* 6.6: the disk's data come into a buffer of ours. */
static NvmeStatus
start_compare (NvmeRequest *request)
{
  NvmeStatus status = get_blocks (request);

  if (status == NVME_OK && request->parent.length > NVME_MAX_TRANSFER)
    status = NVME_INVALID_FIELD;
  if (status == NVME_OK)
    status = nvme_data_pin (request, (guint32)request->parent.length, FALSE);
  if (status != NVME_OK)
    return status;
  request->bounce = g_try_malloc (request->parent.length);
  if (request->bounce == NULL)
    return NVME_INTERNAL;
  request->bounce_iov = (struct iovec){ request->bounce, request->parent.length };
  request->parent.iov = &request->bounce_iov;
  request->parent.n_iov = 1;
  nvme_count (&request->nvme->guest.n_reads, 1);
  nvme_count (&request->nvme->guest.blocks_read, request->parent.length / 512);
  submit (request, BLOCK_OP_READ);
  return NVME_LATER;
}

static gboolean
same_data (NvmeRequest *request)
{
  const guint8 *at = request->bounce;

  for (guint i = 0; i < request->n_iov; at += request->iov[i++].iov_len)
    if (memcmp (at, request->iov[i].iov_base, request->iov[i].iov_len) != 0)
      return FALSE;
  return TRUE;
}

static NvmeStatus
start_write_zeroes (NvmeRequest *request)
{
  NvmeStatus status = get_blocks (request);

  if (status != NVME_OK)
    return status;
  if (request->command.dw[2] & DW12_FUA)
    request->parent.flags |= BLOCK_REQUEST_FUA;
  if (request->command.dw[2] & DW12_DEAC)
    request->parent.flags |= BLOCK_REQUEST_UNMAP;
  nvme_count (&request->nvme->guest.n_writes, 1);
  submit (request, BLOCK_OP_WRITE_ZEROES);
  return NVME_LATER;
}

static void
submit_range (NvmeRequest *request)
{
  const NvmeRange *range = &request->ranges[request->range];

  request->parent.offset = range->offset;
  request->parent.length = range->length;
  submit (request, BLOCK_OP_DISCARD);
}

/* 6.7: all ranges are looked at before the first one is acted on. */
static NvmeStatus
start_dataset_management (NvmeRequest *request)
{
  const NvmeNamespace *ns = request->ns;
  guint n = (request->command.dw[0] & 0xff) + 1;
  WireRange wire[NVME_MAX_RANGES];
  NvmeStatus status =
      nvme_data_copy (request->lane, &request->command, wire, n * sizeof (WireRange), FALSE);

  if (status != NVME_OK)
    return status;
  for (guint i = 0; i < n; i++)
    {
      guint64 lba = GUINT64_FROM_LE (wire[i].lba);
      guint64 n_blocks = GUINT32_FROM_LE (wire[i].n_blocks);

      if (lba > ns->n_blocks || n_blocks > ns->n_blocks - lba)
        return NVME_LBA_RANGE;
      if (n_blocks == 0)
        continue;
      if (request->ranges == NULL)
        request->ranges = g_new (NvmeRange, n);
      request->ranges[request->n_ranges++] =
          (NvmeRange){ lba << ns->block_bits, n_blocks << ns->block_bits };
    }
  /* The other attributes are hints, and deallocation is too where the back end cannot. */
  if (request->n_ranges == 0 || (request->command.dw[1] & DSM_DEALLOCATE) == 0 ||
      !ns->info.can_discard)
    return NVME_OK;
  submit_range (request);
  return NVME_LATER;
}

/* 6.8: with the broadcast identifier all namespaces, one after the other. */
static gboolean
flush_next (NvmeRequest *request)
{
  guint from = request->ns == NULL ? 0 : request->ns->nsid; /* an index: the one after */

  if (request->ns != NULL && request->command.nsid != NVME_BROADCAST)
    return FALSE;
  for (guint i = from; i < NVME_MAX_NAMESPACES; i++)
    if (g_atomic_int_get (&request->nvme->host.ns[i].active))
      {
        request->ns = &request->nvme->host.ns[i];
        submit (request, BLOCK_OP_FLUSH);
        return TRUE;
      }
  return FALSE;
}

static NvmeStatus
start_command (NvmeRequest *request)
{
  Nvme *nvme = request->nvme;
  const NvmeCommand *command = &request->command;
  guint8 *cids = nvme->host.cids[request->sqid];

  /* 4.6.1.2.1: an identifier that is in use. Its bit stays the other command's. */
  if ((cids[command->cid / 8] >> command->cid % 8 & 1) != 0)
    return NVME_ID_CONFLICT;
  cids[command->cid / 8] |= 1u << command->cid % 8;

  if ((command->flags & 3) != 0)
    return NVME_INVALID_FIELD; /* fused operations are not offered */
  if (command->opcode == IO_FLUSH && command->nsid == NVME_BROADCAST)
    return flush_next (request) ? NVME_LATER : NVME_OK;
  if (command->nsid == 0 || command->nsid > NVME_MAX_NAMESPACES)
    return NVME_INVALID_NAMESPACE;
  request->ns = &nvme->host.ns[command->nsid - 1];
  if (!g_atomic_int_get (&request->ns->active))
    return NVME_INVALID_FIELD; /* 6.1.5: an inactive namespace */

  switch (command->opcode)
    {
    case IO_FLUSH:
      submit (request, BLOCK_OP_FLUSH);
      return NVME_LATER;
    case IO_READ:
      return start_transfer (request, BLOCK_OP_READ);
    case IO_COMPARE:
      return start_compare (request);
    case IO_WRITE:
    case IO_WRITE_ZEROES:
    case IO_DATASET_MANAGEMENT:
      if (request->ns->info.readonly)
        return NVME_WRITE_PROTECTED;
      return command->opcode == IO_WRITE          ? start_transfer (request, BLOCK_OP_WRITE)
             : command->opcode == IO_WRITE_ZEROES ? start_write_zeroes (request)
                                                  : start_dataset_management (request);
    default:
      return NVME_INVALID_OPCODE;
    }
}

static void
start (NvmeRequest *request, BlockRequestFlags flags)
{
  NvmeStatus status;

  request->parent.flags = flags;
  status = start_command (request);
  if (status != NVME_LATER)
    finish (request, status);
}

void
nvme_io_run (NvmeLane *lane, guint sqid)
{
  Nvme *nvme = lane->nvme;
  guint budget = nvme->guest.sq[sqid].size, cqid = nvme->guest.sq[sqid].cqid;
  NvmeRequest *request = NULL;
  NvmeCommand command;

  /* One behind, to know whether a request is alone. */
  while (budget > 0 && nvme_cq_has_room (nvme, cqid) && nvme_sq_fetch (nvme, sqid, &command))
    {
      if (request != NULL)
        start (request, BLOCK_REQUEST_NONE);
      request = take_request (lane, sqid, &command);
      budget--;
    }
  if (request != NULL)
    start (request, lane->n_in_flight == 1 ? BLOCK_REQUEST_ALONE : BLOCK_REQUEST_NONE);
  if (budget == 0)
    nvme_lane_kick (lane); /* others of this worker first */
}
