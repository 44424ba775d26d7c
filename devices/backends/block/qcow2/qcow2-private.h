/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The qcow2 engine's parts: what they share. README.md says how they order their writes.
 *
 * q->lock protects everything in Qcow2 but what is fixed after open. Guest data is read and written
 * without it; what keeps data and mapping together then is the list of operations under way
 * (flight.c): each holds a range of guest clusters, shared or for itself alone.
 * Functions whose comment says nothing else are called with the lock held; "drops the lock" means
 * that it may be let go and taken again meanwhile, so that whatever was looked up before, other
 * than pinned slices and what a range held alone covers, must be looked up again. */
#pragma once
#include <errno.h>
#include <string.h>
#include "devices/backends/block/image.h"
#include "devices/backends/block/iov.h"

#define QCOW2_MAGIC            0x514649fbu
#define QCOW2_MIN_CLUSTER_BITS 9u
#define QCOW2_MAX_CLUSTER_BITS 21u
#define QCOW2_MAX_L1_BYTES     (32u << 20)
#define QCOW2_MAX_TABLE_BYTES  (8u << 20) /* refcount table */
#define QCOW2_MAX_SNAPSHOTS    65536u
#define QCOW2_MAX_NAME         1023u
#define QCOW2_SUBCLUSTERS      32u

/* incompatible_features */
#define QCOW2_DIRTY       G_GUINT64_CONSTANT (1)
#define QCOW2_CORRUPT     G_GUINT64_CONSTANT (2)
#define QCOW2_DATA_FILE   G_GUINT64_CONSTANT (4)
#define QCOW2_COMPRESSION G_GUINT64_CONSTANT (8)
#define QCOW2_EXTENDED_L2 G_GUINT64_CONSTANT (16)
#define QCOW2_INCOMPATIBLE_KNOWN                                                                   \
  (QCOW2_DIRTY | QCOW2_CORRUPT | QCOW2_DATA_FILE | QCOW2_COMPRESSION | QCOW2_EXTENDED_L2)
/* compatible_features */
#define QCOW2_LAZY_REFCOUNTS     G_GUINT64_CONSTANT (1)
/* autoclear_features */
#define QCOW2_BITMAPS            G_GUINT64_CONSTANT (1)
#define QCOW2_RAW_DATA_FILE      G_GUINT64_CONSTANT (2)
#define QCOW2_AUTOCLEAR_KNOWN    (QCOW2_BITMAPS | QCOW2_RAW_DATA_FILE)
/* table entries */
#define QCOW2_COPIED             (G_GUINT64_CONSTANT (1) << 63)
#define QCOW2_COMPRESSED         (G_GUINT64_CONSTANT (1) << 62)
#define QCOW2_ZERO               G_GUINT64_CONSTANT (1)
#define QCOW2_OFFSET             G_GUINT64_CONSTANT (0x00fffffffffffe00)
#define QCOW2_TABLE_OFFSET       G_GUINT64_CONSTANT (0xfffffffffffffe00) /* refcount table */
/* header extensions */
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURES       0x6803f857u
#define QCOW2_EXT_BITMAPS        0x23852875u
#define QCOW2_EXT_ENCRYPTION     0x0537be77u
#define QCOW2_EXT_DATA_FILE      0x44415441u

typedef struct _Qcow2 Qcow2;

static inline guint16
be16_get (const void *p)
{
  guint16 v;

  memcpy (&v, p, sizeof v);
  return GUINT16_FROM_BE (v);
}
static inline guint32
be32_get (const void *p)
{
  guint32 v;

  memcpy (&v, p, sizeof v);
  return GUINT32_FROM_BE (v);
}
static inline guint64
be64_get (const void *p)
{
  guint64 v;

  memcpy (&v, p, sizeof v);
  return GUINT64_FROM_BE (v);
}
static inline void
be16_put (void *p, guint16 v)
{
  v = GUINT16_TO_BE (v);
  memcpy (p, &v, sizeof v);
}
static inline void
be32_put (void *p, guint32 v)
{
  v = GUINT32_TO_BE (v);
  memcpy (p, &v, sizeof v);
}
static inline void
be64_put (void *p, guint64 v)
{
  v = GUINT64_TO_BE (v);
  memcpy (p, &v, sizeof v);
}

/* ---- cache.c: slices of L2 tables and refcount blocks ---- */

typedef struct _Qcow2Slice Qcow2Slice;
struct _Qcow2Slice
{
  guint64 offset; /* in the file */
  guint8 *data;   /* as on disk */
  guint pins;
  gboolean dirty, flushing, loading;
  Qcow2Slice *chain;         /* of its bucket */
  Qcow2Slice *newer, *older; /* by use */
};

typedef struct
{
  gboolean is_l2;     /* reads without the lock; dirty slices leave by a flush only */
  guint32 slice_size; /* bytes, power of two, at most the cluster size */
  guint max, n, n_dirty, n_buckets;
  Qcow2Slice **buckets;
  Qcow2Slice *newest, *oldest;
} Qcow2Cache;

void qcow2_cache_init (Qcow2Cache *cache, gboolean is_l2, guint32 slice_size, guint64 bytes);
void qcow2_cache_finish (Qcow2Cache *cache);
/* (nullable) without waiting, not pinned. */
Qcow2Slice *qcow2_cache_peek (Qcow2Cache *cache, guint64 offset);
/* Pins *ret; fresh: zeroes, without reading. is_l2: drops the lock. */
int qcow2_cache_get (Qcow2 *q, Qcow2Cache *cache, guint64 offset, gboolean fresh, Qcow2Slice **ret);
static inline void
qcow2_cache_put (Qcow2Slice *slice)
{
  if (slice != NULL)
    slice->pins--;
}
void qcow2_cache_dirty (Qcow2Cache *cache, Qcow2Slice *slice);
void qcow2_cache_clean (Qcow2Cache *cache, Qcow2Slice *slice);
/* Forgets what lies in [offset, offset + length), dirty or not. */
void qcow2_cache_drop (Qcow2Cache *cache, guint64 offset, guint64 length);
void qcow2_cache_drop_all (Qcow2Cache *cache);
int qcow2_cache_write (Qcow2 *q, Qcow2Cache *cache, Qcow2Slice *slice);
int qcow2_cache_write_all (Qcow2 *q, Qcow2Cache *cache);

/* ---- flight.c: operations under way ---- */

#define QCOW2_MAX_COMMITS 16

/* What end has to do to the mapping. */
typedef struct
{
  Qcow2Slice *slice; /* pinned */
  guint index;       /* of the entry in the slice */
  guint32 subclusters;
} Qcow2Commit;

typedef struct _Qcow2Op Qcow2Op;
struct _Qcow2Op
{
  Qcow2Op *prev, *next;
  guint64 first, last; /* guest clusters */
  gboolean alone;
  guint n_commits;
  Qcow2Commit *commits; /* fast path: QCOW2_MAX_COMMITS */
};

/* Waits (drops the lock) for all that came before and is in the way. */
void qcow2_op_begin (Qcow2 *q, Qcow2Op *op, guint64 first, guint64 last, gboolean alone);
/* FALSE: something is in the way. */
gboolean qcow2_op_try (Qcow2 *q, Qcow2Op *op, guint64 first, guint64 last, gboolean alone);
void qcow2_op_end (Qcow2 *q, Qcow2Op *op);
void qcow2_wait (Qcow2 *q);
void qcow2_wake (Qcow2 *q);
/* Takes the lock and every guest cluster for itself, and keeps flushes out. */
void qcow2_control_begin (Qcow2 *q, Qcow2Op *op);
void qcow2_control_end (Qcow2 *q, Qcow2Op *op);
/* Around I/O that keeps the lock: begin does not wait for it. */
static inline void qcow2_io_begin (Qcow2 *q);
static inline void qcow2_io_end (Qcow2 *q);

/* ---- snapshots and bitmaps as the image has them ---- */

typedef struct
{
  guint64 l1_offset;
  guint32 l1_size; /* entries */
  char *id, *name;
  guint32 date_sec, date_nsec;
  guint64 guest_ns, state_size, disk_size;
  gboolean has_disk_size; /* v2 images may not say it */
  guint8 *extra;          /* (nullable) what else is in the entry, kept */
  guint32 extra_size;
  guint n_views; /* open views */
} Qcow2Snapshot;

typedef struct
{
  char *name;
  guint64 table_offset;
  guint32 table_size; /* entries */
  guint32 flags;
  guint8 type, granularity_bits;
  guint8 *extra; /* (nullable) */
  guint32 extra_size;
  guint64 n_bits;
  guint8 *bits;   /* (nullable) loaded; bit 0 is the first granule */
  gboolean dirty; /* bits differ from the file */
} Qcow2Bitmap;

#define QCOW2_BITMAP_IN_USE           1u
#define QCOW2_BITMAP_AUTO             2u
#define QCOW2_BITMAP_EXTRA_COMPATIBLE 4u

typedef struct
{
  guint32 type, length;
  guint8 *data;
} Qcow2Extension;

/* A range of host clusters. */
typedef struct
{
  guint64 first, n;
} Qcow2Run;

typedef enum
{
  QCOW2_META_NONE,
  QCOW2_META_HEADER,
  QCOW2_META_L1,
  QCOW2_META_L2,
  QCOW2_META_TABLE, /* refcount table */
  QCOW2_META_BLOCK, /* refcount block */
  QCOW2_META_SNAPSHOTS,
  QCOW2_META_SNAPSHOT_L1,
  QCOW2_META_BITMAPS,
} Qcow2Meta;

/* A tree of tables from which guest clusters are found: the active one or a snapshot's. */
typedef struct
{
  guint64 *l1; /* host order */
  guint32 l1_size;
  guint64 disk_size; /* bytes */
} Qcow2Root;

struct _Qcow2
{
  BlockImage parent;
  BlockFile *data; /* guest data: parent.file or an external file, then owned */
  BlockImageFlags flags;
  gboolean readonly;

  /* of the header */
  guint version, cluster_bits, refcount_order;
  guint32 cluster_size;
  guint64 incompatible, compatible, autoclear;
  guint32 header_length;
  guint8 *header_rest; /* (nullable) additional fields as they were read */
  guint8 compression;  /* 0 zlib, 1 zstd */
  guint64 l1_offset, table_offset, snapshots_offset;
  guint32 table_clusters;
  char *backing_file, *backing_format, *data_name;
  GArray *extensions; /* of Qcow2Extension: those that we do not know */

  /* derived */
  guint refcount_bits, block_bits; /* 1 << block_bits clusters in a refcount block */
  guint64 refcount_max;
  guint entry_size;      /* bytes of an L2 entry: 8 or 16 */
  guint l2_bits;         /* 1 << l2_bits entries in an L2 table */
  guint subcluster_bits; /* = cluster_bits without subclusters */
  gboolean extended, external, raw_data, lazy;

  GMutex lock;
  GCond changed;
  guint n_waiting;
  gint in_io; /* atomic */
  Qcow2Op *oldest, *newest;
  guint n_alone;
  gboolean control;
  GPtrArray *free_ops;

  Qcow2Root active; /* l1_size may be more than the size needs: state of a machine */
  guint8 *l1_dirty; /* a byte for each 512 bytes of the L1 table */
  gboolean l1_any_dirty, l1_moved;
  guint64 l1_old_offset; /* of the table that l1_moved left */
  guint32 l1_old_size;
  gboolean l2_busy; /* somebody makes an L2 table */
  Qcow2Cache l2;

  guint64 *table; /* refcount table, host order */
  guint32 table_size;
  guint8 *table_dirty; /* a byte for each 512 bytes */
  gboolean table_any_dirty, table_moved;
  guint64 table_old_offset;
  guint32 table_old_clusters;
  Qcow2Cache blocks;
  gboolean refcounts_unsynced; /* written since the last barrier */
  gboolean data_unsynced;      /* a mapping waits for its data to be on stable storage */

  guint64 end;          /* first host cluster that nothing has ever used: reads as zeroes */
  guint64 file_end;     /* bytes to which we made the file */
  guint64 free_hint;    /* no free cluster below */
  Qcow2Run reserve;     /* allocated, zeroed, used by nothing yet */
  GArray *frees;        /* of Qcow2Run: to be freed once no table on disk refers to them */
  guint64 byte_offset;  /* where the next compressed cluster goes; 0: nowhere yet */
  GHashTable *metadata; /* host cluster to Qcow2Meta */

  gboolean flushing, writing;
  gboolean broken; /* a corruption was found: no more writes */
  char *broken_text;
  gboolean closing;
  gboolean
      needs_repair; /* a failure left leaks and marks that do not fit: at close, or next open */
  gboolean header_doubtful;             /* a change of it failed, and may be there or not */
  gboolean borrowed;                    /* parent.file is not ours */
  GPtrArray *snapshots;                 /* of Qcow2Snapshot */
  GPtrArray *bitmaps;                   /* of Qcow2Bitmap */
  guint64 bitmaps_offset, bitmaps_size; /* the directory's, bytes */
  guint64 bitmaps_total;                /* bytes of the tables that the directory names */
  gboolean bitmaps_recording;
};

static inline void
qcow2_io_begin (Qcow2 *q)
{
  g_atomic_int_inc (&q->in_io);
}
static inline void
qcow2_io_end (Qcow2 *q)
{
  g_atomic_int_add (&q->in_io, -1);
}

/* Bytes to clusters, rounded up. */
static inline guint64
qcow2_clusters (const Qcow2 *q, guint64 bytes)
{
  return (bytes >> q->cluster_bits) + ((bytes & (q->cluster_size - 1)) != 0);
}

/* ---- header.c ---- */

/* Without the lock. */
gboolean qcow2_header_read (Qcow2 *q, GError **error);
/* The fixed fields in one sector. */
int qcow2_header_update (Qcow2 *q);
/* With extensions and the backing file's name. -ENAMETOOLONG: longer than a cluster. */
int qcow2_header_write (Qcow2 *q);
/* L1 entries that a disk of size bytes needs. FALSE: too many. */
gboolean qcow2_l1_entries (const Qcow2 *q, guint64 size, guint32 *ret_n);
void qcow2_header_free (Qcow2 *q);
G_GNUC_PRINTF (4, 5)
gboolean qcow2_refuse (Qcow2 *q, GError **error, VmmErrorCode code, const char *format, ...);
void qcow2_derive (Qcow2 *q);

/* ---- refcount.c ---- */

int qcow2_table_load (Qcow2 *q);
int qcow2_refcount_get (Qcow2 *q, guint64 cluster, guint64 *ret);
/* Adds or takes away one from each of n clusters, all or none. -ERANGE: too many references. */
int qcow2_refcount_add (Qcow2 *q, guint64 cluster, guint64 n, gboolean up);
int qcow2_refcount_set (Qcow2 *q, guint64 cluster, guint64 value);
/* n clusters in a row with a count of 1; zeroed: they read as zeroes. */
int qcow2_alloc (Qcow2 *q, guint64 n, gboolean zeroed, guint64 *ret_first);
/* 1 to max clusters in a row of those that read as zeroes. */
int qcow2_alloc_data (Qcow2 *q, guint64 max, Qcow2Run *ret_run);
/* Clusters that no table has ever referred to. */
void qcow2_unalloc (Qcow2 *q, guint64 first, guint64 n);
/* Lets go of one reference when the next flush has put the tables on disk. */
void qcow2_free_later (Qcow2 *q, guint64 first, guint64 n);
/* The reference of an L2 entry, of whatever kind. */
void qcow2_free_entry_later (Qcow2 *q, guint64 entry);
int qcow2_process_frees (Qcow2 *q, const Qcow2Run *runs, guint n);
/* Refcount blocks and table; the barrier before the table only. */
int qcow2_refcounts_write (Qcow2 *q);
void qcow2_release_reserve (Qcow2 *q);
guint64 qcow2_refcount_read_entry (const Qcow2 *q, const guint8 *data, guint64 index);
void qcow2_refcount_write_entry (const Qcow2 *q, guint8 *data, guint64 index, guint64 value);
int qcow2_barrier (Qcow2 *q);

/* ---- mapping.c ---- */

typedef enum
{
  QCOW2_UNALLOCATED,
  QCOW2_ZEROES,
  QCOW2_DATA,
  QCOW2_PACKED, /* compressed */
} Qcow2Kind;

typedef struct
{
  guint64 entry, bitmap; /* bitmap: extended L2 */
} Qcow2Entry;

typedef struct
{
  Qcow2Kind kind;
  guint64 length; /* bytes */
  guint64 host;   /* DATA; ZEROES: a place or 0; PACKED: the entry */
  gboolean has_host;
} Qcow2Extent;

int qcow2_l1_load (Qcow2 *q, guint64 offset, guint32 n, guint64 **ret);
/* The extent at offset, inside one L2 slice. Drops the lock. */
int qcow2_map (Qcow2 *q, const Qcow2Root *root, guint64 offset, guint64 length, Qcow2Extent *ret);
/* Pins the slice with the entry of a guest cluster; *ret_slice NULL: no L2 table. Drops the lock. */
int qcow2_slice_get (
    Qcow2 *q, const Qcow2Root *root, guint64 cluster, Qcow2Slice **ret_slice, guint *ret_index);
/* The same in the active tables for writing: makes or copies the L2 table. Drops the lock. */
int qcow2_slice_get_writable (Qcow2 *q, guint64 cluster, Qcow2Slice **ret_slice, guint *ret_index);
Qcow2Entry qcow2_entry_get (const Qcow2 *q, const Qcow2Slice *slice, guint index);
/* Marks the slice dirty. */
void qcow2_entry_set (Qcow2 *q, Qcow2Slice *slice, guint index, Qcow2Entry entry);
/* Is it well formed? */
gboolean qcow2_entry_ok (const Qcow2 *q, Qcow2Entry entry, guint64 cluster);
/* FALSE: malformed, and the image is marked corrupt. */
gboolean qcow2_entry_check (Qcow2 *q, Qcow2Entry entry, guint64 cluster);
/* How far, from a byte of a cluster, one kind reaches in that cluster. */
Qcow2Kind
qcow2_entry_kind (const Qcow2 *q, Qcow2Entry entry, guint32 in_cluster, guint32 *ret_length);
void qcow2_l1_set (Qcow2 *q, guint32 index, guint64 value);
/* What a compressed cluster takes of the file. */
void qcow2_packed_place (const Qcow2 *q, guint64 entry, guint64 *ret_offset, guint64 *ret_length);
/* The table of the image that all entries beyond are zeroes of: longer, elsewhere. */
int qcow2_l1_grow (Qcow2 *q, guint32 n);

/* ---- flush.c ---- */

/* All that is dirty goes to disk in order. barrier: what was written is on stable storage
 * afterwards; without it, only what order needs. Drops the lock. */
int qcow2_flush_metadata (Qcow2 *q, gboolean barrier);
/* Until nothing waits to be freed either. */
int qcow2_flush_all (Qcow2 *q);
/* Before the first write: marks the image as in use. */
int qcow2_start_writing (Qcow2 *q);
/* Marks the image corrupt. Returns -EIO. */
G_GNUC_PRINTF (2, 3) int qcow2_corrupt (Qcow2 *q, const char *format, ...);
/* May the bytes be written as kind? What is there otherwise makes the image corrupt. */
int qcow2_check_overlap (Qcow2 *q, guint64 offset, guint64 length, Qcow2Meta kind);
void qcow2_metadata_add (Qcow2 *q, guint64 offset, guint64 length, Qcow2Meta kind);
void qcow2_metadata_remove (Qcow2 *q, guint64 offset, guint64 length);
/* Checks, then writes: all metadata but slices goes through it. */
int qcow2_metadata_write (Qcow2 *q, guint64 offset, const void *data, gsize length, Qcow2Meta kind);

/* ---- io.c: the interface's data operations, without the lock ---- */

int qcow2_readv (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov);
int qcow2_writev (BlockImage *image, guint64 offset, const struct iovec *iov, guint n_iov);
int qcow2_flush (BlockImage *image);
int qcow2_map_extent (BlockImage *image, guint64 offset, guint64 length, BlockExtent *ret_extent);
/* With the lock, inside a range that the caller holds. */
int qcow2_map_root (
    Qcow2 *q, const Qcow2Root *root, guint64 offset, guint64 length, BlockExtent *ret_extent);
/* Inside a range that the caller holds. */
int qcow2_read_root (
    Qcow2 *q, const Qcow2Root *root, guint64 offset, const struct iovec *iov, guint n_iov);
int qcow2_write_held (Qcow2 *q, guint64 offset, const struct iovec *iov, guint n_iov);
/* What unallocated clusters at offset and after show is not known to be zeroes. */
gboolean qcow2_has_backing_at (Qcow2 *q, guint64 offset);
/* Has host space of its own that its content is not in yet (all of it). */
gboolean qcow2_entry_has_own_place (const Qcow2 *q, Qcow2Entry e);
/* Do the bytes read as zeroes, as far as the mapping tells? Drops the lock. */
gboolean qcow2_reads_zero (Qcow2 *q, guint64 offset, guint64 end);

/* ---- zero.c ---- */

int qcow2_write_zeroes (BlockImage *image, guint64 offset, guint64 length, gboolean unmap);
int qcow2_discard (BlockImage *image, guint64 offset, guint64 length);
/* Inside a range that the caller holds. */
int qcow2_zero_held (Qcow2 *q, guint64 offset, guint64 length, gboolean unmap);
/* With the lock: drops mappings of whole guest clusters; zero: they read as zeroes afterwards,
 * otherwise as the backing image. keep: host clusters stay where they can. */
int qcow2_forget (Qcow2 *q, guint64 first, guint64 n, gboolean zero, gboolean keep);

/* ---- fast.c ---- */
gboolean
qcow2_begin (BlockImage *image, gboolean write, guint64 offset, guint64 length, BlockPlan *plan);
int qcow2_end (BlockImage *image, BlockPlan *plan, int result);

/* ---- compressed.c ---- */

/* Without the lock: the cluster, whole, into a buffer of cluster_size bytes. */
int qcow2_packed_read (Qcow2 *q, guint64 entry, guint8 *buffer);
int qcow2_write_compressed (BlockImage *image, guint64 offset, const void *data, gsize length);

/* ---- snapshot.c ---- */

int qcow2_snapshots_load (Qcow2 *q, GError **error);
void qcow2_snapshot_free (Qcow2Snapshot *snapshot);
/* Bytes of the table in the file. */
guint64 qcow2_snapshots_size (Qcow2 *q);
GPtrArray *qcow2_snapshot_list (BlockImage *image);
gboolean qcow2_snapshot_create (BlockImage *image, const BlockSnapshot *snapshot, GError **error);
gboolean qcow2_snapshot_apply (BlockImage *image, const char *id, GError **error);
gboolean qcow2_snapshot_delete (BlockImage *image, const char *id, GError **error);
BlockImage *qcow2_snapshot_open (BlockImage *image, const char *id, GError **error);

/* ---- root.c: in a control operation, with the lock ---- */

/* Reads an L2 table whole. */
int qcow2_table_read (Qcow2 *q, guint64 offset, guint8 *buffer);
/* One more or less user of the first `limit` things that the root reaches, in a fixed order;
 * *ret_done: how many. Everything must be on disk. */
int
qcow2_root_count (Qcow2 *q, const Qcow2Root *root, gboolean up, guint64 limit, guint64 *ret_done);
/* All or nothing. */
int qcow2_root_count_up (Qcow2 *q, const Qcow2Root *root);
/* Everything that the root reaches is let go of, and its L1 table. */
int qcow2_root_free (Qcow2 *q, const Qcow2Root *root, guint64 l1_offset);
/* Sets or clears the COPIED marks of the active tables by the counts. all_off: clears them. */
int qcow2_root_mark (Qcow2 *q, gboolean all_off);
/* An L1 table with the root's contents and no marks, counted and on its way to disk. */
int qcow2_root_write (Qcow2 *q, const guint64 *l1, guint32 n, Qcow2Meta kind, guint64 *ret_offset);
/* Makes the COPIED marks of the active tables what the counts say. */
int qcow2_mark_copied (Qcow2 *q);

/* ---- check.c ---- */

gboolean qcow2_check (BlockImage *image,
                      BlockCheckFlags flags,
                      BlockCheckReport *report,
                      const BlockProgress *progress,
                      GError **error);
/* In a control operation. */
gboolean qcow2_check_held (Qcow2 *q,
                           BlockCheckFlags flags,
                           BlockCheckReport *report,
                           const BlockProgress *progress,
                           GError **error);

/* ---- bitmap.c ---- */

gboolean qcow2_bitmaps_load (Qcow2 *q, const guint8 *extension, guint32 length, GError **error);
void qcow2_bitmap_free (Qcow2Bitmap *bitmap);
/* Before the first write: those that record are marked in use. */
int qcow2_bitmaps_start (Qcow2 *q);
/* At close: back to the file. */
int qcow2_bitmaps_store (Qcow2 *q);
/* After their sizes changed. */
int qcow2_bitmaps_update (Qcow2 *q);
void qcow2_bitmaps_mark (Qcow2 *q, guint64 offset, guint64 length);
gboolean qcow2_bitmaps_resize (Qcow2 *q, guint64 size, GError **error);
GPtrArray *qcow2_bitmap_list (BlockImage *image);
gboolean
qcow2_bitmap_add (BlockImage *image, const char *name, guint64 granularity, GError **error);
gboolean qcow2_bitmap_remove (BlockImage *image, const char *name, GError **error);
gboolean qcow2_bitmap_map (BlockImage *image,
                           const char *name,
                           guint64 offset,
                           guint64 *ret_length,
                           gboolean *ret_dirty,
                           GError **error);
gboolean qcow2_bitmap_clear (BlockImage *image, const char *name, GError **error);

/* ---- image.c ---- */

/* file: (transfer full), also on error, unless borrowed. */
BlockImage *
qcow2_open (BlockFile *file, const BlockImageFlags *flags, gboolean borrowed, GError **error);
/* The clusters of the tables, anew from what is in memory. */
void qcow2_metadata_load (Qcow2 *q);
/* Free host clusters begin here. */
int qcow2_find_end (Qcow2 *q);

/* ---- resize.c ---- */

/* Gives the guest range host clusters that read as what was there before (nothing: zeroes). In a
 * control operation or before anybody else has the image. */
gboolean qcow2_preallocate (Qcow2 *q,
                            guint64 offset,
                            guint64 length,
                            BlockPreallocate mode,
                            const BlockProgress *progress,
                            GError **error);
/* FALSE: progress wants the end. */
gboolean
qcow2_step (Qcow2 *q, const BlockProgress *progress, guint64 done, guint64 total, GError **error);

gboolean
qcow2_resize (BlockImage *image, guint64 size, const BlockProgress *progress, GError **error);
gboolean qcow2_set_backing (BlockImage *image,
                            const char *backing_file,
                            const char *backing_format,
                            GError **error);
