/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The SCSI controller of a machine and what is on it. One controller, made at start: its place on
 * PCI does not move, and disks come and go as units. */
#include "app/runner/machine-private.h"
#include "devices/storage/scsi/passthrough.h"
#include "devices/virtio/scsi.h"

static gboolean
is_scsi (const AlcoveDeviceConfig *device)
{
  return (device->kind == ALCOVE_KIND_DISK || device->kind == ALCOVE_KIND_CDROM) &&
         ((const AlcoveDiskConfig *)device)->bus == ALCOVE_DISK_SCSI;
}

gboolean
runner_scsi_make (RunnerMachine *self, GError **error)
{
  const AlcoveScsiConfig *config = alcove_definition_get_scsi (self->definition);
  AlcoveScsiConfig fallback = { .base = { .kind = ALCOVE_KIND_SCSI, .name = (char *)"main" } };
  guint n, queues = MIN (alcove_definition_get_machine (self->definition)->cpus, 4);
  const AlcoveDeviceConfig *const *devices = alcove_definition_get_devices (self->definition, &n);
  gboolean needed = config != NULL;
  g_autofree char *id = NULL;

  for (guint i = 0; i < n; i++)
    needed |= is_scsi (devices[i]);
  if (!needed)
    return TRUE;
  if (config == NULL)
    config = &fallback;
  id = runner_device_id (&config->base);
  self->scsi = runner_device_begin (self, "virtio-scsi", id, &config->base, error);
  if (self->scsi == NULL)
    return FALSE;
  if (!runner_device_finish (self, &config->base, self->scsi,
                             vmm_device_set_uint (self->scsi, "num-queues",
                                                  config->queues != 0 ? config->queues : queues,
                                                  error),
                             error))
    {
      self->scsi = NULL; /* freed */
      return FALSE;
    }
  return TRUE;
}

/* A target that no disk of the definition names and nothing has: for a file without targets. */
static int
pick_target (RunnerMachine *self)
{
  guint n;
  const AlcoveDeviceConfig *const *devices = alcove_definition_get_devices (self->definition, &n);
  int target = virtio_scsi_find_free_target (self->scsi, 1);
  gboolean taken = TRUE;

  while (taken && target >= 0)
    {
      taken = FALSE;
      for (guint i = 0; i < n && !taken; i++)
        taken =
            is_scsi (devices[i]) && ((const AlcoveDiskConfig *)devices[i])->target == (guint)target;
      if (taken)
        target = virtio_scsi_find_free_target (self->scsi, (guint)target + 1);
    }
  return target;
}

gboolean
runner_scsi_attach (RunnerMachine *self,
                    const AlcoveDiskConfig *config,
                    BlockBackend *backend,
                    RunnerDisk *disk,
                    GError **error)
{
  ScsiUnitOptions options = {
    .kind = config->base.kind == ALCOVE_KIND_CDROM ? SCSI_KIND_CDROM : SCSI_KIND_DISK,
    .backend = backend,
    .serial = config->serial,
  };
  g_autofree char *id = runner_device_id (&config->base);
  int target;
  ScsiUnit *unit;

  if (self->scsi == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "[%s %s]: the machine runs without a SCSI controller: stop it, and the next "
                   "start brings one",
                   alcove_kind_to_string (config->base.kind), config->base.name);
      return FALSE;
    }
  target = config->target != 0 ? (int)config->target : pick_target (self);
  if (target < 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "[%s %s]: no target of the SCSI controller is free: remove a disk",
                   alcove_kind_to_string (config->base.kind), config->base.name);
      return FALSE;
    }
  if (config->passthrough)
    unit = scsi_passthrough_new (virtio_scsi_get_worker (self->scsi), config->file, error);
  else
    unit = scsi_unit_new (virtio_scsi_get_worker (self->scsi), &options, error);
  if (unit != NULL && virtio_scsi_attach (self->scsi, id, (guint)target, 0, unit, error))
    {
      disk->device = self->scsi;
      disk->target = (guint)target;
      return TRUE;
    }
  g_prefix_error (error, "[%s %s]: ", alcove_kind_to_string (config->base.kind), config->base.name);
  return FALSE;
}
