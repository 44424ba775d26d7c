/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What CPUID shows the guest: a pure function of what KVM supports and the machine's policy, so that
 * tests need no KVM. (Intel SDM volume 2A, CPUID; AMD APM volume 3, appendix E;
 * Linux Documentation/virt/kvm/x86/cpuid.rst) */
#pragma once
#include <linux/kvm.h>
#include "vmm/vm.h"

typedef struct
{
  VmmCpuLevel level;
  guint sockets, cores, threads; /* each >= 1 */
  gboolean nested;
  gboolean hide_hypervisor;
  gboolean invariant_tsc;
  gboolean tsc_deadline; /* KVM_CAP_TSC_DEADLINE_TIMER */
  guint phys_bits;       /* 0: what is supported */
} VmmCpuidPolicy;

#define VMM_CPUID_MAX_ENTRIES 256

/* The APIC id of a vCPU: package, core and thread fields of the topology leaves, packed. */
guint vmm_cpuid_apic_id (const VmmCpuidPolicy *policy, guint index);
/* Is everything there that the level promises? Errors: UNAVAILABLE naming what lacks. */
gboolean vmm_cpuid_check (const struct kvm_cpuid_entry2 *supported,
                          guint n_supported,
                          const VmmCpuidPolicy *policy,
                          GError **error);
/* Fills out (VMM_CPUID_MAX_ENTRIES long) for one vCPU. Returns the number of entries. */
guint vmm_cpuid_build (const struct kvm_cpuid_entry2 *supported,
                       guint n_supported,
                       const VmmCpuidPolicy *policy,
                       guint apic_id,
                       struct kvm_cpuid_entry2 *out);
