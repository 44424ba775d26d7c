/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One I/O address space of an iommufd, devices by their own files. Linux,
 * Documentation/userspace-api/iommufd.rst. */
#include <errno.h>

#include "vfio/device/container-private.h"
#include "vfio/uapi/newer.h"

#define IOMMU_PATH "/dev/iommu"
#define RANGES_MAX 256u

static void
iommufd_finish (VfioContainer *container)
{
  VfioUapiDestroy destroy = { .size = sizeof destroy, .id = container->ioas };

  if (container->fd < 0)
    return;
  if (container->ioas != 0)
    (void)vfio_ioctl (container, container->fd, VFIO_UAPI_IOMMU_DESTROY, &destroy);
  container->ioas = 0;
  container->kernel->ops->close (container->kernel, container->fd);
  container->fd = -1;
}

static gboolean
open_iommu (VfioContainer *container, const char *name, GError **error)
{
  VfioUapiIoasAlloc alloc = { .size = sizeof alloc };
  int fd = container->kernel->ops->open (container->kernel, IOMMU_PATH), r;

  if (fd < 0)
    return vfio_container_set_open_error (error, fd, IOMMU_PATH, name);
  container->fd = fd;
  r = vfio_ioctl (container, fd, VFIO_UAPI_IOMMU_IOAS_ALLOC, &alloc);
  if (r < 0)
    {
      iommufd_finish (container);
      return vmm_error_set_errno (error, r, "Cannot make an address space for %s", name);
    }
  container->ioas = alloc.out_ioas_id;
  return TRUE;
}

static gboolean
bind_device (VfioContainer *container, int fd, const char *name, VfioOpen *ret_open, GError **error)
{
  VfioUapiBindIommufd bind = { .argsz = sizeof bind, .iommufd = container->fd };
  VfioUapiAttachPt attach = { .argsz = sizeof attach, .pt_id = container->ioas };
  int r = vfio_ioctl (container, fd, VFIO_UAPI_BIND_IOMMUFD, &bind);

  if (r == -EPERM || r == -EBUSY)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s shares its isolation group with devices that the host or another program "
                   "uses: bind them to vfio-pci as well and give them to this machine, or move the "
                   "card to another slot",
                   name);
      return FALSE;
    }
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot take %s", name);
  r = vfio_ioctl (container, fd, VFIO_UAPI_ATTACH_PT, &attach);
  if (r == -EINVAL || r == -EADDRINUSE)
    {
      g_set_error (
          error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
          "%s cannot share the machine's address space: its firmware needs memory that the "
          "machine uses, or another IOMMU serves it. Pass it through alone, or another "
          "device",
          name);
      return FALSE;
    }
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot attach %s to the IOMMU", name);
  *ret_open = (VfioOpen){ .fd = fd, .group = -1, .dev_id = bind.out_devid };
  return TRUE;
}

static gboolean
iommufd_open (VfioContainer *container,
              const char *sysfs,
              const char *name,
              const char *vf_token,
              VfioOpen *ret_open,
              GError **error)
{
  g_autofree char *folder = g_build_filename (sysfs, "vfio-dev", NULL);
  g_autofree char *device = container->kernel->ops->find_name (container->kernel, folder, "vfio");
  g_autofree char *path = NULL;
  int fd;

  if (device == NULL)
    {
      g_set_error (
          error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
          "%s is not ready for passing through: bind it to vfio-pci first (alcove pci bind)", name);
      return FALSE;
    }
  if (vf_token != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "%s: this kernel takes vf-token only with isolation groups, which it was built "
                   "without",
                   name);
      return FALSE;
    }
  path = g_build_filename ("/dev/vfio/devices", device, NULL);
  fd = container->kernel->ops->open (container->kernel, path);
  if (fd < 0)
    return vfio_container_set_open_error (error, fd, path, name);
  vfio_container_tell_accel (container, fd, TRUE);
  if ((container->fd >= 0 || open_iommu (container, name, error)) &&
      bind_device (container, fd, name, ret_open, error))
    return TRUE;
  vfio_container_tell_accel (container, fd, FALSE);
  container->kernel->ops->close (container->kernel, fd);
  if (container->n_devices == 0)
    iommufd_finish (container);
  return FALSE;
}

static void
iommufd_close (VfioContainer *container, const VfioOpen *open)
{
  VfioUapiAttachPt detach = { .argsz = 2 * sizeof (guint32) };

  (void)vfio_ioctl (container, open->fd, VFIO_UAPI_DETACH_PT, &detach);
  vfio_container_tell_accel (container, open->fd, FALSE);
  container->kernel->ops->close (container->kernel, open->fd);
}

static gboolean
iommufd_read_ranges (VfioContainer *container, GError **error)
{
  g_autofree VfioUapiIovaRange *found = g_new0 (VfioUapiIovaRange, RANGES_MAX);
  VfioUapiIoasIovaRanges ranges = {
    .size = sizeof ranges,
    .ioas_id = container->ioas,
    .num_iovas = RANGES_MAX,
    .allowed_iovas = (guintptr)found,
  };
  int r = vfio_ioctl (container, container->fd, VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, &ranges);

  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot ask what the IOMMU reaches");
  for (guint i = 0; i < MIN (ranges.num_iovas, RANGES_MAX); i++)
    {
      VfioRange range = { found[i].start, found[i].last };

      g_array_append_val (container->ranges, range);
    }
  return TRUE;
}

static int
iommufd_map (VfioContainer *container, guint64 iova, gpointer address, guint64 length)
{
  VfioUapiIoasMap map = {
    .size = sizeof map,
    .flags = VFIO_UAPI_MAP_FIXED_IOVA | VFIO_UAPI_MAP_READABLE | VFIO_UAPI_MAP_WRITEABLE,
    .ioas_id = container->ioas,
    .user_va = (guintptr)address,
    .length = length,
    .iova = iova,
  };

  return vfio_ioctl (container, container->fd, VFIO_UAPI_IOMMU_IOAS_MAP, &map);
}

static int
iommufd_unmap (VfioContainer *container, guint64 iova, guint64 length)
{
  VfioUapiIoasUnmap unmap = {
    .size = sizeof unmap,
    .ioas_id = container->ioas,
    .iova = iova,
    .length = length,
  };

  return vfio_ioctl (container, container->fd, VFIO_UAPI_IOMMU_IOAS_UNMAP, &unmap);
}

const VfioWayOps vfio_way_iommufd = {
  .open = iommufd_open,
  .close = iommufd_close,
  .read_ranges = iommufd_read_ranges,
  .map = iommufd_map,
  .unmap = iommufd_unmap,
  .finish = iommufd_finish,
};
