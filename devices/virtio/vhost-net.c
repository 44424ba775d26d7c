/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/vhost-net.h"

#include <errno.h>
#include <linux/vhost.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define N_QUEUES    2
#define MAX_REGIONS 64 /* the kernel's default limit (vhost.max_mem_regions) */

/* Features that are between the driver and whoever serves the rings; the others concern the tap. */
#define RING_FEATURES                                                                              \
  (G_GUINT64_CONSTANT (1) << 15 /* MRG_RXBUF */ | G_GUINT64_CONSTANT (1) << 28 |                   \
   G_GUINT64_CONSTANT (1) << 29 | G_GUINT64_CONSTANT (1) << 32)

typedef struct
{
  VmmMapping *mapping;
  guint64 gpa, length, address;
} Region;

typedef struct
{
  VhostNet *vhost;
  guint index;
  int call_fd; /* our own, when the vector has none */
  VmmSource *call_source;
} Ring;

struct _VhostNet
{
  VirtioDevice *device;
  VmmGuestMemory *memory;
  int fd, tap_fd;
  guint64 features; /* the kernel's */
  gboolean listening;
  Ring rings[N_QUEUES];

  GMutex lock; /* regions; taken under the memory map's lock, takes none */
  GArray *regions;
  gboolean running;
};

/* ---- memory ---- */

static int
set_mem_table_locked (VhostNet *vhost)
{
  g_autofree struct vhost_memory *table = NULL;
  guint n = vhost->regions->len;

  if (n > MAX_REGIONS)
    return -E2BIG;
  table = g_malloc0 (sizeof *table + n * sizeof table->regions[0]);
  table->nregions = n;
  for (guint i = 0; i < n; i++)
    {
      const Region *region = &g_array_index (vhost->regions, Region, i);

      table->regions[i].guest_phys_addr = region->gpa;
      table->regions[i].memory_size = region->length;
      table->regions[i].userspace_addr = region->address;
    }
  return ioctl (vhost->fd, VHOST_SET_MEM_TABLE, table) < 0 ? -errno : 0;
}

static gboolean
on_map (gpointer user_data, VmmMapping *mapping, GError **error)
{
  VhostNet *vhost = user_data;
  VmmRamBlock *block = vmm_mapping_get_block (mapping);
  Region region = {
    .mapping = mapping,
    .gpa = vmm_mapping_get_gpa (mapping).value,
    .length = vmm_mapping_get_length (mapping),
    .address = (guint64)(gsize)vmm_ram_block_get_data (block) + vmm_mapping_get_offset (mapping),
  };

  /* The kernel would write where the guest may not, or where only the guest may. */
  if ((vmm_mapping_get_flags (mapping) & VMM_MAP_READONLY) != 0 ||
      (vmm_ram_block_get_flags (block) & VMM_RAM_IO) != 0)
    return TRUE;
  g_mutex_lock (&vhost->lock);
  g_array_append_val (vhost->regions, region);
  if (vhost->running)
    (void)set_mem_table_locked (vhost);
  g_mutex_unlock (&vhost->lock);
  return TRUE;
}

static void
on_unmap (gpointer user_data, VmmMapping *mapping)
{
  VhostNet *vhost = user_data;

  g_mutex_lock (&vhost->lock);
  for (guint i = 0; i < vhost->regions->len; i++)
    if (g_array_index (vhost->regions, Region, i).mapping == mapping)
      {
        g_array_remove_index_fast (vhost->regions, i);
        if (vhost->running)
          (void)set_mem_table_locked (vhost);
        break;
      }
  g_mutex_unlock (&vhost->lock);
}

static void
on_set_log_dirty (gpointer user_data, VmmMapping *mapping, gboolean on)
{
}

/* The kernel's writes into guest RAM are not in any log of ours: while it may write, a copy by the
 * dirty log would miss them. (Other ways to save a running machine do not need a log.) */
static int
on_sync_dirty (gpointer user_data, VmmMapping *mapping)
{
  VhostNet *vhost = user_data;
  gboolean running;

  if ((vmm_ram_block_get_flags (vmm_mapping_get_block (mapping)) & VMM_RAM_DEVICE) != 0)
    return 0; /* packets in video memory are nobody's picture */
  g_mutex_lock (&vhost->lock);
  running = vhost->running;
  g_mutex_unlock (&vhost->lock);
  return running ? -EOPNOTSUPP : 0;
}

static const VmmMemoryListener listener = {
  .map = on_map,
  .unmap = on_unmap,
  .set_log_dirty = on_set_log_dirty,
  .sync_dirty = on_sync_dirty,
};

/* The address in this process of a ring area, 0 when it is not in one region. Locked. */
static guint64
translate_locked (VhostNet *vhost, guint64 gpa, guint64 length)
{
  for (guint i = 0; i < vhost->regions->len; i++)
    {
      const Region *region = &g_array_index (vhost->regions, Region, i);

      if (gpa >= region->gpa && length <= region->length &&
          gpa - region->gpa <= region->length - length)
        return region->address + (gpa - region->gpa);
    }
  return 0;
}

/* ---- rings ---- */

static void
on_call (gpointer user_data)
{
  Ring *ring = user_data;

  virtio_device_raise_queue (ring->vhost->device, ring->index);
}

static int
start_ring_locked (VhostNet *vhost, Ring *ring)
{
  VirtioDevice *device = vhost->device;
  Virtqueue *vq = virtio_device_get_queue (device, ring->index);
  guint size = virtqueue_get_size (vq);
  struct vhost_vring_state state = { ring->index, size };
  struct vhost_vring_addr address = { .index = ring->index };
  struct vhost_vring_file file = { .index = ring->index };
  int call_fd;

  if (ioctl (vhost->fd, VHOST_SET_VRING_NUM, &state) < 0)
    return -errno;
  state.num = virtqueue_get_avail_index (vq);
  if (ioctl (vhost->fd, VHOST_SET_VRING_BASE, &state) < 0)
    return -errno;
  address.desc_user_addr = translate_locked (vhost, virtqueue_get_desc (vq), 16 * (guint64)size);
  address.avail_user_addr =
      translate_locked (vhost, virtqueue_get_driver (vq), 6 + 2 * (guint64)size);
  address.used_user_addr =
      translate_locked (vhost, virtqueue_get_device (vq), 6 + 8 * (guint64)size);
  if (address.desc_user_addr == 0 || address.avail_user_addr == 0 || address.used_user_addr == 0)
    return -EFAULT;
  if (ioctl (vhost->fd, VHOST_SET_VRING_ADDR, &address) < 0)
    return -errno;
  call_fd = virtio_device_get_interrupt_fd (device, ring->index);
  if (call_fd < 0 && ring->call_source == NULL)
    ring->call_source = vmm_worker_add_eventfd (
        virtio_device_get_queue_worker (device, ring->index), ring->call_fd, on_call, ring);
  file.fd = call_fd >= 0 ? call_fd : ring->call_fd;
  if (ioctl (vhost->fd, VHOST_SET_VRING_CALL, &file) < 0)
    return -errno;
  file.fd = virtio_device_take_doorbell (device, ring->index);
  if (ioctl (vhost->fd, VHOST_SET_VRING_KICK, &file) < 0)
    return -errno;
  return 0;
}

static void
release_ring (VhostNet *vhost, Ring *ring)
{
  struct vhost_vring_file none = { .index = ring->index, .fd = -1 };

  (void)ioctl (vhost->fd, VHOST_SET_VRING_KICK, &none);
  (void)ioctl (vhost->fd, VHOST_SET_VRING_CALL, &none);
  virtio_device_return_doorbell (vhost->device, ring->index);
  g_clear_pointer (&ring->call_source, vmm_source_remove);
}

static guint64
negotiated (VhostNet *vhost)
{
  guint64 features = 0;

  for (guint bit = 0; bit < 64; bit++)
    if (((RING_FEATURES >> bit) & 1) && virtio_device_has_feature (vhost->device, bit))
      features |= G_GUINT64_CONSTANT (1) << bit;
  return features;
}

int
vhost_net_start (VhostNet *vhost)
{
  guint64 features = negotiated (vhost);
  int r = 0;
  guint n = 0;

  if (vhost->running)
    return 0;
  for (guint i = 0; i < N_QUEUES; i++)
    if (!virtqueue_is_enabled (virtio_device_get_queue (vhost->device, i)))
      return -ENOENT;
  if (features & ~vhost->features)
    return -ENOTSUP;
  if (ioctl (vhost->fd, VHOST_SET_FEATURES, &features) < 0)
    return -errno;

  g_mutex_lock (&vhost->lock);
  r = set_mem_table_locked (vhost);
  for (n = 0; r == 0 && n < N_QUEUES; n++)
    r = start_ring_locked (vhost, &vhost->rings[n]);
  for (guint i = 0; r == 0 && i < N_QUEUES; i++)
    {
      struct vhost_vring_file backend = { .index = i, .fd = vhost->tap_fd };

      if (ioctl (vhost->fd, VHOST_NET_SET_BACKEND, &backend) < 0)
        r = -errno;
    }
  vhost->running = r == 0;
  g_mutex_unlock (&vhost->lock);
  if (r < 0)
    {
      for (guint i = 0; i < N_QUEUES; i++)
        {
          struct vhost_vring_file none = { .index = i, .fd = -1 };

          (void)ioctl (vhost->fd, VHOST_NET_SET_BACKEND, &none);
        }
      while (n > 0)
        release_ring (vhost, &vhost->rings[--n]);
      return r;
    }
  /* A kick that user space read just before. */
  for (guint i = 0; i < N_QUEUES; i++)
    virtio_device_schedule_kick (vhost->device, i);
  return 0;
}

void
vhost_net_stop (VhostNet *vhost)
{
  if (vhost == NULL || !vhost->running)
    return;
  g_mutex_lock (&vhost->lock);
  vhost->running = FALSE;
  g_mutex_unlock (&vhost->lock);
  for (guint i = 0; i < N_QUEUES; i++)
    {
      struct vhost_vring_file none = { .index = i, .fd = -1 };
      struct vhost_vring_state state = { .index = i };

      /* After it the kernel's thread is out of this ring. */
      (void)ioctl (vhost->fd, VHOST_NET_SET_BACKEND, &none);
      if (ioctl (vhost->fd, VHOST_GET_VRING_BASE, &state) == 0)
        virtqueue_set_avail_index (virtio_device_get_queue (vhost->device, i), state.num);
      release_ring (vhost, &vhost->rings[i]);
    }
}

VhostNet *
vhost_net_new (VirtioDevice *device, VmmMachine *machine, int vhost_fd, int tap_fd, GError **error)
{
  VhostNet *vhost = g_new0 (VhostNet, 1);
  int r = 0;

  vhost->device = device;
  vhost->memory = vmm_machine_get_memory (machine);
  vhost->fd = vhost_fd;
  vhost->tap_fd = tap_fd;
  vhost->regions = g_array_new (FALSE, FALSE, sizeof (Region));
  g_mutex_init (&vhost->lock);
  for (guint i = 0; i < N_QUEUES; i++)
    vhost->rings[i] = (Ring){ .vhost = vhost, .index = i, .call_fd = -1 };
  if (ioctl (vhost_fd, VHOST_SET_OWNER, NULL) < 0 ||
      ioctl (vhost_fd, VHOST_GET_FEATURES, &vhost->features) < 0)
    r = -errno;
  for (guint i = 0; r == 0 && i < N_QUEUES; i++)
    {
      vhost->rings[i].call_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
      if (vhost->rings[i].call_fd < 0)
        r = -errno;
    }
  if (r < 0)
    {
      vmm_error_set_errno (error, r, "%s: vhost-net does not answer", device->parent.parent.id);
      vhost_net_free (vhost);
      return NULL;
    }
  if (!vmm_guest_memory_add_listener (vhost->memory, &listener, vhost, error))
    {
      vhost_net_free (vhost);
      return NULL;
    }
  vhost->listening = TRUE;
  return vhost;
}

void
vhost_net_free (VhostNet *vhost)
{
  if (vhost == NULL)
    return;
  vhost_net_stop (vhost);
  if (vhost->listening)
    vmm_guest_memory_remove_listener (vhost->memory, vhost);
  for (guint i = 0; i < N_QUEUES; i++)
    if (vhost->rings[i].call_fd >= 0)
      close (vhost->rings[i].call_fd);
  g_array_unref (vhost->regions);
  g_mutex_clear (&vhost->lock);
  g_free (vhost);
}
