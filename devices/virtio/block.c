/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-blk (Virtio 1.2, 5.2) over any block back end: one or more queues, by default each on a
 * worker of its own.
 *
 * A request's struct belongs to the queue's pool and holds the chain; the data goes between the
 * back end and guest memory without a copy. Completions take the queue's lock, return the chain
 * and interrupt: at once when nothing else is under way, together with the others otherwise. */
#include "devices/virtio/block.h"

#include <errno.h>
#include <string.h>

#include "devices/backends/block/block.h"
#include "vmm/post.h"

#define SECTOR_SHIFT     9
#define MAX_QUEUES       16
#define QUEUE_SIZE       256
#define SEG_MAX          254 /* queue size less header and status */
#define SERIAL_LENGTH    20
#define RANGE_SEGMENTS   16
#define DISCARD_SECTORS  (1u << 22) /* 2 GiB in a segment */
#define ZEROES_SECTORS   (1u << 17) /* 64 MiB: it may have to be written */
#define CONFIG_WRITEBACK 32
#define CONFIG_SIZE      60

/* Virtio 1.2, 5.2.3 and 5.2.6 */
enum
{
  FEATURE_SEG_MAX = 2,
  FEATURE_RO = 5,
  FEATURE_BLK_SIZE = 6,
  FEATURE_FLUSH = 9,
  FEATURE_TOPOLOGY = 10,
  FEATURE_CONFIG_WCE = 11,
  FEATURE_MQ = 12,
  FEATURE_DISCARD = 13,
  FEATURE_WRITE_ZEROES = 14,

  TYPE_IN = 0,
  TYPE_OUT = 1,
  TYPE_FLUSH = 4,
  TYPE_GET_ID = 8,
  TYPE_DISCARD = 11,
  TYPE_WRITE_ZEROES = 13,

  STATUS_OK = 0,
  STATUS_IOERR = 1,
  STATUS_UNSUPP = 2,
};
#define BIT(n) (G_GUINT64_CONSTANT (1) << (n))

/* struct virtio_blk_req, its header */
typedef struct
{
  guint32 type;
  guint32 reserved;
  guint64 sector;
} WireHeader;
G_STATIC_ASSERT (sizeof (WireHeader) == 16);

/* struct virtio_blk_discard_write_zeroes */
typedef struct
{
  guint64 sector;
  guint32 n_sectors;
  guint32 flags;
} WireRange;
G_STATIC_ASSERT (sizeof (WireRange) == 16);

typedef struct _VirtioBlock VirtioBlock;
typedef struct _Request Request;

typedef struct
{
  VirtioBlock *block;
  guint index;
  guint n_in_flight;      /* queue lock */
  gboolean draining_ring; /* in kick: completions do not notify, kick does */
  gboolean own_inside;
  gboolean *inside; /* a kick under this queue's lock runs, on this very thread */
  gboolean notify;
  VmmPost *notify_post;
  Request *pool;
} Queue;

struct _Request
{
  BlockRequest parent;
  Request *next;
  Queue *queue;
  VirtqueueChain *chain;
  guint32 written; /* bytes of data given to the driver, without the status */
  guint n_ranges, range;
  WireRange ranges[RANGE_SEGMENTS];
};

struct _VirtioBlock
{
  VirtioDevice parent;
  struct
  {
    BlockBackend *backend;
    guint64 n_queues;
    guint64 iothreads;
    char *serial;
  } config;
  struct
  {
    guint8 writeback;
  } guest;
  struct
  {
    BlockInfo info;
    Queue queues[MAX_QUEUES];
    VmmWorker *workers[MAX_QUEUES]; /* with iothreads */
    gboolean inside;                /* for queues that share the device lock */
    gboolean fua;                   /* set at DRIVER_OK and by CONFIG_WCE */
    guint64 n_reads, n_writes, n_flushes, n_errors, bytes_read, bytes_written; /* atomic */
  } host;
};

static void
count (guint64 *counter, guint64 value)
{
  __atomic_fetch_add (counter, value, __ATOMIC_RELAXED);
}

/* ---- configuration ---- */

static void
put_le (guint8 *at, guint64 value, guint size)
{
  for (guint i = 0; i < size; i++)
    at[i] = value >> (8 * i);
}

static void
block_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
  VirtioBlock *block = (VirtioBlock *)device;
  const BlockInfo *info = &block->host.info;
  guint8 config[CONFIG_SIZE] = { 0 };
  guint exponent = 0;

  while ((info->logical_block << (exponent + 1)) <= info->physical_block)
    exponent++;
  put_le (config + 0, info->size >> SECTOR_SHIFT, 8); /* capacity */
  put_le (config + 12, SEG_MAX, 4);
  put_le (config + 20, info->logical_block, 4);
  config[24] = exponent;
  put_le (config + 26, 1, 2); /* min_io_size, in blocks */
  put_le (config + 28, info->optimal_io / info->logical_block, 4);
  config[CONFIG_WRITEBACK] = block->guest.writeback;
  put_le (config + 34, block->config.n_queues, 2);
  put_le (config + 36, DISCARD_SECTORS, 4);
  put_le (config + 40, RANGE_SEGMENTS, 4);
  put_le (config + 44, MAX (info->discard_granularity, info->logical_block) >> SECTOR_SHIFT, 4);
  put_le (config + 48, ZEROES_SECTORS, 4);
  put_le (config + 52, RANGE_SEGMENTS, 4);
  config[56] = info->can_discard; /* write_zeroes_may_unmap */
  memcpy (buffer, config + offset, size);
}

static void
update_cache_mode (VirtioBlock *block)
{
  VirtioDevice *device = &block->parent;

  /* 5.2.5.2: without FLUSH the driver cannot ask, so every write goes through. */
  block->host.fua =
      !virtio_device_has_feature (device, FEATURE_FLUSH) ||
      (virtio_device_has_feature (device, FEATURE_CONFIG_WCE) && !block->guest.writeback);
}

static void
block_config_write (VirtioDevice *device, gsize offset, const void *data, gsize size)
{
  VirtioBlock *block = (VirtioBlock *)device;

  if (offset == CONFIG_WRITEBACK && size == 1 &&
      virtio_device_has_feature (device, FEATURE_CONFIG_WCE))
    {
      block->guest.writeback = *(const guint8 *)data & 1;
      update_cache_mode (block);
    }
}

/* ---- requests ---- */

static Request *
take_request (Queue *queue, VirtqueueChain *chain)
{
  Request *request = queue->pool;

  if (request != NULL)
    queue->pool = request->next;
  else
    request = g_new0 (Request, 1);
  request->queue = queue;
  request->chain = chain;
  request->written = 0;
  request->parent.flags = BLOCK_REQUEST_NONE;
  request->parent.iov = NULL;
  request->parent.n_iov = 0;
  request->parent.offset = request->parent.length = 0;
  queue->n_in_flight++;
  return request;
}

static void
notify_later (gpointer user_data)
{
  Queue *queue = user_data;
  VirtioDevice *device = &queue->block->parent;

  virtio_device_lock_queue (device, queue->index);
  if (queue->notify)
    {
      queue->notify = FALSE;
      virtio_device_notify_queue (device, queue->index);
    }
  virtio_device_unlock_queue (device, queue->index);
}

/* Queue lock held. */
static void
complete (Request *request, guint8 status)
{
  Queue *queue = request->queue;
  VirtioDevice *device = &queue->block->parent;
  Virtqueue *vq = virtio_device_get_queue (device, queue->index);
  guint32 left = virtqueue_chain_writable_left (request->chain);

  /* 5.2.6: the status is the last byte of the writable part. */
  if (left > 0)
    {
      virtqueue_chain_skip_writable (request->chain, left - 1);
      if (virtqueue_chain_write (request->chain, &status, 1) == 1)
        request->written = status == STATUS_OK ? request->written + 1 : 1;
    }
  virtqueue_push (vq, request->chain, request->written);
  request->chain = NULL;
  request->next = queue->pool;
  queue->pool = request;
  queue->n_in_flight--;

  if (queue->draining_ring)
    queue->notify = TRUE;
  else if (queue->n_in_flight == 0)
    {
      queue->notify = FALSE;
      virtio_device_notify_queue (device, queue->index);
    }
  else if (!queue->notify)
    {
      queue->notify = TRUE;
      vmm_post_schedule (queue->notify_post);
    }
}

static void submit_range (Request *request);

/* On the queue's worker. From a back end that is done at once, this comes inside kick, which holds
 * the lock already. */
static void
request_done (BlockRequest *parent, int result)
{
  Request *request = (Request *)parent;
  Queue *queue = request->queue;
  VirtioBlock *block = queue->block;
  gboolean inside = *queue->inside;
  guint8 status = result == 0 ? STATUS_OK : STATUS_IOERR;

  if (result == -EOPNOTSUPP)
    status = STATUS_UNSUPP;
  if (!inside)
    virtio_device_lock_queue (&block->parent, queue->index);
  if (result != 0)
    count (&block->host.n_errors, 1);
  if (result == 0 && ++request->range < request->n_ranges)
    submit_range (request);
  else
    complete (request, status);
  if (!inside)
    virtio_device_unlock_queue (&block->parent, queue->index);
}

static void
submit (Request *request, BlockOp op)
{
  VirtioBlock *block = request->queue->block;

  request->parent.op = op;
  request->parent.done = request_done;
  if (block->host.fua && (op == BLOCK_OP_WRITE || op == BLOCK_OP_WRITE_ZEROES))
    request->parent.flags |= BLOCK_REQUEST_FUA;
  block->config.backend->ops->submit (
      block->config.backend, virtio_device_get_queue_worker (&block->parent, request->queue->index),
      &request->parent);
}

static gboolean
in_disk (VirtioBlock *block, guint64 sector, guint64 length)
{
  guint64 size = block->host.info.size;

  return sector <= size >> SECTOR_SHIFT && length <= size - (sector << SECTOR_SHIFT);
}

static void
submit_range (Request *request)
{
  const WireRange *range = &request->ranges[request->range];

  request->parent.offset = range->sector << SECTOR_SHIFT;
  request->parent.length = (guint64)range->n_sectors << SECTOR_SHIFT;
  request->parent.flags = range->flags ? BLOCK_REQUEST_UNMAP : BLOCK_REQUEST_NONE;
  submit (request, request->parent.op);
}

static guint8
start_ranges (Request *request, BlockOp op)
{
  VirtioBlock *block = request->queue->block;
  guint32 length = virtqueue_chain_readable_left (request->chain);
  guint n = length / sizeof (WireRange);
  guint n_used = 0;

  if (op == BLOCK_OP_DISCARD ? !virtio_device_has_feature (&block->parent, FEATURE_DISCARD)
                             : !virtio_device_has_feature (&block->parent, FEATURE_WRITE_ZEROES))
    return STATUS_UNSUPP;
  if (n == 0 || n > RANGE_SEGMENTS || length % sizeof (WireRange) != 0 ||
      virtqueue_chain_read (request->chain, request->ranges, length) != length)
    return STATUS_IOERR;
  for (guint i = 0; i < n; i++)
    {
      WireRange range = {
        .sector = GUINT64_FROM_LE (request->ranges[i].sector),
        .n_sectors = GUINT32_FROM_LE (request->ranges[i].n_sectors),
        .flags = GUINT32_FROM_LE (request->ranges[i].flags),
      };

      /* 5.2.6.2: unmap is for WRITE_ZEROES, all other flags for nobody. */
      if (range.flags & ~(op == BLOCK_OP_WRITE_ZEROES ? 1u : 0u))
        return STATUS_UNSUPP;
      if (range.n_sectors > (op == BLOCK_OP_DISCARD ? DISCARD_SECTORS : ZEROES_SECTORS) ||
          !in_disk (block, range.sector, (guint64)range.n_sectors << SECTOR_SHIFT))
        return STATUS_IOERR;
      if (range.n_sectors > 0)
        request->ranges[n_used++] = range;
    }
  if (n_used == 0)
    return STATUS_OK;
  request->n_ranges = n_used;
  request->range = 0;
  request->parent.op = op;
  submit_range (request);
  return G_MAXUINT8;
}

static guint8
start_transfer (Request *request, BlockOp op, guint64 sector)
{
  VirtioBlock *block = request->queue->block;
  VirtqueueChain *chain = request->chain;
  gboolean reading = op == BLOCK_OP_READ;
  guint32 length =
      reading ? virtqueue_chain_writable_left (chain) - 1 : virtqueue_chain_readable_left (chain);
  int n;

  if (length % (1u << SECTOR_SHIFT) != 0 || !in_disk (block, sector, length))
    return STATUS_IOERR;
  if (length == 0)
    return STATUS_OK;
  n = virtqueue_chain_pin (chain, reading, length, &request->parent.iov);
  if (n <= 0 || n > 1024) /* IOV_MAX */
    return STATUS_IOERR;
  request->parent.n_iov = n;
  request->parent.offset = sector << SECTOR_SHIFT;
  request->parent.length = length;
  if (reading)
    {
      request->written = length;
      count (&block->host.n_reads, 1);
      count (&block->host.bytes_read, length);
    }
  else
    {
      count (&block->host.n_writes, 1);
      count (&block->host.bytes_written, length);
    }
  submit (request, op);
  return G_MAXUINT8;
}

/* Returns the status, or G_MAXUINT8 when it comes later. */
static guint8
start_request (Request *request)
{
  VirtioBlock *block = request->queue->block;
  WireHeader header;
  char id[SERIAL_LENGTH] = { 0 };

  request->n_ranges = request->range = 0;
  if (virtqueue_chain_writable_left (request->chain) == 0 ||
      virtqueue_chain_read (request->chain, &header, sizeof header) != sizeof header)
    return STATUS_IOERR;

  switch (GUINT32_FROM_LE (header.type))
    {
    case TYPE_IN:
      return start_transfer (request, BLOCK_OP_READ, GUINT64_FROM_LE (header.sector));
    case TYPE_OUT:
      if (block->host.info.readonly)
        return STATUS_IOERR; /* 5.2.6.2 */
      return start_transfer (request, BLOCK_OP_WRITE, GUINT64_FROM_LE (header.sector));
    case TYPE_FLUSH:
      count (&block->host.n_flushes, 1);
      submit (request, BLOCK_OP_FLUSH);
      return G_MAXUINT8;
    case TYPE_GET_ID:
      if (block->config.serial != NULL)
        memcpy (id, block->config.serial, MIN (strlen (block->config.serial), sizeof id));
      request->written = virtqueue_chain_write (
          request->chain, id, MIN (sizeof id, virtqueue_chain_writable_left (request->chain) - 1));
      return STATUS_OK;
    case TYPE_DISCARD:
      return start_ranges (request, BLOCK_OP_DISCARD);
    case TYPE_WRITE_ZEROES:
      return start_ranges (request, BLOCK_OP_WRITE_ZEROES);
    default:
      return STATUS_UNSUPP;
    }
}

static void
start (Request *request, BlockRequestFlags flags)
{
  guint8 result;

  request->parent.flags = flags;
  result = start_request (request);
  if (result != G_MAXUINT8)
    complete (request, result);
}

static void
block_kick (VirtioDevice *device, guint index)
{
  VirtioBlock *block = (VirtioBlock *)device;
  Queue *queue = &block->host.queues[index];
  Virtqueue *vq = virtio_device_get_queue (device, index);
  guint budget = virtqueue_get_size (vq);
  VirtqueueStatus status = VIRTQUEUE_EMPTY;

  queue->draining_ring = *queue->inside = TRUE;
  do
    {
      Request *request = NULL;
      VirtqueueChain *chain;

      virtqueue_disable_kicks (vq);
      /* One behind, to know whether a request is alone. */
      while (budget > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
        {
          if (request != NULL)
            start (request, BLOCK_REQUEST_NONE);
          request = take_request (queue, chain);
          budget--;
        }
      if (request != NULL)
        start (request, queue->n_in_flight == 1 ? BLOCK_REQUEST_ALONE : BLOCK_REQUEST_NONE);
    }
  while (budget > 0 && status == VIRTQUEUE_EMPTY && virtqueue_enable_kicks (vq));
  queue->draining_ring = *queue->inside = FALSE;

  if (queue->notify)
    {
      queue->notify = FALSE;
      virtio_device_notify_queue (device, index);
    }
  if (status == VIRTQUEUE_BROKEN)
    virtio_device_set_broken (device);
  else if (budget == 0)
    virtio_device_schedule_kick (device, index); /* others of this worker first */
}

/* ---- life cycle ---- */

static void
drain_queue (gpointer user_data)
{
  Queue *queue = user_data;
  BlockBackend *backend = queue->block->config.backend;

  queue->draining_ring = TRUE; /* one notification at the end */
  backend->ops->drain (backend,
                       virtio_device_get_queue_worker (&queue->block->parent, queue->index));
  queue->draining_ring = FALSE;
  notify_later (queue);
}

/* As drain_queue, but what waits for the host's space to come back goes on waiting. */
static void
settle_queue (gpointer user_data)
{
  Queue *queue = user_data;

  (void)block_backend_settle (queue->block->config.backend,
                              virtio_device_get_queue_worker (&queue->block->parent, queue->index));
  notify_later (queue);
}

static void
block_settle (VirtioDevice *device)
{
  VirtioBlock *block = (VirtioBlock *)device;

  for (guint i = 0; i < block->config.n_queues; i++)
    vmm_worker_call (virtio_device_get_queue_worker (device, i), settle_queue,
                     &block->host.queues[i]);
}

static void
block_drain (VirtioDevice *device)
{
  VirtioBlock *block = (VirtioBlock *)device;

  for (guint i = 0; i < block->config.n_queues; i++)
    vmm_worker_call (virtio_device_get_queue_worker (device, i), drain_queue,
                     &block->host.queues[i]);
}

static void
block_deactivate (VirtioDevice *device)
{
  block_drain (device);
  ((VirtioBlock *)device)->guest.writeback = 1;
}

static void
block_activate (VirtioDevice *device)
{
  update_cache_mode ((VirtioBlock *)device);
}

static void
block_resume (VirtioDevice *device)
{
}

static const VirtioDeviceOps block_virtio_ops = {
  .type = 2,
  .class_base = 0x01,
  .class_sub = 0x00,
  .n_queues = 1,
  .queue_size = QUEUE_SIZE,
  .features = BIT (FEATURE_SEG_MAX) | BIT (FEATURE_BLK_SIZE) | BIT (FEATURE_FLUSH) |
              BIT (FEATURE_TOPOLOGY) | BIT (FEATURE_CONFIG_WCE) | BIT (FEATURE_MQ),
  .config_size = CONFIG_SIZE,
  .config_read = block_config_read,
  .config_write = block_config_write,
  .activate = block_activate,
  .deactivate = block_deactivate,
  .kick = block_kick,
  .quiesce = block_settle,
  .resume = block_resume,
};

static void
free_workers (VirtioBlock *block)
{
  for (guint i = 0; i < MAX_QUEUES; i++)
    if (block->host.workers[i] != NULL)
      vmm_machine_remove_worker (block->parent.parent.parent.machine,
                                 g_steal_pointer (&block->host.workers[i]));
}

static void
block_unrealize (VmmDevice *device)
{
  VirtioBlock *block = (VirtioBlock *)device;

  virtio_device_finish (&block->parent);
  for (guint i = 0; i < MAX_QUEUES; i++)
    {
      Queue *queue = &block->host.queues[i];

      g_clear_pointer (&queue->notify_post, vmm_post_free);
      while (queue->pool != NULL)
        {
          Request *request = queue->pool;

          queue->pool = request->next;
          g_free (request);
        }
    }
  free_workers (block);
}

static gboolean
block_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VirtioBlock *block = (VirtioBlock *)device;
  VmmWorker **workers = block->host.workers;
  VirtioInitOptions options = { .n_queues = block->config.n_queues };

  block->config.backend->ops->get_info (block->config.backend, &block->host.info);
  block->guest.writeback = 1;
  for (guint i = 0; i < block->config.n_queues; i++)
    {
      block->host.queues[i].block = block;
      block->host.queues[i].index = i;
      block->host.queues[i].inside =
          block->config.iothreads ? &block->host.queues[i].own_inside : &block->host.inside;
    }
  if (block->config.iothreads)
    {
      options.queue_workers = workers;
      for (guint i = 0; i < block->config.n_queues; i++)
        {
          g_autofree char *name = g_strdup_printf ("blk%u.%s", i, device->id);

          workers[i] = vmm_machine_add_worker (machine, name, VMM_WORKER_NONE, error);
          if (workers[i] == NULL)
            {
              free_workers (block);
              return FALSE;
            }
        }
    }
  if (block->host.info.readonly)
    options.features_add |= BIT (FEATURE_RO);
  else
    {
      if (block->host.info.can_discard)
        options.features_add |= BIT (FEATURE_DISCARD);
      if (block->host.info.can_write_zeroes)
        options.features_add |= BIT (FEATURE_WRITE_ZEROES);
    }
  if (virtio_device_init (&block->parent, machine, &block_virtio_ops, &options,
                          block->config.iothreads ? workers[0] : NULL, error))
    {
      for (guint i = 0; i < block->config.n_queues; i++)
        block->host.queues[i].notify_post =
            vmm_post_new (virtio_device_get_queue_worker (&block->parent, i), notify_later,
                          &block->host.queues[i]);
      return TRUE;
    }
  free_workers (block);
  return FALSE;
}

static void
block_reset (VmmDevice *device, VmmResetKind kind)
{
  VirtioBlock *block = (VirtioBlock *)device;

  virtio_device_reset (&block->parent);
  block->guest.writeback = 1;
}

static void
block_quiesce (VmmDevice *device)
{
  virtio_device_quiesce ((VirtioDevice *)device);
}

static void
block_device_resume (VmmDevice *device)
{
  virtio_device_resume ((VirtioDevice *)device);
}

static gboolean
block_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  VirtioBlock *block = (VirtioBlock *)device;

  for (guint i = 0; i < block->config.n_queues; i++)
    if (block->host.queues[i].n_in_flight > 0)
      {
        g_set_error (
            error, VMM_ERROR, VMM_ERROR_BUSY,
            "“%s” has unfinished requests, because the host could not carry them out: make "
            "room or mend the storage, then resume the machine",
            block->config.backend->name);
        return FALSE;
      }
  virtio_device_save (&block->parent, writer);
  vmm_state_put_uint (writer, "writeback", block->guest.writeback);
  return TRUE;
}

static gboolean
block_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  VirtioBlock *block = (VirtioBlock *)device;
  guint64 writeback;

  if (!virtio_device_load (&block->parent, reader, error) ||
      !vmm_state_get_uint (reader, "writeback", 1, &writeback, error))
    return FALSE;
  block->guest.writeback = writeback;
  return TRUE;
}

static void
block_stats (VmmDevice *device,
             void (*add) (gpointer user_data, const char *name, guint64 value),
             gpointer user_data)
{
  VirtioBlock *block = (VirtioBlock *)device;

  add (user_data, "reads", __atomic_load_n (&block->host.n_reads, __ATOMIC_RELAXED));
  add (user_data, "writes", __atomic_load_n (&block->host.n_writes, __ATOMIC_RELAXED));
  add (user_data, "flushes", __atomic_load_n (&block->host.n_flushes, __ATOMIC_RELAXED));
  add (user_data, "bytes-read", __atomic_load_n (&block->host.bytes_read, __ATOMIC_RELAXED));
  add (user_data, "bytes-written", __atomic_load_n (&block->host.bytes_written, __ATOMIC_RELAXED));
  add (user_data, "errors", __atomic_load_n (&block->host.n_errors, __ATOMIC_RELAXED));
  virtio_device_stats (&block->parent, add, user_data);
}

static const VmmProperty block_properties[] = {
  VIRTIO_DEVICE_PROPERTIES,
  { "backend", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VirtioBlock, config.backend),
    .required = TRUE },
  { "num-queues", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioBlock, config.n_queues), 1, MAX_QUEUES,
    1 },
  { "iothreads", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioBlock, config.iothreads), 0, 1, 1 },
  { "serial", VMM_PROPERTY_STRING, G_STRUCT_OFFSET (VirtioBlock, config.serial), 0, SERIAL_LENGTH },
  { NULL },
};

const VmmDeviceOps virtio_block_device_ops = {
  .name = "virtio-blk",
  .summary = "Disk (virtio)",
  .spec = "Virtio 1.2, 5.2",
  .instance_size = sizeof (VirtioBlock),
  .state_version = 1,
  .properties = block_properties,
  .realize = block_realize,
  .unrealize = block_unrealize,
  .reset = block_reset,
  .quiesce = block_quiesce,
  .resume = block_device_resume,
  .save = block_save,
  .load = block_load,
  .stats = block_stats,
};
