/* SPDX-License-Identifier: GPL-3.0-or-later */
/* AlcoveDiskRow: one disk or CD-ROM drive in the list, with its menu (a button, the secondary mouse
 * button, Shift+F10). What is asked for comes out of ::request: "check", "repair", "compact",
 * "resize", "remove", "insert" or "eject". Main thread only. */
#pragma once

#include <adwaita.h>

#include "app/machine-disks.h"

G_BEGIN_DECLS

#define ALCOVE_TYPE_DISK_ROW (alcove_disk_row_get_type ())
G_DECLARE_FINAL_TYPE (AlcoveDiskRow, alcove_disk_row, ALCOVE, DISK_ROW, GtkListBoxRow)

GtkWidget *alcove_disk_row_new (AlcoveMachineDisk *disk, const char *check, gboolean check_found);
AlcoveMachineDisk *alcove_disk_row_get_disk (AlcoveDiskRow *self);

G_END_DECLS
