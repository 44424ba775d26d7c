/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SMART (ACS-3, 7.48) and log pages (9). What it tells is what there is to tell of a disk image:
 * time, traffic and errors. No self-tests are offered. */
#include "devices/storage/ahci-disk-private.h"

#include <string.h>

enum
{
  SMART_READ_DATA = 0xd0,
  SMART_READ_THRESHOLDS = 0xd1,
  SMART_AUTOSAVE = 0xd2,
  SMART_READ_LOG = 0xd5,
  SMART_ENABLE = 0xd8,
  SMART_DISABLE = 0xd9,
  SMART_RETURN_STATUS = 0xda,

  LOG_DIRECTORY = 0x00,
  LOG_NCQ_ERROR = 0x10,
  LOG_IDENTIFY = 0x30,
  LOG_IDENTIFY_PAGES = 2,

  SMART_SIGNATURE = 0xc24f, /* LBA 23:8 */
  N_ATTRIBUTES = 5,
};

static void
seal_page (guint8 *page)
{
  guint8 sum = 0;

  for (guint i = 0; i < 511; i++)
    sum += page[i];
  page[511] = (guint8)-sum;
}

static guint64
power_on_hours (AhciDisk *disk)
{
  VmmClock *clock = vmm_machine_get_clock (disk->parent.parent.machine);

  return (guint64)MAX (vmm_clock_get_ns (clock), 0) / VMM_NSEC_PER_SEC / 3600;
}

static void
fill_attributes (AhciDisk *disk, guint8 *page, gboolean thresholds)
{
  const struct
  {
    guint8 id;
    guint64 raw;
  } attributes[N_ATTRIBUTES] = {
    { 9, power_on_hours (disk) },      { 12, disk->guest.power_cycles },
    { 187, disk->guest.errors },       { 241, disk->guest.sectors_written },
    { 242, disk->guest.sectors_read },
  };

  page[0] = 16; /* revision */
  for (guint i = 0; i < N_ATTRIBUTES; i++)
    {
      guint8 *at = page + 2 + 12 * i;

      at[0] = attributes[i].id;
      if (thresholds)
        continue;   /* 0: never failing */
      at[1] = 0x32; /* event count, updated on line, self-preserving */
      at[3] = at[4] = 100;
      for (guint b = 0; b < 6; b++)
        at[5 + b] = (guint8)(attributes[i].raw >> (8 * b));
    }
  if (!thresholds)
    page[368] = 0x03; /* saves before standby and by autosave */
  seal_page (page);
}

static void
fill_directory (guint8 *page)
{
  page[0] = 1; /* version */
  page[2 * LOG_NCQ_ERROR] = 1;
  page[2 * LOG_IDENTIFY] = LOG_IDENTIFY_PAGES;
}

static void
fill_ncq_error (AhciDisk *disk, guint8 *page)
{
  if (!disk->guest.ncq_failed)
    page[0] = 0x80; /* NQ: not from a queued command */
  else
    {
      page[0] = disk->guest.ncq_tag;
      page[2] = disk->guest.ncq_status;
      page[3] = disk->guest.ncq_error;
      for (guint i = 0; i < 3; i++)
        {
          page[4 + i] = (guint8)(disk->guest.ncq_lba >> (8 * i));
          page[8 + i] = (guint8)(disk->guest.ncq_lba >> (24 + 8 * i));
        }
      page[7] = disk->guest.ncq_device;
      page[12] = (guint8)disk->guest.ncq_count;
      page[13] = disk->guest.ncq_count >> 8;
    }
  seal_page (page);
}

void
ahci_disk_read_log (AhciDisk *disk, AhciCommand *command, gboolean pio)
{
  const guint8 *fis = command->fis;
  guint log = fis[4], first = fis[5] | fis[9] << 8, count = fis[12] | fis[13] << 8;
  guint n_pages = log == LOG_IDENTIFY ? LOG_IDENTIFY_PAGES : 1;
  guint8 pages[LOG_IDENTIFY_PAGES][512] = { 0 };

  if ((log != LOG_DIRECTORY && log != LOG_NCQ_ERROR && log != LOG_IDENTIFY) || count == 0 ||
      first >= n_pages || count > n_pages - first)
    {
      ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_ABRT);
      return;
    }
  if (log == LOG_DIRECTORY)
    fill_directory (pages[0]);
  else if (log == LOG_NCQ_ERROR)
    {
      fill_ncq_error (disk, pages[0]);
      disk->guest.ncq_failed = FALSE;
    }
  else
    {
      guint16 words[256];

      /* 9.11: page 0 lists the pages, page 1 is a copy of IDENTIFY DEVICE's data. */
      pages[0][0] = 1;
      pages[0][8] = LOG_IDENTIFY_PAGES;
      pages[0][10] = 1;
      ahci_disk_identify (disk, words);
      memcpy (pages[1], words, 512);
    }
  ahci_command_answer (command, pages[first], 512 * count, pio);
}

static void
read_smart_log (AhciDisk *disk, AhciCommand *command)
{
  guint8 page[512] = { 0 };

  /* 9.1: the directory of logs that SMART READ LOG can have: none but itself. */
  if (command->fis[4] != LOG_DIRECTORY || command->fis[12] != 1)
    {
      ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_ABRT);
      return;
    }
  page[0] = 1;
  ahci_command_answer (command, page, sizeof page, TRUE);
}

void
ahci_disk_smart (AhciDisk *disk, AhciCommand *command)
{
  const guint8 *fis = command->fis;
  guint8 page[512] = { 0 };

  if ((fis[5] | fis[6] << 8) != SMART_SIGNATURE || (!disk->guest.smart && fis[3] != SMART_ENABLE))
    {
      ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_ABRT);
      return;
    }
  switch (fis[3])
    {
    case SMART_READ_DATA:
    case SMART_READ_THRESHOLDS:
      fill_attributes (disk, page, fis[3] == SMART_READ_THRESHOLDS);
      ahci_command_answer (command, page, sizeof page, TRUE);
      return;
    case SMART_READ_LOG:
      read_smart_log (disk, command);
      return;
    case SMART_AUTOSAVE:
      if (fis[12] != 0x00 && fis[12] != 0xf1)
        break;
      disk->guest.smart_autosave = fis[12] != 0;
      ahci_command_finish (command, ATA_GOOD, 0);
      return;
    case SMART_ENABLE:
    case SMART_DISABLE:
      disk->guest.smart = fis[3] == SMART_ENABLE;
      ahci_command_finish (command, ATA_GOOD, 0);
      return;
    case SMART_RETURN_STATUS:
      command->out_lba = (guint64)SMART_SIGNATURE << 8; /* no threshold exceeded */
      ahci_command_finish (command, ATA_GOOD, 0);
      return;
    default:
      break;
    }
  ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_ABRT);
}
