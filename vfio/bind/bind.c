/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transactions: under the ledger's lock, all that is known is read again. */
#include "vfio/bind/bind.h"

#include <string.h>

#include "vfio/bind/bind-private.h"
#include "vmm/error.h"

gboolean
vfio_bind_take (const VfioBindHost *host,
                const VfioAddress *addresses,
                guint n_addresses,
                const VfioBindFor *whom,
                gboolean dry_run,
                VfioPlan **ret_plan,
                GError **error)
{
  g_autoptr (VfioPlan) plan = NULL;
  gboolean ok;

  if (!dry_run && !vfio_ledger_lock (host->ledger, error))
    return FALSE;
  ok = vfio_bind_check (host, addresses, n_addresses, whom, error);
  if (ok)
    {
      plan = vfio_plan_new_take (host, addresses, n_addresses, whom, error);
      ok = plan != NULL && (dry_run || vfio_plan_apply (host, plan, error));
    }
  vfio_ledger_unlock (host->ledger);
  if (ok && ret_plan != NULL)
    *ret_plan = g_steal_pointer (&plan);
  return ok;
}

static gboolean
is_wanted (const VfioBinding *binding, const VfioAddress *addresses, guint n)
{
  for (guint i = 0; i < n; i++)
    if (vfio_address_compare (addresses[i], binding->address) == 0)
      return TRUE;
  return n == 0;
}

/* Every address that was named must be in the ledger, and be this user's. */
static gboolean
check_named (
    const VfioBindHost *host, const VfioAddress *addresses, guint n, guint32 uid, GError **error)
{
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) problem = NULL;
      g_autoptr (VfioBinding) binding = vfio_ledger_find (host->ledger, addresses[i], &problem);
      char id[VFIO_ADDRESS_TEXT_SIZE];

      vfio_address_format (addresses[i], id);
      if (binding == NULL && g_error_matches (problem, VMM_ERROR, VMM_ERROR_NOT_FOUND))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                       "%s was not taken by Alcove, so there is nothing to give back", id);
          return FALSE;
        }
      if (binding == NULL)
        {
          g_propagate_error (error, g_steal_pointer (&problem));
          return FALSE;
        }
      if (uid != BIND_ANY_UID && binding->uid != uid)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                       "%s was taken for another user (%u): it is for them or root to give it back",
                       id, binding->uid);
          return FALSE;
        }
    }
  return TRUE;
}

/* The kernel makes the unbind wait until the last user is gone. */
static gboolean
check_unused (const VfioBindHost *host, GPtrArray *bindings, GError **error)
{
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);

  for (guint i = 0; i < bindings->len; i++)
    {
      const VfioBinding *binding = g_ptr_array_index (bindings, i);
      g_autofree char *user = NULL;
      char id[VFIO_ADDRESS_TEXT_SIZE];

      if (strcmp (binding->boot, boot) != 0)
        continue;
      user = vfio_bind_dup_user (host->tree, binding->address);
      if (user != NULL)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                       "%s is still in use by %s: stop that machine, or detach the device from it, "
                       "first",
                       vfio_address_format (binding->address, id), user);
          return FALSE;
        }
    }
  return TRUE;
}

/* Grants of groups in which nothing stays taken. */
static GPtrArray *
find_grants (const VfioBindHost *host, GPtrArray *going, GPtrArray *all)
{
  GPtrArray *grants = vfio_ledger_list_grants (host->ledger);

  for (guint i = grants->len; i-- > 0;)
    {
      const VfioGrant *grant = g_ptr_array_index (grants, i);
      gboolean stays = FALSE;

      for (guint j = 0; j < all->len && !stays; j++)
        {
          const VfioBinding *binding = g_ptr_array_index (all, j);

          stays = !g_ptr_array_find (going, binding, NULL) &&
                  vfio_bind_get_group (host->tree, binding->address) == (int)grant->group;
        }
      if (stays)
        g_ptr_array_remove_index (grants, i);
    }
  return grants;
}

static gboolean
give_back (const VfioBindHost *host,
           GPtrArray *going,
           GPtrArray *all,
           gboolean dry_run,
           VfioPlan **ret_plan,
           GError **error)
{
  g_autoptr (GPtrArray) grants = NULL;
  g_autoptr (VfioPlan) plan = NULL;

  if (!check_unused (host, going, error))
    return FALSE;
  grants = find_grants (host, going, all);
  plan = vfio_plan_new_give_back (host, going, grants);
  if (!dry_run && !vfio_plan_apply (host, plan, error))
    return FALSE;
  if (ret_plan != NULL)
    *ret_plan = g_steal_pointer (&plan);
  return TRUE;
}

static gboolean
give_back_locked (const VfioBindHost *host,
                  const VfioAddress *addresses,
                  guint n_addresses,
                  guint32 uid,
                  gboolean dry_run,
                  VfioPlan **ret_plan,
                  GError **error)
{
  g_auto (GStrv) problems = NULL;
  g_autoptr (GPtrArray) all = NULL, going = g_ptr_array_new ();

  if (!check_named (host, addresses, n_addresses, uid, error))
    return FALSE;
  all = vfio_ledger_list (host->ledger, &problems);
  for (guint i = 0; i < all->len; i++)
    {
      VfioBinding *binding = g_ptr_array_index (all, i);

      if (is_wanted (binding, addresses, n_addresses) &&
          (uid == BIND_ANY_UID || binding->uid == uid))
        g_ptr_array_add (going, binding);
    }
  if (!give_back (host, going, all, dry_run, ret_plan, error))
    return FALSE;
  if (n_addresses == 0 && uid == BIND_ANY_UID && problems[0] != NULL)
    {
      g_autofree char *text = g_strjoinv (". ", problems);

      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_INVALID, text);
      return FALSE;
    }
  return TRUE;
}

gboolean
vfio_bind_give_back (const VfioBindHost *host,
                     const VfioAddress *addresses,
                     guint n_addresses,
                     guint32 uid,
                     gboolean dry_run,
                     VfioPlan **ret_plan,
                     GError **error)
{
  VfioPlan *plan = NULL;
  gboolean ok;

  if (!dry_run && !vfio_ledger_lock (host->ledger, error))
    return FALSE;
  ok = give_back_locked (host, addresses, n_addresses, uid, dry_run, &plan, error);
  vfio_ledger_unlock (host->ledger);
  if (ok && ret_plan != NULL)
    *ret_plan = plan;
  else
    vfio_plan_free (plan);
  return ok;
}

gboolean
vfio_bind_give_back_owner (const VfioBindHost *host, const char *owner, GError **error)
{
  g_autoptr (GPtrArray) all = NULL, going = g_ptr_array_new ();
  gboolean ok;

  if (!vfio_ledger_lock (host->ledger, error))
    return FALSE;
  all = vfio_ledger_list (host->ledger, NULL);
  for (guint i = 0; i < all->len; i++)
    {
      VfioBinding *binding = g_ptr_array_index (all, i);

      if (g_strcmp0 (binding->owner, owner) == 0)
        g_ptr_array_add (going, binding);
    }
  ok = going->len == 0 || give_back (host, going, all, FALSE, NULL, error);
  vfio_ledger_unlock (host->ledger);
  return ok;
}
