/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/harness.h"
#include "vmm/boot/image.h"

#include <elf.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MIB      (1024 * 1024)
#define RAM_SIZE (64 * MIB)

typedef struct
{
  HarnessMachine *h;
  GByteArray *file;
  int fd;
  char path[64];
  VmmBootImage *image;
  VmmEntry entry;
  GError *error;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->h = harness_new (RAM_SIZE);
  f->file = g_byte_array_new ();
  f->fd = memfd_create ("kernel", MFD_CLOEXEC);
  g_assert_cmpint (f->fd, >=, 0);
  g_snprintf (f->path, sizeof f->path, "/proc/self/fd/%d", f->fd);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_clear_error (&f->error);
  g_clear_pointer (&f->image, vmm_boot_image_free);
  g_byte_array_unref (f->file);
  close (f->fd);
  harness_free (f->h);
}

static void
put (Fixture *f, gsize offset, guint64 value, guint n)
{
  if (f->file->len < offset + n)
    {
      gsize old = f->file->len;

      g_byte_array_set_size (f->file, (guint)(offset + n));
      memset (f->file->data + old, 0, offset + n - old);
    }
  for (guint i = 0; i < n; i++)
    f->file->data[offset + i] = (guint8)(value >> (8 * i));
}

static gboolean
open_image (Fixture *f, const char *initrd, const char *cmdline)
{
  VmmBootFiles files = { .kernel = f->path, .initrd = initrd, .cmdline = cmdline };

  g_clear_error (&f->error);
  g_clear_pointer (&f->image, vmm_boot_image_free);
  g_assert_cmpint (ftruncate (f->fd, 0), ==, 0);
  g_assert_cmpint (pwrite (f->fd, f->file->data, f->file->len, 0), ==, (ssize_t)f->file->len);
  f->image = vmm_boot_image_new (&files, &f->error);
  g_assert_true ((f->image != NULL) == (f->error == NULL));
  return f->image != NULL;
}

static gboolean
place (VmmMachine *machine, VmmGpa *ret_rsdp, gpointer user_data, GError **error)
{
  *ret_rsdp = vmm_gpa (0xf0000);
  return TRUE;
}

static gboolean
load_image (Fixture *f, guint64 ram)
{
  VmmBootPlatform platform = { .layout = { .low_ram = ram, .pciexbar = 0xb0000000 },
                               .place_tables = place };

  platform.layout.pciexbar_length = 256 * MIB;
  g_clear_error (&f->error);
  vmm_boot_image_set_platform (f->image, &platform);
  return vmm_boot_image_load (f->h->machine, &f->entry, f->image, &f->error);
}

static int
make_initrd (char path[64], guint size, guint8 byte)
{
  g_autofree guint8 *data = g_malloc (size);
  int fd = memfd_create ("initrd", MFD_CLOEXEC);

  memset (data, byte, size);
  g_assert_cmpint (pwrite (fd, data, size, 0), ==, (ssize_t)size);
  g_snprintf (path, 64, "/proc/self/fd/%d", fd);
  return fd;
}

/* A bzImage's shape: 2 setup sectors, a payload of 0x5a. */
static void
make_bzimage (Fixture *f, guint payload)
{
  g_byte_array_set_size (f->file, 0);
  put (f, 0x1f1, 2, 1);
  put (f, 0x1f4, payload / 16, 4);
  put (f, 0x1fe, 0xaa55, 2);
  put (f, 0x200, 0x66eb, 2); /* header ends at 0x268 */
  put (f, 0x202, 0x53726448, 4);
  put (f, 0x206, 0x020f, 2);
  put (f, 0x211, 1, 1);
  put (f, 0x22c, 0x7fffffff, 4);
  put (f, 0x230, 0x200000, 4);
  put (f, 0x234, 1, 1);
  put (f, 0x236, 1, 2);
  put (f, 0x238, 2047, 4);
  put (f, 0x258, 0x1000000, 8);
  put (f, 0x260, 0x800000, 4);
  put (f, 3 * 512 + payload - 1, 0, 1);
  memset (f->file->data + 3 * 512, 0x5a, payload);
}

static guint8
byte_at (Fixture *f, guint64 gpa)
{
  return (guint8)harness_read_le (f->h, gpa, 1);
}

static void
test_linux (Fixture *f, gconstpointer data)
{
  char path[64], cmdline[32] = { 0 };
  int fd = make_initrd (path, 5000, 0xa7);
  guint64 initrd;
  guint n_entries;

  make_bzimage (f, 65536);
  g_assert_true (open_image (f, path, "console=ttyS0"));
  g_assert_cmpint (vmm_boot_image_get_protocol (f->image), ==, VMM_BOOT_LINUX);
  g_assert_true (load_image (f, RAM_SIZE));
  g_assert_no_error (f->error);
  g_assert_cmpint (f->entry.kind, ==, VMM_ENTRY_LINUX64);
  g_assert_cmphex (f->entry.rip, ==, 0x1000200);
  g_assert_cmpuint (byte_at (f, 0x1000000), ==, 0x5a);
  g_assert_cmpuint (byte_at (f, 0x100ffff), ==, 0x5a);
  g_assert_cmpuint (byte_at (f, 0x1010000), ==, 0);

  g_assert_cmphex (harness_read_le (f->h, f->entry.info + 0x202, 4), ==, 0x53726448);
  g_assert_cmphex (harness_read_le (f->h, f->entry.info + 0x210, 1), ==, 0xff);
  g_assert_cmphex (harness_read_le (f->h, f->entry.info + 0x70, 8), ==, 0xf0000);
  harness_read (f->h, harness_read_le (f->h, f->entry.info + 0x228, 4), cmdline, 14);
  g_assert_cmpstr (cmdline, ==, "console=ttyS0");

  initrd = harness_read_le (f->h, f->entry.info + 0x218, 4);
  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 0x21c, 4), ==, 5000);
  g_assert_cmpuint (initrd % 4096, ==, 0);
  g_assert_cmpuint (initrd, >=, 0x1800000);
  g_assert_cmpuint (byte_at (f, initrd), ==, 0xa7);
  g_assert_cmpuint (byte_at (f, initrd + 4999), ==, 0xa7);

  /* Memory map: conventional memory first, all of RAM, nothing twice. */
  n_entries = (guint)harness_read_le (f->h, f->entry.info + 0x1e8, 1);
  g_assert_cmpuint (n_entries, >=, 5);
  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 0x2d0, 8), ==, 0);
  g_assert_cmphex (harness_read_le (f->h, f->entry.info + 0x2d8, 8), ==, 0x9fc00);
  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 0x2e0, 4), ==, 1);

  /* Page tables: a walk of some addresses below 4 GiB gives the address back. */
  for (guint64 address = 0x12345678; address < 1ull << 32; address += 0x31234567)
    {
      guint64 l4 = harness_read_le (f->h, f->entry.page_table + 8 * (address >> 39 & 511), 8);
      guint64 l3 = harness_read_le (f->h, (l4 & ~0xfffull) + 8 * (address >> 30 & 511), 8);
      guint64 l2 = harness_read_le (f->h, (l3 & ~0xfffull) + 8 * (address >> 21 & 511), 8);

      g_assert_cmphex (l2, ==, (address & ~0x1fffffull) | 0x83);
    }
  g_assert_cmphex (harness_read_le (f->h, f->entry.gdt + 0x10, 8), ==, 0x00af9a000000ffff);

  /* A reset writes everything again. */
  harness_write_le (f->h, 0x1000000, 8, 0);
  g_assert_true (load_image (f, RAM_SIZE));
  g_assert_cmpuint (byte_at (f, 0x1000000), ==, 0x5a);
  close (fd);
}

static void
test_linux_small_ram (Fixture *f, gconstpointer data)
{
  make_bzimage (f, 65536);
  g_assert_true (open_image (f, NULL, NULL));
  /* Not at its preferred address, but it can move. */
  g_assert_true (load_image (f, 16 * MIB));
  g_assert_cmphex (f->entry.rip, ==, 0x200200);
  g_assert_false (load_image (f, 4 * MIB));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (f->error->message, "more memory"));
  g_assert_false (load_image (f, 0));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NO_MEMORY);
  put (f, 0x234, 0, 1);
  g_assert_true (open_image (f, NULL, NULL));
  g_assert_false (load_image (f, 16 * MIB));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NO_MEMORY);
}

static void
expect_refused (Fixture *f, VmmErrorCode code, const char *word)
{
  g_assert_false (open_image (f, NULL, NULL));
  g_assert_error (f->error, VMM_ERROR, (int)code);
  if (strstr (f->error->message, word) == NULL || strstr (f->error->message, f->path) == NULL)
    g_error ("“%s” should name the file and say “%s”", f->error->message, word);
}

static void
test_linux_faults (Fixture *f, gconstpointer data)
{
  g_autofree char *long_line = g_strnfill (3000, 'x');

  make_bzimage (f, 65536);
  g_byte_array_set_size (f->file, f->file->len - 100);
  expect_refused (f, VMM_ERROR_INVALID, "truncated");
  g_byte_array_set_size (f->file, 1024);
  expect_refused (f, VMM_ERROR_INVALID, "truncated");
  g_byte_array_set_size (f->file, 600);
  expect_refused (f, VMM_ERROR_INVALID, "cannot be started directly");
  make_bzimage (f, 65536);
  put (f, 0x1f4, 0x0fffffff, 4);
  expect_refused (f, VMM_ERROR_INVALID, "truncated");
  make_bzimage (f, 65536);
  put (f, 0x206, 0x0206, 2);
  expect_refused (f, VMM_ERROR_NOT_SUPPORTED, "too old");
  make_bzimage (f, 65536);
  put (f, 0x236, 0, 2);
  expect_refused (f, VMM_ERROR_NOT_SUPPORTED, "32-bit");
  make_bzimage (f, 65536);
  put (f, 0x211, 0, 1);
  expect_refused (f, VMM_ERROR_NOT_SUPPORTED, "zImage");
  make_bzimage (f, 65536);
  put (f, 0x201, 0xff, 1);
  expect_refused (f, VMM_ERROR_INVALID, "damaged");
  put (f, 0x201, 0x10, 1);
  expect_refused (f, VMM_ERROR_INVALID, "damaged");
  make_bzimage (f, 65536);
  put (f, 0x230, 0x300000, 4);
  expect_refused (f, VMM_ERROR_INVALID, "damaged");
  make_bzimage (f, 65536);
  put (f, 0x260, 0xffffffff, 4);
  put (f, 0x258, 0xffffffffffff0000, 8);
  g_assert_true (open_image (f, NULL, NULL));
  g_assert_false (load_image (f, RAM_SIZE));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NO_MEMORY);
  make_bzimage (f, 65536);
  g_assert_false (open_image (f, NULL, long_line));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_INVALID);
}

/* The file shrinks between two starts: an error, not a hang or a half-loaded kernel. */
static void
test_shrunk (Fixture *f, gconstpointer data)
{
  make_bzimage (f, 65536);
  g_assert_true (open_image (f, NULL, NULL));
  g_assert_cmpint (ftruncate (f->fd, 4096), ==, 0);
  g_assert_false (load_image (f, RAM_SIZE));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (f->error->message, "shorter"));
}

static void
test_files (Fixture *f, gconstpointer data)
{
  VmmBootFiles files = { .kernel = "/nonexistent/vmlinuz" };

  g_assert_null (vmm_boot_image_new (&files, &f->error));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_clear_error (&f->error);
  files.kernel = "/";
  g_assert_null (vmm_boot_image_new (&files, &f->error));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&f->error);
  files.kernel = "/dev/zero";
  g_assert_null (vmm_boot_image_new (&files, &f->error));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&f->error);
  make_bzimage (f, 65536);
  g_assert_false (open_image (f, "/nonexistent/initrd", NULL));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (f->error->message, "/nonexistent/initrd"));
  g_byte_array_set_size (f->file, 0);
  g_assert_false (open_image (f, NULL, NULL));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_INVALID);
}

/* ELF with one segment of 64 bytes (0x5a), 4096 in memory, at 2 MiB; and a note. */
static void
make_elf (Fixture *f, gboolean is_64, gboolean with_note)
{
  gsize ph = is_64 ? 64 : 52, size = is_64 ? 56 : 32;

  g_byte_array_set_size (f->file, 0);
  put (f, 4095, 0, 1);
  memcpy (f->file->data, ELFMAG, 4);
  f->file->data[4] = is_64 ? ELFCLASS64 : ELFCLASS32;
  f->file->data[5] = ELFDATA2LSB;
  f->file->data[6] = 1;
  put (f, 16, ET_EXEC, 2);
  put (f, 18, is_64 ? EM_X86_64 : EM_386, 2);
  put (f, 24, 0x200004, is_64 ? 8 : 4);
  put (f, is_64 ? 32 : 28, ph, is_64 ? 8 : 4);
  put (f, is_64 ? 54 : 42, size, 2);
  put (f, is_64 ? 56 : 44, with_note ? 2 : 1, 2);
  put (f, ph, PT_LOAD, 4);
  put (f, ph + (is_64 ? 8 : 4), 1024, is_64 ? 8 : 4);
  put (f, ph + (is_64 ? 24 : 12), 0x200000, is_64 ? 8 : 4);
  put (f, ph + (is_64 ? 32 : 16), 64, is_64 ? 8 : 4);
  put (f, ph + (is_64 ? 40 : 20), 4096, is_64 ? 8 : 4);
  memset (f->file->data + 1024, 0x5a, 64);
  if (!with_note)
    return;
  put (f, ph + size, PT_NOTE, 4);
  put (f, ph + size + (is_64 ? 8 : 4), 2048, is_64 ? 8 : 4);
  put (f, ph + size + (is_64 ? 32 : 16), 40, is_64 ? 8 : 4);
  /* A foreign note first, then Xen's. */
  put (f, 2048, 4, 4);
  put (f, 2052, 3, 4);
  put (f, 2056, 18, 4);
  put (f, 2060, 0x00585858, 4);
  put (f, 2064, 0xffffff, 4);
  put (f, 2068, 4, 4);
  put (f, 2072, 4, 4);
  put (f, 2076, 18, 4);
  put (f, 2080, 0x006e6558, 4);
  put (f, 2084, 0x200010, 4);
}

static void
test_pvh (Fixture *f, gconstpointer data)
{
  char path[64];
  int fd = make_initrd (path, 777, 0x3c);
  guint64 list, map;

  make_elf (f, TRUE, TRUE);
  harness_write_le (f->h, 0x200040, 8, 0x1111111111111111);
  g_assert_true (open_image (f, path, "root=/dev/vda"));
  g_assert_cmpint (vmm_boot_image_get_protocol (f->image), ==, VMM_BOOT_PVH);
  g_assert_true (load_image (f, RAM_SIZE));
  g_assert_cmpint (f->entry.kind, ==, VMM_ENTRY_PVH);
  g_assert_cmphex (f->entry.rip, ==, 0x200010);
  g_assert_cmpuint (byte_at (f, 0x20003f), ==, 0x5a);
  g_assert_cmpuint (harness_read_le (f->h, 0x200040, 8), ==, 0);
  g_assert_cmphex (harness_read_le (f->h, f->entry.info, 4), ==, 0x336ec578);
  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 4, 4), ==, 1);
  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 12, 4), ==, 1);
  list = harness_read_le (f->h, f->entry.info + 16, 8);
  g_assert_cmpuint (byte_at (f, harness_read_le (f->h, list, 8) + 776), ==, 0x3c);
  g_assert_cmpuint (harness_read_le (f->h, list + 8, 8), ==, 777);
  g_assert_cmphex (harness_read_le (f->h, f->entry.info + 32, 8), ==, 0xf0000);
  map = harness_read_le (f->h, f->entry.info + 40, 8);
  g_assert_cmphex (harness_read_le (f->h, map + 8, 8), ==, 0x9fc00);
  g_assert_cmpuint (harness_read_le (f->h, map + 16, 4), ==, 1);
  close (fd);
}

static void
test_elf_faults (Fixture *f, gconstpointer data)
{
  make_elf (f, TRUE, FALSE);
  expect_refused (f, VMM_ERROR_NOT_SUPPORTED, "PVH");
  make_elf (f, TRUE, TRUE);
  put (f, 18, EM_AARCH64, 2);
  expect_refused (f, VMM_ERROR_INVALID, "processor");
  make_elf (f, TRUE, TRUE);
  put (f, 56, 0xffff, 2);
  expect_refused (f, VMM_ERROR_INVALID, "program headers");
  make_elf (f, TRUE, TRUE);
  put (f, 56, 0, 2);
  expect_refused (f, VMM_ERROR_INVALID, "program headers");
  make_elf (f, TRUE, TRUE);
  put (f, 32, 0xffffffffffffffc0, 8);
  expect_refused (f, VMM_ERROR_INVALID, "program headers");
  make_elf (f, TRUE, TRUE);
  put (f, 64 + 8, 0xfffffffffffffff0, 8); /* offset */
  expect_refused (f, VMM_ERROR_INVALID, "past the end");
  make_elf (f, TRUE, TRUE);
  put (f, 64 + 32, 0xfffffffffffffc10, 8); /* file size: offset + size wraps */
  put (f, 64 + 40, 0xffffffffffffffff, 8);
  expect_refused (f, VMM_ERROR_INVALID, "past the end");
  make_elf (f, TRUE, TRUE);
  put (f, 64 + 40, 32, 8); /* memory smaller than file */
  expect_refused (f, VMM_ERROR_INVALID, "past the end");
  make_elf (f, TRUE, TRUE);
  put (f, 64 + 40, 0xffffffffffffffff, 8); /* memory size wraps */
  expect_refused (f, VMM_ERROR_INVALID, "4 GiB");
  make_elf (f, TRUE, TRUE);
  put (f, 64 + 24, 0x1000000000, 8);
  expect_refused (f, VMM_ERROR_INVALID, "4 GiB");
  make_elf (f, TRUE, TRUE);
  put (f, 64 + 56 + 32, 0xffffffffffff, 8); /* note */
  expect_refused (f, VMM_ERROR_INVALID, "notes");
  make_elf (f, TRUE, TRUE);
  put (f, 2052, 0xffffffff, 4); /* a note's own size: no entry is found */
  expect_refused (f, VMM_ERROR_NOT_SUPPORTED, "PVH");
  make_elf (f, TRUE, TRUE);
  put (f, 64, PT_NULL, 4);
  expect_refused (f, VMM_ERROR_INVALID, "nothing to load");
  /* Well formed, but where there is no RAM, or where the boot data goes. */
  make_elf (f, TRUE, TRUE);
  put (f, 64 + 24, 0xf0000000, 8);
  g_assert_true (open_image (f, NULL, NULL));
  g_assert_false (load_image (f, RAM_SIZE));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NO_MEMORY);
  put (f, 64 + 24, 0x90000, 8);
  g_assert_true (open_image (f, NULL, NULL));
  g_assert_false (load_image (f, RAM_SIZE));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_INVALID);
}

static void
put_multiboot (Fixture *f, gsize at, guint32 flags)
{
  put (f, at, 0x1badb002, 4);
  put (f, at + 4, flags, 4);
  put (f, at + 8, -(0x1badb002u + flags), 4);
}

static void
test_multiboot_elf (Fixture *f, gconstpointer data)
{
  char first[64], second[64], text[128] = { 0 };
  int fd1 = make_initrd (first, 100, 1), fd2 = make_initrd (second, 5000, 2);
  g_autofree char *list = g_strdup_printf ("%s one two,%s", first, second);
  guint64 mods, map, length;

  make_elf (f, FALSE, FALSE);
  put_multiboot (f, 512, 3);
  g_assert_true (open_image (f, list, "selftest smp=2"));
  g_assert_cmpint (vmm_boot_image_get_protocol (f->image), ==, VMM_BOOT_MULTIBOOT);
  g_assert_true (load_image (f, RAM_SIZE));
  g_assert_no_error (f->error);
  g_assert_cmpint (f->entry.kind, ==, VMM_ENTRY_MULTIBOOT);
  g_assert_cmphex (f->entry.rip, ==, 0x200004);
  g_assert_cmpuint (byte_at (f, 0x200000), ==, 0x5a);
  g_assert_cmphex (harness_read_le (f->h, f->entry.info, 4), ==, 0x24f);
  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 4, 4), ==, 639);
  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 8, 4), >, 60 * 1024);
  harness_read (f->h, harness_read_le (f->h, f->entry.info + 16, 4), text, sizeof text - 1);
  g_assert_true (g_str_has_suffix (text, " selftest smp=2"));
  g_assert_true (g_str_has_prefix (text, f->path));

  g_assert_cmpuint (harness_read_le (f->h, f->entry.info + 20, 4), ==, 2);
  mods = harness_read_le (f->h, f->entry.info + 24, 4);
  g_assert_cmpuint (byte_at (f, harness_read_le (f->h, mods, 4)), ==, 1);
  g_assert_cmpuint (harness_read_le (f->h, mods + 4, 4) - harness_read_le (f->h, mods, 4), ==, 100);
  g_assert_cmpuint (byte_at (f, harness_read_le (f->h, mods + 16, 4) + 4999), ==, 2);
  g_assert_cmpuint (harness_read_le (f->h, mods + 16, 4) % 4096, ==, 0);
  harness_read (f->h, harness_read_le (f->h, mods + 8, 4), text, sizeof text - 1);
  g_assert_true (g_str_has_suffix (text, " one two"));

  length = harness_read_le (f->h, f->entry.info + 44, 4);
  map = harness_read_le (f->h, f->entry.info + 48, 4);
  for (guint64 i = 0; i < length; i += harness_read_le (f->h, map + i, 4) + 4)
    g_assert_cmpuint (harness_read_le (f->h, map + i, 4), ==, 20);
  close (fd1);
  close (fd2);
}

/* The header's own addresses: text at 1 MiB, header 0x40 into it, some bss. */
static void
make_aout (Fixture *f)
{
  g_byte_array_set_size (f->file, 0);
  put (f, 4095, 0x77, 1);
  put_multiboot (f, 0x40, 1 << 16);
  put (f, 0x40 + 12, 0x100040, 4);
  put (f, 0x40 + 16, 0x100000, 4);
  put (f, 0x40 + 20, 0, 4);
  put (f, 0x40 + 24, 0x102000, 4);
  put (f, 0x40 + 28, 0x100100, 4);
}

static void
test_multiboot_addresses (Fixture *f, gconstpointer data)
{
  make_aout (f);
  harness_write_le (f->h, 0x101000, 8, 0x2222222222222222);
  g_assert_true (open_image (f, NULL, NULL));
  g_assert_true (load_image (f, RAM_SIZE));
  g_assert_cmphex (f->entry.rip, ==, 0x100100);
  g_assert_cmphex (harness_read_le (f->h, 0x100040, 4), ==, 0x1badb002);
  g_assert_cmphex (byte_at (f, 0x100fff), ==, 0x77);
  g_assert_cmphex (harness_read_le (f->h, 0x101000, 8), ==, 0);

  put (f, 0x40 + 12, 0x0fffff, 4); /* header before the load address */
  expect_refused (f, VMM_ERROR_INVALID, "load address");
  make_aout (f);
  put (f, 0x40 + 16, 0xfff00, 4); /* would start before the file */
  expect_refused (f, VMM_ERROR_INVALID, "load address");
  make_aout (f);
  put (f, 0x40 + 20, 0x200000, 4);
  expect_refused (f, VMM_ERROR_INVALID, "truncated");
  make_aout (f);
  put (f, 0x40 + 20, 0x80000, 4);
  expect_refused (f, VMM_ERROR_INVALID, "truncated");
  make_aout (f);
  put (f, 0x40 + 24, 0x100800, 4);
  expect_refused (f, VMM_ERROR_INVALID, "bss");
  make_aout (f);
  put (f, 0x40 + 24, 0x80000, 4);
  expect_refused (f, VMM_ERROR_INVALID, "bss");
  make_aout (f);
  put_multiboot (f, 0x40, 1 << 16 | 1 << 5);
  expect_refused (f, VMM_ERROR_NOT_SUPPORTED, "features");
  make_aout (f);
  g_byte_array_set_size (f->file, 0x4e);
  put_multiboot (f, 0x40, 1 << 16);
  g_byte_array_set_size (f->file, 0x50);
  expect_refused (f, VMM_ERROR_INVALID, "truncated");
  make_aout (f);
  put (f, 0x48, 0, 4); /* checksum: no multiboot at all */
  expect_refused (f, VMM_ERROR_INVALID, "cannot be started directly");
  make_aout (f);
  g_assert_false (open_image (f, "/nonexistent/module", NULL));
  g_assert_error (f->error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
}

/* Damaged copies of every kind: refused or loaded inside RAM, never a crash. */
static void
test_storm (Fixture *f, gconstpointer data)
{
  for (guint kind = 0; kind < 4; kind++)
    for (guint round = 0; round < 1500; round++)
      {
        gsize limit;

        if (kind == 0)
          make_bzimage (f, 8192);
        else if (kind == 3)
          make_aout (f);
        else
          make_elf (f, kind == 1, TRUE);
        if (kind == 2)
          put_multiboot (f, 512, 3);
        limit = kind == 0 ? 0x290 : 2100;
        for (guint i = 0; i < 3; i++)
          f->file->data[g_test_rand_int_range (0, (gint32)limit)] =
              (guint8)g_test_rand_int_range (0, 256);
        if (round % 8 == 0)
          g_byte_array_set_size (f->file, (guint)g_test_rand_int_range (1, (gint32)f->file->len));
        if (open_image (f, NULL, "x"))
          (void)load_image (f, round % 2 == 0 ? RAM_SIZE : 3 * MIB);
      }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/boot/image/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("linux", test_linux);
  ADD ("linux-small-ram", test_linux_small_ram);
  ADD ("linux-faults", test_linux_faults);
  ADD ("shrunk", test_shrunk);
  ADD ("files", test_files);
  ADD ("pvh", test_pvh);
  ADD ("elf-faults", test_elf_faults);
  ADD ("multiboot-elf", test_multiboot_elf);
  ADD ("multiboot-addresses", test_multiboot_addresses);
  ADD ("storm", test_storm);
  return g_test_run ();
}
