/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The helper's service on a private bus. Real: the bus, the service, the ledger, the process whose
 * limit is raised. DOUBLES: polkit's authority (bus.h) and the kernel's driver core
 * (vfio/bind/fake-kernel.h). Both are met for real in the lab (suite vfio-bind). */
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../../vfio/bind/fake-kernel.h"
#include "app/helper/audit.h"
#include "app/helper/service.h"
#include "bus.h"

/* Another user (nobody: the bus wants one that there is); its connection can be had by root alone. */
#define OTHER_UID 65534
#define IDLE_MS   60

typedef struct
{
  FakeKernel k;
  char *before;
  PrivateBus bus;
  FakePolkit polkit;
  GDBusConnection *server, *client;
  HelperService *service;
  char *program; /* this test, which stands for alcove-vmm */
  guint idles;
} Fixture;

/* What went to the journal: "METHOD [ARGUMENTS] uid RESULT DETAIL". */
static GPtrArray *journal;

static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n, gpointer user_data)
{
  const char *method = NULL, *arguments = "", *uid = "", *result = "", *detail = "", *id = "";

  for (gsize i = 0; i < n; i++)
    {
      if (strcmp (fields[i].key, "ALCOVE_METHOD") == 0)
        method = fields[i].value;
      else if (strcmp (fields[i].key, "ALCOVE_ARGUMENTS") == 0)
        arguments = fields[i].value;
      else if (strcmp (fields[i].key, "ALCOVE_UID") == 0)
        uid = fields[i].value;
      else if (strcmp (fields[i].key, "ALCOVE_RESULT") == 0)
        result = fields[i].value;
      else if (strcmp (fields[i].key, "ALCOVE_DETAIL") == 0)
        detail = fields[i].value;
      else if (strcmp (fields[i].key, "MESSAGE_ID") == 0)
        id = fields[i].value;
    }
  if (method == NULL)
    return g_log_writer_default (level, fields, n, user_data);
  g_assert_cmpstr (id, ==, HELPER_AUDIT_ID);
  g_ptr_array_add (journal,
                   g_strdup_printf ("%s [%s] %s %s %s", method, arguments, uid, result, detail));
  return G_LOG_WRITER_HANDLED;
}

static const char *
last_record (void)
{
  g_assert_cmpuint (journal->len, >, 0);
  return g_ptr_array_index (journal, journal->len - 1);
}

static void
assert_recorded (const char *method, const char *result)
{
  g_autofree char *start = g_strconcat (method, " [", NULL);
  g_autofree char *middle = g_strconcat (" ", result, " ", NULL);

  if (!g_str_has_prefix (last_record (), start) || strstr (last_record (), middle) == NULL)
    g_error ("“%s” is not %s %s", last_record (), method, result);
}

static void
on_idle (gpointer user_data)
{
  ((Fixture *)user_data)->idles++;
}

static void
start_service (Fixture *f)
{
  HelperConfig config = { .bus = f->server,
                          .root = f->k.root,
                          .ops = &fake_kernel_ops,
                          .vmm_path = f->program,
                          .idle_ms = IDLE_MS,
                          .idle = on_idle,
                          .user_data = f };
  g_autoptr (GError) error = NULL;

  f->service = helper_service_new (&config, &error);
  g_assert_no_error (error);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_ptr_array_set_size (journal, 0);
  g_assert_true (private_bus_start (&f->bus));
  fake_kernel_init (&f->k);
  f->before = fake_kernel_dup_state (&f->k);
  fake_polkit_start (&f->polkit, &f->bus);
  f->server = private_bus_connect (&f->bus, geteuid ());
  f->client = private_bus_connect (&f->bus, geteuid () == 0 ? OTHER_UID : geteuid ());
  f->program = g_file_read_link ("/proc/self/exe", NULL);
  start_service (f);
}

static void
close_connection (GDBusConnection **connection)
{
  if (*connection == NULL)
    return;
  g_dbus_connection_close_sync (*connection, NULL, NULL);
  g_clear_object (connection);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_clear_pointer (&f->service, helper_service_free);
  close_connection (&f->client);
  fake_polkit_stop (&f->polkit);
  close_connection (&f->server);
  private_bus_stop (&f->bus);
  fake_kernel_clear (&f->k);
  g_free (f->before);
  g_free (f->program);
}

static guint32
client_uid (void)
{
  return geteuid () == 0 ? OTHER_UID : geteuid ();
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

static GVariant *
call_on (
    Fixture *f, GDBusConnection *client, const char *method, GVariant *parameters, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  g_dbus_connection_call (client, g_dbus_connection_get_unique_name (f->server), HELPER_PATH,
                          HELPER_NAME, method, parameters, NULL, G_DBUS_CALL_FLAGS_NONE, 20000,
                          NULL, on_ready, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return g_dbus_connection_call_finish (client, result, error);
}

/* TRUE: it was done. */
static gboolean
call (Fixture *f, const char *method, GVariant *parameters, GError **error)
{
  g_autoptr (GVariant) answer = call_on (f, f->client, method, parameters, error);

  return answer != NULL;
}

static GVariant *
functions (const char *ids)
{
  g_auto (GStrv) words = g_strsplit (ids, " ", 0);

  return g_variant_new_strv ((const char *const *)words, -1);
}

static GVariant *
bind_args (const char *ids, gboolean when_gone)
{
  return g_variant_new ("(@asb)", functions (ids), when_gone);
}

static void
must (Fixture *f, const char *method, GVariant *parameters)
{
  g_autoptr (GError) error = NULL;

  if (!call (f, method, parameters, &error))
    g_error ("%s: %s", method, error->message);
  assert_recorded (method, "done");
}

/* name: of the D-Bus error. */
static void
refused (Fixture *f, const char *method, GVariant *parameters, const char *name, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *remote = NULL;

  g_assert_false (call (f, method, parameters, &error));
  remote = g_dbus_error_get_remote_error (error);
  if (remote == NULL || !g_str_has_suffix (remote, name) || strstr (error->message, words) == NULL)
    g_error ("%s: “%s” is not %s with “%s”", method, error->message, name, words);
  assert_recorded (method, "refused");
}

static void
test_round (Fixture *f, gconstpointer data)
{
  g_autofree char *asked = NULL, *node = NULL, *owner = NULL, *recorded = NULL;
  g_autoptr (GVariant) list = NULL;
  g_autoptr (GError) error = NULL;
  const char *id, *driver;
  guint32 uid;

  must (f, "Bind", bind_args (FAKE_GPU " " FAKE_SOUND, FALSE));
  recorded = g_strdup_printf ("Bind [" FAKE_GPU " " FAKE_SOUND " false] %u done ", client_uid ());
  g_assert_cmpstr (last_record (), ==, recorded);
  assert_driver (f, FAKE_GPU, "vfio-pci");
  assert_driver (f, FAKE_SOUND, "vfio-pci");
  asked = g_strdup_printf ("io.github.alcove-vm.helper.bind system-bus-name %s [" FAKE_GPU
                           " " FAKE_SOUND " false] 1",
                           g_dbus_connection_get_unique_name (f->client));
  g_assert_cmpuint (f->polkit.asked->len, ==, 1);
  g_assert_cmpstr (g_ptr_array_index (f->polkit.asked, 0), ==, asked);
  list = call_on (f, f->client, "ListBound", NULL, &error);
  g_assert_no_error (error);
  g_variant_get_child (g_variant_get_child_value (list, 0), 0, "(&su&s&sx)", &id, &uid, &driver,
                       NULL, NULL);
  g_assert_cmpstr (id, ==, FAKE_GPU);
  g_assert_cmpuint (uid, ==, client_uid ());
  g_assert_cmpstr (driver, ==, "amdgpu");
  must (f, "GrantGroup", g_variant_new ("(u)", 13));
  node = fake_kernel_dup_node (&f->k, "13");
  owner = g_strdup_printf ("%u 0 600", client_uid ());
  g_assert_cmpstr (node, ==, owner);
  must (f, "Release", g_variant_new ("(@as)", functions (FAKE_GPU " " FAKE_SOUND)));
  assert_unchanged (f);
  g_assert_cmpuint (f->polkit.asked->len, ==, 3);
}

static void
test_denied (Fixture *f, gconstpointer data)
{
  f->polkit.answer = POLKIT_NO;
  refused (f, "Bind", bind_args (FAKE_NET, FALSE), "AccessDenied", "do not let you");
  f->polkit.answer = POLKIT_CHALLENGE;
  refused (f, "Bind", bind_args (FAKE_NET, FALSE), "AccessDenied", "password");
  f->polkit.answer = POLKIT_DISMISSED;
  refused (f, "Bind", bind_args (FAKE_NET, TRUE), "Cancelled", "dismissed");
  assert_unchanged (f);
  f->polkit.answer = POLKIT_YES;
  must (f, "Bind", bind_args (FAKE_NET, FALSE));
  f->polkit.answer = POLKIT_NO;
  refused (f, "GrantGroup", g_variant_new ("(u)", 15), "AccessDenied", "do not let you");
  refused (f, "Release", g_variant_new ("(@as)", functions (FAKE_NET)), "AccessDenied", "do not");
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", getpid (), (guint64)1 << 20), "AccessDenied",
           "do not let you");
  assert_driver (f, FAKE_NET, "vfio-pci");
}

/* Without polkit root may, and nobody else. */
static void
test_no_polkit (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_dbus_connection_close_sync (f->polkit.connection, NULL, NULL);
  if (client_uid () != 0)
    refused (f, "Bind", bind_args (FAKE_NET, FALSE), "AccessDenied", "polkit");
  assert_unchanged (f);
  if (geteuid () == 0)
    {
      GDBusConnection *root = private_bus_connect (&f->bus, 0);
      g_autoptr (GVariant) answer = call_on (f, root, "Bind", bind_args (FAKE_NET, FALSE), &error);

      g_assert_no_error (error);
      g_assert_nonnull (answer);
      assert_driver (f, FAKE_NET, "vfio-pci");
      close_connection (&root);
    }
}

/* Nothing of this reaches polkit or the host. */
static void
test_hostile (Fixture *f, gconstpointer data)
{
  static const char *const bad[] = {
    "",
    "/sys/bus/pci/devices/0000:01:00.0",
    "../../../etc/passwd",
    "0000:01:00.0/../0000:02:00.0",
    "0000:01:00.0\n",
    "0000:01:00.0 ",
    " 0000:01:00.0",
    "0000:01:00",
    "0000:01:20.0",
    "0000:01:00.8",
    "-000:01:00.0",
    "0000:01:00.0;reboot",
    "$(reboot)",
    "%s%s%n",
    "\342\200\256000:01:00.0",
  };
  g_autofree char *huge = g_strnfill (1 << 20, '0');
  GVariantBuilder many;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const char *const one[] = { bad[i], NULL };

      refused (f, "Bind", g_variant_new ("(^asb)", one, FALSE), "InvalidArgument", "");
      refused (f, "Release", g_variant_new ("(^as)", one), "InvalidArgument", "");
      /* One line, and short. */
      g_assert_null (strchr (last_record (), '\n'));
    }
  refused (f, "Bind", g_variant_new ("(^asb)", &(const char *const[]){ huge, NULL }[0], FALSE),
           "InvalidArgument", "");
  g_assert_cmpuint (strlen (last_record ()), <, 8192);
  g_variant_builder_init (&many, G_VARIANT_TYPE ("as"));
  for (guint i = 0; i < 100000; i++)
    g_variant_builder_add (&many, "s", FAKE_NET);
  refused (f, "Bind", g_variant_new ("(asb)", &many, FALSE), "InvalidArgument", "100000 devices");
  g_assert_cmpuint (strlen (last_record ()), <, 4096);
  refused (f, "Bind", g_variant_new ("(@asb)", g_variant_new_strv (NULL, 0), FALSE),
           "InvalidArgument", "No device");
  refused (f, "GrantGroup", g_variant_new ("(u)", G_MAXUINT32), "InvalidArgument", "group");
  /* Real addresses against the rules: refused before anybody is asked for a password. */
  refused (f, "Bind", bind_args (FAKE_GPU, FALSE), "InvalidArgument", "same card");
  refused (f, "Bind", bind_args ("0000:00:01.0", FALSE), "NotSupported", "bridge");
  refused (f, "Bind", bind_args ("0000:7f:1f.7", FALSE), "NotFound", "0000:7f:1f.7");
  g_assert_cmpuint (f->polkit.asked->len, ==, 0);
  assert_unchanged (f);
}

/* Wrong types and unknown methods never reach our code; the bus's own rules hold. */
static void
test_wrong_types (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (call (f, "Bind", g_variant_new ("(s)", FAKE_NET), &error));
  g_assert_error (error, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS);
  g_clear_error (&error);
  g_assert_false (call (f, "Exec", g_variant_new ("(s)", "reboot"), &error));
  g_assert_error (error, G_DBUS_ERROR, G_DBUS_ERROR_UNKNOWN_METHOD);
  assert_unchanged (f);
}

/* What another user has taken, or nobody. */
static void
test_others (Fixture *f, gconstpointer data)
{
  VfioAddress net = fake_address (FAKE_NET);
  VfioBindFor other = { .uid = 4242 };
  g_autoptr (GError) error = NULL;
  g_autofree char *node = NULL;

  g_assert_true (vfio_bind_take (&f->k.host, &net, 1, &other, FALSE, NULL, &error));
  refused (f, "Release", g_variant_new ("(@as)", functions (FAKE_NET)), "AccessDenied", "another");
  refused (f, "GrantGroup", g_variant_new ("(u)", 15), "AccessDenied", "another user");
  refused (f, "Bind", bind_args (FAKE_NET, FALSE), "Busy", "another user");
  refused (f, "GrantGroup", g_variant_new ("(u)", 18), "AccessDenied", "Nothing in isolation");
  refused (f, "GrantGroup", g_variant_new ("(u)", 999), "AccessDenied", "Nothing in isolation");
  refused (f, "Release", g_variant_new ("(@as)", functions (FAKE_GPU)), "NotFound", "not taken");
  /* Everything of mine is nothing of theirs. */
  must (f, "Release", g_variant_new ("(@as)", g_variant_new_strv (NULL, 0)));
  assert_driver (f, FAKE_NET, "vfio-pci");
  node = fake_kernel_dup_node (&f->k, "15");
  g_assert_cmpstr (node, ==, "0 0 600");
}

/* A link where a node should be, and another device's numbers. */
static void
test_links (Fixture *f, gconstpointer data)
{
  g_autofree char *shadow = g_build_filename (f->k.root, "etc/shadow", NULL), *text = NULL;

  must (f, "Bind", bind_args (FAKE_NET, FALSE));
  fake_kernel_put (&f->k, "etc/shadow", "0 0 600");
  fake_kernel_remove (&f->k, "dev/vfio/15");
  fake_kernel_link (&f->k, "dev/vfio/15", "../../etc/shadow");
  refused (f, "GrantGroup", g_variant_new ("(u)", 15), "NotFound", "left alone");
  g_assert_true (g_file_get_contents (shadow, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "0 0 600");
  fake_kernel_remove (&f->k, "dev/vfio/15");
  fake_kernel_put (&f->k, "dev/vfio/15", "0 0 600");
  fake_kernel_put (&f->k, "sys/class/vfio/15/dev", "8:15\n");
  refused (f, "GrantGroup", g_variant_new ("(u)", 15), "NotFound", "left alone");
}

static GSubprocess *
start_machine (Fixture *f, const char *program)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocessLauncher) launcher =
      g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  GSubprocess *machine =
      g_subprocess_launcher_spawn (launcher, &error, program, "--stand-in", NULL);
  char byte;

  g_assert_no_error (error);
  /* It runs its program from its first byte on. */
  if (g_strcmp0 (program, f->program) == 0)
    g_assert_cmpint (
        g_input_stream_read (g_subprocess_get_stdout_pipe (machine), &byte, 1, NULL, NULL), ==, 1);
  return machine;
}

static guint32
get_pid (GSubprocess *machine)
{
  return (guint32)g_ascii_strtoull (g_subprocess_get_identifier (machine), NULL, 10);
}

/* Raising above the hard limit takes CAP_SYS_RESOURCE, which root need not have: here the soft limit
 * is raised, in the lab the hard one. */
static void
test_memlock (Fixture *f, gconstpointer data)
{
  g_autofree char *cat = g_find_program_in_path ("cat");
  g_autoptr (GSubprocess) machine = start_machine (f, f->program);
  g_autoptr (GSubprocess) other = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE, NULL, cat, NULL);
  guint64 memory = (guint64)sysconf (_SC_PHYS_PAGES) * (guint64)sysconf (_SC_PAGESIZE), bytes;
  guint32 pid = get_pid (machine), cat_pid = get_pid (other);
  GDBusConnection *stranger = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  struct rlimit limit, now;
  guint64 result;

  if (geteuid () == 0)
    {
      stranger = f->client;
      f->client = private_bus_connect (&f->bus, 0);
    }
  g_assert_cmpint (prlimit ((pid_t)pid, RLIMIT_MEMLOCK, NULL, &now), ==, 0);
  limit = (struct rlimit){ 8192, now.rlim_max };
  bytes = MIN (now.rlim_max, (guint64)1 << 20);
  g_assert_cmpuint (bytes, >, limit.rlim_cur);
  g_assert_cmpint (prlimit ((pid_t)pid, RLIMIT_MEMLOCK, &limit, NULL), ==, 0);
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", pid, bytes), "AccessDenied", "none was taken");
  must (f, "Bind", bind_args (FAKE_NET, FALSE));
  answer = call_on (f, f->client, "RaiseMemlock", g_variant_new ("(ut)", pid, bytes), &error);
  g_assert_no_error (error);
  g_variant_get (answer, "(t)", &result);
  g_assert_cmpuint (result, ==, bytes);
  g_assert_cmpint (prlimit ((pid_t)pid, RLIMIT_MEMLOCK, NULL, &now), ==, 0);
  g_assert_cmpuint (now.rlim_cur, ==, bytes);
  g_assert_cmpuint (now.rlim_max, ==, limit.rlim_max);
  /* Never lowered. */
  must (f, "RaiseMemlock", g_variant_new ("(ut)", pid, (guint64)4096));
  g_assert_cmpint (prlimit ((pid_t)pid, RLIMIT_MEMLOCK, NULL, &now), ==, 0);
  g_assert_cmpuint (now.rlim_cur, ==, bytes);
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", pid, memory + 1), "InvalidArgument", "memory");
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", pid, G_MAXUINT64), "InvalidArgument", "");
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", pid, (guint64)0), "InvalidArgument", "");
  /* Another program of the same user; init; nobody. */
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", cat_pid, bytes), "AccessDenied", "not your");
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", 1, bytes), "InvalidArgument", "");
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", 0, bytes), "InvalidArgument", "");
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", G_MAXUINT32, bytes), "InvalidArgument", "");
  /* The right program, of another user. */
  if (stranger != NULL)
    {
      close_connection (&f->client);
      f->client = stranger;
      must (f, "Bind", bind_args (FAKE_PLAIN, FALSE));
      refused (f, "RaiseMemlock", g_variant_new ("(ut)", pid, bytes), "AccessDenied", "not your");
    }
  g_subprocess_force_exit (machine);
  g_subprocess_wait (machine, NULL, NULL);
  refused (f, "RaiseMemlock", g_variant_new ("(ut)", pid, bytes), "NotFound", "");
  g_subprocess_force_exit (other);
  g_subprocess_wait (other, NULL, NULL);
}

static gboolean
on_tick (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

/* Until this driver has the function; the test's time limit ends a wait for nothing. */
static void
wait_driver (Fixture *f, const char *id, const char *driver)
{
  guint tick = g_timeout_add (10, on_tick, NULL);

  for (;;)
    {
      g_autofree char *now = fake_kernel_dup_driver (&f->k, id);
      g_autofree char *ledger = fake_kernel_dup_ledger (&f->k);

      if (g_strcmp0 (now, driver) == 0 && ledger[0] == 0)
        break;
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (tick);
}

/* What is done by itself is written down a moment after its effect. */
static void
wait_recorded (const char *method)
{
  while (!g_str_has_prefix (last_record (), method))
    g_main_context_iteration (NULL, TRUE);
}

/* The machine was killed: what it had goes back when it is closed, and not before. */
static void
test_gone (Fixture *f, gconstpointer data)
{
  must (f, "Bind", bind_args (FAKE_NET, TRUE));
  must (f, "GrantGroup", g_variant_new ("(u)", 15));
  fake_kernel_add_process (&f->k, 4711, "alcove-vmm", "vfio/15");
  close_connection (&f->client);
  for (gint64 end = g_get_monotonic_time () + 250000; g_get_monotonic_time () < end;)
    g_main_context_iteration (NULL, TRUE); /* its tries are the events */
  assert_driver (f, FAKE_NET, "vfio-pci");
  fake_kernel_remove (&f->k, "proc/4711/fd/7");
  wait_driver (f, FAKE_NET, "e1000e");
  assert_unchanged (f);
  wait_recorded ("GiveBack");
  assert_recorded ("GiveBack", "done");
}

/* One that did not ask for it keeps what it took. */
static void
test_gone_without (Fixture *f, gconstpointer data)
{
  GDBusConnection *second = private_bus_connect (&f->bus, client_uid ());

  must (f, "Bind", bind_args (FAKE_NET, FALSE));
  must (f, "Bind", bind_args (FAKE_PLAIN, TRUE));
  close_connection (&f->client);
  f->client = g_steal_pointer (&second);
  while (strstr (last_record (), "GiveBack") == NULL)
    g_main_context_iteration (NULL, TRUE);
  assert_driver (f, FAKE_PLAIN, NULL);
  assert_driver (f, FAKE_NET, "vfio-pci");
  must (f, "Release", g_variant_new ("(@as)", g_variant_new_strv (NULL, 0)));
  assert_unchanged (f);
}

/* The helper was restarted while the machine was killed. */
static void
test_restart (Fixture *f, gconstpointer data)
{
  must (f, "Bind", bind_args (FAKE_NET, TRUE));
  g_clear_pointer (&f->service, helper_service_free);
  close_connection (&f->client);
  assert_driver (f, FAKE_NET, "vfio-pci");
  start_service (f);
  wait_driver (f, FAKE_NET, "e1000e");
  assert_unchanged (f);
}

/* A caller leaves while the password is typed. */
static void
test_gone_before (Fixture *f, gconstpointer data)
{
  f->polkit.answer = POLKIT_LATER;
  g_dbus_connection_call (f->client, g_dbus_connection_get_unique_name (f->server), HELPER_PATH,
                          HELPER_NAME, "Bind", bind_args (FAKE_NET, TRUE), NULL,
                          G_DBUS_CALL_FLAGS_NONE, 20000, NULL, NULL, NULL);
  while (f->polkit.waiting->len == 0)
    g_main_context_iteration (NULL, TRUE);
  close_connection (&f->client);
  fake_polkit_answer (&f->polkit, TRUE);
  while (journal->len < 2)
    g_main_context_iteration (NULL, TRUE);
  wait_driver (f, FAKE_NET, "e1000e");
  assert_unchanged (f);
}

/* One that is known to have left gets nothing, whatever is answered then. */
static void
test_gone_known (Fixture *f, gconstpointer data)
{
  f->polkit.answer = POLKIT_LATER;
  g_dbus_connection_call (f->client, g_dbus_connection_get_unique_name (f->server), HELPER_PATH,
                          HELPER_NAME, "Bind", bind_args (FAKE_NET, TRUE), NULL,
                          G_DBUS_CALL_FLAGS_NONE, 20000, NULL, NULL, NULL);
  while (f->polkit.waiting->len == 0)
    g_main_context_iteration (NULL, TRUE);
  close_connection (&f->client);
  while (journal->len == 0)
    g_main_context_iteration (NULL, TRUE);
  assert_recorded ("GiveBack", "done");
  fake_polkit_answer (&f->polkit, TRUE);
  while (journal->len == 1)
    g_main_context_iteration (NULL, TRUE);
  assert_recorded ("Bind", "refused");
  g_assert_nonnull (strstr (last_record (), "has left"));
  assert_unchanged (f);
}

static void
test_too_many (Fixture *f, gconstpointer data)
{
  GAsyncResult *results[6] = { NULL };
  guint busy = 0;

  f->polkit.answer = POLKIT_LATER;
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    g_dbus_connection_call (f->client, g_dbus_connection_get_unique_name (f->server), HELPER_PATH,
                            HELPER_NAME, "Release", g_variant_new ("(@as)", functions (FAKE_NET)),
                            NULL, G_DBUS_CALL_FLAGS_NONE, 20000, NULL, on_ready, &results[i]);
  while (f->polkit.waiting->len < 4 || results[4] == NULL || results[5] == NULL)
    g_main_context_iteration (NULL, TRUE);
  fake_polkit_answer (&f->polkit, TRUE);
  for (gsize i = 0; i < G_N_ELEMENTS (results); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *name = NULL;

      while (results[i] == NULL)
        g_main_context_iteration (NULL, TRUE);
      g_assert_null (g_dbus_connection_call_finish (f->client, results[i], &error));
      name = g_dbus_error_get_remote_error (error);
      busy += g_str_has_suffix (name, "Error.Busy") ? 1 : 0;
      g_object_unref (results[i]);
    }
  g_assert_cmpuint (busy, ==, 2);
}

/* It ends when there is nothing to do, and not while something is taken. */
static void
test_idle (Fixture *f, gconstpointer data)
{
  while (f->idles == 0)
    g_main_context_iteration (NULL, TRUE);
  must (f, "Bind", bind_args (FAKE_NET, FALSE));
  f->idles = 0;
  for (gint64 end = g_get_monotonic_time () + 3 * IDLE_MS * 1000; g_get_monotonic_time () < end;)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (f->idles, ==, 0);
  must (f, "Release", g_variant_new ("(@as)", functions (FAKE_NET)));
  while (f->idles == 0)
    g_main_context_iteration (NULL, TRUE);
}

/* The bus starts it when it is asked for: this program as a helper over the double of the kernel. */
static void
test_activation (Fixture *f, gconstpointer data)
{
  g_autofree char *file =
      g_build_filename (f->bus.folder, "services", HELPER_NAME ".service", NULL);
  g_autofree char *text =
      g_strdup_printf ("[D-BUS Service]\nName=" HELPER_NAME "\nExec=%s --stand-in-helper %s\n",
                       f->program, f->k.root);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) answer = NULL, owned = NULL;
  g_autoptr (GError) error = NULL;
  gboolean there = TRUE;

  g_clear_pointer (&f->service, helper_service_free);
  g_assert_true (g_file_set_contents (file, text, -1, NULL));
  for (guint i = 0; i < 2; i++)
    {
      g_clear_object (&result);
      g_clear_pointer (&answer, g_variant_unref);
      g_dbus_connection_call (
          f->client, HELPER_NAME, HELPER_PATH, HELPER_NAME, i == 0 ? "Bind" : "Release",
          i == 0 ? bind_args (FAKE_NET, FALSE) : g_variant_new ("(@as)", functions (FAKE_NET)),
          NULL, G_DBUS_CALL_FLAGS_NONE, 20000, NULL, on_ready, &result);
      while (result == NULL)
        g_main_context_iteration (NULL, TRUE);
      answer = g_dbus_connection_call_finish (f->client, result, &error);
      g_assert_no_error (error);
      assert_driver (f, FAKE_NET, i == 0 ? "vfio-pci" : "e1000e");
    }
  assert_unchanged (f);
  /* It leaves the bus by itself. */
  while (there)
    {
      g_clear_pointer (&owned, g_variant_unref);
      owned = g_dbus_connection_call_sync (f->client, "org.freedesktop.DBus",
                                           "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                           "NameHasOwner", g_variant_new ("(s)", HELPER_NAME), NULL,
                                           G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);
      g_assert_no_error (error);
      g_variant_get (owned, "(b)", &there);
    }
}

/* Each action that the service asks for is in the policy, which is well-formed XML. */
static void
test_policy (void)
{
  static const char *const actions[] = { "bind", "release", "grant", "memlock" };
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GMarkupParseContext) context = NULL;
  static const GMarkupParser parser = { 0 };

  g_assert_true (g_file_get_contents (ALCOVE_POLICY, &text, NULL, &error));
  context = g_markup_parse_context_new (&parser, 0, NULL, NULL);
  g_assert_true (g_markup_parse_context_parse (context, text, -1, &error));
  g_assert_true (g_markup_parse_context_end_parse (context, &error));
  g_assert_no_error (error);
  for (gsize i = 0; i < G_N_ELEMENTS (actions); i++)
    {
      g_autofree char *id =
          g_strdup_printf ("<action id=\"io.github.alcove-vm.helper.%s\">", actions[i]);

      g_assert_nonnull (strstr (text, id));
    }
}

static void
quit (gpointer user_data)
{
  g_main_loop_quit (user_data);
}

/* This program as the helper that the bus starts. */
static int
run_helper (const char *root)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GDBusConnection) bus = NULL;
  g_autoptr (HelperService) service = NULL;
  HelperConfig config = { .root = root,
                          .ops = &fake_kernel_ops,
                          .vmm_path = "/nonexistent",
                          .idle_ms = 100,
                          .idle = quit,
                          .user_data = loop };

  bus = g_dbus_connection_new_for_address_sync (g_getenv ("DBUS_STARTER_ADDRESS"),
                                                G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                    G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                                NULL, NULL, NULL);
  config.bus = bus;
  service = helper_service_new (&config, NULL);
  g_bus_own_name_on_connection (bus, HELPER_NAME, G_BUS_NAME_OWNER_FLAGS_NONE, NULL, NULL, NULL,
                                NULL);
  g_main_loop_run (loop);
  return 0;
}

/* This program as a machine: it says that it is there and waits for the end of its input. */
static int
run_machine (void)
{
  char byte = '.';

  if (write (STDOUT_FILENO, &byte, 1) != 1)
    return 1;
  return read (STDIN_FILENO, &byte, 1) == 0 ? 0 : 1;
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*run) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/helper/round", test_round },
    { "/helper/denied", test_denied },
    { "/helper/no-polkit", test_no_polkit },
    { "/helper/hostile", test_hostile },
    { "/helper/wrong-types", test_wrong_types },
    { "/helper/others", test_others },
    { "/helper/links", test_links },
    { "/helper/memlock", test_memlock },
    { "/helper/gone", test_gone },
    { "/helper/gone-without", test_gone_without },
    { "/helper/gone-before", test_gone_before },
    { "/helper/gone-known", test_gone_known },
    { "/helper/restart", test_restart },
    { "/helper/too-many", test_too_many },
    { "/helper/idle", test_idle },
    { "/helper/activation", test_activation },
  };
  g_autofree char *daemon = g_find_program_in_path ("dbus-daemon");
  int status;

  if (argc == 2 && strcmp (argv[1], "--stand-in") == 0)
    return run_machine ();
  if (argc == 3 && strcmp (argv[1], "--stand-in-helper") == 0)
    return run_helper (argv[2]);
  g_test_init (&argc, &argv, NULL);
  journal = g_ptr_array_new_with_free_func (g_free);
  g_log_set_writer_func (write_log, NULL, NULL);
  g_test_add_func ("/helper/policy", test_policy);
  for (gsize i = 0; daemon != NULL && i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
  status = g_test_run ();
  g_ptr_array_unref (journal);
  return status;
}
