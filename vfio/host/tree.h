/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The host's files as everything in vfio reads them: /sys, /proc, /dev and /etc below one root
 * folder, which is "/" or, for tests, a faked tree. Paths are absolute within the tree ("/sys/…");
 * links are resolved inside it by the kernel (openat2, RESOLVE_IN_ROOT), so that nothing in a faked
 * tree can lead out of it. What is read is bounded, and no file is trusted to be what it is named.
 *
 * Life cycle: open, any reads, free. Nothing is cached. Thread: any, one at a time. */
#pragma once
#include <glib.h>
#include "vfio/host/address.h"

typedef struct _VfioTree VfioTree;

#define VFIO_TREE_READ_MAX (16 * 1024 * 1024)
#define VFIO_TREE_LIST_MAX 65536

/**
 * vfio_tree_open:
 * @root: a folder; "/" is this machine
 *
 * Returns: (transfer full) (nullable): NULL when the folder cannot be opened.
 */
VfioTree *vfio_tree_open (const char *root, GError **error);
/* What the environment's ALCOVE_HOST_ROOT names (for tests and demonstrations), or "/". */
VfioTree *vfio_tree_open_host (GError **error);
void vfio_tree_free (VfioTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioTree, vfio_tree_free)
/* Is it this machine, and not a faked tree? */
gboolean vfio_tree_is_live (VfioTree *tree);
const char *vfio_tree_get_root (VfioTree *tree);

/**
 * vfio_tree_open_fd:
 * @flags: of open(2); O_CLOEXEC is added
 *
 * Returns: a descriptor, or -errno.
 */
int vfio_tree_open_fd (VfioTree *tree, const char *path, int flags);
gboolean vfio_tree_exists (VfioTree *tree, const char *path);

/**
 * vfio_tree_read_bytes:
 * @max: bytes read at most, ≤ VFIO_TREE_READ_MAX; what is longer is cut
 *
 * Only regular files are read (sysfs attributes are some), never a device, pipe or folder.
 *
 * Returns: (transfer full) (nullable): with a zero byte behind it that *ret_size does not count.
 *   NULL with -errno in *ret_size when it cannot be read.
 */
guint8 *vfio_tree_read_bytes (VfioTree *tree, const char *path, gsize max, gssize *ret_size);
/* The first line without white space at its ends, made valid UTF-8, at most 4095 bytes.
 * (transfer full) (nullable): NULL when it cannot be read. */
char *vfio_tree_read_line (VfioTree *tree, const char *path);
/* All of it, up to max bytes, made valid UTF-8, zero bytes as spaces. (transfer full) (nullable) */
char *vfio_tree_read_text (VfioTree *tree, const char *path, gsize max);
/* A line that is one number, decimal or 0x…, and nothing else. FALSE: *ret is untouched. */
gboolean vfio_tree_read_number (VfioTree *tree, const char *path, guint64 *ret);
/* The same signed: numa_node is -1 where there is none. */
gboolean vfio_tree_read_signed (VfioTree *tree, const char *path, gint64 *ret);

/* The names in a folder, without "." and "..", sorted, at most VFIO_TREE_LIST_MAX.
 * (transfer full) (nullable): NULL when there is no such folder. */
char **vfio_tree_list (VfioTree *tree, const char *path);
/* The text of a link. (transfer full) (nullable) */
char *vfio_tree_read_link (VfioTree *tree, const char *path);
/* The last name in it: the driver of …/driver. (transfer full) (nullable) */
char *vfio_tree_read_link_name (VfioTree *tree, const char *path);
/* Where a path leads when all its links are followed, within the tree: "/sys/devices/…".
 * (transfer full) (nullable): NULL when it leads nowhere. */
char *vfio_tree_resolve (VfioTree *tree, const char *path);

/**
 * vfio_tree_write:
 * @value: written by one write(2); the kernel takes an attribute whole. "\n" clears driver_override
 *
 * The file must exist.
 *
 * Returns: 0, or -errno (what the kernel's attribute answered).
 */
int vfio_tree_write (VfioTree *tree, const char *path, const char *value);
