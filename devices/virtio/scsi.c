/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-scsi (Virtio 1.2, 5.6): the device, its units, configuration and state. */
#include "devices/virtio/scsi-private.h"

#include <string.h>

#define BIT(n) (G_GUINT64_CONSTANT (1) << (n))

/* struct virtio_scsi_config: offset, width, access */
enum
{
  CONFIG_NUM_QUEUES = 0,       /* 4 RO */
  CONFIG_SEG_MAX = 4,          /* 4 RO */
  CONFIG_MAX_SECTORS = 8,      /* 4 RO */
  CONFIG_CMD_PER_LUN = 12,     /* 4 RO */
  CONFIG_EVENT_INFO_SIZE = 16, /* 4 RO */
  CONFIG_SENSE_SIZE = 20,      /* 4 RW, 96 */
  CONFIG_CDB_SIZE = 24,        /* 4 RW, 32 */
  CONFIG_MAX_CHANNEL = 28,     /* 2 RO */
  CONFIG_MAX_TARGET = 30,      /* 2 RO */
  CONFIG_MAX_LUN = 32,         /* 4 RO */
  CONFIG_SIZE = 36,

  SEG_MAX = SCSI_QUEUE_SIZE - 2, /* without header and reply */
  MAX_SECTORS = 0xffff,
  CMD_PER_LUN = 128,
  EVENT_INFO_SIZE = 16,
};

/* ---- units ---- */

ScsiSlot *
virtio_scsi_find_slot (VirtioScsi *scsi, guint target, guint lun, gboolean *ret_target_exists)
{
  ScsiSlot *found = NULL;

  *ret_target_exists = FALSE;
  for (guint i = 0; i < scsi->host.n_slots; i++)
    if (scsi->host.slots[i]->target == target)
      {
        *ret_target_exists = TRUE;
        if (scsi->host.slots[i]->lun == lun)
          found = scsi->host.slots[i];
      }
  return found;
}

/* The control thread is the only one that changes the table, and does so on the worker: it may read
 * it as well. */
static ScsiSlot *
find_name (VirtioScsi *scsi, const char *name, GError **error)
{
  for (guint i = 0; i < scsi->host.n_slots; i++)
    if (g_str_equal (scsi->host.slots[i]->name, name))
      return scsi->host.slots[i];
  g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "%s: not on the SCSI controller %s", name,
               scsi->parent.parent.parent.id);
  return NULL;
}

typedef struct
{
  VirtioScsi *scsi;
  ScsiSlot *slot;
  BlockBackend *backend, *old;
  gboolean force, changed;
  ScsiMediumResult result;
} Change;

/* Other units of a target whose inventory changes tell so (SPC-4, 4.6.1). */
static void
tell_neighbours (VirtioScsi *scsi, const ScsiSlot *slot)
{
  for (guint i = 0; i < scsi->host.n_slots; i++)
    if (scsi->host.slots[i] != slot && scsi->host.slots[i]->target == slot->target)
      scsi_unit_attention (scsi->host.slots[i]->unit, 0x3f, 0x0e);
}

static void
insert_slot (gpointer user_data)
{
  Change *change = user_data;
  VirtioScsi *scsi = change->scsi;
  ScsiSlot *slot = change->slot;
  guint at = scsi->host.n_slots;

  while (at > 0 && (scsi->host.slots[at - 1]->target > slot->target ||
                    (scsi->host.slots[at - 1]->target == slot->target &&
                     scsi->host.slots[at - 1]->lun > slot->lun)))
    {
      scsi->host.slots[at] = scsi->host.slots[at - 1];
      at--;
    }
  scsi->host.slots[at] = slot;
  scsi->host.n_slots++;
  tell_neighbours (scsi, slot);
  virtio_scsi_add_event (scsi, SCSI_EVENT_TRANSPORT_RESET, slot->target, slot->lun,
                         SCSI_RESET_RESCAN);
}

static void
remove_slot (gpointer user_data)
{
  Change *change = user_data;
  VirtioScsi *scsi = change->scsi;
  ScsiSlot *slot = change->slot;
  guint at = 0;

  /* No kick runs now, and none finds it once it is out of the table. */
  while (scsi->host.slots[at] != slot)
    at++;
  scsi->host.n_slots--;
  memmove (scsi->host.slots + at, scsi->host.slots + at + 1,
           (scsi->host.n_slots - at) * sizeof scsi->host.slots[0]);
  scsi->host.slots[scsi->host.n_slots] = NULL;
  scsi_unit_drain (slot->unit);
  tell_neighbours (scsi, slot);
  if (!slot->announced)
    virtio_scsi_add_event (scsi, SCSI_EVENT_TRANSPORT_RESET, slot->target, slot->lun,
                           SCSI_RESET_REMOVED);
}

static void
announce (gpointer user_data)
{
  Change *change = user_data;
  VirtioScsi *scsi = change->scsi;
  ScsiSlot *slot = change->slot;

  if (!virtio_device_is_active (&scsi->parent) ||
      !virtio_device_has_feature (&scsi->parent, SCSI_FEATURE_HOTPLUG))
    return;
  slot->announced = change->changed = TRUE;
  virtio_scsi_add_event (scsi, SCSI_EVENT_TRANSPORT_RESET, slot->target, slot->lun,
                         SCSI_RESET_REMOVED);
}

static void
change_medium (gpointer user_data)
{
  Change *change = user_data;
  const ScsiSlot *slot = change->slot;

  change->result = scsi_unit_set_medium (slot->unit, change->backend, change->force, &change->old);
  if (change->result == SCSI_MEDIUM_OK)
    /* 5.6.6.3: additional sense code in the low byte, qualifier above */
    virtio_scsi_add_event (change->scsi, SCSI_EVENT_PARAM_CHANGE, slot->target, slot->lun, 0x28);
}

static void
update_capacity (gpointer user_data)
{
  Change *change = user_data;

  if (scsi_unit_update_capacity (change->slot->unit))
    virtio_scsi_add_event (change->scsi, SCSI_EVENT_PARAM_CHANGE, change->slot->target,
                           change->slot->lun, 0x2a | 0x09 << 8);
}

static VirtioScsi *
from_device (VmmDevice *device)
{
  g_assert (device->ops == &virtio_scsi_device_ops && device->realized);
  return (VirtioScsi *)device;
}

VmmWorker *
virtio_scsi_get_worker (VmmDevice *device)
{
  return from_device (device)->host.worker;
}

static gboolean
check_address (VirtioScsi *scsi, const char *name, guint target, guint lun, GError **error)
{
  gboolean target_exists;

  if (target > VIRTIO_SCSI_MAX_TARGET || lun > VIRTIO_SCSI_MAX_LUN)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: %u:%u is no address on a SCSI controller; targets go from 0 to %d, LUNs "
                   "from 0 to %d",
                   name, target, lun, VIRTIO_SCSI_MAX_TARGET, VIRTIO_SCSI_MAX_LUN);
      return FALSE;
    }
  if (virtio_scsi_find_slot (scsi, target, lun, &target_exists) != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s: something is at SCSI address %u:%u already; choose another target", name,
                   target, lun);
      return FALSE;
    }
  if (find_name (scsi, name, NULL) != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s: is on the SCSI controller already; choose another name", name);
      return FALSE;
    }
  if (scsi->host.n_slots == VIRTIO_SCSI_MAX_UNITS)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s: the SCSI controller has %d drives already, and no room for more", name,
                   VIRTIO_SCSI_MAX_UNITS);
      return FALSE;
    }
  return TRUE;
}

gboolean
virtio_scsi_attach (
    VmmDevice *device, const char *name, guint target, guint lun, ScsiUnit *unit, GError **error)
{
  VirtioScsi *scsi = from_device (device);
  ScsiSlot *slot;
  Change change = { .scsi = scsi };

  if (!check_address (scsi, name, target, lun, error))
    {
      scsi_unit_free (unit);
      return FALSE;
    }
  slot = g_new0 (ScsiSlot, 1);
  g_strlcpy (slot->name, name, sizeof slot->name);
  slot->target = target;
  slot->lun = lun;
  slot->unit = unit;
  change.slot = slot;
  vmm_worker_call (scsi->host.worker, insert_slot, &change);
  return TRUE;
}

gboolean
virtio_scsi_announce_removal (VmmDevice *device, const char *name, GError **error)
{
  VirtioScsi *scsi = from_device (device);
  ScsiSlot *slot = find_name (scsi, name, error);
  Change change = { .scsi = scsi, .slot = slot };

  if (slot != NULL && !slot->announced)
    vmm_worker_call (scsi->host.worker, announce, &change);
  return change.changed;
}

gboolean
virtio_scsi_detach (VmmDevice *device, const char *name, GError **error)
{
  VirtioScsi *scsi = from_device (device);
  ScsiSlot *slot = find_name (scsi, name, error);
  Change change = { .scsi = scsi, .slot = slot };

  if (slot == NULL)
    return FALSE;
  vmm_worker_call (scsi->host.worker, remove_slot, &change);
  scsi_unit_free (slot->unit);
  g_free (slot);
  return TRUE;
}

gboolean
virtio_scsi_has_unit (VmmDevice *device, const char *name)
{
  return find_name (from_device (device), name, NULL) != NULL;
}

int
virtio_scsi_find_free_target (VmmDevice *device, guint first)
{
  VirtioScsi *scsi = from_device (device);
  gboolean taken;

  for (guint target = first; target <= VIRTIO_SCSI_MAX_TARGET; target++)
    {
      (void)virtio_scsi_find_slot (scsi, target, 0, &taken);
      if (!taken)
        return target;
    }
  return -1;
}

gboolean
virtio_scsi_set_medium (VmmDevice *device,
                        const char *name,
                        BlockBackend *backend,
                        gboolean force,
                        BlockBackend **ret_old,
                        GError **error)
{
  VirtioScsi *scsi = from_device (device);
  ScsiSlot *slot = find_name (scsi, name, error);
  Change change = { .scsi = scsi, .slot = slot, .backend = backend, .force = force };

  *ret_old = NULL;
  if (slot == NULL)
    return FALSE;
  if (scsi_unit_get_kind (slot->unit) != SCSI_KIND_CDROM)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: is no CD-ROM drive, so its medium cannot be changed", name);
      return FALSE;
    }
  vmm_worker_call (scsi->host.worker, change_medium, &change);
  if (change.result == SCSI_MEDIUM_LOCKED)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "%s: the guest has locked the drive, and was asked to release it; eject the "
                   "disc in the guest and try again, or force it",
                   name);
      return FALSE;
    }
  *ret_old = change.old;
  return TRUE;
}

gboolean
virtio_scsi_capacity_changed (VmmDevice *device, const char *name, GError **error)
{
  VirtioScsi *scsi = from_device (device);
  ScsiSlot *slot = find_name (scsi, name, error);
  Change change = { .scsi = scsi, .slot = slot };

  if (slot == NULL)
    return FALSE;
  vmm_worker_call (scsi->host.worker, update_capacity, &change);
  return TRUE;
}

/* ---- configuration ---- */

static void
put_le (guint8 *at, guint64 value, guint size)
{
  for (guint i = 0; i < size; i++)
    at[i] = value >> (8 * i);
}

static void
scsi_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
  VirtioScsi *scsi = (VirtioScsi *)device;
  guint8 config[CONFIG_SIZE] = { 0 };

  put_le (config + CONFIG_NUM_QUEUES, scsi->config.n_queues, 4);
  put_le (config + CONFIG_SEG_MAX, SEG_MAX, 4);
  put_le (config + CONFIG_MAX_SECTORS, MAX_SECTORS, 4);
  put_le (config + CONFIG_CMD_PER_LUN, CMD_PER_LUN, 4);
  put_le (config + CONFIG_EVENT_INFO_SIZE, EVENT_INFO_SIZE, 4);
  put_le (config + CONFIG_SENSE_SIZE, scsi->guest.sense_size, 4);
  put_le (config + CONFIG_CDB_SIZE, scsi->guest.cdb_size, 4);
  put_le (config + CONFIG_MAX_TARGET, VIRTIO_SCSI_MAX_TARGET, 2);
  put_le (config + CONFIG_MAX_LUN, VIRTIO_SCSI_MAX_LUN, 4);
  memcpy (buffer, config + offset, size);
}

/* Sizes above the default are refused: the field keeps its value. */
static void
scsi_config_write (VirtioDevice *device, gsize offset, const void *data, gsize size)
{
  VirtioScsi *scsi = (VirtioScsi *)device;
  const guint8 *bytes = data;
  guint32 value;

  if (size != 4)
    return;
  value = bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (guint32)bytes[3] << 24;
  if (offset == CONFIG_SENSE_SIZE && value <= SCSI_SENSE_SIZE)
    scsi->guest.sense_size = value;
  if (offset == CONFIG_CDB_SIZE && value > 0 && value <= SCSI_CDB_SIZE)
    scsi->guest.cdb_size = value;
}

/* ---- life cycle ---- */

static void
initial_values (VirtioScsi *scsi)
{
  scsi->guest.sense_size = SCSI_SENSE_SIZE;
  scsi->guest.cdb_size = SCSI_CDB_SIZE;
  scsi->guest.events_missed = FALSE;
  scsi->guest.n_events = 0;
  memset (scsi->guest.events, 0, sizeof scsi->guest.events);
}

static void
drain (gpointer user_data)
{
  virtio_scsi_drain (user_data);
}

static void
scsi_drain (VirtioDevice *device)
{
  VirtioScsi *scsi = (VirtioScsi *)device;

  vmm_worker_call (scsi->host.worker, drain, scsi);
}

static void
settle (gpointer user_data)
{
  virtio_scsi_settle (user_data);
}

static void
scsi_settle (VirtioDevice *device)
{
  VirtioScsi *scsi = (VirtioScsi *)device;

  vmm_worker_call (scsi->host.worker, settle, scsi);
}

/* On the worker: attach and detach change events there. */
static void
reset_units (gpointer user_data)
{
  VirtioScsi *scsi = user_data;

  virtio_device_lock_queue (&scsi->parent, SCSI_CONTROL);
  initial_values (scsi);
  virtio_device_unlock_queue (&scsi->parent, SCSI_CONTROL);
  for (guint i = 0; i < scsi->host.n_slots; i++)
    scsi->host.slots[i]->announced = FALSE; /* the driver that comes finds it */
  for (guint i = 0; i < scsi->host.n_slots; i++)
    scsi_unit_reset (scsi->host.slots[i]->unit, SCSI_RESET_POWER_ON);
}

/* A reset of the device is one of the bus (5.6.6.1: nothing is outstanding after it). */
static void
scsi_deactivate (VirtioDevice *device)
{
  VirtioScsi *scsi = (VirtioScsi *)device;

  scsi_drain (device);
  vmm_worker_call (scsi->host.worker, reset_units, scsi);
}

static void
scsi_activate (VirtioDevice *device)
{
}

static void
scsi_virtio_resume (VirtioDevice *device)
{
}

static const VirtioDeviceOps scsi_virtio_ops = {
  .type = 8,
  .class_base = 0x01,
  .class_sub = 0x00,
  .n_queues = SCSI_FIRST_QUEUE + 1,
  .queue_size = SCSI_QUEUE_SIZE,
  .features = BIT (SCSI_FEATURE_HOTPLUG) | BIT (SCSI_FEATURE_CHANGE),
  .config_size = CONFIG_SIZE,
  .config_read = scsi_config_read,
  .config_write = scsi_config_write,
  .activate = scsi_activate,
  .deactivate = scsi_deactivate,
  .kick = virtio_scsi_kick,
  .quiesce = scsi_settle,
  .resume = scsi_virtio_resume,
};

static void
scsi_unrealize (VmmDevice *device)
{
  VirtioScsi *scsi = (VirtioScsi *)device;

  virtio_device_finish (&scsi->parent);
  g_clear_pointer (&scsi->host.notify_post, vmm_post_free);
  for (guint i = 0; i < scsi->host.n_slots; i++)
    {
      scsi_unit_free (scsi->host.slots[i]->unit);
      g_free (scsi->host.slots[i]);
    }
  scsi->host.n_slots = 0;
  virtio_scsi_free_requests (scsi);
}

static gboolean
scsi_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VirtioScsi *scsi = (VirtioScsi *)device;
  VirtioInitOptions options = { .n_queues = SCSI_FIRST_QUEUE + scsi->config.n_queues };

  initial_values (scsi);
  if (scsi->config.iothread)
    {
      g_autofree char *name = g_strdup_printf ("scsi.%s", device->id);

      scsi->host.worker = vmm_machine_add_worker (machine, name, VMM_WORKER_NONE, error);
      if (scsi->host.worker == NULL)
        return FALSE;
    }
  if (!virtio_device_init (&scsi->parent, machine, &scsi_virtio_ops, &options, scsi->host.worker,
                           error))
    return FALSE;
  scsi->host.worker = virtio_device_get_queue_worker (&scsi->parent, SCSI_CONTROL);
  scsi->host.notify_post = vmm_post_new (scsi->host.worker, virtio_scsi_notify_later, scsi);
  return TRUE;
}

static void
scsi_reset (VmmDevice *device, VmmResetKind kind)
{
  VirtioScsi *scsi = (VirtioScsi *)device;

  virtio_device_reset (&scsi->parent);
  vmm_worker_call (scsi->host.worker, reset_units, scsi);
}

static void
scsi_quiesce (VmmDevice *device)
{
  virtio_device_quiesce ((VirtioDevice *)device);
}

static void
scsi_resume (VmmDevice *device)
{
  virtio_device_resume ((VirtioDevice *)device);
}

/* ---- state ---- */

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (VirtioScsi, guest.sense_size, VMM_STATE_U32),
  VMM_STATE_FIELD (VirtioScsi, guest.cdb_size, VMM_STATE_U32),
  VMM_STATE_FIELD (VirtioScsi, guest.events_missed, VMM_STATE_U32),
  VMM_STATE_FIELD (VirtioScsi, guest.n_events, VMM_STATE_U32),
};
static const VmmStateField event_fields[] = {
  VMM_STATE_FIELD (ScsiPendingEvent, event, VMM_STATE_U32),
  VMM_STATE_FIELD (ScsiPendingEvent, target, VMM_STATE_U32),
  VMM_STATE_FIELD (ScsiPendingEvent, lun, VMM_STATE_U32),
  VMM_STATE_FIELD (ScsiPendingEvent, reason, VMM_STATE_U32),
};

static gboolean
scsi_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  VirtioScsi *scsi = (VirtioScsi *)device;

  for (guint i = 0; i < scsi->host.n_slots; i++)
    if (scsi_unit_get_kind (scsi->host.slots[i]->unit) == SCSI_KIND_PASSTHROUGH)
      {
        g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                     "%s is a device of the host, whose state cannot be saved: remove the disk, or "
                     "shut the guest down instead",
                     scsi->host.slots[i]->name);
        return FALSE;
      }
  for (guint i = 0; i < scsi->host.n_slots; i++)
    if (scsi_unit_get_n_in_flight (scsi->host.slots[i]->unit) > 0)
      {
        g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                     "%s has unfinished requests, because the host could not carry them out: make "
                     "room or mend the storage, then resume the machine",
                     scsi->host.slots[i]->name);
        return FALSE;
      }
  virtio_device_save (&scsi->parent, writer);
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), scsi);
  for (guint i = 0; i < scsi->guest.n_events; i++)
    vmm_state_save_fields (writer, event_fields, G_N_ELEMENTS (event_fields),
                           &scsi->guest.events[i]);
  vmm_state_put_uint (writer, "n_units", scsi->host.n_slots);
  for (guint i = 0; i < scsi->host.n_slots; i++)
    {
      vmm_state_put_uint (writer, "target", scsi->host.slots[i]->target);
      vmm_state_put_uint (writer, "lun", scsi->host.slots[i]->lun);
      vmm_state_put_uint (writer, "kind", scsi_unit_get_kind (scsi->host.slots[i]->unit));
      scsi_unit_save (scsi->host.slots[i]->unit, writer);
    }
  return TRUE;
}

static gboolean
load_events (VirtioScsi *scsi, VmmStateReader *reader, GError **error)
{
  guint32 n = scsi->guest.n_events;

  if (n > SCSI_MAX_EVENTS || scsi->guest.events_missed > 1 ||
      scsi->guest.sense_size > SCSI_SENSE_SIZE || scsi->guest.cdb_size > SCSI_CDB_SIZE ||
      scsi->guest.cdb_size == 0)
    goto impossible;
  for (guint i = 0; i < n; i++)
    {
      ScsiPendingEvent *event = &scsi->guest.events[i];

      if (!vmm_state_load_fields (reader, event_fields, G_N_ELEMENTS (event_fields), event, error))
        return FALSE;
      if ((event->event != SCSI_EVENT_TRANSPORT_RESET && event->event != SCSI_EVENT_PARAM_CHANGE) ||
          event->target > VIRTIO_SCSI_MAX_TARGET || event->lun > VIRTIO_SCSI_MAX_LUN ||
          event->reason > 0xffff)
        goto impossible;
    }
  return TRUE;

impossible:
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "%s: the saved state is not possible; the file is damaged",
               scsi->parent.parent.parent.id);
  return FALSE;
}

static gboolean
load_units (VirtioScsi *scsi, VmmStateReader *reader, GError **error)
{
  guint64 n, target, lun, kind;

  if (!vmm_state_get_uint (reader, "n_units", VIRTIO_SCSI_MAX_UNITS, &n, error))
    return FALSE;
  if (n != scsi->host.n_slots)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: the saved machine had %u SCSI drives, this one has %u; its definition must "
                   "be that of the machine that was saved",
                   scsi->parent.parent.parent.id, (guint)n, scsi->host.n_slots);
      return FALSE;
    }
  for (guint i = 0; i < n; i++)
    {
      const ScsiSlot *slot = scsi->host.slots[i];

      if (!vmm_state_get_uint (reader, "target", VIRTIO_SCSI_MAX_TARGET, &target, error) ||
          !vmm_state_get_uint (reader, "lun", VIRTIO_SCSI_MAX_LUN, &lun, error) ||
          !vmm_state_get_uint (reader, "kind", SCSI_KIND_PASSTHROUGH, &kind, error))
        return FALSE;
      if (target != slot->target || lun != slot->lun || kind != scsi_unit_get_kind (slot->unit))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "%s: the saved machine had another kind of drive at %u:%u than %s, or none",
                       scsi->parent.parent.parent.id, slot->target, slot->lun, slot->name);
          return FALSE;
        }
      if (!scsi_unit_load (slot->unit, reader, error))
        {
          g_prefix_error (error, "%s: ", slot->name);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
scsi_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  VirtioScsi *scsi = (VirtioScsi *)device;

  if (virtio_device_load (&scsi->parent, reader, error))
    {
      initial_values (scsi);
      if (vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), scsi, error) &&
          load_events (scsi, reader, error) && load_units (scsi, reader, error))
        return TRUE;
    }
  initial_values (scsi);
  return FALSE;
}

static void
scsi_stats (VmmDevice *device,
            void (*add) (gpointer user_data, const char *name, guint64 value),
            gpointer user_data)
{
  VirtioScsi *scsi = (VirtioScsi *)device;
  ScsiUnitCounters sum = { 0 };

  for (guint i = 0; i < scsi->host.n_slots; i++)
    {
      ScsiUnitCounters unit;

      scsi_unit_get_counters (scsi->host.slots[i]->unit, &unit);
      sum.n_reads += unit.n_reads;
      sum.n_writes += unit.n_writes;
      sum.n_flushes += unit.n_flushes;
      sum.n_errors += unit.n_errors;
      sum.bytes_read += unit.bytes_read;
      sum.bytes_written += unit.bytes_written;
    }
  add (user_data, "units", scsi->host.n_slots);
  add (user_data, "reads", sum.n_reads);
  add (user_data, "writes", sum.n_writes);
  add (user_data, "flushes", sum.n_flushes);
  add (user_data, "bytes-read", sum.bytes_read);
  add (user_data, "bytes-written", sum.bytes_written);
  add (user_data, "errors", sum.n_errors);
  add (user_data, "commands", __atomic_load_n (&scsi->host.n_commands, __ATOMIC_RELAXED));
  add (user_data, "task-management", __atomic_load_n (&scsi->host.n_tmfs, __ATOMIC_RELAXED));
  add (user_data, "events", __atomic_load_n (&scsi->host.n_events_sent, __ATOMIC_RELAXED));
  virtio_device_stats (&scsi->parent, add, user_data);
}

static const VmmProperty scsi_properties[] = {
  VIRTIO_DEVICE_PROPERTIES,
  { "num-queues", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioScsi, config.n_queues), 1,
    SCSI_MAX_QUEUES, 1 },
  { "iothread", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioScsi, config.iothread), 0, 1, 1 },
  { NULL },
};

const VmmDeviceOps virtio_scsi_device_ops = {
  .name = "virtio-scsi",
  .summary = "SCSI controller (virtio)",
  .spec = "Virtio 1.2, 5.6",
  .instance_size = sizeof (VirtioScsi),
  .state_version = 1,
  .properties = scsi_properties,
  .realize = scsi_realize,
  .unrealize = scsi_unrealize,
  .reset = scsi_reset,
  .quiesce = scsi_quiesce,
  .resume = scsi_resume,
  .save = scsi_save,
  .load = scsi_load,
  .stats = scsi_stats,
};
