/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The machine on real KVM with the payload guest. Skipped, with the reason, where there is none. */
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/vm.h"

#define RAM_SIZE   (16u << 20)
#define IMAGE_BASE 0x10000u
#define TIMEOUT_US (20 * G_USEC_PER_SEC)

enum
{
  T_HELLO,
  T_MMIO,
  T_SMP,
  T_SPIN,
  T_TRIPLE,
  T_MSI,
  T_DOORBELL,
  T_SLOT,
  T_REBOOT,
  T_MSR,
  T_STRINGS,
  T_APS,
};

static VmmKvm *kvm;
static GBytes *image;
static const char *image_path, *runner_path;

typedef struct
{
  VmmVm *vm;
  VmmMachine *machine;
  VmmGuestMemory *memory;
  VmmRamBlock *ram, *extra;
  VmmMapping *extra_map;
  VmmRegion console, leave, control, echo;
  GString *text;
  guint test;
  guint64 echoed;
  guint8 counter;
  VmmMsi *msi;
  gboolean msi_by_eventfd;

  GMutex lock;
  GCond cond;
  VmmRunState state;
  VmmReason reason;
  guint64 value;
  char *detail;
} Guest;

static VmmIoResult
console_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  g_string_append_c (((Guest *)opaque)->text, (char)value);
  return VMM_IO_OK;
}

static VmmIoResult
no_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return VMM_IO_UNKNOWN;
}

static VmmIoResult
leave_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  vmm_machine_request (((Guest *)opaque)->machine, VMM_REQUEST_DEBUG_EXIT, value, NULL);
  return VMM_IO_OK;
}

/* Ports 0xe0 to 0xe3: what they do depends on the test. */
static VmmIoResult
control_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Guest *g = opaque;
  const guint64 one = 1;

  if (offset == 0 && g->test == T_SLOT)
    g->extra_map = vmm_guest_memory_map (g->memory, g->extra, 0, vmm_gpa (0x40000000), 0x2000,
                                         VMM_MAP_NONE, NULL);
  else if (offset == 1)
    vmm_guest_memory_unmap (g->memory, g->extra_map);
  else if (offset == 2)
    vmm_machine_request (g->machine, VMM_REQUEST_RESET, 0, NULL);
  else if (offset == 0 && g->msi_by_eventfd)
    g_assert_cmpint (write (vmm_msi_get_eventfd (g->msi, NULL), &one, sizeof one), ==, sizeof one);
  else if (offset == 0)
    vmm_msi_raise (g->msi);
  return VMM_IO_OK;
}

static VmmIoResult
control_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = ++((Guest *)opaque)->counter;
  return VMM_IO_OK;
}

static VmmIoResult
echo_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  ((Guest *)opaque)->echoed = ~value;
  return VMM_IO_OK;
}

static VmmIoResult
echo_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = ((Guest *)opaque)->echoed;
  return VMM_IO_OK;
}

static const VmmRegionOps console_ops = {
  .name = "console", .min_size = 1, .max_size = 1, .read = no_read, .write = console_write
};
static const VmmRegionOps leave_ops = {
  .name = "leave", .min_size = 1, .max_size = 4, .read = no_read, .write = leave_write
};
static const VmmRegionOps control_ops = {
  .name = "control", .min_size = 1, .max_size = 1, .read = control_read, .write = control_write
};
static const VmmRegionOps echo_ops = {
  .name = "echo", .min_size = 1, .max_size = 4, .read = echo_read, .write = echo_write
};

static gboolean
boot (VmmMachine *machine, VmmEntry *ret_entry, gpointer user_data, GError **error)
{
  Guest *g = user_data;
  gsize size;
  const void *data = g_bytes_get_data (image, &size);

  *ret_entry = (VmmEntry){ .kind = VMM_ENTRY_PVH, .rip = IMAGE_BASE, .info = g->test };
  return vmm_guest_memory_write (g->memory, vmm_gpa (IMAGE_BASE), data, size);
}

static void
on_state (VmmVm *vm, const VmmStateChange *change, gpointer user_data)
{
  Guest *g = user_data;

  g_mutex_lock (&g->lock);
  g->state = change->state;
  g->reason = change->reason;
  g->value = change->value;
  g_free (g->detail);
  g->detail = g_strdup (change->detail);
  g_cond_broadcast (&g->cond);
  g_mutex_unlock (&g->lock);
}

static Guest *
guest_new (guint test, const VmmVmConfig *config)
{
  Guest *g = g_new0 (Guest, 1);
  VmmVmConfig one = { .n_vcpus = 1 };
  g_autoptr (GError) error = NULL;
  guint64 others;

  g->test = test;
  g->text = g_string_new (NULL);
  g_mutex_init (&g->lock);
  g_cond_init (&g->cond);
  g->vm = vmm_vm_new (kvm, config != NULL ? config : &one, &error);
  g_assert_no_error (error);
  g->machine = vmm_vm_get_machine (g->vm);
  g->memory = vmm_machine_get_memory (g->machine);
  g->ram = vmm_ram_block_new ("ram", RAM_SIZE, VMM_RAM_NONE, &error);
  g_assert_no_error (error);
  g_assert_nonnull (
      vmm_guest_memory_map (g->memory, g->ram, 0, vmm_gpa (0), RAM_SIZE, VMM_MAP_NONE, &error));
  vmm_region_init (&g->console, &console_ops, g, NULL, 8);
  vmm_region_init (&g->leave, &leave_ops, g, NULL, 4);
  vmm_region_init (&g->control, &control_ops, g, NULL, 4);
  vmm_region_init (&g->echo, &echo_ops, g, NULL, 0x1000);
  g_assert_true (vmm_bus_map (vmm_machine_get_pio (g->machine), 0x3f8, &g->console, NULL));
  g_assert_true (vmm_bus_map (vmm_machine_get_pio (g->machine), 0xf4, &g->leave, NULL));
  g_assert_true (vmm_bus_map (vmm_machine_get_pio (g->machine), 0xe0, &g->control, NULL));
  g_assert_true (vmm_bus_map (vmm_machine_get_mmio (g->machine), 0xd0000000, &g->echo, NULL));
  vmm_vm_set_boot (g->vm, boot, g);
  vmm_vm_set_state_func (g->vm, on_state, g);
  vmm_vm_create_vcpus (g->vm, &error);
  g_assert_no_error (error);
  others = vmm_vm_get_config (g->vm)->n_vcpus - 1;
  g_assert_true (vmm_guest_memory_write (g->memory, vmm_gpa (0x9008), &others, 4));
  return g;
}

static void
guest_free (Guest *g)
{
  vmm_msi_free (g->msi);
  vmm_vm_free (g->vm);
  vmm_ram_block_unref (g->ram);
  vmm_ram_block_unref (g->extra);
  g_string_free (g->text, TRUE);
  g_free (g->detail);
  g_cond_clear (&g->cond);
  g_mutex_clear (&g->lock);
  g_free (g);
}

static void
start (Guest *g, gboolean paused)
{
  g_autoptr (GError) error = NULL;

  vmm_vm_start (g->vm, paused, &error);
  g_assert_no_error (error);
}

static void
wait_end (Guest *g)
{
  gint64 deadline = g_get_monotonic_time () + TIMEOUT_US;

  g_mutex_lock (&g->lock);
  while (g->state != VMM_STATE_STOPPED && g->state != VMM_STATE_FAILED)
    if (!g_cond_wait_until (&g->cond, &g->lock, deadline))
      g_error ("the guest of test %u did not end", g->test);
  g_mutex_unlock (&g->lock);
}

static void
check_exit (Guest *g, guint value)
{
  wait_end (g);
  if (g->detail != NULL)
    g_test_message ("%s", g->detail);
  g_assert_cmpint (g->state, ==, VMM_STATE_STOPPED);
  g_assert_cmpint (g->reason, ==, VMM_REASON_DEBUG_EXIT);
  g_assert_cmphex (g->value, ==, value);
}

static guint32
read32 (Guest *g, guint64 gpa)
{
  guint32 value = 0;

  g_assert_true (vmm_guest_memory_read (g->memory, vmm_gpa (gpa), &value, sizeof value));
  return value;
}

/* Until the guest's counter has moved. */
static guint32
wait_count (Guest *g, guint32 from)
{
  gint64 deadline = g_get_monotonic_time () + TIMEOUT_US;
  guint32 now;

  while ((now = read32 (g, 0x9000)) == from)
    {
      g_assert_cmpint (g_get_monotonic_time (), <, deadline);
      g_usleep (1000);
    }
  return now;
}

static void
test_simple (gconstpointer data)
{
  guint test = GPOINTER_TO_UINT (data);
  Guest *g = guest_new (test, NULL);
  VmmVmStats stats;

  start (g, FALSE);
  check_exit (g, 0x10 + test);
  if (test == T_HELLO || test == T_STRINGS)
    g_assert_cmpstr (g->text->str, ==, "hello from the guest\n");
  vmm_vm_get_stats (g->vm, &stats);
  g_assert_cmpuint (stats.exits, >, 0);
  g_assert_cmpuint (stats.io, >, 0);
  if (test == T_MMIO)
    g_assert_cmpuint (stats.mmio, ==, 7);
  if (test == T_REBOOT)
    g_assert_cmpuint (stats.resets, ==, 2);
  g_assert_cmpint (stats.start_to_first_instruction_ns, >, 0);
  guest_free (g);
}

static void
test_smp (void)
{
  const VmmVmConfig configs[] = {
    { .n_vcpus = 2 },
    { .n_vcpus = 4, .sockets = 2, .cores = 1, .threads = 2 },
    { .n_vcpus = 3 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    {
      Guest *g = guest_new (T_SMP, &configs[i]);

      start (g, FALSE);
      check_exit (g, 0x20 + configs[i].n_vcpus - 1);
      guest_free (g);
    }
}

static void
test_pause (void)
{
  const VmmVmConfig config = { .n_vcpus = 2 };
  Guest *g = guest_new (T_APS, &config);
  g_autoptr (GError) error = NULL;
  guint32 before;
  gint64 ns;

  start (g, TRUE);
  g_assert_cmpint (vmm_vm_get_state (g->vm), ==, VMM_STATE_PAUSED);
  g_assert_cmpuint (read32 (g, 0x9000), ==, 0);
  for (guint i = 0; i < 20; i++)
    {
      before = read32 (g, 0x9000);
      g_assert_true (vmm_vm_resume (g->vm, &error));
      wait_count (g, before);
      g_assert_true (vmm_vm_pause (g->vm, &error));
      before = read32 (g, 0x9000);
      ns = vmm_clock_get_ns (vmm_machine_get_clock (g->machine));
      g_usleep (2000);
      g_assert_cmpuint (read32 (g, 0x9000), ==, before);
      g_assert_cmpint (vmm_clock_get_ns (vmm_machine_get_clock (g->machine)), ==, ns);
    }
  g_assert_cmpuint (read32 (g, 0x9004), ==, 1);
  g_assert_true (vmm_vm_reset (g->vm, &error));
  g_assert_cmpint (vmm_vm_get_state (g->vm), ==, VMM_STATE_PAUSED);
  g_assert_true (vmm_vm_resume (g->vm, &error));
  wait_count (g, read32 (g, 0x9000));
  for (guint i = 0; i < 10; i++)
    {
      g_assert_true (vmm_vm_reset (g->vm, &error));
      wait_count (g, read32 (g, 0x9000));
    }
  vmm_vm_stop (g->vm);
  g_assert_cmpuint (read32 (g, 0x9004), ==, 12);
  g_assert_false (vmm_vm_resume (g->vm, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_assert_cmpint (g->state, ==, VMM_STATE_STOPPED);
  guest_free (g);
}

static void
test_triple_fault (void)
{
  Guest *g = guest_new (T_TRIPLE, NULL);
  VmmVmStats stats;

  start (g, FALSE);
  wait_end (g);
  g_assert_cmpint (g->state, ==, VMM_STATE_FAILED);
  g_assert_cmpint (g->reason, ==, VMM_REASON_TRIPLE_FAULT);
  g_assert_nonnull (strstr (g->detail, "rip="));
  vmm_vm_get_stats (g->vm, &stats);
  g_assert_cmpuint (stats.triple_faults, ==, 6);
  g_assert_cmpuint (stats.resets, ==, 5);
  guest_free (g);

  g = guest_new (T_TRIPLE, NULL);
  vmm_vm_set_stop_on_triple_fault (g->vm, TRUE);
  start (g, FALSE);
  wait_end (g);
  g_assert_cmpint (g->state, ==, VMM_STATE_FAILED);
  vmm_vm_get_stats (g->vm, &stats);
  g_assert_cmpuint (stats.resets, ==, 0);
  guest_free (g);

  g = guest_new (T_REBOOT, NULL);
  vmm_vm_set_no_reboot (g->vm, TRUE);
  start (g, FALSE);
  wait_end (g);
  g_assert_cmpint (g->state, ==, VMM_STATE_STOPPED);
  g_assert_cmpint (g->reason, ==, VMM_REASON_GUEST_RESET);
  guest_free (g);
}

static void
test_msi (gconstpointer by_eventfd)
{
  Guest *g = guest_new (T_MSI, NULL);
  g_autoptr (GError) error = NULL;

  g->msi = vmm_msi_new (g->machine);
  vmm_msi_set_message (g->msi, 0xfee00000, 0x40);
  vmm_msi_set_enabled (g->msi, TRUE);
  g->msi_by_eventfd = by_eventfd != NULL;
  if (g->msi_by_eventfd)
    g_assert_cmpint (vmm_msi_get_eventfd (g->msi, &error), >=, 0);
  start (g, FALSE);
  check_exit (g, 0x15);
  guest_free (g);
}

static void
test_doorbell (void)
{
  Guest *g = guest_new (T_DOORBELL, NULL);
  int fds[2] = { eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK), eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK) };
  guint64 n;
  VmmVmStats stats;

  g_assert_true (vmm_machine_add_ioeventfd (g->machine, fds[0], TRUE, 0x500, 2, FALSE, 0));
  g_assert_true (vmm_machine_add_ioeventfd (g->machine, fds[1], FALSE, 0xd0002000, 4, TRUE, 7));
  start (g, FALSE);
  check_exit (g, 0x16);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmpint (read (fds[i], &n, sizeof n), ==, sizeof n);
      g_assert_cmpuint (n, ==, 10);
    }
  vmm_vm_get_stats (g->vm, &stats);
  g_assert_cmpuint (stats.io + stats.mmio, ==, 1);
  vmm_machine_remove_ioeventfd (g->machine, fds[0], TRUE, 0x500, 2, FALSE, 0);
  vmm_machine_remove_ioeventfd (g->machine, fds[1], FALSE, 0xd0002000, 4, TRUE, 7);
  guest_free (g);
  close (fds[0]);
  close (fds[1]);
}

static void
test_slot (void)
{
  Guest *g = guest_new (T_SLOT, NULL);
  guint8 *data;
  guint32 value = 0xcafe;

  g->extra = vmm_ram_block_new ("extra", 0x2000, VMM_RAM_DEVICE, NULL);
  data = vmm_ram_block_get_data (g->extra);
  memcpy (data, &value, sizeof value);
  start (g, FALSE);
  check_exit (g, 0x17);
  memcpy (&value, data + 4, sizeof value);
  g_assert_cmphex (value, ==, 0xbeef);
  guest_free (g);
}

static void
test_dirty (void)
{
  Guest *g = guest_new (T_SPIN, NULL);
  g_autoptr (GError) error = NULL;
  guint64 bitmap[RAM_SIZE / 4096 / 64];

  g_assert_true (vmm_guest_memory_start_dirty_log (g->memory, &error));
  start (g, FALSE);
  wait_count (g, 0);
  g_assert_true (vmm_vm_pause (g->vm, &error));
  g_assert_true (
      vmm_guest_memory_collect_dirty (g->memory, g->ram, bitmap, G_N_ELEMENTS (bitmap), &error));
  g_assert_cmphex (bitmap[0] >> 9 & 1, ==, 1);    /* the counter */
  g_assert_cmphex (bitmap[0] >> 0x10 & 1, ==, 1); /* the image, written by us */
  g_assert_cmphex (bitmap[60], ==, 0);
  g_assert_true (
      vmm_guest_memory_collect_dirty (g->memory, g->ram, bitmap, G_N_ELEMENTS (bitmap), &error));
  g_assert_cmphex (bitmap[0], ==, 0);
  vmm_guest_memory_stop_dirty_log (g->memory);
  guest_free (g);
}

static GBytes *
save (Guest *g)
{
  VmmStateWriter *writer = vmm_state_writer_new ();
  g_autoptr (GError) error = NULL;
  GBytes *bytes;

  vmm_vm_save (g->vm, writer, &error);
  g_assert_no_error (error);
  bytes = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  return bytes;
}

/* A running machine of two counting vCPUs goes on in another machine. */
static void
test_save_load (void)
{
  const VmmVmConfig config = { .n_vcpus = 2 };
  Guest *a = guest_new (T_APS, &config), *b = guest_new (T_HELLO, &config);
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) state = NULL;
  VmmStateReader *reader;
  guint32 count;

  start (a, FALSE);
  wait_count (a, 0);
  g_assert_true (vmm_vm_pause (a->vm, &error));
  state = save (a);
  start (b, TRUE);
  memcpy (vmm_ram_block_get_data (b->ram), vmm_ram_block_get_data (a->ram), RAM_SIZE);
  reader = vmm_state_reader_new (state, &error);
  g_assert_no_error (error);
  vmm_vm_load (b->vm, reader, &error);
  g_assert_no_error (error);
  vmm_state_reader_free (reader);
  count = read32 (b, 0x9000);
  g_assert_cmpuint (count, >, 0);
  g_assert_true (vmm_vm_resume (b->vm, &error));
  wait_count (b, count);
  g_assert_cmpuint (b->text->len, ==, 0);
  g_assert_cmpuint (read32 (a, 0x9000), ==, count);
  guest_free (a);
  guest_free (b);
}

static void
test_two (void)
{
  Guest *a = guest_new (T_SPIN, NULL), *b = guest_new (T_HELLO, NULL);

  start (a, FALSE);
  start (b, FALSE);
  check_exit (b, 0x10);
  wait_count (a, read32 (a, 0x9000));
  guest_free (b);
  wait_count (a, read32 (a, 0x9000));
  guest_free (a);
}

static void
test_msr (void)
{
  VmmVmConfig config = { .n_vcpus = 1, .unknown_msr = VMM_UNKNOWN_MSR_IGNORE };
  Guest *g = guest_new (T_MSR, &config);
  VmmVmStats stats;

  start (g, FALSE);
  check_exit (g, 0x19);
  vmm_vm_get_stats (g->vm, &stats);
  g_assert_cmpuint (stats.unknown_msrs, ==, 2);
  guest_free (g);

  /* refused: #GP without an interrupt table is a triple fault */
  config.unknown_msr = VMM_UNKNOWN_MSR_FAULT;
  g = guest_new (T_MSR, &config);
  vmm_vm_set_stop_on_triple_fault (g->vm, TRUE);
  start (g, FALSE);
  wait_end (g);
  g_assert_cmpint (g->reason, ==, VMM_REASON_TRIPLE_FAULT);
  guest_free (g);
}

static void
test_bad_config (void)
{
  const VmmVmConfig configs[] = {
    { .n_vcpus = 0 },
    { .n_vcpus = 1000000 },
    { .n_vcpus = 4, .sockets = 3, .cores = 1, .threads = 1 },
    { .n_vcpus = 1, .phys_bits = 60 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (configs); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (vmm_vm_new (kvm, &configs[i], &error));
      g_assert_nonnull (error);
    }
}

static void
test_runner (void)
{
  const char *argv[] = { runner_path, image_path, "0", NULL };
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &text, NULL, &status,
                &error);
  g_assert_no_error (error);
  g_assert_cmpstr (text, ==, "hello from the guest\n");
  g_assert_cmpint (WEXITSTATUS (status), ==, 0x10);
}

int
main (int argc, char **argv)
{
  GError *error = NULL;
  char *data;
  gsize size;

  if (argc < 3)
    return 2;
  kvm = vmm_kvm_open (NULL, &error);
  if (kvm == NULL)
    {
      printf ("1..0 # SKIP %s\n", error->message);
      return 77;
    }
  if (!g_file_get_contents (argv[1], &data, &size, &error))
    g_error ("%s", error->message);
  image = g_bytes_new_take (data, size);
  image_path = argv[1];
  runner_path = argv[2];
  argv[2] = argv[0];
  argc -= 2;
  argv += 2;
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bare/runner", test_runner);
  g_test_add_data_func ("/bare/pio", GUINT_TO_POINTER (T_HELLO), test_simple);
  g_test_add_data_func ("/bare/strings", GUINT_TO_POINTER (T_STRINGS), test_simple);
  g_test_add_data_func ("/bare/mmio", GUINT_TO_POINTER (T_MMIO), test_simple);
  g_test_add_data_func ("/bare/reboot", GUINT_TO_POINTER (T_REBOOT), test_simple);
  g_test_add_func ("/bare/smp", test_smp);
  g_test_add_func ("/bare/pause", test_pause);
  g_test_add_func ("/bare/triple-fault", test_triple_fault);
  g_test_add_data_func ("/bare/msi", NULL, test_msi);
  g_test_add_data_func ("/bare/irqfd", "", test_msi);
  g_test_add_func ("/bare/doorbell", test_doorbell);
  g_test_add_func ("/bare/slot", test_slot);
  g_test_add_func ("/bare/dirty", test_dirty);
  g_test_add_func ("/bare/save-load", test_save_load);
  g_test_add_func ("/bare/two-machines", test_two);
  g_test_add_func ("/bare/msr", test_msr);
  g_test_add_func ("/bare/bad-config", test_bad_config);
  return g_test_run ();
}
