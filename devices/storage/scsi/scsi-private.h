/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the SCSI engine: unit.c (life cycle, commands in flight, sense), spc.c (commands that
 * every unit knows), mode.c (mode pages), disk.c (SBC), cdrom.c (MMC), passthrough.c (SG_IO). */
#pragma once
#include "devices/storage/scsi/scsi.h"

/* Operation codes: SPC-4 table E.2, SBC-3 table 33, MMC-5 table 116. */
enum
{
  OP_TEST_UNIT_READY = 0x00,
  OP_REQUEST_SENSE = 0x03,
  OP_READ_6 = 0x08,
  OP_WRITE_6 = 0x0a,
  OP_INQUIRY = 0x12,
  OP_MODE_SELECT_6 = 0x15,
  OP_MODE_SENSE_6 = 0x1a,
  OP_START_STOP_UNIT = 0x1b,
  OP_PREVENT_ALLOW = 0x1e,
  OP_READ_CAPACITY_10 = 0x25,
  OP_READ_10 = 0x28,
  OP_WRITE_10 = 0x2a,
  OP_SEEK_10 = 0x2b,
  OP_VERIFY_10 = 0x2f,
  OP_SYNCHRONIZE_CACHE_10 = 0x35,
  OP_WRITE_SAME_10 = 0x41,
  OP_UNMAP = 0x42,
  OP_READ_TOC = 0x43,
  OP_GET_CONFIGURATION = 0x46,
  OP_GET_EVENT_STATUS = 0x4a,
  OP_READ_DISC_INFORMATION = 0x51,
  OP_READ_TRACK_INFORMATION = 0x52,
  OP_MODE_SELECT_10 = 0x55,
  OP_MODE_SENSE_10 = 0x5a,
  OP_PERSISTENT_RESERVE_IN = 0x5e,
  OP_PERSISTENT_RESERVE_OUT = 0x5f,
  OP_READ_16 = 0x88,
  OP_WRITE_16 = 0x8a,
  OP_VERIFY_16 = 0x8f,
  OP_SYNCHRONIZE_CACHE_16 = 0x91,
  OP_WRITE_SAME_16 = 0x93,
  OP_SERVICE_ACTION_IN_16 = 0x9e,
  OP_REPORT_LUNS = 0xa0,
  OP_READ_12 = 0xa8,
  OP_WRITE_12 = 0xaa,
  OP_READ_DVD_STRUCTURE = 0xad,
  OP_VERIFY_12 = 0xaf,
  OP_SET_CD_SPEED = 0xbb,
  OP_MECHANISM_STATUS = 0xbd,
  OP_READ_CD = 0xbe,
};

/* SPC-4, table 41 */
enum
{
  KEY_NO_SENSE = 0x0,
  KEY_NOT_READY = 0x2,
  KEY_MEDIUM_ERROR = 0x3,
  KEY_HARDWARE_ERROR = 0x4,
  KEY_ILLEGAL_REQUEST = 0x5,
  KEY_UNIT_ATTENTION = 0x6,
  KEY_DATA_PROTECT = 0x7,
  KEY_ABORTED_COMMAND = 0xb,
  KEY_MISCOMPARE = 0xe,
};

/* key << 16 | asc << 8 | ascq (SPC-4, annex F) */
typedef guint32 ScsiSense;
#define SENSE(key, asc, ascq)        ((guint32)(key) << 16 | (asc) << 8 | (ascq))
#define SENSE_NONE                   0u
#define SENSE_INVALID_OPCODE         SENSE (KEY_ILLEGAL_REQUEST, 0x20, 0x00)
#define SENSE_LBA_OUT_OF_RANGE       SENSE (KEY_ILLEGAL_REQUEST, 0x21, 0x00)
#define SENSE_INVALID_FIELD_IN_CDB   SENSE (KEY_ILLEGAL_REQUEST, 0x24, 0x00)
#define SENSE_NO_LUN                 SENSE (KEY_ILLEGAL_REQUEST, 0x25, 0x00)
#define SENSE_PARAMETER_LENGTH       SENSE (KEY_ILLEGAL_REQUEST, 0x1a, 0x00)
#define SENSE_INVALID_FIELD_IN_LIST  SENSE (KEY_ILLEGAL_REQUEST, 0x26, 0x00)
#define SENSE_INVALID_VALUE_IN_LIST  SENSE (KEY_ILLEGAL_REQUEST, 0x26, 0x02)
#define SENSE_SAVING_NOT_SUPPORTED   SENSE (KEY_ILLEGAL_REQUEST, 0x39, 0x00)
#define SENSE_REMOVAL_PREVENTED      SENSE (KEY_ILLEGAL_REQUEST, 0x53, 0x02)
#define SENSE_ILLEGAL_MODE_FOR_TRACK SENSE (KEY_ILLEGAL_REQUEST, 0x64, 0x00)
#define SENSE_NO_MEDIUM_CLOSED       SENSE (KEY_NOT_READY, 0x3a, 0x01)
#define SENSE_NO_MEDIUM_OPEN         SENSE (KEY_NOT_READY, 0x3a, 0x02)
#define SENSE_STOPPED                SENSE (KEY_NOT_READY, 0x04, 0x02)
#define SENSE_WRITE_PROTECTED        SENSE (KEY_DATA_PROTECT, 0x27, 0x00)
#define SENSE_SPACE_ALLOCATION       SENSE (KEY_DATA_PROTECT, 0x27, 0x07)
#define SENSE_WRITE_ERROR            SENSE (KEY_MEDIUM_ERROR, 0x0c, 0x00)
#define SENSE_READ_ERROR             SENSE (KEY_MEDIUM_ERROR, 0x11, 0x00)
#define SENSE_TARGET_FAILURE         SENSE (KEY_HARDWARE_ERROR, 0x44, 0x00)
#define SENSE_IO_TERMINATED          SENSE (KEY_ABORTED_COMMAND, 0x00, 0x06)
#define SENSE_MISCOMPARE             SENSE (KEY_MISCOMPARE, 0x1d, 0x00)

#define ATTENTION_POWER_ON      0x2901
#define ATTENTION_BUS_RESET     0x2902
#define ATTENTION_UNIT_RESET    0x2903
#define ATTENTION_MEDIUM        0x2800
#define ATTENTION_MODE_CHANGED  0x2a01
#define ATTENTION_CAPACITY      0x2a09
#define ATTENTION_EJECT_REQUEST 0x5a01

#define MAX_ATTENTIONS 8
#define REPLY_MAX      512   /* longest answer built in memory */
#define LIST_MAX       4096  /* longest parameter list taken */
#define BUFFER_SIZE    65536 /* a command's own buffer, where it needs one */
#define PRODUCT_LENGTH 16
#define SERIAL_MAX     36
#define CD_BLOCK       2048

/* Media events of GET EVENT STATUS NOTIFICATION, a bit each (MMC-5, table 287). */
enum
{
  MEDIA_EJECT_REQUEST = 1 << 1,
  MEDIA_NEW = 1 << 2,
  MEDIA_REMOVAL = 1 << 3,
};

typedef struct
{
  /* Serves a command that has passed the checks of unit.c (unit attention, known opcode); ends it
   * by scsi_command_finish or starts a step. */
  void (*execute) (ScsiUnit *unit, ScsiCommand *command);
  /* (nullable) All but DISK and CDROM: their commands run elsewhere. */
  void (*cancel) (ScsiUnit *unit, ScsiCommand *command);
  void (*drain) (ScsiUnit *unit);
  void (*free) (ScsiUnit *unit);
} ScsiUnitOps;

struct _ScsiUnit
{
  const ScsiUnitOps *ops;
  VmmWorker *worker;
  struct
  {
    ScsiKind kind;
    ScsiUnitFlags flags;
    char product[PRODUCT_LENGTH + 1];
    char serial[SERIAL_MAX + 1];
    void (*tray_moved) (gpointer user_data, gboolean open);
    gpointer user_data;
  } config;
  struct
  {
    guint16 attentions[MAX_ATTENTIONS]; /* asc << 8 | ascq, oldest first */
    guint8 n_attentions;
    guint32 sense;        /* KEEP_SENSE: of the last command */
    guint8 write_cache;   /* WCE */
    guint8 software_lock; /* SWP of the control page */
    guint8 stopped;       /* START STOP UNIT, START=0 */
    guint8 tray_open;
    guint8 locked;       /* PREVENT */
    guint8 media_events; /* MEDIA_* not reported yet */
  } guest;
  struct
  {
    BlockBackend *backend; /* NULL: no medium */
    BlockInfo info;
    guint32 block; /* bytes of a logical block */
    guint64 n_blocks;
    ScsiCommand *first; /* in flight */
    guint n_in_flight;
    ScsiUnitCounters counters; /* atomic */
    gpointer passthrough;
  } host;
};

/* ---- unit.c ---- */

ScsiUnit *scsi_unit_new_bare (VmmWorker *worker, const ScsiUnitOps *ops, ScsiKind kind);
/* Ends a command. SENSE_NONE: GOOD. */
void scsi_command_finish (ScsiUnit *unit, ScsiCommand *command, ScsiSense sense);
/* The same with status and sense as filled in already. */
void scsi_command_return (ScsiUnit *unit, ScsiCommand *command);
void scsi_command_set_sense (ScsiCommand *command, ScsiSense sense);
/* Copies an answer to in, cut at allocation (the CDB's) and at the buffer; ends the command. */
void scsi_command_reply (
    ScsiUnit *unit, ScsiCommand *command, const guint8 *data, gsize length, gsize allocation);
/* Copies length bytes of out, once. FALSE: out is shorter. */
gboolean scsi_command_take (ScsiCommand *command, guint64 skip, void *buffer, gsize length);
/* Copies to in at skip; what does not fit is left out. */
void scsi_command_give (ScsiCommand *command, guint64 skip, const void *buffer, gsize length);
/* Sets iov and n_iov of the block request to the first length bytes of in or out from skip. */
void scsi_command_map (ScsiCommand *command, gboolean in, guint64 skip, guint64 length);
guint8 *scsi_command_get_buffer (ScsiCommand *command); /* BUFFER_SIZE bytes */
/* After a block request that went well: prepare the next one and return TRUE, or end the command
 * and return FALSE. */
typedef gboolean (*ScsiStep) (ScsiUnit *unit, ScsiCommand *command);
/* Fills in the block request. step NULL: the command ends GOOD after it. An error of the back end
 * ends it with the sense for it. */
void scsi_command_prepare (
    ScsiCommand *command, BlockOp op, guint64 offset, guint64 length, ScsiStep step);
/* In execute: starts what was prepared. Steps themselves only prepare. */
void scsi_command_submit (ScsiUnit *unit, ScsiCommand *command);
void scsi_unit_count (guint64 *counter, guint64 value);
void scsi_unit_take_backend (ScsiUnit *unit, BlockBackend *backend);
void scsi_fill_sense (guint8 *buffer, ScsiSense sense, gboolean descriptor); /* 18 or 8 bytes */

/* ---- spc.c ---- */

/* TRUE when it was one of the commands that all units know; it has ended then, or will. */
gboolean scsi_execute_common (ScsiUnit *unit, ScsiCommand *command);
gsize scsi_cdb_length (guint8 opcode);
void scsi_put_text (guint8 *at, const char *text, gsize length); /* padded with spaces */

/* ---- mode.c ---- */

void scsi_mode_sense (ScsiUnit *unit, ScsiCommand *command);
void scsi_mode_select (ScsiUnit *unit, ScsiCommand *command);

/* ---- disk.c, cdrom.c ---- */

extern const ScsiUnitOps scsi_disk_ops;
extern const ScsiUnitOps scsi_cdrom_ops;
void scsi_disk_vpd (ScsiUnit *unit, ScsiCommand *command, guint8 page, gsize allocation);
/* READ in units of the unit's block: the transfer of both kinds. */
void scsi_read_blocks (ScsiUnit *unit, ScsiCommand *command, guint64 lba, guint64 count);
/* SENSE_NONE, or why the medium cannot be used now. */
ScsiSense scsi_cdrom_not_ready (ScsiUnit *unit);

static inline guint16
get_be16 (const guint8 *at)
{
  return at[0] << 8 | at[1];
}

static inline guint32
get_be24 (const guint8 *at)
{
  return (guint32)at[0] << 16 | at[1] << 8 | at[2];
}

static inline guint32
get_be32 (const guint8 *at)
{
  return (guint32)at[0] << 24 | get_be24 (at + 1);
}

static inline guint64
get_be64 (const guint8 *at)
{
  return (guint64)get_be32 (at) << 32 | get_be32 (at + 4);
}

static inline void
put_be16 (guint8 *at, guint value)
{
  at[0] = value >> 8;
  at[1] = value;
}

static inline void
put_be24 (guint8 *at, guint32 value)
{
  at[0] = value >> 16;
  put_be16 (at + 1, value & 0xffff);
}

static inline void
put_be32 (guint8 *at, guint32 value)
{
  at[0] = value >> 24;
  put_be24 (at + 1, value);
}

static inline void
put_be64 (guint8 *at, guint64 value)
{
  put_be32 (at, value >> 32);
  put_be32 (at + 4, value);
}
