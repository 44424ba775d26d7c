/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveSnapshotsPage: a machine's tree of snapshots: take one, go back to one, edit, delete (with
 * undo), make a machine from one. It follows the folder, whoever changes it. Toasts go to the
 * AdwToastOverlay that it is in. Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/machine.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_SNAPSHOTS_PAGE (alcove_snapshots_page_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveSnapshotsPage, alcove_snapshots_page, ALCOVE, SNAPSHOTS_PAGE, AdwBin)

/* Once. */
void alcove_snapshots_page_set_machine (AlcoveSnapshotsPage *self, AlcoveMachine *machine);

G_END_DECLS
