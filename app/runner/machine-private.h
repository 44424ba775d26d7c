/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The insides of RunnerMachine, shared by machine.c (KVM, board, life), devices.c (devices and
 * their back ends) and chars.c (serial ports and consoles). */
#pragma once
#include "app/runner/machine.h"
#include "devices/backends/block/block.h"
#include "devices/backends/net/net.h"
#include "devices/pci/pci.h"
#include "vmm/boot/image.h"

#define RUNNER_MAX_DISPLAYS 4

struct _RunnerMachine
{
  AlcoveDefinition *definition; /* owned */
  VmmKvm *kvm;
  VmmVm *vm;
  Q35Board *board;
  InputRouter *router;
  VmmBootImage *boot_image; /* (nullable) direct boot */
  DisplayScanout *scanouts[RUNNER_MAX_DISPLAYS];
  guint n_scanouts;
  SpiceBackend *spice;
  /* Back ends, freed after the machine's devices. */
  GPtrArray *blocks;    /* of BlockBackend, guards */
  GPtrArray *block_ids; /* of char *, their devices */
  GPtrArray *nets;      /* of NetBackend */
  GPtrArray *chars;     /* of CharBackend */
  GPtrArray *console_names;
  GHashTable *consoles; /* name -> CharBackend, a hub (borrowed from chars) */
};

/* chars.c */
/* (transfer none) of the machine. Errors name the device. */
CharBackend *
runner_chars_make (RunnerMachine *self, const AlcoveCharConfig *config, GError **error);
CharBackend *runner_chars_make_file (RunnerMachine *self, const char *path, GError **error);

/* devices.c */
/* (transfer full): the id of a definition's device in the machine, "disk.system". */
char *runner_device_id (const AlcoveDeviceConfig *config);
gboolean runner_devices_make (RunnerMachine *self, GError **error);
