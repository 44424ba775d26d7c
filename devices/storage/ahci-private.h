/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the AHCI controller: ahci.c (the PCI function), ahci-regs.c (registers), ahci-port.c
 * (links, FISes, which command runs), ahci-dma.c (command tables and their data), and the drives:
 * ahci-drive.c (what all have in common), ahci-disk.c, ahci-identify.c, ahci-smart.c, ahci-cdrom.c.
 *
 * Lock: the controller's device lock guards all of it. Register handlers hold it on vCPU threads;
 * commands are fetched, run and ended on the controller's one worker, which holds it too, also
 * around calls of back ends. A back end that is done at once calls back with the lock held: `inside`
 * says so (worker's thread only). */
#pragma once
#include "devices/pci/pci.h"
#include "devices/storage/ahci.h"

#define AHCI_N_SLOTS  32
#define AHCI_PIECE    512  /* iovecs of one back end request, about */
#define AHCI_IOV_MAX  1024 /* never more */
#define AHCI_ABAR     5
#define AHCI_IDP_BAR  4
#define AHCI_ABAR_LEN 4096

/* AHCI 1.3.1, 3.1.2: GHC */
#define AHCI_GHC_HR (1u << 0)
#define AHCI_GHC_IE (1u << 1)
#define AHCI_GHC_AE (1u << 31)

/* 3.3.5: PxIS */
#define AHCI_IS_DHRS (1u << 0)
#define AHCI_IS_PSS  (1u << 1)
#define AHCI_IS_DSS  (1u << 2)
#define AHCI_IS_SDBS (1u << 3)
#define AHCI_IS_DPS  (1u << 5)
#define AHCI_IS_PCS  (1u << 6)
#define AHCI_IS_PRCS (1u << 22)
#define AHCI_IS_OFS  (1u << 24)
#define AHCI_IS_IFS  (1u << 27)
#define AHCI_IS_HBFS (1u << 29)
#define AHCI_IS_TFES (1u << 30)
/* What a device can be asked to interrupt for. */
#define AHCI_IS_ALL  0xfdc000ffu
/* PCS and PRCS mirror PxSERR. */
#define AHCI_IS_W1C  (AHCI_IS_ALL & ~(AHCI_IS_PCS | AHCI_IS_PRCS | 1u << 4))

/* 3.3.7: PxCMD */
#define AHCI_CMD_ST        (1u << 0)
#define AHCI_CMD_SUD       (1u << 1)
#define AHCI_CMD_POD       (1u << 2)
#define AHCI_CMD_CLO       (1u << 3)
#define AHCI_CMD_FRE       (1u << 4)
#define AHCI_CMD_FR        (1u << 14)
#define AHCI_CMD_CR        (1u << 15)
#define AHCI_CMD_ATAPI     (1u << 24)
#define AHCI_CMD_DLAE      (1u << 25)
#define AHCI_CMD_CCS_SHIFT 8

/* 3.3.12: PxSERR */
#define AHCI_SERR_ERR_P  (1u << 10) /* protocol error */
#define AHCI_SERR_DIAG_N (1u << 16) /* PhyRdy changed */
#define AHCI_SERR_DIAG_H (1u << 22) /* handshake error */
#define AHCI_SERR_DIAG_X (1u << 26) /* device exchanged */
#define AHCI_SERR_ALL    0x07ff0f03u

/* ATA status and error (ACS-3, 6.2 and 6.3) */
#define ATA_ERR  0x01
#define ATA_DRQ  0x08
#define ATA_DSC  0x10
#define ATA_DF   0x20
#define ATA_DRDY 0x40
#define ATA_BSY  0x80
#define ATA_GOOD (ATA_DRDY | ATA_DSC)
#define ATA_ABRT 0x04
#define ATA_IDNF 0x10
#define ATA_UNC  0x40

/* Command header, word 0 (AHCI 1.3.1, 4.2.2) */
#define AHCI_HEADER_CFL   0x1f
#define AHCI_HEADER_ATAPI (1u << 5)
#define AHCI_HEADER_CLEAR (1u << 10)

typedef struct _Ahci Ahci;
typedef struct _AhciPort AhciPort;
typedef struct _AhciDrive AhciDrive;
typedef struct _AhciCommand AhciCommand;

/* What became of an access to the memory that a command's PRDs describe. */
typedef enum
{
  AHCI_DATA_OK,
  AHCI_DATA_OVERFLOW, /* the PRDs end before the data */
  AHCI_DATA_FAULT,    /* an address is not RAM */
} AhciData;

/* One slot. Between fetch and ahci_command_finish (or _fatal) it belongs to the drive. */
struct _AhciCommand
{
  BlockRequest block;
  AhciPort *port;
  guint slot;
  gboolean in_flight;
  gboolean aborted;  /* its end interests nobody any more */
  gboolean queued;   /* NCQ */
  gboolean released; /* NCQ: accepted, the slot's CI bit is clear */
  guint32 header;    /* word 0 */
  guint8 fis[20];    /* Register Host to Device, fetched once */
  guint8 packet[16]; /* ATAPI command */

  /* the PRD table; each entry is fetched once */
  guint64 table;
  guint n_prds, next_prd;
  guint64 prd_address;
  guint32 prd_left;
  gboolean prd_interrupt;
  guint32 moved; /* bytes, for PRDBC */

  /* pinned memory */
  struct iovec *iov;
  guint n_iov, iov_size;
  gboolean iov_write;

  /* commands of several back end requests: step fills in `block` and returns TRUE, or ends the
   * command and returns FALSE; failed ends it after an error. */
  BlockBackend *backend;
  gboolean (*step) (AhciCommand *command);
  void (*failed) (AhciCommand *command, int result);
  guint64 offset, left; /* bytes */
  gboolean submitting, returned;
  int result;

  /* for the FIS at the end */
  guint64 out_lba;
  guint16 out_count;
  guint8 out_device;
  gboolean pio_in; /* ends with a PIO Setup FIS instead */
};

typedef struct
{
  const char *name;
  guint32 signature; /* PxSIG */
  guint8 reset_status;
  gboolean atapi;
  /* A command with BSY set: ends it now or later by ahci_command_finish or ahci_command_fatal.
   * Worker, lock held. */
  void (*execute) (AhciDrive *drive, AhciCommand *command);
  /* COMRESET (hard) or software reset. Lock held. */
  void (*reset) (AhciDrive *drive, gboolean hard);
  /* (nullable) After an abort or a reset: brings commands back early if the port is draining.
   * Worker, lock held. */
  void (*work) (AhciDrive *drive);
  /* Waits until the back end is done with everything. Worker, no lock. */
  void (*drain) (AhciDrive *drive);
  /* (nullable: as drain) For a pause: what the back end holds stays in flight. Worker, no lock. */
  void (*settle) (AhciDrive *drive);
} AhciDriveOps;

/* First in a drive's device. */
struct _AhciDrive
{
  VmmDevice parent;
  struct
  {
    VmmDevice *controller;
    guint64 port;
    BlockBackend *backend;
    char *serial;
  } drive_config;
  const AhciDriveOps *drive_ops;
  AhciPort *port; /* NULL: not attached */
};

#define AHCI_DRIVE_PROPERTIES                                                                      \
  { "controller", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (AhciDrive, drive_config.controller),      \
    .required = TRUE },                                                                            \
      { "port", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (AhciDrive, drive_config.port), 0,              \
        AHCI_N_PORTS - 1 },                                                                        \
  {                                                                                                \
    "serial", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (AhciDrive, drive_config.serial), 0, 20         \
  }

struct _AhciPort
{
  Ahci *ahci;
  guint index;
  struct
  {
    guint64 clb, fb;
    guint32 is, ie, cmd, tfd, sig, sctl, serr, sact, ci, sntf;
    guint8 halted;   /* after an error nothing is fetched until ST is cleared */
    guint8 srst;     /* between the two FISes of a software reset */
    guint8 held_fis; /* the signature came while FRE was off: FRE posts it */
  } guest;
  AhciDrive *drive;
  AhciCommand commands[AHCI_N_SLOTS];
  AhciCommand *active; /* the unqueued command that the drive works on */
  guint n_in_flight;
  guint32 queued;     /* NCQ tags the drive works on */
  guint32 sdb_done;   /* ended, to be told in the next Set Device Bits FIS */
  guint next_slot;    /* where fetching goes on */
  gboolean draining;  /* aborted commands are still with the back end: fetch nothing */
  gboolean signature; /* to be sent when they are back */
  gboolean running;   /* port_run is on the stack */
  gboolean wants_run, wants_sdb, wants_work, wants_notify; /* what ahci_port_work is to do */
  gboolean detaching;
};

struct _Ahci
{
  PciDevice parent;
  struct
  {
    guint32 ghc, is;
    guint32 idp_index;
  } guest;
  AhciPort ports[AHCI_N_PORTS];
  VmmWorker *worker;
  int doorbell; /* eventfd: ports have work for the worker */
  VmmSource *source;
  VmmRegion abar, idp;
  gboolean inside;   /* the worker holds the lock and calls a drive */
  gboolean quiesced; /* lock */
  guint64 n_commands, n_queued, n_interrupts, n_errors, n_resets; /* lock */
};

/* ---- ahci.c ---- */

Ahci *ahci_from_device (VmmDevice *device); /* NULL for another kind of device */
/* Has the worker call ahci_port_work of all ports. */
void ahci_schedule (Ahci *ahci);
/* Interrupt state after a change of any register. again: tell it anew if something is pending. */
void ahci_update_interrupt (Ahci *ahci, gboolean again);
/* For callbacks of back ends. Returns what leave wants. */
gboolean ahci_enter (Ahci *ahci);
void ahci_leave (Ahci *ahci, gboolean entered);

/* ---- ahci-regs.c ---- */

extern const VmmRegionOps ahci_abar_ops;
extern const VmmRegionOps ahci_idp_ops;
/* Lock held. */
void ahci_reset_registers (Ahci *ahci);

/* ---- ahci-port.c; lock held ---- */

/* PxIS with the bits that mirror PxSERR. */
guint32 ahci_port_get_is (AhciPort *port);
guint32 ahci_port_get_ssts (AhciPort *port);
/* To the values of an HBA reset, drive present or not. */
void ahci_port_reset (AhciPort *port);
/* The link comes up (COMRESET over, drive plugged): reset and signature. */
void ahci_port_link_up (AhciPort *port);
void ahci_port_link_down (AhciPort *port);
/* Forgets all commands; those with the back end come back later and are ignored. */
void ahci_port_abort (AhciPort *port);
/* Has the worker look for commands. */
void ahci_port_kick (AhciPort *port);
void ahci_port_post_held_fis (AhciPort *port);
/* The drive wants attention without a command (SATA 3.1, 13.8). */
void ahci_port_notify (AhciPort *port);
/* On the worker, inside: what was put off. */
void ahci_port_work (AhciPort *port);
/* On the worker, no lock: ends what is in flight. */
void ahci_port_drain (AhciPort *port);
/* On the worker, no lock: the same for a pause, but for what the back end holds. */
void ahci_port_settle (AhciPort *port);
/* NCQ: the drive accepts the command; BSY and the CI bit go. */
void ahci_command_release (AhciCommand *command);
/* The end of a command. status: with ATA_ERR the port stops and TFES is set. */
void ahci_command_finish (AhciCommand *command, guint8 status, guint8 error);
/* A fatal error between HBA and memory: AHCI_IS_OFS, AHCI_IS_HBFS. BSY stays. */
void ahci_command_fatal (AhciCommand *command, guint32 is);

/* ---- ahci-dma.c; worker, lock held ---- */

/* Reads header, FIS, packet. FALSE: an address is not RAM. */
gboolean ahci_command_fetch (AhciCommand *command);
gboolean ahci_command_write_count (AhciCommand *command);
/* Pins up to want bytes of the rest of the PRDs into iov. unit: a multiple of so many bytes, all of
 * want unless that takes very many iovecs, OVERFLOW when there is less; 0: as much as there is, up to the first address that is not RAM (then
 * prd_left is not 0). */
AhciData ahci_command_pin (
    AhciCommand *command, guint64 want, gboolean for_write, guint unit, guint64 *ret_length);
void ahci_command_unpin (AhciCommand *command);
/* Copies to, or from, the memory of the PRDs. */
AhciData ahci_command_give (AhciCommand *command, gconstpointer data, gsize length);
AhciData ahci_command_take (AhciCommand *command, gpointer data, gsize length);
/* Ends the command with OFS or HBFS. */
void ahci_command_data_failed (AhciCommand *command, AhciData why);
/* Starts a command of back end requests: step has been set. */
void ahci_command_run (AhciCommand *command);

/* ---- ahci-drive.c ---- */

/* In the drives' realize and unrealize. */
gboolean ahci_drive_attach (AhciDrive *drive, const AhciDriveOps *ops, GError **error);
void ahci_drive_detach (AhciDrive *drive);
void ahci_drive_lock (AhciDrive *drive);
void ahci_drive_unlock (AhciDrive *drive);
/* ATA strings: two characters a word, the first in the high byte, padded with spaces. */
void ahci_put_string (guint16 *words, const char *text, guint n_words);
/* Word 255, and all to little endian. */
void ahci_seal_identify (guint16 *words);
/* The answer of a PIO or DMA data-in command; ends it. */
void ahci_command_answer (AhciCommand *command, gconstpointer data, gsize length, gboolean pio);
