/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A block back end in memory for tests: answers at once, or holds requests until told, and fails
 * as told. */
#pragma once
#include "devices/backends/block/block.h"

typedef struct
{
  BlockBackend parent;
  guint8 *data;
  BlockInfo info;
  GPtrArray *held; /* in order of arrival */
  gboolean hold;
  int result; /* 0, or -errno for each request */
  guint n_ops[BLOCK_OP_WRITE_ZEROES + 1];
  guint n_fua, n_unmap;
  guint64 last_offset, last_length;
} FakeBlock;

/* size: bytes, a multiple of 512. Block i of 512 bytes is filled with i * 7 + 1. */
void fake_block_init (FakeBlock *fake, guint64 size);
void fake_block_clear (FakeBlock *fake);
/* Does what is held, last one first, until nothing is. */
void fake_block_finish (FakeBlock *fake);
/* Does the oldest request that is held. */
void fake_block_finish_one (FakeBlock *fake);
