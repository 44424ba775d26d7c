/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The block back end interface under every disk device: asynchronous, one queue a worker.
 * Requests are owned by the device, stay valid until done, complete in any order on the worker that
 * submitted them. Errors are -errno. A write is on stable storage only after a flush that was
 * submitted after it was done (or with FUA).
 * Threads: open and close on the control thread; submit on the worker. */
#pragma once
#include <sys/uio.h>
#include "devices/backends/block/file.h"
#include "vmm/error.h"
#include "vmm/worker.h"

typedef struct _BlockBackend BlockBackend;
typedef struct _BlockRequest BlockRequest;

typedef enum
{
  BLOCK_OP_READ,
  BLOCK_OP_WRITE,
  BLOCK_OP_FLUSH,
  BLOCK_OP_DISCARD,
  BLOCK_OP_WRITE_ZEROES,
} BlockOp;

typedef enum
{
  BLOCK_REQUEST_NONE = 0,
  BLOCK_REQUEST_FUA = 1 << 0,
  BLOCK_REQUEST_UNMAP = 1 << 1, /* WRITE_ZEROES may deallocate */
  /* Nothing else is under way on this queue: worth doing at once, inside submit, when the data is
   * in memory. done may come before submit returns with or without it. */
  BLOCK_REQUEST_ALONE = 1 << 2,
} BlockRequestFlags;

struct _BlockRequest
{
  BlockOp op;
  BlockRequestFlags flags;
  guint64 offset; /* bytes, multiple of 512 */
  guint64 length; /* bytes, multiple of 512; READ and WRITE: sum of iov */
  const struct iovec *iov;
  guint n_iov;
  void (*done) (BlockRequest *request, int result); /* 0 or -errno */
  gpointer user_data;
  /*< private >*/
  VmmAioRequest aio;
  gpointer backend_data[4];
  struct
  {
    BlockRequest *next;
    void (*done) (BlockRequest *request, int result);
    gpointer queue;
    gint64 start_ns, due_ns;
    int error;
  } guard; /* guard.c, in front of the back end proper */
};

typedef struct
{
  guint64 size;          /* bytes */
  guint32 logical_block; /* 512 or 4096: smallest access */
  guint32 physical_block;
  guint32 optimal_io; /* bytes, 0 unknown */
  gboolean readonly;
  gboolean can_discard, can_write_zeroes;
  gboolean rotational;
  guint32 discard_granularity; /* bytes */
} BlockInfo;

typedef struct
{
  const char *name; /* "raw" */
  void (*submit) (BlockBackend *backend, VmmWorker *worker, BlockRequest *request);
  /* Waits (running the worker's I/O) until everything submitted there is done; what is held
   * (guard.h) ends with its error. For reset and teardown. On the worker. */
  void (*drain) (BlockBackend *backend, VmmWorker *worker);
  void (*get_info) (BlockBackend *backend, BlockInfo *ret_info);
  /* Synchronous: all that was acknowledged is on stable storage. Control thread. */
  gboolean (*flush_sync) (BlockBackend *backend, GError **error);
  void (*close) (BlockBackend *backend);
  /* (nullable) The image behind it, for snapshots, bitmaps and resizing. (transfer none) */
  struct _BlockImage *(*get_image) (BlockBackend *backend);
  /* (nullable: as drain) As drain, but what is held stays so: it goes on when the machine does. For
   * quiesce. Returns how many are held: a device that has any cannot be saved. */
  guint (*settle) (BlockBackend *backend, VmmWorker *worker);
} BlockBackendOps;

struct _BlockBackend
{
  const BlockBackendOps *ops;
  char *name; /* for messages: the file */
};

typedef struct
{
  gboolean readonly;
  gboolean direct;  /* O_DIRECT */
  gboolean discard; /* guest discards punch holes */
  BlockLock lock;
} BlockOpenFlags;

/* Raw files and block devices. Errors name file, cause, remedy. */
BlockBackend *block_raw_open (const char *path, const BlockOpenFlags *flags, GError **error);
/* Any image (image.h). image: (transfer full). discard: guest discards give space back. */
BlockBackend *block_image_backend_new (struct _BlockImage *image, gboolean discard);
static inline guint
block_backend_settle (BlockBackend *backend, VmmWorker *worker)
{
  if (backend->ops->settle != NULL)
    return backend->ops->settle (backend, worker);
  backend->ops->drain (backend, worker);
  return 0;
}
static inline void
block_backend_close (BlockBackend *backend)
{
  if (backend != NULL)
    backend->ops->close (backend);
}
/* (nullable) (transfer none) */
static inline struct _BlockImage *
block_backend_get_image (BlockBackend *backend)
{
  return backend->ops->get_image != NULL ? backend->ops->get_image (backend) : NULL;
}
