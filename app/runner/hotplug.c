/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plugging in: the definition is edited and so checked as a whole, then the disk is made as at the
 * start and the guest is told. Taking out: the attention button of the slot is pressed, the guest
 * lets go and switches the slot's power off, and the device is removed from the main thread. */
#include "app/runner/hotplug.h"

#include <string.h>

#include "app/definition-disks.h"
#include "app/runner/machine-private.h"
#include "devices/board/root-port.h"
#include "devices/storage/nvme.h"
#include "devices/virtio/scsi.h"

#define HELD_MS      200  /* how often a hold is looked at */
#define SCSI_TELL_MS 1000 /* what a driver needs to flush a SCSI disk and let go of it */

/* A disk that the guest was asked to release. */
typedef struct
{
  gint ref_count; /* atomic: the list, and an idle source under way */
  RunnerMachine *machine;
  char *name;
  PciDevice *port; /* NULL: a SCSI disk */
  guint timer;
  RunnerRemoveFunc done;
  gpointer user_data;
} RunnerEject;

static void
eject_unref (gpointer data)
{
  RunnerEject *eject = data;

  if (!g_atomic_int_dec_and_test (&eject->ref_count))
    return;
  g_free (eject->name);
  g_free (eject);
}

static RunnerEject *
find_eject (RunnerMachine *self, const char *name)
{
  for (guint i = 0; i < self->ejects->len; i++)
    {
      RunnerEject *eject = g_ptr_array_index (self->ejects, i);

      if (strcmp (eject->name, name) == 0)
        return eject;
    }
  return NULL;
}

/* ---- in ---- */

char *
runner_hotplug_add_disk (RunnerMachine *self, const char *group, GError **error)
{
  g_autofree char *name = NULL;
  const AlcoveDiskConfig *config;
  RunnerDisk *disk;
  guint n_before = self->disks->len;

  name = alcove_definition_add_disk (self->definition, group, TRUE, error);
  if (name == NULL)
    return NULL;
  config = alcove_definition_find_disk (self->definition, name);
  if (!runner_disk_make (self, config, error))
    {
      g_assert (self->disks->len == n_before);
      (void)alcove_definition_remove_disk (self->definition, name, NULL);
      return NULL;
    }
  disk = runner_disk_find (self, ALCOVE_KIND_DISK, name);
  if (disk->target != 0)
    {
      g_autofree char *conf_group = g_strconcat ("disk ", name, NULL);
      g_autofree char *target = g_strdup_printf ("%u", disk->target);

      (void)alcove_definition_set_value (self->definition, conf_group, "target", target, NULL);
    }
  /* A further namespace has told its controller's driver already. */
  if (disk->own_function && (disk->nsid == 0 || nvme_get_n_namespaces (disk->device) == 1))
    {
      disk->device->ops->reset (disk->device, VMM_RESET_COLD);
      pci_device_announce ((PciDevice *)disk->device);
    }
  return alcove_definition_dup_disk_group (self->definition, name);
}

/* ---- out ---- */

static gboolean
is_shared (const RunnerDisk *disk)
{
  return disk->nsid != 0 && nvme_get_n_namespaces (disk->device) > 1;
}

/* The disk goes now, whatever the guest does with it. */
static gboolean
take_out (RunnerMachine *self, RunnerDisk *disk, GError **error)
{
  g_autofree char *name = g_strdup (disk->name);

  if (is_shared (disk))
    {
      if (!nvme_remove_namespace (disk->device, disk->nsid, error))
        return FALSE;
    }
  else if (disk->target != 0)
    {
      g_autofree char *id = g_strconcat ("disk.", name, NULL);

      if (!virtio_scsi_detach (disk->device, id, error))
        return FALSE;
    }
  else
    {
      VmmDevice *device = disk->device;

      q35_board_remove_boot_device (self->board, device);
      vmm_device_unrealize (device);
      vmm_device_free (device);
    }
  /* Acknowledged writes are the host's; what it cannot write now is told. */
  if (disk->backend != NULL)
    (void)disk->backend->ops->flush_sync (disk->backend, error);
  runner_disk_forget (self, disk);
  (void)alcove_definition_remove_disk (self->definition, name, NULL);
  return error == NULL || *error == NULL;
}

/* Ends an eject: error (transfer full) (nullable). */
static void
end_eject (RunnerEject *eject, GError *error)
{
  g_autoptr (GError) owned = error;
  RunnerMachine *self = eject->machine;

  if (eject->port != NULL)
    pcie_root_port_cancel_eject (eject->port);
  g_clear_handle_id (&eject->timer, g_source_remove);
  g_atomic_int_inc (&eject->ref_count);
  g_ptr_array_remove (self->ejects, eject);
  eject->machine = NULL; /* an idle source may come yet */
  eject->done (owned, eject->user_data);
  eject_unref (eject);
}

static gboolean
on_released (gpointer user_data)
{
  RunnerEject *eject = user_data;
  RunnerMachine *self = eject->machine;
  RunnerDisk *disk;
  GError *error = NULL;

  if (self == NULL)
    return G_SOURCE_REMOVE;
  g_clear_handle_id (&eject->timer, g_source_remove); /* the guest was in time */
  if (runner_hotplug_is_held (self))
    {
      g_atomic_int_inc (&eject->ref_count);
      g_timeout_add_full (G_PRIORITY_DEFAULT, HELD_MS, on_released, eject, eject_unref);
      return G_SOURCE_REMOVE;
    }
  disk = runner_disk_find (self, ALCOVE_KIND_DISK, eject->name);
  if (disk != NULL)
    (void)take_out (self, disk, &error);
  end_eject (eject, error);
  return G_SOURCE_REMOVE;
}

/* Any thread, the PCI lock held. */
static void
released (gpointer user_data)
{
  RunnerEject *eject = user_data;

  g_atomic_int_inc (&eject->ref_count);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_released, eject, eject_unref);
}

/* The driver of a SCSI disk has had its time. */
static gboolean
on_told (gpointer user_data)
{
  RunnerEject *eject = user_data;
  RunnerMachine *self = eject->machine;
  RunnerDisk *disk;
  GError *error = NULL;

  if (runner_hotplug_is_held (self))
    {
      eject->timer = g_timeout_add (HELD_MS, on_told, eject);
      return G_SOURCE_REMOVE;
    }
  eject->timer = 0;
  disk = runner_disk_find (self, ALCOVE_KIND_DISK, eject->name);
  if (disk != NULL)
    (void)take_out (self, disk, &error);
  end_eject (eject, error);
  return G_SOURCE_REMOVE;
}

/* TRUE when a driver listens, and knows now that its SCSI disk goes. */
static gboolean
tell_driver (RunnerMachine *self, const RunnerDisk *disk)
{
  g_autofree char *id = g_strconcat ("disk.", disk->name, NULL);

  return disk->target != 0 && vmm_vm_get_state (self->vm) == VMM_STATE_RUNNING &&
         virtio_scsi_announce_removal (disk->device, id, NULL);
}

static gboolean
on_late (gpointer user_data)
{
  RunnerEject *eject = user_data;

  eject->timer = 0;
  end_eject (eject,
             g_error_new (ALCOVE_ERROR, ALCOVE_ERROR_FAILED,
                          "The guest did not release the disk “%s” in time; it keeps it. Unmount "
                          "it in the guest and try again, or force the removal: then what the "
                          "guest has not written is lost",
                          eject->name));
  return G_SOURCE_REMOVE;
}

/* Can the guest be asked? Returns the slot, or NULL with error. */
static PciDevice *
find_slot (RunnerMachine *self, RunnerDisk *disk, GError **error)
{
  PciDevice *port;

  if (is_shared (disk) || !disk->own_function)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                   "The disk “%s” shares its controller with others, and guests cannot be asked to "
                   "release one of them: unmount it in the guest, then force the removal",
                   disk->name);
      return NULL;
    }
  port = q35_board_find_port (self->board, pci_device_get_bus ((PciDevice *)disk->device));
  if (port == NULL)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                   "The disk “%s” does not sit in a slot for hot-plug, so the guest cannot release "
                   "it while it runs: stop the machine first",
                   disk->name);
      return NULL;
    }
  if (vmm_vm_get_state (self->vm) != VMM_STATE_RUNNING)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                   "The machine is not running, so its guest cannot release the disk “%s”: resume "
                   "it first",
                   disk->name);
      return NULL;
    }
  return port;
}

static RunnerEject *
new_eject (RunnerMachine *self,
           const char *name,
           PciDevice *port,
           RunnerRemoveFunc done,
           gpointer user_data)
{
  RunnerEject *eject = g_new0 (RunnerEject, 1);

  eject->ref_count = 1;
  eject->machine = self;
  eject->name = g_strdup (name);
  eject->port = port;
  eject->done = done;
  eject->user_data = user_data;
  return eject;
}

void
runner_hotplug_remove_disk (RunnerMachine *self,
                            const char *name,
                            gboolean force,
                            guint timeout_ms,
                            RunnerRemoveFunc done,
                            gpointer user_data)
{
  RunnerDisk *disk = runner_disk_find (self, ALCOVE_KIND_DISK, name);
  RunnerEject *eject = find_eject (self, name);
  g_autoptr (GError) error = NULL;
  PciDevice *port;

  if (disk == NULL)
    g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND,
                 "The running machine has no disk “%s”", name);
  else if (eject != NULL && !force)
    g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                 "The guest was asked to release “%s” a moment ago: wait, or force the removal",
                 name);
  else if (force && disk->own_function && !is_shared (disk) &&
           q35_board_find_port (self->board, pci_device_get_bus ((PciDevice *)disk->device)) ==
               NULL)
    g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED,
                 "The disk “%s” does not sit in a slot for hot-plug: stop the machine first", name);
  else if (force && eject == NULL && tell_driver (self, disk))
    {
      eject = new_eject (self, name, NULL, done, user_data);
      g_ptr_array_add (self->ejects, eject);
      eject->timer = g_timeout_add (MIN (timeout_ms, SCSI_TELL_MS), on_told, eject);
      return;
    }
  else if (force)
    {
      (void)take_out (self, disk, &error);
      if (eject != NULL)
        end_eject (eject, NULL);
    }
  else if ((port = find_slot (self, disk, &error)) != NULL)
    {
      eject = new_eject (self, name, port, done, user_data);
      if (pcie_root_port_is_heard (port) && pcie_root_port_request_eject (port, released, eject))
        {
          g_ptr_array_add (self->ejects, eject);
          eject->timer = g_timeout_add (timeout_ms, on_late, eject);
          return;
        }
      eject_unref (eject);
      /* Power off: a driver let go of it before. */
      if (!pcie_root_port_is_off (port))
        g_set_error (&error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                     "No driver of the guest listens to the slot of “%s” (is it still starting?): "
                     "try again later, or force the removal",
                     name);
      else
        (void)take_out (self, disk, &error);
    }
  done (error, user_data);
}

void
runner_hotplug_set_hold_func (RunnerMachine *self, RunnerHoldFunc func, gpointer user_data)
{
  self->hold_func = func;
  self->hold_data = user_data;
}

gboolean
runner_hotplug_is_held (RunnerMachine *self)
{
  return self->hold_func != NULL && self->hold_func (self->hold_data);
}

void
runner_hotplug_cancel_all (RunnerMachine *self)
{
  while (self->ejects->len > 0)
    end_eject (g_ptr_array_index (self->ejects, 0),
               g_error_new_literal (ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                                    "The machine stopped before its guest released the disk"));
}

void
runner_hotplug_init (RunnerMachine *self)
{
  self->ejects = g_ptr_array_new_with_free_func (eject_unref);
}
