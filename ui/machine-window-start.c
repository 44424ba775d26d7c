/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A start: what is left of a machine that failed goes first, and a card that may not start twice is
 * spoken of before. */
#include <glib/gi18n.h>

#include "app/passthrough.h"
#include "ui/compat.h"
#include "ui/machine-window-private.h"

#define CLEAR_MS      50
#define CLEAR_RETRIES 100

static void
on_started (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineWindow) self = alcove_machine_window_take_weak (data);
  g_autoptr (GError) error = NULL;
  bool started = alcove_machine_finish (ALCOVE_MACHINE (source), result, &error);

  if (!self)
    return;
  self->starting = false;
  self->start_flags = ALCOVE_START_NONE;
  if (!started)
    {
      g_free (self->start_error);
      self->start_error = g_strdup (error->message);
    }
  alcove_machine_window_update (self);
}

static void
start (AlcoveMachineWindow *self)
{
  alcove_machine_start_async (self->machine, self->start_flags, NULL, on_started,
                              alcove_machine_window_hold_weakly (self));
}

/* The process has gone; the machine's own idea of it follows when its connection closes. */
static gboolean
start_when_clear (gpointer data)
{
  AlcoveMachineWindow *self = data;

  if (alcove_machine_is_active (self->machine) && --self->clear_left > 0)
    return G_SOURCE_CONTINUE;
  self->clear_source = 0;
  start (self);
  return G_SOURCE_REMOVE;
}

static void
on_cleared (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineWindow) self = alcove_machine_window_take_weak (data);

  /* Whether it worked shows in whether the machine can start. */
  alcove_machine_finish (ALCOVE_MACHINE (source), result, NULL);
  if (!self)
    return;
  self->clear_left = CLEAR_RETRIES;
  self->clear_source = g_timeout_add (CLEAR_MS, start_when_clear, self);
}

static void
begin_start (AlcoveMachineWindow *self)
{
  self->starting = true;
  g_clear_pointer (&self->start_error, g_free);
  /* What is left of a machine that failed may still hold it. */
  if (alcove_machine_is_active (self->machine))
    alcove_machine_force_off_async (self->machine, NULL, on_cleared,
                                    alcove_machine_window_hold_weakly (self));
  else
    start (self);
  alcove_machine_window_update (self);
}

static void
on_start_anyway (gpointer data)
{
  AlcoveMachineWindow *self = data;

  if (self->machine && !self->starting)
    begin_start (self);
}

static void
forget_start (gpointer data)
{
  g_autoptr (AlcoveMachineWindow) self = data;

  if (!self->starting)
    self->start_flags = ALCOVE_START_NONE;
}

/* Some cards do not come back from a reset: it is said before the host may need a restart, not after. */
static void
on_risk_known (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (AlcoveMachineWindow) self = alcove_machine_window_take_weak (data);
  g_autoptr (AlcoveCard) card =
      alcove_machine_find_risky_card_finish (ALCOVE_MACHINE (source), result, NULL);
  g_autofree char *body = NULL;

  if (!self)
    return;
  if (!card)
    {
      begin_start (self);
      return;
    }
  self->starting = false;
  alcove_machine_window_update (self);
  body = g_strdup_printf (
      _ ("%s was in a machine once since this computer started. It may not start a second time: "
         "the machine, or the whole computer, may then hang until you restart it. Save your work "
         "first."),
      card->name);
  alcove_compat_ask (GTK_WIDGET (self), _ ("Start with This Card Again?"), body, NULL,
                     _ ("_Start Anyway"), TRUE, on_start_anyway, g_object_ref (self), forget_start);
}

/**
 * alcove_machine_window_start:
 *
 * Starts the machine if it is off; a failure becomes a page of the window.
 */
void
alcove_machine_window_start (AlcoveMachineWindow *self)
{
  bool failed = alcove_machine_get_state (self->machine) == ALCOVE_MACHINE_FAILED;

  if (self->starting || (alcove_machine_is_active (self->machine) && !failed))
    return;
  self->starting = true;
  alcove_machine_find_risky_card_async (self->machine, NULL, on_risk_known,
                                        alcove_machine_window_hold_weakly (self));
  alcove_machine_window_update (self);
}

void
alcove_machine_window_on_start_disposable (GtkWidget *widget, const char *name, GVariant *parameter)
{
  AlcoveMachineWindow *self = ALCOVE_MACHINE_WINDOW (widget);

  if (self->starting || alcove_machine_is_active (self->machine))
    return;
  self->start_flags = ALCOVE_START_DISPOSABLE;
  alcove_machine_window_start (self);
}

void
alcove_machine_window_on_start (GtkWidget *widget, const char *name, GVariant *parameter)
{
  alcove_machine_window_start (ALCOVE_MACHINE_WINDOW (widget));
}
