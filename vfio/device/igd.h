/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is known of the graphics that Intel builds into processors: which generation a device id is,
 * what its control register says of the memory that the host's firmware has set aside for it (stolen
 * memory), and what an OpRegion, the table that firmware leaves for its driver, has to look like.
 * No state, no calls of the system. Spec: Intel, IGD OpRegion Specification; Intel, datasheets of the
 * processors, registers GGC and BDSM. Threads: any. */
#pragma once
#include <glib.h>

/* Configuration space. */
#define VFIO_IGD_GGC       0x50 /* graphics control, 2 bytes: how much memory is set aside */
#define VFIO_IGD_BDSM      0x5c /* where that memory is, 4 bytes; to generation 10 */
#define VFIO_IGD_BDSM_WIDE 0xc0 /* the same in 8 bytes, from generation 11 */
#define VFIO_IGD_ASLS      0xfc /* where the OpRegion is, 4 bytes */
/* The same registers once more, in BAR 0. */
#define VFIO_IGD_MMIO_GGC  0x108040
#define VFIO_IGD_MMIO_BDSM 0x1080c0

typedef struct
{
  guint16 value, mask; /* device id & mask == value */
  guint8 generation;
  gboolean
      own_window; /* it reaches stolen memory through a BAR of its own: nothing to do about it */
  const char *name;
} VfioIgdFamily;

/* (nullable): of a PCI device id of vendor 8086. */
const VfioIgdFamily *vfio_igd_find (guint16 device);
/* Bytes of stolen memory that the control register tells of; 0: none, or a value without a meaning. */
guint64 vfio_igd_get_stolen_size (const VfioIgdFamily *family, guint16 ggc);
/* The register without them. The size of the translation table stays. */
guint16 vfio_igd_without_stolen (const VfioIgdFamily *family, guint16 ggc);

#define VFIO_IGD_OPREGION_SIZE 0x2000u   /* without what follows it */
#define VFIO_IGD_OPREGION_MAX  0x102000u /* bytes that are believed */

/**
 * vfio_igd_check_opregion:
 * @bytes: a copy of it, with the table of outputs (VBT) that may follow
 * @ret_has_vbt: (out): a table of outputs is in it or behind it
 *
 * Also corrects what would send the guest's driver to a place of the host.
 * Returns: (transfer full) (nullable): what is wrong with it, in words; NULL: it can be shown.
 */
char *vfio_igd_check_opregion (guint8 *bytes, gsize size, gboolean *ret_has_vbt);
