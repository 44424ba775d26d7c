/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names of snapshot folders that are not published, before the id. */
#pragma once
#include "app/snapshot.h"

#define ALCOVE_SNAPSHOT_NEW     ".new-"  /* being made: undone when left over */
#define ALCOVE_SNAPSHOT_DELETED ".del-"  /* deleted: its leftovers are removed */
#define ALCOVE_SNAPSHOT_UNDO    ".undo-" /* the way back of a revert under way */
#define ALCOVE_SNAPSHOT_PENDING "pending"

#include "app/snapshot-work.h"

/* snapshot-create.c */
/* extra: (nullable) a set whose disks belong to it too. */
AlcoveSnapshot *alcove_snapshot_begin_with (const AlcoveSnapshotWork *work,
                                            const AlcoveSnapshotWords *words,
                                            const char *prefix,
                                            const AlcoveSnapshot *extra,
                                            GError **error);
/* Takes a hidden folder out of the tree, its disks and the file system. Safe to repeat. */
gboolean
alcove_snapshot_discard (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error);
AlcoveDefinition *alcove_snapshot_load_present (const char *machine_folder, GError **error);
/* Between steps: FALSE when the user wants the end. */
gboolean
alcove_snapshot_step (const AlcoveSnapshotWork *work, guint done, guint total, GError **error);

/* snapshot-revert.c */
/* Redoes or undoes a revert that was cut off. */
gboolean alcove_snapshot_recover_revert (const AlcoveSnapshotWork *work, GError **error);
