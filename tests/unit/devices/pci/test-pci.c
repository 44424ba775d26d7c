/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/board/root-port.h"
#include "devices/pci/pci.h"
#include "tests/unit/harness/harness.h"

#include <linux/pci_regs.h>
#include <string.h>
#include <unistd.h>

/* A function with one BAR of each kind: 0 trapped 32-bit, 1 ports, 2 RAM-backed 64-bit,
 * 4 the core's MSI-X. */
typedef struct
{
  PciDevice parent;
  struct
  {
    guint64 n_msix;
    guint64 express;
  } config;
  struct
  {
    VmmRegion mmio, pio;
    VmmRamBlock *block;
    guint n_moved;
    guint64 last_base;
  } host;
} TestDevice;

static VmmIoResult
test_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = 0xa0 + offset;
  return VMM_IO_OK;
}

static VmmIoResult
test_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  return VMM_IO_OK;
}

static const VmmRegionOps region_ops = {
  .name = "test",
  .min_size = 1,
  .max_size = 4,
  .read = test_read,
  .write = test_write,
};

static void
test_moved (PciDevice *device, guint bar, guint64 base)
{
  TestDevice *self = (TestDevice *)device;

  self->host.n_moved++;
  self->host.last_base = base;
}

static gboolean
test_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  TestDevice *self = (TestDevice *)device;
  PciDeviceInfo info = {
    .vendor = 0x1af4,
    .device = 0x1234,
    .subsystem_vendor = 0x1af4,
    .subsystem = 0x1100,
    .revision = 1,
    .class_base = 0xff,
    .express = self->config.express != 0,
    .n_msix = (guint)self->config.n_msix,
    .msix_bar = 4,
    .intx_pin = 1,
  };

  if (!pci_device_init (&self->parent, machine, &info, error))
    return FALSE;
  vmm_region_init (&self->host.mmio, &region_ops, self, &device->lock, 0x1000);
  vmm_region_init (&self->host.pio, &region_ops, self, &device->lock, 0x20);
  self->host.block = vmm_ram_block_new ("test", 0x10000, VMM_RAM_DEVICE, error);
  g_assert_nonnull (self->host.block);
  return pci_device_add_bar (&self->parent, 0,
                             &(PciBar){ .kind = PCI_BAR_MMIO32,
                                        .size = 0x1000,
                                        .region = &self->host.mmio,
                                        .moved = test_moved },
                             error) &&
         pci_device_add_bar (
             &self->parent, 1,
             &(PciBar){ .kind = PCI_BAR_PIO, .size = 0x20, .region = &self->host.pio }, error) &&
         pci_device_add_bar (&self->parent, 2,
                             &(PciBar){ .kind = PCI_BAR_MMIO64,
                                        .prefetchable = TRUE,
                                        .size = 0x10000,
                                        .block = self->host.block },
                             error);
}

static void
test_unrealize (VmmDevice *device)
{
  TestDevice *self = (TestDevice *)device;

  pci_device_finish (&self->parent);
  g_clear_pointer (&self->host.block, vmm_ram_block_unref);
}

static void
test_reset (VmmDevice *device, VmmResetKind kind)
{
  pci_device_reset ((PciDevice *)device);
}

static void
test_nothing (VmmDevice *device)
{
}

static gboolean
test_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  pci_device_save ((PciDevice *)device, writer);
  return TRUE;
}

static gboolean
test_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  return pci_device_load ((PciDevice *)device, reader, error);
}

static const VmmProperty properties[] = {
  PCI_DEVICE_PROPERTIES,
  { "n-msix", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (TestDevice, config.n_msix), 0, 4096, 70 },
  { "express", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (TestDevice, config.express), 0, 1, 1 },
  { NULL },
};

static const VmmDeviceOps test_ops = {
  .name = "test-pci",
  .summary = "Test function",
  .spec = "none",
  .instance_size = sizeof (TestDevice),
  .state_version = 1,
  .properties = properties,
  .realize = test_realize,
  .unrealize = test_unrealize,
  .reset = test_reset,
  .quiesce = test_nothing,
  .resume = test_nothing,
  .save = test_save,
  .load = test_load,
};

typedef struct
{
  HarnessMachine *h;
  PciBus *root;
  guint slot, pin, n_changes;
  gboolean level;
} Fixture;

static void
on_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
  Fixture *f = opaque;

  f->slot = slot;
  f->pin = pin;
  f->level = level;
  f->n_changes++;
}

static const PciBusOps bus_ops = { .set_intx = on_intx };

static void
set_up (Fixture *f)
{
  memset (f, 0, sizeof *f);
  f->h = harness_new (1 << 20);
  f->root = pci_bus_new (f->h->machine, "root", &bus_ops, f);
}

static void
tear_down (Fixture *f)
{
  harness_free (f->h);
  pci_bus_free (f->root);
}

static TestDevice *
new_device (PciBus *bus, const char *id, guint devfn, guint n_msix)
{
  VmmDevice *device = vmm_device_new (&test_ops, id);

  g_assert_true (vmm_device_set_pointer (device, "bus", bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", devfn, NULL));
  g_assert_true (vmm_device_set_uint (device, "n-msix", n_msix, NULL));
  return (TestDevice *)device;
}

static TestDevice *
add_device (Fixture *f, PciBus *bus, const char *id, guint devfn)
{
  return (TestDevice *)harness_realize (f->h, (VmmDevice *)new_device (bus, id, devfn, 70));
}

static guint32
rd (Fixture *f, guint bus, guint devfn, guint offset, guint size)
{
  return pci_bus_config_read (f->root, bus, devfn, offset, size);
}

static void
wr (Fixture *f, guint bus, guint devfn, guint offset, guint size, guint32 value)
{
  pci_bus_config_write (f->root, bus, devfn, offset, size, value);
}

static guint
find_cap (Fixture *f, guint bus, guint devfn, guint8 id)
{
  guint offset = rd (f, bus, devfn, PCI_CAPABILITY_LIST, 1);

  for (guint i = 0; offset != 0 && i < 48; i++)
    {
      if (rd (f, bus, devfn, offset, 1) == id)
        return offset;
      offset = rd (f, bus, devfn, offset + 1, 1);
    }
  return 0;
}

static void
test_header (void)
{
  Fixture f;

  set_up (&f);
  add_device (&f, f.root, "a", 3 << 3);
  g_assert_cmphex (rd (&f, 0, 3 << 3, 0, 4), ==, 0x12341af4);
  g_assert_cmphex (rd (&f, 0, 3 << 3, 1, 1), ==, 0x1a);
  g_assert_cmphex (rd (&f, 0, 3 << 3, PCI_SUBSYSTEM_VENDOR_ID, 4), ==, 0x11001af4);
  g_assert_cmphex (rd (&f, 0, 3 << 3, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, !=, 0);
  /* Identity is read-only, at every size. */
  wr (&f, 0, 3 << 3, 0, 4, 0xffffffff);
  wr (&f, 0, 3 << 3, PCI_CLASS_REVISION, 4, 0);
  g_assert_cmphex (rd (&f, 0, 3 << 3, 0, 4), ==, 0x12341af4);
  g_assert_cmphex (rd (&f, 0, 3 << 3, PCI_CLASS_REVISION, 4), ==, 0xff000001);
  /* Out of range and absent functions. */
  g_assert_cmphex (rd (&f, 0, 3 << 3, 4094, 4), ==, 0xffffffff);
  g_assert_cmphex (rd (&f, 0, 3 << 3, 5000, 1), ==, 0xff);
  g_assert_cmphex (rd (&f, 0, 4 << 3, 0, 2), ==, 0xffff);
  g_assert_cmphex (rd (&f, 1, 3 << 3, 0, 4), ==, 0xffffffff);
  g_assert_cmphex (rd (&f, 0, 300, 0, 4), ==, 0xffffffff);
  tear_down (&f);
}

static void
test_slot_taken (void)
{
  Fixture f;
  g_autoptr (GError) error = NULL;
  VmmDevice *second;

  set_up (&f);
  add_device (&f, f.root, "first", 3 << 3);
  second = (VmmDevice *)new_device (f.root, "second", 3 << 3, 1);
  g_assert_false (vmm_device_realize (second, f.h->machine, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "first"));
  g_assert_nonnull (strstr (error->message, "second"));
  vmm_device_free (second);
  g_assert_cmphex (rd (&f, 0, 3 << 3, 0, 4), ==, 0x12341af4);
  tear_down (&f);
}

static void
test_bars (void)
{
  Fixture f;
  TestDevice *a;
  const guint fn = 2 << 3;

  set_up (&f);
  a = add_device (&f, f.root, "a", fn);
  /* Sizing: PCI 3.0, 6.2.5.1. */
  for (guint offset = 0x10; offset < 0x28; offset += 4)
    wr (&f, 0, fn, offset, 4, 0xffffffff);
  g_assert_cmphex (rd (&f, 0, fn, 0x10, 4), ==, 0xfffff000);
  g_assert_cmphex (rd (&f, 0, fn, 0x14, 4), ==, 0xffffffe1);
  g_assert_cmphex (rd (&f, 0, fn, 0x18, 4), ==, 0xffff000c);
  g_assert_cmphex (rd (&f, 0, fn, 0x1c, 4), ==, 0xffffffff);
  g_assert_cmphex (rd (&f, 0, fn, 0x24, 4), ==, 0);

  wr (&f, 0, fn, 0x10, 4, 0xc0000000);
  wr (&f, 0, fn, 0x14, 4, 0xc000);
  wr (&f, 0, fn, 0x18, 4, 0);
  wr (&f, 0, fn, 0x1c, 4, 0x20);
  g_assert_cmphex (pci_device_get_bar_base (&a->parent, 0), ==, PCI_BAR_UNMAPPED);
  g_assert_cmphex (harness_mmio_read (f.h, 0xc0000004, 1), ==, 0xff);
  wr (&f, 0, fn, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
  g_assert_cmphex (harness_mmio_read (f.h, 0xc0000004, 1), ==, 0xa4);
  g_assert_cmphex (harness_in (f.h, 0xc003, 1), ==, 0xa3);
  g_assert_cmpuint (a->host.n_moved, ==, 1);
  g_assert_cmphex (a->host.last_base, ==, 0xc0000000);
  {
    guint8 byte = 0x5a;
    VmmGuestMemory *memory = vmm_machine_get_memory (f.h->machine);

    g_assert_true (vmm_guest_memory_write (memory, vmm_gpa (0x2000000010), &byte, 1));
    g_assert_cmphex (vmm_ram_block_get_data (a->host.block)[0x10], ==, 0x5a);
  }
  /* Moves; the old place is free. */
  wr (&f, 0, fn, 0x10, 4, 0xc1000000);
  g_assert_cmphex (harness_mmio_read (f.h, 0xc0000004, 1), ==, 0xff);
  g_assert_cmphex (harness_mmio_read (f.h, 0xc1000004, 1), ==, 0xa4);
  /* Sizing while decoding is on: decodes nothing, comes back. */
  wr (&f, 0, fn, 0x10, 4, 0xffffffff);
  g_assert_cmphex (pci_device_get_bar_base (&a->parent, 0), ==, PCI_BAR_UNMAPPED);
  wr (&f, 0, fn, 0x10, 4, 0xc1000000);
  g_assert_cmphex (harness_mmio_read (f.h, 0xc1000004, 1), ==, 0xa4);
  wr (&f, 0, fn, PCI_COMMAND, 2, 0);
  g_assert_cmphex (harness_mmio_read (f.h, 0xc1000004, 1), ==, 0xff);
  g_assert_cmphex (harness_in (f.h, 0xc003, 1), ==, 0xff);
  g_assert_cmphex (a->host.last_base, ==, PCI_BAR_UNMAPPED);
  tear_down (&f);
}

/* A BAR whose place is taken waits, and takes it as soon as it is free. */
static void
test_bar_overlap (void)
{
  Fixture f;
  TestDevice *a, *b;

  set_up (&f);
  a = add_device (&f, f.root, "a", 1 << 3);
  b = add_device (&f, f.root, "b", 2 << 3);
  wr (&f, 0, 1 << 3, 0x10, 4, 0xc0000000);
  wr (&f, 0, 2 << 3, 0x10, 4, 0xc0000000);
  wr (&f, 0, 1 << 3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  wr (&f, 0, 2 << 3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  g_assert_cmphex (pci_device_get_bar_base (&a->parent, 0), ==, 0xc0000000);
  g_assert_cmphex (pci_device_get_bar_base (&b->parent, 0), ==, PCI_BAR_UNMAPPED);
  wr (&f, 0, 1 << 3, 0x10, 4, 0xc0100000);
  g_assert_cmphex (pci_device_get_bar_base (&a->parent, 0), ==, 0xc0100000);
  g_assert_cmphex (pci_device_get_bar_base (&b->parent, 0), ==, 0xc0000000);
  /* Over guest RAM: the RAM stays. */
  wr (&f, 0, 1 << 3, 0x18, 4, 0x10000);
  wr (&f, 0, 1 << 3, 0x1c, 4, 0);
  g_assert_cmphex (pci_device_get_bar_base (&a->parent, 2), ==, PCI_BAR_UNMAPPED);
  g_assert_true (
      vmm_guest_memory_check (vmm_machine_get_memory (f.h->machine), vmm_gpa (0), 1 << 20, TRUE));
  /* Unplug frees the place as well. */
  wr (&f, 0, 1 << 3, 0x10, 4, 0xc0000000);
  g_assert_cmphex (pci_device_get_bar_base (&a->parent, 0), ==, PCI_BAR_UNMAPPED);
  vmm_device_unrealize (&b->parent.parent);
  vmm_device_free (&b->parent.parent);
  g_assert_cmphex (pci_device_get_bar_base (&a->parent, 0), ==, 0xc0000000);
  g_assert_cmphex (rd (&f, 0, 2 << 3, 0, 4), ==, 0xffffffff);
  tear_down (&f);
}

static void
test_bad_bars (void)
{
  Fixture f;
  TestDevice *a;
  const PciBar bad[] = {
    { .kind = PCI_BAR_MMIO32, .size = 0x1001 },
    { .kind = PCI_BAR_MMIO32, .size = 0 },
    { .kind = PCI_BAR_PIO, .size = 512 },
    { .kind = PCI_BAR_MMIO64, .size = 0x1000 }, /* needs two registers */
  };

  set_up (&f);
  a = add_device (&f, f.root, "a", 1 << 3);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (pci_device_add_bar (&a->parent, 5, &bad[i], &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
    }
  /* Used registers, the upper half of a 64-bit one included. */
  g_assert_false (
      pci_device_add_bar (&a->parent, 0, &(PciBar){ .kind = PCI_BAR_MMIO32, .size = 16 }, NULL));
  g_assert_false (
      pci_device_add_bar (&a->parent, 3, &(PciBar){ .kind = PCI_BAR_MMIO32, .size = 16 }, NULL));
  {
    VmmDevice *huge = (VmmDevice *)new_device (f.root, "huge", 5 << 3, 4000);
    g_autoptr (GError) error = NULL;

    g_assert_false (vmm_device_realize (huge, f.h->machine, &error));
    g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
    vmm_device_free (huge);
  }
  tear_down (&f);
}

#define MSIX_BASE 0xd0000000u

/* Puts the table at MSIX_BASE, enables MSI-X, returns the capability. */
static guint
enable_msix (Fixture *f, guint devfn)
{
  guint cap = find_cap (f, 0, devfn, PCI_CAP_ID_MSIX);

  g_assert_cmpuint (cap, !=, 0);
  g_assert_cmphex (rd (f, 0, devfn, cap + PCI_MSIX_FLAGS, 2), ==, 69);
  g_assert_cmphex (rd (f, 0, devfn, cap + PCI_MSIX_TABLE, 4), ==, 4);
  wr (f, 0, devfn, 0x20, 4, MSIX_BASE);
  wr (f, 0, devfn, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  wr (f, 0, devfn, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
  return cap;
}

static void
set_vector (Fixture *f, guint vector, guint32 data, gboolean masked)
{
  harness_mmio_write (f->h, MSIX_BASE + vector * 16, 8, 0xfee01000);
  harness_mmio_write (f->h, MSIX_BASE + vector * 16 + 8, 4, data);
  harness_mmio_write (f->h, MSIX_BASE + vector * 16 + 12, 4, masked);
}

static void
test_msix (void)
{
  Fixture f;
  TestDevice *a;
  guint cap, pba;

  set_up (&f);
  a = add_device (&f, f.root, "a", 1 << 3);
  g_assert_false (pci_device_raise (&a->parent, 0));
  cap = enable_msix (&f, 1 << 3);
  pba = MSIX_BASE + (rd (&f, 0, 1 << 3, cap + PCI_MSIX_PBA, 4) & ~7u);
  g_assert_true (pci_device_msix_enabled (&a->parent));
  /* After reset all vectors are masked: raising sets the pending bit. */
  g_assert_true (pci_device_raise (&a->parent, 65));
  g_assert_cmpuint (harness_get_n_msis (f.h), ==, 0);
  g_assert_cmphex (harness_mmio_read (f.h, pba + 8, 8), ==, 2);
  harness_mmio_write (f.h, pba + 8, 8, 0); /* read-only */
  g_assert_cmphex (harness_mmio_read (f.h, pba + 8, 4), ==, 2);
  set_vector (&f, 65, 0x4165, FALSE);
  g_assert_cmpuint (harness_count_msi (f.h, 0x4165), ==, 1);
  g_assert_cmphex (harness_get_msi (f.h, 0).address, ==, 0xfee01000);
  g_assert_cmphex (harness_mmio_read (f.h, pba + 8, 4), ==, 0);
  g_assert_true (pci_device_raise (&a->parent, 65));
  g_assert_cmpuint (harness_count_msi (f.h, 0x4165), ==, 2);
  /* Function mask holds all. */
  wr (&f, 0, 1 << 3, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
  g_assert_true (pci_device_raise (&a->parent, 65));
  g_assert_true (pci_device_raise (&a->parent, 65));
  g_assert_cmpuint (harness_count_msi (f.h, 0x4165), ==, 2);
  wr (&f, 0, 1 << 3, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_FLAGS_ENABLE);
  g_assert_cmpuint (harness_count_msi (f.h, 0x4165), ==, 3);
  /* Beyond the last vector, at the end of the table and outside. */
  g_assert_false (pci_device_raise (&a->parent, 70));
  harness_mmio_write (f.h, MSIX_BASE + 70 * 16, 4, 0xffffffff);
  g_assert_cmphex (harness_mmio_read (f.h, MSIX_BASE + 70 * 16, 4), ==, 0);
  /* Reserved bits of vector control read zero. */
  harness_mmio_write (f.h, MSIX_BASE + 12, 4, 0xffffffff);
  g_assert_cmphex (harness_mmio_read (f.h, MSIX_BASE + 12, 4), ==, 1);
  /* Off: the device falls back. */
  wr (&f, 0, 1 << 3, cap + PCI_MSIX_FLAGS, 2, 0);
  g_assert_false (pci_device_raise (&a->parent, 65));
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (rd (&f, 0, 1 << 3, 0x20, 4), ==, 0);
  tear_down (&f);
}

static void
kick (int fd)
{
  guint64 one = 1;

  g_assert_cmpint (write (fd, &one, sizeof one), ==, sizeof one);
}

/* The eventfd raises without us; while masked its signal is held and shows in the PBA. */
static void
test_msix_eventfd (void)
{
  Fixture f;
  TestDevice *a;
  g_autoptr (GError) error = NULL;
  guint cap, pba;
  int fd;

  set_up (&f);
  a = add_device (&f, f.root, "a", 1 << 3);
  cap = enable_msix (&f, 1 << 3);
  pba = MSIX_BASE + (rd (&f, 0, 1 << 3, cap + PCI_MSIX_PBA, 4) & ~7u);
  fd = pci_device_get_vector_eventfd (&a->parent, 3, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fd, >=, 0);
  set_vector (&f, 3, 0x4103, FALSE);
  kick (fd);
  harness_run (f.h);
  g_assert_cmpuint (harness_count_msi (f.h, 0x4103), ==, 1);
  set_vector (&f, 3, 0x4103, TRUE);
  kick (fd);
  harness_run (f.h);
  g_assert_cmpuint (harness_count_msi (f.h, 0x4103), ==, 1);
  g_assert_cmphex (harness_mmio_read (f.h, pba, 4), ==, 8);
  set_vector (&f, 3, 0x4203, FALSE);
  harness_run (f.h);
  g_assert_cmpuint (harness_count_msi (f.h, 0x4203), ==, 1);
  /* Masked and unmasked without a look at the PBA: not lost either. */
  set_vector (&f, 3, 0x4203, TRUE);
  kick (fd);
  set_vector (&f, 3, 0x4203, FALSE);
  harness_run (f.h);
  g_assert_cmpuint (harness_count_msi (f.h, 0x4203), ==, 2);
  g_assert_cmpint (pci_device_get_vector_eventfd (&a->parent, 70, &error), <, 0);
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  tear_down (&f);
}

static void
test_intx (void)
{
  Fixture f;
  TestDevice *a;

  set_up (&f);
  a = add_device (&f, f.root, "a", 6 << 3);
  pci_device_set_intx (&a->parent, TRUE);
  pci_device_set_intx (&a->parent, TRUE);
  g_assert_true (f.level);
  g_assert_cmpuint (f.slot, ==, 6);
  g_assert_cmpuint (f.pin, ==, 0);
  g_assert_cmpuint (f.n_changes, ==, 1);
  g_assert_cmphex (rd (&f, 0, 6 << 3, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, !=, 0);
  g_assert_cmphex (rd (&f, 0, 6 << 3, PCI_COMMAND, 4) & (PCI_STATUS_INTERRUPT << 16), !=, 0);
  /* INTx Disable takes it off the wire, not out of the status. */
  wr (&f, 0, 6 << 3, PCI_COMMAND, 2, PCI_COMMAND_INTX_DISABLE);
  g_assert_false (f.level);
  g_assert_cmphex (rd (&f, 0, 6 << 3, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, !=, 0);
  wr (&f, 0, 6 << 3, PCI_COMMAND, 2, 0);
  g_assert_true (f.level);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_false (f.level);
  g_assert_cmphex (rd (&f, 0, 6 << 3, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, ==, 0);
  tear_down (&f);
}

static PciDevice *
add_port (Fixture *f, const char *id, guint devfn)
{
  VmmDevice *port = vmm_device_new (&pcie_root_port_ops, id);

  g_assert_true (vmm_device_set_pointer (port, "bus", f->root, NULL));
  g_assert_true (vmm_device_set_uint (port, "devfn", devfn, NULL));
  g_assert_true (vmm_device_set_uint (port, "slot-number", 7, NULL));
  return (PciDevice *)harness_realize (f->h, port);
}

static void
test_bridge (void)
{
  Fixture f;
  PciDevice *port;
  TestDevice *a, *b;
  const guint fn = 0x1c << 3;

  set_up (&f);
  port = add_port (&f, "port", fn);
  a = add_device (&f, pcie_root_port_get_bus (port), "a", 0);
  b = add_device (&f, f.root, "b", 0x1c << 3 | 1);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_COLD);
  g_assert_cmphex (rd (&f, 0, fn, PCI_HEADER_TYPE, 1) & 0x7f, ==, 1);
  /* Nothing behind until the bus numbers say so. */
  g_assert_cmphex (rd (&f, 1, 0, 0, 4), ==, 0xffffffff);
  wr (&f, 0, fn, PCI_PRIMARY_BUS, 4, 0x00020200);
  g_assert_cmphex (rd (&f, 1, 0, 0, 4), ==, 0xffffffff);
  g_assert_cmphex (rd (&f, 2, 0, 0, 4), ==, 0x12341af4);
  g_assert_cmphex (rd (&f, 2, 1 << 3, 0, 4), ==, 0xffffffff);
  wr (&f, 0, fn, PCI_PRIMARY_BUS, 4, 0x00090500);
  g_assert_cmphex (rd (&f, 5, 0, 0, 4), ==, 0x12341af4);
  g_assert_cmphex (rd (&f, 2, 0, 0, 4), ==, 0xffffffff);
  g_assert_cmphex (rd (&f, 9, 0, 0, 4), ==, 0xffffffff);
  /* Types by place. */
  g_assert_cmphex (rd (&f, 5, 0, find_cap (&f, 5, 0, PCI_CAP_ID_EXP) + 2, 2) >> 4 & 15, ==,
                   PCI_EXP_TYPE_ENDPOINT);
  g_assert_cmphex (rd (&f, 0, fn, find_cap (&f, 0, fn, PCI_CAP_ID_EXP) + 2, 2) >> 4 & 15, ==,
                   PCI_EXP_TYPE_ROOT_PORT);
  g_assert_cmphex (rd (&f, 0, fn | 1, find_cap (&f, 0, fn | 1, PCI_CAP_ID_EXP) + 2, 2) >> 4 & 15,
                   ==, PCI_EXP_TYPE_RC_END);
  /* INTA of device 0 behind the port is INTA of the port's slot; wired-OR with its neighbour. */
  pci_device_set_intx (&a->parent, TRUE);
  g_assert_true (f.level);
  g_assert_cmpuint (f.slot, ==, 0x1c);
  g_assert_cmpuint (f.pin, ==, 0);
  pci_device_set_intx (&b->parent, TRUE);
  pci_device_set_intx (&a->parent, FALSE);
  g_assert_true (f.level);
  pci_device_set_intx (&b->parent, FALSE);
  g_assert_false (f.level);
  tear_down (&f);
}

static void
test_hotplug (void)
{
  Fixture f;
  PciDevice *port;
  TestDevice *a;
  gint ejected = 0;
  guint cap;
  const guint fn = 0x1c << 3;

  set_up (&f);
  port = add_port (&f, "port", fn);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_COLD);
  cap = find_cap (&f, 0, fn, PCI_CAP_ID_EXP);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTCAP, 4) & PCI_EXP_SLTCAP_HPC, !=, 0);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTCAP, 4) >> 19, ==, 7);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2), ==, 0);
  /* The guest listens. */
  wr (&f, 0, fn, cap + PCI_EXP_SLTCTL, 2,
      0x03c0 | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_ABPE |
          PCI_EXP_SLTCTL_DLLSCE);
  g_assert_false (f.level);
  g_assert_true (pcie_root_port_is_heard (port));
  g_assert_false (pcie_root_port_request_eject (port, NULL, NULL));
  a = add_device (&f, pcie_root_port_get_bus (port), "a", 0);
  g_assert_false (f.level);
  pci_device_announce (&a->parent);
  g_assert_true (f.level);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2), ==,
                   PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA, !=, 0);
  wr (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
  g_assert_false (f.level);
  /* Eject: button, then the guest turns the power off. */
  g_assert_true (
      pcie_root_port_request_eject (port, (void (*) (gpointer))g_atomic_int_inc, &ejected));
  g_assert_true (f.level);
  wr (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2, PCI_EXP_SLTSTA_ABP);
  g_assert_cmpint (ejected, ==, 0);
  wr (&f, 0, fn, cap + PCI_EXP_SLTCTL, 2,
      0x03c0 | PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PDCE);
  g_assert_cmpint (ejected, ==, 1);
  wr (&f, 0, fn, cap + PCI_EXP_SLTCTL, 2,
      0x03c0 | PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_PDCE |
          PCI_EXP_SLTCTL_DLLSCE);
  g_assert_cmpint (ejected, ==, 1);
  g_assert_true (pcie_root_port_is_off (port));
  g_assert_false (
      pcie_root_port_request_eject (port, (void (*) (gpointer))g_atomic_int_inc, &ejected));
  vmm_device_unrealize (&a->parent.parent);
  vmm_device_free (&a->parent.parent);
  g_assert_true (f.level);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2), ==,
                   PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);

  /* A card that the guest was told of, but left off, is announced once more by the button; not while
     the guest has yet to hear of it, nor when it has switched it on. */
  wr (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
  a = add_device (&f, pcie_root_port_get_bus (port), "a", 0);
  pci_device_announce (&a->parent);
  vmm_clock_advance (f.h->clock, 4 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_ABP, ==, 0);
  wr (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_DLLSC);
  vmm_clock_advance (f.h->clock, 4 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_ABP, !=, 0);
  wr (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2, PCI_EXP_SLTSTA_ABP);
  vmm_clock_advance (f.h->clock, 60 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (rd (&f, 0, fn, cap + PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_ABP, ==, 0);
  vmm_device_unrealize (&a->parent.parent);
  vmm_device_free (&a->parent.parent);

  /* Given up: the guest's answer comes to nobody. Then a reset, which is as good as an answer. */
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_COLD);
  g_assert_false (pcie_root_port_is_heard (port));
  g_assert_false (pcie_root_port_is_off (port));
  a = add_device (&f, pcie_root_port_get_bus (port), "a", 0);
  g_assert_true (
      pcie_root_port_request_eject (port, (void (*) (gpointer))g_atomic_int_inc, &ejected));
  pcie_root_port_cancel_eject (port);
  wr (&f, 0, fn, cap + PCI_EXP_SLTCTL, 2, 0x03c0 | PCI_EXP_SLTCTL_PCC);
  g_assert_cmpint (ejected, ==, 1);
  wr (&f, 0, fn, cap + PCI_EXP_SLTCTL, 2, 0x03c0);
  g_assert_true (
      pcie_root_port_request_eject (port, (void (*) (gpointer))g_atomic_int_inc, &ejected));
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmpint (ejected, ==, 2);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmpint (ejected, ==, 2);
  tear_down (&f);
}

static void
test_capabilities (void)
{
  Fixture f;
  TestDevice *a;
  guint cap, ext1, ext2;

  set_up (&f);
  a = add_device (&f, f.root, "a", 1 << 3);
  cap = pci_device_add_capability (&a->parent, PCI_CAP_ID_VNDR, 9);
  g_assert_cmpuint (find_cap (&f, 0, 1 << 3, PCI_CAP_ID_VNDR), ==, cap);
  g_assert_cmpuint (cap % 4, ==, 0);
  /* Read-only until masks say otherwise; write 1 to clear. */
  pci_device_set_config (&a->parent, cap + 4, 4, 0x12345678);
  wr (&f, 0, 1 << 3, cap + 4, 4, 0);
  g_assert_cmphex (rd (&f, 0, 1 << 3, cap + 4, 4), ==, 0x12345678);
  pci_device_set_wmask (&a->parent, cap + 4, 2, 0x00ff);
  pci_device_set_w1cmask (&a->parent, cap + 6, 2, 0x0030);
  wr (&f, 0, 1 << 3, cap + 4, 4, 0x00101111);
  g_assert_cmphex (rd (&f, 0, 1 << 3, cap + 4, 4), ==, 0x12245611);
  ext1 = pci_device_add_ext_capability (&a->parent, 0x0b, 1, 8);
  ext2 = pci_device_add_ext_capability (&a->parent, 0x10, 1, 8);
  g_assert_cmpuint (ext1, ==, 0x100);
  g_assert_cmphex (rd (&f, 0, 1 << 3, 0x100, 4), ==, 0x0001000b | ext2 << 20);
  g_assert_cmphex (rd (&f, 0, 1 << 3, ext2, 4), ==, 0x00010010);
  g_assert_false (pci_device_can_dma (&a->parent));
  wr (&f, 0, 1 << 3, PCI_COMMAND, 1, PCI_COMMAND_MASTER);
  g_assert_true (pci_device_can_dma (&a->parent));
  tear_down (&f);
}

static void
test_save_load (void)
{
  Fixture f, g;
  TestDevice *a, *b;

  set_up (&f);
  set_up (&g);
  a = add_device (&f, f.root, "a", 1 << 3);
  b = add_device (&g, g.root, "a", 1 << 3);
  enable_msix (&f, 1 << 3);
  wr (&f, 0, 1 << 3, 0x10, 4, 0xc0000000);
  set_vector (&f, 3, 0x4103, FALSE);
  pci_device_raise (&a->parent, 9);
  harness_check_save_load (f.h);
  harness_check_save_load_into (f.h, g.h);
  g_assert_cmphex (pci_device_get_bar_base (&b->parent, 0), ==, 0xc0000000);
  g_assert_true (pci_device_raise (&b->parent, 3));
  g_assert_cmpuint (harness_count_msi (g.h, 0x4103), ==, 1);
  set_vector (&g, 9, 0x4109, FALSE);
  g_assert_cmpuint (harness_count_msi (g.h, 0x4109), ==, 1);
  tear_down (&f);
  tear_down (&g);
}

static void
test_hostile_state (void)
{
  Fixture f;
  g_autoptr (GBytes) state = NULL;

  set_up (&f);
  add_device (&f, pcie_root_port_get_bus (add_port (&f, "port", 0x1c << 3)), "a", 0);
  add_device (&f, f.root, "b", 1 << 3);
  enable_msix (&f, 1 << 3);
  state = harness_save (f.h);
  harness_storm_load (f.h, state, 5, 3000);
  tear_down (&f);
}

/* A guest that writes anything anywhere. */
static void
test_storm (void)
{
  Fixture f;
  PciDevice *port;
  GRand *rand = g_rand_new_with_seed (11);

  set_up (&f);
  port = add_port (&f, "port", 0x1c << 3);
  add_device (&f, pcie_root_port_get_bus (port), "a", 0);
  add_device (&f, f.root, "b", 1 << 3);
  add_device (&f, f.root, "c", 2 << 3);
  for (guint i = 0; i < 200000; i++)
    {
      static const guint functions[] = { 0, 1 << 3, 2 << 3, 0x1c << 3 };
      guint bus = (guint)g_rand_int_range (rand, 0, 4);
      guint devfn = functions[g_rand_int_range (rand, 0, 4)];
      guint size = 1u << g_rand_int_range (rand, 0, 3);
      guint offset = (guint)g_rand_int_range (rand, 0, g_rand_boolean (rand) ? 64 : 4096);

      wr (&f, bus, devfn, offset, size, g_rand_int (rand));
      rd (&f, bus, devfn, offset, size);
      if (i % 5 == 0)
        harness_mmio_write (f.h, g_rand_int (rand) & ~7u, 8, g_rand_int (rand));
    }
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (rd (&f, 0, 1 << 3, 0, 4), ==, 0x12341af4);
  g_assert_cmphex (rd (&f, 0, 1 << 3, PCI_COMMAND, 2), ==, 0);
  g_rand_free (rand);
  tear_down (&f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pci/header", test_header);
  g_test_add_func ("/pci/slot-taken", test_slot_taken);
  g_test_add_func ("/pci/bars", test_bars);
  g_test_add_func ("/pci/bar-overlap", test_bar_overlap);
  g_test_add_func ("/pci/bad-bars", test_bad_bars);
  g_test_add_func ("/pci/msix", test_msix);
  g_test_add_func ("/pci/msix-eventfd", test_msix_eventfd);
  g_test_add_func ("/pci/intx", test_intx);
  g_test_add_func ("/pci/bridge", test_bridge);
  g_test_add_func ("/pci/hotplug", test_hotplug);
  g_test_add_func ("/pci/capabilities", test_capabilities);
  g_test_add_func ("/pci/save-load", test_save_load);
  g_test_add_func ("/pci/hostile-state", test_hostile_state);
  g_test_add_func ("/pci/storm", test_storm);
  return g_test_run ();
}
