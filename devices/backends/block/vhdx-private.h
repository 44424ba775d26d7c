/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VHDX, inside of this folder: the log is read apart. */
#pragma once
#include "devices/backends/block/foreign-private.h"

#define VHDX_FORMAT "VHDX"

/**
 * vhdx_log_replay:
 * @file: (transfer full): the image, also on error
 * @offset, @length: the log's place, bytes
 * @guid: 16 bytes: entries of another log are old
 *
 * Returns: (transfer full): a read-only file with the image's bytes as they are after the log's
 * changes; the image itself is not written. Errors: the log is damaged, with the remedy.
 */
BlockFile *vhdx_log_replay (
    BlockFile *file, guint64 offset, guint64 length, const guint8 guid[16], GError **error);
