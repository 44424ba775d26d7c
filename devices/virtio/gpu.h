/* SPDX-License-Identifier: GPL-3.0-or-later */
/* "virtio-vga": a virtio GPU (2D) that is a VGA until its driver sets a scanout, and again after a
 * reset. BAR 0 is the VGA's framebuffer, BAR 2 its register page followed by the virtio structures,
 * BAR 4 MSI-X: where OVMF, SeaBIOS' vgabios-virtio and Linux look.
 * Properties: scanout (DisplayScanout *), width, height (preferred size), max-hostmem (bytes that
 * resources may take), rom (0: no BIOS).
 * Spec: Virtio 1.2, 5.7. */
#pragma once
#include "vmm/device.h"

extern const VmmDeviceOps virtio_vga_device_ops;
