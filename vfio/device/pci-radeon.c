/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bonaire and Hawaii (Radeon R7 260X, R9 290 and their like) do not answer to a reset of the bus: the
 * second start of a guest's driver fails. Through their own registers they can be reset while their
 * controller (SMC) runs, which it does once a driver has been at work.
 *
 * BAR 5: 0x200 takes an address, 0x204 is the data there; 0x5428 is the size of the memory, all ones
 * during the reset. Configuration space 0x7c takes the word that resets. */
#include <linux/pci_regs.h>

#include "vfio/device/pci-private.h"

#define VENDOR      0x1002
#define BAR         5u
#define INDEX       0x200u
#define DATA        0x204u
#define MEMORY_SIZE 0x5428u
#define BAR_SIZE    0x8000u

#define SMC_RESET   0x80000000u /* bit 0 */
#define SMC_CLOCK   0x80000004u /* bit 0: stopped */
#define SMC_COUNTER 0x80000370u /* where its program is; from 0x20100 on it runs */
#define RUNNING     0x20100u
#define FUSES       0xc00c0000u /* bit 6: what is reset, as made */
#define MISC        0xc0000010u /* bit 1: turned over */
#define RESET_WORD  0x39d5e86bu
#define RESET_AT    0x7c
#define WAIT_MS     100u

static guint32
get_register (VfioPci *pci, const VfioRegion *region, guint32 address)
{
  guint32 le = GUINT32_TO_LE (address);

  (void)vfio_device_write (pci->host.device, region, INDEX, &le, sizeof le);
  return (guint32)vfio_device_read_le (pci->host.device, region, DATA, 4);
}

static void
set_register (VfioPci *pci, const VfioRegion *region, guint32 address, guint32 value)
{
  guint32 index = GUINT32_TO_LE (address), data = GUINT32_TO_LE (value);

  (void)vfio_device_write (pci->host.device, region, INDEX, &index, sizeof index);
  (void)vfio_device_write (pci->host.device, region, DATA, &data, sizeof data);
}

gboolean
vfio_pci_is_radeon (VfioPci *pci)
{
  static const guint16 devices[] = {
    0x6649, 0x6650, 0x6651, 0x6658, 0x665c, 0x665d, /* Bonaire */
    0x67a0, 0x67a1, 0x67a2, 0x67a8, 0x67a9, 0x67aa,
    0x67b0, 0x67b1, 0x67b8, 0x67b9, 0x67ba, 0x67be, /* Hawaii */
  };
  guint device = vfio_pci_le (pci->host.physical + PCI_DEVICE_ID, 2);

  if (vfio_pci_le (pci->host.physical + PCI_VENDOR_ID, 2) != VENDOR)
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (devices); i++)
    if (devices[i] == device)
      return TRUE;
  return FALSE;
}

/* The whole card, or its drawing part: this function's part is that one. */
static void
choose_part (VfioPci *pci, const VfioRegion *region)
{
  gboolean whole = (get_register (pci, region, FUSES) & 1u << 6) != 0;
  guint32 misc = get_register (pci, region, MISC);

  if (((misc & 1u << 1) != 0) != whole)
    return;
  set_register (pci, region, MISC, misc ^ 1u << 1);
  (void)get_register (pci, region, MISC); /* it has arrived */
}

static gboolean
reset (VfioPci *pci, const VfioRegion *region)
{
  gboolean back = FALSE;

  if ((get_register (pci, region, SMC_CLOCK) & 1) != 0 ||
      get_register (pci, region, SMC_COUNTER) < RUNNING)
    return FALSE;
  choose_part (pci, region);
  if (vfio_pci_physical_write (pci, RESET_AT, 4, RESET_WORD) < 0)
    return FALSE;
  for (guint i = 0; i < WAIT_MS && !back; i++)
    {
      g_usleep (1000);
      back = vfio_device_read_le (pci->host.device, region, MEMORY_SIZE, 4) != G_MAXUINT32;
    }
  set_register (pci, region, SMC_RESET, get_register (pci, region, SMC_RESET) | 1);
  set_register (pci, region, SMC_CLOCK, get_register (pci, region, SMC_CLOCK) | 1);
  return back;
}

gboolean
vfio_pci_reset_radeon (VfioPci *pci)
{
  const VfioRegion *region = vfio_device_get_region (pci->host.device, BAR);
  gboolean done;

  if (region == NULL || region->size < BAR_SIZE ||
      (pci->host.physical[PCI_BASE_ADDRESS_5] & PCI_BASE_ADDRESS_SPACE_IO) != 0)
    return FALSE;
  (void)vfio_pci_physical_write (pci, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  done = reset (pci, region);
  (void)vfio_pci_physical_write (pci, PCI_COMMAND, 2, 0);
  return done;
}
