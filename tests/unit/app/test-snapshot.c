/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>
#include "app/error.h"
#include "app/generation.h"
#include "snapshot-fixture.h"

static void
assert_tree (Fixture *f, const char *expected)
{
  g_autofree char *tree = fixture_describe_tree (f);

  g_assert_cmpstr (tree, ==, expected);
}

static void
assert_present (Fixture *f, const char *expected)
{
  g_autofree char *present = fixture_describe_present (f);

  g_assert_cmpstr (present, ==, expected);
}

static void
revert (Fixture *f, const char *name, gboolean keep)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (alcove_snapshots_revert (&f->work, name, keep, &error));
  g_assert_no_error (error);
}

static void delete (Fixture *f, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *left = NULL;

  g_assert_true (alcove_snapshots_delete (&f->work, name, &left, &error));
  g_assert_no_error (error);
  g_assert_null (left);
}

static void
test_create (Fixture *f, gconstpointer data)
{
  AlcoveSnapshotWords words = { .name = "Before the update ✓", .note = "line one\nline two" };
  g_autoptr (AlcoveSnapshots) tree = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *id = NULL;
  AlcoveSnapshot *set;
  AlcoveSnapshotDisk *disk;

  g_assert_true (alcove_snapshots_create (&f->work, &words, &id, &error));
  g_assert_true (alcove_snapshot_id_is_valid (id));
  tree = alcove_snapshots_load (f->folder, &error);
  g_assert_cmpuint (tree->snapshots->len, ==, 1);
  set = g_ptr_array_index (tree->snapshots, 0);
  g_assert_cmpstr (tree->current, ==, id);
  g_assert_cmpstr (set->name, ==, words.name);
  g_assert_cmpstr (set->note, ==, words.note);
  g_assert_false (set->automatic);
  g_assert_false (set->with_memory);
  g_assert_cmpint (ABS (set->time - g_get_real_time ()), <, 60 * G_USEC_PER_SEC);
  g_assert_cmpuint (set->disks->len, ==, 2);
  g_assert_cmpuint (set->size, >, 0);
  disk = g_ptr_array_index (set->disks, 1);
  g_assert_cmpstr (disk->name, ==, "data");
  g_assert_cmpstr (disk->file, ==, "data.qcow2");
  g_assert_cmpuint (disk->size, ==, 1 << 20);
  g_assert_cmpuint (disk->cluster_size, ==, 65536);
  g_assert_cmpint (disk->time_ns, >, 0);
}

/* Back, forth, back again: everything of the set each time, and branches. */
static void
test_revert (Fixture *f, gconstpointer data)
{
  g_free (fixture_create (f, "one"));
  fixture_change (f, 2, TRUE);
  g_free (fixture_create (f, "two"));
  fixture_change (f, 3, FALSE);
  revert (f, "one", FALSE);
  assert_present (f, "name=one s1 d1 v1 t1 -");
  assert_tree (f, "one*< two<one ");
  fixture_change (f, 4, FALSE);
  g_free (fixture_create (f, "four"));
  assert_tree (f, "one< two<one four*<one ");
  revert (f, "two", TRUE);
  assert_present (f, "name=title-2 s2 d2 v2 t2 r2"); /* with its memory */
  assert_tree (f, "one< two*<one four<one Before reverting to two<four ");
  /* The machine runs on from there: the snapshot's memory stays as it is. */
  fixture_change (f, 5, TRUE);
  revert (f, "Before reverting to two", FALSE);
  assert_present (f, "name=title-4 s4 d4 v4 t4 -");
  revert (f, "two", FALSE);
  assert_present (f, "name=title-2 s2 d2 v2 t2 r2");
}

static void
test_generation (Fixture *f, gconstpointer data)
{
  guint8 ids[4][16];

  alcove_generation_get (f->folder, "uuid-a", ids[0]);
  alcove_generation_get (f->folder, "uuid-b", ids[1]); /* a clone */
  g_assert_cmpint (memcmp (ids[0], ids[1], 16), !=, 0);
  g_free (fixture_create (f, "one"));
  alcove_generation_get (f->folder, "uuid-a", ids[2]); /* time went on */
  g_assert_cmpmem (ids[0], 16, ids[2], 16);
  revert (f, "one", FALSE);
  alcove_generation_get (f->folder, "uuid-a", ids[2]);
  g_assert_cmpint (memcmp (ids[0], ids[2], 16), !=, 0);
  revert (f, "one", FALSE);
  alcove_generation_get (f->folder, "uuid-a", ids[3]);
  g_assert_cmpint (memcmp (ids[2], ids[3], 16), !=, 0);
}

static void
test_kept_name (Fixture *f, gconstpointer data)
{
  g_autofree char *twice = NULL, *full = NULL;
  g_autofree char *dots = g_strnfill (ALCOVE_SNAPSHOT_NAME_MAX - 21, '.');
  g_autofree char *longest = g_strconcat (dots, "ä", NULL);

  g_free (fixture_create (f, "Before reverting to one"));
  revert (f, "Before reverting to one", TRUE);
  twice = fixture_describe_tree (f);
  g_assert_cmpstr (twice, ==,
                   "Before reverting to one*< Before reverting to one<Before reverting to one ");
  /* Cut before a character that does not fit, not in it. */
  g_free (fixture_create (f, longest));
  revert (f, longest, TRUE);
  full = fixture_describe_tree (f);
  g_assert_nonnull (strstr (full, "Before reverting to ...."));
}

static void
test_delete_any_order (Fixture *f, gconstpointer data)
{
  g_free (fixture_create (f, "a"));
  g_free (fixture_create (f, "b"));
  g_free (fixture_create (f, "c"));
  revert (f, "b", FALSE);
  g_free (fixture_create (f, "d"));
  assert_tree (f, "a< b<a c<b d*<b ");
  delete (f, "b");
  assert_tree (f, "a< c<a d*<a ");
  delete (f, "d");
  assert_tree (f, "a*< c<a ");
  delete (f, "a");
  assert_tree (f, "c< ");
  revert (f, "c", FALSE);
  assert_tree (f, "c*< ");
  delete (f, "c");
  assert_tree (f, "");
  assert_present (f, "name=one s1 d1 v1 t1 -");
}

static void
test_edit_and_find (Fixture *f, gconstpointer data)
{
  g_autofree char *one = fixture_create (f, "one"), *third = NULL;
  g_autoptr (AlcoveSnapshots) tree = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveSnapshot *set;

  g_free (fixture_create (f, "two"));
  third = fixture_create (f, "two");
  g_assert_true (alcove_snapshots_edit (f->folder, one, "uno", "note", &error));
  tree = alcove_snapshots_load (f->folder, &error);
  set = alcove_snapshots_find (tree, "uno", &error);
  g_assert_cmpstr (set->id, ==, one);
  g_assert_cmpstr (set->note, ==, "note");
  g_assert_null (alcove_snapshots_find (tree, "two", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "2 snapshots"));
  g_clear_error (&error);
  g_assert_null (alcove_snapshots_find (tree, "unoo", &error));
  g_assert_nonnull (strstr (error->message, "did you mean “uno”"));
  g_clear_error (&error);
  g_assert_true (alcove_snapshots_find (tree, third, &error) != NULL);
  g_assert_false (alcove_snapshots_edit (f->folder, one, "two\nlines", NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (alcove_snapshots_edit (f->folder, one, "", NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
}

static void
test_raw_disk (Fixture *f, gconstpointer data)
{
  AlcoveSnapshotWords words = { 0 };
  g_autoptr (AlcoveSnapshots) tree = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveSnapshot *set;

  fixture_set_conf (f, "one", "[disk scratch]\nfile=scratch.img\nformat=raw\n");
  fixture_write (f, "scratch.img", "raw");
  g_assert_false (alcove_snapshots_create (&f->work, &words, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_SUPPORTED);
  g_assert_nonnull (strstr (error->message, "“scratch”"));
  g_assert_nonnull (strstr (error->message, "snapshot=false"));
  assert_tree (f, "");
  fixture_set_conf (f, "one",
                    "[disk scratch]\nfile=scratch.img\nformat=raw\nsnapshot=false\n"
                    "[disk iso]\nfile=iso.img\nformat=raw\nreadonly=true\n");
  g_clear_error (&error);
  g_assert_true (alcove_snapshots_create (&f->work, &words, NULL, &error));
  tree = alcove_snapshots_load (f->folder, &error);
  set = g_ptr_array_index (tree->snapshots, 0);
  g_assert_cmpuint (set->disks->len, ==, 2);
  g_assert_cmpuint (set->excluded->len, ==, 1);
  g_assert_cmpstr (g_ptr_array_index (set->excluded, 0), ==, "scratch");
}

static void
test_lost_and_swapped (Fixture *f, gconstpointer data)
{
  g_autofree char *id = fixture_create (f, "one");
  g_autofree char *path = fixture_path (f, "data.qcow2"), *away = fixture_path (f, "away");
  g_autofree char *left = NULL;
  g_autoptr (GError) error = NULL;

  fixture_change (f, 2, FALSE);
  g_assert_cmpint (g_rename (path, away), ==, 0);
  g_assert_false (alcove_snapshots_revert (&f->work, "one", FALSE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, path));
  g_clear_error (&error);
  fake_image_make (path, "another");
  g_assert_false (alcove_snapshots_revert (&f->work, "one", TRUE, &error));
  g_assert_nonnull (strstr (error->message, "“data”"));
  g_assert_nonnull (strstr (error->message, "not the one"));
  g_clear_error (&error);
  /* One with a snapshot of the same id, but made another time. */
  {
    BlockSnapshot fake = { .id = id, .name = id, .time_ns = 5 };
    BlockImage *image = f->work.access->open (f->work.access, path, "qcow2", TRUE, NULL);

    g_assert_true (image->ops->snapshot_create (image, &fake, NULL));
    block_image_close (image);
  }
  g_assert_false (alcove_snapshots_revert (&f->work, "one", TRUE, &error));
  g_assert_nonnull (strstr (error->message, "exchanged"));
  g_clear_error (&error);
  g_assert_cmpint (g_rename (away, path), ==, 0);
  assert_present (f, "name=title-2 s2 d2 v2 t2 -");
  assert_tree (f, "one*< ");
  revert (f, "one", FALSE);
  assert_present (f, "name=one s1 d1 v1 t1 -");
  /* A snapshot whose disk is gone can still be deleted. */
  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_true (alcove_snapshots_delete (&f->work, "one", &left, &error));
  g_assert_null (left);
}

/* A disk that left the machine keeps what was written to it, whatever is reverted. */
static void
test_removed_disk (Fixture *f, gconstpointer data)
{
  g_free (fixture_create (f, "both"));
  fixture_set_disk (f, "data.qcow2", "d-later");
  fixture_write (f, "machine.conf",
                 "[machine]\nuuid=12345678-1234-1234-1234-123456789abc\nname=x\nmemory=64M\n"
                 "[disk system]\nfile=system.qcow2\nformat=qcow2\n");
  revert (f, "both", TRUE);
  assert_present (f, "name=one s1 d1 v1 t1 -");
  revert (f, "Before reverting to both", FALSE);
  assert_present (f, "name=x s1 d-later v1 t1 -");
}

static void
test_damaged (Fixture *f, gconstpointer data)
{
  static const char *const texts[] = {
    "",
    "[snapshot]\nversion=2\nid=ID\nname=x\ntime=2026-01-01T00:00:00Z\n",
    "[snapshot]\nversion=1\nid=other\nname=x\ntime=2026-01-01T00:00:00Z\n",
    "[snapshot]\nversion=1\nid=ID\nname=\ntime=2026-01-01T00:00:00Z\n",
    "[snapshot]\nversion=1\nid=ID\nname=x\ntime=yesterday\n",
    "[snapshot]\nversion=1\nid=ID\nname=x\ntime=2026-01-01T00:00:00Z\nparent=../..\n",
    "[snapshot]\nversion=1\nid=ID\nname=x\ntime=2026-01-01T00:00:00Z\n[disk a]\nformat=qcow2\n",
    ("[snapshot]\nversion=1\nid=ID\nname=x\ntime=2026-01-01T00:00:00Z\n"
     "[disk a]\nfile=a\nformat=qcow2\nsize=99999999999999999999\n"),
    "\xff\xfe",
  };
  g_autofree char *id = fixture_create (f, "one");
  g_autofree char *conf = g_strdup_printf ("snapshots/%s/snapshot.conf", id);

  g_free (fixture_create (f, "two"));
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_auto (GStrv) parts = g_strsplit (texts[i], "ID", -1);
      g_autofree char *text = g_strjoinv (id, parts);
      g_autoptr (GError) error = NULL;
      g_autoptr (AlcoveSnapshots) tree = NULL;
      AlcoveSnapshot *set;

      fixture_write (f, conf, text);
      tree = alcove_snapshots_load (f->folder, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (tree->snapshots->len, ==, 2);
      set = alcove_snapshots_find (tree, id, &error);
      g_assert_nonnull (set->problem);
      g_assert_false (alcove_snapshots_revert (&f->work, id, FALSE, &error));
      g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
    }
  delete (f, id); /* its disks forget it although nobody can read which they were */
  assert_tree (f, "two*< ");
}

/* Parents that go round in a ring: a file edited by hand. */
static void
test_ring (Fixture *f, gconstpointer data)
{
  g_autoptr (AlcoveSnapshots) tree = NULL, again = NULL;
  g_autofree char *b = NULL;
  AlcoveSnapshot *set;

  g_free (fixture_create (f, "a"));
  b = fixture_create (f, "b");
  tree = alcove_snapshots_load (f->folder, NULL);
  set = alcove_snapshots_find (tree, "a", NULL);
  g_free (set->parent);
  set->parent = g_strdup (b);
  g_assert_true (alcove_snapshot_write (set, NULL));
  again = alcove_snapshots_load (f->folder, NULL);
  g_assert_cmpuint (again->snapshots->len, ==, 2);
  delete (f, "a");
  delete (f, "b");
  assert_tree (f, "");
}

static void
test_prune (Fixture *f, gconstpointer data)
{
  AlcoveSnapshotWords words = { .reason = "schedule" };
  g_autoptr (GError) error = NULL;

  g_free (fixture_create (f, "mine"));
  for (guint i = 0; i < 5; i++)
    {
      g_autofree char *name = g_strdup_printf ("auto-%u", i);
      g_autofree char *id = NULL;
      g_autoptr (AlcoveSnapshots) tree = NULL;
      AlcoveSnapshot *set;

      words.name = name;
      g_assert_true (alcove_snapshots_create (&f->work, &words, &id, &error));
      tree = alcove_snapshots_load (f->folder, NULL);
      set = alcove_snapshots_find (tree, id, NULL);
      set->time = (gint64)i * G_USEC_PER_SEC;
      g_assert_true (alcove_snapshot_write (set, NULL));
    }
  revert (f, "auto-4", TRUE); /* its automatic snapshot is not the schedule's */
  g_assert_true (alcove_snapshots_edit (f->folder, "auto-1", "named", NULL, &error));
  g_assert_true (alcove_snapshots_prune (&f->work, 2, &error));
  assert_tree (f,
               "mine< named<mine auto-3<named auto-4*<auto-3 Before reverting to auto-4<auto-4 ");
  g_assert_true (alcove_snapshots_prune (&f->work, 2, &error));
  assert_tree (f,
               "mine< named<mine auto-3<named auto-4*<auto-3 Before reverting to auto-4<auto-4 ");
}

/* A set that a running machine fills: the disks' internal snapshots are its work. */
static void
test_running (Fixture *f, gconstpointer data)
{
  AlcoveSnapshotWords words = { .name = "live" };
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveSnapshot) set = alcove_snapshot_begin (&f->work, &words, &error);
  g_autofree char *saved = g_strdup_printf ("snapshots/.new-%s/saved/ram", set->id);
  g_autofree char *vars = g_strdup_printf ("snapshots/.new-%s/saved/firmware-vars", set->id);

  /* One disk is not in the machine that runs. */
  for (guint i = 0; i < 2; i++)
    {
      AlcoveSnapshotDisk *disk = g_ptr_array_index (set->disks, i);
      g_autofree char *path = alcove_snapshot_disk_dup_path (disk, f->folder);
      BlockSnapshot snapshot = { .id = set->id, .name = set->id, .time_ns = 7000000000 };
      BlockImage *image = f->work.access->open (f->work.access, path, "qcow2", TRUE, NULL);

      g_assert_true (image->ops->snapshot_create (image, &snapshot, &error));
      block_image_close (image);
      fixture_write (f, saved, "r-live");
      fixture_write (f, vars, "v-live");
      g_assert_cmpint (alcove_snapshot_note_running (&f->work, set, &error), ==, i == 1);
      if (i == 0)
        {
          g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_WRONG_STATE);
          g_assert_nonnull (strstr (error->message, "“data”"));
          g_clear_error (&error);
        }
    }
  g_assert_true (alcove_snapshot_publish (&f->work, set, &error));
  fixture_change (f, 2, FALSE);
  revert (f, "live", FALSE);
  assert_present (f, "name=one s1 d1 v-live t1 r-live");
  assert_tree (f, "live*< ");
}

static gboolean
refuse_step (guint64 done, guint64 total, gpointer user_data)
{
  return (*(guint *)user_data)-- > 0;
}

static void
test_cancel (Fixture *f, gconstpointer data)
{
  AlcoveSnapshotWords words = { .name = "never" };
  g_autoptr (GError) error = NULL;

  g_free (fixture_create (f, "one"));
  fixture_change (f, 2, FALSE);
  for (guint n = 0; n < 3; n++)
    {
      guint left = n;
      BlockProgress progress = { refuse_step, &left };

      f->work.progress = &progress;
      g_assert_false (alcove_snapshots_create (&f->work, &words, NULL, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      left = n;
      g_assert_false (alcove_snapshots_revert (&f->work, "one", FALSE, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
      g_clear_error (&error);
      f->work.progress = NULL;
      assert_tree (f, "one*< ");
      assert_present (f, "name=title-2 s2 d2 v2 t2 -");
    }
}

static void
test_lock (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveLock) lock = alcove_snapshots_lock (f->folder, "takes a snapshot", &error);

  g_assert_nonnull (lock);
  g_assert_null (alcove_snapshots_lock (f->folder, "takes a snapshot", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_false (alcove_snapshots_edit (f->folder, "x", "y", NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
}

#define ADD(name, func)                                                                            \
  g_test_add ("/snapshot/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_test_init (&argc, &argv, NULL);
  ADD ("create", test_create);
  ADD ("revert", test_revert);
  ADD ("generation", test_generation);
  ADD ("kept-name", test_kept_name);
  ADD ("delete-any-order", test_delete_any_order);
  ADD ("edit-and-find", test_edit_and_find);
  ADD ("raw-disk", test_raw_disk);
  ADD ("lost-and-swapped", test_lost_and_swapped);
  ADD ("removed-disk", test_removed_disk);
  ADD ("damaged", test_damaged);
  ADD ("ring", test_ring);
  ADD ("prune", test_prune);
  ADD ("cancel", test_cancel);
  ADD ("running", test_running);
  ADD ("lock", test_lock);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
