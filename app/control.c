/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/control.h"

#include <errno.h>
#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "app/paths.h"

#define CLIENTS_MAX 32

struct _AlcoveControlServer
{
  GSocketService *service;
  GCancellable *cancellable;
  AlcoveMachine1 *machine;
  GPtrArray *connections; /* of GDBusConnection */
  char *folder, *path;
  guint ref_count; /* the owner, and each handshake under way */
};

static void
server_unref (AlcoveControlServer *server)
{
  if (--server->ref_count > 0)
    return;
  g_clear_object (&server->service);
  g_clear_object (&server->cancellable);
  g_clear_object (&server->machine);
  g_ptr_array_unref (server->connections);
  g_free (server->folder);
  g_free (server->path);
  g_free (server);
}

static void
on_closed (GDBusConnection *connection,
           gboolean remote_peer_vanished,
           GError *error,
           gpointer user_data)
{
  AlcoveControlServer *server = user_data;

  g_dbus_interface_skeleton_unexport_from_connection (G_DBUS_INTERFACE_SKELETON (server->machine),
                                                      connection);
  g_ptr_array_remove (server->connections, connection);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  AlcoveControlServer *server = user_data;
  g_autoptr (GDBusConnection) connection = g_dbus_connection_new_finish (result, NULL);

  /* A handshake that failed is the client's business. */
  if (connection != NULL && !g_cancellable_is_cancelled (server->cancellable) &&
      g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (server->machine), connection,
                                        ALCOVE_CONTROL_PATH, NULL))
    {
      g_ptr_array_add (server->connections, g_object_ref (connection));
      g_signal_connect (connection, "closed", G_CALLBACK (on_closed), server);
      g_dbus_connection_start_message_processing (connection);
    }
  server_unref (server);
}

static gboolean
on_incoming (GSocketService *service,
             GSocketConnection *stream,
             GObject *source,
             gpointer user_data)
{
  AlcoveControlServer *server = user_data;
  g_autofree char *guid = NULL;

  if (server->connections->len >= CLIENTS_MAX)
    return TRUE;
  guid = g_dbus_generate_guid ();
  server->ref_count++;
  g_dbus_connection_new (G_IO_STREAM (stream), guid,
                         G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_SERVER |
                             G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_REQUIRE_SAME_USER |
                             G_DBUS_CONNECTION_FLAGS_DELAY_MESSAGE_PROCESSING,
                         NULL, server->cancellable, on_connected, server);
  return TRUE;
}

static char *
dup_socket_path (const char *folder, GError **error)
{
  g_autofree char *path = g_build_filename (folder, ALCOVE_CONTROL_SOCKET, NULL);

  /* unix(7): sun_path has 108 bytes with the final zero. */
  if (strlen (path) > 107)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "The socket path %s is longer than 107 bytes: set XDG_RUNTIME_DIR to a shorter "
                   "folder",
                   path);
      return NULL;
    }
  return g_steal_pointer (&path);
}

gboolean
alcove_control_is_served (const char *runtime_folder)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *path = dup_socket_path (runtime_folder, NULL);
  gboolean served;
  int fd;

  if (path == NULL)
    return FALSE;
  strcpy (address.sun_path, path); /* dup_socket_path checked the length */
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return FALSE;
  served = connect (fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
  close (fd);
  return served;
}

AlcoveControlServer *
alcove_control_server_new (const char *runtime_folder, AlcoveMachine1 *machine, GError **error)
{
  g_autoptr (GSocketAddress) address = NULL;
  g_autoptr (GSocketService) service = NULL;
  g_autofree char *path = dup_socket_path (runtime_folder, error);
  AlcoveControlServer *server;

  if (path == NULL || !alcove_paths_ensure_private (runtime_folder, error))
    return NULL;
  if (alcove_control_is_served (runtime_folder))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY,
                   "Another machine with the same uuid runs (it serves %s): give a copied machine "
                   "a uuid of its own in its machine.conf",
                   path);
      return NULL;
    }
  if (g_unlink (path) < 0 && errno != ENOENT)
    {
      int saved = errno;

      g_set_error (error, G_FILE_ERROR, g_file_error_from_errno (saved),
                   "The old socket %s cannot be removed: %s", path, g_strerror (saved));
      return NULL;
    }
  service = g_socket_service_new ();
  address = g_unix_socket_address_new (path);
  if (!g_socket_listener_add_address (G_SOCKET_LISTENER (service), address, G_SOCKET_TYPE_STREAM,
                                      G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, error))
    {
      g_prefix_error (error, "The control socket %s cannot be made: ", path);
      return NULL;
    }
  server = g_new0 (AlcoveControlServer, 1);
  server->ref_count = 1;
  server->service = g_steal_pointer (&service);
  server->cancellable = g_cancellable_new ();
  server->machine = g_object_ref (machine);
  server->connections = g_ptr_array_new_with_free_func (g_object_unref);
  server->folder = g_strdup (runtime_folder);
  server->path = g_steal_pointer (&path);
  g_signal_connect (server->service, "incoming", G_CALLBACK (on_incoming), server);
  g_socket_service_start (server->service);
  return server;
}

guint
alcove_control_server_get_n_clients (AlcoveControlServer *server)
{
  return server->connections->len;
}

void
alcove_control_server_flush (AlcoveControlServer *server)
{
  g_dbus_interface_skeleton_flush (G_DBUS_INTERFACE_SKELETON (server->machine));
  for (guint i = 0; i < server->connections->len; i++)
    g_dbus_connection_flush_sync (g_ptr_array_index (server->connections, i), NULL, NULL);
}

void
alcove_control_server_free (AlcoveControlServer *server)
{
  if (server == NULL)
    return;
  g_signal_handlers_disconnect_by_data (server->service, server);
  g_socket_service_stop (server->service);
  g_socket_listener_close (G_SOCKET_LISTENER (server->service));
  g_cancellable_cancel (server->cancellable);
  alcove_control_server_flush (server);
  for (guint i = 0; i < server->connections->len; i++)
    {
      GDBusConnection *connection = g_ptr_array_index (server->connections, i);

      g_signal_handlers_disconnect_by_data (connection, server);
      g_dbus_interface_skeleton_unexport_from_connection (
          G_DBUS_INTERFACE_SKELETON (server->machine), connection);
      g_dbus_connection_close_sync (connection, NULL, NULL);
    }
  (void)g_unlink (server->path);
  (void)g_rmdir (server->folder);
  server_unref (server);
}

void
alcove_control_return_error (GDBusMethodInvocation *invocation, const GError *error)
{
  AlcoveErrorCode code = ALCOVE_ERROR_FAILED;

  if (error->domain == ALCOVE_ERROR)
    code = (AlcoveErrorCode)error->code;
  g_dbus_method_invocation_return_dbus_error (invocation, alcove_error_code_to_dbus (code),
                                              error->message);
}

static void
on_proxy (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  GError *error = NULL;
  AlcoveMachine1 *proxy = alcove_machine1_proxy_new_finish (result, &error);

  if (proxy == NULL)
    {
      g_dbus_error_strip_remote_error (error);
      g_task_return_error (task, error);
      return;
    }
  g_task_return_pointer (task, proxy, g_object_unref);
}

static void
on_client_connected (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  g_autoptr (GDBusConnection) connection = NULL;
  GError *error = NULL;

  connection = g_dbus_connection_new_for_address_finish (result, &error);
  if (connection == NULL)
    {
      if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
          g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
        {
          g_clear_error (&error);
          error = g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                               "The machine is not running: nobody listens");
        }
      g_task_return_error (task, error);
      return;
    }
  g_dbus_connection_set_exit_on_close (connection, FALSE);
  alcove_machine1_proxy_new (connection, G_DBUS_PROXY_FLAGS_NONE, NULL, ALCOVE_CONTROL_PATH,
                             g_task_get_cancellable (task), on_proxy, g_object_ref (task));
}

void
alcove_control_connect_async (const char *runtime_folder,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (NULL, cancellable, callback, user_data);
  g_autofree char *path = NULL, *escaped = NULL, *address = NULL;
  GError *error = NULL;

  g_task_set_source_tag (task, alcove_control_connect_async);
  path = dup_socket_path (runtime_folder, &error);
  if (path == NULL)
    {
      g_task_return_error (task, error);
      return;
    }
  escaped = g_dbus_address_escape_value (path);
  address = g_strconcat ("unix:path=", escaped, NULL);
  g_dbus_connection_new_for_address (address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                     cancellable, on_client_connected, g_object_ref (task));
}

AlcoveMachine1 *
alcove_control_connect_finish (GAsyncResult *result, GError **error)
{
  return g_task_propagate_pointer (G_TASK (result), error);
}
