/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/helper/caller.h"

#include "vmm/error.h"

#define DBUS_NAME         "org.freedesktop.DBus"
#define POLKIT_NAME       "org.freedesktop.PolicyKit1"
#define BUS_WAIT_MS       25000
/* CheckAuthorization's flag: the user may be asked. */
#define ALLOW_INTERACTION 1u

void
helper_caller_free (HelperCaller *caller)
{
  if (caller == NULL)
    return;
  g_free (caller->sender);
  g_free (caller);
}

static void
on_credentials (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  g_autoptr (GVariant) fields = NULL;
  HelperCaller *caller;
  guint32 uid, pid;

  if (reply != NULL)
    fields = g_variant_get_child_value (reply, 0);
  if (fields == NULL || !g_variant_lookup (fields, "UnixUserID", "u", &uid))
    {
      g_task_return_new_error (task, VMM_ERROR, VMM_ERROR_FAILED,
                               "The bus does not tell who calls: %s",
                               error != NULL ? error->message : "there is no user id");
      return;
    }
  caller = g_new0 (HelperCaller, 1);
  caller->sender = g_strdup (g_task_get_task_data (task));
  caller->uid = uid;
  caller->pid = g_variant_lookup (fields, "ProcessID", "u", &pid) ? (gint64)pid : -1;
  g_task_return_pointer (task, caller, (GDestroyNotify)helper_caller_free);
}

void
helper_caller_identify_async (GDBusConnection *bus,
                              const char *sender,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);

  g_task_set_task_data (task, g_strdup (sender), g_free);
  g_dbus_connection_call (bus, DBUS_NAME, "/org/freedesktop/DBus", DBUS_NAME,
                          "GetConnectionCredentials", g_variant_new ("(s)", sender),
                          G_VARIANT_TYPE ("(a{sv})"), G_DBUS_CALL_FLAGS_NONE, BUS_WAIT_MS, NULL,
                          on_credentials, task);
}

HelperCaller *
helper_caller_identify_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* Nobody decides: then only who could do it without us may. */
static void
decide_without_polkit (GTask *task, const GError *error)
{
  guint32 uid = GPOINTER_TO_UINT (g_task_get_task_data (task));

  if (uid == 0)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_new_error (task, VMM_ERROR, VMM_ERROR_PERMISSION,
                             "polkit, which decides who may do this, does not answer (%s): install "
                             "it or start it, or use sudo",
                             error->message);
}

static void
on_authorized (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  g_autoptr (GVariant) details = NULL;
  gboolean yes = FALSE, challenge = FALSE;
  const char *dismissed = NULL;

  if (reply == NULL)
    {
      decide_without_polkit (task, error);
      return;
    }
  g_variant_get (reply, "((bb@a{ss}))", &yes, &challenge, &details);
  if (yes)
    g_task_return_boolean (task, TRUE);
  else if (g_variant_lookup (details, "polkit.dismissed", "&s", &dismissed))
    g_task_return_new_error (task, VMM_ERROR, VMM_ERROR_CANCELLED,
                             "The question for the password was dismissed: nothing was changed");
  else if (challenge)
    g_task_return_new_error (task, VMM_ERROR, VMM_ERROR_PERMISSION,
                             "An administrator's password is needed, and there is nobody here to "
                             "ask for it: use sudo, or a session on the desktop");
  else
    g_task_return_new_error (task, VMM_ERROR, VMM_ERROR_PERMISSION,
                             "The rules of this computer (polkit) do not let you do this");
}

void
helper_caller_authorize_async (GDBusConnection *bus,
                               const HelperCaller *caller,
                               const char *action,
                               const char *detail,
                               GAsyncReadyCallback callback,
                               gpointer user_data)
{
  GTask *task = g_task_new (NULL, NULL, callback, user_data);
  GVariantBuilder subject, details;

  g_task_set_task_data (task, GUINT_TO_POINTER (caller->uid), NULL);
  g_variant_builder_init (&subject, G_VARIANT_TYPE ("a{sv}"));
  g_variant_builder_add (&subject, "{sv}", "name", g_variant_new_string (caller->sender));
  g_variant_builder_init (&details, G_VARIANT_TYPE ("a{ss}"));
  g_variant_builder_add (&details, "{ss}", "functions", detail);
  /* No limit of time: somebody types a password. */
  g_dbus_connection_call (bus, POLKIT_NAME, "/org/freedesktop/PolicyKit1/Authority",
                          "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization",
                          g_variant_new ("((sa{sv})sa{ss}us)", "system-bus-name", &subject, action,
                                         &details, ALLOW_INTERACTION, ""),
                          G_VARIANT_TYPE ("((bba{ss}))"), G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL,
                          on_authorized, task);
}

gboolean
helper_caller_authorize_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
