/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/import-window.h"

#include <glib/gi18n.h>
#include <string.h>

#include "app/import/import.h"
#include "ui/accessible.h"
#include "ui/compat.h"
#include "ui/findings.h"
#include "ui/spinner.h"

struct _AlcoveImportWindow
{
  AdwWindow parent;

  AlcoveLibrary *library;
  AlcoveImport *import;      /* NULL until it was looked at */
  GCancellable *cancellable; /* of what is under way, else NULL */
  AlcoveFindingsView findings;

  GtkStack *stack;
  AdwStatusPage *failed_page;
  AdwPreferencesPage *page;
  AdwEntryRow *name_row;
  AdwComboRow *format_row;
  AdwPreferencesGroup *machine_group;
  GtkLabel *problem_label;
  GtkRevealer *problem_revealer;
  GtkProgressBar *progress;
};

G_DEFINE_FINAL_TYPE (AlcoveImportWindow, alcove_import_window, ADW_TYPE_WINDOW)

static void
set_problem (AlcoveImportWindow *self, const char *problem)
{
  if (problem)
    {
      gtk_label_set_text (self->problem_label, problem);
      alcove_compat_announce (GTK_WIDGET (self), problem);
    }
  gtk_revealer_set_reveal_child (self->problem_revealer, problem != NULL);
}

static void
add_row (AlcoveImportWindow *self, const char *title, const char *subtitle)
{
  GtkWidget *row = adw_action_row_new ();

  g_object_set (row, "use-markup", FALSE, NULL);
  adw_preferences_row_set_title (ADW_PREFERENCES_ROW (row), title);
  adw_action_row_set_subtitle (ADW_ACTION_ROW (row), subtitle);
  adw_action_row_set_subtitle_lines (ADW_ACTION_ROW (row), 3);
  adw_preferences_group_add (self->machine_group, row);
}

static void
show_report (AlcoveImportWindow *self)
{
  const AlcoveImport *import = self->import;
  g_autofree char *hardware =
      g_strdup_printf (_ ("%" G_GUINT64_FORMAT " MiB of memory, %u CPUs, %s"), import->memory_mib,
                       import->cpus, import->firmware == ALCOVE_FIRMWARE_UEFI ? "UEFI" : "BIOS");

  gtk_editable_set_text (GTK_EDITABLE (self->name_row), import->title);
  add_row (self, _ ("Hardware"), hardware);
  for (guint i = 0; i < import->disks->len; i++)
    {
      const AlcoveImportDisk *disk = g_ptr_array_index (import->disks, i);
      g_autofree char *size = g_format_size (disk->size);
      g_autofree char *shown = g_filename_display_name (disk->source);
      g_autofree char *text =
          g_strdup_printf (_ ("%s (%s, %s)"), shown, alcove_import_disk_get_format (disk), size);

      add_row (self, _ ("Disk"), text);
    }
  alcove_findings_view_show (&self->findings, self->page, import->findings);
  gtk_stack_set_visible_child_name (self->stack, "report");
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "import.import", TRUE);
  gtk_widget_grab_focus (GTK_WIDGET (self->name_row));
}

static void
on_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveImportWindow) self = data;
  g_autoptr (GError) error = NULL;
  AlcoveImport *import = alcove_import_open_finish (result, &error);

  g_clear_object (&self->cancellable);
  if (import)
    {
      self->import = import;
      show_report (self);
    }
  else if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      gtk_window_destroy (GTK_WINDOW (self));
    }
  else
    {
      g_autofree char *escaped = g_markup_escape_text (error->message, -1);

      adw_status_page_set_description (self->failed_page, escaped);
      gtk_stack_set_visible_child_name (self->stack, "failed");
      alcove_compat_announce (GTK_WIDGET (self), error->message);
    }
}

static void
on_progress (guint64 done, guint64 total, gpointer data)
{
  AlcoveImportWindow *self = data;
  double share = total ? (double)done / (double)total : 0;
  g_autofree char *text = g_strdup_printf (_ ("%.0f %%"), share * 100);

  gtk_progress_bar_set_fraction (self->progress, share);
  gtk_progress_bar_set_text (self->progress, text);
}

static void
on_imported (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveImportWindow) self = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = alcove_import_run_finish (result, &error);
  bool cancelled = self->cancellable && g_cancellable_is_cancelled (self->cancellable);

  g_clear_object (&self->cancellable);
  if (folder)
    {
      GtkWindow *parent = gtk_window_get_transient_for (GTK_WINDOW (self));

      if (parent)
        gtk_widget_activate_action (GTK_WIDGET (parent), "app.view", "s", folder);
      gtk_window_destroy (GTK_WINDOW (self));
      return;
    }
  gtk_stack_set_visible_child_name (self->stack, "report");
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "import.import", TRUE);
  set_problem (self, cancelled ? NULL : error->message);
}

static void
on_import (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveImportWindow *self = ALCOVE_IMPORT_WINDOW (widget);
  g_autofree char *name =
      g_strstrip (g_strdup (gtk_editable_get_text (GTK_EDITABLE (self->name_row))));
  AlcoveImportSpec spec = { .name = name };

  if (!self->import || self->cancellable)
    return;
  if (!*name || strlen (name) > 128)
    {
      set_problem (self, !*name ? _ ("Give the machine a name.")
                                : _ ("The name is too long: 128 bytes are the most."));
      return;
    }
  set_problem (self, NULL);
  spec.machines = alcove_library_get_folder (self->library);
  spec.disk_format =
      adw_combo_row_get_selected (self->format_row) == 0 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
  self->cancellable = g_cancellable_new ();
  gtk_progress_bar_set_fraction (self->progress, 0);
  gtk_progress_bar_set_text (self->progress, "");
  gtk_stack_set_visible_child_name (self->stack, "progress");
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "import.import", FALSE);
  alcove_import_run_async (self->import, &spec, on_progress, self, self->cancellable, on_imported,
                           g_object_ref (self));
}

static void
on_cancel (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveImportWindow *self = ALCOVE_IMPORT_WINDOW (widget);

  if (self->cancellable)
    g_cancellable_cancel (self->cancellable);
  else
    gtk_window_close (GTK_WINDOW (self));
}

static gboolean
alcove_import_window_close_request (GtkWindow *window)
{
  AlcoveImportWindow *self = ALCOVE_IMPORT_WINDOW (window);

  if (self->cancellable)
    {
      /* What is under way ends first: it reads what this window holds. */
      g_cancellable_cancel (self->cancellable);
      return TRUE;
    }
  return GTK_WINDOW_CLASS (alcove_import_window_parent_class)->close_request (window);
}

static void
alcove_import_window_dispose (GObject *object)
{
  AlcoveImportWindow *self = ALCOVE_IMPORT_WINDOW (object);

  if (self->cancellable)
    g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->library);
  G_OBJECT_CLASS (alcove_import_window_parent_class)->dispose (object);
}

static void
alcove_import_window_finalize (GObject *object)
{
  AlcoveImportWindow *self = ALCOVE_IMPORT_WINDOW (object);

  /* Work under way holds a reference, so none reads it now. */
  g_clear_object (&self->cancellable);
  alcove_import_free (self->import);
  G_OBJECT_CLASS (alcove_import_window_parent_class)->finalize (object);
}

static void
alcove_import_window_class_init (AlcoveImportWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_import_window_dispose;
  G_OBJECT_CLASS (klass)->finalize = alcove_import_window_finalize;
  GTK_WINDOW_CLASS (klass)->close_request = alcove_import_window_close_request;
  g_type_ensure (ALCOVE_TYPE_SPINNER);
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/import-window.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveImportWindow, child)
  BIND (stack);
  BIND (failed_page);
  BIND (page);
  BIND (name_row);
  BIND (format_row);
  BIND (machine_group);
  BIND (problem_label);
  BIND (problem_revealer);
  BIND (progress);
#undef BIND
  gtk_widget_class_install_action (widget_class, "import.import", NULL, on_import);
  gtk_widget_class_install_action (widget_class, "import.cancel", NULL, on_cancel);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Escape, 0, "import.cancel", NULL);
}

static void
alcove_import_window_init (AlcoveImportWindow *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_stack (self->stack);
  alcove_accessible_watch_revealer (self->problem_revealer);
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "import.import", FALSE);
}

/**
 * alcove_import_window_new:
 * @parent: whose window it belongs to
 * @file: the document or disk image
 *
 * Returns: (transfer none): the window; it is looking at the file
 */
AlcoveImportWindow *
alcove_import_window_new (GtkWindow *parent, AlcoveLibrary *library, GFile *file)
{
  AlcoveImportWindow *self =
      g_object_new (ALCOVE_TYPE_IMPORT_WINDOW, "transient-for", parent, "modal", TRUE, NULL);
  g_autofree char *path = g_file_get_path (file);

  self->library = g_object_ref (library);
  if (!path)
    {
      adw_status_page_set_description (
          self->failed_page,
          _ ("The file is not on this computer. Copy it here first, then import the copy."));
      gtk_stack_set_visible_child_name (self->stack, "failed");
      return self;
    }
  self->cancellable = g_cancellable_new ();
  alcove_import_open_async (path, self->cancellable, on_opened, g_object_ref (self));
  return self;
}
