/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VDI, the disk image of VirtualBox, read only: dynamic and fixed images. Format: the header as the
 * VirtualBox sources and their user manual describe it (version 1.1); all fields little endian. */
#include "devices/backends/block/foreign-private.h"

#include <errno.h>
#include <string.h>

#define FORMAT "VDI"
#define SECTOR 512

#define HEADER_SIZE 512
#define SIGNATURE   0xbeda107fu
#define VERSION_1_1 0x00010001u

enum
{
  OFF_SIGNATURE = 64,
  OFF_VERSION = 68,
  OFF_TYPE = 76,
  OFF_MAP = 340,
  OFF_DATA = 344,
  OFF_SECTOR = 360,
  OFF_DISK_SIZE = 368,
  OFF_BLOCK_SIZE = 376,
  OFF_BLOCK_EXTRA = 380,
  OFF_N_BLOCKS = 384,
  OFF_PARENT = 440, /* UUID */
};

enum
{
  TYPE_DYNAMIC = 1,
  TYPE_FIXED = 2,
  TYPE_UNDO = 3,
  TYPE_DIFFERENCING = 4,
};

#define BLOCK_NONE 0xffffffffu /* never written */
#define BLOCK_ZERO 0xfffffffeu /* discarded */

typedef struct
{
  BlockForeign base;
  guint8 *map; /* n_blocks 32-bit numbers */
  guint32 n_blocks;
  guint32 block_size, block_extra; /* bytes; extra comes before each block's data */
  guint32 data_offset;
} VdiImage;

static int
vdi_find (BlockForeign *foreign, guint64 offset, BlockForeignRun *ret_run)
{
  VdiImage *self = (VdiImage *)foreign;
  guint64 index = offset / self->block_size, within = offset % self->block_size;
  guint32 entry;

  if (index >= self->n_blocks)
    return -EIO;
  entry = get_le32 (self->map + index * 4);
  ret_run->length = MIN (self->block_size - within, foreign->info.size - offset);
  if (entry == BLOCK_NONE || entry == BLOCK_ZERO)
    {
      ret_run->kind = entry == BLOCK_NONE ? BLOCK_EXTENT_UNALLOCATED : BLOCK_EXTENT_ZERO;
      return 0;
    }
  ret_run->kind = BLOCK_EXTENT_DATA;
  ret_run->file = foreign->base.file;
  /* At most 2^32 * 2^27: no overflow. */
  ret_run->file_offset = self->data_offset +
                         (guint64)entry * (self->block_size + self->block_extra) +
                         self->block_extra + within;
  return 0;
}

static void
vdi_clear (BlockForeign *foreign)
{
  g_free (((VdiImage *)foreign)->map);
}

static const BlockForeignFormat vdi_format = { .find = vdi_find, .clear = vdi_clear };
static const BlockImageOps vdi_ops = BLOCK_FOREIGN_OPS ("vdi");

static gboolean
parse_header (VdiImage *self, BlockFile *file, const guint8 *header, GError **error)
{
  static const guint8 no_uuid[16] = { 0 };
  guint64 size = get_le64 (header + OFF_DISK_SIZE), needed;
  guint32 type = get_le32 (header + OFF_TYPE);

  if (get_le32 (header + OFF_SIGNATURE) != SIGNATURE)
    return block_foreign_invalid (error, file, FORMAT, "its signature is missing. Name its format");
  if (get_le32 (header + OFF_VERSION) != VERSION_1_1)
    return block_foreign_unsupported (error, file, FORMAT,
                                      "it has version %u.%u, known is 1.1. Convert it with "
                                      "\"VBoxManage clonemedium\"",
                                      get_le32 (header + OFF_VERSION) >> 16,
                                      get_le32 (header + OFF_VERSION) & 0xffff);
  if (type == TYPE_UNDO || type == TYPE_DIFFERENCING ||
      memcmp (header + OFF_PARENT, no_uuid, sizeof no_uuid) != 0)
    return block_foreign_unsupported (
        error, file, FORMAT,
        "it is a differencing image, which needs its parent. Merge it "
        "with \"VBoxManage clonemedium\" first");
  if (type != TYPE_DYNAMIC && type != TYPE_FIXED)
    return block_foreign_unsupported (error, file, FORMAT, "its type %u is unknown", type);
  if (get_le32 (header + OFF_SECTOR) != SECTOR)
    return block_foreign_unsupported (error, file, FORMAT, "it has sectors of %u bytes, not 512",
                                      get_le32 (header + OFF_SECTOR));
  self->block_size = get_le32 (header + OFF_BLOCK_SIZE);
  self->block_extra = get_le32 (header + OFF_BLOCK_EXTRA);
  self->n_blocks = get_le32 (header + OFF_N_BLOCKS);
  self->data_offset = get_le32 (header + OFF_DATA);
  if (self->block_size < SECTOR || self->block_size > 64 << 20 || self->block_size % SECTOR != 0 ||
      self->block_extra > 1 << 20)
    return block_foreign_invalid (error, file, FORMAT, "its blocks have %u and %u bytes",
                                  self->block_size, self->block_extra);
  if (size == 0 || size > BLOCK_FOREIGN_SIZE_MAX)
    return block_foreign_invalid (
        error, file, FORMAT, "its disk has %" G_GUINT64_FORMAT " bytes (1 to 2^48 are possible)",
        size);
  needed = (size - 1) / self->block_size + 1;
  if (needed > self->n_blocks)
    return block_foreign_invalid (error, file, FORMAT,
                                  "its map has %u blocks, its disk needs %" G_GUINT64_FORMAT,
                                  self->n_blocks, needed);
  self->n_blocks = (guint32)needed;
  self->base.info.size = size;
  self->base.info.cluster_size = self->base.info.subcluster_size = self->block_size;
  self->base.info.version = 1;
  self->map = block_foreign_load (file, get_le32 (header + OFF_MAP), (guint64)self->n_blocks * 4,
                                  "block map", error);
  return self->map != NULL;
}

BlockImage *
block_image_open_vdi (BlockFile *file, const BlockImageFlags *flags, GError **error)
{
  guint8 header[HEADER_SIZE];
  VdiImage *self = block_foreign_new (sizeof *self, &vdi_ops, &vdi_format, BLOCK_FORMAT_VDI, file);

  if (block_foreign_read (file, 0, header, sizeof header, "header", error) &&
      parse_header (self, file, header, error))
    return &self->base.base;
  block_foreign_close (&self->base.base);
  return NULL;
}
