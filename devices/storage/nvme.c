/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Life cycle of the NVMe controller and its namespaces. */
#include "devices/storage/nvme-private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

const guint8 nvme_oui[3] = { 0x00, 0x54, 0x52 }; /* 52-54-00, least significant byte first */

const NvmeNamespace *
nvme_find_namespace (Nvme *nvme, guint32 nsid)
{
  const NvmeNamespace *ns;

  if (nsid == 0 || nsid > NVME_MAX_NAMESPACES)
    return NULL;
  ns = &nvme->host.ns[nsid - 1];
  return g_atomic_int_get (&ns->active) ? ns : NULL;
}

/* ---- namespaces ---- */

static gboolean
set_up_namespace (Nvme *nvme, const NvmeNamespaceConfig *config, GError **error)
{
  NvmeNamespace *ns;
  guint block;

  if (config->nsid == 0 || config->nsid > NVME_MAX_NAMESPACES)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s”: an NVMe controller has namespaces 1 to %d, not %u",
                   nvme->parent.parent.id, NVME_MAX_NAMESPACES, config->nsid);
      return FALSE;
    }
  ns = &nvme->host.ns[config->nsid - 1];
  if (ns->backend != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "“%s” already has a namespace %u: give the disk another place",
                   nvme->parent.parent.id, config->nsid);
      return FALSE;
    }
  config->backend->ops->get_info (config->backend, &ns->info);
  block = config->block_size != 0 ? config->block_size : ns->info.logical_block;
  if ((block != 512 && block != 4096) || block < ns->info.logical_block)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” cannot have blocks of %u bytes: NVMe has 512 and 4096, and “%s” takes no "
                   "less than %u",
                   config->backend->name, block, config->backend->name, ns->info.logical_block);
      return FALSE;
    }
  ns->block_bits = block == 512 ? 9 : 12;
  ns->n_blocks = ns->info.size >> ns->block_bits;
  if (ns->n_blocks == 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is smaller than one block of %u bytes", config->backend->name, block);
      return FALSE;
    }
  ns->nsid = config->nsid;
  ns->backend = config->backend;
  memcpy (ns->uuid, config->uuid, 16);
  g_atomic_int_set (&ns->active, TRUE);
  return TRUE;
}

/* 5.14.1.4: the list names it, and the event, when wanted, makes the driver read the list. */
static void
tell_changed (Nvme *nvme, guint nsid)
{
  g_mutex_lock (&nvme->parent.parent.lock);
  nvme->guest.changed[nsid - 1] = 1;
  if (nvme->guest.event_config & 1u << 8)
    nvme_admin_event (nvme, NVME_EVENT_NOTICE, NVME_NOTICE_NAMESPACE, NVME_LOG_CHANGED);
  g_mutex_unlock (&nvme->parent.parent.lock);
}

typedef struct
{
  Nvme *nvme;
  const NvmeNamespaceConfig *config;
  guint nsid;
  gboolean ok;
  GError **error;
} NamespaceCall;

static void
add_on_worker (gpointer user_data)
{
  NamespaceCall *call = user_data;

  call->ok = set_up_namespace (call->nvme, call->config, call->error);
  if (call->ok)
    tell_changed (call->nvme, call->config->nsid);
}

gboolean
nvme_add_namespace (VmmDevice *device, const NvmeNamespaceConfig *config, GError **error)
{
  Nvme *nvme = (Nvme *)device;
  NamespaceCall call = { .nvme = nvme, .config = config, .error = error };

  vmm_worker_call (nvme->host.lanes[0].worker, add_on_worker, &call);
  return call.ok;
}

static void
remove_on_worker (gpointer user_data)
{
  NamespaceCall *call = user_data;
  Nvme *nvme = call->nvme;
  NvmeNamespace *ns = &nvme->host.ns[call->nsid - 1];

  /* Commands that come now find none; those that were fetched are finished. */
  g_atomic_int_set (&ns->active, FALSE);
  nvme_drain_all (nvme);
  ns->backend = NULL;
  tell_changed (nvme, call->nsid);
}

gboolean
nvme_remove_namespace (VmmDevice *device, guint nsid, GError **error)
{
  Nvme *nvme = (Nvme *)device;
  NamespaceCall call = { .nvme = nvme, .nsid = nsid };

  if (nvme_find_namespace (nvme, nsid) == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "“%s” has no namespace %u", device->id,
                   nsid);
      return FALSE;
    }
  vmm_worker_call (nvme->host.lanes[0].worker, remove_on_worker, &call);
  return TRUE;
}

guint
nvme_get_n_namespaces (VmmDevice *device)
{
  Nvme *nvme = (Nvme *)device;
  guint n = 0;

  for (guint i = 0; i < NVME_MAX_NAMESPACES; i++)
    n += g_atomic_int_get (&nvme->host.ns[i].active) ? 1 : 0;
  return n;
}

guint
nvme_find_free_nsid (VmmDevice *device)
{
  Nvme *nvme = (Nvme *)device;

  for (guint i = 0; i < NVME_MAX_NAMESPACES; i++)
    if (nvme->host.ns[i].backend == NULL)
      return i + 1;
  return 0;
}

/* ---- life cycle ---- */

static void
doorbell_rang (int fd, guint32 events, gpointer user_data)
{
  nvme_lane_run (user_data);
}

static void
reset_on_worker (gpointer user_data)
{
  Nvme *nvme = user_data;

  g_mutex_lock (&nvme->parent.parent.lock);
  nvme_controller_reset_locked (nvme);
  nvme->guest.cc = 0;
  g_mutex_unlock (&nvme->parent.parent.lock);
}

static void
nvme_unrealize (VmmDevice *device)
{
  Nvme *nvme = (Nvme *)device;

  /* Taken out while its driver runs: as a reset, with nobody left to see it. */
  g_atomic_int_set (&nvme->host.gone, TRUE);
  if (nvme->host.n_lanes > 0)
    vmm_worker_call (nvme->host.lanes[0].worker, reset_on_worker, nvme);
  if (nvme->parent.core != NULL)
    pci_device_finish (&nvme->parent);
  for (guint i = 0; i < nvme->host.n_lanes; i++)
    {
      NvmeLane *lane = &nvme->host.lanes[i];

      g_clear_pointer (&lane->source, vmm_source_remove);
      nvme_io_free_pool (lane);
      if (lane->doorbell >= 0)
        close (lane->doorbell);
      g_mutex_clear (&lane->own_lock);
    }
  nvme->host.n_lanes = 0;
  for (guint i = 0; i < NVME_MAX_QUEUES; i++)
    if (nvme->host.workers[i] != NULL)
      vmm_machine_remove_worker (nvme->host.machine, g_steal_pointer (&nvme->host.workers[i]));
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    g_clear_pointer (&nvme->host.cids[i], g_free);
  g_mutex_clear (&nvme->host.intx_lock);
  g_mutex_clear (&nvme->host.log_lock);
  g_mutex_clear (&nvme->host.doorbell_lock);
}

static gboolean
add_lanes (Nvme *nvme, GError **error)
{
  for (guint i = 0; i < nvme->config.n_queues && nvme->config.iothreads; i++)
    {
      g_autofree char *name = g_strdup_printf ("nvme%u.%s", i, nvme->parent.parent.id);

      nvme->host.workers[i] =
          vmm_machine_add_worker (nvme->host.machine, name, VMM_WORKER_NONE, error);
      if (nvme->host.workers[i] == NULL)
        return FALSE;
    }
  for (guint i = 0; i <= nvme->config.n_queues; i++)
    {
      NvmeLane *lane = &nvme->host.lanes[i];

      lane->nvme = nvme;
      lane->index = i;
      lane->worker = nvme->config.iothreads ? nvme->host.workers[i == 0 ? 0 : i - 1]
                                            : vmm_machine_get_worker (nvme->host.machine);
      g_mutex_init (&lane->own_lock);
      lane->lock = i == 0 ? &nvme->parent.parent.lock : &lane->own_lock;
      lane->doorbell = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
      nvme->host.n_lanes++;
      if (lane->doorbell < 0)
        return vmm_error_set_errno (error, -errno, "%s: cannot make the doorbell of queue %u",
                                    nvme->parent.parent.id, i);
      /* Edge triggered: every write is an edge, and the count need not be read. */
      lane->source =
          vmm_worker_add_fd (lane->worker, lane->doorbell, EPOLLIN | EPOLLET, doorbell_rang, lane);
    }
  return TRUE;
}

static gboolean
nvme_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  Nvme *nvme = (Nvme *)device;
  const NvmeNamespaces *namespaces = nvme->config.namespaces;
  PciDeviceInfo info = {
    .vendor = 0x1b36,
    .device = 0x0010,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 2,
    .class_base = 0x01,
    .class_sub = 0x08,
    .class_prog = 0x02,
    .express = TRUE,
    .n_msix = nvme->config.n_queues + 1,
    .msix_bar = 4,
    .intx_pin = 1,
  };
  PciBar bar = { .kind = PCI_BAR_MMIO64,
                 .size = NVME_BAR_SIZE,
                 .region = &nvme->host.region,
                 .moved = nvme_bar_moved };

  nvme->config.namespaces = NULL;
  nvme->host.machine = machine;
  nvme->host.bar_base = PCI_BAR_UNMAPPED;
  for (guint i = 0; i <= NVME_MAX_QUEUES; i++)
    nvme->host.promoted[i] = PCI_BAR_UNMAPPED;
  nvme->host.powered_since = vmm_clock_get_ns (vmm_machine_get_clock (machine));
  g_mutex_init (&nvme->host.intx_lock);
  g_mutex_init (&nvme->host.log_lock);
  g_mutex_init (&nvme->host.doorbell_lock);
  nvme_admin_reset_features (nvme);
  vmm_region_init (&nvme->host.region, &nvme_region_ops, nvme, NULL, NVME_BAR_SIZE);
  for (guint i = 0; i < namespaces->n; i++)
    if (!set_up_namespace (nvme, &namespaces->list[i], error))
      goto fail;
  if (!pci_device_init (&nvme->parent, machine, &info, error) ||
      !pci_device_add_bar (&nvme->parent, 0, &bar, error) || !add_lanes (nvme, error))
    goto fail;
  return TRUE;

fail:
  nvme_unrealize (device);
  return FALSE;
}

static void
nvme_reset (VmmDevice *device, VmmResetKind kind)
{
  Nvme *nvme = (Nvme *)device;

  vmm_worker_call (nvme->host.lanes[0].worker, reset_on_worker, nvme);
  g_mutex_lock (&device->lock);
  nvme->guest.aqa = 0;
  nvme->guest.asq = nvme->guest.acq = 0;
  memset (nvme->guest.changed, 0, sizeof nvme->guest.changed);
  g_mutex_unlock (&device->lock);
  pci_device_reset (&nvme->parent);
}

static void
nvme_quiesce (VmmDevice *device)
{
  Nvme *nvme = (Nvme *)device;

  if (g_atomic_int_get (&nvme->host.quiesced))
    return;
  g_atomic_int_set (&nvme->host.quiesced, TRUE);
  for (guint i = 0; i < nvme->host.n_lanes; i++)
    vmm_worker_call (nvme->host.lanes[i].worker, nvme_lane_settle, &nvme->host.lanes[i]);
}

static void
nvme_resume (VmmDevice *device)
{
  Nvme *nvme = (Nvme *)device;

  if (!g_atomic_int_get (&nvme->host.quiesced))
    return;
  g_atomic_int_set (&nvme->host.quiesced, FALSE);
  g_mutex_lock (&device->lock);
  nvme->host.cc_written = TRUE;
  g_mutex_unlock (&device->lock);
  for (guint i = 0; i < nvme->host.n_lanes; i++)
    nvme_lane_kick (&nvme->host.lanes[i]);
}

static void
nvme_stats (VmmDevice *device,
            void (*add) (gpointer user_data, const char *name, guint64 value),
            gpointer user_data)
{
  Nvme *nvme = (Nvme *)device;

#define ADD(name, from) add (user_data, name, __atomic_load_n (&nvme->from, __ATOMIC_RELAXED))
  ADD ("reads", guest.n_reads);
  ADD ("writes", guest.n_writes);
  add (user_data, "bytes-read", __atomic_load_n (&nvme->guest.blocks_read, __ATOMIC_RELAXED) * 512);
  add (user_data, "bytes-written",
       __atomic_load_n (&nvme->guest.blocks_written, __ATOMIC_RELAXED) * 512);
  ADD ("errors", guest.n_media_errors);
  ADD ("kicks", host.n_kicks);
  ADD ("interrupts", host.n_interrupts);
  ADD ("doorbell-exits", host.n_doorbell_exits);
  ADD ("resets", host.n_resets);
#undef ADD
  add (user_data, "namespaces", nvme_get_n_namespaces (device));
}

static const VmmProperty properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "namespaces", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (Nvme, config.namespaces),
    .required = TRUE },
  { "num-queues", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (Nvme, config.n_queues), 1, NVME_MAX_QUEUES,
    1 },
  { "iothreads", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (Nvme, config.iothreads), 0, 1, 1 },
  { "serial", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (Nvme, config.serial), 0, 20,
    .default_string = "0" },
  { "uuid", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (Nvme, config.uuid), 0, 36,
    .default_string = "00000000-0000-0000-0000-000000000000" },
  { NULL },
};

const VmmDeviceOps nvme_device_ops = {
  .name = "nvme",
  .summary = "Disk controller (NVMe)",
  .spec = "NVM Express Base 1.4c",
  .instance_size = sizeof (Nvme),
  .state_version = 1,
  .properties = properties,
  .realize = nvme_realize,
  .unrealize = nvme_unrealize,
  .reset = nvme_reset,
  .quiesce = nvme_quiesce,
  .resume = nvme_resume,
  .save = nvme_save,
  .load = nvme_load,
  .stats = nvme_stats,
};
