/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How fast a disk may be used: operations and bytes a second, for reads, writes and both together.
 * Each limit is a leaky bucket, kept as the time at which it will be empty: a request goes when that
 * is no further away than the burst allows, and moves it on by what it costs. Times are the caller's
 * nanoseconds; no clock is read here. Not thread-safe: the owner locks. */
#pragma once
#include <glib.h>

typedef enum
{
  BLOCK_LIMIT_OPS,
  BLOCK_LIMIT_OPS_READ,
  BLOCK_LIMIT_OPS_WRITE,
  BLOCK_LIMIT_BYTES,
  BLOCK_LIMIT_BYTES_READ,
  BLOCK_LIMIT_BYTES_WRITE,
} BlockLimit;
#define BLOCK_N_LIMITS (BLOCK_LIMIT_BYTES_WRITE + 1)

typedef struct
{
  guint64 rates[BLOCK_N_LIMITS]; /* a second; 0: no limit */
  guint burst_ms;                /* how much of a rate may go at once after a rest */
} BlockThrottleConfig;

typedef struct
{
  BlockThrottleConfig config;
  gint64 empty_ns[BLOCK_N_LIMITS];
} BlockThrottle;

gboolean block_throttle_is_limited (const BlockThrottleConfig *config);
void block_throttle_init (BlockThrottle *throttle, const BlockThrottleConfig *config);
/* Takes account of a request that comes now. Returns when it may go: now, or later. */
gint64
block_throttle_reserve (BlockThrottle *throttle, gboolean write, guint64 bytes, gint64 now_ns);
