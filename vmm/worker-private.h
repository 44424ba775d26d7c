/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by vmm/worker.c (loop) and vmm/worker-aio.c (disk I/O engines). */
#pragma once
#include "vmm/thread.h"
#include "vmm/worker.h"

typedef struct _VmmAio VmmAio;

/* wake_fd: an eventfd that pool threads write when something completed. */
VmmAio *vmm_aio_new (int wake_fd, gboolean no_uring);
/* Waits for requests in flight; no done callback runs. */
void vmm_aio_free (VmmAio *aio);
/* Makes the engine ready if it is not. Thread: any. */
const char *vmm_aio_get_engine (VmmAio *aio);
/* fd to poll for EPOLLIN, or -1 (the pool wakes through wake_fd). After get_engine. */
int vmm_aio_get_fd (VmmAio *aio);
/* The following: the worker's thread only. */
void vmm_aio_submit (VmmAio *aio, VmmAioRequest *request);
void vmm_aio_flush (VmmAio *aio);
/* Runs done callbacks. wait: blocks until at least one completed. Returns how many. */
guint vmm_aio_reap (VmmAio *aio, gboolean wait);
guint vmm_aio_get_n_inflight (VmmAio *aio);
