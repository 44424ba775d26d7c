/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The record of a saved state: whatever of a disk is not as it was is found and named. */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "app-dirs.h"
#include "app/error.h"
#include "app/saved.h"
#include "devices/backends/block/image.h"

static const char conf[] = "[machine]\nuuid=12345678-1234-1234-1234-123456789abc\nname=x\n"
                           "memory=64M\nfirmware=bios\n"
                           "[disk chain]\nfile=top.qcow2\nformat=qcow2\n"
                           "[disk apart]\nfile=apart.qcow2\nformat=qcow2\n"
                           "[disk flat]\nfile=flat.img\nformat=raw\n"
                           "[disk fixed]\nfile=fixed.img\nformat=raw\nreadonly=true\n"
                           "[cdrom full]\nfile=one.iso\nbus=sata\n"
                           "[cdrom empty]\nbus=scsi\n";

typedef struct
{
  char *folder, *saved;
  AlcoveDefinition *definition;
} Fixture;

static char *
path_of (Fixture *f, const char *name)
{
  return g_build_filename (f->folder, name, NULL);
}

static void
make (Fixture *f, const char *name, const char *backing, const char *format, const char *data)
{
  g_autofree char *path = path_of (f, name);
  g_autoptr (GError) error = NULL;
  BlockCreateOptions options = {
    .size = backing == NULL ? 1 << 20 : 0,
    .backing_file = backing,
    .backing_format = format,
    .data_file = data,
  };

  g_assert_true (block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, &error));
  g_assert_no_error (error);
}

static void
make_flat (Fixture *f, const char *name)
{
  g_autofree char *path = path_of (f, name);
  g_autofree char *text = g_strnfill (1 << 20, name[0]);

  g_assert_true (g_file_set_contents (path, text, 1 << 20, NULL));
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *path = NULL, *state = NULL;
  g_autoptr (GError) error = NULL;

  f->folder = g_build_filename (app_dirs_root, "machine", NULL);
  f->saved = alcove_saved_dup_folder (f->folder);
  path = path_of (f, "machine.conf");
  state = g_build_filename (f->saved, "state", NULL);
  g_assert_cmpint (g_mkdir_with_parents (f->saved, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, conf, -1, NULL));
  g_assert_true (g_file_set_contents (state, "state", -1, NULL));
  make_flat (f, "flat.img");
  make_flat (f, "fixed.img");
  make_flat (f, "one.iso");
  make_flat (f, "root.img");
  make (f, "lower.qcow2", "root.img", "raw", NULL);
  make (f, "middle.qcow2", "lower.qcow2", "qcow2", NULL);
  make (f, "top.qcow2", "middle.qcow2", "qcow2", NULL);
  make (f, "apart.qcow2", NULL, NULL, "apart.data");
  f->definition = alcove_definition_load (path, &error);
  g_assert_no_error (error);
  g_assert_true (alcove_saved_write_record (f->saved, f->definition, FALSE, &error));
  g_assert_no_error (error);
  g_assert_true (alcove_saved_check_record (f->saved, f->definition, &error));
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_object_unref (f->definition);
  alcove_paths_remove_tree (f->folder);
  g_free (f->folder);
  g_free (f->saved);
}

/* Other bytes at the end, where nothing but the time of the change tells. */
static void
touch (Fixture *f, const char *name)
{
  g_autofree char *path = path_of (f, name);
  g_autofree char *text = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &text, &length, NULL));
  text[length - 1] ^= 1;
  g_usleep (20000); /* a tick of the file system's clock */
  g_assert_true (
      g_file_set_contents_full (path, text, (gssize)length, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void
assert_refused (Fixture *f, const char *name, const char *disk)
{
  g_autofree char *path = path_of (f, name);
  g_autoptr (GError) error = NULL;

  g_assert_false (alcove_saved_check_record (f->saved, f->definition, &error));
  g_assert_nonnull (strstr (error->message, path));
  g_assert_nonnull (strstr (error->message, disk));
}

static void
test_written (Fixture *f, gconstpointer data)
{
  touch (f, data);
  if (strcmp (data, "fixed.img") == 0)
    g_assert_true (alcove_saved_check_record (f->saved, f->definition, NULL));
  else
    assert_refused (f, data, g_str_has_prefix (data, "apart") ? "apart" : "");
}

static void
test_missing (Fixture *f, gconstpointer data)
{
  g_autofree char *path = path_of (f, "lower.qcow2");

  g_assert_cmpint (g_unlink (path), ==, 0);
  assert_refused (f, "lower.qcow2", "[disk chain]");
}

/* The machine's folder may be moved: what counts is what the images are. */
static void
test_moved (Fixture *f, gconstpointer data)
{
  g_autofree char *moved = g_strconcat (f->folder, "-moved", NULL);
  g_autofree char *path = g_build_filename (moved, "machine.conf", NULL);
  g_autofree char *saved = alcove_saved_dup_folder (moved);
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_rename (f->folder, moved), ==, 0);
  definition = alcove_definition_load (path, &error);
  g_assert_no_error (error);
  g_assert_true (alcove_saved_check_record (saved, definition, &error));
  g_assert_no_error (error);
  g_assert_cmpint (g_rename (moved, f->folder), ==, 0);
}

/* A record as the first version wrote it, without what is behind the disks. */
static void
test_first_version (Fixture *f, gconstpointer data)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autofree char *path = g_build_filename (f->saved, ALCOVE_SAVED_RECORD, NULL);

  g_assert_true (g_key_file_load_from_file (file, path, G_KEY_FILE_NONE, NULL));
  g_key_file_set_integer (file, "saved", "version", 1);
  g_key_file_remove_key (file, "disk chain", "images", NULL);
  g_assert_true (g_key_file_save_to_file (file, path, NULL));
  g_assert_true (alcove_saved_check_record (f->saved, f->definition, NULL));
  touch (f, "flat.img");
  assert_refused (f, "flat.img", "flat");
}

static void
test_damaged (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->saved, ALCOVE_SAVED_RECORD, NULL);
  static const char *const texts[] = {
    "",
    "no key file",
    "[saved]\nversion=3\n",
    "[saved]\nversion=0\n",
    "[saved]\nversion=2\n[disk chain]\nimages=-1\n",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (g_file_set_contents (path, texts[i], -1, NULL));
      g_assert_false (alcove_saved_check_record (f->saved, f->definition, &error));
      g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
    }
}

/* Without a record a revert brought it; with one it may still have. */
static void
test_snapshot (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->saved, ALCOVE_SAVED_RECORD, NULL);

  g_assert_false (alcove_saved_is_snapshot (f->folder));
  g_assert_true (alcove_saved_write_record (f->saved, f->definition, TRUE, NULL));
  g_assert_true (alcove_saved_is_snapshot (f->folder));
  touch (f, "flat.img");
  assert_refused (f, "flat.img", "flat");
  g_assert_cmpint (g_unlink (path), ==, 0);
  g_assert_true (alcove_saved_is_snapshot (f->folder));
  g_assert_true (alcove_saved_check_record (f->saved, f->definition, NULL));
}

/* (transfer full): the drives whose guest must be told, in one line. */
static char *
list_changed (Fixture *f)
{
  g_auto (GStrv) drives = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (alcove_saved_list_changed_media (f->saved, f->definition, &drives, &error));
  g_assert_no_error (error);
  return g_strjoinv (" ", drives);
}

static void
assert_changed (Fixture *f, const char *drives)
{
  g_autofree char *changed = list_changed (f);

  g_assert_cmpstr (changed, ==, drives);
}

static void
put (Fixture *f, const char *drive, const char *file)
{
  g_autofree char *group = g_strconcat ("cdrom ", drive, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (alcove_definition_set_value (f->definition, group, "file", file, &error));
  g_assert_no_error (error);
}

static void
test_media (Fixture *f, gconstpointer data)
{
  g_autofree char *one = path_of (f, "one.iso"), *moved = path_of (f, "moved.iso");

  assert_changed (f, ""); /* nothing was written down */
  g_assert_true (alcove_saved_write_media (f->saved, f->definition, NULL));
  assert_changed (f, "");
  put (f, "empty", "flat.img");
  assert_changed (f, "empty");
  put (f, "full", NULL);
  assert_changed (f, "full empty");
  put (f, "empty", NULL);
  assert_changed (f, "full");
  put (f, "full", "flat.img");
  assert_changed (f, "full");
  put (f, "full", "one.iso");
  assert_changed (f, "");
  g_assert_cmpint (g_rename (one, moved), ==, 0);
  assert_changed (f, "full"); /* gone: the drive says which file it misses */
  put (f, "full", "moved.iso");
  assert_changed (f, "");
  touch (f, "moved.iso");
  assert_changed (f, "full");
}

static void
test_media_without_tray (Fixture *f, gconstpointer data)
{
  g_auto (GStrv) drives = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (
      alcove_definition_set_value (f->definition, "cdrom full", "bus", "virtio", &error));
  g_assert_true (alcove_saved_write_media (f->saved, f->definition, NULL));
  assert_changed (f, "");
  put (f, "full", "flat.img");
  g_assert_false (alcove_saved_list_changed_media (f->saved, f->definition, &drives, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "full"));
}

int
main (int argc, char **argv)
{
  static const char *const files[] = { "top.qcow2",   "middle.qcow2", "lower.qcow2", "root.img",
                                       "apart.qcow2", "apart.data",   "flat.img",    "fixed.img" };
  int status;

  /* Every record is synced: in memory where there is a place. */
  app_dirs_init_in (access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *name = g_strconcat ("/saved/written/", files[i], NULL);

      g_test_add (name, Fixture, files[i], set_up, test_written, tear_down);
    }
  g_test_add ("/saved/missing", Fixture, NULL, set_up, test_missing, tear_down);
  g_test_add ("/saved/moved", Fixture, NULL, set_up, test_moved, tear_down);
  g_test_add ("/saved/first-version", Fixture, NULL, set_up, test_first_version, tear_down);
  g_test_add ("/saved/damaged", Fixture, NULL, set_up, test_damaged, tear_down);
  g_test_add ("/saved/snapshot", Fixture, NULL, set_up, test_snapshot, tear_down);
  g_test_add ("/saved/media", Fixture, NULL, set_up, test_media, tear_down);
  g_test_add ("/saved/media-without-tray", Fixture, NULL, set_up, test_media_without_tray,
              tear_down);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
