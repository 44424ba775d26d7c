/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/helper/memlock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/error.h"

#define STATUS_MAX 4096

/* Has the process that the descriptor stands for not ended? Its number is nobody else's then. No
 * signal is sent for this: that would take CAP_KILL, which the helper has not. pidfd_open(2). */
static gboolean
is_alive (int pidfd)
{
  struct pollfd fd = { .fd = pidfd, .events = POLLIN };

  return poll (&fd, 1, 0) == 0;
}

/* All four ids: a process between two users is nobody's. */
static gboolean
has_uid (int folder, guint32 uid)
{
  char text[STATUS_MAX + 1];
  const char *line;
  guint ids[4];
  ssize_t n;
  int fd = openat (folder, "status", O_RDONLY | O_CLOEXEC);

  if (fd < 0)
    return FALSE;
  n = read (fd, text, STATUS_MAX);
  close (fd);
  if (n <= 0)
    return FALSE;
  text[n] = 0;
  /* The name comes before it, and the kernel writes no newline of a name as one. */
  line = strstr (text, "\nUid:");
  if (line == NULL || sscanf (line, "\nUid: %u %u %u %u", &ids[0], &ids[1], &ids[2], &ids[3]) != 4)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    if (ids[i] != uid)
      return FALSE;
  return TRUE;
}

static gboolean
runs (int folder, const char *program)
{
  struct stat wanted, now;

  return stat (program, &wanted) == 0 && fstatat (folder, "exe", &now, 0) == 0 &&
         S_ISREG (wanted.st_mode) && wanted.st_dev == now.st_dev && wanted.st_ino == now.st_ino;
}

static gboolean
check_process (int pidfd, guint32 pid, guint32 uid, const char *vmm_path, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%u", pid);
  int folder = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  gboolean ours, right;

  if (folder < 0)
    return vmm_error_set_errno (error, -errno, "The process %u cannot be looked at", pid);
  ours = has_uid (folder, uid);
  right = runs (folder, vmm_path);
  close (folder);
  if (!is_alive (pidfd))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "The process %u has ended", pid);
      return FALSE;
    }
  if (!ours || !right)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                   "The process %u is not your machine: only an alcove-vmm of your own may lock "
                   "more memory",
                   pid);
      return FALSE;
    }
  return TRUE;
}

static gboolean
set_limit (int pidfd, guint32 pid, guint64 bytes, guint64 *ret_limit, GError **error)
{
  struct rlimit old, limit;

  if (prlimit ((pid_t)pid, RLIMIT_MEMLOCK, NULL, &old) < 0)
    return vmm_error_set_errno (error, -errno, "The limit of process %u cannot be read", pid);
  limit = old;
  if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < bytes)
    limit.rlim_cur = bytes;
  if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < limit.rlim_cur)
    limit.rlim_max = limit.rlim_cur;
  if (prlimit ((pid_t)pid, RLIMIT_MEMLOCK, &limit, NULL) < 0)
    return vmm_error_set_errno (error, -errno, "The limit of process %u cannot be raised", pid);
  if (!is_alive (pidfd))
    {
      /* It ended between the look and the call: if another has its number now, it keeps its limit. */
      prlimit ((pid_t)pid, RLIMIT_MEMLOCK, &old, NULL);
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "The process %u has ended", pid);
      return FALSE;
    }
  *ret_limit = limit.rlim_cur == RLIM_INFINITY ? G_MAXUINT64 : limit.rlim_cur;
  return TRUE;
}

gboolean
helper_raise_memlock (guint32 pid,
                      guint32 uid,
                      const char *vmm_path,
                      guint64 bytes,
                      guint64 *ret_limit,
                      GError **error)
{
  guint64 memory = (guint64)sysconf (_SC_PHYS_PAGES) * (guint64)sysconf (_SC_PAGESIZE);
  gboolean ok;
  int pidfd;

  if (bytes == 0 || bytes > memory)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%" G_GUINT64_FORMAT " MiB cannot be locked: the computer has %" G_GUINT64_FORMAT
                   " MiB of memory. Give the machine less",
                   bytes >> 20, memory >> 20);
      return FALSE;
    }
  if (pid < 2 || pid > G_MAXINT32)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "%u is not a machine's process", pid);
      return FALSE;
    }
  pidfd = (int)syscall (SYS_pidfd_open, (pid_t)pid, 0);
  if (pidfd < 0 && errno == ESRCH)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "There is no process %u", pid);
      return FALSE;
    }
  if (pidfd < 0)
    return vmm_error_set_errno (error, -errno, "The process %u cannot be opened", pid);
  ok = check_process (pidfd, pid, uid, vmm_path, error) &&
       set_limit (pidfd, pid, bytes, ret_limit, error);
  close (pidfd);
  return ok;
}
