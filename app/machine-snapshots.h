/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine's snapshots as operations of AlcoveMachine, whether it runs or not: the files of a
 * machine that is off are worked on by a thread of this process under the machine's lock; a running
 * machine takes part through its control connection. All asynchronous, with progress and a
 * GCancellable; a cancelled operation leaves everything as it was.
 * Thread: the machine's main context. Listing: app/snapshot.h. */
#pragma once
#include "app/create.h"
#include "app/machine.h"
#include "app/snapshot.h"

/* name, note: (nullable). reason: (nullable) not NULL makes it an automatic one. Progress: steps, or
 * bytes of memory while it runs. */
void alcove_machine_create_snapshot_async (AlcoveMachine *self,
                                           const char *name,
                                           const char *note,
                                           const char *reason,
                                           AlcoveProgressFunc progress,
                                           gpointer progress_data,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback,
                                           gpointer user_data);
/* (transfer full): the id. */
char *
alcove_machine_create_snapshot_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

/* A running machine is turned off for it and started again after it. keep: the present state
 * becomes a snapshot first. End with alcove_machine_finish. Once the machine is off for it, it is
 * not cancelled any more. */
void alcove_machine_revert_async (AlcoveMachine *self,
                                  const char *id,
                                  gboolean keep,
                                  AlcoveProgressFunc progress,
                                  gpointer progress_data,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);

/* End with alcove_machine_delete_snapshot_finish. */
void alcove_machine_delete_snapshot_async (AlcoveMachine *self,
                                           const char *id,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback,
                                           gpointer user_data);
/* ret_left: (nullable) (transfer full): why its space is not given back yet, else NULL. */
gboolean alcove_machine_delete_snapshot_finish (AlcoveMachine *self,
                                                GAsyncResult *result,
                                                char **ret_left,
                                                GError **error);
/* Deletes the oldest automatic snapshots of the schedule beyond keep. End with
 * alcove_machine_finish. */
void alcove_machine_prune_snapshots_async (AlcoveMachine *self,
                                           guint keep,
                                           GCancellable *cancellable,
                                           GAsyncReadyCallback callback,
                                           gpointer user_data);
