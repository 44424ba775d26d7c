/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/progress.h"

struct _AlcoveReporter
{
  int ref_count;
  AlcoveProgressFunc func;
  gpointer user_data;
  GCancellable *cancellable;
  GMainContext *context;
  GMutex lock; /* below */
  guint64 done, total;
  gboolean pending;
};

AlcoveReporter *
alcove_reporter_new (AlcoveProgressFunc func, gpointer user_data, GCancellable *cancellable)
{
  AlcoveReporter *self = g_new0 (AlcoveReporter, 1);

  self->ref_count = 1;
  self->func = func;
  self->user_data = user_data;
  self->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  self->context = g_main_context_ref_thread_default ();
  g_mutex_init (&self->lock);
  return self;
}

AlcoveReporter *
alcove_reporter_ref (AlcoveReporter *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
alcove_reporter_unref (AlcoveReporter *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_clear_object (&self->cancellable);
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static gboolean
on_report (gpointer user_data)
{
  AlcoveReporter *self = user_data;
  guint64 done, total;

  g_mutex_lock (&self->lock);
  done = self->done;
  total = self->total;
  self->pending = FALSE;
  g_mutex_unlock (&self->lock);
  if (self->func != NULL)
    self->func (done, total, self->user_data);
  return G_SOURCE_REMOVE;
}

static void
unref (gpointer data)
{
  alcove_reporter_unref (data);
}

void
alcove_reporter_report (AlcoveReporter *self, guint64 done, guint64 total)
{
  g_autoptr (GSource) source = NULL;
  gboolean post;

  g_mutex_lock (&self->lock);
  self->done = done;
  self->total = total;
  post = !self->pending;
  self->pending = TRUE;
  g_mutex_unlock (&self->lock);
  if (!post)
    return;
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_report, alcove_reporter_ref (self), unref);
  g_source_attach (source, self->context);
}

void
alcove_reporter_stop (AlcoveReporter *self)
{
  self->func = NULL;
}

static gboolean
step (guint64 done, guint64 total, gpointer user_data)
{
  AlcoveReporter *self = user_data;

  alcove_reporter_report (self, done, total);
  return !g_cancellable_is_cancelled (self->cancellable);
}

BlockProgress
alcove_reporter_get_progress (AlcoveReporter *self)
{
  return (BlockProgress){ step, self };
}
