/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveSpinner: a ring of dots that turns while it is on the screen, to say that something is being
 * done. Unlike GtkSpinner it never takes more than the time that is left over: its next step waits for
 * all other sources of the main loop, so that where drawing is slow it turns slowly and what the user
 * waits for goes on. With animations off it stands still. Main thread only. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define ALCOVE_TYPE_SPINNER (alcove_spinner_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveSpinner, alcove_spinner, ALCOVE, SPINNER, GtkWidget)

G_END_DECLS
