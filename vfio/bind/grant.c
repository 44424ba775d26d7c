/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A group's nodes in the hands of a user, and back. /dev/iommu is nobody's to be given: all users of
 * the computer share it, and udev's rule says who may open it (data/udev). */
#include <errno.h>
#include <string.h>

#include "vfio/bind/bind-private.h"
#include "vfio/bind/bind.h"
#include "vmm/error.h"

/* What a node of vfio has when the kernel makes it. */
#define NODE_MODE 0600

/* The node is the user's no more, or is no more. */
gboolean
bind_take_back (const VfioBindHost *host, const VfioGrant *grant, GError **error)
{
  g_autofree char *path = g_strconcat (BIND_NODES "/", grant->name, NULL);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);
  VfioNodeOwner to = { grant->old_uid, grant->old_gid, grant->old_mode }, before;
  guint major, minor;
  int result;

  if (strcmp (grant->boot, boot) == 0 &&
      bind_node_numbers (host->tree, grant->name, &major, &minor))
    {
      result = host->ops->set_owner (host->tree, path, major, minor, grant->uid, &to, &before);
      if (result < 0 && result != -ENODEV && result != -EPERM)
        return vmm_error_set_errno (error, result, "%s cannot be taken back from user %u", path,
                                    grant->uid);
      /* -EPERM may also be the kernel's answer: then it is still the user's. */
      if (result == -EPERM &&
          host->ops->set_owner (host->tree, path, major, minor, grant->uid, NULL, &before) == 0)
        return vmm_error_set_errno (error, result, "%s cannot be taken back from user %u", path,
                                    grant->uid);
    }
  return vfio_ledger_remove_grant (host->ledger, grant->name, error);
}

static gboolean
give_node (const VfioBindHost *host, const char *name, guint group, guint32 uid, GError **error)
{
  g_autofree char *path = g_strconcat (BIND_NODES "/", name, NULL);
  g_autoptr (GPtrArray) grants = vfio_ledger_list_grants (host->ledger);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);
  VfioGrant grant = { .name = (char *)name, .group = group, .uid = uid, .boot = boot };
  VfioNodeOwner before, to = { uid, G_MAXUINT32, NODE_MODE };
  guint major, minor;
  int result;

  if (!bind_node_numbers (host->tree, name, &major, &minor))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "The kernel has no %s", path);
      return FALSE;
    }
  result = host->ops->set_owner (host->tree, path, major, minor, G_MAXUINT32, NULL, &before);
  if (result == 0)
    {
      grant.old_uid = before.uid;
      grant.old_gid = before.gid;
      grant.old_mode = before.mode;
      for (guint i = 0; i < grants->len; i++)
        {
          const VfioGrant *old = g_ptr_array_index (grants, i);

          /* Who had it at first; a node that was made anew since is like a new one. */
          if (strcmp (old->name, name) == 0 && strcmp (old->boot, boot) == 0 &&
              old->uid == before.uid)
            {
              grant.old_uid = old->old_uid;
              grant.old_gid = old->old_gid;
              grant.old_mode = old->old_mode;
            }
        }
      if (!vfio_ledger_put_grant (host->ledger, &grant, error))
        return FALSE;
      result = host->ops->set_owner (host->tree, path, major, minor, before.uid, &to, &before);
    }
  if (result == -ENODEV)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                   "%s is not the kernel's node of this group: it is left alone", path);
      return FALSE;
    }
  return result == 0 ||
         vmm_error_set_errno (error, result, "%s cannot be given to user %u", path, uid);
}

/* Something of the group must be this user's, and nothing another's. */
static gboolean
check_group (const VfioBindHost *host, guint group, guint32 uid, GError **error)
{
  g_autofree char *folder = g_strdup_printf ("/sys/kernel/iommu_groups/%u/devices", group);
  g_auto (GStrv) members = vfio_tree_list (host->tree, folder);
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);
  gboolean any = FALSE;

  for (guint i = 0; members != NULL && members[i] != NULL; i++)
    {
      g_autoptr (VfioBinding) binding = NULL;
      VfioAddress address;

      if (!vfio_address_parse (members[i], &address))
        continue;
      binding = vfio_ledger_find (host->ledger, address, NULL);
      if (binding == NULL || strcmp (binding->boot, boot) != 0)
        continue;
      if (binding->uid != uid)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                       "%s in isolation group %u was taken for another user", members[i], group);
          return FALSE;
        }
      any = TRUE;
    }
  if (!any)
    g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                 "Nothing in isolation group %u was taken for you: bind its devices first", group);
  return any;
}

/* n: (inout): how many nodes there were. */
static gboolean
give_own_nodes (const VfioBindHost *host,
                VfioAddress address,
                guint group,
                guint32 uid,
                guint *n,
                GError **error)
{
  g_autofree char *path = bind_dup_path (address, "vfio-dev");
  g_auto (GStrv) names = vfio_tree_list (host->tree, path);

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *name = g_strconcat ("devices/", names[i], NULL);
      guint major, minor;

      /* Kernels without character devices for functions name them all the same. */
      if (!vfio_grant_is_name (name) || !bind_node_numbers (host->tree, name, &major, &minor))
        continue;
      if (!give_node (host, name, group, uid, error))
        return FALSE;
      (*n)++;
    }
  return TRUE;
}

static gboolean
give_devices (const VfioBindHost *host, guint group, guint32 uid, guint *n, GError **error)
{
  g_autofree char *folder = g_strdup_printf ("/sys/kernel/iommu_groups/%u/devices", group);
  g_auto (GStrv) members = vfio_tree_list (host->tree, folder);

  for (guint i = 0; members != NULL && members[i] != NULL; i++)
    {
      g_autoptr (VfioBinding) binding = NULL;
      VfioAddress address;

      if (!vfio_address_parse (members[i], &address))
        continue;
      binding = vfio_ledger_find (host->ledger, address, NULL);
      if (binding != NULL && !give_own_nodes (host, address, group, uid, n, error))
        return FALSE;
    }
  return TRUE;
}

/* Kernels without groups (CONFIG_VFIO_GROUP) have only the functions' nodes; the older have only the
 * group's; most have both. */
static gboolean
give_nodes (const VfioBindHost *host, guint group, guint32 uid, GError **error)
{
  g_autofree char *name = g_strdup_printf ("%u", group);
  guint major, minor, n = 0;

  if (!give_devices (host, group, uid, &n, error))
    return FALSE;
  return (n > 0 && !bind_node_numbers (host->tree, name, &major, &minor)) ||
         give_node (host, name, group, uid, error);
}

gboolean
vfio_bind_grant (const VfioBindHost *host, guint group, guint32 uid, GError **error)
{
  gboolean ok;

  if (!vfio_ledger_lock (host->ledger, error))
    return FALSE;
  ok = check_group (host, group, uid, error) && give_nodes (host, group, uid, error);
  vfio_ledger_unlock (host->ledger);
  return ok;
}
