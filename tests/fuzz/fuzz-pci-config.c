/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest at the configuration space of a whole board: host bridge, LPC bridge, root ports, by
 * CF8/CFC and by ECAM where it put it; and hot-plug of a port behind its back. */
#include "devices/board/q35.h"
#include "devices/board/root-port.h"
#include "tests/fuzz/fuzz-input.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/harness/harness.h"

static void
plug (HarnessMachine *h, PciBus *bus)
{
  VmmDevice *device = vmm_machine_find_device (h->machine, "plugged");

  if (device != NULL)
    {
      vmm_device_unrealize (device);
      vmm_device_free (device);
      return;
    }
  device = vmm_device_new (&pcie_root_port_ops, "plugged");
  g_assert_true (vmm_device_set_pointer (device, "bus", bus, NULL));
  g_assert_true (vmm_device_set_uint (device, "devfn", 0, NULL));
  pci_device_announce ((PciDevice *)harness_realize (h, device));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const guint8 functions[] = { 0x00, 0xf8, 0xe0, 0xe1 };
  FuzzInput input = { data, size };
  HarnessMachine *h = harness_new (0);
  Q35Config config = { .ram_size = 16 << 20, .n_vcpus = 1, .phys_bits = 40, .n_root_ports = 2 };
  Q35Board *board = q35_board_new (h->machine, &config, NULL);

  g_assert_nonnull (board);
  vmm_machine_reset_devices (h->machine, VMM_RESET_COLD);
  while (input.left > 0)
    {
      guint op = (guint)fuzz_take (&input, 1);
      guint width = 1u << (op >> 6) % 3;
      guint function = functions[fuzz_take (&input, 1) % 4];
      guint offset = (guint)fuzz_take (&input, 2);

      switch (op % 8)
        {
        case 0:
        case 1:
          harness_out (h, 0xcf8, 4,
                       0x80000000u | (guint)(op >> 3 & 3) << 16 | function << 8 | (offset & 0xfc));
          harness_out (h, (guint16)(0xcfc + (offset & 3)), width, fuzz_take (&input, 4));
          break;
        case 2:
          (void)harness_in (h, (guint16)(0xcf8 + offset % 8), width);
          break;
        case 3:
          harness_out (h, (guint16)(0xcf8 + offset % 8), width, fuzz_take (&input, 4));
          break;
        case 4:
          harness_mmio_write (h, 0xe0000000u | function << 12 | (offset & 0xffc), 4,
                              fuzz_take (&input, 4));
          break;
        case 5:
          (void)harness_mmio_read (h, fuzz_take (&input, 4), 1u << offset % 4);
          break;
        case 6:
          if (offset % 4 == 0)
            vmm_machine_reset_devices (h->machine, VMM_RESET_WARM);
          else
            plug (h, q35_board_get_port_bus (board, offset % 2));
          break;
        default:
          harness_mmio_write (h, fuzz_take (&input, 4), 1u << offset % 4, fuzz_take (&input, 8));
          break;
        }
      harness_take_request (h, NULL);
    }
  q35_board_free (board);
  harness_free (h);
  return 0;
}
