/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

typedef enum
{
  CALL_READ = 1 << 0,
  CALL_WRITE = 1 << 1,
  CALL_NAME = 1 << 2, /* takes space: a new name, a longer file */
  CALL_SYNC = 1 << 3,
} Call;

static struct
{
  FaultKind kind;
  guint at;
  dev_t device;
  gint count, failed;
} fault;

void
fault_set (FaultKind kind, guint at, const char *folder)
{
  struct stat st;

  fault.kind = FAULT_NOTHING;
  g_assert (stat (folder, &st) == 0);
  fault.device = st.st_dev;
  fault.at = at;
  g_atomic_int_set (&fault.count, 0);
  g_atomic_int_set (&fault.failed, 0);
  fault.kind = kind;
}

guint
fault_get_count (void)
{
  return (guint)g_atomic_int_get (&fault.count);
}

guint
fault_get_failed (void)
{
  return (guint)g_atomic_int_get (&fault.failed);
}

static Call
get_calls (FaultKind kind)
{
  switch (kind)
    {
    case FAULT_NO_SPACE:
    case FAULT_FULL:
      return CALL_WRITE | CALL_NAME;
    case FAULT_IO:
    case FAULT_IO_STAYS:
      return CALL_READ | CALL_WRITE | CALL_NAME | CALL_SYNC;
    case FAULT_SHORT:
    case FAULT_SHORT_ALWAYS:
      return CALL_READ | CALL_WRITE;
    case FAULT_NOTHING:
    default:
      return 0;
    }
}

/* Whether this call is the one. *ret_number: which of the failing ones. */
static gboolean
is_due (Call call, guint *ret_number)
{
  gboolean stays =
      fault.kind == FAULT_FULL || fault.kind == FAULT_IO_STAYS || fault.kind == FAULT_SHORT_ALWAYS;
  guint number;

  if ((get_calls (fault.kind) & call) == 0)
    return FALSE;
  number = (guint)g_atomic_int_add (&fault.count, 1) + 1;
  if (number < fault.at || (number > fault.at && !stays))
    return FALSE;
  *ret_number = number - fault.at;
  g_atomic_int_inc (&fault.failed);
  return TRUE;
}

static gboolean
is_ours (int fd)
{
  struct stat st;

  return fault.kind != FAULT_NOTHING && fstat (fd, &st) == 0 && st.st_dev == fault.device &&
         (S_ISREG (st.st_mode) || S_ISDIR (st.st_mode));
}

/* Bytes to let through of a transfer; -1 with errno: it fails. */
static ssize_t
allow (int fd, Call call, gsize length)
{
  guint number;

  if (length == 0 || !is_ours (fd) || !is_due (call, &number))
    return (ssize_t)length;
  if (fault.kind == FAULT_SHORT || fault.kind == FAULT_SHORT_ALWAYS ||
      (fault.kind == FAULT_FULL && number == 0 && length > 1))
    return (ssize_t)MAX (length / 2, 1);
  errno = fault.kind == FAULT_IO || fault.kind == FAULT_IO_STAYS ? EIO : ENOSPC;
  return -1;
}

/* TRUE: it fails. */
static gboolean
fail_call (Call call)
{
  guint number;

  if (!is_due (call, &number))
    return FALSE;
  errno = fault.kind == FAULT_IO || fault.kind == FAULT_IO_STAYS ? EIO : ENOSPC;
  return TRUE;
}

static gboolean
fail_path (const char *path)
{
  g_autofree char *folder = NULL;
  struct stat st;

  if (fault.kind == FAULT_NOTHING)
    return FALSE;
  folder = g_path_get_dirname (path);
  return stat (folder, &st) == 0 && st.st_dev == fault.device && fail_call (CALL_NAME);
}

#define EXPORT __attribute__ ((visibility ("default")))

EXPORT ssize_t
read (int fd, void *data, size_t length)
{
  ssize_t n = allow (fd, CALL_READ, length);

  return n < 0 ? -1 : (ssize_t)syscall (SYS_read, fd, data, n);
}

EXPORT ssize_t
write (int fd, const void *data, size_t length)
{
  ssize_t n = allow (fd, CALL_WRITE, length);

  return n < 0 ? -1 : (ssize_t)syscall (SYS_write, fd, data, n);
}

EXPORT ssize_t
pread (int fd, void *data, size_t length, off_t offset)
{
  ssize_t n = allow (fd, CALL_READ, length);

  return n < 0 ? -1 : (ssize_t)syscall (SYS_pread64, fd, data, n, offset);
}

EXPORT ssize_t
pwrite (int fd, const void *data, size_t length, off_t offset)
{
  ssize_t n = allow (fd, CALL_WRITE, length);

  return n < 0 ? -1 : (ssize_t)syscall (SYS_pwrite64, fd, data, n, offset);
}

static ssize_t
transfer (long number, Call call, int fd, const struct iovec *iov, int n_iov, off_t offset)
{
  gsize length = 0;
  struct iovec part[IOV_MAX];
  ssize_t n;
  int used = 0;

  for (int i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  n = allow (fd, call, length);
  if (n < 0)
    return -1;
  for (gsize left = (gsize)n; left > 0; used++)
    {
      part[used] = iov[used];
      part[used].iov_len = MIN (left, iov[used].iov_len);
      left -= part[used].iov_len;
    }
  return (ssize_t)syscall (number, fd, part, used, offset, 0);
}

EXPORT ssize_t
preadv (int fd, const struct iovec *iov, int n_iov, off_t offset)
{
  return transfer (SYS_preadv, CALL_READ, fd, iov, n_iov, offset);
}

EXPORT ssize_t
pwritev (int fd, const struct iovec *iov, int n_iov, off_t offset)
{
  return transfer (SYS_pwritev, CALL_WRITE, fd, iov, n_iov, offset);
}

EXPORT ssize_t
copy_file_range (int from, off_t *in, int to, off_t *out, size_t length, unsigned flags)
{
  ssize_t n = allow (to, CALL_WRITE, length);

  return n < 0 ? -1 : (ssize_t)syscall (SYS_copy_file_range, from, in, to, out, n, flags);
}

EXPORT int
ftruncate (int fd, off_t length)
{
  return is_ours (fd) && fail_call (CALL_NAME) ? -1 : (int)syscall (SYS_ftruncate, fd, length);
}

EXPORT int
fallocate (int fd, int mode, off_t offset, off_t length)
{
  return is_ours (fd) && fail_call (CALL_NAME)
             ? -1
             : (int)syscall (SYS_fallocate, fd, mode, offset, length);
}

EXPORT int
fsync (int fd)
{
  return is_ours (fd) && fail_call (CALL_SYNC) ? -1 : 0;
}

EXPORT int
fdatasync (int fd)
{
  return is_ours (fd) && fail_call (CALL_SYNC) ? -1 : 0;
}

EXPORT int
open (const char *path, int flags, ...)
{
  mode_t mode = 0;

  if (flags & (O_CREAT | __O_TMPFILE))
    {
      va_list args;

      va_start (args, flags);
      mode = va_arg (args, mode_t);
      va_end (args);
    }
  if ((flags & O_CREAT) != 0 && fail_path (path))
    return -1;
  return (int)syscall (SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int
rename (const char *from, const char *to)
{
  return fail_path (to) ? -1 : (int)syscall (SYS_rename, from, to);
}

EXPORT int
renameat2 (int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
  return fail_path (to) ? -1 : (int)syscall (SYS_renameat2, from_fd, from, to_fd, to, flags);
}

EXPORT int
mkdir (const char *path, mode_t mode)
{
  return fail_path (path) ? -1 : (int)syscall (SYS_mkdir, path, mode);
}
