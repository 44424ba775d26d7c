/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * AlcoveMachineActions: what can be done to one machine, as an action group ("machine.start" and so
 * on when inserted under that prefix). An action is enabled when the machine's state allows it, so
 * buttons and menus need no logic of their own. Questions are asked over a widget's window; what
 * goes wrong comes out of ::problem as a sentence.
 *
 * Actions: start, pause, resume, toggle-pause, save, cancel-save, discard-saved, shut-down, reset,
 * force-off, screenshot,
 * send-keys (au), type-clipboard, view, delete. Main thread only.
 */
#pragma once

#include <adwaita.h>

#include "app/machine.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_MACHINE_ACTIONS (alcove_machine_actions_get_type ())
G_DECLARE_FINAL_TYPE (
    AlcoveMachineActions, alcove_machine_actions, ALCOVE, MACHINE_ACTIONS, GSimpleActionGroup)

AlcoveMachineActions *alcove_machine_actions_new (AlcoveMachine *machine, GtkWidget *widget);
GMenuModel *alcove_machine_actions_create_keys_menu (void);

G_END_DECLS
