/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The firmware's table loader script: 128-byte commands (QEMU, hw/acpi/bios-linker-loader.c; edk2,
 * OvmfPkg/AcpiPlatformDxe/QemuLoader.h). Written for the firmware, or run by us.
 * Threads: any, one at a time. */
#pragma once
#include <glib.h>
#include "vmm/error.h"

#define VMM_ACPI_LOADER_ENTRY_SIZE 128
#define VMM_ACPI_LOADER_NAME_SIZE  56 /* with the terminating zero */

typedef enum
{
  VMM_ACPI_ZONE_HIGH = 1, /* anywhere below 4 GiB */
  VMM_ACPI_ZONE_FSEG = 2, /* 0xf0000..0xfffff */
} VmmAcpiZone;

/* Append one command each. align: power of two, at least 1. size: 1, 2, 4 or 8 bytes. */
void vmm_acpi_loader_allocate (GByteArray *script, const char *file, guint align, VmmAcpiZone zone);
/* Adds the address of src_file to the little-endian number at offset of file. */
void vmm_acpi_loader_add_pointer (
    GByteArray *script, const char *file, const char *src_file, gsize offset, guint size);
/* Sets the byte at offset (zero before) so that [start, start + length) sums to zero. */
void vmm_acpi_loader_add_checksum (
    GByteArray *script, const char *file, gsize offset, gsize start, gsize length);
/* The firmware writes the address of src_file, plus src_offset, to file at offset. */
void vmm_acpi_loader_write_pointer (GByteArray *script,
                                    const char *file,
                                    gsize offset,
                                    const char *src_file,
                                    gsize src_offset,
                                    guint size);

typedef struct
{
  const char *name;
  guint8 *data; /* changed in place */
  gsize size;
  guint64 address; /* guest physical: where the data will be */
} VmmAcpiLoaderFile;

/* Does what the firmware would do. Files named by "allocate" must be in the list (their addresses
 * are the caller's choice, alignment checked). Errors: INVALID names the command and its fault. */
gboolean
vmm_acpi_loader_run (GBytes *script, VmmAcpiLoaderFile *files, guint n_files, GError **error);
