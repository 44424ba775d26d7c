/* SPDX-License-Identifier: GPL-3.0-or-later */
/* PCI core: buses, functions, configuration space, BARs, capabilities, INTx, MSI, MSI-X.
 *
 * A PCI device embeds PciDevice first. In its realize it calls pci_device_init with what it is,
 * adds BARs and capabilities; the core owns configuration space, BAR mapping, interrupt choice,
 * masking and the PBA. A device calls pci_device_raise(dev, vector) and pci_device_set_intx.
 * Spec: PCI Local Bus 3.0, PCI Express Base 5.0.
 * Threads: config accesses on vCPU threads (under bus->lock); raise from any thread. */
#pragma once
#include "vmm/device.h"
#include "vmm/machine.h"

typedef struct _PciBus PciBus;
typedef struct _PciDevice PciDevice;

#define PCI_ALCOVE_N_BARS              6
#define PCI_MAKE_DEVFN(slot, function) (((slot) << 3) | (function))
#define PCI_DEVFN_AUTO                 (-1)

typedef enum
{
  PCI_BAR_MMIO32,
  PCI_BAR_MMIO64, /* takes two BAR registers */
  PCI_BAR_PIO,
} PciBarKind;

typedef struct
{
  PciBarKind kind;
  gboolean prefetchable;
  guint64 size;       /* power of two */
  VmmRegion *region;  /* (nullable) trapped BAR; or */
  VmmRamBlock *block; /* (nullable) RAM-backed BAR (video memory) */
  /* Called after the BAR moved, was enabled or disabled (ioeventfds follow it). base: guest
   * address or PCI_BAR_UNMAPPED. bus lock held. */
  void (*moved) (PciDevice *device, guint bar, guint64 base);
  /*< private >*/
  guint64 base;
  VmmMapping *mapping;
  gboolean used;
} PciBar;
#define PCI_BAR_UNMAPPED G_MAXUINT64

typedef struct
{
  guint16 vendor, device, subsystem_vendor, subsystem;
  guint8 revision, class_base, class_sub, class_prog;
  guint8 header_type; /* 0 endpoint, 1 bridge */
  gboolean express;   /* adds the PCI Express capability (endpoint or RC integrated by place) */
  gboolean
      own_layout;  /* 4096 bytes of configuration space whose capabilities the device lays out */
  guint n_msix;    /* vectors; 0: no MSI-X */
  guint msix_bar;  /* BAR that holds table and PBA: made by the core, do not add it */
  guint8 intx_pin; /* 1..4 = INTA..D, 0 none */
} PciDeviceInfo;

struct _PciDevice
{
  VmmDevice parent;
  struct
  {
    PciBus *bus;   /* property "bus" (pointer) */
    guint64 devfn; /* property "devfn": slot << 3 | function */
    guint64 multifunction;
  } pci_config;
  /* The rest belongs to the core: see pci-private.h */
  struct _PciCore *core;
};

/* For the properties table of each PCI device. */
#define PCI_DEVICE_PROPERTIES                                                                      \
  { "bus", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (PciDevice, pci_config.bus), .required = TRUE },  \
      { "devfn", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (PciDevice, pci_config.devfn), 0,              \
        255,     .required = TRUE },                                                               \
  {                                                                                                \
    "multifunction", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (PciDevice, pci_config.multifunction), 0,  \
        1                                                                                          \
  }

/* In realize, first. Errors: BUSY when the slot is taken (both named). */
gboolean
pci_device_init (PciDevice *device, VmmMachine *machine, const PciDeviceInfo *info, GError **error);
/* In unrealize, last. Takes it off the bus, unmaps BARs, drains handlers. */
void pci_device_finish (PciDevice *device);
/* In reset: config space, BARs, MSI-X, INTx to reset values. */
void pci_device_reset (PciDevice *device);
/* In save and load, before the device's own fields. load re-maps BARs. */
void pci_device_save (PciDevice *device, VmmStateWriter *writer);
gboolean pci_device_load (PciDevice *device, VmmStateReader *reader, GError **error);

gboolean pci_device_add_bar (PciDevice *device, guint index, const PciBar *bar, GError **error);
/* The expansion ROM (PCI 3.0, 6.2.5.2): a copy of image, mapped read-only where the guest puts it.
 * In realize, once. Errors: INVALID for a length of 0 or above PCI_ROM_MAX. */
#define PCI_ROM_MAX (16u * 1024 * 1024)
gboolean pci_device_set_rom (PciDevice *device, const guint8 *image, gsize length, GError **error);
/* Returns the offset of the capability in configuration space. length includes the 2-byte header;
 * contents start zeroed and read-only; set them with pci_device_set_config, writable bits with
 * set_wmask, write-1-to-clear bits with set_w1cmask. */
guint pci_device_add_capability (PciDevice *device, guint8 id, guint length);
guint pci_device_add_ext_capability (PciDevice *device, guint16 id, guint version, guint length);
void pci_device_set_config (PciDevice *device, guint offset, guint size, guint32 value);
guint32 pci_device_get_config (PciDevice *device, guint offset, guint size);
void pci_device_set_wmask (PciDevice *device, guint offset, guint size, guint32 mask);
void pci_device_set_w1cmask (PciDevice *device, guint offset, guint size, guint32 mask);
/* Hooks around config accesses for capabilities with side effects. (nullable) each. read may
 * change *value; write is called after masked storage with old and new in config space. */
void pci_device_set_config_hooks (
    PciDevice *device,
    void (*read) (PciDevice *device, guint offset, guint size, guint32 *value),
    void (*write) (PciDevice *device, guint offset, guint size));

/* (nullable) A bridge above began a reset of the bus (PCI Express 5.0, 6.6.1: a hot reset reaches all
 * below). The hook resets the device, its configuration space too (pci_device_reset). Config lock
 * held, on a vCPU thread. */
void pci_device_set_bus_reset_hook (PciDevice *device, void (*bus_reset) (PciDevice *device));

/* (nullable) called with what the guest writes, before write: config space holds the masked result. */
void pci_device_set_raw_write_hook (
    PciDevice *device,
    void (*raw_write) (PciDevice *device, guint offset, guint size, guint32 value));

/* Capabilities of functions with own_layout. The bytes of the capability are in configuration space
 * at cap; these make the registers live. In realize, once each. */
void pci_device_set_express_capability (PciDevice *device, guint cap);
/* n_vectors: 1..2048. The table and the pending bits lie wherever the device's BARs have them: its
 * handlers pass accesses on to pci_device_msix_*, offsets from the beginning of each. */
gboolean pci_device_add_msix_at (PciDevice *device, guint cap, guint n_vectors, GError **error);
VmmIoResult
pci_device_msix_read (PciDevice *device, guint64 offset, guint size, guint64 *ret_value);
VmmIoResult pci_device_msix_write (PciDevice *device, guint64 offset, guint size, guint64 value);
VmmIoResult
pci_device_msix_read_pending (PciDevice *device, guint64 offset, guint size, guint64 *ret_value);
/* By its own bit, by the function's, or because MSI-X is off. */
gboolean pci_device_msix_is_masked (PciDevice *device, guint vector);
/* n_vectors: a power of two, 1..32; 64-bit addresses and mask bits as the capability's control
 * register says, which is read-only but for enable and the number of vectors. */
void pci_device_add_msi_at (PciDevice *device, guint cap, guint n_vectors);
/* Vectors the guest allows; 0: MSI is off. */
guint pci_device_msi_get_n_enabled (PciDevice *device);
/* As pci_device_get_vector_eventfd. */
int pci_device_get_msi_eventfd (PciDevice *device, guint vector, GError **error);

/* Bus mastering is on: DMA may happen. */
gboolean pci_device_can_dma (PciDevice *device);
guint64 pci_device_get_bar_base (PciDevice *device, guint bar); /* or PCI_BAR_UNMAPPED */
PciBus *pci_device_get_bus (PciDevice *device);
gboolean pci_device_is_behind_bridge (PciDevice *device);
guint pci_device_get_config_size (PciDevice *device); /* 256 or 4096 */
/* As the guest's own accesses, for a device that shows its configuration space elsewhere too. offset and
 * size inside it. Config lock not held, nor the device's. */
guint32 pci_device_config_read (PciDevice *device, guint offset, guint size);
void pci_device_config_write (PciDevice *device, guint offset, guint size, guint32 value);

/* Interrupts. vector < n_msix. When MSI-X is off, raise does nothing and FALSE comes back: the
 * device uses INTx. */
gboolean pci_device_msix_enabled (PciDevice *device);
gboolean pci_device_raise (PciDevice *device, guint vector);
void pci_device_set_intx (PciDevice *device, gboolean level);
/* The GSI at the I/O APIC of the function's pin, through all bridges; -1: it has no pin, or the board
 * does not tell. */
int pci_device_get_intx_gsi (PciDevice *device);
/* MSI with one vector, for functions that have no MSI-X. In realize, once. */
void pci_device_add_msi (PciDevice *device);
/* FALSE when the guest has MSI off: the device uses INTx. While it is on, INTx stays low. */
gboolean pci_device_raise_msi (PciDevice *device);
/* An eventfd that raises the vector (vhost). Follows masking: while masked the signal is held
 * pending. Errors as vmm_msi_get_eventfd. */
int pci_device_get_vector_eventfd (PciDevice *device, guint vector, GError **error);

/* Buses. The root bus belongs to the board; root ports own theirs. */
typedef struct
{
  /* INTx pin (0..3) of a slot changed its wired-OR level. Board: PIRQ; bridge: swizzle upwards. */
  void (*set_intx) (gpointer opaque, guint slot, guint pin, gboolean level);
  /* (nullable) root: the GSI of the I/O APIC that a pin drives, whatever else it does. */
  guint (*get_gsi) (gpointer opaque, guint slot, guint pin);
  /* (nullable) presence changed by hot-plug. */
  void (*presence) (gpointer opaque, guint slot, gboolean present);
} PciBusOps;
PciBus *pci_bus_new (VmmMachine *machine, const char *name, const PciBusOps *ops, gpointer opaque);
void pci_bus_free (PciBus *bus);
const char *pci_bus_get_name (PciBus *bus);
PciDevice *pci_bus_find (PciBus *bus, guint devfn);
/* Holds off the guest's config accesses and BAR moves on the whole tree; recursive. Any thread. */
void pci_bus_lock_config (PciBus *bus);
void pci_bus_unlock_config (PciBus *bus);
/* Root only: a config access by bus number, devfn, offset (0..4095), from CF8/CFC or ECAM. Absent
 * functions read all-ones. */
guint32 pci_bus_config_read (PciBus *root, guint bus_nr, guint devfn, guint offset, guint size);
void pci_bus_config_write (
    PciBus *root, guint bus_nr, guint devfn, guint offset, guint size, guint32 value);
void pci_bus_foreach (PciBus *bus,
                      void (*func) (PciDevice *device, gpointer user_data),
                      gpointer user_data);
/* Of the whole tree that the bus is part of, functions that are being made or taken away too. */
void pci_bus_foreach_in_tree (PciBus *bus,
                              void (*func) (PciDevice *device, gpointer user_data),
                              gpointer user_data);
/* Hot-plug: after vmm_device_realize of a device on a running machine, tells the port. (Unplug is
 * told by pci_device_finish; a device that is there at reset needs no announcement.) */
void pci_device_announce (PciDevice *device);
/* Root only: tries BARs again whose place was taken, after something else has moved (ECAM). */
void pci_bus_retry_bars (PciBus *root);
/* Offset of the PCI Express capability, 0 when there is none. */
guint pci_device_get_express_capability (PciDevice *device);
/* Bridges: the bus behind this function (header type 1), decoded by its bus number registers. */
void pci_device_set_secondary_bus (PciDevice *bridge, PciBus *bus);
