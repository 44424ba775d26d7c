/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making, reverting to and deleting snapshots so that a crash at any instant leaves the old set of
 * files or the new one.
 *
 * Creating: a hidden folder with snapshot.conf comes first (it says which disks may hold unpublished
 * internal snapshots), then disks and files; "current" already names the new one; the rename that
 * publishes the folder is the instant it exists. Deleting: a rename hides the folder; then the
 * disks forget it. Reverting: the way back is a set of its own (hidden, or kept as a snapshot);
 * "pending" names both; from then on the revert is redone after a crash, or undone when it cannot
 * be done.
 *
 * The caller holds the lock of the snapshots folder, and the machine's too unless it says
 * otherwise (alcove_snapshots_lock). All functions may take long: not on the main thread. Errors
 * name disk or file, cause and remedy. Thread: any, one at a time. */
#pragma once
#include "app/definition.h"
#include "app/disk-access.h"
#include "app/lock.h"

typedef struct
{
  const char *folder; /* the machine's */
  const AlcoveDiskAccess *access;
  const BlockProgress *progress; /* (nullable): steps done of all; asks to go on */
} AlcoveSnapshotWork;

typedef struct
{
  const char *name;   /* (nullable): from the time */
  const char *note;   /* (nullable) */
  const char *reason; /* (nullable): not NULL makes it an automatic one */
} AlcoveSnapshotWords;

/* (transfer full). what: "takes a snapshot". Errors: ALCOVE_ERROR_BUSY. */
AlcoveLock *alcove_snapshots_lock (const char *machine_folder, const char *what, GError **error);

/* What a crash left: redone or undone. To be called with both locks before a machine starts or its
 * disks are used, and with the snapshots' lock before any of the below. A pending revert that can
 * be neither redone nor undone is an error; other leftovers stay until next time. */
gboolean alcove_snapshots_recover (const AlcoveSnapshotWork *work, GError **error);
/* Cheap: is there anything for recover to do? */
gboolean alcove_snapshots_need_recovery (const char *machine_folder);
/* Is a revert among that? Then the recovery may bring a saved state, or take it away. */
gboolean alcove_snapshots_is_reverting (const char *machine_folder);

/* Creating, step by step. begin makes the hidden folder; then either capture (machine off), or
 * whatever a running machine does into the folder and note_running; then publish. A set that is not
 * published is given to drop. */
AlcoveSnapshot *alcove_snapshot_begin (const AlcoveSnapshotWork *work,
                                       const AlcoveSnapshotWords *words,
                                       GError **error);
gboolean
alcove_snapshot_capture (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error);
/* The machine has written the folder ALCOVE_SNAPSHOT_SAVED in the set's and its disks' internal
 * snapshots. */
gboolean
alcove_snapshot_note_running (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error);
gboolean
alcove_snapshot_publish (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error);
void alcove_snapshot_drop (const AlcoveSnapshotWork *work, AlcoveSnapshot *set);

/* All of it, for a machine that is off. ret_id: (nullable) (transfer full). */
gboolean alcove_snapshots_create (const AlcoveSnapshotWork *work,
                                  const AlcoveSnapshotWords *words,
                                  char **ret_id,
                                  GError **error);

/* The machine is off. keep: the present state becomes an automatic snapshot first. Errors: a disk
 * that is missing or another one than the snapshot's, no space: then everything is as before. */
gboolean alcove_snapshots_revert (const AlcoveSnapshotWork *work,
                                  const char *id,
                                  gboolean keep,
                                  GError **error);

/* Its children hang on its parent afterwards. ret_left: (nullable) (transfer full): why its space is
 * not given back yet (it will be at the next opportunity), else NULL. */
gboolean alcove_snapshots_delete (const AlcoveSnapshotWork *work,
                                  const char *id,
                                  char **ret_left,
                                  GError **error);
/* name, note: (nullable): as it is. The machine may run. */
gboolean alcove_snapshots_edit (
    const char *machine_folder, const char *id, const char *name, const char *note, GError **error);
/* Deletes the oldest automatic snapshots of a schedule beyond keep. */
gboolean alcove_snapshots_prune (const AlcoveSnapshotWork *work, guint keep, GError **error);

/* Can this set be used: all its disks there and the ones it was made of? (Opens them.) */
gboolean
alcove_snapshot_check (const AlcoveSnapshotWork *work, AlcoveSnapshot *set, GError **error);
/* (transfer full): the definition of a set, as a definition of the machine in machine_folder. */
AlcoveDefinition *alcove_snapshot_load_definition (const AlcoveSnapshot *set,
                                                   const char *machine_folder,
                                                   GError **error);
