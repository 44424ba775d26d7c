/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove pci attach and detach: edit the definition and, while the machine runs, plug the card in or
 * ask the guest to release it. */
#include <stdio.h>
#include <string.h>

#include "app/cli/pci-private.h"
#include "app/definition-pci.h"
#include "app/passthrough.h"

#define TIMEOUT_S     30
#define TIMEOUT_S_MAX 600
#define FUNCTIONS_MAX 8u

typedef struct
{
  char *name, *rom_file;
  gboolean no_rom, vga, only, mates;
} Attach;

static void
attach_clear (Attach *attach)
{
  g_free (attach->name);
  g_free (attach->rom_file);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Attach, attach_clear)

/* ---- in ---- */

/* (nullable): said, *ret_status. (transfer full) */
static AlcoveCard *
look_at_card (Cli *cli, AlcoveMachine *machine, const char *address, int *ret_status)
{
  g_autoptr (GAsyncResult) result = NULL;
  GError *error = NULL;
  AlcoveCard *card;

  alcove_machine_look_at_card_async (machine, address, NULL, cli_on_ready, &result);
  cli_wait (&result);
  card = alcove_machine_look_at_card_finish (machine, result, &error);
  if (card == NULL)
    *ret_status = cli_fail (cli, error);
  return card;
}

static gboolean
check_new (AlcoveMachine *machine, const AlcoveCard *card, const char *only, GError **error)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);

  for (guint i = 0; definition != NULL && i < card->parts->len; i++)
    {
      const AlcoveCardPart *part = g_ptr_array_index (card->parts, i);

      if ((only != NULL && strcmp (only, part->address) != 0) ||
          alcove_definition_find_pci_host (definition, part->address) == NULL)
        continue;
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS, "The machine has %s already",
                   part->address);
      return FALSE;
    }
  return TRUE;
}

/* What happens to each device that comes along. (transfer full): their addresses */
static GStrv
tell_mates (const AlcoveCard *card, gboolean given)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  for (guint i = 0; i < card->mates->len; i++)
    {
      const AlcoveCardPart *mate = g_ptr_array_index (card->mates, i);

      g_strv_builder_add (builder, mate->address);
      if (given)
        cli_say ("Comes along, and the machine gets it too: %s (%s)", mate->name, mate->address);
      else
        cli_say (
            "Comes along: %s (%s). It shares the card's isolation group: the host is without it "
            "while the machine has the card, and nobody has it. With --mates the machine gets "
            "it too",
            mate->name, mate->address);
    }
  return g_strv_builder_end (builder);
}

/* (transfer full) (nullable): the names that the card got. */
static GStrv
attach_card (AlcoveMachine *machine,
             const Attach *attach,
             AlcoveCard *card,
             const char *address,
             GError **error)
{
  g_autofree char *rom_file =
      attach->rom_file != NULL ? g_canonicalize_filename (attach->rom_file, NULL) : NULL;
  g_autoptr (GAsyncResult) result = NULL;
  g_auto (GStrv) mates = NULL;
  const AlcoveGiveOptions options = { .name = attach->name,
                                      .only = attach->only ? address : NULL,
                                      .rom_file = rom_file,
                                      .no_rom = attach->no_rom,
                                      .vga = attach->vga };
  AlcoveGiveOptions all = options;

  if (!check_new (machine, card, options.only, error))
    return NULL;
  mates = tell_mates (card, attach->mates);
  all.with = attach->mates ? (const char *const *)mates : NULL;
  alcove_machine_give_card_async (machine, card, &all, NULL, cli_on_ready, &result);
  cli_wait (&result);
  return alcove_machine_give_card_finish (machine, result, error);
}

int
cli_pci_attach (Cli *cli, int argc, char **argv)
{
  g_auto (Attach) attach = { 0 };
  const GOptionEntry entries[] = {
    { "name", 'n', 0, G_OPTION_ARG_STRING, &attach.name, "What the card is called (gpu)", "NAME" },
    { "only", 0, 0, G_OPTION_ARG_NONE, &attach.only,
      "This function alone, not the others of its card", NULL },
    { "mates", 0, 0, G_OPTION_ARG_NONE, &attach.mates,
      "Also what comes along as it shares the card's isolation group", NULL },
    { "rom-file", 0, 0, G_OPTION_ARG_FILENAME, &attach.rom_file,
      "The card's start-up program, when it does not let its own be read", "FILE" },
    { "no-rom", 0, 0, G_OPTION_ARG_NONE, &attach.no_rom, "Hide the start-up program", NULL },
    { "vga", 0, 0, G_OPTION_ARG_NONE, &attach.vga,
      "BIOS firmware starts on this card: it gets the legacy VGA ports", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autoptr (VfioInventory) inventory = NULL;
  g_autoptr (AlcoveCard) card = NULL;
  g_auto (GStrv) names = NULL;
  const char *address;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 2, &arguments, &status))
    return status;
  if (attach.no_rom && attach.rom_file != NULL)
    return cli_usage (cli, "--no-rom and --rom-file exclude each other");
  if (attach.only && attach.mates)
    return cli_usage (cli, "--only and --mates exclude each other");
  if (attach.name != NULL && !alcove_device_name_is_valid (attach.name))
    return cli_usage (cli, "a name is 1 to 32 lower case letters, digits, \"-\", \"_\" and \".\"");
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL || (inventory = cli_pci_read (cli, NULL, &status)) == NULL)
    return status;
  if (g_uuid_string_is_valid (arguments[1]))
    {
      const VfioMediated *mediated = vfio_inventory_find_mediated (inventory, arguments[1], NULL);

      address = mediated != NULL ? mediated->uuid : arguments[1];
    }
  else
    {
      const VfioFunction *function = cli_pci_find (cli, inventory, arguments[1], &status);

      if (function == NULL)
        return status;
      if (function->bridge || function->card->functions->len > FUNCTIONS_MAX)
        return cli_usage (cli, "%s is a bridge: only what is behind it can be attached",
                          function->id);
      address = function->id;
    }
  card = look_at_card (cli, machine, address, &status);
  if (card == NULL)
    return status;
  names = attach_card (machine, &attach, card, address, &error);
  if (names == NULL)
    return cli_fail (cli, error);
  for (char **name = names; *name != NULL; name++)
    puts (*name);
  return ALCOVE_EXIT_DONE;
}

/* ---- out ---- */

/* Takes the groups of the guest's slot out of the definition. */
static gboolean
drop_slot (AlcoveDefinition *definition, const AlcovePciConfig *named, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  const AlcovePciAddress *at = &named->base.address;
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (definition, &n);

  for (guint i = 0; i < n; i++)
    if (pcis[i] == named ||
        (at->set && pcis[i]->base.address.set && pcis[i]->base.address.bus == at->bus &&
         pcis[i]->base.address.slot == at->slot))
      {
        /* Function 0 goes last: the others are not valid without. */
        g_ptr_array_insert (names, pcis[i]->base.address.function == 0 ? -1 : 0,
                            g_strdup (pcis[i]->base.name));
      }
  for (guint i = 0; i < names->len; i++)
    if (!alcove_definition_remove_pci (definition, g_ptr_array_index (names, i), error))
      return FALSE;
  return TRUE;
}

static gboolean
detach_card (
    AlcoveMachine *machine, const char *text, gboolean force, guint seconds, GError **error)
{
  gboolean live = alcove_machine_is_active (machine);
  g_autoptr (AlcoveDefinitionEdit) edit = cli_edit_devices (machine, "changes its devices", error);
  AlcoveDefinition *definition;
  const AlcovePciConfig *pci;
  g_autofree char *name = NULL;

  if (edit == NULL)
    return FALSE;
  definition = alcove_definition_edit_get_definition (edit);
  pci = alcove_definition_find_pci (definition, text);
  if (pci == NULL)
    pci = alcove_definition_find_pci_host (definition, text);
  if (pci == NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                   "The machine has no device “%s” of the host: alcove show lists its devices",
                   text);
      return FALSE;
    }
  name = g_strdup (pci->base.name);
  return drop_slot (definition, pci, error) &&
         (!live ||
          cli_take_out (machine, alcove_machine_remove_pci_async, name, force, seconds, error)) &&
         alcove_definition_edit_save (edit, error);
}

int
cli_pci_detach (Cli *cli, int argc, char **argv)
{
  gboolean force = FALSE;
  int seconds = TIMEOUT_S;
  const GOptionEntry entries[] = { { "force", 0, 0, G_OPTION_ARG_NONE, &force,
                                     "Do not ask the guest: its driver may fail", NULL },
                                   { "timeout", 't', 0, G_OPTION_ARG_INT, &seconds,
                                     "How long the guest may take (30)", "SECONDS" },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 2, &arguments, &status))
    return status;
  if (seconds < 1 || seconds > TIMEOUT_S_MAX)
    return cli_usage (cli, "--timeout must be 1 to %d seconds", TIMEOUT_S_MAX);
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL)
    return status;
  if (!detach_card (machine, arguments[1], force, (guint)seconds, &error))
    return cli_fail (cli, error);
  return ALCOVE_EXIT_DONE;
}
