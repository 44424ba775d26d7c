/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Configuration space as the guest sees it. Identification, BARs, interrupt line, MSI and MSI-X and
 * the chains of capabilities are ours; everything else is the device's, behind what the kernel lets
 * through. Capabilities stay at their places: drivers know them by heart. PCI 3.0, 6; PCI Express
 * 5.0, 7.5 and 7.6. */
#include <linux/pci_regs.h>
#include <string.h>

#include "vfio/device/pci-private.h"

#define MAX_CAPS     48u
#define MAX_EXT_CAPS 256u
#define HIDDEN_MAX   64u
#define STATE_D0     0

guint32
vfio_pci_physical_read (VfioPci *pci, guint offset, guint size)
{
  guint32 le = 0;

  if (vfio_device_read (pci->host.device, pci->host.space, offset, &le, size) < 0)
    return size >= 4 ? G_MAXUINT32 : (1u << (size * 8)) - 1;
  return GUINT32_FROM_LE (le);
}

int
vfio_pci_physical_write (VfioPci *pci, guint offset, guint size, guint32 value)
{
  guint32 le = GUINT32_TO_LE (value);

  return vfio_device_write (pci->host.device, pci->host.space, offset, &le, size);
}

gboolean
vfio_pci_read_config (VfioPci *pci, GError **error)
{
  const char *name = vfio_device_get_name (pci->host.device);
  const VfioRegion *space = vfio_device_get_region (pci->host.device, VFIO_PCI_CONFIG_REGION_INDEX);
  int r;

  if (space->size < PCI_CFG_SPACE_SIZE)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "The configuration space of %s is too short (%" G_GUINT64_FORMAT " bytes)", name,
                   space->size);
      return FALSE;
    }
  pci->host.space = space;
  pci->host.space_size =
      space->size >= PCI_CFG_SPACE_EXP_SIZE ? PCI_CFG_SPACE_EXP_SIZE : PCI_CFG_SPACE_SIZE;
  pci->host.physical = g_malloc0 (PCI_CFG_SPACE_EXP_SIZE);
  r = vfio_device_read (pci->host.device, space, 0, pci->host.physical, pci->host.space_size);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the configuration space of %s", name);
  if (vfio_pci_le (pci->host.physical, 2) == 0xffff ||
      (pci->host.physical[PCI_HEADER_TYPE] & 0x7f) == 0x7f)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "%s does not answer: it did not wake up, or its last reset failed. Start this "
                   "computer anew; if it happens again, keep the card awake (write 0 to "
                   "%s/d3cold_allowed, or the option disable_idle_d3 of the module vfio_pci)",
                   name, pci->config.sysfs);
      return FALSE;
    }
  if ((pci->host.physical[PCI_HEADER_TYPE] & 0x7f) != PCI_HEADER_TYPE_NORMAL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "%s is a bridge: only what is behind it can be passed through", name);
      return FALSE;
    }
  return TRUE;
}

/* ---- the chain of capabilities ---- */

/* Bytes from at that no other capability begins in. */
static guint
room_after (const guint16 *offsets, guint n, guint at, guint end)
{
  for (guint i = 0; i < n; i++)
    if (offsets[i] > at && offsets[i] < end)
      end = offsets[i];
  return end - at;
}

static void
set_virtual (VfioPci *pci, guint offset, guint length)
{
  memset (pci->host.virtual_bits + offset, 0xff, length);
}

/* The bytes are ours, and show what the device showed at the beginning. */
static void
freeze (VfioPci *pci, guint offset, guint length)
{
  set_virtual (pci, offset, length);
  for (guint i = 0; i < length; i++)
    pci_device_set_config (&pci->parent, offset + i, 1, pci->host.physical[offset + i]);
}

static void
hide (VfioPci *pci, guint offset, guint length)
{
  set_virtual (pci, offset, length);
  for (guint i = 0; i < length; i++)
    pci_device_set_config (&pci->parent, offset + i, 1, 0);
}

/* PCI Express 5.0, 7.5.3.2: the type goes with the place. Behind our port everything is an endpoint,
 * on the root bus it is integrated, and then has no link. */
static void
init_express (VfioPci *pci, guint cap, guint room)
{
  gboolean on_port = pci_device_is_behind_bridge (&pci->parent);
  guint flags = vfio_pci_le (pci->host.physical + cap + PCI_EXP_FLAGS, 2);
  guint type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;

  freeze (pci, cap + PCI_EXP_FLAGS, 2);
  pci_device_set_express_capability (&pci->parent, cap);
  if (on_port && type == PCI_EXP_TYPE_RC_END && room >= 0x3c)
    {
      type = PCI_EXP_TYPE_ENDPOINT;
      flags = (flags & ~(guint)PCI_EXP_FLAGS_VERS) | 2;
      freeze (pci, cap + PCI_EXP_LNKCAP, 8);
      pci_device_set_config (&pci->parent, cap + PCI_EXP_LNKCAP, 4,
                             PCI_EXP_LNKCAP_SLS_2_5GB | 1 << 4);
      pci_device_set_config (&pci->parent, cap + PCI_EXP_LNKCTL, 4,
                             (guint32)(PCI_EXP_LNKSTA_CLS_2_5GB | PCI_EXP_LNKSTA_NLW_X1) << 16);
    }
  else if (!on_port && (type == PCI_EXP_TYPE_ENDPOINT || type == PCI_EXP_TYPE_LEG_END))
    {
      type = PCI_EXP_TYPE_RC_END;
      if (room >= PCI_EXP_LNKSTA + 2)
        hide (pci, cap + PCI_EXP_LNKCAP, 8);
      if (room >= PCI_EXP_LNKSTA2 + 2)
        hide (pci, cap + PCI_EXP_LNKCAP2, 8);
    }
  pci_device_set_config (&pci->parent, cap + PCI_EXP_FLAGS, 2,
                         (flags & ~(guint)PCI_EXP_FLAGS_TYPE) | type << 4);
}

static gboolean
init_msix (VfioPci *pci, guint cap, GError **error)
{
  VfioMsix *msix = &pci->host.msix;
  const guint8 *at = pci->host.physical + cap;
  guint32 table = vfio_pci_le (at + PCI_MSIX_TABLE, 4), pba = vfio_pci_le (at + PCI_MSIX_PBA, 4);
  guint n = (vfio_pci_le (at + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  const VfioRegion *table_region, *pba_region;

  *msix = (VfioMsix){
    .n = MIN (n, vfio_device_get_n_irqs (pci->host.device, VFIO_PCI_MSIX_IRQ_INDEX)),
    .table_bar = table & PCI_MSIX_TABLE_BIR,
    .table_offset = table & PCI_MSIX_TABLE_OFFSET,
    .pba_bar = pba & PCI_MSIX_PBA_BIR,
    .pba_offset = pba & PCI_MSIX_PBA_OFFSET,
  };
  table_region = msix->table_bar < PCI_ALCOVE_N_BARS
                     ? vfio_device_get_region (pci->host.device, msix->table_bar)
                     : NULL;
  pba_region = msix->pba_bar < PCI_ALCOVE_N_BARS
                   ? vfio_device_get_region (pci->host.device, msix->pba_bar)
                   : NULL;
  if (msix->n == 0 || table_region == NULL || pba_region == NULL ||
      msix->table_offset + n * PCI_MSIX_ENTRY_SIZE > table_region->size ||
      msix->pba_offset + (n + 63) / 64 * 8 > pba_region->size)
    {
      vfio_pci_note (pci, "Its MSI-X capability makes no sense and is hidden from the guest");
      *msix = (VfioMsix){ 0 };
      hide (pci, cap, PCI_CAP_MSIX_SIZEOF);
      return TRUE;
    }
  freeze (pci, cap, PCI_CAP_MSIX_SIZEOF);
  msix->cap = cap;
  return pci_device_add_msix_at (&pci->parent, cap, msix->n, error);
}

/* Returns FALSE when the capability is not shown. */
static gboolean
init_msi (VfioPci *pci, guint cap, guint room)
{
  guint flags = vfio_pci_le (pci->host.physical + cap + PCI_MSI_FLAGS, 2);
  guint length = (flags & PCI_MSI_FLAGS_64BIT) != 0 ? 14 : 10;
  guint n = 1u << MIN ((flags & PCI_MSI_FLAGS_QMASK) >> 1, 5u);

  if ((flags & PCI_MSI_FLAGS_MASKBIT) != 0)
    length += 10;
  while (n > vfio_device_get_n_irqs (pci->host.device, VFIO_PCI_MSI_IRQ_INDEX))
    n /= 2;
  if (n == 0 || length > room)
    {
      hide (pci, cap, MIN (length, room));
      return FALSE;
    }
  freeze (pci, cap, length);
  /* Off, whatever the host left there; the address and the data are the guest's. */
  for (guint i = PCI_MSI_ADDRESS_LO; i < length; i++)
    pci_device_set_config (&pci->parent, cap + i, 1, 0);
  pci_device_add_msi_at (&pci->parent, cap, n);
  pci->host.msi_cap = cap;
  pci->host.n_msi = n;
  return TRUE;
}

/* Returns FALSE when the capability is hidden. *ret_ok FALSE is an error. */
static gboolean
init_cap (VfioPci *pci, guint cap, guint room, gboolean *ret_ok, GError **error)
{
  *ret_ok = TRUE;
  switch (pci->host.physical[cap])
    {
    case PCI_CAP_ID_PM:
      if (room < PCI_PM_SIZEOF || pci->host.pm_cap != 0)
        return FALSE;
      pci->host.pm_cap = cap;
      return TRUE;
    case PCI_CAP_ID_MSI:
      return pci->host.msi_cap == 0 && init_msi (pci, cap, room);
    case PCI_CAP_ID_MSIX:
      if (room < PCI_CAP_MSIX_SIZEOF || pci->host.msix.cap != 0)
        return FALSE;
      *ret_ok = init_msix (pci, cap, error);
      return pci->host.msix.cap != 0;
    case PCI_CAP_ID_EXP:
      if (room < 0x14 || pci->host.express_cap != 0)
        return FALSE;
      pci->host.express_cap = cap;
      init_express (pci, cap, room);
      return TRUE;
    case PCI_CAP_ID_AF:
      pci->host.af_cap = cap;
      return TRUE;
    case PCI_CAP_ID_EA:   /* addresses of the host */
    case PCI_CAP_ID_SHPC: /* of bridges */
    case 0:
      return FALSE;
    default:
      return TRUE;
    }
}

/* PCI Express 5.0, 7.8.5: entries of one to eight double words after the first. */
static guint
ea_length (const guint8 *physical, guint cap)
{
  guint end = cap + 4;

  for (guint n = physical[cap + 2] & 0x3f; n > 0 && end < PCI_CFG_SPACE_SIZE; n--)
    end += ((physical[end] & 7u) + 1) * 4;
  return MIN (end, PCI_CFG_SPACE_SIZE) - cap;
}

static gboolean
init_caps (VfioPci *pci, GError **error)
{
  const guint8 *physical = pci->host.physical;
  guint16 offsets[MAX_CAPS];
  guint n = 0, last = 0, at;

  if ((physical[PCI_STATUS] & PCI_STATUS_CAP_LIST) == 0)
    return TRUE;
  at = physical[PCI_CAPABILITY_LIST] & ~3u;
  while (at >= PCI_STD_HEADER_SIZEOF && n < MAX_CAPS)
    {
      gboolean seen = FALSE;

      for (guint i = 0; i < n; i++)
        seen |= offsets[i] == at;
      if (seen || physical[at] == 0xff)
        break;
      offsets[n++] = (guint16)at;
      at = physical[at + 1] & ~3u;
    }
  for (guint i = 0; i < n; i++)
    {
      guint cap = offsets[i];
      guint room = room_after (offsets, n, cap, PCI_CFG_SPACE_SIZE);
      gboolean ok, shown = room >= 4 && init_cap (pci, cap, room, &ok, error);

      if (room >= 4 && !ok)
        return FALSE;
      if (!shown)
        {
          /* What follows is the device's own. */
          hide (pci, cap,
                MIN (room, physical[cap] == PCI_CAP_ID_EA ? ea_length (physical, cap) : 8u));
          continue;
        }
      set_virtual (pci, cap, 2);
      pci_device_set_config (&pci->parent, cap, 2, physical[cap]);
      pci_device_set_config (&pci->parent, last == 0 ? PCI_CAPABILITY_LIST : last + 1, 1, cap);
      last = cap;
    }
  if (last != 0)
    pci_device_set_config (&pci->parent, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  return TRUE;
}

/* What a guest without an IOMMU of its own, and with one machine's view of the bus, must not use: an
 * address service, other functions that are not there, BARs that would change behind our back. */
static gboolean
is_ext_cap_shown (guint id)
{
  switch (id)
    {
    case PCI_EXT_CAP_ID_SRIOV:
    case PCI_EXT_CAP_ID_ARI:
    case PCI_EXT_CAP_ID_REBAR:
    case 0x24: /* resizable BARs of virtual functions */
    case PCI_EXT_CAP_ID_ATS:
    case PCI_EXT_CAP_ID_PRI:
    case PCI_EXT_CAP_ID_PASID:
    case PCI_EXT_CAP_ID_MCAST:
    case 0:
    case 0xffff:
      return FALSE;
    default:
      return TRUE;
    }
}

static void
init_ext_caps (VfioPci *pci)
{
  const guint8 *physical = pci->host.physical;
  guint16 offsets[MAX_EXT_CAPS];
  guint n = 0, last = 0, at = PCI_CFG_SPACE_SIZE;

  if (pci->host.space_size < PCI_CFG_SPACE_EXP_SIZE || pci->host.express_cap == 0)
    {
      hide (pci, PCI_CFG_SPACE_SIZE, PCI_CFG_SPACE_EXP_SIZE - PCI_CFG_SPACE_SIZE);
      return;
    }
  while (at >= PCI_CFG_SPACE_SIZE && at <= PCI_CFG_SPACE_EXP_SIZE - 4 && n < MAX_EXT_CAPS)
    {
      guint32 header = vfio_pci_le (physical + at, 4);
      gboolean seen = FALSE;

      for (guint i = 0; i < n; i++)
        seen |= offsets[i] == at;
      if (seen || header == 0 || header == G_MAXUINT32)
        break;
      offsets[n++] = (guint16)at;
      at = (header >> 20) & 0xffc;
    }
  if (n == 0)
    set_virtual (pci, PCI_CFG_SPACE_SIZE, 4);
  for (guint i = 0; i < n; i++)
    {
      guint cap = offsets[i];
      guint32 header = vfio_pci_le (physical + cap, 4);

      if (!is_ext_cap_shown (header & 0xffff))
        {
          hide (pci, cap, MIN (room_after (offsets, n, cap, PCI_CFG_SPACE_EXP_SIZE), HIDDEN_MAX));
          /* The chain begins here all the same: a header without a meaning leads on. */
          if (i > 0)
            continue;
          header = 0;
        }
      set_virtual (pci, cap, 4);
      pci_device_set_config (&pci->parent, cap, 4, header & 0xfffff);
      if (last != 0)
        pci_device_set_config (&pci->parent, last, 4,
                               (pci_device_get_config (&pci->parent, last, 4) & 0xfffff) |
                                   cap << 20);
      last = cap;
    }
}

/* ---- accesses ---- */

static void
config_read (PciDevice *device, guint offset, guint size, guint32 *value)
{
  VfioPci *pci = (VfioPci *)device;
  guint32 ours = 0, theirs;

  for (guint i = 0; i < size; i++)
    ours |= (guint32)pci->host.virtual_bits[offset + i] << (i * 8);
  if (ours == (size >= 4 ? G_MAXUINT32 : (1u << (size * 8)) - 1))
    return;
  theirs = offset + size <= pci->host.space_size ? vfio_pci_physical_read (pci, offset, size) : 0;
  *value = (*value & ours) | (theirs & ~ours);
}

static gboolean
touches (guint offset, guint size, guint first, guint length)
{
  return offset < first + length && first < offset + size;
}

/* The power state that a write asks for, or G_MAXUINT. PCI Power Management 1.2, 3.2.4. */
static guint
get_power_state (VfioPci *pci, guint offset, guint size, guint32 value)
{
  guint at = pci->host.pm_cap + PCI_PM_CTRL;

  if (pci->host.pm_cap == 0 || !touches (offset, size, at, 1))
    return G_MAXUINT;
  return (value >> ((at - offset) * 8)) & PCI_PM_CTRL_STATE_MASK;
}

static void
set_low_power (VfioPci *pci, gboolean on)
{
  if (!pci->host.has_low_power || pci->host.low_power == on)
    return;
  if (vfio_device_set_feature (pci->host.device,
                               on ? VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY
                                  : VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
                               NULL, 0) >= 0)
    pci->host.low_power = on;
}

/* The device hears of a change before what it decodes is mapped, and after it is unmapped: a guest
 * never reaches a page that the kernel has taken back. */
static void
raw_write (PciDevice *device, guint offset, guint size, guint32 value)
{
  VfioPci *pci = (VfioPci *)device;
  guint state = get_power_state (pci, offset, size, value);
  gboolean theirs = touches (offset, size, PCI_COMMAND, 2);

  for (guint i = 0; i < size; i++)
    theirs |= pci->host.virtual_bits[offset + i] != 0xff;
  if (!theirs || offset + size > pci->host.space_size)
    return;
  pci->host.fresh = FALSE;
  if (touches (offset, size, PCI_COMMAND, 1) &&
      (pci_device_get_config (device, PCI_COMMAND, 2) & PCI_COMMAND_MEMORY) == 0)
    vfio_pci_unmap_slots (pci);
  if (state != G_MAXUINT && state != STATE_D0)
    {
      pci->host.asleep = TRUE;
      vfio_pci_update_slots (pci);
    }
  if (state == STATE_D0)
    set_low_power (pci, FALSE);
  (void)vfio_pci_physical_write (pci, offset, size, value);
  if (state == STATE_D0)
    {
      pci->host.asleep = FALSE;
      vfio_pci_update_slots (pci);
    }
  else if (state == 3)
    set_low_power (pci, TRUE);
}

static void
config_written (PciDevice *device, guint offset, guint size)
{
  VfioPci *pci = (VfioPci *)device;

  if ((pci->host.msix.cap != 0 && touches (offset, size, pci->host.msix.cap, 4)) ||
      (pci->host.msi_cap != 0 && touches (offset, size, pci->host.msi_cap, 24)))
    vfio_pci_update_irqs (pci);
}

gboolean
vfio_pci_init_config (VfioPci *pci, GError **error)
{
  guint8 *bits = pci->host.virtual_bits = g_malloc0 (PCI_CFG_SPACE_EXP_SIZE);

  set_virtual (pci, 0, PCI_STD_HEADER_SIZEOF);
  bits[PCI_STATUS] = PCI_STATUS_CAP_LIST;
  bits[PCI_STATUS + 1] = 0;
  if (!init_caps (pci, error))
    return FALSE;
  if (pci_device_get_config_size (&pci->parent) == PCI_CFG_SPACE_EXP_SIZE)
    init_ext_caps (pci);
  pci->host.has_low_power =
      vfio_device_has_feature (pci->host.device, VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY);
  pci_device_set_config_hooks (&pci->parent, config_read, config_written);
  pci_device_set_raw_write_hook (&pci->parent, raw_write);
  pci_device_set_bus_reset_hook (&pci->parent, vfio_pci_on_bus_reset);
  return TRUE;
}

void
vfio_pci_finish_config (VfioPci *pci)
{
  g_clear_pointer (&pci->host.physical, g_free);
  g_clear_pointer (&pci->host.virtual_bits, g_free);
}
