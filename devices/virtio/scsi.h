/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-scsi: a controller for logical units of devices/storage/scsi, each with a target and a LUN
 * of its own, plugged and unplugged while the guest runs. Properties: "bus", "devfn", "num-queues"
 * 1..16 (request queues), "iothread" (1: a worker of its own, 0: the machine's). T10 protection
 * information and bidirectional commands are not offered. Spec: Virtio 1.2, 5.6.
 *
 * Threads: the functions below on the control thread, the device realized, the guest running or
 * not. The caller opens the back ends and closes them when a unit is gone. */
#pragma once
#include "devices/storage/scsi/scsi.h"
#include "devices/virtio/virtio.h"

#define VIRTIO_SCSI_MAX_UNITS  256
#define VIRTIO_SCSI_MAX_TARGET 255
#define VIRTIO_SCSI_MAX_LUN    16383

extern const VmmDeviceOps virtio_scsi_device_ops;

/* The worker that this controller's units must be made with. */
VmmWorker *virtio_scsi_get_worker (VmmDevice *device);
/* unit: (transfer full) also on error. name: as people know it, "disk.system". The guest's driver
 * hears of it when it asked to (Virtio 1.2, 5.6.6.3). Errors: BUSY when the address or the name is
 * taken or all units are, INVALID for an address that cannot be. */
gboolean virtio_scsi_attach (
    VmmDevice *device, const char *name, guint target, guint lun, ScsiUnit *unit, GError **error);
/* Tells the guest's driver that a unit goes, while it is still there: a driver that lets go of it in
 * order (flushes its cache) can. detach follows when the caller has waited long enough; there is no
 * answer. FALSE: no driver listens, there is nothing to wait for. Errors: NOT_FOUND. */
gboolean virtio_scsi_announce_removal (VmmDevice *device, const char *name, GError **error);
/* Commands under way end first; then the unit is freed, and its back end is the caller's again (who
 * flushes and closes it). The guest's driver hears that it is gone. Errors: NOT_FOUND. */
gboolean virtio_scsi_detach (VmmDevice *device, const char *name, GError **error);
gboolean virtio_scsi_has_unit (VmmDevice *device, const char *name);
/* The lowest target from first up that no unit has; -1 when there is none. */
int virtio_scsi_find_free_target (VmmDevice *device, guint first);
/* Changes the medium of a CD-ROM drive; see scsi_unit_set_medium. Errors: NOT_FOUND; BUSY when the
 * guest locked the tray (it was asked to give the medium back). */
gboolean virtio_scsi_set_medium (VmmDevice *device,
                                 const char *name,
                                 BlockBackend *backend,
                                 gboolean force,
                                 BlockBackend **ret_old,
                                 GError **error);
/* The image of a unit was resized. Errors: NOT_FOUND. */
gboolean virtio_scsi_capacity_changed (VmmDevice *device, const char *name, GError **error);
