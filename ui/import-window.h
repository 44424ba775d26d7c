/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveImportWindow: another program's machine, what of it will be lost, then the work. Main thread
 * only. */
#pragma once

#include <adwaita.h>

#include "app/library.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_IMPORT_WINDOW (alcove_import_window_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveImportWindow, alcove_import_window, ALCOVE, IMPORT_WINDOW, AdwWindow)

AlcoveImportWindow *
alcove_import_window_new (GtkWindow *parent, AlcoveLibrary *library, GFile *file);

G_END_DECLS
