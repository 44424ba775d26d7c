/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/aml.h"
#include "vmm/error.h"

#include <string.h>

static void
assert_bytes (VmmAml *aml, const void *expected, gsize length)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = vmm_aml_steal (aml, &error);
  gsize size;
  const guint8 *data;

  g_assert_no_error (error);
  data = g_bytes_get_data (bytes, &size);
  g_assert_cmpmem (data, size, expected, length);
}

#define ASSERT_BYTES(aml, ...)                                                                     \
  G_STMT_START                                                                                     \
  {                                                                                                \
    static const guint8 expected_[] = { __VA_ARGS__ };                                             \
    assert_bytes (aml, expected_, sizeof expected_);                                               \
  }                                                                                                \
  G_STMT_END

static void
test_integers (void)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();

  vmm_aml_int (aml, 0);
  vmm_aml_int (aml, 1);
  vmm_aml_int (aml, 2);
  vmm_aml_int (aml, 0xff);
  vmm_aml_int (aml, 0x100);
  vmm_aml_int (aml, 0xffff);
  vmm_aml_int (aml, 0x10000);
  vmm_aml_int (aml, 0x123456789a);
  ASSERT_BYTES (aml, 0x00, 0x01, 0x0a, 2, 0x0a, 0xff, 0x0b, 0, 1, 0x0b, 0xff, 0xff, 0x0c, 0, 0, 1,
                0, 0x0e, 0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0, 0);
}

static void
test_names (void)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();

  vmm_aml_path (aml, "\\");
  vmm_aml_path (aml, "A");
  vmm_aml_path (aml, "^^LNKA");
  vmm_aml_path (aml, "\\_SB.PCI0");
  vmm_aml_path (aml, "A.B.CCCC");
  ASSERT_BYTES (aml, '\\', 0, 'A', '_', '_', '_', '^', '^', 'L', 'N', 'K', 'A', '\\', 0x2e, '_',
                'S', 'B', '_', 'P', 'C', 'I', '0', 0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_',
                'C', 'C', 'C', 'C');
}

static void
test_ids (void)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();

  vmm_aml_eisa_id (aml, "PNP0A08");
  ASSERT_BYTES (aml, 0x0c, 0x41, 0xd0, 0x0a, 0x08);
  vmm_aml_uuid (aml, "33DB4D5B-1FF7-401C-9657-7441C03DD766");
  ASSERT_BYTES (aml, 0x11, 0x13, 0x0a, 0x10, 0x5b, 0x4d, 0xdb, 0x33, 0xf7, 0x1f, 0x1c, 0x40, 0x96,
                0x57, 0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66);
}

static void
test_nesting (void)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();

  vmm_aml_begin_scope (aml, "\\");
  vmm_aml_begin_device (aml, "DEV0");
  vmm_aml_name_int (aml, "_UID", 1);
  vmm_aml_end (aml);
  vmm_aml_end (aml);
  ASSERT_BYTES (aml, 0x10, 16, '\\', 0, 0x5b, 0x82, 11, 'D', 'E', 'V', '0', 0x08, '_', 'U', 'I',
                'D', 0x01);
}

/* Every length encoding, at its edges: the content must be found again at the announced length. */
static void
test_lengths (void)
{
  static const gsize sizes[] = { 0,    1,    57,   58,   59,   60,    61,     62,
                                 63,   64,   4088, 4089, 4090, 4091,  4092,   4093,
                                 4094, 4095, 4096, 4097, 9000, 65536, 524288, 1000000 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autoptr (VmmAml) aml = vmm_aml_new ();
      g_autoptr (GError) error = NULL;
      g_autoptr (GBytes) bytes = NULL;
      g_autofree guint8 *content = g_malloc0 (sizes[i] + 1);
      const guint8 *data;
      gsize size, length, extra;

      vmm_aml_buffer (aml, content, sizes[i]);
      bytes = vmm_aml_steal (aml, &error);
      g_assert_no_error (error);
      data = g_bytes_get_data (bytes, &size);
      g_assert_cmpuint (data[0], ==, 0x11);
      extra = data[1] >> 6;
      length = extra == 0 ? data[1] & 0x3f : data[1] & 0xf;
      for (gsize n = 0; n < extra; n++)
        length |= (gsize)data[2 + n] << (4 + 8 * n);
      g_assert_cmpuint (length, ==, size - 1);
      if (extra > 0)
        g_assert_cmpuint (data[1] & 0x30, ==, 0);
    }
}

static void
test_resources (void)
{
  static const guint32 gsis[] = { 16, 17 };
  g_autoptr (VmmAml) aml = vmm_aml_new ();

  vmm_aml_begin_resources (aml);
  vmm_aml_res_io (aml, 0x3f8, 0x3f8, 1, 8);
  vmm_aml_res_irq (aml, 4);
  vmm_aml_end (aml);
  ASSERT_BYTES (aml, 0x11, 0x10, 0x0a, 0x0d, 0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x22, 0x10, 0, 0x79,
                0);

  vmm_aml_begin_resources (aml);
  vmm_aml_res_interrupts (aml, gsis, 2);
  vmm_aml_res_memory32_fixed (aml, 0xfed00000, 0x400, FALSE);
  vmm_aml_end (aml);
  ASSERT_BYTES (aml, 0x11, 0x1e, 0x0a, 0x1b, 0x89, 10, 0, 0x09, 2, 16, 0, 0, 0, 17, 0, 0, 0, 0x86,
                9, 0, 0, 0, 0, 0xd0, 0xfe, 0, 4, 0, 0, 0x79, 0);
}

static void
test_fields (void)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();

  vmm_aml_region (aml, "PIRQ", VMM_AML_SPACE_PCI_CONFIG, 0x60, 0x0c);
  vmm_aml_begin_field (aml, "PIRQ", VMM_AML_ACCESS_BYTE, VMM_AML_UPDATE_PRESERVE);
  vmm_aml_field_unit (aml, "PRQA", 8);
  vmm_aml_field_skip (aml, 64);
  vmm_aml_end (aml);
  ASSERT_BYTES (aml, 0x5b, 0x80, 'P', 'I', 'R', 'Q', 2, 0x0a, 0x60, 0x0a, 0x0c, 0x5b, 0x81, 14, 'P',
                'I', 'R', 'Q', 1, 'P', 'R', 'Q', 'A', 8, 0, 0x40, 4);
}

static void
test_fixed_dword (void)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();
  gsize at = vmm_aml_name_dword_fixed (aml, "VGIA", 0);

  g_assert_cmpuint (at, ==, 6);
  ASSERT_BYTES (aml, 0x08, 'V', 'G', 'I', 'A', 0x0c, 0, 0, 0, 0);
}

/* Too much is an error at the end, not a crash on the way. */
static void
test_bound (void)
{
  g_autoptr (VmmAml) aml = vmm_aml_new ();
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *block = g_malloc0 (65536);

  vmm_aml_begin_scope (aml, "\\_SB");
  for (guint i = 0; i < 20; i++)
    vmm_aml_buffer (aml, block, 65536);
  vmm_aml_end (aml);
  g_assert_cmpuint (vmm_aml_get_size (aml), <=, VMM_AML_MAX_SIZE);
  g_assert_null (vmm_aml_steal (aml, &error));
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/boot/aml/integers", test_integers);
  g_test_add_func ("/boot/aml/names", test_names);
  g_test_add_func ("/boot/aml/ids", test_ids);
  g_test_add_func ("/boot/aml/nesting", test_nesting);
  g_test_add_func ("/boot/aml/lengths", test_lengths);
  g_test_add_func ("/boot/aml/resources", test_resources);
  g_test_add_func ("/boot/aml/fields", test_fields);
  g_test_add_func ("/boot/aml/fixed-dword", test_fixed_dword);
  g_test_add_func ("/boot/aml/bound", test_bound);
  return g_test_run ();
}
