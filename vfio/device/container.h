/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The address space that the functions of one machine do DMA in: all of the guest's RAM, at the
 * guest's addresses. Two ways to the same thing, chosen with the first function: the container of
 * groups (Linux 3.6, "type 1"), and iommufd with a character device a function (Linux 6.6).
 *
 * RAM that is mapped is pinned: it stays with the guest, whatever a balloon or the host's swap would
 * like. Memory that comes later (or goes) is followed. Only RAM: no ROM, no video memory, no other
 * device's registers.
 *
 * Owner: the caller; it outlives its functions, and the machine outlives it or is gone with all
 * functions. Threads: open and close on the control thread. Mapping follows guest memory on any. */
#pragma once
#include "vfio/device/kernel.h"
#include "vmm/machine.h"

typedef struct _VfioContainer VfioContainer;

typedef enum
{
  VFIO_WAY_AUTO,   /* groups when the group's file is there, else iommufd */
  VFIO_WAY_GROUPS, /* /dev/vfio/vfio and /dev/vfio/GROUP */
  VFIO_WAY_IOMMUFD,
} VfioWay;

/* kernel: borrowed. */
VfioContainer *vfio_container_new (VmmMachine *machine, VfioKernel *kernel, VfioWay way);
/* No function may be open. */
void vfio_container_free (VfioContainer *container);
VfioKernel *vfio_container_get_kernel (VfioContainer *container);
VmmMachine *vfio_container_get_machine (VfioContainer *container);
/* AUTO until the first function is open. */
VfioWay vfio_container_get_way (VfioContainer *container);

/* Where a function was found. */
typedef struct
{
  int fd;         /* of the device */
  int group;      /* number, -1 by iommufd */
  guint32 dev_id; /* by iommufd: the kernel's number of it */
} VfioOpen;

/**
 * vfio_container_open:
 * @sysfs: the function's folder, such as /sys/bus/pci/devices/0000:01:00.0
 * @name: what people and the kernel call it: 0000:01:00.0
 * @vf_token: (nullable): the UUID shared with the user of the physical function
 *
 * Opens the function; with the first one the guest's RAM is mapped. On error nothing remains.
 * Errors: NOT_FOUND (no such device, no isolation group), PERMISSION, BUSY (the group is open in
 * another program; not viable: a mate is named), NO_MEMORY (the limit on locked memory, with what is
 * needed), INVALID (RAM lies where the IOMMU cannot reach).
 */
gboolean vfio_container_open (VfioContainer *container,
                              const char *sysfs,
                              const char *name,
                              const char *vf_token,
                              VfioOpen *ret_open,
                              GError **error);
/* Closes the device, and with the last one of a group the group, with the last of all the mappings. */
void vfio_container_close (VfioContainer *container, const VfioOpen *open);

/* For hot resets: the files that prove ownership of groups. Returns their number, at most max, or
 * -ENOENT when one of the groups is not ours. By iommufd there are none: 0. */
int vfio_container_get_group_fds (
    VfioContainer *container, const int *groups, guint n_groups, gint32 *ret_fds, guint max);

/* Devices reach each other's memory, where the kernel and the IOMMU have that: it fails without any
 * error. Before the first function is opened. */
void vfio_container_set_p2p (VfioContainer *container, gboolean on);
typedef struct
{
  gboolean on;
  guint64 n_mapped; /* bytes of devices, now */
  guint64 n_failed; /* parts that could not be mapped, so far */
} VfioP2p;
void vfio_container_get_p2p (VfioContainer *container, VfioP2p *ret);

/* Bytes of RAM mapped now. */
guint64 vfio_container_get_n_mapped (VfioContainer *container);
