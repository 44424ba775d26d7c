/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the kinds of BlockFile share: iovec arithmetic and the lock of a host file. */
#pragma once
#include "devices/backends/block/file.h"
#include "devices/backends/block/iov.h"

/* Takes the lock beside what is held of it (from), letting go of what is no longer wanted only when
 * it has the new one. path is for the message. Thread: any, one at a time for a descriptor. */
gboolean block_lock_change (int fd, const char *path, BlockLock from, BlockLock to, GError **error);
