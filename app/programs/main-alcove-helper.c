/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove-helper: started by the system bus when somebody asks for it, as root; ends when it has had
 * nothing to do for a while and nothing is taken from the host. Takes no arguments and reads no
 * environment of its own. Exit status: 0 idle or told to end, 1 the bus or the host's files cannot be
 * used. */
#include <gio/gio.h>
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/helper/service.h"

#define IDLE_MS 30000

typedef struct
{
  GMainLoop *loop;
  int status;
} Program;

static void
on_idle (gpointer user_data)
{
  g_main_loop_quit (((Program *)user_data)->loop);
}

static gboolean
on_signal (gpointer user_data)
{
  g_main_loop_quit (((Program *)user_data)->loop);
  return G_SOURCE_REMOVE;
}

static void
on_name_lost (GDBusConnection *bus, const char *name, gpointer user_data)
{
  Program *program = user_data;

  fprintf (stderr, "alcove-helper: The name %s cannot be had on the system bus\n", name);
  program->status = 1;
  g_main_loop_quit (program->loop);
}

static HelperService *
start (Program *program, GDBusConnection *bus, GError **error)
{
  g_autofree char *vmm = g_build_filename (ALCOVE_LIBEXECDIR, "alcove-vmm", NULL);
  HelperConfig config = { .bus = bus,
                          .root = "/",
                          .ops = &vfio_bind_ops_kernel,
                          .vmm_path = vmm,
                          .idle_ms = IDLE_MS,
                          .idle = on_idle,
                          .user_data = program };

  return helper_service_new (&config, error);
}

int
main (int argc, char **argv)
{
  Program program = { 0 };
  g_autoptr (GDBusConnection) bus = NULL;
  g_autoptr (HelperService) service = NULL;
  g_autoptr (GError) error = NULL;
  guint name;

  umask (022);
  prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  program.loop = g_main_loop_new (NULL, FALSE);
  bus = g_bus_get_sync (G_BUS_TYPE_SYSTEM, NULL, &error);
  if (bus != NULL)
    service = start (&program, bus, &error);
  if (service == NULL)
    {
      fprintf (stderr, "alcove-helper: %s\n", error->message);
      return 1;
    }
  g_unix_signal_add (SIGTERM, on_signal, &program);
  g_unix_signal_add (SIGINT, on_signal, &program);
  name = g_bus_own_name_on_connection (bus, HELPER_NAME, G_BUS_NAME_OWNER_FLAGS_NONE, NULL,
                                       on_name_lost, &program, NULL);
  g_main_loop_run (program.loop);
  g_bus_unown_name (name);
  /* What came in until the bus knew. */
  g_dbus_connection_flush_sync (bus, NULL, NULL);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_clear_pointer (&service, helper_service_free);
  g_main_loop_unref (program.loop);
  return program.status;
}
