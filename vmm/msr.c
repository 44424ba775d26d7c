/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Model-specific registers that KVM does not know. KVM hands them to user space of this machine
 * (KVM_CAP_X86_USER_SPACE_MSR); the module's host-wide ignore_msrs switch is never touched. */
#include <errno.h>

#include "vmm/vm-private.h"

gboolean
vmm_vm_init_msrs (VmmVm *vm, GError **error)
{
  struct kvm_enable_cap cap = {
    .cap = KVM_CAP_X86_USER_SPACE_MSR,
    .args = { KVM_MSR_EXIT_REASON_UNKNOWN },
  };
  const struct kvm_msr_list *list = vm->kvm->msr_indices;
  int r;

  vm->msr_list = g_memdup2 (list->indices, list->nmsrs * sizeof (guint32));
  vm->n_msrs = list->nmsrs;
  if (!vm->kvm->caps.user_space_msr)
    {
      if (vm->config.unknown_msr == VMM_UNKNOWN_MSR_FAULT)
        return TRUE; /* what KVM does by itself, only uncounted */
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "This kernel's KVM cannot ignore unknown model-specific registers for one "
                   "machine alone. Linux 5.10 can.");
      return FALSE;
    }
  r = vmm_kvm_ioctl (vm->fd, KVM_ENABLE_CAP, &cap);
  if (r < 0)
    return vmm_error_set_errno (error, r, "KVM cannot hand over unknown model-specific registers");
  return TRUE;
}

void
vmm_vcpu_handle_msr (VmmVcpu *vcpu)
{
  struct kvm_run *run = vcpu->run;

  vcpu->stats.unknown_msrs++;
  /* error != 0 makes KVM inject #GP (api.rst, KVM_EXIT_X86_RDMSR). */
  run->msr.error = vcpu->vm->config.unknown_msr == VMM_UNKNOWN_MSR_FAULT ? 1 : 0;
  if (run->exit_reason == KVM_EXIT_X86_RDMSR)
    run->msr.data = 0;
}
