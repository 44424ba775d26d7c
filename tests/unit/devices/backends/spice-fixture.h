/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A SPICE server with a scanout and input sinks, and real clients (spice-client-glib) of it on the
 * default main context of the same process. */
#pragma once
#include "devices/backends/spice/spice.h"
#include <spice-client.h>

/* The guest's side: a scanout with a pattern, and input sinks that write a log. */
typedef struct
{
  DisplayScanout *scanout;
  InputRouter *router;
  SpiceBackend *spice;
  char *dir, *path; /* of the unix listener */
  gint watched;
  GMutex lock;
  GString *log; /* lock */
  int keyboard, tablet, mouse;
  /* (nullable) what the server gets instead of the end of a client's socketpair; -1: it came by
   * another way. */
  int (*wrap) (int channel_type, int fd, gpointer user_data);
  gpointer wrap_data;
} Server;

/* The client's side, on the default main context. */
typedef struct
{
  Server *server;
  SpiceSession *session;
  SpiceMainChannel *main;
  SpiceInputsChannel *inputs;
  SpiceDisplayChannel *display;
  guint n_channels;
  gboolean closed, auth_failed;

  guint width, height; /* of the picture: mapped or primary */
  const guint32 *pixels;
  gpointer map;
  gsize map_size;
  guint n_scanouts, n_primaries, n_draws, n_invalidates;
  guint draw[4];
  gboolean hold_draws;

  guint cursor_width, cursor_height, cursor_hot_x, cursor_hot_y;
  guint32 cursor[64];
  guint n_cursors, n_hides;
  int cursor_x, cursor_y;
} Client;

/* Runs the loop until the condition holds; a condition that never does fails the test. */
#define WAIT(condition)                                                                            \
  G_STMT_START                                                                                     \
  {                                                                                                \
    gint64 wait_end = g_get_monotonic_time () + 15 * G_USEC_PER_SEC;                               \
    guint wait_tick = g_timeout_add (5, client_tick, NULL);                                        \
    while (!(condition))                                                                           \
      {                                                                                            \
        if (g_get_monotonic_time () > wait_end)                                                    \
          g_error ("%s:%d: never happened: %s", __FILE__, __LINE__, #condition);                   \
        g_main_context_iteration (NULL, TRUE);                                                     \
      }                                                                                            \
    g_source_remove (wait_tick);                                                                   \
  }                                                                                                \
  G_STMT_END

/* Draws a pattern that the seed decides. */
void paint (DisplaySurface *surface, guint x0, guint y0, guint width, guint height, guint seed);
DisplaySurface *new_picture (guint width, guint height, guint seed);

Server *server_new (gboolean listener, const char *password);
void server_free (Server *s);
gboolean log_is (Server *s, const char *text);
void log_clear (Server *s);

/* by_fd: as the window connects; else as a foreign viewer of the listener. */
Client *client_new (Server *server, gboolean by_fd, const char *password);
void client_free (Client *c);
/* The client has this picture, every pixel. */
gboolean shows (Client *c, DisplaySurface *surface);
gboolean client_tick (gpointer data);
