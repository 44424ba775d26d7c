/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is known of single cards, by their PCI ids: data/passthrough-quirks, which says its form.
 * Thread: any; never changes after it was made. */
#pragma once
#include "vfio/host/inventory.h"

typedef struct _VfioQuirks VfioQuirks;

typedef enum
{
  HOST_QUIRK_RESET = 1 << 0,    /* does not come back from a reset: one start a boot */
  HOST_QUIRK_DISPUTED = 1 << 1, /* … for some people */
  HOST_QUIRK_D3 = 1 << 2,       /* does not wake up from its deepest sleep */
} VfioQuirkFlags;

/**
 * vfio_quirks_new_from_text:
 * @text: the file's contents
 *
 * Returns: (transfer full) (nullable): NULL for a mistake, with its line in the message.
 */
VfioQuirks *vfio_quirks_new_from_text (const char *text, GError **error);
/* The installed file, or the one that ALCOVE_QUIRKS names. (transfer full) (nullable) */
VfioQuirks *vfio_quirks_load (GError **error);
void vfio_quirks_free (VfioQuirks *quirks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (VfioQuirks, vfio_quirks_free)

/* 0: nothing is known. ret_name: (nullable) (transfer none): the family's name, "Navi 10". */
VfioQuirkFlags
vfio_quirks_find (const VfioQuirks *quirks, const VfioFunction *function, const char **ret_name);
