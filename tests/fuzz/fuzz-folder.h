/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A folder for one run of a target that reads files: in memory where the host has such a file
 * system, since these targets make and sync many small ones. */
#pragma once
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include "app/paths.h"

/* (transfer full) */
static inline char *
fuzz_folder_new (void)
{
  char *folder = g_strdup (access ("/dev/shm", W_OK) == 0 ? "/dev/shm/alcove-fuzz-XXXXXX"
                                                          : "/tmp/alcove-fuzz-XXXXXX");

  g_assert_nonnull (g_mkdtemp_full (folder, 0700));
  return folder;
}

/* folder: (transfer full) */
static inline void
fuzz_folder_free (char *folder)
{
  alcove_paths_remove_tree (folder);
  g_free (folder);
}

static inline void
fuzz_folder_write (const char *folder, const char *name, const void *data, gsize length)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autofree char *parent = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_assert_true (g_file_set_contents_full (path, length > 0 ? data : "", (gssize)length,
                                           G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

/* People read it, and D-Bus and GTK carry it. */
static inline void
fuzz_check_text (const char *text)
{
  if (!g_utf8_validate (text, -1, NULL))
    {
      g_autofree char *escaped = g_strescape (text, NULL);

      g_error ("not UTF-8: %s", escaped);
    }
}

/* The next part of the input, up to a line "%%". Returns FALSE when none is left. */
static inline gboolean
fuzz_folder_take_part (const char **data, gsize *size, const char **ret_part, gsize *ret_length)
{
  static const char line[] = "\n%%\n";
  const char *end;

  if (*data == NULL)
    return FALSE;
  end = *size > 0 ? g_strstr_len (*data, (gssize)*size, line) : NULL;
  *ret_part = *data;
  *ret_length = end != NULL ? (gsize)(end - *data) + 1 : *size;
  if (end == NULL)
    {
      *data = NULL;
      return TRUE;
    }
  end += strlen (line);
  *size -= (gsize)(end - *data);
  *data = end;
  return TRUE;
}
