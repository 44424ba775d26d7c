/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What stands between a disk device and any back end: limits of speed, latencies, and what happens
 * when the host cannot do what the guest asked.
 *
 * No space left (ENOSPC, EDQUOT) never reaches the guest: the request is held, the owner is told
 * and pauses the machine; when it goes on, block_guard_retry tries again. Other errors of the host
 * are treated so when the owner wishes, and otherwise reported to the guest. What is held is as
 * little on disk as it was before the guest asked; nothing that was acknowledged is affected.
 *
 * Threads: new, close on the control thread; retry and the counters on any; the rest as
 * BlockBackend. */
#pragma once
#include "devices/backends/block/block.h"
#include "devices/backends/block/throttle.h"
#include "vmm/clock.h"

typedef struct
{
  VmmClock *clock;         /* borrowed */
  gboolean pause_on_error; /* hold all errors of the host, not only a lack of space */
  BlockThrottleConfig throttle;
  /* (nullable: nothing is held) A request is held from now on. error: -errno. On a worker, maybe
   * with a device's lock held: it must only pass the news on. */
  void (*held) (BlockBackend *backend, int error, gpointer user_data);
  gpointer user_data;
} BlockGuardConfig;

/* inner: (transfer full). */
BlockBackend *block_guard_new (BlockBackend *inner, const BlockGuardConfig *config);
/* What is held is tried again, soon, on the workers. */
void block_guard_retry (BlockBackend *guard);
guint block_guard_get_n_held (BlockBackend *guard);
/* Latencies by kind of request in microseconds, delays by limits, requests held. */
void block_guard_stats (BlockBackend *guard,
                        void (*add) (gpointer user_data, const char *name, guint64 value),
                        gpointer user_data);
