/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Images of other programs: made by qemu-img, read by us, byte for byte; damaged in every way, they are
 * refused or read without harm. */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/image.h"

#define MIB (1024 * 1024)

typedef struct
{
  char *folder, *raw, *image;
  char *qemu_img;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("alcove-foreign-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->raw = g_build_filename (f->folder, "disk.raw", NULL);
  f->image = g_build_filename (f->folder, "disk.image", NULL);
  f->qemu_img = g_find_program_in_path ("qemu-img");
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_autoptr (GDir) dir = g_dir_open (f->folder, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (f->folder, name, NULL);

      g_assert_cmpint (g_unlink (path), ==, 0);
    }
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_free (f->folder);
  g_free (f->raw);
  g_free (f->image);
  g_free (f->qemu_img);
}

/* A raw disk with stretches of noise, of text that packs well, and of nothing. */
static void
make_raw (Fixture *f, guint64 size, gboolean both_ends)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (11);
  g_autofree guint8 *buffer = g_malloc (300000);
  int fd = open (f->raw, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

  g_assert_cmpint (ftruncate (fd, (off_t)size), ==, 0);
  for (guint i = 0; i < 24; i++)
    {
      guint32 length = (guint32)g_rand_int_range (rand, 1, 300000);
      guint64 span = MIN (size, 6 * MIB) - length;
      guint64 at = (guint64)(g_rand_double (rand) * (double)span);

      if (both_ends && i % 2 == 1)
        at += size - MIN (size, 6 * MIB);
      for (guint32 k = 0; k < length; k++)
        buffer[k] = i % 3 == 0 ? (guint8)("alcove"[k % 6]) : (guint8)g_rand_int (rand);
      g_assert_cmpint (pwrite (fd, buffer, length, (off_t)at), ==, length);
    }
  g_assert_cmpint (pwrite (fd, "end", 3, (off_t)size - 3), ==, 3);
  close (fd);
}

static void
run_qemu_img (Fixture *f, const char *format, const char *options)
{
  const char *argv[] = { f->qemu_img, "convert", "-f", "raw",   "-O", format,
                         f->raw,      f->image,  "-o", options, NULL };
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  int status;

  if (options == NULL)
    argv[8] = NULL;
  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &text,
                               &status, &error));
  g_assert_no_error (error);
  if (!g_spawn_check_wait_status (status, NULL))
    g_error ("qemu-img: %s", text);
}

static BlockImage *
open_image (Fixture *f, BlockFormat format, GError **error)
{
  const BlockImageFlags flags = { .readonly = TRUE };

  return block_image_open (f->image, format, &flags, error);
}

/* Every byte of [offset, offset + length) in odd pieces; and what map calls nothing is nothing. */
static void
compare (Fixture *f, BlockImage *image, guint64 offset, guint64 length)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (5);
  g_autofree guint8 *a = g_malloc (700000), *b = g_malloc (700000);
  int fd = open (f->raw, O_RDONLY | O_CLOEXEC);
  guint64 end = offset + length, at = offset;

  while (at < end)
    {
      gsize n = (gsize)MIN ((guint64)g_rand_int_range (rand, 1, 700000), end - at);

      g_assert_cmpint (block_image_read (image, at, a, n), ==, 0);
      g_assert_cmpint (pread (fd, b, n, (off_t)at), ==, (gssize)n);
      g_assert_cmpint (memcmp (a, b, n), ==, 0);
      at += n;
    }
  for (at = offset; at < end;)
    {
      BlockExtent extent;

      g_assert_cmpint (block_image_map (image, at, end - at, &extent), ==, 0);
      g_assert_cmpuint (extent.offset, ==, at);
      g_assert_cmpuint (extent.length, >, 0);
      g_assert_cmpuint (extent.length, <=, end - at);
      if (extent.kind == BLOCK_EXTENT_ZERO || extent.kind == BLOCK_EXTENT_UNALLOCATED)
        for (guint64 done = 0; done < extent.length; done += 700000)
          {
            gsize n = (gsize)MIN (700000, extent.length - done);

            g_assert_cmpint (pread (fd, b, n, (off_t)(at + done)), ==, (gssize)n);
            for (gsize k = 0; k < n; k++)
              g_assert_cmpuint (b[k], ==, 0);
          }
      at += extent.length;
    }
  close (fd);
}

typedef struct
{
  const char *name;
  BlockFormat format;
  const char *qemu_format, *options;
  guint64 size;
} Case;

#define ODD   (9 * MIB + 7 * 512)
#define LARGE (2048ULL * MIB + 5 * MIB + 512)
static const Case cases[] = {
  { "vmdk/sparse", BLOCK_FORMAT_VMDK, "vmdk", "subformat=monolithicSparse", ODD },
  { "vmdk/zeroed-grain", BLOCK_FORMAT_VMDK, "vmdk", "subformat=monolithicSparse,zeroed_grain=on",
    ODD },
  { "vmdk/flat", BLOCK_FORMAT_VMDK, "vmdk", "subformat=monolithicFlat", ODD },
  { "vmdk/split-sparse", BLOCK_FORMAT_VMDK, "vmdk", "subformat=twoGbMaxExtentSparse", LARGE },
  { "vmdk/split-flat", BLOCK_FORMAT_VMDK, "vmdk", "subformat=twoGbMaxExtentFlat", LARGE },
  { "vmdk/stream", BLOCK_FORMAT_VMDK, "vmdk", "subformat=streamOptimized", ODD },
  { "vhd/dynamic", BLOCK_FORMAT_VHD, "vpc", "subformat=dynamic,force_size=on", ODD },
  { "vhd/fixed", BLOCK_FORMAT_VHD, "vpc", "subformat=fixed,force_size=on", ODD },
  { "vhdx/dynamic", BLOCK_FORMAT_VHDX, "vhdx", "subformat=dynamic,block_size=1M", ODD },
  { "vhdx/dynamic-large", BLOCK_FORMAT_VHDX, "vhdx", "subformat=dynamic", LARGE },
  { "vhdx/fixed", BLOCK_FORMAT_VHDX, "vhdx", "subformat=fixed", ODD },
  { "vdi/dynamic", BLOCK_FORMAT_VDI, "vdi", NULL, ODD },
  { "vdi/static", BLOCK_FORMAT_VDI, "vdi", "static=on", ODD },
};

static void
test_contents (Fixture *f, gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GError) error = NULL;
  BlockImage *image;
  BlockImageInfo info;
  guint8 byte = 0;

  if (f->qemu_img == NULL)
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  make_raw (f, c->size, TRUE);
  run_qemu_img (f, c->qemu_format, c->options);
  image = open_image (f, c->format, &error);
  g_assert_no_error (error);
  image->ops->get_info (image, &info);
  g_assert_cmpuint (info.size, ==, c->size);
  g_assert_cmpint (info.format, ==, c->format);
  g_assert_true (info.readonly);
  g_assert_cmpint (block_format_guess (image->file), ==, c->format);
  compare (f, image, 0, MIN (c->size, 7 * MIB));
  if (c->size > 7 * MIB)
    compare (f, image, c->size - 7 * MIB, 7 * MIB);
  g_assert_cmpint (block_image_read (image, c->size, &byte, 1), <, 0);
  g_assert_cmpint (block_image_write (image, 0, &byte, 1), <, 0);
  g_assert_cmpint (block_image_write_zeroes (image, 0, 512, TRUE), <, 0);
  block_image_close (image);
}

static BlockImage *
open_bytes (BlockFormat format, const guint8 *bytes, gsize length, GError **error)
{
  static BlockImage *(*const openers[]) (BlockFile *, const BlockImageFlags *, GError **) = {
    [BLOCK_FORMAT_VMDK] = block_image_open_vmdk,
    [BLOCK_FORMAT_VHD] = block_image_open_vhd,
    [BLOCK_FORMAT_VHDX] = block_image_open_vhdx,
    [BLOCK_FORMAT_VDI] = block_image_open_vdi,
  };
  const BlockImageFlags flags = { .readonly = TRUE };
  BlockFile *file = block_file_new_memory ("hostile", length);

  g_assert_cmpint (block_file_write (file, 0, bytes, length), ==, 0);
  return openers[format](file, &flags, error);
}

/* Refused with a message, or every byte of the start and the end can be asked for. */
static gboolean
use_bytes (BlockFormat format, const guint8 *bytes, gsize length)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *buffer = g_malloc (65536);
  BlockImage *image = open_bytes (format, bytes, length, &error);
  guint64 size;

  if (image == NULL)
    {
      g_assert_nonnull (error);
      return FALSE;
    }
  g_assert_no_error (error);
  size = block_image_get_size (image);
  for (guint64 at = 0; at < MIN (size, 2 * MIB); at += 65536)
    {
      BlockExtent extent;

      (void)block_image_read (image, at, buffer, (gsize)MIN (65536, size - at));
      (void)block_image_map (image, at, size - at, &extent);
    }
  (void)block_image_read (image, size - MIN (size, 65536), buffer, (gsize)MIN (size, 65536));
  block_image_close (image);
  return TRUE;
}

static void
test_damaged (Fixture *f, gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (3);
  g_autofree guint8 *bytes = NULL;
  gsize length, head;
  guint refused = 0;

  if (f->qemu_img == NULL)
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  make_raw (f, 3 * MIB + 512, FALSE);
  run_qemu_img (f, c->qemu_format, c->options);
  g_assert_true (g_file_get_contents (f->image, (char **)&bytes, &length, NULL));
  /* What is not data: the first 64 KiB hold all tables but VHDX's. */
  head = MIN (length, c->format == BLOCK_FORMAT_VHDX ? 5 * MIB : 8192);
  g_assert_true (use_bytes (c->format, bytes, length));
  for (guint i = 0; i < 60; i++)
    refused += !use_bytes (c->format, bytes, (gsize)((double)length * i / 60));
  g_assert_cmpuint (refused, >, 0);
  for (guint i = 0; i < 100; i++)
    {
      guint32 at =
          (guint32)g_rand_int_range (rand, 0, (gint32)(i % 2 == 0 ? MIN (head, 512) : head));
      guint32 n = (guint32)g_rand_int_range (rand, 1, 9);
      guint8 saved[8];

      if (c->format == BLOCK_FORMAT_VHD && i % 4 == 0) /* a fixed one has its footer at the end */
        at = (guint32)length - 512 + at % 500;
      n = MIN (n, (guint32)(length - at));
      memcpy (saved, bytes + at, n);
      for (guint k = 0; k < n; k++)
        bytes[at + k] = i % 3 == 0 ? 0xff : i % 3 == 1 ? 0 : (guint8)g_rand_int (rand);
      (void)use_bytes (c->format, bytes, length);
      memcpy (bytes + at, saved, n);
    }
}

static void
expect_refused (Fixture *f, BlockFormat format, VmmErrorCode code, const char *word)
{
  g_autoptr (GError) error = NULL;
  BlockImage *image = open_image (f, format, &error);

  g_assert_null (image);
  g_assert_error (error, VMM_ERROR, (int)code);
  if (strstr (error->message, word) == NULL)
    g_error ("\"%s\" is not in: %s", word, error->message);
}

static void
write_text (const char *path, const char *text)
{
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
test_vmdk_descriptors (Fixture *f, gconstpointer data)
{
  g_autofree char *flat = g_build_filename (f->folder, "flat.vmdk", NULL);
  g_autofree char *link = g_build_filename (f->folder, "link.vmdk", NULL);
  g_autofree char *data_of_flat = g_strnfill (4096, 'x');
  g_autoptr (GError) error = NULL;
  BlockImage *image;
  char buffer[4];

  g_assert_true (g_file_set_contents (flat, data_of_flat, 4096, NULL));
  write_text (f->image, "# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\n"
                        "createType=\"vmfs\"\n\nRW 4 VMFS \"flat.vmdk\"\nRW 8 ZERO\n"
                        "RW 2 FLAT \"flat.vmdk\" 6\n");
  image = open_image (f, BLOCK_FORMAT_VMDK, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (block_image_get_size (image), ==, 14 * 512);
  g_assert_cmpint (block_image_read (image, 4 * 512 - 2, buffer, 4), ==, 0);
  g_assert_cmpint (memcmp (buffer, "xx\0\0", 4), ==, 0);
  g_assert_cmpint (block_image_read (image, 12 * 512 - 1, buffer, 2), ==, 0);
  g_assert_cmpint (memcmp (buffer, "\0x", 2), ==, 0);
  block_image_close (image);

#define HEAD "# Disk DescriptorFile\nparentCID=ffffffff\n"
  write_text (f->image, HEAD "RW 4 FLAT \"/etc/passwd\" 0\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "own folder");
  write_text (f->image, HEAD "RW 4 FLAT \"../flat.vmdk\" 0\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "own folder");
  g_assert_cmpint (symlink ("/etc/passwd", link), ==, 0);
  write_text (f->image, HEAD "RW 1 FLAT \"link.vmdk\" 0\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "regular file");
  write_text (f->image, HEAD "RW 9 FLAT \"flat.vmdk\" 0\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "cut short");
  write_text (f->image, HEAD "RW 4 FLAT \"flat.vmdk\" 5\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "cut short");
  write_text (f->image, HEAD "RW 99999999999999999999 FLAT \"flat.vmdk\" 0\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "makes no sense");
  write_text (f->image, HEAD "RW 4 SPARSE \"flat.vmdk\"\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "header is missing");
  write_text (f->image, HEAD "RW 4 VMFSSPARSE \"flat.vmdk\"\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_NOT_SUPPORTED, "VMFSSPARSE");
  write_text (f->image, HEAD "RW 4 FLAT \"missing.vmdk\" 0\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_NOT_FOUND, "missing.vmdk");
  write_text (f->image, HEAD);
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_INVALID, "no extent");
  write_text (f->image, "# Disk DescriptorFile\nparentCID=12345678\nRW 4 FLAT \"flat.vmdk\" 0\n");
  expect_refused (f, BLOCK_FORMAT_VMDK, VMM_ERROR_NOT_SUPPORTED, "snapshot");
#undef HEAD
}

/* As [MS-VHDX] asks; a second implementation, so that a common mistake shows. */
static guint32
crc32c (const guint8 *data, gsize length, gsize skip)
{
  guint32 table[256], crc = 0xffffffffu;

  for (guint32 i = 0; i < 256; i++)
    {
      table[i] = i;
      for (guint k = 0; k < 8; k++)
        table[i] = (table[i] & 1) != 0 ? table[i] >> 1 ^ 0x82f63b78u : table[i] >> 1;
    }
  for (gsize i = 0; i < length; i++)
    crc = table[(crc ^ (i >= skip && i < skip + 4 ? 0 : data[i])) & 0xff] ^ crc >> 8;
  return crc ^ 0xffffffffu;
}

static void
put (guint8 *at, guint64 value, guint bytes)
{
  for (guint i = 0; i < bytes; i++)
    at[i] = (guint8)(value >> 8 * i);
}

static guint64
take (const guint8 *at, guint bytes)
{
  guint64 value = 0;

  for (guint i = bytes; i-- > 0;)
    value = value << 8 | at[i];
  return value;
}

/* Takes the sector at file offset out of the image and puts it into the log, as an image has it whose
 * program died. */
static void
move_to_log (guint8 *bytes, guint64 place)
{
  guint8 *newest =
      take (bytes + 65536 + 8, 8) > take (bytes + 131072 + 8, 8) ? bytes + 65536 : bytes + 131072;
  guint64 log = take (newest + 72, 8);
  guint8 *entry = bytes + log + 8192; /* not at the ring's start */

  memset (newest + 48, 0x5a, 16);
  put (newest + 4, crc32c (newest, 4096, 4), 4);
  memset (bytes + log, 0, take (newest + 68, 4));
  memcpy (entry, "loge", 4);
  put (entry + 8, 8192, 4);
  put (entry + 12, 8192, 4); /* tail: itself */
  put (entry + 16, 7, 8);
  put (entry + 24, 1, 4);
  memset (entry + 32, 0x5a, 16);
  put (entry + 48, place + 4096, 8);
  put (entry + 56, place + 4096, 8);
  memcpy (entry + 64, "desc", 4);
  memcpy (entry + 68, bytes + place + 4092, 4);
  memcpy (entry + 72, bytes + place, 8);
  put (entry + 80, place, 8);
  put (entry + 88, 7, 8);
  memcpy (entry + 4096, bytes + place, 4096);
  memcpy (entry + 4096, "data\0\0\0\0", 8);
  put (entry + 8188, 7, 4);
  put (entry + 4, crc32c (entry, 8192, 4), 4);
  memset (bytes + place, 0xee, 4096);
}

static void
test_vhdx_log (Fixture *f, gconstpointer data)
{
  static const guint8 bat_guid[16] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                       0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08 };
  g_autofree guint8 *bytes = NULL;
  g_autoptr (GError) error = NULL;
  BlockImage *image;
  BlockImageInfo info;
  guint64 bat = 0;
  gsize length;

  if (f->qemu_img == NULL)
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  make_raw (f, ODD, FALSE);
  run_qemu_img (f, "vhdx", "block_size=1M");
  g_assert_true (g_file_get_contents (f->image, (char **)&bytes, &length, NULL));
  for (guint i = 0; i < 2; i++)
    if (memcmp (bytes + 192 * 1024 + 16 + 32 * i, bat_guid, 16) == 0)
      bat = take (bytes + 192 * 1024 + 16 + 32 * i + 16, 8);
  g_assert_cmpuint (bat, >, 0);
  move_to_log (bytes, bat);
  g_assert_true (g_file_set_contents (f->image, (char *)bytes, (gssize)length, NULL));
  image = open_image (f, BLOCK_FORMAT_VHDX, &error);
  g_assert_no_error (error);
  image->ops->get_info (image, &info);
  g_assert_true (info.dirty);
  compare (f, image, 0, ODD);
  block_image_close (image);

  /* Every byte of the log's start: read through it or refused, never wrong tables used. */
  for (guint i = 0; i < 200; i++)
    {
      guint64 at = 1 * MIB + 8192 + (guint64)i * 40;

      bytes[at] ^= 0xff;
      image = open_bytes (BLOCK_FORMAT_VHDX, bytes, length, &error);
      g_assert_null (image);
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, "log"));
      g_clear_error (&error);
      bytes[at] ^= 0xff;
    }
}

static void
test_parents (Fixture *f, gconstpointer data)
{
  g_autofree guint8 *bytes = NULL;
  guint32 sum = 0;
  gsize length;

  if (f->qemu_img == NULL)
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  make_raw (f, 3 * MIB, FALSE);
  run_qemu_img (f, "vpc", "subformat=dynamic,force_size=on");
  g_assert_true (g_file_get_contents (f->image, (char **)&bytes, &length, NULL));
  for (guint copy = 0; copy < 2; copy++)
    {
      guint8 *footer = copy == 0 ? bytes : bytes + length - 512;

      footer[63] = 4; /* differencing */
      memset (footer + 64, 0, 4);
      sum = 0;
      for (guint i = 0; i < 512; i++)
        sum += footer[i];
      for (guint i = 0; i < 4; i++)
        footer[64 + i] = (guint8)(~sum >> (24 - 8 * i));
    }
  g_assert_true (g_file_set_contents (f->image, (char *)bytes, (gssize)length, NULL));
  expect_refused (f, BLOCK_FORMAT_VHD, VMM_ERROR_NOT_SUPPORTED, "differencing");
  g_clear_pointer (&bytes, g_free);
  g_unlink (f->image);

  run_qemu_img (f, "vdi", NULL);
  g_assert_true (g_file_get_contents (f->image, (char **)&bytes, &length, NULL));
  bytes[440] = 1;
  g_assert_true (g_file_set_contents (f->image, (char *)bytes, (gssize)length, NULL));
  expect_refused (f, BLOCK_FORMAT_VDI, VMM_ERROR_NOT_SUPPORTED, "differencing");
}

/* A VHD whose end is damaged is read by the copy of its footer at the start. */
static void
test_vhd_footer_copy (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  BlockImage *image;
  GStatBuf st;
  int fd;

  if (f->qemu_img == NULL)
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  make_raw (f, ODD, FALSE);
  run_qemu_img (f, "vpc", "subformat=dynamic,force_size=on");
  g_assert_cmpint (g_stat (f->image, &st), ==, 0);
  fd = open (f->image, O_WRONLY | O_CLOEXEC);
  g_assert_cmpint (pwrite (fd, "gone", 4, st.st_size - 512), ==, 4);
  close (fd);
  image = open_image (f, BLOCK_FORMAT_VHD, &error);
  g_assert_no_error (error);
  compare (f, image, 0, ODD);
  block_image_close (image);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strconcat ("/foreign/contents/", cases[i].name, NULL);
      g_autofree char *damaged = g_strconcat ("/foreign/damaged/", cases[i].name, NULL);

      g_test_add (path, Fixture, &cases[i], set_up, test_contents, tear_down);
      /* One file, so that it can lie in memory. */
      if (cases[i].size == ODD && strstr (cases[i].name, "flat") == NULL)
        g_test_add (damaged, Fixture, &cases[i], set_up, test_damaged, tear_down);
    }
  g_test_add ("/foreign/vmdk/descriptors", Fixture, NULL, set_up, test_vmdk_descriptors, tear_down);
  g_test_add ("/foreign/vhdx/log", Fixture, NULL, set_up, test_vhdx_log, tear_down);
  g_test_add ("/foreign/parents", Fixture, NULL, set_up, test_parents, tear_down);
  g_test_add ("/foreign/vhd/footer-copy", Fixture, NULL, set_up, test_vhd_footer_copy, tear_down);
  return g_test_run ();
}
