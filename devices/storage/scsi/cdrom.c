/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A CD-ROM or DVD-ROM drive: MMC-5. A disc is one data track of 2048-byte blocks in one session;
 * above the size of a CD it is a DVD. The drive has a tray that the guest may lock, open and close,
 * and an image that the user may change. */
#include "devices/storage/scsi/scsi-private.h"

#include <string.h>

#define CD_MAX_BLOCKS (90 * 60 * 75) /* the longest CD: 90 minutes */

/* MMC-5, 5.2 and 5.3 */
enum
{
  PROFILE_NONE = 0x0000,
  PROFILE_CD = 0x0008,
  PROFILE_DVD = 0x0010,
};

static gboolean
is_dvd (ScsiUnit *unit)
{
  return unit->host.n_blocks > CD_MAX_BLOCKS;
}

static gboolean
has_disc (ScsiUnit *unit)
{
  return unit->host.backend != NULL && unit->host.n_blocks > 0 && !unit->guest.tray_open;
}

ScsiSense
scsi_cdrom_not_ready (ScsiUnit *unit)
{
  if (has_disc (unit))
    return SENSE_NONE;
  return unit->guest.tray_open ? SENSE_NO_MEDIUM_OPEN : SENSE_NO_MEDIUM_CLOSED;
}

/* ---- the tray ---- */

static void
move_tray (ScsiUnit *unit, gboolean open)
{
  if (unit->guest.tray_open == open)
    return;
  unit->guest.tray_open = open;
  if (unit->host.backend != NULL)
    unit->guest.media_events = open ? MEDIA_REMOVAL : MEDIA_NEW;
  if (!open && unit->host.backend != NULL)
    scsi_unit_attention (unit, ATTENTION_MEDIUM >> 8, ATTENTION_MEDIUM & 0xff);
  if (unit->config.tray_moved != NULL)
    unit->config.tray_moved (unit->config.user_data, open);
}

static void
start_stop (ScsiUnit *unit, ScsiCommand *command)
{
  gboolean start = command->cdb[4] & 1, load_eject = command->cdb[4] & 2;
  ScsiSense sense = SENSE_NONE;

  if (command->cdb[4] & 0xf0) /* power conditions are changed by whom they concern: nobody */
    sense = SENSE_NONE;
  else if (load_eject && !start && unit->guest.locked)
    sense = SENSE_REMOVAL_PREVENTED;
  else if (load_eject)
    move_tray (unit, !start);
  scsi_command_finish (unit, command, sense);
}

ScsiMediumResult
scsi_unit_set_medium (ScsiUnit *unit, BlockBackend *backend, gboolean force, BlockBackend **ret_old)
{
  gboolean had = unit->host.backend != NULL;

  g_assert (unit->config.kind == SCSI_KIND_CDROM);
  *ret_old = NULL;
  if (unit->guest.locked && !unit->guest.tray_open && had && !force)
    {
      /* MMC-5, 6.6.3.3.2: as if somebody pressed the button. */
      unit->guest.media_events |= MEDIA_EJECT_REQUEST;
      return SCSI_MEDIUM_LOCKED;
    }
  scsi_unit_drain (unit);
  *ret_old = unit->host.backend;
  scsi_unit_take_backend (unit, backend);
  unit->guest.stopped = 0;
  if (backend == NULL)
    {
      /* The tray comes back empty; with a lock that was forced, as after an emergency eject. */
      unit->guest.media_events = (had || force) && !unit->guest.tray_open ? MEDIA_REMOVAL : 0;
      unit->guest.locked = 0;
      unit->guest.tray_open = 0;
      return SCSI_MEDIUM_OK;
    }
  unit->guest.locked = 0;
  unit->guest.tray_open = 0;
  unit->guest.media_events = MEDIA_NEW;
  scsi_unit_attention (unit, ATTENTION_MEDIUM >> 8, ATTENTION_MEDIUM & 0xff);
  return SCSI_MEDIUM_OK;
}

gboolean
scsi_unit_is_locked (ScsiUnit *unit)
{
  return unit->guest.locked;
}

gboolean
scsi_unit_is_tray_open (ScsiUnit *unit)
{
  return unit->guest.tray_open;
}

/* ---- what the drive is ---- */

typedef struct
{
  guint16 code;
  guint8 version; /* with the persistent bit */
  guint8 length;
  guint8 data[8];
} Feature;

/* MMC-5, 5.3. Whether a feature is current is decided by get_configuration. */
static const Feature features[] = {
  { 0x0000, 0x01, 8, { PROFILE_DVD >> 8, PROFILE_DVD & 0xff, 0, 0, PROFILE_CD >> 8, PROFILE_CD } },
  { 0x0001, 0x09, 8, { 0, 0, 0, 1, 1 } },    /* core: SCSI family; DBE */
  { 0x0002, 0x05, 4, { 0x02 } },             /* morphing: operational change event */
  { 0x0003, 0x01, 4, { 0x29 } },             /* removable medium: tray, eject, lock */
  { 0x0010, 0x00, 8, { 0, 0, 8, 0, 0, 1 } }, /* random readable: 2048, blocking 1 */
  { 0x001e, 0x08, 4, { 0 } },                /* CD read */
  { 0x001f, 0x00, 4, { 0 } },                /* DVD read */
  { 0x0100, 0x03, 0, { 0 } },                /* power management */
  { 0x0105, 0x03, 0, { 0 } },                /* time-out */
};

static gboolean
is_current (ScsiUnit *unit, guint16 feature)
{
  switch (feature)
    {
    case 0x0010:
      return has_disc (unit);
    case 0x001e:
      return has_disc (unit) && !is_dvd (unit);
    case 0x001f:
      return has_disc (unit) && is_dvd (unit);
    default:
      return TRUE;
    }
}

static void
get_configuration (ScsiUnit *unit, ScsiCommand *command)
{
  guint kind = command->cdb[1] & 3; /* all; current ones; one */
  guint16 first = get_be16 (command->cdb + 2);
  guint profile = !has_disc (unit) ? PROFILE_NONE : is_dvd (unit) ? PROFILE_DVD : PROFILE_CD;
  guint8 reply[REPLY_MAX] = { 0 };
  gsize length = 8;

  if (kind == 3)
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (features); i++)
    {
      const Feature *feature = &features[i];
      gboolean current = is_current (unit, feature->code);
      guint8 *at = reply + length;

      if (feature->code < first || (kind == 1 && !current) || (kind == 2 && feature->code != first))
        continue;
      put_be16 (at, feature->code);
      at[2] = (feature->version & ~1u) | current;
      at[3] = feature->length;
      memcpy (at + 4, feature->data, feature->length);
      if (feature->code == 0x0000)
        {
          at[6] = profile == PROFILE_DVD;
          at[10] = profile == PROFILE_CD;
        }
      if (feature->code == 0x0001 && (unit->config.flags & SCSI_UNIT_ATAPI))
        at[7] = 2;
      length += 4 + feature->length;
    }
  put_be32 (reply, length - 4);
  put_be16 (reply + 6, profile);
  scsi_command_reply (unit, command, reply, length, get_be16 (command->cdb + 7));
}

/* MMC-5, 6.6: polled, media class only. */
static void
get_event_status (ScsiUnit *unit, ScsiCommand *command)
{
  static const guint8 codes[][2] = {
    { MEDIA_REMOVAL, 3 },
    { MEDIA_NEW, 2 },
    { MEDIA_EJECT_REQUEST, 1 },
  };
  gsize allocation = get_be16 (command->cdb + 7);
  guint8 reply[8] = { 0 };

  if (!(command->cdb[1] & 1))
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  reply[3] = 0x10; /* classes: media */
  if (!(command->cdb[4] & 0x10))
    {
      reply[1] = 2;
      reply[2] = 0x80; /* NEA */
      scsi_command_reply (unit, command, reply, 4, allocation);
      return;
    }
  reply[1] = 6;
  reply[2] = 4;
  if (allocation > 4 && command->in_length > 4) /* otherwise it would be lost */
    for (guint i = 0; i < G_N_ELEMENTS (codes) && reply[4] == 0; i++)
      if (unit->guest.media_events & codes[i][0])
        {
          reply[4] = codes[i][1];
          unit->guest.media_events &= ~codes[i][0];
        }
  reply[5] = unit->guest.tray_open | has_disc (unit) << 1;
  scsi_command_reply (unit, command, reply, sizeof reply, allocation);
}

static void
mechanism_status (ScsiUnit *unit, ScsiCommand *command)
{
  guint8 reply[8] = { 0 };

  reply[1] = unit->guest.tray_open ? 0x10 : 0; /* door open */
  scsi_command_reply (unit, command, reply, sizeof reply, get_be16 (command->cdb + 8));
}

/* ---- what the disc is ---- */

static void
put_address (guint8 *at, guint32 lba, gboolean msf)
{
  if (!msf)
    {
      put_be32 (at, lba);
      return;
    }
  lba += 150; /* two seconds in front */
  at[0] = 0;
  at[1] = MIN (lba / 75 / 60, 255u);
  at[2] = lba / 75 % 60;
  at[3] = lba % 75;
}

static gsize
put_toc_entry (guint8 *at, guint8 track, guint32 lba, gboolean msf)
{
  at[0] = 0;
  at[1] = 0x14; /* data track */
  at[2] = track;
  at[3] = 0;
  put_address (at + 4, lba, msf);
  return 8;
}

/* MMC-5, 6.26, format 2: entries of 11 bytes, addresses always MSF. */
static gsize
put_full_toc (ScsiUnit *unit, guint8 *at)
{
  static const guint8 points[] = { 0xa0, 0xa1, 0xa2, 0x01 };

  memset (at, 0, sizeof points * 11);
  for (guint i = 0; i < sizeof points; i++, at += 11)
    {
      guint8 address[4];

      at[0] = 1; /* session */
      at[1] = 0x14;
      at[3] = points[i];
      switch (points[i])
        {
        case 0xa0: /* first track */
        case 0xa1: /* last track */
          at[8] = 1;
          break;
        default:
          put_address (address, points[i] == 0xa2 ? unit->host.n_blocks : 0, TRUE);
          memcpy (at + 8, address + 1, 3);
          break;
        }
    }
  return sizeof points * 11;
}

static void
read_toc (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;
  gboolean msf = cdb[1] & 2;
  guint format = cdb[2] & 0xf, first = cdb[6];
  guint8 reply[64] = { 0 };
  gsize length = 4;

  if (format == 0)
    format = cdb[9] >> 6;  /* where drives before MMC had it */
  reply[2] = reply[3] = 1; /* first and last track, or session */
  switch (format)
    {
    case 0:
      if (first > 1 && first != 0xaa)
        goto invalid;
      if (first <= 1)
        length += put_toc_entry (reply + length, 1, 0, msf);
      length += put_toc_entry (reply + length, 0xaa, unit->host.n_blocks, msf);
      break;
    case 1:
      length += put_toc_entry (reply + length, 1, 0, msf);
      break;
    case 2:
      if (first > 1)
        goto invalid;
      length += put_full_toc (unit, reply + length);
      break;
    default:
      goto invalid;
    }
  put_be16 (reply, length - 2);
  scsi_command_reply (unit, command, reply, length, get_be16 (cdb + 7));
  return;

invalid:
  scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
}

static void
read_disc_information (ScsiUnit *unit, ScsiCommand *command)
{
  guint8 reply[34] = { 0 };

  if (command->cdb[1] & 7)
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  put_be16 (reply, sizeof reply - 2);
  reply[2] = 0x0e; /* complete, and so is the last session */
  reply[3] = reply[4] = reply[5] = reply[6] = 1;
  reply[7] = 0x20;              /* unrestricted use */
  memset (reply + 16, 0xff, 8); /* no further session, no possible lead-out */
  scsi_command_reply (unit, command, reply, sizeof reply, get_be16 (command->cdb + 7));
}

static void
read_track_information (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;
  guint32 number = get_be32 (cdb + 2);
  guint8 reply[36] = { 0 };

  /* By block, track or session. */
  if ((cdb[1] & 3) == 3 || ((cdb[1] & 3) == 0 ? number >= unit->host.n_blocks : number != 1))
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  put_be16 (reply, sizeof reply - 2);
  reply[2] = reply[3] = 1;
  reply[5] = 0x04; /* data, recorded uninterrupted */
  reply[6] = 0x01; /* mode 1 */
  put_be32 (reply + 24, MIN (unit->host.n_blocks, G_MAXUINT32));
  scsi_command_reply (unit, command, reply, sizeof reply, get_be16 (cdb + 7));
}

/* MMC-5, 6.22: physical format and copyright of layer 0. */
static void
read_dvd_structure (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;
  gsize allocation = get_be16 (cdb + 8), length;
  guint8 *reply;

  if ((cdb[1] & 0xf) != 0 || !is_dvd (unit) || cdb[6] != 0 || (cdb[7] != 0x00 && cdb[7] != 0x01))
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  length = cdb[7] == 0x00 ? 4 + 2048 : 8;
  reply = scsi_command_get_buffer (command);
  memset (reply, 0, length);
  put_be16 (reply, length - 2);
  if (cdb[7] == 0x00)
    {
      reply[4] = 0x01; /* DVD-ROM, version 1 */
      reply[5] = 0x0f; /* 120 mm, any rate */
      reply[6] = 0x01; /* one layer, embossed */
      put_be24 (reply + 9, 0x030000);
      put_be24 (reply + 13, MIN (0x030000 + unit->host.n_blocks - 1, 0xffffffu));
    }
  scsi_command_reply (unit, command, reply, length, allocation);
}

static void
read_capacity (ScsiUnit *unit, ScsiCommand *command)
{
  guint8 reply[8];

  put_be32 (reply, MIN (unit->host.n_blocks - 1, G_MAXUINT32));
  put_be32 (reply + 4, CD_BLOCK);
  scsi_command_reply (unit, command, reply, sizeof reply, sizeof reply);
}

/* ---- data ---- */

static void
read_data (ScsiUnit *unit, ScsiCommand *command, guint64 lba, guint64 count)
{
  guint64 n = unit->host.n_blocks, length = count * CD_BLOCK, there;
  guint8 zeroes[CD_BLOCK] = { 0 };

  if (lba > n || count > n - lba)
    {
      scsi_command_finish (unit, command, SENSE_LBA_OUT_OF_RANGE);
      return;
    }
  there = MIN (length, unit->host.info.size - MIN (lba * CD_BLOCK, unit->host.info.size));
  if (there == length || length > command->in_length)
    {
      scsi_read_blocks (unit, command, lba, count);
      return;
    }
  /* The image ends within the last block. */
  scsi_command_give (command, there, zeroes, length - there);
  scsi_command_map (command, TRUE, 0, there);
  command->n_in = length;
  scsi_unit_count (&unit->host.counters.n_reads, 1);
  scsi_unit_count (&unit->host.counters.bytes_read, there);
  scsi_command_prepare (command, BLOCK_OP_READ, lba * CD_BLOCK, there, NULL);
  scsi_command_submit (unit, command);
}

/* READ CD (MMC-5, 6.19): the user data of a mode 1 track; images hold nothing else of a sector. */
static void
read_cd (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;
  guint type = cdb[1] >> 2 & 7;

  if (type != 0 && type != 2)
    scsi_command_finish (unit, command, SENSE_ILLEGAL_MODE_FOR_TRACK);
  else if ((cdb[9] & 0xfe) == 0 && (cdb[10] & 7) == 0)
    scsi_command_finish (unit, command, SENSE_NONE); /* nothing is asked for */
  else if ((cdb[9] & 0xfe) != 0x10 || (cdb[10] & 7) != 0)
    scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
  else
    read_data (unit, command, get_be32 (cdb + 2), get_be24 (cdb + 6));
}

/* Commands that work without a disc; FALSE: it is none of them. */
static gboolean
execute_without_disc (ScsiUnit *unit, ScsiCommand *command)
{
  switch (command->cdb[0])
    {
    case OP_GET_CONFIGURATION:
      get_configuration (unit, command);
      return TRUE;
    case OP_GET_EVENT_STATUS:
      get_event_status (unit, command);
      return TRUE;
    case OP_MECHANISM_STATUS:
      mechanism_status (unit, command);
      return TRUE;
    case OP_START_STOP_UNIT:
      start_stop (unit, command);
      return TRUE;
    case OP_PREVENT_ALLOW:
      /* 3: a persistent prevention, which needs a driver for each event. */
      if ((command->cdb[4] & 3) == 3)
        {
          scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
          return TRUE;
        }
      unit->guest.locked = command->cdb[4] & 1;
      scsi_command_finish (unit, command, SENSE_NONE);
      return TRUE;
    case OP_SET_CD_SPEED:
      scsi_command_finish (unit, command, SENSE_NONE);
      return TRUE;
    default:
      return FALSE;
    }
}

static void
execute_with_disc (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;

  switch (cdb[0])
    {
    case OP_TEST_UNIT_READY:
    case OP_SYNCHRONIZE_CACHE_10: /* some guests send it before they eject */
      scsi_command_finish (unit, command, SENSE_NONE);
      break;
    case OP_SEEK_10:
      scsi_command_finish (unit, command,
                           get_be32 (cdb + 2) < unit->host.n_blocks ? SENSE_NONE
                                                                    : SENSE_LBA_OUT_OF_RANGE);
      break;
    case OP_READ_CAPACITY_10:
      read_capacity (unit, command);
      break;
    case OP_READ_TOC:
      read_toc (unit, command);
      break;
    case OP_READ_DISC_INFORMATION:
      read_disc_information (unit, command);
      break;
    case OP_READ_TRACK_INFORMATION:
      read_track_information (unit, command);
      break;
    case OP_READ_DVD_STRUCTURE:
      read_dvd_structure (unit, command);
      break;
    case OP_READ_10:
      read_data (unit, command, get_be32 (cdb + 2), get_be16 (cdb + 7));
      break;
    case OP_READ_12:
      read_data (unit, command, get_be32 (cdb + 2), get_be32 (cdb + 6));
      break;
    case OP_READ_CD:
      read_cd (unit, command);
      break;
    default:
      scsi_command_finish (unit, command, SENSE_INVALID_OPCODE);
      break;
    }
}

static gboolean
is_known (guint8 opcode)
{
  static const guint8 known[] = {
    OP_TEST_UNIT_READY,
    OP_SYNCHRONIZE_CACHE_10,
    OP_SEEK_10,
    OP_READ_CAPACITY_10,
    OP_READ_TOC,
    OP_READ_DISC_INFORMATION,
    OP_READ_TRACK_INFORMATION,
    OP_READ_DVD_STRUCTURE,
    OP_READ_10,
    OP_READ_12,
    OP_READ_CD,
  };

  return memchr (known, opcode, sizeof known) != NULL;
}

static void
cdrom_execute (ScsiUnit *unit, ScsiCommand *command)
{
  ScsiSense sense = scsi_cdrom_not_ready (unit);

  if (execute_without_disc (unit, command))
    return;
  if (!is_known (command->cdb[0]))
    sense = SENSE_INVALID_OPCODE;
  if (sense != SENSE_NONE)
    scsi_command_finish (unit, command, sense);
  else
    execute_with_disc (unit, command);
}

const ScsiUnitOps scsi_cdrom_ops = { .execute = cdrom_execute };
