/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Looking at images: info, map, compare. Nothing here writes. */
#include "app/disk-tools.h"

#include <errno.h>
#include <string.h>

#define PIECE (1u << 20)

void
alcove_disk_image_free (gpointer data)
{
  AlcoveDiskImage *image = data;

  if (image == NULL)
    return;
  g_free (image->path);
  g_free (image->backing_file);
  g_free (image->backing_format);
  g_free (image->data_file);
  g_free (image->problem);
  g_clear_pointer (&image->snapshots, g_ptr_array_unref);
  g_clear_pointer (&image->bitmaps, g_ptr_array_unref);
  g_free (image);
}

static AlcoveDiskImage *
describe (BlockImage *from)
{
  AlcoveDiskImage *image = g_new0 (AlcoveDiskImage, 1);

  from->ops->get_info (from, &image->info);
  image->path = g_strdup (from->name);
  image->format = image->info.format;
  image->size = image->info.size;
  image->allocated = (guint64)MAX (from->file->ops->get_allocated (from->file), 0);
  image->backing_file = g_strdup (image->info.backing_file);
  image->backing_format = g_strdup (image->info.backing_format);
  image->data_file = g_strdup (image->info.data_file);
  image->info.backing_file = image->info.backing_format = image->info.data_file = NULL;
  if (from->ops->snapshot_list != NULL)
    image->snapshots = from->ops->snapshot_list (from);
  if (from->ops->bitmap_list != NULL)
    image->bitmaps = from->ops->bitmap_list (from);
  if (image->snapshots == NULL)
    image->snapshots = g_ptr_array_new ();
  if (image->bitmaps == NULL)
    image->bitmaps = g_ptr_array_new ();
  return image;
}

GPtrArray *
alcove_disk_get_chain (const char *path, BlockFormat format, GError **error)
{
  BlockImageFlags flags = { .readonly = TRUE, .no_lock = TRUE };
  g_autoptr (GPtrArray) chain = g_ptr_array_new_with_free_func (alcove_disk_image_free);
  g_autoptr (GError) problem = NULL;
  BlockImage *image = block_image_open (path, format, &flags, &problem);

  if (image == NULL)
    {
      AlcoveDiskImage *top;

      flags.no_backing = TRUE;
      image = block_image_open (path, format, &flags, error);
      if (image == NULL)
        return NULL;
      top = describe (image);
      top->problem = g_strdup (problem->message);
      g_ptr_array_add (chain, top);
      block_image_close (image);
      return g_steal_pointer (&chain);
    }
  for (BlockImage *at = image; at != NULL; at = at->backing)
    g_ptr_array_add (chain, describe (at));
  block_image_close (image);
  return g_steal_pointer (&chain);
}

static gboolean
follows (const BlockExtent *a, const BlockExtent *b)
{
  return a->kind == b->kind && a->depth == b->depth &&
         (a->file_offset < 0 ? b->file_offset < 0
                             : b->file_offset == a->file_offset + (gint64)a->length);
}

GArray *
alcove_disk_get_map (const char *path, BlockFormat format, GError **error)
{
  const BlockImageFlags flags = { .readonly = TRUE, .no_lock = TRUE };
  g_autoptr (GArray) map = g_array_new (FALSE, FALSE, sizeof (BlockExtent));
  BlockImage *image = block_image_open (path, format, &flags, error);
  guint64 size, at = 0;
  int result = 0;

  if (image == NULL)
    return NULL;
  size = block_image_get_size (image);
  while (at < size && result == 0)
    {
      BlockExtent extent;
      BlockExtent *last = map->len > 0 ? &g_array_index (map, BlockExtent, map->len - 1) : NULL;

      result = block_image_map (image, at, size - at, &extent);
      if (result < 0)
        break;
      if (last != NULL && follows (last, &extent))
        last->length += extent.length;
      else
        g_array_append_val (map, extent);
      at += extent.length;
    }
  block_image_close (image);
  if (result == 0)
    return g_steal_pointer (&map);
  (void)vmm_error_set_errno (error, result, "“%s” cannot be read at byte %" G_GUINT64_FORMAT, path,
                             at);
  return NULL;
}

/* ---- compare ---- */

typedef struct
{
  BlockImage *image;
  guint64 size;
  guint8 *buffer;
} Side;

/* The buffer holds [at, at + *length), which is made shorter where an extent ends; *ret_zero TRUE: it
 * is zeroes and was not read. What is past the end is zeroes. */
static int
fetch (Side *side, guint64 at, guint64 *length, gboolean *ret_zero)
{
  BlockExtent extent;
  int result;

  *ret_zero = at >= side->size;
  if (*ret_zero)
    return 0;
  result = block_image_map (side->image, at, MIN (*length, side->size - at), &extent);
  if (result < 0)
    return result;
  *length = extent.length;
  *ret_zero = extent.kind == BLOCK_EXTENT_ZERO || extent.kind == BLOCK_EXTENT_UNALLOCATED;
  return 0;
}

static guint64
first_difference (const guint8 *a, const guint8 *b, gsize length)
{
  gsize i = 0;

  while (i < length && a[i] == b[i])
    i++;
  return i;
}

static int
compare_piece (
    Side sides[2], guint64 at, guint64 *length, AlcoveDiskComparison *ret, guint *ret_side)
{
  gboolean zero[2] = { FALSE, FALSE };
  guint64 n;

  for (guint i = 0; i < 2; i++)
    {
      int result = fetch (&sides[i], at, length, &zero[i]);

      *ret_side = i;
      if (result < 0)
        return result;
    }
  if (zero[0] && zero[1])
    return 0;
  *length = n = MIN (*length, PIECE);
  for (guint i = 0; i < 2; i++)
    {
      int result = 0;

      *ret_side = i;
      if (zero[i])
        memset (sides[i].buffer, 0, (gsize)n);
      else
        result = block_image_read (sides[i].image, at, sides[i].buffer, (gsize)n);
      if (result < 0)
        return result;
    }
  if (memcmp (sides[0].buffer, sides[1].buffer, (gsize)n) != 0)
    {
      ret->identical = FALSE;
      ret->offset = at + first_difference (sides[0].buffer, sides[1].buffer, (gsize)n);
    }
  return 0;
}

static gboolean
compare_images (Side sides[2],
                const BlockProgress *progress,
                AlcoveDiskComparison *ret,
                GError **error)
{
  guint64 end = MAX (sides[0].size, sides[1].size), at = 0;

  *ret =
      (AlcoveDiskComparison){ .identical = TRUE, .size_a = sides[0].size, .size_b = sides[1].size };
  while (at < end && ret->identical)
    {
      guint64 length = end - at;
      guint side = 0;
      int result = compare_piece (sides, at, &length, ret, &side);

      if (result < 0)
        return vmm_error_set_errno (error, result, "“%s” cannot be read at byte %" G_GUINT64_FORMAT,
                                    sides[side].image->name, at);
      at += length;
      if (progress != NULL && progress->step != NULL &&
          !progress->step (at, end, progress->user_data))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_CANCELLED, "Comparing was cancelled");
          return FALSE;
        }
    }
  return TRUE;
}

gboolean
alcove_disk_compare (const char *path_a,
                     BlockFormat format_a,
                     const char *path_b,
                     BlockFormat format_b,
                     const BlockProgress *progress,
                     AlcoveDiskComparison *ret,
                     GError **error)
{
  const BlockImageFlags flags = { .readonly = TRUE };
  Side sides[2] = { 0 };
  gboolean good = FALSE;

  sides[0].image = block_image_open (path_a, format_a, &flags, error);
  if (sides[0].image != NULL)
    sides[1].image = block_image_open (path_b, format_b, &flags, error);
  if (sides[1].image != NULL)
    {
      for (guint i = 0; i < 2; i++)
        {
          sides[i].size = block_image_get_size (sides[i].image);
          sides[i].buffer = g_malloc (PIECE);
        }
      good = compare_images (sides, progress, ret, error);
    }
  for (guint i = 0; i < 2; i++)
    {
      block_image_close (sides[i].image);
      g_free (sides[i].buffer);
    }
  return good;
}

BlockFormat
alcove_disk_guess_format (const char *path)
{
  const BlockFileFlags flags = { .readonly = TRUE, .lock = BLOCK_LOCK_NONE };
  BlockFile *file = block_file_open (path, &flags, NULL);
  BlockFormat format = BLOCK_FORMAT_RAW;

  if (file != NULL)
    format = block_format_guess (file);
  block_file_close (file);
  return format;
}
