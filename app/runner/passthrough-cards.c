/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cards are got from the host before their functions are opened, and given back when they are closed:
 * a card at a time, so that one that is taken out of the running guest is the host's again. */
#include <stdio.h>

#include "app/definition-pci.h"
#include "app/passthrough-binding.h"
#include "app/runner/passthrough-private.h"
#include "vfio/bind/bind.h"

#define MEMLOCK_SLACK (G_GUINT64_CONSTANT (64) << 20) /* firmware, and what else is locked */

/* What was got for one slot of the guest, mates of its group with it. */
typedef struct
{
  AlcovePciAddress address;
  AlcoveBinding *binding; /* (nullable): it was ready, and not ours to give back */
  gboolean left;          /* the slot is empty; a mate that came along may sit in another */
} RunnerCard;

/* The functions of the definition in this slot, as the kernel writes them; mediated devices are made,
 * not taken. (transfer full): of VfioAddress. */
static GArray *
find_functions (RunnerMachine *self, const AlcovePciAddress *at)
{
  GArray *set = g_array_new (FALSE, FALSE, sizeof (VfioAddress));
  guint n;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (self->definition, &n);

  for (guint i = 0; i < n; i++)
    {
      VfioAddress address;

      if (pcis[i]->base.address.bus == at->bus && pcis[i]->base.address.slot == at->slot &&
          vfio_address_parse (pcis[i]->host, &address))
        g_array_append_val (set, address);
    }
  return set;
}

static gboolean
are_ready (VfioTree *tree, GArray *set)
{
  for (guint i = 0; i < set->len; i++)
    if (!vfio_bind_is_ready (tree, g_array_index (set, VfioAddress, i)))
      return FALSE;
  return TRUE;
}

/* With what must go along: the rest of the card, mates of the group. What is ready as it is needs
 * nothing looked for. */
static gboolean
find_set (GArray *set, RunnerWanted *ret, GError **error)
{
  g_autoptr (VfioTree) tree = vfio_tree_open_host (error);
  g_autoptr (GArray) whole = NULL;

  if (tree == NULL)
    return FALSE;
  ret->ready = are_ready (tree, set);
  if (ret->ready)
    whole = g_array_ref (set);
  else
    {
      g_autoptr (VfioInventory) inventory = vfio_inventory_new (tree);

      whole = vfio_bind_complete (inventory, (VfioAddress *)(gpointer)set->data, set->len, error);
    }
  if (whole == NULL)
    return FALSE;
  ret->hosts = g_new0 (char *, whole->len + 1);
  for (guint i = 0; i < whole->len; i++)
    ret->hosts[i] = vfio_address_to_string (g_array_index (whole, VfioAddress, i));
  return TRUE;
}

gboolean
runner_passthrough_find_wanted (RunnerMachine *self,
                                const AlcovePciAddress *at,
                                RunnerWanted *ret,
                                GError **error)
{
  g_autoptr (GArray) set = find_functions (self, at);

  *ret = (RunnerWanted){ 0 };
  ret->memlock =
      (alcove_definition_get_machine (self->definition)->memory_mib << 20) + MEMLOCK_SLACK;
  return set->len == 0 || find_set (set, ret, error);
}

void
runner_passthrough_take_card (RunnerMachine *self,
                              const AlcovePciAddress *at,
                              AlcoveBinding *binding)
{
  RunnerCard card = { .address = *at, .binding = binding };

  g_array_append_val (self->cards, card);
}

gboolean
runner_passthrough_get_card (RunnerMachine *self, const AlcovePciConfig *config, GError **error)
{
  const AlcovePciAddress *at = &config->base.address;
  g_autoptr (GError) problem = NULL;
  RunnerWanted wanted;
  AlcoveBinding *binding = NULL;
  gboolean found;

  for (guint i = 0; i < self->cards->len; i++)
    {
      const RunnerCard *other = &g_array_index (self->cards, RunnerCard, i);

      if (!other->left && other->address.bus == at->bus && other->address.slot == at->slot)
        return TRUE;
    }
  found = runner_passthrough_find_wanted (self, at, &wanted, &problem);
  if (found && wanted.hosts == NULL)
    return TRUE;
  if (found)
    binding = alcove_binding_prepare ((const char *const *)wanted.hosts, wanted.memlock, &problem);
  g_strfreev (wanted.hosts);
  /* What is ready can be tried: where the limit on locked memory is too low, that is said then. */
  if (binding == NULL && wanted.ready)
    return TRUE;
  if (binding == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      g_prefix_error (error, "[pci %s]: ", config->base.name);
      return FALSE;
    }
  runner_passthrough_take_card (self, at, binding);
  return TRUE;
}

/* The end of this process gives it back too, or alcove pci release: what is told is why it was not
 * now. */
static void
give_back (RunnerCard *card)
{
  g_autoptr (GError) error = NULL;

  if (card->binding != NULL && !alcove_binding_give_back (card->binding, &error))
    fprintf (stderr, "alcove-vmm: %s\n", error->message);
  alcove_binding_free (card->binding);
}

/* A mate that was got along with another card, and was given to the guest too. */
static gboolean
is_in_use (RunnerMachine *self, const RunnerCard *card)
{
  for (guint i = 0; i < self->pcis->len; i++)
    if (card->binding != NULL &&
        alcove_binding_has (card->binding, ((RunnerPci *)g_ptr_array_index (self->pcis, i))->host))
      return TRUE;
  return FALSE;
}

void
runner_passthrough_give_back (RunnerMachine *self, guint bus)
{
  for (guint i = self->cards->len; i-- > 0;)
    {
      RunnerCard *card = &g_array_index (self->cards, RunnerCard, i);

      card->left = card->left || card->address.bus == bus;
      if (!card->left || is_in_use (self, card))
        continue;
      give_back (card);
      g_array_remove_index (self->cards, i);
    }
}

void
runner_passthrough_init_cards (RunnerMachine *self)
{
  self->cards = g_array_new (FALSE, FALSE, sizeof (RunnerCard));
}

void
runner_passthrough_finish_cards (RunnerMachine *self)
{
  while (self->cards->len > 0)
    {
      give_back (&g_array_index (self->cards, RunnerCard, self->cards->len - 1));
      g_array_set_size (self->cards, self->cards->len - 1);
    }
  g_array_unref (self->cards);
}
