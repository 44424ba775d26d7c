/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by machine.c (identity and state) and machine-calls.c (operations). */
#pragma once
#include "app/control.h"
#include "app/machine.h"

struct _AlcoveMachine
{
  GObject parent_instance;
  char *folder, *id;
  AlcoveDefinition *definition; /* (nullable) */
  char *error;                  /* why there is no definition */
  char *uuid;                   /* survives a definition that became unusable */
  AlcoveMachineState state;
  char *state_reason, *state_detail;
  AlcoveMachine1 *proxy; /* (nullable) the control connection */
  GPid pid;              /* of the process at its other end */
  gboolean launching;    /* start is under way: it alone sets the state */
  guint settle_source;   /* waits for the lock to go after the connection went */
  guint settle_left;
};

/* Makes the proxy, or finds that there cannot be one. Result: alcove_machine_connect_finish. */
void alcove_machine_connect_async (AlcoveMachine *self,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data);
gboolean alcove_machine_connect_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);
/* Is there a VM process to connect to? */
gboolean alcove_machine_has_process (AlcoveMachine *self);
