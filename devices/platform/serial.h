/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A 16550A UART over a character back end. Properties: "port", "gsi", "chardev" (CharBackend *,
 * nullable: a port with nothing plugged in). Spec: National Semiconductor PC16550D datasheet.
 * Threads: registers on vCPU threads; input arrives on the machine's worker. */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps serial_ops;
