/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The picture: each line is made from registers and memory, compared with the surface, and copied
 * where it differs, so damage is what really changed however the guest wrote. */
#include "devices/display/vga-private.h"
#include <string.h>

#define BLINK_NS     (266 * G_GINT64_CONSTANT (1000000)) /* 16 frames at 60 Hz */
#define DAMAGE_GAP   16                                  /* unchanged lines that split damage */
#define FORCE_EVERY  16 /* legacy modes: look at all anyway, BAR 0 is not trapped */
#define PLANES_MASK  (VGA_PLANES_SIZE - 1)
#define BLANK_WIDTH  640
#define BLANK_HEIGHT 480

enum
{
  KIND_NONE, /* never drawn */
  KIND_BLANK,
  KIND_TEXT,
  KIND_PLANAR,
  KIND_CGA4,
  KIND_PIXEL8,
  KIND_VBE, /* + bits per pixel */
};

static guint
crtc_height (const VgaRegisters *r)
{
  return (r->cr[0x12] | (r->cr[7] & 0x02) << 7 | (r->cr[7] & 0x40) << 3) + 1u;
}

static guint
char_width (const VgaRegisters *r)
{
  if (r->sr[1] & 0x08)
    return 16;
  return r->sr[1] & 0x01 ? 8 : 9;
}

static VgaMode
current_mode (const Vga *vga)
{
  const VgaRegisters *r = &vga->r;
  VgaMode mode = { MAX (vga->mode.width, 1), MAX (vga->mode.height, 1), KIND_BLANK };

  if (vga->mode.kind == KIND_NONE)
    mode = (VgaMode){ BLANK_WIDTH, BLANK_HEIGHT, KIND_BLANK };
  /* Attribute index bit 5: palette address source. Sequencer 1 bit 5: screen off. */
  if (!(r->ar_index & 0x20) || (r->sr[1] & 0x20))
    return mode;
  if (vga_vbe_is_on (vga))
    {
      guint stride = vga_vbe_stride (vga);

      if (stride == 0 || r->vbe[VBE_XRES] == 0 || r->vbe[VBE_YRES] == 0)
        return mode;
      /* No more lines than memory holds, whatever the registers say. */
      return (VgaMode){ r->vbe[VBE_XRES], MIN (r->vbe[VBE_YRES], MAX (VGA_VRAM_SIZE / stride, 1)),
                        KIND_VBE + vga_vbe_bpp (vga) };
    }
  mode.height = crtc_height (r);
  mode.width = (r->cr[1] + 1u) * 8;
  if (!(r->gr[6] & 1))
    {
      mode.width = (r->cr[1] + 1u) * char_width (r);
      mode.kind = KIND_TEXT;
      return mode;
    }
  switch (r->gr[5] >> 5 & 3)
    {
    case 0:
      mode.kind = KIND_PLANAR;
      break;
    case 1:
      mode.kind = KIND_CGA4;
      break;
    default:
      mode.kind = KIND_PIXEL8;
      return mode;
    }
  if (r->sr[1] & 0x08) /* half dot clock: pixels are twice as wide */
    mode.width *= 2;
  return mode;
}

/* ---- palette ---- */

static guint32
dac_colour (const VgaRegisters *r, guint index)
{
  const guint8 *entry = r->palette + (index & r->dac_mask) * 3;
  guint32 colour = 0;

  for (guint i = 0; i < 3; i++)
    {
      guint value = entry[i];

      if (!(r->vbe[VBE_ENABLE] & VBE_8BIT_DAC))
        value = (value & 0x3f) << 2 | (value >> 4 & 3);
      colour = colour << 8 | value;
    }
  return colour;
}

/* 16 colours go through the attribute controller's palette, then the DAC. */
static guint
attribute_index (const VgaRegisters *r, guint colour)
{
  guint value = r->ar[colour & 15];

  if (r->ar[0x10] & 0x80)
    return (r->ar[0x14] & 0x0f) << 4 | (value & 0x0f);
  return (r->ar[0x14] & 0x0c) << 4 | (value & 0x3f);
}

static void
update_colours (Vga *vga, guint kind)
{
  const VgaRegisters *r = &vga->r;
  gboolean direct = kind == KIND_PIXEL8 || kind == KIND_VBE + 8;

  for (guint i = 0; i < 256; i++)
    vga->colours[i] = dac_colour (r, direct ? i : attribute_index (r, i));
}

/* ---- lines ---- */

typedef struct
{
  guint start, stride; /* bytes of interleaved memory */
  guint lines_per_row;
  guint line_compare;
  guint bank_mask; /* CGA: lines interleaved over banks */
} Layout;

static Layout
legacy_layout (const VgaRegisters *r)
{
  Layout l = {
    .start = (r->cr[0x0c] << 8 | r->cr[0x0d]) * 4u,
    .stride = r->cr[0x13] * 8u,
    .lines_per_row = ((r->cr[9] & 0x1f) + 1u) << (r->cr[9] >> 7),
    .line_compare =
        (guint)r->cr[0x18] | (guint)(r->cr[7] & 0x10) << 4 | (guint)(r->cr[9] & 0x40) << 3,
    .bank_mask = (r->cr[0x17] & 3) ^ 3,
  };

  /* The row scan counter addresses banks then, it does not repeat lines. */
  if (l.bank_mask != 0)
    l.lines_per_row = 1u << (r->cr[9] >> 7);
  return l;
}

/* Where the line's memory begins. CRTC 17h bits 0 and 1 clear put row scan bits into the address. */
static guint
line_address (const VgaRegisters *r, const Layout *l, guint y)
{
  guint row, address;

  if (y > l->line_compare)
    row = (y - l->line_compare - 1) / l->lines_per_row;
  else
    row = y / l->lines_per_row;
  address = y > l->line_compare ? 0 : l->start;
  switch (l->bank_mask)
    {
    case 0:
      return address + row * l->stride;
    case 1:
      address += row / 2 * l->stride;
      break;
    default:
      address += row / 4 * l->stride;
      break;
    }
  if (!(r->cr[0x17] & 1))
    {
      guint shift = 14 + (r->cr[0x17] >> 6 & 1);

      address = (address & ~(1u << shift)) | (row & 1) << shift;
    }
  if (!(r->cr[0x17] & 2))
    address = (address & ~0x8000u) | (row & 2) << 14;
  return address;
}

static void
draw_planar (Vga *vga, const guint8 *vram, guint64 address, guint64 mask, guint width, guint repeat)
{
  guint enable = vga->r.ar[0x12] & 15;
  guint32 *to = vga->row;

  for (guint x = 0; x < width; address += 4)
    {
      const guint8 *p = vram + (address & mask & ~G_GUINT64_CONSTANT (3));

      for (guint bit = 8; bit-- > 0 && x < width;)
        {
          guint colour = (p[0] >> bit & 1) | (p[1] >> bit & 1) << 1 | (p[2] >> bit & 1) << 2 |
                         (p[3] >> bit & 1) << 3;

          for (guint i = 0; i < repeat && x < width; i++)
            to[x++] = vga->colours[colour & enable];
        }
    }
}

/* Two bits a pixel: four pixels in plane 0 (with plane 2 above), then four in plane 1 (and 3). */
static void
draw_cga4 (Vga *vga, const guint8 *vram, guint address, guint width, guint repeat)
{
  guint enable = vga->r.ar[0x12] & 15;
  guint32 *to = vga->row;

  for (guint x = 0; x < width; address += 4)
    {
      const guint8 *p = vram + (address & PLANES_MASK & ~3u);

      for (guint pixel = 0; pixel < 8 && x < width; pixel++)
        {
          guint shift = 6 - pixel % 4 * 2, odd = pixel / 4;
          guint colour = (p[odd] >> shift & 3) | (p[odd + 2] >> shift & 3) << 2;

          for (guint i = 0; i < repeat && x < width; i++)
            to[x++] = vga->colours[colour & enable];
        }
    }
}

static void
draw_graphics_line (Vga *vga, const VgaMode *mode, guint y)
{
  const VgaRegisters *r = &vga->r;
  const guint8 *vram = vmm_ram_block_get_data (vga->vram);
  Layout l = legacy_layout (r);
  guint address = line_address (r, &l, y);
  guint repeat = r->sr[1] & 0x08 ? 2 : 1;

  switch (mode->kind)
    {
    case KIND_PLANAR:
      draw_planar (vga, vram, address, PLANES_MASK, mode->width, repeat);
      break;
    case KIND_CGA4:
      draw_cga4 (vga, vram, address, mode->width, repeat);
      break;
    default: /* 256 colours: two dots a pixel */
      for (guint x = 0; x < mode->width; x++)
        vga->row[x] = vga->colours[vram[(address + x / 2) & PLANES_MASK]];
      break;
    }
}

/* What text drawing needs of the registers, once a picture. */
typedef struct
{
  guint cell_width, cell_height, columns;
  guint font[2]; /* offset of plane 2's glyphs, by attribute bit 3 */
  guint cursor;  /* cell index, or G_MAXUINT */
  guint cursor_first, cursor_last;
  gboolean blink_attribute, line_graphics;
} Text;

/* Sequencer 3, character map select: bits 5,3,2 for attribute bit 3 set, 4,1,0 for clear. */
static Text
text_layout (const Vga *vga)
{
  const VgaRegisters *r = &vga->r;
  guint select = r->sr[3];
  Text t = {
    .cell_width = char_width (r),
    .cell_height = (r->cr[9] & 0x1f) + 1u,
    .columns = r->cr[1] + 1u,
    .cursor = r->cr[0x0e] << 8 | r->cr[0x0f],
    .cursor_first = r->cr[0x0a] & 0x1f,
    .cursor_last = r->cr[0x0b] & 0x1f,
    .blink_attribute = (r->ar[0x10] & 0x08) != 0,
    .line_graphics = (r->ar[0x10] & 0x04) != 0,
  };

  t.font[0] = ((select >> 4 & 1) | (select << 1 & 6)) * 8192u * 4;
  t.font[1] = ((select >> 5 & 1) | (select >> 1 & 6)) * 8192u * 4;
  if ((r->cr[0x0a] & 0x20) || !vga->blink_on)
    t.cursor = G_MAXUINT;
  return t;
}

static void
draw_cell_line (Vga *vga, const Text *t, guint cell, guint line, guint32 *to)
{
  const guint8 *vram = vmm_ram_block_get_data (vga->vram);
  guint character = vram[cell * 4 & PLANES_MASK], attribute = vram[(cell * 4 & PLANES_MASK) + 1];
  guint glyph = t->font[attribute >> 3 & 1] + (character * 32 + (line & 31)) * 4 + 2;
  guint bits = vram[glyph & PLANES_MASK];
  guint foreground = attribute & 15, background = attribute >> 4;
  gboolean cursor;
  guint32 on, off;

  if (t->blink_attribute)
    {
      background &= 7;
      if ((attribute & 0x80) && !vga->blink_on)
        bits = 0;
    }
  cursor = cell == t->cursor && line >= t->cursor_first && line <= t->cursor_last;
  if (cursor)
    bits = 0xff;
  on = vga->colours[foreground];
  off = vga->colours[background];
  if (t->cell_width == 16)
    {
      for (guint x = 0; x < 16; x++)
        to[x] = bits >> (7 - x / 2) & 1 ? on : off;
      return;
    }
  for (guint x = 0; x < 8; x++)
    to[x] = bits >> (7 - x) & 1 ? on : off;
  /* The ninth dot repeats the eighth in box drawing characters and under the cursor. */
  if (t->cell_width == 9)
    to[8] = cursor || (t->line_graphics && (character & 0xe0) == 0xc0 && (bits & 1)) ? on : off;
}

static void
draw_text_line (Vga *vga, const Text *t, guint y)
{
  const VgaRegisters *r = &vga->r;
  guint start = r->cr[0x0c] << 8 | r->cr[0x0d];
  guint cell = start + y / t->cell_height * (r->cr[0x13] * 2u);

  for (guint column = 0; column < t->columns; column++)
    draw_cell_line (vga, t, cell + column, y % t->cell_height,
                    vga->row + (gsize)column * t->cell_width);
}

static void
draw_vbe_line (Vga *vga, const VgaMode *mode, guint y)
{
  const VgaRegisters *r = &vga->r;
  const guint8 *vram = vmm_ram_block_get_data (vga->vram);
  guint bpp = mode->kind - KIND_VBE, width = mode->width;
  guint bytes = bpp == 4 ? 0 : (bpp + 7) / 8;
  guint64 offset =
      ((guint64)r->vbe[VBE_Y_OFFSET] + y) * vga_vbe_stride (vga) +
      (bpp == 4 ? r->vbe[VBE_X_OFFSET] / 8 * 4 : (guint64)r->vbe[VBE_X_OFFSET] * bytes);
  guint64 length = bpp == 4 ? (width + 7) / 8 * 4 : (guint64)width * bytes;
  const guint8 *from = vram + offset;
  guint32 *to = vga->row;

  if (offset > VGA_VRAM_SIZE || length > VGA_VRAM_SIZE - offset)
    {
      memset (to, 0, (gsize)width * 4);
      return;
    }
  switch (bpp)
    {
    case 4:
      draw_planar (vga, vram, offset, G_MAXUINT64, width, 1);
      break;
    case 15:
      for (guint x = 0; x < width; x++, from += 2)
        {
          guint v = from[0] | from[1] << 8;
          guint red = v >> 10 & 31, green = v >> 5 & 31, blue = v & 31;

          to[x] = (red << 3 | red >> 2) << 16 | (green << 3 | green >> 2) << 8 |
                  (blue << 3 | blue >> 2);
        }
      break;
    case 16:
      for (guint x = 0; x < width; x++, from += 2)
        {
          guint v = from[0] | from[1] << 8;
          guint red = v >> 11 & 31, green = v >> 5 & 63, blue = v & 31;

          to[x] = (red << 3 | red >> 2) << 16 | (green << 2 | green >> 4) << 8 |
                  (blue << 3 | blue >> 2);
        }
      break;
    case 24:
      for (guint x = 0; x < width; x++, from += 3)
        to[x] = (guint32)from[0] | (guint32)from[1] << 8 | (guint32)from[2] << 16;
      break;
    case 32:
      memcpy (to, from, (gsize)width * 4);
      break;
    default:
      for (guint x = 0; x < width; x++)
        to[x] = vga->colours[from[x]];
      break;
    }
}

/* ---- the surface ---- */

typedef struct
{
  guint x0, y0, x1, y1; /* empty when y1 == 0 */
} Damage;

static void
flush_damage (Vga *vga, Damage *damage)
{
  if (damage->y1 != 0)
    display_scanout_damage (vga->scanout, damage->x0, damage->y0, damage->x1 - damage->x0,
                            damage->y1 - damage->y0);
  *damage = (Damage){ 0 };
}

/* Copies the row that was made to line y, from the first to the last pixel that differ. */
static gboolean
put_line (Vga *vga, guint y, Damage *damage)
{
  guint width = vga->mode.width, first = 0, last = width;
  guint32 *line = (guint32 *)(gpointer)display_surface_get_data (vga->surface) + (gsize)y * width;

  if (memcmp (line, vga->row, (gsize)width * 4) == 0)
    {
      if (damage->y1 != 0 && y - damage->y1 >= DAMAGE_GAP)
        flush_damage (vga, damage);
      return FALSE;
    }
  /* Viewers map the surface too: it may change between looks, so neither search trusts the other. */
  while (first < width - 1 && line[first] == vga->row[first])
    first++;
  while (last - 1 > first && line[last - 1] == vga->row[last - 1])
    last--;
  memcpy (line + first, vga->row + first, (gsize)(last - first) * 4);
  if (damage->y1 == 0)
    {
      *damage = (Damage){ first, y, last, y + 1 };
      return TRUE;
    }
  damage->x0 = MIN (damage->x0, first);
  damage->x1 = MAX (damage->x1, last);
  damage->y1 = y + 1;
  return TRUE;
}

static gboolean
set_mode (Vga *vga, const VgaMode *mode)
{
  DisplaySurface *surface;

  if (vga->surface != NULL && mode->width == vga->mode.width && mode->height == vga->mode.height)
    {
      vga->mode.kind = mode->kind;
      return TRUE;
    }
  /* Out of memory: the old picture stays. */
  surface = display_surface_new (mode->width, mode->height, NULL);
  if (surface == NULL)
    return FALSE;
  display_surface_unref (vga->surface);
  vga->surface = surface;
  vga->row = g_renew (guint32, vga->row, mode->width);
  vga->mode = *mode;
  display_scanout_set_surface (vga->scanout, surface);
  return TRUE;
}

static gboolean
draw_lines (Vga *vga)
{
  const VgaMode *mode = &vga->mode;
  Text text = { 0 };
  Damage damage = { 0 };
  gboolean changed = FALSE;

  if (mode->kind == KIND_TEXT)
    text = text_layout (vga);
  else if (mode->kind == KIND_BLANK)
    memset (vga->row, 0, (gsize)mode->width * 4);
  for (guint y = 0; y < mode->height; y++)
    {
      if (mode->kind == KIND_TEXT)
        draw_text_line (vga, &text, y);
      else if (mode->kind >= KIND_VBE)
        draw_vbe_line (vga, mode, y);
      else if (mode->kind != KIND_BLANK)
        draw_graphics_line (vga, mode, y);
      changed |= put_line (vga, y, &damage);
    }
  flush_damage (vga, &damage);
  return changed;
}

void
vga_draw (Vga *vga, gboolean force)
{
  VgaMode mode = current_mode (vga);
  gboolean blink_on = vmm_clock_get_ns (vmm_machine_get_clock (vga->machine)) / BLINK_NS % 2 == 0;
  gboolean look = force || vga->dirty || mode.kind >= KIND_VBE ||
                  (mode.kind == KIND_TEXT && blink_on != vga->blink_on) ||
                  vga->n_idle % FORCE_EVERY == FORCE_EVERY - 1;

  if (!vga->shown)
    return;
  vga->n_updates++;
  if (!look)
    {
      vga->n_idle++;
      return;
    }
  vga->dirty = FALSE;
  vga->blink_on = blink_on;
  update_colours (vga, mode.kind);
  if (!set_mode (vga, &mode))
    return;
  if (draw_lines (vga))
    vga->n_idle = 0;
  else
    vga->n_idle++;
}
