/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ui/display/display-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A frame that nobody paints (a hidden window) is acknowledged after this time, so the guest's
 * drawing goes on, at a low rate. */
#define ACK_TIMEOUT_MS 250

#define MAX_CURSOR 512

/* Tells the machine that it may draw the next frame. */
void
alcove_display_spice_acknowledge (AlcoveDisplay *self)
{
  g_clear_handle_id (&self->spice.ack_source, g_source_remove);
  if (!self->spice.ack_due)
    return;
  self->spice.ack_due = false;
  if (self->spice.display)
    spice_display_channel_gl_draw_done (self->spice.display);
}

static gboolean
acknowledge_unseen (gpointer data)
{
  AlcoveDisplay *self = data;

  self->spice.ack_source = 0;
  alcove_display_spice_acknowledge (self);
  return G_SOURCE_REMOVE;
}

static void
report (AlcoveDisplay *self, const char *message)
{
  g_signal_emit_by_name (self, "problem", message);
}

static void
on_gl_scanout (AlcoveDisplay *self)
{
  const SpiceGlScanout *scanout = spice_display_channel_get_gl_scanout (self->spice.display);
  g_autoptr (GError) error = NULL;
  int fd;

  if (!scanout || scanout->fd < 0)
    return;
  fd = fcntl (scanout->fd, F_DUPFD_CLOEXEC, 3);
  if (fd < 0)
    {
      g_autofree char *message =
          g_strdup_printf (_ ("The machine’s picture cannot be opened: %s"), g_strerror (errno));

      report (self, message);
      return;
    }
  if (!alcove_framebuffer_set_fd (self->framebuffer, fd, scanout->width, scanout->height,
                                  scanout->stride, scanout->format, scanout->y0top, &error))
    report (self, error->message);
  alcove_display_geometry_changed (self);
}

static void
on_gl_draw (AlcoveDisplay *self, guint x, guint y, guint width, guint height)
{
  alcove_framebuffer_damage (self->framebuffer, (int)x, (int)y, (int)width, (int)height);
  self->spice.ack_due = true;
  if (gtk_widget_get_mapped (GTK_WIDGET (self)))
    gtk_widget_queue_draw (GTK_WIDGET (self));
  if (!self->spice.ack_source)
    self->spice.ack_source = g_timeout_add (ACK_TIMEOUT_MS, acknowledge_unseen, self);
}

static void
on_primary_create (AlcoveDisplay *self,
                   gint format,
                   gint width,
                   gint height,
                   gint stride,
                   gint shmid,
                   gpointer data)
{
  g_autoptr (GError) error = NULL;

  if (format != SPICE_SURFACE_FMT_32_xRGB && format != SPICE_SURFACE_FMT_32_ARGB)
    {
      report (self, _ ("The machine’s picture has a pixel format that cannot be shown"));
      return;
    }
  if (!alcove_framebuffer_set_memory (self->framebuffer, data, (guint)width, (guint)height, stride,
                                      &error))
    report (self, error->message);
  alcove_display_geometry_changed (self);
}

static void
on_primary_destroy (AlcoveDisplay *self)
{
  alcove_framebuffer_clear (self->framebuffer);
  alcove_display_geometry_changed (self);
}

static void
on_invalidate (AlcoveDisplay *self, gint x, gint y, gint width, gint height)
{
  alcove_framebuffer_damage (self->framebuffer, x, y, width, height);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
on_cursor_set (AlcoveDisplay *self, gint width, gint height, gint hot_x, gint hot_y, gpointer rgba)
{
  g_clear_object (&self->cursor.texture);
  self->cursor.visible = true;
  if (rgba && width > 0 && width <= MAX_CURSOR && height > 0 && height <= MAX_CURSOR)
    {
      gsize stride = (gsize)width * 4;
      g_autoptr (GBytes) bytes = g_bytes_new (rgba, stride * (gsize)height);

      self->cursor.texture =
          gdk_memory_texture_new (width, height, GDK_MEMORY_R8G8B8A8, bytes, stride);
      self->cursor.hot_x = CLAMP (hot_x, 0, width - 1);
      self->cursor.hot_y = CLAMP (hot_y, 0, height - 1);
    }
  alcove_display_input_update_cursor (self);
}

static void
on_cursor_move (AlcoveDisplay *self, gint x, gint y)
{
  self->cursor.x = x;
  self->cursor.y = y;
  if (self->input.relative)
    gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
on_cursor_hide (AlcoveDisplay *self)
{
  self->cursor.visible = false;
  alcove_display_input_update_cursor (self);
}

static void
on_cursor_reset (AlcoveDisplay *self)
{
  g_clear_object (&self->cursor.texture);
  self->cursor.visible = true;
  alcove_display_input_update_cursor (self);
}

static void
on_mouse_mode (AlcoveDisplay *self)
{
  int mode;

  g_object_get (self->spice.main, "mouse-mode", &mode, NULL);
  alcove_display_input_set_relative (self, mode == SPICE_MOUSE_MODE_SERVER);
}

static gboolean
close_later (gpointer data)
{
  alcove_display_disconnect (data);
  return G_SOURCE_REMOVE;
}

static void
on_main_event (AlcoveDisplay *self, SpiceChannelEvent event)
{
  switch (event)
    {
    case SPICE_CHANNEL_OPENED:
      alcove_display_set_connected (self, true);
      break;
    case SPICE_CHANNEL_CLOSED:
    case SPICE_CHANNEL_ERROR_CONNECT:
    case SPICE_CHANNEL_ERROR_TLS:
    case SPICE_CHANNEL_ERROR_LINK:
    case SPICE_CHANNEL_ERROR_AUTH:
    case SPICE_CHANNEL_ERROR_IO:
      /* The session must not be torn down inside its own channel's signal. */
      g_idle_add_full (G_PRIORITY_DEFAULT, close_later, g_object_ref (self), g_object_unref);
      break;
    case SPICE_CHANNEL_NONE:
    case SPICE_CHANNEL_SWITCHING:
    default:
      break;
    }
}

/* A channel wants its connection: a pair of sockets, one for us, one for the machine. */
static void
on_open_fd (AlcoveDisplay *self, gint with_tls, SpiceChannel *channel)
{
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
    {
      g_autofree char *message = g_strdup_printf (
          _ ("A connection to the machine cannot be made: %s"), g_strerror (errno));

      report (self, message);
      return;
    }
  if (!spice_channel_open_fd (channel, pair[0]))
    {
      close (pair[0]);
      close (pair[1]);
      report (self, _ ("A connection to the machine’s screen could not be opened"));
      return;
    }
  self->spice.attach (self, pair[1], self->spice.attach_data);
}

static void
on_channel_new (AlcoveDisplay *self, SpiceChannel *channel)
{
  int id;

  g_object_get (channel, "channel-id", &id, NULL);
  if (SPICE_IS_MAIN_CHANNEL (channel))
    {
      self->spice.main = SPICE_MAIN_CHANNEL (channel);
      g_signal_connect_swapped (channel, "channel-event", G_CALLBACK (on_main_event), self);
      g_signal_connect_swapped (channel, "main-mouse-update", G_CALLBACK (on_mouse_mode), self);
    }
  else if (SPICE_IS_DISPLAY_CHANNEL (channel) && id == 0)
    {
      self->spice.display = SPICE_DISPLAY_CHANNEL (channel);
      g_signal_connect_swapped (channel, "notify::gl-scanout", G_CALLBACK (on_gl_scanout), self);
      g_signal_connect_swapped (channel, "gl-draw", G_CALLBACK (on_gl_draw), self);
      g_signal_connect_swapped (channel, "display-primary-create", G_CALLBACK (on_primary_create),
                                self);
      g_signal_connect_swapped (channel, "display-primary-destroy", G_CALLBACK (on_primary_destroy),
                                self);
      g_signal_connect_swapped (channel, "display-invalidate", G_CALLBACK (on_invalidate), self);
    }
  else if (SPICE_IS_CURSOR_CHANNEL (channel) && id == 0)
    {
      self->spice.cursor = SPICE_CURSOR_CHANNEL (channel);
      g_signal_connect_swapped (channel, "cursor-set", G_CALLBACK (on_cursor_set), self);
      g_signal_connect_swapped (channel, "cursor-move", G_CALLBACK (on_cursor_move), self);
      g_signal_connect_swapped (channel, "cursor-hide", G_CALLBACK (on_cursor_hide), self);
      g_signal_connect_swapped (channel, "cursor-reset", G_CALLBACK (on_cursor_reset), self);
    }
  else if (SPICE_IS_INPUTS_CHANNEL (channel))
    self->spice.inputs = SPICE_INPUTS_CHANNEL (channel);
  else
    return;

  g_signal_connect_object (channel, "open-fd", G_CALLBACK (on_open_fd), self, G_CONNECT_SWAPPED);
  /* The session connects the main channel itself. */
  if (!SPICE_IS_MAIN_CHANNEL (channel))
    spice_channel_connect (channel);
}

static void
on_channel_destroy (AlcoveDisplay *self, SpiceChannel *channel)
{
  if ((gpointer)self->spice.main == channel)
    self->spice.main = NULL;
  else if ((gpointer)self->spice.inputs == channel)
    self->spice.inputs = NULL;
  else if ((gpointer)self->spice.cursor == channel)
    self->spice.cursor = NULL;
  else if ((gpointer)self->spice.display == channel)
    {
      /* The primary surface lives in the channel. */
      alcove_framebuffer_freeze (self->framebuffer);
      self->spice.display = NULL;
    }
  g_signal_handlers_disconnect_by_data (channel, self);
}

/**
 * alcove_display_connect:
 * @func: (scope notified): hands a socket to the machine; called once for each channel
 *
 * Opens a SPICE session over sockets that @func delivers. The result shows in
 * #AlcoveDisplay:connected. A previous connection is closed first.
 *
 * Returns: %TRUE when the connection is on its way
 */
bool
alcove_display_connect (AlcoveDisplay *self,
                        AlcoveDisplayAttachFunc func,
                        gpointer user_data,
                        GDestroyNotify destroy,
                        GError **error)
{
  alcove_display_disconnect (self);
  self->spice.attach = func;
  self->spice.attach_data = user_data;
  self->spice.attach_destroy = destroy;
  self->spice.session = g_object_new (SPICE_TYPE_SESSION, "gl-scanout", TRUE, "enable-audio", FALSE,
                                      "enable-smartcard", FALSE, "enable-usbredir", FALSE, NULL);
  g_signal_connect_swapped (self->spice.session, "channel-new", G_CALLBACK (on_channel_new), self);
  g_signal_connect_swapped (self->spice.session, "channel-destroy", G_CALLBACK (on_channel_destroy),
                            self);
  if (!spice_session_open_fd (self->spice.session, -1))
    {
      alcove_display_disconnect (self);
      g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_FAILED,
                           _ ("The connection to the machine’s screen could not be started"));
      return false;
    }
  return true;
}

/* Closes the session; the last picture stays. */
void
alcove_display_spice_finish (AlcoveDisplay *self)
{
  SpiceSession *session = g_steal_pointer (&self->spice.session);

  g_clear_handle_id (&self->spice.ack_source, g_source_remove);
  self->spice.ack_due = false;
  if (!session)
    return;
  alcove_display_input_release_all (self);
  alcove_framebuffer_freeze (self->framebuffer);
  g_signal_handlers_disconnect_by_data (session, self);
  if (self->spice.main)
    g_signal_handlers_disconnect_by_data (self->spice.main, self);
  if (self->spice.display)
    g_signal_handlers_disconnect_by_data (self->spice.display, self);
  if (self->spice.cursor)
    g_signal_handlers_disconnect_by_data (self->spice.cursor, self);
  if (self->spice.inputs)
    g_signal_handlers_disconnect_by_data (self->spice.inputs, self);
  self->spice.main = NULL;
  self->spice.display = NULL;
  self->spice.cursor = NULL;
  self->spice.inputs = NULL;
  spice_session_disconnect (session);
  g_object_unref (session);
  if (self->spice.attach_destroy)
    self->spice.attach_destroy (self->spice.attach_data);
  self->spice.attach = NULL;
  self->spice.attach_data = NULL;
  self->spice.attach_destroy = NULL;
}

/**
 * alcove_display_disconnect:
 *
 * Closes the connection, if there is one. The last picture stays.
 */
void
alcove_display_disconnect (AlcoveDisplay *self)
{
  alcove_display_spice_finish (self);
  alcove_display_ungrab (self);
  alcove_display_set_connected (self, false);
}
