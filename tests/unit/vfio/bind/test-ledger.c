/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/bind/ledger.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "vmm/error.h"

static VfioBinding
make (const char *address)
{
  VfioBinding binding = { .vendor = 0x10de,
                          .device = 0x2484,
                          .driver = (char *)"nvidia",
                          .uid = 1000,
                          .owner = (char *)":1.23",
                          .boot = (char *)"5d9c7a4e-0000-4000-8000-000000000001",
                          .since = 1700000000 };

  g_assert_true (vfio_address_parse (address, &binding.address));
  return binding;
}

static void
test_text (void)
{
  VfioBinding binding = make ("0000:01:00.0");
  g_autofree char *text = vfio_binding_to_text (&binding), *again = NULL;
  g_autoptr (VfioBinding) read = NULL;
  g_autoptr (GError) error = NULL;
  gsize length = strlen (text);

  read = vfio_binding_from_text (text, length, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (read->driver, ==, "nvidia");
  g_assert_null (read->driver_override);
  g_assert_cmpstr (read->owner, ==, ":1.23");
  again = vfio_binding_to_text (read);
  g_assert_cmpstr (again, ==, text);
  /* Every shorter text, and every text with one byte changed to what it never is, is refused. */
  for (gsize n = 0; n < length; n++)
    g_assert_null (vfio_binding_from_text (text, n, NULL));
  for (gsize n = 0; n < length; n++)
    {
      g_autofree char *bad = g_strdup (text);

      bad[n] = '\001';
      g_assert_null (vfio_binding_from_text (bad, length, NULL));
      bad[n] = 0;
      g_assert_null (vfio_binding_from_text (bad, length, NULL));
    }
}

static void
test_names (void)
{
  static const char *const good[] = { "0", "13", "devices/vfio0", "devices/vfio12" };
  static const char *const bad[] = { "",
                                     "vfio",
                                     "013",
                                     "13 ",
                                     "../null",
                                     "devices/",
                                     "devices/vfio",
                                     "devices/vfio0/..",
                                     "13/../14",
                                     "devices/../1",
                                     "99999999999999",
                                     "-1" };

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (vfio_grant_is_name (good[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (vfio_grant_is_name (bad[i]));
  g_assert_true (vfio_binding_is_driver ("snd_hda_intel"));
  g_assert_false (vfio_binding_is_driver (".."));
  g_assert_false (vfio_binding_is_driver ("a/b"));
}

static void
test_folder (void)
{
  g_autofree char *root = g_dir_make_tmp ("ledger-XXXXXX", NULL);
  g_autofree char *folder = g_build_filename (root, "alcove", "bindings", NULL);
  g_autofree char *name = g_build_filename (folder, "function-0000:01:00.0", NULL);
  g_autofree char *other = g_build_filename (folder, "function-0000:02:00.0", NULL);
  g_autofree char *secret = g_build_filename (root, "secret", NULL);
  const char *argv[] = { "rm", "-rf", root, NULL };
  VfioBinding binding = make ("0000:01:00.0");
  g_autoptr (VfioLedger) ledger = NULL;
  g_autoptr (GPtrArray) all = NULL;
  g_auto (GStrv) problems = NULL;
  g_autoptr (GError) error = NULL;
  VfioLedger *refused;

  g_assert_null (vfio_ledger_open (folder, FALSE, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND);
  g_clear_error (&error);
  ledger = vfio_ledger_open (folder, TRUE, &error);
  g_assert_no_error (error);
  g_assert_true (vfio_ledger_lock (ledger, &error));
  g_assert_true (vfio_ledger_put (ledger, &binding, &error));
  g_assert_no_error (error);
  /* A link, a file under another's name, and a long one: refused, and named. */
  g_assert_true (g_file_set_contents (secret, "x", 1, NULL));
  g_assert_cmpint (symlink (name, other), ==, 0);
  all = vfio_ledger_list (ledger, &problems);
  g_assert_cmpuint (all->len, ==, 1);
  g_assert_cmpuint (g_strv_length (problems), ==, 1);
  g_assert_nonnull (strstr (problems[0], "function-0000:02:00.0"));
  g_unlink (other);
  g_assert_cmpint (link (name, other), ==, 0);
  g_assert_null (vfio_ledger_find (ledger, (VfioAddress){ 0, 2, 0, 0 }, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_unlink (other);
  /* Others could have written it. */
  g_assert_cmpint (chmod (name, 0666), ==, 0);
  g_assert_null (vfio_ledger_find (ledger, binding.address, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_true (vfio_ledger_remove (ledger, binding.address, &error));
  g_assert_true (vfio_ledger_remove (ledger, binding.address, &error));
  g_assert_cmpint (chmod (folder, 0777), ==, 0);
  refused = vfio_ledger_open (folder, FALSE, &error);
  g_assert_null (refused);
  g_assert_error (error, VMM_ERROR, VMM_ERROR_PERMISSION);
  g_assert_true (g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL,
                               NULL, NULL, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vfio/ledger/text", test_text);
  g_test_add_func ("/vfio/ledger/names", test_names);
  g_test_add_func ("/vfio/ledger/folder", test_folder);
  return g_test_run ();
}
