/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Disks of PCI functions, and what of the running system lies on them. */
#include <stdlib.h>
#include <string.h>
#include "vfio/host/inventory-private.h"

#define BLOCK_DEPTH 16
#define BLOCK_STEPS 4096
#define BLOCK       "/sys/class/block/"
#define SUBSYSTEM   "/nvme-subsystem/"

/* An NVMe namespace with several ways to it hangs on its subsystem, which names the controllers. */
static void
add_controllers (VfioTree *tree, VfioInventory *inventory, const char *real, GPtrArray *functions)
{
  const char *name = strstr (real, SUBSYSTEM) + strlen (SUBSYSTEM);
  g_autofree char *folder = g_strndup (real, (gsize)(name - real) + strcspn (name, "/"));
  g_auto (GStrv) entries = vfio_tree_list (tree, folder);

  for (guint i = 0; entries != NULL && entries[i] != NULL; i++)
    {
      g_autofree char *path = g_strconcat (folder, "/", entries[i], NULL);
      g_autofree char *link = vfio_tree_read_link (tree, path);
      g_autofree char *controller = link != NULL ? vfio_tree_resolve (tree, path) : NULL;
      VfioFunction *function =
          controller != NULL ? host_function_of_path (inventory, controller) : NULL;

      if (function != NULL && !g_ptr_array_find (functions, function, NULL))
        g_ptr_array_add (functions, function);
    }
}

static void
add_lowest (VfioTree *tree,
            VfioInventory *inventory,
            const char *name,
            guint depth,
            guint *steps,
            GPtrArray *functions,
            GPtrArray *names)
{
  g_autofree char *path = g_strconcat (BLOCK, name, NULL);
  g_autofree char *slaves_path = g_strconcat (path, "/slaves", NULL);
  g_autofree char *partition = g_strconcat (path, "/partition", NULL);
  g_autofree char *real = NULL;
  g_auto (GStrv) slaves = NULL;
  VfioFunction *function;

  if (depth >= BLOCK_DEPTH || ++*steps > BLOCK_STEPS || *name == '\0' || strchr (name, '/') != NULL)
    return;
  real = vfio_tree_resolve (tree, path);
  if (real == NULL)
    return;
  slaves = vfio_tree_list (tree, slaves_path);
  if (slaves != NULL && slaves[0] != NULL)
    {
      for (guint i = 0; slaves[i] != NULL; i++)
        add_lowest (tree, inventory, slaves[i], depth + 1, steps, functions, names);
      return;
    }
  if (vfio_tree_exists (tree, partition))
    {
      g_autofree char *above = g_path_get_dirname (real);
      g_autofree char *disk = g_path_get_basename (above);

      add_lowest (tree, inventory, disk, depth + 1, steps, functions, names);
      return;
    }
  if (names != NULL && !g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
    g_ptr_array_add (names, g_strdup (name));
  if (strstr (real, SUBSYSTEM) != NULL)
    add_controllers (tree, inventory, real, functions);
  function = host_function_of_path (inventory, real);
  if (function != NULL && !g_ptr_array_find (functions, function, NULL))
    g_ptr_array_add (functions, function);
}

GPtrArray *
host_storage_find_functions (VfioTree *tree,
                             VfioInventory *inventory,
                             const char *name,
                             GPtrArray *names)
{
  GPtrArray *functions = g_ptr_array_new ();
  guint steps = 0;

  add_lowest (tree, inventory, name, 0, &steps, functions, names);
  return functions;
}

static void
read_disks (VfioTree *tree, VfioInventory *inventory)
{
  g_auto (GStrv) names = vfio_tree_list (tree, "/sys/class/block");

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func (g_free);
      g_autoptr (GPtrArray) functions =
          host_storage_find_functions (tree, inventory, names[i], disks);

      if (disks->len != 1 || strcmp (g_ptr_array_index (disks, 0), names[i]) != 0)
        continue; /* a partition, or a volume above disks */
      for (guint k = 0; k < functions->len; k++)
        {
          VfioFunction *function = g_ptr_array_index (functions, k);
          VfioDisk *disk = g_new0 (VfioDisk, 1);

          disk->name = g_strdup (names[i]);
          g_ptr_array_add (function->disks, disk);
        }
    }
}

/* What the system is not itself without. */
static gboolean
is_system_mount (const char *mount)
{
  static const char *const system[] = { "/",     "/usr",      "/var",      "/etc",
                                        "/boot", "/boot/efi", "/efi",      "/sysroot",
                                        "/nix",  "/home",     "/var/home", "/nix/store" };

  for (guint i = 0; i < G_N_ELEMENTS (system); i++)
    if (strcmp (mount, system[i]) == 0)
      return TRUE;
  return FALSE;
}

static void
add_mount (VfioDisk *disk, const char *mount)
{
  guint n = disk->mounts != NULL ? g_strv_length (disk->mounts) : 0;

  if (n >= 64 || (n > 0 && g_strv_contains ((const char *const *)disk->mounts, mount)))
    return;
  disk->mounts = g_renew (char *, disk->mounts, n + 2);
  disk->mounts[n] = g_strdup (mount);
  disk->mounts[n + 1] = NULL;
}

/* mount: (nullable), else swap. Returns: is it known what hardware it lies on? */
static gboolean
mark (VfioTree *tree, VfioInventory *inventory, const char *block, const char *mount)
{
  g_autoptr (GPtrArray) disks = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) functions = host_storage_find_functions (tree, inventory, block, disks);

  for (guint i = 0; i < functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (functions, i);

      for (guint k = 0; k < function->disks->len; k++)
        {
          VfioDisk *disk = g_ptr_array_index (function->disks, k);

          if (!g_ptr_array_find_with_equal_func (disks, disk->name, g_str_equal, NULL))
            continue;
          if (mount == NULL)
            disk->swap = TRUE;
          else
            {
              add_mount (disk, mount);
              disk->root = disk->root || is_system_mount (mount);
            }
        }
    }
  /* On a card reader of the board, or a memory-mapped disk, it is on no PCI function for certain;
   * a virtual one (a loop over a file) leads on to where this does not look. */
  for (guint i = 0; i < disks->len && functions->len == 0; i++)
    {
      g_autofree char *path = g_strconcat (BLOCK, (char *)g_ptr_array_index (disks, i), NULL);
      g_autofree char *real = vfio_tree_resolve (tree, path);

      if (real != NULL && !g_str_has_prefix (real, "/sys/devices/virtual/"))
        return TRUE;
    }
  return functions->len > 0;
}

/* The name of the block device that a mount's source or numbers stand for. (transfer full)
 * (nullable) */
static char *
block_of (VfioTree *tree, const char *numbers, const char *source)
{
  g_autofree char *path = NULL, *real = NULL;

  if (numbers != NULL && !g_str_has_prefix (numbers, "0:"))
    {
      path = g_strconcat ("/sys/dev/block/", numbers, NULL);
      return strchr (numbers, '/') == NULL ? vfio_tree_read_link_name (tree, path) : NULL;
    }
  /* btrfs has numbers of its own; its source is a device. */
  if (!g_str_has_prefix (source, "/dev/"))
    return NULL;
  real = vfio_tree_resolve (tree, source);
  return g_path_get_basename (real != NULL ? real : source);
}

typedef struct
{
  char *point, *block, *type, *source, *options; /* block: (nullable) */
} Mount;

static void
mount_clear (gpointer data)
{
  Mount *mount = data;

  g_free (mount->point);
  g_free (mount->block);
  g_free (mount->type);
  g_free (mount->source);
  g_free (mount->options);
}

/* proc(5): id parent major:minor root mount-point options [tags] - type source options */
static GArray *
parse_mounts (VfioTree *tree, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", 16384);
  GArray *mounts = g_array_new (FALSE, FALSE, sizeof (Mount));

  g_array_set_clear_func (mounts, mount_clear);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines[i], " ", 64);
      guint n = g_strv_length (words), dash = 6;
      g_autofree char *point = NULL, *source = NULL;
      Mount mount;

      while (dash < n && strcmp (words[dash], "-") != 0)
        dash++;
      if (n < 10 || dash + 3 >= n)
        continue;
      point = g_strcompress (words[4]); /* \040 for a blank */
      source = g_strcompress (words[dash + 2]);
      mount.point = g_utf8_make_valid (point, -1);
      mount.source = g_utf8_make_valid (source, -1);
      mount.type = g_strdup (words[dash + 1]);
      mount.options = g_strdup (words[dash + 3]);
      mount.block = block_of (tree, words[2], mount.source);
      g_array_append_val (mounts, mount);
    }
  return mounts;
}

/* The members of a ZFS pool, which the kernel does not tell, as udev found them by their labels. */
static gboolean
mark_zfs (VfioTree *tree, VfioInventory *inventory, const Mount *mount)
{
  g_autofree char *pool = g_strndup (mount->source, strcspn (mount->source, "/"));
  g_autofree char *label = g_strdup_printf ("E:ID_FS_LABEL=%s\n", pool);
  g_auto (GStrv) names = vfio_tree_list (tree, "/run/udev/data");
  gboolean found = FALSE;

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *path = NULL, *text = NULL, *block = NULL;

      if (names[i][0] != 'b')
        continue;
      path = g_strconcat ("/run/udev/data/", names[i], NULL);
      text = vfio_tree_read_text (tree, path, 65536);
      if (text == NULL || strstr (text, "E:ID_FS_TYPE=zfs_member\n") == NULL ||
          strstr (text, label) == NULL)
        continue;
      block = block_of (tree, names[i] + 1, "");
      found = (block != NULL && mark (tree, inventory, block, mount->point)) || found;
    }
  return found;
}

/* btrfs names one of its disks only; sysfs has them all, by the file system. */
static void
mark_btrfs (VfioTree *tree, VfioInventory *inventory, const Mount *mount, const char *point)
{
  g_auto (GStrv) systems = vfio_tree_list (tree, "/sys/fs/btrfs");

  for (guint i = 0; systems != NULL && systems[i] != NULL; i++)
    {
      g_autofree char *path = g_strconcat ("/sys/fs/btrfs/", systems[i], "/devices", NULL);
      g_auto (GStrv) blocks = vfio_tree_list (tree, path);

      if (blocks == NULL || !g_strv_contains ((const char *const *)blocks, mount->block))
        continue;
      for (guint k = 0; blocks[k] != NULL; k++)
        mark (tree, inventory, blocks[k], point);
    }
}

/* Whose files these are: the mount with the longest path above them. "/" itself is not asked for. */
static const Mount *
mount_above (GArray *mounts, const char *path)
{
  const Mount *best = NULL;

  for (guint i = 0; i < mounts->len; i++)
    {
      const Mount *mount = &g_array_index (mounts, Mount, i);
      gsize len = strlen (mount->point);

      if (len > 1 && strncmp (path, mount->point, len) == 0 &&
          (path[len] == '/' || path[len] == '\0') && (best == NULL || len >= strlen (best->point)))
        best = mount;
    }
  return best;
}

static gboolean mark_mount (VfioTree *tree,
                            VfioInventory *inventory,
                            GArray *mounts,
                            const Mount *mount,
                            const char *point,
                            guint depth);

/* An overlay, as live systems have it: on what its layers lie on. */
static gboolean
mark_overlay (VfioTree *tree,
              VfioInventory *inventory,
              GArray *mounts,
              const Mount *mount,
              const char *point,
              guint depth)
{
  g_auto (GStrv) options = g_strsplit (mount->options, ",", 64);
  gboolean known = FALSE;

  for (guint i = 0; options[i] != NULL; i++)
    {
      const char *equal = strchr (options[i], '=');
      g_auto (GStrv) folders = NULL;

      if (equal == NULL || (!g_str_has_prefix (options[i], "lowerdir=") &&
                            !g_str_has_prefix (options[i], "upperdir=")))
        continue;
      folders = g_strsplit (equal + 1, ":", 64);
      for (guint k = 0; folders[k] != NULL; k++)
        {
          const Mount *below = mount_above (mounts, folders[k]);

          if (below == NULL || !mark_mount (tree, inventory, mounts, below, point, depth + 1))
            return FALSE;
          known = TRUE;
        }
    }
  return known;
}

/* Marks what a mount lies on as holding point. Returns: is it known what that is? */
static gboolean
mark_mount (VfioTree *tree,
            VfioInventory *inventory,
            GArray *mounts,
            const Mount *mount,
            const char *point,
            guint depth)
{
  /* On no disk of this host. */
  static const char *const elsewhere[] = { "tmpfs", "ramfs", "rootfs", "nfs",     "nfs4",
                                           "9p",    "ceph",  "cifs",   "virtiofs" };

  if (depth > 4)
    return FALSE;
  if (mount->block != NULL)
    {
      g_autofree char *path = g_strconcat (BLOCK, mount->block, "/loop/backing_file", NULL);
      g_autofree char *file =
          strchr (mount->block, '/') == NULL ? vfio_tree_read_line (tree, path) : NULL;
      const Mount *below = file != NULL ? mount_above (mounts, file) : NULL;

      if (below != NULL)
        return mark_mount (tree, inventory, mounts, below, point, depth + 1);
      if (strcmp (mount->type, "btrfs") == 0)
        mark_btrfs (tree, inventory, mount, point);
      return mark (tree, inventory, mount->block, point);
    }
  if (strcmp (mount->type, "zfs") == 0)
    return mark_zfs (tree, inventory, mount);
  if (strcmp (mount->type, "overlay") == 0)
    return mark_overlay (tree, inventory, mounts, mount, point, depth);
  for (guint i = 0; i < G_N_ELEMENTS (elsewhere); i++)
    if (strcmp (mount->type, elsewhere[i]) == 0)
      return TRUE;
  return FALSE;
}

static void
read_mounts (VfioTree *tree, VfioInventory *inventory, const char *text)
{
  g_autoptr (GArray) mounts = parse_mounts (tree, text);

  for (guint i = 0; i < mounts->len; i++)
    {
      const Mount *mount = &g_array_index (mounts, Mount, i);
      gboolean known, system = is_system_mount (mount->point);

      /* What overlays of containers lie on is mounted itself. */
      if (!system && mount->block == NULL && strcmp (mount->type, "zfs") != 0)
        continue;
      known = mark_mount (tree, inventory, mounts, mount, mount->point, 0);
      if (strcmp (mount->point, "/") == 0)
        inventory->platform.root_disk_known = known;
    }
}

static void
read_swaps (VfioTree *tree, VfioInventory *inventory, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", 256);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *name = NULL, *block = NULL;

      name = g_strndup (lines[i], strcspn (lines[i], " \t"));
      block = block_of (tree, NULL, name);
      if (block != NULL)
        mark (tree, inventory, block, NULL);
    }
}

static int
compare_text (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

void
host_storage_fill (VfioTree *tree, VfioInventory *inventory)
{
  g_autofree char *mounts = vfio_tree_read_text (tree, "/proc/1/mountinfo", VFIO_TREE_READ_MAX);
  g_autofree char *swaps = vfio_tree_read_text (tree, "/proc/swaps", 65536);

  if (mounts == NULL)
    mounts = vfio_tree_read_text (tree, "/proc/self/mountinfo", VFIO_TREE_READ_MAX);
  read_disks (tree, inventory);
  if (mounts != NULL)
    read_mounts (tree, inventory, mounts);
  if (swaps != NULL)
    read_swaps (tree, inventory, swaps);
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (inventory->functions, i);

      for (guint k = 0; k < function->disks->len; k++)
        {
          VfioDisk *disk = g_ptr_array_index (function->disks, k);

          if (disk->mounts != NULL)
            qsort (disk->mounts, g_strv_length (disk->mounts), sizeof *disk->mounts, compare_text);
        }
    }
}
