/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where the bytes of an image lie: a host file, a block device, an NBD export, or memory (tests).
 * Synchronous and positional; image formats do all their metadata I/O through it, so that tests can
 * record, cut, reorder and fail every call.
 *
 * Owner: who opened it (an image takes its file over). Threads: every function on any thread, also
 * at once; close when nothing is under way. Offsets and lengths are bytes, of any alignment (a file
 * opened for O_DIRECT aligns by itself). Results are 0 or -errno; short transfers are completed
 * inside. */
#pragma once
#include <sys/uio.h>
#include "vmm/error.h"

typedef struct _BlockFile BlockFile;

typedef enum
{
  BLOCK_FILE_ZERO_NONE = 0,
  BLOCK_FILE_ZERO_UNMAP = 1 << 0,       /* space may be given back */
  BLOCK_FILE_ZERO_NO_FALLBACK = 1 << 1, /* -ENOTSUP rather than writing zeroes by hand */
} BlockFileZeroFlags;

typedef struct
{
  const char *name; /* "file", "nbd", "memory" */
  /* Exactly the iovecs' bytes. Past the end of the file reads give zeroes. */
  int (*readv) (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov);
  /* Makes the file longer where needed (block devices: -ENOSPC). */
  int (*writev) (BlockFile *file, guint64 offset, const struct iovec *iov, guint n_iov);
  /* All writes that were done before are on stable storage (fdatasync). */
  int (*flush) (BlockFile *file);
  int (*truncate) (BlockFile *file, guint64 size);
  int (*zero) (BlockFile *file, guint64 offset, guint64 length, BlockFileZeroFlags flags);
  /* A hint: the bytes are not needed; what reads give then is not said. 0 also when not possible. */
  int (*discard) (BlockFile *file, guint64 offset, guint64 length);
  /* Bytes, or -errno. Asked anew each time. */
  gint64 (*get_size) (BlockFile *file);
  /* Bytes really taken on the host, or -errno. */
  gint64 (*get_allocated) (BlockFile *file);
  /* From offset (below the size): how many bytes are data (*ret_data TRUE) or a hole that reads as
   * zeroes; *ret_length > 0, at most length. Files that cannot tell say data. */
  int (*map) (
      BlockFile *file, guint64 offset, guint64 length, guint64 *ret_length, gboolean *ret_data);
  /* A host descriptor for asynchronous I/O at the same offsets; -1 when there is none. */
  int (*get_fd) (BlockFile *file);
  void (*close) (BlockFile *file);
} BlockFileOps;

struct _BlockFile
{
  const BlockFileOps *ops;
  char *name; /* for messages: the path or URI */
  gboolean readonly;
  guint32 request_align; /* bytes; what descriptor I/O must be aligned to (O_DIRECT), else 1 */
  guint32 memory_align;  /* bytes; the same of buffers */
};

typedef enum
{
  BLOCK_LOCK_NONE,      /* tools that look without trust (info --unsafe) */
  BLOCK_LOCK_SHARED,    /* others may read; a writer is refused (backing files, read-only disks) */
  BLOCK_LOCK_EXCLUSIVE, /* we write; other writers and consistent readers are refused */
} BlockLock;

typedef struct
{
  gboolean readonly;
  gboolean direct; /* O_DIRECT */
  gboolean create; /* a new, empty file; an existing one is an error */
  gboolean draft;  /* nobody relies on it yet: flushes do nothing, and who gives it its name makes
                      all of it durable first (fsync by a descriptor opened before the writes) */
  BlockLock lock;
} BlockFileFlags;

/* A host file or block device. The lock is taken with the byte ranges that QEMU uses (OFD locks), so
 * that its tools and we refuse each other's images in use. Errors: BUSY names who holds it (program
 * and pid where /proc tells); NOT_FOUND, PERMISSION and others name file, cause, remedy. */
BlockFile *block_file_open (const char *path, const BlockFileFlags *flags, GError **error);
/* Between SHARED and EXCLUSIVE without letting go. */
gboolean block_file_change_lock (BlockFile *file, BlockLock lock, GError **error);
/* nbd://host:port/export, nbd+unix:///export?socket=PATH (libnbd). NOT_SUPPORTED when it was built
 * without. */
gboolean block_path_is_nbd (const char *path);
BlockFile *block_file_open_nbd (const char *uri, const BlockFileFlags *flags, GError **error);
/* In memory, size bytes of zeroes at first: tests and fuzzing. */
BlockFile *block_file_new_memory (const char *name, guint64 size);

/* Conveniences over ops. */
int block_file_read (BlockFile *file, guint64 offset, void *buffer, gsize length);
int block_file_write (BlockFile *file, guint64 offset, const void *buffer, gsize length);
static inline void
block_file_close (BlockFile *file)
{
  if (file != NULL)
    file->ops->close (file);
}
