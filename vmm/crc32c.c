/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/crc32c.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* Four bits a step: small, for processors without the instruction. */
static guint32
update_by_table (guint32 crc, const guint8 *data, gsize length)
{
  static const guint32 table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
  };

  for (gsize i = 0; i < length; i++)
    {
      crc ^= data[i];
      crc = (crc >> 4) ^ table[crc & 15];
      crc = (crc >> 4) ^ table[crc & 15];
    }
  return crc;
}

#if defined(__x86_64__)
__attribute__ ((target ("sse4.2"))) static guint32
update_by_instruction (guint32 crc, const guint8 *data, gsize length)
{
  guint64 wide = crc;

  for (; length >= 8; data += 8, length -= 8)
    {
      guint64 word;

      memcpy (&word, data, sizeof word);
      wide = _mm_crc32_u64 (wide, word);
    }
  crc = (guint32)wide;
  for (; length > 0; data++, length--)
    crc = _mm_crc32_u8 (crc, *data);
  return crc;
}
#endif

guint32
vmm_crc32c (guint32 crc, gconstpointer data, gsize length)
{
#if defined(__x86_64__)
  if (__builtin_cpu_supports ("sse4.2"))
    return ~update_by_instruction (~crc, data, length);
#endif
  return ~update_by_table (~crc, data, length);
}
