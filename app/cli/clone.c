/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove clone, base. */
#include <stdio.h>
#include <string.h>
#include "app/cli/cli-private.h"

int
cli_run_clone (Cli *cli, AlcoveMachine *machine, const AlcoveCloneSpec *spec)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autofree char *folder = NULL, *name = NULL;
  GCancellable *cancellable = cli_begin_long ();
  GError *error = NULL;

  alcove_clone_async (alcove_library_get_folder (cli_get_library (cli)),
                      alcove_machine_get_folder (machine), spec, cli_on_progress, NULL, cancellable,
                      cli_on_ready, &result);
  cli_wait (&result);
  cli_end_long (cancellable);
  folder = alcove_clone_finish (result, &error);
  if (folder == NULL)
    return cli_fail (cli, error);
  name = g_path_get_basename (folder);
  puts (name);
  return ALCOVE_EXIT_DONE;
}

int
cli_clone (Cli *cli, int argc, char **argv)
{
  AlcoveCloneSpec spec = { 0 };
  g_autofree char *snapshot = NULL;
  const GOptionEntry entries[] = { { "linked", 0, 0, G_OPTION_ARG_NONE, &spec.linked,
                                     "Share what is the same with the base", NULL },
                                   { "snapshot", 0, 0, G_OPTION_ARG_STRING, &snapshot,
                                     "Copy this snapshot and not the present", "SNAPSHOT" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 2, &arguments, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  spec.name = arguments[1];
  spec.snapshot = snapshot;
  return cli_run_clone (cli, machine, &spec);
}

static void
print_bases (GPtrArray *bases, gboolean json)
{
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);
  JsonArray *array = json_array_new ();
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (cells, g_strdup ("BASE"));
  g_ptr_array_add (cells, g_strdup ("SIZE"));
  g_ptr_array_add (cells, g_strdup ("NEEDED BY"));
  for (guint i = 0; i < bases->len; i++)
    {
      AlcoveBase *base = g_ptr_array_index (bases, i);
      JsonObject *object = json_object_new ();
      JsonArray *users = json_array_new ();

      for (guint j = 0; j < base->users->len; j++)
        json_array_add_string_element (users, g_ptr_array_index (base->users, j));
      json_object_set_string_member (object, "name", base->name);
      json_object_set_int_member (object, "size", (gint64)base->size);
      json_object_set_array_member (object, "users", users);
      json_array_add_object_element (array, object);
      g_ptr_array_add (base->users, NULL);
      g_ptr_array_add (cells, g_strdup (base->name));
      g_ptr_array_add (cells, g_format_size_full (base->size, G_FORMAT_SIZE_IEC_UNITS));
      g_ptr_array_add (cells, base->users->len > 1 ? g_strjoinv (", ", (GStrv)base->users->pdata)
                                                   : g_strdup ("nobody"));
    }
  json_node_take_array (node, array);
  if (json)
    {
      cli_print_json (node);
      return;
    }
  json_node_unref (node);
  if (bases->len == 0)
    cli_say ("There are no bases: \"alcove clone --linked\" makes one");
  else
    cli_print_table (cells, 3);
}

int
cli_base (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "list: print JSON", NULL }, G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  const char *machines;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, -1, &arguments, &status))
    return status;
  machines = alcove_library_get_folder (cli_get_library (cli));
  if (strcmp (arguments[0], "list") == 0 && arguments[1] == NULL)
    {
      g_autoptr (GPtrArray) bases = alcove_bases_list (machines, &error);

      if (bases == NULL)
        return cli_fail (cli, error);
      print_bases (bases, json);
      return ALCOVE_EXIT_DONE;
    }
  if (strcmp (arguments[0], "delete") != 0 || arguments[1] == NULL)
    return cli_usage (cli, "give \"list\", or \"delete\" and a base");
  for (guint i = 1; arguments[i] != NULL; i++)
    if (!alcove_bases_delete (machines, arguments[i], &error))
      return cli_fail (cli, error);
  return ALCOVE_EXIT_DONE;
}
