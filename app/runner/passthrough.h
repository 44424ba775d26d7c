/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Functions of the host in a running machine: made at the start, plugged in and taken out as cards,
 * that is with all functions of their slot. Thread: the main thread. */
#pragma once
#include "app/runner/hotplug.h"

/**
 * runner_passthrough_add:
 * @groups: texts of one [pci NAME] group each: all functions of one card
 *
 * Plugs them in together. Returns: (transfer full): the groups as they are now, addresses with them.
 * Errors: INVALID, EXISTS, BUSY, and those of the device, with its name; on error nothing has changed.
 */
GStrv runner_passthrough_add (RunnerMachine *machine, const char *const *groups, GError **error);

/* Takes out the slot that [pci NAME] sits in, all its functions. As runner_hotplug_remove_disk. */
void runner_passthrough_remove (RunnerMachine *machine,
                                const char *name,
                                gboolean force,
                                guint timeout_ms,
                                RunnerRemoveFunc done,
                                gpointer user_data);

/* Before the machine's end: those that wait are told. */
void runner_passthrough_cancel_all (RunnerMachine *machine);

/* What there is: (transfer full) aa{sv} with name s, host s, address s, way s ("groups", "iommufd"),
 * leaving b (the guest was asked to let go), asked-back b (the host waits for it), interrupts s
 * ("none", "intx", "msi", "msix"), vectors u, notes as, trapped-reads t, trapped-writes t,
 * slow-interrupts t. */
GVariant *runner_passthrough_list (RunnerMachine *machine);

/* func: called on the main thread when what is listed changed (but counters and interrupts). One. */
void runner_passthrough_watch (RunnerMachine *machine,
                               void (*func) (gpointer user_data),
                               gpointer user_data);
