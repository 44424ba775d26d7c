/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Opening functions and mapping memory, against the model of the kernel. */
#include "fake-kernel.h"
#include "tests/unit/harness/harness.h"
#include "vfio/device/device.h"

#include <errno.h>
#include <string.h>

#define RAM  (G_GUINT64_CONSTANT (8) << 20)
#define GPU  "0000:01:00.0"
#define PATH "/sys/bus/pci/devices/" GPU

typedef struct
{
  HarnessMachine *h;
  FakeKernel fake;
  VfioContainer *container;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  VfioWay way = GPOINTER_TO_UINT (data);

  f->h = harness_new (RAM);
  fake_kernel_init (&f->fake);
  fake_kernel_add (&f->fake, fake_gpu_new (GPU, 12));
  fake_kernel_add (&f->fake, fake_function_new ("0000:01:00.1", 12, 0x10de, 0x228b));
  fake_kernel_add (&f->fake, fake_function_new ("0000:02:00.0", 13, 0x8086, 0x1533));
  f->container = vfio_container_new (f->h->machine, &f->fake.kernel, way);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  vfio_container_free (f->container);
  g_assert_cmpuint (f->h->n_vfio, ==, 0);
  harness_free (f->h);
  fake_kernel_clear (&f->fake);
}

static VfioDevice *
open_device (Fixture *f, const char *name, GError **error)
{
  g_autofree char *sysfs = g_build_filename ("/sys/bus/pci/devices", name, NULL);

  return vfio_device_new (f->container, sysfs, name, NULL, error);
}

static void
assert_refused_as (Fixture *f, const char *name, const char *token, int code, const char *word)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sysfs = g_build_filename ("/sys/bus/pci/devices", name, NULL);

  g_assert_null (vfio_device_new (f->container, sysfs, name, token, &error));
  g_assert_error (error, VMM_ERROR, code);
  if (strstr (error->message, word) == NULL || strstr (error->message, name) == NULL)
    g_error ("“%s” and the device are not in: %s", word, error->message);
  g_test_message ("%s", error->message);
  g_assert_cmpuint (f->fake.n_open, ==, 0);
  g_assert_cmpuint (f->fake.maps->len, ==, 0);
  g_assert_cmpuint (f->fake.objects->len, ==, 0);
  g_assert_cmpuint (f->h->n_vfio, ==, 0);
}

static void
assert_refused (Fixture *f, int code, const char *word)
{
  assert_refused_as (f, GPU, NULL, code, word);
}

static void
assert_opens (Fixture *f, const char *name, const char *token)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *sysfs = g_build_filename ("/sys/bus/pci/devices", name, NULL);
  VfioDevice *device = vfio_device_new (f->container, sysfs, name, token, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  vfio_device_free (device);
  g_assert_cmpuint (f->fake.n_open, ==, 0);
  g_assert_cmpuint (f->fake.maps->len, ==, 0);
}

static void
test_memory (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  VmmGuestMemory *memory = vmm_machine_get_memory (f->h->machine);
  VfioDevice *gpu = open_device (f, GPU, &error), *sound, *card;
  VmmRamBlock *more, *video;
  VmmMapping *mapping, *shown;

  g_assert_no_error (error);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  g_assert_cmpuint (g_array_index (f->fake.maps, FakeMap, 0).length, ==, RAM);
  g_assert_true (g_array_index (f->fake.maps, FakeMap, 0).address ==
                 vmm_ram_block_get_data (f->h->ram));
  g_assert_cmpuint (vfio_container_get_n_mapped (f->container), ==, RAM);
  g_assert_cmpuint (f->h->n_vfio, ==, 1);

  /* A mate of its group and a device of another one see the same memory. */
  sound = open_device (f, "0000:01:00.1", &error);
  g_assert_no_error (error);
  card = open_device (f, "0000:02:00.0", &error);
  g_assert_no_error (error);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  g_assert_cmpuint (f->h->n_vfio, ==, GPOINTER_TO_UINT (data) == VFIO_WAY_GROUPS ? 2 : 3);

  /* Memory that comes and goes is followed; video memory is not the device's to write. */
  more = vmm_ram_block_new ("more", 1 << 20, VMM_RAM_NONE, &error);
  video = vmm_ram_block_new ("video", 1 << 20, VMM_RAM_DEVICE, &error);
  mapping = vmm_guest_memory_map (memory, more, 0x1000, vmm_gpa (0x100000000), 0x80000,
                                  VMM_MAP_NONE, &error);
  g_assert_no_error (error);
  shown =
      vmm_guest_memory_map (memory, video, 0, vmm_gpa (0x200000000), 1 << 20, VMM_MAP_NONE, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (f->fake.maps->len, ==, 2);
  g_assert_cmpuint (g_array_index (f->fake.maps, FakeMap, 1).iova, ==, 0x100000000);
  g_assert_true (g_array_index (f->fake.maps, FakeMap, 1).address ==
                 vmm_ram_block_get_data (more) + 0x1000);
  vmm_guest_memory_unmap (memory, mapping);
  vmm_guest_memory_unmap (memory, shown);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  vmm_ram_block_unref (more);
  vmm_ram_block_unref (video);

  vfio_device_free (gpu);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  vfio_device_free (card);
  vfio_device_free (sound);
  g_assert_cmpuint (f->fake.maps->len, ==, 0);
  g_assert_cmpuint (f->fake.n_open, ==, 0);
  /* And again. */
  gpu = open_device (f, GPU, &error);
  g_assert_no_error (error);
  vfio_device_free (gpu);
}

/* Each call in turn fails: an error that names the device, and nothing is left. */
static void
test_every_call (Fixture *f, gconstpointer data)
{
  guint n = 0;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      VfioDevice *device;

      f->fake.n_calls = 0;
      f->fake.fail_at = ++n;
      device = open_device (f, GPU, &error);
      if (f->fake.n_calls < n)
        {
          g_assert_nonnull (device);
          vfio_device_free (device);
          break;
        }
      /* What is only asked may be left out. */
      if (device != NULL)
        {
          g_assert_no_error (error);
          vfio_device_free (device);
        }
      else
        {
          g_assert_nonnull (error);
          g_assert_nonnull (strstr (error->message, GPU));
        }
      g_assert_cmpuint (f->fake.n_open, ==, 0);
      g_assert_cmpuint (f->fake.maps->len, ==, 0);
      g_assert_cmpuint (f->h->n_vfio, ==, 0);
    }
  g_assert_cmpuint (n, >, 15);
  f->fake.fail_at = 0;
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  f->fake.not_viable = TRUE;
  assert_refused (f, VMM_ERROR_BUSY, "isolation group");
  f->fake.not_viable = FALSE;

  f->fake.no_permission = TRUE;
  assert_refused (f, VMM_ERROR_PERMISSION, "alcove pci bind");
  f->fake.no_permission = FALSE;
  if (GPOINTER_TO_UINT (data) == VFIO_WAY_IOMMUFD)
    {
      f->fake.no_iommu_permission = TRUE;
      assert_refused (f, VMM_ERROR_PERMISSION, "udev rule");
      f->fake.no_iommu_permission = FALSE;
    }

  f->fake.memlock = RAM / 2;
  assert_refused (f, VMM_ERROR_NO_MEMORY, "emory");
  f->fake.memlock = 0;
  f->fake.no_entries = TRUE; /* iommufd has no such limit */
  if (GPOINTER_TO_UINT (data) == VFIO_WAY_GROUPS)
    assert_refused (f, VMM_ERROR_NO_MEMORY, "dma_entry_limit");
  else
    assert_opens (f, GPU, NULL);
  f->fake.no_entries = FALSE;

  /* The machine's RAM goes to 8 MiB; the IOMMU has a hole in it, then too few bits. */
  f->fake.ranges[0].end = 0x3fffff;
  f->fake.ranges[1].start = 0x500000;
  assert_refused (f, VMM_ERROR_NOT_SUPPORTED, "IOMMU");
  f->fake.ranges[0].end = RAM - 2;
  f->fake.n_ranges = 1;
  assert_refused (f, VMM_ERROR_NOT_SUPPORTED, "less memory");
  f->fake.ranges[0].end = RAM - 1;
  {
    VfioDevice *device = open_device (f, GPU, NULL);

    g_assert_nonnull (device);
    vfio_device_free (device);
  }
}

/* A second device reaches less than the first: refused, and the first goes on. */
static void
test_narrow_second (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  VfioDevice *gpu = open_device (f, GPU, &error);

  g_assert_no_error (error);
  f->fake.ranges[0].end = 0xffff;
  f->fake.n_ranges = 1;
  g_assert_null (open_device (f, "0000:02:00.0", &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "0000:02:00.0"));
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  vfio_device_free (gpu);
}

/* A mapping half-way fails: those before it are taken back. */
static void
test_rollback (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  VmmGuestMemory *memory = vmm_machine_get_memory (f->h->machine);
  VmmRamBlock *more = vmm_ram_block_new ("more", 4 << 20, VMM_RAM_NONE, &error);
  VmmMapping *mapping =
      vmm_guest_memory_map (memory, more, 0, vmm_gpa (0x100000000), 4 << 20, VMM_MAP_NONE, &error);

  f->fake.memlock = RAM + (1 << 20);
  assert_refused (f, VMM_ERROR_NO_MEMORY, "12 MiB");
  vmm_guest_memory_unmap (memory, mapping);
  vmm_ram_block_unref (more);
}

static void
test_busy (Fixture *f, gconstpointer data)
{
  f->fake.busy = TRUE;
  assert_refused (f, VMM_ERROR_BUSY, "another program");
  f->fake.busy = FALSE;
  f->fake.no_groups = TRUE;
  assert_refused (f, VMM_ERROR_NOT_FOUND, "vfio-pci");
}

/* The kernel decides which way it goes. */
static void
test_choice (Fixture *f, gconstpointer data)
{
  VfioDevice *device = open_device (f, GPU, NULL);

  g_assert_cmpint (vfio_container_get_way (f->container), ==, VFIO_WAY_GROUPS);
  vfio_device_free (device);
  g_assert_cmpint (vfio_container_get_way (f->container), ==, VFIO_WAY_AUTO);
  f->fake.no_groups = TRUE;
  device = open_device (f, GPU, NULL);
  g_assert_cmpint (vfio_container_get_way (f->container), ==, VFIO_WAY_IOMMUFD);
  vfio_device_free (device);
  f->fake.no_iommufd = TRUE;
  assert_refused (f, VMM_ERROR_NOT_FOUND, "alcove pci bind");
}

/* Areas that the kernel should not give: unsorted, overlapping, outside, not on pages. */
static void
test_areas (Fixture *f, gconstpointer data)
{
  FakeFunction *gpu = f->fake.functions[0];
  VfioDevice *device;
  const VfioRegion *region;

  gpu->sparse[0].offset = 0x10000;
  gpu->sparse[0].size = 0x1000;
  gpu->sparse[1].offset = 0;
  gpu->sparse[1].size = 0x4000;
  gpu->sparse[2].offset = 0x3000;
  gpu->sparse[2].size = 0x2000;
  gpu->sparse[3].offset = G_MAXUINT64 - 0xfff;
  gpu->sparse[3].size = 0x2000;
  gpu->n_sparse = 4;
  device = open_device (f, GPU, NULL);
  region = vfio_device_get_region (device, 0);
  g_assert_true (region->msix_mappable);
  g_assert_cmpuint (region->n_areas, ==, 2);
  g_assert_cmpuint (region->areas[0].offset, ==, 0);
  g_assert_cmpuint (region->areas[1].offset, ==, 0x10000);
  g_assert_cmpint (vfio_device_read (device, region, region->size - 2, &gpu, 4), ==, -ENXIO);
  g_assert_null (vfio_device_get_region (device, VFIO_PCI_VGA_REGION_INDEX));
  g_assert_null (vfio_device_get_region (device, 1000));
  vfio_device_free (device);
}

/* A virtual function whose physical one another program has. */
static void
test_token (Fixture *f, gconstpointer data)
{
  gboolean groups = GPOINTER_TO_UINT (data) == VFIO_WAY_GROUPS;
  FakeFunction *vf = f->fake.functions[2];

  vf->physfn = "0000:02:00.7";
  vf->token = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  assert_refused_as (f, vf->name, NULL, VMM_ERROR_PERMISSION, "vf-token=");
  assert_refused_as (f, vf->name, NULL, VMM_ERROR_PERMISSION, "0000:02:00.7");
  assert_refused_as (f, vf->name, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002", VMM_ERROR_PERMISSION,
                     "not the one");
  assert_refused_as (f, vf->name, "83b8f4f2", VMM_ERROR_INVALID, "vf-token=");
  assert_opens (f, vf->name, "83B8F4F2-509F-382F-3C1E-E6BFE0FA1001");

  /* Nobody asks for one. */
  vf->token = NULL;
  assert_refused_as (f, vf->name, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001",
                     groups ? VMM_ERROR_INVALID : VMM_ERROR_NOT_SUPPORTED, "Take vf-token= out");
  assert_opens (f, vf->name, NULL);
}

/* Kernels whose iommufd takes no token, and one that has the flag alone. */
static void
test_token_old (Fixture *f, gconstpointer data)
{
  FakeFunction *vf = f->fake.functions[2];

  vf->token = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
  for (guint i = 0; i < 2; i++)
    {
      f->fake.bind = i == 0 ? FAKE_BIND_OLD : FAKE_BIND_NO_PLACE;
      assert_refused_as (f, vf->name, vf->token, VMM_ERROR_NOT_SUPPORTED, "newer kernel");
      assert_opens (f, GPU, NULL);
    }
}

/* A mediated device: nothing narrows its address space, nothing is pinned, no reset reaches a bus. */
static void
test_mediated (Fixture *f, gconstpointer data)
{
  static const char uuid[] = "11111111-2222-4333-8444-555555555555";
  FakeFunction *mdev = fake_function_new (uuid, 40, 0x8086, 0x1912);
  g_autoptr (GError) error = NULL;
  VfioDevice *device, *gpu;

  mdev->emulated = TRUE;
  fake_kernel_add (&f->fake, mdev);
  f->fake.memlock = RAM / 2;
  f->fake.ranges[0].end = 0xfffff;
  f->fake.n_ranges = 1;
  device =
      vfio_device_new (f->container, "/sys/bus/mdev/devices/11111111-2222-4333-8444-555555555555",
                       uuid, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  g_assert_cmpuint (vfio_container_get_n_mapped (f->container), ==, RAM);
  g_assert_nonnull (vfio_device_get_region (device, VFIO_PCI_CONFIG_REGION_INDEX));
  /* What does DMA by itself beside it brings the limits with it. */
  gpu = open_device (f, GPU, &error);
  g_assert_null (gpu);
  g_assert_nonnull (error);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  vfio_device_free (device);
  g_clear_error (&error);
  device =
      vfio_device_new (f->container, "/sys/bus/mdev/devices/11111111-2222-4333-8444-555555555555",
                       uuid, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", &error);
  g_assert_null (device);
  g_assert_nonnull (strstr (error->message, uuid));
  f->fake.no_permission = TRUE;
  assert_refused_as (f, uuid, NULL, VMM_ERROR_PERMISSION, "chown");
  f->fake.no_permission = FALSE;
  mdev->vanished = TRUE;
  assert_refused_as (f, uuid, NULL, VMM_ERROR_NOT_FOUND, "Make it again");
}

/* It goes between the check and the start, or while it is opened. */
static void
test_vanished (Fixture *f, gconstpointer data)
{
  f->fake.functions[0]->vanished = TRUE;
  assert_refused (f, VMM_ERROR_NOT_FOUND, "not");
  f->fake.functions[0]->vanished = FALSE;
  for (guint n = 1; n < 12; n++)
    {
      g_autoptr (GError) error = NULL;
      VfioDevice *device;

      f->fake.n_calls = 0;
      f->fake.fail_at = n;
      f->fake.error = ENODEV;
      device = open_device (f, GPU, &error);
      if (device != NULL)
        vfio_device_free (device);
      else
        g_assert_nonnull (strstr (error->message, GPU));
      g_assert_cmpuint (f->fake.n_open, ==, 0);
      g_assert_cmpuint (f->fake.objects->len, ==, 0);
    }
  f->fake.fail_at = 0;
  f->fake.error = EIO;
  assert_opens (f, GPU, NULL);
}

/* By iommufd another program shows only when the device is bound. */
static void
test_busy_iommufd (Fixture *f, gconstpointer data)
{
  VfioKernel *kernel = &f->fake.kernel;
  int fd = kernel->ops->open (kernel, "/dev/vfio/12");
  g_autoptr (GError) error = NULL;

  g_assert_null (open_device (f, GPU, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "another program"));
  kernel->ops->close (kernel, fd);
  f->fake.functions[0]->open = TRUE; /* by its own file, elsewhere */
  assert_refused (f, VMM_ERROR_BUSY, "another program");
  f->fake.functions[0]->open = FALSE;
  f->fake.no_msi_isolation = TRUE;
  assert_refused (f, VMM_ERROR_BUSY, "interrupts");
}

/* More ranges than there was room for, and more than is believed. */
static void
test_many_ranges (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < FAKE_RANGES; i++)
    {
      f->fake.ranges[i].start = (guint64)i << 40;
      f->fake.ranges[i].end = f->fake.ranges[i].start + (i == FAKE_RANGES - 1 ? RAM : 0xfff);
    }
  f->fake.n_ranges = FAKE_RANGES;
  assert_refused (f, VMM_ERROR_NOT_SUPPORTED, "less memory");
  f->fake.ranges[0].end = RAM - 1;
  assert_opens (f, GPU, NULL);
}

int
main (int argc, char **argv)
{
  gpointer groups = GUINT_TO_POINTER (VFIO_WAY_GROUPS);
  gpointer iommufd = GUINT_TO_POINTER (VFIO_WAY_IOMMUFD);
#define ADD(path, way, func) g_test_add (path, Fixture, way, set_up, func, tear_down)

  g_test_init (&argc, &argv, NULL);
  ADD ("/vfio/container/groups/memory", groups, test_memory);
  ADD ("/vfio/container/groups/every-call", groups, test_every_call);
  ADD ("/vfio/container/groups/refused", groups, test_refused);
  ADD ("/vfio/container/groups/narrow-second", groups, test_narrow_second);
  ADD ("/vfio/container/groups/rollback", groups, test_rollback);
  ADD ("/vfio/container/groups/busy", groups, test_busy);
  ADD ("/vfio/container/iommufd/memory", iommufd, test_memory);
  ADD ("/vfio/container/iommufd/every-call", iommufd, test_every_call);
  ADD ("/vfio/container/iommufd/refused", iommufd, test_refused);
  ADD ("/vfio/container/iommufd/narrow-second", iommufd, test_narrow_second);
  ADD ("/vfio/container/iommufd/rollback", iommufd, test_rollback);
  ADD ("/vfio/container/iommufd/busy", iommufd, test_busy_iommufd);
  ADD ("/vfio/container/iommufd/many-ranges", iommufd, test_many_ranges);
  ADD ("/vfio/container/iommufd/token-old", iommufd, test_token_old);
  ADD ("/vfio/container/groups/mediated", groups, test_mediated);
  ADD ("/vfio/container/iommufd/mediated", iommufd, test_mediated);
  ADD ("/vfio/container/groups/token", groups, test_token);
  ADD ("/vfio/container/iommufd/token", iommufd, test_token);
  ADD ("/vfio/container/groups/vanished", groups, test_vanished);
  ADD ("/vfio/container/iommufd/vanished", iommufd, test_vanished);
  ADD ("/vfio/container/choice", GUINT_TO_POINTER (VFIO_WAY_AUTO), test_choice);
  ADD ("/vfio/container/areas", groups, test_areas);
  return g_test_run ();
}
