/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the PCI core. Locks, outermost first: the root bus's config lock (recursive; held in
 * config accesses and while BARs move), a device's own lock, its MSI-X lock, the root bus's INTx
 * lock. Nothing here takes a device's own lock. */
#pragma once
#include <linux/pci_regs.h>

#include "devices/pci/pci.h"

#define PCI_CONFIG_MAX  4096
#define PCI_CONFIG_CONV 256
#define PCI_BAR_ROM     PCI_ALCOVE_N_BARS /* the expansion ROM's place among the BARs */

typedef struct _PciCore PciCore;

struct _PciBus
{
  VmmMachine *machine;
  char *name;
  const PciBusOps *ops;
  gpointer opaque;
  PciDevice *bridge;       /* the function this bus is behind, NULL at the root */
  PciDevice *devices[256]; /* by devfn; config lock of the root */
  /* used on root buses only */
  GRecMutex config_lock;
  GMutex intx_lock;
  gboolean blocked; /* some BAR waits for its place; config lock */
  /* by slot and pin; INTx lock of the root */
  guint intx_count[32][4];
};

struct _PciCore
{
  VmmMachine *machine;
  PciDeviceInfo info;
  guint config_size;
  guint8 *config;  /* what the guest reads */
  guint8 *wmask;   /* bits it may write */
  guint8 *w1cmask; /* bits it clears by writing 1 */
  guint8 *initial; /* values of wmask and w1cmask bits at reset */
  gboolean initial_taken;
  guint cap_next, cap_last;
  guint ext_next, ext_last;
  guint express_cap;
  PciBar bars[PCI_ALCOVE_N_BARS + 1];
  void (*read_hook) (PciDevice *device, guint offset, guint size, guint32 *value);
  void (*write_hook) (PciDevice *device, guint offset, guint size);
  void (*raw_write_hook) (PciDevice *device, guint offset, guint size, guint32 value);
  void (*bus_reset_hook) (PciDevice *device);
  PciBus *secondary;

  /* MSI-X, under msix_lock */
  GMutex msix_lock;
  guint n_msix;
  guint msix_cap;
  guint pba_offset;
  guint8 *table;    /* n_msix * 16 bytes as the guest sees them */
  guint64 *pending; /* one bit a vector */
  VmmMsi **msi;
  VmmRegion msix_region;
  gint msix_enabled; /* atomic for pci_device_msix_enabled */
  gboolean msix_function_mask;

  /* MSI; under msix_lock too */
  guint msi_cap;
  guint n_msi;
  VmmMsi **msi_vectors;
  guint32 msi_pending; /* taken from eventfds of masked vectors */
  gint msi_enabled;    /* atomic */

  /* under the root's intx_lock */
  gboolean intx_level;    /* what the device wants */
  gboolean intx_asserted; /* what is on the wire */
};

/* PCI-to-PCI Bridge Architecture 1.2, 3.2.5.18: while the bit is set, what is behind is in reset. */
static inline gboolean
pci_bridge_is_in_reset (const PciCore *core)
{
  return core->secondary != NULL &&
         (core->config[PCI_BRIDGE_CONTROL] & PCI_BRIDGE_CTL_BUS_RESET) != 0;
}

PciBus *pci_bus_get_root (PciBus *bus);
gboolean pci_bus_attach (PciBus *bus, guint devfn, PciDevice *device, GError **error);
void pci_bus_detach (PciBus *bus, guint devfn);
/* All functions of the bus and below it; config lock held. */
void pci_bus_reset_below (PciBus *bus);

/* bars.c; config lock held */
void pci_bars_update (PciDevice *device);
void pci_bars_unmap_all (PciDevice *device);

/* msix.c */
gboolean pci_msix_init (PciDevice *device, GError **error);
void pci_msix_finish (PciDevice *device);
void pci_msix_reset (PciDevice *device);
/* The message control register may have changed. */
void pci_msix_update (PciDevice *device);
void pci_msix_save (PciDevice *device, VmmStateWriter *writer);
gboolean pci_msix_load (PciDevice *device, VmmStateReader *reader, GError **error);

/* msi.c */
void pci_msi_finish (PciDevice *device);
/* Does the access touch the capability? */
gboolean pci_msi_is_at (PciCore *core, guint offset, guint size);
void pci_msi_update (PciDevice *device);
/* Brings the pending bits in configuration space up to date before they are read. */
void pci_msi_refresh_pending (PciDevice *device);
void pci_msi_reset (PciDevice *device);

/* intx.c */
void pci_intx_update (PciDevice *device);

/* express.c */
void pci_express_init (PciDevice *device);

/* config.c; config lock held, offset and size inside config space */
guint32 pci_config_read (PciDevice *device, guint offset, guint size);
void pci_config_write (PciDevice *device, guint offset, guint size, guint32 value);
