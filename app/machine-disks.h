/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine's disks and CD-ROM drives as operations of AlcoveMachine: what they are, work on their
 * images, and edits of the definition that a running machine follows.
 *
 * All asynchronous: files are touched on threads of their own, under the machine's lock where the
 * machine must stay off. Errors are for people: WRONG_STATE when the machine runs, or is saved, and
 * must not. Thread: the machine's main context. */
#pragma once
#include "app/create.h"
#include "app/machine.h"

/* ---- looking, work on images (machine-disks.c) ---- */

typedef struct
{
  char *name;
  gboolean cdrom; /* a [cdrom] */
  gboolean tray;  /* of a CD-ROM drive: media come and go */
  char *file;     /* (nullable) an empty drive */
  AlcoveDiskFormat format;
  AlcoveDiskBus bus;
  gboolean readonly;

  guint64 size, allocated; /* bytes: of the disk; on the host. 0 with a problem */
  GStrv backing;           /* (nullable) paths: the image below, the one below that, ... */
  guint n_snapshots, n_bitmaps;
  gboolean corrupt; /* the image says of itself that it is damaged */
  char *problem;    /* (nullable) why it cannot be looked at or used */
} AlcoveMachineDisk;
AlcoveMachineDisk *alcove_machine_disk_ref (AlcoveMachineDisk *disk);
void alcove_machine_disk_unref (gpointer disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (AlcoveMachineDisk, alcove_machine_disk_unref)

void alcove_machine_look_at_disks_async (AlcoveMachine *self,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data);
/* (transfer full) of AlcoveMachineDisk: disks, then CD-ROM drives, each in file order. */
GPtrArray *
alcove_machine_look_at_disks_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

typedef enum
{
  ALCOVE_DISK_WORK_CHECK,
  ALCOVE_DISK_WORK_REPAIR,
  ALCOVE_DISK_WORK_COMPACT,
  ALCOVE_DISK_WORK_RESIZE,
} AlcoveDiskWorkKind;

typedef struct
{
  AlcoveDiskWorkKind kind;
  const char *disk; /* NAME of a [disk NAME] */
  guint64 size;     /* RESIZE: bytes; a smaller one only when what is cut off is empty */
  gboolean keep;    /* RESIZE: an automatic snapshot of the machine first */
} AlcoveDiskWork;

typedef struct
{
  guint64 corruptions, leaks, errors;     /* clusters: damaged, lost to no use, unreadable */
  guint64 corruptions_fixed, leaks_fixed; /* clusters */
  guint64 before, after;                  /* COMPACT: bytes on the host */
} AlcoveDiskResult;

/* The machine must be off. Progress: done of total, in any unit. A resize that fails or is cancelled
 * takes its snapshot back. */
void alcove_machine_work_on_disk_async (AlcoveMachine *self,
                                        const AlcoveDiskWork *work,
                                        AlcoveProgressFunc progress,
                                        gpointer progress_data,
                                        GCancellable *cancellable,
                                        GAsyncReadyCallback callback,
                                        gpointer user_data);
gboolean alcove_machine_work_on_disk_finish (AlcoveMachine *self,
                                             GAsyncResult *result,
                                             AlcoveDiskResult *ret,
                                             GError **error);

/* ---- edits (machine-disk-edits.c) ---- */

typedef struct
{
  const char
      *file;    /* (nullable) an absolute path; NULL: a new qcow2 image in the machine's folder */
  guint64 size; /* of a new image, bytes */
  const char *format; /* of file: "raw", "qcow2" */
  const char *bus;    /* (nullable) "virtio", ... */
} AlcoveNewDisk;

/* Adds a disk to the definition; a machine that runs gets it at once. End with
 * alcove_machine_new_disk_finish. */
void alcove_machine_new_disk_async (AlcoveMachine *self,
                                    const AlcoveNewDisk *disk,
                                    GCancellable *cancellable,
                                    GAsyncReadyCallback callback,
                                    gpointer user_data);
/* (transfer full): its name. */
char *alcove_machine_new_disk_finish (AlcoveMachine *self, GAsyncResult *result, GError **error);

/* Takes a disk out of the definition, and out of the machine when it runs: the guest is asked to
 * release it, within timeout_ms. The image file stays. End with alcove_machine_finish. */
void alcove_machine_drop_disk_async (AlcoveMachine *self,
                                     const char *name,
                                     guint timeout_ms,
                                     GCancellable *cancellable,
                                     GAsyncReadyCallback callback,
                                     gpointer user_data);

/* May the medium of a drive be another one now? A machine that is saved is told of it when it goes
 * on, which a drive without a tray cannot. Errors: ALCOVE_ERROR_WRONG_STATE. */
gboolean alcove_machine_can_change_medium (AlcoveMachine *self, const char *drive, GError **error);
/* What is in a CD-ROM drive, now and at the next start; a guest that is saved sees the change when it
 * goes on. path: (nullable) nothing. End with alcove_machine_finish. */
void alcove_machine_change_medium_async (AlcoveMachine *self,
                                         const char *drive,
                                         const char *path,
                                         GCancellable *cancellable,
                                         GAsyncReadyCallback callback,
                                         gpointer user_data);
