/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by container.c and the two ways: container-group.c, container-iommufd.c. */
#pragma once
#include "vfio/device/container.h"

#define CONTAINER_IOMMU_PATH "/dev/iommu"

typedef struct
{
  guint64 start, last; /* inclusive */
} VfioRange;

typedef struct
{
  /* Opens the device and attaches it; the address space is there afterwards. */
  gboolean (*open) (VfioContainer *container,
                    const char *sysfs,
                    const char *name,
                    const char *vf_token,
                    VfioOpen *ret_open,
                    GError **error);
  void (*close) (VfioContainer *container, const VfioOpen *open);
  /* Fills container->ranges, least: what all devices attached so far can reach. */
  gboolean (*read_ranges) (VfioContainer *container, GError **error);
  /* -errno or 0 */
  int (*map) (VfioContainer *container, guint64 iova, gpointer address, guint64 length);
  int (*unmap) (VfioContainer *container, guint64 iova, guint64 length);
  /* The last device is closed. */
  void (*finish) (VfioContainer *container);
} VfioWayOps;

typedef struct
{
  int number, fd;
  guint n_devices;
} VfioOpenGroup;

struct _VfioContainer
{
  VmmMachine *machine;
  VfioKernel *kernel;
  VfioWay wanted;
  const VfioWayOps *ops; /* NULL: nothing is open */
  guint n_devices;
  gboolean listening;
  GMutex lock;      /* what follows */
  GArray *ranges;   /* VfioRange, ascending; empty: the kernel does not say */
  guint64 n_mapped; /* bytes */
  guint64 n_ram;    /* bytes when the first device came */
  gboolean p2p;     /* fixed while a device is open */
  GArray *peers;    /* BARs that are mapped: container-peers.c */
  guint64 n_peers_failed;
  /* groups */
  int fd;         /* /dev/vfio/vfio or /dev/iommu; -1 */
  GArray *groups; /* VfioOpenGroup */
  /* iommufd */
  guint32 ioas;
};

extern const VfioWayOps vfio_way_groups;
extern const VfioWayOps vfio_way_iommufd;

static inline int
vfio_ioctl (VfioContainer *container, int fd, gulong request, gpointer argument)
{
  return container->kernel->ops->ioctl (container->kernel, fd, request, argument);
}

/* All of it; lock is held. */
gboolean vfio_container_is_reachable (VfioContainer *container, guint64 first, guint64 last);

/* container-peers.c: BARs of devices as they are mapped for the guest. Nothing for other memory. */
GArray *vfio_container_new_peers (void);
void vfio_container_map_peer (VfioContainer *container, VmmMapping *mapping);
void vfio_container_unmap_peer (VfioContainer *container, VmmMapping *mapping);

/* Messages of open(2) for the files below /dev. */
gboolean vfio_container_set_open_error (GError **error, int r, const char *path, const char *name);
/* The same when it is not there. */
gboolean vfio_container_set_missing_error (GError **error, const char *path, const char *name);
/* Of a virtual function that wants a token: none was given, or another one. */
gboolean vfio_container_set_token_error (
    VfioContainer *container, const char *sysfs, const char *name, gboolean given, GError **error);
/* The mates that a driver of the host holds: "0000:01:00.1 (in use by “snd_hda_intel”)"; empty: none is
 * known. (transfer full) */
char *vfio_container_describe_mates (VfioContainer *container, const char *sysfs);
/* Tells the hypervisor; without it the machine works, DMA that is not coherent may not. */
void vfio_container_tell_accel (VfioContainer *container, int fd, gboolean add);
