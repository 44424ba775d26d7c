/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The AHCI controller of ICH9 with SATA hard disks and ATAPI CD-ROM drives.
 *
 * The controller is a PCI function; each drive is a device of its own on one of its ports, and may
 * come and go while the machine runs (realize and unrealize are hot-plug). Properties:
 *   ahci        bus, devfn, multifunction
 *   sata-disk   controller, port, backend, serial
 *   sata-cdrom  controller, port, backend (NULL: empty), serial
 * Specs: Serial ATA AHCI 1.3.1, ACS-3, Serial ATA 3.1, ICH9 datasheet 316972. */
#pragma once
#include "devices/backends/block/block.h"
#include "vmm/device.h"

#define AHCI_N_PORTS 6

extern const VmmDeviceOps ahci_device_ops;
extern const VmmDeviceOps ahci_disk_device_ops;
extern const VmmDeviceOps ahci_cdrom_device_ops;

/* TRUE for a sata-disk or sata-cdrom; then its controller and port. Any thread. */
gboolean ahci_drive_find (VmmDevice *device, VmmDevice **ret_controller, guint *ret_port);

/* Puts an image into a sata-cdrom, or takes it out (NULL). The guest sees it: a closed tray with
 * another medium, or an open one. *ret_old: (transfer none) (nullable) what was in the drive and is
 * used no more. Control thread. Errors: BUSY when the guest has locked the tray, unless force. */
gboolean ahci_cdrom_set_medium (VmmDevice *device,
                                BlockBackend *backend,
                                gboolean force,
                                BlockBackend **ret_old,
                                GError **error);
void ahci_cdrom_get_tray (VmmDevice *device, gboolean *ret_locked, gboolean *ret_open);
