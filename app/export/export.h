/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A machine for other programs: first what will be lost (alcove_export_look), then the run. The machine
 * must be off; its folder is locked for as long as it lasts. What is written gets its name at the end:
 * on error nothing remains.
 *
 * Threads: look and run block, on any thread; the _async function answers on the caller's context. */
#pragma once
#include "app/import/import.h"

typedef enum
{
  ALCOVE_EXPORT_OVA,   /* one file: OVF 1.1, streamOptimized VMDK disks, SHA-256 manifest */
  ALCOVE_EXPORT_QCOW2, /* a folder that is a machine of Alcove, its disks qcow2 that stand alone */
  ALCOVE_EXPORT_LIBVIRT,  /* a folder: a domain's XML, qcow2 disks */
  ALCOVE_EXPORT_KUBEVIRT, /* a folder: a VirtualMachine's YAML, qcow2 disks */
} AlcoveExportKind;
#define ALCOVE_N_EXPORT_KINDS (ALCOVE_EXPORT_KUBEVIRT + 1)
/* "ova", "qcow2", "libvirt", "kubevirt" */
const char *alcove_export_kind_to_string (AlcoveExportKind kind);
gboolean alcove_export_kind_from_string (const char *word, AlcoveExportKind *ret);

/* (transfer full) of AlcoveFinding, gravest first. */
GPtrArray *alcove_export_look (AlcoveDefinition *definition, AlcoveExportKind kind);

/**
 * alcove_export_run:
 * @machine_folder: the machine
 * @to: the .ova file, or the folder to make; must not exist
 *
 * Errors: ALCOVE_ERROR_BUSY while it runs; VMM_ERROR_CANCELLED; reading and writing.
 */
gboolean alcove_export_run (const char *machine_folder,
                            AlcoveExportKind kind,
                            const char *to,
                            const BlockProgress *progress,
                            GError **error);

void alcove_export_run_async (const char *machine_folder,
                              AlcoveExportKind kind,
                              const char *to,
                              AlcoveProgressFunc progress,
                              gpointer progress_data,
                              GCancellable *cancellable,
                              GAsyncReadyCallback callback,
                              gpointer user_data);
gboolean alcove_export_run_finish (GAsyncResult *result, GError **error);
