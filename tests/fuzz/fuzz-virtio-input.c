/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/input.h"

#include "devices/input/router.h"
#include "fuzz.h"
#include "virtio.h"

typedef struct
{
  InputRouter *router;
  const char *kind;
} Context;

static void
prepare (VmmDevice *device, gpointer user_data)
{
  Context *context = user_data;

  g_assert_true (vmm_device_set_string (device, "kind", context->kind, NULL));
  g_assert_true (vmm_device_set_pointer (device, "router", context->router, NULL));
}

static void
event (guint8 byte, gpointer user_data)
{
  InputRouter *router = ((Context *)user_data)->router;

  switch (byte & 3)
    {
    case 0:
      input_router_key (router, byte, byte & 4);
      break;
    case 1:
      input_router_absolute (router, byte * 128, byte * 100);
      input_router_relative (router, byte, -byte);
      break;
    case 2:
      input_router_buttons (router, byte >> 2);
      input_router_wheel (router, byte, 0);
      break;
    default:
      input_router_sync (router);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const char *const kinds[] = { "keyboard", "tablet", "mouse" };
  Context context;

  if (size == 0)
    return 0;
  context.router = input_router_new ();
  context.kind = kinds[data[0] % 3];
  fuzz_virtio (data + 1, size - 1, &virtio_input_device_ops, 2, prepare, event, &context);
  input_router_free (context.router);
  return 0;
}
