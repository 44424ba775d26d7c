/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A call to a worker that can be taken back. Who has something to be told later on a worker owns one
 * of these, frees it before itself, and can be sure that the call does not come after that: the
 * worker knows the post only, which outlives its owner for as long as the worker may have it.
 * vmm_worker_post alone is for what lives as long as the worker (lint: not outside vmm/). */
#pragma once
#include "vmm/worker.h"

typedef struct _VmmPost VmmPost;

/**
 * vmm_post_new:
 * @worker: where it runs; used by vmm_post_schedule() only
 * @func: runs on @worker, with no lock of the post's held
 *
 * Returns: (transfer full): freed with vmm_post_free()
 * Thread: any.
 */
VmmPost *vmm_post_new (VmmWorker *worker, void (*func) (gpointer), gpointer user_data);

/**
 * vmm_post_schedule:
 *
 * Has the function run once on the worker, later. Does nothing while it is scheduled and has not
 * begun to run; from when it has begun on, schedules it anew.
 * Thread: any.
 */
void vmm_post_schedule (VmmPost *post);

/**
 * vmm_post_free:
 * @post: (nullable): not scheduled by anybody from now on
 *
 * After return the function does not run: one that is under way on the worker is waited for, so no
 * lock that it takes may be held. It may be called in the function itself, and when the worker is gone.
 * Thread: any.
 */
void vmm_post_free (VmmPost *post);
