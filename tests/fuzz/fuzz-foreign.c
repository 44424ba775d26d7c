/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VMDK, VHD, VHDX and VDI: any bytes are either refused with a message, or an image whose every byte
 * can be asked for. Input: the format (one byte), then pieces of the file: place (4 bytes), length
 * (2 bytes), bytes. The checksums of VHDX headers and region tables are put right first, so that what
 * lies behind them is reached. */
#include <string.h>

#include "devices/backends/block/foreign-private.h"
#include "fuzz.h"

#define FILE_MAX (64u << 20)

static void
write_pieces (BlockFile *file, const uint8_t *data, size_t size)
{
  while (size >= 6)
    {
      guint32 at = get_le32 (data) % FILE_MAX;
      gsize length = MIN (get_le16 (data + 4), size - 6);

      g_assert_cmpint (block_file_write (file, at, data + 6, length), ==, 0);
      data += 6 + length;
      size -= 6 + length;
    }
}

static void
mend_checksum (BlockFile *file, guint64 at, gsize length)
{
  g_autofree guint8 *buffer = g_malloc (length);
  guint32 sum;

  g_assert_cmpint (block_file_read (file, at, buffer, length), ==, 0);
  memset (buffer + 4, 0, 4);
  sum = GUINT32_TO_LE (block_foreign_crc32c (0, buffer, length));
  g_assert_cmpint (block_file_write (file, at + 4, &sum, 4), ==, 0);
}

static void
use_image (BlockImage *image)
{
  g_autofree guint8 *buffer = g_malloc (65536);
  guint64 size = block_image_get_size (image), at = 0;
  BlockExtent extent;

  g_assert_cmpuint (size, >, 0);
  for (guint i = 0; i < 64 && at < size; i++)
    {
      (void)block_image_read (image, at, buffer, (gsize)MIN (65536, size - at));
      if (block_image_map (image, at, size - at, &extent) < 0)
        {
          at += 65536;
          continue;
        }
      g_assert_cmpuint (extent.length, >, 0);
      g_assert_cmpuint (extent.length, <=, size - at);
      at += extent.length;
    }
  (void)block_image_read (image, size - 1, buffer, 1);
  g_assert_cmpint (block_image_read (image, size, buffer, 1), <, 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static BlockImage *(*const openers[]) (BlockFile *, const BlockImageFlags *, GError **) = {
    block_image_open_vmdk,
    block_image_open_vhd,
    block_image_open_vhdx,
    block_image_open_vdi,
  };
  const BlockImageFlags flags = { .readonly = TRUE };
  g_autoptr (GError) error = NULL;
  BlockFile *file;
  BlockImage *image;

  if (size < 1)
    return 0;
  file = block_file_new_memory ("fuzz", 0);
  write_pieces (file, data + 1, size - 1);
  if (data[0] % 4 == 2)
    {
      mend_checksum (file, 64 * 1024, 4096);
      mend_checksum (file, 128 * 1024, 4096);
      mend_checksum (file, 192 * 1024, 65536);
      mend_checksum (file, 256 * 1024, 65536);
    }
  image = openers[data[0] % 4](file, &flags, &error);
  if (image == NULL)
    {
      g_assert_nonnull (error);
      return 0;
    }
  g_assert_no_error (error);
  use_image (image);
  block_image_close (image);
  return 0;
}
