/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keyboard controller: ports 0x60 and 0x64, a PS/2 keyboard (line 1) and mouse (line 12).
 * Spec: Intel 8042 as in the IBM PS/2 Hardware Interface Technical Reference, Keyboard and Auxiliary
 * Device Controller.
 * Property "router" (InputRouter): where keys and motion come from.
 * Threads: registers on vCPU threads, events from any thread, all under the device lock. */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps i8042_ops;
