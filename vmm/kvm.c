/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opens /dev/kvm and reads what it offers. (Linux Documentation/virt/kvm/api.rst) */
#include "vmm/kvm-private.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm/host-check.h"

#define MAX_CPUID_ENTRIES 512
#define MAX_MSR_INDICES   4096

int
vmm_kvm_ioctl (int fd, unsigned long request, gpointer argument)
{
  int r;

  do
    r = ioctl (fd, request, argument);
  while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}

int
vmm_kvm_check (VmmKvm *kvm, int capability)
{
  int r = ioctl (kvm->fd, KVM_CHECK_EXTENSION, (long)capability);

  return MAX (r, 0);
}

static gboolean
cpu_has_flag (const char *flag)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) words = NULL;
  char *line, *end;

  if (!g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    return FALSE;
  line = strstr (text, "\nflags");
  if (line == NULL)
    return FALSE;
  end = strchr (line + 1, '\n');
  if (end != NULL)
    *end = '\0';
  words = g_strsplit (line, " ", -1);
  return g_strv_contains ((const char *const *)words, flag);
}

static void
set_missing_error (const char *path, GError **error)
{
  gboolean vmx = cpu_has_flag ("vmx"), svm = cpu_has_flag ("svm");

  if (g_file_test ("/.flatpak-info", G_FILE_TEST_EXISTS))
    g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                 "%s is not visible in this Flatpak. Allow it with: flatpak override --user "
                 "--device=kvm io.github.alcove_vm.Alcove",
                 path);
  else if (vmx || svm)
    g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                 "%s is missing although this processor has virtualization. Load the module with: "
                 "sudo modprobe %s — if that fails, turn %s on in the firmware settings.",
                 path, vmx ? "kvm_intel" : "kvm_amd", vmx ? "VT-x" : "AMD-V (SVM)");
  else
    g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                 "%s is missing: this processor has no virtualization (VT-x, AMD-V), or it is "
                 "turned off in the firmware settings.",
                 path);
}

static void
set_permission_error (const char *path, GError **error)
{
  struct stat st;
  struct group *group = NULL;

  if (stat (path, &st) == 0 && (st.st_mode & (S_IRGRP | S_IWGRP)) == (S_IRGRP | S_IWGRP))
    group = getgrgid (st.st_gid);
  if (group != NULL && st.st_gid != 0)
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_PERMISSION,
        "You may not use %s. Join its group with: sudo usermod -aG %s \"$USER\" — then log "
        "out and in again.",
        path, group->gr_name);
  else
    g_set_error (
        error, VMM_ERROR, VMM_ERROR_PERMISSION,
        "You may not use %s. Give its group to it with: sudo chgrp kvm %s && sudo chmod 660 "
        "%s — and join that group with: sudo usermod -aG kvm \"$USER\"",
        path, path, path);
}

static void
set_open_error (const char *path, int err, GError **error)
{
  if (err == ENOENT || err == ENODEV || err == ENXIO)
    set_missing_error (path, error);
  else if (err == EACCES || err == EPERM)
    set_permission_error (path, error);
  else if (err == EBUSY)
    g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                 "%s is held by another hypervisor. Close VirtualBox or VMware and try again.",
                 path);
  else
    vmm_error_set_errno (error, -err, "Cannot open %s", path);
}

static const struct
{
  int capability;
  const char *name;
} required[] = {
  { KVM_CAP_USER_MEMORY, "memory slots" },
  { KVM_CAP_SET_TSS_ADDR, "KVM_SET_TSS_ADDR" },
  { KVM_CAP_IRQCHIP, "interrupt controllers in the kernel" },
  { KVM_CAP_IRQ_ROUTING, "interrupt routing" },
  { KVM_CAP_IRQFD, "irqfd" },
  { KVM_CAP_IOEVENTFD, "ioeventfd" },
  { KVM_CAP_PIT2, "the timer chip in the kernel" },
  { KVM_CAP_PIT_STATE2, "the timer chip's state" },
  { KVM_CAP_MP_STATE, "processor start-up states" },
  { KVM_CAP_EXT_CPUID, "CPUID" },
  { KVM_CAP_IMMEDIATE_EXIT, "immediate exit (Linux 4.13)" },
  { KVM_CAP_SIGNAL_MSI, "message-signalled interrupts" },
  { KVM_CAP_VCPU_EVENTS, "vCPU events" },
  { KVM_CAP_XSAVE, "XSAVE state" },
  { KVM_CAP_XCRS, "XCR state" },
  { KVM_CAP_DEBUGREGS, "debug registers" },
  { KVM_CAP_ADJUST_CLOCK, "guest clock" },
  { KVM_CAP_READONLY_MEM, "read-only memory" },
};

static gboolean
check_required (VmmKvm *kvm, GError **error)
{
  int version = ioctl (kvm->fd, KVM_GET_API_VERSION, 0);

  if (version != KVM_API_VERSION)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "This kernel's KVM speaks version %d of its interface, Alcove needs version %d",
                   version, KVM_API_VERSION);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (required); i++)
    if (vmm_kvm_check (kvm, required[i].capability) == 0)
      {
        g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                     "This kernel's KVM lacks %s. Alcove needs Linux 5.10 or newer.",
                     required[i].name);
        return FALSE;
      }
  return TRUE;
}

static void
read_caps (VmmKvm *kvm)
{
  VmmKvmCaps *caps = &kvm->caps;
  int adjust = vmm_kvm_check (kvm, KVM_CAP_ADJUST_CLOCK);

  caps->n_vcpus_recommended = (guint)MAX (vmm_kvm_check (kvm, KVM_CAP_NR_VCPUS), 1);
  caps->n_vcpus_max = (guint)vmm_kvm_check (kvm, KVM_CAP_MAX_VCPUS);
  if (caps->n_vcpus_max == 0)
    caps->n_vcpus_max = caps->n_vcpus_recommended;
  caps->n_memslots_max = (guint)MAX (vmm_kvm_check (kvm, KVM_CAP_NR_MEMSLOTS), 32);
  caps->n_irq_routes_max = (guint)vmm_kvm_check (kvm, KVM_CAP_IRQ_ROUTING);
  caps->smm = vmm_kvm_check (kvm, KVM_CAP_X86_SMM) > 0;
  caps->x2apic_api = (vmm_kvm_check (kvm, KVM_CAP_X2APIC_API) & 3) == 3;
  caps->msr_filter = vmm_kvm_check (kvm, KVM_CAP_X86_MSR_FILTER) > 0;
  caps->user_space_msr = vmm_kvm_check (kvm, KVM_CAP_X86_USER_SPACE_MSR) > 0;
  caps->immediate_exit = TRUE;
  caps->irqfd_resample = vmm_kvm_check (kvm, KVM_CAP_IRQFD_RESAMPLE) > 0;
  caps->adjust_clock = adjust != 0;
  caps->tsc_stable = (adjust & KVM_CLOCK_TSC_STABLE) != 0;
  caps->tsc_control = vmm_kvm_check (kvm, KVM_CAP_TSC_CONTROL) > 0;
  caps->dirty_log_manual = vmm_kvm_check (kvm, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2) > 0;
  caps->dirty_ring = vmm_kvm_check (kvm, KVM_CAP_DIRTY_LOG_RING) > 0;
  caps->readonly_mem = TRUE;
  caps->ioeventfd_any_length = vmm_kvm_check (kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
  caps->hyperv_synic = vmm_kvm_check (kvm, KVM_CAP_HYPERV_SYNIC) > 0;
  caps->exception_payload = vmm_kvm_check (kvm, KVM_CAP_EXCEPTION_PAYLOAD) > 0;
  caps->xsave2 = vmm_kvm_check (kvm, KVM_CAP_XSAVE2) > 0;
  caps->set_guest_debug = vmm_kvm_check (kvm, KVM_CAP_SET_GUEST_DEBUG) > 0;
  g_strlcpy (caps->backend, vmm_host_check_backend ("/sys"), sizeof caps->backend);
  caps->hardware = vmm_host_check_is_hardware (caps->backend);

  kvm->xsave_size =
      (gsize)MAX (vmm_kvm_check (kvm, KVM_CAP_XSAVE2), (int)sizeof (struct kvm_xsave));
  kvm->max_vcpu_id = (guint)vmm_kvm_check (kvm, KVM_CAP_MAX_VCPU_ID);
  if (kvm->max_vcpu_id == 0)
    kvm->max_vcpu_id = caps->n_vcpus_max;
  kvm->tsc_deadline = vmm_kvm_check (kvm, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
  kvm->kvmclock_ctrl = vmm_kvm_check (kvm, KVM_CAP_KVMCLOCK_CTRL) > 0;
  kvm->sregs2 = vmm_kvm_check (kvm, KVM_CAP_SREGS2) > 0;
}

/* The two lists whose length the kernel tells by E2BIG. */
static int
read_lists (VmmKvm *kvm)
{
  struct kvm_msr_list probe = { 0 };
  int r = -E2BIG;

  for (guint n = 64; r == -E2BIG && n <= MAX_CPUID_ENTRIES; n *= 2)
    {
      g_free (kvm->cpuid);
      kvm->cpuid = g_malloc0 (sizeof *kvm->cpuid + n * sizeof kvm->cpuid->entries[0]);
      kvm->cpuid->nent = n;
      r = vmm_kvm_ioctl (kvm->fd, KVM_GET_SUPPORTED_CPUID, kvm->cpuid);
    }
  if (r < 0)
    return r;
  r = vmm_kvm_ioctl (kvm->fd, KVM_GET_MSR_INDEX_LIST, &probe);
  if (r != -E2BIG && r < 0)
    return r;
  if (probe.nmsrs > MAX_MSR_INDICES)
    return -E2BIG;
  kvm->msr_indices = g_malloc0 (sizeof *kvm->msr_indices + probe.nmsrs * sizeof (guint32));
  kvm->msr_indices->nmsrs = probe.nmsrs;
  r = vmm_kvm_ioctl (kvm->fd, KVM_GET_MSR_INDEX_LIST, kvm->msr_indices);
  return MIN (r, 0);
}

VmmKvm *
vmm_kvm_open (const char *path, GError **error)
{
  VmmKvm *kvm = g_new0 (VmmKvm, 1);
  int r;

  if (path == NULL)
    path = "/dev/kvm";
  kvm->fd = open (path, O_RDWR | O_CLOEXEC);
  if (kvm->fd < 0)
    {
      set_open_error (path, errno, error);
      vmm_kvm_close (kvm);
      return NULL;
    }
  if (!check_required (kvm, error))
    {
      vmm_kvm_close (kvm);
      return NULL;
    }
  read_caps (kvm);
  r = read_lists (kvm);
  if (r >= 0)
    r = vmm_kvm_ioctl (kvm->fd, KVM_GET_VCPU_MMAP_SIZE, NULL);
  if (r < 0)
    {
      vmm_error_set_errno (error, r, "Cannot read what %s offers", path);
      vmm_kvm_close (kvm);
      return NULL;
    }
  kvm->vcpu_mmap_size = (gsize)r;
  for (guint i = 0; i < kvm->cpuid->nent; i++)
    if (kvm->cpuid->entries[i].function == 0x80000008)
      kvm->caps.phys_bits = kvm->cpuid->entries[i].eax & 0xff;
  if (kvm->caps.phys_bits == 0)
    kvm->caps.phys_bits = 36;
  return kvm;
}

void
vmm_kvm_close (VmmKvm *kvm)
{
  if (kvm == NULL)
    return;
  if (kvm->fd >= 0)
    close (kvm->fd);
  g_free (kvm->cpuid);
  g_free (kvm->msr_indices);
  g_free (kvm);
}

const VmmKvmCaps *
vmm_kvm_get_caps (VmmKvm *kvm)
{
  return &kvm->caps;
}
