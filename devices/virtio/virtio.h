/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The virtio device base over PCI (Virtio 1.2, modern only: revision 1, subsystem id 0x1100).
 *
 * A device embeds VirtioDevice first (which embeds PciDevice), fills a const VirtioDeviceOps, and
 * calls virtio_device_init in realize. The transport owns status, feature negotiation, queue set-up,
 * notification (ioeventfd, PIO and MMIO doorbells), MSI-X and INTx/ISR, config generation.
 *
 * Threads: config_read, config_write and activate run on vCPU threads with the device lock held;
 * kick on the queue's worker with the queue's lock held, which is the device lock unless the device
 * gave its queues workers of their own (queue_workers). deactivate, quiesce and resume run on the
 * vCPU or control thread that resets, with no lock held, when no kick runs and none will start;
 * they may use vmm_worker_call. A device's own completions and timers take the lock themselves
 * (virtio_device_lock_queue) and ask virtio_device_is_active. */
#pragma once
#include "devices/pci/pci.h"
#include "devices/virtio/virtqueue.h"

typedef struct _VirtioDevice VirtioDevice;
#define VIRTIO_DEVICE_MAX_QUEUES 64

typedef struct
{
  guint16 type; /* virtio device id: 1 net, 2 block, 3 console, 4 rng, 16 gpu, 18 input */
  guint8 class_base, class_sub;
  guint n_queues;
  guint queue_size;  /* default maximum size of a queue */
  guint64 features;  /* offered, without the transport's own (VERSION_1, RING_*, ...) */
  gsize config_size; /* bytes of device configuration */

  /* Device config space; offset+size <= config_size. (nullable) write. */
  void (*config_read) (VirtioDevice *device, gsize offset, void *buffer, gsize size);
  void (*config_write) (VirtioDevice *device, gsize offset, const void *data, gsize size);
  /* DRIVER_OK was set (features final) / the device is reset: stop, drain, forget. */
  void (*activate) (VirtioDevice *device);
  void (*deactivate) (VirtioDevice *device);
  /* The driver kicked queue (worker). */
  void (*kick) (VirtioDevice *device, guint queue);
  /* (nullable) The driver enabled a queue after DRIVER_OK (device lock). */
  void (*queue_enabled) (VirtioDevice *device, guint queue, gboolean enabled);
  /* (nullable) both. After quiesce nothing is in flight: chains are pushed, or un-popped. Called
   * only between activate and deactivate. */
  void (*quiesce) (VirtioDevice *device);
  void (*resume) (VirtioDevice *device);
} VirtioDeviceOps;

struct _VirtioDevice
{
  PciDevice parent;
  const VirtioDeviceOps *virtio_ops;
  VmmWorker *worker;
  /* The rest belongs to the transport. */
  struct _VirtioTransport *transport;
};

typedef struct
{
  /* For a VGA-compatible device: BARs below are the device's own; virtio structures go to
   * modern_bar. 0 means the default layout (BAR 4 prefetchable 64-bit, BAR 1 MSI-X, BAR 0 PIO
   * doorbell). */
  guint modern_bar;
  guint msix_bar;
  gboolean own_vga_class; /* class 0x0300 */
  /* (nullable) The first 4 KiB of modern_bar are the device's own registers (device lock held); the
   * common structure then starts behind them with half the size, as does the ISR. */
  const VmmRegionOps *first_page;
  gpointer first_page_opaque;
  guint n_queues;   /* 0: ops->n_queues */
  guint queue_size; /* 0: ops->queue_size */
  guint64 features_add, features_remove;
  /* (nullable) One worker a queue: each then has a lock of its own. */
  VmmWorker *const *queue_workers;
} VirtioInitOptions;

/* In realize, first; the device must not be used by the guest before realize returns. worker: NULL for the machine's default. */
gboolean virtio_device_init (VirtioDevice *device,
                             VmmMachine *machine,
                             const VirtioDeviceOps *ops,
                             const VirtioInitOptions *options,
                             VmmWorker *worker,
                             GError **error);
void virtio_device_finish (VirtioDevice *device);
/* For the ops table of each device; they end in the virtio_ops callbacks. */
void virtio_device_reset (VirtioDevice *device);
void virtio_device_quiesce (VirtioDevice *device);
void virtio_device_resume (VirtioDevice *device);
void virtio_device_save (VirtioDevice *device, VmmStateWriter *writer);
gboolean virtio_device_load (VirtioDevice *device, VmmStateReader *reader, GError **error);

gboolean virtio_device_has_feature (VirtioDevice *device, guint bit); /* negotiated */
gboolean virtio_device_is_active (VirtioDevice *device);              /* DRIVER_OK, not broken */
Virtqueue *virtio_device_get_queue (VirtioDevice *device, guint index);
guint virtio_device_get_n_queues (VirtioDevice *device);
/* Interrupts the driver for this queue if it wants one (virtqueue_should_notify inside). */
void virtio_device_notify_queue (VirtioDevice *device, guint index);
/* Configuration changed: generation + interrupt. */
void virtio_device_notify_config (VirtioDevice *device);
/* A queue or request is broken: DEVICE_NEEDS_RESET. */
void virtio_device_set_broken (VirtioDevice *device);
/* Runs kick for the queue on the worker, soon (backend became ready). Any thread. */
void virtio_device_schedule_kick (VirtioDevice *device, guint queue);

/* The lock that kick of this queue runs under (device lock, or the queue's own). */
void virtio_device_lock_queue (VirtioDevice *device, guint queue);
void virtio_device_unlock_queue (VirtioDevice *device, guint queue);
VmmWorker *virtio_device_get_queue_worker (VirtioDevice *device, guint queue);

/* Hands a queue to a kernel back end (vhost): its doorbell eventfd (transfer none), which user
 * space no longer reads while taken. On the control thread, or in activate and deactivate. */
int virtio_device_take_doorbell (VirtioDevice *device, guint queue);
void virtio_device_return_doorbell (VirtioDevice *device, guint queue);
/* The MSI-X eventfd of the queue, or -1 when the driver gave it no vector or uses INTx. */
int virtio_device_get_interrupt_fd (VirtioDevice *device, guint queue);
/* Interrupts whatever the driver's flags say (a kernel back end asked). Any thread. */
void virtio_device_raise_queue (VirtioDevice *device, guint queue);

/* Adds the transport's counters; for the stats op of each device. */
void virtio_device_stats (VirtioDevice *device,
                          void (*add) (gpointer user_data, const char *name, guint64 value),
                          gpointer user_data);

/* For properties tables. */
#define VIRTIO_DEVICE_PROPERTIES PCI_DEVICE_PROPERTIES
