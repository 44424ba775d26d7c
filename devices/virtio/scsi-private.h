/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-scsi: scsi.c (device, units, configuration, state) and scsi-queues.c (the queues). */
#pragma once
#include "devices/virtio/scsi.h"
#include "vmm/post.h"

#define SCSI_MAX_QUEUES   16
#define SCSI_QUEUE_SIZE   256
#define SCSI_FIRST_QUEUE  2
#define SCSI_CONTROL      0
#define SCSI_EVENT        1
#define SCSI_SENSE_SIZE   96 /* default, and the largest taken */
#define SCSI_CDB_SIZE     32 /* default, and the largest taken */
#define SCSI_MAX_EVENTS   32
#define SCSI_MAX_NAME     64
#define SCSI_ANY_LUN      G_MAXUINT
#define SCSI_EVENT_MISSED 0x80000000u

/* Virtio 1.2, 5.6.3 */
enum
{
  SCSI_FEATURE_HOTPLUG = 1,
  SCSI_FEATURE_CHANGE = 2,
};

/* Virtio 1.2, 5.6.6.3 */
enum
{
  SCSI_EVENT_TRANSPORT_RESET = 1,
  SCSI_EVENT_PARAM_CHANGE = 3,
  SCSI_RESET_RESCAN = 1,
  SCSI_RESET_REMOVED = 2,
};

typedef struct _VirtioScsi VirtioScsi;
typedef struct _ScsiRequest ScsiRequest;
typedef struct _ScsiTmf ScsiTmf;

typedef struct
{
  char name[SCSI_MAX_NAME];
  guint target, lun;
  ScsiUnit *unit;
  gboolean announced; /* the driver knows that it goes */
} ScsiSlot;

/* Struct virtio_scsi_event, in the byte order of the host. */
typedef struct
{
  guint32 event;
  guint32 target, lun;
  guint32 reason;
} ScsiPendingEvent;

struct _VirtioScsi
{
  VirtioDevice parent;
  struct
  {
    guint64 n_queues;
    guint64 iothread;
  } config;
  struct
  {
    guint32 sense_size, cdb_size;
    guint32 events_missed; /* boolean */
    guint32 n_events;
    ScsiPendingEvent events[SCSI_MAX_EVENTS];
  } guest;
  struct
  {
    VmmWorker *worker;
    /* On the worker only; sorted by target and LUN. */
    ScsiSlot *slots[VIRTIO_SCSI_MAX_UNITS];
    guint n_slots;
    ScsiRequest *pool, *first; /* free; in flight */
    ScsiTmf *tmfs;             /* waiting for commands to end */
    guint64 sequence;          /* of commands and TMFs */
    guint n_in_flight;
    gboolean inside; /* this very thread holds the device lock */
    guint32 notify;  /* queues to notify, a bit each */
    VmmPost *notify_post;
    guint64 n_commands, n_tmfs, n_events_sent; /* atomic */
  } host;
};

/* ---- scsi-queues.c; worker ---- */

void virtio_scsi_kick (VirtioDevice *device, guint queue);
/* Queues an event, and delivers what the driver has room for. Takes the device lock. */
void
virtio_scsi_add_event (VirtioScsi *scsi, guint32 event, guint target, guint lun, guint32 reason);
/* Waits until no command and no task management function is under way. */
void virtio_scsi_drain (VirtioScsi *scsi);
/* The same but for what the host cannot carry out now. */
void virtio_scsi_settle (VirtioScsi *scsi);
void virtio_scsi_free_requests (VirtioScsi *scsi);
/* Notifies the queues of host.notify; the posted call. */
void virtio_scsi_notify_later (gpointer user_data);

/* ---- scsi.c; worker ---- */

/* NULL when there is none. ret_target_exists: any unit of the target. */
ScsiSlot *
virtio_scsi_find_slot (VirtioScsi *scsi, guint target, guint lun, gboolean *ret_target_exists);
