/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/definition-disks.h"

#include <string.h>

#include "app/definition-private.h"

static char *
group_of (const char *name)
{
  return g_strconcat ("disk ", name, NULL);
}

const AlcoveDiskConfig *
alcove_definition_find_disk (AlcoveDefinition *self, const char *name)
{
  guint n;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (self, &n);

  for (guint i = 0; i < n; i++)
    if (strcmp (disks[i]->base.name, name) == 0)
      return disks[i];
  return NULL;
}

char *
alcove_definition_dup_disk_group (AlcoveDefinition *self, const char *name)
{
  g_autofree char *group = group_of (name);

  return alcove_definition_dup_group (self, group);
}

/* What the definition writes down once: the slot, the namespace, the SATA port. */
static gboolean
place (
    AlcoveDefinition *self, AlcoveConfFile *file, const char *group, gboolean live, GError **error)
{
  const AlcoveDiskConfig *disk = alcove_definition_find_disk (self, group + 5);
  gboolean any = FALSE;

  if (disk->bus == ALCOVE_DISK_NVME && disk->nsid == 0)
    {
      g_autofree char *nsid = g_strdup_printf ("%u", alcove_definition_get_nsid (self, disk));

      alcove_conf_file_set_value (file, group, "namespace", nsid);
      any = TRUE;
    }
  if (disk->bus == ALCOVE_DISK_SATA)
    {
      g_autofree char *port = g_strdup_printf ("%u", disk->port);

      alcove_conf_file_set_value (file, group, "port", port);
      any = TRUE;
    }
  if (!disk->base.address.set && alcove_definition_disk_has_address (self, disk))
    {
      AlcovePciAddress address;
      g_autofree char *text = NULL;

      alcove_definition_find_free_port (self, &address);
      if (!address.set && live)
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                       "All %d slots for hot-plug are taken: remove a device that sits in one, or "
                       "stop the machine and add the disk then",
                       ALCOVE_PCI_N_PORTS);
          return FALSE;
        }
      if (address.set)
        {
          text = alcove_pci_address_to_string (&address);
          alcove_conf_file_set_value (file, group, "address", text);
          any = TRUE;
        }
    }
  return !any || alcove_definition_take_conf (self, alcove_conf_file_copy (file), error);
}

char *
alcove_definition_add_disk (AlcoveDefinition *self, const char *text, gboolean live, GError **error)
{
  g_autoptr (AlcoveConfFile) before = alcove_definition_dup_conf (self);
  g_autoptr (AlcoveConfFile) file = NULL;
  g_autofree char *group =
      alcove_definition_put_group (self, text, "disk ", "A disk", &file, error);

  if (group == NULL)
    return NULL;
  if (alcove_definition_check_live (group, &alcove_definition_find_disk (self, group + 5)->base,
                                    live, error) &&
      place (self, file, group, live, error))
    return g_strdup (group + 5);
  (void)alcove_definition_take_conf (self, g_steal_pointer (&before), NULL);
  return NULL;
}

static void
hand_over (AlcoveConfFile *file, const char *from, const char *to, const char *key)
{
  g_autofree char *value = alcove_conf_file_dup_value (file, from, key);

  if (value != NULL)
    alcove_conf_file_set_value (file, to, key, value);
}

gboolean
alcove_definition_remove_disk (AlcoveDefinition *self, const char *name, GError **error)
{
  const AlcoveDiskConfig *disk = alcove_definition_find_disk (self, name);
  g_autoptr (AlcoveConfFile) file = alcove_definition_dup_conf (self);
  g_autofree char *group = group_of (name);
  guint n;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (self, &n);

  if (disk == NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "There is no [%s]", group);
      return FALSE;
    }
  if (disk->bus == ALCOVE_DISK_NVME && alcove_definition_disk_has_address (self, disk))
    for (guint i = 0; i < n; i++)
      {
        g_autofree char *heir = NULL;

        if (disks[i] == disk || disks[i]->bus != ALCOVE_DISK_NVME ||
            strcmp (alcove_disk_get_controller (disks[i]), alcove_disk_get_controller (disk)) != 0)
          continue;
        heir = group_of (disks[i]->base.name);
        hand_over (file, group, heir, "address");
        hand_over (file, group, heir, "queues");
        break;
      }
  alcove_conf_file_remove_group (file, group);
  return alcove_definition_take_conf (self, g_steal_pointer (&file), error);
}
