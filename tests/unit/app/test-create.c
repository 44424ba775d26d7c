/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/create.h"
#include "app/disk-tools.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app-dirs.h"

static void
on_ready (GObject *source, GAsyncResult *result, gpointer user_data)
{
  *(GAsyncResult **)user_data = g_object_ref (result);
}

static guint64 last_done, last_total;

static void
on_progress (guint64 done, guint64 total, gpointer user_data)
{
  g_assert_cmpuint (done, <=, total);
  g_assert_cmpuint (done, >=, last_done);
  last_done = done;
  last_total = total;
}

static char *
machines_folder (void)
{
  return g_build_filename (app_dirs_root, "machines", NULL);
}

static char *
create (const AlcoveCreateSpec *spec, GCancellable *cancellable, GError **error)
{
  g_autofree char *folder = machines_folder ();
  g_autoptr (GAsyncResult) result = NULL;

  last_done = last_total = 0;
  alcove_create_async (folder, spec, on_progress, NULL, cancellable, on_ready, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  return alcove_create_finish (result, error);
}

static guint
count_entries (void)
{
  g_autofree char *folder = machines_folder ();
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static guint64
disk_size (const char *path, BlockFormat format)
{
  g_autoptr (GPtrArray) chain = alcove_disk_get_chain (path, format, NULL);

  g_assert_nonnull (chain);
  return ((const AlcoveDiskImage *)g_ptr_array_index (chain, 0))->size;
}

static void
test_new_disk (void)
{
  AlcoveCreateSpec spec;
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = NULL, *second = NULL, *image = NULL, *conf = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL;
  struct stat st;
  guint n;

  alcove_create_spec_init (&spec);
  g_assert_cmpuint (spec.memory_mib, >=, 1024);
  g_assert_cmpuint (spec.cpus, >=, 1);
  spec.name = "  Ärger & Co. ";
  folder = create (&spec, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_str_has_suffix (folder, "/machines/arger-co"));
  image = g_build_filename (folder, "system.qcow2", NULL);
  g_assert_cmpint (stat (image, &st), ==, 0);
  g_assert_cmpint (st.st_blocks, <, 512); /* nothing but tables */
  g_assert_cmpuint (disk_size (image, BLOCK_FORMAT_QCOW2), ==, 32ULL << 30);
  g_assert_cmpint (st.st_mode & 0777, ==, 0600);
  conf = g_build_filename (folder, "machine.conf", NULL);
  definition = alcove_definition_load (conf, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (alcove_definition_get_machine (definition)->title, ==, "  Ärger & Co. ");
  g_assert_cmpstr (alcove_definition_get_disks (definition, &n)[0]->file, ==, image);
  g_assert_true (alcove_definition_get_nics (definition, &n)[0]->base.address.set);
  g_assert_true (alcove_definition_assign (definition, &error));
  g_assert_false (alcove_definition_is_modified (definition)); /* nothing was left to assign */
  second = create (&spec, NULL, &error);
  g_assert_true (g_str_has_suffix (second, "/machines/arger-co-2"));
}

static void
test_copy_disk (void)
{
  g_autofree char *source = g_build_filename (app_dirs_root, "source.img", NULL);
  g_autofree char *folder = NULL, *other = NULL, *image = NULL, *text = NULL, *qcow2 = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveDiskComparison comparison;
  AlcoveCreateSpec spec;
  gsize length;
  int fd = open (source, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

  /* Data, a hole, data, and an end in the middle of a sector. */
  g_assert_cmpint (pwrite (fd, "begin", 5, 0), ==, 5);
  g_assert_cmpint (pwrite (fd, "end", 3, 5 << 20), ==, 3);
  close (fd);
  alcove_create_spec_init (&spec);
  spec.name = "copy";
  spec.disk_source = source;
  spec.disk_bytes = 0;
  spec.disk_format = BLOCK_FORMAT_RAW;
  folder = create (&spec, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (last_total, >=, (5 << 20) + 3);
  g_assert_cmpuint (last_done, ==, last_total);
  image = g_build_filename (folder, "system.img", NULL);
  g_assert_true (g_file_get_contents (image, &text, &length, NULL));
  g_assert_cmpuint (length, ==, (5 << 20) + 512);
  g_assert_cmpmem (text, 5, "begin", 5);
  g_assert_cmpmem (text + (5 << 20), 4, "end", 4);
  for (gsize i = 5; i < 5 << 20; i++)
    if (text[i] != 0)
      g_error ("byte %zu is not zero", i);
  /* As qcow2, and larger. */
  spec.disk_format = BLOCK_FORMAT_QCOW2;
  spec.disk_bytes = 64 << 20;
  other = create (&spec, NULL, &error);
  g_assert_no_error (error);
  qcow2 = g_build_filename (other, "system.qcow2", NULL);
  g_assert_cmpuint (disk_size (qcow2, BLOCK_FORMAT_QCOW2), ==, 64 << 20);
  g_assert_true (alcove_disk_compare (image, BLOCK_FORMAT_RAW, qcow2, BLOCK_FORMAT_QCOW2, NULL,
                                      &comparison, &error));
  g_assert_true (comparison.identical);
  /* And from that one: its format has to be named. */
  g_free (g_steal_pointer (&other));
  spec.disk_source = qcow2;
  g_assert_null (create (&spec, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "looks like a qcow2 image"));
  g_clear_error (&error);
  spec.source_format = BLOCK_FORMAT_QCOW2;
  other = create (&spec, NULL, &error);
  g_assert_no_error (error);
}

static void
test_refused (void)
{
  AlcoveCreateSpec spec;
  g_autoptr (GError) error = NULL;
  g_autofree char *long_name = g_strnfill (129, 'x');
  guint before = count_entries ();

  alcove_create_spec_init (&spec);
  g_assert_null (create (&spec, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_clear_error (&error);
  spec.name = long_name;
  g_assert_null (create (&spec, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "name"));
  g_clear_error (&error);
  spec.name = "x";
  spec.disk_bytes = 1;
  g_assert_null (create (&spec, NULL, &error));
  g_clear_error (&error);
  spec.disk_bytes = 0;
  spec.medium = "/nonexistent.iso";
  g_assert_null (create (&spec, NULL, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_assert_nonnull (strstr (error->message, "/nonexistent.iso"));
  g_clear_error (&error);
  spec.medium = NULL;
  spec.disk_source = app_dirs_root; /* a folder */
  g_assert_null (create (&spec, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_clear_error (&error);
  spec.disk_source = NULL;
  spec.cmdline = "without a kernel";
  g_assert_null (create (&spec, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_assert_cmpuint (count_entries (), ==, before); /* and nothing half-made */
}

static void
test_cancel (void)
{
  AlcoveCreateSpec spec;
  g_autofree char *source = g_build_filename (app_dirs_root, "source.img", NULL);
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) error = NULL;
  guint before = count_entries ();

  g_cancellable_cancel (cancellable);
  alcove_create_spec_init (&spec);
  spec.name = "cancelled";
  spec.disk_source = source;
  g_assert_null (create (&spec, cancellable, &error));
  g_assert_error (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
  g_assert_cmpuint (count_entries (), ==, before);
}

static void
test_folder_names (void)
{
  static const struct
  {
    const char *name, *folder;
  } cases[] = {
    { "Debian 12", "debian-12" }, { "../../etc", "etc" },  { "日本", "machine" }, { "", "machine" },
    { "a---b", "a-b" },           { ".hidden", "hidden" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *folder = alcove_create_dup_folder_name (cases[i].name);

      g_assert_cmpstr (folder, ==, cases[i].folder);
    }
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/create/new-disk", test_new_disk);
  g_test_add_func ("/create/copy-disk", test_copy_disk);
  g_test_add_func ("/create/refused", test_refused);
  g_test_add_func ("/create/cancel", test_cancel);
  g_test_add_func ("/create/folder-names", test_folder_names);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
