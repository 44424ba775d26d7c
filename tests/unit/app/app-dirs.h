/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Temporary XDG folders for tests of app. A short path: control sockets are in it. */
#pragma once
#include <glib.h>
#include <glib/gstdio.h>
#include "app/paths.h"

static char *app_dirs_root;

/* Before the first GLib call that reads XDG variables. place: a folder. */
static inline void
app_dirs_init_in (const char *place)
{
  static const char *const variables[] = { "XDG_DATA_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME",
                                           "XDG_CACHE_HOME" };
  static const char *const names[] = { "data", "run", "config", "cache" };

  app_dirs_root = g_strconcat (place, "/alcove-test-XXXXXX", NULL);
  g_assert_nonnull (g_mkdtemp_full (app_dirs_root, 0700));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (app_dirs_root, names[i], NULL);

      g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
      g_setenv (variables[i], path, TRUE);
    }
}

static inline void
app_dirs_init (void)
{
  app_dirs_init_in ("/tmp");
}

static inline void
app_dirs_finish (void)
{
  alcove_paths_remove_tree (app_dirs_root);
  g_free (app_dirs_root);
}
