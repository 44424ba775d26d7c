/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state stream reader, driven as a device's load would. The first byte chooses how sections are
 * read; checksums are mended, so that the fuzzer gets past them. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "vmm/state.h"

typedef struct
{
  guint8 a;
  guint16 b;
  guint32 c;
  guint64 d;
  gboolean e;
  guint8 f[8];
  guint32 g[3];
  gboolean h[2];
} Sample;

static const VmmStateField fields[] = {
  VMM_STATE_FIELD (Sample, a, VMM_STATE_U8),     VMM_STATE_FIELD (Sample, b, VMM_STATE_U16),
  VMM_STATE_FIELD (Sample, c, VMM_STATE_U32),    VMM_STATE_FIELD (Sample, d, VMM_STATE_U64),
  VMM_STATE_FIELD (Sample, e, VMM_STATE_BOOL),   VMM_STATE_ARRAY (Sample, f, VMM_STATE_U8, 8),
  VMM_STATE_ARRAY (Sample, g, VMM_STATE_U32, 3), VMM_STATE_ARRAY (Sample, h, VMM_STATE_BOOL, 2),
};

static void
read_section (VmmStateReader *reader, guint8 how)
{
  Sample sample = { 0 };
  const guint8 *blob;
  gsize length;
  guint64 value;
  guint8 buffer[16];

  switch (how & 3)
    {
    case 0:
      if (vmm_state_load_fields (reader, fields, G_N_ELEMENTS (fields), &sample, NULL))
        g_assert_true ((sample.e == 0 || sample.e == 1) && (sample.h[1] == 0 || sample.h[1] == 1));
      break;
    case 1:
      while (vmm_state_get_uint (reader, "a", 255, &value, NULL))
        g_assert_cmpuint (value, <=, 255);
      break;
    case 2:
      if (vmm_state_get_blob (reader, "f", 4096, &blob, &length, NULL))
        {
          guint8 sum = 0;

          g_assert_cmpuint (length, <=, 4096);
          for (gsize i = 0; i < length; i++)
            sum ^= blob[i];
          (void)sum;
        }
      break;
    default:
      (void)vmm_state_get_bytes (reader, "f", buffer, sizeof buffer, NULL);
      break;
    }
}

static guint32
crc32c (const guint8 *data, gsize length)
{
  guint32 crc = 0xffffffff;

  for (gsize i = 0; i < length; i++)
    {
      crc ^= data[i];
      for (guint bit = 0; bit < 8; bit++)
        crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
  return ~crc;
}

static void
mend_checksums (guint8 *data, gsize size)
{
  gsize at = 16;

  while (at < size && size - at >= 24 && memcmp (data + at, "SECT", 4) == 0)
    {
      gsize names =
          (gsize)(data[at + 12] | data[at + 13] << 8) + data[at + 14] + ((gsize)data[at + 15] << 8);
      guint64 length;
      gsize total;
      guint32 crc;

      memcpy (&length, data + at + 16, sizeof length);
      if (names > size - at - 24 || length > size - at - 24 - names)
        return;
      total = 24 + names + length;
      crc = crc32c (data + at + 8, total - 8);
      memcpy (data + at + 4, &crc, sizeof crc);
      at += total;
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autofree guint8 *copy = NULL;
  VmmStateReader *reader;
  const char *id, *class_name;
  guint32 version;

  if (size < 2)
    return 0;
  copy = g_memdup2 (data + 1, size - 1);
  mend_checksums (copy, size - 1);
  bytes = g_bytes_new (copy, size - 1);
  reader = vmm_state_reader_new (bytes, NULL);
  if (reader == NULL)
    return 0;
  while (vmm_state_reader_next (reader, &id, &class_name, &version, NULL))
    {
      g_assert_true (g_utf8_validate (id, -1, NULL));
      read_section (reader, data[0]);
      if (!vmm_state_reader_end (reader, NULL))
        break;
    }
  vmm_state_reader_free (reader);
  return 0;
}
