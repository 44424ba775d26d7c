/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest bar FILE OFFSET [VALUE]      a register of a PCI function, by its resourceN in /sys
 *   writes VALUE to the 32 bits at OFFSET where one is given; prints BAR OFFSET WHAT-IS-READ-THEN
 */
#include "guest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

int
guest_bar (int argc, char **argv)
{
  volatile uint32_t *there;
  uint64_t offset;
  void *page;
  int fd;

  if (argc != 3 && argc != 4)
    {
      fprintf (stderr, "usage: bar FILE OFFSET [VALUE]\n");
      return 2;
    }
  offset = strtoull (argv[2], NULL, 0) & ~(uint64_t)3;
  fd = open (argv[1], O_RDWR | O_CLOEXEC);
  page = fd < 0 ? MAP_FAILED
                : mmap (NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                        (off_t)(offset & ~(uint64_t)(PAGE - 1)));
  if (page == MAP_FAILED)
    {
      perror (argv[1]);
      return 1;
    }
  there = (volatile uint32_t *)((uint8_t *)page + offset % PAGE);
  if (argc == 4)
    *there = (uint32_t)strtoul (argv[3], NULL, 0);
  printf ("BAR %#llx %#x\n", (unsigned long long)offset, *there);
  munmap (page, PAGE);
  close (fd);
  return 0;
}
