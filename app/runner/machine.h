/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A running machine composed from its definition: KVM, board, devices, back ends, displays.
 *
 * runner_machine_new opens everything the machine needs (files, sockets, KVM, firmware) and
 * realizes all devices; nothing is opened after it. The caller confines the process, then starts
 * runner_machine_get_vm. Thread: the main thread. */
#pragma once
#include "app/definition.h"
#include "devices/backends/block/block.h"
#include "devices/backends/char/char.h"
#include "devices/backends/spice/spice.h"
#include "devices/board/q35.h"
#include "devices/display/scanout.h"
#include "devices/input/router.h"
#include "vmm/vm.h"

typedef struct _RunnerMachine RunnerMachine;

/* goes_on: a saved guest goes on in it, so the files that its ports write are continued, and begun anew
 * otherwise. */
RunnerMachine *runner_machine_new (AlcoveDefinition *definition, gboolean goes_on, GError **error);
/* Stops the VM first when it runs. Accepts NULL and half-built ones. */
void runner_machine_free (RunnerMachine *machine);
/* Disks and firmware variables to stable storage (pause, stop). Errors name the file. */
gboolean runner_machine_flush (RunnerMachine *machine, GError **error);
/* What disks hold because the host could not do it (guard.h) is tried again: after a resume. */
void runner_machine_retry_disks (RunnerMachine *machine);
/* id: the device's, "disk.system"; disk: a guard. */
void
runner_machine_foreach_disk (RunnerMachine *machine,
                             void (*func) (const char *id, BlockBackend *disk, gpointer user_data),
                             gpointer user_data);

/* Every disk image deletes its internal snapshot of this id; images without it are fine. */
gboolean
runner_machine_delete_disk_snapshot (RunnerMachine *machine, const char *id, GError **error);

/* Puts an image into a CD-ROM drive with a tray; path NULL takes out what is in it. name: of a
 * [cdrom], "" for the only one. Errors name the drive; BUSY when the guest has locked the tray,
 * unless force. */
gboolean runner_machine_set_medium (
    RunnerMachine *machine, const char *name, const char *path, gboolean force, GError **error);

VmmVm *runner_machine_get_vm (RunnerMachine *machine);
Q35Board *runner_machine_get_board (RunnerMachine *machine);
InputRouter *runner_machine_get_router (RunnerMachine *machine);
SpiceBackend *runner_machine_get_spice (RunnerMachine *machine); /* (nullable) no display */
/* (nullable) index 0..n-1 in the definition's order. */
DisplayScanout *runner_machine_get_scanout (RunnerMachine *machine, guint index);
/* Serial ports and console ports that OpenConsole reaches, in the definition's order. */
GPtrArray *runner_machine_get_console_names (RunnerMachine *machine);
CharBackend *runner_machine_get_console (RunnerMachine *machine, const char *name); /* (nullable) */
