/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking: what the machine has is asked on its context, the host's files are read on a thread. */
#include "app/passthrough.h"

#include <string.h>
#include <unistd.h>

#include "app/definition-pci.h"
#include "app/live-pci.h"
#include "app/lock.h"
#include "app/passthrough-starts.h"
#include "app/paths.h"
#include "app/pci-access.h"
#include "vfio/bind/bind.h"
#include "vfio/host/checks.h"

#define MIB ((guint64)1 << 20)

/* ---- the structs ---- */

static void
check_free (gpointer data)
{
  AlcoveCardCheck *check = data;

  g_free (check->id);
  g_free (check->title);
  g_free (check->text);
  g_free (check->remedy);
  g_free (check->command);
  g_free (check->undo);
  g_free (check);
}

static void
part_free (gpointer data)
{
  AlcoveCardPart *part = data;

  g_free (part->address);
  g_free (part->name);
  g_free (part->kind);
  g_free (part->driver);
  g_free (part->place);
  g_free (part->interrupts);
  g_strfreev (part->notes);
  g_free (part);
}

static void
user_free (gpointer data)
{
  AlcoveCardUser *user = data;

  g_free (user->name);
  g_free (user);
}

static void
step_free (gpointer data)
{
  AlcoveCardStep *step = data;

  g_free (step->text);
  g_free (step->undo);
  g_free (step);
}

static void
card_clear (gpointer data)
{
  AlcoveCard *card = data;

  g_free (card->id);
  g_free (card->kind);
  g_free (card->name);
  g_free (card->summary);
  g_free (card->holder);
  g_free (card->along);
  g_ptr_array_unref (card->parts);
  g_ptr_array_unref (card->mates);
  g_ptr_array_unref (card->users);
  g_ptr_array_unref (card->checks);
  g_ptr_array_unref (card->steps);
}

static AlcoveCard *
card_new (void)
{
  AlcoveCard *card = g_atomic_rc_box_new0 (AlcoveCard);

  card->parts = g_ptr_array_new_with_free_func (part_free);
  card->mates = g_ptr_array_new_with_free_func (part_free);
  card->users = g_ptr_array_new_with_free_func (user_free);
  card->checks = g_ptr_array_new_with_free_func (check_free);
  card->steps = g_ptr_array_new_with_free_func (step_free);
  return card;
}

AlcoveCard *
alcove_card_ref (AlcoveCard *card)
{
  return g_atomic_rc_box_acquire (card);
}

void
alcove_card_unref (gpointer card)
{
  g_atomic_rc_box_release_full (card, card_clear);
}

const AlcoveCardCheck *
alcove_card_find_check (const AlcoveCard *card, const char *id)
{
  for (guint i = 0; i < card->checks->len; i++)
    {
      const AlcoveCardCheck *check = g_ptr_array_index (card->checks, i);

      if (strcmp (check->id, id) == 0)
        return check;
    }
  return NULL;
}

static void
cards_clear (gpointer data)
{
  AlcoveCards *cards = data;

  g_ptr_array_unref (cards->checks);
  g_ptr_array_unref (cards->cards);
}

static AlcoveCards *
cards_new (void)
{
  AlcoveCards *cards = g_atomic_rc_box_new0 (AlcoveCards);

  cards->checks = g_ptr_array_new_with_free_func (check_free);
  cards->cards = g_ptr_array_new_with_free_func (alcove_card_unref);
  return cards;
}

AlcoveCards *
alcove_cards_ref (AlcoveCards *cards)
{
  return g_atomic_rc_box_acquire (cards);
}

void
alcove_cards_unref (gpointer cards)
{
  g_atomic_rc_box_release_full (cards, cards_clear);
}

/* ---- what the thread works on ---- */

/* Functions in machines: by address as vfio_address_format writes it. */
typedef struct
{
  char *folder, *name;
  guint64 memory; /* bytes */
  gboolean display;
  gboolean running;
  char *only;          /* (nullable) address of a part of the one card that is looked at */
  GHashTable *given;   /* (nullable) of this machine's definition; no definition: nothing is */
  GPtrArray *live;     /* (nullable) of AlcoveLivePci: the machine runs and said so */
  GHashTable *claimed; /* address -> Claim of another machine */
} Look;

typedef struct
{
  char *name;
  gboolean running;
} Claim;

static void
claim_free (gpointer data)
{
  Claim *claim = data;

  g_free (claim->name);
  g_free (claim);
}

static void
look_free (gpointer data)
{
  Look *look = data;

  g_free (look->folder);
  g_free (look->name);
  g_free (look->only);
  g_clear_pointer (&look->given, g_hash_table_unref);
  g_clear_pointer (&look->live, g_ptr_array_unref);
  g_clear_pointer (&look->claimed, g_hash_table_unref);
  g_free (look);
}

/* (transfer full) (nullable): a mediated device has none. */
static char *
dup_canonical (const char *host)
{
  char text[VFIO_ADDRESS_TEXT_SIZE];
  VfioAddress address;

  return vfio_address_parse (host, &address) ? g_strdup (vfio_address_format (address, text))
                                             : NULL;
}

static GHashTable *
new_given (AlcoveDefinition *definition)
{
  GHashTable *given = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (definition, &n);

  for (guint i = 0; i < n; i++)
    {
      char *address = dup_canonical (pcis[i]->host);

      if (address != NULL)
        g_hash_table_add (given, address);
    }
  return given;
}

static Look *
look_new (AlcoveMachine *machine)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);
  Look *look = g_new0 (Look, 1);
  guint n;

  look->folder = g_strdup (alcove_machine_get_folder (machine));
  look->name = g_strdup (alcove_machine_get_name (machine));
  look->running = alcove_machine_is_active (machine);
  look->claimed = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, claim_free);
  if (definition == NULL)
    return look;
  look->memory = alcove_definition_get_machine (definition)->memory_mib * MIB;
  look->given = new_given (definition);
  (void)alcove_definition_get_displays (definition, &n);
  look->display = n > 0;
  return look;
}

static void
claim_all (Look *look, const char *folder, AlcoveDefinition *definition)
{
  g_autoptr (GHashTable) given = new_given (definition);
  gboolean running = alcove_lock_get_runner (folder) != 0;
  const char *name = alcove_definition_get_machine (definition)->title;
  GHashTableIter iter;
  gpointer address;

  g_hash_table_iter_init (&iter, given);
  while (g_hash_table_iter_next (&iter, &address, NULL))
    {
      const Claim *before = g_hash_table_lookup (look->claimed, address);
      Claim *claim;

      if (before != NULL && before->running)
        continue;
      claim = g_new0 (Claim, 1);
      claim->name = g_strdup (name);
      claim->running = running;
      g_hash_table_replace (look->claimed, g_strdup (address), claim);
    }
}

/* What this user's other machines are given. */
static void
look_at_others (Look *look)
{
  g_autofree char *parent = alcove_paths_dup_machines ();
  g_autoptr (GDir) dir = g_dir_open (parent, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *folder = g_build_filename (parent, name, NULL);
      g_autofree char *conf = g_build_filename (folder, "machine.conf", NULL);
      g_autoptr (AlcoveDefinition) definition = NULL;

      if (name[0] == '.' || strcmp (folder, look->folder) == 0 ||
          !g_file_test (conf, G_FILE_TEST_IS_REGULAR))
        continue;
      definition = alcove_definition_load (conf, NULL);
      if (definition != NULL)
        claim_all (look, folder, definition);
    }
}

/* ---- copies of what vfio says ---- */

static void
add_check (GPtrArray *checks, const VfioCheck *from)
{
  AlcoveCardCheck *check = g_new0 (AlcoveCardCheck, 1);

  check->id = g_strdup (from->id);
  check->title = g_strdup (from->title);
  check->verdict = (AlcoveVerdict)from->severity;
  check->text = g_strdup_printf ("%s. %s.", from->fact, from->meaning);
  check->remedy = g_strdup (from->remedy);
  check->command = g_strdup (from->command);
  check->undo = g_strdup (from->undo);
  g_ptr_array_add (checks, check);
}

static void
add_part (GPtrArray *parts, const VfioFunction *function)
{
  AlcoveCardPart *part = g_new0 (AlcoveCardPart, 1);

  part->address = g_strdup (function->id);
  part->name = g_strdup (function->name);
  part->kind = g_strdup (function->class_name);
  part->driver = g_strdup (function->driver);
  part->main = function->card != NULL && function == function->card->main;
  part->group = function->group != NULL ? (int)function->group->id : -1;
  g_ptr_array_add (parts, part);
}

static gint
compare_users (gconstpointer a, gconstpointer b)
{
  const AlcoveCardUser *x = *(AlcoveCardUser *const *)a;
  const AlcoveCardUser *y = *(AlcoveCardUser *const *)b;

  return (x->pid > y->pid) - (x->pid < y->pid);
}

static void
add_users (GPtrArray *users, const VfioFunction *function)
{
  for (guint i = 0; i < function->holders->len; i++)
    {
      const VfioHolder *holder = g_ptr_array_index (function->holders, i);
      AlcoveCardUser *user;
      gboolean known = FALSE;

      for (guint k = 0; k < users->len && !known; k++)
        known = ((AlcoveCardUser *)g_ptr_array_index (users, k))->pid == holder->pid;
      if (known)
        continue;
      user = g_new0 (AlcoveCardUser, 1);
      user->pid = holder->pid;
      user->name = g_strdup (holder->name);
      g_ptr_array_add (users, user);
    }
  g_ptr_array_sort (users, compare_users);
}

/* What a start changes on the host, as the very plan says that would be applied. */
static void
add_steps (AlcoveCard *card, const VfioBindHost *host, const VfioVerdict *verdict)
{
  g_autoptr (GArray) addresses = g_array_new (FALSE, FALSE, sizeof (VfioAddress));
  const VfioBindFor whom = { .uid = getuid () };
  g_autoptr (VfioPlan) plan = NULL;

  for (guint i = 0; i < verdict->takes->len; i++)
    g_array_append_val (addresses,
                        ((VfioFunction *)g_ptr_array_index (verdict->takes, i))->address);
  if (addresses->len > 0)
    plan = vfio_plan_new_take (host, (const VfioAddress *)(gpointer)addresses->data, addresses->len,
                               &whom, NULL);
  for (guint i = 0; plan != NULL && i < plan->steps->len; i++)
    {
      const VfioStep *from = g_ptr_array_index (plan->steps, i);
      AlcoveCardStep *step = g_new0 (AlcoveCardStep, 1);

      step->text = g_strdup (from->text);
      step->undo = g_strdup (from->undo);
      g_ptr_array_add (card->steps, step);
    }
}

/* ---- where it is ---- */

/* Is it taken from the host for this user, in this boot? */
static gboolean
is_kept (const VfioBindHost *host, const VfioFunction *function, const char *boot)
{
  g_autoptr (VfioBinding) binding = NULL;

  if (host->ledger == NULL)
    return FALSE;
  binding = vfio_ledger_find (host->ledger, function->address, NULL);
  return binding != NULL && strcmp (binding->boot, boot) == 0 &&
         (binding->uid == getuid () || geteuid () == 0);
}

static void
add_live (AlcoveCardPart *part, const Look *look)
{
  const AlcoveLivePci *live =
      look->live != NULL ? alcove_live_pcis_find (look->live, part->address) : NULL;

  if (live == NULL)
    return;
  part->place = g_strdup (live->address != NULL ? live->address : "");
  part->interrupts = *live->interrupts != '\0' ? g_strdup (live->interrupts) : NULL;
  part->vectors = live->vectors;
  part->notes = g_strdupv (live->notes);
}

static void
find_place (AlcoveCard *card,
            const Look *look,
            const VfioBindHost *host,
            const VfioFunction *function,
            const char *boot)
{
  const Claim *claim = g_hash_table_lookup (look->claimed, function->id);
  const AlcoveLivePci *live =
      look->live != NULL ? alcove_live_pcis_find (look->live, function->id) : NULL;

  card->kept = card->kept || is_kept (host, function, boot);
  card->started = card->started || alcove_passthrough_starts_has (function->id);
  if (claim != NULL && card->holder == NULL)
    card->holder = g_strdup (claim->name);
  if (look->given != NULL && g_hash_table_contains (look->given, function->id))
    {
      card->given = TRUE;
      if (card->state == ALCOVE_CARD_FREE)
        card->state = look->running ? ALCOVE_CARD_LATER : ALCOVE_CARD_CHOSEN;
    }
  if (live != NULL)
    {
      card->state = live->leaving ? ALCOVE_CARD_LEAVING : ALCOVE_CARD_LIVE;
      card->asked_back = card->asked_back || live->asked_back;
    }
  else if (claim != NULL && claim->running && function->driver_vfio)
    {
      g_free (card->holder);
      card->holder = g_strdup (claim->name);
      card->state = ALCOVE_CARD_ELSEWHERE;
    }
}

static AlcoveCard *
make_card (const Look *look, const VfioBindHost *host, const VfioVerdict *verdict, const char *boot)
{
  AlcoveCard *card = card_new ();

  card->id = g_strdup (verdict->card->id);
  card->kind = g_strdup (vfio_card_kind_to_string (verdict->card->kind));
  card->name = g_strdup (verdict->card->name);
  card->verdict = (AlcoveVerdict)verdict->severity;
  card->summary = g_strdup (verdict->summary);
  card->second_start = verdict->second_start;
  for (guint i = 0; i < verdict->card->functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (verdict->card->functions, i);

      add_part (card->parts, function);
      add_live (g_ptr_array_index (card->parts, i), look);
      find_place (card, look, host, function, boot);
    }
  for (guint i = 0; i < verdict->mates->len; i++)
    add_part (card->mates, g_ptr_array_index (verdict->mates, i));
  for (guint i = 0; i < verdict->takes->len; i++)
    add_users (card->users, g_ptr_array_index (verdict->takes, i));
  for (guint i = 0; i < verdict->checks->len; i++)
    add_check (card->checks, g_ptr_array_index (verdict->checks, i));
  add_steps (card, host, verdict);
  return card;
}

static gboolean
is_out (const AlcoveCard *card)
{
  return card->state == ALCOVE_CARD_LIVE || card->state == ALCOVE_CARD_LEAVING ||
         card->state == ALCOVE_CARD_ELSEWHERE;
}

static gboolean
has_mate (const AlcoveCard *card, const AlcoveCard *other)
{
  for (guint i = 0; i < card->mates->len; i++)
    for (guint k = 0; k < other->parts->len; k++)
      if (strcmp (((AlcoveCardPart *)g_ptr_array_index (card->mates, i))->address,
                  ((AlcoveCardPart *)g_ptr_array_index (other->parts, k))->address) == 0)
        return TRUE;
  return FALSE;
}

/* What was taken only because it shares the group of a card that is out. */
static void
find_along (AlcoveCards *cards)
{
  for (guint i = 0; i < cards->cards->len; i++)
    {
      AlcoveCard *card = g_ptr_array_index (cards->cards, i);

      for (guint k = 0;
           card->kept && !is_out (card) && card->along == NULL && k < cards->cards->len; k++)
        {
          const AlcoveCard *other = g_ptr_array_index (cards->cards, k);

          if (is_out (other) && has_mate (other, card))
            card->along = g_strdup (other->name);
        }
    }
}

/* A card of the definition that the host does not have can be taken out of it. */
static void
add_missing (AlcoveCards *cards, const Look *look, const VfioInventory *inventory)
{
  GHashTableIter iter;
  gpointer text;

  if (look->given == NULL)
    return;
  g_hash_table_iter_init (&iter, look->given);
  while (g_hash_table_iter_next (&iter, &text, NULL))
    {
      AlcoveCardPart *part;
      AlcoveCard *card;
      VfioAddress address;

      if (!vfio_address_parse (text, &address) || vfio_inventory_find (inventory, address) != NULL)
        continue;
      card = card_new ();
      card->id = g_strdup (text);
      card->kind = g_strdup ("other");
      card->name = g_strdup (text);
      card->verdict = ALCOVE_VERDICT_BLOCKED;
      card->summary = g_strdup ("");
      card->given = card->missing = TRUE;
      card->state = look->running ? ALCOVE_CARD_LATER : ALCOVE_CARD_CHOSEN;
      part = g_new0 (AlcoveCardPart, 1);
      part->address = g_strdup (text);
      part->name = g_strdup (text);
      part->group = -1;
      g_ptr_array_add (card->parts, part);
      g_ptr_array_add (cards->cards, card);
    }
}

/* A virtual device that a driver of the host made. */
static void
add_mediated (AlcoveCards *cards, const Look *look, const VfioInventory *inventory)
{
  const VfioFunction *parent = NULL;
  const VfioMediated *mediated = vfio_inventory_find_mediated (inventory, look->only, &parent);
  AlcoveCardPart *part;
  AlcoveCard *card;

  if (mediated == NULL)
    return;
  card = card_new ();
  card->id = g_strdup (mediated->uuid);
  card->kind = g_strdup ("virtual");
  card->name = g_strdup_printf ("%s (%s)", mediated->type, parent->name);
  card->summary = g_strdup ("");
  part = g_new0 (AlcoveCardPart, 1);
  part->address = g_strdup (mediated->uuid);
  part->name = g_strdup (card->name);
  part->main = TRUE;
  part->group = mediated->group;
  g_ptr_array_add (card->parts, part);
  g_ptr_array_add (cards->cards, card);
}

static gboolean
has_part (const VfioCard *card, const char *address)
{
  for (guint i = 0; i < card->functions->len; i++)
    if (strcmp (((VfioFunction *)g_ptr_array_index (card->functions, i))->id, address) == 0)
      return TRUE;
  return FALSE;
}

static void
look_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Look *look = data;
  GError *error = NULL;
  VfioBindHost host;
  const VfioDemand demand = { .memory = look->memory };
  g_autoptr (VfioInventory) inventory = NULL;
  g_autoptr (VfioQuirks) quirks = NULL;
  g_autoptr (GPtrArray) platform = NULL;
  g_autofree char *boot = NULL;
  AlcoveCards *cards;

  /* A ledger that is not believed keeps nobody from looking. */
  if (!alcove_pci_open (FALSE, &host, NULL))
    host = (VfioBindHost){ .tree = vfio_tree_open_host (&error), .ops = &vfio_bind_ops_kernel };
  if (host.tree == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  boot = vfio_ledger_dup_boot (host.tree);
  inventory = vfio_inventory_new (host.tree);
  quirks = vfio_quirks_load (NULL);
  platform = vfio_checks_platform (inventory, &demand);
  look_at_others (look);
  cards = cards_new ();
  cards->isolation = inventory->platform.iommu == HOST_IOMMU_ON;
  cards->display = look->display;
  for (guint i = 0; i < platform->len; i++)
    add_check (cards->checks, g_ptr_array_index (platform, i));
  for (guint i = 0; i < inventory->cards->len && !g_cancellable_is_cancelled (cancellable); i++)
    {
      VfioCard *from = g_ptr_array_index (inventory->cards, i);
      g_autoptr (VfioVerdict) verdict = NULL;

      if (look->only != NULL ? !has_part (from, look->only) : from->kind == HOST_CARD_CHIPSET)
        continue;
      verdict = vfio_verdict_new (host.tree, inventory, quirks, &demand, from);
      g_ptr_array_add (cards->cards, make_card (look, &host, verdict, boot));
    }
  if (look->only != NULL)
    add_mediated (cards, look, inventory);
  find_along (cards);
  add_missing (cards, look, inventory);
  alcove_pci_close (&host);
  g_task_return_pointer (task, cards, alcove_cards_unref);
}

/* ---- asking ---- */

static void
on_listed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GVariant) list =
      alcove_machine_list_pci_finish (ALCOVE_MACHINE (source), result, NULL);
  Look *look = g_task_get_task_data (task);

  /* One that does not answer is on its way up or down. */
  if (list != NULL)
    look->live = alcove_live_pcis_new (list);
  g_task_run_in_thread (task, look_in_thread);
}

static void
start_look (AlcoveMachine *self, GTask *task, Look *look)
{
  g_task_set_task_data (task, look, look_free);
  if (alcove_machine_is_active (self))
    alcove_machine_list_pci_async (self, g_task_get_cancellable (task), on_listed,
                                   g_object_ref (task));
  else
    g_task_run_in_thread (task, look_in_thread);
}

void
alcove_machine_look_at_cards_async (AlcoveMachine *self,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_look_at_cards_async);
  start_look (self, task, look_new (self));
}

AlcoveCards *
alcove_machine_look_at_cards_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

void
alcove_machine_look_at_card_async (AlcoveMachine *self,
                                   const char *address,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Look *look = look_new (self);

  look->only = dup_canonical (address);
  if (look->only == NULL)
    look->only = g_strdup (address);
  g_task_set_source_tag (task, alcove_machine_look_at_card_async);
  start_look (self, task, look);
}

AlcoveCard *
alcove_machine_look_at_card_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  const Look *look = g_task_get_task_data (G_TASK (result));
  g_autoptr (AlcoveCards) cards = g_task_propagate_pointer (G_TASK (result), error);

  for (guint i = 0; cards != NULL && i < cards->cards->len; i++)
    {
      AlcoveCard *card = g_ptr_array_index (cards->cards, i);

      if (!card->missing)
        return alcove_card_ref (card);
    }
  if (cards != NULL)
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                 "This host has no %s %s; \"alcove pci list\" shows what it has",
                 g_uuid_string_is_valid (look->only) ? "virtual device" : "PCI device", look->only);
  return NULL;
}

/* ---- before a start ---- */

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  g_autoptr (AlcoveCards) cards =
      alcove_machine_look_at_cards_finish (ALCOVE_MACHINE (source), result, &error);

  if (cards == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  for (guint i = 0; i < cards->cards->len; i++)
    {
      AlcoveCard *card = g_ptr_array_index (cards->cards, i);

      if (card->given && card->second_start && card->started)
        {
          g_task_return_pointer (task, alcove_card_ref (card), alcove_card_unref);
          return;
        }
    }
  g_task_return_pointer (task, NULL, NULL);
}

void
alcove_machine_find_risky_card_async (AlcoveMachine *self,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  AlcoveDefinition *definition = alcove_machine_get_definition (self);
  guint n = 0;
  const AlcovePciConfig *const *pcis =
      definition != NULL ? alcove_definition_get_pcis (definition, &n) : NULL;
  gboolean started = FALSE;

  g_task_set_source_tag (task, alcove_machine_find_risky_card_async);
  for (guint i = 0; i < n && !started; i++)
    started = alcove_passthrough_starts_has (pcis[i]->host);
  if (started)
    alcove_machine_look_at_cards_async (self, cancellable, on_looked, g_object_ref (task));
  else
    g_task_return_pointer (task, NULL, NULL);
}

AlcoveCard *
alcove_machine_find_risky_card_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}
