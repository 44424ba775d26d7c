/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "app/clone-private.h"
#include "app/files.h"
#include "app/paths.h"

#define FOLDERS_MAX 1000

static void
job_free (gpointer data)
{
  AlcoveCloneJob *job = data;

  g_free ((char *)job->spec.name);
  g_free ((char *)job->spec.snapshot);
  g_free (job->machines);
  g_free (job->source);
  g_clear_pointer (&job->reporter, alcove_reporter_unref);
  g_clear_object (&job->cancellable);
  g_clear_object (&job->definition);
  g_clear_pointer (&job->set, alcove_snapshot_unref);
  g_free (job);
}

/* -- Which state -- */

static gboolean
find_state (AlcoveCloneJob *job, const AlcoveSnapshotWork *work, GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = NULL;
  g_autofree char *id = g_strdup (job->spec.snapshot);
  AlcoveSnapshot *set;

  /* What a crash left concerns no published set, and belongs to whoever starts the machine. */
  if (job->runner == 0 && !alcove_snapshots_recover (work, error))
    return FALSE;
  if (id == NULL && job->spec.linked)
    {
      g_autofree char *name = g_strdup_printf ("Base of %.100s", job->spec.name);
      AlcoveSnapshotWords words = { .name = g_utf8_validate (name, -1, NULL) ? name : "Base",
                                    .reason = "clone" };

      if (!alcove_snapshots_create (work, &words, &id, error))
        return FALSE;
    }
  if (id == NULL)
    {
      g_autofree char *path = g_build_filename (job->source, ALCOVE_DEFINITION_FILE, NULL);

      job->definition = alcove_definition_load (path, error);
      return job->definition != NULL;
    }
  if ((tree = alcove_snapshots_load (job->source, error)) == NULL ||
      (set = alcove_snapshots_find (tree, id, error)) == NULL ||
      !alcove_snapshot_check (work, set, error))
    return FALSE;
  job->set = alcove_snapshot_ref (set);
  job->definition = alcove_snapshot_load_definition (set, job->source, error);
  return job->definition != NULL;
}

/* -- The new folder -- */

/* Who it is, and what others know it by, is its own. */
static void
renew_identity (AlcoveCloneJob *job, AlcoveConfFile *conf)
{
  g_autofree char *uuid = g_uuid_string_random ();
  guint n;
  const AlcoveNicConfig *const *nics = alcove_definition_get_nics (job->definition, &n);

  alcove_conf_file_set_value (conf, "machine", "uuid", uuid);
  alcove_conf_file_set_value (conf, "machine", "name", job->spec.name);
  (void)alcove_conf_file_remove_key (conf, "machine", "firmware-vars");
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *group = g_strconcat ("nic ", nics[i]->base.name, NULL);

      (void)alcove_conf_file_remove_key (conf, group, "mac");
    }
}

static gboolean
copy_state (AlcoveCloneJob *job, const char *folder, GError **error)
{
  const char *from = job->set != NULL ? job->set->folder : job->source;
  g_autofree char *tpm = g_build_filename (from, ALCOVE_SNAPSHOT_TPM, NULL);
  g_autofree char *tpm_copy = g_build_filename (folder, ALCOVE_SNAPSHOT_TPM, NULL);
  g_autofree char *vars_copy = g_build_filename (folder, ALCOVE_SNAPSHOT_VARS, NULL);
  g_autofree char *vars =
      job->set != NULL ? g_build_filename (from, ALCOVE_SNAPSHOT_VARS, NULL)
                       : g_strdup (alcove_definition_get_machine (job->definition)->firmware_vars);

  if (vars != NULL && g_file_test (vars, G_FILE_TEST_EXISTS) &&
      !alcove_files_copy (vars, vars_copy, job->cancellable, error))
    return FALSE;
  return !g_file_test (tpm, G_FILE_TEST_IS_DIR) || alcove_files_copy_tree (tpm, tpm_copy, error);
}

static gboolean
fill (AlcoveCloneJob *job, const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autoptr (AlcoveConfFile) conf = alcove_definition_dup_conf (job->definition);
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autofree char *text = NULL;

  renew_identity (job, conf);
  if (!alcove_clone_disks (job, conf, folder, error) || !copy_state (job, folder, error))
    return FALSE;
  text = alcove_conf_file_to_text (conf, NULL);
  definition = alcove_definition_new_from_text (text, -1, path, error);
  return definition != NULL && alcove_definition_assign (definition, error) &&
         alcove_definition_create (definition, error) && alcove_files_sync_folder (folder, error);
}

static char *
publish (AlcoveCloneJob *job, const char *from, GError **error)
{
  g_autofree char *base = alcove_create_dup_folder_name (job->spec.name);

  for (guint i = 1; i <= FOLDERS_MAX; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup (base) : g_strdup_printf ("%s-%u", base, i);
      g_autofree char *path = g_build_filename (job->machines, name, NULL);

      if (renameat2 (AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        {
          if (alcove_files_sync_folder (job->machines, error))
            return g_steal_pointer (&path);
          alcove_paths_remove_tree (path); /* what failed is not there */
          return NULL;
        }
      if (errno != EEXIST)
        {
          (void)alcove_files_set_error (error, errno, path, "cannot be made");
          return NULL;
        }
    }
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS,
               "There are already %d machines named %s: choose another name", FOLDERS_MAX,
               job->spec.name);
  return NULL;
}

/* -- A source that runs -- */

gboolean
alcove_clone_check_source (AlcoveCloneJob *job,
                           const AlcoveDiskConfig *disk,
                           gboolean unlocked,
                           GError **error)
{
  BlockImageFlags flags = { .readonly = TRUE, .no_backing = TRUE };
  g_autoptr (GError) local = NULL;
  BlockImage *image = NULL;

  if (job->runner == 0)
    return TRUE;
  if (unlocked)
    image = block_image_open (disk->file, BLOCK_FORMAT_QCOW2, &flags, &local);
  block_image_close (image);
  if (alcove_lock_get_runner (job->source) == job->runner &&
      (!unlocked || g_error_matches (local, VMM_ERROR, VMM_ERROR_BUSY)))
    return TRUE;
  job->changed_hands = TRUE;
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
               "The machine was turned off, or its disk “%s” taken out, while it was copied: try "
               "again",
               disk->base.name);
  return FALSE;
}

/* *ret_machine: (transfer full) (nullable): a machine that runs has its lock, and a snapshot of it
 * can be read all the same. */
static gboolean
lock_source (AlcoveCloneJob *job, AlcoveLock **ret_machine, GError **error)
{
  g_autoptr (GError) local = NULL;

  job->runner = 0;
  *ret_machine = alcove_lock_acquire (job->source, "copies it", &local);
  if (*ret_machine != NULL)
    return TRUE;
  job->runner = g_error_matches (local, ALCOVE_ERROR, ALCOVE_ERROR_BUSY)
                    ? alcove_lock_get_runner (job->source)
                    : 0;
  if (job->runner != 0 && job->spec.snapshot != NULL)
    return TRUE;
  if (job->runner != 0)
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                 "The machine runs (process %u), and what its disks hold changes while it is "
                 "copied: turn it off, or take a snapshot and clone that (--snapshot)",
                 job->runner);
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static char *
run_once (AlcoveCloneJob *job, GError **error)
{
  AlcoveSnapshotWork work = { .folder = job->source };
  g_autoptr (AlcoveLock) machine = NULL;
  g_autoptr (AlcoveLock) tree = NULL;
  g_autofree char *folder = g_build_filename (job->machines, ".new-XXXXXX", NULL);
  char *path;

  if (!lock_source (job, &machine, error))
    return NULL;
  work.access = job->runner != 0 ? &alcove_disk_access_running : &alcove_disk_access_files;
  if ((tree = alcove_snapshots_lock (job->source, "copies it", error)) == NULL ||
      !find_state (job, &work, error))
    return NULL;
  if (g_mkdir_with_parents (job->machines, 0700) < 0 || g_mkdtemp_full (folder, 0700) == NULL)
    {
      (void)alcove_files_set_error (error, errno, job->machines, "cannot take a new machine");
      return NULL;
    }
  path = fill (job, folder, error) ? publish (job, folder, error) : NULL;
  if (path == NULL)
    alcove_paths_remove_tree (folder);
  return path;
}

static char *
run (AlcoveCloneJob *job, GError **error)
{
  g_autoptr (GError) local = NULL;
  char *path = run_once (job, &local);

  if (path == NULL && job->changed_hands)
    {
      /* Once more: now the machine is off, or runs afresh. */
      g_clear_error (&local);
      g_clear_object (&job->definition);
      g_clear_pointer (&job->set, alcove_snapshot_unref);
      job->done = job->total = 0;
      job->changed_hands = FALSE;
      path = run_once (job, &local);
    }
  if (path == NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  return path;
}

static void
clone_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;
  char *path = run (task_data, &error);

  if (path != NULL)
    g_task_return_pointer (task, path, g_free);
  else
    g_task_return_error (task, error);
}

void
alcove_clone_async (const char *machines_folder,
                    const char *source_folder,
                    const AlcoveCloneSpec *spec,
                    AlcoveProgressFunc progress,
                    gpointer progress_data,
                    GCancellable *cancellable,
                    GAsyncReadyCallback callback,
                    gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  AlcoveCloneJob *job = g_new0 (AlcoveCloneJob, 1);

  g_task_set_source_tag (task, alcove_clone_async);
  g_task_set_task_data (task, job, job_free);
  g_task_set_return_on_cancel (task, FALSE);
  g_task_set_check_cancellable (task, FALSE);
  job->spec.name = g_strdup (spec->name);
  job->spec.snapshot = g_strdup (spec->snapshot);
  job->spec.linked = spec->linked;
  job->machines = g_strdup (machines_folder);
  job->source = g_canonicalize_filename (source_folder, NULL);
  job->reporter = alcove_reporter_new (progress, progress_data, cancellable);
  job->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  if (*spec->name == '\0' || strlen (spec->name) > 128)
    g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                             "A machine's name has 1 to 128 bytes");
  else
    g_task_run_in_thread (task, clone_thread);
}

char *
alcove_clone_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
