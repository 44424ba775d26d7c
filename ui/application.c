/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/application.h"

#include <glib/gi18n.h>

#include "ui/compat.h"
#include "ui/create-window.h"
#include "ui/export-window.h"
#include "ui/import-window.h"
#include "ui/library-window.h"
#include "ui/machine-window.h"
#include "ui/preferences-window.h"

struct _AlcoveApplication
{
  AdwApplication parent;

  GSettings *settings;
  AlcoveLibrary *library;
};

G_DEFINE_FINAL_TYPE (AlcoveApplication, alcove_application, ADW_TYPE_APPLICATION)

static AlcoveLibraryWindow *
find_library_window (AlcoveApplication *self)
{
  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l; l = l->next)
    if (ALCOVE_IS_LIBRARY_WINDOW (l->data))
      return l->data;
  return NULL;
}

static AlcoveLibraryWindow *
show_library (AlcoveApplication *self)
{
  AlcoveLibraryWindow *window = find_library_window (self);

  if (!window)
    window = alcove_library_window_new (GTK_APPLICATION (self), self->library);
  gtk_window_present (GTK_WINDOW (window));
  return window;
}

static AlcoveMachineWindow *
show_machine (AlcoveApplication *self, AlcoveMachine *machine)
{
  AlcoveMachineWindow *window = NULL;

  for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l; l = l->next)
    if (ALCOVE_IS_MACHINE_WINDOW (l->data) &&
        alcove_machine_window_get_machine (l->data) == machine)
      window = l->data;
  if (!window)
    {
      window = alcove_machine_window_new (GTK_APPLICATION (self), machine, self->settings);
      alcove_machine_refresh_async (machine, NULL, NULL, NULL);
    }
  gtk_window_present (GTK_WINDOW (window));
  return window;
}

/* A machine of the library by folder, name or uuid; or one in a folder somewhere else. */
static AlcoveMachine *
find_machine (AlcoveApplication *self, const char *what, GError **error)
{
  if (g_path_is_absolute (what))
    {
      for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (self->library)); i++)
        {
          g_autoptr (AlcoveMachine) known = g_list_model_get_item (G_LIST_MODEL (self->library), i);

          if (g_str_equal (alcove_machine_get_folder (known), what))
            return g_steal_pointer (&known);
        }
      for (GList *l = gtk_application_get_windows (GTK_APPLICATION (self)); l; l = l->next)
        if (ALCOVE_IS_MACHINE_WINDOW (l->data))
          {
            AlcoveMachine *shown = alcove_machine_window_get_machine (l->data);

            if (g_str_equal (alcove_machine_get_folder (shown), what))
              return g_object_ref (shown);
          }
      return alcove_machine_new (what);
    }
  else
    {
      AlcoveMachine *machine = alcove_library_find (self->library, what, error);

      return machine ? g_object_ref (machine) : NULL;
    }
}

static AlcoveMachineWindow *
open_machine (AlcoveApplication *self, const char *what)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveMachine) machine = find_machine (self, what, &error);

  if (!machine)
    {
      alcove_library_window_report (show_library (self), error->message);
      return NULL;
    }
  return show_machine (self, machine);
}

static void
on_new (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveApplication *self = data;
  GtkWindow *parent = GTK_WINDOW (show_library (self));

  gtk_window_present (GTK_WINDOW (alcove_create_window_new (parent, self->library)));
}

static void
on_file_to_import (GFile *file, gpointer data)
{
  g_autoptr (AlcoveApplication) self = data;
  GtkWindow *parent = GTK_WINDOW (show_library (self));

  if (file)
    gtk_window_present (GTK_WINDOW (alcove_import_window_new (parent, self->library, file)));
}

static void
on_import (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  static const char *const patterns[] = { "*.ova", "*.ovf",  "*.xml", "*.conf", "*.qcow2", "*.vmdk",
                                          "*.vhd", "*.vhdx", "*.vdi", "*.img",  "*.raw",   NULL };
  AlcoveApplication *self = data;

  alcove_compat_choose_file (GTK_WIDGET (show_library (self)), _ ("Choose a Machine to Import"),
                             patterns, _ ("Machines and disk images"), on_file_to_import,
                             g_object_ref (self));
}

/* parameter: a path or URI. */
static void
on_import_file (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  g_autoptr (GFile) file = g_file_new_for_commandline_arg (g_variant_get_string (parameter, NULL));

  on_file_to_import (file, g_object_ref (data));
}

static void
on_export (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveApplication *self = data;
  GtkWindow *parent = gtk_application_get_active_window (GTK_APPLICATION (self));
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveMachine) machine =
      find_machine (self, g_variant_get_string (parameter, NULL), &error);

  if (!machine)
    alcove_library_window_report (show_library (self), error->message);
  else
    gtk_window_present (GTK_WINDOW (
        alcove_export_window_new (parent ? parent : GTK_WINDOW (show_library (self)), machine)));
}

static void
on_library (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  show_library (data);
}

static void
on_view (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  open_machine (data, g_variant_get_string (parameter, NULL));
}

static void
on_start (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveMachineWindow *window = open_machine (data, g_variant_get_string (parameter, NULL));

  if (window)
    alcove_machine_window_start (window);
}

static void
on_preferences (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveApplication *self = data;
  GtkWindow *parent = gtk_application_get_active_window (GTK_APPLICATION (self));

  gtk_window_present (GTK_WINDOW (alcove_preferences_window_new (parent, self->settings)));
}

static void
on_shortcuts (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  alcove_compat_present_shortcuts (gtk_application_get_active_window (data),
                                   "/io/github/alcove_vm/Alcove/shortcuts.ui");
}

static void
on_about (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  GtkWindow *parent = gtk_application_get_active_window (data);

  alcove_compat_present_about (GTK_WIDGET (parent), ALCOVE_APP_ID, ALCOVE_VERSION);
}

/* Something that is said after its window has gone: in the library if that is open, else by the
 * desktop. */
static void
on_notice (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  AlcoveApplication *self = data;
  const char *message = g_variant_get_string (parameter, NULL);
  AlcoveLibraryWindow *window = find_library_window (self);
  g_autoptr (GNotification) notification = NULL;

  if (window)
    {
      alcove_library_window_report (window, message);
      return;
    }
  notification = g_notification_new (message);
  g_notification_set_default_action (notification, "app.library");
  g_application_send_notification (G_APPLICATION (self), "running", notification);
}

static void
on_quit (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  GtkApplication *application = data;
  GList *windows = g_list_copy (gtk_application_get_windows (application));

  /* Each window says good-bye by itself; machines go on. */
  for (GList *l = windows; l; l = l->next)
    gtk_window_close (l->data);
  g_list_free (windows);
}

static const GActionEntry entries[] = {
  { .name = "new", .activate = on_new },
  { .name = "import", .activate = on_import },
  { .name = "import-file", .activate = on_import_file, .parameter_type = "s" },
  { .name = "export", .activate = on_export, .parameter_type = "s" },
  { .name = "library", .activate = on_library },
  { .name = "view", .activate = on_view, .parameter_type = "s" },
  { .name = "start", .activate = on_start, .parameter_type = "s" },
  { .name = "preferences", .activate = on_preferences },
  { .name = "shortcuts", .activate = on_shortcuts },
  { .name = "about", .activate = on_about },
  { .name = "notice", .activate = on_notice, .parameter_type = "s" },
  { .name = "quit", .activate = on_quit },
};

static void
set_accel (AlcoveApplication *self, const char *action, const char *accel)
{
  const char *accels[] = { accel, NULL };

  gtk_application_set_accels_for_action (GTK_APPLICATION (self), action, accels);
}

static void
alcove_application_startup (GApplication *application)
{
  AlcoveApplication *self = ALCOVE_APPLICATION (application);

  G_APPLICATION_CLASS (alcove_application_parent_class)->startup (application);
  gtk_window_set_default_icon_name (ALCOVE_APP_ID);
  self->library = alcove_library_new (NULL);
  g_action_map_add_action_entries (G_ACTION_MAP (self), entries, G_N_ELEMENTS (entries), self);
  set_accel (self, "app.new", "<Control>n");
  set_accel (self, "app.import", "<Control>o");
  set_accel (self, "app.preferences", "<Control>comma");
  set_accel (self, "app.shortcuts", "<Control>question");
  set_accel (self, "app.quit", "<Control>q");
  set_accel (self, "win.search", "<Control>f");
  set_accel (self, "win.fullscreen", "F11");
  set_accel (self, "window.close", "<Control>w");
  alcove_library_refresh_async (self->library, NULL, NULL, NULL);
}

static void
alcove_application_activate (GApplication *application)
{
  show_library (ALCOVE_APPLICATION (application));
}

static int
alcove_application_command_line (GApplication *application, GApplicationCommandLine *line)
{
  GVariantDict *options = g_application_command_line_get_options_dict (line);
  const char *what = NULL;

  if (g_variant_dict_lookup (options, "view", "&s", &what))
    open_machine (ALCOVE_APPLICATION (application), what);
  else if (g_variant_dict_lookup (options, "import", "&s", &what))
    g_action_group_activate_action (G_ACTION_GROUP (application), "import-file",
                                    g_variant_new_string (what));
  else
    g_application_activate (application);
  return 0;
}

static void
alcove_application_finalize (GObject *object)
{
  AlcoveApplication *self = ALCOVE_APPLICATION (object);

  g_clear_object (&self->library);
  g_clear_object (&self->settings);
  G_OBJECT_CLASS (alcove_application_parent_class)->finalize (object);
}

static void
alcove_application_class_init (AlcoveApplicationClass *klass)
{
  GApplicationClass *application_class = G_APPLICATION_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = alcove_application_finalize;
  application_class->startup = alcove_application_startup;
  application_class->activate = alcove_application_activate;
  application_class->command_line = alcove_application_command_line;
}

static void
alcove_application_init (AlcoveApplication *self)
{
  g_application_add_main_option (G_APPLICATION (self), "view", 0, 0, G_OPTION_ARG_STRING,
                                 N_ ("Open the window of a machine"), N_ ("MACHINE"));
  g_application_add_main_option (G_APPLICATION (self), "import", 0, 0, G_OPTION_ARG_STRING,
                                 N_ ("Look at a machine of another program"), N_ ("FILE"));
}

/**
 * alcove_application_new:
 * @settings: the user's settings
 *
 * Returns: (transfer full): the application
 */
AlcoveApplication *
alcove_application_new (GSettings *settings)
{
  AlcoveApplication *self = g_object_new (ALCOVE_TYPE_APPLICATION, "application-id", ALCOVE_APP_ID,
                                          "flags", G_APPLICATION_HANDLES_COMMAND_LINE, NULL);

  self->settings = g_object_ref (settings);
  return self;
}
