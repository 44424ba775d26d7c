/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/vga.h"
#include "display-harness.h"

static DisplayFixture *
set_up (void)
{
  return fixture_new ("vga");
}

static void
outb (DisplayFixture *f, guint16 port, guint8 value)
{
  harness_out (f->h, port, 1, value);
}

static guint8
inb (DisplayFixture *f, guint16 port)
{
  return (guint8)harness_in (f->h, port, 1);
}

static void
indexed (DisplayFixture *f, guint16 port, guint8 index, guint8 value)
{
  harness_out (f->h, port, 2, index | value << 8);
}

static void
attribute (DisplayFixture *f, guint8 index, guint8 value)
{
  (void)inb (f, 0x3da);
  outb (f, 0x3c0, index);
  outb (f, 0x3c0, value);
}

static void
vbe (DisplayFixture *f, guint16 index, guint16 value)
{
  harness_out (f->h, 0x1ce, 2, index);
  harness_out (f->h, 0x1cf, 2, value);
}

static guint16
vbe_get (DisplayFixture *f, guint16 index)
{
  harness_out (f->h, 0x1ce, 2, index);
  return (guint16)harness_in (f->h, 0x1cf, 2);
}

/* Register tables of the IBM BIOS' modes. */
typedef struct
{
  guint8 misc, sr[5], cr[25], ar[20], gr[9];
} ModeTable;

static const ModeTable mode3 = {
  0x67,
  { 0x03, 0x00, 0x03, 0x00, 0x02 },
  { 0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
    0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff },
  { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39,
    0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0x00, 0x0f, 0x08 },
  { 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff },
};
static const ModeTable mode13 = {
  0x63,
  { 0x03, 0x01, 0x0f, 0x00, 0x0e },
  { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff },
  { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
    0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x41, 0x00, 0x0f, 0x00 },
  { 0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff },
};
static const ModeTable mode12 = {
  0xe3,
  { 0x03, 0x01, 0x0f, 0x00, 0x06 },
  { 0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff },
  { 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39,
    0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x01, 0x00, 0x0f, 0x00 },
  { 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff },
};

/* Colour i of the DAC: recognizable, 6 bits. */
static guint32
dac_rgb (guint i)
{
  guint r = i & 0x3f, g = (i * 3) & 0x3f, b = (i * 7) & 0x3f;

  return (r << 2 | r >> 4) << 16 | (g << 2 | g >> 4) << 8 | (b << 2 | b >> 4);
}

static void
set_mode (DisplayFixture *f, const ModeTable *t)
{
  vbe (f, 4, 0);
  outb (f, 0x3c2, t->misc);
  for (guint i = 0; i < 5; i++)
    indexed (f, 0x3c4, i, t->sr[i]);
  indexed (f, 0x3d4, 0x11, t->cr[0x11] & 0x7f);
  for (guint i = 0; i < 25; i++)
    indexed (f, 0x3d4, i, t->cr[i]);
  for (guint i = 0; i < 9; i++)
    indexed (f, 0x3ce, i, t->gr[i]);
  for (guint i = 0; i < 20; i++)
    attribute (f, i, t->ar[i]);
  (void)inb (f, 0x3da);
  outb (f, 0x3c0, 0x20);
  outb (f, 0x3c6, 0xff);
  outb (f, 0x3c8, 0);
  for (guint i = 0; i < 256; i++)
    {
      outb (f, 0x3c9, i & 0x3f);
      outb (f, 0x3c9, (i * 3) & 0x3f);
      outb (f, 0x3c9, (i * 7) & 0x3f);
    }
}

/* What an attribute controller colour comes out as with a mode's palette. */
static guint32
rgb16 (const ModeTable *t, guint colour)
{
  return dac_rgb (t->ar[colour]);
}

static void
test_identity (void)
{
  DisplayFixture *f = set_up ();

  g_assert_cmphex (pci_bus_config_read (f->bus, 0, DISPLAY_FN, 0, 4), ==, 0x11111234);
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, DISPLAY_FN, 8, 4), ==, 0x03000002);
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, DISPLAY_FN, 0x2c, 4), ==, 0x11001af4);
  g_assert_cmphex (vbe_get (f, 0), ==, 0xb0c5);
  g_assert_cmphex (vbe_get (f, 10), ==, 256);
  g_assert_cmphex (vbe_get (f, 11), ==, 0);
  vbe (f, 0, 0xb0c2);
  g_assert_cmphex (vbe_get (f, 0), ==, 0xb0c2);
  vbe (f, 0, 0x1234);
  g_assert_cmphex (vbe_get (f, 0), ==, 0xb0c2);
  vbe (f, 4, 2); /* capabilities */
  g_assert_cmpuint (vbe_get (f, 1), ==, 16000);
  g_assert_cmpuint (vbe_get (f, 2), ==, 12000);
  g_assert_cmpuint (vbe_get (f, 3), ==, 32);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmphex (vbe_get (f, 0), ==, 0xb0c5);
  g_assert_cmpuint (vbe_get (f, 1), ==, 0);
  fixture_free (f);
}

static void
test_registers (void)
{
  DisplayFixture *f = set_up ();

  outb (f, 0x3c2, 0x01);
  /* CRTC at 3d4; the other pair is not there. */
  indexed (f, 0x3d4, 0x0e, 0x5a);
  outb (f, 0x3d4, 0x0e);
  g_assert_cmphex (inb (f, 0x3d5), ==, 0x5a);
  g_assert_cmphex (inb (f, 0x3b5), ==, 0xff);
  outb (f, 0x3c2, 0x00);
  outb (f, 0x3b4, 0x0e);
  g_assert_cmphex (inb (f, 0x3b5), ==, 0x5a);
  g_assert_cmphex (inb (f, 0x3d5), ==, 0xff);
  outb (f, 0x3c2, 0x01);
  g_assert_cmphex (inb (f, 0x3cc), ==, 0x01);
  /* Protection of 0..7, but for line compare. */
  indexed (f, 0x3d4, 7, 0x42);
  indexed (f, 0x3d4, 0x11, 0x80);
  indexed (f, 0x3d4, 0, 0x77);
  indexed (f, 0x3d4, 7, 0x10);
  outb (f, 0x3d4, 0);
  g_assert_cmphex (inb (f, 0x3d5), ==, 0);
  outb (f, 0x3d4, 7);
  g_assert_cmphex (inb (f, 0x3d5), ==, 0x52);
  outb (f, 0x3d4, 200);
  outb (f, 0x3d5, 1);
  g_assert_cmphex (inb (f, 0x3d5), ==, 0);
  /* Masks. */
  outb (f, 0x3c4, 0xff);
  outb (f, 0x3c4, 2);
  outb (f, 0x3c5, 0xff);
  g_assert_cmphex (inb (f, 0x3c5), ==, 0x0f);
  outb (f, 0x3ce, 5);
  outb (f, 0x3cf, 0xff);
  g_assert_cmphex (inb (f, 0x3cf), ==, 0x7b);
  /* The flip-flop. */
  attribute (f, 0x10, 0xff);
  (void)inb (f, 0x3da);
  outb (f, 0x3c0, 0x10);
  g_assert_cmphex (inb (f, 0x3c1), ==, 0xef);
  /* DAC: three accesses a colour, state tells the direction. */
  outb (f, 0x3c8, 7);
  outb (f, 0x3c9, 1);
  outb (f, 0x3c9, 2);
  outb (f, 0x3c9, 3);
  g_assert_cmphex (inb (f, 0x3c8), ==, 8);
  outb (f, 0x3c7, 7);
  g_assert_cmphex (inb (f, 0x3c7), ==, 3);
  g_assert_cmphex (inb (f, 0x3c9), ==, 1);
  g_assert_cmphex (inb (f, 0x3c9), ==, 2);
  g_assert_cmphex (inb (f, 0x3c9), ==, 3);
  /* Retrace is seen both ways at once. */
  g_assert_cmphex (inb (f, 0x3da) ^ inb (f, 0x3da), ==, 9);
  fixture_free (f);
}

/* Writes a glyph through plane 2, as a BIOS does. */
static void
load_glyph (DisplayFixture *f, guint8 character, const guint8 *rows, guint n)
{
  indexed (f, 0x3c4, 2, 0x04);
  indexed (f, 0x3c4, 4, 0x06);
  indexed (f, 0x3ce, 5, 0x00);
  indexed (f, 0x3ce, 6, 0x04);
  for (guint i = 0; i < n; i++)
    harness_mmio_write (f->h, 0xa0000 + character * 32 + i, 1, rows[i]);
  indexed (f, 0x3c4, 2, mode3.sr[2]);
  indexed (f, 0x3c4, 4, mode3.sr[4]);
  indexed (f, 0x3ce, 5, mode3.gr[5]);
  indexed (f, 0x3ce, 6, mode3.gr[6]);
}

static void
test_text (void)
{
  DisplayFixture *f = set_up ();
  guint8 glyph[16], line[16];
  guint32 white = rgb16 (&mode3, 7), black = rgb16 (&mode3, 0), blue = rgb16 (&mode3, 1);

  for (guint i = 0; i < 16; i++)
    {
      glyph[i] = (guint8)(0x81 + i * 2);
      line[i] = 0x01;
    }
  set_mode (f, &mode3);
  load_glyph (f, 'A', glyph, 16);
  load_glyph (f, 0xc4, line, 16);
  indexed (f, 0x3d4, 0x0a, 0x20); /* no cursor */
  harness_mmio_write (f->h, 0xb8000 + (80 + 3) * 2, 2, 0x1700 | 'A');
  harness_mmio_write (f->h, 0xb8000 + 5 * 2, 2, 0x07c4);
  g_assert_cmphex (harness_mmio_read (f->h, 0xb8000 + (80 + 3) * 2, 2), ==, 0x1741);
  fixture_expect_size (f, 720, 400);
  for (guint y = 0; y < 16; y++)
    {
      for (guint x = 0; x < 8; x++)
        g_assert_cmphex (fixture_pixel (f, 27 + x, 16 + y), ==,
                         glyph[y] >> (7 - x) & 1 ? white : blue);
      /* Letters have a blank ninth column, lines do not. */
      g_assert_cmphex (fixture_pixel (f, 27 + 8, 16 + y), ==, blue);
      g_assert_cmphex (fixture_pixel (f, 45 + 7, y), ==, white);
      g_assert_cmphex (fixture_pixel (f, 45 + 8, y), ==, white);
    }
  g_assert_cmphex (fixture_pixel (f, 719, 399), ==, black);

  /* Changing one cell damages that cell. */
  fixture_watch (f, TRUE);
  fixture_forget_damage (f);
  harness_mmio_write (f->h, 0xb8000 + (80 + 4) * 2, 2, 0x7000 | ' ');
  g_assert_cmphex (fixture_pixel (f, 36, 16), ==, white);
  g_assert_cmpuint (f->x0, ==, 36);
  g_assert_cmpuint (f->x1, ==, 45);
  g_assert_cmpuint (f->y0, ==, 16);
  g_assert_cmpuint (f->y1, ==, 32);

  /* Scrolling by the start address. */
  indexed (f, 0x3d4, 0x0d, 80);
  g_assert_cmphex (fixture_pixel (f, 36, 0), ==, white);
  fixture_free (f);
}

static void
test_cursor_and_blink (void)
{
  DisplayFixture *f = set_up ();
  guint8 full[16];
  guint32 white = rgb16 (&mode3, 7), black = rgb16 (&mode3, 0);
  guint seen[2] = { 0, 0 };

  memset (full, 0xff, sizeof full);
  set_mode (f, &mode3);
  load_glyph (f, 'X', full, 16);
  indexed (f, 0x3d4, 0x0f, 2);
  harness_mmio_write (f->h, 0xb8004, 2, 0x0720);
  harness_mmio_write (f->h, 0xb8008, 2, 0x8700 | 'X');
  for (guint i = 0; i < 20; i++)
    {
      gboolean on = fixture_pixel (f, 18, 14) == white;

      /* Cursor (lines 13 and 14, all nine dots) and blinking text change together. */
      g_assert_cmphex (fixture_pixel (f, 26, 13), ==, on ? white : black);
      g_assert_cmphex (fixture_pixel (f, 18, 12), ==, black);
      g_assert_cmphex (fixture_pixel (f, 18, 15), ==, black);
      g_assert_cmphex (fixture_pixel (f, 36, 3), ==, on ? white : black);
      seen[on]++;
      harness_advance (f->h, 60 * 1000000);
    }
  g_assert_cmpuint (seen[0], >, 3);
  g_assert_cmpuint (seen[1], >, 3);
  fixture_free (f);
}

static void
test_mode13 (void)
{
  DisplayFixture *f = set_up ();

  set_mode (f, &mode13);
  for (guint i = 0; i < 320 * 200; i += 101)
    harness_mmio_write (f->h, 0xa0000 + i, 1, (guint8)(i / 7));
  fixture_expect_size (f, 640, 400);
  for (guint i = 0; i < 320 * 200; i += 101 * 37)
    for (guint d = 0; d < 4; d++)
      g_assert_cmphex (fixture_pixel (f, i % 320 * 2 + (d & 1), i / 320 * 2 + d / 2), ==,
                       dac_rgb (i / 7 & 0xff));
  g_assert_cmphex (harness_mmio_read (f->h, 0xa0000 + 101, 1), ==, 14);
  /* The pixel mask, and the map mask. */
  harness_mmio_write (f->h, 0xa0000, 1, 0xff);
  outb (f, 0x3c6, 0x0f);
  g_assert_cmphex (fixture_pixel (f, 0, 0), ==, dac_rgb (15));
  indexed (f, 0x3c4, 2, 0x0e);
  harness_mmio_write (f->h, 0xa0000, 4, 0x04030201);
  g_assert_cmphex (harness_mmio_read (f->h, 0xa0000, 4), ==, 0x040302ff);
  fixture_free (f);
}

static void
test_planar (void)
{
  DisplayFixture *f = set_up ();

  set_mode (f, &mode12);
  fixture_expect_size (f, 640, 480);
  /* Write mode 2 with a bit mask. */
  indexed (f, 0x3ce, 5, 2);
  indexed (f, 0x3ce, 8, 0x90);
  (void)harness_mmio_read (f->h, 0xa0000 + 80 * 10 + 1, 1);
  harness_mmio_write (f->h, 0xa0000 + 80 * 10 + 1, 1, 11);
  for (guint x = 0; x < 8; x++)
    g_assert_cmphex (fixture_pixel (f, 8 + x, 10), ==, rgb16 (&mode12, x == 0 || x == 3 ? 11 : 0));
  /* Read mode 0 by plane; read mode 1 by colour. */
  indexed (f, 0x3ce, 4, 2);
  g_assert_cmphex (harness_mmio_read (f->h, 0xa0000 + 80 * 10 + 1, 1), ==, 0);
  indexed (f, 0x3ce, 4, 3);
  g_assert_cmphex (harness_mmio_read (f->h, 0xa0000 + 80 * 10 + 1, 1), ==, 0x90);
  indexed (f, 0x3ce, 5, 0x08);
  indexed (f, 0x3ce, 2, 11);
  g_assert_cmphex (harness_mmio_read (f->h, 0xa0000 + 80 * 10 + 1, 1), ==, 0x90);
  indexed (f, 0x3ce, 7, 0);
  g_assert_cmphex (harness_mmio_read (f->h, 0xa0000 + 80 * 10 + 1, 1), ==, 0xff);
  /* Write mode 1 copies the latches. */
  indexed (f, 0x3ce, 5, 1);
  harness_mmio_write (f->h, 0xa0000 + 80 * 20, 1, 0);
  g_assert_cmphex (fixture_pixel (f, 3, 20), ==, rgb16 (&mode12, 11));
  /* Write mode 0: set/reset in two planes, data rotated in the others, XOR with the latches. */
  indexed (f, 0x3ce, 5, 0);
  indexed (f, 0x3ce, 8, 0xff);
  indexed (f, 0x3ce, 0, 0x01);
  indexed (f, 0x3ce, 1, 0x03);
  indexed (f, 0x3ce, 3, 0x01);
  harness_mmio_write (f->h, 0xa0000 + 80 * 30, 1, 0x81);
  for (guint x = 0; x < 8; x++)
    g_assert_cmphex (fixture_pixel (f, x, 30), ==, rgb16 (&mode12, x < 2 ? 13 : 1));
  indexed (f, 0x3ce, 3, 0x18);
  (void)harness_mmio_read (f->h, 0xa0000 + 80 * 30, 1);
  harness_mmio_write (f->h, 0xa0000 + 80 * 30, 1, 0x00);
  for (guint x = 0; x < 8; x++)
    g_assert_cmphex (fixture_pixel (f, x, 30), ==, rgb16 (&mode12, x < 2 ? 12 : 0));
  /* Write mode 3: data is the mask, set/reset the colour. */
  indexed (f, 0x3ce, 3, 0);
  indexed (f, 0x3ce, 0, 5);
  indexed (f, 0x3ce, 5, 3);
  (void)harness_mmio_read (f->h, 0xa0000 + 80 * 40, 1);
  harness_mmio_write (f->h, 0xa0000 + 80 * 40, 1, 0x0f);
  for (guint x = 0; x < 8; x++)
    g_assert_cmphex (fixture_pixel (f, x, 40), ==, rgb16 (&mode12, x >= 4 ? 5 : 0));
  /* Line compare: the second part starts at address 0. */
  indexed (f, 0x3d4, 0x0c, 0x10);
  indexed (f, 0x3d4, 0x18, 99);
  indexed (f, 0x3d4, 0x07, mode12.cr[7] & ~0x10);
  indexed (f, 0x3d4, 0x09, mode12.cr[9] & ~0x40);
  g_assert_cmphex (fixture_pixel (f, 4, 100 + 40), ==, rgb16 (&mode12, 5));
  fixture_free (f);
}

static void
set_vbe (DisplayFixture *f, guint width, guint height, guint bpp, guint flags)
{
  vbe (f, 4, 0);
  vbe (f, 1, width);
  vbe (f, 2, height);
  vbe (f, 3, bpp);
  vbe (f, 4, 0x41 | flags);
  (void)inb (f, 0x3da);
  outb (f, 0x3c0, 0x20);
}

static void
test_vbe (void)
{
  static const struct
  {
    guint bpp, bytes;
    guint32 raw, rgb;
  } cases[] = {
    { 32, 4, 0xaa123456, 0x123456 }, { 24, 3, 0x123456, 0x123456 }, { 16, 2, 0xf81f, 0xff00ff },
    { 16, 2, 0x07e0, 0x00ff00 },     { 15, 2, 0x7c1f, 0xff00ff },   { 15, 2, 0x0010, 0x000084 },
  };
  DisplayFixture *f = set_up ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint64 at = DISPLAY_BAR0 + (guint64)(100 * 800 + 50) * cases[i].bytes;

      set_vbe (f, 800, 600, cases[i].bpp, 0);
      g_assert_cmpuint (vbe_get (f, 6), ==, 800);
      g_assert_cmpuint (vbe_get (f, 7), ==, MIN (VGA_VRAM_SIZE / 800 / cases[i].bytes, 65535));
      fixture_expect_size (f, 800, 600);
      g_assert_cmphex (fixture_pixel (f, 50, 100), ==, 0);
      harness_write (f->h, at, &cases[i].raw, cases[i].bytes);
      g_assert_cmphex (fixture_pixel (f, 50, 100), ==, cases[i].rgb);
      g_assert_cmphex (fixture_pixel (f, 51, 100), ==, 0);
      /* Panning. */
      vbe (f, 8, 40);
      vbe (f, 9, 90);
      g_assert_cmphex (fixture_pixel (f, 10, 10), ==, cases[i].rgb);
      vbe (f, 8, 0);
      vbe (f, 9, 0);
      /* Keeping the memory. */
      set_vbe (f, 800, 600, cases[i].bpp, 0x80);
      g_assert_cmphex (fixture_pixel (f, 50, 100), ==, cases[i].rgb);
    }
  /* 8 bits: palette of 6, then of 8 bits. */
  set_vbe (f, 640, 480, 8, 0);
  outb (f, 0x3c6, 0xff);
  outb (f, 0x3c8, 9);
  outb (f, 0x3c9, 0x3f);
  outb (f, 0x3c9, 0x20);
  outb (f, 0x3c9, 0x01);
  harness_write_le (f->h, DISPLAY_BAR0 + 640 * 3 + 5, 1, 9);
  g_assert_cmphex (fixture_pixel (f, 5, 3), ==, 0xff8204);
  vbe (f, 4, 0x61);
  g_assert_cmphex (fixture_pixel (f, 5, 3), ==, 0x3f2001);
  /* A wider virtual screen, and banks in the legacy window. */
  vbe (f, 6, 1024);
  vbe (f, 5, 1);
  harness_mmio_write (f->h, 0xa0000 + 10, 1, 9);
  g_assert_cmphex (fixture_pixel (f, 10, 64), ==, 0x3f2001);
  g_assert_cmphex (harness_mmio_read (f->h, 0xa0000 + 10, 1), ==, 9);
  /* 4 bits: planes. */
  set_vbe (f, 640, 480, 4, 0);
  harness_write_le (f->h, DISPLAY_BAR0 + (640 / 2) * 2, 4, 0x80808080);
  (void)fixture_pixel (f, 0, 2);
  fixture_expect_size (f, 640, 480);
  fixture_free (f);
}

static void
test_page (void)
{
  DisplayFixture *f = set_up ();
  guint8 sum = 0;
  guint32 width, height;

  /* The EDID: header, check sum, preferred mode. */
  g_assert_cmphex (harness_mmio_read (f->h, DISPLAY_BAR2, 4), ==, 0xffffff00);
  for (guint i = 0; i < 256; i++)
    {
      sum += (guint8)harness_mmio_read (f->h, DISPLAY_BAR2 + i, 1);
      if (i % 128 == 127)
        g_assert_cmphex (sum, ==, 0);
    }
  width = (guint32)(harness_mmio_read (f->h, DISPLAY_BAR2 + 56, 1) |
                    (harness_mmio_read (f->h, DISPLAY_BAR2 + 58, 1) >> 4) << 8);
  height = (guint32)(harness_mmio_read (f->h, DISPLAY_BAR2 + 59, 1) |
                     (harness_mmio_read (f->h, DISPLAY_BAR2 + 61, 1) >> 4) << 8);
  g_assert_cmpuint (width, ==, 1024);
  g_assert_cmpuint (height, ==, 768);
  display_scanout_request_resize (f->scanout, 1400, 900);
  g_assert_cmpuint (harness_mmio_read (f->h, DISPLAY_BAR2 + 56, 1), ==, 1400 & 0xff);

  /* A mode as bochs-drm and OVMF set it: no ports. */
  g_assert_cmphex (harness_mmio_read (f->h, DISPLAY_BAR2 + 0x500, 2), ==, 0xb0c5);
  harness_mmio_write (f->h, DISPLAY_BAR2 + 0x508, 2, 0);
  harness_mmio_write (f->h, DISPLAY_BAR2 + 0x502, 2, 1024);
  harness_mmio_write (f->h, DISPLAY_BAR2 + 0x504, 2, 768);
  harness_mmio_write (f->h, DISPLAY_BAR2 + 0x506, 2, 32);
  harness_mmio_write (f->h, DISPLAY_BAR2 + 0x508, 2, 0x41);
  (void)harness_mmio_read (f->h, DISPLAY_BAR2 + 0x41a, 1);
  harness_mmio_write (f->h, DISPLAY_BAR2 + 0x400, 1, 0x20);
  fixture_expect_size (f, 1024, 768);
  harness_write_le (f->h, DISPLAY_BAR0 + (1024 * 767 + 1023) * 4, 4, 0x00abcdef);
  g_assert_cmphex (fixture_pixel (f, 1023, 767), ==, 0xabcdef);
  g_assert_cmphex (harness_mmio_read (f->h, DISPLAY_BAR2 + 0x600, 4), ==, 8);
  g_assert_cmphex (harness_mmio_read (f->h, DISPLAY_BAR2 + 0x604, 4), ==, 0x1e1e1e1e);
  fixture_free (f);
}

static void
test_refresh (void)
{
  DisplayFixture *f = set_up ();

  set_vbe (f, 320, 200, 32, 0);
  harness_advance (f->h, VMM_NSEC_PER_SEC);
  /* Nobody looks: nothing was drawn. */
  fixture_watch (f, TRUE);
  g_assert_cmpuint (f->n_damages, ==, 0);
  harness_advance (f->h, VMM_NSEC_PER_SEC / 30);
  g_assert_cmpuint (f->width, ==, 320);
  fixture_forget_damage (f);
  harness_advance (f->h, VMM_NSEC_PER_SEC);
  g_assert_cmpuint (f->n_damages, ==, 0); /* nothing changed */
  harness_write_le (f->h, DISPLAY_BAR0 + (320 * 9 + 4) * 4, 4, 1);
  harness_write_le (f->h, DISPLAY_BAR0 + (320 * 150 + 200) * 4, 8, 0x0000000300000002);
  harness_advance (f->h, VMM_NSEC_PER_SEC / 10);
  g_assert_cmpuint (f->n_damages, ==, 2); /* far apart: two rectangles */
  g_assert_cmpuint (f->x0, ==, 4);
  g_assert_cmpuint (f->y0, ==, 9);
  g_assert_cmpuint (f->x1, ==, 202);
  g_assert_cmpuint (f->y1, ==, 151);
  /* Paused: no more. */
  vmm_machine_quiesce_devices (f->h->machine);
  fixture_forget_damage (f);
  harness_write_le (f->h, DISPLAY_BAR0, 4, 1);
  harness_advance (f->h, VMM_NSEC_PER_SEC);
  g_assert_cmpuint (f->n_damages, ==, 0);
  vmm_machine_resume_devices (f->h->machine);
  harness_advance (f->h, VMM_NSEC_PER_SEC / 10);
  g_assert_cmpuint (f->n_damages, ==, 1);
  fixture_free (f);
}

static void
test_blank_and_off (void)
{
  DisplayFixture *f = set_up ();

  fixture_expect_size (f, 640, 480); /* before any mode */
  set_vbe (f, 320, 200, 32, 0);
  harness_write_le (f->h, DISPLAY_BAR0, 4, 0x123456);
  g_assert_cmphex (fixture_pixel (f, 0, 0), ==, 0x123456);
  (void)inb (f, 0x3da);
  outb (f, 0x3c0, 0x00);
  fixture_expect_size (f, 320, 200);
  g_assert_cmphex (fixture_pixel (f, 0, 0), ==, 0);
  outb (f, 0x3c0, 0x00); /* data of attribute 0 */
  outb (f, 0x3c0, 0x20);
  g_assert_cmphex (fixture_pixel (f, 0, 0), ==, 0x123456);
  indexed (f, 0x3c4, 1, 0x20);
  g_assert_cmphex (fixture_pixel (f, 0, 0), ==, 0);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  fixture_place_bars (f);
  g_assert_cmphex (harness_read_le (f->h, DISPLAY_BAR0, 4), ==, 0);
  fixture_free (f);
}

static void
test_second_adapter (void)
{
  DisplayFixture *f = set_up ();
  DisplayScanout *scanout = display_scanout_new (1);
  VmmDevice *second = fixture_add_device (f, "vga", PCI_MAKE_DEVFN (2, 0), scanout);

  /* The first one keeps the legacy ports, the second one lives by its BARs. */
  vbe (f, 1, 800);
  pci_bus_config_write (f->bus, 0, PCI_MAKE_DEVFN (2, 0), 0x18, 4, 0xe8000000);
  pci_bus_config_write (f->bus, 0, PCI_MAKE_DEVFN (2, 0), 4, 2, 2);
  g_assert_cmpuint (harness_mmio_read (f->h, 0xe8000502, 2), ==, 0);
  g_assert_cmpuint (harness_mmio_read (f->h, DISPLAY_BAR2 + 0x502, 2), ==, 800);
  vmm_device_unrealize (second);
  vmm_device_free (second);
  display_scanout_free (scanout);
  vbe (f, 1, 640);
  g_assert_cmpuint (vbe_get (f, 1), ==, 640);
  fixture_free (f);
}

static void
test_rom (void)
{
  DisplayFixture *f = set_up ();
  g_autoptr (GBytes) rom = vga_find_rom ("vgabios-stdvga.bin");
  const guint8 *data;
  gsize length;

  g_assert_null (vga_find_rom ("no-such-rom.bin"));
  if (rom == NULL)
    {
      g_test_skip ("the host has no VGA BIOS (package seabios)");
      fixture_free (f);
      return;
    }
  data = g_bytes_get_data (rom, &length);
  for (gsize i = 0; i < length; i += 97)
    g_assert_cmphex (harness_read_le (f->h, DISPLAY_ROM + i, 1), ==, data[i]);
  fixture_config (f, 0x30, 4, (guint32)DISPLAY_ROM);
  g_assert_cmphex (harness_mmio_read (f->h, DISPLAY_ROM, 1), ==, 0xff);
  fixture_free (f);
}

static void
test_save (void)
{
  DisplayFixture *f = set_up (), *other = set_up ();

  set_mode (f, &mode12);
  indexed (f, 0x3ce, 5, 2);
  harness_mmio_write (f->h, 0xa0000 + 80 * 7, 1, 9);
  (void)harness_mmio_read (f->h, 0xa0000 + 80 * 7, 1);
  outb (f, 0x3c8, 3);
  outb (f, 0x3c9, 3);
  vbe (f, 1, 512);
  harness_check_save_load (f->h);
  harness_check_save_load_into (f->h, other->h);
  g_assert_cmphex (fixture_pixel (other, 0, 7), ==, fixture_pixel (f, 0, 7));
  g_assert_cmphex (fixture_pixel (other, 0, 7), !=, fixture_pixel (other, 0, 8));
  fixture_free (f);
  fixture_free (other);
}

static void
test_storm_load (void)
{
  DisplayFixture *f = set_up ();
  g_autoptr (GBytes) state = NULL;

  set_mode (f, &mode3);
  state = harness_save (f->h);
  harness_storm_load (f->h, state, 1, 400);
  fixture_place_bars (f);
  outb (f, 0x3c0, 0x20);
  display_surface_unref (display_scanout_dup_surface (f->scanout));
  fixture_free (f);
}

/* Every register, every value, with the picture drawn in between. */
static void
test_hostile (void)
{
  DisplayFixture *f = set_up ();
  GRand *rand = g_rand_new_with_seed (7);

  fixture_watch (f, TRUE);
  for (guint round = 0; round < 300; round++)
    {
      for (guint i = 0; i < 60; i++)
        {
          guint32 v = g_rand_int (rand);

          switch (v >> 28 & 7)
            {
            case 0:
              harness_out (f->h, 0x3b0 + (v & 0x2f), 1u << (v >> 8 & 1), v >> 16);
              break;
            case 1:
              vbe (f, v & 15, v >> 12);
              break;
            case 2:
              harness_mmio_write (f->h, 0xa0000 + (v & 0x1fff8), 1u << (v >> 20 & 3),
                                  ((guint64)v << 32) | v);
              (void)harness_mmio_read (f->h, 0xa0000 + (v >> 3 & 0x1fff8), 1u << (v >> 22 & 3));
              break;
            case 3:
              harness_mmio_write (f->h, DISPLAY_BAR2 + (v & 0xffc), 4, v);
              (void)harness_mmio_read (f->h, DISPLAY_BAR2 + (v & 0xff8), 8);
              break;
            case 4:
              indexed (f, v & 1 ? 0x3d4 : 0x3ce, v >> 4 & 31, v >> 16 & 0xff);
              break;
            case 5:
              (void)harness_in (f->h, 0x3b0 + (v & 0x2f), 2);
              break;
            case 6:
              vbe (f, 1 + (v & 1), g_rand_int_range (rand, 0, 2000));
              break;
            default:
              (void)inb (f, 0x3da);
              outb (f, 0x3c0, 0x20);
              break;
            }
        }
      indexed (f, 0x3c4, 1, round & 9);
      display_surface_unref (display_scanout_dup_surface (f->scanout));
      /* Geometries of this many lines take long to draw; keep them to what a screen has. */
      if (f->height > 3000)
        vbe (f, 2, 600);
      if (round % 50 == 49)
        {
          vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
          fixture_place_bars (f);
        }
    }
  g_rand_free (rand);
  fixture_free (f);
}

/* The largest numbers there are: never more picture than video memory. */
static void
test_extremes (void)
{
  DisplayFixture *f = set_up ();

  set_vbe (f, 16000, 12000, 32, 0x80);
  fixture_expect_size (f, 16000, VGA_VRAM_SIZE / 64000);
  vbe (f, 9, 0xffff);
  vbe (f, 8, 0xffff);
  g_assert_cmphex (fixture_pixel (f, 0, 0), ==, 0);
  set_vbe (f, 0, 600, 32, 0x80);
  display_surface_unref (display_scanout_dup_surface (f->scanout));
  set_vbe (f, 800, 0, 32, 0x80);
  display_surface_unref (display_scanout_dup_surface (f->scanout));
  set_vbe (f, 8, 1, 32, 0x80);
  fixture_expect_size (f, 8, 1);
  vbe (f, 6, 65535); /* a line longer than a row of 64 KiB */
  fixture_expect_size (f, 8, 1);
  fixture_free (f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/display/vga/identity", test_identity);
  g_test_add_func ("/display/vga/registers", test_registers);
  g_test_add_func ("/display/vga/text", test_text);
  g_test_add_func ("/display/vga/cursor-and-blink", test_cursor_and_blink);
  g_test_add_func ("/display/vga/mode13", test_mode13);
  g_test_add_func ("/display/vga/planar", test_planar);
  g_test_add_func ("/display/vga/vbe", test_vbe);
  g_test_add_func ("/display/vga/page", test_page);
  g_test_add_func ("/display/vga/refresh", test_refresh);
  g_test_add_func ("/display/vga/blank-and-off", test_blank_and_off);
  g_test_add_func ("/display/vga/second-adapter", test_second_adapter);
  g_test_add_func ("/display/vga/rom", test_rom);
  g_test_add_func ("/display/vga/save", test_save);
  g_test_add_func ("/display/vga/storm-load", test_storm_load);
  g_test_add_func ("/display/vga/extremes", test_extremes);
  g_test_add_func ("/display/vga/hostile", test_hostile);
  return g_test_run ();
}
