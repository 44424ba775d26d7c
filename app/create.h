/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making a machine: from a few answers to a folder with machine.conf and a disk image.
 *
 * The folder is filled under a hidden name and renamed at the end: a crash or a cancel leaves
 * nothing that looks like a machine. Threads: the work runs on a GTask thread, progress and the
 * result come on the caller's main context. */
#pragma once
#include <gio/gio.h>
#include "app/definition.h"
#include "devices/backends/block/image.h"

typedef struct
{
  const char *name; /* what people see, 1 to 128 bytes */
  const char *os;   /* (nullable) libosinfo short id */
  guint64 memory_mib;
  guint cpus;
  AlcoveFirmware firmware;
  const char *medium;        /* (nullable) an ISO image to install from; referred to, not copied */
  guint64 disk_bytes;        /* a new empty disk; 0: none. With disk_source: at least this size */
  BlockFormat disk_format;   /* of the machine's own disk: qcow2 (snapshots) or raw */
  const char *disk_source;   /* (nullable) an image to copy into the machine */
  const char *disk_use;      /* (nullable) an image or block device to use where it is */
  BlockFormat source_format; /* of disk_source (any) or disk_use (raw, qcow2); raw by default */
  const char *kernel, *initrd, *cmdline; /* (nullable) direct boot */
  gboolean no_network, no_display;
} AlcoveCreateSpec;

/* Fills in what suits this host: memory (a quarter of it, 1 to 4 GiB), CPUs (half, 1 to 4), UEFI, a
 * 32 GiB disk as qcow2. Thread: any. */
void alcove_create_spec_init (AlcoveCreateSpec *spec);

/* done, total: bytes. On the caller's main context. */
typedef void (*AlcoveProgressFunc) (guint64 done, guint64 total, gpointer user_data);

/* The text of a new machine.conf; disk: (nullable) its file name. (transfer full). */
char *
alcove_create_dup_text (const AlcoveCreateSpec *spec, const char *disk, BlockFormat disk_format);
/* A folder name for a machine's name: lower case letters, digits and dashes, "machine" when nothing
 * is left. (transfer full). */
char *alcove_create_dup_folder_name (const char *name);

/* Gives a finished folder its place in machines: the first of NAME, NAME-2... that nobody has, after
 * the machine's title. (transfer full): its path. Thread: any. */
char *
alcove_create_publish (const char *machines, const char *from, const char *title, GError **error);

/* Makes it in machines_folder (made when missing). Errors: ALCOVE_ERROR_INVALID names the answer
 * that is wrong; no space, and so on. */
void alcove_create_async (const char *machines_folder,
                          const AlcoveCreateSpec *spec,
                          AlcoveProgressFunc progress,
                          gpointer progress_data,
                          GCancellable *cancellable,
                          GAsyncReadyCallback callback,
                          gpointer user_data);
/* (transfer full): the machine's folder. */
char *alcove_create_finish (GAsyncResult *result, GError **error);
