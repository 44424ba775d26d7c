/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A function as the kernel gives it: regions, interrupts, resets, features. What the kernel answers
 * is bounded and checked all the same: a driver of a vendor may stand behind it.
 * Owner: the device that shows it to the guest. Threads: any; the caller orders what must be. */
#pragma once
#include <linux/vfio.h>
#include "vfio/device/container.h"

typedef struct _VfioDevice VfioDevice;

/* A part of a region that may be mapped. */
typedef struct
{
  guint64 offset, size; /* bytes into the region */
} VfioArea;

typedef struct
{
  guint32 index;
  guint32 flags;          /* VFIO_REGION_INFO_FLAG_* */
  guint64 size, offset;   /* bytes; offset in the device's file */
  gboolean msix_mappable; /* the pages of the MSI-X table may be mapped with the rest */
  guint32 type, subtype;  /* of regions above the fixed ones; 0: not told */
  VfioArea *areas;        /* n_areas, ascending, page aligned; none: not mappable */
  guint n_areas;
} VfioRegion;

#define VFIO_REGIONS_MAX 64u

/* (transfer full). Errors as vfio_container_open, and NOT_SUPPORTED for what is no PCI function. */
VfioDevice *vfio_device_new (VfioContainer *container,
                             const char *sysfs,
                             const char *name,
                             const char *vf_token,
                             GError **error);
void vfio_device_free (VfioDevice *device);
const char *vfio_device_get_name (VfioDevice *device);
VfioContainer *vfio_device_get_container (VfioDevice *device);
/* NULL: there is none, or it is empty. */
const VfioRegion *vfio_device_get_region (VfioDevice *device, guint index);
/* (nullable) of a type that is told with the region (graphics of Intel). */
const VfioRegion *vfio_device_find_region (VfioDevice *device, guint32 type, guint32 subtype);
/* The whole range, or -errno: -ENXIO outside the region, -EIO for less than asked. */
int vfio_device_read (
    VfioDevice *device, const VfioRegion *region, guint64 offset, gpointer buffer, gsize size);
int vfio_device_write (
    VfioDevice *device, const VfioRegion *region, guint64 offset, gconstpointer buffer, gsize size);
/* 1, 2, 4 or 8 bytes, little endian. All ones when it cannot be read. */
guint64
vfio_device_read_le (VfioDevice *device, const VfioRegion *region, guint64 offset, guint size);
/* Maps an area in place of what is at address. -errno or 0 */
int
vfio_device_map (VfioDevice *device, const VfioRegion *region, const VfioArea *area, gpointer at);

/* When fd is signalled the kernel writes value (size bytes: 1, 2, 4, 8) there; fd -1 ends it. */
int vfio_device_set_ioeventfd (VfioDevice *device,
                               const VfioRegion *region,
                               guint64 offset,
                               guint size,
                               guint64 value,
                               int fd);

/* Vectors of an interrupt kind (VFIO_PCI_*_IRQ_INDEX); 0: none. */
guint vfio_device_get_n_irqs (VfioDevice *device, guint index);
/* fds: -1 leaves a vector without. The first call enables the kind with start + count vectors.
 * Returns 0, -errno, or how many vectors the host could give (more than 0, fewer than asked). */
int
vfio_device_set_irqs (VfioDevice *device, guint index, guint start, guint count, const gint32 *fds);
int vfio_device_disable_irqs (VfioDevice *device, guint index);
/* INTx: the line may interrupt again; now, or when fd is signalled (-1: only when asked). */
int vfio_device_unmask_intx (VfioDevice *device);
int vfio_device_set_unmask_fd (VfioDevice *device, int fd);

/* TRUE when the kernel knows a way to reset this function alone. */
gboolean vfio_device_can_reset (VfioDevice *device);
int vfio_device_reset (VfioDevice *device);
/* What a reset of the bus would hit besides this function: 0000:01:00.1 ... (transfer full), NULL:
 * the kernel does not offer it. */
char **vfio_device_dup_hot_reset_mates (VfioDevice *device);
/* Resets the bus. -EPERM: something on it is not ours. */
int vfio_device_hot_reset (VfioDevice *device);

/* VFIO_DEVICE_FEATURE_*: TRUE when the kernel and the device have it for setting. */
gboolean vfio_device_has_feature (VfioDevice *device, guint feature);
/* data: (nullable) size bytes. -errno or 0 */
int vfio_device_set_feature (VfioDevice *device, guint feature, gconstpointer data, gsize size);
