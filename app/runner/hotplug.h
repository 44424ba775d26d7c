/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks that are plugged in and taken out while the machine runs. The machine's definition in memory
 * follows; the file is the caller's. Thread: the main thread. */
#pragma once
#include "app/runner/machine.h"

#define RUNNER_EJECT_MS     30000 /* how long a guest may take to release a disk */
#define RUNNER_EJECT_MS_MAX 600000

/**
 * runner_hotplug_add_disk:
 * @group: text of one [disk NAME] group of machine.conf; without an address it gets a free slot
 *
 * Returns: (transfer full): the group as it is now. Errors: INVALID, EXISTS, BUSY (no slot is free,
 * the image is in use); on error nothing has changed.
 */
char *runner_hotplug_add_disk (RunnerMachine *machine, const char *group, GError **error);

/* error: (nullable) borrowed. NULL: the disk is out and its file closed. */
typedef void (*RunnerRemoveFunc) (const GError *error, gpointer user_data);
/**
 * runner_hotplug_remove_disk:
 * @force: do not ask the guest (surprise removal: what it has not written is lost)
 * @timeout_ms: how long the guest may take, 1..RUNNER_EJECT_MS_MAX
 * @done: (not nullable): once, in this call or later
 *
 * Errors: NOT_FOUND; WRONG_STATE when the guest cannot be asked now, or another removal of the disk
 * waits; NOT_SUPPORTED where it could never be; FAILED when it did not answer in time.
 */
void runner_hotplug_remove_disk (RunnerMachine *machine,
                                 const char *name,
                                 gboolean force,
                                 guint timeout_ms,
                                 RunnerRemoveFunc done,
                                 gpointer user_data);
/* TRUE while the machine's devices must stay as they are (a save is under way): disks that the guest
 * releases meanwhile are taken out later. The others are the caller's to refuse. */
typedef gboolean (*RunnerHoldFunc) (gpointer user_data);
void runner_hotplug_set_hold_func (RunnerMachine *machine, RunnerHoldFunc func, gpointer user_data);
gboolean runner_hotplug_is_held (RunnerMachine *machine);
/* Before the machine's end: those that wait are told. */
void runner_hotplug_cancel_all (RunnerMachine *machine);
