/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest at a function that is passed through, over the model of the kernel: configuration space,
 * BARs, MSI-X table, resets, interrupts at any moment; and a configuration space of any contents. */
#include <linux/pci_regs.h>
#include <string.h>

#include "tests/fuzz/fuzz-input.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/harness/harness.h"
#include "tests/unit/vfio/device/fake-kernel.h"
#include "vfio/device/pci.h"

#define NAME "0000:01:00.0"

static guint
get_gsi (gpointer opaque, guint slot, guint pin)
{
  return 16 + pin;
}

static void
set_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
}

static const PciBusOps bus_ops = { .set_intx = set_intx, .get_gsi = get_gsi };

static VmmDevice *
make (HarnessMachine *h, PciBus *bus, VfioContainer *container)
{
  VmmDevice *device = vmm_device_new (&vfio_pci_ops, "card");

  g_assert_true (vmm_device_set_pointer (device, "bus", bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", PCI_MAKE_DEVFN (2, 0), NULL));
  g_assert_true (vmm_device_set_pointer (device, "container", container, NULL));
  g_assert_true (vmm_device_set_string (device, "host", NAME, NULL));
  g_assert_true (vmm_device_set_string (device, "sysfs", "/sys/bus/pci/devices/" NAME, NULL));
  if (vmm_device_realize (device, h->machine, NULL))
    return device;
  vmm_device_free (device);
  return NULL;
}

static void
act (HarnessMachine *h, PciBus *bus, FakeFunction *card, FuzzInput *input)
{
  guint op = (guint)fuzz_take (input, 1), width = 1u << (op >> 6);
  guint offset = (guint)fuzz_take (input, 2) & 0xfff;

  switch (op % 8)
    {
    case 0:
      pci_bus_config_write (bus, 0, PCI_MAKE_DEVFN (2, 0), offset, MIN (width, 4),
                            (guint32)fuzz_take (input, 4));
      break;
    case 1:
      (void)pci_bus_config_read (bus, 0, PCI_MAKE_DEVFN (2, 0), offset, MIN (width, 4));
      break;
    case 2:
      pci_bus_config_write (bus, 0, PCI_MAKE_DEVFN (2, 0), PCI_BASE_ADDRESS_0, 4, 0xc1000000);
      pci_bus_config_write (bus, 0, PCI_MAKE_DEVFN (2, 0), PCI_COMMAND, 2, (guint32)offset);
      break;
    case 3:
      harness_mmio_write (h, 0xc1000000 + (fuzz_take (input, 4) & 0xffffff), width,
                          fuzz_take (input, 8));
      break;
    case 4:
      (void)harness_mmio_read (h, 0xc1800000 + offset, width);
      break;
    case 5:
      harness_mmio_write (h, 0xc1800000 + offset, width, fuzz_take (input, 8));
      break;
    case 6:
      (void)fake_function_interrupt (card, offset % FAKE_IRQ_KINDS, offset / 8 % FAKE_IRQS_MAX);
      harness_run (h);
      break;
    default:
      card->gone = (offset & 1) != 0;
      h->open_gsis = (offset & 2) != 0 ? G_MAXUINT32 : 0;
      if ((offset & 0xc) == 0)
        vmm_machine_reset_devices (h->machine, VMM_RESET_WARM);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzInput input = { data, size };
  HarnessMachine *h = harness_new (1 << 20);
  PciBus *bus = pci_bus_new (h->machine, "root", &bus_ops, NULL);
  FakeKernel fake;
  FakeFunction *card = fake_gpu_new (NAME, 1);
  VfioContainer *container;
  VmmDevice *device;
  guint n_damaged = (guint)fuzz_take (&input, 1);

  fake_kernel_init (&fake);
  fake_kernel_add (&fake, card);
  for (guint i = 0; i < n_damaged && input.left > 0; i++)
    {
      guint at = (guint)fuzz_take (&input, 2) & 0xfff;

      card->config[at] = (guint8)fuzz_take (&input, 1);
    }
  container = vfio_container_new (h->machine, &fake.kernel, VFIO_WAY_AUTO);
  device = make (h, bus, container);
  while (device != NULL && input.left > 0)
    {
      act (h, bus, card, &input);
      harness_take_request (h, NULL);
      harness_clear_msis (h);
    }
  if (device != NULL)
    {
      vmm_device_unrealize (device);
      vmm_device_free (device);
    }
  pci_bus_free (bus);
  vfio_container_free (container);
  harness_free (h);
  fake_kernel_clear (&fake);
  return 0;
}
