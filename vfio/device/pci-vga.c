/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The legacy VGA places, for BIOS firmware whose start-up program draws on this card: ports 3b0 to
 * 3bb and 3c0 to 3df, memory a0000 to bffff. All of it is trapped. The machine then has no display of
 * ours that wants them. */
#include <linux/pci_regs.h>

#include "vfio/device/pci-private.h"

/* ---- ways to configuration space through them ---- */

/* Old cards of NVIDIA's: 338 to port 3d4, an address to 3d0, 538 (read) or 738 (write) to 3d4, then the
 * data at 3d0. Address 0x1800 begins configuration space. */
typedef enum
{
  VGA_STATE_NONE,
  VGA_STATE_SELECT,
  VGA_STATE_WINDOW,
  VGA_STATE_READ,
  VGA_STATE_WRITE,
} VfioVgaState;

#define PORT_STATE     0x3c3u
#define PORT_DATA      0x3d0u
#define PORT_COMMAND   0x3d4u
#define CONFIG_ADDRESS 0x1800u
#define VENDOR_NVIDIA  0x10de
#define VENDOR_ATI     0x1002

static void
init_quirks (VfioPci *pci)
{
  VfioQuirks *quirks = &pci->host.quirks;
  const VfioRegion *ports = vfio_device_get_region (pci->host.device, 4);
  guint vendor = vfio_pci_le (pci->host.physical + PCI_VENDOR_ID, 2);

  quirks->has_vga_window =
      vendor == VENDOR_NVIDIA && vfio_device_get_region (pci->host.device, 1) != NULL;
  quirks->has_vga_bar = vendor == VENDOR_ATI && ports != NULL && ports->size >= 256 &&
                        (pci->host.physical[PCI_BASE_ADDRESS_4] & PCI_BASE_ADDRESS_SPACE_IO) != 0;
}

/* Where the window leads, when it leads to configuration space. */
static gboolean
find_config (VfioQuirks *quirks, guint size, guint *ret_config)
{
  guint32 address = (guint32)g_atomic_int_get (&quirks->vga_address);

  *ret_config = address & 0xff;
  return (address & ~0xffu) == CONFIG_ADDRESS && *ret_config + size <= PCI_CFG_SPACE_SIZE;
}

static VfioVgaState
next_state (VfioVgaState state, guint64 place, guint64 value)
{
  if (place == PORT_COMMAND && value == 0x338 && state == VGA_STATE_NONE)
    return VGA_STATE_SELECT;
  if (place == PORT_DATA && state == VGA_STATE_SELECT)
    return VGA_STATE_WINDOW;
  if (place == PORT_COMMAND && value == 0x538 && state == VGA_STATE_WINDOW)
    return VGA_STATE_READ;
  if (place == PORT_COMMAND && value == 0x738 && state == VGA_STATE_WINDOW)
    return VGA_STATE_WRITE;
  return VGA_STATE_NONE;
}

/* TRUE: the access is done. */
static gboolean
quirk_read (VfioPci *pci, guint64 place, guint size, guint64 *value)
{
  VfioQuirks *quirks = &pci->host.quirks;
  VfioVgaState state;
  guint config;

  /* AMD's start-up programs read the second byte of the address of BAR 4 here. */
  if (quirks->has_vga_bar && place == PORT_STATE && size == 1)
    {
      *value = pci_device_config_read (&pci->parent, PCI_BASE_ADDRESS_4 + 1, 1);
      return TRUE;
    }
  if (!quirks->has_vga_window || (place != PORT_DATA && place != PORT_COMMAND))
    return FALSE;
  state = (VfioVgaState)g_atomic_int_get (&quirks->vga_state);
  g_atomic_int_set (&quirks->vga_state, VGA_STATE_NONE);
  if (place != PORT_DATA || state != VGA_STATE_READ || !find_config (quirks, size, &config))
    return FALSE;
  *value = pci_device_config_read (&pci->parent, config, size);
  return TRUE;
}

static gboolean
quirk_write (VfioPci *pci, guint64 place, guint size, guint64 value)
{
  VfioQuirks *quirks = &pci->host.quirks;
  VfioVgaState state, next;
  guint config;

  if (!quirks->has_vga_window || (place != PORT_DATA && place != PORT_COMMAND))
    return FALSE;
  state = (VfioVgaState)g_atomic_int_get (&quirks->vga_state);
  next = next_state (state, place, value);
  g_atomic_int_set (&quirks->vga_state, next);
  if (next == VGA_STATE_WINDOW)
    g_atomic_int_set (&quirks->vga_address, (gint)(guint32)value);
  if (place != PORT_DATA || state != VGA_STATE_WRITE || !find_config (quirks, size, &config))
    return FALSE;
  pci_device_config_write (&pci->parent, config, size, (guint32)value);
  return TRUE;
}

/* ---- the places ---- */

static VmmIoResult
vga_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  const VfioVgaPart *part = opaque;
  VfioPci *pci = part->pci;

  if (quirk_read (pci, part->place + offset, size, value))
    return VMM_IO_OK;
  *value = vfio_device_read_le (pci->host.device, pci->host.vga_region, part->place + offset, size);
  return VMM_IO_OK;
}

static VmmIoResult
vga_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  const VfioVgaPart *part = opaque;
  VfioPci *pci = part->pci;
  guint64 le = GUINT64_TO_LE (value);

  if (quirk_write (pci, part->place + offset, size, value))
    return VMM_IO_OK;
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
  init_quirks (pci);
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
