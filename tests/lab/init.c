/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Process 1 of the lab's outer machine. One static program, because starting a process costs
 * about 36 ms under emulation: it loads the modules, puts a writable overlay on the developer's
 * own root, runs one command with its output on two virtio-serial ports, reports the exit status
 * on a third, and powers off.
 *
 * In its initial RAM disk: /mods/NNN-*.ko in loading order, and /job: NUL-terminated words, a key
 * and a value by turns: "dir" "env" "arg" (repeated), "tty" ("ROWS COLS" for a shell on hvc0),
 * "out" ("1" when there is a folder to share), "release" (of the kernel).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MAX_WORDS 1024

static struct
{
  const char *dir;
  const char *tty;
  const char *release;
  bool out;
  char *argv[MAX_WORDS + 1];
  int argc;
} job;

static void
say (const char *format, ...)
{
  va_list args;

  va_start (args, format);
  printf ("lab-init: ");
  vprintf (format, args);
  printf ("\n");
  fflush (stdout);
  va_end (args);
}

static void
power_off (void)
{
  sync ();
  reboot (RB_POWER_OFF);
  for (;;)
    pause ();
}

/* What stops here leaves the control port silent, which the launcher reports as status 125. */
static void
fail (const char *what)
{
  say ("%s: %s", what, strerror (errno));
  power_off ();
}

static void
mount_or_fail (const char *source,
               const char *target,
               const char *type,
               unsigned long flags,
               const char *options)
{
  if (mount (source, target, type, flags, options) < 0)
    fail (target);
}

static void
load_modules (void)
{
  struct dirent **names;
  int n = scandir ("/mods", &names, NULL, alphasort);

  for (int i = 0; i < n; i++)
    {
      char path[512];
      int fd;

      if (names[i]->d_name[0] == '.')
        continue;
      snprintf (path, sizeof path, "/mods/%s", names[i]->d_name);
      fd = open (path, O_RDONLY | O_CLOEXEC);
      if (syscall (SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        say ("module %s: %s", names[i]->d_name, strerror (errno));
      close (fd);
      unlink (path);
    }
}

static void
read_job (void)
{
  static char text[1 << 20];
  int fd = open ("/job", O_RDONLY | O_CLOEXEC);
  ssize_t size = 0, got;
  char *p = text;

  if (fd < 0)
    fail ("/job");
  while ((got = read (fd, text + size, sizeof text - 2 - size)) > 0)
    size += got;
  close (fd);
  while (p < text + size)
    {
      char *key = p, *value = p + strlen (p) + 1;

      p = value + strlen (value) + 1;
      if (!strcmp (key, "dir"))
        job.dir = value;
      else if (!strcmp (key, "tty"))
        job.tty = value;
      else if (!strcmp (key, "release"))
        job.release = value;
      else if (!strcmp (key, "out"))
        job.out = true;
      else if (!strcmp (key, "env"))
        putenv (value);
      else if (!strcmp (key, "arg") && job.argc < MAX_WORDS)
        job.argv[job.argc++] = value;
    }
}

/* The developer's root, read-only by 9p, with a RAM overlay on top. */
static void
enter_root (void)
{
  char path[256];

  mkdir ("/lower", 0755);
  mkdir ("/upper", 0755);
  mkdir ("/new", 0755);
  mount_or_fail ("hostroot", "/lower", "9p", MS_RDONLY,
                 "trans=virtio,version=9p2000.L,msize=512000,cache=loose");
  mount_or_fail ("upper", "/upper", "tmpfs", 0, "size=80%,mode=755");
  mkdir ("/upper/u", 0755);
  mkdir ("/upper/w", 0755);
  mount_or_fail ("overlay", "/new", "overlay", 0,
                 "lowerdir=/lower,upperdir=/upper/u,workdir=/upper/w");

  mkdir ("/new/usr/lib/modules", 0755);
  snprintf (path, sizeof path, "/new/usr/lib/modules/%s", job.release);
  mkdir (path, 0755);
  mount_or_fail ("labmods", path, "9p", MS_RDONLY,
                 "trans=virtio,version=9p2000.L,msize=512000,cache=loose");

  mount_or_fail ("/dev", "/new/dev", NULL, MS_MOVE, NULL);
  mount_or_fail ("/proc", "/new/proc", NULL, MS_MOVE, NULL);
  mount_or_fail ("/sys", "/new/sys", NULL, MS_MOVE, NULL);
  /* Seen from inside, so that programs can tell what the root lies on. */
  mkdir ("/new/lower", 0755);
  mkdir ("/new/upper", 0755);
  mount_or_fail ("/lower", "/new/lower", NULL, MS_MOVE, NULL);
  mount_or_fail ("/upper", "/new/upper", NULL, MS_MOVE, NULL);
  if (chdir ("/new") < 0 || mount (".", "/", NULL, MS_MOVE, NULL) < 0 || chroot (".") < 0 ||
      chdir ("/") < 0)
    fail ("changing to the new root");
}

static void
settle (void)
{
  static const char *const links[][2] = { { "/proc/self/fd", "/dev/fd" },
                                          { "/proc/self/fd/0", "/dev/stdin" },
                                          { "/proc/self/fd/1", "/dev/stdout" },
                                          { "/proc/self/fd/2", "/dev/stderr" } };
  struct ifreq ifr = { .ifr_name = "lo" };
  int s = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
    if (symlink (links[i][0], links[i][1]) < 0 && errno != EEXIST)
      say ("%s: %s", links[i][1], strerror (errno));

  mount_or_fail ("run", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
  mkdir ("/dev/pts", 0755);
  mkdir ("/dev/shm", 01777);
  mount_or_fail ("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666");
  mount_or_fail ("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_or_fail ("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
  if (mount ("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
    say ("cgroup2: %s", strerror (errno));

  ifr.ifr_flags = IFF_UP | IFF_RUNNING;
  if (s < 0 || ioctl (s, SIOCSIFFLAGS, &ifr) < 0)
    say ("lo: %s", strerror (errno));
  close (s);
  if (sethostname ("lab", 3) < 0)
    say ("host name: %s", strerror (errno));

  mkdir ("/run/user", 0755);
  mkdir ("/run/user/0", 0700);
  mkdir ("/run/lab", 0755);
  mkdir ("/run/lab/out", 0755);
  if (job.out)
    mount_or_fail ("labout", "/run/lab/out", "9p", 0,
                   "trans=virtio,version=9p2000.L,msize=512000,cache=mmap");
}

/* Opens the virtio-serial port of this name; its number is not fixed. */
static int
open_port (const char *wanted)
{
  DIR *dir = opendir ("/sys/class/virtio-ports");
  struct dirent *e;
  int result = -1;

  while (dir && result < 0 && (e = readdir (dir)))
    {
      char path[300], name[64] = "";
      FILE *f;

      snprintf (path, sizeof path, "/sys/class/virtio-ports/%s/name", e->d_name);
      f = fopen (path, "re");
      if (!f)
        continue;
      if (fgets (name, sizeof name, f))
        name[strcspn (name, "\n")] = '\0';
      fclose (f);
      if (strcmp (name, wanted) == 0)
        {
          snprintf (path, sizeof path, "/dev/%s", e->d_name);
          result = open (path, O_RDWR | O_CLOEXEC);
        }
    }
  if (dir)
    closedir (dir);
  return result;
}

static int
wait_port (const char *name)
{
  for (int i = 0; i < 500; i++)
    {
      int fd = open_port (name);

      if (fd >= 0)
        return fd;
      usleep (10000);
    }
  fail (name);
  return -1;
}

static void
write_all (int fd, const char *data, size_t size)
{
  while (size > 0)
    {
      ssize_t n = write (fd, data, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return;
      data += n;
      size -= (size_t)n;
    }
}

static unsigned long long
kvm_counter (const char *name)
{
  char path[64], text[32] = "";
  int fd;
  ssize_t n;

  snprintf (path, sizeof path, "/sys/kernel/debug/kvm/%s", name);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return 0;
  n = read (fd, text, sizeof text - 1);
  close (fd);
  return n > 0 ? strtoull (text, NULL, 10) : 0;
}

static void
beat (int control)
{
  char line[96];

  snprintf (line, sizeof line, "beat %llu %llu\n", kvm_counter ("exits"),
            kvm_counter ("irq_injections"));
  write_all (control, line, strlen (line));
}

static pid_t
start_command (int out[2], int err[2])
{
  pid_t pid = fork ();

  if (pid != 0)
    return pid;
  signal (SIGPIPE, SIG_DFL);
  setsid ();
  if (job.tty)
    {
      struct winsize size = { .ws_row = 24, .ws_col = 80 };
      int fd = open ("/dev/hvc0", O_RDWR);

      sscanf (job.tty, "%hu %hu", &size.ws_row, &size.ws_col);
      ioctl (fd, TIOCSCTTY, 0);
      ioctl (fd, TIOCSWINSZ, &size);
      dup2 (fd, 0);
      dup2 (fd, 1);
      dup2 (fd, 2);
    }
  else
    {
      int fd = open ("/dev/null", O_RDONLY);

      dup2 (fd, 0);
      dup2 (out[1], 1);
      dup2 (err[1], 2);
    }
  if (chdir (job.dir) < 0)
    dprintf (2, "lab: %s: %s\n", job.dir, strerror (errno));
  else
    {
      execvp (job.argv[0], job.argv);
      dprintf (2, "lab: %s: %s\n", job.argv[0], strerror (errno));
    }
  _exit (127);
}

/* Carries the command's output until it has ended and its pipes are empty. A process that it
 * left behind may keep a pipe open: then half a second of silence ends the wait. */
static int
relay (pid_t pid, int control, struct pollfd fds[2], const int to[2])
{
  struct timespec now, last = { 0 };
  int status = -1;

  for (;;)
    {
      static char data[65536];
      int n = poll (fds, 2, status < 0 ? 1000 : 500), ended;
      pid_t child;

      for (int i = 0; i < 2; i++)
        if (fds[i].fd >= 0 && fds[i].revents)
          {
            ssize_t got = read (fds[i].fd, data, sizeof data);

            if (got > 0)
              write_all (to[i], data, (size_t)got);
            else
              fds[i].fd = -1;
          }
      while ((child = waitpid (-1, &ended, WNOHANG)) > 0)
        if (child == pid)
          status = WIFEXITED (ended) ? WEXITSTATUS (ended) : 128 + WTERMSIG (ended);
      if (status >= 0 && (n == 0 || (fds[0].fd < 0 && fds[1].fd < 0)))
        return status;
      if (status < 0 && fds[0].fd < 0 && fds[1].fd < 0)
        usleep (20000);

      clock_gettime (CLOCK_MONOTONIC, &now);
      if (now.tv_sec >= last.tv_sec + 2)
        {
          last = now;
          beat (control);
        }
    }
}

int
main (void)
{
  int control, to[2], out[2], err[2], status;
  struct pollfd fds[2];
  char line[32];
  pid_t pid;

  mkdir ("/dev", 0755);
  mkdir ("/proc", 0555);
  mkdir ("/sys", 0555);
  mount ("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  mount ("proc", "/proc", "proc", 0, NULL);
  mount ("sysfs", "/sys", "sysfs", 0, NULL);
  signal (SIGPIPE, SIG_IGN);

  load_modules ();
  read_job ();
  enter_root ();
  settle ();
  control = wait_port ("lab.control");
  to[0] = wait_port ("lab.out");
  to[1] = wait_port ("lab.err");
  write_all (control, "start\n", 6);

  if (pipe2 (out, O_CLOEXEC) < 0 || pipe2 (err, O_CLOEXEC) < 0)
    fail ("pipe");
  pid = start_command (out, err);
  if (pid < 0)
    fail ("fork");
  close (out[1]);
  close (err[1]);
  fds[0] = (struct pollfd){ .fd = out[0], .events = POLLIN };
  fds[1] = (struct pollfd){ .fd = err[0], .events = POLLIN };
  status = relay (pid, control, fds, to);

  snprintf (line, sizeof line, "exit %d\n", status);
  write_all (control, line, strlen (line));
  power_off ();
}
