/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/options.h"

gboolean
runner_options_parse (RunnerOptions *options, int argc, char **argv, GError **error)
{
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_auto (GStrv) args = g_new0 (char *, argc + 1);
  const GOptionEntry entries[] = {
    { "machine", 0, 0, G_OPTION_ARG_FILENAME, &options->machine, "Folder of the machine", "DIR" },
    { "conf", 0, 0, G_OPTION_ARG_FILENAME, &options->conf, "Definition of a throw-away machine",
      "FILE" },
    { "runtime-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->runtime_dir,
      "Folder for the control socket", "DIR" },
    { "ready-fd", 0, 0, G_OPTION_ARG_INT, &options->ready_fd, "Report the start there", "FD" },
    { "paused", 0, 0, G_OPTION_ARG_NONE, &options->paused, "Do not run the guest yet", NULL },
    { "restore", 0, 0, G_OPTION_ARG_FILENAME, &options->restore, "Go on from what was saved there",
      "DIR" },
    { "consume", 0, 0, G_OPTION_ARG_NONE, &options->consume,
      "Remove that folder when it is needed no more", NULL },
    { "new-generation", 0, 0, G_OPTION_ARG_NONE, &options->generation,
      "Tell the guest that it went back in time", NULL },
    { "discard-saved", 0, 0, G_OPTION_ARG_NONE, &options->discard,
      "Also what the end of a cut-off revert brings is not gone on from", NULL },
    { "disposable", 0, 0, G_OPTION_ARG_NONE, &options->disposable,
      "Disks and firmware variables are dropped at the end", NULL },
    { "linger", 0, 0, G_OPTION_ARG_NONE, &options->wait, "Stay after the guest stopped", NULL },
    G_OPTION_ENTRY_NULL
  };

  *options = (RunnerOptions){ .ready_fd = -1 };
  for (int i = 0; i < argc; i++)
    args[i] = g_strdup (argv[i]);
  g_option_context_set_summary (context,
                                "Runs one machine. Started by alcove; not meant to be typed.");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse_strv (context, &args, error))
    return FALSE;
  if (g_strv_length (args) > 1)
    {
      g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, "Unexpected “%s”", args[1]);
      return FALSE;
    }
  if (options->disposable && (options->machine == NULL || options->restore != NULL))
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                           "--disposable goes with --machine and without --restore");
      return FALSE;
    }
  if (options->discard && (options->machine == NULL || options->restore != NULL))
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                           "--discard-saved goes with --machine and without --restore");
      return FALSE;
    }
  if ((options->machine == NULL) == (options->conf == NULL))
    {
      g_set_error_literal (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                           "Give either --machine or --conf");
      return FALSE;
    }
  return TRUE;
}

void
runner_options_clear (RunnerOptions *options)
{
  g_free (options->machine);
  g_free (options->conf);
  g_free (options->runtime_dir);
  g_free (options->restore);
  *options = (RunnerOptions){ .ready_fd = -1 };
}
