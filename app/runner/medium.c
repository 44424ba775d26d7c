/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Changing the medium of a CD-ROM drive while the machine runs, or between being restored and going
 * on. */
#include "app/runner/machine-private.h"
#include "devices/storage/ahci.h"
#include "devices/virtio/scsi.h"

static const AlcoveDiskConfig *
find_drive (RunnerMachine *self, const char *name, GError **error)
{
  guint n;
  const AlcoveDiskConfig *const *drives = alcove_definition_get_cdroms (self->definition, &n);
  const AlcoveDiskConfig *found = NULL;

  if (n == 0)
    g_set_error_literal (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                         "This machine has no CD-ROM drive: add a [cdrom] to its definition");
  else if (*name == '\0' && n > 1)
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                 "This machine has %u CD-ROM drives: say which, “%s” for instance", n,
                 drives[0]->base.name);
  else if (*name == '\0')
    found = drives[0];
  else
    {
      for (guint i = 0; i < n; i++)
        if (g_str_equal (drives[i]->base.name, name))
          found = drives[i];
      if (found == NULL)
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                     "This machine has no CD-ROM drive “%s”; there is “%s”", name,
                     drives[0]->base.name);
    }
  if (found == NULL || found->bus == ALCOVE_DISK_SATA || found->bus == ALCOVE_DISK_SCSI)
    return found;
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
               "[cdrom %s] is a virtio disk without a tray: give it bus=sata and start the machine "
               "again",
               found->base.name);
  return NULL;
}

gboolean
runner_machine_set_medium (
    RunnerMachine *self, const char *name, const char *path, gboolean force, GError **error)
{
  const AlcoveDiskConfig *drive = find_drive (self, name, error);
  RunnerDisk *disk;
  g_autofree char *id = NULL, *group = NULL;
  AlcoveDiskConfig medium;
  BlockBackend *backend = NULL, *old = NULL;
  gboolean done;

  if (drive == NULL)
    return FALSE;
  disk = runner_disk_find (self, ALCOVE_KIND_CDROM, drive->base.name);
  if (disk == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "The drive “%s” is not plugged in",
                   drive->base.name);
      return FALSE;
    }
  medium = *drive;
  medium.file = (char *)path;
  medium.format = ALCOVE_DISK_RAW;
  if (path != NULL)
    {
      backend = runner_disk_open (self, &medium, error);
      if (backend == NULL)
        return FALSE;
    }
  id = runner_device_id (&drive->base);
  done = drive->bus == ALCOVE_DISK_SCSI
             ? virtio_scsi_set_medium (disk->device, id, backend, force, &old, error)
             : ahci_cdrom_set_medium (disk->device, backend, force, &old, error);
  if (!done)
    {
      block_backend_close (backend);
      return FALSE;
    }
  runner_disk_take_backend (self, disk, backend);
  /* A save writes down what lies in the drives. The edit makes the structs anew. */
  group = g_strconcat ("cdrom ", disk->name, NULL);
  return alcove_definition_set_value (self->definition, group, "file", path, error);
}
