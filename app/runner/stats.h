/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The counters of GetStats. Thread: the main context. */
#pragma once
#include <glib.h>

#include "app/runner/machine.h"

/* (transfer floating): a{sv}; every value is a uint64 (t). Keys: "vcpu.exits", "vcpu.io", ...,
 * "machine.resets", "bus.pio.unclaimed", "memory.guest" (bytes), "device.ID.COUNTER". */
GVariant *runner_stats_collect (RunnerMachine *machine);
