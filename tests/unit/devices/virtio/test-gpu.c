/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/devices/display/display-harness.h"
#include "tests/unit/harness/harness-ring.h"

#define COMMON (DISPLAY_BAR2 + 0x1000)
#define ISR    (DISPLAY_BAR2 + 0x1800)
#define CONFIG (DISPLAY_BAR2 + 0x2000)
#define NOTIFY (DISPLAY_BAR2 + 0x3000)

enum
{
  GET_DISPLAY_INFO = 0x0100,
  CREATE_2D,
  UNREF,
  SET_SCANOUT,
  FLUSH,
  TRANSFER,
  ATTACH,
  DETACH,
  GET_CAPSET_INFO,
  GET_CAPSET,
  GET_EDID,
  UPDATE_CURSOR = 0x0300,
  MOVE_CURSOR,
  OK_NODATA = 0x1100,
  OK_DISPLAY_INFO,
  OK_EDID = 0x1104,
  ERR_UNSPEC = 0x1200,
  ERR_OUT_OF_MEMORY,
  ERR_INVALID_SCANOUT_ID,
  ERR_INVALID_RESOURCE_ID,
  ERR_INVALID_CONTEXT_ID,
  ERR_INVALID_PARAMETER,
};

typedef struct
{
  DisplayFixture *f;
  HarnessRing rings[2];
  guint64 request, response; /* a page each */
  guint64 pixels;            /* 64 KiB */
} Gpu;

static guint64
common (Gpu *g, guint offset, guint size)
{
  return harness_mmio_read (g->f->h, COMMON + offset, size);
}

static void
set_common (Gpu *g, guint offset, guint size, guint64 value)
{
  harness_mmio_write (g->f->h, COMMON + offset, size, value);
}

static void
start (Gpu *g, guint64 features)
{
  set_common (g, 0x14, 1, 0);
  set_common (g, 0x14, 1, 3);
  set_common (g, 0x08, 4, 0);
  set_common (g, 0x0c, 4, (guint32)features);
  set_common (g, 0x08, 4, 1);
  set_common (g, 0x0c, 4, 1); /* VERSION_1 */
  set_common (g, 0x14, 1, 11);
  g_assert_cmphex (common (g, 0x14, 1), ==, 11);
  for (guint i = 0; i < 2; i++)
    {
      harness_ring_reset (&g->rings[i]);
      set_common (g, 0x16, 2, i);
      set_common (g, 0x18, 2, g->rings[i].num);
      set_common (g, 0x20, 4, g->rings[i].desc);
      set_common (g, 0x24, 4, 0);
      set_common (g, 0x28, 4, g->rings[i].avail);
      set_common (g, 0x2c, 4, 0);
      set_common (g, 0x30, 4, g->rings[i].used);
      set_common (g, 0x34, 4, 0);
      set_common (g, 0x1c, 2, 1);
    }
  set_common (g, 0x14, 1, 15);
  harness_run (g->f->h);
  g_assert_cmphex (common (g, 0x14, 1), ==, 15);
}

static void
set_up (Gpu *g)
{
  g->f = fixture_new ("virtio-vga");
  for (guint i = 0; i < 2; i++)
    harness_ring_init (&g->rings[i], g->f->h, 16);
  g->request = harness_alloc (g->f->h, 4096, 4096);
  g->response = harness_alloc (g->f->h, 4096, 4096);
  g->pixels = harness_alloc (g->f->h, 0x10000, 4096);
  start (g, 2);
}

static void
tear_down (Gpu *g)
{
  fixture_free (g->f);
}

/* Sends length bytes of a request (header included) with room for an answer; its used length. */
static guint32
send (Gpu *g, guint queue, const guint32 *words, guint length, guint room)
{
  HarnessSegment segments[2] = { { g->request, length, FALSE }, { g->response, room, TRUE } };
  HarnessUsed used = { 0 };

  for (guint i = 0; i < 16; i++)
    harness_write_le (g->f->h, g->response + i * 4, 4, 0xdeadbeef);
  harness_write (g->f->h, g->request, words, length);
  harness_ring_send (&g->rings[queue], segments, room > 0 ? 2 : 1);
  harness_mmio_write (g->f->h, NOTIFY + queue * 4, 2, queue);
  harness_run (g->f->h);
  g_assert_true (harness_ring_take_used (&g->rings[queue], &used));
  return used.length;
}

static guint32
answer (Gpu *g, guint word)
{
  return (guint32)harness_read_le (g->f->h, g->response + word * 4, 4);
}

/* A command of n words after its header; returns the response's type. */
static guint32
command_words (Gpu *g, guint32 type, const guint32 *body, guint n)
{
  guint32 words[64] = { type };

  memcpy (words + 6, body, n * 4);
  send (g, 0, words, 24 + n * 4, 4096);
  return answer (g, 0);
}
#define COMMAND(g, type, ...)                                                                      \
  command_words (g, type, (const guint32[]){ __VA_ARGS__ },                                        \
                 sizeof ((const guint32[]){ __VA_ARGS__ }) / 4)

static void
cursor_words (Gpu *g, guint32 type, const guint32 *body)
{
  guint32 words[14] = { type };

  memcpy (words + 6, body, 32);
  g_assert_cmpuint (send (g, 1, words, 56, 0), ==, 0);
}
#define CURSOR(g, type, ...) cursor_words (g, type, (const guint32[8]){ __VA_ARGS__ })

static void
test_layout (void)
{
  Gpu g;
  guint cap, seen = 0;

  set_up (&g);
  g_assert_cmphex (pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, 0, 4), ==, 0x10501af4);
  g_assert_cmphex (pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, 8, 4), ==, 0x03000001);
  /* The structures are where they say they are, behind the VGA's page in BAR 2. */
  for (cap = pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, 0x34, 1); cap != 0;
       cap = pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, cap + 1, 1))
    {
      static const guint32 offsets[] = { 0, 0x1000, 0x3000, 0x1800, 0x2000 };
      guint type = pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, cap + 3, 1);

      if (pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, cap, 1) != 9 || type > 4)
        continue;
      seen |= 1u << type;
      g_assert_cmpuint (pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, cap + 4, 1), ==, 2);
      g_assert_cmphex (pci_bus_config_read (g.f->bus, 0, DISPLAY_FN, cap + 8, 4), ==,
                       offsets[type]);
    }
  g_assert_cmphex (seen, ==, 0x1e);
  g_assert_cmphex (harness_mmio_read (g.f->h, DISPLAY_BAR2 + 0x500, 2), ==, 0xb0c5);
  g_assert_cmphex (harness_mmio_read (g.f->h, DISPLAY_BAR2, 4), ==, 0xffffff00);
  g_assert_cmpuint (common (&g, 0x12, 2), ==, 2);
  g_assert_cmpuint (harness_mmio_read (g.f->h, CONFIG + 8, 4), ==, 1);
  g_assert_cmpuint (harness_mmio_read (g.f->h, CONFIG + 12, 4), ==, 0);
  g_assert_cmpuint (harness_mmio_read (g.f->h, ISR, 1), ==, 0);
  set_common (&g, 0, 4, 0);
  g_assert_cmphex (common (&g, 4, 4) & 0x1f, ==, 2); /* EDID and nothing of 3D */
  tear_down (&g);
}

static void
test_info (void)
{
  Gpu g;
  guint8 sum = 0;

  set_up (&g);
  g_assert_cmphex (COMMAND (&g, GET_DISPLAY_INFO), ==, OK_DISPLAY_INFO);
  g_assert_cmpuint (answer (&g, 8), ==, 1024);
  g_assert_cmpuint (answer (&g, 9), ==, 768);
  g_assert_cmpuint (answer (&g, 10), ==, 1);
  g_assert_cmpuint (answer (&g, 16), ==, 0); /* the second is not there */
  g_assert_cmphex (COMMAND (&g, GET_EDID, 0, 0), ==, OK_EDID);
  g_assert_cmpuint (answer (&g, 6), ==, 256);
  for (guint i = 0; i < 128; i++)
    sum += (guint8)harness_read_le (g.f->h, g.response + 32 + i, 1);
  g_assert_cmpuint (sum, ==, 0);
  g_assert_cmphex (COMMAND (&g, GET_EDID, 1, 0), ==, ERR_INVALID_SCANOUT_ID);

  /* The window's size changes: an event, a configuration interrupt, new answers. */
  (void)harness_mmio_read (g.f->h, ISR, 1);
  display_scanout_request_resize (g.f->scanout, 1300, 702);
  g_assert_cmphex (harness_mmio_read (g.f->h, CONFIG, 4), ==, 1);
  g_assert_cmphex (harness_mmio_read (g.f->h, ISR, 1) & 2, ==, 2);
  g_assert_cmphex (COMMAND (&g, GET_DISPLAY_INFO), ==, OK_DISPLAY_INFO);
  g_assert_cmpuint (answer (&g, 8), ==, 1300);
  g_assert_cmpuint (answer (&g, 9), ==, 702);
  g_assert_cmphex (COMMAND (&g, GET_EDID, 0, 0), ==, OK_EDID);
  g_assert_cmphex (harness_read_le (g.f->h, g.response + 32 + 56, 1), ==, 1300 & 0xff);
  harness_mmio_write (g.f->h, CONFIG + 4, 4, 1);
  g_assert_cmphex (harness_mmio_read (g.f->h, CONFIG, 4), ==, 0);
  /* The same size again is no event. */
  display_scanout_request_resize (g.f->scanout, 1300, 702);
  g_assert_cmphex (harness_mmio_read (g.f->h, CONFIG, 4), ==, 0);

  /* Without the feature there is no EDID. */
  start (&g, 0);
  g_assert_cmphex (COMMAND (&g, GET_EDID, 0, 0), ==, ERR_UNSPEC);
  tear_down (&g);
}

static guint32
raw_pixel (guint i)
{
  return (i * 0x01030507u) ^ 0x80402010u;
}

static void
fill_pixels (Gpu *g, guint n)
{
  for (guint i = 0; i < n; i++)
    harness_write_le (g->f->h, g->pixels + i * 4, 4, raw_pixel (i));
}

/* A resource of that format with its backing in two pieces. */
static void
make_resource (Gpu *g, guint32 id, guint32 format, guint32 width, guint32 height)
{
  guint32 bytes = width * height * 4, first = MIN (bytes / 2 + 6, bytes);

  g_assert_cmphex (COMMAND (g, CREATE_2D, id, format, width, height), ==, OK_NODATA);
  g_assert_cmphex (COMMAND (g, ATTACH, id, 2, (guint32)g->pixels, 0, first, 0,
                            (guint32)g->pixels + first, 0, bytes - first, 0),
                   ==, OK_NODATA);
}

static void
test_formats (void)
{
  /* The shift of red, green, blue in the little endian word. */
  static const guint cases[][4] = {
    { 1, 16, 8, 0 },  { 2, 16, 8, 0 },   { 3, 8, 16, 24 },   { 4, 8, 16, 24 },
    { 67, 0, 8, 16 }, { 68, 24, 16, 8 }, { 121, 24, 16, 8 }, { 134, 0, 8, 16 },
  };
  Gpu g;

  set_up (&g);
  fill_pixels (&g, 40 * 30);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      guint32 id = 10 + i;

      make_resource (&g, id, cases[i][0], 40, 30);
      g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 40, 30, 0, 0, id, 0), ==, OK_NODATA);
      g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 40, 30, 0, id), ==, OK_NODATA);
      fixture_expect_size (g.f, 40, 30);
      for (guint p = 0; p < 40 * 30; p += 7)
        {
          guint32 v = raw_pixel (p);
          guint32 rgb = (v >> cases[i][1] & 0xff) << 16 | (v >> cases[i][2] & 0xff) << 8 |
                        (v >> cases[i][3] & 0xff);

          g_assert_cmphex (fixture_pixel (g.f, p % 40, p / 40), ==, rgb);
        }
    }
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 5, 5, 40, 30), ==, ERR_INVALID_PARAMETER);
  tear_down (&g);
}

static void
test_picture (void)
{
  Gpu g;

  set_up (&g);
  fixture_watch (g.f, TRUE);
  fill_pixels (&g, 64 * 64);
  make_resource (&g, 1, 2, 64, 64);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 64, 64, 0, 1), ==, OK_NODATA);
  g_assert_cmpuint (g.f->width, ==, 64);
  g_assert_cmphex (fixture_pixel (g.f, 5, 6), ==, 0);
  /* A part: 20x10 at 5,6, from its place in the backing. */
  fixture_forget_damage (g.f);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 5, 6, 20, 10, (6 * 64 + 5) * 4, 0, 1, 0), ==, OK_NODATA);
  g_assert_cmpuint (g.f->n_damages, ==, 0); /* not before the flush */
  g_assert_cmphex (COMMAND (&g, FLUSH, 5, 6, 20, 10, 1, 0), ==, OK_NODATA);
  g_assert_cmpuint (g.f->n_damages, ==, 1);
  g_assert_cmpuint (g.f->x0, ==, 5);
  g_assert_cmpuint (g.f->y1, ==, 16);
  for (guint y = 0; y < 64; y++)
    for (guint x = 0; x < 64; x++)
      g_assert_cmphex (fixture_pixel (g.f, x, y), ==,
                       x >= 5 && x < 25 && y >= 6 && y < 16 ? raw_pixel (y * 64 + x) & 0xffffff
                                                            : 0);
  /* A scanout of a part of the resource has its own surface. */
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 64, 64, 0, 0, 1, 0), ==, OK_NODATA);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 16, 8, 32, 40, 0, 1), ==, OK_NODATA);
  fixture_expect_size (g.f, 32, 40);
  g_assert_cmphex (fixture_pixel (g.f, 3, 4), ==, raw_pixel (12 * 64 + 19) & 0xffffff);
  harness_write_le (g.f->h, g.pixels + (12 * 64 + 19) * 4, 4, 0x00abcdef);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 12, 64, 1, 12 * 64 * 4, 0, 1, 0), ==, OK_NODATA);
  g_assert_cmphex (fixture_pixel (g.f, 3, 4), !=, 0xabcdef);
  fixture_forget_damage (g.f);
  g_assert_cmphex (COMMAND (&g, FLUSH, 0, 0, 64, 64, 1, 0), ==, OK_NODATA);
  g_assert_cmphex (fixture_pixel (g.f, 3, 4), ==, 0xabcdef);
  g_assert_cmpuint (g.f->x1, ==, 32);
  g_assert_cmpuint (g.f->y1, ==, 40);
  /* Off, and gone. */
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 0, 0, 0, 0), ==, OK_NODATA);
  g_assert_cmpuint (g.f->width, ==, 0);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 64, 64, 0, 1), ==, OK_NODATA);
  g_assert_cmpuint (g.f->width, ==, 64);
  g_assert_cmphex (COMMAND (&g, UNREF, 1, 0), ==, OK_NODATA);
  g_assert_cmpuint (g.f->width, ==, 0);
  g_assert_cmphex (COMMAND (&g, FLUSH, 0, 0, 1, 1, 1, 0), ==, ERR_INVALID_RESOURCE_ID);
  tear_down (&g);
}

static void
test_vga_switch (void)
{
  Gpu g;

  set_up (&g);
  fixture_watch (g.f, TRUE);
  harness_mmio_write (g.f->h, DISPLAY_BAR2 + 0x502, 2, 320);
  harness_mmio_write (g.f->h, DISPLAY_BAR2 + 0x504, 2, 200);
  harness_mmio_write (g.f->h, DISPLAY_BAR2 + 0x506, 2, 32);
  harness_mmio_write (g.f->h, DISPLAY_BAR2 + 0x508, 2, 0x41);
  harness_mmio_write (g.f->h, DISPLAY_BAR2 + 0x400, 1, 0x20);
  harness_write_le (g.f->h, DISPLAY_BAR0 + 4, 4, 0x00112233);
  fixture_expect_size (g.f, 320, 200); /* the driver runs, but has set no scanout */
  g_assert_cmphex (fixture_pixel (g.f, 1, 0), ==, 0x112233);

  make_resource (&g, 1, 2, 64, 64);
  fixture_expect_size (g.f, 320, 200);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 64, 64, 0, 1), ==, OK_NODATA);
  fixture_expect_size (g.f, 64, 64);
  /* The VGA is still there, only not shown. */
  harness_write_le (g.f->h, DISPLAY_BAR0 + 4, 4, 0x00445566);
  harness_advance (g.f->h, VMM_NSEC_PER_SEC);
  fixture_expect_size (g.f, 64, 64);

  set_common (&g, 0x14, 1, 0);
  harness_run (g.f->h);
  g_assert_cmpuint (g.f->width, ==, 320);
  g_assert_cmphex (fixture_pixel (g.f, 1, 0), ==, 0x445566);
  /* Nothing was left of the resources. */
  start (&g, 2);
  g_assert_cmphex (COMMAND (&g, UNREF, 1, 0), ==, ERR_INVALID_RESOURCE_ID);
  make_resource (&g, 1, 2, 64, 64);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 64, 64, 0, 1), ==, OK_NODATA);
  vmm_machine_reset_devices (g.f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (g.f->width, ==, 320); /* the VGA's last picture, until it draws */
  tear_down (&g);
}

static void
test_cursor (void)
{
  Gpu g;

  set_up (&g);
  fixture_watch (g.f, TRUE);
  fill_pixels (&g, 64 * 64);
  make_resource (&g, 7, 1, 64, 64);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 64, 64, 0, 0, 7, 0), ==, OK_NODATA);
  CURSOR (&g, UPDATE_CURSOR, 0, 100, 50, 0, 7, 3, 4, 0);
  g_assert_cmpuint (g.f->cursor_width, ==, 64);
  g_assert_cmpuint (g.f->hot_x, ==, 3);
  g_assert_cmpuint (g.f->hot_y, ==, 4);
  g_assert_cmphex (g.f->cursor[2], ==, raw_pixel (2));
  g_assert_cmpint (g.f->cursor_x, ==, 100);
  g_assert_true (g.f->cursor_visible);
  CURSOR (&g, MOVE_CURSOR, 0, (guint32)-5, 60, 0, 0, 0, 0, 0);
  g_assert_cmpint (g.f->cursor_x, ==, -5);
  g_assert_cmpint (g.f->cursor_y, ==, 60);
  CURSOR (&g, UPDATE_CURSOR, 0, 1, 1, 0, 99, 0, 0, 0); /* no such resource: as before */
  g_assert_cmpuint (g.f->cursor_width, ==, 64);
  CURSOR (&g, UPDATE_CURSOR, 5, 9, 9, 0, 7, 0, 0, 0); /* no such scanout */
  g_assert_cmpint (g.f->cursor_x, !=, 9);
  CURSOR (&g, UPDATE_CURSOR, 0, 1, 1, 0, 0, 0, 0, 0);
  g_assert_cmpuint (g.f->cursor_width, ==, 0);
  g_assert_false (g.f->cursor_visible);
  CURSOR (&g, TRANSFER, 0);
  /* A format without alpha is opaque. */
  make_resource (&g, 8, 2, 64, 64);
  CURSOR (&g, UPDATE_CURSOR, 0, 0, 0, 0, 8, 0, 0, 0);
  g_assert_cmpuint (g.f->cursor_width, ==, 64);
  tear_down (&g);
}

static void
test_fence (void)
{
  Gpu g;
  guint32 words[6] = { GET_DISPLAY_INFO, 1, 0x55667788, 0x11223344, 9, 0 };

  set_up (&g);
  g_assert_cmpuint (send (&g, 0, words, 24, 4096), ==, 408);
  g_assert_cmphex (answer (&g, 1), ==, 1);
  g_assert_cmphex (answer (&g, 2), ==, 0x55667788);
  g_assert_cmphex (answer (&g, 3), ==, 0x11223344);
  g_assert_cmphex (answer (&g, 4), ==, 9);
  words[1] = 0;
  send (&g, 0, words, 24, 4096);
  g_assert_cmphex (answer (&g, 2), ==, 0);
  tear_down (&g);
}

/* What a driver must not do; each answered, nothing harmed. */
static void
test_wrong (void)
{
  Gpu g;
  guint32 words[64] = { 0 };

  set_up (&g);
  fill_pixels (&g, 64 * 64);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 0, 2, 8, 8), ==, ERR_INVALID_RESOURCE_ID);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1, 2, 0, 8), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1, 2, 8, 16385), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1, 2, 0xffffffff, 0xffffffff), ==,
                   ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1, 2, 16384, 16384), ==, ERR_OUT_OF_MEMORY);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1, 2), ==, ERR_UNSPEC); /* short */
  make_resource (&g, 1, 2, 64, 64);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1, 2, 64, 64), ==, ERR_INVALID_RESOURCE_ID);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 1, 0, 0, 4, 0), ==, ERR_UNSPEC); /* twice */
  g_assert_cmphex (COMMAND (&g, DETACH, 2, 0), ==, ERR_INVALID_RESOURCE_ID);

  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 65, 1, 0, 0, 1, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0xffffffff, 0, 2, 1, 0, 0, 1, 0), ==,
                   ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0xffffffff, 1, 0xffffffff, 0, 0, 1, 0), ==,
                   ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 64, 64, 1, 0, 1, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 64, 64, 0xffffffff, 0xffffffff, 1, 0), ==,
                   ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 0, 0, 0, 0, 1, 0), ==, OK_NODATA);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 1, 1, 0, 0, 9, 0), ==, ERR_INVALID_RESOURCE_ID);
  g_assert_cmphex (COMMAND (&g, FLUSH, 60, 0, 5, 1, 1, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, FLUSH, 0xffffffff, 0, 5, 1, 1, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 64, 64, 1, 1), ==, ERR_INVALID_SCANOUT_ID);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 64, 64, 0, 2), ==, ERR_INVALID_RESOURCE_ID);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0, 0, 64, 0, 1), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 1, 0, 64, 64, 0, 1), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 0, 0xfffffff0, 64, 64, 0, 1), ==,
                   ERR_INVALID_PARAMETER);

  /* Backings: too many, fewer than said, none, outside RAM, wrapping. */
  g_assert_cmphex (COMMAND (&g, DETACH, 1, 0), ==, OK_NODATA);
  g_assert_cmphex (COMMAND (&g, DETACH, 1, 0), ==, ERR_UNSPEC);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 1, 1, 0, 0, 1, 0), ==, ERR_UNSPEC);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 16385, 0, 0, 4, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 0xffffffff, 0, 0, 4, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 2, 0, 0, 4, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 3, (guint32)g.pixels, 0, 16, 0, 0, 0, 0, 0, 0xfffffff0,
                            0xffffffff, 0xffffffff, 0),
                   ==, OK_NODATA);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 4, 1, 0, 0, 1, 0), ==, OK_NODATA);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 64, 64, 0, 0, 1, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 4, 1, 16, 0, 1, 0), ==, ERR_INVALID_PARAMETER);
  g_assert_cmphex (COMMAND (&g, TRANSFER, 0, 0, 4, 1, 64, 0, 1, 0), ==, ERR_INVALID_PARAMETER);

  g_assert_cmphex (COMMAND (&g, GET_CAPSET_INFO, 0, 0), ==, ERR_UNSPEC);
  g_assert_cmphex (COMMAND (&g, 0xffffffff), ==, ERR_UNSPEC);
  /* Less than a header; no room for the answer. */
  words[0] = GET_DISPLAY_INFO;
  g_assert_cmpuint (send (&g, 0, words, 4, 4096), ==, 24);
  g_assert_cmphex (answer (&g, 0), ==, ERR_UNSPEC);
  g_assert_cmpuint (send (&g, 0, words, 24, 0), ==, 0);
  g_assert_cmpuint (send (&g, 0, words, 24, 30), ==, 30);
  g_assert_cmphex (common (&g, 0x14, 1), ==, 15);
  tear_down (&g);
}

/* Pictures never take more than the limit, in whatever order they come. */
static void
test_limits (void)
{
  Gpu g;
  guint n = 0;

  set_up (&g);
  while (COMMAND (&g, CREATE_2D, n + 1, 2, 4096, 2048) == OK_NODATA)
    n++;
  g_assert_cmpuint (n, ==, 256 / 32);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1000, 2, 1, 1), ==, ERR_OUT_OF_MEMORY);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 1, 0, 0, 4, 0), ==, ERR_OUT_OF_MEMORY);
  g_assert_cmphex (COMMAND (&g, UNREF, 3, 0), ==, OK_NODATA);
  g_assert_cmphex (COMMAND (&g, ATTACH, 1, 1, 0, 0, 4, 0), ==, OK_NODATA);
  for (n = 0; n < 5000; n++)
    if (COMMAND (&g, CREATE_2D, 5000 + n, 2, 1, 1) != OK_NODATA)
      break;
  g_assert_cmpuint (n, ==, 4096 - 7);
  set_common (&g, 0x14, 1, 0);
  start (&g, 2);
  g_assert_cmphex (COMMAND (&g, CREATE_2D, 1, 2, 4096, 4096), ==, OK_NODATA);
  tear_down (&g);
}

static void
make_state (Gpu *g)
{
  fill_pixels (g, 64 * 64);
  make_resource (g, 0xfffffff0, 3, 64, 64);
  make_resource (g, 2, 1, 16, 16);
  make_resource (g, 3, 2, 64, 32);
  g_assert_cmphex (COMMAND (g, TRANSFER, 0, 0, 64, 64, 0, 0, 0xfffffff0, 0), ==, OK_NODATA);
  g_assert_cmphex (COMMAND (g, TRANSFER, 0, 0, 16, 16, 0, 0, 2, 0), ==, OK_NODATA);
  CURSOR (g, UPDATE_CURSOR, 0, (guint32)-7, 8, 0, 2, 1, 2, 0);
}

static void
test_save (void)
{
  for (guint part = 0; part < 2; part++)
    {
      Gpu g, other;

      set_up (&g);
      set_up (&other);
      make_state (&g);
      g_assert_cmphex (COMMAND (&g, SET_SCANOUT, part * 10, 0, 64 - part * 20, 64, 0, 0xfffffff0),
                       ==, OK_NODATA);
      display_scanout_request_resize (g.f->scanout, 700, 500);
      harness_check_save_load (g.f->h);
      harness_check_save_load_into (g.f->h, other.f->h);
      fixture_expect_size (other.f, 64 - part * 20, 64);
      for (guint i = 0; i < 40; i++)
        g_assert_cmphex (fixture_pixel (other.f, i, i), ==, fixture_pixel (g.f, i, i));
      fixture_watch (other.f, TRUE);
      g_assert_cmpuint (other.f->cursor_width, ==, 16);
      g_assert_cmpint (other.f->cursor_x, ==, -7);
      g_assert_cmphex (harness_mmio_read (other.f->h, CONFIG, 4), ==, 1);
      tear_down (&g);
      tear_down (&other);
    }
}

static void
test_storm_load (void)
{
  Gpu g;
  g_autoptr (GBytes) state = NULL;

  set_up (&g);
  make_state (&g);
  g_assert_cmphex (COMMAND (&g, SET_SCANOUT, 8, 8, 16, 16, 0, 0xfffffff0), ==, OK_NODATA);
  state = harness_save (g.f->h);
  harness_storm_load (g.f->h, state, 3, 400);
  tear_down (&g);
}

/* Random commands with plausible numbers, so that most of them get far. */
static void
test_hostile (void)
{
  static const guint32 sizes[] = {
    0, 1, 2, 15, 16, 63, 64, 65, 4096, 16384, 0x80000000, 0xffffffff
  };
  Gpu g;
  GRand *rand = g_rand_new_with_seed (11);

  set_up (&g);
  fixture_watch (g.f, TRUE);
  for (guint i = 0; i < 6000; i++)
    {
      guint32 words[40] = { 0 };
      guint n = g_rand_int_range (rand, 0, 34);

      words[0] = g_rand_int_range (rand, GET_DISPLAY_INFO, GET_EDID + 1);
      words[1] = g_rand_int_range (rand, 0, 2);
      for (guint j = 6; j < 40; j++)
        switch (g_rand_int_range (rand, 0, 4))
          {
          case 0:
            words[j] = sizes[g_rand_int_range (rand, 0, G_N_ELEMENTS (sizes))];
            break;
          case 1:
            words[j] = g_rand_int_range (rand, 0, 5);
            break;
          case 2:
            words[j] = (guint32)g.pixels + g_rand_int_range (rand, 0, 0x10000);
            break;
          default:
            words[j] = 0;
            break;
          }
      if (i % 5 == 4)
        {
          words[0] = UPDATE_CURSOR + (words[7] & 1);
          send (&g, 1, words, 56, 0);
        }
      else
        {
          send (&g, 0, words, 4 + n * 4, n * 12);
        }
      if (i % 500 == 499)
        {
          set_common (&g, 0x14, 1, 0);
          start (&g, 2);
        }
      if (i % 100 == 0)
        display_surface_unref (display_scanout_dup_surface (g.f->scanout));
    }
  g_rand_free (rand);
  /* A broken ring stops the queue, not the VGA. */
  harness_ring_set_avail_idx (&g.rings[0], 0x4000);
  harness_mmio_write (g.f->h, NOTIFY, 2, 0);
  harness_run (g.f->h);
  g_assert_cmphex (common (&g, 0x14, 1) & 64, ==, 64);
  start (&g, 2);
  g_assert_cmphex (COMMAND (&g, GET_DISPLAY_INFO), ==, OK_DISPLAY_INFO);
  tear_down (&g);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/virtio/gpu/layout", test_layout);
  g_test_add_func ("/virtio/gpu/info", test_info);
  g_test_add_func ("/virtio/gpu/formats", test_formats);
  g_test_add_func ("/virtio/gpu/picture", test_picture);
  g_test_add_func ("/virtio/gpu/vga-switch", test_vga_switch);
  g_test_add_func ("/virtio/gpu/cursor", test_cursor);
  g_test_add_func ("/virtio/gpu/fence", test_fence);
  g_test_add_func ("/virtio/gpu/wrong", test_wrong);
  g_test_add_func ("/virtio/gpu/limits", test_limits);
  g_test_add_func ("/virtio/gpu/save", test_save);
  g_test_add_func ("/virtio/gpu/storm-load", test_storm_load);
  g_test_add_func ("/virtio/gpu/hostile", test_hostile);
  return g_test_run ();
}
