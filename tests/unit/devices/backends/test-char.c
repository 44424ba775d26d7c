/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/backends/char/char.h"
#include "tests/unit/harness/harness.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct
{
  HarnessMachine *h;
  GString *received;
  gsize room;
} Fixture;

static gsize
can_receive (gpointer device)
{
  return ((Fixture *)device)->room;
}

static void
receive (gpointer device, const guint8 *data, gsize length)
{
  Fixture *f = device;

  g_assert_cmpuint (length, <=, f->room);
  g_string_append_len (f->received, (const char *)data, (gssize)length);
}

static const CharReceiver receiver = { can_receive, receive, NULL };

static void
setup (Fixture *f, gconstpointer data)
{
  f->h = harness_new (4096);
  f->received = g_string_new (NULL);
  f->room = 4096;
}

static void
teardown (Fixture *f, gconstpointer data)
{
  harness_free (f->h);
  g_string_free (f->received, TRUE);
}

static gsize
put (CharBackend *backend, const char *text)
{
  return backend->ops->write (backend, (const guint8 *)text, strlen (text));
}

static void
attach (Fixture *f, CharBackend *backend)
{
  backend->ops->attach (backend, vmm_machine_get_worker (f->h->machine), &receiver, f);
}

static void
end (CharBackend *backend)
{
  backend->ops->detach (backend);
  backend->ops->free (backend);
}

static char *
take (int fd)
{
  char buffer[8192];
  ssize_t n = recv (fd, buffer, sizeof buffer, MSG_DONTWAIT);

  return g_strndup (buffer, n > 0 ? (gsize)n : 0);
}

#define assert_takes(fd, text)                                                                     \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_autofree char *taken = take (fd);                                                            \
    g_assert_cmpstr (taken, ==, text);                                                             \
  }                                                                                                \
  G_STMT_END

static void
test_hub (Fixture *f, gconstpointer data)
{
  CharBackend *hub = char_hub_new (NULL);
  int one, two;

  g_assert_cmpuint (put (hub, "early "), ==, 6);
  attach (f, hub);
  one = char_hub_connect (hub);
  put (hub, "late");
  two = char_hub_connect (hub);
  harness_run (f->h);
  assert_takes (one, "early late");
  assert_takes (two, "early late");
  g_assert_cmpint (write (one, "in1", 3), ==, 3);
  harness_run (f->h);
  g_assert_cmpint (write (two, "in2", 3), ==, 3);
  harness_run (f->h);
  g_assert_cmpstr (f->received->str, ==, "in1in2");
  close (one);
  harness_run (f->h);
  put (hub, "more");
  harness_run (f->h);
  assert_takes (two, "more");
  close (two);
  end (hub);
}

static void
test_hub_back_pressure (Fixture *f, gconstpointer data)
{
  CharBackend *hub = char_hub_new (NULL);
  int fd;

  attach (f, hub);
  fd = char_hub_connect (hub);
  f->room = 0;
  g_assert_cmpint (write (fd, "abc", 3), ==, 3);
  harness_run (f->h);
  g_assert_cmpstr (f->received->str, ==, "");
  f->room = 2;
  hub->ops->can_receive_more (hub);
  harness_run (f->h);
  g_assert_cmpstr (f->received->str, ==, "abc");
  close (fd);
  end (hub);
}

/* A client that never reads is dropped; the guest is never held up; the history stays. */
static void
test_hub_slow_client (Fixture *f, gconstpointer data)
{
  CharBackend *hub = char_hub_new (NULL);
  g_autofree char *line = g_strnfill (4096, 'x');
  char buffer[4096];
  int slow, fresh;
  gsize total = 0;
  ssize_t n;

  attach (f, hub);
  slow = char_hub_connect (hub);
  for (guint i = 0; i < 1000; i++)
    g_assert_cmpuint (put (hub, line), ==, 4096);
  harness_run (f->h);
  while ((n = recv (slow, buffer, sizeof buffer, MSG_DONTWAIT)) > 0)
    total += (gsize)n;
  g_assert_cmpint (n, ==, 0); /* the end, not EAGAIN */
  g_assert_cmpuint (total, <, 1000 * 4096);
  fresh = char_hub_connect (hub);
  for (total = 0; total < 65536;)
    {
      harness_run (f->h);
      n = recv (fresh, buffer, sizeof buffer, MSG_DONTWAIT);
      g_assert_cmpint (n, >, 0);
      total += (gsize)n;
    }
  g_assert_cmpuint (total, ==, 65536);
  close (slow);
  close (fresh);
  end (hub);
}

static void
test_hub_limits (Fixture *f, gconstpointer data)
{
  CharBackend *hub = char_hub_new (NULL);
  int fds[64], n = 0, result;

  attach (f, hub);
  while ((result = char_hub_connect (hub)) >= 0 && n < 64)
    fds[n++] = result;
  g_assert_cmpint (result, ==, -EMFILE);
  while (n > 0)
    close (fds[--n]);
  harness_run (f->h);
  result = char_hub_connect (hub);
  g_assert_cmpint (result, >=, 0);
  close (result);
  end (hub);
}

static void
test_file_and_tee (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_strdup ("/tmp/alcove-char-XXXXXX");
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  CharBackend *hub;

  close (g_mkstemp (path));
  hub = char_hub_new (char_file_new (path, FALSE, NULL));
  put (hub, "kept");
  end (hub);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "kept");
  g_clear_pointer (&text, g_free);
  hub = char_hub_new (char_file_new (path, TRUE, NULL));
  put (hub, " and continued");
  end (hub);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "kept and continued");
  g_unlink (path);
  g_assert_null (char_file_new ("/nonexistent/x", FALSE, &error));
  g_assert_nonnull (strstr (error->message, "/nonexistent/x"));
}

static void
test_fd_pipes (Fixture *f, gconstpointer data)
{
  int in[2], out[2];
  CharBackend *backend;
  char buffer[16] = "";
  g_autofree char *big = g_strnfill (65536, 'y');
  gsize taken, total = 0;
  ssize_t n;

  g_assert_cmpint (pipe2 (in, O_CLOEXEC), ==, 0);
  g_assert_cmpint (pipe2 (out, O_CLOEXEC | O_NONBLOCK), ==, 0);
  backend = char_fd_new (in[0], out[1], NULL);
  attach (f, backend);
  g_assert_cmpint (write (in[1], "typed", 5), ==, 5);
  harness_run (f->h);
  g_assert_cmpstr (f->received->str, ==, "typed");
  put (backend, "shown");
  g_assert_cmpint (read (out[0], buffer, sizeof buffer), ==, 5);
  g_assert_cmpstr (buffer, ==, "shown");
  /* A reader that stops holds the device up, and nothing is lost. */
  for (guint i = 0; i < 4; i++)
    {
      taken = put (backend, big);
      total += taken;
    }
  g_assert_cmpuint (taken, <, 65536);
  while (total > 0)
    {
      char drain[4096];

      harness_run (f->h);
      n = read (out[0], drain, sizeof drain);
      g_assert_cmpint (n, >, 0);
      total -= (gsize)n;
    }
  /* The other side goes: output is dropped, the guest goes on. */
  close (out[0]);
  harness_run (f->h);
  g_assert_cmpuint (put (backend, "lost"), ==, 4);
  close (in[1]);
  harness_run (f->h);
  end (backend);
}

static void
test_fd_file_input (Fixture *f, gconstpointer data)
{
  int null = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  CharBackend *backend = char_fd_new (null, -1, NULL);

  attach (f, backend);
  harness_run (f->h);
  g_assert_cmpuint (put (backend, "x"), ==, 1);
  g_assert_cmpstr (f->received->str, ==, "");
  end (backend);
}

/* The device goes while the next piece of the file is on its way to it. */
static void
test_fd_file_detached (Fixture *f, gconstpointer data)
{
  CharBackend *backend = char_fd_new (open ("/dev/zero", O_RDONLY | O_CLOEXEC), -1, NULL);
  gsize n;

  attach (f, backend);
  vmm_worker_iterate (vmm_machine_get_worker (f->h->machine), 0);
  g_assert_cmpuint (f->received->len, >, 0);
  f->room = 0;
  backend->ops->can_receive_more (backend);
  f->room = 4096;
  n = f->received->len;
  end (backend);
  harness_run (f->h);
  g_assert_cmpuint (f->received->len, ==, n);
}

static void
test_null (Fixture *f, gconstpointer data)
{
  CharBackend *backend = char_null_new ();

  attach (f, backend);
  g_assert_cmpuint (put (backend, "gone"), ==, 4);
  end (backend);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) g_test_add (path, Fixture, NULL, setup, func, teardown)
  ADD ("/char/hub", test_hub);
  ADD ("/char/hub/back-pressure", test_hub_back_pressure);
  ADD ("/char/hub/slow-client", test_hub_slow_client);
  ADD ("/char/hub/limits", test_hub_limits);
  ADD ("/char/file-and-tee", test_file_and_tee);
  ADD ("/char/fd/pipes", test_fd_pipes);
  ADD ("/char/fd/file-input", test_fd_file_input);
  ADD ("/char/fd/file-detached", test_fd_file_detached);
  ADD ("/char/null", test_null);
  return g_test_run ();
}
