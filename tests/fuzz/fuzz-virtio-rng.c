/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/rng.h"

#include "fuzz.h"
#include "virtio.h"

static void
prepare (VmmDevice *device, gpointer user_data)
{
  g_assert_true (vmm_device_set_uint (device, "max-bytes", 1000, NULL));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  fuzz_virtio (data, size, &virtio_rng_device_ops, 1, prepare, NULL, NULL);
  return 0;
}
