/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The PCI Express capability: type by place (root port, endpoint behind a port, endpoint integrated
 * into the root complex). PCI Express Base 5.0, 7.5.3. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>

#define EXPRESS_LENGTH 0x3c

void
pci_express_init (PciDevice *device)
{
  PciCore *core = device->core;
  gboolean on_root = ((PciBus *)device->pci_config.bus)->bridge == NULL;
  guint type = core->info.header_type == 1 ? PCI_EXP_TYPE_ROOT_PORT
               : on_root                   ? PCI_EXP_TYPE_RC_END
                                           : PCI_EXP_TYPE_ENDPOINT;
  guint cap = pci_device_add_capability (device, PCI_CAP_ID_EXP, EXPRESS_LENGTH);

  core->express_cap = cap;
  pci_device_set_config (device, cap + PCI_EXP_FLAGS, 2, 2 | type << 4);
  /* Payload 128 bytes, role-based error reporting. */
  pci_device_set_config (device, cap + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER);
  /* Request size 512 after reset. */
  pci_device_set_config (device, cap + PCI_EXP_DEVCTL, 2, 0x2000);
  pci_device_set_wmask (device, cap + PCI_EXP_DEVCTL, 2,
                        PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
                            PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
                            PCI_EXP_DEVCTL_EXT_TAG | PCI_EXP_DEVCTL_NOSNOOP_EN |
                            PCI_EXP_DEVCTL_READRQ);
  pci_device_set_w1cmask (device, cap + PCI_EXP_DEVSTA, 2,
                          PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED |
                              PCI_EXP_DEVSTA_URD);
  /* 7.5.3.6: an endpoint integrated into the root complex has no link. */
  if (type == PCI_EXP_TYPE_RC_END)
    return;
  /* One lane at 2.5 GT/s; the port number is the function's place. */
  pci_device_set_config (device, cap + PCI_EXP_LNKCAP, 4,
                         PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4 |
                             (guint32)device->pci_config.devfn << 24);
  pci_device_set_wmask (device, cap + PCI_EXP_LNKCTL, 2,
                        PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_LD | PCI_EXP_LNKCTL_CCC |
                            PCI_EXP_LNKCTL_ES);
  pci_device_set_config (device, cap + PCI_EXP_LNKSTA, 2,
                         PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1);
  pci_device_set_config (device, cap + PCI_EXP_LNKCAP2, 4, PCI_EXP_LNKCAP2_SLS_2_5GB);
  pci_device_set_config (device, cap + PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS_2_5GT);
  pci_device_set_wmask (device, cap + PCI_EXP_LNKCTL2, 2, PCI_EXP_LNKCTL2_TLS);
}

void
pci_device_set_express_capability (PciDevice *device, guint cap)
{
  g_assert (device->core->express_cap == 0);
  device->core->express_cap = cap;
}

guint
pci_device_get_express_capability (PciDevice *device)
{
  return device->core->express_cap;
}
