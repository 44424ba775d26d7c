/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The user's trash, by the FreeDesktop.org Trash specification 1.0: the home trash in
 * $XDG_DATA_HOME/Trash. Written here and not left to g_file_trash because an undo has to know where
 * the folder went. Thread: any. */
#pragma once
#include <gio/gio.h>

/**
 * alcove_trash_put:
 * @path: a file or folder on the file system of $XDG_DATA_HOME
 *
 * Returns: (transfer full): a token for alcove_trash_restore. Errors: G_FILE_ERROR; the path is on
 * another file system.
 */
char *alcove_trash_put (const char *path, GError **error);
/* Moves it back to where it was. Returns: (transfer full): the path. Errors: it is not in the trash
 * any more; something else is at its place. */
char *alcove_trash_restore (const char *token, GError **error);
