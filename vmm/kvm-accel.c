/* SPDX-License-Identifier: GPL-3.0-or-later */
/* KVM as the machine's VmmAccel: memory slots, interrupt routing, irqfd, ioeventfd, and the
 * interrupt controllers in the kernel. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "vmm/memory-private.h"
#include "vmm/vm-private.h"

#define N_ISA_IRQS 16
#define N_PINS     VMM_MACHINE_N_GSI

static VmmVm *
from_accel (gpointer accel)
{
  return accel;
}

/* Memory slots */

static int
set_slot (VmmVm *vm, VmmMapping *mapping, guint64 size, gboolean log_dirty)
{
  VmmRamBlock *block = vmm_mapping_get_block (mapping);
  struct kvm_userspace_memory_region region = {
    .slot = vmm_mapping_get_slot (mapping),
    .guest_phys_addr = vmm_mapping_get_gpa (mapping).value,
    .memory_size = size,
    .userspace_addr =
        (guintptr)vmm_ram_block_get_data (block) + (guintptr)vmm_mapping_get_offset (mapping),
  };

  if ((vmm_mapping_get_flags (mapping) & VMM_MAP_READONLY) != 0)
    region.flags |= KVM_MEM_READONLY;
  if (log_dirty)
    region.flags |= KVM_MEM_LOG_DIRTY_PAGES;
  return vmm_kvm_ioctl (vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static gboolean
on_map (gpointer user_data, VmmMapping *mapping, GError **error)
{
  VmmVm *vm = from_accel (user_data);
  guint slot = vmm_mapping_get_slot (mapping);
  int r;

  if (slot >= vm->kvm->caps.n_memslots_max)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "The machine has more pieces of memory than KVM can take (%u)",
                   vm->kvm->caps.n_memslots_max);
      return FALSE;
    }
  r = set_slot (vm, mapping, vmm_mapping_get_length (mapping), FALSE);
  if (r < 0)
    return vmm_error_set_errno (
        error, r,
        "KVM refuses memory “%s” at 0x%" G_GINT64_MODIFIER "x (%" G_GUINT64_FORMAT " KiB)",
        vmm_ram_block_get_name (vmm_mapping_get_block (mapping)),
        vmm_mapping_get_gpa (mapping).value, vmm_mapping_get_length (mapping) >> 10);
  return TRUE;
}

static void
on_unmap (gpointer user_data, VmmMapping *mapping)
{
  (void)set_slot (from_accel (user_data), mapping, 0, FALSE);
}

static void
on_set_log_dirty (gpointer user_data, VmmMapping *mapping, gboolean on)
{
  (void)set_slot (from_accel (user_data), mapping, vmm_mapping_get_length (mapping), on);
}

static int
on_sync_dirty (gpointer user_data, VmmMapping *mapping)
{
  VmmVm *vm = from_accel (user_data);
  guint64 n_pages = vmm_mapping_get_length (mapping) >> VMM_PAGE_SHIFT;
  g_autofree guint64 *bitmap = g_new0 (guint64, (n_pages + 63) / 64);
  struct kvm_dirty_log log = {
    .slot = vmm_mapping_get_slot (mapping),
    .dirty_bitmap = bitmap,
  };
  int r = vmm_kvm_ioctl (vm->fd, KVM_GET_DIRTY_LOG, &log);

  if (r < 0)
    return r;
  vmm_ram_block_merge_dirty (vmm_mapping_get_block (mapping),
                             vmm_mapping_get_offset (mapping) >> VMM_PAGE_SHIFT, bitmap, n_pages);
  return 0;
}

/* Interrupts */

static int
set_gsi (VmmAccel *accel, guint gsi, gboolean level)
{
  struct kvm_irq_level line = { .irq = gsi, .level = level ? 1 : 0 };
  int r = vmm_kvm_ioctl (from_accel (accel)->fd, KVM_IRQ_LINE, &line);

  return MIN (r, 0);
}

/* MSI addresses with more than 8 bits of destination need KVM_X2APIC_API_USE_32BIT_IDS; the upper
 * half of the address passes through either way. */
static int
signal_msi (VmmAccel *accel, guint64 address, guint32 data)
{
  struct kvm_msi msi = {
    .address_lo = (guint32)address,
    .address_hi = (guint32)(address >> 32),
    .data = data,
  };
  int r = vmm_kvm_ioctl (from_accel (accel)->fd, KVM_SIGNAL_MSI, &msi);

  return MIN (r, 0);
}

/* irq_lock is held. */
static int
commit_routes (VmmVm *vm)
{
  if (vm->routes_held > 0)
    {
      vm->routes_changed = TRUE;
      return 0;
    }
  return vmm_kvm_ioctl (vm->fd, KVM_SET_GSI_ROUTING, vm->routing);
}

static struct kvm_irq_routing_entry *
find_msi_route (VmmVm *vm, guint gsi)
{
  for (guint i = 0; i < vm->routing->nr; i++)
    if (vm->routing->entries[i].gsi == gsi && vm->routing->entries[i].type == KVM_IRQ_ROUTING_MSI)
      return &vm->routing->entries[i];
  return NULL;
}

static void
fill_msi (struct kvm_irq_routing_entry *entry, guint gsi, guint64 address, guint32 data)
{
  *entry = (struct kvm_irq_routing_entry){
    .gsi = gsi,
    .type = KVM_IRQ_ROUTING_MSI,
    .u.msi = { .address_lo = (guint32)address,
               .address_hi = (guint32)(address >> 32),
               .data = data },
  };
}

static int
alloc_msi_route (VmmAccel *accel, guint64 address, guint32 data)
{
  VmmVm *vm = from_accel (accel);
  guint gsi;
  int r = -ENOSPC;

  g_mutex_lock (&vm->irq_lock);
  for (gsi = N_PINS; gsi < vm->routes_max; gsi++)
    if ((vm->gsi_used[gsi / 64] >> (gsi % 64) & 1) == 0)
      break;
  if (gsi < vm->routes_max && vm->routing->nr < vm->routes_max)
    {
      fill_msi (&vm->routing->entries[vm->routing->nr++], gsi, address, data);
      r = commit_routes (vm);
      if (r < 0)
        vm->routing->nr--;
      else
        {
          vm->gsi_used[gsi / 64] |= G_GUINT64_CONSTANT (1) << (gsi % 64);
          r = (int)gsi;
        }
    }
  g_mutex_unlock (&vm->irq_lock);
  return r;
}

static int
set_msi_route (VmmAccel *accel, guint gsi, guint64 address, guint32 data)
{
  VmmVm *vm = from_accel (accel);
  struct kvm_irq_routing_entry *entry;
  int r = -ENOENT;

  g_mutex_lock (&vm->irq_lock);
  entry = find_msi_route (vm, gsi);
  if (entry != NULL)
    {
      fill_msi (entry, gsi, address, data);
      r = commit_routes (vm);
    }
  g_mutex_unlock (&vm->irq_lock);
  return MIN (r, 0);
}

static void
free_msi_route (VmmAccel *accel, guint gsi)
{
  VmmVm *vm = from_accel (accel);
  struct kvm_irq_routing_entry *entry;

  g_mutex_lock (&vm->irq_lock);
  entry = find_msi_route (vm, gsi);
  if (entry != NULL)
    {
      *entry = vm->routing->entries[--vm->routing->nr];
      vm->gsi_used[gsi / 64] &= ~(G_GUINT64_CONSTANT (1) << (gsi % 64));
      (void)commit_routes (vm);
    }
  g_mutex_unlock (&vm->irq_lock);
}

static int
set_irqfd (VmmAccel *accel, int eventfd, int resamplefd, guint gsi, gboolean assign)
{
  struct kvm_irqfd irqfd = { .fd = (guint32)eventfd, .gsi = gsi };
  int r;

  if (!assign)
    irqfd.flags |= KVM_IRQFD_FLAG_DEASSIGN;
  else if (resamplefd >= 0)
    {
      irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
      irqfd.resamplefd = (guint32)resamplefd;
    }
  r = vmm_kvm_ioctl (from_accel (accel)->fd, KVM_IRQFD, &irqfd);
  return MIN (r, 0);
}

static int
set_ioeventfd (VmmAccel *accel,
               int eventfd,
               gboolean pio,
               guint64 address,
               guint size,
               gboolean has_match,
               guint64 match,
               gboolean assign)
{
  VmmVm *vm = from_accel (accel);
  struct kvm_ioeventfd entry = {
    .addr = address,
    .len = size,
    .fd = eventfd,
    .datamatch = has_match ? match : 0,
  };
  int r;

  if (size == 0 && !vm->kvm->caps.ioeventfd_any_length)
    return -ENOSYS;
  if (pio)
    entry.flags |= KVM_IOEVENTFD_FLAG_PIO;
  if (has_match)
    entry.flags |= KVM_IOEVENTFD_FLAG_DATAMATCH;
  if (!assign)
    entry.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  r = vmm_kvm_ioctl (vm->fd, KVM_IOEVENTFD, &entry);
  return MIN (r, 0);
}

/* Each commit waits for all vCPUs to leave the old table: one for a device's vectors together, not
 * one a vector. An irqfd whose route is not there yet gets it with the commit. */
static void
hold_routes (VmmAccel *accel)
{
  VmmVm *vm = from_accel (accel);

  g_mutex_lock (&vm->irq_lock);
  vm->routes_held++;
  g_mutex_unlock (&vm->irq_lock);
}

static void
release_routes (VmmAccel *accel)
{
  VmmVm *vm = from_accel (accel);

  g_mutex_lock (&vm->irq_lock);
  g_assert (vm->routes_held > 0);
  if (--vm->routes_held == 0 && vm->routes_changed)
    {
      vm->routes_changed = FALSE;
      (void)commit_routes (vm);
    }
  g_mutex_unlock (&vm->irq_lock);
}

static gboolean
gsi_is_open (VmmAccel *accel, guint gsi)
{
  struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };

  return gsi < KVM_IOAPIC_NUM_PINS &&
         vmm_kvm_ioctl (from_accel (accel)->fd, KVM_GET_IRQCHIP, &chip) >= 0 &&
         chip.chip.ioapic.redirtbl[gsi].fields.mask == 0;
}

static int
set_vfio (VmmAccel *accel, int fd, gboolean add)
{
  VmmVm *vm = from_accel (accel);
  gint32 argument = fd;
  struct kvm_device_attr attr = {
    .group = KVM_DEV_VFIO_GROUP, /* 1: KVM_DEV_VFIO_FILE in newer kernels, which take either */
    .attr = add ? KVM_DEV_VFIO_GROUP_ADD : KVM_DEV_VFIO_GROUP_DEL,
    .addr = (guintptr)&argument,
  };
  int r = 0;

  g_mutex_lock (&vm->irq_lock);
  if (vm->vfio_fd < 0)
    {
      struct kvm_create_device device = { .type = KVM_DEV_TYPE_VFIO };

      r = vmm_kvm_ioctl (vm->fd, KVM_CREATE_DEVICE, &device);
      if (r >= 0)
        vm->vfio_fd = (int)device.fd;
    }
  if (r >= 0)
    r = vmm_kvm_ioctl (vm->vfio_fd, KVM_SET_DEVICE_ATTR, &attr);
  g_mutex_unlock (&vm->irq_lock);
  return MIN (r, 0);
}

const VmmAccelOps vmm_kvm_accel_ops = {
  .name = "kvm",
  .memory = { on_map, on_unmap, on_set_log_dirty, on_sync_dirty },
  .set_gsi = set_gsi,
  .signal_msi = signal_msi,
  .alloc_msi_route = alloc_msi_route,
  .set_msi_route = set_msi_route,
  .free_msi_route = free_msi_route,
  .irqfd = set_irqfd,
  .ioeventfd = set_ioeventfd,
  .hold_routes = hold_routes,
  .release_routes = release_routes,
  .gsi_is_open = gsi_is_open,
  .set_vfio = set_vfio,
};

/* Interrupt controllers */

static void
add_pin (VmmVm *vm, guint gsi, guint chip, guint pin)
{
  vm->routing->entries[vm->routing->nr++] = (struct kvm_irq_routing_entry){
    .gsi = gsi,
    .type = KVM_IRQ_ROUTING_IRQCHIP,
    .u.irqchip = { .irqchip = chip, .pin = pin },
  };
}

/* The ISA lines reach both the PICs and the IOAPIC; the timer (0) is on IOAPIC pin 2, as the MADT's
 * override says, so the PIC's cascade (2) goes nowhere. */
static void
add_default_routes (VmmVm *vm)
{
  for (guint gsi = 0; gsi < N_PINS; gsi++)
    {
      if (gsi == 2)
        continue;
      if (gsi < N_ISA_IRQS)
        add_pin (vm, gsi, gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, gsi % 8);
      add_pin (vm, gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
    }
}

gboolean
vmm_vm_init_irqchip (VmmVm *vm, GError **error)
{
  struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
  guint64 identity = VMM_KVM_RESERVED_BASE;
  const char *what = "an identity page table";
  int r = 0;

  vm->routes_max = MIN (vm->kvm->caps.n_irq_routes_max, 4096);
  vm->routing = g_malloc0 (sizeof *vm->routing + vm->routes_max * sizeof vm->routing->entries[0]);
  vm->gsi_used = g_new0 (guint64, vm->routes_max / 64 + 1);

  /* Intel processors without unrestricted guest run real mode with these; elsewhere they are only
   * noted. Both must be set before the first vCPU. */
  if (vmm_kvm_check (vm->kvm, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0)
    r = vmm_kvm_ioctl (vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity);
  if (r >= 0)
    {
      what = "a task state segment";
      r = vmm_kvm_ioctl (vm->fd, KVM_SET_TSS_ADDR,
                         (gpointer)(guintptr)(VMM_KVM_RESERVED_BASE + 0x1000));
    }
  if (r >= 0)
    {
      what = "interrupt controllers";
      r = vmm_kvm_ioctl (vm->fd, KVM_CREATE_IRQCHIP, NULL);
    }
  if (r >= 0)
    {
      what = "a timer chip";
      r = vmm_kvm_ioctl (vm->fd, KVM_CREATE_PIT2, &pit);
    }
  if (r >= 0 && vm->config.n_vcpus > 254 && vm->kvm->caps.x2apic_api)
    {
      struct kvm_enable_cap cap = {
        .cap = KVM_CAP_X2APIC_API,
        .args = { KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK },
      };

      what = "32-bit APIC ids";
      r = vmm_kvm_ioctl (vm->fd, KVM_ENABLE_CAP, &cap);
    }
  if (r >= 0)
    {
      what = "interrupt routes";
      add_default_routes (vm);
      r = commit_routes (vm);
    }
  if (r >= 0)
    r = vmm_vm_get_irqchip (vm, &vm->initial_irqchip);
  if (r < 0)
    return vmm_error_set_errno (error, r, "KVM cannot give the machine %s", what);
  return TRUE;
}

int
vmm_vm_get_irqchip (VmmVm *vm, VmmIrqchipState *ret_state)
{
  int r = 0;

  memset (ret_state, 0, sizeof *ret_state);
  for (guint i = 0; r >= 0 && i < G_N_ELEMENTS (ret_state->chips); i++)
    {
      ret_state->chips[i].chip_id = i; /* KVM_IRQCHIP_PIC_MASTER, PIC_SLAVE, IOAPIC */
      r = vmm_kvm_ioctl (vm->fd, KVM_GET_IRQCHIP, &ret_state->chips[i]);
    }
  if (r >= 0)
    r = vmm_kvm_ioctl (vm->fd, KVM_GET_PIT2, &ret_state->pit);
  return MIN (r, 0);
}

int
vmm_vm_set_irqchip (VmmVm *vm, const VmmIrqchipState *state)
{
  VmmIrqchipState copy = *state;
  int r = 0;

  for (guint i = 0; r >= 0 && i < G_N_ELEMENTS (copy.chips); i++)
    r = vmm_kvm_ioctl (vm->fd, KVM_SET_IRQCHIP, &copy.chips[i]);
  if (r >= 0)
    r = vmm_kvm_ioctl (vm->fd, KVM_SET_PIT2, &copy.pit);
  return MIN (r, 0);
}
