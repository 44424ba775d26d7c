/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Resets of the real device: at start, when the guest is reset, and at the end, so that neither the
 * next guest nor the host finds what the last one left. First by the function's own reset where that
 * is a true one (FLR, or one of its vendor), then by a reset of the bus when all that is on it is
 * ours, at last by the power states. Two kinds of card have a way of their own (pci-radeon.c). */
#include <linux/pci_regs.h>

#include "vfio/device/pci-private.h"

/* Quiet: no interrupts, no DMA, nothing decoded, awake. */
static void
prepare (VfioPci *pci)
{
  PciBus *bus = pci_device_get_bus (&pci->parent);
  guint command;

  vfio_pci_disable_irqs (pci);
  pci_bus_lock_config (bus);
  vfio_pci_unmap_slots (pci);
  if (pci->host.pm_cap != 0)
    {
      guint control = vfio_pci_physical_read (pci, pci->host.pm_cap + PCI_PM_CTRL, 2);

      if (control != 0xffff && (control & PCI_PM_CTRL_STATE_MASK) != 0)
        (void)vfio_pci_physical_write (pci, pci->host.pm_cap + PCI_PM_CTRL, 2,
                                       control & ~(guint)PCI_PM_CTRL_STATE_MASK);
    }
  command = vfio_pci_physical_read (pci, PCI_COMMAND, 2);
  if (command != 0xffff)
    (void)vfio_pci_physical_write (pci, PCI_COMMAND, 2,
                                   command &
                                       ~(guint)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY |
                                                PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE));
  pci->host.asleep = FALSE;
  pci->host.intx_trapped = FALSE;
  pci_bus_unlock_config (bus);
}

static gboolean
has_flr (VfioPci *pci)
{
  if (pci->host.express_cap != 0 &&
      (vfio_pci_le (pci->host.physical + pci->host.express_cap + PCI_EXP_DEVCAP, 4) &
       PCI_EXP_DEVCAP_FLR) != 0)
    return TRUE;
  return pci->host.af_cap != 0 &&
         (pci->host.physical[pci->host.af_cap + PCI_AF_CAP] & PCI_AF_CAP_FLR) != 0;
}

static gboolean
has_pm_reset (VfioPci *pci)
{
  return pci->host.pm_cap != 0 &&
         (vfio_pci_le (pci->host.physical + pci->host.pm_cap + PCI_PM_CTRL, 2) &
          PCI_PM_CTRL_NO_SOFT_RESET) == 0;
}

typedef struct
{
  VfioPci *self;
  char **names;
  VfioResetScope scope;
  gboolean prepare;
  guint n_barred; /* that must not be hit */
} Mates;

/* Functions of this machine that a reset of the host's bus reaches. */
static void
visit_mate (PciDevice *device, gpointer user_data)
{
  Mates *mates = user_data;
  VfioPci *pci = (VfioPci *)device;

  if (device->parent.ops != &vfio_pci_ops || pci == mates->self || pci->host.device == NULL ||
      !g_strv_contains ((const char *const *)mates->names, vfio_device_get_name (pci->host.device)))
    return;
  if (mates->prepare)
    {
      prepare (pci);
      pci->host.fresh = TRUE;
    }
  else if (mates->scope == VFIO_RESET_FUNCTION ||
           (mates->scope == VFIO_RESET_BUS &&
            (pci_device_get_bus (device) != pci_device_get_bus (&mates->self->parent) ||
             !g_atomic_int_get (&device->parent.realized))))
    mates->n_barred++;
}

/* FALSE when it cannot be done, or would hit a function that works. What is the host's is never hit:
 * the kernel wants to see that all that is on the bus is ours. */
static gboolean
reset_bus (VfioPci *pci, VfioResetScope scope)
{
  g_auto (GStrv) names = vfio_device_dup_hot_reset_mates (pci->host.device);
  PciBus *bus = pci_device_get_bus (&pci->parent);
  Mates mates = { .self = pci, .names = names, .scope = scope };

  if (names == NULL)
    return FALSE;
  pci_bus_foreach_in_tree (bus, visit_mate, &mates);
  if (mates.n_barred > 0)
    return FALSE;
  mates.prepare = TRUE;
  pci_bus_foreach_in_tree (bus, visit_mate, &mates);
  return vfio_device_hot_reset (pci->host.device) >= 0;
}

void
vfio_pci_reset_hardware (VfioPci *pci, VfioResetScope scope)
{
  VfioDevice *device = pci->host.device;
  gboolean done = pci->host.fresh && scope != VFIO_RESET_FUNCTION;

  prepare (pci);
  if (!done && pci->host.quirks.is_radeon && !vfio_device_can_reset (device))
    done = vfio_pci_reset_radeon (pci);
  /* A guest that asks for the bus may know why its function's own reset is not enough. */
  if (!done && scope == VFIO_RESET_BUS)
    done = reset_bus (pci, scope);
  if (!done && vfio_device_can_reset (device) && (has_flr (pci) || !has_pm_reset (pci)))
    done = vfio_device_reset (device) >= 0;
  if (!done && scope != VFIO_RESET_BUS)
    done = reset_bus (pci, scope);
  if (!done && vfio_device_can_reset (device))
    done = vfio_device_reset (device) >= 0;
  /* What the kernel put back is off again. */
  if (done)
    {
      guint command = vfio_pci_physical_read (pci, PCI_COMMAND, 2);

      if (command != 0xffff)
        (void)vfio_pci_physical_write (
            pci, PCI_COMMAND, 2,
            command & ~(guint)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
      pci->host.fresh = TRUE;
    }
  else if (scope != VFIO_RESET_FUNCTION)
    vfio_pci_note (pci,
                   "It could not be reset: it goes on with what was in it, and the guest's driver "
                   "may not start it. If it does not work, restart the host");
}

void
vfio_pci_on_bus_reset (PciDevice *device)
{
  VfioPci *pci = (VfioPci *)device;

  vfio_pci_reset_hardware (pci, VFIO_RESET_BUS);
  pci_device_reset (device);
  vfio_pci_update_irqs (pci);
}
