/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What machines and the command line use: through the helper's service on a private bus, or by
 * themselves. DOUBLES: polkit (bus.h), the kernel's driver core (fake-kernel.h). Where this process
 * writes by itself the tree is plain files: the kernel does nothing, which must be noticed. */
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>
#include "../../vfio/bind/fake-kernel.h"
#include "app/helper/service.h"
#include "app/passthrough-binding.h"
#include "bus.h"

static const char *const card[] = { FAKE_GPU, FAKE_SOUND, NULL };

typedef struct
{
  FakeKernel k;
  char *before;
  PrivateBus bus;
  FakePolkit polkit;
  GDBusConnection *server;
  HelperService *service;
  guint name;
} Fixture;

static void
start_service (Fixture *f)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  HelperConfig config = {
    .bus = f->server, .root = f->k.root, .ops = &fake_kernel_ops, .vmm_path = program
  };
  g_autoptr (GVariant) owned = NULL;
  g_autoptr (GError) error = NULL;

  f->service = helper_service_new (&config, &error);
  g_assert_no_error (error);
  owned = g_dbus_connection_call_sync (f->server, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                       "org.freedesktop.DBus", "RequestName",
                                       g_variant_new ("(su)", HELPER_NAME, 0), NULL,
                                       G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
  g_assert_no_error (error);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_assert_true (private_bus_start (&f->bus));
  fake_kernel_init (&f->k);
  f->before = fake_kernel_dup_state (&f->k);
  g_setenv ("DBUS_SYSTEM_BUS_ADDRESS", f->bus.address, TRUE);
  g_setenv ("ALCOVE_HOST_ROOT", f->k.root, TRUE);
  fake_polkit_start (&f->polkit, &f->bus);
  f->server = private_bus_connect (&f->bus, geteuid ());
}

/* This process may not write: the file is none, even for root. */
static void
forbid (Fixture *f)
{
  g_autofree char *probe = g_build_filename (f->k.root, "sys/bus/pci/drivers_probe", NULL);

  g_assert_cmpint (g_unlink (probe), ==, 0);
  g_assert_cmpint (g_mkdir (probe, 0700), ==, 0);
  g_free (f->before);
  f->before = fake_kernel_dup_state (&f->k);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_clear_pointer (&f->service, helper_service_free);
  fake_polkit_stop (&f->polkit);
  g_dbus_connection_close_sync (f->server, NULL, NULL);
  g_clear_object (&f->server);
  private_bus_stop (&f->bus);
  fake_kernel_clear (&f->k);
  g_free (f->before);
}

static void
assert_unchanged (Fixture *f)
{
  g_autofree char *after = fake_kernel_dup_state (&f->k), *ledger = fake_kernel_dup_ledger (&f->k);

  g_assert_cmpstr (after, ==, f->before);
  g_assert_cmpstr (ledger, ==, "");
}

static void
assert_driver (Fixture *f, const char *id, const char *driver)
{
  g_autofree char *now = fake_kernel_dup_driver (&f->k, id);

  g_assert_cmpstr (now, ==, driver);
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **)user_data = g_object_ref (result);
}

static AlcoveBinding *
prepare (const char *const *addresses, guint64 memlock, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  alcove_binding_prepare_async (addresses, memlock, NULL, on_ready, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return alcove_binding_prepare_finish (result, error);
}

static gboolean
give_back (AlcoveBinding *binding, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  alcove_binding_give_back_async (binding, on_ready, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return alcove_binding_give_back_finish (result, error);
}

static void
test_helper (Fixture *f, gconstpointer data)
{
  g_autoptr (AlcoveBinding) binding = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *node = NULL, *owner = g_strdup_printf ("%u 0 600", geteuid ());

  forbid (f);
  start_service (f);
  binding = prepare (card, 4096, &error);
  g_assert_no_error (error);
  g_assert_cmpint (alcove_binding_get_way (binding), ==, ALCOVE_BINDING_HELPER);
  assert_driver (f, FAKE_GPU, "vfio-pci");
  assert_driver (f, FAKE_SOUND, "vfio-pci");
  node = fake_kernel_dup_node (&f->k, "13");
  g_assert_cmpstr (node, ==, owner);
  g_assert_true (give_back (binding, &error));
  g_assert_no_error (error);
  assert_unchanged (f);
  g_assert_true (give_back (binding, &error));
}

static gboolean
on_tick (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

/* The process ends without a word. */
static void
test_gone (Fixture *f, gconstpointer data)
{
  AlcoveBinding *binding;
  g_autoptr (GError) error = NULL;
  guint tick = g_timeout_add (10, on_tick, NULL);

  forbid (f);
  start_service (f);
  binding = prepare (card, 0, &error);
  g_assert_no_error (error);
  alcove_binding_free (binding);
  for (;;)
    {
      g_autofree char *ledger = fake_kernel_dup_ledger (&f->k);

      if (ledger[0] == 0)
        break;
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (tick);
  assert_unchanged (f);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  static const char *const half[] = { FAKE_GPU, NULL }, *const bad[] = { "../etc", NULL };
  g_autoptr (GError) error = NULL;

  forbid (f);
  start_service (f);
  f->polkit.answer = POLKIT_DISMISSED;
  g_assert_null (prepare (card, 0, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED);
  g_clear_error (&error);
  f->polkit.answer = POLKIT_NO;
  g_assert_null (prepare (card, 0, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "do not let you"));
  g_clear_error (&error);
  f->polkit.answer = POLKIT_YES;
  g_assert_null (prepare (half, 0, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (prepare (bad, 0, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_clear_error (&error);
  /* More memory than there is: what was bound by then goes back. */
  g_assert_null (prepare (card, (guint64)1 << 60, &error));
  g_assert_nonnull (strstr (error->message, "memory"));
  assert_unchanged (f);
}

static void
test_no_helper (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  forbid (f);
  g_assert_null (prepare (card, 0, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "sudo alcove pci bind --user"));
  g_assert_nonnull (strstr (error->message, FAKE_GPU " " FAKE_SOUND));
  assert_unchanged (f);
}

/* Bound at boot, and the user may open the group. */
static void
test_nothing_to_do (Fixture *f, gconstpointer data)
{
  static const char *const ready[] = { FAKE_VFIO, NULL };
  g_autoptr (AlcoveBinding) binding = NULL;
  g_autoptr (GError) error = NULL;

  forbid (f);
  binding = prepare (ready, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpint (alcove_binding_get_way (binding), ==, ALCOVE_BINDING_NONE);
  g_assert_true (give_back (binding, &error));
  assert_unchanged (f);
}

/* Writing by ourselves to a tree where no kernel answers: the check sees that, all is put back. */
static void
test_direct (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (prepare (card, 0, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "did not take"));
  g_assert_nonnull (strstr (error->message, "Everything is as it was before"));
}

/* stdout of "alcove pci ARGUMENTS"; ret_said: stderr. */
static char *
run_cli (const char *arguments, int status, char **ret_said)
{
  g_autofree char *line = g_strconcat (ALCOVE_PROGRAM " pci ", arguments, NULL), *said = NULL;
  g_auto (GStrv) argv = NULL;
  char *out = NULL;
  int wait_status;

  g_assert_true (g_shell_parse_argv (line, NULL, &argv, NULL));
  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &said,
                               &wait_status, NULL));
  if (wait_status != status << 8)
    g_error ("alcove pci %s: status %d: %s", arguments, wait_status >> 8, said);
  if (ret_said != NULL)
    *ret_said = g_steal_pointer (&said);
  return out;
}

static JsonArray *
parse (const char *text, JsonParser **ret_parser)
{
  *ret_parser = json_parser_new ();
  g_assert_true (json_parser_load_from_data (*ret_parser, text, -1, NULL));
  return json_node_get_array (json_parser_get_root (*ret_parser));
}

static void
test_cli (Fixture *f, gconstpointer data)
{
  VfioBindFor whom = { .uid = getuid () };
  VfioAddress net = fake_address (FAKE_NET);
  g_autofree char *dry = NULL, *json = NULL, *said = NULL, *list = NULL, *none = NULL, *back = NULL;
  g_autoptr (JsonParser) parser = NULL, bound_parser = NULL;
  g_autoptr (GError) error = NULL;
  JsonArray *steps, *bound;

  dry = run_cli ("bind --dry-run " FAKE_GPU, 0, &said);
  g_assert_nonnull (strstr (said, FAKE_SOUND));
  g_assert_nonnull (strstr (dry, "Take " FAKE_GPU " from the driver amdgpu"));
  g_assert_nonnull (strstr (dry, "Undone: The driver amdgpu takes it back"));
  json = run_cli ("bind --dry-run --json " FAKE_GPU, 0, NULL);
  steps = parse (json, &parser);
  g_assert_cmpuint (json_array_get_length (steps), ==, 10);
  g_assert_cmpstr (json_object_get_string_member (json_array_get_object_element (steps, 3), "file"),
                   ==, "/sys/bus/pci/drivers/snd_hda_intel/unbind");
  assert_unchanged (f);
  g_free (run_cli ("bind", 2, NULL));
  g_free (run_cli ("bind /etc/passwd", 2, NULL));
  g_free (run_cli ("bind 0000:7f:00.0", 1, NULL));
  g_free (run_cli ("bind 0000:00:01.0", 1, NULL));
  g_free (run_cli ("release " FAKE_NET, 1, NULL));
  none = run_cli ("list-bound --json", 0, NULL);
  g_assert_cmpstr (g_strstrip (none), ==, "[]");
  g_assert_true (vfio_bind_take (&f->k.host, &net, 1, &whom, FALSE, NULL, &error));
  g_assert_no_error (error);
  list = run_cli ("list-bound --json", 0, NULL);
  bound = parse (list, &bound_parser);
  g_assert_cmpuint (json_array_get_length (bound), ==, 1);
  g_assert_cmpstr (
      json_object_get_string_member (json_array_get_object_element (bound, 0), "driver"), ==,
      "e1000e");
  back = run_cli ("release --dry-run " FAKE_NET, 0, NULL);
  g_assert_nonnull (strstr (back, "Give " FAKE_NET " back to the driver e1000e"));
  assert_driver (f, FAKE_NET, "vfio-pci");
  /* As by hand meanwhile: the release finds nothing to do but to clear the record. */
  g_assert_true (vfio_bind_give_back (&f->k.host, &net, 1, whom.uid, FALSE, NULL, &error));
  assert_unchanged (f);
  g_free (run_cli ("release", 0, NULL));
}

/* "As root: for this user": whose name is looked up, and who gets the group. */
static void
test_cli_user (Fixture *f, gconstpointer data)
{
  g_autofree char *json = NULL, *said = NULL, *list = NULL, *unknown = NULL;
  g_autofree char *bind_own = NULL, *forbidden = NULL;
  g_autoptr (JsonParser) parser = NULL, bound_parser = NULL;
  JsonArray *bound;
  struct passwd *self = getpwuid (getuid ());
  const char *other = getuid () == 65534 ? "1" : "65534";
  g_autofree char *for_other = g_strconcat ("bind --user ", other, " " FAKE_VFIO, NULL);

  g_free (run_cli ("bind --user no-such-user-here " FAKE_VFIO, 2, &unknown));
  g_assert_nonnull (strstr (unknown, "no-such-user-here"));
  g_free (run_cli ("bind --user 4294967295 " FAKE_VFIO, 2, NULL));
  g_free (run_cli ("bind --user -1 " FAKE_VFIO, 2, NULL));
  /* A group's node here is a file, which is no node: it is given to nobody, and all is as before. */
  g_free (run_cli (for_other, 1, &said));
  g_assert_nonnull (strstr (said, "/dev/vfio/18"));
  g_assert_nonnull (strstr (said, "left alone"));
  assert_unchanged (f);
  /* One's own group needs no giving. */
  bind_own = self != NULL ? g_strdup_printf ("bind --json --user %s " FAKE_VFIO, self->pw_name)
                          : g_strdup_printf ("bind --json --user %u " FAKE_VFIO, getuid ());
  json = run_cli (bind_own, 0, NULL);
  g_assert_cmpuint (json_array_get_length (parse (json, &parser)), ==, 2);
  list = run_cli ("list-bound --json", 0, NULL);
  bound = parse (list, &bound_parser);
  g_assert_cmpuint (json_array_get_length (bound), ==, 1);
  g_assert_cmpint (json_object_get_int_member (json_array_get_object_element (bound, 0), "uid"), ==,
                   getuid ());
  g_free (run_cli ("release " FAKE_VFIO, 0, NULL));
  assert_unchanged (f);
  /* Who has not the rights cannot take for another, helper or not. */
  forbid (f);
  start_service (f);
  g_free (run_cli (for_other, 2, &forbidden));
  g_assert_nonnull (strstr (forbidden, "sudo"));
  g_assert_cmpuint (f->polkit.asked->len, ==, 0);
  assert_unchanged (f);
}

/* A catalogue for a language that there is not, as msgfmt writes it (GNU gettext manual, 10.3): number
 * of texts, then where they are and where their translations are, lengths before places. */
static void
write_catalogue (const char *path)
{
  static const char *const texts[][2] = {
    { "", "Content-Type: text/plain; charset=UTF-8\n" },
    { "Take %s from the driver %s", "\303\206 %s < %s" },
  };
  const guint32 n = G_N_ELEMENTS (texts);
  g_autoptr (GByteArray) strings = g_byte_array_new ();
  guint32 words[7 + 4 * G_N_ELEMENTS (texts)] = { 0x950412de, 0, n, 28, 28 + 8 * n, 0, 0 };
  g_autoptr (GString) file = g_string_new (NULL);

  for (guint k = 0; k < 2; k++)
    for (guint i = 0; i < n; i++)
      {
        guint32 *place = &words[7 + 2 * (k * n + i)];

        place[0] = (guint32)strlen (texts[i][k]);
        place[1] = (guint32)sizeof words + strings->len;
        g_byte_array_append (strings, (const guint8 *)texts[i][k], place[0] + 1);
      }
  g_string_append_len (file, (const char *)words, sizeof words);
  g_string_append_len (file, (const char *)strings->data, strings->len);
  g_assert_true (g_file_set_contents (path, file->str, (gssize)file->len, NULL));
}

/* The steps are said in the user's language, and what programs read is the same in all. */
static void
test_language (Fixture *f, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (f->bus.folder, "xx", "LC_MESSAGES", NULL);
  g_autofree char *path = g_build_filename (folder, "alcove.mo", NULL), *dry = NULL, *json = NULL;
  g_autofree char *plain = NULL;

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  write_catalogue (path);
  g_setenv ("ALCOVE_LOCALE_DIR", f->bus.folder, TRUE);
  g_setenv ("LANGUAGE", "xx", TRUE);
  g_setenv ("LC_ALL", "C.UTF-8", TRUE);
  dry = run_cli ("bind --dry-run " FAKE_GPU, 0, NULL);
  json = run_cli ("bind --dry-run --json " FAKE_GPU, 0, NULL);
  g_setenv ("LC_ALL", "C", TRUE);
  plain = run_cli ("bind --dry-run " FAKE_GPU, 0, NULL);
  g_unsetenv ("LC_ALL");
  g_unsetenv ("LANGUAGE");
  g_unsetenv ("ALCOVE_LOCALE_DIR");
  g_assert_nonnull (strstr (plain, "Take " FAKE_GPU " from the driver amdgpu"));
  g_assert_nonnull (strstr (json, "\"step\""));
  g_assert_nonnull (strstr (json, "\"unbind\""));
  g_assert_nonnull (strstr (dry, "\303\206 " FAKE_GPU " < amdgpu"));
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*run) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/binding/helper", test_helper },
    { "/binding/gone", test_gone },
    { "/binding/refused", test_refused },
    { "/binding/no-helper", test_no_helper },
    { "/binding/nothing-to-do", test_nothing_to_do },
    { "/binding/direct", test_direct },
    { "/binding/cli", test_cli },
    { "/binding/cli-user", test_cli_user },
    { "/binding/language", test_language },
  };
  g_autofree char *daemon = g_find_program_in_path ("dbus-daemon");

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; daemon != NULL && i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
  return g_test_run ();
}
