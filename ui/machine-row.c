/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/machine-row.h"

#include <glib/gi18n.h>

#include "ui/state.h"

struct _AlcoveMachineRow
{
  AdwActionRow parent;

  AlcoveMachine *machine;
  AlcoveMachineActions *actions;
  GtkWidget *mark;
  GtkButton *quick;
  GtkMenuButton *menu_button;
  GtkPopover *context;
};

G_DEFINE_FINAL_TYPE (AlcoveMachineRow, alcove_machine_row, ADW_TYPE_ACTION_ROW)

static void
set_quick (AlcoveMachineRow *self, const char *icon, const char *action, const char *label)
{
  gtk_button_set_icon_name (self->quick, icon);
  gtk_actionable_set_action_name (GTK_ACTIONABLE (self->quick), action);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self->quick), label);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self->quick), GTK_ACCESSIBLE_PROPERTY_LABEL,
                                  label, -1);
}

static void
update (AlcoveMachineRow *self)
{
  static const char *const classes[] = { "running", "waiting", "failed", "off" };
  AlcoveMachineState state = alcove_machine_get_state (self->machine);
  g_autofree char *summary = alcove_state_dup_summary (self->machine);

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (self),
                                 alcove_machine_get_name (self->machine));
  adw_action_row_set_subtitle (ADW_ACTION_ROW (self), summary);
  for (gsize i = 0; i < G_N_ELEMENTS (classes); i++)
    gtk_widget_remove_css_class (self->mark, classes[i]);
  gtk_widget_add_css_class (self->mark, alcove_state_get_css_class (state));

  if (state == ALCOVE_MACHINE_RUNNING)
    set_quick (self, "media-playback-pause-symbolic", "machine.pause", _ ("Pause"));
  else if (state == ALCOVE_MACHINE_PAUSED)
    set_quick (self, "media-playback-start-symbolic", "machine.resume", _ ("Resume"));
  else
    set_quick (self, "media-playback-start-symbolic", "machine.start", _ ("Start"));
}

static void
show_context (AlcoveMachineRow *self, double x, double y)
{
  gtk_popover_set_pointing_to (self->context, &(GdkRectangle){ (int)x, (int)y, 1, 1 });
  gtk_popover_popup (self->context);
}

static void
on_right_click (AlcoveMachineRow *self, int n_press, double x, double y)
{
  show_context (self, x, y);
}

static gboolean
on_menu_key (GtkWidget *widget, GVariant *args, gpointer data)
{
  show_context (ALCOVE_MACHINE_ROW (widget), gtk_widget_get_width (widget) / 2.0,
                gtk_widget_get_height (widget) / 2.0);
  return TRUE;
}

static void
alcove_machine_row_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  AlcoveMachineRow *self = ALCOVE_MACHINE_ROW (widget);

  GTK_WIDGET_CLASS (alcove_machine_row_parent_class)
      ->size_allocate (widget, width, height, baseline);
  gtk_popover_present (self->context);
}

static void
alcove_machine_row_dispose (GObject *object)
{
  AlcoveMachineRow *self = ALCOVE_MACHINE_ROW (object);

  g_clear_pointer ((GtkWidget **)&self->context, gtk_widget_unparent);
  g_clear_object (&self->actions);
  g_clear_object (&self->machine);
  G_OBJECT_CLASS (alcove_machine_row_parent_class)->dispose (object);
}

static void
alcove_machine_row_class_init (AlcoveMachineRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_machine_row_dispose;
  widget_class->size_allocate = alcove_machine_row_size_allocate;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/machine-row.ui");
  gtk_widget_class_bind_template_child (widget_class, AlcoveMachineRow, mark);
  gtk_widget_class_bind_template_child (widget_class, AlcoveMachineRow, quick);
  gtk_widget_class_bind_template_child (widget_class, AlcoveMachineRow, menu_button);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_F10, GDK_SHIFT_MASK, on_menu_key, NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_Menu, 0, on_menu_key, NULL);
}

static void
alcove_machine_row_init (AlcoveMachineRow *self)
{
  GtkGesture *click = gtk_gesture_click_new ();

  gtk_widget_init_template (GTK_WIDGET (self));
  gtk_gesture_single_set_button (GTK_GESTURE_SINGLE (click), GDK_BUTTON_SECONDARY);
  g_signal_connect_swapped (click, "pressed", G_CALLBACK (on_right_click), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (click));

  self->context = GTK_POPOVER (
      gtk_popover_menu_new_from_model (gtk_menu_button_get_menu_model (self->menu_button)));
  gtk_popover_set_has_arrow (self->context, FALSE);
  gtk_widget_set_halign (GTK_WIDGET (self->context), GTK_ALIGN_START);
  gtk_widget_set_parent (GTK_WIDGET (self->context), GTK_WIDGET (self));
}

/**
 * alcove_machine_row_new:
 *
 * Returns: a row that follows the machine's state
 */
GtkWidget *
alcove_machine_row_new (AlcoveMachine *machine)
{
  AlcoveMachineRow *self = g_object_new (ALCOVE_TYPE_MACHINE_ROW, NULL);

  self->machine = g_object_ref (machine);
  self->actions = alcove_machine_actions_new (machine, GTK_WIDGET (self));
  gtk_widget_insert_action_group (GTK_WIDGET (self), "machine", G_ACTION_GROUP (self->actions));
  g_signal_connect_object (machine, "notify", G_CALLBACK (update), self, G_CONNECT_SWAPPED);
  update (self);
  return GTK_WIDGET (self);
}

AlcoveMachine *
alcove_machine_row_get_machine (AlcoveMachineRow *self)
{
  return self->machine;
}

AlcoveMachineActions *
alcove_machine_row_get_actions (AlcoveMachineRow *self)
{
  return self->actions;
}
