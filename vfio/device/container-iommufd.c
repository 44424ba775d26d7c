/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One I/O address space of an iommufd, devices by their own files. Linux,
 * Documentation/userspace-api/iommufd.rst. */
#include <errno.h>

#include "vfio/device/container-private.h"
#include "vfio/uapi/newer.h"

#define RANGES     64u
#define RANGES_MAX 65536u /* that are believed */

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
  int fd = container->kernel->ops->open (container->kernel, CONTAINER_IOMMU_PATH), r;

  if (fd < 0)
    return vfio_container_set_open_error (error, fd, CONTAINER_IOMMU_PATH, name);
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

/* The text of vf-token as the kernel takes it: 16 bytes in the order in which they are written. */
static gboolean
parse_token (const char *text, guint8 *ret_bytes)
{
  guint n = 0;

  if (text == NULL || !g_uuid_string_is_valid (text))
    return FALSE;
  for (; *text != '\0'; text++)
    if (*text != '-')
      {
        guint8 digit = (guint8)g_ascii_xdigit_value (*text);

        ret_bytes[n / 2] = (guint8)(n % 2 == 0 ? digit << 4 : ret_bytes[n / 2] | digit);
        n++;
      }
  return TRUE;
}

/* EPERM has two causes, and the device's mates tell which. */
static gboolean
set_bind_error (VfioContainer *container,
                int r,
                const char *sysfs,
                const char *name,
                gboolean token,
                GError **error)
{
  g_autofree char *mates = NULL;

  switch (r)
    {
    case -EACCES:
      return vfio_container_set_token_error (container, sysfs, name, token, error);
    case -E2BIG: /* 6.17 knows the flag and not where the token is */
    case -EINVAL:
      if (token)
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                       "%s cannot be opened with vf-token=: this kernel takes one only with "
                       "isolation groups (/dev/vfio/vfio), or no program shares this device by a "
                       "token. Take vf-token= out, or use a newer kernel",
                       name);
          return FALSE;
        }
      G_GNUC_FALLTHROUGH; /* opened twice */
    case -EBUSY:
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s is in use by another program: another machine may have it; stop that first",
                   name);
      return FALSE;
    case -EPERM:
      mates = vfio_container_describe_mates (container, sysfs);
      if (*mates == '\0')
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                       "%s shares its isolation group with a device that another program or "
                       "machine uses, or this computer cannot isolate its interrupts: see alcove "
                       "pci check, and stop what uses the group's devices",
                       name);
          return FALSE;
        }
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s shares its isolation group with devices that the host still uses: %s. Bind "
                   "them to vfio-pci as well, or move the card to another slot",
                   name, mates);
      return FALSE;
    default:
      return vmm_error_set_errno (error, r, "Cannot take %s", name);
    }
}

static gboolean
bind_device (VfioContainer *container,
             int fd,
             const char *sysfs,
             const char *name,
             const char *vf_token,
             VfioOpen *ret_open,
             GError **error)
{
  guint8 token[16] = { 0 };
  VfioUapiBindIommufd bind = { .argsz = VFIO_UAPI_BIND_SIZE_1, .iommufd = container->fd };
  VfioUapiAttachPt attach = { .argsz = sizeof attach, .pt_id = container->ioas };
  int r;

  if (vf_token != NULL)
    {
      if (!parse_token (vf_token, token))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "%s: vf-token= is “%s”, which is no UUID", name, vf_token);
          return FALSE;
        }
      bind.argsz = sizeof bind;
      bind.flags = VFIO_UAPI_BIND_TOKEN;
      bind.token_uuid = (guintptr)token;
    }
  r = vfio_ioctl (container, fd, VFIO_UAPI_BIND_IOMMUFD, &bind);
  if (r < 0)
    return set_bind_error (container, r, sysfs, name, vf_token != NULL, error);
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
    return vfio_container_set_missing_error (error, folder, name);
  path = g_build_filename ("/dev/vfio/devices", device, NULL);
  fd = container->kernel->ops->open (container->kernel, path);
  if (fd < 0)
    return vfio_container_set_open_error (error, fd, path, name);
  vfio_container_tell_accel (container, fd, TRUE);
  if ((container->fd >= 0 || open_iommu (container, name, error)) &&
      bind_device (container, fd, sysfs, name, vf_token, ret_open, error))
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
  VfioUapiAttachPt detach = { .argsz = VFIO_UAPI_DETACH_SIZE };

  (void)vfio_ioctl (container, open->fd, VFIO_UAPI_DETACH_PT, &detach);
  vfio_container_tell_accel (container, open->fd, FALSE);
  container->kernel->ops->close (container->kernel, open->fd);
}

/* found has room for n; the kernel says how many there are. */
static int
ask_ranges (VfioContainer *container, VfioUapiIovaRange *found, guint32 n, guint32 *ret_n)
{
  VfioUapiIoasIovaRanges ranges = {
    .size = sizeof ranges,
    .ioas_id = container->ioas,
    .num_iovas = n,
    .allowed_iovas = (guintptr)found,
  };
  int r = vfio_ioctl (container, container->fd, VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, &ranges);

  *ret_n = ranges.num_iovas;
  return r;
}

static gboolean
iommufd_read_ranges (VfioContainer *container, GError **error)
{
  g_autofree VfioUapiIovaRange *found = g_new0 (VfioUapiIovaRange, RANGES);
  guint32 room = RANGES, n;
  int r = ask_ranges (container, found, room, &n);

  if (r == -EMSGSIZE && n > room && n <= RANGES_MAX)
    {
      g_free (found);
      room = n;
      found = g_new0 (VfioUapiIovaRange, room);
      r = ask_ranges (container, found, room, &n);
    }
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot ask what the IOMMU reaches");
  for (guint i = 0; i < MIN (n, room); i++)
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
