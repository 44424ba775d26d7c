/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The state stream. All integers are little endian.
 *
 *   header   0  8  magic "ALCSTATE"
 *            8  4  format version (1)
 *           12  4  zero
 *   section  0  4  tag "SECT"
 *            4  4  CRC32C of everything in the section after this field
 *            8  4  version of the class
 *           12  2  length of id, 14 2 length of class name
 *           16  8  length of the fields
 *           24     id, class name, fields
 *   end      0  4  tag "END.", 4 4 number of sections
 *   field    0  1  type (1 unsigned integer, 2 bytes), 1 1 length of key, 2 2 zero
 *            4  4  length of value, 8 key, value (an integer is 8 bytes) */
#include "vmm/state.h"

#include <string.h>

#include "vmm/crc32c.h"

#define FORMAT_VERSION 1
#define HEADER_SIZE    16
#define SECTION_SIZE   24
#define FIELD_SIZE     8
#define NAME_MAX_BYTES 255

#define TAG_SECTION 0x54434553u
#define TAG_END     0x2e444e45u

enum
{
  FIELD_UINT = 1,
  FIELD_BYTES = 2,
};

static const char magic[8] = { 'A', 'L', 'C', 'S', 'T', 'A', 'T', 'E' };

static guint16
get16 (const guint8 *p)
{
  return (guint16)(p[0] | p[1] << 8);
}

static guint32
get32 (const guint8 *p)
{
  return get16 (p) | (guint32)get16 (p + 2) << 16;
}

static guint64
get64 (const guint8 *p)
{
  return get32 (p) | (guint64)get32 (p + 4) << 32;
}

static void
put_le (guint8 *p, guint64 value, guint n)
{
  for (guint i = 0; i < n; i++)
    p[i] = (guint8)(value >> (8 * i));
}

/* Writer */

struct _VmmStateWriter
{
  GByteArray *bytes;
  gsize section; /* offset of the open section's header */
  gboolean open;
  guint32 n_sections;
};

static void
append_le (GByteArray *bytes, guint64 value, guint n)
{
  guint8 buffer[8];

  put_le (buffer, value, n);
  g_byte_array_append (bytes, buffer, n);
}

VmmStateWriter *
vmm_state_writer_new (void)
{
  VmmStateWriter *writer = g_new0 (VmmStateWriter, 1);

  writer->bytes = g_byte_array_new ();
  g_byte_array_append (writer->bytes, (const guint8 *)magic, sizeof magic);
  append_le (writer->bytes, FORMAT_VERSION, 4);
  append_le (writer->bytes, 0, 4);
  return writer;
}

void
vmm_state_writer_free (VmmStateWriter *writer)
{
  if (writer == NULL)
    return;
  if (writer->bytes != NULL)
    g_byte_array_unref (writer->bytes);
  g_free (writer);
}

void
vmm_state_writer_begin (VmmStateWriter *writer,
                        const char *id,
                        const char *class_name,
                        guint32 version)
{
  gsize id_length = strlen (id), class_length = strlen (class_name);

  g_assert (!writer->open && id_length <= NAME_MAX_BYTES && class_length <= NAME_MAX_BYTES);
  writer->open = TRUE;
  writer->section = writer->bytes->len;
  append_le (writer->bytes, TAG_SECTION, 4);
  append_le (writer->bytes, 0, 4); /* CRC: end */
  append_le (writer->bytes, version, 4);
  append_le (writer->bytes, id_length, 2);
  append_le (writer->bytes, class_length, 2);
  append_le (writer->bytes, 0, 8); /* length: end */
  g_byte_array_append (writer->bytes, (const guint8 *)id, (guint)id_length);
  g_byte_array_append (writer->bytes, (const guint8 *)class_name, (guint)class_length);
}

void
vmm_state_writer_end (VmmStateWriter *writer)
{
  guint8 *section = writer->bytes->data + writer->section;
  gsize total = writer->bytes->len - writer->section;
  gsize names = (gsize)get16 (section + 12) + get16 (section + 14);

  g_assert (writer->open);
  put_le (section + 16, total - SECTION_SIZE - names, 8);
  put_le (section + 4, vmm_crc32c (0, section + 8, total - 8), 4);
  writer->open = FALSE;
  writer->n_sections++;
}

GBytes *
vmm_state_writer_finish (VmmStateWriter *writer)
{
  GByteArray *bytes = g_steal_pointer (&writer->bytes);

  g_assert (!writer->open);
  append_le (bytes, TAG_END, 4);
  append_le (bytes, writer->n_sections, 4);
  return g_byte_array_free_to_bytes (bytes);
}

static void
put_field (VmmStateWriter *writer, guint8 type, const char *key, const void *data, gsize length)
{
  gsize key_length = strlen (key);

  g_assert (writer->open && key_length <= NAME_MAX_BYTES && length <= G_MAXUINT32);
  append_le (writer->bytes, type, 1);
  append_le (writer->bytes, key_length, 1);
  append_le (writer->bytes, 0, 2);
  append_le (writer->bytes, length, 4);
  g_byte_array_append (writer->bytes, (const guint8 *)key, (guint)key_length);
  if (length > 0)
    g_byte_array_append (writer->bytes, data, (guint)length);
}

void
vmm_state_put_uint (VmmStateWriter *writer, const char *key, guint64 value)
{
  guint8 buffer[8];

  put_le (buffer, value, 8);
  put_field (writer, FIELD_UINT, key, buffer, sizeof buffer);
}

void
vmm_state_put_bytes (VmmStateWriter *writer, const char *key, const void *data, gsize length)
{
  put_field (writer, FIELD_BYTES, key, data, length);
}

/* Reader */

struct _VmmStateReader
{
  GBytes *bytes;
  const guint8 *data;
  gsize size;
  gsize at;  /* next section */
  gsize pos; /* next field */
  gsize end; /* of the open section's fields */
  gboolean open;
  guint32 n_sections;
  char id[NAME_MAX_BYTES + 1];
  char class_name[NAME_MAX_BYTES + 1];
};

static gboolean
invalid (GError **error, const char *message)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The saved state cannot be used: %s", message);
  return FALSE;
}

VmmStateReader *
vmm_state_reader_new (GBytes *stream, GError **error)
{
  VmmStateReader *reader;
  gsize size;
  const guint8 *data = g_bytes_get_data (stream, &size);

  if (size < HEADER_SIZE || memcmp (data, magic, sizeof magic) != 0)
    {
      invalid (error, "it was not written by Alcove");
      return NULL;
    }
  if (get32 (data + 8) != FORMAT_VERSION || get32 (data + 12) != 0)
    {
      invalid (error, "its format is of another version of Alcove");
      return NULL;
    }
  reader = g_new0 (VmmStateReader, 1);
  reader->bytes = g_bytes_ref (stream);
  reader->data = data;
  reader->size = size;
  reader->at = HEADER_SIZE;
  return reader;
}

void
vmm_state_reader_free (VmmStateReader *reader)
{
  if (reader == NULL)
    return;
  g_bytes_unref (reader->bytes);
  g_free (reader);
}

/* Copies a name that must be printable ASCII without spaces. */
static gboolean
copy_name (char *out, const guint8 *data, gsize length)
{
  if (length == 0 || length > NAME_MAX_BYTES)
    return FALSE;
  for (gsize i = 0; i < length; i++)
    if (!g_ascii_isgraph (data[i]))
      return FALSE;
  memcpy (out, data, length);
  out[length] = '\0';
  return TRUE;
}

gboolean
vmm_state_reader_next (VmmStateReader *reader,
                       const char **ret_id,
                       const char **ret_class,
                       guint32 *ret_version,
                       GError **error)
{
  gsize left = reader->size - reader->at, id_length, class_length;
  const guint8 *section = reader->data + reader->at;
  guint64 length;

  if (reader->open)
    return invalid (error, "a section was left unread");
  if (left < 8)
    return invalid (error, "it ends too early");
  if (get32 (section) == TAG_END)
    {
      if (left != 8 || get32 (section + 4) != reader->n_sections)
        return invalid (error, "sections are missing or follow the end");
      return FALSE;
    }
  if (get32 (section) != TAG_SECTION || left < SECTION_SIZE)
    return invalid (error, "a section header is damaged");
  id_length = get16 (section + 12);
  class_length = get16 (section + 14);
  length = get64 (section + 16);
  left -= SECTION_SIZE;
  if (id_length + class_length > left || length > left - id_length - class_length)
    return invalid (error, "a section is longer than the stream");
  if (vmm_crc32c (0, section + 8, SECTION_SIZE - 8 + id_length + class_length + (gsize)length) !=
      get32 (section + 4))
    return invalid (error, "a checksum is wrong, the data is damaged");
  if (!copy_name (reader->id, section + SECTION_SIZE, id_length) ||
      !copy_name (reader->class_name, section + SECTION_SIZE + id_length, class_length))
    return invalid (error, "a section has no proper name");

  reader->pos = reader->at + SECTION_SIZE + id_length + class_length;
  reader->end = reader->pos + (gsize)length;
  reader->at = reader->end;
  reader->open = TRUE;
  reader->n_sections++;
  *ret_id = reader->id;
  *ret_class = reader->class_name;
  *ret_version = get32 (section + 8);
  return TRUE;
}

gboolean
vmm_state_reader_end (VmmStateReader *reader, GError **error)
{
  gboolean whole = reader->open && reader->pos == reader->end;

  reader->open = FALSE;
  if (whole)
    return TRUE;
  g_set_error (
      error, VMM_ERROR, VMM_ERROR_INVALID,
      "The saved state cannot be used: “%s” (%s) has fields that this version does not know",
      reader->id, reader->class_name);
  return FALSE;
}

static gboolean
invalid_field (VmmStateReader *reader, const char *key, const char *what, GError **error)
{
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "The saved state cannot be used: “%s” (%s), field “%s”: %s",
               reader->open ? reader->id : "?", reader->open ? reader->class_name : "?", key, what);
  return FALSE;
}

/* The value of the next field, which must be key. The position moves only on success. */
static gboolean
get_field (VmmStateReader *reader,
           guint8 type,
           const char *key,
           gsize max_length,
           const guint8 **ret_data,
           gsize *ret_length,
           GError **error)
{
  gsize key_length = strlen (key), left = reader->end - reader->pos, length;
  const guint8 *field = reader->data + reader->pos;

  if (!reader->open || left < FIELD_SIZE)
    return invalid_field (reader, key, "missing", error);
  left -= FIELD_SIZE;
  length = get32 (field + 4);
  if (field[1] > left || length > left - field[1])
    return invalid_field (reader, key, "longer than its section", error);
  if (field[1] != key_length || memcmp (field + FIELD_SIZE, key, key_length) != 0)
    return invalid_field (reader, key, "another field stands in its place", error);
  if (field[0] != type || get16 (field + 2) != 0)
    return invalid_field (reader, key, "wrong type", error);
  if (length > max_length)
    return invalid_field (reader, key, "too long", error);
  *ret_data = field + FIELD_SIZE + key_length;
  *ret_length = length;
  reader->pos += FIELD_SIZE + key_length + length;
  return TRUE;
}

gboolean
vmm_state_get_uint (
    VmmStateReader *reader, const char *key, guint64 max, guint64 *ret_value, GError **error)
{
  const guint8 *data;
  gsize length;
  guint64 value;

  if (!get_field (reader, FIELD_UINT, key, 8, &data, &length, error))
    return FALSE;
  if (length != 8)
    return invalid_field (reader, key, "wrong length", error);
  value = get64 (data);
  if (value > max)
    return invalid_field (reader, key, "value out of range", error);
  *ret_value = value;
  return TRUE;
}

gboolean
vmm_state_get_bytes (
    VmmStateReader *reader, const char *key, void *buffer, gsize length, GError **error)
{
  const guint8 *data;
  gsize got;

  if (!get_field (reader, FIELD_BYTES, key, length, &data, &got, error))
    return FALSE;
  if (got != length)
    return invalid_field (reader, key, "too short", error);
  if (length > 0)
    memcpy (buffer, data, length);
  return TRUE;
}

gboolean
vmm_state_get_blob (VmmStateReader *reader,
                    const char *key,
                    gsize max_length,
                    const guint8 **ret_data,
                    gsize *ret_length,
                    GError **error)
{
  return get_field (reader, FIELD_BYTES, key, max_length, ret_data, ret_length, error);
}

/* Tables of fields */

static guint
element_size (VmmStateType type)
{
  return type == VMM_STATE_BOOL ? sizeof (gboolean) : (guint)type;
}

static guint
stored_size (VmmStateType type)
{
  return type == VMM_STATE_BOOL ? 1 : (guint)type;
}

static guint64
load_element (const guint8 *at, VmmStateType type)
{
  guint64 u64;
  guint32 u32;
  guint16 u16;
  gboolean flag;

  switch (type)
    {
    case VMM_STATE_U8:
      return *at;
    case VMM_STATE_U16:
      memcpy (&u16, at, sizeof u16);
      return u16;
    case VMM_STATE_U32:
      memcpy (&u32, at, sizeof u32);
      return u32;
    case VMM_STATE_U64:
      memcpy (&u64, at, sizeof u64);
      return u64;
    case VMM_STATE_BOOL:
      memcpy (&flag, at, sizeof flag);
      return flag != FALSE;
    }
  return 0;
}

static void
store_element (guint8 *at, VmmStateType type, guint64 value)
{
  guint32 u32 = (guint32)value;
  guint16 u16 = (guint16)value;
  gboolean flag = value != 0;

  switch (type)
    {
    case VMM_STATE_U8:
      *at = (guint8)value;
      break;
    case VMM_STATE_U16:
      memcpy (at, &u16, sizeof u16);
      break;
    case VMM_STATE_U32:
      memcpy (at, &u32, sizeof u32);
      break;
    case VMM_STATE_U64:
      memcpy (at, &value, sizeof value);
      break;
    case VMM_STATE_BOOL:
      memcpy (at, &flag, sizeof flag);
      break;
    }
}

static guint64
type_max (VmmStateType type)
{
  guint n = stored_size (type);

  if (type == VMM_STATE_BOOL)
    return 1;
  return n == 8 ? G_MAXUINT64 : (G_GUINT64_CONSTANT (1) << (n * 8)) - 1;
}

void
vmm_state_save_fields (VmmStateWriter *writer,
                       const VmmStateField *fields,
                       guint n_fields,
                       gconstpointer base)
{
  for (guint i = 0; i < n_fields; i++)
    {
      const VmmStateField *field = &fields[i];
      const guint8 *at = (const guint8 *)base + field->offset;
      guint step = stored_size (field->type);
      g_autofree guint8 *buffer = NULL;

      if (field->count == 1)
        {
          vmm_state_put_uint (writer, field->key, load_element (at, field->type));
          continue;
        }
      buffer = g_malloc ((gsize)step * field->count);
      for (guint j = 0; j < field->count; j++)
        put_le (buffer + (gsize)j * step,
                load_element (at + (gsize)j * element_size (field->type), field->type), step);
      vmm_state_put_bytes (writer, field->key, buffer, (gsize)step * field->count);
    }
}

static guint64
get_le (const guint8 *p, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)p[i] << (8 * i);
  return value;
}

gboolean
vmm_state_load_fields (VmmStateReader *reader,
                       const VmmStateField *fields,
                       guint n_fields,
                       gpointer base,
                       GError **error)
{
  for (guint i = 0; i < n_fields; i++)
    {
      const VmmStateField *field = &fields[i];
      guint8 *at = (guint8 *)base + field->offset;
      guint step = stored_size (field->type);
      const guint8 *data;
      gsize length;
      guint64 value;

      if (field->count == 1)
        {
          if (!vmm_state_get_uint (reader, field->key, type_max (field->type), &value, error))
            return FALSE;
          store_element (at, field->type, value);
          continue;
        }
      if (!vmm_state_get_blob (reader, field->key, (gsize)step * field->count, &data, &length,
                               error))
        return FALSE;
      if (length != (gsize)step * field->count)
        return invalid_field (reader, field->key, "too short", error);
      for (guint j = 0; j < field->count; j++)
        {
          value = get_le (data + (gsize)j * step, step);
          if (value > type_max (field->type))
            return invalid_field (reader, field->key, "value out of range", error);
          store_element (at + (gsize)j * element_size (field->type), field->type, value);
        }
    }
  return TRUE;
}
