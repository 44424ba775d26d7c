/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two ports by which a guest speaks to its operator.
 * debug-exit: a write of v ends the machine; the exit status is (v << 1) | 1 (isa-debug-exit).
 * pvpanic: reads give the events that are understood (1 panicked, 2 crash loaded, 4 shutdown), a
 * write reports one. QEMU docs/specs/pvpanic. */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps debug_exit_ops;
extern const VmmDeviceOps pvpanic_ops;
