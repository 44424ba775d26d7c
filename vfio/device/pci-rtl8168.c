/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Realtek's RTL8168 has a second way to its MSI-X table: two registers in BAR 2. A driver that takes it
 * would find the host's addresses, or write the guest's into the card. It gets to the guest's table.
 *
 * | BAR 2 + | bits | what |
 * |---|---|---|
 * | 0x70 | 31:0 | data, read or to be written |
 * | 0x74 | 11:0 | offset in what is addressed |
 * |      | 30:16 | what: 1 is the table |
 * |      | 31 | written as 1: write; turns over when the access is done |
 *
 * BAR 2 is a page: all of it is trapped then, and costs exits. Without MSI-X nothing is. */
#include <linux/pci_regs.h>

#include "vfio/device/pci-private.h"

#define VENDOR   0x10ec
#define DEVICE   0x8168
#define BAR      2u
#define DATA     0x70u
#define ADDRESS  0x74u
#define WHAT     0x7fff0000u
#define TABLE    0x00010000u
#define IS_WRITE 0x80000000u
#define OFFSET   0xfffu

gboolean
vfio_pci_is_rtl8168 (VfioPci *pci)
{
  return vfio_pci_le (pci->host.physical + PCI_VENDOR_ID, 2) == VENDOR &&
         vfio_pci_le (pci->host.physical + PCI_DEVICE_ID, 2) == DEVICE && pci->host.msix.cap != 0;
}

static gboolean
is_ours (VfioPciBar *bar, guint64 offset, guint size)
{
  return bar->pci->host.quirks.has_table_window && bar->index == BAR && size == 4 &&
         (offset == DATA || offset == ADDRESS);
}

gboolean
vfio_pci_rtl8168_read (VfioPciBar *bar, guint64 offset, guint size, guint64 *value)
{
  VfioQuirks *quirks = &bar->pci->host.quirks;
  guint32 address;

  if (!is_ours (bar, offset, size) || !g_atomic_int_get (&quirks->table_open))
    return FALSE;
  address = (guint32)g_atomic_int_get (&quirks->table_address);
  if (offset == ADDRESS)
    *value = address ^ IS_WRITE;
  else if (pci_device_msix_read (&bar->pci->parent, address & OFFSET, 4, value) != VMM_IO_OK)
    *value = 0;
  return TRUE;
}

gboolean
vfio_pci_rtl8168_write (VfioPciBar *bar, guint64 offset, guint size, guint64 value)
{
  VfioQuirks *quirks = &bar->pci->host.quirks;

  if (!is_ours (bar, offset, size))
    return FALSE;
  if (offset == DATA)
    {
      g_atomic_int_set (&quirks->table_data, (gint)(guint32)value);
      return FALSE;
    }
  g_atomic_int_set (&quirks->table_open, (value & WHAT) == TABLE);
  if ((value & WHAT) != TABLE)
    return FALSE;
  g_atomic_int_set (&quirks->table_address, (gint)(guint32)value);
  if ((value & IS_WRITE) == 0)
    return FALSE;
  if (pci_device_msix_write (&bar->pci->parent, value & OFFSET, 4,
                             (guint32)g_atomic_int_get (&quirks->table_data)) == VMM_IO_OK)
    vfio_pci_update_irqs (bar->pci);
  return TRUE;
}
