/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the options of `alcove run` to the text of a definition. */
#pragma once
#include <glib.h>

typedef struct
{
  char *name, *memory, *cpu, *kernel, *initrd, *append, *firmware;
  char *serial, *display, *debug_exit, *debug_console;
  char **disks, **cdroms, **nics;
  int cpus;
  gboolean window, no_reboot;
} RunOptions;

void run_options_clear (RunOptions *options);

/**
 * run_options_to_text:
 *
 * Relative file names become absolute, from the present folder.
 * Returns: (transfer full): a machine.conf. Errors: ALCOVE_ERROR_INVALID names the option.
 */
char *run_options_to_text (const RunOptions *options, GError **error);
/* TRUE when the serial port is stdin and stdout. */
gboolean run_options_use_stdio (const RunOptions *options);
gboolean run_options_want_window (const RunOptions *options);
