/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/board/q35.h"
#include "devices/board/q35-private.h"
#include "devices/board/root-port.h"
#include "devices/storage/ahci.h"
#include "tests/unit/harness/harness.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

#define LPC       0x1f
#define PORT_SLOT 0x1c

typedef struct
{
  HarnessMachine *h;
  Q35Board *board;
  char *folder, *code, *vars;
} Fixture;

static void
write_pattern (const char *path, gsize size, guint8 seed)
{
  g_autofree guint8 *data = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8)(seed + i / 4096 * 7 + i % 251);
  g_assert_true (g_file_set_contents (path, (char *)data, (gssize)size, NULL));
}

static guint8
pattern (gsize i, guint8 seed)
{
  return (guint8)(seed + i / 4096 * 7 + i % 251);
}

static void
set_up_with (Fixture *f, Q35FirmwareKind firmware, guint64 ram, guint n_ports)
{
  g_autoptr (GError) error = NULL;
  Q35Config config = {
    .ram_size = ram,
    .n_vcpus = 2,
    .phys_bits = 40,
    .firmware = firmware,
    .hpet = TRUE,
    .i8042 = TRUE,
    .debug_exit = TRUE,
    .debug_console = TRUE,
    .sata = TRUE,
    .n_root_ports = n_ports,
  };

  f->h = harness_new (0);
  f->folder = g_dir_make_tmp ("alcove-q35-XXXXXX", NULL);
  f->code = g_build_filename (f->folder, "code.fd", NULL);
  f->vars = g_build_filename (f->folder, "vars.fd", NULL);
  write_pattern (f->code, 256 * 1024, 3);
  write_pattern (f->vars, 64 * 1024, 9);
  if (firmware != Q35_FIRMWARE_NONE)
    config.firmware_code = f->code;
  if (firmware == Q35_FIRMWARE_UEFI)
    config.firmware_vars = f->vars;
  f->board = q35_board_new (f->h->machine, &config, &error);
  g_assert_no_error (error);
  g_assert_nonnull (f->board);
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
}

static void
tear_down (Fixture *f)
{
  q35_board_free (f->board);
  harness_free (f->h);
  g_unlink (f->code);
  g_unlink (f->vars);
  g_assert_cmpint (g_rmdir (f->folder), ==, 0); /* no temporary file is left */
  g_free (f->folder);
  g_free (f->code);
  g_free (f->vars);
}

static guint32
config_read (HarnessMachine *h, guint bus, guint slot, guint function, guint offset, guint size)
{
  harness_out (h, 0xcf8, 4, 0x80000000u | bus << 16 | slot << 11 | function << 8 | (offset & 0xfc));
  return (guint32)harness_in (h, (guint16)(0xcfc + (offset & 3)), size);
}

static void
config_write (HarnessMachine *h,
              guint bus,
              guint slot,
              guint function,
              guint offset,
              guint size,
              guint32 value)
{
  harness_out (h, 0xcf8, 4, 0x80000000u | bus << 16 | slot << 11 | function << 8 | (offset & 0xfc));
  harness_out (h, (guint16)(0xcfc + (offset & 3)), size, value);
}

/* What firmware looks at first. */
static void
test_identity (void)
{
  Fixture f;

  set_up_with (&f, Q35_FIRMWARE_BIOS, 64 << 20, 2);
  g_assert_cmphex (config_read (f.h, 0, 0, 0, 0, 4), ==, 0x29c08086);
  g_assert_cmphex (config_read (f.h, 0, 0, 0, 0x2c, 4), ==, 0x11001af4);
  g_assert_cmphex (config_read (f.h, 0, LPC, 0, 0, 4), ==, 0x29188086);
  g_assert_cmphex (config_read (f.h, 0, LPC, 0, 0x0e, 1), ==, 0x80);
  g_assert_cmphex (config_read (f.h, 0, 0x1c, 1, 0x0a, 2), ==, 0x0604);
  g_assert_cmphex (config_read (f.h, 0, 5, 0, 0, 4), ==, 0xffffffff);
  g_assert_cmphex (config_read (f.h, 7, 0, 0, 0, 4), ==, 0xffffffff);
  /* Disabled, the data port is nobody's. */
  harness_out (f.h, 0xcf8, 4, 0);
  g_assert_cmphex (harness_in (f.h, 0xcfc, 4), ==, 0xffffffff);
  tear_down (&f);
}

static void
test_pciexbar (void)
{
  Fixture f;

  set_up_with (&f, Q35_FIRMWARE_BIOS, 64 << 20, 0);
  g_assert_cmphex (harness_mmio_read (f.h, 0xb0000000, 4), ==, 0xffffffff);
  config_write (f.h, 0, 0, 0, 0x64, 4, 0);
  config_write (f.h, 0, 0, 0, 0x60, 4, 0xb0000001);
  g_assert_cmphex (harness_mmio_read (f.h, 0xb0000000, 4), ==, 0x29c08086);
  g_assert_cmphex (harness_mmio_read (f.h, 0xb0000000 + (LPC << 15) + 2, 2), ==, 0x2918);
  /* It moves with the register, by its own window too. */
  harness_mmio_write (f.h, 0xb0000060, 4, 0xe0000001);
  g_assert_cmphex (harness_mmio_read (f.h, 0xe0000000, 4), ==, 0x29c08086);
  g_assert_cmphex (harness_mmio_read (f.h, 0xb0000000, 4), ==, 0xffffffff);
  /* 64 MiB are 64 buses. */
  config_write (f.h, 0, 0, 0, 0x60, 4, 0xe0000005);
  g_assert_cmphex (harness_mmio_read (f.h, 0xe3f00000, 4), ==, 0xffffffff);
  g_assert_cmphex (harness_mmio_read (f.h, 0xe0000000, 4), ==, 0x29c08086);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (harness_mmio_read (f.h, 0xe0000000, 4), ==, 0xffffffff);
  tear_down (&f);
}

static guint8
memory_byte (Fixture *f, guint64 address)
{
  guint8 byte;

  if (vmm_guest_memory_read (vmm_machine_get_memory (f->h->machine), vmm_gpa (address), &byte, 1))
    return byte;
  return (guint8)harness_mmio_read (f->h, address, 1);
}

static void
memory_write (Fixture *f, guint64 address, guint8 byte)
{
  if (!vmm_guest_memory_write (vmm_machine_get_memory (f->h->machine), vmm_gpa (address), &byte, 1))
    harness_mmio_write (f->h, address, 1, byte);
}

/* All four states of a segment, at the ROM and outside of it. */
static void
test_pam (void)
{
  Fixture f;
  const gsize rom = 256 * 1024;

  set_up_with (&f, Q35_FIRMWARE_BIOS, 64 << 20, 0);
  g_assert_cmphex (memory_byte (&f, 0xfffffff0), ==, pattern (rom - 16, 3));
  g_assert_cmphex (memory_byte (&f, 0xffff0), ==, pattern (rom - 16, 3));
  g_assert_cmphex (memory_byte (&f, 0xe0000), ==, pattern (rom - 0x20000, 3));
  g_assert_cmphex (memory_byte (&f, 0xc0000), ==, 0xff);
  /* ROM state: writes are lost. */
  memory_write (&f, 0xf0000, 0x11);
  g_assert_cmphex (memory_byte (&f, 0xf0000), ==, pattern (rom - 0x10000, 3));
  /* Write only: reads from ROM, writes to RAM. */
  config_write (f.h, 0, 0, 0, 0x90, 1, 0x20);
  memory_write (&f, 0xf0000, 0x22);
  g_assert_cmphex (memory_byte (&f, 0xf0000), ==, pattern (rom - 0x10000, 3));
  /* Read only: RAM shows, writes are lost. */
  config_write (f.h, 0, 0, 0, 0x90, 1, 0x10);
  g_assert_cmphex (memory_byte (&f, 0xf0000), ==, 0x22);
  memory_write (&f, 0xf0000, 0x33);
  g_assert_cmphex (memory_byte (&f, 0xf0000), ==, 0x22);
  /* Both. */
  config_write (f.h, 0, 0, 0, 0x90, 1, 0x30);
  memory_write (&f, 0xf0000, 0x44);
  g_assert_cmphex (memory_byte (&f, 0xf0000), ==, 0x44);
  /* The 16 KiB segments: PAM1 low nibble is 0xc0000, high 0xc4000. */
  config_write (f.h, 0, 0, 0, 0x91, 1, 0x30);
  memory_write (&f, 0xc4000, 0x55);
  g_assert_cmphex (memory_byte (&f, 0xc4000), ==, 0x55);
  g_assert_cmphex (memory_byte (&f, 0xc0000), ==, 0xff);
  g_assert_cmphex (memory_byte (&f, 0xc8000), ==, 0xff);
  /* Reset shows the ROM again. */
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (memory_byte (&f, 0xf0000), ==, pattern (rom - 0x10000, 3));
  tear_down (&f);
}

static void
test_memory_layout (void)
{
  Fixture f;
  VmmGuestMemory *memory;

  set_up_with (&f, Q35_FIRMWARE_NONE, G_GUINT64_CONSTANT (3) << 30, 0);
  memory = vmm_machine_get_memory (f.h->machine);
  g_assert_true (vmm_guest_memory_check (memory, vmm_gpa (0), 0xa0000, TRUE));
  g_assert_false (vmm_guest_memory_check (memory, vmm_gpa (0xa0000), 1, FALSE));
  g_assert_true (vmm_guest_memory_check (memory, vmm_gpa (0xc0000), 0x80000000 - 0xc0000, TRUE));
  g_assert_false (vmm_guest_memory_check (memory, vmm_gpa (0x80000000), 1, FALSE));
  g_assert_true (vmm_guest_memory_check (memory, vmm_gpa (G_GUINT64_CONSTANT (1) << 32),
                                         G_GUINT64_CONSTANT (1) << 30, TRUE));
  g_assert_false (vmm_guest_memory_check (
      memory, vmm_gpa ((G_GUINT64_CONSTANT (1) << 32) + (G_GUINT64_CONSTANT (1) << 30)), 1, FALSE));
  /* Direct boot finds PM block and PCIEXBAR in place. */
  g_assert_cmphex (harness_mmio_read (f.h, 0xe0000000, 4), ==, 0x29c08086);
  g_assert_cmphex (harness_in (f.h, 0x604, 2), ==, 1);
  tear_down (&f);
}

static void
test_pm_and_reset (void)
{
  Fixture f;
  guint32 before;

  set_up_with (&f, Q35_FIRMWARE_BIOS, 64 << 20, 0);
  g_assert_cmphex (harness_in (f.h, 0x608, 4), ==, 0xffffffff);
  config_write (f.h, 0, LPC, 0, 0x40, 4, 0x600);
  g_assert_cmphex (harness_in (f.h, 0x608, 4), ==, 0xffffffff);
  config_write (f.h, 0, LPC, 0, 0x44, 1, 0x80);
  before = (guint32)harness_in (f.h, 0x608, 4);
  harness_advance (f.h, VMM_NSEC_PER_SEC);
  g_assert_cmpint ((gint32)((harness_in (f.h, 0x608, 4) - before) & 0xffffff), ==, 3579545);
  g_assert_cmphex (harness_in (f.h, 0x630, 4) & 0x20, ==, 0x20);

  harness_out (f.h, 0xcf9, 1, 0x02);
  g_assert_cmpint (harness_take_request (f.h, NULL), ==, VMM_REQUEST_NONE);
  harness_out (f.h, 0xcf9, 1, 0x06);
  g_assert_cmpint (harness_take_request (f.h, NULL), ==, VMM_REQUEST_RESET);
  harness_out (f.h, 0x92, 1, 0x03);
  g_assert_cmpint (harness_take_request (f.h, NULL), ==, VMM_REQUEST_RESET);
  harness_out (f.h, 0x604, 2, 0x2001);
  g_assert_cmpint (harness_take_request (f.h, NULL), ==, VMM_REQUEST_POWEROFF);
  harness_out (f.h, 0xf4, 1, 0x21);
  {
    guint64 value = 0;

    g_assert_cmpint (harness_take_request (f.h, &value), ==, VMM_REQUEST_DEBUG_EXIT);
    g_assert_cmpint ((int)value, ==, 0x21);
  }
  /* The button: status always, interrupt when enabled. */
  q35_board_press_power_button (f.board);
  g_assert_false (f.h->gsi[Q35_SCI_GSI]);
  g_assert_cmphex (harness_in (f.h, 0x600, 2) & 0x100, ==, 0x100);
  harness_out (f.h, 0x602, 2, 0x100);
  g_assert_true (f.h->gsi[Q35_SCI_GSI]);
  harness_out (f.h, 0x600, 2, 0x100);
  g_assert_false (f.h->gsi[Q35_SCI_GSI]);
  tear_down (&f);
}

/* Firmware's way to a file: directory, then select and read by DMA. */
static GBytes *
read_file (HarnessMachine *h, const char *name)
{
  guint32 count = 0;

  harness_out (h, 0x510, 2, 0x19);
  for (guint i = 0; i < 4; i++)
    count = count << 8 | (guint32)harness_in (h, 0x511, 1);
  g_assert_cmpuint (count, >, 0);
  g_assert_cmpuint (count, <, 64);
  for (guint i = 0; i < count; i++)
    {
      guint8 entry[64];
      guint32 size;
      guint16 key;
      guint8 *data;

      for (guint j = 0; j < sizeof entry; j++)
        entry[j] = (guint8)harness_in (h, 0x511, 1);
      if (strcmp ((char *)entry + 8, name) != 0)
        continue;
      size = (guint32)entry[0] << 24 | entry[1] << 16 | entry[2] << 8 | entry[3];
      key = (guint16)(entry[4] << 8 | entry[5]);
      data = g_malloc (size);
      harness_out (h, 0x510, 2, key);
      for (guint32 j = 0; j < size; j++)
        data[j] = (guint8)harness_in (h, 0x511, 1);
      return g_bytes_new_take (data, size);
    }
  return NULL;
}

static gboolean
contains (GBytes *bytes, const char *text)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  return memmem (data, size, text, strlen (text)) != NULL;
}

/* The tables follow the register: MCFG appears once PCIEXBAR is on, with its address. */
static void
test_late_acpi (void)
{
  Fixture f;
  g_autoptr (GBytes) before = NULL;
  g_autoptr (GBytes) after = NULL;
  g_autoptr (GBytes) e820 = NULL;
  static const guint8 address[8] = { 0, 0, 0, 0xb0, 0, 0, 0, 0 };
  const guint8 *data, *mcfg;
  gsize size;

  set_up_with (&f, Q35_FIRMWARE_BIOS, 64 << 20, 1);
  before = read_file (f.h, "etc/acpi/tables");
  g_assert_nonnull (before);
  g_assert_false (contains (before, "MCFG"));
  config_write (f.h, 0, 0, 0, 0x60, 4, 0xb0000001);
  after = read_file (f.h, "etc/acpi/tables");
  g_assert_true (contains (after, "MCFG"));
  data = g_bytes_get_data (after, &size);
  mcfg = memmem (data, size, "MCFG", 4);
  g_assert_cmpmem (mcfg + 44, 8, address, 8);
  e820 = read_file (f.h, "etc/e820");
  g_assert_nonnull (e820);
  g_assert_cmpuint (g_bytes_get_size (e820) % 20, ==, 0);
  tear_down (&f);
}

typedef struct
{
  guint n;
  guint64 address;
} Placed;

static void
on_placed (gpointer user_data, guint64 address)
{
  Placed *placed = user_data;

  placed->n++;
  placed->address = address;
}

/* Firmware's DMA: big endian control, length, address; then its address to 0x514. */
static void
write_file (HarnessMachine *h, guint16 key, const guint8 *data, guint32 size)
{
  guint8 block[16] = { 0 };
  const guint64 at = 0x8000, from = 0x9000;

  block[0] = (guint8)(key >> 8);
  block[1] = (guint8)key;
  block[3] = 0x18; /* select and write */
  block[7] = (guint8)size;
  block[14] = (guint8)(from >> 8);
  g_assert_true (
      vmm_guest_memory_write (vmm_machine_get_memory (h->machine), vmm_gpa (from), data, size));
  g_assert_true (vmm_guest_memory_write (vmm_machine_get_memory (h->machine), vmm_gpa (at), block,
                                         sizeof block));
  harness_out (h, 0x518, 4, GUINT32_SWAP_LE_BE ((guint32)at));
}

static guint16
find_key (HarnessMachine *h, const char *name)
{
  guint8 entry[64];

  harness_out (h, 0x510, 2, 0x19);
  for (guint i = 0; i < 4; i++)
    (void)harness_in (h, 0x511, 1);
  do
    for (guint j = 0; j < sizeof entry; j++)
      entry[j] = (guint8)harness_in (h, 0x511, 1);
  while (strcmp ((char *)entry + 8, name) != 0);
  return (guint16)(entry[4] << 8 | entry[5]);
}

/* A file that firmware puts into memory with the tables; a machine without one is as it was. */
static void
test_placed_file (void)
{
  Fixture f, without;
  Placed placed = { 0 };
  const guint8 address[8] = { 0, 0x50, 0xf3, 0x7f };
  g_autoptr (GBytes) bytes = g_bytes_new_static ("table of outputs", 16);
  g_autoptr (GBytes) loader = NULL;
  g_autoptr (GBytes) plain = NULL;
  g_autoptr (GBytes) shown = NULL;
  g_autoptr (GError) error = NULL;
  const guint8 *script, *command;
  gsize size;

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 8);
  g_assert_true (
      q35_board_add_placed_file (f.board, "etc/a/table", bytes, on_placed, &placed, &error));
  g_assert_no_error (error);
  g_assert_false (
      q35_board_add_placed_file (f.board, "etc/a/other", bytes, on_placed, &placed, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  shown = read_file (f.h, "etc/a/table");
  g_assert_true (g_bytes_equal (shown, bytes));
  loader = read_file (f.h, "etc/table-loader");
  script = g_bytes_get_data (loader, &size);
  command = memmem (script, size, "etc/a/table", 12);
  g_assert_nonnull (command);
  command -= 4;
  g_assert_cmpuint ((gsize)(command - script) % 128, ==, 0);
  g_assert_cmphex (command[0], ==, 1);             /* allocate */
  g_assert_cmphex (command[4 + 56 + 1], ==, 0x10); /* on 4096 */
  g_assert_cmphex (command[4 + 56 + 4], ==, 1);    /* high */
  command += 128;
  g_assert_cmphex (command[0], ==, 4); /* write pointer */
  g_assert_cmpstr ((const char *)command + 4, ==, "etc/a/table-addr");
  g_assert_cmpstr ((const char *)command + 4 + 56, ==, "etc/a/table");
  g_assert_cmphex (command[4 + 2 * 56 + 8], ==, 8);
  write_file (f.h, find_key (f.h, "etc/a/table-addr"), address, sizeof address);
  g_assert_cmpuint (placed.n, ==, 1);
  g_assert_cmphex (placed.address, ==, 0x7ff35000);

  set_up_with (&without, Q35_FIRMWARE_UEFI, 64 << 20, 8);
  plain = read_file (without.h, "etc/table-loader");
  g_assert_cmpuint (g_bytes_get_size (plain), ==, size);
  g_assert_false (contains (plain, "table-addr"));
  tear_down (&without);
  tear_down (&f);
}

/* The chipset under another name, for good. */
static void
test_names (void)
{
  static const Q35Name name = { 0x8086, 0x7a84, 0x1462, 0x7d99, 0x11 };
  Fixture f;

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 1);
  q35_board_name_host_bridge (f.board, &name);
  q35_board_name_lpc_bridge (f.board, &name);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_cmphex (config_read (f.h, 0, 0, 0, 0, 4), ==, 0x29c08086);
      g_assert_cmphex (config_read (f.h, 0, 0, 0, 0x2c, 4), ==, 0x7d991462);
      g_assert_cmphex (config_read (f.h, 0, 0, 0, 8, 1), ==, 0x11);
      g_assert_cmphex (config_read (f.h, 0, LPC, 0, 0, 4), ==, 0x7a848086);
      g_assert_cmphex (config_read (f.h, 0, LPC, 0, 0x2c, 4), ==, 0x7d991462);
      g_assert_cmphex (config_read (f.h, 0, LPC, 0, 8, 4), ==, 0x06010011);
      config_write (f.h, 0, LPC, 0, 0, 4, 0);
      vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
    }
  tear_down (&f);
}

static void
test_flash (void)
{
  Fixture f;
  const guint64 vars = 0x100000000 - 256 * 1024 - 64 * 1024;
  g_autofree char *data = NULL;
  gsize length;
  g_autoptr (GError) error = NULL;

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 0);
  g_assert_cmphex (memory_byte (&f, vars), ==, pattern (0, 9));
  /* OVMF's probe. */
  memory_write (&f, vars, 0x50);
  memory_write (&f, vars, 0x70);
  g_assert_cmphex (memory_byte (&f, vars) & 0x7f, ==, 0);
  memory_write (&f, vars, 0x20);
  memory_write (&f, vars, 0xd0);
  memory_write (&f, vars + 5, 0x10);
  memory_write (&f, vars + 5, 0x5a);
  memory_write (&f, vars, 0x70);
  g_assert_cmphex (memory_byte (&f, vars) & 0x10, ==, 0);
  memory_write (&f, vars, 0xff);
  g_assert_cmphex (memory_byte (&f, vars + 5), ==, 0x5a);
  g_assert_cmphex (memory_byte (&f, vars + 6), ==, 0xff);
  g_assert_cmphex (memory_byte (&f, vars + 4096), ==, pattern (4096, 9));
  q35_board_flush (f.board, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (f.vars, &data, &length, NULL));
  g_assert_cmpuint (length, ==, 64 * 1024);
  g_assert_cmphex ((guint8)data[5], ==, 0x5a);
  g_assert_cmphex ((guint8)data[4096], ==, pattern (4096, 9));
  tear_down (&f);
}

static void
test_save_load (void)
{
  Fixture f, g;

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 3);
  set_up_with (&g, Q35_FIRMWARE_UEFI, 64 << 20, 3);
  config_write (f.h, 0, 0, 0, 0x60, 4, 0xb0000001);
  config_write (f.h, 0, 0, 0, 0x91, 1, 0x33);
  config_write (f.h, 0, LPC, 0, 0x40, 4, 0x600);
  config_write (f.h, 0, LPC, 0, 0x44, 1, 0x80);
  config_write (f.h, 0, 0x1c, 0, 0x18, 4, 0x00020100);
  harness_out (f.h, 0x70, 1, 0x40);
  harness_out (f.h, 0x71, 1, 0x77);
  harness_check_save_load (f.h);
  harness_check_save_load_into (f.h, g.h);
  /* Effects come with the registers. */
  g_assert_cmphex (harness_mmio_read (g.h, 0xb0000000, 4), ==, 0x29c08086);
  g_assert_cmphex (harness_in (g.h, 0x604, 2), ==, 1);
  harness_out (g.h, 0x70, 1, 0x40);
  g_assert_cmphex (harness_in (g.h, 0x71, 1), ==, 0x77);
  tear_down (&f);
  tear_down (&g);
}

/* Room for a card of 32 GiB wherever the processor has the bits; what UEFI takes is less. */
static void
test_bar_space (void)
{
  static const struct
  {
    guint bits;
    guint64 least, most; /* GiB */
  } cases[] = { { 36, 1, 64 }, { 39, 448, 512 }, { 40, 256, 1024 }, { 46, 32768, 65536 } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      HarnessMachine *h = harness_new (0);
      Q35Config config = { .ram_size = 16 << 20, .n_vcpus = 1, .phys_bits = cases[i].bits };
      Q35Board *board = q35_board_new (h->machine, &config, NULL);

      g_assert_nonnull (board);
      g_assert_cmpuint (q35_board_get_bar_space (board) >> 30, >=, cases[i].least);
      g_assert_cmpuint (q35_board_get_bar_space (board) >> 30, <=, cases[i].most);
      q35_board_free (board);
      harness_free (h);
    }
}

/* UEFI: an eighth; 40 bits. */
static void
test_bar_space_uefi (void)
{
  Fixture f = { 0 };

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 2);
  g_assert_cmpuint (q35_board_get_bar_space (f.board), ==, G_GUINT64_CONSTANT (128) << 30);
  tear_down (&f);
}

static void
test_bad_config (void)
{
  HarnessMachine *h = harness_new (0);
  g_autoptr (GError) error = NULL;
  Q35Config config = { .ram_size = 12345, .n_vcpus = 1, .phys_bits = 40 };

  g_assert_null (q35_board_new (h->machine, &config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  config.ram_size = 16 << 20;
  config.firmware = Q35_FIRMWARE_BIOS;
  config.firmware_code = "/nonexistent/bios.bin";
  g_assert_null (q35_board_new (h->machine, &config, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "/nonexistent/bios.bin"));
  harness_free (h);
}

/* Random writes to every configuration register and port: nothing may break, and a reset brings
 * the board back. */
static void
test_storm (void)
{
  Fixture f;
  GRand *rand = g_rand_new_with_seed (35);

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 4);
  for (guint i = 0; i < 60000; i++)
    {
      guint size = 1u << g_rand_int_range (rand, 0, 3);
      guint32 value = g_rand_int (rand);

      if (g_rand_boolean (rand))
        {
          static const guint8 slots[] = { 0, LPC, 0x1c };

          config_write (f.h, (guint)g_rand_int_range (rand, 0, 3),
                        slots[g_rand_int_range (rand, 0, 3)], (guint)g_rand_int_range (rand, 0, 4),
                        (guint)g_rand_int_range (rand, 0, 64) * 4, size, value);
        }
      else
        {
          guint16 port = (guint16)g_rand_int_range (rand, 0, 0x10000);

          if (g_rand_boolean (rand))
            port &= 0x7ff;
          harness_out (f.h, port, size, value);
          harness_in (f.h, port, size);
        }
      harness_take_request (f.h, NULL);
      if (i % 1000 == 0)
        harness_run (f.h);
    }
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (config_read (f.h, 0, 0, 0, 0, 4), ==, 0x29c08086);
  g_assert_cmphex (memory_byte (&f, 0xfffffff0), ==, pattern (256 * 1024 - 16, 3));
  g_rand_free (rand);
  tear_down (&f);
}

static void
test_hostile_state (void)
{
  Fixture f;
  g_autoptr (GBytes) state = NULL;

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 2);
  state = harness_save (f.h);
  harness_storm_load (f.h, state, 7, 300);
  tear_down (&f);
}

/* What SeaBIOS and OVMF look for in "bootorder". */
static void
test_sata (void)
{
  Fixture f;
  VmmDevice *drive = vmm_device_new (&ahci_cdrom_device_ops, "cdrom.cd");
  g_autofree char *path = NULL;

  set_up_with (&f, Q35_FIRMWARE_NONE, 64 << 20, 1);
  g_assert_nonnull (q35_board_get_sata (f.board));
  vmm_device_set_pointer (drive, "controller", q35_board_get_sata (f.board), NULL);
  vmm_device_set_uint (drive, "port", 3, NULL);
  harness_realize (f.h, drive);
  path = q35_board_boot_path (f.board, drive, "");
  g_assert_cmpstr (path, ==, "/pci@i0cf8/pci8086,2922@1f,2/drive@3/disk@0");
  g_assert_cmphex (pci_bus_config_read (q35_board_get_root_bus (f.board), 0, LPC << 3 | 2, 0, 4),
                   ==, 0x29228086);
  tear_down (&f);
}

/* A controller behind a slot for hot-plug: named in the boot order, unplugged, forgotten. */
static void
test_boot_order (void)
{
  Fixture f;
  VmmDevice *device = vmm_device_new (&pcie_root_port_ops, "plugged");
  GBytes *order;

  set_up_with (&f, Q35_FIRMWARE_NONE, 64 << 20, 2);
  vmm_device_set_pointer (device, "bus", q35_board_get_port_bus (f.board, 1), NULL);
  harness_realize (f.h, device);
  g_assert_nonnull (q35_board_find_port (f.board, q35_board_get_port_bus (f.board, 1)));
  g_assert_null (q35_board_find_port (f.board, q35_board_get_root_bus (f.board)));
  q35_board_add_boot_disk (f.board, device, "/namespace@2,0", 2);
  q35_board_add_boot_disk (f.board, device, "/namespace@1,0", 1);
  order = read_file (f.h, "bootorder");
  g_assert_cmpstr (g_bytes_get_data (order, NULL), ==,
                   "/pci@i0cf8/pci-bridge@1c,1/pci-bridge@0/namespace@1,0\n"
                   "/pci@i0cf8/pci-bridge@1c,1/pci-bridge@0/namespace@2,0");
  g_bytes_unref (order);
  q35_board_remove_boot_device (f.board, device);
  vmm_device_unrealize (device);
  vmm_device_free (device);
  order = read_file (f.h, "bootorder");
  g_assert_cmpuint (g_bytes_get_size (order), ==, 0);
  g_bytes_unref (order);
  tear_down (&f);
}

/* The vendor's capability of type 1 behind a port's other ones. */
static guint
find_reserve (Fixture *f, guint function)
{
  PciBus *root = q35_board_get_root_bus (f->board);
  guint devfn = PORT_SLOT << 3 | function;
  guint at = pci_bus_config_read (root, 0, devfn, 0x34, 1);

  while (at != 0 && (pci_bus_config_read (root, 0, devfn, at, 1) != 0x09 ||
                     pci_bus_config_read (root, 0, devfn, at + 3, 1) != 1))
    at = pci_bus_config_read (root, 0, devfn, at + 1, 1);
  g_assert_cmpuint (at, !=, 0);
  g_assert_cmpuint (pci_bus_config_read (root, 0, devfn, at + 2, 1), ==, 32);
  return at;
}

static guint64
read_reserve (Fixture *f, guint function, guint offset, guint size)
{
  PciBus *root = q35_board_get_root_bus (f->board);
  guint devfn = PORT_SLOT << 3 | function, at = find_reserve (f, function) + offset;
  guint64 low = pci_bus_config_read (root, 0, devfn, at, 4);

  return size == 4 ? low : low | (guint64)pci_bus_config_read (root, 0, devfn, at + 4, 4) << 32;
}

/* What UEFI firmware is asked to leave behind empty ports, of its window of 32 GiB. */
static void
test_reserve (void)
{
  VmmDevice *device = vmm_device_new (&pcie_root_port_ops, "plugged");
  Fixture f;

  set_up_with (&f, Q35_FIRMWARE_UEFI, 64 << 20, 4);
  g_assert_cmphex (read_reserve (&f, 0, 24, 8), ==, G_MAXUINT64);
  g_assert_cmphex (read_reserve (&f, 0, 16, 4), ==, G_MAXUINT32);
  q35_board_reserve_for_hotplug (f.board, 0);
  g_assert_cmphex (read_reserve (&f, 3, 24, 8), ==, G_GUINT64_CONSTANT (4) << 30);
  g_assert_cmphex (read_reserve (&f, 3, 16, 4), ==, 32 << 20);
  /* Buses, I/O, and of the two prefetchable ones the other: the firmware's rule. */
  g_assert_cmphex (read_reserve (&f, 3, 4, 4), ==, G_MAXUINT32);
  g_assert_cmphex (read_reserve (&f, 3, 8, 8), ==, G_MAXUINT64);
  g_assert_cmphex (read_reserve (&f, 3, 20, 4), ==, G_MAXUINT32);
  /* Cards that are there take their part first. */
  q35_board_reserve_for_hotplug (f.board, G_GUINT64_CONSTANT (17) << 30);
  g_assert_cmphex (read_reserve (&f, 3, 24, 8), ==, G_GUINT64_CONSTANT (1) << 30);
  q35_board_reserve_for_hotplug (f.board, G_GUINT64_CONSTANT (1) << 40);
  g_assert_cmphex (read_reserve (&f, 3, 24, 8), ==, G_MAXUINT64);
  q35_board_reserve_for_hotplug (f.board, 0);

  /* A port with a card asks for nothing more, from the next reset on. */
  vmm_device_set_pointer (device, "bus", q35_board_get_port_bus (f.board, 1), NULL);
  harness_realize (f.h, device);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (read_reserve (&f, 1, 24, 8), ==, G_MAXUINT64);
  g_assert_cmphex (read_reserve (&f, 1, 16, 4), ==, G_MAXUINT32);
  g_assert_cmphex (read_reserve (&f, 2, 24, 8), ==, G_GUINT64_CONSTANT (4) << 30);
  vmm_device_unrealize (device);
  vmm_device_free (device);
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_cmphex (read_reserve (&f, 1, 24, 8), ==, G_GUINT64_CONSTANT (4) << 30);
  /* The guest cannot write it. */
  pci_bus_config_write (q35_board_get_root_bus (f.board), 0, PORT_SLOT << 3 | 2,
                        find_reserve (&f, 2) + 24, 4, 0x12345678);
  g_assert_cmphex (read_reserve (&f, 2, 24, 8), ==, G_GUINT64_CONSTANT (4) << 30);
  tear_down (&f);

  /* A system that SeaBIOS starts may know no addresses above 4 GiB. */
  set_up_with (&f, Q35_FIRMWARE_BIOS, 64 << 20, 4);
  q35_board_reserve_for_hotplug (f.board, 0);
  g_assert_cmphex (read_reserve (&f, 0, 24, 8), ==, G_MAXUINT64);
  tear_down (&f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/board/q35/identity", test_identity);
  g_test_add_func ("/board/q35/pciexbar", test_pciexbar);
  g_test_add_func ("/board/q35/pam", test_pam);
  g_test_add_func ("/board/q35/memory-layout", test_memory_layout);
  g_test_add_func ("/board/q35/pm-and-reset", test_pm_and_reset);
  g_test_add_func ("/board/q35/late-acpi", test_late_acpi);
  g_test_add_func ("/board/q35/placed-file", test_placed_file);
  g_test_add_func ("/board/q35/names", test_names);
  g_test_add_func ("/board/q35/flash", test_flash);
  g_test_add_func ("/board/q35/save-load", test_save_load);
  g_test_add_func ("/board/q35/bad-config", test_bad_config);
  g_test_add_func ("/board/q35/storm", test_storm);
  g_test_add_func ("/board/q35/hostile-state", test_hostile_state);
  g_test_add_func ("/board/q35/sata", test_sata);
  g_test_add_func ("/board/q35/boot-order", test_boot_order);
  g_test_add_func ("/board/q35/reserve", test_reserve);
  g_test_add_func ("/board/q35/bar-space", test_bar_space);
  g_test_add_func ("/board/q35/bar-space-uefi", test_bar_space_uefi);
  return g_test_run ();
}
