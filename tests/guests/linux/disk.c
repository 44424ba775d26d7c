/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest disk write FILE OFFSET SIZE SEED    writes a pattern and flushes it
 * guest disk verify FILE OFFSET SIZE SEED   status 0 when the pattern is there
 * guest disk count FILE OFFSET              adds one to a counter there, prints it
 * guest disk zero FILE OFFSET SIZE          has the kernel zero a part of a block device
 * guest disk eject FILE                     opens the tray of a CD-ROM drive
 *
 * Every 64-bit word of the pattern depends on the seed and on its own place in the file, so
 * blocks that change places, repeat or stay away are found.
 */
#include "guest.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/cdrom.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CHUNK (256 * 1024)

/* The finalizer of SplitMix64: neighbours come out unrelated. */
static uint64_t
pattern_word (uint64_t seed, uint64_t index)
{
  uint64_t z = seed * 0x9e3779b97f4a7c15u + index;

  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static bool
transfer (int fd, bool writing, uint64_t offset, uint64_t size, uint64_t seed)
{
  uint64_t *want = malloc (CHUNK), *have = malloc (CHUNK);
  bool good = want && have;

  for (uint64_t at = 0; good && at < size; at += CHUNK)
    {
      size_t n = size - at < CHUNK ? size - at : CHUNK;

      for (size_t i = 0; i < n / 8; i++)
        want[i] = htole64 (pattern_word (seed, (offset + at) / 8 + i));
      if (writing)
        good = pwrite (fd, want, n, (off_t)(offset + at)) == (ssize_t)n;
      else
        good =
            pread (fd, have, n, (off_t)(offset + at)) == (ssize_t)n && memcmp (have, want, n) == 0;
      if (!good)
        fprintf (stderr, "disk: %s at offset %llu\n", writing ? "write failed" : "pattern differs",
                 (unsigned long long)(offset + at));
    }
  free (want);
  free (have);
  return good;
}

static int
count (int fd, uint64_t offset)
{
  uint64_t value;

  if (pread (fd, &value, sizeof value, (off_t)offset) != sizeof value)
    return 1;
  value = htole64 (le64toh (value) + 1);
  if (pwrite (fd, &value, sizeof value, (off_t)offset) != sizeof value || fsync (fd) < 0)
    return 1;
  printf ("%llu\n", (unsigned long long)le64toh (value));
  return 0;
}

static int
zero (const char *path, uint64_t offset, uint64_t size)
{
  uint64_t range[2] = { offset, size };
  int fd = open (path, O_RDWR | O_CLOEXEC), status;

  status = fd < 0 || ioctl (fd, BLKZEROOUT, range) < 0;
  if (status)
    perror (path);
  return status;
}

static int
eject (const char *path)
{
  int fd = open (path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), status;

  status = fd < 0 || ioctl (fd, CDROMEJECT) < 0;
  if (status)
    perror (path);
  return status;
}

int
guest_disk (int argc, char **argv)
{
  bool writing = argc == 6 && strcmp (argv[1], "write") == 0;
  bool verifying = argc == 6 && strcmp (argv[1], "verify") == 0;
  bool counting = argc == 4 && strcmp (argv[1], "count") == 0;
  int fd, status;

  if (argc == 5 && strcmp (argv[1], "zero") == 0)
    return zero (argv[2], strtoull (argv[3], NULL, 0), strtoull (argv[4], NULL, 0));
  if (argc == 3 && strcmp (argv[1], "eject") == 0)
    return eject (argv[2]);
  if (!writing && !verifying && !counting)
    {
      fprintf (stderr, "usage: disk write|verify FILE OFFSET SIZE SEED, disk count FILE OFFSET, "
                       "disk zero FILE OFFSET SIZE, disk eject FILE\n");
      return 2;
    }
  fd = open (argv[2], (verifying ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (fd < 0)
    {
      perror (argv[2]);
      return 1;
    }
  if (counting)
    status = count (fd, strtoull (argv[3], NULL, 0));
  else
    {
      status = !transfer (fd, writing, strtoull (argv[3], NULL, 0), strtoull (argv[4], NULL, 0),
                          strtoull (argv[5], NULL, 0));
      if (writing && fsync (fd) < 0)
        status = 1;
    }
  close (fd);
  return status;
}
