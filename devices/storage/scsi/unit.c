/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A logical unit: life cycle, commands in flight, sense and unit attentions, saved state.
 *
 * A command is one block request after another, each prepared by the step before. A back end that
 * is done inside submit does not recurse: run loops. A cancelled command ends when its request
 * comes back, since only then the guest's memory is free again. */
#include "devices/storage/scsi/scsi-private.h"

#include <errno.h>
#include <string.h>

void
scsi_unit_count (guint64 *counter, guint64 value)
{
  __atomic_fetch_add (counter, value, __ATOMIC_RELAXED);
}

/* ---- sense ---- */

void
scsi_fill_sense (guint8 *buffer, ScsiSense sense, gboolean descriptor)
{
  memset (buffer, 0, descriptor ? 8 : 18);
  if (descriptor) /* SPC-4, 4.5.2 */
    {
      buffer[0] = 0x72;
      buffer[1] = sense >> 16;
      buffer[2] = sense >> 8;
      buffer[3] = sense;
      return;
    }
  buffer[0] = 0x70; /* SPC-4, 4.5.3: current, fixed format */
  buffer[2] = sense >> 16;
  buffer[7] = 10;
  buffer[12] = sense >> 8;
  buffer[13] = sense;
}

void
scsi_command_set_sense (ScsiCommand *command, ScsiSense sense)
{
  command->status = SCSI_STATUS_CHECK_CONDITION;
  scsi_fill_sense (command->sense, sense, FALSE);
  command->sense_length = 18;
}

void
scsi_unit_attention (ScsiUnit *unit, guint8 asc, guint8 ascq)
{
  guint16 code = asc << 8 | ascq;

  for (guint i = 0; i < unit->guest.n_attentions; i++)
    if (unit->guest.attentions[i] == code)
      return;
  /* A reset says all that came before it (SAM-5, 5.14). */
  if (asc == 0x29)
    {
      unit->guest.n_attentions = 0;
      memset (unit->guest.attentions, 0, sizeof unit->guest.attentions);
    }
  if (unit->guest.n_attentions < MAX_ATTENTIONS)
    unit->guest.attentions[unit->guest.n_attentions++] = code;
}

static ScsiSense
take_attention (ScsiUnit *unit)
{
  guint16 code;

  if (unit->guest.n_attentions == 0)
    return SENSE_NONE;
  code = unit->guest.attentions[0];
  unit->guest.n_attentions--;
  memmove (unit->guest.attentions, unit->guest.attentions + 1,
           unit->guest.n_attentions * sizeof unit->guest.attentions[0]);
  unit->guest.attentions[unit->guest.n_attentions] = 0;
  return SENSE (KEY_UNIT_ATTENTION, code >> 8, code & 0xff);
}

static ScsiSense
sense_of_error (const ScsiCommand *command, int error)
{
  gboolean reading = command->block.op == BLOCK_OP_READ;

  switch (-error)
    {
    case ENOSPC:
    case EDQUOT:
      return SENSE_SPACE_ALLOCATION;
    case EROFS:
    case EPERM:
    case EACCES:
      return reading ? SENSE_READ_ERROR : SENSE_WRITE_PROTECTED;
    case EOPNOTSUPP:
      return SENSE_INVALID_FIELD_IN_CDB;
    case ENOMEM:
    case EAGAIN:
      return SENSE_IO_TERMINATED;
    case ENXIO:
    case ENODEV:
    case ENOMEDIUM:
      return SENSE_TARGET_FAILURE;
    default:
      return reading ? SENSE_READ_ERROR : SENSE_WRITE_ERROR;
    }
}

/* ---- commands ---- */

void
scsi_command_clear (ScsiCommand *command)
{
  memset (command, 0, sizeof *command);
}

void
scsi_command_return (ScsiUnit *unit, ScsiCommand *command)
{
  if (command->prev != NULL)
    command->prev->next = command->next;
  else
    unit->host.first = command->next;
  if (command->next != NULL)
    command->next->prev = command->prev;
  command->prev = command->next = NULL;
  unit->host.n_in_flight--;
  g_clear_pointer (&command->buffer, g_free);
  g_clear_pointer (&command->iov, g_free);
  command->done (command);
}

void
scsi_command_finish (ScsiUnit *unit, ScsiCommand *command, ScsiSense sense)
{
  command->status = SCSI_STATUS_GOOD;
  if (sense != SENSE_NONE)
    scsi_command_set_sense (command, sense);
  if ((unit->config.flags & SCSI_UNIT_KEEP_SENSE) && !command->cancelled)
    unit->guest.sense = sense;
  scsi_command_return (unit, command);
}

gboolean
scsi_command_take (ScsiCommand *command, guint64 skip, void *buffer, gsize length)
{
  guint8 *to = buffer;

  if (skip > command->out_length || length > command->out_length - skip)
    return FALSE;
  for (guint i = 0; i < command->out_count && length > 0; i++)
    {
      gsize room = command->out[i].iov_len, piece;

      if (skip >= room)
        {
          skip -= room;
          continue;
        }
      piece = MIN (room - skip, length);
      memcpy (to, (const guint8 *)command->out[i].iov_base + skip, piece);
      to += piece;
      length -= piece;
      skip = 0;
    }
  return length == 0;
}

void
scsi_command_give (ScsiCommand *command, guint64 skip, const void *buffer, gsize length)
{
  const guint8 *from = buffer;

  for (guint i = 0; i < command->in_count && length > 0; i++)
    {
      gsize room = command->in[i].iov_len, piece;

      if (skip >= room)
        {
          skip -= room;
          continue;
        }
      piece = MIN (room - skip, length);
      memcpy ((guint8 *)command->in[i].iov_base + skip, from, piece);
      from += piece;
      length -= piece;
      skip = 0;
    }
}

void
scsi_command_reply (
    ScsiUnit *unit, ScsiCommand *command, const guint8 *data, gsize length, gsize allocation)
{
  length = MIN (MIN (length, allocation), command->in_length);
  scsi_command_give (command, 0, data, length);
  command->n_in = length;
  scsi_command_finish (unit, command, SENSE_NONE);
}

guint8 *
scsi_command_get_buffer (ScsiCommand *command)
{
  if (command->buffer == NULL)
    command->buffer = g_malloc (BUFFER_SIZE);
  return command->buffer;
}

void
scsi_command_map (ScsiCommand *command, gboolean in, guint64 skip, guint64 length)
{
  const struct iovec *iov = in ? command->in : command->out;
  guint count = in ? command->in_count : command->out_count, n = 0;

  if (skip == 0 && length == (in ? command->in_length : command->out_length))
    {
      command->block.iov = iov;
      command->block.n_iov = count;
      return;
    }
  g_free (command->iov);
  command->iov = g_new (struct iovec, count);
  for (guint i = 0; i < count && length > 0; i++)
    {
      gsize piece;

      if (skip >= iov[i].iov_len)
        {
          skip -= iov[i].iov_len;
          continue;
        }
      piece = MIN (iov[i].iov_len - skip, length);
      command->iov[n].iov_base = (guint8 *)iov[i].iov_base + skip;
      command->iov[n++].iov_len = piece;
      length -= piece;
      skip = 0;
    }
  command->block.iov = command->iov;
  command->block.n_iov = n;
}

/* ---- block requests ---- */

/* What follows a request that is done. TRUE: the next one is prepared. */
static gboolean
advance (ScsiUnit *unit, ScsiCommand *command)
{
  if (command->result != 0 && !command->cancelled)
    {
      scsi_unit_count (&unit->host.counters.n_errors, 1);
      command->n_in = command->n_out = 0;
      scsi_command_finish (unit, command, sense_of_error (command, command->result));
      return FALSE;
    }
  if (command->cancelled)
    {
      command->status = SCSI_STATUS_TASK_ABORTED;
      scsi_command_return (unit, command);
      return FALSE;
    }
  if (command->step == NULL)
    {
      scsi_command_finish (unit, command, SENSE_NONE);
      return FALSE;
    }
  if (!command->step (unit, command))
    return FALSE;
  /* The image may have become smaller since the command was checked. */
  if (command->block.offset > unit->host.info.size ||
      command->block.length > unit->host.info.size - command->block.offset)
    {
      command->n_in = command->n_out = 0;
      scsi_command_finish (unit, command, SENSE_LBA_OUT_OF_RANGE);
      return FALSE;
    }
  return TRUE;
}

static void
run (ScsiUnit *unit, ScsiCommand *command)
{
  BlockBackend *backend = unit->host.backend;

  do
    {
      command->submitting = TRUE;
      command->returned = FALSE;
      backend->ops->submit (backend, unit->worker, &command->block);
      command->submitting = FALSE;
      command->block.flags &= ~BLOCK_REQUEST_ALONE;
      if (!command->returned)
        return;
    }
  while (advance (unit, command));
}

static void
request_done (BlockRequest *request, int result)
{
  ScsiCommand *command = request->user_data;
  ScsiUnit *unit = command->unit;

  command->result = result;
  if (command->submitting)
    command->returned = TRUE;
  else if (advance (unit, command))
    run (unit, command);
}

void
scsi_command_prepare (
    ScsiCommand *command, BlockOp op, guint64 offset, guint64 length, ScsiStep step)
{
  command->block.op = op;
  command->block.offset = offset;
  command->block.length = length;
  command->block.done = request_done;
  command->block.user_data = command;
  command->step = step;
}

void
scsi_command_submit (ScsiUnit *unit, ScsiCommand *command)
{
  if (command->alone)
    command->block.flags |= BLOCK_REQUEST_ALONE;
  run (unit, command);
}

/* SPC-4, 5.6.1 with MMC-5, 4.1.6.1: commands that do not report a unit attention. */
static gboolean
ignores_attention (guint8 opcode)
{
  return opcode == OP_INQUIRY || opcode == OP_REQUEST_SENSE || opcode == OP_REPORT_LUNS ||
         opcode == OP_GET_CONFIGURATION || opcode == OP_GET_EVENT_STATUS;
}

static void
request_sense (ScsiUnit *unit, ScsiCommand *command)
{
  gboolean descriptor = command->cdb[1] & 1;
  ScsiSense sense = unit->guest.sense;
  guint8 reply[18];

  if (sense == SENSE_NONE)
    sense = take_attention (unit);
  if (sense == SENSE_NONE && unit->config.kind == SCSI_KIND_CDROM)
    sense = scsi_cdrom_not_ready (unit);
  scsi_fill_sense (reply, sense, descriptor);
  /* finish clears the kept sense */
  scsi_command_reply (unit, command, reply, descriptor ? 8 : 18, command->cdb[4]);
}

void
scsi_unit_execute (ScsiUnit *unit, ScsiCommand *command)
{
  ScsiSense sense = SENSE_NONE;

  command->unit = unit;
  command->status = SCSI_STATUS_GOOD;
  command->sense_length = 0;
  command->n_in = command->n_out = 0;
  command->overrun = command->cancelled = command->failed = FALSE;
  command->block = (BlockRequest){ 0 };
  command->buffer = NULL;
  command->iov = NULL;
  command->position = command->end = 0;
  command->prev = NULL;
  command->next = unit->host.first;
  if (command->next != NULL)
    command->next->prev = command;
  unit->host.first = command;
  unit->host.n_in_flight++;

  if (command->in_count > SCSI_IOV_MAX || command->out_count > SCSI_IOV_MAX)
    {
      scsi_command_finish (unit, command, SENSE_TARGET_FAILURE);
      return;
    }
  if (unit->config.kind == SCSI_KIND_PASSTHROUGH)
    {
      unit->ops->execute (unit, command);
      return;
    }
  if (!ignores_attention (command->cdb[0]))
    sense = take_attention (unit);
  if (sense != SENSE_NONE)
    scsi_command_finish (unit, command, sense);
  else if (command->cdb[0] == OP_REQUEST_SENSE)
    request_sense (unit, command);
  else if (!scsi_execute_common (unit, command))
    unit->ops->execute (unit, command);
}

void
scsi_unit_cancel (ScsiUnit *unit, ScsiCommand *command)
{
  g_assert (command->unit == unit);
  command->cancelled = TRUE;
  if (unit->ops->cancel != NULL)
    unit->ops->cancel (unit, command);
}

void
scsi_unit_cancel_all (ScsiUnit *unit)
{
  ScsiCommand *next;

  for (ScsiCommand *command = unit->host.first; command != NULL; command = next)
    {
      next = command->next;
      scsi_unit_cancel (unit, command);
    }
}

guint
scsi_unit_get_n_in_flight (ScsiUnit *unit)
{
  return unit->host.n_in_flight;
}

void
scsi_unit_drain (ScsiUnit *unit)
{
  while (unit->host.n_in_flight > 0)
    {
      if (unit->ops->drain != NULL)
        unit->ops->drain (unit);
      else
        unit->host.backend->ops->drain (unit->host.backend, unit->worker);
    }
}

guint
scsi_unit_settle (ScsiUnit *unit)
{
  if (unit->host.n_in_flight > 0 && unit->ops->drain != NULL)
    unit->ops->drain (unit);
  else if (unit->host.n_in_flight > 0)
    (void)block_backend_settle (unit->host.backend, unit->worker);
  return unit->host.n_in_flight;
}

/* ---- reset and life cycle ---- */

static void
initial_values (ScsiUnit *unit)
{
  unit->guest.n_attentions = 0;
  memset (unit->guest.attentions, 0, sizeof unit->guest.attentions);
  unit->guest.sense = SENSE_NONE;
  unit->guest.write_cache = 1;
  unit->guest.software_lock = 0;
  unit->guest.stopped = 0;
  unit->guest.locked = 0;
  /* The tray stays as it is: what a guest ejected does not come back by a reset. */
}

void
scsi_unit_reset (ScsiUnit *unit, ScsiResetKind kind)
{
  scsi_unit_cancel_all (unit);
  initial_values (unit);
  if (kind == SCSI_RESET_POWER_ON)
    unit->guest.media_events = 0;
  scsi_unit_attention (unit, 0x29,
                       kind == SCSI_RESET_POWER_ON ? 1
                       : kind == SCSI_RESET_BUS    ? 2
                                                   : 3);
}

void
scsi_unit_take_backend (ScsiUnit *unit, BlockBackend *backend)
{
  unit->host.backend = backend;
  unit->host.info = (BlockInfo){ 0 };
  unit->host.n_blocks = 0;
  if (backend == NULL)
    return;
  backend->ops->get_info (backend, &unit->host.info);
  if (unit->config.kind == SCSI_KIND_DISK)
    {
      unit->host.block = unit->host.info.logical_block;
      unit->host.n_blocks = unit->host.info.size / unit->host.block;
    }
  else
    /* An image may end within a block: the rest reads as zeroes. */
    unit->host.n_blocks = (unit->host.info.size + CD_BLOCK - 1) / CD_BLOCK;
}

gboolean
scsi_unit_update_capacity (ScsiUnit *unit)
{
  guint64 old = unit->host.n_blocks;

  if (unit->config.kind == SCSI_KIND_PASSTHROUGH || unit->host.backend == NULL)
    return FALSE;
  scsi_unit_take_backend (unit, unit->host.backend);
  if (unit->host.n_blocks == old)
    return FALSE;
  scsi_unit_attention (unit, ATTENTION_CAPACITY >> 8, ATTENTION_CAPACITY & 0xff);
  return TRUE;
}

ScsiUnit *
scsi_unit_new_bare (VmmWorker *worker, const ScsiUnitOps *ops, ScsiKind kind)
{
  ScsiUnit *unit = g_new0 (ScsiUnit, 1);

  unit->worker = worker;
  unit->ops = ops;
  unit->config.kind = kind;
  unit->host.block = kind == SCSI_KIND_CDROM ? CD_BLOCK : 512;
  initial_values (unit);
  scsi_unit_attention (unit, ATTENTION_POWER_ON >> 8, ATTENTION_POWER_ON & 0xff);
  return unit;
}

ScsiUnit *
scsi_unit_new (VmmWorker *worker, const ScsiUnitOptions *options, GError **error)
{
  gboolean disk = options->kind == SCSI_KIND_DISK;
  ScsiUnit *unit;

  g_assert (disk || options->kind == SCSI_KIND_CDROM);
  if (disk && options->backend == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "A SCSI disk needs an image or a device behind it; only a CD-ROM drive can be "
                   "empty");
      return NULL;
    }
  unit = scsi_unit_new_bare (worker, disk ? &scsi_disk_ops : &scsi_cdrom_ops, options->kind);
  unit->config.flags = options->flags;
  unit->config.tray_moved = options->tray_moved;
  unit->config.user_data = options->user_data;
  g_strlcpy (unit->config.product,
             options->product != NULL ? options->product
             : disk                   ? "DISK"
                                      : "CD-ROM",
             sizeof unit->config.product);
  g_strlcpy (unit->config.serial, options->serial != NULL ? options->serial : "",
             sizeof unit->config.serial);
  scsi_unit_take_backend (unit, options->backend);
  if (disk && unit->host.n_blocks == 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: too small for a SCSI disk, which has at least one block of %u bytes",
                   options->backend->name, unit->host.block);
      scsi_unit_free (unit);
      return NULL;
    }
  return unit;
}

void
scsi_unit_free (ScsiUnit *unit)
{
  if (unit == NULL)
    return;
  g_assert (unit->host.n_in_flight == 0);
  if (unit->ops->free != NULL)
    unit->ops->free (unit);
  g_free (unit);
}

ScsiKind
scsi_unit_get_kind (ScsiUnit *unit)
{
  return unit->config.kind;
}

void
scsi_unit_get_counters (ScsiUnit *unit, ScsiUnitCounters *ret)
{
  const ScsiUnitCounters *counters = &unit->host.counters;

  ret->n_reads = __atomic_load_n (&counters->n_reads, __ATOMIC_RELAXED);
  ret->n_writes = __atomic_load_n (&counters->n_writes, __ATOMIC_RELAXED);
  ret->n_flushes = __atomic_load_n (&counters->n_flushes, __ATOMIC_RELAXED);
  ret->n_errors = __atomic_load_n (&counters->n_errors, __ATOMIC_RELAXED);
  ret->bytes_read = __atomic_load_n (&counters->bytes_read, __ATOMIC_RELAXED);
  ret->bytes_written = __atomic_load_n (&counters->bytes_written, __ATOMIC_RELAXED);
}

/* ---- state ---- */

static const VmmStateField fields[] = {
  VMM_STATE_ARRAY (ScsiUnit, guest.attentions, VMM_STATE_U16, MAX_ATTENTIONS),
  VMM_STATE_FIELD (ScsiUnit, guest.n_attentions, VMM_STATE_U8),
  VMM_STATE_FIELD (ScsiUnit, guest.sense, VMM_STATE_U32),
  VMM_STATE_FIELD (ScsiUnit, guest.write_cache, VMM_STATE_U8),
  VMM_STATE_FIELD (ScsiUnit, guest.software_lock, VMM_STATE_U8),
  VMM_STATE_FIELD (ScsiUnit, guest.stopped, VMM_STATE_U8),
  VMM_STATE_FIELD (ScsiUnit, guest.tray_open, VMM_STATE_U8),
  VMM_STATE_FIELD (ScsiUnit, guest.locked, VMM_STATE_U8),
  VMM_STATE_FIELD (ScsiUnit, guest.media_events, VMM_STATE_U8),
};

void
scsi_unit_save (ScsiUnit *unit, VmmStateWriter *writer)
{
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), unit);
}

static gboolean
possible (const ScsiUnit *unit)
{
  gboolean cd = unit->config.kind == SCSI_KIND_CDROM;

  if (unit->guest.n_attentions > MAX_ATTENTIONS || unit->guest.sense > SENSE (15, 0xff, 0xff) ||
      unit->guest.write_cache > 1 || unit->guest.software_lock > 1 || unit->guest.stopped > 1 ||
      unit->guest.tray_open > cd || unit->guest.locked > cd ||
      (unit->guest.media_events & ~(cd ? MEDIA_EJECT_REQUEST | MEDIA_NEW | MEDIA_REMOVAL : 0)))
    return FALSE;
  for (guint i = 0; i < MAX_ATTENTIONS; i++)
    if ((unit->guest.attentions[i] != 0) != (i < unit->guest.n_attentions))
      return FALSE;
  return TRUE;
}

gboolean
scsi_unit_load (ScsiUnit *unit, VmmStateReader *reader, GError **error)
{
  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), unit, error))
    goto fail;
  if (!possible (unit))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state of a SCSI unit is not possible; the file is damaged, or from "
                   "another machine");
      goto fail;
    }
  return TRUE;

fail:
  unit->guest.tray_open = 0;
  unit->guest.media_events = 0;
  initial_values (unit);
  scsi_unit_attention (unit, ATTENTION_POWER_ON >> 8, ATTENTION_POWER_ON & 0xff);
  return FALSE;
}
