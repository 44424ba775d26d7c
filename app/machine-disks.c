/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking at a machine's disks, and work on their images. */
#include "app/machine-disks.h"

#include <string.h>

#include "app/definition-disks.h"
#include "app/disk-tools.h"
#include "app/lock.h"
#include "app/machine-snapshots.h"
#include "app/work.h"

static void
disk_clear (gpointer data)
{
  AlcoveMachineDisk *disk = data;

  g_free (disk->name);
  g_free (disk->file);
  g_strfreev (disk->backing);
  g_free (disk->problem);
}

AlcoveMachineDisk *
alcove_machine_disk_ref (AlcoveMachineDisk *disk)
{
  return g_atomic_rc_box_acquire (disk);
}

void
alcove_machine_disk_unref (gpointer disk)
{
  g_atomic_rc_box_release_full (disk, disk_clear);
}

static BlockFormat
to_block_format (AlcoveDiskFormat format)
{
  return format == ALCOVE_DISK_QCOW2 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
}

/* ---- looking ---- */

static AlcoveMachineDisk *
disk_new (const AlcoveDiskConfig *config)
{
  AlcoveMachineDisk *disk = g_atomic_rc_box_new0 (AlcoveMachineDisk);

  disk->name = g_strdup (config->base.name);
  disk->cdrom = config->base.kind == ALCOVE_KIND_CDROM;
  disk->tray = disk->cdrom &&
               (config->bus == ALCOVE_DISK_SATA || config->bus == ALCOVE_DISK_SCSI) &&
               !config->passthrough;
  disk->file = g_strdup (config->file);
  disk->format = config->format;
  disk->bus = config->bus;
  disk->readonly = config->readonly;
  return disk;
}

static void
look (AlcoveMachineDisk *disk)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) chain =
      disk->file != NULL
          ? alcove_disk_get_chain (disk->file, to_block_format (disk->format), &error)
          : NULL;
  g_autoptr (GStrvBuilder) backing = g_strv_builder_new ();
  const AlcoveDiskImage *top;

  if (chain == NULL)
    {
      disk->problem = error != NULL ? g_strdup (error->message) : NULL;
      return;
    }
  top = g_ptr_array_index (chain, 0);
  disk->size = top->size;
  disk->allocated = top->allocated;
  disk->n_snapshots = top->snapshots->len;
  disk->n_bitmaps = top->bitmaps->len;
  disk->corrupt = top->info.corrupt;
  disk->problem = g_strdup (top->problem);
  for (guint i = 1; i < chain->len; i++)
    g_strv_builder_add (backing, ((const AlcoveDiskImage *)g_ptr_array_index (chain, i))->path);
  /* One that cannot be opened has only its name. */
  if (chain->len == 1 && top->backing_file != NULL)
    g_strv_builder_add (backing, top->backing_file);
  disk->backing = g_strv_builder_end (backing);
}

static void
look_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  GPtrArray *disks = data;

  for (guint i = 0; i < disks->len && !g_cancellable_is_cancelled (cancellable); i++)
    look (g_ptr_array_index (disks, i));
  g_task_return_pointer (task, g_ptr_array_ref (disks), (GDestroyNotify)g_ptr_array_unref);
}

void
alcove_machine_look_at_disks_async (AlcoveMachine *self,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  AlcoveDefinition *definition = alcove_machine_get_definition (self);
  GPtrArray *disks = g_ptr_array_new_with_free_func (alcove_machine_disk_unref);
  const AlcoveDiskConfig *const *configs;
  guint n = 0;

  g_task_set_source_tag (task, alcove_machine_look_at_disks_async);
  g_task_set_task_data (task, disks, (GDestroyNotify)g_ptr_array_unref);
  if (definition == NULL)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s",
                               alcove_machine_get_error (self));
      return;
    }
  configs = alcove_definition_get_disks (definition, &n);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (disks, disk_new (configs[i]));
  configs = alcove_definition_get_cdroms (definition, &n);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (disks, disk_new (configs[i]));
  g_task_run_in_thread (task, look_in_thread);
}

GPtrArray *
alcove_machine_look_at_disks_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* ---- work on an image ---- */

typedef struct
{
  AlcoveDiskWorkKind kind;
  guint64 size;
  char *folder, *path;
  BlockFormat format;
  AlcoveProgressFunc progress;
  gpointer progress_data;
  AlcoveWork *work; /* while the thread runs */
  AlcoveDiskResult result;
  char *snapshot; /* (nullable) id of the one that was taken for it */
  GError *error;  /* (nullable) what is returned when that is gone again */
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  g_free (job->folder);
  g_free (job->path);
  alcove_work_unref (job->work);
  g_free (job->snapshot);
  g_clear_error (&job->error);
  g_free (job);
}

static gboolean
run_check (Job *job, const BlockProgress *progress, GError **error)
{
  BlockCheckReport report = { 0 };
  BlockCheckFlags flags = job->kind == ALCOVE_DISK_WORK_REPAIR
                              ? BLOCK_CHECK_REPAIR_LEAKS | BLOCK_CHECK_REPAIR_ALL
                              : BLOCK_CHECK_LOOK;
  gboolean good = alcove_disk_check (job->path, job->format, flags, progress, &report, error);

  job->result.corruptions = report.corruptions;
  job->result.leaks = report.leaks;
  job->result.errors = report.errors;
  job->result.corruptions_fixed = report.corruptions_fixed;
  job->result.leaks_fixed = report.leaks_fixed;
  block_check_report_clear (&report);
  return good;
}

static gboolean
run (Job *job, GError **error)
{
  const BlockProgress *progress = alcove_work_get_progress (job->work);

  switch (job->kind)
    {
    case ALCOVE_DISK_WORK_COMPACT:
      return alcove_disk_compact (job->path, job->format, progress, &job->result.before,
                                  &job->result.after, error);
    case ALCOVE_DISK_WORK_RESIZE:
      return alcove_disk_resize (job->path, job->format, job->size, FALSE, progress, error);
    case ALCOVE_DISK_WORK_CHECK:
    case ALCOVE_DISK_WORK_REPAIR:
    default:
      return run_check (job, progress, error);
    }
}

static void
work_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Job *job = data;
  GError *error = NULL;
  g_autoptr (AlcoveLock) lock = alcove_lock_acquire (job->folder, "works on a disk", &error);

  if (lock != NULL && run (job, &error))
    g_task_return_boolean (inner, TRUE);
  else
    g_task_return_error (inner, error);
}

static void
on_taken_back (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Job *job = g_task_get_task_data (task);

  /* One that stays shows in the machine's snapshots, and can be deleted there. */
  (void)alcove_machine_delete_snapshot_finish (ALCOVE_MACHINE (source), result, NULL, NULL);
  g_task_return_error (task, g_steal_pointer (&job->error));
}

static void
on_worked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Job *job = g_task_get_task_data (task);

  if (g_task_propagate_boolean (G_TASK (result), &job->error))
    g_task_return_boolean (task, TRUE);
  else if (job->snapshot != NULL)
    alcove_machine_delete_snapshot_async (ALCOVE_MACHINE (source), job->snapshot, NULL,
                                          on_taken_back, g_object_ref (task));
  else
    g_task_return_error (task, g_steal_pointer (&job->error));
}

static void
start_work (GTask *task)
{
  Job *job = g_task_get_task_data (task);
  g_autoptr (GTask) inner =
      g_task_new (g_task_get_source_object (task), NULL, on_worked, g_object_ref (task));

  job->work = alcove_work_new (job->progress, job->progress_data, g_task_get_cancellable (task));
  g_task_set_task_data (inner, job, NULL);
  g_task_run_in_thread (inner, work_in_thread);
}

static void
on_kept (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Job *job = g_task_get_task_data (task);
  GError *error = NULL;

  job->snapshot = alcove_machine_create_snapshot_finish (ALCOVE_MACHINE (source), result, &error);
  if (job->snapshot == NULL)
    g_task_return_error (task, error);
  else
    start_work (task);
}

/* FALSE: the task has its error. */
static gboolean
may_work (AlcoveMachine *self, const AlcoveDiskWork *work, GTask *task)
{
  const char *name = alcove_machine_get_name (self);
  gboolean changes = work->kind == ALCOVE_DISK_WORK_REPAIR || work->kind == ALCOVE_DISK_WORK_RESIZE;

  if (alcove_machine_is_active (self))
    g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                             "%s is running, and has the disk “%s” open: shut it down first", name,
                             work->disk);
  else if (changes && alcove_machine_get_state (self) == ALCOVE_MACHINE_SAVED)
    g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                             "%s is saved, and goes on with the disk “%s” as it is: start it and "
                             "shut it down, or discard the saved state first",
                             name, work->disk);
  else
    return TRUE;
  return FALSE;
}

static const AlcoveDiskConfig *
find_disk (AlcoveMachine *self, const char *name, GTask *task)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (self);
  const AlcoveDiskConfig *disk =
      definition != NULL ? alcove_definition_find_disk (definition, name) : NULL;

  if (definition == NULL)
    g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s",
                             alcove_machine_get_error (self));
  else if (disk == NULL || disk->file == NULL)
    g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                             "%s has no disk “%s” any more", alcove_machine_get_name (self), name);
  return disk != NULL && disk->file != NULL ? disk : NULL;
}

void
alcove_machine_work_on_disk_async (AlcoveMachine *self,
                                   const AlcoveDiskWork *work,
                                   AlcoveProgressFunc progress,
                                   gpointer progress_data,
                                   GCancellable *cancellable,
                                   GAsyncReadyCallback callback,
                                   gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  const AlcoveDiskConfig *disk;
  Job *job;

  g_task_set_source_tag (task, alcove_machine_work_on_disk_async);
  /* What is done is done, also when the cancel came a moment later. */
  g_task_set_check_cancellable (task, FALSE);
  if (!may_work (self, work, task) || (disk = find_disk (self, work->disk, task)) == NULL)
    return;
  job = g_new0 (Job, 1);
  job->kind = work->kind;
  job->size = work->size;
  job->folder = g_strdup (alcove_machine_get_folder (self));
  job->path = g_strdup (disk->file);
  job->format = to_block_format (disk->format);
  job->progress = progress;
  job->progress_data = progress_data;
  g_task_set_task_data (task, job, job_free);
  if (work->kind == ALCOVE_DISK_WORK_RESIZE && work->keep)
    {
      g_autofree char *name = g_strdup_printf ("Before resizing %s", work->disk);

      alcove_machine_create_snapshot_async (self, name, NULL, "resize", progress, progress_data,
                                            cancellable, on_kept, g_object_ref (task));
    }
  else
    start_work (task);
}

gboolean
alcove_machine_work_on_disk_finish (AlcoveMachine *self,
                                    GAsyncResult *result,
                                    AlcoveDiskResult *ret,
                                    GError **error)
{
  const Job *job = g_task_get_task_data (G_TASK (result));

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return FALSE;
  *ret = job->result;
  return TRUE;
}
