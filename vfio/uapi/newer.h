/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the VFIO interface of newer kernels has and the headers of Linux 6.1 lack: the device's own
 * character device and iommufd (Linux 6.6). The layouts are the kernel's; the names are ours, so that
 * both headers can be there. Source: Linux, include/uapi/linux/vfio.h and iommufd.h.
 *
 * iommufd's errors: ENOTTY, no such request; E2BIG, not zero beyond what the kernel knows;
 * EOPNOTSUPP, a value that it does not know; ENOENT, no such object or address. */
#pragma once
#include <glib.h>
#include <linux/vfio.h>

/* On /dev/vfio/devices/vfioN. */
typedef struct
{
  guint32 argsz, flags;
  gint32 iommufd;
  guint32 out_devid;
  guint64 token_uuid; /* address of 16 bytes, with VFIO_UAPI_BIND_TOKEN (Linux 6.17) */
} VfioUapiBindIommufd;
#define VFIO_UAPI_BIND_TOKEN  (1u << 0)
/* What kernels before 6.17 know of it, which is all of it without a token. */
#define VFIO_UAPI_BIND_SIZE_1 ((guint32)G_STRUCT_OFFSET (VfioUapiBindIommufd, token_uuid))

typedef struct
{
  guint32 argsz, flags;
  guint32 pt_id; /* in: of an address space; out: what it is attached to */
} VfioUapiAttachPt;

#define VFIO_UAPI_BIND_IOMMUFD _IO (VFIO_TYPE, VFIO_BASE + 18)
#define VFIO_UAPI_ATTACH_PT    _IO (VFIO_TYPE, VFIO_BASE + 19)
#define VFIO_UAPI_DETACH_PT    _IO (VFIO_TYPE, VFIO_BASE + 20)

/* DETACH_PT knows no pt_id. */
#define VFIO_UAPI_DETACH_SIZE ((guint32)G_STRUCT_OFFSET (VfioUapiAttachPt, pt_id))

/* VFIO_REGION_TYPE_PCI_VENDOR_TYPE: the kernel's own shifts a signed 1 by 31. */
#define VFIO_UAPI_REGION_VENDOR (1u << 31)

/* VFIO_DEVICE_GET_PCI_HOT_RESET_INFO of a device that is bound to an iommufd. */
#define VFIO_UAPI_HOT_RESET_DEV_ID       (1u << 0) /* group_id holds device ids */
#define VFIO_UAPI_HOT_RESET_DEV_ID_OWNED (1u << 1) /* all of them are ours */

/* On /dev/iommu. Every structure begins with its size. */
typedef struct
{
  guint32 size, flags;
  guint32 out_ioas_id;
} VfioUapiIoasAlloc;

typedef struct
{
  guint32 size, id;
} VfioUapiDestroy;

typedef struct
{
  guint64 start, last; /* inclusive */
} VfioUapiIovaRange;

typedef struct
{
  guint32 size, ioas_id;
  guint32 num_iovas, reserved;
  guint64 allowed_iovas; /* address of num_iovas VfioUapiIovaRange */
  guint64 out_iova_alignment;
} VfioUapiIoasIovaRanges;

#define VFIO_UAPI_MAP_FIXED_IOVA (1u << 0)
#define VFIO_UAPI_MAP_WRITEABLE  (1u << 1)
#define VFIO_UAPI_MAP_READABLE   (1u << 2)
typedef struct
{
  guint32 size, flags, ioas_id, reserved;
  guint64 user_va, length, iova;
} VfioUapiIoasMap;

typedef struct
{
  guint32 size, ioas_id;
  guint64 iova, length;
} VfioUapiIoasUnmap;

#define VFIO_UAPI_IOMMU_DESTROY          _IO (VFIO_TYPE, 0x80)
#define VFIO_UAPI_IOMMU_IOAS_ALLOC       _IO (VFIO_TYPE, 0x81)
#define VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES _IO (VFIO_TYPE, 0x84)
#define VFIO_UAPI_IOMMU_IOAS_MAP         _IO (VFIO_TYPE, 0x85)
#define VFIO_UAPI_IOMMU_IOAS_UNMAP       _IO (VFIO_TYPE, 0x86)

G_STATIC_ASSERT (sizeof (VfioUapiBindIommufd) == 24 && VFIO_UAPI_BIND_SIZE_1 == 16);
G_STATIC_ASSERT (sizeof (VfioUapiAttachPt) == 12 && VFIO_UAPI_DETACH_SIZE == 8);
G_STATIC_ASSERT (sizeof (VfioUapiIoasAlloc) == 12 && sizeof (VfioUapiDestroy) == 8);
G_STATIC_ASSERT (sizeof (VfioUapiIoasIovaRanges) == 32 && sizeof (VfioUapiIovaRange) == 16);
G_STATIC_ASSERT (sizeof (VfioUapiIoasMap) == 40 && sizeof (VfioUapiIoasUnmap) == 24);
