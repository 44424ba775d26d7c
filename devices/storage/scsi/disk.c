/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A direct-access disk: SBC-3. Data moves between the transport's memory and the back end without
 * a copy; VERIFY and WRITE SAME with a pattern work through a buffer of fixed size. */
#include "devices/storage/scsi/scsi-private.h"

#include <string.h>

#define UNMAP_DESCRIPTORS 255                              /* of 16 bytes: LIST_MAX with header */
#define UNMAP_BYTES       (G_GUINT64_CONSTANT (1) << 31)   /* by one UNMAP */
#define WRITE_SAME_BYTES  (G_GUINT64_CONSTANT (128) << 20) /* it may have to be written */
G_STATIC_ASSERT (8 + UNMAP_DESCRIPTORS * 16 <= LIST_MAX && LIST_MAX <= BUFFER_SIZE);

static guint32
write_same_blocks (ScsiUnit *unit)
{
  return WRITE_SAME_BYTES / unit->host.block;
}

static guint32
unmap_blocks (ScsiUnit *unit)
{
  return UNMAP_BYTES / unit->host.block;
}

/* ---- vital product data (SBC-3, 6.6) ---- */

static void
put_block_limits (ScsiUnit *unit, guint8 *page)
{
  const BlockInfo *info = &unit->host.info;
  guint32 block = unit->host.block;
  guint32 granularity = MAX (info->discard_granularity, info->physical_block) / block;

  page[4] = 0x01; /* WSNZ: WRITE SAME of no blocks is an error */
  put_be16 (page + 6, MIN (info->physical_block / block, 0xffffu));
  put_be32 (page + 12, info->optimal_io / block);
  if (info->can_discard && !info->readonly)
    {
      put_be32 (page + 20, unmap_blocks (unit));
      put_be32 (page + 24, UNMAP_DESCRIPTORS);
      put_be32 (page + 28, MAX (granularity, 1u));
      page[32] = 0x80; /* UGAVALID, alignment 0 */
    }
  put_be64 (page + 36, write_same_blocks (unit));
}

void
scsi_disk_vpd (ScsiUnit *unit, ScsiCommand *command, guint8 code, gsize allocation)
{
  const BlockInfo *info = &unit->host.info;
  guint8 page[64] = { 0 };
  gsize length = sizeof page;

  page[1] = code;
  switch (code)
    {
    case 0xb0:
      put_block_limits (unit, page);
      break;
    case 0xb1:
      put_be16 (page + 4, info->rotational ? 0 : 1); /* not reported; no rotation */
      break;
    case 0xb2: /* 6.6.4 */
      length = 8;
      if (info->can_discard && !info->readonly)
        {
          page[5] = 0x80 | (info->can_write_zeroes ? 0x60 : 0); /* LBPU, LBPWS, LBPWS10 */
          page[6] = 2;                                          /* thin */
        }
      break;
    default:
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  page[3] = length - 4;
  scsi_command_reply (unit, command, page, length, allocation);
}

/* ---- capacity ---- */

static void
read_capacity_10 (ScsiUnit *unit, ScsiCommand *command)
{
  guint8 reply[8];

  put_be32 (reply, MIN (unit->host.n_blocks - 1, G_MAXUINT32));
  put_be32 (reply + 4, unit->host.block);
  scsi_command_reply (unit, command, reply, sizeof reply, sizeof reply);
}

static void
read_capacity_16 (ScsiUnit *unit, ScsiCommand *command)
{
  const BlockInfo *info = &unit->host.info;
  guint8 reply[32] = { 0 };
  guint exponent = 0;

  while ((guint64)unit->host.block << (exponent + 1) <= info->physical_block)
    exponent++;
  put_be64 (reply, unit->host.n_blocks - 1);
  put_be32 (reply + 8, unit->host.block);
  reply[13] = MIN (exponent, 15u);
  /* LBPME. LBPRZ stays 0: a discard of the back end promises nothing about later reads. */
  if (info->can_discard && !info->readonly)
    reply[14] = 0x80;
  scsi_command_reply (unit, command, reply, sizeof reply, get_be32 (command->cdb + 10));
}

/* ---- transfers ---- */

typedef struct
{
  guint64 lba;
  guint64 count;
} Extent;

static Extent
get_extent (const guint8 *cdb)
{
  switch (cdb[0] >> 5)
    {
    case 0:
      return (Extent){ get_be24 (cdb + 1) & 0x1fffff, cdb[4] != 0 ? cdb[4] : 256 };
    case 1:
    case 2:
      return (Extent){ get_be32 (cdb + 2), get_be16 (cdb + 7) };
    case 4:
      return (Extent){ get_be64 (cdb + 2), get_be32 (cdb + 10) };
    default:
      return (Extent){ get_be32 (cdb + 2), get_be32 (cdb + 6) };
    }
}

static ScsiSense
check_extent (ScsiUnit *unit, Extent extent)
{
  if (extent.lba > unit->host.n_blocks || extent.count > unit->host.n_blocks - extent.lba)
    return SENSE_LBA_OUT_OF_RANGE;
  return SENSE_NONE;
}

static ScsiSense
check_writable (ScsiUnit *unit)
{
  return unit->host.info.readonly || unit->guest.software_lock ? SENSE_WRITE_PROTECTED : SENSE_NONE;
}

static void
overrun (ScsiUnit *unit, ScsiCommand *command)
{
  command->overrun = TRUE;
  scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
}

static void
start_read (ScsiUnit *unit, ScsiCommand *command)
{
  guint64 length = command->end - command->position;

  scsi_command_map (command, TRUE, 0, length);
  command->n_in = length;
  scsi_unit_count (&unit->host.counters.n_reads, 1);
  scsi_unit_count (&unit->host.counters.bytes_read, length);
  scsi_command_prepare (command, BLOCK_OP_READ, command->position, length, NULL);
}

static gboolean
read_after_flush (ScsiUnit *unit, ScsiCommand *command)
{
  start_read (unit, command);
  return TRUE;
}

void
scsi_read_blocks (ScsiUnit *unit, ScsiCommand *command, guint64 lba, guint64 count)
{
  gboolean fua = unit->config.kind == SCSI_KIND_DISK && command->cdb[0] != OP_READ_6 &&
                 (command->cdb[1] & 0x08);
  guint64 length = count * unit->host.block;

  if (count == 0)
    {
      scsi_command_finish (unit, command, SENSE_NONE);
      return;
    }
  if (length > command->in_length)
    {
      overrun (unit, command);
      return;
    }
  command->position = lba * unit->host.block;
  command->end = command->position + length;
  if (fua && !unit->host.info.readonly) /* SBC-3, 4.15: what was written is on the medium first */
    scsi_command_prepare (command, BLOCK_OP_FLUSH, 0, 0, read_after_flush);
  else
    start_read (unit, command);
  scsi_command_submit (unit, command);
}

static void
set_write_flags (ScsiUnit *unit, ScsiCommand *command, gboolean fua)
{
  if (fua || !unit->guest.write_cache)
    command->block.flags |= BLOCK_REQUEST_FUA;
}

static void
write_blocks (ScsiUnit *unit, ScsiCommand *command, Extent extent)
{
  guint64 length = extent.count * unit->host.block;
  gboolean fua = command->cdb[0] != OP_WRITE_6 && (command->cdb[1] & 0x08);

  if (extent.count == 0)
    {
      scsi_command_finish (unit, command, SENSE_NONE);
      return;
    }
  if (length > command->out_length)
    {
      overrun (unit, command);
      return;
    }
  scsi_command_map (command, FALSE, 0, length);
  command->n_out = length;
  set_write_flags (unit, command, fua);
  scsi_unit_count (&unit->host.counters.n_writes, 1);
  scsi_unit_count (&unit->host.counters.bytes_written, length);
  scsi_command_prepare (command, BLOCK_OP_WRITE, extent.lba * unit->host.block, length, NULL);
  scsi_command_submit (unit, command);
}

static void
transfer (ScsiUnit *unit, ScsiCommand *command, gboolean reading)
{
  const guint8 *cdb = command->cdb;
  Extent extent = get_extent (cdb);
  ScsiSense sense;

  /* RDPROTECT, WRPROTECT: there is no protection information. */
  if (cdb[0] != OP_READ_6 && cdb[0] != OP_WRITE_6 && (cdb[1] & 0xe0))
    sense = SENSE_INVALID_FIELD_IN_CDB;
  else
    sense = check_extent (unit, extent);
  if (sense == SENSE_NONE && !reading)
    sense = check_writable (unit);
  if (sense != SENSE_NONE)
    scsi_command_finish (unit, command, sense);
  else if (reading)
    scsi_read_blocks (unit, command, extent.lba, extent.count);
  else
    write_blocks (unit, command, extent);
}

/* ---- VERIFY (SBC-3, 5.36) ---- */

static gboolean verify_step (ScsiUnit *unit, ScsiCommand *command);

static void
prepare_verify (ScsiUnit *unit, ScsiCommand *command)
{
  command->one.iov_base = scsi_command_get_buffer (command);
  command->one.iov_len = MIN (command->end - command->position, (guint64)BUFFER_SIZE);
  command->block.iov = &command->one;
  command->block.n_iov = 1;
  scsi_command_prepare (command, BLOCK_OP_READ, command->position, command->one.iov_len,
                        verify_step);
}

static gboolean
matches (ScsiCommand *command)
{
  guint8 piece[4096];

  for (gsize at = 0; at < command->one.iov_len; at += sizeof piece)
    {
      gsize length = MIN (sizeof piece, command->one.iov_len - at);

      if (!scsi_command_take (command, command->n_out, piece, length) ||
          memcmp (piece, command->buffer + at, length) != 0)
        return FALSE;
      command->n_out += length;
    }
  return TRUE;
}

static gboolean
verify_step (ScsiUnit *unit, ScsiCommand *command)
{
  if ((command->cdb[1] & 0x06) == 0x02 && !matches (command))
    {
      scsi_command_finish (unit, command, SENSE_MISCOMPARE);
      return FALSE;
    }
  command->position += command->one.iov_len;
  if (command->position == command->end)
    {
      scsi_command_finish (unit, command, SENSE_NONE);
      return FALSE;
    }
  prepare_verify (unit, command);
  return TRUE;
}

static void
verify (ScsiUnit *unit, ScsiCommand *command)
{
  Extent extent = get_extent (command->cdb);
  ScsiSense sense = check_extent (unit, extent);

  /* BYTCHK: 0 the medium can be read, 1 it holds what comes with the command. */
  if ((command->cdb[1] & 0xe0) || (command->cdb[1] & 0x06) > 0x02)
    sense = SENSE_INVALID_FIELD_IN_CDB;
  if (sense != SENSE_NONE || extent.count == 0)
    {
      scsi_command_finish (unit, command, sense);
      return;
    }
  command->position = extent.lba * unit->host.block;
  command->end = command->position + extent.count * unit->host.block;
  if ((command->cdb[1] & 0x06) && command->out_length < command->end - command->position)
    {
      overrun (unit, command);
      return;
    }
  prepare_verify (unit, command);
  scsi_command_submit (unit, command);
}

/* ---- WRITE SAME (SBC-3, 5.42 and 5.43) ---- */

static gboolean write_same_step (ScsiUnit *unit, ScsiCommand *command);

static void
prepare_write_same (ScsiUnit *unit, ScsiCommand *command)
{
  command->one.iov_base = command->buffer;
  command->one.iov_len = MIN (command->end - command->position, (guint64)BUFFER_SIZE);
  command->block.iov = &command->one;
  command->block.n_iov = 1;
  scsi_command_prepare (command, BLOCK_OP_WRITE, command->position, command->one.iov_len,
                        write_same_step);
}

static gboolean
write_same_step (ScsiUnit *unit, ScsiCommand *command)
{
  command->position += command->one.iov_len;
  if (command->position == command->end)
    {
      scsi_command_finish (unit, command, SENSE_NONE);
      return FALSE;
    }
  prepare_write_same (unit, command);
  return TRUE;
}

static gboolean
is_zero (const guint8 *data, gsize length)
{
  for (gsize i = 0; i < length; i++)
    if (data[i] != 0)
      return FALSE;
  return TRUE;
}

static ScsiSense
check_write_same (ScsiUnit *unit, const guint8 *cdb, Extent extent)
{
  gboolean unmap = cdb[1] & 0x08;

  /* WRPROTECT, ANCHOR, PBDATA, LBDATA */
  if ((cdb[1] & 0xf6) || extent.count == 0 || extent.count > write_same_blocks (unit))
    return SENSE_INVALID_FIELD_IN_CDB;
  if (cdb[0] == OP_WRITE_SAME_10 && (cdb[1] & 1)) /* NDOB is of the long form */
    return SENSE_INVALID_FIELD_IN_CDB;
  if (unmap && !unit->host.info.can_discard)
    return SENSE_INVALID_FIELD_IN_CDB;
  if (check_extent (unit, extent) != SENSE_NONE)
    return SENSE_LBA_OUT_OF_RANGE;
  return check_writable (unit);
}

static void
write_same (ScsiUnit *unit, ScsiCommand *command)
{
  const guint8 *cdb = command->cdb;
  Extent extent = get_extent (cdb);
  ScsiSense sense = check_write_same (unit, cdb, extent);
  guint32 block = unit->host.block;
  guint8 *buffer;

  if (sense != SENSE_NONE)
    {
      scsi_command_finish (unit, command, sense);
      return;
    }
  buffer = scsi_command_get_buffer (command);
  if (cdb[1] & 1)
    memset (buffer, 0, block);
  else if (!scsi_command_take (command, 0, buffer, block))
    {
      overrun (unit, command);
      return;
    }
  else
    command->n_out = block;
  command->position = extent.lba * block;
  command->end = command->position + extent.count * block;
  set_write_flags (unit, command, FALSE);
  scsi_unit_count (&unit->host.counters.n_writes, 1);
  if (is_zero (buffer, block) && unit->host.info.can_write_zeroes)
    {
      if (cdb[1] & 0x08)
        command->block.flags |= BLOCK_REQUEST_UNMAP;
      scsi_command_prepare (command, BLOCK_OP_WRITE_ZEROES, command->position,
                            command->end - command->position, NULL);
    }
  else
    {
      /* 4.7.3.4.3: UNMAP with data that an unmapped block would not read as is a plain write. */
      for (gsize at = block; at + block <= BUFFER_SIZE; at += block)
        memcpy (buffer + at, buffer, block);
      scsi_unit_count (&unit->host.counters.bytes_written, command->end - command->position);
      prepare_write_same (unit, command);
    }
  scsi_command_submit (unit, command);
}

/* ---- UNMAP (SBC-3, 5.28) ---- */

static gboolean prepare_unmap (ScsiUnit *unit, ScsiCommand *command);

/* position and end count descriptors of the vetted copy. FALSE: there are no more. */
static gboolean
prepare_unmap (ScsiUnit *unit, ScsiCommand *command)
{
  while (command->position < command->end)
    {
      const guint8 *descriptor = command->buffer + 8 + 16 * command->position++;
      guint64 count = get_be32 (descriptor + 8);

      if (count == 0)
        continue;
      scsi_command_prepare (command, BLOCK_OP_DISCARD, get_be64 (descriptor) * unit->host.block,
                            count * unit->host.block, prepare_unmap);
      return TRUE;
    }
  scsi_command_finish (unit, command, SENSE_NONE);
  return FALSE;
}

static ScsiSense
check_unmap_list (ScsiUnit *unit, const guint8 *list, gsize length, guint64 *ret_n)
{
  guint64 total = 0;
  gsize n;

  /* 5.28.2: a length that is no multiple of a descriptor's: the part is ignored; what is cut off
   * is not there. */
  n = MIN ((gsize)get_be16 (list + 2), length - 8) / 16;
  if (n > UNMAP_DESCRIPTORS)
    return SENSE_INVALID_FIELD_IN_LIST;
  for (gsize i = 0; i < n; i++)
    {
      const guint8 *descriptor = list + 8 + 16 * i;
      Extent extent = { get_be64 (descriptor), get_be32 (descriptor + 8) };

      if (check_extent (unit, extent) != SENSE_NONE)
        return SENSE_LBA_OUT_OF_RANGE;
      total += extent.count;
    }
  if (total > unmap_blocks (unit))
    return SENSE_INVALID_FIELD_IN_LIST;
  *ret_n = n;
  return SENSE_NONE;
}

static void
unmap (ScsiUnit *unit, ScsiCommand *command)
{
  gsize length = get_be16 (command->cdb + 7);
  ScsiSense sense = check_writable (unit);

  if (!unit->host.info.can_discard)
    sense = SENSE_INVALID_OPCODE;
  else if (command->cdb[1] & 1) /* ANCHOR */
    sense = SENSE_INVALID_FIELD_IN_CDB;
  else if (length != 0 && (length < 8 || length > LIST_MAX))
    sense = SENSE_PARAMETER_LENGTH;
  if (sense != SENSE_NONE || length == 0)
    {
      scsi_command_finish (unit, command, sense);
      return;
    }
  if (!scsi_command_take (command, 0, scsi_command_get_buffer (command), length))
    {
      overrun (unit, command);
      return;
    }
  command->n_out = length;
  sense = check_unmap_list (unit, command->buffer, length, &command->end);
  if (sense != SENSE_NONE)
    scsi_command_finish (unit, command, sense);
  else if (prepare_unmap (unit, command))
    scsi_command_submit (unit, command);
}

/* ---- the rest ---- */

static void
flush (ScsiUnit *unit, ScsiCommand *command)
{
  scsi_unit_count (&unit->host.counters.n_flushes, 1);
  scsi_command_prepare (command, BLOCK_OP_FLUSH, 0, 0, NULL);
  scsi_command_submit (unit, command);
}

static void
start_stop (ScsiUnit *unit, ScsiCommand *command)
{
  /* No power conditions, no tray. */
  if ((command->cdb[4] & 0xf0) || (command->cdb[4] & 0x02))
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  unit->guest.stopped = !(command->cdb[4] & 1);
  if (unit->guest.stopped)
    flush (unit, command); /* SBC-3, 5.25: before it stops */
  else
    scsi_command_finish (unit, command, SENSE_NONE);
}

static void
disk_execute (ScsiUnit *unit, ScsiCommand *command)
{
  guint8 opcode = command->cdb[0];

  if (unit->guest.stopped && opcode != OP_START_STOP_UNIT && opcode != OP_SYNCHRONIZE_CACHE_10 &&
      opcode != OP_SYNCHRONIZE_CACHE_16)
    {
      scsi_command_finish (unit, command, SENSE_STOPPED);
      return;
    }
  switch (opcode)
    {
    case OP_TEST_UNIT_READY:
    case OP_SEEK_10:
      scsi_command_finish (unit, command, SENSE_NONE);
      break;
    case OP_PREVENT_ALLOW: /* SBC-3, 5.8: nothing to remove */
      scsi_command_finish (unit, command,
                           command->cdb[4] & 3 ? SENSE_INVALID_FIELD_IN_CDB : SENSE_NONE);
      break;
    case OP_START_STOP_UNIT:
      start_stop (unit, command);
      break;
    case OP_READ_CAPACITY_10:
      read_capacity_10 (unit, command);
      break;
    case OP_SERVICE_ACTION_IN_16:
      if ((command->cdb[1] & 0x1f) == 0x10)
        read_capacity_16 (unit, command);
      else
        scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      break;
    case OP_READ_6:
    case OP_READ_10:
    case OP_READ_12:
    case OP_READ_16:
      transfer (unit, command, TRUE);
      break;
    case OP_WRITE_6:
    case OP_WRITE_10:
    case OP_WRITE_12:
    case OP_WRITE_16:
      transfer (unit, command, FALSE);
      break;
    case OP_VERIFY_10:
    case OP_VERIFY_12:
    case OP_VERIFY_16:
      verify (unit, command);
      break;
    case OP_SYNCHRONIZE_CACHE_10:
    case OP_SYNCHRONIZE_CACHE_16:
      flush (unit, command);
      break;
    case OP_WRITE_SAME_10:
    case OP_WRITE_SAME_16:
      write_same (unit, command);
      break;
    case OP_UNMAP:
      unmap (unit, command);
      break;
    default:
      scsi_command_finish (unit, command, SENSE_INVALID_OPCODE);
      break;
    }
}

const ScsiUnitOps scsi_disk_ops = { .execute = disk_execute };
