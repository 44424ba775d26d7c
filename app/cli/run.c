/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove run: a machine from options, gone when it ends. */
#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include "app/cli/cli-private.h"
#include "app/cli/run-options.h"
#include "app/launch.h"
#include "app/paths.h"

typedef struct
{
  Cli *cli;
  RunOptions *options;
  char *folder; /* temporary, in the runtime folder */
  AlcoveDefinition *definition;
  GSubprocess *vmm;
  GSubprocess *window; /* (nullable) */
} Run;

static char *
make_folder (GError **error)
{
  g_autofree char *root = alcove_paths_dup_runtime ();
  g_autofree char *folder = g_build_filename (root, "run-XXXXXX", NULL);

  if (!alcove_paths_ensure_private (root, error))
    return NULL;
  if (g_mkdtemp_full (folder, 0700) == NULL)
    {
      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (errno),
                   "A folder in %s cannot be made: %s", root, g_strerror (errno));
      return NULL;
    }
  return g_steal_pointer (&folder);
}

/* The file is ours and about to go: people know the options, not its name and lines. */
static void
strip_source (GError *error, const char *conf)
{
  g_auto (GStrv) lines = g_strsplit (error->message, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], conf))
      {
        const char *rest = strstr (lines[i] + strlen (conf), ": ");
        char *stripped = g_strdup (rest != NULL ? rest + 2 : lines[i]);

        g_free (lines[i]);
        lines[i] = stripped;
      }
  g_free (error->message);
  error->message = g_strjoinv ("\n", lines);
}

/* error: not NULL. */
static gboolean
prepare (Run *run, GError **error)
{
  g_autofree char *text = run_options_to_text (run->options, error);
  g_autofree char *conf = NULL;

  if (text == NULL)
    return FALSE;
  run->folder = make_folder (error);
  if (run->folder == NULL)
    return FALSE;
  conf = g_build_filename (run->folder, ALCOVE_DEFINITION_FILE, NULL);
  run->definition = alcove_definition_new_from_text (text, -1, conf, error);
  if (run->definition == NULL)
    {
      strip_source (*error, conf);
      return FALSE;
    }
  return alcove_definition_assign (run->definition, error) &&
         alcove_definition_create (run->definition, error);
}

static gboolean
on_signal (gpointer user_data)
{
  g_subprocess_send_signal (user_data, SIGTERM);
  return G_SOURCE_CONTINUE;
}

/* Closing the window ends a throw-away machine. */
static void
on_window_closed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GSubprocess) vmm = user_data;

  if (g_subprocess_wait_finish (G_SUBPROCESS (source), result, NULL))
    g_subprocess_send_signal (vmm, SIGTERM);
}

static gboolean
open_window (Run *run, GError **error)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", error);
  const char *argv[] = { program, "view", run->folder, NULL };

  if (program == NULL)
    return FALSE;
  run->window = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDOUT_SILENCE, error);
  if (run->window == NULL)
    return FALSE;
  g_subprocess_wait_async (run->window, NULL, on_window_closed, g_object_ref (run->vmm));
  return TRUE;
}

static gboolean
launch (Run *run, GError **error)
{
  const char *uuid = alcove_definition_get_machine (run->definition)->uuid;
  g_autofree char *runtime_dir = alcove_paths_dup_machine_runtime (uuid);
  g_autoptr (GAsyncResult) result = NULL;
  AlcoveLaunchSpec spec = {
    .conf = alcove_definition_get_path (run->definition),
    .runtime_dir = runtime_dir,
    .stdio = run_options_use_stdio (run->options),
    .foreground = TRUE,
  };

  alcove_launch_async (&spec, NULL, cli_on_ready, &result);
  cli_wait (&result);
  run->vmm = alcove_launch_finish (result, error);
  return run->vmm != NULL;
}

/* The process's end as an exit status. */
static int
wait_for_end (Run *run)
{
  const int signals[] = { SIGINT, SIGTERM, SIGHUP };
  guint sources[G_N_ELEMENTS (signals)];
  g_autoptr (GAsyncResult) result = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    sources[i] = g_unix_signal_add (signals[i], on_signal, run->vmm);
  g_subprocess_wait_async (run->vmm, NULL, cli_on_ready, &result);
  cli_wait (&result);
  (void)g_subprocess_wait_finish (run->vmm, result, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (signals); i++)
    g_source_remove (sources[i]);
  if (run->window != NULL)
    g_subprocess_send_signal (run->window, SIGTERM);
  if (g_subprocess_get_if_signaled (run->vmm))
    {
      int signal = g_subprocess_get_term_sig (run->vmm);

      cli_say ("The VM process was ended by signal %d (%s)", signal, g_strsignal (signal));
      return ALCOVE_EXIT_FAILED;
    }
  return g_subprocess_get_exit_status (run->vmm);
}

static int
run_machine (Run *run)
{
  GError *error = NULL;
  int status;

  if (!prepare (run, &error))
    {
      /* What is wrong with the machine is wrong with the options it was made from. */
      gboolean usage = g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);

      status = cli_fail (run->cli, error);
      return usage ? ALCOVE_EXIT_USAGE : status;
    }
  if (!launch (run, &error))
    return cli_fail (run->cli, error);
  if (run_options_want_window (run->options) && !open_window (run, &error))
    {
      (void)cli_fail (run->cli, error);
      g_subprocess_send_signal (run->vmm, SIGTERM);
      (void)wait_for_end (run);
      return ALCOVE_EXIT_FAILED;
    }
  return wait_for_end (run);
}

int
cli_run (Cli *cli, int argc, char **argv)
{
  g_auto (GStrv) arguments = NULL;
  RunOptions o = { 0 };
  const GOptionEntry entries[] = {
    { "kernel", 0, 0, G_OPTION_ARG_FILENAME, &o.kernel, "Start this kernel", "FILE" },
    { "initrd", 0, 0, G_OPTION_ARG_FILENAME, &o.initrd, "Its initial RAM disk", "FILE" },
    { "append", 0, 0, G_OPTION_ARG_STRING, &o.append, "Its command line", "TEXT" },
    { "firmware", 0, 0, G_OPTION_ARG_STRING, &o.firmware,
      "uefi, bios or none (uefi; none with --kernel)", "WORD" },
    { "memory", 'm', 0, G_OPTION_ARG_STRING, &o.memory, "Memory (512M)", "SIZE" },
    { "cpus", 'c', 0, G_OPTION_ARG_INT, &o.cpus, "Number of virtual CPUs (1)", "N" },
    { "cpu", 0, 0, G_OPTION_ARG_STRING, &o.cpu, "host, x86-64-v2, v3 or v4 (host)", "WORD" },
    { "disk", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o.disks,
      "Raw image or block device; options as in machine.conf: readonly, serial=, cache=...",
      "FILE[,KEY=VALUE...]" },
    { "cdrom", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &o.cdroms, "Read-only medium", "FILE" },
    { "nic", 0, 0, G_OPTION_ARG_STRING_ARRAY, &o.nics,
      "user, tap or none (none); forward=, mac=, ifname=, vhost=", "BACKEND[,KEY=VALUE...]" },
    { "serial", 0, 0, G_OPTION_ARG_STRING, &o.serial,
      "stdio, file:PATH, console, null or none (stdio)", "WHERE" },
    { "display", 0, 0, G_OPTION_ARG_STRING, &o.display, "window or none (none)", "WHERE" },
    { "window", 0, 0, G_OPTION_ARG_NONE, &o.window, "The same as --display window", NULL },
    { "name", 0, 0, G_OPTION_ARG_STRING, &o.name, "Title of the window", "TEXT" },
    { "debug-exit", 0, 0, G_OPTION_ARG_STRING, &o.debug_exit,
      "Port of the debug exit device, or none (0xf4 with --kernel)", "PORT" },
    { "debug-console", 0, 0, G_OPTION_ARG_FILENAME, &o.debug_console,
      "File for what firmware writes to port 0x402", "FILE" },
    { "no-reboot", 0, 0, G_OPTION_ARG_NONE, &o.no_reboot, "End where the guest resets", NULL },
    G_OPTION_ENTRY_NULL
  };
  Run run = { .cli = cli, .options = &o };
  int status;

  if (cli_parse (cli, entries, argc, argv, 0, 0, &arguments, &status))
    {
      if (o.cpus < 0 || o.cpus > 255)
        status = cli_usage (cli, "--cpus must be 1 to 255");
      else
        status = run_machine (&run);
    }
  if (run.folder != NULL)
    alcove_paths_remove_tree (run.folder);
  g_free (run.folder);
  g_clear_object (&run.definition);
  g_clear_object (&run.vmm);
  g_clear_object (&run.window);
  run_options_clear (&o);
  return status;
}
