/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The legacy window at 0xa0000: write modes, latches, odd/even and chain 4 addressing, banks. */
#include "devices/display/vga-private.h"

/* Each bit of n makes a byte: plane p of the result is 0xff when bit p is set. */
static guint32
expand4 (guint n)
{
  guint32 result = 0;

  for (guint plane = 0; plane < 4; plane++)
    if (n & (1u << plane))
      result |= 0xffu << (plane * 8);
  return result;
}

/* From the window to an address in the memory that the mode shows; FALSE when the window does not
 * decode there. Graphics register 6, bits 2-3: memory map select. */
static gboolean
translate (const Vga *vga, guint64 offset, guint64 *ret_address)
{
  static const struct
  {
    guint start, size;
  } windows[4] = { { 0, 0x20000 }, { 0, 0x10000 }, { 0x10000, 0x8000 }, { 0x18000, 0x8000 } };
  guint select = vga->r.gr[6] >> 2 & 3;

  if (offset < windows[select].start || offset - windows[select].start >= windows[select].size)
    return FALSE;
  *ret_address = offset - windows[select].start;
  if (select <= 1 && vga_vbe_is_on (vga))
    *ret_address += (guint64)vga->r.vbe[VBE_BANK] * 65536;
  return TRUE;
}

static gboolean
is_chain4 (const Vga *vga)
{
  return (vga->r.sr[4] & 0x08) != 0;
}

static gboolean
is_odd_even (const Vga *vga)
{
  return (vga->r.gr[5] & 0x10) != 0;
}

/* Byte index of a plane's byte: odd/even puts odd addresses into the odd plane of the pair. */
static guint64
odd_even_index (const Vga *vga, guint64 address, guint *ret_plane)
{
  *ret_plane = (vga->r.gr[4] & 2) | (guint)(address & 1);
  return (address & ~G_GUINT64_CONSTANT (1)) * 2 + *ret_plane;
}

static guint8
read_byte (Vga *vga, guint64 offset)
{
  VgaRegisters *r = &vga->r;
  const guint8 *vram = vmm_ram_block_get_data (vga->vram);
  guint64 address, index;
  guint plane;
  guint32 difference;

  if (!translate (vga, offset, &address))
    return 0xff;
  if (is_chain4 (vga))
    return address < VGA_VRAM_SIZE ? vram[address] : 0xff;
  if (is_odd_even (vga))
    {
      index = odd_even_index (vga, address, &plane);
      return index < VGA_VRAM_SIZE ? vram[index] : 0xff;
    }
  index = address * 4;
  if (index > VGA_VRAM_SIZE - 4)
    return 0xff;
  r->latch = (guint32)vram[index] | (guint32)vram[index + 1] << 8 | (guint32)vram[index + 2] << 16 |
             (guint32)vram[index + 3] << 24;
  if (!(r->gr[5] & 0x08)) /* read mode 0: one plane */
    return (guint8)(r->latch >> ((r->gr[4] & 3) * 8));
  /* Read mode 1: which pixels have the compare colour, in the planes that count. */
  difference = (r->latch ^ expand4 (r->gr[2])) & expand4 (r->gr[7]);
  difference |= difference >> 16;
  difference |= difference >> 8;
  return (guint8)~difference;
}

/* Graphics register 3: rotate count, and what is done with the latches. */
static guint32
combine (const VgaRegisters *r, guint32 value, guint32 mask)
{
  switch (r->gr[3] >> 3 & 3)
    {
    case 1:
      value &= r->latch;
      break;
    case 2:
      value |= r->latch;
      break;
    case 3:
      value ^= r->latch;
      break;
    default:
      break;
    }
  return (value & mask) | (r->latch & ~mask);
}

static guint8
rotate (const VgaRegisters *r, guint8 value)
{
  guint count = r->gr[3] & 7;

  return (guint8)(value >> count | value << (8 - count));
}

/* The four planes' new bytes for a write of the CPU, by write mode. */
static guint32
planar_value (const VgaRegisters *r, guint8 value)
{
  guint32 bit_mask = r->gr[8] * 0x01010101u;
  guint32 set;

  switch (r->gr[5] & 3)
    {
    case 0:
      set = expand4 (r->gr[1]);
      return combine (r, (rotate (r, value) * 0x01010101u & ~set) | (expand4 (r->gr[0]) & set),
                      bit_mask);
    case 1:
      return r->latch;
    case 2:
      return combine (r, expand4 (value & 15), bit_mask);
    default:
      return combine (r, expand4 (r->gr[0]), (rotate (r, value) & r->gr[8]) * 0x01010101u);
    }
}

static void
store (Vga *vga, guint64 index, guint8 value)
{
  guint8 *byte = vmm_ram_block_get_data (vga->vram) + index;

  if (*byte == value)
    return;
  *byte = value;
  vga->dirty = TRUE;
  vmm_ram_block_mark_dirty (vga->vram, index, 1);
}

static void
write_byte (Vga *vga, guint64 offset, guint8 value)
{
  const VgaRegisters *r = &vga->r;
  guint64 address, index;
  guint plane;
  guint32 planes;

  if (!translate (vga, offset, &address))
    return;
  if (is_chain4 (vga))
    {
      if (address < VGA_VRAM_SIZE && (r->sr[2] & (1u << (address & 3))))
        store (vga, address, value);
      return;
    }
  if (is_odd_even (vga))
    {
      index = odd_even_index (vga, address, &plane);
      if (index < VGA_VRAM_SIZE && (r->sr[2] & (1u << plane)))
        store (vga, index, value);
      return;
    }
  index = address * 4;
  if (index > VGA_VRAM_SIZE - 4)
    return;
  planes = planar_value (r, value);
  for (plane = 0; plane < 4; plane++)
    if (r->sr[2] & (1u << plane))
      store (vga, index + plane, (guint8)(planes >> (plane * 8)));
}

static VmmIoResult
legacy_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  for (guint i = 0; i < size; i++)
    *value |= (guint64)read_byte (opaque, offset + i) << (i * 8);
  return VMM_IO_OK;
}

static VmmIoResult
legacy_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  for (guint i = 0; i < size; i++)
    write_byte (opaque, offset + i, (guint8)(value >> (i * 8)));
  return VMM_IO_OK;
}

const VmmRegionOps vga_legacy_ops = {
  .name = "vga-memory",
  .min_size = 1,
  .max_size = 8,
  .flags = VMM_REGION_UNALIGNED,
  .read = legacy_read,
  .write = legacy_write,
};
