/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state of a vCPU: read, written, reset, saved, loaded.
 *
 * A reset writes back what KVM made at creation, which is the architectural state after power-up
 * (SDM volume 3, 9.1), and then what differs: the processor's signature in EDX, the time stamp
 * counter, the entry of a direct boot. */
#include <errno.h>
#include <string.h>

#include "vmm/vm-private.h"

#define MSR_TSC          0x10
#define MSR_TSC_ADJUST   0x3b
#define MSR_TSC_DEADLINE 0x6e0

#define CR0_PE   (1u << 0)
#define CR0_ET   (1u << 4)
#define CR0_PG   (1u << 31)
#define CR4_PAE  (1u << 5)
#define EFER_LME (1u << 8)
#define EFER_LMA (1u << 10)

#define SECTION_CLASS   "x86-vcpu"
#define SECTION_VERSION 1

/* Not in KVM's list, but state all the same: the MTRRs (SDM volume 3, 11.11). */
static const struct
{
  guint32 first, count;
} more_msrs[] = {
  { 0x200, 16 },                             /* 8 variable ranges, base and mask */
  { 0x250, 1 },  { 0x258, 2 }, { 0x268, 8 }, /* fixed ranges */
  { 0x2ff, 1 },                              /* default type: written last, it turns them on */
};

static void
add_more_msrs (VmmVm *vm)
{
  GArray *list = g_array_new (FALSE, FALSE, sizeof (guint32));
  guint32 last = MSR_TSC_DEADLINE;
  gboolean deadline = FALSE;

  for (guint i = 0; i < vm->n_msrs; i++)
    if (vm->msr_list[i] == MSR_TSC_DEADLINE)
      deadline = TRUE;
    else
      g_array_append_val (list, vm->msr_list[i]);
  for (guint i = 0; i < G_N_ELEMENTS (more_msrs); i++)
    for (guint32 j = 0; j < more_msrs[i].count; j++)
      {
        guint32 index = more_msrs[i].first + j;

        g_array_append_val (list, index);
      }
  /* The deadline counts on the time stamp counter and the APIC timer's mode: last. */
  if (deadline)
    g_array_append_val (list, last);
  g_free (vm->msr_list);
  vm->n_msrs = list->len;
  vm->msr_list = (guint32 *)(gpointer)g_array_free (list, FALSE);
}

static void
drop_msr (VmmVm *vm, guint at)
{
  vm->n_msrs--;
  memmove (&vm->msr_list[at], &vm->msr_list[at + 1], (vm->n_msrs - at) * sizeof (guint32));
}

static VmmMsrs *
msrs_new (guint n)
{
  VmmMsrs *msrs = g_malloc0 (sizeof *msrs + n * sizeof msrs->entries[0]);

  msrs->nmsrs = n;
  return msrs;
}

void
vmm_vcpu_state_init (VmmVcpuState *state, VmmVm *vm)
{
  memset (state, 0, sizeof *state);
  state->xsave = g_malloc0 (vm->kvm->xsave_size);
}

void
vmm_vcpu_state_clear (VmmVcpuState *state)
{
  g_clear_pointer (&state->xsave, g_free);
  g_clear_pointer (&state->msrs, g_free);
}

/* Finds out, once a machine, which MSRs can be read and written back. */
static int
probe_msrs (VmmVcpu *vcpu)
{
  VmmVm *vm = vcpu->vm;
  g_autofree VmmMsrs *one = msrs_new (1);

  add_more_msrs (vm);
  for (guint i = 0; i < vm->n_msrs;)
    {
      one->entries[0] = (struct kvm_msr_entry){ .index = vm->msr_list[i] };
      if (vmm_kvm_ioctl (vcpu->fd, KVM_GET_MSRS, one) == 1 &&
          (vm->msr_list[i] == MSR_TSC || vmm_kvm_ioctl (vcpu->fd, KVM_SET_MSRS, one) == 1))
        i++;
      else
        drop_msr (vm, i);
    }
  return 0;
}

static int
get_msrs (VmmVcpu *vcpu, VmmVcpuState *state)
{
  VmmVm *vm = vcpu->vm;
  int r;

  g_free (state->msrs);
  state->msrs = msrs_new (vm->n_msrs);
  for (guint i = 0; i < vm->n_msrs; i++)
    state->msrs->entries[i].index = vm->msr_list[i];
  r = vmm_kvm_ioctl (vcpu->fd, KVM_GET_MSRS, state->msrs);
  if (r < 0)
    return r;
  return (guint)r == vm->n_msrs ? 0 : -EIO;
}

int
vmm_vcpu_get_state (VmmVcpu *vcpu, VmmVcpuState *state, const char **ret_what)
{
  const struct
  {
    const char *what;
    unsigned long request;
    gpointer data;
  } parts[] = {
    /* First: KVM may change other parts while it settles this one. */
    { "start-up state", KVM_GET_MP_STATE, &state->mp_state },
    { "registers", KVM_GET_REGS, &state->regs },
    { "system registers", KVM_GET_SREGS, &state->sregs },
    { "local APIC", KVM_GET_LAPIC, &state->lapic },
    { "debug registers", KVM_GET_DEBUGREGS, &state->debugregs },
    { "extended control registers", KVM_GET_XCRS, &state->xcrs },
    { "extended registers", vcpu->vm->kvm->caps.xsave2 ? KVM_GET_XSAVE2 : KVM_GET_XSAVE,
      state->xsave },
    { "pending events", KVM_GET_VCPU_EVENTS, &state->events },
  };
  int r;

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      *ret_what = parts[i].what;
      r = vmm_kvm_ioctl (vcpu->fd, parts[i].request, parts[i].data);
      if (r < 0)
        return r;
    }
  *ret_what = "model-specific registers";
  if (vcpu->index == 0 && state == &vcpu->initial)
    (void)probe_msrs (vcpu);
  return get_msrs (vcpu, state);
}

int
vmm_vcpu_set_state (VmmVcpu *vcpu, const VmmVcpuState *state, const char **ret_what)
{
  VmmVcpuState copy = *state;
  const struct
  {
    const char *what;
    unsigned long request;
    gpointer data;
  } parts[] = {
    /* Holds the APIC's base and mode, so before the APIC. */
    { "system registers", KVM_SET_SREGS, &copy.sregs },
    { "local APIC", KVM_SET_LAPIC, &copy.lapic },
    { "registers", KVM_SET_REGS, &copy.regs },
    { "extended control registers", KVM_SET_XCRS, &copy.xcrs },
    { "extended registers", KVM_SET_XSAVE, copy.xsave },
    { "debug registers", KVM_SET_DEBUGREGS, &copy.debugregs },
    { "model-specific registers", KVM_SET_MSRS, copy.msrs },
    { "pending events", KVM_SET_VCPU_EVENTS, &copy.events },
    { "start-up state", KVM_SET_MP_STATE, &copy.mp_state },
  };

  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      int r = vmm_kvm_ioctl (vcpu->fd, parts[i].request, parts[i].data);

      *ret_what = parts[i].what;
      if (r < 0)
        return r;
      if (parts[i].request == KVM_SET_MSRS && (guint)r != copy.msrs->nmsrs)
        return -EINVAL;
    }
  return 0;
}

static struct kvm_segment
flat_segment (guint16 selector, gboolean code, gboolean long_mode)
{
  return (struct kvm_segment){
    .base = 0,
    .limit = 0xffffffff,
    .selector = selector,
    .type = code ? 0xb : 0x3, /* accessed; execute and read, or read and write */
    .present = 1,
    .db = long_mode && code ? 0 : 1,
    .s = 1,
    .l = long_mode && code ? 1 : 0,
    .g = 1,
  };
}

/* Linux Documentation/arch/x86/boot.rst, "64-bit boot protocol" (__BOOT_CS 0x10, __BOOT_DS 0x18);
 * Xen PVH start-of-day ABI; Multiboot 0.6.96, 3.2. */
static void
apply_entry (VmmVcpuState *state, const VmmEntry *entry)
{
  gboolean long_mode = entry->kind == VMM_ENTRY_LINUX64;

  if (entry->kind == VMM_ENTRY_RESET_VECTOR)
    return;
  state->sregs.cs = flat_segment (0x10, TRUE, long_mode);
  state->sregs.ds = flat_segment (0x18, FALSE, long_mode);
  state->sregs.es = state->sregs.fs = state->sregs.gs = state->sregs.ss = state->sregs.ds;
  state->sregs.tr = (struct kvm_segment){ .limit = 0x67, .type = 0xb, .present = 1 };
  if (entry->gdt != 0)
    {
      state->sregs.gdt.base = entry->gdt;
      state->sregs.gdt.limit = 4 * 8 - 1;
    }
  state->sregs.cr0 = CR0_PE | CR0_ET;
  state->regs.rflags = 2;
  state->regs.rip = entry->rip;
  state->regs.rsp = entry->stack;
  state->regs.rdx = 0;
  switch (entry->kind)
    {
    case VMM_ENTRY_LINUX64:
      state->sregs.cr0 |= CR0_PG;
      state->sregs.cr3 = entry->page_table;
      state->sregs.cr4 = CR4_PAE;
      state->sregs.efer = EFER_LME | EFER_LMA;
      state->regs.rsi = entry->info;
      break;
    case VMM_ENTRY_PVH:
      state->regs.rbx = entry->info;
      break;
    case VMM_ENTRY_MULTIBOOT:
      state->regs.rbx = entry->info;
      state->regs.rax = 0x2badb002;
      break;
    case VMM_ENTRY_RESET_VECTOR:
      break;
    }
}

gboolean
vmm_vcpu_reset (VmmVcpu *vcpu, const VmmEntry *entry, GError **error)
{
  VmmVcpuState state = vcpu->initial;
  g_autofree VmmMsrs *msrs = NULL;
  const char *what = NULL;
  int r;

  msrs = g_memdup2 (state.msrs, sizeof *msrs + state.msrs->nmsrs * sizeof msrs->entries[0]);
  state.msrs = msrs;
  for (guint i = 0; i < msrs->nmsrs; i++)
    /* All vCPUs start from zero together: KVM takes a zero as "synchronize". */
    if (msrs->entries[i].index == MSR_TSC || msrs->entries[i].index == MSR_TSC_ADJUST ||
        msrs->entries[i].index == MSR_TSC_DEADLINE)
      msrs->entries[i].data = 0;
  if (vcpu->index == 0 && entry != NULL)
    apply_entry (&state, entry);
  r = vmm_vcpu_set_state (vcpu, &state, &what);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot reset the %s of vCPU %u", what, vcpu->index);
  return TRUE;
}

/* The counter as it stood when the pause began. */
static void
set_back_tsc (VmmVcpu *vcpu, VmmVcpuState *state)
{
  guint64 ticks = vmm_vm_get_paused_ticks (vcpu->vm);

  for (guint i = 0; i < state->msrs->nmsrs; i++)
    if (state->msrs->entries[i].index == MSR_TSC)
      state->msrs->entries[i].data -= ticks;
}

static gboolean
hold_state (VmmVcpu *vcpu, GError **error)
{
  const char *what = NULL;
  int r;

  if (vcpu->held_valid)
    return TRUE;
  vmm_vcpu_state_clear (&vcpu->held);
  vmm_vcpu_state_init (&vcpu->held, vcpu->vm);
  r = vmm_vcpu_get_state (vcpu, &vcpu->held, &what);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot save the %s of vCPU %u", what, vcpu->index);
  set_back_tsc (vcpu, &vcpu->held);
  vcpu->held_valid = TRUE;
  return TRUE;
}

gboolean
vmm_vcpu_save (VmmVcpu *vcpu, VmmStateWriter *writer, GError **error)
{
  const VmmVcpuState *state = &vcpu->held;
  char id[32];

  if (!hold_state (vcpu, error))
    return FALSE;
  g_snprintf (id, sizeof id, "cpu.%u", vcpu->index);
  vmm_state_writer_begin (writer, id, SECTION_CLASS, SECTION_VERSION);
  /* The structures of the kernel's stable interface, little endian. */
  vmm_state_put_uint (writer, "apic_id", vcpu->apic_id);
  vmm_state_put_bytes (writer, "mp_state", &state->mp_state, sizeof state->mp_state);
  vmm_state_put_bytes (writer, "regs", &state->regs, sizeof state->regs);
  vmm_state_put_bytes (writer, "sregs", &state->sregs, sizeof state->sregs);
  vmm_state_put_bytes (writer, "lapic", &state->lapic, sizeof state->lapic);
  vmm_state_put_bytes (writer, "debugregs", &state->debugregs, sizeof state->debugregs);
  vmm_state_put_bytes (writer, "xcrs", &state->xcrs, sizeof state->xcrs);
  vmm_state_put_bytes (writer, "events", &state->events, sizeof state->events);
  vmm_state_put_bytes (writer, "xsave", state->xsave, vcpu->vm->kvm->xsave_size);
  vmm_state_put_bytes (writer, "msrs", state->msrs->entries,
                       state->msrs->nmsrs * sizeof state->msrs->entries[0]);
  vmm_state_writer_end (writer);
  return TRUE;
}

/* Takes only MSRs that this machine has, each once at most by the count. */
static gboolean
load_msrs (VmmVcpu *vcpu, VmmStateReader *reader, VmmVcpuState *state, GError **error)
{
  VmmVm *vm = vcpu->vm;
  const guint8 *data;
  gsize length;

  if (!vmm_state_get_blob (reader, "msrs", vm->n_msrs * sizeof (struct kvm_msr_entry), &data,
                           &length, error))
    return FALSE;
  g_clear_pointer (&state->msrs, g_free);
  state->msrs = msrs_new ((guint)(length / sizeof (struct kvm_msr_entry)));
  memcpy (state->msrs->entries, data, state->msrs->nmsrs * sizeof (struct kvm_msr_entry));
  for (guint i = 0; i < state->msrs->nmsrs; i++)
    {
      gboolean known = FALSE;

      for (guint j = 0; !known && j < vm->n_msrs; j++)
        known = vm->msr_list[j] == state->msrs->entries[i].index;
      if (known)
        continue;
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state has the model-specific register 0x%x, which this computer's "
                   "KVM does not have",
                   state->msrs->entries[i].index);
      return FALSE;
    }
  return TRUE;
}

static gboolean
load_state (VmmVcpu *vcpu, VmmStateReader *reader, VmmVcpuState *state, GError **error)
{
  gsize xsave_size = vcpu->vm->kvm->xsave_size;
  const guint8 *xsave;
  guint64 apic_id;
  gsize length;

  if (!vmm_state_get_uint (reader, "apic_id", G_MAXUINT32, &apic_id, error) ||
      !vmm_state_get_bytes (reader, "mp_state", &state->mp_state, sizeof state->mp_state, error) ||
      !vmm_state_get_bytes (reader, "regs", &state->regs, sizeof state->regs, error) ||
      !vmm_state_get_bytes (reader, "sregs", &state->sregs, sizeof state->sregs, error) ||
      !vmm_state_get_bytes (reader, "lapic", &state->lapic, sizeof state->lapic, error) ||
      !vmm_state_get_bytes (reader, "debugregs", &state->debugregs, sizeof state->debugregs,
                            error) ||
      !vmm_state_get_bytes (reader, "xcrs", &state->xcrs, sizeof state->xcrs, error) ||
      !vmm_state_get_bytes (reader, "events", &state->events, sizeof state->events, error) ||
      /* A host with more extensions has a larger area; the standard part comes first. */
      !vmm_state_get_blob (reader, "xsave", xsave_size, &xsave, &length, error))
    return FALSE;
  memcpy (state->xsave, xsave, length);
  if (apic_id != vcpu->apic_id)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state is of a machine with other processors");
      return FALSE;
    }
  return load_msrs (vcpu, reader, state, error);
}

gboolean
vmm_vcpu_load (VmmVcpu *vcpu, VmmStateReader *reader, GError **error)
{
  VmmVcpuState state;
  const char *id, *class_name, *what = NULL;
  char want[32];
  guint32 version;
  gboolean ok;
  int r = 0;

  g_snprintf (want, sizeof want, "cpu.%u", vcpu->index);
  if (!vmm_state_reader_next (reader, &id, &class_name, &version, error))
    {
      if (error != NULL && *error == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The saved state lacks vCPU %u",
                     vcpu->index);
      return FALSE;
    }
  if (!g_str_equal (id, want) || !g_str_equal (class_name, SECTION_CLASS) ||
      version != SECTION_VERSION)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state has “%s” (%s, version %u) where vCPU %u should be", id,
                   class_name, version, vcpu->index);
      return FALSE;
    }
  vmm_vcpu_state_init (&state, vcpu->vm);
  ok = load_state (vcpu, reader, &state, error) && vmm_state_reader_end (reader, error);
  if (ok)
    r = vmm_vcpu_set_state (vcpu, &state, &what);
  if (ok && r >= 0)
    {
      vmm_vcpu_state_clear (&vcpu->held);
      vcpu->held = state;
      vcpu->held_valid = TRUE;
      return TRUE;
    }
  vmm_vcpu_state_clear (&state);
  if (r < 0)
    return vmm_error_set_errno (error, r, "KVM refuses the saved %s of vCPU %u", what, vcpu->index);
  return ok;
}
