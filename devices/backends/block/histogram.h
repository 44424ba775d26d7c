/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Counts of latencies in buckets four to a doubling, from 1 µs to about 18 minutes: a percentile is
 * off by less than a quarter. Add: any thread; read: any, a moment's view. */
#pragma once
#include <glib.h>

#define BLOCK_HISTOGRAM_BUCKETS 124

typedef struct
{
  guint64 buckets[BLOCK_HISTOGRAM_BUCKETS];
  guint64 n, total_ns, max_ns;
} BlockHistogram;

void block_histogram_add (BlockHistogram *histogram, gint64 ns);
/* In nanoseconds: no more than per_mille of the samples took longer than this. 0 without samples. */
guint64 block_histogram_get (const BlockHistogram *histogram, guint per_mille);
