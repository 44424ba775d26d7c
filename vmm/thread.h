/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include <pthread.h>

/* A thread with a small stack and all signals blocked but those of faults. Returns -errno or 0.
 * Thread: any. */
int vmm_thread_create (pthread_t *ret_thread, void *(*func) (void *), void *argument);
#define VMM_THREAD_STACK (256 * 1024)
