/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Block files (host, O_DIRECT, memory) against the same shadow; raw images, chains, new images. */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/backends/block/image.h"

#define SPAN (600u * 1024u)

typedef struct
{
  char *folder, *path, *other;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("alcove-file-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->path = g_build_filename (f->folder, "disk", NULL);
  f->other = g_build_filename (f->folder, "other", NULL);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_unlink (f->path);
  g_unlink (f->other);
  g_rmdir (f->folder);
  g_free (f->path);
  g_free (f->other);
  g_free (f->folder);
}

/* Random operations of any alignment; the file and a plain array must agree after each. */
static void
torture (BlockFile *file)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  g_autofree guint8 *shadow = g_malloc0 (SPAN), *buffer = g_malloc (SPAN);
  guint64 size = 0;

  for (guint i = 0; i < 400; i++)
    {
      guint32 offset = g_rand_int_range (rand, 0, SPAN - 1);
      guint32 length =
          g_rand_int_range (rand, 1, MIN (SPAN - offset, i % 7 == 0 ? 300000 : 5000) + 1);
      guint32 cut = g_rand_int_range (rand, 0, length + 1);
      struct iovec iov[2] = { { buffer, cut }, { buffer + cut, length - cut } };
      guint64 mapped;
      gboolean has_data;

      switch (g_rand_int_range (rand, 0, 6))
        {
        case 0:
        case 1:
          memset (buffer, (int)g_rand_int_range (rand, 1, 256), length);
          g_assert_cmpint (file->ops->writev (file, offset, iov, 2), ==, 0);
          memcpy (shadow + offset, buffer, length);
          size = MAX (size, offset + length);
          break;
        case 2:
          g_assert_cmpint (file->ops->zero (file, offset, length,
                                            (BlockFileZeroFlags)g_rand_int_range (rand, 0, 2)),
                           ==, 0);
          memset (shadow + offset, 0, length);
          size = MAX (size, offset + length);
          break;
        case 3:
          if (i % 8 != 0)
            break;
          g_assert_cmpint (file->ops->truncate (file, offset), ==, 0);
          memset (shadow + offset, 0, SPAN - offset);
          size = offset;
          break;
        case 4:
          if (offset >= size)
            break;
          g_assert_cmpint (file->ops->map (file, offset, length, &mapped, &has_data), ==, 0);
          g_assert_cmpuint (mapped, >, 0);
          g_assert_cmpuint (mapped, <=, length);
          for (guint at = 0; !has_data && at < mapped; at++)
            g_assert_cmphex (shadow[offset + at], ==, 0);
          break;
        default:
          memset (buffer, 0xa5, length);
          g_assert_cmpint (file->ops->readv (file, offset, iov, 2), ==, 0);
          g_assert_cmpmem (buffer, length, shadow + offset, length);
          break;
        }
      g_assert_cmpint (file->ops->get_size (file), ==, (gint64)size);
    }
  g_assert_cmpint (file->ops->flush (file), ==, 0);
  g_assert_cmpint (file->ops->get_allocated (file), >=, 0);
  g_assert_cmpint (block_file_read (file, 0, buffer, SPAN), ==, 0);
  g_assert_cmpmem (buffer, SPAN, shadow, SPAN);
  g_assert_cmpint (block_file_write (file, G_MAXINT64 - 1, buffer, 512), <, 0);
  g_assert_cmpint (file->ops->zero (file, G_MAXUINT64 - 5, 512, 0), ==, -EINVAL);
  g_assert_cmpint (file->ops->discard (file, 512, G_MAXUINT64), ==, -EINVAL);
}

static void
test_host (Fixture *f, gconstpointer data)
{
  BlockFileFlags flags = { .create = TRUE, .direct = data != NULL };
  g_autoptr (GError) error = NULL;
  BlockFile *file;

  /* What reads at once when direct does not: alignment is found by reading. */
  if (flags.direct)
    {
      g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
      g_assert_cmpint (truncate (f->path, 8192), ==, 0);
      flags.create = FALSE;
    }
  file = block_file_open (f->path, &flags, &error);
  if (file == NULL && flags.direct)
    {
      g_test_skip (error->message);
      return;
    }
  g_assert_no_error (error);
  if (flags.direct)
    g_assert_cmpint (file->ops->truncate (file, 0), ==, 0);
  torture (file);
  block_file_close (file);
}

static void
test_memory (Fixture *f, gconstpointer data)
{
  BlockFile *file = block_file_new_memory ("memory", 0);
  g_autofree guint8 *piece = g_malloc0 (65536);
  int result = 0;

  torture (file);
  for (guint64 i = 0; result == 0 && i < 20000; i++)
    result = block_file_write (file, (1 + i) << 30, piece, 1);
  g_assert_cmpint (result, ==, -ENOSPC);
  block_file_close (file);
}

static void
assert_refused (const char *path, BlockFileFlags flags, int code, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (block_file_open (path, &flags, &error));
  g_assert_error (error, VMM_ERROR, code);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  BlockFile *file;
  guint8 byte = 1;

  assert_refused (f->path, (BlockFileFlags){ 0 }, VMM_ERROR_NOT_FOUND, "moved");
  assert_refused (f->folder, (BlockFileFlags){ 0 }, VMM_ERROR_FAILED, f->folder);
  assert_refused (f->folder, (BlockFileFlags){ .readonly = TRUE }, VMM_ERROR_INVALID, "neither");
  assert_refused ("/dev/null", (BlockFileFlags){ 0 }, VMM_ERROR_INVALID, "neither");
  g_assert_cmpint (mkfifo (f->other, 0600), ==, 0);
  assert_refused (f->other, (BlockFileFlags){ 0 }, VMM_ERROR_INVALID, "neither");
  g_assert_true (g_file_set_contents (f->path, "abc", 3, NULL));
  assert_refused (f->path, (BlockFileFlags){ .create = TRUE }, VMM_ERROR_BUSY, "exists already");
  file = block_file_open (f->path, &(BlockFileFlags){ .readonly = TRUE }, NULL);
  g_assert_nonnull (file);
  g_assert_cmpint (block_file_write (file, 0, &byte, 1), ==, -EROFS);
  g_assert_cmpint (file->ops->truncate (file, 0), ==, -EROFS);
  g_assert_cmpint (file->ops->zero (file, 0, 1, 0), ==, -EROFS);
  g_assert_cmpint (file->ops->discard (file, 0, 1), ==, -EROFS);
  g_assert_cmpint (file->ops->flush (file), ==, 0);
  block_file_close (file);
}

static void
test_raw_image (Fixture *f, gconstpointer data)
{
  const BlockCreateOptions options = { .size = 1000000 };
  const BlockImageFlags flags = { .discard = TRUE };
  g_autoptr (GError) error = NULL;
  guint8 buffer[1024] = { 0 };
  BlockExtent extent;
  BlockImage *image;

  g_assert_true (block_image_create (f->path, BLOCK_FORMAT_RAW, &options, NULL, &error));
  g_assert_no_error (error);
  g_assert_false (block_image_create (f->path, BLOCK_FORMAT_RAW, &options, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_cmpint (truncate (f->path, 1000000), ==, 0);
  image = block_image_open (f->path, BLOCK_FORMAT_RAW, &flags, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (block_image_get_size (image), ==, 1000448); /* rounded up */
  memset (buffer, 0x11, sizeof buffer);
  g_assert_cmpint (block_image_read (image, 1000448 - 1024, buffer, 1024), ==, 0);
  for (guint i = 0; i < 1024; i++)
    g_assert_cmphex (buffer[i], ==, 0);
  memset (buffer, 0x22, sizeof buffer);
  g_assert_cmpint (block_image_write (image, 1000448 - 512, buffer, 512), ==, 0);
  g_assert_cmpint (block_image_write (image, 1000448 - 512, buffer, 513), ==, -EINVAL);
  g_assert_cmpint (block_image_write (image, G_MAXUINT64 - 100, buffer, 513), ==, -EINVAL);
  g_assert_cmpint (block_image_map (image, 0, G_MAXUINT64, &extent), ==, 0);
  g_assert_cmpint (extent.kind, ==, BLOCK_EXTENT_ZERO);
  g_assert_cmpint (block_image_map (image, extent.length, G_MAXUINT64, &extent), ==, 0);
  g_assert_cmpint (extent.kind, ==, BLOCK_EXTENT_DATA);
  g_assert_cmpint (block_image_write_zeroes (image, 0, 1000448, TRUE), ==, 0);
  g_assert_cmpint (block_image_flush (image), ==, 0);
  g_assert_false (block_image_snapshot_create (image, NULL, "a", 0, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED);
  g_clear_error (&error);
  g_assert_true (image->ops->resize (image, 4096, NULL, &error));
  g_assert_cmpuint (block_image_get_size (image), ==, 4096);
  g_assert_false (image->ops->resize (image, 4097, NULL, &error));
  block_image_close (image);
  g_assert_cmpint (g_unlink (f->path), ==, 0);
}

static gboolean
cancel (guint64 done, guint64 total, gpointer user_data)
{
  return FALSE;
}

static void
test_create (Fixture *f, gconstpointer data)
{
  const BlockProgress progress = { cancel, NULL };
  BlockCreateOptions options = { .size = 1 << 20, .preallocate = BLOCK_PREALLOCATE_FULL };
  g_autoptr (GError) error = NULL;
  struct stat st;

  g_assert_false (block_image_create (f->path, BLOCK_FORMAT_RAW, &options, &progress, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpint (stat (f->path, &st), <, 0);
  g_assert_true (block_image_create (f->path, BLOCK_FORMAT_RAW, &options, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpint (stat (f->path, &st), ==, 0);
  g_assert_cmpint (st.st_size, ==, 1 << 20);
  g_assert_cmpint (st.st_blocks, >=, (1 << 20) / 512);
  options.backing_file = "elsewhere";
  g_assert_false (block_image_create (f->other, BLOCK_FORMAT_RAW, &options, NULL, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "format"));
  g_assert_cmpint (stat (f->other, &st), <, 0);
}

static void
test_guess (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *magic;
    guint length, offset;
    BlockFormat format;
  } cases[] = {
    { "QFI\xfb", 4, 0, BLOCK_FORMAT_QCOW2 },
    { "KDMV", 4, 0, BLOCK_FORMAT_VMDK },
    { "# Disk DescriptorFile\n", 22, 0, BLOCK_FORMAT_VMDK },
    { "vhdxfile", 8, 0, BLOCK_FORMAT_VHDX },
    { "\x7f\x10\xda\xbe", 4, 0x40, BLOCK_FORMAT_VDI },
    { "conectix", 8, 0, BLOCK_FORMAT_VHD },
    { "conectix", 8, 8192 - 512, BLOCK_FORMAT_VHD },
    { "anything", 8, 0, BLOCK_FORMAT_RAW },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      BlockFile *file = block_file_new_memory ("guess", 8192);
      BlockFormat back;

      g_assert_cmpint (block_file_write (file, cases[i].offset, cases[i].magic, cases[i].length),
                       ==, 0);
      g_assert_cmpint (block_format_guess (file), ==, cases[i].format);
      g_assert_true (block_format_from_string (block_format_to_string (cases[i].format), &back));
      g_assert_cmpint (back, ==, cases[i].format);
      block_file_close (file);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data) g_test_add ("/file/" name, Fixture, data, set_up, func, tear_down)
  ADD ("host", test_host, NULL);
  ADD ("host-direct", test_host, "direct");
  ADD ("memory", test_memory, NULL);
  ADD ("refused", test_refused, NULL);
  ADD ("raw-image", test_raw_image, NULL);
  ADD ("create", test_create, NULL);
  ADD ("guess", test_guess, NULL);
  return g_test_run ();
}
