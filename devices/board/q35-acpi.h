/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The q35 board in ACPI: the content of its DSDT, and the two calls the board makes with it.
 * Spec: ACPI 6.4; PCI Firmware 3.3 (_OSC, MCFG). Threads: any; nothing is kept. */
#pragma once
#include "vmm/boot/acpi-tables.h"

/* The body of the DSDT. (transfer full). Errors: INVALID. */
GBytes *q35_acpi_build_dsdt (const VmmAcpiConfig *config, GError **error);

/* Firmware boot: the three fw_cfg blobs. Call at the guest's first read (select) of any of them. */
gboolean q35_acpi_build (const VmmAcpiConfig *config, VmmAcpiBlobs *ret_blobs, GError **error);

/* Direct boot: tables into the area that vmm_e820_get_acpi_area (vmm/boot/e820.h) keeps free. */
gboolean q35_acpi_place (const VmmAcpiConfig *config,
                         VmmGuestMemory *memory,
                         guint64 low_ram,
                         VmmGpa *ret_rsdp,
                         VmmGpa *ret_vmgenid,
                         GError **error);

/* Fills config->windows32 with [low_ram, 0xfec00000) less PCIEXBAR, and keeps what lies above the
 * I/O APIC out. Firmware of different years puts its windows at different places inside it. */
void q35_acpi_set_windows (VmmAcpiConfig *config, guint64 low_ram);
