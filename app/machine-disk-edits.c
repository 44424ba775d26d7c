/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Edits of a machine's disks and drives, which a machine that runs follows: the definition is loaded
 * and edited on a thread, the machine is asked, and then the file is written. */
#include "app/machine-disks.h"

#include <string.h>
#include <unistd.h>

#include "app/definition-disks.h"
#include "app/disk-tools.h"
#include "app/machine-edit.h"

typedef struct
{
  AlcoveEdit base;
  char *name; /* of the disk or drive */
  char *file, *format, *bus;
  guint64 size;
  guint timeout_ms;
  char *made;   /* (nullable) a new image that goes again on error */
  char *answer; /* (nullable) the group as the machine wants it */
} Edit;

static void
edit_free (gpointer data)
{
  Edit *edit = data;

  alcove_edit_clear (&edit->base);
  g_free (edit->name);
  g_free (edit->file);
  g_free (edit->format);
  g_free (edit->bus);
  g_free (edit->made);
  g_free (edit->answer);
  g_free (edit);
}

/* (nullable): the task has its error. */
static Edit *
edit_new (GTask *task, AlcoveMachine *self)
{
  Edit *edit = g_new0 (Edit, 1);

  g_task_set_task_data (task, edit, edit_free);
  return alcove_edit_init (&edit->base, task, self) ? edit : NULL;
}

static void
save_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  gboolean good = TRUE;

  /* The machine may have chosen a place. */
  if (edit->answer != NULL)
    {
      g_autofree char *name = NULL;

      good = alcove_definition_remove_disk (edit->base.definition, edit->name, &error);
      if (good)
        name = alcove_definition_add_disk (edit->base.definition, edit->answer, TRUE, &error);
      good = name != NULL;
    }
  good = good && alcove_edit_save (&edit->base, &error);
  alcove_edit_step (inner, &edit->base, FALSE, good, error);
}

/* ---- a new disk ---- */

/* "data", "data2", ... (transfer full). */
static char *
dup_free_name (AlcoveDefinition *definition)
{
  for (guint i = 1;; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup ("data") : g_strdup_printf ("data%u", i);

      if (alcove_definition_find_disk (definition, name) == NULL)
        return g_steal_pointer (&name);
    }
}

/* A file of its own, whatever images of disks that were removed still lie there. */
static gboolean
make_image (Edit *edit, GError **error)
{
  const BlockCreateOptions options = { .size = edit->size };

  for (guint i = 1; edit->made == NULL; i++)
    {
      g_autofree char *name = i == 1 ? g_strdup_printf ("%s.qcow2", edit->name)
                                     : g_strdup_printf ("%s-%u.qcow2", edit->name, i);
      g_autofree char *path = g_build_filename (edit->base.folder, name, NULL);

      if (g_file_test (path, G_FILE_TEST_EXISTS))
        continue;
      if (!block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, error))
        return FALSE;
      edit->made = g_steal_pointer (&path);
      edit->file = g_strdup (edit->made);
      edit->format = g_strdup ("qcow2");
    }
  return TRUE;
}

/* (transfer full): the text of the new group. */
static char *
dup_group (const Edit *edit)
{
  g_auto (AlcoveProblems) problems = { 0 };
  g_autoptr (AlcoveConfFile) file = NULL;
  g_autofree char *group = g_strconcat ("disk ", edit->name, NULL);
  g_autofree char *prefix = g_strconcat (edit->base.folder, "/", NULL);
  gboolean inside = g_str_has_prefix (edit->file, prefix);

  alcove_problems_init (&problems, "disk");
  file = alcove_conf_file_parse ("", 0, &problems);
  /* What lies in the machine's folder moves with it. */
  alcove_conf_file_set_value (file, group, "file",
                              inside ? edit->file + strlen (prefix) : edit->file);
  alcove_conf_file_set_value (file, group, "format", edit->format);
  if (edit->bus != NULL)
    alcove_conf_file_set_value (file, group, "bus", edit->bus);
  return alcove_conf_file_to_text (file, NULL);
}

static gboolean
add (Edit *edit, GError **error)
{
  g_autofree char *group = NULL;
  g_autofree char *name = NULL;

  edit->name = dup_free_name (edit->base.definition);
  if (edit->file == NULL && !make_image (edit, error))
    return FALSE;
  group = dup_group (edit);
  name = alcove_definition_add_disk (edit->base.definition, group, edit->base.live, error);
  return name != NULL &&
         (edit->base.live || (alcove_definition_assign (edit->base.definition, error) &&
                              alcove_edit_save (&edit->base, error)));
}

static void
take_back_image (Edit *edit)
{
  if (edit->made != NULL)
    (void)unlink (edit->made);
}

static void
add_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  gboolean good = alcove_edit_open (&edit->base, "changes its disks", &error) && add (edit, &error);

  if (!good)
    take_back_image (edit);
  alcove_edit_step (inner, &edit->base, edit->base.live, good, error);
}

static void
on_plugged (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Edit *edit = g_task_get_task_data (task);
  GError *error = NULL;

  edit->answer = alcove_machine_add_disk_finish (ALCOVE_MACHINE (source), result, &error);
  if (edit->answer != NULL)
    {
      alcove_edit_run (task, save_in_thread, alcove_edit_on_saved);
      return;
    }
  take_back_image (edit);
  alcove_edit_end (&edit->base);
  g_task_return_error (task, error);
}

static void
on_added (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Edit *edit = g_task_get_task_data (task);
  g_autofree char *group = NULL;
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_error (task, error);
  else if (edit->base.live)
    {
      group = alcove_definition_dup_disk_group (edit->base.definition, edit->name);
      alcove_machine_add_disk_async (self, group, g_task_get_cancellable (task), on_plugged,
                                     g_object_ref (task));
    }
  else
    {
      alcove_machine_reload (self);
      g_task_return_boolean (task, TRUE);
    }
}

void
alcove_machine_new_disk_async (AlcoveMachine *self,
                               const AlcoveNewDisk *disk,
                               GCancellable *cancellable,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Edit *edit;

  g_task_set_source_tag (task, alcove_machine_new_disk_async);
  if (alcove_edit_refuse_saved (task, self) || (edit = edit_new (task, self)) == NULL)
    return;
  edit->file = g_strdup (disk->file);
  edit->format = g_strdup (disk->file != NULL ? disk->format : NULL);
  edit->bus = g_strdup (disk->bus);
  edit->size = disk->size;
  alcove_edit_run (task, add_in_thread, on_added);
}

char *
alcove_machine_new_disk_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  Edit *edit = g_task_get_task_data (G_TASK (result));

  return g_task_propagate_boolean (G_TASK (result), error) ? g_strdup (edit->name) : NULL;
}

/* ---- one that goes ---- */

static void
drop_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  GError *error = NULL;
  gboolean good = alcove_edit_open (&edit->base, "changes its disks", &error) &&
                  alcove_definition_remove_disk (edit->base.definition, edit->name, &error) &&
                  (edit->base.live || alcove_edit_save (&edit->base, &error));

  alcove_edit_step (inner, &edit->base, edit->base.live, good, error);
}

static void
on_taken_out (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  Edit *edit = g_task_get_task_data (task);
  GError *error = NULL;

  if (!alcove_machine_finish (ALCOVE_MACHINE (source), result, &error) &&
      /* Added to the file while the machine ran: there is nothing to take out. */
      !g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND))
    {
      alcove_edit_end (&edit->base);
      g_task_return_error (task, error);
      return;
    }
  g_clear_error (&error);
  alcove_edit_run (task, save_in_thread, alcove_edit_on_saved);
}

static void
on_dropped (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = ALCOVE_MACHINE (source);
  Edit *edit = g_task_get_task_data (task);
  GError *error = NULL;

  if (!g_task_propagate_boolean (G_TASK (result), &error))
    g_task_return_error (task, error);
  else if (edit->base.live)
    alcove_machine_remove_disk_async (self, edit->name, FALSE, edit->timeout_ms,
                                      g_task_get_cancellable (task), on_taken_out,
                                      g_object_ref (task));
  else
    {
      alcove_machine_reload (self);
      g_task_return_boolean (task, TRUE);
    }
}

void
alcove_machine_drop_disk_async (AlcoveMachine *self,
                                const char *name,
                                guint timeout_ms,
                                GCancellable *cancellable,
                                GAsyncReadyCallback callback,
                                gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  Edit *edit;

  g_task_set_source_tag (task, alcove_machine_drop_disk_async);
  if (alcove_edit_refuse_saved (task, self) || (edit = edit_new (task, self)) == NULL)
    return;
  edit->name = g_strdup (name);
  edit->timeout_ms = timeout_ms;
  alcove_edit_run (task, drop_in_thread, on_dropped);
}

/* ---- media ---- */

gboolean
alcove_machine_can_change_medium (AlcoveMachine *self, const char *drive, GError **error)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (self);
  guint n = 0;
  const AlcoveDiskConfig *const *drives =
      definition != NULL ? alcove_definition_get_cdroms (definition, &n) : NULL;

  if (alcove_machine_get_state (self) != ALCOVE_MACHINE_SAVED)
    return TRUE;
  for (guint i = 0; i < n; i++)
    if (strcmp (drives[i]->base.name, drive) == 0 && drives[i]->bus == ALCOVE_DISK_VIRTIO)
      {
        g_set_error (
            error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
            "%s is saved, and its drive “%s” is a virtio disk without a tray, which cannot "
            "tell the guest: start the machine and shut it down, or discard the saved "
            "state first",
            alcove_machine_get_name (self), drive);
        return FALSE;
      }
  return TRUE;
}

static void
remember_in_thread (GTask *inner, gpointer source, gpointer data, GCancellable *cancellable)
{
  Edit *edit = data;
  g_autofree char *group = g_strconcat ("cdrom ", edit->name, NULL);
  GError *error = NULL;
  gboolean good =
      alcove_edit_open (&edit->base, "changes its disks", &error) &&
      alcove_definition_set_value (edit->base.definition, group, "file", edit->file, &error) &&
      alcove_edit_save (&edit->base, &error);

  alcove_edit_step (inner, &edit->base, FALSE, good, error);
}

static void
on_medium_set (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;

  if (alcove_machine_finish (ALCOVE_MACHINE (source), result, &error))
    alcove_edit_run (task, remember_in_thread, alcove_edit_on_saved);
  else
    g_task_return_error (task, error);
}

void
alcove_machine_change_medium_async (AlcoveMachine *self,
                                    const char *drive,
                                    const char *path,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  GError *error = NULL;
  Edit *edit;

  g_task_set_source_tag (task, alcove_machine_change_medium_async);
  if ((edit = edit_new (task, self)) == NULL)
    return;
  if (!alcove_machine_can_change_medium (self, drive, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  edit->name = g_strdup (drive);
  edit->file = g_strdup (path);
  if (edit->base.live)
    alcove_machine_set_medium_async (self, drive, path, FALSE, cancellable, on_medium_set,
                                     g_object_ref (task));
  else
    alcove_edit_run (task, remember_in_thread, alcove_edit_on_saved);
}
