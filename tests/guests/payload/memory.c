/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest that finds a wrong instant in its memory: it rewrites pages in a random order, each with a
 * generation that it keeps elsewhere, and checks a page whole before it rewrites it. A page older or
 * newer than its generation is a page of another instant. The same with sectors of a disk. The time
 * stamp counter must never go back. It goes on until it reads a "q" on COM1, checks everything once
 * more, and ends. Command line: pages=N (of 4 KiB), hot=N of them are rewritten most,
 * nodisk=1 leaves the disk alone. */
#include "virtio.h"

#define POOL      0x01000000 /* 16 MiB up */
#define PAGE      4096
#define MAX_PAGES 49152
#define STEP      32  /* words: software back ends run a million instructions a second */
#define SECTORS   512 /* of the disk, from the second on */

static Virtio blk;
static uint32_t generation[MAX_PAGES], disk_generation[SECTORS];
static uint32_t n_pages = 8192, n_hot = 512;
static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint32_t
random32 (void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 16);
}

static uint32_t
word_of (uint32_t page, uint32_t gen, uint32_t at)
{
  return gen == 0 ? 0 : (page * 2654435761u) ^ (gen * 40503u + at);
}

static bool
page_is_right (uint32_t page)
{
  const volatile uint32_t *words = (const volatile uint32_t *)(POOL + page * PAGE);

  for (uint32_t i = 0; i < PAGE / 4; i += STEP)
    if (words[i] != word_of (page, generation[page], i))
      {
        check (false, "page %u, word %u is 0x%x, generation %u", page, i, words[i],
               generation[page]);
        return false;
      }
  return true;
}

static void
rewrite (uint32_t page)
{
  volatile uint32_t *words = (volatile uint32_t *)(POOL + page * PAGE);
  uint32_t gen = generation[page] + 1;

  /* A page that becomes all zero again is worth a test of its own. */
  if (gen % 7 == 0)
    gen = 0;
  for (uint32_t i = 0; i < PAGE / 4; i += STEP)
    words[i] = word_of (page, gen, i);
  generation[page] = gen;
}

static bool
sector_is_right (uint32_t sector)
{
  static uint32_t data[128];

  if (virtio_block_request (&blk, 0, sector + 1, data, 512) != 0)
    return check (false, "sector %u cannot be read", sector);
  for (uint32_t i = 0; i < 128; i++)
    if (data[i] != word_of (sector, disk_generation[sector], i))
      return check (false, "sector %u, word %u is 0x%x, generation %u", sector, i, data[i],
                    disk_generation[sector]);
  return true;
}

static bool
rewrite_sector (uint32_t sector)
{
  static uint32_t data[128];

  for (uint32_t i = 0; i < 128; i++)
    data[i] = word_of (sector, disk_generation[sector] + 1, i);
  if (virtio_block_request (&blk, 1, sector + 1, data, 512) != 0)
    return check (false, "sector %u cannot be written", sector);
  disk_generation[sector]++;
  return true;
}

static bool
stop_wanted (void)
{
  return (inb (COM1 + 5) & 1) != 0 && inb (COM1) == 'q';
}

uint32_t
payload_main (uint32_t magic, uint32_t info)
{
  const char *line = read32 (info) & 4 ? (const char *)read32 (info + 16) : "";
  uint64_t last = rdtsc ();
  uint32_t turns = 0;
  bool good = true, use_disk;

  (void)magic;
  n_pages = payload_number (line, "pages=", n_pages);
  n_hot = payload_number (line, "hot=", n_hot);
  use_disk = payload_number (line, "nodisk=", 0) == 0;
  if (n_pages > MAX_PAGES || n_hot > n_pages || n_hot == 0)
    n_pages = MAX_PAGES, n_hot = 512;
  pci_write (0, 0xf8, 0x40, 4, 0x601);
  pci_write (0, 0xf8, 0x44, 1, 0x80);
  pci_write (0, 0, 0x60, 4, 0xb0000001);
  good = check (virtio_open (&blk, 2, 0) && virtio_start (&blk, 1ull << 9), "the disk starts");
  for (uint32_t page = 0; page < n_pages; page += 2)
    rewrite (page);
  print ("# memory: ready\n");
  while (good && !stop_wanted ())
    {
      uint32_t page = random32 () % (random32 () % 4 != 0 ? n_hot : n_pages);
      uint64_t now;

      good = page_is_right (page);
      rewrite (page);
      if (use_disk && turns % 16 == 0)
        {
          uint32_t sector = random32 () % SECTORS;

          good = good && (disk_generation[sector] == 0 || sector_is_right (sector)) &&
                 rewrite_sector (sector);
        }
      now = rdtsc ();
      if (now < last)
        good = check (false, "the time stamp counter went back");
      last = now;
      turns++;
    }
  for (uint32_t page = 0; good && page < n_pages; page++)
    good = page_is_right (page);
  for (uint32_t sector = 0; good && sector < SECTORS; sector++)
    good = disk_generation[sector] == 0 || sector_is_right (sector);
  check (good, "memory and disk are of one instant");
  print ("# memory: %u turns\n", turns);
  return payload_done ();
}
