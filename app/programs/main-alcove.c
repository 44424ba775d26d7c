/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove: the command line, and the window in a module that is loaded only when one is opened, so
 * that a verb never pays for GTK. */
#include <gmodule.h>
#include <stdio.h>
#include "app/cli/cli.h"
#include "app/paths.h"
#include "app/ui-entry.h"

static int
open_window (const char *option, const char *value)
{
  g_autofree char *path = alcove_paths_dup_ui_module ();
  char program[] = "alcove";
  char *argv[] = { program, (char *)option, (char *)value, NULL };
  AlcoveUiMain ui_main;
  /* Never closed: GTK cannot be unloaded. */
  GModule *module = g_module_open (path, G_MODULE_BIND_LOCAL | G_MODULE_BIND_LAZY);

  if (module == NULL || !g_module_symbol (module, ALCOVE_UI_ENTRY, (gpointer *)&ui_main))
    {
      fprintf (stderr, "alcove: The window cannot be loaded: %s\n", g_module_error ());
      return ALCOVE_EXIT_FAILED;
    }
  return ui_main (option == NULL ? 1 : 3, argv);
}

int
main (int argc, char **argv)
{
  return alcove_cli_main (argc, argv, open_window);
}
