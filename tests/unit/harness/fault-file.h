/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A BlockFile that fails when it is told to: the n-th call that could fail, once or from then on,
 * with an errno; a write may have been carried out in part. */
#pragma once
#include "devices/backends/block/file.h"

typedef enum
{
  HARNESS_FAULT_READ = 1 << 0,
  HARNESS_FAULT_WRITE = 1 << 1, /* write, zero, truncate */
  HARNESS_FAULT_FLUSH = 1 << 2,
  HARNESS_FAULT_ALL = HARNESS_FAULT_READ | HARNESS_FAULT_WRITE | HARNESS_FAULT_FLUSH,
} HarnessFaultCalls;

typedef struct
{
  HarnessFaultCalls calls; /* which are counted and fail */
  guint at;                /* the number of the first call that fails, from 1; 0: none */
  gboolean stays;          /* all later ones fail as well */
  gboolean in_part;        /* half of a write gets through, in whole sectors */
  int error;               /* errno */
  guint n_calls;           /* counted so far */
  guint n_failed;
} HarnessFault;

/* (transfer full) inner: (transfer full). plan is the test's and outlives the file. */
BlockFile *harness_fault_file_new (BlockFile *inner, HarnessFault *plan);
