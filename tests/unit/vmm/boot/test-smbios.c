/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tests/unit/harness/harness.h"
#include "vmm/boot/smbios.h"

#include <string.h>

static VmmSmbiosConfig
sample (void)
{
  VmmSmbiosConfig config = { .sockets = 2, .cores = 4, .threads = 2 };

  for (guint i = 0; i < 16; i++)
    config.uuid[i] = (guint8)(0x10 + i);
  config.serial = "SN-1";
  config.low_ram = 0x80000000;
  config.high_ram = G_GUINT64_CONSTANT (62) << 30;
  config.uefi = TRUE;
  return config;
}

/* Length of the structure at data, strings included; checks its shape. */
static gsize
structure_length (const guint8 *data, gsize left)
{
  gsize n;

  g_assert_cmpuint (left, >=, 6);
  g_assert_cmpuint (data[1], >=, 4);
  for (n = data[1]; n + 1 < left; n++)
    if (data[n] == 0 && data[n + 1] == 0)
      return n + 2;
  g_assert_not_reached ();
}

static const char *
get_string (const guint8 *data, guint number)
{
  const char *s = (const char *)data + data[1];

  while (--number > 0)
    s += strlen (s) + 1;
  return s;
}

static void
test_structures (void)
{
  static const guint8 uuid[16] = { 0x13, 0x12, 0x11, 0x10, 0x15, 0x14, 0x17, 0x16,
                                   0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f };
  g_autoptr (GHashTable) handles = g_hash_table_new (NULL, NULL);
  g_autoptr (GBytes) anchor = NULL, tables = NULL;
  g_autoptr (GError) error = NULL;
  VmmSmbiosConfig config = sample ();
  guint count[256] = { 0 };
  const guint8 *data, *entry;
  guint64 dimms = 0;
  guint8 sum = 0;
  gsize size, at;

  g_assert_true (vmm_smbios_build (&config, &anchor, &tables, &error));
  g_assert_no_error (error);
  entry = g_bytes_get_data (anchor, &size);
  g_assert_cmpuint (size, ==, 24);
  for (gsize i = 0; i < size; i++)
    sum = (guint8)(sum + entry[i]);
  g_assert_cmpuint (sum, ==, 0);
  g_assert_cmpmem (entry, 5, "_SM3_", 5);
  data = g_bytes_get_data (tables, &size);
  g_assert_cmpuint (entry[12] | entry[13] << 8, ==, size);

  for (at = 0; at < size; at += structure_length (data + at, size - at))
    {
      const guint8 *s = data + at;
      guint handle = s[2] | (guint)s[3] << 8;

      count[s[0]]++;
      g_assert_true (g_hash_table_add (handles, GUINT_TO_POINTER (handle + 1)));
      if (s[0] == 1)
        {
          g_assert_cmpmem (s + 8, 16, uuid, 16);
          g_assert_cmpstr (get_string (s, s[7]), ==, "SN-1");
          g_assert_cmpstr (get_string (s, s[4]), ==, "Alcove");
        }
      if (s[0] == 4)
        {
          g_assert_cmpuint (s[0x23], ==, 4);
          g_assert_cmpuint (s[0x25], ==, 8);
        }
      if (s[0] == 17)
        dimms += s[0x0c] | (guint)s[0x0d] << 8;
    }
  g_assert_cmpuint (at, ==, size);
  g_assert_cmpuint (data[size - 6], ==, 127);
  g_assert_cmpuint (dimms, ==, 64 * 1024);
  g_assert_cmpuint (count[0] * count[1] * count[3] * count[16] * count[32] * count[127], ==, 1);
  g_assert_cmpuint (count[4], ==, 2);
  g_assert_cmpuint (count[17], ==, 4);
  g_assert_cmpuint (count[19], ==, 2);
}

static void
test_large (void)
{
  g_autoptr (GBytes) anchor = NULL, tables = NULL;
  g_autoptr (GError) error = NULL;
  VmmSmbiosConfig config = sample ();

  config.sockets = 256;
  config.high_ram = G_GUINT64_CONSTANT (1) << 46;
  g_assert_true (vmm_smbios_build (&config, &anchor, &tables, &error));
  g_assert_cmpuint (g_bytes_get_size (tables), <, 65536);
}

static void
test_refusals (void)
{
  g_autofree char *long_name = g_strnfill (65, 'x');
  const char *const bad[] = { long_name, "a\nb", "caf\xc3\xa9" };
  g_autoptr (GBytes) anchor = NULL, tables = NULL;
  VmmSmbiosConfig config;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      config = sample ();
      config.product = bad[i];
      g_assert_false (vmm_smbios_build (&config, &anchor, &tables, &error));
      g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
      g_assert_nonnull (strstr (error->message, "product"));
    }
  config = sample ();
  config.sockets = 0;
  g_assert_false (vmm_smbios_build (&config, &anchor, &tables, NULL));
}

static void
test_place (void)
{
  HarnessMachine *h = harness_new (16 * 1024 * 1024);
  VmmGuestMemory *memory = vmm_machine_get_memory (h->machine);
  VmmSmbiosConfig config = sample ();
  g_autoptr (GError) error = NULL;
  guint8 entry[24], sum = 0;

  g_assert_true (
      vmm_smbios_place (&config, memory, vmm_gpa (0xf00000), 65536, vmm_gpa (0xf0040), &error));
  harness_read (h, 0xf0040, entry, sizeof entry);
  for (guint i = 0; i < sizeof entry; i++)
    sum = (guint8)(sum + entry[i]);
  g_assert_cmpuint (sum, ==, 0);
  g_assert_cmphex (harness_read_le (h, 0xf0040 + 16, 8), ==, 0xf00000);
  g_assert_cmphex (harness_read_le (h, 0xf00000, 1), ==, 0);
  g_assert_cmphex (harness_read_le (h, 0xf00001, 1), ==, 0x18);
  g_assert_false (
      vmm_smbios_place (&config, memory, vmm_gpa (0xf00000), 100, vmm_gpa (0xf0040), &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (
      vmm_smbios_place (&config, memory, vmm_gpa (0xffffff0), 65536, vmm_gpa (0xf0040), &error));
  harness_free (h);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/boot/smbios/structures", test_structures);
  g_test_add_func ("/boot/smbios/large", test_large);
  g_test_add_func ("/boot/smbios/refusals", test_refusals);
  g_test_add_func ("/boot/smbios/place", test_place);
  return g_test_run ();
}
