/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/scanout.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct _DisplaySurface
{
  gint ref_count; /* atomic */
  guint width, height;
  gsize size;
  guint8 *data;
  int fd;
};

typedef struct
{
  const DisplayConsumerOps *ops;
  gpointer consumer;
} Consumer;

/* Lock order: producer -> (device's lock) -> delivery -> state. */
struct _DisplayScanout
{
  guint index;

  GMutex producer_lock; /* held while producer ops run */
  const DisplayProducerOps *producer_ops;
  gpointer producer;
  gboolean watched_told;

  GMutex delivery_lock; /* held while consumer ops run; guards all below */
  GArray *consumers;    /* Consumer */
  DisplayCursor cursor;
  guint32 *cursor_argb;
  int cursor_x, cursor_y;
  gboolean cursor_visible;

  GMutex state_lock; /* surface: written with delivery_lock held too */
  DisplaySurface *surface;
};

DisplaySurface *
display_surface_new (guint width, guint height, GError **error)
{
  DisplaySurface *surface;
  gsize size;
  int fd;
  void *data;

  if (width < 1 || height < 1 || width > DISPLAY_MAX_WIDTH || height > DISPLAY_MAX_HEIGHT)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "a picture of %u×%u cannot be made: each side must be 1 to %u", width, height,
                   DISPLAY_MAX_WIDTH);
      return NULL;
    }
  size = (gsize)width * height * 4;
  fd = memfd_create ("alcove-scanout", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0)
    {
      vmm_error_set_errno (error, -errno, "cannot make memory for a %u×%u picture", width, height);
      return NULL;
    }
  if (ftruncate (fd, (off_t)size) < 0 ||
      fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
    {
      vmm_error_set_errno (error, -errno, "cannot size memory for a %u×%u picture", width, height);
      close (fd);
      return NULL;
    }
  data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED)
    {
      vmm_error_set_errno (error, -errno, "cannot map memory for a %u×%u picture", width, height);
      close (fd);
      return NULL;
    }

  surface = g_new0 (DisplaySurface, 1);
  surface->ref_count = 1;
  surface->width = width;
  surface->height = height;
  surface->size = size;
  surface->data = data;
  surface->fd = fd;
  return surface;
}

DisplaySurface *
display_surface_ref (DisplaySurface *surface)
{
  g_atomic_int_inc (&surface->ref_count);
  return surface;
}

void
display_surface_unref (DisplaySurface *surface)
{
  if (surface == NULL || !g_atomic_int_dec_and_test (&surface->ref_count))
    return;
  munmap (surface->data, surface->size);
  close (surface->fd);
  g_free (surface);
}

guint
display_surface_get_width (DisplaySurface *surface)
{
  return surface->width;
}

guint
display_surface_get_height (DisplaySurface *surface)
{
  return surface->height;
}

guint
display_surface_get_stride (DisplaySurface *surface)
{
  return surface->width * 4;
}

guint8 *
display_surface_get_data (DisplaySurface *surface)
{
  return surface->data;
}

int
display_surface_get_fd (DisplaySurface *surface)
{
  return surface->fd;
}

DisplayScanout *
display_scanout_new (guint index)
{
  DisplayScanout *scanout = g_new0 (DisplayScanout, 1);

  scanout->index = index;
  g_mutex_init (&scanout->producer_lock);
  g_mutex_init (&scanout->delivery_lock);
  g_mutex_init (&scanout->state_lock);
  scanout->consumers = g_array_new (FALSE, TRUE, sizeof (Consumer));
  return scanout;
}

void
display_scanout_free (DisplayScanout *scanout)
{
  if (scanout == NULL)
    return;
  display_surface_unref (scanout->surface);
  g_free (scanout->cursor_argb);
  g_array_unref (scanout->consumers);
  g_mutex_clear (&scanout->producer_lock);
  g_mutex_clear (&scanout->delivery_lock);
  g_mutex_clear (&scanout->state_lock);
  g_free (scanout);
}

guint
display_scanout_get_index (DisplayScanout *scanout)
{
  return scanout->index;
}

gboolean
display_scanout_is_watched (DisplayScanout *scanout)
{
  gboolean watched;

  g_mutex_lock (&scanout->delivery_lock);
  watched = scanout->consumers->len > 0;
  g_mutex_unlock (&scanout->delivery_lock);
  return watched;
}

/* The count may change again while the op runs; the last caller through tells the final state. */
static void
tell_watched (DisplayScanout *scanout)
{
  gboolean watched;

  g_mutex_lock (&scanout->producer_lock);
  watched = display_scanout_is_watched (scanout);
  if (watched != scanout->watched_told)
    {
      scanout->watched_told = watched;
      if (scanout->producer_ops != NULL && scanout->producer_ops->watched != NULL)
        scanout->producer_ops->watched (scanout->producer, watched);
    }
  g_mutex_unlock (&scanout->producer_lock);
}

void
display_scanout_set_producer (DisplayScanout *scanout,
                              const DisplayProducerOps *ops,
                              gpointer producer)
{
  g_mutex_lock (&scanout->producer_lock);
  scanout->producer_ops = ops;
  scanout->producer = producer;
  scanout->watched_told = FALSE;
  g_mutex_unlock (&scanout->producer_lock);
  if (ops == NULL)
    {
      display_scanout_set_surface (scanout, NULL);
      display_scanout_set_cursor (scanout, NULL);
    }
  tell_watched (scanout);
}

void
display_scanout_add_consumer (DisplayScanout *scanout,
                              const DisplayConsumerOps *ops,
                              gpointer consumer)
{
  Consumer c = { ops, consumer };

  g_mutex_lock (&scanout->delivery_lock);
  g_array_append_val (scanout->consumers, c);
  if (ops->surface != NULL)
    ops->surface (consumer, scanout->surface);
  if (ops->cursor != NULL)
    ops->cursor (consumer, &scanout->cursor);
  if (ops->cursor_moved != NULL)
    ops->cursor_moved (consumer, scanout->cursor_x, scanout->cursor_y, scanout->cursor_visible);
  g_mutex_unlock (&scanout->delivery_lock);
  tell_watched (scanout);
}

void
display_scanout_remove_consumer (DisplayScanout *scanout, gpointer consumer)
{
  g_mutex_lock (&scanout->delivery_lock);
  for (guint i = 0; i < scanout->consumers->len; i++)
    if (g_array_index (scanout->consumers, Consumer, i).consumer == consumer)
      {
        g_array_remove_index (scanout->consumers, i);
        break;
      }
  g_mutex_unlock (&scanout->delivery_lock);
  tell_watched (scanout);
}

#define TELL(scanout, op, ...)                                                                     \
  G_STMT_START                                                                                     \
  {                                                                                                \
    for (guint tell_i = 0; tell_i < (scanout)->consumers->len; tell_i++)                           \
      {                                                                                            \
        Consumer *tell_c = &g_array_index ((scanout)->consumers, Consumer, tell_i);                \
        if (tell_c->ops->op != NULL)                                                               \
          tell_c->ops->op (tell_c->consumer, __VA_ARGS__);                                         \
      }                                                                                            \
  }                                                                                                \
  G_STMT_END

void
display_scanout_set_surface (DisplayScanout *scanout, DisplaySurface *surface)
{
  DisplaySurface *old;

  g_mutex_lock (&scanout->delivery_lock);
  g_mutex_lock (&scanout->state_lock);
  old = scanout->surface;
  scanout->surface = surface != NULL ? display_surface_ref (surface) : NULL;
  g_mutex_unlock (&scanout->state_lock);
  if (old != surface)
    TELL (scanout, surface, surface);
  g_mutex_unlock (&scanout->delivery_lock);
  display_surface_unref (old);
}

void
display_scanout_damage (DisplayScanout *scanout, guint x, guint y, guint width, guint height)
{
  g_mutex_lock (&scanout->delivery_lock);
  if (scanout->surface != NULL && x < scanout->surface->width && y < scanout->surface->height)
    {
      width = MIN (width, scanout->surface->width - x);
      height = MIN (height, scanout->surface->height - y);
      if (width > 0 && height > 0)
        TELL (scanout, damage, x, y, width, height);
    }
  g_mutex_unlock (&scanout->delivery_lock);
}

void
display_scanout_set_cursor (DisplayScanout *scanout, const DisplayCursor *cursor)
{
  DisplayCursor none = { 0 };

  if (cursor == NULL || cursor->argb == NULL || cursor->width == 0 || cursor->height == 0 ||
      cursor->width > DISPLAY_MAX_CURSOR || cursor->height > DISPLAY_MAX_CURSOR)
    cursor = &none;
  g_mutex_lock (&scanout->delivery_lock);
  g_free (scanout->cursor_argb);
  scanout->cursor_argb = NULL;
  scanout->cursor = *cursor;
  if (cursor->argb != NULL)
    {
      scanout->cursor_argb =
          g_memdup2 (cursor->argb, (gsize)cursor->width * cursor->height * sizeof (guint32));
      scanout->cursor.hot_x = MIN (cursor->hot_x, cursor->width - 1);
      scanout->cursor.hot_y = MIN (cursor->hot_y, cursor->height - 1);
    }
  scanout->cursor.argb = scanout->cursor_argb;
  TELL (scanout, cursor, &scanout->cursor);
  g_mutex_unlock (&scanout->delivery_lock);
}

void
display_scanout_move_cursor (DisplayScanout *scanout, int x, int y, gboolean visible)
{
  g_mutex_lock (&scanout->delivery_lock);
  scanout->cursor_x = x;
  scanout->cursor_y = y;
  scanout->cursor_visible = !!visible;
  TELL (scanout, cursor_moved, x, y, !!visible);
  g_mutex_unlock (&scanout->delivery_lock);
}

DisplaySurface *
display_scanout_dup_surface (DisplayScanout *scanout)
{
  DisplaySurface *surface;

  g_mutex_lock (&scanout->producer_lock);
  if (scanout->producer_ops != NULL && scanout->producer_ops->update != NULL)
    scanout->producer_ops->update (scanout->producer);
  g_mutex_unlock (&scanout->producer_lock);

  g_mutex_lock (&scanout->state_lock);
  surface = scanout->surface != NULL ? display_surface_ref (scanout->surface) : NULL;
  g_mutex_unlock (&scanout->state_lock);
  return surface;
}

void
display_scanout_request_resize (DisplayScanout *scanout, guint width, guint height)
{
  if (width < 1 || height < 1 || width > DISPLAY_MAX_WIDTH || height > DISPLAY_MAX_HEIGHT)
    return;
  g_mutex_lock (&scanout->producer_lock);
  if (scanout->producer_ops != NULL && scanout->producer_ops->resize != NULL)
    scanout->producer_ops->resize (scanout->producer, width, height);
  g_mutex_unlock (&scanout->producer_lock);
}
