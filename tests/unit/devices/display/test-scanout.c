/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/display/scanout.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct
{
  GString *log;
  DisplayScanout *scanout;
} Peer;

static void
on_surface (gpointer consumer, DisplaySurface *surface)
{
  Peer *p = consumer;

  if (surface == NULL)
    g_string_append (p->log, "off ");
  else
    g_string_append_printf (p->log, "%ux%u ", display_surface_get_width (surface),
                            display_surface_get_height (surface));
}

static void
on_damage (gpointer consumer, guint x, guint y, guint width, guint height)
{
  Peer *p = consumer;
  g_string_append_printf (p->log, "d%u,%u+%ux%u ", x, y, width, height);
}

static void
on_cursor (gpointer consumer, const DisplayCursor *cursor)
{
  Peer *p = consumer;
  g_string_append_printf (p->log, "c%ux%u@%u,%u:%x ", cursor->width, cursor->height, cursor->hot_x,
                          cursor->hot_y, cursor->argb != NULL ? cursor->argb[0] : 0);
}

static void
on_cursor_moved (gpointer consumer, int x, int y, gboolean visible)
{
  Peer *p = consumer;
  g_string_append_printf (p->log, "m%d,%d,%d ", x, y, visible);
}

static const DisplayConsumerOps consumer_ops = { on_surface, on_damage, on_cursor,
                                                 on_cursor_moved };

static void
on_resize (gpointer producer, guint width, guint height)
{
  Peer *p = producer;
  g_string_append_printf (p->log, "resize%ux%u ", width, height);
}

static void
on_update (gpointer producer)
{
  Peer *p = producer;
  g_string_append (p->log, "update ");
  if (p->scanout != NULL)
    display_scanout_damage (p->scanout, 0, 0, 1, 1); /* producers damage from within update */
}

static void
on_watched (gpointer producer, gboolean watched)
{
  Peer *p = producer;
  g_string_append_printf (p->log, "watched%d ", watched);
}

static const DisplayProducerOps producer_ops = { on_resize, on_update, on_watched };

#define EXPECT(log_, text)                                                                         \
  G_STMT_START                                                                                     \
  {                                                                                                \
    g_assert_cmpstr ((log_)->str, ==, text);                                                       \
    g_string_truncate (log_, 0);                                                                   \
  }                                                                                                \
  G_STMT_END

static void
test_surface (void)
{
  g_autoptr (GError) error = NULL;
  DisplaySurface *surface = display_surface_new (3, 2, &error);
  guint8 *other;
  int fd;

  g_assert_no_error (error);
  g_assert_cmpuint (display_surface_get_stride (surface), ==, 12);
  fd = display_surface_get_fd (surface);
  g_assert_cmpint (fcntl (fd, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
  g_assert_cmpint (fcntl (fd, F_GET_SEALS), ==, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  g_assert_cmpint (ftruncate (fd, 4096), <, 0);
  for (guint i = 0; i < 24; i++)
    g_assert_cmpuint (display_surface_get_data (surface)[i], ==, 0);
  /* Another mapping of the fd sees what is drawn. */
  other = mmap (NULL, 24, PROT_READ, MAP_SHARED, fd, 0);
  g_assert_true (other != MAP_FAILED);
  display_surface_get_data (surface)[23] = 0x5a;
  g_assert_cmpuint (other[23], ==, 0x5a);
  munmap (other, 24);
  display_surface_ref (surface);
  display_surface_unref (surface);
  display_surface_unref (surface);
  g_assert_cmpint (fcntl (fd, F_GETFD), <, 0);
  display_surface_unref (NULL);
}

static void
test_bad_sizes (void)
{
  const guint sizes[][2] = { { 0, 0 },     { 0, 1 },     { 1, 0 },
                             { 16385, 1 }, { 1, 16385 }, { G_MAXUINT, G_MAXUINT } };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (display_surface_new (sizes[i][0], sizes[i][1], &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
    }
}

static void
test_flow (void)
{
  g_autoptr (GString) log = g_string_new (NULL);
  DisplayScanout *scanout = display_scanout_new (2);
  Peer producer = { log, scanout }, consumer = { log, NULL };
  DisplaySurface *surface = display_surface_new (64, 48, NULL);
  DisplaySurface *dup;
  guint32 pixels[4] = { 0xff00ff00, 1, 2, 3 };
  DisplayCursor cursor = { 2, 2, 9, 1, pixels };

  g_assert_cmpuint (display_scanout_get_index (scanout), ==, 2);
  g_assert_null (display_scanout_dup_surface (scanout));
  display_scanout_set_producer (scanout, &producer_ops, &producer);
  display_scanout_damage (scanout, 0, 0, 1, 1); /* no surface yet */
  EXPECT (log, "");

  display_scanout_add_consumer (scanout, &consumer_ops, &consumer);
  EXPECT (log, "off c0x0@0,0:0 m0,0,0 watched1 ");
  display_scanout_set_surface (scanout, surface);
  display_scanout_set_surface (scanout, surface); /* the same again says nothing */
  EXPECT (log, "64x48 ");

  display_scanout_damage (scanout, 60, 40, 10, 10);
  display_scanout_damage (scanout, 64, 0, 1, 1);
  display_scanout_damage (scanout, 0, 48, 1, 1);
  display_scanout_damage (scanout, 1, 1, 0, 1);
  display_scanout_damage (scanout, 1, 1, G_MAXUINT, G_MAXUINT);
  EXPECT (log, "d60,40+4x8 d1,1+63x47 ");

  display_scanout_set_cursor (scanout, &cursor); /* the hot spot is clamped */
  display_scanout_move_cursor (scanout, -3, 7, 5);
  EXPECT (log, "c2x2@1,1:ff00ff00 m-3,7,1 ");
  pixels[0] = 0; /* it was copied */
  cursor.width = DISPLAY_MAX_CURSOR + 1;

  display_scanout_request_resize (scanout, 0, 0);
  display_scanout_request_resize (scanout, 100, 20000);
  display_scanout_request_resize (scanout, 800, 600);
  EXPECT (log, "resize800x600 ");
  dup = display_scanout_dup_surface (scanout);
  g_assert_true (dup == surface);
  display_surface_unref (dup);
  EXPECT (log, "update d0,0+1x1 ");

  /* Leaving and coming back: told of everything again. */
  display_scanout_remove_consumer (scanout, &consumer);
  display_scanout_remove_consumer (scanout, &consumer);
  EXPECT (log, "watched0 ");
  g_assert_false (display_scanout_is_watched (scanout));
  display_scanout_add_consumer (scanout, &consumer_ops, &consumer);
  EXPECT (log, "64x48 c2x2@1,1:ff00ff00 m-3,7,1 watched1 ");
  display_scanout_set_cursor (scanout, &cursor); /* too large: hidden */
  EXPECT (log, "c0x0@0,0:0 ");

  display_scanout_set_producer (scanout, NULL, NULL);
  EXPECT (log, "off c0x0@0,0:0 ");
  display_scanout_request_resize (scanout, 800, 600);
  g_assert_null (display_scanout_dup_surface (scanout));
  /* A new producer hears at once that somebody watches. */
  display_scanout_set_producer (scanout, &producer_ops, &producer);
  EXPECT (log, "watched1 ");
  display_surface_unref (surface);
  display_scanout_free (scanout);
  display_scanout_free (NULL);
}

/* Two threads, the locks of a real device: damage with the device's lock held against update. */
typedef struct
{
  GMutex lock;
  DisplayScanout *scanout;
  gint stop;
  guint updates;
} LockingDevice;

static void
locking_update (gpointer producer)
{
  LockingDevice *device = producer;

  g_mutex_lock (&device->lock);
  device->updates++;
  display_scanout_damage (device->scanout, 0, 0, 4, 4);
  g_mutex_unlock (&device->lock);
}

static gpointer
damage_thread (gpointer data)
{
  LockingDevice *device = data;
  DisplaySurface *surface[2] = { display_surface_new (4, 4, NULL),
                                 display_surface_new (5, 4, NULL) };

  for (guint i = 0; !g_atomic_int_get (&device->stop); i++)
    {
      g_mutex_lock (&device->lock);
      display_scanout_set_surface (device->scanout, surface[i & 1]);
      display_scanout_damage (device->scanout, 0, 0, 4, 4);
      g_mutex_unlock (&device->lock);
      g_thread_yield ();
    }
  display_surface_unref (surface[0]);
  display_surface_unref (surface[1]);
  return NULL;
}

static void
test_lock_order (void)
{
  static const DisplayProducerOps ops = { .update = locking_update };
  static const DisplayConsumerOps nothing = { 0 };
  LockingDevice device = { .scanout = display_scanout_new (0) };
  GThread *thread;

  g_mutex_init (&device.lock);
  display_scanout_set_producer (device.scanout, &ops, &device);
  thread = g_thread_new ("damage", damage_thread, &device);
  for (guint i = 0; i < 2000; i++)
    {
      int consumer;

      display_scanout_add_consumer (device.scanout, &nothing, &consumer);
      display_surface_unref (display_scanout_dup_surface (device.scanout));
      display_scanout_remove_consumer (device.scanout, &consumer);
    }
  g_atomic_int_set (&device.stop, 1);
  g_thread_join (thread);
  g_assert_cmpuint (device.updates, ==, 2000);
  display_scanout_set_producer (device.scanout, NULL, NULL);
  display_scanout_free (device.scanout);
  g_mutex_clear (&device.lock);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/display/scanout/surface", test_surface);
  g_test_add_func ("/display/scanout/bad-sizes", test_bad_sizes);
  g_test_add_func ("/display/scanout/flow", test_flow);
  g_test_add_func ("/display/scanout/lock-order", test_lock_order);
  return g_test_run ();
}
