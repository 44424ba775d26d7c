/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A console that people connect to and leave: keeps the recent output, sends it to every client,
 * and takes input from any of them. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "devices/backends/char/char.h"

#define HISTORY_SIZE 65536
#define BEHIND_MAX   (1 << 20)
#define CLIENTS_MAX  16
#define READ_MAX     1024

typedef struct
{
  CharBackend parent;
  CharBackend *tee; /* (nullable) owned */
  VmmWorker *worker;
  const CharReceiver *receiver;
  gpointer device;
  GMutex lock; /* protects what follows */
  guint8 history[HISTORY_SIZE];
  guint64 n_written;  /* bytes ever; the newest is at (n_written - 1) % HISTORY_SIZE */
  GPtrArray *clients; /* of Client */
  gboolean blocked;   /* the device has no room for input */
} CharHub;

typedef struct
{
  CharHub *hub;
  int fd;
  VmmSource *source; /* NULL while no worker is attached */
  GByteArray *pending;
  gboolean dead;
} Client;

static guint32
wanted_events (Client *client)
{
  return (client->hub->blocked ? 0 : EPOLLIN) | (client->pending->len > 0 ? EPOLLOUT : 0);
}

static void
update_events (Client *client)
{
  if (client->source != NULL)
    vmm_source_set_events (client->source, wanted_events (client));
}

/* Lock held. The worker notices the hang-up and frees the client there: here could be any thread. */
static void
drop (Client *client)
{
  client->dead = TRUE;
  shutdown (client->fd, SHUT_RDWR);
}

/* Lock held. */
static void
flush (Client *client)
{
  while (client->pending->len > 0 && !client->dead)
    {
      ssize_t n = send (client->fd, client->pending->data, client->pending->len,
                        MSG_DONTWAIT | MSG_NOSIGNAL);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EAGAIN)
        break;
      if (n < 0)
        drop (client);
      else
        g_byte_array_remove_range (client->pending, 0, (guint)n);
    }
  update_events (client);
}

static void
send_to (Client *client, const guint8 *data, gsize length)
{
  if (client->dead)
    return;
  if (client->pending->len + length > BEHIND_MAX)
    {
      drop (client);
      return;
    }
  g_byte_array_append (client->pending, data, (guint)length);
  flush (client);
}

static gsize
hub_write (CharBackend *backend, const guint8 *data, gsize length)
{
  CharHub *self = (CharHub *)backend;
  gsize kept = MIN (length, HISTORY_SIZE);

  g_mutex_lock (&self->lock);
  if (self->tee != NULL)
    self->tee->ops->write (self->tee, data, length);
  for (gsize i = length - kept; i < length; i++)
    self->history[(self->n_written + i) % HISTORY_SIZE] = data[i];
  self->n_written += length;
  for (guint i = 0; i < self->clients->len; i++)
    send_to (g_ptr_array_index (self->clients, i), data, length);
  g_mutex_unlock (&self->lock);
  return length;
}

/* Worker; no lock held. */
static void
remove_client (Client *client)
{
  CharHub *self = client->hub;

  /* Off the list first: then no other thread reaches its source. */
  g_mutex_lock (&self->lock);
  g_ptr_array_remove_fast (self->clients, client);
  g_mutex_unlock (&self->lock);
  g_clear_pointer (&client->source, vmm_source_remove);
  close (client->fd);
  g_byte_array_unref (client->pending);
  g_free (client);
}

static void
set_blocked (CharHub *self, gboolean blocked)
{
  g_mutex_lock (&self->lock);
  self->blocked = blocked;
  for (guint i = 0; i < self->clients->len; i++)
    update_events (g_ptr_array_index (self->clients, i));
  g_mutex_unlock (&self->lock);
}

/* TRUE while the client lives. */
static gboolean
receive (Client *client)
{
  CharHub *self = client->hub;
  guint8 buffer[READ_MAX];
  gsize room = self->receiver->can_receive (self->device);
  ssize_t n;

  if (room == 0)
    {
      set_blocked (self, TRUE);
      return TRUE;
    }
  n = recv (client->fd, buffer, MIN (room, sizeof buffer), MSG_DONTWAIT);
  if (n < 0)
    return errno == EAGAIN || errno == EINTR;
  if (n == 0)
    return FALSE;
  self->receiver->receive (self->device, buffer, (gsize)n);
  return TRUE;
}

static void
on_client (int fd, guint32 events, gpointer user_data)
{
  Client *client = user_data;
  gboolean alive = TRUE;

  if ((events & EPOLLIN) != 0)
    alive = receive (client);
  g_mutex_lock (&client->hub->lock);
  if ((events & EPOLLOUT) != 0)
    flush (client);
  /* What a client sent before it hung up is still read, as far as the device takes it. */
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && (events & EPOLLIN) == 0)
    alive = FALSE;
  alive = alive && !client->dead;
  g_mutex_unlock (&client->hub->lock);
  if (!alive)
    remove_client (client);
}

/* Lock held. */
static void
watch (Client *client)
{
  client->source = vmm_worker_add_fd (client->hub->worker, client->fd, wanted_events (client),
                                      on_client, client);
}

static void
hub_attach (CharBackend *backend, VmmWorker *worker, const CharReceiver *receiver, gpointer device)
{
  CharHub *self = (CharHub *)backend;

  g_mutex_lock (&self->lock);
  self->worker = worker;
  self->receiver = receiver;
  self->device = device;
  for (guint i = 0; i < self->clients->len; i++)
    watch (g_ptr_array_index (self->clients, i));
  g_mutex_unlock (&self->lock);
}

static void
do_detach (gpointer user_data)
{
  CharHub *self = user_data;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->clients->len; i++)
    {
      Client *client = g_ptr_array_index (self->clients, i);

      g_clear_pointer (&client->source, vmm_source_remove);
    }
  self->worker = NULL;
  g_mutex_unlock (&self->lock);
  self->receiver = NULL;
}

static void
hub_detach (CharBackend *backend)
{
  CharHub *self = (CharHub *)backend;

  if (self->worker != NULL)
    vmm_worker_call (self->worker, do_detach, self);
}

static void
hub_can_receive_more (CharBackend *backend)
{
  CharHub *self = (CharHub *)backend;

  if (self->blocked)
    set_blocked (self, FALSE);
}

static void
hub_free (CharBackend *backend)
{
  CharHub *self = (CharHub *)backend;

  hub_detach (backend);
  while (self->clients->len > 0)
    remove_client (g_ptr_array_index (self->clients, 0));
  if (self->tee != NULL)
    self->tee->ops->free (self->tee);
  g_ptr_array_unref (self->clients);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static const CharBackendOps hub_ops = {
  .name = "hub",
  .write = hub_write,
  .attach = hub_attach,
  .detach = hub_detach,
  .can_receive_more = hub_can_receive_more,
  .free = hub_free,
};

CharBackend *
char_hub_new (CharBackend *tee)
{
  CharHub *self = g_new0 (CharHub, 1);

  self->parent.ops = &hub_ops;
  self->tee = tee;
  self->clients = g_ptr_array_new ();
  g_mutex_init (&self->lock);
  return &self->parent;
}

int
char_hub_connect (CharBackend *hub)
{
  CharHub *self = (CharHub *)hub;
  Client *client;
  gsize kept, start;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    return -errno;
  g_mutex_lock (&self->lock);
  if (self->clients->len >= CLIENTS_MAX)
    {
      g_mutex_unlock (&self->lock);
      close (fds[0]);
      close (fds[1]);
      return -EMFILE;
    }
  client = g_new0 (Client, 1);
  client->hub = self;
  client->fd = fds[0];
  client->pending = g_byte_array_new ();
  kept = (gsize)MIN (self->n_written, HISTORY_SIZE);
  start = (gsize)((self->n_written - kept) % HISTORY_SIZE);
  g_byte_array_append (client->pending, self->history + start,
                       (guint)MIN (kept, HISTORY_SIZE - start));
  if (kept > HISTORY_SIZE - start)
    g_byte_array_append (client->pending, self->history, (guint)(kept - (HISTORY_SIZE - start)));
  g_ptr_array_add (self->clients, client);
  if (self->worker != NULL)
    watch (client);
  flush (client);
  g_mutex_unlock (&self->lock);
  return fds[1];
}
