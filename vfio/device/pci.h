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

/* Properties: those of a PCI device, and
 *   container  pointer, required
 *   host       string, required: 0000:01:00.0, or the UUID of a mediated device
 *   sysfs      string, required: its folder in /sys
 *   rom        bool: show the card's start-up program; TRUE
 *   rom-image  pointer to GBytes: this instead of what the card has (borrowed during realize)
 *   vf-token   string
 *   vga        bool: the legacy VGA ports and memory are this card's
 *   events     pointer to VfioPciEvents (borrowed; lives as long as the device) */

/* The link as it is: speed as in the link status register (1: 2.5 GT/s, 2: 5, 3: 8 ...), width in
 * lanes. FALSE when the function has no link. */
gboolean vfio_pci_get_link (VmmDevice *device, guint *ret_speed, guint *ret_width);
/* Bytes of address space above 4 GiB that its BARs need, each on a multiple of its size. */
guint64 vfio_pci_get_window_size (VmmDevice *device);
/* Counters of the data path: accesses that had to be done here, interrupts that passed through here. */
typedef struct
{
  guint64 reads, writes, slow_interrupts;
} VfioPciStats;
void vfio_pci_get_stats (VmmDevice *device, VfioPciStats *ret_stats);
/* How the guest has set up its interrupts: "none", "intx", "msi" or "msix"; of ret_n vectors. Thread:
 * any. */
const char *vfio_pci_get_interrupts (VmmDevice *device, guint *ret_n);
