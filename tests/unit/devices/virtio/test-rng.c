/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/rng.h"

#include <string.h>

#include "virtio-driver.h"

#define ALL (~G_GUINT64_CONSTANT (0))

static void
set_up (VirtioDriver *d, gconstpointer data)
{
  VmmDevice *device;

  virtio_driver_init (d);
  device = virtio_driver_new_device (d, &virtio_rng_device_ops);
  if (data != NULL)
    g_assert_true (vmm_device_set_uint (device, "max-bytes", GPOINTER_TO_UINT (data), NULL));
  virtio_driver_probe (d, device);
}

static void
tear_down (VirtioDriver *d, gconstpointer data)
{
  virtio_driver_finish (d);
}

static guint32
ask (VirtioDriver *d, guint32 length, gboolean writable)
{
  HarnessSegment segment = { d->arena, length, writable };
  HarnessUsed used;

  harness_ring_send (&d->rings[0], &segment, 1);
  virtio_driver_kick (d, 0);
  if (!harness_ring_take_used (&d->rings[0], &used))
    return G_MAXUINT32;
  return used.length;
}

static void
test_bytes (VirtioDriver *d, gconstpointer data)
{
  guint8 a[64] = { 0 }, b[64] = { 0 }, zero[64] = { 0 };

  g_assert_cmpuint (d->config, ==, 0); /* no device configuration */
  virtio_driver_start (d, ALL, 1);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, 64);
  harness_read (d->h, d->arena, a, 64);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, 64);
  harness_read (d->h, d->arena, b, 64);
  g_assert_true (memcmp (a, b, 64) != 0);
  g_assert_true (memcmp (a, zero, 64) != 0);
  /* Bounded, and only into what may be written. */
  g_assert_cmpuint (ask (d, 0x8000, TRUE), ==, 4096);
  g_assert_cmpuint (ask (d, 64, FALSE), ==, 0);
}

static void
test_throttle (VirtioDriver *d, gconstpointer data)
{
  HarnessUsed used;

  virtio_driver_start (d, ALL, 1);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, 64);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, 36);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, G_MAXUINT32);
  harness_check_save_load (d->h);
  harness_run (d->h);
  g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 0);
  harness_advance (d->h, VMM_NSEC_PER_SEC - 1000000);
  g_assert_cmpuint (harness_ring_get_n_used (&d->rings[0]), ==, 0);
  harness_advance (d->h, 1000000);
  g_assert_true (harness_ring_take_used (&d->rings[0], &used));
  g_assert_cmpuint (used.length, ==, 64);
  /* A reset while a request waits. */
  g_assert_cmpuint (ask (d, 36, TRUE), ==, 36);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, G_MAXUINT32);
  virtio_driver_write (d, 0x14, 1, 0);
  harness_advance (d->h, 2 * VMM_NSEC_PER_SEC);
  virtio_driver_start (d, ALL, 1);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, 64);
}

static void
test_hostile (VirtioDriver *d, gconstpointer data)
{
  g_autoptr (GBytes) state = NULL;

  virtio_driver_start (d, ALL, 1);
  harness_ring_put_avail (&d->rings[0], 0x777);
  harness_ring_publish (&d->rings[0]);
  virtio_driver_kick (d, 0);
  g_assert_cmphex (virtio_driver_get_status (d), ==, 0x4f);
  virtio_driver_storm (d, 5, 10000);
  virtio_driver_start (d, ALL, 1);
  g_assert_cmpuint (ask (d, 64, TRUE), ==, 64);
  state = harness_save (d->h);
  harness_storm_load (d->h, state, 3, 400);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data)                                                                      \
  g_test_add ("/virtio/rng/" name, VirtioDriver, data, set_up, func, tear_down)
  ADD ("bytes", test_bytes, NULL);
  ADD ("throttle", test_throttle, GUINT_TO_POINTER (100));
  ADD ("hostile", test_hostile, NULL);
  return g_test_run ();
}
