/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keeps the pointer inside a widget for guests that have only a relative mouse. Main thread only. */
#pragma once

#include <gtk/gtk.h>
#include <stdbool.h>

G_BEGIN_DECLS

bool alcove_pointer_warp (GtkWidget *widget, double x, double y);

G_END_DECLS
