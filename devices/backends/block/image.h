/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A disk image: a format over a BlockFile, with its backing chain. Tools use it as it is; a
 * BlockBackend (block.h) puts it under a disk device.
 *
 * Formats are always named, never guessed from contents. Reads and writes are synchronous, of any
 * alignment inside the size, and may come from several threads at once; the image keeps them apart.
 * A write is on stable storage after a flush that began when it was done.
 *
 * Write order is safe at every instant: a crash leaves at worst leaked space, never a lost or shared
 * cluster, and what was acknowledged before a flush is there after it.
 *
 * Owner: who opened it. Threads: data operations any; "control" operations (snapshots, resize,
 * check, bitmaps, close) any, one at a time: they wait for data operations under way and hold new
 * ones up.
 * Data operations return 0 or -errno; control operations fill a GError that names image, cause and
 * remedy. */
#pragma once
#include "devices/backends/block/file.h"

typedef struct _BlockImage BlockImage;

typedef enum
{
  BLOCK_FORMAT_RAW,
  BLOCK_FORMAT_QCOW2,
  BLOCK_FORMAT_VMDK, /* read only, as those below: for import */
  BLOCK_FORMAT_VHD,
  BLOCK_FORMAT_VHDX,
  BLOCK_FORMAT_VDI,
} BlockFormat;
#define BLOCK_N_FORMATS (BLOCK_FORMAT_VDI + 1)
/* "raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi". */
const char *block_format_to_string (BlockFormat format);
gboolean block_format_from_string (const char *word, BlockFormat *ret_format);
/* What the contents look like, for the import assistant to propose and people to confirm; never used
 * to open a disk. RAW when nothing else fits. */
BlockFormat block_format_guess (BlockFile *file);

#define BLOCK_CHAIN_MAX 64 /* images in a backing chain */

typedef struct
{
  gboolean readonly;
  gboolean direct;      /* O_DIRECT */
  gboolean discard;     /* discards give space back to the host */
  gboolean draft;       /* as BlockFileFlags: of the image's own file, not a qcow2 data file */
  gboolean no_backing;  /* the image alone: check, info, rebase */
  gboolean no_lock;     /* BLOCK_LOCK_NONE: looking at an image in use */
  gboolean force_share; /* BLOCK_LOCK_SHARED would be refused by a writer: as no_lock */
  guint64 cache_size;   /* bytes of metadata cache, 0: chosen from the size */
} BlockImageFlags;

typedef enum
{
  BLOCK_EXTENT_UNALLOCATED, /* from the backing image; zeroes where there is none */
  BLOCK_EXTENT_ZERO,
  BLOCK_EXTENT_DATA,
  BLOCK_EXTENT_COMPRESSED,
} BlockExtentKind;

typedef struct
{
  guint64 offset, length; /* of the disk, bytes; length > 0 */
  BlockExtentKind kind;
  guint depth;        /* 0: this image, 1: its backing image, ... */
  gint64 file_offset; /* DATA: where in the file; -1 unknown. ZERO: a preallocated place or -1 */
} BlockExtent;

typedef struct
{
  BlockFormat format;
  guint64 size;            /* of the disk, bytes */
  guint32 cluster_size;    /* bytes; raw: 0 */
  guint32 subcluster_size; /* = cluster_size without subclusters */
  guint32 version;         /* qcow2: 2 or 3 */
  gboolean readonly, dirty, corrupt, lazy_refcounts, compressed_zstd, encrypted, external_data;
  guint n_snapshots, n_bitmaps;
  const char *backing_file;   /* (nullable) as written in the image */
  const char *backing_format; /* (nullable) */
  const char *data_file;      /* (nullable) */
} BlockImageInfo;

/* An internal snapshot. */
typedef struct
{
  char *id;           /* unique in the image */
  char *name;         /* unique too when we made it */
  guint64 disk_size;  /* bytes */
  gint64 time_ns;     /* since 1970, UTC */
  guint64 guest_ns;   /* guest clock */
  guint64 state_size; /* bytes of machine state stored by another program, else 0 */
} BlockSnapshot;
void block_snapshot_free (BlockSnapshot *snapshot);

typedef struct
{
  char *name;
  guint64 granularity; /* bytes */
  gboolean recording;  /* enabled: marks writes */
  gboolean consistent; /* FALSE: was in use at a crash; good for nothing but removal */
  guint64 dirty_bytes;
} BlockBitmap;
void block_bitmap_free (BlockBitmap *bitmap);

/* Long work: step is called now and then with what is done of total (bytes or any unit); FALSE ends
 * the work cleanly with VMM_ERROR_CANCELLED. NULL: no progress. */
typedef struct
{
  gboolean (*step) (guint64 done, guint64 total, gpointer user_data);
  gpointer user_data;
} BlockProgress;

typedef enum
{
  BLOCK_CHECK_LOOK = 0,
  BLOCK_CHECK_REPAIR_LEAKS = 1 << 0,
  BLOCK_CHECK_REPAIR_ALL = 1 << 1,
} BlockCheckFlags;
typedef struct
{
  guint64 corruptions, leaks, corruptions_fixed, leaks_fixed,
      errors; /* clusters; errors: unreadable */
  guint64 clusters_total, clusters_allocated, clusters_compressed, clusters_fragmented;
  guint64 end_offset;  /* bytes of the file in use */
  GPtrArray *messages; /* of char *, at most 100 */
} BlockCheckReport;
void block_check_report_clear (BlockCheckReport *report);

/* The fast path of an image under a device: where the bytes of a request go, told without waiting.
 * A plan covers [offset, offset+length) with up to BLOCK_PLAN_MAX pieces; a write plan may hold
 * allocations that count only when end is called with result 0. */
#define BLOCK_PLAN_MAX 16
typedef struct
{
  guint64 length;     /* bytes */
  gint64 file_offset; /* -1: zeroes (reads) */
} BlockPlanPiece;
typedef struct
{
  int fd;
  guint n_pieces;
  BlockPlanPiece pieces[BLOCK_PLAN_MAX];
  gpointer priv[4]; /* the image's */
} BlockPlan;

typedef struct
{
  const char *name; /* "qcow2" */
  void (*get_info) (BlockImage *image, BlockImageInfo *ret_info);
  int (*readv) (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov);
  int (*writev) (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov);
  /* unmap: may give space back; reads as zeroes either way. */
  int (*write_zeroes) (BlockImage *image, guint64 offset, guint64 length, gboolean unmap);
  /* Whole clusters inside the range; afterwards they read as zeroes (qcow2 v3, raw with holes) or
   * as before. */
  int (*discard) (BlockImage *image, guint64 offset, guint64 length);
  int (*flush) (BlockImage *image);
  /* What is at offset, in this image only (depth 0). */
  int (*map) (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent);

  /* (nullable, both or none) FALSE: take the slow way (readv, writev). Never waits for I/O or for
   * another request. On TRUE, end is called once with the result after the I/O, on any thread. */
  gboolean (*begin) (
      BlockImage *image, gboolean write, guint64 offset, guint64 length, BlockPlan *ret_plan);
  /* Returns the request's result (a failure may come from the metadata). Never waits. */
  int (*end) (BlockImage *image, BlockPlan *plan, int result);

  /* (nullable: not supported by the format). */
  int (*write_compressed) (BlockImage *image, guint64 offset, const void *data, gsize length);
  gboolean (*resize) (BlockImage *image,
                      guint64 size,
                      const BlockProgress *progress,
                      GError **error);
  gboolean (*check) (BlockImage *image,
                     BlockCheckFlags flags,
                     BlockCheckReport *report,
                     const BlockProgress *progress,
                     GError **error);
  GPtrArray *(*snapshot_list) (BlockImage *image); /* (transfer full) of BlockSnapshot */
  /* snapshot->id NULL: the next free number is taken. */
  gboolean (*snapshot_create) (BlockImage *image, const BlockSnapshot *snapshot, GError **error);
  /* The disk becomes what it was then; the present contents are gone. */
  gboolean (*snapshot_apply) (BlockImage *image, const char *id, GError **error);
  gboolean (*snapshot_delete) (BlockImage *image, const char *id, GError **error);
  /* (transfer full) a read-only view of the snapshot; image must outlive it. */
  BlockImage *(*snapshot_open) (BlockImage *image, const char *id, GError **error);
  GPtrArray *(*bitmap_list) (BlockImage *image); /* (transfer full) of BlockBitmap */
  gboolean (*bitmap_add) (BlockImage *image, const char *name, guint64 granularity, GError **error);
  gboolean (*bitmap_remove) (BlockImage *image, const char *name, GError **error);
  /* From offset: how many bytes are all dirty or all clean in the bitmap. */
  gboolean (*bitmap_map) (BlockImage *image,
                          const char *name,
                          guint64 offset,
                          guint64 *ret_length,
                          gboolean *ret_dirty,
                          GError **error);
  gboolean (*bitmap_clear) (BlockImage *image, const char *name, GError **error);
  /* Writes other names into the header; contents are not touched. backing_file NULL: none. */
  gboolean (*set_backing) (BlockImage *image,
                           const char *backing_file,
                           const char *backing_format,
                           GError **error);
  /* Flushes, releases. */
  void (*close) (BlockImage *image);
} BlockImageOps;

struct _BlockImage
{
  const BlockImageOps *ops;
  char *name;          /* for messages */
  BlockFile *file;     /* owned */
  BlockImage *backing; /* (nullable) owned, read only */
};

/* Opens path (or nbd URI) as the named format with its whole backing chain. A relative backing name
 * is relative to the image's folder. Refused with the chain named: no backing format written in the
 * image, a cycle, more than BLOCK_CHAIN_MAX images, an encrypted image. */
BlockImage *block_image_open (const char *path,
                              BlockFormat format,
                              const BlockImageFlags *flags,
                              GError **error);
static inline void
block_image_close (BlockImage *image)
{
  if (image != NULL)
    image->ops->close (image);
}
/* file: (transfer full), also on error. Without backing chain; for the formats' own files, tests,
 * fuzzing. */
BlockImage *block_image_open_raw (BlockFile *file, const BlockImageFlags *flags, GError **error);
BlockImage *block_image_open_qcow2 (BlockFile *file, const BlockImageFlags *flags, GError **error);
BlockImage *block_image_open_vmdk (BlockFile *file, const BlockImageFlags *flags, GError **error);
BlockImage *block_image_open_vhd (BlockFile *file, const BlockImageFlags *flags, GError **error);
BlockImage *block_image_open_vhdx (BlockFile *file, const BlockImageFlags *flags, GError **error);
BlockImage *block_image_open_vdi (BlockFile *file, const BlockImageFlags *flags, GError **error);

typedef enum
{
  BLOCK_PREALLOCATE_OFF,
  BLOCK_PREALLOCATE_METADATA,
  BLOCK_PREALLOCATE_FALLOC,
  BLOCK_PREALLOCATE_FULL,
} BlockPreallocate;

typedef struct
{
  guint64 size;          /* bytes; 0 with a backing file: its size */
  guint32 cluster_size;  /* qcow2: 512 to 2 MiB, power of two; 0: 65536 */
  guint32 version;       /* qcow2: 2, 3; 0: 3 */
  guint32 refcount_bits; /* qcow2: 1 to 64; 0: 16 */
  gboolean extended_l2;  /* qcow2: 32 subclusters a cluster; cluster_size >= 16384 */
  gboolean lazy_refcounts;
  gboolean compress_zstd; /* compressed clusters use zstd */
  BlockPreallocate preallocate;
  const char *backing_file;   /* (nullable) as it is to be written into the image */
  const char *backing_format; /* needed with backing_file */
  const char *data_file;      /* (nullable) qcow2: guest data lies there */
  gboolean data_file_raw;
  gboolean draft; /* as BlockFileFlags */
} BlockCreateOptions;
/* A new image (raw or qcow2) at path, which must not exist. On error nothing remains. */
gboolean block_image_create (const char *path,
                             BlockFormat format,
                             const BlockCreateOptions *options,
                             const BlockProgress *progress,
                             GError **error);
/* file: (transfer none), empty. */
gboolean block_qcow2_format (BlockFile *file,
                             const BlockCreateOptions *options,
                             const BlockProgress *progress,
                             GError **error);

/* The disk as a streamOptimized VMDK (for appliances) into to, which is empty. name: the file's, for
 * its descriptor. */
gboolean block_vmdk_write_stream (BlockImage *from,
                                  BlockFile *to,
                                  const char *name,
                                  const BlockProgress *progress,
                                  GError **error);

/* Conveniences. What the format does not support: -ENOTSUP, or NOT_SUPPORTED by name. Bounds are
 * checked (-EINVAL). */
guint64 block_image_get_size (BlockImage *image);
int block_image_read (BlockImage *image, guint64 offset, void *buffer, gsize length);
int block_image_write (BlockImage *image, guint64 offset, const void *buffer, gsize length);
int block_image_write_zeroes (BlockImage *image, guint64 offset, guint64 length, gboolean unmap);
int block_image_flush (BlockImage *image);
/* Through the whole chain: kind UNALLOCATED then means that no image has it (zeroes). */
int block_image_map (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent);
gboolean block_image_snapshot_create (
    BlockImage *image, const char *id, const char *name, guint64 guest_ns, GError **error);
gboolean block_image_snapshot_apply (BlockImage *image, const char *id, GError **error);
gboolean block_image_snapshot_delete (BlockImage *image, const char *id, GError **error);
BlockImage *block_image_snapshot_open (BlockImage *image, const char *id, GError **error);
