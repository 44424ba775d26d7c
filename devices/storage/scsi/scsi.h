/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The SCSI engine: logical units over block back ends, without a transport. virtio-scsi and the
 * ATAPI side of AHCI are transports. Specs: SPC-4, SBC-3, MMC-5, SAM-5.
 *
 * A ScsiUnit is one logical unit: a direct-access disk, a CD-ROM drive, or a device of the host
 * behind SG_IO (passthrough.h). It belongs to one worker for life.
 *
 * How a transport uses it:
 *   1. scsi_unit_new in realize, with the worker that its commands will run on. The unit borrows
 *      the back end; whoever opened it closes it after scsi_unit_free.
 *   2. For each command: a ScsiCommand embedded in the transport's own request. Zero it (or call
 *      scsi_command_clear), copy the CDB in once (the engine never looks at guest memory for it),
 *      set in/out to iovecs of pinned guest memory (virtqueue_chain_pin, or the transport's own
 *      pin of its PRDs), set done, call scsi_unit_execute on the worker.
 *      A transport that has one buffer with a direction (ATAPI) fills the side it has; PIO data
 *      goes through a buffer of the transport's own, as an iovec of one.
 *   3. done comes exactly once for each execute, on the worker, perhaps before execute returns
 *      (a transport that holds a lock around execute keeps an "inside" flag, see
 *      devices/virtio/block.c). The command then belongs to the transport again; status, sense,
 *      n_in and n_out are filled in.
 *      ATAPI: status CHECK_CONDITION sets ERR, with the sense key (sense[2] & 15) << 4 in the error
 *      register; create the unit with SCSI_UNIT_KEEP_SENSE so that REQUEST SENSE finds it later.
 *      `overrun`: the command needs more bytes than the buffers hold; nothing was moved.
 *   4. COMRESET, SRST, DEVICE RESET, bus reset: scsi_unit_reset. Abort: scsi_unit_cancel; done
 *      comes when the back end has let go of the memory, never before. There is no other way to
 *      get a command back, so a freed or reused buffer under I/O cannot happen.
 *   5. The device's reset and unrealize: vmm_worker_call a function that calls scsi_unit_drain;
 *      after it no command is in flight. Its quiesce: the same with scsi_unit_settle; save refuses
 *      (VMM_ERROR_BUSY) while something is in flight.
 *   6. save and load: scsi_unit_save inside the device's section; scsi_unit_load likewise. Machine
 *      quiesced.
 *
 * Nothing in the engine allocates by a size that the guest chose: data moves straight between the
 * iovecs and the back end; parameter lists are copied once to buffers of fixed size.
 *
 * Threads: "worker" functions on the unit's worker, and only there, which is why a unit has no
 * lock. new, free, save and load on the control thread, with no command in flight. */
#pragma once
#include <sys/uio.h>
#include "devices/backends/block/block.h"
#include "vmm/error.h"
#include "vmm/state.h"
#include "vmm/worker.h"

#define SCSI_CDB_MAX   32 /* longest CDB taken from a transport */
#define SCSI_SENSE_MAX 96
#define SCSI_IOV_MAX   1024

typedef struct _ScsiUnit ScsiUnit;
typedef struct _ScsiCommand ScsiCommand;

/* SAM-5, 5.3.1 */
typedef enum
{
  SCSI_STATUS_GOOD = 0x00,
  SCSI_STATUS_CHECK_CONDITION = 0x02,
  SCSI_STATUS_BUSY = 0x08,
  SCSI_STATUS_RESERVATION_CONFLICT = 0x18,
  SCSI_STATUS_TASK_SET_FULL = 0x28,
  SCSI_STATUS_TASK_ABORTED = 0x40,
} ScsiStatus;

struct _ScsiCommand
{
  /* Set by the transport before execute. */
  guint8 cdb[SCSI_CDB_MAX]; /* the rest zero */
  const struct iovec *in;   /* memory that the unit writes; valid until done */
  guint in_count;           /* at most SCSI_IOV_MAX */
  guint64 in_length;        /* bytes: sum of in */
  const struct iovec *out;  /* memory that the unit reads; valid until done */
  guint out_count;
  guint64 out_length;
  /* Only command under way in this transport: worth doing at once (see BLOCK_REQUEST_ALONE). */
  gboolean alone;
  void (*done) (ScsiCommand *command);
  gpointer user_data;

  /* Filled in by the unit, valid in and after done. */
  guint8 status; /* ScsiStatus */
  guint8 sense[SCSI_SENSE_MAX];
  guint sense_length; /* 0 unless CHECK_CONDITION */
  guint64 n_in;       /* bytes written to in, from its start */
  guint64 n_out;      /* bytes taken from out */
  gboolean overrun;   /* the buffers are too short for the command: nothing was done */
  gboolean cancelled; /* by cancel or reset: status means nothing */
  gboolean failed;    /* the host could not carry it out (passthrough) */

  /*< private >*/
  BlockRequest block;
  ScsiUnit *unit;
  ScsiCommand *prev, *next;
  gboolean (*step) (ScsiUnit *unit, ScsiCommand *command);
  gboolean submitting, returned;
  int result;
  guint64 position, end; /* of what a step works on */
  guint8 *buffer;        /* fixed size, the unit's */
  struct iovec *iov;     /* shortened copy of in or out */
  struct iovec one;
};

typedef enum
{
  SCSI_KIND_DISK,
  SCSI_KIND_CDROM,
  SCSI_KIND_PASSTHROUGH,
} ScsiKind;

typedef enum
{
  SCSI_UNIT_NONE = 0,
  SCSI_UNIT_KEEP_SENSE = 1 << 0, /* no autosense: REQUEST SENSE returns the last command's */
  SCSI_UNIT_ATAPI = 1 << 1,      /* says so in INQUIRY and feature lists */
} ScsiUnitFlags;

typedef enum
{
  SCSI_RESET_POWER_ON, /* everything to its initial values; unit attention 29h/01h */
  SCSI_RESET_BUS,      /* bus, target or transport reset; unit attention 29h/02h */
  SCSI_RESET_UNIT,     /* LOGICAL UNIT RESET; unit attention 29h/03h */
} ScsiResetKind;

typedef struct
{
  ScsiKind kind; /* DISK or CDROM */
  ScsiUnitFlags flags;
  BlockBackend *backend; /* borrowed; NULL for an empty CD-ROM drive */
  const char *product;   /* (nullable) at most 16 bytes */
  const char *serial;    /* (nullable) at most 36 bytes of ASCII */
  /* (nullable) The guest opened (TRUE) or closed the tray. Worker. */
  void (*tray_moved) (gpointer user_data, gboolean open);
  gpointer user_data;
} ScsiUnitOptions;

typedef struct
{
  guint64 n_reads, n_writes, n_flushes, n_errors, bytes_read, bytes_written;
} ScsiUnitCounters;

/* Errors: INVALID when a disk has no back end, or is smaller than one block. */
ScsiUnit *scsi_unit_new (VmmWorker *worker, const ScsiUnitOptions *options, GError **error);
void scsi_unit_free (ScsiUnit *unit);
ScsiKind scsi_unit_get_kind (ScsiUnit *unit);
/* The sums since new. Any thread. */
void scsi_unit_get_counters (ScsiUnit *unit, ScsiUnitCounters *ret_counters);

/* ---- worker ---- */

/* Everything zero: a command may be used again after done. */
void scsi_command_clear (ScsiCommand *command);
void scsi_unit_execute (ScsiUnit *unit, ScsiCommand *command);
/* The command ends as soon as the back end lets go of its memory; done comes then, with cancelled
 * set, perhaps before cancel returns. */
void scsi_unit_cancel (ScsiUnit *unit, ScsiCommand *command);
void scsi_unit_cancel_all (ScsiUnit *unit);
/* Cancels everything, then resets; commands in flight come back by themselves, later. */
void scsi_unit_reset (ScsiUnit *unit, ScsiResetKind kind);
guint scsi_unit_get_n_in_flight (ScsiUnit *unit);
/* Waits, running the worker's I/O, until nothing is in flight; each done has come. */
void scsi_unit_drain (ScsiUnit *unit);
/* As drain, but what the back end holds until the host can go on (guard.h) stays in flight: for the
 * device's quiesce. Returns how many commands that is; a device that has any cannot be saved. */
guint scsi_unit_settle (ScsiUnit *unit);
/* Adds a unit attention condition, reported once by the next command that reports them. */
void scsi_unit_attention (ScsiUnit *unit, guint8 asc, guint8 ascq);
/* The back end's size may have changed: re-reads it. TRUE when it has; the unit attention is set
 * and the transport tells its driver if it can. */
gboolean scsi_unit_update_capacity (ScsiUnit *unit);

/* ---- the medium of a CD-ROM drive; worker ---- */

typedef enum
{
  SCSI_MEDIUM_OK,
  SCSI_MEDIUM_LOCKED, /* the guest locked it: an eject request was raised, ask again or force */
} ScsiMediumResult;

/* Puts an image in, or takes it out (NULL). force: also when the guest locked the tray.
 * The drive is drained first; on OK nothing uses the old image any more (*ret_old, borrowed, may
 * be NULL), and the caller may close it. The guest sees the medium change; with force it sees one
 * go also from a drive that is empty (which was not when the guest last looked, before a restore). */
ScsiMediumResult scsi_unit_set_medium (ScsiUnit *unit,
                                       BlockBackend *backend,
                                       gboolean force,
                                       BlockBackend **ret_old) G_GNUC_WARN_UNUSED_RESULT;
gboolean scsi_unit_is_locked (ScsiUnit *unit);
gboolean scsi_unit_is_tray_open (ScsiUnit *unit);

/* ---- state; control thread, quiesced ---- */

/* Puts fields into the section that is open. Which image is in the drive is the definition's
 * business; whether the tray is open is saved. */
void scsi_unit_save (ScsiUnit *unit, VmmStateWriter *writer);
/* Errors: INVALID; the unit is reset then. */
gboolean scsi_unit_load (ScsiUnit *unit, VmmStateReader *reader, GError **error);

/* ---- a target without the addressed unit ---- */

/* SPC-4, 4.5.3 etc.: answers INQUIRY, REPORT LUNS and REQUEST SENSE for a logical unit that is not
 * there, and LOGICAL UNIT NOT SUPPORTED for the rest. luns: 8-byte LUNs in wire form of those that
 * are, at most 256. done comes before it returns. */
void scsi_target_execute (const guint64 *luns, guint n_luns, ScsiCommand *command);
/* TRUE when the target answers this opcode whatever the unit (REPORT LUNS). */
gboolean scsi_target_wants (const guint8 *cdb);
