/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest at fw_cfg: rows of 1-byte operation and its operands. DMA descriptors lie in RAM, which the
 * guest writes too. */
#include "devices/platform/fw-cfg.h"
#include "tests/fuzz/fuzz-input.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/harness/harness.h"

#define RAM 0x10000

static void
on_select (gpointer user_data)
{
  FwCfg *fw_cfg = user_data;
  g_autoptr (GBytes) bytes = g_bytes_new_static ("changed", 7);

  fw_cfg_replace_file (fw_cfg, "etc/late", bytes);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzInput input = { data, size };
  HarnessMachine *h = harness_new (RAM);
  FwCfg *fw_cfg = (FwCfg *)harness_realize (h, vmm_device_new (&fw_cfg_ops, "fw-cfg"));
  g_autoptr (GBytes) bytes = g_bytes_new_static ("0123456789abcdef", 16);

  g_assert_true (fw_cfg_add_file (fw_cfg, "etc/file", bytes, NULL));
  g_assert_true (fw_cfg_add_late_file (fw_cfg, "etc/late", bytes, on_select, fw_cfg, NULL));
  g_assert_true (fw_cfg_add_writable_file (fw_cfg, "etc/writable", 16, NULL, NULL, NULL));
  while (input.left > 0)
    switch (fuzz_take (&input, 1) % 8)
      {
      case 0:
        harness_out (h, 0x510, 2, fuzz_take (&input, 2));
        break;
      case 1:
        (void)harness_in (h, 0x511, 1);
        break;
      case 2:
        harness_out (h, (guint16)(0x510 + fuzz_take (&input, 1) % 12),
                     1u << fuzz_take (&input, 1) % 3, fuzz_take (&input, 4));
        break;
      case 3:
        (void)harness_in (h, (guint16)(0x510 + fuzz_take (&input, 1) % 12),
                          1u << fuzz_take (&input, 1) % 3);
        break;
      case 4: /* a descriptor, run at once */
        {
          guint64 gpa = fuzz_take (&input, 2) & 0xfff0;

          for (guint i = 0; i < 2; i++)
            harness_write_le (h, gpa + i * 8, 8, fuzz_take (&input, 8));
          harness_out (h, 0x514, 4, 0);
          harness_out (h, 0x518, 4, GUINT32_TO_BE ((guint32)gpa));
        }
        break;
      case 5:
        harness_out (h, 0x514, 4, fuzz_take (&input, 4));
        harness_out (h, 0x518, 4, fuzz_take (&input, 4));
        break;
      case 6:
        vmm_machine_reset_devices (h->machine, VMM_RESET_WARM);
        break;
      default:
        harness_check_save_load (h);
        break;
      }
  harness_free (h);
  return 0;
}
