/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest driver for virtio PCI devices in tests: finds the structures by their capabilities,
 * negotiates, lays out queues, rings doorbells, hears MSI-X. */
#pragma once
#include "devices/virtio/virtio.h"
#include "tests/unit/harness/harness-ring.h"

#define VIRTIO_DRIVER_RAM      0x400000
#define VIRTIO_DRIVER_MAX      16
#define VIRTIO_DRIVER_DEVFN    (3 << 3)
#define VIRTIO_DRIVER_MSI_DATA 0x40 /* of vector 0: config; queue i has vector i + 1 */
#define VIRTIO_DRIVER_QUEUE    32   /* size that queues are given */

typedef struct
{
  HarnessMachine *h;
  PciBus *bus;
  VirtioDevice *device;
  guint64 common, isr, config, notify_mmio; /* guest addresses */
  guint16 notify_pio;
  guint notify_step;
  guint window; /* offset of the configuration access capability */
  HarnessRing rings[VIRTIO_DRIVER_MAX];
  guint64 arena; /* 64 KiB of guest memory for tests */
} VirtioDriver;

/* A machine with a root bus. */
void virtio_driver_init (VirtioDriver *d);
void virtio_driver_finish (VirtioDriver *d);
/* A device of this type at devfn 00:03.0, properties not set, not realized. */
VmmDevice *virtio_driver_new_device (VirtioDriver *d, const VmmDeviceOps *ops);
/* Realizes it and gives its BARs addresses. */
void virtio_driver_probe (VirtioDriver *d, VmmDevice *device);
/* (again after a machine reset) */
void virtio_driver_set_bars (VirtioDriver *d);
/* Takes the device out and frees it, as hot-unplug does. */
void virtio_driver_unplug (VirtioDriver *d);
void virtio_driver_enable_msix (VirtioDriver *d);

guint64 virtio_driver_read (VirtioDriver *d, guint64 offset, guint size); /* common */
void virtio_driver_write (VirtioDriver *d, guint64 offset, guint size, guint64 value);
guint64 virtio_driver_read_config (VirtioDriver *d, guint64 offset, guint size);
guint64 virtio_driver_get_features (VirtioDriver *d);
guint8 virtio_driver_get_status (VirtioDriver *d);
/* Reset, ACKNOWLEDGE, DRIVER, features (VERSION_1 is added), FEATURES_OK. */
gboolean virtio_driver_negotiate (VirtioDriver *d, guint64 features);
/* negotiate all that is offered & mask, set up n queues with MSI-X, DRIVER_OK. */
void virtio_driver_start (VirtioDriver *d, guint64 mask, guint n_queues);
void virtio_driver_set_up_queue (VirtioDriver *d, guint index, guint size);
/* Rings by port I/O, then runs the machine. */
void virtio_driver_kick (VirtioDriver *d, guint queue);
/* Writes random values to every register at every size and alignment for n rounds. */
void virtio_driver_storm (VirtioDriver *d, guint32 seed, guint n);
