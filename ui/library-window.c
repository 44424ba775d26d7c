/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/library-window.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui/accessible.h"
#include "ui/compat.h"
#include "ui/machine-row.h"

struct _AlcoveLibraryWindow
{
  AdwApplicationWindow parent;

  AlcoveLibrary *library;
  GtkFilterListModel *filtered;
  GtkFilter *filter;

  AdwToastOverlay *toasts;
  GtkStack *stack;
  GtkListBox *list;
  GtkSearchBar *search_bar;
  GtkSearchEntry *search_entry;
};

G_DEFINE_FINAL_TYPE (AlcoveLibraryWindow, alcove_library_window, ADW_TYPE_APPLICATION_WINDOW)

/**
 * alcove_library_window_report:
 * @message: a sentence for people
 *
 * Shows it for a while.
 */
void
alcove_library_window_report (AlcoveLibraryWindow *self, const char *message)
{
  g_autofree char *escaped = g_markup_escape_text (message, -1);

  adw_toast_overlay_add_toast (self->toasts, adw_toast_new (escaped));
  alcove_compat_announce (GTK_WIDGET (self), message);
}

static void
on_undo_delete (AdwToast *toast, AlcoveLibraryWindow *self)
{
  const char *token = g_object_get_data (G_OBJECT (toast), "token");
  g_autoptr (GError) error = NULL;

  if (!alcove_library_restore (self->library, token, &error))
    alcove_library_window_report (self, error->message);
}

static void
delete_machine (AlcoveMachineRow *row)
{
  AlcoveLibraryWindow *self = ALCOVE_LIBRARY_WINDOW (gtk_widget_get_root (GTK_WIDGET (row)));
  g_autoptr (AlcoveMachine) machine = g_object_ref (alcove_machine_row_get_machine (row));
  g_autofree char *name = g_markup_escape_text (alcove_machine_get_name (machine), -1);
  g_autofree char *title = NULL;
  g_autofree char *token = NULL;
  g_autoptr (GError) error = NULL;
  AdwToast *toast;

  if (!alcove_library_delete (self->library, machine, &token, &error))
    {
      alcove_library_window_report (self, error->message);
      return;
    }
  title = g_strdup_printf (_ ("“%s” is in the trash"), name);
  toast = adw_toast_new (title);
  adw_toast_set_timeout (toast, 10);
  adw_toast_set_button_label (toast, _ ("_Undo"));
  g_object_set_data_full (G_OBJECT (toast), "token", g_steal_pointer (&token), g_free);
  g_signal_connect_object (toast, "button-clicked", G_CALLBACK (on_undo_delete), self, 0);
  adw_toast_overlay_add_toast (self->toasts, toast);
}

static void
on_row_message (AlcoveMachineActions *actions, const char *message, AlcoveMachineRow *row)
{
  GtkRoot *root = gtk_widget_get_root (GTK_WIDGET (row));

  if (root)
    alcove_library_window_report (ALCOVE_LIBRARY_WINDOW (root), message);
}

static GtkWidget *
create_row (gpointer item, gpointer data)
{
  GtkWidget *row = alcove_machine_row_new (item);
  AlcoveMachineActions *actions = alcove_machine_row_get_actions (ALCOVE_MACHINE_ROW (row));

  g_signal_connect_object (actions, "problem", G_CALLBACK (on_row_message), row, 0);
  g_signal_connect_object (actions, "done", G_CALLBACK (on_row_message), row, 0);
  g_signal_connect_object (actions, "delete", G_CALLBACK (delete_machine), row, G_CONNECT_SWAPPED);
  return row;
}

static void
on_row_activated (AlcoveLibraryWindow *self, GtkListBoxRow *row)
{
  gtk_widget_activate_action (GTK_WIDGET (row), "machine.view", NULL);
}

static gboolean
matches (gpointer item, gpointer data)
{
  AlcoveLibraryWindow *self = data;
  const char *text = gtk_editable_get_text (GTK_EDITABLE (self->search_entry));
  g_autofree char *wanted = NULL;
  g_autofree char *name = NULL;

  if (!*text)
    return TRUE;
  wanted = g_utf8_casefold (text, -1);
  name = g_utf8_casefold (alcove_machine_get_name (item), -1);
  return strstr (name, wanted) != NULL;
}

static void
update_page (AlcoveLibraryWindow *self)
{
  const char *page = "list";

  if (g_list_model_get_n_items (G_LIST_MODEL (self->library)) == 0)
    page = "empty";
  else if (g_list_model_get_n_items (G_LIST_MODEL (self->filtered)) == 0)
    page = "nothing-found";
  gtk_stack_set_visible_child_name (self->stack, page);
}

static void
on_search_changed (AlcoveLibraryWindow *self)
{
  gtk_filter_changed (self->filter, GTK_FILTER_CHANGE_DIFFERENT);
  update_page (self);
}

static void
on_search (GtkWidget *widget, const char *name, GVariant *parameter)
{
  AlcoveLibraryWindow *self = ALCOVE_LIBRARY_WINDOW (widget);

  gtk_search_bar_set_search_mode (self->search_bar,
                                  !gtk_search_bar_get_search_mode (self->search_bar));
}

/* A file dropped on the window is a machine to import. */
static gboolean
on_drop (GtkDropTarget *target, const GValue *value, double x, double y, AlcoveLibraryWindow *self)
{
  GFile *file = g_value_get_object (value);
  g_autofree char *uri = file ? g_file_get_uri (file) : NULL;

  if (!uri)
    return FALSE;
  gtk_widget_activate_action (GTK_WIDGET (self), "app.import-file", "s", uri);
  return TRUE;
}

static void
alcove_library_window_dispose (GObject *object)
{
  AlcoveLibraryWindow *self = ALCOVE_LIBRARY_WINDOW (object);

  if (self->filtered)
    g_signal_handlers_disconnect_by_data (self->filtered, self);
  if (self->library)
    g_signal_handlers_disconnect_by_data (self->library, self);
  if (self->list)
    gtk_list_box_bind_model (self->list, NULL, NULL, NULL, NULL);
  g_clear_object (&self->filtered);
  g_clear_object (&self->library);
  G_OBJECT_CLASS (alcove_library_window_parent_class)->dispose (object);
}

static void
alcove_library_window_class_init (AlcoveLibraryWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_library_window_dispose;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/library-window.ui");
  gtk_widget_class_bind_template_child (widget_class, AlcoveLibraryWindow, toasts);
  gtk_widget_class_bind_template_child (widget_class, AlcoveLibraryWindow, stack);
  gtk_widget_class_bind_template_child (widget_class, AlcoveLibraryWindow, list);
  gtk_widget_class_bind_template_child (widget_class, AlcoveLibraryWindow, search_bar);
  gtk_widget_class_bind_template_child (widget_class, AlcoveLibraryWindow, search_entry);
  gtk_widget_class_bind_template_callback (widget_class, on_row_activated);
  gtk_widget_class_bind_template_callback (widget_class, on_search_changed);
  gtk_widget_class_install_action (widget_class, "win.search", NULL, on_search);
}

static void
alcove_library_window_init (AlcoveLibraryWindow *self)
{
  GtkDropTarget *drop = gtk_drop_target_new (G_TYPE_FILE, GDK_ACTION_COPY);

  gtk_widget_init_template (GTK_WIDGET (self));
  g_signal_connect (drop, "drop", G_CALLBACK (on_drop), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (drop));
  alcove_accessible_watch_stack (self->stack);
  gtk_search_bar_connect_entry (self->search_bar, GTK_EDITABLE (self->search_entry));
  gtk_search_bar_set_key_capture_widget (self->search_bar, GTK_WIDGET (self));
}

/**
 * alcove_library_window_new:
 *
 * Returns: (transfer none): a window over the library
 */
AlcoveLibraryWindow *
alcove_library_window_new (GtkApplication *application, AlcoveLibrary *library)
{
  AlcoveLibraryWindow *self =
      g_object_new (ALCOVE_TYPE_LIBRARY_WINDOW, "application", application, NULL);

  self->library = g_object_ref (library);
  self->filter = GTK_FILTER (gtk_custom_filter_new (matches, self, NULL));
  self->filtered = gtk_filter_list_model_new (G_LIST_MODEL (g_object_ref (library)), self->filter);
  gtk_list_box_bind_model (self->list, G_LIST_MODEL (self->filtered), create_row, NULL, NULL);
  g_signal_connect_swapped (self->filtered, "items-changed", G_CALLBACK (update_page), self);
  g_signal_connect_swapped (library, "items-changed", G_CALLBACK (update_page), self);
  update_page (self);
  return self;
}
