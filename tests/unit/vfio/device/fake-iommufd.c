/* SPDX-License-Identifier: GPL-3.0-or-later */
/* iommufd, as drivers/iommu/iommufd (main.c, ioas.c, io_pagetable.c, device.c) and
 * drivers/vfio/device_cdev.c of Linux 6.6 to 6.18 answer: in their order, with their errors. */
#include "fake-kernel-private.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096u

/* ---- objects ---- */

static FakeObject *
find (FakeKernel *fake, int iommufd, guint32 id)
{
  for (guint i = 0; i < fake->objects->len; i++)
    {
      FakeObject *object = &g_array_index (fake->objects, FakeObject, i);

      if (object->iommufd == iommufd && object->id == id)
        return object;
    }
  return NULL;
}

static FakeObject *
find_ioas (FakeKernel *fake, int iommufd, guint32 id)
{
  FakeObject *object = find (fake, iommufd, id);

  return object != NULL && object->kind == OBJECT_IOAS ? object : NULL;
}

static guint32
add (FakeKernel *fake, FakeObject object)
{
  object.id = ++fake->last_id;
  g_array_append_val (fake->objects, object);
  return object.id;
}

static void
drop (FakeKernel *fake, FakeObject *object)
{
  if (object->kind == OBJECT_IOAS)
    fake_kernel_drop_maps (fake, object->id);
  g_array_remove_index (fake->objects,
                        (guint)(object - (FakeObject *)(gpointer)fake->objects->data));
}

/* The page table that was made for this address space with the first device. */
static FakeObject *
find_hwpt (FakeKernel *fake, int iommufd, guint32 ioas)
{
  for (guint i = 0; i < fake->objects->len; i++)
    {
      FakeObject *object = &g_array_index (fake->objects, FakeObject, i);

      if (object->kind == OBJECT_HWPT && object->iommufd == iommufd && object->ioas == ioas)
        return object;
    }
  return NULL;
}

void
fake_iommufd_unref (FakeKernel *fake, int fd)
{
  File *file = &g_array_index (fake->fds, File, fd - FIRST_FD);

  if (--file->refs > 0)
    return;
  for (guint i = fake->objects->len; i > 0; i--)
    if (g_array_index (fake->objects, FakeObject, i - 1).iommufd == fd)
      drop (fake, &g_array_index (fake->objects, FakeObject, i - 1));
}

/* ---- on /dev/iommu ---- */

static int
get_ranges (FakeKernel *fake, int fd, VfioUapiIoasIovaRanges *ranges)
{
  VfioUapiIovaRange *out = (gpointer)(guintptr)ranges->allowed_iovas;
  guint32 room = ranges->num_iovas;

  if (ranges->reserved != 0)
    return -EOPNOTSUPP;
  if (find_ioas (fake, fd, ranges->ioas_id) == NULL)
    return -ENOENT;
  ranges->out_iova_alignment = PAGE;
  /* Nothing narrows it before a device does that does DMA by itself. */
  if (find_hwpt (fake, fd, ranges->ioas_id) == NULL)
    {
      if (room > 0)
        out[0] = (VfioUapiIovaRange){ 0, G_MAXUINT64 };
      ranges->num_iovas = 1;
    }
  else
    {
      for (guint i = 0; i < MIN (fake->n_ranges, room); i++)
        out[i] = (VfioUapiIovaRange){ fake->ranges[i].start, fake->ranges[i].end };
      ranges->num_iovas = fake->n_ranges;
    }
  return ranges->num_iovas > room ? -EMSGSIZE : 0;
}

static int
map_ioas (FakeKernel *fake, int fd, const VfioUapiIoasMap *map)
{
  const guint32 access = VFIO_UAPI_MAP_READABLE | VFIO_UAPI_MAP_WRITEABLE;
  gboolean pinned;

  if ((map->flags & ~(access | VFIO_UAPI_MAP_FIXED_IOVA)) != 0 || map->reserved != 0)
    return -EOPNOTSUPP;
  if (map->iova == G_MAXUINT64 || map->length == G_MAXUINT64)
    return -EOVERFLOW;
  if ((map->flags & access) == 0)
    return -EINVAL;
  if (find_ioas (fake, fd, map->ioas_id) == NULL)
    return -ENOENT;
  /* Linux would find a place; nobody here asks for that. */
  g_assert_cmpuint (map->flags & VFIO_UAPI_MAP_FIXED_IOVA, !=, 0);
  pinned = find_hwpt (fake, fd, map->ioas_id) != NULL;
  if (map->length == 0 || ((map->length | map->iova | map->user_va) & (PAGE - 1)) != 0)
    return -EINVAL;
  if (map->iova + map->length - 1 < map->iova)
    return -EOVERFLOW;
  if (pinned && !fake_kernel_is_reachable (fake, map->iova, map->length))
    return -EINVAL;
  if (fake_kernel_find_map (fake, map->ioas_id, map->iova, map->iova + map->length - 1) != NULL)
    return -EEXIST;
  return fake_kernel_add_map (
      fake, (FakeMap){ map->iova, map->length, (gpointer)(guintptr)map->user_va, map->ioas_id },
      pinned);
}

static int
unmap_ioas (FakeKernel *fake, int fd, VfioUapiIoasUnmap *unmap)
{
  gboolean all = unmap->iova == 0 && unmap->length == G_MAXUINT64;
  guint64 last = all ? G_MAXUINT64 : unmap->iova + unmap->length - 1, n = 0;
  FakeMap *map;

  if (find_ioas (fake, fd, unmap->ioas_id) == NULL)
    return -ENOENT;
  if (!all && (unmap->iova == G_MAXUINT64 || unmap->length == G_MAXUINT64))
    return -EOVERFLOW;
  if (unmap->length == 0)
    return -EINVAL;
  if (last < unmap->iova)
    return -EOVERFLOW;
  while ((map = fake_kernel_find_map (fake, unmap->ioas_id, unmap->iova, last)) != NULL)
    {
      if (map->iova < unmap->iova || map->iova + map->length - 1 > last)
        return -ENOENT;
      n += map->length;
      fake_kernel_remove_map (fake, map);
    }
  unmap->length = n;
  return n > 0 || all ? 0 : -ENOENT;
}

static int
alloc_ioas (FakeKernel *fake, int fd, VfioUapiIoasAlloc *alloc)
{
  if (alloc->flags != 0)
    return -EOPNOTSUPP;
  alloc->out_ioas_id = add (fake, (FakeObject){ .kind = OBJECT_IOAS, .iommufd = fd });
  return 0;
}

static int
destroy (FakeKernel *fake, int fd, const VfioUapiDestroy *what)
{
  FakeObject *object = find (fake, fd, what->id);

  if (object == NULL)
    return -ENOENT;
  if (object->n_users > 0)
    return -EBUSY;
  drop (fake, object);
  return 0;
}

/* copy_struct_from_user: less is filled up with zeros, more has to be zero. */
static int
take (gpointer copy, gsize known, gconstpointer from, gsize size)
{
  const guint8 *bytes = from;

  for (gsize i = known; i < size; i++)
    if (bytes[i] != 0)
      return -E2BIG;
  memset (copy, 0, known);
  memcpy (copy, from, MIN (known, size));
  return 0;
}

int
fake_iommufd_ioctl (FakeKernel *fake, int fd, gulong request, gpointer argument)
{
  static const struct
  {
    gulong request;
    gsize size;
  } known[] = {
    { VFIO_UAPI_IOMMU_DESTROY, sizeof (VfioUapiDestroy) },
    { VFIO_UAPI_IOMMU_IOAS_ALLOC, sizeof (VfioUapiIoasAlloc) },
    { VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, sizeof (VfioUapiIoasIovaRanges) },
    { VFIO_UAPI_IOMMU_IOAS_MAP, sizeof (VfioUapiIoasMap) },
    { VFIO_UAPI_IOMMU_IOAS_UNMAP, sizeof (VfioUapiIoasUnmap) },
  };
  union
  {
    VfioUapiDestroy destroy;
    VfioUapiIoasAlloc alloc;
    VfioUapiIoasIovaRanges ranges;
    VfioUapiIoasMap map;
    VfioUapiIoasUnmap unmap;
  } u;
  guint32 size = *(const guint32 *)argument;
  int r = -ENOTTY;

  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    {
      if (known[i].request != request)
        continue;
      if (size < known[i].size)
        return -EINVAL;
      r = take (&u, known[i].size, argument, size);
      if (r < 0)
        return r;
      r = request == VFIO_UAPI_IOMMU_DESTROY            ? destroy (fake, fd, &u.destroy)
          : request == VFIO_UAPI_IOMMU_IOAS_ALLOC       ? alloc_ioas (fake, fd, &u.alloc)
          : request == VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES ? get_ranges (fake, fd, &u.ranges)
          : request == VFIO_UAPI_IOMMU_IOAS_MAP         ? map_ioas (fake, fd, &u.map)
                                                        : unmap_ioas (fake, fd, &u.unmap);
      if (r == 0 || r == -EMSGSIZE)
        memcpy (argument, &u, known[i].size);
    }
  return r;
}

/* ---- on a device's own file ---- */

int
fake_iommufd_bind (FakeKernel *fake, File *file, gpointer argument)
{
  VfioUapiBindIommufd bind = { 0 };
  guint32 argsz = *(const guint32 *)argument, flags;
  File *iommufd;
  int r;

  if (argsz < VFIO_UAPI_BIND_SIZE_1)
    return -EINVAL;
  switch (fake->bind)
    {
    case FAKE_BIND_OLD:
      memcpy (&bind, argument, VFIO_UAPI_BIND_SIZE_1);
      r = 0;
      break;
    case FAKE_BIND_NO_PLACE:
      r = take (&bind, VFIO_UAPI_BIND_SIZE_1, argument, argsz);
      break;
    case FAKE_BIND_TOKEN:
    default:
      r = take (&bind, sizeof bind, argument, argsz);
    }
  if (r < 0)
    return r;
  flags = fake->bind == FAKE_BIND_OLD ? 0 : VFIO_UAPI_BIND_TOKEN;
  if (bind.iommufd < 0 || (bind.flags & ~flags) != 0 || file->kind != FILE_CDEV)
    return -EINVAL;
  if (fake_kernel_find_group (fake, file->function->group) != NULL)
    return -EBUSY;
  if (file->iommufd != 0)
    return -EINVAL;
  /* Before 6.17 nobody asked for a token here; devices that are emulated take none. */
  if (fake->bind != FAKE_BIND_OLD)
    {
      const guint8 *token = (bind.flags & VFIO_UAPI_BIND_TOKEN) != 0
                                ? (gconstpointer)(guintptr)bind.token_uuid
                                : NULL;

      r = !file->function->emulated ? fake_kernel_match_token (file->function, token)
          : token != NULL           ? -EINVAL
                                    : 0;
      if (r < 0)
        return r;
    }
  if (bind.iommufd < FIRST_FD || bind.iommufd - FIRST_FD >= (int)fake->fds->len)
    return -EBADF;
  iommufd = &g_array_index (fake->fds, File, bind.iommufd - FIRST_FD);
  if (iommufd->kind == FILE_CLOSED)
    return -EBADF;
  if (!iommufd->is_iommufd)
    return -EBADFD;
  if (file->function->open)
    return -EINVAL; /* by another file */
  if (!file->function->emulated && (fake->no_msi_isolation || fake->not_viable))
    return -EPERM;
  file->iommufd = bind.iommufd;
  iommufd->refs++;
  file->dev_id = add (fake, (FakeObject){ .kind = OBJECT_DEVICE,
                                          .iommufd = bind.iommufd,
                                          .n_users = 1,
                                          .function = file->function });
  ((VfioUapiBindIommufd *)argument)->out_devid = file->dev_id;
  return 0;
}

static void
detach (FakeKernel *fake, File *file)
{
  FakeObject *device = find (fake, file->iommufd, file->dev_id), *ioas, *hwpt;

  if (device->ioas == 0)
    return;
  ioas = find (fake, file->iommufd, device->ioas);
  hwpt = file->function->emulated ? NULL : find_hwpt (fake, file->iommufd, device->ioas);
  device->ioas = 0;
  ioas->n_users--;
  if (hwpt != NULL && --hwpt->n_users == 0)
    drop (fake, hwpt);
}

/* What is mapped already has to be in reach of the device, and gets pinned. */
static int
make_hwpt (FakeKernel *fake, int iommufd, guint32 ioas)
{
  FakeObject *hwpt = find_hwpt (fake, iommufd, ioas);

  for (guint i = 0; i < fake->maps->len; i++)
    {
      const FakeMap *map = &g_array_index (fake->maps, FakeMap, i);

      if (map->ioas == ioas && !fake_kernel_is_reachable (fake, map->iova, map->length))
        return -EADDRINUSE;
    }
  if (hwpt == NULL && fake->memlock != 0 && fake_kernel_sum_maps (fake) > fake->memlock)
    return -ENOMEM;
  if (hwpt == NULL)
    hwpt = find (fake, iommufd,
                 add (fake, (FakeObject){ .kind = OBJECT_HWPT, .iommufd = iommufd, .ioas = ioas }));
  hwpt->n_users++;
  return (int)hwpt->id;
}

int
fake_iommufd_attach (FakeKernel *fake, File *file, gpointer argument)
{
  VfioUapiAttachPt *attach = argument;
  FakeObject *to;
  guint32 ioas;
  int r;

  if (attach->argsz < sizeof *attach || attach->flags != 0 || file->kind != FILE_CDEV)
    return -EINVAL;
  to = find (fake, file->iommufd, attach->pt_id);
  if (to == NULL)
    return -ENOENT;
  if (file->function->emulated && to->kind != OBJECT_IOAS)
    return -ENOENT; /* it has no page table */
  if (to->kind == OBJECT_DEVICE)
    return -EINVAL;
  ioas = to->kind == OBJECT_IOAS ? to->id : to->ioas;
  /* A second time replaces the first. */
  detach (fake, file);
  r = file->function->emulated ? 0 : make_hwpt (fake, file->iommufd, ioas);
  if (r < 0)
    return r;
  if (r > 0)
    attach->pt_id = (guint32)r;
  find (fake, file->iommufd, file->dev_id)->ioas = ioas;
  find (fake, file->iommufd, ioas)->n_users++;
  return 0;
}

int
fake_iommufd_detach (FakeKernel *fake, File *file, gpointer argument)
{
  const VfioUapiAttachPt *what = argument;

  if (what->argsz < VFIO_UAPI_DETACH_SIZE || what->flags != 0 || file->kind != FILE_CDEV)
    return -EINVAL;
  detach (fake, file);
  return 0;
}

void
fake_iommufd_unbind (FakeKernel *fake, File *file)
{
  int iommufd = file->iommufd;

  if (iommufd == 0)
    return;
  detach (fake, file);
  drop (fake, find (fake, iommufd, file->dev_id));
  file->iommufd = 0;
  fake_iommufd_unref (fake, iommufd);
}
