/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reverting: a logged transaction between two sets, the one wanted and the one that leads back. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "app/error.h"
#include "app/files.h"
#include "app/generation.h"
#include "app/saved.h"
#include "app/snapshot-private.h"

#define FILE_MAX    (64 * 1024 * 1024) /* bytes of firmware variables */
#define PENDING_MAX 4096
#define GROUP       "revert"

typedef struct
{
  char *target;  /* id */
  char *undo;    /* id */
  gboolean kept; /* undo is a snapshot of its own */
  gboolean back; /* the revert failed: on the way back */
} Pending;

static void
pending_clear (Pending *pending)
{
  g_free (pending->target);
  g_free (pending->undo);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Pending, pending_clear)

/* -- Putting a set in place: every step can be done again -- */

static gboolean
verify_disk (BlockImage *image,
             const AlcoveSnapshot *set,
             const AlcoveSnapshotDisk *disk,
             const char *path,
             GError **error)
{
  BlockImageInfo info = { 0 };
  BlockSnapshot found;

  if (!alcove_disk_find_snapshot (image, set->id, &found))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The disk “%s” (%s) is not the one that the snapshot “%s” was made of: put the "
                   "right image in its place, or delete the snapshot",
                   disk->name, path, set->name);
      return FALSE;
    }
  image->ops->get_info (image, &info);
  if (disk->time_ns != 0 && (found.time_ns != disk->time_ns || found.disk_size != disk->size ||
                             info.cluster_size != disk->cluster_size))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The disk “%s” (%s) was exchanged: its snapshot %s is another one than the "
                   "snapshot “%s” was made with. Put the right image in its place, or delete the "
                   "snapshot",
                   disk->name, path, set->id, set->name);
      return FALSE;
    }
  return TRUE;
}

static BlockImage *
open_disk (const AlcoveSnapshotWork *work,
           const AlcoveSnapshot *set,
           const AlcoveSnapshotDisk *disk,
           gboolean writable,
           GError **error)
{
  g_autofree char *path = alcove_snapshot_disk_dup_path (disk, work->folder);
  BlockImage *image;

  if (access (path, F_OK) < 0 && errno == ENOENT)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                   "The disk “%s” of the snapshot “%s” is missing: %s is not there. Bring the file "
                   "back, or delete the snapshot",
                   disk->name, set->name, path);
      return NULL;
    }
  image = work->access->open (work->access, path, disk->format, writable, error);
  if (image == NULL)
    {
      g_prefix_error (error, "[disk %s]: ", disk->name);
      return NULL;
    }
  if (verify_disk (image, set, disk, path, error))
    return image;
  block_image_close (image);
  return NULL;
}

gboolean
alcove_snapshot_check (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error)
{
  g_autoptr (AlcoveDefinition) definition = NULL;

  if (set->problem != NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "The snapshot %s cannot be used: %s",
                   set->id, set->problem);
      return FALSE;
    }
  for (guint i = 0; i < set->disks->len; i++)
    {
      BlockImage *image = open_disk (work, set, g_ptr_array_index (set->disks, i), FALSE, error);

      if (image == NULL)
        return FALSE;
      block_image_close (image);
    }
  definition = alcove_snapshot_load_definition (set, work->folder, error);
  return definition != NULL;
}

static gboolean
apply_disk (const AlcoveSnapshotWork *work,
            const AlcoveSnapshot *set,
            const AlcoveSnapshotDisk *disk,
            GError **error)
{
  BlockImage *image = open_disk (work, set, disk, TRUE, error);
  gboolean good;
  int flushed;

  if (image == NULL)
    return FALSE;
  good = image->ops->snapshot_apply (image, set->id, error);
  if (good && (flushed = image->ops->flush (image)) < 0)
    good = alcove_files_set_error (error, -flushed, disk->file, "cannot be written");
  if (!good)
    g_prefix_error (error, "[disk %s]: ", disk->name);
  block_image_close (image);
  return good;
}

/* The machine's folder NAME becomes a copy of the set's, or goes when that has none. */
static gboolean
put_folder (const AlcoveSnapshotWork *work,
            const AlcoveSnapshot *set,
            const char *name,
            gboolean (*copy) (const char *from, const char *to, GError **error),
            GError **error)
{
  g_autofree char *from = g_build_filename (set->folder, name, NULL);
  g_autofree char *to = g_build_filename (work->folder, name, NULL);
  g_autofree char *fresh = g_strdup_printf ("%s/.%s-new", work->folder, name);
  g_autofree char *stale = g_strdup_printf ("%s/.%s-old", work->folder, name);
  gboolean has = g_file_test (from, G_FILE_TEST_IS_DIR);

  if (!alcove_files_remove_tree (fresh, error) || (has && !copy (from, fresh, error)))
    return FALSE;
  if (g_file_test (to, G_FILE_TEST_EXISTS) &&
      (!alcove_files_remove_tree (stale, error) || !alcove_files_rename (to, stale, FALSE, error)))
    return FALSE;
  return (!has || alcove_files_rename (fresh, to, FALSE, error)) &&
         alcove_files_remove_tree (stale, error);
}

static gboolean
put_file (const char *from, const char *to, GError **error)
{
  g_autofree char *data = NULL;
  gsize length;

  if (!g_file_test (from, G_FILE_TEST_EXISTS))
    return alcove_files_remove (to, error);
  data = alcove_files_read (from, FILE_MAX, &length, error);
  return data != NULL && alcove_files_write (to, data, length, error);
}

static gboolean
apply (const AlcoveSnapshotWork *work, const AlcoveSnapshot *set, GError **error)
{
  g_autoptr (AlcoveDefinition) definition =
      alcove_snapshot_load_definition (set, work->folder, error);
  g_autofree char *vars = g_build_filename (set->folder, ALCOVE_SNAPSHOT_VARS, NULL);
  g_autofree char *conf = g_build_filename (set->folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *present = g_build_filename (work->folder, ALCOVE_DEFINITION_FILE, NULL);
  const char *present_vars;

  if (definition == NULL)
    return FALSE;
  for (guint i = 0; i < set->disks->len; i++)
    if (!apply_disk (work, set, g_ptr_array_index (set->disks, i), error))
      return FALSE;
  present_vars = alcove_definition_get_machine (definition)->firmware_vars;
  return (present_vars == NULL || put_file (vars, present_vars, error)) &&
         put_folder (work, set, ALCOVE_SNAPSHOT_TPM, alcove_files_copy_tree, error) &&
         put_folder (work, set, ALCOVE_SAVED_FOLDER, alcove_files_link_tree, error) &&
         alcove_generation_renew (work->folder, error) && put_file (conf, present, error);
}

/* -- The log -- */

static gboolean
write_pending (const AlcoveSnapshotWork *work, const Pending *pending, GError **error)
{
  g_autofree char *path = alcove_snapshots_dup_path (work->folder, ALCOVE_SNAPSHOT_PENDING);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;
  gsize length;

  g_key_file_set_string (file, GROUP, "target", pending->target);
  g_key_file_set_string (file, GROUP, "undo", pending->undo);
  g_key_file_set_boolean (file, GROUP, "kept", pending->kept);
  g_key_file_set_boolean (file, GROUP, "back", pending->back);
  text = g_key_file_to_data (file, &length, NULL);
  return alcove_files_write (path, text, length, error);
}

static gboolean
read_pending (const char *path, Pending *pending, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;
  gsize length;

  text = alcove_files_read (path, PENDING_MAX, &length, error);
  if (text == NULL)
    return FALSE;
  if (!g_key_file_load_from_data (file, text, length, G_KEY_FILE_NONE, error))
    {
      alcove_error_make_valid (error);
      g_prefix_error (error, "%s: ", path);
      return FALSE;
    }
  pending->target = g_key_file_get_string (file, GROUP, "target", NULL);
  pending->undo = g_key_file_get_string (file, GROUP, "undo", NULL);
  pending->kept = g_key_file_get_boolean (file, GROUP, "kept", NULL);
  pending->back = g_key_file_get_boolean (file, GROUP, "back", NULL);
  if (pending->target != NULL && pending->undo != NULL &&
      alcove_snapshot_id_is_valid (pending->target) && alcove_snapshot_id_is_valid (pending->undo))
    return TRUE;
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s is damaged", path);
  return FALSE;
}

static gboolean
end_pending (const AlcoveSnapshotWork *work,
             const Pending *pending,
             AlcoveSnapshot *undo,
             GError **error)
{
  g_autofree char *path = alcove_snapshots_dup_path (work->folder, ALCOVE_SNAPSHOT_PENDING);

  if (!alcove_files_remove (path, error))
    return FALSE;
  if (!pending->kept)
    alcove_snapshot_drop (work, undo);
  return TRUE;
}

/* FALSE: the state before is in place, and error says why. *ret_stuck: it is not. */
static gboolean
run (const AlcoveSnapshotWork *work,
     Pending *pending,
     AlcoveSnapshot *target,
     AlcoveSnapshot *undo,
     gboolean *ret_stuck,
     GError **error)
{
  g_autoptr (GError) first = NULL;
  g_autoptr (GError) second = NULL;

  *ret_stuck = FALSE;
  if (!pending->back && apply (work, target, &first) &&
      alcove_snapshots_write_current (work->folder, target->id, &first))
    {
      /* A log that cannot be removed now is done once more; nothing is lost by that. */
      (void)end_pending (work, pending, undo, NULL);
      return TRUE;
    }
  pending->back = TRUE;
  if (write_pending (work, pending, &second) && apply (work, undo, &second) &&
      alcove_snapshots_write_current (work->folder, pending->kept ? undo->id : undo->parent,
                                      &second) &&
      end_pending (work, pending, undo, &second))
    {
      if (first != NULL)
        g_propagate_prefixed_error (error, g_steal_pointer (&first), "%s",
                                    "The machine is as it was: ");
      else
        g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                             "The revert that was cut off is undone");
      return FALSE;
    }
  *ret_stuck = TRUE;
  g_set_error (
      error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
      "Reverting to “%s” is not finished%s%s, and the state before cannot be put back yet: "
      "%s. Mend that; the machine starts when it is done",
      target->name, first != NULL ? ": " : "", first != NULL ? first->message : "",
      second->message);
  return FALSE;
}

static AlcoveSnapshot *
read_set (const AlcoveSnapshotWork *work, const char *prefix, const char *id, GError **error)
{
  g_autofree char *name = g_strconcat (prefix, id, NULL);
  g_autofree char *folder = alcove_snapshots_dup_path (work->folder, name);

  return alcove_snapshot_read (folder, id, error);
}

gboolean
alcove_snapshots_is_reverting (const char *machine_folder)
{
  g_autofree char *path = alcove_snapshots_dup_path (machine_folder, ALCOVE_SNAPSHOT_PENDING);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

gboolean
alcove_snapshot_recover_revert (const AlcoveSnapshotWork *work, GError **error)
{
  g_autofree char *path = alcove_snapshots_dup_path (work->folder, ALCOVE_SNAPSHOT_PENDING);
  g_auto (Pending) pending = { 0 };
  g_autoptr (AlcoveSnapshot) target = NULL;
  g_autoptr (AlcoveSnapshot) undo = NULL;
  g_autoptr (GError) local = NULL;
  gboolean stuck;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  if (!read_pending (path, &pending, error) ||
      (target = read_set (work, "", pending.target, error)) == NULL ||
      (undo = read_set (work, pending.kept ? "" : ALCOVE_SNAPSHOT_UNDO, pending.undo, error)) ==
          NULL)
    {
      g_prefix_error (error, "A revert that was cut off cannot be finished: ");
      return FALSE;
    }
  if (run (work, &pending, target, undo, &stuck, &local) || !stuck)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

/* -- Reverting -- */

static AlcoveSnapshot *
make_undo (const AlcoveSnapshotWork *work, AlcoveSnapshot *target, gboolean keep, GError **error)
{
  g_autofree char *name = alcove_snapshot_dup_kept_name (target);
  AlcoveSnapshotWords words = { .name = name, .reason = "revert" };
  g_autoptr (AlcoveSnapshot) undo = NULL;

  undo = alcove_snapshot_begin_with (
      work, &words, keep ? ALCOVE_SNAPSHOT_NEW : ALCOVE_SNAPSHOT_UNDO, target, error);
  if (undo == NULL)
    return NULL;
  if (alcove_snapshot_capture (work, undo, error) &&
      (keep ? alcove_snapshot_publish (work, undo, error) : alcove_snapshot_write (undo, error)))
    return g_steal_pointer (&undo);
  alcove_snapshot_drop (work, undo);
  return NULL;
}

gboolean
alcove_snapshots_revert (const AlcoveSnapshotWork *work,
                         const char *id,
                         gboolean keep,
                         GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = NULL;
  g_autoptr (AlcoveSnapshot) undo = NULL;
  g_auto (Pending) pending = { .kept = keep };
  AlcoveSnapshot *target;
  gboolean stuck;

  if (!alcove_snapshots_recover (work, error) ||
      (tree = alcove_snapshots_load (work->folder, error)) == NULL ||
      (target = alcove_snapshots_find (tree, id, error)) == NULL ||
      !alcove_snapshot_check (work, target, error))
    return FALSE;
  undo = make_undo (work, target, keep, error);
  if (undo == NULL)
    return FALSE;
  pending.target = g_strdup (target->id);
  pending.undo = g_strdup (undo->id);
  if (!alcove_snapshot_step (work, 1, 1, error) || !write_pending (work, &pending, error))
    {
      g_autofree char *path = alcove_snapshots_dup_path (work->folder, ALCOVE_SNAPSHOT_PENDING);

      /* It may be there although its folder could not be synced. */
      (void)alcove_files_remove (path, NULL);
      if (!keep)
        alcove_snapshot_drop (work, undo);
      return FALSE;
    }
  return run (work, &pending, target, undo, &stuck, error);
}
