/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/create-window.h"

#include <glib/gi18n.h>
#include <string.h>

#include "ui/accessible.h"
#include "ui/compat.h"

#define GIB (1024.0 * 1024.0 * 1024.0)

/* The rows of the "Start From" choice. */
typedef enum
{
  SOURCE_MEDIUM,
  SOURCE_DISK,
  SOURCE_NOTHING,
} Source;

struct _AlcoveCreateWindow
{
  AdwWindow parent;

  AlcoveLibrary *library;
  GCancellable *cancellable;
  GFile *file;
  bool name_edited; /* by the user: the file's name is not proposed any more */
  bool touched;     /* the user has tried to create: empty answers are now wrong */

  GtkStack *stack;
  AdwToastOverlay *toasts;
  AdwComboRow *source_row;
  AdwActionRow *file_row;
  AdwActionRow *in_place_row;
  GtkSwitch *in_place_switch;
  AdwEntryRow *name_row;
  GtkLabel *problem_label;
  GtkRevealer *problem_revealer;
  GtkSpinButton *memory_spin;
  GtkSpinButton *cpus_spin;
  AdwActionRow *disk_row;
  GtkSpinButton *disk_spin;
  AdwComboRow *firmware_row;
  GtkProgressBar *progress;
};

G_DEFINE_FINAL_TYPE (AlcoveCreateWindow, alcove_create_window, ADW_TYPE_WINDOW)

static Source
get_source (AlcoveCreateWindow *self)
{
  return (Source)adw_combo_row_get_selected (self->source_row);
}

static void
set_wrong (gpointer widget, bool wrong)
{
  if (wrong)
    gtk_widget_add_css_class (widget, "error");
  else
    gtk_widget_remove_css_class (widget, "error");
  gtk_accessible_update_state (GTK_ACCESSIBLE (widget), GTK_ACCESSIBLE_STATE_INVALID,
                               wrong ? GTK_ACCESSIBLE_INVALID_TRUE : GTK_ACCESSIBLE_INVALID_FALSE,
                               -1);
}

/* What is wrong with the answers, as a sentence, or NULL; marks the row that is meant. */
static char *
find_problem (AlcoveCreateWindow *self)
{
  g_autofree char *name =
      g_strstrip (g_strdup (gtk_editable_get_text (GTK_EDITABLE (self->name_row))));
  bool needs_file = get_source (self) != SOURCE_NOTHING;
  char *problem = NULL;

  set_wrong (self->name_row, false);
  set_wrong (self->file_row, false);
  if (needs_file && !self->file)
    {
      set_wrong (self->file_row, self->touched);
      return g_strdup (get_source (self) == SOURCE_MEDIUM
                           ? _ ("Choose the installation medium to start from.")
                           : _ ("Choose the disk image to start from."));
    }
  if (needs_file && !g_file_query_exists (self->file, NULL))
    {
      g_autofree char *shown = g_file_get_parse_name (self->file);

      problem = g_strdup_printf (_ ("%s is not there any more. Choose another file."), shown);
      set_wrong (self->file_row, true);
      return problem;
    }
  if (!*name)
    problem = g_strdup (_ ("Give the machine a name."));
  else if (strlen (name) > 128)
    problem = g_strdup (_ ("The name is too long: 128 bytes are the most."));
  set_wrong (self->name_row, problem && (self->touched || *name));
  return problem;
}

static void
update (AlcoveCreateWindow *self)
{
  Source source = get_source (self);
  g_autofree char *problem = find_problem (self);

  gtk_widget_set_visible (GTK_WIDGET (self->file_row), source != SOURCE_NOTHING);
  gtk_widget_set_visible (GTK_WIDGET (self->in_place_row), source == SOURCE_DISK);
  gtk_widget_set_visible (GTK_WIDGET (self->disk_row), source != SOURCE_DISK);
  if (problem)
    gtk_label_set_text (self->problem_label, problem);
  gtk_revealer_set_reveal_child (self->problem_revealer, problem && self->touched);
}

static void
on_changed (AlcoveCreateWindow *self)
{
  update (self);
}

static void
on_source_changed (AlcoveCreateWindow *self)
{
  g_clear_object (&self->file);
  adw_action_row_set_subtitle (self->file_row, _ ("None chosen"));
  update (self);
}

static void
on_name_changed (AlcoveCreateWindow *self)
{
  if (gtk_widget_has_focus (GTK_WIDGET (self->name_row)) ||
      gtk_widget_get_focus_child (GTK_WIDGET (self->name_row)))
    self->name_edited = true;
  update (self);
}

/* "debian-12.1.0-amd64-netinst.iso" proposes "debian-12.1.0-amd64-netinst". */
static void
propose_name (AlcoveCreateWindow *self)
{
  g_autofree char *name = g_file_get_basename (self->file);
  char *dot = strrchr (name, '.');

  if (self->name_edited || !g_utf8_validate (name, -1, NULL))
    return;
  if (dot && dot != name)
    *dot = '\0';
  gtk_editable_set_text (GTK_EDITABLE (self->name_row), name);
}

static void
on_file_chosen (GFile *file, gpointer data)
{
  g_autoptr (AlcoveCreateWindow) self = data;
  g_autofree char *shown = NULL;

  if (!file)
    return;
  g_set_object (&self->file, file);
  shown = g_file_get_parse_name (file);
  adw_action_row_set_subtitle (self->file_row, shown);
  propose_name (self);
  update (self);
}

static void
on_choose (AlcoveCreateWindow *self)
{
  static const char *const media[] = { "*.iso", "*.ISO", "*.img", NULL };
  static const char *const disks[] = { "*.qcow2", "*.img", "*.raw", "*.bin", NULL };
  bool medium = get_source (self) == SOURCE_MEDIUM;

  alcove_compat_choose_file (
      GTK_WIDGET (self), medium ? _ ("Choose an Installation Medium") : _ ("Choose a Disk Image"),
      medium ? media : disks, medium ? _ ("Installation media") : _ ("Disk images"), on_file_chosen,
      g_object_ref (self));
}

static void
on_progress (guint64 done, guint64 total, gpointer data)
{
  AlcoveCreateWindow *self = data;
  g_autofree char *done_text = g_format_size (done);
  g_autofree char *total_text = g_format_size (total);
  g_autofree char *text = NULL;

  if (!total)
    {
      gtk_progress_bar_pulse (self->progress);
      return;
    }
  text = g_strdup_printf (_ ("%s of %s"), done_text, total_text);
  gtk_progress_bar_set_fraction (self->progress, (double)done / (double)total);
  gtk_progress_bar_set_text (self->progress, text);
}

static void
on_created (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveCreateWindow) self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveMachine) machine =
      alcove_library_create_finish (ALCOVE_LIBRARY (source), result, &error);

  g_clear_object (&self->cancellable);
  if (machine)
    {
      GtkWindow *parent = gtk_window_get_transient_for (GTK_WINDOW (self));

      if (parent)
        gtk_widget_activate_action (GTK_WIDGET (parent), "app.view", "s",
                                    alcove_machine_get_folder (machine));
      gtk_window_destroy (GTK_WINDOW (self));
      return;
    }
  gtk_stack_set_visible_child_name (self->stack, "questions");
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "create.create", TRUE);
  if (!g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      gtk_label_set_text (self->problem_label, error->message);
      gtk_revealer_set_reveal_child (self->problem_revealer, TRUE);
    }
}

static void
on_create (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveCreateWindow *self = ALCOVE_CREATE_WINDOW (widget);
  g_autofree char *name = NULL;
  g_autofree char *path = NULL;
  g_autofree char *problem = NULL;
  AlcoveCreateSpec spec;

  if (self->cancellable)
    return;
  self->touched = true;
  update (self);
  problem = find_problem (self);
  if (problem)
    {
      alcove_compat_announce (widget, problem);
      return;
    }

  alcove_create_spec_init (&spec);
  name = g_strstrip (g_strdup (gtk_editable_get_text (GTK_EDITABLE (self->name_row))));
  path = self->file ? g_file_get_path (self->file) : NULL;
  spec.name = name;
  spec.memory_mib = (guint64)gtk_spin_button_get_value_as_int (self->memory_spin);
  spec.cpus = (guint)gtk_spin_button_get_value_as_int (self->cpus_spin);
  spec.firmware = adw_combo_row_get_selected (self->firmware_row) == 0 ? ALCOVE_FIRMWARE_UEFI
                                                                       : ALCOVE_FIRMWARE_BIOS;
  spec.disk_bytes = (guint64)(gtk_spin_button_get_value (self->disk_spin) * GIB);
  switch (get_source (self))
    {
    case SOURCE_MEDIUM:
      spec.medium = path;
      break;
    case SOURCE_DISK:
      spec.disk_bytes = 0;
      /* The name says it, not the contents, which a guest may have written. */
      if (path && g_str_has_suffix (path, ".qcow2"))
        spec.source_format = BLOCK_FORMAT_QCOW2;
      if (gtk_switch_get_active (self->in_place_switch))
        spec.disk_use = path;
      else
        spec.disk_source = path;
      break;
    case SOURCE_NOTHING:
    default:
      break;
    }
  self->cancellable = g_cancellable_new ();
  gtk_progress_bar_set_fraction (self->progress, 0);
  gtk_progress_bar_set_text (self->progress, "");
  gtk_stack_set_visible_child_name (self->stack, "progress");
  gtk_widget_action_set_enabled (GTK_WIDGET (self), "create.create", FALSE);
  alcove_library_create_async (self->library, &spec, on_progress, self, self->cancellable,
                               on_created, g_object_ref (self));
}

static void
on_cancel (GtkWidget *widget, const char *action, GVariant *parameter)
{
  AlcoveCreateWindow *self = ALCOVE_CREATE_WINDOW (widget);

  if (self->cancellable)
    g_cancellable_cancel (self->cancellable);
  else
    gtk_window_close (GTK_WINDOW (self));
}

static gboolean
alcove_create_window_close_request (GtkWindow *window)
{
  AlcoveCreateWindow *self = ALCOVE_CREATE_WINDOW (window);

  if (self->cancellable)
    {
      /* The window goes when the work has stopped. */
      g_cancellable_cancel (self->cancellable);
      return TRUE;
    }
  return GTK_WINDOW_CLASS (alcove_create_window_parent_class)->close_request (window);
}

static void
alcove_create_window_dispose (GObject *object)
{
  AlcoveCreateWindow *self = ALCOVE_CREATE_WINDOW (object);

  if (self->cancellable)
    g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->cancellable);
  g_clear_object (&self->file);
  g_clear_object (&self->library);
  G_OBJECT_CLASS (alcove_create_window_parent_class)->dispose (object);
}

static void
alcove_create_window_class_init (AlcoveCreateWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = alcove_create_window_dispose;
  GTK_WINDOW_CLASS (klass)->close_request = alcove_create_window_close_request;
  gtk_widget_class_set_template_from_resource (widget_class,
                                               "/io/github/alcove_vm/Alcove/create-window.ui");
#define BIND(child) gtk_widget_class_bind_template_child (widget_class, AlcoveCreateWindow, child)
  BIND (stack);
  BIND (toasts);
  BIND (source_row);
  BIND (file_row);
  BIND (in_place_row);
  BIND (in_place_switch);
  BIND (name_row);
  BIND (problem_label);
  BIND (problem_revealer);
  BIND (memory_spin);
  BIND (cpus_spin);
  BIND (disk_row);
  BIND (disk_spin);
  BIND (firmware_row);
  BIND (progress);
#undef BIND
  gtk_widget_class_bind_template_callback (widget_class, on_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_source_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_name_changed);
  gtk_widget_class_bind_template_callback (widget_class, on_choose);
  gtk_widget_class_install_action (widget_class, "create.create", NULL, on_create);
  gtk_widget_class_install_action (widget_class, "create.cancel", NULL, on_cancel);
  gtk_widget_class_add_binding_action (widget_class, GDK_KEY_Escape, 0, "create.cancel", NULL);
}

static void
alcove_create_window_init (AlcoveCreateWindow *self)
{
  AlcoveCreateSpec spec;

  gtk_widget_init_template (GTK_WIDGET (self));
  alcove_accessible_watch_stack (self->stack);
  alcove_accessible_watch_revealer (self->problem_revealer);
  alcove_create_spec_init (&spec);
  gtk_spin_button_set_range (self->cpus_spin, 1, 255);
  gtk_spin_button_set_value (self->memory_spin, (double)spec.memory_mib);
  gtk_spin_button_set_value (self->cpus_spin, spec.cpus);
  gtk_spin_button_set_value (self->disk_spin, (double)spec.disk_bytes / GIB);
  adw_combo_row_set_selected (self->firmware_row, spec.firmware == ALCOVE_FIRMWARE_BIOS ? 1 : 0);
  update (self);
}

/**
 * alcove_create_window_new:
 * @parent: whose window it belongs to
 *
 * Returns: (transfer none): the questions
 */
AlcoveCreateWindow *
alcove_create_window_new (GtkWindow *parent, AlcoveLibrary *library)
{
  AlcoveCreateWindow *self =
      g_object_new (ALCOVE_TYPE_CREATE_WINDOW, "transient-for", parent, "modal", TRUE, NULL);

  self->library = g_object_ref (library);
  return self;
}
