/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who uses a function through vfio, and whether this process may. */
#include <string.h>
#include <unistd.h>

#include "vfio/bind/bind-private.h"
#include "vfio/bind/bind.h"

int
vfio_bind_get_group (VfioTree *tree, VfioAddress address)
{
  g_autofree char *path = bind_dup_path (address, "iommu_group");
  g_autofree char *name = vfio_tree_read_link_name (tree, path);
  guint64 group;

  if (name == NULL || !g_ascii_string_to_unsigned (name, 10, 0, G_MAXINT, &group, NULL))
    return -1;
  return (int)group;
}

/* The nodes of a function: its group's and its own. (transfer full) */
static GStrv
dup_nodes (VfioTree *tree, VfioAddress address)
{
  g_autoptr (GStrvBuilder) nodes = g_strv_builder_new ();
  g_autofree char *folder = bind_dup_path (address, "vfio-dev");
  g_auto (GStrv) names = vfio_tree_list (tree, folder);
  int group = vfio_bind_get_group (tree, address);

  if (group >= 0)
    {
      g_autofree char *node = g_strdup_printf (BIND_NODES "/%d", group);

      g_strv_builder_add (nodes, node);
    }
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *node = g_strconcat (BIND_OWN_NODES "/", names[i], NULL);

      g_strv_builder_add (nodes, node);
    }
  return g_strv_builder_end (nodes);
}

static gboolean
process_has (VfioTree *tree, const char *pid, const char *const *nodes)
{
  g_autofree char *folder = g_strconcat ("/proc/", pid, "/fd", NULL);
  g_auto (GStrv) fds = vfio_tree_list (tree, folder);

  for (guint i = 0; fds != NULL && fds[i] != NULL; i++)
    {
      g_autofree char *path = g_strconcat (folder, "/", fds[i], NULL);
      g_autofree char *target = vfio_tree_read_link (tree, path);

      if (target != NULL && g_strv_contains (nodes, target))
        return TRUE;
    }
  return FALSE;
}

char *
vfio_bind_dup_user (VfioTree *tree, VfioAddress address)
{
  g_auto (GStrv) nodes = dup_nodes (tree, address), pids = NULL;

  if (nodes[0] == NULL)
    return NULL;
  pids = vfio_tree_list (tree, "/proc");
  for (guint i = 0; pids != NULL && pids[i] != NULL; i++)
    if (g_ascii_isdigit (pids[i][0]) && process_has (tree, pids[i], (const char *const *)nodes))
      {
        g_autofree char *path = g_strconcat ("/proc/", pids[i], "/comm", NULL);
        g_autofree char *name = vfio_tree_read_line (tree, path);

        return g_strdup_printf ("%s (process %s)", name != NULL ? name : "a program", pids[i]);
      }
  return NULL;
}

static gboolean
may_open (VfioTree *tree, const char *node)
{
  g_autofree char *path = g_strconcat (vfio_tree_get_root (tree), node, NULL);

  return access (path, R_OK | W_OK) == 0;
}

gboolean
vfio_bind_is_ready (VfioTree *tree, VfioAddress address)
{
  g_autofree char *driver = bind_dup_driver (tree, address);
  g_auto (GStrv) nodes = NULL;
  guint n = 0;

  if (g_strcmp0 (driver, BIND_VFIO) != 0)
    return FALSE;
  nodes = dup_nodes (tree, address);
  for (guint i = 0; nodes[i] != NULL; i++)
    {
      gboolean own = g_str_has_prefix (nodes[i], BIND_OWN_NODES "/");

      /* A group's node is enough. */
      if (!own && vfio_tree_exists (tree, nodes[i]))
        return may_open (tree, nodes[i]);
      if (own && !may_open (tree, nodes[i]))
        return FALSE;
      n += own ? 1 : 0;
    }
  return n > 0 && may_open (tree, BIND_IOMMU);
}
