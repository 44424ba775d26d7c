/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Every instant of creating, reverting and deleting: the process is killed there, or the disk is
 * full there, and what is found afterwards is the old set or the new one, with nothing left over. */
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cut.h"
#include "snapshot-fixture.h"

/* Every so many calls; all of them in the long run. Real images make more calls. */
#ifdef REAL_IMAGES
#define STEP 7
#else
#define STEP 2
#endif

typedef struct
{
  const char *name;
  gboolean (*run) (Fixture *f, GError **error);
  /* What may be found: "PRESENT | TREE", NULL-terminated. */
  const char *allowed[4];
} Operation;

static gboolean
run_create (Fixture *f, GError **error)
{
  AlcoveSnapshotWords words = { .name = "three" };

  return alcove_snapshots_create (&f->work, &words, NULL, error);
}

static gboolean
run_revert (Fixture *f, GError **error)
{
  return alcove_snapshots_revert (&f->work, "one", FALSE, error);
}

static gboolean
run_revert_keep (Fixture *f, GError **error)
{
  return alcove_snapshots_revert (&f->work, "one", TRUE, error);
}

static gboolean
run_delete (Fixture *f, GError **error)
{
  return alcove_snapshots_delete (&f->work, "one", NULL, error);
}

static gboolean
run_delete_current (Fixture *f, GError **error)
{
  return alcove_snapshots_delete (&f->work, "two", NULL, error);
}

#define OLD "name=title-3 s3 d3 v3 t3 -"
#define NEW "name=one s1 d1 v1 t1 -"
static const Operation operations[] = {
  { "create", run_create, { OLD " | one< two*<one ", OLD " | one< two<one three*<two ", NULL } },
  { "revert", run_revert, { OLD " | one< two*<one ", NEW " | one*< two<one ", NULL } },
  { "revert-keep",
    run_revert_keep,
    { OLD " | one< two*<one ", OLD " | one< two<one Before reverting to one*<two ",
      NEW " | one*< two<one Before reverting to one<two ", NULL } },
  { "delete", run_delete, { OLD " | one< two*<one ", OLD " | two*< ", NULL } },
  { "delete-current", run_delete_current, { OLD " | one< two*<one ", OLD " | one*< ", NULL } },
};

static void
prepare (Fixture *f)
{
  fixture_setup (f, NULL);
  g_free (fixture_create (f, "one"));
  fixture_change (f, 2, TRUE);
  g_free (fixture_create (f, "two"));
  fixture_change (f, 3, FALSE);
}

/* Returns whether the operation is seen to be done; asserts that it is one of the allowed states. */
static gboolean
check (Fixture *f, const Operation *operation, guint at)
{
  g_autofree char *present = fixture_describe_present (f);
  g_autofree char *tree = fixture_describe_tree (f);
  g_autofree char *both = g_strdup_printf ("%s | %s", present, tree);

  for (guint i = 0; operation->allowed[i] != NULL; i++)
    if (strcmp (both, operation->allowed[i]) == 0)
      return operation->allowed[i + 1] == NULL;
  g_error ("%s cut at call %u leaves: %s", operation->name, at, both);
}

/* Runs func in a child process that is killed at call number at. TRUE: it was. */
static gboolean
run_killed (Fixture *f, gboolean (*func) (Fixture *f, GError **error), guint at)
{
  pid_t pid = fork ();
  int status;

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0)
    {
      cut_set (CUT_KILL, at);
      _exit (func (f, NULL) ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  if (WIFSIGNALED (status))
    {
      g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
      return TRUE;
    }
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  return FALSE;
}

static gboolean
recover (Fixture *f, GError **error)
{
  return alcove_snapshots_recover (&f->work, error);
}

static void
test_kill (gconstpointer data)
{
  const Operation *operation = data;
  gboolean done = FALSE, killed = TRUE, all = g_getenv ("ALCOVE_SNAPSHOT_CUTS") != NULL;
  guint at;

  for (at = 1; killed; at += all ? 1 : STEP)
    {
      g_autoptr (GError) error = NULL;
      Fixture f;

      prepare (&f);
      killed = run_killed (&f, operation->run, at);
      g_assert_true (recover (&f, &error));
      g_assert_no_error (error);
      done = check (&f, operation, at);
      fixture_teardown (&f, NULL);
    }
  g_assert_true (done); /* the run that nobody killed */
  g_assert_cmpuint (at, >, 10);
  g_test_message ("%s: killed at %u calls", operation->name, at - 2);
}

/* The recovery is killed too. */
static void
test_kill_twice (gconstpointer data)
{
  const Operation *operation = data;
  gboolean killed = TRUE;

  gboolean all = g_getenv ("ALCOVE_SNAPSHOT_CUTS") != NULL;

  for (guint at = 1; killed; at += all ? 1 : 11 * STEP)
    {
      gboolean again = TRUE;

      for (guint second = 1 + at % 7; again; second += all ? 1 : 9)
        {
          g_autoptr (GError) error = NULL;
          Fixture f;

          prepare (&f);
          killed = run_killed (&f, operation->run, at);
          again = killed && run_killed (&f, recover, second);
          g_assert_true (recover (&f, &error));
          (void)check (&f, operation, at);
          fixture_teardown (&f, NULL);
        }
    }
}

/* The disk is full at one call, then there is room again. */
static void
test_full (gconstpointer data)
{
  const Operation *operation = data;
  gboolean hit = TRUE, all = g_getenv ("ALCOVE_SNAPSHOT_CUTS") != NULL;

  for (guint at = 1; hit; at += all ? 1 : 2 * STEP)
    {
      g_autoptr (GError) error = NULL;
      gboolean good;
      Fixture f;

      prepare (&f);
      cut_set (CUT_ENOSPC, at);
      good = operation->run (&f, &error);
      hit = cut_get_count () >= at;
      cut_set (CUT_NOTHING, 0);
      if (!good)
        {
          g_assert_nonnull (error);
          g_assert_nonnull (strstr (error->message, "No space left"));
        }
      g_clear_error (&error);
      g_assert_true (recover (&f, &error));
      (void)check (&f, operation, at);
      fixture_teardown (&f, NULL);
    }
}

int
main (int argc, char **argv)
{
  int status;

  /* Thousands of small files: in memory where there is a place. */
  app_dirs_init_in (access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (operations); i++)
    {
      g_autofree char *kill = g_strconcat ("/snapshot/kill/", operations[i].name, NULL);
      g_autofree char *twice = g_strconcat ("/snapshot/kill-twice/", operations[i].name, NULL);
      g_autofree char *full = g_strconcat ("/snapshot/full/", operations[i].name, NULL);

      g_test_add_data_func (kill, &operations[i], test_kill);
      g_test_add_data_func (twice, &operations[i], test_kill_twice);
      g_test_add_data_func (full, &operations[i], test_full);
    }
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
