/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Network interfaces of PCI functions (also of what hangs on their USB), and the default routes. */
#include <string.h>
#include "vfio/host/inventory-private.h"

#define NET_DEPTH 8

/* Adds the interfaces below a bridge, bond or VLAN, or itself. */
static void
add_lowest (VfioTree *tree, GHashTable *names, const char *name, guint depth)
{
  g_autofree char *path = g_strconcat ("/sys/class/net/", name, NULL);
  g_auto (GStrv) entries = NULL;

  if (depth >= NET_DEPTH || strchr (name, '/') != NULL ||
      !g_hash_table_add (names, g_strdup (name)))
    return;
  entries = vfio_tree_list (tree, path);
  for (guint i = 0; entries != NULL && entries[i] != NULL; i++)
    if (g_str_has_prefix (entries[i], "lower_"))
      add_lowest (tree, names, entries[i] + strlen ("lower_"), depth + 1);
}

/* /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask …, hexadecimal. */
static void
add_routes4 (VfioTree *tree, GHashTable *names, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", 4096);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) words = g_strsplit_set (lines[i], "\t ", 12);

      if (g_strv_length (words) >= 8 && strcmp (words[1], "00000000") == 0 &&
          strcmp (words[7], "00000000") == 0)
        add_lowest (tree, names, words[0], 0);
    }
}

/* /proc/net/ipv6_route: destination, its prefix length, …, flags, interface. Rejecting routes
 * (flag 0x200) lead nowhere. */
static void
add_routes6 (VfioTree *tree, GHashTable *names, const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", 4096);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) all = g_strsplit_set (lines[i], "\t ", 64);
      g_autoptr (GPtrArray) words = g_ptr_array_new ();

      for (guint k = 0; all[k] != NULL; k++)
        if (*all[k] != '\0')
          g_ptr_array_add (words, all[k]);
      if (words->len == 10 &&
          strcmp (g_ptr_array_index (words, 0), "00000000000000000000000000000000") == 0 &&
          strcmp (g_ptr_array_index (words, 1), "00") == 0 &&
          (g_ascii_strtoull (g_ptr_array_index (words, 8), NULL, 16) & 0x200) == 0 &&
          strcmp (g_ptr_array_index (words, 9), "lo") != 0)
        add_lowest (tree, names, g_ptr_array_index (words, 9), 0);
    }
}

void
host_network_fill (VfioTree *tree, VfioInventory *inventory)
{
  g_autoptr (GHashTable) routes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autofree char *routes4 = vfio_tree_read_text (tree, "/proc/net/route", 1024 * 1024);
  g_autofree char *routes6 = vfio_tree_read_text (tree, "/proc/net/ipv6_route", 1024 * 1024);
  g_auto (GStrv) names = vfio_tree_list (tree, "/sys/class/net");

  if (routes4 != NULL)
    add_routes4 (tree, routes, routes4);
  if (routes6 != NULL)
    add_routes6 (tree, routes, routes6);
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *path = g_strconcat ("/sys/class/net/", names[i], NULL);
      g_autofree char *state_path = g_strconcat (path, "/operstate", NULL);
      g_autofree char *state = vfio_tree_read_line (tree, state_path);
      g_autofree char *real = vfio_tree_resolve (tree, path);
      VfioFunction *function = real != NULL ? host_function_of_path (inventory, real) : NULL;
      VfioNet *net;

      if (function == NULL)
        continue;
      net = g_new0 (VfioNet, 1);
      net->name = g_strdup (names[i]);
      net->up = state != NULL && strcmp (state, "up") == 0;
      net->default_route = g_hash_table_contains (routes, names[i]);
      g_ptr_array_add (function->nets, net);
    }
}
