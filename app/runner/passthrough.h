/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Functions of the host in a running machine: made at the start, plugged in and taken out as cards,
 * that is with all functions of their slot. Thread: the main thread. */
#pragma once
#include "app/runner/hotplug.h"

/* groups: (nullable): the groups as they are now, addresses with them; NULL with error. Borrowed. */
typedef void (*RunnerAddFunc) (const char *const *groups, const GError *error, gpointer user_data);
/**
 * runner_passthrough_add:
 * @groups: texts of one [pci NAME] group each: all functions of one card
 * @cancellable: (nullable): who asked has left
 * @done: (not nullable): once, in this call or later
 *
 * Gets the card from the host and plugs its functions in together. While somebody types a password
 * for alcove-helper the machine goes on and its control connection answers; a removal of one of the
 * names ends the question.
 *
 * Errors: INVALID, EXISTS, BUSY, CANCELLED, WRONG_STATE (the machine has stopped), and those of the
 * device, with its name; on error nothing has changed.
 */
void runner_passthrough_add (RunnerMachine *machine,
                             const char *const *groups,
                             GCancellable *cancellable,
                             RunnerAddFunc done,
                             gpointer user_data);

/* Takes out the slot that [pci NAME] sits in, all its functions. As runner_hotplug_remove_disk. One
 * that the host is being asked for is not asked for any more. */
void runner_passthrough_remove (RunnerMachine *machine,
                                const char *name,
                                gboolean force,
                                guint timeout_ms,
                                RunnerRemoveFunc done,
                                gpointer user_data);

/* Only what the host is being asked for. Errors: NOT_FOUND. */
void runner_passthrough_cancel (RunnerMachine *machine,
                                const char *name,
                                RunnerRemoveFunc done,
                                gpointer user_data);

/* Before the machine's end: those that wait are told. What the host is being asked for is waited for,
 * in the main context, so that nothing stays taken; nothing can be added after that. */
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
