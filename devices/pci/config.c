/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Configuration space: masked access and what changes by it. PCI 3.0, chapter 6. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>
#include <string.h>

/* Values at the first guest access or reset are what a reset brings back. */
static void
take_initial (PciCore *core)
{
  if (core->initial_taken)
    return;
  memcpy (core->initial, core->config, core->config_size);
  core->initial_taken = TRUE;
}

static gboolean
overlaps (guint offset, guint size, guint first, guint length)
{
  return offset < first + length && first < offset + size;
}

guint32
pci_config_read (PciDevice *device, guint offset, guint size)
{
  PciCore *core = device->core;
  guint32 value = 0;

  take_initial (core);
  if (pci_msi_is_at (core, offset, size))
    pci_msi_refresh_pending (device);
  for (guint i = 0; i < size; i++)
    value |= (guint32)core->config[offset + i] << (i * 8);
  /* PCI 3.0, 6.2.3: Interrupt Status shows the device's wish, whatever INTx Disable says. */
  if (core->intx_level && overlaps (offset, size, PCI_STATUS, 1))
    value |= (guint32)PCI_STATUS_INTERRUPT << ((PCI_STATUS - offset) * 8);
  if (core->read_hook != NULL)
    core->read_hook (device, offset, size, &value);
  return value;
}

void
pci_config_write (PciDevice *device, guint offset, guint size, guint32 value)
{
  PciCore *core = device->core;
  gboolean was_in_reset = pci_bridge_is_in_reset (core);

  take_initial (core);
  for (guint i = 0; i < size; i++)
    {
      guint8 byte = (guint8)(value >> (i * 8));
      guint8 wmask = core->wmask[offset + i];
      guint8 *config = &core->config[offset + i];

      *config = (guint8)((*config & ~wmask) | (byte & wmask));
      *config &= (guint8) ~(byte & core->w1cmask[offset + i]);
    }
  if (core->raw_write_hook != NULL)
    core->raw_write_hook (device, offset, size, value);
  if (!was_in_reset && pci_bridge_is_in_reset (core))
    pci_bus_reset_below (core->secondary);
  if (overlaps (offset, size, PCI_COMMAND, 2) ||
      overlaps (offset, size, PCI_BASE_ADDRESS_0, PCI_ALCOVE_N_BARS * 4) ||
      (core->info.header_type == 0 && overlaps (offset, size, PCI_ROM_ADDRESS, 4)))
    {
      PciBus *root = pci_bus_get_root (device->pci_config.bus);

      pci_bars_update (device);
      if (root->blocked)
        pci_bus_retry_bars (root);
      pci_intx_update (device);
    }
  if (core->msix_cap != 0 && overlaps (offset, size, core->msix_cap + PCI_MSIX_FLAGS, 2))
    {
      pci_msix_update (device);
      pci_intx_update (device);
    }
  if (pci_msi_is_at (core, offset, size))
    {
      pci_msi_update (device);
      pci_intx_update (device);
    }
  if (core->write_hook != NULL)
    core->write_hook (device, offset, size);
}

guint32
pci_device_config_read (PciDevice *device, guint offset, guint size)
{
  PciBus *root = pci_bus_get_root (device->pci_config.bus);
  guint32 value;

  g_assert (size <= 4 && offset <= device->core->config_size &&
            size <= device->core->config_size - offset);
  g_rec_mutex_lock (&root->config_lock);
  value = pci_config_read (device, offset, size);
  g_rec_mutex_unlock (&root->config_lock);
  return value;
}

void
pci_device_config_write (PciDevice *device, guint offset, guint size, guint32 value)
{
  PciBus *root = pci_bus_get_root (device->pci_config.bus);

  g_assert (size <= 4 && offset <= device->core->config_size &&
            size <= device->core->config_size - offset);
  g_rec_mutex_lock (&root->config_lock);
  pci_config_write (device, offset, size, value);
  g_rec_mutex_unlock (&root->config_lock);
}

static void
set_bytes (PciDevice *device, guint8 *array, guint offset, guint size, guint32 value)
{
  PciBus *root = pci_bus_get_root (device->pci_config.bus);

  g_assert (size <= 4 && offset <= device->core->config_size &&
            size <= device->core->config_size - offset);
  g_rec_mutex_lock (&root->config_lock);
  for (guint i = 0; i < size; i++)
    array[offset + i] = (guint8)(value >> (i * 8));
  g_rec_mutex_unlock (&root->config_lock);
}

void
pci_device_set_config (PciDevice *device, guint offset, guint size, guint32 value)
{
  set_bytes (device, device->core->config, offset, size, value);
}

void
pci_device_set_wmask (PciDevice *device, guint offset, guint size, guint32 mask)
{
  set_bytes (device, device->core->wmask, offset, size, mask);
}

void
pci_device_set_w1cmask (PciDevice *device, guint offset, guint size, guint32 mask)
{
  set_bytes (device, device->core->w1cmask, offset, size, mask);
}

guint32
pci_device_get_config (PciDevice *device, guint offset, guint size)
{
  guint32 value = 0;

  g_assert (size <= 4 && offset <= device->core->config_size &&
            size <= device->core->config_size - offset);
  for (guint i = 0; i < size; i++)
    value |= (guint32)device->core->config[offset + i] << (i * 8);
  return value;
}

void
pci_device_set_config_hooks (
    PciDevice *device,
    void (*read) (PciDevice *device, guint offset, guint size, guint32 *value),
    void (*write) (PciDevice *device, guint offset, guint size))
{
  device->core->read_hook = read;
  device->core->write_hook = write;
}

void
pci_device_set_bus_reset_hook (PciDevice *device, void (*bus_reset) (PciDevice *device))
{
  device->core->bus_reset_hook = bus_reset;
}

void
pci_device_set_raw_write_hook (
    PciDevice *device,
    void (*raw_write) (PciDevice *device, guint offset, guint size, guint32 value))
{
  device->core->raw_write_hook = raw_write;
}

guint
pci_device_add_capability (PciDevice *device, guint8 id, guint length)
{
  PciCore *core = device->core;
  guint offset = core->cap_next;

  /* Devices are ours: running out of the 192 bytes is a mistake in the device's code. */
  g_assert (length >= 2 && offset + length <= PCI_CONFIG_CONV);
  core->config[offset] = id;
  core->config[offset + 1] = 0;
  core->config[core->cap_last == 0 ? PCI_CAPABILITY_LIST : core->cap_last + 1] = (guint8)offset;
  core->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
  core->cap_last = offset;
  core->cap_next = (offset + length + 3) & ~3u;
  return offset;
}

guint
pci_device_add_ext_capability (PciDevice *device, guint16 id, guint version, guint length)
{
  PciCore *core = device->core;
  guint offset = core->ext_next;

  g_assert (core->config_size == PCI_CONFIG_MAX && length >= 4 &&
            offset + length <= PCI_CONFIG_MAX);
  /* PCI Express 5.0, 7.6.3: id 15:0, version 19:16, next 31:20. */
  pci_device_set_config (device, offset, 4, id | (version & 0xf) << 16);
  if (core->ext_last != 0)
    pci_device_set_config (device, core->ext_last, 4,
                           pci_device_get_config (device, core->ext_last, 4) | offset << 20);
  core->ext_last = offset;
  core->ext_next = (offset + length + 3) & ~3u;
  return offset;
}

/* Writable bits go back to their initial values; read-only ones show the device as it is. */
void
pci_device_reset (PciDevice *device)
{
  PciCore *core = device->core;
  PciBus *root = pci_bus_get_root (device->pci_config.bus);

  g_rec_mutex_lock (&root->config_lock);
  take_initial (core);
  for (guint i = 0; i < core->config_size; i++)
    {
      guint8 mask = core->wmask[i] | core->w1cmask[i];

      core->config[i] = (guint8)((core->config[i] & ~mask) | (core->initial[i] & mask));
    }
  pci_msix_reset (device);
  pci_msi_reset (device);
  pci_msi_update (device);
  pci_bars_update (device);
  pci_device_set_intx (device, FALSE);
  g_rec_mutex_unlock (&root->config_lock);
}

void
pci_device_save (PciDevice *device, VmmStateWriter *writer)
{
  PciCore *core = device->core;

  vmm_state_put_bytes (writer, "config", core->config, core->config_size);
  vmm_state_put_uint (writer, "intx", core->intx_level);
  pci_msix_save (device, writer);
}

/* The function must be the same one; of the rest only what a guest can write is believed. */
gboolean
pci_device_load (PciDevice *device, VmmStateReader *reader, GError **error)
{
  PciCore *core = device->core;
  PciBus *root = pci_bus_get_root (device->pci_config.bus);
  g_autofree guint8 *config = g_malloc (core->config_size);
  guint64 intx;
  gboolean ok = FALSE;

  if (!vmm_state_get_bytes (reader, "config", config, core->config_size, error) ||
      !vmm_state_get_uint (reader, "intx", 1, &intx, error))
    return FALSE;
  if (memcmp (config, core->config, 4) != 0 ||
      memcmp (config + PCI_CLASS_REVISION, core->config + PCI_CLASS_REVISION, 4) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state of “%s” is of another PCI function (%02x%02x:%02x%02x). "
                   "Restore it with the definition it was saved with.",
                   device->parent.id, config[1], config[0], config[3], config[2]);
      return FALSE;
    }
  g_rec_mutex_lock (&root->config_lock);
  take_initial (core);
  for (guint i = 0; i < core->config_size; i++)
    {
      guint8 mask = core->wmask[i] | core->w1cmask[i];

      core->config[i] = (guint8)((core->config[i] & ~mask) | (config[i] & mask));
    }
  pci_msi_update (device);
  ok = pci_msix_load (device, reader, error);
  if (ok)
    {
      pci_bars_update (device);
      pci_device_set_intx (device, intx != 0);
    }
  g_rec_mutex_unlock (&root->config_lock);
  return ok;
}
