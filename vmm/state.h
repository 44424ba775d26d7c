/* SPDX-License-Identifier: GPL-3.0-or-later */
/* State streams: what save writes and load reads, tagged, length-prefixed, versioned, little
 * endian. A stream is a header, then sections (device id, class name, version, length, CRC32C),
 * each a row of fields (key, type, length, bytes).
 *
 * Devices describe their guest state as a table of VmmStateField and use save_fields/load_fields;
 * load checks key, type and length, then the device validates values. The reader treats the stream
 * as hostile: every count is checked against the caller's limit before anything is allocated.
 * Threads: the machine's control thread, machine quiesced. */
#pragma once
#include <glib.h>
#include "vmm/error.h"

typedef struct _VmmStateWriter VmmStateWriter;
typedef struct _VmmStateReader VmmStateReader;

VmmStateWriter *vmm_state_writer_new (void);
void vmm_state_writer_free (VmmStateWriter *writer);
void vmm_state_writer_begin (VmmStateWriter *writer,
                             const char *id,
                             const char *class_name,
                             guint32 version);
void vmm_state_writer_end (VmmStateWriter *writer);
/* (transfer full): the whole stream. */
GBytes *vmm_state_writer_finish (VmmStateWriter *writer);

void vmm_state_put_uint (VmmStateWriter *writer, const char *key, guint64 value);
void vmm_state_put_bytes (VmmStateWriter *writer, const char *key, const void *data, gsize length);

/* Errors: INVALID when the header is not ours, the version is newer, a length or CRC is wrong. */
VmmStateReader *vmm_state_reader_new (GBytes *stream, GError **error);
void vmm_state_reader_free (VmmStateReader *reader);
/* Next section; FALSE without error at the end. ret_id and ret_class are valid until the next call. */
gboolean vmm_state_reader_next (VmmStateReader *reader,
                                const char **ret_id,
                                const char **ret_class,
                                guint32 *ret_version,
                                GError **error);
/* All fields of the section must have been read, otherwise INVALID. */
gboolean vmm_state_reader_end (VmmStateReader *reader, GError **error);
/* Errors: INVALID when the next field is not key, or value > max. */
gboolean vmm_state_get_uint (
    VmmStateReader *reader, const char *key, guint64 max, guint64 *ret_value, GError **error);
/* Exactly length bytes, copied to buffer. */
gboolean vmm_state_get_bytes (
    VmmStateReader *reader, const char *key, void *buffer, gsize length, GError **error);
/* 0..max_length bytes. ret_data is valid until the section ends. */
gboolean vmm_state_get_blob (VmmStateReader *reader,
                             const char *key,
                             gsize max_length,
                             const guint8 **ret_data,
                             gsize *ret_length,
                             GError **error);

typedef enum
{
  VMM_STATE_U8 = 1,
  VMM_STATE_U16 = 2,
  VMM_STATE_U32 = 4,
  VMM_STATE_U64 = 8,
  VMM_STATE_BOOL = 16, /* gboolean; loads as 0 or 1 */
} VmmStateType;

typedef struct
{
  const char *key;
  VmmStateType type;
  guint count;  /* array length, 1 for a plain field */
  gsize offset; /* into the struct */
} VmmStateField;

#define VMM_STATE_FIELD(Struct, member, type)                                                      \
  {                                                                                                \
#member, type, 1, G_STRUCT_OFFSET(Struct, member)                                              \
  }
#define VMM_STATE_ARRAY(Struct, member, type, n)                                                   \
  {                                                                                                \
#member, type, n, G_STRUCT_OFFSET(Struct, member)                                              \
  }

void vmm_state_save_fields (VmmStateWriter *writer,
                            const VmmStateField *fields,
                            guint n_fields,
                            gconstpointer base);
gboolean vmm_state_load_fields (VmmStateReader *reader,
                                const VmmStateField *fields,
                                guint n_fields,
                                gpointer base,
                                GError **error);
