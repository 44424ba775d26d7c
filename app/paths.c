/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/paths.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/error.h"

char *
alcove_paths_dup_machines (void)
{
  return g_build_filename (g_get_user_data_dir (), "alcove", "machines", NULL);
}

char *
alcove_paths_dup_runtime (void)
{
  return g_build_filename (g_get_user_runtime_dir (), "alcove", NULL);
}

char *
alcove_paths_dup_machine_runtime (const char *uuid)
{
  return g_build_filename (g_get_user_runtime_dir (), "alcove", uuid, NULL);
}

static char *
dup_installed (const char *variable, const char *folder, const char *name)
{
  const char *override = g_getenv (variable);

  return g_build_filename (override != NULL && *override != '\0' ? override : folder, name, NULL);
}

char *
alcove_paths_dup_vmm (void)
{
  return dup_installed ("ALCOVE_LIBEXECDIR", ALCOVE_LIBEXECDIR, "alcove-vmm");
}

char *
alcove_paths_dup_ui_module (void)
{
  return dup_installed ("ALCOVE_MODULE_DIR", ALCOVE_MODULE_DIR, "libalcove-ui.so");
}

gboolean
alcove_paths_ensure_private (const char *path, GError **error)
{
  struct stat st;

  if (g_mkdir_with_parents (path, 0700) < 0)
    {
      int saved = errno;

      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved),
                   "The folder %s cannot be made: %s", path, g_strerror (saved));
      return FALSE;
    }
  if (lstat (path, &st) < 0 || !S_ISDIR (st.st_mode))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s is no folder: move it away",
                   path);
      return FALSE;
    }
  if (st.st_uid != geteuid () || (st.st_mode & 0022) != 0)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The folder %s is not safe to use: it must belong to you and be writable by you "
                   "only (chmod 700 %s)",
                   path, path);
      return FALSE;
    }
  return TRUE;
}

void
alcove_paths_remove_tree (const char *path)
{
  GStatBuf st;

  if (g_lstat (path, &st) < 0)
    return;
  if (S_ISDIR (st.st_mode))
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);

          alcove_paths_remove_tree (child);
        }
    }
  (void)g_remove (path);
}
