/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The virtio PCI transport: set-up, capabilities, doorbells, interrupts, reset, pause.
 *
 * Doorbells are eventfds read by the queue's worker. An exit to user space writes the eventfd too;
 * after a few exits at one address an ioeventfd is made there, so only doorbells that a driver
 * really uses cost the hypervisor a slot, and boot does not wait for the rest. */
#include "devices/virtio/virtio-private.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum
{
  CAP_COMMON = 1,
  CAP_NOTIFY = 2,
  CAP_ISR = 3,
  CAP_DEVICE = 4,
  CAP_PCI_CFG = 5,
};

static void
add_one (guint64 *counter)
{
  __atomic_fetch_add (counter, 1, __ATOMIC_RELAXED);
}

/* ---- interrupts ---- */

void
virtio_transport_raise (VirtioTransport *t, guint vector, guint isr)
{
  PciDevice *pci = &t->device->parent;

  if (pci_device_msix_enabled (pci))
    {
      if (vector != VIRTIO_NO_VECTOR)
        (void)pci_device_raise (pci, vector);
      return;
    }
  g_mutex_lock (&t->isr_lock);
  t->isr |= isr;
  pci_device_set_intx (pci, TRUE);
  g_mutex_unlock (&t->isr_lock);
}

void
virtio_device_raise_queue (VirtioDevice *device, guint index)
{
  VirtioTransport *t = device->transport;
  VirtioQueueState *queue = &t->queues[index];

  add_one (&queue->n_interrupts);
  virtio_transport_raise (t, queue->vector, ISR_QUEUE);
}

void
virtio_device_notify_queue (VirtioDevice *device, guint index)
{
  if (virtqueue_should_notify (device->transport->queues[index].vq))
    virtio_device_raise_queue (device, index);
}

void
virtio_device_notify_config (VirtioDevice *device)
{
  VirtioTransport *t = device->transport;

  g_atomic_int_inc (&t->generation);
  if (g_atomic_int_get (&t->status) & STATUS_DRIVER_OK)
    virtio_transport_raise (t, t->config_vector, ISR_CONFIG);
}

void
virtio_device_set_broken (VirtioDevice *device)
{
  VirtioTransport *t = device->transport;
  guint old = g_atomic_int_or ((guint *)&t->status, STATUS_NEEDS_RESET);

  g_atomic_int_set (&t->active, FALSE);
  if (old & STATUS_NEEDS_RESET)
    return;
  add_one (&t->n_broken);
  /* 2.1.2: with DRIVER_OK the driver is told. */
  if (old & STATUS_DRIVER_OK)
    virtio_transport_raise (t, t->config_vector, ISR_CONFIG);
}

/* ---- doorbells ---- */

static void
write_doorbell (VirtioQueueState *queue)
{
  const guint64 one = 1;

  while (write (queue->doorbell, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

void
virtio_device_schedule_kick (VirtioDevice *device, guint index)
{
  write_doorbell (&device->transport->queues[index]);
}

static void
promote (VirtioTransport *t, VirtioQueueState *queue, gboolean pio)
{
  guint64 base = pio ? t->pio_base : t->mmio_base;
  guint64 address = base + queue->index * VIRTIO_NOTIFY_STEP;
  guint64 *registered = pio ? &queue->pio_address : &queue->mmio_address;

  if (base == PCI_BAR_UNMAPPED || *registered != PCI_BAR_UNMAPPED)
    return;
  if (!pio)
    address += VIRTIO_NOTIFY_OFFSET;
  /* The driver writes 16 bits (4.1.5.2). For MMIO size 0, any size, is the kind that some
   * processors serve without decoding the instruction. */
  if (vmm_machine_add_ioeventfd (t->machine, queue->doorbell, pio, address, pio ? 2 : 0, FALSE, 0))
    *registered = address;
}

static void
demote (VirtioTransport *t, VirtioQueueState *queue, gboolean pio)
{
  guint64 *registered = pio ? &queue->pio_address : &queue->mmio_address;

  if (*registered != PCI_BAR_UNMAPPED)
    vmm_machine_remove_ioeventfd (t->machine, queue->doorbell, pio, *registered, pio ? 2 : 0, FALSE,
                                  0);
  *registered = PCI_BAR_UNMAPPED;
  if (pio)
    queue->pio_exits = 0;
  else
    queue->mmio_exits = 0;
}

void
virtio_transport_ring (VirtioTransport *t, guint index, gboolean pio)
{
  VirtioQueueState *queue;

  add_one (&t->n_doorbell_exits);
  if (index >= t->n_queues)
    return;
  queue = &t->queues[index];
  write_doorbell (queue);
  if (!g_atomic_int_get (&t->active))
    return;
  g_mutex_lock (&t->doorbell_lock);
  if (++*(pio ? &queue->pio_exits : &queue->mmio_exits) == VIRTIO_PROMOTE_KICKS)
    promote (t, queue, pio);
  g_mutex_unlock (&t->doorbell_lock);
}

static void
bar_moved (PciDevice *pci, guint bar, guint64 base)
{
  VirtioTransport *t = ((VirtioDevice *)pci)->transport;
  gboolean pio = t->has_pio && bar == VIRTIO_PIO_BAR;

  g_mutex_lock (&t->doorbell_lock);
  for (guint i = 0; i < t->n_queues; i++)
    demote (t, &t->queues[i], pio);
  *(pio ? &t->pio_base : &t->mmio_base) = base;
  g_mutex_unlock (&t->doorbell_lock);
}

/* On the queue's worker. */
static void
run_kick (int fd, guint32 events, gpointer user_data)
{
  VirtioQueueState *queue = user_data;
  VirtioDevice *device = queue->device;
  VirtioTransport *t = device->transport;

  g_mutex_lock (queue->lock);
  if (g_atomic_int_get (&t->active) && !g_atomic_int_get (&t->quiesced) &&
      virtqueue_is_enabled (queue->vq))
    {
      add_one (&queue->n_kicks);
      device->virtio_ops->kick (device, queue->index);
    }
  g_mutex_unlock (queue->lock);
}

static void
watch_doorbell (VirtioQueueState *queue)
{
  /* Edge triggered: every write is an edge, and the count need not be read. */
  queue->source =
      vmm_worker_add_fd (queue->worker, queue->doorbell, EPOLLIN | EPOLLET, run_kick, queue);
}

int
virtio_device_take_doorbell (VirtioDevice *device, guint index)
{
  VirtioTransport *t = device->transport;
  VirtioQueueState *queue = &t->queues[index];

  g_clear_pointer (&queue->source, vmm_source_remove);
  queue->taken = TRUE;
  return queue->doorbell;
}

void
virtio_device_return_doorbell (VirtioDevice *device, guint index)
{
  VirtioQueueState *queue = &device->transport->queues[index];

  if (!queue->taken)
    return;
  queue->taken = FALSE;
  watch_doorbell (queue);
}

int
virtio_device_get_interrupt_fd (VirtioDevice *device, guint index)
{
  VirtioTransport *t = device->transport;
  guint vector = t->queues[index].vector;

  if (vector == VIRTIO_NO_VECTOR || !pci_device_msix_enabled (&device->parent))
    return -1;
  return pci_device_get_vector_eventfd (&device->parent, vector, NULL);
}

/* ---- activate, reset, pause ---- */

static void
kick_all (VirtioTransport *t)
{
  for (guint i = 0; i < t->n_queues; i++)
    if (virtqueue_is_enabled (t->queues[i].vq))
      write_doorbell (&t->queues[i]);
}

void
virtio_transport_activate (VirtioTransport *t)
{
  if (g_atomic_int_get (&t->status) & STATUS_NEEDS_RESET)
    return;
  t->activated = TRUE;
  t->device->virtio_ops->activate (t->device);
  g_atomic_int_set (&t->active, TRUE);
  /* Buffers made available before DRIVER_OK count too. */
  kick_all (t);
}

static void
nothing (gpointer user_data)
{
}

/* Waits for kicks that run now; no lock held. */
static void
wait_for_kicks (VirtioTransport *t)
{
  for (guint i = 0; i < t->n_queues; i++)
    if (i == 0 || t->queues[i].worker != t->queues[i - 1].worker)
      vmm_worker_call (t->queues[i].worker, nothing, NULL);
}

static void
reset_queue_registers (VirtioQueueState *queue, guint size)
{
  queue->size = size;
  queue->vector = VIRTIO_NO_VECTOR;
  queue->enable = 0;
  queue->desc = queue->driver = queue->used = 0;
  queue->saved_avail = 0;
}

static guint
queue_max (VirtioTransport *t, guint index)
{
  return virtqueue_get_max_size (t->queues[index].vq);
}

void
virtio_transport_reset_locked (VirtioTransport *t)
{
  VirtioDevice *device = t->device;

  if (t->resetting)
    return;
  t->resetting = TRUE;
  g_atomic_int_set (&t->active, FALSE);
  g_mutex_unlock (&device->parent.parent.lock);
  /* Workers may wait for the device lock, and may have requests under way that own guest memory:
   * both end before anything is forgotten. */
  if (t->activated)
    {
      wait_for_kicks (t);
      device->virtio_ops->deactivate (device);
      add_one (&t->n_resets);
    }
  g_mutex_lock (&device->parent.parent.lock);

  t->activated = t->load_activate = FALSE;
  for (guint i = 0; i < t->n_queues; i++)
    {
      g_mutex_lock (&t->queues[i].own_lock);
      virtqueue_reset (t->queues[i].vq);
      g_mutex_unlock (&t->queues[i].own_lock);
      reset_queue_registers (&t->queues[i], queue_max (t, i));
    }
  t->device_feature_select = t->driver_feature_select = 0;
  t->driver_features = 0;
  t->config_vector = VIRTIO_NO_VECTOR;
  t->queue_select = 0;
  g_atomic_int_set (&t->generation, 0);
  g_mutex_lock (&t->isr_lock);
  t->isr = 0;
  pci_device_set_intx (&device->parent, FALSE);
  g_mutex_unlock (&t->isr_lock);
  g_atomic_int_set (&t->status, 0);
  t->resetting = FALSE;
}

void
virtio_device_reset (VirtioDevice *device)
{
  g_mutex_lock (&device->parent.parent.lock);
  virtio_transport_reset_locked (device->transport);
  g_mutex_unlock (&device->parent.parent.lock);
  pci_device_reset (&device->parent);
}

void
virtio_device_quiesce (VirtioDevice *device)
{
  VirtioTransport *t = device->transport;

  if (g_atomic_int_get (&t->quiesced))
    return;
  g_atomic_int_set (&t->quiesced, TRUE);
  wait_for_kicks (t);
  if (t->activated && device->virtio_ops->quiesce != NULL)
    device->virtio_ops->quiesce (device);
}

void
virtio_device_resume (VirtioDevice *device)
{
  VirtioTransport *t = device->transport;

  if (!g_atomic_int_get (&t->quiesced))
    return;
  g_mutex_lock (&device->parent.parent.lock);
  if (t->load_activate)
    {
      t->load_activate = FALSE;
      for (guint i = 0; i < t->n_queues; i++)
        virtqueue_set_avail_index (t->queues[i].vq, t->queues[i].saved_avail);
      virtio_transport_activate (t);
      g_mutex_unlock (&device->parent.parent.lock);
    }
  else
    {
      g_mutex_unlock (&device->parent.parent.lock);
      if (t->activated && device->virtio_ops->resume != NULL)
        device->virtio_ops->resume (device);
    }
  g_atomic_int_set (&t->quiesced, FALSE);
  kick_all (t);
}

/* ---- what devices ask ---- */

gboolean
virtio_device_has_feature (VirtioDevice *device, guint bit)
{
  return (device->transport->driver_features >> bit) & 1;
}

gboolean
virtio_device_is_active (VirtioDevice *device)
{
  VirtioTransport *t = device->transport;

  return g_atomic_int_get (&t->active) && !g_atomic_int_get (&t->quiesced);
}

Virtqueue *
virtio_device_get_queue (VirtioDevice *device, guint index)
{
  g_assert (index < device->transport->n_queues);
  return device->transport->queues[index].vq;
}

guint
virtio_device_get_n_queues (VirtioDevice *device)
{
  return device->transport->n_queues;
}

void
virtio_device_lock_queue (VirtioDevice *device, guint index)
{
  g_mutex_lock (device->transport->queues[index].lock);
}

void
virtio_device_unlock_queue (VirtioDevice *device, guint index)
{
  g_mutex_unlock (device->transport->queues[index].lock);
}

VmmWorker *
virtio_device_get_queue_worker (VirtioDevice *device, guint index)
{
  return device->transport->queues[index].worker;
}

void
virtio_device_stats (VirtioDevice *device,
                     void (*add) (gpointer user_data, const char *name, guint64 value),
                     gpointer user_data)
{
  VirtioTransport *t = device->transport;
  guint64 kicks = 0, interrupts = 0;

  for (guint i = 0; i < t->n_queues; i++)
    {
      kicks += __atomic_load_n (&t->queues[i].n_kicks, __ATOMIC_RELAXED);
      interrupts += __atomic_load_n (&t->queues[i].n_interrupts, __ATOMIC_RELAXED);
    }
  add (user_data, "kicks", kicks);
  add (user_data, "interrupts", interrupts);
  add (user_data, "doorbell-exits", __atomic_load_n (&t->n_doorbell_exits, __ATOMIC_RELAXED));
  add (user_data, "resets", __atomic_load_n (&t->n_resets, __ATOMIC_RELAXED));
  add (user_data, "broken", __atomic_load_n (&t->n_broken, __ATOMIC_RELAXED));
}

/* ---- set-up ---- */

/* 4.1.4: struct virtio_pci_cap, with one more word for NOTIFY and PCI_CFG. */
static guint
add_capability (PciDevice *pci, guint8 type, guint bar, guint32 offset, guint32 length)
{
  guint size = type == CAP_NOTIFY || type == CAP_PCI_CFG ? 20 : 16;
  guint cap = pci_device_add_capability (pci, 0x09, size);

  pci_device_set_config (pci, cap + 2, 1, size);
  pci_device_set_config (pci, cap + 3, 1, type);
  pci_device_set_config (pci, cap + 4, 1, bar);
  pci_device_set_config (pci, cap + 8, 4, offset);
  pci_device_set_config (pci, cap + 12, 4, length);
  if (type == CAP_NOTIFY)
    pci_device_set_config (pci, cap + 16, 4, VIRTIO_NOTIFY_STEP);
  return cap;
}

/* Does the window (4.1.4.9) point into our structures with a size that an access can have? */
static gboolean
window_target (VirtioTransport *t, guint64 *ret_offset, guint *ret_size)
{
  PciDevice *pci = &t->device->parent;
  guint bar = pci_device_get_config (pci, t->cfg_window + 4, 1);

  *ret_offset = pci_device_get_config (pci, t->cfg_window + 8, 4);
  *ret_size = pci_device_get_config (pci, t->cfg_window + 12, 4);
  return bar == t->modern_bar && (*ret_size == 1 || *ret_size == 2 || *ret_size == 4) &&
         *ret_offset % *ret_size == 0 && *ret_offset <= VIRTIO_BAR_SIZE - *ret_size;
}

static void
config_read_hook (PciDevice *pci, guint offset, guint size, guint32 *value)
{
  VirtioDevice *device = (VirtioDevice *)pci;
  VirtioTransport *t = device->transport;
  guint64 target;
  guint target_size;

  if (t == NULL || offset != t->cfg_window + 16 || !window_target (t, &target, &target_size) ||
      size < target_size)
    return;
  g_mutex_lock (&device->parent.parent.lock);
  *value = virtio_transport_read (t, target, target_size);
  g_mutex_unlock (&device->parent.parent.lock);
}

static void
config_write_hook (PciDevice *pci, guint offset, guint size)
{
  VirtioDevice *device = (VirtioDevice *)pci;
  VirtioTransport *t = device->transport;
  guint64 target;
  guint target_size;

  if (t == NULL || offset != t->cfg_window + 16 || !window_target (t, &target, &target_size) ||
      size < target_size)
    return;
  g_mutex_lock (&device->parent.parent.lock);
  virtio_transport_write (t, target, target_size,
                          pci_device_get_config (pci, t->cfg_window + 16, target_size));
  g_mutex_unlock (&device->parent.parent.lock);
}

static guint
next_power_of_two (guint value)
{
  guint power = 4;

  while (power < value)
    power *= 2;
  return power;
}

static gboolean
add_structures (VirtioTransport *t, GError **error)
{
  PciDevice *pci = &t->device->parent;
  GMutex *lock = &pci->parent.lock;
  guint doorbells = t->n_queues * VIRTIO_NOTIFY_STEP;
  PciBar bar = {
    .kind = PCI_BAR_MMIO64,
    .prefetchable = TRUE,
    .size = VIRTIO_BAR_SIZE,
    .region = &t->modern,
    .moved = bar_moved,
  };
  PciBar pio_bar = {
    .kind = PCI_BAR_PIO,
    .size = next_power_of_two (doorbells),
    .region = &t->pio,
    .moved = bar_moved,
  };

  vmm_region_init (&t->modern, &virtio_modern_region_ops, t, lock, VIRTIO_BAR_SIZE);
  if (!pci_device_add_bar (pci, t->modern_bar, &bar, error))
    return FALSE;
  if (t->has_pio)
    {
      vmm_region_init (&t->pio, &virtio_pio_region_ops, t, NULL, pio_bar.size);
      if (!pci_device_add_bar (pci, VIRTIO_PIO_BAR, &pio_bar, error))
        return FALSE;
      /* Drivers take the first notification capability they can use (4.1.4.1): port I/O is the
       * doorbell that every processor delivers without decoding an instruction. */
      add_capability (pci, CAP_NOTIFY, VIRTIO_PIO_BAR, 0, pio_bar.size);
    }
  if (t->first_page != NULL)
    {
      add_capability (pci, CAP_COMMON, t->modern_bar, VIRTIO_SHIFTED_COMMON, VIRTIO_SHIFTED_SIZE);
      add_capability (pci, CAP_ISR, t->modern_bar, VIRTIO_SHIFTED_ISR, VIRTIO_SHIFTED_SIZE);
    }
  else
    {
      add_capability (pci, CAP_COMMON, t->modern_bar, VIRTIO_COMMON_OFFSET, VIRTIO_PART_SIZE);
      add_capability (pci, CAP_ISR, t->modern_bar, VIRTIO_ISR_OFFSET, VIRTIO_PART_SIZE);
    }
  if (t->device->virtio_ops->config_size > 0)
    add_capability (pci, CAP_DEVICE, t->modern_bar, VIRTIO_CONFIG_OFFSET, VIRTIO_PART_SIZE);
  add_capability (pci, CAP_NOTIFY, t->modern_bar, VIRTIO_NOTIFY_OFFSET, VIRTIO_PART_SIZE);
  t->cfg_window = add_capability (pci, CAP_PCI_CFG, 0, 0, 0);
  pci_device_set_wmask (pci, t->cfg_window + 4, 1, 0xff);
  pci_device_set_wmask (pci, t->cfg_window + 8, 4, 0xffffffff);
  pci_device_set_wmask (pci, t->cfg_window + 12, 4, 0xffffffff);
  pci_device_set_wmask (pci, t->cfg_window + 16, 4, 0xffffffff);
  pci_device_set_config_hooks (pci, config_read_hook, config_write_hook);
  return TRUE;
}

static gboolean
add_queues (VirtioTransport *t, const VirtioInitOptions *options, guint queue_size, GError **error)
{
  VirtioDevice *device = t->device;

  t->queues = g_new0 (VirtioQueueState, t->n_queues);
  for (guint i = 0; i < t->n_queues; i++)
    t->queues[i].doorbell = -1;
  for (guint i = 0; i < t->n_queues; i++)
    {
      VirtioQueueState *queue = &t->queues[i];

      queue->device = device;
      queue->index = i;
      queue->vq = virtqueue_new (vmm_machine_get_memory (t->machine), queue_size);
      queue->worker = options->queue_workers != NULL ? options->queue_workers[i] : device->worker;
      g_mutex_init (&queue->own_lock);
      queue->lock = options->queue_workers != NULL ? &queue->own_lock : &device->parent.parent.lock;
      queue->pio_address = queue->mmio_address = PCI_BAR_UNMAPPED;
      reset_queue_registers (queue, queue_size);
      queue->doorbell = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (queue->doorbell < 0)
        return vmm_error_set_errno (error, -errno, "%s: cannot make the doorbell of queue %u",
                                    device->parent.parent.id, i);
      watch_doorbell (queue);
    }
  return TRUE;
}

gboolean
virtio_device_init (VirtioDevice *device,
                    VmmMachine *machine,
                    const VirtioDeviceOps *ops,
                    const VirtioInitOptions *options,
                    VmmWorker *worker,
                    GError **error)
{
  static const VirtioInitOptions defaults = { 0 };
  VirtioTransport *t;
  PciDeviceInfo info = {
    .vendor = VIRTIO_VENDOR,
    .device = VIRTIO_DEVICE_BASE + ops->type,
    .subsystem_vendor = VIRTIO_VENDOR,
    .subsystem = VIRTIO_SUBSYSTEM,
    .revision = 1,
    .class_base = ops->class_base,
    .class_sub = ops->class_sub,
    .express = TRUE,
    .intx_pin = 1,
  };

  if (options == NULL)
    options = &defaults;
  g_assert (ops->config_size <= VIRTIO_MAX_CONFIG);
  t = g_new0 (VirtioTransport, 1);
  t->device = device;
  t->machine = machine;
  t->n_queues = options->n_queues != 0 ? options->n_queues : ops->n_queues;
  g_assert (t->n_queues >= 1 && t->n_queues <= VIRTIO_DEVICE_MAX_QUEUES);
  t->modern_bar = options->modern_bar != 0 ? options->modern_bar : 4;
  /* Behind a bridge an I/O window may be missing, and a BAR that firmware cannot place makes
   * drivers give up. */
  t->has_pio = options->modern_bar == 0 &&
               g_strcmp0 (pci_bus_get_name (device->parent.pci_config.bus), "pcie.0") == 0;
  t->features = (ops->features | options->features_add | FEATURE_BIT (FEATURE_INDIRECT_DESC) |
                 FEATURE_BIT (FEATURE_EVENT_IDX) | FEATURE_BIT (FEATURE_VERSION_1)) &
                ~options->features_remove;
  t->first_page = options->first_page;
  t->first_page_opaque = options->first_page_opaque;
  t->config_vector = VIRTIO_NO_VECTOR;
  t->pio_base = t->mmio_base = PCI_BAR_UNMAPPED;
  g_mutex_init (&t->isr_lock);
  g_mutex_init (&t->doorbell_lock);
  device->virtio_ops = ops;
  device->worker = worker != NULL ? worker : vmm_machine_get_worker (machine);
  device->transport = t;

  info.n_msix = t->n_queues + 1;
  info.msix_bar = options->msix_bar != 0 ? options->msix_bar : 1;
  if (options->own_vga_class)
    info.class_base = 3, info.class_sub = 0;
  if (!pci_device_init (&device->parent, machine, &info, error))
    {
      virtio_device_finish (device);
      return FALSE;
    }
  if (!add_queues (t, options, options->queue_size != 0 ? options->queue_size : ops->queue_size,
                   error) ||
      !add_structures (t, error))
    {
      virtio_device_finish (device);
      return FALSE;
    }
  return TRUE;
}

void
virtio_device_finish (VirtioDevice *device)
{
  VirtioTransport *t = device->transport;

  if (t == NULL)
    return;
  /* Unplugged while the driver runs: as a reset, with nobody left to see it. */
  if (t->activated)
    {
      g_mutex_lock (&device->parent.parent.lock);
      virtio_transport_reset_locked (t);
      g_mutex_unlock (&device->parent.parent.lock);
    }
  if (device->parent.core != NULL)
    pci_device_finish (&device->parent);
  for (guint i = 0; t->queues != NULL && i < t->n_queues; i++)
    {
      VirtioQueueState *queue = &t->queues[i];

      demote (t, queue, TRUE);
      demote (t, queue, FALSE);
      g_clear_pointer (&queue->source, vmm_source_remove);
      if (queue->doorbell >= 0)
        close (queue->doorbell);
      g_clear_pointer (&queue->vq, virtqueue_free);
      if (queue->device != NULL)
        g_mutex_clear (&queue->own_lock);
    }
  /* Calls that a device posted to its worker ran before its sources were removed. */
  device->transport = NULL;
  g_free (t->queues);
  g_mutex_clear (&t->isr_lock);
  g_mutex_clear (&t->doorbell_lock);
  g_free (t);
}
