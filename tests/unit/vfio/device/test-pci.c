/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The function that the guest sees, over the model of the kernel. */
#include "fake-kernel.h"
#include "devices/board/root-port.h"
#include "tests/unit/harness/harness.h"
#include "vfio/device/pci-private.h"
#include "vfio/device/pci.h"

#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#define RAM   (G_GUINT64_CONSTANT (4) << 20)
#define GPU   "0000:01:00.0"
#define SOUND "0000:01:00.1"
#define GSI   16u
#define BAR0  G_GUINT64_CONSTANT (0xc1000000)
#define BAR2  G_GUINT64_CONSTANT (0x8000000000)
#define PORTS 0xc000u
#define TABLE (BAR0 + 0x800000)

typedef struct
{
  HarnessMachine *h;
  FakeKernel fake;
  FakeFunction *gpu, *sound;
  VfioContainer *container;
  PciBus *root;
  PciBus *bus; /* behind the port */
  VfioPciEvents events;
  GPtrArray *notes;
  guint n_changed;
  guint n_requested;
  gboolean level; /* of the root's pin */
  GBytes *rom_image;
} Fixture;

static void
on_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
  ((Fixture *)opaque)->level = level;
}

static guint
get_gsi (gpointer opaque, guint slot, guint pin)
{
  return GSI + pin;
}

static const PciBusOps bus_ops = { .set_intx = on_intx, .get_gsi = get_gsi };

static void
on_requested (gpointer user_data)
{
  ((Fixture *)user_data)->n_requested++;
}

static void
on_note (const char *text, gpointer user_data)
{
  g_ptr_array_add (((Fixture *)user_data)->notes, g_strdup (text));
}

static void
on_changed (gpointer user_data)
{
  ((Fixture *)user_data)->n_changed++;
}

static void
set_up (Fixture *f, gconstpointer data)
{
  VmmDevice *port;

  f->h = harness_new (RAM);
  f->notes = g_ptr_array_new_with_free_func (g_free);
  f->events = (VfioPciEvents){
    .requested = on_requested, .note = on_note, .changed = on_changed, .user_data = f
  };
  fake_kernel_init (&f->fake);
  f->gpu = fake_gpu_new (GPU, 12);
  f->sound = fake_function_new (SOUND, 12, 0x10de, 0x228b);
  fake_kernel_add (&f->fake, f->gpu);
  fake_kernel_add (&f->fake, f->sound);
  f->container =
      vfio_container_new (f->h->machine, &f->fake.kernel, (VfioWay)GPOINTER_TO_UINT (data));
  f->root = pci_bus_new (f->h->machine, "root", &bus_ops, f);
  port = vmm_device_new (&pcie_root_port_ops, "port");
  g_assert_true (vmm_device_set_pointer (port, "bus", f->root, NULL));
  g_assert_true (vmm_device_set_uint (port, "devfn", PCI_MAKE_DEVFN (0, 0), NULL));
  harness_realize (f->h, port);
  f->bus = pcie_root_port_get_bus ((PciDevice *)port);
  pci_bus_config_write (f->root, 0, 0, PCI_PRIMARY_BUS, 4, 0x00010100);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  HarnessMachine *h = f->h;
  VmmDevice *port = vmm_machine_find_device (h->machine, "port");
  static const char *const ids[] = { "sound", "gpu" };

  for (guint i = 0; i < G_N_ELEMENTS (ids); i++)
    {
      VmmDevice *device = vmm_machine_find_device (h->machine, ids[i]);

      if (device == NULL)
        continue;
      vmm_device_unrealize (device);
      vmm_device_free (device);
    }
  g_assert_cmpuint (h->n_slots, ==, 1);
  vmm_device_unrealize (port);
  vmm_device_free (port);
  pci_bus_free (f->root);
  vfio_container_free (f->container);
  g_assert_cmpuint (h->n_vfio, ==, 0);
  harness_free (h);
  fake_kernel_clear (&f->fake);
  g_ptr_array_unref (f->notes);
  g_clear_pointer (&f->rom_image, g_bytes_unref);
}

static VmmDevice *
make (Fixture *f, const char *id, const char *host, guint function)
{
  VmmDevice *device = vmm_device_new (&vfio_pci_ops, id);
  g_autofree char *sysfs = g_build_filename ("/sys/bus/pci/devices", host, NULL);

  g_assert_true (vmm_device_set_pointer (device, "bus", f->bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", PCI_MAKE_DEVFN (0, function), NULL));
  g_assert_true (vmm_device_set_pointer (device, "container", f->container, NULL));
  g_assert_true (vmm_device_set_string (device, "host", host, NULL));
  g_assert_true (vmm_device_set_string (device, "sysfs", sysfs, NULL));
  g_assert_true (vmm_device_set_pointer (device, "events", &f->events, NULL));
  if (f->rom_image != NULL)
    g_assert_true (vmm_device_set_pointer (device, "rom-image", f->rom_image, NULL));
  return device;
}

static VfioPci *
plug (Fixture *f)
{
  VmmDevice *device = make (f, "gpu", GPU, 0);
  VfioPci *gpu;

  g_assert_true (vmm_device_set_bool (device, "vga", f->gpu->has_vga, NULL));
  gpu = (VfioPci *)harness_realize (f->h, device);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  pci_bus_config_write (f->root, 0, 0, PCI_PRIMARY_BUS, 4, 0x00010100);
  return gpu;
}

static guint32
cfg (Fixture *f, guint offset, guint size)
{
  return pci_bus_config_read (f->root, 1, 0, offset, size);
}

static void
cfg_write (Fixture *f, guint offset, guint size, guint32 value)
{
  pci_bus_config_write (f->root, 1, 0, offset, size, value);
}

static void
decode (Fixture *f)
{
  cfg_write (f, PCI_BASE_ADDRESS_0, 4, (guint32)BAR0);
  cfg_write (f, PCI_BASE_ADDRESS_2, 4, (guint32)BAR2);
  cfg_write (f, PCI_BASE_ADDRESS_3, 4, BAR2 >> 32);
  cfg_write (f, PCI_BASE_ADDRESS_5, 4, PORTS);
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* Is the page the guest's own, without us? */
typedef struct
{
  guint64 gpa;
  VmmMapping *found;
} Look;

static void
look (VmmMapping *mapping, gpointer user_data)
{
  Look *l = user_data;
  guint64 base = vmm_mapping_get_gpa (mapping).value;

  if (l->gpa >= base && l->gpa - base < vmm_mapping_get_length (mapping))
    l->found = mapping;
}

static guint8 *
direct (Fixture *f, guint64 gpa)
{
  Look l = { .gpa = gpa };

  vmm_guest_memory_foreach (vmm_machine_get_memory (f->h->machine), look, &l);
  return l.found == NULL
             ? NULL
             : vmm_ram_block_get_data (vmm_mapping_get_block (l.found)) +
                   vmm_mapping_get_offset (l.found) + (gpa - vmm_mapping_get_gpa (l.found).value);
}

/* ---- configuration space ---- */

static void
test_config (Fixture *f, gconstpointer data)
{
  VfioPci *gpu = plug (f);
  guint speed, width;

  g_assert_cmphex (cfg (f, 0, 4), ==, 0x248410de);
  g_assert_cmphex (cfg (f, PCI_CLASS_REVISION, 4), ==, 0x03000001);
  g_assert_cmphex (cfg (f, PCI_SUBSYSTEM_VENDOR_ID, 4), ==, 0x56781234);
  g_assert_cmphex (cfg (f, PCI_HEADER_TYPE, 1), ==, 0);
  g_assert_cmphex (cfg (f, PCI_COMMAND, 2), ==, 0);
  g_assert_cmphex (cfg (f, PCI_INTERRUPT_PIN, 1), ==, 1);

  /* The chain: power management, MSI, express, MSI-X; not the host's addresses (EA). */
  g_assert_cmphex (cfg (f, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, !=, 0);
  g_assert_cmphex (cfg (f, PCI_CAPABILITY_LIST, 1), ==, 0x60);
  g_assert_cmphex (cfg (f, 0x60, 2), ==, 0x6801);
  g_assert_cmphex (cfg (f, 0x68, 2), ==, 0x8005);
  g_assert_cmphex (cfg (f, 0x80, 2), ==, 0xc010);
  g_assert_cmphex (cfg (f, 0xc0, 2), ==, 0x0011);
  g_assert_cmphex (cfg (f, 0xd0, 4), ==, 0);
  /* AER, the serial number; SR-IOV and resizable BARs are not there. */
  g_assert_cmphex (cfg (f, 0x100, 4), ==, 0x24020001);
  g_assert_cmphex (cfg (f, 0x14c, 4), ==, 0);
  g_assert_cmphex (cfg (f, 0x150, 4), ==, 0);
  g_assert_cmphex (cfg (f, 0x240, 4), ==, 0x00010003);
  g_assert_cmphex (cfg (f, 0x244, 4), ==, 0xcafe0001);
  /* An endpoint stays one behind a port, and its link shows. */
  g_assert_cmphex (cfg (f, 0x82, 2) >> 4 & 0xf, ==, PCI_EXP_TYPE_ENDPOINT);
  g_assert_true (vfio_pci_get_link (&gpu->parent.parent, &speed, &width));
  g_assert_cmpuint (speed, ==, 3);
  g_assert_cmpuint (width, ==, 16);

  /* BARs are sized here and never reach the device. */
  f->gpu->n_writes = 0;
  cfg_write (f, PCI_BASE_ADDRESS_0, 4, G_MAXUINT32);
  g_assert_cmphex (cfg (f, PCI_BASE_ADDRESS_0, 4), ==, 0xff000000);
  cfg_write (f, PCI_BASE_ADDRESS_2, 4, G_MAXUINT32);
  g_assert_cmphex (cfg (f, PCI_BASE_ADDRESS_2, 4), ==, 0xf000000c);
  cfg_write (f, PCI_BASE_ADDRESS_3, 4, G_MAXUINT32);
  g_assert_cmphex (cfg (f, PCI_BASE_ADDRESS_3, 4), ==, G_MAXUINT32);
  cfg_write (f, PCI_BASE_ADDRESS_5, 4, G_MAXUINT32);
  g_assert_cmphex (cfg (f, PCI_BASE_ADDRESS_5, 4), ==, 0xffffff81);
  g_assert_cmphex (cfg (f, PCI_BASE_ADDRESS_1, 4), ==, 0);
  cfg_write (f, PCI_INTERRUPT_LINE, 1, 11);
  cfg_write (f, 0x60, 2, 0);
  cfg_write (f, 0, 4, 0);
  g_assert_cmpuint (f->gpu->n_writes, ==, 0);
  g_assert_cmphex (f->gpu->config[PCI_BASE_ADDRESS_0 + 3], ==, 0);
  g_assert_cmphex (cfg (f, PCI_INTERRUPT_LINE, 1), ==, 11);

  /* What is the device's own is. */
  f->gpu->wmask[0xe0] = 0xff;
  cfg_write (f, 0xe0, 1, 0x5a);
  g_assert_cmphex (f->gpu->config[0xe0], ==, 0x5a);
  g_assert_cmphex (cfg (f, 0xe0, 1), ==, 0x5a);
  f->gpu->gone = TRUE;
  g_assert_cmphex (cfg (f, 0xe0, 4), ==, G_MAXUINT32);
  g_assert_cmphex (cfg (f, 0, 4), ==, 0x248410de);
  f->gpu->gone = FALSE;
}

/* Chains that loop, point into the header, or run out of the space. */
static void
test_hostile_chains (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);

  for (guint i = 0; i < 300; i++)
    {
      VmmDevice *device;
      g_autoptr (GError) error = NULL;

      for (guint j = 0; j < 40; j++)
        f->gpu->config[g_rand_int_range (rand, 0x10, 0x100)] = (guint8)g_rand_int (rand);
      for (guint j = 0; j < 40; j++)
        f->gpu->config[g_rand_int_range (rand, 0x100, 0x1000)] = (guint8)g_rand_int (rand);
      f->gpu->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
      device = make (f, "gpu", GPU, 0);
      if (!vmm_device_realize (device, f->h->machine, &error))
        {
          g_assert_nonnull (error);
          vmm_device_free (device);
          continue;
        }
      for (guint offset = 0; offset < 0x1000; offset += 4)
        (void)cfg (f, offset, 4);
      decode (f);
      vmm_device_unrealize (device);
      vmm_device_free (device);
    }
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  VmmDevice *device = make (f, "gpu", GPU, 0);
  g_autoptr (GError) error = NULL;
  guint8 kept[4096];

  memcpy (kept, f->gpu->config, sizeof kept);
  memset (f->gpu->config, 0xff, sizeof kept);
  g_assert_false (vmm_device_realize (device, f->h->machine, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, "does not answer"));
  g_assert_nonnull (strstr (error->message, GPU));
  g_clear_error (&error);

  memcpy (f->gpu->config, kept, sizeof kept);
  f->gpu->config[PCI_HEADER_TYPE] = 1;
  g_assert_false (vmm_device_realize (device, f->h->machine, &error));
  g_assert_nonnull (strstr (error->message, "bridge"));
  g_assert_cmpuint (f->fake.n_open, ==, 0);
  vmm_device_free (device);
}

/* Every call of the kernel fails once: an error, or a device that works without; and it goes again. */
static void
test_every_call (Fixture *f, gconstpointer data)
{
  guint n = 0;

  for (;;)
    {
      VmmDevice *device = make (f, "gpu", GPU, 0);
      g_autoptr (GError) error = NULL;
      gboolean ok;

      f->fake.n_calls = 0;
      f->fake.fail_at = ++n;
      ok = vmm_device_realize (device, f->h->machine, &error);
      if (ok)
        vmm_device_unrealize (device);
      else
        g_assert_nonnull (error);
      vmm_device_free (device);
      g_assert_cmpuint (f->fake.n_open, ==, 0);
      g_assert_cmpuint (f->fake.maps->len, ==, 0);
      g_assert_cmpuint (f->h->n_slots, ==, 1);
      if (f->fake.n_calls < n)
        break;
    }
  g_assert_cmpuint (n, >, 40);
  f->fake.fail_at = 0;
}

/* ---- BARs ---- */

static void
test_bars (Fixture *f, gconstpointer data)
{
  VfioPci *gpu = plug (f);
  VfioPciStats stats;
  guint32 word = GUINT32_TO_LE (0x12345678);
  guint64 value;

  g_assert_null (direct (f, BAR0));
  decode (f);
  /* The device decodes before the guest can reach it. */
  g_assert_cmphex (f->gpu->config[PCI_COMMAND] & 7, ==, 7);
  g_assert_nonnull (direct (f, BAR0));
  g_assert_nonnull (direct (f, BAR0 + 0x7ff000));
  g_assert_null (direct (f, TABLE));          /* the table's page */
  g_assert_null (direct (f, TABLE + 0x1000)); /* that of the pending bits */
  g_assert_nonnull (direct (f, TABLE + 0x2000));
  g_assert_nonnull (direct (f, BAR0 + 0xfff000));
  g_assert_null (direct (f, BAR0 + 0x1000000));
  g_assert_nonnull (direct (f, BAR2 + (255 << 20)));
  g_assert_cmpuint ((guintptr)direct (f, BAR2) & ((256 << 20) - 1), ==, 0);
  memcpy (direct (f, BAR2 + 0x100), &word, 4);
  g_assert_cmphex (fake_function_peek (f->gpu, 2, 0x100), ==, 0x12345678);

  /* No device of ours reaches it as memory, so none can fall over it. */
  g_assert_false (
      vmm_guest_memory_read (vmm_machine_get_memory (f->h->machine), vmm_gpa (BAR2), &value, 8));
  g_assert_false (
      vmm_guest_memory_check (vmm_machine_get_memory (f->h->machine), vmm_gpa (BAR0), 4, FALSE));

  /* The rest is trapped and reaches the device whole. */
  fake_function_poke (f->gpu, 0, 0x800800, 0xabcd1234);
  g_assert_cmphex (harness_mmio_read (f->h, TABLE + 0x800, 4), ==, 0xabcd1234);
  harness_mmio_write (f->h, TABLE + 0x804, 2, 0x77);
  g_assert_cmphex (fake_function_peek (f->gpu, 0, 0x800804), ==, 0x77);
  fake_function_poke (f->gpu, 5, 0x10, 0x99);
  g_assert_cmphex (harness_in (f->h, PORTS + 0x10, 1), ==, 0x99);
  harness_out (f->h, PORTS + 0x14, 4, 0x55);
  g_assert_cmphex (fake_function_peek (f->gpu, 5, 0x14), ==, 0x55);
  vfio_pci_get_stats (&gpu->parent.parent, &stats);
  g_assert_cmpuint (stats.reads, ==, 2);
  g_assert_cmpuint (stats.writes, ==, 2);

  /* Moved, switched off, asleep. */
  cfg_write (f, PCI_BASE_ADDRESS_2 + 4, 4, (guint32)((BAR2 + 0x100000000) >> 32));
  g_assert_null (direct (f, BAR2));
  g_assert_nonnull (direct (f, BAR2 + 0x100000000));
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
  g_assert_null (direct (f, BAR0));
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  g_assert_nonnull (direct (f, BAR0));
  cfg_write (f, 0x64, 2, 3);
  g_assert_cmphex (f->gpu->config[0x64], ==, 0x08 | 3);
  g_assert_null (direct (f, BAR0));
  cfg_write (f, 0x64, 2, 0);
  g_assert_nonnull (direct (f, BAR0));
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_null (direct (f, BAR0));
}

/* The guest puts a BAR over RAM: it is not mapped, RAM stays, and it works again elsewhere. */
static void
test_taken_place (Fixture *f, gconstpointer data)
{
  plug (f);
  harness_write_le (f->h, 0x100, 4, 0x1234);
  decode (f);
  cfg_write (f, PCI_BASE_ADDRESS_2, 4, 0);
  cfg_write (f, PCI_BASE_ADDRESS_2 + 4, 4, 0);
  g_assert_cmphex (harness_read_le (f->h, 0x100, 4), ==, 0x1234);
  g_assert_null (direct (f, BAR2));
  cfg_write (f, PCI_BASE_ADDRESS_2 + 4, 4, BAR2 >> 32);
  g_assert_nonnull (direct (f, BAR2));
}

static void
test_low_power (Fixture *f, gconstpointer data)
{
  f->gpu->has_low_power = TRUE;
  plug (f);
  decode (f);
  cfg_write (f, 0x64, 2, 3);
  g_assert_cmpuint (f->gpu->n_low_power, ==, 1);
  cfg_write (f, 0x64, 2, 3);
  g_assert_cmpuint (f->gpu->n_low_power, ==, 1);
  cfg_write (f, 0x64, 2, 0);
  g_assert_cmpuint (f->gpu->n_low_power, ==, 2);
}

/* ---- interrupts ---- */

static void
set_vector (Fixture *f, guint vector, guint32 data, gboolean masked)
{
  guint64 entry = TABLE + vector * 16;

  harness_mmio_write (f->h, entry, 4, 0xfee00000);
  harness_mmio_write (f->h, entry + 4, 4, 0);
  harness_mmio_write (f->h, entry + 8, 4, data);
  harness_mmio_write (f->h, entry + 12, 4, masked ? 1 : 0);
}

static gboolean
msix (Fixture *f, guint vector)
{
  gboolean sent = fake_function_interrupt (f->gpu, VFIO_PCI_MSIX_IRQ_INDEX, vector);

  harness_run (f->h);
  return sent;
}

/* What the function says of its interrupts; and that it said so. */
static void
assert_interrupts (Fixture *f, VfioPci *pci, const char *kind, guint n)
{
  guint n_vectors;

  g_assert_cmpstr (vfio_pci_get_interrupts ((VmmDevice *)pci, &n_vectors), ==, kind);
  g_assert_cmpuint (n_vectors, ==, n);
  g_assert_cmpuint (f->n_changed, >, 0);
  f->n_changed = 0;
}

static void
test_msix (Fixture *f, gconstpointer data)
{
  guint commits;
  VfioPci *gpu = plug (f);

  assert_interrupts (f, gpu, "intx", 1);
  decode (f);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_INTX_IRQ_INDEX], ==, 1);
  /* As Linux does it: enabled with all masked, entries written, then open. */
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_INTX_IRQ_INDEX], ==, 0);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_MSIX_IRQ_INDEX], ==, 6);
  set_vector (f, 0, 0x40, FALSE);
  set_vector (f, 1, 0x41, FALSE);
  set_vector (f, 2, 0x42, TRUE);
  g_assert_cmphex (harness_mmio_read (f->h, TABLE + 0x18, 4), ==, 0x41);
  g_assert_cmphex (harness_mmio_read (f->h, TABLE + 0x10, 8), ==, 0xfee00000);
  g_assert_false (msix (f, 0));
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE);
  commits = f->h->n_route_commits;
  g_assert_true (msix (f, 0));
  g_assert_true (msix (f, 1));
  g_assert_cmpuint (f->h->n_route_commits, ==, commits);
  assert_interrupts (f, gpu, "msix", 2);
  g_assert_false (msix (f, 2));
  g_assert_cmpuint (harness_count_msi (f->h, 0x40), ==, 1);
  g_assert_cmpuint (harness_count_msi (f->h, 0x41), ==, 1);
  /* The device never sees the table. */
  g_assert_cmphex (fake_function_peek (f->gpu, 0, 0x800008), ==, 0);
  g_assert_cmphex (f->gpu->config[0xc3], ==, 0);

  /* One opened later gets its signal without the others being taken down. */
  harness_mmio_write (f->h, TABLE + 2 * 16 + 12, 4, 0);
  assert_interrupts (f, gpu, "msix", 3);
  g_assert_true (msix (f, 2));
  g_assert_cmpuint (harness_count_msi (f->h, 0x42), ==, 1);
  /* Masked: held, shown, and sent when it is open again. */
  harness_mmio_write (f->h, TABLE + 16 + 12, 4, 1);
  g_assert_true (msix (f, 1));
  g_assert_cmpuint (harness_count_msi (f->h, 0x41), ==, 1);
  g_assert_cmphex (harness_mmio_read (f->h, TABLE + 0x1000, 4), ==, 2);
  g_assert_cmphex (harness_mmio_read (f->h, TABLE + 0x1000, 8), ==, 2);
  harness_mmio_write (f->h, TABLE + 16 + 12, 4, 0);
  harness_run (f->h);
  g_assert_cmpuint (harness_count_msi (f->h, 0x41), ==, 2);
  g_assert_cmphex (harness_mmio_read (f->h, TABLE + 0x1000, 4), ==, 0);

  /* Off: INTx again. On again: all of it anew. */
  cfg_write (f, 0xc2, 2, 0);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_MSIX_IRQ_INDEX], ==, 0);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_INTX_IRQ_INDEX], ==, 1);
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE);
  g_assert_true (msix (f, 2));
  g_assert_cmpuint (harness_count_msi (f->h, 0x42), ==, 2);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_MSIX_IRQ_INDEX], ==, 0);
}

/* Many vectors opened by one write: the routes change once. */
static void
test_msix_batch (Fixture *f, gconstpointer data)
{
  guint before;

  plug (f);
  decode (f);
  for (guint v = 0; v < 6; v++)
    set_vector (f, v, 0x50 + v, FALSE);
  before = f->h->n_route_commits;
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE);
  g_assert_cmpuint (f->h->n_route_commits - before, ==, 1);
  for (guint v = 0; v < 6; v++)
    {
      g_assert_true (msix (f, v));
      g_assert_cmpuint (harness_count_msi (f->h, 0x50 + v), ==, 1);
    }
}

/* The host has fewer vectors than the table: those work, and the others do no harm. */
static void
test_msix_few (Fixture *f, gconstpointer data)
{
  f->gpu->msix_available = 2;
  plug (f);
  decode (f);
  for (guint v = 0; v < 6; v++)
    set_vector (f, v, 0x50 + v, FALSE);
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_MSIX_IRQ_INDEX], ==, 2);
  g_assert_true (msix (f, 1));
  g_assert_cmpuint (harness_count_msi (f->h, 0x51), ==, 1);
  g_assert_false (msix (f, 3));
}

static void
test_msi (Fixture *f, gconstpointer data)
{
  VfioPci *gpu = plug (f);

  decode (f);
  g_assert_cmphex (cfg (f, 0x6a, 2), ==, 0x0184); /* 4 vectors, 64 bit, masks; off */
  cfg_write (f, 0x6c, 4, 0xfee01000);
  cfg_write (f, 0x70, 4, 0);
  cfg_write (f, 0x74, 2, 0x61);
  cfg_write (f, 0x6a, 2, PCI_MSI_FLAGS_ENABLE | 2 << 4);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_MSI_IRQ_INDEX], ==, 4);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_INTX_IRQ_INDEX], ==, 0);
  assert_interrupts (f, gpu, "msi", 4);
  for (guint v = 0; v < 4; v++)
    g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_MSI_IRQ_INDEX, v));
  harness_run (f->h);
  /* The low bits are the vector's number. */
  for (guint v = 0; v < 4; v++)
    g_assert_cmpuint (harness_count_msi (f->h, 0x60 + v), ==, 1);
  cfg_write (f, 0x68 + PCI_MSI_MASK_64, 4, 1 << 2);
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_MSI_IRQ_INDEX, 2));
  harness_run (f->h);
  g_assert_cmpuint (harness_count_msi (f->h, 0x62), ==, 1);

  /* One vector only: the kernel is told anew. */
  cfg_write (f, 0x68 + PCI_MSI_MASK_64, 4, 0);
  harness_run (f->h);
  g_assert_cmpuint (harness_count_msi (f->h, 0x62), ==, 2);
  cfg_write (f, 0x6a, 2, PCI_MSI_FLAGS_ENABLE);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_MSI_IRQ_INDEX], ==, 1);
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_MSI_IRQ_INDEX, 0));
  harness_run (f->h);
  g_assert_cmpuint (harness_count_msi (f->h, 0x61), ==, 2);
  cfg_write (f, 0x6a, 2, 0);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_MSI_IRQ_INDEX], ==, 0);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_INTX_IRQ_INDEX], ==, 1);
}

/* The old way: raised here, and the guest's next access to the device is its answer. */
static void
test_intx_slow (Fixture *f, gconstpointer data)
{
  plug (f);
  decode (f);
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_INTX_IRQ_INDEX, 0));
  harness_run (f->h);
  g_assert_true (f->level);
  g_assert_true (f->gpu->intx_masked);
  g_assert_null (direct (f, BAR0)); /* so that the access is seen */
  (void)harness_mmio_read (f->h, BAR0 + 0x100, 4);
  g_assert_false (f->level);
  g_assert_false (f->gpu->intx_masked);
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_INTX_IRQ_INDEX, 0));
  harness_run (f->h);
  g_assert_true (f->level);
  harness_mmio_write (f->h, BAR0 + 0x100, 4, 1);
  g_assert_false (f->level);
  harness_advance (f->h, 3 * VMM_NSEC_PER_SEC);
  g_assert_nonnull (direct (f, BAR0));
  /* A guest that has not answered is still heard after that time. */
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_INTX_IRQ_INDEX, 0));
  harness_run (f->h);
  harness_advance (f->h, 3 * VMM_NSEC_PER_SEC);
  g_assert_null (direct (f, BAR0));
  g_assert_true (f->level);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_false (f->level);
}

/* With the I/O APIC's pin open the hypervisor does it alone. */
static void
test_intx_fast (Fixture *f, gconstpointer data)
{
  VfioPci *gpu = plug (f);
  VfioPciStats before, after;

  decode (f);
  f->h->open_gsis = 1u << GSI;
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_INTX_IRQ_INDEX, 0));
  harness_run (f->h);
  g_assert_false (f->level); /* not by us */
  g_assert_false (f->gpu->intx_masked);
  vfio_pci_get_stats (&gpu->parent.parent, &before);
  for (guint i = 0; i < 3; i++)
    {
      g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_INTX_IRQ_INDEX, 0));
      harness_run (f->h);
      g_assert_true (f->h->gsi[GSI]);
      g_assert_true (f->gpu->intx_masked);
      g_assert_nonnull (direct (f, BAR0));
      harness_end_interrupt (f->h, GSI);
      g_assert_true (fake_function_resample (f->gpu));
    }
  vfio_pci_get_stats (&gpu->parent.parent, &after);
  g_assert_cmpuint (after.slow_interrupts, ==, before.slow_interrupts);
  g_assert_false (f->level);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (f->gpu->n_enabled[VFIO_PCI_INTX_IRQ_INDEX], ==, 1);
}

static void
test_no_irqfd (Fixture *f, gconstpointer data)
{
  f->h->no_irqfd = TRUE;
  f->h->open_gsis = 1u << GSI;
  plug (f);
  decode (f);
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_INTX_IRQ_INDEX, 0));
  harness_run (f->h);
  g_assert_true (f->level);
  (void)harness_mmio_read (f->h, BAR0, 4);
  g_assert_false (f->level);
  set_vector (f, 0, 0x40, FALSE);
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE);
  g_assert_true (msix (f, 0));
  g_assert_cmpuint (harness_count_msi (f->h, 0x40), ==, 1);
}

/* ---- what the host says ---- */

static void
test_events (Fixture *f, gconstpointer data)
{
  guint64 value = 0;

  plug (f);
  decode (f);
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_REQ_IRQ_INDEX, 0));
  harness_run (f->h);
  g_assert_cmpuint (f->n_requested, ==, 1);
  g_assert_true (fake_function_interrupt (f->gpu, VFIO_PCI_ERR_IRQ_INDEX, 0));
  harness_run (f->h);
  g_assert_nonnull (strstr (g_array_index (f->h->requests, HarnessRequest, 0).detail, GPU));
  g_assert_cmpint (harness_take_request (f->h, &value), ==, VMM_REQUEST_PAUSE);
  g_assert_cmpuint (value, ==, EREMOTEIO);
}

static void
test_no_save (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  plug (f);
  g_assert_false (vmm_machine_check_savable (f->h->machine, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "gpu"));
}

/* Gone while the guest works with it: all ones, and it can be taken out. */
static void
test_surprise (Fixture *f, gconstpointer data)
{
  plug (f);
  decode (f);
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE);
  f->gpu->gone = TRUE;
  g_assert_cmphex (harness_mmio_read (f->h, TABLE + 0x800, 4), ==, G_MAXUINT32);
  harness_mmio_write (f->h, TABLE + 0x800, 4, 1);
  cfg_write (f, PCI_COMMAND, 2, 0);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
}

/* ---- resets ---- */

static void
test_reset (Fixture *f, gconstpointer data)
{
  VmmDevice *gpu;

  /* A function with a reset of its own: nobody else is hit. Once at the start, though it is opened
   * and the machine is reset. */
  gpu = (VmmDevice *)plug (f);
  g_assert_cmpuint (f->gpu->n_resets, ==, 1);
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 0);
  g_assert_cmphex (f->gpu->command_at_reset & 7, ==, 0);
  decode (f);
  cfg_write (f, 0x64, 2, 3);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  g_assert_cmpuint (f->gpu->n_resets, ==, 2);
  g_assert_cmphex (f->gpu->command_at_reset & 7, ==, 0);
  g_assert_cmphex (f->gpu->config[0x64] & 3, ==, 0); /* awake */
  pci_bus_config_write (f->root, 0, 0, PCI_PRIMARY_BUS, 4, 0x00010100);
  g_assert_cmphex (cfg (f, PCI_COMMAND, 2), ==, 0);
  vmm_device_unrealize (gpu);
  vmm_device_free (gpu);
  g_assert_cmpuint (f->gpu->n_resets, ==, 3);
}

/* No way to reset it at all: that is said. */
static void
test_no_reset (Fixture *f, gconstpointer data)
{
  f->gpu->has_reset = f->gpu->has_hot_reset = FALSE;
  plug (f);
  g_assert_cmpuint (f->notes->len, ==, 1);
  g_assert_nonnull (strstr (g_ptr_array_index (f->notes, 0), "could not be reset"));
}

/* Neither FLR nor a soft reset by power states: the bus, when all of it is ours. */
static void
test_bus_reset (Fixture *f, gconstpointer data)
{
  guint before;

  fake_function_set (f->gpu, 0x84, 4, 0x8000); /* no FLR */
  fake_function_set (f->gpu, 0x64, 4, 0);      /* power states reset it */
  f->gpu->hot_reset_mates[0] = SOUND;
  f->sound->has_hot_reset = TRUE;
  f->sound->hot_reset_mates[0] = GPU;
  harness_realize (f->h, make (f, "gpu", GPU, 0));
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 1);
  /* The second one comes: its mate is in use, the bus is not reset under it. */
  harness_realize (f->h, make (f, "sound", SOUND, 1));
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 1);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
  before = f->gpu->n_hot_resets;
  pci_bus_config_write (f->root, 0, 0, PCI_PRIMARY_BUS, 4, 0x00010100);
  decode (f);
  pci_bus_config_write (f->root, 1, 1, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_WARM);
  /* The machine is reset: the bus is, once, for both. */
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, before + 1);
  g_assert_cmpuint (f->gpu->n_resets, ==, 0);
  g_assert_cmpuint (f->notes->len, ==, 0);
}

static void
set_bridge_control (Fixture *f, guint value)
{
  pci_bus_config_write (f->root, 0, 0, PCI_BRIDGE_CONTROL, 2, value);
}

/* The guest resets the bus behind its port: the host's bus is, when all of it sits behind that port. */
static void
test_secondary_reset (Fixture *f, gconstpointer data)
{
  f->gpu->hot_reset_mates[0] = SOUND;
  f->sound->has_hot_reset = TRUE;
  f->sound->hot_reset_mates[0] = GPU;
  plug (f);
  harness_realize (f->h, make (f, "sound", SOUND, 1));
  decode (f);
  cfg_write (f, 0xc2, 2, PCI_MSIX_FLAGS_ENABLE);
  g_assert_nonnull (direct (f, BAR0));
  pci_bus_config_write (f->root, 1, 1, PCI_COMMAND, 2, PCI_COMMAND_MASTER);
  pci_bus_config_write (f->root, 1, 1, PCI_CACHE_LINE_SIZE, 1, 0x10);
  g_assert_cmpuint (f->gpu->n_resets, ==, 1);
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 0);

  set_bridge_control (f, PCI_BRIDGE_CTL_BUS_RESET);
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 1);
  g_assert_cmpuint (f->sound->n_hot_resets, ==, 1);
  g_assert_cmpuint (f->gpu->n_resets, ==, 1);
  /* Nothing answers meanwhile, and a second write does not reset again. */
  g_assert_cmphex (cfg (f, PCI_VENDOR_ID, 4), ==, G_MAXUINT32);
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  set_bridge_control (f, PCI_BRIDGE_CTL_BUS_RESET | PCI_BRIDGE_CTL_VGA);
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 1);
  set_bridge_control (f, 0);
  g_assert_cmphex (cfg (f, PCI_VENDOR_ID, 4), ==, 0x248410de);
  g_assert_cmphex (cfg (f, PCI_COMMAND, 2), ==, 0);
  g_assert_cmphex (cfg (f, PCI_BASE_ADDRESS_0, 4) & PCI_BASE_ADDRESS_MEM_MASK, ==, 0);
  g_assert_cmphex (cfg (f, 0xc2, 2) & PCI_MSIX_FLAGS_ENABLE, ==, 0);
  g_assert_cmphex (pci_bus_config_read (f->root, 1, 1, PCI_COMMAND, 2), ==, 0);
  g_assert_cmphex (pci_bus_config_read (f->root, 1, 1, PCI_CACHE_LINE_SIZE, 1), ==, 0);
  g_assert_null (direct (f, BAR0));

  /* It works again, and the next reset is one. */
  decode (f);
  g_assert_nonnull (direct (f, BAR0));
  set_bridge_control (f, PCI_BRIDGE_CTL_BUS_RESET);
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 2);
}

/* The other function of the host's bus is behind another port: each has its own reset. And when the
 * kernel refuses, as something there is not ours. */
static void
test_secondary_reset_apart (Fixture *f, gconstpointer data)
{
  VmmDevice *sound = make (f, "sound", SOUND, 0);
  guint n_resets;

  f->gpu->hot_reset_mates[0] = SOUND;
  f->sound->has_hot_reset = f->sound->has_reset = TRUE;
  f->sound->hot_reset_mates[0] = GPU;
  plug (f);
  g_assert_true (vmm_device_set_pointer (sound, "bus", f->root, NULL));
  g_assert_true (vmm_device_set_uint (sound, "devfn", PCI_MAKE_DEVFN (1, 0), NULL));
  harness_realize (f->h, sound);
  decode (f);
  pci_bus_config_write (f->root, 0, PCI_MAKE_DEVFN (1, 0), PCI_COMMAND, 2, PCI_COMMAND_MASTER);
  n_resets = f->sound->n_resets;
  set_bridge_control (f, PCI_BRIDGE_CTL_BUS_RESET);
  set_bridge_control (f, 0);
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 0);
  g_assert_cmpuint (f->gpu->n_resets, ==, 2);
  g_assert_cmpuint (f->sound->n_resets, ==, n_resets);
  g_assert_cmphex (pci_bus_config_read (f->root, 0, PCI_MAKE_DEVFN (1, 0), PCI_COMMAND, 2), ==,
                   PCI_COMMAND_MASTER);

  vmm_device_unrealize (sound);
  vmm_device_free (sound);
  decode (f);
  f->gpu->has_hot_reset = FALSE;
  set_bridge_control (f, PCI_BRIDGE_CTL_BUS_RESET);
  g_assert_cmpuint (f->gpu->n_hot_resets, ==, 0);
  g_assert_cmpuint (f->gpu->n_resets, ==, 3);
}

/* ---- one device's memory for another ---- */

/* Is the guest's address in the IOMMU, and backed by what the guest sees there? */
static gboolean
is_mapped (Fixture *f, guint64 gpa)
{
  for (guint i = 0; i < f->fake.maps->len; i++)
    {
      const FakeMap *map = &g_array_index (f->fake.maps, FakeMap, i);

      if (gpa < map->iova || gpa - map->iova >= map->length)
        continue;
      g_assert_true ((guint8 *)map->address + (gpa - map->iova) == direct (f, gpa));
      return TRUE;
    }
  return FALSE;
}

static void
assert_p2p (Fixture *f, guint64 mapped, guint64 failed)
{
  VfioP2p p2p;

  vfio_container_get_p2p (f->container, &p2p);
  g_assert_true (p2p.on);
  g_assert_cmpuint (p2p.n_mapped, ==, mapped);
  g_assert_cmpuint (p2p.n_failed, ==, failed);
}

/* Less the MSI-X pages and NVIDIA's mirror. */
#define BAR0_PARTS ((16u << 20) - 3u * 4096u)

/* The BARs are there for the others as long as they are for the guest, and follow it. */
static void
test_p2p (Fixture *f, gconstpointer data)
{
  const guint64 all = BAR0_PARTS + (256 << 20);
  VmmDevice *sound;

  f->fake.ranges[1].end = (G_GUINT64_CONSTANT (1) << 40) - 1;
  vfio_container_set_p2p (f->container, TRUE);
  fake_function_add_bar (f->sound, 0, 16384, 0);
  plug (f);
  sound = harness_realize (f->h, make (f, "sound", SOUND, 1));
  assert_p2p (f, 0, 0);
  decode (f);
  assert_p2p (f, all, 0);
  g_assert_true (is_mapped (f, BAR0));
  g_assert_true (is_mapped (f, BAR2 + (255 << 20)));
  g_assert_false (is_mapped (f, TABLE));
  g_assert_false (is_mapped (f, BAR0 + 0x88000));
  pci_bus_config_write (f->root, 1, 1, PCI_BASE_ADDRESS_0, 4, 0xc3000000);
  pci_bus_config_write (f->root, 1, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  assert_p2p (f, all + 16384, 0);
  g_assert_true (is_mapped (f, 0xc3000000));

  /* A BAR moves, is asleep, is not decoded. */
  cfg_write (f, PCI_BASE_ADDRESS_3, 4, (guint32)((BAR2 + 0x100000000) >> 32));
  g_assert_false (is_mapped (f, BAR2));
  g_assert_true (is_mapped (f, BAR2 + 0x100000000));
  assert_p2p (f, all + 16384, 0);
  cfg_write (f, 0x64, 2, 3);
  assert_p2p (f, 16384, 0);
  cfg_write (f, 0x64, 2, 0);
  assert_p2p (f, all + 16384, 0);
  cfg_write (f, PCI_COMMAND, 2, 0);
  assert_p2p (f, 16384, 0);
  g_assert_false (is_mapped (f, BAR0));

  /* One goes while the other stays. */
  vmm_device_unrealize (sound);
  vmm_device_free (sound);
  assert_p2p (f, 0, 0);
  g_assert_cmpuint (f->fake.maps->len, ==, 1); /* RAM */
}

/* What cannot be is no error, and nothing of it has to go. */
static void
test_p2p_failing (Fixture *f, gconstpointer data)
{
  f->fake.ranges[1].end = (G_GUINT64_CONSTANT (1) << 40) - 1;
  vfio_container_set_p2p (f->container, TRUE);
  f->fake.no_p2p = TRUE;
  plug (f);
  decode (f);
  assert_p2p (f, 0, 4);
  g_assert_nonnull (direct (f, BAR0)); /* the guest has it all the same */
  cfg_write (f, PCI_COMMAND, 2, 0);
  f->fake.no_p2p = FALSE;
  f->fake.no_entries = TRUE;
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  assert_p2p (f, 0, 8);
  f->fake.no_entries = FALSE;
  cfg_write (f, PCI_COMMAND, 2, 0);
  /* Outside of what the IOMMU reaches, nothing is asked. */
  cfg_write (f, PCI_BASE_ADDRESS_3, 4, 0x100);
  cfg_write (f, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
  assert_p2p (f, BAR0_PARTS, 9);
}

/* By iommufd there is none of it, and the machine works. */
static void
test_p2p_iommufd (Fixture *f, gconstpointer data)
{
  f->fake.no_groups = TRUE;
  f->fake.ranges[1].end = (G_GUINT64_CONSTANT (1) << 40) - 1;
  vfio_container_set_p2p (f->container, TRUE);
  plug (f);
  g_assert_cmpint (vfio_container_get_way (f->container), ==, VFIO_WAY_IOMMUFD);
  decode (f);
  assert_p2p (f, 0, 4);
  g_assert_nonnull (direct (f, BAR0));
}

/* Without the choice there is none of it. */
static void
test_no_p2p (Fixture *f, gconstpointer data)
{
  VfioP2p p2p;

  plug (f);
  decode (f);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  vfio_container_get_p2p (f->container, &p2p);
  g_assert_false (p2p.on);
  g_assert_cmpuint (p2p.n_mapped + p2p.n_failed, ==, 0);
}

/* ---- ROM ---- */

static guint8 *
make_rom (gsize size, guint16 vendor, guint16 device)
{
  guint8 *rom = g_malloc0 (size);

  rom[0] = 0x55;
  rom[1] = 0xaa;
  rom[0x18] = 0x40;
  memcpy (rom + 0x40, "PCIR", 4);
  rom[0x44] = (guint8)vendor;
  rom[0x45] = (guint8)(vendor >> 8);
  rom[0x46] = (guint8)device;
  rom[0x47] = (guint8)(device >> 8);
  rom[0x50] = (guint8)(size / 512);
  rom[0x51] = (guint8)(size / 512 >> 8);
  rom[0x55] = 0x80;
  rom[size - 1] = 0x77;
  return rom;
}

static void
test_rom (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *rom = make_rom (0x8000, 0x10de, 0x2484);
  guint8 *shown;

  f->gpu->rom = rom;
  f->gpu->rom_size = 0x8000;
  plug (f);
  g_assert_cmpuint (f->notes->len, ==, 0);
  g_assert_cmpuint (f->gpu->rom_read_after_resets, ==, 1); /* before the first */
  decode (f);
  cfg_write (f, PCI_ROM_ADDRESS, 4, 0xd0000000 | PCI_ROM_ADDRESS_ENABLE);
  shown = direct (f, 0xd0000000);
  g_assert_nonnull (shown);
  g_assert_cmpmem (shown, 0x8000, rom, 0x8000);
}

static void
test_rom_garbage (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *rom = g_malloc (0x2000);
  g_autofree guint8 *good = make_rom (0x2000, 0x1002, 0x1111);
  g_autoptr (GError) error = NULL;
  VmmDevice *device;

  memset (rom, 0xff, 0x2000);
  f->gpu->rom = rom;
  f->gpu->rom_size = 0x2000;
  plug (f);
  g_assert_cmpuint (f->notes->len, ==, 1);
  g_assert_nonnull (strstr (g_ptr_array_index (f->notes, 0), "nothing in it"));
  cfg_write (f, PCI_ROM_ADDRESS, 4, G_MAXUINT32);
  g_assert_cmphex (cfg (f, PCI_ROM_ADDRESS, 4), ==, 0);

  /* A file that a person chose is refused. */
  f->rom_image = g_bytes_new (good, 0x2000);
  device = make (f, "other", SOUND, 1);
  g_assert_false (vmm_device_realize (device, f->h->machine, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "another card (1002:1111)"));
  vmm_device_free (device);
}

static void
test_check_rom (void)
{
  g_autofree guint8 *rom = make_rom (0x1000, 0x10de, 0x2484);
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  char *wrong = vfio_pci_check_rom (rom, 0x1000, 0x10de, 0x2484);

  g_assert_null (wrong);
  for (gsize size = 1; size < 0x1000; size += 37)
    {
      wrong = vfio_pci_check_rom (rom, size, 0x10de, 0x2484);
      g_assert_nonnull (wrong);
      g_free (wrong);
    }
  for (guint i = 0; i < 20000; i++)
    {
      g_autofree guint8 *copy = g_memdup2 (rom, 0x1000);

      for (guint j = 0; j < 4; j++)
        copy[g_rand_int_range (rand, 0, 0x60)] = (guint8)g_rand_int (rand);
      g_free (vfio_pci_check_rom (copy, (gsize)g_rand_int_range (rand, 1, 0x1001), 0x10de, 0x2484));
    }
}

/* ---- quirks and VGA ---- */

/* The model's card is one of NVIDIA's: its mirror of configuration space shows the guest's view. */
static void
test_nvidia (Fixture *f, gconstpointer data)
{
  const guint64 mirror = BAR0 + 0x88000;

  f->gpu->has_vga = TRUE;
  plug (f);
  decode (f);
  g_assert_null (direct (f, mirror));
  g_assert_nonnull (direct (f, mirror - 0x1000));
  g_assert_nonnull (direct (f, mirror + 0x1000));
  fake_function_poke (f->gpu, 0, 0x88010, 0x99999999); /* the host's address */
  g_assert_cmphex (harness_mmio_read (f->h, mirror + PCI_BASE_ADDRESS_0, 4), ==, BAR0);
  g_assert_cmphex (harness_mmio_read (f->h, mirror, 4), ==, 0x248410de);
  harness_mmio_write (f->h, mirror + PCI_INTERRUPT_LINE, 1, 9);
  g_assert_cmphex (cfg (f, PCI_INTERRUPT_LINE, 1), ==, 9);

  /* The window of ports, when it is switched on. */
  fake_function_poke (f->gpu, 5, 0xc, 0x77777777);
  harness_out (f->h, PORTS + 8, 4, 0x88000 + PCI_BASE_ADDRESS_2);
  g_assert_cmphex (harness_in (f->h, PORTS + 0xc, 4), ==, 0x77777777);
  harness_out (f->h, PORTS, 4, 1);
  harness_out (f->h, PORTS + 4, 4, 1);
  g_assert_cmphex (harness_in (f->h, PORTS + 0xc, 4), ==, (guint32)BAR2 | 0xc);
  harness_out (f->h, PORTS + 8, 4, 0x1800);
  g_assert_cmphex (harness_in (f->h, PORTS + 0xc, 2), ==, 0x10de);
  harness_out (f->h, PORTS + 8, 4, 0x12345);
  g_assert_cmphex (harness_in (f->h, PORTS + 0xc, 4), ==, 0x77777777);
  harness_out (f->h, PORTS + 8, 4, 0x88fff);
  (void)harness_in (f->h, PORTS + 0xc, 4);
}

/* The write that ends each interrupt is the device's, and soon the kernel's. */
static void
test_nvidia_ack (Fixture *f, gconstpointer data)
{
  const guint64 ack = BAR0 + 0x88704;

  plug (f);
  decode (f);
  for (guint i = 0; i < 9; i++)
    harness_mmio_write (f->h, ack, 1, 0xff);
  g_assert_cmphex (fake_function_peek (f->gpu, 0, 0x88704) & 0xff, ==, 0xff);
  g_assert_cmpint (f->gpu->ioevent_fd, <, 0);
  harness_mmio_write (f->h, ack, 1, 0xff);
  g_assert_cmpint (f->gpu->ioevent_fd, >=, 0);
  g_assert_cmphex (f->gpu->ioevent_offset, ==, 0x88704);
  g_assert_true (harness_has_ioeventfd (f->h, FALSE, ack));
  /* Another value is another thing. */
  harness_mmio_write (f->h, ack, 1, 0x12);
  g_assert_cmpint (f->gpu->ioevent_fd, <, 0);
  g_assert_false (harness_has_ioeventfd (f->h, FALSE, ack));
  for (guint i = 0; i < 10; i++)
    harness_mmio_write (f->h, ack, 1, 0xff);
  g_assert_true (harness_has_ioeventfd (f->h, FALSE, ack));
  /* The BAR moves away from under it. */
  cfg_write (f, PCI_COMMAND, 2, 0);
  g_assert_cmpint (f->gpu->ioevent_fd, <, 0);
  g_assert_false (harness_has_ioeventfd (f->h, FALSE, ack));
}

static void
test_ati (Fixture *f, gconstpointer data)
{
  fake_function_set (f->gpu, PCI_VENDOR_ID, 2, 0x1002);
  fake_function_add_bar (f->gpu, 4, 256, PCI_BASE_ADDRESS_SPACE_IO);
  f->gpu->has_vga = TRUE;
  plug (f);
  decode (f);
  cfg_write (f, PCI_BASE_ADDRESS_4, 4, 0xd000);
  g_assert_null (direct (f, BAR2 + 0x4000));
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x4000, 4), ==, 0x24841002);
  fake_function_poke (f->gpu, 2, 0x4100, 0x31);
  g_assert_cmphex (harness_mmio_read (f->h, BAR2 + 0x4100, 4), ==, 0x31);
  harness_out (f->h, 0xd000, 4, 0x4000 + PCI_BASE_ADDRESS_0);
  g_assert_cmphex (harness_in (f->h, 0xd004, 4), ==, BAR0);
  g_assert_nonnull (direct (f, BAR0 + 0x88000)); /* no quirk of others */
}

/* Without the legacy places BAR 2 is left alone: newer cards have doorbells there. */
static void
test_ati_doorbells (Fixture *f, gconstpointer data)
{
  fake_function_set (f->gpu, PCI_VENDOR_ID, 2, 0x1002);
  plug (f);
  decode (f);
  g_assert_nonnull (direct (f, BAR2 + 0x4000));
}

static void
test_vga (Fixture *f, gconstpointer data)
{
  VmmDevice *device = make (f, "gpu", GPU, 0);
  g_autoptr (GError) error = NULL;

  g_assert_true (vmm_device_set_bool (device, "vga", TRUE, NULL));
  g_assert_false (vmm_device_realize (device, f->h->machine, &error));
  g_assert_nonnull (strstr (error->message, "vga=true"));
  f->gpu->has_vga = TRUE;
  harness_realize (f->h, device);
  harness_out (f->h, 0x3c4, 2, 0x0102);
  g_assert_cmphex (f->gpu->vga[0x3c4], ==, 2);
  f->gpu->vga[0x3da] = 8;
  g_assert_cmphex (harness_in (f->h, 0x3da, 1), ==, 8);
  harness_mmio_write (f->h, 0xb8000, 2, 0x0741);
  g_assert_cmphex (f->gpu->vga[0xb8000], ==, 0x41);
  g_assert_cmphex (harness_in (f->h, 0x3bf, 1), ==, 0xff); /* not VGA's */
}

/* ---- a card of two functions ---- */

static void
test_card (Fixture *f, gconstpointer data)
{
  VmmDevice *gpu = make (f, "gpu", GPU, 0), *sound;

  g_assert_true (vmm_device_set_uint (gpu, "multifunction", 1, NULL));
  harness_realize (f->h, gpu);
  sound = harness_realize (f->h, make (f, "sound", SOUND, 1));
  g_assert_cmphex (cfg (f, PCI_HEADER_TYPE, 1), ==, 0x80);
  g_assert_cmphex (pci_bus_config_read (f->root, 1, 1, 0, 4), ==, 0x228b10de);
  g_assert_cmpuint (f->fake.maps->len, ==, 1);
  vmm_device_unrealize (sound);
  vmm_device_free (sound);
  g_assert_cmphex (pci_bus_config_read (f->root, 1, 1, 0, 4), ==, G_MAXUINT32);
  g_assert_cmphex (cfg (f, 0, 4), ==, 0x248410de);
}

/* Every access of every size everywhere: no call of the model is out of bounds (it would fail). */
static void
test_hostile (Fixture *f, gconstpointer data)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);

  plug (f);
  for (guint i = 0; i < 20000; i++)
    {
      guint size = 1u << g_rand_int_range (rand, 0, 3);
      guint offset = (guint)g_rand_int_range (rand, 0, 4096) & ~(size - 1);

      switch (g_rand_int_range (rand, 0, 6))
        {
        case 0:
          cfg_write (f, offset, size, g_rand_int (rand));
          break;
        case 1:
          cfg_write (f, 0xc2, 2, g_rand_int (rand));
          break;
        case 2:
          cfg_write (f, 0x6a, 2, g_rand_int (rand));
          break;
        case 3:
          harness_mmio_write (f->h, TABLE + (guint)g_rand_int_range (rand, 0, 0x1010),
                              1u << g_rand_int_range (rand, 0, 4), g_rand_int (rand));
          break;
        case 4:
          (void)harness_mmio_read (f->h, TABLE + (guint)g_rand_int_range (rand, 0, 0x1010),
                                   1u << g_rand_int_range (rand, 0, 4));
          if (i % 64 == 0)
            decode (f);
          break;
        default:
          (void)fake_function_interrupt (f->gpu, (guint)g_rand_int_range (rand, 0, 3),
                                         (guint)g_rand_int_range (rand, 0, 6));
          harness_run (f->h);
          break;
        }
    }
}

int
main (int argc, char **argv)
{
#define ADD_GROUPS(path, func)                                                                     \
  g_test_add ("/vfio/pci/" path, Fixture, NULL, set_up, func, tear_down)
  /* By a container of groups, and by iommufd. */
#define ADD(path, func)                                                                            \
  g_test_add ("/vfio/pci/" path, Fixture, NULL, set_up, func, tear_down);                          \
  g_test_add ("/vfio/pci/iommufd/" path, Fixture, GUINT_TO_POINTER (VFIO_WAY_IOMMUFD), set_up,     \
              func, tear_down)

  g_test_init (&argc, &argv, NULL);
  ADD ("config", test_config);
  ADD ("hostile-chains", test_hostile_chains);
  ADD ("refused", test_refused);
  ADD ("every-call", test_every_call);
  ADD ("bars", test_bars);
  ADD ("taken-place", test_taken_place);
  ADD ("low-power", test_low_power);
  ADD ("msix", test_msix);
  ADD ("msix-batch", test_msix_batch);
  ADD ("msix-few", test_msix_few);
  ADD ("msi", test_msi);
  ADD ("intx-slow", test_intx_slow);
  ADD ("intx-fast", test_intx_fast);
  ADD ("no-irqfd", test_no_irqfd);
  ADD ("events", test_events);
  ADD ("no-save", test_no_save);
  ADD ("surprise", test_surprise);
  ADD ("reset", test_reset);
  ADD ("no-reset", test_no_reset);
  ADD ("bus-reset", test_bus_reset);
  ADD ("secondary-reset", test_secondary_reset);
  ADD ("secondary-reset-apart", test_secondary_reset_apart);
  ADD_GROUPS ("p2p", test_p2p);
  ADD_GROUPS ("p2p-failing", test_p2p_failing);
  ADD_GROUPS ("p2p-iommufd", test_p2p_iommufd);
  ADD ("no-p2p", test_no_p2p);
  ADD ("rom", test_rom);
  ADD ("rom-garbage", test_rom_garbage);
  g_test_add_func ("/vfio/pci/check-rom", test_check_rom);
  ADD ("nvidia", test_nvidia);
  ADD ("nvidia-ack", test_nvidia_ack);
  ADD ("ati", test_ati);
  ADD ("ati-doorbells", test_ati_doorbells);
  ADD ("vga", test_vga);
  ADD ("card", test_card);
  ADD ("hostile", test_hostile);
  return g_test_run ();
}
