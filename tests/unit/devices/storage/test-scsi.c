/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The SCSI engine without a transport: a disk and a CD-ROM drive over a back end in memory. */
#include "devices/storage/scsi/scsi.h"

#include <errno.h>
#include <string.h>

#include "fake-block.h"
#include "tests/unit/harness/harness.h"

#define DISK_BLOCKS 4096
#define CD_BLOCKS   1000
#define BUFFER      (1024 * 1024)
#define PIECES      7

typedef struct
{
  VmmWorker *worker;
  FakeBlock block;
  ScsiUnit *unit;
  guint8 *in, *out;
  struct iovec in_iov[PIECES], out_iov[PIECES];
  ScsiCommand command;
  guint n_done;
  gboolean tray_open;
  guint n_tray;
} Fixture;

static void
tray_moved (gpointer user_data, gboolean open)
{
  Fixture *f = user_data;

  f->tray_open = open;
  f->n_tray++;
}

static void
make (Fixture *f, ScsiKind kind, guint64 size, ScsiUnitFlags flags)
{
  g_autoptr (GError) error = NULL;
  ScsiUnitOptions options = {
    .kind = kind,
    .flags = flags,
    .serial = "ROOM-0001",
    .tray_moved = tray_moved,
    .user_data = f,
  };

  memset (f, 0, sizeof *f);
  fake_block_init (&f->block, size);
  options.backend = &f->block.parent;
  f->worker = vmm_worker_new_manual ("scsi", VMM_WORKER_NO_URING);
  f->unit = scsi_unit_new (f->worker, &options, &error);
  g_assert_no_error (error);
  f->in = g_malloc0 (BUFFER);
  f->out = g_malloc0 (BUFFER);
}

static void
set_up_disk (Fixture *f, gconstpointer data)
{
  make (f, SCSI_KIND_DISK, DISK_BLOCKS * 512, SCSI_UNIT_NONE);
}

static void
set_up_cd (Fixture *f, gconstpointer data)
{
  make (f, SCSI_KIND_CDROM, CD_BLOCKS * 2048, SCSI_UNIT_NONE);
}

static void
set_up_atapi (Fixture *f, gconstpointer data)
{
  make (f, SCSI_KIND_CDROM, CD_BLOCKS * 2048 + 512, SCSI_UNIT_ATAPI | SCSI_UNIT_KEEP_SENSE);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  scsi_unit_drain (f->unit);
  scsi_unit_free (f->unit);
  vmm_worker_free (f->worker);
  fake_block_clear (&f->block);
  g_free (f->in);
  g_free (f->out);
}

static void
done (ScsiCommand *command)
{
  Fixture *f = command->user_data;

  f->n_done++;
}

/* The buffer in uneven pieces. */
static guint
split (struct iovec *iov, guint8 *buffer, gsize length)
{
  static const gsize sizes[PIECES] = { 1, 15, 500, 4096, 37, 100000, G_MAXSIZE };
  guint n = 0;

  for (; length > 0; n++)
    {
      iov[n].iov_base = buffer;
      iov[n].iov_len = MIN (sizes[n], length);
      buffer += iov[n].iov_len;
      length -= iov[n].iov_len;
    }
  return n;
}

static void
start (Fixture *f, ScsiCommand *command, const guint8 *cdb, gsize n_cdb, gsize in, gsize out)
{
  scsi_command_clear (command);
  memcpy (command->cdb, cdb, n_cdb);
  command->in_count = split (f->in_iov, f->in, in);
  command->out_count = split (f->out_iov, f->out, out);
  command->in = f->in_iov;
  command->out = f->out_iov;
  command->in_length = in;
  command->out_length = out;
  command->done = done;
  command->user_data = f;
  scsi_unit_execute (f->unit, command);
}

/* Runs a command. Returns the sense as key << 16 | asc << 8 | ascq, 0 for GOOD. */
static guint32
run (Fixture *f, const guint8 *cdb, gsize n_cdb, gsize in, gsize out)
{
  guint n = f->n_done;
  const guint8 *sense = f->command.sense;

  memset (f->in, 0xee, in);
  start (f, &f->command, cdb, n_cdb, in, out);
  g_assert_cmpuint (f->n_done, ==, n + 1);
  g_assert_cmpuint (f->command.n_in, <=, in);
  g_assert_cmpuint (f->command.n_out, <=, out);
  for (gsize i = f->command.n_in; f->command.status == SCSI_STATUS_GOOD && i < in; i++)
    g_assert_cmphex (f->in[i], ==, 0xee);
  if (f->command.status == SCSI_STATUS_GOOD)
    return 0;
  g_assert_cmpuint (f->command.status, ==, SCSI_STATUS_CHECK_CONDITION);
  g_assert_cmpuint (f->command.sense_length, ==, 18);
  return sense[2] << 16 | sense[12] << 8 | sense[13];
}
#define RUN(f, in, out, ...)                                                                       \
  run (f, (const guint8[]){ __VA_ARGS__ }, sizeof (const guint8[]){ __VA_ARGS__ }, in, out)

static guint64
be (const guint8 *at, guint n)
{
  guint64 value = 0;

  while (n-- > 0)
    value = value << 8 | *at++;
  return value;
}

/* ---- disk ---- */

static void
test_attention (Fixture *f, gconstpointer data)
{
  /* INQUIRY does not report it, REQUEST SENSE takes it. */
  g_assert_cmphex (RUN (f, 36, 0, 0x12, 0, 0, 0, 36), ==, 0);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x062901);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0);
  scsi_unit_attention (f->unit, 0x3f, 0x0e);
  scsi_unit_attention (f->unit, 0x2a, 0x09);
  scsi_unit_attention (f->unit, 0x3f, 0x0e);
  g_assert_cmphex (RUN (f, 18, 0, 0x03, 0, 0, 0, 18), ==, 0);
  g_assert_cmphex (f->in[2] << 16 | f->in[12] << 8 | f->in[13], ==, 0x063f0e);
  g_assert_cmphex (RUN (f, 8, 0, 0x25), ==, 0x062a09);
  g_assert_cmphex (RUN (f, 18, 0, 0x03, 1, 0, 0, 18), ==, 0);
  g_assert_cmphex (f->in[0], ==, 0x72);
  g_assert_cmphex (f->in[1], ==, 0);
  /* A reset forgets the others. */
  scsi_unit_attention (f->unit, 0x3f, 0x0e);
  scsi_unit_reset (f->unit, SCSI_RESET_UNIT);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x062903);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0);
}

static void
ready (Fixture *f)
{
  while (RUN (f, 0, 0, 0x00) >> 16 == 6)
    continue;
}

static void
test_inquiry (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 0, 0, 0, 255), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 36);
  g_assert_cmphex (f->in[0], ==, 0);
  g_assert_cmphex (f->in[1], ==, 0);
  g_assert_cmphex (f->in[2], ==, 6);
  g_assert_cmpmem (f->in + 8, 24, "ALCOVE  DISK            ", 24);
  /* Cut at the allocation length, and at the buffer. */
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 0, 0, 0, 5), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 5);
  g_assert_cmphex (RUN (f, 3, 0, 0x12, 0, 0, 0, 255), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 3);
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 1, 0, 0, 255), ==, 0);
  g_assert_cmpmem (f->in, f->command.n_in, "\0\0\0\6\0\x80\x83\xb0\xb1\xb2", 10);
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 1, 0x80, 0, 255), ==, 0);
  g_assert_cmpmem (f->in + 4, f->command.n_in - 4, "ROOM-0001", 9);
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 1, 0x83, 0, 255), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 4u + f->in[3]);
  g_assert_cmphex (f->in[4 + 28 + 9 + 4] >> 4, ==, 3); /* NAA, locally assigned */
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 1, 0xb0, 0, 255), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 64);
  g_assert_cmpuint (be (f->in + 20, 4), ==, 1u << 22);
  g_assert_cmpuint (be (f->in + 28, 4), ==, 8);
  g_assert_cmpuint (be (f->in + 36, 8), ==, 1u << 18);
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 1, 0xb1, 0, 255), ==, 0);
  g_assert_cmpuint (be (f->in + 4, 2), ==, 1);
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 1, 0xb2, 0, 255), ==, 0);
  g_assert_cmphex (f->in[5], ==, 0xe0);
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 1, 0xb7, 0, 255), ==, 0x052400);
  g_assert_cmphex (RUN (f, 255, 0, 0x12, 0, 0x80, 0, 255), ==, 0x052400);
  ready (f);
}

static void
test_capacity (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (RUN (f, 8, 0, 0x25), ==, 0);
  g_assert_cmpuint (be (f->in, 4), ==, DISK_BLOCKS - 1);
  g_assert_cmpuint (be (f->in + 4, 4), ==, 512);
  g_assert_cmphex (RUN (f, 32, 0, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), ==, 0);
  g_assert_cmpuint (be (f->in, 8), ==, DISK_BLOCKS - 1);
  g_assert_cmphex (f->in[13], ==, 3);
  g_assert_cmphex (f->in[14], ==, 0x80);
  g_assert_cmphex (RUN (f, 32, 0, 0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), ==, 0x052400);
  f->block.info.size = 512 * 1000;
  g_assert_true (scsi_unit_update_capacity (f->unit));
  g_assert_false (scsi_unit_update_capacity (f->unit));
  g_assert_cmphex (RUN (f, 8, 0, 0x25), ==, 0x062a09);
  g_assert_cmphex (RUN (f, 8, 0, 0x25), ==, 0);
  g_assert_cmpuint (be (f->in, 4), ==, 999);
}

static void
test_transfers (Fixture *f, gconstpointer data)
{
  ready (f);
  /* 6, 10, 12, 16: the same blocks. The buffer may be longer than the command needs. */
  for (guint i = 0; i < 4; i++)
    {
      static const guint8 reads[4][16] = { { 0x08, 0, 1, 5, 8 },
                                           { 0x28, 0, 0, 0, 1, 5, 0, 0, 8 },
                                           { 0xa8, 0, 0, 0, 1, 5, 0, 0, 0, 8 },
                                           { 0x88, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 8 } };
      static const guint8 writes[4][16] = { { 0x0a, 0, 1, 9, 3 },
                                            { 0x2a, 0, 0, 0, 1, 9, 0, 0, 3 },
                                            { 0xaa, 0, 0, 0, 1, 9, 0, 0, 0, 3 },
                                            { 0x8a, 0, 0, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 3 } };

      g_assert_cmphex (run (f, reads[i], 16, 4096 + 100, 0), ==, 0);
      g_assert_cmpuint (f->command.n_in, ==, 4096);
      g_assert_cmpmem (f->in, 4096, f->block.data + 0x105 * 512, 4096);
      for (guint b = 0; b < 1536; b++)
        f->out[b] = b * 13 + i;
      g_assert_cmphex (run (f, writes[i], 16, 0, 1536 + i), ==, 0);
      g_assert_cmpuint (f->command.n_out, ==, 1536);
      g_assert_cmpmem (f->out, 1536, f->block.data + 0x109 * 512, 1536);
    }
  g_assert_cmpuint (f->block.n_fua, ==, 0);
  g_assert_cmphex (RUN (f, 0, 512, 0x2a, 0x08, 0, 0, 0, 0, 0, 0, 1), ==, 0);
  g_assert_cmpuint (f->block.n_fua, ==, 1);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0x08, 0, 0, 0, 0, 0, 0, 1), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_FLUSH], ==, 1);
  g_assert_cmphex (RUN (f, 0, 0, 0x35), ==, 0);
  g_assert_cmphex (RUN (f, 0, 0, 0x91), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_FLUSH], ==, 3);
  /* READ 6 of 0 blocks is 256, of the others none. */
  g_assert_cmphex (RUN (f, 256 * 512, 0, 0x08, 0, 0, 0, 0), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 256 * 512);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 0), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 0);
}

static void
test_bounds (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 1), ==, 0);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0x10, 0x00, 0, 0, 0), ==, 0);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0x10, 0x00, 0, 0, 1), ==, 0x052100);
  g_assert_cmphex (RUN (f, 1024, 0, 0x28, 0, 0, 0, 0x0f, 0xff, 0, 0, 2), ==, 0x052100);
  g_assert_cmphex (
      RUN (f, 512, 0, 0x88, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1), ==,
      0x052100);
  g_assert_cmphex (RUN (f, 512, 0, 0x88, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff), ==,
                   0x052100);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0x20, 0, 0, 0, 0, 0, 0, 1), ==, 0x052400);
  /* Longer than the buffer: nothing is done. */
  g_assert_cmphex (RUN (f, 511, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), !=, 0);
  g_assert_true (f->command.overrun);
  g_assert_cmphex (RUN (f, 0, 1023, 0x2a, 0, 0, 0, 0, 0, 0, 0, 2), !=, 0);
  g_assert_true (f->command.overrun);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_WRITE], ==, 0);
  g_assert_cmphex (RUN (f, 0, 0, 0x5e), ==, 0x052000);
  g_assert_cmphex (RUN (f, 0, 0, 0x5f), ==, 0x052000);
  g_assert_cmphex (RUN (f, 0, 0, 0xff), ==, 0x052000);
  g_assert_cmphex (RUN (f, 0, 0, 0x1e, 0, 0, 0, 1), ==, 0x052400);
}

static void
test_zeroes (Fixture *f, gconstpointer data)
{
  guint8 unmap[8 + 3 * 16] = { 0, 54, 0, 48 };

  ready (f);
  memset (f->out, 0, 512);
  /* WRITE SAME (16) with UNMAP, without a buffer, and (10) with zeroes */
  g_assert_cmphex (RUN (f, 0, 512, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 16), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_WRITE_ZEROES], ==, 1);
  g_assert_cmpuint (f->block.n_unmap, ==, 1);
  g_assert_cmpuint (f->block.last_offset, ==, 8 * 512);
  g_assert_cmpuint (f->block.last_length, ==, 16 * 512);
  g_assert_cmphex (RUN (f, 0, 0, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 16), ==, 0);
  g_assert_cmphex (RUN (f, 0, 512, 0x41, 0, 0, 0, 0, 8, 0, 0, 16), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_WRITE_ZEROES], ==, 3);
  /* A pattern, longer than the buffer it is written by. */
  for (guint i = 0; i < 512; i++)
    f->out[i] = i;
  g_assert_cmphex (RUN (f, 0, 512, 0x93, 8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 1, 44), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_WRITE], ==, 3);
  for (guint i = 0; i < 300; i++)
    g_assert_cmpmem (f->block.data + (3 + i) * 512, 512, f->out, 512);
  g_assert_cmphex (f->block.data[303 * 512], ==, (guint8)(303 * 7 + 1));
  /* none, too many, past the end, reserved bits, no block */
  g_assert_cmphex (RUN (f, 0, 512, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0), ==, 0x052400);
  g_assert_cmphex (RUN (f, 0, 512, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1), ==, 0x052400);
  g_assert_cmphex (RUN (f, 0, 512, 0x93, 0, 0, 0, 0, 0, 0, 0, 0x0f, 0xff, 0, 0, 0, 2), ==,
                   0x052100);
  g_assert_cmphex (RUN (f, 0, 512, 0x93, 0x10, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1), ==, 0x052400);
  g_assert_cmphex (RUN (f, 0, 511, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1), !=, 0);
  g_assert_true (f->command.overrun);

  for (guint i = 0; i < 3; i++)
    {
      unmap[8 + 16 * i + 7] = 64 * (i + 1);
      unmap[8 + 16 * i + 11] = 8 * (2 - i);
    }
  memcpy (f->out, unmap, sizeof unmap);
  g_assert_cmphex (RUN (f, 0, sizeof unmap, 0x42, 0, 0, 0, 0, 0, 0, 0, sizeof unmap), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_DISCARD], ==, 2); /* the last is empty */
  g_assert_cmphex (f->block.data[64 * 512], ==, 0);
  g_assert_cmphex (f->block.data[128 * 512], ==, 0);
  /* A list that names one bad extent changes nothing. */
  f->out[8 + 16 + 4] = 1;
  g_assert_cmphex (RUN (f, 0, sizeof unmap, 0x42, 0, 0, 0, 0, 0, 0, 0, sizeof unmap), ==, 0x052100);
  g_assert_cmphex (RUN (f, 0, sizeof unmap, 0x42, 0, 0, 0, 0, 0, 0, 0, 7), ==, 0x051a00);
  g_assert_cmphex (RUN (f, 0, 8192, 0x42, 0, 0, 0, 0, 0, 0, 0x20, 0), ==, 0x051a00);
  g_assert_cmphex (RUN (f, 0, 10, 0x42, 0, 0, 0, 0, 0, 0, 0, 56), !=, 0);
  g_assert_true (f->command.overrun);
  g_assert_cmphex (RUN (f, 0, 0, 0x42, 0, 0, 0, 0, 0, 0, 0, 0), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_DISCARD], ==, 2);
}

static void
test_verify (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (RUN (f, 0, 0, 0x2f, 0, 0, 0, 0, 0, 0, 1, 0), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_READ], ==, 2);
  memcpy (f->out, f->block.data + 512 * 3, 512 * 300);
  g_assert_cmphex (RUN (f, 0, 512 * 300, 0x2f, 2, 0, 0, 0, 3, 0, 1, 44), ==, 0);
  f->out[512 * 299 + 7]++;
  g_assert_cmphex (RUN (f, 0, 512 * 300, 0x2f, 2, 0, 0, 0, 3, 0, 1, 44), ==, 0x0e1d00);
  g_assert_cmphex (RUN (f, 0, 512, 0x2f, 2, 0, 0, 0, 3, 0, 1, 44), !=, 0);
  g_assert_true (f->command.overrun);
  g_assert_cmphex (RUN (f, 0, 0, 0x2f, 0, 0, 0, 0x10, 0, 0, 0, 1), ==, 0x052100);
}

static void
test_mode (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (RUN (f, 255, 0, 0x1a, 0, 0x3f, 0, 255), ==, 0);
  g_assert_cmpuint (f->in[0] + 1u, ==, f->command.n_in);
  g_assert_cmphex (f->in[2], ==, 0x10);
  g_assert_cmphex (f->in[3], ==, 8);
  g_assert_cmphex (RUN (f, 255, 0, 0x1a, 8, 0x08, 0, 255), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 24);
  g_assert_cmphex (f->in[6], ==, 4); /* WCE */
  /* Off: what was written is flushed, what follows is written through. */
  memcpy (f->out, f->in, 24);
  f->out[0] = f->out[2] = 0;
  f->out[6] = 0;
  g_assert_cmphex (RUN (f, 0, 24, 0x15, 0x10, 0, 0, 24), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_FLUSH], ==, 1);
  g_assert_cmphex (RUN (f, 0, 512, 0x0a, 0, 0, 0, 1), ==, 0);
  g_assert_cmpuint (f->block.n_fua, ==, 1);
  g_assert_cmphex (RUN (f, 255, 0, 0x1a, 8, 0x48, 0, 255), ==, 0);
  g_assert_cmphex (f->in[6], ==, 4); /* changeable */
  g_assert_cmphex (RUN (f, 255, 0, 0x1a, 8, 0x88, 0, 255), ==, 0);
  g_assert_cmphex (f->in[6], ==, 4); /* default */
  g_assert_cmphex (RUN (f, 255, 0, 0x1a, 8, 0xc8, 0, 255), ==, 0x053900);
  /* Ten bytes, long descriptor, software write protection. */
  g_assert_cmphex (RUN (f, 255, 0, 0x5a, 0x10, 0x0a, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmpuint (be (f->in, 2) + 2, ==, f->command.n_in);
  g_assert_cmpuint (be (f->in + 6, 2), ==, 16);
  g_assert_cmpuint (be (f->in + 8, 8), ==, DISK_BLOCKS);
  memcpy (f->out, f->in, f->command.n_in);
  f->out[0] = f->out[1] = 0;
  f->out[24 + 4] |= 8;
  g_assert_cmphex (RUN (f, 0, f->command.n_in, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 36), ==, 0);
  g_assert_cmphex (RUN (f, 0, 512, 0x0a, 0, 0, 0, 1), ==, 0x072700);
  g_assert_cmphex (RUN (f, 0, 0, 0x93, 1, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 16), ==, 0x072700);
  /* Bits that cannot be changed, pages that are not there, lengths that are wrong. */
  f->out[24 + 5] ^= 1;
  g_assert_cmphex (RUN (f, 0, 36, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 36), ==, 0x052600);
  f->out[24] = 0x19;
  g_assert_cmphex (RUN (f, 0, 36, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 36), ==, 0x052600);
  g_assert_cmphex (RUN (f, 0, 36, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 25), ==, 0x051a00);
  g_assert_cmphex (RUN (f, 0, 36, 0x55, 0x10, 0, 0, 0, 0, 0, 0, 7), ==, 0x051a00);
  g_assert_cmphex (RUN (f, 0, 36, 0x55, 0x10, 0, 0, 0, 0, 0, 2, 0), ==, 0x051a00);
  g_assert_cmphex (RUN (f, 0, 36, 0x55, 0x11, 0, 0, 0, 0, 0, 0, 36), ==, 0x052400);
  g_assert_cmphex (RUN (f, 255, 0, 0x1a, 0, 0x19, 0, 255), ==, 0x052400);
  /* Back to the initial values. */
  scsi_unit_reset (f->unit, SCSI_RESET_POWER_ON);
  ready (f);
  g_assert_cmphex (RUN (f, 0, 512, 0x0a, 0, 0, 0, 1), ==, 0);
  g_assert_cmpuint (f->block.n_fua, ==, 1);
}

static void
test_stop (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 0), ==, 0);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_FLUSH], ==, 1);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x020402);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), ==, 0x020402);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 1), ==, 0);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 2), ==, 0x052400);
}

static void
test_errors (Fixture *f, gconstpointer data)
{
  static const struct
  {
    int result;
    guint32 read, write;
  } cases[] = {
    { -EIO, 0x031100, 0x030c00 },    { -ENOSPC, 0x072707, 0x072707 },
    { -EROFS, 0x031100, 0x072700 },  { -EOPNOTSUPP, 0x052400, 0x052400 },
    { -ENODEV, 0x044400, 0x044400 }, { -ENOMEM, 0x0b0006, 0x0b0006 },
  };

  ready (f);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      f->block.result = cases[i].result;
      g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), ==, cases[i].read);
      g_assert_cmpuint (f->command.n_in, ==, 0);
      g_assert_cmphex (RUN (f, 0, 512, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1), ==, cases[i].write);
      g_assert_cmphex (RUN (f, 0, 0, 0x35), ==, cases[i].write);
    }
}

static void
test_readonly (Fixture *f, gconstpointer data)
{
  f->block.info.readonly = TRUE;
  scsi_unit_update_capacity (f->unit);
  ready (f);
  g_assert_cmphex (RUN (f, 0, 512, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1), ==, 0x072700);
  g_assert_cmphex (RUN (f, 0, 512, 0x93, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1), ==, 0x072700);
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 8, 0, 0, 0, 0, 0, 0, 1), ==, 0);
  g_assert_cmphex (RUN (f, 255, 0, 0x1a, 8, 0x08, 0, 255), ==, 0);
  g_assert_cmphex (f->in[2], ==, 0x90);
  g_assert_cmphex (RUN (f, 32, 0, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32), ==, 0);
  g_assert_cmphex (f->in[14], ==, 0);
}

static void
test_cancel (Fixture *f, gconstpointer data)
{
  static const guint8 read[] = { 0x28, 0, 0, 0, 0, 0, 0, 0, 1 };
  static const guint8 verify[] = { 0x2f, 0, 0, 0, 0, 0, 0, 4, 0 };
  ScsiCommand commands[3];

  ready (f);
  f->n_done = 0;
  f->block.hold = TRUE;
  start (f, &commands[0], read, sizeof read, 512, 0);
  start (f, &commands[1], verify, sizeof verify, 0, 0);
  start (f, &commands[2], read, sizeof read, 512, 0);
  g_assert_cmpuint (scsi_unit_get_n_in_flight (f->unit), ==, 3);
  /* It comes back only with its memory. */
  scsi_unit_cancel (f->unit, &commands[1]);
  g_assert_cmpuint (f->n_done, ==, 0);
  fake_block_finish_one (&f->block);
  g_assert_cmpuint (f->n_done, ==, 1);
  g_assert_false (commands[0].cancelled);
  g_assert_cmpuint (commands[0].status, ==, SCSI_STATUS_GOOD);
  fake_block_finish_one (&f->block);
  g_assert_cmpuint (f->n_done, ==, 2);
  g_assert_true (commands[1].cancelled);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_READ], ==, 3); /* no second step */
  scsi_unit_reset (f->unit, SCSI_RESET_BUS);
  g_assert_cmpuint (f->n_done, ==, 2);
  scsi_unit_drain (f->unit);
  g_assert_cmpuint (f->n_done, ==, 3);
  g_assert_true (commands[2].cancelled);
  f->block.hold = FALSE;
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x062902);
}

/* An image that becomes smaller under a command of many steps. */
static void
test_shrink (Fixture *f, gconstpointer data)
{
  static const guint8 verify[] = { 0x2f, 0, 0, 0, 0, 0, 0, 4, 0 };

  ready (f);
  f->n_done = 0;
  f->block.hold = TRUE;
  start (f, &f->command, verify, sizeof verify, 0, 0);
  f->block.info.size = 256 * 512;
  g_assert_true (scsi_unit_update_capacity (f->unit));
  fake_block_finish (&f->block);
  g_assert_cmpuint (f->n_done, ==, 1);
  g_assert_cmphex (f->command.sense[2] << 16 | f->command.sense[12] << 8, ==, 0x052100);
  g_assert_cmpuint (f->block.n_ops[BLOCK_OP_READ], ==, 2);
}

/* ---- state ---- */

static GBytes *
save (Fixture *f)
{
  VmmStateWriter *writer = vmm_state_writer_new ();
  GBytes *bytes;

  vmm_state_writer_begin (writer, "unit", "scsi", 1);
  scsi_unit_save (f->unit, writer);
  vmm_state_writer_end (writer);
  bytes = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  return bytes;
}

static gboolean
load (Fixture *f, GBytes *bytes, GError **error)
{
  g_autoptr (GError) local = NULL;
  VmmStateReader *reader = vmm_state_reader_new (bytes, &local);
  const char *id, *class_name;
  guint32 version;
  gboolean ok;

  g_assert_no_error (local);
  g_assert_true (vmm_state_reader_next (reader, &id, &class_name, &version, NULL));
  ok = scsi_unit_load (f->unit, reader, error);
  vmm_state_reader_free (reader);
  return ok;
}

static void
test_state (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) before = NULL, after = NULL;
  Fixture other;

  scsi_unit_attention (f->unit, 0x3f, 0x0e);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 0), ==, 0x062901);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 0), ==, 0x063f0e);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 0), ==, 0);
  scsi_unit_attention (f->unit, 0x2a, 0x09);
  before = save (f);
  make (&other, SCSI_KIND_DISK, DISK_BLOCKS * 512, SCSI_UNIT_NONE);
  g_assert_true (load (&other, before, NULL));
  after = save (&other);
  g_assert_true (g_bytes_equal (before, after));
  /* A reset's attention leaves nothing of the others behind. */
  scsi_unit_attention (f->unit, 0x3f, 0x0e);
  scsi_unit_attention (f->unit, 0x29, 0x04);
  g_clear_pointer (&before, g_bytes_unref);
  before = save (f);
  g_assert_true (load (f, before, NULL));
  g_assert_cmphex (RUN (&other, 0, 0, 0x00), ==, 0x062a09);
  g_assert_cmphex (RUN (&other, 0, 0, 0x00), ==, 0x020402);
  tear_down (&other, NULL);
}

static void
test_state_of_another_kind (Fixture *f, gconstpointer data)
{
  g_autoptr (GBytes) open = NULL;
  g_autoptr (GError) error = NULL;
  Fixture disk;

  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 2), ==, 0x062901);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 2), ==, 0);
  open = save (f);
  make (&disk, SCSI_KIND_DISK, DISK_BLOCKS * 512, SCSI_UNIT_NONE);
  g_assert_false (load (&disk, open, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  tear_down (&disk, NULL);
}

/* ---- CD-ROM ---- */

static void
test_cd_data (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (RUN (f, 8, 0, 0x25), ==, 0);
  g_assert_cmpuint (be (f->in, 4), ==, CD_BLOCKS - 1);
  g_assert_cmpuint (be (f->in + 4, 4), ==, 2048);
  g_assert_cmphex (RUN (f, 4096, 0, 0x28, 0, 0, 0, 0, 7, 0, 0, 2), ==, 0);
  g_assert_cmpmem (f->in, 4096, f->block.data + 7 * 2048, 4096);
  g_assert_cmphex (RUN (f, 4096, 0, 0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 2), ==, 0);
  g_assert_cmpmem (f->in, 4096, f->block.data + 7 * 2048, 4096);
  g_assert_cmphex (RUN (f, 4096, 0, 0xbe, 0, 0, 0, 0, 7, 0, 0, 2, 0x10), ==, 0);
  g_assert_cmpmem (f->in, 4096, f->block.data + 7 * 2048, 4096);
  g_assert_cmphex (RUN (f, 4096, 0, 0xbe, 0, 0, 0, 0, 7, 0, 0, 2, 0), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 0);
  g_assert_cmphex (RUN (f, 9999, 0, 0xbe, 0, 0, 0, 0, 7, 0, 0, 2, 0xf8), ==, 0x052400);
  g_assert_cmphex (RUN (f, 9999, 0, 0xbe, 4, 0, 0, 0, 7, 0, 0, 2, 0x10), ==, 0x056400);
  g_assert_cmphex (RUN (f, 4096, 0, 0x28, 0, 0, 0, 3, 0xe7, 0, 0, 2), ==, 0x052100);
  g_assert_cmphex (RUN (f, 2047, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), !=, 0);
  g_assert_true (f->command.overrun);
  /* No writing, no matter which way. */
  g_assert_cmphex (RUN (f, 0, 2048, 0x2a, 0, 0, 0, 0, 0, 0, 0, 1), ==, 0x052000);
  g_assert_cmphex (RUN (f, 0, 2048, 0x0a, 0, 0, 0, 1), ==, 0x052000);
}

static void
test_cd_tables (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (RUN (f, 36, 0, 0x12, 0, 0, 0, 36), ==, 0);
  g_assert_cmphex (f->in[0], ==, 5);
  g_assert_cmphex (f->in[1], ==, 0x80);
  g_assert_cmphex (RUN (f, 99, 0, 0x43, 2, 0, 0, 0, 0, 0, 0, 99), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 20);
  g_assert_cmpmem (f->in, 12, "\0\x12\1\1\0\x14\1\0\0\0\2\0", 12);
  g_assert_cmphex (f->in[14], ==, 0xaa);
  g_assert_cmpuint (f->in[17] * 60 * 75 + f->in[18] * 75 + f->in[19], ==, CD_BLOCKS + 150);
  g_assert_cmphex (RUN (f, 99, 0, 0x43, 0, 0, 0, 0, 0, 0xaa, 0, 99), ==, 0);
  g_assert_cmpuint (be (f->in + 8, 4), ==, CD_BLOCKS);
  g_assert_cmphex (RUN (f, 99, 0, 0x43, 0, 0, 0, 0, 0, 2, 0, 99), ==, 0x052400);
  g_assert_cmphex (RUN (f, 99, 0, 0x43, 0, 1, 0, 0, 0, 0, 0, 99), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 12);
  g_assert_cmphex (RUN (f, 99, 0, 0x43, 0, 2, 0, 0, 0, 0, 0, 99), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 48);
  g_assert_cmphex (RUN (f, 99, 0, 0x43, 0, 5, 0, 0, 0, 0, 0, 99), ==, 0x052400);
  g_assert_cmphex (RUN (f, 255, 0, 0x46, 0, 0, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmpuint (be (f->in, 4) + 4, ==, f->command.n_in);
  g_assert_cmphex (be (f->in + 6, 2), ==, 0x0008);
  g_assert_cmphex (RUN (f, 255, 0, 0x46, 2, 0, 0x1e, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmphex (be (f->in + 8, 4), ==, 0x001e0904);
  g_assert_cmphex (RUN (f, 255, 0, 0x46, 3, 0, 0x1e, 0, 0, 0, 0, 255), ==, 0x052400);
  g_assert_cmphex (RUN (f, 255, 0, 0x51, 0, 0, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 34);
  g_assert_cmphex (RUN (f, 255, 0, 0x52, 1, 0, 0, 0, 1, 0, 0, 255), ==, 0);
  g_assert_cmpuint (be (f->in + 24, 4), ==, CD_BLOCKS);
  g_assert_cmphex (RUN (f, 255, 0, 0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 8 + 22);
  g_assert_cmphex (f->in[8 + 6], ==, 0x29);
  g_assert_cmphex (RUN (f, 255, 0, 0x5a, 0, 0x0d, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmphex (RUN (f, 255, 0, 0x5a, 0, 0x01, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmphex (RUN (f, 255, 0, 0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmpuint (be (f->in, 2) + 2, ==, f->command.n_in);
  g_assert_cmphex (RUN (f, 255, 0, 0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmphex (RUN (f, 4096, 0, 0xad, 0, 0, 0, 0, 0, 0, 0, 16, 0), ==, 0x052400);
}

static guint
event (Fixture *f)
{
  g_assert_cmphex (RUN (f, 8, 0, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8), ==, 0);
  g_assert_cmphex (f->in[2], ==, 4);
  return f->in[4] << 8 | f->in[5];
}

static void
test_cd_tray (Fixture *f, gconstpointer data)
{
  ready (f);
  g_assert_cmphex (event (f), ==, 0x0002);
  g_assert_cmphex (RUN (f, 0, 0, 0x1e, 0, 0, 0, 1), ==, 0);
  g_assert_true (scsi_unit_is_locked (f->unit));
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 2), ==, 0x055302);
  g_assert_cmphex (RUN (f, 0, 0, 0x1e, 0, 0, 0, 0), ==, 0);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 2), ==, 0);
  g_assert_true (f->tray_open);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x023a02);
  g_assert_cmphex (RUN (f, 2048, 0, 0x28, 0, 0, 0, 0, 0, 0, 0, 1), ==, 0x023a02);
  g_assert_cmphex (event (f), ==, 0x0301);
  g_assert_cmphex (event (f), ==, 0x0001);
  g_assert_cmphex (RUN (f, 255, 0, 0x46, 0, 0, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmphex (be (f->in + 6, 2), ==, 0);
  /* A reset does not bring it back. */
  scsi_unit_reset (f->unit, SCSI_RESET_POWER_ON);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x062901);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x023a02);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 3), ==, 0);
  g_assert_false (f->tray_open);
  g_assert_cmpuint (f->n_tray, ==, 2);
  g_assert_cmphex (event (f), ==, 0x0202);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x062800);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0);
}

static void
test_cd_change (Fixture *f, gconstpointer data)
{
  BlockBackend *old;
  ScsiCommand held;
  FakeBlock dvd;
  static const guint8 read[] = { 0x28, 0, 0, 0, 0, 0, 0, 0, 1 };

  ready (f);
  fake_block_init (&dvd, 8 * 1024 * 1024);
  dvd.info.size = G_GUINT64_CONSTANT (4) << 30; /* nothing is read from it past what there is */
  f->block.hold = TRUE;
  start (f, &held, read, sizeof read, 2048, 0);
  f->n_done = 0;
  g_assert_cmpint (scsi_unit_set_medium (f->unit, &dvd.parent, FALSE, &old), ==, SCSI_MEDIUM_OK);
  g_assert_cmpuint (f->n_done, ==, 1);
  g_assert_cmpuint (held.status, ==, SCSI_STATUS_GOOD);
  g_assert_true (old == &f->block.parent);
  g_assert_cmphex (event (f), ==, 0x0202);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x062800);
  g_assert_cmphex (RUN (f, 8, 0, 0x25), ==, 0);
  g_assert_cmpuint (be (f->in, 4), ==, (1u << 21) - 1);
  g_assert_cmphex (RUN (f, 255, 0, 0x46, 0, 0, 0, 0, 0, 0, 0, 255), ==, 0);
  g_assert_cmphex (be (f->in + 6, 2), ==, 0x0010);
  g_assert_cmphex (RUN (f, 4096, 0, 0xad, 0, 0, 0, 0, 0, 0, 0, 16, 0), ==, 0);
  g_assert_cmpuint (be (f->in + 13, 3), ==, 0x30000 + (1u << 21) - 1);

  g_assert_cmphex (RUN (f, 0, 0, 0x1e, 0, 0, 0, 1), ==, 0);
  g_assert_cmpint (scsi_unit_set_medium (f->unit, NULL, FALSE, &old), ==, SCSI_MEDIUM_LOCKED);
  g_assert_null (old);
  g_assert_cmphex (event (f), ==, 0x0102); /* the guest is asked */
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0);
  g_assert_cmpint (scsi_unit_set_medium (f->unit, NULL, TRUE, &old), ==, SCSI_MEDIUM_OK);
  g_assert_true (old == &dvd.parent);
  g_assert_cmphex (event (f), ==, 0x0300);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x023a01);
  /* Out of an empty drive: nothing happens, unless somebody knows that the guest saw one in it. */
  g_assert_cmpint (scsi_unit_set_medium (f->unit, NULL, FALSE, &old), ==, SCSI_MEDIUM_OK);
  g_assert_cmphex (event (f), ==, 0x0000);
  g_assert_cmpint (scsi_unit_set_medium (f->unit, NULL, TRUE, &old), ==, SCSI_MEDIUM_OK);
  g_assert_null (old);
  g_assert_cmphex (event (f), ==, 0x0300);
  g_assert_cmphex (RUN (f, 0, 0, 0x1b, 0, 0, 0, 2), ==, 0);
  f->block.hold = FALSE;
  g_assert_cmpint (scsi_unit_set_medium (f->unit, &f->block.parent, FALSE, &old), ==,
                   SCSI_MEDIUM_OK);
  g_assert_null (old);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0x062800);
  g_assert_cmphex (RUN (f, 0, 0, 0x00), ==, 0);
  fake_block_clear (&dvd);
}

static void
test_atapi (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (RUN (f, 36, 0, 0x12, 0, 0, 0, 36), ==, 0);
  g_assert_cmphex (f->in[2], ==, 0);
  g_assert_cmphex (f->in[3], ==, 0x21);
  ready (f);
  /* The sense of the last command is kept for one that asks. */
  g_assert_cmphex (RUN (f, 0, 0, 0xff), ==, 0x052000);
  g_assert_cmphex (RUN (f, 18, 0, 0x03, 0, 0, 0, 18), ==, 0);
  g_assert_cmphex (f->in[2] << 16 | f->in[12] << 8 | f->in[13], ==, 0x052000);
  g_assert_cmphex (RUN (f, 18, 0, 0x03, 0, 0, 0, 18), ==, 0);
  g_assert_cmphex (f->in[2], ==, 0);
  /* An image that ends within a block. */
  g_assert_cmphex (RUN (f, 8, 0, 0x25), ==, 0);
  g_assert_cmpuint (be (f->in, 4), ==, CD_BLOCKS);
  g_assert_cmphex (RUN (f, 4096, 0, 0x28, 0, 0, 0, 3, 0xe7, 0, 0, 2), ==, 0);
  g_assert_cmpmem (f->in, 2560, f->block.data + 999 * 2048, 2560);
  for (guint i = 2560; i < 4096; i++)
    g_assert_cmphex (f->in[i], ==, 0);
}

static void
test_target (void)
{
  const guint64 luns[] = { 0, GUINT64_TO_BE (G_GUINT64_CONSTANT (5) << 48) };
  guint8 buffer[64];
  struct iovec iov = { buffer, sizeof buffer };
  Fixture f = { 0 };
  ScsiCommand command = { .cdb = { 0xa0, [9] = 64 },
                          .in = &iov,
                          .in_count = 1,
                          .in_length = 64,
                          .done = done,
                          .user_data = &f };

  g_assert_true (scsi_target_wants (command.cdb));
  scsi_target_execute (luns, 2, &command);
  g_assert_cmpuint (f.n_done, ==, 1);
  g_assert_cmpuint (command.n_in, ==, 24);
  g_assert_cmpmem (buffer, 24, "\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0\0\0\0", 24);
  memset (command.cdb, 0, sizeof command.cdb);
  scsi_target_execute (luns, 2, &command);
  g_assert_cmpuint (command.status, ==, SCSI_STATUS_CHECK_CONDITION);
  g_assert_cmphex (command.sense[12], ==, 0x25);
  command.cdb[0] = 0x12;
  command.cdb[4] = 36;
  scsi_target_execute (luns, 2, &command);
  g_assert_cmphex (buffer[0], ==, 0x7f);
  g_assert_cmpuint (command.status, ==, SCSI_STATUS_GOOD);
}

static void
test_new (void)
{
  g_autoptr (GError) error = NULL, error2 = NULL;
  ScsiUnitOptions options = { .kind = SCSI_KIND_DISK };
  FakeBlock fake;

  g_assert_null (scsi_unit_new (NULL, &options, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  fake_block_init (&fake, 512);
  fake.info.logical_block = 4096;
  options.backend = &fake.parent;
  g_assert_null (scsi_unit_new (NULL, &options, &error2));
  g_assert_error (error2, VMM_ERROR, VMM_ERROR_INVALID);
  fake_block_clear (&fake);
}

/* Any bytes as a command, with buffers of any length; the back end checks what reaches it. */
static void
test_storm (Fixture *f, gconstpointer data)
{
  GRand *rand = g_rand_new_with_seed (23);
  static const guint8 opcodes[] = { 0x00, 0x03, 0x08, 0x0a, 0x12, 0x15, 0x1a, 0x1b, 0x1e,
                                    0x25, 0x28, 0x2a, 0x2f, 0x35, 0x41, 0x42, 0x43, 0x46,
                                    0x4a, 0x51, 0x52, 0x55, 0x5a, 0x88, 0x8a, 0x8f, 0x93,
                                    0x9e, 0xa8, 0xaa, 0xad, 0xaf, 0xbb, 0xbd, 0xbe };

  for (guint round = 0; round < 60000; round++)
    {
      guint8 cdb[16];
      gsize in = g_rand_boolean (rand) ? g_rand_int_range (rand, 0, 9000) : 0;
      gsize out = g_rand_boolean (rand) ? g_rand_int_range (rand, 0, 9000) : 0;

      for (guint i = 0; i < sizeof cdb; i++)
        cdb[i] = g_rand_int_range (rand, 0, 3) ? 0 : g_rand_int_range (rand, 0, 256);
      cdb[0] = g_rand_int_range (rand, 0, 20) ? opcodes[g_rand_int_range (rand, 0, sizeof opcodes)]
                                              : g_rand_int_range (rand, 0, 256);
      for (guint i = 0; i < 64; i++)
        f->out[i] = g_rand_int_range (rand, 0, 3) ? 0 : g_rand_int_range (rand, 0, 256);
      f->block.result = g_rand_int_range (rand, 0, 50) ? 0 : -EIO;
      run (f, cdb, sizeof cdb, in, out);
    }
  f->block.result = 0;
  g_assert_cmpuint (scsi_unit_get_n_in_flight (f->unit), ==, 0);
  g_rand_free (rand);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, up) g_test_add ("/scsi/" name, Fixture, NULL, up, func, tear_down)
  ADD ("disk/attention", test_attention, set_up_disk);
  ADD ("disk/inquiry", test_inquiry, set_up_disk);
  ADD ("disk/capacity", test_capacity, set_up_disk);
  ADD ("disk/transfers", test_transfers, set_up_disk);
  ADD ("disk/bounds", test_bounds, set_up_disk);
  ADD ("disk/zeroes", test_zeroes, set_up_disk);
  ADD ("disk/verify", test_verify, set_up_disk);
  ADD ("disk/mode", test_mode, set_up_disk);
  ADD ("disk/stop", test_stop, set_up_disk);
  ADD ("disk/errors", test_errors, set_up_disk);
  ADD ("disk/readonly", test_readonly, set_up_disk);
  ADD ("disk/cancel", test_cancel, set_up_disk);
  ADD ("disk/shrink", test_shrink, set_up_disk);
  ADD ("disk/state", test_state, set_up_disk);
  ADD ("disk/storm", test_storm, set_up_disk);
  ADD ("cdrom/state", test_state_of_another_kind, set_up_cd);
  ADD ("cdrom/data", test_cd_data, set_up_cd);
  ADD ("cdrom/tables", test_cd_tables, set_up_cd);
  ADD ("cdrom/tray", test_cd_tray, set_up_cd);
  ADD ("cdrom/change", test_cd_change, set_up_cd);
  ADD ("cdrom/atapi", test_atapi, set_up_atapi);
  ADD ("cdrom/storm", test_storm, set_up_cd);
  ADD ("atapi/storm", test_storm, set_up_atapi);
  g_test_add_func ("/scsi/target", test_target);
  g_test_add_func ("/scsi/new", test_new);
  return g_test_run ();
}
