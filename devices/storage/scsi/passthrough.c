/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/storage/scsi/passthrough.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/major.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "devices/storage/scsi/scsi-private.h"
#include "vmm/post.h"

#define THREADS       4
#define TIMEOUT_MS    60000
#define PAGE_SIZE_MAX 512
#define SG_VERSION    30000 /* the first with SG_IO as it is */

typedef enum
{
  NO = 0,
  NONE, /* no data */
  IN,
  OUT,
} Direction;

/* What reaches the device. SPC-4, SBC-3; the second table is for drives (MMC-5). */
static const guint8 disk_commands[256] = {
  [OP_TEST_UNIT_READY] = NONE,
  [OP_REQUEST_SENSE] = IN,
  [OP_READ_6] = IN,
  [OP_WRITE_6] = OUT,
  [OP_INQUIRY] = IN,
  [OP_MODE_SENSE_6] = IN,
  [OP_START_STOP_UNIT] = NONE,
  [OP_PREVENT_ALLOW] = NONE,
  [OP_READ_CAPACITY_10] = IN,
  [OP_READ_10] = IN,
  [OP_WRITE_10] = OUT,
  [OP_SEEK_10] = NONE,
  [0x2e] = OUT, /* WRITE AND VERIFY (10) */
  [OP_VERIFY_10] = OUT,
  [OP_SYNCHRONIZE_CACHE_10] = NONE,
  [OP_WRITE_SAME_10] = OUT,
  [OP_UNMAP] = OUT,
  [0x4d] = IN, /* LOG SENSE */
  [OP_MODE_SENSE_10] = IN,
  [OP_READ_16] = IN,
  [OP_WRITE_16] = OUT,
  [0x8e] = OUT, /* WRITE AND VERIFY (16) */
  [OP_VERIFY_16] = OUT,
  [OP_SYNCHRONIZE_CACHE_16] = NONE,
  [OP_WRITE_SAME_16] = OUT,
  [OP_SERVICE_ACTION_IN_16] = IN,
  [OP_READ_12] = IN,
  [OP_WRITE_12] = OUT,
  [0xae] = OUT, /* WRITE AND VERIFY (12) */
  [OP_VERIFY_12] = OUT,
};
static const guint8 drive_commands[256] = {
  [OP_TEST_UNIT_READY] = NONE,
  [OP_REQUEST_SENSE] = IN,
  [OP_INQUIRY] = IN,
  [OP_MODE_SENSE_6] = IN,
  [OP_START_STOP_UNIT] = NONE,
  [OP_PREVENT_ALLOW] = NONE,
  [0x23] = IN, /* READ FORMAT CAPACITIES */
  [OP_READ_CAPACITY_10] = IN,
  [OP_READ_10] = IN,
  [OP_SEEK_10] = NONE,
  [OP_SYNCHRONIZE_CACHE_10] = NONE,
  [0x42] = IN, /* READ SUB-CHANNEL */
  [OP_READ_TOC] = IN,
  [OP_GET_CONFIGURATION] = IN,
  [OP_GET_EVENT_STATUS] = IN,
  [OP_READ_DISC_INFORMATION] = IN,
  [OP_READ_TRACK_INFORMATION] = IN,
  [OP_MODE_SENSE_10] = IN,
  [OP_READ_12] = IN,
  [0xac] = IN, /* GET PERFORMANCE */
  [OP_READ_DVD_STRUCTURE] = IN,
  [0xb9] = IN, /* READ CD MSF */
  [OP_SET_CD_SPEED] = NONE,
  [OP_MECHANISM_STATUS] = IN,
  [OP_READ_CD] = IN,
};

typedef struct _Job Job;

typedef struct
{
  ScsiPassthroughIo io;
  VmmPost *deliver; /* to the worker */
  GMutex lock;
  GCond returned;
  Job *done;           /* back from the device; lock */
  ScsiUnit *unit;      /* worker only; NULL: gone */
  guint8 type;         /* peripheral device type */
  gboolean has_limits; /* has a VPD page B0h of its own */
  guint32 block;       /* bytes */
  GThreadPool *pool;
} Passthrough;

struct _Job
{
  Job *next;
  Passthrough *device;
  ScsiCommand *command;
  sg_io_hdr_t header;
  int result;
  guint8 cdb[SCSI_CDB_MAX];
  guint8 page[PAGE_SIZE_MAX]; /* of a command whose answer is changed */
  gboolean bounced;
};

static void
device_free (Passthrough *device)
{
  vmm_post_free (device->deliver);
  if (device->io.close != NULL)
    device->io.close (device->io.user_data);
  g_mutex_clear (&device->lock);
  g_cond_clear (&device->returned);
  g_free (device);
}

/* ---- answers that are changed ---- */

/* The list of pages gets B0h; a B0h page gets the host's longest transfer. page: what the device
 * gave, length bytes of it. Returns the new length. */
static gsize
mend_page (Passthrough *device, guint8 code, guint8 *page, gsize length)
{
  guint32 limit = MAX (device->io.max_transfer / device->block, 1u), own;
  gsize n;

  if (length < 4)
    return length;
  if (code == 0x00 && !device->has_limits)
    {
      n = MIN ((gsize)get_be16 (page + 2), length - 4);
      if (4 + n + 1 > PAGE_SIZE_MAX)
        return length;
      for (gsize i = 0; i <= n; i++) /* they are in order */
        if (i == n || page[4 + i] > 0xb0)
          {
            memmove (page + 4 + i + 1, page + 4 + i, n - i);
            page[4 + i] = 0xb0;
            break;
          }
      put_be16 (page + 2, n + 1);
      return 4 + n + 1;
    }
  if (code == 0xb0 && length >= 12)
    {
      own = get_be32 (page + 8);
      put_be32 (page + 8, own == 0 ? limit : MIN (own, limit));
      if (length >= 16)
        put_be32 (page + 12, MIN (get_be32 (page + 12), limit));
    }
  return length;
}

static gboolean
is_changed (const Passthrough *device, const guint8 *cdb)
{
  return cdb[0] == OP_INQUIRY && (cdb[1] & 1) && device->type == 0 &&
         (cdb[2] == 0x00 || cdb[2] == 0xb0);
}

/* ---- results, on the worker ---- */

static void
finish_job (Job *job)
{
  ScsiCommand *command = job->command;
  Passthrough *device = job->device;
  const sg_io_hdr_t *header = &job->header;
  gsize moved = 0, length;

  if (header->resid >= 0 && (guint)header->resid <= header->dxfer_len)
    moved = header->dxfer_len - (guint)header->resid;
  if (job->result == -EPERM)
    scsi_command_set_sense (command, SENSE_INVALID_OPCODE); /* the kernel has a list too */
  else if (job->result != 0 || header->host_status != 0)
    command->failed = TRUE;
  else
    {
      command->status = header->status;
      command->sense_length = MIN (header->sb_len_wr, SCSI_SENSE_MAX);
      if (command->sense_length > 0)
        command->status = SCSI_STATUS_CHECK_CONDITION;
      if (job->bounced)
        {
          length = mend_page (device, job->cdb[2], job->page, moved);
          length = MIN (length, (gsize)get_be16 (command->cdb + 3));
          command->n_in = MIN (length, command->in_length);
          scsi_command_give (command, 0, job->page, command->n_in);
        }
      else if (header->dxfer_direction == SG_DXFER_FROM_DEV)
        command->n_in = moved;
      else if (header->dxfer_direction == SG_DXFER_TO_DEV)
        command->n_out = moved;
    }
  if (command->cancelled)
    command->status = SCSI_STATUS_TASK_ABORTED;
  if (command->failed)
    scsi_unit_count (&command->unit->host.counters.n_errors, 1);
  scsi_command_return (command->unit, command);
  g_free (job);
}

/* Lock held on entry, not on return. */
static void
finish_jobs (Passthrough *device)
{
  Job *job = g_steal_pointer (&device->done);

  g_mutex_unlock (&device->lock);
  while (job != NULL)
    {
      Job *next = job->next;

      finish_job (job);
      job = next;
    }
}

static void
deliver (gpointer user_data)
{
  Passthrough *device = user_data;

  g_mutex_lock (&device->lock);
  finish_jobs (device);
}

/* ---- the device, on a thread ---- */

static void
run_job (gpointer data, gpointer user_data)
{
  Job *job = data;
  Passthrough *device = user_data;

  job->result = device->io.sg_io (device->io.user_data, &job->header);
  g_mutex_lock (&device->lock);
  job->next = device->done;
  device->done = job;
  vmm_post_schedule (device->deliver);
  g_cond_signal (&device->returned);
  g_mutex_unlock (&device->lock);
}

/* ---- commands, on the worker ---- */

static void
fill_header (Job *job, Direction direction)
{
  ScsiCommand *command = job->command;
  sg_io_hdr_t *header = &job->header;
  gboolean in = direction == IN;
  guint64 length = in ? command->in_length : direction == OUT ? command->out_length : 0;

  header->interface_id = 'S';
  header->cmdp = job->cdb;
  header->cmd_len = MIN (scsi_cdb_length (job->cdb[0]), (gsize)16);
  header->sbp = command->sense;
  header->mx_sb_len = SCSI_SENSE_MAX;
  header->timeout = TIMEOUT_MS;
  header->dxfer_direction = SG_DXFER_NONE;
  if (length == 0)
    return;
  header->dxfer_direction = in ? SG_DXFER_FROM_DEV : SG_DXFER_TO_DEV;
  header->dxfer_len = length;
  if (job->bounced)
    {
      /* The whole page, whatever the guest takes of it. */
      put_be16 (job->cdb + 3, 255);
      header->dxferp = job->page;
      header->dxfer_len = 255;
      return;
    }
  header->dxferp = (gpointer)(in ? command->in : command->out);
  header->iovec_count = in ? command->in_count : command->out_count;
}

/* A device without the page of limits: this one has only the host's. */
static void
reply_limits (ScsiUnit *unit, ScsiCommand *command, Passthrough *device)
{
  guint8 page[64] = { [1] = 0xb0, [3] = 60 };

  mend_page (device, 0xb0, page, sizeof page);
  scsi_command_reply (unit, command, page, sizeof page, get_be16 (command->cdb + 3));
}

static void
count_transfer (ScsiUnit *unit, const ScsiCommand *command, Direction direction)
{
  if (direction == IN)
    {
      scsi_unit_count (&unit->host.counters.n_reads, 1);
      scsi_unit_count (&unit->host.counters.bytes_read, command->in_length);
    }
  else if (direction == OUT)
    {
      scsi_unit_count (&unit->host.counters.n_writes, 1);
      scsi_unit_count (&unit->host.counters.bytes_written, command->out_length);
    }
}

static void
passthrough_execute (ScsiUnit *unit, ScsiCommand *command)
{
  Passthrough *device = unit->host.passthrough;
  const guint8 *table = device->type == 5 ? drive_commands : disk_commands;
  const guint8 *cdb = command->cdb;
  Direction direction = table[cdb[0]];
  Job *job;

  /* Of the service actions only READ CAPACITY (16) and GET LBA STATUS. */
  if (cdb[0] == OP_SERVICE_ACTION_IN_16 && (cdb[1] & 0x1f) != 0x10 && (cdb[1] & 0x1f) != 0x12)
    direction = NO;
  if (direction == NO)
    {
      scsi_command_finish (unit, command, SENSE_INVALID_OPCODE);
      return;
    }
  /* Data that goes the wrong way, and transfers that the host's controller cannot do at once. */
  if ((direction != IN && command->in_length > 0) ||
      (direction != OUT && command->out_length > 0) ||
      MAX (command->in_length, command->out_length) > device->io.max_transfer)
    {
      scsi_command_finish (unit, command, SENSE_INVALID_FIELD_IN_CDB);
      return;
    }
  if (is_changed (device, cdb) && cdb[2] == 0xb0 && !device->has_limits)
    {
      reply_limits (unit, command, device);
      return;
    }
  count_transfer (unit, command, direction);
  job = g_new0 (Job, 1);
  job->device = device;
  job->command = command;
  job->bounced = is_changed (device, cdb) && command->in_length > 0;
  memcpy (job->cdb, cdb, sizeof job->cdb);
  fill_header (job, direction);
  g_thread_pool_push (device->pool, job, NULL);
}

static void
passthrough_drain (ScsiUnit *unit)
{
  Passthrough *device = unit->host.passthrough;

  while (unit->host.n_in_flight > 0)
    {
      g_mutex_lock (&device->lock);
      while (device->done == NULL)
        g_cond_wait (&device->returned, &device->lock);
      finish_jobs (device);
    }
}

static void
passthrough_free (ScsiUnit *unit)
{
  Passthrough *device = unit->host.passthrough;

  if (device == NULL)
    return;
  g_thread_pool_free (device->pool, FALSE, TRUE);
  device_free (device);
}

static const ScsiUnitOps passthrough_ops = {
  .execute = passthrough_execute,
  .drain = passthrough_drain,
  .free = passthrough_free,
};

/* ---- making one ---- */

/* Before the guest runs. FALSE: the device does not do it. */
static gboolean
ask (Passthrough *device, const guint8 *cdb, guint cdb_length, guint8 *buffer, guint length)
{
  guint8 copy[16], sense[SCSI_SENSE_MAX];
  sg_io_hdr_t header = {
    .interface_id = 'S',
    .dxfer_direction = SG_DXFER_FROM_DEV,
    .cmd_len = cdb_length,
    .mx_sb_len = sizeof sense,
    .dxfer_len = length,
    .dxferp = buffer,
    .cmdp = copy,
    .sbp = sense,
    .timeout = TIMEOUT_MS,
  };

  memcpy (copy, cdb, cdb_length);
  memset (buffer, 0, length);
  return device->io.sg_io (device->io.user_data, &header) == 0 && header.status == 0 &&
         header.host_status == 0 && header.sb_len_wr == 0;
}

static gboolean
identify (Passthrough *device, const char *name, GError **error)
{
  static const guint8 inquiry[6] = { OP_INQUIRY, 0, 0, 0, 36 };
  static const guint8 pages[6] = { OP_INQUIRY, 1, 0, 0, 255 };
  static const guint8 capacity[10] = { OP_READ_CAPACITY_10 };
  guint8 reply[255];
  gsize n;

  if (!ask (device, inquiry, sizeof inquiry, reply, 36))
    {
      g_set_error (
          error, VMM_ERROR, VMM_ERROR_UNAVAILABLE,
          "“%s” does not answer SCSI commands: it can be used as an ordinary disk, without "
          "passthrough",
          name);
      return FALSE;
    }
  device->type = reply[0] & 0x1f;
  if ((reply[0] >> 5) != 0 || (device->type != 0 && device->type != 5))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s” is neither a disk nor a CD-ROM drive, and others cannot be handed to a "
                   "guest",
                   name);
      return FALSE;
    }
  if (ask (device, pages, sizeof pages, reply, sizeof reply))
    {
      n = MIN ((gsize)get_be16 (reply + 2), sizeof reply - 4);
      device->has_limits = memchr (reply + 4, 0xb0, n) != NULL;
    }
  /* The first command may only say that the device was reset. */
  device->block = 4096;
  for (guint i = 0; i < 3; i++)
    if (ask (device, capacity, sizeof capacity, reply, 8) && get_be32 (reply + 4) >= 512)
      {
        device->block = get_be32 (reply + 4);
        break;
      }
  return TRUE;
}

ScsiUnit *
scsi_passthrough_new_with_io (VmmWorker *worker,
                              const char *name,
                              const ScsiPassthroughIo *io,
                              GError **error)
{
  Passthrough *device = g_new0 (Passthrough, 1);
  ScsiUnit *unit;

  device->io = *io;
  device->deliver = vmm_post_new (worker, deliver, device);
  g_mutex_init (&device->lock);
  g_cond_init (&device->returned);
  if (!identify (device, name, error))
    {
      device_free (device);
      return NULL;
    }
  device->pool = g_thread_pool_new (run_job, device, THREADS, FALSE, NULL);
  unit = scsi_unit_new_bare (worker, &passthrough_ops, SCSI_KIND_PASSTHROUGH);
  unit->host.passthrough = device;
  return unit;
}

static int
host_sg_io (gpointer user_data, sg_io_hdr_t *header)
{
  int fd = GPOINTER_TO_INT (user_data), result;

  do
    result = ioctl (fd, SG_IO, header);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}

static void
host_close (gpointer user_data)
{
  close (GPOINTER_TO_INT (user_data));
}

static gboolean
check_device (int fd, const char *path, gboolean *ret_block, GError **error)
{
  g_autofree char *partition = NULL;
  struct stat st;
  int version;

  if (fstat (fd, &st) < 0)
    st.st_mode = 0;
  *ret_block = S_ISBLK (st.st_mode);
  if (!*ret_block && !(S_ISCHR (st.st_mode) && major (st.st_rdev) == SCSI_GENERIC_MAJOR))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is no SCSI device: passthrough needs a whole disk such as /dev/sdb, or "
                   "/dev/sgN",
                   path);
      return FALSE;
    }
  partition =
      g_strdup_printf ("/sys/dev/block/%u:%u/partition", major (st.st_rdev), minor (st.st_rdev));
  if (*ret_block && access (partition, F_OK) == 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is a partition: only a whole device can be passed through, since SCSI "
                   "commands reach all of it",
                   path);
      return FALSE;
    }
  if (ioctl (fd, SG_GET_VERSION_NUM, &version) < 0 || version < SG_VERSION)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_SUPPORTED,
                   "“%s” takes no SCSI commands: use it without passthrough", path);
      return FALSE;
    }
  return TRUE;
}

/* The longest transfer of the host's controller, in bytes. */
static guint32
get_max_transfer (int fd, gboolean block)
{
  unsigned short sectors = 0;
  int value = 0;

  /* Of a block device 512-byte sectors; of a sg device as well, as an int, since Linux 4.13. */
  if (block ? ioctl (fd, BLKSECTGET, &sectors) == 0 : ioctl (fd, BLKSECTGET, &value) == 0)
    value = block ? sectors : value;
  if (value <= 0)
    value = 128; /* what every controller can do */
  return MIN ((guint32)value, 32768u) * 512;
}

ScsiUnit *
scsi_passthrough_new (VmmWorker *worker, const char *path, GError **error)
{
  int fd = open (path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_EXCL);
  ScsiPassthroughIo io = { host_sg_io, host_close, GINT_TO_POINTER (fd), 0 };
  gboolean block;

  if (fd < 0)
    {
      int saved = errno;

      g_set_error (error, VMM_ERROR,
                   saved == EACCES || saved == EPERM ? VMM_ERROR_PERMISSION : VMM_ERROR_UNAVAILABLE,
                   "“%s” cannot be passed through: %s%s", path, g_strerror (saved),
                   saved == EBUSY    ? "; the host uses it (is it mounted?)"
                   : saved == EACCES ? "; your user needs the right to read and write it"
                                     : "");
      return NULL;
    }
  if (!check_device (fd, path, &block, error))
    {
      close (fd);
      return NULL;
    }
  io.max_transfer = get_max_transfer (fd, block);
  return scsi_passthrough_new_with_io (worker, path, &io, error);
}
