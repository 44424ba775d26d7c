/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/saving.h"

#include <errno.h>
#include <glib/gstdio.h>

#include "app/error.h"
#include "app/paths.h"
#include "app/picture.h"
#include "app/runner/control.h"
#include "app/runner/machine-private.h"
#include "app/saved.h"
#include "devices/backends/block/image.h"
#include "vmm/save.h"

#define THUMBNAIL_SIDE 320 /* pixels at most */

/* One save under way. */
typedef struct
{
  char *folder, *partial;
  GDBusMethodInvocation *invocation;
  gboolean snapshot, quit, was_running;
  char *disk_id, *disk_name; /* (nullable) of the disks' snapshots */
  GPtrArray *snapped;        /* of BlockImage: they have it */
  GBytes *vars;              /* (nullable) firmware variables at the point */
  AlcovePicture *thumbnail;  /* (nullable) */
} Job;

struct _RunnerSaving
{
  RunnerMachine *machine;
  AlcoveDefinition *definition;
  AlcoveMachine1 *skeleton;
  RunnerSavedFunc saved;
  gpointer user_data;
  VmmSave *save; /* (nullable) */
  Job *job;      /* with save */
  GMutex lock;   /* what follows: the save's thread writes it */
  guint64 done, total;
  guint idle; /* a source that tells of it */
};

static void
job_free (Job *job)
{
  if (job == NULL)
    return;
  g_free (job->folder);
  g_free (job->partial);
  g_free (job->disk_id);
  g_free (job->disk_name);
  g_ptr_array_unref (job->snapped);
  g_clear_pointer (&job->vars, g_bytes_unref);
  g_clear_pointer (&job->thumbnail, alcove_picture_free);
  g_free (job);
}

/* At the point; the save's thread. */

/* A smaller picture by leaving pixels out: it must not take long. */
static AlcovePicture *
take_thumbnail (DisplayScanout *scanout)
{
  DisplaySurface *surface = scanout != NULL ? display_scanout_dup_surface (scanout) : NULL;
  AlcovePicture *picture;
  guint width, height, step, stride;
  const guint8 *from;
  guint32 *to;

  if (surface == NULL)
    return NULL;
  width = display_surface_get_width (surface);
  height = display_surface_get_height (surface);
  stride = display_surface_get_stride (surface);
  from = display_surface_get_data (surface);
  step = MAX (1, (MAX (width, height) + THUMBNAIL_SIDE - 1) / THUMBNAIL_SIDE);
  picture = g_new0 (AlcovePicture, 1);
  picture->width = (width + step - 1) / step;
  picture->height = (height + step - 1) / step;
  picture->stride = picture->width * 4;
  to = g_malloc ((gsize)picture->stride * picture->height);
  for (guint y = 0; y < picture->height; y++)
    for (guint x = 0; x < picture->width; x++)
      to[(gsize)y * picture->width + x] =
          *(const guint32 *)(gconstpointer)(from + (gsize)y * step * stride + (gsize)x * step * 4);
  picture->pixels = g_bytes_new_take (to, (gsize)picture->stride * picture->height);
  display_surface_unref (surface);
  return picture;
}

static BlockImage *
writable_image (BlockBackend *backend)
{
  BlockInfo info;

  backend->ops->get_info (backend, &info);
  return info.readonly ? NULL : block_backend_get_image (backend);
}

static gboolean
snap_disks (RunnerSaving *self, GError **error)
{
  GPtrArray *blocks = self->machine->blocks;
  guint64 now =
      (guint64)vmm_clock_get_ns (vmm_machine_get_clock (vmm_vm_get_machine (self->machine->vm)));

  for (guint i = 0; self->job->disk_id != NULL && i < blocks->len; i++)
    {
      BlockImage *image = writable_image (g_ptr_array_index (blocks, i));

      if (image == NULL)
        continue;
      if (!block_image_snapshot_create (image, self->job->disk_id, self->job->disk_name, now,
                                        error))
        return FALSE;
      g_ptr_array_add (self->job->snapped, image);
    }
  return TRUE;
}

static gboolean
on_point (gpointer user_data, GError **error)
{
  RunnerSaving *self = user_data;

  /* What the guest believes to be on disk is there before its memory is called saved. */
  if (!self->job->snapshot)
    return runner_machine_flush (self->machine, error);
  self->job->vars = q35_board_dup_firmware_vars (self->machine->board);
  self->job->thumbnail = take_thumbnail (runner_machine_get_scanout (self->machine, 0));
  return snap_disks (self, error);
}

static gboolean
on_tell (gpointer user_data)
{
  RunnerSaving *self = user_data;
  guint64 done, total;

  g_mutex_lock (&self->lock);
  self->idle = 0;
  done = self->done;
  total = self->total;
  g_mutex_unlock (&self->lock);
  alcove_machine1_emit_save_progress (self->skeleton, done, total);
  return G_SOURCE_REMOVE;
}

static void
on_progress (guint64 done, guint64 total, gpointer user_data)
{
  RunnerSaving *self = user_data;

  g_mutex_lock (&self->lock);
  self->done = done;
  self->total = total;
  if (self->idle == 0)
    self->idle = g_idle_add_full (G_PRIORITY_DEFAULT, on_tell, self, NULL);
  g_mutex_unlock (&self->lock);
}

/* At the end; the main context. */

static gboolean
write_extras (RunnerSaving *self, Job *job, GError **error)
{
  g_autofree char *vars = g_build_filename (job->partial, "firmware-vars", NULL);
  g_autofree char *thumbnail = g_build_filename (job->partial, "thumbnail.png", NULL);

  if (job->thumbnail != NULL && !alcove_picture_save_png (job->thumbnail, thumbnail, error))
    return FALSE;
  if (job->vars != NULL && !g_file_set_contents_full (vars, g_bytes_get_data (job->vars, NULL),
                                                      (gssize)g_bytes_get_size (job->vars),
                                                      G_FILE_SET_CONTENTS_DURABLE, 0600, error))
    return FALSE;
  if (!alcove_saved_write_media (job->partial, self->machine->definition, error))
    return FALSE;
  return job->snapshot || alcove_saved_write_record (job->partial, self->definition, FALSE, error);
}

static gboolean
complete (RunnerSaving *self, Job *job, VmmSaveResult *ret_result, GError **error)
{
  return vmm_save_get_result (self->save, ret_result, error) && write_extras (self, job, error) &&
         alcove_saved_publish (job->partial, job->folder, error);
}

static GVariant *
describe (const VmmSaveResult *result)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("(a{sv})"));
  g_variant_builder_open (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "method",
                         g_variant_new_string (vmm_save_method_to_string (result->method)));
  g_variant_builder_add (&builder, "{sv}", "pause-ns", g_variant_new_uint64 (result->pause_ns));
  g_variant_builder_add (&builder, "{sv}", "duration-ns",
                         g_variant_new_uint64 (result->duration_ns));
  g_variant_builder_add (&builder, "{sv}", "ram-size", g_variant_new_uint64 (result->ram_size));
  g_variant_builder_add (&builder, "{sv}", "ram-stored", g_variant_new_uint64 (result->ram_stored));
  g_variant_builder_add (&builder, "{sv}", "rounds", g_variant_new_uint64 (result->rounds));
  g_variant_builder_close (&builder);
  return g_variant_builder_end (&builder);
}

/* Nothing of a save that failed stays behind. */
static void
take_back (RunnerSaving *self, Job *job)
{
  for (guint i = 0; i < job->snapped->len; i++)
    (void)block_image_snapshot_delete (g_ptr_array_index (job->snapped, i), job->disk_id, NULL);
  alcove_paths_remove_tree (job->partial);
}

static gboolean
on_end (gpointer user_data)
{
  RunnerSaving *self = user_data;
  g_autoptr (GError) error = NULL;
  Job *job = self->job;
  VmmSaveResult result;
  gboolean ok = complete (self, job, &result, &error);

  if (!ok)
    take_back (self, job);
  /* The machine was left paused for its end, which does not come now. */
  if (!ok && !job->snapshot && job->was_running &&
      vmm_vm_get_state (self->machine->vm) == VMM_STATE_PAUSED)
    (void)vmm_vm_resume (self->machine->vm, NULL);
  g_clear_pointer (&self->save, vmm_save_free);
  self->job = NULL;
  if (ok)
    g_dbus_method_invocation_return_value (job->invocation, describe (&result));
  else
    runner_control_return_error (job->invocation, error);
  if (ok && job->quit)
    self->saved (job->folder, self->user_data);
  job_free (job);
  return G_SOURCE_REMOVE;
}

static void
on_done (VmmSave *save, gpointer user_data)
{
  g_idle_add_full (G_PRIORITY_DEFAULT, on_end, user_data, NULL);
}

/* The methods */

static gboolean
parse_options (
    Job *job, GVariant *options, VmmSaveOptions *save, gboolean *ret_live, GError **error)
{
  GVariantIter iter;
  const char *key;
  GVariant *value;
  gboolean ok = TRUE;

  *ret_live = TRUE;
  g_variant_iter_init (&iter, options);
  while (ok && g_variant_iter_next (&iter, "{&sv}", &key, &value))
    {
      gboolean text = g_variant_is_of_type (value, G_VARIANT_TYPE_STRING);
      gboolean flag = g_variant_is_of_type (value, G_VARIANT_TYPE_BOOLEAN);

      if (text && g_str_equal (key, "method"))
        ok = vmm_save_method_from_string (g_variant_get_string (value, NULL), &save->method);
      else if (flag && !job->snapshot && g_str_equal (key, "quit"))
        job->quit = g_variant_get_boolean (value);
      else if (flag && job->snapshot && g_str_equal (key, "live"))
        *ret_live = g_variant_get_boolean (value);
      else if (text && job->snapshot && g_str_equal (key, "disk-snapshot-id"))
        job->disk_id = g_variant_dup_string (value, NULL);
      else if (text && job->snapshot && g_str_equal (key, "disk-snapshot-name"))
        job->disk_name = g_variant_dup_string (value, NULL);
      else
        ok = FALSE;
      if (!ok)
        g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                     "“%s” is no option here, or has no proper value", key);
      g_variant_unref (value);
    }
  if (ok && job->disk_id != NULL && job->disk_name == NULL)
    job->disk_name = g_strdup (job->disk_id);
  return ok;
}

/* Disks that cannot make a snapshot are found before anything is done. */
static gboolean
check_disks (RunnerSaving *self, GError **error)
{
  GPtrArray *blocks = self->machine->blocks;

  for (guint i = 0; self->job->disk_id != NULL && i < blocks->len; i++)
    {
      BlockBackend *backend = g_ptr_array_index (blocks, i);
      BlockInfo info;

      backend->ops->get_info (backend, &info);
      if (info.readonly || block_backend_get_image (backend) != NULL)
        continue;
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                   "The disk %s is of a format that has no snapshots: convert it to qcow2 first",
                   backend->name);
      return FALSE;
    }
  return TRUE;
}

static gboolean
make_partial (Job *job, GError **error)
{
  if (!g_path_is_absolute (job->folder))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "“%s” is no absolute path",
                   job->folder);
      return FALSE;
    }
  if (job->snapshot && g_file_test (job->folder, G_FILE_TEST_EXISTS))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS, "The folder %s is there already",
                   job->folder);
      return FALSE;
    }
  alcove_paths_remove_tree (job->partial); /* of a process that was killed */
  if (g_mkdir (job->partial, 0700) == 0)
    return TRUE;
  return vmm_error_set_errno (error, -errno, "Cannot make the folder %s", job->partial);
}

static gboolean
start (RunnerSaving *self, GVariant *options, GError **error)
{
  VmmSaveOptions save = {
    .folder = self->job->partial,
    .at_point = on_point,
    .progress = on_progress,
    .done = on_done,
    .user_data = self,
  };
  gboolean live;

  if (!parse_options (self->job, options, &save, &live, error) || !check_disks (self, error) ||
      !make_partial (self->job, error))
    return FALSE;
  if (!live || !self->job->snapshot)
    save.method = VMM_SAVE_PAUSED;
  save.keep_paused = !self->job->snapshot;
  self->save = vmm_save_new (self->machine->vm, &save, error);
  if (self->save == NULL)
    alcove_paths_remove_tree (self->job->partial);
  return self->save != NULL;
}

static gboolean
begin (RunnerSaving *self,
       GDBusMethodInvocation *invocation,
       const char *folder,
       GVariant *options,
       gboolean snapshot)
{
  g_autoptr (GError) error = NULL;
  gboolean ok = FALSE;

  if (alcove_machine1_get_disposable (self->skeleton))
    g_set_error_literal (
        &error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
        "This run is disposable: nothing of it is kept. Start the machine normally "
        "to save it or to take snapshots");
  else if (self->job != NULL)
    g_set_error_literal (&error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                         "The machine is being saved already: wait, or cancel that");
  else
    {
      self->job = g_new0 (Job, 1);
      self->job->folder = g_strdup (folder);
      self->job->partial = g_strconcat (folder, ".partial", NULL);
      self->job->invocation = invocation;
      self->job->snapshot = snapshot;
      self->job->snapped = g_ptr_array_new ();
      self->job->was_running = vmm_vm_get_state (self->machine->vm) == VMM_STATE_RUNNING;
      ok = start (self, options, &error);
      if (!ok)
        g_clear_pointer (&self->job, job_free);
    }
  if (!ok)
    runner_control_return_error (invocation, error);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_save (AlcoveMachine1 *object,
         GDBusMethodInvocation *invocation,
         const char *folder,
         GVariant *options,
         gpointer user_data)
{
  return begin (user_data, invocation, folder, options, FALSE);
}

static gboolean
on_snapshot (AlcoveMachine1 *object,
             GDBusMethodInvocation *invocation,
             const char *folder,
             GVariant *options,
             gpointer user_data)
{
  return begin (user_data, invocation, folder, options, TRUE);
}

static gboolean
on_cancel (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerSaving *self = user_data;

  if (self->save != NULL)
    vmm_save_cancel (self->save);
  alcove_machine1_complete_cancel_save (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

RunnerSaving *
runner_saving_new (RunnerMachine *machine,
                   AlcoveDefinition *definition,
                   AlcoveMachine1 *skeleton,
                   RunnerSavedFunc saved,
                   gpointer user_data)
{
  RunnerSaving *self = g_new0 (RunnerSaving, 1);

  self->machine = machine;
  self->definition = definition;
  self->skeleton = skeleton;
  self->saved = saved;
  self->user_data = user_data;
  g_mutex_init (&self->lock);
  g_object_connect (skeleton, "signal::handle-save", on_save, self, "signal::handle-snapshot",
                    on_snapshot, self, "signal::handle-cancel-save", on_cancel, self, NULL);
  return self;
}

gboolean
runner_saving_is_busy (RunnerSaving *self)
{
  return self->save != NULL;
}

void
runner_saving_free (RunnerSaving *self)
{
  if (self == NULL)
    return;
  g_signal_handlers_disconnect_by_data (self->skeleton, self);
  if (self->save != NULL)
    {
      vmm_save_cancel (self->save);
      g_clear_pointer (&self->save, vmm_save_free); /* and its thread */
      take_back (self, self->job);
      g_dbus_method_invocation_return_dbus_error (
          self->job->invocation, alcove_error_code_to_dbus (ALCOVE_ERROR_CANCELLED),
          "The machine ended while it was being saved");
    }
  while (g_source_remove_by_user_data (self))
    ;
  job_free (self->job);
  g_mutex_clear (&self->lock);
  g_free (self);
}
