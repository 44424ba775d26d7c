/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Backing chains: found, locked, mapped through; refused by name where they are not what they should
 * be. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/image.h"

#define SIZE (1u << 20)

typedef struct
{
  char *folder;
  GPtrArray *paths;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("alcove-chain-XXXXXX", NULL);
  f->paths = g_ptr_array_new_with_free_func (g_free);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < f->paths->len; i++)
    g_unlink (g_ptr_array_index (f->paths, i));
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_ptr_array_unref (f->paths);
  g_free (f->folder);
}

static const char *
path_of (Fixture *f, const char *name)
{
  char *path = g_build_filename (f->folder, name, NULL);

  g_ptr_array_add (f->paths, path);
  return path;
}

static void
make (const char *path, const char *backing, const char *format)
{
  const BlockCreateOptions options = { .size = SIZE,
                                       .backing_file = backing,
                                       .backing_format = format };
  g_autoptr (GError) error = NULL;

  block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, &error);
  g_assert_no_error (error);
}

static BlockImage *
open_image (const char *path, BlockImageFlags flags)
{
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (path, BLOCK_FORMAT_QCOW2, &flags, &error);

  g_assert_no_error (error);
  return image;
}

static void
rename_backing (const char *path, const char *backing, const char *format)
{
  BlockImage *image = open_image (path, (BlockImageFlags){ .no_backing = TRUE });
  g_autoptr (GError) error = NULL;

  image->ops->set_backing (image, backing, format, &error);
  g_assert_no_error (error);
  block_image_close (image);
}

static void
assert_refused (const char *path, int code, const char *words)
{
  const BlockImageFlags flags = { 0 };
  g_autoptr (GError) error = NULL;

  g_assert_null (block_image_open (path, BLOCK_FORMAT_QCOW2, &flags, &error));
  g_assert_error (error, VMM_ERROR, code);
  if (strstr (error->message, words) == NULL)
    g_error ("“%s” is not in: %s", words, error->message);
}

static void
test_chain (Fixture *f, gconstpointer data)
{
  const char *raw = path_of (f, "base"), *middle = path_of (f, "middle"), *top = path_of (f, "top");
  const BlockCreateOptions options = { .size = SIZE / 2 };
  g_autofree guint8 *buffer = g_malloc (65536);
  g_autoptr (GError) error = NULL;
  BlockExtent extent;
  BlockImage *image, *other;

  g_assert_true (block_image_create (raw, BLOCK_FORMAT_RAW, &options, NULL, &error));
  image = block_image_open (raw, BLOCK_FORMAT_RAW, &(BlockImageFlags){ 0 }, &error);
  memset (buffer, 1, 65536);
  g_assert_cmpint (block_image_write (image, 0, buffer, 65536), ==, 0);
  block_image_close (image);
  make (middle, "base", "raw"); /* beside it */
  make (top, middle, "qcow2");
  image = open_image (middle, (BlockImageFlags){ 0 });
  memset (buffer, 2, 65536);
  g_assert_cmpint (block_image_write (image, 131072, buffer, 65536), ==, 0);
  block_image_close (image);

  image = open_image (top, (BlockImageFlags){ 0 });
  memset (buffer, 3, 65536);
  g_assert_cmpint (block_image_write (image, 262144, buffer, 65536), ==, 0);
  for (guint i = 0; i < 3; i++)
    {
      guint8 byte = 9;

      g_assert_cmpint (block_image_read (image, i * 131072, &byte, 1), ==, 0);
      g_assert_cmphex (byte, ==, i + 1);
      g_assert_cmpint (block_image_map (image, i * 131072, 65536, &extent), ==, 0);
      g_assert_cmpuint (extent.depth, ==, 2 - i);
      g_assert_cmpint (extent.kind, ==, BLOCK_EXTENT_DATA);
      g_assert_cmpuint (extent.length, ==, 65536);
    }
  /* Past the end of the base. */
  g_assert_cmpint (block_image_map (image, SIZE - 65536, 65536, &extent), ==, 0);
  g_assert_cmpint (extent.kind, ==, BLOCK_EXTENT_UNALLOCATED);

  /* The backing images are locked as what is read only: others may read, nobody may write. */
  other = open_image (middle, (BlockImageFlags){ .readonly = TRUE });
  block_image_close (other);
  assert_refused (middle, VMM_ERROR_BUSY, "reads it");
  assert_refused (top, VMM_ERROR_BUSY, "writes to it");
  block_image_close (image);
  block_image_close (open_image (middle, (BlockImageFlags){ 0 }));
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  const char *a = path_of (f, "a"), *b = path_of (f, "b");

  make (a, NULL, NULL);
  make (b, "a", "qcow2");
  rename_backing (a, "b", "qcow2");
  assert_refused (b, VMM_ERROR_INVALID, "circle");
  assert_refused (b, VMM_ERROR_INVALID, a);
  rename_backing (a, "a", "qcow2");
  assert_refused (a, VMM_ERROR_INVALID, "circle");
  rename_backing (a, "gone", "qcow2");
  assert_refused (b, VMM_ERROR_NOT_FOUND, "gone");
  rename_backing (a, "json:{\"file.filename\":\"/etc/passwd\"}", "raw");
  assert_refused (b, VMM_ERROR_NOT_SUPPORTED, "not a local file");
  rename_backing (a, "nbd://127.0.0.1/x", "raw");
  assert_refused (b, VMM_ERROR_NOT_SUPPORTED, "not a local file");
  rename_backing (a, "b", "bochs");
  assert_refused (b, VMM_ERROR_INVALID, "bochs");
  rename_backing (a, NULL, NULL);
  block_image_close (open_image (b, (BlockImageFlags){ 0 }));
}

static void
test_depth (Fixture *f, gconstpointer data)
{
  const char *last = path_of (f, "0");

  make (last, NULL, NULL);
  for (guint i = 1; i <= BLOCK_CHAIN_MAX; i++)
    {
      char name[8];
      const char *next;

      g_snprintf (name, sizeof name, "%u", i);
      next = path_of (f, name);
      make (next, last, "qcow2");
      last = next;
      if (i == BLOCK_CHAIN_MAX - 1)
        block_image_close (open_image (last, (BlockImageFlags){ .readonly = TRUE }));
    }
  assert_refused (last, VMM_ERROR_INVALID, "too long");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/chain/" name, Fixture, NULL, set_up, func, tear_down)
  ADD ("chain", test_chain);
  ADD ("refused", test_refused);
  ADD ("depth", test_depth);
  return g_test_run ();
}
