/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The network back end interface: Ethernet frames with a virtio-net header of 12 bytes
 * (virtio_net_hdr_v1) before each. Threads: everything after attach on the worker given to it. */
#pragma once
#include <sys/uio.h>
#include "vmm/error.h"
#include "vmm/worker.h"

typedef struct _NetBackend NetBackend;

#define NET_HDR_LEN   12
#define NET_FRAME_MAX (65536 + NET_HDR_LEN)

typedef struct
{
  /* One frame from the network, header first. FALSE: the device has no room; the back end keeps or
   * drops it and waits for net_backend_rx_ready. */
  gboolean (*receive) (gpointer device, const struct iovec *iov, guint n_iov);
  /* A batch of receives is over: the device interrupts its driver now. */
  void (*flush) (gpointer device);
  void (*link_changed) (gpointer device, gboolean up);
} NetReceiver;

typedef enum
{
  NET_OFFLOAD_CSUM = 1 << 0,
  NET_OFFLOAD_TSO4 = 1 << 1,
  NET_OFFLOAD_TSO6 = 1 << 2,
  NET_OFFLOAD_ECN = 1 << 3,
  NET_OFFLOAD_UFO = 1 << 4,
} NetOffloads;

typedef struct
{
  const char *name; /* "user", "tap" */
  void (*attach) (NetBackend *backend,
                  VmmWorker *worker,
                  const NetReceiver *receiver,
                  gpointer device);
  void (*detach) (NetBackend *backend);
  /* Sends one frame, header first. TRUE taken or dropped; FALSE: full, the tx_ready callback comes. */
  gboolean (*send) (NetBackend *backend, const struct iovec *iov, guint n_iov);
  /* (nullable) A batch of sends is over. */
  void (*flush) (NetBackend *backend);
  void (*rx_ready) (NetBackend *backend);
  void (*set_tx_ready) (NetBackend *backend, void (*callback) (gpointer), gpointer user_data);
  guint (*get_offloads) (NetBackend *backend);
  /* What the guest can take. */
  void (*set_offloads) (NetBackend *backend, guint offloads);
  /* The tap fd for vhost-net, or -1. */
  int (*get_tap_fd) (NetBackend *backend);
  int (*get_vhost_fd) (NetBackend *backend); /* opened /dev/vhost-net or -1 */
  /* (nullable) The largest packet without its Ethernet header, told to the guest; 0: 1500. */
  guint (*get_mtu) (NetBackend *backend);
  void (*free) (NetBackend *backend);
} NetBackendOps;

struct _NetBackend
{
  const NetBackendOps *ops;
};

typedef struct
{
  gboolean udp;
  char host_address[46]; /* numeric, "127.0.0.1" */
  guint16 host_port;
  guint16 guest_port; /* of the address that DHCP gives first */
} NetForward;

typedef struct
{
  const NetForward *forwards;
  guint n_forwards;
  gboolean restricted;  /* no way out but forwards */
  const char *hostname; /* (nullable) given by DHCP */
} NetUserConfig;

/* libslirp on the device's worker. Forward sockets are opened at once (before confinement).
 * Errors: BUSY names the port in use. */
NetBackend *net_user_new (const NetUserConfig *config, GError **error);
/* ifname: an existing tap, or NULL/"" lets the kernel name one (needs CAP_NET_ADMIN); fd: -1, or an
 * open tap fd taken over. vhost: open /dev/vhost-net too. */
NetBackend *net_tap_new (const char *ifname, int fd, gboolean vhost, GError **error);
