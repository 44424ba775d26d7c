/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared memory: a row of accesses (operation, place, value) to its registers, memory and
 * configuration space, with resets and saved states between them. */
#include "devices/pci/pci.h"
#include "devices/registry.h"
#include "fuzz-input.h"
#include "fuzz.h"
#include "tests/unit/harness/harness.h"

#define SIZE      (G_GUINT64_CONSTANT (1) << 20)
#define REGISTERS G_GUINT64_CONSTANT (0xe0000000)
#define MEMORY    G_GUINT64_CONSTANT (0xe8000000)
#define FN        PCI_MAKE_DEVFN (2, 0)

static void
set_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
}

static void
place_bars (PciBus *bus)
{
  pci_bus_config_write (bus, 0, FN, 0x10, 4, (guint32)REGISTERS);
  pci_bus_config_write (bus, 0, FN, 0x18, 4, (guint32)MEMORY);
  pci_bus_config_write (bus, 0, FN, 0x1c, 4, 0);
  pci_bus_config_write (bus, 0, FN, 4, 2, 7);
}

static void
access_one (HarnessMachine *h, PciBus *bus, FuzzInput *in)
{
  guint op = (guint)fuzz_take (in, 1);
  guint16 place = (guint16)fuzz_take (in, 2);
  guint32 value = (guint32)fuzz_take (in, 4);
  guint size = 1u << (op >> 4 & 3);

  switch (op & 7)
    {
    case 0:
      harness_mmio_write (h, REGISTERS + place % 256, size, value);
      break;
    case 1:
      (void)harness_mmio_read (h, REGISTERS + place % 256, size);
      break;
    case 2:
      harness_write_le (h, MEMORY + (guint64)place * 15, MIN (size, 4), value);
      break;
    case 3:
      pci_bus_config_write (bus, 0, FN, place % 256 & ~3u, 4, value);
      place_bars (bus);
      break;
    case 4:
      vmm_machine_reset_devices (h->machine, place & 1 ? VMM_RESET_WARM : VMM_RESET_COLD);
      place_bars (bus);
      break;
    case 5:
      g_bytes_unref (harness_save (h));
      break;
    default:
      (void)pci_bus_config_read (bus, 0, FN, place % 4096 & ~3u, 4);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const PciBusOps bus_ops = { .set_intx = set_intx };
  FuzzInput in = { data, MIN (size, 4096) };
  HarnessMachine *h = harness_new (64 * 1024);
  PciBus *bus = pci_bus_new (h->machine, "pcie.0", &bus_ops, NULL);
  VmmDevice *device = vmm_device_new (device_registry_find ("ivshmem"), "frames.relay");

  g_assert_true (vmm_device_set_pointer (device, "bus", bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", FN, NULL));
  g_assert_true (vmm_device_set_uint (device, "size", SIZE, NULL));
  device = harness_realize (h, device);
  place_bars (bus);
  while (in.left > 0)
    access_one (h, bus, &in);
  vmm_device_unrealize (device);
  vmm_device_free (device);
  pci_bus_free (bus);
  harness_free (h);
  return 0;
}
