/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control and cursor queues (Virtio 1.2, 5.7.6). Every command is answered; what a driver asks
 * wrongly gets the error the spec names. */
#include "devices/virtio/gpu-private.h"
#include <string.h>

#define MAX_BATCH    64 /* commands before others on the worker get a turn */
#define MAX_SCANOUTS 16
#define FLAG_FENCE   1

/* 5.7.6.7: enum virtio_gpu_ctrl_type */
enum
{
  CMD_GET_DISPLAY_INFO = 0x0100,
  CMD_RESOURCE_CREATE_2D,
  CMD_RESOURCE_UNREF,
  CMD_SET_SCANOUT,
  CMD_RESOURCE_FLUSH,
  CMD_TRANSFER_TO_HOST_2D,
  CMD_RESOURCE_ATTACH_BACKING,
  CMD_RESOURCE_DETACH_BACKING,
  CMD_GET_CAPSET_INFO,
  CMD_GET_CAPSET,
  CMD_GET_EDID,

  CMD_UPDATE_CURSOR = 0x0300,
  CMD_MOVE_CURSOR,

  OK_NODATA = 0x1100,
  OK_DISPLAY_INFO,
  OK_CAPSET_INFO,
  OK_CAPSET,
  OK_EDID,

  ERR_UNSPEC = 0x1200,
  ERR_OUT_OF_MEMORY,
  ERR_INVALID_SCANOUT_ID,
  ERR_INVALID_RESOURCE_ID,
  ERR_INVALID_CONTEXT_ID,
  ERR_INVALID_PARAMETER,
};

/* On the wire everything is little endian, as on our hosts. */
G_STATIC_ASSERT (G_BYTE_ORDER == G_LITTLE_ENDIAN);

typedef struct
{
  guint32 type, flags;
  guint64 fence_id;
  guint32 ctx_id;
  guint8 ring_idx, padding[3];
} Header;
G_STATIC_ASSERT (sizeof (Header) == 24);

typedef struct
{
  Header header;
  struct
  {
    GpuRect rect;
    guint32 enabled, flags;
  } modes[MAX_SCANOUTS];
} DisplayInfo;
G_STATIC_ASSERT (sizeof (DisplayInfo) == 24 + 16 * 24);

typedef struct
{
  Header header;
  guint32 size, padding;
  guint8 edid[GPU_EDID_MAX];
} EdidInfo;
G_STATIC_ASSERT (sizeof (EdidInfo) == 32 + 1024);

typedef struct
{
  guint32 resource_id, format, width, height;
} Create2d;
G_STATIC_ASSERT (sizeof (Create2d) == 16);

typedef struct
{
  guint32 id, padding;
} IdOnly;
G_STATIC_ASSERT (sizeof (IdOnly) == 8);

typedef struct
{
  GpuRect rect;
  guint32 scanout_id, resource_id;
} SetScanout;
G_STATIC_ASSERT (sizeof (SetScanout) == 24);

typedef struct
{
  GpuRect rect;
  guint32 resource_id, padding;
} Flush;
G_STATIC_ASSERT (sizeof (Flush) == 24);

typedef struct
{
  GpuRect rect;
  guint64 offset;
  guint32 resource_id, padding;
} Transfer;
G_STATIC_ASSERT (sizeof (Transfer) == 32);

typedef struct
{
  guint32 resource_id, n_entries;
} Attach;
G_STATIC_ASSERT (sizeof (Attach) == 8);

typedef struct
{
  guint64 address;
  guint32 length, padding;
} WireEntry;
G_STATIC_ASSERT (sizeof (WireEntry) == 16);

typedef struct
{
  guint32 scanout_id, x, y, padding;
  guint32 resource_id, hot_x, hot_y, padding2;
} Cursor;
G_STATIC_ASSERT (sizeof (Cursor) == 32);

/* ---- what is shown ---- */

static gboolean
shows_whole (const VirtioGpu *gpu, const GpuResource *resource)
{
  const GpuRect *rect = &gpu->guest.scanout_rect;

  return rect->x == 0 && rect->y == 0 && rect->width == resource->width &&
         rect->height == resource->height;
}

/* Copies a part of a resource (inside the scanout's rectangle) into the scanout's own surface. */
static void
copy_part (VirtioGpu *gpu, const GpuResource *resource, const GpuRect *part)
{
  const GpuRect *rect = &gpu->guest.scanout_rect;
  guint32 *to = (guint32 *)(gpointer)display_surface_get_data (gpu->host.surface);

  for (guint32 y = part->y; y < part->y + part->height; y++)
    memcpy (to + (gsize)(y - rect->y) * rect->width + (part->x - rect->x),
            resource->pixels + (gsize)y * resource->width + part->x, (gsize)part->width * 4);
}

gboolean
gpu_apply_scanout (VirtioGpu *gpu)
{
  GpuResource *resource = gpu_resource_find (gpu, gpu->guest.scanout_id);
  const GpuRect *rect = &gpu->guest.scanout_rect;

  g_clear_pointer (&gpu->host.surface, display_surface_unref);
  if (!gpu->guest.scanout_set)
    {
      vga_set_shown_locked (&gpu->vga, TRUE);
      return TRUE;
    }
  vga_set_shown_locked (&gpu->vga, FALSE);
  if (resource == NULL)
    {
      display_scanout_set_surface (gpu->config.scanout, NULL);
      return TRUE;
    }
  if (shows_whole (gpu, resource))
    {
      if (!gpu_resource_promote (resource))
        return FALSE;
      display_scanout_set_surface (gpu->config.scanout, resource->surface);
      return TRUE;
    }
  gpu->host.surface = display_surface_new (rect->width, rect->height, NULL);
  if (gpu->host.surface == NULL)
    return FALSE;
  copy_part (gpu, resource, rect);
  display_scanout_set_surface (gpu->config.scanout, gpu->host.surface);
  return TRUE;
}

void
gpu_apply_cursor (VirtioGpu *gpu)
{
  GpuResource *resource = gpu_resource_find (gpu, gpu->guest.cursor_id);
  DisplayCursor cursor = { 0 };

  if (resource != NULL)
    cursor = (DisplayCursor){ resource->width, resource->height, gpu->guest.cursor_hot_x,
                              gpu->guest.cursor_hot_y, resource->pixels };
  display_scanout_set_cursor (gpu->config.scanout, &cursor);
  display_scanout_move_cursor (gpu->config.scanout, gpu->guest.cursor_x, gpu->guest.cursor_y,
                               resource != NULL);
}

/* ---- commands ---- */

#define READ(chain, object)                                                                        \
  (virtqueue_chain_read (chain, object, sizeof *(object)) == sizeof *(object))

static guint32
create_2d (VirtioGpu *gpu, VirtqueueChain *chain)
{
  Create2d c;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  if (c.resource_id == 0 || gpu_resource_find (gpu, c.resource_id) != NULL)
    return ERR_INVALID_RESOURCE_ID;
  if (!gpu_format_is_known (c.format) || c.width < 1 || c.height < 1 || c.width > GPU_MAX_SIZE ||
      c.height > GPU_MAX_SIZE)
    return ERR_INVALID_PARAMETER;
  return gpu_resource_new (gpu, c.resource_id, c.format, c.width, c.height) != NULL
             ? OK_NODATA
             : ERR_OUT_OF_MEMORY;
}

static guint32
unref (VirtioGpu *gpu, VirtqueueChain *chain)
{
  IdOnly c;
  GpuResource *resource;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  resource = gpu_resource_find (gpu, c.id);
  if (resource == NULL)
    return ERR_INVALID_RESOURCE_ID;
  gpu_resource_remove (gpu, resource);
  if (c.id == gpu->guest.scanout_id)
    {
      gpu->guest.scanout_id = 0;
      (void)gpu_apply_scanout (gpu);
    }
  /* Viewers keep the cursor's picture they were given. */
  if (c.id == gpu->guest.cursor_id)
    gpu->guest.cursor_id = 0;
  return OK_NODATA;
}

static guint32
set_scanout (VirtioGpu *gpu, VirtqueueChain *chain)
{
  SetScanout c;
  GpuResource *resource;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  if (c.scanout_id != 0)
    return ERR_INVALID_SCANOUT_ID;
  if (c.resource_id != 0)
    {
      resource = gpu_resource_find (gpu, c.resource_id);
      if (resource == NULL)
        return ERR_INVALID_RESOURCE_ID;
      if (c.rect.width == 0 || c.rect.height == 0 ||
          !gpu_rect_is_inside (&c.rect, resource->width, resource->height))
        return ERR_INVALID_PARAMETER;
    }
  gpu->guest.scanout_set = TRUE;
  gpu->guest.scanout_id = c.resource_id;
  gpu->guest.scanout_rect = c.resource_id != 0 ? c.rect : (GpuRect){ 0 };
  if (gpu_apply_scanout (gpu))
    return OK_NODATA;
  gpu->guest.scanout_id = 0;
  (void)gpu_apply_scanout (gpu);
  return ERR_OUT_OF_MEMORY;
}

static guint32
flush (VirtioGpu *gpu, VirtqueueChain *chain)
{
  const GpuRect *shown = &gpu->guest.scanout_rect;
  Flush c;
  GpuResource *resource;
  GpuRect part;
  guint32 x1, y1;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  resource = gpu_resource_find (gpu, c.resource_id);
  if (resource == NULL)
    return ERR_INVALID_RESOURCE_ID;
  if (!gpu_rect_is_inside (&c.rect, resource->width, resource->height))
    return ERR_INVALID_PARAMETER;
  if (c.resource_id != gpu->guest.scanout_id)
    return OK_NODATA;
  gpu->host.n_flushes++;
  part.x = MAX (c.rect.x, shown->x);
  part.y = MAX (c.rect.y, shown->y);
  x1 = MIN (c.rect.x + c.rect.width, shown->x + shown->width);
  y1 = MIN (c.rect.y + c.rect.height, shown->y + shown->height);
  if (x1 <= part.x || y1 <= part.y)
    return OK_NODATA;
  part.width = x1 - part.x;
  part.height = y1 - part.y;
  if (gpu->host.surface != NULL)
    copy_part (gpu, resource, &part);
  display_scanout_damage (gpu->config.scanout, part.x - shown->x, part.y - shown->y, part.width,
                          part.height);
  return OK_NODATA;
}

static guint32
transfer (VirtioGpu *gpu, VirtqueueChain *chain)
{
  Transfer c;
  GpuResource *resource;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  resource = gpu_resource_find (gpu, c.resource_id);
  if (resource == NULL)
    return ERR_INVALID_RESOURCE_ID;
  if (resource->n_entries == 0)
    return ERR_UNSPEC;
  gpu->host.n_transfers++;
  return gpu_resource_transfer (gpu, resource, &c.rect, c.offset) ? OK_NODATA
                                                                  : ERR_INVALID_PARAMETER;
}

static guint32
attach (VirtioGpu *gpu, VirtqueueChain *chain)
{
  Attach c;
  GpuResource *resource;
  GpuEntry *entries;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  resource = gpu_resource_find (gpu, c.resource_id);
  if (resource == NULL)
    return ERR_INVALID_RESOURCE_ID;
  if (resource->n_entries != 0)
    return ERR_UNSPEC;
  /* What is said to follow must follow, before anything is allocated for it. */
  if (c.n_entries == 0 || c.n_entries > GPU_MAX_ENTRIES ||
      virtqueue_chain_readable_left (chain) / sizeof (WireEntry) < c.n_entries)
    return ERR_INVALID_PARAMETER;
  entries = g_new (GpuEntry, c.n_entries);
  for (guint32 i = 0; i < c.n_entries; i++)
    {
      WireEntry wire = { 0 };

      if (!READ (chain, &wire))
        {
          g_free (entries);
          return ERR_UNSPEC;
        }
      entries[i] = (GpuEntry){ wire.address, wire.length, 0 };
    }
  if (gpu_resource_attach (gpu, resource, entries, c.n_entries))
    return OK_NODATA;
  g_free (entries);
  return ERR_OUT_OF_MEMORY;
}

static guint32
detach (VirtioGpu *gpu, VirtqueueChain *chain)
{
  IdOnly c;
  GpuResource *resource;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  resource = gpu_resource_find (gpu, c.id);
  if (resource == NULL)
    return ERR_INVALID_RESOURCE_ID;
  if (resource->n_entries == 0)
    return ERR_UNSPEC;
  gpu_resource_detach (gpu, resource);
  return OK_NODATA;
}

static guint32
get_edid (VirtioGpu *gpu, VirtqueueChain *chain, EdidInfo *info)
{
  IdOnly c;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  if (!virtio_device_has_feature (&gpu->parent, 1))
    return ERR_UNSPEC;
  if (c.id != 0)
    return ERR_INVALID_SCANOUT_ID;
  info->size = EDID_SIZE;
  memcpy (info->edid, gpu->vga.edid, EDID_SIZE);
  return OK_EDID;
}

static guint32
get_display_info (VirtioGpu *gpu, DisplayInfo *info)
{
  info->modes[0].rect = (GpuRect){ 0, 0, gpu->guest.width, gpu->guest.height };
  info->modes[0].enabled = 1;
  return OK_DISPLAY_INFO;
}

static guint32
update_cursor (VirtioGpu *gpu, VirtqueueChain *chain, gboolean move_only)
{
  Cursor c;

  if (!READ (chain, &c))
    return ERR_UNSPEC;
  if (c.scanout_id != 0)
    return ERR_INVALID_SCANOUT_ID;
  gpu->guest.cursor_x = (gint32)c.x;
  gpu->guest.cursor_y = (gint32)c.y;
  if (move_only)
    {
      display_scanout_move_cursor (gpu->config.scanout, gpu->guest.cursor_x, gpu->guest.cursor_y,
                                   gpu->guest.cursor_id != 0);
      return OK_NODATA;
    }
  if (c.resource_id != 0 && gpu_resource_find (gpu, c.resource_id) == NULL)
    return ERR_INVALID_RESOURCE_ID;
  gpu->guest.cursor_id = c.resource_id;
  gpu->guest.cursor_hot_x = c.hot_x;
  gpu->guest.cursor_hot_y = c.hot_y;
  gpu_apply_cursor (gpu);
  return OK_NODATA;
}

typedef union
{
  Header header;
  DisplayInfo display;
  EdidInfo edid;
} Response;

static gsize
run_command (VirtioGpu *gpu, const Header *header, VirtqueueChain *chain, Response *response)
{
  gsize size = sizeof (Header);
  guint32 result;

  switch (header->type)
    {
    case CMD_GET_DISPLAY_INFO:
      result = get_display_info (gpu, &response->display);
      size = sizeof (DisplayInfo);
      break;
    case CMD_RESOURCE_CREATE_2D:
      result = create_2d (gpu, chain);
      break;
    case CMD_RESOURCE_UNREF:
      result = unref (gpu, chain);
      break;
    case CMD_SET_SCANOUT:
      result = set_scanout (gpu, chain);
      break;
    case CMD_RESOURCE_FLUSH:
      result = flush (gpu, chain);
      break;
    case CMD_TRANSFER_TO_HOST_2D:
      result = transfer (gpu, chain);
      break;
    case CMD_RESOURCE_ATTACH_BACKING:
      result = attach (gpu, chain);
      break;
    case CMD_RESOURCE_DETACH_BACKING:
      result = detach (gpu, chain);
      break;
    case CMD_GET_EDID:
      result = get_edid (gpu, chain, &response->edid);
      if (result == OK_EDID)
        size = sizeof (EdidInfo);
      break;
    default: /* 3D, blobs, capability sets: not offered */
      result = ERR_UNSPEC;
      break;
    }
  response->header.type = result;
  return size;
}

static void
control (VirtioGpu *gpu, Virtqueue *queue, VirtqueueChain *chain)
{
  Header header = { 0 };
  Response response = { 0 };
  gsize size = sizeof (Header);

  gpu->host.n_commands++;
  if (READ (chain, &header))
    size = run_command (gpu, &header, chain, &response);
  else
    response.header.type = ERR_UNSPEC;
  if (response.header.type >= ERR_UNSPEC)
    gpu->host.n_errors++;
  /* 5.7.6.7: commands are done when they are answered, so a fence is too. */
  if (header.flags & FLAG_FENCE)
    {
      response.header.flags = FLAG_FENCE;
      response.header.fence_id = header.fence_id;
      response.header.ctx_id = header.ctx_id;
    }
  virtqueue_push (queue, chain, (guint32)virtqueue_chain_write (chain, &response, size));
}

/* 5.7.6.10: cursor commands are not answered with a response. */
static void
cursor (VirtioGpu *gpu, Virtqueue *queue, VirtqueueChain *chain)
{
  Header header = { 0 };
  guint32 result = ERR_UNSPEC;

  gpu->host.n_commands++;
  if (READ (chain, &header) && (header.type == CMD_UPDATE_CURSOR || header.type == CMD_MOVE_CURSOR))
    result = update_cursor (gpu, chain, header.type == CMD_MOVE_CURSOR);
  if (result >= ERR_UNSPEC)
    gpu->host.n_errors++;
  virtqueue_push (queue, chain, 0);
}

void
gpu_kick (VirtioDevice *device, guint index)
{
  VirtioGpu *gpu = (VirtioGpu *)device;
  Virtqueue *queue = virtio_device_get_queue (device, index);
  guint n = 0;

  do
    {
      VirtqueueChain *chain;
      VirtqueueStatus status;

      virtqueue_disable_kicks (queue);
      while (n < MAX_BATCH && (status = virtqueue_pop (queue, &chain)) != VIRTQUEUE_EMPTY)
        {
          if (status == VIRTQUEUE_BROKEN)
            {
              virtio_device_set_broken (device);
              return;
            }
          n++;
          if (index == 0)
            control (gpu, queue, chain);
          else
            cursor (gpu, queue, chain);
        }
      if (n == MAX_BATCH)
        {
          virtio_device_schedule_kick (device, index);
          break;
        }
    }
  while (virtqueue_enable_kicks (queue));
  if (n > 0)
    virtio_device_notify_queue (device, index);
}
