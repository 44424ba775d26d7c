/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/block/histogram.h"

/* Bucket 0 to 3: below 1 µs, 2 µs, 3 µs, 4 µs; then four to a doubling. */
static guint
bucket_of (guint64 ns)
{
  guint64 us = ns / 1000;
  guint bits;

  if (us < 4)
    return (guint)us;
  bits = g_bit_storage (us); /* 3 and more */
  return MIN ((bits - 2) * 4 + (guint)((us >> (bits - 3)) & 3), BLOCK_HISTOGRAM_BUCKETS - 1);
}

/* The first value above the bucket. */
static guint64
bucket_end_ns (guint bucket)
{
  if (bucket < 4)
    return (bucket + 1) * 1000;
  return (G_GUINT64_CONSTANT (5) + bucket % 4) * (G_GUINT64_CONSTANT (1) << (bucket / 4 - 1)) *
         1000;
}

void
block_histogram_add (BlockHistogram *self, gint64 ns)
{
  guint64 value = ns > 0 ? (guint64)ns : 0;
  guint64 max = __atomic_load_n (&self->max_ns, __ATOMIC_RELAXED);

  __atomic_fetch_add (&self->buckets[bucket_of (value)], 1, __ATOMIC_RELAXED);
  __atomic_fetch_add (&self->n, 1, __ATOMIC_RELAXED);
  __atomic_fetch_add (&self->total_ns, value, __ATOMIC_RELAXED);
  while (value > max && !__atomic_compare_exchange_n (&self->max_ns, &max, value, TRUE,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    continue;
}

guint64
block_histogram_get (const BlockHistogram *self, guint per_mille)
{
  guint64 counts[BLOCK_HISTOGRAM_BUCKETS], n = 0, seen = 0;
  guint64 max = __atomic_load_n (&self->max_ns, __ATOMIC_RELAXED);

  for (guint i = 0; i < BLOCK_HISTOGRAM_BUCKETS; i++)
    n += counts[i] = __atomic_load_n (&self->buckets[i], __ATOMIC_RELAXED);
  if (n == 0)
    return 0;
  for (guint i = 0; i < BLOCK_HISTOGRAM_BUCKETS; i++)
    {
      seen += counts[i];
      if ((n - seen) * 1000 <= n * per_mille)
        return MIN (bucket_end_ns (i), max);
    }
  return max;
}
