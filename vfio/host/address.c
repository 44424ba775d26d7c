/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/address.h"

#include <string.h>
#include "vmm/error.h"

/* Takes between min and max hexadecimal digits; NULL when there are fewer, or more. */
static const char *
take_hex (const char *p, guint min, guint max, guint32 *ret)
{
  guint n = 0;

  for (*ret = 0; g_ascii_isxdigit (*p); p++)
    {
      if (++n > max)
        return NULL;
      *ret = *ret << 4 | (guint32)g_ascii_xdigit_value (*p);
    }
  return n >= min ? p : NULL;
}

gboolean
vfio_address_parse (const char *text, VfioAddress *ret)
{
  guint32 domain = 0, bus, slot, function;
  const char *p, *colon;

  colon = strchr (text, ':');
  if (colon != NULL && strchr (colon + 1, ':') != NULL)
    {
      p = take_hex (text, 4, 8, &domain);
      if (p == NULL || *p != ':')
        return FALSE;
      text = p + 1;
    }
  p = take_hex (text, 2, 2, &bus);
  if (p == NULL || *p != ':')
    return FALSE;
  p = take_hex (p + 1, 2, 2, &slot);
  if (p == NULL || *p != '.')
    return FALSE;
  p = take_hex (p + 1, 1, 1, &function);
  if (p == NULL || *p != '\0' || slot > 31 || function > 7)
    return FALSE;
  *ret = (VfioAddress){ domain, (guint8)bus, (guint8)slot, (guint8)function };
  return TRUE;
}

gboolean
vfio_address_parse_error (const char *text, VfioAddress *ret, GError **error)
{
  if (vfio_address_parse (text, ret))
    return TRUE;
  g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
               "\"%.40s\" is not the address of a PCI device: one looks like 0000:01:00.0, and "
               "\"alcove pci list\" shows them",
               text);
  return FALSE;
}

const char *
vfio_address_format (VfioAddress address, char buffer[VFIO_ADDRESS_TEXT_SIZE])
{
  g_snprintf (buffer, VFIO_ADDRESS_TEXT_SIZE, "%04x:%02x:%02x.%x", address.domain, address.bus,
              address.slot, address.function);
  return buffer;
}

char *
vfio_address_to_string (VfioAddress address)
{
  char buffer[VFIO_ADDRESS_TEXT_SIZE];

  return g_strdup (vfio_address_format (address, buffer));
}

int
vfio_address_compare (VfioAddress a, VfioAddress b)
{
  if (a.domain != b.domain)
    return a.domain < b.domain ? -1 : 1;
  if (a.bus != b.bus)
    return a.bus < b.bus ? -1 : 1;
  if (a.slot != b.slot)
    return a.slot < b.slot ? -1 : 1;
  return (int)a.function - (int)b.function;
}

gboolean
vfio_address_same_slot (VfioAddress a, VfioAddress b)
{
  return a.domain == b.domain && a.bus == b.bus && a.slot == b.slot;
}

guint
vfio_address_hash (gconstpointer address)
{
  const VfioAddress *a = address;

  return a->domain << 16 ^ ((guint)a->bus << 8 | (guint)a->slot << 3 | a->function);
}

gboolean
vfio_address_equal (gconstpointer a, gconstpointer b)
{
  return vfio_address_compare (*(const VfioAddress *)a, *(const VfioAddress *)b) == 0;
}
