/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Between vga.c (life cycle), vga-regs.c (registers), vga-memory.c (legacy window) and vga-draw.c
 * (picture). All with the lock held. */
#pragma once
#include "devices/display/vga.h"

/* Bochs VBE display interface: register numbers and enable bits. */
enum
{
  VBE_ID,
  VBE_XRES,
  VBE_YRES,
  VBE_BPP,
  VBE_ENABLE,
  VBE_BANK,
  VBE_VIRT_WIDTH,
  VBE_VIRT_HEIGHT,
  VBE_X_OFFSET,
  VBE_Y_OFFSET,
  VBE_VIDEO_MEMORY_64K,

  VBE_ENABLED = 0x01,
  VBE_GETCAPS = 0x02,
  VBE_8BIT_DAC = 0x20,
  VBE_LFB = 0x40,
  VBE_NOCLEAR = 0x80,

  VBE_ID_FIRST = 0xb0c0,
  VBE_ID_LAST = 0xb0c5,
};

extern const VmmRegionOps vga_low_port_ops, vga_high_port_ops, vga_vbe_port_ops, vga_legacy_ops;

void vga_reset_registers (VgaRegisters *r);
gboolean vga_vbe_is_on (const Vga *vga);
guint vga_vbe_bpp (const Vga *vga);    /* 4, 8, 15, 16, 24, 32; other values read as 8 */
guint vga_vbe_stride (const Vga *vga); /* bytes; for 4 bpp of interleaved planes */

/* Draws into the surface and reports damage. force: even when nothing seems to have changed. */
void vga_draw (Vga *vga, gboolean force);
