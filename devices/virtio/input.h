/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-input: a keyboard, tablet or mouse. Properties: "bus", "devfn", "kind" ("keyboard",
 * "tablet", "mouse"), "router" (InputRouter, borrowed), "serial". Spec: Virtio 1.2, 5.8. */
#pragma once
#include "devices/virtio/virtio.h"

extern const VmmDeviceOps virtio_input_device_ops;
