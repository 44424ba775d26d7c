/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "vga": the standard VGA of virtual machines, 1234:1111, as firmware (OVMF's QemuVideoDxe,
 * SeaBIOS' vgabios-stdvga) and Linux (bochs-drm) know it. BAR 0 is the framebuffer, BAR 2 the
 * register page, the expansion ROM its BIOS when the host has one.
 * Properties: scanout (DisplayScanout *), width, height (preferred mode), rom (0: no BIOS). */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps vga_device_ops;
