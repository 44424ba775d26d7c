/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a machine says of its passed devices, well and badly said. */
#include "app/live-pci.h"

#include <string.h>

static GPtrArray *
read_list (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = g_variant_parse (G_VARIANT_TYPE ("aa{sv}"), text, NULL, NULL, &error);

  g_assert_no_error (error);
  return alcove_live_pcis_new (list);
}

static void
test_read (void)
{
  g_autoptr (GPtrArray) pcis = read_list (
      "[{'name': <'gpu'>, 'host': <'01:00.0'>, 'address': <'01:00.0'>, 'interrupts': <'msix'>,"
      " 'vectors': <uint32 5>, 'leaving': <true>, 'asked-back': <true>, 'notes': <['a', 'b']>,"
      " 'trapped-reads': <uint64 7>},"
      " {'name': <'vgpu'>, 'host': <'83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'>}]");
  const AlcoveLivePci *gpu = alcove_live_pcis_find (pcis, "0000:01:00.0");
  const AlcoveLivePci *vgpu = alcove_live_pcis_find (pcis, "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001");

  g_assert_cmpuint (pcis->len, ==, 2);
  g_assert_cmpstr (gpu->name, ==, "gpu");
  g_assert_cmpstr (gpu->address, ==, "01:00.0");
  g_assert_cmpstr (gpu->interrupts, ==, "msix");
  g_assert_cmpuint (gpu->vectors, ==, 5);
  g_assert_true (gpu->leaving && gpu->asked_back);
  g_assert_cmpuint (g_strv_length (gpu->notes), ==, 2);
  /* One that says less: an older alcove-vmm. */
  g_assert_null (vgpu->address);
  g_assert_cmpstr (vgpu->interrupts, ==, "");
  g_assert_false (vgpu->leaving || vgpu->asked_back);
  g_assert_cmpuint (g_strv_length (vgpu->notes), ==, 0);
  g_assert_null (alcove_live_pcis_find (pcis, "0000:02:00.0"));
}

static void
test_hostile (void)
{
  g_autofree char *longest = g_strnfill (1 << 20, 'x');
  g_autofree char *note = g_strdup_printf (
      "[{'name': <'gpu'>, 'host': <'0000:01:00.0'>, 'notes': <['%s', 'good']>}]", longest);
  g_autofree char *name = g_strdup_printf ("[{'name': <'%s'>, 'host': <'0000:01:00.0'>}]", longest);
  g_autoptr (GString) many = g_string_new ("[");
  g_autoptr (GPtrArray) noted = read_list (note);
  g_autoptr (GPtrArray) named = read_list (name);
  g_autoptr (GPtrArray) partly = read_list ("[{'name': <'a'>}, {'host': <'b'>}, {}]");
  g_autoptr (GPtrArray) typed = read_list (
      "[{'name': <'a'>, 'host': <'b'>, 'notes': <'c'>, 'vectors': <'d'>, 'leaving': <1>}]");
  g_autoptr (GVariant) other = g_variant_ref_sink (g_variant_new ("(i)", 1));
  g_autoptr (GPtrArray) none = alcove_live_pcis_new (other);
  g_autoptr (GPtrArray) all = NULL;

  g_assert_cmpuint (g_strv_length (((AlcoveLivePci *)g_ptr_array_index (noted, 0))->notes), ==, 1);
  g_assert_cmpuint (named->len, ==, 0);
  g_assert_cmpuint (partly->len, ==, 0);
  g_assert_cmpuint (typed->len, ==, 1);
  g_assert_cmpuint (((AlcoveLivePci *)g_ptr_array_index (typed, 0))->vectors, ==, 0);
  g_assert_cmpuint (none->len, ==, 0);
  for (guint i = 0; i < 1000; i++)
    g_string_append_printf (many, "%s{'name': <'a%u'>, 'host': <'h%u'>}", i > 0 ? "," : "", i, i);
  g_string_append_c (many, ']');
  all = read_list (many->str);
  g_assert_cmpuint (all->len, ==, 256);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/live-pci/read", test_read);
  g_test_add_func ("/app/live-pci/hostile", test_hostile);
  return g_test_run ();
}
