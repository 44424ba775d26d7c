/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/machine.h"

struct _VmmMachine
{
  VmmAccel *accel;
  VmmClock *clock;
  VmmGuestMemory *memory;
  VmmBus *pio, *mmio;

  GMutex lock; /* devices, workers */
  GPtrArray *devices;
  GPtrArray *workers;
  VmmWorker *worker; /* the default one, in workers */

  GMutex gsi_lock;
  gint gsi_count[VMM_MACHINE_N_GSI]; /* lines that are up */

  VmmRequestFunc request_func;
  gpointer request_data;
};

VmmMachine *
vmm_machine_new (VmmAccel *accel, VmmClock *clock, GError **error)
{
  VmmMachine *machine = g_new0 (VmmMachine, 1);

  machine->accel = accel;
  machine->clock = clock;
  machine->memory = vmm_guest_memory_new ();
  machine->pio = vmm_bus_new ("I/O port", 0xffff);
  machine->mmio = vmm_bus_new ("memory", G_MAXUINT64);
  machine->devices = g_ptr_array_new ();
  machine->workers = g_ptr_array_new ();
  g_mutex_init (&machine->lock);
  g_mutex_init (&machine->gsi_lock);
  if (accel->ops->memory.map != NULL &&
      !vmm_guest_memory_add_listener (machine->memory, &accel->ops->memory, accel, error))
    {
      vmm_machine_free (machine);
      return NULL;
    }
  return machine;
}

void
vmm_machine_free (VmmMachine *machine)
{
  if (machine == NULL)
    return;
  while (machine->devices->len > 0)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, machine->devices->len - 1);

      vmm_device_unrealize (device);
      vmm_device_free (device);
    }
  while (machine->workers->len > 0)
    vmm_worker_free (g_ptr_array_steal_index (machine->workers, machine->workers->len - 1));
  vmm_guest_memory_free (machine->memory);
  vmm_bus_free (machine->pio);
  vmm_bus_free (machine->mmio);
  vmm_clock_free (machine->clock);
  g_ptr_array_unref (machine->devices);
  g_ptr_array_unref (machine->workers);
  g_mutex_clear (&machine->gsi_lock);
  g_mutex_clear (&machine->lock);
  g_free (machine);
}

VmmAccel *
vmm_machine_get_accel (VmmMachine *machine)
{
  return machine->accel;
}

VmmGuestMemory *
vmm_machine_get_memory (VmmMachine *machine)
{
  return machine->memory;
}

VmmBus *
vmm_machine_get_pio (VmmMachine *machine)
{
  return machine->pio;
}

VmmBus *
vmm_machine_get_mmio (VmmMachine *machine)
{
  return machine->mmio;
}

VmmClock *
vmm_machine_get_clock (VmmMachine *machine)
{
  return machine->clock;
}

VmmWorker *
vmm_machine_add_worker (VmmMachine *machine, const char *name, VmmWorkerFlags flags, GError **error)
{
  VmmWorker *worker = vmm_clock_is_fake (machine->clock) ? vmm_worker_new_manual (name, flags)
                                                         : vmm_worker_new (name, flags, error);

  if (worker == NULL)
    return NULL;
  g_mutex_lock (&machine->lock);
  g_ptr_array_add (machine->workers, worker);
  g_mutex_unlock (&machine->lock);
  return worker;
}

void
vmm_machine_remove_worker (VmmMachine *machine, VmmWorker *worker)
{
  gboolean ours;

  g_mutex_lock (&machine->lock);
  ours = g_ptr_array_remove (machine->workers, worker);
  g_mutex_unlock (&machine->lock);
  g_assert (ours && worker != machine->worker);
  vmm_worker_free (worker);
}

VmmWorker *
vmm_machine_get_worker (VmmMachine *machine)
{
  VmmWorker *worker = g_atomic_pointer_get (&machine->worker);

  if (worker != NULL)
    return worker;
  worker = vmm_machine_add_worker (machine, "io", VMM_WORKER_NONE, NULL);
  /* A process that cannot have a thread or two fds cannot run a machine; the callers could do
   * nothing about it. */
  g_assert (worker != NULL);
  if (g_atomic_pointer_compare_and_exchange (&machine->worker, NULL, worker))
    return worker;
  /* Another thread was first. Ours stays idle in the list and is freed with the machine. */
  return g_atomic_pointer_get (&machine->worker);
}

gboolean
vmm_machine_iterate (VmmMachine *machine)
{
  gboolean ran = FALSE;

  for (guint i = 0; i < machine->workers->len; i++)
    {
      VmmWorker *worker = g_ptr_array_index (machine->workers, i);

      ran |= vmm_worker_iterate (worker, vmm_worker_get_n_aio (worker) > 0 ? 5000 : 0);
      /* A wait may end early (EINTR by io_uring's own notification) with the I/O still under way. */
      ran |= vmm_worker_get_n_aio (worker) > 0;
    }
  return ran;
}

void
vmm_machine_add_device (VmmMachine *machine, VmmDevice *device)
{
  g_mutex_lock (&machine->lock);
  g_ptr_array_add (machine->devices, device);
  g_mutex_unlock (&machine->lock);
}

void
vmm_machine_remove_device (VmmMachine *machine, VmmDevice *device)
{
  g_mutex_lock (&machine->lock);
  g_ptr_array_remove (machine->devices, device);
  g_mutex_unlock (&machine->lock);
}

VmmDevice *
vmm_machine_find_device (VmmMachine *machine, const char *id)
{
  VmmDevice *found = NULL;

  g_mutex_lock (&machine->lock);
  for (guint i = 0; found == NULL && i < machine->devices->len; i++)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, i);

      if (g_str_equal (device->id, id))
        found = device;
    }
  g_mutex_unlock (&machine->lock);
  return found;
}

/* Ops run without the machine's lock, since a device may look for another one in them. Devices come
 * and go on the control thread only, which is the one that is here. */
void
vmm_machine_foreach_device (VmmMachine *machine,
                            void (*func) (VmmDevice *device, gpointer user_data),
                            gpointer user_data)
{
  for (guint i = 0; i < machine->devices->len; i++)
    func (g_ptr_array_index (machine->devices, i), user_data);
}

void
vmm_machine_reset_devices (VmmMachine *machine, VmmResetKind kind)
{
  for (guint i = 0; i < machine->devices->len; i++)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, i);

      device->ops->reset (device, kind);
    }
}

void
vmm_machine_quiesce_devices (VmmMachine *machine)
{
  for (guint i = machine->devices->len; i-- > 0;)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, i);

      device->ops->quiesce (device);
    }
}

void
vmm_machine_resume_devices (VmmMachine *machine)
{
  for (guint i = 0; i < machine->devices->len; i++)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, i);

      device->ops->resume (device);
    }
}

gboolean
vmm_machine_check_savable (VmmMachine *machine, GError **error)
{
  for (guint i = 0; i < machine->devices->len; i++)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, i);

      if ((device->ops->flags & VMM_DEVICE_UNSAVABLE) == 0)
        continue;
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "The machine cannot be saved while it runs: the state of device “%s” (%s) "
                   "cannot be read. Shut the machine down first, or remove the device.",
                   device->id, device->ops->name);
      return FALSE;
    }
  return TRUE;
}

gboolean
vmm_machine_save_devices (VmmMachine *machine, VmmStateWriter *writer, GError **error)
{
  if (!vmm_machine_check_savable (machine, error))
    return FALSE;
  for (guint i = 0; i < machine->devices->len; i++)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, i);

      vmm_state_writer_begin (writer, device->id, device->ops->name, device->ops->state_version);
      if (!device->ops->save (device, writer, error))
        return FALSE;
      vmm_state_writer_end (writer);
    }
  return TRUE;
}

static gboolean
load_section (VmmMachine *machine,
              VmmStateReader *reader,
              const char *id,
              const char *class_name,
              guint32 version,
              GHashTable *loaded,
              GError **error)
{
  VmmDevice *device = vmm_machine_find_device (machine, id);

  if (device == NULL || !g_str_equal (device->ops->name, class_name))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state has a device “%s” (%s) that this machine does not have", id,
                   class_name);
      return FALSE;
    }
  if (version == 0 || version > device->ops->state_version)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state of device “%s” has version %u; this version of Alcove reads up "
                   "to %u. Update Alcove.",
                   id, version, device->ops->state_version);
      return FALSE;
    }
  if (!g_hash_table_add (loaded, device))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The saved state has device “%s” twice",
                   id);
      return FALSE;
    }
  return device->ops->load (device, reader, version, error) && vmm_state_reader_end (reader, error);
}

gboolean
vmm_machine_load_devices (VmmMachine *machine, VmmStateReader *reader, GError **error)
{
  g_autoptr (GHashTable) loaded = g_hash_table_new (NULL, NULL);
  GError *local = NULL;
  const char *id, *class_name;
  guint32 version;

  while (vmm_state_reader_next (reader, &id, &class_name, &version, &local))
    if (!load_section (machine, reader, id, class_name, version, loaded, error))
      return FALSE;
  if (local != NULL)
    {
      g_propagate_error (error, local);
      return FALSE;
    }
  for (guint i = 0; i < machine->devices->len; i++)
    {
      VmmDevice *device = g_ptr_array_index (machine->devices, i);

      if (g_hash_table_contains (loaded, device))
        continue;
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "The saved state lacks the device “%s” (%s) of this machine", device->id,
                   device->ops->name);
      return FALSE;
    }
  return TRUE;
}

void
vmm_machine_set_request_func (VmmMachine *machine, VmmRequestFunc func, gpointer user_data)
{
  machine->request_func = func;
  machine->request_data = user_data;
}

void
vmm_machine_request (VmmMachine *machine, VmmRequest request, guint64 value, const char *detail)
{
  if (machine->request_func != NULL)
    machine->request_func (machine, request, value, detail, machine->request_data);
}

static void
gsi_change (VmmMachine *machine, guint gsi, gint by)
{
  gboolean before, after;

  g_assert (gsi < VMM_MACHINE_N_GSI);
  /* The lock also orders the calls into the hypervisor, so the last one tells the truth. */
  g_mutex_lock (&machine->gsi_lock);
  before = machine->gsi_count[gsi] > 0;
  machine->gsi_count[gsi] += by;
  after = machine->gsi_count[gsi] > 0;
  if (before != after)
    (void)machine->accel->ops->set_gsi (machine->accel, gsi, after);
  g_mutex_unlock (&machine->gsi_lock);
}

void
vmm_machine_gsi_raise (VmmMachine *machine, guint gsi)
{
  gsi_change (machine, gsi, 1);
}

void
vmm_machine_gsi_lower (VmmMachine *machine, guint gsi)
{
  gsi_change (machine, gsi, -1);
}

gboolean
vmm_machine_add_ioeventfd (VmmMachine *machine,
                           int eventfd,
                           gboolean pio,
                           guint64 address,
                           guint size,
                           gboolean has_match,
                           guint64 match)
{
  return machine->accel->ops->ioeventfd (machine->accel, eventfd, pio, address, size, has_match,
                                         match, TRUE) == 0;
}

void
vmm_machine_remove_ioeventfd (VmmMachine *machine,
                              int eventfd,
                              gboolean pio,
                              guint64 address,
                              guint size,
                              gboolean has_match,
                              guint64 match)
{
  (void)machine->accel->ops->ioeventfd (machine->accel, eventfd, pio, address, size, has_match,
                                        match, FALSE);
}
