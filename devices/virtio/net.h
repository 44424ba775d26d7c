/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-net: an Ethernet card over a net back end. Properties: "bus", "devfn", "backend"
 * (NetBackend, borrowed; (nullable): no cable), "mac" ("52:54:00:12:34:56"; empty: made from the
 * device's id). Spec: Virtio 1.2, 5.1. */
#pragma once
#include "devices/virtio/virtio.h"

extern const VmmDeviceOps virtio_net_device_ops;
