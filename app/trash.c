/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/trash.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "app/error.h"

#define NAMES_MAX 1000

static void
set_errno_error (GError **error, int saved, const char *what, const char *path)
{
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved), "%s %s: %s", path, what,
               g_strerror (saved));
}

static char *
dup_folder (const char *which)
{
  return g_build_filename (g_get_user_data_dir (), "Trash", which, NULL);
}

static char *
dup_info_path (const char *token)
{
  g_autofree char *folder = dup_folder ("info");
  g_autofree char *name = g_strconcat (token, ".trashinfo", NULL);

  return g_build_filename (folder, name, NULL);
}

/* Trash specification 1.0, "Contents of a trash directory": the .trashinfo is made first and
 * exclusively; it is what claims the name. Returns the fd. */
static int
claim_name (const char *base, char **ret_token, char **ret_info, GError **error)
{
  for (guint i = 1; i <= NAMES_MAX; i++)
    {
      g_autofree char *token = i == 1 ? g_strdup (base) : g_strdup_printf ("%s.%u", base, i);
      g_autofree char *info = dup_info_path (token);
      int fd = open (info, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

      if (fd >= 0)
        {
          *ret_token = g_steal_pointer (&token);
          *ret_info = g_steal_pointer (&info);
          return fd;
        }
      if (errno != EEXIST)
        {
          set_errno_error (error, errno, "cannot be written", info);
          return -1;
        }
    }
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
               "The trash already holds %d things named %s: empty it", NAMES_MAX, base);
  return -1;
}

static gboolean
make_folders (GError **error)
{
  static const char *const names[] = { "info", "files" };

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *folder = dup_folder (names[i]);

      if (g_mkdir_with_parents (folder, 0700) < 0)
        {
          set_errno_error (error, errno, "cannot be made", folder);
          return FALSE;
        }
    }
  return TRUE;
}

char *
alcove_trash_put (const char *path, GError **error)
{
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *files = dup_folder ("files");
  g_autofree char *token = NULL, *info = NULL, *target = NULL, *text = NULL, *date = NULL;
  g_autofree char *escaped = g_uri_escape_string (path, "/", FALSE);
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  int fd;
  gboolean good;

  if (!make_folders (error))
    return NULL;
  fd = claim_name (base, &token, &info, error);
  if (fd < 0)
    return NULL;
  date = g_date_time_format (now, "%Y-%m-%dT%H:%M:%S");
  text = g_strdup_printf ("[Trash Info]\nPath=%s\nDeletionDate=%s\n", escaped, date);
  good = write (fd, text, strlen (text)) == (ssize_t)strlen (text);
  close (fd);
  target = g_build_filename (files, token, NULL);
  if (!good || g_rename (path, target) < 0)
    {
      int saved = errno;

      (void)g_unlink (info);
      if (saved == EXDEV)
        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                     "%s is on another file system than the trash in %s: move it by hand", path,
                     files);
      else
        set_errno_error (error, saved, "cannot be moved to the trash", path);
      return NULL;
    }
  return g_steal_pointer (&token);
}

char *
alcove_trash_restore (const char *token, GError **error)
{
  g_autofree char *files = dup_folder ("files");
  g_autofree char *from = g_build_filename (files, token, NULL);
  g_autofree char *info = dup_info_path (token);
  g_autofree char *escaped = NULL, *path = NULL;
  g_autoptr (GKeyFile) key_file = g_key_file_new ();

  if (strchr (token, '/') != NULL || !g_file_test (from, G_FILE_TEST_EXISTS) ||
      !g_key_file_load_from_file (key_file, info, G_KEY_FILE_NONE, NULL) ||
      (escaped = g_key_file_get_string (key_file, "Trash Info", "Path", NULL)) == NULL ||
      (path = g_uri_unescape_string (escaped, NULL)) == NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "%s is not in the trash any more",
                   token);
      return NULL;
    }
  if (renameat2 (AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
    {
      int saved = errno;

      if (saved == EEXIST)
        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS,
                     "%s cannot be put back: something else is there now", path);
      else
        set_errno_error (error, saved, "cannot be put back", path);
      return NULL;
    }
  (void)g_unlink (info);
  return g_steal_pointer (&path);
}
