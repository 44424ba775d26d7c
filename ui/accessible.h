/* SPDX-License-Identifier: GPL-3.0-or-later */
/* GTK 4.8 tells assistive technologies about stack pages and revealer children that nobody sees, as
 * if they were on the screen. These keep them out. Main thread only. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

void alcove_accessible_watch_stack (GtkStack *stack);
void alcove_accessible_watch_revealer (GtkRevealer *revealer);

G_END_DECLS
