/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/console.h"

#include <sys/socket.h>
#include <unistd.h>

#include "fuzz.h"
#include "virtio.h"

typedef struct
{
  VirtioConsolePorts ports;
  int client;
} Context;

static void
prepare (VmmDevice *device, gpointer user_data)
{
  g_assert_true (vmm_device_set_pointer (device, "ports", &((Context *)user_data)->ports, NULL));
}

static void
event (guint8 byte, gpointer user_data)
{
  guint8 buffer[256] = { byte };
  int client = ((Context *)user_data)->client;

  (void)!send (client, buffer, byte, MSG_DONTWAIT | MSG_NOSIGNAL);
  (void)!recv (client, buffer, sizeof buffer, MSG_DONTWAIT);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  CharBackend *hub = char_hub_new (NULL), *null = char_null_new ();
  VirtioConsolePort ports[2] = {
    { .console = TRUE, .backend = hub },
    { .name = "port", .backend = null },
  };
  Context context = { .ports = { ports, 2 }, .client = char_hub_connect (hub) };

  fuzz_virtio (data, size, &virtio_console_device_ops, 6, prepare, event, &context);
  close (context.client);
  hub->ops->free (hub);
  null->ops->free (null);
  return 0;
}
