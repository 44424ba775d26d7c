/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The queues of virtio-scsi (Virtio 1.2, 5.6.6): commands, task management, events.
 *
 * All queues are served by one worker, so units and lists need no lock of their own; the device lock
 * guards the rings. A request's struct holds its chain, the copied header and the engine's command,
 * and is given back in one place. A task management function that has to wait for commands stays in
 * a list and answers when the last of them has ended. */
#include "devices/virtio/scsi-private.h"

#include <string.h>

/* Virtio 1.2, 5.6.6.1 and 5.6.6.2 */
enum
{
  RESPONSE_OK = 0, /* and FUNCTION COMPLETE */
  RESPONSE_OVERRUN = 1,
  RESPONSE_ABORTED = 2,
  RESPONSE_BAD_TARGET = 3,
  RESPONSE_RESET = 4,
  RESPONSE_FAILURE = 9,
  RESPONSE_FUNCTION_SUCCEEDED = 10,
  RESPONSE_FUNCTION_REJECTED = 11,
  RESPONSE_INCORRECT_LUN = 12,

  CONTROL_TMF = 0,
  CONTROL_AN_QUERY = 1,
  CONTROL_AN_SUBSCRIBE = 2,

  TMF_ABORT_TASK = 0,
  TMF_ABORT_TASK_SET = 1,
  TMF_CLEAR_ACA = 2,
  TMF_CLEAR_TASK_SET = 3,
  TMF_I_T_NEXUS_RESET = 4,
  TMF_LOGICAL_UNIT_RESET = 5,
  TMF_QUERY_TASK = 6,
  TMF_QUERY_TASK_SET = 7,
};

/* struct virtio_scsi_req_cmd up to the CDB, whose length is configured */
#define HEADER_CDB  19
#define HEADER_MAX  (HEADER_CDB + SCSI_CDB_SIZE)
/* its device-writable part up to the sense data */
#define REPLY_SENSE 12
#define REPLY_MAX   (REPLY_SENSE + SCSI_SENSE_SIZE)

/* struct virtio_scsi_ctrl_tmf, without the response */
typedef struct
{
  guint32 type;
  guint32 subtype;
  guint8 lun[8];
  guint64 id;
} __attribute__ ((packed)) WireTmf;
G_STATIC_ASSERT (sizeof (WireTmf) == 24);

/* struct virtio_scsi_event */
typedef struct
{
  guint32 event;
  guint8 lun[8];
  guint32 reason;
} WireEvent;
G_STATIC_ASSERT (sizeof (WireEvent) == 16);

typedef struct
{
  guint target, lun;
  gboolean valid, well_known; /* the REPORT LUNS unit */
} Address;

struct _ScsiRequest
{
  ScsiCommand command; /* first */
  VirtioScsi *scsi;
  ScsiRequest *prev, *next;
  guint queue;
  VirtqueueChain *chain;
  const struct iovec *reply; /* pinned: REPLY_SENSE + sense_size bytes */
  guint reply_count;
  gsize reply_size;
  Address address;
  guint64 tag, sequence;
  gboolean aborted; /* by ABORT TASK and the like; otherwise a reset took it */
};

struct _ScsiTmf
{
  ScsiTmf *next;
  VirtqueueChain *chain;
  guint target, lun; /* SCSI_ANY_LUN */
  gboolean one_task;
  guint64 tag;
  guint64 sequence; /* waits for commands older than this */
};

/* ---- addresses (Virtio 1.2, 5.6.6.1) ---- */

static Address
parse_address (const guint8 lun[8])
{
  Address address = { 0 };

  if (lun[0] == 0xc1 && lun[1] == 0x01)
    {
      address.valid = address.well_known = TRUE;
      return address;
    }
  /* One level: flat space, or peripheral addressing below 256. */
  address.target = lun[1];
  address.lun = ((guint)lun[2] << 8 | lun[3]) & 0x3fff;
  address.valid = lun[0] == 1 && (lun[2] >> 6 == 1 || lun[2] == 0) && lun[4] == 0 && lun[5] == 0 &&
                  lun[6] == 0 && lun[7] == 0;
  return address;
}

static void
put_lun (guint8 at[8], guint target, guint lun)
{
  memset (at, 0, 8);
  at[0] = 1;
  at[1] = target;
  at[2] = lun < 256 ? 0 : 0x40 | lun >> 8;
  at[3] = lun;
}

/* ---- locks and interrupts ---- */

static gboolean
lock (VirtioScsi *scsi)
{
  if (scsi->host.inside)
    return FALSE;
  virtio_device_lock_queue (&scsi->parent, SCSI_CONTROL);
  scsi->host.inside = TRUE;
  return TRUE;
}

static void
unlock (VirtioScsi *scsi, gboolean locked)
{
  if (!locked)
    return;
  scsi->host.inside = FALSE;
  virtio_device_unlock_queue (&scsi->parent, SCSI_CONTROL);
}

/* Device lock held. */
static void
notify_queues (VirtioScsi *scsi)
{
  guint32 queues = scsi->host.notify;

  scsi->host.notify = 0;
  for (guint i = 0; queues != 0; i++, queues >>= 1)
    if (queues & 1)
      virtio_device_notify_queue (&scsi->parent, i);
}

static void
notify_all (VirtioScsi *scsi)
{
  gboolean locked = lock (scsi);

  notify_queues (scsi);
  unlock (scsi, locked);
}

void
virtio_scsi_notify_later (gpointer user_data)
{
  notify_all (user_data);
}

/* Device lock held. One interrupt for what ends together, none to wait for when nothing else is
 * under way. */
static void
want_notify (VirtioScsi *scsi, guint queue, gboolean in_kick)
{
  scsi->host.notify |= 1u << queue;
  if (in_kick)
    return;
  if (scsi->host.n_in_flight == 0)
    notify_queues (scsi);
  else
    vmm_post_schedule (scsi->host.notify_post);
}

/* ---- commands ---- */

static ScsiRequest *
take_request (VirtioScsi *scsi, guint queue, VirtqueueChain *chain)
{
  ScsiRequest *request = scsi->host.pool;

  if (request != NULL)
    scsi->host.pool = request->next;
  else
    request = g_new (ScsiRequest, 1);
  memset (request, 0, sizeof *request);
  request->scsi = scsi;
  request->queue = queue;
  request->chain = chain;
  request->sequence = ++scsi->host.sequence;
  request->next = scsi->host.first;
  if (request->next != NULL)
    request->next->prev = request;
  scsi->host.first = request;
  scsi->host.n_in_flight++;
  return request;
}

static void finish_tmfs (VirtioScsi *scsi, gboolean in_kick);

static void
put_le32 (guint8 *at, guint32 value)
{
  for (guint i = 0; i < 4; i++)
    at[i] = value >> (8 * i);
}

static void
fill_reply (ScsiRequest *request, guint8 response)
{
  const ScsiCommand *command = &request->command;
  guint64 residual = command->in_length + command->out_length - command->n_in - command->n_out;
  guint8 reply[REPLY_MAX] = { 0 };
  gsize sense_size = request->reply_size - REPLY_SENSE, at = 0;
  gsize sense = response == RESPONSE_OK ? MIN (command->sense_length, sense_size) : 0;

  put_le32 (reply, sense);
  put_le32 (reply + 4, MIN (residual, G_MAXUINT32));
  reply[10] = response == RESPONSE_OK ? command->status : 0;
  reply[11] = response;
  memcpy (reply + REPLY_SENSE, command->sense, sense);
  for (guint i = 0; i < request->reply_count; i++)
    {
      memcpy (request->reply[i].iov_base, reply + at, request->reply[i].iov_len);
      at += request->reply[i].iov_len;
    }
}

/* Gives the chain back; the one way out for a request. Device lock held. */
static void
end_request (ScsiRequest *request, guint8 response, gboolean in_kick)
{
  VirtioScsi *scsi = request->scsi;
  guint queue = request->queue;
  gsize written = 0;

  if (request->reply_count > 0)
    {
      fill_reply (request, response);
      written = request->reply_size + request->command.n_in;
    }
  virtqueue_push (virtio_device_get_queue (&scsi->parent, queue), request->chain, written);
  if (request->prev != NULL)
    request->prev->next = request->next;
  else
    scsi->host.first = request->next;
  if (request->next != NULL)
    request->next->prev = request->prev;
  request->next = scsi->host.pool;
  scsi->host.pool = request;
  scsi->host.n_in_flight--;
  want_notify (scsi, queue, in_kick);
  if (scsi->host.tmfs != NULL)
    finish_tmfs (scsi, in_kick);
}

static void
command_done (ScsiCommand *command)
{
  ScsiRequest *request = (ScsiRequest *)command;
  VirtioScsi *scsi = request->scsi;
  gboolean locked = lock (scsi);
  guint8 response = RESPONSE_OK;

  if (command->cancelled)
    {
      response = request->aborted ? RESPONSE_ABORTED : RESPONSE_RESET;
      command->n_in = command->n_out = 0;
    }
  else if (command->overrun)
    response = RESPONSE_OVERRUN;
  else if (command->failed)
    response = RESPONSE_FAILURE;
  end_request (request, response, !locked);
  unlock (scsi, locked);
}

/* Header, reply and data of a request. FALSE: it cannot be carried out. */
static gboolean
parse_request (ScsiRequest *request)
{
  VirtioScsi *scsi = request->scsi;
  ScsiCommand *command = &request->command;
  VirtqueueChain *chain = request->chain;
  guint8 header[HEADER_MAX];
  gsize cdb_size = scsi->guest.cdb_size;
  guint32 in, out;
  int n;

  request->reply_size = REPLY_SENSE + scsi->guest.sense_size;
  if (virtqueue_chain_writable_left (chain) < request->reply_size)
    return FALSE;
  n = virtqueue_chain_pin (chain, TRUE, request->reply_size, &request->reply);
  if (n <= 0)
    return FALSE;
  request->reply_count = n;
  if (virtqueue_chain_read (chain, header, HEADER_CDB + cdb_size) != HEADER_CDB + cdb_size)
    return FALSE;
  request->address = parse_address (header);
  memcpy (&request->tag, header + 8, 8); /* a name, not a number: no byte order */
  memcpy (command->cdb, header + HEADER_CDB, cdb_size);

  out = virtqueue_chain_readable_left (chain);
  in = virtqueue_chain_writable_left (chain);
  command->out_length = out;
  command->in_length = in;
  if (in > 0 && out > 0) /* 5.6.6.1.1: only with INOUT */
    return FALSE;
  if (in > 0)
    {
      n = virtqueue_chain_pin (chain, TRUE, in, &command->in);
      command->in_count = MAX (n, 0);
    }
  if (out > 0)
    {
      n = virtqueue_chain_pin (chain, FALSE, out, &command->out);
      command->out_count = MAX (n, 0);
    }
  return n > 0 && n <= SCSI_IOV_MAX;
}

static void
execute_for_target (ScsiRequest *request)
{
  VirtioScsi *scsi = request->scsi;
  guint64 luns[VIRTIO_SCSI_MAX_UNITS];
  guint n = 0;

  for (guint i = 0; i < scsi->host.n_slots; i++)
    if (scsi->host.slots[i]->target == request->address.target)
      {
        guint8 lun[8];

        put_lun (lun, 0, scsi->host.slots[i]->lun);
        lun[0] = lun[2]; /* as in REPORT LUNS: without the transport's first level */
        lun[1] = lun[3];
        lun[2] = lun[3] = 0;
        memcpy (&luns[n++], lun, 8);
      }
  scsi_target_execute (luns, n, &request->command);
}

static void
start (ScsiRequest *request, gboolean alone)
{
  VirtioScsi *scsi = request->scsi;
  ScsiCommand *command = &request->command;
  gboolean target_exists;
  ScsiSlot *slot;

  if (!parse_request (request))
    {
      end_request (request, RESPONSE_FAILURE, TRUE);
      return;
    }
  __atomic_fetch_add (&scsi->host.n_commands, 1, __ATOMIC_RELAXED);
  command->done = command_done;
  command->alone = alone;
  slot =
      virtio_scsi_find_slot (scsi, request->address.target, request->address.lun, &target_exists);
  if (!request->address.valid || (!target_exists && !request->address.well_known))
    end_request (request, RESPONSE_BAD_TARGET, TRUE);
  else if (slot == NULL || request->address.well_known || scsi_target_wants (command->cdb))
    execute_for_target (request);
  else
    scsi_unit_execute (slot->unit, command);
}

static VirtqueueStatus
serve_commands (VirtioScsi *scsi, guint queue, guint *budget)
{
  Virtqueue *vq = virtio_device_get_queue (&scsi->parent, queue);
  VirtqueueStatus status = VIRTQUEUE_EMPTY;
  ScsiRequest *request = NULL;
  VirtqueueChain *chain;

  /* One behind, to know whether a request is alone. */
  while (*budget > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    {
      if (request != NULL)
        start (request, FALSE);
      request = take_request (scsi, queue, chain);
      --*budget;
    }
  if (request != NULL)
    start (request, scsi->host.n_in_flight == 1);
  return status;
}

/* ---- control ---- */

static void
end_control (VirtioScsi *scsi, VirtqueueChain *chain, guint8 response, gboolean in_kick)
{
  gsize written = virtqueue_chain_write (chain, &response, 1);

  virtqueue_push (virtio_device_get_queue (&scsi->parent, SCSI_CONTROL), chain, written);
  want_notify (scsi, SCSI_CONTROL, in_kick);
}

static gboolean
concerns (const ScsiTmf *tmf, const ScsiRequest *request)
{
  return request->address.valid && !request->address.well_known &&
         request->sequence < tmf->sequence && request->address.target == tmf->target &&
         (tmf->lun == SCSI_ANY_LUN || request->address.lun == tmf->lun) &&
         (!tmf->one_task || request->tag == tmf->tag);
}

static gboolean
is_waiting (VirtioScsi *scsi, const ScsiTmf *tmf)
{
  for (const ScsiRequest *request = scsi->host.first; request != NULL; request = request->next)
    if (concerns (tmf, request))
      return TRUE;
  return FALSE;
}

/* Device lock held. */
static void
finish_tmfs (VirtioScsi *scsi, gboolean in_kick)
{
  ScsiTmf **link = &scsi->host.tmfs;

  while (*link != NULL)
    {
      ScsiTmf *tmf = *link;

      if (is_waiting (scsi, tmf))
        {
          link = &tmf->next;
          continue;
        }
      *link = tmf->next;
      end_control (scsi, tmf->chain, RESPONSE_OK, in_kick);
      g_free (tmf);
    }
}

/* Cancels what the function names. Completions come back while this walks the list, so it starts
 * again after each. */
static void
abort_commands (VirtioScsi *scsi, const ScsiTmf *tmf)
{
  ScsiRequest *request = scsi->host.first;

  while (request != NULL)
    {
      if (!concerns (tmf, request) || request->aborted || request->command.unit == NULL ||
          request->command.cancelled)
        {
          request = request->next;
          continue;
        }
      request->aborted = TRUE;
      scsi_unit_cancel (request->command.unit, &request->command);
      request = scsi->host.first;
    }
}

static void
reset_units (VirtioScsi *scsi, const ScsiTmf *tmf)
{
  for (guint i = 0; i < scsi->host.n_slots; i++)
    {
      ScsiSlot *slot = scsi->host.slots[i];

      if (slot->target == tmf->target && (tmf->lun == SCSI_ANY_LUN || slot->lun == tmf->lun))
        scsi_unit_reset (slot->unit, tmf->lun == SCSI_ANY_LUN ? SCSI_RESET_BUS : SCSI_RESET_UNIT);
    }
}

static void
run_tmf (VirtioScsi *scsi, VirtqueueChain *chain, const WireTmf *wire)
{
  guint32 subtype = GUINT32_FROM_LE (wire->subtype);
  Address address = parse_address (wire->lun);
  ScsiTmf what = { .chain = chain,
                   .target = address.target,
                   .lun = subtype == TMF_I_T_NEXUS_RESET ? SCSI_ANY_LUN : address.lun,
                   .one_task = subtype == TMF_ABORT_TASK || subtype == TMF_QUERY_TASK,
                   .tag = wire->id,
                   .sequence = ++scsi->host.sequence };
  gboolean target_exists;
  ScsiSlot *slot = virtio_scsi_find_slot (scsi, address.target, address.lun, &target_exists);
  guint8 response = RESPONSE_OK;
  ScsiTmf *tmf;

  __atomic_fetch_add (&scsi->host.n_tmfs, 1, __ATOMIC_RELAXED);
  if (!address.valid || address.well_known || !target_exists)
    response = RESPONSE_BAD_TARGET;
  else if (slot == NULL && subtype != TMF_I_T_NEXUS_RESET)
    response = RESPONSE_INCORRECT_LUN;
  else
    switch (subtype)
      {
      case TMF_ABORT_TASK:
      case TMF_ABORT_TASK_SET:
      case TMF_CLEAR_TASK_SET:
        abort_commands (scsi, &what);
        break;
      case TMF_I_T_NEXUS_RESET:
      case TMF_LOGICAL_UNIT_RESET:
        reset_units (scsi, &what);
        break;
      case TMF_QUERY_TASK:
      case TMF_QUERY_TASK_SET:
        end_control (scsi, chain,
                     is_waiting (scsi, &what) ? RESPONSE_FUNCTION_SUCCEEDED : RESPONSE_OK, TRUE);
        return;
      default: /* no ACA without NACA, which INQUIRY does not offer */
        response = RESPONSE_FUNCTION_REJECTED;
        break;
      }
  if (response != RESPONSE_OK || !is_waiting (scsi, &what))
    {
      end_control (scsi, chain, response, TRUE);
      return;
    }
  tmf = g_new (ScsiTmf, 1);
  *tmf = what;
  tmf->next = scsi->host.tmfs;
  scsi->host.tmfs = tmf;
}

/* Asynchronous notification (5.6.6.2): no events of the device's own are there to subscribe to. */
static void
answer_notification (VirtioScsi *scsi, VirtqueueChain *chain)
{
  guint8 reply[5] = { 0, 0, 0, 0, RESPONSE_OK };
  gsize written = virtqueue_chain_write (chain, reply, sizeof reply);

  virtqueue_push (virtio_device_get_queue (&scsi->parent, SCSI_CONTROL), chain, written);
  want_notify (scsi, SCSI_CONTROL, TRUE);
}

static void
control (VirtioScsi *scsi, VirtqueueChain *chain)
{
  WireTmf wire = { 0 };
  gsize n = virtqueue_chain_read (chain, &wire, sizeof wire);
  guint32 type = GUINT32_FROM_LE (wire.type);

  if (type == CONTROL_TMF && n == sizeof wire)
    run_tmf (scsi, chain, &wire);
  else if ((type == CONTROL_AN_QUERY || type == CONTROL_AN_SUBSCRIBE) && n >= 16)
    answer_notification (scsi, chain);
  else
    end_control (scsi, chain, RESPONSE_FAILURE, TRUE);
}

static VirtqueueStatus
serve_control (VirtioScsi *scsi, guint *budget)
{
  Virtqueue *vq = virtio_device_get_queue (&scsi->parent, SCSI_CONTROL);
  VirtqueueStatus status = VIRTQUEUE_EMPTY;
  VirtqueueChain *chain;

  while (*budget > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    {
      control (scsi, chain);
      --*budget;
    }
  return status;
}

/* ---- events ---- */

/* Device lock held. READY: events are delivered, or there are none. EMPTY: the driver has no buffer
 * for the next one, and rings when it has. */
static VirtqueueStatus
send_events (VirtioScsi *scsi)
{
  Virtqueue *vq = virtio_device_get_queue (&scsi->parent, SCSI_EVENT);
  VirtqueueStatus status;
  VirtqueueChain *chain;

  while (scsi->guest.n_events > 0 || scsi->guest.events_missed)
    {
      ScsiPendingEvent event =
          scsi->guest.n_events > 0 ? scsi->guest.events[0] : (ScsiPendingEvent){ 0 };
      WireEvent wire = { .event = GUINT32_TO_LE (
                             event.event | (scsi->guest.events_missed ? SCSI_EVENT_MISSED : 0)),
                         .reason = GUINT32_TO_LE (event.reason) };

      status = virtqueue_pop (vq, &chain);
      if (status == VIRTQUEUE_EMPTY && virtqueue_enable_kicks (vq))
        continue;
      if (status != VIRTQUEUE_READY)
        return status;
      if (event.event != 0)
        put_lun (wire.lun, event.target, event.lun);
      virtqueue_push (vq, chain, virtqueue_chain_write (chain, &wire, sizeof wire));
      __atomic_fetch_add (&scsi->host.n_events_sent, 1, __ATOMIC_RELAXED);
      scsi->guest.events_missed = FALSE;
      if (scsi->guest.n_events > 0)
        {
          scsi->guest.n_events--;
          memmove (scsi->guest.events, scsi->guest.events + 1, scsi->guest.n_events * sizeof event);
          scsi->guest.events[scsi->guest.n_events] = (ScsiPendingEvent){ 0 };
        }
      scsi->host.notify |= 1u << SCSI_EVENT;
    }
  return VIRTQUEUE_READY;
}

void
virtio_scsi_add_event (VirtioScsi *scsi, guint32 event, guint target, guint lun, guint32 reason)
{
  VirtioDevice *device = &scsi->parent;
  Virtqueue *vq = virtio_device_get_queue (device, SCSI_EVENT);
  gboolean locked = lock (scsi);

  if (virtio_device_has_feature (device, event == SCSI_EVENT_PARAM_CHANGE ? SCSI_FEATURE_CHANGE
                                                                          : SCSI_FEATURE_HOTPLUG))
    {
      if (scsi->guest.n_events < SCSI_MAX_EVENTS)
        scsi->guest.events[scsi->guest.n_events++] =
            (ScsiPendingEvent){ event, target, lun, reason };
      else
        scsi->guest.events_missed = TRUE;
      if (virtio_device_is_active (device) && virtqueue_is_enabled (vq))
        {
          if (send_events (scsi) == VIRTQUEUE_BROKEN)
            virtio_device_set_broken (device);
          notify_queues (scsi);
        }
    }
  unlock (scsi, locked);
}

/* ---- all of them ---- */

void
virtio_scsi_kick (VirtioDevice *device, guint queue)
{
  VirtioScsi *scsi = (VirtioScsi *)device;
  Virtqueue *vq = virtio_device_get_queue (device, queue);
  guint budget = virtqueue_get_size (vq);
  VirtqueueStatus status;

  scsi->host.inside = TRUE;
  if (queue == SCSI_EVENT)
    {
      /* Buffers are left in the ring until there is something to say. */
      status = send_events (scsi);
    }
  else
    do
      {
        virtqueue_disable_kicks (vq);
        status = queue == SCSI_CONTROL ? serve_control (scsi, &budget)
                                       : serve_commands (scsi, queue, &budget);
      }
    while (budget > 0 && status == VIRTQUEUE_EMPTY && virtqueue_enable_kicks (vq));
  notify_queues (scsi);
  scsi->host.inside = FALSE;
  if (status == VIRTQUEUE_BROKEN)
    virtio_device_set_broken (device);
  else if (budget == 0)
    virtio_device_schedule_kick (device, queue); /* others of this worker first */
}

void
virtio_scsi_drain (VirtioScsi *scsi)
{
  for (guint i = 0; i < scsi->host.n_slots; i++)
    scsi_unit_drain (scsi->host.slots[i]->unit);
  g_assert (scsi->host.n_in_flight == 0 && scsi->host.tmfs == NULL);
  notify_all (scsi);
}

void
virtio_scsi_settle (VirtioScsi *scsi)
{
  for (guint i = 0; i < scsi->host.n_slots; i++)
    (void)scsi_unit_settle (scsi->host.slots[i]->unit);
  notify_all (scsi);
}

void
virtio_scsi_free_requests (VirtioScsi *scsi)
{
  while (scsi->host.pool != NULL)
    {
      ScsiRequest *request = scsi->host.pool;

      scsi->host.pool = request->next;
      g_free (request);
    }
}
