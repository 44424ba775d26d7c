/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "vmm/state.h"

typedef struct
{
  guint8 a;
  guint16 b;
  guint32 c;
  guint64 d;
  gboolean e;
  guint8 f[5];
  guint16 g[3];
  gboolean h[2];
} Sample;

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (Sample, a, VMM_STATE_U8),     VMM_STATE_FIELD (Sample, b, VMM_STATE_U16),
  VMM_STATE_FIELD (Sample, c, VMM_STATE_U32),    VMM_STATE_FIELD (Sample, d, VMM_STATE_U64),
  VMM_STATE_FIELD (Sample, e, VMM_STATE_BOOL),   VMM_STATE_ARRAY (Sample, f, VMM_STATE_U8, 5),
  VMM_STATE_ARRAY (Sample, g, VMM_STATE_U16, 3), VMM_STATE_ARRAY (Sample, h, VMM_STATE_BOOL, 2),
};

static const Sample sample = {
  0xab, 0x1234, 0xdeadbeef, 0x0123456789abcdef, 2, { 1, 2, 3, 4, 5 }, { 6, 7, 65535 }, { 0, 1 },
};

static GBytes *
write_sample (void)
{
  VmmStateWriter *writer = vmm_state_writer_new ();
  GBytes *bytes;

  vmm_state_writer_begin (writer, "disk.a", "sample", 3);
  vmm_state_save_fields (writer, fields, G_N_ELEMENTS (fields), &sample);
  vmm_state_put_bytes (writer, "blob", "xyz", 3);
  vmm_state_put_bytes (writer, "none", NULL, 0);
  vmm_state_writer_end (writer);
  vmm_state_writer_begin (writer, "disk.b", "empty", 1);
  vmm_state_writer_end (writer);
  bytes = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  return bytes;
}

static void
test_round_trip (void)
{
  g_autoptr (GBytes) bytes = write_sample (), again = write_sample ();
  g_autoptr (GError) error = NULL;
  VmmStateReader *reader = vmm_state_reader_new (bytes, &error);
  const char *id, *class_name;
  const guint8 *data;
  gsize length;
  guint32 version;
  Sample got;

  memset (&got, 0x55, sizeof got);
  g_assert_true (g_bytes_equal (bytes, again));
  g_assert_true (vmm_state_reader_next (reader, &id, &class_name, &version, &error));
  g_assert_cmpstr (id, ==, "disk.a");
  g_assert_cmpstr (class_name, ==, "sample");
  g_assert_cmpuint (version, ==, 3);
  g_assert_true (vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), &got, &error));
  g_assert_cmphex (got.a, ==, 0xab);
  g_assert_cmphex (got.b, ==, 0x1234);
  g_assert_cmphex (got.c, ==, 0xdeadbeef);
  g_assert_cmphex (got.d, ==, 0x0123456789abcdef);
  g_assert_cmpint (got.e, ==, 1);
  g_assert_cmpmem (got.f, 5, sample.f, 5);
  g_assert_cmpmem (got.g, 6, sample.g, 6);
  g_assert_cmpmem (got.h, sizeof got.h, sample.h, sizeof got.h);
  g_assert_true (vmm_state_get_blob (reader, "blob", 10, &data, &length, &error));
  g_assert_cmpmem (data, length, "xyz", 3);
  g_assert_true (vmm_state_get_bytes (reader, "none", NULL, 0, &error));
  g_assert_true (vmm_state_reader_end (reader, &error));
  g_assert_true (vmm_state_reader_next (reader, &id, &class_name, &version, &error));
  g_assert_true (vmm_state_reader_end (reader, &error));
  g_assert_false (vmm_state_reader_next (reader, &id, &class_name, &version, &error));
  g_assert_no_error (error);
  vmm_state_reader_free (reader);
}

/* Every refusal names the device and the field and leaves no error behind unset. */
static void
test_refusals (void)
{
  VmmStateWriter *writer = vmm_state_writer_new ();
  g_autoptr (GBytes) bytes = NULL;
  VmmStateReader *reader;
  const char *id, *class_name;
  const guint8 *data;
  guint32 version;
  guint64 value;
  gsize length;
  guint8 buffer[8];
  g_autoptr (GError) error = NULL;

  vmm_state_writer_begin (writer, "dev", "class", 1);
  vmm_state_put_uint (writer, "n", 300);
  vmm_state_put_bytes (writer, "bytes", "abcdef", 6);
  vmm_state_writer_end (writer);
  bytes = vmm_state_writer_finish (writer);
  vmm_state_writer_free (writer);
  reader = vmm_state_reader_new (bytes, NULL);
  g_assert_true (vmm_state_reader_next (reader, &id, &class_name, &version, NULL));
#define REFUSED(call)                                                                              \
  g_assert_false (call);                                                                           \
  g_assert_error (error, VMM_ERROR, VMM_ERROR_INVALID);                                            \
  g_clear_error (&error)
  REFUSED (vmm_state_get_uint (reader, "m", 1000, &value, &error));
  REFUSED (vmm_state_get_uint (reader, "nn", 1000, &value, &error));
  REFUSED (vmm_state_get_bytes (reader, "n", buffer, 8, &error));
  REFUSED (vmm_state_reader_next (reader, &id, &class_name, &version, &error));
  g_assert_true (vmm_state_get_uint (reader, "n", 300, &value, NULL));
  REFUSED (vmm_state_get_bytes (reader, "bytes", buffer, 5, &error)); /* longer */
  REFUSED (vmm_state_get_bytes (reader, "bytes", buffer, 7, &error)); /* shorter; consumed */
  REFUSED (vmm_state_get_blob (reader, "bytes", 6, &data, &length, &error));
  vmm_state_reader_free (reader);

  reader = vmm_state_reader_new (bytes, NULL);
  g_assert_true (vmm_state_reader_next (reader, &id, &class_name, &version, NULL));
  REFUSED (vmm_state_get_uint (reader, "n", 299, &value, &error));
  vmm_state_reader_free (reader);
  reader = vmm_state_reader_new (bytes, NULL);
  g_assert_true (vmm_state_reader_next (reader, &id, &class_name, &version, NULL));
  REFUSED (vmm_state_reader_end (reader, &error)); /* unread fields */
  vmm_state_reader_free (reader);
}

static gboolean
read_all (GBytes *bytes)
{
  VmmStateReader *reader = vmm_state_reader_new (bytes, NULL);
  const char *id, *class_name;
  const guint8 *data;
  gsize length;
  guint32 version;
  GError *error = NULL;
  Sample got;
  gboolean ok;

  if (reader == NULL)
    return FALSE;
  while (vmm_state_reader_next (reader, &id, &class_name, &version, &error))
    if (g_str_equal (class_name, "sample"))
      {
        if (!vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), &got, &error) ||
            !vmm_state_get_blob (reader, "blob", 10, &data, &length, &error) ||
            !vmm_state_get_blob (reader, "none", 10, &data, &length, &error) ||
            !vmm_state_reader_end (reader, &error))
          break;
      }
    else if (!vmm_state_reader_end (reader, &error))
      break;
  ok = error == NULL;
  g_clear_error (&error);
  vmm_state_reader_free (reader);
  return ok;
}

/* No truncation and no single changed bit goes unnoticed. */
static void
test_damage (void)
{
  g_autoptr (GBytes) bytes = write_sample ();
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  g_assert_true (read_all (bytes));
  for (gsize n = 0; n < size; n++)
    {
      g_autofree guint8 *copy = g_memdup2 (data, n + 1); /* exactly sized, for ASan */
      g_autoptr (GBytes) cut = g_bytes_new_static (copy, n);

      g_assert_false (read_all (cut));
    }
  for (gsize bit = 0; bit < size * 8; bit++)
    {
      g_autofree guint8 *copy = g_memdup2 (data, size);
      g_autoptr (GBytes) changed = g_bytes_new_static (copy, size);

      copy[bit / 8] ^= (guint8)(1u << (bit % 8));
      g_assert_false (read_all (changed));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/vmm/state/round-trip", test_round_trip);
  g_test_add_func ("/vmm/state/refusals", test_refusals);
  g_test_add_func ("/vmm/state/damage", test_damage);
  return g_test_run ();
}
