/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The real-time clock and CMOS memory, MC146818 at ports 0x70/0x71. Properties: "localtime".
 * The time of day follows the host's wall clock plus what the guest changed; periodic, alarm and
 * update interrupts on GSI 8. Spec: Motorola MC146818A datasheet.
 * Threads: registers on vCPU threads; timers on the machine's worker. */
#pragma once
#include "vmm/device.h"

typedef struct _Rtc Rtc;
extern const VmmDeviceOps rtc_ops;

/* A byte the firmware finds there; index 0x0e..0x7f. It comes back at a cold reset. Before start. */
void rtc_set_cmos (Rtc *rtc, guint index, guint8 value);
