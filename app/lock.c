/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "app/error.h"
#include "app/files.h"

struct _AlcoveLock
{
  int fd;
  struct flock range; /* what is locked */
};

/* Reads "PID WHAT\n". Both are for messages only: a stale or foreign file does no harm. */
static guint
read_holder (int fd, char what[64])
{
  char text[128];
  ssize_t n = pread (fd, text, sizeof text - 1, 0);
  guint pid = 0;

  what[0] = '\0';
  if (n <= 0)
    return 0;
  text[n] = '\0';
  if (sscanf (text, "%u %63[a-z ]", &pid, what) < 1)
    return 0;
  return pid;
}

/* Two locks in one file: the machine's is on all bytes below this one, which is the definition's. */
#define DEFINITION_BYTE (G_GINT64_CONSTANT (1) << 62)

static struct flock
machine_range (short type)
{
  struct flock lock = { .l_type = type,
                        .l_whence = SEEK_SET,
                        .l_len = DEFINITION_BYTE }; /* l_pid 0 */

  return lock;
}

static struct flock
definition_range (short type)
{
  struct flock lock = {
    .l_type = type, .l_whence = SEEK_SET, .l_start = DEFINITION_BYTE, .l_len = 1
  };

  return lock;
}

static int
open_file (const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "lock", NULL);
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

  if (fd < 0)
    (void)alcove_files_set_error (error, errno, path, "cannot be opened for locking");
  return fd;
}

static AlcoveLock *
lock_new (int fd, const struct flock *range)
{
  AlcoveLock *lock = g_new0 (AlcoveLock, 1);

  lock->fd = fd;
  lock->range = *range;
  return lock;
}

AlcoveLock *
alcove_lock_acquire (const char *folder, const char *what, GError **error)
{
  g_autofree char *path = g_build_filename (folder, "lock", NULL);
  g_autofree char *text = NULL;
  struct flock range = machine_range (F_WRLCK);
  int fd = open_file (folder, error);

  if (fd < 0)
    return NULL;
  if (fcntl (fd, F_OFD_SETLK, &range) < 0)
    {
      int saved = errno;
      char doing[64];
      guint pid = read_holder (fd, doing);

      close (fd);
      if (saved == EAGAIN || saved == EACCES)
        {
          if (pid != 0)
            g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                         "The machine in %s is in use: process %u %s", folder, pid,
                         *doing != '\0' ? doing : "holds it");
          else
            g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                         "The machine in %s is in use by another process", folder);
        }
      else
        g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved),
                     "The file %s cannot be locked: %s", path, g_strerror (saved));
      return NULL;
    }
  text = g_strdup_printf ("%u %s\n", (guint)getpid (), what);
  if (ftruncate (fd, 0) < 0 || pwrite (fd, text, strlen (text), 0) < 0)
    {
      (void)alcove_files_set_error (error, errno, path, "cannot be locked");
      close (fd);
      return NULL;
    }
  return lock_new (fd, &range);
}

AlcoveLock *
alcove_lock_acquire_definition (const char *folder, GError **error)
{
  struct flock range = definition_range (F_WRLCK);
  int fd = open_file (folder, error);

  if (fd < 0)
    return NULL;
  if (fcntl (fd, F_OFD_SETLK, &range) < 0)
    {
      int saved = errno;

      close (fd);
      if (saved == EAGAIN || saved == EACCES)
        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                     "Something else changes the machine in %s just now: try again when that is "
                     "done",
                     folder);
      else
        g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved),
                     "The definition in %s cannot be locked: %s", folder, g_strerror (saved));
      return NULL;
    }
  return lock_new (fd, &range);
}

void
alcove_lock_release (AlcoveLock *lock)
{
  if (lock == NULL)
    return;
  /* Explicitly: a child that inherited the fd between fork and exec would keep it for a moment. */
  if (lock->fd >= 0)
    {
      lock->range.l_type = F_UNLCK;
      (void)fcntl (lock->fd, F_OFD_SETLK, &lock->range);
      close (lock->fd);
    }
  g_free (lock);
}

static gboolean
look (const char *folder, guint *ret_pid, char doing[64])
{
  g_autofree char *path = g_build_filename (folder, "lock", NULL);
  struct flock range = machine_range (F_WRLCK);
  gboolean held;
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  *ret_pid = 0;
  doing[0] = '\0';
  if (fd < 0)
    return FALSE;
  held = fcntl (fd, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
  if (held)
    *ret_pid = read_holder (fd, doing);
  close (fd);
  return held;
}

gboolean
alcove_lock_is_held (const char *folder, guint *ret_pid)
{
  char doing[64];
  guint pid;
  gboolean held = look (folder, &pid, doing);

  if (ret_pid != NULL)
    *ret_pid = pid;
  return held;
}

guint
alcove_lock_get_runner (const char *folder)
{
  char doing[64];
  guint pid;

  return look (folder, &pid, doing) && strcmp (doing, ALCOVE_LOCK_RUNS) == 0 ? pid : 0;
}
