/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest efi current               prints the number of the boot entry in use, such as 0001
 * guest efi add NUMBER NAME       adds a boot entry, first in the order: where this boot came from,
 *                                 under another number and name
 *
 * UEFI 2.10, 3.1.3 (load options), 3.3 (globally defined variables). A file of efivarfs is four
 * bytes of attributes and the variable's value.
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FOLDER    "/sys/firmware/efi/efivars/"
#define GLOBAL    "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define MAX_VALUE 4096

/* Returns the number of bytes of the value, without the attributes; -1 on error. */
static ssize_t
get (const char *name, unsigned char *value)
{
  unsigned char raw[4 + MAX_VALUE];
  char path[256];
  ssize_t n;
  int fd;

  snprintf (path, sizeof path, FOLDER "%s-" GLOBAL, name);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  n = read (fd, raw, sizeof raw);
  close (fd);
  if (n < 4)
    return -1;
  memcpy (value, raw + 4, (size_t)n - 4);
  return n - 4;
}

/* Non-volatile, for boot services and at run time. A file of efivarfs that is there already is
   immutable until its flag is cleared. */
static bool
set (const char *name, const unsigned char *value, size_t size)
{
  unsigned char raw[4 + MAX_VALUE] = { 7 };
  char path[256];
  bool good;
  int fd, flags = 0;

  snprintf (path, sizeof path, FOLDER "%s-" GLOBAL, name);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0)
    {
      ioctl (fd, FS_IOC_SETFLAGS, &flags);
      close (fd);
    }
  memcpy (raw + 4, value, size);
  fd = open (path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0)
    return false;
  good = write (fd, raw, size + 4) == (ssize_t)size + 4;
  close (fd);
  return good;
}

static bool
add (const char *number, const char *name)
{
  unsigned char old[MAX_VALUE], entry[MAX_VALUE], order[MAX_VALUE], current[MAX_VALUE];
  size_t paths, at = 6, from = 6;
  char variable[16];
  ssize_t n;

  if (get ("BootCurrent", current) != 2)
    return false;
  snprintf (variable, sizeof variable, "Boot%02X%02X", current[1], current[0]);
  n = get (variable, old);
  if (n < 8)
    return false;
  paths = old[4] | (size_t)old[5] << 8;
  while (from + 2 <= (size_t)n && (old[from] || old[from + 1]))
    from += 2;
  from += 2;
  if (from + paths > (size_t)n)
    return false;

  /* Attributes "active", the length of the paths, the name in UCS-2, the paths; no optional data,
     by which the firmware would know an entry that it made itself. */
  memcpy (entry, (unsigned char[]){ 1, 0, 0, 0, old[4], old[5] }, 6);
  for (const char *p = name; at < 512; p++)
    {
      entry[at++] = (unsigned char)*p;
      entry[at++] = 0;
      if (!*p)
        break;
    }
  memcpy (entry + at, old + from, paths);
  snprintf (variable, sizeof variable, "Boot%s", number);
  if (!set (variable, entry, at + paths))
    return false;

  n = get ("BootOrder", order + 2);
  if (n < 0 || n > 512)
    n = 0;
  order[0] = (unsigned char)strtoul (number + 2, NULL, 16);
  order[1] = (unsigned char)(strtoul (number, NULL, 16) >> 8);
  return set ("BootOrder", order, (size_t)n + 2);
}

int
guest_efi (int argc, char **argv)
{
  unsigned char value[MAX_VALUE];

  if (argc == 2 && strcmp (argv[1], "current") == 0)
    {
      if (get ("BootCurrent", value) != 2)
        return 1;
      printf ("EFI-CURRENT %02X%02X\n", value[1], value[0]);
      return 0;
    }
  if (argc == 4 && strcmp (argv[1], "add") == 0 && strlen (argv[2]) == 4)
    {
      if (add (argv[2], argv[3]))
        return 0;
      perror ("efi add");
      return 1;
    }
  fprintf (stderr, "usage: efi current, efi add NUMBER NAME\n");
  return 2;
}
