/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a crash in the middle of work on a machine's snapshots left, mended before the machine opens
 * its disks.
 *
 * Whoever started this process looked for a saved state before that. A revert that is finished, or
 * undone, only here brings or takes one: the options follow what lies in the folder now.
 * Thread: the main context. */
#pragma once
#include "app/runner/options.h"

/* options: with machine; the caller holds that machine's lock. restore, consume and generation may
 * be others afterwards. Errors: a revert that can be neither finished nor undone; a disposable run
 * of what turned out to be a saved machine. */
gboolean runner_recover (RunnerOptions *options, GError **error);
