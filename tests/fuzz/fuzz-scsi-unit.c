/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The SCSI engine by bytes: CDBs with buffers of any length to a disk and to a CD-ROM drive, over a
 * back end that answers, waits or fails; aborts, resets, changes of medium, saved states. */
#include "devices/storage/scsi/scsi.h"

#include <errno.h>
#include <string.h>

#include "fuzz.h"
#include "tests/unit/devices/storage/fake-block.h"

#define SIZE       (300 * 512) /* ends within a CD's block */
#define N_COMMANDS 8
#define BUFFER     8192

typedef struct
{
  const guint8 *data;
  gsize left;
  ScsiUnit *unit;
  FakeBlock block, other;
  BlockBackend *medium;
  ScsiCommand commands[N_COMMANDS];
  gboolean busy[N_COMMANDS];
  guint8 buffers[N_COMMANDS][BUFFER];
  struct iovec iov[N_COMMANDS][2];
} Fuzz;

static guint8
take (Fuzz *f)
{
  if (f->left == 0)
    return 0;
  f->left--;
  return *f->data++;
}

static void
done (ScsiCommand *command)
{
  gboolean *busy = command->user_data;

  g_assert_true (*busy);
  *busy = FALSE;
  g_assert_cmpuint (command->n_in, <=, command->in_length);
  g_assert_cmpuint (command->n_out, <=, command->out_length);
  g_assert_cmpuint (command->sense_length, <=, SCSI_SENSE_MAX);
}

static void
execute (Fuzz *f)
{
  guint slot = take (f) % N_COMMANDS, how = take (f), n;
  gsize length = MIN ((gsize)take (f) * 64 + (how >> 4), (gsize)BUFFER);
  ScsiCommand *command = &f->commands[slot];

  if (f->busy[slot])
    return;
  scsi_command_clear (command);
  n = take (f) % 17;
  for (guint i = 0; i < n; i++)
    command->cdb[i] = take (f);
  n = take (f) % 32;
  for (guint i = 0; i < n; i++)
    f->buffers[slot][i] = take (f);
  f->iov[slot][0] = (struct iovec){ f->buffers[slot], length / 3 };
  f->iov[slot][1] = (struct iovec){ f->buffers[slot] + length / 3, length - length / 3 };
  if (how & 1)
    {
      command->in = f->iov[slot];
      command->in_count = 2;
      command->in_length = length;
    }
  if (how & 2)
    {
      command->out = f->iov[slot];
      command->out_count = 2;
      command->out_length = length;
    }
  command->done = done;
  command->user_data = &f->busy[slot];
  f->busy[slot] = TRUE;
  scsi_unit_execute (f->unit, command);
}

static void
finish_held (Fuzz *f)
{
  fake_block_finish (&f->block);
  fake_block_finish (&f->other);
}

static void
save_and_load (Fuzz *f)
{
  VmmStateWriter *writer = vmm_state_writer_new ();
  g_autoptr (GBytes) bytes = NULL;
  VmmStateReader *reader;
  const char *id, *class_name;
  guint32 version;

  finish_held (f);
  scsi_unit_drain (f->unit);
  vmm_state_writer_begin (writer, "unit", "scsi", 1);
  scsi_unit_save (f->unit, writer);
  vmm_state_writer_end (writer);
  bytes = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  reader = vmm_state_reader_new (bytes, NULL);
  g_assert_true (vmm_state_reader_next (reader, &id, &class_name, &version, NULL));
  g_assert_true (scsi_unit_load (f->unit, reader, NULL));
  vmm_state_reader_free (reader);
}

static void
change_medium (Fuzz *f, guint8 how)
{
  BlockBackend *next = how & 1 ? NULL : how & 2 ? &f->block.parent : &f->other.parent, *old;

  if (scsi_unit_get_kind (f->unit) != SCSI_KIND_CDROM)
    return;
  if (scsi_unit_set_medium (f->unit, next, how & 4, &old) == SCSI_MEDIUM_OK)
    {
      g_assert_true (old == f->medium);
      f->medium = next;
    }
}

static void
event (Fuzz *f)
{
  guint8 what = take (f), slot;

  switch (what % 10)
    {
    case 0:
      f->block.hold = f->other.hold = what & 0x80;
      break;
    case 1:
      f->block.result = f->other.result = what & 0x80 ? -EIO : 0;
      break;
    case 2:
      finish_held (f);
      break;
    case 3:
      slot = take (f) % N_COMMANDS;
      if (f->busy[slot])
        scsi_unit_cancel (f->unit, &f->commands[slot]);
      break;
    case 4:
      scsi_unit_reset (f->unit, take (f) % 3);
      break;
    case 5:
      change_medium (f, what >> 4);
      break;
    case 6:
      scsi_unit_attention (f->unit, take (f) | 1, take (f));
      break;
    case 7:
      f->block.info.size = (1 + take (f) % 150) * 1024;
      (void)scsi_unit_update_capacity (f->unit);
      break;
    case 8:
      save_and_load (f);
      break;
    default:
      scsi_unit_drain (f->unit);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree Fuzz *f = g_new0 (Fuzz, 1);
  VmmWorker *worker = vmm_worker_new_manual ("scsi", VMM_WORKER_NO_URING);
  ScsiUnitOptions options = { .serial = "FUZZ" };
  guint8 kind;

  f->data = data;
  f->left = MIN (size, 4096u);
  fake_block_init (&f->block, SIZE);
  fake_block_init (&f->other, 4096);
  kind = take (f);
  options.kind = kind & 1 ? SCSI_KIND_CDROM : SCSI_KIND_DISK;
  options.flags = kind & 2 ? SCSI_UNIT_ATAPI | SCSI_UNIT_KEEP_SENSE : SCSI_UNIT_NONE;
  f->block.info.readonly = (kind & 4) != 0;
  f->block.info.logical_block = kind & 8 && !(kind & 1) ? 4096 : 512;
  options.backend = f->medium = &f->block.parent;
  f->unit = scsi_unit_new (worker, &options, NULL);
  g_assert_nonnull (f->unit);
  while (f->left > 0)
    if (take (f) % 4 != 0)
      execute (f);
    else
      event (f);
  scsi_unit_drain (f->unit);
  for (guint i = 0; i < N_COMMANDS; i++)
    g_assert_false (f->busy[i]);
  scsi_unit_free (f->unit);
  vmm_worker_free (worker);
  fake_block_clear (&f->block);
  fake_block_clear (&f->other);
  return 0;
}
