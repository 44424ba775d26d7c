/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cards that the host is asked for while the machine runs. Real: the control connection with AddPci,
 * RemovePci and ListPci, the way of a card into the machine and out, the binding, the system bus (a
 * private one), alcove-helper's service, which that bus starts. DOUBLES: polkit, which answers when the
 * test says so (on a thread: the machine may wait for it), the kernel's driver core (fake-kernel.h), the
 * limit on locked memory, and the machine's slots and devices. */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../vfio/bind/fake-kernel.h"
#include "../helper/bus.h"
#include "app/control.h"
#include "app/definition-pci.h"
#include "app/helper/service.h"
#include "app/paths.h"
#include "app/runner/control-disks.h"
#include "app/runner/control.h"
#include "app/runner/passthrough-private.h"
#include "devices/board/root-port.h"

static const char conf[] = "[machine]\nuuid=12345678-1234-1234-1234-123456789abc\nname=x\n"
                           "memory=64M\n";
static const char *const card[] = { "[pci gpu]\nhost=" FAKE_GPU "\n",
                                    "[pci gpu.1]\nhost=" FAKE_SOUND "\n", NULL };

/* ---- the machine's neighbours ---- */

typedef struct
{
  RunnerMachine machine;
  FakeKernel k;
  char *before, *folder, *program;
  PrivateBus bus;
  GThread *thread; /* polkit's */
  GMainContext *context;
  GMainLoop *loop;
  FakePolkit polkit;
  AlcoveControlServer *server;
  AlcoveMachine1 *skeleton;
  GDBusConnection *client, *other;
  gboolean hold;
  guint n_announced, n_changes;
} Fixture;

static Fixture *world;

/* This program's own call stands before the C library's: an ordinary user's hard limit is low. */
__attribute__ ((visibility ("default"))) int
setrlimit (__rlimit_resource_t resource, const struct rlimit *limit)
{
  return 0;
}

gboolean
runner_hotplug_is_held (RunnerMachine *self)
{
  return world->hold;
}

void
runner_control_return_error (GDBusMethodInvocation *invocation, const GError *error)
{
  AlcoveErrorCode code =
      error->domain == ALCOVE_ERROR ? (AlcoveErrorCode)error->code : ALCOVE_ERROR_FAILED;

  g_dbus_method_invocation_return_dbus_error (invocation, alcove_error_code_to_dbus (code),
                                              error->message);
}

VmmRunState
vmm_vm_get_state (VmmVm *vm)
{
  return VMM_STATE_RUNNING;
}

PciBus *
q35_board_get_port_bus (Q35Board *board, guint n)
{
  return (PciBus *)world;
}

PciDevice *
q35_board_find_port (Q35Board *board, PciBus *bus)
{
  return (PciDevice *)world;
}

void
q35_board_remove_boot_device (Q35Board *board, VmmDevice *device)
{
}

PciDevice *
pci_bus_find (PciBus *bus, guint devfn)
{
  return NULL;
}

PciBus *
pci_device_get_bus (PciDevice *device)
{
  return (PciBus *)world;
}

void
pci_device_announce (PciDevice *device)
{
  world->n_announced++;
}

void
pcie_root_port_set_link (PciDevice *device, guint speed, guint width)
{
}

gboolean
pcie_root_port_is_heard (PciDevice *port)
{
  return TRUE;
}

gboolean
pcie_root_port_is_off (PciDevice *port)
{
  return TRUE;
}

gboolean
pcie_root_port_request_eject (PciDevice *port, void (*done) (gpointer), gpointer user_data)
{
  return FALSE;
}

void
pcie_root_port_cancel_eject (PciDevice *port)
{
}

static void
fake_reset (VmmDevice *device, VmmResetKind kind)
{
}

static const VmmDeviceOps fake_device_ops = {
  .name = "fake",
  .instance_size = sizeof (VmmDevice),
  .reset = fake_reset,
};

void
runner_pci_free (gpointer data)
{
  RunnerPci *pci = data;

  g_free (pci->host);
  g_free (pci->name);
  g_free (pci);
}

RunnerPci *
runner_passthrough_find (RunnerMachine *self, const char *name)
{
  for (guint i = 0; i < self->pcis->len; i++)
    if (strcmp (((RunnerPci *)g_ptr_array_index (self->pcis, i))->name, name) == 0)
      return g_ptr_array_index (self->pcis, i);
  return NULL;
}

/* A function is opened when the host has let go of it, and not before. */
RunnerPci *
runner_passthrough_make (RunnerMachine *self, const AlcovePciConfig *config, GError **error)
{
  g_autofree char *driver = fake_kernel_dup_driver (&world->k, config->host);
  RunnerPci *pci;

  g_assert_cmpstr (driver, ==, "vfio-pci");
  g_assert_true (runner_passthrough_get_card (self, config, error)); /* asks nobody any more */
  pci = g_new0 (RunnerPci, 1);
  pci->host = g_strdup (config->host);
  pci->name = g_strdup (config->base.name);
  pci->address = config->base.address;
  pci->device = vmm_device_new (&fake_device_ops, config->base.name);
  g_ptr_array_add (self->pcis, pci);
  return pci;
}

void
runner_passthrough_mark_changed (RunnerMachine *self)
{
  world->n_changes++;
}

void
runner_passthrough_watch (RunnerMachine *self,
                          void (*func) (gpointer user_data),
                          gpointer user_data)
{
}

/* None of the devices is graphics of a processor. */
void
runner_passthrough_miss_graphics (RunnerPci *pci)
{
}

void
runner_passthrough_forget_graphics (RunnerMachine *self, VmmDevice *device)
{
}

gboolean
runner_passthrough_check_space (RunnerMachine *self, GError **error)
{
  return TRUE;
}

GVariant *
runner_passthrough_list (RunnerMachine *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->pcis->len; i++)
    g_variant_builder_add (&builder, "a{sv}", NULL);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* ---- polkit, on its thread ---- */

static gpointer
run_polkit (gpointer data)
{
  Fixture *f = data;

  g_main_context_push_thread_default (f->context);
  fake_polkit_start (&f->polkit, &f->bus);
  g_main_loop_run (f->loop);
  fake_polkit_stop (&f->polkit);
  g_main_context_pop_thread_default (f->context);
  return NULL;
}

typedef struct
{
  Fixture *f;
  PolkitAnswer answer;
  guint n_waiting;
  GVariant *id;
  GAsyncQueue *done;
} Order;

static gboolean
follow (gpointer data)
{
  Order *order = data;
  FakePolkit *polkit = &order->f->polkit;

  order->n_waiting = polkit->waiting->len;
  polkit->answer = order->answer;
  if (order->answer != POLKIT_LATER)
    {
      fake_polkit_answer (polkit, order->answer == POLKIT_YES);
      /* The bus has it when it has answered this. */
      order->id = g_dbus_connection_call_sync (
          polkit->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
          "org.freedesktop.DBus", "GetId", NULL, NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
      g_clear_pointer (&order->id, g_variant_unref);
    }
  g_async_queue_push (order->done, order);
  return G_SOURCE_REMOVE;
}

/* From now on it answers so, also to whom waits. Returns: how many waited. */
static guint
tell_polkit (Fixture *f, PolkitAnswer answer)
{
  Order order = { .f = f, .answer = answer, .done = g_async_queue_new () };

  g_main_context_invoke (f->context, follow, &order);
  g_async_queue_pop (order.done);
  g_async_queue_unref (order.done);
  return order.n_waiting;
}

/* ---- the connections ---- */

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **)user_data = g_object_ref (result);
}

static void
wait_for (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
}

static GDBusConnection *
connect_client (Fixture *f)
{
  g_autofree char *address = g_strdup_printf ("unix:path=%s/run/control", f->folder);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  GDBusConnection *client;

  g_dbus_connection_new_for_address (address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL,
                                     NULL, on_ready, &result);
  wait_for (&result);
  client = g_dbus_connection_new_for_address_finish (result, &error);
  g_assert_no_error (error);
  return client;
}

static void
begin (GDBusConnection *client, const char *method, GVariant *parameters, GAsyncResult **result)
{
  g_dbus_connection_call (client, NULL, ALCOVE_CONTROL_PATH, "io.github.alcove_vm.Machine1", method,
                          parameters, NULL, G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, on_ready,
                          result);
}

static GVariant *
end (GDBusConnection *client, GAsyncResult **result, GError **error)
{
  GVariant *answer;

  wait_for (result);
  answer = g_dbus_connection_call_finish (client, *result, error);
  g_clear_object (result);
  return answer;
}

/* name: (nullable): of the D-Bus error; NULL: it is done. */
static void
expect (GDBusConnection *client, GAsyncResult **result, const char *name, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = end (client, result, &error);
  g_autofree char *remote = NULL, *text = NULL;

  if (name == NULL)
    {
      g_assert_no_error (error);
      text = g_variant_print (answer, FALSE);
      g_assert_nonnull (strstr (text, words));
      return;
    }
  g_assert_nonnull (error);
  remote = g_dbus_error_get_remote_error (error);
  if (remote == NULL || !g_str_has_suffix (remote, name) || strstr (error->message, words) == NULL)
    g_error ("“%s” is not %s with “%s”", error->message, name, words);
}

static GVariant *
remove_args (const char *name, const char *option)
{
  GVariantBuilder options;

  g_variant_builder_init (&options, G_VARIANT_TYPE_VARDICT);
  if (option != NULL)
    g_variant_builder_add (&options, "{sv}", option, g_variant_new_boolean (TRUE));
  return g_variant_new ("(sa{sv})", name, &options);
}

static void
call (GDBusConnection *client,
      const char *method,
      GVariant *parameters,
      const char *name,
      const char *words)
{
  GAsyncResult *result = NULL;

  begin (client, method, parameters, &result);
  expect (client, &result, name, words);
}

/* AddPci, until somebody is to type a password. */
static void
begin_add (Fixture *f, GAsyncResult **result)
{
  begin (f->client, "AddPci", g_variant_new ("(^as)", card), result);
  while (tell_polkit (f, POLKIT_LATER) == 0)
    {
      g_assert_null (*result);
      if (!g_main_context_iteration (NULL, FALSE))
        g_usleep (1000);
    }
}

/* ---- fixture ---- */

static void
write_activation (Fixture *f)
{
  g_autofree char *file =
      g_build_filename (f->bus.folder, "services", HELPER_NAME ".service", NULL);
  g_autofree char *text =
      g_strdup_printf ("[D-BUS Service]\nName=" HELPER_NAME "\nExec=%s --stand-in-helper %s\n",
                       f->program, f->k.root);

  g_assert_true (g_file_set_contents (file, text, -1, NULL));
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *path = NULL, *run = NULL, *probe = NULL;
  g_autoptr (GError) error = NULL;

  world = f;
  f->program = g_file_read_link ("/proc/self/exe", NULL);
  f->folder = g_dir_make_tmp ("alcove-adds-XXXXXX", NULL);
  path = g_build_filename (f->folder, "machine.conf", NULL);
  run = g_build_filename (f->folder, "run", NULL);
  g_assert_true (g_file_set_contents (path, conf, -1, NULL));
  f->machine.definition = alcove_definition_load (path, &error);
  g_assert_no_error (error);
  f->machine.pcis = g_ptr_array_new_with_free_func (runner_pci_free);
  f->machine.card_ejects = g_ptr_array_new ();
  f->machine.card_adds = g_ptr_array_new ();
  runner_passthrough_init_cards (&f->machine);
  fake_kernel_init (&f->k);
  /* This process may not write: the file is none, even for root. */
  probe = g_build_filename (f->k.root, "sys/bus/pci/drivers_probe", NULL);
  g_assert_cmpint (g_unlink (probe), ==, 0);
  g_assert_cmpint (g_mkdir (probe, 0700), ==, 0);
  f->before = fake_kernel_dup_state (&f->k);
  g_assert_true (private_bus_start (&f->bus));
  write_activation (f);
  g_setenv ("DBUS_SYSTEM_BUS_ADDRESS", f->bus.address, TRUE);
  g_setenv ("ALCOVE_HOST_ROOT", f->k.root, TRUE);
  f->context = g_main_context_new ();
  f->loop = g_main_loop_new (f->context, FALSE);
  f->thread = g_thread_new ("polkit", run_polkit, f);
  while (!g_main_loop_is_running (f->loop))
    g_usleep (1000);
  tell_polkit (f, POLKIT_LATER);
  f->skeleton = alcove_machine1_skeleton_new ();
  runner_control_passthrough_connect (f->skeleton, &f->machine);
  f->server = alcove_control_server_new (run, f->skeleton, &error);
  g_assert_no_error (error);
  f->client = connect_client (f);
  f->other = connect_client (f);
}

static gboolean
on_tick (gpointer user_data)
{
  return G_SOURCE_CONTINUE;
}

static void
close_connection (GDBusConnection **connection)
{
  if (*connection == NULL)
    return;
  g_dbus_connection_close_sync (*connection, NULL, NULL);
  g_clear_object (connection);
}

/* The helper has done what polkit's last answer was about: it works on one call after the other. */
static void
wait_worked (Fixture *f)
{
  GDBusConnection *client = private_bus_connect (&f->bus, geteuid ());
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list =
      g_dbus_connection_call_sync (client, HELPER_NAME, HELPER_PATH, HELPER_NAME, "ListBound", NULL,
                                   NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (list);
  close_connection (&client);
}

/* Until nothing is taken; the test's time limit ends a wait for nothing. */
static void
wait_unchanged (Fixture *f)
{
  guint tick = g_timeout_add (10, on_tick, NULL);

  for (;;)
    {
      g_autofree char *ledger = fake_kernel_dup_ledger (&f->k),
                      *now = fake_kernel_dup_state (&f->k);

      if (ledger[0] == 0 && strcmp (now, f->before) == 0)
        break;
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (tick);
}

static void
assert_not_in (Fixture *f)
{
  g_assert_null (alcove_definition_find_pci (f->machine.definition, "gpu"));
  g_assert_null (alcove_definition_find_pci (f->machine.definition, "gpu.1"));
  g_assert_cmpuint (f->machine.pcis->len, ==, 0);
  g_assert_cmpuint (f->machine.card_adds->len, ==, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  tell_polkit (f, POLKIT_YES);
  runner_passthrough_cancel_all (&f->machine);
  if (f->machine.pcis->len > 0)
    call (f->other, "RemovePci", remove_args ("gpu", "force"), NULL, "");
  wait_worked (f);
  wait_unchanged (f);
  assert_not_in (f);
  close_connection (&f->client);
  close_connection (&f->other);
  alcove_control_server_free (f->server);
  g_object_unref (f->skeleton);
  runner_passthrough_finish_cards (&f->machine);
  g_ptr_array_unref (f->machine.pcis);
  g_ptr_array_unref (f->machine.card_ejects);
  g_ptr_array_unref (f->machine.card_adds);
  g_object_unref (f->machine.definition);
  g_main_loop_quit (f->loop);
  g_thread_join (f->thread);
  g_main_loop_unref (f->loop);
  g_main_context_unref (f->context);
  private_bus_stop (&f->bus);
  fake_kernel_clear (&f->k);
  alcove_paths_remove_tree (f->folder);
  g_free (f->folder);
  g_free (f->before);
  g_free (f->program);
}

/* ---- tests ---- */

/* While somebody looks for the password everybody else is answered, the caller too. */
static void
test_waits (Fixture *f, gconstpointer data)
{
  GAsyncResult *result = NULL;

  begin_add (f, &result);
  call (f->other, "ListPci", NULL, NULL, "([],)");
  call (f->client, "ListPci", NULL, NULL, "([],)");
  call (f->other, "AddPci", g_variant_new ("(^as)", card), "Error.Busy", "is being added already");
  call (f->other, "RemovePci", remove_args ("more", NULL), "Error.NotFound", "more");
  g_assert_null (result);
  g_assert_null (alcove_definition_find_pci (f->machine.definition, "gpu"));
  g_assert_cmpuint (tell_polkit (f, POLKIT_YES), ==, 1);
  expect (f->client, &result, NULL, "[pci gpu.1]");
  g_assert_cmpuint (f->machine.pcis->len, ==, 2);
  g_assert_cmpuint (f->n_announced, ==, 1);
  g_assert_cmpuint (f->n_changes, ==, 1);
  g_assert_cmpuint (f->machine.card_adds->len, ==, 0);
  call (f->other, "ListPci", NULL, NULL, "([{}, {}],)");
  /* It is in: there is no question to end any more, but there is a card to take out. */
  call (f->other, "RemovePci", remove_args ("gpu", "waiting"), "Error.NotFound", "gpu");
  g_assert_cmpuint (f->machine.pcis->len, ==, 2);
  call (f->other, "RemovePci", remove_args ("gpu", "force"), NULL, "()");
  wait_unchanged (f);
  assert_not_in (f);
}

static void
test_denied (Fixture *f, gconstpointer data)
{
  GAsyncResult *result = NULL;

  begin_add (f, &result);
  tell_polkit (f, POLKIT_NO);
  expect (f->client, &result, "Error.Failed", "[pci gpu]: ");
  assert_not_in (f);
  wait_unchanged (f);
  tell_polkit (f, POLKIT_DISMISSED);
  call (f->client, "AddPci", g_variant_new ("(^as)", card), "Error.Cancelled", "dismissed");
  assert_not_in (f);
  tell_polkit (f, POLKIT_YES);
  call (f->client, "AddPci", g_variant_new ("(^as)", card), NULL, "[pci gpu]");
  g_assert_cmpuint (f->machine.pcis->len, ==, 2);
}

/* What is wrong is said before anybody is asked. */
static void
test_refused (Fixture *f, gconstpointer data)
{
  static const char *const none[] = { NULL }, *const disk[] = { "[disk x]\nfile=/x\n", NULL };
  static const char *const absent[] = { "[pci gpu]\nhost=0000:0e:00.0\n", NULL };

  call (f->client, "AddPci", g_variant_new ("(^as)", none), "Error.InvalidArgument", "No device");
  call (f->client, "AddPci", g_variant_new ("(^as)", disk), "", "");
  call (f->client, "AddPci", g_variant_new ("(^as)", absent), "", "0000:0e:00.0");
  g_assert_cmpuint (tell_polkit (f, POLKIT_LATER), ==, 0);
  assert_not_in (f);
}

/* By any of its names; a late yes comes to nothing. */
static void
test_cancelled (Fixture *f, gconstpointer data)
{
  static const char *const options[] = { NULL, "waiting", "force" };

  for (gsize i = 0; i < G_N_ELEMENTS (options); i++)
    {
      GAsyncResult *result = NULL;

      begin_add (f, &result);
      call (f->other, "RemovePci", remove_args (i == 0 ? "gpu.1" : "gpu", options[i]), NULL, "()");
      expect (f->client, &result, "Error.Cancelled", "“gpu”");
      assert_not_in (f);
      tell_polkit (f, POLKIT_YES);
      wait_worked (f);
      wait_unchanged (f);
      tell_polkit (f, POLKIT_LATER);
    }
}

/* Who asked is gone, so nobody would write the card into the definition's file. */
static void
test_caller_left (Fixture *f, gconstpointer data)
{
  GAsyncResult *result = NULL;

  begin_add (f, &result);
  g_assert_cmpuint (f->machine.card_adds->len, ==, 1);
  close_connection (&f->client);
  wait_for (&result);
  g_clear_object (&result);
  while (f->machine.card_adds->len > 0)
    g_main_context_iteration (NULL, TRUE);
  assert_not_in (f);
}

static void
test_end (Fixture *f, gconstpointer data)
{
  GAsyncResult *result = NULL;

  begin_add (f, &result);
  runner_passthrough_cancel_all (&f->machine);
  assert_not_in (f);
  expect (f->client, &result, "Error.WrongState", "stopped");
  call (f->client, "AddPci", g_variant_new ("(^as)", card), "Error.WrongState", "stopping");
  tell_polkit (f, POLKIT_YES);
  wait_worked (f);
  wait_unchanged (f);
}

/* The machine is being saved when the host has answered: the card comes after that. */
static void
test_held (Fixture *f, gconstpointer data)
{
  GAsyncResult *result = NULL;
  guint tick;

  begin_add (f, &result);
  f->hold = TRUE;
  tell_polkit (f, POLKIT_YES);
  tick = g_timeout_add (10, on_tick, NULL);
  for (;;)
    {
      g_autofree char *node = fake_kernel_dup_node (&f->k, "13");
      g_autofree char *owner = g_strdup_printf ("%u 0 600", geteuid ());

      if (g_strcmp0 (node, owner) == 0)
        break;
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (tick);
  g_assert_cmpuint (f->machine.pcis->len, ==, 0);
  g_assert_null (result);
  f->hold = FALSE;
  expect (f->client, &result, NULL, "[pci gpu]");
  g_assert_cmpuint (f->machine.pcis->len, ==, 2);
}

/* Something else came while the password was looked for: its slot is another's, and its name too. */
static void
test_meanwhile (Fixture *f, gconstpointer data)
{
  GAsyncResult *result = NULL;
  g_autofree char *name = NULL, *same = NULL;
  g_autoptr (GError) error = NULL;
  AlcovePciAddress first;

  begin_add (f, &result);
  name = alcove_definition_add_pci (f->machine.definition, "[pci net]\nhost=" FAKE_NET "\n", TRUE,
                                    &error);
  g_assert_no_error (error);
  first = alcove_definition_find_pci (f->machine.definition, "net")->base.address;
  tell_polkit (f, POLKIT_YES);
  expect (f->client, &result, NULL, "[pci gpu]");
  g_assert_cmpuint (alcove_definition_find_pci (f->machine.definition, "gpu")->base.address.bus, !=,
                    first.bus);
  call (f->other, "RemovePci", remove_args ("gpu", "force"), NULL, "()");
  wait_unchanged (f);
  tell_polkit (f, POLKIT_LATER);
  begin_add (f, &result);
  same = alcove_definition_add_pci (f->machine.definition, "[pci gpu]\nhost=" FAKE_NVME "\n", TRUE,
                                    &error);
  g_assert_no_error (error);
  tell_polkit (f, POLKIT_YES);
  expect (f->client, &result, "Error.Exists", "gpu");
  wait_unchanged (f);
  g_assert_true (alcove_definition_remove_pci (f->machine.definition, "gpu", NULL));
}

/* What was got for one slot, and sits in two: the host has all of it again when both are empty. */
static void
test_two_slots (Fixture *f, gconstpointer data)
{
  GAsyncResult *result = NULL;
  g_autofree char *driver = NULL, *ledger = NULL;

  begin_add (f, &result);
  tell_polkit (f, POLKIT_YES);
  expect (f->client, &result, NULL, "[pci gpu]");
  runner_passthrough_find (&f->machine, "gpu.1")->address.bus = 7;
  call (f->other, "RemovePci", remove_args ("gpu", "force"), NULL, "()");
  g_assert_cmpuint (f->machine.pcis->len, ==, 1);
  driver = fake_kernel_dup_driver (&f->k, FAKE_GPU);
  ledger = fake_kernel_dup_ledger (&f->k);
  g_assert_cmpstr (driver, ==, "vfio-pci");
  g_assert_nonnull (strstr (ledger, FAKE_GPU));
  call (f->other, "RemovePci", remove_args ("gpu.1", "force"), NULL, "()");
  wait_unchanged (f);
  /* The definition could not be without its function 0 before. */
  (void)alcove_definition_remove_pci (f->machine.definition, "gpu.1", NULL);
  (void)alcove_definition_remove_pci (f->machine.definition, "gpu", NULL);
}

/* ---- this program as the helper that the bus starts ---- */

static void
quit (gpointer user_data)
{
  g_main_loop_quit (user_data);
}

static int
run_helper (const char *root)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GDBusConnection) bus = NULL;
  g_autoptr (HelperService) service = NULL;
  HelperConfig config = { .root = root,
                          .ops = &fake_kernel_ops,
                          .vmm_path = "/nonexistent",
                          .idle_ms = 30000,
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
  /* It ends with its bus. */
  g_signal_connect_swapped (bus, "closed", G_CALLBACK (g_main_loop_quit), loop);
  g_main_loop_run (loop);
  return 0;
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*run) (Fixture *f, gconstpointer data);
  } tests[] = {
    { "/passthrough-adds/waits", test_waits },
    { "/passthrough-adds/denied", test_denied },
    { "/passthrough-adds/refused", test_refused },
    { "/passthrough-adds/cancelled", test_cancelled },
    { "/passthrough-adds/caller-left", test_caller_left },
    { "/passthrough-adds/end", test_end },
    { "/passthrough-adds/held", test_held },
    { "/passthrough-adds/meanwhile", test_meanwhile },
    { "/passthrough-adds/two-slots", test_two_slots },
  };
  g_autofree char *daemon = g_find_program_in_path ("dbus-daemon");

  if (argc == 3 && strcmp (argv[1], "--stand-in-helper") == 0)
    return run_helper (argv[2]);
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; daemon != NULL && i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, set_up, tests[i].run, tear_down);
  return g_test_run ();
}
