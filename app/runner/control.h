/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control server of a running machine: io.github.alcove_vm.Machine1, peer to peer D-Bus over a
 * unix socket in a folder of mode 0700 (data/dbus). Only this user's processes get in.
 * Thread: the main context. */
#pragma once
#include <gio/gio.h>

#include "app/runner/machine.h"
#include "app/runner/saving.h"

typedef struct _RunnerControl RunnerControl;

/* What a method cannot do by itself: ends the process in good order ("user"). */
typedef void (*RunnerQuitFunc) (gpointer user_data);

/* folder: where the socket "control" is made (an old one is replaced; the caller holds the
 * machine's lock). Errors: the folder cannot be made or is somebody else's. */
RunnerControl *runner_control_new (RunnerMachine *machine,
                                   AlcoveDefinition *definition,
                                   const char *folder,
                                   RunnerQuitFunc quit,
                                   RunnerSavedFunc saved,
                                   gpointer user_data,
                                   GError **error);
/* Tells all clients the last state, closes connections, removes socket and folder. */
void runner_control_free (RunnerControl *control);
/* state: "running"...; reason and detail may be "". Emits StateChanged and property changes. */
void runner_control_set_state (RunnerControl *control,
                               const char *state,
                               const char *reason,
                               const char *detail);
/* The property; what would keep something of the run is refused. */
void runner_control_set_disposable (RunnerControl *control, gboolean disposable);
/* Answers a call with an error, by its D-Bus name. */
void runner_control_return_error (GDBusMethodInvocation *invocation, const GError *error);
