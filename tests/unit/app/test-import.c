/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Machines of other programs: appliances made here with tar and qemu-img, documents as libvirt and
 * quickemu write them, and hostile ones. */
#include "app/import/import.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app-dirs.h"
#include "app/disk-tools.h"

#define MIB  (1024 * 1024)
#define SIZE (6 * MIB)

static char *
path_of (const char *name)
{
  return g_build_filename (app_dirs_root, name, NULL);
}

static void
write_text (const char *name, const char *text)
{
  g_autofree char *path = path_of (name);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static gboolean
run (const char *const *argv)
{
  g_autofree char *err = NULL, *out = NULL;
  g_autofree char *program = g_find_program_in_path (argv[0]);
  int status = 0;

  if (program == NULL)
    return FALSE;
  g_assert_true (g_spawn_sync (app_dirs_root, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL,
                               &out, &err, &status, NULL));
  if (!g_spawn_check_wait_status (status, NULL))
    g_error ("%s: %s", argv[0], err);
  return TRUE;
}
#define RUN(...) run ((const char *const[]){ __VA_ARGS__, NULL })

static void
make_raw (void)
{
  g_autofree char *path = path_of ("disk.raw");
  g_autofree guint8 *buffer = g_malloc (MIB);
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  for (guint i = 0; i < MIB; i++)
    buffer[i] = (guint8)(i * 7 + i / 256);
  g_assert_cmpint (ftruncate (fd, SIZE), ==, 0);
  g_assert_cmpint (pwrite (fd, buffer, MIB, 2 * MIB + 100), ==, MIB);
  close (fd);
}

static gboolean
has_finding (const AlcoveImport *import, AlcoveFindingKind kind, const char *word)
{
  for (guint i = 0; i < import->findings->len; i++)
    {
      const AlcoveFinding *finding = g_ptr_array_index (import->findings, i);

      g_assert_true (g_utf8_validate (finding->what, -1, NULL));
      if (finding->kind == kind &&
          (strstr (finding->what, word) != NULL || strstr (finding->meaning, word) != NULL))
        return TRUE;
    }
  return FALSE;
}

static AlcoveImport *
open_import (const char *name)
{
  g_autofree char *path = path_of (name);
  g_autoptr (GError) error = NULL;
  AlcoveImport *import = alcove_import_open (path, NULL, &error);

  g_assert_no_error (error);
  return import;
}

static void
expect_refused (const char *name, const char *word)
{
  g_autofree char *path = path_of (name);
  g_autoptr (GError) error = NULL;
  AlcoveImport *import = alcove_import_open (path, NULL, &error);

  g_assert_null (import);
  g_assert_nonnull (error);
  if (strstr (error->message, word) == NULL)
    g_error ("\"%s\" is not in: %s", word, error->message);
}

static guint
count_machines (void)
{
  g_autofree char *machines = path_of ("machines");
  g_autoptr (GDir) dir = g_dir_open (machines, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* Makes the machine; its first disk is disk.raw. (transfer full): its definition. */
static AlcoveDefinition *
run_import (const AlcoveImport *import, const char *name, BlockFormat format)
{
  g_autofree char *machines = path_of ("machines"), *raw = path_of ("disk.raw");
  const AlcoveImportSpec spec = { machines, name, format };
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = alcove_import_run (import, &spec, NULL, &error);
  g_autofree char *conf = NULL;
  AlcoveDefinition *definition;
  const AlcoveDiskConfig *const *disks;
  AlcoveDiskComparison comparison;
  guint n;

  g_assert_no_error (error);
  conf = g_build_filename (folder, ALCOVE_DEFINITION_FILE, NULL);
  definition = alcove_definition_load (conf, &error);
  g_assert_no_error (error);
  disks = alcove_definition_get_disks (definition, &n);
  g_assert_cmpuint (n, ==, import->disks->len);
  if (n > 0)
    {
      g_assert_true (alcove_disk_compare (raw, BLOCK_FORMAT_RAW, disks[0]->file, format, NULL,
                                          &comparison, &error));
      g_assert_no_error (error);
      g_assert_true (comparison.identical);
      g_assert_cmpuint (comparison.size_b, ==, SIZE);
    }
  return definition;
}

static gboolean
can_qcow2 (void)
{
  g_autofree char *path = path_of ("probe.qcow2");
  const BlockCreateOptions options = { .size = MIB };
  gboolean can = block_image_create (path, BLOCK_FORMAT_QCOW2, &options, NULL, NULL);

  g_unlink (path);
  return can;
}

/* ---- OVF ---- */

#define ENVELOPE(file, disk, more)                                                                 \
  "<?xml version='1.0'?>\n"                                                                        \
  "<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1' "                                      \
  "xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1' "                                            \
  "xmlns:rasd='http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"                                 \
  "CIM_ResourceAllocationSettingData' "                                                            \
  "xmlns:vmw='http://www.vmware.com/schema/ovf'>\n"                                                \
  "<References><File ovf:href='" file "' ovf:id='file1' ovf:size='1'/></References>\n"             \
  "<DiskSection><Info>x</Info><Disk ovf:capacity='6' ovf:capacityAllocationUnits='byte * 2^20' "   \
  "ovf:diskId='vmdisk1' " disk                                                                     \
  " ovf:format='http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized'/>"      \
  "</DiskSection>\n"                                                                               \
  "<VirtualSystem ovf:id='vm'><Info>A</Info><Name>An &amp; appliance</Name>"                       \
  "<VirtualHardwareSection>"                                                                       \
  "<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>"             \
  "<rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>"                                          \
  "<Item><rasd:AllocationUnits>byte * 2^30</rasd:AllocationUnits>"                                 \
  "<rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>3</rasd:VirtualQuantity></Item>"  \
  "<Item><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>lsilogic</"                     \
  "rasd:ResourceSubType>"                                                                          \
  "<rasd:ResourceType>6</rasd:ResourceType></Item>"                                                \
  "<Item><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:Parent>5</rasd:Parent>"     \
  "<rasd:ResourceType>17</rasd:ResourceType></Item>"                                               \
  "<Item><rasd:Connection>VM Network</rasd:Connection>"                                            \
  "<rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>"                                           \
  "<rasd:ResourceType>10</rasd:ResourceType></Item>"                                               \
  "<Item><rasd:ResourceType>35</rasd:ResourceType></Item>"                                         \
  "<vmw:Config vmw:key='firmware' vmw:value='efi'/>" more                                          \
  "</VirtualHardwareSection></VirtualSystem></Envelope>\n"
#define GOOD ENVELOPE ("d.vmdk", "ovf:fileRef='file1'", "")
#define QCOW2_ENVELOPE(file, format)                                                               \
  "<Envelope><References><File href='" file "' id='f'/></References><DiskSection>"                 \
  "<Disk diskId='d' capacity='6291456' fileRef='f' format='" format "'/></DiskSection>"            \
  "<VirtualSystem id='vm'><VirtualHardwareSection><Item><HostResource>ovf:/disk/d</HostResource>"  \
  "<ResourceType>17</ResourceType></Item></VirtualHardwareSection></VirtualSystem></Envelope>"

static gboolean
make_vmdk (void)
{
  make_raw ();
  return RUN ("qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized",
              "disk.raw", "d.vmdk");
}

static void
write_manifest (gboolean wrong)
{
  g_autofree char *path = path_of ("d.vmdk"), *data = NULL, *text = NULL, *sum = NULL, *sum1 = NULL;
  gsize length;

  g_assert_true (g_file_get_contents (path, &data, &length, NULL));
  if (wrong)
    data[length / 2] ^= 1;
  sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (guchar *)data, length);
  sum1 = g_compute_checksum_for_string (G_CHECKSUM_SHA1, GOOD, -1);
  text = g_strdup_printf ("SHA1(m.ovf)= %s\nSHA256(d.vmdk)= %s\n", sum1, sum);
  write_text ("m.mf", text);
}

static void
test_ova (void)
{
  g_autoptr (AlcoveImport) import = NULL, folder = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL, second = NULL;
  const AlcoveMachineConfig *machine;

  if (!make_vmdk ())
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  write_text ("m.ovf", GOOD);
  write_manifest (FALSE);
  RUN ("tar", "--format=ustar", "-cf", "m.ova", "m.ovf", "m.mf", "d.vmdk");
  import = open_import ("m.ova");
  g_assert_cmpstr (import->kind, ==, "OVA");
  g_assert_cmpstr (import->title, ==, "An & appliance");
  g_assert_cmpuint (import->memory_mib, ==, 3072);
  g_assert_cmpuint (import->cpus, ==, 2);
  g_assert_cmpint (import->firmware, ==, ALCOVE_FIRMWARE_UEFI);
  g_assert_cmpuint (import->disks->len, ==, 1);
  g_assert_cmpuint (((AlcoveImportDisk *)g_ptr_array_index (import->disks, 0))->size, ==, SIZE);
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "Sound card"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_CHANGED, "VmxNet3"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_CHANGED, "lsi"));
  definition = run_import (import, NULL, BLOCK_FORMAT_RAW);
  machine = alcove_definition_get_machine (definition);
  g_assert_cmpstr (machine->title, ==, "An & appliance");
  g_assert_cmpuint (machine->memory_mib, ==, 3072);
  g_assert_cmpuint (machine->cpus, ==, 2);

  /* The same beside each other, unpacked. */
  folder = open_import ("m.ovf");
  g_assert_cmpstr (folder->kind, ==, "OVF");
  second = run_import (folder, "Other", can_qcow2 () ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW);
  g_assert_cmpstr (alcove_definition_get_machine (second)->title, ==, "Other");
}

static gboolean
on_step (guint64 done, guint64 total, gpointer user_data)
{
  guint *left = user_data;

  g_assert_cmpuint (done, <=, total);
  return (*left)-- > 0;
}

static void
test_ova_failures (void)
{
  g_autofree char *machines = path_of ("machines");
  const AlcoveImportSpec spec = { machines, NULL, BLOCK_FORMAT_RAW };
  g_autoptr (AlcoveImport) import = NULL;
  g_autoptr (GError) error = NULL;
  guint before = count_machines ();

  if (!make_vmdk ())
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  write_text ("m.ovf", GOOD);
  write_manifest (TRUE);
  RUN ("tar", "--format=ustar", "-cf", "bad-sum.ova", "m.ovf", "m.mf", "d.vmdk");
  import = open_import ("bad-sum.ova");
  g_assert_null (alcove_import_run (import, &spec, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "checksum"));
  g_assert_cmpuint (count_machines (), ==, before);
  g_clear_error (&error);

  /* Cancelled at every step. */
  write_manifest (FALSE);
  RUN ("tar", "--format=ustar", "-cf", "m.ova", "m.ovf", "m.mf", "d.vmdk");
  g_clear_pointer (&import, alcove_import_free);
  import = open_import ("m.ova");
  for (guint steps = 0; steps < 2; steps++)
    {
      guint left = steps;
      const BlockProgress progress = { on_step, &left };

      g_assert_null (alcove_import_run (import, &spec, &progress, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_CANCELLED);
      g_assert_cmpuint (count_machines (), ==, before);
      g_clear_error (&error);
    }

  write_text ("m.ovf", "<Envelope>changed</Envelope>");
  RUN ("tar", "--format=ustar", "-cf", "changed.ova", "m.ovf", "m.mf", "d.vmdk");
  expect_refused ("changed.ova", "checksum");
  RUN ("tar", "--format=ustar", "-cf", "none.ova", "d.vmdk");
  expect_refused ("none.ova", "no .ovf");
  write_text ("m.ovf", GOOD);
  RUN ("tar", "--format=ustar", "-cf", "no-disk.ova", "m.ovf");
  expect_refused ("no-disk.ova", "not in the archive");
}

static void
test_hostile_archives (void)
{
  g_autofree char *link = path_of ("link.vmdk"), *folder = path_of ("sub");
  g_autofree char *whole = path_of ("m.ova"), *cut = path_of ("cut.ova"), *data = NULL;
  gsize length;

  if (!make_vmdk ())
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  write_text ("m.ovf", GOOD);
  g_mkdir (folder, 0700);
  write_text ("sub/d.vmdk", "x");
  RUN ("tar", "-cf", "deep.ova", "m.ovf", "sub/d.vmdk");
  expect_refused ("deep.ova", "plain file");
  RUN ("tar", "-P", "--transform=s,d.vmdk,../../d.vmdk,", "-cf", "up.ova", "m.ovf", "d.vmdk");
  expect_refused ("up.ova", "plain file");
  RUN ("tar", "-P", "--transform=s,d.vmdk,/tmp/d.vmdk,", "-cf", "root.ova", "m.ovf", "d.vmdk");
  expect_refused ("root.ova", "plain file");
  g_assert_cmpint (symlink ("/etc/passwd", link), ==, 0);
  RUN ("tar", "-cf", "link.ova", "m.ovf", "link.vmdk");
  expect_refused ("link.ova", "plain file");
  RUN ("tar", "-cf", "m.ova", "m.ovf", "d.vmdk");
  g_assert_true (g_file_get_contents (whole, &data, &length, NULL));
  for (gsize n = 600; n < length; n += length / 23)
    {
      g_autofree char *machines = path_of ("machines");
      const AlcoveImportSpec spec = { machines, NULL, BLOCK_FORMAT_RAW };
      g_autoptr (GError) error = NULL;
      AlcoveImport *import;

      g_assert_true (g_file_set_contents (cut, data, (gssize)n, NULL));
      import = alcove_import_open (cut, NULL, &error);
      if (import != NULL)
        g_assert_null (alcove_import_run (import, &spec, NULL, &error));
      g_assert_nonnull (error);
      alcove_import_free (import);
    }
}

/* A disk from anywhere must not bring in a file of this computer; nor may its name be one of the new
 * machine's own files. */
static void
test_hostile_disks (void)
{
  g_autofree char *backing = path_of ("disk.raw"), *overlay = path_of ("d.qcow2");
  g_autofree char *machines = path_of ("machines");
  const AlcoveImportSpec spec = { machines, "Named alike", BLOCK_FORMAT_QCOW2 };
  g_autoptr (AlcoveImport) archive = NULL, alike = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GError) error = NULL;
  guint before = count_machines ();

  make_raw ();
  if (!RUN ("qemu-img", "create", "-f", "qcow2", "-b", backing, "-F", "raw", overlay))
    {
      g_test_skip ("qemu-img is not there");
      return;
    }
  write_text ("m.ovf", QCOW2_ENVELOPE ("d.qcow2", "qcow2"));
  write_text ("overlay.ovf", QCOW2_ENVELOPE ("d.qcow2", "qcow2"));
  expect_refused ("overlay.ovf", "is not part of it");
  RUN ("tar", "--format=ustar", "-cf", "overlay.ova", "m.ovf", "d.qcow2");
  archive = open_import ("overlay.ova");
  g_assert_null (alcove_import_run (archive, &spec, NULL, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_assert_nonnull (strstr (error->message, "is not part of it"));
  g_assert_cmpuint (count_machines (), ==, before);

  RUN ("cp", "disk.raw", "system.qcow2");
  write_text ("m.ovf", QCOW2_ENVELOPE ("system.qcow2", "raw"));
  RUN ("tar", "--format=ustar", "-cf", "alike.ova", "m.ovf", "system.qcow2");
  alike = open_import ("alike.ova");
  definition = run_import (alike, "Alike", BLOCK_FORMAT_QCOW2);
  g_unlink (overlay);
}

static void
test_hostile_envelopes (void)
{
  write_text ("bad.ovf",
              "<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
              "<Envelope>&a;</Envelope>");
  expect_refused ("bad.ovf", "document type");
  write_text ("bad.ovf", "<Envelope><unclosed></Envelope>");
  expect_refused ("bad.ovf", "no XML document");
  write_text ("bad.ovf", "<Envelope/>");
  expect_refused ("bad.ovf", "no machine");
  write_text ("bad.ovf", ENVELOPE ("../disk.raw", "ovf:fileRef='file1'", ""));
  expect_refused ("bad.ovf", "beside it");
  write_text ("bad.ovf", ENVELOPE ("/etc/passwd", "ovf:fileRef='file1'", ""));
  expect_refused ("bad.ovf", "beside it");
  write_text ("bad.ovf", ENVELOPE ("missing.vmdk", "ovf:fileRef='file1'", ""));
  expect_refused ("bad.ovf", "not beside it");
  write_text ("bad.ovf", ENVELOPE ("d.vmdk", "ovf:fileRef='file2'", ""));
  expect_refused ("bad.ovf", "missing");
  write_text ("bad.ovf", ENVELOPE ("d.vmdk", "ovf:fileRef='file1' ovf:parentRef='p'", ""));
  expect_refused ("bad.ovf", "only changes");
  write_text ("bad.mf", "nonsense");
  write_text ("bad.ovf", GOOD);
  expect_refused ("bad.ovf", "manifest makes no sense");
  write_text ("bad.mf", "MD5(bad.ovf)= 00\n");
  expect_refused ("bad.ovf", "unknown checksum");
}

/* ---- libvirt ---- */

static const char domain[] =
    "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
    "  <name>fedora38</name><uuid>9b1c2c4e-6f5b-4b9f-8f0e-0b6a6d1a2b3c</uuid>\n"
    "  <title>Fedora 38</title>\n"
    "  <metadata><libosinfo:libosinfo "
    "xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>"
    "<libosinfo:os id='http://fedoraproject.org/fedora/38'/></libosinfo:libosinfo></metadata>\n"
    "  <memory unit='KiB'>4194304</memory><currentMemory unit='KiB'>2097152</currentMemory>\n"
    "  <vcpu placement='static'>4</vcpu>\n"
    "  <os firmware='efi'><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><boot "
    "dev='hd'/></os>\n"
    "  <cpu mode='host-passthrough'><topology sockets='1' dies='1' cores='2' threads='2'/></cpu>\n"
    "  <clock offset='localtime'/>\n"
    "  <devices>\n"
    "    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"
    "    <disk type='file' device='disk'><driver name='qemu' type='%s'/><source file='%s'/>"
    "<target dev='vda' bus='virtio'/></disk>\n"
    "    <disk type='network' device='disk'><source protocol='rbd' name='pool/x'/>"
    "<target dev='vdb' bus='virtio'/></disk>\n"
    "    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>\n"
    "    <interface type='bridge'><mac address='52:54:00:aa:bb:cc'/><source bridge='br0'/>"
    "<model type='e1000e'/></interface>\n"
    "    <sound model='ich9'/><tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>\n"
    "    <channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>\n"
    "    <redirdev bus='usb' type='spicevmc'/><memballoon model='virtio'/>\n"
    "    <video><model type='qxl'/></video><unheard-of/>\n"
    "  </devices>\n"
    "  <qemu:commandline><qemu:arg value='-foo'/></qemu:commandline>\n"
    "</domain>\n";

static void
test_libvirt (void)
{
  g_autofree char *raw = path_of ("disk.raw"), *text = NULL;
  g_autoptr (AlcoveImport) import = NULL, unread = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL;
  const AlcoveMachineConfig *machine;
  const AlcoveNicConfig *const *nics;
  g_autofree char *mac = NULL;
  guint n;

  make_raw ();
  text = g_strdup_printf (domain, "raw", raw);
  write_text ("fedora.xml", text);
  import = open_import ("fedora.xml");
  g_assert_cmpstr (import->kind, ==, "libvirt");
  g_assert_cmpstr (import->os, ==, "fedora38");
  g_assert_cmpuint (import->disks->len, ==, 1);
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "vdb"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "TPM"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "Sound card (ich9)"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "USB redirection"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "unheard-of"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "Arguments for QEMU"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "UEFI variables"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_CHANGED, "bridge"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_CHANGED, "e1000e"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_CHANGED, "qxl"));
  g_assert_false (has_finding (import, ALCOVE_FINDING_CHANGED, "Board"));
  definition = run_import (import, NULL, BLOCK_FORMAT_RAW);
  machine = alcove_definition_get_machine (definition);
  g_assert_cmpstr (machine->title, ==, "Fedora 38");
  g_assert_cmpuint (machine->memory_mib, ==, 2048);
  g_assert_cmpuint (machine->cpus, ==, 4);
  g_assert_cmpuint (machine->threads, ==, 2);
  g_assert_cmpint (machine->clock, ==, ALCOVE_CLOCK_LOCALTIME);
  g_assert_cmpint (machine->firmware, ==, ALCOVE_FIRMWARE_UEFI);
  nics = alcove_definition_get_nics (definition, &n);
  g_assert_cmpuint (n, ==, 1);
  mac = alcove_mac_to_string (nics[0]->mac);
  g_assert_cmpstr (mac, ==, "52:54:00:aa:bb:cc");

  g_free (text);
  text = g_strdup_printf (domain, "raw", "/nonexistent/disk.img");
  write_text ("unread.xml", text);
  unread = open_import ("unread.xml");
  g_assert_cmpuint (unread->disks->len, ==, 0);
  g_assert_true (has_finding (unread, ALCOVE_FINDING_LOST, "/nonexistent/disk.img"));

  write_text ("xen.xml", "<domain><name>x</name><os><type arch='aarch64'>hvm</type></os></domain>");
  expect_refused ("xen.xml", "aarch64");
  write_text ("other.xml", "<network><name>x</name></network>");
  expect_refused ("other.xml", "neither");
}

static void
test_quickemu (void)
{
  g_autoptr (AlcoveImport) import = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL;
  const AlcoveNicConfig *const *nics;
  guint n;

  make_raw ();
  write_text ("win.conf", "#!/usr/bin/quickemu --vm\nguest_os=\"windows\"\n"
                          "disk_img=\"disk.raw\" # the disk\ndisk_format=\"raw\"\nram='6G'\n"
                          "cpu_cores=3\ntpm=\"on\"\nsecureboot=\"off\"\n"
                          "port_forwards=(\"8080:80\" \"2222:22\")\nusb_devices=()\n"
                          "extra_args=\"$(rm -rf /)\"\n");
  import = open_import ("win.conf");
  g_assert_cmpstr (import->kind, ==, "quickemu");
  g_assert_cmpstr (import->title, ==, "win");
  g_assert_cmpuint (import->memory_mib, ==, 6144);
  g_assert_cmpuint (import->cpus, ==, 3);
  g_assert_true (import->local_time);
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "TPM"));
  g_assert_true (has_finding (import, ALCOVE_FINDING_LOST, "needs a shell"));
  g_assert_false (has_finding (import, ALCOVE_FINDING_LOST, "Secure Boot"));
  g_assert_false (has_finding (import, ALCOVE_FINDING_LOST, "USB"));
  definition = run_import (import, NULL, BLOCK_FORMAT_RAW);
  nics = alcove_definition_get_nics (definition, &n);
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpuint (nics[0]->forwards->len, ==, 2);
  write_text ("no.conf", "ram=4G\n");
  expect_refused ("no.conf", "disk_img");
}

static void
test_bare (void)
{
  g_autofree char *path = path_of ("disk.raw");
  g_autoptr (AlcoveImport) import = NULL, guessed = NULL;
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GError) error = NULL;

  make_raw ();
  import = alcove_import_open (path, "raw", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (import->title, ==, "disk");
  definition = run_import (import, "Bare", BLOCK_FORMAT_RAW);
  g_assert_null (alcove_import_open (path, "vhdx", &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  g_assert_null (alcove_import_open (path, "zip", &error));
  g_assert_nonnull (error);
  guessed = open_import ("disk.raw");
  g_assert_true (has_finding (guessed, ALCOVE_FINDING_NOTE, "look like raw"));
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/import/ova", test_ova);
  g_test_add_func ("/import/ova/failures", test_ova_failures);
  g_test_add_func ("/import/ova/hostile", test_hostile_archives);
  g_test_add_func ("/import/ovf/hostile", test_hostile_envelopes);
  g_test_add_func ("/import/ovf/hostile-disks", test_hostile_disks);
  g_test_add_func ("/import/libvirt", test_libvirt);
  g_test_add_func ("/import/quickemu", test_quickemu);
  g_test_add_func ("/import/bare", test_bare);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
