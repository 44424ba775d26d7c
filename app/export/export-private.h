/* SPDX-License-Identifier: GPL-3.0-or-later */
#pragma once
#include "app/export/export.h"

/* A disk as it lies in the export. */
typedef struct
{
  const AlcoveDiskConfig *config; /* borrowed from the definition */
  char *file;                     /* name in the export */
  guint64 size;                   /* of the disk, bytes */
  guint64 file_bytes;
} ExportDisk;

typedef struct
{
  AlcoveDefinition *definition;
  const AlcoveMachineConfig *machine;
  char *id;         /* a name that everything takes: lower case letters, digits, dashes */
  const char *to;   /* as the user gave it, made absolute */
  GPtrArray *disks; /* of ExportDisk */
} Export;

/* Documents. (transfer full) */
char *export_dup_ovf (const Export *export);
char *export_dup_libvirt (const Export *export);
char *export_dup_kubevirt (const Export *export);
/* machine.conf with the disks' new names. */
char *export_dup_definition (const Export *export);

/* Envelope, manifest and disks (files of folder) as one tape archive. */
gboolean export_write_ova (const Export *export,
                           const char *folder,
                           const char *to,
                           const BlockProgress *progress,
                           GError **error);
