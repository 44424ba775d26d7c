/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is to be written so that a card is reserved at start-up: read by the shell and by modprobe
 * themselves, where those are there. */
#include "vfio/host/boot-files.h"

#include <string.h>
#include "tests/unit/vfio/host/fake-host.h"
#include "vfio/host/checks.h"

static VfioBootFiles *
make (FakeHost *host, const char *address)
{
  g_autoptr (VfioVerdict) verdict = vfio_verdict_new (host->tree, host->inventory, NULL, NULL,
                                                      fake_host_get (host, address)->card);

  return vfio_boot_files_new (host->inventory, verdict->takes);
}

/* Standard output of a program that has to succeed; NULL where there is none. */
static char *
run (const char *program, const char *const *argv)
{
  g_autofree char *there = g_find_program_in_path (program);
  g_autofree char *errors = NULL;
  g_autoptr (GError) error = NULL;
  char *output = NULL;
  int status;

  if (there == NULL)
    return NULL;
  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &errors,
                &status, &error);
  g_assert_no_error (error);
  if (!g_spawn_check_wait_status (status, NULL))
    g_test_message ("%s", errors);
  g_assert_true (g_spawn_check_wait_status (status, NULL));
  return output;
}

static void
assert_shell (const char *shell, const char *text)
{
  const char *const argv[] = { shell, "-n", "-c", text, NULL };

  g_free (run (shell, argv));
}

/* What modprobe makes of the file. (transfer full) (nullable) */
static char *
read_by_modprobe (FakeHost *host, const char *text)
{
  g_autofree char *folder = g_build_filename (host->folder, "modprobe.d", NULL);
  g_autofree char *path = g_build_filename (folder, "alcove.conf", NULL);
  const char *const argv[] = { "/sbin/modprobe", "-C", folder, "--showconfig", NULL };

  g_assert_cmpint (g_mkdir_with_parents (folder, 0755), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  return run ("/sbin/modprobe", argv);
}

static void
check (const char *tree, const char *address, gboolean by_address, const char *const *wanted)
{
  g_autoptr (FakeHost) host = fake_host_new (tree, NULL);
  g_autoptr (VfioBootFiles) files = make (host, address);
  g_autofree char *text = vfio_boot_files_to_text (files);

  g_test_message ("%s:\n%s", tree, text);
  g_assert_cmpint (files->by_address, ==, by_address);
  assert_shell ("sh", text);
  assert_shell ("sh", files->apply);
  assert_shell ("sh", files->undo);
  for (guint i = 0; wanted[i] != NULL; i++)
    if (strstr (text, wanted[i]) == NULL)
      g_error ("no \"%s\" in:\n%s", wanted[i], text);
  for (guint i = 0; i < files->files->len; i++)
    {
      const VfioBootFile *file = g_ptr_array_index (files->files, i);

      /* One's own files only, each of which the undo takes away. */
      g_assert_nonnull (strstr (file->path, "/alcove-"));
      g_assert_nonnull (strstr (files->undo, file->path));
      g_assert_true (g_str_has_suffix (file->text, "\n"));
      g_assert_null (strstr (file->text, "END\n"));
      if (!g_str_has_prefix (file->path, "/etc/modprobe.d/"))
        assert_shell ("bash", file->text);
      else
        {
          g_autofree char *config = read_by_modprobe (host, file->text);

          if (config == NULL)
            g_test_message ("no modprobe to ask");
          else if (by_address)
            g_assert_nonnull (strstr (config, "install vfio_pci for d in 0000:"));
          else
            g_assert_nonnull (strstr (config, "options vfio_pci ids="));
          if (config != NULL)
            g_assert_nonnull (strstr (config, "pre: vfio-pci"));
        }
    }
}

static void
test_distributions (void)
{
  check ("desktop", "0000:0d:00.0", FALSE,
         (const char *[]){ "options vfio-pci ids=10de:2484,10de:228b\n",
                           "softdep nouveau pre: vfio-pci\n", "softdep nvidia pre: vfio-pci\n",
                           "softdep snd_hda_intel pre: vfio-pci\n",
                           "/etc/initramfs-tools/hooks/alcove-0000-0d-00-0", "force_load vfio-pci",
                           "sudo update-initramfs -u -k all\n", "sudo chmod 755 ", NULL });
  check ("laptop", "0000:01:00.0", FALSE,
         (const char *[]){ "options vfio-pci ids=10de:2520,10de:228e\n",
                           "/etc/dracut.conf.d/alcove-0000-01-00-0.conf",
                           "force_drivers+=\" vfio-pci \"", "sudo dracut --force", NULL });
  check ("apu", "0000:03:00.0", FALSE,
         (const char *[]){ "ids=1002:73df,1002:ab28\n", "softdep amdgpu pre: vfio-pci\n",
                           "/etc/mkinitcpio.conf.d/", "sudo mkinitcpio -P", NULL });
  /* Two equal cards: by address, or the host would lose both. */
  check ("threadripper", "0000:21:00.0", TRUE,
         (const char *[]){ "install vfio-pci for d in 0000:21:00.0 0000:21:00.1 0000:21:00.2 "
                           "0000:21:00.3; do",
                           "modprobe --ignore-install vfio-pci", "rpm-ostree initramfs-etc --track",
                           "softdep xhci_pci pre: vfio-pci", NULL });
}

static void
test_ostree_ids (void)
{
  g_autoptr (FakeHost) host =
      fake_host_new ("threadripper", "remove /sys/bus/pci/devices/0000:41:00.0\n"
                                     "remove /sys/bus/pci/devices/0000:41:00.1\n"
                                     "remove /sys/bus/pci/devices/0000:41:00.2\n"
                                     "remove /sys/bus/pci/devices/0000:41:00.3");
  g_autoptr (VfioBootFiles) files = make (host, "0000:21:00.0");

  g_assert_false (files->by_address);
  g_assert_nonnull (strstr (files->apply, "--append-if-missing=vfio-pci.ids=10de:1e04,10de:10f7"));
  g_assert_nonnull (strstr (files->undo, "--delete-if-present=vfio-pci.ids=10de:1e04,10de:10f7"));
}

static void
test_unknown (void)
{
  g_autoptr (FakeHost) host =
      fake_host_new ("desktop", "os plan9 \"Plan 9\"\nremove /usr/sbin/update-initramfs");
  g_autoptr (VfioBootFiles) files = make (host, "0000:0d:00.0");

  g_assert_cmpint (files->tool, ==, HOST_INITRAMFS_UNKNOWN);
  g_assert_nonnull (files->note);
  g_assert_cmpuint (files->files->len, ==, 1);
}

/* A driver's name is the kernel's, but here it is a file's: nothing of it may become more than a
 * word of modprobe's. */
static void
test_hostile_driver (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("desktop", NULL);
  VfioFunction *function = fake_host_get (host, "0000:0d:00.0");
  g_autoptr (VfioBootFiles) files = NULL;
  g_autofree char *text = NULL;

  g_free (function->driver);
  function->driver = g_strdup ("x\nEND\nrm -rf /\ninstall y z");
  files = make (host, "0000:0d:00.0");
  text = vfio_boot_files_to_text (files);
  g_assert_null (strstr (text, "rm -rf"));
  g_assert_null (strstr (text, "install y"));
}

static void
test_bridges (void)
{
  g_autoptr (FakeHost) host = fake_host_new ("one-gpu", NULL);
  g_autoptr (GPtrArray) functions = g_ptr_array_new ();
  g_autoptr (VfioBootFiles) files = NULL;

  g_ptr_array_add (functions, fake_host_get (host, "0000:00:01.0"));
  files = vfio_boot_files_new (host->inventory, functions);
  g_assert_cmpuint (files->files->len, ==, 0);
}

static void
test_arguments (void)
{
  static const char *const trees[] = { "desktop", "laptop", "apu", "threadripper" };
  static const char *const tools[] = { "update-grub", "grubby", "grub-mkconfig",
                                       "rpm-ostree kargs" };

  for (guint i = 0; i < G_N_ELEMENTS (trees); i++)
    {
      g_autoptr (FakeHost) host = fake_host_new (trees[i], NULL);
      g_autofree char *add = vfio_boot_add_argument (&host->inventory->platform, "intel_iommu=on");
      g_autofree char *take =
          vfio_boot_remove_argument (&host->inventory->platform, "intel_iommu=on");

      assert_shell ("sh", add);
      assert_shell ("sh", take);
      g_assert_nonnull (strstr (add, tools[i]));
      g_assert_nonnull (strstr (take, tools[i]));
    }
  {
    /* The change of the file, done: there and away again. */
    g_autoptr (FakeHost) host = fake_host_new (
        "desktop", "file /etc/default/grub \"GRUB_DEFAULT=0\\nGRUB_CMDLINE_LINUX_DEFAULT=\\\"quiet "
                   "splash\\\"\\nGRUB_CMDLINE_LINUX=\\\"\\\"\"");
    g_autofree char *path = g_build_filename (host->folder, "etc/default/grub", NULL);
    g_autofree char *after = NULL, *back = NULL;

    for (guint i = 0; i < 2; i++)
      {
        g_autofree char *text =
            i == 0 ? vfio_boot_add_argument (&host->inventory->platform, "intel_iommu=on")
                   : vfio_boot_remove_argument (&host->inventory->platform, "intel_iommu=on");
        g_auto (GStrv) lines = g_strsplit (text, "\n", 2);
        g_auto (GStrv) parts = g_strsplit (lines[0], "/etc/default/grub", 2);
        g_autofree char *command = g_strconcat (parts[0] + strlen ("sudo "), path, parts[1], NULL);
        const char *const argv[] = { "sh", "-c", command, NULL };

        g_free (run ("sh", argv));
        g_assert_true (g_file_get_contents (path, i == 0 ? &after : &back, NULL, NULL));
      }
    g_assert_nonnull (strstr (after, "DEFAULT=\"intel_iommu=on quiet splash\""));
    g_assert_null (strstr (back, "intel_iommu"));
    g_assert_nonnull (strstr (back, "quiet splash"));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vfio/host/boot-files/distributions", test_distributions);
  g_test_add_func ("/vfio/host/boot-files/ostree-ids", test_ostree_ids);
  g_test_add_func ("/vfio/host/boot-files/unknown", test_unknown);
  g_test_add_func ("/vfio/host/boot-files/hostile-driver", test_hostile_driver);
  g_test_add_func ("/vfio/host/boot-files/bridges", test_bridges);
  g_test_add_func ("/vfio/host/boot-files/arguments", test_arguments);
  return g_test_run ();
}
