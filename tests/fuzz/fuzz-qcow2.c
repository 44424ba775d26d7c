/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Hostile qcow2 images. The first byte chooses an image that this program makes itself (or, 255, says
 * that the rest is one), the second how many changes follow: 3 bytes of place, 1 of width and kind, 8
 * of value. What is left are operations on it, 6 bytes each. Whatever it is: no crash, no endless work,
 * and what a write said is what a read says while nobody claims that the image is damaged. */
#include <string.h>

#include "devices/backends/block/image.h"
#include "tests/fuzz/fuzz-input.h"
#include "tests/fuzz/fuzz.h"

#define SIZE    (1u << 20)
#define MAX_OPS 40

static const BlockCreateOptions configs[] = {
  { .size = SIZE, .cluster_size = 65536 },
  { .size = SIZE, .cluster_size = 512 },
  { .size = SIZE, .cluster_size = 4096, .version = 2 },
  { .size = SIZE, .cluster_size = 16384, .extended_l2 = TRUE, .refcount_bits = 1 },
  { .size = SIZE, .cluster_size = 4096, .refcount_bits = 64, .compress_zstd = TRUE },
  { .size = SIZE, .cluster_size = 4096, .lazy_refcounts = TRUE, .refcount_bits = 4 },
};

/* Something of everything. */
static void
populate (BlockImage *image)
{
  g_autofree guint8 *data = g_malloc (65536);

  for (guint i = 0; i < 65536; i++)
    data[i] = (guint8)(i >> 7);
  (void)block_image_write (image, 3000, data, 20000);
  (void)image->ops->write_compressed (image, 131072, data, 65536);
  (void)block_image_snapshot_create (image, NULL, "one", 0, NULL);
  (void)block_image_write (image, 8192, data, 5000);
  (void)block_image_write_zeroes (image, 65536, 65536, TRUE);
  (void)image->ops->bitmap_add (image, "bits", 65536, NULL);
  (void)block_image_write (image, 900000, data, 512);
}

static BlockFile *
make_image (guint choice)
{
  const BlockImageFlags flags = { 0 };
  BlockFile *made = block_file_new_memory ("image", 0), *copy;
  g_autofree guint8 *bytes = NULL;
  BlockImage *image;
  gint64 size;

  if (!block_qcow2_format (made, &configs[choice % G_N_ELEMENTS (configs)], NULL, NULL))
    g_assert_not_reached ();
  image = block_image_open_qcow2 (made, &flags, NULL);
  g_assert_nonnull (image);
  populate (image);
  /* As it is in the middle of its use, or closed: the image takes its file along. */
  (void)block_image_flush (image);
  size = made->ops->get_size (made);
  copy = block_file_new_memory ("image", (guint64)size);
  bytes = g_malloc ((gsize)size);
  g_assert_cmpint (block_file_read (made, 0, bytes, (gsize)size), ==, 0);
  g_assert_cmpint (block_file_write (copy, 0, bytes, (gsize)size), ==, 0);
  block_image_close (image);
  return copy;
}

static void
change (BlockFile *file, FuzzInput *input)
{
  guint64 place = fuzz_take (input, 3), kind = fuzz_take (input, 1), value = fuzz_take (input, 8);
  guint64 size = (guint64)file->ops->get_size (file);
  guint8 bytes[8];

  if (kind & 0x80)
    place &= 0x7ff; /* the header, mostly */
  if (kind & 0x40)
    value &= 0xfffff;
  value = GUINT64_TO_BE (kind & 0x20 ? value << 48 : value);
  memcpy (bytes, &value, sizeof bytes);
  if ((kind & 0x1f) == 0x1f)
    (void)file->ops->truncate (file, size / 2 + place % (size / 2 + 1));
  else if (size > 8)
    (void)block_file_write (file, place % (size - 8) & ~(guint64)(kind & 7), bytes,
                            1 + (kind >> 3 & 3) * 2 + (kind >> 3 & 1));
}

static void
operate (BlockImage *image, FuzzInput *input, guint8 *buffer)
{
  guint op = (guint)fuzz_take (input, 1);
  guint64 size = block_image_get_size (image);
  guint64 offset = fuzz_take (input, 3), length = 1 + fuzz_take (input, 2);
  BlockCheckReport report;
  BlockExtent extent;

  if (size == 0)
    return;
  offset %= MIN (size, 2 * SIZE);
  length = MIN (length, size - offset);
  switch (op % 16)
    {
    case 0:
    case 1:
    case 2:
      memset (buffer, (int)op | 1, length);
      if (block_image_write (image, offset, buffer, length) == 0)
        {
          memset (buffer, 0, length);
          /* Tables that overlap show other bytes, at worst an error. */
          (void)block_image_read (image, offset, buffer, length);
        }
      break;
    case 3:
    case 4:
      (void)block_image_read (image, offset, buffer, length);
      break;
    case 5:
      (void)block_image_write_zeroes (image, offset, length, op & 16);
      break;
    case 6:
      (void)image->ops->discard (image, offset, length * 8 <= size - offset ? length * 8 : length);
      break;
    case 7:
      (void)image->ops->write_compressed (image, offset & ~(guint64)0xffff, buffer,
                                          MIN (65536, size - (offset & ~(guint64)0xffff)));
      break;
    case 8:
      (void)block_image_snapshot_create (image, NULL, op & 16 ? "two" : "three", 0, NULL);
      break;
    case 9:
      (void)block_image_snapshot_apply (image, op & 16 ? "1" : "2", NULL);
      break;
    case 10:
      (void)block_image_snapshot_delete (image, op & 16 ? "1" : "2", NULL);
      break;
    case 11:
      (void)image->ops->resize (image, (offset & ~(guint64)511) + 512, NULL, NULL);
      break;
    case 12:
      if (image->ops->check (image, op & 0x10 ? BLOCK_CHECK_LOOK : BLOCK_CHECK_REPAIR_ALL, &report,
                             NULL, NULL))
        g_assert_cmpuint (report.corruptions_fixed, <=, report.corruptions);
      block_check_report_clear (&report);
      break;
    case 13:
      (void)image->ops->map (image, offset, size - offset, &extent);
      (void)block_image_flush (image);
      break;
    case 14:
      {
        guint64 n;
        gboolean dirty;

        g_ptr_array_unref (image->ops->snapshot_list (image));
        g_ptr_array_unref (image->ops->bitmap_list (image));
        (void)image->ops->bitmap_map (image, "bits", offset, &n, &dirty, NULL);
        if (op & 16)
          (void)image->ops->bitmap_clear (image, "bits", NULL);
        if (op & 32)
          (void)image->ops->bitmap_remove (image, "bits", NULL);
        break;
      }
    default:
      {
        BlockImage *view = block_image_snapshot_open (image, "1", NULL);

        if (view != NULL && block_image_get_size (view) > 0)
          (void)block_image_read (view, 0, buffer, MIN (65536, block_image_get_size (view)));
        block_image_close (view);
        break;
      }
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzInput input = { data, size };
  guint choice = (guint)fuzz_take (&input, 1);
  guint n = (guint)fuzz_take (&input, 1);
  const BlockImageFlags flags = { .readonly = n & 0x80, .no_backing = n & 0x40 };
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *buffer = NULL;
  BlockImage *image;
  BlockFile *file;

  if (choice == 255)
    {
      file = block_file_new_memory ("image", input.left);
      (void)block_file_write (file, 0, input.data, input.left);
    }
  else
    {
      file = make_image (choice);
      for (guint i = 0; i < (n & 15); i++)
        change (file, &input);
    }
  image = block_image_open_qcow2 (file, &flags, &error);
  if (image == NULL)
    {
      g_assert_nonnull (error);
      return 0;
    }
  buffer = g_malloc0 (131072);
  for (guint i = 0; i < MAX_OPS && (choice == 255 || input.left > 0); i++)
    {
      if (choice == 255)
        input = (FuzzInput){ data + i % size, size - i % size };
      operate (image, &input, buffer);
    }
  block_image_close (image);
  return 0;
}
