/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include "app/machine1.h"
#include "app/runner/machine.h"

/* Answers AddDisk and RemoveDisk. skeleton: ends before the machine. Thread: the main context. */
/* control-passthrough.c */
void runner_control_passthrough_connect (AlcoveMachine1 *skeleton, RunnerMachine *machine);
void runner_control_disks_connect (AlcoveMachine1 *skeleton, RunnerMachine *machine);
