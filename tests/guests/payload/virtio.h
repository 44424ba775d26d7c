/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest-side driver for modern virtio PCI devices (Virtio 1.2, 4.1), polling. */
#pragma once
#include "payload.h"

#define VIRTIO_RING_SIZE 64

#define DESC_NEXT     1
#define DESC_WRITE    2
#define DESC_INDIRECT 4

typedef struct
{
  uint64_t address;
  uint32_t length;
  uint16_t flags, next;
} Descriptor;

typedef struct
{
  uint16_t flags, index;
  uint16_t ring[VIRTIO_RING_SIZE];
  uint16_t used_event;
} AvailRing;

typedef struct
{
  uint16_t flags, index;
  struct
  {
    uint32_t id, length;
  } ring[VIRTIO_RING_SIZE];
  uint16_t avail_event;
} UsedRing;

typedef struct
{
  Descriptor *desc;
  volatile AvailRing *avail;
  volatile UsedRing *used;
  uint16_t n_used; /* how far we have read */
  bool notify_is_port;
  uint32_t notify;
} Queue;

typedef struct
{
  unsigned devfn;
  bool is_port[6];
  uint32_t common, isr, config; /* addresses; memory BARs */
  uint32_t notify_base, notify_multiplier;
  bool notify_is_port;
  unsigned n_queues;
  Queue queues[8];
} Virtio;

/* Finds the n-th device of a type (2: block) on bus 0, places its BARs and reads its capabilities. */
bool virtio_open (Virtio *device, uint16_t type, unsigned n);
bool virtio_open_function (Virtio *device, unsigned devfn);
/* Status register. */
uint8_t virtio_status (Virtio *device);
void virtio_set_status (Virtio *device, uint8_t status);
/* Resets, accepts (features & wanted) | VERSION_1, sets up up to 8 queues, DRIVER_OK. */
bool virtio_start (Virtio *device, uint64_t wanted);
uint64_t virtio_features (Virtio *device);
void virtio_describe (
    Descriptor *desc, const volatile void *address, uint32_t length, uint16_t flags, uint16_t next);
/* Puts a chain of n descriptors, beginning at slot first, into the ring and kicks. */
void virtio_submit (Queue *queue, unsigned first);
void virtio_kick (Virtio *device, unsigned queue);
/* Waits up to a second for one more used entry; its length, or -1. */
int virtio_wait (Queue *queue);
/* One request of virtio-blk's queue 0: header, data, status. The status byte, or -1 without an
 * answer. type: 0 in, 1 out, 4 flush, 8 get id. */
int
virtio_block_request (Virtio *device, uint32_t type, uint64_t sector, void *data, uint32_t length);
