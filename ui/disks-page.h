/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveDisksPage: a machine's disks and CD-ROM drives: what they are and take; check, repair, compact,
 * resize, add, remove (with undo), insert and eject. It looks when it is shown, when the definition
 * changes, and after what it does. Toasts go to the AdwToastOverlay that it is in. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/machine.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_DISKS_PAGE (alcove_disks_page_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveDisksPage, alcove_disks_page, ALCOVE, DISKS_PAGE, AdwBin)

/* Once. */
void alcove_disks_page_set_machine (AlcoveDisksPage *self, AlcoveMachine *machine);

G_END_DECLS
