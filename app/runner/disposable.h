/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A run that leaves nothing behind: overlays over the disks, a copy of the firmware variables, in a
 * folder of the machine's that nobody else uses. The overlays lose their names as soon as they are
 * open, so that even a killed process keeps no room taken. Thread: the main context. */
#pragma once
#include "app/definition.h"

typedef struct _RunnerDisposable RunnerDisposable;

/* What a killed process may have left: with the machine's lock held. */
void runner_disposable_clean (const char *machine_folder);
/* definition: the machine's. Errors: no space; a disk that cannot be under an overlay. */
RunnerDisposable *
runner_disposable_new (const char *machine_folder, AlcoveDefinition *definition, GError **error);
/* (transfer none): the definition to run. */
AlcoveDefinition *runner_disposable_get_definition (RunnerDisposable *self);
/* The machine has its disks open. */
void runner_disposable_opened (RunnerDisposable *self);
/* After the machine went. NULL is fine. */
void runner_disposable_free (RunnerDisposable *self);
