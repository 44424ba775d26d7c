/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How snapshots reach disk images: directly, while the machine is off, or through the machine that
 * has them open. A table, so that tests and a running machine stand in. Thread: any. */
#pragma once
#include "app/snapshot.h"
#include "devices/backends/block/image.h"

typedef struct _AlcoveDiskAccess AlcoveDiskAccess;
struct _AlcoveDiskAccess
{
  /* (transfer full). Closed with block_image_close. Errors name the file. */
  BlockImage *(*open) (const AlcoveDiskAccess *self,
                       const char *path,
                       const char *format,
                       gboolean writable,
                       GError **error);
  /* Deletes a set's internal snapshots from all its disks; what is not there is fine. */
  gboolean (*forget) (const AlcoveDiskAccess *self,
                      const char *machine_folder,
                      const AlcoveSnapshot *set,
                      GError **error);
  gpointer user_data;
};

/* Files of a machine that is off. */
extern const AlcoveDiskAccess alcove_disk_access_files;
/* Files that a running machine has open, to look at what does not change while it is there: internal
 * snapshots. Never writable; forget is not for this one. */
extern const AlcoveDiskAccess alcove_disk_access_running;
BlockImage *alcove_disk_access_open_running (const AlcoveDiskAccess *self,
                                             const char *path,
                                             const char *format,
                                             gboolean writable,
                                             GError **error);
/* forget of the above, for other tables whose open works. */
gboolean alcove_disk_access_forget (const AlcoveDiskAccess *self,
                                    const char *machine_folder,
                                    const AlcoveSnapshot *set,
                                    GError **error);
/* Has the image an internal snapshot of this id? ret: (nullable): it, without id and name. */
gboolean alcove_disk_find_snapshot (BlockImage *image, const char *id, BlockSnapshot *ret);
