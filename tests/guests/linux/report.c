/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest report: what a test wants to know about the machine, one fact a line.
 *
 *   CPUS 2                                       processors that came up
 *   PCI 0000:00:02.0 1af4:1050 class 030000 driver virtio-pci
 *   VIRTIO virtio0 device 2 driver virtio_blk
 *   IRQ 24 PCI-MSI virtio0-req.0 17              an interrupt line with its count
 *   KMSG 4 ACPI BIOS Warning ...                 kernel messages of level warning or worse
 *   CLOCK kvm-clock
 *   EFI yes
 */
#include "guest.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool
read_text (const char *dir, const char *entry, const char *file, char *text, size_t size)
{
  char path[512];
  int fd;
  ssize_t n;

  snprintf (path, sizeof path, "%s/%s/%s", dir, entry, file);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  n = read (fd, text, size - 1);
  close (fd);
  text[n > 0 ? n : 0] = '\0';
  text[strcspn (text, "\n")] = '\0';
  return n > 0;
}

static const char *
driver_of (const char *dir, const char *entry)
{
  static char target[512];
  char path[512];
  ssize_t n;

  snprintf (path, sizeof path, "%s/%s/driver", dir, entry);
  n = readlink (path, target, sizeof target - 1);
  if (n <= 0)
    return "none";
  target[n] = '\0';
  return strrchr (target, '/') ? strrchr (target, '/') + 1 : target;
}

static void
report_devices (void)
{
  static const char pci[] = "/sys/bus/pci/devices", virtio[] = "/sys/bus/virtio/devices";
  struct dirent **names;
  char a[64], b[64], c[64];
  int n = scandir (pci, &names, NULL, alphasort);

  for (int i = 0; i < n; i++)
    if (read_text (pci, names[i]->d_name, "vendor", a, sizeof a) &&
        read_text (pci, names[i]->d_name, "device", b, sizeof b) &&
        read_text (pci, names[i]->d_name, "class", c, sizeof c))
      printf ("PCI %s %s:%s class %s driver %s\n", names[i]->d_name, a + 2, b + 2, c + 2,
              driver_of (pci, names[i]->d_name));
  n = scandir (virtio, &names, NULL, alphasort);
  for (int i = 0; i < n; i++)
    if (read_text (virtio, names[i]->d_name, "device", a, sizeof a))
      printf ("VIRTIO %s device %ld driver %s\n", names[i]->d_name, strtol (a, NULL, 0),
              driver_of (virtio, names[i]->d_name));
}

/* /proc/interrupts: a number, a count for each processor, the chip, the hardware name, the names. */
static void
report_interrupts (void)
{
  FILE *f = fopen ("/proc/interrupts", "re");
  char line[2048];
  int cpus = 0;

  if (!f)
    return;
  if (fgets (line, sizeof line, f))
    for (char *p = line; (p = strstr (p, "CPU")); p++)
      cpus++;
  printf ("CPUS %d\n", cpus);
  while (fgets (line, sizeof line, f))
    {
      unsigned long long total = 0;
      char *p = line, *chip, *name;

      if (!isdigit ((unsigned char)*(p + strspn (p, " "))))
        continue;
      strtoul (p, &p, 10);
      for (int i = 0; i < cpus; i++)
        total += strtoull (p + (*p == ':'), &p, 10);
      chip = p + strspn (p, " ");
      name = chip + strcspn (chip, " ");
      if (*name)
        *name++ = '\0';
      name[strcspn (name, "\n")] = '\0';
      name += strspn (name, " ");
      name += strcspn (name, " ");
      name += strspn (name, " ");
      printf ("IRQ %lu %s %s %llu\n", strtoul (line, NULL, 10), chip, name, total);
    }
  fclose (f);
}

static void
report_messages (void)
{
  int fd = open ("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  char record[8192];
  ssize_t n;

  while (fd >= 0 && (n = read (fd, record, sizeof record - 1)) > 0)
    {
      unsigned long level = strtoul (record, NULL, 10) & 7;
      char *text = memchr (record, ';', (size_t)n);

      record[n] = '\0';
      if (level > 4 || !text)
        continue;
      text[strcspn (text, "\n")] = '\0';
      printf ("KMSG %lu %s\n", level, text + 1);
    }
  close (fd);
}

int
guest_report (int argc, char **argv)
{
  char text[128];

  (void)argc;
  (void)argv;
  report_interrupts ();
  report_devices ();
  report_messages ();
  if (read_text ("/sys/devices/system/clocksource", "clocksource0", "current_clocksource", text,
                 sizeof text))
    printf ("CLOCK %s\n", text);
  printf ("EFI %s\n", access ("/sys/firmware/efi", F_OK) == 0 ? "yes" : "no");
  printf ("REPORT end\n");
  return 0;
}
