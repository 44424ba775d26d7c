/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of this folder share. */
#pragma once
#include "vfio/bind/plan.h"

#define BIND_DEVICES   "/sys/bus/pci/devices"
#define BIND_DRIVERS   "/sys/bus/pci/drivers"
#define BIND_PROBE     "/sys/bus/pci/drivers_probe"
#define BIND_NODES     "/dev/vfio"
#define BIND_VFIO      "vfio-pci"
/* Of functions, and the one that all of them share; where the kernel has iommufd. */
#define BIND_OWN_NODES BIND_NODES "/devices"
#define BIND_IOMMU     "/dev/iommu"

/* A function's attribute. (transfer full) */
char *bind_dup_path (VfioAddress address, const char *name);
gboolean bind_exists (VfioTree *tree, VfioAddress address);
/* (transfer full) (nullable) */
char *bind_dup_driver (VfioTree *tree, VfioAddress address);

/* apply.c: what a node is: the numbers that the kernel says it has. FALSE: there is none such. */
gboolean bind_node_numbers (VfioTree *tree, const char *name, guint *ret_major, guint *ret_minor);
/* grant.c: gives a node back. */
gboolean bind_take_back (const VfioBindHost *host, const VfioGrant *grant, GError **error);
