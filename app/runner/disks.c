/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The disks of a definition: their files and the controllers that show them to the guest. */
#include <string.h>

#include "app/runner/machine-private.h"
#include "devices/backends/block/guard.h"
#include "devices/backends/block/image.h"
#include "devices/registry.h"
#include "devices/storage/nvme.h"

/* The disk's contents, locked against other programs. */
static BlockBackend *
open_disk (const AlcoveDiskConfig *config, GError **error)
{
  const BlockOpenFlags raw_flags = {
    .readonly = config->readonly,
    .direct = config->cache == ALCOVE_CACHE_DIRECT,
    .discard = config->discard,
    .lock = config->readonly ? BLOCK_LOCK_SHARED : BLOCK_LOCK_EXCLUSIVE,
  };
  const BlockImageFlags flags = {
    .readonly = raw_flags.readonly,
    .direct = raw_flags.direct,
    .discard = raw_flags.discard,
  };
  BlockFormat format = config->format == ALCOVE_DISK_RAW ? BLOCK_FORMAT_RAW : BLOCK_FORMAT_QCOW2;
  BlockImage *image;

  if (format == BLOCK_FORMAT_RAW && !block_path_is_nbd (config->file))
    return block_raw_open (config->file, &raw_flags, error);
  image = block_image_open (config->file, format, &flags, error);
  return image != NULL ? block_image_backend_new (image, flags.discard) : NULL;
}

/* On a disk's worker: the machine has to wait for the host. */
static void
on_held (BlockBackend *backend, int error, gpointer user_data)
{
  RunnerMachine *self = user_data;
  g_autofree char *detail = NULL;

  if (error == -ENOSPC || error == -EDQUOT)
    detail = g_strdup_printf ("There is no space left on the host for “%s”. Nothing is lost: make "
                              "room, then resume the machine.",
                              backend->name);
  else
    detail =
        g_strdup_printf ("The host cannot use “%s” (%s). Nothing is lost: mend it, then resume "
                         "the machine.",
                         backend->name, g_strerror (-error));
  vmm_machine_request (vmm_vm_get_machine (self->vm), VMM_REQUEST_PAUSE, (guint64)-error, detail);
}

/* inner: (transfer full). */
static BlockBackend *
guard_disk (RunnerMachine *self, const AlcoveDiskConfig *config, BlockBackend *inner)
{
  const BlockGuardConfig guard = {
    .clock = vmm_machine_get_clock (vmm_vm_get_machine (self->vm)),
    .pause_on_error = config->on_error == ALCOVE_ON_ERROR_PAUSE,
    .throttle = { .rates = { [BLOCK_LIMIT_OPS] = config->iops,
                             [BLOCK_LIMIT_OPS_READ] = config->iops_read,
                             [BLOCK_LIMIT_OPS_WRITE] = config->iops_write,
                             [BLOCK_LIMIT_BYTES] = config->bandwidth << 20,
                             [BLOCK_LIMIT_BYTES_READ] = config->bandwidth_read << 20,
                             [BLOCK_LIMIT_BYTES_WRITE] = config->bandwidth_write << 20 },
                  .burst_ms = config->burst_ms },
    .held = on_held,
    .user_data = self,
  };

  return block_guard_new (inner, &guard);
}

static guint
default_queues (RunnerMachine *self, const AlcoveDiskConfig *config, guint most)
{
  return config->queues != 0 ? config->queues
                             : MIN (alcove_definition_get_machine (self->definition)->cpus, most);
}

static gboolean
make_virtio (RunnerMachine *self,
             const AlcoveDiskConfig *config,
             BlockBackend *backend,
             RunnerDisk *disk,
             GError **error)
{
  g_autofree char *id = runner_device_id (&config->base);

  disk->own_function = TRUE;
  disk->device = runner_device_begin (self, "virtio-blk", id, &config->base, error);
  return disk->device != NULL &&
         runner_device_finish (
             self, &config->base, disk->device,
             vmm_device_set_pointer (disk->device, "backend", backend, error) &&
                 vmm_device_set_uint (disk->device, "num-queues", default_queues (self, config, 4),
                                      error) &&
                 (config->serial == NULL ||
                  vmm_device_set_string (disk->device, "serial", config->serial, error)),
             error);
}

/* ---- SATA ---- */

static gboolean
make_sata (RunnerMachine *self,
           const AlcoveDiskConfig *config,
           BlockBackend *backend,
           RunnerDisk *disk,
           GError **error)
{
  gboolean cdrom = config->base.kind == ALCOVE_KIND_CDROM;
  VmmDevice *controller = q35_board_get_sata (self->board);
  g_autofree char *id = runner_device_id (&config->base);

  if (controller == NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "[%s %s]: the machine runs without a SATA controller: stop it, and the next "
                   "start brings one",
                   alcove_kind_to_string (config->base.kind), config->base.name);
      return FALSE;
    }
  disk->device = vmm_device_new (device_registry_find (cdrom ? "sata-cdrom" : "sata-disk"), id);
  return runner_device_finish (
      self, &config->base, disk->device,
      vmm_device_set_pointer (disk->device, "controller", controller, error) &&
          vmm_device_set_uint (disk->device, "port", config->port - 1, error) &&
          vmm_device_set_pointer (disk->device, "backend", backend, error) &&
          (config->serial == NULL ||
           vmm_device_set_string (disk->device, "serial", config->serial, error)),
      error);
}

static gboolean
any_on_sata (const AlcoveDiskConfig *const *drives, guint n)
{
  for (guint i = 0; i < n; i++)
    if (drives[i]->bus == ALCOVE_DISK_SATA)
      return TRUE;
  return FALSE;
}

gboolean
runner_disks_need_sata (AlcoveDefinition *definition)
{
  guint n_disks, n_cdroms;
  const AlcoveDiskConfig *const *disks = alcove_definition_get_disks (definition, &n_disks);
  const AlcoveDiskConfig *const *cdroms = alcove_definition_get_cdroms (definition, &n_cdroms);

  return any_on_sata (disks, n_disks) || any_on_sata (cdroms, n_cdroms);
}

/* ---- NVMe ---- */

/* An identifier that stays the same for a machine and a name (RFC 4122, 4.3 in spirit: SHA-1 of the
 * machine's uuid as text, what it is for, and the name). */
static void
derive_uuid (RunnerMachine *self, const char *purpose, const char *name, guint8 ret_uuid[16])
{
  const char *machine = alcove_definition_get_machine (self->definition)->uuid;
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA1);
  guint8 digest[20];
  gsize length = sizeof digest;

  g_checksum_update (sum, (const guchar *)machine, (gssize)strlen (machine) + 1);
  g_checksum_update (sum, (const guchar *)purpose, (gssize)strlen (purpose) + 1);
  g_checksum_update (sum, (const guchar *)name, (gssize)strlen (name));
  g_checksum_get_digest (sum, digest, &length);
  memcpy (ret_uuid, digest, 16);
  ret_uuid[6] = (ret_uuid[6] & 0x0f) | 0x50;
  ret_uuid[8] = (ret_uuid[8] & 0x3f) | 0x80;
}

static gboolean
make_controller (RunnerMachine *self,
                 const AlcoveDiskConfig *config,
                 const NvmeNamespaceConfig *space,
                 RunnerDisk *disk,
                 GError **error)
{
  const NvmeNamespaces list = { space, 1 };
  const char *name = alcove_disk_get_controller (config);
  g_autofree char *id = g_strconcat ("nvme.", name, NULL);
  g_autofree char *serial = NULL;
  g_autofree char *uuid = NULL;
  guint8 u[16];

  derive_uuid (self, "nvme-subsystem", name, u);
  uuid = g_strdup_printf ("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
                          u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11],
                          u[12], u[13], u[14], u[15]);
  serial = config->serial != NULL ? g_strdup (config->serial)
                                  : g_strdup_printf ("%02X%02X%02X%02X%02X%02X%02X%02X", u[0], u[1],
                                                     u[2], u[3], u[4], u[5], u[10], u[11]);
  disk->device = runner_device_begin (self, "nvme", id, &config->base, error);
  return disk->device != NULL &&
         runner_device_finish (
             self, &config->base, disk->device,
             vmm_device_set_pointer (disk->device, "namespaces", (gpointer)&list, error) &&
                 vmm_device_set_uint (disk->device, "num-queues", default_queues (self, config, 4),
                                      error) &&
                 vmm_device_set_string (disk->device, "serial", serial, error) &&
                 vmm_device_set_string (disk->device, "uuid", uuid, error),
             error);
}

static gboolean
make_nvme (RunnerMachine *self,
           const AlcoveDiskConfig *config,
           BlockBackend *backend,
           RunnerDisk *disk,
           GError **error)
{
  g_autofree char *id = g_strconcat ("nvme.", alcove_disk_get_controller (config), NULL);
  NvmeNamespaceConfig space = { .nsid = alcove_definition_get_nsid (self->definition, config),
                                .backend = backend };

  derive_uuid (self, "nvme-namespace", config->base.name, space.uuid);
  disk->nsid = space.nsid;
  disk->own_function = TRUE;
  disk->device = vmm_machine_find_device (vmm_vm_get_machine (self->vm), id);
  if (disk->device == NULL)
    return make_controller (self, config, &space, disk, error);
  if (nvme_add_namespace (disk->device, &space, error))
    return TRUE;
  g_prefix_error (error, "[disk %s]: ", config->base.name);
  return FALSE;
}

/* ---- all of them ---- */

BlockBackend *
runner_disk_open (RunnerMachine *self, const AlcoveDiskConfig *config, GError **error)
{
  BlockBackend *backend = open_disk (config, error);

  if (backend != NULL)
    return guard_disk (self, config, backend);
  g_prefix_error (error, "[%s %s]: ", alcove_kind_to_string (config->base.kind), config->base.name);
  return NULL;
}

void
runner_disk_take_backend (RunnerMachine *self, RunnerDisk *disk, BlockBackend *backend)
{
  BlockBackend *old = disk->backend;
  guint index;

  disk->backend = backend;
  if (backend != NULL)
    {
      g_ptr_array_add (self->blocks, backend);
      g_ptr_array_add (self->block_ids,
                       g_strdup_printf ("%s.%s", alcove_kind_to_string (disk->kind), disk->name));
    }
  if (old != NULL && g_ptr_array_find (self->blocks, old, &index))
    {
      g_ptr_array_remove_index (self->block_ids, index);
      g_ptr_array_remove_index (self->blocks, index); /* closes it */
    }
}

gboolean
runner_disk_make (RunnerMachine *self, const AlcoveDiskConfig *config, GError **error)
{
  BlockBackend *backend = NULL;
  RunnerDisk *disk;
  gboolean made;

  if (config->file != NULL && !config->passthrough)
    {
      backend = runner_disk_open (self, config, error);
      if (backend == NULL)
        return FALSE;
    }
  disk = g_new0 (RunnerDisk, 1);
  disk->name = g_strdup (config->base.name);
  disk->kind = config->base.kind;
  disk->backend = backend;
  switch (config->bus)
    {
    case ALCOVE_DISK_NVME:
      made = make_nvme (self, config, backend, disk, error);
      break;
    case ALCOVE_DISK_SCSI:
      made = runner_scsi_attach (self, config, backend, disk, error);
      break;
    case ALCOVE_DISK_SATA:
      made = make_sata (self, config, backend, disk, error);
      break;
    case ALCOVE_DISK_VIRTIO:
    default:
      made = make_virtio (self, config, backend, disk, error);
      break;
    }
  if (!made)
    {
      block_backend_close (backend);
      runner_disk_free (disk);
      return FALSE;
    }
  if (backend != NULL)
    {
      g_ptr_array_add (self->blocks, backend);
      g_ptr_array_add (self->block_ids, runner_device_id (&config->base));
    }
  g_ptr_array_add (self->disks, disk);
  return TRUE;
}

RunnerDisk *
runner_disk_find (RunnerMachine *self, AlcoveKind kind, const char *name)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      RunnerDisk *disk = g_ptr_array_index (self->disks, i);

      if (disk->kind == kind && strcmp (disk->name, name) == 0)
        return disk;
    }
  return NULL;
}

void
runner_disk_forget (RunnerMachine *self, RunnerDisk *disk)
{
  guint index;

  if (g_ptr_array_find (self->blocks, disk->backend, &index))
    {
      g_ptr_array_remove_index (self->block_ids, index);
      g_ptr_array_remove_index (self->blocks, index); /* closes it */
    }
  g_ptr_array_remove (self->disks, disk);
}

char *
runner_disk_boot_node (const RunnerDisk *disk)
{
  if (disk->nsid != 0)
    return g_strdup_printf ("/namespace@%x,0", disk->nsid);
  return disk->target != 0 ? g_strdup_printf ("/channel@0/disk@%x,0", disk->target) : NULL;
}

void
runner_disk_free (gpointer data)
{
  RunnerDisk *disk = data;

  g_free (disk->name);
  g_free (disk);
}
