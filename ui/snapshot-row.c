/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/snapshot-row.h"

#include <glib/gi18n.h>

#define INDENT    28 /* pixels a generation */
#define DEPTH_MAX 8  /* generations that are shown as such */

struct _AlcoveSnapshotRow
{
  GtkListBoxRow parent;

  AlcoveSnapshot *snapshot;
  GtkWidget *indent;
  GtkPicture *thumbnail;
  GtkWidget *no_thumbnail;
  GtkLabel *title;
  GtkLabel *details;
  GtkLabel *note;
  GtkLabel *problem;
  GtkWidget *here;
  GtkMenuButton *menu_button;
  GtkPopover *context;
};

G_DEFINE_FINAL_TYPE (AlcoveSnapshotRow, alcove_snapshot_row, GTK_TYPE_LIST_BOX_ROW)

enum
{
  REQUEST,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

static char *
dup_details (const AlcoveSnapshot *snapshot)
{
  g_autoptr (GDateTime) utc = g_date_time_new_from_unix_utc (snapshot->time / G_USEC_PER_SEC);
  g_autoptr (GDateTime) local = g_date_time_to_local (utc);
  g_autofree char *time = g_date_time_format (local, "%x %X");
  g_autofree char *size = g_format_size (snapshot->size);
  g_autoptr (GString) text = g_string_new (time);

  /* Translators: how much room a snapshot takes, with the memory of the machine in it */
  if (snapshot->with_memory)
    g_string_append_printf (text, _ (" · with memory, %s"), size);
  else
    g_string_append (text, _ (" · machine was off"));
  if (snapshot->with_memory)
    g_string_append (text, snapshot->quiesced ? _ (" · quiesced") : _ (" · not quiesced"));
  if (snapshot->automatic)
    g_string_append (text, _ (" · automatic"));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
show (AlcoveSnapshotRow *self, gboolean here)
{
  AlcoveSnapshot *snapshot = self->snapshot;
  g_autofree char *details = snapshot->problem != NULL ? NULL : dup_details (snapshot);
  g_autofree char *picture = g_build_filename (snapshot->folder, ALCOVE_SNAPSHOT_THUMBNAIL, NULL);
  g_autoptr (GdkTexture) texture = gdk_texture_new_from_filename (picture, NULL);
  g_autofree char *label =
      here ? g_strdup_printf (_ ("%s, you are here"), snapshot->name) : g_strdup (snapshot->name);

  gtk_widget_set_size_request (self->indent, (int)MIN (snapshot->depth, DEPTH_MAX) * INDENT, -1);
  gtk_widget_set_visible (self->indent, snapshot->depth > 0);
  gtk_picture_set_paintable (self->thumbnail, GDK_PAINTABLE (texture));
  gtk_widget_set_visible (GTK_WIDGET (self->thumbnail), texture != NULL);
  gtk_widget_set_visible (self->no_thumbnail, texture == NULL);
  gtk_label_set_text (self->title, snapshot->name);
  gtk_label_set_text (self->details, details != NULL ? details : "");
  gtk_widget_set_visible (GTK_WIDGET (self->details), details != NULL);
  gtk_label_set_text (self->note, snapshot->note);
  gtk_widget_set_visible (GTK_WIDGET (self->note), *snapshot->note != '\0');
  gtk_label_set_text (self->problem, snapshot->problem != NULL ? snapshot->problem : "");
  gtk_widget_set_visible (GTK_WIDGET (self->problem), snapshot->problem != NULL);
  gtk_widget_set_visible (self->here, here);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
  if (details != NULL)
    gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_DESCRIPTION,
                                    details, -1);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "snapshot.revert", snapshot->problem == NULL);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "snapshot.edit", snapshot->problem == NULL);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "snapshot.export", snapshot->problem == NULL);
}

static void
on_action (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_signal_emit (widget, signals[REQUEST], 0, name + strlen ("snapshot."));
}

static void
show_context (AlcoveSnapshotRow *self, double x, double y)
{
  gtk_popover_set_pointing_to (self->context, &(GdkRectangle){ (int)x, (int)y, 1, 1 });
  gtk_popover_popup (self->context);
}

static void
on_right_click (AlcoveSnapshotRow *self, int n_press, double x, double y)
{
  show_context (self, x, y);
}

static gboolean
on_menu_key (GtkWidget *widget, GVariant *args, gpointer data)
{
  show_context (ALCOVE_SNAPSHOT_ROW (widget), gtk_widget_get_width (widget) / 2.0,
                gtk_widget_get_height (widget) / 2.0);
  return TRUE;
}

static void
alcove_snapshot_row_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  GTK_WIDGET_CLASS (alcove_snapshot_row_parent_class)
      ->size_allocate (widget, width, height, baseline);
  gtk_popover_present (ALCOVE_SNAPSHOT_ROW (widget)->context);
}

static void
alcove_snapshot_row_dispose (GObject *object)
{
  AlcoveSnapshotRow *self = ALCOVE_SNAPSHOT_ROW (object);

  g_clear_pointer ((GtkWidget **)&self->context, gtk_widget_unparent);
  g_clear_pointer (&self->snapshot, alcove_snapshot_unref);
  G_OBJECT_CLASS (alcove_snapshot_row_parent_class)->dispose (object);
}

static void
alcove_snapshot_row_class_init (AlcoveSnapshotRowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  static const char *const actions[] = { "snapshot.revert", "snapshot.edit", "snapshot.export",
                                         "snapshot.delete" };

  G_OBJECT_CLASS (klass)->dispose = alcove_snapshot_row_dispose;
  widget_class->size_allocate = alcove_snapshot_row_size_allocate;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/snapshot-row.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveSnapshotRow, child)
  BIND (indent);
  BIND (thumbnail);
  BIND (no_thumbnail);
  BIND (title);
  BIND (details);
  BIND (note);
  BIND (problem);
  BIND (here);
  BIND (menu_button);
#undef BIND
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    gtk_widget_class_install_action (widget_class, actions[i], NULL, on_action);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Delete, 0, "snapshot.delete", NULL);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_F2, 0, "snapshot.edit", NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_F10, GDK_SHIFT_MASK, on_menu_key, NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_Menu, 0, on_menu_key, NULL);
  signals[REQUEST] = g_signal_new ("request", ALCOVE_TYPE_SNAPSHOT_ROW, G_SIGNAL_RUN_LAST, 0, NULL,
                                   NULL, NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void
alcove_snapshot_row_init (AlcoveSnapshotRow *self)
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
 * alcove_snapshot_row_new:
 * @here: the machine's present state comes from it
 */
GtkWidget *
alcove_snapshot_row_new (AlcoveSnapshot *snapshot, gboolean here)
{
  AlcoveSnapshotRow *self = g_object_new (ALCOVE_TYPE_SNAPSHOT_ROW, NULL);

  self->snapshot = alcove_snapshot_ref (snapshot);
  show (self, here);
  return GTK_WIDGET (self);
}

AlcoveSnapshot *
alcove_snapshot_row_get_snapshot (AlcoveSnapshotRow *self)
{
  return self->snapshot;
}
