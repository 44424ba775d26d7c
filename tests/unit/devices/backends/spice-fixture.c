/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "spice-fixture.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static Server *
server_of (gpointer sink, gsize offset)
{
  return (Server *)(gpointer)((char *)sink - offset);
}
#define LOG(sink_, member, ...)                                                                    \
  G_STMT_START                                                                                     \
  {                                                                                                \
    Server *log_s = server_of (sink_, G_STRUCT_OFFSET (Server, member));                           \
    g_mutex_lock (&log_s->lock);                                                                   \
    g_string_append_printf (log_s->log, __VA_ARGS__);                                              \
    g_mutex_unlock (&log_s->lock);                                                                 \
  }                                                                                                \
  G_STMT_END

static void
on_key (gpointer sink, guint keycode, gboolean down)
{
  LOG (sink, keyboard, "%c%u ", down ? '+' : '-', keycode);
}

static void
on_absolute (gpointer sink, guint x, guint y)
{
  LOG (sink, tablet, "@%u,%u ", x, y);
}

static void
on_tablet_buttons (gpointer sink, guint buttons)
{
  LOG (sink, tablet, "tb%x ", buttons);
}

static void
on_tablet_wheel (gpointer sink, int vertical, int horizontal)
{
  LOG (sink, tablet, "tw%d,%d ", vertical, horizontal);
}

static void
on_relative (gpointer sink, int dx, int dy)
{
  LOG (sink, mouse, "%+d%+d ", dx, dy);
}

static void
on_mouse_buttons (gpointer sink, guint buttons)
{
  LOG (sink, mouse, "mb%x ", buttons);
}

static const InputSinkOps keyboard_ops = { .key = on_key };
static const InputSinkOps tablet_ops = { .absolute = on_absolute,
                                         .buttons = on_tablet_buttons,
                                         .wheel = on_tablet_wheel };
static const InputSinkOps mouse_ops = { .relative = on_relative, .buttons = on_mouse_buttons };

static void
on_watched (gpointer producer, gboolean watched)
{
  Server *s = producer;
  g_atomic_int_set (&s->watched, watched);
}

static const DisplayProducerOps producer_ops = { .watched = on_watched };

static guint32
pixel_at (guint x, guint y, guint seed)
{
  return ((x * 7 + seed) & 0xff) << 16 | ((y * 5 + seed * 3) & 0xff) << 8 | ((x ^ y) & 0xff);
}

void
paint (DisplaySurface *surface, guint x0, guint y0, guint width, guint height, guint seed)
{
  guint32 *pixels = (guint32 *)(gpointer)display_surface_get_data (surface);

  for (guint y = y0; y < y0 + height; y++)
    for (guint x = x0; x < x0 + width; x++)
      pixels[y * display_surface_get_width (surface) + x] = pixel_at (x, y, seed);
}

DisplaySurface *
new_picture (guint width, guint height, guint seed)
{
  DisplaySurface *surface = display_surface_new (width, height, NULL);

  g_assert_nonnull (surface);
  paint (surface, 0, 0, width, height, seed);
  return surface;
}

Server *
server_new (gboolean listener, const char *password)
{
  g_autoptr (GError) error = NULL;
  Server *s = g_new0 (Server, 1);
  SpiceConfig config = { .name = "test" };

  g_mutex_init (&s->lock);
  s->log = g_string_new (NULL);
  s->scanout = display_scanout_new (0);
  display_scanout_set_producer (s->scanout, &producer_ops, s);
  s->router = input_router_new ();
  input_router_add_sink (s->router, &keyboard_ops, &s->keyboard);
  input_router_add_sink (s->router, &tablet_ops, &s->tablet);
  input_router_add_sink (s->router, &mouse_ops, &s->mouse);
  input_router_set_ready (s->router, &s->keyboard, TRUE);
  input_router_set_ready (s->router, &s->mouse, TRUE);
  config.scanouts = &s->scanout;
  config.n_scanouts = 1;
  config.router = s->router;
  config.password = password;
  if (listener)
    {
      s->dir = g_dir_make_tmp ("alcove-spice-XXXXXX", &error);
      g_assert_no_error (error);
      s->path = g_build_filename (s->dir, "spice.sock", NULL);
      config.listen_unix = s->path;
    }
  s->spice = spice_backend_new (&config, &error);
  g_assert_no_error (error);
  g_assert_nonnull (s->spice);
  spice_backend_set_running (s->spice, TRUE);
  return s;
}

void
server_free (Server *s)
{
  spice_backend_free (s->spice);
  display_scanout_free (s->scanout);
  input_router_free (s->router);
  if (s->path != NULL)
    {
      unlink (s->path);
      rmdir (s->dir);
    }
  g_free (s->path);
  g_free (s->dir);
  g_string_free (s->log, TRUE);
  g_mutex_clear (&s->lock);
  g_free (s);
}

static void
unmap (Client *c)
{
  if (c->map != NULL)
    munmap (c->map, c->map_size);
  c->map = NULL;
  c->pixels = NULL;
}

static void
on_gl_scanout (SpiceDisplayChannel *channel, GParamSpec *pspec, Client *c)
{
  const SpiceGlScanout *scanout = spice_display_channel_get_gl_scanout (channel);

  unmap (c);
  c->width = c->height = 0;
  if (scanout == NULL || scanout->fd < 0)
    return;
  g_assert_cmphex (scanout->format, ==, 0x34325258);
  g_assert_true (scanout->y0top);
  g_assert_cmpuint (scanout->stride, ==, scanout->width * 4);
  c->map_size = (gsize)scanout->stride * scanout->height;
  c->map = mmap (NULL, c->map_size, PROT_READ, MAP_SHARED, scanout->fd, 0);
  g_assert_true (c->map != MAP_FAILED);
  c->pixels = c->map;
  c->width = scanout->width;
  c->height = scanout->height;
  c->n_scanouts++;
}

static void
on_gl_draw (SpiceDisplayChannel *channel, guint x, guint y, guint width, guint height, Client *c)
{
  c->draw[0] = x;
  c->draw[1] = y;
  c->draw[2] = width;
  c->draw[3] = height;
  c->n_draws++;
  if (!c->hold_draws)
    spice_display_channel_gl_draw_done (channel);
}

static void
on_primary_create (SpiceChannel *channel,
                   int format,
                   int width,
                   int height,
                   int stride,
                   int shmid,
                   gpointer data,
                   Client *c)
{
  g_assert_cmpint (stride, ==, width * 4);
  c->width = (guint)width;
  c->height = (guint)height;
  c->pixels = data;
  c->n_primaries++;
}

static void
on_primary_destroy (SpiceChannel *channel, Client *c)
{
  c->width = c->height = 0;
  c->pixels = NULL;
}

static void
on_invalidate (SpiceChannel *channel, int x, int y, int width, int height, Client *c)
{
  c->n_invalidates++;
}

static void
on_cursor_set (
    SpiceChannel *channel, int width, int height, int hot_x, int hot_y, gpointer rgba, Client *c)
{
  c->cursor_width = (guint)width;
  c->cursor_height = (guint)height;
  c->cursor_hot_x = (guint)hot_x;
  c->cursor_hot_y = (guint)hot_y;
  if (rgba != NULL)
    memcpy (c->cursor, rgba, MIN (sizeof c->cursor, (gsize)width * (gsize)height * 4));
  c->n_cursors++;
}

static void
on_cursor_move (SpiceChannel *channel, int x, int y, Client *c)
{
  c->cursor_x = x;
  c->cursor_y = y;
}

static void
on_cursor_hide (SpiceChannel *channel, Client *c)
{
  c->n_hides++;
}

static void
on_open_fd (SpiceChannel *channel, int with_tls, Client *c)
{
  g_autoptr (GError) error = NULL;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
  spice_channel_open_fd (channel, fds[0]);
  if (c->server->wrap != NULL)
    {
      int type;

      g_object_get (channel, "channel-type", &type, NULL);
      fds[1] = c->server->wrap (type, fds[1], c->server->wrap_data);
    }
  if (fds[1] < 0)
    return;
  g_assert_true (spice_backend_add_client (c->server->spice, fds[1], &error));
  g_assert_no_error (error);
}

static void
on_channel_event (SpiceChannel *channel, SpiceChannelEvent event, Client *c)
{
  if (event == SPICE_CHANNEL_ERROR_AUTH)
    c->auth_failed = TRUE;
  if (SPICE_IS_MAIN_CHANNEL (channel) && event != SPICE_CHANNEL_OPENED)
    c->closed = TRUE;
  if (event == SPICE_CHANNEL_OPENED)
    c->n_channels++;
}

static void
on_channel_new (SpiceSession *session, SpiceChannel *channel, Client *c)
{
  g_signal_connect (channel, "open-fd", G_CALLBACK (on_open_fd), c);
  g_signal_connect (channel, "channel-event", G_CALLBACK (on_channel_event), c);
  if (SPICE_IS_MAIN_CHANNEL (channel))
    {
      c->main = SPICE_MAIN_CHANNEL (channel);
      return; /* connected by the session */
    }
  if (SPICE_IS_DISPLAY_CHANNEL (channel))
    {
      c->display = SPICE_DISPLAY_CHANNEL (channel);
      g_signal_connect (channel, "notify::gl-scanout", G_CALLBACK (on_gl_scanout), c);
      g_signal_connect (channel, "gl-draw", G_CALLBACK (on_gl_draw), c);
      g_signal_connect (channel, "display-primary-create", G_CALLBACK (on_primary_create), c);
      g_signal_connect (channel, "display-primary-destroy", G_CALLBACK (on_primary_destroy), c);
      g_signal_connect (channel, "display-invalidate", G_CALLBACK (on_invalidate), c);
    }
  else if (SPICE_IS_CURSOR_CHANNEL (channel))
    {
      g_signal_connect (channel, "cursor-set", G_CALLBACK (on_cursor_set), c);
      g_signal_connect (channel, "cursor-move", G_CALLBACK (on_cursor_move), c);
      g_signal_connect (channel, "cursor-hide", G_CALLBACK (on_cursor_hide), c);
    }
  else if (SPICE_IS_INPUTS_CHANNEL (channel))
    {
      c->inputs = SPICE_INPUTS_CHANNEL (channel);
    }
  spice_channel_connect (channel);
}

Client *
client_new (Server *server, gboolean by_fd, const char *password)
{
  Client *c = g_new0 (Client, 1);

  c->server = server;
  c->session = spice_session_new ();
  g_object_set (c->session, "gl-scanout", by_fd, "enable-audio", FALSE, "enable-usbredir", FALSE,
                "enable-smartcard", FALSE, "client-sockets", by_fd, NULL);
  if (password != NULL)
    g_object_set (c->session, "password", password, NULL);
  g_signal_connect (c->session, "channel-new", G_CALLBACK (on_channel_new), c);
  if (by_fd)
    {
      g_assert_true (spice_session_open_fd (c->session, -1));
    }
  else
    {
      g_object_set (c->session, "unix-path", server->path, NULL);
      g_assert_true (spice_session_connect (c->session));
    }
  return c;
}

void
client_free (Client *c)
{
  g_autoptr (GList) channels = spice_session_get_channels (c->session);

  for (GList *l = channels; l != NULL; l = l->next)
    g_signal_handlers_disconnect_by_data (l->data, c);
  g_signal_handlers_disconnect_by_data (c->session, c);
  spice_session_disconnect (c->session);
  g_object_unref (c->session);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  unmap (c);
  g_free (c);
}

gboolean
shows (Client *c, DisplaySurface *surface)
{
  gsize n;

  if (c->pixels == NULL || c->width != display_surface_get_width (surface) ||
      c->height != display_surface_get_height (surface))
    return FALSE;
  n = (gsize)c->width * c->height;
  for (gsize i = 0; i < n; i++)
    if ((c->pixels[i] ^ ((guint32 *)(gpointer)display_surface_get_data (surface))[i]) & 0xffffff)
      return FALSE;
  return TRUE;
}

gboolean
log_is (Server *s, const char *text)
{
  gboolean same;

  g_mutex_lock (&s->lock);
  same = g_str_equal (s->log->str, text);
  g_mutex_unlock (&s->lock);
  return same;
}

void
log_clear (Server *s)
{
  g_mutex_lock (&s->lock);
  g_string_truncate (s->log, 0);
  g_mutex_unlock (&s->lock);
}

gboolean
client_tick (gpointer data)
{
  return G_SOURCE_CONTINUE;
}
