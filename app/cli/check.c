/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove check: what this host can do. */
#include <stdio.h>
#include "app/checks.h"
#include "app/cli/cli-private.h"

static void
print_json (GPtrArray *checks)
{
  JsonArray *array = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_ARRAY);

  for (guint i = 0; i < checks->len; i++)
    {
      const AlcoveCheck *check = g_ptr_array_index (checks, i);
      JsonObject *object = json_object_new ();

      json_object_set_string_member (object, "id", check->id);
      json_object_set_string_member (object, "title", check->title);
      json_object_set_string_member (object, "result",
                                     alcove_check_result_to_string (check->result));
      json_object_set_string_member (object, "fact", check->fact);
      json_object_set_string_member (object, "meaning", check->meaning);
      if (check->remedy != NULL)
        json_object_set_string_member (object, "remedy", check->remedy);
      json_array_add_object_element (array, object);
    }
  json_node_take_array (node, array);
  cli_print_json (node);
}

static void
print_text (GPtrArray *checks)
{
  for (guint i = 0; i < checks->len; i++)
    {
      const AlcoveCheck *check = g_ptr_array_index (checks, i);

      printf ("%-8s %s: %s\n         %s\n", alcove_check_result_to_string (check->result),
              check->title, check->fact, check->meaning);
      if (check->remedy != NULL)
        printf ("         To mend it: %s\n", check->remedy);
    }
}

int
cli_check (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE;
  const GOptionEntry entries[] = { { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (GPtrArray) checks = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, 0, &arguments, &status))
    return status;
  checks = alcove_checks_run ();
  if (json)
    print_json (checks);
  else
    print_text (checks);
  return alcove_checks_get_worst (checks) == ALCOVE_CHECK_BAD ? ALCOVE_EXIT_FAILED
                                                              : ALCOVE_EXIT_DONE;
}
