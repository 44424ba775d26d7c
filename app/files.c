/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/paths.h"

#define DEPTH_MAX  8
#define COPY_CHUNK (4 << 20)

gboolean
alcove_files_set_error (GError **error, int positive_errno, const char *path, const char *what)
{
  g_autofree char *valid = g_utf8_make_valid (path, -1); /* file names can be any bytes */
  const char *remedy = "";

  if (positive_errno == ENOSPC || positive_errno == EDQUOT)
    remedy = ". Free some space there and try again";
  else if (positive_errno == EROFS)
    remedy = ". Make the file system writable";
  else if (positive_errno == EIO)
    remedy = ". The storage may be failing: the kernel's log says more";
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (positive_errno), "%s %s: %s%s", valid,
               what, g_strerror (positive_errno), remedy);
  return FALSE;
}

static int
write_all (int fd, const char *data, gsize length)
{
  while (length > 0)
    {
      ssize_t n = write (fd, data, length);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return n < 0 ? errno : EIO;
      data += n;
      length -= (gsize)n;
    }
  return 0;
}

gboolean
alcove_files_sync_folder (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int saved = 0;

  /* Some network and FUSE file systems cannot sync a folder: they say EINVAL. */
  if (fd < 0 || (fsync (fd) < 0 && errno != EINVAL))
    saved = errno;
  if (fd >= 0)
    close (fd);
  return saved == 0 || alcove_files_set_error (error, saved, path, "cannot be synced");
}

static gboolean
sync_parent (const char *path, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);

  return alcove_files_sync_folder (folder, error);
}

gboolean
alcove_files_write (const char *path, const void *contents, gsize length, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *temporary = g_strdup_printf ("%s/.%s.part", folder, base);
  int fd = open (temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  int saved = 0;

  if (fd < 0)
    return alcove_files_set_error (error, errno, path, "cannot be written");
  saved = write_all (fd, contents, length);
  if (saved == 0 && fsync (fd) < 0)
    saved = errno;
  close (fd);
  if (saved == 0 && rename (temporary, path) < 0)
    saved = errno;
  if (saved != 0)
    {
      (void)unlink (temporary);
      return alcove_files_set_error (error, saved, path, "cannot be written");
    }
  return alcove_files_sync_folder (folder, error);
}

char *
alcove_files_read (const char *path, gsize max, gsize *ret_length, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  g_autofree char *data = NULL;
  struct stat st;
  gsize n = 0;

  if (fd < 0 || fstat (fd, &st) < 0)
    {
      (void)alcove_files_set_error (error, errno, path, "cannot be read");
      if (fd >= 0)
        close (fd);
      return NULL;
    }
  if (!S_ISREG (st.st_mode) || (guint64)st.st_size > max)
    {
      close (fd);
      g_set_error (error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                   "%s is no file of at most %" G_GSIZE_FORMAT " bytes", path, max);
      return NULL;
    }
  data = g_malloc ((gsize)st.st_size + 1);
  while (n < (gsize)st.st_size)
    {
      ssize_t got = read (fd, data + n, (gsize)st.st_size - n);

      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        {
          (void)alcove_files_set_error (error, errno, path, "cannot be read");
          close (fd);
          return NULL;
        }
      if (got == 0)
        break;
      n += (gsize)got;
    }
  close (fd);
  data[n] = '\0';
  if (ret_length != NULL)
    *ret_length = n;
  return g_steal_pointer (&data);
}

/* Returns 0 or an errno; ECANCELED when it was cancelled. */
static int
copy_extents (int from, int to, off_t size, GCancellable *cancellable)
{
  off_t at = 0;

  if (ioctl (to, FICLONE, from) == 0)
    return 0;
  while (at < size)
    {
      off_t data = lseek (from, at, SEEK_DATA), hole;

      if (data < 0 && errno == ENXIO)
        break; /* nothing but a hole from here */
      if (data < 0)
        data = at; /* the file system does not tell */
      hole = lseek (from, data, SEEK_HOLE);
      if (hole <= data)
        hole = size;
      at = data;
      while (at < hole)
        {
          off_t in = at, out = at;
          ssize_t n;

          if (g_cancellable_is_cancelled (cancellable))
            return ECANCELED;
          n = copy_file_range (from, &in, to, &out, MIN ((gsize)(hole - at), (gsize)COPY_CHUNK), 0);
          if (n < 0 && errno == EINTR)
            continue;
          if (n < 0)
            return errno;
          if (n == 0)
            return EIO;
          at += n;
        }
    }
  return ftruncate (to, size) < 0 ? errno : 0;
}

gboolean
alcove_files_copy (const char *from, const char *to, GCancellable *cancellable, GError **error)
{
  int in = open (from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), out = -1, saved = 0;
  struct stat st;

  if (in < 0 || fstat (in, &st) < 0)
    saved = errno;
  else if (!S_ISREG (st.st_mode))
    saved = EINVAL;
  if (saved != 0)
    {
      if (in >= 0)
        close (in);
      return alcove_files_set_error (error, saved, from, "cannot be copied");
    }
  out = open (to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (out < 0)
    {
      saved = errno;
      close (in);
      return alcove_files_set_error (error, saved, to, "cannot be made");
    }
  saved = copy_extents (in, out, st.st_size, cancellable);
  if (saved == 0 && fsync (out) < 0)
    saved = errno;
  close (in);
  close (out);
  if (saved == 0)
    return TRUE;
  (void)unlink (to);
  if (saved == ECANCELED)
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "The copy of %s was cancelled", from);
  else
    (void)alcove_files_set_error (error, saved, to, "cannot be written");
  return FALSE;
}

gboolean
alcove_files_link (const char *from, const char *to, GError **error)
{
  if (link (from, to) == 0)
    return sync_parent (to, error);
  if (errno == EPERM || errno == EXDEV || errno == EMLINK || errno == EOPNOTSUPP)
    return alcove_files_copy (from, to, NULL, error) && sync_parent (to, error);
  return alcove_files_set_error (error, errno, from, "cannot be linked");
}

static gboolean
copy_tree (const char *from, const char *to, gboolean links, guint depth, GError **error)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (depth > DEPTH_MAX)
    return alcove_files_set_error (error, ELOOP, from, "cannot be copied");
  dir = g_dir_open (from, 0, error);
  if (dir == NULL || !alcove_files_make_folder (to, error))
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *source = g_build_filename (from, name, NULL);
      g_autofree char *target = g_build_filename (to, name, NULL);
      struct stat st;

      if (lstat (source, &st) < 0)
        return alcove_files_set_error (error, errno, source, "cannot be copied");
      if (S_ISDIR (st.st_mode) ? !copy_tree (source, target, links, depth + 1, error)
          : links              ? !alcove_files_link (source, target, error)
                               : !alcove_files_copy (source, target, NULL, error))
        return FALSE;
    }
  return alcove_files_sync_folder (to, error);
}

gboolean
alcove_files_copy_tree (const char *from, const char *to, GError **error)
{
  return copy_tree (from, to, FALSE, 0, error) && sync_parent (to, error);
}

gboolean
alcove_files_link_tree (const char *from, const char *to, GError **error)
{
  return copy_tree (from, to, TRUE, 0, error) && sync_parent (to, error);
}

gboolean
alcove_files_make_folder (const char *path, GError **error)
{
  if (mkdir (path, 0700) < 0)
    return errno == EEXIST || alcove_files_set_error (error, errno, path, "cannot be made");
  return sync_parent (path, error);
}

gboolean
alcove_files_rename (const char *from, const char *to, gboolean replace, GError **error)
{
  int result =
      replace ? rename (from, to) : renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);

  /* FUSE and NFS know no flags; there the folder is ours alone by the machine's lock. */
  if (result < 0 && errno == EINVAL && !replace && access (to, F_OK) < 0)
    result = rename (from, to);
  if (result < 0)
    return alcove_files_set_error (error, errno, to, "cannot be made");
  return sync_parent (to, error);
}

gboolean
alcove_files_remove (const char *path, GError **error)
{
  if (unlink (path) < 0 && errno != ENOENT)
    return alcove_files_set_error (error, errno, path, "cannot be removed");
  return sync_parent (path, error);
}

gboolean
alcove_files_remove_tree (const char *path, GError **error)
{
  struct stat st;

  alcove_paths_remove_tree (path);
  if (lstat (path, &st) == 0)
    return alcove_files_set_error (error, ENOTEMPTY, path, "cannot be removed");
  return sync_parent (path, error);
}

static guint64
get_allocated (const char *path, guint depth)
{
  struct stat st;
  guint64 sum;
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (lstat (path, &st) < 0)
    return 0;
  sum = (guint64)st.st_blocks * 512;
  if (!S_ISDIR (st.st_mode) || depth > DEPTH_MAX || (dir = g_dir_open (path, 0, NULL)) == NULL)
    return sum;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child = g_build_filename (path, name, NULL);

      sum += get_allocated (child, depth + 1);
    }
  return sum;
}

guint64
alcove_files_get_allocated (const char *path)
{
  return get_allocated (path, 0);
}
