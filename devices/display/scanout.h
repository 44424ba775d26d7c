/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Scanouts: the picture of one monitor between a display device (producer) and its viewers
 * (consumers: SPICE, screenshots). Pixels are XRGB8888 little endian in a memfd, so a viewer in
 * another process can map them.
 *
 * Producer: one per scanout. set_surface hands over a new picture, damage says what changed,
 * set_cursor/move_cursor drive the hardware cursor. Consumers get callbacks on the producer's
 * thread with no lock that the producer needs; they forward to their own thread.
 * Surfaces are reference counted; a consumer may keep one while the producer goes on.
 *
 * Locks: producer functions may be called with the device's lock held. Producer ops are called with
 * none of the callers' locks needed by the producer functions, and may take the device's lock;
 * set_producer waits for an op in flight, so call it without that lock. Consumer ops must not call
 * back into the scanout; remove_consumer waits for one in flight. */
#pragma once
#include <glib.h>
#include "vmm/error.h"

typedef struct _DisplayScanout DisplayScanout;
typedef struct _DisplaySurface DisplaySurface;

#define DISPLAY_MAX_WIDTH  16384
#define DISPLAY_MAX_HEIGHT 16384

#define DISPLAY_MAX_CURSOR 512 /* pixels a side; a larger cursor is not shown */

/* A memfd-backed picture, zeroed, sealed against shrinking and growing. stride is width * 4.
 * Errors: INVALID for sizes out of 1..MAX, NO_MEMORY. */
DisplaySurface *display_surface_new (guint width, guint height, GError **error);
DisplaySurface *display_surface_ref (DisplaySurface *surface);
void display_surface_unref (DisplaySurface *surface);
guint display_surface_get_width (DisplaySurface *surface);
guint display_surface_get_height (DisplaySurface *surface);
guint display_surface_get_stride (DisplaySurface *surface); /* bytes */
guint8 *display_surface_get_data (DisplaySurface *surface);
int display_surface_get_fd (DisplaySurface *surface); /* borrowed */

typedef struct
{
  guint width, height; /* 0x0 hides it */
  guint hot_x, hot_y;
  const guint32 *argb; /* premultiplied, width * height */
} DisplayCursor;

typedef struct
{
  /* surface: NULL when the device is off (blank). */
  void (*surface) (gpointer consumer, DisplaySurface *surface);
  void (*damage) (gpointer consumer, guint x, guint y, guint width, guint height);
  void (*cursor) (gpointer consumer, const DisplayCursor *cursor);
  void (*cursor_moved) (gpointer consumer, int x, int y, gboolean visible);
} DisplayConsumerOps;

typedef struct
{
  /* The window has a new size: the device tells its guest (EDID, display-info event). Any thread. */
  void (*resize) (gpointer producer, guint width, guint height);
  /* Bring the surface up to date now (VGA draws lazily). Any thread. */
  void (*update) (gpointer producer);
  /* Whether somebody looks: nobody means the producer may stop refreshing. */
  void (*watched) (gpointer producer, gboolean watched);
} DisplayProducerOps;

DisplayScanout *display_scanout_new (guint index);
void display_scanout_free (DisplayScanout *scanout);
guint display_scanout_get_index (DisplayScanout *scanout);
/* ops NULL: the device goes away; surface and cursor are cleared. */
void display_scanout_set_producer (DisplayScanout *scanout,
                                   const DisplayProducerOps *ops,
                                   gpointer producer);
/* The consumer is told of the present surface and cursor at once. */
void display_scanout_add_consumer (DisplayScanout *scanout,
                                   const DisplayConsumerOps *ops,
                                   gpointer consumer);
void display_scanout_remove_consumer (DisplayScanout *scanout, gpointer consumer);

void display_scanout_set_surface (DisplayScanout *scanout, DisplaySurface *surface);
/* Clipped to the surface; empty damage is dropped. */
void display_scanout_damage (DisplayScanout *scanout, guint x, guint y, guint width, guint height);
void display_scanout_set_cursor (DisplayScanout *scanout, const DisplayCursor *cursor);
void display_scanout_move_cursor (DisplayScanout *scanout, int x, int y, gboolean visible);

/* Consumer side. */
DisplaySurface *display_scanout_dup_surface (DisplayScanout *scanout); /* (nullable) up to date */
/* TRUE while there is a consumer. */
gboolean display_scanout_is_watched (DisplayScanout *scanout);
/* Ignored when a side is 0 or above the maximum, or without a producer that can. */
void display_scanout_request_resize (DisplayScanout *scanout, guint width, guint height);
