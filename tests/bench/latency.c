/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * latency SOCKET N
 *
 * A SPICE client that presses a key N times and waits each time until the pixel in the middle of
 * the picture changed. Prints "LATENCY nanoseconds" for each. The pauses between presses vary, so
 * that they do not fall into step with a refresh timer.
 */
#include <spice-client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KEY_A 0x1e

typedef struct
{
  GMainLoop *loop;
  SpiceInputsChannel *inputs;
  const guint8 *pixels;
  gint width, height, stride;
  guint32 last;
  gint64 pressed; /* microseconds, 0: not waiting */
  int left, presses, status;
  guint timeout;
} Client;

static guint32
middle (Client *c)
{
  guint32 pixel;

  memcpy (&pixel, c->pixels + (gsize)(c->height / 2) * (gsize)c->stride + (gsize)(c->width / 2) * 4,
          sizeof pixel);
  return pixel & 0xffffff;
}

static gboolean
give_up (gpointer user_data)
{
  Client *c = user_data;

  if (c->pixels != NULL)
    fprintf (stderr,
             "latency: no change after %d presses; the picture is %d x %d, its middle %06x\n",
             c->presses, c->width, c->height, middle (c));
  else
    fprintf (stderr, "latency: no picture\n");
  c->status = 1;
  g_main_loop_quit (c->loop);
  return G_SOURCE_REMOVE;
}

static gboolean
press (gpointer user_data)
{
  Client *c = user_data;

  c->last = middle (c);
  c->presses++;
  c->pressed = g_get_monotonic_time ();
  spice_inputs_channel_key_press (c->inputs, KEY_A);
  spice_inputs_channel_key_release (c->inputs, KEY_A);
  g_source_remove (c->timeout);
  c->timeout = g_timeout_add_seconds (20, give_up, c);
  return G_SOURCE_REMOVE;
}

static void
schedule (Client *c)
{
  g_timeout_add ((guint)g_random_int_range (60, 140), press, c);
}

static void
look (Client *c)
{
  if (c->pressed == 0 || c->pixels == NULL || middle (c) == c->last)
    return;
  printf ("LATENCY %lld\n", (long long)(g_get_monotonic_time () - c->pressed) * 1000);
  c->pressed = 0;
  if (--c->left <= 0)
    g_main_loop_quit (c->loop);
  else
    schedule (c);
}

static void
on_invalidate (SpiceChannel *channel, gint x, gint y, gint w, gint h, gpointer user_data)
{
  look (user_data);
}

static void
on_gl_draw (SpiceChannel *channel, guint x, guint y, guint w, guint h, gpointer user_data)
{
  look (user_data);
  spice_display_channel_gl_draw_done (SPICE_DISPLAY_CHANNEL (channel));
}

/* A picture in shared memory. */
static void
on_gl_scanout (SpiceDisplayChannel *channel, GParamSpec *pspec, gpointer user_data)
{
  const SpiceGlScanout *scanout = spice_display_channel_get_gl_scanout (channel);
  Client *c = user_data;
  void *pixels;

  if (scanout == NULL || scanout->fd < 0)
    return;
  pixels =
      mmap (NULL, (gsize)scanout->stride * scanout->height, PROT_READ, MAP_SHARED, scanout->fd, 0);
  if (pixels == MAP_FAILED)
    return;
  c->pixels = pixels; /* the former mapping stays: there are few */
  c->width = (gint)scanout->width;
  c->height = (gint)scanout->height;
  c->stride = (gint)scanout->stride;
}

static gboolean
begin (gpointer user_data)
{
  Client *c = user_data;

  if (c->pixels == NULL || c->inputs == NULL || c->width < 2 || c->height < 2)
    return G_SOURCE_CONTINUE;
  schedule (c);
  return G_SOURCE_REMOVE;
}

static void
on_primary (SpiceChannel *channel,
            gint format,
            gint width,
            gint height,
            gint stride,
            gint shmid,
            gpointer pixels,
            gpointer user_data)
{
  Client *c = user_data;

  c->pixels = pixels;
  c->width = width;
  c->height = height;
  c->stride = stride;
}

static void
on_destroy (SpiceChannel *channel, gpointer user_data)
{
  ((Client *)user_data)->pixels = NULL;
}

static void
on_channel (SpiceSession *session, SpiceChannel *channel, gpointer user_data)
{
  Client *c = user_data;

  if (SPICE_IS_DISPLAY_CHANNEL (channel))
    {
      g_signal_connect (channel, "display-primary-create", G_CALLBACK (on_primary), c);
      g_signal_connect (channel, "display-primary-destroy", G_CALLBACK (on_destroy), c);
      g_signal_connect (channel, "display-invalidate", G_CALLBACK (on_invalidate), c);
      g_signal_connect (channel, "notify::gl-scanout", G_CALLBACK (on_gl_scanout), c);
      g_signal_connect (channel, "gl-draw", G_CALLBACK (on_gl_draw), c);
      spice_channel_connect (channel);
    }
  else if (SPICE_IS_INPUTS_CHANNEL (channel))
    {
      c->inputs = SPICE_INPUTS_CHANNEL (channel);
      spice_channel_connect (channel);
    }
}

int
main (int argc, char **argv)
{
  Client c = { 0 };
  SpiceSession *session;

  if (argc != 3)
    return 2;
  c.loop = g_main_loop_new (NULL, FALSE);
  c.left = atoi (argv[2]);
  session = spice_session_new ();
  g_object_set (session, "unix-path", argv[1], "enable-audio", FALSE, "enable-usbredir", FALSE,
                NULL);
  g_signal_connect (session, "channel-new", G_CALLBACK (on_channel), &c);
  if (!spice_session_connect (session))
    return 1;
  c.timeout = g_timeout_add_seconds (20, give_up, &c);
  g_timeout_add (50, begin, &c);
  g_main_loop_run (c.loop);
  spice_session_disconnect (session);
  return c.status;
}
