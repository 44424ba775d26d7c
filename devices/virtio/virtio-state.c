/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The transport's part of a device's state. Chains are never part of it: quiesce gave all of them
 * back. The rings start again at resume, when guest memory is whole. */
#include "devices/virtio/virtio-private.h"

static const VmmStateField transport_fields[] = {
  VMM_STATE_FIELD (VirtioTransport, device_feature_select, VMM_STATE_U32),
  VMM_STATE_FIELD (VirtioTransport, driver_feature_select, VMM_STATE_U32),
  VMM_STATE_FIELD (VirtioTransport, driver_features, VMM_STATE_U64),
  VMM_STATE_FIELD (VirtioTransport, config_vector, VMM_STATE_U16),
  VMM_STATE_FIELD (VirtioTransport, queue_select, VMM_STATE_U16),
  VMM_STATE_FIELD (VirtioTransport, status, VMM_STATE_U32),
  VMM_STATE_FIELD (VirtioTransport, generation, VMM_STATE_U32),
  VMM_STATE_FIELD (VirtioTransport, isr, VMM_STATE_U32),
};

static const VmmStateField queue_fields[] = {
  VMM_STATE_FIELD (VirtioQueueState, size, VMM_STATE_U16),
  VMM_STATE_FIELD (VirtioQueueState, vector, VMM_STATE_U16),
  VMM_STATE_FIELD (VirtioQueueState, enable, VMM_STATE_U8),
  VMM_STATE_FIELD (VirtioQueueState, desc, VMM_STATE_U64),
  VMM_STATE_FIELD (VirtioQueueState, driver, VMM_STATE_U64),
  VMM_STATE_FIELD (VirtioQueueState, used, VMM_STATE_U64),
  VMM_STATE_FIELD (VirtioQueueState, saved_avail, VMM_STATE_U16),
};

void
virtio_device_save (VirtioDevice *device, VmmStateWriter *writer)
{
  VirtioTransport *t = device->transport;

  pci_device_save (&device->parent, writer);
  vmm_state_save_fields (writer, transport_fields, G_N_ELEMENTS (transport_fields), t);
  vmm_state_put_uint (writer, "n_queues", t->n_queues);
  for (guint i = 0; i < t->n_queues; i++)
    {
      VirtioQueueState *queue = &t->queues[i];

      /* A loaded device that was not resumed yet still has it here. */
      if (!t->load_activate)
        queue->saved_avail = virtqueue_get_avail_index (queue->vq);
      vmm_state_save_fields (writer, queue_fields, G_N_ELEMENTS (queue_fields), queue);
    }
}

static gboolean
load_queue (VirtioTransport *t, VirtioQueueState *queue, VmmStateReader *reader, GError **error)
{
  guint max = virtqueue_get_max_size (queue->vq);

  if (!vmm_state_load_fields (reader, queue_fields, G_N_ELEMENTS (queue_fields), queue, error))
    return FALSE;
  if ((queue->vector != VIRTIO_NO_VECTOR && queue->vector > t->n_queues) || queue->enable > 1 ||
      (queue->enable && queue->size > max))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: the saved state of queue %u is not possible", t->device->parent.parent.id,
                   queue->index);
      return FALSE;
    }
  if (queue->enable &&
      !virtqueue_enable (queue->vq, queue->size, queue->desc, queue->driver, queue->used,
                         (t->driver_features & FEATURE_BIT (FEATURE_INDIRECT_DESC)) != 0,
                         (t->driver_features & FEATURE_BIT (FEATURE_EVENT_IDX)) != 0))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: the saved ring of queue %u does not lie in guest memory; was the state "
                   "saved by a machine with more memory?",
                   t->device->parent.parent.id, queue->index);
      return FALSE;
    }
  return TRUE;
}

gboolean
virtio_device_load (VirtioDevice *device, VmmStateReader *reader, GError **error)
{
  VirtioTransport *t = device->transport;
  guint64 n_queues;

  g_mutex_lock (&device->parent.parent.lock);
  virtio_transport_reset_locked (t);
  g_mutex_unlock (&device->parent.parent.lock);
  if (!pci_device_load (&device->parent, reader, error) ||
      !vmm_state_load_fields (reader, transport_fields, G_N_ELEMENTS (transport_fields), t,
                              error) ||
      !vmm_state_get_uint (reader, "n_queues", VIRTIO_DEVICE_MAX_QUEUES, &n_queues, error))
    goto fail;
  if (n_queues != t->n_queues || (t->driver_features & ~t->features) != 0 ||
      (t->config_vector != VIRTIO_NO_VECTOR && t->config_vector > t->n_queues) ||
      (guint)t->status > 0xff || t->isr > (ISR_QUEUE | ISR_CONFIG))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "%s: the saved state does not fit this device (queues, features or status); "
                   "its settings must be those of the machine that was saved",
                   device->parent.parent.id);
      goto fail;
    }
  for (guint i = 0; i < t->n_queues; i++)
    if (!load_queue (t, &t->queues[i], reader, error))
      goto fail;

  g_mutex_lock (&t->isr_lock);
  pci_device_set_intx (&device->parent, t->isr != 0);
  g_mutex_unlock (&t->isr_lock);
  t->load_activate = (t->status & STATUS_DRIVER_OK) && !(t->status & STATUS_NEEDS_RESET);
  /* resume starts it, as after quiesce. */
  g_atomic_int_set (&t->quiesced, TRUE);
  return TRUE;

fail:
  g_mutex_lock (&device->parent.parent.lock);
  virtio_transport_reset_locked (t);
  g_mutex_unlock (&device->parent.parent.lock);
  return FALSE;
}
