/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-blk over a back end that answers at once, later, or with an error, by the event bytes. */
#include "devices/virtio/block.h"

#include <errno.h>
#include <string.h>

#include "devices/backends/block/block.h"
#include "fuzz.h"
#include "virtio.h"

#define DISK_SIZE (64 * 512)

typedef struct
{
  BlockBackend parent;
  guint8 disk[DISK_SIZE];
  GPtrArray *held;
  gboolean hold;
  int result;
} Disk;

static void
serve (Disk *disk, BlockRequest *request)
{
  guint64 at = request->offset;

  g_assert_cmpuint (request->offset + request->length, <=, DISK_SIZE);
  for (guint i = 0; i < request->n_iov; at += request->iov[i++].iov_len)
    {
      g_assert_cmpuint (at + request->iov[i].iov_len, <=, DISK_SIZE);
      if (request->op == BLOCK_OP_READ)
        memcpy (request->iov[i].iov_base, disk->disk + at, request->iov[i].iov_len);
      else
        memcpy (disk->disk + at, request->iov[i].iov_base, request->iov[i].iov_len);
    }
  request->done (request, disk->result);
}

static void
submit (BlockBackend *backend, VmmWorker *worker, BlockRequest *request)
{
  Disk *disk = (Disk *)backend;

  if (disk->hold)
    g_ptr_array_add (disk->held, request);
  else
    serve (disk, request);
}

static void
drain (BlockBackend *backend, VmmWorker *worker)
{
  Disk *disk = (Disk *)backend;

  disk->hold = FALSE;
  while (disk->held->len > 0)
    serve (disk, g_ptr_array_steal_index (disk->held, disk->held->len - 1));
}

static void
get_info (BlockBackend *backend, BlockInfo *info)
{
  *info = (BlockInfo){ .size = DISK_SIZE,
                       .logical_block = 512,
                       .physical_block = 512,
                       .can_discard = TRUE,
                       .can_write_zeroes = TRUE };
}

static gboolean
flush_sync (BlockBackend *backend, GError **error)
{
  return TRUE;
}

static void
close_disk (BlockBackend *backend)
{
}

static const BlockBackendOps ops = { "fuzz", submit, drain, get_info, flush_sync, close_disk };

static void
prepare (VmmDevice *device, gpointer user_data)
{
  g_assert_true (vmm_device_set_pointer (device, "backend", user_data, NULL));
}

static void
event (guint8 byte, gpointer user_data)
{
  Disk *disk = user_data;

  disk->result = byte & 1 ? -EIO : 0;
  /* Requests are finished by a drain or by the next event that does not hold. */
  disk->hold = (byte & 2) != 0;
  while (!disk->hold && disk->held->len > 0)
    serve (disk, g_ptr_array_steal_index (disk->held, disk->held->len - 1));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree Disk *disk = g_new0 (Disk, 1);

  disk->parent.ops = &ops;
  disk->held = g_ptr_array_new ();
  fuzz_virtio (data, size, &virtio_block_device_ops, 1, prepare, event, disk);
  g_ptr_array_unref (disk->held);
  return 0;
}
