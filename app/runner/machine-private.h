/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The insides of RunnerMachine, shared by machine.c (KVM, board, life), devices.c (devices and
 * their back ends) and chars.c (serial ports and consoles). */
#pragma once
#include "app/runner/machine.h"
#include "devices/backends/block/block.h"
#include "devices/backends/net/net.h"
#include "devices/pci/pci.h"
#include "vfio/device/container.h"
#include "vmm/boot/image.h"

#define RUNNER_MAX_DISPLAYS 4

struct _RunnerMachine
{
  AlcoveDefinition *definition; /* owned */
  gboolean goes_on;             /* a saved guest goes on: its logs too */
  VmmKvm *kvm;
  VmmVm *vm;
  Q35Board *board;
  InputRouter *router;
  VmmBootImage *boot_image; /* (nullable) direct boot */
  DisplayScanout *scanouts[RUNNER_MAX_DISPLAYS];
  guint n_scanouts;
  SpiceBackend *spice;
  VmmDevice *scsi;   /* (nullable) the controller, of the machine */
  VmmDevice *frames; /* (nullable) shared memory for pictures, of the machine */
  /* Back ends, freed after the machine's devices. */
  GPtrArray *blocks;    /* of BlockBackend, guards */
  GPtrArray *block_ids; /* of char *, their devices */
  GPtrArray *disks;     /* of RunnerDisk */
  GPtrArray *nets;      /* of NetBackend */
  GPtrArray *chars;     /* of CharBackend */
  GPtrArray *console_names;
  gboolean (*hold_func) (gpointer user_data); /* (nullable) devices must stay now */
  gpointer hold_data;
  GPtrArray *ejects;       /* of RunnerEject: disks that the guest was asked to release */
  VfioKernel *vfio_kernel; /* (nullable) */
  VfioContainer *vfio;     /* (nullable) nothing is passed through */
  GPtrArray *pcis;         /* of RunnerPci */
  struct
  {
    GMutex lock;
    VmmDevice *device; /* (nullable): whose OpRegion firmware puts into memory */
  } graphics;
  GArray *cards;          /* what was got from the host, by slots of the guest */
  GPtrArray *card_ejects; /* of slots that the guest was asked to release */
  GPtrArray *card_adds;   /* of cards that the host is asked for */
  gboolean no_more_adds;  /* the machine ends */
  void (*cards_changed) (gpointer user_data); /* (nullable) */
  gpointer cards_changed_data;
  gint cards_marked;    /* atomic: a source will tell */
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
/* (transfer full) a device of a type at its address; properties are set by the caller, who then
 * hands it to finish. */
VmmDevice *runner_device_begin (RunnerMachine *self,
                                const char *type,
                                const char *id,
                                const AlcoveDeviceConfig *config,
                                GError **error);
/* The same with a table that is not in the registry. */
VmmDevice *runner_device_begin_ops (RunnerMachine *self,
                                    const VmmDeviceOps *ops,
                                    const char *id,
                                    const AlcoveDeviceConfig *config,
                                    GError **error);
/* device: (transfer full). ok: all properties were set. */
gboolean runner_device_finish (RunnerMachine *self,
                               const AlcoveDeviceConfig *config,
                               VmmDevice *device,
                               gboolean ok,
                               GError **error);
gboolean runner_devices_make (RunnerMachine *self, GError **error);

/* frames.c */
gboolean runner_frames_make (RunnerMachine *self, GError **error);

/* disks.c */
/* What a disk of the definition is in the machine. */
typedef struct
{
  char *name;            /* "system" of [disk system] */
  AlcoveKind kind;       /* disk or cdrom */
  BlockBackend *backend; /* borrowed from blocks; NULL: an empty drive */
  VmmDevice *device;     /* the disk, or the controller it is a part of */
  guint nsid;            /* NVMe: its namespace */
  guint target;          /* SCSI: its target, from 1 */
  gboolean own_function; /* device is a PCI function: the disk's, or its controller's */
} RunnerDisk;
/* Opens a disk and makes it part of the machine, with a controller of its own or on one that is
 * there. Also while the machine runs; the guest is not told of new PCI functions here. */
gboolean runner_disk_make (RunnerMachine *self, const AlcoveDiskConfig *config, GError **error);
/* The contents of a disk or drive, locked and guarded: (transfer full). */
BlockBackend *
runner_disk_open (RunnerMachine *self, const AlcoveDiskConfig *config, GError **error);
/* backend: (transfer full) (nullable) instead of what the drive had, which is closed: nothing uses
 * it any more. */
void runner_disk_take_backend (RunnerMachine *self, RunnerDisk *disk, BlockBackend *backend);
/* TRUE when a drive of the definition is on the SATA controller. */
gboolean runner_disks_need_sata (AlcoveDefinition *definition);
RunnerDisk *
runner_disk_find (RunnerMachine *self, AlcoveKind kind, const char *name); /* (nullable) */
/* The last steps of taking one out: its device is gone or does not use the back end any more.
 * Closes the file. disk: (transfer full). */
void runner_disk_forget (RunnerMachine *self, RunnerDisk *disk);
/* (nullable) the firmware's path node of a disk behind its controller; (transfer full). */
char *runner_disk_boot_node (const RunnerDisk *disk);
void runner_disk_free (gpointer disk);

/* scsi.c */
/* The controller, when the definition has one or disks for it. */
gboolean runner_scsi_make (RunnerMachine *self, GError **error);
/* Also while the machine runs: the guest hears of it. backend: (nullable) for an empty drive. */
gboolean runner_scsi_attach (RunnerMachine *self,
                             const AlcoveDiskConfig *config,
                             BlockBackend *backend,
                             RunnerDisk *disk,
                             GError **error);
/* passthrough.c */
void runner_passthrough_init (RunnerMachine *self);
void runner_passthrough_finish (RunnerMachine *self);
gboolean runner_passthrough_make_all (RunnerMachine *self, GError **error);

/* hotplug.c */
void runner_hotplug_init (RunnerMachine *self);
