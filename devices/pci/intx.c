/* SPDX-License-Identifier: GPL-3.0-or-later */
/* INTx: wired-OR per slot and pin, swizzled upwards through bridges to the root's set_intx. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>

/* root->intx_lock held. */
static void
drive (PciBus *bus, guint slot, guint pin, gboolean level)
{
  for (;;)
    {
      guint *count = &bus->intx_count[slot & 31][pin & 3];

      if (level ? (*count)++ != 0 : --(*count) != 0)
        return;
      if (bus->bridge == NULL)
        break;
      /* PCI-to-PCI Bridge Architecture 1.2, 9.1: pin rotates by the slot behind the bridge. */
      pin = (slot + pin) & 3;
      slot = (guint)bus->bridge->pci_config.devfn >> 3;
      bus = bus->bridge->pci_config.bus;
    }
  if (bus->ops != NULL && bus->ops->set_intx != NULL)
    bus->ops->set_intx (bus->opaque, slot, pin, level);
}

static void
update_locked (PciDevice *device)
{
  PciCore *core = device->core;
  guint command = core->config[PCI_COMMAND] | core->config[PCI_COMMAND + 1] << 8;
  gboolean want = core->intx_level && (command & PCI_COMMAND_INTX_DISABLE) == 0 &&
                  !g_atomic_int_get (&core->msix_enabled) && !g_atomic_int_get (&core->msi_enabled);

  if (want == core->intx_asserted || core->info.intx_pin == 0)
    return;
  core->intx_asserted = want;
  drive (device->pci_config.bus, (guint)device->pci_config.devfn >> 3, core->info.intx_pin - 1u,
         want);
}

void
pci_intx_update (PciDevice *device)
{
  PciBus *root = pci_bus_get_root (device->pci_config.bus);

  g_mutex_lock (&root->intx_lock);
  update_locked (device);
  g_mutex_unlock (&root->intx_lock);
}

void
pci_device_set_intx (PciDevice *device, gboolean level)
{
  PciBus *root = pci_bus_get_root (device->pci_config.bus);

  g_mutex_lock (&root->intx_lock);
  device->core->intx_level = level != FALSE;
  update_locked (device);
  g_mutex_unlock (&root->intx_lock);
}

int
pci_device_get_intx_gsi (PciDevice *device)
{
  PciBus *bus = device->pci_config.bus;
  guint slot = (guint)device->pci_config.devfn >> 3, pin;

  if (device->core->info.intx_pin == 0)
    return -1;
  pin = device->core->info.intx_pin - 1u;
  while (bus->bridge != NULL)
    {
      pin = (slot + pin) & 3;
      slot = (guint)bus->bridge->pci_config.devfn >> 3;
      bus = bus->bridge->pci_config.bus;
    }
  return bus->ops != NULL && bus->ops->get_gsi != NULL
             ? (int)bus->ops->get_gsi (bus->opaque, slot, pin)
             : -1;
}
