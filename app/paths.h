/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where things are. XDG Base Directory Specification 0.8; nothing here creates anything unless it
 * says so. All char * results are (transfer full). Thread: any. */
#pragma once
#include <gio/gio.h>

/* $XDG_DATA_HOME/alcove/machines: one folder a machine. */
char *alcove_paths_dup_machines (void);
/* $XDG_RUNTIME_DIR/alcove: one folder a running machine, named by its uuid. */
char *alcove_paths_dup_runtime (void);
char *alcove_paths_dup_machine_runtime (const char *uuid);
/* The control socket in a machine's runtime folder. */
#define ALCOVE_CONTROL_SOCKET "control"

/* The program of the VM process: in $ALCOVE_LIBEXECDIR (a build tree), else where it was installed. */
char *alcove_paths_dup_vmm (void);
/* The module with the window: in $ALCOVE_MODULE_DIR (a build tree), else where it was installed. */
char *alcove_paths_dup_ui_module (void);

/**
 * alcove_paths_ensure_private:
 * @path: a folder
 *
 * Makes the folder (and its parents) with mode 0700 when it is missing. Errors: it cannot be made;
 * it is there but belongs to somebody else, others may write to it, or it is no folder.
 */
gboolean alcove_paths_ensure_private (const char *path, GError **error);

/* Removes a folder and all in it, as far as that goes; follows no symbolic links. */
void alcove_paths_remove_tree (const char *path);
