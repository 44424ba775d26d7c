/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names from pci.ids, and the list of cards that need a warning. */
#include <string.h>
#include "vfio/host/inventory-private.h"
#include "vfio/host/quirks.h"

static const char ids[] = "# comment\n"
                          "8086  Intel Corporation\n"
                          "\t0001  One [Not the box]\n"
                          "\t\t1028 0001  Subsystem\n"
                          "10de  NVIDIA Corporation\n"
                          "\t2484  GA104 [GeForce RTX 3070]\n"
                          "\t1eb8\n"
                          "10ec  Realtek Semiconductor Co., Ltd.\r\n"
                          "1002  Advanced Micro Devices, Inc. [AMD/ATI]\n"
                          "\t73ff  Navi 23 [Radeon RX 6600]\n"
                          "abcd  Inc.\n"
                          "\t0001  Inc. thing\n"
                          "C 03  Display controller\n"
                          "\t2484  must not be taken for a device\n"
                          "beef  Behind the classes\n";

static void
test_names (void)
{
  static const struct
  {
    guint16 vendor, device;
    guint32 class_code;
    const char *name;
  } cases[] = {
    { 0x10de, 0x2484, 0x030000, "NVIDIA GeForce RTX 3070" },
    { 0x1002, 0x73ff, 0x030000, "AMD Radeon RX 6600" },
    { 0x8086, 0x0001, 0x020000, "Intel One" },
    { 0x8086, 0x1028, 0x020000, "Intel network card (1028)" }, /* a subsystem is no device */
    { 0x8086, 0x9999, 0x010802, "Intel NVMe drive (9999)" },
    { 0x10ec, 0x8168, 0x020000, "Realtek network card (8168)" },
    { 0x10de, 0x1eb8, 0x030200, "NVIDIA graphics card (1eb8)" }, /* a line without a name */
    { 0xabcd, 0x0001, 0x0c0330, "Inc. thing" },
    { 0xbeef, 0x0001, 0x0c0330, "USB controller (beef:0001)" },
    { 0x0000, 0x0000, 0xff0000, "device (0000:0000)" },
  };
  g_autoptr (GPtrArray) functions = g_ptr_array_new ();
  VfioFunction all[G_N_ELEMENTS (cases)] = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      all[i].vendor = cases[i].vendor;
      all[i].device = cases[i].device;
      all[i].class_code = cases[i].class_code;
      all[i].has_parent = TRUE;
      g_ptr_array_add (functions, &all[i]);
    }
  host_names_parse (ids, functions);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_assert_cmpstr (all[i].name, ==, cases[i].name);
      g_free (all[i].name);
      g_free (all[i].class_name);
      g_free (all[i].vendor_name);
      g_free (all[i].device_name);
    }
}

static void
test_quirks (void)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (VfioQuirks) quirks = NULL;
  const char *name = NULL;
  static const struct
  {
    guint16 vendor, device;
    VfioQuirkFlags flags;
    const char *name;
  } cases[] = {
    { 0x1002, 0x731f, HOST_QUIRK_RESET, "Navi 10" },
    { 0x1002, 0x687f, HOST_QUIRK_RESET, "Vega 10" },
    { 0x1002, 0x66af, HOST_QUIRK_RESET, "Vega 20" },
    { 0x1002, 0x73ff, HOST_QUIRK_DISPUTED, "Navi 23" },
    { 0x1002, 0x7550, HOST_QUIRK_RESET | HOST_QUIRK_D3, "Navi 48" },
    { 0x1002, 0x744c, HOST_QUIRK_DISPUTED, "Navi 31" },
    { 0x10de, 0x731f, 0, NULL },
    { 0x1002, 0x7300, 0, NULL },
  };

  g_file_get_contents (VFIO_QUIRKS, &text, NULL, &error);
  g_assert_no_error (error);
  quirks = vfio_quirks_new_from_text (text, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const VfioFunction function = { .vendor = cases[i].vendor, .device = cases[i].device };

      name = NULL;
      g_assert_cmpint (vfio_quirks_find (quirks, &function, &name), ==, cases[i].flags);
      g_assert_cmpstr (name, ==, cases[i].name);
    }
}

static void
test_bad_quirks (void)
{
  static const char *const bad[] = {
    "1002:731f",
    "1002:731f reset",
    "1002 reset Navi",
    "1002:73-74 reset Navi",
    "1002:731f rest Navi",
    "1002:731f reset, Navi",
    "1002:731f-7310 reset Navi",
    "10022:731f reset Navi",
    "1002:731f-731f-731f reset Navi",
    "+002:731f reset Navi",
    "1002:731f reset \xff",
    "0x02:731f reset Navi",
  };
  g_autoptr (VfioQuirks) empty = vfio_quirks_new_from_text ("# nothing\n\n", NULL);
  const VfioFunction function = { .vendor = 0x1002, .device = 0x731f };

  g_assert_nonnull (empty);
  g_assert_cmpint (vfio_quirks_find (empty, &function, NULL), ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (vfio_quirks_new_from_text (bad[i], &error));
      g_assert_nonnull (error);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vfio/host/names/names", test_names);
  g_test_add_func ("/vfio/host/names/quirks", test_quirks);
  g_test_add_func ("/vfio/host/names/bad-quirks", test_bad_quirks);
  return g_test_run ();
}
