/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The q35 board: host bridge with PAM, PCIEXBAR and SMRAM registers, ICH9 LPC (PIRQ routing, PM
 * block, cf9), and the platform devices every PC has. q35_board_new makes and realizes them all in
 * a machine and maps RAM and firmware; further PCI devices are put on its buses by the runner.
 * Spec: Intel 3 Series chipset datasheet 316966, ICH9 datasheet 316972. */
#pragma once
#include "devices/pci/pci.h"
#include "vmm/boot/e820.h"
#include "vmm/machine.h"

#define Q35_IOAPIC_BASE    G_GUINT64_CONSTANT (0xfec00000)
#define Q35_HPET_BASE      G_GUINT64_CONSTANT (0xfed00000)
#define Q35_LAPIC_BASE     G_GUINT64_CONSTANT (0xfee00000)
#define Q35_PM_BASE        0x600
#define Q35_GPE0_BASE      0x620
#define Q35_SCI_GSI        9
#define Q35_LOW_RAM_MAX    G_GUINT64_CONSTANT (0x80000000) /* when RAM >= 0xb0000000, else all */
#define Q35_PIRQ_GSI(pirq) (16 + (pirq))                   /* PIRQA..H = 0..7 */

/* INTx of a root bus slot: pin 0..3 = INTA..D -> PIRQ 0..7. Slots below 25 swizzle over E..H; 25 and
 * above take PIRQA..D by pin alone (ICH9's D25IR..D31IR after reset, 0x3210). SeaBIOS and OVMF fill
 * interrupt lines by this rule, and the ACPI _PRT is written with this function. */
static inline guint
q35_intx_to_pirq (guint slot, guint pin)
{
  return slot < 25 ? 4 + ((slot + pin) & 3) : pin & 3;
}

typedef enum
{
  Q35_FIRMWARE_NONE, /* direct boot: no flash, ACPI placed in RAM */
  Q35_FIRMWARE_BIOS, /* an image mapped below 4 GiB and at 0xe0000 */
  Q35_FIRMWARE_UEFI, /* CFI flash: code and variables */
} Q35FirmwareKind;

typedef struct
{
  guint64 ram_size; /* bytes, multiple of 1 MiB, >= 1 MiB */
  VmmRamFlags ram_flags;
  guint n_vcpus;
  /* What the guest's tables say of them; as the VM's CPUID does. */
  const guint32 *apic_ids;       /* (nullable) n_vcpus of them; NULL: 0, 1, 2 ... Copied. */
  guint sockets, cores, threads; /* cores: 0 means one socket of n_vcpus cores */
  guint phys_bits;               /* for the 64-bit PCI window */
  Q35FirmwareKind firmware;
  const char *firmware_code; /* path */
  const char *firmware_vars; /* path of this machine's variable store (UEFI), written back */
  guint8 uuid[16];           /* SMBIOS order as RFC 4122 */
  const char *machine_name;
  gboolean hpet;
  gboolean rtc_localtime;
  gboolean i8042;
  gboolean debug_exit;         /* port 0xf4 */
  gboolean debug_console;      /* port 0x402 */
  gpointer debug_console_char; /* CharBackend *, (nullable) */
  gpointer serial_char[4];     /* CharBackend * or NULL: COM1..COM4 */
  gpointer input_router;       /* InputRouter *, (nullable) for i8042 */
  gboolean sata;               /* the AHCI controller at 00:1f.2 */
  guint n_root_ports; /* hot-plug capable PCIe root ports, slots from 0x1c down by function */
  gboolean boot_menu;
  guint boot_menu_timeout_ms;
} Q35Config;

typedef struct _Q35Board Q35Board;
Q35Board *q35_board_new (VmmMachine *machine, const Q35Config *config, GError **error);
/* Frees the handle; the devices belong to the machine. Call before vmm_machine_free. */
void q35_board_free (Q35Board *board);
PciBus *q35_board_get_root_bus (Q35Board *board);
/* (nullable) The AHCI controller, for drives. */
VmmDevice *q35_board_get_sata (Q35Board *board);
/* Bytes above 4 GiB that firmware and kernels can give to 64-bit BARs together: by the width of the
 * guest's physical addresses, and by what UEFI firmware takes of it. */
guint64 q35_board_get_bar_space (Q35Board *board);
/* Has UEFI firmware leave address space behind each empty root port, so that a card with much memory
 * of its own can come while the guest runs: half of what the used bytes of the cards that are there
 * leave of q35_board_get_bar_space, in equal parts. Other guests have their own rule: systems that
 * SeaBIOS starts may know no addresses above 4 GiB, where such a reserve would push everything, and
 * Linux gives out windows anew. Before the guest runs; control thread. */
void q35_board_reserve_for_hotplug (Q35Board *board, guint64 used);
/* n: 0..n_root_ports-1. The bus behind a root port. */
PciBus *q35_board_get_port_bus (Q35Board *board, guint n);
/* A free slot on the root bus, or -1. */
int q35_board_find_free_slot (Q35Board *board);
/* Firmware boot order: OpenFirmware-style paths are generated from the devices, lowest first. */
void q35_board_add_boot_device (Q35Board *board, VmmDevice *device, guint index);
/* One disk of a controller: node is what comes after the controller's path, "/namespace@1,0". */
void
q35_board_add_boot_disk (Q35Board *board, VmmDevice *controller, const char *node, guint index);
/* All entries of a device that goes away. */
void q35_board_remove_boot_device (Q35Board *board, VmmDevice *device);
/* The root port whose bus this is, NULL for the root bus. */
PciDevice *q35_board_find_port (Q35Board *board, PciBus *bus);
/* fw_cfg files for the guest ("opt/..." names). (transfer none) bytes. */
gboolean
q35_board_add_fw_cfg_file (Q35Board *board, const char *name, GBytes *bytes, GError **error);
/**
 * q35_board_add_placed_file:
 * @name: of the fw_cfg file, at most 50 bytes of printable ASCII
 * @bytes: (transfer none)
 * @placed: called with the address after each boot's firmware has put it there; vCPU thread
 *
 * Has any firmware that reads ACPI tables copy the bytes to a page below 4 GiB that the guest's kernel
 * leaves alone. One file a machine, before the guest runs. There is no firmware with direct boot, and
 * nothing comes of it. Errors: BUSY when there is one, and those of fw_cfg_add_file.
 */
gboolean q35_board_add_placed_file (Q35Board *board,
                                    const char *name,
                                    GBytes *bytes,
                                    void (*placed) (gpointer user_data, guint64 address),
                                    gpointer user_data,
                                    GError **error);
/* What the chipset's two functions are called; all else of them stays. Before the guest runs. */
typedef struct
{
  guint16 vendor, device, subsystem_vendor, subsystem;
  guint8 revision;
} Q35Name;
/* The host bridge keeps its vendor and device, by which firmware knows what board it is on. */
void q35_board_name_host_bridge (Q35Board *board, const Q35Name *name);
void q35_board_name_lpc_bridge (Q35Board *board, const Q35Name *name);
/* Direct boot (firmware NONE): places ACPI and SMBIOS into RAM and returns the RSDP address, to
 * be called from the VmmBootFunc at each reset. Also the e820 map of the board. */
gboolean q35_board_place_acpi (Q35Board *board, VmmGpa *ret_rsdp, GError **error);
/* What direct boot's memory map is made of: RAM below and above 4 GiB, PCIEXBAR as at reset (direct
 * boot presets the register, since no firmware will). */
void q35_board_get_layout (Q35Board *board, VmmE820Layout *ret_layout);
void q35_board_press_power_button (Q35Board *board);
/* Writes flash variables now (pause, stop). */
gboolean q35_board_flush (Q35Board *board, GError **error);
/* (transfer full) (nullable): the variable store's contents at this moment. Quiesced devices. */
GBytes *q35_board_dup_firmware_vars (Q35Board *board);
/* Gives the guest NMI etc. comes later. VMGENID: 16 bytes; notifies the guest when running. */
void q35_board_set_generation_id (Q35Board *board, const guint8 id[16]);
