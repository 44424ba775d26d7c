/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/disposable.h"

#include <glib/gstdio.h>
#include <string.h>

#include "app/paths.h"
#include "devices/backends/block/image.h"

static const char conf[] = "[machine]\nuuid=12345678-1234-1234-1234-123456789abc\nname=x\n"
                           "memory=64M\nfirmware=uefi\n"
                           "[disk one]\nfile=one.img\nformat=raw\n"
                           "[disk two]\nfile=two.qcow2\nformat=qcow2\n"
                           "[disk fixed]\nfile=fixed.img\nreadonly=true\n";

static AlcoveDefinition *
make_machine (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "machine.conf", NULL);
  g_autofree char *raw = g_build_filename (folder, "one.img", NULL);
  g_autofree char *qcow2 = g_build_filename (folder, "two.qcow2", NULL);
  g_autofree char *vars = g_build_filename (folder, "firmware-vars.fd", NULL);
  g_autofree char *sector = g_strnfill (512, 'o');
  BlockCreateOptions options = { .size = 1 << 20 };
  g_autoptr (GError) error = NULL;
  AlcoveDefinition *definition;

  g_assert_true (g_file_set_contents (path, conf, -1, NULL));
  g_assert_true (g_file_set_contents (raw, sector, -1, NULL));
  g_assert_true (g_file_set_contents (vars, "variables", -1, NULL));
  g_assert_true (block_image_create (qcow2, BLOCK_FORMAT_QCOW2, &options, NULL, &error));
  definition = alcove_definition_load (path, &error);
  g_assert_no_error (error);
  return definition;
}

static void
test_overlays (void)
{
  g_autofree char *folder = g_dir_make_tmp ("alcove-disposable-XXXXXX", NULL);
  g_autoptr (AlcoveDefinition) definition = make_machine (folder);
  g_autofree char *raw = g_build_filename (folder, "one.img", NULL);
  g_autofree char *place = g_build_filename (folder, ".disposable", NULL);
  g_autofree char *text = NULL, *vars = NULL;
  g_autoptr (GError) error = NULL;
  RunnerDisposable *disposable = runner_disposable_new (folder, definition, &error);
  const AlcoveDiskConfig *const *disks;
  BlockImageFlags flags = { 0 };
  BlockImage *image;
  char byte = 0;
  guint n;

  g_assert_no_error (error);
  disks = alcove_definition_get_disks (runner_disposable_get_definition (disposable), &n);
  g_assert_cmpuint (n, ==, 3);
  for (guint i = 0; i < 2; i++)
    {
      g_assert_true (g_str_has_prefix (disks[i]->file, place));
      g_assert_cmpint (disks[i]->format, ==, ALCOVE_DISK_QCOW2);
    }
  g_assert_false (g_str_has_prefix (disks[2]->file, place));
  vars = g_strdup (
      alcove_definition_get_machine (runner_disposable_get_definition (disposable))->firmware_vars);
  g_assert_true (g_str_has_prefix (vars, place));
  g_assert_true (g_file_get_contents (vars, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "variables");

  image = block_image_open (disks[0]->file, BLOCK_FORMAT_QCOW2, &flags, &error);
  g_assert_no_error (error);
  runner_disposable_opened (disposable);
  g_assert_false (g_file_test (disks[0]->file, G_FILE_TEST_EXISTS));
  g_assert_cmpint (block_image_read (image, 0, &byte, 1), ==, 0);
  g_assert_cmpint (byte, ==, 'o');
  g_assert_cmpint (block_image_write (image, 0, "n", 1), ==, 0);
  g_assert_cmpint (block_image_flush (image), ==, 0);
  block_image_close (image);
  runner_disposable_free (disposable);
  g_assert_false (g_file_test (place, G_FILE_TEST_EXISTS));
  g_clear_pointer (&text, g_free);
  g_assert_true (g_file_get_contents (raw, &text, NULL, NULL));
  g_assert_cmpint (text[0], ==, 'o');
  /* The definition on disk is as it was. */
  g_assert_false (alcove_definition_is_modified (definition));
  alcove_paths_remove_tree (folder);
}

static void
test_refused_and_left_over (void)
{
  g_autofree char *folder = g_dir_make_tmp ("alcove-disposable-XXXXXX", NULL);
  g_autoptr (AlcoveDefinition) definition = make_machine (folder);
  g_autofree char *raw = g_build_filename (folder, "one.img", NULL);
  g_autofree char *place = g_build_filename (folder, ".disposable", NULL);
  g_autofree char *left = g_build_filename (place, "one.qcow2", NULL);
  g_autoptr (GError) error = NULL;
  RunnerDisposable *disposable;

  g_assert_cmpint (g_unlink (raw), ==, 0);
  g_assert_null (runner_disposable_new (folder, definition, &error));
  g_assert_nonnull (strstr (error->message, "[disk one]"));
  g_assert_false (g_file_test (place, G_FILE_TEST_EXISTS));
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (raw, "x", -1, NULL));
  g_assert_cmpint (g_mkdir (place, 0700), ==, 0);
  g_assert_true (g_file_set_contents (left, "of a killed process", -1, NULL));
  runner_disposable_clean (folder);
  disposable = runner_disposable_new (folder, definition, &error);
  g_assert_no_error (error);
  runner_disposable_free (disposable);
  alcove_paths_remove_tree (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/disposable/overlays", test_overlays);
  g_test_add_func ("/disposable/refused-and-left-over", test_refused_and_left_over);
  return g_test_run ();
}
