/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by the vmm/vm*.c, vcpu*.c and kvm-accel.c files.
 *
 * Locks, in this order: control (one lifecycle operation at a time: start, pause, reset, stop, the
 * guest's own requests), then the devices' locks, then run (hold flags, parked vCPUs).
 * A vCPU runs guest code only while hold is 0. */
#pragma once
#include <linux/kvm.h>
#include <pthread.h>
#include "vmm/cpuid-private.h"
#include "vmm/kvm-private.h"

typedef struct _VmmVcpu VmmVcpu;

/* Why vCPUs do not run. */
typedef enum
{
  VMM_HOLD_NONE = 0,
  VMM_HOLD_CONTROL = 1 << 0, /* paused, or not started */
  VMM_HOLD_REQUEST = 1 << 1, /* a guest request waits for the control worker */
  VMM_HOLD_STOP = 1 << 2,    /* threads end */
} VmmHold;

/* MSRs of one vCPU, as KVM_GET_MSRS and KVM_SET_MSRS take them. */
typedef struct kvm_msrs VmmMsrs;

/* Everything that KVM knows of one vCPU. */
typedef struct
{
  struct kvm_regs regs;
  struct kvm_sregs sregs;
  struct kvm_lapic_state lapic;
  struct kvm_debugregs debugregs;
  struct kvm_xcrs xcrs;
  struct kvm_vcpu_events events;
  struct kvm_mp_state mp_state;
  guint8 *xsave; /* kvm->xsave_size bytes */
  VmmMsrs *msrs; /* vm->n_msrs entries at most */
} VmmVcpuState;

struct _VmmVcpu
{
  VmmVm *vm;
  guint index;
  guint apic_id;
  int fd;
  struct kvm_run *run;
  pthread_t thread;
  gboolean started;     /* run lock */
  gboolean parked;      /* run lock */
  VmmVcpuState initial; /* as KVM made it, with our CPUID: what a reset restores */
  /* What a save wrote or a load read, until the vCPU runs again: saving twice in a pause, or after
   * a load, gives the same bytes, though timers in KVM go on. control lock. */
  VmmVcpuState held;
  gboolean held_valid;
  guint64 tsc_offset; /* as it was when the pause began; valid with vm->tsc_paused */
  /* Written by the vCPU's thread only; read anywhere, relaxed. */
  struct
  {
    guint64 exits, io, mmio, hlt, shutdown, msr, immediate, intr, other, unknown_msrs;
  } stats;
};

typedef struct
{
  struct kvm_irqchip chips[3]; /* PIC master, slave, IOAPIC */
  struct kvm_pit_state2 pit;
} VmmIrqchipState;

struct _VmmVm
{
  VmmAccel accel; /* first */
  VmmKvm *kvm;    /* borrowed */
  int fd;
  VmmVmConfig config;
  VmmCpuidPolicy cpuid_policy;
  VmmMachine *machine;
  VmmClock *clock; /* the machine's */
  VmmWorker *control_worker;

  VmmVcpu *vcpus;
  guint n_vcpus; /* made so far */
  guint32 *msr_list;
  guint n_msrs;
  VmmIrqchipState initial_irqchip;

  GMutex irq_lock;
  struct kvm_irq_routing *routing; /* routes_max entries of room */
  guint routes_max;
  guint64 *gsi_used; /* bitmap */
  guint routes_held;
  gboolean routes_changed; /* while they were held */
  int vfio_fd;             /* KVM's VFIO device, -1 until one is passed through */

  GMutex control; /* see above */
  gboolean quiesced;
  struct kvm_clock_data kvmclock;
  gboolean kvmclock_valid;
  VmmIrqchipState held_irqchip; /* as VmmVcpu.held */
  gboolean held_irqchip_valid;
  guint64 paused_tsc; /* the host's, when the pause began */
  guint64 host_tsc_khz;
  gboolean tsc_paused;
  gboolean frozen; /* being saved: no change of the run state until thawed */
  GCond thawed;    /* with control */
  VmmBootFunc boot_func;
  gpointer boot_data;
  VmmStateFunc state_func;
  gpointer state_data;
  gboolean no_reboot, stop_on_triple_fault;
  gint64 fault_times[8]; /* of the last triple faults, microseconds */
  guint n_faults;
  char *detail; /* of the last change */

  GMutex run;
  GCond parked_cond; /* a vCPU parked or ended */
  GCond hold_cond;   /* hold changed */
  gint hold;         /* VmmHold; written with run held, read by vCPUs with it */
  /* The first request of the guest wins until it is handled. */
  VmmRequest request;
  guint64 request_value;
  char *request_detail;
  gboolean request_triple_fault;
  /* Of a disk that cannot go on; detail NULL: none that is not handled yet. */
  guint64 pause_value;
  char *pause_detail;

  gint state;  /* atomic VmmRunState */
  gint reason; /* atomic VmmReason */
  guint64 n_resets, n_triple_faults;
  gint64 first_run_ns; /* atomic; host monotonic */
};

/* kvm-accel.c */
extern const VmmAccelOps vmm_kvm_accel_ops;
/* irqchip, PIT, default routes, TSS. Before any vCPU. */
gboolean vmm_vm_init_irqchip (VmmVm *vm, GError **error);
int vmm_vm_get_irqchip (VmmVm *vm, VmmIrqchipState *ret_state);
int vmm_vm_set_irqchip (VmmVm *vm, const VmmIrqchipState *state);

/* vcpu.c */
gboolean vmm_vcpu_init (VmmVcpu *vcpu, VmmVm *vm, guint index, GError **error);
void vmm_vcpu_finish (VmmVcpu *vcpu);
/* Starts the thread, held. */
int vmm_vcpu_start (VmmVcpu *vcpu);
/* Gets the vCPU out of KVM_RUN; it then looks at hold. run is held. */
void vmm_vcpu_kick_locked (VmmVcpu *vcpu);
/* "rip=… cr3=…" for error details. Parked vCPUs, or on the vCPU's own thread. */
char *vmm_vcpu_describe (VmmVcpu *vcpu);

/* vcpu-state.c: parked vCPUs, any thread. -errno or 0; ret_what names the part that failed. */
void vmm_vcpu_state_init (VmmVcpuState *state, VmmVm *vm);
void vmm_vcpu_state_clear (VmmVcpuState *state);
int vmm_vcpu_get_state (VmmVcpu *vcpu, VmmVcpuState *state, const char **ret_what);
int vmm_vcpu_set_state (VmmVcpu *vcpu, const VmmVcpuState *state, const char **ret_what);
/* To the architectural reset state; entry (nullable) then places vCPU 0 at a direct boot. */
gboolean vmm_vcpu_reset (VmmVcpu *vcpu, const VmmEntry *entry, GError **error);
gboolean vmm_vcpu_save (VmmVcpu *vcpu, VmmStateWriter *writer, GError **error);
gboolean vmm_vcpu_load (VmmVcpu *vcpu, VmmStateReader *reader, GError **error);

/* msr.c */
gboolean vmm_vm_init_msrs (VmmVm *vm, GError **error);
/* Handles KVM_EXIT_X86_RDMSR and WRMSR. */
void vmm_vcpu_handle_msr (VmmVcpu *vcpu);

/* vm.c */
/* Called on a vCPU thread for what the guest did. */
void vmm_vm_triple_fault (VmmVm *vm, VmmVcpu *vcpu);
void vmm_vm_note_first_run (VmmVm *vm);

/* vm-state.c; control is held */
void vmm_vm_save_clock (VmmVm *vm);
void vmm_vm_restore_clock (VmmVm *vm);
/* The vCPUs are about to run: what a save or load kept of them is out of date. */
void vmm_vm_drop_held (VmmVm *vm);
/* Guest ticks that its time stamp counters ran on since the pause began, and will be set back. */
guint64 vmm_vm_get_paused_ticks (VmmVm *vm);
gboolean vmm_vm_save_locked (VmmVm *vm, VmmStateWriter *writer, GError **error);
gboolean vmm_vm_load_locked (VmmVm *vm, VmmStateReader *reader, GError **error);

/* vm.c, for vm-save.c. Any thread but the control worker and vCPUs. */
/* Stops a running or paused machine for a save, without telling anybody; life cycle calls wait or
 * are refused until the thaw. */
gboolean vmm_vm_freeze (VmmVm *vm, GError **error);
/* keep_paused: the state becomes PAUSED (and is told), otherwise what was running goes on. */
void vmm_vm_thaw (VmmVm *vm, gboolean keep_paused);
