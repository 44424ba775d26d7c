/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/definition-disks.h"

#include <string.h>
#include "app-dirs.h"
#include "app/definition-json.h"
#include "app/definition-private.h"

#define UUID    "0f3c8a52-5c1f-4a36-9d55-0f6a8f1f2b10"
#define MACHINE "[machine]\nuuid = " UUID "\nname = Test\nmemory = 512M\n"

static AlcoveDefinition *
load_good (const char *text)
{
  g_autoptr (GError) error = NULL;
  AlcoveDefinition *definition =
      alcove_definition_new_from_text (text, -1, "/m/machine.conf", &error);

  g_assert_no_error (error);
  g_assert_nonnull (definition);
  return definition;
}

static void
assert_refused (const char *text, const char *expected)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition =
      alcove_definition_new_from_text (text, -1, "/m/machine.conf", &error);

  if (definition != NULL)
    g_error ("accepted: %s", text);
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  if (strstr (error->message, expected) == NULL)
    g_error ("\"%s\" is not in \"%s\"", expected, error->message);
}

/* The tables themselves: defaults parse, names are unique, offsets lie in the struct. */
static void
test_schema (void)
{
  for (guint i = 0; i < ALCOVE_N_KINDS; i++)
    {
      const AlcoveGroupSpec *spec = &alcove_group_specs[i];
      gpointer config = g_malloc0 (spec->size);

      g_assert_cmpuint (spec->kind, ==, i);
      g_assert_cmpuint (spec->n_keys, <, 64);
      for (gsize j = 0; j < spec->n_keys; j++)
        {
          const AlcoveKeySpec *key = &spec->keys[j];
          g_autofree char *problem = NULL;

          g_assert_true (alcove_group_spec_find_key (spec, key->name) == key);
          g_assert_nonnull (key->help);
          g_assert_cmpuint (key->offset, <, spec->size);
          if (key->fallback != NULL)
            g_assert_true (alcove_key_parse (key, key->fallback, "/m", config, &problem));
          g_assert_cmpstr (problem, ==, NULL);
        }
      alcove_group_config_free (spec, config);
    }
}

static void
test_defaults (void)
{
  g_autoptr (AlcoveDefinition) definition = load_good (MACHINE "[disk a]\nfile=a.img\n[nic n]\n"
                                                               "[display d]\n[serial s]\n");
  const AlcoveMachineConfig *machine = alcove_definition_get_machine (definition);
  const AlcoveDiskConfig *disk;
  const AlcoveNicConfig *nic;
  guint n;
  guint8 mac[6];

  g_assert_cmpstr (machine->uuid, ==, UUID);
  g_assert_cmpstr (machine->title, ==, "Test");
  g_assert_cmpuint (machine->memory_mib, ==, 512);
  g_assert_cmpuint (machine->cpus, ==, 1);
  g_assert_cmpuint (machine->sockets, ==, 0);
  g_assert_cmpint (machine->cpu, ==, ALCOVE_CPU_HOST);
  g_assert_cmpint (machine->firmware, ==, ALCOVE_FIRMWARE_UEFI);
  g_assert_cmpstr (machine->firmware_vars, ==, "/m/firmware-vars.fd");
  g_assert_true (machine->invariant_tsc);
  g_assert_cmpuint (machine->debug_exit, ==, 0);
  disk = alcove_definition_get_disks (definition, &n)[0];
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpstr (disk->base.name, ==, "a");
  g_assert_cmpuint (disk->base.line, ==, 5);
  g_assert_cmpstr (disk->file, ==, "/m/a.img");
  g_assert_true (disk->discard);
  g_assert_false (disk->readonly);
  nic = alcove_definition_get_nics (definition, &n)[0];
  g_assert_cmpint (nic->backend, ==, ALCOVE_NIC_USER);
  g_assert_cmpuint (nic->forwards->len, ==, 0);
  alcove_mac_derive (UUID, "n", mac);
  g_assert_cmpmem (nic->mac, 6, mac, 6);
  g_assert_cmpuint (mac[0] & 3, ==, 2); /* unicast, locally administered */
  g_assert_cmpuint (alcove_definition_get_displays (definition, &n)[0]->width, ==, 1280);
  g_assert_cmpuint (alcove_definition_get_serials (definition, &n)[0]->port, ==, 1);
  g_assert_null (alcove_definition_get_spice (definition));
  alcove_definition_get_devices (definition, &n);
  g_assert_cmpuint (n, ==, 4);
}

static void
test_everything (void)
{
  g_autoptr (AlcoveDefinition) definition = load_good (
      "[machine]\nuuid = 0F3C8A52-5C1F-4A36-9D55-0F6A8F1F2B10\nname = All\nmemory = 4 GiB\n"
      "cpus=8\nsockets=2\ncores=2\nthreads=2\ncpu=x86-64-v3\nnested=true\nunknown-msr=ignore\n"
      "clock=localtime\nfirmware=none\nkernel=/k\ninitrd=i\ncmdline=a=b c\\sd\ndebug-exit=0xf4\n"
      "on-reboot=stop\n"
      "[disk one]\nfile=/d/1\nserial=S-1\nreadonly=1\ncache=direct\nqueues=4\naddress=00:04.0\n"
      "boot-index=2\n"
      "[cdrom cd]\nfile=c.iso\nboot-index=1\n"
      "[nic lan]\nmac=52:54:00:AB:cd:01\nforward= tcp:127.0.0.1:2222:22; udp::53:10.0.2.15:5353 ;\n"
      "[nic up]\nbackend=tap\nifname=tap0\nvhost=false\n"
      "[display d]\ntype=vga\nwidth=640\nheight=480\n"
      "[serial b]\nport=1\n[serial a]\nbackend=file\nfile=s.log\n"
      "[console c]\nbackend=null\n[input t]\ntype=tablet\n[rng r]\n"
      "[frames relay]\nsize=64\n"
      "[spice]\nlisten=tcp:[::1]:5930\npassword-file=p\n");
  const AlcoveMachineConfig *machine = alcove_definition_get_machine (definition);
  const AlcoveDeviceConfig **order;
  const AlcoveNicConfig *nic;
  const AlcoveForward *forward;
  guint n;

  g_assert_cmpstr (machine->uuid, ==, UUID);
  g_assert_cmpuint (machine->memory_mib, ==, 4096);
  g_assert_cmpstr (machine->cmdline, ==, "a=b c d");
  g_assert_cmpstr (machine->initrd, ==, "/m/i");
  g_assert_cmpuint (machine->debug_exit, ==, 0xf4);
  g_assert_cmpint (machine->on_reboot, ==, ALCOVE_ON_STOP);
  g_assert_true (alcove_definition_get_cdroms (definition, &n)[0]->readonly);
  order = alcove_definition_get_boot_order (definition, &n);
  g_assert_cmpuint (n, ==, 2);
  g_assert_cmpstr (order[0]->name, ==, "cd");
  g_assert_cmpstr (order[1]->name, ==, "one");
  g_assert_cmpuint (order[1]->address.slot, ==, 4);
  g_free (order);
  nic = alcove_definition_get_nics (definition, &n)[0];
  g_assert_cmpuint (nic->mac[3], ==, 0xab);
  g_assert_cmpuint (nic->forwards->len, ==, 2);
  forward = &g_array_index (nic->forwards, AlcoveForward, 1);
  g_assert_true (forward->udp);
  g_assert_cmphex (forward->host_address, ==, 0x7f000001);
  g_assert_cmpuint (forward->host_port, ==, 53);
  g_assert_cmphex (forward->guest_address, ==, 0x0a00020f);
  g_assert_cmpuint (forward->guest_port, ==, 5353);
  g_assert_cmpstr (alcove_definition_get_nics (definition, &n)[1]->ifname, ==, "tap0");
  g_assert_cmpuint (alcove_definition_get_serials (definition, &n)[1]->port, ==, 2);
  g_assert_cmpstr (alcove_definition_get_serials (definition, &n)[1]->file, ==, "/m/s.log");
  g_assert_cmpuint (alcove_definition_get_frames (definition, &n)[0]->size, ==, 64);
  g_assert_cmpuint (alcove_definition_get_frames (definition, &n)[0]->width, ==, 1920);
  g_assert_cmpstr (alcove_definition_get_spice (definition)->listen.host, ==, "::1");
  g_assert_cmpuint (alcove_definition_get_spice (definition)->listen.port, ==, 5930);
}

static void
test_boot_order_fallback (void)
{
  g_autoptr (AlcoveDefinition) definition =
      load_good (MACHINE "[nic n]\n[cdrom c]\nfile=c\n[disk d]\nfile=d\n[disk e]\nfile=e\n");
  guint n;
  g_autofree const AlcoveDeviceConfig **order = alcove_definition_get_boot_order (definition, &n);

  g_assert_cmpuint (n, ==, 4);
  g_assert_cmpstr (order[0]->name, ==, "d");
  g_assert_cmpstr (order[1]->name, ==, "e");
  g_assert_cmpstr (order[2]->name, ==, "c");
  g_assert_cmpstr (order[3]->name, ==, "n");
}

static void
test_refused_groups (void)
{
  assert_refused ("", "there is no [machine] group");
  assert_refused ("[machine]\n", "/m/machine.conf:1: [machine] uuid: it is missing: add uuid = ");
  assert_refused ("[machine]\n", "/m/machine.conf:1: [machine] memory: it is missing");
  assert_refused (MACHINE "[dsik a]\nfile=x\n",
                  ":5: [dsik a] this group is not known: did you mean \"disk\"?");
  assert_refused (MACHINE "[floppy]\n", "there are machine, disk, cdrom");
  assert_refused (MACHINE "[disk]\nfile=x\n", "needs a name: write [disk NAME]");
  assert_refused (MACHINE "[disk A]\nfile=x\n", "lower case");
  assert_refused (MACHINE "[disk a b]\nfile=x\n", "lower case");
  assert_refused (MACHINE "[disk ../x]\nfile=x\n", "lower case");
  assert_refused (MACHINE "[disk  a]\nfile=x\n", "one space: [disk a]");
  assert_refused (MACHINE "[disk aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\nfile=x\n", "1 to 32");
  assert_refused (MACHINE "[machine two]\n", "has no name: write [machine]");
  assert_refused (MACHINE "[rng a]\n[rng b]\n", "there can be 1 rng group,");
  assert_refused (MACHINE "[frames a]\nsize=48\n", "[frames a] size: must be a power of two");
  assert_refused (MACHINE "memroy=1\n",
                  ":5: [machine] memroy: this key is not known: did you mean \"memory\"?");
  assert_refused (MACHINE "zzzzzz=1\n", "remove it, or comment it out");
}

static void
test_refused_values (void)
{
  static const struct
  {
    const char *text, *expected;
  } cases[] = {
    { "cpus=0\n", "cpus: 0 is out of range: 1 to 255" },
    { "cpus=256\n", "out of range" },
    { "cpus=-1\n", "\"-1\" is no number" },
    { "cpus= 2x\n", "is no number" },
    { "cpus=99999999999999999999999\n", "is no number" },
    { "cpus=\n", "\"\" is no number" },
    { "cpus=4\nsockets=3\n", "sockets x cores x threads is 3" },
    { "cpu=x86-64-v22\n", "did you mean \"x86-64-v2\"" },
    { "cpu=pentium\n", "it can be host, x86-64-v2" },
    { "nested=yes\n", "must be true or false" },
    { "firmware=none\n", "give a kernel" },
    { "initrd=x\n", "add kernel" },
    { "cmdline=x\n", "add kernel" },
    { "debug-exit=0x10000\n", "out of range" },
    { "debug-exit=0x\n", "is no number" },
    { "kernel=\n", "file name is empty" },
    { "kernel=a\\nb\n", "line break" },
    { "os=a\\tb\n", "control character" },
    { "[disk a]\n", "file: it is missing" },
    { "[disk a]\nfile=x\nformat=vmdk\n", "it can be raw, qcow2" },
    { "[disk a]\nfile=x\nserial=123456789012345678901\n", "at most 20" },
    { "[disk a]\nfile=x\nserial=\xc3\xa9\n", "printable ASCII" },
    { "[disk a]\nfile=x\nqueues=65\n", "out of range" },
    { "[disk a]\nfile=x\naddress=0:3.0\n", "is no PCI address" },
    { "[disk a]\nfile=x\naddress=00:20.0\n", "is no PCI address" },
    { "[disk a]\nfile=x\naddress=00:03.8\n", "is no PCI address" },
    { "[disk a]\nfile=x\naddress=01:03.0\n", "write 01:00.0" },
    { "[disk a]\nfile=x\naddress=01:00.1\n", "write 01:00.0" },
    { "[disk a]\nfile=x\naddress=09:00.0\n", "there is no bus 09" },
    { "[disk a]\nfile=x\naddress=02:00.0\n[nic b]\naddress=02:00.0\n", "taken by [disk a]" },
    { "[disk a]\nfile=x\ncontroller=c\n", "only disks of bus nvme" },
    { "[disk a]\nfile=x\nnamespace=1\n", "only disks of bus nvme" },
    { "[disk a]\nfile=x\nbus=nvme\nnamespace=33\n", "out of range" },
    { "[disk a]\nfile=x\nbus=nvme\ncontroller=No Name\n", "lower case letters" },
    { "[disk a]\nfile=x\nbus=nvme\nqueues=17\n", "at most 16" },
    { "[cdrom a]\nfile=x\nbus=nvme\n", "no NVMe CD-ROM" },
    { "[disk a]\nfile=x\nbus=nvme\ncontroller=c\n[disk b]\nfile=y\nbus=nvme\ncontroller=c\n"
      "address=00:04.0\n",
      "that of [disk a]" },
    { "[disk a]\nfile=x\nbus=nvme\nnamespace=2\n[disk b]\nfile=y\nbus=nvme\ncontroller=a\n"
      "namespace=2\n",
      "[disk a] has the same one" },
    { "[disk a]\nfile=x\naddress=00:1f.0\n", "belongs to the board" },
    { "[disk a]\nfile=x\naddress=00:00.0\n", "belongs to the board" },
    { "[disk a]\nfile=x\naddress=00:03.1\n", "nothing is at 00:03.0" },
    { "[disk a]\nfile=x\naddress=00:03.0\n[disk b]\nfile=y\naddress=00:03.0\n",
      "taken by [disk a]" },
    { "[disk a]\nfile=x\nboot-index=1\n[disk b]\nfile=y\nboot-index=1\n", "also that of [disk a]" },
    { "[disk a]\nfile=x\nboot-index=100\n", "out of range" },
    { "[cdrom a]\nfile=x\nreadonly=false\n", "a cdrom is read-only" },
    { "[cdrom a]\nfile=x\ncache=direct\n", "not known" },
    { "[cdrom a]\nbus=virtio\n", "has no empty drives" },
    { "[disk a]\nbus=sata\n", "file: it is missing" },
    { "[disk a]\nfile=x\nport=1\n", "only bus sata has ports" },
    { "[disk a]\nfile=x\nbus=sata\nport=7\n", "out of range" },
    { "[disk a]\nfile=x\nbus=sata\naddress=00:03.0\n", "its controller is at 00:1f.2" },
    { "[disk a]\nfile=x\nbus=sata\nqueues=2\n", "one queue" },
    { "[disk a]\nfile=x\nbus=sata\nport=2\n[cdrom b]\nport=2\n", "given twice" },
    { "[cdrom a]\n[cdrom b]\n[cdrom c]\n[cdrom d]\n[disk e]\nfile=x\nbus=sata\n[disk f]\nfile="
      "x\nbus=sata\n[disk g]\nfile=x\nbus=sata\n",
      "6 ports and all are taken" },
    { "[nic a]\nmac=53:54:00:12:34:56\n", "an even first byte" },
    { "[nic a]\nmac=00:00:00:00:00:00\n", "no hardware address" },
    { "[nic a]\nmac=52-54-00-12-34-56\n", "no hardware address" },
    { "[nic a]\nmac=52:54:00:12:34:5\n", "no hardware address" },
    { "[nic a]\nmac=52:54:00:12:34:56\n[nic b]\nmac=52:54:00:12:34:56\n", "[nic a] has the same" },
    { "[nic a]\nforward=2222:22\n", "is no forward: write tcp:" },
    { "[nic a]\nforward=sctp::1:2\n", "neither tcp nor udp" },
    { "[nic a]\nforward=tcp:localhost:1:2\n", "is no IPv4 address" },
    { "[nic a]\nforward=tcp:1.2.3.256:1:2\n", "is no IPv4 address" },
    { "[nic a]\nforward=tcp:1.2.3:1:2\n", "is no IPv4 address" },
    { "[nic a]\nforward=tcp::0:2\n", "is no port" },
    { "[nic a]\nforward=tcp::65536:2\n", "is no port" },
    { "[nic a]\nforward=tcp::1:2:3:4:5\n", "is no forward" },
    { "[nic a]\nbackend=tap\n", "needs the name of the interface" },
    { "[nic a]\nbackend=tap\nifname=0123456789012345\n", "at most 15" },
    { "[nic a]\nbackend=tap\nifname=a/b\n", "cannot be an interface" },
    { "[nic a]\nbackend=tap\nifname=t\nforward=tcp::1:2\n", "only backend user" },
    { "[nic a]\nifname=t\n", "only backend tap" },
    { "[display a]\nwidth=8193\n", "out of range" },
    { "[serial a]\nbackend=file\n", "needs a file name" },
    { "[serial a]\nfile=x\n", "only backend file" },
    { "[serial a]\nport=2\n[serial b]\nport=2\n", "given twice" },
    { "[serial a]\nbackend=stdio\n[console b]\nbackend=stdio\n", "only one device can have stdio" },
    { "[input a]\n", "type: it is missing" },
    { "[spice]\nlisten=5930\n", "is no listener" },
    { "[spice]\nlisten=unix:\n", "is no listener" },
    { "[spice]\nlisten=tcp:127.0.0.1\n", "has no port" },
    { "[spice]\nlisten=tcp:example.org:1\n", "no address to listen on" },
    { "[spice]\nlisten=tcp:127.0.0.1:1\n", "needs a password" },
    { "[spice]\nlisten=tcp:0.0.0.0:1\npassword-file=p\n", "reached from other computers" },
    { "[spice]\nlisten=unix:s\ntls-key=k\n", "go together" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = g_strconcat (MACHINE, cases[i].text, NULL);

      assert_refused (text, cases[i].expected);
    }
  assert_refused ("[machine]\nuuid=x\nname=\nmemory=0\n", ":2: [machine] uuid: \"x\" is no UUID");
  assert_refused ("[machine]\nuuid=x\nname=\nmemory=0\n", ":3: [machine] name: the value is empty");
  assert_refused ("[machine]\nuuid=x\nname=\nmemory=0\n",
                  ":4: [machine] memory: 0 is out of range");
}

/* Drives with a tray, their ports, and cdroms of before there were any. */
static void
test_sata (void)
{
  guint n;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (AlcoveDefinition) definition =
      load_good (MACHINE "[cdrom tray]\n[cdrom old]\nfile=x\naddress=00:05.0\n"
                         "[disk a]\nfile=y\nbus=sata\n[disk b]\nfile=z\nbus=sata\nport=1\n");
  const AlcoveDiskConfig *const *cdroms = alcove_definition_get_cdroms (definition, &n);
  const AlcoveDiskConfig *const *disks;

  g_assert_cmpuint (n, ==, 2);
  g_assert_cmpint (cdroms[0]->bus, ==, ALCOVE_DISK_SATA);
  g_assert_null (cdroms[0]->file);
  g_assert_cmpuint (cdroms[0]->port, ==, 3);
  g_assert_cmpint (cdroms[1]->bus, ==, ALCOVE_DISK_VIRTIO);
  disks = alcove_definition_get_disks (definition, &n);
  g_assert_cmpuint (disks[0]->port, ==, 2);
  g_assert_cmpuint (disks[1]->port, ==, 1);
  /* Assigned once, kept ever after. */
  g_assert_true (alcove_definition_assign (definition, &error));
  g_assert_no_error (error);
  g_assert_true (alcove_definition_remove_group (definition, "disk b", &error));
  g_assert_no_error (error);
  g_assert_cmpuint (alcove_definition_get_disks (definition, &n)[0]->port, ==, 2);
  g_assert_cmpuint (alcove_definition_get_cdroms (definition, &n)[0]->port, ==, 3);
  g_assert_false (alcove_definition_get_cdroms (definition, &n)[0]->base.address.set);
  text = alcove_definition_dup_value (definition, "disk a", "port");
  g_assert_cmpstr (text, ==, "2");
}

static void
test_too_many (void)
{
  g_autoptr (GString) text = g_string_new (MACHINE);

  for (guint i = 0; i < 25; i++)
    g_string_append_printf (text, "[disk d%u]\nfile=x\n", i);
  assert_refused (text->str, "there can be 24 disk groups");
}

static void
test_mib (void)
{
  static const struct
  {
    const char *text;
    guint64 mib;
  } good[] = { { "1", 1 },     { "512M", 512 },  { "2g", 2048 },      { "1 TiB", 1048576 },
               { "1024K", 1 }, { "3GiB", 3072 }, { "2048 MiB", 2048 } };
  static const char *const bad[] = { "",
                                     "M",
                                     "1.5G",
                                     "-1",
                                     "1X",
                                     "G1",
                                     "1K",
                                     " 1",
                                     "1  G ",
                                     "99999999999999999T",
                                     "18446744073709551616" };
  guint64 mib;

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_assert_true (alcove_parse_mib (good[i].text, &mib, NULL));
      g_assert_cmpuint (mib, ==, good[i].mib);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (alcove_parse_mib (bad[i], &mib, NULL));
}

static char *
address_of (AlcoveDefinition *definition, const char *group)
{
  return alcove_definition_dup_value (definition, group, "address");
}

static void
assert_address (AlcoveDefinition *definition, const char *group, const char *expected)
{
  g_autofree char *address = address_of (definition, group);

  g_assert_cmpstr (address, ==, expected);
}

static void
test_assign (void)
{
  g_autoptr (AlcoveDefinition) definition = load_good (
      MACHINE "[nic n]\n[disk a]\nfile=a\naddress=00:02.0\n[display d]\n[console c]\n[console e]\n"
              "[serial s]\n[disk b]\nfile=b\n");
  g_autoptr (GError) error = NULL;
  g_autofree char *first = NULL, *second = NULL, *mac = NULL;

  g_assert_true (alcove_definition_assign (definition, &error));
  g_assert_no_error (error);
  assert_address (definition, "disk a", "00:02.0");
  assert_address (definition, "nic n", "00:03.0");
  assert_address (definition, "display d", "00:01.0");
  assert_address (definition, "console c", "00:04.0");
  assert_address (definition, "console e", NULL);
  assert_address (definition, "serial s", NULL);
  assert_address (definition, "disk b", "00:05.0");
  mac = alcove_definition_dup_value (definition, "nic n", "mac");
  g_assert_nonnull (mac);
  first = alcove_definition_to_text (definition);
  g_assert_true (alcove_definition_assign (definition, &error));
  second = alcove_definition_to_text (definition);
  g_assert_cmpstr (first, ==, second);

  /* A removed device leaves its slot; the others do not move. */
  g_assert_true (alcove_definition_remove_group (definition, "nic n", &error));
  assert_address (definition, "disk b", "00:05.0");
  g_assert_true (alcove_definition_set_value (definition, "rng r", "address", "00:1b.0", &error));
  g_assert_no_error (error);
}

/* Namespaces share the place of their controller; slots for hot-plug are nobody else's business. */
static void
test_assign_nvme (void)
{
  g_autoptr (AlcoveDefinition) definition =
      load_good (MACHINE "[disk a]\nfile=a\nbus=nvme\ncontroller=fast\n"
                         "[disk b]\nfile=b\nbus=nvme\ncontroller=fast\nnamespace=1\n"
                         "[disk c]\nfile=c\nbus=nvme\naddress=03:00.0\n"
                         "[disk d]\nfile=d\nbus=nvme\ncontroller=c\n"
                         "[disk e]\nfile=e\naddress=01:00.0\n");
  g_autoptr (GError) error = NULL;
  static const struct
  {
    const char *group, *address, *nsid;
  } expected[] = {
    { "disk a", "00:02.0", "2" }, { "disk b", NULL, "1" },       { "disk c", "03:00.0", "1" },
    { "disk d", NULL, "2" },      { "disk e", "01:00.0", NULL },
  };
  AlcovePciAddress port;

  g_assert_true (alcove_definition_assign (definition, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++)
    {
      g_autofree char *nsid =
          alcove_definition_dup_value (definition, expected[i].group, "namespace");

      assert_address (definition, expected[i].group, expected[i].address);
      g_assert_cmpstr (nsid, ==, expected[i].nsid);
    }
  alcove_definition_find_free_port (definition, &port);
  g_assert_true (port.set);
  g_assert_cmpuint (port.bus, ==, 2);
}

static void
assert_add_refused (
    AlcoveDefinition *definition, const char *text, gboolean live, guint code, const char *expected)
{
  g_autofree char *before = alcove_definition_to_text (definition);
  g_autofree char *after = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (alcove_definition_add_disk (definition, text, live, &error));
  g_assert_error (error, ALCOVE_ERROR, (int)code);
  if (strstr (error->message, expected) == NULL)
    g_error ("\"%s\" is not in \"%s\"", expected, error->message);
  after = alcove_definition_to_text (definition);
  g_assert_cmpstr (after, ==, before);
}

/* Disks that come and go. */
static void
test_disks (void)
{
  g_autoptr (AlcoveDefinition) definition =
      load_good (MACHINE "[disk a]\nfile=a\nbus=nvme\ncontroller=fast\nqueues=3\n"
                         "address=00:05.0\nnamespace=1\n"
                         "[disk b]\nfile=b\nbus=nvme\ncontroller=fast\nnamespace=2\n");
  g_autoptr (GError) error = NULL;
  g_autofree char *name = NULL, *group = NULL, *queues = NULL;

  name = alcove_definition_add_disk (definition, "[disk c]\nfile=c\n", TRUE, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (name, ==, "c");
  assert_address (definition, "disk c", "01:00.0");
  g_free (name);
  name = alcove_definition_add_disk (
      definition, "# mine\n[disk d]\nfile=d\nbus=nvme\ncontroller=fast\n", TRUE, &error);
  g_assert_no_error (error);
  assert_address (definition, "disk d", NULL);
  group = alcove_definition_dup_disk_group (definition, "d");
  g_assert_cmpstr (group, ==, "[disk d]\nfile = d\nbus = nvme\ncontroller = fast\nnamespace = 3\n");
  g_assert_null (alcove_definition_dup_disk_group (definition, "zz"));

  assert_add_refused (definition, "[disk c]\nfile=c\n", TRUE, ALCOVE_ERROR_EXISTS, "[disk c]");
  assert_add_refused (definition, "[disk e]\nfile=e\naddress=00:09.0\n", TRUE, ALCOVE_ERROR_INVALID,
                      "only slots for hot-plug");
  assert_add_refused (definition, "[disk e]\nfile=e\n[disk f]\nfile=f\n", TRUE,
                      ALCOVE_ERROR_INVALID, "one group");
  assert_add_refused (definition, "[nic e]\n", TRUE, ALCOVE_ERROR_INVALID, "one group");
  assert_add_refused (definition, "", TRUE, ALCOVE_ERROR_INVALID, "one group");
  assert_add_refused (definition, "[disk E]\nfile=e\n", TRUE, ALCOVE_ERROR_INVALID, "one group");
  assert_add_refused (definition, "[disk e]\nfile=e\nno=1\n", TRUE, ALCOVE_ERROR_INVALID,
                      "not known");
  assert_add_refused (definition, "[disk e]\nfile=e\naddress=01:00.0\n", TRUE, ALCOVE_ERROR_INVALID,
                      "taken by [disk c]");
  for (guint i = 2; i <= ALCOVE_PCI_N_PORTS; i++)
    {
      g_autofree char *text = g_strdup_printf ("[disk p%u]\nfile=p\n", i);

      g_free (alcove_definition_add_disk (definition, text, TRUE, &error));
      g_assert_no_error (error);
    }
  assert_add_refused (definition, "[disk e]\nfile=e\n", TRUE, ALCOVE_ERROR_BUSY,
                      "slots for hot-plug are taken");
  g_free (name);
  name = alcove_definition_add_disk (definition, "[disk e]\nfile=e\n", FALSE, &error);
  g_assert_cmpstr (name, ==, "e"); /* off, any place will do: it gets one with the others */
  assert_address (definition, "disk e", NULL);

  /* The controller stays where it is when its first disk goes. */
  g_assert_true (alcove_definition_remove_disk (definition, "a", &error));
  assert_address (definition, "disk b", "00:05.0");
  queues = alcove_definition_dup_value (definition, "disk b", "queues");
  g_assert_cmpstr (queues, ==, "3");
  g_assert_false (alcove_definition_remove_disk (definition, "a", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
}

static void
test_assign_full (void)
{
  g_autoptr (GString) text = g_string_new (MACHINE);
  g_autoptr (AlcoveDefinition) definition = NULL;
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 24; i++)
    g_string_append_printf (text, "[disk d%u]\nfile=x\n", i);
  for (guint i = 0; i < 3; i++)
    g_string_append_printf (text, "[input i%u]\ntype=tablet\n", i);
  definition = load_good (text->str);
  g_assert_false (alcove_definition_assign (definition, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "no PCI slot is free for [input i2]"));
}

static void
on_changed (AlcoveDefinition *definition, gpointer user_data)
{
  ++*(guint *)user_data;
}

static void
test_edit (void)
{
  g_autoptr (AlcoveDefinition) definition =
      load_good ("# mine\n" MACHINE "# disk\n[disk a]\nfile=a\n");
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  guint n_changed = 0;
  AlcoveConfFile *conf;

  g_signal_connect (definition, "changed", G_CALLBACK (on_changed), &n_changed);
  g_assert_true (alcove_definition_set_value (definition, "machine", "memory", "1G", &error));
  g_assert_cmpuint (alcove_definition_get_machine (definition)->memory_mib, ==, 1024);
  g_assert_cmpuint (n_changed, ==, 1);
  g_assert_false (alcove_definition_set_value (definition, "machine", "sockets", "2", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (alcove_definition_set_value (definition, "machine", "memory", NULL, &error));
  g_clear_error (&error);
  g_assert_cmpuint (n_changed, ==, 1);

  /* Together they are valid. */
  conf = alcove_definition_dup_conf (definition);
  alcove_conf_file_set_value (conf, "machine", "sockets", "2");
  alcove_conf_file_set_value (conf, "machine", "cpus", "2");
  g_assert_true (alcove_definition_take_conf (definition, conf, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (alcove_definition_get_machine (definition)->cpus, ==, 2);

  /* A value that would be another line stays a value. */
  g_assert_false (alcove_definition_set_value (definition, "machine", "name",
                                               "x\n[disk evil]\nfile=/etc/passwd", &error));
  g_clear_error (&error);
  g_assert_false (alcove_definition_remove_group (definition, "disk zz", &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_NOT_FOUND);
  text = alcove_definition_to_text (definition);
  g_assert_true (g_str_has_prefix (text, "# mine\n[machine]\n"));
  g_assert_nonnull (strstr (text, "# disk\n[disk a]\n"));
}

static void
test_save (void)
{
  g_autofree char *path = g_build_filename (app_dirs_root, "machine.conf", NULL);
  g_autoptr (AlcoveDefinition) one = NULL, two = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  g_assert_null (alcove_definition_load (path, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (path, "# keep me\n" MACHINE, -1, NULL));
  one = alcove_definition_load (path, &error);
  two = alcove_definition_load (path, &error);
  g_assert_no_error (error);
  g_assert_false (alcove_definition_is_modified (one));
  g_assert_true (alcove_definition_set_value (one, "machine", "cpus", "3", &error));
  g_assert_true (alcove_definition_is_modified (one));
  g_assert_true (alcove_definition_write (one, &error));
  g_assert_false (alcove_definition_is_modified (one));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "# keep me\n" MACHINE "cpus = 3\n");

  /* The other one did not see that. */
  g_assert_true (alcove_definition_set_value (two, "machine", "cpus", "4", &error));
  g_assert_false (alcove_definition_write (two, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_BUSY);
  g_clear_error (&error);
  /* What is there is not made anew. */
  g_assert_false (alcove_definition_create (one, &error));
  g_assert_error (error, G_FILE_ERROR, G_FILE_ERROR_EXIST);
  g_clear_error (&error);
  g_assert_null (alcove_definition_load (app_dirs_root, &error));
  g_assert_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID);
}

static void
test_json (void)
{
  g_autoptr (AlcoveDefinition) definition =
      load_good (MACHINE "[nic n]\nforward=tcp::1:2;udp:0.0.0.0:3:10.0.2.15:4\n");
  g_autoptr (JsonNode) node = alcove_definition_to_json (definition);
  JsonObject *root = json_node_get_object (node);
  JsonObject *machine = json_object_get_object_member (root, "machine");
  JsonObject *nic = json_object_get_object_member (root, "nic n");

  g_assert_cmpint (json_object_get_int_member (machine, "memory"), ==, 512);
  g_assert_cmpstr (json_object_get_string_member (machine, "firmware"), ==, "uefi");
  g_assert_false (json_object_get_boolean_member (machine, "nested"));
  g_assert_false (json_object_has_member (machine, "kernel"));
  g_assert_cmpstr (json_object_get_string_member (nic, "forward"), ==,
                   "tcp:127.0.0.1:1:2;udp:0.0.0.0:3:10.0.2.15:4");
}

int
main (int argc, char **argv)
{
  int status;

  app_dirs_init ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/definition/schema", test_schema);
  g_test_add_func ("/definition/defaults", test_defaults);
  g_test_add_func ("/definition/everything", test_everything);
  g_test_add_func ("/definition/boot-order-fallback", test_boot_order_fallback);
  g_test_add_func ("/definition/refused-groups", test_refused_groups);
  g_test_add_func ("/definition/refused-values", test_refused_values);
  g_test_add_func ("/definition/sata", test_sata);
  g_test_add_func ("/definition/too-many", test_too_many);
  g_test_add_func ("/definition/mib", test_mib);
  g_test_add_func ("/definition/assign", test_assign);
  g_test_add_func ("/definition/assign-nvme", test_assign_nvme);
  g_test_add_func ("/definition/assign-full", test_assign_full);
  g_test_add_func ("/definition/disks", test_disks);
  g_test_add_func ("/definition/edit", test_edit);
  g_test_add_func ("/definition/save", test_save);
  g_test_add_func ("/definition/json", test_json);
  status = g_test_run ();
  app_dirs_finish ();
  return status;
}
