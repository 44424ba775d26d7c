/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "virtio.h"

typedef struct
{
  const guint8 *data;
  gsize left;
} Input;

static guint64
take (Input *input, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n && input->left > 0; i++, input->left--)
    value |= (guint64)*input->data++ << (8 * i);
  return value;
}

static void
put_desc (VirtioDriver *d, Input *input)
{
  HarnessRing *ring = &d->rings[take (input, 1) % VIRTIO_DRIVER_MAX];
  guint index = take (input, 1) % VIRTIO_DRIVER_QUEUE;
  guint place = take (input, 1);
  guint64 gpa = place < 240 ? d->arena + place * 64 : take (input, 8);
  guint32 length = take (input, 2);

  if (place % 16 == 15)
    length = take (input, 4);
  if (ring->h != NULL)
    harness_ring_set_desc (ring, index, gpa, length, take (input, 1) & 7,
                           take (input, 1) % (VIRTIO_DRIVER_QUEUE + 1));
}

static void
put_indirect (VirtioDriver *d, Input *input)
{
  guint64 table = d->arena + (take (input, 1) % 8) * 256;
  guint n = take (input, 1) % 16;

  for (guint i = 0; i < n; i++)
    harness_write_desc (d->h, table, i, d->arena + take (input, 1) * 64, take (input, 2),
                        take (input, 1) & 3, i + 1);
}

static void
put_data (VirtioDriver *d, Input *input)
{
  guint64 at = d->arena + take (input, 1) * 64;
  guint n = take (input, 1) % 64;

  for (guint i = 0; i < n && input->left > 0; i++)
    harness_write_le (d->h, at + i, 1, take (input, 1));
}

static void
offer (VirtioDriver *d, Input *input)
{
  guint queue = take (input, 1) % VIRTIO_DRIVER_MAX;
  HarnessRing *ring = &d->rings[queue];
  guint n = take (input, 1) % 8;

  if (ring->h == NULL)
    return;
  for (guint i = 0; i < n; i++)
    harness_ring_put_avail (ring, take (input, 1) % (VIRTIO_DRIVER_QUEUE + 1));
  harness_ring_publish (ring);
  harness_out (d->h, d->notify_pio + queue * d->notify_step, 2, queue);
}

static void
access_register (VirtioDriver *d, Input *input, gboolean write)
{
  static const guint8 sizes[] = { 1, 2, 4, 8 };
  guint where = take (input, 1);
  guint64 offset = (where & 3) * 0x1000 + take (input, 1);
  guint size = sizes[(where >> 2) & 3];

  if (write)
    harness_mmio_write (d->h, d->common + offset, size, take (input, size));
  else
    (void)harness_mmio_read (d->h, d->common + offset, size);
}

/* A driver that comes back, with the features the bytes choose. */
static void
restart (VirtioDriver *d, Input *input, guint n_queues)
{
  virtio_driver_set_bars (d);
  if (virtio_driver_negotiate (d, virtio_driver_get_features (d) & ~take (input, 4)))
    {
      for (guint i = 0; i < n_queues; i++)
        virtio_driver_set_up_queue (d, i, VIRTIO_DRIVER_QUEUE);
      virtio_driver_write (d, 0x14, 1, 0xf);
    }
}

void
fuzz_virtio (const guint8 *data,
             gsize size,
             const VmmDeviceOps *ops,
             guint n_queues,
             void (*prepare) (VmmDevice *device, gpointer user_data),
             void (*event) (guint8 byte, gpointer user_data),
             gpointer user_data)
{
  Input input = { data, MIN (size, 4096) };
  VirtioDriver d;
  VmmDevice *device;

  virtio_driver_init (&d);
  device = virtio_driver_new_device (&d, ops);
  prepare (device, user_data);
  virtio_driver_probe (&d, device);
  virtio_driver_start (&d, ~take (&input, 4), n_queues);
  while (input.left > 0)
    switch (take (&input, 1) % 12)
      {
      case 0:
      case 1:
        put_desc (&d, &input);
        break;
      case 2:
        put_indirect (&d, &input);
        break;
      case 3:
      case 4:
        put_data (&d, &input);
        break;
      case 5:
      case 6:
        offer (&d, &input);
        harness_run (d.h);
        break;
      case 7:
        access_register (&d, &input, TRUE);
        break;
      case 8:
        access_register (&d, &input, FALSE);
        break;
      case 9:
        restart (&d, &input, n_queues);
        break;
      case 10:
        if (event != NULL)
          event (take (&input, 1), user_data);
        harness_run (d.h);
        break;
      case 11:
        if (take (&input, 1) % 4 == 0)
          {
            g_autoptr (GBytes) state = harness_save (d.h);

            (void)harness_load (d.h, state, NULL);
          }
        else
          harness_advance (d.h, take (&input, 2) * 1000000);
        break;
      default:
        break;
      }
  harness_run (d.h);
  virtio_driver_finish (&d);
}
