/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The device nodes of PCI functions, and the processes that have them open. A process's descriptor
 * is a device's when it leads to the device's numbers; in a faked tree, which can hold no device
 * nodes, when it leads to its name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "vfio/host/inventory-private.h"

#define NODES_MAX       512 /* a function */
#define HOLDERS_MAX     256
#define DESCRIPTORS_MAX 65536 /* a process */
#define NVIDIA_MAJOR    195

/* The keys of the table of nodes: numbers on the live host, "/dev/NAME" in a faked tree. */
typedef struct
{
  VfioTree *tree;
  GHashTable *nodes; /* char * -> Target */
  gboolean complete;
} Users;

typedef struct
{
  GPtrArray *functions; /* borrowed VfioFunction */
  const char *name;
} Target;

static void
target_free (gpointer data)
{
  Target *target = data;

  g_ptr_array_unref (target->functions);
  g_free (target);
}

static char *
key_of (gboolean live, gboolean block, guint32 major_number, guint32 minor_number, const char *name)
{
  if (live)
    return g_strdup_printf ("%c%u:%u", block ? 'b' : 'c', major_number, minor_number);
  return g_strconcat ("/dev/", name, NULL);
}

static void
add_node (Users *users,
          VfioFunction *function,
          gboolean block,
          guint32 major_number,
          guint32 minor_number,
          const char *name)
{
  g_autofree char *key =
      key_of (vfio_tree_is_live (users->tree), block, major_number, minor_number, name);
  VfioNode *node;
  Target *target;

  if (function->nodes->len >= NODES_MAX)
    return;
  node = g_new0 (VfioNode, 1);
  node->name = g_strdup (name);
  node->major = major_number;
  node->minor = minor_number;
  node->block = block;
  g_ptr_array_add (function->nodes, node);
  target = g_hash_table_lookup (users->nodes, key);
  if (target == NULL)
    {
      target = g_new0 (Target, 1);
      target->functions = g_ptr_array_new ();
      target->name = node->name;
      g_hash_table_insert (users->nodes, g_steal_pointer (&key), target);
    }
  g_ptr_array_add (target->functions, function);
}

static gboolean
parse_numbers (const char *text, guint32 *ret_major, guint32 *ret_minor)
{
  g_auto (GStrv) words = g_strsplit (text, ":", 3);
  guint64 value[2];

  if (g_strv_length (words) != 2 ||
      !g_ascii_string_to_unsigned (words[0], 10, 0, G_MAXUINT32, &value[0], NULL) ||
      !g_ascii_string_to_unsigned (words[1], 10, 0, G_MAXUINT32, &value[1], NULL))
    return FALSE;
  *ret_major = (guint32)value[0];
  *ret_minor = (guint32)value[1];
  return TRUE;
}

/* The name that devtmpfs gives it, from the file uevent. (transfer full) (nullable) */
static char *
node_name (VfioTree *tree, const char *path)
{
  g_autofree char *uevent = g_strconcat (path, "/uevent", NULL);
  g_autofree char *text = vfio_tree_read_text (tree, uevent, 4096);
  const char *name = text != NULL ? strstr (text, "DEVNAME=") : NULL;

  if (name == NULL)
    return NULL;
  name += strlen ("DEVNAME=");
  return g_strndup (name, strcspn (name, "\n"));
}

/* kind: "char" or "block"; sysfs has every device there by its numbers. */
static void
read_nodes (Users *users, VfioInventory *inventory, const char *kind)
{
  g_autofree char *folder = g_strconcat ("/sys/dev/", kind, NULL);
  g_auto (GStrv) names = vfio_tree_list (users->tree, folder);
  gboolean block = *kind == 'b';

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *path = g_strconcat (folder, "/", names[i], NULL);
      g_autofree char *link = vfio_tree_read_link (users->tree, path);
      g_autofree char *name = NULL;
      g_autoptr (GPtrArray) functions = NULL;
      guint32 major_number, minor_number;

      if (link == NULL || !parse_numbers (names[i], &major_number, &minor_number))
        continue;
      if (block)
        {
          g_autofree char *disk = g_path_get_basename (link);

          functions = host_storage_find_functions (users->tree, inventory, disk, NULL);
        }
      else
        {
          VfioFunction *function = host_function_of_path (inventory, link);

          functions = g_ptr_array_new ();
          if (function != NULL)
            g_ptr_array_add (functions, function);
        }
      if (functions->len == 0)
        continue;
      name = node_name (users->tree, path);
      for (guint k = 0; name != NULL && k < functions->len; k++)
        add_node (users, g_ptr_array_index (functions, k), block, major_number, minor_number, name);
    }
}

/* NVIDIA's own driver makes nodes that sysfs does not know. */
static void
read_nvidia (Users *users, VfioInventory *inventory)
{
  g_auto (GStrv) names = vfio_tree_list (users->tree, "/proc/driver/nvidia/gpus");

  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *path =
          g_strconcat ("/proc/driver/nvidia/gpus/", names[i], "/information", NULL);
      g_autofree char *text = vfio_tree_read_text (users->tree, path, 65536);
      const char *line = text != NULL ? strstr (text, "Device Minor:") : NULL;
      VfioFunction *function = NULL;
      VfioAddress address;

      if (vfio_address_parse (names[i], &address))
        function = vfio_inventory_find (inventory, address);
      if (function != NULL && line != NULL)
        {
          guint64 number = g_ascii_strtoull (line + strlen ("Device Minor:"), NULL, 10);
          g_autofree char *name = g_strdup_printf ("nvidia%u", (guint)MIN (number, 255));

          if (number < 255)
            add_node (users, function, FALSE, NVIDIA_MAJOR, (guint32)number, name);
        }
    }
}

static void
read_vfio (Users *users, VfioInventory *inventory)
{
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (inventory->functions, i);
      g_autofree char *path = NULL, *name = NULL;
      struct stat status;
      int fd;

      if (!function->driver_vfio || function->group == NULL)
        continue;
      name = g_strdup_printf ("vfio/%s%u", function->group->noiommu ? "noiommu-" : "",
                              function->group->id);
      path = g_strconcat ("/dev/", name, NULL);
      fd = vfio_tree_open_fd (users->tree, path, O_PATH);
      if (fd < 0)
        continue;
      if (fstat (fd, &status) == 0)
        add_node (users, function, FALSE, major (status.st_rdev), minor (status.st_rdev), name);
      close (fd);
    }
}

static void
add_holder (VfioFunction *function, gint pid, const char *process, const char *node)
{
  VfioHolder *holder;

  for (guint i = 0; i < function->holders->len; i++)
    {
      holder = g_ptr_array_index (function->holders, i);
      if (holder->pid == pid && strcmp (holder->node, node) == 0)
        return;
    }
  if (function->holders->len >= HOLDERS_MAX)
    return;
  holder = g_new0 (VfioHolder, 1);
  holder->pid = pid;
  holder->name = g_strdup (process);
  holder->node = g_strdup (node);
  g_ptr_array_add (function->holders, holder);
}

static void
look_at_descriptor (Users *users, int folder, const char *name, gint pid)
{
  g_autofree char *key = NULL;
  char link[256];
  ssize_t n = readlinkat (folder, name, link, sizeof link - 1);
  struct stat status;
  Target *target;

  if (n <= 0)
    return;
  link[n] = '\0';
  /* Only devices are looked at more closely: a file on a dead server would keep us waiting. */
  if (!g_str_has_prefix (link, "/dev/"))
    return;
  if (vfio_tree_is_live (users->tree))
    {
      if (fstatat (folder, name, &status, 0) < 0 ||
          (!S_ISCHR (status.st_mode) && !S_ISBLK (status.st_mode)))
        return;
      key = key_of (TRUE, S_ISBLK (status.st_mode), major (status.st_rdev), minor (status.st_rdev),
                    NULL);
    }
  else
    key = g_strdup (link);
  target = g_hash_table_lookup (users->nodes, key);
  if (target != NULL)
    {
      g_autofree char *path = g_strdup_printf ("/proc/%d/comm", pid);
      g_autofree char *process = vfio_tree_read_line (users->tree, path);

      for (guint i = 0; i < target->functions->len; i++)
        add_holder (g_ptr_array_index (target->functions, i), pid,
                    process != NULL && *process != '\0' ? process : "?", target->name);
    }
}

static void
look_at_process (Users *users, gint pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", pid);
  struct dirent *entry;
  DIR *dir;
  int fd;

  fd = vfio_tree_open_fd (users->tree, path, O_RDONLY | O_DIRECTORY);
  if (fd == -EACCES || fd == -EPERM)
    users->complete = FALSE;
  if (fd < 0)
    return;
  dir = fdopendir (fd);
  if (dir == NULL)
    {
      close (fd);
      return;
    }
  for (guint i = 0; i < DESCRIPTORS_MAX && (entry = readdir (dir)) != NULL; i++)
    if (g_ascii_isdigit (entry->d_name[0]))
      look_at_descriptor (users, dirfd (dir), entry->d_name, pid);
  closedir (dir);
}

static int
compare_nodes (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(VfioNode *const *)a)->name, (*(VfioNode *const *)b)->name);
}

static int
compare_holders (gconstpointer a, gconstpointer b)
{
  const VfioHolder *x = *(VfioHolder *const *)a, *y = *(VfioHolder *const *)b;

  return x->pid != y->pid ? (x->pid > y->pid) - (x->pid < y->pid) : strcmp (x->node, y->node);
}

void
host_users_fill (VfioTree *tree, VfioInventory *inventory)
{
  Users users = { .tree = tree, .complete = TRUE };
  g_auto (GStrv) processes = vfio_tree_list (tree, "/proc");
  guint64 pid;

  users.nodes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, target_free);
  read_nodes (&users, inventory, "char");
  read_nodes (&users, inventory, "block");
  read_nvidia (&users, inventory);
  read_vfio (&users, inventory);
  for (guint i = 0; processes != NULL && processes[i] != NULL; i++)
    if (g_ascii_string_to_unsigned (processes[i], 10, 1, G_MAXINT32, &pid, NULL))
      look_at_process (&users, (gint)pid);
  inventory->platform.processes_complete = users.complete;
  g_hash_table_unref (users.nodes);
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (inventory->functions, i);

      g_ptr_array_sort (function->nodes, compare_nodes);
      g_ptr_array_sort (function->holders, compare_holders);
    }
}
