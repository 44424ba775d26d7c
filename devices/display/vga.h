/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A VGA with Bochs VBE extensions, as a part of display devices: "vga" (devices/display/vga-pci.c)
 * and "virtio-vga" (devices/virtio/gpu.c) embed one.
 *
 * The owner makes it in realize with its lock, puts vram behind BAR 0 and the register page into
 * BAR 2, and calls through for reset, quiesce, resume, save and load. The VGA draws into surfaces of
 * its own while it is shown (vga_set_shown) and somebody watches or asks (vga_update).
 *
 * Video memory is 16 MiB of RAM mapped straight into the guest; the legacy window at 0xa0000 is
 * trapped. In the legacy modes the four planes are interleaved: byte 4 * n + p is byte n of plane
 * p, so that chain 4 is linear.
 * Spec: IBM VGA as in "FreeVGA" and the VGA chapters of the Intel 810 PRM (register meanings);
 * Bochs VBE display driver interface 0xb0c5; QEMU's docs/specs/standard-vga (BAR layout).
 * Threads: registers on vCPU threads with the owner's lock held (the caller of vga_page_ops holds
 * it); vga_* functions take it themselves unless named _locked. */
#pragma once
#include "devices/display/scanout.h"
#include "vmm/machine.h"

#define VGA_VRAM_SIZE      (16u * 1024 * 1024)
#define VGA_PAGE_SIZE      4096
#define VGA_N_VBE          11
#define VGA_LEGACY_BASE    0xa0000
#define VGA_LEGACY_SIZE    0x20000
#define VGA_PLANES_SIZE    (256 * 1024) /* what the planar modes reach */
#define VGA_MAX_WIDTH      16000
#define VGA_MAX_HEIGHT     12000
#define VGA_DEFAULT_WIDTH  1280
#define VGA_DEFAULT_HEIGHT 800

typedef struct
{
  /* Index and data registers: sequencer, graphics, attribute controller, CRTC. */
  guint8 sr_index, gr_index, ar_index, cr_index;
  guint8 ar_data_next; /* the flip-flop of port 3c0 */
  guint8 sr[8], gr[16], ar[21], cr[25];
  guint8 misc, feature, status0, status1;
  /* DAC */
  guint8 dac_mask, dac_read, dac_write, dac_component, dac_reading;
  guint8 dac_cache[3], palette[768];
  guint32 latch;
  /* Bochs VBE */
  guint16 vbe_index, vbe[VGA_N_VBE];
} VgaRegisters;

/* What the picture looks like; a change makes a new surface or redraws all. */
typedef struct
{
  guint width, height; /* pixels of the surface */
  guint kind;
} VgaMode;

typedef struct _Vga Vga;
struct _Vga
{
  /* config */
  VmmMachine *machine;
  GMutex *lock; /* the owner's */
  DisplayScanout *scanout;
  VmmRamBlock *vram;
  guint preferred_width, preferred_height;
  guint8 edid[256];

  /* guest (with lock); vram belongs to it too */
  VgaRegisters r;

  /* host */
  VmmRegion ports_low, ports_high, vbe_ports, legacy;
  VmmTimer *timer;
  DisplaySurface *surface;
  VgaMode mode;
  guint32 colours[256]; /* the palette as XRGB */
  guint32 *row;         /* one line of the surface */
  gboolean shown, watched, quiesced;
  gboolean dirty;    /* registers, palette or trapped memory changed since the last update */
  gboolean blink_on; /* the half of the blink period last drawn */
  guint n_idle;      /* updates in turn that found nothing */
  guint64 n_updates, n_unknown;
};

/* Maps the legacy ports and window when they are free (another adapter may be the legacy one).
 * width, height: the preferred mode in the EDID, 0 for the default. */
gboolean vga_init (Vga *vga,
                   VmmMachine *machine,
                   GMutex *lock,
                   DisplayScanout *scanout,
                   guint width,
                   guint height,
                   GError **error);
/* Accepts a half-built one. The owner has taken BARs away and cleared the scanout's producer. */
void vga_finish (Vga *vga);
void vga_reset (Vga *vga);
void vga_quiesce (Vga *vga);
void vga_resume (Vga *vga);
void vga_save (Vga *vga, VmmStateWriter *writer);
gboolean vga_load (Vga *vga, VmmStateReader *reader, GError **error);

/* BAR 2's first page: EDID at 0, ports 0x3c0..0x3df at 0x400, VBE registers at 0x500. The opaque is
 * the Vga; called with the owner's lock held. */
extern const VmmRegionOps vga_page_ops;

/* The EDID's preferred mode; the guest sees it at its next look. Lock held. */
void vga_set_preferred_locked (Vga *vga, guint width, guint height);
/* Shown: the scanout carries this VGA's picture. Lock held. */
void vga_set_shown_locked (Vga *vga, gboolean shown);
void vga_set_watched (Vga *vga, gboolean watched);
/* Draws what changed now. */
void vga_update (Vga *vga);

/* The option ROM of that name from the host's directories, or NULL: firmware that needs none (UEFI)
 * goes without. Control thread, in realize. (transfer full) */
GBytes *vga_find_rom (const char *name);
