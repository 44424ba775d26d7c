/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-net over a wire that echoes, is full at times, and brings frames of its own. */
#include "devices/virtio/net.h"

#include <string.h>

#include "devices/backends/net/net.h"
#include "fuzz.h"
#include "virtio.h"

typedef struct
{
  NetBackend parent;
  const NetReceiver *receiver;
  gpointer device;
  gboolean full, echo;
  void (*tx_ready) (gpointer user_data);
  gpointer tx_data;
} Wire;

static void
attach (NetBackend *backend, VmmWorker *worker, const NetReceiver *receiver, gpointer device)
{
  ((Wire *)backend)->receiver = receiver;
  ((Wire *)backend)->device = device;
}

static void
detach (NetBackend *backend)
{
  ((Wire *)backend)->receiver = NULL;
}

static gboolean
send_frame (NetBackend *backend, const struct iovec *iov, guint n_iov)
{
  Wire *wire = (Wire *)backend;

  if (wire->full)
    return FALSE;
  if (wire->echo && wire->receiver != NULL)
    (void)wire->receiver->receive (wire->device, iov, n_iov);
  return TRUE;
}

static void
rx_ready (NetBackend *backend)
{
}

static void
set_tx_ready (NetBackend *backend, void (*callback) (gpointer), gpointer user_data)
{
  ((Wire *)backend)->tx_ready = callback;
  ((Wire *)backend)->tx_data = user_data;
}

static guint
get_offloads (NetBackend *backend)
{
  return NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6 | NET_OFFLOAD_ECN;
}

static void
set_offloads (NetBackend *backend, guint offloads)
{
}

static int
no_fd (NetBackend *backend)
{
  return -1;
}

static void
free_wire (NetBackend *backend)
{
}

static const NetBackendOps ops = {
  .name = "fuzz",
  .attach = attach,
  .detach = detach,
  .send = send_frame,
  .rx_ready = rx_ready,
  .set_tx_ready = set_tx_ready,
  .get_offloads = get_offloads,
  .set_offloads = set_offloads,
  .get_tap_fd = no_fd,
  .get_vhost_fd = no_fd,
  .free = free_wire,
};

static void
prepare (VmmDevice *device, gpointer user_data)
{
  g_assert_true (vmm_device_set_pointer (device, "backend", user_data, NULL));
}

static void
event (guint8 byte, gpointer user_data)
{
  Wire *wire = user_data;
  guint8 frame[2048];
  struct iovec iov[2] = { { frame, 12 }, { frame + 12, byte * 8u } };

  memset (frame, 0xff, sizeof frame);
  wire->echo = byte & 1;
  if (byte & 2)
    wire->full = !wire->full;
  if (!wire->full && wire->tx_ready != NULL)
    wire->tx_ready (wire->tx_data);
  if (wire->receiver == NULL)
    return;
  (void)wire->receiver->receive (wire->device, iov, 2);
  wire->receiver->flush (wire->device);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  Wire wire = { .parent = { &ops } };

  fuzz_virtio (data, size, &virtio_net_device_ops, 3, prepare, event, &wire);
  return 0;
}
