/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The distribution's SeaBIOS on this machine's own KVM: it finds the board, its processors, tables
 * and keyboard, and gets as far as looking for something to boot. Also after a reset, and in two
 * machines of one process. */
#include "devices/backends/char/char.h"
#include "devices/board/q35.h"
#include "vmm/vm.h"

#include <string.h>
#include <unistd.h>

#define BIOS     "/usr/share/seabios/bios-256k.bin"
#define DEADLINE (150 * G_TIME_SPAN_SECOND)

/* Collects the debug console; whoever waits for a text is woken. */
typedef struct
{
  CharBackend parent;
  GMutex lock;
  GCond cond;
  GString *text;
} Log;

static gsize
log_write (CharBackend *backend, const guint8 *data, gsize length)
{
  Log *log = (Log *)backend;

  g_mutex_lock (&log->lock);
  if (log->text->len < (1 << 20))
    g_string_append_len (log->text, (const char *)data, (gssize)length);
  g_cond_broadcast (&log->cond);
  g_mutex_unlock (&log->lock);
  return length;
}

static const CharBackendOps log_ops = { .name = "log", .write = log_write };

/* The n-th occurrence (from 1) has to come before the deadline. */
static void
wait_for (Log *log, const char *text, guint n)
{
  gint64 end = g_get_monotonic_time () + DEADLINE;
  guint found = 0;

  g_mutex_lock (&log->lock);
  for (;;)
    {
      const char *at = log->text->str;

      for (found = 0; (at = strstr (at, text)) != NULL; at++)
        found++;
      if (found >= n || !g_cond_wait_until (&log->cond, &log->lock, end))
        break;
    }
  if (found < n)
    g_test_message ("the debug console says:\n%s", log->text->str);
  g_mutex_unlock (&log->lock);
  g_assert_cmpuint (found, >=, n);
}

typedef struct
{
  VmmKvm *kvm;
  VmmVm *vm;
  Q35Board *board;
  Log log;
} Machine;

static gboolean
can_run (void)
{
  g_autoptr (GError) error = NULL;
  VmmKvm *kvm;

  if (access (BIOS, R_OK) != 0)
    {
      g_test_skip ("SeaBIOS is not installed");
      return FALSE;
    }
  kvm = vmm_kvm_open (NULL, &error);
  if (kvm == NULL)
    {
      g_test_skip (error->message);
      return FALSE;
    }
  vmm_kvm_close (kvm);
  return TRUE;
}

static void
start (Machine *m, guint n_vcpus)
{
  g_autoptr (GError) error = NULL;
  VmmVmConfig vm_config = { .n_vcpus = n_vcpus };
  Q35Config config = {
    .ram_size = 128 << 20,
    .n_vcpus = n_vcpus,
    .firmware = Q35_FIRMWARE_BIOS,
    .firmware_code = BIOS,
    .hpet = TRUE,
    .i8042 = TRUE,
    .debug_console = TRUE,
    .debug_console_char = &m->log,
    .n_root_ports = 2,
  };

  memset (m, 0, sizeof *m);
  m->log.parent.ops = &log_ops;
  m->log.text = g_string_new (NULL);
  g_mutex_init (&m->log.lock);
  g_cond_init (&m->log.cond);
  m->kvm = vmm_kvm_open (NULL, &error);
  g_assert_no_error (error);
  m->vm = vmm_vm_new (m->kvm, &vm_config, &error);
  g_assert_no_error (error);
  config.phys_bits = vmm_vm_get_phys_bits (m->vm);
  m->board = q35_board_new (vmm_vm_get_machine (m->vm), &config, &error);
  g_assert_no_error (error);
  vmm_vm_create_vcpus (m->vm, &error);
  g_assert_no_error (error);
  vmm_vm_start (m->vm, FALSE, &error);
  g_assert_no_error (error);
}

static void
stop (Machine *m)
{
  vmm_vm_stop (m->vm);
  q35_board_free (m->board);
  vmm_vm_free (m->vm);
  vmm_kvm_close (m->kvm);
  g_mutex_clear (&m->log.lock);
  g_cond_clear (&m->log.cond);
  g_string_free (m->log.text, TRUE);
}

static void
test_boot (void)
{
  Machine m;

  if (!can_run ())
    return;
  start (&m, 2);
  wait_for (&m.log, "Running on QEMU (q35)", 1);
  wait_for (&m.log, "QEMU fw_cfg DMA interface supported", 1);
  wait_for (&m.log, "PCIe: using q35 mmconfig at 0xb0000000", 1);
  wait_for (&m.log, "Found 2 cpu(s) max supported 2 cpu(s)", 1);
  wait_for (&m.log, "Copying SMBIOS 3.0", 1);
  wait_for (&m.log, "PS2 keyboard initialized", 1);
  wait_for (&m.log, "enter handle_19", 1);
  stop (&m);
}

static void
test_reset (void)
{
  g_autoptr (GError) error = NULL;
  Machine m;

  if (!can_run ())
    return;
  start (&m, 1);
  for (guint i = 1; i <= 3; i++)
    {
      wait_for (&m.log, "enter handle_19", i);
      vmm_vm_reset (m.vm, &error);
      g_assert_no_error (error);
    }
  wait_for (&m.log, "enter handle_19", 4);
  stop (&m);
}

static void
test_two_machines (void)
{
  Machine a, b;

  if (!can_run ())
    return;
  start (&a, 1);
  start (&b, 1);
  wait_for (&a.log, "enter handle_19", 1);
  wait_for (&b.log, "enter handle_19", 1);
  stop (&a);
  g_assert_cmpint (vmm_vm_get_state (b.vm), ==, VMM_STATE_RUNNING);
  stop (&b);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bare/seabios/boot", test_boot);
  g_test_add_func ("/bare/seabios/reset", test_reset);
  g_test_add_func ("/bare/seabios/two-machines", test_two_machines);
  return g_test_run ();
}
