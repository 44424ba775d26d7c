/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Progress of work on another thread, told on the main context that asked for it: the newest word
 * only, however often the work speaks. Thread: report any. */
#pragma once
#include "app/create.h"
#include "devices/backends/block/image.h"

typedef struct _AlcoveReporter AlcoveReporter;

/* func: (nullable). Its context is the caller's thread-default one. */
AlcoveReporter *
alcove_reporter_new (AlcoveProgressFunc func, gpointer user_data, GCancellable *cancellable);
AlcoveReporter *alcove_reporter_ref (AlcoveReporter *self);
void alcove_reporter_unref (AlcoveReporter *self);
void alcove_reporter_report (AlcoveReporter *self, guint64 done, guint64 total);
/* Nothing is told any more. On the context's thread. */
void alcove_reporter_stop (AlcoveReporter *self);
/* Reports, and asks the cancellable whether to go on. Valid as long as self. */
BlockProgress alcove_reporter_get_progress (AlcoveReporter *self);
