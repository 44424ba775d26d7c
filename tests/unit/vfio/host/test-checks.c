/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Each check has a host that triggers it and one that does not. With --messages every text that they
 * gave is printed once, to be read as a set. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "tests/unit/vfio/host/fake-host.h"
#include "vfio/host/checks.h"

#define OFF          "remove /sys/kernel/iommu_groups\nremove /sys/class/iommu\n"
#define GIB          ((guint64)1 << 30)
#define NO_INTERRUPT "file /proc/interrupts \" 24: 0 PCI-MSI 18432-edge\"\n"
#define UNSAFE       "file /sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts Y\n"
#define GPU          "function 0000:0d:00.0\n"
#define BOUND        "function 0000:0d:00.0\ndriver vfio-pci\nfunction 0000:0d:00.1\ndriver vfio-pci\n"
#define GB           "function 0000:0c:00.0\n"

typedef struct
{
  const char *id;
  const char *tree;
  const char *address; /* NULL: a check of the platform */
  const char *changes; /* (nullable) what triggers it */
  VfioSeverity severity;
  const char *calm;  /* its twin that does not: changes of the same tree */
  gboolean ok_there; /* it is there all the same, with OK and another fact */
  guint64 memory;
  guint32 user;
  const char *calm_address; /* (nullable) the twin is about this card */
  gboolean unseen;          /* other users' programs could not be looked at */
} Case;

static const Case cases[] = {
  /* The platform. */
  { "iommu", "desktop", NULL, OFF, HOST_SEVERITY_BLOCK, "", TRUE },
  { "iommu", "desktop", NULL, OFF "cmdline \"ro amd_iommu=off quiet\"", HOST_SEVERITY_BLOCK, "",
    TRUE },
  { "iommu", "laptop", NULL, OFF "cmdline \"iommu=off\"", HOST_SEVERITY_BLOCK, "", TRUE },
  { "iommu", "one-gpu", NULL, OFF "cmdline \"quiet\"", HOST_SEVERITY_BLOCK, "", TRUE },
  { "iommu", "laptop", NULL, OFF, HOST_SEVERITY_BLOCK, "", TRUE },
  { "iommu", "desktop", "0000:0d:00.0", OFF "remove /sys/firmware", HOST_SEVERITY_BLOCK, "" },
  { "iommu", "laptop", NULL, OFF "remove /sys/firmware", HOST_SEVERITY_BLOCK, "", TRUE },
  { "iommu", "apu", NULL, OFF, HOST_SEVERITY_BLOCK, "", TRUE },
  { "iommu", "threadripper", NULL, OFF, HOST_SEVERITY_BLOCK, "", TRUE },
  { "no-isolation-mode", "desktop", NULL,
    "file /sys/module/vfio/parameters/enable_unsafe_noiommu_mode Y", HOST_SEVERITY_BLOCK, "" },
  { "no-isolation-mode", "desktop", "0000:0d:00.0",
    "file /sys/kernel/iommu_groups/15/name vfio-noiommu", HOST_SEVERITY_BLOCK, "" },
  { "interrupt-remapping", "desktop", NULL, NO_INTERRUPT, HOST_SEVERITY_BLOCK, "", TRUE },
  { "interrupt-remapping", "desktop", NULL, NO_INTERRUPT UNSAFE, HOST_SEVERITY_NOTE, "", TRUE },
  { "acs-override", "threadripper", NULL, NULL, HOST_SEVERITY_NOTE, "cmdline \"ro quiet\"" },
  { "driver-for-machines", "laptop", NULL, "remove /lib/modules", HOST_SEVERITY_BLOCK, "", TRUE },
  { "address-width", "one-gpu", NULL, NULL, HOST_SEVERITY_STEP, "iommu dmar0 bits=46", TRUE,
    1024 * GIB },
  { "locked-memory", "one-gpu", NULL, NULL, HOST_SEVERITY_STEP,
    "file /proc/self/limits \"Max locked memory 99999999999 99999999999 bytes\"", TRUE, 16 * GIB },
  { "locked-memory", "one-gpu", NULL, NULL, HOST_SEVERITY_NOTE,
    "file /proc/self/status \"CapEff:\\t000001ffffffffff\"", TRUE },
  { "locked-memory", "one-gpu", "0000:01:00.0", NULL, HOST_SEVERITY_STEP,
    "file /proc/self/limits \"Max locked memory unlimited unlimited bytes\"", FALSE, 16 * GIB },
  { "mapping-count", "desktop", NULL,
    "file /sys/module/vfio_iommu_type1/parameters/dma_entry_limit 64", HOST_SEVERITY_STEP, "" },
  { "memory-saving", "desktop", NULL, "file /sys/kernel/mm/ksm/run 1", HOST_SEVERITY_NOTE, "" },
  { "huge-pages", "desktop", NULL,
    "file /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages 4", HOST_SEVERITY_OK, "",
    TRUE },
  { "huge-pages", "one-gpu", NULL, NULL, HOST_SEVERITY_OK,
    "file /sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages 4", TRUE },

  /* The group. */
  { "group-mates", "acs-poor", "0000:05:00.0", NULL, HOST_SEVERITY_STEP,
    "function 0000:05:00.0\ngroup 40\nfunction 0000:05:00.1\ngroup 40" },
  { "group-mates", "desktop", "0000:0d:00.0",
    BOUND "function 0000:04:00.0\ngroup 15\ndriver vfio-pci", HOST_SEVERITY_OK, "" },
  { "group-mates", "desktop", "0000:0d:00.0", "function 0000:0f:00.3\ngroup 15", HOST_SEVERITY_STEP,
    "" },
  { "group-board", "desktop", "0000:0d:00.0",
    "dir /sys/devices/platform/AMDI0030:00\n"
    "link /sys/devices/platform/AMDI0030:00/driver /sys/bus/platform/drivers/amd_gpio\n"
    "link /sys/kernel/iommu_groups/15/devices/AMDI0030:00 /sys/devices/platform/AMDI0030:00",
    HOST_SEVERITY_BLOCK, "" },
  { "group-bridge", "desktop", "0000:0d:00.0", "function 0000:00:03.2\ngroup 15\ndriver shpchp",
    HOST_SEVERITY_STEP, "function 0000:00:03.2\ngroup 15" },
  { "no-group", "desktop", "0000:0d:00.0", GPU "group none", HOST_SEVERITY_BLOCK, "" },
  { "parts", "threadripper", "0000:21:00.0", NULL, HOST_SEVERITY_OK, "", FALSE, 0, 0,
    "0000:02:00.3" },
  { "mainboard", "laptop", "0000:00:1f.3", NULL, HOST_SEVERITY_BLOCK,
    "function 0000:00:1f.4\ndriver none\nfunction 0000:00:1f.5\ndriver none" },
  { "mainboard", "desktop", "0000:00:14.0", NULL, HOST_SEVERITY_BLOCK, "", FALSE, 0, 0,
    "0000:0d:00.0" },

  /* Who needs it. */
  { "system-disk", "desktop", "0000:01:00.0", NULL, HOST_SEVERITY_BLOCK,
    "remove /proc/1/mountinfo\nmount 8:1 /\ndir /sys/devices/platform/mmc/block/mmcblk0\n"
    "link /sys/dev/block/8:1 /sys/devices/platform/mmc/block/mmcblk0\n"
    "link /sys/class/block/mmcblk0 /sys/devices/platform/mmc/block/mmcblk0" },
  { "system-disk", "laptop", "0000:02:00.0", NULL, HOST_SEVERITY_BLOCK,
    "remove /proc/1/mountinfo" },
  { "system-disk", "sriov", "0000:06:00.0", NULL, HOST_SEVERITY_BLOCK, "remove /proc/1/mountinfo" },
  { "system-disk", "acs-poor", "0000:05:00.0", NULL, HOST_SEVERITY_BLOCK,
    "remove /proc/1/mountinfo" },
  { "system-disk-unknown", "desktop", "0000:01:00.0",
    "remove /proc/1/mountinfo\nmount 0:99 / zfs rpool/root", HOST_SEVERITY_BLOCK, "" },
  { "disk-in-use", "desktop", "0000:0f:00.3",
    "function 0000:0f:00.3\ndisk sdq 65:0 sdq1 65:1\nmount 65:1 \"/media/me/a\\\\040b\"",
    HOST_SEVERITY_STEP, "function 0000:0f:00.3\ndisk sdq 65:0 sdq1 65:1" },
  { "disk-in-use", "desktop", "0000:0f:00.3",
    "function 0000:0f:00.3\ndisk sdq 65:0 sdq1 65:1\nswap /dev/sdq1", HOST_SEVERITY_STEP,
    "function 0000:0f:00.3\ndisk sdq 65:0 sdq1 65:1" },
  { "only-network", "desktop", "0000:04:00.0", NULL, HOST_SEVERITY_BLOCK,
    "remove /proc/net/route\nfunction 0000:04:00.0\nnet enp4s0 down" },
  { "only-network", "desktop", "0000:04:00.0", "remove /proc/net/route", HOST_SEVERITY_BLOCK,
    "remove /proc/net/route\nfunction 0000:04:00.0\nnet enp4s0 down" },
  { "only-network", "sriov", "0000:03:00.0", NULL, HOST_SEVERITY_BLOCK,
    "remove /proc/net/route\nroute eno1" },
  { "only-network", "one-gpu", "0000:00:1f.3", NULL, HOST_SEVERITY_BLOCK,
    "remove /proc/net/route\nfunction 0000:00:1f.6\nnet enp0s31f6 down" },
  { "network-in-use", "sriov", "0000:01:00.0", NULL, HOST_SEVERITY_STEP,
    "function 0000:01:00.0\nnet eno1 down" },
  { "desktop", "desktop", "0000:0c:00.0", NULL, HOST_SEVERITY_BLOCK, "remove /proc/1893" },
  { "desktop", "one-gpu", "0000:01:00.0", NULL, HOST_SEVERITY_BLOCK, "remove /proc/801" },
  { "desktop", "laptop", "0000:00:02.0", NULL, HOST_SEVERITY_BLOCK, "remove /proc/2233" },
  { "in-use", "desktop", "0000:0d:00.0", "process 77 ollama /dev/dri/renderD129",
    HOST_SEVERITY_STEP, "" },
  { "in-use", "laptop", "0000:01:00.0", "process 88 nvidia-persistenced /dev/nvidia0",
    HOST_SEVERITY_STEP, "" },
  { "in-use", "threadripper", "0000:21:00.0", NULL, HOST_SEVERITY_STEP, "remove /proc/3000" },
  { "in-use", "desktop", "0000:0f:00.4",
    "process 70 a /dev/snd/controlC0\nprocess 71 b /dev/snd/controlC0\n"
    "process 72 c /dev/snd/controlC0\nprocess 73 d /dev/snd/controlC0",
    HOST_SEVERITY_STEP, "remove /proc/2110" },
  { "in-use", "desktop", "0000:0d:00.0",
    BOUND "file /dev/vfio/15 \"\"\nprocess 99 alcove-vmm /dev/vfio/15", HOST_SEVERITY_STEP,
    BOUND "file /dev/vfio/15 \"\"" },
  { "keyboard", "desktop", "0000:0f:00.3", NULL, HOST_SEVERITY_NOTE,
    "remove /sys/dev/char/13:64\nremove /sys/dev/char/13:65" },
  { "users-unseen", "desktop", "0000:0d:00.0", NULL, HOST_SEVERITY_NOTE, BOUND, .unseen = TRUE },
  { "driver", "desktop", "0000:0d:00.0", NULL, HOST_SEVERITY_OK, BOUND, TRUE },
  { "driver", "desktop", "0000:0d:00.0", GPU "driver vfio-pci", HOST_SEVERITY_OK, "", TRUE },
  { "driver", "desktop", "0000:0d:00.0", BOUND, HOST_SEVERITY_OK, "", TRUE },
  { "driver", "desktop", "0000:0d:00.0", GPU "driver none", HOST_SEVERITY_OK, "", TRUE },
  { "twins", "threadripper", "0000:21:00.0",
    "file /sys/module/vfio_pci/parameters/ids 10de:1e04,10de:10f7", HOST_SEVERITY_NOTE, "", TRUE },
  { "permission", "desktop", "0000:0d:00.0", BOUND "file /dev/vfio/15 \"\"", HOST_SEVERITY_STEP,
    BOUND, FALSE, 0, 54321 },
  { "permission", "desktop", "0000:0d:00.0", BOUND "file /dev/vfio/15 \"\"", HOST_SEVERITY_OK,
    BOUND },

  /* Screens. */
  { "boot-display", "desktop", "0000:0c:00.0", "remove /proc/1893", HOST_SEVERITY_STEP,
    GB "attr boot_vga 0" },
  { "boot-display", "desktop", "0000:0c:00.0",
    "remove /proc/1893\n" GB "driver vfio-pci\nfunction 0000:0c:00.1\ndriver vfio-pci",
    HOST_SEVERITY_NOTE, "" },
  { "only-graphics", "sriov", "0000:04:00.0", NULL, HOST_SEVERITY_STEP,
    "function 0000:08:00.0 10de:2484 class=030000 group=30" },
  { "framebuffer", "desktop", "0000:0d:00.0", "iomem \"    d0000000-d07fffff : BOOTFB\"",
    HOST_SEVERITY_NOTE, "" },
  { "framebuffer", "desktop", "0000:0d:00.0", BOUND "iomem \"    d0000000-d07fffff : simplefb\"",
    HOST_SEVERITY_STEP, BOUND },
  { "framebuffer", "desktop", "0000:0d:00.0",
    GPU "attr class 0x038000\niomem \"    d0000000-d07fffff : BOOTFB\"", HOST_SEVERITY_STEP, "" },
  { "framebuffer", "one-gpu", "0000:01:00.0",
    "function 0000:01:00.0\ndriver vfio-pci\nremove /proc/801\niomem \"  c0000000-c07fffff : "
    "efifb\"",
    HOST_SEVERITY_STEP, "" },
  { "screens", "desktop", "0000:0d:00.0", GPU "drm card1 renderD129 DP-3=connected DP-4=enabled",
    HOST_SEVERITY_NOTE,
    GPU "remove /sys/class/drm/card1-DP-3\nremove /sys/class/drm/card1-HDMI-A-2" },
  { "screens", "desktop", "0000:0d:00.0", NULL, HOST_SEVERITY_NOTE,
    "remove /sys/class/drm/card1-DP-3\nremove /sys/class/drm/card1-HDMI-A-2" },
  { "processor-graphics", "laptop", "0000:00:02.0", NULL, HOST_SEVERITY_NOTE, "", FALSE, 0, 0,
    "0000:01:00.0" },
  { "rom", "apu", "0000:0b:00.0", NULL, HOST_SEVERITY_NOTE,
    "function 0000:0b:00.0\nattr boot_vga 0\nrom 64K at=0xfcf00000", TRUE },
  { "rom", "desktop", "0000:0c:00.0", NULL, HOST_SEVERITY_NOTE, GB "attr boot_vga 0", TRUE },

  /* The card. */
  { "reset", "desktop", "0000:0d:00.0", NULL, HOST_SEVERITY_OK,
    "function 0000:0d:01.0 10de:0001 class=030000 on=0000:00:03.2" },
  { "reset", "desktop", "0000:0c:00.0", NULL, HOST_SEVERITY_OK, GB "reset none", TRUE },
  { "reset", "desktop", "0000:0f:00.3", "function 0000:0f:00.3\nreset pm", HOST_SEVERITY_OK,
    "function 0000:0f:00.3\nreset none" },
  { "reset", "desktop", "0000:0d:00.0",
    GPU "remove /sys/devices/pci0000:00/0000:00:03.2/0000:0d:00.0/reset_method", HOST_SEVERITY_OK,
    GPU "reset flr", TRUE },
  { "reset-reach", "desktop", "0000:0d:00.0",
    "function 0000:0d:01.0 10ec:8168 class=020000 on=0000:00:03.2", HOST_SEVERITY_NOTE, "" },
  { "reset-none", "one-gpu", "0000:00:14.0", "function 0000:00:14.0\nreset none",
    HOST_SEVERITY_NOTE, "function 0000:00:14.0\nreset flr" },
  { "reset-none", "apu", "0000:0b:00.0", NULL, HOST_SEVERITY_NOTE,
    "function 0000:0b:00.0\nreset flr pm" },
  { "reset-sound", "apu", "0000:0b:00.0", NULL, HOST_SEVERITY_NOTE,
    "function 0000:0b:00.1\nreset pm" },
  { "reset-known-bad", "acs-poor", "0000:08:00.0", NULL, HOST_SEVERITY_NOTE,
    "function 0000:08:00.0\nattr device 0x9999" },
  { "reset-known-bad", "desktop", "0000:0c:00.0", NULL, HOST_SEVERITY_NOTE,
    GB "attr device 0x9999" },
  { "sleep-known-bad", "apu", "0000:03:00.0", "function 0000:03:00.0\nattr device 0x7550",
    HOST_SEVERITY_NOTE,
    "function 0000:03:00.0\nattr device 0x7550\nfile "
    "/sys/module/vfio_pci/parameters/disable_idle_d3 Y" },
  { "no-answer", "desktop", "0000:0d:00.0", GPU "config ones 256\nattr power_state D3cold",
    HOST_SEVERITY_STEP, "" },
  { "no-window", "desktop", "0000:0d:00.0", GPU "bar 1 8G 64 pref at=0", HOST_SEVERITY_STEP, "" },
  { "resizable-window", "desktop", "0000:0d:00.0", NULL, HOST_SEVERITY_OK,
    "remove /sys/devices/pci0000:00/0000:00:03.2/0000:0d:00.0/resource1_resize" },
  { "resizable-window", "desktop", "0000:0c:00.0", NULL, HOST_SEVERITY_OK,
    GB "bar 0 256M 64 pref at=0x7800000000 sizes=256M-8G", TRUE },
  { "slow-start", "apu", "0000:03:00.0", NULL, HOST_SEVERITY_NOTE, "kernel 6.12.1-arch1" },
  { "window", "one-gpu", "0000:01:00.0",
    "function 0000:01:00.0\nbar 1 300G 64 pref at=0x4000000000", HOST_SEVERITY_STEP, "", TRUE },
  { "window", "desktop", "0000:0d:00.0", NULL, HOST_SEVERITY_OK,
    GPU "bar 1 8G 64 pref at=0x8000000000", TRUE },
  { "split", "sriov", "0000:03:00.0", NULL, HOST_SEVERITY_STEP,
    "function 0000:03:00.0\nattr sriov_numvfs 0" },
  { "can-split", "laptop", "0000:00:02.0", NULL, HOST_SEVERITY_OK,
    "function 0000:00:02.0\nattr sriov_totalvfs 0" },
  { "mediated", "laptop", "0000:00:02.0", FAKE_MEDIATED, HOST_SEVERITY_OK, "" },
  { "mediated-there", "laptop", "0000:00:02.0", FAKE_MEDIATED_THERE, HOST_SEVERITY_STEP,
    FAKE_MEDIATED },
  { "part-of", "sriov", "0000:03:02.0", NULL, HOST_SEVERITY_OK, "", FALSE, 0, 0, "0000:03:00.0" },
  { "part-of", "sriov", "0000:03:02.1", "function 0000:03:00.0\ndriver vfio-pci",
    HOST_SEVERITY_NOTE, "", TRUE },
};

typedef struct
{
  FakeHost *host;
  gboolean kept; /* of the table of unchanged hosts */
  GPtrArray *platform;
  VfioVerdict *verdict;
} Judged;

static VfioQuirks *
quirks (void)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  VfioQuirks *quirks;

  g_file_get_contents (VFIO_QUIRKS, &text, NULL, &error);
  g_assert_no_error (error);
  quirks = vfio_quirks_new_from_text (text, &error);
  g_assert_no_error (error);
  return quirks;
}

/* Hosts without changes are made once. */
static void
judge (GHashTable *unchanged, const Case *c, const char *address, const char *changes, Judged *ret)
{
  const VfioDemand demand = { .memory = c->memory, .other_user = c->user != 0, .user = c->user };
  g_autoptr (VfioQuirks) known = quirks ();

  ret->kept = unchanged != NULL && !c->unseen && (changes == NULL || *changes == '\0');
  ret->host = ret->kept ? g_hash_table_lookup (unchanged, c->tree) : NULL;
  if (ret->host == NULL)
    {
      ret->host = fake_host_new (c->tree, changes);
      if (ret->kept)
        g_hash_table_insert (unchanged, (char *)c->tree, ret->host);
    }
  if (c->user != 0)
    {
      /* A node that is root's alone. */
      VfioTree *tree = ret->host->tree;
      int fd = vfio_tree_open_fd (tree, "/dev/vfio/15", 0);

      if (fd >= 0)
        {
          g_assert_cmpint (fchmod (fd, 0600), ==, 0);
          close (fd);
        }
    }
  /* Root, who may run this, sees everybody's. */
  if (c->unseen)
    ret->host->inventory->platform.processes_complete = FALSE;
  ret->platform = vfio_checks_platform (ret->host->inventory, &demand);
  ret->verdict = NULL;
  if (address != NULL)
    ret->verdict = vfio_verdict_new (ret->host->tree, ret->host->inventory, known, &demand,
                                     fake_host_get (ret->host, address)->card);
}

static void
judged_clear (Judged *judged)
{
  vfio_verdict_free (judged->verdict);
  g_ptr_array_unref (judged->platform);
  if (!judged->kept)
    fake_host_free (judged->host);
}

/* The gravest with this id. */
static const VfioCheck *
find (const Judged *judged, const char *id)
{
  GPtrArray *checks = judged->verdict != NULL ? judged->verdict->checks : judged->platform;
  const VfioCheck *found = NULL;

  for (guint i = 0; i < checks->len; i++)
    {
      const VfioCheck *check = g_ptr_array_index (checks, i);

      if (strcmp (check->id, id) == 0 && (found == NULL || check->severity > found->severity))
        found = check;
    }
  return found;
}

static gboolean
ends_well (const char *text)
{
  return *text != '\0' && !g_str_has_suffix (text, ".") && !g_str_has_suffix (text, " ") &&
         g_utf8_validate (text, -1, NULL) && !g_ascii_islower (*text);
}

/* The rules that a program can check: words for people, no jargon, a next step where one is
 * needed. */
static void
assert_tone (const VfioCheck *check)
{
  static const char *const jargon[] = { "iommufd", "container", "mdev", "cdev",   "BDF",
                                        "viable",  "ACPI",      "NULL", "(null)", "error" };
  const char *const texts[] = { check->title, check->fact, check->meaning, check->remedy };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      if (texts[i] == NULL)
        continue;
      for (guint k = 0; k < G_N_ELEMENTS (jargon); k++)
        g_assert_null (strstr (texts[i], jargon[k]));
      g_assert_false (strchr (texts[i], '!') != NULL || strstr (texts[i], "  ") != NULL);
      g_assert_cmpuint (strlen (texts[i]), <, 400);
      if (!ends_well (texts[i]))
        g_test_message ("%s: \"%s\"", check->id, texts[i]);
      g_assert_true (i == 1 || ends_well (texts[i]));
    }
  g_assert_true (check->severity < HOST_SEVERITY_STEP || check->remedy != NULL);
  g_assert_true (check->command == NULL || check->remedy != NULL);
}

static void
collect (GHashTable *messages, GPtrArray *checks)
{
  for (guint i = 0; i < checks->len; i++)
    {
      const VfioCheck *check = g_ptr_array_index (checks, i);

      assert_tone (check);
      g_hash_table_add (
          messages,
          g_strdup_printf (
              "%s [%s] %s: %s\n    %s.\n    -> %s%s%s%s%s", check->id,
              vfio_severity_to_string (check->severity), check->title, check->fact, check->meaning,
              check->remedy != NULL ? check->remedy : "-", check->command != NULL ? "\n    $ " : "",
              check->command != NULL ? check->command : "",
              check->undo != NULL ? "\n    undo: " : "", check->undo != NULL ? check->undo : ""));
    }
}

static GHashTable *
new_unchanged (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify)fake_host_free);
}

static GHashTable *
run_all (void)
{
  GHashTable *messages = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GHashTable) unchanged = new_unchanged ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const Case *c = &cases[i];
      g_autofree char *fact = NULL;
      const VfioCheck *check;
      Judged judged;

      g_test_message ("%s on %s", c->id, c->tree);
      judge (unchanged, c, c->address, c->changes, &judged);
      check = find (&judged, c->id);
      g_assert_nonnull (check);
      g_assert_cmpint (check->severity, ==, c->severity);
      fact = g_strdup (check->fact);
      if (judged.verdict != NULL)
        g_assert_cmpint (judged.verdict->severity, >=, c->severity);
      collect (messages, judged.platform);
      if (judged.verdict != NULL)
        collect (messages, judged.verdict->checks);
      judged_clear (&judged);
      judge (unchanged, c, c->calm_address != NULL ? c->calm_address : c->address, c->calm,
             &judged);
      check = find (&judged, c->id);
      if (c->ok_there)
        g_assert_nonnull (check);
      if (check != NULL)
        {
          g_assert_true (c->ok_there && check->severity == HOST_SEVERITY_OK);
          g_assert_cmpstr (check->fact, !=, fact);
        }
      judged_clear (&judged);
    }
  return messages;
}

static void
test_cases (void)
{
  g_autoptr (GHashTable) messages = run_all ();

  g_assert_cmpuint (g_hash_table_size (messages), >, 80);
}

/* Every id that can come is among the cases, and every case has a twin that does not have it: what the
 * sources add is counted. */
static void
test_every_id (void)
{
  static const char *const files[] = { "checks-card.c", "checks-display.c", "checks-group.c",
                                       "checks-platform.c", "checks-use.c" };
  g_autoptr (GRegex) regex = g_regex_new (
      "(?:host_check_add|warn_second) \\(\\s*[a-z>.-]+,\\s*(?:only \\? \"([a-z-]+)\" : )?"
      "\"([a-z-]+)\"",
      0, 0, NULL);
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (VFIO_SOURCES, files[i], NULL);
      g_autofree char *text = NULL;
      g_autoptr (GMatchInfo) match = NULL;

      g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
      for (g_regex_match (regex, text, 0, &match); g_match_info_matches (match);
           g_match_info_next (match, NULL))
        for (int group = 1; group <= 2; group++)
          {
            g_autofree char *id = g_match_info_fetch (match, group);
            gboolean known = *id == '\0';

            for (guint k = 0; k < G_N_ELEMENTS (cases); k++)
              known = known || strcmp (cases[k].id, id) == 0;
            if (!known)
              g_error ("no case for %s", id);
            n += *id != '\0';
          }
    }
  g_assert_cmpuint (n, >=, 50);
  for (guint k = 0; k < G_N_ELEMENTS (cases); k++)
    if (cases[k].calm == NULL)
      g_error ("no calm twin of %s on %s", cases[k].id, cases[k].tree);
}

static void
assert_addresses (GPtrArray *functions, const char *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  for (guint i = 0; i < functions->len; i++)
    g_string_append_printf (text, "%s%s", i > 0 ? " " : "",
                            ((VfioFunction *)g_ptr_array_index (functions, i))->id + 5);
  g_assert_cmpstr (text->str, ==, expected);
}

static void
test_what_goes (void)
{
  static const struct
  {
    const char *tree, *address, *changes, *takes, *mates, *stays;
    gboolean bound, viable;
  } table[] = {
    { "desktop", "0000:0d:00.0", NULL, "0d:00.0 0d:00.1", "", "", FALSE, FALSE },
    { "desktop", "0000:0d:00.1", BOUND, "0d:00.0 0d:00.1", "", "", TRUE, TRUE },
    { "desktop", "0000:0c:00.0", NULL, "0c:00.0 0c:00.1", "", "", FALSE, FALSE },
    { "desktop", "0000:0f:00.3", NULL, "0f:00.3", "", "", FALSE, FALSE },
    /* Bridges in the group stay, and do not keep the kernel from handing it out. */
    { "one-gpu", "0000:01:00.0", NULL, "01:00.0 01:00.1", "", "00:01.0", FALSE, FALSE },
    { "one-gpu", "0000:01:00.0",
      "function 0000:01:00.0\ndriver vfio-pci\nfunction 0000:01:00.1\ndriver none",
      "01:00.0 01:00.1", "", "00:01.0", FALSE, TRUE },
    { "acs-poor", "0000:05:00.0", NULL, "02:00.0 02:00.1 04:00.0 05:00.0 05:00.1",
      "02:00.0 02:00.1 04:00.0", "02:00.2 03:00.0 03:04.0", FALSE, FALSE },
    /* Parts of the board without a driver stay too. */
    { "laptop", "0000:00:14.0", NULL, "00:14.0", "", "00:14.2", FALSE, FALSE },
    { "laptop", "0000:00:1f.3", NULL, "00:1f.3 00:1f.4 00:1f.5", "00:1f.4 00:1f.5", "00:1f.0",
      FALSE, FALSE },
    { "sriov", "0000:03:02.1", NULL, "03:02.1", "", "", TRUE, TRUE },
    { "threadripper", "0000:21:00.2", NULL, "21:00.0 21:00.1 21:00.2 21:00.3", "", "", FALSE,
      FALSE },
  };

  g_autoptr (GHashTable) unchanged = new_unchanged ();

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    {
      const Case c = { .tree = table[i].tree, .address = table[i].address };
      Judged judged;

      g_test_message ("case %u", i);
      judge (unchanged, &c, c.address, table[i].changes, &judged);
      assert_addresses (judged.verdict->takes, table[i].takes);
      assert_addresses (judged.verdict->mates, table[i].mates);
      assert_addresses (judged.verdict->stays, table[i].stays);
      g_assert_cmpint (judged.verdict->bound, ==, table[i].bound);
      g_assert_cmpint (judged.verdict->viable, ==, table[i].viable);
      judged_clear (&judged);
    }
}

/* On every tree, for every card that is not blocked: with what it takes on vfio-pci, and all else as
 * it was, the kernel's rule holds; with any one of them on a driver of the host it does not. */
static void
test_rule (void)
{
  static const char *const trees[] = { "desktop", "laptop", "apu",         "acs-poor",
                                       "one-gpu", "sriov",  "threadripper" };
  guint n = 0;

  for (guint t = 0; t < G_N_ELEMENTS (trees); t++)
    {
      g_autoptr (FakeHost) host = fake_host_new (trees[t], NULL);

      for (guint i = 0; i < host->inventory->cards->len; i++)
        {
          g_autoptr (VfioVerdict) verdict =
              vfio_verdict_new (host->tree, host->inventory, NULL, NULL,
                                g_ptr_array_index (host->inventory->cards, i));
          g_autoptr (GPtrArray) were = g_ptr_array_new ();

          if (vfio_verdict_find (verdict, "no-group") != NULL)
            continue;
          for (guint k = 0; k < verdict->takes->len; k++)
            {
              VfioFunction *function = g_ptr_array_index (verdict->takes, k);

              g_ptr_array_add (were, function->driver);
              function->driver = (char *)"vfio-pci";
              function->driver_vfio = TRUE;
            }
          for (guint k = 0; k < verdict->takes->len; k++)
            {
              VfioFunction *function = g_ptr_array_index (verdict->takes, k);

              g_assert_true (vfio_inventory_group_is_viable (host->inventory, function->group));
              function->driver = (char *)"anything";
              function->driver_vfio = FALSE;
              g_assert_false (vfio_inventory_group_is_viable (host->inventory, function->group));
              function->driver = (char *)"vfio-pci";
              function->driver_vfio = TRUE;
              n++;
            }
          for (guint k = 0; k < verdict->takes->len; k++)
            {
              VfioFunction *function = g_ptr_array_index (verdict->takes, k);

              function->driver = g_ptr_array_index (were, k);
              function->driver_vfio =
                  function->driver != NULL && strcmp (function->driver, "vfio-pci") == 0;
            }
        }
    }
  g_assert_cmpuint (n, >, 60);
}

static void
test_summaries (void)
{
  static const struct
  {
    const char *tree, *address, *summary;
    VfioSeverity severity;
    gboolean second;
  } table[] = {
    { "desktop", "0000:0d:00.0", "Ready to be given to a machine", HOST_SEVERITY_NOTE, FALSE },
    { "desktop", "0000:0c:00.0", "Blocked: The desktop's graphics card", HOST_SEVERITY_BLOCK,
      TRUE },
    { "desktop", "0000:01:00.0", "Blocked: The system's disk", HOST_SEVERITY_BLOCK, FALSE },
    { "desktop", "0000:0f:00.4", "Needs a step: In use", HOST_SEVERITY_STEP, TRUE },
    { "acs-poor", "0000:05:00.0", "Blocked: The system's disk, in the same isolation group",
      HOST_SEVERITY_BLOCK, FALSE },
    { "laptop", "0000:01:00.0", "Ready to be given to a machine", HOST_SEVERITY_OK, FALSE },
    { "apu", "0000:03:00.0", "Ready to be given to a machine", HOST_SEVERITY_NOTE, TRUE },
    { "apu", "0000:0b:00.0", "Blocked: The desktop's graphics card", HOST_SEVERITY_BLOCK, TRUE },
    { "apu", "0000:0b:00.4", "Ready to be given to a machine", HOST_SEVERITY_OK, FALSE },
    { "one-gpu", "0000:01:00.0", "Blocked: The desktop's graphics card", HOST_SEVERITY_BLOCK,
      FALSE },
    { "sriov", "0000:03:02.1", "Ready, and reserved for machines", HOST_SEVERITY_OK, FALSE },
    { "sriov", "0000:03:00.0", "Blocked: The host's network", HOST_SEVERITY_BLOCK, FALSE },
    { "threadripper", "0000:41:00.0", "Ready to be given to a machine", HOST_SEVERITY_NOTE, FALSE },
  };

  g_autoptr (GHashTable) unchanged = new_unchanged ();

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    {
      const Case c = { .tree = table[i].tree, .address = table[i].address };
      Judged judged;

      g_test_message ("case %u", i);
      judge (unchanged, &c, c.address, NULL, &judged);
      g_assert_cmpstr (judged.verdict->summary, ==, table[i].summary);
      g_assert_cmpint (judged.verdict->severity, ==, table[i].severity);
      g_assert_cmpint (judged.verdict->second_start, ==, table[i].second);
      judged_clear (&judged);
    }
}

static int
compare_text (gconstpointer a, gconstpointer b)
{
  return strcmp (a, b);
}

int
main (int argc, char **argv)
{
  gboolean messages = argc > 1 && strcmp (argv[1], "--messages") == 0;

  g_test_init (&argc, &argv, NULL);
  if (messages)
    {
      g_autoptr (GHashTable) all = run_all ();
      g_autoptr (GList) keys = g_list_sort (g_hash_table_get_keys (all), compare_text);

      for (GList *l = keys; l != NULL; l = l->next)
        g_print ("%s\n", (char *)l->data);
      return 0;
    }
  g_test_add_func ("/vfio/host/checks/cases", test_cases);
  g_test_add_func ("/vfio/host/checks/every-id", test_every_id);
  g_test_add_func ("/vfio/host/checks/what-goes", test_what_goes);
  g_test_add_func ("/vfio/host/checks/rule", test_rule);
  g_test_add_func ("/vfio/host/checks/summaries", test_summaries);
  return g_test_run ();
}
