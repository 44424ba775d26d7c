/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The same off the main thread, for the window. */
#include "app/import/import-private.h"
#include "app/work.h"

static void
open_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;
  AlcoveImport *import = alcove_import_open (task_data, NULL, &error);

  if (import != NULL)
    g_task_return_pointer (task, import, (GDestroyNotify)alcove_import_free);
  else
    g_task_return_error (task, error);
}

void
alcove_import_open_async (const char *path,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_import_open_async);
  g_task_set_task_data (task, g_strdup (path), g_free);
  g_task_run_in_thread (task, open_thread);
}

AlcoveImport *
alcove_import_open_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

typedef struct
{
  const AlcoveImport *import;
  char *machines, *name;
  BlockFormat disk_format;
  AlcoveWork *work;
} Run;

static void
run_free (gpointer data)
{
  Run *run = data;

  g_free (run->machines);
  g_free (run->name);
  alcove_work_unref (run->work);
  g_free (run);
}

static void
run_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Run *run = task_data;
  const AlcoveImportSpec spec = { run->machines, run->name, run->disk_format };
  GError *error = NULL;
  char *folder =
      alcove_import_run (run->import, &spec, alcove_work_get_progress (run->work), &error);

  if (folder != NULL)
    g_task_return_pointer (task, folder, g_free);
  else
    g_task_return_error (task, error);
}

void
alcove_import_run_async (const AlcoveImport *import,
                         const AlcoveImportSpec *spec,
                         AlcoveProgressFunc progress,
                         gpointer progress_data,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  Run *run = g_new0 (Run, 1);

  run->import = import;
  run->machines = g_strdup (spec->machines);
  run->name = g_strdup (spec->name);
  run->disk_format = spec->disk_format;
  run->work = alcove_work_new (progress, progress_data, cancellable);
  g_task_set_source_tag (task, alcove_import_run_async);
  g_task_set_task_data (task, run, run_free);
  g_task_run_in_thread (task, run_thread);
}

char *
alcove_import_run_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
