/* SPDX-License-Identifier: GPL-3.0-or-later */
/* virtio-rng (Virtio 1.2, 5.4). A request gets at most REQUEST_MAX bytes, which the driver asks
 * for again; in a period at most max-bytes are given, and requests wait for the next one. */
#include "devices/virtio/rng.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define REQUEST_MAX 4096u
#define QUEUE_SIZE  64

typedef struct
{
  VirtioDevice parent;
  struct
  {
    guint64 max_bytes; /* 0: no limit */
    guint64 period;    /* ms */
  } config;
  struct
  {
    guint64 left;       /* bytes of this period */
    guint64 period_end; /* ns of guest time */
  } guest;
  struct
  {
    VmmTimer *timer;
    guint64 n_bytes, n_waits; /* atomic */
  } host;
} VirtioRng;

static gsize
fill (guint8 *buffer, gsize length)
{
  gsize done = 0;

  while (done < length)
    {
      ssize_t n = getrandom (buffer + done, length - done, 0);

      if (n > 0)
        done += n;
      else if (errno != EINTR)
        break;
    }
  return done;
}

/* How much may be given now; 0: the timer comes when there is more. */
static gsize
allowance (VirtioRng *rng)
{
  gint64 now;

  if (rng->config.max_bytes == 0)
    return REQUEST_MAX;
  now = vmm_clock_get_ns (vmm_machine_get_clock (rng->parent.parent.parent.machine));
  if (now >= (gint64)rng->guest.period_end)
    {
      rng->guest.left = rng->config.max_bytes;
      rng->guest.period_end = now + rng->config.period * 1000000;
    }
  if (rng->guest.left == 0)
    vmm_timer_set (rng->host.timer, rng->guest.period_end);
  return MIN (REQUEST_MAX, rng->guest.left);
}

static void
rng_kick (VirtioDevice *device, guint index)
{
  VirtioRng *rng = (VirtioRng *)device;
  Virtqueue *vq = virtio_device_get_queue (device, index);
  guint budget = virtqueue_get_size (vq);
  VirtqueueChain *chain;
  VirtqueueStatus status = VIRTQUEUE_EMPTY;
  guint8 buffer[REQUEST_MAX];

  while (budget-- > 0 && (status = virtqueue_pop (vq, &chain)) == VIRTQUEUE_READY)
    {
      gsize length = allowance (rng);

      if (length == 0)
        {
          virtqueue_unpop (vq, chain);
          __atomic_fetch_add (&rng->host.n_waits, 1, __ATOMIC_RELAXED);
          return;
        }
      length = fill (buffer, MIN (length, virtqueue_chain_writable_left (chain)));
      length = virtqueue_chain_write (chain, buffer, length);
      if (rng->config.max_bytes != 0)
        rng->guest.left -= length;
      __atomic_fetch_add (&rng->host.n_bytes, length, __ATOMIC_RELAXED);
      virtqueue_push (vq, chain, length);
    }
  memset (buffer, 0, sizeof buffer);
  if (status == VIRTQUEUE_BROKEN)
    {
      virtio_device_set_broken (device);
      return;
    }
  virtio_device_notify_queue (device, index);
  if (status == VIRTQUEUE_READY || virtqueue_enable_kicks (vq))
    virtio_device_schedule_kick (device, index);
}

static void
rng_timeout (gpointer user_data)
{
  virtio_device_schedule_kick (user_data, 0);
}

static void
rng_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
}

static void
rng_activate (VirtioDevice *device)
{
}

static void
rng_deactivate (VirtioDevice *device)
{
  vmm_timer_set (((VirtioRng *)device)->host.timer, VMM_CLOCK_NEVER);
}

static const VirtioDeviceOps rng_virtio_ops = {
  .type = 4,
  .class_base = 0x10, /* encryption controller */
  .class_sub = 0x80,
  .n_queues = 1,
  .queue_size = QUEUE_SIZE,
  .config_read = rng_config_read,
  .activate = rng_activate,
  .deactivate = rng_deactivate,
  .kick = rng_kick,
};

static gboolean
rng_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VirtioRng *rng = (VirtioRng *)device;

  if (!virtio_device_init (&rng->parent, machine, &rng_virtio_ops, NULL, NULL, error))
    return FALSE;
  rng->host.timer =
      vmm_timer_new (vmm_machine_get_clock (machine), rng->parent.worker, rng_timeout, rng);
  return TRUE;
}

static void
rng_unrealize (VmmDevice *device)
{
  VirtioRng *rng = (VirtioRng *)device;

  virtio_device_finish (&rng->parent);
  g_clear_pointer (&rng->host.timer, vmm_timer_free);
}

static void
rng_reset (VmmDevice *device, VmmResetKind kind)
{
  VirtioRng *rng = (VirtioRng *)device;

  virtio_device_reset (&rng->parent);
  rng->guest.left = rng->guest.period_end = 0;
}

static void
rng_quiesce (VmmDevice *device)
{
  virtio_device_quiesce ((VirtioDevice *)device);
}

static void
rng_resume (VmmDevice *device)
{
  /* Its kick sets the timer again where a request waits. */
  virtio_device_resume ((VirtioDevice *)device);
}

static gboolean
rng_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  VirtioRng *rng = (VirtioRng *)device;

  virtio_device_save (&rng->parent, writer);
  vmm_state_put_uint (writer, "left", rng->guest.left);
  vmm_state_put_uint (writer, "period_end", rng->guest.period_end);
  return TRUE;
}

static gboolean
rng_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  VirtioRng *rng = (VirtioRng *)device;

  return virtio_device_load (&rng->parent, reader, error) &&
         vmm_state_get_uint (reader, "left", rng->config.max_bytes, &rng->guest.left, error) &&
         vmm_state_get_uint (reader, "period_end", G_MAXINT64, &rng->guest.period_end, error);
}

static void
rng_stats (VmmDevice *device,
           void (*add) (gpointer user_data, const char *name, guint64 value),
           gpointer user_data)
{
  VirtioRng *rng = (VirtioRng *)device;

  add (user_data, "bytes", __atomic_load_n (&rng->host.n_bytes, __ATOMIC_RELAXED));
  add (user_data, "waits", __atomic_load_n (&rng->host.n_waits, __ATOMIC_RELAXED));
  virtio_device_stats (&rng->parent, add, user_data);
}

static const VmmProperty rng_properties[] = {
  VIRTIO_DEVICE_PROPERTIES,
  { "max-bytes", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioRng, config.max_bytes), 0, G_MAXINT32,
    4 * 1024 * 1024 },
  { "period", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioRng, config.period), 1, 60000, 1000 },
  { NULL },
};

const VmmDeviceOps virtio_rng_device_ops = {
  .name = "virtio-rng",
  .summary = "Random numbers (virtio)",
  .spec = "Virtio 1.2, 5.4",
  .instance_size = sizeof (VirtioRng),
  .state_version = 1,
  .properties = rng_properties,
  .realize = rng_realize,
  .unrealize = rng_unrealize,
  .reset = rng_reset,
  .quiesce = rng_quiesce,
  .resume = rng_resume,
  .save = rng_save,
  .load = rng_load,
  .stats = rng_stats,
};
