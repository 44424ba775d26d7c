/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest events [SECONDS [CODE]]: prints what the input devices say, one line an event, until the
 * key CODE (Linux event code) is pressed (status 0) or the time is over (status 1; 0 without CODE).
 *
 *   INPUT event2 "Alcove Tablet" abs 0..32767 0..32767
 *   EVENT event2 3 0 16384        type (1 key, 2 relative, 3 absolute), code, value
 */
#include "guest.h"

#include <fcntl.h>
#include <linux/input.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_DEVICES 16

static int
open_devices (struct pollfd *fds)
{
  int n = 0;

  for (int i = 0; i < 32 && n < MAX_DEVICES; i++)
    {
      char path[32], name[128] = "";
      struct input_absinfo x, y;
      int fd;

      snprintf (path, sizeof path, "/dev/input/event%d", i);
      fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
      if (fd < 0)
        continue;
      ioctl (fd, EVIOCGNAME (sizeof name), name);
      printf ("INPUT event%d \"%s\"", i, name);
      if (ioctl (fd, EVIOCGABS (ABS_X), &x) == 0 && ioctl (fd, EVIOCGABS (ABS_Y), &y) == 0 &&
          x.maximum > 0)
        printf (" abs %d..%d %d..%d", x.minimum, x.maximum, y.minimum, y.maximum);
      printf ("\n");
      fds[n].fd = fd;
      fds[n].events = POLLIN;
      n++;
    }
  return n;
}

int
guest_events (int argc, char **argv)
{
  struct pollfd fds[MAX_DEVICES];
  int seconds = argc > 1 ? atoi (argv[1]) : 3600;
  int last = argc > 2 ? atoi (argv[2]) : -1;
  int n = open_devices (fds);
  time_t end = time (NULL) + seconds;

  printf ("EVENTS ready %d\n", n);
  fflush (stdout);
  while (time (NULL) < end)
    {
      poll (fds, (nfds_t)n, 500);
      for (int i = 0; i < n; i++)
        {
          struct input_event e;

          while (read (fds[i].fd, &e, sizeof e) == sizeof e)
            {
              if (e.type == EV_SYN || e.type == EV_MSC)
                continue;
              printf ("EVENT %d %d %d %d\n", i, e.type, e.code, e.value);
              fflush (stdout);
              if (e.type == EV_KEY && e.code == last && e.value == 1)
                return 0;
            }
        }
    }
  return last < 0 ? 0 : 1;
}
