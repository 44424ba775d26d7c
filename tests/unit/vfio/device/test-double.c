/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The model of the kernel refuses what Linux refuses: what it answers to each wrong call, by hand from
 * drivers/iommu/iommufd, drivers/vfio/device_cdev.c and drivers/vfio/vfio_iommu_type1.c. A model that
 * takes everything would prove nothing of who is tested with it. */
#include <errno.h>
#include <string.h>
#include "fake-kernel.h"
#include "vfio/uapi/newer.h"

#define PLACE "0000:01:00.0"
#define UUID  "11111111-2222-4333-8444-555555555555"
#define AT    G_GUINT64_CONSTANT (0x7f0000000000)

typedef struct
{
  FakeKernel fake;
  int iommufd, device, mediated;
  guint32 ioas;
} Fixture;

static int
open_file (Fixture *f, const char *path)
{
  return f->fake.kernel.ops->open (&f->fake.kernel, path);
}

static void
close_file (Fixture *f, int fd)
{
  f->fake.kernel.ops->close (&f->fake.kernel, fd);
}

static int
call (Fixture *f, int fd, gulong request, gpointer argument)
{
  return f->fake.kernel.ops->ioctl (&f->fake.kernel, fd, request, argument);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  VfioUapiIoasAlloc alloc = { .size = sizeof alloc };

  fake_kernel_init (&f->fake);
  fake_kernel_add (&f->fake, fake_gpu_new (PLACE, 12));
  fake_kernel_add (&f->fake, fake_function_new (UUID, 40, 0x8086, 0x1912));
  f->fake.functions[1]->emulated = TRUE;
  f->iommufd = open_file (f, "/dev/iommu");
  f->device = open_file (f, "/dev/vfio/devices/vfio0");
  f->mediated = open_file (f, "/dev/vfio/devices/vfio1");
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_ALLOC, &alloc), ==, 0);
  f->ioas = alloc.out_ioas_id;
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  close_file (f, f->device);
  close_file (f, f->mediated);
  close_file (f, f->iommufd);
  fake_kernel_clear (&f->fake);
}

static int
bind (Fixture *f, int device)
{
  VfioUapiBindIommufd arg = { .argsz = VFIO_UAPI_BIND_SIZE_1, .iommufd = f->iommufd };

  return call (f, device, VFIO_UAPI_BIND_IOMMUFD, &arg);
}

static int
attach (Fixture *f, int device, guint32 to)
{
  VfioUapiAttachPt arg = { .argsz = sizeof arg, .pt_id = to };

  return call (f, device, VFIO_UAPI_ATTACH_PT, &arg);
}

static int
map (Fixture *f, guint64 iova, guint64 length)
{
  VfioUapiIoasMap arg = { .size = sizeof arg,
                          .flags = VFIO_UAPI_MAP_FIXED_IOVA | VFIO_UAPI_MAP_READABLE,
                          .ioas_id = f->ioas,
                          .user_va = AT,
                          .length = length,
                          .iova = iova };

  return call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_MAP, &arg);
}

static int
unmap (Fixture *f, guint64 iova, guint64 *length)
{
  VfioUapiIoasUnmap arg = {
    .size = sizeof arg, .ioas_id = f->ioas, .iova = iova, .length = *length
  };
  int r = call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_UNMAP, &arg);

  *length = arg.length;
  return r;
}

static int
destroy (Fixture *f, guint32 id)
{
  VfioUapiDestroy arg = { .size = sizeof arg, .id = id };

  return call (f, f->iommufd, VFIO_UAPI_IOMMU_DESTROY, &arg);
}

/* Each structure: too short, longer than is known, with and without something there; flags. */
static void
test_structures (Fixture *f, gconstpointer data)
{
  struct
  {
    VfioUapiIoasAlloc alloc;
    guint32 more;
  } alloc = { { .size = 8 }, 0 };
  VfioUapiIoasMap wrong = { .size = sizeof wrong, .flags = 8, .ioas_id = f->ioas, .length = 4096 };
  VfioUapiIoasIovaRanges ranges = { .size = sizeof ranges, .ioas_id = f->ioas, .reserved = 1 };

  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_ALLOC, &alloc), ==, -EINVAL);
  alloc.alloc.size = sizeof alloc;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_ALLOC, &alloc), ==, 0);
  g_assert_cmpint (destroy (f, alloc.alloc.out_ioas_id), ==, 0);
  g_assert_cmpint (destroy (f, alloc.alloc.out_ioas_id), ==, -ENOENT);
  alloc.more = 1;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_ALLOC, &alloc), ==, -E2BIG);
  alloc.more = 0;
  alloc.alloc.flags = 1;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_ALLOC, &alloc), ==, -EOPNOTSUPP);
  g_assert_cmpint (call (f, f->iommufd, _IO (VFIO_TYPE, 0xff), &alloc), ==, -ENOTTY);

  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_MAP, &wrong), ==, -EOPNOTSUPP);
  wrong.flags = VFIO_UAPI_MAP_FIXED_IOVA;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_MAP, &wrong), ==, -EINVAL);
  wrong.flags |= VFIO_UAPI_MAP_READABLE;
  wrong.reserved = 1;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_MAP, &wrong), ==, -EOPNOTSUPP);
  wrong.reserved = 0;
  wrong.ioas_id = 999;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_MAP, &wrong), ==, -ENOENT);
  wrong.ioas_id = f->ioas;
  wrong.user_va = 1;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_MAP, &wrong), ==, -EINVAL);
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, &ranges), ==,
                   -EOPNOTSUPP);
}

/* Nothing before it is bound, nothing twice, attached only to what there is. */
static void
test_order (Fixture *f, gconstpointer data)
{
  struct vfio_device_info info = { .argsz = sizeof info };
  VfioUapiBindIommufd arg = { .argsz = 12, .iommufd = f->iommufd };
  VfioUapiAttachPt shorter = { .argsz = 8, .pt_id = f->ioas };
  int other, container, group;

  g_assert_cmpint (call (f, f->device, VFIO_DEVICE_GET_INFO, &info), ==, -EINVAL);
  g_assert_cmpint (attach (f, f->device, f->ioas), ==, -EINVAL);
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_BIND_IOMMUFD, &arg), ==, -EINVAL);
  arg = (VfioUapiBindIommufd){ .argsz = 16, .flags = 2, .iommufd = f->iommufd };
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_BIND_IOMMUFD, &arg), ==, -EINVAL);
  arg = (VfioUapiBindIommufd){ .argsz = 16, .iommufd = -1 };
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_BIND_IOMMUFD, &arg), ==, -EINVAL);
  arg.iommufd = 7;
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_BIND_IOMMUFD, &arg), ==, -EBADF);
  container = open_file (f, "/dev/vfio/vfio");
  arg.iommufd = container;
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_BIND_IOMMUFD, &arg), ==, -EBADFD);
  close_file (f, container);
  group = open_file (f, "/dev/vfio/12");
  g_assert_cmpint (open_file (f, "/dev/vfio/12"), ==, -EBUSY);
  g_assert_cmpint (bind (f, f->device), ==, -EBUSY);
  close_file (f, group);
  f->fake.not_viable = TRUE;
  g_assert_cmpint (bind (f, f->device), ==, -EPERM);
  g_assert_cmpint (bind (f, f->mediated), ==, 0); /* is nobody's mate */
  f->fake.not_viable = FALSE;

  g_assert_cmpint (bind (f, f->device), ==, 0);
  g_assert_cmpint (bind (f, f->device), ==, -EINVAL);
  other = open_file (f, "/dev/vfio/devices/vfio0");
  g_assert_cmpint (bind (f, other), ==, -EINVAL);
  close_file (f, other);
  g_assert_cmpint (call (f, f->device, VFIO_DEVICE_GET_INFO, &info), ==, 0);
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_ATTACH_PT, &shorter), ==, -EINVAL);
  g_assert_cmpint (attach (f, f->device, 999), ==, -ENOENT);
  g_assert_cmpint (attach (f, f->device, f->ioas), ==, 0);
  g_assert_cmpint (attach (f, f->device, f->ioas), ==, 0); /* again: the same */
  g_assert_cmpint (destroy (f, f->ioas), ==, -EBUSY);
  shorter.pt_id = 0;
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_DETACH_PT, &shorter), ==, 0);
  g_assert_cmpint (call (f, f->device, VFIO_UAPI_DETACH_PT, &shorter), ==, 0);
  g_assert_cmpint (destroy (f, f->ioas), ==, 0);
}

static void
test_ranges (Fixture *f, gconstpointer data)
{
  VfioUapiIovaRange found[2] = { 0 };
  VfioUapiIoasIovaRanges ranges = {
    .size = sizeof ranges, .ioas_id = f->ioas, .num_iovas = 2, .allowed_iovas = (guintptr)found
  };

  /* All of it, also for what is emulated, until a device narrows it. */
  g_assert_cmpint (bind (f, f->mediated), ==, 0);
  g_assert_cmpint (attach (f, f->mediated, f->ioas), ==, 0);
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, &ranges), ==, 0);
  g_assert_cmpuint (ranges.num_iovas, ==, 1);
  g_assert_cmpuint (found[0].last, ==, G_MAXUINT64);
  g_assert_cmpint (map (f, 0xfee00000, 4096), ==, 0); /* which is where interrupts go */
  g_assert_cmpint (bind (f, f->device), ==, 0);
  g_assert_cmpint (attach (f, f->device, f->ioas), ==, -EADDRINUSE);
  {
    guint64 length = 4096;

    g_assert_cmpint (unmap (f, 0xfee00000, &length), ==, 0);
  }
  g_assert_cmpint (attach (f, f->device, f->ioas), ==, 0);
  ranges.num_iovas = 1;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, &ranges), ==, -EMSGSIZE);
  g_assert_cmpuint (ranges.num_iovas, ==, 2);
  g_assert_cmpuint (found[0].last, ==, 0xfedfffff);
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, &ranges), ==, 0);
  g_assert_cmpuint (found[1].start, ==, 0xfef00000);
  g_assert_cmpint (map (f, 0xfee00000, 4096), ==, -EINVAL);
  ranges.ioas_id = 999;
  g_assert_cmpint (call (f, f->iommufd, VFIO_UAPI_IOMMU_IOAS_IOVA_RANGES, &ranges), ==, -ENOENT);
}

static void
test_mappings (Fixture *f, gconstpointer data)
{
  guint64 length;

  g_assert_cmpint (bind (f, f->device), ==, 0);
  g_assert_cmpint (attach (f, f->device, f->ioas), ==, 0);
  g_assert_cmpint (map (f, 0, 0), ==, -EINVAL);
  g_assert_cmpint (map (f, 0x800, 0x1000), ==, -EINVAL);
  g_assert_cmpint (map (f, 0x1000, 0x800), ==, -EINVAL);
  g_assert_cmpint (map (f, 0, G_MAXUINT64), ==, -EOVERFLOW);
  g_assert_cmpint (map (f, G_MAXUINT64 - 0xfff, 0x2000), ==, -EOVERFLOW);
  g_assert_cmpint (map (f, 0x1000, 0x3000), ==, 0);
  g_assert_cmpint (map (f, 0x3000, 0x1000), ==, -EEXIST);
  g_assert_cmpint (map (f, 0, 0x2000), ==, -EEXIST);
  g_assert_cmpint (map (f, 0x4000, 0x1000), ==, 0);
  f->fake.memlock = 0x5000;
  g_assert_cmpint (map (f, 0x10000, 0x2000), ==, -ENOMEM);
  g_assert_cmpint (map (f, 0x10000, 0x1000), ==, 0);

  length = 0x1000;
  g_assert_cmpint (unmap (f, 0x2000, &length), ==, -ENOENT); /* a part of one */
  length = 0;
  g_assert_cmpint (unmap (f, 0x1000, &length), ==, -EINVAL);
  length = 0x4000;
  g_assert_cmpint (unmap (f, 0x1000, &length), ==, 0);
  g_assert_cmpuint (length, ==, 0x4000);
  length = 0x4000;
  g_assert_cmpint (unmap (f, 0x1000, &length), ==, -ENOENT);
  length = G_MAXUINT64;
  g_assert_cmpint (unmap (f, 0, &length), ==, 0);
  g_assert_cmpuint (length, ==, 0x1000);
  length = G_MAXUINT64;
  g_assert_cmpint (unmap (f, 0, &length), ==, 0);
  g_assert_cmpuint (f->fake.maps->len, ==, 0);
}

/* An iommufd lives as long as a device that is bound to it. */
static void
test_close (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (bind (f, f->device), ==, 0);
  g_assert_cmpint (attach (f, f->device, f->ioas), ==, 0);
  g_assert_cmpint (map (f, 0x1000, 0x3000), ==, 0);
  close_file (f, f->iommufd);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  close_file (f, f->device);
  g_assert_cmpuint (f->fake.maps->len, ==, 0);
  g_assert_cmpuint (f->fake.objects->len, ==, 0);
  f->iommufd = open_file (f, "/dev/iommu");
  f->device = open_file (f, "/dev/vfio/devices/vfio0");
}

/* Groups in a container. */
static void
test_container (Fixture *f, gconstpointer data)
{
  int container = open_file (f, "/dev/vfio/vfio"), group = open_file (f, "/dev/vfio/12"), device;
  struct vfio_iommu_type1_dma_map arg = {
    .argsz = sizeof arg, .flags = VFIO_DMA_MAP_FLAG_READ, .vaddr = AT, .size = 0x3000
  };
  struct vfio_iommu_type1_dma_unmap un = { .argsz = sizeof un, .iova = 0x1000, .size = 0x1000 };
  char name[] = PLACE, other[] = "0000:01:00.7", bad[] = PLACE " vf_token=1", more[] = PLACE " x";

  g_assert_cmpint (call (f, container, VFIO_IOMMU_MAP_DMA, &arg), ==, -EINVAL);
  g_assert_cmpint (call (f, group, VFIO_GROUP_GET_DEVICE_FD, name), ==, -EINVAL);
  g_assert_cmpint (call (f, group, VFIO_GROUP_SET_CONTAINER, &container), ==, 0);
  g_assert_cmpint (call (f, container, VFIO_SET_IOMMU, (gpointer)(guintptr)VFIO_TYPE1v2_IOMMU), ==,
                   0);
  g_assert_cmpint (call (f, container, VFIO_IOMMU_MAP_DMA, &arg), ==, 0);
  g_assert_cmpint (call (f, container, VFIO_IOMMU_MAP_DMA, &arg), ==, -EEXIST);
  g_assert_cmpint (call (f, container, VFIO_IOMMU_UNMAP_DMA, &un), ==, -EINVAL);
  arg.iova = 0xfee00000;
  g_assert_cmpint (call (f, container, VFIO_IOMMU_MAP_DMA, &arg), ==, -EINVAL);
  arg.iova = 0x800;
  g_assert_cmpint (call (f, container, VFIO_IOMMU_MAP_DMA, &arg), ==, -EINVAL);
  un.iova = 0x10000;
  g_assert_cmpint (call (f, container, VFIO_IOMMU_UNMAP_DMA, &un), ==, 0);
  g_assert_cmpuint (un.size, ==, 0);
  g_assert_cmpint (call (f, group, VFIO_GROUP_GET_DEVICE_FD, other), ==, -ENODEV);
  g_assert_cmpint (call (f, group, VFIO_GROUP_GET_DEVICE_FD, bad), ==, -EINVAL);
  g_assert_cmpint (call (f, group, VFIO_GROUP_GET_DEVICE_FD, more), ==, -EINVAL);
  device = call (f, group, VFIO_GROUP_GET_DEVICE_FD, name);
  g_assert_cmpint (device, >=, 0);
  close_file (f, device);
  g_assert_cmpint (call (f, group, VFIO_GROUP_UNSET_CONTAINER, NULL), ==, 0);
  close_file (f, group);
  close_file (f, container);
}

int
main (int argc, char **argv)
{
#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)
  g_test_init (&argc, &argv, NULL);
  ADD ("/vfio/double/structures", test_structures);
  ADD ("/vfio/double/order", test_order);
  ADD ("/vfio/double/ranges", test_ranges);
  ADD ("/vfio/double/mappings", test_mappings);
  ADD ("/vfio/double/close", test_close);
  ADD ("/vfio/double/container", test_container);
  return g_test_run ();
}
