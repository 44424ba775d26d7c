/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Mediated devices: the kinds that a driver can make, and those that are there. Linux,
 * Documentation/driver-api/vfio-mediated-device.rst. */
#include "vfio/host/inventory-private.h"

#define TYPES_MAX 64u

static void
type_free (gpointer data)
{
  VfioMediatedType *type = data;

  g_free (type->id);
  g_free (type->name);
  g_free (type->description);
  g_free (type);
}

static void
mediated_free (gpointer data)
{
  VfioMediated *mediated = data;

  g_free (mediated->uuid);
  g_free (mediated->type);
  g_free (mediated);
}

static void
read_made (VfioTree *tree, VfioFunction *function, const VfioMediatedType *type, const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "devices", NULL);
  g_auto (GStrv) names = vfio_tree_list (tree, path);

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *link = g_build_filename (path, names[i], "iommu_group", NULL);
      g_autofree char *group = vfio_tree_read_link_name (tree, link);
      VfioMediated *mediated;
      guint64 number;

      if (!g_uuid_string_is_valid (names[i]))
        continue;
      mediated = g_new0 (VfioMediated, 1);
      mediated->uuid = g_strdup (names[i]);
      mediated->type = g_strdup (type->name != NULL ? type->name : type->id);
      mediated->group =
          group != NULL && g_ascii_string_to_unsigned (group, 10, 0, G_MAXINT, &number, NULL)
              ? (int)number
              : -1;
      g_ptr_array_add (function->mediated, mediated);
    }
}

static char *
read_in (VfioTree *tree, const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *line = vfio_tree_read_line (tree, path);

  return line != NULL && *line != '\0' ? g_steal_pointer (&line) : NULL;
}

void
host_mediated_read (VfioTree *tree, VfioFunction *function)
{
  g_autofree char *all = g_build_filename (function->path, "mdev_supported_types", NULL);
  g_auto (GStrv) ids = vfio_tree_list (tree, all);

  function->mediated_types = g_ptr_array_new_with_free_func (type_free);
  function->mediated = g_ptr_array_new_with_free_func (mediated_free);
  for (guint i = 0; ids != NULL && ids[i] != NULL && i < TYPES_MAX; i++)
    {
      g_autofree char *folder = g_build_filename (all, ids[i], NULL);
      g_autofree char *instances = g_build_filename (folder, "available_instances", NULL);
      g_autofree char *api = read_in (tree, folder, "device_api");
      VfioMediatedType *type;
      guint64 free = 0;

      /* Others (of channels and crypto cards of mainframes) are no PCI functions. */
      if (api != NULL && !g_str_equal (api, "vfio-pci"))
        continue;
      type = g_new0 (VfioMediatedType, 1);
      type->id = g_strdup (ids[i]);
      type->name = read_in (tree, folder, "name");
      type->description = read_in (tree, folder, "description");
      (void)vfio_tree_read_number (tree, instances, &free);
      type->available = (guint)MIN (free, G_MAXUINT);
      g_ptr_array_add (function->mediated_types, type);
      read_made (tree, function, type, folder);
    }
}

const VfioMediated *
vfio_inventory_find_mediated (const VfioInventory *inventory,
                              const char *uuid,
                              const VfioFunction **ret_parent)
{
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      const VfioFunction *function = g_ptr_array_index (inventory->functions, i);

      for (guint k = 0; k < function->mediated->len; k++)
        {
          const VfioMediated *mediated = g_ptr_array_index (function->mediated, k);

          if (g_ascii_strcasecmp (mediated->uuid, uuid) != 0)
            continue;
          if (ret_parent != NULL)
            *ret_parent = function;
          return mediated;
        }
    }
  return NULL;
}
