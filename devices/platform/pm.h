/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ACPI power management block of the ICH9: PM1a events and control, the 3.579545 MHz timer,
 * GPE0, SMI_EN. The LPC bridge places it by its PMBASE register (pm_set_base).
 * Spec: Intel ICH9 datasheet 316972, 13.8.3; ACPI 6.4, 4.8.
 * Threads: registers on vCPU threads; events from any thread. The timer is read without a lock. */
#pragma once
#include "vmm/device.h"

typedef struct _Pm Pm;
extern const VmmDeviceOps pm_ops;

#define PM_BLOCK_SIZE 128
#define PM_GPE0       0x20 /* offset in the block; 8 bytes of status, 8 of enable */
#define PM_TIMER_HZ   3579545

/* base: I/O port, multiple of 128, or -1: not decoded. BUSY stays undecoded. LPC only. */
void pm_set_base (Pm *pm, int base);
/* The power button is pressed: PWRBTN_STS, and an SCI when enabled. */
void pm_press_power_button (Pm *pm);
/* Sets GPE0 status bit 0..63. */
void pm_raise_gpe (Pm *pm, guint bit);
