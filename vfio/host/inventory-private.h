/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The parts of reading a host, each in its own file. */
#pragma once
#include "vfio/host/inventory.h"

#define HOST_FUNCTIONS_MAX 4096

/* function.c: what its folder in sysfs says. Returns: (transfer full). */
VfioFunction *host_function_new (VfioTree *tree, VfioAddress address);
void host_function_free (gpointer function);
/* data: 0 to 4096 bytes of configuration space, as they were read. */
void host_function_parse_config (VfioFunction *function, const guint8 *data, gsize size);
/* The text of the file "resource". */
void host_function_parse_resources (VfioFunction *function, const char *text);
/* "16.0 GT/s PCIe": in 0.1 GT/s; 0 for anything else. text: (nullable) */
guint host_function_parse_speed (const char *text);

/* inventory.c: the text of a group's reserved_regions. */
void host_group_parse_reserved (VfioGroup *group, const char *text);

/* mediated.c: what the function's driver can share it as. */
void host_mediated_read (VfioTree *tree, VfioFunction *function);

/* names.c: fills the names of all from pci.ids and the classes. */
void host_names_fill (VfioTree *tree, GPtrArray *functions);
/* text: pci.ids; the part that tests and the fuzzer reach. */
void host_names_parse (const char *text, GPtrArray *functions);

/* display.c: boot framebuffers, DRM cards and connectors. */
void host_display_fill (VfioTree *tree, VfioInventory *inventory);
/* The text of /proc/iomem. */
void host_display_parse_iomem (VfioInventory *inventory, const char *text);

/* users.c: device nodes, and the processes that have them open. */
void host_users_fill (VfioTree *tree, VfioInventory *inventory);

/* storage.c: disks and what is mounted from them. */
void host_storage_fill (VfioTree *tree, VfioInventory *inventory);
/* The functions that a block device of this name is on, through dm, md and partitions.
 * (transfer full) (element-type VfioFunction); names: (nullable) gets the disks' names. */
GPtrArray *host_storage_find_functions (VfioTree *tree,
                                        VfioInventory *inventory,
                                        const char *name,
                                        GPtrArray *names);

/* network.c: interfaces, and which of them the default routes use. */
void host_network_fill (VfioTree *tree, VfioInventory *inventory);

/* platform.c */
void host_platform_fill (VfioTree *tree, VfioInventory *inventory);
void host_platform_clear (VfioPlatform *platform);

/* The function that the last address in a path of sysfs names; NULL when there is none. */
VfioFunction *host_function_of_path (VfioInventory *inventory, const char *path);

/* cards.c: makes the cards; groups must be there. */
void host_cards_fill (VfioInventory *inventory);

#define HOST_CLASS_BASE(function) ((function)->class_code >> 16)
#define HOST_CLASS_SUB(function)  ((function)->class_code >> 8)
