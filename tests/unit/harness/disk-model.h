/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a disk may hold after whatever happened: the history of every sector. A sector's contents say
 * which write they came from, so that a wrong, lost, misplaced or mixed-up one is named.
 *
 * Operations are noted in the order in which one thread makes them. Positions are the caller's (of a
 * HarnessRecord's log); where nothing is cut they do not matter. */
#pragma once
#include "devices/backends/block/image.h"

typedef struct _DiskModel DiskModel;

/* All zeroes. size: bytes, multiple of 512. */
DiskModel *disk_model_new (guint64 size);
void disk_model_free (DiskModel *model);

/* Each notes what is about to be done at a position; end tells what came of it and where the log is
 * then. write fills the buffer with what is to be written. */
void disk_model_begin_write (
    DiskModel *model, guint position, guint64 offset, guint64 length, guint8 *ret_buffer);
void disk_model_begin_zeroes (DiskModel *model, guint position, guint64 offset, guint64 length);
/* Reads as before or as zeroes, and may change between the two. */
void disk_model_begin_discard (DiskModel *model, guint position, guint64 offset, guint64 length);
void disk_model_begin_flush (DiskModel *model, guint position);
void disk_model_end (DiskModel *model, guint position, int result);

/* Reads the image whole and compares with what may be there after a cut at the position; G_MAXUINT:
 * no cut, everything that was acknowledged counts, flushed or not. NULL, or (transfer full) what is
 * wrong. */
char *disk_model_compare (DiskModel *model, BlockImage *image, guint position);
