/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The legacy VGA places, for BIOS firmware whose start-up program draws on this card: ports 3b0 to
 * 3bb and 3c0 to 3df, memory a0000 to bffff. All of it is trapped. The machine then has no display of
 * ours that wants them. */
#include "vfio/device/pci-private.h"

static VmmIoResult
vga_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  const VfioVgaPart *part = opaque;
  VfioPci *pci = part->pci;

  *value = vfio_device_read_le (pci->host.device, pci->host.vga_region, part->place + offset, size);
  return VMM_IO_OK;
}

static VmmIoResult
vga_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  const VfioVgaPart *part = opaque;
  VfioPci *pci = part->pci;
  guint64 le = GUINT64_TO_LE (value);

  (void)vfio_device_write (pci->host.device, pci->host.vga_region, part->place + offset, &le, size);
  return VMM_IO_OK;
}

static const VmmRegionOps ops = {
  .name = "vfio-vga",
  .min_size = 1,
  .max_size = 8,
  .flags = VMM_REGION_LOCKLESS | VMM_REGION_UNALIGNED,
  .read = vga_read,
  .write = vga_write,
};

static const VmmRegionOps port_ops = {
  .name = "vfio-vga-ports",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_LOCKLESS | VMM_REGION_UNALIGNED,
  .read = vga_read,
  .write = vga_write,
};

gboolean
vfio_pci_init_vga (VfioPci *pci, GError **error)
{
  static const struct
  {
    guint64 place, size;
  } parts[VFIO_VGA_PARTS] = { { 0x3b0, 12 }, { 0x3c0, 32 }, { 0xa0000, 0x20000 } };
  VmmMachine *machine = vfio_container_get_machine (pci->config.container);

  if (!pci->config.vga)
    return TRUE;
  pci->host.vga_region = vfio_device_get_region (pci->host.device, VFIO_PCI_VGA_REGION_INDEX);
  if (pci->host.vga_region == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "%s has no legacy VGA that can be passed through: it is no VGA card, or this "
                   "computer's kernel was built without CONFIG_VFIO_PCI_VGA. Remove vga=true (UEFI "
                   "firmware does not need it)",
                   vfio_device_get_name (pci->host.device));
      return FALSE;
    }
  for (guint i = 0; i < VFIO_VGA_PARTS; i++)
    {
      VfioVgaPart *part = &pci->host.vga_parts[i];
      gboolean memory = parts[i].place >= 0x10000;
      VmmBus *bus = memory ? vmm_machine_get_mmio (machine) : vmm_machine_get_pio (machine);

      part->pci = pci;
      part->place = parts[i].place;
      vmm_region_init (&part->region, memory ? &ops : &port_ops, part, NULL, parts[i].size);
      if (!vmm_bus_map (bus, part->place, &part->region, error))
        {
          g_prefix_error (error,
                          "%s cannot have the legacy VGA places: remove the machine's own display "
                          "or vga=true. ",
                          vfio_device_get_name (pci->host.device));
          return FALSE;
        }
    }
  return TRUE;
}

void
vfio_pci_finish_vga (VfioPci *pci)
{
  for (guint i = 0; i < VFIO_VGA_PARTS; i++)
    if (pci->host.vga_parts[i].pci != NULL)
      {
        vmm_bus_unmap (&pci->host.vga_parts[i].region);
        vmm_region_drain (&pci->host.vga_parts[i].region);
      }
}
