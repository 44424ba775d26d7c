/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The virtio device base over PCI (Virtio 1.2, modern only: revision 1, subsystem id 0x1100).
 *
 * A device embeds VirtioDevice first (which embeds PciDevice), fills a const VirtioDeviceOps, and
 * calls virtio_device_init in realize. The transport owns status, feature negotiation, queue set-up,
 * notification (ioeventfd, PIO and MMIO doorbells), MSI-X and INTx/ISR, config generation.
 * Threads: negotiation and config on vCPU threads with the device lock; queue handlers on the
 * device's worker, with the device lock held (release it with virtio_device_unlock around slow
 * work only when the handler says so). */
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
  /* (nullable) A queue that was enabled or disabled alone. */
  void (*queue_enabled) (VirtioDevice *device, guint queue, gboolean enabled);
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
  guint n_queues;         /* 0: ops->n_queues */
  guint64 features_add, features_remove;
} VirtioInitOptions;

/* In realize. worker: NULL for the machine's default. */
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

/* For properties tables. */
#define VIRTIO_DEVICE_PROPERTIES PCI_DEVICE_PROPERTIES
