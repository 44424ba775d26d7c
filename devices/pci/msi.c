/* SPDX-License-Identifier: GPL-3.0-or-later */
/* MSI. PCI 3.0, 6.8.1. Our own devices have one vector and a 64-bit address; functions that lay out
 * their capabilities themselves have what their control register says. The registers lie in
 * configuration space, so saving and loading that is enough for the former; the latter are not
 * saved. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>

#define MSI_LENGTH 14 /* 64-bit address, no mask bits */

/* What the control register says of the layout. */
typedef struct
{
  gboolean is64, maskable;
  guint data, mask, pending, length; /* offsets from the capability; mask and pending 0: none */
} Layout;

static Layout
get_layout (const PciCore *core)
{
  guint flags = core->config[core->msi_cap + PCI_MSI_FLAGS] |
                (guint)core->config[core->msi_cap + PCI_MSI_FLAGS + 1] << 8;
  Layout layout = { .is64 = (flags & PCI_MSI_FLAGS_64BIT) != 0,
                    .maskable = (flags & PCI_MSI_FLAGS_MASKBIT) != 0 };

  layout.data = layout.is64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
  layout.length = layout.data + 2;
  if (layout.maskable)
    {
      layout.mask = layout.is64 ? PCI_MSI_MASK_64 : PCI_MSI_MASK_32;
      layout.pending = layout.mask + 4;
      layout.length = layout.pending + 4;
    }
  return layout;
}

static void
add_at (PciDevice *device, guint cap, guint n_vectors)
{
  PciCore *core = device->core;
  Layout layout;

  g_assert (core->msi_cap == 0 && n_vectors >= 1 && n_vectors <= 32);
  core->msi_cap = cap;
  core->n_msi = n_vectors;
  core->msi_vectors = g_new0 (VmmMsi *, n_vectors);
  for (guint v = 0; v < n_vectors; v++)
    core->msi_vectors[v] = vmm_msi_new (core->machine);
  layout = get_layout (core);
  pci_device_set_wmask (device, cap + PCI_MSI_FLAGS, 2,
                        PCI_MSI_FLAGS_ENABLE | (n_vectors > 1 ? PCI_MSI_FLAGS_QSIZE : 0u));
  pci_device_set_wmask (device, cap + PCI_MSI_ADDRESS_LO, 4, ~3u);
  if (layout.is64)
    pci_device_set_wmask (device, cap + PCI_MSI_ADDRESS_HI, 4, G_MAXUINT32);
  pci_device_set_wmask (device, cap + layout.data, 2, 0xffff);
  if (layout.maskable)
    pci_device_set_wmask (device, cap + layout.mask, 4,
                          n_vectors == 32 ? G_MAXUINT32 : (1u << n_vectors) - 1);
}

void
pci_device_add_msi (PciDevice *device)
{
  guint cap = pci_device_add_capability (device, PCI_CAP_ID_MSI, MSI_LENGTH);

  pci_device_set_config (device, cap + PCI_MSI_FLAGS, 2, PCI_MSI_FLAGS_64BIT);
  add_at (device, cap, 1);
}

void
pci_device_add_msi_at (PciDevice *device, guint cap, guint n_vectors)
{
  guint flags = pci_device_get_config (device, cap + PCI_MSI_FLAGS, 2);

  flags &= PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT;
  flags |= (guint)__builtin_ctz (n_vectors) << 1;
  pci_device_set_config (device, cap + PCI_MSI_FLAGS, 2, flags);
  add_at (device, cap, n_vectors);
}

void
pci_msi_finish (PciDevice *device)
{
  PciCore *core = device->core;

  for (guint v = 0; v < core->n_msi; v++)
    vmm_msi_free (core->msi_vectors[v]);
  core->n_msi = 0;
  g_clear_pointer (&core->msi_vectors, g_free);
}

gboolean
pci_msi_is_at (PciCore *core, guint offset, guint size)
{
  return core->msi_cap != 0 && core->msi_cap < offset + size &&
         offset < core->msi_cap + get_layout (core).length;
}

/* PCI 3.0, 6.8.1.3: Multiple Message Enable above what the function has is as much as it has. */
static guint
get_n_allowed (PciDevice *device)
{
  guint flags = pci_device_get_config (device, device->core->msi_cap + PCI_MSI_FLAGS, 2);

  return MIN (1u << ((flags & PCI_MSI_FLAGS_QSIZE) >> 4), device->core->n_msi);
}

static guint32
get_mask (PciDevice *device, const Layout *layout)
{
  return layout->maskable ? pci_device_get_config (device, device->core->msi_cap + layout->mask, 4)
                          : 0;
}

void
pci_msi_update (PciDevice *device)
{
  PciCore *core = device->core;
  VmmAccel *accel = vmm_machine_get_accel (core->machine);
  guint cap = core->msi_cap, n_allowed;
  guint64 address;
  guint32 data, mask;
  gboolean enabled;
  Layout layout;

  if (cap == 0)
    return;
  layout = get_layout (core);
  enabled = (pci_device_get_config (device, cap + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_ENABLE) != 0;
  n_allowed = get_n_allowed (device);
  address = pci_device_get_config (device, cap + PCI_MSI_ADDRESS_LO, 4);
  if (layout.is64)
    address |= (guint64)pci_device_get_config (device, cap + PCI_MSI_ADDRESS_HI, 4) << 32;
  data = pci_device_get_config (device, cap + layout.data, 2);
  mask = get_mask (device, &layout);
  g_mutex_lock (&core->msix_lock);
  if (accel->ops->hold_routes != NULL)
    accel->ops->hold_routes (accel);
  for (guint v = 0; v < core->n_msi; v++)
    {
      gboolean on = enabled && v < n_allowed && (mask >> v & 1) == 0;

      /* The low bits of the data tell vectors apart. */
      vmm_msi_set_message (core->msi_vectors[v], address, (data & ~(n_allowed - 1)) | v);
      vmm_msi_set_enabled (core->msi_vectors[v], on);
      if (on && (core->msi_pending >> v & 1) != 0)
        {
          core->msi_pending &= ~(1u << v);
          vmm_msi_raise (core->msi_vectors[v]);
        }
    }
  if (accel->ops->release_routes != NULL)
    accel->ops->release_routes (accel);
  g_atomic_int_set (&core->msi_enabled, enabled);
  g_mutex_unlock (&core->msix_lock);
}

void
pci_msi_refresh_pending (PciDevice *device)
{
  PciCore *core = device->core;
  Layout layout = get_layout (core);
  guint32 pending;

  if (!layout.maskable)
    return;
  g_mutex_lock (&core->msix_lock);
  for (guint v = 0; v < core->n_msi; v++)
    if (vmm_msi_take_pending (core->msi_vectors[v]))
      core->msi_pending |= 1u << v;
  pending = core->msi_pending;
  g_mutex_unlock (&core->msix_lock);
  pci_device_set_config (device, core->msi_cap + layout.pending, 4, pending);
}

void
pci_msi_reset (PciDevice *device)
{
  PciCore *core = device->core;

  if (core->msi_cap == 0)
    return;
  g_mutex_lock (&core->msix_lock);
  core->msi_pending = 0;
  for (guint v = 0; v < core->n_msi; v++)
    {
      vmm_msi_set_enabled (core->msi_vectors[v], FALSE);
      vmm_msi_take_pending (core->msi_vectors[v]);
    }
  g_mutex_unlock (&core->msix_lock);
}

guint
pci_device_msi_get_n_enabled (PciDevice *device)
{
  return g_atomic_int_get (&device->core->msi_enabled) ? get_n_allowed (device) : 0;
}

int
pci_device_get_msi_eventfd (PciDevice *device, guint vector, GError **error)
{
  PciCore *core = device->core;
  int fd;

  g_assert (vector < core->n_msi);
  g_mutex_lock (&core->msix_lock);
  fd = vmm_msi_get_eventfd (core->msi_vectors[vector], error);
  g_mutex_unlock (&core->msix_lock);
  return fd;
}

gboolean
pci_device_raise_msi (PciDevice *device)
{
  PciCore *core = device->core;
  gboolean enabled;

  if (!g_atomic_int_get (&core->msi_enabled))
    return FALSE;
  g_mutex_lock (&core->msix_lock);
  enabled = core->msi_enabled;
  if (enabled)
    vmm_msi_raise (core->msi_vectors[0]);
  g_mutex_unlock (&core->msix_lock);
  return enabled;
}
