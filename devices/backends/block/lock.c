/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Locks on image files that QEMU's tools understand (QEMU, block/file-posix.c): of five permissions
 * each has a byte at 100 + its number that says "I use it" and one at 200 + its number that says "I
 * do not share it". All are taken as read locks, so that any number may hold the same byte and a
 * file opened read-only can be locked; who wants a permission then looks whether anybody else has
 * the opposite byte. Both sides lock first and look afterwards, so that of two at once at least one
 * sees the other.
 *
 * The locks are OFD locks: they belong to the open file, not to the process, and end with it. A file
 * system without locks is used without. */
#include "devices/backends/block/file-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define USE_BASE       100
#define UNSHARED_BASE  200
#define N_PERMISSIONS  4
#define MAX_LOCK_LINES 64

enum
{
  CONSISTENT_READ = 1 << 0,
  WRITE = 1 << 1,
  WRITE_UNCHANGED = 1 << 2,
  RESIZE = 1 << 3,
};

typedef struct
{
  guint use, unshared; /* bits */
} Permissions;

static Permissions
get_permissions (BlockLock lock)
{
  switch (lock)
    {
    case BLOCK_LOCK_SHARED:
      return (Permissions){ CONSISTENT_READ, WRITE | RESIZE };
    case BLOCK_LOCK_EXCLUSIVE:
      /* Not sharing CONSISTENT_READ refuses copies of a disk that is being written to, which raw
       * images would otherwise allow. */
      return (Permissions){ CONSISTENT_READ | WRITE | RESIZE, CONSISTENT_READ | WRITE | RESIZE };
    case BLOCK_LOCK_NONE:
      break;
    }
  return (Permissions){ 0, 0 };
}

static int
lock_byte (int fd, int command, short type, off_t byte, struct flock *ret_lock)
{
  struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
  int r;

  do
    r = fcntl (fd, command, &lock);
  while (r < 0 && errno == EINTR);
  if (ret_lock != NULL)
    *ret_lock = lock;
  return r < 0 ? -errno : 0;
}

/* Sets (F_RDLCK) or removes (F_UNLCK) the bytes of the bits. */
static int
apply (int fd, short type, guint bits, off_t base)
{
  for (int i = 0; i < N_PERMISSIONS; i++)
    if (bits & (1u << i))
      {
        int r = lock_byte (fd, F_OFD_SETLK, type, base + i, NULL);

        if (r < 0)
          return r;
      }
  return 0;
}

/* The byte that another open file holds, of those of the bits; 0: none. */
static off_t
find_conflict (int fd, guint bits, off_t base)
{
  for (int i = 0; i < N_PERMISSIONS; i++)
    {
      struct flock found;

      if ((bits & (1u << i)) && lock_byte (fd, F_OFD_GETLK, F_WRLCK, base + i, &found) == 0 &&
          found.l_type != F_UNLCK)
        return base + i;
    }
  return 0;
}

/* ---- who holds it ---- */

/* /proc/PID/fdinfo/FD: "lock:\t1: OFDLCK  ADVISORY  READ -1 08:01:123 101 101". */
static gboolean
fdinfo_covers (const char *pid, const char *fd, off_t byte)
{
  g_autofree char *path = g_strdup_printf ("/proc/%s/fdinfo/%s", pid, fd);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  lines = g_strsplit (text, "\n", MAX_LOCK_LINES);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) words = NULL;
      guint n;

      if (!g_str_has_prefix (lines[i], "lock:"))
        continue;
      g_strdelimit (lines[i], "\t", ' ');
      words = g_strsplit_set (lines[i], " ", -1);
      n = g_strv_length (words);
      /* The last two are first and last byte, or EOF. */
      if (n >= 3 && g_ascii_strtoull (words[n - 2], NULL, 10) <= (guint64)byte &&
          (strcmp (words[n - 1], "EOF") == 0 ||
           g_ascii_strtoull (words[n - 1], NULL, 10) >= (guint64)byte))
        return TRUE;
    }
  return FALSE;
}

static gboolean
process_holds (const char *pid, const struct stat *image, int own_fd, off_t byte)
{
  g_autofree char *path = g_strdup_printf ("/proc/%s/fd", pid);
  gboolean own = strtol (pid, NULL, 10) == getpid ();
  gboolean holds = FALSE;
  DIR *folder = opendir (path);
  struct dirent *entry;

  if (folder == NULL) /* another user's */
    return FALSE;
  while (!holds && (entry = readdir (folder)) != NULL)
    {
      struct stat st;

      if (entry->d_name[0] == '.' || (own && strtol (entry->d_name, NULL, 10) == own_fd) ||
          fstatat (dirfd (folder), entry->d_name, &st, 0) < 0)
        continue;
      holds = st.st_dev == image->st_dev && st.st_ino == image->st_ino &&
              fdinfo_covers (pid, entry->d_name, byte);
    }
  closedir (folder);
  return holds;
}

/* (transfer full) "qemu-img (process 123)", or NULL where it cannot be seen. */
static char *
find_holder (int fd, off_t byte)
{
  DIR *proc = opendir ("/proc");
  struct dirent *entry;
  char *holder = NULL;
  struct stat image;

  if (proc == NULL)
    return NULL;
  if (fstat (fd, &image) == 0)
    while (holder == NULL && (entry = readdir (proc)) != NULL)
      {
        g_autofree char *path = NULL, *name = NULL;

        if (!g_ascii_isdigit (entry->d_name[0]) || !process_holds (entry->d_name, &image, fd, byte))
          continue;
        path = g_strdup_printf ("/proc/%s/comm", entry->d_name);
        if (g_file_get_contents (path, &name, NULL, NULL))
          g_strchomp (name);
        holder = g_strdup_printf (
            "%s (process %s)", name != NULL && *name != '\0' ? name : "a program", entry->d_name);
      }
  closedir (proc);
  return holder;
}

static gboolean
refuse (int fd, const char *path, BlockLock wanted, off_t byte, GError **error)
{
  g_autofree char *holder = find_holder (fd, byte);
  const char *who = holder != NULL ? holder : "another program, perhaps another user's,";
  gboolean writes = byte == USE_BASE + 1 || byte == USE_BASE + 3;

  if (wanted == BLOCK_LOCK_EXCLUSIVE && !writes)
    g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                 "“%s” is in use: %s reads it and does not let it be changed; close that first, or "
                 "mark the disk read-only",
                 path, who);
  else
    g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                 "“%s” is in use: %s writes to it; close that first", path, who);
  return FALSE;
}

gboolean
block_lock_change (int fd, const char *path, BlockLock from, BlockLock to, GError **error)
{
  const Permissions old = get_permissions (from), wanted = get_permissions (to);
  off_t conflict = 0;
  int r = apply (fd, F_RDLCK, wanted.use & ~old.use, USE_BASE);

  if (r == 0)
    r = apply (fd, F_RDLCK, wanted.unshared & ~old.unshared, UNSHARED_BASE);
  /* NFS without a lock service, FUSE without locks: what cannot be had cannot be refused either. */
  if (r == -ENOLCK || r == -EOPNOTSUPP || r == -ENOSYS || r == -EINVAL)
    return TRUE;
  if (r == 0)
    {
      /* A writer is what to tell of first. */
      conflict = find_conflict (fd, wanted.unshared & (WRITE | RESIZE), USE_BASE);
      if (conflict == 0)
        conflict = find_conflict (fd, wanted.use, UNSHARED_BASE);
      if (conflict == 0)
        conflict = find_conflict (fd, wanted.unshared, USE_BASE);
    }
  if (r == 0 && conflict == 0)
    {
      (void)apply (fd, F_UNLCK, old.use & ~wanted.use, USE_BASE);
      (void)apply (fd, F_UNLCK, old.unshared & ~wanted.unshared, UNSHARED_BASE);
      return TRUE;
    }
  if (conflict != 0)
    (void)refuse (fd, path, to, conflict, error);
  (void)apply (fd, F_UNLCK, wanted.use & ~old.use, USE_BASE);
  (void)apply (fd, F_UNLCK, wanted.unshared & ~old.unshared, UNSHARED_BASE);
  if (conflict != 0)
    return FALSE;
  if (r == -EAGAIN || r == -EACCES)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "“%s” is locked whole by another program; close that first", path);
      return FALSE;
    }
  return vmm_error_set_errno (error, r, "Cannot lock “%s”", path);
}
