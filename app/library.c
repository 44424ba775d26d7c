/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/library.h"

#include <string.h>
#include "app/lock.h"
#include "app/paths.h"
#include "app/suggest.h"
#include "app/trash.h"

struct _AlcoveLibrary
{
  GObject parent_instance;
  char *folder;
  GPtrArray *machines;       /* of AlcoveMachine, sorted */
  GHashTable *conf_monitors; /* AlcoveMachine -> GFileMonitor of its folder */
  GHashTable *run_monitors;  /* uuid -> GFileMonitor of its runtime folder */
  GFileMonitor *monitor;     /* of folder */
  GFileMonitor *runtime_monitor;
  GCancellable *cancellable; /* of what we started ourselves */
  guint scan_source;
};

static void alcove_library_model_init (GListModelInterface *iface);
G_DEFINE_FINAL_TYPE_WITH_CODE (AlcoveLibrary,
                               alcove_library,
                               G_TYPE_OBJECT,
                               G_IMPLEMENT_INTERFACE (G_TYPE_LIST_MODEL, alcove_library_model_init))

static GType
get_item_type (GListModel *model)
{
  return ALCOVE_TYPE_MACHINE;
}

static guint
get_n_items (GListModel *model)
{
  return ALCOVE_LIBRARY (model)->machines->len;
}

static gpointer
get_item (GListModel *model, guint position)
{
  AlcoveLibrary *self = ALCOVE_LIBRARY (model);

  return position < self->machines->len
             ? g_object_ref (g_ptr_array_index (self->machines, position))
             : NULL;
}

static void
alcove_library_model_init (GListModelInterface *iface)
{
  iface->get_item_type = get_item_type;
  iface->get_n_items = get_n_items;
  iface->get_item = get_item;
}

static int
compare_machines (AlcoveMachine *a, AlcoveMachine *b)
{
  g_autofree char *key_a = g_utf8_collate_key_for_filename (alcove_machine_get_name (a), -1);
  g_autofree char *key_b = g_utf8_collate_key_for_filename (alcove_machine_get_name (b), -1);
  int order = strcmp (key_a, key_b);

  return order != 0 ? order : strcmp (alcove_machine_get_folder (a), alcove_machine_get_folder (b));
}

static AlcoveMachine *
find_folder (AlcoveLibrary *self, const char *folder)
{
  for (guint i = 0; i < self->machines->len; i++)
    {
      AlcoveMachine *machine = g_ptr_array_index (self->machines, i);

      if (strcmp (alcove_machine_get_folder (machine), folder) == 0)
        return machine;
    }
  return NULL;
}

static void
insert_sorted (AlcoveLibrary *self, AlcoveMachine *machine)
{
  guint at = 0;

  while (at < self->machines->len &&
         compare_machines (g_ptr_array_index (self->machines, at), machine) < 0)
    at++;
  g_ptr_array_insert (self->machines, (int)at, g_object_ref (machine));
  g_list_model_items_changed (G_LIST_MODEL (self), at, 0, 1);
}

static void
on_name (AlcoveMachine *machine, GParamSpec *pspec, gpointer user_data)
{
  AlcoveLibrary *self = user_data;
  guint at;

  if (!g_ptr_array_find (self->machines, machine, &at))
    return;
  if ((at == 0 || compare_machines (g_ptr_array_index (self->machines, at - 1), machine) < 0) &&
      (at + 1 == self->machines->len ||
       compare_machines (machine, g_ptr_array_index (self->machines, at + 1)) < 0))
    return;
  g_object_ref (machine);
  g_ptr_array_remove_index (self->machines, at);
  g_list_model_items_changed (G_LIST_MODEL (self), at, 1, 0);
  insert_sorted (self, machine);
  g_object_unref (machine);
}

static void
on_conf_changed (
    GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer user_data)
{
  g_autofree char *name = g_file_get_basename (file);
  g_autofree char *other_name = other != NULL ? g_file_get_basename (other) : NULL;

  if (g_strcmp0 (name, ALCOVE_DEFINITION_FILE) == 0 ||
      g_strcmp0 (other_name, ALCOVE_DEFINITION_FILE) == 0)
    alcove_machine_reload (user_data);
}

static GFileMonitor *
watch (const char *path, GCallback callback, gpointer user_data)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  GFileMonitor *monitor = g_file_monitor_directory (file, G_FILE_MONITOR_WATCH_MOVES, NULL, NULL);

  if (monitor != NULL)
    {
      g_file_monitor_set_rate_limit (monitor, 50);
      g_signal_connect (monitor, "changed", callback, user_data);
    }
  return monitor;
}

static void
monitor_free (gpointer data)
{
  if (data == NULL)
    return;
  g_file_monitor_cancel (data);
  g_object_unref (data);
}

static void
look_at (AlcoveLibrary *self, AlcoveMachine *machine)
{
  alcove_machine_refresh_async (machine, self->cancellable, NULL, NULL);
}

static void
remove_machine (AlcoveLibrary *self, AlcoveMachine *machine)
{
  guint at;

  if (!g_ptr_array_find (self->machines, machine, &at))
    return;
  g_signal_handlers_disconnect_by_data (machine, self);
  g_hash_table_remove (self->conf_monitors, machine);
  g_ptr_array_remove_index (self->machines, at);
  g_list_model_items_changed (G_LIST_MODEL (self), at, 1, 0);
}

static AlcoveMachine *
add_folder (AlcoveLibrary *self, const char *folder)
{
  g_autoptr (AlcoveMachine) machine = alcove_machine_new (folder);

  g_signal_connect (machine, "notify::name", G_CALLBACK (on_name), self);
  g_hash_table_insert (self->conf_monitors, machine,
                       watch (folder, G_CALLBACK (on_conf_changed), machine));
  insert_sorted (self, machine);
  look_at (self, machine);
  return machine;
}

/* A machine is a folder with a definition; hidden ones are being made. */
static gboolean
is_machine (const char *folder)
{
  g_autofree char *base = g_path_get_basename (folder);
  g_autofree char *conf = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);

  return base[0] != '.' && g_file_test (conf, G_FILE_TEST_IS_REGULAR);
}

static void
scan (AlcoveLibrary *self)
{
  g_autoptr (GDir) dir = g_dir_open (self->folder, 0, NULL);
  const char *name;

  for (guint i = self->machines->len; i > 0; i--)
    {
      AlcoveMachine *machine = g_ptr_array_index (self->machines, i - 1);

      if (!is_machine (alcove_machine_get_folder (machine)))
        remove_machine (self, machine);
    }
  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->folder, name, NULL);

      if (is_machine (path) && find_folder (self, path) == NULL)
        add_folder (self, path);
    }
}

static gboolean
on_scan (gpointer user_data)
{
  AlcoveLibrary *self = user_data;

  self->scan_source = 0;
  scan (self);
  return G_SOURCE_REMOVE;
}

static void
on_folder_changed (
    GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer user_data)
{
  AlcoveLibrary *self = user_data;

  if (self->scan_source == 0)
    self->scan_source = g_timeout_add (20, on_scan, self);
}

static void
look_at_uuid (AlcoveLibrary *self, const char *uuid)
{
  for (guint i = 0; i < self->machines->len; i++)
    {
      AlcoveMachine *machine = g_ptr_array_index (self->machines, i);

      if (g_strcmp0 (alcove_machine_get_uuid (machine), uuid) == 0)
        look_at (self, machine);
    }
}

static void
on_run_changed (
    GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer user_data)
{
  AlcoveLibrary *self = user_data;
  g_autoptr (GFile) parent = g_file_get_parent (file);
  g_autofree char *uuid = parent != NULL ? g_file_get_basename (parent) : NULL;

  if (uuid != NULL)
    look_at_uuid (self, uuid);
}

/* A runtime folder came or went: its socket is made a moment later, so that folder is watched. */
static void
on_runtime_changed (
    GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer user_data)
{
  AlcoveLibrary *self = user_data;
  g_autofree char *uuid = g_file_get_basename (file);
  g_autofree char *path = g_file_get_path (file);

  if (!g_uuid_string_is_valid (uuid))
    return;
  if (!g_file_test (path, G_FILE_TEST_IS_DIR))
    g_hash_table_remove (self->run_monitors, uuid);
  else if (!g_hash_table_contains (self->run_monitors, uuid))
    g_hash_table_insert (self->run_monitors, g_strdup (uuid),
                         watch (path, G_CALLBACK (on_run_changed), self));
  look_at_uuid (self, uuid);
}

AlcoveLibrary *
alcove_library_new (const char *folder)
{
  AlcoveLibrary *self = g_object_new (ALCOVE_TYPE_LIBRARY, NULL);
  g_autofree char *runtime = alcove_paths_dup_runtime ();

  self->folder =
      folder != NULL ? g_canonicalize_filename (folder, NULL) : alcove_paths_dup_machines ();
  /* Both folders are made now: a folder that is not there cannot be watched at once. */
  (void)g_mkdir_with_parents (self->folder, 0700);
  self->monitor = watch (self->folder, G_CALLBACK (on_folder_changed), self);
  if (alcove_paths_ensure_private (runtime, NULL))
    self->runtime_monitor = watch (runtime, G_CALLBACK (on_runtime_changed), self);
  scan (self);
  return self;
}

static void
alcove_library_init (AlcoveLibrary *self)
{
  self->machines = g_ptr_array_new_with_free_func (g_object_unref);
  self->conf_monitors = g_hash_table_new_full (NULL, NULL, NULL, monitor_free);
  self->run_monitors = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, monitor_free);
  self->cancellable = g_cancellable_new ();
}

static void
alcove_library_dispose (GObject *object)
{
  AlcoveLibrary *self = ALCOVE_LIBRARY (object);

  g_cancellable_cancel (self->cancellable);
  g_clear_handle_id (&self->scan_source, g_source_remove);
  for (guint i = 0; i < self->machines->len; i++)
    g_signal_handlers_disconnect_by_data (g_ptr_array_index (self->machines, i), self);
  g_hash_table_remove_all (self->conf_monitors);
  g_hash_table_remove_all (self->run_monitors);
  g_clear_pointer (&self->monitor, monitor_free);
  g_clear_pointer (&self->runtime_monitor, monitor_free);
  g_ptr_array_set_size (self->machines, 0);
  G_OBJECT_CLASS (alcove_library_parent_class)->dispose (object);
}

static void
alcove_library_finalize (GObject *object)
{
  AlcoveLibrary *self = ALCOVE_LIBRARY (object);

  g_hash_table_unref (self->conf_monitors);
  g_hash_table_unref (self->run_monitors);
  g_ptr_array_unref (self->machines);
  g_object_unref (self->cancellable);
  g_free (self->folder);
  G_OBJECT_CLASS (alcove_library_parent_class)->finalize (object);
}

static void
alcove_library_class_init (AlcoveLibraryClass *klass)
{
  G_OBJECT_CLASS (klass)->dispose = alcove_library_dispose;
  G_OBJECT_CLASS (klass)->finalize = alcove_library_finalize;
}

const char *
alcove_library_get_folder (AlcoveLibrary *self)
{
  return self->folder;
}

static void
on_one_refreshed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  guint left = GPOINTER_TO_UINT (g_task_get_task_data (task)) - 1;

  (void)alcove_machine_finish (ALCOVE_MACHINE (source), result, NULL);
  g_task_set_task_data (task, GUINT_TO_POINTER (left), NULL);
  if (left == 0)
    g_task_return_boolean (task, TRUE);
}

void
alcove_library_refresh_async (AlcoveLibrary *self,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_library_refresh_async);
  scan (self);
  if (self->machines->len == 0)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  g_task_set_task_data (task, GUINT_TO_POINTER (self->machines->len), NULL);
  for (guint i = 0; i < self->machines->len; i++)
    alcove_machine_refresh_async (g_ptr_array_index (self->machines, i), cancellable,
                                  on_one_refreshed, g_object_ref (task));
}

gboolean
alcove_library_refresh_finish (AlcoveLibrary *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

static gboolean
same_name (const char *a, const char *b)
{
  g_autofree char *fold_a = g_utf8_casefold (a, -1), *fold_b = g_utf8_casefold (b, -1);

  return strcmp (fold_a, fold_b) == 0;
}

static AlcoveMachine *
not_found (AlcoveLibrary *self, const char *what, GError **error)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  const char *nearest;

  for (guint i = 0; i < self->machines->len; i++)
    g_ptr_array_add (words, (char *)alcove_machine_get_id (g_ptr_array_index (self->machines, i)));
  nearest =
      words->len > 0 ? alcove_suggest (what, (const char *const *)words->pdata, words->len) : NULL;
  if (nearest != NULL)
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                 "There is no machine \"%s\": did you mean \"%s\"?", what, nearest);
  else
    g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                 "There is no machine \"%s\": \"alcove list\" shows those there are", what);
  return NULL;
}

AlcoveMachine *
alcove_library_find (AlcoveLibrary *self, const char *what, GError **error)
{
  AlcoveMachine *found = NULL;

  for (guint i = 0; i < self->machines->len; i++)
    {
      AlcoveMachine *machine = g_ptr_array_index (self->machines, i);

      if (strcmp (alcove_machine_get_id (machine), what) == 0 ||
          (alcove_machine_get_uuid (machine) != NULL &&
           g_ascii_strcasecmp (alcove_machine_get_uuid (machine), what) == 0))
        return machine;
    }
  if (!g_utf8_validate (what, -1, NULL))
    return not_found (self, "?", error);
  for (guint i = 0; i < self->machines->len; i++)
    {
      AlcoveMachine *machine = g_ptr_array_index (self->machines, i);

      if (!same_name (alcove_machine_get_name (machine), what))
        continue;
      if (found != NULL)
        {
          g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                       "Several machines are named \"%s\": use the folder name, such as \"%s\" or "
                       "\"%s\"",
                       what, alcove_machine_get_id (found), alcove_machine_get_id (machine));
          return NULL;
        }
      found = machine;
    }
  return found != NULL ? found : not_found (self, what, error);
}

static void
on_created (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveLibrary *self = g_task_get_source_object (task);
  GError *error = NULL;
  g_autofree char *folder = alcove_create_finish (result, &error);
  AlcoveMachine *machine;

  if (folder == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  machine = find_folder (self, folder);
  if (machine == NULL)
    machine = add_folder (self, folder);
  g_task_return_pointer (task, g_object_ref (machine), g_object_unref);
}

void
alcove_library_create_async (AlcoveLibrary *self,
                             const AlcoveCreateSpec *spec,
                             AlcoveProgressFunc progress,
                             gpointer progress_data,
                             GCancellable *cancellable,
                             GAsyncReadyCallback callback,
                             gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_library_create_async);
  alcove_create_async (self->folder, spec, progress, progress_data, cancellable, on_created,
                       g_object_ref (task));
}

AlcoveMachine *
alcove_library_create_finish (AlcoveLibrary *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

gboolean
alcove_library_delete (AlcoveLibrary *self,
                       AlcoveMachine *machine,
                       char **ret_token,
                       GError **error)
{
  g_autoptr (AlcoveLock) lock = NULL;
  g_autofree char *token = NULL;

  if (alcove_machine_is_active (machine))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                   "%s is running: shut it down before it is deleted",
                   alcove_machine_get_name (machine));
      return FALSE;
    }
  lock = alcove_lock_acquire (alcove_machine_get_folder (machine), "deletes it", error);
  if (lock == NULL)
    {
      if (error != NULL && g_error_matches (*error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY))
        (*error)->code = ALCOVE_ERROR_WRONG_STATE;
      return FALSE;
    }
  token = alcove_trash_put (alcove_machine_get_folder (machine), error);
  if (token == NULL)
    return FALSE;
  remove_machine (self, machine);
  if (ret_token != NULL)
    *ret_token = g_steal_pointer (&token);
  return TRUE;
}

AlcoveMachine *
alcove_library_restore (AlcoveLibrary *self, const char *token, GError **error)
{
  g_autofree char *folder = alcove_trash_restore (token, error);
  AlcoveMachine *machine;

  if (folder == NULL)
    return NULL;
  machine = find_folder (self, folder);
  return machine != NULL ? machine : add_folder (self, folder);
}
