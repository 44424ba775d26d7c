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

static guint64
get_tsc_khz (VmmVm *vm)
{
  int r = vmm_kvm_ioctl (vm->vcpus[0].fd, KVM_GET_TSC_KHZ, NULL);

  return (guint64)MAX (r, 0);
}

/* The guest's counter is the host's, scaled, plus an offset that this attribute holds. */
static int
access_tsc_offset (VmmVcpu *vcpu, gboolean set, guint64 *offset)
{
  struct kvm_device_attr attr = {
    .group = KVM_VCPU_TSC_CTRL,
    .attr = KVM_VCPU_TSC_OFFSET,
    .addr = (guintptr)offset,
  };

  return vmm_kvm_ioctl (vcpu->fd, set ? KVM_SET_DEVICE_ATTR : KVM_GET_DEVICE_ATTR, &attr);
}

/* From now on the guest's time stamp counters stand (they are set back at the end of the pause). All
 * vCPUs get the same correction, so they stay as far from each other as they are. Where KVM has no
 * such attribute (before Linux 5.16) the counters run on. */
static void
pause_tsc (VmmVm *vm)
{
  vm->tsc_paused = vm->n_vcpus > 0;
  for (guint i = 0; vm->tsc_paused && i < vm->n_vcpus; i++)
    vm->tsc_paused = access_tsc_offset (&vm->vcpus[i], FALSE, &vm->vcpus[i].tsc_offset) >= 0;
  if (vm->host_tsc_khz == 0 && vm->n_vcpus > 0)
    vm->host_tsc_khz = get_tsc_khz (vm); /* nothing was loaded yet */
  vm->paused_tsc = __builtin_ia32_rdtsc ();
}

/* How far the guest's counters have come since the pause began. */
static guint64
paused_ticks (VmmVm *vm)
{
  guint64 ticks = __builtin_ia32_rdtsc () - vm->paused_tsc;
  guint64 guest_khz = get_tsc_khz (vm), host_khz = vm->host_tsc_khz;

  if (guest_khz == 0 || host_khz == 0 || guest_khz == host_khz)
    return ticks;
  return (guint64)((unsigned __int128)ticks * guest_khz / host_khz);
}

static void
resume_tsc (VmmVm *vm)
{
  guint64 ticks;

  if (!vm->tsc_paused)
    return;
  vm->tsc_paused = FALSE;
  ticks = paused_ticks (vm);
  for (guint i = 0; i < vm->n_vcpus; i++)
    {
      guint64 offset = vm->vcpus[i].tsc_offset - ticks;

      (void)access_tsc_offset (&vm->vcpus[i], TRUE, &offset);
    }
}

void
vmm_vm_save_clock (VmmVm *vm)
{
  memset (&vm->kvmclock, 0, sizeof vm->kvmclock);
  vm->kvmclock_valid = vmm_kvm_ioctl (vm->fd, KVM_GET_CLOCK, &vm->kvmclock) >= 0;
  pause_tsc (vm);
}

/* Guest time goes on where it stopped; each vCPU is told, so that the guest's watchdogs do not take
 * the pause for a hang (api.rst, KVM_KVMCLOCK_CTRL; EINVAL when the guest has no such clock). The
 * time of day is the RTC's to tell, which follows the host's. */
void
vmm_vm_restore_clock (VmmVm *vm)
{
  struct kvm_clock_data clock = { .clock = vm->kvmclock.clock };

  resume_tsc (vm);
  if (!vm->kvmclock_valid)
    return;
  (void)vmm_kvm_ioctl (vm->fd, KVM_SET_CLOCK, &clock);
  for (guint i = 0; vm->kvm->kvmclock_ctrl && i < vm->n_vcpus; i++)
    (void)vmm_kvm_ioctl (vm->vcpus[i].fd, KVM_KVMCLOCK_CTRL, NULL);
}

void
vmm_vm_drop_held (VmmVm *vm)
{
  vm->held_irqchip_valid = FALSE;
  for (guint i = 0; i < vm->n_vcpus; i++)
    vm->vcpus[i].held_valid = FALSE;
}

guint64
vmm_vm_get_paused_ticks (VmmVm *vm)
{
  return vm->tsc_paused ? paused_ticks (vm) : 0;
}

/* What the guest's processors can do. A saved machine may go on where all of it is there. */

static const struct
{
  guint32 function, index;
  guint reg; /* 0 eax, 1 ebx, 2 ecx, 3 edx */
} features[] = {
  { 0x1, 0, 2 },        { 0x1, 0, 3 },        { 0x7, 0, 1 },        { 0x7, 0, 2 },
  { 0x7, 0, 3 },        { 0x7, 1, 0 },        { 0xd, 0, 0 },        { 0xd, 1, 0 },
  { 0x80000001, 0, 2 }, { 0x80000001, 0, 3 }, { 0x80000008, 0, 1 }, { 0x40000001, 0, 0 },
};
#define N_FEATURES G_N_ELEMENTS (features)

typedef struct
{
  guint32 vendor[3];
  guint32 brand[12];
  guint32 features[N_FEATURES];
} Processor;

static const struct kvm_cpuid_entry2 *
find_leaf (const struct kvm_cpuid_entry2 *entries, guint n, guint32 function, guint32 index)
{
  for (guint i = 0; i < n; i++)
    if (entries[i].function == function &&
        ((entries[i].flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0 || entries[i].index == index))
      return &entries[i];
  return NULL;
}

static void
get_processor (VmmVm *vm, Processor *ret)
{
  g_autofree struct kvm_cpuid_entry2 *entries =
      g_new0 (struct kvm_cpuid_entry2, VMM_CPUID_MAX_ENTRIES);
  guint n = vmm_cpuid_build (vm->kvm->cpuid->entries, vm->kvm->cpuid->nent, &vm->cpuid_policy,
                             vm->vcpus[0].apic_id, entries);
  const struct kvm_cpuid_entry2 *leaf = find_leaf (entries, n, 0, 0);

  memset (ret, 0, sizeof *ret);
  if (leaf != NULL)
    memcpy (ret->vendor, (guint32[]){ leaf->ebx, leaf->edx, leaf->ecx }, sizeof ret->vendor);
  for (guint i = 0; i < 3; i++)
    if ((leaf = find_leaf (entries, n, 0x80000002 + i, 0)) != NULL)
      memcpy (&ret->brand[i * 4], (guint32[]){ leaf->eax, leaf->ebx, leaf->ecx, leaf->edx }, 16);
  for (guint i = 0; i < N_FEATURES; i++)
    if ((leaf = find_leaf (entries, n, features[i].function, features[i].index)) != NULL)
      ret->features[i] = (guint32[]){ leaf->eax, leaf->ebx, leaf->ecx, leaf->edx }[features[i].reg];
}

static void
save_processor (VmmVm *vm, VmmStateWriter *writer)
{
  Processor own;

  get_processor (vm, &own);
  vmm_state_writer_begin (writer, "processor", "x86-processor", 1);
  vmm_state_put_bytes (writer, "vendor", own.vendor, sizeof own.vendor);
  vmm_state_put_bytes (writer, "brand", own.brand, sizeof own.brand);
  vmm_state_put_bytes (writer, "features", own.features, sizeof own.features);
  vmm_state_writer_end (writer);
}

/* (transfer full): "AMD EPYC 7B13", fit to be shown. */
static char *
dup_brand (const guint32 brand[12])
{
  char text[49] = { 0 };

  memcpy (text, brand, 48);
  for (char *at = text; *at != '\0'; at++)
    if (!g_ascii_isprint (*at))
      *at = '?';
  return g_strdup (*g_strstrip (text) != '\0' ? g_strstrip (text) : "an unnamed processor");
}

static gboolean
load_processor (VmmVm *vm, VmmStateReader *reader, GError **error)
{
  const char *id = "", *class_name = "";
  g_autofree char *was = NULL;
  g_autofree char *is = NULL;
  Processor saved, own;
  guint32 version = 0;
  GError *local = NULL;

  if (!vmm_state_reader_next (reader, &id, &class_name, &version, &local) && local != NULL)
    {
      g_propagate_error (error, local);
      return FALSE;
    }
  if (!g_str_equal (class_name, "x86-processor") || version != 1)
    {
      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_INVALID,
                           "The saved state does not begin with a processor");
      return FALSE;
    }
  if (!vmm_state_get_bytes (reader, "vendor", saved.vendor, sizeof saved.vendor, error) ||
      !vmm_state_get_bytes (reader, "brand", saved.brand, sizeof saved.brand, error) ||
      !vmm_state_get_bytes (reader, "features", saved.features, sizeof saved.features, error) ||
      !vmm_state_reader_end (reader, error))
    return FALSE;
  get_processor (vm, &own);
  was = dup_brand (saved.brand);
  is = dup_brand (own.brand);
  for (guint i = 0; i < N_FEATURES; i++)
    if (memcmp (saved.vendor, own.vendor, sizeof own.vendor) != 0 ||
        (saved.features[i] & ~own.features[i]) != 0)
      {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_INVALID,
            "The machine was saved on a computer whose processor (%s) can do what this "
            "one's (%s) cannot (CPUID 0x%x.%u: 0x%08x is missing 0x%08x). Restore it there, "
            "or discard the saved state; machines that move need cpu=x86-64-v2 or v3.",
            was, is, features[i].function, features[i].index, saved.features[i],
            saved.features[i] & ~own.features[i]);
        return FALSE;
      }
  return TRUE;
}

static gboolean
check_paused (VmmVm *vm, const char *act, GError **error)
{
  if (vm->n_vcpus > 0 && vm->quiesced)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "The machine must be paused to %s its state", act);
  return FALSE;
}

gboolean
vmm_vm_save_locked (VmmVm *vm, VmmStateWriter *writer, GError **error)
{
  VmmIrqchipState chips;
  int r = 0;

  if (!check_paused (vm, "save", error))
    return FALSE;
  if (!vm->held_irqchip_valid)
    r = vmm_vm_get_irqchip (vm, &vm->held_irqchip);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot save the interrupt controllers");
  vm->held_irqchip_valid = TRUE;
  chips = vm->held_irqchip;
  save_processor (vm, writer);
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
  ok = vmm_vm_save_locked (vm, writer, error);
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
  vm->held_irqchip = chips;
  vm->held_irqchip_valid = TRUE;
  vm->kvmclock = (struct kvm_clock_data){ .clock = kvmclock };
  vm->kvmclock_valid = kvmclock != 0;
  vmm_clock_set_ns (vm->clock, (gint64)guest_ns);
  return TRUE;
}

gboolean
vmm_vm_load_locked (VmmVm *vm, VmmStateReader *reader, GError **error)
{
  if (!check_paused (vm, "load", error))
    return FALSE;
  vmm_vm_drop_held (vm);
  if (!load_processor (vm, reader, error) || !load_vm_section (vm, reader, error))
    return FALSE;
  for (guint i = 0; i < vm->n_vcpus; i++)
    if (!vmm_vcpu_load (&vm->vcpus[i], reader, error))
      return FALSE;
  pause_tsc (vm);
  return vmm_machine_load_devices (vm->machine, reader, error);
}

gboolean
vmm_vm_load (VmmVm *vm, VmmStateReader *reader, GError **error)
{
  GError *local = NULL;
  gboolean ok;

  g_mutex_lock (&vm->control);
  ok = vmm_vm_load_locked (vm, reader, &local);
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
