/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fake-kernel-private.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vfio/uapi/newer.h"

static FakeKernel *
from (VfioKernel *kernel)
{
  return (FakeKernel *)kernel;
}

static gboolean
fails (FakeKernel *fake)
{
  return ++fake->n_calls == fake->fail_at;
}

int
fake_kernel_new_file (FakeKernel *fake, File file)
{
  g_array_append_val (fake->fds, file);
  fake->n_open++;
  return FIRST_FD + (int)fake->fds->len - 1;
}

File *
fake_kernel_get_file (FakeKernel *fake, int fd)
{
  File *file;

  g_assert_cmpint (fd, >=, FIRST_FD);
  g_assert_cmpint (fd - FIRST_FD, <, (int)fake->fds->len);
  file = &g_array_index (fake->fds, File, fd - FIRST_FD);
  g_assert_cmpint (file->kind, !=, FILE_CLOSED);
  return file;
}

static FakeFunction *
find_by_sysfs (FakeKernel *fake, const char *path)
{
  for (guint i = 0; i < fake->n_functions; i++)
    if (strstr (path, fake->functions[i]->name) != NULL)
      return fake->functions[i];
  return NULL;
}

static int
fake_open (VfioKernel *kernel, const char *path)
{
  FakeKernel *fake = from (kernel);
  int number;

  if (fails (fake))
    return -fake->error;
  if (g_str_equal (path, "/dev/vfio/vfio"))
    return fake->no_groups ? -ENOENT
                           : fake_kernel_new_file (fake, (File){ .kind = FILE_CONTAINER });
  if (g_str_equal (path, "/dev/iommu") && fake->no_iommu_permission)
    return -EACCES;
  if (g_str_equal (path, "/dev/iommu"))
    return fake->no_iommufd
               ? -ENOENT
               : fake_kernel_new_file (fake,
                                       (File){ .kind = FILE_IOMMU, .is_iommufd = TRUE, .refs = 1 });
  if (sscanf (path, "/dev/vfio/devices/vfio%d", &number) == 1)
    {
      g_assert_cmpint (number, <, (int)fake->n_functions);
      return fake->no_permission
                 ? -EACCES
                 : fake_kernel_new_file (
                       fake, (File){ .kind = FILE_CDEV, .function = fake->functions[number] });
    }
  if (sscanf (path, "/dev/vfio/%d", &number) == 1)
    {
      if (fake->no_groups)
        return -ENOENT;
      if (fake->busy || fake_kernel_find_group (fake, number) != NULL)
        return -EBUSY;
      return fake->no_permission
                 ? -EACCES
                 : fake_kernel_new_file (fake, (File){ .kind = FILE_GROUP, .group = number });
    }
  return -ENOENT;
}

static void
close_device (FakeFunction *function)
{
  function->open = FALSE;
  for (guint i = 0; i < FAKE_IRQ_KINDS; i++)
    function->n_enabled[i] = 0;
}

static void
fake_close (VfioKernel *kernel, int fd)
{
  FakeKernel *fake = from (kernel);
  File *file = fake_kernel_get_file (fake, fd);

  if (file->kind == FILE_DEVICE || (file->kind == FILE_CDEV && file->iommufd != 0))
    close_device (file->function);
  if (file->kind == FILE_CDEV)
    fake_iommufd_unbind (fake, file);
  if (file->kind == FILE_CONTAINER)
    fake_kernel_drop_maps (fake, 0);
  file->kind = FILE_CLOSED;
  if (file->is_iommufd)
    fake_iommufd_unref (fake, fd);
  fake->n_open--;
}

/* ---- the device ---- */

static int
get_extra_info (const FakeExtra *extra, guint index, struct vfio_region_info *info)
{
  guint argsz = info->argsz;
  struct vfio_region_info_cap_type *type = (gpointer)(info + 1);

  *info = (struct vfio_region_info){
    .argsz = sizeof *info + sizeof *type,
    .flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_CAPS,
    .index = index,
    .size = extra->size,
    .offset = (guint64)index << 40,
  };
  if (argsz < info->argsz)
    return 0;
  info->cap_offset = sizeof *info;
  *type = (struct vfio_region_info_cap_type){
    .header = { VFIO_REGION_INFO_CAP_TYPE, 1, 0 },
    .type = extra->type,
    .subtype = extra->subtype,
  };
  return 0;
}

static int
get_region_info (FakeFunction *function, struct vfio_region_info *info)
{
  guint index = info->index, argsz = info->argsz;
  gboolean mappable = index < FAKE_BARS && function->bar_mappable[index];
  guint n_sparse = index == 0 && mappable ? function->n_sparse : 0;
  gsize size = sizeof *info;

  g_assert_cmpuint (argsz, >=, sizeof *info);
  if (index >= VFIO_PCI_NUM_REGIONS)
    {
      g_assert_cmpuint (index - VFIO_PCI_NUM_REGIONS, <, function->n_extras);
      return get_extra_info (&function->extras[index - VFIO_PCI_NUM_REGIONS], index, info);
    }
  info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
  info->offset = (guint64)index << 40;
  info->size = index < FAKE_BARS                       ? function->bar_size[index]
               : index == VFIO_PCI_ROM_REGION_INDEX    ? function->rom_size
               : index == VFIO_PCI_CONFIG_REGION_INDEX ? function->config_size
                                                       : 0;
  if (index == VFIO_PCI_VGA_REGION_INDEX && !function->has_vga)
    return -EINVAL;
  if (index == VFIO_PCI_VGA_REGION_INDEX)
    info->size = sizeof function->vga;
  if (info->size == 0)
    info->flags = 0;
  if (mappable)
    info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
  if (n_sparse > 0)
    size +=
        sizeof (struct vfio_region_info_cap_sparse_mmap) + n_sparse * sizeof function->sparse[0];
  if (mappable && function->msix_mappable)
    size += sizeof (struct vfio_info_cap_header);
  if (size == sizeof *info)
    return 0;
  info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
  info->argsz = (guint32)size;
  if (argsz >= size)
    {
      guint offset = sizeof *info;
      struct vfio_info_cap_header *last = NULL;

      info->cap_offset = offset;
      if (n_sparse > 0)
        {
          struct vfio_region_info_cap_sparse_mmap *sparse = (gpointer)((guint8 *)info + offset);

          sparse->header = (struct vfio_info_cap_header){ VFIO_REGION_INFO_CAP_SPARSE_MMAP, 1, 0 };
          sparse->nr_areas = n_sparse;
          memcpy (sparse->areas, function->sparse, n_sparse * sizeof function->sparse[0]);
          last = &sparse->header;
          offset += (guint)(sizeof *sparse + n_sparse * sizeof function->sparse[0]);
        }
      if (function->msix_mappable)
        {
          struct vfio_info_cap_header *cap = (gpointer)((guint8 *)info + offset);

          *cap = (struct vfio_info_cap_header){ VFIO_REGION_INFO_CAP_MSIX_MAPPABLE, 1, 0 };
          if (last != NULL)
            last->next = offset;
        }
    }
  return 0;
}

static int
set_irqs (FakeFunction *function, const struct vfio_irq_set *set)
{
  guint index = set->index, count = set->count;
  const gint32 *fds = (gconstpointer)set->data;

  g_assert_cmpuint (index, <, FAKE_IRQ_KINDS);
  if ((set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) == VFIO_IRQ_SET_ACTION_UNMASK)
    {
      g_assert_cmpuint (index, ==, VFIO_PCI_INTX_IRQ_INDEX);
      if ((set->flags & VFIO_IRQ_SET_DATA_EVENTFD) != 0)
        function->unmask_fd = fds[0];
      else
        function->intx_masked = FALSE;
      return function->n_enabled[index] > 0 ? 0 : -EINVAL;
    }
  g_assert_cmpuint (set->flags & VFIO_IRQ_SET_ACTION_TYPE_MASK, ==, VFIO_IRQ_SET_ACTION_TRIGGER);
  if ((set->flags & VFIO_IRQ_SET_DATA_NONE) != 0)
    {
      g_assert_cmpuint (count, ==, 0);
      function->n_enabled[index] = 0;
      if (index == VFIO_PCI_INTX_IRQ_INDEX)
        function->unmask_fd = -1;
      return 0;
    }
  g_assert_cmpuint (set->argsz, ==, sizeof *set + count * sizeof *fds);
  if (set->start + count > function->n_irqs[index])
    return -EINVAL;
  /* One kind of INTx, MSI and MSI-X at a time. */
  for (guint i = 0; i <= VFIO_PCI_MSIX_IRQ_INDEX && index <= VFIO_PCI_MSIX_IRQ_INDEX; i++)
    if (i != index && function->n_enabled[i] > 0)
      return -EINVAL;
  if (index == VFIO_PCI_MSIX_IRQ_INDEX && function->msix_available != 0 &&
      function->n_enabled[index] == 0 && set->start + count > function->msix_available)
    return (int)function->msix_available;
  if (function->n_enabled[index] == 0)
    {
      function->n_enabled[index] = set->start + count;
      for (guint i = 0; i < FAKE_IRQS_MAX; i++)
        function->irq_fds[index][i] = -1;
      function->intx_masked = FALSE;
    }
  if (set->start + count > function->n_enabled[index])
    return -EINVAL;
  memcpy (&function->irq_fds[index][set->start], fds, count * sizeof *fds);
  return 0;
}

static int
do_hot_reset (FakeKernel *fake, FakeFunction *function)
{
  if (!function->has_hot_reset)
    return -ENODEV;
  function->n_hot_resets++;
  for (guint i = 0; i < G_N_ELEMENTS (function->hot_reset_mates); i++)
    for (guint j = 0; j < fake->n_functions; j++)
      if (function->hot_reset_mates[i] != NULL &&
          g_str_equal (function->hot_reset_mates[i], fake->functions[j]->name))
        fake->functions[j]->n_hot_resets++;
  return 0;
}

static int
get_hot_reset_info (FakeKernel *fake, FakeFunction *function, struct vfio_pci_hot_reset_info *info)
{
  guint n = 1, room = (info->argsz - (guint)sizeof *info) / (guint)sizeof info->devices[0];

  if (!function->has_hot_reset)
    return -ENODEV;
  while (n <= 4 && function->hot_reset_mates[n - 1] != NULL)
    n++;
  info->count = n;
  info->flags = VFIO_UAPI_HOT_RESET_DEV_ID | VFIO_UAPI_HOT_RESET_DEV_ID_OWNED;
  if (room < n)
    return -ENOSPC;
  for (guint i = 0; i < n; i++)
    {
      guint domain, bus, slot, f;
      const char *name = i == 0 ? function->name : function->hot_reset_mates[i - 1];

      g_assert_cmpint (sscanf (name, "%x:%x:%x.%x", &domain, &bus, &slot, &f), ==, 4);
      info->devices[i] = (struct vfio_pci_dependent_device){
        .group_id = (guint32)function->group,
        .segment = (guint16)domain,
        .bus = (guint8)bus,
        .devfn = (guint8)(slot << 3 | f),
      };
    }
  return 0;
}

static int
set_feature (FakeFunction *function, const struct vfio_device_feature *feature)
{
  if (!function->has_low_power)
    return -ENOTTY;
  if ((feature->flags & VFIO_DEVICE_FEATURE_PROBE) == 0)
    function->n_low_power++;
  return 0;
}

static int
device_ioctl (FakeKernel *fake, File *file, gulong request, gpointer argument)
{
  FakeFunction *function = file->function;

  if (request == VFIO_UAPI_BIND_IOMMUFD)
    {
      int r = fake_iommufd_bind (fake, file, argument);

      function->open = function->open || r == 0;
      return r;
    }
  if (file->kind == FILE_CDEV && file->iommufd == 0)
    return -EINVAL; /* not before it is bound */
  switch (request)
    {
    case VFIO_UAPI_ATTACH_PT:
      return fake_iommufd_attach (fake, file, argument);
    case VFIO_UAPI_DETACH_PT:
      return fake_iommufd_detach (fake, file, argument);
    case VFIO_DEVICE_GET_INFO:
      *(struct vfio_device_info *)argument = (struct vfio_device_info){
        .argsz = sizeof (struct vfio_device_info),
        .flags = VFIO_DEVICE_FLAGS_PCI | (function->has_reset ? VFIO_DEVICE_FLAGS_RESET : 0),
        .num_regions = VFIO_PCI_NUM_REGIONS + function->n_extras,
        .num_irqs = VFIO_PCI_NUM_IRQS,
      };
      return 0;
    case VFIO_DEVICE_GET_REGION_INFO:
      return get_region_info (function, argument);
    case VFIO_DEVICE_GET_IRQ_INFO:
      {
        struct vfio_irq_info *info = argument;

        g_assert_cmpuint (info->index, <, FAKE_IRQ_KINDS);
        info->flags = VFIO_IRQ_INFO_EVENTFD;
        info->count = function->n_irqs[info->index];
        return 0;
      }
    case VFIO_DEVICE_SET_IRQS:
      return set_irqs (function, argument);
    case VFIO_DEVICE_IOEVENTFD:
      {
        const struct vfio_device_ioeventfd *ioeventfd = argument;

        g_assert_cmpuint (ioeventfd->flags & ~(guint)VFIO_DEVICE_IOEVENTFD_SIZE_MASK, ==, 0);
        g_assert_true ((function->ioevent_fd < 0) == (ioeventfd->fd >= 0));
        function->ioevent_fd = ioeventfd->fd;
        function->ioevent_offset = ioeventfd->offset;
        function->ioevent_value = ioeventfd->data;
        return 0;
      }
    case VFIO_DEVICE_RESET:
      if (!function->has_reset)
        return -EINVAL;
      function->command_at_reset = function->config[PCI_COMMAND];
      function->n_resets++;
      return 0;
    case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO:
      return get_hot_reset_info (fake, function, argument);
    case VFIO_DEVICE_PCI_HOT_RESET:
      return do_hot_reset (fake, function);
    case VFIO_DEVICE_FEATURE:
      return set_feature (function, argument);
    default:
      g_assert_not_reached ();
    }
}

static int
fake_ioctl (VfioKernel *kernel, int fd, gulong request, gpointer argument)
{
  FakeKernel *fake = from (kernel);
  File *file = fake_kernel_get_file (fake, fd);

  if (fails (fake))
    return -fake->error;
  switch (file->kind)
    {
    case FILE_CONTAINER:
      return fake_container_ioctl (fake, file, request, argument);
    case FILE_IOMMU:
      return fake_iommufd_ioctl (fake, fd, request, argument);
    case FILE_GROUP:
      return fake_group_ioctl (fake, file, request, argument);
    case FILE_CDEV:
    case FILE_DEVICE:
      return device_ioctl (fake, file, request, argument);
    case FILE_CLOSED:
    default:
      g_assert_not_reached ();
    }
}

/* Where an offset of the device's file leads: bytes, or the BARs' file. */
static guint8 *
find_bytes (FakeFunction *function, guint64 offset, gsize size, guint *ret_index, guint64 *ret_at)
{
  guint index = (guint)(offset >> 40);
  guint64 at = offset & ((G_GUINT64_CONSTANT (1) << 40) - 1);

  *ret_index = index;
  *ret_at = at;
  if (index == VFIO_PCI_CONFIG_REGION_INDEX)
    {
      g_assert_cmpuint (at + size, <=, function->config_size);
      return function->config + at;
    }
  if (index >= VFIO_PCI_NUM_REGIONS)
    {
      FakeExtra *extra = &function->extras[index - VFIO_PCI_NUM_REGIONS];

      g_assert_cmpuint (index - VFIO_PCI_NUM_REGIONS, <, function->n_extras);
      g_assert_cmpuint (at + size, <=, extra->size);
      g_assert_cmpuint (at + size, <=, extra->length);
      return extra->data + at;
    }
  if (index == VFIO_PCI_VGA_REGION_INDEX)
    {
      g_assert_true (function->has_vga);
      g_assert_cmpuint (at + size, <=, sizeof function->vga);
      return function->vga + at;
    }
  if (index == VFIO_PCI_ROM_REGION_INDEX)
    {
      g_assert_cmpuint (at + size, <=, function->rom_size);
      return (guint8 *)function->rom + at;
    }
  g_assert_cmpuint (index, <, FAKE_BARS);
  g_assert_cmpuint (at + size, <=, function->bar_size[index]);
  return NULL;
}

static gssize
fake_pread (VfioKernel *kernel, int fd, gpointer buffer, gsize size, guint64 offset)
{
  FakeKernel *fake = from (kernel);
  FakeFunction *function = fake_kernel_get_file (fake, fd)->function;
  guint index;
  guint64 at;
  guint8 *bytes;

  /* What the kernel tells of a region may be more than there is: a short read. */
  index = (guint)(offset >> 40);
  at = offset & ((G_GUINT64_CONSTANT (1) << 40) - 1);
  if (index >= VFIO_PCI_NUM_REGIONS && index - VFIO_PCI_NUM_REGIONS < function->n_extras)
    {
      gsize length = function->extras[index - VFIO_PCI_NUM_REGIONS].length;

      if (at >= length)
        return 0;
      size = MIN (size, length - at);
    }
  bytes = find_bytes (function, offset, size, &index, &at);

  if (fails (fake))
    return -fake->error;
  if (function->gone ||
      (index >= VFIO_PCI_NUM_REGIONS && function->extras[index - VFIO_PCI_NUM_REGIONS].unreadable))
    return -EIO;
  if (index == VFIO_PCI_ROM_REGION_INDEX && function->rom_read_after_resets == 0)
    function->rom_read_after_resets = function->n_resets + function->n_hot_resets + 1;
  if (bytes == NULL && function->access != NULL && size <= 8)
    {
      guint64 value = 0;

      if (function->access (function, index, at, (guint)size, FALSE, &value))
        {
          value = GUINT64_TO_LE (value);
          memcpy (buffer, &value, size);
          return (gssize)size;
        }
    }
  if (bytes == NULL)
    return pread (function->bar_fd, buffer, size, (off_t)((guint64)index << 32 | at));
  memcpy (buffer, bytes, size);
  return (gssize)size;
}

static gssize
fake_pwrite (VfioKernel *kernel, int fd, gconstpointer buffer, gsize size, guint64 offset)
{
  FakeKernel *fake = from (kernel);
  FakeFunction *function = fake_kernel_get_file (fake, fd)->function;
  guint index;
  guint64 at;
  guint8 *bytes = find_bytes (function, offset, size, &index, &at);

  if (fails (fake))
    return -fake->error;
  if (function->gone)
    return -EIO;
  function->n_writes++;
  if (bytes == NULL && function->access != NULL && size <= 8)
    {
      guint64 value = 0;

      memcpy (&value, buffer, size);
      value = GUINT64_FROM_LE (value);
      if (function->access (function, index, at, (guint)size, TRUE, &value))
        return (gssize)size;
    }
  if (bytes == NULL)
    return pwrite (function->bar_fd, buffer, size, (off_t)((guint64)index << 32 | at));
  if (index == VFIO_PCI_VGA_REGION_INDEX)
    {
      memcpy (bytes, buffer, size);
      return (gssize)size;
    }
  g_assert_cmpuint (index, ==, VFIO_PCI_CONFIG_REGION_INDEX);
  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8)((bytes[i] & ~function->wmask[at + i]) |
                        (((const guint8 *)buffer)[i] & function->wmask[at + i]));
  return (gssize)size;
}

static int
fake_map (VfioKernel *kernel, gpointer address, gsize length, int prot, int fd, guint64 offset)
{
  FakeKernel *fake = from (kernel);
  FakeFunction *function = fake_kernel_get_file (fake, fd)->function;
  guint index = (guint)(offset >> 40);
  guint64 at = offset & ((G_GUINT64_CONSTANT (1) << 40) - 1);

  if (fails (fake))
    return -fake->error;
  g_assert_cmpuint (index, <, FAKE_BARS);
  g_assert_true (function->bar_mappable[index]);
  g_assert_cmpuint (at + length, <=, function->bar_size[index]);
  g_array_append_vals (fake->bars, &(FakeMap){ 0, length, address, 0 }, 1);
  return mmap (address, length, prot, MAP_SHARED | MAP_FIXED, function->bar_fd,
               (off_t)((guint64)index << 32 | at)) == MAP_FAILED
             ? -errno
             : 0;
}

static char *
fake_read_link (VfioKernel *kernel, const char *path)
{
  FakeFunction *function = find_by_sysfs (from (kernel), path);

  if (function == NULL || function->vanished)
    return NULL;
  if (g_str_has_suffix (path, "/physfn"))
    return g_strdup (function->physfn);
  if (!g_str_has_suffix (path, "/iommu_group"))
    return NULL;
  return g_strdup_printf ("%d", function->group);
}

static char *
fake_find_name (VfioKernel *kernel, const char *folder, const char *prefix)
{
  FakeKernel *fake = from (kernel);

  for (guint i = 0; i < fake->n_functions && !fake->no_iommufd; i++)
    if (strstr (folder, fake->functions[i]->name) != NULL && !fake->functions[i]->vanished &&
        g_str_has_suffix (folder, "/vfio-dev"))
      return g_strdup_printf ("%s%u", prefix, i);
  return NULL;
}

static const VfioKernelOps ops = {
  .open = fake_open,
  .close = fake_close,
  .ioctl = fake_ioctl,
  .pread = fake_pread,
  .pwrite = fake_pwrite,
  .map = fake_map,
  .read_link = fake_read_link,
  .find_name = fake_find_name,
};

void
fake_kernel_init (FakeKernel *fake)
{
  *fake = (FakeKernel){ .kernel = { &ops }, .error = EIO };
  fake->maps = g_array_new (FALSE, TRUE, sizeof (FakeMap));
  fake->bars = g_array_new (FALSE, TRUE, sizeof (FakeMap));
  fake->fds = g_array_new (FALSE, TRUE, sizeof (File));
  fake->objects = g_array_new (FALSE, TRUE, sizeof (FakeObject));
  fake->ranges[0].end = 0xfedfffff;
  fake->ranges[1].start = 0xfef00000;
  fake->ranges[1].end = (G_GUINT64_CONSTANT (1) << 39) - 1;
  fake->n_ranges = 2;
}

void
fake_kernel_clear (FakeKernel *fake)
{
  g_assert_cmpuint (fake->n_open, ==, 0);
  g_assert_cmpuint (fake->maps->len, ==, 0);
  g_assert_cmpuint (fake->objects->len, ==, 0);
  for (guint i = 0; i < fake->n_functions; i++)
    fake_function_free (fake->functions[i]);
  g_array_unref (fake->maps);
  g_array_unref (fake->objects);
  g_array_unref (fake->bars);
  g_array_unref (fake->fds);
}

void
fake_kernel_add (FakeKernel *fake, FakeFunction *function)
{
  g_assert_cmpuint (fake->n_functions, <, G_N_ELEMENTS (fake->functions));
  fake->functions[fake->n_functions++] = function;
}

void
fake_function_set (FakeFunction *function, guint offset, guint size, guint32 value)
{
  for (guint i = 0; i < size; i++)
    function->config[offset + i] = (guint8)(value >> (i * 8));
}

FakeFunction *
fake_function_new (const char *name, int group, guint16 vendor, guint16 device)
{
  FakeFunction *function = g_new0 (FakeFunction, 1);

  function->name = name;
  function->group = group;
  function->config_size = 256;
  function->unmask_fd = function->ioevent_fd = -1;
  function->bar_fd = memfd_create ("bars", MFD_CLOEXEC);
  g_assert_cmpint (function->bar_fd, >=, 0);
  g_assert_cmpint (ftruncate (function->bar_fd, (off_t)8 << 32), ==, 0);
  fake_function_set (function, PCI_VENDOR_ID, 2, vendor);
  fake_function_set (function, PCI_DEVICE_ID, 2, device);
  fake_function_set (function, PCI_CLASS_REVISION, 4, 0x03000001);
  fake_function_set (function, PCI_SUBSYSTEM_VENDOR_ID, 4, 0x56781234);
  fake_function_set (function, PCI_INTERRUPT_PIN, 1, 1);
  fake_function_set (function, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  memset (function->wmask + PCI_COMMAND, 0xff, 2);
  function->n_irqs[VFIO_PCI_INTX_IRQ_INDEX] = 1;
  function->n_irqs[VFIO_PCI_REQ_IRQ_INDEX] = 1;
  return function;
}

void
fake_function_free (FakeFunction *function)
{
  close (function->bar_fd);
  for (guint i = 0; i < function->n_extras; i++)
    g_free (function->extras[i].data);
  g_free (function);
}

void
fake_function_add_bar (FakeFunction *function, guint index, guint64 size, guint flags)
{
  function->bar_size[index] = size;
  function->bar_mappable[index] = (flags & PCI_BASE_ADDRESS_SPACE_IO) == 0 && size >= 4096;
  fake_function_set (function, PCI_BASE_ADDRESS_0 + index * 4, 4, flags);
}

FakeFunction *
fake_gpu_new (const char *name, int group)
{
  FakeFunction *gpu = fake_function_new (name, group, 0x10de, 0x2484);

  gpu->config_size = 4096;
  gpu->has_reset = gpu->has_hot_reset = TRUE;
  gpu->msix_mappable = TRUE;
  fake_function_add_bar (gpu, 0, 16 << 20, 0);
  fake_function_add_bar (gpu, 2, 256 << 20,
                         PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
  fake_function_add_bar (gpu, 5, 128, PCI_BASE_ADDRESS_SPACE_IO);
  gpu->n_irqs[VFIO_PCI_MSI_IRQ_INDEX] = 4;
  gpu->n_irqs[VFIO_PCI_MSIX_IRQ_INDEX] = 6;
  gpu->n_irqs[VFIO_PCI_ERR_IRQ_INDEX] = 1;
  fake_function_set (gpu, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  fake_function_set (gpu, PCI_CAPABILITY_LIST, 1, 0x60);
  fake_function_set (gpu, 0x60, 4, 0x00036801);                /* PM, next 68 */
  fake_function_set (gpu, 0x64, 4, PCI_PM_CTRL_NO_SOFT_RESET); /* D0 */
  memset (gpu->wmask + 0x64, 0x03, 1);
  fake_function_set (gpu, 0x68, 4, 0x01848005); /* MSI, next 80; 64 bit, maskable, 4 vectors */
  fake_function_set (gpu, 0x80, 4, 0x0002c010); /* express, next c0; endpoint, version 2 */
  fake_function_set (gpu, 0x84, 4, 0x10008000 | PCI_EXP_DEVCAP_FLR);
  fake_function_set (gpu, 0x8c, 4, 0x00000104);  /* x16, 16 GT/s */
  fake_function_set (gpu, 0x90, 4, 0x01030000);  /* x16, 8 GT/s now */
  fake_function_set (gpu, 0xc0, 4, 0x0005d011);  /* MSI-X, next d0, 6 vectors */
  fake_function_set (gpu, 0xc4, 4, 0x00800000);  /* table: BAR 0 */
  fake_function_set (gpu, 0xc8, 4, 0x00801000);  /* pending bits: BAR 0 */
  fake_function_set (gpu, 0xd0, 4, 0x00000014);  /* enhanced allocation */
  fake_function_set (gpu, 0x100, 4, 0x14c20001); /* AER, next 14c */
  fake_function_set (gpu, 0x14c, 4, 0x20010010); /* SR-IOV, next 200 */
  fake_function_set (gpu, 0x150, 4, 0x11223344);
  fake_function_set (gpu, 0x200, 4, 0x24010015); /* resizable BARs, next 240 */
  fake_function_set (gpu, 0x240, 4, 0x00010003); /* serial number */
  fake_function_set (gpu, 0x244, 4, 0xcafe0001);
  return gpu;
}

FakeExtra *
fake_function_add_extra (
    FakeFunction *function, guint32 type, guint32 subtype, gconstpointer data, gsize length)
{
  FakeExtra *extra = &function->extras[function->n_extras++];

  g_assert_cmpuint (function->n_extras, <=, FAKE_EXTRAS);
  *extra = (FakeExtra){ .type = type, .subtype = subtype, .length = length, .size = length };
  extra->data = g_memdup2 (data, length);
  return extra;
}

FakeFunction *
fake_igd_new (const char *name, int group)
{
  FakeFunction *igd = fake_function_new (name, group, 0x8086, 0x4680);
  const guint type = VFIO_UAPI_REGION_VENDOR | 0x8086;
  guint8 opregion[0x2000] = "IntelGraphicsMem";
  guint8 bridge[256] = { 0x86, 0x80, 0x10, 0x46, [0x08] = 0x05, [0x2c] = 0x62, 0x14, 0x99, 0x7d };

  igd->has_reset = TRUE;
  fake_function_add_bar (igd, 0, 16 << 20, PCI_BASE_ADDRESS_MEM_TYPE_64);
  fake_function_add_bar (igd, 2, 256 << 20,
                         PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
  fake_function_add_bar (igd, 4, 64, PCI_BASE_ADDRESS_SPACE_IO);
  igd->n_irqs[VFIO_PCI_MSI_IRQ_INDEX] = 1;
  fake_function_set (igd, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
  fake_function_set (igd, PCI_CAPABILITY_LIST, 1, 0xac);
  fake_function_set (igd, 0xac, 4, 0x0000d005); /* MSI, next d0 */
  fake_function_set (igd, 0xd0, 4, 0x00220001); /* PM */
  fake_function_set (igd, 0x50, 4, 0x000002c1);
  fake_function_set (igd, 0xc0, 4, 0x7b800000);
  fake_function_set (igd, 0xfc, 4, 0x6e5d4018);
  opregion[0x10] = 8; /* KiB */
  opregion[0x17] = 2; /* version 2.1 */
  opregion[0x16] = 1;
  memcpy (opregion + 0x400, "$VBT ALDERLAKE-S", 16);
  fake_function_add_extra (igd, type, VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION, opregion,
                           sizeof opregion);
  fake_function_add_extra (igd, type, VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG, bridge,
                           sizeof bridge);
  bridge[2] = 0x84;
  bridge[3] = 0x7a;
  fake_function_add_extra (igd, type, VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG, bridge, sizeof bridge);
  return igd;
}

guint32
fake_function_peek (FakeFunction *function, guint bar, guint64 offset)
{
  guint32 value = 0;

  g_assert_cmpint (pread (function->bar_fd, &value, 4, (off_t)((guint64)bar << 32 | offset)), ==,
                   4);
  return GUINT32_FROM_LE (value);
}

void
fake_function_poke (FakeFunction *function, guint bar, guint64 offset, guint32 value)
{
  value = GUINT32_TO_LE (value);
  g_assert_cmpint (pwrite (function->bar_fd, &value, 4, (off_t)((guint64)bar << 32 | offset)), ==,
                   4);
}

gboolean
fake_function_interrupt (FakeFunction *function, guint index, guint vector)
{
  const guint64 one = 1;
  int fd;

  if (vector >= function->n_enabled[index] || (fd = function->irq_fds[index][vector]) < 0)
    return FALSE;
  if (index == VFIO_PCI_INTX_IRQ_INDEX)
    {
      if (function->intx_masked)
        return FALSE;
      function->intx_masked = TRUE;
    }
  g_assert_cmpint (write (fd, &one, sizeof one), ==, sizeof one);
  return TRUE;
}

gboolean
fake_function_resample (FakeFunction *function)
{
  guint64 n;

  if (function->unmask_fd < 0 || read (function->unmask_fd, &n, sizeof n) != sizeof n)
    return FALSE;
  function->intx_masked = FALSE;
  return TRUE;
}
