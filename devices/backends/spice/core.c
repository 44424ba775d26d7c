/* SPDX-License-Identifier: GPL-3.0-or-later */
/* spice-server's timers and watches as sources of the SPICE thread's own GMainContext. */
#include "devices/backends/spice/spice-private.h"
#include <glib-unix.h>

/* NULL before the server is there and when it is gone: what it left behind is called no more.
 *
 * channel_event has no argument that leads to its server, so the thread knows it: each SPICE thread
 * serves exactly one. Thread-local, so two machines in one process do not meet here. */
static _Thread_local SpiceBackend *current_backend;

void
spice_core_set_current (SpiceBackend *spice)
{
  current_backend = spice;
}

static void
core_channel_event (int event, SpiceChannelEventInfo *info)
{
  if (current_backend != NULL)
    spice_backend_channel_event (current_backend, event, info);
}

/* SpiceTimer is ours to define; it starts with its GSource. */
struct SpiceTimer
{
  GSource source;
  SpiceTimerFunc func;
  void *opaque;
};

static gboolean
timer_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  SpiceTimer *timer = (SpiceTimer *)source;

  if (current_backend == NULL)
    return G_SOURCE_REMOVE;
  g_source_set_ready_time (source, -1);
  timer->func (timer->opaque);
  return G_SOURCE_CONTINUE;
}

static const GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

static SpiceTimer *
core_timer_add (SpiceTimerFunc func, void *opaque)
{
  SpiceTimer *timer =
      (SpiceTimer *)g_source_new ((GSourceFuncs *)&timer_funcs, sizeof (SpiceTimer));

  timer->func = func;
  timer->opaque = opaque;
  g_source_attach (&timer->source, g_main_context_get_thread_default ());
  return timer;
}

static void
core_timer_start (SpiceTimer *timer, uint32_t ms)
{
  g_source_set_ready_time (&timer->source, g_get_monotonic_time () + (gint64)ms * 1000);
}

static void
core_timer_cancel (SpiceTimer *timer)
{
  g_source_set_ready_time (&timer->source, -1);
}

static void
core_timer_remove (SpiceTimer *timer)
{
  g_source_destroy (&timer->source);
  g_source_unref (&timer->source);
}

struct SpiceWatch
{
  GSource source;
  int fd;
  int mask;
  gpointer tag; /* NULL while the mask is 0: a hang-up must not spin then */
  SpiceWatchFunc func;
  void *opaque;
};

static gboolean
watch_check (GSource *source)
{
  SpiceWatch *watch = (SpiceWatch *)source;

  return watch->tag != NULL && g_source_query_unix_fd (source, watch->tag) != 0;
}

static gboolean
watch_prepare (GSource *source, int *timeout)
{
  *timeout = -1;
  return FALSE;
}

static gboolean
watch_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  SpiceWatch *watch = (SpiceWatch *)source;
  GIOCondition condition;
  int events = 0;

  if (current_backend == NULL)
    return G_SOURCE_REMOVE;
  if (watch->tag == NULL)
    return G_SOURCE_CONTINUE;
  condition = g_source_query_unix_fd (source, watch->tag);
  if (condition & (G_IO_IN | G_IO_HUP | G_IO_ERR))
    events |= SPICE_WATCH_EVENT_READ;
  if (condition & (G_IO_OUT | G_IO_HUP | G_IO_ERR))
    events |= SPICE_WATCH_EVENT_WRITE;
  events &= watch->mask;
  if (events != 0)
    watch->func (watch->fd, events, watch->opaque);
  return G_SOURCE_CONTINUE;
}

static const GSourceFuncs watch_funcs = { watch_prepare, watch_check, watch_dispatch,
                                          NULL,          NULL,        NULL };

static void
core_watch_update_mask (SpiceWatch *watch, int mask)
{
  GIOCondition condition = 0;

  if (mask == watch->mask)
    return;
  watch->mask = mask;
  if (mask & SPICE_WATCH_EVENT_READ)
    condition |= G_IO_IN | G_IO_HUP | G_IO_ERR;
  if (mask & SPICE_WATCH_EVENT_WRITE)
    condition |= G_IO_OUT | G_IO_HUP | G_IO_ERR;
  if (condition == 0)
    g_source_remove_unix_fd (&watch->source, g_steal_pointer (&watch->tag));
  else if (watch->tag == NULL)
    watch->tag = g_source_add_unix_fd (&watch->source, watch->fd, condition);
  else
    g_source_modify_unix_fd (&watch->source, watch->tag, condition);
}

static SpiceWatch *
core_watch_add (int fd, int mask, SpiceWatchFunc func, void *opaque)
{
  SpiceWatch *watch =
      (SpiceWatch *)g_source_new ((GSourceFuncs *)&watch_funcs, sizeof (SpiceWatch));

  watch->fd = fd;
  watch->func = func;
  watch->opaque = opaque;
  core_watch_update_mask (watch, mask);
  g_source_attach (&watch->source, g_main_context_get_thread_default ());
  return watch;
}

static void
core_watch_remove (SpiceWatch *watch)
{
  g_source_destroy (&watch->source);
  g_source_unref (&watch->source);
}

void
spice_core_init (SpiceCoreInterface *core)
{
  *core = (SpiceCoreInterface){
    .base = { SPICE_INTERFACE_CORE, "alcove", SPICE_INTERFACE_CORE_MAJOR,
              SPICE_INTERFACE_CORE_MINOR },
    .timer_add = core_timer_add,
    .timer_start = core_timer_start,
    .timer_cancel = core_timer_cancel,
    .timer_remove = core_timer_remove,
    .watch_add = core_watch_add,
    .watch_update_mask = core_watch_update_mask,
    .watch_remove = core_watch_remove,
    .channel_event = core_channel_event,
  };
}

typedef struct
{
  GSource source;
  void (*func) (gpointer user_data);
  gpointer user_data;
} Wake;

static gboolean
wake_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  Wake *wake = (Wake *)source;

  g_source_set_ready_time (source, -1);
  wake->func (wake->user_data);
  return G_SOURCE_CONTINUE;
}

static const GSourceFuncs wake_funcs = { .dispatch = wake_dispatch };

GSource *
spice_wake_new (SpiceBackend *spice, void (*func) (gpointer user_data), gpointer user_data)
{
  Wake *wake = (Wake *)g_source_new ((GSourceFuncs *)&wake_funcs, sizeof (Wake));

  wake->func = func;
  wake->user_data = user_data;
  g_source_attach (&wake->source, spice->context);
  return &wake->source;
}

void
spice_wake (GSource *source)
{
  g_source_set_ready_time (source, 0);
}

void
spice_wake_free (GSource *source)
{
  g_source_destroy (source);
  g_source_unref (source);
}
