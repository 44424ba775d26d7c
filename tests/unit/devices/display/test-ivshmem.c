/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/ivshmem.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/registry.h"
#include "tests/unit/harness/harness.h"
#include "vmm/error.h"
#include "vmm/state.h"

#define SIZE      (G_GUINT64_CONSTANT (4) << 20)
#define REGISTERS G_GUINT64_CONSTANT (0xe0000000)
#define MEMORY    G_GUINT64_CONSTANT (0xe8000000)
#define FN        PCI_MAKE_DEVFN (2, 0)

typedef struct
{
  HarnessMachine *h;
  PciBus *bus;
  VmmDevice *device;
  guint8 *host; /* the memory as a program of the host sees it */
} Fixture;

static void
set_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
}

static void
place (Fixture *f)
{
  pci_bus_config_write (f->bus, 0, FN, 0x10, 4, (guint32)REGISTERS);
  pci_bus_config_write (f->bus, 0, FN, 0x18, 4, (guint32)MEMORY);
  pci_bus_config_write (f->bus, 0, FN, 0x1c, 4, 0);
  pci_bus_config_write (f->bus, 0, FN, 4, 2, 7);
}

static VmmDevice *
make (Fixture *f, guint64 size, GError **error)
{
  VmmDevice *device = vmm_device_new (device_registry_find ("ivshmem"), "frames.relay");

  g_assert_true (vmm_device_set_pointer (device, "bus", f->bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", FN, NULL));
  if (vmm_device_set_uint (device, "size", size, error) &&
      vmm_device_realize (device, f->h->machine, error))
    return device;
  vmm_device_free (device);
  return NULL;
}

static void
drop (Fixture *f)
{
  vmm_device_unrealize (f->device);
  g_clear_pointer (&f->device, vmm_device_free);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  static const PciBusOps bus_ops = { .set_intx = set_intx };
  g_autoptr (GError) error = NULL;

  f->h = harness_new (640 * 1024);
  f->bus = pci_bus_new (f->h->machine, "pcie.0", &bus_ops, f);
  f->device = make (f, SIZE, &error);
  g_assert_no_error (error);
  place (f);
  f->host = mmap (NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ivshmem_get_fd (f->device), 0);
  g_assert_true (f->host != MAP_FAILED);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  munmap (f->host, SIZE);
  drop (f);
  pci_bus_free (f->bus);
  harness_free (f->h);
}

static void
test_identity (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, FN, 0, 4), ==, 0x11101af4);
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, FN, 8, 4), ==, 0x05000001);
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, FN, 0x2c, 4), ==, 0x11001af4);
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, FN, 0x3d, 1), ==, 0); /* no interrupt */
  pci_bus_config_write (f->bus, 0, FN, 4, 2, 0);
  pci_bus_config_write (f->bus, 0, FN, 0x10, 4, 0xffffffff);
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, FN, 0x10, 4), ==, 0xffffff00);
  pci_bus_config_write (f->bus, 0, FN, 0x18, 4, 0xffffffff);
  /* 64 bit, prefetchable */
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, FN, 0x18, 4), ==, 0xffc0000c);
}

static void
test_shared (Fixture *f, gconstpointer data)
{
  harness_write_le (f->h, MEMORY + 0x1234, 4, 0xc0ffee11);
  g_assert_cmphex (*(guint32 *)(gpointer)(f->host + 0x1234), ==, 0xc0ffee11);
  f->host[SIZE - 1] = 0x5a;
  g_assert_cmphex (harness_read_le (f->h, MEMORY + SIZE - 1, 1), ==, 0x5a);
  /* Nobody can cut it short under the guest. */
  g_assert_cmpint (ftruncate (ivshmem_get_fd (f->device), 4096), ==, -1);
}

static void
test_registers (Fixture *f, gconstpointer data)
{
  g_assert_cmphex (harness_mmio_read (f->h, REGISTERS + 8, 4), ==, 0);
  harness_mmio_write (f->h, REGISTERS, 4, 0xffffffff);
  g_assert_cmphex (harness_mmio_read (f->h, REGISTERS, 4), ==, 0xffffffff);
  g_assert_cmphex (harness_mmio_read (f->h, REGISTERS + 4, 4), ==, 0);
  /* A doorbell to any peer, and places where nothing is: no effect, no harm. */
  for (guint offset = 8; offset < 256; offset += 4)
    {
      harness_mmio_write (f->h, REGISTERS + offset, 4, 0x00030001);
      g_assert_cmphex (harness_mmio_read (f->h, REGISTERS + offset, 4), ==, 0);
    }
}

static void
test_reset (Fixture *f, gconstpointer data)
{
  f->host[0] = 1;
  harness_mmio_write (f->h, REGISTERS, 4, 1);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  g_assert_cmphex (pci_bus_config_read (f->bus, 0, FN, 0x10, 4), ==, 0);
  place (f);
  g_assert_cmphex (harness_mmio_read (f->h, REGISTERS, 4), ==, 0);
  g_assert_cmphex (f->host[0], ==, 1); /* the other side may be reading it */
}

static void
test_state (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;

  harness_mmio_write (f->h, REGISTERS, 4, 7);
  memcpy (f->host + 65536, "a frame", 7);
  first = harness_save (f->h);
  /* What was written is all that is kept. */
  g_assert_cmpuint (g_bytes_get_size (first), <, 200 * 1024);
  memset (f->host, 0xee, SIZE);
  harness_mmio_write (f->h, REGISTERS, 4, 9);
  g_assert_true (harness_load (f->h, first, &error));
  g_assert_no_error (error);
  g_assert_cmphex (harness_mmio_read (f->h, REGISTERS, 4), ==, 7);
  g_assert_cmpmem (f->host + 65536, 7, "a frame", 7);
  g_assert_cmphex (f->host[0], ==, 0);
  g_assert_cmphex (f->host[SIZE - 1], ==, 0);
  second = harness_save (f->h);
  g_assert_true (g_bytes_equal (first, second));
}

static void
test_sizes (void)
{
  static const struct
  {
    guint width, height, mib;
  } modes[] = {
    { 1024, 768, 16 },   { 1920, 1080, 32 },  { 2560, 1440, 64 },
    { 3840, 2160, 128 }, { 7680, 4320, 512 }, { 16384, 16384, 4096 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (modes); i++)
    g_assert_cmpuint (ivshmem_get_frames_size (modes[i].width, modes[i].height) >> 20, ==,
                      modes[i].mib);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  static const guint64 sizes[] = { 0, 4096, SIZE + 4096, 3 * SIZE, G_GUINT64_CONSTANT (2) << 30 };

  drop (f);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (make (f, sizes[i], &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
    }
  f->device = make (f, SIZE, NULL);
  g_assert_nonnull (f->device);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
  g_test_add ("/ivshmem/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("identity", test_identity);
  ADD ("shared", test_shared);
  ADD ("registers", test_registers);
  ADD ("reset", test_reset);
  ADD ("state", test_state);
  ADD ("refused", test_refused);
  g_test_add_func ("/ivshmem/sizes", test_sizes);
  return g_test_run ();
}
