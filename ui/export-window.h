/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveExportWindow: a machine for other programs: which, what will be lost, then the work. Main thread
 * only. */
#pragma once

#include <adwaita.h>

#include "app/machine.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_EXPORT_WINDOW (alcove_export_window_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveExportWindow, alcove_export_window, ALCOVE, EXPORT_WINDOW, AdwWindow)

AlcoveExportWindow *alcove_export_window_new (GtkWindow *parent, AlcoveMachine *machine);

G_END_DECLS
