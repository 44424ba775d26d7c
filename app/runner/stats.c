/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/runner/stats.h"

#include "devices/backends/block/guard.h"

typedef struct
{
  GVariantBuilder *builder;
  VmmDevice *device;
} Add;

static void
add (GVariantBuilder *builder, const char *key, guint64 value)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_uint64 (value));
}

static void
add_counter (gpointer user_data, const char *name, guint64 value)
{
  Add *context = user_data;
  g_autofree char *key = g_strdup_printf ("device.%s.%s", context->device->id, name);

  add (context->builder, key, value);
}

static void
add_device (VmmDevice *device, gpointer user_data)
{
  Add context = { user_data, device };

  if (device->ops->stats != NULL)
    device->ops->stats (device, add_counter, &context);
}

typedef struct
{
  GVariantBuilder *builder;
  const char *id;
} AddDisk;

static void
add_disk_counter (gpointer user_data, const char *name, guint64 value)
{
  AddDisk *context = user_data;
  g_autofree char *key = g_strdup_printf ("device.%s.%s", context->id, name);

  add (context->builder, key, value);
}

static void
add_disk (const char *id, BlockBackend *disk, gpointer user_data)
{
  AddDisk context = { user_data, id };

  block_guard_stats (disk, add_disk_counter, &context);
}

static void
add_mapping (VmmMapping *mapping, gpointer user_data)
{
  guint64 *ram = user_data;

  if ((vmm_ram_block_get_flags (vmm_mapping_get_block (mapping)) & VMM_RAM_DEVICE) == 0)
    *ram += vmm_mapping_get_length (mapping);
}

GVariant *
runner_stats_collect (RunnerMachine *self)
{
  VmmVm *vm = runner_machine_get_vm (self);
  VmmMachine *machine = vmm_vm_get_machine (vm);
  GVariantBuilder builder;
  VmmVmStats stats;
  guint64 ram = 0;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  vmm_vm_get_stats (vm, &stats);
  add (&builder, "vcpu.exits", stats.exits);
  add (&builder, "vcpu.io", stats.io);
  add (&builder, "vcpu.mmio", stats.mmio);
  add (&builder, "vcpu.hlt", stats.hlt);
  add (&builder, "vcpu.msr", stats.msr);
  add (&builder, "vcpu.kicks", stats.immediate);
  add (&builder, "vcpu.signals", stats.intr);
  add (&builder, "vcpu.other", stats.other);
  add (&builder, "vcpu.unknown-msrs", stats.unknown_msrs);
  add (&builder, "machine.resets", stats.resets);
  add (&builder, "machine.triple-faults", stats.triple_faults);
  if (stats.start_to_first_instruction_ns > 0)
    add (&builder, "machine.start-ns", stats.start_to_first_instruction_ns);
  add (&builder, "bus.pio.unclaimed", vmm_bus_get_n_unclaimed (vmm_machine_get_pio (machine)));
  add (&builder, "bus.mmio.unclaimed", vmm_bus_get_n_unclaimed (vmm_machine_get_mmio (machine)));
  vmm_guest_memory_foreach (vmm_machine_get_memory (machine), add_mapping, &ram);
  add (&builder, "memory.guest", ram);
  vmm_machine_foreach_device (machine, add_device, &builder);
  runner_machine_foreach_disk (self, add_disk, &builder);
  return g_variant_builder_end (&builder);
}
