/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A pair of file descriptors: a terminal, pipes, files. O_NONBLOCK is not set on them, because it
 * would change them for whoever shares them (the shell's terminal): writes are preceded by poll and
 * stay below what poll promises. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "devices/backends/char/char.h"
#include "vmm/post.h"

#define BUFFER_MAX 65536
#define READ_MAX   1024
#define WRITE_MAX  512 /* below PIPE_BUF: a writable pipe takes it whole */

typedef struct
{
  CharBackend parent;
  int in_fd, out_fd;                /* owned, or -1 */
  gboolean in_is_file, out_is_file; /* always ready: epoll refuses them */
  VmmWorker *worker;
  const CharReceiver *receiver;
  gpointer device;
  VmmSource *in, *out;
  VmmPost *read_post, *more_post; /* while attached */
  GMutex lock;                    /* protects what follows */
  GByteArray *pending;
  void (*writable) (gpointer user_data);
  gpointer writable_data;
  gboolean reading, closed;
} CharFd;

/* Writes what goes without waiting; returns bytes written or -errno. Lock held. */
static gssize
write_some (CharFd *self, const guint8 *data, gsize length)
{
  gsize done = 0;

  while (done < length)
    {
      struct pollfd poller = { self->out_fd, POLLOUT, 0 };
      ssize_t n;

      if (!self->out_is_file && (poll (&poller, 1, 0) <= 0 || (poller.revents & POLLOUT) == 0))
        return (poller.revents & (POLLERR | POLLNVAL)) != 0 ? -EPIPE : (gssize)done;
      n = write (self->out_fd, data + done, MIN (length - done, WRITE_MAX));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        break;
      if (n < 0)
        return -errno;
      done += (gsize)n;
    }
  return (gssize)done;
}

/* Nobody reads any more: output is dropped from here on, the guest goes on. Lock held. */
static void
close_output (CharFd *self)
{
  self->closed = TRUE;
  g_byte_array_set_size (self->pending, 0);
}

static gsize
fd_write (CharBackend *backend, const guint8 *data, gsize length)
{
  CharFd *self = (CharFd *)backend;
  gsize taken = 0;

  g_mutex_lock (&self->lock);
  if (self->closed || self->out_fd < 0)
    taken = length;
  else if (self->pending->len == 0)
    {
      gssize n = write_some (self, data, length);

      if (n < 0)
        {
          close_output (self);
          taken = length;
        }
      else
        taken = (gsize)n;
    }
  if (taken < length && self->pending->len < BUFFER_MAX)
    {
      gsize room = MIN (length - taken, BUFFER_MAX - self->pending->len);

      g_byte_array_append (self->pending, data + taken, (guint)room);
      taken += room;
      if (self->out != NULL)
        vmm_source_set_events (self->out, EPOLLOUT);
    }
  g_mutex_unlock (&self->lock);
  return taken;
}

static void
on_writable (int fd, guint32 events, gpointer user_data)
{
  CharFd *self = user_data;
  void (*callback) (gpointer) = NULL;
  gpointer data = NULL;
  gssize n;

  g_mutex_lock (&self->lock);
  n = write_some (self, self->pending->data, self->pending->len);
  if (n < 0 || (n == 0 && (events & (EPOLLERR | EPOLLHUP)) != 0))
    close_output (self);
  else if (n > 0)
    g_byte_array_remove_range (self->pending, 0, (guint)n);
  if (self->pending->len == 0)
    vmm_source_set_events (self->out, 0);
  if (self->pending->len < BUFFER_MAX / 2)
    {
      callback = g_steal_pointer (&self->writable);
      data = self->writable_data;
    }
  /* A dead peer would wake us for ever. */
  if (self->closed)
    g_clear_pointer (&self->out, vmm_source_remove);
  g_mutex_unlock (&self->lock);
  if (callback != NULL)
    callback (data);
}

/* One read's worth; FALSE at the end of input or when the device has no room. */
static gboolean
read_some (CharFd *self)
{
  guint8 buffer[READ_MAX];
  gsize room = self->receiver->can_receive (self->device);
  ssize_t n;

  if (room == 0)
    {
      self->reading = FALSE;
      if (self->in != NULL)
        vmm_source_set_events (self->in, 0);
      return FALSE;
    }
  do
    n = read (self->in_fd, buffer, MIN (room, sizeof buffer));
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    return FALSE;
  if (n <= 0)
    {
      self->reading = FALSE;
      if (self->in != NULL)
        vmm_source_remove (g_steal_pointer (&self->in));
      close (self->in_fd);
      self->in_fd = -1;
      return FALSE;
    }
  self->receiver->receive (self->device, buffer, (gsize)n);
  return TRUE;
}

static void
on_readable (int fd, guint32 events, gpointer user_data)
{
  read_some (user_data);
}

static void
read_file (gpointer user_data)
{
  CharFd *self = user_data;

  if (self->worker != NULL && self->in_fd >= 0 && self->reading && read_some (self))
    vmm_post_schedule (self->read_post);
}

static void do_read_more (gpointer user_data);

static void
fd_attach (CharBackend *backend, VmmWorker *worker, const CharReceiver *receiver, gpointer device)
{
  CharFd *self = (CharFd *)backend;

  self->worker = worker;
  self->receiver = receiver;
  self->device = device;
  self->reading = self->in_fd >= 0;
  self->read_post = vmm_post_new (worker, read_file, self);
  self->more_post = vmm_post_new (worker, do_read_more, self);
  g_mutex_lock (&self->lock);
  if (self->out_fd >= 0 && !self->out_is_file && !self->closed)
    self->out = vmm_worker_add_fd (worker, self->out_fd, self->pending->len > 0 ? EPOLLOUT : 0,
                                   on_writable, self);
  g_mutex_unlock (&self->lock);
  if (self->in_fd >= 0 && self->in_is_file)
    vmm_post_schedule (self->read_post);
  else if (self->in_fd >= 0)
    self->in = vmm_worker_add_fd (worker, self->in_fd, EPOLLIN, on_readable, self);
}

static void
do_detach (gpointer user_data)
{
  CharFd *self = user_data;

  g_clear_pointer (&self->in, vmm_source_remove);
  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->out, vmm_source_remove);
  g_mutex_unlock (&self->lock);
  self->worker = NULL;
  self->receiver = NULL;
}

static void
fd_detach (CharBackend *backend)
{
  CharFd *self = (CharFd *)backend;

  if (self->worker == NULL)
    return;
  vmm_worker_call (self->worker, do_detach, self);
  g_clear_pointer (&self->read_post, vmm_post_free);
  g_clear_pointer (&self->more_post, vmm_post_free);
}

static void
do_read_more (gpointer user_data)
{
  CharFd *self = user_data;

  if (self->receiver == NULL || self->in_fd < 0 || self->reading)
    return;
  self->reading = TRUE;
  if (self->in != NULL)
    vmm_source_set_events (self->in, EPOLLIN);
  else if (self->in_is_file)
    vmm_post_schedule (self->read_post);
}

static void
fd_can_receive_more (CharBackend *backend)
{
  CharFd *self = (CharFd *)backend;

  if (self->worker != NULL)
    vmm_post_schedule (self->more_post);
}

static void
fd_notify_writable (CharBackend *backend, void (*callback) (gpointer), gpointer user_data)
{
  CharFd *self = (CharFd *)backend;

  g_mutex_lock (&self->lock);
  self->writable = callback;
  self->writable_data = user_data;
  if (self->out != NULL)
    vmm_source_set_events (self->out, EPOLLOUT);
  g_mutex_unlock (&self->lock);
}

/* The last output, as far as it goes at once. */
static void
fd_free (CharBackend *backend)
{
  CharFd *self = (CharFd *)backend;

  fd_detach (backend);
  if (self->pending->len > 0 && !self->closed)
    write_some (self, self->pending->data, self->pending->len);
  if (self->in_fd >= 0)
    close (self->in_fd);
  if (self->out_fd >= 0)
    close (self->out_fd);
  g_byte_array_unref (self->pending);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static const CharBackendOps fd_ops = {
  .name = "fd",
  .write = fd_write,
  .attach = fd_attach,
  .detach = fd_detach,
  .can_receive_more = fd_can_receive_more,
  .notify_writable = fd_notify_writable,
  .free = fd_free,
};

/* Regular files and some devices (/dev/null) are always ready, and epoll refuses them. */
static gboolean
is_pollable (int fd)
{
  struct epoll_event event = { 0 };
  int epoll = epoll_create1 (EPOLL_CLOEXEC);
  gboolean result =
      epoll < 0 || epoll_ctl (epoll, EPOLL_CTL_ADD, fd, &event) == 0 || errno != EPERM;

  if (epoll >= 0)
    close (epoll);
  return result;
}

CharBackend *
char_fd_new (int in_fd, int out_fd, GError **error)
{
  CharFd *self = g_new0 (CharFd, 1);

  self->parent.ops = &fd_ops;
  self->in_fd = in_fd;
  self->out_fd = out_fd;
  self->in_is_file = in_fd >= 0 && !is_pollable (in_fd);
  self->out_is_file = out_fd >= 0 && !is_pollable (out_fd);
  self->pending = g_byte_array_new ();
  g_mutex_init (&self->lock);
  return &self->parent;
}

CharBackend *
char_file_new (const char *path, gboolean append, GError **error)
{
  int fd =
      open (path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (append ? O_APPEND : O_TRUNC), 0600);

  if (fd < 0)
    {
      vmm_error_set_errno (error, -errno, "Cannot write to “%s”", path);
      return NULL;
    }
  return char_fd_new (-1, fd, error);
}
