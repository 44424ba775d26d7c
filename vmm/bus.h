/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Address spaces of handlers: one VmmBus for port I/O (16 bit) and one for MMIO (64 bit).
 *
 * A VmmRegion is owned by its device (usually a struct member), mapped at an address, and called
 * with offsets, never addresses. The bus checks that the whole access lies inside the region and
 * that size and alignment are what the region takes; a wrong access is split when the region says
 * so, otherwise reads give all-ones and writes are dropped, both counted.
 *
 * Locking: unless LOCKLESS, the handler runs with region->lock held (the device's lock). The bus
 * never holds its own lock while a handler runs, so handlers may map and unmap.
 * Removal: vmm_bus_unmap, then vmm_region_drain (not from within a handler of that region), then
 * free. Threads: vCPU threads dispatch; map and unmap from any thread. */
#pragma once
#include <glib.h>

typedef struct _VmmBus VmmBus;
typedef struct _VmmRegion VmmRegion;

typedef enum
{
  VMM_IO_OK,
  VMM_IO_UNKNOWN, /* no such register: reads as given in *value (0), counted */
} VmmIoResult;

typedef enum
{
  VMM_REGION_NONE = 0,
  VMM_REGION_UNALIGNED = 1 << 0, /* accesses need not be aligned to their size */
  VMM_REGION_SPLIT = 1 << 1,     /* larger accesses than max_size are split into max_size pieces */
  VMM_REGION_LOCKLESS = 1 << 2,  /* the handler does its own synchronization */
  VMM_REGION_WIDEN = 1 << 3,     /* reads smaller than min_size are cut out of a min_size read */
} VmmRegionFlags;

typedef struct
{
  const char *name;
  guint8 min_size; /* bytes, 1, 2, 4 or 8; smaller accesses are refused, or see WIDEN */
  guint8 max_size; /* bytes, 1, 2, 4 or 8 */
  VmmRegionFlags flags;
  /* offset: bytes into the region. *value is zero on entry. */
  VmmIoResult (*read) (gpointer opaque, guint64 offset, guint size, guint64 *value);
  /* value has only size*8 bits set. */
  VmmIoResult (*write) (gpointer opaque, guint64 offset, guint size, guint64 value);
} VmmRegionOps;

struct _VmmRegion
{
  /* config, set by vmm_region_init */
  const VmmRegionOps *ops;
  gpointer opaque;
  GMutex *lock; /* (nullable) borrowed: the device's */
  guint64 size; /* bytes */
  /* protected by the bus map lock */
  VmmBus *bus; /* where it is mapped, or NULL */
  guint64 base;
  /* atomic */
  gint in_flight;
  guint64 n_unknown;
};

void vmm_region_init (
    VmmRegion *region, const VmmRegionOps *ops, gpointer opaque, GMutex *lock, guint64 size);
/* Waits until no handler of the (unmapped) region runs. */
void vmm_region_drain (VmmRegion *region);

/* limit: highest address, inclusive (0xffff for port I/O). */
VmmBus *vmm_bus_new (const char *name, guint64 limit);
void vmm_bus_free (VmmBus *bus);
/* Errors: BUSY on overlap (both named), INVALID past the limit. A region is mapped once at most. */
gboolean vmm_bus_map (VmmBus *bus, guint64 base, VmmRegion *region, GError **error);
/* Does nothing when not mapped. */
void vmm_bus_unmap (VmmRegion *region);
/* size: 1, 2, 4 or 8. An access that no region takes reads all-ones; returns FALSE then (counted). */
gboolean vmm_bus_read (VmmBus *bus, guint64 address, guint size, guint64 *ret_value);
gboolean vmm_bus_write (VmmBus *bus, guint64 address, guint size, guint64 value);
guint64 vmm_bus_get_n_unclaimed (VmmBus *bus);
/* For listings and tests. */
void vmm_bus_foreach (VmmBus *bus,
                      void (*func) (VmmRegion *region, gpointer user_data),
                      gpointer user_data);
