/* SPDX-License-Identifier: GPL-3.0-or-later */
/* High precision event timer: a 64-bit counter at 100 MHz and three comparators.
 * Spec: IA-PC HPET 1.0a.
 *
 * DEVIATION: no legacy replacement route (LEG_RT_CAP is 0, which the specification allows) and no
 * FSB delivery: the hypervisor keeps the PIT, and a guest that wants a periodic interrupt has the
 * local APIC timer, which costs no exits to user space.
 * Threads: registers on vCPU threads with the device lock; timers on the machine's worker. */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps hpet_ops;

#define HPET_SIZE      1024
#define HPET_N_TIMERS  3
#define HPET_PERIOD_NS 10 /* one tick */
