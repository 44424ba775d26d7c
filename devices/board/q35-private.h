/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the board: its memory map, its two chipset functions and what they share. */
#pragma once
#include "devices/board/q35.h"
#include "devices/platform/cfi-flash.h"
#include "devices/platform/fw-cfg.h"
#include "devices/platform/pm.h"
#include "devices/platform/rtc.h"
#include "devices/platform/vmgenid.h"
#include "vmm/boot/acpi-tables.h"
#include "vmm/boot/smbios.h"

#define Q35_PAM_SEGMENTS 13 /* 12 of 16 KiB from 0xc0000, then 64 KiB at 0xf0000 */
#define Q35_HOLE_BASE    0xa0000
#define Q35_PAM_BASE     0xc0000
#define Q35_PAM_SIZE     0x40000
#define Q35_ROM_LOW_BASE 0xe0000 /* the last 128 KiB of the firmware image */
#define Q35_ROM_LOW_SIZE 0x20000
#define Q35_4G           G_GUINT64_CONSTANT (0x100000000)

/* PCIEXBAR as direct boot presets it: 256 buses. */
#define Q35_DIRECT_PCIEXBAR G_GUINT64_CONSTANT (0xe0000000)
#define Q35_ECAM_BUS_SIZE   (1u << 20)

/* RAM below 1 MiB that the PAM registers switch between ROM and RAM. q35-memory.c */
typedef struct _Q35Memory Q35Memory;
Q35Memory *q35_memory_new (VmmMachine *machine, const Q35Config *config, GError **error);
void q35_memory_free (Q35Memory *memory);
guint64 q35_memory_get_low (Q35Memory *memory);
guint64 q35_memory_get_high (Q35Memory *memory);
/* The last 128 KiB of the image show at 0xe0000 where PAM shows ROM. */
gboolean q35_memory_set_low_rom (Q35Memory *memory, GBytes *image, GError **error);
/* Maps the image so that it ends at 4 GiB; its size is a multiple of 4096. */
gboolean q35_memory_map_rom (Q35Memory *memory, GBytes *image, GError **error);
/* attributes: bit 0 read RAM, bit 1 write RAM; segment 0..12. Any thread, serialized by the caller
 * (PCI config lock). */
void q35_memory_set_pam (Q35Memory *memory, guint segment, guint attributes);

/* The host bridge. Properties: PCI, "memory" (Q35Memory *), "direct-boot". */
typedef struct _Q35Mch Q35Mch;
extern const VmmDeviceOps q35_mch_ops;
/* 0 when the register is disabled. ret_n_buses: 64, 128, 256. */
guint64 q35_mch_get_pciexbar (Q35Mch *mch, guint *ret_n_buses);

/* The LPC bridge. Properties: PCI, "pm" (Pm *), "direct-boot". */
typedef struct _Q35Lpc Q35Lpc;
extern const VmmDeviceOps q35_lpc_ops;
/* From the root bus: pirq 0..7. Any thread. */
void q35_lpc_set_pirq (Q35Lpc *lpc, guint pirq, gboolean level);

typedef struct
{
  VmmDevice *device; /* borrowed */
  guint index;
  char node[48]; /* of a disk behind the device; empty: by the device's class */
} Q35BootDevice;

struct _Q35Board
{
  VmmMachine *machine;
  Q35Config config; /* strings are copies */
  PciBus *root;
  PciBus **port_buses;
  PciDevice **ports;
  Q35Memory *memory;
  FwCfg *fw_cfg;
  Q35Mch *mch;
  Q35Lpc *lpc;
  VmmDevice *sata;
  Pm *pm;
  Rtc *rtc;
  CfiFlash *vars;
  Vmgenid *vmgenid;
  guint pirq_count[8]; /* wired-OR of slots on a PIRQ; the PCI INTx lock */
  GMutex boot_lock;
  GArray *boot_devices; /* Q35BootDevice, by index; boot_lock */
  guint32 *apic_ids;
  /* What the ACPI tables in fw_cfg were built from. fw_cfg's lock. */
  guint64 acpi_pciexbar;
  guint acpi_n_buses;
  gboolean acpi_built;
  struct
  {
    char *name, *address_name; /* NULL: there is none */
    void (*placed) (gpointer user_data, guint64 address);
    gpointer user_data;
  } placed; /* a file for firmware to put into memory */
};

/* q35-fw-cfg.c: everything the firmware asks for. */
gboolean q35_board_fill_fw_cfg (Q35Board *board, GError **error);
void q35_board_fill_cmos (Q35Board *board);
void q35_board_fill_smbios_config (Q35Board *board, VmmSmbiosConfig *config);
void q35_board_fill_acpi_config (Q35Board *board, VmmAcpiConfig *config);
/* OpenFirmware path of a PCI device, (transfer full) (nullable). node: what follows, or empty. */
char *q35_board_boot_path (Q35Board *board, VmmDevice *device, const char *node);
