/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/schedule.h"

#include <stdio.h>

#include "app/machine-snapshots.h"

struct _RunnerSchedule
{
  int ref_count; /* calls under way hold it */
  AlcoveMachine *machine;
  GCancellable *cancellable;
  guint timer, keep;
  gboolean busy;
  char *told; /* (nullable) why there was none the last time: said once */
};

static void
unref (RunnerSchedule *self)
{
  if (--self->ref_count > 0)
    return;
  g_clear_object (&self->machine);
  g_clear_object (&self->cancellable);
  g_free (self->told);
  g_free (self);
}

static void
on_pruned (GObject *source, GAsyncResult *result, gpointer user_data)
{
  RunnerSchedule *self = user_data;
  g_autoptr (GError) error = NULL;

  if (!alcove_machine_finish (ALCOVE_MACHINE (source), result, &error))
    fprintf (stderr, "alcove-vmm: old automatic snapshots cannot be deleted: %s\n", error->message);
  self->busy = FALSE;
  unref (self);
}

/* The same again is no news: a machine that cannot be saved, because of a card, stays so. */
static void
tell (RunnerSchedule *self, const char *why)
{
  if (g_strcmp0 (why, self->told) == 0)
    return;
  fprintf (stderr, "alcove-vmm: no automatic snapshot: %s\n", why);
  g_free (self->told);
  self->told = g_strdup (why);
}

static void
on_taken (GObject *source, GAsyncResult *result, gpointer user_data)
{
  RunnerSchedule *self = user_data;
  g_autoptr (GError) error = NULL;
  g_autofree char *id =
      alcove_machine_create_snapshot_finish (ALCOVE_MACHINE (source), result, &error);

  if (id != NULL && !g_cancellable_is_cancelled (self->cancellable))
    {
      g_clear_pointer (&self->told, g_free);
      alcove_machine_prune_snapshots_async (self->machine, self->keep, self->cancellable, on_pruned,
                                            self);
      return;
    }
  if (id == NULL)
    tell (self, error->message);
  self->busy = FALSE;
  unref (self);
}

static void
on_looked (GObject *source, GAsyncResult *result, gpointer user_data)
{
  RunnerSchedule *self = user_data;

  (void)alcove_machine_finish (ALCOVE_MACHINE (source), result, NULL);
  /* A machine that stands still changes nothing that would be worth one. */
  if (alcove_machine_get_state (self->machine) == ALCOVE_MACHINE_RUNNING &&
      !g_cancellable_is_cancelled (self->cancellable))
    {
      alcove_machine_create_snapshot_async (self->machine, NULL, NULL, "schedule", NULL, NULL,
                                            self->cancellable, on_taken, self);
      return;
    }
  self->busy = FALSE;
  unref (self);
}

static gboolean
on_time (gpointer user_data)
{
  RunnerSchedule *self = user_data;

  if (self->busy)
    return G_SOURCE_CONTINUE;
  self->busy = TRUE;
  self->ref_count++;
  alcove_machine_refresh_async (self->machine, NULL, on_looked, self);
  return G_SOURCE_CONTINUE;
}

RunnerSchedule *
runner_schedule_new (const char *machine_folder, AlcoveDefinition *definition)
{
  const AlcoveSnapshotsConfig *config = alcove_definition_get_snapshots (definition);
  RunnerSchedule *self;

  if (config == NULL || config->every == 0)
    return NULL;
  self = g_new0 (RunnerSchedule, 1);
  self->ref_count = 1;
  self->machine = alcove_machine_new (machine_folder);
  self->cancellable = g_cancellable_new ();
  self->keep = config->keep;
  self->timer = g_timeout_add_seconds (config->every * 60, on_time, self);
  return self;
}

void
runner_schedule_free (RunnerSchedule *self)
{
  if (self == NULL)
    return;
  g_clear_handle_id (&self->timer, g_source_remove);
  g_cancellable_cancel (self->cancellable);
  unref (self);
}
