/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine's folder with two disks, firmware variables, a TPM and a saved state. */
#pragma once
#include "app-dirs.h"
#include "app/files.h"
#include "app/saved.h"
#include "app/snapshot-work.h"
#include "fake-image.h"

typedef struct
{
  char *folder;
  AlcoveSnapshotWork work;
} Fixture;

static inline char *
fixture_path (Fixture *f, const char *name)
{
  return g_build_filename (f->folder, name, NULL);
}

static inline void
fixture_write (Fixture *f, const char *name, const char *text)
{
  g_autofree char *path = fixture_path (f, name);
  g_autofree char *folder = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  /* A new file: the one before may have a second name in a snapshot. */
  (void)g_remove (path);
  g_assert_true (alcove_files_write (path, text, strlen (text), NULL));
}

/* (transfer full) "-" when there is none. */
static inline char *
fixture_read (Fixture *f, const char *name)
{
  g_autofree char *path = fixture_path (f, name);
  g_autoptr (GError) error = NULL;
  char *text = alcove_files_read (path, 65536, NULL, &error);

  return text != NULL ? text : g_strdup ("-");
}

static inline void
fixture_set_disk (Fixture *f, const char *name, const char *contents)
{
  g_autofree char *path = fixture_path (f, name);

  fake_image_write (path, contents);
}

static inline char *
fixture_get_disk (Fixture *f, const char *name)
{
  g_autofree char *path = fixture_path (f, name);

  return fake_image_read (path);
}

static inline void
fixture_set_conf (Fixture *f, const char *title, const char *more)
{
  g_autofree char *text =
      g_strdup_printf ("[machine]\nuuid=12345678-1234-1234-1234-123456789abc\nname=%s\n"
                       "memory=64M\n\n[disk system]\nfile=system.qcow2\nformat=qcow2\n\n"
                       "[disk data]\nfile=data.qcow2\nformat=qcow2\n\n%s",
                       title, more);

  fixture_write (f, "machine.conf", text);
}

static inline void
fixture_setup (Fixture *f, gconstpointer data)
{
  g_autofree char *system = NULL, *extra = NULL;

  f->folder = g_build_filename (app_dirs_root, "machine", NULL);
  g_assert_cmpint (g_mkdir (f->folder, 0700), ==, 0);
  fixture_set_conf (f, "one", "");
  system = fixture_path (f, "system.qcow2");
  extra = fixture_path (f, "data.qcow2");
  fake_image_make (system, "s1");
  fake_image_make (extra, "d1");
  fixture_write (f, "firmware-vars.fd", "v1");
  fixture_write (f, "tpm/state", "t1");
  f->work = (AlcoveSnapshotWork){ .folder = f->folder, .access = fake_image_get_access () };
}

static inline void
fixture_teardown (Fixture *f, gconstpointer data)
{
  alcove_paths_remove_tree (f->folder);
  g_free (f->folder);
}

/* Everything of the machine becomes generation n. */
static inline void
fixture_change (Fixture *f, guint n, gboolean saved)
{
  g_autofree char *s = g_strdup_printf ("s%u", n), *d = g_strdup_printf ("d%u", n);
  g_autofree char *v = g_strdup_printf ("v%u", n), *t = g_strdup_printf ("t%u", n);
  g_autofree char *r = g_strdup_printf ("r%u", n), *title = g_strdup_printf ("title-%u", n);
  g_autofree char *folder = fixture_path (f, ALCOVE_SAVED_FOLDER);

  fixture_set_conf (f, title, "");
  fixture_set_disk (f, "system.qcow2", s);
  fixture_set_disk (f, "data.qcow2", d);
  fixture_write (f, "firmware-vars.fd", v);
  fixture_write (f, "tpm/state", t);
  alcove_paths_remove_tree (folder);
  if (saved)
    fixture_write (f, ALCOVE_SAVED_FOLDER "/ram", r);
}

/* (transfer full): the id */
static inline char *
fixture_create (Fixture *f, const char *name)
{
  AlcoveSnapshotWords words = { .name = name };
  g_autoptr (GError) error = NULL;
  char *id = NULL;

  g_assert_true (alcove_snapshots_create (&f->work, &words, &id, &error));
  g_assert_no_error (error);
  return id;
}

/* (transfer full): the whole machine in one line. */
static inline char *
fixture_describe_present (Fixture *f)
{
  g_autofree char *conf = fixture_read (f, "machine.conf");
  g_autofree char *system = fixture_get_disk (f, "system.qcow2");
  g_autofree char *data = fixture_get_disk (f, "data.qcow2");
  g_autofree char *vars = fixture_read (f, "firmware-vars.fd");
  g_autofree char *tpm = fixture_read (f, "tpm/state");
  g_autofree char *ram = fixture_read (f, ALCOVE_SAVED_FOLDER "/ram");
  char *title = strstr (conf, "name=");

  g_assert_nonnull (title);
  *strchr (title, '\n') = '\0';
  return g_strdup_printf ("%s %s %s %s %s %s", title, system, data, vars, tpm, ram);
}

/* (transfer full): the tree, names with their parents, "*" at the present one. Asserts that the
 * disks hold exactly the published snapshots, and nothing else is left over. */
static inline char *
fixture_describe_tree (Fixture *f)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveSnapshots) tree = alcove_snapshots_load (f->folder, &error);
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *system = fixture_path (f, "system.qcow2");
  g_auto (GStrv) ids = fake_image_list (system);

  g_assert_no_error (error);
  g_assert_cmpuint (tree->hidden->len, ==, 0);
  g_assert_cmpuint (g_strv_length (ids), ==, tree->snapshots->len);
  for (guint i = 0; i < tree->snapshots->len; i++)
    {
      AlcoveSnapshot *set = g_ptr_array_index (tree->snapshots, i);
      AlcoveSnapshot *parent =
          set->parent != NULL ? alcove_snapshots_find (tree, set->parent, NULL) : NULL;

      g_assert_null (set->problem);
      g_assert_true (g_strv_contains ((const char *const *)ids, set->id));
      g_assert_true (alcove_snapshot_check (&f->work, set, &error));
      g_string_append_printf (text, "%s%s<%s ", set->name,
                              g_strcmp0 (tree->current, set->id) == 0 ? "*" : "",
                              parent != NULL ? parent->name : "");
    }
  return g_string_free (g_steal_pointer (&text), FALSE);
}
