/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the read-only formats of other programs (VMDK, VHD, VHDX, VDI) share. A format finds where a
 * place of the disk lies; reading, mapping, bounds and refused writes are here.
 *
 * Life cycle: block_foreign_new while opening, then the format's own fields, then it is an image
 * that its ops close. Threads: as image.h; find and read_compressed may run on several at once. */
#pragma once
#include "devices/backends/block/image.h"

/* Disks of other programs are refused above this: 256 TiB. */
#define BLOCK_FOREIGN_SIZE_MAX  (1ULL << 48)
/* A table (block allocation table, grain directory) read whole: 256 MiB. */
#define BLOCK_FOREIGN_TABLE_MAX (1ULL << 28)

typedef struct _BlockForeign BlockForeign;

typedef struct
{
  BlockExtentKind kind; /* UNALLOCATED, ZERO, DATA, COMPRESSED */
  guint64 length;       /* bytes from the offset asked for, at least 1 */
  BlockFile *file;      /* DATA, COMPRESSED: (transfer none) */
  guint64 file_offset;  /* DATA: of the byte asked for. COMPRESSED: of the unit's start */
  guint64 skip;         /* COMPRESSED: bytes from the unit's start to the one asked for */
  gpointer priv;        /* the format's, for read_unit */
} BlockForeignRun;

typedef struct
{
  /* offset is below the size. 0 or -errno (-EIO: the tables point outside of the file). */
  int (*find) (BlockForeign *self, guint64 offset, BlockForeignRun *ret_run);
  /* (nullable) Unpacks a whole unit, at most unit_size bytes. */
  int (*read_unit) (BlockForeign *self, const BlockForeignRun *run, guint8 *buffer);
  /* The format's own fields. */
  void (*clear) (BlockForeign *self);
} BlockForeignFormat;

struct _BlockForeign
{
  BlockImage base;
  const BlockForeignFormat *format;
  BlockImageInfo info;
  gsize unit_size; /* bytes of a compressed unit */
  /* The unit unpacked last: reads come in order. */
  GMutex unit_lock;
  guint8 *unit;
  guint64 unit_at; /* its file_offset; G_MAXUINT64: none */
  BlockFile *unit_file;
};

/* instance_size: of the format's struct, which begins with BlockForeign. file: (transfer full). */
gpointer block_foreign_new (gsize instance_size,
                            const BlockImageOps *ops,
                            const BlockForeignFormat *format,
                            BlockFormat id,
                            BlockFile *file);

void block_foreign_get_info (BlockImage *image, BlockImageInfo *ret_info);
int block_foreign_readv (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov);
int block_foreign_writev (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov);
int block_foreign_write_zeroes (BlockImage *image, guint64 offset, guint64 length, gboolean unmap);
int block_foreign_discard (BlockImage *image, guint64 offset, guint64 length);
int block_foreign_flush (BlockImage *image);
int block_foreign_map (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent);
void block_foreign_close (BlockImage *image);

#define BLOCK_FOREIGN_OPS(word)                                                                    \
  {                                                                                                \
    .name = word, .get_info = block_foreign_get_info, .readv = block_foreign_readv,                \
    .writev = block_foreign_writev, .write_zeroes = block_foreign_write_zeroes,                    \
    .discard = block_foreign_discard, .flush = block_foreign_flush, .map = block_foreign_map,      \
    .close = block_foreign_close                                                                   \
  }

/* Reads [offset, offset + length) of the file, which must lie inside of it: what is named by what
 * (such as "block allocation table"). Errors: INVALID when it does not, or cannot be read. */
gboolean block_foreign_read (BlockFile *file,
                             guint64 offset,
                             gpointer buffer,
                             gsize length,
                             const char *what,
                             GError **error);
/* The same into new memory, at most BLOCK_FOREIGN_TABLE_MAX bytes, checked against the file's size
 * before it is allocated. (transfer full): g_free. */
gpointer block_foreign_load (
    BlockFile *file, guint64 offset, guint64 length, const char *what, GError **error);
/* Sets VMM_ERROR_INVALID "FILE is no good VHD image: ..." and returns FALSE. */
gboolean
block_foreign_invalid (GError **error, BlockFile *file, const char *format, const char *text, ...)
    G_GNUC_PRINTF (4, 5);
gboolean block_foreign_unsupported (GError **error,
                                    BlockFile *file,
                                    const char *format,
                                    const char *text,
                                    ...) G_GNUC_PRINTF (4, 5);

/* CRC-32C (Castagnoli) as VHDX has it; crc: 0 at first. */
guint32 block_foreign_crc32c (guint32 crc, const guint8 *data, gsize length);

/* Little and big endian, unaligned. */
static inline guint16
get_le16 (const guint8 *p)
{
  return (guint16)(p[0] | p[1] << 8);
}
static inline guint32
get_le32 (const guint8 *p)
{
  return (guint32)p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24;
}
static inline guint64
get_le64 (const guint8 *p)
{
  return get_le32 (p) | (guint64)get_le32 (p + 4) << 32;
}
static inline guint32
get_be32 (const guint8 *p)
{
  return (guint32)p[3] | (guint32)p[2] << 8 | (guint32)p[1] << 16 | (guint32)p[0] << 24;
}
static inline guint64
get_be64 (const guint8 *p)
{
  return get_be32 (p + 4) | (guint64)get_be32 (p) << 32;
}
