/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The asynchronous front of an image: both ways against a shadow, with many requests under way. */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/block.h"
#include "devices/backends/block/image.h"

#define SIZE    (2u << 20)
#define N_SLOTS 16u
#define SLOT    (SIZE / N_SLOTS)

typedef enum
{
  IN_MEMORY = 1, /* the slow way only */
  ON_HOST,
  ON_HOST_POOL, /* the worker without io_uring */
  ON_HOST_DIRECT,
} Kind;

typedef struct
{
  char *folder, *path;
  VmmWorker *worker;
  BlockBackend *backend;
  guint n_done;
  int result;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  Kind kind = GPOINTER_TO_INT (data);
  const BlockImageFlags flags = { .discard = TRUE, .direct = kind == ON_HOST_DIRECT };
  const BlockCreateOptions options = { .size = SIZE };
  g_autoptr (GError) error = NULL;
  BlockImage *image;

  f->folder = g_dir_make_tmp ("alcove-front-XXXXXX", NULL);
  f->path = g_build_filename (f->folder, "disk", NULL);
  f->worker =
      vmm_worker_new_manual ("io", kind == ON_HOST_POOL ? VMM_WORKER_NO_URING : VMM_WORKER_NONE);
  if (kind == IN_MEMORY)
    image = block_image_open_raw (block_file_new_memory ("memory", SIZE), &flags, &error);
  else
    {
      g_assert_true (block_image_create (f->path, BLOCK_FORMAT_RAW, &options, NULL, &error));
      image = block_image_open (f->path, BLOCK_FORMAT_RAW, &flags, &error);
    }
  if (image == NULL && kind == ON_HOST_DIRECT)
    {
      g_test_skip (error->message);
      return;
    }
  g_assert_no_error (error);
  f->backend = block_image_backend_new (image, TRUE);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  block_backend_close (f->backend);
  vmm_worker_free (f->worker);
  g_unlink (f->path);
  g_rmdir (f->folder);
  g_free (f->path);
  g_free (f->folder);
}

static void
on_done (BlockRequest *request, int result)
{
  Fixture *f = request->user_data;

  g_assert_cmpint (result, ==, 0);
  f->n_done++;
}

typedef struct
{
  BlockRequest request;
  struct iovec iov[3];
  guint8 *buffer;
} Slot;

/* One request a slot of the disk at once, so that none overlap; all of them done, then the next. */
static void
test_torture (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  g_autofree guint8 *shadow = g_malloc0 (SIZE);
  g_autofree Slot *slots = g_new0 (Slot, N_SLOTS);
  BlockInfo info;
  guint32 unit;

  if (f->backend == NULL)
    return;
  f->backend->ops->get_info (f->backend, &info);
  g_assert_cmpuint (info.size, ==, SIZE);
  unit = info.logical_block;
  for (guint i = 0; i < N_SLOTS; i++)
    slots[i].buffer = g_malloc (SLOT + 1);
  for (guint round = 0; round < 60; round++)
    {
      f->n_done = 0;
      for (guint i = 0; i < N_SLOTS; i++)
        {
          Slot *slot = &slots[i];
          guint64 first = g_rand_int_range (rand, 0, SLOT / unit);
          guint64 length = g_rand_int_range (rand, 1, SLOT / unit - first + 1) * unit;
          guint64 cut = g_rand_int_range (rand, 0, length / unit + 1) * unit;
          guint8 *at = slot->buffer + round % 2; /* also where no alignment is */

          slot->request = (BlockRequest){
            .op = (BlockOp)g_rand_int_range (rand, 0, 5),
            .flags = (BlockRequestFlags)g_rand_int_range (rand, 0, 8),
            .offset = i * SLOT + first * unit,
            .length = length,
            .iov = slot->iov,
            .n_iov = 3,
            .done = on_done,
            .user_data = f,
          };
          slot->iov[0] = (struct iovec){ at, cut };
          slot->iov[1] = (struct iovec){ at + cut, 0 };
          slot->iov[2] = (struct iovec){ at + cut, length - cut };
          if (slot->request.op == BLOCK_OP_WRITE)
            {
              memset (at, (int)g_rand_int_range (rand, 0, 256), length);
              memcpy (shadow + slot->request.offset, at, length);
            }
          else
            memset (at, 0x5a, length);
          if (slot->request.op == BLOCK_OP_WRITE_ZEROES)
            memset (shadow + slot->request.offset, 0, length);
          if (slot->request.op == BLOCK_OP_DISCARD) /* whole blocks of the file become holes */
            slot->request.offset = i * SLOT, slot->request.length = SLOT,
            memset (shadow + i * SLOT, 0, SLOT);
          f->backend->ops->submit (f->backend, f->worker, &slot->request);
        }
      if (round % 3 == 0)
        f->backend->ops->drain (f->backend, f->worker);
      for (guint i = 0; f->n_done < N_SLOTS && i < 1000; i++)
        vmm_worker_iterate (f->worker, 100);
      g_assert_cmpuint (f->n_done, ==, N_SLOTS);
      for (guint i = 0; i < N_SLOTS; i++)
        if (slots[i].request.op == BLOCK_OP_READ)
          g_assert_cmpmem (slots[i].buffer + round % 2, slots[i].request.length,
                           shadow + slots[i].request.offset, slots[i].request.length);
    }
  g_assert_true (f->backend->ops->flush_sync (f->backend, NULL));
  for (guint i = 0; i < N_SLOTS; i++)
    {
      g_assert_cmpint (
          block_image_read (block_backend_get_image (f->backend), i * SLOT, slots[i].buffer, SLOT),
          ==, 0);
      g_assert_cmpmem (slots[i].buffer, SLOT, shadow + i * SLOT, SLOT);
      g_free (slots[i].buffer);
    }
}

static void
on_result (BlockRequest *request, int result)
{
  Fixture *f = request->user_data;

  f->result = result;
  f->n_done++;
}

static int
run (Fixture *f, BlockOp op, guint64 offset, guint64 length)
{
  static const BlockRequest empty;
  g_autofree guint8 *buffer = g_malloc0 (4096);
  struct iovec iov = { buffer, MIN (length, 4096) };
  BlockRequest request = empty;

  request.op = op;
  request.offset = offset;
  request.length = length;
  request.iov = &iov;
  request.n_iov = op == BLOCK_OP_READ || op == BLOCK_OP_WRITE ? 1 : 0;
  request.done = on_result;
  request.user_data = f;
  f->n_done = 0;
  f->backend->ops->submit (f->backend, f->worker, &request);
  f->backend->ops->drain (f->backend, f->worker);
  g_assert_cmpuint (f->n_done, ==, 1);
  return f->result;
}

static void
test_bounds (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (run (f, BLOCK_OP_READ, SIZE - 512, 512), ==, 0);
  g_assert_cmpint (run (f, BLOCK_OP_READ, SIZE, 512), ==, -EINVAL);
  g_assert_cmpint (run (f, BLOCK_OP_WRITE, G_MAXUINT64 - 511, 512), ==, -EINVAL);
  g_assert_cmpint (run (f, BLOCK_OP_WRITE_ZEROES, 512, SIZE), ==, -EINVAL);
  g_assert_cmpint (run (f, BLOCK_OP_DISCARD, 512, G_MAXUINT64), ==, -EINVAL);
  g_assert_cmpint (run (f, BLOCK_OP_FLUSH, 0, 0), ==, 0);
}

static void
test_readonly (Fixture *f, gconstpointer data)
{
  const BlockImageFlags flags = { .readonly = TRUE };
  BlockInfo info;

  block_backend_close (f->backend);
  f->backend =
      block_image_backend_new (block_image_open (f->path, BLOCK_FORMAT_RAW, &flags, NULL), TRUE);
  f->backend->ops->get_info (f->backend, &info);
  g_assert_true (info.readonly);
  g_assert_false (info.can_discard);
  g_assert_cmpint (run (f, BLOCK_OP_WRITE, 0, 512), ==, -EROFS);
  g_assert_cmpint (run (f, BLOCK_OP_WRITE_ZEROES, 0, 512), ==, -EROFS);
  g_assert_cmpint (run (f, BLOCK_OP_READ, 0, 512), ==, 0);
  g_assert_cmpint (run (f, BLOCK_OP_FLUSH, 0, 0), ==, 0);
}

/* The file was cut short behind our back: an end that is not there reads as zeroes, a write makes it
 * again. */
static void
test_short (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (truncate (f->path, 4096), ==, 0);
  g_assert_cmpint (run (f, BLOCK_OP_READ, 3584, 1024), ==, 0);
  g_assert_cmpint (run (f, BLOCK_OP_READ, 1 << 20, 4096), ==, 0);
  g_assert_cmpint (run (f, BLOCK_OP_WRITE, SIZE - 4096, 4096), ==, 0);
}

/* A result that was had by drain leaves a call with the worker, which outlives the back end. */
static void
test_close (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (run (f, BLOCK_OP_FLUSH, 0, 0), ==, 0);
  g_clear_pointer (&f->backend, block_backend_close);
  while (vmm_worker_iterate (f->worker, 0))
    continue;
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, kind)                                                                      \
  g_test_add ("/image-backend/" name, Fixture, GINT_TO_POINTER (kind), set_up, func, tear_down)
  ADD ("torture/memory", test_torture, IN_MEMORY);
  ADD ("torture/host", test_torture, ON_HOST);
  ADD ("torture/host-pool", test_torture, ON_HOST_POOL);
  ADD ("torture/host-direct", test_torture, ON_HOST_DIRECT);
  ADD ("bounds/memory", test_bounds, IN_MEMORY);
  ADD ("bounds/host", test_bounds, ON_HOST);
  ADD ("readonly", test_readonly, ON_HOST);
  ADD ("short", test_short, ON_HOST);
  ADD ("close", test_close, ON_HOST);
  return g_test_run ();
}
