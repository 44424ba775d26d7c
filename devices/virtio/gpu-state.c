/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Saved: what the driver made (resources with their pixels and backings, scanout, cursor), sorted
 * by id so that the same state is the same bytes. */
#include "devices/virtio/gpu-private.h"
#include <string.h>

static gint
compare_ids (gconstpointer a, gconstpointer b)
{
  guint32 x = ((const GpuResource *)a)->id, y = ((const GpuResource *)b)->id;

  return x < y ? -1 : x > y;
}

static void
save_resource (VmmStateWriter *writer, const GpuResource *resource)
{
  g_autofree guint64 *entries = g_new (guint64, (gsize)resource->n_entries * 2);
  gsize size = (gsize)resource->width * resource->height * 4;
  const guint8 *pixels = (const guint8 *)resource->pixels;

  for (guint32 i = 0; i < resource->n_entries; i++)
    {
      entries[i * 2] = GUINT64_TO_LE (resource->entries[i].address);
      entries[i * 2 + 1] = GUINT64_TO_LE (resource->entries[i].length);
    }
  while (size > 0 && pixels[size - 1] == 0)
    size--;
  vmm_state_put_uint (writer, "id", resource->id);
  vmm_state_put_uint (writer, "format", resource->format);
  vmm_state_put_uint (writer, "width", resource->width);
  vmm_state_put_uint (writer, "height", resource->height);
  vmm_state_put_bytes (writer, "backing", entries, (gsize)resource->n_entries * 16);
  vmm_state_put_bytes (writer, "pixels", pixels, size);
}

void
gpu_save (VirtioGpu *gpu, VmmStateWriter *writer)
{
  g_autoptr (GList) all = g_list_sort (g_hash_table_get_values (gpu->guest.resources), compare_ids);

  vmm_state_put_uint (writer, "events", gpu->guest.events);
  vmm_state_put_uint (writer, "width", gpu->guest.width);
  vmm_state_put_uint (writer, "height", gpu->guest.height);
  vmm_state_put_uint (writer, "n-resources", g_list_length (all));
  for (GList *l = all; l != NULL; l = l->next)
    save_resource (writer, l->data);
  vmm_state_put_uint (writer, "scanout-set", gpu->guest.scanout_set);
  vmm_state_put_uint (writer, "scanout", gpu->guest.scanout_id);
  vmm_state_put_uint (writer, "scanout-x", gpu->guest.scanout_rect.x);
  vmm_state_put_uint (writer, "scanout-y", gpu->guest.scanout_rect.y);
  vmm_state_put_uint (writer, "scanout-width", gpu->guest.scanout_rect.width);
  vmm_state_put_uint (writer, "scanout-height", gpu->guest.scanout_rect.height);
  vmm_state_put_uint (writer, "cursor", gpu->guest.cursor_id);
  vmm_state_put_uint (writer, "cursor-hot-x", gpu->guest.cursor_hot_x);
  vmm_state_put_uint (writer, "cursor-hot-y", gpu->guest.cursor_hot_y);
  vmm_state_put_uint (writer, "cursor-x", (guint32)gpu->guest.cursor_x);
  vmm_state_put_uint (writer, "cursor-y", (guint32)gpu->guest.cursor_y);
}

static gboolean
refuse (GError **error, const char *what)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "The saved state of the display is damaged: %s.", what);
  return FALSE;
}

static gboolean
get_u32 (VmmStateReader *reader, const char *key, guint64 max, guint32 *ret_value, GError **error)
{
  guint64 value;

  if (!vmm_state_get_uint (reader, key, max, &value, error))
    return FALSE;
  *ret_value = (guint32)value;
  return TRUE;
}

static gboolean
load_backing (VirtioGpu *gpu, GpuResource *resource, VmmStateReader *reader, GError **error)
{
  const guint8 *data;
  gsize length;
  guint32 n;
  GpuEntry *entries;

  if (!vmm_state_get_blob (reader, "backing", GPU_MAX_ENTRIES * 16, &data, &length, error))
    return FALSE;
  n = (guint32)(length / 16);
  if (length % 16 != 0)
    return refuse (error, "a backing has a broken entry");
  if (n == 0)
    return TRUE;
  entries = g_new0 (GpuEntry, n);
  for (guint32 i = 0; i < n; i++)
    {
      guint64 pair[2];

      memcpy (pair, data + (gsize)i * 16, 16);
      entries[i].address = GUINT64_FROM_LE (pair[0]);
      entries[i].length = GUINT64_FROM_LE (pair[1]);
      if (entries[i].length > G_MAXUINT32)
        {
          g_free (entries);
          return refuse (error, "a backing's entry is too long");
        }
    }
  if (gpu_resource_attach (gpu, resource, entries, n))
    return TRUE;
  g_free (entries);
  return refuse (error, "its pictures are larger than the limit");
}

static gboolean
load_resource (VirtioGpu *gpu, VmmStateReader *reader, GError **error)
{
  guint32 id, format, width, height;
  GpuResource *resource;
  const guint8 *pixels;
  gsize length;

  if (!get_u32 (reader, "id", G_MAXUINT32, &id, error) ||
      !get_u32 (reader, "format", G_MAXUINT32, &format, error) ||
      !get_u32 (reader, "width", GPU_MAX_SIZE, &width, error) ||
      !get_u32 (reader, "height", GPU_MAX_SIZE, &height, error))
    return FALSE;
  if (id == 0 || gpu_resource_find (gpu, id) != NULL || !gpu_format_is_known (format) ||
      width == 0 || height == 0)
    return refuse (error, "a picture is not one a guest can make");
  resource = gpu_resource_new (gpu, id, format, width, height);
  if (resource == NULL)
    return refuse (error, "its pictures are larger than the limit");
  if (!load_backing (gpu, resource, reader, error) ||
      !vmm_state_get_blob (reader, "pixels", (gsize)width * height * 4, &pixels, &length, error))
    return FALSE;
  memcpy (resource->pixels, pixels, length);
  return TRUE;
}

static gboolean
load_scanout (VirtioGpu *gpu, VmmStateReader *reader, GError **error)
{
  GpuRect *rect = &gpu->guest.scanout_rect;
  GpuResource *resource;
  guint32 set, id, cursor_x, cursor_y;

  if (!get_u32 (reader, "scanout-set", 1, &set, error) ||
      !get_u32 (reader, "scanout", G_MAXUINT32, &id, error) ||
      !get_u32 (reader, "scanout-x", G_MAXUINT32, &rect->x, error) ||
      !get_u32 (reader, "scanout-y", G_MAXUINT32, &rect->y, error) ||
      !get_u32 (reader, "scanout-width", G_MAXUINT32, &rect->width, error) ||
      !get_u32 (reader, "scanout-height", G_MAXUINT32, &rect->height, error) ||
      !get_u32 (reader, "cursor", G_MAXUINT32, &gpu->guest.cursor_id, error) ||
      !get_u32 (reader, "cursor-hot-x", G_MAXUINT32, &gpu->guest.cursor_hot_x, error) ||
      !get_u32 (reader, "cursor-hot-y", G_MAXUINT32, &gpu->guest.cursor_hot_y, error) ||
      !get_u32 (reader, "cursor-x", G_MAXUINT32, &cursor_x, error) ||
      !get_u32 (reader, "cursor-y", G_MAXUINT32, &cursor_y, error))
    return FALSE;
  resource = gpu_resource_find (gpu, id);
  if (id != 0 && (!set || resource == NULL || rect->width == 0 || rect->height == 0 ||
                  !gpu_rect_is_inside (rect, resource->width, resource->height)))
    return refuse (error, "it shows a picture that is not there");
  if (gpu->guest.cursor_id != 0 && gpu_resource_find (gpu, gpu->guest.cursor_id) == NULL)
    return refuse (error, "its cursor is not there");
  gpu->guest.scanout_set = set != 0;
  gpu->guest.scanout_id = id;
  gpu->guest.cursor_x = (gint32)cursor_x;
  gpu->guest.cursor_y = (gint32)cursor_y;
  return TRUE;
}

static gboolean
load_all (VirtioGpu *gpu, VmmStateReader *reader, GError **error)
{
  guint32 n;

  if (!get_u32 (reader, "events", 1, &gpu->guest.events, error) ||
      !get_u32 (reader, "width", GPU_MAX_SIZE, &gpu->guest.width, error) ||
      !get_u32 (reader, "height", GPU_MAX_SIZE, &gpu->guest.height, error) ||
      !get_u32 (reader, "n-resources", GPU_MAX_RESOURCES, &n, error))
    return FALSE;
  if (gpu->guest.width == 0 || gpu->guest.height == 0)
    return refuse (error, "it has no size");
  for (guint32 i = 0; i < n; i++)
    if (!load_resource (gpu, reader, error))
      return FALSE;
  return load_scanout (gpu, reader, error);
}

gboolean
gpu_load (VirtioGpu *gpu, VmmStateReader *reader, GError **error)
{
  gboolean ok;

  gpu_resource_remove_all (gpu);
  gpu->guest.scanout_id = gpu->guest.cursor_id = 0;
  ok = load_all (gpu, reader, error);
  if (!ok)
    {
      gpu_resource_remove_all (gpu);
      gpu->guest.scanout_set = FALSE;
      gpu->guest.scanout_id = gpu->guest.cursor_id = 0;
      gpu->guest.width = VGA_DEFAULT_WIDTH;
      gpu->guest.height = VGA_DEFAULT_HEIGHT;
    }
  vga_set_preferred_locked (&gpu->vga, gpu->guest.width, gpu->guest.height);
  if (!gpu_apply_scanout (gpu) && ok)
    {
      ok = FALSE;
      g_set_error (error, VMM_ERROR, VMM_ERROR_NO_MEMORY,
                   "There is not enough memory for the picture of the restored display.");
    }
  gpu_apply_cursor (gpu);
  return ok;
}
