/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A SATA hard disk: the commands of ACS-3 over a block back end. */
#include "devices/storage/ahci-disk-private.h"

#include <string.h>

#define SIGNATURE    0x00000101u
#define SCRATCH_SIZE 65536u
#define ACTIVE       0xff /* power mode */
#define DEFAULT_UDMA 0x46

typedef enum
{
  XFER_NONE = 0,
  XFER_EXT = 1 << 0, /* 48-bit address, 16-bit count */
  XFER_WRITE = 1 << 1,
  XFER_PIO = 1 << 2,
  XFER_FUA = 1 << 3,
  XFER_MULTIPLE = 1 << 4,
  XFER_QUEUED = 1 << 5,
  XFER_VERIFY = 1 << 6, /* no data */
} TransferFlags;

enum
{
  CMD_DATA_SET_MANAGEMENT = 0x06,
  CMD_RECALIBRATE = 0x10,
  CMD_READ_LOG_EXT = 0x2f,
  CMD_READ_LOG_DMA_EXT = 0x47,
  CMD_EXECUTE_DIAGNOSTIC = 0x90,
  CMD_INITIALIZE_PARAMETERS = 0x91,
  CMD_SMART = 0xb0,
  CMD_SET_MULTIPLE = 0xc6,
  CMD_STANDBY_IMMEDIATE = 0xe0,
  CMD_IDLE_IMMEDIATE = 0xe1,
  CMD_STANDBY = 0xe2,
  CMD_IDLE = 0xe3,
  CMD_CHECK_POWER_MODE = 0xe5,
  CMD_SLEEP = 0xe6,
  CMD_FLUSH = 0xe7,
  CMD_FLUSH_EXT = 0xea,
  CMD_IDENTIFY = 0xec,
  CMD_SET_FEATURES = 0xef,

  FEATURE_WRITE_CACHE_ON = 0x02,
  FEATURE_TRANSFER_MODE = 0x03,
  FEATURE_LOOK_AHEAD_OFF = 0x55,
  FEATURE_REVERT_OFF = 0x66,
  FEATURE_WRITE_CACHE_OFF = 0x82,
  FEATURE_LOOK_AHEAD_ON = 0xaa,
  FEATURE_REVERT_ON = 0xcc,
};

static const struct
{
  guint8 opcode;
  TransferFlags flags;
} transfers[] = {
  { 0x20, XFER_PIO },                                         /* READ SECTORS */
  { 0x21, XFER_PIO },                                         /* without retry, obsolete */
  { 0x24, XFER_PIO | XFER_EXT },                              /* READ SECTORS EXT */
  { 0x25, XFER_EXT },                                         /* READ DMA EXT */
  { 0x29, XFER_PIO | XFER_EXT | XFER_MULTIPLE },              /* READ MULTIPLE EXT */
  { 0x30, XFER_PIO | XFER_WRITE },                            /* WRITE SECTORS */
  { 0x31, XFER_PIO | XFER_WRITE },                            /* without retry */
  { 0x34, XFER_PIO | XFER_WRITE | XFER_EXT },                 /* WRITE SECTORS EXT */
  { 0x35, XFER_WRITE | XFER_EXT },                            /* WRITE DMA EXT */
  { 0x39, XFER_PIO | XFER_WRITE | XFER_EXT | XFER_MULTIPLE }, /* WRITE MULTIPLE EXT */
  { 0x3d, XFER_WRITE | XFER_EXT | XFER_FUA },                 /* WRITE DMA FUA EXT */
  { 0x40, XFER_VERIFY },                                      /* READ VERIFY SECTORS */
  { 0x41, XFER_VERIFY },                                      /* without retry */
  { 0x42, XFER_VERIFY | XFER_EXT },                           /* READ VERIFY SECTORS EXT */
  { 0x60, XFER_EXT | XFER_QUEUED },                           /* READ FPDMA QUEUED */
  { 0x61, XFER_WRITE | XFER_EXT | XFER_QUEUED },              /* WRITE FPDMA QUEUED */
  { 0xc4, XFER_PIO | XFER_MULTIPLE },                         /* READ MULTIPLE */
  { 0xc5, XFER_PIO | XFER_WRITE | XFER_MULTIPLE },            /* WRITE MULTIPLE */
  { 0xc8, XFER_NONE },                                        /* READ DMA */
  { 0xc9, XFER_NONE },                                        /* without retry */
  { 0xca, XFER_WRITE },                                       /* WRITE DMA */
  { 0xcb, XFER_WRITE },                                       /* without retry */
  { 0xce, XFER_PIO | XFER_WRITE | XFER_EXT | XFER_MULTIPLE | XFER_FUA },
};

static AhciDisk *
command_disk (AhciCommand *command)
{
  return (AhciDisk *)command->port->drive;
}

void
ahci_disk_fail (AhciDisk *disk, AhciCommand *command, guint8 status, guint8 error)
{
  if (command->queued && !command->aborted)
    {
      disk->guest.ncq_failed = TRUE;
      disk->guest.ncq_tag = (guint8)command->slot;
      disk->guest.ncq_status = status;
      disk->guest.ncq_error = error;
      disk->guest.ncq_device = command->out_device;
      disk->guest.ncq_count = command->out_count;
      disk->guest.ncq_lba = command->out_lba;
    }
  ahci_command_finish (command, status, error);
}

static void
refuse (AhciDisk *disk, AhciCommand *command)
{
  ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_ABRT);
}

/* An error of the back end. */
static void
disk_failed (AhciCommand *command, int result)
{
  AhciDisk *disk = command_disk (command);
  gboolean reading = command->block.op == BLOCK_OP_READ;

  if (!command->aborted)
    disk->guest.errors++;
  command->out_lba = command->block.offset / disk->host.info.logical_block;
  if (reading)
    ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_UNC);
  else
    ahci_disk_fail (disk, command, ATA_GOOD | ATA_DF | ATA_ERR, ATA_ABRT);
}

/* ---- reading and writing ---- */

static guint64
get_lba (const guint8 *fis, gboolean ext)
{
  guint64 lba = fis[4] | (guint)fis[5] << 8 | (guint)fis[6] << 16;

  if (ext)
    return lba | (guint64)fis[8] << 24 | (guint64)fis[9] << 32 | (guint64)fis[10] << 40;
  if (fis[7] & 0x40)
    return lba | (guint64)(fis[7] & 0xf) << 24;
  /* Cylinder, head, sector (from 1) of the default geometry. Sector 0 is nowhere. */
  if (fis[4] == 0)
    return G_MAXUINT64;
  return ((lba >> 8) * 16 + (fis[7] & 0xf)) * 63 + fis[4] - 1;
}

static void
count_transfer (AhciDisk *disk, gboolean write, guint64 sectors)
{
  if (write)
    {
      disk->host.n_writes++;
      disk->guest.sectors_written += sectors;
    }
  else
    {
      disk->host.n_reads++;
      disk->guest.sectors_read += sectors;
    }
}

static gboolean
transfer_step (AhciCommand *command)
{
  guint64 length;
  AhciData result;

  if (command->left == 0)
    {
      ahci_command_finish (command, ATA_GOOD, 0);
      return FALSE;
    }
  result = ahci_command_pin (command, command->left, command->block.op == BLOCK_OP_READ,
                             command_disk (command)->host.info.logical_block, &length);
  if (result != AHCI_DATA_OK)
    {
      ahci_command_data_failed (command, result);
      return FALSE;
    }
  command->block.offset = command->offset;
  command->block.length = length;
  command->block.iov = command->iov;
  command->block.n_iov = command->n_iov;
  command->offset += length;
  command->left -= length;
  command->moved += (guint32)length;
  return TRUE;
}

static gboolean
verify_step (AhciCommand *command)
{
  AhciDisk *disk = command_disk (command);
  guint64 length = MIN (command->left, SCRATCH_SIZE);

  if (length == 0)
    {
      ahci_command_finish (command, ATA_GOOD, 0);
      return FALSE;
    }
  disk->host.scratch_iov = (struct iovec){ disk->host.scratch, length };
  command->block.offset = command->offset;
  command->block.length = length;
  command->block.iov = &disk->host.scratch_iov;
  command->block.n_iov = 1;
  command->offset += length;
  command->left -= length;
  return TRUE;
}

static void
transfer (AhciDisk *disk, AhciCommand *command, TransferFlags flags)
{
  const guint8 *fis = command->fis;
  AhciPort *port = command->port;
  gboolean queued = (flags & XFER_QUEUED) != 0, write = (flags & XFER_WRITE) != 0;
  guint64 lba = get_lba (fis, (flags & XFER_EXT) != 0);
  guint count = queued             ? fis[3] | (guint)fis[11] << 8
                : flags & XFER_EXT ? fis[12] | (guint)fis[13] << 8
                                   : fis[12];
  guint64 sectors = count != 0 ? count : flags & XFER_EXT ? 65536 : 256;

  command->queued = queued;
  command->out_lba = lba & 0xffffffffffff;
  command->out_count = (guint16)count;
  if ((queued && fis[12] >> 3 != command->slot) || (write && disk->host.info.readonly) ||
      ((flags & XFER_MULTIPLE) && disk->guest.multiple == 0))
    {
      refuse (disk, command);
      return;
    }
  if (lba >= disk->host.n_sectors || sectors > disk->host.n_sectors - lba)
    {
      ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_IDNF);
      return;
    }
  command->backend = disk->parent.drive_config.backend;
  command->offset = lba * disk->host.info.logical_block;
  command->left = sectors * disk->host.info.logical_block;
  command->step = flags & XFER_VERIFY ? verify_step : transfer_step;
  command->failed = disk_failed;
  command->pio_in = (flags & XFER_PIO) && !write;
  command->block.op = write ? BLOCK_OP_WRITE : BLOCK_OP_READ;
  if (write && ((flags & XFER_FUA) || (queued && (fis[7] & 0x80)) || !disk->guest.write_cache))
    command->block.flags |= BLOCK_REQUEST_FUA;
  if (port->n_in_flight == 1 && (port->guest.ci & ~(1u << command->slot)) == 0)
    command->block.flags |= BLOCK_REQUEST_ALONE;
  count_transfer (disk, write, sectors);
  command->out_lba = command->out_count = 0;
  if (queued)
    ahci_command_release (command);
  ahci_command_run (command);
}

/* ---- FLUSH CACHE and what implies it ---- */

static gboolean
flush_step (AhciCommand *command)
{
  AhciDisk *disk = command_disk (command);

  if (command->left == 0)
    {
      if (disk->host.standby)
        disk->guest.power_mode = 0;
      ahci_command_finish (command, ATA_GOOD, 0);
      return FALSE;
    }
  command->left = 0;
  command->block.op = BLOCK_OP_FLUSH;
  command->block.offset = command->block.length = 0;
  command->block.iov = NULL;
  command->block.n_iov = 0;
  return TRUE;
}

static void
flush (AhciDisk *disk, AhciCommand *command, gboolean standby)
{
  disk->host.standby = standby;
  disk->host.n_flushes++;
  command->backend = disk->parent.drive_config.backend;
  command->left = 1;
  command->step = flush_step;
  command->failed = disk_failed;
  ahci_command_run (command);
}

/* ---- DATA SET MANAGEMENT ---- */

static gboolean
trim_step (AhciCommand *command)
{
  AhciDisk *disk = command_disk (command);
  const AhciRange *range = &disk->host.ranges[disk->host.next_range];

  if (disk->host.next_range == disk->host.n_ranges)
    {
      ahci_command_finish (command, ATA_GOOD, 0);
      return FALSE;
    }
  disk->host.next_range++;
  command->block.op = BLOCK_OP_DISCARD;
  command->block.offset = range->offset;
  command->block.length = range->length;
  command->block.iov = NULL;
  command->block.n_iov = 0;
  return TRUE;
}

/* All ranges are checked before the first is discarded; neighbours become one. FALSE: one is not on
 * the disk. */
static gboolean
parse_ranges (AhciDisk *disk, const guint64 *entries, guint n)
{
  guint32 block = disk->host.info.logical_block;

  disk->host.n_ranges = disk->host.next_range = 0;
  for (guint i = 0; i < n; i++)
    {
      guint64 entry = GUINT64_FROM_LE (entries[i]);
      guint64 lba = entry & 0xffffffffffff, sectors = entry >> 48;
      AhciRange *last = &disk->host.ranges[MAX (disk->host.n_ranges, 1) - 1];

      if (sectors == 0)
        continue;
      if (lba >= disk->host.n_sectors || sectors > disk->host.n_sectors - lba)
        return FALSE;
      if (disk->host.n_ranges > 0 && last->offset + last->length == lba * block)
        last->length += sectors * block;
      else
        disk->host.ranges[disk->host.n_ranges++] = (AhciRange){ lba * block, sectors * block };
    }
  return TRUE;
}

static void
data_set_management (AhciDisk *disk, AhciCommand *command)
{
  const guint8 *fis = command->fis;
  guint count = fis[12] | (guint)fis[13] << 8;
  guint64 entries[AHCI_DISK_TRIM_RANGES];
  AhciData result;

  if (fis[3] != 1 || count == 0 || count > AHCI_DISK_TRIM_BLOCKS || disk->host.info.readonly ||
      !disk->host.info.can_discard)
    {
      refuse (disk, command);
      return;
    }
  result = ahci_command_take (command, entries, 512 * count);
  if (result != AHCI_DATA_OK)
    {
      ahci_command_data_failed (command, result);
      return;
    }
  if (!parse_ranges (disk, entries, 64 * count))
    {
      ahci_disk_fail (disk, command, ATA_GOOD | ATA_ERR, ATA_IDNF);
      return;
    }
  disk->host.n_trims++;
  command->backend = disk->parent.drive_config.backend;
  command->step = trim_step;
  command->failed = disk_failed;
  ahci_command_run (command);
}

/* ---- the rest ---- */

static gboolean
set_transfer_mode (AhciDisk *disk, guint8 mode)
{
  if (mode <= 0x01 || (mode >= 0x08 && mode <= 0x0c))
    return TRUE; /* PIO, by default or by number */
  if ((mode < 0x20 || mode > 0x22) && (mode < 0x40 || mode > 0x46))
    return FALSE;
  disk->guest.transfer_mode = mode;
  return TRUE;
}

static void
set_features (AhciDisk *disk, AhciCommand *command)
{
  switch (command->fis[3])
    {
    case FEATURE_WRITE_CACHE_ON:
      disk->guest.write_cache = TRUE;
      break;
    case FEATURE_WRITE_CACHE_OFF:
      disk->guest.write_cache = FALSE;
      flush (disk, command, FALSE);
      return;
    case FEATURE_LOOK_AHEAD_ON:
    case FEATURE_LOOK_AHEAD_OFF:
      disk->guest.look_ahead = command->fis[3] == FEATURE_LOOK_AHEAD_ON;
      break;
    case FEATURE_TRANSFER_MODE:
      if (set_transfer_mode (disk, command->fis[12]))
        break;
      refuse (disk, command);
      return;
    case FEATURE_REVERT_OFF:
    case FEATURE_REVERT_ON:
      break;
    default:
      refuse (disk, command);
      return;
    }
  ahci_command_finish (command, ATA_GOOD, 0);
}

static void
set_multiple (AhciDisk *disk, AhciCommand *command)
{
  guint count = command->fis[12];

  if (count > AHCI_DISK_MULTIPLE || (count & (count - 1)) != 0)
    {
      refuse (disk, command);
      return;
    }
  disk->guest.multiple = (guint8)count;
  ahci_command_finish (command, ATA_GOOD, 0);
}

static void
run_simple (AhciDisk *disk, AhciCommand *command)
{
  guint16 words[256];

  switch (command->fis[2])
    {
    case CMD_IDENTIFY:
      ahci_disk_identify (disk, words);
      ahci_command_answer (command, words, sizeof words, TRUE);
      return;
    case CMD_SMART:
      ahci_disk_smart (disk, command);
      return;
    case CMD_FLUSH:
    case CMD_FLUSH_EXT:
      flush (disk, command, FALSE);
      return;
    case CMD_STANDBY:
    case CMD_STANDBY_IMMEDIATE:
    case CMD_SLEEP: /* DEVIATION: it wakes by any command, as from standby: nothing sleeps here */
      flush (disk, command, TRUE);
      return;
    case CMD_IDLE:
    case CMD_IDLE_IMMEDIATE:
    case CMD_RECALIBRATE:
    case CMD_INITIALIZE_PARAMETERS:
      ahci_command_finish (command, ATA_GOOD, 0);
      return;
    case CMD_CHECK_POWER_MODE:
      command->out_count = disk->guest.power_mode;
      ahci_command_finish (command, ATA_GOOD, 0);
      return;
    case CMD_EXECUTE_DIAGNOSTIC:
      command->out_lba = SIGNATURE >> 8;
      command->out_count = SIGNATURE & 0xff;
      ahci_command_finish (command, ATA_GOOD, 0x01); /* passed */
      return;
    case CMD_SET_FEATURES:
      set_features (disk, command);
      return;
    case CMD_SET_MULTIPLE:
      set_multiple (disk, command);
      return;
    case CMD_DATA_SET_MANAGEMENT:
      data_set_management (disk, command);
      return;
    default: /* NOP among them */
      refuse (disk, command);
      return;
    }
}

static void
disk_execute (AhciDrive *drive, AhciCommand *command)
{
  AhciDisk *disk = (AhciDisk *)drive;
  guint8 opcode = command->fis[2];

  if (opcode == CMD_READ_LOG_EXT || opcode == CMD_READ_LOG_DMA_EXT)
    {
      if (command->port->queued == 0)
        ahci_disk_read_log (disk, command, opcode == CMD_READ_LOG_EXT);
      else
        refuse (disk, command);
      return;
    }
  if (disk->guest.ncq_failed)
    {
      /* Not ahci_disk_fail: the log keeps the first error. */
      ahci_command_finish (command, ATA_GOOD | ATA_ERR, ATA_ABRT);
      return;
    }
  if (opcode != CMD_CHECK_POWER_MODE)
    disk->guest.power_mode = ACTIVE;
  for (guint i = 0; i < G_N_ELEMENTS (transfers); i++)
    if (transfers[i].opcode == opcode)
      {
        if (command->port->queued != 0 && !(transfers[i].flags & XFER_QUEUED))
          break;
        transfer (disk, command, transfers[i].flags);
        return;
      }
  if (command->port->queued != 0)
    refuse (disk, command);
  else
    run_simple (disk, command);
}

static void
disk_reset (AhciDrive *drive, gboolean hard)
{
  AhciDisk *disk = (AhciDisk *)drive;

  disk->guest.ncq_failed = FALSE;
  disk->guest.power_mode = ACTIVE;
  if (!hard)
    return;
  disk->guest.write_cache = disk->guest.look_ahead = TRUE;
  disk->guest.multiple = 0;
  disk->guest.transfer_mode = DEFAULT_UDMA;
}

static void
disk_drain (AhciDrive *drive)
{
  BlockBackend *backend = drive->drive_config.backend;

  backend->ops->drain (backend, drive->port->ahci->worker);
}

static void
disk_settle (AhciDrive *drive)
{
  (void)block_backend_settle (drive->drive_config.backend, drive->port->ahci->worker);
}

static const AhciDriveOps disk_drive_ops = {
  .name = "disk",
  .signature = SIGNATURE,
  .reset_status = ATA_GOOD,
  .execute = disk_execute,
  .reset = disk_reset,
  .drain = disk_drain,
  .settle = disk_settle,
};

/* ---- the device ---- */

static void
disk_unrealize (VmmDevice *device)
{
  AhciDisk *disk = (AhciDisk *)device;

  ahci_drive_detach (&disk->parent);
  g_clear_pointer (&disk->host.scratch, free);
}

static gboolean
disk_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  AhciDisk *disk = (AhciDisk *)device;
  BlockBackend *backend = disk->parent.drive_config.backend;

  backend->ops->get_info (backend, &disk->host.info);
  disk->host.n_sectors = disk->host.info.size / disk->host.info.logical_block;
  if (disk->host.n_sectors == 0 || disk->host.n_sectors > G_GUINT64_CONSTANT (0xffffffffffff))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” has no size that a SATA disk can have: it must hold a sector at least",
                   backend->name != NULL ? backend->name : device->id);
      return FALSE;
    }
  if (posix_memalign ((void **)&disk->host.scratch, 4096, SCRATCH_SIZE) != 0)
    {
      disk->host.scratch = NULL;
      g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY, "No memory for “%s”", device->id);
      return FALSE;
    }
  disk->guest.smart = disk->guest.smart_autosave = TRUE;
  disk->guest.power_cycles = 1;
  if (!ahci_drive_attach (&disk->parent, &disk_drive_ops, error))
    {
      g_clear_pointer (&disk->host.scratch, free);
      return FALSE;
    }
  return TRUE;
}

/* The controller's reset has drained the port and reset the link. */
static void
disk_device_reset (VmmDevice *device, VmmResetKind kind)
{
  AhciDisk *disk = (AhciDisk *)device;

  ahci_drive_lock (&disk->parent);
  disk_reset (&disk->parent, TRUE);
  disk->guest.smart = disk->guest.smart_autosave = TRUE;
  if (kind == VMM_RESET_COLD)
    disk->guest.power_cycles++;
  ahci_drive_unlock (&disk->parent);
}

/* The controller drains its ports. */
static void
disk_quiesce (VmmDevice *device)
{
}

#define FIELD(member, type)                                                                        \
  {                                                                                                \
#member, VMM_STATE_##type, 1, G_STRUCT_OFFSET(AhciDisk, guest.member)                          \
  }
static const VmmStateField disk_fields[] = {
  FIELD (write_cache, U8),    FIELD (look_ahead, U8),       FIELD (smart, U8),
  FIELD (smart_autosave, U8), FIELD (multiple, U8),         FIELD (transfer_mode, U8),
  FIELD (power_mode, U8),     FIELD (ncq_failed, U8),       FIELD (ncq_tag, U8),
  FIELD (ncq_status, U8),     FIELD (ncq_error, U8),        FIELD (ncq_device, U8),
  FIELD (ncq_count, U16),     FIELD (ncq_lba, U64),         FIELD (power_cycles, U32),
  FIELD (sectors_read, U64),  FIELD (sectors_written, U64), FIELD (errors, U64),
};
#undef FIELD

static gboolean
disk_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  AhciDisk *disk = (AhciDisk *)device;

  if (disk->parent.port->n_in_flight > 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "“%s” has unfinished requests, because the host could not carry them out: make "
                   "room or mend the storage, then resume the machine",
                   disk->parent.drive_config.backend->name);
      return FALSE;
    }
  vmm_state_save_fields (writer, disk_fields, G_N_ELEMENTS (disk_fields), device);
  return TRUE;
}

static gboolean
disk_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  AhciDisk *disk = (AhciDisk *)device;
  guint8 *flags[] = { &disk->guest.write_cache, &disk->guest.look_ahead, &disk->guest.smart,
                      &disk->guest.smart_autosave, &disk->guest.ncq_failed };

  if (!vmm_state_load_fields (reader, disk_fields, G_N_ELEMENTS (disk_fields), disk, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (flags); i++)
    *flags[i] = *flags[i] != 0;
  if (disk->guest.multiple > AHCI_DISK_MULTIPLE ||
      (disk->guest.multiple & (disk->guest.multiple - 1)) != 0)
    disk->guest.multiple = 0;
  disk->guest.ncq_tag &= AHCI_N_SLOTS - 1;
  return TRUE;
}

static void
disk_stats (VmmDevice *device,
            void (*add) (gpointer user_data, const char *name, guint64 value),
            gpointer user_data)
{
  AhciDisk *disk = (AhciDisk *)device;

  ahci_drive_lock (&disk->parent);
  add (user_data, "reads", disk->host.n_reads);
  add (user_data, "writes", disk->host.n_writes);
  add (user_data, "flushes", disk->host.n_flushes);
  add (user_data, "trims", disk->host.n_trims);
  add (user_data, "bytes-read", disk->guest.sectors_read * disk->host.info.logical_block);
  add (user_data, "bytes-written", disk->guest.sectors_written * disk->host.info.logical_block);
  add (user_data, "errors", disk->guest.errors);
  ahci_drive_unlock (&disk->parent);
}

static const VmmProperty disk_properties[] = {
  AHCI_DRIVE_PROPERTIES,
  { "backend", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (AhciDrive, drive_config.backend),
    .required = TRUE },
  { NULL },
};

const VmmDeviceOps ahci_disk_device_ops = {
  .name = "sata-disk",
  .summary = "Disk (SATA)",
  .spec = "ACS-3, SATA 3.1",
  .instance_size = sizeof (AhciDisk),
  .state_version = 1,
  .properties = disk_properties,
  .realize = disk_realize,
  .unrealize = disk_unrealize,
  .reset = disk_device_reset,
  .quiesce = disk_quiesce,
  .resume = disk_quiesce,
  .save = disk_save,
  .load = disk_load,
  .stats = disk_stats,
};
