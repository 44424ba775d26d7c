/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A power cut or a full disk at a chosen system call: this test program's own rename, fsync, write
 * and the like stand before the C library's and count. */
#pragma once
#include <glib.h>

typedef enum
{
  CUT_NOTHING,
  CUT_KILL,  /* SIGKILL to this process before the call */
  CUT_ENOSPC /* the call fails */
} CutKind;

/* at: from 1. Counting starts anew. */
void cut_set (CutKind kind, guint at);
/* Calls since cut_set. */
guint cut_get_count (void);
