/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove start, stop, pause, resume, reset, view. */
#include "app/cli/cli-private.h"

typedef void (*SimpleOperation) (AlcoveMachine *machine,
                                 GCancellable *cancellable,
                                 GAsyncReadyCallback callback,
                                 gpointer user_data);

/* Runs one operation to its end. */
static gboolean
operate (AlcoveMachine *machine, SimpleOperation operation, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  operation (machine, NULL, cli_on_ready, &result);
  cli_wait (&result);
  return alcove_machine_finish (machine, result, error);
}

static int
simple_verb (Cli *cli, int argc, char **argv, SimpleOperation operation)
{
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, NULL, argc, argv, 1, 1, &arguments, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  return operate (machine, operation, &error) ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

int
cli_pause (Cli *cli, int argc, char **argv)
{
  return simple_verb (cli, argc, argv, alcove_machine_pause_async);
}

int
cli_resume (Cli *cli, int argc, char **argv)
{
  return simple_verb (cli, argc, argv, alcove_machine_resume_async);
}

int
cli_reset (Cli *cli, int argc, char **argv)
{
  return simple_verb (cli, argc, argv, alcove_machine_reset_async);
}

int
cli_start (Cli *cli, int argc, char **argv)
{
  gboolean paused = FALSE, discard = FALSE, disposable = FALSE;
  const GOptionEntry entries[] = { { "paused", 0, 0, G_OPTION_ARG_NONE, &paused,
                                     "Do not run the guest yet", NULL },
                                   { "disposable", 0, 0, G_OPTION_ARG_NONE, &disposable,
                                     "Everything the guest writes is dropped at power-off", NULL },
                                   { "discard-saved", 0, 0, G_OPTION_ARG_NONE, &discard,
                                     "Boot; the saved state of the machine is lost", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 1, &arguments, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  alcove_machine_start_async (machine,
                              (paused ? ALCOVE_START_PAUSED : ALCOVE_START_NONE) |
                                  (discard ? ALCOVE_START_DISCARD_SAVED : ALCOVE_START_NONE) |
                                  (disposable ? ALCOVE_START_DISPOSABLE : ALCOVE_START_NONE),
                              NULL, cli_on_ready, &result);
  cli_wait (&result);
  return alcove_machine_finish (machine, result, &error) ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

static gboolean
on_deadline (gpointer user_data)
{
  *(gboolean *)user_data = TRUE;
  return G_SOURCE_REMOVE;
}

/* TRUE when the machine is off before the time is over. */
static gboolean
wait_until_off (AlcoveMachine *machine, double seconds)
{
  gboolean over = FALSE;
  guint source = g_timeout_add ((guint)(seconds * 1000), on_deadline, &over);

  while (alcove_machine_is_active (machine) && !over)
    g_main_context_iteration (NULL, TRUE);
  if (!over)
    g_source_remove (source);
  return !alcove_machine_is_active (machine);
}

int
cli_stop (Cli *cli, int argc, char **argv)
{
  gboolean force = FALSE;
  double timeout = -1;
  const GOptionEntry entries[] = {
    { "force", 'f', 0, G_OPTION_ARG_NONE, &force, "Cut the power", NULL },
    { "timeout", 't', 0, G_OPTION_ARG_DOUBLE, &timeout,
      "How long to wait for the guest (60); 0 does not wait", "SECONDS" },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 1, &arguments, &status))
    return status;
  if (timeout > 86400 || (timeout < 0 && timeout != -1))
    return cli_usage (cli, "--timeout must be 0 to 86400 seconds");
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  if (!force || timeout > 0)
    {
      if (!operate (machine, alcove_machine_power_button_async, &error))
        return cli_fail (cli, error);
      if (timeout == 0)
        return ALCOVE_EXIT_DONE;
      if (wait_until_off (machine, timeout < 0 ? 60 : timeout))
        return ALCOVE_EXIT_DONE;
      if (!force)
        {
          cli_say ("%s did not shut down in %.0f seconds: wait longer with --timeout, or use "
                   "--force",
                   alcove_machine_get_name (machine), timeout < 0 ? 60 : timeout);
          return ALCOVE_EXIT_FAILED;
        }
    }
  return operate (machine, alcove_machine_force_off_async, &error) ? ALCOVE_EXIT_DONE
                                                                   : cli_fail (cli, error);
}

int
cli_view (Cli *cli, int argc, char **argv)
{
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autofree char *folder = NULL;
  int status;

  if (!cli_parse (cli, NULL, argc, argv, 0, 1, &arguments, &status))
    return status;
  if (cli->window == NULL)
    {
      cli_say ("This build has no window");
      return ALCOVE_EXIT_FAILED;
    }
  if (arguments[0] == NULL)
    return cli->window (NULL, NULL);
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  folder = g_strdup (alcove_machine_get_folder (machine));
  /* The window has its own; ours would only double the work. */
  g_clear_object (&machine);
  g_clear_object (&cli->library);
  return cli->window ("--view", folder);
}
