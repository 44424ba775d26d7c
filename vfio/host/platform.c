/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What lies below the cards: IOMMU, interrupts, the kernel and its modules, limits, distribution. */
#include <string.h>
#include "vfio/host/inventory-private.h"

#define MODULE     "/sys/module/"
#define PARAMETERS "/parameters/"

static int
read_switch (VfioTree *tree, const char *path)
{
  g_autofree char *line = vfio_tree_read_line (tree, path);

  if (line == NULL)
    return -1;
  return g_ascii_strcasecmp (line, "y") == 0 || strcmp (line, "1") == 0;
}

static guint64
read_number (VfioTree *tree, const char *path)
{
  guint64 value;

  return vfio_tree_read_number (tree, path, &value) ? value : 0;
}

static void
read_iommu (VfioTree *tree, VfioInventory *inventory)
{
  VfioPlatform *platform = &inventory->platform;
  gboolean groups = FALSE;

  platform->iommus = vfio_tree_list (tree, "/sys/class/iommu");
  if (platform->iommus != NULL && platform->iommus[0] == NULL)
    g_clear_pointer (&platform->iommus, g_strfreev);
  for (guint i = 0; i < inventory->groups->len; i++)
    {
      const VfioGroup *group = g_ptr_array_index (inventory->groups, i);

      groups = groups || (!group->noiommu && group->functions->len > 0);
      platform->noiommu_mode = platform->noiommu_mode || group->noiommu;
    }
  platform->vtd = vfio_tree_exists (tree, "/sys/firmware/acpi/tables/DMAR");
  platform->amdvi = vfio_tree_exists (tree, "/sys/firmware/acpi/tables/IVRS");
  if (groups)
    platform->iommu = HOST_IOMMU_ON;
  else if (platform->vtd || platform->amdvi)
    platform->iommu = HOST_IOMMU_OFF_KERNEL;
  else
    platform->iommu = HOST_IOMMU_OFF_FIRMWARE;
  for (guint i = 0; platform->iommus != NULL && platform->iommus[i] != NULL; i++)
    {
      g_autofree char *path =
          g_strconcat ("/sys/class/iommu/", platform->iommus[i], "/intel-iommu/cap", NULL);
      g_autofree char *line = vfio_tree_read_line (tree, path);
      guint64 cap;

      platform->vtd = platform->vtd || g_str_has_prefix (platform->iommus[i], "dmar");
      platform->amdvi = platform->amdvi || g_str_has_prefix (platform->iommus[i], "ivhd");
      /* VT-d 4.1, 11.4.2: MGAW, bits 21:16, is the width less one. */
      if (line != NULL && g_ascii_string_to_unsigned (line, 16, 0, G_MAXUINT64, &cap, NULL))
        {
          guint bits = (guint)(cap >> 16 & 0x3f) + 1;

          platform->iommu_bits =
              platform->iommu_bits == 0 ? bits : MIN (platform->iommu_bits, bits);
        }
    }
}

/* The kernel puts IR- before the chip's name of an interrupt that is remapped. */
static void
read_interrupts (VfioTree *tree, VfioPlatform *platform)
{
  g_autofree char *text = vfio_tree_read_text (tree, "/proc/interrupts", VFIO_TREE_READ_MAX);

  platform->interrupt_remapping = -1;
  if (text == NULL)
    return;
  if (strstr (text, " IR-") != NULL)
    platform->interrupt_remapping = 1;
  else if (strstr (text, "IO-APIC") != NULL || strstr (text, "PCI-MSI") != NULL)
    platform->interrupt_remapping = 0;
}

static void
read_maker (VfioTree *tree, VfioPlatform *platform)
{
  g_autofree char *text = vfio_tree_read_text (tree, "/proc/cpuinfo", 4096);

  platform->intel = text != NULL && strstr (text, "GenuineIntel") != NULL;
  platform->amd = text != NULL &&
                  (strstr (text, "AuthenticAMD") != NULL || strstr (text, "HygonGenuine") != NULL);
}

static void
read_kernel (VfioTree *tree, VfioPlatform *platform)
{
  char *end;
  guint64 major_number, minor_number = 0;

  platform->cmdline = vfio_tree_read_line (tree, "/proc/cmdline");
  platform->kernel = vfio_tree_read_line (tree, "/proc/sys/kernel/osrelease");
  if (platform->kernel != NULL)
    {
      major_number = g_ascii_strtoull (platform->kernel, &end, 10);
      if (*end == '.')
        minor_number = g_ascii_strtoull (end + 1, NULL, 10);
      if (major_number < 1000 && minor_number < 65536)
        platform->kernel_version = (guint)(major_number << 16 | minor_number);
    }
  if (platform->cmdline != NULL)
    {
      g_auto (GStrv) words = g_strsplit (platform->cmdline, " ", 1024);

      for (guint i = 0; words[i] != NULL; i++)
        if (g_str_has_prefix (words[i], "pcie_acs_override="))
          {
            g_free (platform->acs_override);
            platform->acs_override = g_strdup (words[i] + strlen ("pcie_acs_override="));
          }
    }
}

static void
read_modules (VfioTree *tree, VfioPlatform *platform)
{
  static const char *const lists[] = { "modules.dep", "modules.builtin" };
  char *ids;

  platform->vfio_loaded = vfio_tree_exists (tree, MODULE "vfio_pci");
  platform->vfio_available = platform->vfio_loaded;
  for (guint i = 0; i < G_N_ELEMENTS (lists) && platform->kernel != NULL &&
                    strchr (platform->kernel, '/') == NULL && !platform->vfio_available;
       i++)
    {
      g_autofree char *path = g_strconcat ("/lib/modules/", platform->kernel, "/", lists[i], NULL);
      g_autofree char *text = vfio_tree_read_text (tree, path, VFIO_TREE_READ_MAX);

      platform->vfio_available = text != NULL && strstr (text, "/vfio-pci.ko") != NULL;
    }
  platform->vfio_node = vfio_tree_exists (tree, "/dev/vfio/vfio");
  platform->iommufd_node = vfio_tree_exists (tree, "/dev/iommu");
  platform->unsafe_interrupts =
      read_switch (tree, MODULE "vfio_iommu_type1" PARAMETERS "allow_unsafe_interrupts") == 1;
  platform->noiommu_mode =
      platform->noiommu_mode ||
      read_switch (tree, MODULE "vfio" PARAMETERS "enable_unsafe_noiommu_mode") == 1;
  platform->disable_idle_d3 = read_switch (tree, MODULE "vfio_pci" PARAMETERS "disable_idle_d3");
  platform->disable_vga = read_switch (tree, MODULE "vfio_pci" PARAMETERS "disable_vga");
  platform->dma_entry_limit =
      read_number (tree, MODULE "vfio_iommu_type1" PARAMETERS "dma_entry_limit");
  ids = vfio_tree_read_line (tree, MODULE "vfio_pci" PARAMETERS "ids");
  if (ids != NULL && *ids != '\0')
    platform->vfio_ids = ids;
  else
    g_free (ids);
}

/* proc(5), /proc/pid/limits: the name in 26 columns, soft, hard, unit. */
static void
read_limits (VfioTree *tree, VfioPlatform *platform)
{
  g_autofree char *limits = vfio_tree_read_text (tree, "/proc/self/limits", 16384);
  g_autofree char *status = vfio_tree_read_text (tree, "/proc/self/status", 16384);
  const char *line = limits != NULL ? strstr (limits, "Max locked memory") : NULL;
  const char *caps = status != NULL ? strstr (status, "CapEff:") : NULL;

  platform->memlock = G_MAXUINT64;
  if (line != NULL)
    {
      const char *p = line + strlen ("Max locked memory");

      p += strspn (p, " ");
      if (g_ascii_isdigit (*p))
        platform->memlock = g_ascii_strtoull (p, NULL, 10);
    }
  /* CAP_IPC_LOCK, bit 14, lifts the limit. */
  if (caps != NULL && (g_ascii_strtoull (caps + strlen ("CapEff:"), NULL, 16) >> 14 & 1) != 0)
    platform->memlock = G_MAXUINT64;
}

/* os-release(5). (transfer full) (nullable) */
static char *
os_value (const char *text, const char *key)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", 256);
  gsize len = strlen (key);

  for (guint i = 0; lines[i] != NULL; i++)
    if (strncmp (lines[i], key, len) == 0 && lines[i][len] == '=')
      return g_shell_unquote (lines[i] + len + 1, NULL);
  return NULL;
}

/* By the distribution's family: in a sandbox the host's programs cannot be seen. */
static VfioInitramfs
guess_initramfs (const VfioPlatform *platform)
{
  static const struct
  {
    const char *id;
    VfioInitramfs tool;
  } families[] = { { "debian", HOST_INITRAMFS_TOOLS },   { "ubuntu", HOST_INITRAMFS_TOOLS },
                   { "fedora", HOST_INITRAMFS_DRACUT },  { "rhel", HOST_INITRAMFS_DRACUT },
                   { "suse", HOST_INITRAMFS_DRACUT },    { "opensuse", HOST_INITRAMFS_DRACUT },
                   { "arch", HOST_INITRAMFS_MKINITCPIO } };
  g_autofree char *all = g_strconcat (platform->os_id != NULL ? platform->os_id : "", " ",
                                      platform->os_like != NULL ? platform->os_like : "", NULL);
  g_auto (GStrv) words = g_strsplit (all, " ", 16);

  for (guint i = 0; words[i] != NULL; i++)
    for (guint k = 0; k < G_N_ELEMENTS (families); k++)
      if (strcmp (words[i], families[k].id) == 0)
        return families[k].tool;
  return HOST_INITRAMFS_UNKNOWN;
}

static void
read_system (VfioTree *tree, VfioPlatform *platform)
{
  static const char *const releases[] = { "/run/host/os-release", "/etc/os-release",
                                          "/usr/lib/os-release" };
  g_autofree char *text = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (releases) && text == NULL; i++)
    text = vfio_tree_read_text (tree, releases[i], 65536);
  if (text != NULL)
    {
      platform->os_id = os_value (text, "ID");
      platform->os_like = os_value (text, "ID_LIKE");
      platform->os_name = os_value (text, "PRETTY_NAME");
    }
  platform->ostree = vfio_tree_exists (tree, "/run/ostree-booted");
  platform->sandbox = vfio_tree_exists (tree, "/.flatpak-info");
  platform->selinux_enforcing = read_number (tree, "/sys/fs/selinux/enforce") == 1;
  platform->initramfs = guess_initramfs (platform);
  if (platform->ostree)
    platform->initramfs = HOST_INITRAMFS_OSTREE;
  else if (vfio_tree_exists (tree, "/usr/bin/mkinitcpio"))
    platform->initramfs = HOST_INITRAMFS_MKINITCPIO;
  else if (vfio_tree_exists (tree, "/usr/sbin/update-initramfs"))
    platform->initramfs = HOST_INITRAMFS_TOOLS;
  else if (vfio_tree_exists (tree, "/usr/bin/dracut"))
    platform->initramfs = HOST_INITRAMFS_DRACUT;
}

static void
read_memory (VfioTree *tree, VfioPlatform *platform)
{
  g_autofree char *shmem =
      vfio_tree_read_line (tree, "/sys/kernel/mm/transparent_hugepage/shmem_enabled");

  platform->ksm = read_number (tree, "/sys/kernel/mm/ksm/run") == 1;
  platform->thp = shmem != NULL &&
                  (strstr (shmem, "[always]") != NULL || strstr (shmem, "[within_size]") != NULL ||
                   strstr (shmem, "[advise]") != NULL || strstr (shmem, "[force]") != NULL);
  platform->hugepages_1g =
      read_number (tree, "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages");
  platform->hugepages_2m =
      read_number (tree, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
}

void
host_platform_fill (VfioTree *tree, VfioInventory *inventory)
{
  VfioPlatform *platform = &inventory->platform;

  read_kernel (tree, platform);
  read_maker (tree, platform);
  read_iommu (tree, inventory);
  read_interrupts (tree, platform);
  read_modules (tree, platform);
  read_limits (tree, platform);
  read_system (tree, platform);
  read_memory (tree, platform);
}

void
host_platform_clear (VfioPlatform *platform)
{
  g_strfreev (platform->iommus);
  g_free (platform->acs_override);
  g_free (platform->cmdline);
  g_free (platform->kernel);
  g_free (platform->vfio_ids);
  g_free (platform->os_id);
  g_free (platform->os_like);
  g_free (platform->os_name);
}
