/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random 4 KiB reads from the first disk of "bus=virtio" or "bus=nvme": "queues=N" queues with
 * "depth=N" requests each, polled, for "ms=N" milliseconds. Says "READS IOPS", or what is wrong.
 *
 * NVM Express 2.0, with the queues' sizes fixed; completions raise no interrupt. */
#include "virtio.h"

#define QUEUES  4
#define DEPTH   16 /* a queue; three virtio descriptors each */
#define ENTRIES 64
#define BLOCK   4096
#define TICKS   3580 /* of the PM timer in a millisecond */

/* NVMe registers, 3.1. */
#define NVME_CAP  0x00
#define NVME_CC   0x14
#define NVME_CSTS 0x1c
#define NVME_AQA  0x24
#define NVME_ASQ  0x28
#define NVME_ACQ  0x30

typedef struct
{
  uint8_t opcode, flags;
  uint16_t id;
  uint32_t nsid, reserved[4];
  uint64_t prp1, prp2;
  uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
} Command;

typedef struct
{
  uint32_t result, reserved;
  uint16_t head, queue, id, status; /* status: bit 0 is the phase */
} Completion;

typedef struct
{
  Command *commands;
  volatile Completion *completions;
  uint32_t tail_doorbell, head_doorbell; /* addresses */
  unsigned tail, head, phase;
} Ring;

typedef struct
{
  uint32_t type, reserved;
  uint64_t sector;
} Header;

static Virtio blk;
static Header *headers;            /* queue * DEPTH + slot */
static volatile uint8_t *statuses; /* the same */
static Ring admin, rings[QUEUES];
static uint32_t registers, block_bits;
static uint8_t *buffers;
static uint32_t n_blocks; /* of BLOCK */
static uint32_t random_state = 2463534242u;
static bool is_nvme;

static uint32_t
next_place (void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state % n_blocks;
}

/* ---- NVMe ---- */

static void
ring_init (Ring *ring, unsigned index)
{
  uint32_t stride = 4u << (read32 (registers + NVME_CAP + 4) & 15);

  ring->commands = alloc_pages (1);
  ring->completions = alloc_pages (1);
  ring->tail_doorbell = registers + 0x1000 + 2 * index * stride;
  ring->head_doorbell = ring->tail_doorbell + stride;
  ring->phase = 1;
}

static void
ring_put (Ring *ring, const Command *command)
{
  ring->commands[ring->tail] = *command;
  ring->tail = (ring->tail + 1) % ENTRIES;
}

/* The identifier of a command that is done, or -1; -2: it failed. */
static int
ring_take (Ring *ring)
{
  volatile Completion *done = &ring->completions[ring->head];
  uint16_t status = done->status;

  if ((status & 1) != ring->phase)
    return -1;
  __asm__ volatile("" : : : "memory");
  ring->head = (ring->head + 1) % ENTRIES;
  if (ring->head == 0)
    ring->phase ^= 1;
  return status >> 1 == 0 ? done->id : -2;
}

static bool
admin_run (const Command *command)
{
  int id = -1;

  ring_put (&admin, command);
  write32 (admin.tail_doorbell, admin.tail);
  for (unsigned i = 0; i < 10000 && id == -1; i++)
    {
      id = ring_take (&admin);
      if (id == -1)
        delay_us (100);
    }
  write32 (admin.head_doorbell, admin.head);
  return id >= 0;
}

static bool
nvme_wait_ready (uint32_t ready)
{
  for (unsigned i = 0; i < 10000; i++)
    {
      if ((read32 (registers + NVME_CSTS) & 1) == ready)
        return true;
      delay_us (100);
    }
  return false;
}

/* 5.27.1.5, 5.4, 5.5: how many queues, then each completion queue before its submission queue. */
static bool
nvme_make_queues (unsigned queues)
{
  Command count = { .opcode = 0x09, .cdw10 = 7, .cdw11 = (queues - 1) << 16 | (queues - 1) };

  if (!admin_run (&count))
    return false;
  for (unsigned i = 0; i < queues; i++)
    {
      Command cq = { .opcode = 0x05, .cdw10 = (ENTRIES - 1) << 16 | (i + 1), .cdw11 = 1 };
      Command sq = { .opcode = 0x01,
                     .cdw10 = (ENTRIES - 1) << 16 | (i + 1),
                     .cdw11 = (i + 1) << 16 | 1 };

      ring_init (&rings[i], i + 1);
      cq.prp1 = (uintptr_t)rings[i].completions;
      sq.prp1 = (uintptr_t)rings[i].commands;
      if (!admin_run (&cq) || !admin_run (&sq))
        return false;
    }
  return true;
}

static bool
nvme_open (unsigned queues)
{
  Command identify = { .opcode = 0x06, .nsid = 1 };
  uint8_t *page = alloc_pages (1);
  int devfn = -1;

  for (unsigned i = 0; i < 256 && devfn < 0; i++)
    if (((i & 7) == 0 || (pci_read (0, i & ~7u, 0xe, 1) & 0x80) != 0) &&
        pci_read (0, i, 8, 4) >> 8 == 0x010802)
      devfn = (int)i;
  if (devfn < 0)
    return false;
  pci_place ((unsigned)devfn);
  registers = pci_bar ((unsigned)devfn, 0);
  write32 (registers + NVME_CC, 0);
  if (!nvme_wait_ready (0))
    return false;
  ring_init (&admin, 0);
  write32 (registers + NVME_AQA, (ENTRIES - 1) << 16 | (ENTRIES - 1));
  write32 (registers + NVME_ASQ, (uint32_t)(uintptr_t)admin.commands);
  write32 (registers + NVME_ASQ + 4, 0);
  write32 (registers + NVME_ACQ, (uint32_t)(uintptr_t)admin.completions);
  write32 (registers + NVME_ACQ + 4, 0);
  write32 (registers + NVME_CC, 4u << 20 | 6u << 16 | 1); /* entries of 16 and 64 bytes */
  identify.prp1 = (uintptr_t)page;
  if (!nvme_wait_ready (1) || !admin_run (&identify))
    return false;
  block_bits = page[128 + (page[26] & 15) * 4 + 2];
  if (block_bits < 9 || block_bits > 12)
    return false;
  n_blocks = (uint32_t)(*(uint64_t *)(void *)page >> (12 - block_bits));
  return nvme_make_queues (queues);
}

/* ---- both ---- */

static bool
open_disk (unsigned queues)
{
  if (is_nvme)
    return nvme_open (queues);
  if (!virtio_open (&blk, 2, 0) || !virtio_start (&blk, queues > 1 ? 1ull << 12 : 0) ||
      blk.n_queues < queues)
    return false;
  for (unsigned i = 0; i < queues; i++)
    blk.queues[i].avail->flags = 1; /* no interrupts */
  n_blocks = read32 (blk.config) / (BLOCK / 512);
  headers = alloc_pages (1);
  statuses = alloc_pages (1);
  return true;
}

static void
put (unsigned queue, unsigned slot)
{
  unsigned n = queue * DEPTH + slot;
  uint8_t *buffer = buffers + n * BLOCK;

  if (is_nvme)
    {
      uint64_t lba = (uint64_t)next_place () << (12 - block_bits);
      Command read = { .opcode = 0x02, .id = (uint16_t)slot, .nsid = 1 };

      read.prp1 = (uintptr_t)buffer;
      read.cdw10 = (uint32_t)lba;
      read.cdw11 = (uint32_t)(lba >> 32);
      read.cdw12 = (1u << (12 - block_bits)) - 1;
      ring_put (&rings[queue], &read);
    }
  else
    {
      Descriptor *desc = &blk.queues[queue].desc[slot * 3];
      uint16_t first = (uint16_t)(slot * 3);

      headers[n] = (Header){ .type = 0, .sector = (uint64_t)next_place () * (BLOCK / 512) };
      statuses[n] = 0xee;
      desc[0] = (Descriptor){ (uintptr_t)&headers[n], 16, DESC_NEXT, (uint16_t)(first + 1) };
      desc[1] =
          (Descriptor){ (uintptr_t)buffer, BLOCK, DESC_NEXT | DESC_WRITE, (uint16_t)(first + 2) };
      desc[2] = (Descriptor){ (uintptr_t)&statuses[n], 1, DESC_WRITE, 0 };
      virtio_submit (&blk.queues[queue], first);
    }
}

/* The slot of a request that is done, -1: none, -2: it failed. */
static int
take (unsigned queue)
{
  Queue *q = &blk.queues[queue];
  unsigned slot;

  if (is_nvme)
    return ring_take (&rings[queue]);
  if (q->used->index == q->n_used)
    return -1;
  __asm__ volatile("" : : : "memory");
  slot = q->used->ring[q->n_used++ % VIRTIO_RING_SIZE].id / 3;
  return slot < DEPTH && statuses[queue * DEPTH + slot] == 0 ? (int)slot : -2;
}

static void
kick (unsigned queue)
{
  if (is_nvme)
    {
      write32 (rings[queue].head_doorbell, rings[queue].head);
      write32 (rings[queue].tail_doorbell, rings[queue].tail);
      return;
    }
  __asm__ volatile("lock; addl $0, (%%esp)" : : : "memory");
  if ((blk.queues[queue].used->flags & 1) == 0) /* it looks by itself */
    virtio_kick (&blk, queue);
}

static bool
drain (unsigned queue, unsigned left)
{
  for (unsigned tries = 0; left > 0; tries++)
    {
      int slot = take (queue);

      if (slot == -2 || tries == 1u << 30)
        return false;
      left -= slot >= 0;
    }
  if (is_nvme)
    write32 (rings[queue].head_doorbell, rings[queue].head);
  return true;
}

/* Requests a second, or 0. */
static uint32_t
run (unsigned queues, unsigned depth, uint32_t ms)
{
  uint32_t last, ticks = 0, done = 0, idle = 0;

  for (unsigned q = 0; q < queues; q++)
    {
      for (unsigned slot = 0; slot < depth; slot++)
        put (q, slot);
      kick (q);
    }
  last = pm_timer ();
  for (uint32_t seen = 0; ticks < ms * TICKS;)
    {
      for (unsigned q = 0; q < queues; q++)
        {
          unsigned n = 0;
          int slot;

          while (n < depth && (slot = take (q)) != -1)
            {
              if (slot < 0)
                return 0;
              put (q, (unsigned)slot);
              n++;
            }
          if (n > 0)
            kick (q);
          done += n;
        }
      /* The timer is an exit: seldom. */
      if (done - seen >= 512 || ++idle % 4096 == 0)
        {
          uint32_t now = pm_timer ();

          ticks += (now - last) & 0xffffff;
          last = now;
          seen = done;
        }
      __asm__ volatile("pause");
    }
  for (unsigned q = 0; q < queues; q++)
    if (!drain (q, depth))
      return 0;
  ticks /= TICKS;
  return done / ticks * 1000 + done % ticks * 1000 / ticks;
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  const char *line = read32 (info) & 4 ? (const char *)read32 (info + 16) : "";
  unsigned queues = payload_number (line, "queues=", 1), depth = payload_number (line, "depth=", 8);
  uint32_t ms = payload_number (line, "ms=", 1000);

  (void)magic;
  is_nvme = payload_number (line, "nvme=", 0) != 0;
  if (queues < 1 || queues > QUEUES || depth < 1 || depth > DEPTH || ms < 1 || ms > 100000)
    {
      print ("queues=1..%u depth=1..%u ms=1..100000\n", QUEUES, DEPTH);
      return 1;
    }
  pci_write (0, 0xf8, 0x40, 4, 0x601);
  pci_write (0, 0xf8, 0x44, 1, 0x80);
  pci_write (0, 0, 0x60, 4, 0xb0000001);
  if (!open_disk (queues) || n_blocks == 0)
    {
      print ("no disk\n");
      return 1;
    }
  buffers = alloc_pages (QUEUES * DEPTH);
  (void)run (queues, depth, ms / 4); /* tables and caches are warm then */
  print ("READS %u\n", run (queues, depth, ms));
  return 0;
}
