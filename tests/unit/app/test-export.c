/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine written for other programs and read back by ourselves; tar, xmllint and qemu-img judge. */
#include "app/export/export.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app-dirs.h"
#include "app/disk-tools.h"
#include "app/lock.h"

#define MIB  (1024 * 1024)
#define SIZE (70 * MIB + 512) /* more than two grain tables, and a short last grain */

static char *
path_of (const char *name)
{
  return g_build_filename (app_dirs_root, name, NULL);
}

/* FALSE: that program is not there. */
static gboolean
run (const char *const *argv, char **ret_out)
{
  g_autofree char *err = NULL, *out = NULL, *program = g_find_program_in_path (argv[0]);
  int status = 0;

  if (program == NULL)
    return FALSE;
  g_assert_true (g_spawn_sync (app_dirs_root, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                               &out, &err, &status, NULL));
  if (!g_spawn_check_wait_status (status, NULL))
    g_error ("%s: %s", argv[0], err);
  if (ret_out != NULL)
    *ret_out = g_steal_pointer (&out);
  return TRUE;
}
#define RUN(...) run ((const char *const[]){ __VA_ARGS__, NULL }, NULL)

/* A machine whose one disk is raw. (transfer full): its folder. */
static char *
make_machine (void)
{
  static const char conf[] = "[machine]\nuuid=9b1c2c4e-6f5b-4b9f-8f0e-0b6a6d1a2b3c\n"
                             "name=Büro & \"Rechner\"\nmemory=3072\ncpus=4\ncores=2\nthreads=2\n"
                             "firmware=uefi\n[disk system]\nfile=system.img\nformat=raw\n"
                             "boot-index=1\n[nic lan]\nbackend=user\nmac=52:54:00:01:02:03\n"
                             "forward=tcp:127.0.0.1:2222:22\n[display main]\ntype=virtio-vga\n"
                             "[console main]\nbackend=console\n";
  g_autofree char *path = path_of ("source/machine.conf"), *disk = path_of ("source/system.img");
  g_autofree guint8 *buffer = g_malloc (MIB);
  g_autoptr (GRand) rand = g_rand_new_with_seed (9);
  char *folder = path_of ("source");
  int fd;

  if (g_mkdir (folder, 0700) < 0)
    return folder;
  g_assert_true (g_file_set_contents (path, conf, -1, NULL));
  fd = open (disk, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  g_assert_cmpint (ftruncate (fd, SIZE), ==, 0);
  for (guint i = 0; i < 12; i++)
    {
      for (guint k = 0; k < MIB; k++)
        buffer[k] = i % 2 == 0 ? (guint8)g_rand_int (rand) : (guint8)(k / 1000);
      g_assert_cmpint (pwrite (fd, buffer, MIB - 333, (off_t)i * 6 * MIB + 777), ==, MIB - 333);
    }
  g_assert_cmpint (pwrite (fd, "end", 3, SIZE - 3), ==, 3);
  close (fd);
  return folder;
}

static void
expect_same_disk (const char *path, BlockFormat format)
{
  g_autofree char *raw = path_of ("source/system.img");
  AlcoveDiskComparison comparison;
  g_autoptr (GError) error = NULL;

  g_assert_true (
      alcove_disk_compare (raw, BLOCK_FORMAT_RAW, path, format, NULL, &comparison, &error));
  g_assert_no_error (error);
  g_assert_true (comparison.identical);
  g_assert_cmpuint (comparison.size_b, ==, SIZE);
}

static void
export_to (AlcoveExportKind kind, const char *name)
{
  g_autofree char *folder = make_machine (), *to = path_of (name);
  g_autoptr (GError) error = NULL;

  g_assert_true (alcove_export_run (folder, kind, to, NULL, &error));
  g_assert_no_error (error);
}

static gboolean
has_finding (GPtrArray *findings, const char *word)
{
  for (guint i = 0; i < findings->len; i++)
    if (strstr (((AlcoveFinding *)g_ptr_array_index (findings, i))->what, word) != NULL)
      return TRUE;
  return FALSE;
}

/* What came back is the machine that went out. (transfer full) */
static AlcoveImport *
reimport (const char *name, BlockFormat format)
{
  g_autofree char *path = path_of (name), *machines = path_of ("machines");
  const AlcoveImportSpec spec = { machines, NULL, format };
  g_autofree char *folder = NULL, *disk = NULL;
  g_autoptr (GError) error = NULL;
  AlcoveImport *import = alcove_import_open (path, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (import->title, ==, "Büro & \"Rechner\"");
  g_assert_cmpuint (import->memory_mib, ==, 3072);
  g_assert_cmpuint (import->cpus, ==, 4);
  g_assert_cmpint (import->firmware, ==, ALCOVE_FIRMWARE_UEFI);
  g_assert_cmpuint (import->disks->len, ==, 1);
  g_assert_cmpuint (import->nics->len, ==, 1);
  folder = alcove_import_run (import, &spec, NULL, &error);
  g_assert_no_error (error);
  disk =
      g_build_filename (folder, format == BLOCK_FORMAT_RAW ? "system.img" : "system.qcow2", NULL);
  expect_same_disk (disk, format);
  return import;
}

static void
test_ova (void)
{
  g_autofree char *list = NULL, *vmdk = NULL;
  g_autoptr (AlcoveImport) import = NULL;

  export_to (ALCOVE_EXPORT_OVA, "out.ova");
  import = reimport ("out.ova", BLOCK_FORMAT_RAW);
  if (run ((const char *const[]){ "tar", "-tf", "out.ova", NULL }, &list))
    {
      g_auto (GStrv) lines = g_strsplit (list, "\n", -1);

      g_assert_cmpuint (g_strv_length (lines), ==, 4);
      g_assert_true (g_str_has_suffix (lines[0], ".ovf"));
      g_assert_true (g_str_has_suffix (lines[1], ".mf"));
      g_assert_true (g_str_has_suffix (lines[2], ".vmdk"));
      RUN ("tar", "-xf", "out.ova");
      RUN ("xmllint", "--noout", lines[0]);
      RUN ("qemu-img", "compare", "-f", "vmdk", "-F", "raw", lines[2], "source/system.img");
      RUN ("qemu-img", "check", "-f", "vmdk", lines[2]);
      vmdk = path_of (lines[2]);
      expect_same_disk (vmdk, BLOCK_FORMAT_VMDK);
    }
}

static void
test_qcow2 (void)
{
  g_autofree char *disk = path_of ("folder/system.qcow2"), *conf = path_of ("folder/machine.conf");
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GError) error = NULL;
  const AlcoveDiskConfig *const *disks;
  guint n;

  export_to (ALCOVE_EXPORT_QCOW2, "folder");
  expect_same_disk (disk, BLOCK_FORMAT_QCOW2);
  RUN ("qemu-img", "check", "-f", "qcow2", "folder/system.qcow2");
  definition = alcove_definition_load (conf, &error);
  g_assert_no_error (error);
  disks = alcove_definition_get_disks (definition, &n);
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpstr (disks[0]->file, ==, disk);
  g_assert_cmpuint (disks[0]->base.boot_index, ==, 1);
}

static void
test_libvirt (void)
{
  g_autoptr (AlcoveImport) import = NULL;
  const AlcoveImportNic *nic;
  g_autofree char *mac = NULL;

  export_to (ALCOVE_EXPORT_LIBVIRT, "virt");
  RUN ("xmllint", "--noout", "virt/buro-rechner.xml");
  import = reimport ("virt/buro-rechner.xml", BLOCK_FORMAT_QCOW2);
  g_assert_cmpuint (import->cores, ==, 2);
  nic = g_ptr_array_index (import->nics, 0);
  g_assert_true (nic->has_mac);
  mac = alcove_mac_to_string (nic->mac);
  g_assert_cmpstr (mac, ==, "52:54:00:01:02:03");
}

static void
test_kubevirt (void)
{
  g_autofree char *disk = path_of ("kube/system.qcow2"), *text = NULL;
  g_autofree char *path = path_of ("kube/buro-rechner.yaml");
  const char *const expected[] = {
    "apiVersion: kubevirt.io/v1\n",
    "kind: VirtualMachine\n",
    "  name: buro-rechner\n",
    "    description: \"Büro & \\\"Rechner\\\"\"\n",
    "          guest: 3072Mi\n",
    "          cores: 2\n",
    "            efi: {secureBoot: false}\n",
    "            claimName: buro-rechner-disk0\n",
    "              macAddress: \"52:54:00:01:02:03\"\n",
    "#   virtctl image-upload pvc buro-rechner-disk0 --size=71Mi --image-path=system.qcow2\n",
  };

  export_to (ALCOVE_EXPORT_KUBEVIRT, "kube");
  expect_same_disk (disk, BLOCK_FORMAT_QCOW2);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (expected); i++)
    if (strstr (text, expected[i]) == NULL)
      g_error ("%s is not in:\n%s", expected[i], text);
  g_assert_null (strchr (text, '\t'));
}

static void
test_findings (void)
{
  g_autofree char *conf = path_of ("source/machine.conf");
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GPtrArray) ova = NULL, own = NULL;

  g_free (make_machine ());
  definition = alcove_definition_load (conf, NULL);
  ova = alcove_export_look (definition, ALCOVE_EXPORT_OVA);
  own = alcove_export_look (definition, ALCOVE_EXPORT_QCOW2);
  g_assert_true (has_finding (ova, "UEFI variables"));
  g_assert_true (has_finding (ova, "Forwarded ports"));
  g_assert_true (has_finding (ova, "Disk controller"));
  g_assert_true (has_finding (ova, "Network card"));
  g_assert_false (has_finding (own, "Forwarded ports"));
  g_assert_true (has_finding (own, "Snapshots"));
}

static gboolean
on_step (guint64 done, guint64 total, gpointer user_data)
{
  guint *left = user_data;

  g_assert_cmpuint (done, <=, total);
  return (*left)-- > 0;
}

static guint
count_files (void)
{
  g_autoptr (GDir) dir = g_dir_open (app_dirs_root, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_failures (void)
{
  g_autofree char *folder = make_machine (), *to = path_of ("no.ova"), *there = path_of ("source");
  g_autoptr (GError) error = NULL;
  guint before = count_files ();
  AlcoveLock *lock;

  for (guint steps = 0; steps < 4; steps++)
    {
      guint left = steps;
      const BlockProgress progress = { on_step, &left };

      g_assert_false (alcove_export_run (
          folder, steps == 0 ? ALCOVE_EXPORT_QCOW2 : ALCOVE_EXPORT_OVA, to, &progress, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_CANCELLED);
      g_clear_error (&error);
      g_assert_cmpuint (count_files (), ==, before);
    }
  g_assert_false (alcove_export_run (folder, ALCOVE_EXPORT_QCOW2, there, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_EXISTS);
  g_clear_error (&error);
  lock = alcove_lock_acquire (folder, "runs it", &error);
  g_assert_no_error (error);
  g_assert_false (alcove_export_run (folder, ALCOVE_EXPORT_OVA, to, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_clear_error (&error);
  alcove_lock_release (lock);
  g_assert_false (
      alcove_export_run (folder, ALCOVE_EXPORT_OVA, "/nonexistent/x.ova", NULL, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_cmpuint (count_files (), ==, before);
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/export/ova", test_ova);
  g_test_add_func ("/export/qcow2", test_qcow2);
  g_test_add_func ("/export/libvirt", test_libvirt);
  g_test_add_func ("/export/kubevirt", test_kubevirt);
  g_test_add_func ("/export/findings", test_findings);
  g_test_add_func ("/export/failures", test_failures);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
