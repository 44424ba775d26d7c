/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A virtual machine on KVM: capabilities, vCPU threads, run state, exit statistics.
 *
 * Life: vmm_kvm_open -> vmm_vm_new -> build devices on vmm_vm_get_machine -> vmm_vm_create_vcpus ->
 * (confine the process) -> vmm_vm_start -> pause/resume/reset -> vmm_vm_stop -> vmm_vm_free.
 * Threads: control thread for all functions; state changes are reported on the thread of the
 * GMainContext-free callback below (any thread): forward it to your loop. */
#pragma once
#include <glib.h>
#include "vmm/machine.h"
#include "vmm/restore.h"

typedef struct _VmmKvm VmmKvm;
typedef struct _VmmVm VmmVm;

typedef struct
{
  guint n_vcpus_recommended, n_vcpus_max, n_memslots_max, n_irq_routes_max;
  gboolean hardware; /* backed by VT-x or AMD-V, not a software back end */
  gboolean smm, x2apic_api, msr_filter, user_space_msr, immediate_exit, irqfd_resample;
  gboolean adjust_clock, tsc_control, tsc_stable, dirty_log_manual, dirty_ring, readonly_mem;
  gboolean ioeventfd_any_length, hyperv_synic, exception_payload, xsave2, set_guest_debug;
  guint phys_bits;
  char backend[32]; /* "kvm_intel", "kvm_amd", "kvm_pvm", "unknown" */
} VmmKvmCaps;

/* path: NULL for /dev/kvm. Errors tell cause and remedy: missing (module, firmware switch),
 * permission (group kvm), version, held by another hypervisor, a capability that is required. */
VmmKvm *vmm_kvm_open (const char *path, GError **error);
void vmm_kvm_close (VmmKvm *kvm);
const VmmKvmCaps *vmm_kvm_get_caps (VmmKvm *kvm);

typedef enum
{
  VMM_CPU_HOST,
  VMM_CPU_X86_64_V2,
  VMM_CPU_X86_64_V3,
  VMM_CPU_X86_64_V4,
} VmmCpuLevel;

typedef enum
{
  VMM_UNKNOWN_MSR_FAULT,  /* #GP, as hardware does */
  VMM_UNKNOWN_MSR_IGNORE, /* reads 0, writes dropped, counted */
} VmmUnknownMsr;

typedef struct
{
  guint n_vcpus;                 /* 1..n_vcpus_max */
  guint sockets, cores, threads; /* product = n_vcpus; 0 means 1 socket, n cores */
  VmmCpuLevel cpu_level;
  gboolean nested;          /* show VMX/SVM */
  gboolean hide_hypervisor; /* no KVM leaves, no hypervisor bit */
  gboolean invariant_tsc;   /* asked for; shown only when the host's is */
  VmmUnknownMsr unknown_msr;
  guint phys_bits; /* 0: the host's */
} VmmVmConfig;

VmmVm *vmm_vm_new (VmmKvm *kvm, const VmmVmConfig *config, GError **error);
void vmm_vm_free (VmmVm *vm);
VmmMachine *vmm_vm_get_machine (VmmVm *vm);
const VmmVmConfig *vmm_vm_get_config (VmmVm *vm);
guint vmm_vm_get_phys_bits (VmmVm *vm);
/* APIC id of a vCPU (0..n_vcpus-1): what the ACPI tables must say. Equal to index unless cores or
 * threads are not powers of two. */
guint vmm_vm_get_apic_id (VmmVm *vm, guint index);

/* Guest addresses that KVM itself uses on Intel processors (a TSS and an identity page table): the
 * board keeps RAM, ROM and BARs away from them and marks them reserved. */
#define VMM_KVM_RESERVED_BASE G_GUINT64_CONSTANT (0xfeffc000)
#define VMM_KVM_RESERVED_SIZE G_GUINT64_CONSTANT (0x4000)

/* Where vCPU 0 starts. RESET: the architectural reset vector (firmware); others wait for INIT-SIPI. */
typedef enum
{
  VMM_ENTRY_RESET_VECTOR,
  VMM_ENTRY_LINUX64,   /* rip, rsi = boot_params; long mode, identity page tables at page_table */
  VMM_ENTRY_PVH,       /* rip, rbx = start_info; 32-bit flat protected mode, paging off */
  VMM_ENTRY_MULTIBOOT, /* rip, rbx = multiboot info, eax = 0x2badb002 */
} VmmEntryKind;

typedef struct
{
  VmmEntryKind kind;
  guint64 rip;
  guint64 info;       /* guest address of boot_params, start_info or multiboot info */
  guint64 page_table; /* guest address of the PML4 (LINUX64) */
  guint64 gdt;        /* guest address of the boot GDT; 0: none */
  guint64 stack;
} VmmEntry;

/* Direct boot: called at start and at each reset, after devices were reset and before vCPUs run;
 * it writes the images into guest memory again and tells the entry. (nullable) means firmware. */
typedef gboolean (*VmmBootFunc) (VmmMachine *machine,
                                 VmmEntry *ret_entry,
                                 gpointer user_data,
                                 GError **error);
void vmm_vm_set_boot (VmmVm *vm, VmmBootFunc func, gpointer user_data);

gboolean vmm_vm_create_vcpus (VmmVm *vm, GError **error);

typedef enum
{
  VMM_STATE_CREATED,
  VMM_STATE_RUNNING,
  VMM_STATE_PAUSED,
  VMM_STATE_STOPPED, /* orderly: guest shutdown, debug exit, stop */
  VMM_STATE_FAILED,  /* cannot go on; reason and detail say why */
} VmmRunState;

typedef enum
{
  VMM_REASON_NONE,
  VMM_REASON_USER,
  VMM_REASON_GUEST_SHUTDOWN,
  VMM_REASON_GUEST_RESET,
  VMM_REASON_GUEST_PANIC,
  VMM_REASON_TRIPLE_FAULT,
  VMM_REASON_DEBUG_EXIT,
  VMM_REASON_INTERNAL_ERROR,
  VMM_REASON_NO_SPACE,     /* paused: a disk's host has none left */
  VMM_REASON_IO_ERROR,     /* paused: a disk's host failed */
  VMM_REASON_DEVICE_ERROR, /* paused: a device of the host that is passed through failed */
} VmmReason;
const char *vmm_reason_to_string (VmmReason reason); /* "guest-shutdown" ... */

typedef struct
{
  VmmRunState state;
  VmmReason reason;
  guint64 value;      /* DEBUG_EXIT: the value written; PANIC: bits */
  const char *detail; /* (nullable) a sentence for people */
} VmmStateChange;
typedef void (*VmmStateFunc) (VmmVm *vm, const VmmStateChange *change, gpointer user_data);
/* Called on any thread, in the order of the changes, with the vm's control lock held: it must only
 * forward the news, never call vmm_vm_start, pause, resume, reset, stop or free.
 * A guest panic (pvpanic) of a machine that may reboot is told with state RUNNING and reason
 * GUEST_PANIC, and the machine goes on (the guest may write a dump); with no_reboot it is FAILED. */
void vmm_vm_set_state_func (VmmVm *vm, VmmStateFunc func, gpointer user_data);

/* What a guest reset does: FALSE (default) resets the machine, TRUE stops it. Triple fault is a
 * reset, counted; more than limit in ten seconds stops with FAILED / TRIPLE_FAULT. */
void vmm_vm_set_no_reboot (VmmVm *vm, gboolean no_reboot);
/* What a triple fault does when TRUE: state FAILED with reason TRIPLE_FAULT at once. */
void vmm_vm_set_stop_on_triple_fault (VmmVm *vm, gboolean stop);

gboolean vmm_vm_start (VmmVm *vm, gboolean paused, GError **error);
/* Instead of start: the machine goes on where it was saved (vmm/restore.h), or waits there. Errors: what
 * does not fit, by name; the machine is good for nothing but vmm_vm_free then. */
gboolean vmm_vm_start_restored (VmmVm *vm, VmmRestore *restore, gboolean paused, GError **error);
gboolean vmm_vm_pause (VmmVm *vm, GError **error);
gboolean vmm_vm_resume (VmmVm *vm, GError **error);
gboolean vmm_vm_reset (VmmVm *vm, GError **error);
/* Stops vCPUs, quiesces devices. The machine can still be inspected, not restarted. */
void vmm_vm_stop (VmmVm *vm);
VmmRunState vmm_vm_get_state (VmmVm *vm);
VmmReason vmm_vm_get_reason (VmmVm *vm);

/* Whole-machine state without RAM contents (vCPUs, irqchip, clock, devices); paused machines only. */
gboolean vmm_vm_save (VmmVm *vm, VmmStateWriter *writer, GError **error);
gboolean vmm_vm_load (VmmVm *vm, VmmStateReader *reader, GError **error);

typedef struct
{
  guint64 exits, io, mmio, hlt, shutdown, msr, immediate, intr, other;
  guint64 resets, triple_faults, unknown_pio, unknown_mmio, unknown_msrs;
  gint64 start_to_first_instruction_ns; /* exec of the process to the first KVM_RUN, 0 if unknown */
} VmmVmStats;
void vmm_vm_get_stats (VmmVm *vm, VmmVmStats *ret_stats);
