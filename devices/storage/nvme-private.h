/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the NVMe controller.
 *
 * A lane is one worker with its lock and the completion queues that live there; a submission queue
 * runs where its completion queue does. Lane 0 is the admin queue's: its lock is the device's, its
 * worker that of lane 1. Lock order: device, lane, then the leaves (intx_lock, log_lock). No lock
 * is held while a back end drains.
 *
 * A command is fetched only when its completion queue has a free entry, which is reserved for it:
 * a completion can always be posted, so there is nothing to keep back, to save or to forget. */
#pragma once
#include "devices/storage/nvme.h"

#define NVME_MAX_QUEUES    16   /* I/O queue pairs */
#define NVME_MAX_ENTRIES   1024 /* of an I/O queue */
#define NVME_N_AERS        4
#define NVME_N_ERRORS      16
#define NVME_MDTS          8 /* 2^8 pages of 4 KiB */
#define NVME_MAX_TRANSFER  (4096u << NVME_MDTS)
#define NVME_MAX_IOV       1024
#define NVME_MAX_RANGES    256
#define NVME_PAGE_BITS_MAX 4 /* MPSMAX: 64 KiB */
#define NVME_DOORBELLS     0x1000
#define NVME_BAR_SIZE      0x2000
#define NVME_TEMPERATURE   313 /* Kelvin */
#define NVME_PROMOTE_EXITS 8
#define NVME_BROADCAST     0xffffffffu

/* Base 1.4, 3.1 */
enum
{
  NVME_REG_CAP = 0x00,
  NVME_REG_VS = 0x08,
  NVME_REG_INTMS = 0x0c,
  NVME_REG_INTMC = 0x10,
  NVME_REG_CC = 0x14,
  NVME_REG_CSTS = 0x1c,
  NVME_REG_AQA = 0x24,
  NVME_REG_ASQ = 0x28,
  NVME_REG_ACQ = 0x30,
};
#define NVME_CC_EN         1u
#define NVME_CC_MPS(cc)    ((cc) >> 7 & 0xf)
#define NVME_CC_SHN(cc)    ((cc) >> 14 & 3)
#define NVME_CC_IOSQES(cc) ((cc) >> 16 & 0xf)
#define NVME_CC_IOCQES(cc) ((cc) >> 20 & 0xf)
#define NVME_CC_MASK       0x00fffff1u
#define NVME_CSTS_RDY      1u
#define NVME_CSTS_CFS      2u
#define NVME_CSTS_SHST     (3u << 2)
#define NVME_CSTS_SHUTTING (1u << 2)
#define NVME_CSTS_SHUT     (2u << 2)

/* Status: type << 8 | code. Base 1.4, 4.6.1. */
typedef enum
{
  NVME_OK = 0x000,
  NVME_INVALID_OPCODE = 0x001,
  NVME_INVALID_FIELD = 0x002,
  NVME_ID_CONFLICT = 0x003,
  NVME_DATA_TRANSFER = 0x004,
  NVME_INTERNAL = 0x006,
  NVME_ABORTED = 0x007,
  NVME_INVALID_NAMESPACE = 0x00b,
  NVME_SEQUENCE = 0x00c,
  NVME_SGL_SEGMENT = 0x00d,
  NVME_SGL_COUNT = 0x00e,
  NVME_SGL_LENGTH = 0x00f,
  NVME_SGL_TYPE = 0x011,
  NVME_PRP_OFFSET = 0x013,
  NVME_WRITE_PROTECTED = 0x020,
  NVME_LBA_RANGE = 0x080,
  NVME_CAPACITY = 0x081,
  NVME_CQ_INVALID = 0x100,
  NVME_QID_INVALID = 0x101,
  NVME_QUEUE_SIZE = 0x102,
  NVME_AER_LIMIT = 0x105,
  NVME_INVALID_VECTOR = 0x108,
  NVME_INVALID_LOG = 0x109,
  NVME_QUEUE_DELETION = 0x10c,
  NVME_NOT_SAVEABLE = 0x10d,
  NVME_NOT_CHANGEABLE = 0x10e,
  NVME_WRITE_FAULT = 0x280,
  NVME_READ_ERROR = 0x281,
  NVME_COMPARE_FAILURE = 0x285,
  /* ours: the status comes later */
  NVME_LATER = 0xffff,
} NvmeStatus;

enum
{
  NVME_EVENT_ERROR = 0,
  NVME_EVENT_SMART = 1,
  NVME_EVENT_NOTICE = 2,
  NVME_N_EVENTS = 3,
  /* information: Base 1.4, figures 147 to 149 */
  NVME_ERROR_DOORBELL_REGISTER = 0,
  NVME_ERROR_DOORBELL_VALUE = 1,
  NVME_SMART_TEMPERATURE = 1,
  NVME_NOTICE_NAMESPACE = 0,

  NVME_LOG_ERROR = 1,
  NVME_LOG_SMART = 2,
  NVME_LOG_FIRMWARE = 3,
  NVME_LOG_CHANGED = 4,
  NVME_LOG_EFFECTS = 5,
};

/* A submission queue entry, Base 1.4, 4.2; little endian as fetched. */
typedef struct
{
  guint8 opcode;
  guint8 flags; /* FUSE 1:0, PSDT 7:6 */
  guint16 cid;
  guint32 nsid;
  guint32 reserved[2];
  guint64 metadata;
  guint64 prp1, prp2;
  guint32 dw[6]; /* CDW10 to CDW15 */
} NvmeCommand;
G_STATIC_ASSERT (sizeof (NvmeCommand) == 64);

typedef struct
{
  guint64 gpa;
  guint64 length;
} NvmeExtent;

typedef struct
{
  guint64 offset, length; /* bytes */
} NvmeRange;

typedef struct _Nvme Nvme;
typedef struct _NvmeLane NvmeLane;
typedef struct _NvmeRequest NvmeRequest;

/* Queues: exactly what save writes, with a size of 0 for one that does not exist. */
typedef struct
{
  guint64 base;
  guint32 size; /* entries */
  guint32 head, tail;
  guint32 cqid;
} NvmeSq;

typedef struct
{
  guint64 base;
  guint32 size;
  guint32 head, tail;
  guint32 phase; /* of the next entry */
  guint32 vector;
  guint32 interrupts; /* enabled */
} NvmeCq;

typedef struct
{
  gboolean active; /* atomic */
  guint nsid;
  BlockBackend *backend;
  BlockInfo info;
  guint block_bits;
  guint64 n_blocks;
  guint8 uuid[16];
} NvmeNamespace;

struct _NvmeRequest
{
  BlockRequest parent;
  NvmeRequest *next;
  Nvme *nvme;
  NvmeLane *lane;
  guint sqid;
  guint cqid;
  NvmeNamespace *ns;
  NvmeCommand command; /* host byte order */
  struct iovec *iov;   /* pinned guest memory */
  guint n_iov, iov_max;
  gboolean to_guest;
  NvmeRange *ranges;
  guint n_ranges, range;
  guint8 *bounce; /* Compare: what the disk holds */
  struct iovec bounce_iov;
};

struct _NvmeLane
{
  Nvme *nvme;
  guint index;
  VmmWorker *worker;
  VmmSource *source;
  int doorbell; /* eventfd */
  GMutex own_lock;
  GMutex *lock;

  /* lane lock */
  gboolean inside;      /* a kick runs on this lane's thread and holds the lock */
  gboolean draining;    /* in a kick: completions do not interrupt, the kick does */
  guint32 notify;       /* bit a completion queue that has news */
  gboolean notify_rung; /* the doorbell was rung for it */
  guint n_in_flight;
  gint64 busy_since;
  guint64 busy_ns;
  NvmeRequest *pool;
  guint n_pool;
  NvmeExtent extents[NVME_MAX_IOV]; /* scratch of one command */
};

struct _Nvme
{
  PciDevice parent;
  struct
  {
    NvmeNamespaces *namespaces; /* of the maker, during realize only */
    guint64 n_queues;
    guint64 iothreads;
    char *serial;
    char *uuid;
  } config;
  struct
  {
    guint32 cc, csts; /* csts: atomic */
    guint32 aqa, intms;
    guint64 asq, acq;
    guint32 reset_wanted; /* CC.EN went from 1 to 0 */
    NvmeSq sq[NVME_MAX_QUEUES + 1];
    NvmeCq cq[NVME_MAX_QUEUES + 1];
    guint64 shadow, event_index; /* Doorbell Buffer Config; 0: none */
    /* features */
    guint32 arbitration, error_recovery, write_cache, coalescing, atomicity, event_config;
    guint32 over_temperature, under_temperature;
    guint32 vector_config[NVME_MAX_QUEUES + 1];
    /* asynchronous events */
    guint32 n_aers;
    guint16 aers[NVME_N_AERS];
    guint32 events_pending, events_masked; /* bit a type */
    guint32 event_info[NVME_N_EVENTS], event_log[NVME_N_EVENTS];
    guint8 changed[NVME_MAX_NAMESPACES]; /* since the list was read */
    /* error log, under log_lock */
    guint64 n_errors;
    guint8 errors[NVME_N_ERRORS][64];
    /* counters, atomic */
    guint64 n_reads, n_writes, blocks_read, blocks_written; /* units of 512 bytes */
    guint64 n_media_errors, busy_ns, n_enables, powered_ns;
  } guest;
  struct
  {
    VmmMachine *machine;
    VmmRegion region;
    NvmeNamespace ns[NVME_MAX_NAMESPACES];
    NvmeLane lanes[NVME_MAX_QUEUES + 1];
    guint n_lanes;
    VmmWorker *workers[NVME_MAX_QUEUES]; /* ours, with iothreads */

    gboolean live;       /* atomic: enabled, not shut down, no fatal error */
    gboolean quiesced;   /* atomic */
    gboolean gone;       /* atomic: being taken out */
    gboolean cc_written; /* device lock */
    guint n_flushes;     /* of a shutdown, device lock */
    BlockRequest flushes[NVME_MAX_NAMESPACES];
    gint event_bits; /* atomic: errors found off the admin lane */
    gint64 powered_since;

    /* by queue identifier, atomic */
    gint sq_lane[NVME_MAX_QUEUES + 1]; /* 0: no such queue (but the admin queue's own lane) */
    gint cq_lane[NVME_MAX_QUEUES + 1];
    guint32 sq_doorbell[NVME_MAX_QUEUES + 1]; /* RUNG | value */
    guint32 cq_doorbell[NVME_MAX_QUEUES + 1];
    gboolean starved[NVME_MAX_QUEUES + 1]; /* completion queue: someone waits for room */
    /* lane lock */
    guint reserved[NVME_MAX_QUEUES + 1]; /* entries of a completion queue promised */
    guint in_flight[NVME_MAX_QUEUES + 1];
    guint8 *cids[NVME_MAX_QUEUES + 1]; /* bitmap of identifiers in flight */

    GMutex intx_lock;
    guint32 intx_bits; /* completion queues with entries for an interrupt line */
    GMutex log_lock;

    GMutex doorbell_lock;
    guint64 bar_base;
    guint exits[NVME_MAX_QUEUES + 1];
    guint64 promoted[NVME_MAX_QUEUES + 1]; /* address of the ioeventfd, or UNMAPPED */
    int promoted_fd[NVME_MAX_QUEUES + 1];
    guint64 n_doorbell_exits, n_kicks, n_interrupts, n_resets;
  } host;
};

#define NVME_RUNG 0x80000000u

static inline void
nvme_count (guint64 *counter, guint64 value)
{
  __atomic_fetch_add (counter, value, __ATOMIC_RELAXED);
}

static inline void
nvme_put_le (guint8 *at, guint64 value, guint size)
{
  for (guint i = 0; i < size; i++)
    at[i] = value >> (8 * i);
}

static inline guint
nvme_page_bits (Nvme *nvme)
{
  return 12 + NVME_CC_MPS (nvme->guest.cc);
}

/* nvme.c */
extern const guint8 nvme_oui[3];
const NvmeNamespace *nvme_find_namespace (Nvme *nvme, guint32 nsid); /* active ones */

/* nvme-regs.c */
extern const VmmRegionOps nvme_region_ops;
/* On the admin worker, no lock: does what CC asks for since the last time. */
void nvme_cc_changed (Nvme *nvme);
/* Controller level reset, on the admin worker; the device lock is held, and let go meanwhile. */
void nvme_controller_reset_locked (Nvme *nvme);
/* A fatal error: any thread. */
void nvme_set_fatal (Nvme *nvme);
/* TRUE while commands are fetched. */
gboolean nvme_is_live (Nvme *nvme);
void nvme_update_live (Nvme *nvme);
void nvme_bar_moved (PciDevice *pci, guint bar, guint64 base);
/* Takes the doorbell's ioeventfd away (queue deleted, shadow buffers gone). */
void nvme_demote (Nvme *nvme, guint sqid);
void nvme_demote_all (Nvme *nvme);

/* nvme-queues.c; lane lock held unless stated */
void nvme_queues_init_admin (Nvme *nvme);
void nvme_queues_clear (Nvme *nvme); /* all; nothing is in flight */
void nvme_sq_forget (Nvme *nvme, guint sqid);
void nvme_sq_made (Nvme *nvme, guint sqid); /* after a create or load: lane, identifiers */
void nvme_cq_made (Nvme *nvme, guint cqid);
gboolean nvme_cq_has_room (Nvme *nvme, guint cqid);
void nvme_cq_post (Nvme *nvme, guint cqid, guint sqid, guint16 cid, NvmeStatus status, guint32 dw0);
/* Reads the next entry; FALSE when there is none (or memory is missing: fatal). */
gboolean nvme_sq_fetch (Nvme *nvme, guint sqid, NvmeCommand *command);
/* Takes over what doorbells and shadow buffers say. */
void nvme_sq_update_tail (Nvme *nvme, guint sqid);
void nvme_cq_update_head (Nvme *nvme, guint cqid);
/* Interrupts for the completion queues in lane->notify. */
void nvme_lane_notify (NvmeLane *lane);
void nvme_lane_run (gpointer user_data);    /* on its worker, no lock: the doorbell rang */
void nvme_lane_drain (gpointer user_data);  /* on its worker, no lock: nothing is in flight then */
void nvme_lane_kick (NvmeLane *lane);       /* any thread, no lock needed */
void nvme_lane_settle (gpointer user_data); /* the same, but what a back end holds stays held */
void nvme_drain_all (Nvme *nvme); /* no lock; from the control thread or the admin worker */
void nvme_update_intx (Nvme *nvme);
void nvme_lane_lock (NvmeLane *lane);
void nvme_lane_unlock (NvmeLane *lane);
/* An error that the guest hears of by an asynchronous event: any thread. */
void nvme_report_error (Nvme *nvme, guint info);
void nvme_log_error (Nvme *nvme, guint sqid, const NvmeCommand *command, NvmeStatus status);

/* nvme-data.c: PRPs and SGLs. lane->extents holds the result. */
NvmeStatus nvme_data_walk (
    Nvme *nvme, const NvmeCommand *command, guint32 length, NvmeExtent *extents, guint *ret_n);
/* Pins length bytes of the command's data for the back end. */
NvmeStatus nvme_data_pin (NvmeRequest *request, guint32 length, gboolean to_guest);
void nvme_data_unpin (NvmeRequest *request);
/* Copies, for commands that the controller answers itself. */
NvmeStatus nvme_data_copy (
    NvmeLane *lane, const NvmeCommand *command, gpointer buffer, guint32 length, gboolean to_guest);

/* nvme-io.c; lane lock held */
void nvme_io_run (NvmeLane *lane, guint sqid);
void nvme_io_free_pool (NvmeLane *lane);

/* nvme-admin.c; device lock held, on the admin worker */
void nvme_admin_run (NvmeLane *lane);
void nvme_admin_reset_features (Nvme *nvme);
void nvme_admin_event (Nvme *nvme, guint type, guint info, guint log);

/* nvme-identify.c, nvme-logs.c: fill a buffer, or refuse. */
NvmeStatus nvme_identify (Nvme *nvme, const NvmeCommand *command, guint8 data[4096]);
NvmeStatus nvme_get_log (Nvme *nvme, const NvmeCommand *command, guint8 *data, guint32 length);
guint nvme_smart_warning (Nvme *nvme);

/* nvme-state.c */
gboolean nvme_save (VmmDevice *device, VmmStateWriter *writer, GError **error);
gboolean nvme_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error);
