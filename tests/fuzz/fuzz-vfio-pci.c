/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest at a function that is passed through, over the model of the kernel: configuration space,
 * BARs, MSI-X table, resets, interrupts at any moment; and a configuration space of any contents. Of
 * every kind that something is done for: their windows are hit more often than chance would. */
#include <linux/pci_regs.h>
#include <string.h>

#include "tests/fuzz/fuzz-input.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/harness/harness.h"
#include "tests/unit/vfio/device/fake-kernel.h"
#include "vfio/device/pci.h"

#define NAME  "0000:01:00.0"
#define BAR0  0xc1000000
#define BAR2  0xd0000000
#define BAR4  0xe0000000
#define BAR5  0xe8000000
#define PORTS 0xc000 /* + 0x100 for each BAR of ports */

typedef enum
{
  KIND_NVIDIA,
  KIND_NVIDIA_VGA,
  KIND_IGD,
  KIND_IGD_LEGACY,
  KIND_RTL8168,
  KIND_ATI_VGA,
  KIND_RADEON,
  N_KINDS,
} Kind;

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

static FakeFunction *
make_card (Kind kind)
{
  FakeFunction *card;

  switch (kind)
    {
    case KIND_IGD:
    case KIND_IGD_LEGACY:
      return fake_igd_new (NAME, 1);
    case KIND_RTL8168:
      card = fake_function_new (NAME, 1, 0x10ec, 0x8168);
      fake_function_add_bar (card, 2, 4096, PCI_BASE_ADDRESS_MEM_TYPE_64);
      fake_function_add_bar (card, 4, 16384, PCI_BASE_ADDRESS_MEM_TYPE_64);
      card->n_irqs[VFIO_PCI_MSIX_IRQ_INDEX] = 4;
      fake_function_set (card, PCI_STATUS, 2, PCI_STATUS_CAP_LIST);
      fake_function_set (card, PCI_CAPABILITY_LIST, 1, 0xb0);
      fake_function_set (card, 0xb0, 4, 0x00030011);
      fake_function_set (card, 0xb4, 4, 0x00000004);
      fake_function_set (card, 0xb8, 4, 0x00000804);
      return card;
    case KIND_RADEON:
      card = fake_function_new (NAME, 1, 0x1002, 0x67b0);
      fake_function_add_bar (card, 5, 0x8000, 0);
      memset (card->wmask + 0x7c, 0xff, 4);
      return card;
    case KIND_NVIDIA:
    case KIND_NVIDIA_VGA:
    case KIND_ATI_VGA:
    case N_KINDS:
    default:
      card = fake_gpu_new (NAME, 1);
      card->has_vga = kind != KIND_NVIDIA;
      if (kind == KIND_NVIDIA_VGA)
        fake_function_add_bar (card, 1, 1 << 20, 0);
      if (kind != KIND_ATI_VGA)
        return card;
      fake_function_set (card, PCI_VENDOR_ID, 2, 0x1002);
      fake_function_add_bar (card, 4, 256, PCI_BASE_ADDRESS_SPACE_IO);
      return card;
    }
}

/* What the kernel says of the regions, and what firmware left in them. */
static void
damage_extras (FakeFunction *card, FuzzInput *input)
{
  for (guint n = (guint)fuzz_take (input, 1); n > 0 && input->left > 0; n--)
    {
      FakeExtra *extra = &card->extras[fuzz_take (input, 1) % card->n_extras];
      guint at = (guint)fuzz_take (input, 2);

      if (at < extra->length)
        extra->data[at] = (guint8)fuzz_take (input, 1);
      else if (at < 0xf000)
        extra->size = fuzz_take (input, 8) % (extra->length + 1);
      else
        extra->size = 0x102001 + fuzz_take (input, 8);
    }
}

static VmmDevice *
make (HarnessMachine *h, PciBus *bus, VfioContainer *container, Kind kind)
{
  VmmDevice *device = vmm_device_new (&vfio_pci_ops, "card");

  g_assert_true (vmm_device_set_pointer (device, "bus", bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", PCI_MAKE_DEVFN (2, 0), NULL));
  g_assert_true (vmm_device_set_pointer (device, "container", container, NULL));
  g_assert_true (vmm_device_set_string (device, "host", NAME, NULL));
  g_assert_true (vmm_device_set_string (device, "sysfs", "/sys/bus/pci/devices/" NAME, NULL));
  g_assert_true (
      vmm_device_set_bool (device, "vga", kind == KIND_NVIDIA_VGA || kind == KIND_ATI_VGA, NULL));
  g_assert_true (vmm_device_set_uint (
      device, "igd", kind == KIND_IGD_LEGACY ? VFIO_PCI_IGD_LEGACY : VFIO_PCI_IGD_ON, NULL));
  if (vmm_device_realize (device, h->machine, NULL))
    return device;
  vmm_device_free (device);
  return NULL;
}

/* All BARs get a place. */
static void
decode (PciBus *bus, FakeFunction *card, guint command)
{
  static const guint32 places[FAKE_BARS] = { BAR0, 0, BAR2, 0, BAR4, BAR5 };

  for (guint i = 0; i < FAKE_BARS; i++)
    {
      guint at = PCI_BASE_ADDRESS_0 + i * 4;
      gboolean ports = (card->config[at] & PCI_BASE_ADDRESS_SPACE_IO) != 0;

      pci_bus_config_write (bus, 0, PCI_MAKE_DEVFN (2, 0), at, 4,
                            ports ? PORTS + i * 0x100 : places[i]);
    }
  pci_bus_config_write (bus, 0, PCI_MAKE_DEVFN (2, 0), PCI_COMMAND, 2, command);
}

/* The windows of all kinds; FALSE: nothing of that. */
static gboolean
act_window (HarnessMachine *h, VmmDevice *device, guint what, guint width, FuzzInput *input)
{
  static const guint64 memory[] = { BAR0 + 0x88000,  BAR0 + 0x88704,  BAR0 + 0x1800,
                                    BAR0 + 0x108040, BAR0 + 0x1080c0, BAR2 + 0x70,
                                    BAR2 + 0x74,     BAR2 + 0x4000,   BAR0 + 0x800000 };
  static const guint16 ports[] = { PORTS + 0x500, PORTS + 0x504, PORTS + 0x508,
                                   PORTS + 0x50c, PORTS + 0x400, PORTS + 0x404,
                                   0x3c3,         0x3d0,         0x3d4 };
  guint at, near;

  if (what == 0 || what > 5)
    return FALSE;
  at = (guint)fuzz_take (input, 1);
  near = at >> 4;
  switch (what)
    {
    case 1:
      (void)harness_mmio_read (h, memory[at % G_N_ELEMENTS (memory)] + near, width);
      return TRUE;
    case 2:
      harness_mmio_write (h, memory[at % G_N_ELEMENTS (memory)] + near, width,
                          fuzz_take (input, 8));
      return TRUE;
    case 3:
      (void)harness_in (h, ports[at % G_N_ELEMENTS (ports)], MIN (width, 4));
      return TRUE;
    case 4:
      harness_out (h, ports[at % G_N_ELEMENTS (ports)], MIN (width, 4),
                   (guint32)fuzz_take (input, 4));
      return TRUE;
    case 5:
    default:
      vfio_pci_set_opregion_address (device, fuzz_take (input, 8));
      return TRUE;
    }
}

static void
act (HarnessMachine *h, PciBus *bus, VmmDevice *device, FakeFunction *card, FuzzInput *input)
{
  guint op = (guint)fuzz_take (input, 1), width = 1u << (op >> 6);
  guint offset;

  if (act_window (h, device, op >> 3 & 7, width, input))
    return;
  offset = (guint)fuzz_take (input, 2) & 0xfff;
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
      decode (bus, card, offset);
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
  Kind kind = (Kind)(fuzz_take (&input, 1) % N_KINDS);
  FakeFunction *card = make_card (kind);
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
  if (card->n_extras > 0)
    damage_extras (card, &input);
  container = vfio_container_new (h->machine, &fake.kernel, VFIO_WAY_AUTO);
  device = make (h, bus, container, kind);
  while (device != NULL && input.left > 0)
    {
      act (h, bus, device, card, &input);
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
