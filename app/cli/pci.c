/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove pci: its verbs, and what they share. */
#include <stdio.h>
#include <string.h>

#include "app/cli/pci-private.h"
#include "app/suggest.h"

static const CliVerb pci_verbs[] = {
  { "pci bind", "ADDRESS...", "take devices from this host's drivers, for machines",
    "What must go along (the rest of a card, of an isolation group) goes along and is named. They "
    "stay\n"
    "until \"alcove pci release\" or a restart of the computer; a machine that is started takes "
    "and "
    "gives\n"
    "back what it has by itself.",
    cli_pci_bind },
  { "pci check", "[ADDRESS...]", "which cards can be given to machines, and what stands in the way",
    "With addresses everything about these cards. The exit status is 1 when one of them, or the "
    "host\n"
    "as a whole, is not ready. Nothing is changed: commands are shown with their undo.",
    cli_pci_check },
  { "pci list", "[NAME]", "the host's PCI devices, their isolation groups and who uses them",
    "With --all also bridges and parts of the main board. With a machine's name the devices that "
    "it "
    "is\n"
    "given: where each is now, and while the machine runs, what it says of them.",
    cli_pci_list },
  { "pci attach", "NAME ADDRESS", "give a machine a card of the host",
    "ADDRESS: also the UUID of a virtual device that a driver made (alcove pci list).\n"
    "All functions of the card go together, into one slot of the guest. What shares the card's "
    "isolation\n"
    "group leaves the host too, and is named; with --mates the machine gets that as well, a card a "
    "slot. A\n"
    "machine that runs gets all at once.",
    cli_pci_attach },
  { "pci detach", "NAME CARD", "take a card away from a machine",
    "CARD: what alcove pci attach printed, or the host's address. The guest is asked to release "
    "it.",
    cli_pci_detach },
  { "pci list-bound", "", "what is taken from this host's drivers, and where it goes back to", NULL,
    cli_pci_list_bound },
  { "pci release", "[ADDRESS...]", "give devices back to this host's drivers",
    "Without addresses everything that was taken, also by a machine or a command that was cut off.",
    cli_pci_release },
};

static void
print_pci_help (FILE *to)
{
  fputs ("Usage: alcove pci VERB [options]\n\nVerbs:\n", to);
  for (gsize i = 0; i < G_N_ELEMENTS (pci_verbs); i++)
    fprintf (to, "  %-12s %s\n", pci_verbs[i].name + strlen ("pci "), pci_verbs[i].summary);
  fputs ("\n\"alcove pci VERB --help\" for a verb's options.\n", to);
}

int
cli_pci (Cli *cli, int argc, char **argv)
{
  const char *names[G_N_ELEMENTS (pci_verbs)];
  const char *nearest;

  if (argc < 2 || strcmp (argv[1], "--help") == 0 || strcmp (argv[1], "-h") == 0)
    {
      print_pci_help (argc < 2 ? stderr : stdout);
      return argc < 2 ? ALCOVE_EXIT_USAGE : ALCOVE_EXIT_DONE;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (pci_verbs); i++)
    {
      names[i] = pci_verbs[i].name + strlen ("pci ");
      if (strcmp (argv[1], names[i]) == 0)
        {
          cli->verb = &pci_verbs[i];
          return cli->verb->run (cli, argc - 1, argv + 1);
        }
    }
  nearest = alcove_suggest (argv[1], names, G_N_ELEMENTS (names));
  if (nearest != NULL)
    return cli_usage (cli, "there is no verb \"%s\": did you mean \"%s\"?", argv[1], nearest);
  return cli_usage (cli, "there is no verb \"%s\"", argv[1]);
}

VfioInventory *
cli_pci_read (Cli *cli, VfioTree **ret_tree, int *ret_status)
{
  GError *error = NULL;
  VfioTree *tree = vfio_tree_open_host (&error);
  VfioInventory *inventory;

  if (tree == NULL)
    {
      *ret_status = cli_fail (cli, error);
      return NULL;
    }
  inventory = vfio_inventory_new (tree);
  if (ret_tree != NULL)
    *ret_tree = tree;
  else
    vfio_tree_free (tree);
  return inventory;
}

VfioFunction *
cli_pci_find (Cli *cli, const VfioInventory *inventory, const char *text, int *ret_status)
{
  g_autoptr (GError) error = NULL;
  VfioFunction *function;
  VfioAddress address;

  if (!vfio_address_parse_error (text, &address, &error))
    {
      *ret_status = cli_usage (cli, "%s", error->message);
      return NULL;
    }
  function = vfio_inventory_find (inventory, address);
  if (function == NULL)
    {
      cli_say ("This host has no PCI device %s; \"alcove pci list\" shows what it has", text);
      *ret_status = ALCOVE_EXIT_FAILED;
    }
  return function;
}

/* "gnome-shell (1893), Xorg (801)": who has it open. (transfer full) (nullable) */
static char *
holders_text (const VfioFunction *function)
{
  g_autoptr (GString) text = g_string_new (NULL);
  gint last = -1;

  for (guint i = 0; i < function->holders->len; i++)
    {
      const VfioHolder *holder = g_ptr_array_index (function->holders, i);

      if (holder->pid == last)
        continue; /* they are sorted by process */
      last = holder->pid;
      g_string_append_printf (text, "%s%s (%d)", text->len > 0 ? ", " : "", holder->name,
                              holder->pid);
    }
  return text->len > 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

static void
add_cells (GPtrArray *cells, const char *address, int group, char *name)
{
  g_ptr_array_add (cells, g_strdup (address));
  g_ptr_array_add (cells, group < 0 ? g_strdup ("-") : g_strdup_printf ("%d", group));
  g_ptr_array_add (cells, g_strdup ("-"));
  g_ptr_array_add (cells, g_strdup ("-"));
  g_ptr_array_add (cells, name);
}

/* Below the function whose driver shares it: what is there, and what can be made. */
static void
add_mediated (GPtrArray *cells, const VfioFunction *function)
{
  for (guint i = 0; i < function->mediated->len; i++)
    {
      const VfioMediated *mediated = g_ptr_array_index (function->mediated, i);

      add_cells (cells, mediated->uuid, mediated->group,
                 g_strdup_printf ("%s of %s", mediated->type, function->id));
    }
  for (guint i = 0; i < function->mediated_types->len; i++)
    {
      const VfioMediatedType *type = g_ptr_array_index (function->mediated_types, i);

      add_cells (cells, "+", -1,
                 g_strdup_printf ("%s of %s: %u can be made (%s)",
                                  type->name != NULL ? type->name : type->id, function->id,
                                  type->available, type->id));
    }
}

static void
print_table (const VfioInventory *inventory, gboolean all)
{
  g_autoptr (GPtrArray) cells = g_ptr_array_new_with_free_func (g_free);
  static const char *const heads[] = { "ADDRESS", "GROUP", "DRIVER", "USED BY", "NAME" };

  for (guint i = 0; i < G_N_ELEMENTS (heads); i++)
    g_ptr_array_add (cells, g_strdup (heads[i]));
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (inventory->functions, i);
      char *users;

      if (!all && (function->bridge || function->card->kind == HOST_CARD_CHIPSET))
        continue;
      users = holders_text (function);
      g_ptr_array_add (cells, g_strdup (function->id));
      g_ptr_array_add (cells, function->group != NULL ? g_strdup_printf ("%u", function->group->id)
                                                      : g_strdup ("-"));
      g_ptr_array_add (cells, g_strdup (function->driver != NULL ? function->driver : "-"));
      g_ptr_array_add (cells, users != NULL ? users : g_strdup ("-"));
      g_ptr_array_add (cells, g_strdup (function->name));
      add_mediated (cells, function);
    }
  cli_print_table (cells, G_N_ELEMENTS (heads));
}

int
cli_pci_list (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE, all = FALSE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print everything that is known, as JSON", NULL },
    { "all", 'a', 0, G_OPTION_ARG_NONE, &all, "Also bridges and parts of the main board", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (VfioInventory) inventory = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, 1, &arguments, &status))
    return status;
  if (arguments[0] != NULL)
    return cli_pci_list_given (cli, arguments[0], json);
  inventory = cli_pci_read (cli, NULL, &status);
  if (inventory == NULL)
    return status;
  if (json)
    {
      cli_print_json (cli_pci_inventory_to_json (inventory));
      return ALCOVE_EXIT_DONE;
    }
  if (inventory->functions->len == 0)
    cli_say ("This host has no PCI devices");
  else
    print_table (inventory, all);
  if (!inventory->platform.processes_complete)
    cli_say ("Processes of other users could not be looked at; as root the list is whole");
  return ALCOVE_EXIT_DONE;
}
