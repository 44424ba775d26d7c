/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A faked host for a test: one of tests/vfio-tree/trees, with changes. */
#pragma once
#include "vfio/host/inventory.h"

typedef struct
{
  char *folder;
  VfioTree *tree;
  VfioInventory *inventory;
} FakeHost;

/* name: "desktop". changes: (nullable) more lines of a description. */
FakeHost *fake_host_new (const char *name, const char *changes);
void fake_host_free (FakeHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeHost, fake_host_free)
/* Fails the test when there is none. */
VfioFunction *fake_host_get (FakeHost *host, const char *address);
/* Removes a folder and what is in it. */
void fake_host_remove (const char *folder);
