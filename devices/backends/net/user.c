/* SPDX-License-Identifier: GPL-3.0-or-later */
/* User networking: libslirp on the device's worker, nothing needed of the host.
 *
 * The guest sees 10.0.2.0/24 and fec0::/64 with a router, DHCP and DNS. slirp names the sockets it
 * waits for anew before each wait; they live in an epoll set of ours, changed by what differs, and
 * the worker waits for that set. Forward sockets are opened at creation, the rest by slirp as the
 * guest connects. Everything after attach runs on the worker. */
#include "devices/backends/net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libslirp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define QUEUE_FRAMES 1024u
#define MAX_EVENTS   64

typedef struct
{
  guint32 wanted;     /* SLIRP_POLL_* of this round */
  guint32 registered; /* epoll events in the set, 0: not in it */
  guint32 ready;      /* SLIRP_POLL_* since the last round */
  guint32 round;
} Watch;

typedef struct _UserBackend UserBackend;

typedef struct
{
  UserBackend *user;
  gint64 deadline_ms; /* -1: off */
  SlirpTimerId id;
  void *cb_opaque;
} Timer;

struct _UserBackend
{
  NetBackend parent;
  Slirp *slirp;
  VmmWorker *worker;
  const NetReceiver *receiver;
  gpointer device;

  int epoll_fd, timer_fd;
  VmmSource *epoll_source, *timer_source;
  GArray *watches; /* Watch, by fd */
  GArray *polled;  /* int: fd by slirp's index */
  guint32 round;
  GPtrArray *timers;       /* Timer */
  gint64 poll_deadline_ms; /* -1: none */

  GQueue frames;     /* GBytes that the device had no room for */
  gboolean received; /* since the last flush */
  gboolean stale;    /* slirp's sockets may have changed */
  gboolean resolved; /* the guest said what address it has */
  guint8 *packet;    /* NET_FRAME_MAX */
  guint64 n_dropped, n_guest_errors;
};

static void refresh (UserBackend *user);

static gint64
now_ms (void)
{
  return g_get_monotonic_time () / 1000;
}

/* ---- slirp's callbacks ---- */

static gboolean
deliver (UserBackend *user, const void *data, gsize length)
{
  guint8 header[NET_HDR_LEN] = { 0 };
  struct iovec iov[2] = { { header, sizeof header }, { (void *)data, length } };

  user->received = TRUE;
  return user->receiver->receive (user->device, iov, 2);
}

static ssize_t
on_send_packet (const void *buffer, size_t length, void *opaque)
{
  UserBackend *user = opaque;

  if (user->receiver == NULL)
    return length;
  if (g_queue_is_empty (&user->frames) && deliver (user, buffer, length))
    return length;
  if (g_queue_get_length (&user->frames) < QUEUE_FRAMES)
    g_queue_push_tail (&user->frames, g_bytes_new (buffer, length));
  else
    user->n_dropped++;
  return length;
}

static void
on_guest_error (const char *message, void *opaque)
{
  ((UserBackend *)opaque)->n_guest_errors++;
}

static int64_t
on_clock_get_ns (void *opaque)
{
  return g_get_monotonic_time () * 1000;
}

static void
arm (UserBackend *user)
{
  gint64 deadline = user->poll_deadline_ms;
  struct itimerspec spec = { 0 };

  for (guint i = 0; i < user->timers->len; i++)
    {
      Timer *timer = g_ptr_array_index (user->timers, i);

      if (timer->deadline_ms >= 0 && (deadline < 0 || timer->deadline_ms < deadline))
        deadline = timer->deadline_ms;
    }
  if (deadline >= 0)
    {
      deadline = MAX (deadline, 1);
      spec.it_value.tv_sec = deadline / 1000;
      spec.it_value.tv_nsec = deadline % 1000 * 1000000;
    }
  (void)timerfd_settime (user->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void *
on_timer_new (SlirpTimerId id, void *cb_opaque, void *opaque)
{
  UserBackend *user = opaque;
  Timer *timer = g_new0 (Timer, 1);

  timer->user = user;
  timer->deadline_ms = -1;
  timer->id = id;
  timer->cb_opaque = cb_opaque;
  g_ptr_array_add (user->timers, timer);
  return timer;
}

static void
on_timer_free (void *timer, void *opaque)
{
  g_ptr_array_remove_fast (((UserBackend *)opaque)->timers, timer);
}

static void
on_timer_mod (void *data, int64_t expire_time, void *opaque)
{
  Timer *timer = data;

  timer->deadline_ms = MAX (expire_time, 0);
  arm (timer->user);
}

static Watch *
get_watch (UserBackend *user, int fd)
{
  if ((guint)fd >= user->watches->len)
    g_array_set_size (user->watches, fd + 1);
  return &g_array_index (user->watches, Watch, fd);
}

static void
on_register_fd (int fd, void *opaque)
{
}

static void
on_unregister_fd (int fd, void *opaque)
{
  UserBackend *user = opaque;
  Watch *watch;

  if (fd < 0)
    return;
  watch = get_watch (user, fd);
  if (watch->registered != 0)
    (void)epoll_ctl (user->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  *watch = (Watch){ 0 };
}

static void
on_notify (void *opaque)
{
  ((UserBackend *)opaque)->stale = TRUE;
}

static const SlirpCb callbacks = {
  .send_packet = on_send_packet,
  .guest_error = on_guest_error,
  .clock_get_ns = on_clock_get_ns,
  .timer_free = on_timer_free,
  .timer_mod = on_timer_mod,
  .register_poll_fd = on_register_fd,
  .unregister_poll_fd = on_unregister_fd,
  .notify = on_notify,
  .timer_new_opaque = on_timer_new,
};

/* ---- the poll set ---- */

static guint32
to_epoll (guint32 events)
{
  return (events & SLIRP_POLL_IN ? EPOLLIN : 0) | (events & SLIRP_POLL_OUT ? EPOLLOUT : 0) |
         (events & SLIRP_POLL_PRI ? EPOLLPRI : 0);
}

static guint32
from_epoll (guint32 events)
{
  return (events & EPOLLIN ? SLIRP_POLL_IN : 0) | (events & EPOLLOUT ? SLIRP_POLL_OUT : 0) |
         (events & EPOLLPRI ? SLIRP_POLL_PRI : 0) | (events & EPOLLERR ? SLIRP_POLL_ERR : 0) |
         (events & EPOLLHUP ? SLIRP_POLL_HUP : 0);
}

static int
on_add_poll (int fd, int events, void *opaque)
{
  UserBackend *user = opaque;
  Watch *watch = get_watch (user, fd);

  if (watch->round != user->round)
    watch->wanted = watch->ready = 0;
  watch->round = user->round;
  watch->wanted |= events;
  g_array_append_val (user->polled, fd);
  return user->polled->len - 1;
}

static int
on_get_revents (int index, void *opaque)
{
  UserBackend *user = opaque;

  if (index < 0 || (guint)index >= user->polled->len)
    return 0;
  return get_watch (user, g_array_index (user->polled, int, index))->ready;
}

static void
sync_watch (UserBackend *user, int fd, Watch *watch)
{
  guint32 events = watch->round == user->round ? to_epoll (watch->wanted) : 0;
  struct epoll_event event = { .events = events, .data.fd = fd };

  if (events == 0)
    {
      if (watch->registered != 0)
        (void)epoll_ctl (user->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
      watch->registered = 0;
      return;
    }
  if (watch->registered == events)
    return;
  /* A number may have been closed and used again behind our back. */
  if (epoll_ctl (user->epoll_fd, watch->registered != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                 &event) < 0 &&
      (errno == ENOENT || errno == EEXIST))
    (void)epoll_ctl (user->epoll_fd, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
  watch->registered = events;
}

/* Asks slirp what to wait for, and waits for that. */
static void
refresh (UserBackend *user)
{
  uint32_t timeout = G_MAXUINT32;

  user->stale = FALSE;
  user->round++;
  g_array_set_size (user->polled, 0);
  slirp_pollfds_fill (user->slirp, &timeout, on_add_poll, user);
  for (guint fd = 0; fd < user->watches->len; fd++)
    {
      Watch *watch = &g_array_index (user->watches, Watch, fd);

      if (watch->registered != 0 || watch->round == user->round)
        sync_watch (user, fd, watch);
    }
  user->poll_deadline_ms = timeout == G_MAXUINT32 ? -1 : now_ms () + timeout;
  arm (user);
}

static void
finish_batch (UserBackend *user)
{
  if (user->received)
    {
      user->received = FALSE;
      user->receiver->flush (user->device);
    }
}

/* Worker: sockets are ready, or time has passed. */
static void
turn (UserBackend *user)
{
  struct epoll_event events[MAX_EVENTS];
  int n = epoll_wait (user->epoll_fd, events, MAX_EVENTS, 0);

  for (int i = 0; i < n; i++)
    get_watch (user, events[i].data.fd)->ready = from_epoll (events[i].events);
  slirp_pollfds_poll (user->slirp, 0, on_get_revents, user);
  refresh (user);
  finish_batch (user);
}

static void
on_ready (int fd, guint32 events, gpointer user_data)
{
  turn (user_data);
}

static void
on_timer (int fd, guint32 events, gpointer user_data)
{
  UserBackend *user = user_data;
  guint64 expirations;
  gint64 now = now_ms ();

  if (read (user->timer_fd, &expirations, sizeof expirations) < 0)
    return;
  for (guint i = 0; i < user->timers->len; i++)
    {
      Timer *timer = g_ptr_array_index (user->timers, i);

      if (timer->deadline_ms < 0 || timer->deadline_ms > now)
        continue;
      timer->deadline_ms = -1;
      slirp_handle_timer (user->slirp, timer->id, timer->cb_opaque);
    }
  turn (user);
}

/* ---- the interface ---- */

static void
attach_on_worker (gpointer user_data)
{
  UserBackend *user = user_data;

  user->epoll_source = vmm_worker_add_fd (user->worker, user->epoll_fd, EPOLLIN, on_ready, user);
  user->timer_source = vmm_worker_add_fd (user->worker, user->timer_fd, EPOLLIN, on_timer, user);
  refresh (user);
}

static void
user_attach (NetBackend *backend, VmmWorker *worker, const NetReceiver *receiver, gpointer device)
{
  UserBackend *user = (UserBackend *)backend;

  user->worker = worker;
  user->receiver = receiver;
  user->device = device;
  vmm_worker_call (worker, attach_on_worker, user);
}

static void
detach_on_worker (gpointer user_data)
{
  UserBackend *user = user_data;

  g_clear_pointer (&user->epoll_source, vmm_source_remove);
  g_clear_pointer (&user->timer_source, vmm_source_remove);
  user->receiver = NULL;
}

static void
user_detach (NetBackend *backend)
{
  UserBackend *user = (UserBackend *)backend;

  if (user->worker == NULL)
    return;
  vmm_worker_call (user->worker, detach_on_worker, user);
  user->worker = NULL;
}

static gboolean
user_send (NetBackend *backend, const struct iovec *iov, guint n_iov)
{
  UserBackend *user = (UserBackend *)backend;
  gsize length = 0, skip = NET_HDR_LEN;

  for (guint i = 0; i < n_iov; i++)
    {
      gsize from = MIN (skip, iov[i].iov_len), piece = iov[i].iov_len - from;

      skip -= from;
      if (piece > NET_FRAME_MAX - length)
        {
          user->n_dropped++;
          return TRUE;
        }
      memcpy (user->packet + length, (const guint8 *)iov[i].iov_base + from, piece);
      length += piece;
    }
  if (length >= 14)
    {
      slirp_input (user->slirp, user->packet, length);
      user->resolved |= user->packet[12] == 0x08 && user->packet[13] == 0x06; /* ARP */
    }
  user->stale = TRUE;
  return TRUE;
}

static void
user_flush (NetBackend *backend)
{
  UserBackend *user = (UserBackend *)backend;

  /* What slirp holds back until it knows the guest's address goes out in a poll, and without any
   * connection it asks for none: the reset that ends a connection of before a restore was lost. */
  if (user->resolved)
    slirp_pollfds_poll (user->slirp, 0, on_get_revents, user);
  if (user->stale)
    refresh (user);
  user->resolved = FALSE;
  finish_batch (user);
}

static void
user_rx_ready (NetBackend *backend)
{
  UserBackend *user = (UserBackend *)backend;
  GBytes *frame;

  while ((frame = g_queue_peek_head (&user->frames)) != NULL)
    {
      gsize length;
      gconstpointer data = g_bytes_get_data (frame, &length);

      if (!deliver (user, data, length))
        break;
      g_bytes_unref (g_queue_pop_head (&user->frames));
    }
  finish_batch (user);
}

static void
user_set_tx_ready (NetBackend *backend, void (*callback) (gpointer), gpointer user_data)
{
  /* send never refuses. */
}

static guint
user_get_offloads (NetBackend *backend)
{
  return 0;
}

static void
user_set_offloads (NetBackend *backend, guint offloads)
{
}

static int
user_no_fd (NetBackend *backend)
{
  return -1;
}

static void
user_free (NetBackend *backend)
{
  UserBackend *user = (UserBackend *)backend;

  user_detach (backend);
  if (user->slirp != NULL)
    slirp_cleanup (user->slirp);
  if (user->epoll_fd >= 0)
    close (user->epoll_fd);
  if (user->timer_fd >= 0)
    close (user->timer_fd);
  g_queue_clear_full (&user->frames, (GDestroyNotify)g_bytes_unref);
  g_array_unref (user->watches);
  g_array_unref (user->polled);
  g_ptr_array_unref (user->timers);
  g_free (user->packet);
  g_free (user);
}

static const NetBackendOps user_ops = {
  .name = "user",
  .attach = user_attach,
  .detach = user_detach,
  .send = user_send,
  .flush = user_flush,
  .rx_ready = user_rx_ready,
  .set_tx_ready = user_set_tx_ready,
  .get_offloads = user_get_offloads,
  .set_offloads = user_set_offloads,
  .get_tap_fd = user_no_fd,
  .get_vhost_fd = user_no_fd,
  .free = user_free,
};

static gboolean
add_forward (UserBackend *user, const NetForward *forward, GError **error)
{
  struct in_addr host = { 0 }, guest;
  const char *protocol = forward->udp ? "UDP" : "TCP";

  guest.s_addr = htonl (0x0a00020f); /* 10.0.2.15, what DHCP gives first */
  if (inet_pton (AF_INET, forward->host_address, &host) != 1)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "Cannot forward a port of “%s”: it is not a numeric IPv4 address",
                   forward->host_address);
      return FALSE;
    }
  errno = 0;
  if (slirp_add_hostfwd (user->slirp, forward->udp, host, forward->host_port, guest,
                         forward->guest_port) == 0)
    return TRUE;
  if (errno == EADDRINUSE)
    g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                 "Cannot forward %s port %u of %s: another program uses it; choose another port, "
                 "or stop that program",
                 protocol, forward->host_port, forward->host_address);
  else
    vmm_error_set_errno (error, errno != 0 ? -errno : -EINVAL, "Cannot forward %s port %u of %s",
                         protocol, forward->host_port, forward->host_address);
  return FALSE;
}

NetBackend *
net_user_new (const NetUserConfig *config, GError **error)
{
  UserBackend *user = g_new0 (UserBackend, 1);
  SlirpConfig slirp = {
    .version = 4,
    .restricted = config->restricted,
    .in_enabled = true,
    .in6_enabled = true,
    .vprefix_len = 64,
    .vhostname = config->hostname,
  };

  user->parent.ops = &user_ops;
  user->packet = g_malloc (NET_FRAME_MAX);
  user->watches = g_array_new (FALSE, TRUE, sizeof (Watch));
  user->polled = g_array_new (FALSE, FALSE, sizeof (int));
  user->timers = g_ptr_array_new_with_free_func (g_free);
  user->poll_deadline_ms = -1;
  g_queue_init (&user->frames);
  user->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  user->timer_fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (user->epoll_fd < 0 || user->timer_fd < 0)
    {
      vmm_error_set_errno (error, -errno, "Cannot set up user networking");
      user_free (&user->parent);
      return NULL;
    }
  slirp.vnetwork.s_addr = htonl (0x0a000200);
  slirp.vnetmask.s_addr = htonl (0xffffff00);
  slirp.vhost.s_addr = htonl (0x0a000202);
  slirp.vdhcp_start.s_addr = htonl (0x0a00020f);
  slirp.vnameserver.s_addr = htonl (0x0a000203);
  inet_pton (AF_INET6, "fec0::", &slirp.vprefix_addr6);
  inet_pton (AF_INET6, "fec0::2", &slirp.vhost6);
  inet_pton (AF_INET6, "fec0::3", &slirp.vnameserver6);
  user->slirp = slirp_new (&slirp, &callbacks, user);
  if (user->slirp == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_FAILED,
                   "Cannot set up user networking (libslirp %s)", slirp_version_string ());
      user_free (&user->parent);
      return NULL;
    }
  for (guint i = 0; i < config->n_forwards; i++)
    if (!add_forward (user, &config->forwards[i], error))
      {
        user_free (&user->parent);
        return NULL;
      }
  return &user->parent;
}
