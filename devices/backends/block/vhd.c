/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VHD, the older disk image of Virtual PC and Hyper-V, read only: fixed and dynamic images.
 * Specification: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0 (2006); all
 * fields big endian. */
#include "devices/backends/block/foreign-private.h"

#include <errno.h>
#include <string.h>

#define FORMAT "VHD"
#define SECTOR 512

/* "Hard Disk Footer Format": the last sector; dynamic images begin with a copy. */
#define FOOTER_SIZE 512
enum
{
  FOOTER_COOKIE = 0,
  FOOTER_VERSION = 12,
  FOOTER_DATA_OFFSET = 16,
  FOOTER_SIZE_NOW = 48,
  FOOTER_TYPE = 60,
  FOOTER_CHECKSUM = 64,
};
enum
{
  TYPE_FIXED = 2,
  TYPE_DYNAMIC = 3,
  TYPE_DIFFERENCING = 4,
};

/* "Dynamic Disk Header Format". */
#define DYNAMIC_SIZE 1024
enum
{
  DYNAMIC_COOKIE = 0,
  DYNAMIC_TABLE = 16,
  DYNAMIC_VERSION = 24,
  DYNAMIC_ENTRIES = 28,
  DYNAMIC_BLOCK_SIZE = 32,
  DYNAMIC_CHECKSUM = 36,
};

#define BLOCK_NONE 0xffffffffu

typedef struct
{
  BlockForeign base;
  guint8 *table; /* block allocation table, NULL: fixed */
  guint32 n_blocks;
  guint32 block_size;  /* bytes */
  guint32 bitmap_size; /* bytes of the sector bitmap before each block */
} VhdImage;

static int
vhd_find (BlockForeign *foreign, guint64 offset, BlockForeignRun *ret_run)
{
  VhdImage *self = (VhdImage *)foreign;
  guint64 index, within;
  guint32 sector;

  ret_run->kind = BLOCK_EXTENT_DATA;
  ret_run->file = foreign->base.file;
  if (self->table == NULL)
    {
      ret_run->length = foreign->info.size - offset;
      ret_run->file_offset = offset;
      return 0;
    }
  index = offset / self->block_size;
  within = offset % self->block_size;
  if (index >= self->n_blocks)
    return -EIO;
  ret_run->length = MIN (self->block_size - within, foreign->info.size - offset);
  sector = get_be32 (self->table + index * 4);
  if (sector == BLOCK_NONE)
    {
      ret_run->kind = BLOCK_EXTENT_UNALLOCATED;
      return 0;
    }
  /* The sector bitmap is not looked at: a sector that was never written in a block that is there
   * holds zeroes, in every program that writes these. */
  ret_run->file_offset = (guint64)sector * SECTOR + self->bitmap_size + within;
  return 0;
}

static void
vhd_clear (BlockForeign *foreign)
{
  g_free (((VhdImage *)foreign)->table);
}

static const BlockForeignFormat vhd_format = { .find = vhd_find, .clear = vhd_clear };
static const BlockImageOps vhd_ops = BLOCK_FOREIGN_OPS ("vhd");

/* One's complement of the sum of all bytes, the checksum's own left out. */
static gboolean
checksum_is_good (const guint8 *data, gsize length, gsize at)
{
  guint32 sum = 0;

  for (gsize i = 0; i < length; i++)
    if (i < at || i >= at + 4)
      sum += data[i];
  return ~sum == get_be32 (data + at);
}

static gboolean
footer_is_good (const guint8 *footer)
{
  return memcmp (footer + FOOTER_COOKIE, "conectix", 8) == 0 &&
         checksum_is_good (footer, FOOTER_SIZE, FOOTER_CHECKSUM);
}

/* The footer at the end, or its copy at the start where that one is damaged. */
static gboolean
read_footer (BlockFile *file, guint8 *footer, guint64 *ret_at, GError **error)
{
  gint64 size = file->ops->get_size (file);

  if (size < FOOTER_SIZE)
    return block_foreign_invalid (error, file, FORMAT, "it is shorter than a footer");
  *ret_at = (guint64)size - FOOTER_SIZE;
  if (!block_foreign_read (file, *ret_at, footer, FOOTER_SIZE, "footer", error))
    return FALSE;
  if (footer_is_good (footer))
    return TRUE;
  *ret_at = (guint64)size;
  if (!block_foreign_read (file, 0, footer, FOOTER_SIZE, "footer's copy", error))
    return FALSE;
  if (footer_is_good (footer) && get_be32 (footer + FOOTER_TYPE) != TYPE_FIXED)
    return TRUE;
  return block_foreign_invalid (error, file, FORMAT,
                                "its footer is missing or damaged. Name its format, or copy the "
                                "file anew");
}

static gboolean
read_dynamic (VhdImage *self, BlockFile *file, guint64 at, GError **error)
{
  guint8 header[DYNAMIC_SIZE];
  guint64 needed;

  if (!block_foreign_read (file, at, header, sizeof header, "dynamic disk header", error))
    return FALSE;
  if (memcmp (header + DYNAMIC_COOKIE, "cxsparse", 8) != 0 ||
      !checksum_is_good (header, sizeof header, DYNAMIC_CHECKSUM))
    return block_foreign_invalid (error, file, FORMAT, "its dynamic disk header is damaged");
  if (get_be32 (header + DYNAMIC_VERSION) >> 16 != 1)
    return block_foreign_unsupported (
        error, file, FORMAT, "its dynamic disk header has version %u.%u",
        get_be32 (header + DYNAMIC_VERSION) >> 16, get_be32 (header + DYNAMIC_VERSION) & 0xffff);
  self->block_size = get_be32 (header + DYNAMIC_BLOCK_SIZE);
  if (self->block_size < 4096 || self->block_size > 256 << 20 ||
      (self->block_size & (self->block_size - 1)) != 0)
    return block_foreign_invalid (error, file, FORMAT,
                                  "its blocks have %u bytes (a power of two from 4096 to 256 MiB "
                                  "is possible)",
                                  self->block_size);
  self->bitmap_size = (self->block_size / SECTOR / 8 + SECTOR - 1) / SECTOR * SECTOR;
  needed = (self->base.info.size - 1) / self->block_size + 1;
  if (needed > get_be32 (header + DYNAMIC_ENTRIES))
    return block_foreign_invalid (error, file, FORMAT,
                                  "its table has %u blocks, its disk needs %" G_GUINT64_FORMAT,
                                  get_be32 (header + DYNAMIC_ENTRIES), needed);
  self->n_blocks = (guint32)needed;
  self->table = block_foreign_load (file, get_be64 (header + DYNAMIC_TABLE),
                                    (guint64)self->n_blocks * 4, "block allocation table", error);
  self->base.info.cluster_size = self->base.info.subcluster_size = self->block_size;
  return self->table != NULL;
}

static gboolean
open_footer (VhdImage *self, BlockFile *file, GError **error)
{
  guint8 footer[FOOTER_SIZE];
  guint64 at = 0, size;

  if (!read_footer (file, footer, &at, error))
    return FALSE;
  if (get_be32 (footer + FOOTER_VERSION) >> 16 != 1)
    return block_foreign_unsupported (error, file, FORMAT, "it has version %u.%u, known is 1.0",
                                      get_be32 (footer + FOOTER_VERSION) >> 16,
                                      get_be32 (footer + FOOTER_VERSION) & 0xffff);
  size = get_be64 (footer + FOOTER_SIZE_NOW);
  if (size == 0 || size > BLOCK_FOREIGN_SIZE_MAX || size % SECTOR != 0)
    return block_foreign_invalid (error, file, FORMAT, "its disk has %" G_GUINT64_FORMAT " bytes",
                                  size);
  self->base.info.size = size;
  self->base.info.version = 1;
  switch (get_be32 (footer + FOOTER_TYPE))
    {
    case TYPE_FIXED:
      if (size > at)
        return block_foreign_invalid (error, file, FORMAT,
                                      "it is cut short: %" G_GUINT64_FORMAT
                                      " bytes of a disk of %" G_GUINT64_FORMAT
                                      " are there. Copy the file anew",
                                      at, size);
      return TRUE;
    case TYPE_DYNAMIC:
      return read_dynamic (self, file, get_be64 (footer + FOOTER_DATA_OFFSET), error);
    case TYPE_DIFFERENCING:
      return block_foreign_unsupported (error, file, FORMAT,
                                        "it is a differencing image, which needs its parent. Merge "
                                        "it where it was made (Hyper-V: Merge-VHD) first");
    default:
      return block_foreign_unsupported (error, file, FORMAT, "its type %u is unknown",
                                        get_be32 (footer + FOOTER_TYPE));
    }
}

BlockImage *
block_image_open_vhd (BlockFile *file, const BlockImageFlags *flags, GError **error)
{
  VhdImage *self = block_foreign_new (sizeof *self, &vhd_ops, &vhd_format, BLOCK_FORMAT_VHD, file);

  if (open_footer (self, file, error))
    return &self->base.base;
  block_foreign_close (&self->base.base);
  return NULL;
}
