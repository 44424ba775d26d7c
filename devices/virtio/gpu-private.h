/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The virtio GPU: gpu.c (device, life cycle), gpu-commands.c (the queues), gpu-resources.c (host
 * copies of pictures), gpu-state.c (save and load). Everything with the device lock held. */
#pragma once
#include "devices/display/edid.h"
#include "devices/display/vga.h"
#include "devices/virtio/virtio.h"

#define GPU_MAX_ENTRIES   16384 /* of a backing */
#define GPU_MAX_RESOURCES 4096
#define GPU_MAX_SIZE      DISPLAY_MAX_WIDTH
#define GPU_EDID_MAX      1024

/* 5.7.6.8: struct virtio_gpu_rect */
typedef struct
{
  guint32 x, y, width, height;
} GpuRect;
G_STATIC_ASSERT (sizeof (GpuRect) == 16);

typedef struct
{
  guint64 address, length;
  guint64 offset; /* of its first byte in the backing */
} GpuEntry;

/* A picture of the guest, converted: always XRGB8888 (or premultiplied ARGB) in host memory. It
 * becomes a surface of its own when a scanout shows all of it, so transfers then go straight to
 * what viewers map. */
typedef struct
{
  guint32 id, format, width, height;
  guint32 *pixels; /* of surface, or owned */
  DisplaySurface *surface;
  GpuEntry *entries;
  guint32 n_entries;
  guint64 backing_length; /* bytes of all entries */
} GpuResource;

typedef struct
{
  VirtioDevice parent;
  struct
  {
    DisplayScanout *scanout;
    guint64 width, height, max_hostmem, rom;
  } config;
  Vga vga; /* part of the guest state */
  struct
  {
    guint32 events;        /* events_read: bit 0, display */
    guint32 width, height; /* what the window wants */
    GHashTable *resources; /* id -> GpuResource */
    guint32 scanout_id;    /* resource shown, 0: none */
    gboolean scanout_set;  /* the driver has set (or cleared) the scanout: no VGA */
    GpuRect scanout_rect;
    guint32 cursor_id, cursor_hot_x, cursor_hot_y;
    gint32 cursor_x, cursor_y;
  } guest;
  struct
  {
    guint64 hostmem;         /* bytes in resources and their entries */
    DisplaySurface *surface; /* of a scanout that shows a part of a resource */
    guint32 *row;            /* a line on its way through conversion */
    guint64 n_commands, n_errors, n_transfers, n_flushes;
  } host;
} VirtioGpu;

/* gpu-resources.c */
/* Values of 5.7.6.8 enum virtio_gpu_formats. */
gboolean gpu_format_is_known (guint32 format);
gboolean gpu_format_has_alpha (guint32 format);
/* NULL: over the limits. The caller has checked id, format and that the sizes are 1..GPU_MAX_SIZE. */
GpuResource *
gpu_resource_new (VirtioGpu *gpu, guint32 id, guint32 format, guint32 width, guint32 height);
GpuResource *gpu_resource_find (VirtioGpu *gpu, guint32 id);
void gpu_resource_remove (VirtioGpu *gpu, GpuResource *resource);
void gpu_resource_remove_all (VirtioGpu *gpu);
/* Takes entries over when TRUE; FALSE: over the memory limit. */
gboolean gpu_resource_attach (VirtioGpu *gpu, GpuResource *resource, GpuEntry *entries, guint32 n);
void gpu_resource_detach (VirtioGpu *gpu, GpuResource *resource);
/* FALSE when the rectangle or the bytes it needs lie outside. */
gboolean
gpu_resource_transfer (VirtioGpu *gpu, GpuResource *resource, const GpuRect *rect, guint64 offset);
/* Makes pixels a surface. FALSE: out of memory. */
gboolean gpu_resource_promote (GpuResource *resource);

/* gpu-commands.c */
void gpu_kick (VirtioDevice *device, guint queue);
/* Shows guest.scanout_id; FALSE: out of memory. */
gboolean gpu_apply_scanout (VirtioGpu *gpu);
void gpu_apply_cursor (VirtioGpu *gpu);
gboolean gpu_rect_is_inside (const GpuRect *rect, guint32 width, guint32 height);

/* gpu-state.c */
void gpu_save (VirtioGpu *gpu, VmmStateWriter *writer);
gboolean gpu_load (VirtioGpu *gpu, VmmStateReader *reader, GError **error);
