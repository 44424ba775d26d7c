/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/recovery.h"

#include <string.h>

#include "app/error.h"
#include "app/saved.h"
#include "app/snapshot-work.h"

/* The machine's own saved state; somebody who named another folder means that one. */
static gboolean
is_own (const RunnerOptions *options, const char *own)
{
  g_autofree char *named =
      options->restore != NULL ? g_canonicalize_filename (options->restore, NULL) : NULL;

  return named == NULL || strcmp (named, own) == 0;
}

static gboolean
follow (RunnerOptions *options, GError **error)
{
  g_autofree char *folder = g_canonicalize_filename (options->machine, NULL);
  g_autofree char *own = alcove_saved_dup_folder (folder);
  gboolean saved;

  if (!is_own (options, own))
    return TRUE;
  if (options->discard && !alcove_saved_remove (own, error))
    return FALSE;
  saved = alcove_saved_exists (folder);
  if (saved && options->disposable)
    {
      g_set_error_literal (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE,
                           "A revert that was cut off is finished now, and the machine is saved: "
                           "its disks belong to "
                           "its memory. Start it normally, or take a snapshot and clone that");
      return FALSE;
    }
  g_clear_pointer (&options->restore, g_free);
  options->consume = options->generation = FALSE;
  if (!saved)
    return TRUE;
  options->restore = g_steal_pointer (&own);
  options->consume = TRUE;
  options->generation = alcove_saved_is_snapshot (folder);
  return TRUE;
}

gboolean
runner_recover (RunnerOptions *options, GError **error)
{
  AlcoveSnapshotWork work = { .folder = options->machine, .access = &alcove_disk_access_files };
  gboolean reverting = alcove_snapshots_is_reverting (options->machine);
  g_autoptr (AlcoveLock) lock = NULL;

  if (!alcove_snapshots_need_recovery (options->machine))
    return TRUE;
  lock = alcove_snapshots_lock (options->machine, "repairs the snapshots", error);
  return lock != NULL && alcove_snapshots_recover (&work, error) &&
         (!reverting || follow (options, error));
}
