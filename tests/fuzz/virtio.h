/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Drives a virtio device by bytes: registers, descriptors, rings, doorbells, pauses, resets. */
#pragma once
#include "tests/unit/devices/virtio/virtio-driver.h"

/* prepare: sets the properties of the device before it is realized. event: (nullable) something of
 * the host's side happens. finish: (nullable) after the machine is gone. */
void fuzz_virtio (const guint8 *data,
                  gsize size,
                  const VmmDeviceOps *ops,
                  guint n_queues,
                  void (*prepare) (VmmDevice *device, gpointer user_data),
                  void (*event) (guint8 byte, gpointer user_data),
                  gpointer user_data);
