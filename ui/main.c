/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The door of the module: app/ui-entry.h says who knocks and how. */
#include <glib/gi18n.h>

#include "app/locale.h"
#include "app/ui-entry.h"
#include "ui/application.h"
#include "ui/ui-config.h"

__attribute__ ((visibility ("default"))) int alcove_ui_main (int argc, char **argv);

/* g_settings_new() ends the process when the schema is missing, so ask first. */
static GSettings *
open_settings (void)
{
  GSettingsSchemaSource *source = g_settings_schema_source_get_default ();
  g_autoptr (GSettingsSchema) schema =
      source ? g_settings_schema_source_lookup (source, ALCOVE_APP_ID, TRUE) : NULL;

  return schema ? g_settings_new_full (schema, NULL, NULL) : NULL;
}

int
alcove_ui_main (int argc, char **argv)
{
  g_autoptr (AlcoveApplication) application = NULL;
  g_autoptr (GSettings) settings = NULL;

  alcove_locale_init ();
  g_set_prgname (ALCOVE_APP_ID);
  g_set_application_name (_ ("Alcove"));

  if (!gtk_init_check ())
    {
      g_printerr ("%s\n", _ ("alcove: there is no display to open a window on. Set DISPLAY or "
                             "WAYLAND_DISPLAY, or use the command line: alcove --help"));
      return 1;
    }
  settings = open_settings ();
  if (!settings)
    {
      g_printerr (_ ("alcove: the settings schema %s is not installed. Install Alcove with "
                     "“meson install”, or run it with “meson devenv”.\n"),
                  ALCOVE_APP_ID);
      return 1;
    }
  application = alcove_application_new (settings);
  return g_application_run (G_APPLICATION (application), argc, argv);
}
