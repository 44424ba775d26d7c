/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Long work on a thread of its own, followed from a main context: the work calls a BlockProgress, people
 * see an AlcoveProgressFunc on their context, and a GCancellable ends it. */
#pragma once
#include "app/create.h"
#include "devices/backends/block/image.h"

typedef struct _AlcoveWork AlcoveWork;

/* progress, cancellable: (nullable). Thread: that of the context to report on. */
AlcoveWork *
alcove_work_new (AlcoveProgressFunc progress, gpointer progress_data, GCancellable *cancellable);
/* NULL is fine. No report comes after the last reference that the owner holds has gone and the context
 * has run once. */
void alcove_work_unref (AlcoveWork *work);
/* For the thread that works. */
const BlockProgress *alcove_work_get_progress (AlcoveWork *work);
