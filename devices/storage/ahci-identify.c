/* SPDX-License-Identifier: GPL-3.0-or-later */
/* IDENTIFY DEVICE data of a hard disk (ACS-3, 7.12.7). */
#include "devices/storage/ahci-disk-private.h"

#include <string.h>

#define LBA28_MAX  0x0fffffffu
#define CHS_MAX    16383u
#define CHS_HEADS  16u
#define CHS_TRACK  63u
#define WORD_83    0x7400 /* valid, FLUSH CACHE (EXT), 48-bit addresses */
#define WORD_84    0x4060 /* valid, WRITE DMA FUA EXT, general purpose logging */
#define UDMA_MODES 0x7f

static void
put_le (guint16 *words, guint64 value, guint n_words)
{
  for (guint i = 0; i < n_words; i++)
    words[i] = (guint16)(value >> (16 * i));
}

static void
put_capacity (AhciDisk *disk, guint16 *words)
{
  guint64 sectors = disk->host.n_sectors;
  guint64 cylinders = MIN (sectors / (CHS_HEADS * CHS_TRACK), CHS_MAX);

  words[1] = words[54] = (guint16)cylinders;
  words[3] = words[55] = CHS_HEADS;
  words[6] = words[56] = CHS_TRACK;
  put_le (words + 57, cylinders * CHS_HEADS * CHS_TRACK, 2);
  put_le (words + 60, MIN (sectors, LBA28_MAX), 2);
  put_le (words + 100, sectors, 4);
}

static void
put_sectors (AhciDisk *disk, guint16 *words)
{
  const BlockInfo *info = &disk->host.info;
  guint exponent = 0;

  while (exponent < 15 && (info->logical_block << (exponent + 1)) <= info->physical_block)
    exponent++;
  words[106] = (guint16)(0x4000 | exponent);
  if (exponent > 0)
    words[106] |= 1u << 13;
  if (info->logical_block > 512)
    {
      words[106] |= 1u << 12;
      put_le (words + 117, info->logical_block / 2, 2);
    }
  words[209] = 0x4000; /* logical sector 0 starts a physical one */
}

static void
put_transfer_modes (AhciDisk *disk, guint16 *words)
{
  guint mode = disk->guest.transfer_mode;

  words[53] = 0x0007;
  words[63] = 0x0007;
  words[64] = 0x0003;
  words[65] = words[66] = words[67] = words[68] = 120; /* ns */
  words[88] = UDMA_MODES;
  if (mode >= 0x20 && mode <= 0x22)
    words[63] |= (guint16)(0x100 << (mode - 0x20));
  else if (mode >= 0x40 && mode <= 0x46)
    words[88] |= (guint16)(0x100 << (mode - 0x40));
}

void
ahci_disk_identify (AhciDisk *disk, guint16 *words)
{
  const char *serial = disk->parent.drive_config.serial;

  memset (words, 0, 512);
  words[0] = 0x0040; /* ATA, fixed */
  put_capacity (disk, words);
  ahci_put_string (words + 10, serial != NULL ? serial : disk->parent.parent.id, 10);
  ahci_put_string (words + 23, ALCOVE_VERSION, 4);
  ahci_put_string (words + 27, "Alcove SATA disk", 20);
  words[47] = 0x8000 | AHCI_DISK_MULTIPLE;
  words[48] = 0x4000;
  words[49] = 0x2f00; /* standby timer, IORDY, LBA, DMA */
  words[50] = 0x4000;
  if (disk->guest.multiple > 0)
    words[59] = 0x0100 | disk->guest.multiple;
  put_transfer_modes (disk, words);
  words[75] = AHCI_N_SLOTS - 1;
  words[76] = 0x010e; /* NCQ, 1.5 to 6 Gb/s */
  words[77] = 3 << 1; /* 6 Gb/s now */
  words[80] = 0x07f0; /* ATA/ATAPI-4 to ACS-3 */
  words[82] = 0x4069; /* NOP, look-ahead, write cache, power management, SMART */
  words[83] = WORD_83;
  words[84] = WORD_84;
  words[85] = (guint16)(0x4008 | (disk->guest.look_ahead ? 0x40 : 0) |
                        (disk->guest.write_cache ? 0x20 : 0) | (disk->guest.smart ? 1 : 0));
  words[86] = 0xb400; /* as 83; words 119 and 120 are valid */
  words[87] = WORD_84;
  words[119] = words[120] = 0x4000;
  if (disk->host.info.can_discard && !disk->host.info.readonly)
    {
      words[105] = AHCI_DISK_TRIM_BLOCKS;
      words[169] = 1; /* DATA SET MANAGEMENT TRIM */
    }
  put_sectors (disk, words);
  words[217] = disk->host.info.rotational ? 7200 : 1;
  words[222] = 0x10ff; /* serial, to SATA 3.1 */
  ahci_seal_identify (words);
}
