/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A DOUBLE of the kernel's driver core, for what cannot be had without root and PCI devices: a
 * folder that looks like /sys and /dev, and a table of writes that change it as the kernel would
 * (drivers/base/bus.c, drivers/pci/pci-driver.c, drivers/vfio). All its state lies in the folder, so
 * it outlives a process that is killed. The real kernel is met in the lab (suite vfio-bind).
 *
 * The host:
 *   00:00.0 host bridge; 00:01.0 root port (pcieport, group 1)
 *   01:00.0 graphics (amdgpu) and 01:00.1 its sound (snd_hda_intel), group 13
 *   02:00.0 NVMe (nvme), group 14
 *   03:00.0 network (e1000e), group 15
 *   04:00.0 and 05:00.0: two cards (xhci_hcd, ahci) that share group 16
 *   06:00.0 serial card without a driver, group 17
 *   07:00.0 a card that vfio-pci has since the start, group 18 */
#pragma once
#include "vfio/bind/bind.h"

typedef struct
{
  char *root;
  VfioTree *tree;
  VfioLedger *ledger;
  VfioBindHost host;
} FakeKernel;

#define FAKE_GPU   "0000:01:00.0"
#define FAKE_SOUND "0000:01:00.1"
#define FAKE_NVME  "0000:02:00.0"
#define FAKE_NET   "0000:03:00.0"
#define FAKE_USB   "0000:04:00.0"
#define FAKE_SATA  "0000:05:00.0"
#define FAKE_PLAIN "0000:06:00.0"
#define FAKE_VFIO  "0000:07:00.0"

extern const VfioBindOps fake_kernel_ops;

/* root: (nullable): a new folder of its own. */
void fake_kernel_init (FakeKernel *kernel);
/* A second look at a folder that there is. */
void fake_kernel_open (FakeKernel *kernel, const char *root);
void fake_kernel_close (FakeKernel *kernel);
/* Closes and removes the folder. */
void fake_kernel_clear (FakeKernel *kernel);

/* Files of the tree. */
void fake_kernel_put (FakeKernel *kernel, const char *path, const char *text);
void fake_kernel_remove (FakeKernel *kernel, const char *path);
void fake_kernel_link (FakeKernel *kernel, const char *path, const char *target);
/* This driver's probe of this function fails from now on with -problem; 0: no more. */
void fake_kernel_refuse (FakeKernel *kernel, const char *driver, const char *id, int problem);
/* The n-th write from now on (1: the next) fails with -problem and does nothing. */
void fake_kernel_fail (FakeKernel *kernel, guint n, int problem);
/* The device vanishes with the n-th write from now on, before it. */
void fake_kernel_vanish (FakeKernel *kernel, guint n, const char *id);
/* A process that has /dev/NODE open. */
void fake_kernel_add_process (FakeKernel *kernel, guint pid, const char *name, const char *node);

VfioAddress fake_address (const char *text);
/* (transfer full) (nullable) */
char *fake_kernel_dup_driver (FakeKernel *kernel, const char *id);
/* "uid gid mode" of /dev/vfio/NAME. (transfer full) (nullable) */
char *fake_kernel_dup_node (FakeKernel *kernel, const char *name);
/* Everything in /sys and /dev/vfio, as text to compare. (transfer full) */
char *fake_kernel_dup_state (FakeKernel *kernel);
/* Names in the ledger's folder, joined by spaces. (transfer full) */
char *fake_kernel_dup_ledger (FakeKernel *kernel);

/* SIGKILL at the n-th (from 1) step of this process: a system call that changes the ledger, or a
 * write to the kernel, before or after it. 0: never. Counting starts anew. */
void fake_kernel_set_kill (guint n);
guint fake_kernel_get_steps (void);
