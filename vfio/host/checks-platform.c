/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the host as a whole can do and what it lacks. */
#include <string.h>
#include "vfio/host/boot-files.h"
#include "vfio/host/checks-private.h"

#define GIB               ((guint64)1 << 30)
#define DMA_ENTRIES_LEAST 1024

static const char *
technology (const VfioPlatform *platform)
{
  if (platform->vtd || (!platform->amdvi && platform->intel))
    return "Intel VT-d";
  return platform->amdvi || platform->amd ? "AMD-Vi (IOMMU)" : "IOMMU";
}

/* What on the kernel's command line turns it off. (transfer none) (nullable) */
static const char *
find_off (const VfioPlatform *platform)
{
  static const char *const words[] = { "intel_iommu=off", "amd_iommu=off", "iommu=off" };
  g_auto (GStrv) given = g_strsplit (platform->cmdline != NULL ? platform->cmdline : "", " ", 1024);

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (g_strv_contains ((const char *const *)given, words[i]))
      return words[i];
  return NULL;
}

static void
add_iommu_unused (GPtrArray *checks, const VfioPlatform *platform)
{
  const char *off = find_off (platform);
  VfioCheck *check = host_check_add (
      checks, "iommu", _ ("Device isolation"), HOST_SEVERITY_BLOCK, NULL,
      off != NULL ? g_strdup_printf (_ ("%s is switched off by %s on the kernel's command line"),
                                     technology (platform), off)
                  : g_strdup_printf (_ ("The board offers %s, but the kernel does not use it"),
                                     technology (platform)),
      g_strdup (_ ("Without it a device in a machine could read all of the host's memory")));

  if (off != NULL)
    {
      check->remedy = g_strdup_printf (_ ("Take %s out and restart the host"), off);
      check->command = vfio_boot_remove_argument (platform, off);
      check->undo = vfio_boot_add_argument (platform, off);
    }
  else if (platform->amdvi)
    {
      /* AMD's is on by itself: there is no argument that would turn it on. */
      check->remedy = g_strdup (_ ("Look at what the kernel says about it, and update the BIOS"));
      check->command = g_strdup ("sudo dmesg | grep -i -e AMD-Vi -e IOMMU");
    }
  else
    {
      check->remedy =
          g_strdup (_ ("Add intel_iommu=on to the kernel's command line and restart the "
                       "host"));
      check->command = vfio_boot_add_argument (platform, "intel_iommu=on");
      check->undo = vfio_boot_remove_argument (platform, "intel_iommu=on");
    }
}

static void
add_iommu (GPtrArray *checks, const VfioInventory *inventory)
{
  const VfioPlatform *platform = &inventory->platform;
  VfioCheck *check;

  if (platform->iommu == HOST_IOMMU_ON)
    {
      guint n = 0;

      for (guint i = 0; i < inventory->groups->len; i++)
        n += !((VfioGroup *)g_ptr_array_index (inventory->groups, i))->noiommu;
      host_check_add (
          checks, "iommu", _ ("Device isolation"), HOST_SEVERITY_OK, NULL,
          g_strdup_printf (_ ("%s is on, with %u isolation groups"), technology (platform), n),
          g_strdup (_ ("Devices can be given to machines and reach nothing else")));
      return;
    }
  if (platform->iommu == HOST_IOMMU_OFF_KERNEL)
    {
      add_iommu_unused (checks, platform);
      return;
    }
  check = host_check_add (
      checks, "iommu", _ ("Device isolation"), HOST_SEVERITY_BLOCK, NULL,
      g_strdup_printf (_ ("%s is off, or this computer has none"), technology (platform)),
      g_strdup (_ ("Without it a device in a machine could read all of the host's memory")));
  check->remedy =
      g_strdup_printf (_ ("Turn it on in the BIOS setup, where it is called %s, and restart"),
                       platform->intel ? "VT-d" : "IOMMU");
}

static void
add_width (GPtrArray *checks, const VfioInventory *inventory, const VfioDemand *demand)
{
  guint bits = inventory->platform.iommu_bits;
  g_autofree char *limit = NULL, *memory = NULL;
  VfioCheck *check;

  if (bits == 0 || bits > 63)
    return;
  limit = host_format_size ((guint64)1 << bits);
  if (demand->memory < (guint64)1 << bits)
    {
      host_check_add (checks, "address-width", _ ("Memory devices can reach"), HOST_SEVERITY_OK,
                      NULL, g_strdup_printf (_ ("%s (%u address bits)"), limit, bits),
                      g_strdup (_ ("Machines with a device are laid out within it")));
      return;
    }
  memory = host_format_size (demand->memory);
  check =
      host_check_add (checks, "address-width", _ ("Memory devices can reach"), HOST_SEVERITY_STEP,
                      NULL, g_strdup_printf (_ ("%s, and the machine has %s"), limit, memory),
                      g_strdup (_ ("A device could not reach all of the machine's memory")));
  check->remedy = g_strdup (_ ("Give the machine less memory"));
}

static void
add_interrupts (GPtrArray *checks, const VfioPlatform *platform)
{
  VfioCheck *check;

  if (platform->interrupt_remapping == 1)
    host_check_add (checks, "interrupt-remapping", _ ("Interrupt isolation"), HOST_SEVERITY_OK,
                    NULL, g_strdup (_ ("The kernel checks where each interrupt comes from")),
                    g_strdup (_ ("A machine cannot disturb the host with false interrupts")));
  else if (platform->unsafe_interrupts)
    {
      check = host_check_add (
          checks, "interrupt-remapping", _ ("Interrupt isolation"), HOST_SEVERITY_NOTE, NULL,
          g_strdup (_ ("Interrupts are not isolated, and somebody has allowed that")),
          g_strdup (_ ("A malicious guest could crash the host or take it over")));
      check->remedy =
          g_strdup (_ ("Give devices only to guests you trust, or take allow_unsafe_interrupts "
                       "out of /etc/modprobe.d"));
    }
  else if (platform->interrupt_remapping == 0 && platform->iommu == HOST_IOMMU_ON)
    {
      check = host_check_add (
          checks, "interrupt-remapping", _ ("Interrupt isolation"), HOST_SEVERITY_BLOCK, NULL,
          g_strdup (_ ("This computer cannot isolate interrupts, or has that turned off")),
          g_strdup (_ ("A malicious guest could crash the host or take it over")));
      check->remedy = g_strdup (_ ("Look for interrupt remapping or x2APIC in the BIOS setup, and "
                                   "take intremap=off and nointremap out of the kernel's command "
                                   "line"));
    }
}

static void
add_noiommu (GPtrArray *checks, const VfioPlatform *platform)
{
  VfioCheck *check;

  if (!platform->noiommu_mode)
    return;
  check = host_check_add (
      checks, "no-isolation-mode", _ ("Isolation is switched off"), HOST_SEVERITY_BLOCK, NULL,
      g_strdup (_ ("The kernel is set to hand out devices without any isolation")),
      g_strdup (_ ("A guest could then read and change all of the host's memory")));
  check->remedy = g_strdup (_ ("Set it back; Alcove gives no device to a machine in that mode"));
  check->command =
      g_strdup ("echo N | sudo tee /sys/module/vfio/parameters/enable_unsafe_noiommu_mode\n"
                "grep -rl enable_unsafe_noiommu_mode /etc/modprobe.d   # take it out there");
}

static void
add_acs (GPtrArray *checks, const VfioPlatform *platform)
{
  VfioCheck *check;

  if (platform->acs_override == NULL)
    return;
  check = host_check_add (
      checks, "acs-override", _ ("Isolation is only claimed"), HOST_SEVERITY_NOTE, NULL,
      g_strdup_printf (_ ("The kernel was started with pcie_acs_override=%s"),
                       platform->acs_override),
      g_strdup (_ ("Groups look separate only because a safety check is switched off; devices may "
                   "still reach each other's memory")));
  check->remedy = g_strdup (_ ("Give devices only to guests you trust, or take the option out of "
                               "the kernel's command line"));
}

static void
add_modules (GPtrArray *checks, const VfioPlatform *platform)
{
  VfioCheck *check;

  if (platform->vfio_loaded || platform->vfio_available)
    {
      host_check_add (checks, "driver-for-machines", _ ("Driver for machines"), HOST_SEVERITY_OK,
                      NULL,
                      g_strdup (platform->vfio_loaded ? _ ("The driver vfio-pci is there")
                                                      : _ ("The driver vfio-pci can be loaded")),
                      g_strdup (_ ("It holds a device while no driver of the host does")));
      return;
    }
  check = host_check_add (checks, "driver-for-machines", _ ("Driver for machines"),
                          platform->sandbox ? HOST_SEVERITY_NOTE : HOST_SEVERITY_BLOCK, NULL,
                          g_strdup_printf (_ ("The kernel %s has no driver vfio-pci"),
                                           platform->kernel != NULL ? platform->kernel : "?"),
                          g_strdup (_ ("Only that driver can hold a device for a machine")));
  check->remedy = g_strdup (_ ("Install the rest of the kernel's modules (linux-modules-extra on "
                               "Ubuntu, kernel-modules on Fedora)"));
}

static void
add_memlock (GPtrArray *checks, const VfioPlatform *platform, const VfioDemand *demand)
{
  /* Without a machine in mind: one of 4 GiB. The BARs may count too. */
  guint64 wanted = demand->memory != 0 ? demand->memory : 4 * GIB;
  g_autofree char *limit = NULL, *need = NULL;
  VfioCheck *check;

  if (platform->memlock == G_MAXUINT64)
    {
      host_check_add (checks, "locked-memory", _ ("Locked memory"), HOST_SEVERITY_OK, NULL,
                      g_strdup (_ ("Any amount may be locked")),
                      g_strdup (_ ("A machine with a device keeps all of its memory in place")));
      return;
    }
  limit = host_format_size (platform->memlock);
  need = host_format_size (wanted);
  if (platform->memlock >= wanted)
    {
      host_check_add (checks, "locked-memory", _ ("Locked memory"), HOST_SEVERITY_OK, NULL,
                      g_strdup_printf (_ ("Up to %s may be locked"), limit),
                      g_strdup (_ ("A machine with a device keeps all of its memory in place")));
      return;
    }
  check = host_check_add (
      checks, "locked-memory", _ ("Locked memory"),
      demand->memory != 0 ? HOST_SEVERITY_STEP : HOST_SEVERITY_NOTE, NULL,
      demand->memory != 0
          ? g_strdup_printf (_ ("The machine needs %s of locked memory; your limit is %s"), need,
                             limit)
          : g_strdup_printf (_ ("Your limit of locked memory is %s"), limit),
      g_strdup (_ ("A machine with a device keeps all of its memory in place")));
  check->remedy =
      g_strdup (_ ("Let Alcove's helper raise it when the machine starts, or write this "
                   "file and log in again"));
  check->command =
      g_strdup_printf ("# /etc/security/limits.d/alcove.conf\n"
                       "%s - memlock %" G_GUINT64_FORMAT,
                       demand->other_user ? "*" : g_get_user_name (), (wanted + GIB) / 1024);
  check->undo = g_strdup ("sudo rm /etc/security/limits.d/alcove.conf");
}

static void
add_memory (GPtrArray *checks, const VfioPlatform *platform)
{
  VfioCheck *check;

  if (platform->dma_entry_limit != 0 && platform->dma_entry_limit < DMA_ENTRIES_LEAST)
    {
      check = host_check_add (
          checks, "mapping-count", _ ("Pieces of memory"), HOST_SEVERITY_STEP, NULL,
          g_strdup_printf (_ ("Somebody limited devices to %" G_GUINT64_FORMAT " pieces of memory"),
                           platform->dma_entry_limit),
          g_strdup (_ ("A machine may need more, and then does not start")));
      check->remedy = g_strdup (_ ("Take dma_entry_limit out of /etc/modprobe.d and restart"));
    }
  if (platform->ksm)
    host_check_add (checks, "memory-saving", _ ("Saving memory"), HOST_SEVERITY_NOTE, NULL,
                    g_strdup (_ ("The host merges equal pages of memory")),
                    g_strdup (_ ("That, and giving memory back, do not work for a machine with a "
                                 "device, which keeps all of its memory; Alcove turns them off for "
                                 "it")));
  if (platform->hugepages_1g > 0)
    host_check_add (checks, "huge-pages", _ ("Large pages"), HOST_SEVERITY_OK, NULL,
                    g_strdup_printf (_ ("%" G_GUINT64_FORMAT " pages of 1 GiB are free"),
                                     platform->hugepages_1g),
                    g_strdup (_ ("A machine can use them for a little more speed")));
  else
    host_check_add (checks, "huge-pages", _ ("Large pages"), HOST_SEVERITY_OK, NULL,
                    g_strdup (platform->thp ? _ ("The kernel makes large pages by itself")
                                            : _ ("No large pages are set aside")),
                    g_strdup (_ ("Nothing has to be done for them")));
}

GPtrArray *
vfio_checks_platform (const VfioInventory *inventory, const VfioDemand *demand)
{
  static const VfioDemand nothing;
  GPtrArray *checks = g_ptr_array_new_with_free_func (host_check_free);
  const VfioPlatform *platform = &inventory->platform;

  if (demand == NULL)
    demand = &nothing;
  add_iommu (checks, inventory);
  add_noiommu (checks, platform);
  add_interrupts (checks, platform);
  add_acs (checks, platform);
  add_modules (checks, platform);
  add_width (checks, inventory, demand);
  add_memlock (checks, platform, demand);
  add_memory (checks, platform);
  return checks;
}
