/* SPDX-License-Identifier: GPL-3.0-or-later */
/* MSI-X: table, pending bits, masking. PCI 3.0, 6.8.2. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>
#include <string.h>

#define ENTRY_SIZE  16
#define MAX_VECTORS 2048

static guint32
entry_le32 (PciCore *core, guint vector, guint offset)
{
  guint32 value;

  memcpy (&value, core->table + vector * ENTRY_SIZE + offset, 4);
  return GUINT32_FROM_LE (value);
}

/* msix_lock held, as in all static functions below. */
static gboolean
is_masked (PciCore *core, guint vector)
{
  return !core->msix_enabled || core->msix_function_mask ||
         (entry_le32 (core, vector, PCI_MSIX_ENTRY_VECTOR_CTRL) & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

static gboolean
test_pending (PciCore *core, guint vector)
{
  return (core->pending[vector / 64] >> (vector % 64)) & 1;
}

static void
set_pending (PciCore *core, guint vector, gboolean on)
{
  guint64 bit = G_GUINT64_CONSTANT (1) << (vector % 64);

  core->pending[vector / 64] = (core->pending[vector / 64] & ~bit) | (on ? bit : 0);
}

/* Brings the vector's VmmMsi in line with table and masks. */
static void
apply (PciCore *core, guint vector)
{
  VmmMsi *msi = core->msi[vector];

  if (is_masked (core, vector))
    {
      vmm_msi_set_enabled (msi, FALSE);
      return;
    }
  vmm_msi_set_message (msi,
                       entry_le32 (core, vector, PCI_MSIX_ENTRY_LOWER_ADDR) |
                           (guint64)entry_le32 (core, vector, PCI_MSIX_ENTRY_UPPER_ADDR) << 32,
                       entry_le32 (core, vector, PCI_MSIX_ENTRY_DATA));
  vmm_msi_set_enabled (msi, TRUE);
  if (test_pending (core, vector))
    {
      set_pending (core, vector, FALSE);
      vmm_msi_raise (msi);
    }
}

/* Signals that came by eventfd while a vector was masked show in the PBA. */
static void
collect_pending (PciCore *core, guint first, guint count)
{
  for (guint v = first; v < MIN (first + count, core->n_msix); v++)
    if (is_masked (core, v) && vmm_msi_take_pending (core->msi[v]))
      set_pending (core, v, TRUE);
}

static VmmIoResult
msix_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  PciCore *core = ((PciDevice *)opaque)->core;

  if (offset < (guint64)core->n_msix * ENTRY_SIZE)
    {
      *value = entry_le32 (core, (guint)offset / ENTRY_SIZE, (guint)offset % ENTRY_SIZE);
      return VMM_IO_OK;
    }
  if (offset >= core->pba_offset &&
      offset < core->pba_offset + (guint64)(core->n_msix + 63) / 64 * 8)
    {
      guint first = ((guint)offset - core->pba_offset) * 8;

      collect_pending (core, first, 32);
      *value = (guint32)(core->pending[first / 64] >> (first % 64));
      return VMM_IO_OK;
    }
  return VMM_IO_UNKNOWN;
}

static VmmIoResult
msix_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  PciCore *core = ((PciDevice *)opaque)->core;
  guint vector = (guint)offset / ENTRY_SIZE, field = (guint)offset % ENTRY_SIZE;
  guint32 le = GUINT32_TO_LE ((guint32)value);

  if (offset >= (guint64)core->n_msix * ENTRY_SIZE)
    return VMM_IO_UNKNOWN; /* the PBA is read-only */
  if (field == PCI_MSIX_ENTRY_VECTOR_CTRL)
    le &= GUINT32_TO_LE (PCI_MSIX_ENTRY_CTRL_MASKBIT);
  memcpy (core->table + vector * ENTRY_SIZE + field, &le, 4);
  apply (core, vector);
  return VMM_IO_OK;
}

static const VmmRegionOps msix_region_ops = {
  .name = "msix",
  .min_size = 4,
  .max_size = 4,
  .flags = VMM_REGION_SPLIT,
  .read = msix_read,
  .write = msix_write,
};

static void
reset_table (PciCore *core)
{
  memset (core->table, 0, (gsize)core->n_msix * ENTRY_SIZE);
  memset (core->pending, 0, (gsize)(core->n_msix + 63) / 64 * 8);
  for (guint v = 0; v < core->n_msix; v++)
    core->table[v * ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
}

static gboolean
allocate (PciDevice *device, GError **error)
{
  PciCore *core = device->core;

  if (core->n_msix == 0 || core->n_msix > MAX_VECTORS)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” asks for %u interrupt vectors; PCI allows %u.", device->parent.id,
                   core->n_msix, MAX_VECTORS);
      core->n_msix = 0;
      return FALSE;
    }
  core->table = g_malloc0 (core->n_msix * ENTRY_SIZE);
  core->pending = g_malloc0 ((core->n_msix + 63) / 64 * 8);
  core->msi = g_new0 (VmmMsi *, core->n_msix);
  for (guint v = 0; v < core->n_msix; v++)
    core->msi[v] = vmm_msi_new (core->machine);
  return TRUE;
}

/* The registers at cap come to life. */
static void
enable_at (PciDevice *device, guint cap)
{
  pci_device_set_config (device, cap + PCI_MSIX_FLAGS, 2, device->core->n_msix - 1);
  pci_device_set_wmask (device, cap + PCI_MSIX_FLAGS, 2,
                        PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
  device->core->msix_cap = cap;
  reset_table (device->core);
}

gboolean
pci_msix_init (PciDevice *device, GError **error)
{
  PciCore *core = device->core;
  guint cap, table_size = core->n_msix * ENTRY_SIZE, pba_size = (core->n_msix + 63) / 64 * 8;
  guint bir = core->info.msix_bar;
  guint64 size = 4096;
  PciBar bar = { .kind = PCI_BAR_MMIO32 };

  if (!allocate (device, error))
    return FALSE;
  core->pba_offset = table_size <= 2048 ? 2048 : (table_size + 7) & ~7u;
  while (size < core->pba_offset + pba_size)
    size *= 2;
  vmm_region_init (&core->msix_region, &msix_region_ops, device, &core->msix_lock, size);
  bar.size = size;
  bar.region = &core->msix_region;
  if (!pci_device_add_bar (device, bir, &bar, error))
    return FALSE;
  cap = pci_device_add_capability (device, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
  pci_device_set_config (device, cap + PCI_MSIX_TABLE, 4, bir);
  pci_device_set_config (device, cap + PCI_MSIX_PBA, 4, core->pba_offset | bir);
  enable_at (device, cap);
  return TRUE;
}

gboolean
pci_device_add_msix_at (PciDevice *device, guint cap, guint n_vectors, GError **error)
{
  g_assert (device->core->n_msix == 0);
  device->core->n_msix = n_vectors;
  if (!allocate (device, error))
    return FALSE;
  enable_at (device, cap);
  return TRUE;
}

/* An access of 4 or 8 bytes, aligned, as PCI 3.0, 6.8.2 allows. */
static gboolean
is_proper (guint64 offset, guint size)
{
  return (size == 4 || size == 8) && offset % size == 0;
}

VmmIoResult
pci_device_msix_read (PciDevice *device, guint64 offset, guint size, guint64 *ret_value)
{
  PciCore *core = device->core;

  *ret_value = 0;
  if (!is_proper (offset, size) || offset + size > (guint64)core->n_msix * ENTRY_SIZE)
    return VMM_IO_UNKNOWN;
  g_mutex_lock (&core->msix_lock);
  for (guint i = 0; i < size; i += 4)
    *ret_value |= (guint64)entry_le32 (core, (guint)(offset + i) / ENTRY_SIZE,
                                       (guint)(offset + i) % ENTRY_SIZE)
                  << (i * 8);
  g_mutex_unlock (&core->msix_lock);
  return VMM_IO_OK;
}

VmmIoResult
pci_device_msix_write (PciDevice *device, guint64 offset, guint size, guint64 value)
{
  PciCore *core = device->core;

  if (!is_proper (offset, size) || offset + size > (guint64)core->n_msix * ENTRY_SIZE)
    return VMM_IO_UNKNOWN;
  g_mutex_lock (&core->msix_lock);
  for (guint i = 0; i < size; i += 4)
    (void)msix_write (device, offset + i, 4, (guint32)(value >> (i * 8)));
  g_mutex_unlock (&core->msix_lock);
  return VMM_IO_OK;
}

VmmIoResult
pci_device_msix_read_pending (PciDevice *device, guint64 offset, guint size, guint64 *ret_value)
{
  PciCore *core = device->core;
  guint64 end = (guint64)(core->n_msix + 63) / 64 * 8;

  *ret_value = 0;
  if (!is_proper (offset, size) || offset + size > end)
    return VMM_IO_UNKNOWN;
  g_mutex_lock (&core->msix_lock);
  collect_pending (core, (guint)offset * 8, size * 8);
  *ret_value = core->pending[offset / 8] >> (offset % 8 * 8);
  if (size == 4)
    *ret_value &= G_MAXUINT32;
  g_mutex_unlock (&core->msix_lock);
  return VMM_IO_OK;
}

gboolean
pci_device_msix_is_masked (PciDevice *device, guint vector)
{
  gboolean masked;

  g_assert (vector < device->core->n_msix);
  g_mutex_lock (&device->core->msix_lock);
  masked = is_masked (device->core, vector);
  g_mutex_unlock (&device->core->msix_lock);
  return masked;
}

void
pci_msix_finish (PciDevice *device)
{
  PciCore *core = device->core;

  for (guint v = 0; core->msi != NULL && v < core->n_msix; v++)
    vmm_msi_free (core->msi[v]);
  g_free (core->msi);
  g_free (core->table);
  g_free (core->pending);
  core->msi = NULL;
  core->table = NULL;
  core->pending = NULL;
}

static void
update_locked (PciCore *core)
{
  guint flags = core->config[core->msix_cap + PCI_MSIX_FLAGS] |
                core->config[core->msix_cap + PCI_MSIX_FLAGS + 1] << 8;
  gboolean enabled = (flags & PCI_MSIX_FLAGS_ENABLE) != 0;
  VmmAccel *accel = vmm_machine_get_accel (core->machine);

  core->msix_function_mask = (flags & PCI_MSIX_FLAGS_MASKALL) != 0;
  g_atomic_int_set (&core->msix_enabled, enabled);
  if (accel->ops->hold_routes != NULL)
    accel->ops->hold_routes (accel);
  for (guint v = 0; v < core->n_msix; v++)
    apply (core, v);
  if (accel->ops->release_routes != NULL)
    accel->ops->release_routes (accel);
}

void
pci_msix_update (PciDevice *device)
{
  PciCore *core = device->core;

  if (core->msix_cap == 0)
    return;
  g_mutex_lock (&core->msix_lock);
  update_locked (core);
  g_mutex_unlock (&core->msix_lock);
}

void
pci_msix_reset (PciDevice *device)
{
  PciCore *core = device->core;

  if (core->msix_cap == 0)
    return;
  g_mutex_lock (&core->msix_lock);
  reset_table (core);
  update_locked (core);
  /* What an eventfd collected before the reset is gone with it. */
  for (guint v = 0; v < core->n_msix; v++)
    vmm_msi_take_pending (core->msi[v]);
  g_mutex_unlock (&core->msix_lock);
}

void
pci_msix_save (PciDevice *device, VmmStateWriter *writer)
{
  PciCore *core = device->core;

  if (core->msix_cap == 0)
    return;
  g_mutex_lock (&core->msix_lock);
  collect_pending (core, 0, core->n_msix);
  vmm_state_put_bytes (writer, "msix-table", core->table, (gsize)core->n_msix * ENTRY_SIZE);
  vmm_state_put_bytes (writer, "msix-pending", core->pending, (gsize)(core->n_msix + 63) / 64 * 8);
  g_mutex_unlock (&core->msix_lock);
}

gboolean
pci_msix_load (PciDevice *device, VmmStateReader *reader, GError **error)
{
  PciCore *core = device->core;
  gboolean ok;

  if (core->msix_cap == 0)
    return TRUE;
  g_mutex_lock (&core->msix_lock);
  ok = vmm_state_get_bytes (reader, "msix-table", core->table, (gsize)core->n_msix * ENTRY_SIZE,
                            error) &&
       vmm_state_get_bytes (reader, "msix-pending", core->pending,
                            (gsize)(core->n_msix + 63) / 64 * 8, error);
  for (guint v = 0; v < core->n_msix; v++)
    {
      guint8 *control = core->table + v * ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;

      control[0] &= PCI_MSIX_ENTRY_CTRL_MASKBIT;
      control[1] = control[2] = control[3] = 0;
    }
  if (core->n_msix % 64 != 0)
    core->pending[core->n_msix / 64] &= (G_GUINT64_CONSTANT (1) << (core->n_msix % 64)) - 1;
  update_locked (core);
  g_mutex_unlock (&core->msix_lock);
  return ok;
}

gboolean
pci_device_msix_enabled (PciDevice *device)
{
  return g_atomic_int_get (&device->core->msix_enabled);
}

gboolean
pci_device_raise (PciDevice *device, guint vector)
{
  PciCore *core = device->core;
  gboolean enabled;

  if (vector >= core->n_msix || !g_atomic_int_get (&core->msix_enabled))
    return FALSE;
  g_mutex_lock (&core->msix_lock);
  enabled = core->msix_enabled;
  if (enabled)
    {
      if (is_masked (core, vector))
        set_pending (core, vector, TRUE);
      else
        vmm_msi_raise (core->msi[vector]);
    }
  g_mutex_unlock (&core->msix_lock);
  return enabled;
}

int
pci_device_get_vector_eventfd (PciDevice *device, guint vector, GError **error)
{
  PciCore *core = device->core;
  int fd;

  if (vector >= core->n_msix)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "“%s” has %u interrupt vectors, not %u.",
                   device->parent.id, core->n_msix, vector + 1);
      return -EINVAL;
    }
  g_mutex_lock (&core->msix_lock);
  fd = vmm_msi_get_eventfd (core->msi[vector], error);
  g_mutex_unlock (&core->msix_lock);
  return fd;
}
