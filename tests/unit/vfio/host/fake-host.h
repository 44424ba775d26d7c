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

/* Changes of the laptop: its graphics can be shared in two ways, of which one is used up; and one is
 * there. */
#define FAKE_MEDIATED_UUID "11111111-2222-4333-8444-555555555555"
#define FAKE_MEDIATED_AT   "/sys/devices/pci0000:00/0000:00:02.0"
#define FAKE_MEDIATED_KIND FAKE_MEDIATED_AT "/mdev_supported_types/i915-GVTg_V5_"
#define FAKE_MEDIATED                                                                              \
  "file " FAKE_MEDIATED_KIND "4/available_instances 2\n"                                           \
  "file " FAKE_MEDIATED_KIND "4/device_api vfio-pci\n"                                             \
  "file " FAKE_MEDIATED_KIND "4/name GVTg_V5_4\n"                                                  \
  "file " FAKE_MEDIATED_KIND "4/description \"low_gm_size: 128MB\"\n"                              \
  "file " FAKE_MEDIATED_KIND "8/available_instances 0\n"                                           \
  "file " FAKE_MEDIATED_KIND "9/device_api vfio-ccw\n"
#define FAKE_MEDIATED_THERE                                                                        \
  FAKE_MEDIATED "link " FAKE_MEDIATED_KIND "4/devices/" FAKE_MEDIATED_UUID                         \
                " ../../../" FAKE_MEDIATED_UUID "\n"                                               \
                "link " FAKE_MEDIATED_AT "/" FAKE_MEDIATED_UUID                                    \
                "/iommu_group ../../../../kernel/iommu_groups/40\n"                                \
                "dir " FAKE_MEDIATED_KIND "4/devices/not-one\n"
