/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-console: named ports and consoles over char back ends. Properties: "bus", "devfn", "ports"
 * (VirtioConsolePorts, borrowed; the list is copied in realize, back ends outlive the device).
 * Spec: Virtio 1.2, 5.3. */
#pragma once
#include "devices/backends/char/char.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_CONSOLE_MAX_PORTS 16

typedef struct
{
  const char *name;     /* (nullable) "org.qemu.guest_agent.0"; at most 127 bytes */
  gboolean console;     /* a terminal (hvc), not a stream with a name */
  CharBackend *backend; /* borrowed */
} VirtioConsolePort;

typedef struct
{
  const VirtioConsolePort *ports; /* port i of the device is ports[i] */
  guint n_ports;                  /* 1..VIRTIO_CONSOLE_MAX_PORTS */
} VirtioConsolePorts;

extern const VmmDeviceOps virtio_console_device_ops;
/* Terminal size of all consoles, in characters; 0: unknown. Any thread. */
void virtio_console_set_size (VmmDevice *device, guint columns, guint rows);
