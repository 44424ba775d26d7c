/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VGA and Bochs VBE registers. Reset values are 0 unless vga_reset_registers says otherwise. */
#include "devices/display/vga-private.h"
#include <string.h>

/* Ports, by offset from 0x3c0; the CRTC's pair is at 0x3d4 (colour) or 0x3b4 (monochrome) as the
 * miscellaneous output register says. Width 8 each.
 *   00 attribute index/data W, index R     0a feature control R
 *   01 attribute data R                    0c miscellaneous output R
 *   02 misc output W, input status 0 R     0e graphics index RW, 0f data RW
 *   04 sequencer index RW, 05 data RW      14 CRTC index RW, 15 data RW
 *   06 DAC mask RW                         1a feature control W, input status 1 R
 *   07 DAC read index W, state R
 *   08 DAC write index RW, 09 DAC data RW */

static const guint8 sr_mask[8] = { 0x03, 0x3d, 0x0f, 0x3f, 0x0e, 0x00, 0x00, 0xff };
static const guint8 gr_mask[16] = { 0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff };
static const guint8 ar_mask[21] = { 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                    0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f,
                                    0x3f, 0x3f, 0xef, 0xff, 0x3f, 0x0f, 0x0f };

enum
{
  MISC_COLOUR = 0x01,
  STATUS1_DISPLAY_OFF = 0x01,
  STATUS1_RETRACE = 0x08,
  CR_VERTICAL_TOTAL_OVERFLOW = 0x07,
  CR_VERTICAL_RETRACE_END = 0x11,
  CR11_PROTECT = 0x80,
};

void
vga_reset_registers (VgaRegisters *r)
{
  memset (r, 0, sizeof *r);
  r->misc = MISC_COLOUR;
  r->dac_mask = 0xff;
  r->vbe[VBE_ID] = VBE_ID_LAST;
  r->vbe[VBE_BPP] = 8;
  r->vbe[VBE_VIDEO_MEMORY_64K] = VGA_VRAM_SIZE / 65536;
}

static gboolean
crtc_is_at (const VgaRegisters *r, guint port)
{
  return ((r->misc & MISC_COLOUR) != 0) == (port >= 0x3d0);
}

static void
write_attribute (Vga *vga, guint8 value)
{
  VgaRegisters *r = &vga->r;

  if (!r->ar_data_next)
    r->ar_index = value & 0x3f;
  else if ((r->ar_index & 0x1f) < G_N_ELEMENTS (r->ar))
    r->ar[r->ar_index & 0x1f] = value & ar_mask[r->ar_index & 0x1f];
  r->ar_data_next = !r->ar_data_next;
}

static void
write_crtc (Vga *vga, guint8 value)
{
  VgaRegisters *r = &vga->r;

  if (r->cr_index >= G_N_ELEMENTS (r->cr))
    return;
  if ((r->cr[CR_VERTICAL_RETRACE_END] & CR11_PROTECT) && r->cr_index <= CR_VERTICAL_TOTAL_OVERFLOW)
    {
      /* Write protected, but for the line compare bit. */
      if (r->cr_index == CR_VERTICAL_TOTAL_OVERFLOW)
        r->cr[r->cr_index] = (r->cr[r->cr_index] & ~0x10) | (value & 0x10);
      return;
    }
  r->cr[r->cr_index] = value;
}

static void
write_dac (Vga *vga, guint8 value)
{
  VgaRegisters *r = &vga->r;

  r->dac_cache[r->dac_component++] = value;
  if (r->dac_component < 3)
    return;
  memcpy (r->palette + r->dac_write * 3, r->dac_cache, 3);
  r->dac_component = 0;
  r->dac_write++;
}

static guint8
read_dac (VgaRegisters *r)
{
  guint8 value = r->palette[r->dac_read * 3 + r->dac_component];

  if (++r->dac_component == 3)
    {
      r->dac_component = 0;
      r->dac_read++;
    }
  return value;
}

static VmmIoResult
write_port (Vga *vga, guint port, guint8 value)
{
  VgaRegisters *r = &vga->r;

  vga->dirty = TRUE;
  switch (port)
    {
    case 0x3c0:
      write_attribute (vga, value);
      break;
    case 0x3c2:
      r->misc = value & ~0x10;
      break;
    case 0x3c4:
      r->sr_index = value & 7;
      break;
    case 0x3c5:
      r->sr[r->sr_index] = value & sr_mask[r->sr_index];
      break;
    case 0x3c6:
      r->dac_mask = value;
      break;
    case 0x3c7:
      r->dac_read = value;
      r->dac_component = 0;
      r->dac_reading = 3;
      break;
    case 0x3c8:
      r->dac_write = value;
      r->dac_component = 0;
      r->dac_reading = 0;
      break;
    case 0x3c9:
      write_dac (vga, value);
      break;
    case 0x3ce:
      r->gr_index = value & 15;
      break;
    case 0x3cf:
      r->gr[r->gr_index] = value & gr_mask[r->gr_index];
      break;
    case 0x3b4:
    case 0x3d4:
      if (crtc_is_at (r, port))
        r->cr_index = value;
      break;
    case 0x3b5:
    case 0x3d5:
      if (crtc_is_at (r, port))
        write_crtc (vga, value);
      break;
    case 0x3ba:
    case 0x3da:
      r->feature = value & 0x10;
      break;
    default:
      return VMM_IO_UNKNOWN;
    }
  return VMM_IO_OK;
}

static VmmIoResult
read_port (Vga *vga, guint port, guint64 *value)
{
  VgaRegisters *r = &vga->r;

  switch (port)
    {
    case 0x3c0:
      *value = r->ar_data_next ? 0 : r->ar_index;
      break;
    case 0x3c1:
      *value = (r->ar_index & 0x1f) < G_N_ELEMENTS (r->ar) ? r->ar[r->ar_index & 0x1f] : 0;
      break;
    case 0x3c2:
      *value = r->status0;
      break;
    case 0x3c4:
      *value = r->sr_index;
      break;
    case 0x3c5:
      *value = r->sr[r->sr_index];
      break;
    case 0x3c6:
      *value = r->dac_mask;
      break;
    case 0x3c7:
      *value = r->dac_reading;
      break;
    case 0x3c8:
      *value = r->dac_write;
      break;
    case 0x3c9:
      *value = read_dac (r);
      break;
    case 0x3ca:
      *value = r->feature;
      break;
    case 0x3cc:
      *value = r->misc;
      break;
    case 0x3ce:
      *value = r->gr_index;
      break;
    case 0x3cf:
      *value = r->gr[r->gr_index];
      break;
    case 0x3b4:
    case 0x3d4:
      *value = crtc_is_at (r, port) ? r->cr_index : 0xff;
      break;
    case 0x3b5:
    case 0x3d5:
      *value = !crtc_is_at (r, port)                ? 0xff
               : r->cr_index < G_N_ELEMENTS (r->cr) ? r->cr[r->cr_index]
                                                    : 0;
      break;
    case 0x3ba:
    case 0x3da:
      /* DEVIATION: no beam is followed; each read shows the other state, so that code that waits
       * for retrace to begin or to end goes on at once. */
      r->ar_data_next = FALSE;
      r->status1 ^= STATUS1_DISPLAY_OFF | STATUS1_RETRACE;
      *value = r->status1;
      break;
    default:
      return VMM_IO_UNKNOWN;
    }
  return VMM_IO_OK;
}

/* ---- Bochs VBE ---- */

gboolean
vga_vbe_is_on (const Vga *vga)
{
  return (vga->r.vbe[VBE_ENABLE] & VBE_ENABLED) != 0;
}

guint
vga_vbe_bpp (const Vga *vga)
{
  switch (vga->r.vbe[VBE_BPP])
    {
    case 4:
    case 15:
    case 16:
    case 24:
    case 32:
      return vga->r.vbe[VBE_BPP];
    default:
      return 8;
    }
}

guint
vga_vbe_stride (const Vga *vga)
{
  guint bpp = vga_vbe_bpp (vga), width = vga->r.vbe[VBE_VIRT_WIDTH];

  if (bpp == 4)
    return width / 2; /* a byte of each of four planes holds 8 pixels */
  return width * ((bpp + 7) / 8);
}

static guint
virtual_height (const Vga *vga)
{
  guint stride = vga_vbe_stride (vga);

  return stride == 0 ? 0 : MIN (VGA_VRAM_SIZE / stride, G_MAXUINT16);
}

/* Sets the VGA registers as a mode of these dimensions has them: guests look at and rely on some. */
static void
follow_vbe (Vga *vga)
{
  VgaRegisters *r = &vga->r;
  guint height = r->vbe[VBE_YRES];

  r->gr[6] = (r->gr[6] & ~0x0c) | 0x05; /* graphics, 64 KiB at 0xa0000 */
  r->gr[5] &= ~0x60;
  r->cr[0x17] |= 3;
  r->cr[0x13] = (guint8)(vga_vbe_stride (vga) >> 3);
  r->cr[0x01] = (guint8)(r->vbe[VBE_XRES] / 8 - 1);
  r->cr[0x12] = (guint8)(height - 1);
  r->cr[0x07] = (r->cr[0x07] & ~0x42) | ((height - 1) >> 7 & 0x02) | ((height - 1) >> 3 & 0x40);
  r->cr[0x18] = 0xff; /* line compare out of the way */
  r->cr[0x07] |= 0x10;
  r->cr[0x09] = (r->cr[0x09] | 0x40) & ~0x9f;
  if (vga_vbe_bpp (vga) == 4)
    {
      r->sr[1] &= ~0x08;
    }
  else
    {
      r->sr[4] |= 0x08;
      r->sr[2] |= 0x0f;
      r->gr[5] |= 0x40;
    }
}

static void
write_vbe_enable (Vga *vga, guint16 value)
{
  VgaRegisters *r = &vga->r;
  gboolean was_on = vga_vbe_is_on (vga);

  r->vbe[VBE_ENABLE] = value & (VBE_ENABLED | VBE_GETCAPS | VBE_8BIT_DAC | VBE_LFB | VBE_NOCLEAR);
  if (!vga_vbe_is_on (vga))
    {
      r->vbe[VBE_BANK] = 0;
      return;
    }
  if (was_on)
    return;
  r->vbe[VBE_VIRT_WIDTH] = r->vbe[VBE_XRES];
  r->vbe[VBE_VIRT_HEIGHT] = (guint16)virtual_height (vga);
  r->vbe[VBE_X_OFFSET] = r->vbe[VBE_Y_OFFSET] = 0;
  r->vbe[VBE_BANK] = 0;
  if (!(value & VBE_NOCLEAR))
    {
      gsize size = MIN ((gsize)vga_vbe_stride (vga) * r->vbe[VBE_YRES], VGA_VRAM_SIZE);

      memset (vmm_ram_block_get_data (vga->vram), 0, size);
      vmm_ram_block_mark_dirty (vga->vram, 0, size);
    }
  follow_vbe (vga);
}

static void
write_vbe (Vga *vga, guint index, guint16 value)
{
  VgaRegisters *r = &vga->r;

  vga->dirty = TRUE;
  switch (index)
    {
    case VBE_ID:
      if (value >= VBE_ID_FIRST && value <= VBE_ID_LAST)
        r->vbe[index] = value;
      break;
    case VBE_XRES:
      if (value <= VGA_MAX_WIDTH)
        r->vbe[index] = value & ~7;
      break;
    case VBE_YRES:
      if (value <= VGA_MAX_HEIGHT)
        r->vbe[index] = value;
      break;
    case VBE_BPP:
      r->vbe[index] = value == 0 ? 8 : value;
      break;
    case VBE_BANK:
      /* 64 KiB each; for 4 bpp each covers 64 KiB of every plane. */
      if (value < VGA_VRAM_SIZE / 65536 / (vga_vbe_bpp (vga) == 4 ? 4 : 1))
        r->vbe[index] = value;
      break;
    case VBE_ENABLE:
      write_vbe_enable (vga, value);
      break;
    case VBE_VIRT_WIDTH:
      r->vbe[index] = MAX (value & ~7, r->vbe[VBE_XRES]);
      r->vbe[VBE_VIRT_HEIGHT] = (guint16)virtual_height (vga);
      r->cr[0x13] = (guint8)(vga_vbe_stride (vga) >> 3);
      break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET:
      r->vbe[index] = value;
      break;
    default: /* VIRT_HEIGHT and VIDEO_MEMORY_64K are read-only */
      break;
    }
}

static guint16
read_vbe (Vga *vga, guint index)
{
  if (index >= VGA_N_VBE)
    return 0;
  if (vga->r.vbe[VBE_ENABLE] & VBE_GETCAPS)
    switch (index)
      {
      case VBE_XRES:
        return VGA_MAX_WIDTH;
      case VBE_YRES:
        return VGA_MAX_HEIGHT;
      case VBE_BPP:
        return 32;
      default:
        break;
      }
  return vga->r.vbe[index];
}

/* ---- regions ---- */

static VmmIoResult
low_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return read_port (opaque, 0x3b0 + (guint)offset, value);
}

static VmmIoResult
low_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  return write_port (opaque, 0x3b0 + (guint)offset, (guint8)value);
}

static VmmIoResult
high_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  return read_port (opaque, 0x3c0 + (guint)offset, value);
}

static VmmIoResult
high_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  return write_port (opaque, 0x3c0 + (guint)offset, (guint8)value);
}

const VmmRegionOps vga_low_port_ops = {
  .name = "vga-mono",
  .min_size = 1,
  .max_size = 1,
  .flags = VMM_REGION_UNALIGNED | VMM_REGION_SPLIT,
  .read = low_read,
  .write = low_write,
};

const VmmRegionOps vga_high_port_ops = {
  .name = "vga",
  .min_size = 1,
  .max_size = 1,
  .flags = VMM_REGION_UNALIGNED | VMM_REGION_SPLIT,
  .read = high_read,
  .write = high_write,
};

/* 0x1ce index, 0x1cf data (as PCs have it), 0x1d0 data (aligned). */
static VmmIoResult
vbe_port_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Vga *vga = opaque;

  if (size != 2)
    return VMM_IO_UNKNOWN;
  *value = offset == 0 ? vga->r.vbe_index : read_vbe (vga, vga->r.vbe_index);
  return VMM_IO_OK;
}

static VmmIoResult
vbe_port_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Vga *vga = opaque;

  if (size != 2)
    return VMM_IO_UNKNOWN;
  if (offset == 0)
    vga->r.vbe_index = (guint16)value;
  else
    write_vbe (vga, vga->r.vbe_index, (guint16)value);
  return VMM_IO_OK;
}

const VmmRegionOps vga_vbe_port_ops = {
  .name = "vbe",
  .min_size = 1,
  .max_size = 2,
  .flags = VMM_REGION_UNALIGNED,
  .read = vbe_port_read,
  .write = vbe_port_write,
};

/* QEMU docs/specs/standard-vga: 0x000 EDID, 0x400 VGA ports from 0x3c0, 0x500 VBE registers by
 * index, 0x600 extension: its size, and the framebuffer's byte order. */
#define PAGE_PORTS     0x400
#define PAGE_PORTS_END 0x420
#define PAGE_VBE       0x500
#define PAGE_VBE_END   (PAGE_VBE + VGA_N_VBE * 2)
#define PAGE_EXT_SIZE  0x600
#define PAGE_EXT_ORDER 0x604
#define ORDER_LITTLE   0x1e1e1e1e

static VmmIoResult
page_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  Vga *vga = opaque;

  if (offset + size <= sizeof vga->edid)
    {
      for (guint i = 0; i < size; i++)
        *value |= (guint64)vga->edid[offset + i] << (i * 8);
      return VMM_IO_OK;
    }
  if (offset >= PAGE_PORTS && offset + size <= PAGE_PORTS_END)
    {
      for (guint i = 0; i < size; i++)
        {
          guint64 byte = 0;

          (void)read_port (vga, 0x3c0 + (guint)(offset - PAGE_PORTS) + i, &byte);
          *value |= byte << (i * 8);
        }
      return VMM_IO_OK;
    }
  if (offset >= PAGE_VBE && offset + size <= PAGE_VBE_END && size == 2 && offset % 2 == 0)
    {
      *value = read_vbe (vga, (guint)(offset - PAGE_VBE) / 2);
      return VMM_IO_OK;
    }
  if (size == 4 && (offset == PAGE_EXT_SIZE || offset == PAGE_EXT_ORDER))
    {
      *value = offset == PAGE_EXT_SIZE ? 8 : ORDER_LITTLE;
      return VMM_IO_OK;
    }
  vga->n_unknown++;
  return VMM_IO_UNKNOWN;
}

static VmmIoResult
page_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Vga *vga = opaque;

  if (offset >= PAGE_PORTS && offset + size <= PAGE_PORTS_END)
    {
      for (guint i = 0; i < size; i++)
        (void)write_port (vga, 0x3c0 + (guint)(offset - PAGE_PORTS) + i,
                          (guint8)(value >> (i * 8)));
      return VMM_IO_OK;
    }
  if (offset >= PAGE_VBE && offset + size <= PAGE_VBE_END && size == 2 && offset % 2 == 0)
    {
      write_vbe (vga, (guint)(offset - PAGE_VBE) / 2, (guint16)value);
      return VMM_IO_OK;
    }
  /* Byte order: we are little endian for good. */
  if (size == 4 && offset == PAGE_EXT_ORDER)
    return VMM_IO_OK;
  vga->n_unknown++;
  return VMM_IO_UNKNOWN;
}

const VmmRegionOps vga_page_ops = {
  .name = "vga-page",
  .min_size = 1,
  .max_size = 4,
  .flags = VMM_REGION_UNALIGNED | VMM_REGION_SPLIT,
  .read = page_read,
  .write = page_write,
};
