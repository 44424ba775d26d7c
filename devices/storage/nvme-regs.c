/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Controller registers (Base 1.4, 3.1), BAR 0:
 *
 *   offset  name   access  reset value
 *   0x00    CAP    RO      MQES 1023, CQR, TO 30 s, NVM command set, pages of 4 to 64 KiB
 *   0x08    VS     RO      1.4
 *   0x0c    INTMS  RW1S    0
 *   0x10    INTMC  RW1C    0
 *   0x14    CC     RW      0
 *   0x1c    CSTS   RO      0
 *   0x24    AQA    RW      0     latched when the controller is enabled
 *   0x28    ASQ    RW      0     the same
 *   0x30    ACQ    RW      0     the same
 *   0x1000  doorbells, 8 bytes a queue pair
 *
 * What CC asks for happens on the admin worker; the guest polls CSTS, as the specification has it.
 * A doorbell leaves its value for the queue's worker and rings an eventfd. With shadow doorbell
 * buffers the value is in memory, and after a few exits an ioeventfd takes the doorbell's place. */
#include "devices/storage/nvme-private.h"

#include <errno.h>
#include <string.h>

#define CAP_LOW  ((NVME_MAX_ENTRIES - 1) | 1u << 16 | 60u << 24)
#define CAP_HIGH (1u << 5 | NVME_PAGE_BITS_MAX << 20)
#define AQA_MASK 0x0fff0fffu

gboolean
nvme_is_live (Nvme *nvme)
{
  return g_atomic_int_get (&nvme->host.live);
}

static guint32
get_csts (Nvme *nvme)
{
  return __atomic_load_n (&nvme->guest.csts, __ATOMIC_ACQUIRE);
}

void
nvme_update_live (Nvme *nvme)
{
  g_atomic_int_set (&nvme->host.live, (get_csts (nvme) & (NVME_CSTS_RDY | NVME_CSTS_CFS |
                                                          NVME_CSTS_SHST)) == NVME_CSTS_RDY);
}

void
nvme_set_fatal (Nvme *nvme)
{
  __atomic_fetch_or (&nvme->guest.csts, NVME_CSTS_CFS, __ATOMIC_RELEASE);
  g_atomic_int_set (&nvme->host.live, FALSE);
}

/* ---- what CC asks for ---- */

/* 7.3.2: all but AQA, ASQ and ACQ, which nvme.c resets with the function. */
void
nvme_controller_reset_locked (Nvme *nvme)
{
  g_atomic_int_set (&nvme->host.live, FALSE);
  nvme_demote_all (nvme);
  /* Workers may have commands under way that own guest memory: these end before anything is
   * forgotten, and may need locks for that. */
  g_mutex_unlock (&nvme->parent.parent.lock);
  nvme_drain_all (nvme);
  g_mutex_lock (&nvme->parent.parent.lock);

  for (guint i = 1; i < nvme->host.n_lanes; i++)
    nvme_lane_lock (&nvme->host.lanes[i]);
  nvme_queues_clear (nvme);
  nvme->guest.shadow = nvme->guest.event_index = 0;
  for (guint i = 1; i < nvme->host.n_lanes; i++)
    nvme_lane_unlock (&nvme->host.lanes[i]);
  nvme_admin_reset_features (nvme);
  nvme->guest.n_aers = 0;
  memset (nvme->guest.aers, 0, sizeof nvme->guest.aers);
  nvme->guest.events_pending = nvme->guest.events_masked = 0;
  memset (nvme->guest.event_info, 0, sizeof nvme->guest.event_info);
  memset (nvme->guest.event_log, 0, sizeof nvme->guest.event_log);
  g_atomic_int_set (&nvme->host.event_bits, 0);
  nvme->guest.intms = 0;
  nvme->guest.reset_wanted = 0;
  __atomic_store_n (&nvme->guest.csts, 0, __ATOMIC_RELEASE);
  nvme_update_intx (nvme);
  nvme->host.n_resets++;
}

static void
enable (Nvme *nvme)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (nvme->host.machine);
  guint sq = (nvme->guest.aqa & 0xfff) + 1, cq = (nvme->guest.aqa >> 16 & 0xfff) + 1;
  guint64 page;

  if (NVME_CC_MPS (nvme->guest.cc) > NVME_PAGE_BITS_MAX || (nvme->guest.cc >> 4 & 7) != 0 ||
      sq < 2 || cq < 2)
    {
      nvme_set_fatal (nvme);
      return;
    }
  page = G_GUINT64_CONSTANT (1) << nvme_page_bits (nvme);
  if (nvme->guest.asq % page != 0 || nvme->guest.acq % page != 0 ||
      !vmm_guest_memory_check (memory, vmm_gpa (nvme->guest.asq), sq * 64, FALSE) ||
      !vmm_guest_memory_check (memory, vmm_gpa (nvme->guest.acq), cq * 16, TRUE))
    {
      nvme_set_fatal (nvme);
      return;
    }
  nvme_queues_init_admin (nvme);
  nvme->guest.n_enables++;
  /* A shutdown of the disabled controller is over with this. */
  __atomic_store_n (&nvme->guest.csts, NVME_CSTS_RDY, __ATOMIC_RELEASE);
  nvme_update_live (nvme);
  nvme_lane_kick (&nvme->host.lanes[0]);
}

static void
end_shutdown (Nvme *nvme)
{
  guint32 csts = get_csts (nvme);

  __atomic_store_n (&nvme->guest.csts, (csts & ~NVME_CSTS_SHST) | NVME_CSTS_SHUT, __ATOMIC_RELEASE);
}

/* On the admin worker: flushes are submitted there, and without a lock. */
static void
flush_done (BlockRequest *request, int result)
{
  Nvme *nvme = request->user_data;

  g_mutex_lock (&nvme->parent.parent.lock);
  if (--nvme->host.n_flushes == 0 && (get_csts (nvme) & NVME_CSTS_SHST) == NVME_CSTS_SHUTTING)
    end_shutdown (nvme);
  g_mutex_unlock (&nvme->parent.parent.lock);
}

/* 3.1.6, 7.6.2: nothing is fetched any more, what was is done, and everything is on the disks;
 * an abrupt shutdown leaves no less behind. The device lock is let go meanwhile. */
static void
shut_down (Nvme *nvme)
{
  BlockRequest *wanted[NVME_MAX_NAMESPACES];
  guint n = 0;

  __atomic_fetch_or (&nvme->guest.csts, NVME_CSTS_SHUTTING, __ATOMIC_RELEASE);
  nvme_update_live (nvme);
  g_mutex_unlock (&nvme->parent.parent.lock);
  nvme_drain_all (nvme);
  g_mutex_lock (&nvme->parent.parent.lock);
  for (guint i = 0; i < NVME_MAX_NAMESPACES; i++)
    {
      NvmeNamespace *ns = &nvme->host.ns[i];

      if (!g_atomic_int_get (&ns->active) || ns->info.readonly)
        continue;
      nvme->host.flushes[i] =
          (BlockRequest){ .op = BLOCK_OP_FLUSH, .done = flush_done, .user_data = nvme };
      wanted[n++] = &nvme->host.flushes[i];
    }
  nvme->host.n_flushes = n;
  if (n == 0)
    {
      end_shutdown (nvme);
      return;
    }
  g_mutex_unlock (&nvme->parent.parent.lock);
  for (guint i = 0; i < n; i++)
    {
      BlockBackend *backend = nvme->host.ns[wanted[i] - nvme->host.flushes].backend;

      backend->ops->submit (backend, nvme->host.lanes[0].worker, wanted[i]);
    }
  g_mutex_lock (&nvme->parent.parent.lock);
}

void
nvme_cc_changed (Nvme *nvme)
{
  g_mutex_lock (&nvme->parent.parent.lock);
  if (nvme->host.cc_written && !g_atomic_int_get (&nvme->host.quiesced) &&
      !g_atomic_int_get (&nvme->host.gone))
    {
      nvme->host.cc_written = FALSE;
      if (nvme->guest.reset_wanted)
        nvme_controller_reset_locked (nvme);
      if ((nvme->guest.cc & NVME_CC_EN) != 0 &&
          (get_csts (nvme) & (NVME_CSTS_RDY | NVME_CSTS_CFS)) == 0)
        enable (nvme);
      if (NVME_CC_SHN (nvme->guest.cc) != 0 && (get_csts (nvme) & NVME_CSTS_SHST) == 0)
        shut_down (nvme);
    }
  g_mutex_unlock (&nvme->parent.parent.lock);
}

/* ---- registers ---- */

static guint32
read_register (Nvme *nvme, guint offset, gboolean *ret_known)
{
  switch (offset)
    {
    case NVME_REG_CAP:
      return CAP_LOW;
    case NVME_REG_CAP + 4:
      return CAP_HIGH;
    case NVME_REG_VS:
      return 0x00010400;
    case NVME_REG_INTMS:
    case NVME_REG_INTMC:
      return nvme->guest.intms;
    case NVME_REG_CC:
      return nvme->guest.cc;
    case NVME_REG_CSTS:
      return get_csts (nvme);
    case NVME_REG_AQA:
      return nvme->guest.aqa;
    case NVME_REG_ASQ:
      return (guint32)nvme->guest.asq;
    case NVME_REG_ASQ + 4:
      return (guint32)(nvme->guest.asq >> 32);
    case NVME_REG_ACQ:
      return (guint32)nvme->guest.acq;
    case NVME_REG_ACQ + 4:
      return (guint32)(nvme->guest.acq >> 32);
    default:
      *ret_known = FALSE;
      return 0;
    }
}

static void
write_cc (Nvme *nvme, guint32 value)
{
  guint32 old = nvme->guest.cc;

  value &= NVME_CC_MASK;
  /* 3.1.5: the command set, page size and arbitration change while disabled only. */
  if ((old & value & NVME_CC_EN) != 0)
    value = (value & ~0x3ff0u) | (old & 0x3ff0u);
  if ((old & ~value & NVME_CC_EN) != 0)
    nvme->guest.reset_wanted = 1;
  nvme->guest.cc = value;
  if (value == old)
    return;
  nvme->host.cc_written = TRUE;
  nvme_lane_kick (&nvme->host.lanes[0]);
}

static void
set_half (guint64 *at, guint offset, guint32 value)
{
  guint shift = offset % 8 * 8;

  *at = (*at & ~(G_GUINT64_CONSTANT (0xffffffff) << shift)) | (guint64)value << shift;
  *at &= ~G_GUINT64_CONSTANT (0xfff);
}

static gboolean
write_register (Nvme *nvme, guint offset, guint32 value)
{
  switch (offset)
    {
    case NVME_REG_INTMS:
      nvme->guest.intms |= value;
      nvme_update_intx (nvme);
      return TRUE;
    case NVME_REG_INTMC:
      nvme->guest.intms &= ~value;
      nvme_update_intx (nvme);
      return TRUE;
    case NVME_REG_CC:
      write_cc (nvme, value);
      return TRUE;
    case NVME_REG_AQA:
      nvme->guest.aqa = value & AQA_MASK;
      return TRUE;
    case NVME_REG_ASQ:
    case NVME_REG_ASQ + 4:
      set_half (&nvme->guest.asq, offset, value);
      return TRUE;
    case NVME_REG_ACQ:
    case NVME_REG_ACQ + 4:
      set_half (&nvme->guest.acq, offset & 7, value);
      return TRUE;
    case NVME_REG_CAP:
    case NVME_REG_CAP + 4:
    case NVME_REG_VS:
    case NVME_REG_CSTS:
      return TRUE; /* read-only */
    default:
      return FALSE;
    }
}

/* ---- doorbells ---- */

/* doorbell_lock held. */
static void
promote (Nvme *nvme, guint sqid)
{
  int lane = g_atomic_int_get (&nvme->host.sq_lane[sqid]);
  guint64 address = nvme->host.bar_base + NVME_DOORBELLS + sqid * 8;

  if (nvme->host.bar_base == PCI_BAR_UNMAPPED || lane == 0 ||
      nvme->host.promoted[sqid] != PCI_BAR_UNMAPPED ||
      __atomic_load_n (&nvme->guest.shadow, __ATOMIC_RELAXED) == 0)
    return;
  /* Size 0, any size, is the kind that some processors serve without decoding the instruction. */
  if (!vmm_machine_add_ioeventfd (nvme->host.machine, nvme->host.lanes[lane].doorbell, FALSE,
                                  address, 0, FALSE, 0))
    return;
  nvme->host.promoted[sqid] = address;
  nvme->host.promoted_fd[sqid] = nvme->host.lanes[lane].doorbell;
}

/* doorbell_lock held. */
static void
demote (Nvme *nvme, guint sqid)
{
  if (nvme->host.promoted[sqid] != PCI_BAR_UNMAPPED)
    vmm_machine_remove_ioeventfd (nvme->host.machine, nvme->host.promoted_fd[sqid], FALSE,
                                  nvme->host.promoted[sqid], 0, FALSE, 0);
  nvme->host.promoted[sqid] = PCI_BAR_UNMAPPED;
  nvme->host.exits[sqid] = 0;
}

void
nvme_demote (Nvme *nvme, guint sqid)
{
  g_mutex_lock (&nvme->host.doorbell_lock);
  demote (nvme, sqid);
  g_mutex_unlock (&nvme->host.doorbell_lock);
}

void
nvme_demote_all (Nvme *nvme)
{
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    nvme_demote (nvme, i);
}

void
nvme_bar_moved (PciDevice *pci, guint bar, guint64 base)
{
  Nvme *nvme = (Nvme *)pci;

  g_mutex_lock (&nvme->host.doorbell_lock);
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    demote (nvme, i);
  nvme->host.bar_base = base;
  g_mutex_unlock (&nvme->host.doorbell_lock);
}

static void
ring_sq (Nvme *nvme, guint qid, guint32 value)
{
  int lane = g_atomic_int_get (&nvme->host.sq_lane[qid]);

  if (qid != 0 && lane == 0)
    {
      nvme_report_error (nvme, NVME_ERROR_DOORBELL_REGISTER);
      return;
    }
  __atomic_store_n (&nvme->host.sq_doorbell[qid], NVME_RUNG | (value & 0xffff), __ATOMIC_RELEASE);
  nvme_lane_kick (&nvme->host.lanes[lane]);
  if (qid == 0 || __atomic_load_n (&nvme->guest.shadow, __ATOMIC_RELAXED) == 0)
    return;
  g_mutex_lock (&nvme->host.doorbell_lock);
  if (++nvme->host.exits[qid] >= NVME_PROMOTE_EXITS)
    promote (nvme, qid);
  g_mutex_unlock (&nvme->host.doorbell_lock);
}

static void
ring_cq (Nvme *nvme, guint qid, guint32 value)
{
  NvmeLane *lane = &nvme->host.lanes[g_atomic_int_get (&nvme->host.cq_lane[qid])];

  if (qid != 0 && lane->index == 0)
    {
      nvme_report_error (nvme, NVME_ERROR_DOORBELL_REGISTER);
      return;
    }
  /* In order with the look at starved below: the lane sets that, then looks here. */
  __atomic_store_n (&nvme->host.cq_doorbell[qid], NVME_RUNG | (value & 0xffff), __ATOMIC_SEQ_CST);
  if (!pci_device_msix_enabled (&nvme->parent))
    {
      /* The line goes down before the guest's handler is left. */
      nvme_lane_lock (lane);
      if (nvme_is_live (nvme))
        nvme_cq_update_head (nvme, qid);
      nvme_lane_unlock (lane);
    }
  if (g_atomic_int_get (&nvme->host.starved[qid]))
    nvme_lane_kick (lane);
}

/* ---- the region ---- */

static VmmIoResult
region_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Nvme *nvme = opaque;
  gboolean known = TRUE;

  if (offset >= NVME_DOORBELLS)
    return VMM_IO_OK; /* 3.1.24: write only; reads have no defined value */
  g_mutex_lock (&nvme->parent.parent.lock);
  *value = read_register (nvme, (guint)offset, &known);
  if (size == 8)
    *value |= (guint64)read_register (nvme, (guint)offset + 4, &known) << 32;
  g_mutex_unlock (&nvme->parent.parent.lock);
  return known ? VMM_IO_OK : VMM_IO_UNKNOWN;
}

static VmmIoResult
region_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Nvme *nvme = opaque;
  gboolean known;

  if (offset >= NVME_DOORBELLS)
    {
      guint index = (guint)(offset - NVME_DOORBELLS) / 4;

      if (size != 4 || index >= 2 * (NVME_MAX_QUEUES + 1))
        return VMM_IO_UNKNOWN;
      nvme_count (&nvme->host.n_doorbell_exits, 1);
      if (!nvme_is_live (nvme))
        return VMM_IO_OK;
      if (index % 2 == 0)
        ring_sq (nvme, index / 2, (guint32)value);
      else
        ring_cq (nvme, index / 2, (guint32)value);
      return VMM_IO_OK;
    }
  g_mutex_lock (&nvme->parent.parent.lock);
  known = write_register (nvme, (guint)offset, (guint32)value);
  if (size == 8)
    known &= write_register (nvme, (guint)offset + 4, (guint32)(value >> 32));
  g_mutex_unlock (&nvme->parent.parent.lock);
  return known ? VMM_IO_OK : VMM_IO_UNKNOWN;
}

const VmmRegionOps nvme_region_ops = {
  .name = "nvme",
  .min_size = 4,
  .max_size = 8,
  .flags = VMM_REGION_LOCKLESS | VMM_REGION_WIDEN,
  .read = region_read,
  .write = region_write,
};
