/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A tap device of the host, with virtio-net headers so that checksums and segments stay undone
 * between guest and network. Its fd and /dev/vhost-net also serve the kernel's data path. */
#include "devices/backends/net/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BATCH 64 /* frames a turn */

typedef struct
{
  NetBackend parent;
  int fd, vhost_fd;
  char name[IFNAMSIZ];
  guint offloads; /* NET_OFFLOAD_*: what the kernel takes */

  VmmWorker *worker;
  const NetReceiver *receiver;
  gpointer device;
  VmmSource *source;
  guint32 events;
  guint8 *frame;
  gsize frame_length; /* one that the device had no room for */
  void (*tx_ready) (gpointer user_data);
  gpointer tx_data;
  guint64 n_dropped;
} TapBackend;

static void
watch (TapBackend *tap, guint32 set, guint32 clear)
{
  tap->events = (tap->events | set) & ~clear;
  if (tap->source != NULL)
    vmm_source_set_events (tap->source, tap->events);
}

static gboolean
deliver (TapBackend *tap)
{
  struct iovec iov = { tap->frame, tap->frame_length };

  if (tap->frame_length > 0 && !tap->receiver->receive (tap->device, &iov, 1))
    return FALSE;
  tap->frame_length = 0;
  return TRUE;
}

static void
receive_some (TapBackend *tap)
{
  guint n;

  for (n = 0; n < BATCH; n++)
    {
      ssize_t length;

      if (!deliver (tap))
        {
          watch (tap, 0, EPOLLIN); /* until rx_ready */
          break;
        }
      do
        length = read (tap->fd, tap->frame, NET_FRAME_MAX);
      while (length < 0 && errno == EINTR);
      if (length < NET_HDR_LEN)
        break;
      tap->frame_length = length;
    }
  if (n == BATCH && !deliver (tap))
    watch (tap, 0, EPOLLIN);
  if (n > 0)
    tap->receiver->flush (tap->device);
}

static void
on_event (int fd, guint32 events, gpointer user_data)
{
  TapBackend *tap = user_data;

  if (events & EPOLLOUT)
    {
      watch (tap, 0, EPOLLOUT);
      if (tap->tx_ready != NULL)
        tap->tx_ready (tap->tx_data);
    }
  if (events & EPOLLIN)
    receive_some (tap);
}

static void
attach_on_worker (gpointer user_data)
{
  TapBackend *tap = user_data;

  tap->events = EPOLLIN;
  tap->source = vmm_worker_add_fd (tap->worker, tap->fd, tap->events, on_event, tap);
}

static void
tap_attach (NetBackend *backend, VmmWorker *worker, const NetReceiver *receiver, gpointer device)
{
  TapBackend *tap = (TapBackend *)backend;

  tap->worker = worker;
  tap->receiver = receiver;
  tap->device = device;
  vmm_worker_call (worker, attach_on_worker, tap);
}

static void
tap_detach (NetBackend *backend)
{
  TapBackend *tap = (TapBackend *)backend;

  g_clear_pointer (&tap->source, vmm_source_remove);
  tap->frame_length = 0;
  tap->worker = NULL;
}

static gboolean
tap_send (NetBackend *backend, const struct iovec *iov, guint n_iov)
{
  TapBackend *tap = (TapBackend *)backend;
  ssize_t n;

  do
    n = writev (tap->fd, iov, n_iov);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    {
      watch (tap, EPOLLOUT, 0);
      return FALSE;
    }
  /* A header the kernel does not like, an interface that is down: lost, as on a wire. */
  if (n < 0)
    tap->n_dropped++;
  return TRUE;
}

static void
tap_rx_ready (NetBackend *backend)
{
  TapBackend *tap = (TapBackend *)backend;

  if (deliver (tap))
    watch (tap, EPOLLIN, 0);
  tap->receiver->flush (tap->device);
}

static void
tap_set_tx_ready (NetBackend *backend, void (*callback) (gpointer), gpointer user_data)
{
  TapBackend *tap = (TapBackend *)backend;

  tap->tx_ready = callback;
  tap->tx_data = user_data;
}

static guint
tap_get_offloads (NetBackend *backend)
{
  return ((TapBackend *)backend)->offloads;
}

static void
tap_set_offloads (NetBackend *backend, guint offloads)
{
  TapBackend *tap = (TapBackend *)backend;
  unsigned long flags = 0;

  if (offloads & NET_OFFLOAD_CSUM)
    flags |= TUN_F_CSUM;
  if (offloads & NET_OFFLOAD_TSO4)
    flags |= TUN_F_TSO4;
  if (offloads & NET_OFFLOAD_TSO6)
    flags |= TUN_F_TSO6;
  if (offloads & NET_OFFLOAD_ECN)
    flags |= TUN_F_TSO_ECN;
  if (offloads & NET_OFFLOAD_UFO)
    flags |= TUN_F_UFO;
  if (ioctl (tap->fd, TUNSETOFFLOAD, flags) < 0)
    (void)ioctl (tap->fd, TUNSETOFFLOAD, 0ul);
}

static int
tap_get_tap_fd (NetBackend *backend)
{
  return ((TapBackend *)backend)->fd;
}

static int
tap_get_vhost_fd (NetBackend *backend)
{
  return ((TapBackend *)backend)->vhost_fd;
}

static void
tap_free (NetBackend *backend)
{
  TapBackend *tap = (TapBackend *)backend;

  tap_detach (backend);
  if (tap->fd >= 0)
    close (tap->fd);
  if (tap->vhost_fd >= 0)
    close (tap->vhost_fd);
  g_free (tap->frame);
  g_free (tap);
}

static const NetBackendOps tap_ops = {
  .name = "tap",
  .attach = tap_attach,
  .detach = tap_detach,
  .send = tap_send,
  .rx_ready = tap_rx_ready,
  .set_tx_ready = tap_set_tx_ready,
  .get_offloads = tap_get_offloads,
  .set_offloads = tap_set_offloads,
  .get_tap_fd = tap_get_tap_fd,
  .get_vhost_fd = tap_get_vhost_fd,
  .free = tap_free,
};

static gboolean
open_tap (TapBackend *tap, const char *ifname, GError **error)
{
  struct ifreq request = { 0 };
  const char *shown = ifname != NULL && ifname[0] != '\0' ? ifname : "tap%d";

  if (strlen (shown) >= IFNAMSIZ)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The network interface name “%s” is longer than %d characters", shown,
                   IFNAMSIZ - 1);
      return FALSE;
    }
  tap->fd = open ("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (tap->fd < 0)
    return vmm_error_set_errno (error, -errno,
                                "Cannot open /dev/net/tun (is the module tun loaded, and is it "
                                "shown to this program?)");
  g_strlcpy (request.ifr_name, shown, IFNAMSIZ);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl (tap->fd, TUNSETIFF, &request) < 0)
    {
      int r = -errno;

      if (r == -EPERM)
        return vmm_error_set_errno (error, r,
                                    "Cannot use the network interface “%s” (make it for this user "
                                    "first: ip tuntap add %s mode tap user NAME)",
                                    shown, shown);
      if (r == -EBUSY)
        return vmm_error_set_errno (error, r,
                                    "The network interface “%s” is used by another program", shown);
      return vmm_error_set_errno (error, r, "Cannot use the network interface “%s” as a tap",
                                  shown);
    }
  g_strlcpy (tap->name, request.ifr_name, IFNAMSIZ);
  return TRUE;
}

static gboolean
set_up (TapBackend *tap, GError **error)
{
  struct ifreq request = { 0 };
  int header = NET_HDR_LEN, little_endian = 1, flags;

  if (ioctl (tap->fd, TUNGETIFF, &request) < 0)
    return vmm_error_set_errno (error, -errno, "File descriptor %d is no tap", tap->fd);
  if ((request.ifr_flags & (IFF_TAP | IFF_VNET_HDR)) != (IFF_TAP | IFF_VNET_HDR))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is not a tap with virtio-net headers (IFF_TAP and IFF_VNET_HDR)",
                   request.ifr_name);
      return FALSE;
    }
  g_strlcpy (tap->name, request.ifr_name, IFNAMSIZ);
  if (ioctl (tap->fd, TUNSETVNETHDRSZ, &header) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot set the header size of “%s”", tap->name);
  (void)ioctl (tap->fd, TUNSETVNETLE, &little_endian);
  flags = fcntl (tap->fd, F_GETFL);
  if (flags < 0 || fcntl (tap->fd, F_SETFL, flags | O_NONBLOCK) < 0)
    return vmm_error_set_errno (error, -errno, "Cannot use “%s” without blocking", tap->name);
  /* What the kernel segments and sums up for us is asked by trying. */
  if (ioctl (tap->fd, TUNSETOFFLOAD, (unsigned long)TUN_F_CSUM) == 0)
    tap->offloads |= NET_OFFLOAD_CSUM;
  if (ioctl (tap->fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)) == 0)
    tap->offloads |= NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6;
  if (ioctl (tap->fd, TUNSETOFFLOAD,
             (unsigned long)(TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN)) == 0)
    tap->offloads |= NET_OFFLOAD_ECN;
  (void)ioctl (tap->fd, TUNSETOFFLOAD, 0ul);
  return TRUE;
}

NetBackend *
net_tap_new (const char *ifname, int fd, gboolean vhost, GError **error)
{
  TapBackend *tap = g_new0 (TapBackend, 1);

  tap->parent.ops = &tap_ops;
  tap->fd = fd;
  tap->vhost_fd = -1;
  tap->frame = g_malloc (NET_FRAME_MAX);
  if ((fd < 0 && !open_tap (tap, ifname, error)) || !set_up (tap, error))
    {
      tap_free (&tap->parent);
      return NULL;
    }
  /* Without it the data path is ours: slower, and the statistics say so. */
  if (vhost)
    tap->vhost_fd = open ("/dev/vhost-net", O_RDWR | O_CLOEXEC);
  return &tap->parent;
}
