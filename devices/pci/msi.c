/* SPDX-License-Identifier: GPL-3.0-or-later */
/* MSI with one vector and a 64-bit address. PCI 3.0, 6.8.1. The registers lie in configuration
 * space, so saving and loading that is enough. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>

#define MSI_LENGTH 14 /* 64-bit address, no mask bits */

void
pci_device_add_msi (PciDevice *device)
{
  PciCore *core = device->core;
  guint cap = pci_device_add_capability (device, PCI_CAP_ID_MSI, MSI_LENGTH);

  g_assert (core->msi_cap == 0);
  pci_device_set_config (device, cap + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT);
  pci_device_set_wmask (device, cap + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_ENABLE);
  pci_device_set_wmask (device, cap + PCI_MSI_ADDRESS_LO, 4, ~3u);
  pci_device_set_wmask (device, cap + PCI_MSI_ADDRESS_HI, 4, G_MAXUINT32);
  pci_device_set_wmask (device, cap + PCI_MSI_DATA_64, 2, 0xffff);
  core->msi_single = vmm_msi_new (core->machine);
  core->msi_cap = cap;
}

void
pci_msi_finish (PciDevice *device)
{
  g_clear_pointer (&device->core->msi_single, vmm_msi_free);
}

gboolean
pci_msi_is_at (PciCore *core, guint offset, guint size)
{
  return core->msi_cap != 0 && offset < core->msi_cap + MSI_LENGTH && core->msi_cap < offset + size;
}

void
pci_msi_update (PciDevice *device)
{
  PciCore *core = device->core;
  guint cap = core->msi_cap;
  gboolean enabled;

  if (cap == 0)
    return;
  enabled = (pci_device_get_config (device, cap + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE) != 0;
  g_mutex_lock (&core->msix_lock);
  vmm_msi_set_message (core->msi_single,
                       pci_device_get_config (device, cap + PCI_MSI_ADDRESS_LO, 4) |
                           (guint64)pci_device_get_config (device, cap + PCI_MSI_ADDRESS_HI, 4)
                               << 32,
                       pci_device_get_config (device, cap + PCI_MSI_DATA_64, 2));
  vmm_msi_set_enabled (core->msi_single, enabled);
  g_atomic_int_set (&core->msi_enabled, enabled);
  g_mutex_unlock (&core->msix_lock);
}

gboolean
pci_device_raise_msi (PciDevice *device)
{
  PciCore *core = device->core;
  gboolean enabled;

  if (!g_atomic_int_get (&core->msi_enabled))
    return FALSE;
  g_mutex_lock (&core->msix_lock);
  enabled = core->msi_enabled;
  if (enabled)
    vmm_msi_raise (core->msi_single);
  g_mutex_unlock (&core->msix_lock);
  return enabled;
}
