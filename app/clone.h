/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Copies of a machine: full ones, and linked ones whose disks are overlays on a shared read-only
 * base. A copy has its own uuid and hardware addresses; disk serials stay. It starts afresh: memory
 * is not copied.
 *
 * Bases lie beside the machines folder, in "bases", one file for each disk of a snapshot, made when
 * the first linked clone wants it. Nothing counts who uses one: machines are asked (those in the
 * trash too). Threads: the work runs on a GTask thread, under the source's lock. */
#pragma once
#include "app/create.h"

typedef struct
{
  const char *name;     /* of the new machine */
  const char *snapshot; /* (nullable): the present state, of a machine that is off; the machine of a
                         * snapshot may run */
  gboolean linked;      /* of the present state: it becomes a snapshot of the source first */
} AlcoveCloneSpec;

/* source_folder: the machine's; machines_folder: where the new one goes. Errors name disk, cause and
 * remedy; then nothing new is there. */
void alcove_clone_async (const char *machines_folder,
                         const char *source_folder,
                         const AlcoveCloneSpec *spec,
                         AlcoveProgressFunc progress,
                         gpointer progress_data,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data);
/* (transfer full): the new machine's folder. */
char *alcove_clone_finish (GAsyncResult *result, GError **error);

typedef struct
{
  char *name;       /* file name in the bases folder */
  guint64 size;     /* bytes it takes on the host */
  GPtrArray *users; /* of char *: names of the machines that need it */
} AlcoveBase;
void alcove_base_free (AlcoveBase *base);
/* (transfer full): of AlcoveBase. Errors: the folder cannot be read; a missing one is empty. */
GPtrArray *alcove_bases_list (const char *machines_folder, GError **error);
/* Errors: ALCOVE_ERROR_BUSY names who needs it. */
gboolean alcove_bases_delete (const char *machines_folder, const char *name, GError **error);
/* (transfer full) */
char *alcove_bases_dup_folder (const char *machines_folder);
