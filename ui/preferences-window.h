/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcovePreferencesWindow: the user's own settings. Main thread only. */
#pragma once

#include <adwaita.h>

G_BEGIN_DECLS

#define ALCOVE_TYPE_PREFERENCES_WINDOW (alcove_preferences_window_get_type ())
G_DECLARE_FINAL_TYPE (AlcovePreferencesWindow,
                      alcove_preferences_window,
                      ALCOVE,
                      PREFERENCES_WINDOW,
                      AdwPreferencesWindow)

AlcovePreferencesWindow *alcove_preferences_window_new (GtkWindow *parent, GSettings *settings);

G_END_DECLS
