/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Writes numbered blocks to the first disk and says what it has flushed, until it is killed or has
 * written count=N of them: each block of 4 KiB lies where its number says (blocks=N of them, seed=N),
 * and says in each sector which it is. Eight writes are under way at once; after sixteen comes a
 * flush, and then "F NUMBER" on COM1: all before that number is on stable storage.
 * The test outside (run-writer) knows the same arithmetic. */
#include "virtio.h"

#define BATCH       8
#define FLUSH_EVERY 16
#define BLOCK       4096
#define MAGIC       0x57a11c0du

static Virtio blk;
static uint32_t blocks, seed;

typedef struct
{
  uint32_t type, reserved;
  uint64_t sector;
} Header;

static Header headers[BATCH];
static volatile uint8_t statuses[BATCH];

static uint32_t
place (uint32_t number)
{
  uint32_t h = number * 2654435761u + seed * 40503u;

  h ^= h >> 15;
  h *= 2246822519u;
  h ^= h >> 13;
  return h % blocks;
}

/* Three descriptors a request, from slot * 3 on. */
static void
send (unsigned slot, uint32_t type, uint64_t sector, void *data, uint32_t length)
{
  Descriptor *desc = &blk.queues[0].desc[slot * 3];
  uint16_t first = (uint16_t)(slot * 3);

  headers[slot].type = type;
  headers[slot].reserved = 0;
  headers[slot].sector = sector;
  statuses[slot] = 0xee;
  virtio_describe (&desc[0], &headers[slot], 16, DESC_NEXT,
                   (uint16_t)(length != 0 ? first + 1 : first + 2));
  virtio_describe (&desc[1], data, length, DESC_NEXT, (uint16_t)(first + 2));
  virtio_describe (&desc[2], &statuses[slot], 1, DESC_WRITE, 0);
  virtio_submit (&blk.queues[0], first);
}

/* A host without space may take its time. */
static bool
wait_for (unsigned n)
{
  virtio_kick (&blk, 0);
  for (unsigned i = 0; i < n; i++)
    {
      unsigned tries = 0;

      while (virtio_wait (&blk.queues[0]) < 0)
        if (++tries == 60)
          return false;
    }
  for (unsigned i = 0; i < n; i++)
    if (statuses[i] != 0)
      return false;
  return true;
}

static void
fill (uint32_t *buffer, uint32_t number)
{
  uint32_t where = place (number);

  for (unsigned i = 0; i < BLOCK / 4; i++)
    buffer[i] = number * 31 + i;
  for (unsigned i = 0; i < BLOCK / 512; i++)
    {
      buffer[i * 128] = MAGIC;
      buffer[i * 128 + 1] = number;
      buffer[i * 128 + 2] = where;
      buffer[i * 128 + 3] = i;
    }
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  const char *line = read32 (info) & 4 ? (const char *)read32 (info + 16) : "";
  uint32_t number = payload_number (line, "start=", 0), count = payload_number (line, "count=", 0);
  uint32_t end = number + count;
  uint32_t *buffers = alloc_pages (BATCH);

  (void)magic;
  blocks = payload_number (line, "blocks=", 1024);
  seed = payload_number (line, "seed=", 1);
  pci_write (0, 0xf8, 0x40, 4, 0x601);
  pci_write (0, 0xf8, 0x44, 1, 0x80);
  pci_write (0, 0, 0x60, 4, 0xb0000001);
  if (!virtio_open (&blk, 2, 0) || !virtio_start (&blk, 1ull << 9))
    {
      print ("no disk\n");
      return 1;
    }
  print ("W %u\n", number);
  while (count == 0 || number < end)
    {
      for (unsigned i = 0; i < BATCH; i++)
        {
          fill (buffers + i * (BLOCK / 4), number + i);
          send (i, 1, (uint64_t)place (number + i) * (BLOCK / 512), buffers + i * (BLOCK / 4),
                BLOCK);
        }
      if (!wait_for (BATCH))
        {
          print ("a write failed\n");
          return 1;
        }
      number += BATCH;
      if (number % FLUSH_EVERY != 0)
        continue;
      send (0, 4, 0, NULL, 0);
      if (!wait_for (1))
        {
          print ("a flush failed\n");
          return 1;
        }
      print ("F %u\n", number);
    }
  print ("done\n");
  return 0;
}
