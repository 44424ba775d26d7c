/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/worker.h"

typedef struct
{
  VmmWorker *worker;
  GString *log;
  guint n;
  guint32 events;
  VmmSource *source;
} Probe;

static void
note (gpointer user_data)
{
  Probe *p = user_data;

  g_assert_true (vmm_worker_is_current (p->worker));
  p->n++;
}

static void
nothing (gpointer user_data)
{
}

static void
post_more (gpointer user_data)
{
  Probe *p = user_data;

  p->n++;
  if (p->n < 5)
    vmm_worker_post (p->worker, post_more, p);
  /* on the worker itself: at once */
  vmm_worker_call (p->worker, nothing, NULL);
}

static void
test_calls (void)
{
  Probe p = { 0 };

  p.worker = vmm_worker_new ("a-name-longer-than-fifteen", VMM_WORKER_NONE, NULL);
  g_assert_false (vmm_worker_is_current (p.worker));
  for (guint i = 0; i < 100; i++)
    vmm_worker_post (p.worker, note, &p);
  vmm_worker_call (p.worker, note, &p);
  g_assert_cmpuint (p.n, ==, 101);
  p.n = 0;
  vmm_worker_post (p.worker, post_more, &p);
  vmm_worker_free (p.worker); /* what is posted runs first */
  g_assert_cmpuint (p.n, ==, 5);
}

static void
on_remove_self (gpointer user_data)
{
  Probe *p = user_data;

  p->n++;
  vmm_source_remove (g_steal_pointer (&p->source));
}

static void
on_fd (int fd, guint32 events, gpointer user_data)
{
  Probe *p = user_data;
  char byte;

  p->events |= events;
  p->n++;
  if ((events & EPOLLIN) != 0)
    g_assert_cmpint (read (fd, &byte, 1), ==, 1);
}

static void
test_sources (void)
{
  Probe p = { 0 };
  int event = eventfd (0, EFD_CLOEXEC), pipes[2];
  const guint64 three = 3;
  guint64 n;

  g_assert_cmpint (pipe2 (pipes, O_CLOEXEC), ==, 0);
  p.worker = vmm_worker_new_manual ("manual", VMM_WORKER_NONE);
  p.source = vmm_worker_add_eventfd (p.worker, event, note, &p);
  g_assert_false (vmm_worker_iterate (p.worker, 0));
  g_assert_cmpint (write (event, &three, 8), ==, 8);
  g_assert_true (vmm_worker_iterate (p.worker, 0));
  g_assert_false (vmm_worker_iterate (p.worker, 0));
  g_assert_cmpuint (p.n, ==, 1);
  g_assert_cmpint (read (event, &n, 8), ==, -1); /* cleared */
  vmm_source_remove (p.source);
  g_assert_cmpint (write (event, &three, 8), ==, 8);
  g_assert_false (vmm_worker_iterate (p.worker, 0));
  p.source = vmm_worker_add_eventfd (p.worker, event, on_remove_self, &p);
  g_assert_true (vmm_worker_iterate (p.worker, 0));
  g_assert_null (p.source);

  p.n = 0;
  p.source = vmm_worker_add_fd (p.worker, pipes[0], 0, on_fd, &p);
  g_assert_cmpint (write (pipes[1], "xy", 2), ==, 2);
  g_assert_false (vmm_worker_iterate (p.worker, 0));
  vmm_source_set_events (p.source, EPOLLIN);
  g_assert_true (vmm_worker_iterate (p.worker, 0)); /* level triggered: twice */
  g_assert_true (vmm_worker_iterate (p.worker, 0));
  g_assert_false (vmm_worker_iterate (p.worker, 0));
  close (pipes[1]);
  g_assert_true (vmm_worker_iterate (p.worker, 0));
  g_assert_cmphex (p.events & EPOLLHUP, ==, EPOLLHUP);
  vmm_source_remove (p.source);
  vmm_source_remove (NULL);
  vmm_worker_free (p.worker);
  close (pipes[0]);
  close (event);
}

/* Removing from another thread: after return the callback never runs. */
static void
test_remove_race (void)
{
  Probe p = { 0 };
  int event = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  const guint64 one = 1;

  p.worker = vmm_worker_new ("race", VMM_WORKER_NONE, NULL);
  for (guint i = 0; i < 500; i++)
    {
      VmmSource *source = vmm_worker_add_eventfd (p.worker, event, note, &p);
      guint before;

      g_assert_cmpint (write (event, &one, 8), ==, 8);
      vmm_source_remove (source);
      before = p.n;
      g_assert_cmpint (write (event, &one, 8), ==, 8);
      vmm_worker_call (p.worker, nothing, NULL);
      g_assert_cmpuint (p.n, ==, before);
    }
  vmm_worker_free (p.worker);
  close (event);
}

typedef struct
{
  VmmAioRequest request;
  struct iovec iov[2];
  guint8 data[2][512];
  gint64 result;
  guint *n_done;
  VmmWorker *worker;
  gboolean again;
} Io;

static void
on_done (VmmAioRequest *request, gint64 result)
{
  Io *io = request->user_data;

  g_assert_true (vmm_worker_is_current (io->worker));
  io->result = result;
  (*io->n_done)++;
  if (io->again)
    {
      io->again = FALSE;
      vmm_worker_submit (io->worker, request);
    }
}

static void
io_init (Io *io, VmmWorker *worker, VmmAioOp op, int fd, guint64 offset, guint n_iov, guint *n_done)
{
  memset (io, 0, sizeof *io);
  io->worker = worker;
  io->n_done = n_done;
  io->result = -1000;
  for (guint i = 0; i < 2; i++)
    io->iov[i] = (struct iovec){ io->data[i], 512 };
  io->request = (VmmAioRequest){ .op = op,
                                 .fd = fd,
                                 .iov = io->iov,
                                 .n_iov = n_iov,
                                 .offset = offset,
                                 .done = on_done,
                                 .user_data = io };
}

static void
test_aio (gconstpointer data)
{
  VmmWorkerFlags flags = GPOINTER_TO_UINT (data);
  VmmWorker *worker = vmm_worker_new_manual ("aio", flags);
  int fd = memfd_create ("disk", MFD_CLOEXEC);
  g_autofree Io *ios = g_new0 (Io, 300);
  guint n_done = 0;
  Io write_io, read_io, sync_io, bad;

  g_test_message ("engine %s", vmm_worker_get_io_engine (worker));
  if ((flags & VMM_WORKER_NO_URING) != 0)
    g_assert_cmpstr (vmm_worker_get_io_engine (worker), ==, "threads");
  io_init (&write_io, worker, VMM_AIO_WRITEV, fd, 4096, 2, &n_done);
  memset (write_io.data, 0x5a, sizeof write_io.data);
  write_io.again = TRUE;
  vmm_worker_submit (worker, &write_io.request);
  g_assert_cmpuint (vmm_worker_get_n_aio (worker), ==, 1);
  vmm_worker_drain_aio (worker); /* also what a completion submits */
  g_assert_cmpuint (n_done, ==, 2);
  g_assert_cmpint (write_io.result, ==, 1024);

  io_init (&read_io, worker, VMM_AIO_READV, fd, 4096 + 512, 2, &n_done);
  io_init (&sync_io, worker, VMM_AIO_FSYNC, fd, 0, 0, &n_done);
  io_init (&bad, worker, VMM_AIO_READV, -1, 0, 1, &n_done);
  vmm_worker_submit (worker, &read_io.request);
  vmm_worker_submit (worker, &sync_io.request);
  vmm_worker_submit (worker, &bad.request);
  while (n_done < 5)
    vmm_worker_iterate (worker, 5000);
  g_assert_cmpint (read_io.result, ==, 512); /* short at the end of the file */
  g_assert_cmphex (read_io.data[0][511], ==, 0x5a);
  g_assert_cmpint (sync_io.result, ==, 0);
  g_assert_cmpint (bad.result, ==, -EBADF);

  io_init (&bad, worker, VMM_AIO_FALLOCATE, fd, 4096, 0, &n_done);
  bad.request.length = 1024;
  bad.request.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  vmm_worker_submit (worker, &bad.request);
  vmm_worker_drain_aio (worker);
  g_assert_cmpint (bad.result, ==, 0);
  g_assert_cmpint (pread (fd, read_io.data, 512, 4096), ==, 512);
  g_assert_cmphex (read_io.data[0][0], ==, 0);

  /* more than the ring holds */
  n_done = 0;
  for (guint i = 0; i < 300; i++)
    {
      io_init (&ios[i], worker, VMM_AIO_WRITEV, fd, i * 512, 1, &n_done);
      memset (ios[i].data[0], (int)i, 512);
      vmm_worker_submit (worker, &ios[i].request);
    }
  vmm_worker_drain_aio (worker);
  g_assert_cmpuint (n_done, ==, 300);
  for (guint i = 0; i < 300; i++)
    {
      g_assert_cmpint (ios[i].result, ==, 512);
      g_assert_cmpint (pread (fd, read_io.data, 512, i * 512), ==, 512);
      g_assert_cmphex (read_io.data[0][17], ==, i & 0xff);
    }
  vmm_worker_free (worker);
  close (fd);
}

static void
submit (gpointer user_data)
{
  Io *io = user_data;

  vmm_worker_submit (io->worker, &io->request);
}

/* A worker's free waits for what is in flight, and its thread wakes for completions. */
static void
test_aio_thread (gconstpointer data)
{
  VmmWorker *worker = vmm_worker_new ("aio", GPOINTER_TO_UINT (data), NULL);
  int fd = memfd_create ("disk", MFD_CLOEXEC);
  guint n_done = 0;
  Io io;

  for (guint i = 0; i < 50; i++)
    {
      gint64 deadline = g_get_monotonic_time () + 10 * G_USEC_PER_SEC;

      io_init (&io, worker, VMM_AIO_WRITEV, fd, 0, 1, &n_done);
      vmm_worker_post (worker, submit, &io);
      while (__atomic_load_n (&n_done, __ATOMIC_ACQUIRE) != i + 1)
        {
          g_assert_cmpint (g_get_monotonic_time (), <, deadline);
          g_usleep (100);
        }
    }
  io_init (&io, worker, VMM_AIO_WRITEV, fd, 0, 1, &n_done);
  vmm_worker_post (worker, submit, &io);
  vmm_worker_free (worker);
  g_assert_cmpuint (n_done, ==, 51);
  close (fd);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/worker/calls", test_calls);
  g_test_add_func ("/vmm/worker/sources", test_sources);
  g_test_add_func ("/vmm/worker/remove-race", test_remove_race);
  g_test_add_data_func ("/vmm/worker/aio", GUINT_TO_POINTER (VMM_WORKER_NONE), test_aio);
  g_test_add_data_func ("/vmm/worker/aio-threads", GUINT_TO_POINTER (VMM_WORKER_NO_URING),
                        test_aio);
  g_test_add_data_func ("/vmm/worker/wake", GUINT_TO_POINTER (VMM_WORKER_NONE), test_aio_thread);
  g_test_add_data_func ("/vmm/worker/wake-threads", GUINT_TO_POINTER (VMM_WORKER_NO_URING),
                        test_aio_thread);
  return g_test_run ();
}
