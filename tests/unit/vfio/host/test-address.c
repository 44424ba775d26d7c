/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/address.h"

static void
test_good (void)
{
  static const struct
  {
    const char *text, *back;
    VfioAddress address;
  } cases[] = {
    { "0000:01:00.0", "0000:01:00.0", { 0, 1, 0, 0 } },
    { "01:00.0", "0000:01:00.0", { 0, 1, 0, 0 } },
    { "ffff:ff:1f.7", "ffff:ff:1f.7", { 0xffff, 0xff, 0x1f, 7 } },
    { "10000:e1:00.1", "10000:e1:00.1", { 0x10000, 0xe1, 0, 1 } },
    { "0000:0B:1C.3", "0000:0b:1c.3", { 0, 0x0b, 0x1c, 3 } },
    { "ffffffff:00:00.0", "ffffffff:00:00.0", { 0xffffffff, 0, 0, 0 } },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *back = NULL;
      VfioAddress address;

      g_assert_true (vfio_address_parse (cases[i].text, &address));
      g_assert_cmpint (vfio_address_compare (address, cases[i].address), ==, 0);
      back = vfio_address_to_string (address);
      g_assert_cmpstr (back, ==, cases[i].back);
    }
}

static void
test_bad (void)
{
  static const char *const cases[] = {
    "",
    ":",
    "0000:01:00",
    "0000:01:00.",
    "0000:01:00.8",
    "01:20.0",
    "1:00.0",
    "001:00.0",
    "000:01:00.0",
    " 01:00.0",
    "01:00.0 ",
    "01:00.00",
    "01:0.0",
    "0000:01:00.0\n",
    "0000:01:00.0/..",
    "0000-01:00",
    "../01:00.0",
    "0000:0000:01:00.0",
    "123456789:01:00.0",
    "0x00:01:00.0",
    "+1:00.0",
    "01:00.f",
    "0000::00.0",
    "g1:00.0",
    "01:00:0",
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      VfioAddress address = { 7, 7, 7, 7 };

      g_assert_false (vfio_address_parse_error (cases[i], &address, &error));
      g_assert_nonnull (error);
      g_assert_cmpuint (address.domain, ==, 7);
      g_assert_cmpuint (address.function, ==, 7);
    }
}

static void
test_order (void)
{
  const VfioAddress sorted[] = { { 0, 0, 0, 0 }, { 0, 0, 0, 1 }, { 0, 0, 1, 0 },
                                 { 0, 1, 0, 0 }, { 1, 0, 0, 0 }, { 0xffffffff, 0, 0, 0 } };

  for (guint i = 0; i < G_N_ELEMENTS (sorted); i++)
    for (guint k = 0; k < G_N_ELEMENTS (sorted); k++)
      {
        int order = vfio_address_compare (sorted[i], sorted[k]);

        g_assert_cmpint ((order > 0) - (order < 0), ==, (i > k) - (i < k));
        g_assert_cmpint (vfio_address_equal (&sorted[i], &sorted[k]), ==, i == k);
      }
  g_assert_true (vfio_address_same_slot (sorted[0], sorted[1]));
  g_assert_false (vfio_address_same_slot (sorted[1], sorted[2]));
  g_assert_cmpuint (vfio_address_hash (&sorted[0]), !=, vfio_address_hash (&sorted[1]));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vfio/host/address/good", test_good);
  g_test_add_func ("/vfio/host/address/bad", test_bad);
  g_test_add_func ("/vfio/host/address/order", test_order);
  return g_test_run ();
}
