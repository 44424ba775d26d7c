/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The life of a virtual machine. What the guest asks for (reset, power-off, a triple fault) is noted
 * on the vCPU's thread, which only holds all vCPUs; the control worker then does it. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vmm/vm-private.h"

/* More triple faults than this in the window are a guest that cannot start. */
#define MAX_FAULTS      5
#define FAULT_WINDOW_US (10 * G_USEC_PER_SEC)

G_STATIC_ASSERT (MAX_FAULTS + 1 <= G_N_ELEMENTS (((VmmVm *)0)->fault_times));

static void handle_request (gpointer user_data);

const char *
vmm_reason_to_string (VmmReason reason)
{
  static const char *const names[] = {
    [VMM_REASON_NONE] = "none",
    [VMM_REASON_USER] = "user",
    [VMM_REASON_GUEST_SHUTDOWN] = "guest-shutdown",
    [VMM_REASON_GUEST_RESET] = "guest-reset",
    [VMM_REASON_GUEST_PANIC] = "guest-panic",
    [VMM_REASON_TRIPLE_FAULT] = "triple-fault",
    [VMM_REASON_DEBUG_EXIT] = "debug-exit",
    [VMM_REASON_INTERNAL_ERROR] = "internal-error",
    [VMM_REASON_NO_SPACE] = "no-space",
    [VMM_REASON_DEVICE_ERROR] = "device-error",
    [VMM_REASON_IO_ERROR] = "io-error",
  };

  return (guint)reason < G_N_ELEMENTS (names) ? names[reason] : "none";
}

static gboolean
set_config (VmmVm *vm, const VmmVmConfig *config, GError **error)
{
  VmmVmConfig *own = &vm->config;
  guint max = vm->kvm->caps.n_vcpus_max;

  *own = *config;
  if (own->n_vcpus == 0 || own->n_vcpus > max)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The machine asks for %u vCPUs; between 1 and %u are possible here",
                   own->n_vcpus, max);
      return FALSE;
    }
  own->sockets = MAX (own->sockets, 1);
  own->threads = MAX (own->threads, 1);
  if (own->cores == 0)
    own->cores = MAX (own->n_vcpus / own->sockets / own->threads, 1);
  if ((guint64)own->sockets * own->cores * own->threads != own->n_vcpus || own->threads > 256)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%u sockets of %u cores of %u threads are not %u vCPUs: correct the topology",
                   own->sockets, own->cores, own->threads, own->n_vcpus);
      return FALSE;
    }
  vm->cpuid_policy = (VmmCpuidPolicy){
    .level = own->cpu_level,
    .sockets = own->sockets,
    .cores = own->cores,
    .threads = own->threads,
    .nested = own->nested,
    .hide_hypervisor = own->hide_hypervisor,
    .invariant_tsc = own->invariant_tsc,
    .tsc_deadline = vm->kvm->tsc_deadline,
    .phys_bits = own->phys_bits,
  };
  if (vmm_cpuid_apic_id (&vm->cpuid_policy, own->n_vcpus - 1) >= vm->kvm->max_vcpu_id)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The CPU topology needs processor numbers above %u, more than KVM has",
                   vm->kvm->max_vcpu_id - 1);
      return FALSE;
    }
  return vmm_cpuid_check (vm->kvm->cpuid->entries, vm->kvm->cpuid->nent, &vm->cpuid_policy, error);
}

static gboolean
create_vm (VmmVm *vm, GError **error)
{
  int err;

  /* EINTR: a signal came while the kernel set up the processors for virtualization. */
  do
    vm->fd = ioctl (vm->kvm->fd, KVM_CREATE_VM, 0UL);
  while (vm->fd < 0 && errno == EINTR);
  if (vm->fd >= 0)
    return TRUE;
  err = errno;
  if (err == EBUSY)
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_BUSY,
        "The processor's virtualization is held by another hypervisor. Close VirtualBox or "
        "VMware machines and try again.");
  else
    vmm_error_set_errno (error, -err, "KVM cannot make a machine");
  return FALSE;
}

static void on_request (
    VmmMachine *machine, VmmRequest request, guint64 value, const char *detail, gpointer user_data);

VmmVm *
vmm_vm_new (VmmKvm *kvm, const VmmVmConfig *config, GError **error)
{
  VmmVm *vm = g_new0 (VmmVm, 1);

  vm->accel.ops = &vmm_kvm_accel_ops;
  vm->kvm = kvm;
  vm->fd = -1;
  vm->hold = VMM_HOLD_CONTROL;
  g_mutex_init (&vm->irq_lock);
  vm->vfio_fd = -1;
  g_mutex_init (&vm->control);
  g_mutex_init (&vm->run);
  g_cond_init (&vm->parked_cond);
  g_cond_init (&vm->hold_cond);
  g_cond_init (&vm->thawed);
  if (!set_config (vm, config, error) || !create_vm (vm, error) ||
      !vmm_vm_init_irqchip (vm, error) || !vmm_vm_init_msrs (vm, error))
    {
      vmm_vm_free (vm);
      return NULL;
    }
  vm->control_worker = vmm_worker_new ("control", VMM_WORKER_NO_URING, error);
  if (vm->control_worker == NULL)
    {
      vmm_vm_free (vm);
      return NULL;
    }
  vm->clock = vmm_clock_new ();
  vmm_clock_pause (vm->clock);
  vm->machine = vmm_machine_new (&vm->accel, vm->clock, error);
  if (vm->machine == NULL)
    {
      vmm_vm_free (vm);
      return NULL;
    }
  vmm_machine_set_request_func (vm->machine, on_request, vm);
  return vm;
}

void
vmm_vm_free (VmmVm *vm)
{
  if (vm == NULL)
    return;
  if (vm->machine != NULL)
    vmm_vm_stop (vm);
  /* Runs what the guest asked for last; it finds the machine stopped. */
  vmm_worker_free (vm->control_worker);
  vmm_machine_free (vm->machine);
  for (guint i = 0; i < vm->n_vcpus; i++)
    vmm_vcpu_finish (&vm->vcpus[i]);
  if (vm->fd >= 0)
    close (vm->fd);
  g_free (vm->vcpus);
  g_free (vm->msr_list);
  if (vm->vfio_fd >= 0)
    close (vm->vfio_fd);
  g_free (vm->routing);
  g_free (vm->gsi_used);
  g_free (vm->detail);
  g_free (vm->request_detail);
  g_free (vm->pause_detail);
  g_cond_clear (&vm->parked_cond);
  g_cond_clear (&vm->hold_cond);
  g_cond_clear (&vm->thawed);
  g_mutex_clear (&vm->run);
  g_mutex_clear (&vm->control);
  g_mutex_clear (&vm->irq_lock);
  g_free (vm);
}

VmmMachine *
vmm_vm_get_machine (VmmVm *vm)
{
  return vm->machine;
}

const VmmVmConfig *
vmm_vm_get_config (VmmVm *vm)
{
  return &vm->config;
}

guint
vmm_vm_get_phys_bits (VmmVm *vm)
{
  return vm->config.phys_bits != 0 ? vm->config.phys_bits : vm->kvm->caps.phys_bits;
}

guint
vmm_vm_get_apic_id (VmmVm *vm, guint index)
{
  return vmm_cpuid_apic_id (&vm->cpuid_policy, index);
}

void
vmm_vm_set_boot (VmmVm *vm, VmmBootFunc func, gpointer user_data)
{
  vm->boot_func = func;
  vm->boot_data = user_data;
}

void
vmm_vm_set_state_func (VmmVm *vm, VmmStateFunc func, gpointer user_data)
{
  vm->state_func = func;
  vm->state_data = user_data;
}

void
vmm_vm_set_no_reboot (VmmVm *vm, gboolean no_reboot)
{
  vm->no_reboot = no_reboot;
}

void
vmm_vm_set_stop_on_triple_fault (VmmVm *vm, gboolean stop)
{
  vm->stop_on_triple_fault = stop;
}

VmmRunState
vmm_vm_get_state (VmmVm *vm)
{
  return (VmmRunState)g_atomic_int_get (&vm->state);
}

VmmReason
vmm_vm_get_reason (VmmVm *vm)
{
  return (VmmReason)g_atomic_int_get (&vm->reason);
}

gboolean
vmm_vm_create_vcpus (VmmVm *vm, GError **error)
{
  if (vm->vcpus != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "The machine already has its vCPUs");
      return FALSE;
    }
  vm->vcpus = g_new0 (VmmVcpu, vm->config.n_vcpus);
  for (guint i = 0; i < vm->config.n_vcpus; i++)
    {
      vm->vcpus[i].fd = -1;
      vm->n_vcpus = i + 1;
      if (!vmm_vcpu_init (&vm->vcpus[i], vm, i, error))
        return FALSE;
    }
  return TRUE;
}

/* Holding and releasing vCPUs */

/* Signals all, then waits for all: a pause costs as much as the slowest vCPU, not their sum. */
static void
hold_vcpus (VmmVm *vm, VmmHold flag)
{
  g_mutex_lock (&vm->run);
  vm->hold |= flag;
  for (guint i = 0; i < vm->n_vcpus; i++)
    if (vm->vcpus[i].run != NULL)
      vmm_vcpu_kick_locked (&vm->vcpus[i]);
  for (guint i = 0; i < vm->n_vcpus; i++)
    while (vm->vcpus[i].started && !vm->vcpus[i].parked)
      g_cond_wait (&vm->parked_cond, &vm->run);
  g_mutex_unlock (&vm->run);
}

static void
release_vcpus (VmmVm *vm, VmmHold flag)
{
  g_mutex_lock (&vm->run);
  vm->hold &= ~flag;
  if (vm->hold == VMM_HOLD_NONE)
    g_cond_broadcast (&vm->hold_cond);
  g_mutex_unlock (&vm->run);
}

static void
end_threads (VmmVm *vm)
{
  hold_vcpus (vm, VMM_HOLD_CONTROL);
  g_mutex_lock (&vm->run);
  vm->hold |= VMM_HOLD_STOP;
  g_cond_broadcast (&vm->hold_cond);
  g_mutex_unlock (&vm->run);
  for (guint i = 0; i < vm->n_vcpus; i++)
    if (vm->vcpus[i].started)
      {
        pthread_join (vm->vcpus[i].thread, NULL);
        vm->vcpus[i].started = FALSE;
      }
}

/* Lifecycle; control is held in all that follows. */

static void
tell (VmmVm *vm, VmmRunState state, VmmReason reason, guint64 value, const char *detail)
{
  VmmStateChange change = { state, reason, value, detail };

  g_atomic_int_set (&vm->reason, (gint)reason);
  g_atomic_int_set (&vm->state, (gint)state);
  if (vm->state_func != NULL)
    vm->state_func (vm, &change, vm->state_data);
}

/* vCPUs first, then time, then the devices: after that nothing changes any more. */
static void
halt (VmmVm *vm)
{
  hold_vcpus (vm, VMM_HOLD_CONTROL);
  if (vm->quiesced)
    return;
  vmm_clock_pause (vm->clock);
  vmm_vm_save_clock (vm);
  vmm_machine_quiesce_devices (vm->machine);
  vm->quiesced = TRUE;
}

static void
go (VmmVm *vm)
{
  if (vm->quiesced)
    {
      vmm_machine_resume_devices (vm->machine);
      vm->quiesced = FALSE;
      vmm_vm_restore_clock (vm);
    }
  vmm_vm_drop_held (vm);
  vmm_clock_resume (vm->clock);
  release_vcpus (vm, VMM_HOLD_CONTROL);
}

/* Everything to its reset state, and the direct boot's images into memory again (boot). vCPUs are
 * held. */
static gboolean
reset_all (VmmVm *vm, VmmResetKind kind, gboolean boot, GError **error)
{
  VmmEntry entry = { .kind = VMM_ENTRY_RESET_VECTOR };
  int r;

  vmm_vm_drop_held (vm);
  vmm_machine_reset_devices (vm->machine, kind);
  r = vmm_vm_set_irqchip (vm, &vm->initial_irqchip);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot reset the interrupt controllers");
  if (boot && vm->boot_func != NULL && !vm->boot_func (vm->machine, &entry, vm->boot_data, error))
    return FALSE;
  for (guint i = 0; i < vm->n_vcpus; i++)
    if (!vmm_vcpu_reset (&vm->vcpus[i], &entry, error))
      return FALSE;
  return TRUE;
}

/* The last state: threads end, devices stay quiet and can be looked at. */
static void
finish (VmmVm *vm, VmmRunState state, VmmReason reason, guint64 value, const char *detail)
{
  g_autofree char *copy = g_strdup (detail);

  halt (vm);
  end_threads (vm);
  tell (vm, state, reason, value, copy);
  g_free (vm->detail);
  vm->detail = g_steal_pointer (&copy);
}

static void
fail_with (VmmVm *vm, const GError *error)
{
  finish (vm, VMM_STATE_FAILED, VMM_REASON_INTERNAL_ERROR, 0, error->message);
}

static gboolean
set_state_error (VmmVm *vm, const char *act, GError **error)
{
  static const char *const names[] = {
    [VMM_STATE_CREATED] = "has not been started",
    [VMM_STATE_RUNNING] = "is running",
    [VMM_STATE_PAUSED] = "is paused",
    [VMM_STATE_STOPPED] = "is stopped",
    [VMM_STATE_FAILED] = "has failed",
  };

  g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY, "Cannot %s the machine: it %s", act,
               names[vmm_vm_get_state (vm)]);
  return FALSE;
}

/* Devices reset, threads there and parked. */
static gboolean
prepare_locked (VmmVm *vm, gboolean boot, GError **error)
{
  if (vmm_vm_get_state (vm) != VMM_STATE_CREATED || vm->n_vcpus != vm->config.n_vcpus)
    return set_state_error (vm, "start", error);
  if (!reset_all (vm, VMM_RESET_COLD, boot, error))
    return FALSE;
  for (guint i = 0; i < vm->n_vcpus; i++)
    {
      int r = vmm_vcpu_start (&vm->vcpus[i]);

      if (r < 0)
        {
          end_threads (vm);
          return vmm_error_set_errno (error, r, "Cannot start the thread of vCPU %u", i);
        }
    }
  return TRUE;
}

static void
begin_locked (VmmVm *vm, gboolean paused)
{
  if (paused)
    {
      halt (vm);
      tell (vm, VMM_STATE_PAUSED, VMM_REASON_USER, 0, NULL);
      return;
    }
  tell (vm, VMM_STATE_RUNNING, VMM_REASON_USER, 0, NULL);
  go (vm);
}

gboolean
vmm_vm_start (VmmVm *vm, gboolean paused, GError **error)
{
  gboolean ok;

  g_mutex_lock (&vm->control);
  ok = prepare_locked (vm, TRUE, error);
  if (ok)
    begin_locked (vm, paused);
  g_mutex_unlock (&vm->control);
  return ok;
}

gboolean
vmm_vm_start_restored (VmmVm *vm, VmmRestore *restore, gboolean paused, GError **error)
{
  VmmStateReader *reader;
  gboolean ok;

  g_mutex_lock (&vm->control);
  ok = prepare_locked (vm, FALSE, error);
  if (ok)
    {
      halt (vm);
      reader = vmm_restore_apply (restore, vm->machine, error);
      ok = reader != NULL && vmm_vm_load_locked (vm, reader, error);
      if (ok)
        begin_locked (vm, paused);
      else
        end_threads (vm);
    }
  g_mutex_unlock (&vm->control);
  return ok;
}

/* Saving */

static gboolean
set_frozen_error (const char *act, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
               "Cannot %s the machine: it is being saved. Wait, or cancel the save.", act);
  return FALSE;
}

gboolean
vmm_vm_freeze (VmmVm *vm, GError **error)
{
  VmmRunState state;
  gboolean ok = FALSE;

  g_mutex_lock (&vm->control);
  state = vmm_vm_get_state (vm);
  if (state != VMM_STATE_RUNNING && state != VMM_STATE_PAUSED)
    set_state_error (vm, "save", error);
  else if (vm->frozen)
    set_frozen_error ("save", error);
  else
    {
      halt (vm);
      vm->frozen = TRUE;
      ok = TRUE;
    }
  g_mutex_unlock (&vm->control);
  return ok;
}

void
vmm_vm_thaw (VmmVm *vm, gboolean keep_paused)
{
  g_mutex_lock (&vm->control);
  vm->frozen = FALSE;
  if (vmm_vm_get_state (vm) == VMM_STATE_RUNNING)
    {
      if (keep_paused)
        tell (vm, VMM_STATE_PAUSED, VMM_REASON_USER, 0, NULL);
      else
        go (vm);
    }
  g_cond_broadcast (&vm->thawed);
  g_mutex_unlock (&vm->control);
}

gboolean
vmm_vm_pause (VmmVm *vm, GError **error)
{
  gboolean ok = TRUE;

  g_mutex_lock (&vm->control);
  if (vm->frozen)
    ok = set_frozen_error ("pause", error);
  else if (vmm_vm_get_state (vm) == VMM_STATE_RUNNING)
    {
      halt (vm);
      tell (vm, VMM_STATE_PAUSED, VMM_REASON_USER, 0, NULL);
    }
  else if (vmm_vm_get_state (vm) != VMM_STATE_PAUSED)
    ok = set_state_error (vm, "pause", error);
  g_mutex_unlock (&vm->control);
  return ok;
}

gboolean
vmm_vm_resume (VmmVm *vm, GError **error)
{
  gboolean ok = TRUE;

  g_mutex_lock (&vm->control);
  if (vm->frozen)
    ok = set_frozen_error ("resume", error);
  else if (vmm_vm_get_state (vm) == VMM_STATE_PAUSED)
    {
      tell (vm, VMM_STATE_RUNNING, VMM_REASON_USER, 0, NULL);
      go (vm);
    }
  else if (vmm_vm_get_state (vm) != VMM_STATE_RUNNING)
    ok = set_state_error (vm, "resume", error);
  g_mutex_unlock (&vm->control);
  return ok;
}

/* Running or paused machines. A failure leaves the machine FAILED. */
static gboolean
reset_locked (VmmVm *vm, VmmReason reason, GError **error)
{
  gboolean running = vmm_vm_get_state (vm) == VMM_STATE_RUNNING;
  g_autoptr (GError) local = NULL;

  halt (vm);
  if (!reset_all (vm, VMM_RESET_WARM, TRUE, &local))
    {
      fail_with (vm, local);
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  __atomic_fetch_add (&vm->n_resets, 1, __ATOMIC_RELAXED);
  vm->kvmclock_valid = FALSE; /* a new boot: the clock may start anywhere */
  tell (vm, running ? VMM_STATE_RUNNING : VMM_STATE_PAUSED, reason, 0, NULL);
  if (running)
    go (vm);
  return TRUE;
}

gboolean
vmm_vm_reset (VmmVm *vm, GError **error)
{
  VmmRunState state;
  gboolean ok;

  g_mutex_lock (&vm->control);
  state = vmm_vm_get_state (vm);
  if (vm->frozen)
    ok = set_frozen_error ("reset", error);
  else if (state == VMM_STATE_RUNNING || state == VMM_STATE_PAUSED)
    ok = reset_locked (vm, VMM_REASON_USER, error);
  else
    ok = set_state_error (vm, "reset", error);
  g_mutex_unlock (&vm->control);
  return ok;
}

void
vmm_vm_stop (VmmVm *vm)
{
  VmmRunState state;

  g_mutex_lock (&vm->control);
  state = vmm_vm_get_state (vm);
  if (state == VMM_STATE_RUNNING || state == VMM_STATE_PAUSED)
    finish (vm, VMM_STATE_STOPPED, VMM_REASON_USER, 0, NULL);
  g_mutex_unlock (&vm->control);
}

/* Requests of the guest */

static void
post_request (VmmVm *vm, VmmRequest request, guint64 value, const char *detail, gboolean fault)
{
  gboolean first;

  g_mutex_lock (&vm->run);
  first = vm->request == VMM_REQUEST_NONE && (vm->hold & VMM_HOLD_STOP) == 0;
  if (first)
    {
      vm->request = request;
      vm->request_value = value;
      g_free (vm->request_detail);
      vm->request_detail = g_strdup (detail);
      vm->request_triple_fault = fault;
      /* Not one more guest instruction than what is under way. */
      vm->hold |= VMM_HOLD_REQUEST;
      for (guint i = 0; i < vm->n_vcpus; i++)
        vmm_vcpu_kick_locked (&vm->vcpus[i]);
    }
  g_mutex_unlock (&vm->run);
  if (first)
    vmm_worker_post (vm->control_worker, handle_request, vm);
}

/* Control worker. */
static void
handle_pause (gpointer user_data)
{
  VmmVm *vm = user_data;
  g_autofree char *detail = NULL;
  VmmRunState state;
  guint64 value;

  g_mutex_lock (&vm->control);
  g_mutex_lock (&vm->run);
  detail = g_steal_pointer (&vm->pause_detail);
  value = vm->pause_value;
  g_mutex_unlock (&vm->run);
  state = vmm_vm_get_state (vm);
  if (state == VMM_STATE_RUNNING)
    halt (vm);
  /* A machine that is paused already says from now on what it waits for. */
  if (state == VMM_STATE_RUNNING || state == VMM_STATE_PAUSED)
    tell (vm, VMM_STATE_PAUSED,
          value == ENOSPC || value == EDQUOT ? VMM_REASON_NO_SPACE
          : value == EREMOTEIO               ? VMM_REASON_DEVICE_ERROR
                                             : VMM_REASON_IO_ERROR,
          value, detail);
  g_mutex_unlock (&vm->control);
}

/* Apart from the guest's own requests, none of which it may replace or be lost to. */
static void
post_pause (VmmVm *vm, guint64 value, const char *detail)
{
  gboolean first;

  g_mutex_lock (&vm->run);
  first = vm->pause_detail == NULL && (vm->hold & VMM_HOLD_STOP) == 0;
  if (first)
    {
      vm->pause_value = value;
      vm->pause_detail = g_strdup (detail != NULL ? detail : "");
    }
  g_mutex_unlock (&vm->run);
  if (first)
    vmm_worker_post (vm->control_worker, handle_pause, vm);
}

static void
on_request (
    VmmMachine *machine, VmmRequest request, guint64 value, const char *detail, gpointer user_data)
{
  VmmVm *vm = user_data;

  if (request == VMM_REQUEST_PAUSE)
    {
      post_pause (vm, value, detail);
      return;
    }
  /* The board refuses S3; nothing must happen then. */
  if (request != VMM_REQUEST_NONE && request != VMM_REQUEST_SUSPEND)
    post_request (vm, request, value, detail, FALSE);
}

void
vmm_vm_triple_fault (VmmVm *vm, VmmVcpu *vcpu)
{
  g_autofree char *where = vmm_vcpu_describe (vcpu);
  g_autofree char *detail = g_strdup_printf ("The guest crashed with a triple fault (%s)", where);

  post_request (vm, VMM_REQUEST_RESET, 0, detail, TRUE);
}

/* Notes a triple fault. TRUE when there were too many in the window. */
static gboolean
count_fault (VmmVm *vm)
{
  guint room = G_N_ELEMENTS (vm->fault_times), recent = 0;
  gint64 now = g_get_monotonic_time ();

  __atomic_fetch_add (&vm->n_triple_faults, 1, __ATOMIC_RELAXED);
  vm->fault_times[vm->n_faults++ % room] = now;
  for (guint i = 0; i < MIN (vm->n_faults, room); i++)
    if (now - vm->fault_times[i] < FAULT_WINDOW_US)
      recent++;
  return recent > MAX_FAULTS;
}

static void
handle_reset (VmmVm *vm, gboolean triple_fault, const char *detail)
{
  if (triple_fault && (count_fault (vm) || vm->stop_on_triple_fault))
    finish (vm, VMM_STATE_FAILED, VMM_REASON_TRIPLE_FAULT, 0, detail);
  else if (vm->no_reboot)
    finish (vm, VMM_STATE_STOPPED, triple_fault ? VMM_REASON_TRIPLE_FAULT : VMM_REASON_GUEST_RESET,
            0, detail);
  else
    (void)reset_locked (vm, triple_fault ? VMM_REASON_TRIPLE_FAULT : VMM_REASON_GUEST_RESET, NULL);
}

static void
handle_locked (VmmVm *vm, VmmRequest request, guint64 value, const char *detail, gboolean fault)
{
  switch (request)
    {
    case VMM_REQUEST_RESET:
      handle_reset (vm, fault, detail);
      break;
    case VMM_REQUEST_POWEROFF:
      finish (vm, VMM_STATE_STOPPED, VMM_REASON_GUEST_SHUTDOWN, 0, detail);
      break;
    case VMM_REQUEST_DEBUG_EXIT:
      finish (vm, VMM_STATE_STOPPED, VMM_REASON_DEBUG_EXIT, value, detail);
      break;
    case VMM_REQUEST_PANIC:
      if (vm->no_reboot)
        finish (vm, VMM_STATE_FAILED, VMM_REASON_GUEST_PANIC, value,
                detail != NULL ? detail : "The guest's kernel panicked");
      else
        tell (vm, vmm_vm_get_state (vm), VMM_REASON_GUEST_PANIC, value, detail);
      break;
    case VMM_REQUEST_ERROR:
      finish (vm, VMM_STATE_FAILED, VMM_REASON_INTERNAL_ERROR, value, detail);
      break;
    case VMM_REQUEST_NONE:
    case VMM_REQUEST_SUSPEND:
    case VMM_REQUEST_PAUSE:
      break;
    }
}

/* Control worker. */
static void
handle_request (gpointer user_data)
{
  VmmVm *vm = user_data;
  VmmRequest request;
  guint64 value;
  g_autofree char *detail = NULL;
  gboolean fault;
  VmmRunState state;

  g_mutex_lock (&vm->control);
  /* What the guest asked for just before its state was taken is done after that. */
  while (vm->frozen)
    g_cond_wait (&vm->thawed, &vm->control);
  g_mutex_lock (&vm->run);
  request = vm->request;
  value = vm->request_value;
  detail = g_steal_pointer (&vm->request_detail);
  fault = vm->request_triple_fault;
  g_mutex_unlock (&vm->run);

  state = vmm_vm_get_state (vm);
  if (state == VMM_STATE_RUNNING || state == VMM_STATE_PAUSED)
    {
      /* Everything that was on its way into the same request has arrived when all are parked. */
      hold_vcpus (vm, VMM_HOLD_REQUEST);
      handle_locked (vm, request, value, detail, fault);
    }
  g_mutex_lock (&vm->run);
  vm->request = VMM_REQUEST_NONE;
  g_mutex_unlock (&vm->run);
  release_vcpus (vm, VMM_HOLD_REQUEST);
  g_mutex_unlock (&vm->control);
}
