/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/saved.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <unistd.h>

#include "app/paths.h"
#include "vmm/save.h"

char *
alcove_saved_dup_folder (const char *machine_folder)
{
  return g_build_filename (machine_folder, ALCOVE_SAVED_FOLDER, NULL);
}

gboolean
alcove_saved_exists (const char *machine_folder)
{
  g_autofree char *state =
      g_build_filename (machine_folder, ALCOVE_SAVED_FOLDER, VMM_SAVE_STATE_FILE, NULL);

  return g_file_test (state, G_FILE_TEST_IS_REGULAR);
}

static gboolean
set_error (GError **error, int err, const char *act, const char *path)
{
  g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (err), "%s %s: %s", act, path,
               g_strerror (err));
  return FALSE;
}

static void
sync_parent (const char *path)
{
  g_autofree char *parent = g_path_get_dirname (path);
  int fd = open (parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd < 0)
    return;
  (void)fsync (fd);
  close (fd);
}

gboolean
alcove_saved_publish (const char *partial, const char *folder, GError **error)
{
  if (renameat2 (AT_FDCWD, partial, AT_FDCWD, folder, RENAME_NOREPLACE) == 0)
    {
      sync_parent (folder);
      return TRUE;
    }
  if (errno == EEXIST && renameat2 (AT_FDCWD, partial, AT_FDCWD, folder, RENAME_EXCHANGE) == 0)
    {
      sync_parent (folder);
      alcove_paths_remove_tree (partial); /* the one before */
      return TRUE;
    }
  /* File systems without the flags; what is there already must go first. */
  if (errno == EINVAL && alcove_saved_remove (folder, error) && g_rename (partial, folder) == 0)
    {
      sync_parent (folder);
      return TRUE;
    }
  return set_error (error, errno, "Cannot give the saved state its name", folder);
}

gboolean
alcove_saved_remove (const char *folder, GError **error)
{
  g_autofree char *away = g_strconcat (folder, ".removed", NULL);

  alcove_paths_remove_tree (away);
  if (g_rename (folder, away) < 0)
    return errno == ENOENT ? TRUE : set_error (error, errno, "Cannot remove", folder);
  sync_parent (folder);
  alcove_paths_remove_tree (away);
  return TRUE;
}
