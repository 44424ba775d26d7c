/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveLibraryWindow: all machines with their state. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/library.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_LIBRARY_WINDOW (alcove_library_window_get_type ())
G_DECLARE_FINAL_TYPE (
    AlcoveLibraryWindow, alcove_library_window, ALCOVE, LIBRARY_WINDOW, AdwApplicationWindow)

AlcoveLibraryWindow *alcove_library_window_new (GtkApplication *application,
                                                AlcoveLibrary *library);
void alcove_library_window_report (AlcoveLibraryWindow *self, const char *message);

G_END_DECLS
