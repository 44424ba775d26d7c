/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Port 0x402: bytes written go to a character back end; reads give 0xe9, by which firmware knows
 * that somebody listens. Properties: "chardev" (CharBackend *, nullable), "port". */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps debug_console_ops;
