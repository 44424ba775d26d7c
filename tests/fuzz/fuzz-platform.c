/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A guest at the board's ports and memory-mapped devices, firmware flash included: rows of operation,
 * offset, size and bytes; time passes and events come in between. */
#include "devices/backends/char/char.h"
#include "devices/board/q35.h"
#include "devices/input/router.h"
#include "tests/fuzz/fuzz-input.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/harness/harness.h"

#include <glib/gstdio.h>
#include <unistd.h>

#define CODE_SIZE 0x10000
#define VARS_SIZE 0x4000

static char *
blank_file (gsize size)
{
  char *path = NULL;
  int fd = g_file_open_tmp ("alcove-fuzz-XXXXXX", &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (ftruncate (fd, (off_t)size), ==, 0);
  close (fd);
  return path;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const guint64 bases[] = {
    G_GUINT64_CONSTANT (0x100000000) - CODE_SIZE - VARS_SIZE, /* variables */
    G_GUINT64_CONSTANT (0x100000000) - CODE_SIZE,             /* code */
    Q35_HPET_BASE, 0xc0000,                                   /* PAM */
  };
  FuzzInput input = { data, size };
  HarnessMachine *h = harness_new (0);
  g_autofree char *code = blank_file (CODE_SIZE);
  g_autofree char *vars = blank_file (VARS_SIZE);
  InputRouter *router = input_router_new ();
  CharBackend *serial = char_null_new ();
  Q35Config config = {
    .ram_size = 16 << 20,
    .n_vcpus = 1,
    .phys_bits = 40,
    .firmware = Q35_FIRMWARE_UEFI,
    .firmware_code = code,
    .firmware_vars = vars,
    .hpet = TRUE,
    .i8042 = TRUE,
    .input_router = router,
    .debug_exit = TRUE,
    .debug_console = TRUE,
    .serial_char = { serial },
  };
  Q35Board *board = q35_board_new (h->machine, &config, NULL);

  g_assert_nonnull (board);
  vmm_machine_reset_devices (h->machine, VMM_RESET_COLD);
  /* The PM block where firmware puts it. */
  harness_out (h, 0xcf8, 4, 0x8000f840);
  harness_out (h, 0xcfc, 4, 0x600);
  harness_out (h, 0xcf8, 4, 0x8000f844);
  harness_out (h, 0xcfc, 1, 0x80);
  while (input.left > 0)
    {
      guint op = (guint)fuzz_take (&input, 1);
      guint width = 1u << (op >> 6);
      guint16 offset = (guint16)fuzz_take (&input, 2);

      switch (op % 8)
        {
        case 0:
        case 1:
          harness_out (h, offset & 0x7ff, MIN (width, 4), fuzz_take (&input, 4));
          break;
        case 2:
          (void)harness_in (h, offset & 0x7ff, MIN (width, 4));
          break;
        case 3:
          harness_mmio_write (h, (bases[op >> 3 & 3] + offset) & ~(guint64)(width - 1), width,
                              fuzz_take (&input, width));
          break;
        case 4:
          (void)harness_mmio_read (h, (bases[op >> 3 & 3] + offset) & ~(guint64)(width - 1), width);
          break;
        case 5:
          harness_advance (h, (gint64)offset << (op >> 3 & 15));
          break;
        case 6:
          input_router_key (router, offset & 0x2ff, (op & 8) != 0);
          input_router_relative (router, (gint8)offset, (gint8)(offset >> 8));
          input_router_wheel (router, (op & 16) != 0 ? 1 : -1, 0);
          input_router_sync (router);
          break;
        default:
          if ((op & 8) != 0)
            q35_board_press_power_button (board);
          else
            vmm_machine_reset_devices (h->machine, VMM_RESET_WARM);
          break;
        }
      harness_take_request (h, NULL);
    }
  q35_board_free (board);
  harness_free (h);
  serial->ops->free (serial);
  input_router_free (router);
  g_unlink (code);
  g_unlink (vars);
  return 0;
}
