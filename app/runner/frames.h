/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The shared memory of [frames NAME] under a name that stays: "frames" in the machine's run-time
 * folder, a link to the memfd of this process. Who may open it is whom the kernel lets look into
 * this process: the same user. Main thread. */
#pragma once
#include "app/runner/machine.h"

/* folder: the machine's run-time folder, which is there. TRUE and nothing done without such a device. */
gboolean runner_frames_publish (RunnerMachine *machine, const char *folder, GError **error);
/* Takes the name away again, if it is this process's. */
void runner_frames_withdraw (RunnerMachine *machine, const char *folder);
