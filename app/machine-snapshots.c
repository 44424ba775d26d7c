/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/machine-snapshots.h"

#include <string.h>
#include "app/lock.h"
#include "app/machine-private.h"
#include "app/progress.h"
#include "app/saved.h"
#include "app/snapshot-work.h"

#define RESTART_WAIT_MS 50
#define RESTART_WAITS   100

typedef enum
{
  WORK_CREATE,
  WORK_REVERT,
  WORK_DELETE,
  WORK_PRUNE,
  WORK_CHECK,
} WorkKind;

/* One operation. The thread has it to itself until it is done. */
typedef struct
{
  WorkKind kind;
  char *folder, *machine_name;
  char *name, *note, *reason, *id;
  gboolean keep;          /* REVERT */
  guint keep_count;       /* PRUNE */
  AlcoveMachine1 *proxy;  /* (nullable): the machine runs */
  gulong progress_signal; /* of proxy */
  AlcoveReporter *reporter;
  GCancellable *cancellable; /* (nullable) */
  char *result, *left;
} Work;

static void
work_free (gpointer data)
{
  Work *work = data;

  if (work->progress_signal != 0)
    g_signal_handler_disconnect (work->proxy, work->progress_signal);
  g_clear_object (&work->proxy);
  g_clear_object (&work->cancellable);
  g_clear_pointer (&work->reporter, alcove_reporter_unref);
  g_free (work->folder);
  g_free (work->machine_name);
  g_free (work->name);
  g_free (work->note);
  g_free (work->reason);
  g_free (work->id);
  g_free (work->result);
  g_free (work->left);
  g_free (work);
}

/* -- A running machine's disks -- */

static gboolean
call_sync (AlcoveMachine1 *proxy, const char *method, GVariant *arguments, GError **error)
{
  g_autoptr (GVariant) answer = g_dbus_proxy_call_sync (
      G_DBUS_PROXY (proxy), method, arguments, G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, error);

  if (answer == NULL && error != NULL)
    alcove_error_strip_remote (*error);
  return answer != NULL;
}

static gboolean
forget_running (const AlcoveDiskAccess *self,
                const char *machine_folder,
                const AlcoveSnapshot *set,
                GError **error)
{
  const Work *work = self->user_data;

  return call_sync (work->proxy, "DeleteDiskSnapshot", g_variant_new ("(s)", set->id), error);
}

static gboolean
check_all_included (const Work *work, const AlcoveSnapshot *set, GError **error)
{
  if (set->excluded->len == 0)
    return TRUE;
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
               "%s runs and its disk “%s” is left out of snapshots (snapshot=false): its memory "
               "would not fit to that disk later. Turn the machine off first, or include the disk",
               work->machine_name, (const char *)g_ptr_array_index (set->excluded, 0));
  return FALSE;
}

static void
on_wish_to_cancel (GCancellable *cancellable, gpointer user_data)
{
  AlcoveMachine1 *proxy = user_data;

  g_dbus_proxy_call (G_DBUS_PROXY (proxy), "CancelSave", NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL,
                     NULL, NULL);
}

static gboolean
snapshot_running (Work *work, AlcoveSnapshot *set, GError **error)
{
  g_autofree char *folder = g_build_filename (set->folder, ALCOVE_SAVED_FOLDER, NULL);
  g_autofree char *name = g_strconcat ("alcove-", set->id, NULL);
  GVariantBuilder options;
  gulong handler = 0;
  gboolean good;

  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  if (set->disks->len > 0)
    {
      g_variant_builder_add (&options, "{sv}", "disk-snapshot-id", g_variant_new_string (set->id));
      g_variant_builder_add (&options, "{sv}", "disk-snapshot-name", g_variant_new_string (name));
    }
  if (work->cancellable != NULL)
    handler = g_cancellable_connect (work->cancellable, G_CALLBACK (on_wish_to_cancel), work->proxy,
                                     NULL);
  good = call_sync (work->proxy, "Snapshot", g_variant_new ("(sa{sv})", folder, &options), error);
  g_cancellable_disconnect (work->cancellable, handler);
  return good;
}

static gboolean
create_running (Work *work, const AlcoveSnapshotWork *snapshots, GError **error)
{
  AlcoveSnapshotWords words = { work->name, work->note, work->reason };
  g_autoptr (AlcoveSnapshot) set = NULL;

  if (!alcove_snapshots_recover (snapshots, error) ||
      (set = alcove_snapshot_begin (snapshots, &words, error)) == NULL)
    return FALSE;
  if (!check_all_included (work, set, error) || !snapshot_running (work, set, error) ||
      !alcove_snapshot_note_running (snapshots, set, error) ||
      !alcove_snapshot_publish (snapshots, set, error))
    {
      alcove_snapshot_drop (snapshots, set);
      return FALSE;
    }
  work->result = g_strdup (set->id);
  return TRUE;
}

/* -- The thread -- */

static gboolean
check_target (const Work *work, const AlcoveSnapshotWork *snapshots, GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = alcove_snapshots_load (work->folder, error);
  AlcoveSnapshot *set = tree != NULL ? alcove_snapshots_find (tree, work->id, error) : NULL;

  return set != NULL && alcove_snapshot_check (snapshots, set, error);
}

static gboolean
run_work (Work *work, const AlcoveSnapshotWork *snapshots, GError **error)
{
  AlcoveSnapshotWords words = { work->name, work->note, work->reason };

  switch (work->kind)
    {
    case WORK_CREATE:
      return work->proxy != NULL
                 ? create_running (work, snapshots, error)
                 : alcove_snapshots_create (snapshots, &words, &work->result, error);
    case WORK_REVERT:
      return alcove_snapshots_revert (snapshots, work->id, work->keep, error);
    case WORK_DELETE:
      return alcove_snapshots_delete (snapshots, work->id, &work->left, error);
    case WORK_CHECK:
      return check_target (work, snapshots, error);
    case WORK_PRUNE:
    default:
      return alcove_snapshots_recover (snapshots, error) &&
             alcove_snapshots_prune (snapshots, work->keep_count, error);
    }
}

static void
work_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  static const char *const doing[] = { "takes a snapshot", "reverts to a snapshot",
                                       "deletes a snapshot", "deletes snapshots",
                                       "looks at a snapshot" };
  Work *work = task_data;
  AlcoveDiskAccess running = { alcove_disk_access_open_running, forget_running, work };
  BlockProgress progress = alcove_reporter_get_progress (work->reporter);
  AlcoveSnapshotWork snapshots = {
    .folder = work->folder,
    .access = work->proxy != NULL ? &running : &alcove_disk_access_files,
    .progress = &progress,
  };
  AlcoveLock *tree, *machine = NULL;
  GError *error = NULL;
  gboolean good;

  tree = alcove_snapshots_lock (work->folder, doing[work->kind], &error);
  if (tree != NULL && work->proxy == NULL)
    machine = alcove_lock_acquire (work->folder, doing[work->kind], &error);
  good = tree != NULL && (work->proxy != NULL || machine != NULL) &&
         run_work (work, &snapshots, &error);
  /* Before the word of the end: whoever hears it may start the machine. */
  alcove_lock_release (machine);
  alcove_lock_release (tree);
  if (!good)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

static void
on_save_progress (AlcoveMachine1 *proxy, guint64 done, guint64 total, gpointer user_data)
{
  alcove_reporter_report (user_data, done, total);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Work *work = g_task_get_task_data (task);
  GError *error = NULL;

  if (!alcove_machine_connect_finish (self, result, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if (alcove_machine_is_disposable (self) && work->kind != WORK_CHECK)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "This run of %s is disposable: turn it off first",
                               alcove_machine_get_name (self));
      return;
    }
  work->proxy = g_object_ref (self->proxy);
  work->progress_signal = g_signal_connect (work->proxy, "save-progress",
                                            G_CALLBACK (on_save_progress), work->reporter);
  g_task_run_in_thread (task, work_thread);
}

static Work *
work_new (AlcoveMachine *self,
          WorkKind kind,
          AlcoveProgressFunc progress,
          gpointer progress_data,
          GCancellable *cancellable)
{
  Work *work = g_new0 (Work, 1);

  work->kind = kind;
  work->folder = g_strdup (self->folder);
  work->machine_name = g_strdup (alcove_machine_get_name (self));
  work->reporter = alcove_reporter_new (progress, progress_data, cancellable);
  work->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  return work;
}

/* task: (transfer full) */
static void
start_work (GTask *task)
{
  AlcoveMachine *self = g_task_get_source_object (task);

  /* The thread tidies up before it ends, cancelled or not. */
  g_task_set_return_on_cancel (task, FALSE);
  if (alcove_machine_has_process (self))
    {
      alcove_machine_connect_async (self, NULL, on_connected, task);
      return;
    }
  g_task_run_in_thread (task, work_thread);
  g_object_unref (task);
}

static gboolean
refuse_invalid (GTask *task)
{
  AlcoveMachine *self = g_task_get_source_object (task);

  if (self->state != ALCOVE_MACHINE_INVALID)
    return FALSE;
  g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                           "The definition of this machine cannot be used: %s", self->error);
  g_object_unref (task);
  return TRUE;
}

void
alcove_machine_create_snapshot_async (AlcoveMachine *self,
                                      const char *name,
                                      const char *note,
                                      const char *reason,
                                      AlcoveProgressFunc progress,
                                      gpointer progress_data,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  Work *work = work_new (self, WORK_CREATE, progress, progress_data, cancellable);

  work->name = g_strdup (name);
  work->note = g_strdup (note);
  work->reason = g_strdup (reason);
  g_task_set_source_tag (task, alcove_machine_create_snapshot_async);
  g_task_set_task_data (task, work, work_free);
  g_task_set_check_cancellable (task, FALSE);
  if (!refuse_invalid (task))
    start_work (task);
}

char *
alcove_machine_create_snapshot_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  Work *work = g_task_get_task_data (G_TASK (result));

  return g_task_propagate_boolean (G_TASK (result), error) ? g_strdup (work->result) : NULL;
}

void
alcove_machine_delete_snapshot_async (AlcoveMachine *self,
                                      const char *id,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  Work *work = work_new (self, WORK_DELETE, NULL, NULL, cancellable);

  work->id = g_strdup (id);
  g_task_set_source_tag (task, alcove_machine_delete_snapshot_async);
  g_task_set_task_data (task, work, work_free);
  g_task_set_check_cancellable (task, FALSE);
  start_work (task);
}

gboolean
alcove_machine_delete_snapshot_finish (AlcoveMachine *self,
                                       GAsyncResult *result,
                                       char **ret_left,
                                       GError **error)
{
  Work *work = g_task_get_task_data (G_TASK (result));

  if (!g_task_propagate_boolean (G_TASK (result), error))
    return FALSE;
  if (ret_left != NULL)
    *ret_left = g_strdup (work->left);
  return TRUE;
}

void
alcove_machine_prune_snapshots_async (AlcoveMachine *self,
                                      guint keep,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data)
{
  GTask *task = g_task_new (self, cancellable, callback, user_data);
  Work *work = work_new (self, WORK_PRUNE, NULL, NULL, cancellable);

  work->keep_count = keep;
  g_task_set_source_tag (task, alcove_machine_prune_snapshots_async);
  g_task_set_task_data (task, work, work_free);
  g_task_set_check_cancellable (task, FALSE);
  start_work (task);
}

/* -- Reverting: perhaps keep, perhaps turn off, revert, perhaps start -- */

typedef struct
{
  char *id;
  char *name; /* of what is kept */
  gboolean keep, was_running;
  guint waits_left; /* for the machine to know that it is off */
  AlcoveProgressFunc progress;
  gpointer progress_data;
} Revert;

static void
revert_free (gpointer data)
{
  Revert *revert = data;

  g_free (revert->id);
  g_free (revert->name);
  g_free (revert);
}

static void
on_restarted (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (!alcove_machine_finish (ALCOVE_MACHINE (source), result, &error))
    {
      g_prefix_error (&error, "The machine is reverted, but does not start: ");
      g_task_return_error (task, error);
      return;
    }
  g_task_return_boolean (task, TRUE);
}

/* The process has gone; the machine's own idea of it follows when its connection closes. */
static gboolean
on_restart_time (gpointer user_data)
{
  GTask *task = user_data;
  AlcoveMachine *self = g_task_get_source_object (task);
  Revert *revert = g_task_get_task_data (task);

  if (alcove_machine_is_active (self) && --revert->waits_left > 0)
    return G_SOURCE_CONTINUE;
  alcove_machine_start_async (self, ALCOVE_START_NONE, NULL, on_restarted, g_object_ref (task));
  return G_SOURCE_REMOVE;
}

static void
restart (GTask *task)
{
  g_autoptr (GSource) timer = g_timeout_source_new (RESTART_WAIT_MS);
  Revert *revert = g_task_get_task_data (task);

  revert->waits_left = RESTART_WAITS;
  if (on_restart_time (task))
    g_task_attach_source (task, timer, on_restart_time);
}

static void
on_reverted (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Revert *revert = g_task_get_task_data (task);
  GError *error = NULL;
  gboolean good = g_task_propagate_boolean (G_TASK (result), &error);

  alcove_machine_reload (self);
  if (!good)
    g_task_return_error (task, error);
  else if (revert->was_running)
    restart (task);
  else
    g_task_return_boolean (task, TRUE);
}

static void
revert_files (GTask *task, gboolean keep)
{
  AlcoveMachine *self = g_task_get_source_object (task);
  Revert *revert = g_task_get_task_data (task);
  GCancellable *cancellable = revert->was_running ? NULL : g_task_get_cancellable (task);
  GTask *inner = g_task_new (self, cancellable, on_reverted, g_object_ref (task));
  Work *work = work_new (self, WORK_REVERT, revert->progress, revert->progress_data, cancellable);

  work->id = g_strdup (revert->id);
  work->keep = keep;
  g_task_set_task_data (inner, work, work_free);
  g_task_set_check_cancellable (inner, FALSE);
  g_task_set_return_on_cancel (inner, FALSE);
  g_task_run_in_thread (inner, work_thread);
  g_object_unref (inner);
}

static void
on_turned_off (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (!alcove_machine_finish (ALCOVE_MACHINE (source), result, &error))
    g_task_return_error (task, error);
  else
    revert_files (task, FALSE); /* what was to be kept was kept while it ran */
}

static void
turn_off (GTask *task)
{
  alcove_machine_force_off_async (g_task_get_source_object (task), NULL, on_turned_off,
                                  g_object_ref (task));
}

static void
on_kept (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  g_autofree char *id =
      alcove_machine_create_snapshot_finish (ALCOVE_MACHINE (source), result, &error);

  if (id == NULL)
    {
      g_prefix_error (&error, "The present state cannot be kept, so nothing was changed: ");
      g_task_return_error (task, error);
      return;
    }
  turn_off (task);
}

static void
on_checked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Revert *revert = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if (!revert->keep)
    {
      turn_off (task);
      return;
    }
  alcove_machine_create_snapshot_async (self, revert->name, NULL, "revert", revert->progress,
                                        revert->progress_data, g_task_get_cancellable (task),
                                        on_kept, g_object_ref (task));
}

/* A machine is not turned off for a revert that cannot be done. */
static void
check (GTask *task)
{
  AlcoveMachine *self = g_task_get_source_object (task);
  Revert *revert = g_task_get_task_data (task);
  GTask *inner = g_task_new (self, NULL, on_checked, g_object_ref (task));
  Work *work = work_new (self, WORK_CHECK, NULL, NULL, NULL);

  work->id = g_strdup (revert->id);
  g_task_set_task_data (inner, work, work_free);
  start_work (inner);
}

static AlcoveSnapshot *
find_target (AlcoveMachine *self, const char *id, GError **error)
{
  g_autoptr (AlcoveSnapshots) tree = alcove_snapshots_load (self->folder, error);
  AlcoveSnapshot *set = tree != NULL ? alcove_snapshots_find (tree, id, error) : NULL;

  if (set == NULL || set->problem == NULL)
    return set != NULL ? alcove_snapshot_ref (set) : NULL;
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "The snapshot %s cannot be used: %s",
               set->id, set->problem);
  return NULL;
}

void
alcove_machine_revert_async (AlcoveMachine *self,
                             const char *id,
                             gboolean keep,
                             AlcoveProgressFunc progress,
                             gpointer progress_data,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autoptr (AlcoveSnapshot) target = NULL;
  Revert *revert = g_new0 (Revert, 1);
  GError *error = NULL;

  g_task_set_source_tag (task, alcove_machine_revert_async);
  g_task_set_task_data (task, revert, revert_free);
  g_task_set_check_cancellable (task, FALSE);
  revert->keep = keep;
  revert->progress = progress;
  revert->progress_data = progress_data;
  revert->was_running = alcove_machine_has_process (self);
  target = find_target (self, id, &error);
  if (target == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  revert->id = g_strdup (target->id);
  revert->name = alcove_snapshot_dup_kept_name (target);
  if (revert->was_running)
    check (task);
  else
    revert_files (task, keep);
}
