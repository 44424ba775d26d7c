/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveMachineRow: one machine in the library, with its state and what can be done to it.
 * Main thread only. */
#pragma once

#include <adwaita.h>

#include "ui/machine-actions.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_MACHINE_ROW (alcove_machine_row_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveMachineRow, alcove_machine_row, ALCOVE, MACHINE_ROW, AdwActionRow)

GtkWidget *alcove_machine_row_new (AlcoveMachine *machine);
AlcoveMachine *alcove_machine_row_get_machine (AlcoveMachineRow *self);
AlcoveMachineActions *alcove_machine_row_get_actions (AlcoveMachineRow *self);

G_END_DECLS
