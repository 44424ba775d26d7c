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
} AlcoveCloneJob;

/* Fills folder with the disks and changes conf accordingly. */
gboolean
alcove_clone_disks (AlcoveCloneJob *job, AlcoveConfFile *conf, const char *folder, GError **error);
