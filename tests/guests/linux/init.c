/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Process 1 of the test guest: file systems, modules (/mods in name order; only those of
 * alcove.modules=NAME,... when it is there), the marker line, then /etc/guest.sh. When the script ends the guest does what alcove.exit= says: poweroff (default),
 * reboot, or halt.
 */
#include "guest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void
try_mount (const char *type, const char *target, const char *options)
{
  mkdir (target, 0755);
  if (mount (type, target, type, 0, options) < 0 && errno != EBUSY && errno != ENODEV &&
      errno != ENOENT && errno != EOPNOTSUPP)
    printf ("ALCOVE-GUEST: mount %s: %s\n", target, strerror (errno));
}

/* file: NNN-NAME.ko */
static bool
is_wanted (const char *list, const char *file)
{
  const char *name = strchr (file, '-');
  size_t length;

  if (list == NULL || name == NULL)
    return true;
  name++;
  length = strcspn (name, ".");
  for (const char *p = list; *p; p += strcspn (p, ","), p += *p == ',')
    if (strcspn (p, ",") == length && strncmp (p, name, length) == 0)
      return true;
  return false;
}

static void
load_modules (void)
{
  const char *list = guest_parameter ("alcove.modules", false);
  struct dirent **names;
  int n = scandir ("/mods", &names, NULL, alphasort);

  for (int i = 0; i < n; i++)
    {
      char path[512];
      int fd;

      if (names[i]->d_name[0] == '.' || !is_wanted (list, names[i]->d_name))
        continue;
      snprintf (path, sizeof path, "/mods/%s", names[i]->d_name);
      fd = open (path, O_RDONLY | O_CLOEXEC);
      if (syscall (SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST && errno != ENODEV)
        printf ("ALCOVE-GUEST: module %s: %s\n", names[i]->d_name, strerror (errno));
      close (fd);
    }
}

/* The marker goes to every console that a test may be listening on. */
static void
mark (const char *text)
{
  static const char *const extra[] = { "/dev/tty1", "/dev/hvc0" };

  printf ("%s\n", text);
  for (size_t i = 0; i < sizeof extra / sizeof extra[0]; i++)
    {
      int fd = open (extra[i], O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

      if (fd >= 0)
        {
          dprintf (fd, "%s\n", text);
          close (fd);
        }
    }
}

static void
finish (void)
{
  const char *how = guest_parameter ("alcove.exit", false);

  fflush (stdout);
  sync ();
  if (how && strcmp (how, "reboot") == 0)
    reboot (RB_AUTOBOOT);
  else if (how && strcmp (how, "halt") == 0)
    reboot (RB_HALT_SYSTEM);
  else
    reboot (RB_POWER_OFF);
  for (;;)
    pause ();
}

int
guest_init (void)
{
  pid_t script, ended;
  int status;

  try_mount ("proc", "/proc", NULL);
  try_mount ("sysfs", "/sys", NULL);
  try_mount ("devtmpfs", "/dev", NULL);
  try_mount ("devpts", "/dev/pts", NULL);
  try_mount ("tmpfs", "/tmp", NULL);
  try_mount ("tmpfs", "/run", NULL);
  try_mount ("debugfs", "/sys/kernel/debug", NULL);
  setvbuf (stdout, NULL, _IOLBF, 0);
  load_modules ();
  if (access ("/sys/firmware/efi/efivars", F_OK) == 0)
    try_mount ("efivarfs", "/sys/firmware/efi/efivars", NULL);
  setenv ("PATH", "/bin:/sbin:/usr/bin:/usr/sbin", 1);
  setenv ("HOME", "/", 1);
  setenv ("TERM", "linux", 1);
  mark ("ALCOVE-GUEST: userspace reached");

  script = fork ();
  if (script == 0)
    {
      setsid ();
      execl ("/bin/sh", "sh", "/etc/guest.sh", NULL);
      perror ("/bin/sh");
      _exit (127);
    }
  while ((ended = wait (&status)) != script || ended < 0)
    if (ended < 0 && errno == ECHILD)
      break;
  printf ("ALCOVE-GUEST: script ended with status %d\n",
          WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status));
  finish ();
  return 0;
}
