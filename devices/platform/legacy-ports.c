/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/legacy-ports.h"

#include "vmm/machine.h"

#include <string.h>

/* 8237 registers, by offset / step: 0..7 address and count of four channels, then command/status,
 * request, single mask, mode, clear flip-flop, master clear/temporary, clear mask, all masks. */
#define DMA_STATUS     8
#define DMA_FLIPFLOP   12
#define DMA_MASTER     13
#define DMA_CLEAR_MASK 14
#define DMA_ALL_MASKS  15

#define PORT92_RESET (1u << 0)
#define PORT92_A20   (1u << 1)

typedef struct
{
  VmmDevice parent;
  struct
  {
    guint8 dma[2][8][2]; /* low and high byte of each address and count */
    guint8 flipflop[2];
    guint8 mask[2];
    guint8 page[16]; /* 0x80..0x8f; 0x80 is the POST code */
    guint8 apm[2];
    guint8 port92;
  } guest;
  struct
  {
    VmmRegion dma[2], page, apm, port92;
  } host;
} LegacyPorts;

static guint8
dma_read_register (LegacyPorts *ports, guint unit, guint index)
{
  guint8 value;

  if (index < DMA_STATUS)
    {
      value = ports->guest.dma[unit][index][ports->guest.flipflop[unit]];
      ports->guest.flipflop[unit] ^= 1;
      return value;
    }
  return index == DMA_ALL_MASKS ? ports->guest.mask[unit] : 0;
}

static void
dma_write_register (LegacyPorts *ports, guint unit, guint index, guint8 value)
{
  if (index < DMA_STATUS)
    {
      ports->guest.dma[unit][index][ports->guest.flipflop[unit]] = value;
      ports->guest.flipflop[unit] ^= 1;
    }
  else if (index == 10) /* single mask: bit 2 sets, bits 1:0 name the channel */
    ports->guest.mask[unit] = (guint8)((ports->guest.mask[unit] & ~(1u << (value & 3))) |
                                       ((value >> 2 & 1u) << (value & 3)));
  else if (index == DMA_FLIPFLOP)
    ports->guest.flipflop[unit] = 0;
  else if (index == DMA_MASTER)
    {
      ports->guest.flipflop[unit] = 0;
      ports->guest.mask[unit] = 0xf;
    }
  else if (index == DMA_CLEAR_MASK)
    ports->guest.mask[unit] = 0;
  else if (index == DMA_ALL_MASKS)
    ports->guest.mask[unit] = value & 0xf;
}

static VmmIoResult
dma0_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = dma_read_register (opaque, 0, (guint)offset & 15);
  return VMM_IO_OK;
}

static VmmIoResult
dma0_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  dma_write_register (opaque, 0, (guint)offset & 15, (guint8)value);
  return VMM_IO_OK;
}

static VmmIoResult
dma1_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = dma_read_register (opaque, 1, (guint)offset / 2 & 15);
  return VMM_IO_OK;
}

static VmmIoResult
dma1_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  dma_write_register (opaque, 1, (guint)offset / 2 & 15, (guint8)value);
  return VMM_IO_OK;
}

static VmmIoResult
page_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = ((LegacyPorts *)opaque)->guest.page[offset & 15];
  return VMM_IO_OK;
}

static VmmIoResult
page_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  ((LegacyPorts *)opaque)->guest.page[offset & 15] = (guint8)value;
  return VMM_IO_OK;
}

static VmmIoResult
apm_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = ((LegacyPorts *)opaque)->guest.apm[offset & 1];
  return VMM_IO_OK;
}

static VmmIoResult
apm_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  ((LegacyPorts *)opaque)->guest.apm[offset & 1] = (guint8)value;
  return VMM_IO_OK;
}

static VmmIoResult
port92_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = ((LegacyPorts *)opaque)->guest.port92;
  return VMM_IO_OK;
}

/* DEVIATION: A20 is never masked; the bit only remembers. Every x86 hypervisor does so. */
static VmmIoResult
port92_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  LegacyPorts *ports = opaque;
  gboolean reset = (value & PORT92_RESET) != 0 && (ports->guest.port92 & PORT92_RESET) == 0;

  ports->guest.port92 = (guint8)value & (PORT92_A20 | PORT92_RESET);
  if (reset)
    vmm_machine_request (ports->parent.machine, VMM_REQUEST_RESET, 0, "port 0x92");
  return VMM_IO_OK;
}

#define BYTE_REGION(label, prefix)                                                                 \
  {                                                                                                \
    .name = label, .min_size = 1, .max_size = 1, .flags = VMM_REGION_SPLIT, .read = prefix##_read, \
    .write = prefix##_write                                                                        \
  }
static const VmmRegionOps dma0_region_ops = BYTE_REGION ("dma", dma0);
static const VmmRegionOps dma1_region_ops = BYTE_REGION ("dma", dma1);
static const VmmRegionOps page_region_ops = BYTE_REGION ("dma-page", page);
static const VmmRegionOps apm_region_ops = BYTE_REGION ("apm", apm);
static const VmmRegionOps port92_region_ops = BYTE_REGION ("port92", port92);

static void
legacy_ports_unrealize (VmmDevice *device)
{
  LegacyPorts *ports = (LegacyPorts *)device;
  VmmRegion *regions[] = { &ports->host.dma[0], &ports->host.dma[1], &ports->host.page,
                           &ports->host.apm, &ports->host.port92 };

  for (guint i = 0; i < G_N_ELEMENTS (regions); i++)
    {
      vmm_bus_unmap (regions[i]);
      vmm_region_drain (regions[i]);
    }
}

static gboolean
legacy_ports_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  LegacyPorts *ports = (LegacyPorts *)device;
  VmmBus *pio = vmm_machine_get_pio (machine);

  device->machine = machine;
  vmm_region_init (&ports->host.dma[0], &dma0_region_ops, ports, &device->lock, 16);
  vmm_region_init (&ports->host.dma[1], &dma1_region_ops, ports, &device->lock, 32);
  vmm_region_init (&ports->host.page, &page_region_ops, ports, &device->lock, 16);
  vmm_region_init (&ports->host.apm, &apm_region_ops, ports, &device->lock, 2);
  vmm_region_init (&ports->host.port92, &port92_region_ops, ports, &device->lock, 1);
  if (vmm_bus_map (pio, 0x00, &ports->host.dma[0], error) &&
      vmm_bus_map (pio, 0xc0, &ports->host.dma[1], error) &&
      vmm_bus_map (pio, 0x80, &ports->host.page, error) &&
      vmm_bus_map (pio, 0xb2, &ports->host.apm, error) &&
      vmm_bus_map (pio, 0x92, &ports->host.port92, error))
    return TRUE;
  legacy_ports_unrealize (device);
  return FALSE;
}

static void
legacy_ports_reset (VmmDevice *device, VmmResetKind kind)
{
  LegacyPorts *ports = (LegacyPorts *)device;

  memset (&ports->guest, 0, sizeof ports->guest);
  ports->guest.mask[0] = ports->guest.mask[1] = 0xf;
  ports->guest.port92 = PORT92_A20;
}

static void
legacy_ports_quiesce (VmmDevice *device)
{
}

static void
legacy_ports_resume (VmmDevice *device)
{
}

static const VmmStateField fields[] = {
  VMM_STATE_ARRAY (LegacyPorts, guest.dma, VMM_STATE_U8, 32),
  VMM_STATE_ARRAY (LegacyPorts, guest.flipflop, VMM_STATE_U8, 2),
  VMM_STATE_ARRAY (LegacyPorts, guest.mask, VMM_STATE_U8, 2),
  VMM_STATE_ARRAY (LegacyPorts, guest.page, VMM_STATE_U8, 16),
  VMM_STATE_ARRAY (LegacyPorts, guest.apm, VMM_STATE_U8, 2),
  VMM_STATE_FIELD (LegacyPorts, guest.port92, VMM_STATE_U8),
};

static gboolean
legacy_ports_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), device);
  return TRUE;
}

static gboolean
legacy_ports_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  LegacyPorts *ports = (LegacyPorts *)device;

  if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), device, error))
    return FALSE;
  for (guint i = 0; i < 2; i++)
    {
      ports->guest.flipflop[i] &= 1;
      ports->guest.mask[i] &= 0xf;
    }
  ports->guest.port92 &= PORT92_A20 | PORT92_RESET;
  return TRUE;
}

const VmmDeviceOps legacy_ports_ops = {
  .name = "legacy-ports",
  .summary = "DMA controller, POST and APM ports",
  .spec = "Intel ICH9 datasheet 316972",
  .instance_size = sizeof (LegacyPorts),
  .state_version = 1,
  .realize = legacy_ports_realize,
  .unrealize = legacy_ports_unrealize,
  .reset = legacy_ports_reset,
  .quiesce = legacy_ports_quiesce,
  .resume = legacy_ports_resume,
  .save = legacy_ports_save,
  .load = legacy_ports_load,
};
