/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Arithmetic of iovecs, for files and formats. */
#pragma once
#include <glib.h>
#include <sys/uio.h>

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
