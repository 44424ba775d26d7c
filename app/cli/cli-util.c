/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "app/cli/cli-private.h"
#include "vmm/error.h"

void
cli_say (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, "alcove: %s\n", text);
}

int
cli_usage (Cli *cli, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  fprintf (stderr, "alcove %s: %s\nTry \"alcove %s --help\".\n", cli->verb->name, text,
           cli->verb->name);
  return ALCOVE_EXIT_USAGE;
}

int
cli_fail (Cli *cli, GError *error)
{
  g_autoptr (GError) owned = error;

  fprintf (stderr, "alcove %s: %s\n", cli->verb->name, owned->message);
  if (g_error_matches (owned, VMM_ERROR, VMM_ERROR_BUSY))
    return ALCOVE_EXIT_WRONG_STATE;
  if (owned->domain != ALCOVE_ERROR)
    return ALCOVE_EXIT_FAILED;
  switch ((AlcoveErrorCode)owned->code)
    {
    case ALCOVE_ERROR_WRONG_STATE:
    case ALCOVE_ERROR_BUSY:
      return ALCOVE_EXIT_WRONG_STATE;
    case ALCOVE_ERROR_FAILED:
    case ALCOVE_ERROR_INVALID:
    case ALCOVE_ERROR_NOT_FOUND: /* of something in a machine: cli_find has its own status */
    case ALCOVE_ERROR_EXISTS:
    case ALCOVE_ERROR_NOT_SUPPORTED:
    case ALCOVE_ERROR_CANCELLED:
    default:
      return ALCOVE_EXIT_FAILED;
    }
}

gboolean
cli_parse (Cli *cli,
           const GOptionEntry *entries,
           int argc,
           char **argv,
           int min,
           int max,
           GStrv *ret_arguments,
           int *ret_status)
{
  g_autofree char *parameters = g_strconcat (cli->verb->name, " ", cli->verb->arguments, NULL);
  g_autoptr (GOptionContext) context = g_option_context_new (cli->verb->arguments);
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) args = g_new0 (char *, argc + 1);
  gboolean help = FALSE;
  const GOptionEntry common[] = {
    { "help", 'h', 0, G_OPTION_ARG_NONE, &help, "Print this text", NULL }, G_OPTION_ENTRY_NULL
  };
  int n;

  for (int i = 0; i < argc; i++)
    args[i] = g_strdup (argv[i]);
  g_free (args[0]);
  args[0] = g_strconcat ("alcove ", cli->verb->name, NULL);
  g_set_prgname (args[0]);
  g_option_context_set_help_enabled (context, FALSE); /* GLib's own ends the process */
  g_option_context_set_summary (context, cli->verb->summary);
  g_option_context_set_description (context, cli->verb->description);
  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_add_main_entries (context, common, NULL);
  if (!g_option_context_parse_strv (context, &args, &error))
    {
      *ret_status = cli_usage (cli, "%s", error->message);
      return FALSE;
    }
  if (help)
    {
      g_autofree char *text = g_option_context_get_help (context, TRUE, NULL);

      fputs (text, stdout);
      *ret_status = ALCOVE_EXIT_DONE;
      return FALSE;
    }
  n = (int)g_strv_length (args);
  if (n > 1 && strcmp (args[1], "--") == 0) /* GOption leaves it in some cases */
    {
      g_free (args[1]);
      memmove (args + 1, args + 2, sizeof *args * (gsize)(n - 1));
      n--;
    }
  if (n - 1 < min)
    {
      *ret_status = cli_usage (cli, "something is missing: alcove %s", parameters);
      return FALSE;
    }
  if (max >= 0 && n - 1 > max)
    {
      *ret_status = cli_usage (cli, "\"%s\" is one argument too many", args[max + 1]);
      return FALSE;
    }
  *ret_arguments = g_strdupv (args + 1);
  return TRUE;
}

void
cli_on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **)user_data = g_object_ref (result);
}

void
cli_wait (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
}

static gboolean
on_interrupt (gpointer user_data)
{
  g_cancellable_cancel (user_data);
  return G_SOURCE_CONTINUE;
}

GCancellable *
cli_begin_long (void)
{
  GCancellable *cancellable = g_cancellable_new ();

  g_object_set_data (G_OBJECT (cancellable), "source",
                     GUINT_TO_POINTER (g_unix_signal_add (SIGINT, on_interrupt, cancellable)));
  return cancellable;
}

void
cli_end_long (GCancellable *cancellable)
{
  g_source_remove (GPOINTER_TO_UINT (g_object_get_data (G_OBJECT (cancellable), "source")));
  g_object_unref (cancellable);
  if (isatty (STDERR_FILENO))
    fputs ("\r\033[K", stderr);
}

void
cli_on_progress (guint64 done, guint64 total, gpointer user_data)
{
  if (total > 0 && isatty (STDERR_FILENO))
    fprintf (stderr, "\r%3u %%", (guint)(MIN (done, total) * 100.0 / total));
}

AlcoveLibrary *
cli_get_library (Cli *cli)
{
  if (cli->library == NULL)
    cli->library = alcove_library_new (NULL);
  return cli->library;
}

AlcoveDefinitionEdit *
cli_begin_edit (AlcoveMachine *machine, const char *what, GError **error)
{
  AlcoveDefinition *shown = alcove_machine_get_definition (machine);

  if (shown == NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s",
                   alcove_machine_get_error (machine));
      return NULL;
    }
  return alcove_definition_edit_begin (alcove_machine_get_folder (machine),
                                       alcove_definition_get_path (shown),
                                       alcove_machine_is_active (machine), what, error);
}

AlcoveMachine *
cli_find (Cli *cli, const char *what, int *ret_status)
{
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  GError *error = NULL;

  if (strchr (what, G_DIR_SEPARATOR) != NULL)
    {
      g_autofree char *conf = g_build_filename (what, ALCOVE_DEFINITION_FILE, NULL);

      if (g_file_test (conf, G_FILE_TEST_IS_REGULAR))
        machine = alcove_machine_new (what);
      else
        g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                     "%s is no machine's folder: there is no %s in it", what,
                     ALCOVE_DEFINITION_FILE);
    }
  else
    {
      AlcoveMachine *found = alcove_library_find (cli_get_library (cli), what, &error);

      machine = found != NULL ? g_object_ref (found) : NULL;
    }
  if (machine == NULL)
    {
      (void)cli_fail (cli, error);
      *ret_status = ALCOVE_EXIT_NO_MACHINE;
      return NULL;
    }
  alcove_machine_refresh_async (machine, NULL, cli_on_ready, &result);
  cli_wait (&result);
  (void)alcove_machine_finish (machine, result, NULL);
  return g_steal_pointer (&machine);
}

void
cli_print_json (JsonNode *node)
{
  g_autoptr (JsonNode) owned = node;
  g_autofree char *text = json_to_string (owned, TRUE);

  puts (text);
}

void
cli_print_table (GPtrArray *cells, guint n_columns)
{
  g_autofree glong *widths = g_new0 (glong, n_columns);

  for (guint i = 0; i < cells->len; i++)
    widths[i % n_columns] =
        MAX (widths[i % n_columns], g_utf8_strlen (g_ptr_array_index (cells, i), -1));
  for (guint i = 0; i < cells->len; i++)
    {
      const char *cell = g_ptr_array_index (cells, i);
      gboolean last = (i + 1) % n_columns == 0;

      fputs (cell, stdout);
      if (last)
        putchar ('\n');
      else
        printf ("%*s", (int)(widths[i % n_columns] - g_utf8_strlen (cell, -1)) + 2, "");
    }
}

static void
set_text (JsonObject *object, const char *name, const char *value)
{
  if (value != NULL)
    json_object_set_string_member (object, name, value);
}

JsonObject *
cli_machine_to_json (AlcoveMachine *machine)
{
  JsonObject *object = json_object_new ();
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);

  set_text (object, "id", alcove_machine_get_id (machine));
  set_text (object, "name", alcove_machine_get_name (machine));
  set_text (object, "uuid", alcove_machine_get_uuid (machine));
  set_text (object, "folder", alcove_machine_get_folder (machine));
  set_text (object, "state", alcove_machine_state_to_string (alcove_machine_get_state (machine)));
  set_text (object, "state-reason", alcove_machine_get_state_reason (machine));
  set_text (object, "state-detail", alcove_machine_get_state_detail (machine));
  set_text (object, "error", alcove_machine_get_error (machine));
  if (alcove_machine_get_pid (machine) != 0)
    json_object_set_int_member (object, "pid", alcove_machine_get_pid (machine));
  if (definition != NULL)
    {
      const AlcoveMachineConfig *config = alcove_definition_get_machine (definition);

      json_object_set_int_member (object, "memory", (gint64)config->memory_mib);
      json_object_set_int_member (object, "cpus", config->cpus);
      set_text (object, "os", config->os);
    }
  return object;
}

AlcoveDefinitionEdit *
cli_edit_devices (AlcoveMachine *machine, const char *what, GError **error)
{
  if (alcove_machine_get_state (machine) == ALCOVE_MACHINE_SAVED)
    {
      g_set_error (
          error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
          "%s is saved, and goes on with the devices that it has: start it, or discard the "
          "saved state first",
          alcove_machine_get_name (machine));
      return NULL;
    }
  return cli_begin_edit (machine, what, error);
}

gboolean
cli_take_out (AlcoveMachine *machine,
              CliRemoveFunc remove,
              const char *name,
              gboolean force,
              guint seconds,
              GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  GError *local = NULL;

  remove (machine, name, force, seconds * 1000, NULL, cli_on_ready, &result);
  cli_wait (&result);
  if (alcove_machine_finish (machine, result, &local))
    return TRUE;
  /* Added to the file while the machine ran: there is nothing to take out. */
  if (g_error_matches (local, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND))
    {
      g_error_free (local);
      return TRUE;
    }
  g_propagate_error (error, local);
  return FALSE;
}
