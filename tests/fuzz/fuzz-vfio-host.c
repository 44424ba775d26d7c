/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the host's files say, as any bytes: configuration space, resources, memory map, names, lists,
 * each alone (first byte 0 to 6), and a whole tree of such files, judged (anything else). */
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "fuzz-input.h"
#include "fuzz.h"
#include "vfio/host/boot-files.h"
#include "vfio/host/checks.h"
#include "vfio/host/inventory-private.h"

/* The files of a tree that come from the input, in this order, each with a length before it. */
static const char *const files[] = {
  "/proc/1/mountinfo",
  "/proc/swaps",
  "/proc/net/route",
  "/proc/net/ipv6_route",
  "/proc/interrupts",
  "/proc/iomem",
  "/proc/cmdline",
  "/proc/self/limits",
  "/proc/sys/kernel/osrelease",
  "/etc/os-release",
  "/usr/share/misc/pci.ids",
  "/sys/kernel/iommu_groups/3/reserved_regions",
  "/sys/class/iommu/dmar0/intel-iommu/cap",
  "/sys/bus/pci/devices/0000:01:00.0/config",
  "/sys/bus/pci/devices/0000:01:00.0/resource",
  "/sys/bus/pci/devices/0000:01:00.0/class",
  "/sys/bus/pci/devices/0000:01:00.0/reset_method",
  "/sys/bus/pci/devices/0000:01:00.0/boot_vga",
  "/sys/bus/pci/devices/0000:01:00.0/driver_override",
  "/sys/bus/pci/devices/0000:01:00.0/resource0_resize",
  "/sys/bus/pci/devices/0000:01:00.0/sriov_numvfs",
  "/sys/bus/pci/devices/0000:01:00.0/block/sda/uevent",
  "/sys/module/vfio_pci/parameters/ids",
};

static const char *const links[][2] = {
  { "/sys/kernel/iommu_groups/3/devices/0000:01:00.0", "/sys/bus/pci/devices/0000:01:00.0" },
  { "/sys/class/block/sda", "/sys/bus/pci/devices/0000:01:00.0/block/sda" },
  { "/sys/dev/block/8:0", "/sys/bus/pci/devices/0000:01:00.0/block/sda" },
  { "/sys/class/net/eth0", "/sys/bus/pci/devices/0000:01:00.0" },
};

static void
make_parent (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);

  g_mkdir_with_parents (folder, 0755);
}

static int
remove_one (const char *path, const struct stat *status, int kind, struct FTW *walk)
{
  return remove (path);
}

static void
judge_all (VfioTree *tree, VfioInventory *inventory)
{
  g_autoptr (GPtrArray) platform = vfio_checks_platform (inventory, NULL);

  g_assert_cmpuint (platform->len, >, 0);
  for (guint i = 0; i < inventory->cards->len; i++)
    {
      g_autoptr (VfioVerdict) verdict =
          vfio_verdict_new (tree, inventory, NULL, NULL, g_ptr_array_index (inventory->cards, i));
      g_autoptr (VfioBootFiles) boot = vfio_boot_files_new (inventory, verdict->takes);
      g_autofree char *text = vfio_boot_files_to_text (boot);

      g_assert_true (g_utf8_validate (verdict->summary, -1, NULL));
      g_assert_true (g_utf8_validate (text, -1, NULL));
      for (guint k = 0; k < verdict->checks->len; k++)
        {
          const VfioCheck *check = g_ptr_array_index (verdict->checks, k);

          g_assert_true (g_utf8_validate (check->fact, -1, NULL));
          g_assert_cmpint (check->severity, <=, verdict->severity);
        }
    }
}

static void
read_tree (FuzzInput *input)
{
  g_autofree char *folder = g_mkdtemp (g_strdup ("/dev/shm/fuzz-vfio-XXXXXX"));
  VfioTree *tree;

  if (folder == NULL)
    folder = g_dir_make_tmp ("fuzz-vfio-XXXXXX", NULL);
  g_assert_nonnull (folder);
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_strconcat (folder, files[i], NULL);
      gsize size = (gsize)fuzz_take (input, 2);
      FILE *file;

      size = MIN (size, input->left);
      make_parent (path);
      file = fopen (path, "wb");
      g_assert_nonnull (file);
      g_assert_cmpuint (fwrite (input->data, 1, size, file), ==, size);
      g_assert_cmpint (fclose (file), ==, 0);
      input->data += size;
      input->left -= size;
    }
  for (guint i = 0; i < G_N_ELEMENTS (links); i++)
    {
      g_autofree char *path = g_strconcat (folder, links[i][0], NULL);

      make_parent (path);
      g_assert_cmpint (symlink (links[i][1], path), ==, 0);
    }
  tree = vfio_tree_open (folder, NULL);
  {
    g_autoptr (VfioInventory) inventory = vfio_inventory_new (tree);

    g_assert_cmpuint (inventory->functions->len, ==, 1);
    judge_all (tree, inventory);
  }
  vfio_tree_free (tree);
  nftw (folder, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}

static void
read_one (guint kind, const guint8 *data, gsize size)
{
  g_autofree char *raw = g_strndup ((const char *)data, size); /* to the first zero */
  g_autofree char *text = g_utf8_make_valid (raw, -1);
  g_autoptr (GPtrArray) functions = g_ptr_array_new_with_free_func (host_function_free);
  VfioInventory inventory = { .functions = functions };
  VfioTree *tree = vfio_tree_open ("/proc/self/task", NULL); /* has none of the files */
  VfioFunction *function = host_function_new (tree, (VfioAddress){ 0, 1, 0, 0 });
  VfioAddress address;

  vfio_tree_free (tree);
  g_ptr_array_add (functions, function);
  function->vendor = 0x10de;
  function->device = 0x2484;
  function->bars[0] = (VfioBar){ .start = 0xe0000000, .size = 0x1000000 };
  switch (kind)
    {
    case 0:
      host_function_parse_config (function, data, MIN (size, 4096));
      break;
    case 1:
      host_function_parse_resources (function, text);
      for (guint i = 0; i <= VFIO_HOST_ROM; i++)
        g_assert_cmpuint (function->bars[i].start, <=,
                          G_MAXUINT64 - (function->bars[i].size - (function->bars[i].size > 0)));
      break;
    case 2:
      host_display_parse_iomem (&inventory, text);
      break;
    case 3:
      host_names_parse (text, functions);
      g_assert_true (g_utf8_validate (function->name, -1, NULL));
      break;
    case 4:
      {
        g_autoptr (GError) error = NULL;
        g_autoptr (VfioQuirks) quirks = vfio_quirks_new_from_text (raw, &error);

        g_assert_true ((quirks == NULL) == (error != NULL));
        if (quirks != NULL)
          vfio_quirks_find (quirks, function, NULL);
        else
          g_assert_true (g_utf8_validate (error->message, -1, NULL));
        break;
      }
    case 5:
      if (vfio_address_parse (text, &address))
        {
          g_autofree char *back = vfio_address_to_string (address);
          VfioAddress again;

          g_assert_true (vfio_address_parse (back, &again));
          g_assert_true (vfio_address_equal (&address, &again));
        }
      break;
    default:
      host_function_parse_speed (text);
      break;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  FuzzInput input = { .data = data, .left = size };
  guint kind = (guint)fuzz_take (&input, 1);

  if (kind <= 6)
    read_one (kind, input.data, input.left);
  else
    read_tree (&input);
  return 0;
}
