/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-net over a back end of the test's own, and over libslirp (nothing leaves the process). */
#include "devices/virtio/net.h"

#include <arpa/inet.h>
#include <string.h>

#include "devices/backends/net/net.h"
#include "virtio-driver.h"

#define ALL     (~G_GUINT64_CONSTANT (0))
#define BIT(n)  (G_GUINT64_CONSTANT (1) << (n))
#define RX_BASE 0x1000
#define TX_BASE 0xc000

typedef struct
{
  NetBackend parent;
  const NetReceiver *receiver;
  gpointer device;
  GPtrArray *sent; /* GBytes */
  gboolean full, echo;
  guint n_rx_ready, n_flush, guest_offloads;
  guint offloads;
  void (*tx_ready) (gpointer);
  gpointer tx_data;
} Wire;

static void
wire_attach (NetBackend *backend, VmmWorker *worker, const NetReceiver *receiver, gpointer device)
{
  Wire *wire = (Wire *)backend;

  wire->receiver = receiver;
  wire->device = device;
}

static void
wire_detach (NetBackend *backend)
{
  ((Wire *)backend)->receiver = NULL;
}

static gboolean
wire_send (NetBackend *backend, const struct iovec *iov, guint n_iov)
{
  Wire *wire = (Wire *)backend;
  g_autoptr (GByteArray) frame = g_byte_array_new ();

  if (wire->full)
    return FALSE;
  for (guint i = 0; i < n_iov; i++)
    g_byte_array_append (frame, iov[i].iov_base, iov[i].iov_len);
  g_ptr_array_add (wire->sent, g_bytes_new (frame->data, frame->len));
  /* As slirp does: an answer from inside send. */
  if (wire->echo)
    {
      struct iovec answer = { frame->data, frame->len };

      memset (frame->data + NET_HDR_LEN, 0xff, 6);
      g_assert_true (wire->receiver->receive (wire->device, &answer, 1));
      wire->receiver->flush (wire->device);
    }
  return TRUE;
}

static void
wire_flush (NetBackend *backend)
{
  ((Wire *)backend)->n_flush++;
}

static void
wire_rx_ready (NetBackend *backend)
{
  ((Wire *)backend)->n_rx_ready++;
}

static void
wire_set_tx_ready (NetBackend *backend, void (*callback) (gpointer), gpointer user_data)
{
  ((Wire *)backend)->tx_ready = callback;
  ((Wire *)backend)->tx_data = user_data;
}

static guint
wire_get_offloads (NetBackend *backend)
{
  return ((Wire *)backend)->offloads;
}

static void
wire_set_offloads (NetBackend *backend, guint offloads)
{
  ((Wire *)backend)->guest_offloads = offloads;
}

static int
wire_no_fd (NetBackend *backend)
{
  return -1;
}

static void
wire_free (NetBackend *backend)
{
}

static const NetBackendOps wire_ops = {
  .name = "wire",
  .attach = wire_attach,
  .detach = wire_detach,
  .send = wire_send,
  .flush = wire_flush,
  .rx_ready = wire_rx_ready,
  .set_tx_ready = wire_set_tx_ready,
  .get_offloads = wire_get_offloads,
  .set_offloads = wire_set_offloads,
  .get_tap_fd = wire_no_fd,
  .get_vhost_fd = wire_no_fd,
  .free = wire_free,
};

typedef struct
{
  VirtioDriver d;
  Wire wire;
  NetBackend *user;
} Fixture;

static void
plug (Fixture *f, NetBackend *backend)
{
  VmmDevice *device;

  virtio_driver_init (&f->d);
  device = virtio_driver_new_device (&f->d, &virtio_net_device_ops);
  g_assert_true (vmm_device_set_pointer (device, "backend", backend, NULL));
  g_assert_true (vmm_device_set_string (device, "mac", "52:54:00:12:34:56", NULL));
  virtio_driver_probe (&f->d, device);
}

static void
set_up (Fixture *f, gconstpointer offloads)
{
  memset (f, 0, sizeof *f);
  f->wire.parent.ops = &wire_ops;
  f->wire.offloads = GPOINTER_TO_UINT (offloads);
  f->wire.sent = g_ptr_array_new_with_free_func ((GDestroyNotify)g_bytes_unref);
  plug (f, &f->wire.parent);
}

static void
set_up_user (Fixture *f, gconstpointer data)
{
  NetUserConfig config = { .hostname = "room" };
  g_autoptr (GError) error = NULL;

  memset (f, 0, sizeof *f);
  f->user = net_user_new (&config, &error);
  g_assert_no_error (error);
  plug (f, f->user);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  virtio_driver_finish (&f->d);
  if (f->user != NULL)
    f->user->ops->free (f->user);
  if (f->wire.sent != NULL)
    g_ptr_array_unref (f->wire.sent);
}

static void
give_buffers (Fixture *f, guint n, guint32 length)
{
  for (guint i = 0; i < n; i++)
    {
      HarnessSegment segment = { f->d.arena + RX_BASE + 0x800 * (i % 20), length, TRUE };

      harness_ring_send (&f->d.rings[0], &segment, 1);
    }
  virtio_driver_kick (&f->d, 0);
}

static gboolean
put (Fixture *f, const void *frame, gsize length)
{
  guint8 header[NET_HDR_LEN] = { 0 };
  struct iovec iov[2] = { { header, sizeof header }, { (void *)frame, length } };
  gboolean taken = f->wire.receiver->receive (f->wire.device, iov, 2);

  f->wire.receiver->flush (f->wire.device);
  return taken;
}

static void
make_frame (guint8 *frame, gsize length, const char *to)
{
  for (gsize i = 0; i < length; i++)
    frame[i] = i * 3 + 1;
  memcpy (frame, to, 6);
}

static guint8
command (Fixture *f, guint8 class, guint8 cmd, const void *data, gsize length)
{
  guint64 at = f->d.arena + TX_BASE;
  guint8 head[2] = { class, cmd };
  HarnessSegment segments[] = { { at, 2, FALSE },
                                { at + 16, length, FALSE },
                                { at + 0x1000, 1, TRUE } };
  HarnessUsed used;

  harness_write (f->d.h, at, head, 2);
  harness_write (f->d.h, at + 16, data, length);
  harness_write_le (f->d.h, at + 0x1000, 1, 0xee);
  harness_ring_send (&f->d.rings[2], segments, 3);
  virtio_driver_kick (&f->d, 2);
  g_assert_true (harness_ring_take_used (&f->d.rings[2], &used));
  return harness_read_le (f->d.h, at + 0x1000, 1);
}

static void
test_config (Fixture *f, gconstpointer offloads)
{
  guint64 expected = BIT (5) | BIT (15) | BIT (16) | BIT (17) | BIT (18) | BIT (20) | BIT (23) |
                     BIT (28) | BIT (29) | BIT (32);

  if (offloads != NULL)
    expected |= BIT (0) | BIT (1) | BIT (7) | BIT (8) | BIT (11) | BIT (12);
  g_assert_cmphex (virtio_driver_get_features (&f->d), ==, expected);
  g_assert_cmphex (virtio_driver_read_config (&f->d, 0, 4), ==, 0x12005452);
  g_assert_cmphex (virtio_driver_read_config (&f->d, 4, 2), ==, 0x5634);
  g_assert_cmphex (virtio_driver_read_config (&f->d, 6, 2), ==, 1);
  virtio_driver_start (&f->d, ALL & ~BIT (7), 3);
  g_assert_cmphex (f->wire.guest_offloads, ==,
                   offloads != NULL ? NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6 : 0);
  f->wire.receiver->link_changed (f->wire.device, FALSE);
  g_assert_cmphex (virtio_driver_read_config (&f->d, 6, 2), ==, 0);
  g_assert_cmpuint (harness_count_msi (f->d.h, VIRTIO_DRIVER_MSI_DATA), ==, 1);
}

static void
test_transmit (Fixture *f, gconstpointer data)
{
  HarnessSegment segments[] = { { f->d.arena + TX_BASE, 12, FALSE },
                                { f->d.arena + TX_BASE + 0x100, 200, FALSE } };
  HarnessSegment tiny = { f->d.arena + TX_BASE, 20, FALSE };
  HarnessUsed used;
  gsize length;

  virtio_driver_start (&f->d, ALL, 3);
  harness_ring_send (&f->d.rings[1], segments, 2);
  harness_ring_send (&f->d.rings[1], &tiny, 1);
  virtio_driver_kick (&f->d, 1);
  g_assert_cmpuint (f->wire.sent->len, ==, 1);
  g_bytes_get_data (f->wire.sent->pdata[0], &length);
  g_assert_cmpuint (length, ==, 212);
  g_assert_true (harness_ring_take_used (&f->d.rings[1], &used));
  g_assert_true (harness_ring_take_used (&f->d.rings[1], &used));
  /* Full: the frame stays in the ring, and goes when there is room. */
  f->wire.full = TRUE;
  harness_ring_send (&f->d.rings[1], segments, 2);
  virtio_driver_kick (&f->d, 1);
  g_assert_false (harness_ring_take_used (&f->d.rings[1], &used));
  harness_check_save_load (f->d.h);
  g_assert_false (harness_ring_take_used (&f->d.rings[1], &used));
  f->wire.full = FALSE;
  f->wire.tx_ready (f->wire.tx_data);
  harness_run (f->d.h);
  g_assert_true (harness_ring_take_used (&f->d.rings[1], &used));
  g_assert_cmpuint (f->wire.sent->len, ==, 2);
  /* An answer that comes from inside send. */
  f->wire.echo = TRUE;
  give_buffers (f, 4, 0x800);
  harness_ring_send (&f->d.rings[1], segments, 2);
  virtio_driver_kick (&f->d, 1);
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  g_assert_cmpuint (used.length, ==, 212);
}

static void
test_receive (Fixture *f, gconstpointer data)
{
  guint8 frame[3000], back[3000];
  HarnessUsed used;

  make_frame (frame, sizeof frame, "\x52\x54\x00\x12\x34\x56");
  g_assert_true (put (f, frame, 100)); /* nobody there: lost */
  virtio_driver_start (&f->d, ALL, 3);
  g_assert_false (put (f, frame, 100)); /* no buffers: wait */
  f->wire.n_rx_ready = 0;
  give_buffers (f, 1, 1024);
  g_assert_cmpuint (f->wire.n_rx_ready, ==, 1);
  g_assert_true (put (f, frame, 100));
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  g_assert_cmpuint (used.length, ==, 112);
  g_assert_cmpuint (harness_read_le (f->d.h, f->d.arena + RX_BASE + 10, 2), ==, 1);
  harness_read (f->d.h, f->d.arena + RX_BASE + 12, back, 100);
  g_assert_cmpmem (back, 100, frame, 100);

  /* Merged: 3012 bytes over three buffers, published together. */
  give_buffers (f, 2, 1024);
  g_assert_false (put (f, frame, 3000));
  g_assert_cmpuint (harness_ring_get_n_used (&f->d.rings[0]), ==, 0);
  give_buffers (f, 1, 1024);
  harness_write_le (f->d.h, f->d.arena + RX_BASE, 8, 0);
  g_assert_true (put (f, frame, 3000));
  g_assert_cmpuint (harness_ring_get_n_used (&f->d.rings[0]), ==, 3);
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  g_assert_cmpuint (used.length, ==, 1024);
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  g_assert_cmpuint (used.length, ==, 3012 - 2048);
  /* Runts and giants. */
  give_buffers (f, 4, 1024);
  g_assert_true (put (f, frame, 13));
  g_assert_cmpuint (harness_ring_get_n_used (&f->d.rings[0]), ==, 0);
}

static void
test_receive_plain (Fixture *f, gconstpointer data)
{
  guint8 frame[1500];

  make_frame (frame, sizeof frame, "\x52\x54\x00\x12\x34\x56");
  virtio_driver_start (&f->d, ALL & ~BIT (15), 3);
  give_buffers (f, 2, 1024);
  g_assert_true (put (f, frame, 1500)); /* does not fit: dropped */
  g_assert_cmpuint (harness_ring_get_n_used (&f->d.rings[0]), ==, 0);
  g_assert_true (put (f, frame, 1000));
  g_assert_cmpuint (harness_ring_get_n_used (&f->d.rings[0]), ==, 1);
  g_assert_cmpuint (harness_read_le (f->d.h, f->d.arena + RX_BASE + 10, 2), ==, 1);
}

static gboolean
arrives (Fixture *f, const char *to)
{
  guint8 frame[60];
  HarnessUsed used;

  make_frame (frame, sizeof frame, to);
  g_assert_true (put (f, frame, sizeof frame));
  return harness_ring_take_used (&f->d.rings[0], &used);
}

static void
test_filter (Fixture *f, gconstpointer data)
{
  static const char own[] = "\x52\x54\x00\x12\x34\x56", other[] = "\x52\x54\x00\x12\x34\x57",
                    all[] = "\xff\xff\xff\xff\xff\xff", multi[] = "\x33\x33\x00\x00\x00\x01";
  guint8 on = 1, off = 0;
  guint8 table[4 + 6 + 4 + 6] = { 1 }, large[4 + 65 * 6 + 4] = { 65 };

  virtio_driver_start (&f->d, ALL, 3);
  give_buffers (f, 20, 1024);
  g_assert_true (arrives (f, own));
  g_assert_true (arrives (f, all));
  g_assert_false (arrives (f, other));
  g_assert_false (arrives (f, multi));
  memcpy (table + 4, other, 6);
  table[10] = 1;
  memcpy (table + 14, multi, 6);
  g_assert_cmpuint (command (f, 1, 0, table, sizeof table), ==, 0);
  g_assert_true (arrives (f, other));
  g_assert_true (arrives (f, multi));
  harness_check_save_load (f->d.h);
  g_assert_true (arrives (f, other));
  table[0] = 2; /* more than the message holds */
  table[1] = 0xff;
  g_assert_cmpuint (command (f, 1, 0, table, sizeof table), ==, 1);
  g_assert_false (arrives (f, other));
  g_assert_cmpuint (command (f, 0, 0, &on, 1), ==, 0);
  g_assert_true (arrives (f, other));
  g_assert_cmpuint (command (f, 0, 0, &off, 1), ==, 0);
  g_assert_cmpuint (command (f, 0, 5, &on, 1), ==, 0);
  g_assert_false (arrives (f, all));
  g_assert_cmpuint (command (f, 1, 1, other, 6), ==, 0);
  g_assert_true (arrives (f, other));
  g_assert_false (arrives (f, own));
  g_assert_cmphex (virtio_driver_read_config (&f->d, 5, 1), ==, 0x57);
  /* A list longer than we keep: everything of its kind comes. */
  g_assert_cmpuint (command (f, 1, 0, large, sizeof large), ==, 0);
  g_assert_true (arrives (f, own));
  g_assert_cmpuint (command (f, 0, 6, &on, 1), ==, 1);
  g_assert_cmpuint (command (f, 9, 0, &on, 1), ==, 1);
  g_assert_cmpuint (command (f, 1, 1, other, 5), ==, 1);
  /* A driver without the control queue gets all. */
  virtio_driver_start (&f->d, ALL & ~(BIT (17) | BIT (18) | BIT (20) | BIT (23)), 2);
  give_buffers (f, 2, 1024);
  g_assert_true (arrives (f, other));
}

static void
test_hostile (Fixture *f, gconstpointer data)
{
  guint8 frame[60];
  g_autoptr (GBytes) state = NULL;

  make_frame (frame, sizeof frame, "\x52\x54\x00\x12\x34\x56");
  virtio_driver_start (&f->d, ALL, 3);
  harness_ring_put_avail (&f->d.rings[0], 0x777);
  harness_ring_publish (&f->d.rings[0]);
  (void)put (f, frame, 60);
  g_assert_cmphex (virtio_driver_get_status (&f->d), ==, 0x4f);
  g_assert_false (put (f, frame, 60)); /* until the reset */
  virtio_driver_write (&f->d, 0x14, 1, 0);
  g_assert_true (put (f, frame, 60));
  virtio_driver_storm (&f->d, 17, 20000);
  virtio_driver_start (&f->d, ALL, 3);
  state = harness_save (f->d.h);
  harness_storm_load (f->d.h, state, 3, 400);
}

/* DHCP of libslirp: no socket of the host is touched. */
static void
test_user_dhcp (Fixture *f, gconstpointer data)
{
  static const guint8 discover[] = {
    0xff,
    0xff,
    0xff,
    0xff,
    0xff,
    0xff,
    0x52,
    0x54,
    0,
    0x12,
    0x34,
    0x56,
    0x08,
    0x00,
    /* IPv4, UDP 68 -> 67 */
    0x45,
    0,
    0x01,
    0x10,
    0,
    0,
    0,
    0,
    64,
    17,
    0x79,
    0xde,
    0,
    0,
    0,
    0,
    255,
    255,
    255,
    255,
    0,
    68,
    0,
    67,
    0,
    0xfc,
    0,
    0,
    /* BOOTREQUEST */
    1,
    1,
    6,
    0,
    1,
    2,
    3,
    4,
  };
  guint8 frame[NET_HDR_LEN + 14 + 272] = { 0 }, answer[600];
  guint8 *bootp = frame + NET_HDR_LEN + 14 + 28;
  HarnessSegment segment = { f->d.arena + TX_BASE, sizeof frame, FALSE };
  HarnessUsed used;

  memcpy (frame + NET_HDR_LEN, discover, sizeof discover);
  memcpy (bootp + 28, "\x52\x54\x00\x12\x34\x56", 6);
  memcpy (bootp + 236, "\x63\x82\x53\x63\x35\x01\x01\xff", 8);
  virtio_driver_start (&f->d, ALL, 3);
  give_buffers (f, 8, 0x800);
  while (harness_ring_take_used (&f->d.rings[0], &used))
    continue;
  harness_write (f->d.h, f->d.arena + TX_BASE, frame, sizeof frame);
  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  g_assert_cmpuint (used.length, >, NET_HDR_LEN + 14 + 28 + 240);
  harness_read (f->d.h, harness_read_le (f->d.h, f->d.rings[0].desc + 16 * used.id, 8), answer,
                MIN (used.length, sizeof answer));
  bootp = answer + NET_HDR_LEN + 14 + 28;
  g_assert_cmpuint (bootp[0], ==, 2);
  g_assert_cmpmem (bootp + 16, 4, "\x0a\x00\x02\x0f", 4);
  g_assert_cmpmem (bootp + 4, 4, "\x01\x02\x03\x04", 4);
  harness_check_save_load (f->d.h);
}

/* A router solicitation brings an advertisement, to all nodes. */
static void
test_user_ipv6 (Fixture *f, gconstpointer data)
{
  static const guint8 solicit[] = {
    0x33,
    0x33,
    0,
    0,
    0,
    2,
    0x52,
    0x54,
    0,
    0x12,
    0x34,
    0x56,
    0x86,
    0xdd,
    /* IPv6, 8 bytes of ICMPv6, hop limit 255, from fe80::1234 to ff02::2 */
    0x60,
    0,
    0,
    0,
    0,
    8,
    58,
    255,
    0xfe,
    0x80,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0x12,
    0x34,
    0xff,
    0x02,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    2,
    133,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
  };
  static const guint8 all_nodes[4 + 4 + 6] = { 0, 0, 0, 0, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1 };
  guint8 frame[NET_HDR_LEN + sizeof solicit] = { 0 }, answer[200];
  guint8 *packet = frame + NET_HDR_LEN + 14;
  HarnessSegment segment = { f->d.arena + TX_BASE, sizeof frame, FALSE };
  HarnessUsed used;
  guint32 sum = 8 + 58;

  memcpy (frame + NET_HDR_LEN, solicit, sizeof solicit);
  for (guint i = 8; i < 48; i += 2)
    sum += packet[i] << 8 | packet[i + 1];
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  packet[42] = ~sum >> 8;
  packet[43] = ~sum;
  virtio_driver_start (&f->d, ALL, 3);
  g_assert_cmpuint (command (f, 1, 0, all_nodes, sizeof all_nodes), ==, 0);
  give_buffers (f, 8, 0x800);
  while (harness_ring_take_used (&f->d.rings[0], &used))
    continue;
  harness_write (f->d.h, f->d.arena + TX_BASE, frame, sizeof frame);
  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
  g_assert_true (harness_ring_take_used (&f->d.rings[0], &used));
  harness_read (f->d.h, harness_read_le (f->d.h, f->d.rings[0].desc + 16 * used.id, 8), answer,
                MIN (used.length, sizeof answer));
  g_assert_cmpuint (answer[NET_HDR_LEN + 14 + 40], ==, 134);
}

static void
send_frame (Fixture *f, const guint8 *frame, gsize length)
{
  guint8 whole[NET_HDR_LEN + 128] = { 0 };
  HarnessSegment segment = { f->d.arena + TX_BASE, NET_HDR_LEN + length, FALSE };

  g_assert_cmpuint (length, <=, 128);
  memcpy (whole + NET_HDR_LEN, frame, length);
  harness_write (f->d.h, f->d.arena + TX_BASE, whole, NET_HDR_LEN + length);
  harness_ring_send (&f->d.rings[1], &segment, 1);
  virtio_driver_kick (&f->d, 1);
}

/* The next frame that came in; its length without the header, 0 for none. */
static gsize
take_frame (Fixture *f, guint8 *ret_frame, gsize size)
{
  guint8 whole[NET_HDR_LEN + 256];
  HarnessUsed used;

  if (!harness_ring_take_used (&f->d.rings[0], &used))
    return 0;
  g_assert_cmpuint (used.length, <=, sizeof whole);
  harness_read (f->d.h, harness_read_le (f->d.h, f->d.rings[0].desc + 16 * used.id, 8), whole,
                used.length);
  memcpy (ret_frame, whole + NET_HDR_LEN, MIN (size, used.length - NET_HDR_LEN));
  return used.length - NET_HDR_LEN;
}

static guint16
sum_words (guint32 sum, const guint8 *data, gsize length)
{
  for (gsize i = 0; i < length; i += 2)
    sum += data[i] << 8 | data[i + 1];
  while (sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return (guint16)~sum;
}

/* After a restore the guest goes on with connections that nothing knows any more, and nothing knows
 * the guest's address: asked for it, and told, the reset must reach it at once. */
static void
test_user_reset (Fixture *f, gconstpointer data)
{
  static const guint8 guest[] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
  static const guint8 host[] = { 0x52, 0x55, 10, 0, 2, 2 };
  guint8 segment[54] = { 0 }, arp[42] = { 0 }, answer[256];
  guint8 *ip = segment + 14, *tcp = segment + 34;
  guint16 sum;
  gsize length;

  memcpy (segment, host, 6);
  memcpy (segment + 6, guest, 6);
  memcpy (segment + 12, "\x08\x00\x45\x00\x00\x28\x00\x01\x00\x00\x40\x06", 12);
  memcpy (ip + 12, "\x0a\x00\x02\x0f\x0a\x00\x02\x02", 8);
  sum = sum_words (0, ip, 20);
  ip[10] = sum >> 8;
  ip[11] = sum & 0xff;
  /* Port 40000 to 7, a sequence and an acknowledgement, ACK. */
  memcpy (tcp, "\x9c\x40\x00\x07\x00\x00\x10\x00\x00\x00\x20\x00\x50\x10\xff\xff", 16);
  sum = sum_words (6 + 20, ip + 12, 28);
  tcp[16] = sum >> 8;
  tcp[17] = sum & 0xff;
  virtio_driver_start (&f->d, ALL, 3);
  give_buffers (f, 8, 0x800);
  send_frame (f, segment, sizeof segment);
  length = take_frame (f, answer, sizeof answer);
  g_assert_cmpuint (length, >=, 42);
  g_assert_cmpmem (answer + 12, 2, "\x08\x06", 2);
  g_assert_cmpuint (answer[21], ==, 1); /* who has 10.0.2.15? */
  g_assert_cmpmem (answer + 38, 4, "\x0a\x00\x02\x0f", 4);

  memcpy (arp, host, 6);
  memcpy (arp + 6, guest, 6);
  memcpy (arp + 12, "\x08\x06\x00\x01\x08\x00\x06\x04\x00\x02", 10);
  memcpy (arp + 22, guest, 6);
  memcpy (arp + 28, "\x0a\x00\x02\x0f", 4);
  memcpy (arp + 32, answer + 22, 10);
  send_frame (f, arp, sizeof arp);
  length = take_frame (f, answer, sizeof answer);
  g_assert_cmpuint (length, >=, 54);
  g_assert_cmpmem (answer, 6, guest, 6);
  g_assert_cmpuint (answer[23], ==, 6);
  g_assert_cmpuint (answer[47] & 4, ==, 4); /* RST */
}

static void
test_user_garbage (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (99);

  virtio_driver_start (&f->d, ALL, 3);
  for (guint i = 0; i < 300; i++)
    {
      HarnessSegment segment = { f->d.arena + TX_BASE, g_rand_int_range (rand, 0, 1600), FALSE };
      HarnessUsed used;

      for (guint at = 0; at < 1600; at += 4)
        harness_write_le (f->d.h, f->d.arena + TX_BASE + at, 4, g_rand_int (rand));
      /* ARP or IPv6 now and then; IPv4 would open sockets. */
      harness_write_le (f->d.h, f->d.arena + TX_BASE + 24, 2, i % 2 ? 0x0608 : 0x1234);
      harness_ring_send (&f->d.rings[1], &segment, 1);
      virtio_driver_kick (&f->d, 1);
      g_assert_true (harness_ring_take_used (&f->d.rings[1], &used));
    }
}

static void
test_errors (void)
{
  NetForward forward = { .host_address = "not an address", .host_port = 1, .guest_port = 1 };
  NetUserConfig config = { .forwards = &forward, .n_forwards = 1 };
  g_autoptr (GError) error = NULL;

  g_assert_null (net_user_new (&config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (net_tap_new ("a-name-that-is-much-too-long", -1, FALSE, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
}

static void
test_bad_mac (void)
{
  static const char *const bad[] = { "52:54:00:12:34", "53:54:00:12:34:56", "52:54:00:12:34:5g",
                                     "nonsense" };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      VirtioDriver d;
      g_autoptr (GError) error = NULL;
      VmmDevice *device;

      virtio_driver_init (&d);
      device = virtio_driver_new_device (&d, &virtio_net_device_ops);
      g_assert_true (vmm_device_set_string (device, "mac", bad[i], NULL));
      g_assert_false (vmm_device_realize (device, d.h->machine, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
      vmm_device_free (device);
      virtio_driver_finish (&d);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data, up)                                                                  \
  g_test_add ("/virtio/net/" name, Fixture, data, up, func, tear_down)
  ADD ("config", test_config, NULL, set_up);
  ADD ("config-offloads", test_config,
       GUINT_TO_POINTER (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6), set_up);
  ADD ("transmit", test_transmit, NULL, set_up);
  ADD ("receive", test_receive, NULL, set_up);
  ADD ("receive-plain", test_receive_plain, NULL, set_up);
  ADD ("filter", test_filter, NULL, set_up);
  ADD ("hostile", test_hostile, NULL, set_up);
  ADD ("user/dhcp", test_user_dhcp, NULL, set_up_user);
  ADD ("user/ipv6", test_user_ipv6, NULL, set_up_user);
  ADD ("user/reset", test_user_reset, NULL, set_up_user);
  ADD ("user/garbage", test_user_garbage, NULL, set_up_user);
  g_test_add_func ("/virtio/net/errors", test_errors);
  g_test_add_func ("/virtio/net/bad-mac", test_bad_mac);
  return g_test_run ();
}
