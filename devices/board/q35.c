/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Composition of the board. The board itself is the machine's first device, so that its buses and
 * memory outlive everything put on them. */
#include "devices/board/q35-private.h"

#include "devices/board/q35-acpi.h"
#include "devices/board/root-port.h"
#include "devices/platform/debug-console.h"
#include "devices/platform/hpet.h"
#include "devices/platform/i8042.h"
#include "devices/platform/legacy-ports.h"
#include "devices/platform/serial.h"
#include "devices/platform/signal-port.h"
#include "devices/storage/ahci.h"
#include "vmm/boot/e820.h"

#include <linux/pci_regs.h>
#include <string.h>
#include <sys/stat.h>

#define MIN_RAM        (G_GUINT64_CONSTANT (1) << 20)
#define MAX_FIRMWARE   (G_GUINT64_CONSTANT (16) << 20)
#define MAX_ROOT_PORTS 32
#define ROOT_PORT_SLOT 0x1c
#define LPC_SLOT       0x1f

typedef struct
{
  VmmDevice parent;
  struct
  {
    Q35Board *board;
  } host;
} Q35Root;

/* -- the board as a device --------------------------------------------------------------------- */

static gboolean
root_realize (VmmDevice *device, VmmMachine *machine, GError **error)
{
  return TRUE;
}

static void
root_unrealize (VmmDevice *device)
{
  Q35Root *root = (Q35Root *)device;
  Q35Board *board = root->host.board;

  if (board == NULL)
    return;
  root->host.board = NULL;
  pci_bus_free (board->root);
  q35_memory_free (board->memory);
  g_array_unref (board->boot_devices);
  g_mutex_clear (&board->boot_lock);
  g_free (board->port_buses);
  g_free (board->ports);
  g_free (board->apic_ids);
  g_free (board->placed.name);
  g_free (board->placed.address_name);
  g_free ((char *)board->config.firmware_code);
  g_free ((char *)board->config.firmware_vars);
  g_free ((char *)board->config.machine_name);
  g_free (board);
}

static void
root_reset (VmmDevice *device, VmmResetKind kind)
{
  Q35Board *board = ((Q35Root *)device)->host.board;

  board->acpi_built = FALSE;
}

static void
root_quiesce (VmmDevice *device)
{
}

static void
root_resume (VmmDevice *device)
{
}

/* What must be the same when a state is loaded. */
static gboolean
root_save (VmmDevice *device, VmmStateWriter *writer, GError **error)
{
  Q35Board *board = ((Q35Root *)device)->host.board;

  vmm_state_put_uint (writer, "ram-size", board->config.ram_size);
  vmm_state_put_uint (writer, "root-ports", board->config.n_root_ports);
  return TRUE;
}

static gboolean
root_load (VmmDevice *device, VmmStateReader *reader, guint32 version, GError **error)
{
  Q35Board *board = ((Q35Root *)device)->host.board;
  guint64 ram_size, n_ports;

  if (!vmm_state_get_uint (reader, "ram-size", G_MAXUINT64, &ram_size, error) ||
      !vmm_state_get_uint (reader, "root-ports", MAX_ROOT_PORTS, &n_ports, error))
    return FALSE;
  if (ram_size == board->config.ram_size && n_ports == board->config.n_root_ports)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "The state was saved by a machine with %" G_GUINT64_FORMAT " MiB of memory and %u "
               "PCI Express slots; this one has %" G_GUINT64_FORMAT " MiB and %u.",
               ram_size >> 20, (guint)n_ports, board->config.ram_size >> 20,
               board->config.n_root_ports);
  return FALSE;
}

static const VmmDeviceOps q35_root_ops = {
  .name = "q35-board",
  .summary = "Board",
  .spec = "Intel 3 Series chipset datasheet 316966",
  .instance_size = sizeof (Q35Root),
  .state_version = 1,
  .realize = root_realize,
  .unrealize = root_unrealize,
  .reset = root_reset,
  .quiesce = root_quiesce,
  .resume = root_resume,
  .save = root_save,
  .load = root_load,
};

/* -- making it --------------------------------------------------------------------------------- */

typedef struct
{
  const char *name;
  VmmPropertyType type;
  guint64 value;
  gconstpointer pointer;
} Setting;

/* settings end with name NULL. (transfer none): the machine's. */
static VmmDevice *
make (VmmMachine *machine,
      const VmmDeviceOps *ops,
      const char *id,
      const Setting *settings,
      GError **error)
{
  VmmDevice *device = vmm_device_new (ops, id);
  gboolean ok = TRUE;

  for (; ok && settings != NULL && settings->name != NULL; settings++)
    switch (settings->type)
      {
      case VMM_PROPERTY_BOOL:
        ok = vmm_device_set_bool (device, settings->name, settings->value != 0, error);
        break;
      case VMM_PROPERTY_UINT:
        ok = vmm_device_set_uint (device, settings->name, settings->value, error);
        break;
      case VMM_PROPERTY_STRING:
        ok = vmm_device_set_string (device, settings->name, settings->pointer, error);
        break;
      case VMM_PROPERTY_POINTER:
        ok = vmm_device_set_pointer (device, settings->name, (gpointer)settings->pointer, error);
        break;
      }
  if (ok && vmm_device_realize (device, machine, error))
    return device;
  vmm_device_free (device);
  return NULL;
}

#define SETTINGS(...) ((const Setting[]){ __VA_ARGS__, { NULL } })
#define UINT(name, value)                                                                          \
  {                                                                                                \
    name, VMM_PROPERTY_UINT, (value), NULL                                                         \
  }
#define BOOL(name, value)                                                                          \
  {                                                                                                \
    name, VMM_PROPERTY_BOOL, (value), NULL                                                         \
  }
#define POINTER(name, pointer)                                                                     \
  {                                                                                                \
    name, VMM_PROPERTY_POINTER, 0, (pointer)                                                       \
  }
#define STRING(name, string)                                                                       \
  {                                                                                                \
    name, VMM_PROPERTY_STRING, 0, (string)                                                         \
  }

static void
on_intx (gpointer opaque, guint slot, guint pin, gboolean level)
{
  Q35Board *board = opaque;
  guint pirq = q35_intx_to_pirq (slot, pin);

  /* Several slots share a PIRQ; the count makes the wired-OR. The PCI core's INTx lock is held. */
  if (level ? board->pirq_count[pirq]++ == 0 : --board->pirq_count[pirq] == 0)
    q35_lpc_set_pirq (board->lpc, pirq, level);
}

static guint
get_gsi (gpointer opaque, guint slot, guint pin)
{
  return Q35_PIRQ_GSI (q35_intx_to_pirq (slot, pin));
}

static const PciBusOps root_bus_ops = {
  .set_intx = on_intx,
  .get_gsi = get_gsi,
};

static gboolean
check_config (const Q35Config *config, GError **error)
{
  const char *wrong = NULL;

  if (config->ram_size < MIN_RAM || config->ram_size % (1u << 20) != 0 ||
      config->ram_size > (G_GUINT64_CONSTANT (1) << 44))
    wrong = "Give the machine memory as a whole number of MiB, at least 1 and at most 16 TiB.";
  else if (config->n_vcpus == 0 || config->n_vcpus > VMM_ACPI_MAX_CPUS)
    wrong = "Give the machine between 1 and 1024 processors.";
  else if (config->n_root_ports > MAX_ROOT_PORTS)
    wrong = "A machine has at most 32 PCI Express slots.";
  else if (config->firmware != Q35_FIRMWARE_NONE && config->firmware_code == NULL)
    wrong = "The machine has no firmware image.";
  if (wrong == NULL)
    return TRUE;
  g_set_error_literal (error, VMM_ERROR, VMM_ERROR_INVALID, wrong);
  return FALSE;
}

static GBytes *
read_firmware (const char *path, GError **error)
{
  g_autoptr (GError) local = NULL;
  char *data;
  gsize length;
  struct stat st;

  if (stat (path, &st) == 0 && (!S_ISREG (st.st_mode) || (guint64)st.st_size > MAX_FIRMWARE))
    length = 0;
  else if (!g_file_get_contents (path, &data, &length, &local))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "The firmware cannot be read: %s",
                   local->message);
      return NULL;
    }
  else if (length != 0 && length % 4096 == 0)
    return g_bytes_new_take (data, length);
  else
    g_free (data);
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "“%s” is not a firmware image: its size must be a multiple of 4096 bytes, at most "
               "16 MiB.",
               path);
  return NULL;
}

static gboolean
add_firmware (Q35Board *board, GError **error)
{
  const Q35Config *config = &board->config;
  g_autoptr (GBytes) image = NULL;
  guint64 size;
  struct stat st;

  if (config->firmware == Q35_FIRMWARE_NONE)
    return TRUE;
  image = read_firmware (config->firmware_code, error);
  if (image == NULL || !q35_memory_set_low_rom (board->memory, image, error))
    return FALSE;
  if (config->firmware == Q35_FIRMWARE_BIOS)
    return q35_memory_map_rom (board->memory, image, error);
  size = g_bytes_get_size (image);
  if (make (board->machine, &cfi_flash_ops, "flash.code",
            SETTINGS (UINT ("base", Q35_4G - size), UINT ("size", size),
                      STRING ("path", config->firmware_code), BOOL ("read-only", TRUE)),
            error) == NULL)
    return FALSE;
  if (config->firmware_vars == NULL)
    return TRUE;
  if (stat (config->firmware_vars, &st) != 0)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_NOT_FOUND,
                   "The firmware variables “%s” cannot be found.", config->firmware_vars);
      return FALSE;
    }
  if (st.st_size <= 0 || (guint64)st.st_size > MAX_FIRMWARE - size)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "“%s” is no store of firmware variables for “%s”: together they have more than "
                   "16 MiB, or it is empty.",
                   config->firmware_vars, config->firmware_code);
      return FALSE;
    }
  /* The variable store ends where the code begins. */
  board->vars = (CfiFlash *)make (board->machine, &cfi_flash_ops, "flash.vars",
                                  SETTINGS (UINT ("base", Q35_4G - size - (guint64)st.st_size),
                                            UINT ("size", (guint64)st.st_size),
                                            STRING ("path", config->firmware_vars)),
                                  error);
  return board->vars != NULL;
}

static gboolean
add_chipset (Q35Board *board, GError **error)
{
  gboolean direct = board->config.firmware == Q35_FIRMWARE_NONE;

  board->pm = (Pm *)make (board->machine, &pm_ops, "board.pm",
                          SETTINGS (UINT ("sci-gsi", Q35_SCI_GSI)), error);
  if (board->pm == NULL)
    return FALSE;
  board->mch =
      (Q35Mch *)make (board->machine, &q35_mch_ops, "board.mch",
                      SETTINGS (POINTER ("bus", board->root), UINT ("devfn", 0),
                                POINTER ("memory", board->memory), BOOL ("direct-boot", direct)),
                      error);
  if (board->mch == NULL)
    return FALSE;
  board->lpc = (Q35Lpc *)make (board->machine, &q35_lpc_ops, "board.lpc",
                               SETTINGS (POINTER ("bus", board->root),
                                         UINT ("devfn", LPC_SLOT << 3), UINT ("multifunction", 1),
                                         POINTER ("pm", board->pm), BOOL ("direct-boot", direct)),
                               error);
  if (board->lpc == NULL || !board->config.sata)
    return board->lpc != NULL;
  board->sata = make (board->machine, &ahci_device_ops, "board.sata",
                      SETTINGS (POINTER ("bus", board->root), UINT ("devfn", LPC_SLOT << 3 | 2),
                                UINT ("multifunction", 1)),
                      error);
  return board->sata != NULL;
}

static gboolean
add_serial (Q35Board *board, GError **error)
{
  static const struct
  {
    const char *id;
    guint16 port;
    guint8 gsi;
  } ports[4] = {
    { "serial.1", 0x3f8, 4 },
    { "serial.2", 0x2f8, 3 },
    { "serial.3", 0x3e8, 4 },
    { "serial.4", 0x2e8, 3 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (ports); i++)
    if (board->config.serial_char[i] != NULL &&
        make (board->machine, &serial_ops, ports[i].id,
              SETTINGS (UINT ("port", ports[i].port), UINT ("gsi", ports[i].gsi),
                        POINTER ("chardev", board->config.serial_char[i])),
              error) == NULL)
      return FALSE;
  return TRUE;
}

static gboolean
add_platform (Q35Board *board, GError **error)
{
  const Q35Config *config = &board->config;
  VmmMachine *machine = board->machine;

  if (make (machine, &legacy_ports_ops, "board.legacy", NULL, error) == NULL)
    return FALSE;
  board->rtc = (Rtc *)make (machine, &rtc_ops, "board.rtc",
                            SETTINGS (BOOL ("localtime", config->rtc_localtime)), error);
  board->fw_cfg =
      board->rtc == NULL ? NULL : (FwCfg *)make (machine, &fw_cfg_ops, "board.fw-cfg", NULL, error);
  board->vmgenid =
      board->fw_cfg == NULL
          ? NULL
          : (Vmgenid *)make (
                machine, &vmgenid_ops, "board.vmgenid",
                SETTINGS (POINTER ("fw-cfg", board->fw_cfg), POINTER ("pm", board->pm)), error);
  if (board->vmgenid == NULL || !add_serial (board, error))
    return FALSE;
  if (config->hpet && make (machine, &hpet_ops, "board.hpet",
                            SETTINGS (UINT ("base", Q35_HPET_BASE)), error) == NULL)
    return FALSE;
  if (config->i8042 && make (machine, &i8042_ops, "board.i8042",
                             SETTINGS (POINTER ("router", config->input_router)), error) == NULL)
    return FALSE;
  if (config->debug_console &&
      make (machine, &debug_console_ops, "board.debug-console",
            SETTINGS (POINTER ("chardev", config->debug_console_char)), error) == NULL)
    return FALSE;
  if (config->debug_exit &&
      make (machine, &debug_exit_ops, "board.debug-exit", NULL, error) == NULL)
    return FALSE;
  return make (machine, &pvpanic_ops, "board.pvpanic", NULL, error) != NULL;
}

/* Ports fill slot 0x1c, function by function, then 0x1b and on. */
static guint
port_devfn (guint n)
{
  return (ROOT_PORT_SLOT - n / 8) << 3 | n % 8;
}

static gboolean
add_root_ports (Q35Board *board, GError **error)
{
  guint n = board->config.n_root_ports;

  board->ports = g_new0 (PciDevice *, n);
  board->port_buses = g_new0 (PciBus *, n);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *id = g_strdup_printf ("port.%u", i);

      board->ports[i] =
          (PciDevice *)make (board->machine, &pcie_root_port_ops, id,
                             SETTINGS (POINTER ("bus", board->root), UINT ("devfn", port_devfn (i)),
                                       UINT ("multifunction", 1), UINT ("slot-number", i + 1)),
                             error);
      if (board->ports[i] == NULL)
        return FALSE;
      board->port_buses[i] = pcie_root_port_get_bus (board->ports[i]);
    }
  return TRUE;
}

Q35Board *
q35_board_new (VmmMachine *machine, const Q35Config *config, GError **error)
{
  Q35Board *board;
  VmmDevice *root;

  if (!check_config (config, error))
    return NULL;
  root = make (machine, &q35_root_ops, "board", NULL, error);
  if (root == NULL)
    return NULL;
  board = g_new0 (Q35Board, 1);
  ((Q35Root *)root)->host.board = board;
  board->machine = machine;
  board->config = *config;
  board->config.firmware_code = g_strdup (config->firmware_code);
  board->config.firmware_vars = g_strdup (config->firmware_vars);
  board->config.machine_name = g_strdup (config->machine_name);
  board->boot_devices = g_array_new (FALSE, FALSE, sizeof (Q35BootDevice));
  g_mutex_init (&board->boot_lock);
  board->apic_ids = g_new (guint32, config->n_vcpus);
  for (guint i = 0; i < config->n_vcpus; i++)
    board->apic_ids[i] = config->apic_ids != NULL ? config->apic_ids[i] : i;
  board->config.apic_ids = board->apic_ids;
  board->root = pci_bus_new (machine, "pcie.0", &root_bus_ops, board);
  board->memory = q35_memory_new (machine, config, error);
  /* On failure the machine keeps what was made until it is freed. */
  if (board->memory == NULL || !add_chipset (board, error) || !add_platform (board, error) ||
      !add_firmware (board, error) || !add_root_ports (board, error) ||
      !q35_board_fill_fw_cfg (board, error))
    return NULL;
  q35_board_fill_cmos (board);
  return board;
}

void
q35_board_free (Q35Board *board)
{
  /* The machine's first device owns it: it goes with the machine. */
}

/* -- using it ---------------------------------------------------------------------------------- */

PciBus *
q35_board_get_root_bus (Q35Board *board)
{
  return board->root;
}

PciBus *
q35_board_get_port_bus (Q35Board *board, guint n)
{
  return n < board->config.n_root_ports ? board->port_buses[n] : NULL;
}

VmmDevice *
q35_board_get_sata (Q35Board *board)
{
  return board->sata;
}

int
q35_board_find_free_slot (Q35Board *board)
{
  for (guint slot = 1; slot < ROOT_PORT_SLOT; slot++)
    {
      gboolean taken = FALSE;

      for (guint function = 0; function < 8 && !taken; function++)
        taken = pci_bus_find (board->root, slot << 3 | function) != NULL;
      if (!taken)
        return (int)slot;
    }
  return -1;
}

static gint
compare_boot (gconstpointer a, gconstpointer b)
{
  const Q35BootDevice *left = a, *right = b;

  return left->index < right->index ? -1 : left->index > right->index;
}

void
q35_board_add_boot_device (Q35Board *board, VmmDevice *device, guint index)
{
  q35_board_add_boot_disk (board, device, "", index);
}

void
q35_board_add_boot_disk (Q35Board *board, VmmDevice *controller, const char *node, guint index)
{
  Q35BootDevice entry = { .device = controller, .index = index };

  g_strlcpy (entry.node, node, sizeof entry.node);
  g_mutex_lock (&board->boot_lock);
  g_array_append_val (board->boot_devices, entry);
  g_array_sort (board->boot_devices, compare_boot);
  g_mutex_unlock (&board->boot_lock);
}

void
q35_board_remove_boot_device (Q35Board *board, VmmDevice *device)
{
  g_mutex_lock (&board->boot_lock);
  for (guint i = board->boot_devices->len; i-- > 0;)
    if (g_array_index (board->boot_devices, Q35BootDevice, i).device == device)
      g_array_remove_index (board->boot_devices, i);
  g_mutex_unlock (&board->boot_lock);
}

PciDevice *
q35_board_find_port (Q35Board *board, PciBus *bus)
{
  for (guint i = 0; i < board->config.n_root_ports; i++)
    if (board->port_buses[i] == bus)
      return board->ports[i];
  return NULL;
}

gboolean
q35_board_add_fw_cfg_file (Q35Board *board, const char *name, GBytes *bytes, GError **error)
{
  return fw_cfg_add_file (board->fw_cfg, name, bytes, error);
}

static void
set_name (PciDevice *bridge, const Q35Name *name)
{
  pci_device_set_config (bridge, PCI_REVISION_ID, 1, name->revision);
  pci_device_set_config (bridge, PCI_SUBSYSTEM_VENDOR_ID, 2, name->subsystem_vendor);
  pci_device_set_config (bridge, PCI_SUBSYSTEM_ID, 2, name->subsystem);
}

void
q35_board_name_host_bridge (Q35Board *board, const Q35Name *name)
{
  set_name ((PciDevice *)board->mch, name);
}

void
q35_board_name_lpc_bridge (Q35Board *board, const Q35Name *name)
{
  PciDevice *lpc = (PciDevice *)board->lpc;

  pci_device_set_config (lpc, PCI_VENDOR_ID, 2, name->vendor);
  pci_device_set_config (lpc, PCI_DEVICE_ID, 2, name->device);
  set_name (lpc, name);
}

void
q35_board_get_layout (Q35Board *board, VmmE820Layout *ret_layout)
{
  gboolean direct = board->config.firmware == Q35_FIRMWARE_NONE;

  *ret_layout = (VmmE820Layout){
    .low_ram = q35_memory_get_low (board->memory),
    .high_ram = q35_memory_get_high (board->memory),
    .pciexbar = direct ? Q35_DIRECT_PCIEXBAR : 0,
    .pciexbar_length = direct ? 256u * (guint64)Q35_ECAM_BUS_SIZE : 0,
  };
}

/* Behind the ACPI tables in the area that the memory map keeps free for both. */
static gboolean
place_smbios (Q35Board *board, GError **error)
{
  guint64 low = q35_memory_get_low (board->memory), area, length;
  VmmSmbiosConfig config;

  if (!vmm_e820_get_acpi_area (low, &area, &length) || length <= VMM_ACPI_DIRECT_SIZE)
    return TRUE; /* a toy machine: no tables */
  q35_board_fill_smbios_config (board, &config);
  return vmm_smbios_place (&config, vmm_machine_get_memory (board->machine),
                           vmm_gpa (area + VMM_ACPI_DIRECT_SIZE), length - VMM_ACPI_DIRECT_SIZE,
                           vmm_gpa (VMM_SMBIOS_LEGACY_ENTRY), error);
}

gboolean
q35_board_place_acpi (Q35Board *board, VmmGpa *ret_rsdp, GError **error)
{
  VmmAcpiConfig config;
  VmmGpa vmgenid = { 0 };

  q35_board_fill_acpi_config (board, &config);
  vmgenid_get_id (board->vmgenid, config.vmgenid_guid);
  if (!q35_acpi_place (&config, vmm_machine_get_memory (board->machine),
                       q35_memory_get_low (board->memory), ret_rsdp, &vmgenid, error))
    return FALSE;
  vmgenid_set_address (board->vmgenid, vmgenid.value);
  return place_smbios (board, error);
}

void
q35_board_press_power_button (Q35Board *board)
{
  pm_press_power_button (board->pm);
}

GBytes *
q35_board_dup_firmware_vars (Q35Board *board)
{
  return board->vars == NULL ? NULL : cfi_flash_dup_contents (board->vars);
}

gboolean
q35_board_flush (Q35Board *board, GError **error)
{
  return board->vars == NULL || cfi_flash_flush (board->vars, error);
}

void
q35_board_set_generation_id (Q35Board *board, const guint8 id[16])
{
  vmgenid_set_id (board->vmgenid, id);
}
