/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove pci attach and detach: edit the definition and, while the machine runs, plug the card in or
 * ask the guest to release it. */
#include <stdio.h>
#include <string.h>

#include "app/cli/pci-private.h"
#include "app/definition-pci.h"
#include "app/lock.h"

#define TIMEOUT_S     30
#define TIMEOUT_S_MAX 600
#define FUNCTIONS_MAX 8u

typedef struct
{
  char *name, *rom_file;
  gboolean no_rom, vga, only;
} Attach;

static void
attach_clear (Attach *attach)
{
  g_free (attach->name);
  g_free (attach->rom_file);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Attach, attach_clear)

/* A definition of our own to edit; with a lock while the machine does not run, so that it stays so. */
static AlcoveDefinition *
open_definition (AlcoveMachine *machine, AlcoveLock **ret_lock, GError **error)
{
  AlcoveDefinition *shown = alcove_machine_get_definition (machine);

  *ret_lock = NULL;
  if (shown == NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s",
                   alcove_machine_get_error (machine));
      return NULL;
    }
  if (alcove_machine_get_state (machine) == ALCOVE_MACHINE_SAVED)
    {
      g_set_error (
          error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
          "%s is saved, and goes on with the devices that it has: start it, or discard the "
          "saved state first",
          alcove_machine_get_name (machine));
      return NULL;
    }
  if (!alcove_machine_is_active (machine))
    {
      *ret_lock =
          alcove_lock_acquire (alcove_machine_get_folder (machine), "changes its devices", error);
      if (*ret_lock == NULL)
        return NULL;
    }
  return alcove_definition_load (alcove_definition_get_path (shown), error);
}

/* ---- in ---- */

/* "gpu", "gpu2", ... for the card; its other functions are "gpu.1", ... */
static char *
free_name (AlcoveDefinition *definition, const char *word)
{
  for (guint i = 1;; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup (word) : g_strdup_printf ("%s%u", word, i);

      if (alcove_definition_find_pci (definition, name) == NULL)
        return g_steal_pointer (&name);
    }
}

static const char *
name_of_kind (const VfioCard *card)
{
  const char *word = vfio_card_kind_to_string (card->kind);

  if (strcmp (word, "graphics") == 0)
    return "gpu";
  return alcove_device_name_is_valid (word) ? word : "card";
}

/* (transfer full): the text of one group. */
static char *
describe (const Attach *attach, const char *name, const char *host, gboolean main)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;
  g_autofree char *group = g_strconcat ("pci ", name, NULL);

  alcove_problems_init (&problems, "pci");
  file = alcove_conf_file_parse ("", 0, &problems);
  alcove_conf_file_set_value (file, group, "host", host);
  if (main && attach->no_rom)
    alcove_conf_file_set_value (file, group, "rom", "false");
  if (main && attach->rom_file != NULL)
    {
      g_autofree char *path = g_canonicalize_filename (attach->rom_file, NULL);

      alcove_conf_file_set_value (file, group, "rom-file", path);
    }
  if (main && attach->vga)
    alcove_conf_file_set_value (file, group, "vga", "true");
  return alcove_conf_file_to_text (file, NULL);
}

/* Adds the card's functions to the definition. (transfer full): their names. */
static GPtrArray *
add_functions (AlcoveDefinition *definition,
               const Attach *attach,
               const VfioFunction *named,
               gboolean live,
               GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *base = attach->name != NULL ? g_strdup (attach->name)
                                               : free_name (definition, name_of_kind (named->card));
  GPtrArray *functions = named->card->functions;

  for (guint i = 0; i < functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (functions, i);
      gboolean main = attach->only ? function == named : function == named->card->main;
      g_autofree char *name =
          main ? g_strdup (base) : g_strdup_printf ("%s.%u", base, function->address.function);
      g_autofree char *text = NULL;
      char *added;

      if (attach->only && function != named)
        continue;
      if (alcove_definition_find_pci_host (definition, function->id) != NULL)
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS, "The machine has %s already",
                       function->id);
          return NULL;
        }
      text = describe (attach, name, function->id, main);
      added = alcove_definition_add_pci (definition, text, live, error);
      if (added == NULL)
        return NULL;
      g_ptr_array_add (names, added);
    }
  return g_steal_pointer (&names);
}

/* A virtual device that a driver of the host made. */
static GPtrArray *
add_mediated (AlcoveDefinition *definition,
              const Attach *attach,
              const VfioMediated *mediated,
              gboolean live,
              GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *name =
      attach->name != NULL ? g_strdup (attach->name) : free_name (definition, "virtual");
  g_autofree char *text = NULL;
  char *added;

  if (alcove_definition_find_pci_host (definition, mediated->uuid) != NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS, "The machine has %s already",
                   mediated->uuid);
      return NULL;
    }
  text = describe (attach, name, mediated->uuid, TRUE);
  added = alcove_definition_add_pci (definition, text, live, error);
  if (added == NULL)
    return NULL;
  g_ptr_array_add (names, added);
  return g_steal_pointer (&names);
}

static gboolean
plug_in (AlcoveMachine *machine, AlcoveDefinition *definition, GPtrArray *names, GError **error)
{
  g_auto (GStrv) groups = g_new0 (char *, names->len + 1);
  g_auto (GStrv) answer = NULL;
  g_autoptr (GAsyncResult) result = NULL;

  for (guint i = 0; i < names->len; i++)
    groups[i] = alcove_definition_dup_pci_group (definition, g_ptr_array_index (names, i));
  alcove_machine_add_pci_async (machine, (const char *const *)groups, NULL, cli_on_ready, &result);
  cli_wait (&result);
  answer = alcove_machine_add_pci_finish (machine, result, error);
  if (answer == NULL)
    return FALSE;
  /* The machine may have chosen another place: the groups are put in anew, as it has them. Function
   * 0, the first, goes last: the others are not valid without. */
  for (guint i = names->len; i-- > 0;)
    if (!alcove_definition_remove_pci (definition, g_ptr_array_index (names, i), error))
      return FALSE;
  for (guint i = 0; answer[i] != NULL; i++)
    {
      g_autofree char *name = alcove_definition_add_pci (definition, answer[i], TRUE, error);

      if (name == NULL)
        return FALSE;
    }
  return TRUE;
}

static GPtrArray *
attach_card (AlcoveMachine *machine,
             const Attach *attach,
             const VfioFunction *named,
             const VfioMediated *mediated,
             GError **error)
{
  gboolean live = alcove_machine_is_active (machine), ok = FALSE;
  AlcoveLock *lock = NULL;
  g_autoptr (AlcoveDefinition) definition = open_definition (machine, &lock, error);
  g_autoptr (GPtrArray) names = NULL;

  if (definition != NULL)
    {
      names = mediated != NULL ? add_mediated (definition, attach, mediated, live, error)
                               : add_functions (definition, attach, named, live, error);
      ok = names != NULL &&
           (live ? plug_in (machine, definition, names, error)
                 : alcove_definition_assign (definition, error)) &&
           alcove_definition_save (definition, error);
    }
  alcove_lock_release (lock);
  return ok ? g_steal_pointer (&names) : NULL;
}

int
cli_pci_attach (Cli *cli, int argc, char **argv)
{
  g_auto (Attach) attach = { 0 };
  const GOptionEntry entries[] = {
    { "name", 'n', 0, G_OPTION_ARG_STRING, &attach.name, "What the card is called (gpu)", "NAME" },
    { "only", 0, 0, G_OPTION_ARG_NONE, &attach.only,
      "This function alone, not the others of its card", NULL },
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
  g_autoptr (GPtrArray) names = NULL;
  const VfioFunction *function = NULL;
  const VfioMediated *mediated = NULL;
  GError *error = NULL;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 2, &arguments, &status))
    return status;
  if (attach.no_rom && attach.rom_file != NULL)
    return cli_usage (cli, "--no-rom and --rom-file exclude each other");
  if (attach.name != NULL && !alcove_device_name_is_valid (attach.name))
    return cli_usage (cli, "a name is 1 to 32 lower case letters, digits, \"-\", \"_\" and \".\"");
  machine = cli_find (cli, arguments[0], &status);
  if (machine == NULL || (inventory = cli_pci_read (cli, NULL, &status)) == NULL)
    return status;
  if (g_uuid_string_is_valid (arguments[1]))
    {
      mediated = vfio_inventory_find_mediated (inventory, arguments[1], NULL);
      if (mediated == NULL)
        {
          cli_say ("This host has no virtual device %s; \"alcove pci list\" shows what it has",
                   arguments[1]);
          return ALCOVE_EXIT_FAILED;
        }
    }
  else if ((function = cli_pci_find (cli, inventory, arguments[1], &status)) == NULL)
    return status;
  if (function != NULL && (function->bridge || function->card->functions->len > FUNCTIONS_MAX))
    return cli_usage (cli, "%s is a bridge: only what is behind it can be attached", function->id);
  names = attach_card (machine, &attach, function, mediated, &error);
  if (names == NULL)
    return cli_fail (cli, error);
  for (guint i = 0; i < names->len; i++)
    puts (g_ptr_array_index (names, i));
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
take_out (AlcoveMachine *machine, const char *name, gboolean force, guint seconds, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;
  GError *local = NULL;

  alcove_machine_remove_pci_async (machine, name, force, seconds * 1000, NULL, cli_on_ready,
                                   &result);
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

static gboolean
detach_card (
    AlcoveMachine *machine, const char *text, gboolean force, guint seconds, GError **error)
{
  gboolean live = alcove_machine_is_active (machine), ok = FALSE;
  AlcoveLock *lock = NULL;
  g_autoptr (AlcoveDefinition) definition = open_definition (machine, &lock, error);
  const AlcovePciConfig *pci = NULL;

  if (definition != NULL)
    {
      pci = alcove_definition_find_pci (definition, text);
      if (pci == NULL)
        pci = alcove_definition_find_pci_host (definition, text);
      if (pci == NULL)
        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                     "The machine has no device “%s” of the host: alcove show lists its devices",
                     text);
    }
  if (pci != NULL)
    {
      g_autofree char *name = g_strdup (pci->base.name);

      ok = drop_slot (definition, pci, error) &&
           (!live || take_out (machine, name, force, seconds, error)) &&
           alcove_definition_save (definition, error);
    }
  alcove_lock_release (lock);
  return ok;
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
