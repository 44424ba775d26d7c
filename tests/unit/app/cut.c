/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cut.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static CutKind cut_kind;
static guint cut_at, cut_count;

void
cut_set (CutKind kind, guint at)
{
  cut_kind = kind;
  cut_at = at;
  cut_count = 0;
}

guint
cut_get_count (void)
{
  return cut_count;
}

/* TRUE: the call is to fail. */
static gboolean
cut (void)
{
  cut_count++;
  if (cut_kind == CUT_NOTHING || cut_count != cut_at)
    return FALSE;
  if (cut_kind == CUT_KILL)
    {
      kill (getpid (), SIGKILL);
      for (;;)
        pause ();
    }
  errno = ENOSPC;
  return TRUE;
}

#define EXPORT __attribute__ ((visibility ("default")))

EXPORT int
rename (const char *from, const char *to)
{
  return cut () ? -1 : (int)syscall (SYS_rename, from, to);
}

EXPORT int
renameat2 (int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
  return cut () ? -1 : (int)syscall (SYS_renameat2, from_fd, from, to_fd, to, flags);
}

EXPORT int
mkdir (const char *path, mode_t mode)
{
  return cut () ? -1 : (int)syscall (SYS_mkdir, path, mode);
}

EXPORT int
link (const char *from, const char *to)
{
  return cut () ? -1 : (int)syscall (SYS_link, from, to);
}

/* Removing never fails for want of space. */
EXPORT int
unlink (const char *path)
{
  if (cut_kind == CUT_KILL)
    (void)cut ();
  return (int)syscall (SYS_unlink, path);
}

EXPORT int
remove (const char *path)
{
  struct stat st;

  if (cut_kind == CUT_KILL)
    (void)cut ();
  if (lstat (path, &st) == 0 && S_ISDIR (st.st_mode))
    return (int)syscall (SYS_rmdir, path);
  return (int)syscall (SYS_unlink, path);
}

EXPORT ssize_t
write (int fd, const void *data, size_t length)
{
  return cut () ? -1 : (ssize_t)syscall (SYS_write, fd, data, length);
}

/* Nothing to sync: the tests end the process, not the power. */
EXPORT int
fsync (int fd)
{
  return cut () ? -1 : 0;
}

EXPORT int
fdatasync (int fd)
{
  return cut () ? -1 : 0;
}

EXPORT ssize_t
pwritev (int fd, const struct iovec *iov, int n_iov, off_t offset)
{
  return cut () ? -1 : (ssize_t)syscall (SYS_pwritev, fd, iov, n_iov, offset, 0);
}

EXPORT ssize_t
pwrite (int fd, const void *data, size_t length, off_t offset)
{
  return cut () ? -1 : (ssize_t)syscall (SYS_pwrite64, fd, data, length, offset);
}
