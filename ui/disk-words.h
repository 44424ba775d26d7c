/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is said of work on a disk: while it is done, and of its result. */
#pragma once
#include "app/machine-disks.h"

/* (transfer full) */
char *alcove_disk_dup_doing (const AlcoveDiskWork *spec);
/* (transfer full): a check's or a repair's result as one line. */
char *alcove_disk_dup_check_text (const AlcoveDiskResult *result);
/* (transfer full) (nullable): NULL: a check's result is a text of its own. */
char *
alcove_disk_dup_done (AlcoveDiskWorkKind kind, const char *disk, const AlcoveDiskResult *result);
