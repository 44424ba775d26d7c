/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/export-window.h"

#include <glib/gi18n.h>

#include "app/export/export.h"
#include "ui/accessible.h"
#include "ui/compat.h"
#include "ui/findings.h"

struct _AlcoveExportWindow
{
  AdwWindow parent;

  AlcoveMachine *machine;
  GCancellable *cancellable; /* of the export under way, else NULL */
  AlcoveFindingsView findings;

  GtkStack *stack;
  AdwPreferencesPage *page;
  AdwComboRow *kind_row;
  GtkLabel *problem_label;
  GtkRevealer *problem_revealer;
  GtkProgressBar *progress;
};

G_DEFINE_FINAL_TYPE (AlcoveExportWindow, alcove_export_window, ADW_TYPE_WINDOW)

/* The rows are in the order of the enum. */
static AlcoveExportKind
get_kind (AlcoveExportWindow *self)
{
  return (AlcoveExportKind)MIN (adw_combo_row_get_selected (self->kind_row),
                                ALCOVE_N_EXPORT_KINDS - 1);
}

static void
set_problem (AlcoveExportWindow *self, const char *problem)
{
  if (problem)
    {
      gtk_label_set_text (self->problem_label, problem);
      alcove_compat_announce (GTK_WIDGET (self), problem);
    }
  gtk_revealer_set_reveal_child (self->problem_revealer, problem != NULL);
}

static void
on_kind_changed (AlcoveExportWindow *self)
{
  static const char *const subtitles[ALCOVE_N_EXPORT_KINDS] = {
    [ALCOVE_EXPORT_OVA] = N_ ("One file, for VMware, VirtualBox and others"),
    [ALCOVE_EXPORT_QCOW2] = N_ ("A folder that Alcove on another computer takes as it is"),
    [ALCOVE_EXPORT_LIBVIRT] = N_ ("A folder for virt-manager and virsh, with qcow2 disks"),
    [ALCOVE_EXPORT_KUBEVIRT] = N_ ("A folder with a VirtualMachine and its qcow2 disks"),
  };
  AlcoveDefinition *definition =
      self->machine ? alcove_machine_get_definition (self->machine) : NULL;
  g_autoptr (GPtrArray) findings = NULL;

  adw_action_row_set_subtitle (ADW_ACTION_ROW (self->kind_row), _ (subtitles[get_kind (self)]));
  if (!definition)
    return;
  findings = alcove_export_look (definition, get_kind (self));
  alcove_findings_view_show (&self->findings, self->page, findings);
}

static void
on_progress (guint64 done, guint64 total, gpointer data)
{
  AlcoveExportWindow *self = data;
  double share = total ? (double)done / (double)total : 0;
  g_autofree char *text = g_strdup_printf (_ ("%.0f %%"), share * 100);

  gtk_progress_bar_set_fraction (self->progress, share);
  gtk_progress_bar_set_text (self->progress, text);
}

static void
on_exported (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveExportWindow) self = data;
  g_autoptr (GError) error = NULL;
  bool cancelled = self->cancellable && g_cancellable_is_cancelled (self->cancellable);

  if (alcove_export_run_finish (result, &error))
    {
      GtkWindow *parent = gtk_window_get_transient_for (GTK_WINDOW (self));
      g_autofree char *message =
          g_strdup_printf (_ ("“%s” was exported"), alcove_machine_get_name (self->machine));

      g_clear_object (&self->cancellable);
      if (parent)
        gtk_widget_activate_action (GTK_WIDGET (parent), "app.notice", "s", message);
      gtk_window_destroy (GTK_WINDOW (self));
      return;
    }
  g_clear_object (&self->cancellable);
  gtk_stack_set_visible_child_name (self->stack, "report");
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "export.export", TRUE);
  set_problem (self, cancelled ? NULL : error->message);
}

static void
on_place_chosen (GFile *file, gpointer data)
{
  g_autoptr (AlcoveExportWindow) self = data;
  g_autofree char *path = file ? g_file_get_path (file) : NULL;

  if (!path || self->cancellable)
    return;
  set_problem (self, NULL);
  self->cancellable = g_cancellable_new ();
  gtk_progress_bar_set_fraction (self->progress, 0);
  gtk_progress_bar_set_text (self->progress, "");
  gtk_stack_set_visible_child_name (self->stack, "progress");
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "export.export", FALSE);
  alcove_export_run_async (alcove_machine_get_folder (self->machine), get_kind (self), path,
                           on_progress, self, self->cancellable, on_exported, g_object_ref (self));
}

static void
on_export (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveExportWindow *self = ALCOVE_EXPORT_WINDOW (widget);
  const char *documents = g_get_user_special_dir (G_USER_DIRECTORY_DOCUMENTS);
  g_autoptr (GFile) folder = g_file_new_for_path (documents ? documents : g_get_home_dir ());
  g_autofree char *name = g_strconcat (alcove_machine_get_id (self->machine),
                                       get_kind (self) == ALCOVE_EXPORT_OVA ? ".ova" : "", NULL);

  if (!self->cancellable)
    alcove_compat_save_file (widget, _ ("Export To"), name, folder, on_place_chosen,
                             g_object_ref (self));
}

static void
on_cancel (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveExportWindow *self = ALCOVE_EXPORT_WINDOW (widget);

  if (self->cancellable)
    g_cancellable_cancel (self->cancellable);
  else
    gtk_window_close (GTK_WINDOW (self));
}

static gboolean
alcove_export_window_close_request (GtkWindow *window)
{
  AlcoveExportWindow *self = ALCOVE_EXPORT_WINDOW (window);

  if (self->cancellable)
    {
      /* The window goes when the work has stopped. */
      g_cancellable_cancel (self->cancellable);
      return TRUE;
    }
  return GTK_WINDOW_CLASS (alcove_export_window_parent_class)->close_request (window);
}

static void
alcove_export_window_dispose (GObject *object)
{
  AlcoveExportWindow *self = ALCOVE_EXPORT_WINDOW (object);

  if (self->cancellable)
    g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->machine);
  G_OBJECT_CLASS (alcove_export_window_parent_class)->dispose (object);
}

static void
alcove_export_window_class_init (AlcoveExportWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_export_window_dispose;
  GTK_WINDOW_CLASS (klass)->close_request = alcove_export_window_close_request;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/export-window.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveExportWindow, child)
  BIND (stack);
  BIND (page);
  BIND (kind_row);
  BIND (problem_label);
  BIND (problem_revealer);
  BIND (progress);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_kind_changed);
  gtk_widget_class_install_action (widget_class, "export.export", NULL, on_export);
  gtk_widget_class_install_action (widget_class, "export.cancel", NULL, on_cancel);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Escape, 0, "export.cancel", NULL);
}

static void
alcove_export_window_init (AlcoveExportWindow *self)
{
  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_stack (self->stack);
  alcove_accessible_watch_revealer (self->problem_revealer);
}

/**
 * alcove_export_window_new:
 * @parent: whose window it belongs to
 * @machine: must be off
 *
 * Returns: (transfer none): the window
 */
AlcoveExportWindow *
alcove_export_window_new (GtkWindow *parent, AlcoveMachine *machine)
{
  AlcoveExportWindow *self =
      g_object_new (ALCOVE_TYPE_EXPORT_WINDOW, "transient-for", parent, "modal", TRUE, NULL);

  self->machine = g_object_ref (machine);
  on_kind_changed (self);
  return self;
}
