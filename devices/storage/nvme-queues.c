/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Submission and completion queues, doorbells as the worker sees them, interrupts, draining. */
#include "devices/storage/nvme-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CID_BYTES (65536 / 8)

void
nvme_lane_lock (NvmeLane *lane)
{
  g_mutex_lock (lane->lock);
}

void
nvme_lane_unlock (NvmeLane *lane)
{
  g_mutex_unlock (lane->lock);
}

void
nvme_lane_kick (NvmeLane *lane)
{
  const guint64 one = 1;

  while (write (lane->doorbell, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

/* An error that the guest hears of by an asynchronous event, from any lane. */
void
nvme_report_error (Nvme *nvme, guint info)
{
  if ((g_atomic_int_or ((guint *)&nvme->host.event_bits, 1u << info) & 1u << info) == 0)
    nvme_lane_kick (&nvme->host.lanes[0]);
}

/* ---- life of queues ---- */

void
nvme_cq_made (Nvme *nvme, guint cqid)
{
  nvme->host.reserved[cqid] = 0;
  g_atomic_int_set (&nvme->host.starved[cqid], FALSE);
  __atomic_store_n (&nvme->host.cq_doorbell[cqid], 0, __ATOMIC_RELAXED);
  g_atomic_int_set (&nvme->host.cq_lane[cqid],
                    cqid == 0 ? 0 : 1 + (int)((cqid - 1) % (nvme->host.n_lanes - 1)));
}

void
nvme_sq_made (Nvme *nvme, guint sqid)
{
  guint cqid = nvme->guest.sq[sqid].cqid;

  if (nvme->host.cids[sqid] == NULL)
    nvme->host.cids[sqid] = g_malloc0 (CID_BYTES);
  __atomic_store_n (&nvme->host.sq_doorbell[sqid], 0, __ATOMIC_RELAXED);
  g_atomic_int_set (&nvme->host.sq_lane[sqid], g_atomic_int_get (&nvme->host.cq_lane[cqid]));
}

void
nvme_sq_forget (Nvme *nvme, guint sqid)
{
  g_atomic_int_set (&nvme->host.sq_lane[sqid], 0);
  g_clear_pointer (&nvme->host.cids[sqid], g_free);
  memset (&nvme->guest.sq[sqid], 0, sizeof (NvmeSq));
}

void
nvme_queues_clear (Nvme *nvme)
{
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    {
      g_assert (nvme->host.in_flight[i] == 0);
      nvme_sq_forget (nvme, i);
      memset (&nvme->guest.cq[i], 0, sizeof (NvmeCq));
      g_atomic_int_set (&nvme->host.cq_lane[i], 0);
      nvme->host.reserved[i] = 0;
      g_atomic_int_set (&nvme->host.starved[i], FALSE);
      __atomic_store_n (&nvme->host.sq_doorbell[i], 0, __ATOMIC_RELAXED);
      __atomic_store_n (&nvme->host.cq_doorbell[i], 0, __ATOMIC_RELAXED);
    }
  for (guint i = 0; i < nvme->host.n_lanes; i++)
    nvme->host.lanes[i].notify = 0;
  g_mutex_lock (&nvme->host.intx_lock);
  nvme->host.intx_bits = 0;
  g_mutex_unlock (&nvme->host.intx_lock);
  nvme_update_intx (nvme);
}

void
nvme_queues_init_admin (Nvme *nvme)
{
  /* 3.1.8: both sizes are zero based. Latched here: the registers do not matter until a reset. */
  nvme->guest.sq[0] = (NvmeSq){ .base = nvme->guest.asq, .size = (nvme->guest.aqa & 0xfff) + 1 };
  nvme->guest.cq[0] = (NvmeCq){ .base = nvme->guest.acq,
                                .size = (nvme->guest.aqa >> 16 & 0xfff) + 1,
                                .phase = 1,
                                .interrupts = 1 };
  nvme_cq_made (nvme, 0);
  nvme_sq_made (nvme, 0);
}

/* ---- interrupts ---- */

void
nvme_update_intx (Nvme *nvme)
{
  gboolean level = FALSE;

  g_mutex_lock (&nvme->host.intx_lock);
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    if ((nvme->host.intx_bits >> i & 1) != 0 &&
        (nvme->guest.intms >> (nvme->guest.cq[i].vector & 31) & 1) == 0)
      level = TRUE;
  pci_device_set_intx (&nvme->parent, level);
  g_mutex_unlock (&nvme->host.intx_lock);
}

/* 3.1.3: the line is up while a completion queue with interrupts has entries. */
static void
note_entries (Nvme *nvme, guint cqid)
{
  const NvmeCq *cq = &nvme->guest.cq[cqid];
  guint32 bit = 1u << cqid;

  g_mutex_lock (&nvme->host.intx_lock);
  if (cq->size != 0 && cq->interrupts && cq->head != cq->tail)
    nvme->host.intx_bits |= bit;
  else
    nvme->host.intx_bits &= ~bit;
  g_mutex_unlock (&nvme->host.intx_lock);
  nvme_update_intx (nvme);
}

static void
interrupt (Nvme *nvme, guint cqid)
{
  const NvmeCq *cq = &nvme->guest.cq[cqid];

  if (cq->size == 0 || !cq->interrupts)
    return;
  nvme_count (&nvme->host.n_interrupts, 1);
  if (!pci_device_raise (&nvme->parent, cq->vector))
    note_entries (nvme, cqid);
}

void
nvme_lane_notify (NvmeLane *lane)
{
  lane->notify_rung = FALSE;
  for (guint i = 0; lane->notify != 0 && i <= NVME_MAX_QUEUES; i++)
    if ((lane->notify >> i & 1) != 0)
      {
        lane->notify &= ~(1u << i);
        interrupt (lane->nvme, i);
      }
}

/* ---- completion ---- */

static guint
occupied (const NvmeCq *cq)
{
  return cq->tail >= cq->head ? cq->tail - cq->head : cq->size - cq->head + cq->tail;
}

static guint64
shadow_of (Nvme *nvme, guint64 page, guint qid, gboolean cq)
{
  return page + (2 * qid + (cq ? 1 : 0)) * 4;
}

static gboolean
read_shadow (Nvme *nvme, guint qid, gboolean cq, guint32 *ret_value)
{
  guint32 value;

  if (qid == 0 || nvme->guest.shadow == 0 ||
      !vmm_guest_memory_read (vmm_machine_get_memory (nvme->host.machine),
                              vmm_gpa (shadow_of (nvme, nvme->guest.shadow, qid, cq)), &value, 4))
    return FALSE;
  *ret_value = GUINT32_FROM_LE (value);
  return TRUE;
}

static void
write_event_index (Nvme *nvme, guint qid, gboolean cq, guint32 index)
{
  guint32 value = GUINT32_TO_LE (index);

  if (qid == 0 || nvme->guest.event_index == 0)
    return;
  /* A buffer that is gone with its RAM: doorbells come then, or not, as the driver reads it. */
  if (!vmm_guest_memory_write (vmm_machine_get_memory (nvme->host.machine),
                               vmm_gpa (shadow_of (nvme, nvme->guest.event_index, qid, cq)), &value,
                               4))
    return;
  /* Before the shadow is looked at again. */
  __atomic_thread_fence (__ATOMIC_SEQ_CST);
}

void
nvme_cq_update_head (Nvme *nvme, guint cqid)
{
  NvmeCq *cq = &nvme->guest.cq[cqid];
  guint32 value = __atomic_exchange_n (&nvme->host.cq_doorbell[cqid], 0, __ATOMIC_ACQUIRE);
  gboolean rung = (value & NVME_RUNG) != 0;

  if (cq->size == 0)
    {
      if (rung)
        nvme_report_error (nvme, NVME_ERROR_DOORBELL_REGISTER);
      return;
    }
  value &= ~NVME_RUNG;
  if (read_shadow (nvme, cqid, TRUE, &value))
    rung = TRUE;
  if (!rung)
    return;
  /* Only entries that are there can be taken. */
  if (value >= cq->size || (value + cq->size - cq->head) % cq->size > occupied (cq))
    {
      nvme_report_error (nvme, NVME_ERROR_DOORBELL_VALUE);
      return;
    }
  cq->head = value;
  if (!pci_device_msix_enabled (&nvme->parent))
    note_entries (nvme, cqid);
}

static gboolean
room (Nvme *nvme, guint cqid)
{
  const NvmeCq *cq = &nvme->guest.cq[cqid];

  return occupied (cq) + nvme->host.reserved[cqid] + 1 < cq->size;
}

gboolean
nvme_cq_has_room (Nvme *nvme, guint cqid)
{
  if (room (nvme, cqid))
    return TRUE;
  nvme_cq_update_head (nvme, cqid);
  if (room (nvme, cqid))
    return TRUE;
  /* From now on the head's doorbell wakes this lane. */
  g_atomic_int_set (&nvme->host.starved[cqid], TRUE);
  write_event_index (nvme, cqid, TRUE, nvme->guest.cq[cqid].head);
  nvme_cq_update_head (nvme, cqid);
  return room (nvme, cqid);
}

void
nvme_cq_post (Nvme *nvme, guint cqid, guint sqid, guint16 cid, NvmeStatus status, guint32 dw0)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (nvme->host.machine);
  NvmeCq *cq = &nvme->guest.cq[cqid];
  guint64 at = cq->base + (guint64)cq->tail * 16;
  guint lane = (guint)g_atomic_int_get (&nvme->host.cq_lane[cqid]);
  guint8 entry[14];
  guint field = (guint)status << 1 | cq->phase;

  /* Do Not Retry, unless it was the medium or memory. */
  if (status != NVME_OK && status != NVME_READ_ERROR && status != NVME_WRITE_FAULT &&
      status != NVME_CAPACITY && status != NVME_INTERNAL && status != NVME_ABORTED)
    field |= 1u << 15;
  if (status != NVME_OK && status != NVME_ABORTED)
    field |= 1u << 14; /* More: in the error log */
  nvme_put_le (entry, dw0, 4);
  nvme_put_le (entry + 4, 0, 4);
  nvme_put_le (entry + 8, nvme->guest.sq[sqid].head, 2);
  nvme_put_le (entry + 10, sqid, 2);
  nvme_put_le (entry + 12, cid, 2);
  /* 4.6: the phase tag makes an entry valid, so it comes last. */
  if (!vmm_guest_memory_write (memory, vmm_gpa (at), entry, sizeof entry) ||
      !vmm_guest_memory_store_le16 (memory, vmm_gpa (at + 14), (guint16)field))
    {
      nvme_set_fatal (nvme);
      return;
    }
  if (++cq->tail == cq->size)
    {
      cq->tail = 0;
      cq->phase ^= 1;
    }
  nvme->host.lanes[lane].notify |= 1u << cqid;
}

/* ---- submission ---- */

void
nvme_sq_update_tail (Nvme *nvme, guint sqid)
{
  NvmeSq *sq = &nvme->guest.sq[sqid];
  guint32 value = __atomic_exchange_n (&nvme->host.sq_doorbell[sqid], 0, __ATOMIC_ACQUIRE);
  gboolean rung = (value & NVME_RUNG) != 0;

  value &= ~NVME_RUNG;
  if (read_shadow (nvme, sqid, FALSE, &value))
    rung = TRUE;
  if (!rung)
    return;
  if (value >= sq->size)
    nvme_report_error (nvme, NVME_ERROR_DOORBELL_VALUE);
  else
    sq->tail = value;
}

gboolean
nvme_sq_fetch (Nvme *nvme, guint sqid, NvmeCommand *command)
{
  NvmeSq *sq = &nvme->guest.sq[sqid];

  if (sq->head == sq->tail)
    {
      nvme_sq_update_tail (nvme, sqid);
      if (sq->head == sq->tail && sqid != 0 && nvme->guest.shadow != 0)
        {
          /* Nothing: the next doorbell is wanted; unless an entry came before that was known. */
          write_event_index (nvme, sqid, FALSE, sq->tail);
          nvme_sq_update_tail (nvme, sqid);
        }
      if (sq->head == sq->tail)
        return FALSE;
    }
  if (!vmm_guest_memory_read (vmm_machine_get_memory (nvme->host.machine),
                              vmm_gpa (sq->base + (guint64)sq->head * 64), command,
                              sizeof *command))
    {
      nvme_set_fatal (nvme);
      return FALSE;
    }
  if (++sq->head == sq->size)
    sq->head = 0;
  command->cid = GUINT16_FROM_LE (command->cid);
  command->nsid = GUINT32_FROM_LE (command->nsid);
  command->prp1 = GUINT64_FROM_LE (command->prp1);
  command->prp2 = GUINT64_FROM_LE (command->prp2);
  for (guint i = 0; i < G_N_ELEMENTS (command->dw); i++)
    command->dw[i] = GUINT32_FROM_LE (command->dw[i]);
  return TRUE;
}

/* ---- lanes ---- */

void
nvme_lane_run (gpointer user_data)
{
  NvmeLane *lane = user_data;
  Nvme *nvme = lane->nvme;

  if (lane->index == 0)
    nvme_cc_changed (nvme);
  nvme_lane_lock (lane);
  if (nvme_is_live (nvme) && !g_atomic_int_get (&nvme->host.quiesced) &&
      pci_device_can_dma (&nvme->parent))
    {
      nvme_count (&nvme->host.n_kicks, 1);
      lane->inside = lane->draining = TRUE;
      if (lane->index == 0)
        nvme_admin_run (lane);
      else
        for (guint i = 1; i <= NVME_MAX_QUEUES; i++)
          {
            if (g_atomic_int_get (&nvme->host.cq_lane[i]) == (int)lane->index &&
                (g_atomic_int_get (&nvme->host.starved[i]) ||
                 !pci_device_msix_enabled (&nvme->parent)))
              {
                g_atomic_int_set (&nvme->host.starved[i], FALSE);
                nvme_cq_update_head (nvme, i);
              }
            if (g_atomic_int_get (&nvme->host.sq_lane[i]) == (int)lane->index)
              nvme_io_run (lane, i);
          }
      lane->inside = lane->draining = FALSE;
    }
  nvme_lane_notify (lane);
  nvme_lane_unlock (lane);
}

void
nvme_lane_drain (gpointer user_data)
{
  NvmeLane *lane = user_data;
  Nvme *nvme = lane->nvme;

  for (guint i = 0; i < NVME_MAX_NAMESPACES; i++)
    {
      BlockBackend *backend = nvme->host.ns[i].backend;

      if (backend != NULL)
        backend->ops->drain (backend, lane->worker);
    }
  nvme_lane_lock (lane);
  g_assert (lane->n_in_flight == 0);
  nvme_lane_notify (lane);
  nvme_lane_unlock (lane);
}

void
nvme_lane_settle (gpointer user_data)
{
  NvmeLane *lane = user_data;
  Nvme *nvme = lane->nvme;

  for (guint i = 0; i < NVME_MAX_NAMESPACES; i++)
    if (nvme->host.ns[i].backend != NULL)
      (void)block_backend_settle (nvme->host.ns[i].backend, lane->worker);
  nvme_lane_lock (lane);
  nvme_lane_notify (lane);
  nvme_lane_unlock (lane);
}

void
nvme_drain_all (Nvme *nvme)
{
  for (guint i = 0; i < nvme->host.n_lanes; i++)
    vmm_worker_call (nvme->host.lanes[i].worker, nvme_lane_drain, &nvme->host.lanes[i]);
}

/* ---- errors ---- */

void
nvme_log_error (Nvme *nvme, guint sqid, const NvmeCommand *command, NvmeStatus status)
{
  guint8 *entry;

  g_mutex_lock (&nvme->host.log_lock);
  entry = nvme->guest.errors[nvme->guest.n_errors++ % NVME_N_ERRORS];
  memset (entry, 0, 64);
  /* Base 1.4, figure 193 */
  nvme_put_le (entry, nvme->guest.n_errors, 8);
  nvme_put_le (entry + 8, sqid, 2);
  nvme_put_le (entry + 10, command->cid, 2);
  nvme_put_le (entry + 12, (guint)status << 1, 2);
  nvme_put_le (entry + 14, 0xffff, 2); /* no one parameter */
  if (sqid != 0)
    nvme_put_le (entry + 16, command->dw[0] | (guint64)command->dw[1] << 32, 8);
  nvme_put_le (entry + 24, command->nsid, 4);
  g_mutex_unlock (&nvme->host.log_lock);
}
