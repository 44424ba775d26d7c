/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The memory map that a guest is told: fw_cfg `etc/e820` for firmware, the boot protocols' tables
 * for direct boot. Threads: any. Spec: ACPI 6.4, chapter 15. */
#pragma once
#include <glib.h>
#include "vmm/error.h"

#define VMM_E820_MAX_ENTRIES 64

typedef enum
{
  VMM_E820_RAM = 1,
  VMM_E820_RESERVED = 2,
  VMM_E820_ACPI = 3,
  VMM_E820_NVS = 4,
} VmmE820Type;

typedef struct
{
  guint64 base, length; /* bytes */
  VmmE820Type type;
} VmmE820Entry;

typedef struct
{
  guint n_entries;
  VmmE820Entry entries[VMM_E820_MAX_ENTRIES]; /* ascending, no overlap, neighbours merged */
} VmmE820;

void vmm_e820_init (VmmE820 *map);
/* A later range replaces what earlier ones said about the same addresses. length 0 does nothing.
 * Returns: FALSE when the range wraps or the table is full (the map is unchanged). */
gboolean vmm_e820_add (VmmE820 *map, guint64 base, guint64 length, VmmE820Type type)
    G_GNUC_WARN_UNUSED_RESULT;
/* The type at an address, 0 when none. */
guint vmm_e820_lookup (const VmmE820 *map, guint64 address);
/* 20-byte little-endian entries: base, length, type. (transfer full). */
GBytes *vmm_e820_to_bytes (const VmmE820 *map);

/* Where direct boot keeps the ACPI and SMBIOS tables: the top of low RAM. FALSE when RAM below
 * 4 GiB is too small for it (then the guest gets no tables). */
gboolean vmm_e820_get_acpi_area (guint64 low_ram, guint64 *ret_base, guint64 *ret_length);

typedef struct
{
  guint64 low_ram;                   /* bytes from 0 */
  guint64 high_ram;                  /* bytes from 4 GiB */
  guint64 pciexbar, pciexbar_length; /* 0: none */
} VmmE820Layout;

/* The map for direct boot: conventional memory, BIOS area, RAM, ACPI area (NVS), PCIEXBAR. */
gboolean vmm_e820_build_direct (VmmE820 *map, const VmmE820Layout *layout);
/* The map for fw_cfg `etc/e820`: RAM, and AMD's HyperTransport hole when RAM could reach it. */
gboolean vmm_e820_build_firmware (VmmE820 *map, const VmmE820Layout *layout);
