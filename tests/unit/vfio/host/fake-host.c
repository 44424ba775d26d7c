/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/vfio/host/fake-host.h"

#include <ftw.h>
#include <stdio.h>
#include "tests/vfio-tree/tree-maker.h"

static int
remove_one (const char *path, const struct stat *status, int kind, struct FTW *walk)
{
  return remove (path);
}

void
fake_host_remove (const char *folder)
{
  g_assert_cmpint (nftw (folder, remove_one, 32, FTW_DEPTH | FTW_PHYS), ==, 0);
}

FakeHost *
fake_host_new (const char *name, const char *changes)
{
  FakeHost *host = g_new0 (FakeHost, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *names = NULL, *text = NULL, *all = NULL;
  g_autofree char *path = g_strdup_printf (VFIO_TREES "/%s.tree", name);

  g_file_get_contents (VFIO_TREES "/names.tree", &names, NULL, &error);
  g_assert_no_error (error);
  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  all = g_strjoin ("\n", text, names, changes, NULL);
  /* Some thousand small files: in memory where that can be had. */
  host->folder = g_mkdtemp (g_strdup ("/dev/shm/fake-host-XXXXXX"));
  if (host->folder == NULL)
    host->folder = g_dir_make_tmp ("fake-host-XXXXXX", &error);
  g_assert_no_error (error);
  tree_maker_make (all, host->folder, &error);
  g_assert_no_error (error);
  host->tree = vfio_tree_open (host->folder, &error);
  g_assert_no_error (error);
  host->inventory = vfio_inventory_new (host->tree);
  return host;
}

void
fake_host_free (FakeHost *host)
{
  vfio_inventory_free (host->inventory);
  vfio_tree_free (host->tree);
  fake_host_remove (host->folder);
  g_free (host->folder);
  g_free (host);
}

VfioFunction *
fake_host_get (FakeHost *host, const char *address)
{
  VfioAddress parsed;
  VfioFunction *function;

  g_assert_true (vfio_address_parse (address, &parsed));
  function = vfio_inventory_find (host->inventory, parsed);
  g_assert_nonnull (function);
  return function;
}
