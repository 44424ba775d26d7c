/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "vmm/host-check.h"
#include "vmm/vm.h"

static void
test_backend (void)
{
  g_autofree char *root = g_dir_make_tmp ("alcove-XXXXXX", NULL);
  static const char *const names[] = { "kvm_amd", "kvm_intel", "kvm_pvm" };
  g_autofree char *module = g_build_filename (root, "module", NULL);

  g_assert_cmpstr (vmm_host_check_backend (root), ==, "unknown");
  g_assert_false (vmm_host_check_is_hardware ("unknown"));
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (module, names[i], NULL);

      g_assert_cmpint (g_mkdir_with_parents (path, 0700), ==, 0);
      g_assert_cmpstr (vmm_host_check_backend (root), ==, names[i]);
      g_assert_cmpint (vmm_host_check_is_hardware (names[i]), ==, i < 2);
      g_assert_cmpint (g_rmdir (path), ==, 0);
    }
  g_rmdir (module);
  g_rmdir (root);
}

static void
test_probe (void)
{
  VmmHostCheck check;

  vmm_host_check_probe (&check);
  g_assert_nonnull (check.sentence);
  g_assert_true (check.available || !check.hardware);
  g_assert_true (check.available == (check.backend[0] != '\0'));
  vmm_host_check_clear (&check);
}

/* What a person reads when KVM cannot be used. */
static void
test_open_errors (void)
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("alcove-XXXXXX", &path, NULL);

  g_assert_null (vmm_kvm_open ("/nonexistent/kvm", &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
  g_assert_nonnull (strstr (error->message, "/nonexistent/kvm is "));
  g_clear_error (&error);

  /* a file is not a KVM */
  g_assert_null (vmm_kvm_open (path, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_UNAVAILABLE);
  g_clear_error (&error);

  g_assert_cmpint (g_chmod (path, 0), ==, 0);
  if (geteuid () != 0)
    {
      g_assert_null (vmm_kvm_open (path, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_PERMISSION);
      g_assert_nonnull (strstr (error->message, "usermod -aG kvm"));
    }
  g_unlink (path);
  close (fd);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/host-check/backend", test_backend);
  g_test_add_func ("/vmm/host-check/probe", test_probe);
  g_test_add_func ("/vmm/kvm/open-errors", test_open_errors);
  return g_test_run ();
}
