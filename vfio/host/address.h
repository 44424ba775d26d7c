/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Where a PCI function is: domain, bus, slot (device), function. A plain value. Thread: any. */
#pragma once
#include <glib.h>

typedef struct
{
  guint32 domain; /* 16 bits from firmware; host bridges made by drivers (VMD) have larger ones */
  guint8 bus;
  guint8 slot;     /* 0 to 31 */
  guint8 function; /* 0 to 7 */
} VfioAddress;

#define VFIO_ADDRESS_TEXT_SIZE 20 /* "ffffffff:ff:1f.7" and its end */

/**
 * vfio_address_parse:
 * @text: "0000:01:00.0", or "01:00.0" for domain 0. Hexadecimal digits in the number that the
 *   kernel writes: 4 to 8 for the domain, 2, 2 and 1; nothing before or after
 *
 * Returns: FALSE for anything else; *ret is then untouched.
 */
gboolean vfio_address_parse (const char *text, VfioAddress *ret);
/* The same with an error that says how an address looks. */
gboolean vfio_address_parse_error (const char *text, VfioAddress *ret, GError **error);
/* As the kernel writes it: "0000:01:00.0". Returns: buffer. */
const char *vfio_address_format (VfioAddress address, char buffer[VFIO_ADDRESS_TEXT_SIZE]);
/* (transfer full) */
char *vfio_address_to_string (VfioAddress address);
/* By domain, bus, slot, function: <0, 0, >0. */
int vfio_address_compare (VfioAddress a, VfioAddress b);
gboolean vfio_address_same_slot (VfioAddress a, VfioAddress b);
guint vfio_address_hash (gconstpointer address);
gboolean vfio_address_equal (gconstpointer a, gconstpointer b);
