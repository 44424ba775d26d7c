/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Each forbidden call is tried in a confined child process; what the product needs must still
 * work there. */
#include "app/runner/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs func confined in a child; its return value is the child's exit status. */
static int
confined (int (*func) (void))
{
  pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    _exit (runner_confine (NULL) ? func () : 100);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), !=, 100);
  return WEXITSTATUS (status);
}

/* 0 when the call was refused with EPERM. */
static int
refused (long result)
{
  return result == -1 && errno == EPERM ? 0 : 1;
}

static int
try_exec (void)
{
  char *const argv[] = { (char *)"/bin/true", NULL };

  return refused (execve ("/bin/true", argv, argv + 1));
}

static int
try_ptrace (void)
{
  return refused (ptrace (PTRACE_TRACEME, 0, NULL, NULL));
}

static int
try_mount (void)
{
  return refused (mount ("none", "/", "tmpfs", 0, NULL));
}

static int
try_unshare (void)
{
  return refused (unshare (CLONE_NEWUSER));
}

static int
try_clone_namespace (void)
{
  return refused (syscall (SYS_clone, (long)CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
}

static int
try_module (void)
{
  return refused (syscall (SYS_init_module, NULL, 0L, ""));
}

static int
try_keys (void)
{
  return refused (syscall (SYS_keyctl, (long)KEYCTL_GET_KEYRING_ID, -3L, 0L, 0L, 0L));
}

static int
try_listen (void)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX }; /* autobind: an abstract name */
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || bind (fd, (struct sockaddr *)&address, sizeof address.sun_family) < 0)
    return 2;
  return refused (listen (fd, 1));
}

static int
try_bpf (void)
{
  return refused (syscall (SYS_bpf, 0L, NULL, 0L));
}

static void
test_refuses (gconstpointer func)
{
  int (*try) (void) = (int (*) (void)) (guintptr)func;

  g_assert_cmpint (confined (try), ==, 0);
}

static gpointer
thread_main (gpointer data)
{
  return GINT_TO_POINTER (42);
}

/* What the machine goes on doing: threads, memory, sockets to the outside, files it may open. */
static int
use_the_rest (void)
{
  GThread *thread = g_thread_new ("t", thread_main, NULL);
  int fd;

  if (GPOINTER_TO_INT (g_thread_join (thread)) != 42)
    return 1;
  fd = memfd_create ("m", MFD_CLOEXEC);
  if (fd < 0 || ftruncate (fd, 4096) < 0)
    return 2;
  if (mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED)
    return 3;
  if (eventfd (0, EFD_CLOEXEC) < 0 || socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0)
    return 4;
  return open ("/dev/null", O_RDWR | O_CLOEXEC) < 0 ? 5 : 0;
}

static void
test_allows (void)
{
  g_assert_cmpint (confined (use_the_rest), ==, 0);
}

static gpointer
wait_and_exec (gpointer data)
{
  int *fds = data;
  char byte;

  if (read (fds[0], &byte, 1) != 1)
    return GINT_TO_POINTER (2);
  return GINT_TO_POINTER (try_exec ());
}

/* A thread that was there before is confined too. */
static void
test_other_threads (void)
{
  pid_t pid = fork ();
  int status;

  if (pid == 0)
    {
      int fds[2];
      GThread *thread;

      if (pipe (fds) < 0)
        _exit (50);
      thread = g_thread_new ("early", wait_and_exec, fds);
      if (!runner_confine (NULL) || write (fds[1], "x", 1) != 1)
        _exit (51);
      _exit (GPOINTER_TO_INT (g_thread_join (thread)));
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    int (*func) (void);
  } calls[] = {
    { "/confine/exec", try_exec },
    { "/confine/ptrace", try_ptrace },
    { "/confine/mount", try_mount },
    { "/confine/unshare", try_unshare },
    { "/confine/clone", try_clone_namespace },
    { "/confine/module", try_module },
    { "/confine/keys", try_keys },
    { "/confine/listen", try_listen },
    { "/confine/bpf", try_bpf },
  };

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (calls); i++)
    g_test_add_data_func (calls[i].path, (gconstpointer)(guintptr)calls[i].func, test_refuses);
  g_test_add_func ("/confine/allows-the-rest", test_allows);
  g_test_add_func ("/confine/other-threads", test_other_threads);
  return g_test_run ();
}
