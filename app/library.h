/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machines of this user: a GListModel of AlcoveMachine, one for each folder in
 * $XDG_DATA_HOME/alcove/machines that holds a machine.conf, sorted by name.
 *
 * It follows the folder (a machine made, renamed or deleted by anybody appears and disappears) and
 * the runtime folder (a machine started by anybody changes its state). Thread: the main context it
 * was made on. */
#pragma once
#include <gio/gio.h>
#include "app/create.h"
#include "app/machine.h"

#define ALCOVE_TYPE_LIBRARY (alcove_library_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveLibrary, alcove_library, ALCOVE, LIBRARY, GObject)

/* folder: (nullable) another place than the usual one. Reads the folder at once (a missing one is
 * empty); states follow when the main context runs, refresh waits for them. */
AlcoveLibrary *alcove_library_new (const char *folder);
const char *alcove_library_get_folder (AlcoveLibrary *self);

/* Reads the folder again and finds out every machine's state. */
void alcove_library_refresh_async (AlcoveLibrary *self,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
gboolean alcove_library_refresh_finish (AlcoveLibrary *self, GAsyncResult *result, GError **error);

/**
 * alcove_library_find:
 * @what: a machine's folder name, its uuid, or its name in any case when only one has it
 *
 * Returns: (transfer none): the machine. Errors: ALCOVE_ERROR_NOT_FOUND, with the nearest name.
 */
AlcoveMachine *alcove_library_find (AlcoveLibrary *self, const char *what, GError **error);

/* Makes a machine (app/create.h); it is in the list when this ends. */
void alcove_library_create_async (AlcoveLibrary *self,
                                  const AlcoveCreateSpec *spec,
                                  AlcoveProgressFunc progress,
                                  gpointer progress_data,
                                  GCancellable *cancellable,
                                  GAsyncReadyCallback callback,
                                  gpointer user_data);
/* (transfer full) */
AlcoveMachine *
alcove_library_create_finish (AlcoveLibrary *self, GAsyncResult *result, GError **error);

/**
 * alcove_library_delete:
 * @ret_token: (out) (nullable) (transfer full): for alcove_library_restore
 *
 * Moves a stopped machine's folder to the user's trash: a rename, which is why it is not
 * asynchronous. Errors: ALCOVE_ERROR_WRONG_STATE while it runs; the move's own.
 */
gboolean alcove_library_delete (AlcoveLibrary *self,
                                AlcoveMachine *machine,
                                char **ret_token,
                                GError **error);
/* Brings it back. (transfer none). Errors: it is no longer in the trash; the name is taken. */
AlcoveMachine *alcove_library_restore (AlcoveLibrary *self, const char *token, GError **error);
