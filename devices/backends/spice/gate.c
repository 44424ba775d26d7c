/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where clients are let in.
 *
 * A client's first bytes, its link message, come without being asked for and name the channel. Most
 * channels' sockets then go to the server as they are; a display channel's goes through a relay,
 * which see. Nothing is taken from the socket to find out. */
#include "devices/backends/spice/spice-private.h"
#include <errno.h>
#include <glib-unix.h>
#include <spice/protocol.h>
#include <sys/socket.h>
#include <unistd.h>

#define AGAIN_US  (20 * G_TIME_SPAN_MILLISECOND)
#define PATIENCE  500 /* times that: half a link message is not waited for longer */
#define TYPE_SIZE (sizeof (SpiceLinkHeader) + G_STRUCT_OFFSET (SpiceLinkMess, channel_id))

struct _SpiceGate
{
  SpiceGateAdmit admit;
  gpointer user_data;
  int listener; /* -1: none */
  GThread *thread;
  GMainContext *context;
  gint quit; /* atomic */

  /* gate's thread */
  GPtrArray *relays; /* of GSource, borrowed from the context */
  gboolean closed;
};

/* A socket whose channel is not known yet. */
typedef struct
{
  GSource source;
  SpiceGate *gate;
  int fd; /* -1: handed on */
  gboolean trusted;
  gpointer tag;
  guint tries;
} Visitor;

static gpointer
gate_thread (gpointer data)
{
  SpiceGate *gate = data;

  while (!g_atomic_int_get (&gate->quit))
    g_main_context_iteration (gate->context, TRUE);
  return NULL;
}

/* FALSE: not all there yet. */
static gboolean
look (Visitor *visitor, gboolean *ret_good, gboolean *ret_display)
{
  guint8 bytes[TYPE_SIZE];
  ssize_t n = recv (visitor->fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
  guint32 magic = SPICE_MAGIC;

  if (n < 0 && (errno == EAGAIN || errno == EINTR))
    return FALSE;
  *ret_good = n > 0 && memcmp (bytes, &magic, MIN ((gsize)n, sizeof magic)) == 0;
  *ret_display = FALSE;
  if (!*ret_good)
    return TRUE;
  if ((gsize)n < sizeof bytes)
    {
      *ret_good = ++visitor->tries < PATIENCE;
      return !*ret_good;
    }
  *ret_display = bytes[sizeof (SpiceLinkHeader) + G_STRUCT_OFFSET (SpiceLinkMess, channel_type)] ==
                 SPICE_CHANNEL_DISPLAY;
  return TRUE;
}

static void
begin_relay (SpiceGate *gate, int fd, gboolean trusted)
{
  int fds[2];
  GSource *relay;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
    {
      close (fd); /* out of fds: the client sees it go */
      return;
    }
  relay = spice_relay_new (fd, fds[0], gate->relays);
  g_ptr_array_add (gate->relays, relay);
  g_source_attach (relay, gate->context);
  g_source_unref (relay);
  gate->admit (fds[1], trusted, gate->user_data);
}

static gboolean
visitor_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  Visitor *visitor = (Visitor *)source;
  gboolean good, display;
  int fd = visitor->fd;

  if (visitor->gate->closed)
    return G_SOURCE_REMOVE;
  if (!look (visitor, &good, &display))
    {
      /* What is there already would wake us again and again. */
      if (visitor->tries > 0)
        {
          if (visitor->tag != NULL)
            g_source_remove_unix_fd (source, g_steal_pointer (&visitor->tag));
          g_source_set_ready_time (source, g_get_monotonic_time () + AGAIN_US);
        }
      return G_SOURCE_CONTINUE;
    }
  if (good)
    {
      visitor->fd = -1;
      if (visitor->tag != NULL)
        g_source_remove_unix_fd (source, g_steal_pointer (&visitor->tag));
      if (display)
        begin_relay (visitor->gate, fd, visitor->trusted);
      else
        visitor->gate->admit (fd, visitor->trusted, visitor->gate->user_data);
    }
  return G_SOURCE_REMOVE;
}

static void
visitor_finalize (GSource *source)
{
  Visitor *visitor = (Visitor *)source;

  if (visitor->fd >= 0)
    close (visitor->fd);
}

static const GSourceFuncs visitor_funcs = { .dispatch = visitor_dispatch,
                                            .finalize = visitor_finalize };

void
spice_gate_add (SpiceGate *gate, int fd, gboolean trusted)
{
  Visitor *visitor = (Visitor *)g_source_new ((GSourceFuncs *)&visitor_funcs, sizeof (Visitor));

  visitor->gate = gate;
  visitor->fd = fd;
  visitor->trusted = trusted;
  visitor->tag = g_source_add_unix_fd (&visitor->source, fd, G_IO_IN | G_IO_HUP | G_IO_ERR);
  g_source_attach (&visitor->source, gate->context);
  g_source_unref (&visitor->source);
}

static gboolean
on_connection (int listener, GIOCondition condition, gpointer user_data)
{
  SpiceGate *gate = user_data;
  int fd = spice_listener_accept (listener);

  if (fd >= 0)
    spice_gate_add (gate, fd, FALSE);
  return G_SOURCE_CONTINUE;
}

static gboolean
close_gate (gpointer user_data)
{
  SpiceGate *gate = user_data;

  gate->closed = TRUE;
  for (guint i = gate->relays->len; i-- > 0;)
    spice_relay_hurry (g_ptr_array_index (gate->relays, i));
  return G_SOURCE_REMOVE;
}

void
spice_gate_close (SpiceGate *gate)
{
  GSource *source = g_idle_source_new ();

  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, close_gate, gate, NULL);
  g_source_attach (source, gate->context);
  g_source_unref (source);
}

SpiceGate *
spice_gate_new (int listener, SpiceGateAdmit admit, gpointer user_data)
{
  SpiceGate *gate = g_new0 (SpiceGate, 1);
  GSource *source;

  gate->listener = listener;
  gate->admit = admit;
  gate->user_data = user_data;
  gate->relays = g_ptr_array_new ();
  gate->context = g_main_context_new ();
  if (listener >= 0)
    {
      source = g_unix_fd_source_new (listener, G_IO_IN);
      g_source_set_callback (source, G_SOURCE_FUNC (on_connection), gate, NULL);
      g_source_attach (source, gate->context);
      g_source_unref (source);
    }
  gate->thread = g_thread_new ("spice-gate", gate_thread, gate);
  return gate;
}

void
spice_gate_free (SpiceGate *gate)
{
  if (gate == NULL)
    return;
  g_atomic_int_set (&gate->quit, TRUE);
  g_main_context_wakeup (gate->context);
  g_thread_join (gate->thread);
  g_main_context_unref (gate->context); /* ends the sources, which close their sockets */
  g_ptr_array_unref (gate->relays);
  if (gate->listener >= 0)
    close (gate->listener);
  g_free (gate);
}
