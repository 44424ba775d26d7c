/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A SATA CD-ROM drive: PACKET commands (ACS-3, 7.18) handed to the SCSI engine, which knows MMC. The
 * rest is what an ATAPI device says of itself. */
#include "devices/storage/ahci-private.h"
#include "devices/storage/scsi/scsi.h"

#include <string.h>

#define SIGNATURE    0xeb140101u
#define PACKET_BYTES 12
#define DEFAULT_UDMA 0x46
#define IO_COD       0x03 /* interrupt reason: the command is over */
#define HEADER_WRITE (1u << 6)

enum
{
  CMD_DEVICE_RESET = 0x08,
  CMD_EXECUTE_DIAGNOSTIC = 0x90,
  CMD_PACKET = 0xa0,
  CMD_IDENTIFY_PACKET = 0xa1,
  CMD_STANDBY_IMMEDIATE = 0xe0,
  CMD_IDLE_IMMEDIATE = 0xe1,
  CMD_CHECK_POWER_MODE = 0xe5,
  CMD_SLEEP = 0xe6,
  CMD_IDENTIFY = 0xec,
  CMD_SET_FEATURES = 0xef,

  FEATURE_TRANSFER_MODE = 0x03,
  FEATURE_SATA_ON = 0x10,
  FEATURE_SATA_OFF = 0x90,
  SATA_NOTIFICATION = 0x05,
};

typedef struct
{
  AhciDrive parent;
  struct
  {
    guint8 notify; /* asynchronous notification is on */
    guint8 transfer_mode;
  } guest;
  struct
  {
    ScsiUnit *unit;
    ScsiCommand scsi;     /* one at a time: ATAPI has no queue */
    AhciCommand *command; /* that it serves */
    gboolean reset_pending;
  } host;
} AhciCdrom;

static void
refuse (AhciCommand *command)
{
  ahci_command_finish (command, ATA_GOOD | ATA_ERR, ATA_ABRT);
}

/* ---- IDENTIFY PACKET DEVICE ---- */

static void
identify (AhciCdrom *cdrom, guint16 *words)
{
  const char *serial = cdrom->parent.drive_config.serial;
  guint mode = cdrom->guest.transfer_mode;

  memset (words, 0, 512);
  words[0] = 0x85c0; /* ATAPI, CD-ROM, removable medium, 12-byte packets */
  ahci_put_string (words + 10, serial != NULL ? serial : cdrom->parent.parent.id, 10);
  ahci_put_string (words + 23, ALCOVE_VERSION, 4);
  ahci_put_string (words + 27, "Alcove SATA CD-ROM", 20);
  words[49] = 0x0f00; /* IORDY, LBA, DMA */
  words[50] = 0x4000;
  words[53] = 0x0006;
  words[63] = 0x0007;
  words[64] = 0x0003;
  words[65] = words[66] = words[67] = words[68] = 120; /* ns */
  words[76] = 0x000e;                                  /* 1.5 to 6 Gb/s */
  words[77] = 3 << 1;
  words[78] = 1 << 5; /* asynchronous notification */
  words[79] = cdrom->guest.notify ? 1 << 5 : 0;
  words[80] = 0x07f0;
  words[82] = words[85] = 0x4218; /* NOP, DEVICE RESET, PACKET, power management */
  words[83] = words[84] = words[87] = 0x4000;
  words[88] = 0x7f;
  if (mode >= 0x20 && mode <= 0x22)
    words[63] |= (guint16)(0x100 << (mode - 0x20));
  else if (mode >= 0x40 && mode <= 0x46)
    words[88] |= (guint16)(0x100 << (mode - 0x40));
  words[222] = 0x10ff;
  ahci_seal_identify (words);
}

/* ---- PACKET ---- */

/* On the worker; inside execute with the lock, or later without. */
static void
packet_done (ScsiCommand *scsi)
{
  AhciCdrom *cdrom = scsi->user_data;
  AhciCommand *command = cdrom->host.command;
  Ahci *ahci = command->port->ahci;
  gboolean entered = ahci_enter (ahci);
  guint8 key = scsi->sense[2] & 0xf;

  cdrom->host.command = NULL;
  command->moved = (guint32)(scsi->n_in + scsi->n_out);
  command->out_count = IO_COD;
  command->out_device = 0;
  if (scsi->overrun && !command->aborted)
    ahci_command_data_failed (command,
                              command->prd_left > 0 ? AHCI_DATA_FAULT : AHCI_DATA_OVERFLOW);
  else if (scsi->status == SCSI_STATUS_GOOD && !scsi->cancelled)
    ahci_command_finish (command, ATA_GOOD, 0);
  else
    ahci_command_finish (command, ATA_GOOD | ATA_ERR,
                         (guint8)(key << 4) | (key == 0x5 || key == 0xb ? ATA_ABRT : 0));
  ahci_leave (ahci, entered);
}

static void
run_packet (AhciCdrom *cdrom, AhciCommand *command)
{
  ScsiCommand *scsi = &cdrom->host.scsi;
  gboolean out = (command->header & HEADER_WRITE) != 0;
  guint64 length = 0;
  AhciData result = AHCI_DATA_OK;

  if (!(command->header & AHCI_HEADER_ATAPI))
    {
      refuse (command);
      return;
    }
  if (command->n_prds > 0)
    result = ahci_command_pin (command, G_MAXUINT64, !out, 0, &length);
  if (result != AHCI_DATA_OK)
    {
      ahci_command_data_failed (command, result);
      return;
    }
  scsi_command_clear (scsi);
  memcpy (scsi->cdb, command->packet, PACKET_BYTES);
  if (out)
    {
      scsi->out = command->iov;
      scsi->out_count = command->n_iov;
      scsi->out_length = length;
    }
  else
    {
      scsi->in = command->iov;
      scsi->in_count = command->n_iov;
      scsi->in_length = length;
    }
  scsi->alone = TRUE;
  scsi->done = packet_done;
  scsi->user_data = cdrom;
  cdrom->host.command = command;
  scsi_unit_execute (cdrom->host.unit, scsi);
}

/* ---- the other commands ---- */

static void
set_features (AhciCdrom *cdrom, AhciCommand *command)
{
  guint8 feature = command->fis[3], count = command->fis[12];

  if ((feature == FEATURE_SATA_ON || feature == FEATURE_SATA_OFF) && count == SATA_NOTIFICATION)
    cdrom->guest.notify = feature == FEATURE_SATA_ON;
  else if (feature == FEATURE_TRANSFER_MODE &&
           ((count >= 0x20 && count <= 0x22) || (count >= 0x40 && count <= 0x46)))
    cdrom->guest.transfer_mode = count;
  else if (feature != FEATURE_TRANSFER_MODE || (count > 0x01 && (count < 0x08 || count > 0x0c)))
    {
      refuse (command);
      return;
    }
  ahci_command_finish (command, ATA_GOOD, 0);
}

static void
put_signature (AhciCommand *command)
{
  command->out_lba = SIGNATURE >> 8;
  command->out_count = SIGNATURE & 0xff;
  command->out_device = 0;
}

/* What COMRESET or a software reset put off, because the engine is the worker's. */
static void
apply_reset (AhciCdrom *cdrom)
{
  if (!cdrom->host.reset_pending)
    return;
  cdrom->host.reset_pending = FALSE;
  scsi_unit_reset (cdrom->host.unit, SCSI_RESET_BUS);
}

static void
cdrom_execute (AhciDrive *drive, AhciCommand *command)
{
  AhciCdrom *cdrom = (AhciCdrom *)drive;
  guint16 words[256];

  apply_reset (cdrom);
  switch (command->fis[2])
    {
    case CMD_PACKET:
      run_packet (cdrom, command);
      return;
    case CMD_IDENTIFY_PACKET:
      identify (cdrom, words);
      ahci_command_answer (command, words, sizeof words, TRUE);
      return;
    case CMD_IDENTIFY: /* refused with the signature, so that old drivers see what it is */
      put_signature (command);
      refuse (command);
      return;
    case CMD_DEVICE_RESET:
      scsi_unit_reset (cdrom->host.unit, SCSI_RESET_BUS);
      put_signature (command);
      ahci_command_finish (command, 0, 0x01);
      return;
    case CMD_EXECUTE_DIAGNOSTIC:
      put_signature (command);
      ahci_command_finish (command, 0, 0x01);
      return;
    case CMD_SET_FEATURES:
      set_features (cdrom, command);
      return;
    case CMD_CHECK_POWER_MODE:
      command->out_count = 0xff; /* active or idle */
      ahci_command_finish (command, ATA_GOOD, 0);
      return;
    case CMD_STANDBY_IMMEDIATE:
    case CMD_IDLE_IMMEDIATE:
    case CMD_SLEEP:
      ahci_command_finish (command, ATA_GOOD, 0);
      return;
    default:
      refuse (command);
      return;
    }
}

static void
cdrom_reset (AhciDrive *drive, gboolean hard)
{
  AhciCdrom *cdrom = (AhciCdrom *)drive;

  cdrom->host.reset_pending = TRUE;
  if (!hard)
    return;
  cdrom->guest.notify = FALSE;
  cdrom->guest.transfer_mode = DEFAULT_UDMA;
}

static void
cdrom_work (AhciDrive *drive)
{
  AhciCdrom *cdrom = (AhciCdrom *)drive;

  apply_reset (cdrom);
  if (drive->port->draining)
    scsi_unit_cancel_all (cdrom->host.unit);
}

static void
cdrom_drain (AhciDrive *drive)
{
  scsi_unit_drain (((AhciCdrom *)drive)->host.unit);
}

static const AhciDriveOps cdrom_drive_ops = {
  .name = "cdrom",
  .signature = SIGNATURE,
  .reset_status = 0, /* DRDY is clear until the first command (ACS-3, 9.6) */
  .execute = cdrom_execute,
  .reset = cdrom_reset,
  .work = cdrom_work,
  .drain = cdrom_drain,
};

/* ---- the medium ---- */

typedef struct
{
  AhciCdrom *cdrom;
  BlockBackend *backend, *old;
  gboolean force, locked;
  ScsiMediumResult result;
} MediumCall;

/* On the worker. */
static void
set_medium (gpointer user_data)
{
  MediumCall *call = user_data;
  AhciPort *port = call->cdrom->parent.port;
  gboolean entered;

  entered = ahci_enter (port->ahci);
  apply_reset (call->cdrom);
  ahci_leave (port->ahci, entered);
  call->result =
      scsi_unit_set_medium (call->cdrom->host.unit, call->backend, call->force, &call->old);
  entered = ahci_enter (port->ahci);
  if (call->cdrom->guest.notify)
    ahci_port_notify (port);
  ahci_leave (port->ahci, entered);
}

gboolean
ahci_cdrom_set_medium (VmmDevice *device,
                       BlockBackend *backend,
                       gboolean force,
                       BlockBackend **ret_old,
                       GError **error)
{
  MediumCall call = { .cdrom = (AhciCdrom *)device, .backend = backend, .force = force };

  g_assert (device->ops == &ahci_cdrom_device_ops);
  vmm_worker_call (call.cdrom->parent.port->ahci->worker, set_medium, &call);
  if (call.result != SCSI_MEDIUM_OK)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "The guest has locked the tray of “%s”. It was told that the medium is wanted: "
                   "eject it in the guest, or try again by force",
                   device->id);
      return FALSE;
    }
  *ret_old = call.old;
  return TRUE;
}

static void
query_medium (gpointer user_data)
{
  MediumCall *call = user_data;

  call->locked = scsi_unit_is_locked (call->cdrom->host.unit);
  call->force = scsi_unit_is_tray_open (call->cdrom->host.unit);
}

void
ahci_cdrom_get_tray (VmmDevice *device, gboolean *ret_locked, gboolean *ret_open)
{
  MediumCall call = { .cdrom = (AhciCdrom *)device };

  g_assert (device->ops == &ahci_cdrom_device_ops);
  vmm_worker_call (call.cdrom->parent.port->ahci->worker, query_medium, &call);
  *ret_locked = call.locked;
  *ret_open = call.force;
}

/* ---- the device ---- */

static void
cdrom_unrealize (VmmDevice *device)
{
  AhciCdrom *cdrom = (AhciCdrom *)device;

  ahci_drive_detach (&cdrom->parent);
  g_clear_pointer (&cdrom->host.unit, scsi_unit_free);
}

static gboolean
cdrom_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  AhciCdrom *cdrom = (AhciCdrom *)device;
  Ahci *ahci = ahci_from_device (cdrom->parent.drive_config.controller);
  ScsiUnitOptions options = {
    .kind = SCSI_KIND_CDROM,
    .flags = SCSI_UNIT_KEEP_SENSE | SCSI_UNIT_ATAPI,
    .backend = cdrom->parent.drive_config.backend,
    .product = "Alcove CD-ROM",
    .serial = cdrom->parent.drive_config.serial,
  };

  if (ahci != NULL)
    {
      cdrom->host.unit = scsi_unit_new (ahci->worker, &options, error);
      if (cdrom->host.unit == NULL)
        return FALSE;
    }
  if (ahci_drive_attach (&cdrom->parent, &cdrom_drive_ops, error))
    return TRUE;
  g_clear_pointer (&cdrom->host.unit, scsi_unit_free);
  return FALSE;
}

static void
power_on (gpointer user_data)
{
  AhciCdrom *cdrom = user_data;

  cdrom->host.reset_pending = FALSE;
  scsi_unit_reset (cdrom->host.unit, SCSI_RESET_POWER_ON);
}

/* The controller's reset has drained the port and reset the link. */
static void
cdrom_device_reset (VmmDevice *device, VmmResetKind kind)
{
  AhciCdrom *cdrom = (AhciCdrom *)device;

  ahci_drive_lock (&cdrom->parent);
  cdrom_reset (&cdrom->parent, TRUE);
  ahci_drive_unlock (&cdrom->parent);
  vmm_worker_call (cdrom->parent.port->ahci->worker, power_on, cdrom);
}

static void
reset_before_pause (gpointer user_data)
{
  apply_reset (user_data);
}

/* The controller drains its ports. */
static void
cdrom_quiesce (VmmDevice *device)
{
  AhciCdrom *cdrom = (AhciCdrom *)device;

  vmm_worker_call (cdrom->parent.port->ahci->worker, reset_before_pause, cdrom);
}

static void
cdrom_resume (VmmDevice *device)
{
}

static gboolean
cdrom_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  AhciCdrom *cdrom = (AhciCdrom *)device;

  vmm_state_put_uint (writer, "notify", cdrom->guest.notify);
  vmm_state_put_uint (writer, "transfer-mode", cdrom->guest.transfer_mode);
  scsi_unit_save (cdrom->host.unit, writer);
  return TRUE;
}

static gboolean
cdrom_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  AhciCdrom *cdrom = (AhciCdrom *)device;
  guint64 notify, mode;

  if (!vmm_state_get_uint (reader, "notify", 1, &notify, error) ||
      !vmm_state_get_uint (reader, "transfer-mode", 0xff, &mode, error))
    return FALSE;
  cdrom->guest.notify = notify != 0;
  cdrom->guest.transfer_mode = (guint8)mode;
  cdrom->host.reset_pending = FALSE;
  return scsi_unit_load (cdrom->host.unit, reader, error);
}

static void
cdrom_stats (VmmDevice *device,
             void (*add) (gpointer user_data, const char *name, guint64 value),
             gpointer user_data)
{
  AhciCdrom *cdrom = (AhciCdrom *)device;
  ScsiUnitCounters counters;

  scsi_unit_get_counters (cdrom->host.unit, &counters);
  add (user_data, "reads", counters.n_reads);
  add (user_data, "bytes-read", counters.bytes_read);
  add (user_data, "errors", counters.n_errors);
}

static const VmmProperty cdrom_properties[] = {
  AHCI_DRIVE_PROPERTIES,
  { "backend", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (AhciDrive, drive_config.backend) },
  { NULL },
};

const VmmDeviceOps ahci_cdrom_device_ops = {
  .name = "sata-cdrom",
  .summary = "CD-ROM drive (SATA)",
  .spec = "ACS-3, MMC-5",
  .instance_size = sizeof (AhciCdrom),
  .state_version = 1,
  .properties = cdrom_properties,
  .realize = cdrom_realize,
  .unrealize = cdrom_unrealize,
  .reset = cdrom_device_reset,
  .quiesce = cdrom_quiesce,
  .resume = cdrom_resume,
  .save = cdrom_save,
  .load = cdrom_load,
  .stats = cdrom_stats,
};
