/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/registry.h"

#include "devices/board/root-port.h"
#include "devices/display/ivshmem.h"
#include "devices/display/vga-pci.h"
#include "devices/platform/cfi-flash.h"
#include "devices/platform/debug-console.h"
#include "devices/platform/fw-cfg.h"
#include "devices/platform/hpet.h"
#include "devices/platform/legacy-ports.h"
#include "devices/platform/pm.h"
#include "devices/platform/rtc.h"
#include "devices/platform/serial.h"
#include "devices/platform/signal-port.h"
#include "devices/platform/vmgenid.h"
#include "devices/storage/ahci.h"
#include "devices/storage/nvme.h"
#include "devices/virtio/block.h"
#include "devices/virtio/console.h"
#include "devices/virtio/gpu.h"
#include "devices/virtio/input.h"
#include "devices/virtio/net.h"
#include "devices/virtio/rng.h"
#include "devices/virtio/scsi.h"

static const VmmDeviceOps *const registry[] = {
  &ahci_device_ops,
  &ahci_cdrom_device_ops,
  &ahci_disk_device_ops,
  &cfi_flash_ops,
  &debug_console_ops,
  &debug_exit_ops,
  &fw_cfg_ops,
  &hpet_ops,
  &ivshmem_device_ops,
  &legacy_ports_ops,
  &nvme_device_ops,
  &pcie_root_port_ops,
  &pm_ops,
  &pvpanic_ops,
  &rtc_ops,
  &serial_ops,
  &vmgenid_ops,
  &virtio_block_device_ops,
  &vga_device_ops,
  &virtio_console_device_ops,
  &virtio_input_device_ops,
  &virtio_net_device_ops,
  &virtio_rng_device_ops,
  &virtio_scsi_device_ops,
  &virtio_vga_device_ops,
  NULL,
};

const VmmDeviceOps *const *
device_registry_get (void)
{
  return registry;
}

const VmmDeviceOps *
device_registry_find (const char *name)
{
  for (guint i = 0; registry[i] != NULL; i++)
    if (g_str_equal (registry[i]->name, name))
      return registry[i];
  return NULL;
}

gboolean
device_registry_validate (GError **error)
{
  for (guint i = 0; registry[i] != NULL; i++)
    {
      if (!vmm_device_ops_validate (registry[i], error))
        return FALSE;
      if (device_registry_find (registry[i]->name) != registry[i])
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "device type “%s” is registered twice",
                       registry[i]->name);
          return FALSE;
        }
    }
  return TRUE;
}
