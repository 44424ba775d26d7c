/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests to a disk image as a device makes them, timed: what `qemu-img bench` does, for our block
 * layer. Prints seconds.
 *
 *   disk-driver IMAGE FORMAT [--count=N] [--depth=N] [--size=BYTES] [--step=BYTES] [--write]
 *               [--flush-interval=N] [--direct] [--raw-backend] [--queues=N] [--cache-size=BYTES]
 *
 * Several queues are as many workers, each with its share of count and depth, from its own place. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backends/block/block.h"
#include "devices/backends/block/image.h"

#define QUEUES_MAX 16

typedef struct
{
  gint count, depth, size, flush_interval, queues;
  gint64 step, cache_size;
  gboolean write, direct, raw_backend;
} Options;

typedef struct
{
  BlockBackend *backend;
  guint64 image_size;
  GMutex lock;
  GCond cond;
  gint n_running; /* lock */
  int error;      /* lock */
} Bench;

typedef struct _Slot Slot;

/* One queue: all of it on its worker. */
typedef struct
{
  Options options; /* count and depth: its share */
  Bench *bench;
  VmmWorker *worker;
  guint64 offset;
  gint n_submitted, n_done, n_inflight, n_to_flush;
  gboolean inside, finished;
  int error;
  Slot *slots;
} Lane;

struct _Slot
{
  BlockRequest request;
  struct iovec iov;
  Lane *lane;
  gboolean busy;
};

static void go_on (Lane *lane);

static void
on_done (BlockRequest *request, int result)
{
  Slot *slot = (Slot *)request;
  Lane *lane = slot->lane;

  slot->busy = FALSE;
  lane->n_inflight--;
  if (result < 0)
    lane->error = result;
  if (request->op != BLOCK_OP_FLUSH)
    lane->n_done++;
  go_on (lane);
}

static void
submit (Lane *lane, BlockOp op)
{
  const Options *options = &lane->options;
  Slot *slot = lane->slots;

  while (slot->busy)
    slot++;
  slot->busy = TRUE;
  slot->request.op = op;
  slot->request.flags = lane->n_inflight == 0 ? BLOCK_REQUEST_ALONE : BLOCK_REQUEST_NONE;
  slot->request.offset = op == BLOCK_OP_FLUSH ? 0 : lane->offset;
  slot->request.length = op == BLOCK_OP_FLUSH ? 0 : (guint64)options->size;
  slot->request.iov = &slot->iov;
  slot->request.n_iov = op == BLOCK_OP_FLUSH ? 0 : 1;
  slot->request.done = on_done;
  lane->n_inflight++;
  if (op != BLOCK_OP_FLUSH)
    {
      lane->n_submitted++;
      lane->n_to_flush++;
      lane->offset = (lane->offset + (guint64)options->step) % lane->bench->image_size;
      if (lane->offset + (guint64)options->size > lane->bench->image_size)
        lane->offset = 0;
    }
  lane->bench->backend->ops->submit (lane->bench->backend, lane->worker, &slot->request);
}

static void
end_lane (Lane *lane)
{
  Bench *bench = lane->bench;

  lane->finished = TRUE;
  g_mutex_lock (&bench->lock);
  if (lane->error != 0)
    bench->error = lane->error;
  bench->n_running--;
  g_cond_signal (&bench->cond);
  g_mutex_unlock (&bench->lock);
}

/* A request may be done inside submit: one loop, not a recursion. */
static void
go_on (Lane *lane)
{
  const Options *options = &lane->options;

  if (lane->inside || lane->finished)
    return;
  lane->inside = TRUE;
  for (;;)
    {
      gboolean flush_due =
          options->flush_interval > 0 && lane->n_to_flush >= options->flush_interval;

      if (lane->error != 0 || (lane->n_done == options->count && lane->n_inflight == 0))
        break;
      if (flush_due)
        {
          if (lane->n_inflight > 0) /* qemu-img waits for what is under way, too */
            break;
          lane->n_to_flush = 0;
          submit (lane, BLOCK_OP_FLUSH);
          continue;
        }
      if (lane->n_submitted == options->count || lane->n_inflight == options->depth ||
          (lane->n_inflight > 0 && lane->slots[0].request.op == BLOCK_OP_FLUSH &&
           lane->slots[0].busy))
        break;
      submit (lane, options->write ? BLOCK_OP_WRITE : BLOCK_OP_READ);
    }
  lane->inside = FALSE;
  if (lane->n_inflight == 0 && (lane->error != 0 || lane->n_done == options->count))
    end_lane (lane);
}

static void
begin (gpointer user_data)
{
  go_on (user_data);
}

static BlockBackend *
open_backend (const Options *options, const char *path, const char *format_name, GError **error)
{
  const BlockImageFlags flags = { .readonly = !options->write,
                                  .direct = options->direct,
                                  .cache_size = (guint64)options->cache_size };
  const BlockOpenFlags raw_flags = { .readonly = !options->write, .direct = options->direct };
  BlockFormat format;
  BlockImage *image;

  if (options->raw_backend)
    return block_raw_open (path, &raw_flags, error);
  if (!block_format_from_string (format_name, &format))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "unknown format “%s”", format_name);
      return NULL;
    }
  image = block_image_open (path, format, &flags, error);
  return image != NULL ? block_image_backend_new (image, FALSE) : NULL;
}

static gboolean
make_lane (Lane *lane, Bench *bench, const Options *options, guint index, GError **error)
{
  guint64 part = bench->image_size / (guint64)options->queues / 4096 * 4096;

  lane->options = *options;
  lane->options.count /= options->queues;
  lane->options.depth /= options->queues;
  lane->bench = bench;
  lane->offset = index * part;
  lane->worker = vmm_worker_new ("bench", VMM_WORKER_NONE, error);
  if (lane->worker == NULL)
    return FALSE;
  lane->slots = g_new0 (Slot, (gsize)lane->options.depth);
  for (gint i = 0; i < lane->options.depth; i++)
    {
      void *buffer = NULL;

      if (posix_memalign (&buffer, 4096, (gsize)options->size) != 0)
        return FALSE;
      memset (buffer, 0x5a, (gsize)options->size);
      lane->slots[i].iov = (struct iovec){ buffer, (gsize)options->size };
      lane->slots[i].lane = lane;
    }
  return TRUE;
}

static gboolean
parse (Options *options, int *argc, char ***argv)
{
  const GOptionEntry entries[] = {
    { "count", 0, 0, G_OPTION_ARG_INT, &options->count, NULL, NULL },
    { "depth", 0, 0, G_OPTION_ARG_INT, &options->depth, NULL, NULL },
    { "size", 0, 0, G_OPTION_ARG_INT, &options->size, NULL, NULL },
    { "step", 0, 0, G_OPTION_ARG_INT64, &options->step, NULL, NULL },
    { "flush-interval", 0, 0, G_OPTION_ARG_INT, &options->flush_interval, NULL, NULL },
    { "write", 0, 0, G_OPTION_ARG_NONE, &options->write, NULL, NULL },
    { "direct", 0, 0, G_OPTION_ARG_NONE, &options->direct, NULL, NULL },
    { "raw-backend", 0, 0, G_OPTION_ARG_NONE, &options->raw_backend, NULL, NULL },
    { "queues", 0, 0, G_OPTION_ARG_INT, &options->queues, NULL, NULL },
    { "cache-size", 0, 0, G_OPTION_ARG_INT64, &options->cache_size, NULL, NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new ("IMAGE FORMAT");
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (g_option_context_parse (context, argc, argv, &error) && *argc == 3 && options->queues >= 1 &&
      options->queues <= QUEUES_MAX && options->size > 0 && options->depth >= options->queues &&
      options->count >= options->queues)
    return TRUE;
  g_printerr ("%s\n", error != NULL ? error->message : "usage: disk-driver IMAGE FORMAT");
  return FALSE;
}

int
main (int argc, char **argv)
{
  Options options = { .count = 10000, .depth = 32, .size = 4096, .step = 4096, .queues = 1 };
  g_autoptr (GError) error = NULL;
  Lane lanes[QUEUES_MAX] = { 0 };
  Bench bench = { 0 };
  BlockInfo info;
  gint64 began;

  if (!parse (&options, &argc, &argv))
    return 2;
  bench.backend = open_backend (&options, argv[1], argv[2], &error);
  if (bench.backend != NULL)
    {
      bench.backend->ops->get_info (bench.backend, &info);
      bench.image_size = info.size;
    }
  for (gint i = 0; i < options.queues; i++)
    if (bench.backend == NULL || !make_lane (&lanes[i], &bench, &options, (guint)i, &error))
      {
        g_printerr ("%s\n", error != NULL ? error->message : "no memory");
        return 1;
      }
  g_mutex_init (&bench.lock);
  g_cond_init (&bench.cond);
  bench.n_running = options.queues;
  began = g_get_monotonic_time ();
  for (gint i = 0; i < options.queues; i++)
    vmm_worker_post (lanes[i].worker, begin, &lanes[i]);
  g_mutex_lock (&bench.lock);
  while (bench.n_running > 0)
    g_cond_wait (&bench.cond, &bench.lock);
  g_mutex_unlock (&bench.lock);
  g_print ("%.6f\n", (gdouble)(g_get_monotonic_time () - began) / 1e6);
  if (bench.error != 0)
    g_printerr ("%s\n", g_strerror (-bench.error));
  for (gint i = 0; i < options.queues; i++)
    vmm_worker_free (lanes[i].worker);
  block_backend_close (bench.backend);
  return bench.error != 0;
}
