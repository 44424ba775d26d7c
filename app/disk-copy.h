/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copies a disk from one image into another: several threads, each a piece at a time; what is not
 * there or zero is not written. Everything long in disk-tools.h stands on it. */
#pragma once
#include "devices/backends/block/image.h"

typedef struct
{
  guint threads; /* 0: as many as suit this host, at most 8 */
  /* The target reads as zeroes where it was not written: a new image without a backing one. */
  gboolean target_is_zero;
  /* Only what the source itself holds (depth 0), not its backing images: the target has the same
   * backing image. Zeroes that hide backing data are written as zeroes. */
  gboolean own_only;
  gboolean compress; /* whole clusters, compressed (qcow2) */
  gboolean
      keep_compressed; /* what is compressed in the source is compressed in the target; the same
                               cluster size */
  const char
      *dirty_in;     /* (nullable) only what is dirty in this bitmap of the source; zeroes there are
                           written as zeroes */
  gboolean no_flush; /* the caller flushes */
} AlcoveDiskCopyOptions;

typedef struct
{
  guint64 data_bytes; /* written as data */
  guint64 zero_bytes; /* of the rest: holes and zeroes */
} AlcoveDiskCopyResult;

/**
 * alcove_disk_copy:
 * @from, @to: both stay open; to is at least as large as from
 * @progress: (nullable): its step is called on this thread, with bytes of the disk
 * @ret_result: (nullable)
 *
 * Returns: TRUE when everything is on stable storage. Errors: VMM_ERROR_CANCELLED; I/O errors name the
 * image and the place. The target then holds a part. Thread: any; blocks.
 */
gboolean alcove_disk_copy (BlockImage *from,
                           BlockImage *to,
                           const AlcoveDiskCopyOptions *options,
                           const BlockProgress *progress,
                           AlcoveDiskCopyResult *ret_result,
                           GError **error);

/* TRUE when all bytes are zero. */
gboolean alcove_disk_is_zero (const void *buffer, gsize length);
