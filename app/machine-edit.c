/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/machine-edit.h"

gboolean
alcove_edit_init (AlcoveEdit *edit, GTask *task, AlcoveMachine *machine)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);

  if (definition == NULL)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s",
                               alcove_machine_get_error (machine));
      return FALSE;
    }
  edit->folder = g_strdup (alcove_machine_get_folder (machine));
  edit->conf = g_strdup (alcove_definition_get_path (definition));
  edit->live = alcove_machine_is_active (machine);
  g_task_set_check_cancellable (task, FALSE);
  return TRUE;
}

void
alcove_edit_clear (AlcoveEdit *edit)
{
  g_free (edit->folder);
  g_free (edit->conf);
  alcove_edit_end (edit);
}

gboolean
alcove_edit_refuse_saved (GTask *task, AlcoveMachine *machine)
{
  if (alcove_machine_get_state (machine) != ALCOVE_MACHINE_SAVED)
    return FALSE;
  g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                           "%s is saved, and goes on with the devices that it has: start it, or "
                           "discard the saved state first",
                           alcove_machine_get_name (machine));
  return TRUE;
}

gboolean
alcove_edit_open (AlcoveEdit *edit, const char *what, GError **error)
{
  edit->held = alcove_definition_edit_begin (edit->folder, edit->conf, edit->live, what, error);
  if (edit->held != NULL)
    edit->definition = alcove_definition_edit_get_definition (edit->held);
  return edit->held != NULL;
}

gboolean
alcove_edit_save (AlcoveEdit *edit, GError **error)
{
  return alcove_definition_edit_save (edit->held, error);
}

void
alcove_edit_end (AlcoveEdit *edit)
{
  g_clear_pointer (&edit->held, alcove_definition_edit_end);
  edit->definition = NULL;
}

void
alcove_edit_step (GTask *task, AlcoveEdit *edit, gboolean more, gboolean good, GError *error)
{
  if (!good || !more)
    alcove_edit_end (edit);
  alcove_edit_return (task, good, error);
}

void
alcove_edit_return (GTask *task, gboolean good, GError *error)
{
  if (good)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

void
alcove_edit_run (GTask *task, GTaskThreadFunc func, GAsyncReadyCallback callback)
{
  g_autoptr (GTask) inner =
      g_task_new (g_task_get_source_object (task), NULL, callback, g_object_ref (task));

  g_task_set_task_data (inner, g_task_get_task_data (task), NULL);
  g_task_run_in_thread (inner, func);
}

void
alcove_edit_on_saved (GObject *machine, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  gboolean good = g_task_propagate_boolean (G_TASK (result), &error);

  alcove_machine_reload (ALCOVE_MACHINE (machine));
  alcove_edit_return (task, good, error);
}
