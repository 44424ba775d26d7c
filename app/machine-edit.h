/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What edits of a machine's definition share, where a machine that runs follows: the definition is
 * loaded and edited on a thread, the machine is asked on its context, and then the file is written.
 *
 * Life cycle: the task data of the operation's task begins with an AlcoveEdit; init, then any number of
 * run (each a step on a thread, whose callback on the machine's context starts the next or ends the
 * task), the last of them with alcove_edit_on_saved. */
#pragma once
#include "app/definition-edit.h"
#include "app/machine.h"

typedef struct
{
  char *folder, *conf;
  gboolean live;                /* the machine runs */
  AlcoveDefinitionEdit *held;   /* (nullable) from open to end */
  AlcoveDefinition *definition; /* of that: edited, not saved yet */
} AlcoveEdit;

/* FALSE: the machine has no definition that could be edited, and the task has its error. */
gboolean alcove_edit_init (AlcoveEdit *edit, GTask *task, AlcoveMachine *machine);
void alcove_edit_clear (AlcoveEdit *edit);
/* A machine that is saved goes on with the devices that it has. TRUE: it is, and the task has its
 * error. */
gboolean alcove_edit_refuse_saved (GTask *task, AlcoveMachine *machine);

/* In a step. Loads the definition, with its locks. what: "changes its disks". */
gboolean alcove_edit_open (AlcoveEdit *edit, const char *what, GError **error);
gboolean alcove_edit_save (AlcoveEdit *edit, GError **error);
/* Gives the locks back, before the task returns: who hears of that may go on with the next. */
void alcove_edit_end (AlcoveEdit *edit);
/* The end of a step; without more to come the edit ends. error: (transfer full) (nullable) */
void alcove_edit_step (GTask *task, AlcoveEdit *edit, gboolean more, gboolean good, GError *error);
/* error: (transfer full) (nullable) */
void alcove_edit_return (GTask *task, gboolean good, GError *error);
/* func gets the task data of the operation, and ends its own task; callback gets the operation's task as
 * user data, (transfer full). */
void alcove_edit_run (GTask *task, GTaskThreadFunc func, GAsyncReadyCallback callback);
/* The callback of the last step: the machine reads its definition again, and the task ends. */
void alcove_edit_on_saved (GObject *machine, GAsyncResult *result, gpointer task);
