/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A BlockFile in memory that remembers what was done to it, so that a test can ask: what would the
 * disk hold if the power had failed there? What was done before a flush is on it; of what came
 * after, any part may be, in any order, a write torn at any sector. */
#pragma once
#include "devices/backends/block/file.h"

typedef struct _HarnessRecord HarnessRecord;

/* base: (transfer none) the contents at the beginning; NULL: empty. */
HarnessRecord *harness_record_new (BlockFile *base);
void harness_record_free (HarnessRecord *record);
/* (transfer full) the file to put under an image. The record outlives it. */
BlockFile *harness_record_open (HarnessRecord *record);
/* Entries so far: a position in the log. */
guint harness_record_get_length (HarnessRecord *record);
gboolean harness_record_is_flush (HarnessRecord *record, guint position);

typedef enum
{
  HARNESS_CUT_ALL,     /* everything before the cut arrived */
  HARNESS_CUT_FLUSHED, /* nothing after the last flush did */
  HARNESS_CUT_RANDOM,  /* some of it, in another order, torn */
} HarnessCut;
/* (transfer full) the disk after a power cut when the first `position` entries had been begun. rand:
 * for RANDOM. */
BlockFile *harness_record_cut (HarnessRecord *record, guint position, HarnessCut cut, GRand *rand);
