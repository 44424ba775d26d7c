/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A function's life: header, place on the bus, and end. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>

static void
init_header (PciDevice *device)
{
  PciCore *core = device->core;
  const PciDeviceInfo *info = &core->info;

  pci_device_set_config (device, PCI_VENDOR_ID, 2, info->vendor);
  pci_device_set_config (device, PCI_DEVICE_ID, 2, info->device);
  pci_device_set_config (device, PCI_REVISION_ID, 1, info->revision);
  pci_device_set_config (device, PCI_CLASS_PROG, 1, info->class_prog);
  pci_device_set_config (device, PCI_CLASS_DEVICE, 2,
                         (guint32)info->class_base << 8 | info->class_sub);
  pci_device_set_config (device, PCI_HEADER_TYPE, 1,
                         (info->header_type & 0x7fu) |
                             (device->pci_config.multifunction != 0 ? 0x80u : 0));
  pci_device_set_config (device, PCI_INTERRUPT_PIN, 1, info->intx_pin);

  pci_device_set_wmask (device, PCI_COMMAND, 2,
                        PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
                            PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
  pci_device_set_w1cmask (device, PCI_STATUS, 2,
                          PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT |
                              PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT |
                              PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY);
  pci_device_set_wmask (device, PCI_CACHE_LINE_SIZE, 1, 0xff);
  pci_device_set_wmask (device, PCI_INTERRUPT_LINE, 1, 0xff);
  if (info->header_type == 0)
    {
      pci_device_set_config (device, PCI_SUBSYSTEM_VENDOR_ID, 2, info->subsystem_vendor);
      pci_device_set_config (device, PCI_SUBSYSTEM_ID, 2, info->subsystem);
      return;
    }
  /* PCI-to-PCI Bridge Architecture 1.2, 3.2: bus numbers, windows (I/O 16 bit, prefetchable 64
   * bit), bridge control. */
  pci_device_set_wmask (device, PCI_PRIMARY_BUS, 4, 0x00ffffff);
  pci_device_set_wmask (device, PCI_IO_BASE, 2, 0xf0f0);
  pci_device_set_w1cmask (device, PCI_SEC_STATUS, 2, 0xf900);
  pci_device_set_wmask (device, PCI_MEMORY_BASE, 4, 0xfff0fff0);
  pci_device_set_config (device, PCI_PREF_MEMORY_BASE, 4, 0x00010001);
  pci_device_set_wmask (device, PCI_PREF_MEMORY_BASE, 4, 0xfff0fff0);
  pci_device_set_wmask (device, PCI_PREF_BASE_UPPER32, 4, G_MAXUINT32);
  pci_device_set_wmask (device, PCI_PREF_LIMIT_UPPER32, 4, G_MAXUINT32);
  pci_device_set_wmask (device, PCI_BRIDGE_CONTROL, 2,
                        PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR | PCI_BRIDGE_CTL_ISA |
                            PCI_BRIDGE_CTL_VGA | 0x10 /* VGA 16-bit decode */
                            | PCI_BRIDGE_CTL_BUS_RESET);
}

gboolean
pci_device_init (PciDevice *device, VmmMachine *machine, const PciDeviceInfo *info, GError **error)
{
  PciCore *core = g_new0 (PciCore, 1);

  core->machine = machine;
  core->info = *info;
  core->config_size = info->express || info->own_layout ? PCI_CONFIG_MAX : PCI_CONFIG_CONV;
  core->config = g_malloc0 (core->config_size);
  core->wmask = g_malloc0 (core->config_size);
  core->w1cmask = g_malloc0 (core->config_size);
  core->initial = g_malloc0 (core->config_size);
  core->cap_next = 0x40;
  core->ext_next = 0x100;
  core->n_msix = info->n_msix;
  g_mutex_init (&core->msix_lock);
  device->core = core;

  if (!pci_bus_attach (device->pci_config.bus, (guint)device->pci_config.devfn, device, error))
    {
      device->core = NULL;
      g_mutex_clear (&core->msix_lock);
      g_free (core->config);
      g_free (core->wmask);
      g_free (core->w1cmask);
      g_free (core->initial);
      g_free (core);
      return FALSE;
    }
  init_header (device);
  if (info->express)
    pci_express_init (device);
  if (info->n_msix > 0 && !pci_msix_init (device, error))
    {
      pci_device_finish (device);
      return FALSE;
    }
  return TRUE;
}

void
pci_device_finish (PciDevice *device)
{
  PciCore *core = device->core;
  PciBus *root;

  if (core == NULL)
    return;
  root = pci_bus_get_root (device->pci_config.bus);
  pci_device_set_intx (device, FALSE);
  g_rec_mutex_lock (&root->config_lock);
  pci_bars_unmap_all (device);
  g_rec_mutex_unlock (&root->config_lock);
  pci_bus_detach (device->pci_config.bus, (guint)device->pci_config.devfn);
  for (guint i = 0; i < PCI_ALCOVE_N_BARS; i++)
    if (core->bars[i].used && core->bars[i].region != NULL)
      vmm_region_drain (core->bars[i].region);
  if (core->bars[PCI_BAR_ROM].used)
    vmm_ram_block_unref (core->bars[PCI_BAR_ROM].block);
  pci_bus_retry_bars (root);
  pci_msix_finish (device);
  pci_msi_finish (device);
  if (core->secondary != NULL)
    core->secondary->bridge = NULL;
  device->core = NULL;
  g_mutex_clear (&core->msix_lock);
  g_free (core->config);
  g_free (core->wmask);
  g_free (core->w1cmask);
  g_free (core->initial);
  g_free (core);
}

gboolean
pci_device_can_dma (PciDevice *device)
{
  return (device->core->config[PCI_COMMAND] & PCI_COMMAND_MASTER) != 0;
}

PciBus *
pci_device_get_bus (PciDevice *device)
{
  return device->pci_config.bus;
}

gboolean
pci_device_is_behind_bridge (PciDevice *device)
{
  return device->pci_config.bus->bridge != NULL;
}

guint
pci_device_get_config_size (PciDevice *device)
{
  return device->core->config_size;
}
