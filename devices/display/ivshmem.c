/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/ivshmem.h"
#include "devices/pci/pci.h"
#include "vmm/error.h"
#include "vmm/memory.h"

#include <string.h>

#define REGISTERS_SIZE 256
#define SIZE_MIN       (G_GUINT64_CONSTANT (1) << 20)
#define SIZE_MAX_BYTES (G_GUINT64_CONSTANT (1) << 30)
#define FRAMES         3
#define FRAME_PITCH    256                            /* bytes that a line is rounded up to */
#define FRAMES_EXTRA   (G_GUINT64_CONSTANT (4) << 20) /* pointer shapes, queues */

enum
{
  REG_INTR_MASK = 0,
  REG_INTR_STATUS = 4,
  REG_IV_POSITION = 8,
  REG_DOORBELL = 12,
};

typedef struct
{
  PciDevice parent;
  struct
  {
    guint64 size;
  } config;
  struct
  {
    guint32 intr_mask; /* kept for whoever reads it back: there are no interrupts */
  } guest;
  struct
  {
    VmmRegion registers;
    VmmRamBlock *memory; /* its contents are guest state */
    guint64 n_doorbells;
  } host;
} Ivshmem;

static VmmIoResult
registers_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Ivshmem *ivshmem = opaque;

  switch (offset)
    {
    case REG_INTR_MASK:
      *value = ivshmem->guest.intr_mask;
      return VMM_IO_OK;
    case REG_INTR_STATUS: /* nothing ever interrupts */
    case REG_IV_POSITION: /* peer 0: there is no server that numbers peers */
    case REG_DOORBELL:    /* write-only */
      return VMM_IO_OK;
    default:
      return VMM_IO_UNKNOWN;
    }
}

static VmmIoResult
registers_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Ivshmem *ivshmem = opaque;

  switch (offset)
    {
    case REG_INTR_MASK:
      ivshmem->guest.intr_mask = (guint32)value;
      return VMM_IO_OK;
    case REG_DOORBELL: /* no peer has a vector */
      ivshmem->host.n_doorbells++;
      return VMM_IO_OK;
    case REG_INTR_STATUS:
    case REG_IV_POSITION:
      return VMM_IO_OK;
    default:
      return VMM_IO_UNKNOWN;
    }
}

static const VmmRegionOps registers_ops = {
  .name = "ivshmem",
  .min_size = 4,
  .max_size = 4,
  .flags = VMM_REGION_SPLIT,
  .read = registers_read,
  .write = registers_write,
};

guint64
ivshmem_get_frames_size (guint width, guint height)
{
  guint64 pitch = ((guint64)width * 4 + FRAME_PITCH - 1) / FRAME_PITCH * FRAME_PITCH;
  guint64 needed = pitch * height * FRAMES + FRAMES_EXTRA;
  guint64 size = SIZE_MIN;

  while (size < needed)
    size *= 2;
  return size;
}

int
ivshmem_get_fd (VmmDevice *device)
{
  Ivshmem *ivshmem = (Ivshmem *)device;

  g_assert (device->ops == &ivshmem_device_ops && ivshmem->host.memory != NULL);
  return vmm_ram_block_get_fd (ivshmem->host.memory);
}

static void
ivshmem_unrealize (VmmDevice *base)
{
  Ivshmem *ivshmem = (Ivshmem *)base;

  pci_device_finish (&ivshmem->parent);
  g_clear_pointer (&ivshmem->host.memory, vmm_ram_block_unref);
}

static gboolean
ivshmem_realize (VmmDevice *base, VmmMachine *machine, GError **error)
{
  Ivshmem *ivshmem = (Ivshmem *)base;
  PciDeviceInfo info = {
    .vendor = 0x1af4,
    .device = 0x1110,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 1,
    .class_base = 0x05, /* memory controller, RAM */
  };
  PciBar registers = {
    .kind = PCI_BAR_MMIO32,
    .size = REGISTERS_SIZE,
    .region = &ivshmem->host.registers,
  };
  PciBar memory = {
    .kind = PCI_BAR_MMIO64,
    .prefetchable = TRUE,
    .size = ivshmem->config.size,
  };

  if ((memory.size & (memory.size - 1)) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Shared memory of %" G_GUINT64_FORMAT " bytes: the size must be a power of two",
                   memory.size);
      return FALSE;
    }
  ivshmem->host.memory = memory.block =
      vmm_ram_block_new ("ivshmem", memory.size, VMM_RAM_DEVICE, error);
  if (memory.block == NULL)
    return FALSE;
  if (!pci_device_init (&ivshmem->parent, machine, &info, error))
    {
      g_clear_pointer (&ivshmem->host.memory, vmm_ram_block_unref);
      return FALSE;
    }
  vmm_region_init (&ivshmem->host.registers, &registers_ops, ivshmem, &base->lock, REGISTERS_SIZE);
  if (!pci_device_add_bar (&ivshmem->parent, 0, &registers, error) ||
      !pci_device_add_bar (&ivshmem->parent, 2, &memory, error))
    {
      ivshmem_unrealize (base);
      return FALSE;
    }
  return TRUE;
}

static void
ivshmem_reset (VmmDevice *base, VmmResetKind kind)
{
  Ivshmem *ivshmem = (Ivshmem *)base;

  pci_device_reset (&ivshmem->parent);
  g_mutex_lock (&base->lock);
  ivshmem->guest.intr_mask = 0;
  g_mutex_unlock (&base->lock);
}

/* Nothing of it runs by itself. */
static void
ivshmem_quiesce (VmmDevice *base)
{
}

static void
ivshmem_resume (VmmDevice *base)
{
}

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (Ivshmem, guest.intr_mask, VMM_STATE_U32),
};

static gboolean
ivshmem_save (VmmDevice *base, VmmStateWriter *writer, GError **error)
{
  Ivshmem *ivshmem = (Ivshmem *)base;

  pci_device_save (&ivshmem->parent, writer);
  g_mutex_lock (&base->lock);
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), ivshmem);
  vmm_state_put_bytes (writer, "memory", vmm_ram_block_get_data (ivshmem->host.memory),
                       vmm_ram_block_get_used (ivshmem->host.memory));
  g_mutex_unlock (&base->lock);
  return TRUE;
}

static gboolean
ivshmem_load (VmmDevice *base, VmmStateReader *reader, guint32 version, GError **error)
{
  Ivshmem *ivshmem = (Ivshmem *)base;
  const guint8 *memory;
  gsize length;

  if (!pci_device_load (&ivshmem->parent, reader, error) ||
      !vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), ivshmem, error) ||
      !vmm_state_get_blob (reader, "memory", ivshmem->config.size, &memory, &length, error))
    return FALSE;
  if (vmm_ram_block_clear (ivshmem->host.memory, 0, ivshmem->config.size) < 0)
    memset (vmm_ram_block_get_data (ivshmem->host.memory), 0, ivshmem->config.size);
  memcpy (vmm_ram_block_get_data (ivshmem->host.memory), memory, length);
  vmm_ram_block_mark_dirty (ivshmem->host.memory, 0, ivshmem->config.size);
  return TRUE;
}

static void
ivshmem_stats (VmmDevice *base,
               void (*add) (gpointer user_data, const char *name, guint64 value),
               gpointer user_data)
{
  Ivshmem *ivshmem = (Ivshmem *)base;

  g_mutex_lock (&base->lock);
  add (user_data, "doorbells", ivshmem->host.n_doorbells);
  g_mutex_unlock (&base->lock);
}

static const VmmProperty properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "size", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (Ivshmem, config.size), SIZE_MIN, SIZE_MAX_BYTES,
    32 * SIZE_MIN },
  { NULL },
};

const VmmDeviceOps ivshmem_device_ops = {
  .name = "ivshmem",
  .summary = "Shared memory for pictures",
  .spec = "ivshmem revision 1",
  .instance_size = sizeof (Ivshmem),
  .state_version = 1,
  .properties = properties,
  .realize = ivshmem_realize,
  .unrealize = ivshmem_unrealize,
  .reset = ivshmem_reset,
  .quiesce = ivshmem_quiesce,
  .resume = ivshmem_resume,
  .save = ivshmem_save,
  .load = ivshmem_load,
  .stats = ivshmem_stats,
};
