/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The command line: `alcove VERB [NAME] [options]`. Data on stdout, messages on stderr, no question
 * is ever asked. Thread: the main thread; verbs run the default main context until they are done. */
#pragma once
#include <glib.h>

/* Exit statuses: a promise to scripts. */
typedef enum
{
  ALCOVE_EXIT_DONE = 0,
  ALCOVE_EXIT_FAILED = 1,
  ALCOVE_EXIT_USAGE = 2,
  ALCOVE_EXIT_NO_MACHINE = 3,
  ALCOVE_EXIT_WRONG_STATE = 4,
} AlcoveExit;

/**
 * AlcoveCliWindow:
 * @option: (nullable): "--view" or "--import"; NULL for the library
 * @value: (nullable): the machine to show, or the file to look at
 *
 * Opens the window and returns when it is closed, with the exit status. Given by the program, so
 * that nothing here knows GTK.
 */
typedef int (*AlcoveCliWindow) (const char *option, const char *value);

/* argv as in main. window: (nullable) verbs that need one then say that it is not built. Returns:
 * the exit status. */
int alcove_cli_main (int argc, char **argv, AlcoveCliWindow window);
