/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/machine.h"

#include <glib/gstdio.h>
#include <string.h>
#include "app/definition-edit.h"
#include "app/launch.h"
#include "app/lock.h"
#include "app/machine-private.h"
#include "app/passthrough-starts.h"
#include "app/paths.h"
#include "app/saved.h"

/* A process that has made its socket listens a moment later; one that closed its connection lets
 * go of the lock a moment later. */
#define RETRY_MS        50
#define CONNECT_RETRIES 60
#define SETTLE_RETRIES  200

G_DEFINE_FINAL_TYPE (AlcoveMachine, alcove_machine, G_TYPE_OBJECT)

enum
{
  PROP_0,
  PROP_FOLDER,
  PROP_NAME,
  PROP_UUID,
  PROP_DEFINITION,
  PROP_ERROR,
  PROP_STATE,
  PROP_STATE_REASON,
  PROP_STATE_DETAIL,
  N_PROPS
};
static GParamSpec *props[N_PROPS];

enum
{
  SIGNAL_SAVE_PROGRESS,
  SIGNAL_PCI_CHANGED,
  N_SIGNALS
};
static guint signals[N_SIGNALS];

static const GEnumValue state_values[] = {
  { ALCOVE_MACHINE_INVALID, "ALCOVE_MACHINE_INVALID", "invalid" },
  { ALCOVE_MACHINE_STOPPED, "ALCOVE_MACHINE_STOPPED", "stopped" },
  { ALCOVE_MACHINE_STARTING, "ALCOVE_MACHINE_STARTING", "starting" },
  { ALCOVE_MACHINE_RUNNING, "ALCOVE_MACHINE_RUNNING", "running" },
  { ALCOVE_MACHINE_PAUSED, "ALCOVE_MACHINE_PAUSED", "paused" },
  { ALCOVE_MACHINE_STOPPING, "ALCOVE_MACHINE_STOPPING", "stopping" },
  { ALCOVE_MACHINE_FAILED, "ALCOVE_MACHINE_FAILED", "failed" },
  { ALCOVE_MACHINE_SAVED, "ALCOVE_MACHINE_SAVED", "saved" },
  { ALCOVE_MACHINE_BUSY, "ALCOVE_MACHINE_BUSY", "busy" },
  { 0, NULL, NULL },
};

GType
alcove_machine_state_get_type (void)
{
  static gsize type;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("AlcoveMachineState", state_values));
  return type;
}

const char *
alcove_machine_state_to_string (AlcoveMachineState state)
{
  return state_values[state].value_nick;
}

static void
set_string (AlcoveMachine *self, char **place, const char *value, guint prop)
{
  if (g_strcmp0 (*place, value) == 0)
    return;
  g_free (*place);
  *place = g_strdup (value);
  g_object_notify_by_pspec (G_OBJECT (self), props[prop]);
}

/* Detail and reason first: who watches the state finds them in place. */
static void
set_state (AlcoveMachine *self, AlcoveMachineState state, const char *reason, const char *detail)
{
  if (reason != NULL && *reason == '\0')
    reason = NULL;
  if (detail != NULL && *detail == '\0')
    detail = NULL;
  g_object_freeze_notify (G_OBJECT (self));
  set_string (self, &self->state_reason, reason, PROP_STATE_REASON);
  set_string (self, &self->state_detail, detail, PROP_STATE_DETAIL);
  if (self->state != state)
    {
      self->state = state;
      g_object_notify_by_pspec (G_OBJECT (self), props[PROP_STATE]);
    }
  g_object_thaw_notify (G_OBJECT (self));
}

/* What a machine without a process is. */
static AlcoveMachineState
idle_state (AlcoveMachine *self)
{
  if (self->definition == NULL)
    return ALCOVE_MACHINE_INVALID;
  return alcove_saved_exists (self->folder) ? ALCOVE_MACHINE_SAVED : ALCOVE_MACHINE_STOPPED;
}

/* The protocol's word to a state. "stopped" and "failed" still have a process, which holds the
 * machine until it ends. */
static void
apply_state (AlcoveMachine *self, const char *word, const char *reason, const char *detail)
{
  static const struct
  {
    const char *word;
    AlcoveMachineState state;
  } states[] = {
    { "starting", ALCOVE_MACHINE_STARTING }, { "running", ALCOVE_MACHINE_RUNNING },
    { "paused", ALCOVE_MACHINE_PAUSED },     { "stopping", ALCOVE_MACHINE_STOPPING },
    { "stopped", ALCOVE_MACHINE_STOPPING },  { "failed", ALCOVE_MACHINE_FAILED },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (states); i++)
    if (g_strcmp0 (word, states[i].word) == 0)
      set_state (self, states[i].state, reason, detail);
}

static void
on_state_changed (AlcoveMachine1 *proxy,
                  const char *state,
                  const char *reason,
                  const char *detail,
                  gpointer user_data)
{
  apply_state (user_data, state, reason, detail);
}

static void
on_save_progress (AlcoveMachine1 *proxy, guint64 done, guint64 total, gpointer user_data)
{
  g_signal_emit (user_data, signals[SIGNAL_SAVE_PROGRESS], 0, done, total);
}

static void
on_pci_changed (AlcoveMachine1 *proxy, gpointer user_data)
{
  g_signal_emit (user_data, signals[SIGNAL_PCI_CHANGED], 0);
}

static void
on_properties_changed (GDBusProxy *proxy, GVariant *changed, GStrv invalidated, gpointer user_data)
{
  AlcoveMachine1 *machine = ALCOVE_MACHINE1 (proxy);
  g_autoptr (GVariant) state = g_variant_lookup_value (changed, "State", G_VARIANT_TYPE_STRING);

  if (state != NULL)
    apply_state (user_data, g_variant_get_string (state, NULL),
                 alcove_machine1_get_state_reason (machine),
                 alcove_machine1_get_state_detail (machine));
}

/* The process is gone or going: what was its last word? */
static void
settled (AlcoveMachine *self)
{
  switch (self->state)
    {
    case ALCOVE_MACHINE_FAILED:
    case ALCOVE_MACHINE_INVALID:
    case ALCOVE_MACHINE_STOPPED:
    case ALCOVE_MACHINE_SAVED:
      break;
    case ALCOVE_MACHINE_STOPPING:
    case ALCOVE_MACHINE_BUSY:
      set_state (self, idle_state (self), self->state_reason, self->state_detail);
      break;
    case ALCOVE_MACHINE_STARTING:
    case ALCOVE_MACHINE_RUNNING:
    case ALCOVE_MACHINE_PAUSED:
    default:
      {
        g_autofree char *log = alcove_machine_dup_log_path (self);
        g_autofree char *detail =
            g_strdup_printf ("The VM process ended without saying why. Its log is %s", log);

        set_state (self, ALCOVE_MACHINE_FAILED, "process-ended", detail);
        break;
      }
    }
}

static gboolean
on_settle (gpointer user_data)
{
  AlcoveMachine *self = user_data;

  if (alcove_lock_is_held (self->folder, NULL) && --self->settle_left > 0)
    return G_SOURCE_CONTINUE;
  self->settle_source = 0;
  if (alcove_lock_is_held (self->folder, NULL))
    set_state (self, ALCOVE_MACHINE_BUSY, "no-answer",
               "The VM process closed its control connection but still holds the machine");
  else
    settled (self);
  return G_SOURCE_REMOVE;
}

static void
drop_proxy (AlcoveMachine *self)
{
  if (self->proxy == NULL)
    return;
  g_signal_handlers_disconnect_by_data (self->proxy, self);
  g_signal_handlers_disconnect_by_data (g_dbus_proxy_get_connection (G_DBUS_PROXY (self->proxy)),
                                        self);
  g_clear_object (&self->proxy);
}

static void
on_connection_closed (GDBusConnection *connection,
                      gboolean remote_peer_vanished,
                      GError *error,
                      gpointer user_data)
{
  AlcoveMachine *self = user_data;

  drop_proxy (self);
  if (!alcove_lock_is_held (self->folder, NULL))
    {
      settled (self);
      return;
    }
  self->settle_left = SETTLE_RETRIES;
  if (self->settle_source == 0)
    self->settle_source = g_timeout_add (RETRY_MS, on_settle, self);
}

static void
take_proxy (AlcoveMachine *self, AlcoveMachine1 *proxy)
{
  GDBusConnection *connection = g_dbus_proxy_get_connection (G_DBUS_PROXY (proxy));

  drop_proxy (self);
  g_clear_handle_id (&self->settle_source, g_source_remove);
  self->proxy = proxy;
  self->pid = (GPid)alcove_machine1_get_pid (proxy);
  g_signal_connect (proxy, "state-changed", G_CALLBACK (on_state_changed), self);
  g_signal_connect (proxy, "save-progress", G_CALLBACK (on_save_progress), self);
  g_signal_connect (proxy, "pci-changed", G_CALLBACK (on_pci_changed), self);
  g_signal_connect (proxy, "g-properties-changed", G_CALLBACK (on_properties_changed), self);
  g_signal_connect (connection, "closed", G_CALLBACK (on_connection_closed), self);
  if (g_dbus_connection_is_closed (connection))
    on_connection_closed (connection, TRUE, NULL, self);
  else
    apply_state (self, alcove_machine1_get_state (proxy), alcove_machine1_get_state_reason (proxy),
                 alcove_machine1_get_state_detail (proxy));
}

void
alcove_machine_reload (AlcoveMachine *self)
{
  g_autofree char *path = g_build_filename (self->folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autoptr (GError) error = NULL;
  AlcoveDefinition *definition;

  if (self->definition != NULL && alcove_definition_is_modified (self->definition))
    return;
  definition = alcove_definition_load (path, &error);
  if (definition == NULL && self->definition != NULL &&
      g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    return; /* being replaced, or the folder is about to go */
  g_object_freeze_notify (G_OBJECT (self));
  g_clear_object (&self->definition);
  self->definition = definition;
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_DEFINITION]);
  g_object_notify_by_pspec (G_OBJECT (self), props[PROP_NAME]);
  set_string (self, &self->error, error != NULL ? error->message : NULL, PROP_ERROR);
  if (definition != NULL)
    set_string (self, &self->uuid, alcove_definition_get_machine (definition)->uuid, PROP_UUID);
  if (!alcove_machine_is_active (self) && self->state != ALCOVE_MACHINE_FAILED)
    set_state (self, idle_state (self), NULL, NULL);
  g_object_thaw_notify (G_OBJECT (self));
}

AlcoveMachine *
alcove_machine_new (const char *folder)
{
  AlcoveMachine *self = g_object_new (ALCOVE_TYPE_MACHINE, NULL);

  self->folder = g_canonicalize_filename (folder, NULL);
  self->id = g_path_get_basename (self->folder);
  alcove_machine_reload (self);
  return self;
}

static void
alcove_machine_get_property (GObject *object, guint prop, GValue *value, GParamSpec *pspec)
{
  AlcoveMachine *self = ALCOVE_MACHINE (object);

  switch (prop)
    {
    case PROP_FOLDER:
      g_value_set_string (value, self->folder);
      break;
    case PROP_NAME:
      g_value_set_string (value, alcove_machine_get_name (self));
      break;
    case PROP_UUID:
      g_value_set_string (value, self->uuid);
      break;
    case PROP_DEFINITION:
      g_value_set_object (value, self->definition);
      break;
    case PROP_ERROR:
      g_value_set_string (value, self->error);
      break;
    case PROP_STATE:
      g_value_set_enum (value, (int)self->state);
      break;
    case PROP_STATE_REASON:
      g_value_set_string (value, self->state_reason);
      break;
    case PROP_STATE_DETAIL:
      g_value_set_string (value, self->state_detail);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, prop, pspec);
    }
}

static void
alcove_machine_dispose (GObject *object)
{
  AlcoveMachine *self = ALCOVE_MACHINE (object);

  g_clear_handle_id (&self->settle_source, g_source_remove);
  drop_proxy (self);
  g_clear_object (&self->definition);
  G_OBJECT_CLASS (alcove_machine_parent_class)->dispose (object);
}

static void
alcove_machine_finalize (GObject *object)
{
  AlcoveMachine *self = ALCOVE_MACHINE (object);

  g_free (self->folder);
  g_free (self->id);
  g_free (self->error);
  g_free (self->uuid);
  g_free (self->state_reason);
  g_free (self->state_detail);
  G_OBJECT_CLASS (alcove_machine_parent_class)->finalize (object);
}

static void
alcove_machine_class_init (AlcoveMachineClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  const GParamFlags flags = G_PARAM_READABLE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS;

  object_class->get_property = alcove_machine_get_property;
  object_class->dispose = alcove_machine_dispose;
  object_class->finalize = alcove_machine_finalize;
  props[PROP_FOLDER] = g_param_spec_string ("folder", NULL, NULL, NULL, flags);
  props[PROP_NAME] = g_param_spec_string ("name", NULL, NULL, NULL, flags);
  props[PROP_UUID] = g_param_spec_string ("uuid", NULL, NULL, NULL, flags);
  props[PROP_DEFINITION] =
      g_param_spec_object ("definition", NULL, NULL, ALCOVE_TYPE_DEFINITION, flags);
  props[PROP_ERROR] = g_param_spec_string ("error", NULL, NULL, NULL, flags);
  props[PROP_STATE] = g_param_spec_enum ("state", NULL, NULL, ALCOVE_TYPE_MACHINE_STATE,
                                         ALCOVE_MACHINE_INVALID, flags);
  props[PROP_STATE_REASON] = g_param_spec_string ("state-reason", NULL, NULL, NULL, flags);
  props[PROP_STATE_DETAIL] = g_param_spec_string ("state-detail", NULL, NULL, NULL, flags);
  g_object_class_install_properties (object_class, N_PROPS, props);
  signals[SIGNAL_SAVE_PROGRESS] =
      g_signal_new ("save-progress", ALCOVE_TYPE_MACHINE, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                    G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_UINT64);
  signals[SIGNAL_PCI_CHANGED] = g_signal_new ("pci-changed", ALCOVE_TYPE_MACHINE, G_SIGNAL_RUN_LAST,
                                              0, NULL, NULL, NULL, G_TYPE_NONE, 0);
}

static void
alcove_machine_init (AlcoveMachine *self)
{
}

const char *
alcove_machine_get_folder (AlcoveMachine *self)
{
  return self->folder;
}

const char *
alcove_machine_get_id (AlcoveMachine *self)
{
  return self->id;
}

const char *
alcove_machine_get_name (AlcoveMachine *self)
{
  return self->definition != NULL ? alcove_definition_get_machine (self->definition)->title
                                  : self->id;
}

const char *
alcove_machine_get_uuid (AlcoveMachine *self)
{
  return self->uuid;
}

AlcoveDefinition *
alcove_machine_get_definition (AlcoveMachine *self)
{
  return self->definition;
}

const char *
alcove_machine_get_error (AlcoveMachine *self)
{
  return self->error;
}

AlcoveMachineState
alcove_machine_get_state (AlcoveMachine *self)
{
  return self->state;
}

const char *
alcove_machine_get_state_reason (AlcoveMachine *self)
{
  return self->state_reason;
}

const char *
alcove_machine_get_state_detail (AlcoveMachine *self)
{
  return self->state_detail;
}

guint
alcove_machine_get_pid (AlcoveMachine *self)
{
  return self->proxy != NULL ? (guint)self->pid : 0;
}

gboolean
alcove_machine_is_active (AlcoveMachine *self)
{
  switch (self->state)
    {
    case ALCOVE_MACHINE_STARTING:
    case ALCOVE_MACHINE_RUNNING:
    case ALCOVE_MACHINE_PAUSED:
    case ALCOVE_MACHINE_STOPPING:
    case ALCOVE_MACHINE_BUSY:
      return TRUE;
    case ALCOVE_MACHINE_FAILED:
      return self->proxy != NULL;
    case ALCOVE_MACHINE_INVALID:
    case ALCOVE_MACHINE_STOPPED:
    case ALCOVE_MACHINE_SAVED:
    default:
      return FALSE;
    }
}

gboolean
alcove_machine_is_disposable (AlcoveMachine *self)
{
  return self->proxy != NULL && alcove_machine1_get_disposable (self->proxy);
}

char *
alcove_machine_dup_log_path (AlcoveMachine *self)
{
  return g_build_filename (self->folder, "log", "vmm.log", NULL);
}

/* Connecting. */

/* A throw-away machine has no lock, only its socket. (Not so for others: a copied folder has the
 * uuid of the machine it was copied from.) */
gboolean
alcove_machine_has_process (AlcoveMachine *self)
{
  g_autofree char *folder = NULL, *runtime = NULL;

  if (self->uuid == NULL)
    return FALSE;
  if (alcove_lock_is_held (self->folder, NULL))
    return TRUE;
  runtime = alcove_paths_dup_runtime ();
  if (!g_str_has_prefix (self->folder, runtime))
    return FALSE;
  folder = alcove_paths_dup_machine_runtime (self->uuid);
  return alcove_control_is_served (folder);
}

static void connect_once (GTask *task);

static gboolean
on_connect_retry (gpointer user_data)
{
  connect_once (user_data);
  return G_SOURCE_REMOVE;
}

static void
on_connect (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = g_task_get_source_object (task);
  GError *error = NULL;
  AlcoveMachine1 *proxy = alcove_control_connect_finish (result, &error);
  guint left;

  if (proxy != NULL)
    {
      if (self->proxy == NULL)
        take_proxy (self, proxy);
      else
        g_object_unref (proxy); /* another caller was faster */
      g_task_return_boolean (task, TRUE);
      return;
    }
  left = GPOINTER_TO_UINT (g_task_get_task_data (task));
  if (left > 0 && g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE) &&
      alcove_lock_is_held (self->folder, NULL))
    {
      g_autoptr (GSource) source_later = g_timeout_source_new (RETRY_MS);

      g_error_free (error);
      g_task_set_task_data (task, GUINT_TO_POINTER (left - 1), NULL);
      g_task_attach_source (task, source_later, on_connect_retry);
      return;
    }
  g_task_return_error (task, error);
}

static void
connect_once (GTask *task)
{
  AlcoveMachine *self = g_task_get_source_object (task);
  g_autofree char *folder = alcove_paths_dup_machine_runtime (self->uuid);

  alcove_control_connect_async (folder, g_task_get_cancellable (task), on_connect,
                                g_object_ref (task));
}

void
alcove_machine_connect_async (AlcoveMachine *self,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_connect_async);
  if (self->proxy != NULL)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  if (!alcove_machine_has_process (self))
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "%s is not running: start it first", alcove_machine_get_name (self));
      return;
    }
  g_task_set_task_data (task, GUINT_TO_POINTER (CONNECT_RETRIES), NULL);
  connect_once (task);
}

gboolean
alcove_machine_connect_finish (AlcoveMachine *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* Looking. */

static void
on_refreshed (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = g_task_get_source_object (task);
  GError *error = NULL;
  guint pid;

  if (alcove_machine_connect_finish (self, result, &error))
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    {
      g_task_return_error (task, error);
      return;
    }
  if (alcove_lock_is_held (self->folder, &pid))
    {
      g_autofree char *detail = g_strdup_printf (
          "Process %u holds the machine and does not answer: %s", pid, error->message);

      set_state (self, ALCOVE_MACHINE_BUSY, "no-answer", detail);
    }
  else if (!self->launching)
    {
      settled (self);
    }
  g_error_free (error);
  g_task_return_boolean (task, TRUE);
}

void
alcove_machine_refresh_async (AlcoveMachine *self,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_set_source_tag (task, alcove_machine_refresh_async);
  if (self->proxy != NULL || self->launching)
    {
      g_task_return_boolean (task, TRUE);
      return;
    }
  if (!alcove_machine_has_process (self))
    {
      settled (self);
      g_task_return_boolean (task, TRUE);
      return;
    }
  alcove_machine_connect_async (self, cancellable, on_refreshed, g_object_ref (task));
}

/* Starting. */

static void
on_start_connected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = g_task_get_source_object (task);
  GError *error = NULL;

  self->launching = FALSE;
  if (!alcove_machine_connect_finish (self, result, &error))
    {
      set_state (self,
                 alcove_lock_is_held (self->folder, NULL) ? ALCOVE_MACHINE_BUSY : idle_state (self),
                 NULL, error->message);
      g_task_return_error (task, error);
      return;
    }
  g_task_return_boolean (task, TRUE);
}

static void
on_launched (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  AlcoveMachine *self = g_task_get_source_object (task);
  g_autoptr (GSubprocess) process = NULL;
  GError *error = NULL;

  process = alcove_launch_finish (result, &error);
  if (process == NULL)
    {
      self->launching = FALSE;
      set_state (self, idle_state (self), NULL, error->message);
      g_task_return_error (task, error);
      return;
    }
  alcove_passthrough_starts_add (self->definition, NULL);
  alcove_machine_connect_async (self, g_task_get_cancellable (task), on_start_connected,
                                g_object_ref (task));
}

/* Writes down what must not move later, before it can be used the first time. */
static gboolean
settle_definition (AlcoveMachine *self, GError **error)
{
  const char *path = alcove_definition_get_path (self->definition);
  g_autofree char *text = alcove_definition_to_text (self->definition);
  g_autofree char *settled = NULL;
  g_autoptr (AlcoveDefinition) copy = alcove_definition_new_from_text (text, -1, path, error);
  AlcoveDefinitionEdit *edit;
  gboolean good;

  if (copy == NULL || !alcove_definition_assign (copy, error))
    return FALSE;
  settled = alcove_definition_to_text (copy);
  if (strcmp (settled, text) == 0)
    return TRUE;
  edit = alcove_definition_edit_begin (self->folder, path, FALSE, "starts it", error);
  good = edit != NULL &&
         alcove_definition_assign (alcove_definition_edit_get_definition (edit), error) &&
         alcove_definition_edit_save (edit, error);
  alcove_definition_edit_end (edit);
  if (good)
    alcove_machine_reload (self);
  return good && self->definition != NULL;
}

gboolean
alcove_machine_discard_saved (AlcoveMachine *self, GError **error)
{
  g_autofree char *folder = alcove_saved_dup_folder (self->folder);
  g_autoptr (AlcoveLock) lock = NULL;

  if (!alcove_saved_exists (self->folder))
    return TRUE;
  lock = alcove_lock_acquire (self->folder, "discards its saved state", error);
  if (lock == NULL || !alcove_saved_remove (folder, error))
    return FALSE;
  if (self->state == ALCOVE_MACHINE_SAVED)
    set_state (self, idle_state (self), NULL, NULL);
  return TRUE;
}

void
alcove_machine_start_async (AlcoveMachine *self,
                            AlcoveStartFlags flags,
                            GCancellable *cancellable,
                            GAsyncReadyCallback callback,
                            gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);
  g_autofree char *runtime_dir = NULL, *log_path = NULL, *restore = NULL;
  AlcoveLaunchSpec spec = { 0 };
  GError *error = NULL;
  guint pid;

  g_task_set_source_tag (task, alcove_machine_start_async);
  if (!self->launching)
    alcove_machine_reload (self);
  if (self->definition == NULL)
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s", self->error);
      return;
    }
  if (self->launching || alcove_machine_is_active (self) ||
      alcove_lock_is_held (self->folder, &pid))
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "%s is already running or in use", alcove_machine_get_name (self));
      return;
    }
  if (!settle_definition (self, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if ((flags & ALCOVE_START_DISCARD_SAVED) != 0 && !alcove_machine_discard_saved (self, &error))
    {
      g_task_return_error (task, error);
      return;
    }
  if ((flags & ALCOVE_START_DISPOSABLE) != 0 && alcove_saved_exists (self->folder))
    {
      g_task_return_new_error (task, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "%s is saved: its disks belong to its memory. Start it normally, or "
                               "take a snapshot and clone that",
                               alcove_machine_get_name (self));
      return;
    }
  self->launching = TRUE;
  set_state (self, ALCOVE_MACHINE_STARTING, "user", NULL);
  runtime_dir = alcove_paths_dup_machine_runtime (self->uuid);
  log_path = alcove_machine_dup_log_path (self);
  spec.folder = self->folder;
  spec.runtime_dir = runtime_dir;
  spec.log_path = log_path;
  spec.paused = (flags & ALCOVE_START_PAUSED) != 0;
  spec.disposable = (flags & ALCOVE_START_DISPOSABLE) != 0;
  spec.discard_saved = (flags & ALCOVE_START_DISCARD_SAVED) != 0;
  if (alcove_saved_exists (self->folder))
    {
      restore = alcove_saved_dup_folder (self->folder);
      spec.restore = restore;
      spec.consume = TRUE;
      spec.new_generation = alcove_saved_is_snapshot (self->folder);
    }
  alcove_launch_async (&spec, cancellable, on_launched, g_object_ref (task));
}
