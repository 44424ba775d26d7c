/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct
{
  char *folder, *root;
  VfioTree *tree;
} Fixture;

static void
put (Fixture *f, const char *path, const char *data, gssize size)
{
  g_autofree char *full = g_strconcat (f->root, path, NULL);
  g_autofree char *parent = g_path_get_dirname (full);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0755), ==, 0);
  g_assert_true (g_file_set_contents (full, data, size, NULL));
}

static void
put_link (Fixture *f, const char *path, const char *target)
{
  g_autofree char *full = g_strconcat (f->root, path, NULL);

  g_assert_cmpint (symlink (target, full), ==, 0);
}

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autofree char *secret = NULL;

  f->folder = g_dir_make_tmp ("vfio-tree-XXXXXX", NULL);
  f->root = g_build_filename (f->folder, "root", NULL);
  g_assert_cmpint (g_mkdir (f->root, 0755), ==, 0);
  secret = g_build_filename (f->folder, "secret", NULL);
  g_assert_true (g_file_set_contents (secret, "outside\n", -1, NULL));
  f->tree = vfio_tree_open (f->root, NULL);
  g_assert_nonnull (f->tree);
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  const char *argv[] = { "rm", "-rf", f->folder, NULL };

  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
  vfio_tree_free (f->tree);
  g_free (f->folder);
  g_free (f->root);
}

static void
test_values (Fixture *f, gconstpointer data)
{
  static const struct
  {
    const char *text;
    gboolean good;
    guint64 value;
  } numbers[] = {
    { "0x10de\n", TRUE, 0x10de },
    { "12\n", TRUE, 12 },
    { "  7 \n", TRUE, 7 },
    { "18446744073709551615\n", TRUE, G_MAXUINT64 },
    { "18446744073709551616\n", FALSE, 0 },
    { "-1\n", FALSE, 0 },
    { "0x\n", FALSE, 0 },
    { "12 13\n", FALSE, 0 },
    { "0xfg\n", FALSE, 0 },
    { "", FALSE, 0 },
    { "\n", FALSE, 0 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      guint64 value = 99;

      put (f, "/sys/number", numbers[i].text, -1);
      g_assert_cmpint (vfio_tree_read_number (f->tree, "/sys/number", &value), ==, numbers[i].good);
      g_assert_cmpuint (value, ==, numbers[i].good ? numbers[i].value : 99);
    }
  {
    gint64 value;

    put (f, "/sys/number", "-1\n", -1);
    g_assert_true (vfio_tree_read_signed (f->tree, "/sys/number", &value));
    g_assert_cmpint (value, ==, -1);
  }
}

static void
test_hostile_contents (Fixture *f, gconstpointer data)
{
  g_autofree char *huge = g_malloc (100000), *line = NULL, *text = NULL, *full = NULL, *pipe = NULL;
  g_autofree guint8 *bytes = NULL;
  gssize size;

  memset (huge, 'a', 100000);
  put (f, "/sys/huge", huge, 100000);
  line = vfio_tree_read_line (f->tree, "/sys/huge");
  g_assert_cmpuint (strlen (line), ==, 4095);
  bytes = vfio_tree_read_bytes (f->tree, "/sys/huge", 4096, &size);
  g_assert_cmpint (size, ==, 4096);
  g_assert_cmpuint (bytes[4096], ==, 0);

  put (f, "/sys/binary", "a\0\xff\xfe z\n", 8);
  text = vfio_tree_read_text (f->tree, "/sys/binary", 100);
  g_assert_true (g_utf8_validate (text, -1, NULL));
  g_assert_true (g_str_has_prefix (text, "a "));

  /* A pipe without a writer, and a folder: no waiting, no reading. */
  full = g_strconcat (f->root, "/sys/pipe", NULL);
  g_assert_cmpint (mkfifo (full, 0600), ==, 0);
  g_assert_null (vfio_tree_read_bytes (f->tree, "/sys/pipe", 10, &size));
  g_assert_cmpint (size, ==, -EINVAL);
  g_assert_null (vfio_tree_read_bytes (f->tree, "/sys", 10, &size));
  g_assert_null (vfio_tree_read_bytes (f->tree, "/sys/none", 10, &size));
  g_assert_cmpint (size, ==, -ENOENT);
  /* An attribute that is only written to. */
  pipe = g_strconcat (f->root, "/sys/pipe", NULL);
  g_assert_cmpint (vfio_tree_write (f->tree, "/sys/pipe", "1"), <, 0);
}

static void
test_links (Fixture *f, gconstpointer data)
{
  g_autofree char *inside = NULL, *resolved = NULL, *name = NULL, *text = NULL;
  static const char *const out[] = { "/sys/up", "/sys/absolute", "/sys/loop-a",
                                     "/sys/dot/../../secret" };

  put (f, "/sys/devices/a/value", "inside\n", -1);
  put_link (f, "/sys/driver", "../sys/devices/a");
  put_link (f, "/sys/rooted", "/sys/devices/a/value");
  put_link (f, "/sys/up", "../../../../../../../../secret");
  put_link (f, "/sys/loop-a", "loop-b");
  put_link (f, "/sys/loop-b", "loop-a");
  {
    g_autofree char *secret = g_build_filename (f->folder, "secret", NULL);

    put_link (f, "/sys/absolute", secret);
  }
  inside = vfio_tree_read_line (f->tree, "/sys/rooted"); /* "/" is the tree's */
  g_assert_cmpstr (inside, ==, "inside");
  for (guint i = 0; i < G_N_ELEMENTS (out); i++)
    {
      g_assert_null (vfio_tree_read_line (f->tree, out[i]));
      g_assert_cmpint (vfio_tree_write (f->tree, out[i], "x"), <, 0);
      g_assert_false (vfio_tree_exists (f->tree, out[i]));
    }
  name = vfio_tree_read_link_name (f->tree, "/sys/driver");
  g_assert_cmpstr (name, ==, "a");
  resolved = vfio_tree_resolve (f->tree, "/sys/driver/value");
  g_assert_cmpstr (resolved, ==, "/sys/devices/a/value");
  g_assert_null (vfio_tree_read_link (f->tree, "/sys/devices/a/value"));
  text = vfio_tree_read_link (f->tree, "/sys/driver");
  g_assert_cmpstr (text, ==, "../sys/devices/a");
}

typedef struct
{
  char *from, *to;
  gint end;
} Renamer;

static gpointer
rename_on (gpointer data)
{
  Renamer *renamer = data;

  while (!g_atomic_int_get (&renamer->end))
    {
      g_assert_cmpint (g_rename (renamer->from, renamer->to), ==, 0);
      g_assert_cmpint (g_rename (renamer->to, renamer->from), ==, 0);
    }
  return NULL;
}

/* Somebody renames files elsewhere all the time: a link through ".." is there none the less. */
static void
test_renames (Fixture *f, gconstpointer data)
{
  Renamer renamer = { .from = g_build_filename (f->folder, "from", NULL),
                      .to = g_build_filename (f->folder, "to", NULL) };
  GThread *thread;
  guint lost = 0;

  put (f, "/sys/devices/a/value", "inside\n", -1);
  put (f, "/sys/bus/links", "", 0);
  put_link (f, "/sys/bus/a", "../../sys/devices/a");
  g_assert_true (g_file_set_contents (renamer.from, "", 0, NULL));
  thread = g_thread_new ("renamer", rename_on, &renamer);
  for (guint i = 0; i < 20000; i++)
    lost += vfio_tree_exists (f->tree, "/sys/bus/a/value") ? 0 : 1;
  g_atomic_int_set (&renamer.end, 1);
  g_thread_join (thread);
  g_assert_cmpuint (lost, ==, 0);
  g_free (renamer.from);
  g_free (renamer.to);
}

static void
test_list_and_write (Fixture *f, gconstpointer data)
{
  g_auto (GStrv) names = NULL;
  g_autofree char *line = NULL;

  put (f, "/d/b", "", 0);
  put (f, "/d/a", "a much longer value\n", -1);
  put (f, "/d/c", "", 0);
  names = vfio_tree_list (f->tree, "/d");
  g_assert_cmpuint (g_strv_length (names), ==, 3);
  g_assert_cmpstr (names[0], ==, "a");
  g_assert_cmpstr (names[2], ==, "c");
  g_assert_null (vfio_tree_list (f->tree, "/none"));
  g_assert_null (vfio_tree_list (f->tree, "/d/a"));
  g_assert_cmpint (vfio_tree_write (f->tree, "/d/a", "vfio-pci"), ==, 0);
  line = vfio_tree_read_line (f->tree, "/d/a");
  g_assert_cmpstr (line, ==, "vfio-pci");
  g_assert_cmpint (vfio_tree_write (f->tree, "/d/none", "x"), ==, -ENOENT);
  g_assert_false (vfio_tree_is_live (f->tree));
}

static void
test_no_root (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (VfioTree) live = NULL;

  g_assert_null (vfio_tree_open ("/nonexistent-folder", &error));
  g_assert_nonnull (error);
  live = vfio_tree_open ("/", NULL);
  g_assert_true (vfio_tree_is_live (live));
  g_assert_true (vfio_tree_exists (live, "/proc/self"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function)                                                                        \
  g_test_add ("/vfio/host/tree/" name, Fixture, NULL, set_up, function, tear_down)
  ADD ("values", test_values);
  ADD ("hostile-contents", test_hostile_contents);
  ADD ("links", test_links);
  ADD ("renames", test_renames);
  ADD ("list-and-write", test_list_and_write);
  g_test_add_func ("/vfio/host/tree/no-root", test_no_root);
  return g_test_run ();
}
