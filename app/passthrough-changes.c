/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Changes: the definition is loaded and edited on a thread, a machine that runs is asked, and then the
 * file is written. */
#include "app/passthrough.h"

#include <string.h>
#include <unistd.h>

#include "app/conf-file.h"
#include "app/definition-pci.h"
#include "app/lock.h"
#include "app/passthrough-starts.h"
#include "app/pci-access.h"
#include "vfio/bind/bind.h"

typedef struct
{
  char *folder, *conf;
  gboolean live; /* the machine runs */
  AlcoveCard *card;
  AlcoveDefinition *definition; /* edited, not saved yet */
  GPtrArray *names;             /* of its [pci NAME] groups */
  gboolean forget;
  guint timeout_ms;
  GStrv answer; /* (nullable) the groups as the machine wants them */
} Edit;

static void
edit_free (gpointer data)
{
  Edit *edit = data;

  g_free (edit->folder);
  g_free (edit->conf);
  alcove_card_unref (edit->card);
  g_clear_object (&edit->definition);
  g_ptr_array_unref (edit->names);
  g_strfreev (edit->answer);
  g_free (edit);
}

/* (nullable): the task has its error. */
static Edit *
edit_new (GTask *task, AlcoveMachine *self, AlcoveCard *card)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (self);
  Edit *edit;

  if (definition == NULL)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s",
                               alcove_machine_get_error (self));
      return NULL;
    }
  if (alcove_machine_get_state (self) == ALCOVE_MACHINE_SAVED)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "%s is saved, and goes on with the devices that it has: start it, "
                               "or discard the saved state first",
                               alcove_machine_get_name (self));
      return NULL;
    }
  edit = g_new0 (Edit, 1);
  edit->folder = g_strdup (alcove_machine_get_folder (self));
  edit->conf = g_strdup (alcove_definition_get_path (definition));
  edit->live = alcove_machine_is_active (self);
  edit->card = alcove_card_ref (card);
  edit->names = g_ptr_array_new_with_free_func (g_free);
  g_task_set_task_data (task, edit, edit_free);
  g_task_set_check_cancellable (task, FALSE);
  return edit;
}

/* The lock is for a machine that is off, so that it stays so. */
static gboolean
open_definition (Edit *edit, AlcoveLock **ret_lock, GError **error)
{
  *ret_lock = edit->live ? NULL : alcove_lock_acquire (edit->folder, "changes its devices", error);
  if (!edit->live && *ret_lock == NULL)
    return FALSE;
  edit->definition = alcove_definition_load (edit->conf, error);
  return edit->definition != NULL;
}

static void
return_result (GTask *task, gboolean good, GError *error)
{
  if (good)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* Runs func on a thread; callback gets the task, and ends it. */
static void
run_step (GTask *task, GTaskThreadFunc func, GAsyncReadyCallback callback)
{
  g_autoptr (GTask) inner =
      g_task_new (g_task_get_source_object (task), NULL, callback, g_object_ref (task));

  g_task_set_task_data (inner, g_task_get_task_data (task), NULL);
  g_task_run_in_thread (inner, func);
}

/* The last step of each. */
static void
on_saved (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  gboolean good = g_task_propagate_boolean (G_TASK (result), &error);

  alcove_machine_reload (ALCOVE_MACHINE (source));
  return_result (task, good, error);
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
  g_autoptr (AlcoveConfFile) file = alcove_definition_dup_conf (edit->definition);

  for (guint i = 0; i < edit->names->len; i++)
    {
      g_autofree char *group =
          g_strconcat ("pci ", (const char *)g_ptr_array_index (edit->names, i), NULL);

      alcove_conf_file_remove_group (file, group);
    }
  for (; groups != NULL && *groups != NULL; groups++)
    if (!copy_group (file, *groups, error))
      return FALSE;
  return alcove_definition_take_conf (edit->definition, g_steal_pointer (&file), error);
}

/* ---- giving ---- */

/* "gpu", "gpu2", ... for the card; its other parts are "gpu.1", ...: as alcove pci attach has it. */
static char *
dup_free_name (AlcoveDefinition *definition, const AlcoveCard *card)
{
  const char *word = strcmp (card->kind, "graphics") == 0       ? "gpu"
                     : alcove_device_name_is_valid (card->kind) ? card->kind
                                                                : "card";

  for (guint i = 1;; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup (word) : g_strdup_printf ("%s%u", word, i);

      if (alcove_definition_find_pci (definition, name) == NULL)
        return g_steal_pointer (&name);
    }
}

static gboolean
add_part (Edit *edit, const char *base, const AlcoveCardPart *part, GError **error)
{
  VfioAddress address = { 0 };
  g_autofree char *name = NULL;
  g_autofree char *text = NULL;
  char *added;

  (void)vfio_address_parse (part->address, &address);
  name = part->main ? g_strdup (base) : g_strdup_printf ("%s.%u", base, address.function);
  text = g_strdup_printf ("[pci %s]\nhost=%s\n", name, part->address);
  added = alcove_definition_add_pci (edit->definition, text, edit->live, error);
  if (added != NULL)
    g_ptr_array_add (edit->names, added);
  return added != NULL;
}

static gboolean
add_all (Edit *edit, GError **error)
{
  g_autofree char *base = dup_free_name (edit->definition, edit->card);

  for (guint i = 0; i < edit->card->parts->len; i++)
    {
      const AlcoveCardPart *part = g_ptr_array_index (edit->card->parts, i);
      const AlcovePciConfig *config =
          alcove_definition_find_pci_host (edit->definition, part->address);

      if (config != NULL)
        g_ptr_array_add (edit->names, g_strdup (config->base.name));
      else if (!add_part (edit, base, part, error))
        return FALSE;
    }
  return edit->live || (alcove_definition_assign (edit->definition, error) &&
                        alcove_definition_save (edit->definition, error));
}

static void
give_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  g_autoptr (AlcoveLock) lock = NULL;
  gboolean good = open_definition (edit, &lock, &error) && add_all (edit, &error);

  return_result (inner, good, error);
}

/* The machine may have chosen places. */
static void
save_given_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  gboolean good = replace_groups (edit, (const char *const *)edit->answer, &error);

  return_result (inner, good && alcove_definition_save (edit->definition, &error), error);
}

static void
on_plugged (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Edit *edit = g_task_get_task_data (task);
  GError *error = NULL;

  edit->answer = alcove_machine_add_pci_finish (ALCOVE_MACHINE (source), result, &error);
  if (edit->answer == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  for (guint i = 0; i < edit->card->parts->len; i++)
    {
      const AlcoveCardPart *part = g_ptr_array_index (edit->card->parts, i);
      const char *const hosts[] = { part->address, NULL };

      alcove_passthrough_starts_add (NULL, hosts);
    }
  run_step (task, save_given_in_thread, on_saved);
}

static void
on_given (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Edit *edit = g_task_get_task_data (task);
  g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
  g_auto (GStrv) groups = NULL;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if (!edit->live)
    {
      alcove_machine_reload (self);
      g_task_return_boolean (task, TRUE);
      return;
    }
  for (guint i = 0; i < edit->names->len; i++)
    {
      g_autofree char *group =
          alcove_definition_dup_pci_group (edit->definition, g_ptr_array_index (edit->names, i));

      g_strv_builder_add (builder, group);
    }
  groups = g_strv_builder_end (builder);
  alcove_machine_add_pci_async (self, (const char *const *)groups, g_task_get_cancellable (task),
                                on_plugged, g_object_ref (task));
}

void
alcove_machine_give_card_async (AlcoveMachine *self,
                                AlcoveCard *card,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_give_card_async);
  if (edit_new (task, self, card) != NULL)
    run_step (task, give_in_thread, on_given);
}

/* ---- taking ---- */

static gboolean
remove_all (Edit *edit, GError **error)
{
  for (guint i = 0; i < edit->card->parts->len; i++)
    {
      const AlcoveCardPart *part = g_ptr_array_index (edit->card->parts, i);
      const AlcovePciConfig *config =
          alcove_definition_find_pci_host (edit->definition, part->address);

      if (config != NULL)
        g_ptr_array_add (edit->names, g_strdup (config->base.name));
    }
  if (!replace_groups (edit, NULL, error))
    return FALSE;
  return edit->live || alcove_definition_save (edit->definition, error);
}

static void
take_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  g_autoptr (AlcoveLock) lock = NULL;
  gboolean good = open_definition (edit, &lock, &error) && remove_all (edit, &error);

  return_result (inner, good, error);
}

static void
save_taken_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;

  return_result (inner, alcove_definition_save (edit->definition, &error), error);
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
      g_task_return_error (task, error);
      return;
    }
  g_clear_error (&error);
  if (edit->forget)
    run_step (task, save_taken_in_thread, on_saved);
  else
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
  else if (edit->live && edit->names->len > 0)
    /* One stands for its slot, and all that is in it. */
    alcove_machine_remove_pci_async (self, g_ptr_array_index (edit->names, 0), FALSE,
                                     edit->timeout_ms, g_task_get_cancellable (task), on_taken_out,
                                     g_object_ref (task));
  else
    {
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
  if (!edit->live && !forget)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "%s does not run: it has no card to give back",
                               alcove_machine_get_name (self));
      return;
    }
  edit->forget = forget;
  edit->timeout_ms = timeout_ms;
  run_step (task, take_in_thread, on_taken);
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
  return_result (task, good, error);
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
