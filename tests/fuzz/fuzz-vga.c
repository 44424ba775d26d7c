/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The vga device: a row of accesses (operation, place, value), the picture drawn in between. */
#include "tests/fuzz/fuzz-display.h"

/* Pictures this large only cost time. */
#define MAX_PIXELS (2048 * 2048)

static void
access_one (DisplayFixture *f, FuzzInput *in)
{
  guint op = (guint)fuzz_take (in, 1);
  guint16 place = (guint16)fuzz_take (in, 2);
  guint32 value = (guint32)fuzz_take (in, 4);
  guint size = 1u << (op >> 4 & 3);

  switch (op & 15)
    {
    case 0:
      harness_out (f->h, (guint16)(0x3b0 + place % 0x30), MIN (size, 4), value);
      break;
    case 1:
      (void)harness_in (f->h, (guint16)(0x3b0 + place % 0x30), MIN (size, 4));
      break;
    case 2:
      harness_out (f->h, 0x1ce, 2, place & 15);
      harness_out (f->h, 0x1cf, 2, value & 0xffff);
      break;
    case 3:
      harness_out (f->h, (guint16)(0x1ce + place % 4), MIN (size, 4), value);
      (void)harness_in (f->h, (guint16)(0x1ce + place % 4), MIN (size, 4));
      break;
    case 4:
      harness_mmio_write (f->h, 0xa0000 + (guint64)place * 2, size,
                          value * G_GUINT64_CONSTANT (0x100000001));
      break;
    case 5:
      (void)harness_mmio_read (f->h, 0xa0000 + (guint64)place * 2, size);
      break;
    case 6:
      harness_mmio_write (f->h, DISPLAY_BAR2 + place % 4096, size, value);
      break;
    case 7:
      (void)harness_mmio_read (f->h, DISPLAY_BAR2 + place % 4096, size);
      break;
    case 8:
      harness_write_le (f->h, DISPLAY_BAR0 + (guint64)place * 256, 4, value);
      break;
    case 9:
      harness_advance (f->h, (gint64)place * 1000000);
      break;
    case 10:
      fixture_watch (f, place & 1);
      break;
    case 11:
      vmm_machine_reset_devices (f->h->machine, place & 1 ? VMM_RESET_WARM : VMM_RESET_COLD);
      fixture_place_bars (f);
      break;
    case 12:
      fixture_config (f, place % 256 & ~3u, 4, value);
      fixture_place_bars (f);
      break;
    case 13:
      display_scanout_request_resize (f->scanout, place, value & 0xffff);
      break;
    case 14: /* the index and data pairs, and show */
      harness_out (f->h, place & 1 ? 0x3d4 : 0x3c4, 2, value & 0xffff);
      harness_out (f->h, 0x3ce, 2, value >> 16);
      break;
    default:
      (void)harness_in (f->h, 0x3da, 1);
      harness_out (f->h, 0x3c0, 1, 0x20);
      display_surface_unref (display_scanout_dup_surface (f->scanout));
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzInput in = { data, MIN (size, 4096) };
  DisplayFixture *f = fixture_new ("vga");

  while (in.left > 0)
    {
      access_one (f, &in);
      if ((guint64)f->width * f->height > MAX_PIXELS)
        break;
    }
  fixture_free (f);
  return 0;
}
