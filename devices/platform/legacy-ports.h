/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Ports of the PC that only need to remember: the two 8237 DMA controllers and their page
 * registers (no device here does ISA DMA), the POST code port 0x80, APM control and status
 * (0xb2/0xb3, without SMM), and port 0x92 (fast A20, fast reset).
 * Spec: Intel ICH9 datasheet 316972, 13.2 and 13.7. Threads: vCPU. */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps legacy_ports_ops;
