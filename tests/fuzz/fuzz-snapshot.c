/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine's snapshots folder: any bytes in snapshot.conf, "current" and the log of a revert are
 * either refused with a message or a tree that is written again as it was read; what was cut off is
 * finished or refused, and the machine keeps a definition that can be read. Input, parts between
 * lines "%%": snapshot.conf of one, of three, of the way back .undo-two, current, pending. The disks
 * are key files (fake-image.h) that have an internal snapshot for each. */
#include "app/definition.h"
#include "app/error.h"
#include "app/snapshot-work.h"
#include "fuzz-folder.h"
#include "fuzz.h"
#include "tests/unit/app/fake-image.h"

static const char definition[] =
    "[machine]\nuuid=6e1f1f0a-53a5-4b39-9b8e-0a2f3c4d5e6f\nname=%s\nmemory=64\nfirmware=bios\n"
    "[disk system]\nfile=system.qcow2\nformat=qcow2\n[disk data]\nfile=data.qcow2\nformat=qcow2\n";
static const char *const images[] = { "system.qcow2", "data.qcow2" };
static const char *const sets[] = { "one", "three", ".undo-two" };

/* Nothing outside of the machine's folder may be written. */
static BlockImage *
open_image (const AlcoveDiskAccess *access,
            const char *path,
            const char *format,
            gboolean writable,
            GError **error)
{
  const AlcoveDiskAccess *fake = fake_image_get_access ();

  if (g_str_has_prefix (path, access->user_data) && g_str_has_suffix (path, ".qcow2") &&
      strcmp (format, "qcow2") == 0)
    return fake->open (fake, path, format, writable, error);
  g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "%s is no image of this test", path);
  return NULL;
}

static void
make_image (const char *folder, const char *name)
{
  static const char text[] = "[disk]\ncontents=now\n[one]\ncontents=1\nname=one\ntime=1000\n"
                             "[two]\ncontents=2\nname=two\ntime=1000\n"
                             "[three]\ncontents=3\nname=three\ntime=1000\n";

  fuzz_folder_write (folder, name, text, strlen (text));
}

static void
make_machine (const char *folder, const char *data, gsize size)
{
  static const char *const files[] = { "snapshots/one/snapshot.conf",
                                       "snapshots/three/snapshot.conf",
                                       "snapshots/.undo-two/snapshot.conf", "snapshots/current",
                                       "snapshots/pending" };
  g_autofree char *now = g_strdup_printf (definition, "now");
  const char *part;
  gsize length;

  fuzz_folder_write (folder, ALCOVE_DEFINITION_FILE, now, strlen (now));
  for (guint i = 0; i < G_N_ELEMENTS (images); i++)
    make_image (folder, images[i]);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    if (fuzz_folder_take_part (&data, &size, &part, &length) && length > 0)
      fuzz_folder_write (folder, files[i], part, length);
  for (guint i = 0; i < G_N_ELEMENTS (sets); i++)
    {
      g_autofree char *text = g_strdup_printf (definition, sets[i]);
      g_autofree char *name = g_build_filename ("snapshots", sets[i], "machine.conf", NULL);

      fuzz_folder_write (folder, name, text, strlen (text));
    }
}

static void
check_same (const AlcoveSnapshot *a, const AlcoveSnapshot *b)
{
  g_assert_cmpstr (a->name, ==, b->name);
  g_assert_cmpstr (a->note, ==, b->note);
  g_assert_cmpstr (a->parent, ==, b->parent);
  g_assert_cmpint (a->time, ==, b->time);
  g_assert_cmpint (a->automatic, ==, b->automatic);
  g_assert_cmpint (a->with_memory, ==, b->with_memory);
  g_assert_cmpint (a->quiesced, ==, b->quiesced);
  g_assert_cmpuint (a->disks->len, ==, b->disks->len);
  g_assert_cmpuint (a->excluded->len, ==, b->excluded->len);
  for (guint i = 0; i < a->disks->len; i++)
    {
      const AlcoveSnapshotDisk *x = g_ptr_array_index (a->disks, i);
      const AlcoveSnapshotDisk *y = g_ptr_array_index (b->disks, i);

      g_assert_cmpstr (x->name, ==, y->name);
      g_assert_cmpstr (x->file, ==, y->file);
      g_assert_cmpstr (x->format, ==, y->format);
      g_assert_cmpuint (x->size, ==, y->size);
      g_assert_cmpint (x->time_ns, ==, y->time_ns);
      g_assert_cmpuint (x->cluster_size, ==, y->cluster_size);
      g_assert_cmpuint (x->allocated, ==, y->allocated);
    }
}

/* Renaming a snapshot writes the file again: nothing of it may be lost by that. */
static void
check_snapshot (AlcoveSnapshot *snapshot, const char *folder)
{
  g_autofree char *copy = g_build_filename (folder, "copy", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveSnapshot) again = NULL;
  char *own = snapshot->folder;

  fuzz_check_text (snapshot->name);
  g_assert_true (alcove_snapshot_check_words (snapshot->name, snapshot->note, NULL));
  snapshot->folder = copy;
  g_assert_cmpint (g_mkdir_with_parents (copy, 0700), ==, 0);
  g_assert_true (alcove_snapshot_write (snapshot, &error));
  g_assert_no_error (error);
  snapshot->folder = own;
  again = alcove_snapshot_read (copy, snapshot->id, &error);
  g_assert_no_error (error);
  check_same (snapshot, again);
}

static void
check_tree (const char *folder)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveSnapshots) tree = alcove_snapshots_load (folder, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < tree->snapshots->len; i++)
    {
      AlcoveSnapshot *snapshot = g_ptr_array_index (tree->snapshots, i);
      gboolean found = snapshot->parent == NULL;

      for (guint k = 0; k < i && !found; k++)
        found = strcmp (((AlcoveSnapshot *)g_ptr_array_index (tree->snapshots, k))->id,
                        snapshot->parent) == 0;
      g_assert_true (found);
      if (snapshot->problem == NULL)
        check_snapshot (snapshot, folder);
      else
        fuzz_check_text (snapshot->problem);
    }
}

static void
check_definition (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) present = alcove_definition_load (path, &error);

  g_assert_no_error (error);
  g_assert_nonnull (present);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  char *folder = fuzz_folder_new ();
  AlcoveDiskAccess access = { .open = open_image, .forget = alcove_disk_access_forget };
  const AlcoveSnapshotWork work = { .folder = folder, .access = &access };
  g_autoptr (GError) error = NULL;
  gboolean good;

  access.user_data = folder;
  make_machine (folder, (const char *)data, size);
  check_tree (folder);
  good = alcove_snapshots_recover (&work, &error);
  check_definition (folder);
  if (good)
    {
      g_assert_no_error (error);
      check_tree (folder);
      g_assert_true (alcove_snapshots_recover (&work, &error)); /* it is really done */
      g_assert_no_error (error);
    }
  else
    {
      g_assert_nonnull (error);
      fuzz_check_text (error->message);
    }
  fuzz_folder_free (folder);
  return 0;
}
