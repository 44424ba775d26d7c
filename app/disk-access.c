/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/disk-access.h"

#include <string.h>
#include <unistd.h>
#include "app/error.h"

static BlockImage *
open_file (const AlcoveDiskAccess *self,
           const char *path,
           const char *format,
           gboolean writable,
           GError **error)
{
  BlockImageFlags flags = { .readonly = !writable };
  BlockFormat kind;

  if (!block_format_from_string (format, &kind))
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s: “%s” is no disk format", path,
                   format);
      return NULL;
    }
  return block_image_open (path, kind, &flags, error);
}

gboolean
alcove_disk_find_snapshot (BlockImage *image, const char *id, BlockSnapshot *ret)
{
  g_autoptr (GPtrArray) list =
      image->ops->snapshot_list != NULL ? image->ops->snapshot_list (image) : NULL;

  for (guint i = 0; list != NULL && i < list->len; i++)
    {
      const BlockSnapshot *snapshot = g_ptr_array_index (list, i);

      if (g_strcmp0 (snapshot->id, id) != 0)
        continue;
      if (ret != NULL)
        {
          *ret = *snapshot;
          ret->id = ret->name = NULL;
        }
      return TRUE;
    }
  return FALSE;
}

gboolean
alcove_disk_access_forget (const AlcoveDiskAccess *self,
                           const char *machine_folder,
                           const AlcoveSnapshot *set,
                           GError **error)
{
  for (guint i = 0; i < set->disks->len; i++)
    {
      const AlcoveSnapshotDisk *disk = g_ptr_array_index (set->disks, i);
      g_autofree char *path = alcove_snapshot_disk_dup_path (disk, machine_folder);
      BlockImage *image;
      gboolean good = TRUE;

      /* A disk that is gone takes its internal snapshots with it. */
      if (access (path, F_OK) < 0)
        continue;
      image = self->open (self, path, disk->format, TRUE, error);
      if (image == NULL)
        return FALSE;
      if (alcove_disk_find_snapshot (image, set->id, NULL))
        good = image->ops->snapshot_delete (image, set->id, error);
      block_image_close (image);
      if (!good)
        return FALSE;
    }
  return TRUE;
}

BlockImage *
alcove_disk_access_open_running (const AlcoveDiskAccess *self,
                                 const char *path,
                                 const char *format,
                                 gboolean writable,
                                 GError **error)
{
  BlockImageFlags flags = { .readonly = TRUE, .no_lock = TRUE, .no_backing = TRUE };
  BlockFormat kind;

  if (!writable && block_format_from_string (format, &kind))
    return block_image_open (path, kind, &flags, error);
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
               "%s is in use by the running machine: turn it off first", path);
  return NULL;
}

const AlcoveDiskAccess alcove_disk_access_running = {
  .open = alcove_disk_access_open_running,
};

const AlcoveDiskAccess alcove_disk_access_files = {
  .open = open_file,
  .forget = alcove_disk_access_forget,
};
