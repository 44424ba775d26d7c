/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/platform/cfi-flash.h"
#include "tests/unit/harness/harness.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define BASE G_GUINT64_CONSTANT (0xffc00000)
#define SIZE (16u * 4096)

typedef struct
{
  HarnessMachine *h;
  CfiFlash *flash;
  char *folder, *path;
} Fixture;

static CfiFlash *
new_flash (const char *path, gboolean read_only, guint64 size)
{
  VmmDevice *device = vmm_device_new (&cfi_flash_ops, "flash");

  g_assert_true (vmm_device_set_uint (device, "base", BASE, NULL));
  g_assert_true (vmm_device_set_uint (device, "size", size, NULL));
  g_assert_true (vmm_device_set_string (device, "path", path, NULL));
  g_assert_true (vmm_device_set_bool (device, "read-only", read_only, NULL));
  return (CfiFlash *)device;
}

static void
set_up_with (Fixture *f, gboolean read_only)
{
  g_autofree char *data = g_malloc (SIZE);

  memset (data, 0xab, SIZE);
  f->h = harness_new (0);
  f->folder = g_dir_make_tmp ("alcove-flash-XXXXXX", NULL);
  f->path = g_build_filename (f->folder, "vars.fd", NULL);
  g_assert_true (g_file_set_contents (f->path, data, SIZE, NULL));
  f->flash = (CfiFlash *)harness_realize (f->h, (VmmDevice *)new_flash (f->path, read_only, SIZE));
  vmm_machine_reset_devices (f->h->machine, VMM_RESET_COLD);
}

static void
tear_down (Fixture *f)
{
  harness_free (f->h);
  g_unlink (f->path);
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_free (f->path);
  g_free (f->folder);
}

/* As a guest sees it: mapped memory first, then the handler. */
static guint8
rd (Fixture *f, guint offset)
{
  guint8 byte;

  if (vmm_guest_memory_read (vmm_machine_get_memory (f->h->machine), vmm_gpa (BASE + offset), &byte,
                             1))
    return byte;
  return (guint8)harness_mmio_read (f->h, BASE + offset, 1);
}

static void
wr (Fixture *f, guint offset, guint8 byte)
{
  g_assert_false (vmm_guest_memory_write (vmm_machine_get_memory (f->h->machine),
                                          vmm_gpa (BASE + offset), &byte, 1));
  harness_mmio_write (f->h, BASE + offset, 1, byte);
}

static guint8
file_byte (Fixture *f, guint offset)
{
  g_autofree char *data = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (f->path, &data, &length, NULL));
  g_assert_cmpuint (length, ==, SIZE);
  return (guint8)data[offset];
}

static gboolean
is_mapped (Fixture *f)
{
  return vmm_guest_memory_check (vmm_machine_get_memory (f->h->machine), vmm_gpa (BASE), SIZE,
                                 FALSE);
}

static void
test_commands (void)
{
  Fixture f;

  set_up_with (&f, FALSE);
  g_assert_true (is_mapped (&f));
  g_assert_cmphex (rd (&f, 100), ==, 0xab);
  wr (&f, 0, 0x70);
  g_assert_false (is_mapped (&f));
  g_assert_cmphex (rd (&f, 0), ==, 0x80);
  /* Programming clears bits. */
  wr (&f, 5, 0x40);
  wr (&f, 5, 0x0f);
  g_assert_cmphex (rd (&f, 5), ==, 0x80);
  wr (&f, 0, 0xff);
  g_assert_true (is_mapped (&f));
  g_assert_cmphex (rd (&f, 5), ==, 0x0b);
  /* Erase one block. */
  wr (&f, 4096 + 17, 0x20);
  wr (&f, 4096 + 17, 0xd0);
  g_assert_cmphex (rd (&f, 0), ==, 0x80);
  wr (&f, 0, 0xff);
  g_assert_cmphex (rd (&f, 4095), ==, 0xab);
  g_assert_cmphex (rd (&f, 4096), ==, 0xff);
  g_assert_cmphex (rd (&f, 8191), ==, 0xff);
  g_assert_cmphex (rd (&f, 8192), ==, 0xab);
  /* A broken sequence: both error bits, until cleared. */
  wr (&f, 0, 0x20);
  wr (&f, 0, 0x11);
  g_assert_cmphex (rd (&f, 0), ==, 0xb0);
  /* How OVMF tells flash from RAM and ROM: cleared status reads as 0. */
  wr (&f, 0, 0x50);
  g_assert_cmphex (rd (&f, 0), !=, 0x50);
  wr (&f, 0, 0x70);
  g_assert_cmphex (rd (&f, 0), ==, 0);
  /* Identifier and query. */
  wr (&f, 0, 0x90);
  g_assert_cmphex (rd (&f, 0), ==, 0x89);
  wr (&f, 0, 0x98);
  g_assert_cmphex (rd (&f, 0x10), ==, 'Q');
  g_assert_cmphex (rd (&f, 0x13), ==, 1);
  g_assert_cmphex (rd (&f, 0x27), ==, 16);
  g_assert_cmphex (rd (&f, 0x2d), ==, 15);
  wr (&f, 0, 0xff);
  tear_down (&f);
}

static void
test_buffered_write (void)
{
  Fixture f;

  set_up_with (&f, FALSE);
  wr (&f, 128, 0xe8);
  g_assert_cmphex (rd (&f, 128), ==, 0x80);
  wr (&f, 128, 3);
  for (guint i = 0; i < 4; i++)
    wr (&f, 130 + i, (guint8)i);
  wr (&f, 128, 0xd0);
  g_assert_cmphex (rd (&f, 128), ==, 0x80);
  wr (&f, 0, 0xff);
  g_assert_cmphex (rd (&f, 130), ==, 0);
  g_assert_cmphex (rd (&f, 131), ==, 1);
  g_assert_cmphex (rd (&f, 134), ==, 0xab);
  /* Outside of the buffer's page, no confirm, too long: nothing is written. */
  wr (&f, 128, 0xe8);
  wr (&f, 128, 0);
  wr (&f, 4096, 0);
  wr (&f, 128, 0xd0);
  g_assert_cmphex (rd (&f, 0) & 0x10, ==, 0x10);
  wr (&f, 0, 0x50);
  wr (&f, 128, 0xe8);
  wr (&f, 128, 200);
  g_assert_cmphex (rd (&f, 0) & 0x10, ==, 0x10);
  wr (&f, 0, 0xff);
  g_assert_cmphex (rd (&f, 4096), ==, 0xab);
  tear_down (&f);
}

static void
test_write_back (void)
{
  Fixture f;
  g_autoptr (GError) error = NULL;

  set_up_with (&f, FALSE);
  wr (&f, 7, 0x40);
  wr (&f, 7, 0x00);
  harness_advance (f.h, 3 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (file_byte (&f, 7), ==, 0xab); /* still in a command */
  wr (&f, 0, 0xff);
  harness_advance (f.h, 3 * VMM_NSEC_PER_SEC);
  g_assert_cmphex (file_byte (&f, 7), ==, 0x00);
  /* Now, when asked. */
  wr (&f, 8, 0x40);
  wr (&f, 8, 0x01);
  wr (&f, 0, 0xff);
  g_assert_cmphex (file_byte (&f, 8), ==, 0xab);
  g_assert_true (cfi_flash_flush (f.flash, &error));
  g_assert_cmphex (file_byte (&f, 8), ==, 0x01);
  /* At the end. */
  wr (&f, 9, 0x40);
  wr (&f, 9, 0x02);
  vmm_device_unrealize ((VmmDevice *)f.flash);
  vmm_device_free ((VmmDevice *)f.flash);
  g_assert_cmphex (file_byte (&f, 9), ==, 0x02);
  tear_down (&f);
}

/* The folder is gone: an error for the caller, nothing lost meanwhile. */
static void
test_write_back_fails (void)
{
  Fixture f;
  g_autoptr (GError) error = NULL;

  set_up_with (&f, FALSE);
  wr (&f, 7, 0x40);
  wr (&f, 7, 0x00);
  wr (&f, 0, 0xff);
  g_unlink (f.path);
  g_assert_cmpint (g_rmdir (f.folder), ==, 0);
  g_assert_false (cfi_flash_flush (f.flash, &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "vars.fd"));
  g_assert_cmpuint (cfi_flash_get_n_write_errors (f.flash), ==, 1);
  g_assert_cmphex (rd (&f, 7), ==, 0);
  /* It is tried again by itself. */
  harness_advance (f.h, 31 * VMM_NSEC_PER_SEC);
  g_assert_cmpuint (cfi_flash_get_n_write_errors (f.flash), ==, 2);
  harness_free (f.h);
  g_free (f.path);
  g_free (f.folder);
}

static void
test_read_only (void)
{
  Fixture f;

  set_up_with (&f, TRUE);
  wr (&f, 7, 0x10);
  wr (&f, 7, 0x00);
  g_assert_cmphex (rd (&f, 7), ==, 0x92);
  wr (&f, 0, 0x20);
  wr (&f, 0, 0xd0);
  g_assert_cmphex (rd (&f, 7) & 0x20, ==, 0x20);
  wr (&f, 0, 0xff);
  g_assert_cmphex (rd (&f, 7), ==, 0xab);
  tear_down (&f);
}

static void
test_bad_files (void)
{
  HarnessMachine *h = harness_new (0);
  const struct
  {
    const char *path;
    guint64 size;
  } bad[] = {
    { "/nonexistent/vars.fd", SIZE }, { "/dev/null", SIZE }, { "/", 4096 }, { "x", 100 }
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      VmmDevice *device = (VmmDevice *)new_flash (bad[i].path, FALSE, bad[i].size);

      g_assert_false (vmm_device_realize (device, h->machine, &error));
      g_assert_nonnull (error);
      g_assert_nonnull (strstr (error->message, bad[i].path));
      vmm_device_free (device);
    }
  harness_free (h);
}

static void
test_hostile (void)
{
  Fixture f;
  GRand *rand = g_rand_new_with_seed (13);
  static const guint8 commands[] = { 0x10, 0x20, 0x40, 0x50, 0x60, 0x70,
                                     0x90, 0x98, 0xd0, 0xe8, 0xff, 0x03 };

  set_up_with (&f, FALSE);
  for (guint i = 0; i < 60000; i++)
    {
      guint size = 1u << g_rand_int_range (rand, 0, 4);
      guint64 offset = (guint64)g_rand_int_range (rand, 0, SIZE) & ~(guint64)(size - 1);
      guint64 value = g_rand_boolean (rand) ? commands[g_rand_int_range (rand, 0, 12)]
                                            : (guint64)g_rand_int (rand) << 32 | g_rand_int (rand);

      harness_mmio_write (f.h, BASE + offset, size, value);
      harness_mmio_read (f.h, BASE + offset, size);
    }
  wr (&f, 128, 0xe8);
  harness_check_save_load (f.h);
  {
    g_autoptr (GBytes) state = harness_save (f.h);

    harness_storm_load (f.h, state, 13, 300);
  }
  vmm_machine_reset_devices (f.h->machine, VMM_RESET_WARM);
  g_assert_true (is_mapped (&f));
  g_rand_free (rand);
  tear_down (&f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/platform/cfi-flash/commands", test_commands);
  g_test_add_func ("/platform/cfi-flash/buffered-write", test_buffered_write);
  g_test_add_func ("/platform/cfi-flash/write-back", test_write_back);
  g_test_add_func ("/platform/cfi-flash/write-back-fails", test_write_back_fails);
  g_test_add_func ("/platform/cfi-flash/read-only", test_read_only);
  g_test_add_func ("/platform/cfi-flash/bad-files", test_bad_files);
  g_test_add_func ("/platform/cfi-flash/hostile", test_hostile);
  return g_test_run ();
}
