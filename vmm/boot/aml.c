/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/aml.h"
#include "vmm/error.h"

#include <string.h>

typedef enum
{
  KIND_PLAIN,     /* only a package length */
  KIND_RESOURCES, /* package length, buffer size, end tag */
} Kind;

typedef struct
{
  Kind kind;
  gsize start; /* offset of the first byte after the opcode */
} Open;

struct _VmmAml
{
  GByteArray *bytes;
  Open open[VMM_AML_MAX_DEPTH];
  guint depth;
  gboolean overflow; /* sticky: nothing is added any more */
};

VmmAml *
vmm_aml_new (void)
{
  VmmAml *aml = g_new0 (VmmAml, 1);

  aml->bytes = g_byte_array_new ();
  return aml;
}

void
vmm_aml_free (VmmAml *aml)
{
  if (aml == NULL)
    return;
  g_byte_array_unref (aml->bytes);
  g_free (aml);
}

GBytes *
vmm_aml_steal (VmmAml *aml, GError **error)
{
  GByteArray *bytes;

  g_assert (aml->depth == 0);
  if (aml->overflow)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "the ACPI tables outgrow %d KiB: use fewer processors or devices",
                   VMM_AML_MAX_SIZE / 1024);
      return NULL;
    }
  bytes = g_steal_pointer (&aml->bytes);
  aml->bytes = g_byte_array_new ();
  return g_byte_array_free_to_bytes (bytes);
}

gsize
vmm_aml_get_size (VmmAml *aml)
{
  return aml->bytes->len;
}

static void
put (VmmAml *aml, const void *data, gsize length)
{
  if (aml->overflow || length > VMM_AML_MAX_SIZE - aml->bytes->len)
    {
      aml->overflow = TRUE;
      return;
    }
  g_byte_array_append (aml->bytes, data, (guint)length);
}

static void
put8 (VmmAml *aml, guint8 value)
{
  put (aml, &value, 1);
}

static void
put16 (VmmAml *aml, guint16 value)
{
  guint16 le = GUINT16_TO_LE (value);

  put (aml, &le, sizeof le);
}

static void
put32 (VmmAml *aml, guint32 value)
{
  guint32 le = GUINT32_TO_LE (value);

  put (aml, &le, sizeof le);
}

static void
put64 (VmmAml *aml, guint64 value)
{
  guint64 le = GUINT64_TO_LE (value);

  put (aml, &le, sizeof le);
}

static void
insert (VmmAml *aml, gsize at, const guint8 *data, gsize length)
{
  gsize old = aml->bytes->len;

  put (aml, data, length);
  if (aml->overflow)
    return;
  memmove (aml->bytes->data + at + length, aml->bytes->data + at, old - at);
  memcpy (aml->bytes->data + at, data, length);
}

/* ACPI 6.4, 20.2.4: PkgLength counts itself. Without itself for field units. */
static guint
encode_length (guint8 out[4], gsize content, gboolean counts_itself)
{
  for (guint n = 1; n <= 4; n++)
    {
      gsize total = content + (counts_itself ? n : 0);
      gsize limit = n == 1 ? 0x3f : ((gsize)1 << (4 + 8 * (n - 1))) - 1;

      if (total > limit)
        continue;
      if (n == 1)
        {
          out[0] = (guint8)total;
          return 1;
        }
      out[0] = (guint8)((n - 1) << 6 | (total & 0xf));
      for (guint i = 1; i < n; i++)
        out[i] = (guint8)(total >> (4 + 8 * (i - 1)));
      return n;
    }
  g_assert_not_reached (); /* VMM_AML_MAX_SIZE is far below 2^28 */
}

static void
begin (VmmAml *aml, Kind kind)
{
  g_assert (aml->depth < VMM_AML_MAX_DEPTH);
  aml->open[aml->depth++] = (Open){ kind, aml->bytes->len };
}

/* The shortest constant, as bytes. Returns how many. */
static guint
encode_int (guint8 out[9], guint64 value)
{
  guint n;

  if (value <= 1)
    {
      out[0] = (guint8)value; /* ZeroOp, OneOp */
      return 1;
    }
  if (value <= G_MAXUINT8)
    n = 1, out[0] = 0x0a;
  else if (value <= G_MAXUINT16)
    n = 2, out[0] = 0x0b;
  else if (value <= G_MAXUINT32)
    n = 4, out[0] = 0x0c;
  else
    n = 8, out[0] = 0x0e;
  for (guint i = 0; i < n; i++)
    out[1 + i] = (guint8)(value >> (8 * i));
  return n + 1;
}

void
vmm_aml_end (VmmAml *aml)
{
  guint8 buffer[9];
  Open *open;
  guint n;

  g_assert (aml->depth > 0);
  if (aml->open[aml->depth - 1].kind == KIND_RESOURCES)
    {
      put8 (aml, 0x79); /* end tag; a zero checksum means "not computed" */
      put8 (aml, 0);
    }
  open = &aml->open[--aml->depth];
  if (aml->overflow)
    return;
  if (open->kind == KIND_RESOURCES)
    {
      n = encode_int (buffer, aml->bytes->len - open->start);
      insert (aml, open->start, buffer, n);
      if (aml->overflow)
        return;
    }
  n = encode_length (buffer, aml->bytes->len - open->start, TRUE);
  insert (aml, open->start, buffer, n);
}

void
vmm_aml_int (VmmAml *aml, guint64 value)
{
  guint8 buffer[9];

  put (aml, buffer, encode_int (buffer, value));
}

void
vmm_aml_string (VmmAml *aml, const char *ascii)
{
  put8 (aml, 0x0d);
  put (aml, ascii, strlen (ascii) + 1);
}

void
vmm_aml_null (VmmAml *aml)
{
  put8 (aml, 0);
}

static void
put_segment (VmmAml *aml, const char *segment, gsize length)
{
  char name[4] = { '_', '_', '_', '_' };

  g_assert (length >= 1 && length <= 4);
  memcpy (name, segment, length);
  put (aml, name, sizeof name);
}

void
vmm_aml_path (VmmAml *aml, const char *path)
{
  guint n_segments = 0;

  if (*path == '\\')
    put8 (aml, (guint8)*path++);
  while (*path == '^')
    put8 (aml, (guint8)*path++);
  if (*path == '\0')
    {
      put8 (aml, 0); /* NullName */
      return;
    }
  n_segments = 1;
  for (const char *p = path; *p != '\0'; p++)
    n_segments += *p == '.';
  if (n_segments == 2)
    put8 (aml, 0x2e);
  else if (n_segments > 2)
    {
      put8 (aml, 0x2f);
      put8 (aml, (guint8)n_segments);
    }
  for (guint i = 0; i < n_segments; i++)
    {
      gsize length = strcspn (path, ".");

      put_segment (aml, path, length);
      path += length + 1;
    }
}

void
vmm_aml_eisa_id (VmmAml *aml, const char *id)
{
  guint32 value = 0;

  g_assert (strlen (id) == 7);
  for (guint i = 0; i < 3; i++)
    value = value << 5 | (guint32)((id[i] - 0x40) & 0x1f);
  for (guint i = 3; i < 7; i++)
    {
      gint digit = g_ascii_xdigit_value (id[i]);

      g_assert (digit >= 0);
      value = value << 4 | (guint32)digit;
    }
  put8 (aml, 0x0c);
  put32 (aml, GUINT32_SWAP_LE_BE (value)); /* stored big endian, ACPI 6.4, 19.3.4 */
}

void
vmm_aml_uuid (VmmAml *aml, const char *uuid)
{
  /* Positions of the bytes in the text, ACPI 6.4, 19.6.142 (ToUUID). */
  static const guint8 at[16] = { 6, 4, 2, 0, 11, 9, 16, 14, 19, 21, 24, 26, 28, 30, 32, 34 };
  guint8 bytes[16];

  g_assert (strlen (uuid) == 36);
  for (guint i = 0; i < 16; i++)
    {
      gint high = g_ascii_xdigit_value (uuid[at[i]]);
      gint low = g_ascii_xdigit_value (uuid[at[i] + 1]);

      g_assert (high >= 0 && low >= 0);
      bytes[i] = (guint8)(high << 4 | low);
    }
  vmm_aml_buffer (aml, bytes, sizeof bytes);
}

void
vmm_aml_buffer (VmmAml *aml, const void *data, gsize length)
{
  put8 (aml, 0x11);
  begin (aml, KIND_PLAIN);
  vmm_aml_int (aml, length);
  put (aml, data, length);
  vmm_aml_end (aml);
}

void
vmm_aml_arg (VmmAml *aml, guint n)
{
  g_assert (n <= 6);
  put8 (aml, (guint8)(0x68 + n));
}

void
vmm_aml_local (VmmAml *aml, guint n)
{
  g_assert (n <= 7);
  put8 (aml, (guint8)(0x60 + n));
}

void
vmm_aml_op (VmmAml *aml, VmmAmlOp op)
{
  put8 (aml, (guint8)op);
}

void
vmm_aml_name (VmmAml *aml, const char *path)
{
  put8 (aml, 0x08);
  vmm_aml_path (aml, path);
}

void
vmm_aml_name_int (VmmAml *aml, const char *path, guint64 value)
{
  vmm_aml_name (aml, path);
  vmm_aml_int (aml, value);
}

void
vmm_aml_name_string (VmmAml *aml, const char *path, const char *ascii)
{
  vmm_aml_name (aml, path);
  vmm_aml_string (aml, ascii);
}

void
vmm_aml_name_eisa (VmmAml *aml, const char *path, const char *id)
{
  vmm_aml_name (aml, path);
  vmm_aml_eisa_id (aml, id);
}

gsize
vmm_aml_name_dword_fixed (VmmAml *aml, const char *path, guint32 value)
{
  g_assert (aml->depth == 0);
  vmm_aml_name (aml, path);
  put8 (aml, 0x0c);
  put32 (aml, value);
  return aml->bytes->len - 4;
}

void
vmm_aml_begin_scope (VmmAml *aml, const char *path)
{
  put8 (aml, 0x10);
  begin (aml, KIND_PLAIN);
  vmm_aml_path (aml, path);
}

void
vmm_aml_begin_device (VmmAml *aml, const char *path)
{
  put8 (aml, 0x5b);
  put8 (aml, 0x82);
  begin (aml, KIND_PLAIN);
  vmm_aml_path (aml, path);
}

void
vmm_aml_begin_method (VmmAml *aml, const char *path, guint n_args, gboolean serialized)
{
  g_assert (n_args <= 7);
  put8 (aml, 0x14);
  begin (aml, KIND_PLAIN);
  vmm_aml_path (aml, path);
  put8 (aml, (guint8)(n_args | (serialized ? 8 : 0)));
}

void
vmm_aml_begin_package (VmmAml *aml, guint n_elements)
{
  g_assert (n_elements <= 255);
  put8 (aml, 0x12);
  begin (aml, KIND_PLAIN);
  put8 (aml, (guint8)n_elements);
}

void
vmm_aml_begin_if (VmmAml *aml)
{
  put8 (aml, 0xa0);
  begin (aml, KIND_PLAIN);
}

void
vmm_aml_begin_else (VmmAml *aml)
{
  put8 (aml, 0xa1);
  begin (aml, KIND_PLAIN);
}

void
vmm_aml_begin_while (VmmAml *aml)
{
  put8 (aml, 0xa2);
  begin (aml, KIND_PLAIN);
}

void
vmm_aml_region (VmmAml *aml, const char *name, VmmAmlSpace space, guint64 offset, guint64 length)
{
  put8 (aml, 0x5b);
  put8 (aml, 0x80);
  vmm_aml_path (aml, name);
  put8 (aml, (guint8)space);
  vmm_aml_int (aml, offset);
  vmm_aml_int (aml, length);
}

void
vmm_aml_begin_field (VmmAml *aml, const char *region, VmmAmlAccess access, VmmAmlUpdate update)
{
  put8 (aml, 0x5b);
  put8 (aml, 0x81);
  begin (aml, KIND_PLAIN);
  vmm_aml_path (aml, region);
  put8 (aml, (guint8)(access | update << 5)); /* no lock rule */
}

void
vmm_aml_field_unit (VmmAml *aml, const char *name4, guint n_bits)
{
  guint8 buffer[4];

  put_segment (aml, name4, strlen (name4));
  put (aml, buffer, encode_length (buffer, n_bits, FALSE));
}

void
vmm_aml_field_skip (VmmAml *aml, guint n_bits)
{
  guint8 buffer[4];

  put8 (aml, 0);
  put (aml, buffer, encode_length (buffer, n_bits, FALSE));
}

void
vmm_aml_create_dword_field (
    VmmAml *aml, const char *source, guint n_arg, guint byte_offset, const char *name4)
{
  put8 (aml, 0x8a);
  if (source != NULL)
    vmm_aml_path (aml, source);
  else
    vmm_aml_arg (aml, n_arg);
  vmm_aml_int (aml, byte_offset);
  vmm_aml_path (aml, name4);
}

void
vmm_aml_begin_resources (VmmAml *aml)
{
  put8 (aml, 0x11);
  begin (aml, KIND_RESOURCES);
}

void
vmm_aml_res_memory32_fixed (VmmAml *aml, guint32 base, guint32 length, gboolean writable)
{
  put8 (aml, 0x86); /* 6.4.3.4 */
  put16 (aml, 9);
  put8 (aml, writable ? 1 : 0);
  put32 (aml, base);
  put32 (aml, length);
}

void
vmm_aml_res_io (VmmAml *aml, guint16 min, guint16 max, guint8 align, guint8 length)
{
  put8 (aml, 0x47); /* 6.4.2.5 */
  put8 (aml, 1);    /* decodes 16 bits */
  put16 (aml, min);
  put16 (aml, max);
  put8 (aml, align);
  put8 (aml, length);
}

void
vmm_aml_res_irq (VmmAml *aml, guint irq)
{
  g_assert (irq <= 15);
  put8 (aml, 0x22); /* 6.4.2.1, without flags */
  put16 (aml, (guint16)(1u << irq));
}

void
vmm_aml_res_interrupts (VmmAml *aml, const guint32 *gsis, guint n_gsis)
{
  g_assert (n_gsis >= 1 && n_gsis <= 255);
  put8 (aml, 0x89); /* 6.4.3.6 */
  put16 (aml, (guint16)(2 + 4 * n_gsis));
  put8 (aml, 0x09); /* consumer, level, active high, shared */
  put8 (aml, (guint8)n_gsis);
  for (guint i = 0; i < n_gsis; i++)
    put32 (aml, gsis[i]);
}

#define WINDOW_FLAGS 0x0c /* producer, positive decode, both ends fixed */

void
vmm_aml_res_bus_window (VmmAml *aml, guint16 min, guint16 max)
{
  put8 (aml, 0x88); /* 6.4.3.5.3 */
  put16 (aml, 13);
  put8 (aml, 2);
  put8 (aml, WINDOW_FLAGS);
  put8 (aml, 0);
  put16 (aml, 0);
  put16 (aml, min);
  put16 (aml, max);
  put16 (aml, 0);
  put16 (aml, (guint16)(max - min + 1));
}

void
vmm_aml_res_io_window (VmmAml *aml, guint16 min, guint16 max)
{
  put8 (aml, 0x88);
  put16 (aml, 13);
  put8 (aml, 1);
  put8 (aml, WINDOW_FLAGS);
  put8 (aml, 3); /* entire range */
  put16 (aml, 0);
  put16 (aml, min);
  put16 (aml, max);
  put16 (aml, 0);
  put16 (aml, (guint16)(max - min + 1));
}

void
vmm_aml_res_memory32_window (VmmAml *aml, guint32 min, guint32 max, gboolean cacheable)
{
  put8 (aml, 0x87); /* 6.4.3.5.2 */
  put16 (aml, 23);
  put8 (aml, 0);
  put8 (aml, WINDOW_FLAGS);
  put8 (aml, cacheable ? 3 : 1);
  put32 (aml, 0);
  put32 (aml, min);
  put32 (aml, max);
  put32 (aml, 0);
  put32 (aml, max - min + 1);
}

void
vmm_aml_res_memory64_window (VmmAml *aml, guint64 min, guint64 max, gboolean cacheable)
{
  put8 (aml, 0x8a); /* 6.4.3.5.1 */
  put16 (aml, 43);
  put8 (aml, 0);
  put8 (aml, WINDOW_FLAGS);
  put8 (aml, cacheable ? 3 : 1);
  put64 (aml, 0);
  put64 (aml, min);
  put64 (aml, max);
  put64 (aml, 0);
  put64 (aml, max - min + 1);
}
