/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/accessible.h"

#include <stdbool.h>

static void
set_hidden (GtkWidget *widget, bool hidden)
{
  if (widget)
    gtk_accessible_update_state (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_STATE_HIDDEN, hidden, -1);
}

static void
update_stack (GtkStack *stack)
{
  GtkWidget *shown = gtk_stack_get_visible_child (stack);

  for (GtkWidget *child = gtk_widget_get_first_child (GTK_WIDGET (stack)); child;
       child = gtk_widget_get_next_sibling (child))
    set_hidden (child, child != shown);
}

/**
 * alcove_accessible_watch_stack:
 *
 * From now on only the visible page of @stack is there for assistive technologies.
 */
void
alcove_accessible_watch_stack (GtkStack *stack)
{
  g_signal_connect (stack, "notify::visible-child", G_CALLBACK (update_stack), NULL);
  update_stack (stack);
}

static void
update_revealer (GtkRevealer *revealer)
{
  set_hidden (gtk_revealer_get_child (revealer), !gtk_revealer_get_reveal_child (revealer));
}

/**
 * alcove_accessible_watch_revealer:
 *
 * From now on the child of @revealer is there for assistive technologies while it is revealed.
 */
void
alcove_accessible_watch_revealer (GtkRevealer *revealer)
{
  g_signal_connect (revealer, "notify::reveal-child", G_CALLBACK (update_revealer), NULL);
  update_revealer (revealer);
}
