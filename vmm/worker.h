/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A worker: one thread with one event loop (fds, posted calls, asynchronous disk I/O). A device
 * belongs to one worker; its doorbells and completions run there.
 * io_uring carries the I/O, with a small thread pool where the kernel refuses io_uring. */
#pragma once
#include <glib.h>
#include <sys/uio.h>
#include "vmm/error.h"

typedef struct _VmmWorker VmmWorker;
typedef struct _VmmSource VmmSource;

typedef enum
{
  VMM_WORKER_NONE = 0,
  VMM_WORKER_NO_URING = 1 << 0, /* use the thread pool (tests, hosts that forbid io_uring) */
} VmmWorkerFlags;

/* Starts the thread. name: at most 15 bytes are shown by the kernel. */
VmmWorker *vmm_worker_new (const char *name, VmmWorkerFlags flags, GError **error);
/* A worker without a thread, for tests: the creating thread is the worker's thread, and everything
 * happens in vmm_worker_iterate. */
VmmWorker *vmm_worker_new_manual (const char *name, VmmWorkerFlags flags);
/* Manual workers: one turn of the loop, waiting at most timeout_ms (0: not at all) for something to
 * do. Returns TRUE when anything ran. */
gboolean vmm_worker_iterate (VmmWorker *worker, int timeout_ms);
/* Requests submitted and not yet done. On the worker only. */
guint vmm_worker_get_n_aio (VmmWorker *worker);
/* Stops and joins; pending posted calls run first. Not from the worker itself. */
void vmm_worker_free (VmmWorker *worker);
gboolean vmm_worker_is_current (VmmWorker *worker);
const char *vmm_worker_get_io_engine (VmmWorker *worker); /* "io_uring" or "threads" */
guint64 vmm_worker_get_n_wakeups (VmmWorker *worker);

/* events: EPOLLIN | EPOLLOUT ... (level triggered). callback runs on the worker. */
typedef void (*VmmSourceFunc) (int fd, guint32 events, gpointer user_data);
VmmSource *vmm_worker_add_fd (
    VmmWorker *worker, int fd, guint32 events, VmmSourceFunc callback, gpointer user_data);
/* An eventfd source: the counter is read (cleared) before callback runs. */
VmmSource *vmm_worker_add_eventfd (VmmWorker *worker,
                                   int fd,
                                   void (*callback) (gpointer user_data),
                                   gpointer user_data);
void vmm_source_set_events (VmmSource *source, guint32 events);
/* Removes and frees; after return the callback does not run (waits unless on the worker). */
void vmm_source_remove (VmmSource *source);

/* Runs func on the worker, later, in order. */
void vmm_worker_post (VmmWorker *worker, void (*func) (gpointer), gpointer user_data);
/* Runs func on the worker and waits; at once when called on the worker itself. */
void vmm_worker_call (VmmWorker *worker, void (*func) (gpointer), gpointer user_data);

typedef enum
{
  VMM_AIO_READV,
  VMM_AIO_WRITEV,
  VMM_AIO_FSYNC,     /* fdatasync */
  VMM_AIO_FALLOCATE, /* offset, length, mode: FALLOC_FL_* */
} VmmAioOp;

typedef struct _VmmAioRequest VmmAioRequest;
struct _VmmAioRequest
{
  VmmAioOp op;
  int fd;
  int mode;
  const struct iovec *iov; /* stays valid until done */
  guint n_iov;
  guint64 offset; /* bytes */
  guint64 length; /* bytes, FALLOCATE only */
  /* result: bytes, 0, or -errno. Runs on the worker. The request may be freed in it. */
  void (*done) (VmmAioRequest *request, gint64 result);
  gpointer user_data;
  /*< private >*/
  gpointer priv[4];
};
/* On the worker only. Submissions are batched and sent at the end of the loop's turn. */
void vmm_worker_submit (VmmWorker *worker, VmmAioRequest *request);
/* On the worker: runs until all submitted requests are done (reset, pause, teardown). */
void vmm_worker_drain_aio (VmmWorker *worker);
