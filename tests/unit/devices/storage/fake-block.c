/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake-block.h"

#include <string.h>

static void
transfer (FakeBlock *fake, const BlockRequest *request)
{
  guint64 at = request->offset;

  for (guint i = 0; i < request->n_iov; i++)
    {
      if (request->op == BLOCK_OP_READ)
        memcpy (request->iov[i].iov_base, fake->data + at, request->iov[i].iov_len);
      else
        memcpy (fake->data + at, request->iov[i].iov_base, request->iov[i].iov_len);
      at += request->iov[i].iov_len;
    }
  g_assert_cmpuint (at - request->offset, ==, request->length);
}

static void
serve (FakeBlock *fake, BlockRequest *request)
{
  if (fake->result == 0)
    {
      if (request->op == BLOCK_OP_READ || request->op == BLOCK_OP_WRITE)
        transfer (fake, request);
      else if (request->op != BLOCK_OP_FLUSH)
        memset (fake->data + request->offset, 0, request->length);
    }
  request->done (request, fake->result);
}

static void
fake_submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  FakeBlock *fake = (FakeBlock *)backend;

  /* What the interface promises a back end, whatever the guest sent. */
  g_assert_cmpuint (request->offset % 512, ==, 0);
  g_assert_cmpuint (request->length % 512, ==, 0);
  g_assert_cmpuint (request->offset, <=, fake->info.size);
  g_assert_cmpuint (request->length, <=, fake->info.size - request->offset);
  g_assert_cmpuint (request->n_iov, <=, 1024);
  if (fake->info.readonly)
    g_assert_true (request->op == BLOCK_OP_READ || request->op == BLOCK_OP_FLUSH);
  fake->n_ops[request->op]++;
  fake->n_fua += (request->flags & BLOCK_REQUEST_FUA) != 0;
  fake->n_unmap += (request->flags & BLOCK_REQUEST_UNMAP) != 0;
  fake->last_offset = request->offset;
  fake->last_length = request->length;
  if (fake->hold)
    g_ptr_array_add (fake->held, request);
  else
    serve (fake, request);
}

void
fake_block_finish (FakeBlock *fake)
{
  while (fake->held->len > 0)
    serve (fake, g_ptr_array_steal_index (fake->held, fake->held->len - 1));
}

void
fake_block_finish_one (FakeBlock *fake)
{
  g_assert_cmpuint (fake->held->len, >, 0);
  serve (fake, g_ptr_array_steal_index (fake->held, 0));
}

static void
fake_drain (BlockBackend *backend, VmmWorker *worker)
{
  fake_block_finish ((FakeBlock *)backend);
}

static void
fake_get_info (BlockBackend *backend, BlockInfo *info)
{
  *info = ((FakeBlock *)backend)->info;
}

static gboolean
fake_flush_sync (BlockBackend *backend, GError **error)
{
  return TRUE;
}

static void
fake_close (BlockBackend *backend)
{
}

static const BlockBackendOps fake_ops = {
  .name = "fake",
  .submit = fake_submit,
  .drain = fake_drain,
  .get_info = fake_get_info,
  .flush_sync = fake_flush_sync,
  .close = fake_close,
};

void
fake_block_init (FakeBlock *fake, guint64 size)
{
  memset (fake, 0, sizeof *fake);
  fake->parent.ops = &fake_ops;
  fake->parent.name = (char *)"fake.img";
  fake->data = g_malloc (size);
  fake->held = g_ptr_array_new ();
  for (guint64 i = 0; i < size / 512; i++)
    memset (fake->data + i * 512, i * 7 + 1, 512);
  fake->info = (BlockInfo){
    .size = size,
    .logical_block = 512,
    .physical_block = 4096,
    .can_discard = TRUE,
    .can_write_zeroes = TRUE,
    .discard_granularity = 4096,
  };
}

void
fake_block_clear (FakeBlock *fake)
{
  g_clear_pointer (&fake->data, g_free);
  g_clear_pointer (&fake->held, g_ptr_array_unref);
}
