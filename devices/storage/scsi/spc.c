/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Commands that every unit knows (SPC-4): INQUIRY with its vital product data, MODE SENSE and
 * SELECT (in mode.c); and what a target says for units that are not there. */
#include "devices/storage/scsi/scsi-private.h"

#include <string.h>

#define VENDOR "ALCOVE"

gsize
scsi_cdb_length (guint8 opcode)
{
  switch (opcode >> 5) /* SPC-4, table 22 */
    {
    case 0:
      return 6;
    case 1:
    case 2:
      return 10;
    case 4:
      return 16;
    case 5:
      return 12;
    default:
      return SCSI_CDB_MAX;
    }
}

void
scsi_put_text (guint8 *at, const char *text, gsize length)
{
  gsize n = MIN (strlen (text), length);

  memset (at, ' ', length);
  for (gsize i = 0; i < n; i++)
    at[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : ' ';
}

static guint8
peripheral_type (ScsiUnit *unit)
{
  return unit->config.kind == SCSI_KIND_CDROM ? 0x05 : 0x00;
}

static void
standard_inquiry (ScsiUnit *unit, ScsiCommand *command, gsize allocation)
{
  guint8 reply[36] = { 0 };

  reply[0] = peripheral_type (unit);
  reply[1] = unit->config.kind == SCSI_KIND_CDROM ? 0x80 : 0; /* RMB */
  if (unit->config.flags & SCSI_UNIT_ATAPI)
    reply[3] = 0x21; /* as ATA/ATAPI-4 drives have it, which libata expects */
  else
    {
      reply[2] = 0x06; /* SPC-4 */
      reply[3] = 0x12; /* HISUP, format 2 */
      reply[7] = 0x02; /* CMDQUE */
    }
  reply[4] = sizeof reply - 5;
  scsi_put_text (reply + 8, VENDOR, 8);
  scsi_put_text (reply + 16, unit->config.product, 16);
  scsi_put_text (reply + 32, "1.0", 4);
  scsi_command_reply (unit, command, reply, sizeof reply, allocation);
}

/* FNV-1a: stable for a serial number, from version to version. */
static guint64
hash (const char *text)
{
  guint64 value = G_GUINT64_CONSTANT (0xcbf29ce484222325);

  for (; *text != '\0'; text++)
    value = (value ^ (guint8)*text) * G_GUINT64_CONSTANT (0x100000001b3);
  return value;
}

/* SPC-4, 7.8.6: a T10 name, and with a serial number a locally assigned NAA. */
static gsize
put_identification (ScsiUnit *unit, guint8 *page)
{
  gsize length = strlen (unit->config.serial), at = 4;

  page[at] = 0x02;     /* ASCII */
  page[at + 1] = 0x01; /* T10 vendor identification */
  page[at + 3] = 8 + 16 + length;
  scsi_put_text (page + at + 4, VENDOR, 8);
  scsi_put_text (page + at + 12, unit->config.product, 16);
  scsi_put_text (page + at + 28, unit->config.serial, length);
  at += 28 + length;
  if (length > 0)
    {
      page[at] = 0x01;     /* binary */
      page[at + 1] = 0x03; /* NAA */
      page[at + 3] = 8;
      put_be64 (page + at + 4,
                (hash (unit->config.serial) & G_GUINT64_CONSTANT (0x0fffffffffffffff)) |
                    G_GUINT64_CONSTANT (3) << 60);
      at += 12;
    }
  return at;
}

static void
inquiry (ScsiUnit *unit, ScsiCommand *command)
{
  gsize allocation = get_be16 (command->cdb + 3), length = 4;
  gboolean disk = unit->config.kind == SCSI_KIND_DISK;
  guint8 page = command->cdb[2], reply[128] = { 0 };

  if (!(command->cdb[1] & 1))
    {
      if (page != 0)
        scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      else
        standard_inquiry (unit, command, allocation);
      return;
    }
  reply[0] = peripheral_type (unit);
  reply[1] = page;
  switch (page)
    {
    case 0x00:
      reply[length++] = 0x00;
      if (unit->config.serial[0] != '\0')
        reply[length++] = 0x80;
      reply[length++] = 0x83;
      if (disk)
        {
          reply[length++] = 0xb0;
          reply[length++] = 0xb1;
          reply[length++] = 0xb2;
        }
      break;
    case 0x80:
      if (unit->config.serial[0] == '\0')
        {
          scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
          return;
        }
      length += strlen (unit->config.serial);
      scsi_put_text (reply + 4, unit->config.serial, length - 4);
      break;
    case 0x83:
      length = put_identification (unit, reply);
      break;
    default:
      if (disk)
        scsi_disk_vpd (unit, command, page, allocation);
      else
        scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  reply[3] = length - 4;
  scsi_command_reply (unit, command, reply, length, allocation);
}

gboolean
scsi_execute_common (ScsiUnit *unit, ScsiCommand *command)
{
  switch (command->cdb[0])
    {
    case OP_INQUIRY:
      inquiry (unit, command);
      return TRUE;
    case OP_MODE_SENSE_6:
    case OP_MODE_SENSE_10:
      scsi_mode_sense (unit, command);
      return TRUE;
    case OP_MODE_SELECT_6:
    case OP_MODE_SELECT_10:
      scsi_mode_select (unit, command);
      return TRUE;
    case OP_PERSISTENT_RESERVE_IN: /* optional, and not offered: there is one initiator */
    case OP_PERSISTENT_RESERVE_OUT:
      scsi_command_finish (unit, command, SENSE_INVALID_OPCODE);
      return TRUE;
    default:
      return FALSE;
    }
}

/* ---- a target without the unit ---- */

gboolean
scsi_target_wants (const guint8 *cdb)
{
  return cdb[0] == OP_REPORT_LUNS;
}

static void
target_reply (ScsiCommand *command, const guint8 *data, gsize length, gsize allocation)
{
  command->n_in = MIN (MIN (length, allocation), command->in_length);
  scsi_command_give (command, 0, data, command->n_in);
}

void
scsi_target_execute (const guint64 *luns, guint n_luns, ScsiCommand *command)
{
  guint8 reply[8 + 256 * 8] = { 0 };

  command->status = SCSI_STATUS_GOOD;
  command->sense_length = 0;
  command->n_in = command->n_out = 0;
  command->overrun = command->cancelled = command->failed = FALSE;
  switch (command->cdb[0])
    {
    case OP_REPORT_LUNS: /* SPC-4, 6.33 */
      if (command->cdb[2] > 2)
        {
          scsi_command_set_sense (command, SENSE_INVALID_FIELD_IN_CDB);
          break;
        }
      n_luns =
          command->cdb[2] == 1 ? 0 : MIN (n_luns, 256u); /* 1: well known ones, of which none */
      put_be32 (reply, n_luns * 8);
      for (guint i = 0; i < n_luns; i++)
        memcpy (reply + 8 + 8 * i, &luns[i], 8);
      target_reply (command, reply, 8 + n_luns * 8, get_be32 (command->cdb + 6));
      break;
    case OP_INQUIRY: /* SPC-4, 6.4.2: no device there, and none can be */
      if (command->cdb[1] & 1 || command->cdb[2] != 0)
        {
          scsi_command_set_sense (command, SENSE_INVALID_FIELD_IN_CDB);
          break;
        }
      reply[0] = 0x7f;
      reply[2] = 0x06;
      reply[3] = 0x12;
      reply[4] = 31;
      scsi_put_text (reply + 8, VENDOR, 8);
      scsi_put_text (reply + 16, "TARGET", 16);
      scsi_put_text (reply + 32, "1.0", 4);
      target_reply (command, reply, 36, get_be16 (command->cdb + 3));
      break;
    case OP_REQUEST_SENSE:
      scsi_fill_sense (reply, SENSE_NO_LUN, command->cdb[1] & 1);
      target_reply (command, reply, command->cdb[1] & 1 ? 8 : 18, command->cdb[4]);
      break;
    default:
      scsi_command_set_sense (command, SENSE_NO_LUN);
      break;
    }
  command->done (command);
}
