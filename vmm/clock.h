/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Guest time: a monotonic nanosecond clock that stops while the machine is paused, and timers on
 * it. Devices read no other clock. The wall clock (for the RTC) is here too, so tests inject both.
 * Threads: any. Timer callbacks run on the timer's worker. */
#pragma once
#include <glib.h>
#include "vmm/worker.h"

typedef struct _VmmClock VmmClock;
typedef struct _VmmTimer VmmTimer;

#define VMM_NSEC_PER_SEC G_GINT64_CONSTANT (1000000000)
#define VMM_CLOCK_NEVER  G_MAXINT64

VmmClock *vmm_clock_new (void);
/* A clock for tests: time moves only by vmm_clock_advance, which fires due timers in order, in the
 * caller's thread. */
VmmClock *vmm_clock_new_fake (gint64 start_ns, gint64 start_wall_us);
void vmm_clock_free (VmmClock *clock);
gboolean vmm_clock_is_fake (VmmClock *clock);
/* Guest nanoseconds since machine start. */
gint64 vmm_clock_get_ns (VmmClock *clock);
/* Host wall clock, microseconds since 1970 UTC. */
gint64 vmm_clock_get_wall_us (VmmClock *clock);
/* After return no timer callback runs (waits for those in flight, unless called in one). */
void vmm_clock_pause (VmmClock *clock);
void vmm_clock_resume (VmmClock *clock);
/* Restore: sets guest time (paused clocks only). */
void vmm_clock_set_ns (VmmClock *clock, gint64 ns);
void vmm_clock_advance (VmmClock *clock, gint64 ns);

typedef void (*VmmTimerFunc) (gpointer user_data);
/* worker: where callback runs; (nullable) only with a fake clock. */
VmmTimer *
vmm_timer_new (VmmClock *clock, VmmWorker *worker, VmmTimerFunc callback, gpointer user_data);
/* After return the callback does not run any more (waits for one in flight unless called in it). */
void vmm_timer_free (VmmTimer *timer);
/* deadline_ns: guest time; VMM_CLOCK_NEVER disarms. A past deadline fires at once. */
void vmm_timer_set (VmmTimer *timer, gint64 deadline_ns);
gint64 vmm_timer_get (VmmTimer *timer);
