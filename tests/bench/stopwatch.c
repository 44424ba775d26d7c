/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * stopwatch OUTPUT SECONDS MARKER... -- COMMAND...
 *
 * Starts COMMAND, copies its standard output to the file OUTPUT, and prints for each marker, in
 * order, "MARK nanoseconds" from just before exec to the byte that completed it. Then it ends the
 * command and prints "EXIT user-microseconds system-microseconds". Status 1 when a marker did not
 * come in time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEEP 256 /* longest marker */

static int64_t
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static void
child (char **command, int output, volatile int64_t *begin)
{
  int null = open ("/dev/null", O_RDONLY);

  dup2 (null, 0);
  dup2 (output, 1);
  *begin = now ();
  execvp (command[0], command);
  perror (command[0]);
  _exit (127);
}

/* Ends the command's whole process group. */
static void
finish (pid_t pid)
{
  struct rusage usage;
  int64_t limit = now () + 5000000000;

  kill (-pid, SIGTERM);
  while (wait4 (pid, NULL, WNOHANG, &usage) == 0)
    {
      if (now () > limit)
        kill (-pid, SIGKILL);
      usleep (2000);
    }
  printf ("EXIT %lld %lld\n",
          (long long)usage.ru_utime.tv_sec * 1000000 + (long long)usage.ru_utime.tv_usec,
          (long long)usage.ru_stime.tv_sec * 1000000 + (long long)usage.ru_stime.tv_usec);
}

int
main (int argc, char **argv)
{
  int pipes[2], output, n_markers = 0, found = 0;
  volatile int64_t *begin =
      mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  static char buffer[KEEP + 65536];
  size_t kept = 0;
  int64_t limit;
  pid_t pid;

  for (n_markers = 0; 3 + n_markers < argc && strcmp (argv[3 + n_markers], "--") != 0;)
    if (strlen (argv[3 + n_markers++]) >= KEEP)
      return 2;
  if (argc < 3 || 4 + n_markers >= argc)
    {
      fprintf (stderr, "usage: stopwatch OUTPUT SECONDS MARKER... -- COMMAND...\n");
      return 2;
    }
  output = open (argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (begin == MAP_FAILED || output < 0 || pipe2 (pipes, O_CLOEXEC) < 0)
    {
      perror (argv[1]);
      return 2;
    }
  limit = now () + atoll (argv[2]) * 1000000000;
  pid = fork ();
  if (pid == 0)
    {
      setpgid (0, 0);
      child (argv + 4 + n_markers, pipes[1], begin);
    }
  setpgid (pid, pid);
  close (pipes[1]);

  while (found < n_markers && now () < limit)
    {
      struct pollfd poll_fd = { pipes[0], POLLIN, 0 };
      ssize_t n;
      char *at;

      if (poll (&poll_fd, 1, 200) <= 0)
        continue;
      n = read (pipes[0], buffer + kept, sizeof buffer - kept);
      if (n <= 0)
        break;
      if (write (output, buffer + kept, (size_t)n) != n)
        break;
      kept += (size_t)n;
      while (found < n_markers &&
             (at = memmem (buffer, kept, argv[3 + found], strlen (argv[3 + found]))) != NULL)
        {
          size_t end = (size_t)(at - buffer) + strlen (argv[3 + found]);

          printf ("MARK %lld\n", (long long)(now () - *begin));
          memmove (buffer, buffer + end, kept - end);
          kept -= end;
          found++;
        }
      if (kept > KEEP)
        {
          memmove (buffer, buffer + kept - KEEP, KEEP);
          kept = KEEP;
        }
    }
  finish (pid);
  return found == n_markers ? 0 : 1;
}
