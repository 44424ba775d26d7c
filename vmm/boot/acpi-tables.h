/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ACPI tables of a machine (ACPI 6.4, chapter 5.2): one generator, two forms.
 *
 * - Firmware form: three fw_cfg files. `etc/acpi/tables` and `etc/acpi/rsdp` hold the tables with
 *   offsets where addresses belong; `etc/table-loader` is the script of 128-byte commands by which
 *   the firmware allocates memory, adds pointers and sums checksums (QEMU, docs/specs: the BIOS
 *   linker/loader). Build it late, when the guest reads the first of the three: by then PCIEXBAR
 *   and the windows are known.
 * - Direct form: the same script run by us, over tables written into guest RAM.
 *
 * The differentiated table's content belongs to the board (devices/board/q35-acpi.h).
 * Owner: the caller, of everything returned. Threads: any; nothing is kept. */
#pragma once
#include <glib.h>
#include "vmm/error.h"
#include "vmm/memory.h"

#define VMM_ACPI_MAX_WINDOWS    8
#define VMM_ACPI_MAX_ROOT_PORTS 64
#define VMM_ACPI_MAX_CPUS       1024

#define VMM_ACPI_FILE_TABLES       "etc/acpi/tables"
#define VMM_ACPI_FILE_RSDP         "etc/acpi/rsdp"
#define VMM_ACPI_FILE_LOADER       "etc/table-loader"
#define VMM_ACPI_FILE_VMGENID_GUID "etc/vmgenid_guid" /* VMM_ACPI_VMGENID_FILE_SIZE bytes */
#define VMM_ACPI_FILE_VMGENID_ADDR "etc/vmgenid_addr" /* 8 bytes, written by the firmware */
#define VMM_ACPI_VMGENID_FILE_SIZE 4096
#define VMM_ACPI_VMGENID_OFFSET    40 /* of the 16-byte identifier in its file and page */
#define VMM_ACPI_VMGENID_GPE_BIT   5  /* of GPE0: raised when the identifier changed */

/* Room that the direct form never outgrows, a multiple of 4096. */
#define VMM_ACPI_DIRECT_SIZE (256 * 1024)

typedef struct
{
  guint64 base;   /* guest physical address */
  guint64 length; /* bytes; 0: none */
} VmmAcpiWindow;

typedef struct
{
  /* Processors: APIC ids in the order of their ACPI UIDs. Ids of 255 and more use x2APIC entries. */
  guint n_cpus; /* 1..VMM_ACPI_MAX_CPUS */
  const guint32 *apic_ids;

  guint16 pm_base;        /* I/O port of the PM block: event +0, control +4, timer +8, GPE0 +0x20 */
  guint8 sci_irq;         /* 9 */
  guint64 lapic_base;     /* 0xfee00000 */
  guint64 ioapic_base;    /* 0xfec00000; its pins are GSI 0..23 */
  guint64 hpet_base;      /* 0: no HPET */
  guint64 pciexbar;       /* memory-mapped configuration space; 0: disabled, no MCFG */
  guint pciexbar_n_buses; /* 64, 128 or 256 */
  gboolean i8042;         /* keyboard controller at 0x60/0x64 */

  /* What the host bridge forwards to PCI. Below 4 GiB, in ascending order, without the legacy VGA
   * range (always there); and one window above, 64-bit. */
  guint n_windows32;
  VmmAcpiWindow windows32[VMM_ACPI_MAX_WINDOWS];
  VmmAcpiWindow window64;

  guint n_root_ports;
  guint8 root_ports[VMM_ACPI_MAX_ROOT_PORTS]; /* slot << 3 | function on bus 0 */

  guint8 serial_mask; /* which of the four exist; bit 0 is COM1 */
  gboolean pvpanic;   /* port 0x505 */
  gboolean fw_cfg;    /* ports 0x510..0x51b */
  gboolean vmgenid;
  guint8 vmgenid_guid[16]; /* direct form only: as it lies in memory (mixed byte order) */

  /* Firmware form: a further fw_cfg file that the firmware puts into memory, on a page below 4 GiB
   * that stays its own, and one of 8 bytes that it writes the address into. NULL: none. Names of at
   * most 55 bytes; borrowed. */
  const char *placed_file, *placed_address_file;

  /* Firmware form: fw_cfg announces file sizes before the tables can be made, so a build made later
   * must give the same. 0: chosen, with room for what may still change; else exactly this. */
  gsize tables_size;
} VmmAcpiConfig;

/* The usual q35 values; the caller fills in processors, windows and devices. */
void vmm_acpi_config_init (VmmAcpiConfig *config);
/* Errors: INVALID names the field. */
gboolean vmm_acpi_config_validate (const VmmAcpiConfig *config, GError **error);

typedef struct
{
  GBytes *tables; /* VMM_ACPI_FILE_TABLES */
  GBytes *rsdp;   /* VMM_ACPI_FILE_RSDP */
  GBytes *loader; /* VMM_ACPI_FILE_LOADER */
} VmmAcpiBlobs;

/* dsdt: the body (no header) of the differentiated table.
 * Errors: INVALID (config, or a table too large). */
gboolean
vmm_acpi_build (const VmmAcpiConfig *config, GBytes *dsdt, VmmAcpiBlobs *ret_blobs, GError **error);
void vmm_acpi_blobs_clear (VmmAcpiBlobs *blobs);

/* The direct form: writes the tables into [area, area + length), area a multiple of 4096. The RSDP
 * goes to VMM_ACPI_LEGACY_RSDP when RAM is there (kernels that search for it find it), and into the
 * area otherwise. ret_vmgenid (nullable): where the identifier lies, 0 without one.
 * Errors: INVALID when the area is too small or not RAM. */
#define VMM_ACPI_LEGACY_RSDP G_GUINT64_CONSTANT (0xf0000)
gboolean vmm_acpi_place (const VmmAcpiConfig *config,
                         GBytes *dsdt,
                         VmmGuestMemory *memory,
                         VmmGpa area,
                         guint64 length,
                         VmmGpa *ret_rsdp,
                         VmmGpa *ret_vmgenid,
                         GError **error);
