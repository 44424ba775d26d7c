/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveMachineWindow: one machine: its screen, or a page that says why there is none.
 * Closing the window leaves the machine running. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/machine.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_MACHINE_WINDOW (alcove_machine_window_get_type ())
G_DECLARE_FINAL_TYPE (
    AlcoveMachineWindow, alcove_machine_window, ALCOVE, MACHINE_WINDOW, AdwApplicationWindow)

AlcoveMachineWindow *alcove_machine_window_new (GtkApplication *application,
                                                AlcoveMachine *machine,
                                                GSettings *settings);
AlcoveMachine *alcove_machine_window_get_machine (AlcoveMachineWindow *self);
void alcove_machine_window_start (AlcoveMachineWindow *self);

G_END_DECLS
