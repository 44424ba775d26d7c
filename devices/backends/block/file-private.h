/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kinds of BlockFile share: iovec arithmetic and the lock of a host file. */
#pragma once
#include "devices/backends/block/file.h"

/* Bytes in all. FALSE: more than G_MAXINT64. */
gboolean block_iov_length (const struct iovec *iov, guint n_iov, guint64 *ret_length);
/* Copies length bytes that begin skip bytes into the iovecs, to a buffer or from it; buffer NULL
 * with to_iov: zeroes. */
void block_iov_copy (const struct iovec *iov,
                     guint n_iov,
                     guint64 skip,
                     void *buffer,
                     gsize length,
                     gboolean to_iov);
/* (transfer full) the part [skip, skip + length) of the iovecs, for g_free. */
struct iovec *
block_iov_slice (const struct iovec *iov, guint n_iov, guint64 skip, guint64 length, guint *ret_n);

/* Takes the lock beside what is held of it (from), letting go of what is no longer wanted only when
 * it has the new one. path is for the message. Thread: any, one at a time for a descriptor. */
gboolean block_lock_change (int fd, const char *path, BlockLock from, BlockLock to, GError **error);
