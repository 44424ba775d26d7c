/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AddPci, RemovePci and ListPci of the control protocol. */
#include "app/runner/control-disks.h"

#include "app/error.h"
#include "app/runner/control.h"
#include "app/runner/passthrough.h"

static gboolean
is_held (RunnerMachine *machine, GDBusMethodInvocation *invocation)
{
  g_autoptr (GError) error = NULL;

  if (!runner_hotplug_is_held (machine))
    return FALSE;
  error = g_error_new_literal (ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "The machine is being saved: wait until that is done");
  runner_control_return_error (invocation, error);
  return TRUE;
}

/* A call that may take long, and ends when its caller leaves. */
typedef struct
{
  GDBusMethodInvocation *invocation;
  GCancellable *cancellable;
  GDBusConnection *connection;
  gulong handler;
} AddCall;

static void
on_caller_left (GDBusConnection *connection, gboolean vanished, GError *error, gpointer user_data)
{
  g_cancellable_cancel (user_data);
}

static void
on_added (const char *const *groups, const GError *error, gpointer user_data)
{
  AddCall *call = user_data;

  g_signal_handler_disconnect (call->connection, call->handler);
  if (error != NULL)
    runner_control_return_error (call->invocation, error);
  else
    g_dbus_method_invocation_return_value (call->invocation, g_variant_new ("(^as)", groups));
  g_object_unref (call->connection);
  g_object_unref (call->cancellable);
  g_free (call);
}

static gboolean
on_add_pci (AlcoveMachine1 *object,
            GDBusMethodInvocation *invocation,
            const char *const *groups,
            gpointer user_data)
{
  AddCall *call;

  if (is_held (user_data, invocation))
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  call = g_new0 (AddCall, 1);
  call->invocation = invocation;
  call->cancellable = g_cancellable_new ();
  call->connection = g_object_ref (g_dbus_method_invocation_get_connection (invocation));
  call->handler =
      g_signal_connect (call->connection, "closed", G_CALLBACK (on_caller_left), call->cancellable);
  runner_passthrough_add (user_data, groups, call->cancellable, on_added, call);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* invocation: (transfer full). */
static void
on_removed (const GError *error, gpointer user_data)
{
  GDBusMethodInvocation *invocation = user_data;

  if (error != NULL)
    runner_control_return_error (invocation, error);
  else
    g_dbus_method_invocation_return_value (invocation, NULL);
}

static gboolean
on_remove_pci (AlcoveMachine1 *object,
               GDBusMethodInvocation *invocation,
               const char *name,
               GVariant *options,
               gpointer user_data)
{
  gboolean force = FALSE, waiting = FALSE;
  guint timeout_ms = RUNNER_EJECT_MS;

  (void)g_variant_lookup (options, "waiting", "b", &waiting);
  if (waiting)
    {
      runner_passthrough_cancel (user_data, name, on_removed, invocation);
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  if (is_held (user_data, invocation))
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  (void)g_variant_lookup (options, "force", "b", &force);
  (void)g_variant_lookup (options, "timeout-ms", "u", &timeout_ms);
  runner_passthrough_remove (user_data, name, force, CLAMP (timeout_ms, 1, RUNNER_EJECT_MS_MAX),
                             on_removed, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_list_pci (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  g_autoptr (GVariant) list = runner_passthrough_list (user_data);

  alcove_machine1_complete_list_pci (object, invocation, list);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static void
on_changed (gpointer skeleton)
{
  alcove_machine1_emit_pci_changed (skeleton);
}

void
runner_control_passthrough_connect (AlcoveMachine1 *skeleton, RunnerMachine *machine)
{
  g_signal_connect (skeleton, "handle-add-pci", G_CALLBACK (on_add_pci), machine);
  g_signal_connect (skeleton, "handle-remove-pci", G_CALLBACK (on_remove_pci), machine);
  g_signal_connect (skeleton, "handle-list-pci", G_CALLBACK (on_list_pci), machine);
  runner_passthrough_watch (machine, on_changed, skeleton);
}
