/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/snapshots-page.h"

#include <glib/gi18n.h>
#include <stdbool.h>

#include "app/clone.h"
#include "app/definition-pci.h"
#include "app/error.h"
#include "app/machine-snapshots.h"
#include "app/snapshot-work.h"
#include "ui/accessible.h"
#include "ui/compat.h"
#include "ui/page-bar.h"
#include "ui/snapshot-row.h"

struct _AlcoveSnapshotsPage
{
  AdwBin parent;

  AlcoveMachine *machine;
  GFileMonitor *monitor;
  GCancellable *busy;  /* of the operation under way */
  GHashTable *deleted; /* ids whose toast is still there */
  guint reload_source;
  char *shown; /* what the rows show */

  AlcovePageBar *bar;
  GtkWidget *unsavable;
  GtkLabel *unsavable_label;
  GtkStack *stack;
  GtkListBox *list;
};

G_DEFINE_FINAL_TYPE (AlcoveSnapshotsPage, alcove_snapshots_page, ADW_TYPE_BIN)

static AdwToastOverlay *
get_overlay (AlcoveSnapshotsPage *self)
{
  return ADW_TOAST_OVERLAY (gtk_widget_get_ancestor (GTK_WIDGET (self), ADW_TYPE_TOAST_OVERLAY));
}

/* --- the list --- */

static void on_request (AlcoveSnapshotRow *row, const char *what, AlcoveSnapshotsPage *self);

static void
clear_list (AlcoveSnapshotsPage *self)
{
  GtkWidget *child;

  while ((child = gtk_widget_get_first_child (GTK_WIDGET (self->list))))
    gtk_list_box_remove (self->list, child);
}

/* (transfer full): everything that is shown, to see whether it changed. */
static char *
dup_shown (AlcoveSnapshotsPage *self, AlcoveSnapshots *tree)
{
  g_autoptr (GString) text = g_string_new (tree->current);

  for (guint i = 0; i < tree->snapshots->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (tree->snapshots, i);

      if (!g_hash_table_contains (self->deleted, snapshot->id))
        g_string_append_printf (text, "\n%s %u %" G_GUINT64_FORMAT " %d %s\n%s\n%s", snapshot->id,
                                snapshot->depth, snapshot->size, snapshot->automatic,
                                snapshot->name, snapshot->note,
                                snapshot->problem ? snapshot->problem : "");
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
reload (AlcoveSnapshotsPage *self)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveSnapshots) tree =
      alcove_snapshots_load (alcove_machine_get_folder (self->machine), &error);
  GtkListBoxRow *focused = gtk_list_box_get_selected_row (self->list);
  g_autofree char *selected =
      focused ? g_strdup (alcove_snapshot_row_get_snapshot (ALCOVE_SNAPSHOT_ROW (focused))->id)
              : NULL;
  g_autofree char *shown = NULL;
  guint n = 0;

  if (!tree)
    {
      alcove_page_bar_show_problem (self->bar, error->message);
      return;
    }
  /* Rows that stay what they are keep the focus, and the menu that is open over them. */
  shown = dup_shown (self, tree);
  if (g_strcmp0 (shown, self->shown) == 0)
    return;
  g_free (self->shown);
  self->shown = g_steal_pointer (&shown);
  clear_list (self);
  for (guint i = 0; i < tree->snapshots->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (tree->snapshots, i);
      GtkWidget *row;

      if (g_hash_table_contains (self->deleted, snapshot->id))
        continue;
      row = alcove_snapshot_row_new (snapshot, g_strcmp0 (tree->current, snapshot->id) == 0);
      g_signal_connect (row, "request", G_CALLBACK (on_request), self);
      gtk_list_box_append (self->list, row);
      if (g_strcmp0 (selected, snapshot->id) == 0)
        gtk_list_box_select_row (self->list, GTK_LIST_BOX_ROW (row));
      n++;
    }
  gtk_stack_set_visible_child_name (self->stack, n > 0 ? "list" : "empty");
}

static gboolean
on_reload_time (gpointer data)
{
  AlcoveSnapshotsPage *self = data;

  self->reload_source = 0;
  reload (self);
  return G_SOURCE_REMOVE;
}

static void
on_folder_changed (AlcoveSnapshotsPage *self)
{
  if (self->reload_source == 0)
    self->reload_source = g_timeout_add (200, on_reload_time, self);
}

/* --- operations --- */

static void
on_progress (guint64 done, guint64 total, gpointer data)
{
  AlcoveSnapshotsPage *self = data;

  if (self->bar)
    alcove_page_bar_set_progress (self->bar, done, total);
}

static void
begin (AlcoveSnapshotsPage *self, const char *what)
{
  self->busy = g_cancellable_new ();
  alcove_page_bar_begin (self->bar, what, TRUE, TRUE);
  gtk_widget_set_sensitive (GTK_WIDGET (self->stack), FALSE);
}

/* Calls hold the page: progress goes to it until they end. */
static void
end (AlcoveSnapshotsPage *self, GError *error)
{
  g_clear_object (&self->busy);
  if (self->machine)
    {
      alcove_page_bar_end (self->bar);
      gtk_widget_set_sensitive (GTK_WIDGET (self->stack), TRUE);
      if (error && !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED) &&
          !g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED))
        alcove_page_bar_show_problem (self->bar, error->message);
      reload (self);
    }
  g_clear_error (&error);
}

static void
on_cancel (AlcoveSnapshotsPage *self)
{
  if (self->busy)
    g_cancellable_cancel (self->busy);
}

static void
on_created (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveSnapshotsPage) self = data;
  GError *error = NULL;

  g_free (alcove_machine_create_snapshot_finish (ALCOVE_MACHINE (source), result, &error));
  end (self, error);
}

static void
on_reverted (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveSnapshotsPage) self = data;
  GError *error = NULL;

  alcove_machine_finish (ALCOVE_MACHINE (source), result, &error);
  end (self, error);
}

static void
on_exported (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveSnapshotsPage) self = data;
  GError *error = NULL;
  g_autofree char *folder = alcove_clone_finish (result, &error);

  if (folder && self->machine)
    alcove_page_bar_report (self->bar, _ ("The new machine is in the library"));
  end (self, error);
}

/* --- questions --- */

/* What a dialog asks for, and about which snapshot. */
typedef struct
{
  AlcoveSnapshotsPage *self;
  AlcoveSnapshot *snapshot; /* NULL: a new one */
  GtkEditable *name, *note;
  GtkCheckButton *keep;
} Question;

static void
question_free (gpointer data)
{
  Question *question = data;

  g_object_unref (question->self);
  g_clear_pointer (&question->snapshot, alcove_snapshot_unref);
  g_free (question);
}

static Question *
question_new (AlcoveSnapshotsPage *self, AlcoveSnapshot *snapshot)
{
  Question *question = g_new0 (Question, 1);

  question->self = g_object_ref (self);
  question->snapshot = snapshot ? alcove_snapshot_ref (snapshot) : NULL;
  return question;
}

static GtkEditable *
add_entry (GtkWidget *group, const char *title, const char *text)
{
  GtkWidget *row = adw_entry_row_new ();

  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  gtk_editable_set_text (GTK_EDITABLE (row), text);
  adw_entry_row_set_activates_default (ADW_ENTRY_ROW (row), TRUE);
  adw_preferences_group_add (ADW_PREFERENCES_GROUP (group), row);
  return GTK_EDITABLE (row);
}

static void
create_now (gpointer data)
{
  Question *question = data;
  AlcoveSnapshotsPage *self = question->self;
  const char *name = gtk_editable_get_text (question->name);
  const char *note = gtk_editable_get_text (question->note);

  if (self->busy || !self->machine)
    return;
  begin (self, _ ("Taking a snapshot…"));
  alcove_machine_create_snapshot_async (self->machine, *name != '\0' ? name : NULL, note, NULL,
                                        on_progress, self, self->busy, on_created,
                                        g_object_ref (self));
}

static void
on_create (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveSnapshotsPage *self = ALCOVE_SNAPSHOTS_PAGE (widget);
  Question *question = question_new (self, NULL);
  GtkWidget *group = adw_preferences_group_new ();
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *name = g_date_time_format (now, "%x %X");

  question->name = add_entry (group, _ ("Name"), name);
  question->note = add_entry (group, _ ("Note"), "");
  alcove_compat_ask (widget, _ ("Take a Snapshot"),
                     alcove_machine_is_active (self->machine)
                         ? _ ("Disks, settings and memory are kept as they are now. The machine "
                              "goes on.")
                         : _ ("Disks and settings are kept as they are now."),
                     group, _ ("_Take Snapshot"), false, create_now, question, question_free);
}

static void
edit_now (gpointer data)
{
  Question *question = data;
  AlcoveSnapshotsPage *self = question->self;
  const char *name = gtk_editable_get_text (question->name);
  g_autoptr (GError) error = NULL;

  if (!self->machine)
    return;
  if (!alcove_snapshots_edit (alcove_machine_get_folder (self->machine), question->snapshot->id,
                              g_strcmp0 (name, question->snapshot->name) == 0 ? NULL : name,
                              gtk_editable_get_text (question->note), &error))
    alcove_page_bar_show_problem (self->bar, error->message);
  reload (self);
}

static void
ask_edit (AlcoveSnapshotsPage *self, AlcoveSnapshot *snapshot)
{
  Question *question = question_new (self, snapshot);
  GtkWidget *group = adw_preferences_group_new ();

  question->name = add_entry (group, _ ("Name"), snapshot->name);
  question->note = add_entry (group, _ ("Note"), snapshot->note);
  alcove_compat_ask (GTK_WIDGET (self), _ ("Edit the Snapshot"), NULL, group, _ ("_Save"), false,
                     edit_now, question, question_free);
}

static void
revert_now (gpointer data)
{
  Question *question = data;
  AlcoveSnapshotsPage *self = question->self;

  if (self->busy || !self->machine)
    return;
  begin (self, _ ("Going back…"));
  alcove_machine_revert_async (self->machine, question->snapshot->id,
                               gtk_check_button_get_active (question->keep), on_progress, self,
                               self->busy, on_reverted, g_object_ref (self));
}

static void
ask_revert (AlcoveSnapshotsPage *self, AlcoveSnapshot *snapshot)
{
  Question *question = question_new (self, snapshot);
  GtkWidget *keep = gtk_check_button_new_with_mnemonic (_ ("_Keep the present state first"));
  g_autofree char *heading = g_strdup_printf (_ ("Go Back to “%s”?"), snapshot->name);

  gtk_check_button_set_active (GTK_CHECK_BUTTON (keep), TRUE);
  gtk_widget_set_tooltip_text (keep, _ ("A snapshot is taken before going back. Without it, what "
                                        "changed since the last snapshot is lost."));
  question->keep = GTK_CHECK_BUTTON (keep);
  alcove_compat_ask (GTK_WIDGET (self), heading,
                     alcove_machine_is_active (self->machine)
                         ? _ ("Disks and settings become what they were then. The running machine "
                              "is turned off for it and started again.")
                         : _ ("Disks and settings become what they were then."),
                     keep, _ ("_Go Back"), false, revert_now, question, question_free);
}

static void
export_now (gpointer data)
{
  Question *question = data;
  AlcoveSnapshotsPage *self = question->self;
  AlcoveCloneSpec spec = { .snapshot = question->snapshot->id };
  g_autofree char *machines = NULL;

  if (self->busy || !self->machine)
    return;
  spec.name = gtk_editable_get_text (question->name);
  machines = g_path_get_dirname (alcove_machine_get_folder (self->machine));
  begin (self, _ ("Making a machine…"));
  alcove_clone_async (machines, alcove_machine_get_folder (self->machine), &spec, on_progress, self,
                      self->busy, on_exported, g_object_ref (self));
}

static void
ask_export (AlcoveSnapshotsPage *self, AlcoveSnapshot *snapshot)
{
  Question *question = question_new (self, snapshot);
  GtkWidget *group = adw_preferences_group_new ();
  g_autofree char *name =
      g_strdup_printf ("%.60s %.60s", alcove_machine_get_name (self->machine), snapshot->name);
  g_autofree char *valid = g_utf8_make_valid (name, -1);

  question->name = add_entry (group, _ ("Name"), valid);
  alcove_compat_ask (GTK_WIDGET (self), _ ("New Machine From the Snapshot"),
                     _ ("Its disks are copied. The machine may run meanwhile."), group, _ ("_Make"),
                     false, export_now, question, question_free);
}

/* --- deleting --- */

typedef struct
{
  AlcoveSnapshotsPage *self;
  char *id;
  bool undone;
} Deletion;

static void
on_deleted (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveSnapshotsPage) self = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *left = NULL;

  if (!alcove_machine_delete_snapshot_finish (ALCOVE_MACHINE (source), result, &left, &error) &&
      self->machine)
    {
      alcove_page_bar_show_problem (self->bar, error->message);
      g_hash_table_remove_all (self->deleted);
    }
  if (self->machine)
    reload (self);
}

static void
on_undo (Deletion *deletion)
{
  deletion->undone = true;
  g_hash_table_remove (deletion->self->deleted, deletion->id);
  if (deletion->self->machine)
    reload (deletion->self);
}

/* The toast has gone: now it is meant. */
static void
on_dismissed (Deletion *deletion)
{
  AlcoveSnapshotsPage *self = deletion->self;

  if (!deletion->undone && self->machine)
    alcove_machine_delete_snapshot_async (self->machine, deletion->id, NULL, on_deleted,
                                          g_object_ref (self));
  deletion->undone = true;
}

static void
deletion_free (gpointer data, GClosure *closure)
{
  Deletion *deletion = data;

  g_object_unref (deletion->self);
  g_free (deletion->id);
  g_free (deletion);
}

static void
delete_soon (AlcoveSnapshotsPage *self, AlcoveSnapshot *snapshot)
{
  g_autofree char *message = g_strdup_printf (_ ("“%s” deleted"), snapshot->name);
  g_autofree char *escaped = g_markup_escape_text (message, -1);
  AdwToast *toast = adw_toast_new (escaped);
  Deletion *deletion = g_new0 (Deletion, 1);

  deletion->self = g_object_ref (self);
  deletion->id = g_strdup (snapshot->id);
  adw_toast_set_button_label (toast, _ ("_Undo"));
  g_signal_connect_swapped (toast, "button-clicked", G_CALLBACK (on_undo), deletion);
  g_signal_connect_data (toast, "dismissed", G_CALLBACK (on_dismissed), deletion, deletion_free,
                         G_CONNECT_SWAPPED);
  g_hash_table_add (self->deleted, g_strdup (snapshot->id));
  reload (self);
  adw_toast_overlay_add_toast (get_overlay (self), toast);
  alcove_compat_announce (GTK_WIDGET (self), message);
}

static void
on_request (AlcoveSnapshotRow *row, const char *what, AlcoveSnapshotsPage *self)
{
  g_autoptr (AlcoveSnapshot) snapshot =
      alcove_snapshot_ref (alcove_snapshot_row_get_snapshot (row));

  if (g_str_equal (what, "revert"))
    ask_revert (self, snapshot);
  else if (g_str_equal (what, "edit"))
    ask_edit (self, snapshot);
  else if (g_str_equal (what, "export"))
    ask_export (self, snapshot);
  else if (g_str_equal (what, "delete"))
    delete_soon (self, snapshot);
}

static void
on_row_activated (AlcoveSnapshotsPage *self, GtkListBoxRow *row)
{
  gtk_widget_activate_action (GTK_WIDGET (row), "snapshot.revert", NULL);
}

/* --- life --- */

/* Toasts that are still there go with the window: what they spoke of is done. */
static void
delete_all_now (AlcoveSnapshotsPage *self)
{
  GHashTableIter iter;
  gpointer id;

  g_hash_table_iter_init (&iter, self->deleted);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    alcove_machine_delete_snapshot_async (self->machine, id, NULL, NULL, NULL);
  g_hash_table_remove_all (self->deleted);
}

static void
alcove_snapshots_page_dispose (GObject *object)
{
  AlcoveSnapshotsPage *self = ALCOVE_SNAPSHOTS_PAGE (object);

  g_clear_handle_id (&self->reload_source, g_source_remove);
  if (self->monitor)
    g_signal_handlers_disconnect_by_data (self->monitor, self);
  g_clear_object (&self->monitor);
  if (self->machine)
    {
      g_signal_handlers_disconnect_by_data (self->machine, self);
      delete_all_now (self);
    }
  g_clear_object (&self->machine);
  self->bar = NULL;
  G_OBJECT_CLASS (alcove_snapshots_page_parent_class)->dispose (object);
}

static void
alcove_snapshots_page_finalize (GObject *object)
{
  AlcoveSnapshotsPage *self = ALCOVE_SNAPSHOTS_PAGE (object);

  g_hash_table_unref (self->deleted);
  g_free (self->shown);
  G_OBJECT_CLASS (alcove_snapshots_page_parent_class)->finalize (object);
}

static void
alcove_snapshots_page_class_init (AlcoveSnapshotsPageClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_snapshots_page_dispose;
  G_OBJECT_CLASS (klass)->finalize = alcove_snapshots_page_finalize;
  g_type_ensure (ALCOVE_TYPE_PAGE_BAR);
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/snapshots-page.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveSnapshotsPage, child)
  BIND (bar);
  BIND (unsavable);
  BIND (unsavable_label);
  BIND (stack);
  BIND (list);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_cancel);
  gtk_widget_class_bind_template_callback (widget_class, on_row_activated);
  gtk_widget_class_install_action (widget_class, "snapshots.create", NULL, on_create);
}

static void
alcove_snapshots_page_init (AlcoveSnapshotsPage *self)
{
  self->deleted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_stack (self->stack);
}

/* What is not possible is said before somebody tries. */
static void
show_unsavable (AlcoveSnapshotsPage *self)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (self->machine);
  g_autofree char *text = definition ? alcove_definition_dup_unsavable (definition) : NULL;

  gtk_label_set_text (self->unsavable_label, text ? text : "");
  gtk_widget_set_visible (self->unsavable, text != NULL);
}

void
alcove_snapshots_page_set_machine (AlcoveSnapshotsPage *self, AlcoveMachine *machine)
{
  g_autofree char *path = alcove_snapshots_dup_path (alcove_machine_get_folder (machine), NULL);
  g_autoptr (GFile) folder = g_file_new_for_path (path);

  self->machine = g_object_ref (machine);
  self->monitor = g_file_monitor_directory (folder, G_FILE_MONITOR_NONE, NULL, NULL);
  if (self->monitor)
    g_signal_connect_swapped (self->monitor, "changed", G_CALLBACK (on_folder_changed), self);
  g_signal_connect_swapped (machine, "notify::definition", G_CALLBACK (show_unsavable), self);
  show_unsavable (self);
  reload (self);
}
