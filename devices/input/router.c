/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "devices/input/router.h"
#include <linux/input-event-codes.h>

/* Two locks, so that a device may report readiness from inside its register handlers (device lock
 * held) while another thread delivers to it (the sink takes the device lock):
 *   delivery  held while sinks are called; add, remove and every input_router_<event>
 *   state     readiness only; a leaf, held for a few instructions
 * notify is held while the mode and LED functions run, so that clearing one waits for it. */

typedef struct
{
  const InputSinkOps *ops;
  gpointer sink;
  guint64 ready_since; /* 0: not ready; larger is later */
  guint buttons;       /* last told */
  gboolean unsynced;   /* got events since its last sync */
} Sink;

struct _InputRouter
{
  GMutex delivery, state, notify;
  GPtrArray *sinks; /* Sink; writes need delivery and state, reads either */
  guint64 sequence; /* state */

  /* delivery */
  Sink *holders[KEY_CNT]; /* who got the press of a key that is down */
  gboolean pointer_relative;
  guint buttons;
  Sink *button_holder;

  /* notify */
  gboolean absolute_told;
  void (*mode_func) (gpointer user_data, gboolean absolute);
  gpointer mode_data;
  void (*leds_func) (gpointer user_data, guint leds);
  gpointer leds_data;
};

InputRouter *
input_router_new (void)
{
  InputRouter *router = g_new0 (InputRouter, 1);

  g_mutex_init (&router->delivery);
  g_mutex_init (&router->state);
  g_mutex_init (&router->notify);
  router->sinks = g_ptr_array_new_with_free_func (g_free);
  return router;
}

void
input_router_free (InputRouter *router)
{
  if (router == NULL)
    return;
  g_ptr_array_unref (router->sinks);
  g_mutex_clear (&router->delivery);
  g_mutex_clear (&router->state);
  g_mutex_clear (&router->notify);
  g_free (router);
}

static Sink *
find_sink (InputRouter *router, gpointer sink)
{
  for (guint i = 0; i < router->sinks->len; i++)
    {
      Sink *s = g_ptr_array_index (router->sinks, i);

      if (s->sink == sink)
        return s;
    }
  return NULL;
}

/* The sink that became ready last among those that take the op at op_offset of InputSinkOps. */
static Sink *
pick (InputRouter *router, gsize op_offset)
{
  Sink *best = NULL;

  g_mutex_lock (&router->state);
  for (guint i = 0; i < router->sinks->len; i++)
    {
      Sink *s = g_ptr_array_index (router->sinks, i);

      if (G_STRUCT_MEMBER (gpointer, s->ops, op_offset) == NULL || s->ready_since == 0)
        continue;
      if (best == NULL || s->ready_since > best->ready_since)
        best = s;
    }
  g_mutex_unlock (&router->state);
  return best;
}
#define PICK(router, op) pick (router, G_STRUCT_OFFSET (InputSinkOps, op))

static void
tell_mode (InputRouter *router)
{
  gboolean absolute;

  g_mutex_lock (&router->notify);
  absolute = input_router_has_absolute (router);
  if (absolute != router->absolute_told)
    {
      router->absolute_told = absolute;
      if (router->mode_func != NULL)
        router->mode_func (router->mode_data, absolute);
    }
  g_mutex_unlock (&router->notify);
}

void
input_router_add_sink (InputRouter *router, const InputSinkOps *ops, gpointer sink)
{
  Sink *s = g_new0 (Sink, 1);

  s->ops = ops;
  s->sink = sink;
  g_mutex_lock (&router->delivery);
  g_mutex_lock (&router->state);
  g_ptr_array_add (router->sinks, s);
  g_mutex_unlock (&router->state);
  g_mutex_unlock (&router->delivery);
}

void
input_router_remove_sink (InputRouter *router, gpointer sink)
{
  Sink *s;

  g_mutex_lock (&router->delivery);
  s = find_sink (router, sink);
  if (s != NULL)
    {
      for (guint i = 0; i < KEY_CNT; i++)
        if (router->holders[i] == s)
          router->holders[i] = NULL;
      if (router->button_holder == s)
        router->button_holder = NULL;
      g_mutex_lock (&router->state);
      g_ptr_array_remove (router->sinks, s);
      g_mutex_unlock (&router->state);
    }
  g_mutex_unlock (&router->delivery);
  tell_mode (router);
}

void
input_router_set_ready (InputRouter *router, gpointer sink, gboolean ready)
{
  Sink *s;

  g_mutex_lock (&router->state);
  s = find_sink (router, sink);
  if (s != NULL && ready != (s->ready_since != 0))
    s->ready_since = ready ? ++router->sequence : 0;
  g_mutex_unlock (&router->state);
  tell_mode (router);
}

gboolean
input_router_has_absolute (InputRouter *router)
{
  return PICK (router, absolute) != NULL;
}

void
input_router_set_mode_func (InputRouter *router,
                            void (*func) (gpointer user_data, gboolean absolute),
                            gpointer user_data)
{
  g_mutex_lock (&router->notify);
  router->mode_func = func;
  router->mode_data = user_data;
  router->absolute_told = input_router_has_absolute (router);
  g_mutex_unlock (&router->notify);
}

void
input_router_set_leds_func (InputRouter *router,
                            void (*func) (gpointer user_data, guint leds),
                            gpointer user_data)
{
  g_mutex_lock (&router->notify);
  router->leds_func = func;
  router->leds_data = user_data;
  g_mutex_unlock (&router->notify);
}

void
input_router_set_leds (InputRouter *router, guint leds)
{
  g_mutex_lock (&router->notify);
  if (router->leds_func != NULL)
    router->leds_func (router->leds_data, leds & 7);
  g_mutex_unlock (&router->notify);
}

static void
key_locked (InputRouter *router, guint keycode, gboolean down)
{
  Sink *holder = router->holders[keycode];
  Sink *target = holder;

  /* A release goes where the press went, even when another keyboard has taken over since. */
  if (down)
    {
      target = PICK (router, key);
      if (holder != NULL && holder != target)
        {
          holder->ops->key (holder->sink, keycode, FALSE);
          holder->unsynced = TRUE;
        }
    }
  router->holders[keycode] = down ? target : NULL;
  if (target == NULL)
    return;
  target->ops->key (target->sink, keycode, down);
  target->unsynced = TRUE;
}

void
input_router_key (InputRouter *router, guint keycode, gboolean down)
{
  if (keycode == 0 || keycode >= KEY_CNT)
    return;
  g_mutex_lock (&router->delivery);
  key_locked (router, keycode, down);
  g_mutex_unlock (&router->delivery);
}

void
input_router_absolute (InputRouter *router, guint x, guint y)
{
  Sink *target;

  g_mutex_lock (&router->delivery);
  router->pointer_relative = FALSE;
  target = PICK (router, absolute);
  if (target != NULL)
    {
      target->ops->absolute (target->sink, MIN (x, INPUT_ABS_MAX), MIN (y, INPUT_ABS_MAX));
      target->unsynced = TRUE;
    }
  g_mutex_unlock (&router->delivery);
}

void
input_router_relative (InputRouter *router, int dx, int dy)
{
  Sink *target;

  g_mutex_lock (&router->delivery);
  router->pointer_relative = TRUE;
  target = PICK (router, relative);
  if (target != NULL)
    {
      target->ops->relative (target->sink, dx, dy);
      target->unsynced = TRUE;
    }
  g_mutex_unlock (&router->delivery);
}

/* The pointer that buttons and wheel belong to: the kind that moved last, or whatever is ready. */
static Sink *
pick_pointer_locked (InputRouter *router)
{
  Sink *absolute = PICK (router, absolute);
  Sink *relative = PICK (router, relative);

  if (router->pointer_relative)
    return relative != NULL ? relative : absolute;
  return absolute != NULL ? absolute : relative;
}

static void
buttons_to_locked (Sink *sink, guint buttons)
{
  if (sink->ops->buttons == NULL || sink->buttons == buttons)
    return;
  sink->buttons = buttons;
  sink->ops->buttons (sink->sink, buttons);
  sink->unsynced = TRUE;
}

static void
buttons_locked (InputRouter *router, guint buttons)
{
  Sink *target = pick_pointer_locked (router);

  if (router->button_holder != NULL && router->button_holder != target)
    buttons_to_locked (router->button_holder, 0);
  router->buttons = buttons;
  router->button_holder = target;
  if (target != NULL)
    buttons_to_locked (target, buttons);
}

void
input_router_buttons (InputRouter *router, guint buttons)
{
  g_mutex_lock (&router->delivery);
  buttons_locked (router, buttons);
  g_mutex_unlock (&router->delivery);
}

void
input_router_wheel (InputRouter *router, int vertical, int horizontal)
{
  Sink *target;

  if (vertical == 0 && horizontal == 0)
    return;
  g_mutex_lock (&router->delivery);
  target = pick_pointer_locked (router);
  if (target != NULL && target->ops->wheel != NULL)
    {
      target->ops->wheel (target->sink, vertical, horizontal);
      target->unsynced = TRUE;
    }
  g_mutex_unlock (&router->delivery);
}

static void
sync_locked (InputRouter *router)
{
  for (guint i = 0; i < router->sinks->len; i++)
    {
      Sink *s = g_ptr_array_index (router->sinks, i);

      if (!s->unsynced)
        continue;
      s->unsynced = FALSE;
      if (s->ops->sync != NULL)
        s->ops->sync (s->sink);
    }
}

void
input_router_sync (InputRouter *router)
{
  g_mutex_lock (&router->delivery);
  sync_locked (router);
  g_mutex_unlock (&router->delivery);
}

void
input_router_release_all (InputRouter *router)
{
  g_mutex_lock (&router->delivery);
  for (guint i = 0; i < KEY_CNT; i++)
    if (router->holders[i] != NULL)
      key_locked (router, i, FALSE);
  if (router->buttons != 0)
    buttons_locked (router, 0);
  sync_locked (router);
  g_mutex_unlock (&router->delivery);
}
