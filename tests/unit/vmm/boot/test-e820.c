/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/e820.h"

#include <string.h>

#define GIB (G_GUINT64_CONSTANT (1) << 30)

static void
check_sound (const VmmE820 *map)
{
  for (guint i = 0; i < map->n_entries; i++)
    {
      const VmmE820Entry *e = &map->entries[i];

      g_assert_cmpuint (e->length, >, 0);
      g_assert_cmpuint (e->base + e->length, >, e->base);
      if (i == 0)
        continue;
      g_assert_cmpuint (e->base, >=, e[-1].base + e[-1].length);
      g_assert_false (e->type == e[-1].type && e->base == e[-1].base + e[-1].length);
    }
}

static void
test_add (void)
{
  VmmE820 map;

  vmm_e820_init (&map);
  g_assert_true (vmm_e820_add (&map, 0x1000, 0x3000, VMM_E820_RAM));
  g_assert_true (vmm_e820_add (&map, 0x2000, 0x1000, VMM_E820_RESERVED));
  g_assert_cmpuint (map.n_entries, ==, 3);
  check_sound (&map);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0xfff), ==, 0);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0x1000), ==, VMM_E820_RAM);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0x2fff), ==, VMM_E820_RESERVED);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0x3000), ==, VMM_E820_RAM);
  g_assert_true (vmm_e820_add (&map, 0x2000, 0x1000, VMM_E820_RAM));
  g_assert_cmpuint (map.n_entries, ==, 1);
  g_assert_false (vmm_e820_add (&map, 0x1000, G_MAXUINT64, VMM_E820_RAM));
  g_assert_true (vmm_e820_add (&map, 0, 0, VMM_E820_RAM));
  g_assert_cmpuint (map.n_entries, ==, 1);
}

static void
test_full (void)
{
  VmmE820 map, before;

  vmm_e820_init (&map);
  for (guint i = 0; i < VMM_E820_MAX_ENTRIES; i++)
    g_assert_true (vmm_e820_add (&map, i * 0x2000, 0x1000, VMM_E820_RAM));
  before = map;
  g_assert_false (vmm_e820_add (&map, 0x100000, 0x1000, VMM_E820_RAM));
  g_assert_cmpmem (&map, sizeof map, &before, sizeof before);
}

/* Against a plain array of pages. */
static void
test_random (void)
{
  for (guint round = 0; round < 200; round++)
    {
      guint8 model[64] = { 0 };
      VmmE820 map;

      vmm_e820_init (&map);
      for (guint n = 0; n < 12; n++)
        {
          guint base = (guint)g_test_rand_int_range (0, 60);
          guint length = (guint)g_test_rand_int_range (0, 64 - (gint32)base);
          VmmE820Type type = (VmmE820Type)g_test_rand_int_range (1, 5);

          g_assert_true (vmm_e820_add (&map, base, length, type));
          memset (model + base, (int)type, length);
          check_sound (&map);
        }
      for (guint i = 0; i < 64; i++)
        g_assert_cmpuint (vmm_e820_lookup (&map, i), ==, model[i]);
    }
}

static void
test_direct (void)
{
  VmmE820Layout layout = {
    .low_ram = 2 * GIB, .high_ram = 6 * GIB, .pciexbar = 0xb0000000, .pciexbar_length = 0x10000000
  };
  guint64 area, length, ram = 0;
  VmmE820 map;

  g_assert_true (vmm_e820_build_direct (&map, &layout));
  check_sound (&map);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0x9fbff), ==, VMM_E820_RAM);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0x9fc00), ==, VMM_E820_RESERVED);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0xa0000), ==, 0);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0xf0000), ==, VMM_E820_RESERVED);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0x100000), ==, VMM_E820_RAM);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0xb0000000), ==, VMM_E820_RESERVED);
  g_assert_cmpuint (vmm_e820_lookup (&map, 0xc0000000), ==, 0);
  g_assert_cmpuint (vmm_e820_lookup (&map, 4 * GIB), ==, VMM_E820_RAM);
  g_assert_cmpuint (vmm_e820_lookup (&map, 10 * GIB), ==, 0);
  g_assert_true (vmm_e820_get_acpi_area (layout.low_ram, &area, &length));
  g_assert_cmpuint (area % 4096, ==, 0);
  g_assert_cmpuint (area + length, <=, layout.low_ram);
  g_assert_cmpuint (vmm_e820_lookup (&map, area), ==, VMM_E820_NVS);
  g_assert_cmpuint (vmm_e820_lookup (&map, area + length - 1), ==, VMM_E820_NVS);
  g_assert_cmpuint (vmm_e820_lookup (&map, area - 1), ==, VMM_E820_RAM);
  for (guint i = 0; i < map.n_entries; i++)
    ram += map.entries[i].type == VMM_E820_RAM ? map.entries[i].length : 0;
  g_assert_cmpuint (ram, ==, 8 * GIB - length - 0x60400);

  /* A toy machine has no room for tables. */
  g_assert_false (vmm_e820_get_acpi_area (1024 * 1024, &area, &length));
  layout = (VmmE820Layout){ .low_ram = 4 * 1024 * 1024 };
  g_assert_true (vmm_e820_build_direct (&map, &layout));
  check_sound (&map);
}

static void
test_firmware (void)
{
  VmmE820Layout layout = { .low_ram = 2 * GIB, .high_ram = 6 * GIB };
  g_autoptr (GBytes) bytes = NULL;
  VmmE820 map;

  g_assert_true (vmm_e820_build_firmware (&map, &layout));
  g_assert_cmpuint (map.n_entries, ==, 2);
  bytes = vmm_e820_to_bytes (&map);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 40);
  layout.high_ram = 2048 * GIB;
  g_assert_true (vmm_e820_build_firmware (&map, &layout));
  g_assert_cmpuint (vmm_e820_lookup (&map, 0xfd00000000), ==, VMM_E820_RESERVED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/boot/e820/add", test_add);
  g_test_add_func ("/boot/e820/full", test_full);
  g_test_add_func ("/boot/e820/random", test_random);
  g_test_add_func ("/boot/e820/direct", test_direct);
  g_test_add_func ("/boot/e820/firmware", test_firmware);
  return g_test_run ();
}
