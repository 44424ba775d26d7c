/* SPDX-License-Identifier: GPL-3.0-or-later */
/* VHDX, the disk image of Hyper-V, read only: fixed and dynamic images, sectors of 512 and 4096
 * bytes. An image that was not closed is read through its log (vhdx-log.c). Specification:
 * [MS-VHDX] revision 8.0; all fields little endian. */
#include "devices/backends/block/vhdx-private.h"

#include <errno.h>
#include <string.h>

#define KIB 1024
#define MIB (1024 * 1024)

/* [MS-VHDX] 2.2: the header section. */
#define HEADER_SIZE    4096
#define REGION_AT_1    (192 * KIB)
#define REGION_AT_2    (256 * KIB)
#define REGION_SIZE    (64 * KIB)
#define REGION_MAX     2047
#define REGION_ENTRIES 16
#define REGION_ENTRY   32
#define METADATA_TABLE (64 * KIB)
#define METADATA_MAX   2047
#define METADATA_ENTRY 32

enum
{
  HEADER_CHECKSUM = 4,
  HEADER_SEQUENCE = 8,
  HEADER_LOG_GUID = 48,
  HEADER_LOG_VERSION = 64,
  HEADER_VERSION = 66,
  HEADER_LOG_LENGTH = 68,
  HEADER_LOG_OFFSET = 72,
};

/* 2.2.3.2, 2.6.2: GUIDs as they lie in the file. */
typedef enum
{
  GUID_BAT,
  GUID_METADATA,
  GUID_FILE_PARAMETERS,
  GUID_DISK_SIZE,
  GUID_PAGE_83,
  GUID_LOGICAL_SECTOR,
  GUID_PHYSICAL_SECTOR,
  GUID_PARENT,
  N_GUIDS
} Guid;
static const guint8 guids[N_GUIDS][16] = {
  [GUID_BAT] = { 0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42, 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd,
                 0x4a, 0x08 },
  [GUID_METADATA] = { 0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b, 0xb8, 0xfe, 0x57, 0x5f, 0x05,
                      0x0f, 0x88, 0x6e },
  [GUID_FILE_PARAMETERS] = { 0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d, 0xb3, 0xb6, 0x33, 0xf0,
                             0xaa, 0x44, 0xe7, 0x6b },
  [GUID_DISK_SIZE] = { 0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48, 0xb2, 0x11, 0x5d, 0xbe, 0xd8,
                       0x3b, 0xf4, 0xb8 },
  [GUID_PAGE_83] = { 0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45, 0x93, 0xef, 0xc3, 0x09, 0xe0,
                     0x00, 0xc7, 0x46 },
  [GUID_LOGICAL_SECTOR] = { 0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47, 0xba, 0x47, 0xf2, 0x33,
                            0xa8, 0xfa, 0xab, 0x5f },
  [GUID_PHYSICAL_SECTOR] = { 0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44, 0x9c, 0xc9, 0xe9, 0x88,
                             0x52, 0x51, 0xc5, 0x56 },
  [GUID_PARENT] = { 0x2d, 0x5f, 0xd3, 0xa8, 0x0b, 0xb3, 0x4d, 0x45, 0xab, 0xf7, 0xd3, 0xd8, 0x48,
                    0x34, 0xab, 0x0c },
};

/* 2.5.1.1: states of a payload block. */
enum
{
  PAYLOAD_NOT_PRESENT = 0,
  PAYLOAD_UNDEFINED = 1,
  PAYLOAD_ZERO = 2,
  PAYLOAD_UNMAPPED = 3,
  PAYLOAD_PRESENT = 6,
  PAYLOAD_PARTIAL = 7, /* differencing images only */
};

typedef struct
{
  BlockForeign base;
  guint8 *bat; /* 64-bit entries */
  guint64 n_blocks;
  guint32 block_size;  /* bytes */
  guint64 chunk_ratio; /* payload entries before each sector bitmap entry */
} VhdxImage;

static int
vhdx_find (BlockForeign *foreign, guint64 offset, BlockForeignRun *ret_run)
{
  VhdxImage *self = (VhdxImage *)foreign;
  guint64 index = offset / self->block_size, within = offset % self->block_size, entry;

  if (index >= self->n_blocks)
    return -EIO;
  entry = get_le64 (self->bat + (index + index / self->chunk_ratio) * 8);
  ret_run->length = MIN (self->block_size - within, foreign->info.size - offset);
  switch (entry & 7)
    {
    case PAYLOAD_PRESENT:
      ret_run->kind = BLOCK_EXTENT_DATA;
      ret_run->file = foreign->base.file;
      ret_run->file_offset = (entry >> 20) * MIB + within;
      return ret_run->file_offset > BLOCK_FOREIGN_SIZE_MAX * 2 ? -EIO : 0;
    case PAYLOAD_NOT_PRESENT:
    case PAYLOAD_UNDEFINED:
      ret_run->kind = BLOCK_EXTENT_UNALLOCATED;
      return 0;
    case PAYLOAD_ZERO:
    case PAYLOAD_UNMAPPED:
      ret_run->kind = BLOCK_EXTENT_ZERO;
      return 0;
    default:
      return -EIO;
    }
}

static void
vhdx_clear (BlockForeign *foreign)
{
  g_free (((VhdxImage *)foreign)->bat);
}

static const BlockForeignFormat vhdx_format = { .find = vhdx_find, .clear = vhdx_clear };
static const BlockImageOps vhdx_ops = BLOCK_FOREIGN_OPS ("vhdx");

/* The CRC-32C at offset 4 counts as zeroes in its own sum. */
static gboolean
checksum_is_good (const guint8 *data, gsize length)
{
  static const guint8 none[4] = { 0 };
  guint32 sum = block_foreign_crc32c (0, data, 4);

  sum = block_foreign_crc32c (sum, none, 4);
  sum = block_foreign_crc32c (sum, data + 8, length - 8);
  return sum == get_le32 (data + 4);
}

/* 2.2.2: of the two headers the valid one with the higher sequence number. */
static gboolean
read_header (BlockFile *file, guint8 *ret_header, GError **error)
{
  guint8 header[HEADER_SIZE];
  gboolean found = FALSE;

  for (guint i = 1; i <= 2; i++)
    {
      if (!block_foreign_read (file, (guint64)i * 64 * KIB, header, sizeof header, "header", error))
        return FALSE;
      if (memcmp (header, "head", 4) != 0 || !checksum_is_good (header, sizeof header) ||
          (found && get_le64 (header + HEADER_SEQUENCE) <= get_le64 (ret_header + HEADER_SEQUENCE)))
        continue;
      memcpy (ret_header, header, sizeof header);
      found = TRUE;
    }
  if (!found)
    return block_foreign_invalid (error, file, VHDX_FORMAT, "both of its headers are damaged");
  if (get_le16 (ret_header + HEADER_VERSION) != 1)
    return block_foreign_unsupported (error, file, VHDX_FORMAT, "it has version %u, known is 1",
                                      get_le16 (ret_header + HEADER_VERSION));
  return TRUE;
}

static gboolean
replay_log (VhdxImage *self, const guint8 *header, GError **error)
{
  static const guint8 no_log[16] = { 0 };
  BlockImage *image = &self->base.base;

  if (memcmp (header + HEADER_LOG_GUID, no_log, 16) == 0)
    return TRUE;
  if (get_le16 (header + HEADER_LOG_VERSION) != 0)
    return block_foreign_unsupported (error, image->file, VHDX_FORMAT,
                                      "it was not closed, and its log has version %u",
                                      get_le16 (header + HEADER_LOG_VERSION));
  self->base.info.dirty = TRUE;
  image->file =
      vhdx_log_replay (image->file, get_le64 (header + HEADER_LOG_OFFSET),
                       get_le32 (header + HEADER_LOG_LENGTH), header + HEADER_LOG_GUID, error);
  return image->file != NULL;
}

typedef struct
{
  guint64 offset;
  guint64 length;
} Region;

/* 2.2.3: where block allocation table and metadata lie. */
static gboolean
parse_regions (BlockFile *file, const guint8 *table, Region *bat, Region *metadata, GError **error)
{
  guint32 n = get_le32 (table + 8);

  if (n > REGION_MAX)
    return block_foreign_invalid (error, file, VHDX_FORMAT, "its region table has %u entries", n);
  for (guint32 i = 0; i < n; i++)
    {
      const guint8 *entry = table + REGION_ENTRIES + (gsize)i * REGION_ENTRY;
      Region region = { get_le64 (entry + 16), get_le32 (entry + 24) };

      if (memcmp (entry, guids[GUID_BAT], 16) == 0)
        *bat = region;
      else if (memcmp (entry, guids[GUID_METADATA], 16) == 0)
        *metadata = region;
      else if ((get_le32 (entry + 28) & 1) != 0)
        return block_foreign_unsupported (error, file, VHDX_FORMAT,
                                          "it has an unknown region that is marked as required");
    }
  if (bat->length == 0 || metadata->length < METADATA_TABLE)
    return block_foreign_invalid (
        error, file, VHDX_FORMAT,
        "its region table lacks the block allocation table or the metadata");
  return TRUE;
}

static gboolean
read_regions (BlockFile *file, Region *bat, Region *metadata, GError **error)
{
  static const guint64 places[] = { REGION_AT_1, REGION_AT_2 };

  for (guint i = 0; i < G_N_ELEMENTS (places); i++)
    {
      g_autofree guint8 *table =
          block_foreign_load (file, places[i], REGION_SIZE, "region table", error);

      if (table == NULL)
        return FALSE;
      if (memcmp (table, "regi", 4) == 0 && checksum_is_good (table, REGION_SIZE))
        return parse_regions (file, table, bat, metadata, error);
    }
  return block_foreign_invalid (error, file, VHDX_FORMAT, "both of its region tables are damaged");
}

/* 2.6: one metadata item of a known length. */
static gboolean
read_item (BlockFile *file,
           const Region *metadata,
           const guint8 *entry,
           guint8 *buffer,
           gsize length,
           GError **error)
{
  guint32 offset = get_le32 (entry + 16);

  if (get_le32 (entry + 20) < length || offset < METADATA_TABLE || offset > metadata->length ||
      length > metadata->length - offset || metadata->offset > BLOCK_FOREIGN_SIZE_MAX)
    return block_foreign_invalid (error, file, VHDX_FORMAT,
                                  "its metadata lies outside of its region");
  return block_foreign_read (file, metadata->offset + offset, buffer, length, "metadata", error);
}

typedef struct
{
  guint8 parameters[8], size[8], sector[4];
  gboolean has_parameters, has_size, has_sector;
} Metadata;

static gboolean
parse_metadata (
    BlockFile *file, const Region *region, const guint8 *table, Metadata *ret, GError **error)
{
  guint n = get_le16 (table + 10);

  if (memcmp (table, "metadata", 8) != 0 || n > METADATA_MAX)
    return block_foreign_invalid (error, file, VHDX_FORMAT, "its metadata table is damaged");
  for (guint i = 0; i < n; i++)
    {
      const guint8 *entry = table + 32 + (gsize)i * METADATA_ENTRY;
      gboolean good = TRUE;

      if (memcmp (entry, guids[GUID_FILE_PARAMETERS], 16) == 0)
        good = ret->has_parameters = read_item (file, region, entry, ret->parameters, 8, error);
      else if (memcmp (entry, guids[GUID_DISK_SIZE], 16) == 0)
        good = ret->has_size = read_item (file, region, entry, ret->size, 8, error);
      else if (memcmp (entry, guids[GUID_LOGICAL_SECTOR], 16) == 0)
        good = ret->has_sector = read_item (file, region, entry, ret->sector, 4, error);
      else if ((get_le32 (entry + 24) & 4) != 0 && memcmp (entry, guids[GUID_PAGE_83], 16) != 0 &&
               memcmp (entry, guids[GUID_PHYSICAL_SECTOR], 16) != 0 &&
               memcmp (entry, guids[GUID_PARENT], 16) != 0)
        return block_foreign_unsupported (error, file, VHDX_FORMAT,
                                          "it has unknown metadata that is marked as required");
      if (!good)
        return FALSE;
    }
  if (!ret->has_parameters || !ret->has_size || !ret->has_sector)
    return block_foreign_invalid (error, file, VHDX_FORMAT,
                                  "its metadata lacks block size, disk size or sector size");
  return TRUE;
}

static gboolean
use_metadata (VhdxImage *self, BlockFile *file, const Metadata *metadata, GError **error)
{
  guint64 size = get_le64 (metadata->size);
  guint32 sector = get_le32 (metadata->sector);

  self->block_size = get_le32 (metadata->parameters);
  if ((get_le32 (metadata->parameters + 4) & 2) != 0)
    return block_foreign_unsupported (
        error, file, VHDX_FORMAT,
        "it is a differencing image, which needs its parent. Merge it "
        "where it was made (Hyper-V: Merge-VHD) first");
  if (self->block_size < MIB || self->block_size > 256 * MIB ||
      (self->block_size & (self->block_size - 1)) != 0)
    return block_foreign_invalid (error, file, VHDX_FORMAT, "its blocks have %u bytes",
                                  self->block_size);
  if (sector != 512 && sector != 4096)
    return block_foreign_invalid (error, file, VHDX_FORMAT, "its sectors have %u bytes", sector);
  if (size == 0 || size > BLOCK_FOREIGN_SIZE_MAX || size % sector != 0)
    return block_foreign_invalid (error, file, VHDX_FORMAT,
                                  "its disk has %" G_GUINT64_FORMAT " bytes", size);
  /* 2.5: 2^23 sectors have one sector bitmap block. */
  self->chunk_ratio = ((guint64)sector << 23) / self->block_size;
  self->n_blocks = (size - 1) / self->block_size + 1;
  self->base.info.size = size;
  self->base.info.cluster_size = self->base.info.subcluster_size = self->block_size;
  self->base.info.version = 1;
  return TRUE;
}

static gboolean
open_image (VhdxImage *self, GError **error)
{
  BlockImage *image = &self->base.base;
  guint8 header[HEADER_SIZE], signature[8];
  g_autofree guint8 *table = NULL;
  Region bat = { 0 }, metadata = { 0 };
  Metadata items = { 0 };
  guint64 n_entries;

  if (!block_foreign_read (image->file, 0, signature, sizeof signature, "signature", error))
    return FALSE;
  if (memcmp (signature, "vhdxfile", 8) != 0)
    return block_foreign_invalid (error, image->file, VHDX_FORMAT,
                                  "its signature is missing. Name its format");
  if (!read_header (image->file, header, error) || !replay_log (self, header, error) ||
      !read_regions (image->file, &bat, &metadata, error))
    return FALSE;
  table =
      block_foreign_load (image->file, metadata.offset, METADATA_TABLE, "metadata table", error);
  if (table == NULL || !parse_metadata (image->file, &metadata, table, &items, error) ||
      !use_metadata (self, image->file, &items, error))
    return FALSE;
  n_entries = self->n_blocks + (self->n_blocks - 1) / self->chunk_ratio;
  if (bat.length / 8 < n_entries)
    return block_foreign_invalid (error, image->file, VHDX_FORMAT,
                                  "its block allocation table has %" G_GUINT64_FORMAT
                                  " entries, its disk needs %" G_GUINT64_FORMAT,
                                  bat.length / 8, n_entries);
  self->bat =
      block_foreign_load (image->file, bat.offset, n_entries * 8, "block allocation table", error);
  return self->bat != NULL;
}

BlockImage *
block_image_open_vhdx (BlockFile *file, const BlockImageFlags *flags, GError **error)
{
  VhdxImage *self =
      block_foreign_new (sizeof *self, &vhdx_ops, &vhdx_format, BLOCK_FORMAT_VHDX, file);

  if (open_image (self, error))
    return &self->base.base;
  block_foreign_close (&self->base.base);
  return NULL;
}
