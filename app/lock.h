/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One writer a machine folder: alcove-vmm holds the lock for its life; whoever changes or moves the
 * folder takes it for as long as that lasts.
 *
 * An open file description lock (fcntl(2), F_OFD_SETLK) on the file "lock" in the folder: it goes
 * away with the last copy of the fd, however the process ends, and NFS and FUSE have it too. The
 * holder writes its process id and a word into the file, for the message of the one that comes
 * second. The file stays. Thread: any, one at a time. */
#pragma once
#include <gio/gio.h>

typedef struct _AlcoveLock AlcoveLock;

#define ALCOVE_LOCK_RUNS "runs it" /* what alcove-vmm writes */

/**
 * alcove_lock_acquire:
 * @folder: a machine's folder
 * @what: what the holder does, as "runs it": the second comer reads "process 123 runs it"
 *
 * Never waits. Returns: (transfer full): the lock. Errors: ALCOVE_ERROR_BUSY names who holds it;
 * G_FILE_ERROR.
 */
AlcoveLock *alcove_lock_acquire (const char *folder, const char *what, GError **error);
/**
 * alcove_lock_acquire_definition:
 *
 * The lock of a machine's definition, for as long as an edit of it lasts (definition-edit.h), beside the
 * machine's own, which alcove-vmm has while it runs. Never waits. Errors: ALCOVE_ERROR_BUSY;
 * G_FILE_ERROR.
 */
AlcoveLock *alcove_lock_acquire_definition (const char *folder, GError **error);
/* NULL is fine. */
void alcove_lock_release (AlcoveLock *lock);
/* ret_pid: (nullable): 0 when the holder did not say. */
gboolean alcove_lock_is_held (const char *folder, guint *ret_pid);
/* The process that runs the machine in folder, 0 when none does (whoever else holds the lock). */
guint alcove_lock_get_runner (const char *folder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveLock, alcove_lock_release)
