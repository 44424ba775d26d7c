/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A SCSI device of the host as a logical unit: commands go through SG_IO (linux/Documentation,
 * "SCSI Generic driver"), data straight between the device and the guest's memory, status and sense
 * come back as they are.
 *
 * Only commands of a list reach the device: those that read and write data and tell what it is.
 * Not among them: firmware (WRITE BUFFER), FORMAT UNIT, SANITIZE, ATA PASS-THROUGH, reservations
 * (they would be the host's), MODE SELECT, diagnostics. They end as INVALID OPCODE.
 *
 * SG_IO waits for the device, so it runs on threads of the unit's own, at most four commands at a
 * time; done comes on the worker as always. A command at the device cannot be called back: cancel
 * and reset wait for it (its time-out is 60 s). The device's own state cannot be saved.
 *
 * Threads: new on the control thread. */
#pragma once
#include <scsi/sg.h>
#include "devices/storage/scsi/scsi.h"

typedef struct
{
  /* Carries one command out, waiting for it. Any thread, several at once. 0 or -errno. */
  int (*sg_io) (gpointer user_data, sg_io_hdr_t *header);
  /* (nullable) At the end. */
  void (*close) (gpointer user_data);
  gpointer user_data;
  guint32 max_transfer; /* bytes of one command, a multiple of 512 */
} ScsiPassthroughIo;

/* path: a block device (whole, not mounted) or /dev/sgN. Errors: name the device, cause, remedy. */
ScsiUnit *scsi_passthrough_new (VmmWorker *worker, const char *path, GError **error);
/* Over something that answers as SG_IO does. io is copied; its close is called also on error. */
ScsiUnit *scsi_passthrough_new_with_io (VmmWorker *worker,
                                        const char *name,
                                        const ScsiPassthroughIo *io,
                                        GError **error);
