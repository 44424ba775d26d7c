/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How much memory a process may lock. Thread: any. */
#pragma once
#include <glib.h>

/**
 * helper_raise_memlock:
 * @pid: a process of this user: all of its user ids are @uid
 * @vmm_path: the program that it must run
 * @bytes: the limit wanted, at most the memory that the computer has
 *
 * Raises the soft and the hard limit, never lowers them. The process is held by a descriptor while it
 * is looked at, so that a number that is given to another process meanwhile raises nothing.
 *
 * Errors: INVALID (bytes), NOT_FOUND (no such process), PERMISSION (it is another user's, or another
 * program), FAILED.
 */
gboolean helper_raise_memlock (guint32 pid,
                               guint32 uid,
                               const char *vmm_path,
                               guint64 bytes,
                               guint64 *ret_limit,
                               GError **error);
