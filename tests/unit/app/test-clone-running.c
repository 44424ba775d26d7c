/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copying a snapshot of a machine that runs: somebody holds its lock and writes its disk all the
 * time, and the copy has what the snapshot has, or there is none. */
#include <string.h>
#include <unistd.h>

#include "app-dirs.h"
#include "app/clone.h"
#include "app/error.h"
#include "app/snapshot-work.h"

#define CLUSTER 65536
#define SIZE    (256 * CLUSTER)

static const char conf[] = "[machine]\nuuid=12345678-1234-1234-1234-123456789abc\nname=source\n"
                           "memory=64M\nfirmware=bios\n"
                           "[disk system]\nfile=system.qcow2\nformat=qcow2\n";

typedef struct
{
  char *machines, *folder, *disk, *id;
  AlcoveLock *lock;
  BlockImage *image;
  GThread *writer;
  gint stop;         /* atomic */
  gint steps;        /* atomic: what the writer did */
  gboolean turn_off; /* when the copy has begun */
  GAsyncResult *result;
} Fixture;

static void
fill (BlockImage *image, guint8 byte)
{
  g_autofree guint8 *data = g_malloc (CLUSTER);

  memset (data, byte, CLUSTER);
  for (guint64 at = 0; at < SIZE; at += CLUSTER)
    g_assert_cmpint (block_image_write (image, at, data, CLUSTER), ==, 0);
  g_assert_cmpint (block_image_flush (image), ==, 0);
}

static BlockImage *
open_disk (Fixture *f, const char *path, gboolean readonly)
{
  const BlockImageFlags flags = { .readonly = readonly };
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (path, BLOCK_FORMAT_QCOW2, &flags, &error);

  g_assert_no_error (error);
  return image;
}

/* The guest: writes, gives space back, flushes. */
static gpointer
write_on (gpointer data)
{
  Fixture *f = data;
  g_autoptr (GRand) rand = g_rand_new_with_seed (7);
  guint8 bytes[4096];

  memset (bytes, 0xee, sizeof bytes);
  while (!g_atomic_int_get (&f->stop))
    {
      guint64 at = (guint64)g_rand_int_range (rand, 0, SIZE / (int)sizeof bytes) * sizeof bytes;

      if (g_rand_int_range (rand, 0, 8) == 0)
        (void)block_image_write_zeroes (f->image, at / CLUSTER * CLUSTER, CLUSTER, TRUE);
      else
        g_assert_cmpint (block_image_write (f->image, at, bytes, sizeof bytes), ==, 0);
      if (g_rand_int_range (rand, 0, 16) == 0)
        g_assert_cmpint (block_image_flush (f->image), ==, 0);
      g_atomic_int_inc (&f->steps);
    }
  return NULL;
}

static void
turn_on (Fixture *f)
{
  g_autoptr (GError) error = NULL;

  f->lock = alcove_lock_acquire (f->folder, ALCOVE_LOCK_RUNS, &error);
  g_assert_no_error (error);
  f->image = open_disk (f, f->disk, FALSE);
  g_atomic_int_set (&f->stop, FALSE);
  f->writer = g_thread_new ("guest", write_on, f);
}

static void
turn_off (Fixture *f)
{
  g_atomic_int_set (&f->stop, TRUE);
  g_clear_pointer (&f->writer, g_thread_join);
  g_clear_pointer (&f->image, block_image_close);
  g_clear_pointer (&f->lock, alcove_lock_release);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  const BlockCreateOptions options = { .size = SIZE };
  g_autofree char *path = NULL;
  AlcoveSnapshotWork work = { .access = &alcove_disk_access_files };
  AlcoveSnapshotWords words = { .name = "then" };
  g_autoptr (GError) error = NULL;
  BlockImage *image;

  f->machines = g_build_filename (app_dirs_root, "machines", NULL);
  f->folder = g_build_filename (f->machines, "source", NULL);
  f->disk = g_build_filename (f->folder, "system.qcow2", NULL);
  path = g_build_filename (f->folder, "machine.conf", NULL);
  g_assert_cmpint (g_mkdir_with_parents (f->folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, conf, -1, NULL));
  g_assert_true (block_image_create (f->disk, BLOCK_FORMAT_QCOW2, &options, NULL, &error));
  image = open_disk (f, f->disk, FALSE);
  fill (image, 0x11);
  block_image_close (image);
  work.folder = f->folder;
  g_assert_true (alcove_snapshots_create (&work, &words, &f->id, &error));
  g_assert_no_error (error);
  image = open_disk (f, f->disk, FALSE);
  fill (image, 0x22);
  block_image_close (image);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  turn_off (f);
  alcove_paths_remove_tree (f->machines);
  g_free (f->machines);
  g_free (f->folder);
  g_free (f->disk);
  g_free (f->id);
}

static void
on_progress (guint64 done, guint64 total, gpointer user_data)
{
}

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  Fixture *f = user_data;

  f->result = g_object_ref (result);
}

static char *
copy (Fixture *f, const char *name, const char *snapshot, gboolean linked, GError **error)
{
  const AlcoveCloneSpec spec = { .name = name, .snapshot = snapshot, .linked = linked };
  char *path;

  alcove_clone_async (f->machines, f->folder, &spec, on_progress, f, NULL, on_ready, f);
  if (f->turn_off)
    {
      int before = g_atomic_int_get (&f->steps);

      /* The copy is under way. */
      while (g_atomic_int_get (&f->steps) < before + 20)
        g_usleep (100);
      turn_off (f);
    }
  while (f->result == NULL)
    g_main_context_iteration (NULL, TRUE);
  path = alcove_clone_finish (f->result, error);
  g_clear_object (&f->result);
  return path;
}

/* Every byte of the copy's disk is that of the snapshot. */
static void
check_copy (Fixture *f, const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "system.qcow2", NULL);
  g_autofree guint8 *data = g_malloc (CLUSTER), *expected = g_malloc (CLUSTER);
  BlockImage *image = open_disk (f, path, TRUE);

  memset (expected, 0x11, CLUSTER);
  for (guint64 at = 0; at < SIZE; at += CLUSTER)
    {
      g_assert_cmpint (block_image_read (image, at, data, CLUSTER), ==, 0);
      g_assert_cmpint (memcmp (data, expected, CLUSTER), ==, 0);
    }
  block_image_close (image);
}

static void
test_copy (Fixture *f, gconstpointer data)
{
  int before;

  turn_on (f);
  before = g_atomic_int_get (&f->steps);
  for (guint i = 0; i < 4; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *path = NULL;

      path = copy (f, "copy", "then", GPOINTER_TO_INT (data), &error);
      g_assert_no_error (error);
      check_copy (f, path);
    }
  /* The machine wrote meanwhile. */
  g_assert_cmpint (g_atomic_int_get (&f->steps), >, before);
  /* The machine's disk is whole after all of that. */
  turn_off (f);
  {
    BlockImage *image = open_disk (f, f->disk, FALSE);
    BlockCheckReport report = { 0 };

    g_assert_true (image->ops->check (image, BLOCK_CHECK_LOOK, &report, NULL, NULL));
    g_assert_cmpuint (report.corruptions + report.leaks, ==, 0);
    block_check_report_clear (&report);
    block_image_close (image);
  }
}

/* The machine is turned off in the middle: the copy is made anew from the disk that is free now. */
static void
test_turned_off (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;

  turn_on (f);
  f->turn_off = TRUE;
  path = copy (f, "copy", "then", FALSE, &error);
  g_assert_no_error (error);
  check_copy (f, path);
}

static void
test_refused (Fixture *f, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  AlcoveLock *lock;

  /* Not a snapshot: it changes while it is read. */
  turn_on (f);
  g_assert_null (copy (f, "copy", NULL, FALSE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "--snapshot"));
  g_clear_error (&error);
  g_assert_null (copy (f, "copy", "never", FALSE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  g_clear_error (&error);
  turn_off (f);
  /* Locked by somebody who may do anything to the disks. */
  lock = alcove_lock_acquire (f->folder, "changes its disks", NULL);
  g_assert_null (copy (f, "copy", "then", FALSE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_assert_nonnull (strstr (error->message, "changes its disks"));
  g_clear_error (&error);
  alcove_lock_release (lock);
  /* The snapshots are being worked on: it might be deleted. */
  turn_on (f);
  lock = alcove_snapshots_lock (f->folder, "deletes a snapshot", NULL);
  g_assert_null (copy (f, "copy", "then", FALSE, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  alcove_lock_release (lock);
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init_in (access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/clone-running/full", Fixture, GINT_TO_POINTER (FALSE), set_up, test_copy,
              tear_down);
  g_test_add ("/clone-running/linked", Fixture, GINT_TO_POINTER (TRUE), set_up, test_copy,
              tear_down);
  g_test_add ("/clone-running/turned-off", Fixture, NULL, set_up, test_turned_off, tear_down);
  g_test_add ("/clone-running/refused", Fixture, NULL, set_up, test_refused, tear_down);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
