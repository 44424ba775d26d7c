/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a machine is given of the host's devices, where each is now, and what a machine that runs says
 * of it. */
#include <stdio.h>
#include <string.h>

#include "app/cli/pci-private.h"
#include "app/definition-pci.h"
#include "app/live-pci.h"

/* (transfer full) (element-type AlcoveLivePci): nothing when the machine is off, or does not answer. */
static GPtrArray *
ask (AlcoveMachine *machine)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) list = NULL;

  if (!alcove_machine_is_active (machine))
    return g_ptr_array_new ();
  alcove_machine_list_pci_async (machine, NULL, cli_on_ready, &result);
  cli_wait (&result);
  list = alcove_machine_list_pci_finish (machine, result, NULL);
  return list != NULL ? alcove_live_pcis_new (list) : g_ptr_array_new ();
}

static const char *
get_state (const AlcoveLivePci *live)
{
  if (live->leaving)
    return live->asked_back ? "leaving, asked back by the host" : "leaving";
  return live->asked_back ? "asked back by the host" : "in use";
}

static gboolean
is_live (GPtrArray *pcis, const char *name)
{
  for (guint i = 0; i < pcis->len; i++)
    if (strcmp (((const AlcoveLivePci *)g_ptr_array_index (pcis, i))->name, name) == 0)
      return TRUE;
  return FALSE;
}

/* For each that is given and not in the machine: the word for its state. */
static const char *
get_waiting (AlcoveMachine *machine)
{
  return alcove_machine_is_active (machine) ? "at the next start" : "when it starts";
}

static void
add_cells (GPtrArray *cells, const char *const *texts, gsize n)
{
  for (gsize i = 0; i < n; i++)
    g_ptr_array_add (cells, g_strdup (texts[i] != NULL && *texts[i] != '\0' ? texts[i] : "-"));
}

static void
print_table (AlcoveMachine *machine, GPtrArray *pcis)
{
  static const char *const heads[] = { "DEVICE", "HOST", "GUEST", "INTERRUPTS", "STATE" };
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);
  guint n = 0;
  const AlcovePciConfig *const *given =
      definition != NULL ? alcove_definition_get_pcis (definition, &n) : NULL;

  add_cells (cells, heads, G_N_ELEMENTS (heads));
  for (guint i = 0; i < pcis->len; i++)
    {
      const AlcoveLivePci *live = g_ptr_array_index (pcis, i);
      g_autofree char *kind = live->vectors > 1
                                  ? g_strdup_printf ("%s (%u)", live->interrupts, live->vectors)
                                  : g_strdup (live->interrupts);
      const char *const row[] = { live->name, live->host, live->address, kind, get_state (live) };

      add_cells (cells, row, G_N_ELEMENTS (row));
    }
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *address = given[i]->base.address.set
                                     ? alcove_pci_address_to_string (&given[i]->base.address)
                                     : NULL;
      const char *const row[] = { given[i]->base.name, given[i]->host, address, NULL,
                                  get_waiting (machine) };

      if (!is_live (pcis, given[i]->base.name))
        add_cells (cells, row, G_N_ELEMENTS (row));
    }
  cli_print_table (cells, G_N_ELEMENTS (heads));
}

static void
print_notes (GPtrArray *pcis)
{
  for (guint i = 0; i < pcis->len; i++)
    {
      const AlcoveLivePci *live = g_ptr_array_index (pcis, i);

      for (char **note = live->notes; *note != NULL; note++)
        printf ("%s (%s): %s.\n", live->name, live->host, *note);
    }
}

static JsonObject *
live_to_json (const AlcoveLivePci *live)
{
  JsonObject *object = json_object_new ();
  JsonArray *notes = json_array_new ();

  json_object_set_string_member (object, "name", live->name);
  json_object_set_string_member (object, "host", live->host);
  if (live->address != NULL)
    json_object_set_string_member (object, "address", live->address);
  json_object_set_boolean_member (object, "live", TRUE);
  json_object_set_boolean_member (object, "leaving", live->leaving);
  json_object_set_boolean_member (object, "asked-back", live->asked_back);
  json_object_set_string_member (object, "interrupts", live->interrupts);
  json_object_set_int_member (object, "vectors", live->vectors);
  for (char **note = live->notes; *note != NULL; note++)
    json_array_add_string_element (notes, *note);
  json_object_set_array_member (object, "notes", notes);
  return object;
}

JsonArray *
cli_pci_given_to_json (AlcoveMachine *machine)
{
  g_autoptr (GPtrArray) pcis = ask (machine);
  JsonArray *array = json_array_new ();
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);
  guint n = 0;
  const AlcovePciConfig *const *given =
      definition != NULL ? alcove_definition_get_pcis (definition, &n) : NULL;

  for (guint i = 0; i < pcis->len; i++)
    json_array_add_object_element (array, live_to_json (g_ptr_array_index (pcis, i)));
  for (guint i = 0; i < n; i++)
    {
      JsonObject *object;

      if (is_live (pcis, given[i]->base.name))
        continue;
      object = json_object_new ();
      json_object_set_string_member (object, "name", given[i]->base.name);
      json_object_set_string_member (object, "host", given[i]->host);
      json_object_set_boolean_member (object, "live", FALSE);
      json_array_add_object_element (array, object);
    }
  return array;
}

void
cli_pci_print_given (AlcoveMachine *machine)
{
  g_autoptr (GPtrArray) pcis = ask (machine);
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);
  guint n = 0;

  if (definition != NULL)
    (void)alcove_definition_get_pcis (definition, &n);
  if (n == 0 && pcis->len == 0)
    return;
  print_table (machine, pcis);
  print_notes (pcis);
  if (definition != NULL)
    {
      g_autofree char *unsavable = alcove_definition_dup_unsavable (definition);

      if (unsavable != NULL)
        puts (unsavable);
    }
}

int
cli_pci_list_given (Cli *cli, const char *name, gboolean json)
{
  g_autoptr (AlcoveMachine) machine = NULL;
  int status;

  machine = cli_find (cli, name, &status);
  if (machine == NULL)
    return status;
  if (json)
    {
      JsonNode *node = json_node_new (JSON_NODE_ARRAY);

      json_node_take_array (node, cli_pci_given_to_json (machine));
      cli_print_json (node);
    }
  else
    cli_pci_print_given (machine);
  return ALCOVE_EXIT_DONE;
}
