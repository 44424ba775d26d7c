/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-net (Virtio 1.2, 5.1): one pair of queues and the control queue.
 *
 * Frames go through user space, by the back end on the device's worker, or through the kernel
 * (vhost-net) when the back end is a tap that has it; then only the control queue comes here.
 * The back end calls receive from the worker, at times from inside our own send: `inside` says that
 * the lock is held already. */
#include "devices/virtio/net.h"

#include <stdio.h>
#include <string.h>

#include "devices/backends/net/net.h"
#include "devices/virtio/vhost-net.h"

#define QUEUE_RX       0
#define QUEUE_TX       1
#define QUEUE_CTRL     2
#define QUEUE_SIZE     256
#define CONFIG_SIZE    17
#define MAC_TABLE      64
#define MAX_MERGE      64   /* receive buffers for one frame */
#define MAX_IOVECS     1024 /* IOV_MAX */
#define CTRL_MAX       (2 * (4 + 6 * 256))
#define STATUS_LINK_UP 1

/* Virtio 1.2, 5.1.3 */
enum
{
  FEATURE_CSUM = 0,
  FEATURE_GUEST_CSUM = 1,
  FEATURE_MTU = 3,
  FEATURE_MAC = 5,
  FEATURE_GUEST_TSO4 = 7,
  FEATURE_GUEST_TSO6 = 8,
  FEATURE_GUEST_ECN = 9,
  FEATURE_HOST_TSO4 = 11,
  FEATURE_HOST_TSO6 = 12,
  FEATURE_HOST_ECN = 13,
  FEATURE_MRG_RXBUF = 15,
  FEATURE_STATUS = 16,
  FEATURE_CTRL_VQ = 17,
  FEATURE_CTRL_RX = 18,
  FEATURE_CTRL_RX_EXTRA = 20,
  FEATURE_CTRL_MAC_ADDR = 23,
};
#define BIT(n) (G_GUINT64_CONSTANT (1) << (n))

/* 5.1.6.5 */
enum
{
  CTRL_RX = 0,
  CTRL_RX_PROMISC = 0,
  CTRL_RX_ALLMULTI = 1,
  CTRL_RX_ALLUNI = 2,
  CTRL_RX_NOMULTI = 3,
  CTRL_RX_NOUNI = 4,
  CTRL_RX_NOBCAST = 5,
  CTRL_MAC = 1,
  CTRL_MAC_TABLE_SET = 0,
  CTRL_MAC_ADDR_SET = 1,
};

typedef struct
{
  VirtioDevice parent;
  struct
  {
    NetBackend *backend;
    char *mac_text;
    guint8 mac[6];
  } config;
  struct
  {
    guint8 mac[6];
    guint8 rx_mode[6]; /* by CTRL_RX_* */
    guint8 n_unicast, n_multicast;
    guint8 table[MAC_TABLE][6]; /* unicast first */
    guint8 link;
  } guest;
  struct
  {
    VhostNet *vhost;
    guint mtu;
    gboolean attached;  /* the back end delivers to us */
    gboolean running;   /* device lock: between activate and deactivate */
    gboolean in_kernel; /* device lock: vhost serves, or is about to */
    gboolean start_pending;
    gboolean inside;
    gboolean rx_notify;
    gint vhost_error; /* errno why it does not serve */
    guint64 rx_frames, rx_bytes, rx_dropped, rx_filtered, tx_frames, tx_bytes, tx_dropped;
  } host;
} VirtioNet;

static void
count (guint64 *counter, guint64 value)
{
  __atomic_fetch_add (counter, value, __ATOMIC_RELAXED);
}

/* ---- configuration ---- */

static void
net_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
  VirtioNet *net = (VirtioNet *)device;
  guint8 config[CONFIG_SIZE] = { 0 };

  memcpy (config, net->guest.mac, 6);
  config[6] = net->guest.link ? STATUS_LINK_UP : 0;
  config[8] = 1; /* max_virtqueue_pairs */
  config[10] = net->host.mtu & 0xff;
  config[11] = net->host.mtu >> 8;
  memset (config + 12, 0xff, 5); /* speed and duplex: unknown */
  memcpy (buffer, config + offset, size);
}

/* ---- receive ---- */

static gboolean
in_table (const VirtioNet *net, const guint8 *mac, guint from, guint to)
{
  for (guint i = from; i < to; i++)
    if (memcmp (net->guest.table[i], mac, 6) == 0)
      return TRUE;
  return FALSE;
}

/* 5.1.6.5.1: does the driver want frames for this address? */
static gboolean
wanted (const VirtioNet *net, const guint8 *mac)
{
  static const guint8 broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
  const guint8 *mode = net->guest.rx_mode;

  if (mode[CTRL_RX_PROMISC])
    return TRUE;
  if (memcmp (mac, broadcast, 6) == 0)
    return !mode[CTRL_RX_NOBCAST];
  if (mac[0] & 1)
    return !mode[CTRL_RX_NOMULTI] &&
           (mode[CTRL_RX_ALLMULTI] || in_table (net, mac, net->guest.n_unicast,
                                                net->guest.n_unicast + net->guest.n_multicast));
  return !mode[CTRL_RX_NOUNI] && (mode[CTRL_RX_ALLUNI] || memcmp (mac, net->guest.mac, 6) == 0 ||
                                  in_table (net, mac, 0, net->guest.n_unicast));
}

static gsize
iov_read (const struct iovec *iov, guint n_iov, gsize offset, void *buffer, gsize length)
{
  gsize done = 0;

  for (guint i = 0; i < n_iov && done < length; i++)
    {
      gsize piece;

      if (offset >= iov[i].iov_len)
        {
          offset -= iov[i].iov_len;
          continue;
        }
      piece = MIN (iov[i].iov_len - offset, length - done);
      memcpy ((guint8 *)buffer + done, (const guint8 *)iov[i].iov_base + offset, piece);
      done += piece;
      offset = 0;
    }
  return done;
}

/* Chains with room for the frame. 0: not enough buffers now (none is taken). -1: it will never fit,
 * or the queue is broken. */
static int
take_buffers (VirtioNet *net, gsize length, VirtqueueChain **chains)
{
  VirtioDevice *device = &net->parent;
  Virtqueue *vq = virtio_device_get_queue (device, QUEUE_RX);
  guint max = virtio_device_has_feature (device, FEATURE_MRG_RXBUF) ? MAX_MERGE : 1;
  gsize room = 0;
  guint n = 0;

  while (room < length && n < max)
    {
      VirtqueueStatus status = virtqueue_pop (vq, &chains[n]);

      if (status == VIRTQUEUE_READY)
        {
          room += virtqueue_chain_writable_left (chains[n++]);
          continue;
        }
      while (n > 0)
        {
          virtqueue_unpop (vq, chains[--n]);
          room = 0;
        }
      if (status == VIRTQUEUE_BROKEN)
        {
          virtio_device_set_broken (device);
          return -1;
        }
      if (!virtqueue_wait_for_more (vq))
        return 0;
      virtqueue_disable_kicks (vq);
    }
  if (room >= length)
    return n;
  while (n > 0)
    virtqueue_unpop (vq, chains[--n]);
  return -1;
}

/* The frame goes into the chains as if they were one buffer (5.1.6.4). */
static void
fill_buffers (
    VirtioNet *net, VirtqueueChain **chains, guint n, const struct iovec *iov, guint n_iov)
{
  guint8 header[NET_HDR_LEN];
  guint32 written[MAX_MERGE] = { 0 };
  guint chain = 0;
  gsize skip = NET_HDR_LEN;

  (void)iov_read (iov, n_iov, 0, header, sizeof header);
  header[10] = n;
  header[11] = 0;
  while (chain < n && skip > 0)
    {
      gsize done = virtqueue_chain_write (chains[chain], header + NET_HDR_LEN - skip, skip);

      written[chain] += done;
      skip -= done;
      if (skip > 0)
        chain++;
    }
  skip = NET_HDR_LEN;
  for (guint i = 0; i < n_iov; i++)
    {
      const guint8 *data = iov[i].iov_base;
      gsize left = iov[i].iov_len, piece = MIN (skip, left);

      skip -= piece;
      data += piece;
      left -= piece;
      while (left > 0 && chain < n)
        {
          gsize done = virtqueue_chain_write (chains[chain], data, left);

          written[chain] += done;
          data += done;
          left -= done;
          if (left > 0)
            chain++;
        }
    }
  virtqueue_push_batch (virtio_device_get_queue (&net->parent, QUEUE_RX), chains, written, n);
}

static gboolean
receive_locked (VirtioNet *net, const struct iovec *iov, guint n_iov)
{
  VirtqueueChain *chains[MAX_MERGE];
  Virtqueue *vq;
  gsize length = 0;
  guint8 mac[6];
  int n;

  if (!net->host.running || net->host.in_kernel)
    return TRUE; /* nobody listens: as an unplugged cable */
  if (!virtio_device_is_active (&net->parent))
    return FALSE;
  vq = virtio_device_get_queue (&net->parent, QUEUE_RX);
  if (!virtqueue_is_enabled (vq))
    return TRUE;
  for (guint i = 0; i < n_iov; i++)
    length += iov[i].iov_len;
  if (length < NET_HDR_LEN + 14 || length > NET_FRAME_MAX)
    return TRUE;
  (void)iov_read (iov, n_iov, NET_HDR_LEN, mac, sizeof mac);
  if (!wanted (net, mac) || !net->guest.link)
    {
      count (&net->host.rx_filtered, 1);
      return TRUE;
    }
  virtqueue_disable_kicks (vq);
  n = take_buffers (net, length, chains);
  if (n <= 0)
    {
      if (n < 0)
        count (&net->host.rx_dropped, 1);
      return n < 0;
    }
  fill_buffers (net, chains, n, iov, n_iov);
  net->host.rx_notify = TRUE;
  count (&net->host.rx_frames, 1);
  count (&net->host.rx_bytes, length - NET_HDR_LEN);
  return TRUE;
}

static gboolean
net_receive (gpointer device, const struct iovec *iov, guint n_iov)
{
  VirtioNet *net = device;
  gboolean inside = net->host.inside, taken;

  if (!inside)
    virtio_device_lock_queue (&net->parent, QUEUE_RX);
  taken = receive_locked (net, iov, n_iov);
  if (!inside)
    virtio_device_unlock_queue (&net->parent, QUEUE_RX);
  return taken;
}

static void
net_flush (gpointer device)
{
  VirtioNet *net = device;
  gboolean inside = net->host.inside;

  if (!inside)
    virtio_device_lock_queue (&net->parent, QUEUE_RX);
  if (net->host.rx_notify && virtio_device_is_active (&net->parent))
    virtio_device_notify_queue (&net->parent, QUEUE_RX);
  net->host.rx_notify = FALSE;
  if (!inside)
    virtio_device_unlock_queue (&net->parent, QUEUE_RX);
}

static void
net_link_changed (gpointer device, gboolean up)
{
  VirtioNet *net = device;
  gboolean inside = net->host.inside;

  if (!inside)
    virtio_device_lock_queue (&net->parent, QUEUE_RX);
  net->guest.link = up;
  virtio_device_notify_config (&net->parent);
  if (!inside)
    virtio_device_unlock_queue (&net->parent, QUEUE_RX);
}

static const NetReceiver net_receiver = {
  .receive = net_receive,
  .flush = net_flush,
  .link_changed = net_link_changed,
};

/* ---- transmit ---- */

/* FALSE: the back end is full. */
static gboolean
send_chain (VirtioNet *net, VirtqueueChain *chain)
{
  NetBackend *backend = net->config.backend;
  guint32 length = virtqueue_chain_readable_left (chain);
  const struct iovec *iov;
  int n;

  if (backend == NULL || length < NET_HDR_LEN + 14 || length > NET_FRAME_MAX ||
      (n = virtqueue_chain_pin (chain, FALSE, length, &iov)) <= 0 || n > MAX_IOVECS)
    {
      count (&net->host.tx_dropped, 1);
      return TRUE;
    }
  if (!backend->ops->send (backend, iov, n))
    return FALSE;
  count (&net->host.tx_frames, 1);
  count (&net->host.tx_bytes, length - NET_HDR_LEN);
  return TRUE;
}

static void
transmit (VirtioNet *net)
{
  VirtioDevice *device = &net->parent;
  NetBackend *backend = net->config.backend;
  Virtqueue *vq = virtio_device_get_queue (device, QUEUE_TX);
  guint budget = virtqueue_get_size (vq);
  VirtqueueStatus status = VIRTQUEUE_EMPTY;
  gboolean full = FALSE;

  do
    {
      VirtqueueChain *chain;

      virtqueue_disable_kicks (vq);
      while (budget > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
        {
          if (!send_chain (net, chain))
            {
              virtqueue_unpop (vq, chain);
              full = TRUE; /* tx_ready goes on */
              break;
            }
          virtqueue_push (vq, chain, 0);
          budget--;
        }
    }
  while (!full && budget > 0 && status == VIRTQUEUE_EMPTY && virtqueue_enable_kicks (vq));
  if (backend != NULL && backend->ops->flush != NULL)
    backend->ops->flush (backend);
  virtio_device_notify_queue (device, QUEUE_TX);
  if (status == VIRTQUEUE_BROKEN)
    virtio_device_set_broken (device);
  else if (!full && budget == 0)
    virtio_device_schedule_kick (device, QUEUE_TX);
}

static void
net_tx_ready (gpointer user_data)
{
  virtio_device_schedule_kick (user_data, QUEUE_TX);
}

/* ---- control ---- */

/* One list of TABLE_SET: a count, then addresses. Too many of them: FALSE in *fits, and all are
 * let through. Returns the bytes used, 0 when malformed. */
static gsize
read_macs (
    VirtioNet *net, const guint8 *data, gsize length, guint at, guint8 *ret_n, gboolean *fits)
{
  guint32 n;

  if (length < 4)
    return 0;
  memcpy (&n, data, 4);
  n = GUINT32_FROM_LE (n);
  if (n > (length - 4) / 6)
    return 0;
  *fits = n <= MAC_TABLE - at;
  *ret_n = *fits ? n : 0;
  for (guint i = 0; i < *ret_n; i++)
    memcpy (net->guest.table[at + i], data + 4 + 6 * i, 6);
  return 4 + 6 * (gsize)n;
}

static gboolean
control_mac (VirtioNet *net, guint8 command, const guint8 *data, gsize length)
{
  guint8 n_unicast = 0, n_multicast = 0;
  gboolean unicast_fits, multicast_fits;
  gsize used;

  if (command == CTRL_MAC_ADDR_SET)
    {
      if (length != 6)
        return FALSE;
      memcpy (net->guest.mac, data, 6);
      return TRUE;
    }
  if (command != CTRL_MAC_TABLE_SET)
    return FALSE;
  net->guest.n_unicast = net->guest.n_multicast = 0;
  used = read_macs (net, data, length, 0, &n_unicast, &unicast_fits);
  if (used == 0 ||
      read_macs (net, data + used, length - used, n_unicast, &n_multicast, &multicast_fits) == 0)
    return FALSE;
  net->guest.n_unicast = n_unicast;
  net->guest.n_multicast = n_multicast;
  net->guest.rx_mode[CTRL_RX_ALLUNI] |= !unicast_fits;
  net->guest.rx_mode[CTRL_RX_ALLMULTI] |= !multicast_fits;
  return TRUE;
}

static gboolean
control (VirtioNet *net, const guint8 *data, gsize length)
{
  if (length < 2)
    return FALSE;
  switch (data[0])
    {
    case CTRL_RX:
      if (length != 3 || data[1] > CTRL_RX_NOBCAST || data[2] > 1 ||
          !virtio_device_has_feature (
              &net->parent, data[1] <= CTRL_RX_ALLMULTI ? FEATURE_CTRL_RX : FEATURE_CTRL_RX_EXTRA))
        return FALSE;
      net->guest.rx_mode[data[1]] = data[2];
      return TRUE;
    case CTRL_MAC:
      return control_mac (net, data[1], data + 2, length - 2);
    default:
      return FALSE;
    }
}

static void
serve_control (VirtioNet *net)
{
  VirtioDevice *device = &net->parent;
  Virtqueue *vq = virtio_device_get_queue (device, QUEUE_CTRL);
  guint budget = virtqueue_get_size (vq);
  VirtqueueStatus status = VIRTQUEUE_EMPTY;
  VirtqueueChain *chain;

  while (budget-- > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    {
      guint8 data[CTRL_MAX], ack;
      guint32 length = virtqueue_chain_readable_left (chain);

      ack = length > sizeof data || virtqueue_chain_read (chain, data, length) != length ||
            !control (net, data, length);
      virtqueue_push (vq, chain, virtqueue_chain_write (chain, &ack, 1));
    }
  if (status == VIRTQUEUE_BROKEN)
    {
      virtio_device_set_broken (device);
      return;
    }
  virtio_device_notify_queue (device, QUEUE_CTRL);
  if (status == VIRTQUEUE_READY || virtqueue_enable_kicks (vq))
    virtio_device_schedule_kick (device, QUEUE_CTRL);
}

static guint
guest_offloads (VirtioNet *net)
{
  static const struct
  {
    guint feature, offload;
  } map[] = {
    { FEATURE_GUEST_CSUM, NET_OFFLOAD_CSUM },
    { FEATURE_GUEST_TSO4, NET_OFFLOAD_TSO4 },
    { FEATURE_GUEST_TSO6, NET_OFFLOAD_TSO6 },
    { FEATURE_GUEST_ECN, NET_OFFLOAD_ECN },
  };
  guint offloads = 0;

  for (guint i = 0; i < G_N_ELEMENTS (map); i++)
    if (virtio_device_has_feature (&net->parent, map[i].feature))
      offloads |= map[i].offload;
  return offloads;
}

/* In the first kick after the driver came, or after a pause: chooses who serves the rings. */
static void
start_data_path (VirtioNet *net)
{
  VirtioDevice *device = &net->parent;
  NetBackend *backend = net->config.backend;

  net->host.start_pending = FALSE;
  if (backend == NULL)
    return;
  backend->ops->set_offloads (backend, guest_offloads (net));
  if (net->host.in_kernel)
    {
      net->host.vhost_error = -vhost_net_start (net->host.vhost);
      net->host.in_kernel = net->host.vhost_error == 0;
    }
  if (net->host.in_kernel)
    return;
  if (!net->host.attached)
    {
      net->host.attached = TRUE;
      backend->ops->attach (backend, device->worker, &net_receiver, net);
    }
  virtio_device_schedule_kick (device, QUEUE_RX);
  virtio_device_schedule_kick (device, QUEUE_TX);
}

static void
net_kick (VirtioDevice *device, guint queue)
{
  VirtioNet *net = (VirtioNet *)device;

  net->host.inside = TRUE;
  if (net->host.start_pending)
    start_data_path (net);
  if (queue == QUEUE_CTRL)
    serve_control (net);
  else if (!net->host.in_kernel)
    {
      if (queue == QUEUE_TX)
        transmit (net);
      else if (net->host.attached)
        net->config.backend->ops->rx_ready (net->config.backend);
    }
  net->host.inside = FALSE;
}

/* ---- life cycle ---- */

static void
net_activate (VirtioDevice *device)
{
  VirtioNet *net = (VirtioNet *)device;

  net->host.running = TRUE;
  net->host.in_kernel = net->host.vhost != NULL;
  if (!virtio_device_has_feature (device, FEATURE_CTRL_RX))
    net->guest.rx_mode[CTRL_RX_PROMISC] = 1;
  net->host.start_pending = TRUE;
}

static void
stop_vhost (gpointer user_data)
{
  vhost_net_stop (((VirtioNet *)user_data)->host.vhost);
}

static void
reset_guest_state (VirtioNet *net)
{
  memset (net->guest.rx_mode, 0, sizeof net->guest.rx_mode);
  memset (net->guest.table, 0, sizeof net->guest.table);
  net->guest.n_unicast = net->guest.n_multicast = 0;
  memcpy (net->guest.mac, net->config.mac, 6);
}

static void
net_deactivate (VirtioDevice *device)
{
  VirtioNet *net = (VirtioNet *)device;

  vmm_worker_call (device->worker, stop_vhost, net);
  virtio_device_lock_queue (device, QUEUE_RX);
  net->host.running = net->host.in_kernel = net->host.start_pending = FALSE;
  net->host.rx_notify = FALSE;
  reset_guest_state (net);
  virtio_device_unlock_queue (device, QUEUE_RX);
  /* Frames that came for the old driver are not the new one's. */
  if (net->host.attached && net->host.vhost != NULL)
    {
      net->config.backend->ops->detach (net->config.backend);
      net->host.attached = FALSE;
    }
}

static void
net_quiesce_queues (VirtioDevice *device)
{
  vmm_worker_call (device->worker, stop_vhost, device);
}

static void
net_resume_queues (VirtioDevice *device)
{
  VirtioNet *net = (VirtioNet *)device;

  virtio_device_lock_queue (device, QUEUE_RX);
  net->host.start_pending = TRUE; /* the kicks of resume come next */
  virtio_device_unlock_queue (device, QUEUE_RX);
}

static const VirtioDeviceOps net_virtio_ops = {
  .type = 1,
  .class_base = 0x02,
  .class_sub = 0x00,
  .n_queues = 3,
  .queue_size = QUEUE_SIZE,
  .features = BIT (FEATURE_MAC) | BIT (FEATURE_MRG_RXBUF) | BIT (FEATURE_STATUS) |
              BIT (FEATURE_CTRL_VQ) | BIT (FEATURE_CTRL_RX) | BIT (FEATURE_CTRL_RX_EXTRA) |
              BIT (FEATURE_CTRL_MAC_ADDR),
  .config_size = CONFIG_SIZE,
  .config_read = net_config_read,
  .activate = net_activate,
  .deactivate = net_deactivate,
  .kick = net_kick,
  .quiesce = net_quiesce_queues,
  .resume = net_resume_queues,
};

static guint64
offload_features (NetBackend *backend)
{
  guint offloads = backend->ops->get_offloads (backend);
  guint64 features = 0;

  /* 5.1.3.1: segmentation needs checksums. */
  if (!(offloads & NET_OFFLOAD_CSUM))
    return 0;
  features |= BIT (FEATURE_CSUM) | BIT (FEATURE_GUEST_CSUM);
  if (offloads & NET_OFFLOAD_TSO4)
    features |= BIT (FEATURE_HOST_TSO4) | BIT (FEATURE_GUEST_TSO4);
  if (offloads & NET_OFFLOAD_TSO6)
    features |= BIT (FEATURE_HOST_TSO6) | BIT (FEATURE_GUEST_TSO6);
  if (offloads & NET_OFFLOAD_ECN)
    features |= BIT (FEATURE_HOST_ECN) | BIT (FEATURE_GUEST_ECN);
  return features;
}

static gboolean
parse_mac (VirtioNet *net, GError **error)
{
  const char *text = net->config.mac_text;
  const char *id = net->parent.parent.parent.id;
  guint bytes[6];
  char end;

  if (text == NULL || text[0] == '\0')
    {
      guint32 hash = g_str_hash (id);

      memcpy (net->config.mac, "\x52\x54\x00", 3);
      for (guint i = 0; i < 3; i++)
        net->config.mac[3 + i] = hash >> (8 * i);
      return TRUE;
    }
  if (sscanf (text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &bytes[0], &bytes[1], &bytes[2], &bytes[3],
              &bytes[4], &bytes[5], &end) != 6 ||
      (bytes[0] & 1) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: “%s” is no address for a network card; it looks like 52:54:00:12:34:56, "
                   "with an even first number",
                   id, text);
      return FALSE;
    }
  for (guint i = 0; i < 6; i++)
    net->config.mac[i] = bytes[i];
  return TRUE;
}

static void
net_unrealize (VmmDevice *device)
{
  VirtioNet *net = (VirtioNet *)device;
  NetBackend *backend = net->config.backend;

  if (net->parent.transport == NULL)
    return;
  /* Stops a running driver, and with it vhost and all kicks. */
  virtio_device_reset (&net->parent);
  if (backend != NULL)
    backend->ops->set_tx_ready (backend, NULL, NULL);
  if (net->host.attached)
    backend->ops->detach (backend);
  net->host.attached = FALSE;
  g_clear_pointer (&net->host.vhost, vhost_net_free);
  virtio_device_finish (&net->parent);
}

static gboolean
net_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VirtioNet *net = (VirtioNet *)device;
  NetBackend *backend = net->config.backend;
  VirtioInitOptions options = { 0 };
  VmmWorker *worker = NULL;
  g_autofree char *name = g_strdup_printf ("net.%s", device->id);

  if (!parse_mac (net, error))
    return FALSE;
  reset_guest_state (net);
  net->guest.link = backend != NULL;
  if (backend != NULL)
    {
      options.features_add = offload_features (backend);
      if (backend->ops->get_mtu != NULL)
        net->host.mtu = backend->ops->get_mtu (backend);
      if (net->host.mtu != 0)
        options.features_add |= BIT (FEATURE_MTU);
      worker = vmm_machine_add_worker (machine, name, VMM_WORKER_NONE, error);
      if (worker == NULL)
        return FALSE;
    }
  if (!virtio_device_init (&net->parent, machine, &net_virtio_ops, &options, worker, error))
    return FALSE;
  if (backend == NULL)
    return TRUE;
  backend->ops->set_tx_ready (backend, net_tx_ready, net);
  if (backend->ops->get_vhost_fd (backend) >= 0)
    {
      g_autoptr (GError) vhost_error = NULL;

      net->host.vhost = vhost_net_new (&net->parent, machine, backend->ops->get_vhost_fd (backend),
                                       backend->ops->get_tap_fd (backend), &vhost_error);
      /* Then through user space: slower, and the statistics say so. */
      if (net->host.vhost == NULL)
        net->host.vhost_error = -1;
    }
  if (net->host.vhost == NULL)
    {
      net->host.attached = TRUE;
      backend->ops->attach (backend, net->parent.worker, &net_receiver, net);
    }
  return TRUE;
}

static void
net_reset (VmmDevice *device, VmmResetKind kind)
{
  VirtioNet *net = (VirtioNet *)device;

  virtio_device_reset (&net->parent);
  reset_guest_state (net);
}

static void
net_quiesce (VmmDevice *device)
{
  virtio_device_quiesce ((VirtioDevice *)device);
}

static void
net_resume (VmmDevice *device)
{
  virtio_device_resume ((VirtioDevice *)device);
}

static gboolean
net_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  VirtioNet *net = (VirtioNet *)device;

  virtio_device_save (&net->parent, writer);
  vmm_state_put_bytes (writer, "mac", net->guest.mac, 6);
  vmm_state_put_bytes (writer, "rx_mode", net->guest.rx_mode, sizeof net->guest.rx_mode);
  vmm_state_put_uint (writer, "n_unicast", net->guest.n_unicast);
  vmm_state_put_uint (writer, "n_multicast", net->guest.n_multicast);
  vmm_state_put_bytes (writer, "table", net->guest.table, sizeof net->guest.table);
  return TRUE;
}

static gboolean
net_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  VirtioNet *net = (VirtioNet *)device;
  guint64 n_unicast, n_multicast;

  if (!virtio_device_load (&net->parent, reader, error) ||
      !vmm_state_get_bytes (reader, "mac", net->guest.mac, 6, error) ||
      !vmm_state_get_bytes (reader, "rx_mode", net->guest.rx_mode, sizeof net->guest.rx_mode,
                            error) ||
      !vmm_state_get_uint (reader, "n_unicast", MAC_TABLE, &n_unicast, error) ||
      !vmm_state_get_uint (reader, "n_multicast", MAC_TABLE - n_unicast, &n_multicast, error) ||
      !vmm_state_get_bytes (reader, "table", net->guest.table, sizeof net->guest.table, error))
    return FALSE;
  net->guest.n_unicast = n_unicast;
  net->guest.n_multicast = n_multicast;
  return TRUE;
}

static void
net_stats (VmmDevice *device,
           void (*add) (gpointer user_data, const char *name, guint64 value),
           gpointer user_data)
{
  VirtioNet *net = (VirtioNet *)device;

  add (user_data, "rx-frames", __atomic_load_n (&net->host.rx_frames, __ATOMIC_RELAXED));
  add (user_data, "rx-bytes", __atomic_load_n (&net->host.rx_bytes, __ATOMIC_RELAXED));
  add (user_data, "rx-dropped", __atomic_load_n (&net->host.rx_dropped, __ATOMIC_RELAXED));
  add (user_data, "tx-frames", __atomic_load_n (&net->host.tx_frames, __ATOMIC_RELAXED));
  add (user_data, "tx-bytes", __atomic_load_n (&net->host.tx_bytes, __ATOMIC_RELAXED));
  add (user_data, "tx-dropped", __atomic_load_n (&net->host.tx_dropped, __ATOMIC_RELAXED));
  /* 1: frames go through the kernel. Otherwise the errno that kept them out of it. */
  add (user_data, "vhost", net->host.in_kernel);
  add (user_data, "vhost-errno", net->host.vhost_error);
  virtio_device_stats (&net->parent, add, user_data);
}

static const VmmProperty net_properties[] = {
  VIRTIO_DEVICE_PROPERTIES,
  { "backend", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VirtioNet, config.backend) },
  { "mac", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (VirtioNet, config.mac_text), 0, 17 },
  { NULL },
};

const VmmDeviceOps virtio_net_device_ops = {
  .name = "virtio-net",
  .summary = "Network card (virtio)",
  .spec = "Virtio 1.2, 5.1",
  .instance_size = sizeof (VirtioNet),
  .state_version = 1,
  .properties = net_properties,
  .realize = net_realize,
  .unrealize = net_unrealize,
  .reset = net_reset,
  .quiesce = net_quiesce,
  .resume = net_resume,
  .save = net_save,
  .load = net_load,
  .stats = net_stats,
};
