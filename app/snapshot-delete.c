/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Deleting, editing, tidying up, and the lock of the snapshots folder. */
#include "app/snapshot-work.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "app/error.h"
#include "app/files.h"
#include "app/saved.h"
#include "app/snapshot-private.h"

AlcoveLock *
alcove_snapshots_lock (const char *machine_folder, const char *what, GError **error)
{
  g_autofree char *path = alcove_snapshots_dup_path (machine_folder, NULL);
  g_autoptr (GError) local = NULL;
  AlcoveLock *lock;

  if (!alcove_files_make_folder (path, error))
    return NULL;
  lock = alcove_lock_acquire (path, what, &local);
  if (lock != NULL)
    return lock;
  if (g_error_matches (local, ALCOVE_ERROR, ALCOVE_ERROR_BUSY))
    {
      guint pid = 0;

      (void)alcove_lock_is_held (path, &pid);
      g_set_error (
          error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
          "The machine's snapshots are being worked on by process %u: try again when it is "
          "done",
          pid);
    }
  else
    {
      g_propagate_error (error, g_steal_pointer (&local));
    }
  return NULL;
}

/* -- Recovering -- */

gboolean
alcove_snapshots_need_recovery (const char *machine_folder)
{
  g_autofree char *path = alcove_snapshots_dup_path (machine_folder, NULL);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (strcmp (name, ALCOVE_SNAPSHOT_PENDING) == 0 ||
        g_str_has_prefix (name, ALCOVE_SNAPSHOT_NEW) ||
        g_str_has_prefix (name, ALCOVE_SNAPSHOT_DELETED) ||
        g_str_has_prefix (name, ALCOVE_SNAPSHOT_UNDO))
      return TRUE;
  return FALSE;
}

static void
remove_part (const char *folder, const char *name, const char *end)
{
  g_autofree char *path = g_strdup_printf ("%s/.%s-%s", folder, name, end);

  if (access (path, F_OK) == 0)
    (void)alcove_files_remove_tree (path, NULL);
}

gboolean
alcove_snapshots_recover (const AlcoveSnapshotWork *work, GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = NULL;

  if (!alcove_snapshots_need_recovery (work->folder))
    return TRUE;
  if (!alcove_snapshot_recover_revert (work, error) ||
      (tree = alcove_snapshots_load (work->folder, error)) == NULL)
    return FALSE;
  for (guint i = 0; i < tree->hidden->len; i++)
    alcove_snapshot_drop (work, g_ptr_array_index (tree->hidden, i));
  remove_part (work->folder, ALCOVE_SNAPSHOT_TPM, "new");
  remove_part (work->folder, ALCOVE_SNAPSHOT_TPM, "old");
  remove_part (work->folder, ALCOVE_SAVED_FOLDER, "new");
  remove_part (work->folder, ALCOVE_SAVED_FOLDER, "old");
  return TRUE;
}

/* -- Deleting -- */

static gboolean
hide_and_discard (const AlcoveSnapshotWork *work,
                  AlcoveSnapshot *set,
                  char **ret_left,
                  GError **error)
{
  g_autofree char *name = g_strconcat (ALCOVE_SNAPSHOT_DELETED, set->id, NULL);
  g_autofree char *hidden = alcove_snapshots_dup_path (work->folder, name);
  g_autoptr (GError) left = NULL;

  if (!alcove_files_rename (set->folder, hidden, FALSE, error))
    {
      g_prefix_error (error, "The snapshot “%s” cannot be deleted: ", set->name);
      return FALSE;
    }
  g_free (set->folder);
  set->folder = g_steal_pointer (&hidden);
  if (!alcove_snapshot_discard (work, set, &left) && ret_left != NULL)
    *ret_left = g_strdup (left->message);
  return TRUE;
}

gboolean
alcove_snapshots_delete (const AlcoveSnapshotWork *work,
                         const char *id,
                         char **ret_left,
                         GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = NULL;
  AlcoveSnapshot *set;

  if (ret_left != NULL)
    *ret_left = NULL;
  if (!alcove_snapshots_recover (work, error) ||
      (tree = alcove_snapshots_load (work->folder, error)) == NULL ||
      (set = alcove_snapshots_find (tree, id, error)) == NULL)
    return FALSE;
  return hide_and_discard (work, set, ret_left, error);
}

gboolean
alcove_snapshots_prune (const AlcoveSnapshotWork *work, guint keep, GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = alcove_snapshots_load (work->folder, error);
  guint n = 0;

  if (tree == NULL)
    return FALSE;
  for (guint i = 0; i < tree->snapshots->len; i++)
    {
      AlcoveSnapshot *set = g_ptr_array_index (tree->snapshots, i);

      n += set->automatic && g_strcmp0 (set->reason, "schedule") == 0;
    }
  while (n > keep)
    {
      AlcoveSnapshot *oldest = NULL;

      for (guint i = 0; i < tree->snapshots->len; i++)
        {
          AlcoveSnapshot *set = g_ptr_array_index (tree->snapshots, i);

          if (!set->hidden && set->automatic && g_strcmp0 (set->reason, "schedule") == 0 &&
              (oldest == NULL || set->time < oldest->time))
            oldest = set;
        }
      if (!hide_and_discard (work, oldest, NULL, error))
        return FALSE;
      oldest->hidden = TRUE;
      n--;
    }
  return TRUE;
}

/* -- Editing -- */

gboolean
alcove_snapshots_edit (
    const char *machine_folder, const char *id, const char *name, const char *note, GError **error)
{
  g_autoptr (AlcoveLock) lock = NULL;
  g_autoptr (AlcoveSnapshots) tree = NULL;
  AlcoveSnapshot *set;

  if (!alcove_snapshot_check_words (name, note, error) ||
      (lock = alcove_snapshots_lock (machine_folder, "edits a snapshot", error)) == NULL ||
      (tree = alcove_snapshots_load (machine_folder, error)) == NULL ||
      (set = alcove_snapshots_find (tree, id, error)) == NULL)
    return FALSE;
  if (set->problem != NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The snapshot %s cannot be changed: %s", set->id, set->problem);
      return FALSE;
    }
  if (name != NULL)
    {
      g_free (set->name);
      set->name = g_strdup (name);
      /* Who gives it a name wants to keep it. */
      set->automatic = FALSE;
      g_clear_pointer (&set->reason, g_free);
    }
  if (note != NULL)
    {
      g_free (set->note);
      set->note = g_strdup (note);
    }
  return alcove_snapshot_write (set, error);
}
