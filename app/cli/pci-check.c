/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove pci check: what can be given to machines, and what stands in the way. */
#include <stdio.h>
#include <string.h>

#include "app/cli/pci-private.h"
#include "vfio/host/boot-files.h"

static void
print_indented (const char *label, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (*lines[i] != '\0')
      printf ("              %-6s%s\n", i == 0 ? label : "", lines[i]);
}

static void
print_check (const VfioCheck *check)
{
  printf ("  %-10s  %s: %s\n", vfio_severity_to_string (check->severity), check->title,
          check->fact);
  printf ("              %s.\n", check->meaning);
  if (check->remedy != NULL)
    printf ("              -> %s%s\n", check->remedy, check->command != NULL ? ":" : ".");
  if (check->command != NULL)
    print_indented ("", check->command);
  if (check->undo != NULL)
    print_indented ("undo: ", check->undo);
}

static void
print_addresses (const char *title, GPtrArray *functions)
{
  for (guint i = 0; i < functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (functions, i);

      printf ("  %-10s  %s  %s\n", i == 0 ? title : "", function->id, function->name);
    }
}

static void
print_verdict (const VfioVerdict *verdict)
{
  printf ("%s  %s\n  %s.\n", verdict->card->id, verdict->card->name, verdict->summary);
  print_addresses ("together", verdict->takes);
  print_addresses ("stays", verdict->stays);
  for (guint i = 0; i < verdict->checks->len; i++)
    print_check (g_ptr_array_index (verdict->checks, i));
}

static void
print_overview (GPtrArray *platform, GPtrArray *verdicts)
{
  puts ("This host");
  for (guint i = 0; i < platform->len; i++)
    print_check (g_ptr_array_index (platform, i));
  puts ("\nIts cards");
  for (guint i = 0; i < verdicts->len; i++)
    {
      const VfioVerdict *verdict = g_ptr_array_index (verdicts, i);

      if (verdict->card->kind != HOST_CARD_CHIPSET)
        printf ("  %-10s  %s  %s\n                            %s\n",
                vfio_severity_to_string (verdict->severity), verdict->card->id, verdict->card->name,
                verdict->summary);
    }
}

/* The cards at these addresses, or all; with their verdicts. NULL: said, *ret_status. */
static GPtrArray *
judge (Cli *cli,
       VfioTree *tree,
       const VfioInventory *inventory,
       const VfioDemand *demand,
       char **addresses,
       int *ret_status)
{
  g_autoptr (GPtrArray) cards = g_ptr_array_new ();
  g_autoptr (VfioQuirks) quirks = NULL;
  g_autoptr (GError) error = NULL;
  GPtrArray *verdicts;

  for (guint i = 0; addresses[i] != NULL; i++)
    {
      VfioFunction *function = cli_pci_find (cli, inventory, addresses[i], ret_status);

      if (function == NULL)
        return NULL;
      if (function->bridge)
        {
          cli_say (
              "%s is a bridge: it stays with the host, also when a card behind it is given to a "
              "machine",
              function->id);
          *ret_status = ALCOVE_EXIT_FAILED;
          return NULL;
        }
      if (!g_ptr_array_find (cards, function->card, NULL))
        g_ptr_array_add (cards, function->card);
    }
  for (guint i = 0; addresses[0] == NULL && i < inventory->cards->len; i++)
    g_ptr_array_add (cards, g_ptr_array_index (inventory->cards, i));
  quirks = vfio_quirks_load (&error);
  if (quirks == NULL)
    cli_say ("What is known of single cards cannot be told: %s", error->message);
  verdicts = g_ptr_array_new_with_free_func ((GDestroyNotify)vfio_verdict_free);
  for (guint i = 0; i < cards->len; i++)
    g_ptr_array_add (
        verdicts, vfio_verdict_new (tree, inventory, quirks, demand, g_ptr_array_index (cards, i)));
  return verdicts;
}

static int
print_boot_files (Cli *cli, const VfioInventory *inventory, GPtrArray *verdicts)
{
  for (guint i = 0; i < verdicts->len; i++)
    {
      const VfioVerdict *verdict = g_ptr_array_index (verdicts, i);
      g_autoptr (VfioBootFiles) files = NULL;
      g_autofree char *text = NULL;

      for (guint k = 0; k < verdict->checks->len; k++)
        {
          const VfioCheck *check = g_ptr_array_index (verdict->checks, k);

          /* The host would not start without these. The desktop may move to another card. */
          if (strcmp (check->id, "system-disk") == 0 || strcmp (check->id, "mainboard") == 0 ||
              strcmp (check->id, "only-network") == 0)
            {
              cli_say ("%s is not reserved: %s", verdict->card->id, check->fact);
              return ALCOVE_EXIT_FAILED;
            }
        }
      files = vfio_boot_files_new (inventory, verdict->takes);
      text = vfio_boot_files_to_text (files);
      fputs (text, stdout);
    }
  return ALCOVE_EXIT_DONE;
}

int
cli_pci_check (Cli *cli, int argc, char **argv)
{
  gboolean json = FALSE, boot_files = FALSE;
  int memory = 0;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, "Print JSON", NULL },
    { "memory", 0, 0, G_OPTION_ARG_INT, &memory, "For a machine with so much memory", "MIB" },
    { "boot-files", 0, 0, G_OPTION_ARG_NONE, &boot_files,
      "Print the commands that have the cards reserved when the host starts", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (VfioInventory) inventory = NULL;
  g_autoptr (VfioTree) tree = NULL;
  g_autoptr (GPtrArray) platform = NULL, verdicts = NULL;
  VfioDemand demand = { 0 };
  int status;

  if (!cli_parse (cli, entries, argc, argv, 0, -1, &arguments, &status))
    return status;
  if (memory < 0 || (boot_files && arguments[0] == NULL))
    return memory < 0 ? cli_usage (cli, "--memory is in MiB, from 0")
                      : cli_usage (cli, "--boot-files needs the address of a card");
  demand.memory = (guint64)memory << 20;
  inventory = cli_pci_read (cli, &tree, &status);
  if (inventory == NULL)
    return status;
  verdicts = judge (cli, tree, inventory, &demand, arguments, &status);
  if (verdicts == NULL)
    return status;
  if (boot_files)
    return print_boot_files (cli, inventory, verdicts);
  platform = vfio_checks_platform (inventory, &demand);
  if (json)
    cli_print_json (cli_pci_verdicts_to_json (platform, verdicts));
  else if (arguments[0] == NULL)
    print_overview (platform, verdicts);
  else
    for (guint i = 0; i < verdicts->len; i++)
      print_verdict (g_ptr_array_index (verdicts, i));
  status = ALCOVE_EXIT_DONE;
  for (guint i = 0; i < platform->len; i++)
    if (((VfioCheck *)g_ptr_array_index (platform, i))->severity == HOST_SEVERITY_BLOCK)
      status = ALCOVE_EXIT_FAILED;
  for (guint i = 0; arguments[0] != NULL && i < verdicts->len; i++)
    if (((VfioVerdict *)g_ptr_array_index (verdicts, i))->severity >= HOST_SEVERITY_STEP)
      status = ALCOVE_EXIT_FAILED;
  return status;
}
