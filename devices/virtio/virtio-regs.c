/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The registers of the virtio PCI transport (Virtio 1.2, 4.1.4): common configuration, ISR, device
 * configuration, notification, and the window to them in PCI configuration space. */
#include "devices/virtio/virtio-private.h"

#include <string.h>

/* Virtio 1.2, 4.1.4.3, struct virtio_pci_common_cfg: offset, width, access. All reset to 0 but
 * config_msix_vector and queue_msix_vector (NO_VECTOR) and queue_size (the maximum). */
enum
{
  COMMON_DEVICE_FEATURE_SELECT = 0x00, /* 4 RW */
  COMMON_DEVICE_FEATURE = 0x04,        /* 4 RO */
  COMMON_DRIVER_FEATURE_SELECT = 0x08, /* 4 RW */
  COMMON_DRIVER_FEATURE = 0x0c,        /* 4 RW */
  COMMON_CONFIG_VECTOR = 0x10,         /* 2 RW */
  COMMON_NUM_QUEUES = 0x12,            /* 2 RO */
  COMMON_STATUS = 0x14,                /* 1 RW */
  COMMON_GENERATION = 0x15,            /* 1 RO */
  COMMON_QUEUE_SELECT = 0x16,          /* 2 RW */
  COMMON_QUEUE_SIZE = 0x18,            /* 2 RW */
  COMMON_QUEUE_VECTOR = 0x1a,          /* 2 RW */
  COMMON_QUEUE_ENABLE = 0x1c,          /* 2 RW */
  COMMON_QUEUE_NOTIFY_OFF = 0x1e,      /* 2 RO */
  COMMON_QUEUE_DESC = 0x20,            /* 8 RW, as two 4 */
  COMMON_QUEUE_DRIVER = 0x28,          /* 8 RW, as two 4 */
  COMMON_QUEUE_DEVICE = 0x30,          /* 8 RW, as two 4 */
  COMMON_QUEUE_NOTIFY_DATA = 0x38,     /* 2 RO */
  COMMON_QUEUE_RESET = 0x3a,           /* 2 RW; RING_RESET is not offered */
};

static guint
common_width (guint64 offset)
{
  switch (offset)
    {
    case COMMON_DEVICE_FEATURE_SELECT:
    case COMMON_DEVICE_FEATURE:
    case COMMON_DRIVER_FEATURE_SELECT:
    case COMMON_DRIVER_FEATURE:
    case COMMON_QUEUE_DESC:
    case COMMON_QUEUE_DESC + 4:
    case COMMON_QUEUE_DRIVER:
    case COMMON_QUEUE_DRIVER + 4:
    case COMMON_QUEUE_DEVICE:
    case COMMON_QUEUE_DEVICE + 4:
      return 4;
    case COMMON_STATUS:
    case COMMON_GENERATION:
      return 1;
    case COMMON_CONFIG_VECTOR:
    case COMMON_NUM_QUEUES:
    case COMMON_QUEUE_SELECT:
    case COMMON_QUEUE_SIZE:
    case COMMON_QUEUE_VECTOR:
    case COMMON_QUEUE_ENABLE:
    case COMMON_QUEUE_NOTIFY_OFF:
    case COMMON_QUEUE_NOTIFY_DATA:
    case COMMON_QUEUE_RESET:
      return 2;
    default:
      return 0;
    }
}

static VirtioQueueState *
selected (VirtioTransport *t)
{
  return t->queue_select < t->n_queues ? &t->queues[t->queue_select] : NULL;
}

static guint64
half (guint64 value, guint64 offset)
{
  return (offset & 4) ? value >> 32 : value & G_MAXUINT32;
}

static guint64
with_half (guint64 old, guint64 offset, guint64 value)
{
  return (offset & 4) ? (old & G_MAXUINT32) | value << 32 : (old & ~(guint64)G_MAXUINT32) | value;
}

static guint64
read_queue (VirtioTransport *t, guint64 offset)
{
  const VirtioQueueState *queue = selected (t);

  /* 4.1.4.3.1: size 0 says that there is no such queue. */
  if (queue == NULL)
    return offset == COMMON_QUEUE_VECTOR ? VIRTIO_NO_VECTOR : 0;
  switch (offset & ~(guint64)(offset >= COMMON_QUEUE_DESC && offset < 0x38 ? 4 : 0))
    {
    case COMMON_QUEUE_SIZE:
      return queue->size;
    case COMMON_QUEUE_VECTOR:
      return queue->vector;
    case COMMON_QUEUE_ENABLE:
      return queue->enable;
    case COMMON_QUEUE_NOTIFY_OFF:
      return queue->index;
    case COMMON_QUEUE_DESC:
      return half (queue->desc, offset);
    case COMMON_QUEUE_DRIVER:
      return half (queue->driver, offset);
    case COMMON_QUEUE_DEVICE:
      return half (queue->used, offset);
    default: /* queue_notify_data and queue_reset: features we do not offer */
      return 0;
    }
}

static VmmIoResult
read_common (VirtioTransport *t, guint64 offset, guint size, guint64 *value)
{
  if (common_width (offset) != size)
    return VMM_IO_UNKNOWN;
  switch (offset)
    {
    case COMMON_DEVICE_FEATURE_SELECT:
      *value = t->device_feature_select;
      break;
    case COMMON_DEVICE_FEATURE:
      *value = t->device_feature_select < 2 ? half (t->features, t->device_feature_select * 4) : 0;
      break;
    case COMMON_DRIVER_FEATURE_SELECT:
      *value = t->driver_feature_select;
      break;
    case COMMON_DRIVER_FEATURE:
      *value = t->driver_feature_select < 2
                   ? half (t->driver_features, t->driver_feature_select * 4)
                   : 0;
      break;
    case COMMON_CONFIG_VECTOR:
      *value = t->config_vector;
      break;
    case COMMON_NUM_QUEUES:
      *value = t->n_queues;
      break;
    case COMMON_STATUS:
      /* While a reset runs it still shows the old status: the driver waits for 0 (4.1.4.3.1). */
      *value = g_atomic_int_get (&t->status) & 0xff;
      break;
    case COMMON_GENERATION:
      *value = g_atomic_int_get (&t->generation) & 0xff;
      break;
    case COMMON_QUEUE_SELECT:
      *value = t->queue_select;
      break;
    default:
      *value = read_queue (t, offset);
      break;
    }
  return VMM_IO_OK;
}

static void
write_status (VirtioTransport *t, guint8 value)
{
  gint old = g_atomic_int_get (&t->status);
  gint added = value & ~old;

  if (value == 0)
    {
      virtio_transport_reset_locked (t);
      return;
    }
  /* 2.1.1: bits are only ever added; NEEDS_RESET is the device's own. */
  added &=
      STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_DRIVER_OK | STATUS_FEATURES_OK | STATUS_FAILED;
  /* 2.2.2 and 3.1.1: features are refused by leaving FEATURES_OK clear. */
  if ((added & STATUS_FEATURES_OK) && ((t->driver_features & ~t->features) != 0 ||
                                       !(t->driver_features & FEATURE_BIT (FEATURE_VERSION_1))))
    added &= ~STATUS_FEATURES_OK;
  if (!((old | added) & STATUS_FEATURES_OK))
    added &= ~STATUS_DRIVER_OK;
  g_atomic_int_or ((guint *)&t->status, added);
  if (added & STATUS_DRIVER_OK)
    virtio_transport_activate (t);
}

static void
enable_queue (VirtioTransport *t, VirtioQueueState *queue)
{
  gboolean ok;

  g_mutex_lock (&queue->own_lock);
  ok = virtqueue_enable (queue->vq, queue->size, queue->desc, queue->driver, queue->used,
                         (t->driver_features & FEATURE_BIT (FEATURE_INDIRECT_DESC)) != 0,
                         (t->driver_features & FEATURE_BIT (FEATURE_EVENT_IDX)) != 0);
  g_mutex_unlock (&queue->own_lock);
  if (!ok)
    {
      virtio_device_set_broken (t->device);
      return;
    }
  queue->enable = 1;
  if (virtio_device_is_active (t->device) && t->device->virtio_ops->queue_enabled != NULL)
    t->device->virtio_ops->queue_enabled (t->device, queue->index, TRUE);
}

static guint16
valid_vector (VirtioTransport *t, guint64 value)
{
  /* 4.1.5.1.2.1: a vector that cannot be had reads back as NO_VECTOR. */
  return value <= t->n_queues ? value : VIRTIO_NO_VECTOR;
}

static void
write_queue (VirtioTransport *t, guint64 offset, guint64 value)
{
  VirtioQueueState *queue = selected (t);

  if (queue == NULL)
    return;
  if (offset == COMMON_QUEUE_VECTOR)
    {
      queue->vector = valid_vector (t, value);
      return;
    }
  /* 4.1.4.3.2: set up before enabling; what is enabled stays as it was latched. */
  if (queue->enable)
    return;
  switch (offset & ~(guint64)(offset >= COMMON_QUEUE_DESC && offset < 0x38 ? 4 : 0))
    {
    case COMMON_QUEUE_SIZE:
      queue->size = value;
      break;
    case COMMON_QUEUE_ENABLE:
      if (value == 1)
        enable_queue (t, queue);
      break;
    case COMMON_QUEUE_DESC:
      queue->desc = with_half (queue->desc, offset, value);
      break;
    case COMMON_QUEUE_DRIVER:
      queue->driver = with_half (queue->driver, offset, value);
      break;
    case COMMON_QUEUE_DEVICE:
      queue->used = with_half (queue->used, offset, value);
      break;
    default:
      break;
    }
}

static VmmIoResult
write_common (VirtioTransport *t, guint64 offset, guint size, guint64 value)
{
  if (common_width (offset) != size)
    return VMM_IO_UNKNOWN;
  if (t->resetting)
    return VMM_IO_OK;
  switch (offset)
    {
    case COMMON_DEVICE_FEATURE_SELECT:
      t->device_feature_select = value;
      break;
    case COMMON_DRIVER_FEATURE_SELECT:
      t->driver_feature_select = value;
      break;
    case COMMON_DRIVER_FEATURE:
      /* 3.1.1: nothing changes once FEATURES_OK is set. */
      if (!(g_atomic_int_get (&t->status) & STATUS_FEATURES_OK) && t->driver_feature_select < 2)
        t->driver_features = with_half (t->driver_features, t->driver_feature_select * 4, value);
      break;
    case COMMON_CONFIG_VECTOR:
      t->config_vector = valid_vector (t, value);
      break;
    case COMMON_STATUS:
      write_status (t, value);
      break;
    case COMMON_QUEUE_SELECT:
      t->queue_select = value;
      break;
    case COMMON_DEVICE_FEATURE:
    case COMMON_NUM_QUEUES:
    case COMMON_GENERATION:
      break;
    default:
      write_queue (t, offset, value);
      break;
    }
  return VMM_IO_OK;
}

static VmmIoResult
read_isr (VirtioTransport *t, guint64 offset, guint64 *value)
{
  if (offset != 0)
    return VMM_IO_UNKNOWN;
  /* 4.1.4.5.1: reading clears it and takes INTx back. */
  g_mutex_lock (&t->isr_lock);
  *value = t->isr;
  t->isr = 0;
  pci_device_set_intx (&t->device->parent, FALSE);
  g_mutex_unlock (&t->isr_lock);
  return VMM_IO_OK;
}

static VmmIoResult
read_config (VirtioTransport *t, guint64 offset, guint size, guint64 *value)
{
  const VirtioDeviceOps *ops = t->device->virtio_ops;
  guint8 buffer[8] = { 0 };

  if (offset + size > ops->config_size)
    return VMM_IO_UNKNOWN;
  ops->config_read (t->device, offset, buffer, size);
  for (guint i = 0; i < size; i++)
    *value |= (guint64)buffer[i] << (8 * i);
  return VMM_IO_OK;
}

static VmmIoResult
write_config (VirtioTransport *t, guint64 offset, guint size, guint64 value)
{
  const VirtioDeviceOps *ops = t->device->virtio_ops;
  guint8 buffer[8];

  if (offset + size > ops->config_size || ops->config_write == NULL)
    return VMM_IO_UNKNOWN;
  for (guint i = 0; i < size; i++)
    buffer[i] = value >> (8 * i);
  ops->config_write (t->device, offset, buffer, size);
  return VMM_IO_OK;
}

/* Where the structures are when the device has the first page to itself. */
static guint64
unshift (VirtioTransport *t, guint64 offset)
{
  if (t->first_page == NULL || offset >= VIRTIO_CONFIG_OFFSET)
    return offset;
  if (offset >= VIRTIO_SHIFTED_ISR)
    return offset - VIRTIO_SHIFTED_ISR + VIRTIO_ISR_OFFSET;
  return offset - VIRTIO_SHIFTED_COMMON + VIRTIO_COMMON_OFFSET;
}

static VmmIoResult
modern_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  VirtioTransport *t = opaque;

  if (t->first_page != NULL && offset < VIRTIO_PART_SIZE)
    return t->first_page->read (t->first_page_opaque, offset, size, value);
  offset = unshift (t, offset);
  switch (offset / VIRTIO_PART_SIZE)
    {
    case VIRTIO_COMMON_OFFSET / VIRTIO_PART_SIZE:
      return read_common (t, offset, size, value);
    case VIRTIO_ISR_OFFSET / VIRTIO_PART_SIZE:
      return read_isr (t, offset - VIRTIO_ISR_OFFSET, value);
    case VIRTIO_CONFIG_OFFSET / VIRTIO_PART_SIZE:
      return read_config (t, offset - VIRTIO_CONFIG_OFFSET, size, value);
    default:
      return VMM_IO_OK; /* doorbells read 0 */
    }
}

static VmmIoResult
modern_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  VirtioTransport *t = opaque;

  if (t->first_page != NULL && offset < VIRTIO_PART_SIZE)
    return t->first_page->write (t->first_page_opaque, offset, size, value);
  offset = unshift (t, offset);
  switch (offset / VIRTIO_PART_SIZE)
    {
    case VIRTIO_COMMON_OFFSET / VIRTIO_PART_SIZE:
      return write_common (t, offset, size, value);
    case VIRTIO_CONFIG_OFFSET / VIRTIO_PART_SIZE:
      return write_config (t, offset - VIRTIO_CONFIG_OFFSET, size, value);
    case VIRTIO_NOTIFY_OFFSET / VIRTIO_PART_SIZE:
      virtio_transport_ring (t, (offset - VIRTIO_NOTIFY_OFFSET) / VIRTIO_NOTIFY_STEP, FALSE);
      return VMM_IO_OK;
    default:
      return VMM_IO_UNKNOWN;
    }
}

const VmmRegionOps virtio_modern_region_ops = {
  .name = "virtio",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_UNALIGNED | VMM_REGION_SPLIT,
  .read = modern_read,
  .write = modern_write,
};

guint32
virtio_transport_read (VirtioTransport *t, guint64 offset, guint size)
{
  guint64 value = 0;

  (void)modern_read (t, offset, size, &value);
  return value;
}

void
virtio_transport_write (VirtioTransport *t, guint64 offset, guint size, guint64 value)
{
  (void)modern_write (t, offset, size, value);
}

static VmmIoResult
pio_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return VMM_IO_OK;
}

static VmmIoResult
pio_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  virtio_transport_ring (opaque, offset / VIRTIO_NOTIFY_STEP, TRUE);
  return VMM_IO_OK;
}

/* The doorbell takes no lock: an exit while the worker holds the device's does not wait for it. */
const VmmRegionOps virtio_pio_region_ops = {
  .name = "virtio-doorbell",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_UNALIGNED | VMM_REGION_LOCKLESS,
  .read = pio_read,
  .write = pio_write,
};
