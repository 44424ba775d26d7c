/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/block/throttle.h"

#define NS_PER_SEC G_GINT64_CONSTANT (1000000000)
#define NS_PER_MS  G_GINT64_CONSTANT (1000000)
/* The furthest a bucket can be ahead: more would be a limit of nothing a day. */
#define MAX_DEBT   (3600 * NS_PER_SEC)

gboolean
block_throttle_is_limited (const BlockThrottleConfig *config)
{
  for (guint i = 0; i < BLOCK_N_LIMITS; i++)
    if (config->rates[i] != 0)
      return TRUE;
  return FALSE;
}

void
block_throttle_init (BlockThrottle *self, const BlockThrottleConfig *config)
{
  *self = (BlockThrottle){ .config = *config };
}

static gboolean
applies (BlockLimit limit, gboolean write)
{
  switch (limit)
    {
    case BLOCK_LIMIT_OPS_READ:
    case BLOCK_LIMIT_BYTES_READ:
      return !write;
    case BLOCK_LIMIT_OPS_WRITE:
    case BLOCK_LIMIT_BYTES_WRITE:
      return write;
    case BLOCK_LIMIT_OPS:
    case BLOCK_LIMIT_BYTES:
      break;
    }
  return TRUE;
}

gint64
block_throttle_reserve (BlockThrottle *self, gboolean write, guint64 bytes, gint64 now)
{
  gint64 burst = self->config.burst_ms * NS_PER_MS;
  gint64 start = now;

  for (guint i = 0; i < BLOCK_N_LIMITS; i++)
    {
      guint64 rate = self->config.rates[i];
      guint64 units = i < BLOCK_LIMIT_BYTES ? 1 : bytes;
      gint64 cost;

      if (rate == 0 || !applies (i, write))
        continue;
      cost = (gint64)MIN ((gdouble)units * NS_PER_SEC / (gdouble)rate, (gdouble)MAX_DEBT);
      start = MAX (start, self->empty_ns[i] - burst);
      self->empty_ns[i] = MIN (MAX (self->empty_ns[i], now) + cost, now + MAX_DEBT);
    }
  return start;
}
