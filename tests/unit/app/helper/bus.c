/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bus.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#define CONFIG                                                                                     \
  "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\" "            \
  "\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"                             \
  "<busconfig><type>session</type><listen>unix:tmpdir=%s</listen><auth>EXTERNAL</auth>"            \
  "<servicedir>%s/services</servicedir><policy context=\"default\"><allow user=\"*\"/>"            \
  "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow own=\"*\"/>"                 \
  "</policy></busconfig>\n"

/* Whatever ends the test ends its bus. */
static void
end_with_parent (gpointer user_data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

gboolean
private_bus_start (PrivateBus *bus)
{
  g_autofree char *program = g_find_program_in_path ("dbus-daemon"), *config = NULL, *text = NULL;
  g_autofree char *services = NULL, *option = NULL;
  g_autoptr (GSubprocessLauncher) launcher = NULL;
  g_autoptr (GDataInputStream) lines = NULL;
  g_autoptr (GError) error = NULL;

  if (program == NULL)
    return FALSE;
  bus->folder = g_dir_make_tmp ("helper-bus-XXXXXX", &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (bus->folder, 0755), ==, 0);
  services = g_build_filename (bus->folder, "services", NULL);
  g_assert_cmpint (g_mkdir (services, 0755), ==, 0);
  config = g_build_filename (bus->folder, "bus.conf", NULL);
  text = g_strdup_printf (CONFIG, bus->folder, bus->folder);
  g_assert_true (g_file_set_contents (config, text, -1, NULL));
  option = g_strconcat ("--config-file=", config, NULL);
  launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_subprocess_launcher_set_child_setup (launcher, end_with_parent, NULL, NULL);
  bus->daemon = g_subprocess_launcher_spawn (launcher, &error, program, option, "--nofork",
                                             "--nopidfile", "--print-address=1", NULL);
  g_assert_no_error (error);
  lines = g_data_input_stream_new (g_subprocess_get_stdout_pipe (bus->daemon));
  bus->address = g_data_input_stream_read_line (lines, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (bus->address);
  return TRUE;
}

void
private_bus_stop (PrivateBus *bus)
{
  const char *argv[] = { "rm", "-rf", bus->folder, NULL };

  g_subprocess_force_exit (bus->daemon);
  g_subprocess_wait (bus->daemon, NULL, NULL);
  g_clear_object (&bus->daemon);
  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
  g_clear_pointer (&bus->folder, g_free);
  g_clear_pointer (&bus->address, g_free);
}

GDBusConnection *
private_bus_connect (PrivateBus *bus, guint32 uid)
{
  g_autoptr (GError) error = NULL;
  GDBusConnection *connection;
  uid_t own = geteuid ();

  /* The bus takes the socket's word for who it is: the kernel's. */
  if (uid != own)
    g_assert_cmpint (seteuid (uid), ==, 0);
  connection =
      g_dbus_connection_new_for_address_sync (bus->address,
                                              G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                  G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                              NULL, NULL, &error);
  if (uid != own)
    g_assert_cmpint (seteuid (own), ==, 0);
  g_assert_no_error (error);
  return connection;
}

static void
reply (GDBusMethodInvocation *invocation, gboolean yes, gboolean challenge, gboolean dismissed)
{
  GVariantBuilder details;

  g_variant_builder_init (&details, G_VARIANT_TYPE ("a{ss}"));
  if (dismissed)
    g_variant_builder_add (&details, "{ss}", "polkit.dismissed", "true");
  g_dbus_method_invocation_return_value (invocation,
                                         g_variant_new ("((bba{ss}))", yes, challenge, &details));
}

static void
on_call (GDBusConnection *connection,
         const char *sender,
         const char *path,
         const char *interface,
         const char *method,
         GVariant *parameters,
         GDBusMethodInvocation *invocation,
         gpointer user_data)
{
  FakePolkit *polkit = user_data;
  const char *kind, *action, *cancellation, *name = NULL, *functions = NULL;
  g_autoptr (GVariant) subject = NULL, details = NULL;
  guint32 flags;

  g_variant_get (parameters, "((&s@a{sv})&s@a{ss}u&s)", &kind, &subject, &action, &details, &flags,
                 &cancellation);
  g_variant_lookup (subject, "name", "&s", &name);
  g_variant_lookup (details, "functions", "&s", &functions);
  g_ptr_array_add (polkit->asked,
                   g_strdup_printf ("%s %s %s [%s] %u", action, kind, name, functions, flags));
  if (polkit->answer == POLKIT_LATER)
    g_ptr_array_add (polkit->waiting, g_object_ref (invocation));
  else
    reply (invocation, polkit->answer == POLKIT_YES, polkit->answer == POLKIT_CHALLENGE,
           polkit->answer == POLKIT_DISMISSED);
}

static const char interface_xml[] =
    "<node><interface name='org.freedesktop.PolicyKit1.Authority'>"
    "<method name='CheckAuthorization'><arg type='(sa{sv})' direction='in'/>"
    "<arg type='s' direction='in'/><arg type='a{ss}' direction='in'/>"
    "<arg type='u' direction='in'/><arg type='s' direction='in'/>"
    "<arg type='(bba{ss})' direction='out'/></method></interface></node>";

void
fake_polkit_start (FakePolkit *polkit, PrivateBus *bus)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_call };
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (interface_xml, NULL);
  g_autoptr (GVariant) owned = NULL;
  g_autoptr (GError) error = NULL;

  polkit->asked = g_ptr_array_new_with_free_func (g_free);
  polkit->waiting = g_ptr_array_new ();
  polkit->connection = private_bus_connect (bus, geteuid ());
  polkit->object = g_dbus_connection_register_object (
      polkit->connection, "/org/freedesktop/PolicyKit1/Authority", node->interfaces[0], &vtable,
      polkit, NULL, &error);
  g_assert_no_error (error);
  owned = g_dbus_connection_call_sync (
      polkit->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
      "RequestName", g_variant_new ("(su)", "org.freedesktop.PolicyKit1", 0), NULL,
      G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
  g_assert_no_error (error);
}

void
fake_polkit_answer (FakePolkit *polkit, gboolean yes)
{
  for (guint i = 0; i < polkit->waiting->len; i++)
    reply (g_ptr_array_index (polkit->waiting, i), yes, FALSE, FALSE);
  g_ptr_array_set_size (polkit->waiting, 0);
}

void
fake_polkit_stop (FakePolkit *polkit)
{
  fake_polkit_answer (polkit, FALSE);
  g_dbus_connection_unregister_object (polkit->connection, polkit->object);
  g_dbus_connection_close_sync (polkit->connection, NULL, NULL);
  g_clear_object (&polkit->connection);
  g_clear_pointer (&polkit->asked, g_ptr_array_unref);
  g_clear_pointer (&polkit->waiting, g_ptr_array_unref);
}
