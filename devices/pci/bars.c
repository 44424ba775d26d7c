/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Base address registers: where they point, and mapping what they decode.
 *
 * A BAR whose place is taken (by another BAR, by RAM, by a platform device) stays unmapped and is
 * tried again whenever a BAR or a command register changes. */
#include "devices/pci/pci-private.h"

#include <linux/pci_regs.h>
#include <string.h>

static guint32
config_le32 (PciCore *core, guint offset)
{
  return (guint32)core->config[offset] | (guint32)core->config[offset + 1] << 8 |
         (guint32)core->config[offset + 2] << 16 | (guint32)core->config[offset + 3] << 24;
}

/* The address the registers ask for, or UNMAPPED. PCI 3.0, 6.2.5.1. Zero and ranges that reach the
 * end of the space (as during sizing) decode nothing. */
static guint64
wanted_base (PciCore *core, guint index)
{
  const PciBar *bar = &core->bars[index];
  guint command = core->config[PCI_COMMAND];
  guint64 base, last, limit;

  if (index == PCI_BAR_ROM)
    {
      /* PCI 3.0, 6.2.5.2: decoded when both this and Memory Space are enabled. */
      guint32 rom = config_le32 (core, PCI_ROM_ADDRESS);

      if ((command & PCI_COMMAND_MEMORY) == 0 || (rom & PCI_ROM_ADDRESS_ENABLE) == 0)
        return PCI_BAR_UNMAPPED;
      base = rom & PCI_ROM_ADDRESS_MASK;
      limit = G_MAXUINT32 - 1;
    }
  else if (bar->kind == PCI_BAR_PIO)
    {
      if ((command & PCI_COMMAND_IO) == 0)
        return PCI_BAR_UNMAPPED;
      base = config_le32 (core, PCI_BASE_ADDRESS_0 + index * 4) & ~(guint32)3;
      limit = 0xffff;
    }
  else
    {
      if ((command & PCI_COMMAND_MEMORY) == 0)
        return PCI_BAR_UNMAPPED;
      base = config_le32 (core, PCI_BASE_ADDRESS_0 + index * 4) & ~(guint32)0xf;
      limit = G_MAXUINT32 - 1;
      if (bar->kind == PCI_BAR_MMIO64)
        {
          base |= (guint64)config_le32 (core, PCI_BASE_ADDRESS_0 + index * 4 + 4) << 32;
          limit = G_MAXUINT64 - 1;
        }
    }
  last = base + bar->size - 1;
  if (base == 0 || last < base || last > limit)
    return PCI_BAR_UNMAPPED;
  return base;
}

static void
unmap (PciDevice *device, guint index)
{
  PciBar *bar = &device->core->bars[index];

  if (bar->base == PCI_BAR_UNMAPPED)
    return;
  if (bar->region != NULL)
    vmm_bus_unmap (bar->region);
  if (bar->mapping != NULL)
    vmm_guest_memory_unmap (vmm_machine_get_memory (device->core->machine), bar->mapping);
  bar->mapping = NULL;
  __atomic_store_n (&bar->base, PCI_BAR_UNMAPPED, __ATOMIC_RELEASE);
}

static gboolean
map (PciDevice *device, guint index, guint64 base)
{
  PciCore *core = device->core;
  PciBar *bar = &core->bars[index];
  VmmBus *bus = bar->kind == PCI_BAR_PIO ? vmm_machine_get_pio (core->machine)
                                         : vmm_machine_get_mmio (core->machine);

  /* Guest mistakes are no errors of ours: no GError is asked for. */
  if (bar->region != NULL && !vmm_bus_map (bus, base, bar->region, NULL))
    return FALSE;
  if (bar->block != NULL)
    {
      bar->mapping = vmm_guest_memory_map (
          vmm_machine_get_memory (core->machine), bar->block, 0, vmm_gpa (base),
          MIN (bar->size, vmm_ram_block_get_size (bar->block)),
          index == PCI_BAR_ROM ? VMM_MAP_READONLY : VMM_MAP_NONE, NULL);
      if (bar->mapping == NULL)
        {
          if (bar->region != NULL)
            vmm_bus_unmap (bar->region);
          return FALSE;
        }
    }
  __atomic_store_n (&bar->base, base, __ATOMIC_RELEASE);
  return TRUE;
}

void
pci_bars_update (PciDevice *device)
{
  PciCore *core = device->core;
  PciBus *root = pci_bus_get_root (device->pci_config.bus);
  gboolean freed = FALSE;

  for (guint i = 0; i <= PCI_BAR_ROM; i++)
    {
      PciBar *bar = &core->bars[i];
      guint64 old = bar->base, want;

      if (!bar->used)
        continue;
      want = wanted_base (core, i);
      if (want == old)
        continue;
      if (old != PCI_BAR_UNMAPPED)
        {
          unmap (device, i);
          freed = TRUE;
        }
      if (want != PCI_BAR_UNMAPPED && !map (device, i, want))
        root->blocked = TRUE;
      if (bar->moved != NULL && bar->base != old)
        bar->moved (device, i, bar->base);
    }
  if (freed)
    pci_bus_retry_bars (root);
}

void
pci_bars_unmap_all (PciDevice *device)
{
  for (guint i = 0; i <= PCI_BAR_ROM; i++)
    {
      PciBar *bar = &device->core->bars[i];

      if (!bar->used || bar->base == PCI_BAR_UNMAPPED)
        continue;
      unmap (device, i);
      if (bar->moved != NULL)
        bar->moved (device, i, PCI_BAR_UNMAPPED);
    }
}

static gboolean
bar_is_sane (PciCore *core, guint index, const PciBar *bar)
{
  guint64 smallest = bar->kind == PCI_BAR_PIO ? 4 : 16;
  guint64 largest = bar->kind == PCI_BAR_PIO      ? 256
                    : bar->kind == PCI_BAR_MMIO32 ? G_GUINT64_CONSTANT (0x80000000)
                                                  : G_GUINT64_CONSTANT (1) << 46;

  if (index >= (core->info.header_type == 1 ? 2u : 6u) || core->bars[index].used)
    return FALSE;
  if (index > 0 && core->bars[index - 1].used && core->bars[index - 1].kind == PCI_BAR_MMIO64)
    return FALSE;
  if (bar->kind == PCI_BAR_MMIO64 && (index + 1 >= PCI_ALCOVE_N_BARS || core->bars[index + 1].used))
    return FALSE;
  if (bar->size < smallest || bar->size > largest || (bar->size & (bar->size - 1)) != 0)
    return FALSE;
  if (bar->region != NULL && bar->region->size > bar->size)
    return FALSE;
  return bar->block == NULL || (bar->kind != PCI_BAR_PIO && bar->size >= 4096);
}

gboolean
pci_device_add_bar (PciDevice *device, guint index, const PciBar *bar, GError **error)
{
  PciCore *core = device->core;
  guint offset = PCI_BASE_ADDRESS_0 + index * 4;
  guint32 type = 0;
  guint64 mask;

  if (!bar_is_sane (core, index, bar))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” cannot have BAR %u of %" G_GUINT64_FORMAT
                   " bytes: sizes are powers of two and each register is used once.",
                   device->parent.id, index, bar->size);
      return FALSE;
    }
  core->bars[index] = *bar;
  core->bars[index].base = PCI_BAR_UNMAPPED;
  core->bars[index].mapping = NULL;
  core->bars[index].used = TRUE;

  mask = ~(bar->size - 1);
  if (bar->kind == PCI_BAR_PIO)
    type = PCI_BASE_ADDRESS_SPACE_IO;
  else
    {
      if (bar->kind == PCI_BAR_MMIO64)
        type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
      if (bar->prefetchable)
        type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
    }
  pci_device_set_config (device, offset, 4, type);
  pci_device_set_wmask (device, offset, 4, (guint32)mask);
  if (bar->kind == PCI_BAR_MMIO64)
    {
      pci_device_set_config (device, offset + 4, 4, 0);
      pci_device_set_wmask (device, offset + 4, 4, (guint32)(mask >> 32));
    }
  return TRUE;
}

gboolean
pci_device_set_rom (PciDevice *device, const guint8 *image, gsize length, GError **error)
{
  PciCore *core = device->core;
  PciBar *bar = &core->bars[PCI_BAR_ROM];
  guint64 size = 4096;
  g_autofree char *name = NULL;

  while (size < length && size < PCI_ROM_MAX)
    size *= 2;
  if (core->info.header_type != 0 || bar->used || length == 0 || length > size)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” cannot have an option ROM of %zu bytes: use 1 to %u bytes, once.",
                   device->parent.id, length, PCI_ROM_MAX);
      return FALSE;
    }
  name = g_strdup_printf ("%s.rom", device->parent.id);
  bar->block = vmm_ram_block_new (name, size, VMM_RAM_DEVICE, error);
  if (bar->block == NULL)
    return FALSE;
  memcpy (vmm_ram_block_get_data (bar->block), image, length);
  bar->kind = PCI_BAR_MMIO32;
  bar->size = size;
  bar->base = PCI_BAR_UNMAPPED;
  bar->used = TRUE;
  pci_device_set_wmask (device, PCI_ROM_ADDRESS, 4,
                        ((guint32) ~(size - 1) & PCI_ROM_ADDRESS_MASK) | PCI_ROM_ADDRESS_ENABLE);
  return TRUE;
}

guint64
pci_device_get_bar_base (PciDevice *device, guint bar)
{
  if (bar >= PCI_ALCOVE_N_BARS || !device->core->bars[bar].used)
    return PCI_BAR_UNMAPPED;
  return __atomic_load_n (&device->core->bars[bar].base, __ATOMIC_ACQUIRE);
}
