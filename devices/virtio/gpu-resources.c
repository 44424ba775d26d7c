/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/virtio/gpu-private.h"
#include <string.h>

/* Where the colours are in memory, as a shift in the little endian word; alpha 32: none. */
typedef struct
{
  guint32 format;
  guint8 red, green, blue, alpha;
} Format;

static const Format formats[] = {
  { 1, 16, 8, 0, 24 },   /* B8G8R8A8 */
  { 2, 16, 8, 0, 32 },   /* B8G8R8X8 */
  { 3, 8, 16, 24, 0 },   /* A8R8G8B8 */
  { 4, 8, 16, 24, 32 },  /* X8R8G8B8 */
  { 67, 0, 8, 16, 24 },  /* R8G8B8A8 */
  { 68, 24, 16, 8, 32 }, /* X8B8G8R8 */
  { 121, 24, 16, 8, 0 }, /* A8B8G8R8 */
  { 134, 0, 8, 16, 32 }, /* R8G8B8X8 */
};

static const Format *
find_format (guint32 format)
{
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (formats[i].format == format)
      return &formats[i];
  return NULL;
}

gboolean
gpu_format_is_known (guint32 format)
{
  return find_format (format) != NULL;
}

gboolean
gpu_format_has_alpha (guint32 format)
{
  const Format *f = find_format (format);

  return f != NULL && f->alpha < 32;
}

static gsize
pixels_size (const GpuResource *resource)
{
  return (gsize)resource->width * resource->height * 4;
}

GpuResource *
gpu_resource_new (VirtioGpu *gpu, guint32 id, guint32 format, guint32 width, guint32 height)
{
  guint64 size = (guint64)width * height * 4;
  GpuResource *resource;
  guint32 *pixels;

  if (g_hash_table_size (gpu->guest.resources) >= GPU_MAX_RESOURCES ||
      size > gpu->config.max_hostmem || gpu->host.hostmem > gpu->config.max_hostmem - size)
    return NULL;
  pixels = g_try_malloc0 (size);
  if (pixels == NULL)
    return NULL;
  resource = g_new0 (GpuResource, 1);
  resource->id = id;
  resource->format = format;
  resource->width = width;
  resource->height = height;
  resource->pixels = pixels;
  gpu->host.hostmem += size;
  g_hash_table_insert (gpu->guest.resources, GUINT_TO_POINTER (id), resource);
  return resource;
}

GpuResource *
gpu_resource_find (VirtioGpu *gpu, guint32 id)
{
  return id != 0 ? g_hash_table_lookup (gpu->guest.resources, GUINT_TO_POINTER (id)) : NULL;
}

void
gpu_resource_remove (VirtioGpu *gpu, GpuResource *resource)
{
  gpu_resource_detach (gpu, resource);
  gpu->host.hostmem -= pixels_size (resource);
  if (resource->surface != NULL)
    display_surface_unref (resource->surface);
  else
    g_free (resource->pixels);
  g_hash_table_remove (gpu->guest.resources, GUINT_TO_POINTER (resource->id));
  g_free (resource);
}

void
gpu_resource_remove_all (VirtioGpu *gpu)
{
  g_autoptr (GList) all = g_hash_table_get_values (gpu->guest.resources);

  for (GList *l = all; l != NULL; l = l->next)
    gpu_resource_remove (gpu, l->data);
}

gboolean
gpu_resource_attach (VirtioGpu *gpu, GpuResource *resource, GpuEntry *entries, guint32 n)
{
  guint64 size = (guint64)n * sizeof (GpuEntry), offset = 0;

  if (gpu->host.hostmem > gpu->config.max_hostmem ||
      size > gpu->config.max_hostmem - gpu->host.hostmem)
    return FALSE;
  for (guint32 i = 0; i < n; i++)
    {
      entries[i].offset = offset;
      offset += entries[i].length; /* 16384 of 32 bits each: no overflow */
    }
  gpu->host.hostmem += size;
  resource->entries = entries;
  resource->n_entries = n;
  resource->backing_length = offset;
  return TRUE;
}

void
gpu_resource_detach (VirtioGpu *gpu, GpuResource *resource)
{
  gpu->host.hostmem -= (guint64)resource->n_entries * sizeof (GpuEntry);
  g_clear_pointer (&resource->entries, g_free);
  resource->n_entries = 0;
  resource->backing_length = 0;
}

/* The entry that holds byte offset of the backing (offset < backing_length). */
static guint32
entry_at (const GpuResource *resource, guint64 offset)
{
  guint32 low = 0, high = resource->n_entries - 1;

  while (low < high)
    {
      guint32 middle = low + (high - low + 1) / 2;

      if (resource->entries[middle].offset <= offset)
        low = middle;
      else
        high = middle - 1;
    }
  return low;
}

/* The caller has checked that the bytes lie in the backing; that those are RAM is seen here. */
static gboolean
read_backing (
    VmmGuestMemory *memory, const GpuResource *resource, guint64 offset, void *buffer, gsize length)
{
  guint8 *to = buffer;
  guint32 i = length > 0 ? entry_at (resource, offset) : 0;

  while (length > 0)
    {
      const GpuEntry *entry = &resource->entries[i++];
      guint64 skip = offset - entry->offset;
      gsize n = MIN (length, entry->length - skip);

      if (entry->address > G_MAXUINT64 - skip ||
          !vmm_guest_memory_read (memory, vmm_gpa (entry->address + skip), to, n))
        return FALSE;
      to += n;
      offset += n;
      length -= n;
    }
  return TRUE;
}

static void
convert (const Format *f, const guint32 *from, guint32 *to, guint32 n)
{
  for (guint32 i = 0; i < n; i++)
    {
      guint32 v = GUINT32_FROM_LE (from[i]);

      to[i] = (f->alpha < 32 ? v >> f->alpha << 24 : 0xff000000u) | (v >> f->red & 0xff) << 16 |
              (v >> f->green & 0xff) << 8 | (v >> f->blue & 0xff);
    }
}

gboolean
gpu_rect_is_inside (const GpuRect *rect, guint32 width, guint32 height)
{
  return (guint64)rect->x + rect->width <= width && (guint64)rect->y + rect->height <= height;
}

/* 5.7.6.8: offset is that of the rectangle's first pixel; lines are as far apart as the resource is
 * wide. */
gboolean
gpu_resource_transfer (VirtioGpu *gpu, GpuResource *resource, const GpuRect *rect, guint64 offset)
{
  VmmGuestMemory *memory = vmm_machine_get_memory (gpu->parent.parent.parent.machine);
  const Format *format = find_format (resource->format);
  guint64 stride = (guint64)resource->width * 4, line = (guint64)rect->width * 4, needed;
  gboolean direct = resource->format == 1 || resource->format == 2;

  if (!gpu_rect_is_inside (rect, resource->width, resource->height))
    return FALSE;
  if (rect->width == 0 || rect->height == 0)
    return TRUE;
  needed = stride * (rect->height - 1) + line; /* below 2^31: sizes are bounded */
  if (needed > resource->backing_length || offset > resource->backing_length - needed)
    return FALSE;
  /* Whole lines of our own layout: one copy. */
  if (direct && rect->width == resource->width)
    return read_backing (memory, resource, offset,
                         resource->pixels + (gsize)rect->y * resource->width, needed);
  if (!direct)
    gpu->host.row = g_renew (guint32, gpu->host.row, rect->width);
  for (guint32 y = 0; y < rect->height; y++, offset += stride)
    {
      guint32 *to = resource->pixels + ((gsize)rect->y + y) * resource->width + rect->x;

      if (!read_backing (memory, resource, offset, direct ? to : gpu->host.row, line))
        return FALSE;
      if (!direct)
        convert (format, gpu->host.row, to, rect->width);
    }
  return TRUE;
}

gboolean
gpu_resource_promote (GpuResource *resource)
{
  DisplaySurface *surface;

  if (resource->surface != NULL)
    return TRUE;
  surface = display_surface_new (resource->width, resource->height, NULL);
  if (surface == NULL)
    return FALSE;
  memcpy (display_surface_get_data (surface), resource->pixels, pixels_size (resource));
  g_free (resource->pixels);
  resource->surface = surface;
  resource->pixels = (guint32 *)(gpointer)display_surface_get_data (surface);
  return TRUE;
}
