/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/e820.h"
#include "vmm/boot/acpi-tables.h"

#include <string.h>

#define FOUR_GIB (G_GUINT64_CONSTANT (1) << 32)

/* ACPI area: tables, and the SMBIOS tables behind them. */
#define AREA_LENGTH  (VMM_ACPI_DIRECT_SIZE + 64 * 1024)
#define AREA_MIN_RAM (16 * 1024 * 1024)

/* AMD processors of 40 physical bits and more keep this range for HyperTransport: a guest that may
 * have passed-through devices must see no RAM there. */
#define HT_HOLE_BASE   G_GUINT64_CONSTANT (0xfd00000000)
#define HT_HOLE_LENGTH G_GUINT64_CONSTANT (0x300000000)

void
vmm_e820_init (VmmE820 *map)
{
  memset (map, 0, sizeof *map);
}

static gboolean
append (VmmE820 *map, guint64 base, guint64 end, VmmE820Type type)
{
  VmmE820Entry *last = map->n_entries > 0 ? &map->entries[map->n_entries - 1] : NULL;

  if (base >= end)
    return TRUE;
  if (last != NULL && last->type == type && last->base + last->length == base)
    {
      last->length += end - base;
      return TRUE;
    }
  if (map->n_entries == VMM_E820_MAX_ENTRIES)
    return FALSE;
  map->entries[map->n_entries++] = (VmmE820Entry){ base, end - base, type };
  return TRUE;
}

gboolean
vmm_e820_add (VmmE820 *map, guint64 base, guint64 length, VmmE820Type type)
{
  VmmE820 new;
  guint64 end = base + length;
  gboolean placed = FALSE, ok = TRUE;

  if (length == 0)
    return TRUE;
  if (end < base)
    return FALSE;
  vmm_e820_init (&new);
  for (guint i = 0; i < map->n_entries; i++)
    {
      const VmmE820Entry *old = &map->entries[i];
      guint64 old_end = old->base + old->length;

      ok = ok && append (&new, old->base, MIN (old_end, base), old->type);
      if (!placed && old_end > base)
        {
          ok = ok && append (&new, base, end, type);
          placed = TRUE;
        }
      ok = ok && append (&new, MAX (old->base, end), old_end, old->type);
    }
  if (!placed)
    ok = ok && append (&new, base, end, type);
  if (ok)
    *map = new;
  return ok;
}

guint
vmm_e820_lookup (const VmmE820 *map, guint64 address)
{
  for (guint i = 0; i < map->n_entries; i++)
    if (address >= map->entries[i].base && address - map->entries[i].base < map->entries[i].length)
      return map->entries[i].type;
  return 0;
}

GBytes *
vmm_e820_to_bytes (const VmmE820 *map)
{
  GByteArray *bytes = g_byte_array_new ();

  for (guint i = 0; i < map->n_entries; i++)
    {
      guint64 base = GUINT64_TO_LE (map->entries[i].base);
      guint64 length = GUINT64_TO_LE (map->entries[i].length);
      guint32 type = GUINT32_TO_LE ((guint32)map->entries[i].type);

      g_byte_array_append (bytes, (const guint8 *)&base, 8);
      g_byte_array_append (bytes, (const guint8 *)&length, 8);
      g_byte_array_append (bytes, (const guint8 *)&type, 4);
    }
  return g_byte_array_free_to_bytes (bytes);
}

gboolean
vmm_e820_get_acpi_area (guint64 low_ram, guint64 *ret_base, guint64 *ret_length)
{
  *ret_base = *ret_length = 0;
  if (low_ram < AREA_MIN_RAM || low_ram > FOUR_GIB)
    return FALSE;
  *ret_base = (low_ram - AREA_LENGTH) & ~G_GUINT64_CONSTANT (0xfff);
  *ret_length = AREA_LENGTH;
  return TRUE;
}

gboolean
vmm_e820_build_direct (VmmE820 *map, const VmmE820Layout *layout)
{
  guint64 area, area_length;
  gboolean ok;

  vmm_e820_init (map);
  ok = vmm_e820_add (map, 0, layout->low_ram, VMM_E820_RAM) &&
       vmm_e820_add (map, FOUR_GIB, layout->high_ram, VMM_E820_RAM) &&
       /* extended BIOS data, video memory and ROMs, as every PC has them */
       vmm_e820_add (map, 0x9fc00, 0xa0000 - 0x9fc00, VMM_E820_RESERVED) &&
       vmm_e820_add (map, 0xf0000, 0x10000, VMM_E820_RESERVED) &&
       vmm_e820_add (map, layout->pciexbar, layout->pciexbar_length, VMM_E820_RESERVED);
  if (vmm_e820_get_acpi_area (layout->low_ram, &area, &area_length))
    ok = ok && vmm_e820_add (map, area, area_length, VMM_E820_NVS);
  if (!ok)
    return FALSE;
  /* [0xa0000, 0xf0000) is no RAM: cut it out. */
  for (guint i = 0; i < map->n_entries; i++)
    {
      VmmE820Entry *entry = &map->entries[i];

      if (entry->type == VMM_E820_RAM && entry->base == 0xa0000)
        {
          memmove (entry, entry + 1, (map->n_entries - i - 1) * sizeof *entry);
          map->n_entries--;
          break;
        }
    }
  return TRUE;
}

gboolean
vmm_e820_build_firmware (VmmE820 *map, const VmmE820Layout *layout)
{
  vmm_e820_init (map);
  return vmm_e820_add (map, 0, layout->low_ram, VMM_E820_RAM) &&
         vmm_e820_add (map, FOUR_GIB, layout->high_ram, VMM_E820_RAM) &&
         (layout->high_ram < HT_HOLE_BASE - FOUR_GIB ||
          vmm_e820_add (map, HT_HOLE_BASE, HT_HOLE_LENGTH, VMM_E820_RESERVED));
}
