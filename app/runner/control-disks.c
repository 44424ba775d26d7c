/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AddDisk and RemoveDisk of the control protocol. */
#include "app/runner/control-disks.h"

#include "app/error.h"
#include "app/runner/control.h"
#include "app/runner/hotplug.h"

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
on_add_disk (AlcoveMachine1 *object,
             GDBusMethodInvocation *invocation,
             const char *group,
             gpointer user_data)
{
  RunnerMachine *machine = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *result = NULL;

  if (is_held (machine, invocation))
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  result = runner_hotplug_add_disk (machine, group, &error);
  if (result == NULL)
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_add_disk (object, invocation, result);
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
on_remove_disk (AlcoveMachine1 *object,
                GDBusMethodInvocation *invocation,
                const char *name,
                GVariant *options,
                gpointer user_data)
{
  RunnerMachine *machine = user_data;
  gboolean force = FALSE;
  guint timeout_ms = RUNNER_EJECT_MS;

  if (is_held (machine, invocation))
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  (void)g_variant_lookup (options, "force", "b", &force);
  (void)g_variant_lookup (options, "timeout-ms", "u", &timeout_ms);
  runner_hotplug_remove_disk (machine, name, force, CLAMP (timeout_ms, 1, RUNNER_EJECT_MS_MAX),
                              on_removed, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

void
runner_control_disks_connect (AlcoveMachine1 *skeleton, RunnerMachine *machine)
{
  g_signal_connect (skeleton, "handle-add-disk", G_CALLBACK (on_add_disk), machine);
  g_signal_connect (skeleton, "handle-remove-disk", G_CALLBACK (on_remove_disk), machine);
}
