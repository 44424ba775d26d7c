/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/machine-private.h"

#include <string.h>

#include "app/generation.h"
#include "app/runner/firmware.h"
#include "app/runner/hotplug.h"
#include "app/runner/passthrough.h"
#include "devices/backends/block/guard.h"

/* Text of a checked definition to 16 bytes, RFC 4122 order. */
static void
parse_uuid (const char *text, guint8 ret_uuid[16])
{
  guint n = 0;

  while (*text != '\0' && n < 16)
    if (*text == '-')
      text++;
    else
      {
        ret_uuid[n++] =
            (guint8)(g_ascii_xdigit_value (text[0]) << 4 | g_ascii_xdigit_value (text[1]));
        text += 2;
      }
}

static VmmCpuLevel
cpu_level (AlcoveCpuLevel level)
{
  switch (level)
    {
    case ALCOVE_CPU_X86_64_V2:
      return VMM_CPU_X86_64_V2;
    case ALCOVE_CPU_X86_64_V3:
      return VMM_CPU_X86_64_V3;
    case ALCOVE_CPU_X86_64_V4:
      return VMM_CPU_X86_64_V4;
    case ALCOVE_CPU_HOST:
    default:
      return VMM_CPU_HOST;
    }
}

static gboolean
make_vm (RunnerMachine *self, const AlcoveMachineConfig *config, GError **error)
{
  VmmVmConfig vm = {
    .n_vcpus = config->cpus,
    .sockets = config->sockets,
    .cores = config->cores,
    .threads = config->threads,
    .cpu_level = cpu_level (config->cpu),
    .nested = config->nested,
    .hide_hypervisor = config->hide_hypervisor,
    .invariant_tsc = config->invariant_tsc,
    .unknown_msr =
        config->unknown_msr == ALCOVE_MSR_IGNORE ? VMM_UNKNOWN_MSR_IGNORE : VMM_UNKNOWN_MSR_FAULT,
  };

  self->kvm = vmm_kvm_open (NULL, error);
  if (self->kvm == NULL)
    return FALSE;
  self->vm = vmm_vm_new (self->kvm, &vm, error);
  if (self->vm == NULL)
    return FALSE;
  vmm_vm_set_no_reboot (self->vm, config->on_reboot == ALCOVE_ON_STOP);
  vmm_vm_set_stop_on_triple_fault (self->vm, config->on_triple_fault == ALCOVE_ON_STOP);
  return TRUE;
}

static Q35FirmwareKind
firmware_kind (AlcoveFirmware firmware)
{
  switch (firmware)
    {
    case ALCOVE_FIRMWARE_UEFI:
      return Q35_FIRMWARE_UEFI;
    case ALCOVE_FIRMWARE_BIOS:
      return Q35_FIRMWARE_BIOS;
    case ALCOVE_FIRMWARE_NONE:
    default:
      return Q35_FIRMWARE_NONE;
    }
}

static gboolean
make_serials (RunnerMachine *self, Q35Config *board, GError **error)
{
  guint n;
  const AlcoveCharConfig *const *serials = alcove_definition_get_serials (self->definition, &n);

  for (guint i = 0; i < n; i++)
    {
      guint index = serials[i]->port - 1;

      g_assert (index < G_N_ELEMENTS (board->serial_char));
      board->serial_char[index] = runner_chars_make (self, serials[i], error);
      if (board->serial_char[index] == NULL)
        return FALSE;
    }
  return TRUE;
}

static gboolean
make_board (RunnerMachine *self, const AlcoveMachineConfig *config, GError **error)
{
  g_autofree char *code = NULL;
  g_autofree char *vars = NULL;
  g_autofree guint32 *apic_ids = g_new (guint32, config->cpus);
  Q35Config board = {
    .ram_size = config->memory_mib << 20,
    .ram_flags = VMM_RAM_THP,
    .n_vcpus = config->cpus,
    .apic_ids = apic_ids,
    .sockets = config->sockets,
    .cores = config->cores,
    .threads = config->threads,
    .phys_bits = vmm_vm_get_phys_bits (self->vm),
    .firmware = firmware_kind (config->firmware),
    .machine_name = config->title,
    .hpet = TRUE,
    .rtc_localtime = config->clock == ALCOVE_CLOCK_LOCALTIME,
    .i8042 = TRUE,
    .debug_exit = config->debug_exit != 0,
    .debug_console = TRUE,
    .input_router = self->router,
    .sata = runner_disks_need_sata (self->definition),
    .n_root_ports = ALCOVE_PCI_N_PORTS,
    .boot_menu = config->boot_menu && config->firmware == ALCOVE_FIRMWARE_BIOS,
    .boot_menu_timeout_ms = 2500,
  };

  for (guint i = 0; i < config->cpus; i++)
    apic_ids[i] = vmm_vm_get_apic_id (self->vm, i);
  parse_uuid (config->uuid, board.uuid);
  if (!runner_firmware_prepare (config, &code, &vars, error))
    return FALSE;
  board.firmware_code = code;
  board.firmware_vars = vars;
  if (config->debug_console != NULL)
    {
      board.debug_console_char = runner_chars_make_file (self, config->debug_console, error);
      if (board.debug_console_char == NULL)
        return FALSE;
    }
  if (!make_serials (self, &board, error))
    return FALSE;
  self->board = q35_board_new (vmm_vm_get_machine (self->vm), &board, error);
  return self->board != NULL;
}

static gboolean
place_tables (VmmMachine *machine, VmmGpa *ret_rsdp, gpointer user_data, GError **error)
{
  RunnerMachine *self = user_data;

  return q35_board_place_acpi (self->board, ret_rsdp, error);
}

static gboolean
load_kernel (RunnerMachine *self, const AlcoveMachineConfig *config, GError **error)
{
  VmmBootFiles files = { config->kernel, config->initrd, config->cmdline };

  if (config->kernel == NULL)
    return TRUE;
  self->boot_image = vmm_boot_image_new (&files, error);
  return self->boot_image != NULL;
}

static void
set_boot_image (RunnerMachine *self)
{
  VmmBootPlatform platform = { .place_tables = place_tables, .user_data = self };

  q35_board_get_layout (self->board, &platform.layout);
  vmm_boot_image_set_platform (self->boot_image, &platform);
  vmm_vm_set_boot (self->vm, vmm_boot_image_load, self->boot_image);
}

/* A restored machine has the one it was saved with, or is given a new one then. */
static void
set_generation (RunnerMachine *self, const AlcoveMachineConfig *config)
{
  guint8 id[16];

  alcove_generation_get (alcove_definition_get_folder (self->definition), config->uuid, id);
  q35_board_set_generation_id (self->board, id);
}

static void
set_boot_order (RunnerMachine *self)
{
  guint n;
  g_autofree const AlcoveDeviceConfig **order =
      alcove_definition_get_boot_order (self->definition, &n);

  for (guint i = 0; i < n; i++)
    {
      g_autofree char *id = runner_device_id (order[i]);
      VmmDevice *device = vmm_machine_find_device (vmm_vm_get_machine (self->vm), id);
      RunnerDisk *disk = runner_disk_find (self, order[i]->kind, order[i]->name);
      g_autofree char *node = disk != NULL ? runner_disk_boot_node (disk) : NULL;

      if (node != NULL)
        q35_board_add_boot_disk (self->board, disk->device, node, i + 1);
      else if (device != NULL)
        q35_board_add_boot_device (self->board, device, i + 1);
    }
}

/* The first line of a password file. */
static char *
read_password (const char *path, GError **error)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, error))
    {
      g_prefix_error (error, "[spice]: cannot read the password: ");
      return NULL;
    }
  text[strcspn (text, "\r\n")] = '\0';
  if (*text == '\0')
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "[spice]: the password file “%s” is empty: write a password into it", path);
      return NULL;
    }
  return g_steal_pointer (&text);
}

static SpiceBackend *
make_spice (RunnerMachine *self, const AlcoveMachineConfig *config, GError **error)
{
  const AlcoveSpiceConfig *listener = alcove_definition_get_spice (self->definition);
  g_autofree char *password = NULL;
  g_autofree char *tcp = NULL;
  SpiceConfig spice = {
    .name = config->title,
    .scanouts = self->scanouts,
    .n_scanouts = self->n_scanouts,
    .router = self->router,
  };

  parse_uuid (config->uuid, spice.uuid);
  if (listener != NULL && listener->password_file != NULL)
    {
      password = read_password (listener->password_file, error);
      if (password == NULL)
        return NULL;
      spice.password = password;
    }
  if (listener != NULL && listener->listen.kind == ALCOVE_LISTEN_UNIX)
    spice.listen_unix = listener->listen.path;
  if (listener != NULL && listener->listen.kind == ALCOVE_LISTEN_TCP)
    spice.listen_tcp = tcp =
        g_strdup_printf ("%s:%u", listener->listen.host, listener->listen.port);
  return spice_backend_new (&spice, error);
}

static void
close_block (gpointer backend)
{
  block_backend_close (backend);
}

static void
free_net (gpointer backend)
{
  ((NetBackend *)backend)->ops->free (backend);
}

static void
free_char (gpointer backend)
{
  ((CharBackend *)backend)->ops->free (backend);
}

RunnerMachine *
runner_machine_new (AlcoveDefinition *definition, gboolean goes_on, GError **error)
{
  const AlcoveMachineConfig *config = alcove_definition_get_machine (definition);
  RunnerMachine *self = g_new0 (RunnerMachine, 1);

  self->definition = g_object_ref (definition);
  self->goes_on = goes_on;
  self->router = input_router_new ();
  self->blocks = g_ptr_array_new_with_free_func (close_block);
  self->block_ids = g_ptr_array_new_with_free_func (g_free);
  self->disks = g_ptr_array_new_with_free_func (runner_disk_free);
  runner_hotplug_init (self);
  runner_passthrough_init (self);
  self->nets = g_ptr_array_new_with_free_func (free_net);
  self->chars = g_ptr_array_new_with_free_func (free_char);
  self->console_names = g_ptr_array_new_with_free_func (g_free);
  self->consoles = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  if (!load_kernel (self, config, error) || !make_vm (self, config, error) ||
      !make_board (self, config, error) || !runner_devices_make (self, error))
    goto fail;
  set_generation (self, config);
  set_boot_order (self);
  if (self->boot_image != NULL)
    set_boot_image (self);
  if (!vmm_vm_create_vcpus (self->vm, error))
    goto fail;
  if (self->n_scanouts > 0)
    {
      self->spice = make_spice (self, config, error);
      if (self->spice == NULL)
        goto fail;
    }
  return self;

fail:
  runner_machine_free (self);
  return NULL;
}

void
runner_machine_free (RunnerMachine *self)
{
  if (self == NULL)
    return;
  if (self->vm != NULL)
    vmm_vm_stop (self->vm);
  runner_hotplug_cancel_all (self);
  runner_passthrough_cancel_all (self);
  if (self->spice != NULL)
    spice_backend_free (self->spice);
  q35_board_free (self->board);
  vmm_vm_free (self->vm); /* and all devices */
  vmm_kvm_close (self->kvm);
  vmm_boot_image_free (self->boot_image);
  for (guint i = 0; i < self->n_scanouts; i++)
    display_scanout_free (self->scanouts[i]);
  runner_passthrough_finish (self);
  g_ptr_array_unref (self->ejects);
  g_ptr_array_unref (self->disks);
  g_ptr_array_unref (self->blocks);
  g_ptr_array_unref (self->block_ids);
  g_ptr_array_unref (self->nets);
  g_hash_table_unref (self->consoles);
  g_ptr_array_unref (self->console_names);
  g_ptr_array_unref (self->chars);
  input_router_free (self->router);
  g_object_unref (self->definition);
  g_free (self);
}

gboolean
runner_machine_flush (RunnerMachine *self, GError **error)
{
  for (guint i = 0; i < self->blocks->len; i++)
    {
      BlockBackend *backend = g_ptr_array_index (self->blocks, i);

      if (!backend->ops->flush_sync (backend, error))
        return FALSE;
    }
  return q35_board_flush (self->board, error);
}

void
runner_machine_retry_disks (RunnerMachine *self)
{
  for (guint i = 0; i < self->blocks->len; i++)
    block_guard_retry (g_ptr_array_index (self->blocks, i));
}

void
runner_machine_foreach_disk (RunnerMachine *self,
                             void (*func) (const char *id, BlockBackend *disk, gpointer user_data),
                             gpointer user_data)
{
  for (guint i = 0; i < self->blocks->len; i++)
    func (g_ptr_array_index (self->block_ids, i), g_ptr_array_index (self->blocks, i), user_data);
}

VmmVm *
runner_machine_get_vm (RunnerMachine *self)
{
  return self->vm;
}

Q35Board *
runner_machine_get_board (RunnerMachine *self)
{
  return self->board;
}

InputRouter *
runner_machine_get_router (RunnerMachine *self)
{
  return self->router;
}

SpiceBackend *
runner_machine_get_spice (RunnerMachine *self)
{
  return self->spice;
}

DisplayScanout *
runner_machine_get_scanout (RunnerMachine *self, guint index)
{
  return index < self->n_scanouts ? self->scanouts[index] : NULL;
}

GPtrArray *
runner_machine_get_console_names (RunnerMachine *self)
{
  return self->console_names;
}

CharBackend *
runner_machine_get_console (RunnerMachine *self, const char *name)
{
  return g_hash_table_lookup (self->consoles, name);
}
