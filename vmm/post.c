/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/post.h"

struct _VmmPost
{
  gint refs; /* atomic: the owner's, and one for the worker while it has the call */
  VmmWorker *worker;
  void (*func) (gpointer user_data);
  gpointer user_data;
  GMutex lock;
  GCond ended;
  /* lock: */
  gboolean scheduled;
  guint n_running; /* more than 1: the function had the worker run calls */
  gboolean gone;
};

static void
post_unref (VmmPost *post)
{
  if (!g_atomic_int_dec_and_test (&post->refs))
    return;
  g_mutex_clear (&post->lock);
  g_cond_clear (&post->ended);
  g_free (post);
}

VmmPost *
vmm_post_new (VmmWorker *worker, void (*func) (gpointer), gpointer user_data)
{
  VmmPost *post = g_new0 (VmmPost, 1);

  post->refs = 1;
  post->worker = worker;
  post->func = func;
  post->user_data = user_data;
  g_mutex_init (&post->lock);
  g_cond_init (&post->ended);
  return post;
}

static void
run (gpointer user_data)
{
  VmmPost *post = user_data;
  gboolean gone;

  g_mutex_lock (&post->lock);
  post->scheduled = FALSE;
  gone = post->gone;
  post->n_running += !gone;
  g_mutex_unlock (&post->lock);
  if (!gone)
    {
      post->func (post->user_data);
      g_mutex_lock (&post->lock);
      post->n_running--;
      g_cond_broadcast (&post->ended);
      g_mutex_unlock (&post->lock);
    }
  post_unref (post);
}

void
vmm_post_schedule (VmmPost *post)
{
  g_mutex_lock (&post->lock);
  if (!post->scheduled && !post->gone)
    {
      post->scheduled = TRUE;
      g_atomic_int_inc (&post->refs);
      vmm_worker_post (post->worker, run, post);
    }
  g_mutex_unlock (&post->lock);
}

void
vmm_post_free (VmmPost *post)
{
  if (post == NULL)
    return;
  g_mutex_lock (&post->lock);
  post->gone = TRUE;
  /* The worker is there while the function runs, and only then. */
  while (post->n_running > 0 && !vmm_worker_is_current (post->worker))
    g_cond_wait (&post->ended, &post->lock);
  g_mutex_unlock (&post->lock);
  post_unref (post);
}
