/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "vmm/error.h"

/* Each try that loses is lost to somebody's rename at that very moment. */
#define RACES_MAX 10000

struct _VfioTree
{
  char *root; /* canonical */
  int fd;
};

VfioTree *
vfio_tree_open (const char *root, GError **error)
{
  g_autofree char *canonical = NULL;
  VfioTree *tree;
  int fd;

  fd = open (root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    {
      vmm_error_set_errno (error, -errno, "The host's files below %s cannot be read", root);
      return NULL;
    }
  canonical = realpath (root, NULL);
  tree = g_new0 (VfioTree, 1);
  tree->root = g_strdup (canonical != NULL ? canonical : root);
  tree->fd = fd;
  return tree;
}

VfioTree *
vfio_tree_open_host (GError **error)
{
  const char *root = g_getenv ("ALCOVE_HOST_ROOT");

  return vfio_tree_open (root != NULL && *root != '\0' ? root : "/", error);
}

void
vfio_tree_free (VfioTree *tree)
{
  if (tree == NULL)
    return;
  close (tree->fd);
  g_free (tree->root);
  g_free (tree);
}

gboolean
vfio_tree_is_live (VfioTree *tree)
{
  return strcmp (tree->root, "/") == 0;
}

const char *
vfio_tree_get_root (VfioTree *tree)
{
  return tree->root;
}

int
vfio_tree_open_fd (VfioTree *tree, const char *path, int flags)
{
  struct open_how how = { .flags = (guint64)(unsigned)(flags | O_CLOEXEC),
                          .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
  long fd;
  int problem;

  /* The whole host has nothing outside that a link could lead to. Below any other root the kernel
   * answers EAGAIN when it met ".." (every link of sysfs) while something was renamed or mounted
   * anywhere on the host: openat2(2) asks for another try. */
  if (vfio_tree_is_live (tree))
    how.resolve &= ~(guint64)RESOLVE_IN_ROOT;
  for (guint i = 0; i < RACES_MAX; i++)
    {
      fd = syscall (SYS_openat2, tree->fd, path, &how, sizeof how);
      if (fd >= 0)
        return (int)fd;
      problem = errno;
      if (problem != EAGAIN)
        return -problem;
      if (i % 16 == 15)
        g_thread_yield ();
    }
  return -EAGAIN;
}

gboolean
vfio_tree_exists (VfioTree *tree, const char *path)
{
  int fd = vfio_tree_open_fd (tree, path, O_PATH);

  if (fd < 0)
    return FALSE;
  close (fd);
  return TRUE;
}

guint8 *
vfio_tree_read_bytes (VfioTree *tree, const char *path, gsize max, gssize *ret_size)
{
  g_autoptr (GByteArray) data = g_byte_array_new ();
  guint8 chunk[4096];
  struct stat status;
  int fd;

  max = MIN (max, VFIO_TREE_READ_MAX);
  /* O_NONBLOCK: a pipe that somebody put there does not keep us waiting. */
  fd = vfio_tree_open_fd (tree, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    {
      *ret_size = fd;
      return NULL;
    }
  if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode))
    {
      close (fd);
      *ret_size = -EINVAL;
      return NULL;
    }
  while (data->len < max)
    {
      ssize_t n = read (fd, chunk, MIN (sizeof chunk, max - data->len));

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && data->len == 0)
        {
          *ret_size = -errno;
          close (fd);
          return NULL;
        }
      if (n <= 0)
        break;
      g_byte_array_append (data, chunk, (guint)n);
    }
  close (fd);
  *ret_size = (gssize)data->len;
  g_byte_array_append (data, (const guint8 *)"", 1);
  return g_byte_array_free (g_steal_pointer (&data), FALSE);
}

char *
vfio_tree_read_text (VfioTree *tree, const char *path, gsize max)
{
  g_autofree guint8 *data = NULL;
  gssize size;

  data = vfio_tree_read_bytes (tree, path, max, &size);
  if (data == NULL)
    return NULL;
  for (gssize i = 0; i < size; i++)
    if (data[i] == '\0')
      data[i] = ' ';
  return g_utf8_make_valid ((const char *)data, size);
}

char *
vfio_tree_read_line (VfioTree *tree, const char *path)
{
  char *text = vfio_tree_read_text (tree, path, 4095);

  if (text == NULL)
    return NULL;
  text[strcspn (text, "\n")] = '\0';
  return g_strstrip (text);
}

gboolean
vfio_tree_read_number (VfioTree *tree, const char *path, guint64 *ret)
{
  g_autofree char *line = vfio_tree_read_line (tree, path);
  gboolean hex;

  if (line == NULL)
    return FALSE;
  hex = g_str_has_prefix (line, "0x");
  return g_ascii_string_to_unsigned (hex ? line + 2 : line, hex ? 16 : 10, 0, G_MAXUINT64, ret,
                                     NULL);
}

gboolean
vfio_tree_read_signed (VfioTree *tree, const char *path, gint64 *ret)
{
  g_autofree char *line = vfio_tree_read_line (tree, path);

  return line != NULL && g_ascii_string_to_signed (line, 10, G_MININT64, G_MAXINT64, ret, NULL);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

char **
vfio_tree_list (VfioTree *tree, const char *path)
{
  g_autoptr (GPtrArray) names = NULL;
  struct dirent *entry;
  DIR *dir;
  int fd;

  fd = vfio_tree_open_fd (tree, path, O_RDONLY | O_DIRECTORY);
  if (fd < 0)
    return NULL;
  dir = fdopendir (fd);
  if (dir == NULL)
    {
      close (fd);
      return NULL;
    }
  names = g_ptr_array_new_with_free_func (g_free);
  while (names->len < VFIO_TREE_LIST_MAX && (entry = readdir (dir)) != NULL)
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 &&
        g_utf8_validate (entry->d_name, -1, NULL))
      g_ptr_array_add (names, g_strdup (entry->d_name));
  closedir (dir);
  g_ptr_array_sort (names, compare_names);
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

char *
vfio_tree_read_link (VfioTree *tree, const char *path)
{
  char buffer[PATH_MAX];
  ssize_t n;
  int fd;

  fd = vfio_tree_open_fd (tree, path, O_PATH | O_NOFOLLOW);
  if (fd < 0)
    return NULL;
  n = readlinkat (fd, "", buffer, sizeof buffer);
  close (fd);
  if (n <= 0 || (gsize)n >= sizeof buffer)
    return NULL;
  return g_utf8_make_valid (buffer, n);
}

char *
vfio_tree_read_link_name (VfioTree *tree, const char *path)
{
  g_autofree char *link = vfio_tree_read_link (tree, path);
  const char *slash;

  if (link == NULL)
    return NULL;
  slash = strrchr (link, '/');
  if (slash == NULL)
    return g_steal_pointer (&link);
  return slash[1] != '\0' ? g_strdup (slash + 1) : NULL;
}

char *
vfio_tree_resolve (VfioTree *tree, const char *path)
{
  char name[64], buffer[PATH_MAX];
  gsize root_len = strlen (tree->root);
  ssize_t n;
  int fd;

  fd = vfio_tree_open_fd (tree, path, O_PATH);
  if (fd < 0)
    return NULL;
  g_snprintf (name, sizeof name, "/proc/self/fd/%d", fd);
  n = readlink (name, buffer, sizeof buffer - 1);
  close (fd);
  if (n <= 0)
    return NULL;
  buffer[n] = '\0';
  if (root_len == 1) /* "/" */
    return g_utf8_make_valid (buffer, -1);
  if (strncmp (buffer, tree->root, root_len) != 0 ||
      (buffer[root_len] != '/' && buffer[root_len] != '\0'))
    return NULL;
  return g_utf8_make_valid (buffer[root_len] != '\0' ? buffer + root_len : "/", -1);
}

int
vfio_tree_write (VfioTree *tree, const char *path, const char *value)
{
  gsize size = strlen (value);
  struct stat status;
  int fd, result = 0;
  ssize_t n;

  fd = vfio_tree_open_fd (tree, path, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  if (fd < 0)
    return fd;
  if (fstat (fd, &status) < 0 || !S_ISREG (status.st_mode))
    result = -EINVAL;
  /* In a faked tree an attribute is a plain file, of which a shorter value would leave a rest. */
  else if (!vfio_tree_is_live (tree) && ftruncate (fd, 0) < 0)
    result = -errno;
  else
    {
      do
        n = write (fd, value, size);
      while (n < 0 && errno == EINTR);
      if (n < 0)
        result = -errno;
      else if ((gsize)n != size)
        result = -EIO;
    }
  close (fd);
  return result;
}
