/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Internal snapshots of the disk images that the machine has open. */
#include "app/disk-access.h"
#include "app/runner/machine-private.h"

gboolean
runner_machine_delete_disk_snapshot (RunnerMachine *self, const char *id, GError **error)
{
  for (guint i = 0; i < self->blocks->len; i++)
    {
      BlockBackend *backend = g_ptr_array_index (self->blocks, i);
      BlockImage *image = block_backend_get_image (backend);

      if (image == NULL || image->ops->snapshot_delete == NULL ||
          !alcove_disk_find_snapshot (image, id, NULL))
        continue;
      if (!image->ops->snapshot_delete (image, id, error))
        return FALSE;
    }
  return TRUE;
}
