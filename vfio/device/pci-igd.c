/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Graphics that Intel builds into processors (igd.h). Beside BARs such a function uses three things of
 * the machine around it, and their registers show the host's: they become ours.
 *
 * | register | what the guest sees |
 * |---|---|
 * | ASLS (0xfc) | 0, then where the guest's copy of the OpRegion is |
 * | GGC (0x50) | without stolen memory; igd=legacy: as it is |
 * | BDSM (0x5c or 0xc0) | 0; igd=legacy: what firmware writes |
 * | the last two once more, BAR 0 + 0x108040, + 0x1080c0 | the same |
 *
 * The OpRegion itself, the size of the memory to set aside and what the chipset is are told to the
 * owner (vfio_pci_get_graphics), who has the firmware and the board. */
#include <linux/pci_regs.h>
#include <string.h>

#include "vfio/device/pci-private.h"
#include "vfio/uapi/newer.h"

#define VENDOR_INTEL 0x8086
#define CLASS        0x03 /* display */
#define STOLEN_MAX   (G_GUINT64_CONSTANT (512) << 20)
#define REGION_TYPE  (VFIO_UAPI_REGION_VENDOR | VENDOR_INTEL)

static const VfioRegion *
find_region (VfioPci *pci, guint32 subtype)
{
  const VfioRegion *region = vfio_device_find_region (pci->host.device, REGION_TYPE, subtype);

  return region != NULL && (region->flags & VFIO_REGION_INFO_FLAG_READ) != 0 ? region : NULL;
}

/* ---- OpRegion ---- */

static void
read_opregion (VfioPci *pci)
{
  const VfioRegion *region = find_region (pci, VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION);
  g_autofree guint8 *bytes = NULL;
  g_autofree char *wrong = NULL;
  gboolean has_vbt = FALSE;

  if (region == NULL)
    {
      vfio_pci_note (pci,
                     "This computer's kernel does not give its OpRegion (it was built without "
                     "CONFIG_VFIO_PCI_IGD, or the firmware has none): Windows shows no picture on "
                     "its outputs, Linux guesses which there are");
      return;
    }
  if (region->size <= VFIO_IGD_OPREGION_MAX)
    {
      bytes = g_malloc0 (region->size);
      if (vfio_device_read (pci->host.device, region, 0, bytes, region->size) < 0)
        wrong = g_strdup ("it cannot be read");
    }
  if (wrong == NULL)
    wrong = vfio_igd_check_opregion (bytes, region->size, &has_vbt);
  if (wrong != NULL)
    {
      vfio_pci_note (pci,
                     "Its OpRegion is not shown to the guest: %s. Windows shows no picture on its "
                     "outputs then, Linux guesses which there are",
                     wrong);
      return;
    }
  if (!has_vbt)
    vfio_pci_note (pci, "Its OpRegion has no table of outputs (VBT): a guest's driver may find "
                        "none of them");
  pci->host.graphics.opregion = g_bytes_new_take (g_steal_pointer (&bytes), region->size);
}

void
vfio_pci_set_opregion_address (VmmDevice *device, guint64 address)
{
  VfioPci *pci = (VfioPci *)device;
  PciBus *bus;

  if (pci->host.graphics.opregion == NULL || address > G_MAXUINT32)
    return;
  bus = pci_device_get_bus (&pci->parent);
  pci_bus_lock_config (bus);
  if (pci_device_get_config (&pci->parent, VFIO_IGD_ASLS, 4) == 0)
    pci_device_set_config (&pci->parent, VFIO_IGD_ASLS, 4, (guint32)address);
  pci_bus_unlock_config (bus);
}

/* ---- what the chipset is ---- */

static void
read_bridge (VfioPci *pci, guint32 subtype, VfioPciBridge *ret)
{
  const VfioRegion *region = find_region (pci, subtype);
  guint8 header[PCI_STD_HEADER_SIZEOF];

  if (region == NULL || vfio_device_read (pci->host.device, region, 0, header, sizeof header) < 0 ||
      vfio_pci_le (header + PCI_VENDOR_ID, 2) != VENDOR_INTEL)
    return;
  *ret = (VfioPciBridge){
    .known = TRUE,
    .vendor = VENDOR_INTEL,
    .device = (guint16)vfio_pci_le (header + PCI_DEVICE_ID, 2),
    .subsystem_vendor = (guint16)vfio_pci_le (header + PCI_SUBSYSTEM_VENDOR_ID, 2),
    .subsystem = (guint16)vfio_pci_le (header + PCI_SUBSYSTEM_ID, 2),
    .revision = header[PCI_REVISION_ID],
  };
}

/* ---- registers ---- */

static gboolean
is_free (VfioPci *pci, guint offset, guint size)
{
  for (guint i = 0; i < size; i++)
    if (pci->host.virtual_bits[offset + i] != 0)
      return FALSE;
  return TRUE;
}

static void
take (VfioPci *pci, guint offset, guint32 value, guint32 wmask)
{
  memset (pci->host.virtual_bits + offset, 0xff, 4);
  pci_device_set_config (&pci->parent, offset, 4, value);
  pci_device_set_wmask (&pci->parent, offset, 4, wmask);
}

static void
init_stolen (VfioPci *pci, const VfioIgdFamily *family, guint bdsm, guint bdsm_size)
{
  guint32 ggc = vfio_pci_le (pci->host.physical + VFIO_IGD_GGC, 4);
  guint64 size = vfio_igd_get_stolen_size (family, (guint16)ggc);
  gboolean shown = pci->config.igd == VFIO_PCI_IGD_LEGACY && size > 0;

  if (shown && size > STOLEN_MAX)
    {
      vfio_pci_note (pci,
                     "The host's firmware sets %" G_GUINT64_FORMAT " MiB aside for it, and a guest "
                     "gets 512 at most: it gets none. Set less in this computer's firmware (DVMT "
                     "pre-allocated)",
                     size >> 20);
      shown = FALSE;
    }
  if (!shown)
    ggc = (ggc & 0xffff0000) | vfio_igd_without_stolen (family, (guint16)ggc);
  take (pci, VFIO_IGD_GGC, ggc, 0);
  for (guint i = 0; i < bdsm_size; i += 4)
    take (pci, bdsm + i, 0, shown ? G_MAXUINT32 : 0);
  vfio_pci_add_mirror (pci, 0, VFIO_IGD_MMIO_GGC, 4, VFIO_IGD_GGC);
  vfio_pci_add_mirror (pci, 0, VFIO_IGD_MMIO_BDSM, bdsm_size, bdsm);
  if (shown)
    pci->host.graphics.stolen_size = size;
}

static gboolean
check_legacy (VfioPci *pci, gboolean is_igd, GError **error)
{
  const char *name = vfio_device_get_name (pci->host.device);

  if (pci->config.igd != VFIO_PCI_IGD_LEGACY)
    return TRUE;
  if (!is_igd)
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                 "%s is no graphics of a processor of Intel's: remove igd=legacy", name);
  else if (pci_device_is_behind_bridge (&pci->parent) ||
           pci->parent.pci_config.devfn != PCI_MAKE_DEVFN (2, 0))
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                 "With igd=legacy %s must sit where it does in every computer: write "
                 "address=00:02.0",
                 name);
  else
    return TRUE;
  return FALSE;
}

gboolean
vfio_pci_init_igd (VfioPci *pci, GError **error)
{
  const guint8 *physical = pci->host.physical;
  const VfioIgdFamily *family = vfio_igd_find ((guint16)vfio_pci_le (physical + PCI_DEVICE_ID, 2));
  gboolean is_igd =
      vfio_pci_le (physical + PCI_VENDOR_ID, 2) == VENDOR_INTEL &&
      physical[PCI_CLASS_DEVICE + 1] == CLASS &&
      (family != NULL || find_region (pci, VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION) != NULL);
  gboolean wide = family != NULL && family->generation >= 11, has_stolen;
  guint bdsm = wide ? VFIO_IGD_BDSM_WIDE : VFIO_IGD_BDSM, bdsm_size = wide ? 8 : 4;
  guint16 ggc = (guint16)vfio_pci_le (physical + VFIO_IGD_GGC, 2);

  if (!check_legacy (pci, is_igd, error))
    return FALSE;
  if (!is_igd || pci->config.igd == VFIO_PCI_IGD_OFF)
    return TRUE;
  /* Virtual functions of it have no such register. */
  has_stolen = family != NULL && !family->own_window && ggc != 0 && ggc != 0xffff;
  if (!is_free (pci, VFIO_IGD_ASLS, 4) ||
      (has_stolen && (!is_free (pci, VFIO_IGD_GGC, 4) || !is_free (pci, bdsm, bdsm_size))))
    {
      vfio_pci_note (pci,
                     "Its configuration space is not that of graphics of Intel's processors: it "
                     "is passed through as any other device is");
      return TRUE;
    }
  take (pci, VFIO_IGD_ASLS, 0, G_MAXUINT32);
  if (has_stolen)
    init_stolen (pci, family, bdsm, bdsm_size);
  else if (family == NULL)
    vfio_pci_note (pci, "This program does not know its generation: the memory that the host's "
                        "firmware set aside for it is not hidden from the guest");
  read_opregion (pci);
  if (pci->config.igd == VFIO_PCI_IGD_LEGACY)
    {
      read_bridge (pci, VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG, &pci->host.graphics.host_bridge);
      read_bridge (pci, VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG, &pci->host.graphics.lpc_bridge);
    }
  pci->host.is_igd = TRUE;
  return TRUE;
}

void
vfio_pci_finish_igd (VfioPci *pci)
{
  g_clear_pointer (&pci->host.graphics.opregion, g_bytes_unref);
  pci->host.is_igd = FALSE;
}

const VfioPciGraphics *
vfio_pci_get_graphics (VmmDevice *device)
{
  VfioPci *pci = (VfioPci *)device;

  return pci->host.is_igd ? &pci->host.graphics : NULL;
}
