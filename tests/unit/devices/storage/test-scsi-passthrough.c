/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Passthrough of SCSI devices over a made-up SG_IO: no device is there, only a function that
 * answers as the kernel would. The kernel's own is met in the lab. */
#include "devices/storage/scsi/passthrough.h"

#include <errno.h>
#include <string.h>

#include "devices/virtio/scsi.h"
#include "tests/unit/harness/harness.h"

#define SIZE 65536

typedef struct
{
  VmmWorker *worker;
  ScsiUnit *unit;
  /* The device; lock. */
  GMutex lock;
  GCond go;
  gboolean hold, limits, closed;
  guint8 type, data[SIZE], seen[256];
  guint8 last_cdb[16];
  int result, host_status;
  guint n_waiting;
  /* The transport. */
  guint8 in[SIZE], out[SIZE];
  struct iovec in_iov[2], out_iov[2];
  ScsiCommand command;
  guint n_done;
} Fixture;

static gsize
copy (const sg_io_hdr_t *header, guint8 *data, gsize length, gboolean to_memory)
{
  const struct iovec one = { header->dxferp, header->dxfer_len };
  const struct iovec *iov = header->iovec_count > 0 ? header->dxferp : &one;
  guint n = header->iovec_count > 0 ? header->iovec_count : 1;
  gsize at = 0;

  for (guint i = 0; i < n && at < length; i++)
    {
      gsize piece = MIN (iov[i].iov_len, length - at);

      if (to_memory)
        memcpy (iov[i].iov_base, data + at, piece);
      else
        memcpy (data + at, iov[i].iov_base, piece);
      at += piece;
    }
  return at;
}

static void
answer (Fixture *f, sg_io_hdr_t *header)
{
  const guint8 *cdb = header->cmdp;
  guint8 page[64] = { 0 };
  gsize moved = 0, at = (cdb[4] << 8 | cdb[5]) * 512, length = (cdb[7] << 8 | cdb[8]) * 512;

  switch (cdb[0])
    {
    case 0x00:
      break;
    case 0x12:
      page[0] = f->type;
      page[1] = cdb[2];
      if (!(cdb[1] & 1))
        memcpy (page + 8, "ROOM    HOST DISK       7.0 ", 28);
      else if (cdb[2] == 0)
        {
          page[3] = f->limits ? 4 : 3;
          memcpy (page + 4, f->limits ? "\0\x83\xb0\xb2" : "\0\x83\xb2", page[3]);
        }
      else if (cdb[2] == 0xb0)
        {
          page[3] = 60;
          page[10] = 0xff; /* longer than the host's */
          page[14] = 0x10;
        }
      moved = copy (header, page, MIN (sizeof page, (gsize)(cdb[3] << 8 | cdb[4])), TRUE);
      break;
    case 0x25:
      page[2] = 0;
      page[3] = SIZE / 512 - 1;
      page[6] = 2;
      moved = copy (header, page, 8, TRUE);
      break;
    case 0x28:
      moved = copy (header, f->data + at, length, TRUE);
      break;
    case 0x2a:
      moved = copy (header, f->data + at, length, FALSE);
      break;
    default:
      header->status = 2;
      header->sb_len_wr = 18;
      memset (header->sbp, 0, 18);
      header->sbp[0] = 0x70;
      header->sbp[2] = 3;
      header->sbp[12] = 0x11;
      break;
    }
  header->resid = (int)(header->dxfer_len - moved);
}

static int
fake_sg_io (gpointer user_data, sg_io_hdr_t *header)
{
  Fixture *f = user_data;
  int result;

  g_mutex_lock (&f->lock);
  f->n_waiting++;
  while (f->hold)
    g_cond_wait (&f->go, &f->lock);
  f->n_waiting--;
  f->seen[header->cmdp[0]]++;
  memcpy (f->last_cdb, header->cmdp, header->cmd_len);
  header->host_status = f->host_status;
  header->status = 0;
  header->sb_len_wr = 0;
  result = f->result;
  if (result == 0 && f->host_status == 0)
    answer (f, header);
  g_mutex_unlock (&f->lock);
  return result;
}

static void
fake_close (gpointer user_data)
{
  ((Fixture *)user_data)->closed = TRUE;
}

static ScsiUnit *
make (Fixture *f, GError **error)
{
  ScsiPassthroughIo io = { fake_sg_io, fake_close, f, 8192 };

  return scsi_passthrough_new_with_io (f->worker, "/dev/made-up", &io, error);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  f->worker = vmm_worker_new_manual ("scsi", VMM_WORKER_NO_URING);
  f->type = data != NULL ? 5 : 0;
  for (guint i = 0; i < SIZE; i++)
    f->data[i] = i / 512 * 3 + i;
  f->unit = make (f, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  if (f->unit != NULL)
    scsi_unit_drain (f->unit);
  scsi_unit_free (f->unit);
  vmm_worker_free (f->worker);
  g_assert_true (f->closed);
}

static void
done (ScsiCommand *command)
{
  ((Fixture *)command->user_data)->n_done++;
}

static void
start (Fixture *f, ScsiCommand *command, const guint8 *cdb, gsize n_cdb, gsize in, gsize out)
{
  scsi_command_clear (command);
  memcpy (command->cdb, cdb, n_cdb);
  f->in_iov[0] = (struct iovec){ f->in, in / 3 };
  f->in_iov[1] = (struct iovec){ f->in + in / 3, in - in / 3 };
  f->out_iov[0] = (struct iovec){ f->out, out / 3 };
  f->out_iov[1] = (struct iovec){ f->out + out / 3, out - out / 3 };
  command->in = f->in_iov;
  command->in_count = in > 0 ? 2 : 0;
  command->in_length = in;
  command->out = f->out_iov;
  command->out_count = out > 0 ? 2 : 0;
  command->out_length = out;
  command->done = done;
  command->user_data = f;
  scsi_unit_execute (f->unit, command);
}

static guint32
run (Fixture *f, const guint8 *cdb, gsize n_cdb, gsize in, gsize out)
{
  guint n = f->n_done;

  memset (f->in, 0xee, sizeof f->in);
  start (f, &f->command, cdb, n_cdb, in, out);
  while (f->n_done == n)
    vmm_worker_iterate (f->worker, 1000);
  if (f->command.failed)
    return 0xffffffff;
  if (f->command.status == SCSI_STATUS_GOOD)
    return 0;
  g_assert_cmpuint (f->command.status, ==, SCSI_STATUS_CHECK_CONDITION);
  return f->command.sense[2] << 16 | f->command.sense[12] << 8 | f->command.sense[13];
}
#define RUN(f, in, out, ...)                                                                       \
  run (f, (const guint8[]){ __VA_ARGS__ }, sizeof (const guint8[]){ __VA_ARGS__ }, in, out)

static void
test_data (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (RUN (f, 36, 0, 0x12, 0, 0, 0, 36), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 36);
  g_assert_cmpmem (f->in + 8, 8, "ROOM    ", 8);
  g_assert_cmphex (RUN (f, 4096, 0, 0x28, 0, 0, 0, 0, 5, 0, 0, 6), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 3072);
  g_assert_cmpmem (f->in, 3072, f->data + 5 * 512, 3072);
  g_assert_cmphex (f->in[3072], ==, 0xee);
  for (guint i = 0; i < 1024; i++)
    f->out[i] = i * 5;
  g_assert_cmphex (RUN (f, 0, 1024, 0x2a, 0, 0, 0, 0, 9, 0, 0, 2), ==, 0);
  g_assert_cmpuint (f->command.n_out, ==, 1024);
  g_assert_cmpmem (f->out, 1024, f->data + 9 * 512, 1024);
  /* The device's own words. */
  g_assert_cmphex (RUN (f, 512, 0, 0x08, 0, 0, 0, 1), ==, 0x031100);
  g_assert_cmpuint (f->command.n_in, ==, 0);
}

static void
test_filter (Fixture *f, gconstpointer data)
{
  /* Firmware, format, sanitize, pass-through of ATA, reservations, mode select, diagnostics,
   * vendor's own. */
  static const guint8 never[] = { 0x3b, 0x04, 0x48, 0x85, 0xa1, 0x5e, 0x5f, 0x16,
                                  0x17, 0x15, 0x55, 0x1d, 0x1c, 0xa3, 0xa4, 0xb5,
                                  0xa2, 0xc1, 0xff, 0x07, 0x7f, 0x4c, 0x3f, 0x9f };

  for (guint i = 0; i < sizeof never; i++)
    {
      guint8 cdb[16] = { never[i] };

      g_assert_cmphex (run (f, cdb, 16, 0, 0), ==, 0x052000);
      g_assert_cmphex (run (f, cdb, 16, 512, 0), ==, 0x052000);
      g_assert_cmpuint (f->seen[never[i]], ==, 0);
    }
  g_assert_cmphex (RUN (f, 32, 0, 0x9e, 0x10), ==, 0x031100);
  g_assert_cmpuint (f->seen[0x9e], ==, 1);
  g_assert_cmphex (RUN (f, 32, 0, 0x9e, 0x17), ==, 0x052000);
  g_assert_cmpuint (f->seen[0x9e], ==, 1);
  /* Against its direction; longer than the host can. */
  g_assert_cmphex (RUN (f, 512, 0, 0x2a, 0, 0, 0, 0, 9, 0, 0, 1), ==, 0x052400);
  g_assert_cmphex (RUN (f, 0, 512, 0x28, 0, 0, 0, 0, 9, 0, 0, 1), ==, 0x052400);
  g_assert_cmphex (RUN (f, 8193, 0, 0x28, 0, 0, 0, 0, 9, 0, 0, 1), ==, 0x052400);
  g_assert_cmpuint (f->seen[0x28] + f->seen[0x2a], ==, 0);
}

static void
test_drive_filter (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (RUN (f, 20, 0, 0x43, 0, 0, 0, 0, 0, 0, 0, 20), ==, 0x031100);
  g_assert_cmpuint (f->seen[0x43], ==, 1);
  g_assert_cmphex (RUN (f, 0, 2048, 0x2a, 0, 0, 0, 0, 9, 0, 0, 1), ==, 0x052000);
  g_assert_cmphex (RUN (f, 0, 0, 0xa1), ==, 0x052000); /* BLANK */
  g_assert_cmphex (RUN (f, 0, 0, 0x5b), ==, 0x052000);
}

static void
test_limits (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  /* The device has no such page. */
  g_assert_cmphex (RUN (f, 64, 0, 0x12, 1, 0, 0, 64), ==, 0);
  g_assert_cmpmem (f->in, f->command.n_in, "\0\0\0\4\0\x83\xb0\xb2", 8);
  g_assert_cmphex (RUN (f, 64, 0, 0x12, 1, 0xb0, 0, 64), ==, 0);
  g_assert_cmpuint (f->in[10] << 8 | f->in[11], ==, 16);
  g_assert_cmphex (RUN (f, 6, 0, 0x12, 1, 0, 0, 64), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 6);
  scsi_unit_free (f->unit);
  /* It has, with more than the host can. */
  f->limits = TRUE;
  f->unit = make (f, &error);
  g_assert_no_error (error);
  g_assert_cmphex (RUN (f, 64, 0, 0x12, 1, 0, 0, 64), ==, 0);
  g_assert_cmpuint (f->command.n_in, ==, 8 + 56);
  g_assert_cmpmem (f->in, 8, "\0\0\0\4\0\x83\xb0\xb2", 8);
  g_assert_cmphex (RUN (f, 64, 0, 0x12, 1, 0xb0, 0, 64), ==, 0);
  g_assert_cmpuint (f->in[8] << 24 | f->in[9] << 16 | f->in[10] << 8 | f->in[11], ==, 16);
  g_assert_cmpuint (f->in[14] << 8 | f->in[15], ==, 16);
}

static void
test_errors (Fixture *f, gconstpointer data)
{
  f->result = -EIO;
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0, 9, 0, 0, 1), ==, 0xffffffff);
  g_assert_cmpuint (f->command.n_in, ==, 0);
  f->result = -EPERM;
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0, 9, 0, 0, 1), ==, 0x052000);
  f->result = 0;
  f->host_status = 3; /* DID_TIME_OUT */
  g_assert_cmphex (RUN (f, 512, 0, 0x28, 0, 0, 0, 0, 9, 0, 0, 1), ==, 0xffffffff);
}

static void
release (Fixture *f)
{
  g_mutex_lock (&f->lock);
  f->hold = FALSE;
  g_cond_broadcast (&f->go);
  g_mutex_unlock (&f->lock);
}

static gpointer
release_later (gpointer data)
{
  Fixture *f = data;

  /* As soon as all of them are at the device. */
  for (guint n = 0; n < 3;)
    {
      g_mutex_lock (&f->lock);
      n = f->n_waiting;
      g_mutex_unlock (&f->lock);
      g_thread_yield ();
    }
  release (f);
  return NULL;
}

static void
test_cancel (Fixture *f, gconstpointer data)
{
  static const guint8 read[] = { 0x28, 0, 0, 0, 0, 1, 0, 0, 1 };
  ScsiCommand commands[3];
  GThread *thread;

  f->hold = TRUE;
  for (guint i = 0; i < 3; i++)
    start (f, &commands[i], read, sizeof read, 512, 0);
  scsi_unit_cancel (f->unit, &commands[1]);
  g_assert_cmpuint (f->n_done, ==, 0); /* its memory is the device's */
  thread = g_thread_new ("release", release_later, f);
  scsi_unit_drain (f->unit);
  g_thread_join (thread);
  g_assert_cmpuint (f->n_done, ==, 3);
  g_assert_false (commands[0].cancelled);
  g_assert_true (commands[1].cancelled);
  /* What was posted meanwhile finds nothing to do. */
  while (vmm_worker_iterate (f->worker, 0))
    continue;
  g_assert_cmpuint (f->n_done, ==, 3);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  f->type = 1; /* tape */
  g_assert_null (make (f, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED);
  g_assert_true (f->closed);
  g_clear_error (&error);
  f->result = -ENOTTY;
  g_assert_null (make (f, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
  f->result = 0;
  g_clear_error (&error);
  g_assert_null (scsi_passthrough_new (f->worker, "/dev/null", &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (scsi_passthrough_new (f->worker, "/nonexistent/sg0", &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data)                                                                      \
  g_test_add ("/scsi/passthrough/" name, Fixture, data, set_up, func, tear_down)
  ADD ("data", test_data, NULL);
  ADD ("filter", test_filter, NULL);
  ADD ("drive-filter", test_drive_filter, "drive");
  ADD ("limits", test_limits, NULL);
  ADD ("errors", test_errors, NULL);
  ADD ("cancel", test_cancel, NULL);
  ADD ("refused", test_refused, NULL);
  return g_test_run ();
}
