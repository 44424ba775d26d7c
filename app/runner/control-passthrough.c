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

static gboolean
on_add_pci (AlcoveMachine1 *object,
            GDBusMethodInvocation *invocation,
            const char *const *groups,
            gpointer user_data)
{
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) result = NULL;

  if (is_held (user_data, invocation))
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  result = runner_passthrough_add (user_data, groups, &error);
  if (result == NULL)
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_add_pci (object, invocation, (const char *const *)result);
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
  gboolean force = FALSE;
  guint timeout_ms = RUNNER_EJECT_MS;

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
