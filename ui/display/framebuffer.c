/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/display/framebuffer.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ui/compat.h"

#define TILE 256

/* DRM fourcc codes, drm_fourcc.h: 'XR24' and 'AR24'. */
#define FOURCC_XR24 0x34325258u
#define FOURCC_AR24 0x34325241u

struct _AlcoveFramebuffer
{
  guint width;
  guint height;

  /* Source: exactly one of mapping, fd (read with pread) and memory. */
  void *mapping;
  gsize mapping_size;
  int fd;
  const guint8 *memory;
  gsize stride;
  bool bottom_up;

  guint columns;
  guint rows;
  GdkTexture **tiles;
  bool *stale;
  guint n_stale;
  GdkTexture *whole;
  bool whole_stale;
  bool tiled;
};

/**
 * alcove_framebuffer_new:
 *
 * Returns: (transfer full): a framebuffer without a picture
 */
AlcoveFramebuffer *
alcove_framebuffer_new (void)
{
  AlcoveFramebuffer *self = g_new0 (AlcoveFramebuffer, 1);

  self->fd = -1;
  return self;
}

static void
drop_source (AlcoveFramebuffer *self)
{
  if (self->mapping)
    munmap (self->mapping, self->mapping_size);
  self->mapping = NULL;
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  self->memory = NULL;
}

static void
drop_textures (AlcoveFramebuffer *self)
{
  for (guint i = 0; i < self->columns * self->rows; i++)
    g_clear_object (&self->tiles[i]);
  g_clear_pointer (&self->tiles, g_free);
  g_clear_pointer (&self->stale, g_free);
  g_clear_object (&self->whole);
  self->columns = self->rows = self->n_stale = 0;
}

/**
 * alcove_framebuffer_free:
 * @self: (nullable): a framebuffer
 */
void
alcove_framebuffer_free (AlcoveFramebuffer *self)
{
  if (!self)
    return;
  alcove_framebuffer_clear (self);
  g_free (self);
}

/**
 * alcove_framebuffer_clear:
 *
 * Forgets the picture.
 */
void
alcove_framebuffer_clear (AlcoveFramebuffer *self)
{
  drop_source (self);
  drop_textures (self);
  self->width = self->height = 0;
}

/**
 * alcove_framebuffer_freeze:
 *
 * Lets go of the source and keeps the last picture, for a machine that was disconnected.
 */
void
alcove_framebuffer_freeze (AlcoveFramebuffer *self)
{
  drop_source (self);
}

static void
set_size (AlcoveFramebuffer *self, guint width, guint height)
{
  if (self->width != width || self->height != height || !self->tiles)
    {
      drop_textures (self);
      self->width = width;
      self->height = height;
      self->columns = (width + TILE - 1) / TILE;
      self->rows = (height + TILE - 1) / TILE;
      self->tiles = g_new0 (GdkTexture *, self->columns * self->rows);
      self->stale = g_new0 (bool, self->columns * self->rows);
    }
  alcove_framebuffer_damage (self, 0, 0, (int)width, (int)height);
}

static bool
check_size (guint width, guint height, gint64 stride, GError **error)
{
  if (width > 0 && width <= ALCOVE_FRAMEBUFFER_MAX_SIZE && height > 0 &&
      height <= ALCOVE_FRAMEBUFFER_MAX_SIZE && stride >= (gint64)width * 4 &&
      stride <= ALCOVE_FRAMEBUFFER_MAX_SIZE * 8)
    return true;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
               _ ("The machine announced a picture of %u × %u pixels, which cannot be shown"),
               width, height);
  return false;
}

/**
 * alcove_framebuffer_set_fd:
 * @fd: (transfer full): a memfd with the pixels (nothing else is taken); closed here in every case
 * @width: pixels, 1..%ALCOVE_FRAMEBUFFER_MAX_SIZE
 * @height: pixels, the same
 * @stride: bytes from line to line, at least 4 * @width
 * @fourcc: DRM fourcc code, XR24 or AR24 (the alpha byte is ignored)
 * @y0_top: whether the first line is the top one
 *
 * The fd comes from another process that may be hostile: it is mapped only when its seals promise
 * that it cannot shrink under the mapping; any other is read with pread.
 *
 * Returns: %TRUE if the picture can be shown; the previous one is gone in both cases
 */
bool
alcove_framebuffer_set_fd (AlcoveFramebuffer *self,
                           int fd,
                           guint width,
                           guint height,
                           guint stride,
                           guint32 fourcc,
                           bool y0_top,
                           GError **error)
{
  struct stat st;
  gsize size = (gsize)stride * height;
  int seals;

  drop_source (self);
  self->fd = fd;
  if (!check_size (width, height, stride, error))
    goto refuse;
  if (fourcc != FOURCC_XR24 && fourcc != FOURCC_AR24)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                   _ ("The machine announced a picture in pixel format %08x, which this version "
                      "of Alcove cannot show"),
                   fourcc);
      goto refuse;
    }
  if (fstat (fd, &st) < 0 || st.st_size < 0 || (guint64)st.st_size < size)
    {
      g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA,
                   _ ("The memory of the machine’s picture is smaller than its %u × %u pixels"),
                   width, height);
      goto refuse;
    }

  seals = fcntl (fd, F_GET_SEALS);
  if (seals < 0)
    {
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                           _ ("The machine’s picture is in the memory of a graphics card, which "
                              "this version of Alcove cannot show"));
      goto refuse;
    }
  if (seals & F_SEAL_SHRINK)
    {
      void *mapping = mmap (NULL, size, PROT_READ, MAP_SHARED, fd, 0);

      if (mapping != MAP_FAILED)
        {
          self->mapping = mapping;
          self->mapping_size = size;
          close (g_steal_fd (&self->fd));
        }
    }
  self->stride = stride;
  self->bottom_up = !y0_top;
  set_size (self, width, height);
  return true;

refuse:
  alcove_framebuffer_clear (self);
  return false;
}

/**
 * alcove_framebuffer_set_memory:
 * @pixels: (not nullable): the first line; must stay valid until the source is replaced
 * @width: pixels
 * @height: pixels
 * @stride: bytes from line to line, at least 4 * @width
 *
 * Returns: %TRUE if the picture can be shown
 */
bool
alcove_framebuffer_set_memory (AlcoveFramebuffer *self,
                               const guint8 *pixels,
                               guint width,
                               guint height,
                               int stride,
                               GError **error)
{
  drop_source (self);
  if (!check_size (width, height, stride, error))
    {
      alcove_framebuffer_clear (self);
      return false;
    }
  self->memory = pixels;
  self->stride = (gsize)stride;
  self->bottom_up = false;
  set_size (self, width, height);
  return true;
}

bool
alcove_framebuffer_has_picture (const AlcoveFramebuffer *self)
{
  return self->tiles != NULL;
}

guint
alcove_framebuffer_get_width (const AlcoveFramebuffer *self)
{
  return self->width;
}

guint
alcove_framebuffer_get_height (const AlcoveFramebuffer *self)
{
  return self->height;
}

/**
 * alcove_framebuffer_damage:
 *
 * Marks a rectangle of the source (in pixels, clipped to the picture) as changed.
 */
void
alcove_framebuffer_damage (AlcoveFramebuffer *self, int x, int y, int width, int height)
{
  GdkRectangle all = { 0, 0, (int)self->width, (int)self->height };
  GdkRectangle area = { x, y, width, height };

  if (!self->tiles || width <= 0 || height <= 0 || !gdk_rectangle_intersect (&all, &area, &area))
    return;
  for (guint row = area.y / TILE; row <= (guint)(area.y + area.height - 1) / TILE; row++)
    for (guint column = area.x / TILE; column <= (guint)(area.x + area.width - 1) / TILE; column++)
      {
        bool *stale = &self->stale[row * self->columns + column];

        self->n_stale += !*stale;
        *stale = true;
      }
  self->whole_stale = true;
}

/* Reads part of a line, counted from the top. A failed read gives black: the writer has cut the
 * file, which is its own loss. */
static void
read_line (AlcoveFramebuffer *self, guint x, guint y, guint n, guint8 *out)
{
  gsize line = self->bottom_up ? self->height - 1 - y : y;
  gsize offset = line * self->stride + (gsize)x * 4;

  if (self->mapping)
    memcpy (out, (const guint8 *)self->mapping + offset, (gsize)n * 4);
  else if (self->memory)
    memcpy (out, self->memory + offset, (gsize)n * 4);
  else
    {
      ssize_t got;

      do
        got = pread (self->fd, out, (gsize)n * 4, (off_t)offset);
      while (got < 0 && errno == EINTR);
      if (got < (ssize_t)((gsize)n * 4))
        memset (out, 0, (gsize)n * 4);
    }
}

/* GTK before 4.14 has no texture format without alpha, so the unused byte is made opaque here. */
static GdkTexture *
copy_texture (AlcoveFramebuffer *self, guint x, guint y, guint width, guint height)
{
  gsize size = (gsize)width * height * 4;
  guint32 *copy = g_malloc (size);
  g_autoptr (GBytes) bytes = NULL;

  for (guint line = 0; line < height; line++)
    {
      guint32 *out = copy + (gsize)line * width;

      read_line (self, x, y + line, width, (guint8 *)out);
      for (guint i = 0; i < width; i++)
        out[i] |= GUINT32_TO_LE (0xff000000u);
    }
  bytes = g_bytes_new_take (copy, size);
  return gdk_memory_texture_new ((int)width, (int)height, GDK_MEMORY_B8G8R8A8_PREMULTIPLIED, bytes,
                                 (gsize)width * 4);
}

/**
 * alcove_framebuffer_update:
 * @tiled: whether the picture will be shown pixel by pixel, so that tiles serve
 *
 * Copies what was damaged since the last call. Afterwards the source may change.
 *
 * Returns: how many textures were made
 */
guint
alcove_framebuffer_update (AlcoveFramebuffer *self, bool tiled)
{
  guint made = 0;

  self->tiled = tiled;
  if (!self->tiles || (!self->mapping && !self->memory && self->fd < 0))
    return 0;
  if (!tiled)
    {
      if (!self->whole || self->whole_stale)
        {
          g_clear_object (&self->whole);
          self->whole = copy_texture (self, 0, 0, self->width, self->height);
          self->whole_stale = false;
          made = 1;
        }
      return made;
    }
  g_clear_object (&self->whole);
  for (guint i = 0; self->n_stale && i < self->columns * self->rows; i++)
    {
      guint x = i % self->columns * TILE, y = i / self->columns * TILE;

      if (!self->stale[i])
        continue;
      g_clear_object (&self->tiles[i]);
      self->tiles[i] =
          copy_texture (self, x, y, MIN (TILE, self->width - x), MIN (TILE, self->height - y));
      self->stale[i] = false;
      self->n_stale--;
      made++;
    }
  return made;
}

/**
 * alcove_framebuffer_snapshot:
 * @bounds: where the picture goes, in the widget's units
 *
 * Paints what the last alcove_framebuffer_update() made.
 */
void
alcove_framebuffer_snapshot (AlcoveFramebuffer *self,
                             GtkSnapshot *snapshot,
                             const graphene_rect_t *bounds)
{
  float sx, sy;

  if (!self->tiles)
    return;
  if (self->whole)
    {
      alcove_compat_snapshot_scaled_texture (snapshot, self->whole, bounds);
      return;
    }
  sx = bounds->size.width / (float)self->width;
  sy = bounds->size.height / (float)self->height;
  for (guint i = 0; i < self->columns * self->rows; i++)
    if (self->tiles[i])
      gtk_snapshot_append_texture (
          snapshot, self->tiles[i],
          &GRAPHENE_RECT_INIT (bounds->origin.x + sx * (float)(i % self->columns * TILE),
                               bounds->origin.y + sy * (float)(i / self->columns * TILE),
                               sx * (float)gdk_texture_get_width (self->tiles[i]),
                               sy * (float)gdk_texture_get_height (self->tiles[i])));
}

/**
 * alcove_framebuffer_dup_texture:
 *
 * Returns: (transfer full) (nullable): the picture as it is now, or %NULL without one
 */
GdkTexture *
alcove_framebuffer_dup_texture (AlcoveFramebuffer *self)
{
  if (!self->tiles || (!self->mapping && !self->memory && self->fd < 0))
    return NULL;
  return copy_texture (self, 0, 0, self->width, self->height);
}
