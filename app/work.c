/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/work.h"

struct _AlcoveWork
{
  int ref_count;
  AlcoveProgressFunc progress;
  gpointer progress_data;
  GCancellable *cancellable;
  GMainContext *context;
  BlockProgress block;
  GMutex lock;
  guint64 done, total;
  gboolean pending; /* a report is on its way */
};

void
alcove_work_unref (AlcoveWork *work)
{
  if (work == NULL || !g_atomic_int_dec_and_test (&work->ref_count))
    return;
  g_clear_object (&work->cancellable);
  g_main_context_unref (work->context);
  g_mutex_clear (&work->lock);
  g_free (work);
}

static void
unref_data (gpointer data)
{
  alcove_work_unref (data);
}

static gboolean
on_report (gpointer user_data)
{
  AlcoveWork *work = user_data;
  guint64 done, total;

  g_mutex_lock (&work->lock);
  done = work->done;
  total = work->total;
  work->pending = FALSE;
  g_mutex_unlock (&work->lock);
  if (!g_cancellable_is_cancelled (work->cancellable))
    work->progress (done, total, work->progress_data);
  return G_SOURCE_REMOVE;
}

static gboolean
on_step (guint64 done, guint64 total, gpointer user_data)
{
  AlcoveWork *work = user_data;
  gboolean post;

  if (work->progress != NULL)
    {
      g_mutex_lock (&work->lock);
      work->done = done;
      work->total = total;
      post = !work->pending;
      work->pending = TRUE;
      g_mutex_unlock (&work->lock);
      if (post)
        {
          g_autoptr (GSource) source = g_idle_source_new ();

          g_atomic_int_inc (&work->ref_count);
          g_source_set_priority (source, G_PRIORITY_DEFAULT);
          g_source_set_callback (source, on_report, work, unref_data);
          g_source_attach (source, work->context);
        }
    }
  return !g_cancellable_is_cancelled (work->cancellable);
}

AlcoveWork *
alcove_work_new (AlcoveProgressFunc progress, gpointer progress_data, GCancellable *cancellable)
{
  AlcoveWork *work = g_new0 (AlcoveWork, 1);

  work->ref_count = 1;
  work->progress = progress;
  work->progress_data = progress_data;
  work->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  work->context = g_main_context_ref_thread_default ();
  work->block.step = on_step;
  work->block.user_data = work;
  g_mutex_init (&work->lock);
  return work;
}

const BlockProgress *
alcove_work_get_progress (AlcoveWork *work)
{
  return &work->block;
}
