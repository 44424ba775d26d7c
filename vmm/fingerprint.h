/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What must be the same in a machine that is saved and in the one that loads it: memory, devices,
 * their addresses and settings. It is the first section of a state file, so that a difference is
 * told by name before anything is loaded. Processor features: vmm/vm-state.c.
 * Thread: control, or the save's. */
#pragma once
#include "vmm/machine.h"

/* id: of the save, the same as in its RAM file. */
void vmm_fingerprint_save (VmmMachine *machine, const guint8 id[16], VmmStateWriter *writer);
/* Errors: INVALID names the first thing that differs, what it was and what it is. */
gboolean vmm_fingerprint_load (VmmMachine *machine,
                               VmmStateReader *reader,
                               guint8 ret_id[16],
                               GError **error);
