/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A revert is killed at its system calls; whoever starts the machine looks for a saved state then,
 * and what runs is what the revert left in the end: the old set or the new one, resumed when that
 * has memory, booted when it has none. */
#include "app/runner/recovery.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/error.h"
#include "tests/unit/app/cut.h"
#include "tests/unit/app/snapshot-fixture.h"

#define STEP 5

typedef struct
{
  gboolean memory_before, memory_in_set;
} Way;

/* The set "one" and the present, each with memory or without. */
static void
prepare (Fixture *f, const Way *way)
{
  fixture_setup (f, NULL);
  fixture_change (f, 1, way->memory_in_set);
  if (way->memory_in_set)
    fixture_write (f, ALCOVE_SAVED_FOLDER "/state", "one");
  g_free (fixture_create (f, "one"));
  fixture_change (f, 2, way->memory_before);
  if (way->memory_before)
    fixture_write (f, ALCOVE_SAVED_FOLDER "/state", "two");
}

static gboolean
revert_killed (Fixture *f, guint at)
{
  pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      cut_set (CUT_KILL, at);
      _exit (alcove_snapshots_revert (&f->work, "one", FALSE, NULL) ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (WIFSIGNALED (status))
    return TRUE;
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  return FALSE;
}

/* What app/machine.c asks for when it looks at the folder as it is. */
static RunnerOptions
look (Fixture *f)
{
  RunnerOptions options = { .machine = g_strdup (f->folder), .ready_fd = -1 };

  if (alcove_saved_exists (f->folder))
    {
      options.restore = alcove_saved_dup_folder (f->folder);
      options.consume = TRUE;
      options.generation = alcove_saved_is_snapshot (f->folder);
    }
  return options;
}

static void
check (Fixture *f, const RunnerOptions *options, const Way *way, gboolean killed)
{
  g_autofree char *state = fixture_read (f, ALCOVE_SAVED_FOLDER "/state");
  g_autofree char *disk = fixture_get_disk (f, "system.qcow2");
  g_autofree char *own = alcove_saved_dup_folder (f->folder);
  gboolean done = strcmp (disk, "s1") == 0;
  gboolean memory = done ? way->memory_in_set : way->memory_before;

  g_assert_true (done || killed);
  g_assert_cmpstr (disk, ==, done ? "s1" : "s2");
  g_assert_cmpstr (state, ==, !memory ? "-" : done ? "one" : "two");
  g_assert_cmpstr (options->restore, ==, memory ? own : NULL);
  g_assert_cmpint (options->consume, ==, memory);
  /* None of these has a record: they are taken from a snapshot. */
  g_assert_cmpint (options->generation, ==, memory);
}

static void
test_killed (gconstpointer data)
{
  const Way *way = data;
  guint differences = 0;
  gboolean killed = TRUE;

  for (guint at = 1; killed; at += g_getenv ("ALCOVE_SNAPSHOT_CUTS") != NULL ? 1 : STEP)
    {
      g_autoptr (GError) error = NULL;
      RunnerOptions options;
      gboolean looked;
      Fixture f;

      prepare (&f, way);
      killed = revert_killed (&f, at);
      options = look (&f);
      looked = options.restore != NULL;
      g_assert_true (runner_recover (&options, &error));
      g_assert_no_error (error);
      check (&f, &options, way, killed);
      differences += looked != (options.restore != NULL);
      runner_options_clear (&options);
      fixture_teardown (&f, NULL);
    }
  /* Otherwise nothing of this was tried. */
  if (way->memory_before != way->memory_in_set)
    g_assert_cmpuint (differences, >, 0);
}

/* Killed when the revert is logged and nothing is in place yet. */
static void
prepare_pending (Fixture *f)
{
  static const Way way = { FALSE, TRUE };
  gboolean pending = FALSE;

  for (guint at = 1; !pending; at++)
    {
      prepare (f, &way);
      g_assert_true (revert_killed (f, at));
      pending = alcove_snapshots_is_reverting (f->folder);
      if (!pending)
        fixture_teardown (f, NULL);
    }
  g_assert_false (alcove_saved_exists (f->folder));
}

static void
test_discard (void)
{
  RunnerOptions options;
  Fixture f;

  prepare_pending (&f);
  options = look (&f);
  options.discard = TRUE;
  g_assert_true (runner_recover (&options, NULL));
  g_assert_null (options.restore);
  g_assert_false (alcove_saved_exists (f.folder));
  runner_options_clear (&options);
  fixture_teardown (&f, NULL);
}

static void
test_disposable (void)
{
  g_autoptr (GError) error = NULL;
  RunnerOptions options;
  Fixture f;

  prepare_pending (&f);
  options = look (&f);
  options.disposable = TRUE;
  g_assert_false (runner_recover (&options, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
  g_assert_true (alcove_saved_exists (f.folder));
  runner_options_clear (&options);
  fixture_teardown (&f, NULL);
}

/* Another folder was named, or nothing was cut off: what was asked for is done. */
static void
test_left_alone (void)
{
  RunnerOptions options;
  Fixture f;

  prepare_pending (&f);
  options = look (&f);
  options.restore = g_strdup ("/elsewhere");
  g_assert_true (runner_recover (&options, NULL));
  g_assert_cmpstr (options.restore, ==, "/elsewhere");
  g_assert_false (options.consume);
  g_clear_pointer (&options.restore, g_free);
  g_assert_true (runner_recover (&options, NULL));
  g_assert_null (options.restore);
  runner_options_clear (&options);
  fixture_teardown (&f, NULL);
}

int
main (int argc, char **argv)
{
  static const Way ways[] = { { FALSE, TRUE }, { TRUE, FALSE }, { TRUE, TRUE } };
  int status;

  app_dirs_init_in (access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/recovery/to-memory", &ways[0], test_killed);
  g_test_add_data_func ("/recovery/from-memory", &ways[1], test_killed);
  g_test_add_data_func ("/recovery/between-memories", &ways[2], test_killed);
  g_test_add_func ("/recovery/discard", test_discard);
  g_test_add_func ("/recovery/disposable", test_disposable);
  g_test_add_func ("/recovery/left-alone", test_left_alone);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
