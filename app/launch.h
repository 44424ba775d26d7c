/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Starting alcove-vmm. Arguments: --machine FOLDER or --conf FILE, --runtime-dir FOLDER,
 * --ready-fd N, and --paused when asked. --conf means a throw-away machine. On the ready fd it writes
 * one line of JSON: {"ok":true} when the machine runs, {"error":"..."} when it will not; it then
 * closes the fd. Thread: the caller's main context. */
#pragma once
#include <gio/gio.h>
#include "app/error.h"

typedef struct
{
  const char *folder;      /* a machine's folder, or NULL with conf */
  const char *conf;        /* a definition somewhere else */
  const char *runtime_dir; /* for the control socket */
  const char *log_path;    /* (nullable) takes stdout and stderr; the one before is kept as .1 */
  gboolean paused;
  gboolean disposable;     /* what the guest writes is dropped at its end */
  gboolean discard_saved;  /* also what the end of a cut-off revert brings; without restore */
  const char *restore;     /* (nullable) a folder with a saved machine to go on from */
  gboolean consume;        /* that folder goes when it is needed no more */
  gboolean new_generation; /* the guest is told that it went back in time */
  gboolean stdio;          /* our stdin and stdout are its own (a serial port with backend stdio) */
  gboolean foreground;     /* in our session: signals of the keyboard reach it */
} AlcoveLaunchSpec;

/* Errors: it cannot be started; what it said; it ended before it said anything. Cancelling ends
 * the process. */
void alcove_launch_async (const AlcoveLaunchSpec *spec,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data);
/* (transfer full): the process. It goes on when the last reference is gone. */
GSubprocess *alcove_launch_finish (GAsyncResult *result, GError **error);

/**
 * alcove_launch_parse_ready:
 * @line: what came on the ready fd
 *
 * Returns: TRUE for {"ok":true}. Errors: the process's own message as ALCOVE_ERROR_FAILED, or
 * ALCOVE_ERROR_INVALID for anything else.
 */
gboolean alcove_launch_parse_ready (const char *line, GError **error);
