/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Admin commands (Base 1.4, section 5) but for what they fill in (nvme-identify.c, nvme-logs.c),
 * and asynchronous events. All of it runs on the admin worker with the device lock held. */
#include "devices/storage/nvme-private.h"

#include <string.h>

enum
{
  ADMIN_DELETE_SQ = 0x00,
  ADMIN_CREATE_SQ = 0x01,
  ADMIN_GET_LOG = 0x02,
  ADMIN_DELETE_CQ = 0x04,
  ADMIN_CREATE_CQ = 0x05,
  ADMIN_IDENTIFY = 0x06,
  ADMIN_ABORT = 0x08,
  ADMIN_SET_FEATURES = 0x09,
  ADMIN_GET_FEATURES = 0x0a,
  ADMIN_ASYNC_EVENT = 0x0c,
  ADMIN_DOORBELL_BUFFERS = 0x7c,

  FEATURE_ARBITRATION = 0x01,
  FEATURE_POWER = 0x02,
  FEATURE_TEMPERATURE = 0x04,
  FEATURE_ERROR_RECOVERY = 0x05,
  FEATURE_WRITE_CACHE = 0x06,
  FEATURE_QUEUES = 0x07,
  FEATURE_COALESCING = 0x08,
  FEATURE_VECTOR = 0x09,
  FEATURE_ATOMICITY = 0x0a,
  FEATURE_EVENTS = 0x0b,

  EVENT_CONFIG_MASK = 0x11f, /* SMART warnings, namespace attributes */
};

/* ---- asynchronous events ---- */

static void
deliver_events (Nvme *nvme)
{
  for (guint type = 0; type < NVME_N_EVENTS; type++)
    {
      guint32 bit = 1u << type;
      guint16 cid;

      if ((nvme->guest.events_pending & bit) == 0 || (nvme->guest.events_masked & bit) != 0)
        continue;
      if (nvme->guest.n_aers == 0 || !nvme_cq_has_room (nvme, 0))
        return;
      cid = nvme->guest.aers[--nvme->guest.n_aers];
      nvme->guest.aers[nvme->guest.n_aers] = 0;
      nvme->guest.events_pending &= ~bit;
      nvme->guest.events_masked |= bit; /* 5.2: until the log page was read */
      nvme_cq_post (nvme, 0, 0, cid, NVME_OK,
                    type | nvme->guest.event_info[type] << 8 | nvme->guest.event_log[type] << 16);
    }
}

void
nvme_admin_event (Nvme *nvme, guint type, guint info, guint log)
{
  nvme->guest.events_pending |= 1u << type;
  nvme->guest.event_info[type] = info;
  nvme->guest.event_log[type] = log;
  if (!nvme_is_live (nvme) || g_atomic_int_get (&nvme->host.quiesced))
    return;
  deliver_events (nvme);
  if (!nvme->host.lanes[0].draining)
    nvme_lane_notify (&nvme->host.lanes[0]);
}

/* Those found on other lanes. */
static void
take_events (Nvme *nvme)
{
  guint bits = (guint)g_atomic_int_and ((guint *)&nvme->host.event_bits, 0);

  for (guint info = 0; info < 8; info++)
    if ((bits >> info & 1) != 0)
      nvme_admin_event (nvme, NVME_EVENT_ERROR, info, NVME_LOG_ERROR);
}

/* The temperature does not change, but the thresholds do. */
static void
check_temperature (Nvme *nvme)
{
  if (nvme_smart_warning (nvme) & nvme->guest.event_config & 2)
    nvme_admin_event (nvme, NVME_EVENT_SMART, NVME_SMART_TEMPERATURE, NVME_LOG_SMART);
}

/* ---- queues ---- */

static NvmeStatus
create_cq (Nvme *nvme, const NvmeCommand *command)
{
  guint qid = command->dw[0] & 0xffff, size = (command->dw[0] >> 16) + 1;
  guint flags = command->dw[1] & 0xffff, vector = command->dw[1] >> 16;

  if (qid == 0 || qid > nvme->config.n_queues || nvme->guest.cq[qid].size != 0)
    return NVME_QID_INVALID;
  if (size < 2 || size > NVME_MAX_ENTRIES)
    return NVME_QUEUE_SIZE;
  if (NVME_CC_IOCQES (nvme->guest.cc) != 4 || (flags & 1) == 0)
    return NVME_INVALID_FIELD; /* CAP.CQR: contiguous */
  if ((command->prp1 & ((1u << nvme_page_bits (nvme)) - 1)) != 0 ||
      !vmm_guest_memory_check (vmm_machine_get_memory (nvme->host.machine), vmm_gpa (command->prp1),
                               (guint64)size * 16, TRUE))
    return NVME_PRP_OFFSET;
  if (vector > nvme->config.n_queues || (vector != 0 && !pci_device_msix_enabled (&nvme->parent)))
    return NVME_INVALID_VECTOR;
  nvme->guest.cq[qid] = (NvmeCq){
    .base = command->prp1, .size = size, .phase = 1, .vector = vector, .interrupts = flags >> 1 & 1
  };
  nvme_cq_made (nvme, qid);
  return NVME_OK;
}

static NvmeStatus
create_sq (Nvme *nvme, const NvmeCommand *command)
{
  guint qid = command->dw[0] & 0xffff, size = (command->dw[0] >> 16) + 1;
  guint flags = command->dw[1] & 0xffff, cqid = command->dw[1] >> 16;

  if (cqid == 0 || cqid > nvme->config.n_queues || nvme->guest.cq[cqid].size == 0)
    return cqid > nvme->config.n_queues || cqid == 0 ? NVME_QID_INVALID : NVME_CQ_INVALID;
  if (qid == 0 || qid > nvme->config.n_queues || nvme->guest.sq[qid].size != 0)
    return NVME_QID_INVALID;
  if (size < 2 || size > NVME_MAX_ENTRIES)
    return NVME_QUEUE_SIZE;
  if (NVME_CC_IOSQES (nvme->guest.cc) != 6 || (flags & 1) == 0)
    return NVME_INVALID_FIELD;
  if ((command->prp1 & ((1u << nvme_page_bits (nvme)) - 1)) != 0 ||
      !vmm_guest_memory_check (vmm_machine_get_memory (nvme->host.machine), vmm_gpa (command->prp1),
                               (guint64)size * 64, FALSE))
    return NVME_PRP_OFFSET;
  nvme->guest.sq[qid] = (NvmeSq){ .base = command->prp1, .size = size, .cqid = cqid };
  nvme_sq_made (nvme, qid);
  return NVME_OK;
}

/* What the queue fetched is finished first, with its completions in the queue (5.6 allows that). */
static NvmeStatus
delete_sq (Nvme *nvme, const NvmeCommand *command)
{
  guint qid = command->dw[0] & 0xffff;
  NvmeLane *lane;

  if (qid == 0 || qid > nvme->config.n_queues || nvme->guest.sq[qid].size == 0)
    return NVME_QID_INVALID;
  lane = &nvme->host.lanes[g_atomic_int_get (&nvme->host.sq_lane[qid])];
  /* No more kicks; then those that run, and what they began, end. The device lock is let go: only
   * this worker, which is busy here, makes or deletes queues. */
  g_atomic_int_set (&nvme->host.sq_lane[qid], 0);
  nvme_demote (nvme, qid);
  nvme_lane_unlock (&nvme->host.lanes[0]);
  vmm_worker_call (lane->worker, nvme_lane_drain, lane);
  nvme_lane_lock (&nvme->host.lanes[0]);
  nvme_lane_lock (lane);
  g_assert (nvme->host.in_flight[qid] == 0);
  nvme_sq_forget (nvme, qid);
  nvme_lane_unlock (lane);
  return NVME_OK;
}

static NvmeStatus
delete_cq (Nvme *nvme, const NvmeCommand *command)
{
  guint qid = command->dw[0] & 0xffff;
  NvmeLane *lane;

  if (qid == 0 || qid > nvme->config.n_queues || nvme->guest.cq[qid].size == 0)
    return NVME_QID_INVALID;
  for (guint i = 1; i <= NVME_MAX_QUEUES; i++)
    if (nvme->guest.sq[i].size != 0 && nvme->guest.sq[i].cqid == qid)
      return NVME_QUEUE_DELETION;
  lane = &nvme->host.lanes[g_atomic_int_get (&nvme->host.cq_lane[qid])];
  nvme_lane_lock (lane);
  g_assert (nvme->host.reserved[qid] == 0);
  g_atomic_int_set (&nvme->host.cq_lane[qid], 0);
  lane->notify &= ~(1u << qid);
  memset (&nvme->guest.cq[qid], 0, sizeof (NvmeCq));
  nvme_lane_unlock (lane);
  g_mutex_lock (&nvme->host.intx_lock);
  nvme->host.intx_bits &= ~(1u << qid);
  g_mutex_unlock (&nvme->host.intx_lock);
  nvme_update_intx (nvme);
  return NVME_OK;
}

static gboolean
has_io_queues (Nvme *nvme)
{
  for (guint i = 1; i <= NVME_MAX_QUEUES; i++)
    if (nvme->guest.sq[i].size != 0 || nvme->guest.cq[i].size != 0)
      return TRUE;
  return FALSE;
}

/* 5.7: lanes read both addresses in their kicks, so these end first. */
static NvmeStatus
set_doorbell_buffers (Nvme *nvme, const NvmeCommand *command)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (nvme->host.machine);
  guint64 page = G_GUINT64_CONSTANT (1) << nvme_page_bits (nvme);

  if (command->prp1 == 0 || command->prp2 == 0 || command->prp1 % page != 0 ||
      command->prp2 % page != 0 ||
      !vmm_guest_memory_check (memory, vmm_gpa (command->prp1), page, TRUE) ||
      !vmm_guest_memory_check (memory, vmm_gpa (command->prp2), page, TRUE))
    return NVME_INVALID_FIELD;
  for (guint i = 1; i < nvme->host.n_lanes; i++)
    nvme_lane_lock (&nvme->host.lanes[i]);
  nvme->guest.shadow = command->prp1;
  nvme->guest.event_index = command->prp2;
  for (guint i = 1; i < nvme->host.n_lanes; i++)
    nvme_lane_unlock (&nvme->host.lanes[i]);
  return NVME_OK;
}

/* ---- features ---- */

void
nvme_admin_reset_features (Nvme *nvme)
{
  nvme->guest.arbitration = 0;
  nvme->guest.error_recovery = 0;
  nvme->guest.write_cache = 1;
  nvme->guest.coalescing = 0;
  nvme->guest.atomicity = 0;
  nvme->guest.event_config = 0;
  nvme->guest.over_temperature = 343;
  nvme->guest.under_temperature = 0;
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    nvme->guest.vector_config[i] = 0;
}

static NvmeStatus
set_temperature (Nvme *nvme, guint32 value)
{
  guint sensor = value >> 16 & 0xf, type = value >> 20 & 3;

  if ((sensor != 0 && sensor != 0xf) || type > 1)
    return NVME_INVALID_FIELD;
  if (type == 0)
    nvme->guest.over_temperature = value & 0xffff;
  else
    nvme->guest.under_temperature = value & 0xffff;
  check_temperature (nvme);
  return NVME_OK;
}

static NvmeStatus
set_features (Nvme *nvme, const NvmeCommand *command, guint32 *ret_dw0)
{
  guint32 value = command->dw[1];
  guint n = (guint)nvme->config.n_queues - 1;

  if (command->dw[0] >> 31)
    return NVME_NOT_SAVEABLE;
  switch (command->dw[0] & 0xff)
    {
    case FEATURE_ARBITRATION:
      nvme->guest.arbitration = value & 0xffffff07;
      return NVME_OK;
    case FEATURE_POWER:
      return (value & 0x1f) == 0 ? NVME_OK : NVME_INVALID_FIELD; /* there is one state */
    case FEATURE_TEMPERATURE:
      return set_temperature (nvme, value);
    case FEATURE_ERROR_RECOVERY:
      nvme->guest.error_recovery = value & 0xffff;
      return NVME_OK;
    case FEATURE_WRITE_CACHE:
      nvme->guest.write_cache = value & 1;
      return NVME_OK;
    case FEATURE_QUEUES:
      /* 5.21.1.7: zero based; ffff is none. What is allocated does not depend on the request. */
      if ((value & 0xffff) == 0xffff || value >> 16 == 0xffff)
        return NVME_INVALID_FIELD;
      if (has_io_queues (nvme))
        return NVME_SEQUENCE;
      *ret_dw0 = n | n << 16;
      return NVME_OK;
    case FEATURE_COALESCING:
      nvme->guest.coalescing = value & 0xffff;
      return NVME_OK;
    case FEATURE_VECTOR:
      if ((value & 0xffff) > nvme->config.n_queues)
        return NVME_INVALID_FIELD;
      nvme->guest.vector_config[value & 0xffff] = value & 0x10000;
      return NVME_OK;
    case FEATURE_ATOMICITY:
      nvme->guest.atomicity = value & 1;
      return NVME_OK;
    case FEATURE_EVENTS:
      nvme->guest.event_config = value & EVENT_CONFIG_MASK;
      check_temperature (nvme);
      return NVME_OK;
    default:
      return NVME_INVALID_FIELD;
    }
}

static NvmeStatus
get_features (Nvme *nvme, const NvmeCommand *command, guint32 *ret_dw0)
{
  guint n = (guint)nvme->config.n_queues - 1;

  if ((command->dw[0] >> 8 & 7) != 0)
    return NVME_INVALID_FIELD; /* ONCS: only current values */
  switch (command->dw[0] & 0xff)
    {
    case FEATURE_ARBITRATION:
      *ret_dw0 = nvme->guest.arbitration;
      return NVME_OK;
    case FEATURE_POWER:
      return NVME_OK;
    case FEATURE_TEMPERATURE:
      if ((command->dw[1] >> 16 & 0xf) != 0 || (command->dw[1] >> 20 & 3) > 1)
        return NVME_INVALID_FIELD;
      *ret_dw0 = (command->dw[1] >> 20 & 3) == 0 ? nvme->guest.over_temperature
                                                 : nvme->guest.under_temperature;
      return NVME_OK;
    case FEATURE_ERROR_RECOVERY:
      *ret_dw0 = nvme->guest.error_recovery;
      return NVME_OK;
    case FEATURE_WRITE_CACHE:
      *ret_dw0 = nvme->guest.write_cache;
      return NVME_OK;
    case FEATURE_QUEUES:
      *ret_dw0 = n | n << 16;
      return NVME_OK;
    case FEATURE_COALESCING:
      *ret_dw0 = nvme->guest.coalescing;
      return NVME_OK;
    case FEATURE_VECTOR:
      if ((command->dw[1] & 0xffff) > nvme->config.n_queues)
        return NVME_INVALID_FIELD;
      *ret_dw0 = (command->dw[1] & 0xffff) | nvme->guest.vector_config[command->dw[1] & 0xffff];
      return NVME_OK;
    case FEATURE_ATOMICITY:
      *ret_dw0 = nvme->guest.atomicity;
      return NVME_OK;
    case FEATURE_EVENTS:
      *ret_dw0 = nvme->guest.event_config;
      return NVME_OK;
    default:
      return NVME_INVALID_FIELD;
    }
}

/* ---- the rest ---- */

static NvmeStatus
identify (Nvme *nvme, const NvmeCommand *command)
{
  guint8 data[4096] = { 0 };
  NvmeStatus status = nvme_identify (nvme, command, data);

  return status != NVME_OK
             ? status
             : nvme_data_copy (&nvme->host.lanes[0], command, data, sizeof data, TRUE);
}

static NvmeStatus
get_log (Nvme *nvme, const NvmeCommand *command)
{
  /* 5.14: zero based, in dwords. */
  guint64 length = (((guint64)(command->dw[1] & 0xffff) << 16 | command->dw[0] >> 16) + 1) * 4;
  g_autofree guint8 *data = NULL;
  NvmeStatus status;

  if (length > NVME_MAX_TRANSFER)
    return NVME_INVALID_FIELD;
  data = g_malloc0 (length);
  status = nvme_get_log (nvme, command, data, (guint32)length);
  if (status == NVME_OK)
    status = nvme_data_copy (&nvme->host.lanes[0], command, data, (guint32)length, TRUE);
  if (status == NVME_OK && (command->dw[0] >> 15 & 1) == 0)
    {
      /* Reading it lets the next event of its type come. */
      switch (command->dw[0] & 0xff)
        {
        case NVME_LOG_ERROR:
          nvme->guest.events_masked &= ~(1u << NVME_EVENT_ERROR);
          break;
        case NVME_LOG_SMART:
          nvme->guest.events_masked &= ~(1u << NVME_EVENT_SMART);
          break;
        case NVME_LOG_CHANGED:
          nvme->guest.events_masked &= ~(1u << NVME_EVENT_NOTICE);
          memset (nvme->guest.changed, 0, sizeof nvme->guest.changed);
          break;
        default:
          break;
        }
    }
  return status;
}

/* Only what waits can be aborted, and only event requests wait: all else is with the back end. */
static NvmeStatus
abort_command (Nvme *nvme, const NvmeCommand *command, guint32 *ret_dw0)
{
  guint sqid = command->dw[0] & 0xffff;
  guint16 cid = command->dw[0] >> 16;

  *ret_dw0 = 1;
  if (sqid > nvme->config.n_queues || nvme->guest.sq[sqid].size == 0)
    return NVME_INVALID_FIELD;
  for (guint i = 0; sqid == 0 && i < nvme->guest.n_aers; i++)
    {
      if (nvme->guest.aers[i] != cid)
        continue;
      /* Two completions: there must be room for both. */
      nvme->host.reserved[0]++;
      if (nvme_cq_has_room (nvme, 0))
        {
          memmove (&nvme->guest.aers[i], &nvme->guest.aers[i + 1],
                   (nvme->guest.n_aers - i - 1) * sizeof nvme->guest.aers[0]);
          nvme->guest.aers[--nvme->guest.n_aers] = 0;
          nvme_cq_post (nvme, 0, 0, cid, NVME_ABORTED, 0);
          *ret_dw0 = 0;
        }
      nvme->host.reserved[0]--;
      break;
    }
  return NVME_OK;
}

static NvmeStatus
request_event (Nvme *nvme, const NvmeCommand *command)
{
  if (nvme->guest.n_aers == NVME_N_AERS)
    return NVME_AER_LIMIT;
  for (guint i = 0; i < nvme->guest.n_aers; i++)
    if (nvme->guest.aers[i] == command->cid)
      return NVME_ID_CONFLICT;
  nvme->guest.aers[nvme->guest.n_aers++] = command->cid;
  return NVME_LATER;
}

static NvmeStatus
execute (Nvme *nvme, const NvmeCommand *command, guint32 *ret_dw0)
{
  /* Fused operations and SGLs are for I/O commands. */
  if (command->flags != 0)
    return NVME_INVALID_FIELD;
  switch (command->opcode)
    {
    case ADMIN_DELETE_SQ:
      return delete_sq (nvme, command);
    case ADMIN_CREATE_SQ:
      return create_sq (nvme, command);
    case ADMIN_GET_LOG:
      return get_log (nvme, command);
    case ADMIN_DELETE_CQ:
      return delete_cq (nvme, command);
    case ADMIN_CREATE_CQ:
      return create_cq (nvme, command);
    case ADMIN_IDENTIFY:
      return identify (nvme, command);
    case ADMIN_ABORT:
      return abort_command (nvme, command, ret_dw0);
    case ADMIN_SET_FEATURES:
      return set_features (nvme, command, ret_dw0);
    case ADMIN_GET_FEATURES:
      return get_features (nvme, command, ret_dw0);
    case ADMIN_ASYNC_EVENT:
      return request_event (nvme, command);
    case ADMIN_DOORBELL_BUFFERS:
      return set_doorbell_buffers (nvme, command);
    default:
      return NVME_INVALID_OPCODE;
    }
}

void
nvme_admin_run (NvmeLane *lane)
{
  Nvme *nvme = lane->nvme;
  guint budget = nvme->guest.sq[0].size;
  NvmeCommand command;

  g_atomic_int_set (&nvme->host.starved[0], FALSE);
  nvme_cq_update_head (nvme, 0);
  take_events (nvme);
  deliver_events (nvme);
  while (budget > 0 && nvme_is_live (nvme) && nvme_cq_has_room (nvme, 0) &&
         nvme_sq_fetch (nvme, 0, &command))
    {
      guint32 dw0 = 0;
      NvmeStatus status = execute (nvme, &command, &dw0);

      budget--;
      if (status != NVME_LATER)
        {
          if (status != NVME_OK)
            nvme_log_error (nvme, 0, &command, status);
          nvme_cq_post (nvme, 0, 0, command.cid, status, dw0);
        }
      deliver_events (nvme);
    }
  if (budget == 0)
    nvme_lane_kick (lane);
}
