/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * guest bench disk DEVICE SECONDS DEPTH          random 4 KiB reads past the cache
 *   prints BENCH disk DEPTH IOPS NANOSECONDS     (mean time of a request)
 * guest bench send|receive HOST PORT SECONDS     one TCP stream with "guest bench serve"
 *   prints BENCH send|receive BYTES-PER-SECOND
 * guest bench serve                              the other end; prints "port N"
 */
#define _GNU_SOURCE /* O_DIRECT */
#include "guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define BLOCK     4096
#define MAX_DEPTH 128
#define CHUNK     (128 * 1024)

static uint64_t
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t
next_random (uint64_t *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static int
disk (const char *path, unsigned seconds, unsigned depth)
{
  static struct iocb requests[MAX_DEPTH];
  struct iocb *list[MAX_DEPTH];
  struct io_event events[MAX_DEPTH];
  uint64_t size = 0, state = 88172645463325252u, done = 0, begin, end, limit;
  aio_context_t context = 0;
  void *buffer;
  int fd = open (path, O_RDONLY | O_DIRECT | O_CLOEXEC);

  if (fd < 0 || ioctl (fd, BLKGETSIZE64, &size) < 0 || size < BLOCK || depth < 1 ||
      depth > MAX_DEPTH || posix_memalign (&buffer, BLOCK, (size_t)depth * BLOCK) != 0 ||
      syscall (SYS_io_setup, MAX_DEPTH, &context) < 0)
    {
      perror (path);
      return 1;
    }
  begin = end = now ();
  limit = begin + seconds * (uint64_t)1000000000;
  for (unsigned i = 0; i < depth; i++)
    {
      requests[i] = (struct iocb){
        .aio_lio_opcode = IOCB_CMD_PREAD,
        .aio_fildes = (uint32_t)fd,
        .aio_buf = (uint64_t)(uintptr_t)buffer + (uint64_t)i * BLOCK,
        .aio_nbytes = BLOCK,
        .aio_offset = (int64_t)(next_random (&state) % (size / BLOCK) * BLOCK),
      };
      list[i] = &requests[i];
    }
  if (syscall (SYS_io_submit, context, depth, list) != depth)
    {
      perror ("io_submit");
      return 1;
    }
  for (;;)
    {
      long n = syscall (SYS_io_getevents, context, 1, MAX_DEPTH, events, NULL);

      if (n <= 0)
        {
          perror ("io_getevents");
          return 1;
        }
      for (long i = 0; i < n; i++)
        {
          list[i] = (struct iocb *)(uintptr_t)events[i].obj;
          if (events[i].res != BLOCK)
            {
              fprintf (stderr, "bench: a read gave %lld\n", (long long)events[i].res);
              return 1;
            }
          list[i]->aio_offset = (int64_t)(next_random (&state) % (size / BLOCK) * BLOCK);
        }
      done += (uint64_t)n;
      end = now ();
      if (end >= limit)
        break;
      if (syscall (SYS_io_submit, context, n, list) != n)
        {
          perror ("io_submit");
          return 1;
        }
    }
  printf ("BENCH disk %u %llu %llu\n", depth,
          (unsigned long long)(done * 1000000000 / (end - begin)),
          (unsigned long long)((end - begin) * depth / done));
  syscall (SYS_io_destroy, context);
  close (fd);
  return 0;
}

/* Moves bytes until the time is over or the other end closes. Returns how many. */
static uint64_t
stream (int fd, bool sending, uint64_t limit)
{
  static char buffer[CHUNK];
  uint64_t total = 0;

  while (limit == 0 || now () < limit)
    {
      ssize_t n = sending ? send (fd, buffer, sizeof buffer, MSG_NOSIGNAL)
                          : recv (fd, buffer, sizeof buffer, 0);

      if (n <= 0)
        break;
      total += (uint64_t)n;
    }
  return total;
}

static int
client (const char *way, const char *host, const char *port, unsigned seconds)
{
  struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons ((uint16_t)atoi (port)) };
  bool sending = strcmp (way, "send") == 0;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  uint64_t begin, total;

  if (inet_pton (AF_INET, host, &to.sin_addr) != 1 || fd < 0 ||
      connect (fd, (struct sockaddr *)&to, sizeof to) < 0 || send (fd, way, 1, 0) != 1)
    {
      perror (host);
      return 1;
    }
  begin = now ();
  total = stream (fd, sending, begin + seconds * (uint64_t)1000000000);
  printf ("BENCH %s %llu\n", way, (unsigned long long)(total * 1000000000 / (now () - begin)));
  close (fd);
  return total == 0;
}

static int
serve (void)
{
  struct sockaddr_in at = { .sin_family = AF_INET };
  socklen_t length = sizeof at;
  int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || bind (fd, (struct sockaddr *)&at, sizeof at) < 0 || listen (fd, 4) < 0 ||
      getsockname (fd, (struct sockaddr *)&at, &length) < 0)
    {
      perror ("serve");
      return 1;
    }
  printf ("port %u\n", ntohs (at.sin_port));
  fflush (stdout);
  for (;;)
    {
      int peer = accept (fd, NULL, NULL);
      char way = 0;

      if (peer < 0)
        continue;
      if (recv (peer, &way, 1, 0) == 1)
        stream (peer, way == 'r', 0);
      close (peer);
    }
}

int
guest_bench (int argc, char **argv)
{
  if (argc == 5 && strcmp (argv[1], "disk") == 0)
    return disk (argv[2], (unsigned)atoi (argv[3]), (unsigned)atoi (argv[4]));
  if (argc == 5 && (strcmp (argv[1], "send") == 0 || strcmp (argv[1], "receive") == 0))
    return client (argv[1], argv[2], argv[3], (unsigned)atoi (argv[4]));
  if (argc == 2 && strcmp (argv[1], "serve") == 0)
    return serve ();
  fprintf (stderr,
           "usage: bench disk DEVICE SECONDS DEPTH | send|receive HOST PORT SECONDS | serve\n");
  return 2;
}
