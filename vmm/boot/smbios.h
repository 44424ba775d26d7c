/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SMBIOS 3.0 tables (DMTF DSP0134 3.0.0): system identity and the memory and processors the guest's
 * tools list. The firmware gets them as two fw_cfg files; direct boot has them in RAM.
 * Threads: any; nothing is kept. */
#pragma once
#include <glib.h>
#include "vmm/error.h"
#include "vmm/memory.h"

#define VMM_SMBIOS_FILE_ANCHOR  "etc/smbios/smbios-anchor"
#define VMM_SMBIOS_FILE_TABLES  "etc/smbios/smbios-tables"
#define VMM_SMBIOS_ENTRY_SIZE   24
/* Where direct boot puts the entry point (searched on 16-byte steps from 0xf0000). */
#define VMM_SMBIOS_LEGACY_ENTRY G_GUINT64_CONSTANT (0xf0040)

typedef struct
{
  guint8 uuid[16];          /* RFC 4122 order; stored with the first three fields little endian */
  const char *manufacturer; /* (nullable) all strings: 1..64 printable ASCII characters */
  const char *product;      /* (nullable) */
  const char *version;      /* (nullable) */
  const char *serial;       /* (nullable) */
  const char *sku;          /* (nullable) */
  const char *family;       /* (nullable) */
  guint sockets, cores, threads; /* cores per socket, threads per core */
  guint64 low_ram, high_ram;     /* bytes from 0 and from 4 GiB */
  gboolean uefi;
} VmmSmbiosConfig;

/* ret_anchor: the entry point with a zero table address, which the firmware fills in.
 * Errors: INVALID names the string that is too long or not printable. */
gboolean vmm_smbios_build (const VmmSmbiosConfig *config,
                           GBytes **ret_anchor,
                           GBytes **ret_tables,
                           GError **error);
/* Tables to `tables` (at most length bytes), entry point to `entry`. */
gboolean vmm_smbios_place (const VmmSmbiosConfig *config,
                           VmmGuestMemory *memory,
                           VmmGpa tables,
                           guint64 length,
                           VmmGpa entry,
                           GError **error);
