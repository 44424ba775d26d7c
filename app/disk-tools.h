/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What people do with disk images that no machine has open: make, look at, check, resize, convert,
 * compact, compare, back up. The image's lock is taken, so that a disk in use is refused with who
 * holds it.
 *
 * All block; progress (nullable) comes on the calling thread, its step ends the work with
 * VMM_ERROR_CANCELLED when it returns FALSE. New files are written under a hidden name beside their
 * own and renamed at the end: on error nothing remains. Errors are VMM_ERROR with file, cause and
 * remedy. Thread: any, one at a time for an image. */
#pragma once
#include <gio/gio.h>
#include "app/disk-copy.h"

/* ---- looking (disk-look.c) ---- */

typedef struct
{
  char *path;
  BlockFormat format;
  guint64 size;                                    /* of the disk, bytes */
  guint64 allocated;                               /* on the host, bytes */
  BlockImageInfo info;                             /* its strings are NULL: see below */
  char *backing_file, *backing_format, *data_file; /* (nullable) as written in the image */
  GPtrArray *snapshots;                            /* of BlockSnapshot */
  GPtrArray *bitmaps;                              /* of BlockBitmap */
  char *problem; /* (nullable) why the backing image cannot be used */
} AlcoveDiskImage;
void alcove_disk_image_free (gpointer image);

/* (transfer full) of AlcoveDiskImage: the image, its backing image, and so on. Looks without lock, so
 * a disk in use can be looked at. A backing image that cannot be opened ends the list; the image above
 * it has the problem. */
GPtrArray *alcove_disk_get_chain (const char *path, BlockFormat format, GError **error);

/* (transfer full) of BlockExtent: the whole disk in order, neighbours of one kind joined. */
GArray *alcove_disk_get_map (const char *path, BlockFormat format, GError **error);

typedef struct
{
  gboolean identical;
  guint64 offset;         /* the first byte that differs, when not identical */
  guint64 size_a, size_b; /* bytes; the longer one's end may be zeroes and still be identical */
} AlcoveDiskComparison;
gboolean alcove_disk_compare (const char *path_a,
                              BlockFormat format_a,
                              const char *path_b,
                              BlockFormat format_b,
                              const BlockProgress *progress,
                              AlcoveDiskComparison *ret,
                              GError **error);

/* What the contents look like, for a message: formats are always named. RAW when unreadable. */
BlockFormat alcove_disk_guess_format (const char *path);

/* ---- new images (disk-tools.c) ---- */

typedef struct
{
  const char *from;
  BlockFormat from_format;
  const char *from_snapshot; /* (nullable) id of an internal snapshot */
  const char *to;            /* must not exist */
  BlockFormat to_format;     /* raw or qcow2 */
  BlockCreateOptions create; /* size 0: the source's */
  gboolean compress;
} AlcoveDiskConvertSpec;
gboolean alcove_disk_convert (const AlcoveDiskConvertSpec *spec,
                              const BlockProgress *progress,
                              GError **error);
/* The same from an open image. */
gboolean alcove_disk_convert_image (BlockImage *from,
                                    const AlcoveDiskConvertSpec *spec,
                                    const BlockProgress *progress,
                                    GError **error);

typedef struct
{
  const char *from;
  BlockFormat from_format;
  const char *to;     /* a new qcow2 image */
  const char *bitmap; /* (nullable) full: made anew, marks what changes from now on */
  const char *base;   /* (nullable) the backup before: only what the bitmap marks is copied, and the
                         new one stands on base */
  gboolean compress;
} AlcoveDiskBackupSpec;
gboolean alcove_disk_backup (const AlcoveDiskBackupSpec *spec,
                             const BlockProgress *progress,
                             AlcoveDiskCopyResult *ret_result,
                             GError **error);

/* ---- changing an image (disk-change.c) ---- */

gboolean alcove_disk_check (const char *path,
                            BlockFormat format,
                            BlockCheckFlags flags,
                            const BlockProgress *progress,
                            BlockCheckReport *ret_report,
                            GError **error);
/* A smaller size only when the part cut off is unallocated or zero, or with force. size: bytes, a
 * multiple of 512. */
gboolean alcove_disk_resize (const char *path,
                             BlockFormat format,
                             guint64 size,
                             gboolean force,
                             const BlockProgress *progress,
                             GError **error);
/* Gives back what zeroes and leaks take. qcow2: written anew and renamed over the old one; with
 * snapshots, bitmaps or an external data file, and raw: in place. Contents stay as they are.
 * ret_before, ret_after: (nullable) bytes on the host. */
gboolean alcove_disk_compact (const char *path,
                              BlockFormat format,
                              const BlockProgress *progress,
                              guint64 *ret_before,
                              guint64 *ret_after,
                              GError **error);
/* Another backing image, contents unchanged: what differs is copied into the image first.
 * backing: (nullable): none, the image then stands alone. header_only: only the name is written
 * (for a backing image that was moved). */
gboolean alcove_disk_rebase (const char *path,
                             BlockFormat format,
                             const char *backing,
                             const char *backing_format,
                             gboolean header_only,
                             const BlockProgress *progress,
                             GError **error);
/* Writes what the image holds into its backing image. */
gboolean alcove_disk_commit (const char *path,
                             BlockFormat format,
                             const BlockProgress *progress,
                             GError **error);

/* ---- inside of app ---- */

/* (transfer full): a hidden name beside path that nothing has. */
char *alcove_disk_dup_part_path (const char *path);
typedef struct
{
  BlockCreateOptions create;
  AlcoveDiskCopyOptions copy;
  gboolean no_backing; /* the part's own backing image is not opened */
} AlcoveDiskPartOptions;
/* A new image at part with what is copied from another, closed and on stable storage. On error part may
 * remain. */
gboolean alcove_disk_fill_part (BlockImage *from,
                                const char *part,
                                BlockFormat format,
                                const AlcoveDiskPartOptions *options,
                                const BlockProgress *progress,
                                AlcoveDiskCopyResult *ret_result,
                                GError **error);
/* Renames the finished file, synced; replace FALSE: an existing one is an error and part is removed. */
gboolean alcove_disk_publish (const char *part, const char *path, gboolean replace, GError **error);
