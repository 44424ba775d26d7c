/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A PCI function of the host in the machine: the guest's driver works with the real device. Its
 * memory is the guest's own (no exit of the processor on the way), its interrupts go from the kernel
 * to the guest's processors without us; configuration space, the interrupt tables and what has to be
 * watched are handled here.
 *
 * It cannot be saved: what is inside the device cannot be read.
 *
 * Spec: PCI Local Bus 3.0, PCI Express Base 5.0; Linux, include/uapi/linux/vfio.h.
 * Threads: as devices; see README.md for locks. */
#pragma once
#include "devices/pci/pci.h"
#include "vfio/device/container.h"

extern const VmmDeviceOps vfio_pci_ops;

/* What the machine's owner hears. */
typedef struct
{
  /* The host wants the device back: ask the guest, then take it out. On a worker, again every few
   * seconds until it is gone. */
  void (*requested) (gpointer user_data);
  /* Something to know, as a sentence without its end. Any thread, perhaps again and again. */
  void (*note) (const char *text, gpointer user_data);
  /* vfio_pci_get_interrupts says something else now. Any thread, as often as the guest likes. */
  void (*changed) (gpointer user_data);
  gpointer user_data;
} VfioPciEvents;

/* What is done about graphics that Intel builds into processors; nothing else is such. */
typedef enum
{
  VFIO_PCI_IGD_OFF,    /* a device as any other */
  VFIO_PCI_IGD_ON,     /* its OpRegion is the guest's, the host's stolen memory is hidden */
  VFIO_PCI_IGD_LEGACY, /* stolen memory and the chipset's names too: for its start-up program */
} VfioPciIgd;

/* Properties: those of a PCI device, and
 *   container  pointer, required
 *   host       string, required: 0000:01:00.0, or the UUID of a mediated device
 *   sysfs      string, required: its folder in /sys
 *   rom        bool: show the card's start-up program; TRUE
 *   rom-image  pointer to GBytes: this instead of what the card has (borrowed during realize)
 *   vf-token   string
 *   vga        bool: the legacy VGA ports and memory are this card's
 *   igd        VfioPciIgd; ON
 *   events     pointer to VfioPciEvents (borrowed; lives as long as the device) */

/* The link as it is: speed as in the link status register (1: 2.5 GT/s, 2: 5, 3: 8 ...), width in
 * lanes. FALSE when the function has no link. */
gboolean vfio_pci_get_link (VmmDevice *device, guint *ret_speed, guint *ret_width);
/* Bytes of address space above 4 GiB that its BARs need, each on a multiple of its size. */
guint64 vfio_pci_get_window_size (VmmDevice *device);

/* A bridge of the host's chipset. */
typedef struct
{
  gboolean known;
  guint16 vendor, device, subsystem_vendor, subsystem;
  guint8 revision;
} VfioPciBridge;

/* What graphics of Intel's processors want of the machine around them. */
typedef struct
{
  GBytes *opregion;    /* (nullable): to be put into the guest's memory, at a page */
  guint64 stolen_size; /* bytes that firmware is to set aside, and to write the place of; 0: none */
  VfioPciBridge host_bridge, lpc_bridge; /* igd=legacy */
} VfioPciGraphics;

/* (nullable): it is none. Valid while the device is. */
const VfioPciGraphics *vfio_pci_get_graphics (VmmDevice *device);
/* The guest's copy of the OpRegion is there; the device shows the address, below 4 GiB, unless the guest
 * has written one by itself. Until the next reset. Any thread, without the device's locks. */
void vfio_pci_set_opregion_address (VmmDevice *device, guint64 address);

/* Counters of the data path: accesses that had to be done here, interrupts that passed through here. */
typedef struct
{
  guint64 reads, writes, slow_interrupts;
} VfioPciStats;
void vfio_pci_get_stats (VmmDevice *device, VfioPciStats *ret_stats);
/* How the guest has set up its interrupts: "none", "intx", "msi" or "msix"; of ret_n vectors. Thread:
 * any. */
const char *vfio_pci_get_interrupts (VmmDevice *device, guint *ret_n);
