/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests to a disk image as a device makes them, timed: what `qemu-img bench` does, for our block
 * layer. Prints seconds.
 *
 *   disk-driver IMAGE FORMAT [--count=N] [--depth=N] [--size=BYTES] [--step=BYTES] [--write]
 *               [--flush-interval=N] [--direct] [--raw-backend] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backends/block/block.h"
#include "devices/backends/block/image.h"

typedef struct
{
  gint count, depth, size, flush_interval;
  gint64 step;
  gboolean write, direct, raw_backend;

  BlockBackend *backend;
  VmmWorker *worker;
  guint64 image_size, offset;
  gint n_submitted, n_done, n_inflight, n_to_flush;
  GMutex lock;
  GCond cond;
  gboolean finished;
  int error;
} Bench;

typedef struct
{
  BlockRequest request;
  struct iovec iov;
  Bench *bench;
  gboolean busy;
} Slot;

static void go_on (Bench *bench);

static void
on_done (BlockRequest *request, int result)
{
  Slot *slot = (Slot *)request;
  Bench *bench = slot->bench;

  slot->busy = FALSE;
  bench->n_inflight--;
  if (result < 0)
    bench->error = result;
  if (request->op != BLOCK_OP_FLUSH)
    bench->n_done++;
  go_on (bench);
}

static Slot *slots_of (Bench *bench);

static void
submit (Bench *bench, BlockOp op)
{
  Slot *slot = slots_of (bench);

  while (slot->busy)
    slot++;
  slot->busy = TRUE;
  slot->request.op = op;
  slot->request.flags = bench->n_inflight == 0 ? BLOCK_REQUEST_ALONE : BLOCK_REQUEST_NONE;
  slot->request.offset = op == BLOCK_OP_FLUSH ? 0 : bench->offset;
  slot->request.length = op == BLOCK_OP_FLUSH ? 0 : (guint64)bench->size;
  slot->request.iov = &slot->iov;
  slot->request.n_iov = op == BLOCK_OP_FLUSH ? 0 : 1;
  slot->request.done = on_done;
  bench->n_inflight++;
  if (op != BLOCK_OP_FLUSH)
    {
      bench->n_submitted++;
      bench->n_to_flush++;
      bench->offset = (bench->offset + (guint64)bench->step) % bench->image_size;
      if (bench->offset + (guint64)bench->size > bench->image_size)
        bench->offset = 0;
    }
  bench->backend->ops->submit (bench->backend, bench->worker, &slot->request);
}

typedef struct
{
  Bench bench;
  gboolean inside;
  Slot slots[];
} State;

static Slot *
slots_of (Bench *bench)
{
  return ((State *)bench)->slots;
}

/* A request may be done inside submit: one loop, not a recursion. */
static void
go_on (Bench *bench)
{
  State *state = (State *)bench;

  if (state->inside)
    return;
  state->inside = TRUE;
  for (;;)
    {
      gboolean flush_due = bench->flush_interval > 0 && bench->n_to_flush >= bench->flush_interval;

      if (bench->error != 0 || (bench->n_done == bench->count && bench->n_inflight == 0))
        break;
      if (flush_due)
        {
          if (bench->n_inflight > 0) /* qemu-img waits for what is under way, too */
            break;
          bench->n_to_flush = 0;
          submit (bench, BLOCK_OP_FLUSH);
          continue;
        }
      if (bench->n_submitted == bench->count || bench->n_inflight == bench->depth ||
          (bench->n_inflight > 0 && slots_of (bench)[0].request.op == BLOCK_OP_FLUSH &&
           slots_of (bench)[0].busy))
        break;
      submit (bench, bench->write ? BLOCK_OP_WRITE : BLOCK_OP_READ);
    }
  state->inside = FALSE;
  if (bench->error != 0 || (bench->n_done == bench->count && bench->n_inflight == 0))
    {
      g_mutex_lock (&bench->lock);
      bench->finished = TRUE;
      g_cond_signal (&bench->cond);
      g_mutex_unlock (&bench->lock);
    }
}

static void
begin (gpointer user_data)
{
  go_on (user_data);
}

static BlockBackend *
open_backend (const Bench *bench, const char *path, const char *format_name, GError **error)
{
  const BlockImageFlags flags = { .readonly = !bench->write, .direct = bench->direct };
  const BlockOpenFlags raw_flags = { .readonly = !bench->write, .direct = bench->direct };
  BlockFormat format;
  BlockImage *image;

  if (bench->raw_backend)
    return block_raw_open (path, &raw_flags, error);
  if (!block_format_from_string (format_name, &format))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "unknown format “%s”", format_name);
      return NULL;
    }
  image = block_image_open (path, format, &flags, error);
  return image != NULL ? block_image_backend_new (image, FALSE) : NULL;
}

int
main (int argc, char **argv)
{
  Bench options = { .count = 10000, .depth = 32, .size = 4096, .step = 4096 };
  const GOptionEntry entries[] = {
    { "count", 0, 0, G_OPTION_ARG_INT, &options.count, NULL, NULL },
    { "depth", 0, 0, G_OPTION_ARG_INT, &options.depth, NULL, NULL },
    { "size", 0, 0, G_OPTION_ARG_INT, &options.size, NULL, NULL },
    { "step", 0, 0, G_OPTION_ARG_INT64, &options.step, NULL, NULL },
    { "flush-interval", 0, 0, G_OPTION_ARG_INT, &options.flush_interval, NULL, NULL },
    { "write", 0, 0, G_OPTION_ARG_NONE, &options.write, NULL, NULL },
    { "direct", 0, 0, G_OPTION_ARG_NONE, &options.direct, NULL, NULL },
    { "raw-backend", 0, 0, G_OPTION_ARG_NONE, &options.raw_backend, NULL, NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("IMAGE FORMAT");
  g_autoptr (GError) error = NULL;
  State *state;
  Bench *bench;
  BlockInfo info;
  gint64 began;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 3 || options.depth < 1)
    {
      g_printerr ("%s\n", error != NULL ? error->message : "usage: disk-driver IMAGE FORMAT");
      return 2;
    }
  state = g_malloc0 (sizeof (State) + (gsize)options.depth * sizeof (Slot));
  bench = &state->bench;
  *bench = options;
  bench->backend = open_backend (bench, argv[1], argv[2], &error);
  bench->worker = bench->backend != NULL ? vmm_worker_new ("bench", VMM_WORKER_NONE, &error) : NULL;
  if (bench->worker == NULL)
    {
      g_printerr ("%s\n", error->message);
      return 1;
    }
  bench->backend->ops->get_info (bench->backend, &info);
  bench->image_size = info.size;
  for (gint i = 0; i < bench->depth; i++)
    {
      void *buffer = NULL;

      if (posix_memalign (&buffer, 4096, (gsize)bench->size) != 0)
        return 1;
      memset (buffer, 0x5a, (gsize)bench->size);
      state->slots[i].iov = (struct iovec){ buffer, (gsize)bench->size };
      state->slots[i].bench = bench;
    }
  began = g_get_monotonic_time ();
  vmm_worker_post (bench->worker, begin, bench);
  g_mutex_lock (&bench->lock);
  while (!bench->finished)
    g_cond_wait (&bench->cond, &bench->lock);
  g_mutex_unlock (&bench->lock);
  g_print ("%.6f\n", (gdouble)(g_get_monotonic_time () - began) / 1e6);
  if (bench->error != 0)
    g_printerr ("%s\n", g_strerror (-bench->error));
  vmm_worker_free (bench->worker);
  block_backend_close (bench->backend);
  return bench->error != 0;
}
