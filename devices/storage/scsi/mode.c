/* SPDX-License-Identifier: GPL-3.0-or-later */
/* MODE SENSE and MODE SELECT (SPC-4, 6.11 to 6.14 and 7.5; SBC-3, 6.5; MMC-5, 7 and annex E for the
 * pages of drives). What can be changed: WCE of the caching page, SWP of the control page. */
#include "devices/storage/scsi/scsi-private.h"

#include <string.h>

enum
{
  PAGE_ERROR_RECOVERY = 0x01,
  PAGE_CACHING = 0x08,
  PAGE_CONTROL = 0x0a,
  PAGE_CD_DEVICE = 0x0d,
  PAGE_CD_AUDIO = 0x0e,
  PAGE_POWER_CONDITION = 0x1a,
  PAGE_EXCEPTIONS = 0x1c,
  PAGE_TIMEOUT = 0x1d,
  PAGE_CD_CAPABILITIES = 0x2a,
  PAGE_ALL = 0x3f,

  CONTROL_CURRENT = 0,
  CONTROL_CHANGEABLE = 1,
  CONTROL_DEFAULT = 2,
  CONTROL_SAVED = 3,

  CACHING_WCE = 0x04,
  CONTROL_SWP = 0x08,

  LIST_MODE_MAX = 256,
};

#define CD_SPEED (176 * 24) /* kB/s */

static const guint8 disk_pages[] = { PAGE_ERROR_RECOVERY, PAGE_CACHING, PAGE_CONTROL,
                                     PAGE_EXCEPTIONS };
static const guint8 cdrom_pages[] = { PAGE_ERROR_RECOVERY,  PAGE_CD_DEVICE,  PAGE_CD_AUDIO,
                                      PAGE_POWER_CONDITION, PAGE_EXCEPTIONS, PAGE_TIMEOUT,
                                      PAGE_CD_CAPABILITIES };

static const guint8 *
get_pages (ScsiUnit *unit, guint *ret_n)
{
  gboolean disk = unit->config.kind == SCSI_KIND_DISK;

  *ret_n = disk ? G_N_ELEMENTS (disk_pages) : G_N_ELEMENTS (cdrom_pages);
  return disk ? disk_pages : cdrom_pages;
}

static void
fill_capabilities (ScsiUnit *unit, guint8 *page)
{
  page[2] = 0x0b;                           /* reads CD-R, CD-RW, DVD-ROM */
  page[4] = 0x71;                           /* multisession, mode 2 forms 1 and 2, audio play */
  page[6] = 0x29 | unit->guest.locked << 1; /* tray, eject, lock */
  put_be16 (page + 8, CD_SPEED);
  put_be16 (page + 10, 2); /* volume levels */
  put_be16 (page + 12, 2048);
  put_be16 (page + 14, CD_SPEED);
}

/* Writes a page and returns its length, 0 when the unit has no such page. at has 32 bytes. */
static gsize
put_page (ScsiUnit *unit, guint8 code, guint control, guint8 *at)
{
  static const guint8 lengths[][2] = {
    { PAGE_ERROR_RECOVERY, 12 }, { PAGE_CACHING, 20 },  { PAGE_CONTROL, 12 },
    { PAGE_CD_DEVICE, 8 },       { PAGE_CD_AUDIO, 16 }, { PAGE_POWER_CONDITION, 12 },
    { PAGE_EXCEPTIONS, 12 },     { PAGE_TIMEOUT, 12 },  { PAGE_CD_CAPABILITIES, 22 },
  };
  guint n;
  const guint8 *pages = get_pages (unit, &n);
  gsize length = 0;

  if (memchr (pages, code, n) == NULL)
    return 0;
  for (guint i = 0; i < G_N_ELEMENTS (lengths); i++)
    if (lengths[i][0] == code)
      length = lengths[i][1];
  memset (at, 0, length);
  at[0] = code;
  at[1] = length - 2;
  if (control == CONTROL_CHANGEABLE)
    {
      if (code == PAGE_CACHING && !unit->host.info.readonly)
        at[2] = CACHING_WCE;
      if (code == PAGE_CONTROL)
        at[4] = CONTROL_SWP;
      return length;
    }
  switch (code)
    {
    case PAGE_ERROR_RECOVERY:
      if (unit->config.kind == SCSI_KIND_DISK)
        at[2] = 0xc0; /* AWRE, ARRE */
      else
        at[3] = 5; /* read retries */
      break;
    case PAGE_CACHING:
      if (control == CONTROL_DEFAULT || unit->guest.write_cache)
        at[2] = CACHING_WCE;
      break;
    case PAGE_CONTROL:
      at[3] = 0x10; /* unrestricted reordering */
      at[4] = control == CONTROL_DEFAULT ? 0 : unit->guest.software_lock * CONTROL_SWP;
      break;
    case PAGE_CD_DEVICE:
      put_be16 (at + 4, 60); /* seconds of a minute, frames of a second */
      put_be16 (at + 6, 75);
      break;
    case PAGE_CD_AUDIO:
      at[2] = 0x04; /* IMMED */
      at[8] = 1;    /* port 0 plays channel 0, port 1 plays channel 1, both loud */
      at[9] = 0xff;
      at[10] = 2;
      at[11] = 0xff;
      break;
    case PAGE_CD_CAPABILITIES:
      fill_capabilities (unit, at);
      break;
    default:
      break;
    }
  return length;
}

static gsize
put_block_descriptor (ScsiUnit *unit, guint8 *at, gboolean long_form)
{
  guint64 n = unit->host.n_blocks;

  memset (at, 0, 16);
  if (long_form) /* SBC-3, 6.5.2.3 */
    {
      put_be64 (at, n);
      put_be32 (at + 12, unit->host.block);
      return 16;
    }
  put_be32 (at, MIN (n, G_MAXUINT32));
  put_be24 (at + 5, unit->host.block);
  return 8;
}

void
scsi_mode_sense (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;
  gboolean ten = cdb[0] == OP_MODE_SENSE_10, disk = unit->config.kind == SCSI_KIND_DISK;
  gsize allocation = ten ? get_be16 (cdb + 7) : cdb[4], at = ten ? 8 : 4, descriptor = 0, length;
  guint control = cdb[2] >> 6, n;
  guint8 code = cdb[2] & 0x3f, reply[REPLY_MAX] = { 0 };
  const guint8 *pages = get_pages (unit, &n);

  if (control == CONTROL_SAVED)
    {
      scsi_command_finish (unit, command, SENSE_SAVING_NOT_SUPPORTED);
      return;
    }
  /* Sub-pages: none; FFh asks for them all, of all pages. */
  if (cdb[3] != 0 && !(cdb[3] == 0xff && code == PAGE_ALL))
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  if (disk && !(cdb[1] & 0x08)) /* DBD */
    descriptor = put_block_descriptor (unit, reply + at, ten && (cdb[1] & 0x10));
  at += descriptor;
  for (guint i = 0; i < n; i++)
    if (code == PAGE_ALL || code == pages[i])
      at += put_page (unit, pages[i], control, reply + at);
  if (code != PAGE_ALL && memchr (pages, code, n) == NULL)
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  length = at;
  at = ten ? 3 : 2;
  if (disk) /* WP, DPOFUA */
    reply[at] = (unit->host.info.readonly || unit->guest.software_lock ? 0x80 : 0) | 0x10;
  if (ten)
    {
      put_be16 (reply, length - 2);
      reply[4] = descriptor == 16;
      put_be16 (reply + 6, descriptor);
    }
  else
    {
      reply[0] = length - 1;
      reply[3] = descriptor;
    }
  scsi_command_reply (unit, command, reply, length, allocation);
}

/* ---- MODE SELECT ---- */

typedef struct
{
  guint8 write_cache, software_lock;
} Wanted;

/* A page must be as MODE SENSE gives it, but for the bits that can be changed. */
static ScsiSense
parse_page (ScsiUnit *unit, const guint8 *page, gsize left, gsize *ret_length, Wanted *wanted)
{
  guint8 current[32], changeable[32];
  gsize length;

  if (left < 2)
    return SENSE_PARAMETER_LENGTH;
  if (page[0] & 0x40) /* SPF: no sub-pages */
    return SENSE_INVALID_FIELD_IN_LIST;
  length = put_page (unit, page[0] & 0x3f, CONTROL_CURRENT, current);
  if (length == 0)
    return SENSE_INVALID_FIELD_IN_LIST;
  if (page[1] != length - 2)
    return SENSE_INVALID_FIELD_IN_LIST;
  if (left < length)
    return SENSE_PARAMETER_LENGTH;
  put_page (unit, page[0] & 0x3f, CONTROL_CHANGEABLE, changeable);
  for (gsize i = 2; i < length; i++)
    if ((page[i] ^ current[i]) & ~changeable[i])
      return SENSE_INVALID_FIELD_IN_LIST;
  if ((page[0] & 0x3f) == PAGE_CACHING)
    wanted->write_cache = (page[2] & CACHING_WCE) != 0;
  if ((page[0] & 0x3f) == PAGE_CONTROL)
    wanted->software_lock = (page[4] & CONTROL_SWP) != 0;
  *ret_length = length;
  return SENSE_NONE;
}

static ScsiSense
parse_list (ScsiUnit *unit, const guint8 *list, gsize length, gboolean ten, Wanted *wanted)
{
  gsize header = ten ? 8 : 4, descriptor, at, page;
  guint8 current[16];
  ScsiSense sense;

  if (length < header)
    return SENSE_PARAMETER_LENGTH;
  descriptor = ten ? get_be16 (list + 6) : list[3];
  if (descriptor != 0)
    {
      if (unit->config.kind != SCSI_KIND_DISK ||
          descriptor != put_block_descriptor (unit, current, ten && (list[4] & 1)))
        return SENSE_INVALID_FIELD_IN_LIST;
      if (length < header + descriptor)
        return SENSE_PARAMETER_LENGTH;
      /* The block size stays; the number of blocks is not ours to cut. */
      if (memcmp (list + header + descriptor - 3, current + descriptor - 3, 3) != 0)
        return SENSE_INVALID_FIELD_IN_LIST;
    }
  for (at = header + descriptor; at < length; at += page)
    {
      sense = parse_page (unit, list + at, length - at, &page, wanted);
      if (sense != SENSE_NONE)
        return sense;
    }
  return SENSE_NONE;
}

void
scsi_mode_select (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;
  gboolean ten = cdb[0] == OP_MODE_SELECT_10, flush;
  gsize length = ten ? get_be16 (cdb + 7) : cdb[4];
  Wanted wanted = { unit->guest.write_cache, unit->guest.software_lock };
  guint8 list[LIST_MODE_MAX];
  ScsiSense sense;

  /* PF must be set (SPC pages), SP (saving) is not offered. */
  if ((cdb[1] & 0x01) || !(cdb[1] & 0x10))
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  if (length == 0)
    {
      scsi_command_finish (unit, command, SENSE_NONE);
      return;
    }
  if (length > sizeof list)
    {
      scsi_command_finish (unit, command, SENSE_PARAMETER_LENGTH);
      return;
    }
  if (!scsi_command_take (command, 0, list, length))
    {
      command->overrun = TRUE;
      scsi_command_finish (unit, command, SENSE_PARAMETER_LENGTH);
      return;
    }
  sense = parse_list (unit, list, length, ten, &wanted);
  if (sense != SENSE_NONE)
    {
      scsi_command_finish (unit, command, sense);
      return;
    }
  command->n_out = length;
  flush = unit->guest.write_cache && !wanted.write_cache;
  unit->guest.write_cache = wanted.write_cache;
  unit->guest.software_lock = wanted.software_lock;
  if (!flush)
    {
      scsi_command_finish (unit, command, SENSE_NONE);
      return;
    }
  /* What the cache holds is on the medium before the guest hears that there is no cache. */
  scsi_command_prepare (command, BLOCK_OP_FLUSH, 0, 0, NULL);
  scsi_command_submit (unit, command);
}
