/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A SATA hard disk: ahci-disk.c (commands), ahci-identify.c (what it says of itself), ahci-smart.c
 * (SMART and log pages). */
#pragma once
#include "devices/storage/ahci-private.h"

#define AHCI_DISK_MULTIPLE    16 /* sectors of READ MULTIPLE, at most */
#define AHCI_DISK_TRIM_BLOCKS 8  /* 512-byte blocks of ranges of one TRIM */
#define AHCI_DISK_TRIM_RANGES (AHCI_DISK_TRIM_BLOCKS * 64)

typedef struct
{
  guint64 offset, length; /* bytes */
} AhciRange;

typedef struct
{
  AhciDrive parent;
  struct
  {
    guint8 write_cache, look_ahead;
    guint8 smart, smart_autosave;
    guint8 multiple;      /* sectors, 0: off */
    guint8 transfer_mode; /* SET FEATURES 03h, count */
    guint8 power_mode;    /* CHECK POWER MODE's answer */
    /* NCQ error: until its log page is read, all other commands abort (SATA 3.1, 13.6.3.4) */
    guint8 ncq_failed;
    guint8 ncq_tag, ncq_status, ncq_error, ncq_device;
    guint16 ncq_count;
    guint64 ncq_lba;
    guint32 power_cycles;
    guint64 sectors_read, sectors_written, errors;
  } guest;
  struct
  {
    BlockInfo info;
    guint64 n_sectors;
    guint64 n_reads, n_writes, n_flushes, n_trims; /* lock */
    /* of the one command that needs them */
    AhciRange ranges[AHCI_DISK_TRIM_RANGES];
    guint n_ranges, next_range;
    guint8 *scratch; /* READ VERIFY reads into it */
    struct iovec scratch_iov;
    gboolean standby; /* after the flush */
  } host;
} AhciDisk;

/* ahci-identify.c: 512 bytes, little endian */
void ahci_disk_identify (AhciDisk *disk, guint16 *ret_words);
/* ahci-smart.c: each ends the command */
void ahci_disk_smart (AhciDisk *disk, AhciCommand *command);
void ahci_disk_read_log (AhciDisk *disk, AhciCommand *command, gboolean pio);
/* ahci-disk.c: ends a command with an error */
void ahci_disk_fail (AhciDisk *disk, AhciCommand *command, guint8 status, guint8 error);
