/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove list, show, stats: what there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app/cli/cli-private.h"
#include "app/cli/pci-private.h"
#include "app/definition-json.h"
#include "app/definition-pci.h"

static void
print_list_json (GListModel *model)
{
  JsonArray *array = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < g_list_model_get_n_items (model); i++)
    {
      g_autoptr (AlcoveMachine) machine = g_list_model_get_item (model, i);

      json_array_add_object_element (array, cli_machine_to_json (machine));
    }
  json_node_take_array (node, array);
  cli_print_json (node);
}

static void
add_cell (GPtrArray *cells, const char *text)
{
  g_ptr_array_add (cells, g_strdup (text));
}

static void
print_list_table (GListModel *model)
{
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);

  if (g_list_model_get_n_items (model) == 0)
    {
      cli_say ("There are no machines yet: \"alcove create NAME\" makes one");
      return;
    }
  add_cell (cells, "NAME");
  add_cell (cells, "STATE");
  add_cell (cells, "CPUS");
  add_cell (cells, "MEMORY");
  add_cell (cells, "TITLE");
  for (guint i = 0; i < g_list_model_get_n_items (model); i++)
    {
      g_autoptr (AlcoveMachine) machine = g_list_model_get_item (model, i);
      AlcoveDefinition *definition = alcove_machine_get_definition (machine);

      add_cell (cells, alcove_machine_get_id (machine));
      add_cell (cells, alcove_machine_state_to_string (alcove_machine_get_state (machine)));
      if (definition != NULL)
        {
          const AlcoveMachineConfig *config = alcove_definition_get_machine (definition);

          g_ptr_array_add (cells, g_strdup_printf ("%u", config->cpus));
          g_ptr_array_add (cells,
                           g_strdup_printf ("%" G_GUINT64_FORMAT " MiB", config->memory_mib));
        }
      else
        {
          add_cell (cells, "-");
          add_cell (cells, "-");
        }
      add_cell (cells, alcove_machine_get_name (machine));
    }
  cli_print_table (cells, 5);
}

int
cli_list (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  AlcoveLibrary *library;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, 0, &arguments, &status))
    return status;
  library = cli_get_library (cli);
  alcove_library_refresh_async (library, NULL, cli_on_ready, &result);
  cli_wait (&result);
  if (!alcove_library_refresh_finish (library, result, &error))
    return cli_fail (cli, error);
  if (json)
    print_list_json (G_LIST_MODEL (library));
  else
    print_list_table (G_LIST_MODEL (library));
  return ALCOVE_EXIT_DONE;
}

static void
print_machine (AlcoveMachine *machine)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);

  printf ("Name:   %s\nFolder: %s\nState:  %s", alcove_machine_get_name (machine),
          alcove_machine_get_folder (machine),
          alcove_machine_state_to_string (alcove_machine_get_state (machine)));
  if (alcove_machine_get_state_detail (machine) != NULL)
    printf (" (%s)", alcove_machine_get_state_detail (machine));
  if (alcove_machine_get_pid (machine) != 0)
    printf (", process %u", alcove_machine_get_pid (machine));
  putchar ('\n');
  if (definition != NULL)
    {
      g_autofree char *text = alcove_definition_to_text (definition);

      putchar ('\n');
      cli_pci_print_given (machine);
      printf ("\n%s", text);
    }
  else
    {
      cli_say ("%s", alcove_machine_get_error (machine));
    }
}

int
cli_show (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 1, &arguments, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  if (json)
    {
      JsonObject *object = cli_machine_to_json (machine);
      JsonNode *node = json_node_new (JSON_NODE_OBJECT);
      g_autofree char *unsavable = NULL;

      if (alcove_machine_get_definition (machine) != NULL)
        {
          json_object_set_member (
              object, "definition",
              alcove_definition_to_json (alcove_machine_get_definition (machine)));
          json_object_set_array_member (object, "pci", cli_pci_given_to_json (machine));
          unsavable = alcove_definition_dup_unsavable (alcove_machine_get_definition (machine));
          if (unsavable != NULL)
            json_object_set_string_member (object, "unsavable", unsavable);
        }
      json_node_take_object (node, object);
      cli_print_json (node);
    }
  else
    {
      print_machine (machine);
    }
  return alcove_machine_get_state (machine) == ALCOVE_MACHINE_INVALID ? ALCOVE_EXIT_FAILED
                                                                      : ALCOVE_EXIT_DONE;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static void
print_stats (GVariant *stats)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  GVariantIter iter;
  const char *name;

  g_variant_iter_init (&iter, stats);
  while (g_variant_iter_next (&iter, "{&s@v}", &name, NULL))
    g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    {
      g_autoptr (GVariant) value =
          g_variant_lookup_value (stats, g_ptr_array_index (names, i), NULL);

      add_cell (cells, g_ptr_array_index (names, i));
      g_ptr_array_add (cells, g_variant_is_of_type (value, G_VARIANT_TYPE_STRING)
                                  ? g_variant_dup_string (value, NULL)
                                  : g_variant_print (value, FALSE));
    }
  cli_print_table (cells, 2);
}

int
cli_stats (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) stats = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 1, 1, &arguments, &status) ||
      (machine = cli_find (cli, arguments[0], &status)) == NULL)
    return status;
  alcove_machine_get_stats_async (machine, NULL, cli_on_ready, &result);
  cli_wait (&result);
  stats = alcove_machine_get_stats_finish (machine, result, &error);
  if (stats == NULL)
    return cli_fail (cli, error);
  if (json)
    cli_print_json (json_gvariant_serialize (stats));
  else
    print_stats (stats);
  return ALCOVE_EXIT_DONE;
}
