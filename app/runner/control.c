/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/control.h"

#include <errno.h>
#include <gio/gunixfdlist.h>
#include <glib/gstdio.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/machine1.h"
#include "app/error.h"
#include "devices/backends/spice/spice.h"
#include "app/runner/control-disks.h"
#include "app/runner/frames.h"
#include "app/runner/hotplug.h"
#include "app/runner/passthrough.h"
#include "app/runner/stats.h"
#include "app/runner/typing.h"

#define OBJECT_PATH "/io/github/alcove_vm/Machine1"

struct _RunnerControl
{
  RunnerMachine *machine; /* borrowed */
  char *folder, *socket;
  GDBusServer *server;
  AlcoveMachine1 *skeleton;
  GPtrArray *connections; /* of GDBusConnection */
  RunnerTyping *typing;
  RunnerSaving *saving;
  RunnerQuitFunc quit;
  gpointer quit_data;
};

void
runner_control_return_error (GDBusMethodInvocation *invocation, const GError *error)
{
  AlcoveErrorCode code = ALCOVE_ERROR_FAILED;

  if (error->domain == ALCOVE_ERROR)
    code = error->code;
  else if (g_error_matches (error, VMM_ERROR, VMM_ERROR_INVALID))
    code = ALCOVE_ERROR_INVALID;
  else if (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_FOUND))
    code = ALCOVE_ERROR_NOT_FOUND;
  else if (g_error_matches (error, VMM_ERROR, VMM_ERROR_BUSY))
    code = ALCOVE_ERROR_WRONG_STATE;
  else if (g_error_matches (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED))
    code = ALCOVE_ERROR_NOT_SUPPORTED;
  else if (g_error_matches (error, VMM_ERROR, VMM_ERROR_CANCELLED))
    code = ALCOVE_ERROR_CANCELLED;
  g_dbus_method_invocation_return_dbus_error (invocation, alcove_error_code_to_dbus (code),
                                              error->message);
}

static gboolean
fail (GDBusMethodInvocation *invocation, AlcoveErrorCode code, const char *message)
{
  g_dbus_method_invocation_return_dbus_error (invocation, alcove_error_code_to_dbus (code),
                                              message);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* -- The machine's run state -- */

static gboolean
on_pause (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;

  /* Paused means that what the guest believes to be on disk is there. */
  if (!vmm_vm_pause (runner_machine_get_vm (self->machine), &error) ||
      !runner_machine_flush (self->machine, &error))
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_pause (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_resume (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!vmm_vm_resume (runner_machine_get_vm (self->machine), &error))
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_resume (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_reset (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!vmm_vm_reset (runner_machine_get_vm (self->machine), &error))
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_reset (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_power_button (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerControl *self = user_data;

  if (vmm_vm_get_state (runner_machine_get_vm (self->machine)) != VMM_STATE_RUNNING)
    return fail (invocation, ALCOVE_ERROR_WRONG_STATE,
                 "The machine is not running, so it would not notice its power button: resume it "
                 "first, or force it off");
  q35_board_press_power_button (runner_machine_get_board (self->machine));
  alcove_machine1_complete_power_button (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_quit (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerControl *self = user_data;

  alcove_machine1_complete_quit (object, invocation);
  self->quit (self->quit_data);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* -- Disks -- */

static gboolean
on_delete_disk_snapshot (AlcoveMachine1 *object,
                         GDBusMethodInvocation *invocation,
                         const char *id,
                         gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!runner_machine_delete_disk_snapshot (self->machine, id, &error))
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_delete_disk_snapshot (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* -- Media -- */

static gboolean
on_change_medium (AlcoveMachine1 *object,
                  GDBusMethodInvocation *invocation,
                  const char *device,
                  const char *path,
                  gboolean force,
                  gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!g_path_is_absolute (path))
    return fail (invocation, ALCOVE_ERROR_INVALID, "The path of a medium must be absolute");
  if (!runner_machine_set_medium (self->machine, device, path, force, &error))
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_change_medium (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_eject_medium (AlcoveMachine1 *object,
                 GDBusMethodInvocation *invocation,
                 const char *device,
                 gboolean force,
                 gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!runner_machine_set_medium (self->machine, device, NULL, force, &error))
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_eject_medium (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* -- The display -- */

/* (transfer full): the fd of a handle argument, or -1 with the error returned. */
static int
take_fd (GDBusMethodInvocation *invocation, GUnixFDList *fds, GVariant *handle)
{
  g_autoptr (GError) error = NULL;
  gint32 index = g_variant_get_handle (handle);
  int fd = -1;

  if (fds == NULL || index < 0 || index >= g_unix_fd_list_get_length (fds))
    fail (invocation, ALCOVE_ERROR_INVALID, "The message carries no file descriptor");
  else if ((fd = g_unix_fd_list_get (fds, index, &error)) < 0)
    runner_control_return_error (invocation, error);
  return fd;
}

static gboolean
on_attach_spice (AlcoveMachine1 *object,
                 GDBusMethodInvocation *invocation,
                 GUnixFDList *fds,
                 GVariant *handle,
                 gpointer user_data)
{
  RunnerControl *self = user_data;
  SpiceBackend *spice = runner_machine_get_spice (self->machine);
  g_autoptr (GError) error = NULL;
  struct stat st;
  int fd;

  if (spice == NULL)
    return fail (invocation, ALCOVE_ERROR_NOT_SUPPORTED, "This machine has no display");
  fd = take_fd (invocation, fds, handle);
  if (fd < 0)
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  if (fstat (fd, &st) < 0 || !S_ISSOCK (st.st_mode))
    {
      close (fd);
      return fail (invocation, ALCOVE_ERROR_INVALID, "The file descriptor is not a socket");
    }
  if (!spice_backend_add_client (spice, fd, &error))
    runner_control_return_error (invocation, error);
  else
    alcove_machine1_complete_attach_spice (object, invocation, NULL);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static DisplayScanout *
find_scanout (RunnerControl *self, GDBusMethodInvocation *invocation, guint index)
{
  DisplayScanout *scanout = runner_machine_get_scanout (self->machine, index);

  if (scanout == NULL)
    fail (invocation, ALCOVE_ERROR_NOT_FOUND, "This machine has no such display");
  return scanout;
}

static gboolean
on_resize_display (AlcoveMachine1 *object,
                   GDBusMethodInvocation *invocation,
                   guint index,
                   guint width,
                   guint height,
                   gpointer user_data)
{
  DisplayScanout *scanout = find_scanout (user_data, invocation, index);

  if (scanout == NULL)
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  if (width < 64 || width > DISPLAY_MAX_WIDTH || height < 64 || height > DISPLAY_MAX_HEIGHT)
    return fail (invocation, ALCOVE_ERROR_INVALID, "A display is 64 to 16384 pixels wide and high");
  display_scanout_request_resize (scanout, width, height);
  alcove_machine1_complete_resize_display (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* A copy of the picture: the guest goes on drawing into the original. Returns an fd or -errno. */
static int
copy_surface (DisplaySurface *surface)
{
  gsize left = (gsize)display_surface_get_stride (surface) * display_surface_get_height (surface);
  const guint8 *data = display_surface_get_data (surface);
  int fd = memfd_create ("alcove-screenshot", MFD_CLOEXEC);

  if (fd < 0)
    return -errno;
  while (left > 0)
    {
      ssize_t n = write (fd, data, left);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          int saved = n < 0 ? -errno : -EIO;

          close (fd);
          return saved;
        }
      data += n;
      left -= n;
    }
  return fd;
}

static gboolean
on_screenshot (AlcoveMachine1 *object,
               GDBusMethodInvocation *invocation,
               GUnixFDList *in_fds,
               guint index,
               gpointer user_data)
{
  DisplayScanout *scanout = find_scanout (user_data, invocation, index);
  g_autoptr (GUnixFDList) fds = NULL;
  DisplaySurface *surface;
  int fd;

  if (scanout == NULL)
    return G_DBUS_METHOD_INVOCATION_HANDLED;
  surface = display_scanout_dup_surface (scanout);
  if (surface == NULL)
    return fail (invocation, ALCOVE_ERROR_WRONG_STATE, "The display is off: there is no picture");
  fd = copy_surface (surface);
  if (fd < 0)
    {
      g_autoptr (GError) error = NULL;

      vmm_error_set_errno (&error, fd, "Cannot copy the picture");
      runner_control_return_error (invocation, error);
    }
  else
    {
      fds = g_unix_fd_list_new_from_array (&fd, 1);
      alcove_machine1_complete_screenshot (
          object, invocation, fds, g_variant_new_handle (0), display_surface_get_width (surface),
          display_surface_get_height (surface), display_surface_get_stride (surface));
    }
  display_surface_unref (surface);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* -- Input -- */

static void
on_keys_played (gpointer user_data)
{
  g_autoptr (GDBusMethodInvocation) invocation = user_data;

  g_dbus_method_invocation_return_value (g_steal_pointer (&invocation), NULL);
}

static gboolean
on_send_keys (AlcoveMachine1 *object,
              GDBusMethodInvocation *invocation,
              GVariant *keys,
              guint hold_ms,
              gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;
  gsize n;
  const guint32 *codes = g_variant_get_fixed_array (keys, &n, sizeof (guint32));

  if (!runner_typing_send_keys (self->typing, codes, MIN (n, G_MAXUINT), hold_ms, on_keys_played,
                                invocation, &error))
    runner_control_return_error (invocation, error);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_type (AlcoveMachine1 *object,
         GDBusMethodInvocation *invocation,
         const char *text,
         gpointer user_data)
{
  RunnerControl *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!runner_typing_type (self->typing, text, on_keys_played, invocation, &error))
    runner_control_return_error (invocation, error);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_move_pointer (AlcoveMachine1 *object,
                 GDBusMethodInvocation *invocation,
                 double x,
                 double y,
                 guint buttons,
                 gpointer user_data)
{
  RunnerControl *self = user_data;
  InputRouter *router = runner_machine_get_router (self->machine);

  if (!isfinite (x) || !isfinite (y) || x < 0 || x > 1 || y < 0 || y > 1)
    return fail (invocation, ALCOVE_ERROR_INVALID, "Pointer positions go from 0 to 1");
  if (!input_router_has_absolute (router))
    return fail (invocation, ALCOVE_ERROR_WRONG_STATE,
                 "The guest drives no absolute pointer at this time");
  input_router_absolute (router, lround (x * INPUT_ABS_MAX), lround (y * INPUT_ABS_MAX));
  input_router_buttons (router, buttons & 0x1f);
  input_router_sync (router);
  alcove_machine1_complete_move_pointer (object, invocation);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* -- Consoles and counters -- */

static gboolean
on_open_console (AlcoveMachine1 *object,
                 GDBusMethodInvocation *invocation,
                 GUnixFDList *in_fds,
                 const char *name,
                 gpointer user_data)
{
  RunnerControl *self = user_data;
  CharBackend *hub = runner_machine_get_console (self->machine, name);
  g_autoptr (GUnixFDList) fds = NULL;
  g_autoptr (GError) error = NULL;
  int fd;

  if (hub == NULL)
    {
      g_autofree char *message = g_strdup_printf ("This machine has no console “%s”", name);

      return fail (invocation, ALCOVE_ERROR_NOT_FOUND, message);
    }
  fd = char_hub_connect (hub);
  if (fd < 0)
    {
      vmm_error_set_errno (&error, fd, "Cannot connect to console “%s”", name);
      runner_control_return_error (invocation, error);
      return G_DBUS_METHOD_INVOCATION_HANDLED;
    }
  fds = g_unix_fd_list_new_from_array (&fd, 1);
  alcove_machine1_complete_open_console (object, invocation, fds, g_variant_new_handle (0));
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_list_consoles (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerControl *self = user_data;
  GPtrArray *names = runner_machine_get_console_names (self->machine);
  g_autofree const char **list = g_new0 (const char *, names->len + 1);

  for (guint i = 0; i < names->len; i++)
    list[i] = g_ptr_array_index (names, i);
  alcove_machine1_complete_list_consoles (object, invocation, list);
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

static gboolean
on_get_stats (AlcoveMachine1 *object, GDBusMethodInvocation *invocation, gpointer user_data)
{
  RunnerControl *self = user_data;

  alcove_machine1_complete_get_stats (object, invocation, runner_stats_collect (self->machine));
  return G_DBUS_METHOD_INVOCATION_HANDLED;
}

/* -- The server -- */

static void
on_closed (GDBusConnection *connection, gboolean vanished, GError *error, gpointer user_data)
{
  RunnerControl *self = user_data;

  g_dbus_interface_skeleton_unexport_from_connection (G_DBUS_INTERFACE_SKELETON (self->skeleton),
                                                      connection);
  g_signal_handlers_disconnect_by_data (connection, self);
  g_ptr_array_remove (self->connections, connection);
}

static gboolean
on_new_connection (GDBusServer *server, GDBusConnection *connection, gpointer user_data)
{
  RunnerControl *self = user_data;

  if (!g_dbus_interface_skeleton_export (G_DBUS_INTERFACE_SKELETON (self->skeleton), connection,
                                         OBJECT_PATH, NULL))
    return FALSE;
  g_signal_connect (connection, "closed", G_CALLBACK (on_closed), self);
  g_ptr_array_add (self->connections, g_object_ref (connection));
  return TRUE;
}

static gboolean
make_folder (const char *folder, GError **error)
{
  struct stat st;

  if (g_mkdir_with_parents (folder, 0700) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot make the run-time folder “%s”", folder);
  if (lstat (folder, &st) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot look at the run-time folder “%s”", folder);
  if (!S_ISDIR (st.st_mode) || st.st_uid != geteuid ())
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_PERMISSION,
                   "The run-time folder “%s” belongs to somebody else: remove it, or set "
                   "XDG_RUNTIME_DIR to a folder of your own",
                   folder);
      return FALSE;
    }
  if ((st.st_mode & 0077) != 0 && chmod (folder, 0700) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot close “%s” to others", folder);
  return TRUE;
}

static GDBusServer *
listen_on (RunnerControl *self, GError **error)
{
  g_autofree char *escaped = g_dbus_address_escape_value (self->socket);
  g_autofree char *address = g_strconcat ("unix:path=", escaped, NULL);
  g_autofree char *guid = g_dbus_generate_guid ();

  if (g_unlink (self->socket) < 0 && errno != ENOENT)
    {
      vmm_error_set_errno (error, -errno, "Cannot replace the control socket “%s”", self->socket);
      return NULL;
    }
  return g_dbus_server_new_sync (address, G_DBUS_SERVER_FLAGS_AUTHENTICATION_REQUIRE_SAME_USER,
                                 guid, NULL, NULL, error);
}

static gboolean
devices_must_stay (gpointer user_data)
{
  return runner_saving_is_busy (user_data);
}

RunnerControl *
runner_control_new (RunnerMachine *machine,
                    AlcoveDefinition *definition,
                    const char *folder,
                    RunnerQuitFunc quit,
                    RunnerSavedFunc saved,
                    gpointer user_data,
                    GError **error)
{
  const AlcoveMachineConfig *config = alcove_definition_get_machine (definition);
  RunnerControl *self = g_new0 (RunnerControl, 1);

  self->machine = machine;
  self->folder = g_strdup (folder);
  self->socket = g_build_filename (folder, "control", NULL);
  self->quit = quit;
  self->quit_data = user_data;
  self->connections = g_ptr_array_new_with_free_func (g_object_unref);
  self->typing = runner_typing_new (runner_machine_get_router (machine));
  self->skeleton = alcove_machine1_skeleton_new ();
  g_object_set (self->skeleton, "uuid", config->uuid, "name", config->title, "version",
                ALCOVE_VERSION, "pid", (guint)getpid (), "state", "starting", "state-reason", "",
                "state-detail", "", NULL);
  g_object_connect (
      self->skeleton, "signal::handle-pause", on_pause, self, "signal::handle-resume", on_resume,
      self, "signal::handle-reset", on_reset, self, "signal::handle-power-button", on_power_button,
      self, "signal::handle-quit", on_quit, self, "signal::handle-delete-disk-snapshot",
      on_delete_disk_snapshot, self, "signal::handle-attach-spice", on_attach_spice, self,
      "signal::handle-resize-display", on_resize_display, self, "signal::handle-screenshot",
      on_screenshot, self, "signal::handle-send-keys", on_send_keys, self, "signal::handle-type",
      on_type, self, "signal::handle-move-pointer", on_move_pointer, self,
      "signal::handle-open-console", on_open_console, self, "signal::handle-list-consoles",
      on_list_consoles, self, "signal::handle-get-stats", on_get_stats, self,
      "signal::handle-change-medium", on_change_medium, self, "signal::handle-eject-medium",
      on_eject_medium, self, NULL);
  self->saving = runner_saving_new (machine, definition, self->skeleton, saved, user_data);
  runner_hotplug_set_hold_func (machine, devices_must_stay, self->saving);
  runner_control_disks_connect (self->skeleton, machine);
  runner_control_passthrough_connect (self->skeleton, machine);
  if (make_folder (folder, error) && runner_frames_publish (machine, folder, error))
    self->server = listen_on (self, error);
  if (self->server == NULL)
    {
      runner_control_free (self);
      return NULL;
    }
  g_signal_connect (self->server, "new-connection", G_CALLBACK (on_new_connection), self);
  g_dbus_server_start (self->server);
  return self;
}

void
runner_control_free (RunnerControl *self)
{
  if (self == NULL)
    return;
  runner_typing_free (self->typing);
  runner_hotplug_set_hold_func (self->machine, NULL, NULL);
  runner_hotplug_cancel_all (self->machine);
  runner_passthrough_cancel_all (self->machine);
  runner_passthrough_watch (self->machine, NULL, NULL);
  runner_saving_free (self->saving);
  if (self->server != NULL)
    {
      g_signal_handlers_disconnect_by_data (self->server, self);
      g_dbus_server_stop (self->server);
      g_object_unref (self->server);
      g_unlink (self->socket);
      runner_frames_withdraw (self->machine, self->folder);
      g_rmdir (self->folder);
    }
  for (guint i = 0; i < self->connections->len; i++)
    {
      GDBusConnection *connection = g_ptr_array_index (self->connections, i);

      g_signal_handlers_disconnect_by_data (connection, self);
      g_dbus_connection_flush_sync (connection, NULL, NULL);
      g_dbus_connection_close_sync (connection, NULL, NULL);
    }
  g_ptr_array_unref (self->connections);
  g_object_unref (self->skeleton);
  g_free (self->folder);
  g_free (self->socket);
  g_free (self);
}

void
runner_control_set_state (RunnerControl *self,
                          const char *state,
                          const char *reason,
                          const char *detail)
{
  g_object_set (self->skeleton, "state", state, "state-reason", reason, "state-detail", detail,
                NULL);
  g_dbus_interface_skeleton_flush (G_DBUS_INTERFACE_SKELETON (self->skeleton));
  alcove_machine1_emit_state_changed (self->skeleton, state, reason, detail);
}

void
runner_control_set_disposable (RunnerControl *self, gboolean disposable)
{
  alcove_machine1_set_disposable (self->skeleton, disposable);
}
