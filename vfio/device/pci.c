/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The function's life: opened, read, reset, shown to the guest; and given back. */
#include "vfio/device/pci.h"

#include <linux/pci_regs.h>

#include "vfio/device/pci-private.h"

void
vfio_pci_note (VfioPci *pci, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  if (pci->config.events == NULL || pci->config.events->note == NULL)
    return;
  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  pci->config.events->note (text, pci->config.events->user_data);
}

/* The kernel's part of the work; what is not done is NULL, and finish copes. */
static void
finish (VfioPci *pci)
{
  VfioDevice *device = pci->host.device;

  if (device == NULL)
    return;
  vfio_pci_finish_irqs (pci);
  vfio_pci_finish_vga (pci);
  if (pci->parent.core != NULL)
    {
      /* Off before its BARs go: they are unmapped first. */
      vfio_pci_reset_hardware (pci, VFIO_RESET_FUNCTION);
      pci_device_finish (&pci->parent);
    }
  vfio_pci_finish_bars (pci);
  vfio_pci_finish_igd (pci);
  vfio_pci_finish_config (pci);
  g_mutex_clear (&pci->host.irq_lock);
  pci->host.device = NULL;
  vfio_device_free (device);
}

static void
fill_info (VfioPci *pci, PciDeviceInfo *info)
{
  const guint8 *physical = pci->host.physical;

  *info = (PciDeviceInfo){
    .vendor = (guint16)vfio_pci_le (physical + PCI_VENDOR_ID, 2),
    .device = (guint16)vfio_pci_le (physical + PCI_DEVICE_ID, 2),
    .subsystem_vendor = (guint16)vfio_pci_le (physical + PCI_SUBSYSTEM_VENDOR_ID, 2),
    .subsystem = (guint16)vfio_pci_le (physical + PCI_SUBSYSTEM_ID, 2),
    .revision = physical[PCI_REVISION_ID],
    .class_base = physical[PCI_CLASS_DEVICE + 1],
    .class_sub = physical[PCI_CLASS_DEVICE],
    .class_prog = physical[PCI_CLASS_PROG],
    .own_layout = pci->host.space_size == PCI_CFG_SPACE_EXP_SIZE,
    .intx_pin = vfio_device_get_n_irqs (pci->host.device, VFIO_PCI_INTX_IRQ_INDEX) > 0 &&
                        physical[PCI_INTERRUPT_PIN] <= 4
                    ? physical[PCI_INTERRUPT_PIN]
                    : 0,
  };
}

static gboolean
vfio_pci_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VfioPci *pci = (VfioPci *)device;
  PciDeviceInfo info;

  pci->host.intx_gsi = pci->host.intx_fd = pci->host.intx_fast_fd = pci->host.unmask_fd = -1;
  pci->host.error_fd = pci->host.request_fd = -1;
  if (vfio_container_get_machine (pci->config.container) != machine)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "%s: its memory is another machine's",
                   pci->config.host);
      return FALSE;
    }
  pci->host.device = vfio_device_new (pci->config.container, pci->config.sysfs, pci->config.host,
                                      pci->config.vf_token, error);
  if (pci->host.device == NULL)
    return FALSE;
  g_mutex_init (&pci->host.irq_lock);
  if (!vfio_pci_read_config (pci, error))
    {
      finish (pci);
      return FALSE;
    }
  fill_info (pci, &info);
  pci->host.quirks.ack_fd = -1;
  /* The ROM is read before the first reset: some cards keep it nowhere else than in what was loaded
   * at power-on. Configuration comes first, as resets need it. */
  if (!pci_device_init (&pci->parent, machine, &info, error) || !vfio_pci_init_config (pci, error))
    {
      finish (pci);
      return FALSE;
    }
  vfio_pci_init_quirks (pci);
  if (!vfio_pci_init_igd (pci, error) || !vfio_pci_init_bars (pci, error) ||
      !vfio_pci_init_vga (pci, error) || !vfio_pci_init_rom (pci, error))
    {
      finish (pci);
      return FALSE;
    }
  vfio_pci_reset_hardware (pci, VFIO_RESET_FUNCTION);
  if (!vfio_pci_init_irqs (pci, error))
    {
      finish (pci);
      return FALSE;
    }
  return TRUE;
}

static void
vfio_pci_unrealize (VmmDevice *device)
{
  finish ((VfioPci *)device);
}

static void
vfio_pci_reset (VmmDevice *device, VmmResetKind kind)
{
  VfioPci *pci = (VfioPci *)device;

  vfio_pci_reset_hardware (pci, VFIO_RESET_MACHINE);
  pci_device_reset (&pci->parent);
  vfio_pci_reset_quirks (pci);
  vfio_pci_update_irqs (pci);
}

static void
vfio_pci_quiesce (VmmDevice *device)
{
}

static void
vfio_pci_resume (VmmDevice *device)
{
}

/* Never called: the flag says so before. */
static gboolean
vfio_pci_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED, "The state of %s cannot be read",
               ((VfioPci *)device)->config.host);
  return FALSE;
}

static gboolean
vfio_pci_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED, "The state of %s cannot be set",
               ((VfioPci *)device)->config.host);
  return FALSE;
}

gboolean
vfio_pci_get_link (VmmDevice *device, guint *ret_speed, guint *ret_width)
{
  VfioPci *pci = (VfioPci *)device;
  guint cap = pci->host.express_cap, status;

  if (cap == 0)
    return FALSE;
  status = vfio_pci_le (pci->host.physical + cap + PCI_EXP_LNKSTA, 2);
  *ret_speed = status & PCI_EXP_LNKSTA_CLS;
  *ret_width = (status & PCI_EXP_LNKSTA_NLW) >> PCI_EXP_LNKSTA_NLW_SHIFT;
  return *ret_speed != 0 && *ret_width != 0;
}

void
vfio_pci_get_stats (VmmDevice *device, VfioPciStats *ret_stats)
{
  VfioPci *pci = (VfioPci *)device;

  ret_stats->reads = __atomic_load_n (&pci->host.n_reads, __ATOMIC_RELAXED);
  ret_stats->writes = __atomic_load_n (&pci->host.n_writes, __ATOMIC_RELAXED);
  ret_stats->slow_interrupts = __atomic_load_n (&pci->host.n_slow, __ATOMIC_RELAXED);
}

static void
add_stats (VmmDevice *device,
           void (*add) (gpointer user_data, const char *name, guint64 value),
           gpointer user_data)
{
  VfioPciStats stats;

  vfio_pci_get_stats (device, &stats);
  add (user_data, "trapped-reads", stats.reads);
  add (user_data, "trapped-writes", stats.writes);
  add (user_data, "slow-interrupts", stats.slow_interrupts);
}

static const VmmProperty properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "container", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VfioPci, config.container),
    .required = TRUE },
  { "host", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (VfioPci, config.host), .required = TRUE },
  { "sysfs", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (VfioPci, config.sysfs), .required = TRUE },
  { "vf-token", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (VfioPci, config.vf_token) },
  { "rom", VMM_PROPERTY_BOOL, G_STRUCT_OFFSET (VfioPci, config.rom), .default_uint = TRUE },
  { "rom-image", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VfioPci, config.rom_image) },
  { "vga", VMM_PROPERTY_BOOL, G_STRUCT_OFFSET (VfioPci, config.vga) },
  { "igd", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VfioPci, config.igd), VFIO_PCI_IGD_OFF,
    VFIO_PCI_IGD_LEGACY, .default_uint = VFIO_PCI_IGD_ON },
  { "events", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VfioPci, config.events) },
  { NULL },
};

const VmmDeviceOps vfio_pci_ops = {
  .name = "vfio-pci",
  .summary = "PCI device of the host",
  .spec = "PCI Local Bus 3.0, PCI Express Base 5.0",
  .instance_size = sizeof (VfioPci),
  .state_version = 1,
  .flags = VMM_DEVICE_UNSAVABLE,
  .properties = properties,
  .realize = vfio_pci_realize,
  .unrealize = vfio_pci_unrealize,
  .reset = vfio_pci_reset,
  .quiesce = vfio_pci_quiesce,
  .resume = vfio_pci_resume,
  .save = vfio_pci_save,
  .load = vfio_pci_load,
  .stats = add_stats,
};
