/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveSnapshotRow: one snapshot in the list, as deep as it hangs in the tree. What the user wants
 * with it comes out of ::request: "revert", "edit", "export", "delete". Main thread only. */
#pragma once

#include <gtk/gtk.h>

#include "app/snapshot.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_SNAPSHOT_ROW (alcove_snapshot_row_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveSnapshotRow, alcove_snapshot_row, ALCOVE, SNAPSHOT_ROW, GtkListBoxRow)

GtkWidget *alcove_snapshot_row_new (AlcoveSnapshot *snapshot, gboolean here);
AlcoveSnapshot *alcove_snapshot_row_get_snapshot (AlcoveSnapshotRow *self);

G_END_DECLS
