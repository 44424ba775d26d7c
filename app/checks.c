/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/checks.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "app/paths.h"
#include "vfio/host/checks.h"
#include "vmm/boot/firmware.h"
#include "vmm/host-check.h"
#include "vmm/vm.h"

#define MEMORY_WANTED_MIB 1024
#define DISK_WANTED_MIB   (4 * 1024)

const char *
alcove_check_result_to_string (AlcoveCheckResult result)
{
  static const char *const words[] = { "good", "note", "warning", "bad" };

  return words[result];
}

static void
check_free (gpointer data)
{
  AlcoveCheck *check = data;

  g_free (check->fact);
  g_free (check->meaning);
  g_free (check->remedy);
  g_free (check);
}

/* fact: (transfer full) */
static void
add (GPtrArray *checks,
     const char *id,
     const char *title,
     AlcoveCheckResult result,
     char *fact,
     const char *meaning,
     const char *remedy)
{
  AlcoveCheck *check = g_new0 (AlcoveCheck, 1);

  check->id = id;
  check->title = title;
  check->result = result;
  check->fact = fact;
  check->meaning = g_strdup (meaning);
  check->remedy = g_strdup (remedy);
  g_ptr_array_add (checks, check);
}

/* FALSE: nothing more can be asked of KVM. */
static gboolean
check_kvm (GPtrArray *checks)
{
  VmmHostCheck host;
  gboolean available;

  vmm_host_check_probe (&host);
  available = host.available;
  add (checks, "kvm", "Virtualization",
       !host.available  ? ALCOVE_CHECK_BAD
       : !host.hardware ? ALCOVE_CHECK_WARNING
                        : ALCOVE_CHECK_GOOD,
       host.available ? g_strdup_printf ("/dev/kvm can be opened (%s)", host.backend)
                      : g_strdup ("/dev/kvm cannot be used"),
       host.sentence, host.remedy);
  vmm_host_check_clear (&host);
  return available;
}

static void
check_capabilities (GPtrArray *checks)
{
  g_autoptr (GError) error = NULL;
  VmmKvm *kvm = vmm_kvm_open (NULL, &error);
  const VmmKvmCaps *caps;

  if (kvm == NULL)
    {
      add (checks, "kvm-capabilities", "Kernel features", ALCOVE_CHECK_BAD,
           g_strdup ("The kernel's KVM lacks something"), error->message,
           "Use a kernel of version 5.10 or later");
      return;
    }
  caps = vmm_kvm_get_caps (kvm);
  add (checks, "kvm-capabilities", "Kernel features", ALCOVE_CHECK_GOOD,
       g_strdup_printf ("Up to %u virtual CPUs (%u recommended), %u address bits",
                        caps->n_vcpus_max, caps->n_vcpus_recommended, caps->phys_bits),
       "The kernel has what machines need", NULL);
  vmm_kvm_close (kvm);
}

static void
check_program (GPtrArray *checks)
{
  g_autofree char *path = alcove_paths_dup_vmm ();
  gboolean good = g_access (path, X_OK) == 0;

  add (checks, "program", "VM program", good ? ALCOVE_CHECK_GOOD : ALCOVE_CHECK_BAD,
       g_strdup_printf ("%s %s", path, good ? "is there" : "cannot be executed"),
       good ? "Machines can be started" : "No machine can be started",
       good ? NULL : "Install Alcove again; in a build tree use \"meson devenv\"");
}

static void
check_firmware (GPtrArray *checks, VmmFirmwareKind kind, const char *id, const char *title)
{
  const VmmFirmwareQuery query = { .kind = kind };
  g_autoptr (GError) error = NULL;
  g_autoptr (VmmFirmware) firmware = vmm_firmware_find (&query, &error);

  if (firmware != NULL)
    add (checks, id, title, ALCOVE_CHECK_GOOD, g_strdup (firmware->code),
         firmware->description != NULL ? firmware->description : title, NULL);
  else
    add (checks, id, title, ALCOVE_CHECK_WARNING, g_strdup ("No image was found"),
         "Machines with this firmware do not start", error->message);
}

static guint64
read_meminfo_mib (const char *name)
{
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;

  if (!g_file_get_contents ("/proc/meminfo", &text, NULL, NULL))
    return 0;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], name) && lines[i][strlen (name)] == ':')
      return g_ascii_strtoull (lines[i] + strlen (name) + 1, NULL, 10) / 1024;
  return 0;
}

static void
check_memory (GPtrArray *checks)
{
  guint64 mib = read_meminfo_mib ("MemAvailable");
  gboolean good = mib >= MEMORY_WANTED_MIB;

  add (checks, "memory", "Memory", good ? ALCOVE_CHECK_GOOD : ALCOVE_CHECK_WARNING,
       g_strdup_printf ("%" G_GUINT64_FORMAT " MiB can be used", mib),
       good ? "Enough for a machine" : "Little for a machine",
       good ? NULL : "Close other programs, or give machines less memory");
}

/* The free space of the nearest folder that is there. */
static void
check_disk (GPtrArray *checks)
{
  g_autofree char *wanted = alcove_paths_dup_machines ();
  g_autofree char *path = g_strdup (wanted);
  struct statvfs fs;
  guint64 mib;
  gboolean good;

  while (statvfs (path, &fs) < 0 && strcmp (path, "/") != 0)
    {
      char *parent = g_path_get_dirname (path);

      g_free (path);
      path = parent;
    }
  mib = (guint64)fs.f_bavail * fs.f_frsize / (1024 * 1024);
  good = mib >= DISK_WANTED_MIB;
  add (checks, "disk", "Disk space", good ? ALCOVE_CHECK_GOOD : ALCOVE_CHECK_WARNING,
       g_strdup_printf ("%" G_GUINT64_FORMAT " MiB are free for %s", mib, wanted),
       good ? "Enough for a machine" : "Little for a machine's disk",
       good ? NULL : "Free some space, or set XDG_DATA_HOME to another disk");
}

static void
check_runtime (GPtrArray *checks)
{
  g_autofree char *path = alcove_paths_dup_runtime ();
  g_autoptr (GError) error = NULL;
  gboolean good = alcove_paths_ensure_private (path, &error);

  add (checks, "runtime", "Runtime folder", good ? ALCOVE_CHECK_GOOD : ALCOVE_CHECK_BAD,
       g_strdup (path), good ? "Running machines can be reached" : error->message,
       good ? NULL : "Log in again, or set XDG_RUNTIME_DIR to a folder of yours");
}

static void
check_node (GPtrArray *checks,
            const char *id,
            const char *title,
            const char *path,
            const char *module,
            const char *loses)
{
  g_autofree char *remedy = NULL;
  gboolean there = g_access (path, F_OK) == 0;
  gboolean good = g_access (path, R_OK | W_OK) == 0;

  if (!there)
    remedy = g_strdup_printf ("sudo modprobe %s", module);
  else if (!good)
    remedy = g_strdup_printf ("Ask the administrator for access to %s", path);
  add (checks, id, title, good ? ALCOVE_CHECK_GOOD : ALCOVE_CHECK_NOTE,
       g_strdup_printf ("%s %s", path,
                        good    ? "can be opened"
                        : there ? "may not be opened"
                                : "is not there"),
       good ? "It can be used" : loses, remedy);
}

/* Whether cards can be given to machines at all; "alcove pci check" says it of each. */
static void
check_passthrough (GPtrArray *checks)
{
  VfioTree *tree = vfio_tree_open_host (NULL);
  g_autoptr (VfioInventory) inventory = tree != NULL ? vfio_inventory_new (tree) : NULL;
  g_autoptr (GPtrArray) host = NULL;
  const VfioCheck *worst = NULL;

  vfio_tree_free (tree);
  if (inventory == NULL)
    return;
  host = vfio_checks_platform (inventory, NULL);
  for (guint i = 0; i < host->len; i++)
    {
      const VfioCheck *check = g_ptr_array_index (host, i);

      if (check->severity == HOST_SEVERITY_BLOCK && worst == NULL)
        worst = check;
    }
  if (worst != NULL)
    add (checks, "passthrough", "Giving devices to machines", ALCOVE_CHECK_NOTE,
         g_strdup (worst->fact), "Graphics cards and other devices cannot be given to machines",
         worst->remedy);
  else
    add (checks, "passthrough", "Giving devices to machines", ALCOVE_CHECK_GOOD,
         g_strdup_printf ("Devices are in %u isolation groups", inventory->groups->len),
         "\"alcove pci check\" says which can be given to a machine", NULL);
}

GPtrArray *
alcove_checks_run (void)
{
  GPtrArray *checks = g_ptr_array_new_with_free_func (check_free);

  if (check_kvm (checks))
    check_capabilities (checks);
  check_program (checks);
  check_runtime (checks);
  check_memory (checks);
  check_disk (checks);
  check_firmware (checks, VMM_FIRMWARE_UEFI, "firmware-uefi", "UEFI firmware");
  check_firmware (checks, VMM_FIRMWARE_BIOS, "firmware-bios", "BIOS firmware");
  check_node (checks, "tun", "Network interfaces", "/dev/net/tun", "tun",
              "Machines cannot use a tap interface; user networking needs none");
  check_node (checks, "vhost-net", "Fast networking", "/dev/vhost-net", "vhost_net",
              "Packets of a tap interface take a slower path");
  check_passthrough (checks);
  return checks;
}

AlcoveCheckResult
alcove_checks_get_worst (GPtrArray *checks)
{
  AlcoveCheckResult worst = ALCOVE_CHECK_GOOD;

  for (guint i = 0; i < checks->len; i++)
    worst = MAX (worst, ((AlcoveCheck *)g_ptr_array_index (checks, i))->result);
  return worst;
}
