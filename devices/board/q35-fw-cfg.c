/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the board tells its firmware: fw_cfg items and CMOS bytes. */
#include "devices/board/q35-private.h"

#include "devices/board/q35-acpi.h"
#include "devices/board/root-port.h"
#include "devices/storage/ahci.h"
#include "vmm/boot/e820.h"
#include "vmm/vm.h"

#include <linux/pci_regs.h>
#include <string.h>

/* Paddings keep file sizes from moving when tables change a little between two reads. */
#define TABLES_PAD 0x4000
#define LOADER_PAD 0x1000

#define AMD_HOLE G_GUINT64_CONSTANT (0xfd00000000)
#define ONE_TIB  (G_GUINT64_CONSTANT (1) << 40)
#define ONE_GIB  (G_GUINT64_CONSTANT (1) << 30)
#define MIB      (G_GUINT64_CONSTANT (1) << 20)

#define EDK2_CLASSIC (32 * ONE_GIB)
/* For hot-plug: behind a port at most, and below 4 GiB behind all. */
#define RESERVE_MAX  (128 * ONE_GIB)
#define RESERVE_LOW  (256u << 20)

/* The 64-bit window has to contain what the firmware chooses: OVMF takes the top of the guest's
 * physical addresses, SeaBIOS goes upwards from the end of RAM. AMD's hole below 1 TiB is no
 * memory. */
static VmmAcpiWindow
high_window (Q35Board *board)
{
  guint bits = CLAMP (board->config.phys_bits, 36, 52);
  guint64 end = G_GUINT64_CONSTANT (1) << bits;
  guint64 base = Q35_4G + q35_memory_get_high (board->memory);

  base = (base + ONE_GIB - 1) & ~(ONE_GIB - 1);
  if (bits > 40 && board->config.firmware != Q35_FIRMWARE_BIOS)
    base = MAX (base, ONE_TIB);
  else if (bits >= 40 && base < AMD_HOLE)
    end = AMD_HOLE;
  return base < end ? (VmmAcpiWindow){ base, end - base } : (VmmAcpiWindow){ 0, 0 };
}

guint64
q35_board_get_bar_space (Q35Board *board)
{
  VmmAcpiWindow window = high_window (board);
  guint bits = CLAMP (board->config.phys_bits, 36, 52);

  /* edk2: the top eighth of the addresses, of at most 46 bits without five-level paging. */
  if (board->config.firmware == Q35_FIRMWARE_UEFI)
    return MIN (window.length, G_GUINT64_CONSTANT (1) << (MIN (bits, 46) - 3));
  return window.length;
}

void
q35_board_reserve_for_hotplug (Q35Board *board, guint64 used)
{
  guint64 space = q35_board_get_bar_space (board), part;
  guint n = board->config.n_root_ports;
  guint32 memory;

  if (board->config.firmware != Q35_FIRMWARE_UEFI || n == 0)
    return;
  /* edk2 believes 41 bits and more, and Intel's 39; else its window has 32 GiB. */
  if (board->config.phys_bits < 41 && board->config.phys_bits != 39)
    space = MIN (space, EDK2_CLASSIC);
  part = space > used ? (space - used) / 2 / n : 0;
  part = MIN (part, RESERVE_MAX);
  while ((part & (part - 1)) != 0)
    part &= part - 1;
  memory = RESERVE_LOW / MAX (n, 8);
  while ((memory & (memory - 1)) != 0)
    memory &= memory - 1;
  for (guint i = 0; i < n; i++)
    pcie_root_port_set_reserve (board->ports[i], memory, part >= MIB ? part : G_MAXUINT64);
}

void
q35_board_fill_acpi_config (Q35Board *board, VmmAcpiConfig *config)
{
  vmm_acpi_config_init (config);
  config->n_cpus = board->config.n_vcpus;
  config->apic_ids = board->apic_ids;
  config->pm_base = Q35_PM_BASE;
  config->sci_irq = Q35_SCI_GSI;
  config->lapic_base = Q35_LAPIC_BASE;
  config->ioapic_base = Q35_IOAPIC_BASE;
  config->hpet_base = board->config.hpet ? Q35_HPET_BASE : 0;
  config->pciexbar = q35_mch_get_pciexbar (board->mch, &config->pciexbar_n_buses);
  config->i8042 = board->config.i8042;
  q35_acpi_set_windows (config, q35_memory_get_low (board->memory));
  config->window64 = high_window (board);
  config->n_root_ports = board->config.n_root_ports;
  for (guint i = 0; i < config->n_root_ports; i++)
    config->root_ports[i] = (guint8)board->ports[i]->pci_config.devfn;
  config->serial_mask = 0;
  for (guint i = 0; i < 4; i++)
    if (board->config.serial_char[i] != NULL)
      config->serial_mask |= (guint8)(1u << i);
  config->pvpanic = TRUE;
  config->fw_cfg = TRUE;
  config->vmgenid = TRUE;
  config->placed_file = board->placed.name;
  config->placed_address_file = board->placed.address_name;
}

/* (transfer full) */
static GBytes *
padded (GBytes *bytes, gsize unit)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  gsize total = (size + unit - 1) / unit * unit;
  guint8 *copy = g_malloc0 (total);

  memcpy (copy, data, size);
  return g_bytes_new_take (copy, total);
}

static gboolean
build_acpi (
    Q35Board *board, GBytes **ret_tables, GBytes **ret_rsdp, GBytes **ret_loader, GError **error)
{
  VmmAcpiConfig config;
  VmmAcpiBlobs blobs = { 0 };

  q35_board_fill_acpi_config (board, &config);
  if (!q35_acpi_build (&config, &blobs, error))
    return FALSE;
  *ret_tables = padded (blobs.tables, TABLES_PAD);
  *ret_rsdp = g_bytes_ref (blobs.rsdp);
  *ret_loader = padded (blobs.loader, LOADER_PAD);
  vmm_acpi_blobs_clear (&blobs);
  return TRUE;
}

/* The guest selects one of the ACPI files or the directory: tables follow PCIEXBAR, which firmware
 * has programmed by then. fw_cfg's lock is held. */
static void
on_select_acpi (gpointer user_data)
{
  Q35Board *board = user_data;
  g_autoptr (GBytes) tables = NULL;
  g_autoptr (GBytes) rsdp = NULL;
  g_autoptr (GBytes) loader = NULL;
  guint n_buses;
  guint64 pciexbar = q35_mch_get_pciexbar (board->mch, &n_buses);

  if (board->acpi_built && board->acpi_pciexbar == pciexbar && board->acpi_n_buses == n_buses)
    return;
  /* A register value that makes no valid tables leaves the last valid ones. */
  if (!build_acpi (board, &tables, &rsdp, &loader, NULL))
    return;
  board->acpi_built = TRUE;
  board->acpi_pciexbar = pciexbar;
  board->acpi_n_buses = n_buses;
  fw_cfg_replace_file (board->fw_cfg, VMM_ACPI_FILE_TABLES, tables);
  fw_cfg_replace_file (board->fw_cfg, VMM_ACPI_FILE_RSDP, rsdp);
  fw_cfg_replace_file (board->fw_cfg, VMM_ACPI_FILE_LOADER, loader);
}

/* -- a file that firmware puts into memory ------------------------------------------------------ */

static void
on_placed (gpointer user_data, const guint8 *data)
{
  Q35Board *board = user_data;
  guint64 address;

  memcpy (&address, data, sizeof address);
  board->placed.placed (board->placed.user_data, GUINT64_FROM_LE (address));
}

gboolean
q35_board_add_placed_file (Q35Board *board,
                           const char *name,
                           GBytes *bytes,
                           void (*placed) (gpointer user_data, guint64 address),
                           gpointer user_data,
                           GError **error)
{
  g_autofree char *address_name = g_strconcat (name, "-addr", NULL);

  if (board->placed.name != NULL)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_BUSY,
                   "The machine's firmware is to put “%s” into memory already", board->placed.name);
      return FALSE;
    }
  if (board->config.firmware == Q35_FIRMWARE_NONE)
    return TRUE;
  if (!fw_cfg_add_file (board->fw_cfg, name, bytes, error) ||
      !fw_cfg_add_writable_file (board->fw_cfg, address_name, sizeof (guint64), on_placed, board,
                                 error))
    return FALSE;
  board->placed.placed = placed;
  board->placed.user_data = user_data;
  board->placed.name = g_strdup (name);
  board->placed.address_name = g_steal_pointer (&address_name);
  return TRUE;
}

/* -- boot order ------------------------------------------------------------------------------- */

/* The node name firmware expects for a class. Open Firmware PCI bus binding 2.1, 2.2.1.3. */
static void
append_node (GString *path, PciDevice *device)
{
  guint class_code = pci_device_get_config (device, PCI_CLASS_DEVICE, 2);
  guint devfn = (guint)device->pci_config.devfn;

  switch (class_code)
    {
    case 0x0100:
      g_string_append (path, "/scsi");
      break;
    case 0x0200:
      g_string_append (path, "/ethernet");
      break;
    case 0x0300:
      g_string_append (path, "/display");
      break;
    case 0x0604:
      g_string_append (path, "/pci-bridge");
      break;
    default:
      g_string_append_printf (path, "/pci%04x,%04x", pci_device_get_config (device, 0, 2),
                              pci_device_get_config (device, 2, 2));
      break;
    }
  g_string_append_printf (path, "@%x", devfn >> 3);
  if ((devfn & 7) != 0)
    g_string_append_printf (path, ",%x", devfn & 7);
}

typedef struct
{
  PciBus *bus;
  VmmDevice *wanted;
  PciDevice *found;
} Search;

static void
match_device (PciDevice *device, gpointer user_data)
{
  Search *search = user_data;

  if (&device->parent == search->wanted)
    search->found = device;
}

char *
q35_board_boot_path (Q35Board *board, VmmDevice *device, const char *node)
{
  GString *path = g_string_new ("/pci@i0cf8");
  Search search = { board->root, device, NULL };
  VmmDevice *controller = NULL;
  guint class_code, port = 0;

  if (ahci_drive_find (device, &controller, &port))
    search.wanted = controller;
  pci_bus_foreach (board->root, match_device, &search);
  for (guint i = 0; i < board->config.n_root_ports && search.found == NULL; i++)
    {
      pci_bus_foreach (board->port_buses[i], match_device, &search);
      if (search.found != NULL)
        append_node (path, board->ports[i]);
    }
  if (search.found == NULL)
    {
      g_string_free (path, TRUE);
      return NULL;
    }
  append_node (path, search.found);
  class_code = pci_device_get_config (search.found, PCI_CLASS_DEVICE, 2);
  if (controller != NULL)
    g_string_append_printf (path, "/drive@%x/disk@0", port);
  else if (*node != '\0')
    g_string_append (path, node);
  else if (class_code == 0x0100)
    g_string_append (path, "/disk@0,0");
  else if (class_code == 0x0200)
    g_string_append (path, "/ethernet-phy@0");
  return g_string_free (path, FALSE);
}

/* One path a line, NUL at the end. */
static void
on_select_boot_order (gpointer user_data)
{
  Q35Board *board = user_data;
  GString *lines = g_string_new (NULL);
  g_autoptr (GBytes) bytes = NULL;

  g_mutex_lock (&board->boot_lock);
  for (guint i = 0; i < board->boot_devices->len; i++)
    {
      Q35BootDevice *entry = &g_array_index (board->boot_devices, Q35BootDevice, i);
      g_autofree char *path = q35_board_boot_path (board, entry->device, entry->node);

      if (path == NULL)
        continue;
      if (lines->len > 0)
        g_string_append_c (lines, '\n');
      g_string_append (lines, path);
    }
  g_mutex_unlock (&board->boot_lock);
  if (lines->len == 0)
    bytes = g_bytes_new_static ("", 0);
  else
    bytes = g_bytes_new (lines->str, lines->len + 1);
  g_string_free (lines, TRUE);
  fw_cfg_replace_file (board->fw_cfg, "bootorder", bytes);
}

/* -- the rest ---------------------------------------------------------------------------------- */

static gboolean
add_bytes (Q35Board *board, const char *name, gconstpointer data, gsize size, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (data, size);

  return fw_cfg_add_file (board->fw_cfg, name, bytes, error);
}

static gboolean
add_acpi (Q35Board *board, GError **error)
{
  g_autoptr (GBytes) tables = NULL;
  g_autoptr (GBytes) rsdp = NULL;
  g_autoptr (GBytes) loader = NULL;

  return build_acpi (board, &tables, &rsdp, &loader, error) &&
         fw_cfg_add_late_file (board->fw_cfg, VMM_ACPI_FILE_TABLES, tables, on_select_acpi, board,
                               error) &&
         fw_cfg_add_late_file (board->fw_cfg, VMM_ACPI_FILE_RSDP, rsdp, on_select_acpi, board,
                               error) &&
         fw_cfg_add_late_file (board->fw_cfg, VMM_ACPI_FILE_LOADER, loader, on_select_acpi, board,
                               error);
}

void
q35_board_fill_smbios_config (Q35Board *board, VmmSmbiosConfig *config)
{
  *config = (VmmSmbiosConfig){
    .manufacturer = "Alcove",
    .product = "Virtual Machine (q35)",
    .version = ALCOVE_VERSION,
    .sockets = board->config.cores == 0 ? 1 : MAX (board->config.sockets, 1),
    .cores = board->config.cores == 0 ? board->config.n_vcpus : board->config.cores,
    .threads = board->config.cores == 0 ? 1 : MAX (board->config.threads, 1),
    .low_ram = q35_memory_get_low (board->memory),
    .high_ram = q35_memory_get_high (board->memory),
    .uefi = board->config.firmware == Q35_FIRMWARE_UEFI,
  };
  memcpy (config->uuid, board->config.uuid, sizeof config->uuid);
}

static gboolean
add_smbios (Q35Board *board, GError **error)
{
  g_autoptr (GBytes) anchor = NULL;
  g_autoptr (GBytes) tables = NULL;
  VmmSmbiosConfig config;

  q35_board_fill_smbios_config (board, &config);
  return vmm_smbios_build (&config, &anchor, &tables, error) &&
         fw_cfg_add_file (board->fw_cfg, VMM_SMBIOS_FILE_ANCHOR, anchor, error) &&
         fw_cfg_add_file (board->fw_cfg, VMM_SMBIOS_FILE_TABLES, tables, error);
}

gboolean
q35_board_fill_fw_cfg (Q35Board *board, GError **error)
{
  /* S-states: byte 3 is S3 (off), byte 4 S4 (off); bit 7 means on. */
  static const guint8 states[6] = { 0x80, 0, 0, 1, 2, 0x80 };
  FwCfg *fw_cfg = board->fw_cfg;
  g_autoptr (GBytes) uuid = g_bytes_new (board->config.uuid, 16);
  g_autoptr (GBytes) e820 = NULL;
  g_autoptr (GBytes) empty = g_bytes_new_static ("", 0);
  VmmE820Layout layout;
  VmmE820 map;
  guint16 wait = GUINT16_TO_LE ((guint16)MIN (board->config.boot_menu_timeout_ms, 65535));

  fw_cfg_add_item (fw_cfg, FW_CFG_KEY_UUID, uuid);
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_RAM_SIZE, board->config.ram_size, 8);
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_NOGRAPHIC, 0, 2);
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_N_CPUS, board->config.n_vcpus, 2);
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_MAX_CPUS, board->config.n_vcpus, 2);
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_BOOT_MENU, board->config.boot_menu ? 1 : 0, 2);
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_NUMA, 0, 8);
  /* The PIT is on IOAPIC pin 2, as the MADT says. */
  fw_cfg_add_uint (fw_cfg, FW_CFG_KEY_IRQ0_OVERRIDE, 1, 1);

  q35_board_get_layout (board, &layout);
  vmm_e820_init (&map);
  if (!vmm_e820_build_firmware (&map, &layout) ||
      !vmm_e820_add (&map, VMM_KVM_RESERVED_BASE, VMM_KVM_RESERVED_SIZE, VMM_E820_RESERVED))
    {
      g_set_error_literal (error, VMM_ERROR, VMM_ERROR_FAILED,
                           "The machine's memory map could not be made.");
      return FALSE;
    }
  e820 = vmm_e820_to_bytes (&map);
  return fw_cfg_add_file (fw_cfg, "etc/e820", e820, error) &&
         add_bytes (board, "etc/system-states", states, sizeof states, error) &&
         (!board->config.boot_menu ||
          add_bytes (board, "etc/boot-menu-wait", &wait, sizeof wait, error)) &&
         fw_cfg_add_late_file (fw_cfg, "bootorder", empty, on_select_boot_order, board, error) &&
         add_smbios (board, error) && add_acpi (board, error);
}

static void
set_cmos16 (Rtc *rtc, guint index, guint64 value)
{
  value = MIN (value, 0xffff);
  rtc_set_cmos (rtc, index, (guint8)value);
  rtc_set_cmos (rtc, index + 1, (guint8)(value >> 8));
}

/* The CMOS map of PC firmware: memory sizes, processors, boot order. */
void
q35_board_fill_cmos (Q35Board *board)
{
  Rtc *rtc = board->rtc;
  guint64 low = q35_memory_get_low (board->memory), high = q35_memory_get_high (board->memory);
  guint64 extended = low > 0x100000 ? (low - 0x100000) / 1024 : 0;

  rtc_set_cmos (rtc, 0x14, 0x06); /* FPU, PS/2 mouse; no floppy */
  set_cmos16 (rtc, 0x15, 640);
  set_cmos16 (rtc, 0x17, extended);
  set_cmos16 (rtc, 0x30, extended);
  set_cmos16 (rtc, 0x34, low > 0x1000000 ? (low - 0x1000000) / 0x10000 : 0);
  rtc_set_cmos (rtc, 0x38, 0x01); /* no floppy signature check */
  rtc_set_cmos (rtc, 0x3d, 0x32); /* disk, then CD */
  rtc_set_cmos (rtc, 0x5b, (guint8)(high >> 16));
  rtc_set_cmos (rtc, 0x5c, (guint8)(high >> 24));
  rtc_set_cmos (rtc, 0x5d, (guint8)(high >> 32));
  rtc_set_cmos (rtc, 0x5f, (guint8)(MIN (board->config.n_vcpus, 256) - 1));
}
