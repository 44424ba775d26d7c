/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Changes: the definition is loaded and edited on a thread, a machine that runs is asked, and then the
 * file is written. */
#include "app/passthrough.h"

#include <string.h>
#include <unistd.h>

#include "app/conf-file.h"
#include "app/definition-pci.h"
#include "app/machine-edit.h"
#include "app/passthrough-starts.h"
#include "app/pci-access.h"
#include "vfio/bind/bind.h"

typedef struct
{
  AlcoveEdit base;
  AlcoveCard *card;
  char *name, *only, *rom_file; /* (nullable) as AlcoveGiveOptions */
  gboolean no_rom, vga;
  GStrv with;       /* (nullable) */
  GPtrArray *names; /* of the [pci NAME] groups */
  gboolean forget;
  guint timeout_ms;
  GStrvBuilder *answer;  /* the groups as the machine wants them, a slot after the other */
  guint n_asked, n_done; /* of names: the machine was asked for, and has */
  GError *problem;       /* (nullable) of a slot after the first */
} Edit;

static void
edit_free (gpointer data)
{
  Edit *edit = data;

  alcove_edit_clear (&edit->base);
  alcove_card_unref (edit->card);
  g_free (edit->name);
  g_free (edit->only);
  g_free (edit->rom_file);
  g_strfreev (edit->with);
  g_ptr_array_unref (edit->names);
  g_clear_pointer (&edit->answer, g_strv_builder_unref);
  g_clear_error (&edit->problem);
  g_free (edit);
}

/* (nullable): the task has its error. */
static Edit *
edit_new (GTask *task, AlcoveMachine *self, AlcoveCard *card)
{
  Edit *edit = g_new0 (Edit, 1);

  edit->card = alcove_card_ref (card);
  edit->names = g_ptr_array_new_with_free_func (g_free);
  g_task_set_task_data (task, edit, edit_free);
  return !alcove_edit_refuse_saved (task, self) && alcove_edit_init (&edit->base, task, self)
             ? edit
             : NULL;
}

static gboolean
copy_group (AlcoveConfFile *to, const char *text, GError **error)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) from = NULL;

  alcove_problems_init (&problems, "pci");
  from = alcove_conf_file_parse (text, strlen (text), &problems);
  if (!alcove_problems_to_error (&problems, error))
    return FALSE;
  for (guint i = 0; i < alcove_conf_file_get_n_groups (from); i++)
    {
      const char *group = alcove_conf_file_get_group (from, i, NULL);

      if (g_str_has_prefix (group, "pci "))
        alcove_conf_file_copy_group (to, from, group);
    }
  return TRUE;
}

/* All at once: parts of a card without its function 0 are no valid definition. groups: (nullable) texts
 * that come instead. */
static gboolean
replace_groups (Edit *edit, const char *const *groups, GError **error)
{
  g_autoptr (AlcoveConfFile) file = alcove_definition_dup_conf (edit->base.definition);

  for (guint i = 0; i < edit->names->len; i++)
    {
      g_autofree char *group =
          g_strconcat ("pci ", (const char *)g_ptr_array_index (edit->names, i), NULL);

      alcove_conf_file_remove_group (file, group);
    }
  for (; groups != NULL && *groups != NULL; groups++)
    if (!copy_group (file, *groups, error))
      return FALSE;
  return alcove_definition_take_conf (edit->base.definition, g_steal_pointer (&file), error);
}

/* ---- giving ---- */

/* "gpu", "gpu2", ... for the card; its other parts are "gpu.1", ...: as alcove pci attach has it. */
static const char *
get_word (const AlcoveCard *card)
{
  return strcmp (card->kind, "graphics") == 0       ? "gpu"
         : alcove_device_name_is_valid (card->kind) ? card->kind
                                                    : "card";
}

/* (transfer full): the text of a part's group. */
static char *
dup_group (const Edit *edit, const char *name, const AlcoveCardPart *part, gboolean main)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;
  g_autofree char *group = g_strconcat ("pci ", name, NULL);

  alcove_problems_init (&problems, "pci");
  file = alcove_conf_file_parse ("", 0, &problems);
  alcove_conf_file_set_value (file, group, "host", part->address);
  if (main && edit->no_rom)
    alcove_conf_file_set_value (file, group, "rom", "false");
  if (main && edit->rom_file != NULL)
    alcove_conf_file_set_value (file, group, "rom-file", edit->rom_file);
  if (main && edit->vga)
    alcove_conf_file_set_value (file, group, "vga", "true");
  return alcove_conf_file_to_text (file, NULL);
}

/* main: it has the name itself, and what is chosen for the card. */
static gboolean
add_part (Edit *edit,
          const char *base,
          const AlcoveCardPart *part,
          gboolean named,
          gboolean main,
          GError **error)
{
  const AlcovePciConfig *config =
      alcove_definition_find_pci_host (edit->base.definition, part->address);
  VfioAddress address = { 0 };
  g_autofree char *name = NULL;
  g_autofree char *text = NULL;
  char *added;

  if (config != NULL)
    {
      g_ptr_array_add (edit->names, g_strdup (config->base.name));
      return TRUE;
    }
  (void)vfio_address_parse (part->address, &address);
  name = named ? g_strdup (base) : g_strdup_printf ("%s.%u", base, address.function);
  text = dup_group (edit, name, part, main);
  added = alcove_definition_add_pci (edit->base.definition, text, edit->base.live, error);
  if (added != NULL)
    g_ptr_array_add (edit->names, added);
  return added != NULL;
}

static gboolean
same_slot (const AlcoveCardPart *a, const AlcoveCardPart *b)
{
  VfioAddress x, y;

  return vfio_address_parse (a->address, &x) && vfio_address_parse (b->address, &y) &&
         vfio_address_same_slot (x, y);
}

/* Those that are wanted; parts of one card have one name and get one slot. */
static gboolean
add_mates (Edit *edit, GError **error)
{
  g_autofree char *base = NULL;
  const AlcoveCardPart *last = NULL;

  for (guint i = 0; edit->with != NULL && i < edit->card->mates->len; i++)
    {
      const AlcoveCardPart *mate = g_ptr_array_index (edit->card->mates, i);

      if (!g_strv_contains ((const char *const *)edit->with, mate->address))
        continue;
      if (last == NULL || !same_slot (last, mate))
        {
          g_free (base);
          base = alcove_definition_dup_free_pci_name (edit->base.definition, "mate");
        }
      last = mate;
      if (!add_part (edit, base, mate, mate->main, FALSE, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
add_all (Edit *edit, GError **error)
{
  g_autofree char *base =
      edit->name != NULL
          ? g_strdup (edit->name)
          : alcove_definition_dup_free_pci_name (edit->base.definition, get_word (edit->card));

  for (guint i = 0; i < edit->card->parts->len; i++)
    {
      const AlcoveCardPart *part = g_ptr_array_index (edit->card->parts, i);
      gboolean main = edit->only != NULL ? strcmp (part->address, edit->only) == 0 : part->main;

      if ((main || edit->only == NULL) && !add_part (edit, base, part, main, main, error))
        return FALSE;
    }
  return add_mates (edit, error) &&
         (edit->base.live || (alcove_definition_assign (edit->base.definition, error) &&
                              alcove_edit_save (&edit->base, error)));
}

static void
give_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  gboolean good =
      alcove_edit_open (&edit->base, "changes its devices", &error) && add_all (edit, &error);

  alcove_edit_step (inner, &edit->base, edit->base.live, good, error);
}

/* The machine may have chosen places; what it did not take is not written down. */
static void
save_given_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  g_auto (GStrv) groups = g_strv_builder_end (edit->answer);
  GError *error = NULL;
  gboolean good = replace_groups (edit, (const char *const *)groups, &error);

  good = good && alcove_edit_save (&edit->base, &error);
  alcove_edit_step (inner, &edit->base, FALSE, good, error);
}

static void
on_given_saved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  GTask *task = user_data;
  Edit *edit = g_task_get_task_data (task);

  if (edit->problem == NULL)
    {
      alcove_edit_on_saved (source, result, task);
      return;
    }
  g_prefix_error (&edit->problem,
                  "The machine has the card, but not all that comes along with it: ");
  alcove_machine_reload (ALCOVE_MACHINE (source));
  g_task_return_error (task, g_steal_pointer (&edit->problem));
  g_object_unref (task);
}

static const AlcovePciConfig *
get_config (Edit *edit, guint i)
{
  return alcove_definition_find_pci (edit->base.definition, g_ptr_array_index (edit->names, i));
}

static void plug_next (AlcoveMachine *self, GTask *task);

static void
on_plugged (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Edit *edit = g_task_get_task_data (task);
  g_auto (GStrv) answer = NULL;
  GError *error = NULL;

  answer = alcove_machine_add_pci_finish (ALCOVE_MACHINE (source), result, &error);
  if (answer == NULL && edit->n_done == 0)
    {
      alcove_edit_end (&edit->base);
      g_task_return_error (task, error);
      return;
    }
  if (answer == NULL)
    {
      edit->problem = error;
      alcove_edit_run (task, save_given_in_thread, on_given_saved);
      return;
    }
  g_strv_builder_addv (edit->answer, (const char **)answer);
  for (; edit->n_done < edit->n_asked; edit->n_done++)
    {
      const char *const hosts[] = { get_config (edit, edit->n_done)->host, NULL };

      alcove_passthrough_starts_add (NULL, hosts);
    }
  if (edit->n_done < edit->names->len)
    plug_next (ALCOVE_MACHINE (source), task);
  else
    alcove_edit_run (task, save_given_in_thread, on_given_saved);
}

/* A slot of the guest at a time. */
static void
plug_next (AlcoveMachine *self, GTask *task)
{
  Edit *edit = g_task_get_task_data (task);
  guint bus = get_config (edit, edit->n_done)->base.address.bus;
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) groups = NULL;

  for (; edit->n_asked < edit->names->len &&
         get_config (edit, edit->n_asked)->base.address.bus == bus;
       edit->n_asked++)
    {
      g_autofree char *group = alcove_definition_dup_pci_group (
          edit->base.definition, g_ptr_array_index (edit->names, edit->n_asked));

      g_strv_builder_add (builder, group);
    }
  groups = g_strv_builder_end (builder);
  alcove_machine_add_pci_async (self, (const char *const *)groups, g_task_get_cancellable (task),
                                on_plugged, g_object_ref (task));
}

static void
on_given (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Edit *edit = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_error (task, error);
  else if (edit->base.live)
    plug_next (ALCOVE_MACHINE (source), task);
  else
    {
      alcove_machine_reload (ALCOVE_MACHINE (source));
      g_task_return_boolean (task, TRUE);
    }
}

void
alcove_machine_give_card_async (AlcoveMachine *self,
                                AlcoveCard *card,
                                const AlcoveGiveOptions *options,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Edit *edit;

  g_task_set_source_tag (task, alcove_machine_give_card_async);
  if ((edit = edit_new (task, self, card)) == NULL)
    return;
  if (options != NULL)
    {
      edit->name = g_strdup (options->name);
      edit->only = g_strdup (options->only);
      edit->rom_file = g_strdup (options->rom_file);
      edit->no_rom = options->no_rom;
      edit->vga = options->vga;
      edit->with = g_strdupv ((char **)options->with);
    }
  edit->answer = g_strv_builder_new ();
  alcove_edit_run (task, give_in_thread, on_given);
}

GStrv
alcove_machine_give_card_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  const Edit *edit = g_task_get_task_data (G_TASK (result));
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return NULL;
  for (guint i = 0; i < edit->names->len; i++)
    g_strv_builder_add (builder, g_ptr_array_index (edit->names, i));
  return g_strv_builder_end (builder);
}

/* ---- taking ---- */

static gboolean
remove_all (Edit *edit, GError **error)
{
  for (guint i = 0; i < edit->card->parts->len; i++)
    {
      const AlcoveCardPart *part = g_ptr_array_index (edit->card->parts, i);
      const AlcovePciConfig *config =
          alcove_definition_find_pci_host (edit->base.definition, part->address);

      if (config != NULL)
        g_ptr_array_add (edit->names, g_strdup (config->base.name));
    }
  if (!replace_groups (edit, NULL, error))
    return FALSE;
  return edit->base.live || alcove_edit_save (&edit->base, error);
}

static void
take_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  gboolean good =
      alcove_edit_open (&edit->base, "changes its devices", &error) && remove_all (edit, &error);

  alcove_edit_step (inner, &edit->base, edit->base.live, good, error);
}

static void
save_taken_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  gboolean good = alcove_edit_save (&edit->base, &error);

  alcove_edit_step (inner, &edit->base, FALSE, good, error);
}

static void
on_taken_out (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Edit *edit = g_task_get_task_data (task);
  GError *error = NULL;

  if (!alcove_machine_finish (ALCOVE_MACHINE (source), result, &error) &&
      /* Given to it while it ran: there is nothing to take out. */
      !g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND))
    {
      alcove_edit_end (&edit->base);
      g_task_return_error (task, error);
      return;
    }
  g_clear_error (&error);
  if (edit->forget)
    {
      alcove_edit_run (task, save_taken_in_thread, alcove_edit_on_saved);
      return;
    }
  alcove_edit_end (&edit->base);
  g_task_return_boolean (task, TRUE);
}

static void
on_taken (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Edit *edit = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_error (task, error);
  else if (edit->base.live && edit->names->len > 0)
    /* One stands for its slot, and all that is in it. */
    alcove_machine_remove_pci_async (self, g_ptr_array_index (edit->names, 0), FALSE,
                                     edit->timeout_ms, g_task_get_cancellable (task), on_taken_out,
                                     g_object_ref (task));
  else
    {
      alcove_edit_end (&edit->base);
      alcove_machine_reload (self);
      g_task_return_boolean (task, TRUE);
    }
}

void
alcove_machine_take_card_async (AlcoveMachine *self,
                                AlcoveCard *card,
                                gboolean forget,
                                guint timeout_ms,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Edit *edit;

  g_task_set_source_tag (task, alcove_machine_take_card_async);
  if ((edit = edit_new (task, self, card)) == NULL)
    return;
  if (!edit->base.live && !forget)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "%s does not run: it has no card to give back",
                               alcove_machine_get_name (self));
      return;
    }
  edit->forget = forget;
  edit->timeout_ms = timeout_ms;
  alcove_edit_run (task, take_in_thread, on_taken);
}

/* ---- releasing ---- */

static GArray *
new_addresses (const AlcoveCard *card)
{
  GArray *addresses = g_array_new (FALSE, FALSE, sizeof (VfioAddress));
  GPtrArray *const lists[] = { card->parts, card->mates };

  for (guint k = 0; k < G_N_ELEMENTS (lists); k++)
    for (guint i = 0; i < lists[k]->len; i++)
      {
        const AlcoveCardPart *part = g_ptr_array_index (lists[k], i);
        VfioAddress address;

        if (vfio_address_parse (part->address, &address))
          g_array_append_val (addresses, address);
      }
  return addresses;
}

/* Only what the ledger has: mates may have been there before. */
static void
keep_taken (VfioLedger *ledger, GArray *addresses)
{
  for (guint i = addresses->len; i-- > 0;)
    {
      g_autoptr (VfioBinding) binding =
          vfio_ledger_find (ledger, g_array_index (addresses, VfioAddress, i), NULL);

      if (binding == NULL)
        g_array_remove_index (addresses, i);
    }
}

static gboolean
release_directly (GArray *addresses, GError **error)
{
  VfioBindHost host;
  gboolean good;

  if (!alcove_pci_open (TRUE, &host, error))
    return FALSE;
  good = vfio_bind_give_back (&host, (const VfioAddress *)(gpointer)addresses->data, addresses->len,
                              geteuid () == 0 ? BIND_ANY_UID : getuid (), FALSE, NULL, error);
  alcove_pci_close (&host);
  if (!good && error != NULL)
    alcove_pci_convert_error (*error);
  return good;
}

static gboolean
release_by_helper (GArray *addresses, GCancellable *cancellable, GError **error)
{
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_autoptr (GDBusConnection) bus = alcove_pci_helper_connect (NULL);
  g_autoptr (GVariant) answer = NULL;
  g_auto (GStrv) list = NULL;
  gboolean missing = bus == NULL;

  for (guint i = 0; i < addresses->len; i++)
    {
      char text[VFIO_ADDRESS_TEXT_SIZE];

      g_strv_builder_add (builder,
                          vfio_address_format (g_array_index (addresses, VfioAddress, i), text));
    }
  list = g_strv_builder_end (builder);
  if (bus != NULL)
    answer = alcove_pci_helper_call (bus, "Release", g_variant_new ("(^as)", list), cancellable,
                                     &missing, error);
  if (answer == NULL && missing)
    {
      g_clear_error (error);
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                   "Giving a device back takes root's rights, and alcove-helper is not installed: "
                   "install it, or run \"sudo alcove pci release %s\"",
                   list[0]);
    }
  return answer != NULL;
}

static void
release_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_autoptr (GArray) addresses = new_addresses (data);
  GError *error = NULL;
  VfioBindHost host;
  gboolean good = alcove_pci_open (FALSE, &host, &error), direct;

  if (good)
    {
      direct = alcove_pci_may_write (host.tree);
      keep_taken (host.ledger, addresses);
      alcove_pci_close (&host);
      good = addresses->len == 0 || (direct ? release_directly (addresses, &error)
                                            : release_by_helper (addresses, cancellable, &error));
    }
  alcove_edit_return (task, good, error);
}

void
alcove_machine_release_card_async (AlcoveMachine *self,
                                   AlcoveCard *card,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_release_card_async);
  g_task_set_task_data (task, alcove_card_ref (card), alcove_card_unref);
  g_task_run_in_thread (task, release_in_thread);
}
