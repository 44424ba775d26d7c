/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A vCPU: its KVM object, its thread, and the loop that runs the guest and serves its exits. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/vm-private.h"
#include "vmm/worker-private.h"

/* Delivered to vCPU threads only, and only to interrupt KVM_RUN; its handler does nothing. */
#define KICK_SIGNAL (SIGRTMIN + 7)

gboolean
vmm_vcpu_init (VmmVcpu *vcpu, VmmVm *vm, guint index, GError **error)
{
  g_autofree struct kvm_cpuid2 *cpuid = NULL;
  const char *what = "state";
  int r;

  vcpu->vm = vm;
  vcpu->index = index;
  vcpu->apic_id = vmm_cpuid_apic_id (&vm->cpuid_policy, index);
  vcpu->run = MAP_FAILED;
  vcpu->fd = ioctl (vm->fd, KVM_CREATE_VCPU, (unsigned long)vcpu->apic_id);
  if (vcpu->fd < 0)
    return vmm_error_set_errno (error, -errno, "KVM cannot make vCPU %u", index);
  vcpu->run = mmap (NULL, vm->kvm->vcpu_mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
  if (vcpu->run == MAP_FAILED)
    return vmm_error_set_errno (error, -errno, "Cannot map the run area of vCPU %u", index);

  cpuid = g_malloc0 (sizeof *cpuid + VMM_CPUID_MAX_ENTRIES * sizeof cpuid->entries[0]);
  cpuid->nent = vmm_cpuid_build (vm->kvm->cpuid->entries, vm->kvm->cpuid->nent, &vm->cpuid_policy,
                                 vcpu->apic_id, cpuid->entries);
  r = vmm_kvm_ioctl (vcpu->fd, KVM_SET_CPUID2, cpuid);
  if (r < 0)
    return vmm_error_set_errno (error, r, "KVM refuses the CPUID of vCPU %u", index);

  vmm_vcpu_state_init (&vcpu->initial, vm);
  r = vmm_vcpu_get_state (vcpu, &vcpu->initial, &what);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot read the %s of vCPU %u", what, index);
  return TRUE;
}

void
vmm_vcpu_finish (VmmVcpu *vcpu)
{
  vmm_vcpu_state_clear (&vcpu->initial);
  vmm_vcpu_state_clear (&vcpu->held);
  if (vcpu->run != MAP_FAILED && vcpu->run != NULL)
    munmap (vcpu->run, vcpu->vm->kvm->vcpu_mmap_size);
  if (vcpu->fd >= 0)
    close (vcpu->fd);
}

char *
vmm_vcpu_describe (VmmVcpu *vcpu)
{
  struct kvm_regs regs = { 0 };
  struct kvm_sregs sregs = { 0 };

  (void)vmm_kvm_ioctl (vcpu->fd, KVM_GET_REGS, &regs);
  (void)vmm_kvm_ioctl (vcpu->fd, KVM_GET_SREGS, &sregs);
  return g_strdup_printf (
      "vCPU %u cs=%04x base=%llx rip=%llx rsp=%llx rflags=%llx rax=%llx rbx=%llx "
      "rcx=%llx rdx=%llx cr0=%llx cr2=%llx cr3=%llx cr4=%llx efer=%llx",
      vcpu->index, sregs.cs.selector, sregs.cs.base, regs.rip, regs.rsp, regs.rflags, regs.rax,
      regs.rbx, regs.rcx, regs.rdx, sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4, sregs.efer);
}

/* Something no guest can be blamed for alone: the machine fails with the reason and the registers. */
static void
fail (VmmVcpu *vcpu, const char *reason)
{
  g_autofree char *where = vmm_vcpu_describe (vcpu);
  g_autofree char *detail = g_strdup_printf ("%s (%s)", reason, where);

  vmm_machine_request (vcpu->vm->machine, VMM_REQUEST_ERROR, 0, detail);
}

static inline guint64
get_le (const guint8 *data, guint size)
{
  guint16 u16;
  guint32 u32;
  guint64 u64;

  switch (size)
    {
    case 1:
      return *data;
    case 2:
      memcpy (&u16, data, sizeof u16);
      return GUINT16_FROM_LE (u16);
    case 4:
      memcpy (&u32, data, sizeof u32);
      return GUINT32_FROM_LE (u32);
    default:
      memcpy (&u64, data, sizeof u64);
      return GUINT64_FROM_LE (u64);
    }
}

static inline void
put_le (guint8 *data, guint size, guint64 value)
{
  value = GUINT64_TO_LE (value);
  memcpy (data, &value, size); /* the host is little endian, see meson.build */
}

/* One PIO exit may carry a whole REP INS or OUTS: count elements for the same port. */
static inline void
handle_io (VmmVcpu *vcpu, VmmBus *pio)
{
  struct kvm_run *run = vcpu->run;
  guint8 *data = (guint8 *)run + run->io.data_offset;
  guint size = run->io.size;

  for (guint32 i = run->io.count; i > 0; i--, data += size)
    if (run->io.direction == KVM_EXIT_IO_OUT)
      (void)vmm_bus_write (pio, run->io.port, size, get_le (data, size));
    else
      {
        guint64 value;

        (void)vmm_bus_read (pio, run->io.port, size, &value);
        put_le (data, size, value);
      }
}

/* An access that crosses a page comes in fragments of any length up to 8. */
static void
mmio_odd (VmmVcpu *vcpu, VmmBus *mmio)
{
  struct kvm_run *run = vcpu->run;
  guint length = MIN (run->mmio.len, 8);

  for (guint done = 0; done < length;)
    {
      guint left = length - done, size = left >= 4 ? 4 : left >= 2 ? 2 : 1;
      guint64 value;

      if (run->mmio.is_write)
        (void)vmm_bus_write (mmio, run->mmio.phys_addr + done, size,
                             get_le (run->mmio.data + done, size));
      else
        {
          (void)vmm_bus_read (mmio, run->mmio.phys_addr + done, size, &value);
          put_le (run->mmio.data + done, size, value);
        }
      done += size;
    }
}

static inline void
handle_mmio (VmmVcpu *vcpu, VmmBus *mmio)
{
  struct kvm_run *run = vcpu->run;
  guint size = run->mmio.len;
  guint64 value;

  if (G_UNLIKELY (size > 8 || (size & (size - 1)) != 0))
    mmio_odd (vcpu, mmio);
  else if (run->mmio.is_write)
    (void)vmm_bus_write (mmio, run->mmio.phys_addr, size, get_le (run->mmio.data, size));
  else
    {
      (void)vmm_bus_read (mmio, run->mmio.phys_addr, size, &value);
      put_le (run->mmio.data, size, value);
    }
}

static void
handle_internal_error (VmmVcpu *vcpu)
{
  struct kvm_run *run = vcpu->run;
  g_autoptr (GString) reason = g_string_new (NULL);

  switch (run->internal.suberror)
    {
    case KVM_INTERNAL_ERROR_EMULATION:
      g_string_append (reason, "The guest ran an instruction that KVM cannot emulate");
      /* data[0] counts the words that follow; flags, then length and bytes of the instruction. */
      if (run->internal.ndata >= 3 &&
          (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES) != 0)
        {
          guint n = MIN (run->emulation_failure.insn_size, 15);

          g_string_append (reason, ":");
          for (guint i = 0; i < n; i++)
            g_string_append_printf (reason, " %02x", run->emulation_failure.insn_bytes[i]);
        }
      break;
    case KVM_INTERNAL_ERROR_SIMUL_EX:
      g_string_append (reason, "KVM met two exceptions at once");
      break;
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
      g_string_append (reason, "KVM could not deliver an event to the guest");
      break;
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
      g_string_append (reason, "KVM left the guest for a reason that it does not know");
      break;
    default:
      g_string_append_printf (reason, "KVM reports internal error %u", run->internal.suberror);
      break;
    }
  fail (vcpu, reason->str);
}

static void
handle_system_event (VmmVcpu *vcpu)
{
  VmmMachine *machine = vcpu->vm->machine;

  switch (vcpu->run->system_event.type)
    {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
      vmm_machine_request (machine, VMM_REQUEST_POWEROFF, 0, NULL);
      break;
    case KVM_SYSTEM_EVENT_RESET:
      vmm_machine_request (machine, VMM_REQUEST_RESET, 0, NULL);
      break;
    case KVM_SYSTEM_EVENT_CRASH:
      vmm_machine_request (machine, VMM_REQUEST_PANIC, 1, NULL);
      break;
    default:
      break;
    }
}

static void
handle_rare_exit (VmmVcpu *vcpu)
{
  struct kvm_run *run = vcpu->run;
  g_autofree char *reason = NULL;

  switch (run->exit_reason)
    {
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      vcpu->stats.msr++;
      vmm_vcpu_handle_msr (vcpu);
      break;
    case KVM_EXIT_HLT: /* only without the in-kernel APIC; the next KVM_RUN waits */
      vcpu->stats.hlt++;
      break;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      vcpu->stats.intr++;
      break;
    case KVM_EXIT_SHUTDOWN:
      vcpu->stats.shutdown++;
      vmm_vm_triple_fault (vcpu->vm, vcpu);
      break;
    case KVM_EXIT_SYSTEM_EVENT:
      vcpu->stats.other++;
      handle_system_event (vcpu);
      break;
    case KVM_EXIT_INTERNAL_ERROR:
      vcpu->stats.other++;
      handle_internal_error (vcpu);
      break;
    case KVM_EXIT_FAIL_ENTRY:
      vcpu->stats.other++;
      reason = g_strdup_printf ("The processor refused to run the guest: hardware reason 0x%llx",
                                run->fail_entry.hardware_entry_failure_reason);
      fail (vcpu, reason);
      break;
    case KVM_EXIT_UNKNOWN:
      vcpu->stats.other++;
      reason = g_strdup_printf ("KVM left the guest for an unknown hardware reason 0x%llx",
                                run->hw.hardware_exit_reason);
      fail (vcpu, reason);
      break;
    case KVM_EXIT_DEBUG:
      vcpu->stats.other++;
      break;
    default:
      vcpu->stats.other++;
      reason = g_strdup_printf ("KVM left the guest for reason %u, which Alcove does not know",
                                run->exit_reason);
      fail (vcpu, reason);
      break;
    }
}

/* KVM_RUN failed. EINTR: kicked. EAGAIN: an AP that waited for its start-up IPI got something. */
static void
handle_run_error (VmmVcpu *vcpu, int err)
{
  g_autofree char *reason = NULL;

  switch (err)
    {
    case EINTR:
      if (vcpu->run->immediate_exit)
        vcpu->stats.immediate++;
      else
        vcpu->stats.intr++;
      return;
    case EAGAIN:
      vcpu->stats.intr++;
      return;
    case EFAULT:
      reason = g_strdup ("KVM could not reach the guest's memory on the host: the host may be out "
                         "of memory or of huge pages");
      break;
    case ENOMEM:
      reason = g_strdup ("The host ran out of memory while the guest was running");
      break;
    default:
      reason = g_strdup_printf ("KVM_RUN failed: %s", g_strerror (err));
      break;
    }
  vcpu->stats.other++;
  fail (vcpu, reason);
}

/* Waits while the machine is held. FALSE when the thread shall end. */
static gboolean
wait_for_go (VmmVcpu *vcpu)
{
  VmmVm *vm = vcpu->vm;
  gboolean go;

  g_mutex_lock (&vm->run);
  if (vm->hold != VMM_HOLD_NONE)
    {
      vcpu->parked = TRUE;
      g_cond_broadcast (&vm->parked_cond);
      while (vm->hold != VMM_HOLD_NONE && (vm->hold & VMM_HOLD_STOP) == 0)
        g_cond_wait (&vm->hold_cond, &vm->run);
    }
  go = (vm->hold & VMM_HOLD_STOP) == 0;
  if (go)
    {
      vcpu->parked = FALSE;
      /* Cleared with the lock held: a kick from now on sets it again. */
      __atomic_store_n (&vcpu->run->immediate_exit, 0, __ATOMIC_RELAXED);
    }
  g_mutex_unlock (&vm->run);
  return go;
}

static void *
vcpu_main (void *argument)
{
  VmmVcpu *vcpu = argument;
  VmmBus *pio = vmm_machine_get_pio (vcpu->vm->machine);
  VmmBus *mmio = vmm_machine_get_mmio (vcpu->vm->machine);
  char name[16];
  sigset_t kick;

  g_snprintf (name, sizeof name, "vcpu-%u", vcpu->index);
  pthread_setname_np (pthread_self (), name);
  sigemptyset (&kick);
  sigaddset (&kick, KICK_SIGNAL);
  pthread_sigmask (SIG_UNBLOCK, &kick, NULL);

  if (!wait_for_go (vcpu))
    return NULL;
  if (vcpu->index == 0)
    vmm_vm_note_first_run (vcpu->vm);
  for (;;)
    {
      if (G_UNLIKELY (ioctl (vcpu->fd, KVM_RUN, NULL) < 0))
        {
          handle_run_error (vcpu, errno);
          /* Only here: an exit must be completed by another KVM_RUN before the vCPU may park, and
           * that one returns EINTR at once when it is kicked. */
          if (!wait_for_go (vcpu))
            return NULL;
          continue;
        }
      vcpu->stats.exits++;
      switch (vcpu->run->exit_reason)
        {
        case KVM_EXIT_IO:
          vcpu->stats.io++;
          handle_io (vcpu, pio);
          break;
        case KVM_EXIT_MMIO:
          vcpu->stats.mmio++;
          handle_mmio (vcpu, mmio);
          break;
        default:
          handle_rare_exit (vcpu);
          break;
        }
    }
}

static void
on_kick (int signal)
{
}

int
vmm_vcpu_start (VmmVcpu *vcpu)
{
  struct sigaction action = { .sa_handler = on_kick };
  int r;

  /* The disposition belongs to the process; setting it again is harmless. */
  if (sigaction (KICK_SIGNAL, &action, NULL) < 0)
    return -errno;
  g_mutex_lock (&vcpu->vm->run);
  r = vmm_thread_create (&vcpu->thread, vcpu_main, vcpu);
  vcpu->started = r == 0;
  g_mutex_unlock (&vcpu->vm->run);
  return r;
}

void
vmm_vcpu_kick_locked (VmmVcpu *vcpu)
{
  __atomic_store_n (&vcpu->run->immediate_exit, 1, __ATOMIC_RELEASE);
  if (vcpu->started && !vcpu->parked)
    pthread_kill (vcpu->thread, KICK_SIGNAL);
}
