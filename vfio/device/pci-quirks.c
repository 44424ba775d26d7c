/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Back doors to configuration space. Some cards show it a second time in a BAR, and their drivers and
 * start-up programs take addresses from there: the host's, which mean nothing to the guest. Such
 * accesses go to the guest's view instead.
 *
 * | cards | where | what |
 * |---|---|---|
 * | NVIDIA, display | BAR 0 + 0x88000, 4 KiB | configuration space |
 * | NVIDIA, display | BAR 5 (ports): 0 master, 4 enable, 8 address, c data | addresses 0x88000 and 0x1800 |
 * | AMD/ATI, display | BAR 2 + 0x4000, 256 bytes | configuration space |
 * | AMD/ATI, display | BAR 4 (ports): 0 address, 4 data | address 0x4000 |
 * | NVIDIA, display, vga=true | BAR 0 + 0x1800, 256 bytes | configuration space |
 * | NVIDIA, AMD/ATI, vga=true | ports 3c3, 3d0, 3d4 | pci-vga.c |
 * | Intel's processors | BAR 0 + 0x108000 | pci-igd.c |
 * | RTL8168 | BAR 2 + 0x70 | the MSI-X table: pci-rtl8168.c |
 *
 * NVIDIA's drivers end each MSI by a write into the mirror (offset 0x704, or the MSI capability's first
 * bytes), which is the device's: once it has been seen a few times the kernel does it, by an ioeventfd
 * of the hypervisor.
 *
 * Only NVIDIA's mirror is used by drivers; the others are for start-up programs that run with the
 * legacy VGA places (vga=true). On newer AMD cards BAR 2 is doorbells, which must stay mapped.
 *
 * The bar's other accesses are not touched, and what is not in a quirk's place stays mapped. */
#include <linux/pci_regs.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vfio/device/pci-private.h"

#define VENDOR_NVIDIA 0x10de
#define VENDOR_ATI    0x1002
#define CLASS_VGA     0x0300
#define ACK_OFFSET    0x704u
#define ACK_HITS      10u

static gboolean
is_vga_of (VfioPci *pci, guint16 vendor)
{
  return vfio_pci_le (pci->host.physical + PCI_VENDOR_ID, 2) == vendor &&
         vfio_pci_le (pci->host.physical + PCI_CLASS_DEVICE, 2) == CLASS_VGA;
}

void
vfio_pci_add_mirror (VfioPci *pci, guint bar, guint64 offset, guint64 size, guint config)
{
  VfioQuirks *quirks = &pci->host.quirks;

  g_assert (quirks->n_mirrors < VFIO_MIRRORS_MAX);
  quirks->mirrors[quirks->n_mirrors++] = (VfioMirror){ bar, offset, size, config };
}

static void
init_nvidia (VfioPci *pci)
{
  VfioQuirks *quirks = &pci->host.quirks;

  vfio_pci_add_mirror (pci, 0, 0x88000, PCI_CFG_SPACE_EXP_SIZE, 0);
  quirks->has_ack = TRUE;
  if (!pci->config.vga)
    return;
  vfio_pci_add_mirror (pci, 0, 0x1800, PCI_CFG_SPACE_SIZE, 0);
  quirks->has_window = quirks->window_gated = TRUE;
  quirks->window_bar = 5;
  quirks->window_address = 0x8;
  quirks->window_data = 0xc;
  quirks->matches[quirks->n_matches++] = (VfioMatch){ 0x88000, PCI_CFG_SPACE_EXP_SIZE };
  quirks->matches[quirks->n_matches++] = (VfioMatch){ 0x1800, PCI_CFG_SPACE_SIZE };
}

static void
init_ati (VfioPci *pci)
{
  VfioQuirks *quirks = &pci->host.quirks;

  if ((pci->host.physical[PCI_BASE_ADDRESS_2] &
       (PCI_BASE_ADDRESS_SPACE_IO | PCI_BASE_ADDRESS_MEM_TYPE_64)) == PCI_BASE_ADDRESS_MEM_TYPE_64)
    vfio_pci_add_mirror (pci, 2, 0x4000, PCI_CFG_SPACE_SIZE, 0);
  quirks->has_window = TRUE;
  quirks->window_bar = 4;
  quirks->window_address = 0;
  quirks->window_data = 4;
  quirks->matches[quirks->n_matches++] = (VfioMatch){ 0x4000, PCI_CFG_SPACE_SIZE };
}

void
vfio_pci_init_quirks (VfioPci *pci)
{
  pci->host.quirks = (VfioQuirks){ .ack_fd = -1 };
  if (is_vga_of (pci, VENDOR_NVIDIA))
    init_nvidia (pci);
  else if (is_vga_of (pci, VENDOR_ATI) && pci->config.vga)
    init_ati (pci);
  pci->host.quirks.has_table_window = vfio_pci_is_rtl8168 (pci);
  pci->host.quirks.is_radeon = vfio_pci_is_radeon (pci);
}

void
vfio_pci_reset_quirks (VfioPci *pci)
{
  VfioQuirks *quirks = &pci->host.quirks;

  g_atomic_int_set (&quirks->window_value, 0);
  g_atomic_int_set (&quirks->window_master, 0);
  g_atomic_int_set (&quirks->window_enable, 0);
  g_atomic_int_set (&quirks->table_open, 0);
  g_atomic_int_set (&quirks->vga_state, 0);
}

gboolean
vfio_pci_get_watched (VfioPci *pci, guint bar, guint n, guint64 *ret_offset, guint64 *ret_size)
{
  const VfioQuirks *quirks = &pci->host.quirks;

  for (guint i = 0; i < quirks->n_mirrors; i++)
    if (quirks->mirrors[i].bar == bar && n-- == 0)
      {
        *ret_offset = quirks->mirrors[i].offset;
        *ret_size = quirks->mirrors[i].size;
        return TRUE;
      }
  if (quirks->has_table_window && bar == 2 && n == 0)
    {
      *ret_offset = 0x70;
      *ret_size = 8;
      return TRUE;
    }
  return FALSE;
}

static gboolean
find_mirror (VfioPciBar *bar, guint64 offset, guint size, guint *ret_config)
{
  const VfioQuirks *quirks = &bar->pci->host.quirks;

  for (guint i = 0; i < quirks->n_mirrors; i++)
    {
      const VfioMirror *mirror = &quirks->mirrors[i];

      if (mirror->bar != bar->index || offset < mirror->offset ||
          offset - mirror->offset >= mirror->size)
        continue;
      *ret_config = mirror->config + (guint)(offset - mirror->offset);
      return size <= mirror->size - (offset - mirror->offset);
    }
  return FALSE;
}

static gboolean
find_window (VfioPciBar *bar, guint64 offset, guint size, guint *ret_config)
{
  VfioQuirks *quirks = &bar->pci->host.quirks;
  guint32 address;

  if (!quirks->has_window || bar->index != quirks->window_bar || offset < quirks->window_data ||
      offset + size > quirks->window_data + 4)
    return FALSE;
  if (quirks->window_gated && (g_atomic_int_get (&quirks->window_master) == 0 ||
                               g_atomic_int_get (&quirks->window_enable) == 0))
    return FALSE;
  address = (guint32)g_atomic_int_get (&quirks->window_value);
  for (guint i = 0; i < quirks->n_matches; i++)
    if (address >= quirks->matches[i].base &&
        address - quirks->matches[i].base < quirks->matches[i].size)
      {
        *ret_config = address - quirks->matches[i].base + (guint)(offset - quirks->window_data);
        return TRUE;
      }
  return FALSE;
}

/* Where in configuration space an access leads; FALSE: it is the device's. */
static gboolean
find_config (VfioPciBar *bar, guint64 offset, guint size, guint *ret_config)
{
  return (find_mirror (bar, offset, size, ret_config) ||
          find_window (bar, offset, size, ret_config)) &&
         *ret_config + size <= pci_device_get_config_size (&bar->pci->parent);
}

/* An access that is in a mirror with some of its bytes only. */
static gboolean
is_across (VfioPciBar *bar, guint64 offset, guint size)
{
  const VfioQuirks *quirks = &bar->pci->host.quirks;
  guint config;

  for (guint i = 0; i < quirks->n_mirrors; i++)
    if (quirks->mirrors[i].bar == bar->index &&
        offset < quirks->mirrors[i].offset + quirks->mirrors[i].size &&
        quirks->mirrors[i].offset < offset + size)
      return !find_mirror (bar, offset, size, &config);
  return FALSE;
}

static guint64
read_across (VfioPciBar *bar, guint64 offset, guint size)
{
  guint64 value = 0;

  for (guint i = 0; i < size; i++)
    {
      guint config;
      guint64 byte = find_config (bar, offset + i, 1, &config)
                         ? pci_device_config_read (&bar->pci->parent, config, 1)
                         : vfio_device_read_le (bar->pci->host.device, bar->source, offset + i, 1);

      value |= byte << (i * 8);
    }
  return value;
}

gboolean
vfio_pci_quirk_read (VfioPciBar *bar, guint64 offset, guint size, guint64 *value)
{
  PciDevice *device = &bar->pci->parent;
  guint config;

  if (vfio_pci_rtl8168_read (bar, offset, size, value))
    return TRUE;
  if (is_across (bar, offset, size))
    {
      *value = read_across (bar, offset, size);
      return TRUE;
    }
  if (!find_config (bar, offset, size, &config))
    return FALSE;
  *value = pci_device_config_read (device, config, MIN (size, 4));
  if (size > 4)
    *value |= (guint64)pci_device_config_read (device, config + 4, size - 4) << 32;
  return TRUE;
}

/* The window's registers themselves are the device's too. */
static void
note_window (VfioPciBar *bar, guint64 offset, guint size, guint64 value)
{
  VfioQuirks *quirks = &bar->pci->host.quirks;

  if (!quirks->has_window || bar->index != quirks->window_bar || size != 4)
    return;
  if (offset == quirks->window_address)
    g_atomic_int_set (&quirks->window_value, (gint)(guint32)value);
  else if (quirks->window_gated && offset == 0)
    g_atomic_int_set (&quirks->window_master, (gint)(value & 1));
  else if (quirks->window_gated && offset == 4)
    g_atomic_int_set (&quirks->window_enable, (gint)(value & 1));
}

/* ---- the write that ends an interrupt ---- */

static void
drop_ack (VfioPci *pci)
{
  VfioQuirks *quirks = &pci->host.quirks;
  VmmMachine *machine = vfio_container_get_machine (pci->config.container);

  if (quirks->ack_fd < 0)
    return;
  vmm_machine_remove_ioeventfd (machine, quirks->ack_fd, FALSE, quirks->ack_gpa, quirks->ack_size,
                                TRUE, quirks->ack_value);
  (void)vfio_device_set_ioeventfd (
      pci->host.device, vfio_device_get_region (pci->host.device, quirks->mirrors[0].bar),
      quirks->mirrors[0].offset + quirks->ack_config, quirks->ack_size, quirks->ack_value, -1);
  close (quirks->ack_fd);
  quirks->ack_fd = -1;
  quirks->ack_hits = 0;
}

void
vfio_pci_quirk_moved (VfioPci *pci, guint bar)
{
  if (pci->host.quirks.has_ack && bar == pci->host.quirks.mirrors[0].bar)
    drop_ack (pci);
}

/* Config lock held: the BAR stays where it is. */
static void
make_ack (VfioPciBar *bar, guint size, guint64 value)
{
  VfioPci *pci = bar->pci;
  VfioQuirks *quirks = &pci->host.quirks;
  VmmMachine *machine = vfio_container_get_machine (pci->config.container);
  int fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);

  if (fd < 0)
    return;
  quirks->ack_gpa = bar->base + quirks->mirrors[0].offset + quirks->ack_config;
  quirks->ack_size = size;
  quirks->ack_value = value;
  if (vfio_device_set_ioeventfd (pci->host.device, bar->source,
                                 quirks->mirrors[0].offset + quirks->ack_config, size, value,
                                 fd) < 0)
    {
      close (fd);
      return;
    }
  if (vmm_machine_add_ioeventfd (machine, fd, FALSE, quirks->ack_gpa, size, TRUE, value))
    {
      quirks->ack_fd = fd;
      return;
    }
  (void)vfio_device_set_ioeventfd (pci->host.device, bar->source,
                                   quirks->mirrors[0].offset + quirks->ack_config, size, value, -1);
  close (fd);
}

/* TRUE for the access that ends an interrupt: it is the device's, as it is. */
static gboolean
take_ack (VfioPciBar *bar, guint64 offset, guint config, guint size, guint64 value)
{
  VfioPci *pci = bar->pci;
  VfioQuirks *quirks = &pci->host.quirks;
  PciBus *bus = pci_device_get_bus (&pci->parent);
  guint64 le = GUINT64_TO_LE (value);

  if (!quirks->has_ack || bar->index != quirks->mirrors[0].bar ||
      offset != quirks->mirrors[0].offset + config ||
      (config != ACK_OFFSET && (pci->host.msi_cap == 0 || config < pci->host.msi_cap ||
                                config + size > pci->host.msi_cap + PCI_MSI_FLAGS)))
    return FALSE;
  (void)vfio_device_write (pci->host.device, bar->source, quirks->mirrors[0].offset + config, &le,
                           size);
  pci_bus_lock_config (bus);
  if (quirks->ack_hits == 0 || config != quirks->ack_config || size != quirks->ack_size ||
      value != quirks->ack_value)
    {
      drop_ack (pci);
      quirks->ack_config = config;
      quirks->ack_size = size;
      quirks->ack_value = value;
      quirks->ack_hits = 1;
    }
  else if (++quirks->ack_hits == ACK_HITS && quirks->ack_fd < 0 && bar->base != PCI_BAR_UNMAPPED)
    make_ack (bar, size, value);
  pci_bus_unlock_config (bus);
  return TRUE;
}

gboolean
vfio_pci_quirk_write (VfioPciBar *bar, guint64 offset, guint size, guint64 value)
{
  PciDevice *device = &bar->pci->parent;
  guint config;

  if (vfio_pci_rtl8168_write (bar, offset, size, value))
    return TRUE;
  note_window (bar, offset, size, value);
  /* What writes half a register of the machine's and half one of the device's is no driver. */
  if (is_across (bar, offset, size))
    return TRUE;
  if (!find_config (bar, offset, size, &config))
    return FALSE;
  if (take_ack (bar, offset, config, size, value))
    return TRUE;
  pci_device_config_write (device, config, MIN (size, 4), (guint32)value);
  if (size > 4)
    pci_device_config_write (device, config + 4, size - 4, (guint32)(value >> 32));
  return TRUE;
}
