/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cards are got from the host before their functions are opened, and given back when they are closed:
 * a card at a time, so that one that is taken out of the running guest is the host's again. */
#include <stdio.h>
#include <unistd.h>

#include "app/definition-pci.h"
#include "app/passthrough-binding.h"
#include "app/runner/passthrough-private.h"
#include "vfio/bind/bind.h"

#define MEMLOCK_SLACK (G_GUINT64_CONSTANT (64) << 20) /* firmware, and what else is locked */

/* What was got for one slot of the guest. */
typedef struct
{
  AlcovePciAddress address;
  AlcoveBinding *binding;
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

/* Ready as they are: nothing has to be looked for. */
static gboolean
are_ready (VfioTree *tree, GArray *set)
{
  for (guint i = 0; i < set->len; i++)
    {
      VfioAddress address = g_array_index (set, VfioAddress, i);
      char id[VFIO_ADDRESS_TEXT_SIZE];
      g_autofree char *link =
          g_strdup_printf ("/sys/bus/pci/devices/%s/driver", vfio_address_format (address, id));
      g_autofree char *driver = vfio_tree_read_link_name (tree, link);
      g_autofree char *node = g_strdup_printf ("%s/dev/vfio/%d", vfio_tree_get_root (tree),
                                               vfio_bind_get_group (tree, address));

      if (g_strcmp0 (driver, "vfio-pci") != 0 || access (node, R_OK | W_OK) != 0)
        return FALSE;
    }
  return TRUE;
}

/* With what must go along: the rest of the card, mates of the group. (transfer full) */
static GStrv
find_set (GArray *set, gboolean *ret_ready, GError **error)
{
  g_autoptr (VfioTree) tree = vfio_tree_open_host (error);
  g_autoptr (GArray) whole = NULL;
  GStrv names;

  if (tree == NULL)
    return NULL;
  *ret_ready = are_ready (tree, set);
  if (*ret_ready)
    whole = g_array_ref (set);
  else
    {
      g_autoptr (VfioInventory) inventory = vfio_inventory_new (tree);

      whole = vfio_bind_complete (inventory, (VfioAddress *)(gpointer)set->data, set->len, error);
    }
  if (whole == NULL)
    return NULL;
  names = g_new0 (char *, whole->len + 1);
  for (guint i = 0; i < whole->len; i++)
    names[i] = vfio_address_to_string (g_array_index (whole, VfioAddress, i));
  return names;
}

gboolean
runner_passthrough_get_card (RunnerMachine *self, const AlcovePciConfig *config, GError **error)
{
  const AlcovePciAddress *at = &config->base.address;
  g_autoptr (GArray) set = find_functions (self, at);
  g_auto (GStrv) names = NULL;
  guint64 memlock =
      (alcove_definition_get_machine (self->definition)->memory_mib << 20) + MEMLOCK_SLACK;
  RunnerCard card = { *at, NULL };
  g_autoptr (GError) problem = NULL;
  gboolean ready = FALSE;

  for (guint i = 0; i < self->cards->len; i++)
    {
      const RunnerCard *other = &g_array_index (self->cards, RunnerCard, i);

      if (other->address.bus == at->bus && other->address.slot == at->slot)
        return TRUE;
    }
  if (set->len == 0)
    return TRUE;
  names = find_set (set, &ready, &problem);
  if (names != NULL)
    card.binding = alcove_binding_prepare ((const char *const *)names, memlock, &problem);
  /* What is ready can be tried: where the limit on locked memory is too low, that is said then. */
  if (card.binding == NULL && ready)
    return TRUE;
  if (card.binding == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&problem));
      g_prefix_error (error, "[pci %s]: ", config->base.name);
      return FALSE;
    }
  g_array_append_val (self->cards, card);
  return TRUE;
}

/* The end of this process gives it back too, or alcove pci release: what is told is why it was not
 * now. */
static void
give_back (RunnerCard *card)
{
  g_autoptr (GError) error = NULL;

  if (!alcove_binding_give_back (card->binding, &error))
    fprintf (stderr, "alcove-vmm: %s\n", error->message);
  alcove_binding_free (card->binding);
}

void
runner_passthrough_give_back (RunnerMachine *self, guint bus)
{
  for (guint i = self->cards->len; i-- > 0;)
    {
      RunnerCard *card = &g_array_index (self->cards, RunnerCard, i);

      if (card->address.bus != bus)
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
