/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What may be taken, together and now. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vfio/bind/bind-private.h"
#include "vfio/bind/bind.h"
#include "vfio/host/checks.h"
#include "vmm/error.h"

static gboolean
contains (const VfioAddress *addresses, guint n, VfioAddress address)
{
  for (guint i = 0; i < n; i++)
    if (vfio_address_compare (addresses[i], address) == 0)
      return TRUE;
  return FALSE;
}

/* Must this member of a group go along when another one does? */
static gboolean
must_travel (const VfioInventory *inventory, const VfioFunction *mate)
{
  return !mate->bridge &&
         !vfio_inventory_driver_is_harmless (inventory, mate->driver, mate->driver_vfio, FALSE);
}

static gboolean
refuse (GError **error, VmmErrorCode code, const VfioFunction *function, const char *why)
{
  g_set_error (error, VMM_ERROR, code, "%s (%s) %s", function->id, function->name, why);
  return FALSE;
}

typedef enum
{
  DISKS_FREE,    /* nobody claims any of them */
  DISKS_CLAIMED, /* mounted (in whatever name space), swapped to, part of a volume or array */
  DISKS_UNKNOWN,
} DiskUse;

/* The kernel's own answer: who uses a disk's contents has claimed it, and then nobody else can open it
 * exclusively; a claim on a partition counts for the whole. */
static DiskUse
get_disk_use (const VfioBindHost *host, const VfioFunction *function)
{
  for (guint i = 0; i < function->disks->len; i++)
    {
      const VfioDisk *disk = g_ptr_array_index (function->disks, i);
      g_autofree char *path = g_strconcat ("/dev/", disk->name, NULL);
      struct stat status;
      int fd = vfio_tree_open_fd (host->tree, path, O_RDONLY | O_EXCL | O_NONBLOCK);
      gboolean block = fd >= 0 && fstat (fd, &status) == 0 && S_ISBLK (status.st_mode);

      if (fd >= 0)
        close (fd);
      if (fd == -EBUSY)
        return DISKS_CLAIMED;
      if (!block)
        return DISKS_UNKNOWN;
    }
  return DISKS_FREE;
}

/* What stands in the way for good: what the host cannot be without (its disk, its network, its
 * screen), a device that cannot be isolated. */
static gboolean
check_card (const VfioBindHost *host,
            const VfioInventory *inventory,
            const VfioFunction *function,
            const VfioBindFor *whom,
            GError **error)
{
  VfioDemand demand = { .other_user = TRUE, .user = whom->uid };
  g_autoptr (VfioVerdict) verdict = NULL;

  if (function->card == NULL ||
      vfio_address_compare (function->card->main->address, function->address) != 0)
    return TRUE; /* once a card */
  verdict = vfio_verdict_new (host->tree, inventory, NULL, &demand, function->card);
  for (guint i = 0; i < verdict->checks->len; i++)
    {
      const VfioCheck *check = g_ptr_array_index (verdict->checks, i);

      /* A root file system that cannot be traced to its disk: the kernel knows better. */
      if (strcmp (check->id, "system-disk-unknown") == 0 && check->function != NULL &&
          get_disk_use (host, check->function) == DISKS_FREE)
        continue;
      if (check->severity == HOST_SEVERITY_BLOCK)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED, "%s. %s", check->fact,
                       check->meaning);
          return FALSE;
        }
    }
  return TRUE;
}

/* What can be stopped using it, but has not been. */
static gboolean
check_used (const VfioBindHost *host, const VfioFunction *function, GError **error)
{
  for (guint i = 0; i < function->disks->len; i++)
    {
      const VfioDisk *disk = g_ptr_array_index (function->disks, i);

      if (disk->root || disk->swap || (disk->mounts != NULL && disk->mounts[0] != NULL))
        {
          g_set_error (
              error, VMM_ERROR, disk->root ? VMM_ERROR_NOT_SUPPORTED : VMM_ERROR_BUSY,
              "%s (%s) has the disk %s, which this host %s: taking it away would lose what "
              "is not written yet",
              function->id, function->name, disk->name,
              disk->root   ? "runs from"
              : disk->swap ? "swaps to"
                           : "has mounted");
          return FALSE;
        }
    }
  if (get_disk_use (host, function) == DISKS_CLAIMED)
    return refuse (error, VMM_ERROR_BUSY, function,
                   "has a disk that this host uses (mounted, or a part of a volume or an array): "
                   "taking it away would lose what is not written yet");
  for (guint i = 0; i < function->nets->len; i++)
    {
      const VfioNet *net = g_ptr_array_index (function->nets, i);

      if (net->default_route)
        {
          g_set_error (
              error, VMM_ERROR, VMM_ERROR_BUSY,
              "%s (%s) is %s, this host's way to the network: connect it another way first",
              function->id, function->name, net->name);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
check_free (const VfioInventory *inventory, const VfioFunction *function, GError **error)
{
  const VfioHolder *holder;

  if (function->holders->len > 0)
    {
      holder = g_ptr_array_index (function->holders, 0);
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s (%s) is in use by %s (process %d, /dev/%s). Taking it away now can freeze "
                   "that program or the whole system: end it first, or have the device reserved "
                   "when the computer starts",
                   function->id, function->name, holder->name, holder->pid, holder->node);
      return FALSE;
    }
  if (function->nodes->len > 0 && !inventory->platform.processes_complete)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                   "Who uses %s (%s) cannot be seen without root's rights, so it is not taken away "
                   "from them. Use sudo, or install alcove-helper",
                   function->id, function->name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_function (const VfioBindHost *host,
                const VfioInventory *inventory,
                const VfioFunction *function,
                GError **error)
{
  g_autofree char *user = NULL;

  if (function->bridge)
    return refuse (error, VMM_ERROR_NOT_SUPPORTED, function,
                   "is a bridge: what is behind it can be given to a machine, it cannot");
  if (function->group == NULL)
    return refuse (error, VMM_ERROR_UNAVAILABLE, function,
                   "has no isolation group: the IOMMU (Intel VT-d or AMD-Vi) is off. Turn it on in "
                   "the firmware's set-up");
  if (function->group->noiommu)
    return refuse (error, VMM_ERROR_NOT_SUPPORTED, function,
                   "is not isolated at all (no-IOMMU mode): a guest could write all of the host's "
                   "memory");
  if (function->config_dead)
    return refuse (error, VMM_ERROR_FAILED, function,
                   "does not answer: it is gone, or did not wake up. A restart of the computer "
                   "helps");
  if (function->sriov_on > 0)
    return refuse (error, VMM_ERROR_BUSY, function,
                   "has virtual functions: they would go with it. Set its sriov_numvfs to 0 first");
  if (function->driver_vfio)
    {
      user = vfio_bind_dup_user (host->tree, function->address);
      if (user == NULL)
        return TRUE;
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "%s (%s) is in use by %s", function->id,
                   function->name, user);
      return FALSE;
    }
  return check_used (host, function, error) && check_free (inventory, function, error);
}

/* The rest of the card and of the group. */
static gboolean
check_together (const VfioInventory *inventory,
                const VfioFunction *function,
                const VfioAddress *addresses,
                guint n,
                GError **error)
{
  for (guint i = 0; function->card != NULL && i < function->card->functions->len; i++)
    {
      const VfioFunction *mate = g_ptr_array_index (function->card->functions, i);

      if (!mate->bridge && !contains (addresses, n, mate->address))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "%s is a part of the same card as %s (%s): they go together", mate->id,
                       function->id, function->name);
          return FALSE;
        }
    }
  for (guint i = 0; i < function->group->functions->len; i++)
    {
      const VfioFunction *mate = g_ptr_array_index (function->group->functions, i);

      if (must_travel (inventory, mate) && !contains (addresses, n, mate->address))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "%s (%s) shares the isolation group of %s (%s): it must go along, or the "
                       "card must go into another slot",
                       mate->id, mate->name, function->id, function->name);
          return FALSE;
        }
    }
  return TRUE;
}

/* Whose is it already? */
static gboolean
check_taken (const VfioBindHost *host,
             const VfioFunction *function,
             const VfioBindFor *whom,
             GError **error)
{
  g_autofree char *boot = vfio_ledger_dup_boot (host->tree);
  g_autoptr (GError) problem = NULL;
  g_autoptr (VfioBinding) binding = vfio_ledger_find (host->ledger, function->address, &problem);

  if (binding == NULL)
    {
      if (g_error_matches (problem, VMM_ERROR, VMM_ERROR_NOT_FOUND))
        return TRUE;
      g_propagate_error (error, g_steal_pointer (&problem));
      return FALSE;
    }
  if (strcmp (binding->boot, boot) != 0)
    return TRUE;
  if (binding->uid != whom->uid)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "%s (%s) is taken for another user (%u)",
                   function->id, function->name, binding->uid);
      return FALSE;
    }
  if (binding->owner != NULL && g_strcmp0 (binding->owner, whom->owner) != 0)
    return refuse (error, VMM_ERROR_BUSY, function,
                   "is taken for another machine that starts or runs");
  return TRUE;
}

static gboolean
check_list (const VfioAddress *addresses, guint n, GError **error)
{
  if (n == 0 || n > BIND_SET_MAX)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%u devices are named: 1 to %d can be taken at once", n, BIND_SET_MAX);
      return FALSE;
    }
  for (guint i = 0; i < n; i++)
    if (contains (addresses, i, addresses[i]))
      {
        char id[VFIO_ADDRESS_TEXT_SIZE];

        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "%s is named twice",
                     vfio_address_format (addresses[i], id));
        return FALSE;
      }
  return TRUE;
}

static VfioFunction *
find (const VfioInventory *inventory, VfioAddress address, GError **error)
{
  VfioFunction *function = vfio_inventory_find (inventory, address);
  char id[VFIO_ADDRESS_TEXT_SIZE];

  if (function == NULL)
    g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                 "There is no PCI device %s. \"alcove pci list\" shows what there is",
                 vfio_address_format (address, id));
  return function;
}

gboolean
vfio_bind_check (const VfioBindHost *host,
                 const VfioAddress *addresses,
                 guint n_addresses,
                 const VfioBindFor *whom,
                 GError **error)
{
  g_autoptr (VfioInventory) inventory = NULL;

  if (!check_list (addresses, n_addresses, error))
    return FALSE;
  if (!vfio_tree_exists (host->tree, BIND_DRIVERS "/" BIND_VFIO))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "The kernel's driver vfio-pci is not loaded: \"sudo modprobe vfio-pci\" loads "
                   "it");
      return FALSE;
    }
  inventory = vfio_inventory_new (host->tree);
  for (guint i = 0; i < n_addresses; i++)
    {
      const VfioFunction *function = find (inventory, addresses[i], error);

      if (function == NULL || !check_function (host, inventory, function, error) ||
          !check_card (host, inventory, function, whom, error) ||
          !check_together (inventory, function, addresses, n_addresses, error) ||
          !check_taken (host, function, whom, error))
        return FALSE;
    }
  return TRUE;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  return vfio_address_compare (*(const VfioAddress *)a, *(const VfioAddress *)b);
}

static void
add (GArray *set, const VfioFunction *function)
{
  if (!contains ((const VfioAddress *)(void *)set->data, set->len, function->address))
    g_array_append_val (set, function->address);
}

GArray *
vfio_bind_complete (const VfioInventory *inventory,
                    const VfioAddress *addresses,
                    guint n_addresses,
                    GError **error)
{
  g_autoptr (GArray) set = g_array_new (FALSE, FALSE, sizeof (VfioAddress));

  g_array_append_vals (set, addresses, n_addresses);
  /* It grows while it is walked: a group's member may be part of a card with others. */
  for (guint i = 0; i < set->len; i++)
    {
      const VfioFunction *function = find (inventory, g_array_index (set, VfioAddress, i), error);

      if (function == NULL)
        return NULL;
      for (guint j = 0; function->card != NULL && j < function->card->functions->len; j++)
        {
          const VfioFunction *mate = g_ptr_array_index (function->card->functions, j);

          if (!mate->bridge)
            add (set, mate);
        }
      for (guint j = 0; function->group != NULL && j < function->group->functions->len; j++)
        {
          const VfioFunction *mate = g_ptr_array_index (function->group->functions, j);

          if (must_travel (inventory, mate))
            add (set, mate);
        }
    }
  g_array_sort (set, compare);
  return g_steal_pointer (&set);
}
