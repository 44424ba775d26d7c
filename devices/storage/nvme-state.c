/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Save and load. The machine is paused: nothing is in flight, so the queues and registers are all
 * there is. A state is believed only as far as its queues, identifiers and indices are in range. */
#include "devices/storage/nvme-private.h"

#include <string.h>

#define GUEST(member) G_STRUCT_OFFSET (Nvme, guest.member)
#define PLAIN(member, type)                                                                        \
  {                                                                                                \
#member, type, 1, GUEST(member)                                                                \
  }
#define ARRAY(member, type, n)                                                                     \
  {                                                                                                \
#member, type, n, GUEST(member)                                                                \
  }

static const VmmStateField fields[] = {
  PLAIN (cc, VMM_STATE_U32),
  PLAIN (csts, VMM_STATE_U32),
  PLAIN (aqa, VMM_STATE_U32),
  PLAIN (intms, VMM_STATE_U32),
  PLAIN (asq, VMM_STATE_U64),
  PLAIN (acq, VMM_STATE_U64),
  PLAIN (reset_wanted, VMM_STATE_U32),
  PLAIN (shadow, VMM_STATE_U64),
  PLAIN (event_index, VMM_STATE_U64),
  PLAIN (arbitration, VMM_STATE_U32),
  PLAIN (error_recovery, VMM_STATE_U32),
  PLAIN (write_cache, VMM_STATE_U32),
  PLAIN (coalescing, VMM_STATE_U32),
  PLAIN (atomicity, VMM_STATE_U32),
  PLAIN (event_config, VMM_STATE_U32),
  PLAIN (over_temperature, VMM_STATE_U32),
  PLAIN (under_temperature, VMM_STATE_U32),
  ARRAY (vector_config, VMM_STATE_U32, NVME_MAX_QUEUES + 1),
  PLAIN (n_aers, VMM_STATE_U32),
  ARRAY (aers, VMM_STATE_U16, NVME_N_AERS),
  PLAIN (events_pending, VMM_STATE_U32),
  PLAIN (events_masked, VMM_STATE_U32),
  ARRAY (event_info, VMM_STATE_U32, NVME_N_EVENTS),
  ARRAY (event_log, VMM_STATE_U32, NVME_N_EVENTS),
  ARRAY (changed, VMM_STATE_U8, NVME_MAX_NAMESPACES),
  PLAIN (n_errors, VMM_STATE_U64),
  ARRAY (errors, VMM_STATE_U8, NVME_N_ERRORS * 64),
  PLAIN (n_reads, VMM_STATE_U64),
  PLAIN (n_writes, VMM_STATE_U64),
  PLAIN (blocks_read, VMM_STATE_U64),
  PLAIN (blocks_written, VMM_STATE_U64),
  PLAIN (n_media_errors, VMM_STATE_U64),
  PLAIN (busy_ns, VMM_STATE_U64),
  PLAIN (n_enables, VMM_STATE_U64),
  PLAIN (powered_ns, VMM_STATE_U64),
};

static const VmmStateField sq_fields[] = {
  VMM_STATE_FIELD (NvmeSq, base, VMM_STATE_U64), VMM_STATE_FIELD (NvmeSq, size, VMM_STATE_U32),
  VMM_STATE_FIELD (NvmeSq, head, VMM_STATE_U32), VMM_STATE_FIELD (NvmeSq, tail, VMM_STATE_U32),
  VMM_STATE_FIELD (NvmeSq, cqid, VMM_STATE_U32),
};

static const VmmStateField cq_fields[] = {
  VMM_STATE_FIELD (NvmeCq, base, VMM_STATE_U64),
  VMM_STATE_FIELD (NvmeCq, size, VMM_STATE_U32),
  VMM_STATE_FIELD (NvmeCq, head, VMM_STATE_U32),
  VMM_STATE_FIELD (NvmeCq, tail, VMM_STATE_U32),
  VMM_STATE_FIELD (NvmeCq, phase, VMM_STATE_U32),
  VMM_STATE_FIELD (NvmeCq, vector, VMM_STATE_U32),
  VMM_STATE_FIELD (NvmeCq, interrupts, VMM_STATE_U32),
};

gboolean
nvme_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  Nvme *nvme = (Nvme *)device;
  gint64 clock = vmm_clock_get_ns (vmm_machine_get_clock (nvme->host.machine));

  for (guint i = 0; i < nvme->host.n_lanes; i++)
    if (nvme->host.lanes[i].n_in_flight != 0 || nvme->host.n_flushes != 0)
      {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_BUSY,
            "“%s” cannot be saved while requests wait for their disk: make room for it, let "
            "the machine go on, and try again",
            device->id);
        return FALSE;
      }
  nvme->guest.powered_ns += (guint64)MAX (clock - nvme->host.powered_since, 0);
  nvme->host.powered_since = clock;
  /* Doorbells that no kick has taken up yet. */
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    {
      if (nvme->guest.sq[i].size != 0)
        nvme_sq_update_tail (nvme, i);
      if (nvme->guest.cq[i].size != 0)
        nvme_cq_update_head (nvme, i);
    }
  pci_device_save (&nvme->parent, writer);
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), nvme);
  for (guint i = 0; i <= nvme->config.n_queues; i++)
    {
      vmm_state_save_fields (writer, sq_fields, G_N_ELEMENTS (sq_fields), &nvme->guest.sq[i]);
      vmm_state_save_fields (writer, cq_fields, G_N_ELEMENTS (cq_fields), &nvme->guest.cq[i]);
    }
  return TRUE;
}

/* nvme: what was read; the present one gives the limits. */
static const char *
find_mistake (Nvme *nvme)
{
  gboolean ready = (nvme->guest.csts & NVME_CSTS_RDY) != 0;

  if ((nvme->guest.cc & ~NVME_CC_MASK) != 0 ||
      (nvme->guest.csts & ~(NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST)) != 0 ||
      (nvme->guest.csts & NVME_CSTS_SHUTTING) != 0 || /* a pause ends it */
      (ready && NVME_CC_MPS (nvme->guest.cc) > NVME_PAGE_BITS_MAX) || nvme->guest.reset_wanted > 1)
    return "a register";
  if (nvme->guest.n_aers > NVME_N_AERS || nvme->guest.events_pending >> NVME_N_EVENTS != 0 ||
      nvme->guest.events_masked >> NVME_N_EVENTS != 0)
    return "the event requests";
  for (guint i = 0; i < NVME_N_EVENTS; i++)
    if (nvme->guest.event_info[i] > 0xff || nvme->guest.event_log[i] > 0xff)
      return "an event";
  if ((nvme->guest.shadow & 0xfff) != 0 || (nvme->guest.event_index & 0xfff) != 0)
    return "the doorbell buffers";
  if (nvme->guest.write_cache > 1 || (nvme->guest.event_config & ~0x11fu) != 0)
    return "a feature";
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    {
      const NvmeSq *sq = &nvme->guest.sq[i];
      const NvmeCq *cq = &nvme->guest.cq[i];
      guint max = i == 0 ? 4096 : NVME_MAX_ENTRIES;

      if (sq->size != 0 && (!ready || sq->size < 2 || sq->size > max || sq->head >= sq->size ||
                            sq->tail >= sq->size || sq->cqid > nvme->config.n_queues ||
                            nvme->guest.cq[sq->cqid].size == 0 || (i == 0) != (sq->cqid == 0) ||
                            sq->base > G_MAXUINT64 - 64 * 4096))
        return "a submission queue";
      if (cq->size != 0 &&
          (!ready || cq->size < 2 || cq->size > max || cq->head >= cq->size ||
           cq->tail >= cq->size || cq->phase > 1 || cq->vector > nvme->config.n_queues ||
           cq->interrupts > 1 || cq->base > G_MAXUINT64 - 16 * 4096))
        return "a completion queue";
    }
  if (ready && (nvme->guest.sq[0].size == 0 || nvme->guest.cq[0].size == 0))
    return "the admin queue";
  return NULL;
}

static gboolean
load_queues (Nvme *nvme, VmmStateReader *reader, GError **error)
{
  for (guint i = 0; i <= nvme->config.n_queues; i++)
    if (!vmm_state_load_fields (reader, sq_fields, G_N_ELEMENTS (sq_fields), &nvme->guest.sq[i],
                                error) ||
        !vmm_state_load_fields (reader, cq_fields, G_N_ELEMENTS (cq_fields), &nvme->guest.cq[i],
                                error))
      return FALSE;
  return TRUE;
}

gboolean
nvme_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Nvme *nvme = (Nvme *)device;
  const char *mistake = NULL;

  if (!pci_device_load (&nvme->parent, reader, error))
    return FALSE;
  g_mutex_lock (&nvme->parent.parent.lock);
  nvme_controller_reset_locked (nvme);
  g_mutex_unlock (&nvme->parent.parent.lock);
  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), nvme, error) ||
      !load_queues (nvme, reader, error) || (mistake = find_mistake (nvme)) != NULL)
    {
      if (error != NULL && *error == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                     "The saved state of “%s” is damaged: %s is impossible", device->id, mistake);
      /* Nothing of it stays. */
      memset (&nvme->guest, 0, sizeof nvme->guest);
      nvme_admin_reset_features (nvme);
      nvme_queues_clear (nvme);
      return FALSE;
    }
  for (guint i = 0; i <= nvme->config.n_queues; i++)
    if (nvme->guest.cq[i].size != 0)
      nvme_cq_made (nvme, i);
  for (guint i = 0; i <= nvme->config.n_queues; i++)
    if (nvme->guest.sq[i].size != 0)
      nvme_sq_made (nvme, i);
  nvme->host.powered_since = vmm_clock_get_ns (vmm_machine_get_clock (nvme->host.machine));
  for (guint i = 0; i <= nvme->config.n_queues; i++)
    if (nvme->guest.cq[i].size != 0 && nvme->guest.cq[i].interrupts &&
        nvme->guest.cq[i].head != nvme->guest.cq[i].tail &&
        !pci_device_msix_enabled (&nvme->parent))
      nvme->host.intx_bits |= 1u << i;
  nvme_update_intx (nvme);
  nvme_update_live (nvme);
  return TRUE;
}
