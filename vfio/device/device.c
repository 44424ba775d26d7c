/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/device/device.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "vfio/uapi/newer.h"

#define INFO_MAX  65536u /* bytes of a region's info that are believed */
#define CAPS_MAX  64u    /* capabilities in a chain */
#define AREAS_MAX 256u
#define IRQS_MAX  2048u
#define N_IRQS    8u /* kinds that are asked for */
#define MATES_MAX 256u
#define PAGE_MASK G_GUINT64_CONSTANT (0xfff)

struct _VfioDevice
{
  VfioContainer *container;
  VfioKernel *kernel;
  VfioOpen open;
  char *name;
  guint32 flags;
  guint n_regions;
  VfioRegion regions[VFIO_REGIONS_MAX];
  struct
  {
    guint32 flags, count;
  } irqs[N_IRQS];
};

static int
do_ioctl (VfioDevice *device, gulong request, gpointer argument)
{
  return device->kernel->ops->ioctl (device->kernel, device->open.fd, request, argument);
}

/* ---- regions ---- */

static int
compare_areas (gconstpointer a, gconstpointer b)
{
  const VfioArea *x = a, *y = b;

  return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Sorted, inside the region, on page borders, apart from each other; what is not is left out. */
static void
tidy_areas (VfioRegion *region)
{
  guint64 end = 0;
  guint n = 0;

  if (region->n_areas > 1)
    qsort (region->areas, region->n_areas, sizeof *region->areas, compare_areas);
  for (guint i = 0; i < region->n_areas; i++)
    {
      VfioArea area = region->areas[i];

      if (area.size == 0 || ((area.offset | area.size) & PAGE_MASK) != 0 || area.offset < end ||
          area.size > region->size || area.offset > region->size - area.size)
        continue;
      region->areas[n++] = area;
      end = area.offset + area.size;
    }
  region->n_areas = n;
}

static void
parse_sparse (VfioRegion *region, const guint8 *cap, guint left)
{
  const struct vfio_region_info_cap_sparse_mmap *sparse = (gconstpointer)cap;
  guint n;

  if (left < sizeof *sparse)
    return;
  n = MIN (sparse->nr_areas, (left - (guint)sizeof *sparse) / (guint)sizeof sparse->areas[0]);
  n = MIN (n, AREAS_MAX);
  g_free (region->areas);
  region->areas = g_new0 (VfioArea, n);
  region->n_areas = n;
  for (guint i = 0; i < n; i++)
    region->areas[i] = (VfioArea){ sparse->areas[i].offset, sparse->areas[i].size };
}

static void
parse_caps (VfioRegion *region, const struct vfio_region_info *info, guint size)
{
  guint offset = info->cap_offset;
  gboolean sparse = FALSE;

  for (guint i = 0; i < CAPS_MAX && offset != 0; i++)
    {
      const guint8 *at = (const guint8 *)info + offset;
      const struct vfio_info_cap_header *header = (gconstpointer)at;

      if (offset % 8 != 0 || offset < sizeof *info || offset > size - sizeof *header)
        return;
      switch (header->id)
        {
        case VFIO_REGION_INFO_CAP_SPARSE_MMAP:
          if (!sparse)
            parse_sparse (region, at, size - offset);
          sparse = TRUE;
          break;
        case VFIO_REGION_INFO_CAP_MSIX_MAPPABLE:
          region->msix_mappable = TRUE;
          break;
        case VFIO_REGION_INFO_CAP_TYPE:
          if (size - offset >= sizeof (struct vfio_region_info_cap_type))
            {
              const struct vfio_region_info_cap_type *type = (gconstpointer)at;

              region->type = type->type;
              region->subtype = type->subtype;
            }
          break;
        default:
          break;
        }
      offset = header->next;
    }
}

static int
load_region (VfioDevice *device, guint index)
{
  VfioRegion *region = &device->regions[index];
  g_autofree guint64 *buffer = NULL;
  struct vfio_region_info first = { .argsz = sizeof first, .index = index };
  struct vfio_region_info *info = &first;
  int r = do_ioctl (device, VFIO_DEVICE_GET_REGION_INFO, &first);

  if (r < 0)
    return r;
  if (first.argsz > sizeof first && first.argsz <= INFO_MAX)
    {
      guint32 size = first.argsz;

      buffer = g_malloc0 ((size + 7) & ~7u);
      info = (gpointer)buffer;
      info->argsz = size;
      info->index = index;
      r = do_ioctl (device, VFIO_DEVICE_GET_REGION_INFO, info);
      if (r < 0)
        return r;
      info->argsz = size;
    }
  region->index = index;
  region->flags = info->flags;
  region->size = info->size;
  region->offset = info->offset;
  if (region->size > G_GUINT64_CONSTANT (1) << 46 || region->offset > G_MAXINT64 - region->size)
    {
      region->size = 0;
      return 0;
    }
  if ((region->flags & VFIO_REGION_INFO_FLAG_MMAP) != 0 && region->size >= 4096)
    {
      region->areas = g_new0 (VfioArea, 1);
      region->areas[0] = (VfioArea){ 0, region->size & ~PAGE_MASK };
      region->n_areas = 1;
    }
  if ((region->flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 && info != &first)
    parse_caps (region, info, info->argsz);
  if ((region->flags & VFIO_REGION_INFO_FLAG_MMAP) == 0)
    region->n_areas = 0;
  tidy_areas (region);
  return 0;
}

const VfioRegion *
vfio_device_get_region (VfioDevice *device, guint index)
{
  return index < device->n_regions && device->regions[index].size > 0 ? &device->regions[index]
                                                                      : NULL;
}

const VfioRegion *
vfio_device_find_region (VfioDevice *device, guint32 type, guint32 subtype)
{
  for (guint i = VFIO_PCI_NUM_REGIONS; i < device->n_regions; i++)
    if (device->regions[i].type == type && device->regions[i].subtype == subtype)
      return vfio_device_get_region (device, i);
  return NULL;
}

static gboolean
is_inside (const VfioRegion *region, guint64 offset, gsize size)
{
  return size <= region->size && offset <= region->size - size;
}

int
vfio_device_read (
    VfioDevice *device, const VfioRegion *region, guint64 offset, gpointer buffer, gsize size)
{
  gsize done = 0;

  if (!is_inside (region, offset, size))
    return -ENXIO;
  while (done < size)
    {
      gssize n =
          device->kernel->ops->pread (device->kernel, device->open.fd, (guint8 *)buffer + done,
                                      size - done, region->offset + offset + done);

      if (n <= 0)
        return n < 0 ? (int)n : -EIO;
      done += (gsize)n;
    }
  return 0;
}

int
vfio_device_write (
    VfioDevice *device, const VfioRegion *region, guint64 offset, gconstpointer buffer, gsize size)
{
  gsize done = 0;

  if (!is_inside (region, offset, size))
    return -ENXIO;
  while (done < size)
    {
      gssize n = device->kernel->ops->pwrite (device->kernel, device->open.fd,
                                              (const guint8 *)buffer + done, size - done,
                                              region->offset + offset + done);

      if (n <= 0)
        return n < 0 ? (int)n : -EIO;
      done += (gsize)n;
    }
  return 0;
}

guint64
vfio_device_read_le (VfioDevice *device, const VfioRegion *region, guint64 offset, guint size)
{
  guint64 le = 0, ones = size >= 8 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << (size * 8)) - 1;

  if (size > 8 || vfio_device_read (device, region, offset, &le, size) < 0)
    return ones;
  return GUINT64_FROM_LE (le);
}

int
vfio_device_map (VfioDevice *device, const VfioRegion *region, const VfioArea *area, gpointer at)
{
  int prot = ((region->flags & VFIO_REGION_INFO_FLAG_READ) != 0 ? PROT_READ : 0) |
             ((region->flags & VFIO_REGION_INFO_FLAG_WRITE) != 0 ? PROT_WRITE : 0);

  if (!is_inside (region, area->offset, area->size))
    return -ENXIO;
  return device->kernel->ops->map (device->kernel, at, area->size, prot, device->open.fd,
                                   region->offset + area->offset);
}

int
vfio_device_set_ioeventfd (
    VfioDevice *device, const VfioRegion *region, guint64 offset, guint size, guint64 value, int fd)
{
  struct vfio_device_ioeventfd ioeventfd = {
    .argsz = sizeof ioeventfd,
    .flags = size, /* VFIO_DEVICE_IOEVENTFD_8 ... _64 */
    .offset = region->offset + offset,
    .data = value,
    .fd = fd,
  };

  if (!is_inside (region, offset, size))
    return -ENXIO;
  return do_ioctl (device, VFIO_DEVICE_IOEVENTFD, &ioeventfd);
}

/* ---- interrupts ---- */

guint
vfio_device_get_n_irqs (VfioDevice *device, guint index)
{
  return index < N_IRQS ? device->irqs[index].count : 0;
}

int
vfio_device_set_irqs (VfioDevice *device, guint index, guint start, guint count, const gint32 *fds)
{
  g_autofree struct vfio_irq_set *set = NULL;
  gsize size = sizeof *set + count * sizeof *fds;

  if (index >= N_IRQS || count == 0 || count > IRQS_MAX || start > device->irqs[index].count ||
      count > device->irqs[index].count - start)
    return -EINVAL;
  set = g_malloc0 (size);
  set->argsz = (guint32)size;
  set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
  set->index = index;
  set->start = start;
  set->count = count;
  memcpy (set->data, fds, count * sizeof *fds);
  return do_ioctl (device, VFIO_DEVICE_SET_IRQS, set);
}

static int
set_irqs_none (VfioDevice *device, guint index, guint32 action, guint count)
{
  struct vfio_irq_set set = {
    .argsz = sizeof set,
    .flags = VFIO_IRQ_SET_DATA_NONE | action,
    .index = index,
    .count = count,
  };

  return do_ioctl (device, VFIO_DEVICE_SET_IRQS, &set);
}

int
vfio_device_disable_irqs (VfioDevice *device, guint index)
{
  return set_irqs_none (device, index, VFIO_IRQ_SET_ACTION_TRIGGER, 0);
}

int
vfio_device_unmask_intx (VfioDevice *device)
{
  return set_irqs_none (device, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK, 1);
}

int
vfio_device_set_unmask_fd (VfioDevice *device, int fd)
{
  union
  {
    struct vfio_irq_set set;
    guint8 bytes[sizeof (struct vfio_irq_set) + sizeof (gint32)];
  } u = { .set = { .argsz = sizeof u.bytes,
                   .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_UNMASK,
                   .index = VFIO_PCI_INTX_IRQ_INDEX,
                   .count = 1 } };
  gint32 value = fd;

  memcpy (u.bytes + sizeof u.set, &value, sizeof value);
  return do_ioctl (device, VFIO_DEVICE_SET_IRQS, &u);
}

/* ---- resets and features ---- */

gboolean
vfio_device_can_reset (VfioDevice *device)
{
  return (device->flags & VFIO_DEVICE_FLAGS_RESET) != 0;
}

int
vfio_device_reset (VfioDevice *device)
{
  return do_ioctl (device, VFIO_DEVICE_RESET, NULL);
}

/* (transfer full) (nullable) */
static struct vfio_pci_hot_reset_info *
get_hot_reset_info (VfioDevice *device)
{
  struct vfio_pci_hot_reset_info first = { .argsz = sizeof first }, *info;
  gsize size;
  int r = do_ioctl (device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, &first);

  if ((r < 0 && r != -ENOSPC) || first.count == 0 || first.count > MATES_MAX)
    return NULL;
  size = sizeof first + first.count * sizeof first.devices[0];
  info = g_malloc0 (size);
  info->argsz = (guint32)size;
  if (do_ioctl (device, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, info) < 0 || info->count > first.count)
    g_clear_pointer (&info, g_free);
  return info;
}

char **
vfio_device_dup_hot_reset_mates (VfioDevice *device)
{
  g_autofree struct vfio_pci_hot_reset_info *info = get_hot_reset_info (device);
  g_autoptr (GPtrArray) names = NULL;

  if (info == NULL)
    return NULL;
  names = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < info->count; i++)
    {
      const struct vfio_pci_dependent_device *mate = &info->devices[i];
      g_autofree char *name = g_strdup_printf ("%04x:%02x:%02x.%x", mate->segment, mate->bus,
                                               mate->devfn >> 3, mate->devfn & 7u);

      if (!g_str_equal (name, device->name))
        g_ptr_array_add (names, g_steal_pointer (&name));
    }
  g_ptr_array_add (names, NULL);
  return (char **)g_ptr_array_free (g_steal_pointer (&names), FALSE);
}

int
vfio_device_hot_reset (VfioDevice *device)
{
  g_autofree struct vfio_pci_hot_reset_info *info = get_hot_reset_info (device);
  union
  {
    struct vfio_pci_hot_reset reset;
    guint8 bytes[sizeof (struct vfio_pci_hot_reset) + MATES_MAX * sizeof (gint32)];
  } u = { 0 };
  g_autofree int *groups = NULL;
  gint32 fds[MATES_MAX];
  int n = 0;

  if (info == NULL)
    return -ENODEV;
  if (vfio_container_get_way (device->container) == VFIO_WAY_IOMMUFD)
    {
      if ((info->flags & VFIO_UAPI_HOT_RESET_DEV_ID_OWNED) == 0)
        return -EPERM;
    }
  else
    {
      groups = g_new0 (int, info->count);
      for (guint i = 0; i < info->count; i++)
        groups[i] = (int)info->devices[i].group_id;
      n = vfio_container_get_group_fds (device->container, groups, info->count, fds, MATES_MAX);
      if (n < 0)
        return -EPERM;
    }
  u.reset.argsz = (guint32)(sizeof u.reset + (gsize)n * sizeof fds[0]);
  u.reset.count = (guint32)n;
  memcpy (u.bytes + sizeof u.reset, fds, (gsize)n * sizeof fds[0]);
  return do_ioctl (device, VFIO_DEVICE_PCI_HOT_RESET, &u);
}

gboolean
vfio_device_has_feature (VfioDevice *device, guint feature)
{
  struct vfio_device_feature probe = {
    .argsz = sizeof probe,
    .flags = VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_SET | feature,
  };

  return do_ioctl (device, VFIO_DEVICE_FEATURE, &probe) >= 0;
}

int
vfio_device_set_feature (VfioDevice *device, guint feature, gconstpointer data, gsize size)
{
  g_autofree struct vfio_device_feature *set = g_malloc0 (sizeof *set + size);

  set->argsz = (guint32)(sizeof *set + size);
  set->flags = VFIO_DEVICE_FEATURE_SET | feature;
  if (size > 0)
    memcpy (set->data, data, size);
  return do_ioctl (device, VFIO_DEVICE_FEATURE, set);
}

/* ---- life ---- */

static gboolean
load_info (VfioDevice *device, GError **error)
{
  struct vfio_device_info info = { .argsz = sizeof info };
  int r = do_ioctl (device, VFIO_DEVICE_GET_INFO, &info);

  if (r < 0)
    return vmm_error_set_errno (error, r, "Cannot ask what %s is", device->name);
  if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0 || info.num_regions <= VFIO_PCI_CONFIG_REGION_INDEX)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "%s is no PCI function: only those can be passed through", device->name);
      return FALSE;
    }
  device->flags = info.flags;
  device->n_regions = MIN (info.num_regions, VFIO_REGIONS_MAX);
  for (guint i = 0; i < device->n_regions; i++)
    {
      r = load_region (device, i);
      /* The VGA region is not there where the kernel is built without. */
      if (r < 0 && i <= VFIO_PCI_CONFIG_REGION_INDEX && i != VFIO_PCI_ROM_REGION_INDEX)
        return vmm_error_set_errno (error, r, "Cannot ask for region %u of %s", i, device->name);
    }
  if (vfio_device_get_region (device, VFIO_PCI_CONFIG_REGION_INDEX) == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "The kernel shows no configuration space of %s", device->name);
      return FALSE;
    }
  for (guint i = 0; i < MIN (info.num_irqs, N_IRQS); i++)
    {
      struct vfio_irq_info irq = { .argsz = sizeof irq, .index = i };

      if (do_ioctl (device, VFIO_DEVICE_GET_IRQ_INFO, &irq) < 0 ||
          (irq.flags & VFIO_IRQ_INFO_EVENTFD) == 0)
        continue;
      device->irqs[i].flags = irq.flags;
      device->irqs[i].count = MIN (irq.count, IRQS_MAX);
    }
  return TRUE;
}

VfioDevice *
vfio_device_new (VfioContainer *container,
                 const char *sysfs,
                 const char *name,
                 const char *vf_token,
                 GError **error)
{
  VfioDevice *device = g_new0 (VfioDevice, 1);

  device->container = container;
  device->kernel = vfio_container_get_kernel (container);
  device->name = g_strdup (name);
  if (!vfio_container_open (container, sysfs, name, vf_token, &device->open, error))
    {
      device->container = NULL;
      vfio_device_free (device);
      return NULL;
    }
  if (!load_info (device, error))
    {
      vfio_device_free (device);
      return NULL;
    }
  return device;
}

void
vfio_device_free (VfioDevice *device)
{
  if (device == NULL)
    return;
  if (device->container != NULL)
    vfio_container_close (device->container, &device->open);
  for (guint i = 0; i < VFIO_REGIONS_MAX; i++)
    g_free (device->regions[i].areas);
  g_free (device->name);
  g_free (device);
}

const char *
vfio_device_get_name (VfioDevice *device)
{
  return device->name;
}

VfioContainer *
vfio_device_get_container (VfioDevice *device)
{
  return device->container;
}
