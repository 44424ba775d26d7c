/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A VM process without a VM, for tests of the window: the command line, lock, ready line and control
 * protocol of alcove-vmm in front of a SpiceFixture. Called alcove-vmm in a folder of its own, which
 * ALCOVE_LIBEXECDIR names.
 *
 * The folder in ALCOVE_FAKE_DIR steers it: every event is appended to "log" there; if "fail-start"
 * exists its contents are what the start fails with; "drawables" makes the picture come as
 * drawables; "no-tablet" leaves only a mouse; "linger" keeps the process after a fault; a snapshot goes on
 * until it is cancelled while there is "slow-snapshot"; with "keep-disks" the guest releases none,
 * with "keep-cards" no card; with "no-cards" none can be plugged in, with "ask-cards" a password is
 * looked for until that is cancelled, with "leaving" the guest was
 * asked for all, with "asked-back" the host waits for them, and "card-notes" is what is said of the
 * first, a line each. SIGUSR1 is a guest that dies of a fault; SIGUSR2 tells that cards changed.
 */
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "app/control.h"
#include "app/definition.h"
#include "app/lock.h"
#include "app/picture.h"
#include "tests/ui/spice-fixture.h"

typedef struct
{
  GMainLoop *loop;
  char *fake_dir;
  AlcoveMachine1 *machine;
  AlcoveControlServer *control;
  SpiceFixture *screen;
  guint keys;
  GDBusMethodInvocation *snapshot; /* (nullable) one that is not answered yet */
  GDBusMethodInvocation *adding;   /* (nullable) a card that a password is looked for */
  GHashTable *cards;               /* names of [pci NAME] -> host */
} Fake;

static void
log_line (const char *line, gpointer data)
{
  Fake *fake = data;
  g_autofree char *path = g_build_filename (fake->fake_dir, "log", NULL);
  FILE *file = fopen (path, "ae");

  if (file)
    {
      fprintf (file, "%s\n", line);
      fclose (file);
    }
  /* A key that goes down shows as a white square, so that a person sees it too. */
  if (g_str_has_prefix (line, "key ") && line[4] < '8' && fake->screen)
    {
      guint x = 20 + fake->keys % 20 * 24, y = 20 + fake->keys / 20 % 20 * 24;

      fake->keys++;
      spice_fixture_fill (fake->screen, x, y, 20, 20, 0xffffff);
    }
}

G_GNUC_PRINTF (2, 3)
static void
note (Fake *fake, const char *format, ...)
{
  g_autofree char *line = NULL;
  va_list args;

  va_start (args, format);
  line = g_strdup_vprintf (format, args);
  va_end (args);
  log_line (line, fake);
}

static void
set_state (Fake *fake, const char *state, const char *reason, const char *detail)
{
  note (fake, "state %s", state);
  alcove_machine1_set_state (fake->machine, state);
  alcove_machine1_set_state_reason (fake->machine, reason);
  alcove_machine1_set_state_detail (fake->machine, detail);
  g_dbus_interface_skeleton_flush (G_DBUS_INTERFACE_SKELETON (fake->machine));
  alcove_machine1_emit_state_changed (fake->machine, state, reason, detail);
}

static gboolean
quit_later (gpointer data)
{
  Fake *fake = data;

  alcove_control_server_flush (fake->control);
  g_main_loop_quit (fake->loop);
  return G_SOURCE_REMOVE;
}

static void
stop (Fake *fake, const char *state, const char *reason, const char *detail)
{
  set_state (fake, state, reason, detail);
  g_timeout_add (100, quit_later, fake);
}

static gboolean
on_pause (Fake *fake, GDBusMethodInvocation *call)
{
  set_state (fake, "paused", "user", "");
  alcove_machine1_complete_pause (fake->machine, call);
  return TRUE;
}

static gboolean
on_resume (Fake *fake, GDBusMethodInvocation *call)
{
  set_state (fake, "running", "user", "");
  alcove_machine1_complete_resume (fake->machine, call);
  return TRUE;
}

static gboolean
on_reset (Fake *fake, GDBusMethodInvocation *call)
{
  note (fake, "reset");
  alcove_machine1_complete_reset (fake->machine, call);
  return TRUE;
}

static gboolean
guest_shut_down (gpointer data)
{
  stop (data, "stopped", "guest-shutdown", "");
  return G_SOURCE_REMOVE;
}

static gboolean
on_power_button (Fake *fake, GDBusMethodInvocation *call)
{
  set_state (fake, "stopping", "guest-shutdown", "");
  alcove_machine1_complete_power_button (fake->machine, call);
  g_timeout_add (1500, guest_shut_down, fake);
  return TRUE;
}

static gboolean
on_quit (Fake *fake, GDBusMethodInvocation *call)
{
  alcove_machine1_complete_quit (fake->machine, call);
  stop (fake, "stopped", "user", "");
  return TRUE;
}

static gboolean
on_attach_spice (Fake *fake, GDBusMethodInvocation *call, GUnixFDList *fds, GVariant *handle)
{
  g_autoptr (GError) error = NULL;
  int fd = fds ? g_unix_fd_list_get (fds, g_variant_get_handle (handle), &error) : -1;

  if (fd < 0 || !spice_fixture_add_client (fake->screen, fd))
    {
      error = error ? error : g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_FAILED, "no socket came");
      alcove_control_return_error (call, error);
      return TRUE;
    }
  note (fake, "attach");
  alcove_machine1_complete_attach_spice (fake->machine, call, NULL);
  return TRUE;
}

static gboolean
on_resize_display (
    Fake *fake, GDBusMethodInvocation *call, guint scanout, guint width, guint height)
{
  note (fake, "resize %u %u %u", scanout, width, height);
  spice_fixture_set_size (fake->screen, width, height);
  alcove_machine1_complete_resize_display (fake->machine, call);
  return TRUE;
}

static gboolean
on_screenshot (Fake *fake, GDBusMethodInvocation *call, GUnixFDList *fds, guint scanout)
{
  guint width, height;
  const guint32 *pixels = spice_fixture_get_pixels (fake->screen, &width, &height);
  gsize size = (gsize)width * height * 4;
  g_autoptr (GUnixFDList) list = g_unix_fd_list_new ();
  int fd = memfd_create ("screenshot", MFD_CLOEXEC);

  note (fake, "screenshot");
  g_assert_cmpint (write (fd, pixels, size), ==, (ssize_t)size);
  g_unix_fd_list_append (list, fd, NULL);
  close (fd);
  alcove_machine1_complete_screenshot (fake->machine, call, list, g_variant_new_handle (0), width,
                                       height, width * 4);
  return TRUE;
}

static gboolean
on_send_keys (Fake *fake, GDBusMethodInvocation *call, GVariant *keys, guint hold_ms)
{
  g_autofree char *text = g_variant_print (keys, FALSE);

  note (fake, "send-keys %s", text);
  alcove_machine1_complete_send_keys (fake->machine, call);
  return TRUE;
}

static gboolean
on_type (Fake *fake, GDBusMethodInvocation *call, const char *text)
{
  note (fake, "type %s", text);
  alcove_machine1_complete_type (fake->machine, call);
  return TRUE;
}

static bool
flag (Fake *fake, const char *name, char **ret_contents)
{
  g_autofree char *path = g_build_filename (fake->fake_dir, name, NULL);
  g_autofree char *contents = NULL;

  if (!g_file_get_contents (path, &contents, NULL, NULL))
    return false;
  if (ret_contents)
    *ret_contents = g_strchomp (g_steal_pointer (&contents));
  return true;
}

static gboolean
on_cards_changed (gpointer data)
{
  alcove_machine1_emit_pci_changed (((Fake *)data)->machine);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_fault (gpointer data)
{
  Fake *fake = data;
  const char *detail = "The guest’s CPU 0 made a triple fault at 0x00007c00 and cannot go on.";

  if (flag (fake, "linger", NULL))
    set_state (fake, "failed", "triple-fault", detail);
  else
    stop (fake, "failed", "triple-fault", detail);
  return G_SOURCE_CONTINUE;
}

static void
say_ready (int fd, const char *error)
{
  g_autofree char *line =
      error ? g_strdup_printf ("{\"error\":\"%s\"}\n", error) : g_strdup ("{\"ok\":true}\n");

  if (fd >= 0)
    {
      if (write (fd, line, strlen (line)) < 0)
        g_printerr ("fake: ready: %m\n");
      close (fd);
    }
}

/* What a real one leaves, with a picture to look at. */
static gboolean
on_snapshot (Fake *fake,
             GDBusMethodInvocation *invocation,
             const char *folder,
             GVariant *options,
             AlcoveMachine1 *machine)
{
  static const char *const names[] = { "ram", "state" };
  g_autofree guint8 *pixels = g_malloc (320 * 200 * 4);
  g_autofree char *thumbnail = g_build_filename (folder, "thumbnail.png", NULL);
  AlcovePicture picture = { 320, 200, 320 * 4, NULL };

  for (guint i = 0; i < 320 * 200; i++)
    {
      pixels[i * 4] = (guint8)(i % 320 * 255 / 320);
      pixels[i * 4 + 1] = (guint8)(i / 320 * 255 / 200);
      pixels[i * 4 + 2] = 80;
      pixels[i * 4 + 3] = 0;
    }
  g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (folder, names[i], NULL);

      g_assert_true (g_file_set_contents (path, names[i], -1, NULL));
    }
  picture.pixels = g_bytes_new_static (pixels, 320 * 200 * 4);
  g_assert_true (alcove_picture_save_png (&picture, thumbnail, NULL));
  g_bytes_unref (picture.pixels);
  log_line ("snapshot", fake);
  if (flag (fake, "slow-snapshot", NULL))
    {
      fake->snapshot = invocation;
      alcove_machine1_emit_save_progress (machine, 30, 100);
      return TRUE;
    }
  alcove_machine1_complete_snapshot (machine, invocation, g_variant_new ("a{sv}", NULL));
  return TRUE;
}

static gboolean
on_cancel_save (Fake *fake, GDBusMethodInvocation *invocation, AlcoveMachine1 *machine)
{
  log_line ("cancel-save", fake);
  if (fake->snapshot)
    g_dbus_method_invocation_return_dbus_error (g_steal_pointer (&fake->snapshot),
                                                "io.github.alcove_vm.Error.Cancelled", "Cancelled");
  alcove_machine1_complete_cancel_save (machine, invocation);
  return TRUE;
}

static gboolean
on_delete_disk_snapshot (Fake *fake,
                         GDBusMethodInvocation *invocation,
                         const char *id,
                         AlcoveMachine1 *machine)
{
  alcove_machine1_complete_delete_disk_snapshot (machine, invocation);
  return TRUE;
}

static gboolean
on_add_disk (Fake *fake,
             GDBusMethodInvocation *invocation,
             const char *group,
             AlcoveMachine1 *machine)
{
  note (fake, "add-disk %.*s", (int)strcspn (group, "\n"), group);
  alcove_machine1_complete_add_disk (machine, invocation, group);
  return TRUE;
}

static gboolean
on_remove_disk (Fake *fake,
                GDBusMethodInvocation *invocation,
                const char *name,
                GVariant *options,
                AlcoveMachine1 *machine)
{
  if (flag (fake, "keep-disks", NULL))
    {
      g_dbus_method_invocation_return_dbus_error (invocation, "io.github.alcove_vm.Error.Failed",
                                                  "The guest does not release the disk");
      return TRUE;
    }
  note (fake, "remove-disk %s", name);
  alcove_machine1_complete_remove_disk (machine, invocation);
  return TRUE;
}

/* The value of a line "key=..." or "key = ...". (transfer full) (nullable) */
static char *
dup_line (const char *text, const char *key)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line; line++)
    if (g_str_has_prefix (*line, key) && strchr (*line, '='))
      return g_strstrip (g_strdup (strchr (*line, '=') + 1));
  return NULL;
}

static gboolean
on_add_pci (Fake *fake,
            GDBusMethodInvocation *invocation,
            const char *const *groups,
            AlcoveMachine1 *machine)
{
  if (flag (fake, "no-cards", NULL))
    {
      g_dbus_method_invocation_return_dbus_error (invocation, "io.github.alcove_vm.Error.Busy",
                                                  "[pci gpu]: 0000:0d:00.0 is still used by "
                                                  "Xorg (process 12): end that program first");
      return TRUE;
    }
  if (flag (fake, "ask-cards", NULL) && !fake->adding)
    {
      fake->adding = g_object_ref (invocation);
      note (fake, "ask-pci %.*s", (int)strcspn (groups[0], "\n"), groups[0]);
      return TRUE;
    }
  for (guint i = 0; groups[i]; i++)
    {
      g_autofree char *host = dup_line (groups[i], "host");
      const char *name = groups[i] + strlen ("[pci ");

      g_hash_table_replace (fake->cards, g_strndup (name, strcspn (name, "]")),
                            g_steal_pointer (&host));
      note (fake, "add-pci %.*s", (int)strcspn (groups[i], "\n"), groups[i]);
    }
  alcove_machine1_complete_add_pci (machine, invocation, groups);
  return TRUE;
}

static gboolean
on_remove_pci (Fake *fake,
               GDBusMethodInvocation *invocation,
               const char *name,
               GVariant *options,
               AlcoveMachine1 *machine)
{
  gboolean waiting = FALSE;

  if (g_variant_lookup (options, "waiting", "b", &waiting) && waiting)
    {
      if (fake->adding)
        g_dbus_method_invocation_return_dbus_error (fake->adding,
                                                    "io.github.alcove_vm.Error.Cancelled",
                                                    "Adding it was cancelled: the host keeps it");
      g_clear_object (&fake->adding);
      note (fake, "cancel-pci %s", name);
      alcove_machine1_complete_remove_pci (machine, invocation);
      return TRUE;
    }
  if (flag (fake, "keep-cards", NULL))
    {
      g_dbus_method_invocation_return_dbus_error (invocation, "io.github.alcove_vm.Error.Failed",
                                                  "The guest does not release the device");
      return TRUE;
    }
  note (fake, "remove-pci %s", name);
  g_hash_table_remove_all (fake->cards);
  alcove_machine1_complete_remove_pci (machine, invocation);
  return TRUE;
}

/* As a card whose main part is at work, with what the flag "card-notes" says of it, a line each. */
static void
add_live (Fake *fake, GVariantBuilder *list, const char *host)
{
  gboolean first = g_str_has_suffix (host, ".0");
  g_autofree char *text = NULL;
  g_auto (GStrv) notes = NULL;

  if (first && flag (fake, "card-notes", &text))
    notes = g_strsplit (g_strchomp (text), "\n", -1);
  g_variant_builder_add (list, "{sv}", "address",
                         g_variant_new_string (first ? "01:00.0" : "01:00.1"));
  g_variant_builder_add (list, "{sv}", "interrupts",
                         g_variant_new_string (first ? "msix" : "intx"));
  g_variant_builder_add (list, "{sv}", "vectors", g_variant_new_uint32 (first ? 5 : 1));
  g_variant_builder_add (list, "{sv}", "asked-back",
                         g_variant_new_boolean (flag (fake, "asked-back", NULL)));
  g_variant_builder_add (list, "{sv}", "notes",
                         g_variant_new_strv ((const char *const *)notes, notes ? -1 : 0));
}

static gboolean
on_list_pci (Fake *fake, GDBusMethodInvocation *invocation, AlcoveMachine1 *machine)
{
  GVariantBuilder list;
  GHashTableIter iter;
  gpointer name, host;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  g_hash_table_iter_init (&iter, fake->cards);
  while (g_hash_table_iter_next (&iter, &name, &host))
    {
      g_variant_builder_open (&list, G_VARIANT_TYPE ("a{sv}"));
      g_variant_builder_add (&list, "{sv}", "name", g_variant_new_string (name));
      g_variant_builder_add (&list, "{sv}", "host", g_variant_new_string (host));
      g_variant_builder_add (&list, "{sv}", "leaving",
                             g_variant_new_boolean (flag (fake, "leaving", NULL)));
      add_live (fake, &list, host);
      g_variant_builder_close (&list);
    }
  alcove_machine1_complete_list_pci (machine, invocation, g_variant_builder_end (&list));
  return TRUE;
}

static gboolean
on_eject_medium (Fake *fake,
                 GDBusMethodInvocation *invocation,
                 const char *device,
                 gboolean force,
                 AlcoveMachine1 *machine)
{
  note (fake, "eject %s", device);
  alcove_machine1_complete_eject_medium (machine, invocation);
  return TRUE;
}

static void export(Fake *fake, AlcoveDefinition *definition)
{
  const AlcoveMachineConfig *config = alcove_definition_get_machine (definition);
  guint n_pcis;
  const AlcovePciConfig *const *pcis = alcove_definition_get_pcis (definition, &n_pcis);
  static const struct
  {
    const char *signal;
    GCallback handler;
  } calls[] = {
    { "handle-pause", G_CALLBACK (on_pause) },
    { "handle-resume", G_CALLBACK (on_resume) },
    { "handle-reset", G_CALLBACK (on_reset) },
    { "handle-power-button", G_CALLBACK (on_power_button) },
    { "handle-quit", G_CALLBACK (on_quit) },
    { "handle-attach-spice", G_CALLBACK (on_attach_spice) },
    { "handle-resize-display", G_CALLBACK (on_resize_display) },
    { "handle-screenshot", G_CALLBACK (on_screenshot) },
    { "handle-send-keys", G_CALLBACK (on_send_keys) },
    { "handle-type", G_CALLBACK (on_type) },
    { "handle-snapshot", G_CALLBACK (on_snapshot) },
    { "handle-cancel-save", G_CALLBACK (on_cancel_save) },
    { "handle-delete-disk-snapshot", G_CALLBACK (on_delete_disk_snapshot) },
    { "handle-add-disk", G_CALLBACK (on_add_disk) },
    { "handle-remove-disk", G_CALLBACK (on_remove_disk) },
    { "handle-eject-medium", G_CALLBACK (on_eject_medium) },
    { "handle-add-pci", G_CALLBACK (on_add_pci) },
    { "handle-remove-pci", G_CALLBACK (on_remove_pci) },
    { "handle-list-pci", G_CALLBACK (on_list_pci) },
  };

  fake->machine = alcove_machine1_skeleton_new ();
  alcove_machine1_set_uuid (fake->machine, config->uuid);
  alcove_machine1_set_name (fake->machine, config->title);
  alcove_machine1_set_version (fake->machine, ALCOVE_VERSION);
  alcove_machine1_set_pid (fake->machine, (guint)getpid ());
  fake->cards = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  for (guint i = 0; i < n_pcis; i++)
    g_hash_table_insert (fake->cards, g_strdup (pcis[i]->base.name), g_strdup (pcis[i]->host));
  for (gsize i = 0; i < G_N_ELEMENTS (calls); i++)
    g_signal_connect_swapped (fake->machine, calls[i].signal, calls[i].handler, fake);
}

int
main (int argc, char **argv)
{
  g_autofree char *folder = NULL;
  g_autofree char *runtime_dir = NULL;
  g_autofree char *conf = NULL;
  g_autofree char *complaint = NULL;
  int ready_fd = -1;
  g_autofree char *restore = NULL;
  gboolean paused = FALSE, consume = FALSE, generation = FALSE;
  const GOptionEntry options[] = {
    { "machine", 0, 0, G_OPTION_ARG_FILENAME, &folder, NULL, NULL },
    { "runtime-dir", 0, 0, G_OPTION_ARG_FILENAME, &runtime_dir, NULL, NULL },
    { "ready-fd", 0, 0, G_OPTION_ARG_INT, &ready_fd, NULL, NULL },
    { "paused", 0, 0, G_OPTION_ARG_NONE, &paused, NULL, NULL },
    { "restore", 0, 0, G_OPTION_ARG_FILENAME, &restore, NULL, NULL },
    { "consume", 0, 0, G_OPTION_ARG_NONE, &consume, NULL, NULL },
    { "new-generation", 0, 0, G_OPTION_ARG_NONE, &generation, NULL, NULL },
    G_OPTION_ENTRY_NULL,
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (AlcoveLock) lock = NULL;
  g_autoptr (GError) error = NULL;
  Fake fake = { .fake_dir = g_strdup (g_getenv ("ALCOVE_FAKE_DIR")) };

  g_option_context_add_main_entries (context, options, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || !folder || !runtime_dir)
    {
      g_printerr ("fake: %s\n", error ? error->message : "--machine and --runtime-dir are needed");
      return 2;
    }
  if (flag (&fake, "fail-start", &complaint))
    {
      say_ready (ready_fd, complaint);
      return 1;
    }
  conf = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  definition = alcove_definition_load (conf, &error);
  lock = definition ? alcove_lock_acquire (folder, "runs it", &error) : NULL;
  if (!lock)
    {
      say_ready (ready_fd, error->message);
      return 1;
    }
  fake.loop = g_main_loop_new (NULL, FALSE);
  fake.screen = spice_fixture_new (flag (&fake, "drawables", NULL) ? SPICE_FIXTURE_DRAWABLES
                                                                   : SPICE_FIXTURE_MEMFD,
                                   1024, 768, !flag (&fake, "no-tablet", NULL), log_line, &fake);
  export(&fake, definition);
  fake.control = alcove_control_server_new (runtime_dir, fake.machine, &error);
  if (!fake.control)
    {
      say_ready (ready_fd, error->message);
      return 1;
    }
  if (restore != NULL)
    note (&fake, "restore %s%s", consume ? "consume" : "", generation ? " generation" : "");
  set_state (&fake, paused ? "paused" : "running", "user", "");
  say_ready (ready_fd, NULL);
  g_unix_signal_add (SIGUSR1, on_fault, &fake);
  g_unix_signal_add (SIGUSR2, on_cards_changed, &fake);
  g_main_loop_run (fake.loop);

  alcove_control_server_free (fake.control);
  spice_fixture_free (fake.screen);
  g_object_unref (fake.machine);
  g_main_loop_unref (fake.loop);
  g_hash_table_unref (fake.cards);
  g_free (fake.fake_dir);
  return 0;
}
