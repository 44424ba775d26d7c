/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A writer of ACPI Machine Language (ACPI 6.4, chapters 19.2.5 and 20).
 *
 * AML is prefix code, so a table body is written from front to back: an operator, then each of its
 * operands by further calls. Objects with a length (scopes, devices, methods, packages, buffers,
 * conditions, fields) are opened by a begin function and closed by vmm_aml_end, which puts the
 * length in. `Store (Local0, PRQA)` is
 *
 *   vmm_aml_op (aml, VMM_AML_STORE); vmm_aml_local (aml, 0); vmm_aml_path (aml, "PRQA");
 *
 * Owner: the caller. Life: new, calls, steal, free. Threads: any, one at a time.
 * What is written comes from our own tables, never from a guest; the total is still bounded
 * (VMM_AML_MAX_SIZE) because the number of processors and devices is the user's. */
#pragma once
#include <glib.h>

#define VMM_AML_MAX_SIZE  (1024 * 1024) /* bytes of one body */
#define VMM_AML_MAX_DEPTH 32            /* open objects */

typedef struct _VmmAml VmmAml;

/* Operators; the operands, in the order in which they follow. "target" may be vmm_aml_null(). */
typedef enum
{
  VMM_AML_STORE = 0x70,       /* source, target */
  VMM_AML_ADD = 0x72,         /* a, b, target */
  VMM_AML_SUBTRACT = 0x74,    /* a, b, target */
  VMM_AML_INCREMENT = 0x75,   /* target */
  VMM_AML_DECREMENT = 0x76,   /* target */
  VMM_AML_MULTIPLY = 0x77,    /* a, b, target */
  VMM_AML_SHIFT_LEFT = 0x79,  /* a, count, target */
  VMM_AML_SHIFT_RIGHT = 0x7a, /* a, count, target */
  VMM_AML_AND = 0x7b,         /* a, b, target */
  VMM_AML_OR = 0x7d,          /* a, b, target */
  VMM_AML_XOR = 0x7f,         /* a, b, target */
  VMM_AML_NOT = 0x80,         /* a, target */
  VMM_AML_DEREF_OF = 0x83,    /* reference */
  VMM_AML_NOTIFY = 0x86,      /* object, value */
  VMM_AML_SIZE_OF = 0x87,     /* object */
  VMM_AML_INDEX = 0x88,       /* object, index, target */
  VMM_AML_LAND = 0x90,        /* a, b */
  VMM_AML_LOR = 0x91,         /* a, b */
  VMM_AML_LNOT = 0x92,        /* a */
  VMM_AML_LEQUAL = 0x93,      /* a, b */
  VMM_AML_LGREATER = 0x94,    /* a, b */
  VMM_AML_LLESS = 0x95,       /* a, b */
  VMM_AML_TO_INTEGER = 0x99,  /* a, target */
  VMM_AML_RETURN = 0xa4,      /* value */
  VMM_AML_BREAK = 0xa5,
} VmmAmlOp;

typedef enum
{
  VMM_AML_SPACE_MEMORY = 0,
  VMM_AML_SPACE_IO = 1,
  VMM_AML_SPACE_PCI_CONFIG = 2,
} VmmAmlSpace;

typedef enum
{
  VMM_AML_ACCESS_ANY = 0,
  VMM_AML_ACCESS_BYTE = 1,
  VMM_AML_ACCESS_WORD = 2,
  VMM_AML_ACCESS_DWORD = 3,
} VmmAmlAccess;

typedef enum
{
  VMM_AML_UPDATE_PRESERVE = 0,
  VMM_AML_UPDATE_ONES = 1,
  VMM_AML_UPDATE_ZEROS = 2,
} VmmAmlUpdate;

VmmAml *vmm_aml_new (void);
void vmm_aml_free (VmmAml *aml);
/* The finished body; aml is empty afterwards. (transfer full). Every object must have been ended.
 * Errors: INVALID when the body outgrew VMM_AML_MAX_SIZE. */
GBytes *vmm_aml_steal (VmmAml *aml, GError **error);
/* Bytes written so far, for patching (see vmm_aml_dword_fixed). */
gsize vmm_aml_get_size (VmmAml *aml);

/* Closes the innermost open object. Lengths are put in front of its content, so content written
 * before moves by up to 4 bytes: offsets are final only when everything around them is ended. */
void vmm_aml_end (VmmAml *aml);

/* Data. */
void vmm_aml_int (VmmAml *aml, guint64 value); /* shortest form */
void vmm_aml_string (VmmAml *aml, const char *ascii);
void vmm_aml_null (VmmAml *aml); /* no target */
/* Absolute ("\\_SB.PCI0"), parent ("^LNKA") or relative name; segments of 1 to 4 characters are
 * padded. Also invokes a method: its arguments follow. */
void vmm_aml_path (VmmAml *aml, const char *path);
/* "PNP0A08": three letters and four hexadecimal digits, as the compressed 32-bit id. */
void vmm_aml_eisa_id (VmmAml *aml, const char *id);
/* A 16-byte buffer in the mixed byte order of ToUUID. */
void vmm_aml_uuid (VmmAml *aml, const char *uuid);
void vmm_aml_buffer (VmmAml *aml, const void *data, gsize length);
void vmm_aml_arg (VmmAml *aml, guint n);   /* 0..6 */
void vmm_aml_local (VmmAml *aml, guint n); /* 0..7 */
void vmm_aml_op (VmmAml *aml, VmmAmlOp op);

/* Name (path, …): the value follows. */
void vmm_aml_name (VmmAml *aml, const char *path);
void vmm_aml_name_int (VmmAml *aml, const char *path, guint64 value);
void vmm_aml_name_string (VmmAml *aml, const char *path, const char *ascii);
void vmm_aml_name_eisa (VmmAml *aml, const char *path, const char *id);
/* Name (path, <32-bit constant>) whose four bytes can be patched later. At the outermost level only
 * (its offset must be final). Returns: the offset of the four bytes. */
gsize vmm_aml_name_dword_fixed (VmmAml *aml, const char *path, guint32 value);

/* Objects with content; each needs vmm_aml_end. */
void vmm_aml_begin_scope (VmmAml *aml, const char *path);
void vmm_aml_begin_device (VmmAml *aml, const char *path);
void vmm_aml_begin_method (VmmAml *aml, const char *path, guint n_args, gboolean serialized);
void vmm_aml_begin_package (VmmAml *aml, guint n_elements); /* 0..255 */
void vmm_aml_begin_if (VmmAml *aml);                        /* predicate, then terms */
void vmm_aml_begin_else (VmmAml *aml);                      /* right after the end of an if */
void vmm_aml_begin_while (VmmAml *aml);                     /* predicate, then terms */

void
vmm_aml_region (VmmAml *aml, const char *name, VmmAmlSpace space, guint64 offset, guint64 length);
void
vmm_aml_begin_field (VmmAml *aml, const char *region, VmmAmlAccess access, VmmAmlUpdate update);
void vmm_aml_field_unit (VmmAml *aml, const char *name4, guint n_bits);
void vmm_aml_field_skip (VmmAml *aml, guint n_bits);
/* CreateDWordField (source, byte_offset, name): the source operand is a named buffer, or argument
 * n_arg when source is NULL. */
void vmm_aml_create_dword_field (
    VmmAml *aml, const char *source, guint n_arg, guint byte_offset, const char *name4);

/* Resource descriptors (ACPI 6.4, chapter 6.4), between begin_resources and end. */
void vmm_aml_begin_resources (VmmAml *aml);
void vmm_aml_res_memory32_fixed (VmmAml *aml, guint32 base, guint32 length, gboolean writable);
void vmm_aml_res_io (VmmAml *aml, guint16 min, guint16 max, guint8 align, guint8 length);
/* Edge, active high, exclusive. irq: 0..15. */
void vmm_aml_res_irq (VmmAml *aml, guint irq);
/* Extended interrupt: level, active high, shared, consumer. */
void vmm_aml_res_interrupts (VmmAml *aml, const guint32 *gsis, guint n_gsis);
/* Windows of a bridge (resource producer, both ends fixed). max is inclusive. */
void vmm_aml_res_bus_window (VmmAml *aml, guint16 min, guint16 max);
void vmm_aml_res_io_window (VmmAml *aml, guint16 min, guint16 max);
void vmm_aml_res_memory32_window (VmmAml *aml, guint32 min, guint32 max, gboolean cacheable);
void vmm_aml_res_memory64_window (VmmAml *aml, guint64 min, guint64 max, gboolean cacheable);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (VmmAml, vmm_aml_free)
