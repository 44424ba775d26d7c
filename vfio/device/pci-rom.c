/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The expansion ROM: read once, before the first reset, and shown as a copy. PCI 3.0, 6.3; PCI
 * Firmware 3.0, 5. */
#include <linux/pci_regs.h>
#include <string.h>

#include "vfio/device/pci-private.h"

#define BLOCK      512u
#define PCIR_SIZE  0x18u
#define IMAGES_MAX 16u

/* One image: *ret_size its bytes, *ret_last whether more follow. */
static char *
check_image (const guint8 *rom,
             gsize size,
             guint16 vendor,
             guint16 device,
             gsize *ret_size,
             gboolean *ret_last)
{
  guint at;
  const guint8 *pcir;

  *ret_last = TRUE;
  if (size < 0x1a || vfio_pci_le (rom, 2) != 0xaa55)
    return g_strdup ("it does not begin with 55 AA");
  at = vfio_pci_le (rom + 0x18, 2);
  if (at < 0x1a || at > size - PCIR_SIZE || size < PCIR_SIZE || memcmp (rom + at, "PCIR", 4) != 0)
    return g_strdup ("it has no PCI data structure");
  pcir = rom + at;
  *ret_size = (gsize)vfio_pci_le (pcir + 0x10, 2) * BLOCK;
  *ret_last = (pcir[0x15] & 0x80) != 0;
  if (*ret_size == 0 || *ret_size > size)
    return g_strdup_printf ("it says to be %zu bytes long and %zu are there", *ret_size, size);
  if (vfio_pci_le (pcir + 4, 2) != vendor || vfio_pci_le (pcir + 6, 2) != device)
    return g_strdup_printf ("it is for another card (%04x:%04x)", vfio_pci_le (pcir + 4, 2),
                            vfio_pci_le (pcir + 6, 2));
  return NULL;
}

char *
vfio_pci_check_rom (const guint8 *rom, gsize size, guint16 vendor, guint16 device)
{
  gsize done = 0;
  gboolean last = FALSE, ones = TRUE;

  for (gsize i = 0; i < size && ones; i++)
    ones = rom[i] == 0xff;
  if (ones)
    return g_strdup ("there is nothing in it");
  for (guint i = 0; i < IMAGES_MAX && !last; i++)
    {
      gsize length = 0;
      char *wrong = check_image (rom + done, size - done, vendor, device, &length, &last);

      /* What follows a good first image does not matter to who starts it. */
      if (wrong != NULL && i > 0)
        g_clear_pointer (&wrong, g_free);
      else if (wrong != NULL)
        return wrong;
      else
        done += length;
      if (length == 0 || done >= size)
        break;
    }
  return NULL;
}

/* (transfer full) (nullable) */
static guint8 *
read_rom (VfioPci *pci, gsize *ret_size)
{
  const VfioRegion *region = vfio_device_get_region (pci->host.device, VFIO_PCI_ROM_REGION_INDEX);
  g_autofree guint8 *rom = NULL;

  if (region == NULL || region->size > PCI_ROM_MAX)
    return NULL;
  /* Broadcom's BCM57810: reading it makes the card hang. */
  if (vfio_pci_le (pci->host.physical + PCI_VENDOR_ID, 4) == 0x168e14e4)
    {
      vfio_pci_note (pci,
                     "Its start-up program (ROM) is not read, which would make this kind of card "
                     "hang: the guest cannot start over the network from it. A ROM file mends "
                     "that");
      return NULL;
    }
  rom = g_malloc (region->size);
  memset (rom, 0xff, region->size);
  if (vfio_device_read (pci->host.device, region, 0, rom, region->size) < 0)
    {
      vfio_pci_note (pci,
                     "Its start-up program (ROM) cannot be read, as is normal for the card that "
                     "this computer started on: no picture comes from it until the guest's "
                     "driver is loaded. A ROM file mends that");
      return NULL;
    }
  *ret_size = region->size;
  return g_steal_pointer (&rom);
}

gboolean
vfio_pci_init_rom (VfioPci *pci, GError **error)
{
  guint16 vendor = (guint16)vfio_pci_le (pci->host.physical + PCI_VENDOR_ID, 2);
  guint16 id = (guint16)vfio_pci_le (pci->host.physical + PCI_DEVICE_ID, 2);
  g_autofree guint8 *own = NULL;
  g_autofree char *wrong = NULL;
  const guint8 *rom;
  gsize size = 0;

  if (!pci->config.rom)
    return TRUE;
  if (pci->config.rom_image != NULL)
    rom = g_bytes_get_data (pci->config.rom_image, &size);
  else
    rom = own = read_rom (pci, &size);
  if (rom == NULL || size == 0)
    return TRUE;
  wrong = vfio_pci_check_rom (rom, size, vendor, id);
  if (wrong != NULL && pci->config.rom_image != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The ROM file cannot be used for %s (%04x:%04x): %s",
                   vfio_device_get_name (pci->host.device), vendor, id, wrong);
      return FALSE;
    }
  if (wrong != NULL)
    {
      vfio_pci_note (pci,
                     "Its start-up program (ROM) is not shown to the guest: %s. No picture comes "
                     "from the card until the guest's driver is loaded; a ROM file mends that",
                     wrong);
      return TRUE;
    }
  return pci_device_set_rom (&pci->parent, rom, size, error);
}
