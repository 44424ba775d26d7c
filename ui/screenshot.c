/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/screenshot.h"

#include <errno.h>
#include <glib/gi18n.h>
#include <glib/gstdio.h>

#include "app/picture.h"

typedef struct
{
  AlcovePicture *picture;
  char *name;
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  g_clear_pointer (&job->picture, alcove_picture_free);
  g_free (job->name);
  g_free (job);
}

static void
save_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Job *job = data;
  const char *pictures = g_get_user_special_dir (G_USER_DIRECTORY_PICTURES);
  g_autoptr (GDateTime) now = g_date_time_new_now_local ();
  g_autofree char *stamp = g_date_time_format (now, "%Y-%m-%d %H-%M-%S");
  g_autofree char *safe = g_strdelimit (g_strdup (job->name), G_DIR_SEPARATOR_S, '-');
  g_autofree char *folder = NULL;
  g_autofree char *file = NULL;
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;

  folder = g_build_filename (pictures ? pictures : g_get_home_dir (), "Screenshots", NULL);
  if (g_mkdir_with_parents (folder, 0755) < 0)
    {
      g_task_return_new_error (task, G_IO_ERROR, g_io_error_from_errno (errno),
                               _ ("The folder %s for the screenshot cannot be made: %s"), folder,
                               g_strerror (errno));
      return;
    }
  file = g_strdup_printf ("%s %s.png", safe, stamp);
  path = g_build_filename (folder, file, NULL);
  if (!alcove_picture_save_png (job->picture, path, &error))
    g_task_return_error (task, g_steal_pointer (&error));
  else
    g_task_return_pointer (task, g_steal_pointer (&path), g_free);
}

static void
on_picture (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GTask) task = data;
  g_autoptr (GError) error = NULL;
  AlcovePicture *picture =
      alcove_machine_screenshot_finish (ALCOVE_MACHINE (source), result, &error);
  Job *job;

  if (!picture)
    {
      g_task_return_error (task, g_steal_pointer (&error));
      return;
    }
  job = g_new0 (Job, 1);
  job->picture = picture;
  job->name = g_strdup (alcove_machine_get_name (ALCOVE_MACHINE (source)));
  g_task_set_task_data (task, job, job_free);
  g_task_run_in_thread (task, save_thread);
}

/**
 * alcove_screenshot_async:
 *
 * Saves what the machine shows, in the guest's own pixels, into the folder "Screenshots" of the
 * user's pictures.
 */
void
alcove_screenshot_async (AlcoveMachine *machine,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  GTask *task = g_task_new (machine, cancellable, callback, user_data);

  alcove_machine_screenshot_async (machine, 0, cancellable, on_picture, task);
}

/**
 * alcove_screenshot_finish:
 *
 * Returns: (transfer full): the path of the file
 */
char *
alcove_screenshot_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
