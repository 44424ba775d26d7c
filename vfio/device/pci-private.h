/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by the vfio/device/pci*.c files.
 *
 * Locks, outermost first: the bus's configuration lock (config accesses, BARs and what is mapped for
 * the guest), irq_lock (which interrupts are set up), then the PCI core's MSI-X and INTx locks. */
#pragma once
#include "vfio/device/device.h"
#include "vfio/device/igd.h"
#include "vfio/device/pci.h"

typedef struct _VfioPci VfioPci;

/* A part of a BAR that the guest reaches without us. */
typedef struct
{
  guint64 offset, size;
  VmmRamBlock *block;
  VmmMapping *mapping; /* NULL: trapped at present */
} VfioSlot;

typedef struct
{
  VfioPci *pci;
  guint index;
  const VfioRegion *source; /* NULL: no such BAR */
  guint64 size;             /* a power of two */
  VmmRegion region;         /* takes what no slot does */
  guint64 base;             /* or PCI_BAR_UNMAPPED; config lock */
  gpointer reserved;        /* address space, PROT_NONE but for the slots */
  gsize reserved_size;
  VfioSlot *slots;
  guint n_slots;
} VfioPciBar;

typedef enum
{
  VFIO_IRQ_MODE_NONE,
  VFIO_IRQ_MODE_INTX,
  VFIO_IRQ_MODE_MSI,
  VFIO_IRQ_MODE_MSIX,
} VfioIrqMode;

typedef struct
{
  guint cap; /* 0: none */
  guint n;
  guint table_bar, pba_bar;
  guint64 table_offset, pba_offset;
} VfioMsix;

/* A part of a BAR that shows configuration space again. */
typedef struct
{
  guint bar;
  guint64 offset, size;
  guint config; /* where it begins there */
} VfioMirror;

#define VFIO_MIRRORS_MAX 2

/* An address that leads there through a window of two registers. */
typedef struct
{
  guint32 base, size;
} VfioMatch;

/* What is known of a kind of card: pci-quirks.c. */
typedef struct
{
  VfioMirror mirrors[VFIO_MIRRORS_MAX];
  guint n_mirrors;
  gboolean has_window, has_ack, window_gated;
  guint window_bar;
  guint window_address, window_data; /* offsets of the registers */
  guint n_matches;
  VfioMatch matches[2];
  gint window_value, window_master, window_enable; /* atomic: what the guest wrote */
  gboolean has_table_window;
  gint table_open, table_address, table_data; /* atomic */
  gboolean has_vga_window, has_vga_bar;
  gint vga_state, vga_address; /* atomic: VfioVgaState; where the window leads */
  gboolean is_radeon;
  int ack_fd; /* -1; config lock, as what follows */
  guint64 ack_gpa, ack_value;
  guint ack_config, ack_size, ack_hits;
} VfioQuirks;

#define VFIO_VGA_PARTS 3
typedef struct
{
  VfioPci *pci; /* NULL: not there */
  guint64 place;
  VmmRegion region;
} VfioVgaPart;

struct _VfioPci
{
  PciDevice parent;
  struct
  {
    VfioContainer *container;
    char *host, *sysfs, *vf_token;
    gboolean rom, vga;
    guint64 igd; /* VfioPciIgd */
    GBytes *rom_image;
    VfioPciEvents *events;
  } config;
  struct
  {
    VfioDevice *device;
    const VfioRegion *space; /* configuration space */
    guint space_size;        /* bytes that exist: 256 or 4096 */
    guint8 *physical;        /* a copy from realize */
    guint8 *virtual_bits;    /* a bit is ours, not the device's */
    guint pm_cap, express_cap, af_cap, msi_cap, n_msi;
    VfioMsix msix;
    VfioPciBar bars[PCI_ALCOVE_N_BARS];
    gboolean asleep;    /* D1 to D3: nothing is mapped; config lock */
    gboolean low_power; /* the kernel may cut its power; config lock */
    gboolean fresh;     /* reset, and not touched by the guest since; config lock */
    gboolean dead;      /* configuration space could not be read */
    gboolean has_low_power;
    VfioQuirks quirks;
    gboolean is_igd;
    VfioPciGraphics graphics;
    const VfioRegion *vga_region;
    VfioVgaPart vga_parts[VFIO_VGA_PARTS];

    GMutex irq_lock;
    VfioIrqMode mode;
    gboolean closed;  /* no interrupts any more */
    guint n_vectors;  /* enabled at the kernel */
    gboolean *in_use; /* MSI-X: the kernel signals the vector */
    int intx_gsi;
    int intx_fd, intx_fast_fd, unmask_fd; /* -1 */
    VmmSource *intx_source;
    VmmTimer *intx_timer;
    gboolean intx_fast;    /* by the hypervisor alone */
    gboolean intx_pending; /* slow: raised, waits for the guest */
    gboolean intx_trapped; /* slow: nothing is mapped meanwhile; config lock */

    int error_fd, request_fd;
    VmmSource *error_source, *request_source;
    guint64 n_reads, n_writes, n_slow; /* atomic */
  } host;
};

static inline guint32
vfio_pci_le (const guint8 *bytes, guint size)
{
  guint32 value = 0;

  for (guint i = 0; i < size; i++)
    value |= (guint32)bytes[i] << (i * 8);
  return value;
}

void G_GNUC_PRINTF (2, 3) vfio_pci_note (VfioPci *pci, const char *format, ...);

/* pci-config.c */
/* Reads configuration space and finds what is in it, before pci_device_init. */
gboolean vfio_pci_read_config (VfioPci *pci, GError **error);
/* The guest's view, after it. */
gboolean vfio_pci_init_config (VfioPci *pci, GError **error);
void vfio_pci_finish_config (VfioPci *pci);
guint32 vfio_pci_physical_read (VfioPci *pci, guint offset, guint size);
int vfio_pci_physical_write (VfioPci *pci, guint offset, guint size, guint32 value);

/* pci-bars.c */
gboolean vfio_pci_init_bars (VfioPci *pci, GError **error);
void vfio_pci_finish_bars (VfioPci *pci);
/* Maps or unmaps what can be mapped, as decoding, sleep and a slow interrupt have it. Config lock. */
void vfio_pci_update_slots (VfioPci *pci);
/* All of them, before decoding is switched off at the device. Config lock. */
void vfio_pci_unmap_slots (VfioPci *pci);

/* pci-quirks.c */
/* By what configuration space says; after the guest's view of it, before BARs are made. */
void vfio_pci_init_quirks (VfioPci *pci);
/* What the guest had begun in one of them is forgotten. */
void vfio_pci_reset_quirks (VfioPci *pci);
/* As long as BARs are not made. */
void vfio_pci_add_mirror (VfioPci *pci, guint bar, guint64 offset, guint64 size, guint config);
/* The n-th part of a BAR that the guest may not reach without us. */
gboolean
vfio_pci_get_watched (VfioPci *pci, guint bar, guint n, guint64 *ret_offset, guint64 *ret_size);
/* TRUE: the access is done. Config lock not held. */
gboolean vfio_pci_quirk_read (VfioPciBar *bar, guint64 offset, guint size, guint64 *value);
gboolean vfio_pci_quirk_write (VfioPciBar *bar, guint64 offset, guint size, guint64 value);
/* Before the BAR moves. Config lock. */
void vfio_pci_quirk_moved (VfioPci *pci, guint bar);

/* pci-igd.c */
/* After the guest's view of configuration space, before BARs. */
gboolean vfio_pci_init_igd (VfioPci *pci, GError **error);
void vfio_pci_finish_igd (VfioPci *pci);

/* pci-rtl8168.c */
/* After configuration space has been looked through. */
gboolean vfio_pci_is_rtl8168 (VfioPci *pci);
/* As vfio_pci_quirk_*. */
gboolean vfio_pci_rtl8168_read (VfioPciBar *bar, guint64 offset, guint size, guint64 *value);
gboolean vfio_pci_rtl8168_write (VfioPciBar *bar, guint64 offset, guint size, guint64 value);

/* pci-radeon.c */
gboolean vfio_pci_is_radeon (VfioPci *pci);
/* Quiet and awake before. FALSE: it could not be done, and other ways may. Waits up to 0.1 s. */
gboolean vfio_pci_reset_radeon (VfioPci *pci);

/* pci-vga.c */
gboolean vfio_pci_init_vga (VfioPci *pci, GError **error);
void vfio_pci_finish_vga (VfioPci *pci);

/* pci-irqs.c */
gboolean vfio_pci_init_irqs (VfioPci *pci, GError **error);
/* After pci_device_finish the vectors' descriptors are gone: before it. */
void vfio_pci_finish_irqs (VfioPci *pci);
/* Brings what the kernel signals in line with what the guest has enabled. */
void vfio_pci_update_irqs (VfioPci *pci);
void vfio_pci_disable_irqs (VfioPci *pci);
/* The guest reached a register of the device: with a slow INTx it has seen the interrupt. */
void vfio_pci_acknowledge (VfioPci *pci);

/* pci-rom.c */
gboolean vfio_pci_init_rom (VfioPci *pci, GError **error);
/* What is wrong with an image for this function: NULL or (transfer full) words. */
char *vfio_pci_check_rom (const guint8 *rom, gsize size, guint16 vendor, guint16 device);

/* pci-reset.c */
typedef enum
{
  VFIO_RESET_FUNCTION, /* nothing else may be hit that works */
  VFIO_RESET_BUS,      /* the guest resets the bus that it sees the function on, all at once */
  VFIO_RESET_MACHINE,  /* all functions of the machine are reset, one after the other */
} VfioResetScope;

void vfio_pci_reset_hardware (VfioPci *pci, VfioResetScope scope);
/* What a bridge of the guest asks for. Config lock held. */
void vfio_pci_on_bus_reset (PciDevice *device);
