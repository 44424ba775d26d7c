/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Everything that copies disks, on storage that fails or fills up at each of its calls, and cancelled
 * at each step: what was there stays as it was, nothing half-made is left or has a name, the message
 * says what and why, and the same work succeeds once the storage is well again. ALCOVE_FAULTS=1: all
 * calls instead of a part of them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app-dirs.h"
#include "app/error.h"
#include "app/clone.h"
#include "app/disk-tools.h"
#include "app/export/export.h"
#include "app/import/import.h"
#include "fault.h"

#define SIZE  (3u << 20)
#define GROWN (4u << 20)
#define RUNS  3 /* of each kind, without ALCOVE_FAULTS */

typedef struct
{
  char *name; /* below the folder */
  char *data;
  gsize length;
} Kept;

typedef struct
{
  char *root, *folder; /* the machine's, in root */
  guint8 *contents;    /* of the disk */
  GPtrArray *kept;     /* of Kept: every file before the work */
} Fixture;

typedef struct
{
  const char *name;
  gboolean (*run) (Fixture *f, const BlockProgress *progress, GError **error);
  /* What is new when it succeeded: an image with the disk's contents. (nullable): in place. */
  const char *target;
  BlockFormat format;
} Work;

static char *
path_of (Fixture *f, const char *name)
{
  return g_build_filename (f->root, name, NULL);
}

/* ---- the works ---- */

static gboolean
convert (Fixture *f,
         const char *to,
         BlockFormat format,
         gboolean compress,
         const BlockProgress *progress,
         GError **error)
{
  g_autofree char *from = path_of (f, "m/system.qcow2"), *path = path_of (f, to);
  const AlcoveDiskConvertSpec spec = { .from = from,
                                       .from_format = BLOCK_FORMAT_QCOW2,
                                       .to = path,
                                       .to_format = format,
                                       .compress = compress };

  return alcove_disk_convert (&spec, progress, error);
}

static gboolean
run_convert_qcow2 (Fixture *f, const BlockProgress *progress, GError **error)
{
  return convert (f, "to.qcow2", BLOCK_FORMAT_QCOW2, FALSE, progress, error);
}

static gboolean
run_convert_raw (Fixture *f, const BlockProgress *progress, GError **error)
{
  return convert (f, "to.raw", BLOCK_FORMAT_RAW, FALSE, progress, error);
}

static gboolean
run_compress (Fixture *f, const BlockProgress *progress, GError **error)
{
  return convert (f, "to.qcow2", BLOCK_FORMAT_QCOW2, TRUE, progress, error);
}

static gboolean
run_backup (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *from = path_of (f, "m/system.qcow2"), *to = path_of (f, "to.qcow2");
  const AlcoveDiskBackupSpec spec = { .from = from, .from_format = BLOCK_FORMAT_QCOW2, .to = to };

  return alcove_disk_backup (&spec, progress, NULL, error);
}

static gboolean
run_compact (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *path = path_of (f, "m/system.qcow2");

  return alcove_disk_compact (path, BLOCK_FORMAT_QCOW2, progress, NULL, NULL, error);
}

static gboolean
run_resize (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *path = path_of (f, "m/system.qcow2");

  return alcove_disk_resize (path, BLOCK_FORMAT_QCOW2, GROWN, FALSE, progress, error);
}

static gboolean
run_rebase (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *path = path_of (f, "m/system.qcow2");

  return alcove_disk_rebase (path, BLOCK_FORMAT_QCOW2, NULL, NULL, FALSE, progress, error);
}

static gboolean
run_commit (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *path = path_of (f, "m/system.qcow2");

  return alcove_disk_commit (path, BLOCK_FORMAT_QCOW2, progress, error);
}

static gboolean
run_export_folder (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *to = path_of (f, "out");

  return alcove_export_run (f->folder, ALCOVE_EXPORT_QCOW2, to, progress, error);
}

static gboolean
run_export_ova (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *to = path_of (f, "out.ova");

  return alcove_export_run (f->folder, ALCOVE_EXPORT_OVA, to, progress, error);
}

static gboolean
run_import (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *from = path_of (f, "m/system.qcow2"), *machines = path_of (f, "machines");
  const AlcoveImportSpec spec = { machines, "new", BLOCK_FORMAT_QCOW2 };
  g_autoptr (AlcoveImport) import = alcove_import_open (from, "qcow2", error);
  g_autofree char *made = NULL;

  if (import == NULL)
    return FALSE;
  made = alcove_import_run (import, &spec, progress, error);
  return made != NULL;
}

typedef struct
{
  GAsyncResult *result;
  const BlockProgress *progress;
  GCancellable *cancellable;
} Waiting;

static void
on_done (GObject *source, GAsyncResult *result, gpointer user_data)
{
  ((Waiting *)user_data)->result = g_object_ref (result);
}

static void
on_progress (guint64 done, guint64 total, gpointer user_data)
{
  Waiting *waiting = user_data;

  if (waiting->progress != NULL &&
      !waiting->progress->step (done, total, waiting->progress->user_data))
    g_cancellable_cancel (waiting->cancellable);
}

static gboolean
run_clone (Fixture *f, const BlockProgress *progress, GError **error)
{
  g_autofree char *machines = path_of (f, "machines");
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  const AlcoveCloneSpec spec = { .name = "new" };
  Waiting waiting = { .progress = progress, .cancellable = cancellable };
  g_autofree char *made = NULL;

  alcove_clone_async (machines, f->folder, &spec, on_progress, &waiting, cancellable, on_done,
                      &waiting);
  while (waiting.result == NULL)
    g_main_context_iteration (NULL, TRUE);
  made = alcove_clone_finish (waiting.result, error);
  g_object_unref (waiting.result);
  return made != NULL;
}

static const Work works[] = {
  { "convert-qcow2", run_convert_qcow2, "to.qcow2", BLOCK_FORMAT_QCOW2 },
  { "convert-raw", run_convert_raw, "to.raw", BLOCK_FORMAT_RAW },
  { "compress", run_compress, "to.qcow2", BLOCK_FORMAT_QCOW2 },
  { "backup", run_backup, "to.qcow2", BLOCK_FORMAT_QCOW2 },
  { "export-folder", run_export_folder, "out/system.qcow2", BLOCK_FORMAT_QCOW2 },
  { "export-ova", run_export_ova, NULL, 0 },
  { "import", run_import, "machines/new/system.qcow2", BLOCK_FORMAT_QCOW2 },
  { "clone", run_clone, "machines/new/system.qcow2", BLOCK_FORMAT_QCOW2 },
  { "compact", run_compact, NULL, 0 },
  { "resize", run_resize, NULL, 0 },
  { "rebase", run_rebase, NULL, 0 },
  { "commit", run_commit, NULL, 0 },
};

static gboolean
is_in_place (const Work *work)
{
  return work->run == run_compact || work->run == run_resize || work->run == run_rebase ||
         work->run == run_commit;
}

/* ---- before and after ---- */

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  g_free (kept->name);
  g_free (kept->data);
  g_free (kept);
}

/* Lock files come and go with whoever uses a folder. */
static void
walk (Fixture *f, const char *below, GPtrArray *names)
{
  g_autofree char *path = *below != '\0' ? path_of (f, below) : g_strdup (f->root);
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *child =
          *below != '\0' ? g_build_filename (below, name, NULL) : g_strdup (name);
      g_autofree char *whole = path_of (f, child);

      if (g_file_test (whole, G_FILE_TEST_IS_DIR))
        walk (f, child, names);
      else if (strstr (name, "lock") == NULL)
        g_ptr_array_add (names, g_steal_pointer (&child));
    }
}

static GPtrArray *
list_files (Fixture *f)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);

  walk (f, "", names);
  return names;
}

static void
keep (Fixture *f)
{
  g_autoptr (GPtrArray) names = list_files (f);

  f->kept = g_ptr_array_new_with_free_func (kept_free);
  for (guint i = 0; i < names->len; i++)
    {
      Kept *kept = g_new0 (Kept, 1);
      g_autofree char *path = path_of (f, names->pdata[i]);

      kept->name = g_strdup (names->pdata[i]);
      g_assert_true (g_file_get_contents (path, &kept->data, &kept->length, NULL));
      g_ptr_array_add (f->kept, kept);
    }
}

static const Kept *
find_kept (Fixture *f, const char *name)
{
  for (guint i = 0; i < f->kept->len; i++)
    if (strcmp (((Kept *)f->kept->pdata[i])->name, name) == 0)
      return f->kept->pdata[i];
  return NULL;
}

static void
restore (Fixture *f)
{
  g_autofree char *machines = path_of (f, "machines"), *out = path_of (f, "out");
  g_autoptr (GPtrArray) names = NULL;

  alcove_paths_remove_tree (machines);
  alcove_paths_remove_tree (out);
  names = list_files (f);
  for (guint i = 0; i < names->len; i++)
    if (find_kept (f, names->pdata[i]) == NULL)
      {
        g_autofree char *path = path_of (f, names->pdata[i]);

        g_assert_cmpint (g_unlink (path), ==, 0);
      }
  for (guint i = 0; i < f->kept->len; i++)
    {
      const Kept *kept = f->kept->pdata[i];
      g_autofree char *path = path_of (f, kept->name);

      g_assert_true (g_file_set_contents_full (path, kept->data, (gssize)kept->length,
                                               G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    }
}

/* No file more than before. */
static void
check_nothing_new (Fixture *f)
{
  g_autoptr (GPtrArray) names = list_files (f);

  for (guint i = 0; i < names->len; i++)
    if (find_kept (f, names->pdata[i]) == NULL)
      g_error ("%s was left", (char *)names->pdata[i]);
}

static void
check_untouched (Fixture *f)
{
  for (guint i = 0; i < f->kept->len; i++)
    {
      const Kept *kept = f->kept->pdata[i];
      g_autofree char *path = path_of (f, kept->name), *data = NULL;
      gsize length;

      g_assert_true (g_file_get_contents (path, &data, &length, NULL));
      g_assert_cmpmem (data, length, kept->data, kept->length);
    }
}

static void
check_image (Fixture *f, const char *name, BlockFormat format)
{
  const BlockImageFlags flags = { .readonly = TRUE };
  g_autofree char *path = path_of (f, name);
  g_autofree guint8 *data = g_malloc (SIZE);
  g_autoptr (GError) error = NULL;
  BlockImage *image = block_image_open (path, format, &flags, &error);
  BlockCheckReport report = { 0 };

  g_assert_no_error (error);
  g_assert_cmpuint (block_image_get_size (image), >=, SIZE);
  g_assert_cmpint (block_image_read (image, 0, data, SIZE), ==, 0);
  g_assert_cmpmem (data, SIZE, f->contents, SIZE);
  block_image_close (image);
  if (format != BLOCK_FORMAT_QCOW2)
    return;
  g_assert_true (alcove_disk_check (path, format, BLOCK_CHECK_LOOK, NULL, &report, &error));
  g_assert_cmpuint (report.corruptions, ==, 0);
  block_check_report_clear (&report);
}

/* What people must be able to do with it. */
static void
check_message (Fixture *f, const GError *error, FaultKind kind)
{
  g_assert_nonnull (error);
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  if (strstr (error->message, f->root) == NULL)
    g_error ("names no file: %s", error->message);
  if (kind == FAULT_NO_SPACE || kind == FAULT_FULL)
    {
      if (strcasestr (error->message, g_strerror (ENOSPC)) == NULL ||
          strcasestr (error->message, "free some space") == NULL)
        g_error ("no cause or remedy: %s", error->message);
    }
  else if (strcasestr (error->message, g_strerror (EIO)) == NULL)
    {
      g_error ("no cause: %s", error->message);
    }
}

static void
check_after (Fixture *f, const Work *work, gboolean good, FaultKind kind, const GError *error)
{
  if (good)
    {
      g_assert_null (error);
      if (work->target != NULL)
        check_image (f, work->target, work->format);
    }
  else if (kind != FAULT_NOTHING) /* else cancelled */
    {
      check_message (f, error, kind);
    }
  if (!good)
    check_nothing_new (f);
  if (!is_in_place (work))
    check_untouched (f);
  else
    check_image (f, "m/system.qcow2", BLOCK_FORMAT_QCOW2);
}

static void
check_again (Fixture *f, const Work *work)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (work->run (f, NULL, &error));
  g_assert_no_error (error);
  check_after (f, work, TRUE, FAULT_NOTHING, NULL);
}

/* ---- the tests ---- */

static gboolean
is_short (FaultKind kind)
{
  return kind == FAULT_SHORT || kind == FAULT_SHORT_ALWAYS;
}

static gboolean
run_once (Fixture *f, const Work *work, FaultKind kind, guint at)
{
  g_autoptr (GError) error = NULL;
  gboolean good, hit;

  restore (f);
  fault_set (kind, at, f->root);
  good = work->run (f, NULL, &error);
  hit = fault_get_failed () > 0;
  fault_set (FAULT_NOTHING, 0, f->root);
  if (g_test_verbose ())
    g_test_message ("%s kind %u at %u: %s", work->name, kind, at, good ? "good" : error->message);
  if (!hit || is_short (kind))
    g_assert_no_error (error);
  check_after (f, work, good, kind, error);
  if (!good && (at % 4 == 1 || g_getenv ("ALCOVE_FAULTS") != NULL))
    check_again (f, work);
  return hit;
}

static void
test_faults (Fixture *f, gconstpointer data)
{
  const Work *work = data;
  gboolean all = g_getenv ("ALCOVE_FAULTS") != NULL;

  for (FaultKind kind = FAULT_NO_SPACE; kind < FAULT_N_KINDS; kind++)
    {
      guint step = 1, n;

      restore (f);
      fault_set (kind, G_MAXUINT, f->root);
      g_assert_true (work->run (f, NULL, NULL));
      n = fault_get_count ();
      fault_set (FAULT_NOTHING, 0, f->root);
      if (n == 0)
        continue;
      if (!all)
        step = MAX (n / RUNS, 1);
      /* The last calls publish: each of them. One more: nothing fails any more. */
      for (guint at = 1; at <= n + 1; at += n - MIN (at, n) < (all ? 8 : 3) ? 1 : step)
        (void)run_once (f, work, kind, at);
    }
}

static gboolean
on_step (guint64 done, guint64 total, gpointer user_data)
{
  guint *left = user_data;

  if (*left == 0)
    return FALSE;
  --*left;
  return TRUE;
}

static void
test_cancel (Fixture *f, gconstpointer data)
{
  const Work *work = data;

  for (guint steps = 0; steps < 5; steps++)
    {
      guint left = steps;
      const BlockProgress progress = { on_step, &left };
      g_autoptr (GError) error = NULL;
      gboolean good;

      restore (f);
      good = work->run (f, &progress, &error);
      if (!good)
        g_test_message ("%s: %u steps: %s", work->name, steps, error->message);
      if (!good)
        g_assert_true (g_error_matches (error, VMM_ERROR, VMM_ERROR_CANCELLED) ||
                       g_error_matches (error, ALCOVE_ERROR, ALCOVE_ERROR_CANCELLED) ||
                       g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED));
      check_after (f, work, good, FAULT_NOTHING, good ? NULL : error);
      if (!good)
        check_again (f, work);
      else
        break;
    }
}

static void
scribble (BlockImage *image, guint8 *model, guint32 seed, guint n)
{
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);
  g_autofree guint8 *buffer = g_malloc (40000);

  for (guint i = 0; i < n; i++)
    {
      gint32 length = g_rand_int_range (rand, 1, 40000);
      gint32 at = g_rand_int_range (rand, 0, (gint32)SIZE - length);

      for (gint32 k = 0; k < length; k++)
        buffer[k] = i % 3 == 0 ? 'a' : (guint8)g_rand_int (rand);
      g_assert_cmpint (block_image_write (image, (guint64)at, buffer, (gsize)length), ==, 0);
      memcpy (model + at, buffer, (gsize)length);
    }
  g_assert_cmpint (block_image_flush (image), ==, 0);
}

static void
make_image (Fixture *f, const char *name, const char *backing, guint8 *model, guint32 seed)
{
  const BlockCreateOptions options = { .size = SIZE,
                                       .backing_file = backing,
                                       .backing_format = backing != NULL ? "qcow2" : NULL };
  const BlockImageFlags flags = { 0 };
  g_autofree char *path = path_of (f, name);
  g_autoptr (GError) error = NULL;
  BlockImage *image;

  g_assert_true (block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, &error));
  image = block_image_open (path, BLOCK_FORMAT_QCOW2, &flags, &error);
  g_assert_no_error (error);
  scribble (image, model, seed, 5);
  block_image_close (image);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  static const char conf[] = "[machine]\nuuid=9b1c2c4e-6f5b-4b9f-8f0e-0b6a6d1a2b3c\nname=m\n"
                             "memory=64\nfirmware=bios\n[disk system]\nfile=system.qcow2\n"
                             "format=qcow2\n";
  g_autofree char *path = NULL;

  f->root = g_build_filename (app_dirs_root, "storage", NULL);
  f->folder = path_of (f, "m");
  path = path_of (f, "m/machine.conf");
  g_assert_cmpint (g_mkdir_with_parents (f->folder, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, conf, -1, NULL));
  f->contents = g_malloc0 (SIZE);
  make_image (f, "m/base.qcow2", NULL, f->contents, 5);
  make_image (f, "m/system.qcow2", "base.qcow2", f->contents, 6);
  keep (f);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  alcove_paths_remove_tree (f->root);
  g_ptr_array_unref (f->kept);
  g_free (f->root);
  g_free (f->folder);
  g_free (f->contents);
}

int
main (int argc, char **argv)
{
  int result;

  app_dirs_init_in (access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (works); i++)
    {
      g_autofree char *faults = g_strdup_printf ("/disk-faults/%s", works[i].name);
      g_autofree char *cancel = g_strdup_printf ("/disk-faults/cancel/%s", works[i].name);

      g_test_add (faults, Fixture, &works[i], set_up, test_faults, tear_down);
      g_test_add (cancel, Fixture, &works[i], set_up, test_cancel, tear_down);
    }
  result = g_test_run ();
  app_dirs_finish ();
  return result;
}
