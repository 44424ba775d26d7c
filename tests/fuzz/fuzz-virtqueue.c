/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The virtqueue alone: the bytes are the rings and the tables. */
#include "devices/virtio/virtqueue.h"

#include <string.h>

#include "fuzz.h"
#include "tests/unit/harness/harness-ring.h"

#define NUM   16
#define ARENA 0x4000

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  HarnessMachine *h;
  HarnessRing ring;
  Virtqueue *vq;
  VirtqueueChain *chain, *held[NUM];
  guint n_held = 0;
  guint64 arena;
  guint8 buffer[512];

  if (size < 4)
    return 0;
  size = MIN (size, ARENA + 4096);
  h = harness_new (0x40000);
  harness_ring_init (&ring, h, NUM);
  arena = harness_alloc (h, ARENA, 4096);
  vq = virtqueue_new (vmm_machine_get_memory (h->machine), NUM);
  g_assert_true (
      virtqueue_enable (vq, NUM, ring.desc, ring.avail, ring.used, data[0] & 1, data[0] & 2));
  harness_write (h, ring.desc, data + 4, MIN (size - 4, 16 * NUM));
  if (size > 4 + 16 * NUM)
    harness_write (h, arena, data + 4 + 16 * NUM, MIN (size - 4 - 16 * NUM, ARENA));
  for (guint i = 0; i < NUM; i++)
    harness_ring_put_avail (&ring, data[i % size] % (NUM + 1));
  harness_ring_publish (&ring);
  if (data[1] & 0x80)
    harness_ring_set_avail_idx (&ring, data[1] | data[2] << 8);

  for (guint i = 0; i < 2 * NUM && virtqueue_pop (vq, &chain) == VIRTQUEUE_READY; i++)
    {
      const struct iovec *iov;
      guint32 readable = virtqueue_chain_readable_left (chain);
      guint32 writable = virtqueue_chain_writable_left (chain);

      switch (data[3] % 5)
        {
        case 0:
          g_assert_cmpuint (virtqueue_chain_read (chain, buffer, sizeof buffer), ==,
                            MIN (readable, sizeof buffer));
          g_assert_cmpuint (virtqueue_chain_write (chain, buffer, sizeof buffer), ==,
                            MIN (writable, sizeof buffer));
          break;
        case 1:
          (void)virtqueue_chain_pin (chain, TRUE, writable, &iov);
          (void)virtqueue_chain_pin (chain, FALSE, readable, &iov);
          break;
        case 2:
          virtqueue_chain_skip_readable (chain, readable / 2);
          virtqueue_chain_skip_writable (chain, writable / 3);
          (void)virtqueue_chain_pin (chain, TRUE, virtqueue_chain_writable_left (chain), &iov);
          break;
        default:
          break;
        }
      if (n_held < NUM && data[3] % 5 == 3)
        held[n_held++] = chain;
      else if (data[3] % 5 == 4 && i == 3)
        virtqueue_unpop (vq, chain);
      else
        virtqueue_push (vq, chain, writable);
      if (i % 4 == 0 && virtqueue_enable_kicks (vq))
        virtqueue_disable_kicks (vq);
      (void)virtqueue_should_notify (vq);
    }
  while (n_held > 0)
    virtqueue_push (vq, held[--n_held], 0);
  virtqueue_free (vq);
  harness_free (h);
  return 0;
}
