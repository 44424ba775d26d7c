/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest memory MIB [FILE [MS]]
 *
 * (MS: rests so long every 64 pages, to leave the processor to others)
 *
 * Rewrites pages of so much memory in a random order for ever, and blocks of FILE (a disk) with it.
 * Each has a generation that is kept elsewhere, and is checked before it is rewritten: one of
 * another instant, after a machine was saved and restored, is found. Says "MEMORY turn N gap MS"
 * about every second (gap: the longest jump of the monotonic clock since the last line) and
 * "MEMORY WRONG ..." before it ends with status 1.
 */
#define _GNU_SOURCE /* O_DIRECT */
#include "guest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE   4096
#define BLOCKS 256 /* of FILE, 4 KiB each, from 8 MiB on */
#define BASE   (8 << 20)

static uint64_t
word_of (uint64_t place, uint32_t generation, uint64_t at)
{
  return generation == 0
             ? 0
             : (place + 1) * 0x9e3779b97f4a7c15u ^ (generation * 0xbf58476d1ce4e5b9u + at);
}

static void
fill (uint64_t *words, uint64_t place, uint32_t generation)
{
  for (uint64_t i = 0; i < PAGE / 8; i++)
    words[i] = word_of (place, generation, i);
}

static bool
is_right (const uint64_t *words, uint64_t place, uint32_t generation, const char *what)
{
  for (uint64_t i = 0; i < PAGE / 8; i++)
    if (words[i] != word_of (place, generation, i))
      {
        printf ("MEMORY WRONG %s %llu word %llu: %llx, generation %u\n", what,
                (unsigned long long)place, (unsigned long long)i, (unsigned long long)words[i],
                generation);
        return false;
      }
  return true;
}

static uint64_t
next_random (uint64_t *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state >> 11;
}

static int64_t
now_us (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static bool
turn_block (int fd, uint64_t *buffer, uint32_t *generation, uint64_t block)
{
  off_t at = BASE + (off_t)block * PAGE;

  if (generation[block] != 0 && (pread (fd, buffer, PAGE, at) != PAGE ||
                                 !is_right (buffer, block, generation[block], "block")))
    return false;
  fill (buffer, block, generation[block] + 1);
  if (pwrite (fd, buffer, PAGE, at) != PAGE)
    {
      printf ("MEMORY WRONG block %llu cannot be written\n", (unsigned long long)block);
      return false;
    }
  generation[block]++;
  return true;
}

int
guest_memory (int argc, char **argv)
{
  uint64_t n = argc > 1 ? strtoull (argv[1], NULL, 0) << 8 : 0, random = 88172645463325252u,
           turns = 0;
  uint32_t *generation = calloc (n + 1, sizeof *generation);
  uint32_t blocks[BLOCKS] = { 0 };
  uint64_t *buffer = NULL;
  uint8_t *memory;
  int fd = argc > 2 ? open (argv[2], O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
  unsigned rest = argc > 3 ? (unsigned)strtoul (argv[3], NULL, 0) * 1000 : 0;
  int64_t last = now_us (), told = last, gap = 0;

  if (n == 0 || generation == NULL || posix_memalign ((void **)&buffer, PAGE, PAGE) != 0 ||
      (argc > 2 && fd < 0))
    return 2;
  memory = mmap (NULL, n * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return 2;
  setvbuf (stdout, NULL, _IOLBF, 0);
  for (;; turns++)
    {
      uint64_t page = next_random (&random) % n;
      uint64_t *words = (uint64_t *)(void *)(memory + page * PAGE);
      int64_t now;

      if (!is_right (words, page, generation[page], "page"))
        return 1;
      generation[page] = generation[page] % 5 == 4 ? 0 : generation[page] + 1;
      fill (words, page, generation[page]);
      if (fd >= 0 && turns % 64 == 0 &&
          !turn_block (fd, buffer, blocks, next_random (&random) % BLOCKS))
        return 1;
      if (rest > 0 && turns % 64 == 0)
        usleep (rest);
      now = now_us ();
      if (now < last)
        {
          printf ("MEMORY WRONG the clock went back\n");
          return 1;
        }
      if (now - last > gap)
        gap = now - last;
      last = now;
      if (now - told > 1000000)
        {
          printf ("MEMORY turn %llu gap %lld\n", (unsigned long long)turns, (long long)gap / 1000);
          told = now;
          gap = 0;
        }
    }
}
