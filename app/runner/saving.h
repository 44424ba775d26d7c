/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Save, Snapshot and CancelSave of the control protocol: one at a time, into a folder that gets its
 * name when everything is in it.
 * Thread: the main context. */
#pragma once
#include <gio/gio.h>

#include "app/machine1.h"
#include "app/runner/machine.h"

typedef struct _RunnerSaving RunnerSaving;

/* The machine was saved and is to end ("quit"): the process must close the disks, call
 * alcove_saved_write_record once more for folder, and exit. */
typedef void (*RunnerSavedFunc) (const char *folder, gpointer user_data);

/* skeleton: borrowed, outlives it; its signals are connected here. */
RunnerSaving *runner_saving_new (RunnerMachine *machine,
                                 AlcoveDefinition *definition,
                                 AlcoveMachine1 *skeleton,
                                 RunnerSavedFunc saved,
                                 gpointer user_data);
/* A save is under way: the machine's devices must stay as they are. */
gboolean runner_saving_is_busy (RunnerSaving *saving);
/* Cancels what is under way. Before the machine goes. */
void runner_saving_free (RunnerSaving *saving);
