/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Storage that fails at a chosen call: this test program's own read, write, fsync and the like stand
 * before the C library's, count, and fail for files of one file system. Any thread. */
#pragma once
#include <glib.h>

typedef enum
{
  FAULT_NOTHING,
  FAULT_NO_SPACE,     /* one call that takes space fails with ENOSPC */
  FAULT_FULL,         /* that and all later ones; a write gets through by half first */
  FAULT_IO,           /* one call of any kind fails with EIO */
  FAULT_IO_STAYS,     /* that and all later ones */
  FAULT_SHORT,        /* one read or write does half of what it should */
  FAULT_SHORT_ALWAYS, /* that and all later ones */
} FaultKind;
#define FAULT_N_KINDS (FAULT_SHORT_ALWAYS + 1)

/* at: from 1. Counting starts anew. folder: only files of its file system count. */
void fault_set (FaultKind kind, guint at, const char *folder);
/* Calls that could have failed since then; how many did. */
guint fault_get_count (void);
guint fault_get_failed (void);
