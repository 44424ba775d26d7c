/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RAM, the hole below 1 MiB, and what the PAM registers show in it. */
#include "devices/board/q35-private.h"

#include <string.h>

typedef struct
{
  VmmMapping *mapping; /* NULL: nothing to read here */
  guint attributes;
} Segment;

struct _Q35Memory
{
  VmmMachine *machine;
  guint64 low, high;
  VmmRamBlock *ram;
  VmmMapping *base, *above_1m, *above_4g;
  VmmRamBlock *rom;     /* the whole firmware image, when it is not flash */
  VmmMapping *rom_high; /* its place below 4 GiB */
  VmmRamBlock *rom_low; /* the 128 KiB at 0xe0000 */
  Segment segments[Q35_PAM_SEGMENTS];
  VmmRegion pam; /* takes what the mappings do not: writes to ROM, reads of nothing */
};

static guint
segment_of (guint64 address)
{
  return address >= 0xf0000 ? 12 : (guint)(address - Q35_PAM_BASE) >> 14;
}

static guint64
segment_base (guint segment)
{
  return Q35_PAM_BASE + (guint64)segment * 0x4000;
}

static guint64
segment_size (guint segment)
{
  return segment == 12 ? 0x10000 : 0x4000;
}

/* Nothing is mapped there: no RAM and no ROM. */
static VmmIoResult
pam_read (gpointer opaque, guint64 offset, guint size, guint64 *value)
{
  *value = G_MAXUINT64 >> (64 - size * 8);
  return VMM_IO_OK;
}

/* Datasheet 316966, 5.1.17: with only write enable set, reads come from ROM and writes go to RAM
 * below it. Without write enable, writes go to the bus and are lost. */
static VmmIoResult
pam_write (gpointer opaque, guint64 offset, guint size, guint64 value)
{
  Q35Memory *memory = opaque;
  guint64 address = Q35_PAM_BASE + offset, le = GUINT64_TO_LE (value);

  if ((memory->segments[segment_of (address)].attributes & 2) == 0 || address + size > memory->low)
    return VMM_IO_OK;
  memcpy (vmm_ram_block_get_data (memory->ram) + address, &le, size);
  vmm_ram_block_mark_dirty (memory->ram, address, size);
  return VMM_IO_OK;
}

static const VmmRegionOps pam_ops = {
  .name = "pam",
  .min_size = 1,
  .max_size = 8,
  .flags = VMM_REGION_LOCKLESS,
  .read = pam_read,
  .write = pam_write,
};

static void
map_segment (Q35Memory *memory, guint index, guint attributes)
{
  Segment *segment = &memory->segments[index];
  VmmGuestMemory *map = vmm_machine_get_memory (memory->machine);
  guint64 base = segment_base (index), size = segment_size (index);

  if (segment->mapping != NULL)
    vmm_guest_memory_unmap (map, segment->mapping);
  segment->mapping = NULL;
  segment->attributes = attributes;
  /* Nothing of ours can be in the way here, so a failure has no remedy at run time: the segment
   * then reads as nothing. */
  if ((attributes & 1) != 0 && base + size <= memory->low)
    segment->mapping =
        vmm_guest_memory_map (map, memory->ram, base, vmm_gpa (base), size,
                              (attributes & 2) != 0 ? VMM_MAP_NONE : VMM_MAP_READONLY, NULL);
  else if ((attributes & 1) == 0 && memory->rom_low != NULL && base >= Q35_ROM_LOW_BASE)
    segment->mapping = vmm_guest_memory_map (map, memory->rom_low, base - Q35_ROM_LOW_BASE,
                                             vmm_gpa (base), size, VMM_MAP_READONLY, NULL);
}

void
q35_memory_set_pam (Q35Memory *memory, guint segment, guint attributes)
{
  g_assert (segment < Q35_PAM_SEGMENTS);
  if (memory->segments[segment].attributes != (attributes & 3))
    map_segment (memory, segment, attributes & 3);
}

gboolean
q35_memory_set_low_rom (Q35Memory *memory, GBytes *image, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (image, &size);
  gsize part = MIN (size, Q35_ROM_LOW_SIZE);
  guint8 *rom;

  memory->rom_low = vmm_ram_block_new ("firmware-low", Q35_ROM_LOW_SIZE, VMM_RAM_DEVICE, error);
  if (memory->rom_low == NULL)
    return FALSE;
  rom = vmm_ram_block_get_data (memory->rom_low);
  memset (rom, 0xff, Q35_ROM_LOW_SIZE - part);
  memcpy (rom + Q35_ROM_LOW_SIZE - part, data + size - part, part);
  for (guint i = 0; i < Q35_PAM_SEGMENTS; i++)
    map_segment (memory, i, memory->segments[i].attributes);
  return TRUE;
}

gboolean
q35_memory_map_rom (Q35Memory *memory, GBytes *image, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (image, &size);

  memory->rom = vmm_ram_block_new ("firmware", size, VMM_RAM_DEVICE, error);
  if (memory->rom == NULL)
    return FALSE;
  memcpy (vmm_ram_block_get_data (memory->rom), data, size);
  memory->rom_high = vmm_guest_memory_map (vmm_machine_get_memory (memory->machine), memory->rom, 0,
                                           vmm_gpa (Q35_4G - size), size, VMM_MAP_READONLY, error);
  return memory->rom_high != NULL;
}

guint64
q35_memory_get_low (Q35Memory *memory)
{
  return memory->low;
}

guint64
q35_memory_get_high (Q35Memory *memory)
{
  return memory->high;
}

Q35Memory *
q35_memory_new (VmmMachine *machine, const Q35Config *config, GError **error)
{
  Q35Memory *memory = g_new0 (Q35Memory, 1);
  VmmGuestMemory *map = vmm_machine_get_memory (machine);
  guint64 size = config->ram_size;

  memory->machine = machine;
  /* From 2.75 GiB on, 2 GiB stay below: room for PCIEXBAR at 0xb0000000 and devices. */
  memory->low = size >= 0xb0000000u ? Q35_LOW_RAM_MAX : size;
  memory->high = size - memory->low;
  memory->ram = vmm_ram_block_new ("ram", size, config->ram_flags, error);
  if (memory->ram == NULL)
    goto fail;
  memory->base =
      vmm_guest_memory_map (map, memory->ram, 0, vmm_gpa (0), Q35_HOLE_BASE, VMM_MAP_NONE, error);
  if (memory->base == NULL)
    goto fail;
  if (memory->low > 0x100000)
    {
      memory->above_1m = vmm_guest_memory_map (map, memory->ram, 0x100000, vmm_gpa (0x100000),
                                               memory->low - 0x100000, VMM_MAP_NONE, error);
      if (memory->above_1m == NULL)
        goto fail;
    }
  if (memory->high > 0)
    {
      memory->above_4g = vmm_guest_memory_map (map, memory->ram, memory->low, vmm_gpa (Q35_4G),
                                               memory->high, VMM_MAP_NONE, error);
      if (memory->above_4g == NULL)
        goto fail;
    }
  vmm_region_init (&memory->pam, &pam_ops, memory, NULL, Q35_PAM_SIZE);
  if (!vmm_bus_map (vmm_machine_get_mmio (machine), Q35_PAM_BASE, &memory->pam, error))
    goto fail;
  return memory;
fail:
  q35_memory_free (memory);
  return NULL;
}

void
q35_memory_free (Q35Memory *memory)
{
  VmmGuestMemory *map;

  if (memory == NULL)
    return;
  map = vmm_machine_get_memory (memory->machine);
  if (memory->pam.ops != NULL)
    {
      vmm_bus_unmap (&memory->pam);
      vmm_region_drain (&memory->pam);
    }
  for (guint i = 0; i < Q35_PAM_SEGMENTS; i++)
    if (memory->segments[i].mapping != NULL)
      vmm_guest_memory_unmap (map, memory->segments[i].mapping);
  if (memory->rom_high != NULL)
    vmm_guest_memory_unmap (map, memory->rom_high);
  if (memory->above_4g != NULL)
    vmm_guest_memory_unmap (map, memory->above_4g);
  if (memory->above_1m != NULL)
    vmm_guest_memory_unmap (map, memory->above_1m);
  if (memory->base != NULL)
    vmm_guest_memory_unmap (map, memory->base);
  g_clear_pointer (&memory->rom, vmm_ram_block_unref);
  g_clear_pointer (&memory->rom_low, vmm_ram_block_unref);
  g_clear_pointer (&memory->ram, vmm_ram_block_unref);
  g_free (memory);
}
