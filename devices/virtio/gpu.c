/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/gpu.h"
#include <string.h>
#include "devices/virtio/gpu-private.h"

#define TYPE_GPU      16
#define FEATURE_EDID  1 /* Virtio 1.2, 5.7.3 */
#define EVENT_DISPLAY 1
#define CONFIG_SIZE   16
#define CONTROL_SIZE  256
#define HOSTMEM       (256 * 1024 * 1024)
#define ROM_NAME      "vgabios-virtio.bin"

static GMutex *
device_lock (VirtioGpu *gpu)
{
  return &gpu->parent.parent.parent.lock;
}

/* 5.7.4: events_read RO, events_clear WO (reads 0), num_scanouts RO, num_capsets RO; 4 bytes each. */
static void
gpu_config_read (VirtioDevice *device, gsize offset, void *buffer, gsize size)
{
  VirtioGpu *gpu = (VirtioGpu *)device;
  const guint32 config[4] = { GUINT32_TO_LE (gpu->guest.events), 0, GUINT32_TO_LE (1), 0 };

  memcpy (buffer, (const guint8 *)config + offset, size);
}

static void
gpu_config_write (VirtioDevice *device, gsize offset, const void *data, gsize size)
{
  VirtioGpu *gpu = (VirtioGpu *)device;
  guint32 clear;

  if (offset != 4 || size != 4)
    return;
  memcpy (&clear, data, 4);
  gpu->guest.events &= ~GUINT32_FROM_LE (clear);
}

static void
gpu_activate (VirtioDevice *device)
{
}

/* The driver is gone: so is all it made, and the VGA shows itself again. */
static void
gpu_deactivate (VirtioDevice *device)
{
  VirtioGpu *gpu = (VirtioGpu *)device;

  g_mutex_lock (device_lock (gpu));
  gpu->guest.scanout_set = FALSE;
  gpu->guest.scanout_id = gpu->guest.cursor_id = 0;
  gpu->guest.cursor_hot_x = gpu->guest.cursor_hot_y = 0;
  gpu->guest.cursor_x = gpu->guest.cursor_y = 0;
  gpu->guest.scanout_rect = (GpuRect){ 0 };
  gpu_resource_remove_all (gpu);
  g_clear_pointer (&gpu->host.row, g_free);
  (void)gpu_apply_scanout (gpu);
  gpu_apply_cursor (gpu);
  g_mutex_unlock (device_lock (gpu));
}

static const VirtioDeviceOps gpu_virtio_ops = {
  .type = TYPE_GPU,
  .class_base = 0x03,
  .class_sub = 0x80,
  .n_queues = 2,
  .queue_size = CONTROL_SIZE,
  .features = G_GUINT64_CONSTANT (1) << FEATURE_EDID,
  .config_size = CONFIG_SIZE,
  .config_read = gpu_config_read,
  .config_write = gpu_config_write,
  .activate = gpu_activate,
  .deactivate = gpu_deactivate,
  .kick = gpu_kick,
};

/* ---- the scanout's producer ---- */

static void
producer_resize (gpointer producer, guint width, guint height)
{
  VirtioGpu *gpu = producer;

  g_mutex_lock (device_lock (gpu));
  if (gpu->guest.width != width || gpu->guest.height != height)
    {
      gpu->guest.width = width;
      gpu->guest.height = height;
      vga_set_preferred_locked (&gpu->vga, width, height);
      /* 5.7.6.2: the driver then reads display info and EDID again. */
      gpu->guest.events |= EVENT_DISPLAY;
      virtio_device_notify_config (&gpu->parent);
    }
  g_mutex_unlock (device_lock (gpu));
}

static void
producer_update (gpointer producer)
{
  VirtioGpu *gpu = producer;

  vga_update (&gpu->vga);
}

static void
producer_watched (gpointer producer, gboolean watched)
{
  VirtioGpu *gpu = producer;

  vga_set_watched (&gpu->vga, watched);
}

static const DisplayProducerOps producer_ops = { producer_resize, producer_update,
                                                 producer_watched };

/* ---- life cycle ---- */

static void
release (VirtioGpu *gpu)
{
  vga_finish (&gpu->vga);
  if (gpu->guest.resources != NULL)
    gpu_resource_remove_all (gpu);
  g_clear_pointer (&gpu->guest.resources, g_hash_table_unref);
  g_clear_pointer (&gpu->host.surface, display_surface_unref);
  g_clear_pointer (&gpu->host.row, g_free);
}

static void
gpu_unrealize (VmmDevice *device)
{
  VirtioGpu *gpu = (VirtioGpu *)device;

  vga_quiesce (&gpu->vga);
  virtio_device_finish (&gpu->parent);
  display_scanout_set_producer (gpu->config.scanout, NULL, NULL);
  release (gpu);
}

static gboolean
add_vga_parts (VirtioGpu *gpu, GError **error)
{
  PciDevice *pci = &gpu->parent.parent;
  PciBar framebuffer = {
    .kind = PCI_BAR_MMIO32,
    .prefetchable = TRUE,
    .size = VGA_VRAM_SIZE,
    .block = gpu->vga.vram,
  };
  g_autoptr (GBytes) rom = gpu->config.rom ? vga_find_rom (ROM_NAME) : NULL;

  if (!pci_device_add_bar (pci, 0, &framebuffer, error))
    return FALSE;
  return rom == NULL ||
         pci_device_set_rom (pci, g_bytes_get_data (rom, NULL), g_bytes_get_size (rom), error);
}

static gboolean
gpu_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  VirtioGpu *gpu = (VirtioGpu *)device;
  VirtioInitOptions options = {
    .modern_bar = 2,
    .msix_bar = 4,
    .own_vga_class = TRUE,
    .first_page = &vga_page_ops,
    .first_page_opaque = &gpu->vga,
  };

  if (!virtio_device_init (&gpu->parent, machine, &gpu_virtio_ops, &options, NULL, error))
    return FALSE;
  gpu->guest.resources = g_hash_table_new (NULL, NULL);
  if (!vga_init (&gpu->vga, machine, &device->lock, gpu->config.scanout, (guint)gpu->config.width,
                 (guint)gpu->config.height, error) ||
      !add_vga_parts (gpu, error))
    {
      virtio_device_finish (&gpu->parent);
      release (gpu);
      return FALSE;
    }
  gpu->guest.width = gpu->vga.preferred_width;
  gpu->guest.height = gpu->vga.preferred_height;
  display_scanout_set_producer (gpu->config.scanout, &producer_ops, gpu);
  return TRUE;
}

static void
gpu_reset (VmmDevice *device, VmmResetKind kind)
{
  VirtioGpu *gpu = (VirtioGpu *)device;

  virtio_device_reset (&gpu->parent);
  g_mutex_lock (device_lock (gpu));
  gpu->guest.events = 0;
  g_mutex_unlock (device_lock (gpu));
  vga_reset (&gpu->vga);
}

static void
gpu_quiesce (VmmDevice *device)
{
  VirtioGpu *gpu = (VirtioGpu *)device;

  virtio_device_quiesce (&gpu->parent);
  vga_quiesce (&gpu->vga);
}

static void
gpu_resume (VmmDevice *device)
{
  VirtioGpu *gpu = (VirtioGpu *)device;

  vga_resume (&gpu->vga);
  virtio_device_resume (&gpu->parent);
}

static gboolean
gpu_device_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  VirtioGpu *gpu = (VirtioGpu *)device;

  virtio_device_save (&gpu->parent, writer);
  vga_save (&gpu->vga, writer);
  g_mutex_lock (device_lock (gpu));
  gpu_save (gpu, writer);
  g_mutex_unlock (device_lock (gpu));
  return TRUE;
}

static gboolean
gpu_device_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  VirtioGpu *gpu = (VirtioGpu *)device;
  gboolean ok;

  if (!virtio_device_load (&gpu->parent, reader, error) || !vga_load (&gpu->vga, reader, error))
    return FALSE;
  g_mutex_lock (device_lock (gpu));
  ok = gpu_load (gpu, reader, error);
  g_mutex_unlock (device_lock (gpu));
  return ok;
}

static void
gpu_stats (VmmDevice *device,
           void (*add) (gpointer user_data, const char *name, guint64 value),
           gpointer user_data)
{
  VirtioGpu *gpu = (VirtioGpu *)device;

  g_mutex_lock (device_lock (gpu));
  add (user_data, "commands", gpu->host.n_commands);
  add (user_data, "errors", gpu->host.n_errors);
  add (user_data, "transfers", gpu->host.n_transfers);
  add (user_data, "flushes", gpu->host.n_flushes);
  add (user_data, "host-memory", gpu->host.hostmem);
  add (user_data, "vga-updates", gpu->vga.n_updates);
  g_mutex_unlock (device_lock (gpu));
  virtio_device_stats (&gpu->parent, add, user_data);
}

static const VmmProperty gpu_properties[] = {
  VIRTIO_DEVICE_PROPERTIES,
  { "scanout", VMM_PROPERTY_POINTER, G_STRUCT_OFFSET (VirtioGpu, config.scanout),
    .required = TRUE },
  { "width", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioGpu, config.width), 0, DISPLAY_MAX_WIDTH,
    VGA_DEFAULT_WIDTH },
  { "height", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioGpu, config.height), 0, DISPLAY_MAX_HEIGHT,
    VGA_DEFAULT_HEIGHT },
  { "max-hostmem", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioGpu, config.max_hostmem), 1024 * 1024,
    G_GUINT64_CONSTANT (4) << 30, HOSTMEM },
  { "rom", VMM_PROPERTY_UINT, G_STRUCT_OFFSET (VirtioGpu, config.rom), 0, 1, 1 },
  { NULL },
};

const VmmDeviceOps virtio_vga_device_ops = {
  .name = "virtio-vga",
  .summary = "Display (virtio)",
  .spec = "Virtio 1.2, 5.7",
  .instance_size = sizeof (VirtioGpu),
  .state_version = 1,
  .properties = gpu_properties,
  .realize = gpu_realize,
  .unrealize = gpu_unrealize,
  .reset = gpu_reset,
  .quiesce = gpu_quiesce,
  .resume = gpu_resume,
  .save = gpu_device_save,
  .load = gpu_device_load,
  .stats = gpu_stats,
};
