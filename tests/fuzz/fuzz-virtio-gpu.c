/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The virtio GPU's two queues: a row of commands. Each is a control byte (queue, length, room for
 * the answer), then words, one byte each: small numbers mostly, so that ids meet. */
#include "tests/fuzz/fuzz-display.h"
#include "tests/unit/harness/harness-ring.h"

#define COMMON (DISPLAY_BAR2 + 0x1000)
#define NOTIFY (DISPLAY_BAR2 + 0x3000)

typedef struct
{
  DisplayFixture *f;
  HarnessRing rings[2];
  guint64 memory;
} Gpu;

static void
start (Gpu *g)
{
  HarnessMachine *h = g->f->h;

  harness_mmio_write (h, COMMON + 0x14, 1, 0);
  harness_mmio_write (h, COMMON + 0x14, 1, 3);
  harness_mmio_write (h, COMMON + 0x08, 4, 0);
  harness_mmio_write (h, COMMON + 0x0c, 4, 2);
  harness_mmio_write (h, COMMON + 0x08, 4, 1);
  harness_mmio_write (h, COMMON + 0x0c, 4, 1);
  harness_mmio_write (h, COMMON + 0x14, 1, 11);
  for (guint i = 0; i < 2; i++)
    {
      harness_ring_reset (&g->rings[i]);
      harness_mmio_write (h, COMMON + 0x16, 2, i);
      harness_mmio_write (h, COMMON + 0x18, 2, g->rings[i].num);
      harness_mmio_write (h, COMMON + 0x20, 4, g->rings[i].desc);
      harness_mmio_write (h, COMMON + 0x28, 4, g->rings[i].avail);
      harness_mmio_write (h, COMMON + 0x30, 4, g->rings[i].used);
      harness_mmio_write (h, COMMON + 0x1c, 2, 1);
    }
  harness_mmio_write (h, COMMON + 0x14, 1, 15);
  harness_run (h);
}

/* A byte says more than its value: the edges of 32 bits, guest addresses, sizes. */
static guint32
take_word (Gpu *g, FuzzInput *in)
{
  guint byte = (guint)fuzz_take (in, 1);

  switch (byte >> 5)
    {
    case 4:
      return (byte & 31) * 16;
    case 5:
      return 0u - (byte & 31);
    case 6:
      return (guint32)g->memory + (byte & 31) * 1024;
    case 7:
      return (guint32)fuzz_take (in, 4);
    default:
      return byte;
    }
}

static void
command (Gpu *g, FuzzInput *in)
{
  guint control = (guint)fuzz_take (in, 1), queue = control & 1, n = control >> 1 & 31;
  guint32 room = (control & 64) ? 4096 : (control & 128) ? 24 : 0;
  HarnessSegment segments[2] = { { g->memory, 24 + n * 4, FALSE },
                                 { g->memory + 4096, room, TRUE } };
  HarnessUsed used;

  harness_write_le (g->f->h, g->memory, 8,
                    (queue ? 0x300u : 0x100u) + (guint)fuzz_take (in, 1) % 13);
  for (guint i = 0; i < n; i++)
    harness_write_le (g->f->h, g->memory + 24 + i * 4, 4, take_word (g, in));
  harness_ring_send (&g->rings[queue], segments, room > 0 ? 2 : 1);
  harness_mmio_write (g->f->h, NOTIFY + queue * 4, 2, queue);
  harness_run (g->f->h);
  while (harness_ring_take_used (&g->rings[queue], &used))
    continue;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzInput in = { data, MIN (size, 4096) };
  Gpu g = { .f = fixture_new ("virtio-vga") };

  for (guint i = 0; i < 2; i++)
    harness_ring_init (&g.rings[i], g.f->h, 16);
  g.memory = harness_alloc (g.f->h, 0x10000, 4096);
  start (&g);
  fixture_watch (g.f, TRUE);
  for (guint i = 0; in.left > 0; i++)
    {
      command (&g, &in);
      if (i % 64 == 63)
        display_surface_unref (display_scanout_dup_surface (g.f->scanout));
      if (i % 256 == 255)
        start (&g);
    }
  /* Whatever the driver made can be saved and comes back the same. */
  harness_check_save_load (g.f->h);
  fixture_free (g.f);
  return 0;
}
