/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saving and loading a whole machine without its RAM: the kernel's interrupt controllers and clock,
 * the vCPUs, then the devices. And the clock over a pause, and the statistics. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "vmm/vm-private.h"

#define SECTION_ID      "vm"
#define SECTION_CLASS   "kvm-vm"
#define SECTION_VERSION 1

/* How far the time stamp counters of two hosts may differ before guests notice: 250 ppm, what NTP
 * corrects. */
#define TSC_TOLERANCE_PPM 250

void
vmm_vm_save_clock (VmmVm *vm)
{
  memset (&vm->kvmclock, 0, sizeof vm->kvmclock);
  vm->kvmclock_valid = vmm_kvm_ioctl (vm->fd, KVM_GET_CLOCK, &vm->kvmclock) >= 0;
}

/* Guest time goes on where it stopped; each vCPU is told, so that the guest's watchdogs do not take
 * the pause for a hang (api.rst, KVM_KVMCLOCK_CTRL; EINVAL when the guest has no such clock). */
void
vmm_vm_restore_clock (VmmVm *vm)
{
  struct kvm_clock_data clock = { .clock = vm->kvmclock.clock };

  if (!vm->kvmclock_valid)
    return;
  (void)vmm_kvm_ioctl (vm->fd, KVM_SET_CLOCK, &clock);
  for (guint i = 0; vm->kvm->kvmclock_ctrl && i < vm->n_vcpus; i++)
    (void)vmm_kvm_ioctl (vm->vcpus[i].fd, KVM_KVMCLOCK_CTRL, NULL);
}

static guint64
get_tsc_khz (VmmVm *vm)
{
  int r = vmm_kvm_ioctl (vm->vcpus[0].fd, KVM_GET_TSC_KHZ, NULL);

  return (guint64)MAX (r, 0);
}

static gboolean
check_paused (VmmVm *vm, const char *act, GError **error)
{
  if (vm->n_vcpus > 0 && g_atomic_int_get (&vm->state) == VMM_STATE_PAUSED)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "The machine must be paused to %s its state", act);
  return FALSE;
}

static gboolean
save_locked (VmmVm *vm, VmmStateWriter *writer, GError **error)
{
  VmmIrqchipState chips;
  int r;

  if (!check_paused (vm, "save", error))
    return FALSE;
  r = vmm_vm_get_irqchip (vm, &chips);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot save the interrupt controllers");
  vmm_state_writer_begin (writer, SECTION_ID, SECTION_CLASS, SECTION_VERSION);
  vmm_state_put_uint (writer, "n_vcpus", vm->n_vcpus);
  vmm_state_put_uint (writer, "tsc_khz", get_tsc_khz (vm));
  vmm_state_put_uint (writer, "kvmclock", vm->kvmclock_valid ? vm->kvmclock.clock : 0);
  vmm_state_put_uint (writer, "guest_ns", (guint64)vmm_clock_get_ns (vm->clock));
  for (guint i = 0; i < G_N_ELEMENTS (chips.chips); i++)
    vmm_state_put_bytes (writer, "irqchip", &chips.chips[i].chip, sizeof chips.chips[i].chip);
  vmm_state_put_bytes (writer, "pit", &chips.pit, sizeof chips.pit);
  vmm_state_writer_end (writer);
  for (guint i = 0; i < vm->n_vcpus; i++)
    if (!vmm_vcpu_save (&vm->vcpus[i], writer, error))
      return FALSE;
  return vmm_machine_save_devices (vm->machine, writer, error);
}

gboolean
vmm_vm_save (VmmVm *vm, VmmStateWriter *writer, GError **error)
{
  gboolean ok;

  g_mutex_lock (&vm->control);
  ok = save_locked (vm, writer, error);
  g_mutex_unlock (&vm->control);
  return ok;
}

static gboolean
load_tsc (VmmVm *vm, guint64 saved_khz, GError **error)
{
  guint64 khz = get_tsc_khz (vm);
  guint64 difference = khz > saved_khz ? khz - saved_khz : saved_khz - khz;

  if (saved_khz == 0 || khz == 0 || difference * 1000000 <= khz * TSC_TOLERANCE_PPM)
    return TRUE;
  for (guint i = 0; i < vm->n_vcpus; i++)
    if (vmm_kvm_ioctl (vm->vcpus[i].fd, KVM_SET_TSC_KHZ, (gpointer)(guintptr)saved_khz) < 0)
      {
        g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                     "The machine was saved where the time stamp counter runs at %" G_GUINT64_FORMAT
                     " kHz; this computer has %" G_GUINT64_FORMAT
                     " kHz and cannot scale it. Shut the machine down there and start it here.",
                     saved_khz, khz);
        return FALSE;
      }
  return TRUE;
}

static gboolean
load_vm_section (VmmVm *vm, VmmStateReader *reader, GError **error)
{
  const char *id, *class_name;
  VmmIrqchipState chips = vm->initial_irqchip;
  guint64 n_vcpus, tsc_khz, kvmclock, guest_ns;
  guint32 version;
  int r;

  if (!vmm_state_reader_next (reader, &id, &class_name, &version, error))
    {
      if (error != NULL && *error == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The saved state is empty");
      return FALSE;
    }
  if (!g_str_equal (id, SECTION_ID) || !g_str_equal (class_name, SECTION_CLASS) ||
      version != SECTION_VERSION)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state begins with “%s” (%s, version %u), not with a machine", id,
                   class_name, version);
      return FALSE;
    }
  if (!vmm_state_get_uint (reader, "n_vcpus", 4096, &n_vcpus, error) ||
      !vmm_state_get_uint (reader, "tsc_khz", G_MAXUINT32, &tsc_khz, error) ||
      !vmm_state_get_uint (reader, "kvmclock", G_MAXINT64, &kvmclock, error) ||
      !vmm_state_get_uint (reader, "guest_ns", G_MAXINT64 / 2, &guest_ns, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (chips.chips); i++)
    if (!vmm_state_get_bytes (reader, "irqchip", &chips.chips[i].chip, sizeof chips.chips[i].chip,
                              error))
      return FALSE;
  if (!vmm_state_get_bytes (reader, "pit", &chips.pit, sizeof chips.pit, error) ||
      !vmm_state_reader_end (reader, error))
    return FALSE;
  if (n_vcpus != vm->n_vcpus)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state is of a machine with %" G_GUINT64_FORMAT
                   " vCPUs, this one has %u",
                   n_vcpus, vm->n_vcpus);
      return FALSE;
    }
  if (!load_tsc (vm, tsc_khz, error))
    return FALSE;
  r = vmm_vm_set_irqchip (vm, &chips);
  if (r < 0)
    return vmm_error_set_errno (error, r, "KVM refuses the saved interrupt controllers");
  vm->kvmclock = (struct kvm_clock_data){ .clock = kvmclock };
  vm->kvmclock_valid = kvmclock != 0;
  vmm_clock_set_ns (vm->clock, (gint64)guest_ns);
  return TRUE;
}

static gboolean
load_locked (VmmVm *vm, VmmStateReader *reader, GError **error)
{
  if (!check_paused (vm, "load", error) || !load_vm_section (vm, reader, error))
    return FALSE;
  for (guint i = 0; i < vm->n_vcpus; i++)
    if (!vmm_vcpu_load (&vm->vcpus[i], reader, error))
      return FALSE;
  return vmm_machine_load_devices (vm->machine, reader, error);
}

gboolean
vmm_vm_load (VmmVm *vm, VmmStateReader *reader, GError **error)
{
  GError *local = NULL;
  gboolean ok;

  g_mutex_lock (&vm->control);
  ok = load_locked (vm, reader, &local);
  g_mutex_unlock (&vm->control);
  if (!ok)
    g_propagate_error (error, local);
  return ok;
}

static guint64
peek (const guint64 *counter)
{
  return __atomic_load_n (counter, __ATOMIC_RELAXED);
}

/* When this process was started, CLOCK_BOOTTIME ns with the resolution of a clock tick; 0 when
 * unknown. (proc(5), /proc/pid/stat field 22) */
static gint64
get_process_start (void)
{
  g_autofree char *text = NULL;
  const char *at;
  long hz = sysconf (_SC_CLK_TCK);

  if (hz <= 0 || !g_file_get_contents ("/proc/self/stat", &text, NULL, NULL))
    return 0;
  at = strrchr (text, ')'); /* field 2 may hold anything */
  for (guint field = 2; at != NULL && field < 22; field++)
    at = strchr (at + 1, ' ');
  return at != NULL ? (gint64)g_ascii_strtoull (at + 1, NULL, 10) * (VMM_NSEC_PER_SEC / hz) : 0;
}

void
vmm_vm_note_first_run (VmmVm *vm)
{
  struct timespec ts;
  gint64 never = 0;

  clock_gettime (CLOCK_BOOTTIME, &ts);
  (void)__atomic_compare_exchange_n (&vm->first_run_ns, &never,
                                     (gint64)ts.tv_sec * VMM_NSEC_PER_SEC + ts.tv_nsec, FALSE,
                                     __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void
vmm_vm_get_stats (VmmVm *vm, VmmVmStats *ret_stats)
{
  VmmVmStats stats = { 0 };
  gint64 start, first = __atomic_load_n (&vm->first_run_ns, __ATOMIC_RELAXED);

  for (guint i = 0; i < vm->n_vcpus; i++)
    {
      VmmVcpu *vcpu = &vm->vcpus[i];

      stats.exits += peek (&vcpu->stats.exits);
      stats.io += peek (&vcpu->stats.io);
      stats.mmio += peek (&vcpu->stats.mmio);
      stats.hlt += peek (&vcpu->stats.hlt);
      stats.shutdown += peek (&vcpu->stats.shutdown);
      stats.msr += peek (&vcpu->stats.msr);
      stats.immediate += peek (&vcpu->stats.immediate);
      stats.intr += peek (&vcpu->stats.intr);
      stats.other += peek (&vcpu->stats.other);
      stats.unknown_msrs += peek (&vcpu->stats.unknown_msrs);
    }
  stats.resets = peek (&vm->n_resets);
  stats.triple_faults = peek (&vm->n_triple_faults);
  stats.unknown_pio = vmm_bus_get_n_unclaimed (vmm_machine_get_pio (vm->machine));
  stats.unknown_mmio = vmm_bus_get_n_unclaimed (vmm_machine_get_mmio (vm->machine));
  start = first != 0 ? get_process_start () : 0;
  if (start != 0 && first > start)
    stats.start_to_first_instruction_ns = first - start;
  *ret_stats = stats;
}
