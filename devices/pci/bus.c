/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Buses: who sits where, and how a config access finds its function through bridges. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>

/* Deepest nesting of bridges that is looked at. */
#define PCI_MAX_DEPTH 8

PciBus *
pci_bus_new (VmmMachine *machine, const char *name, const PciBusOps *ops, gpointer opaque)
{
  PciBus *bus = g_new0 (PciBus, 1);

  bus->machine = machine;
  bus->name = g_strdup (name);
  bus->ops = ops;
  bus->opaque = opaque;
  g_rec_mutex_init (&bus->config_lock);
  g_mutex_init (&bus->intx_lock);
  return bus;
}

void
pci_bus_free (PciBus *bus)
{
  if (bus == NULL)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (bus->devices); i++)
    g_assert (bus->devices[i] == NULL);
  if (bus->bridge != NULL && bus->bridge->core != NULL && bus->bridge->core->secondary == bus)
    bus->bridge->core->secondary = NULL;
  g_rec_mutex_clear (&bus->config_lock);
  g_mutex_clear (&bus->intx_lock);
  g_free (bus->name);
  g_free (bus);
}

const char *
pci_bus_get_name (PciBus *bus)
{
  return bus->name;
}

PciBus *
pci_bus_get_root (PciBus *bus)
{
  while (bus->bridge != NULL)
    bus = bus->bridge->pci_config.bus;
  return bus;
}

void
pci_bus_lock_config (PciBus *bus)
{
  g_rec_mutex_lock (&pci_bus_get_root (bus)->config_lock);
}

void
pci_bus_unlock_config (PciBus *bus)
{
  g_rec_mutex_unlock (&pci_bus_get_root (bus)->config_lock);
}

PciDevice *
pci_bus_find (PciBus *bus, guint devfn)
{
  return devfn < G_N_ELEMENTS (bus->devices) ? bus->devices[devfn] : NULL;
}

void
pci_bus_foreach (PciBus *bus,
                 void (*func) (PciDevice *device, gpointer user_data),
                 gpointer user_data)
{
  PciBus *root = pci_bus_get_root (bus);

  g_rec_mutex_lock (&root->config_lock);
  for (guint i = 0; i < G_N_ELEMENTS (bus->devices); i++)
    if (bus->devices[i] != NULL)
      func (bus->devices[i], user_data);
  g_rec_mutex_unlock (&root->config_lock);
}

static void
foreach_below (PciBus *bus,
               void (*func) (PciDevice *device, gpointer user_data),
               gpointer user_data,
               guint depth)
{
  if (depth == PCI_MAX_DEPTH)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (bus->devices); i++)
    {
      PciDevice *device = bus->devices[i];

      if (device == NULL || device->core == NULL)
        continue;
      func (device, user_data);
      if (device->core->secondary != NULL)
        foreach_below (device->core->secondary, func, user_data, depth + 1);
    }
}

void
pci_bus_foreach_in_tree (PciBus *bus,
                         void (*func) (PciDevice *device, gpointer user_data),
                         gpointer user_data)
{
  PciBus *root = pci_bus_get_root (bus);

  g_rec_mutex_lock (&root->config_lock);
  foreach_below (root, func, user_data, 0);
  g_rec_mutex_unlock (&root->config_lock);
}

static void
reset_function (PciDevice *device, gpointer user_data)
{
  if (device->core->bus_reset_hook != NULL && g_atomic_int_get (&device->parent.realized))
    device->core->bus_reset_hook (device);
}

void
pci_bus_reset_below (PciBus *bus)
{
  foreach_below (bus, reset_function, NULL, 0);
}

gboolean
pci_bus_attach (PciBus *bus, guint devfn, PciDevice *device, GError **error)
{
  PciBus *root = pci_bus_get_root (bus);
  PciDevice *other;

  g_rec_mutex_lock (&root->config_lock);
  other = bus->devices[devfn];
  if (other == NULL)
    bus->devices[devfn] = device;
  g_rec_mutex_unlock (&root->config_lock);
  if (other == NULL)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
               "“%s” cannot take PCI slot %02x.%x of bus %s: “%s” is there. Give one of them "
               "another slot.",
               device->parent.id, devfn >> 3, devfn & 7, bus->name, other->parent.id);
  return FALSE;
}

void
pci_bus_detach (PciBus *bus, guint devfn)
{
  PciBus *root = pci_bus_get_root (bus);

  g_rec_mutex_lock (&root->config_lock);
  bus->devices[devfn] = NULL;
  g_rec_mutex_unlock (&root->config_lock);
  if (bus->ops != NULL && bus->ops->presence != NULL)
    bus->ops->presence (bus->opaque, devfn >> 3, FALSE);
}

void
pci_device_announce (PciDevice *device)
{
  PciBus *bus = device->pci_config.bus;

  if (bus->ops != NULL && bus->ops->presence != NULL)
    bus->ops->presence (bus->opaque, device->pci_config.devfn >> 3, TRUE);
}

void
pci_device_set_secondary_bus (PciDevice *bridge, PciBus *bus)
{
  PciBus *root = pci_bus_get_root (bridge->pci_config.bus);

  g_rec_mutex_lock (&root->config_lock);
  if (bridge->core->secondary != NULL)
    bridge->core->secondary->bridge = NULL;
  bridge->core->secondary = bus;
  if (bus != NULL)
    bus->bridge = bridge;
  g_rec_mutex_unlock (&root->config_lock);
}

/* PCI-to-PCI Bridge Architecture 1.2, 3.1.1: a type 1 access goes down when the bus number lies in
 * [secondary, subordinate], and becomes type 0 at the secondary bus. */
static PciBus *
find_bus (PciBus *bus, guint nr, guint depth)
{
  if (depth == PCI_MAX_DEPTH)
    return NULL;
  for (guint i = 0; i < G_N_ELEMENTS (bus->devices); i++)
    {
      PciDevice *bridge = bus->devices[i];
      guint secondary, subordinate;

      if (bridge == NULL || bridge->core == NULL || bridge->core->secondary == NULL)
        continue;
      secondary = bridge->core->config[PCI_SECONDARY_BUS];
      subordinate = bridge->core->config[PCI_SUBORDINATE_BUS];
      if (secondary == 0 || nr < secondary || nr > subordinate)
        continue;
      if (pci_bridge_is_in_reset (bridge->core))
        return NULL;
      return nr == secondary ? bridge->core->secondary
                             : find_bus (bridge->core->secondary, nr, depth + 1);
    }
  return NULL;
}

/* A function that is still being realized is not there yet. */
static PciDevice *
find_function (PciBus *root, guint bus_nr, guint devfn, guint offset, guint size)
{
  PciBus *bus = bus_nr == 0 ? root : find_bus (root, bus_nr, 0);
  PciDevice *device;

  if (bus == NULL || devfn >= G_N_ELEMENTS (bus->devices))
    return NULL;
  device = bus->devices[devfn];
  if (device == NULL || device->core == NULL || !g_atomic_int_get (&device->parent.realized))
    return NULL;
  if (size == 0 || size > 4 || offset >= device->core->config_size ||
      size > device->core->config_size - offset)
    return NULL;
  return device;
}

guint32
pci_bus_config_read (PciBus *root, guint bus_nr, guint devfn, guint offset, guint size)
{
  guint32 value = size >= 4 ? G_MAXUINT32 : (1u << (size * 8)) - 1;
  PciDevice *device;

  g_rec_mutex_lock (&root->config_lock);
  device = find_function (root, bus_nr, devfn, offset, size);
  if (device != NULL)
    value = pci_config_read (device, offset, size);
  g_rec_mutex_unlock (&root->config_lock);
  return value;
}

void
pci_bus_config_write (
    PciBus *root, guint bus_nr, guint devfn, guint offset, guint size, guint32 value)
{
  PciDevice *device;

  g_rec_mutex_lock (&root->config_lock);
  device = find_function (root, bus_nr, devfn, offset, size);
  if (device != NULL)
    pci_config_write (device, offset, size, value);
  g_rec_mutex_unlock (&root->config_lock);
}

static void
retry_bus (PciBus *bus, guint depth)
{
  if (depth == PCI_MAX_DEPTH)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (bus->devices); i++)
    {
      PciDevice *device = bus->devices[i];

      if (device == NULL || device->core == NULL)
        continue;
      pci_bars_update (device);
      if (device->core->secondary != NULL)
        retry_bus (device->core->secondary, depth + 1);
    }
}

void
pci_bus_retry_bars (PciBus *root)
{
  g_rec_mutex_lock (&root->config_lock);
  if (root->blocked)
    {
      /* pci_bars_update sets it again when a BAR still finds its place taken. */
      root->blocked = FALSE;
      retry_bus (root, 0);
    }
  g_rec_mutex_unlock (&root->config_lock);
}
