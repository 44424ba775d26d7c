/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/inventory.h"

#include <string.h>
#include "vfio/host/inventory-private.h"

#define DEVICES "/sys/bus/pci/devices"
#define GROUPS  "/sys/kernel/iommu_groups"

static void
group_free (gpointer data)
{
  VfioGroup *group = data;

  g_free (group->type);
  g_ptr_array_unref (group->functions);
  g_ptr_array_unref (group->others);
  g_array_unref (group->reserved);
  g_free (group);
}

static void
other_free (gpointer data)
{
  VfioGroupOther *other = data;

  g_free (other->name);
  g_free (other->driver);
  g_free (other);
}

static void
reserved_clear (gpointer data)
{
  g_free (((VfioReservedRegion *)data)->type);
}

void
host_group_parse_reserved (VfioGroup *group, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", 256);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines[i], " ", 3);
      VfioReservedRegion region;

      if (g_strv_length (words) == 3 && g_str_has_prefix (words[0], "0x") &&
          g_str_has_prefix (words[1], "0x") &&
          g_ascii_string_to_unsigned (words[0] + 2, 16, 0, G_MAXUINT64, &region.start, NULL) &&
          g_ascii_string_to_unsigned (words[1] + 2, 16, 0, G_MAXUINT64, &region.end, NULL) &&
          region.end >= region.start)
        {
          region.type = g_strdup (g_strstrip (words[2]));
          g_array_append_val (group->reserved, region);
        }
    }
}

static VfioGroup *
group_new (VfioTree *tree, VfioInventory *inventory, guint id)
{
  VfioGroup *group = g_new0 (VfioGroup, 1);
  g_autofree char *folder = g_strdup_printf (GROUPS "/%u", id);
  g_autofree char *devices = g_strconcat (folder, "/devices", NULL);
  g_autofree char *type = g_strconcat (folder, "/type", NULL);
  g_autofree char *regions = g_strconcat (folder, "/reserved_regions", NULL);
  g_autofree char *name_path = g_strconcat (folder, "/name", NULL);
  g_autofree char *name = vfio_tree_read_line (tree, name_path);
  g_autofree char *text = vfio_tree_read_text (tree, regions, 65536);
  g_auto (GStrv) names = vfio_tree_list (tree, devices);

  group->id = id;
  group->type = vfio_tree_read_line (tree, type);
  group->noiommu = name != NULL && strcmp (name, "vfio-noiommu") == 0;
  group->functions = g_ptr_array_new ();
  group->others = g_ptr_array_new_with_free_func (other_free);
  group->reserved = g_array_new (FALSE, FALSE, sizeof (VfioReservedRegion));
  g_array_set_clear_func (group->reserved, reserved_clear);
  if (text != NULL)
    host_group_parse_reserved (group, text);
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      VfioAddress address;
      VfioFunction *function = NULL;

      if (vfio_address_parse (names[i], &address))
        function = vfio_inventory_find (inventory, address);
      if (function != NULL && function->group == NULL)
        {
          function->group = group;
          g_ptr_array_add (group->functions, function);
        }
      else if (function == NULL)
        {
          VfioGroupOther *other = g_new0 (VfioGroupOther, 1);
          g_autofree char *driver = g_strconcat (devices, "/", names[i], "/driver", NULL);

          other->name = g_strdup (names[i]);
          other->driver = vfio_tree_read_link_name (tree, driver);
          g_ptr_array_add (group->others, other);
        }
    }
  return group;
}

static int
compare_functions (gconstpointer a, gconstpointer b)
{
  return vfio_address_compare ((*(VfioFunction *const *)a)->address,
                               (*(VfioFunction *const *)b)->address);
}

static int
compare_groups (gconstpointer a, gconstpointer b)
{
  guint x = (*(VfioGroup *const *)a)->id, y = (*(VfioGroup *const *)b)->id;

  return (x > y) - (x < y);
}

static void
read_functions (VfioTree *tree, VfioInventory *inventory)
{
  g_auto (GStrv) names = vfio_tree_list (tree, DEVICES);
  VfioAddress address;

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    if (inventory->functions->len < HOST_FUNCTIONS_MAX && vfio_address_parse (names[i], &address) &&
        vfio_inventory_find (inventory, address) == NULL)
      g_ptr_array_add (inventory->functions, host_function_new (tree, address));
  g_ptr_array_sort (inventory->functions, compare_functions);
}

static void
read_groups (VfioTree *tree, VfioInventory *inventory)
{
  g_auto (GStrv) names = vfio_tree_list (tree, GROUPS);
  guint64 id;

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    if (g_ascii_string_to_unsigned (names[i], 10, 0, G_MAXINT32, &id, NULL) &&
        vfio_inventory_find_group (inventory, (guint)id) == NULL)
      g_ptr_array_add (inventory->groups, group_new (tree, inventory, (guint)id));
  g_ptr_array_sort (inventory->groups, compare_groups);
  for (guint i = 0; i < inventory->groups->len; i++)
    g_ptr_array_sort (((VfioGroup *)g_ptr_array_index (inventory->groups, i))->functions,
                      compare_functions);
}

VfioInventory *
vfio_inventory_new (VfioTree *tree)
{
  VfioInventory *inventory = g_new0 (VfioInventory, 1);

  inventory->functions = g_ptr_array_new_with_free_func (host_function_free);
  inventory->groups = g_ptr_array_new_with_free_func (group_free);
  read_functions (tree, inventory);
  host_names_fill (tree, inventory->functions);
  read_groups (tree, inventory);
  host_cards_fill (inventory);
  host_platform_fill (tree, inventory);
  host_display_fill (tree, inventory);
  host_storage_fill (tree, inventory);
  host_network_fill (tree, inventory);
  host_users_fill (tree, inventory);
  return inventory;
}

void
vfio_inventory_free (VfioInventory *inventory)
{
  if (inventory == NULL)
    return;
  host_platform_clear (&inventory->platform);
  g_ptr_array_unref (inventory->cards);
  g_ptr_array_unref (inventory->groups);
  g_ptr_array_unref (inventory->functions);
  g_free (inventory);
}

VfioFunction *
vfio_inventory_find (const VfioInventory *inventory, VfioAddress address)
{
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (inventory->functions, i);

      if (vfio_address_compare (function->address, address) == 0)
        return function;
    }
  return NULL;
}

VfioFunction *
host_function_of_path (VfioInventory *inventory, const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", 256);
  VfioAddress address;

  for (guint i = g_strv_length (parts); i-- > 0;)
    if (vfio_address_parse (parts[i], &address))
      return vfio_inventory_find (inventory, address);
  return NULL;
}

VfioGroup *
vfio_inventory_find_group (const VfioInventory *inventory, guint id)
{
  for (guint i = 0; i < inventory->groups->len; i++)
    {
      VfioGroup *group = g_ptr_array_index (inventory->groups, i);

      if (group->id == id)
        return group;
    }
  return NULL;
}

VfioCard *
vfio_inventory_find_card (const VfioInventory *inventory, VfioAddress any_function)
{
  VfioFunction *function = vfio_inventory_find (inventory, any_function);

  return function != NULL ? function->card : NULL;
}

gboolean
vfio_inventory_driver_is_harmless (const VfioInventory *inventory,
                                   const char *driver,
                                   gboolean driver_vfio,
                                   gboolean bridge)
{
  guint version = inventory->platform.kernel_version;

  if (driver == NULL || driver_vfio || strcmp (driver, "pci-stub") == 0)
    return TRUE;
  if (strcmp (driver, "pcieport") == 0)
    return bridge;
  return bridge && version != 0 && version < (5u << 16 | 19);
}

gboolean
vfio_inventory_group_is_viable (const VfioInventory *inventory, const VfioGroup *group)
{
  for (guint i = 0; i < group->functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (group->functions, i);

      if (!vfio_inventory_driver_is_harmless (inventory, function->driver, function->driver_vfio,
                                              function->bridge))
        return FALSE;
    }
  for (guint i = 0; i < group->others->len; i++)
    {
      const VfioGroupOther *other = g_ptr_array_index (group->others, i);

      if (!vfio_inventory_driver_is_harmless (inventory, other->driver, FALSE, FALSE))
        return FALSE;
    }
  return TRUE;
}
