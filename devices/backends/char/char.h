/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The character back end interface under serial ports, virtio console ports and debug consoles: a
 * byte stream both ways, with flow control.
 * Threads: write from any one thread at a time (the device's lock); the receive callback runs on
 * the worker given to attach, with no lock held. */
#pragma once
#include "vmm/error.h"
#include "vmm/worker.h"

typedef struct _CharBackend CharBackend;

typedef struct
{
  /* How many bytes the device takes now; 0 stops delivery until char_backend_can_receive_more. */
  gsize (*can_receive) (gpointer device);
  void (*receive) (gpointer device, const guint8 *data, gsize length);
  /* (nullable) the other side came or went. */
  void (*open_changed) (gpointer device, gboolean open);
} CharReceiver;

typedef struct
{
  const char *name;
  /* Returns bytes taken (0..length). Never blocks. */
  gsize (*write) (CharBackend *backend, const guint8 *data, gsize length);
  void (*attach) (CharBackend *backend,
                  VmmWorker *worker,
                  const CharReceiver *receiver,
                  gpointer device);
  void (*detach) (CharBackend *backend);
  void (*can_receive_more) (CharBackend *backend);
  /* (nullable) Asks to be told when write takes bytes again: callback once, on the worker. */
  void (*notify_writable) (CharBackend *backend, void (*callback) (gpointer), gpointer user_data);
  void (*free) (CharBackend *backend);
} CharBackendOps;

struct _CharBackend
{
  const CharBackendOps *ops;
};

CharBackend *char_null_new (void);
/* out_fd and in_fd: -1 or owned. Bytes that a slow reader leaves are kept up to 64 KiB, then the
 * device sees back pressure. */
CharBackend *char_fd_new (int in_fd, int out_fd, GError **error);
/* append: go on behind what the file holds; else it begins anew. */
CharBackend *char_file_new (const char *path, gboolean append, GError **error);
/* The hub behind "OpenConsole": keeps the last 64 KiB of output; any number of clients connect
 * with a socketpair end each, all see output, all may write. Output never blocks the guest:
 * a client that does not read is dropped after 1 MiB. tee: (nullable) (transfer full) gets all
 * output as well. */
CharBackend *char_hub_new (CharBackend *tee);
/* Any thread. Returns an owned fd (stream socket) with the recent output first, or -errno. */
int char_hub_connect (CharBackend *hub);
