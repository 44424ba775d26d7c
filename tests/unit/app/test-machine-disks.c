/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine's disks as operations: real images in real machine folders, under a VM process without a
 * VM (fake-vmm.c) where the machine is to run. */
#include "app/machine-disks.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "app-dirs.h"
#include "app/definition-disks.h"
#include "app/library.h"

#define MIB (G_GUINT64_CONSTANT (1) << 20)

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **)user_data = g_object_ref (result);
}

static GAsyncResult *
wait_for (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

static AlcoveMachine *
create (AlcoveLibrary *library, const char *name)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveCreateSpec spec;
  AlcoveMachine *machine;

  alcove_create_spec_init (&spec);
  spec.name = name;
  spec.os = "fake";
  spec.disk_bytes = 4 * MIB;
  alcove_library_create_async (library, &spec, NULL, NULL, NULL, on_ready, &result);
  machine = alcove_library_create_finish (library, wait_for (&result), &error);
  g_assert_no_error (error);
  return machine;
}

static GPtrArray *
look (AlcoveMachine *machine)
{
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  GPtrArray *disks;

  alcove_machine_look_at_disks_async (machine, NULL, on_ready, &result);
  disks = alcove_machine_look_at_disks_finish (machine, wait_for (&result), &error);
  g_assert_no_error (error);
  return disks;
}

static gboolean
work (AlcoveMachine *machine, const AlcoveDiskWork *what, AlcoveDiskResult *ret, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  alcove_machine_work_on_disk_async (machine, what, NULL, NULL, NULL, on_ready, &result);
  return alcove_machine_work_on_disk_finish (machine, wait_for (&result), ret, error);
}

static void
assert_work (AlcoveMachine *machine, const AlcoveDiskWork *what, AlcoveDiskResult *ret)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (work (machine, what, ret, &error) || error != NULL);
  g_assert_no_error (error);
}

static void
assert_refused (AlcoveMachine *machine, const AlcoveDiskWork *what, int code, const char *text)
{
  g_autoptr (GError) error = NULL;
  AlcoveDiskResult ret;

  g_assert_false (work (machine, what, &ret, &error));
  g_assert_error (error, ALCOVE_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

static char *
add (AlcoveMachine *machine, const AlcoveNewDisk *disk, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  alcove_machine_new_disk_async (machine, disk, NULL, on_ready, &result);
  return alcove_machine_new_disk_finish (machine, wait_for (&result), error);
}

static gboolean
drop (AlcoveMachine *machine, const char *name, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  alcove_machine_drop_disk_async (machine, name, 1000, NULL, on_ready, &result);
  return alcove_machine_finish (machine, wait_for (&result), error);
}

static const AlcoveDiskConfig *
first_disk (AlcoveMachine *machine)
{
  guint n;
  const AlcoveDiskConfig *const *disks =
      alcove_definition_get_disks (alcove_machine_get_definition (machine), &n);

  g_assert_cmpuint (n, >, 0);
  return disks[0];
}

/* The disk of this name, by what a look at it says. NULL: there is none. */
static AlcoveMachineDisk *
look_at (AlcoveMachine *machine, const char *name)
{
  g_autoptr (GPtrArray) disks = look (machine);

  for (guint i = 0; i < disks->len; i++)
    {
      AlcoveMachineDisk *disk = g_ptr_array_index (disks, i);

      if (strcmp (disk->name, name) == 0)
        return alcove_machine_disk_ref (disk);
    }
  return NULL;
}

static void
test_look (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Look");
  g_autofree char *name = g_strdup (first_disk (machine)->base.name);
  g_autofree char *file = g_strdup (first_disk (machine)->file);
  g_autoptr (AlcoveMachineDisk) disk = look_at (machine, name);
  g_autoptr (AlcoveMachineDisk) lost = NULL;
  g_autoptr (AlcoveMachineDisk) broken = NULL;

  g_assert_cmpstr (disk->file, ==, file);
  g_assert_cmpuint (disk->size, ==, 4 * MIB);
  g_assert_cmpuint (disk->allocated, >, 0);
  g_assert_cmpuint (disk->n_snapshots, ==, 0);
  g_assert_false (disk->cdrom);
  g_assert_false (disk->corrupt);
  g_assert_null (disk->problem);
  g_assert_cmpuint (g_strv_length (disk->backing), ==, 0);
  /* One that is no image, and one that is not there: a problem each, and no error. */
  g_assert_true (g_file_set_contents (file, "no image", -1, NULL));
  broken = look_at (machine, name);
  g_assert_nonnull (broken->problem);
  g_assert_cmpuint (broken->size, ==, 0);
  g_assert_cmpint (g_unlink (file), ==, 0);
  lost = look_at (machine, name);
  g_assert_nonnull (strstr (lost->problem, file));
}

static void
test_work (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Work");
  g_autofree char *name = g_strdup (first_disk (machine)->base.name);
  AlcoveDiskWork what = { .kind = ALCOVE_DISK_WORK_CHECK, .disk = name };
  AlcoveDiskResult ret;

  assert_work (machine, &what, &ret);
  g_assert_cmpuint (ret.corruptions + ret.leaks + ret.errors, ==, 0);
  what.kind = ALCOVE_DISK_WORK_REPAIR;
  assert_work (machine, &what, &ret);
  g_assert_cmpuint (ret.corruptions_fixed + ret.leaks_fixed, ==, 0);
  what.kind = ALCOVE_DISK_WORK_COMPACT;
  assert_work (machine, &what, &ret);
  g_assert_cmpuint (ret.after, <=, ret.before);
  what = (AlcoveDiskWork){ .kind = ALCOVE_DISK_WORK_RESIZE, .disk = name, .size = 8 * MIB };
  assert_work (machine, &what, &ret);
  g_assert_cmpuint (ret.before + ret.corruptions, ==, 0);
  {
    g_autoptr (AlcoveMachineDisk) grown = look_at (machine, name);

    g_assert_cmpuint (grown->size, ==, 8 * MIB);
  }
  what.disk = "nobody";
  assert_refused (machine, &what, ALCOVE_ERROR_NOT_FOUND, "nobody");
}

/* A snapshot is kept with a resize, and taken back with one that fails. */
static void
test_keep (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Keep");
  g_autofree char *name = g_strdup (first_disk (machine)->base.name);
  g_autoptr (AlcoveMachineDisk) before = NULL;
  g_autoptr (AlcoveMachineDisk) after = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveDiskWork what = {
    .kind = ALCOVE_DISK_WORK_RESIZE, .disk = name, .size = G_MAXUINT64 / 512 * 512, .keep = TRUE
  };
  AlcoveDiskResult ret;

  g_assert_false (work (machine, &what, &ret, &error));
  g_assert_nonnull (error);
  before = look_at (machine, name);
  g_assert_cmpuint (before->size, ==, 4 * MIB);
  g_assert_cmpuint (before->n_snapshots, ==, 0);
  what.size = 6 * MIB;
  assert_work (machine, &what, &ret);
  after = look_at (machine, name);
  g_assert_cmpuint (after->size, ==, 6 * MIB);
  g_assert_cmpuint (after->n_snapshots, ==, 1);
}

/* A smaller size only where nothing is cut off. */
static void
test_shrink (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Shrink");
  g_autofree char *path = g_build_filename (app_dirs_root, "data.img", NULL);
  g_autofree char *name = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveNewDisk disk = { .file = path, .format = "raw", .bus = "virtio" };
  AlcoveDiskWork what = { .kind = ALCOVE_DISK_WORK_RESIZE, .size = MIB };
  AlcoveDiskResult ret;
  int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  g_assert_cmpint (ftruncate (fd, 3 * MIB), ==, 0);
  g_assert_cmpint (pwrite (fd, "x", 1, 2 * MIB), ==, 1);
  close (fd);
  name = add (machine, &disk, &error);
  g_assert_no_error (error);
  what.disk = name;
  g_assert_false (work (machine, &what, &ret, &error));
  g_assert_nonnull (error);
  {
    g_autoptr (AlcoveMachineDisk) same = look_at (machine, name);

    g_assert_cmpuint (same->size, ==, 3 * MIB);
  }
  what.size = 2 * MIB + MIB / 2;
  assert_work (machine, &what, &ret);
  {
    g_autoptr (AlcoveMachineDisk) smaller = look_at (machine, name);

    g_assert_cmpuint (smaller->size, ==, 2 * MIB + MIB / 2);
  }
}

static void
test_add_and_drop (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Edit");
  g_autoptr (GError) error = NULL;
  AlcoveNewDisk disk = { .size = 2 * MIB, .bus = "scsi" };
  g_autofree char *name = add (machine, &disk, &error);
  g_autoptr (AlcoveMachineDisk) added = NULL;
  g_autoptr (AlcoveMachineDisk) gone = NULL;

  g_assert_no_error (error);
  added = look_at (machine, name);
  g_assert_cmpuint (added->size, ==, 2 * MIB);
  g_assert_cmpint (added->bus, ==, ALCOVE_DISK_SCSI);
  g_assert_null (added->problem);
  g_assert_true (drop (machine, name, &error) || error != NULL);
  g_assert_no_error (error);
  gone = look_at (machine, name);
  g_assert_null (gone);
  /* The image stays. */
  g_assert_true (g_file_test (added->file, G_FILE_TEST_EXISTS));
  g_assert_false (drop (machine, "nobody", &error));
  g_assert_nonnull (error);
}

/* What has an image open or goes on with it keeps work away from it. */
static void
test_running (void)
{
  g_autoptr (AlcoveLibrary) library = alcove_library_new (NULL);
  g_autoptr (AlcoveMachine) machine = create (library, "Runs");
  g_autofree char *name = g_strdup (first_disk (machine)->base.name);
  g_autoptr (GAsyncResult) started = NULL;
  g_autoptr (GAsyncResult) stopped = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveMachineDisk) disk = NULL;
  AlcoveDiskWork what = { .disk = name, .size = 8 * MIB };
  AlcoveDiskResult ret;

  alcove_machine_start_async (machine, ALCOVE_START_NONE, NULL, on_ready, &started);
  g_assert_true (alcove_machine_finish (machine, wait_for (&started), &error) || error != NULL);
  g_assert_no_error (error);
  for (AlcoveDiskWorkKind kind = ALCOVE_DISK_WORK_CHECK; kind <= ALCOVE_DISK_WORK_RESIZE; kind++)
    {
      what.kind = kind;
      assert_refused (machine, &what, ALCOVE_ERROR_WRONG_STATE, "is running");
    }
  /* Looking is always possible. */
  disk = look_at (machine, name);
  g_assert_cmpuint (disk->size, ==, 4 * MIB);
  alcove_machine_force_off_async (machine, NULL, on_ready, &stopped);
  g_assert_true (alcove_machine_finish (machine, wait_for (&stopped), &error) || error != NULL);
  g_assert_no_error (error);
  while (alcove_machine_is_active (machine))
    g_main_context_iteration (NULL, TRUE);
  what.kind = ALCOVE_DISK_WORK_RESIZE;
  assert_work (machine, &what, &ret);
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_setenv ("ALCOVE_LIBEXECDIR", ALCOVE_FAKE_LIBEXECDIR, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/machine-disks/look", test_look);
  g_test_add_func ("/machine-disks/work", test_work);
  g_test_add_func ("/machine-disks/keep", test_keep);
  g_test_add_func ("/machine-disks/shrink", test_shrink);
  g_test_add_func ("/machine-disks/add-and-drop", test_add_and_drop);
  g_test_add_func ("/machine-disks/running", test_running);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
