/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Locks between our own opens, and both ways with QEMU's tools (skipped where they are missing). */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/backends/block/file.h"

typedef struct
{
  char *folder, *path;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->folder = g_dir_make_tmp ("alcove-lock-XXXXXX", NULL);
  f->path = g_build_filename (f->folder, "disk", NULL);
  g_assert_true (g_file_set_contents (f->path, "", 0, NULL));
  g_assert_cmpint (truncate (f->path, 1 << 20), ==, 0);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_unlink (f->path);
  g_rmdir (f->folder);
  g_free (f->path);
  g_free (f->folder);
}

static BlockFile *
open_locked (Fixture *f, BlockLock lock, GError **error)
{
  const BlockFileFlags flags = { .readonly = lock != BLOCK_LOCK_EXCLUSIVE, .lock = lock };

  return block_file_open (f->path, &flags, error);
}

static void
assert_open (Fixture *f, BlockLock lock)
{
  g_autoptr (GError) error = NULL;
  BlockFile *file = open_locked (f, lock, &error);

  g_assert_no_error (error);
  block_file_close (file);
}

static void
assert_busy (Fixture *f, BlockLock lock, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (open_locked (f, lock, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  if (strstr (error->message, words) == NULL)
    g_error ("“%s” is not in: %s", words, error->message);
}

static void
test_own (Fixture *f, gconstpointer data)
{
  g_autofree char *self = g_strdup_printf ("(process %d)", getpid ());
  BlockFile *writer = open_locked (f, BLOCK_LOCK_EXCLUSIVE, NULL);
  BlockFile *reader;

  g_assert_nonnull (writer);
  assert_busy (f, BLOCK_LOCK_EXCLUSIVE, self);
  assert_busy (f, BLOCK_LOCK_SHARED, "writes to it");
  assert_open (f, BLOCK_LOCK_NONE);
  block_file_close (writer);

  reader = open_locked (f, BLOCK_LOCK_SHARED, NULL);
  g_assert_nonnull (reader);
  assert_open (f, BLOCK_LOCK_SHARED);
  assert_busy (f, BLOCK_LOCK_EXCLUSIVE, "reads it");
  /* What was refused left nothing behind. */
  assert_open (f, BLOCK_LOCK_SHARED);
  block_file_close (reader);
  assert_open (f, BLOCK_LOCK_EXCLUSIVE);
}

static void
test_change (Fixture *f, gconstpointer data)
{
  const BlockFileFlags flags = { .lock = BLOCK_LOCK_SHARED };
  g_autoptr (GError) error = NULL;
  BlockFile *first = block_file_open (f->path, &flags, &error);
  BlockFile *second = block_file_open (f->path, &flags, &error);

  g_assert_no_error (error);
  g_assert_false (block_file_change_lock (first, BLOCK_LOCK_EXCLUSIVE, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_BUSY);
  g_clear_error (&error);
  assert_open (f, BLOCK_LOCK_SHARED); /* first has what it had */
  block_file_close (second);
  g_assert_true (block_file_change_lock (first, BLOCK_LOCK_EXCLUSIVE, &error));
  assert_busy (f, BLOCK_LOCK_SHARED, "writes to it");
  g_assert_true (block_file_change_lock (first, BLOCK_LOCK_SHARED, &error));
  assert_open (f, BLOCK_LOCK_SHARED);
  assert_busy (f, BLOCK_LOCK_EXCLUSIVE, "reads it");
  g_assert_true (block_file_change_lock (first, BLOCK_LOCK_NONE, &error));
  assert_open (f, BLOCK_LOCK_EXCLUSIVE);
  block_file_close (first);
}

static gboolean
have_qemu (void)
{
  g_autofree char *io = g_find_program_in_path ("qemu-io");
  g_autofree char *img = g_find_program_in_path ("qemu-img");

  if (io == NULL || img == NULL)
    g_test_skip ("qemu-io and qemu-img (package qemu-utils) are not installed");
  return io != NULL && img != NULL;
}

static gboolean
run (const char *const *argv, char **ret_errors)
{
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GError) error = NULL;

  process = g_subprocess_newv (
      argv, G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, ret_errors, &error));
  return g_subprocess_get_successful (process);
}

static void
test_we_hold (Fixture *f, gconstpointer data)
{
  const char *format = data;
  const char *const create[] = { "qemu-img", "create", "-q", "-f", format, f->path, "1M", NULL };
  const char *const read[] = { "qemu-io", "-r", "-f", format, "-c", "read 0 512", f->path, NULL };
  const char *const write[] = { "qemu-io", "-f", format, "-c", "write 0 512", f->path, NULL };
  const char *const check[] = { "qemu-img", "convert", "-f",        format, "-O",
                                "raw",      f->path,   "/dev/null", NULL };
  const char *const *const all[] = { read, write, check };
  BlockFile *file;

  if (!have_qemu ())
    return;
  g_assert_true (run (create, NULL));
  file = open_locked (f, BLOCK_LOCK_EXCLUSIVE, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    {
      g_autofree char *errors = NULL;

      g_assert_false (run (all[i], &errors));
      g_assert_nonnull (strstr (errors, "lock"));
    }
  block_file_close (file);
  file = open_locked (f, BLOCK_LOCK_SHARED, NULL);
  g_assert_true (run (read, NULL));
  g_assert_false (run (write, NULL));
  block_file_close (file);
  g_assert_true (run (write, NULL));
}

/* qemu-io with the image open, until its input ends. */
static GSubprocess *
start_holder (Fixture *f, gboolean readonly, const char *format)
{
  g_autoptr (GError) error = NULL;
  GSubprocess *process =
      g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                        "qemu-io", "-f", format, f->path, readonly ? "-r" : NULL, NULL);
  char line[4096];
  gssize n;

  g_assert_no_error (error);
  g_assert_true (g_output_stream_write_all (g_subprocess_get_stdin_pipe (process), "length\n", 7,
                                            NULL, NULL, &error));
  n = g_input_stream_read (g_subprocess_get_stdout_pipe (process), line, sizeof line, NULL, &error);
  g_assert_cmpint (n, >, 0);
  return process;
}

static void
stop_holder (GSubprocess *process)
{
  g_output_stream_close (g_subprocess_get_stdin_pipe (process), NULL, NULL);
  g_assert_true (g_subprocess_wait (process, NULL, NULL));
  g_object_unref (process);
}

static void
test_qemu_holds (Fixture *f, gconstpointer data)
{
  const char *format = data;
  const char *const create[] = { "qemu-img", "create", "-q", "-f", format, f->path, "1M", NULL };
  g_autofree char *who = NULL;
  GSubprocess *holder;

  if (!have_qemu ())
    return;
  g_assert_true (run (create, NULL));
  holder = start_holder (f, FALSE, format);
  who = g_strdup_printf ("qemu-io (process %s) writes to it", g_subprocess_get_identifier (holder));
  assert_busy (f, BLOCK_LOCK_EXCLUSIVE, who);
  assert_busy (f, BLOCK_LOCK_SHARED, who);
  assert_open (f, BLOCK_LOCK_NONE);
  stop_holder (holder);
  holder = start_holder (f, TRUE, format);
  assert_open (f, BLOCK_LOCK_SHARED);
  assert_busy (f, BLOCK_LOCK_EXCLUSIVE, "qemu-io");
  stop_holder (holder);
  assert_open (f, BLOCK_LOCK_EXCLUSIVE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func, data) g_test_add ("/lock/" name, Fixture, data, set_up, func, tear_down)
  ADD ("own", test_own, NULL);
  ADD ("change", test_change, NULL);
  ADD ("we-hold/raw", test_we_hold, "raw");
  ADD ("we-hold/qcow2", test_we_hold, "qcow2");
  ADD ("qemu-holds/raw", test_qemu_holds, "raw");
  ADD ("qemu-holds/qcow2", test_qemu_holds, "qcow2");
  return g_test_run ();
}
