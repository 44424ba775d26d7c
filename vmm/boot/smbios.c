/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/smbios.h"

#include <string.h>

#define MAX_STRING 64
#define DIMM_SIZE  (G_GUINT64_CONSTANT (16) << 30) /* bytes, at first */
#define MAX_DIMMS  64
#define MAX_CPUS   256 /* sockets described */

#define HANDLE_BIOS    0x0000
#define HANDLE_SYSTEM  0x0100
#define HANDLE_BOARD   0x0200
#define HANDLE_CHASSIS 0x0300
#define HANDLE_CPU     0x0400
#define HANDLE_ARRAY   0x1000
#define HANDLE_DIMM    0x1100
#define HANDLE_RANGE   0x1300
#define HANDLE_BOOT    0x2000
#define HANDLE_END     0x7f00

typedef struct
{
  GByteArray *bytes;
  gsize start; /* of the structure being written */
  guint n_strings;
  GString *strings;
} Builder;

static void
put (Builder *b, guint64 value, guint n)
{
  guint64 le = GUINT64_TO_LE (value);

  g_byte_array_append (b->bytes, (const guint8 *)&le, n);
}

/* 6.1.2: type, length (at the end), handle. */
static void
begin (Builder *b, guint8 type, guint16 handle)
{
  b->start = b->bytes->len;
  b->n_strings = 0;
  g_string_truncate (b->strings, 0);
  put (b, type, 1);
  put (b, 0, 1);
  put (b, handle, 2);
}

/* 6.1.3: a string's number in the set behind the structure; 0 for none. */
static void
put_string (Builder *b, const char *string)
{
  if (string == NULL || string[0] == '\0')
    {
      put (b, 0, 1);
      return;
    }
  g_string_append_len (b->strings, string, (gssize)strlen (string) + 1);
  put (b, ++b->n_strings, 1);
}

static void
end (Builder *b, guint length)
{
  g_assert (b->bytes->len - b->start == length);
  b->bytes->data[b->start + 1] = (guint8)length;
  g_byte_array_append (b->bytes, (const guint8 *)b->strings->str, (guint)b->strings->len);
  put (b, 0, b->n_strings == 0 ? 2 : 1);
}

static void
put_uuid (Builder *b, const guint8 uuid[16])
{
  /* 7.2.1: the first three fields are little endian */
  static const guint8 order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

  for (guint i = 0; i < 16; i++)
    put (b, uuid[order[i]], 1);
}

static const char *
or_default (const char *string, const char *fallback)
{
  return string != NULL && string[0] != '\0' ? string : fallback;
}

/* 7.1 */
static void
add_bios (Builder *b, const VmmSmbiosConfig *config)
{
  begin (b, 0, HANDLE_BIOS);
  put_string (b, "Alcove");
  put_string (b, ALCOVE_VERSION);
  put (b, 0xe800, 2);
  put_string (b, "01/01/2026");
  put (b, 0, 1);
  put (b, 1 << 3, 8); /* characteristics are not given */
  put (b, 0, 1);
  put (b, 1 << 4 | (config->uefi ? 1 << 3 : 0), 1); /* virtual machine; UEFI */
  put (b, 0, 2);
  put (b, 0xffff, 2);
  end (b, 0x18);
}

/* 7.2, 7.3, 7.4 */
static void
add_system (Builder *b, const VmmSmbiosConfig *config)
{
  const char *manufacturer = or_default (config->manufacturer, "Alcove");
  const char *product = or_default (config->product, "Alcove Virtual Machine");
  const char *version = or_default (config->version, "q35");

  begin (b, 1, HANDLE_SYSTEM);
  put_string (b, manufacturer);
  put_string (b, product);
  put_string (b, version);
  put_string (b, config->serial);
  put_uuid (b, config->uuid);
  put (b, 6, 1); /* woken by the power switch */
  put_string (b, config->sku);
  put_string (b, config->family);
  end (b, 0x1b);

  begin (b, 2, HANDLE_BOARD);
  put_string (b, manufacturer);
  put_string (b, product);
  put_string (b, version);
  put_string (b, config->serial);
  put (b, 0, 1);
  put (b, 1, 1); /* hosting board */
  put (b, 0, 1);
  put (b, HANDLE_CHASSIS, 2);
  put (b, 0x0a, 1); /* motherboard */
  put (b, 0, 1);
  end (b, 0x0f);

  begin (b, 3, HANDLE_CHASSIS);
  put_string (b, manufacturer);
  put (b, 1, 1); /* other */
  put_string (b, version);
  put_string (b, config->serial);
  put (b, 0, 1);
  put (b, 3, 1); /* safe */
  put (b, 3, 1);
  put (b, 3, 1);
  put (b, 2, 1); /* security unknown */
  put (b, 0, 4);
  put (b, 0, 4);
  put (b, 0, 1);
  end (b, 0x16);
}

/* 7.5 */
static void
add_processor (Builder *b, const VmmSmbiosConfig *config, guint n)
{
  guint cores = config->cores, threads = config->cores * config->threads;
  char socket[16];

  g_snprintf (socket, sizeof socket, "CPU %u", n);
  begin (b, 4, (guint16)(HANDLE_CPU + n));
  put_string (b, socket);
  put (b, 3, 1); /* central processor */
  put (b, 1, 1); /* other family */
  put_string (b, "Alcove");
  put (b, 0, 8);
  put_string (b, "q35");
  put (b, 0, 1);
  put (b, 0, 2);
  put (b, 2000, 2);
  put (b, 2000, 2);
  put (b, 0x41, 1); /* populated, enabled */
  put (b, 1, 1);
  put (b, 0xffff, 2); /* no caches described */
  put (b, 0xffff, 2);
  put (b, 0xffff, 2);
  put (b, 0, 3);
  put (b, MIN (cores, 0xff), 1);
  put (b, MIN (cores, 0xff), 1);
  put (b, MIN (threads, 0xff), 1);
  put (b, 1 << 1, 2); /* characteristics unknown */
  put (b, 1, 2);
  put (b, cores, 2);
  put (b, cores, 2);
  put (b, threads, 2);
  end (b, 0x30);
}

/* 7.18 */
static void
add_dimm (Builder *b, guint n, guint64 size)
{
  guint64 mib = size >> 20;
  char locator[16];

  g_snprintf (locator, sizeof locator, "DIMM %u", n);
  begin (b, 17, (guint16)(HANDLE_DIMM + n));
  put (b, HANDLE_ARRAY, 2);
  put (b, 0xfffe, 2);
  put (b, 0xffff, 2);
  put (b, 0xffff, 2);
  put (b, mib < 0x7fff ? mib : 0x7fff, 2);
  put (b, 9, 1); /* DIMM */
  put (b, 0, 1);
  put_string (b, locator);
  put (b, 0, 1);
  put (b, 7, 1); /* RAM */
  put (b, 1 << 1, 2);
  put (b, 0, 2);
  put_string (b, "Alcove");
  put (b, 0, 3);
  put (b, 0, 1);
  put (b, mib < 0x7fff ? 0 : mib, 4);
  put (b, 0, 2);
  put (b, 0, 6);
  end (b, 0x28);
}

/* 7.20 */
static void
add_range (Builder *b, guint n, guint64 base, guint64 length)
{
  guint64 last = base + length - 1;
  gboolean wide = last >> 10 >= G_MAXUINT32;

  begin (b, 19, (guint16)(HANDLE_RANGE + n));
  put (b, wide ? G_MAXUINT32 : base >> 10, 4);
  put (b, wide ? G_MAXUINT32 : last >> 10, 4);
  put (b, HANDLE_ARRAY, 2);
  put (b, 1, 1);
  put (b, wide ? base : 0, 8);
  put (b, wide ? last : 0, 8);
  end (b, 0x1f);
}

static void
add_memory (Builder *b, const VmmSmbiosConfig *config)
{
  guint64 total = config->low_ram + config->high_ram, dimm = DIMM_SIZE, left;
  guint n_dimms, n = 0;

  while ((total + dimm - 1) / dimm > MAX_DIMMS)
    dimm *= 2;
  n_dimms = (guint)((total + dimm - 1) / dimm);

  begin (b, 16, HANDLE_ARRAY); /* 7.17 */
  put (b, 1, 1);
  put (b, 3, 1); /* system memory */
  put (b, 6, 1); /* multi-bit ECC */
  put (b, total >> 10 < 0x80000000 ? total >> 10 : 0x80000000, 4);
  put (b, 0xfffe, 2);
  put (b, n_dimms, 2);
  put (b, total >> 10 < 0x80000000 ? 0 : total, 8);
  end (b, 0x17);

  for (left = total; left > 0; left -= MIN (left, dimm))
    add_dimm (b, n++, MIN (left, dimm));
  if (config->low_ram > 0)
    add_range (b, 0, 0, config->low_ram);
  if (config->high_ram > 0)
    add_range (b, 1, G_GUINT64_CONSTANT (1) << 32, config->high_ram);
}

static gboolean
check_string (const char *what, const char *string, GError **error)
{
  gboolean good = string == NULL || strlen (string) <= MAX_STRING;

  for (const char *p = string; good && p != NULL && *p != '\0'; p++)
    good = *p >= ' ' && *p <= '~';
  if (good)
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "the SMBIOS %s must be at most %d printable ASCII characters", what, MAX_STRING);
  return FALSE;
}

static gboolean
check (const VmmSmbiosConfig *config, GError **error)
{
  if (config->sockets == 0 || config->sockets > MAX_CPUS || config->cores == 0 ||
      config->threads == 0 || config->cores > 4096 || config->threads > 16)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "the SMBIOS processor topology must have 1 to %d sockets, 1 to 4096 cores and "
                   "1 to 16 threads",
                   MAX_CPUS);
      return FALSE;
    }
  if (config->low_ram > G_GUINT64_CONSTANT (1) << 32 || config->high_ram > 1ull << 50)
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "the SMBIOS memory size is out of range");
      return FALSE;
    }
  return check_string ("manufacturer", config->manufacturer, error) &&
         check_string ("product name", config->product, error) &&
         check_string ("version", config->version, error) &&
         check_string ("serial number", config->serial, error) &&
         check_string ("SKU", config->sku, error) && check_string ("family", config->family, error);
}

/* 5.2.2: the 64-bit entry point */
static void
make_entry (guint8 entry[VMM_SMBIOS_ENTRY_SIZE], gsize tables_size, guint64 address)
{
  guint32 size_le = GUINT32_TO_LE ((guint32)tables_size);
  guint64 address_le = GUINT64_TO_LE (address);
  guint8 sum = 0;

  memset (entry, 0, VMM_SMBIOS_ENTRY_SIZE);
  memcpy (entry, "_SM3_", 5);
  entry[6] = VMM_SMBIOS_ENTRY_SIZE;
  entry[7] = 3;
  entry[10] = 1;
  memcpy (entry + 12, &size_le, 4);
  memcpy (entry + 16, &address_le, 8);
  for (guint i = 0; i < VMM_SMBIOS_ENTRY_SIZE; i++)
    sum = (guint8)(sum + entry[i]);
  entry[5] = (guint8)-sum;
}

gboolean
vmm_smbios_build (const VmmSmbiosConfig *config,
                  GBytes **ret_anchor,
                  GBytes **ret_tables,
                  GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GString) strings = g_string_new (NULL);
  Builder b = { .bytes = bytes, .strings = strings };
  guint8 entry[VMM_SMBIOS_ENTRY_SIZE];

  if (!check (config, error))
    return FALSE;
  add_bios (&b, config);
  add_system (&b, config);
  for (guint i = 0; i < config->sockets; i++)
    add_processor (&b, config, i);
  add_memory (&b, config);
  begin (&b, 32, HANDLE_BOOT); /* 7.33: no errors */
  put (&b, 0, 7);
  end (&b, 0x0b);
  begin (&b, 127, HANDLE_END);
  end (&b, 4);

  make_entry (entry, bytes->len, 0);
  *ret_anchor = g_bytes_new (entry, sizeof entry);
  *ret_tables = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  return TRUE;
}

gboolean
vmm_smbios_place (const VmmSmbiosConfig *config,
                  VmmGuestMemory *memory,
                  VmmGpa tables,
                  guint64 length,
                  VmmGpa entry,
                  GError **error)
{
  g_autoptr (GBytes) anchor = NULL, bytes = NULL;
  guint8 bytes_entry[VMM_SMBIOS_ENTRY_SIZE];
  const void *data;
  gsize size;

  if (!vmm_smbios_build (config, &anchor, &bytes, error))
    return FALSE;
  data = g_bytes_get_data (bytes, &size);
  make_entry (bytes_entry, size, tables.value);
  if (size > length || !vmm_guest_memory_write (memory, tables, data, size) ||
      !vmm_guest_memory_write (memory, entry, bytes_entry, sizeof bytes_entry))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                   "there is no room in RAM for the SMBIOS tables (%" G_GSIZE_FORMAT " bytes)",
                   size);
      return FALSE;
    }
  return TRUE;
}
