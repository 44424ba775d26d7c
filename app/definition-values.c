/* SPDX-License-Identifier: GPL-3.0-or-later */
/* From the text of one value to what a struct holds, and back. */
#include "app/definition-private.h"

#include <string.h>
#include "app/suggest.h"

/* A decimal or 0x number and nothing else: no sign, no spaces. */
static gboolean
parse_number (const char *text, gsize length, guint64 *ret)
{
  guint base = 10;
  guint64 value = 0;

  if (length > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
    {
      base = 16;
      text += 2;
      length -= 2;
    }
  if (length == 0 || length > 16)
    return FALSE;
  for (gsize i = 0; i < length; i++)
    {
      int digit = g_ascii_xdigit_value (text[i]);

      if (digit < 0 || (guint)digit >= base)
        return FALSE;
      value = value * base + (guint)digit; /* 16 digits fit in 64 bits */
    }
  *ret = value;
  return TRUE;
}

gboolean
alcove_pci_address_parse (const char *text, AlcovePciAddress *ret)
{
  int digits[5];

  if (strlen (text) != 7 || text[2] != ':' || text[5] != '.')
    return FALSE;
  digits[0] = g_ascii_xdigit_value (text[0]);
  digits[1] = g_ascii_xdigit_value (text[1]);
  digits[2] = g_ascii_xdigit_value (text[3]);
  digits[3] = g_ascii_xdigit_value (text[4]);
  digits[4] = g_ascii_xdigit_value (text[6]);
  for (guint i = 0; i < G_N_ELEMENTS (digits); i++)
    if (digits[i] < 0)
      return FALSE;
  if (digits[2] * 16 + digits[3] > 0x1f || digits[4] > 7)
    return FALSE;
  if (ret != NULL)
    {
      ret->set = TRUE;
      ret->bus = (guint8)(digits[0] * 16 + digits[1]);
      ret->slot = (guint8)(digits[2] * 16 + digits[3]);
      ret->function = (guint8)digits[4];
    }
  return TRUE;
}

char *
alcove_pci_address_to_string (const AlcovePciAddress *address)
{
  return g_strdup_printf ("%02x:%02x.%u", address->bus, address->slot, address->function);
}

gboolean
alcove_parse_mib (const char *text, guint64 *ret_mib, GError **error)
{
  static const struct
  {
    const char *suffix;
    guint64 kib;
  } units[] = { { "", 1024 },           { "K", 1 },          { "KiB", 1 },
                { "M", 1024 },          { "MiB", 1024 },     { "G", 1024 * 1024 },
                { "GiB", 1024 * 1024 }, { "T", 1ULL << 30 }, { "TiB", 1ULL << 30 } };
  gsize digits = strspn (text, "0123456789");
  const char *suffix = text + digits;
  guint64 value, kib = 0;

  suffix += strspn (suffix, " ");
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (g_ascii_strcasecmp (suffix, units[i].suffix) == 0)
      kib = units[i].kib;
  if (kib == 0 || !parse_number (text, digits, &value) || value > G_MAXUINT64 / kib)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID,
                   "\"%s\" is no size: write a number of MiB, or a number with M, G or T", text);
      return FALSE;
    }
  if (value * kib % 1024 != 0)
    {
      g_set_error (error, ALCOVE_ERROR, ALCOVE_ERROR_INVALID, "\"%s\" is not a whole number of MiB",
                   text);
      return FALSE;
    }
  *ret_mib = value * kib / 1024;
  return TRUE;
}

gboolean
alcove_mac_parse (const char *text, guint8 ret[6])
{
  guint8 mac[6];
  guint8 any = 0;

  if (strlen (text) != 17)
    return FALSE;
  for (guint i = 0; i < 6; i++)
    {
      int high = g_ascii_xdigit_value (text[i * 3]), low = g_ascii_xdigit_value (text[i * 3 + 1]);

      if (high < 0 || low < 0 || (i < 5 && text[i * 3 + 2] != ':'))
        return FALSE;
      mac[i] = (guint8)(high * 16 + low);
      any |= mac[i];
    }
  /* IEEE 802: bit 0 of the first byte set means a group address, which no interface may have. */
  if (any == 0 || (mac[0] & 1) != 0)
    return FALSE;
  memcpy (ret, mac, sizeof mac);
  return TRUE;
}

char *
alcove_mac_to_string (const guint8 mac[6])
{
  return g_strdup_printf ("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                          mac[5]);
}

void
alcove_mac_derive (const char *uuid, const char *nic_name, guint8 ret[6])
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 digest[32];
  gsize n = sizeof digest;

  g_checksum_update (sum, (const guchar *)uuid, (gssize)strlen (uuid));
  g_checksum_update (sum, (const guchar *)"/", 1);
  g_checksum_update (sum, (const guchar *)nic_name, (gssize)strlen (nic_name));
  g_checksum_get_digest (sum, digest, &n);
  memcpy (ret, digest, 6);
  ret[0] = 0x52; /* unicast, locally administered */
}

gboolean
alcove_device_name_is_valid (const char *name)
{
  gsize n = strlen (name);

  if (n == 0 || n > 32 || !(g_ascii_islower (name[0]) || g_ascii_isdigit (name[0])))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    if (!g_ascii_islower (name[i]) && !g_ascii_isdigit (name[i]) && strchr ("-_.", name[i]) == NULL)
      return FALSE;
  return TRUE;
}

static gboolean
parse_ipv4 (const char *text, guint32 *ret)
{
  g_auto (GStrv) parts = g_strsplit (text, ".", 5);
  guint32 address = 0;

  if (g_strv_length (parts) != 4)
    return FALSE;
  for (guint i = 0; i < 4; i++)
    {
      guint64 byte;

      if (strlen (parts[i]) > 3 || !parse_number (parts[i], strlen (parts[i]), &byte) || byte > 255)
        return FALSE;
      address = address << 8 | (guint32)byte;
    }
  *ret = address;
  return TRUE;
}

static gboolean
parse_port (const char *text, guint16 *ret)
{
  guint64 port;

  if (!parse_number (text, strlen (text), &port) || port == 0 || port > 65535)
    return FALSE;
  *ret = (guint16)port;
  return TRUE;
}

#define FORWARDS_MAX 64

static char *
parse_forward (const char *text, AlcoveForward *ret)
{
  g_auto (GStrv) parts = g_strsplit (text, ":", 6);
  guint n = g_strv_length (parts);
  AlcoveForward forward = { .host_address = 0x7f000001 };

  if (n != 4 && n != 5)
    return g_strdup_printf ("\"%s\" is no forward: write tcp:127.0.0.1:2222:22, that is "
                            "PROTOCOL:HOST-ADDRESS:HOST-PORT:GUEST-PORT",
                            text);
  if (strcmp (parts[0], "udp") == 0)
    forward.udp = TRUE;
  else if (strcmp (parts[0], "tcp") != 0)
    return g_strdup_printf ("\"%s\" in \"%s\" is neither tcp nor udp", parts[0], text);
  if (*parts[1] != '\0' && !parse_ipv4 (parts[1], &forward.host_address))
    return g_strdup_printf (
        "\"%s\" in \"%s\" is no IPv4 address: write 127.0.0.1 for this host only, 0.0.0.0 for all",
        parts[1], text);
  if (!parse_port (parts[2], &forward.host_port))
    return g_strdup_printf ("\"%s\" in \"%s\" is no port (1 to 65535)", parts[2], text);
  if (n == 5 && *parts[3] != '\0' && !parse_ipv4 (parts[3], &forward.guest_address))
    return g_strdup_printf ("\"%s\" in \"%s\" is no IPv4 address", parts[3], text);
  if (!parse_port (parts[n - 1], &forward.guest_port))
    return g_strdup_printf ("\"%s\" in \"%s\" is no port (1 to 65535)", parts[n - 1], text);
  *ret = forward;
  return NULL;
}

static char *
parse_forwards (const char *text, GArray **ret)
{
  g_auto (GStrv) items = NULL;
  g_autoptr (GArray) forwards = g_array_new (FALSE, FALSE, sizeof (AlcoveForward));

  items = g_strsplit (text, ";", FORWARDS_MAX + 2);
  for (guint i = 0; items[i] != NULL; i++)
    {
      AlcoveForward forward;
      char *problem;

      g_strstrip (items[i]);
      if (*items[i] == '\0')
        continue;
      if (forwards->len == FORWARDS_MAX)
        return g_strdup_printf ("more than %d forwards", FORWARDS_MAX);
      problem = parse_forward (items[i], &forward);
      if (problem != NULL)
        return problem;
      g_array_append_val (forwards, forward);
    }
  g_clear_pointer (ret, g_array_unref);
  *ret = g_steal_pointer (&forwards);
  return NULL;
}

static char *
resolve (const char *text, const char *folder)
{
  /* nbd://, nbd+unix://, nbds://: a disk on the network. */
  if (g_str_has_prefix (text, "nbd") && strstr (text, "://") != NULL)
    return g_strdup (text);
  return g_canonicalize_filename (text, folder);
}

#define UNIX_PATH_MAX_LENGTH 107 /* sockaddr_un's 108 with the final zero */

static char *
parse_listen (const char *text, const char *folder, AlcoveListen *ret)
{
  AlcoveListen listen = { 0 };

  if (g_str_has_prefix (text, "unix:") && text[5] != '\0')
    {
      listen.kind = ALCOVE_LISTEN_UNIX;
      listen.path = resolve (text + 5, folder);
      if (strlen (listen.path) > UNIX_PATH_MAX_LENGTH)
        {
          char *problem = g_strdup_printf ("the socket path %s is longer than %d bytes: choose a "
                                           "shorter one",
                                           listen.path, UNIX_PATH_MAX_LENGTH);
          g_free (listen.path);
          return problem;
        }
    }
  else if (g_str_has_prefix (text, "tcp:"))
    {
      const char *colon = strrchr (text + 4, ':');
      g_autofree char *host = NULL;
      gsize n;

      if (colon == NULL || !parse_port (colon + 1, &listen.port))
        return g_strdup_printf ("\"%s\" has no port: write tcp:127.0.0.1:5930", text);
      host = g_strndup (text + 4, (gsize)(colon - text - 4));
      n = strlen (host);
      if (n > 2 && host[0] == '[' && host[n - 1] == ']')
        {
          memmove (host, host + 1, n - 2);
          host[n - 2] = '\0';
        }
      if (!g_hostname_is_ip_address (host))
        return g_strdup_printf (
            "\"%s\" is no address to listen on: write 127.0.0.1 for this host only", host);
      listen.kind = ALCOVE_LISTEN_TCP;
      listen.host = g_steal_pointer (&host);
    }
  else
    {
      return g_strdup_printf ("\"%s\" is no listener: write unix:PATH or tcp:HOST:PORT", text);
    }
  g_free (ret->path);
  g_free (ret->host);
  *ret = listen;
  return NULL;
}

static char *
parse_word (const AlcoveKeySpec *key, const char *text, guint *ret)
{
  g_autofree char *all = NULL;
  const char *nearest;

  for (guint i = 0; key->words[i] != NULL; i++)
    if (strcmp (text, key->words[i]) == 0)
      {
        *ret = i;
        return NULL;
      }
  nearest = alcove_suggest (text, key->words, g_strv_length ((GStrv)key->words));
  if (nearest != NULL)
    return g_strdup_printf ("\"%s\" is not known: did you mean \"%s\"?", text, nearest);
  all = g_strjoinv (", ", (GStrv)key->words);
  return g_strdup_printf ("\"%s\" is not known: it can be %s", text, all);
}

static char *
parse_boolean (const char *text, gboolean *ret)
{
  if (strcmp (text, "true") == 0 || strcmp (text, "1") == 0)
    *ret = TRUE;
  else if (strcmp (text, "false") == 0 || strcmp (text, "0") == 0)
    *ret = FALSE;
  else
    return g_strdup_printf ("\"%s\" must be true or false", text);
  return NULL;
}

static char *
check_string (const AlcoveKeySpec *key, const char *text)
{
  gsize n = strlen (text);

  if (n < key->min)
    return g_strdup ("the value is empty");
  if (n > key->max)
    return g_strdup_printf ("the value has %" G_GSIZE_FORMAT " bytes, at most %" G_GUINT64_FORMAT
                            " are possible",
                            n, key->max);
  for (gsize i = 0; i < n; i++)
    if (g_ascii_iscntrl (text[i]))
      return g_strdup ("the value has a control character (a line break or tab?): remove it");
  return NULL;
}

static char *
check_path (const char *text)
{
  if (*text == '\0')
    return g_strdup ("the file name is empty: give one, or remove the key");
  if (strlen (text) > 4095)
    return g_strdup ("the file name is longer than 4095 bytes");
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '\n' || *p == '\r')
      return g_strdup ("the file name has a line break");
  return NULL;
}

static char *
check_range (const AlcoveKeySpec *key, const char *text, guint64 value, const char *unit)
{
  if (value < key->min || value > key->max)
    return g_strdup_printf ("%s is out of range: %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT
                            "%s are possible",
                            text, key->min, key->max, unit);
  return NULL;
}

static char *
check_address (const char *text, AlcovePciAddress *ret)
{
  AlcovePciAddress address;

  if (!alcove_pci_address_parse (text, &address))
    return g_strdup_printf ("\"%s\" is no PCI address: write one such as 00:03.0, or remove the "
                            "key and a free one is written",
                            text);
  if (address.bus > ALCOVE_PCI_N_PORTS)
    return g_strdup_printf ("there is no bus %02x: use 00, or 01 to %02x for a slot for hot-plug",
                            address.bus, ALCOVE_PCI_N_PORTS);
  if (address.bus != 0)
    {
      if (address.slot != 0)
        return g_strdup_printf ("a slot for hot-plug holds one device: write %02x:00.0",
                                address.bus);
      *ret = address;
      return NULL;
    }
  if (address.slot == 0 || address.slot > ALCOVE_PCI_SLOT_LAST)
    return g_strdup_printf ("slot %02x belongs to the board: use 01 to %02x", address.slot,
                            ALCOVE_PCI_SLOT_LAST);
  *ret = address;
  return NULL;
}

static void
set_string (char **place, char *value)
{
  g_free (*place);
  *place = value;
}

static char *
key_parse (const AlcoveKeySpec *key, const char *text, const char *folder, gpointer place)
{
  char *problem = NULL;
  guint64 number;

  switch (key->type)
    {
    case ALCOVE_KEY_STRING:
      problem = check_string (key, text);
      if (problem == NULL)
        set_string (place, g_strdup (text));
      return problem;
    case ALCOVE_KEY_PATH:
      problem = check_path (text);
      if (problem == NULL)
        set_string (place, resolve (text, folder));
      return problem;
    case ALCOVE_KEY_WORD:
      return parse_word (key, text, place);
    case ALCOVE_KEY_BOOLEAN:
      return parse_boolean (text, place);
    case ALCOVE_KEY_NUMBER:
      if (!parse_number (text, strlen (text), &number))
        return g_strdup_printf ("\"%s\" is no number", text);
      problem = check_range (key, text, number, "");
      if (problem == NULL)
        *(guint *)place = (guint)number;
      return problem;
    case ALCOVE_KEY_MIB:
      {
        g_autoptr (GError) error = NULL;

        if (!alcove_parse_mib (text, &number, &error))
          return g_strdup (error->message);
        problem = check_range (key, text, number, " MiB");
        if (problem == NULL)
          *(guint64 *)place = number;
        return problem;
      }
    case ALCOVE_KEY_UUID:
      if (!g_uuid_string_is_valid (text))
        return g_strdup_printf ("\"%s\" is no UUID", text);
      set_string (place, g_ascii_strdown (text, -1));
      return NULL;
    case ALCOVE_KEY_MAC:
      if (!alcove_mac_parse (text, place))
        return g_strdup_printf ("\"%s\" is no hardware address of one interface: write one such as "
                                "52:54:00:12:34:56 (an even first byte), or remove the key",
                                text);
      return NULL;
    case ALCOVE_KEY_ADDRESS:
      return check_address (text, place);
    case ALCOVE_KEY_FORWARDS:
      return parse_forwards (text, place);
    case ALCOVE_KEY_LISTEN:
      return parse_listen (text, folder, place);
    default:
      g_return_val_if_reached (g_strdup ("unknown type"));
    }
}

gboolean
alcove_key_parse (const AlcoveKeySpec *key,
                  const char *text,
                  const char *folder,
                  gpointer config,
                  char **ret_problem)
{
  char *problem = key_parse (key, text, folder, G_STRUCT_MEMBER_P (config, key->offset));

  *ret_problem = problem;
  return problem == NULL;
}

void
alcove_group_config_free (const AlcoveGroupSpec *spec, gpointer config)
{
  if (config == NULL)
    return;
  for (gsize i = 0; i < spec->n_keys; i++)
    {
      gpointer place = G_STRUCT_MEMBER_P (config, spec->keys[i].offset);

      switch (spec->keys[i].type)
        {
        case ALCOVE_KEY_STRING:
        case ALCOVE_KEY_PATH:
        case ALCOVE_KEY_UUID:
          g_free (*(char **)place);
          break;
        case ALCOVE_KEY_FORWARDS:
          g_clear_pointer ((GArray **)place, g_array_unref);
          break;
        case ALCOVE_KEY_LISTEN:
          g_free (((AlcoveListen *)place)->path);
          g_free (((AlcoveListen *)place)->host);
          break;
        case ALCOVE_KEY_WORD:
        case ALCOVE_KEY_BOOLEAN:
        case ALCOVE_KEY_NUMBER:
        case ALCOVE_KEY_MIB:
        case ALCOVE_KEY_MAC:
        case ALCOVE_KEY_ADDRESS:
        default:
          break;
        }
    }
  g_free (((AlcoveDeviceConfig *)config)->name);
  g_free (config);
}
