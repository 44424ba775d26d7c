/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest nvme smart DEVICE                     health log, by the driver's pass-through
 * guest nvme discard DEVICE OFFSET LENGTH     gives the range back
 * guest nvme zero DEVICE OFFSET LENGTH        writes zeroes without sending them
 *
 * The last two are any block device's.
 */
#include "guest.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/nvme_ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static uint64_t
word (const uint8_t *log, unsigned offset)
{
  uint64_t value;

  memcpy (&value, log + offset, sizeof value);
  return le64toh (value);
}

static int
smart (int fd)
{
  uint8_t log[512] = { 0 };
  struct nvme_admin_cmd command = {
    .opcode = 0x02,
    .nsid = 0xffffffff,
    .addr = (uint64_t)(uintptr_t)log,
    .data_len = sizeof log,
    .cdw10 = (sizeof log / 4 - 1) << 16 | 0x02,
  };
  int status = ioctl (fd, NVME_IOCTL_ADMIN_CMD, &command);

  if (status != 0)
    {
      printf ("SMART failed: status %d\n", status);
      return 1;
    }
  printf ("SMART warning %u kelvin %u units-read %llu units-written %llu reads %llu writes %llu "
          "media-errors %llu\n",
          log[0], log[1] | log[2] << 8, (unsigned long long)word (log, 32),
          (unsigned long long)word (log, 48), (unsigned long long)word (log, 64),
          (unsigned long long)word (log, 80), (unsigned long long)word (log, 160));
  return 0;
}

int
guest_nvme (int argc, char **argv)
{
  int fd, status;
  uint64_t range[2];

  if (!((argc == 3 && strcmp (argv[1], "smart") == 0) ||
        (argc == 5 && (strcmp (argv[1], "discard") == 0 || strcmp (argv[1], "zero") == 0))))
    {
      fprintf (stderr, "usage: nvme smart DEVICE, nvme discard|zero DEVICE OFFSET LENGTH\n");
      return 2;
    }
  fd = open (argv[2], (argc == 3 ? O_RDONLY : O_RDWR) | O_CLOEXEC);
  if (fd < 0)
    {
      perror (argv[2]);
      return 1;
    }
  if (argc == 3)
    status = smart (fd);
  else
    {
      range[0] = strtoull (argv[3], NULL, 0);
      range[1] = strtoull (argv[4], NULL, 0);
      status = ioctl (fd, strcmp (argv[1], "discard") == 0 ? BLKDISCARD : BLKZEROOUT, range) != 0;
      if (status)
        perror (argv[1]);
    }
  close (fd);
  return status;
}
