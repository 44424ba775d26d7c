/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sparse extents: "Virtual Disk Format 5.0" (VMware, 2011), chapters "Hosted Sparse Extents" and
 * "Stream-Optimized Compressed Sparse Extents"; all fields little endian, places in sectors. */
#include "devices/backends/block/vmdk-private.h"

#include <errno.h>
#include <string.h>
#include <zlib.h>

#define HEADER_SIZE 512
enum
{
  OFF_MAGIC = 0,
  OFF_VERSION = 4,
  OFF_FLAGS = 8,
  OFF_CAPACITY = 12,
  OFF_GRAIN = 20,
  OFF_DESCRIPTOR = 28,
  OFF_DESCRIPTOR_SIZE = 36,
  OFF_ENTRIES = 44,
  OFF_DIRECTORY = 56,
  OFF_NEWLINES = 73,
  OFF_COMPRESSION = 77,
};
enum
{
  FLAG_NEWLINES = 1 << 0,
  FLAG_ZERO_GRAINS = 1 << 2,
  FLAG_COMPRESSED = 1 << 16,
  FLAG_MARKERS = 1 << 17,
};
#define DIRECTORY_AT_END G_MAXUINT64
#define GRAIN_NONE       0
#define GRAIN_ZERO       1  /* with FLAG_ZERO_GRAINS */
#define MARKER_SIZE      12 /* of a compressed grain: sector, length */
#define GRAIN_SIZE_MAX   (4 << 20)

void
vmdk_sparse_free (VmdkSparse *sparse)
{
  if (sparse == NULL)
    return;
  for (guint i = 0; i < VMDK_TABLES_MAX; i++)
    g_free (sparse->tables[i].table);
  g_mutex_clear (&sparse->lock);
  g_free (sparse->directory);
  g_free (sparse);
}

/* The header at the start, or where that says so, the one at the end (footer). */
static gboolean
read_header (BlockFile *file, guint8 *header, GError **error)
{
  gint64 size = file->ops->get_size (file);

  if (!block_foreign_read (file, 0, header, HEADER_SIZE, "header", error))
    return FALSE;
  if (get_le32 (header + OFF_MAGIC) != VMDK_SPARSE_MAGIC)
    return block_foreign_invalid (error, file, VMDK_FORMAT,
                                  "its header is missing. Name its format");
  if (get_le64 (header + OFF_DIRECTORY) != DIRECTORY_AT_END)
    return TRUE;
  /* Footer marker, footer, end-of-stream marker: a sector each. */
  if (size < 4 * VMDK_SECTOR)
    return block_foreign_invalid (error, file, VMDK_FORMAT, "it is cut short: copy the file anew");
  if (!block_foreign_read (file, (guint64)size - 2 * VMDK_SECTOR, header, HEADER_SIZE, "footer",
                           error))
    return FALSE;
  if (get_le32 (header + OFF_MAGIC) != VMDK_SPARSE_MAGIC ||
      get_le64 (header + OFF_DIRECTORY) == DIRECTORY_AT_END)
    return block_foreign_invalid (error, file, VMDK_FORMAT,
                                  "its footer is missing, so it is cut short: copy the file anew");
  return TRUE;
}

static gboolean
check_header (VmdkSparse *sparse, const guint8 *header, GError **error)
{
  BlockFile *file = sparse->file;
  guint32 version = get_le32 (header + OFF_VERSION), flags = get_le32 (header + OFF_FLAGS);
  guint64 capacity = get_le64 (header + OFF_CAPACITY), grain = get_le64 (header + OFF_GRAIN);

  if (version < 1 || version > 3)
    return block_foreign_unsupported (error, file, VMDK_FORMAT,
                                      "it has version %u, known are 1 to 3", version);
  /* A transfer in text mode replaces these. */
  if ((flags & FLAG_NEWLINES) != 0 && memcmp (header + OFF_NEWLINES, "\n \r\n", 4) != 0)
    return block_foreign_invalid (
        error, file, VMDK_FORMAT,
        "it was copied as text, which changed it: copy it as binary data");
  if (capacity == 0 || capacity > BLOCK_FOREIGN_SIZE_MAX / VMDK_SECTOR)
    return block_foreign_invalid (error, file, VMDK_FORMAT,
                                  "its disk has %" G_GUINT64_FORMAT " sectors", capacity);
  if (grain < 1 || grain > GRAIN_SIZE_MAX / VMDK_SECTOR || (grain & (grain - 1)) != 0)
    return block_foreign_invalid (error, file, VMDK_FORMAT,
                                  "its grains have %" G_GUINT64_FORMAT
                                  " sectors (a power of two up "
                                  "to 8192 is possible)",
                                  grain);
  sparse->n_entries = get_le32 (header + OFF_ENTRIES);
  if (sparse->n_entries == 0 || sparse->n_entries > 65536)
    return block_foreign_invalid (error, file, VMDK_FORMAT, "its grain tables have %u entries",
                                  sparse->n_entries);
  sparse->compressed = (flags & FLAG_COMPRESSED) != 0;
  sparse->zero_grains = (flags & FLAG_ZERO_GRAINS) != 0;
  if (sparse->compressed &&
      (get_le16 (header + OFF_COMPRESSION) != 1 || (flags & FLAG_MARKERS) == 0))
    return block_foreign_unsupported (error, file, VMDK_FORMAT,
                                      "it is compressed by an unknown method (%u)",
                                      get_le16 (header + OFF_COMPRESSION));
  sparse->size = capacity * VMDK_SECTOR;
  sparse->grain_size = grain * VMDK_SECTOR;
  return TRUE;
}

VmdkSparse *
vmdk_sparse_open (BlockFile *file, GError **error)
{
  guint8 header[HEADER_SIZE];
  VmdkSparse *sparse = g_new0 (VmdkSparse, 1);
  guint64 n_tables, at;

  g_mutex_init (&sparse->lock);
  sparse->file = file;
  if (!read_header (file, header, error) || !check_header (sparse, header, error))
    goto fail;
  n_tables = (sparse->size - 1) / (sparse->grain_size * sparse->n_entries) + 1;
  at = get_le64 (header + OFF_DIRECTORY);
  if (n_tables > BLOCK_FOREIGN_TABLE_MAX / 4 || at > BLOCK_FOREIGN_SIZE_MAX / VMDK_SECTOR)
    {
      (void)block_foreign_invalid (error, file, VMDK_FORMAT, "its grain directory is too large");
      goto fail;
    }
  sparse->n_tables = (guint32)n_tables;
  sparse->directory =
      block_foreign_load (file, at * VMDK_SECTOR, n_tables * 4, "grain directory", error);
  if (sparse->directory == NULL)
    goto fail;
  at = get_le64 (header + OFF_DESCRIPTOR);
  n_tables = get_le64 (header + OFF_DESCRIPTOR_SIZE);
  if (at != 0 && at <= BLOCK_FOREIGN_SIZE_MAX / VMDK_SECTOR &&
      n_tables <= VMDK_DESCRIPTOR_MAX / VMDK_SECTOR)
    {
      sparse->descriptor_at = at * VMDK_SECTOR;
      sparse->descriptor_len = n_tables * VMDK_SECTOR;
    }
  return sparse;

fail:
  vmdk_sparse_free (sparse);
  return NULL;
}

/* The entry of a grain, through the tables kept in memory. */
static int
get_entry (VmdkSparse *sparse, guint32 table_index, guint32 entry_index, guint32 *ret)
{
  guint32 sector = get_le32 (sparse->directory + (gsize)table_index * 4);
  guint slot = table_index % VMDK_TABLES_MAX;
  gsize length = (gsize)sparse->n_entries * 4;
  int result = 0;

  if (sector == 0)
    {
      *ret = GRAIN_NONE;
      return 0;
    }
  g_mutex_lock (&sparse->lock);
  if (sparse->tables[slot].table == NULL || sparse->tables[slot].index != table_index)
    {
      g_autofree guint8 *table =
          block_foreign_load (sparse->file, (guint64)sector * VMDK_SECTOR, length, "table", NULL);

      if (table == NULL)
        {
          result = -EIO;
        }
      else
        {
          g_free (sparse->tables[slot].table);
          sparse->tables[slot].table = g_steal_pointer (&table);
          sparse->tables[slot].index = table_index;
        }
    }
  if (result == 0)
    *ret = get_le32 (sparse->tables[slot].table + (gsize)entry_index * 4);
  g_mutex_unlock (&sparse->lock);
  return result;
}

int
vmdk_sparse_find (VmdkSparse *sparse, guint64 offset, BlockForeignRun *ret_run)
{
  guint64 grain = offset / sparse->grain_size, within = offset % sparse->grain_size;
  guint32 entry = 0;
  int result;

  if (offset >= sparse->size)
    return -EIO;
  result = get_entry (sparse, (guint32)(grain / sparse->n_entries),
                      (guint32)(grain % sparse->n_entries), &entry);
  if (result < 0)
    return result;
  ret_run->length = MIN (sparse->grain_size - within, sparse->size - offset);
  ret_run->file = sparse->file;
  ret_run->priv = sparse;
  if (entry == GRAIN_NONE)
    {
      ret_run->kind = BLOCK_EXTENT_UNALLOCATED;
    }
  else if (entry == GRAIN_ZERO && sparse->zero_grains)
    {
      ret_run->kind = BLOCK_EXTENT_ZERO;
    }
  else if (sparse->compressed)
    {
      ret_run->kind = BLOCK_EXTENT_COMPRESSED;
      ret_run->file_offset = (guint64)entry * VMDK_SECTOR;
      ret_run->skip = within;
    }
  else
    {
      ret_run->kind = BLOCK_EXTENT_DATA;
      ret_run->file_offset = (guint64)entry * VMDK_SECTOR + within;
    }
  return 0;
}

int
vmdk_sparse_read_grain (VmdkSparse *sparse, guint64 file_offset, guint8 *buffer)
{
  guint8 marker[MARKER_SIZE];
  g_autofree guint8 *packed = NULL;
  guint32 length;
  z_stream stream = { 0 };
  int result;

  if (!block_foreign_read (sparse->file, file_offset, marker, sizeof marker, "grain", NULL))
    return -EIO;
  length = get_le32 (marker + 8);
  /* Deflate adds at most a few bytes to what it cannot shrink. */
  if (length == 0 || length > 2 * sparse->grain_size + VMDK_SECTOR)
    return -EIO;
  packed = block_foreign_load (sparse->file, file_offset + MARKER_SIZE, length, "grain", NULL);
  if (packed == NULL)
    return -EIO;
  if (inflateInit (&stream) != Z_OK)
    return -ENOMEM;
  stream.next_in = packed;
  stream.avail_in = length;
  stream.next_out = buffer;
  stream.avail_out = (uInt)sparse->grain_size;
  result = inflate (&stream, Z_FINISH);
  /* The disk's last grain may be short. */
  if (result == Z_STREAM_END)
    memset (stream.next_out, 0, stream.avail_out);
  inflateEnd (&stream);
  return result == Z_STREAM_END ? 0 : -EIO;
}
