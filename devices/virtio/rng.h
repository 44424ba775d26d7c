/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-rng: the host's random numbers. Properties: "bus", "devfn", "max-bytes" a "period"
 * (milliseconds of guest time): the most that a guest may draw. Spec: Virtio 1.2, 5.4. */
#pragma once
#include "devices/virtio/virtio.h"

extern const VmmDeviceOps virtio_rng_device_ops;
