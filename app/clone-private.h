/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by clone.c (machines) and clone-disks.c (their disks). */
#pragma once
#include "app/clone.h"
#include "app/progress.h"
#include "app/snapshot-work.h"

typedef struct
{
  AlcoveCloneSpec spec; /* strings owned */
  char *machines, *source;
  AlcoveReporter *reporter;
  GCancellable *cancellable;
  AlcoveDefinition *definition; /* of the state that is copied, as of the source's folder */
  AlcoveSnapshot *set;          /* (nullable): that state is a snapshot */
  guint64 done, total;          /* bytes of disks */
  guint runner;                 /* the process that runs the source; 0: nobody, it is locked */
  gboolean changed_hands;       /* it was not that process to the end */
} AlcoveCloneJob;

/* Is what was read of an image the snapshot, whole? While the same process runs the machine it is: it
 * alone writes the image, and never what an internal snapshot holds; the lock of the snapshots, which
 * the job has, keeps that one from being deleted. unlocked: the image was opened without its lock.
 * Errors: BUSY, with changed_hands. */
gboolean alcove_clone_check_source (AlcoveCloneJob *job,
                                    const AlcoveDiskConfig *disk,
                                    gboolean unlocked,
                                    GError **error);

/* Fills folder with the disks and changes conf accordingly. */
gboolean
alcove_clone_disks (AlcoveCloneJob *job, AlcoveConfFile *conf, const char *folder, GError **error);
