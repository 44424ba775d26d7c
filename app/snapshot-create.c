/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making a snapshot, and taking one away that nobody shall see. */
#include "app/snapshot-work.h"

#include <errno.h>
#include <string.h>
#include "app/error.h"
#include "app/files.h"
#include "app/saved.h"
#include "app/snapshot-private.h"

#define CONF_MAX (1024 * 1024) /* bytes of machine.conf */

AlcoveDefinition *
alcove_snapshot_load_present (const char *machine_folder, GError **error)
{
  g_autofree char *path = g_build_filename (machine_folder, ALCOVE_DEFINITION_FILE, NULL);

  return alcove_definition_load (path, error);
}

AlcoveDefinition *
alcove_snapshot_load_definition (const AlcoveSnapshot *set,
                                 const char *machine_folder,
                                 GError **error)
{
  g_autofree char *path = g_build_filename (set->folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *as = g_build_filename (machine_folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *text = NULL;
  gsize length;

  text = alcove_files_read (path, CONF_MAX, &length, error);
  return text != NULL ? alcove_definition_new_from_text (text, (gssize)length, as, error) : NULL;
}

gboolean
alcove_snapshot_step (const AlcoveSnapshotWork *work, guint done, guint total, GError **error)
{
  if (work->progress == NULL || work->progress->step == NULL ||
      work->progress->step (done, total, work->progress->user_data))
    return TRUE;
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "Cancelled");
  return FALSE;
}

/* -- Which disks -- */

static char *
dup_relative (const char *folder, const char *path)
{
  gsize n = strlen (folder);

  if (strncmp (path, folder, n) == 0 && path[n] == '/')
    return g_strdup (path + n + 1);
  return g_strdup (path);
}

static gboolean
add_disk (AlcoveSnapshot *set,
          const char *folder,
          AlcoveDefinition *definition,
          const AlcoveDiskConfig *config,
          GError **error)
{
  g_autofree char *group = g_strconcat ("disk ", config->base.name, NULL);
  g_autofree char *format = alcove_definition_dup_value (definition, group, "format");
  AlcoveSnapshotDisk *disk;

  if (config->readonly)
    return TRUE; /* nothing in it changes */
  if (!config->snapshot)
    {
      g_ptr_array_add (set->excluded, g_strdup (config->base.name));
      return TRUE;
    }
  if (g_strcmp0 (format, "qcow2") != 0)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                   "The disk “%s” (%s) has the format %s, which cannot hold snapshots: convert it "
                   "with \"alcove disk convert\", or leave it out of snapshots with snapshot=false "
                   "in [disk %s]",
                   config->base.name, config->file, format, config->base.name);
      return FALSE;
    }
  disk = alcove_snapshot_disk_new ();
  disk->name = g_strdup (config->base.name);
  disk->file = dup_relative (folder, config->file);
  disk->format = g_steal_pointer (&format);
  g_ptr_array_add (set->disks, disk);
  return TRUE;
}

/* The way back of a revert holds the disks that it will change, used at present or not. */
static void
add_extra (AlcoveSnapshot *set, const AlcoveSnapshot *extra)
{
  for (guint i = 0; i < extra->disks->len; i++)
    {
      const AlcoveSnapshotDisk *other = g_ptr_array_index (extra->disks, i);
      gboolean known = FALSE;
      AlcoveSnapshotDisk *disk;

      for (guint j = 0; j < set->disks->len && !known; j++)
        {
          disk = g_ptr_array_index (set->disks, j);
          known = strcmp (disk->file, other->file) == 0;
        }
      if (known)
        continue;
      disk = alcove_snapshot_disk_new ();
      disk->name = g_strdup (other->name);
      for (guint j = 0, n = 2; j < set->disks->len; j++)
        {
          const AlcoveSnapshotDisk *same = g_ptr_array_index (set->disks, j);

          if (strcmp (same->name, disk->name) != 0)
            continue;
          g_free (disk->name);
          disk->name = g_strdup_printf ("%s.%u", other->name, n++);
          j = (guint)-1; /* from the start, with the new name */
        }
      disk->file = g_strdup (other->file);
      disk->format = g_strdup (other->format);
      g_ptr_array_add (set->disks, disk);
    }
}

/* -- Creating -- */

static void
set_words (AlcoveSnapshot *set, const AlcoveSnapshotWords *words)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();

  set->time = g_get_real_time ();
  g_free (set->name);
  set->name =
      words->name != NULL ? g_strdup (words->name) : g_date_time_format (now, "%Y-%m-%d %H:%M:%S");
  if (words->note != NULL)
    {
      g_free (set->note);
      set->note = g_strdup (words->note);
    }
  set->automatic = words->reason != NULL;
  set->reason = g_strdup (words->reason);
}

static gboolean
has_id (GPtrArray *sets, const char *id)
{
  for (guint i = 0; i < sets->len; i++)
    if (strcmp (((AlcoveSnapshot *)g_ptr_array_index (sets, i))->id, id) == 0)
      return TRUE;
  return FALSE;
}

/* (transfer full): one that no other set of the machine has, however fast they are made: undoing
 * this one must not take another one's internal snapshots. */
static char *
dup_free_id (AlcoveSnapshots *tree)
{
  for (;;)
    {
      g_autofree char *id = alcove_snapshot_dup_new_id ();

      if (!has_id (tree->snapshots, id) && !has_id (tree->hidden, id))
        return g_steal_pointer (&id);
    }
}

AlcoveSnapshot *
alcove_snapshot_begin_with (const AlcoveSnapshotWork *work,
                            const AlcoveSnapshotWords *words,
                            const char *prefix,
                            const AlcoveSnapshot *extra,
                            GError **error)
{
  g_autofree char *id = NULL, *hidden = NULL;
  g_autofree char *conf = g_build_filename (work->folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autofree char *copy = NULL, *path = NULL;
  g_autoptr (AlcoveSnapshot) set = NULL;
  g_autoptr (AlcoveSnapshots) tree = alcove_snapshots_load (work->folder, error);
  g_autoptr (AlcoveDefinition) definition = NULL;
  const AlcoveDiskConfig *const *disks;
  guint n;

  if (tree == NULL || !alcove_snapshot_check_words (words->name, words->note, error))
    return NULL;
  definition = alcove_snapshot_load_present (work->folder, error);
  if (definition == NULL)
    return NULL;
  id = dup_free_id (tree);
  hidden = g_strconcat (prefix, id, NULL);
  set = alcove_snapshot_new (id);
  disks = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; i < n; i++)
    if (!add_disk (set, work->folder, definition, disks[i], error))
      return NULL;
  if (extra != NULL)
    add_extra (set, extra);
  set_words (set, words);
  set->parent = g_strdup (tree->current);
  set->hidden = TRUE;
  set->folder = alcove_snapshots_dup_path (work->folder, hidden);
  copy = g_build_filename (set->folder, ALCOVE_DEFINITION_FILE, NULL);
  path = alcove_snapshots_dup_path (work->folder, NULL);
  if (!alcove_files_make_folder (path, error) || !alcove_files_make_folder (set->folder, error))
    return NULL;
  if (!alcove_snapshot_write (set, error) || !alcove_files_copy (conf, copy, NULL, error) ||
      !alcove_files_sync_folder (set->folder, error))
    {
      (void)alcove_files_remove_tree (set->folder, NULL);
      return NULL;
    }
  return g_steal_pointer (&set);
}

AlcoveSnapshot *
alcove_snapshot_begin (const AlcoveSnapshotWork *work,
                       const AlcoveSnapshotWords *words,
                       GError **error)
{
  return alcove_snapshot_begin_with (work, words, ALCOVE_SNAPSHOT_NEW, NULL, error);
}

static void
note_image (AlcoveSnapshotDisk *disk, BlockImage *image, const BlockSnapshot *snapshot)
{
  BlockImageInfo info = { 0 };
  gint64 allocated = image->file != NULL ? image->file->ops->get_allocated (image->file) : 0;

  image->ops->get_info (image, &info);
  disk->cluster_size = info.cluster_size;
  disk->size = snapshot->disk_size;
  disk->time_ns = snapshot->time_ns;
  disk->allocated = (guint64)MAX (allocated, 0);
}

static gboolean
capture_disk (const AlcoveSnapshotWork *work,
              AlcoveSnapshot *set,
              AlcoveSnapshotDisk *disk,
              GError **error)
{
  g_autofree char *path = alcove_snapshot_disk_dup_path (disk, work->folder);
  g_autofree char *name = g_strconcat ("alcove-", set->id, NULL);
  BlockSnapshot snapshot = { .id = set->id, .name = name, .time_ns = g_get_real_time () * 1000 };
  BlockImage *image = work->access->open (work->access, path, disk->format, TRUE, error);
  gboolean good = FALSE;
  int flushed;

  if (image == NULL)
    {
      g_prefix_error (error, "[disk %s]: ", disk->name);
      return FALSE;
    }
  if (image->ops->snapshot_create == NULL)
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                 "%s cannot hold snapshots: convert it to qcow2", path);
  else
    good = image->ops->snapshot_create (image, &snapshot, error);
  if (good && (flushed = image->ops->flush (image)) < 0)
    good = alcove_files_set_error (error, -flushed, path, "cannot be written");
  if (good && !alcove_disk_find_snapshot (image, set->id, &snapshot))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED, "%s did not keep its snapshot", path);
      good = FALSE;
    }
  if (good)
    note_image (disk, image, &snapshot);
  else
    g_prefix_error (error, "[disk %s]: ", disk->name);
  block_image_close (image);
  return good;
}

static gboolean
capture_files (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error)
{
  g_autoptr (AlcoveDefinition) definition = alcove_snapshot_load_present (work->folder, error);
  g_autofree char *vars = g_build_filename (set->folder, ALCOVE_SNAPSHOT_VARS, NULL);
  g_autofree char *tpm = g_build_filename (work->folder, ALCOVE_SNAPSHOT_TPM, NULL);
  g_autofree char *tpm_copy = g_build_filename (set->folder, ALCOVE_SNAPSHOT_TPM, NULL);
  g_autofree char *saved = g_build_filename (work->folder, ALCOVE_SAVED_FOLDER, NULL);
  g_autofree char *saved_copy = g_build_filename (set->folder, ALCOVE_SAVED_FOLDER, NULL);
  const char *present;

  if (definition == NULL)
    return FALSE;
  present = alcove_definition_get_machine (definition)->firmware_vars;
  if (present != NULL && g_file_test (present, G_FILE_TEST_EXISTS) &&
      !alcove_files_copy (present, vars, NULL, error))
    return FALSE;
  if (g_file_test (tpm, G_FILE_TEST_IS_DIR) && !alcove_files_copy_tree (tpm, tpm_copy, error))
    return FALSE;
  /* A machine that was saved is kept with its memory. */
  if (g_file_test (saved, G_FILE_TEST_IS_DIR))
    {
      g_autofree char *record = g_build_filename (saved_copy, ALCOVE_SAVED_RECORD, NULL);

      /* Without the record of what the disks were like: they come back with it. */
      if (!alcove_files_link_tree (saved, saved_copy, error) ||
          !alcove_files_remove (record, error))
        return FALSE;
      set->with_memory = TRUE;
    }
  return alcove_files_sync_folder (set->folder, error);
}

gboolean
alcove_snapshot_capture (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error)
{
  for (guint i = 0; i < set->disks->len; i++)
    if (!alcove_snapshot_step (work, i, set->disks->len + 1, error) ||
        !capture_disk (work, set, g_ptr_array_index (set->disks, i), error))
      return FALSE;
  return alcove_snapshot_step (work, set->disks->len, set->disks->len + 1, error) &&
         capture_files (work, set, error);
}

gboolean
alcove_snapshot_publish (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error)
{
  g_autofree char *target = alcove_snapshots_dup_path (work->folder, set->id);

  /* "current" first: until the folder has its name, it counts as its parent. */
  if (!alcove_snapshot_write (set, error) ||
      !alcove_snapshots_write_current (work->folder, set->id, error) ||
      !alcove_files_rename (set->folder, target, FALSE, error))
    return FALSE;
  g_free (set->folder);
  set->folder = g_steal_pointer (&target);
  set->hidden = FALSE;
  return TRUE;
}

gboolean
alcove_snapshots_create (const AlcoveSnapshotWork *work,
                         const AlcoveSnapshotWords *words,
                         char **ret_id,
                         GError **error)
{
  g_autoptr (AlcoveSnapshot) set = NULL;

  if (!alcove_snapshots_recover (work, error))
    return FALSE;
  set = alcove_snapshot_begin (work, words, error);
  if (set == NULL)
    return FALSE;
  if (!alcove_snapshot_capture (work, set, error) || !alcove_snapshot_publish (work, set, error))
    {
      alcove_snapshot_drop (work, set);
      return FALSE;
    }
  if (ret_id != NULL)
    *ret_id = g_strdup (set->id);
  return TRUE;
}

/* -- A running machine's -- */

/* The machine has the image open and may write to it: a look without a lock. What cannot be looked
 * at is not compared later. */
static gboolean
note_running_disk (const AlcoveSnapshotWork *work,
                   AlcoveSnapshot *set,
                   AlcoveSnapshotDisk *disk,
                   GError **error)
{
  g_autofree char *path = alcove_snapshot_disk_dup_path (disk, work->folder);
  BlockImage *image = work->access->open (work->access, path, disk->format, FALSE, NULL);
  BlockSnapshot snapshot;
  gboolean found;

  if (image == NULL)
    return TRUE;
  found = alcove_disk_find_snapshot (image, set->id, &snapshot);
  if (found)
    note_image (disk, image, &snapshot);
  else
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                 "The disk “%s” (%s) is in the machine's definition but not in the machine that "
                 "runs: restart it, then take the snapshot",
                 disk->name, path);
  block_image_close (image);
  return found;
}

static gboolean
move_up (AlcoveSnapshot *set, const char *from, const char *to, GError **error)
{
  g_autofree char *source = g_build_filename (set->folder, ALCOVE_SAVED_FOLDER, from, NULL);
  g_autofree char *target = g_build_filename (set->folder, to, NULL);

  return !g_file_test (source, G_FILE_TEST_EXISTS) ||
         alcove_files_rename (source, target, TRUE, error);
}

gboolean
alcove_snapshot_note_running (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error)
{
  g_autofree char *saved = g_build_filename (set->folder, ALCOVE_SAVED_FOLDER, NULL);
  g_autofree char *tpm = g_build_filename (work->folder, ALCOVE_SNAPSHOT_TPM, NULL);
  g_autofree char *tpm_copy = g_build_filename (set->folder, ALCOVE_SNAPSHOT_TPM, NULL);

  for (guint i = 0; i < set->disks->len; i++)
    if (!note_running_disk (work, set, g_ptr_array_index (set->disks, i), error))
      return FALSE;
  set->with_memory = g_file_test (saved, G_FILE_TEST_IS_DIR);
  if (!move_up (set, "firmware-vars", ALCOVE_SNAPSHOT_VARS, error) ||
      !move_up (set, ALCOVE_SNAPSHOT_THUMBNAIL, ALCOVE_SNAPSHOT_THUMBNAIL, error))
    return FALSE;
  if (g_file_test (tpm, G_FILE_TEST_IS_DIR) && !alcove_files_copy_tree (tpm, tpm_copy, error))
    return FALSE;
  return alcove_files_sync_folder (set->folder, error);
}

/* -- Taking away -- */

/* Whoever hangs on the set hangs on its parent from now on. */
static gboolean
let_go (const AlcoveSnapshotWork *work, const AlcoveSnapshot *set, GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = alcove_snapshots_load (work->folder, error);
  g_autofree char *path = alcove_snapshots_dup_path (work->folder, "current");
  g_autofree char *raw = alcove_files_read (path, 4096, NULL, NULL);

  if (tree == NULL)
    return FALSE;
  for (guint i = 0; i < tree->snapshots->len; i++)
    {
      AlcoveSnapshot *published = g_ptr_array_index (tree->snapshots, i);
      g_autoptr (AlcoveSnapshot) child = NULL;

      if (published->problem != NULL)
        continue;
      child = alcove_snapshot_read (published->folder, published->id, NULL);
      if (child == NULL || g_strcmp0 (child->parent, set->id) != 0)
        continue;
      g_free (child->parent);
      child->parent = g_strdup (published->parent); /* resolved past hidden ones */
      if (!alcove_snapshot_write (child, error))
        return FALSE;
    }
  return raw == NULL || strcmp (g_strstrip (raw), set->id) != 0 ||
         alcove_snapshots_write_current (work->folder, tree->current, error);
}

/* A set that cannot be read may be on any of the machine's disks. */
static void
guess_disks (const AlcoveSnapshotWork *work, AlcoveSnapshot *set)
{
  g_autoptr (AlcoveDefinition) definition = alcove_snapshot_load_present (work->folder, NULL);
  guint n = 0;
  const AlcoveDiskConfig *const *disks =
      definition != NULL ? alcove_definition_get_disks (definition, &n) : NULL;

  for (guint i = 0; i < n; i++)
    (void)add_disk (set, work->folder, definition, disks[i], NULL);
}

gboolean
alcove_snapshot_discard (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error)
{
  if (set->problem != NULL)
    guess_disks (work, set);
  return let_go (work, set, error) &&
         work->access->forget (work->access, work->folder, set, error) &&
         alcove_files_remove_tree (set->folder, error);
}

void
alcove_snapshot_drop (const AlcoveSnapshotWork *work, AlcoveSnapshot *set)
{
  g_autofree char *published = alcove_snapshots_dup_path (work->folder, set->id);

  /* Only the sync after the rename failed: it is there. */
  if (g_file_test (published, G_FILE_TEST_EXISTS))
    return;
  /* What cannot be removed now is found by the next recover. */
  (void)alcove_snapshot_discard (work, set, NULL);
}
