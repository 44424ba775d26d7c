/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Both ends of the control connection: D-Bus, peer to peer, on the unix socket "control" in the
 * machine's runtime folder. The interface is data/dbus/io.github.alcove_vm.Machine1.xml; its
 * skeleton (AlcoveMachine1Skeleton, for alcove-vmm) and proxy (AlcoveMachine1Proxy) are generated
 * into app/machine1.h. Only processes of the same user get in.
 *
 * Threads: the server lives on the thread-default main context it was made on. */
#pragma once
#include <gio/gio.h>
#include "app/error.h"
#include "app/machine1.h"

#define ALCOVE_CONTROL_PATH "/io/github/alcove_vm/Machine1"

typedef struct _AlcoveControlServer AlcoveControlServer;

/**
 * alcove_control_server_new:
 * @runtime_folder: the machine's runtime folder; made with mode 0700 when missing
 * @machine: what is exported to each client
 *
 * Listens. A socket file left behind is replaced: call it with the machine's lock held.
 * Returns: (transfer full): the server. Errors: the folder or socket cannot be made;
 * ALCOVE_ERROR_BUSY when another process serves it.
 */
AlcoveControlServer *
alcove_control_server_new (const char *runtime_folder, AlcoveMachine1 *machine, GError **error);
/* Does somebody accept connections on the socket in this folder? Never waits. Thread: any. */
gboolean alcove_control_is_served (const char *runtime_folder);
/* Closes the clients' connections after what was sent to them, removes socket and runtime folder
 * (when empty). NULL is fine. */
void alcove_control_server_free (AlcoveControlServer *server);
guint alcove_control_server_get_n_clients (AlcoveControlServer *server);
/* Sends what is queued to all clients; before the process ends. Blocks for as long as that takes. */
void alcove_control_server_flush (AlcoveControlServer *server);

/* Answers a call with a GError: ALCOVE_ERROR codes get their D-Bus names, all others are
 * io.github.alcove_vm.Error.Failed; the message is sent as it is. invocation: (transfer full). */
void alcove_control_return_error (GDBusMethodInvocation *invocation, const GError *error);

/**
 * alcove_control_connect_async:
 *
 * Connects to a machine's control socket and reads its properties. Errors: ALCOVE_ERROR_WRONG_STATE
 * when nobody listens there; others as they come.
 */
void alcove_control_connect_async (const char *runtime_folder,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
/* (transfer full) */
AlcoveMachine1 *alcove_control_connect_finish (GAsyncResult *result, GError **error);
