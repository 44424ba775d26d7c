/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The smallest machine: RAM, a console at port 0x3f8, an exit port at 0xf4, one vCPU. Runs a flat
 * 32-bit image, entered at 0x10000 with NUMBER in EBX. usage: bare-runner IMAGE [NUMBER]
 * Exit status: what the guest wrote to 0xf4; 255 when it could not run. */
#include <stdio.h>

#include "vmm/vm.h"

#define RAM_SIZE   (16u << 20)
#define IMAGE_BASE 0x10000u

typedef struct
{
  GBytes *image;
  guint64 number;
  GMutex lock;
  GCond ended;
  gboolean done;
  int status;
} Runner;

static VmmIoResult
port_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return VMM_IO_UNKNOWN;
}

static VmmIoResult
console_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  if (offset == 0)
    putchar ((int)value);
  return VMM_IO_OK;
}

static VmmIoResult
exit_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  vmm_machine_request (opaque, VMM_REQUEST_DEBUG_EXIT, value, NULL);
  return VMM_IO_OK;
}

static const VmmRegionOps console_ops = {
  .name = "console", .min_size = 1, .max_size = 1, .read = port_read, .write = console_write
};
static const VmmRegionOps exit_ops = {
  .name = "exit", .min_size = 1, .max_size = 4, .read = port_read, .write = exit_write
};

static gboolean
boot (VmmMachine *machine, VmmEntry *ret_entry, gpointer user_data, GError **error)
{
  Runner *runner = user_data;
  gsize size;
  const void *data = g_bytes_get_data (runner->image, &size);

  *ret_entry = (VmmEntry){ .kind = VMM_ENTRY_PVH, .rip = IMAGE_BASE, .info = runner->number };
  if (vmm_guest_memory_write (vmm_machine_get_memory (machine), vmm_gpa (IMAGE_BASE), data, size))
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The image does not fit into memory");
  return FALSE;
}

static void
on_state (VmmVm *vm, const VmmStateChange *change, gpointer user_data)
{
  Runner *runner = user_data;

  if (change->state != VMM_STATE_STOPPED && change->state != VMM_STATE_FAILED)
    return;
  g_mutex_lock (&runner->lock);
  runner->status = change->reason == VMM_REASON_DEBUG_EXIT ? (int)(change->value & 0xff) : 255;
  runner->done = TRUE;
  g_cond_signal (&runner->ended);
  g_mutex_unlock (&runner->lock);
  if (change->detail != NULL)
    fprintf (stderr, "%s\n", change->detail);
}

static gboolean
run (Runner *runner, VmmKvm *kvm, GError **error)
{
  const VmmVmConfig config = { .n_vcpus = 1 };
  VmmVm *vm = vmm_vm_new (kvm, &config, error);
  VmmRamBlock *ram = vm == NULL ? NULL : vmm_ram_block_new ("ram", RAM_SIZE, VMM_RAM_NONE, error);
  VmmMachine *machine = vm == NULL ? NULL : vmm_vm_get_machine (vm);
  VmmRegion console, leave;
  gboolean ok;

  if (machine == NULL || ram == NULL)
    {
      vmm_vm_free (vm);
      return FALSE;
    }
  vmm_region_init (&console, &console_ops, NULL, NULL, 8);
  vmm_region_init (&leave, &exit_ops, machine, NULL, 4);
  vmm_vm_set_boot (vm, boot, runner);
  vmm_vm_set_state_func (vm, on_state, runner);
  ok = vmm_guest_memory_map (vmm_machine_get_memory (machine), ram, 0, vmm_gpa (0), RAM_SIZE,
                             VMM_MAP_NONE, error) != NULL &&
       vmm_bus_map (vmm_machine_get_pio (machine), 0x3f8, &console, error) &&
       vmm_bus_map (vmm_machine_get_pio (machine), 0xf4, &leave, error) &&
       vmm_vm_create_vcpus (vm, error) && vmm_vm_start (vm, FALSE, error);
  g_mutex_lock (&runner->lock);
  while (ok && !runner->done)
    g_cond_wait (&runner->ended, &runner->lock);
  g_mutex_unlock (&runner->lock);
  vmm_vm_free (vm);
  vmm_ram_block_unref (ram);
  return ok;
}

int
main (int argc, char **argv)
{
  Runner runner = { .status = 255 };
  GError *error = NULL;
  char *data = NULL;
  gsize size = 0;
  VmmKvm *kvm = NULL;
  gboolean ok = argc >= 2 && g_file_get_contents (argv[1], &data, &size, &error) &&
                (kvm = vmm_kvm_open (NULL, &error)) != NULL;

  g_mutex_init (&runner.lock);
  g_cond_init (&runner.ended);
  if (ok)
    {
      runner.image = g_bytes_new_take (data, size);
      runner.number = argc > 2 ? g_ascii_strtoull (argv[2], NULL, 0) : 0;
      ok = run (&runner, kvm, &error);
      g_bytes_unref (runner.image);
    }
  if (!ok)
    fprintf (stderr, "%s\n", error != NULL ? error->message : "usage: bare-runner IMAGE [NUMBER]");
  g_clear_error (&error);
  vmm_kvm_close (kvm);
  return runner.status;
}
