/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Files and folders that must survive a power cut: written whole or not at all, on stable storage
 * when a function returns TRUE. Errors are G_FILE_ERROR (NOSPC for a full disk) and name the path.
 * Thread: any. */
#pragma once
#include <gio/gio.h>

/* "PATH WHAT: strerror", and for a full disk what to do about it. Always returns FALSE. */
gboolean
alcove_files_set_error (GError **error, int positive_errno, const char *path, const char *what);

/* A file with these contents, mode 0600, by a new file and a rename. */
gboolean alcove_files_write (const char *path, const void *contents, gsize length, GError **error);
/* (transfer full): NUL-terminated. A file of more than max bytes is refused. */
char *alcove_files_read (const char *path, gsize max, gsize *ret_length, GError **error);
/* A regular file to a new one (an existing one is an error); holes stay holes, and blocks are shared
 * where the file system can. */
gboolean
alcove_files_copy (const char *from, const char *to, GCancellable *cancellable, GError **error);
/* A second name for the file where the file system has hard links, else a copy. For files that are
 * never written again. */
gboolean alcove_files_link (const char *from, const char *to, GError **error);
/* A folder of regular files and folders, at most depth 8; anything else in it is an error. */
gboolean alcove_files_copy_tree (const char *from, const char *to, GError **error);
/* The same with files linked (alcove_files_link). */
gboolean alcove_files_link_tree (const char *from, const char *to, GError **error);
gboolean alcove_files_make_folder (const char *path, GError **error); /* there already: fine */
gboolean alcove_files_sync_folder (const char *path, GError **error);
/* Both in the same folder, which is synced. Something at to is an error unless replace, which is
 * for files. */
gboolean alcove_files_rename (const char *from, const char *to, gboolean replace, GError **error);
/* A missing file is fine. */
gboolean alcove_files_remove (const char *path, GError **error);
/* Removes a folder and all in it; a missing one is fine. Follows no symbolic links. */
gboolean alcove_files_remove_tree (const char *path, GError **error);
/* Bytes that a file or a folder's files take on the host. */
guint64 alcove_files_get_allocated (const char *path);
