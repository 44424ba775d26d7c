/* SPDX-License-Identifier: GPL-3.0-or-later */
/* guest TOOL [arguments]; as process 1, the guest's init. */

#include "guest.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <unistd.h>

const char *
guest_parameter (const char *name, bool rest)
{
  static char line[4096];
  size_t length = strlen (name);
  int fd = open ("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? 0 : read (fd, line, sizeof line - 1);

  if (fd >= 0)
    close (fd);
  if (n <= 0)
    return NULL;
  line[n] = '\0';
  line[strcspn (line, "\n")] = '\0';
  for (char *p = line; (p = strstr (p, name)) != NULL; p += length)
    if ((p == line || p[-1] == ' ') && p[length] == '=')
      {
        char *value = strdup (p + length + 1);

        if (!rest)
          value[strcspn (value, " ")] = '\0';
        return value;
      }
  return NULL;
}

/* Writes a byte to an I/O port: the debug exit of a virtual machine, by convention at 0xf4. */
static int
outb_tool (int argc, char **argv)
{
  if (argc != 3)
    return 2;
  if (iopl (3) < 0)
    {
      perror ("iopl");
      return 1;
    }
  outb ((unsigned char)strtoul (argv[2], NULL, 0), (unsigned short)strtoul (argv[1], NULL, 0));
  return 0;
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    int (*run) (int argc, char **argv);
  } tools[] = {
    { "banner", guest_banner }, { "bar", guest_bar },     { "bench", guest_bench },
    { "disk", guest_disk },     { "draw", guest_draw },   { "efi", guest_efi },
    { "events", guest_events }, { "frame", guest_frame }, { "memory", guest_memory },
    { "nvme", guest_nvme },     { "outb", outb_tool },    { "report", guest_report },
    { "sound", guest_sound },
  };

  if (getpid () == 1)
    return guest_init ();
  for (size_t i = 0; argc > 1 && i < sizeof tools / sizeof tools[0]; i++)
    if (strcmp (argv[1], tools[i].name) == 0)
      return tools[i].run (argc - 1, argv + 1);
  fprintf (stderr,
           "usage: guest banner|bar|bench|disk|draw|efi|events|frame|memory|nvme|outb|report|sound "
           "...\n");
  return 2;
}
