/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Starting a machine from what was saved, and what follows behind the running guest: fetching its
 * memory, then removing the saved state where it was meant for once.
 *
 * A saved state that is consumed stays until all memory is fetched and right, or the machine ended
 * in good order; should the process die before, its record (app/saved.h) still tells whether the
 * disks were written since.
 * Thread: the main context. */
#pragma once
#include "app/runner/machine.h"
#include "app/runner/options.h"

typedef struct _RunnerRestoring RunnerRestoring;

/* Checks what can be checked before the machine opens its disks. Errors: what is missing, damaged or
 * does not fit, by name. */
RunnerRestoring *
runner_restoring_new (const RunnerOptions *options, AlcoveDefinition *definition, GError **error);
/* Instead of vmm_vm_start. */
gboolean runner_restoring_start (RunnerRestoring *restoring,
                                 RunnerMachine *machine,
                                 gboolean paused,
                                 GError **error);
/* Before the machine goes. ended: in good order, the guest went past the saved state. NULL is fine. */
void runner_restoring_free (RunnerRestoring *restoring, gboolean ended);
