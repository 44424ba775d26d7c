/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The picture as textures, without a display server; above all what a hostile peer may send. */
#include "ui/display/framebuffer.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define XR24 0x34325258u

static int
make_memfd (guint width, guint height, bool sealed)
{
  int fd = memfd_create ("picture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  guint32 *line = g_new0 (guint32, width);

  for (guint y = 0; y < height; y++)
    {
      for (guint x = 0; x < width; x++)
        line[x] = y << 12 | x;
      g_assert_cmpint (write (fd, line, width * 4), ==, (ssize_t)width * 4);
    }
  if (sealed)
    g_assert_cmpint (fcntl (fd, F_ADD_SEALS, F_SEAL_SHRINK), ==, 0);
  g_free (line);
  return fd;
}

static void
check_pixels (AlcoveFramebuffer *fb, guint width, guint height, bool bottom_up)
{
  g_autoptr (GdkTexture) texture = alcove_framebuffer_dup_texture (fb);
  g_autofree guint32 *pixels = g_new0 (guint32, width * height);

  g_assert_cmpint (gdk_texture_get_width (texture), ==, (int)width);
  gdk_texture_download (texture, (guchar *)pixels, width * 4);
  for (guint y = 0; y < height; y++)
    for (guint x = 0; x < width; x++)
      g_assert_cmphex (pixels[y * width + x], ==,
                       0xff000000u | (bottom_up ? height - 1 - y : y) << 12 | x);
}

static void
test_pixels (void)
{
  for (int sealed = 0; sealed < 2; sealed++)
    for (int bottom_up = 0; bottom_up < 2; bottom_up++)
      {
        g_autoptr (AlcoveFramebuffer) fb = alcove_framebuffer_new ();
        g_autoptr (GError) error = NULL;

        g_assert_true (alcove_framebuffer_set_fd (fb, make_memfd (300, 260, sealed), 300, 260, 1200,
                                                  XR24, !bottom_up, &error));
        g_assert_no_error (error);
        check_pixels (fb, 300, 260, bottom_up);
      }
}

/* Only damaged tiles are copied again. */
static void
test_damage (void)
{
  g_autoptr (AlcoveFramebuffer) fb = alcove_framebuffer_new ();

  g_assert_true (alcove_framebuffer_set_fd (fb, make_memfd (600, 600, true), 600, 600, 2400, XR24,
                                            true, NULL));
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 9);
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 0);
  alcove_framebuffer_damage (fb, 255, 255, 1, 1);
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 1);
  alcove_framebuffer_damage (fb, 255, 255, 2, 2);
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 4);
  alcove_framebuffer_damage (fb, -50, -50, 60, 60);
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 1);
  alcove_framebuffer_damage (fb, 599, 599, G_MAXINT - 600, G_MAXINT - 600);
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 1);
  alcove_framebuffer_damage (fb, 700, 10, 10, 10);
  alcove_framebuffer_damage (fb, 10, 10, 0, -5);
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 0);
  g_assert_cmpuint (alcove_framebuffer_update (fb, false), ==, 1);
  g_assert_cmpuint (alcove_framebuffer_update (fb, false), ==, 0);
}

static void
refuse (int fd, guint width, guint height, guint stride, guint32 fourcc)
{
  g_autoptr (AlcoveFramebuffer) fb = alcove_framebuffer_new ();
  g_autoptr (GError) error = NULL;

  g_assert_false (alcove_framebuffer_set_fd (fb, fd, width, height, stride, fourcc, true, &error));
  g_assert_nonnull (error);
  g_assert_false (alcove_framebuffer_has_picture (fb));
  g_assert_null (alcove_framebuffer_dup_texture (fb));
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 0);
  alcove_framebuffer_damage (fb, 0, 0, 10, 10);
}

static void
test_hostile (void)
{
  refuse (make_memfd (64, 64, true), 64, 65, 256, XR24);
  refuse (make_memfd (64, 64, true), 0, 64, 256, XR24);
  refuse (make_memfd (64, 64, true), 64, 0, 256, XR24);
  refuse (make_memfd (64, 64, true), 64, 64, 255, XR24);
  refuse (make_memfd (64, 64, true), 64, 64, 0, XR24);
  refuse (make_memfd (64, 64, true), 0xffffffffu, 1, 0xfffffffcu, XR24);
  refuse (make_memfd (64, 64, true), 0x40000001u, 1, 4, XR24);
  refuse (make_memfd (64, 64, true), 64, 64, 0x80000000u, XR24);
  refuse (make_memfd (64, 64, true), 64, 64, 256, 0x36314752u);
  refuse (open ("/dev/null", O_RDONLY | O_CLOEXEC), 64, 64, 256, XR24);
  refuse (-1, 64, 64, 256, XR24);
}

/* A file that shrinks after it was announced gives black, not a signal. */
static void
test_shrink (void)
{
  g_autoptr (AlcoveFramebuffer) fb = alcove_framebuffer_new ();
  g_autoptr (GdkTexture) texture = NULL;
  guint32 pixels[64 * 64];
  int fd = make_memfd (64, 64, false);
  int writer = fcntl (fd, F_DUPFD_CLOEXEC, 3);

  g_assert_true (alcove_framebuffer_set_fd (fb, fd, 64, 64, 256, XR24, true, NULL));
  g_assert_cmpint (ftruncate (writer, 0), ==, 0);
  close (writer);
  g_assert_cmpuint (alcove_framebuffer_update (fb, true), ==, 1);
  texture = alcove_framebuffer_dup_texture (fb);
  gdk_texture_download (texture, (guchar *)pixels, 256);
  g_assert_cmphex (pixels[63 * 64 + 63], ==, 0xff000000u);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ui/framebuffer/pixels", test_pixels);
  g_test_add_func ("/ui/framebuffer/damage", test_damage);
  g_test_add_func ("/ui/framebuffer/hostile", test_hostile);
  g_test_add_func ("/ui/framebuffer/shrink", test_shrink);
  return g_test_run ();
}
