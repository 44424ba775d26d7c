/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cards that come and go. A slot is one thing to the guest: all functions come before it is told, and
 * all go when it lets go of the slot. */
#include <string.h>

#include "app/definition-pci.h"
#include "app/runner/passthrough-private.h"
#include "devices/board/root-port.h"

#define HELD_MS 200 /* how often a hold is looked at */

/* A slot that the guest was asked to release. */
typedef struct
{
  gint ref_count; /* atomic: the list, and an idle source under way */
  RunnerMachine *machine;
  guint bus;
  char *name; /* of the function that was named */
  PciDevice *port;
  guint timer;
  RunnerRemoveFunc done;
  gpointer user_data;
} CardEject;

static void
eject_unref (gpointer data)
{
  CardEject *eject = data;

  if (!g_atomic_int_dec_and_test (&eject->ref_count))
    return;
  g_free (eject->name);
  g_free (eject);
}

static CardEject *
find_eject (RunnerMachine *self, guint bus)
{
  for (guint i = 0; i < self->card_ejects->len; i++)
    {
      CardEject *eject = g_ptr_array_index (self->card_ejects, i);

      if (eject->bus == bus)
        return eject;
    }
  return NULL;
}

gboolean
runner_passthrough_is_leaving (RunnerMachine *self, const RunnerPci *pci)
{
  return pci->address.bus != 0 && find_eject (self, pci->address.bus) != NULL;
}

/* ---- in ---- */

static gboolean
check_slot (RunnerMachine *self, const AlcovePciConfig *config, GError **error)
{
  PciBus *bus = q35_board_get_port_bus (self->board, config->base.address.bus - 1u);

  for (guint function = 0; bus != NULL && function < 8; function++)
    if (pci_bus_find (bus, PCI_MAKE_DEVFN (0, function)) != NULL)
      {
        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                     "[pci %s]: the guest works with another function of this card already: detach "
                     "the card, and attach all its functions together",
                     config->base.name);
        return FALSE;
      }
  return TRUE;
}

static gboolean
is_occupied (RunnerMachine *self, guint bus)
{
  for (guint i = 0; i < self->pcis->len; i++)
    if (((RunnerPci *)g_ptr_array_index (self->pcis, i))->address.bus == bus)
      return TRUE;
  return FALSE;
}

static void
take_back (RunnerMachine *self, GPtrArray *names)
{
  guint bus = 0;

  for (guint i = names->len; i-- > 0;)
    {
      const char *name = g_ptr_array_index (names, i);
      const AlcovePciConfig *config = alcove_definition_find_pci (self->definition, name);
      RunnerPci *pci = runner_passthrough_find (self, name);

      if (config != NULL)
        bus = config->base.address.bus;
      if (pci != NULL)
        {
          runner_passthrough_forget_graphics (self, pci->device);
          vmm_device_unrealize (pci->device);
          vmm_device_free (pci->device);
          g_ptr_array_remove (self->pcis, pci);
        }
      (void)alcove_definition_remove_pci (self->definition, name, NULL);
    }
  if (bus != 0 && !is_occupied (self, bus))
    runner_passthrough_give_back (self, bus);
}

/* Those with other numbers first: with function 0 the guest sees the card. */
static gboolean
make_functions (RunnerMachine *self, GPtrArray *names, GError **error)
{
  for (guint pass = 0; pass < 2; pass++)
    for (guint i = 0; i < names->len; i++)
      {
        const AlcovePciConfig *config =
            alcove_definition_find_pci (self->definition, g_ptr_array_index (names, i));

        if ((config->base.address.function == 0) != (pass == 1))
          continue;
        if (runner_passthrough_make (self, config, error) == NULL)
          return FALSE;
      }
  return TRUE;
}

/* Into the definition, which finds a slot where none is given. names: those that were. */
static gboolean
add_groups (RunnerMachine *self, const char *const *groups, GPtrArray *names, GError **error)
{
  if (groups[0] == NULL)
    {
      g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                           "No device is named: give a [pci NAME] group");
      return FALSE;
    }
  for (guint i = 0; groups[i] != NULL; i++)
    {
      char *name = alcove_definition_add_pci (self->definition, groups[i], TRUE, error);

      if (name == NULL)
        return FALSE;
      g_ptr_array_add (names, name);
      if (!check_slot (self, alcove_definition_find_pci (self->definition, name), error))
        return FALSE;
      if (alcove_definition_find_pci (self->definition, name)->base.address.bus !=
          alcove_definition_find_pci (self->definition, g_ptr_array_index (names, 0))
              ->base.address.bus)
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                       "[pci %s] belongs to another card: attach one card after the other", name);
          return FALSE;
        }
    }
  return TRUE;
}

static const AlcovePciAddress *
get_address (RunnerMachine *self, const char *name)
{
  return &alcove_definition_find_pci (self->definition, name)->base.address;
}

gboolean
runner_passthrough_check (RunnerMachine *self,
                          const char *const *groups,
                          GPtrArray **ret_names,
                          RunnerWanted *ret_wanted,
                          GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  gboolean ok = add_groups (self, groups, names, error);

  if (ok && !runner_passthrough_find_wanted (self, get_address (self, g_ptr_array_index (names, 0)),
                                             ret_wanted, error))
    {
      g_prefix_error (error, "[pci %s]: ", (char *)g_ptr_array_index (names, 0));
      ok = FALSE;
    }
  /* The slot is not kept: what comes meanwhile may have it. */
  take_back (self, names);
  *ret_names = ok ? g_steal_pointer (&names) : NULL;
  return ok;
}

GStrv
runner_passthrough_plug (RunnerMachine *self,
                         const char *const *groups,
                         AlcoveBinding **binding,
                         GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) results = g_ptr_array_new_with_free_func (g_free);
  gboolean ok = add_groups (self, groups, names, error);

  if (ok)
    runner_passthrough_take_card (self, get_address (self, g_ptr_array_index (names, 0)),
                                  g_steal_pointer (binding));
  ok = ok && make_functions (self, names, error) && runner_passthrough_check_space (self, error);
  if (!ok)
    {
      take_back (self, names);
      return NULL;
    }
  for (guint i = 0; i < names->len; i++)
    {
      RunnerPci *pci = runner_passthrough_find (self, g_ptr_array_index (names, i));

      pci->device->ops->reset (pci->device, VMM_RESET_COLD);
      runner_passthrough_miss_graphics (pci);
      if (pci->address.function == 0)
        pci_device_announce ((PciDevice *)pci->device);
      g_ptr_array_add (results, alcove_definition_dup_pci_group (self->definition, pci->name));
    }
  g_ptr_array_add (results, NULL);
  runner_passthrough_mark_changed (self);
  return (GStrv)g_ptr_array_free (g_steal_pointer (&results), FALSE);
}

/* ---- out ---- */

/* The card goes now, whatever the guest does with it: function 0 last, so that the slot is told empty
 * once. */
static void
take_out (RunnerMachine *self, guint bus)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  PciDevice *port =
      q35_board_find_port (self->board, q35_board_get_port_bus (self->board, bus - 1u));

  for (guint i = 0; i < self->pcis->len; i++)
    {
      RunnerPci *pci = g_ptr_array_index (self->pcis, i);

      if (pci->address.bus != bus)
        continue;
      q35_board_remove_boot_device (self->board, pci->device);
      /* take_back goes from the end. */
      g_ptr_array_insert (names, pci->address.function == 0 ? 0 : -1, g_strdup (pci->name));
    }
  take_back (self, names);
  if (port != NULL)
    pcie_root_port_set_link (port, 1, 1);
  runner_passthrough_mark_changed (self);
}

/* error: (transfer full) (nullable). */
static void
end_eject (CardEject *eject, GError *error)
{
  g_autoptr (GError) owned = error;
  RunnerMachine *self = eject->machine;

  pcie_root_port_cancel_eject (eject->port);
  g_clear_handle_id (&eject->timer, g_source_remove);
  g_ptr_array_remove (self->card_ejects, eject);
  eject->machine = NULL; /* an idle source may come yet */
  eject->done (owned, eject->user_data);
  eject_unref (eject);
  runner_passthrough_mark_changed (self);
}

static gboolean
on_released (gpointer user_data)
{
  CardEject *eject = user_data;
  RunnerMachine *self = eject->machine;

  if (self == NULL)
    return G_SOURCE_REMOVE;
  g_clear_handle_id (&eject->timer, g_source_remove);
  if (runner_hotplug_is_held (self))
    {
      g_atomic_int_inc (&eject->ref_count);
      g_timeout_add_full (G_PRIORITY_DEFAULT, HELD_MS, on_released, eject, eject_unref);
      return G_SOURCE_REMOVE;
    }
  take_out (self, eject->bus);
  end_eject (eject, NULL);
  return G_SOURCE_REMOVE;
}

/* Any thread, the PCI lock held. */
static void
released (gpointer user_data)
{
  CardEject *eject = user_data;

  g_atomic_int_inc (&eject->ref_count);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_released, eject, eject_unref);
}

static gboolean
on_late (gpointer user_data)
{
  CardEject *eject = user_data;

  eject->timer = 0;
  end_eject (eject,
             g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                          "The guest did not release “%s” in time; it keeps it. End what uses it "
                          "in the guest and try again, or force the removal",
                          eject->name));
  return G_SOURCE_REMOVE;
}

/* The slot, when its guest can be asked. */
static PciDevice *
find_slot (RunnerMachine *self, const RunnerPci *pci, gboolean force, GError **error)
{
  PciDevice *port =
      q35_board_find_port (self->board, pci_device_get_bus ((PciDevice *)pci->device));

  if (port == NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                   "“%s” does not sit in a slot for hot-plug, so the guest cannot release it while "
                   "it runs: stop the machine first",
                   pci->name);
      return NULL;
    }
  if (!force && vmm_vm_get_state (self->vm) != VMM_STATE_RUNNING)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                   "The machine is not running, so its guest cannot release “%s”: resume it first",
                   pci->name);
      return NULL;
    }
  return port;
}

void
runner_passthrough_remove (RunnerMachine *self,
                           const char *name,
                           gboolean force,
                           guint timeout_ms,
                           RunnerRemoveFunc done,
                           gpointer user_data)
{
  RunnerPci *pci = runner_passthrough_find (self, name);
  CardEject *eject = pci != NULL ? find_eject (self, pci->address.bus) : NULL;
  g_autoptr (GError) error = NULL;
  PciDevice *port;

  if (pci == NULL && runner_passthrough_cancel_add (self, name, done, user_data))
    return;
  if (pci == NULL)
    g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                 "The running machine has no device “%s” of the host", name);
  else if (eject != NULL && !force)
    g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                 "The guest was asked to release “%s” a moment ago: wait, or force the removal",
                 name);
  else if ((port = find_slot (self, pci, force, &error)) == NULL)
    ;
  else if (force)
    {
      take_out (self, pci->address.bus);
      if (eject != NULL)
        end_eject (eject, NULL);
    }
  else
    {
      guint bus = pci->address.bus;

      eject = g_new0 (CardEject, 1);
      *eject = (CardEject){ 1, self, bus, g_strdup (name), port, 0, done, user_data };
      if (pcie_root_port_is_heard (port) && pcie_root_port_request_eject (port, released, eject))
        {
          g_ptr_array_add (self->card_ejects, eject);
          eject->timer = g_timeout_add (timeout_ms, on_late, eject);
          runner_passthrough_mark_changed (self);
          return;
        }
      eject_unref (eject);
      /* Power off: a driver let go of it before. */
      if (pcie_root_port_is_off (port))
        take_out (self, bus);
      else
        g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                     "No driver of the guest listens to the slot of “%s” (is it still starting?): "
                     "try again later, or force the removal",
                     name);
    }
  done (error, user_data);
}

/* ---- the host wants it back ---- */

/* The kernel asks again, so a refusal now is no end. */
static void
on_given_back (const GError *error, gpointer user_data)
{
}

/* The first function that is wanted; with it goes its whole slot. */
static RunnerPci *
take_wanted (RunnerMachine *self)
{
  for (guint i = 0; i < self->pcis->len; i++)
    {
      RunnerPci *pci = g_ptr_array_index (self->pcis, i);

      if (g_atomic_int_compare_and_exchange (&pci->wanted, 1, 0))
        return pci;
    }
  return NULL;
}

static gboolean
on_wanted (gpointer user_data)
{
  RunnerMachine *self = user_data;
  RunnerPci *pci;

  while ((pci = take_wanted (self)) != NULL)
    if (!runner_passthrough_is_leaving (self, pci))
      runner_passthrough_remove (self, pci->name, FALSE, RUNNER_EJECT_MS, on_given_back, NULL);
  runner_passthrough_mark_changed (self);
  return G_SOURCE_REMOVE;
}

void
runner_passthrough_on_requested (gpointer data)
{
  RunnerPci *pci = data;

  g_atomic_int_set (&pci->asked_back, 1);
  if (g_atomic_int_compare_and_exchange (&pci->wanted, 0, 1))
    g_idle_add_full (G_PRIORITY_DEFAULT, on_wanted, pci->machine, NULL);
}

void
runner_passthrough_forget_requests (RunnerMachine *self)
{
  while (g_source_remove_by_user_data (self))
    ;
}

void
runner_passthrough_cancel_all (RunnerMachine *self)
{
  runner_passthrough_close_adds (self);
  while (self->card_ejects->len > 0)
    end_eject (g_ptr_array_index (self->card_ejects, 0),
               g_error_new_literal (ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                                    "The machine stopped before its guest released the device"));
}
