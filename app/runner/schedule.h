/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Automatic snapshots of a running machine ([snapshots] every=, keep=). The process is a client of
 * its own control connection here: what it does is what the command line does. Thread: the main
 * context. */
#pragma once
#include "app/definition.h"

typedef struct _RunnerSchedule RunnerSchedule;

/* (nullable): the definition asks for none. The machine serves its control connection. */
RunnerSchedule *runner_schedule_new (const char *machine_folder, AlcoveDefinition *definition);
/* A snapshot under way is cancelled. NULL is fine. */
void runner_schedule_free (RunnerSchedule *self);
