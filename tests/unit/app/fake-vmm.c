/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A VM process without a VM, for tests of app and of the command line: the arguments, lock, ready
 * line and control protocol of alcove-vmm. Built with the name alcove-vmm in a folder of its own,
 * which ALCOVE_LIBEXECDIR names.
 *
 * The definition's "os" key steers it: "fake-refuse" fails the start with a message, "fake-die" ends
 * before it is ready, "fake-babble" says something that is no JSON, "fake-stubborn" ignores the
 * power button and Quit, "fake-exit-N" ends at once with status N, "fake-liar" sends pictures that
 * are shorter than they say. Keys and text are appended to log/fake in the machine's folder. */
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "app/control.h"
#include "app/definition.h"
#include "app/lock.h"

typedef struct
{
  GMainLoop *loop;
  AlcoveDefinition *definition;
  AlcoveMachine1 *machine;
  const char *os;
  int status;
} Fake;

static void G_GNUC_PRINTF (2, 3) note (Fake *fake, const char *format, ...)
{
  g_autofree char *path =
      g_build_filename (alcove_definition_get_folder (fake->definition), "log", "fake", NULL);
  FILE *file = fopen (path, "ae");
  va_list args;

  if (file == NULL)
    return;
  va_start (args, format);
  vfprintf (file, format, args);
  va_end (args);
  fclose (file);
}

static void
set_state (Fake *fake, const char *state, const char *reason)
{
  alcove_machine1_set_state (fake->machine, state);
  alcove_machine1_set_state_reason (fake->machine, reason);
  alcove_machine1_set_state_detail (fake->machine, "");
  alcove_machine1_emit_state_changed (fake->machine, state, reason, "");
}

static gboolean
refuse_state (GDBusMethodInvocation *call, const char *message)
{
  g_autoptr (GError) error = g_error_new_literal (ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE, message);

  alcove_control_return_error (call, error);
  return TRUE;
}

static gboolean
on_pause (AlcoveMachine1 *machine, GDBusMethodInvocation *call, Fake *fake)
{
  if (g_strcmp0 (alcove_machine1_get_state (machine), "running") != 0)
    return refuse_state (call, "The machine is paused already");
  set_state (fake, "paused", "user");
  alcove_machine1_complete_pause (machine, call);
  return TRUE;
}

static gboolean
on_resume (AlcoveMachine1 *machine, GDBusMethodInvocation *call, Fake *fake)
{
  set_state (fake, "running", "user");
  alcove_machine1_complete_resume (machine, call);
  return TRUE;
}

static gboolean
on_reset (AlcoveMachine1 *machine, GDBusMethodInvocation *call, Fake *fake)
{
  note (fake, "reset\n");
  alcove_machine1_complete_reset (machine, call);
  return TRUE;
}

static void
stop (Fake *fake, const char *reason)
{
  set_state (fake, "stopped", reason);
  g_main_loop_quit (fake->loop);
}

static gboolean
on_power_button (AlcoveMachine1 *machine, GDBusMethodInvocation *call, Fake *fake)
{
  alcove_machine1_complete_power_button (machine, call);
  if (g_strcmp0 (fake->os, "fake-stubborn") != 0)
    stop (fake, "guest-shutdown");
  return TRUE;
}

static gboolean
on_quit (AlcoveMachine1 *machine, GDBusMethodInvocation *call, Fake *fake)
{
  alcove_machine1_complete_quit (machine, call);
  if (g_strcmp0 (fake->os, "fake-stubborn") != 0)
    stop (fake, "user");
  return TRUE;
}

static gboolean
on_screenshot (AlcoveMachine1 *machine,
               GDBusMethodInvocation *call,
               GUnixFDList *none,
               guint scanout,
               Fake *fake)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  const guint width = 5, height = 3, stride = 32;
  guint8 pixels[96];
  int fd = memfd_create ("fake-picture", MFD_CLOEXEC);
  gsize n = g_strcmp0 (fake->os, "fake-liar") == 0 ? 95 : 96;

  for (guint i = 0; i < sizeof pixels; i++)
    pixels[i] = (guint8)i;
  if (scanout != 0 || write (fd, pixels, n) != (ssize_t)n)
    {
      g_autoptr (GError) error =
          g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "There is no screen %u", scanout);

      close (fd);
      alcove_control_return_error (call, error);
      return TRUE;
    }
  g_unix_fd_list_append (fds, fd, NULL);
  close (fd);
  alcove_machine1_complete_screenshot (machine, call, fds, g_variant_new_handle (0), width, height,
                                       stride);
  return TRUE;
}

static gboolean
on_send_keys (
    AlcoveMachine1 *machine, GDBusMethodInvocation *call, GVariant *keys, guint hold, Fake *fake)
{
  g_autofree char *text = g_variant_print (keys, FALSE);

  note (fake, "keys %s hold %u\n", text, hold);
  alcove_machine1_complete_send_keys (machine, call);
  return TRUE;
}

static gboolean
on_type (AlcoveMachine1 *machine, GDBusMethodInvocation *call, const char *text, Fake *fake)
{
  g_autofree char *escaped = g_strescape (text, NULL);

  note (fake, "type %s\n", escaped);
  alcove_machine1_complete_type (machine, call);
  return TRUE;
}

/* The drive "locked" is locked. */
static gboolean
on_change_medium (AlcoveMachine1 *machine,
                  GDBusMethodInvocation *call,
                  const char *drive,
                  const char *path,
                  gboolean force,
                  Fake *fake)
{
  if (!force && strcmp (drive, "locked") == 0)
    return refuse_state (call, "The guest has locked the tray");
  note (fake, "medium %s %s\n", drive, strrchr (path, '/') + 1);
  alcove_machine1_complete_change_medium (machine, call);
  return TRUE;
}

static gboolean
on_eject_medium (AlcoveMachine1 *machine,
                 GDBusMethodInvocation *call,
                 const char *drive,
                 gboolean force,
                 Fake *fake)
{
  if (!force && strcmp (drive, "locked") == 0)
    return refuse_state (call, "The guest has locked the tray");
  note (fake, "eject %s%s\n", drive, force ? " by force" : "");
  alcove_machine1_complete_eject_medium (machine, call);
  return TRUE;
}

static gboolean
on_list_consoles (AlcoveMachine1 *machine, GDBusMethodInvocation *call, Fake *fake)
{
  static const char *const names[] = { "com1", NULL };

  alcove_machine1_complete_list_consoles (machine, call, names);
  return TRUE;
}

/* Sends back what it gets, in upper case. */
static gboolean
on_console (int fd, GIOCondition condition, gpointer user_data)
{
  char buffer[256];
  ssize_t n = read (fd, buffer, sizeof buffer);

  for (ssize_t i = 0; i < n; i++)
    buffer[i] = g_ascii_toupper (buffer[i]);
  if (n <= 0 || write (fd, buffer, (size_t)n) != n)
    {
      close (fd);
      return G_SOURCE_REMOVE;
    }
  return G_SOURCE_CONTINUE;
}

static gboolean
on_open_console (AlcoveMachine1 *machine,
                 GDBusMethodInvocation *call,
                 GUnixFDList *none,
                 const char *name,
                 Fake *fake)
{
  g_autoptr (GUnixFDList) fds = g_unix_fd_list_new ();
  g_autoptr (GError) error = NULL;
  int pair[2];

  if (strcmp (name, "com1") != 0)
    {
      error = g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND, "There is no console %s", name);
      alcove_control_return_error (call, error);
      return TRUE;
    }
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
  g_assert_cmpint (write (pair[0], "hello\n", 6), ==, 6);
  g_unix_fd_add (pair[0], G_IO_IN | G_IO_HUP, on_console, NULL);
  g_unix_fd_list_append (fds, pair[1], NULL);
  close (pair[1]);
  alcove_machine1_complete_open_console (machine, call, fds, g_variant_new_handle (0));
  return TRUE;
}

static gboolean
on_get_stats (AlcoveMachine1 *machine, GDBusMethodInvocation *call, Fake *fake)
{
  GVariantDict stats;

  g_variant_dict_init (&stats, NULL);
  g_variant_dict_insert (&stats, "vcpu.exits", "t", (guint64)7);
  alcove_machine1_complete_get_stats (machine, call, g_variant_dict_end (&stats));
  return TRUE;
}

static gboolean
on_resize (AlcoveMachine1 *machine,
           GDBusMethodInvocation *call,
           guint scanout,
           guint width,
           guint height,
           Fake *fake)
{
  note (fake, "resize %u %ux%u\n", scanout, width, height);
  alcove_machine1_complete_resize_display (machine, call);
  return TRUE;
}

static gboolean
on_attach_spice (AlcoveMachine1 *machine,
                 GDBusMethodInvocation *call,
                 GUnixFDList *fds,
                 GVariant *fd,
                 Fake *fake)
{
  int ours = g_unix_fd_list_get (fds, g_variant_get_handle (fd), NULL);

  note (fake, "spice\n");
  g_assert_cmpint (write (ours, "REDQ", 4), ==, 4);
  close (ours);
  alcove_machine1_complete_attach_spice (machine, call, NULL);
  return TRUE;
}

/* A snapshot's folder as the real one leaves it, with other contents. */
static gboolean
on_snapshot (AlcoveMachine1 *machine,
             GDBusMethodInvocation *call,
             const char *folder,
             GVariant *options,
             Fake *fake)
{
  static const char *const names[] = { "ram", "state", "firmware-vars", "thumbnail.png" };
  const char *id = "none";

  (void)g_variant_lookup (options, "disk-snapshot-id", "&s", &id);
  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (folder, names[i], NULL);

      g_assert_true (g_file_set_contents (path, names[i], -1, NULL));
    }
  note (fake, "snapshot %s\n", strcmp (id, "none") == 0 ? id : "disks");
  alcove_machine1_emit_save_progress (machine, 1, 2);
  alcove_machine1_complete_snapshot (machine, call, g_variant_new ("a{sv}", NULL));
  return TRUE;
}

static gboolean
on_delete_disk_snapshot (AlcoveMachine1 *machine,
                         GDBusMethodInvocation *call,
                         const char *id,
                         Fake *fake)
{
  note (fake, "delete-disk-snapshot\n");
  alcove_machine1_complete_delete_disk_snapshot (machine, call);
  return TRUE;
}

/* The group comes back as it was; a disk called "stuck" is never released. */
static gboolean
on_add_disk (AlcoveMachine1 *machine, GDBusMethodInvocation *call, const char *group, Fake *fake)
{
  note (fake, "add-disk\n");
  alcove_machine1_complete_add_disk (machine, call, group);
  return TRUE;
}

static gboolean
on_remove_disk (AlcoveMachine1 *machine,
                GDBusMethodInvocation *call,
                const char *name,
                GVariant *options,
                Fake *fake)
{
  gboolean force = FALSE;

  (void)g_variant_lookup (options, "force", "b", &force);
  note (fake, force ? "remove-disk by force\n" : "remove-disk\n");
  if (strcmp (name, "stuck") == 0 && !force)
    g_dbus_method_invocation_return_dbus_error (
        call, alcove_error_code_to_dbus (ALCOVE_ERROR_FAILED), "The guest did not release it");
  else if (strcmp (name, "later") == 0)
    g_dbus_method_invocation_return_dbus_error (
        call, alcove_error_code_to_dbus (ALCOVE_ERROR_NOT_FOUND), "No such disk");
  else
    alcove_machine1_complete_remove_disk (machine, call);
  return TRUE;
}

static gboolean
on_signal (gpointer user_data)
{
  stop (user_data, "signal");
  return G_SOURCE_CONTINUE;
}

/* A test that died cannot stop what it started. */
static gboolean
on_forgotten (gpointer user_data)
{
  stop (user_data, "forgotten");
  return G_SOURCE_REMOVE;
}

static void
connect_handlers (Fake *fake)
{
  static const struct
  {
    const char *signal;
    GCallback handler;
  } handlers[] = {
    { "handle-pause", G_CALLBACK (on_pause) },
    { "handle-resume", G_CALLBACK (on_resume) },
    { "handle-reset", G_CALLBACK (on_reset) },
    { "handle-power-button", G_CALLBACK (on_power_button) },
    { "handle-quit", G_CALLBACK (on_quit) },
    { "handle-screenshot", G_CALLBACK (on_screenshot) },
    { "handle-send-keys", G_CALLBACK (on_send_keys) },
    { "handle-type", G_CALLBACK (on_type) },
    { "handle-change-medium", G_CALLBACK (on_change_medium) },
    { "handle-eject-medium", G_CALLBACK (on_eject_medium) },
    { "handle-list-consoles", G_CALLBACK (on_list_consoles) },
    { "handle-open-console", G_CALLBACK (on_open_console) },
    { "handle-get-stats", G_CALLBACK (on_get_stats) },
    { "handle-resize-display", G_CALLBACK (on_resize) },
    { "handle-attach-spice", G_CALLBACK (on_attach_spice) },
    { "handle-snapshot", G_CALLBACK (on_snapshot) },
    { "handle-delete-disk-snapshot", G_CALLBACK (on_delete_disk_snapshot) },
    { "handle-add-disk", G_CALLBACK (on_add_disk) },
    { "handle-remove-disk", G_CALLBACK (on_remove_disk) },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (handlers); i++)
    g_signal_connect (fake->machine, handlers[i].signal, handlers[i].handler, fake);
}

static void
serve (Fake *fake, const char *runtime_dir, gboolean paused, int ready_fd)
{
  const AlcoveMachineConfig *config = alcove_definition_get_machine (fake->definition);
  g_autoptr (GError) error = NULL;
  AlcoveControlServer *server;

  fake->machine = alcove_machine1_skeleton_new ();
  alcove_machine1_set_uuid (fake->machine, config->uuid);
  alcove_machine1_set_name (fake->machine, config->title);
  alcove_machine1_set_pid (fake->machine, (guint)getpid ());
  alcove_machine1_set_state (fake->machine, paused ? "paused" : "running");
  connect_handlers (fake);
  server = alcove_control_server_new (runtime_dir, fake->machine, &error);
  g_assert_no_error (error);
  dprintf (ready_fd, "{\"ok\":true}\n");
  close (ready_fd);
  if (g_str_has_prefix (fake->os, "fake-exit-"))
    {
      fake->status = atoi (fake->os + strlen ("fake-exit-"));
      printf ("guest output\n");
      fflush (stdout);
    }
  else
    {
      printf ("up\n");
      fflush (stdout);
      g_main_loop_run (fake->loop);
    }
  alcove_control_server_free (server);
  g_object_unref (fake->machine);
}

/* TRUE when the start is to go wrong, and did. */
static gboolean
misbehave (Fake *fake, int ready_fd)
{
  if (strcmp (fake->os, "fake-refuse") == 0)
    dprintf (ready_fd, "{\"error\":\"The fake refuses\"}\n");
  else if (strcmp (fake->os, "fake-babble") == 0)
    dprintf (ready_fd, "ready!\n");
  else if (strcmp (fake->os, "fake-die") == 0)
    fprintf (stderr, "The fake's last words\n");
  else
    return FALSE;
  fake->status = 1;
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autofree char *folder = NULL, *conf = NULL, *runtime_dir = NULL, *path = NULL;
  gboolean paused = FALSE, discard = FALSE;
  int ready_fd = -1;
  const GOptionEntry entries[] = {
    { "machine", 0, 0, G_OPTION_ARG_FILENAME, &folder, NULL, NULL },
    { "conf", 0, 0, G_OPTION_ARG_FILENAME, &conf, NULL, NULL },
    { "runtime-dir", 0, 0, G_OPTION_ARG_FILENAME, &runtime_dir, NULL, NULL },
    { "ready-fd", 0, 0, G_OPTION_ARG_INT, &ready_fd, NULL, NULL },
    { "paused", 0, 0, G_OPTION_ARG_NONE, &paused, NULL, NULL },
    { "discard-saved", 0, 0, G_OPTION_ARG_NONE, &discard, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (AlcoveLock) lock = NULL;
  g_autoptr (GError) error = NULL;
  Fake fake = { 0 };

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc != 1)
    return 2;
  path = folder != NULL ? g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL) : g_strdup (conf);
  fake.definition = alcove_definition_load (path, &error);
  g_assert_no_error (error);
  fake.os = alcove_definition_get_machine (fake.definition)->os;
  if (fake.os == NULL)
    fake.os = alcove_definition_get_machine (fake.definition)->title;
  if (misbehave (&fake, ready_fd))
    return fake.status;
  if (folder != NULL)
    lock = alcove_lock_acquire (folder, ALCOVE_LOCK_RUNS, &error);
  g_assert_no_error (error);
  fake.loop = g_main_loop_new (NULL, FALSE);
  g_unix_signal_add (SIGTERM, on_signal, &fake);
  g_timeout_add_seconds (180, on_forgotten, &fake);
  serve (&fake, runtime_dir, paused, ready_fd);
  g_main_loop_unref (fake.loop);
  g_object_unref (fake.definition);
  return fake.status;
}
