/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside devices/backends/spice only. Everything here runs on the SPICE thread, except the
 * callbacks marked otherwise. */
#pragma once
#include <spice.h>
#include <string.h>
#include "devices/backends/spice/scancode.h"
#include "devices/backends/spice/spice.h"

typedef struct _SpiceDisplay SpiceDisplay;
typedef struct _SpiceGate SpiceGate;
typedef struct _SpiceInput SpiceInput;

/* How the picture reaches the client. */
typedef enum
{
  SPICE_SHOW_NOTHING,
  SPICE_SHOW_SCANOUT,   /* memfd, to a client that came by fd */
  SPICE_SHOW_DRAWABLES, /* pixels through the socket, to a client of the listener */
} SpiceShow;

struct _SpiceBackend
{
  /* config, fixed after new */
  char *name;
  guint8 uuid[16];
  char *listen_unix, *listen_tcp, *password;

  GThread *thread;
  GMainContext *context;
  GMainLoop *loop;

  /* SPICE thread */
  SpiceServer *server;
  SpiceCoreInterface core;
  SpiceDisplay **displays;
  guint n_displays;
  SpiceInput *input;
  SpiceGate *gate;
  GHashTable *arriving; /* SpiceChannelEventInfo -> socket: no channel yet */
  int admitted_fd;      /* while the server takes it */
  gboolean closing;
  int connection_id; /* of the client's main channel */
  gboolean has_client;
  gboolean input_release; /* a client went: let go of its keys */
  SpiceShow show;
  GSource *client_wake;
  gboolean running;

  gint n_clients; /* atomic copy for other threads */
};

/* core.c */
void spice_core_init (SpiceCoreInterface *core);
/* The backend of this SPICE thread, for channel_event, which carries no pointer. NULL when its server
 * is gone. */
void spice_core_set_current (SpiceBackend *spice);
/* A source on the SPICE context that runs func once after each spice_wake (any thread). */
GSource *
spice_wake_new (SpiceBackend *spice, void (*func) (gpointer user_data), gpointer user_data);
void spice_wake (GSource *source);
void spice_wake_free (GSource *source);

/* spice.c */
void spice_backend_channel_event (SpiceBackend *spice, int event, SpiceChannelEventInfo *info);

/* display.c */
SpiceDisplay *spice_display_new (SpiceBackend *spice, DisplayScanout *scanout, guint index);
/* After spice_server_destroy, which may still have pointed to its memory. */
void spice_display_free (SpiceDisplay *display);
/* The client changes: no draws until set_show, which follows in the loop's next turn. */
void spice_display_hold (SpiceDisplay *display);
/* Waits for a draw that is on its way, at most a second. Only when its client is gone. */
void spice_display_wait_for_draw (SpiceDisplay *display);
void spice_display_set_show (SpiceDisplay *display, SpiceShow show);
/* A client's cursor channel is about to be connected: its greeting has the shape, not the place. */
void spice_display_repeat_cursor (SpiceDisplay *display);

/* gate.c: lets clients in, on a thread of its own. */
/* Gate's thread. fd: (transfer full): what the server is to have. trusted: needs no password. */
typedef void (*SpiceGateAdmit) (int fd, gboolean trusted, gpointer user_data);
/* listener: (transfer full), -1 for none: its clients are not trusted. */
SpiceGate *spice_gate_new (int listener, SpiceGateAdmit admit, gpointer user_data);
/* Any thread. fd: (transfer full): a client's channel. */
void spice_gate_add (SpiceGate *gate, int fd, gboolean trusted);
/* The server is about to end: nobody is let in any more, and nobody waited for. */
void spice_gate_close (SpiceGate *gate);
/* After spice_server_destroy: closes what clients are still connected to. */
void spice_gate_free (SpiceGate *gate);

/* listener.c: sockets that clients of the listener connect to. -1 with an error. */
int spice_listener_open_unix (const char *path, GError **error);
/* address: "host:port" or "[v6]:port" */
int spice_listener_open_tcp (const char *address, GError **error);
/* Returns a client's socket, or -1 when there is none now. */
int spice_listener_accept (int listener);

/* relay.c: a display channel between its client and the server; gate's thread. */
/* client, server: (transfer full). registry: is left when the channel ends. */
GSource *spice_relay_new (int client, int server, GPtrArray *registry);
/* Waits no longer for a client that has not sent its first message. */
void spice_relay_hurry (GSource *relay);

/* input.c */
SpiceInput *spice_input_new (SpiceBackend *spice, InputRouter *router);
void spice_input_stop (SpiceInput *input);
void spice_input_free (SpiceInput *input);
void spice_input_client_gone (SpiceInput *input);
