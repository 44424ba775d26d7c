/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random work on an image by one thread, noted in a DiskModel; and the judgement of qcow2 files. */
#pragma once
#include "tests/unit/harness/disk-model.h"
#include "tests/unit/harness/record-file.h"

typedef struct
{
  guint n_ops;
  guint64 unit;          /* bytes: what writes often begin and end at (a cluster) */
  gboolean snapshots;    /* internal snapshots come and go */
  gboolean may_fail;     /* errors are noted, and are not the end of the test */
  HarnessRecord *record; /* (nullable) */
} DiskWorkload;

void
disk_workload_run (DiskModel *model, BlockImage *image, GRand *rand, const DiskWorkload *workload);

/* (nullable: no) TRUE when qemu-img is there. */
gboolean disk_judge_have_qemu (void);
/* The file as qemu-img sees it. NULL when it finds no corruption (leaks are none), or (transfer
 * full) what it says. */
char *disk_judge_qemu_check (BlockFile *file, const char *format);
