/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Groups in a container with an IOMMU of type 1. Linux, Documentation/driver-api/vfio.rst. */
#include <errno.h>
#include <linux/vfio.h>
#include <string.h>

#include "vfio/device/container-private.h"

#define CONTAINER_PATH "/dev/vfio/vfio"
#define INFO_MAX       4096u /* bytes of VFIO_IOMMU_GET_INFO that are believed */

static gboolean
open_container (VfioContainer *container, const char *name, GError **error)
{
  int fd = container->kernel->ops->open (container->kernel, CONTAINER_PATH), r;

  if (fd < 0)
    return vfio_container_set_open_error (error, fd, CONTAINER_PATH, name);
  r = vfio_ioctl (container, fd, VFIO_GET_API_VERSION, NULL);
  if (r == VFIO_API_VERSION)
    r = vfio_ioctl (container, fd, VFIO_CHECK_EXTENSION, (gpointer)(guintptr)VFIO_TYPE1v2_IOMMU) > 0
            ? VFIO_API_VERSION
            : -ENODEV;
  if (r != VFIO_API_VERSION)
    {
      container->kernel->ops->close (container->kernel, fd);
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "This kernel's VFIO has no IOMMU that can isolate %s: load the module "
                   "vfio_iommu_type1, and see that the IOMMU is on (alcove pci check)",
                   name);
      return FALSE;
    }
  container->fd = fd;
  return TRUE;
}

static VfioOpenGroup *
find_group (VfioContainer *container, int number)
{
  for (guint i = 0; i < container->groups->len; i++)
    if (g_array_index (container->groups, VfioOpenGroup, i).number == number)
      return &g_array_index (container->groups, VfioOpenGroup, i);
  return NULL;
}

static void
drop_group (VfioContainer *container, VfioOpenGroup *group)
{
  vfio_container_tell_accel (container, group->fd, FALSE);
  (void)vfio_ioctl (container, group->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
  container->kernel->ops->close (container->kernel, group->fd);
  g_array_remove_index (container->groups,
                        (guint)(group - (VfioOpenGroup *)(gpointer)container->groups->data));
}

static gboolean
set_attach_error (int r, const char *name, GError **error)
{
  switch (r)
    {
    case -EPERM:
      g_set_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
                   "This computer cannot isolate the interrupts of %s: a guest could harm the host "
                   "through it. (An expert may accept that with the option allow_unsafe_interrupts "
                   "of the module vfio_iommu_type1)",
                   name);
      break;
    case -EINVAL:
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "%s cannot share the machine's address space: another IOMMU serves it, or its "
                   "firmware needs memory that the machine uses (an RMRR). Pass it through alone, "
                   "or another device",
                   name);
      break;
    default:
      vmm_error_set_errno (error, r, "Cannot attach %s to the IOMMU", name);
    }
  return FALSE;
}

/* Ready for use when group->fd is set; otherwise closed. */
static gboolean
attach_group (VfioContainer *container,
              VfioOpenGroup *group,
              const char *sysfs,
              const char *name,
              GError **error)
{
  struct vfio_group_status status = { .argsz = sizeof status };
  gint32 container_fd = container->fd;
  int r = vfio_ioctl (container, group->fd, VFIO_GROUP_GET_STATUS, &status);
  gboolean first = container->groups->len == 0;

  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot ask for the state of %s's isolation group", name);
  if ((status.flags & VFIO_GROUP_FLAGS_VIABLE) == 0)
    {
      g_autofree char *mates = vfio_container_describe_mates (container, sysfs);

      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s shares its isolation group (%d) with devices that the host still uses: %s. "
                   "Bind them to vfio-pci as well, or move the card to another slot",
                   name, group->number, *mates != '\0' ? mates : "see alcove pci check");
      return FALSE;
    }
  r = vfio_ioctl (container, group->fd, VFIO_GROUP_SET_CONTAINER, &container_fd);
  if (r < 0)
    return set_attach_error (r, name, error);
  if (first)
    r = vfio_ioctl (container, container->fd, VFIO_SET_IOMMU,
                    (gpointer)(guintptr)VFIO_TYPE1v2_IOMMU);
  if (r < 0)
    {
      (void)vfio_ioctl (container, group->fd, VFIO_GROUP_UNSET_CONTAINER, NULL);
      return set_attach_error (r, name, error);
    }
  vfio_container_tell_accel (container, group->fd, TRUE);
  return TRUE;
}

static VfioOpenGroup *
get_group (VfioContainer *container, const char *sysfs, const char *name, GError **error)
{
  g_autofree char *link = g_build_filename (sysfs, "iommu_group", NULL);
  g_autofree char *number = container->kernel->ops->read_link (container->kernel, link);
  g_autofree char *path = NULL;
  guint64 value;
  VfioOpenGroup fresh, *group;

  if (number == NULL && g_uuid_string_is_valid (name))
    {
      (void)vfio_container_set_missing_error (error, link, name);
      return NULL;
    }
  if (number == NULL || !g_ascii_string_to_unsigned (number, 10, 0, G_MAXINT, &value, NULL))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                   "%s is in no isolation group: it is not there, or this computer's IOMMU (Intel "
                   "VT-d, AMD-Vi) is off. See alcove pci check",
                   name);
      return NULL;
    }
  group = find_group (container, (int)value);
  if (group != NULL)
    return group;
  path = g_strdup_printf ("/dev/vfio/%d", (int)value);
  fresh = (VfioOpenGroup){ .number = (int)value,
                           .fd = container->kernel->ops->open (container->kernel, path) };
  if (fresh.fd < 0)
    {
      vfio_container_set_open_error (error, fresh.fd, path, name);
      return NULL;
    }
  if (!attach_group (container, &fresh, sysfs, name, error))
    {
      container->kernel->ops->close (container->kernel, fresh.fd);
      return NULL;
    }
  g_array_append_val (container->groups, fresh);
  return &g_array_index (container->groups, VfioOpenGroup, container->groups->len - 1);
}

static void
groups_finish (VfioContainer *container)
{
  g_assert (container->groups->len == 0);
  if (container->fd >= 0)
    container->kernel->ops->close (container->kernel, container->fd);
  container->fd = -1;
}

static gboolean
groups_open (VfioContainer *container,
             const char *sysfs,
             const char *name,
             const char *vf_token,
             VfioOpen *ret_open,
             GError **error)
{
  g_autofree char *argument =
      vf_token != NULL ? g_strdup_printf ("%s vf_token=%s", name, vf_token) : g_strdup (name);
  VfioOpenGroup *group = NULL;
  int fd = -1;

  if (container->fd < 0 && !open_container (container, name, error))
    return FALSE;
  group = get_group (container, sysfs, name, error);
  if (group != NULL)
    {
      fd = vfio_ioctl (container, group->fd, VFIO_GROUP_GET_DEVICE_FD, argument);
      if ((fd == -ENODEV || fd == -ENOENT) && g_uuid_string_is_valid (name))
        (void)vfio_container_set_missing_error (error, sysfs, name);
      else if (fd == -ENODEV || fd == -ENOENT)
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                     "%s is not bound to vfio-pci, or went away: bind it first (alcove pci bind)",
                     name);
      else if (fd == -EACCES)
        (void)vfio_container_set_token_error (container, sysfs, name, vf_token != NULL, error);
      else if (fd == -EINVAL && vf_token != NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                     "%s takes no vf-token=: it is no part of a device that another program has, "
                     "nor such a device. Take vf-token= out",
                     name);
      else if (fd < 0)
        vmm_error_set_errno (error, fd, "Cannot open %s", name);
    }
  if (fd < 0)
    {
      if (group != NULL && group->n_devices == 0)
        drop_group (container, group);
      if (container->n_devices == 0)
        groups_finish (container);
      return FALSE;
    }
  group->n_devices++;
  *ret_open = (VfioOpen){ .fd = fd, .group = group->number };
  return TRUE;
}

static void
groups_close (VfioContainer *container, const VfioOpen *open)
{
  VfioOpenGroup *group = find_group (container, open->group);

  container->kernel->ops->close (container->kernel, open->fd);
  if (--group->n_devices == 0)
    drop_group (container, group);
}

/* The chain of capabilities of a structure of known size. */
static const struct vfio_info_cap_header *
find_cap (const guint8 *info, guint size, guint offset, guint id)
{
  for (guint i = 0; i < 64 && offset != 0; i++)
    {
      const struct vfio_info_cap_header *header;

      if (offset % 8 != 0 || offset > size - sizeof *header)
        return NULL;
      header = (const struct vfio_info_cap_header *)(gconstpointer)(info + offset);
      if (header->id == id)
        return header;
      offset = header->next;
    }
  return NULL;
}

static gboolean
groups_read_ranges (VfioContainer *container, GError **error)
{
  g_autofree guint64 *buffer = g_malloc0 (INFO_MAX);
  struct vfio_iommu_type1_info *info = (gpointer)buffer;
  const struct vfio_iommu_type1_info_cap_iova_range *cap;
  guint size, at;
  int r;

  info->argsz = INFO_MAX;
  r = vfio_ioctl (container, container->fd, VFIO_IOMMU_GET_INFO, info);
  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot ask what the IOMMU reaches");
  size = MIN (info->argsz, INFO_MAX);
  if ((info->flags & VFIO_IOMMU_INFO_CAPS) == 0 || size < sizeof *info)
    return TRUE;
  cap = (gconstpointer)find_cap ((guint8 *)buffer, size, info->cap_offset,
                                 VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE);
  if (cap == NULL)
    return TRUE;
  at = (guint)((const guint8 *)cap - (guint8 *)buffer);
  if (size - at < sizeof *cap)
    return TRUE;
  for (guint i = 0; i < MIN (cap->nr_iovas, (size - at - sizeof *cap) / sizeof cap->iova_ranges[0]);
       i++)
    {
      VfioRange range = { cap->iova_ranges[i].start, cap->iova_ranges[i].end };

      g_array_append_val (container->ranges, range);
    }
  return TRUE;
}

static int
groups_map (VfioContainer *container, guint64 iova, gpointer address, guint64 length)
{
  struct vfio_iommu_type1_dma_map map = {
    .argsz = sizeof map,
    .flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
    .vaddr = (guintptr)address,
    .iova = iova,
    .size = length,
  };

  return vfio_ioctl (container, container->fd, VFIO_IOMMU_MAP_DMA, &map);
}

static int
groups_unmap (VfioContainer *container, guint64 iova, guint64 length)
{
  struct vfio_iommu_type1_dma_unmap unmap = { .argsz = sizeof unmap, .iova = iova, .size = length };

  return vfio_ioctl (container, container->fd, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

const VfioWayOps vfio_way_groups = {
  .open = groups_open,
  .close = groups_close,
  .read_ranges = groups_read_ranges,
  .map = groups_map,
  .unmap = groups_unmap,
  .finish = groups_finish,
};
