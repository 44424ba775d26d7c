/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove save. */
#include <glib-unix.h>
#include <stdio.h>
#include <unistd.h>

#include "app/cli/cli-private.h"

static gboolean
on_interrupt (gpointer user_data)
{
  g_cancellable_cancel (user_data);
  return G_SOURCE_CONTINUE;
}

/* One line that is written over, for people only. */
static void
on_progress (AlcoveMachine *machine, guint64 done, guint64 total, gpointer user_data)
{
  if (total > 0)
    fprintf (stderr, "\rSaving: %3u %%", (guint)((double)done / (double)total * 100));
}

int
cli_save (Cli *cli, int argc, char **argv)
{
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GAsyncResult) result = NULL;
  gboolean terminal = isatty (STDERR_FILENO) == 1, ok;
  GError *error = NULL;
  gulong progress = 0;
  guint interrupt;
  int status;

  if (!cli_parse (cli, NULL, argc, argv, 1, 1, &arguments, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  interrupt = g_unix_signal_add (SIGINT, on_interrupt, cancellable);
  if (terminal)
    progress = g_signal_connect (machine, "save-progress", G_CALLBACK (on_progress), NULL);
  alcove_machine_save_async (machine, cancellable, cli_on_ready, &result);
  cli_wait (&result);
  ok = alcove_machine_finish (machine, result, &error);
  g_source_remove (interrupt);
  if (terminal)
    {
      g_signal_handler_disconnect (machine, progress);
      fputs ("\r            \r", stderr);
    }
  return ok ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}
