/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The KVM device: shared by the vmm/kvm*.c, vm*.c, vcpu*.c and cpuid.c files. */
#pragma once
#include <linux/kvm.h>
#include "vmm/vm.h"

struct _VmmKvm
{
  int fd;
  VmmKvmCaps caps;
  gsize vcpu_mmap_size; /* bytes of struct kvm_run and its pages */
  gsize xsave_size;     /* bytes of KVM_GET_XSAVE2 */
  guint max_vcpu_id;
  gboolean tsc_deadline, kvmclock_ctrl, sregs2;
  struct kvm_cpuid2 *cpuid;         /* KVM_GET_SUPPORTED_CPUID */
  struct kvm_msr_list *msr_indices; /* KVM_GET_MSR_INDEX_LIST */
};

/* ioctl that repeats on EINTR and returns -errno. */
int vmm_kvm_ioctl (int fd, unsigned long request, gpointer argument);
/* KVM_CHECK_EXTENSION on the device: 0 when not known. */
int vmm_kvm_check (VmmKvm *kvm, int capability);
