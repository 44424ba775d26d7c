/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-blk: a disk over a block back end. Properties: "bus", "devfn", "backend" (BlockBackend,
 * borrowed), "num-queues" 1..16, "iothreads" (1: a worker a queue, 0: the machine's worker),
 * "serial" (20 bytes). Spec: Virtio 1.2, 5.2. */
#pragma once
#include "devices/virtio/virtio.h"

extern const VmmDeviceOps virtio_block_device_ops;
