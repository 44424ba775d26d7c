/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine's tree of snapshots. */
#include <errno.h>
#include <string.h>
#include "app/error.h"
#include "app/files.h"
#include "app/snapshot-private.h"
#include "app/suggest.h"

#define CURRENT       "current"
#define CURRENT_MAX   4096
#define SNAPSHOTS_MAX 10000

char *
alcove_snapshots_dup_path (const char *machine_folder, const char *name)
{
  return g_build_filename (machine_folder, ALCOVE_SNAPSHOTS_FOLDER, name, NULL);
}

void
alcove_snapshots_free (AlcoveSnapshots *self)
{
  if (self == NULL)
    return;
  g_free (self->folder);
  g_free (self->current);
  g_ptr_array_unref (self->snapshots);
  g_ptr_array_unref (self->hidden);
  g_free (self);
}

static void
unref_snapshot (gpointer data)
{
  alcove_snapshot_unref (data);
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const AlcoveSnapshot *left = *(AlcoveSnapshot *const *)a, *right = *(AlcoveSnapshot *const *)b;

  if (left->time != right->time)
    return left->time < right->time ? -1 : 1;
  return strcmp (left->id, right->id);
}

static AlcoveSnapshot *
find_id (GPtrArray *array, const char *id)
{
  for (guint i = 0; id != NULL && i < array->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (array, i);

      if (strcmp (snapshot->id, id) == 0)
        return snapshot;
    }
  return NULL;
}

/* (transfer full) (nullable): the published snapshot that an id stands for. */
static char *
resolve (AlcoveSnapshots *self, GPtrArray *found, const char *id)
{
  for (guint i = 0; id != NULL && i <= self->hidden->len; i++)
    {
      AlcoveSnapshot *hidden;

      if (find_id (found, id) != NULL)
        return g_strdup (id);
      hidden = find_id (self->hidden, id);
      id = hidden != NULL ? hidden->parent : NULL;
    }
  return NULL;
}

/* Parents before children, siblings by time; a ring of parents is cut where it is met first. */
static void
place (AlcoveSnapshots *self, GPtrArray *found, const char *parent, guint depth)
{
  for (guint i = 0; i < found->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (found, i);

      if (snapshot->folder == NULL || g_strcmp0 (snapshot->parent, parent) != 0 ||
          find_id (self->snapshots, snapshot->id) != NULL)
        continue;
      snapshot->depth = depth;
      g_ptr_array_add (self->snapshots, alcove_snapshot_ref (snapshot));
      place (self, found, snapshot->id, depth + 1);
    }
}

static void
order (AlcoveSnapshots *self, GPtrArray *found)
{
  g_ptr_array_sort (found, compare_times);
  for (guint i = 0; i < found->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (found, i);
      char *parent = resolve (self, found, snapshot->parent);

      g_free (snapshot->parent);
      snapshot->parent = parent;
    }
  place (self, found, NULL, 0);
  for (guint i = 0; i < found->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (found, i);

      if (find_id (self->snapshots, snapshot->id) != NULL)
        continue;
      g_clear_pointer (&snapshot->parent, g_free);
      g_ptr_array_add (self->snapshots, alcove_snapshot_ref (snapshot));
      place (self, found, snapshot->id, 1);
    }
}

static const char *
strip_hidden (const char *name)
{
  static const char *const prefixes[] = { ALCOVE_SNAPSHOT_NEW, ALCOVE_SNAPSHOT_DELETED,
                                          ALCOVE_SNAPSHOT_UNDO };

  for (gsize i = 0; i < G_N_ELEMENTS (prefixes); i++)
    if (g_str_has_prefix (name, prefixes[i]))
      return name + strlen (prefixes[i]);
  return NULL;
}

static void
take (AlcoveSnapshots *self, GPtrArray *found, const char *path, const char *name)
{
  g_autofree char *folder = g_build_filename (path, name, NULL);
  const char *id = *name == '.' ? strip_hidden (name) : name;
  g_autoptr (GError) error = NULL;
  AlcoveSnapshot *snapshot;

  if (id == NULL || !alcove_snapshot_id_is_valid (id) ||
      !g_file_test (folder, G_FILE_TEST_IS_DIR) || found->len == SNAPSHOTS_MAX)
    return;
  snapshot = alcove_snapshot_read (folder, id, &error);
  if (snapshot == NULL)
    {
      snapshot = alcove_snapshot_new (id);
      snapshot->folder = g_strdup (folder);
      snapshot->problem = g_strdup (error->message);
    }
  snapshot->hidden = *name == '.';
  if (!snapshot->hidden)
    snapshot->size = alcove_files_get_allocated (folder);
  g_ptr_array_add (snapshot->hidden ? self->hidden : found, snapshot);
}

static char *
read_current (const char *machine_folder)
{
  g_autofree char *path = alcove_snapshots_dup_path (machine_folder, CURRENT);
  g_autofree char *text = alcove_files_read (path, CURRENT_MAX, NULL, NULL);

  if (text == NULL || !alcove_snapshot_id_is_valid (g_strstrip (text)))
    return NULL;
  return g_steal_pointer (&text);
}

gboolean
alcove_snapshots_write_current (const char *machine_folder, const char *id, GError **error)
{
  g_autofree char *path = alcove_snapshots_dup_path (machine_folder, CURRENT);
  g_autofree char *line = g_strconcat (id != NULL ? id : "", "\n", NULL);

  return alcove_files_write (path, line, strlen (line), error);
}

AlcoveSnapshots *
alcove_snapshots_load (const char *machine_folder, GError **error)
{
  g_autoptr (AlcoveSnapshots) self = g_new0 (AlcoveSnapshots, 1);
  g_autofree char *path = alcove_snapshots_dup_path (machine_folder, NULL);
  g_autofree char *current = NULL;
  g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (unref_snapshot);
  g_autoptr (GError) local = NULL;
  g_autoptr (GDir) dir = NULL;
  const char *name;

  self->folder = g_strdup (machine_folder);
  self->snapshots = g_ptr_array_new_with_free_func (unref_snapshot);
  self->hidden = g_ptr_array_new_with_free_func (unref_snapshot);
  dir = g_dir_open (path, 0, &local);
  if (dir == NULL)
    {
      if (g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return g_steal_pointer (&self);
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    take (self, found, path, name);
  order (self, found);
  current = read_current (machine_folder);
  self->current = resolve (self, self->snapshots, current);
  return g_steal_pointer (&self);
}

AlcoveSnapshot *
alcove_snapshots_find (AlcoveSnapshots *self, const char *what, GError **error)
{
  AlcoveSnapshot *match = find_id (self->snapshots, what);
  g_autofree const char **names = g_new0 (const char *, self->snapshots->len + 1);
  const char *nearest;
  guint n = 0;

  if (match != NULL)
    return match;
  for (guint i = 0; i < self->snapshots->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (self->snapshots, i);

      names[i] = snapshot->name;
      if (strcmp (snapshot->name, what) == 0 ||
          (strlen (what) >= 4 && g_str_has_prefix (snapshot->id, what)))
        {
          match = snapshot;
          n++;
        }
    }
  if (n == 1)
    return match;
  if (n > 1)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                   "%u snapshots are called “%s”: use the id that the list shows", n, what);
      return NULL;
    }
  nearest = alcove_suggest (what, names, self->snapshots->len);
  if (nearest != NULL)
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                 "There is no snapshot “%s”: did you mean “%s”?", what, nearest);
  else
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "There is no snapshot “%s”", what);
  return NULL;
}
