/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "virtio.h"

/* Common configuration, Virtio 1.2, 4.1.4.3. */
#define DEVICE_FEATURE_SELECT 0x00
#define DEVICE_FEATURE        0x04
#define DRIVER_FEATURE_SELECT 0x08
#define DRIVER_FEATURE        0x0c
#define NUM_QUEUES            0x12
#define DEVICE_STATUS         0x14
#define QUEUE_SELECT          0x16
#define QUEUE_SIZE            0x18
#define QUEUE_ENABLE          0x1c
#define QUEUE_NOTIFY_OFF      0x1e
#define QUEUE_DESC            0x20
#define QUEUE_DRIVER          0x28
#define QUEUE_DEVICE          0x30

bool
virtio_open (Virtio *device, uint16_t type, unsigned n)
{
  int devfn = pci_find (0x1af4, (uint16_t)(0x1040 + type), n);

  return devfn >= 0 && virtio_open_function (device, (unsigned)devfn);
}

bool
virtio_open_function (Virtio *device, unsigned devfn)
{
  unsigned cap = 0;

  memset (device, 0, sizeof *device);
  device->devfn = devfn;
  pci_place (device->devfn);
  while ((cap = pci_capability (device->devfn, 9, cap)) != 0)
    {
      unsigned kind = pci_read (0, device->devfn, cap + 3, 1);
      unsigned bar = pci_read (0, device->devfn, cap + 4, 1);
      uint32_t offset = pci_read (0, device->devfn, cap + 8, 4);
      uint32_t address;

      if (bar > 5)
        continue;
      address = pci_bar (device->devfn, bar) + offset;
      if (kind == 1 && device->common == 0)
        device->common = address;
      else if (kind == 2 && device->notify_base == 0)
        {
          device->notify_base = address;
          device->notify_multiplier = pci_read (0, device->devfn, cap + 16, 4);
          device->notify_is_port = pci_read (0, device->devfn, 0x10 + bar * 4, 4) & 1;
        }
      else if (kind == 3 && device->isr == 0)
        device->isr = address;
      else if (kind == 4 && device->config == 0)
        device->config = address;
    }
  return device->common != 0 && device->notify_base != 0 && device->isr != 0;
}

uint8_t
virtio_status (Virtio *device)
{
  return read8 (device->common + DEVICE_STATUS);
}

void
virtio_set_status (Virtio *device, uint8_t status)
{
  write8 (device->common + DEVICE_STATUS, status);
}

uint64_t
virtio_features (Virtio *device)
{
  uint64_t features;

  write32 (device->common + DEVICE_FEATURE_SELECT, 1);
  features = (uint64_t)read32 (device->common + DEVICE_FEATURE) << 32;
  write32 (device->common + DEVICE_FEATURE_SELECT, 0);
  return features | read32 (device->common + DEVICE_FEATURE);
}

static void
start_queue (Virtio *device, unsigned index)
{
  Queue *queue = &device->queues[index];
  uint32_t common = device->common;
  uint16_t notify_off;

  write16 (common + QUEUE_SELECT, (uint16_t)index);
  if (read16 (common + QUEUE_SIZE) < VIRTIO_RING_SIZE)
    return;
  write16 (common + QUEUE_SIZE, VIRTIO_RING_SIZE);
  if (queue->desc == NULL)
    {
      queue->desc = alloc_pages (1);
      queue->avail = alloc_pages (1);
      queue->used = alloc_pages (1);
    }
  memset (queue->desc, 0, VIRTIO_RING_SIZE * sizeof (Descriptor));
  memset ((void *)(uintptr_t)queue->avail, 0, sizeof (AvailRing));
  memset ((void *)(uintptr_t)queue->used, 0, sizeof (UsedRing));
  queue->n_used = 0;
  write32 (common + QUEUE_DESC, (uint32_t)queue->desc);
  write32 (common + QUEUE_DESC + 4, 0);
  write32 (common + QUEUE_DRIVER, (uint32_t)queue->avail);
  write32 (common + QUEUE_DRIVER + 4, 0);
  write32 (common + QUEUE_DEVICE, (uint32_t)queue->used);
  write32 (common + QUEUE_DEVICE + 4, 0);
  notify_off = read16 (common + QUEUE_NOTIFY_OFF);
  queue->notify = device->notify_base + notify_off * device->notify_multiplier;
  queue->notify_is_port = device->notify_is_port;
  write16 (common + QUEUE_ENABLE, 1);
}

bool
virtio_start (Virtio *device, uint64_t wanted)
{
  uint64_t features;

  virtio_set_status (device, 0);
  for (unsigned i = 0; i < 1000 && virtio_status (device) != 0; i++)
    delay_us (100);
  virtio_set_status (device, 1);
  virtio_set_status (device, 3);
  features = (virtio_features (device) & wanted) | 1ull << 32;
  write32 (device->common + DRIVER_FEATURE_SELECT, 0);
  write32 (device->common + DRIVER_FEATURE, (uint32_t)features);
  write32 (device->common + DRIVER_FEATURE_SELECT, 1);
  write32 (device->common + DRIVER_FEATURE, (uint32_t)(features >> 32));
  virtio_set_status (device, 11);
  if ((virtio_status (device) & 8) == 0)
    return false;
  device->n_queues = read16 (device->common + NUM_QUEUES);
  for (unsigned i = 0; i < device->n_queues && i < 8; i++)
    start_queue (device, i);
  virtio_set_status (device, 15);
  return (virtio_status (device) & 0xcf) == 15;
}

void
virtio_kick (Virtio *device, unsigned index)
{
  Queue *queue = &device->queues[index];

  if (queue->notify == 0)
    return;
  if (queue->notify_is_port)
    outw ((uint16_t)queue->notify, (uint16_t)index);
  else
    write16 (queue->notify, (uint16_t)index);
}

void
virtio_submit (Queue *queue, unsigned first)
{
  uint16_t index = queue->avail->index;

  queue->avail->ring[index % VIRTIO_RING_SIZE] = (uint16_t)first;
  __asm__ volatile("" : : : "memory");
  queue->avail->index = (uint16_t)(index + 1);
}

int
virtio_wait (Queue *queue)
{
  for (unsigned i = 0; i < 10000; i++)
    {
      if (queue->used->index != queue->n_used)
        return (int)queue->used->ring[queue->n_used++ % VIRTIO_RING_SIZE].length;
      delay_us (100);
    }
  return -1;
}

void
virtio_describe (
    Descriptor *desc, const volatile void *address, uint32_t length, uint16_t flags, uint16_t next)
{
  desc->address = (uint32_t)address;
  desc->length = length;
  desc->flags = flags;
  desc->next = next;
}

int
virtio_block_request (Virtio *device, uint32_t type, uint64_t sector, void *data, uint32_t length)
{
  static struct
  {
    uint32_t type, reserved;
    uint64_t sector;
  } header;
  static volatile uint8_t status;
  Queue *queue = &device->queues[0];
  bool from_device = type == 0 || type == 8;

  header.type = type;
  header.sector = sector;
  status = 0xee;
  virtio_describe (&queue->desc[0], &header, 16, DESC_NEXT, length != 0 ? 1 : 2);
  virtio_describe (&queue->desc[1], data, length,
                   (uint16_t)(DESC_NEXT | (from_device ? DESC_WRITE : 0)), 2);
  virtio_describe (&queue->desc[2], &status, 1, DESC_WRITE, 0);
  virtio_submit (queue, 0);
  virtio_kick (device, 0);
  return virtio_wait (queue) < 0 ? -1 : status;
}
