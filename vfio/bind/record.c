/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The text of the ledger's files: "name=value" lines in one order, each once, nothing else. */
#include <string.h>

#include "vfio/bind/ledger.h"
#include "vmm/error.h"

#define BINDING_TITLE "alcove-binding 1"
#define GRANT_TITLE   "alcove-grant 1"

static gboolean
is_word (const char *text, const char *more, gsize max)
{
  gsize n = strlen (text);

  if (n == 0 || n > max || strcmp (text, ".") == 0 || strcmp (text, "..") == 0)
    return FALSE;
  for (gsize i = 0; i < n; i++)
    if (!g_ascii_isalnum (text[i]) && strchr (more, text[i]) == NULL)
      return FALSE;
  return TRUE;
}

gboolean
vfio_binding_is_driver (const char *name)
{
  return is_word (name, "_-.+", BIND_WORD_MAX);
}

static gboolean
is_number (const char *text, gsize max_digits)
{
  gsize n = strspn (text, "0123456789");

  return n > 0 && n <= max_digits && text[n] == 0 && (text[0] != '0' || n == 1);
}

gboolean
vfio_grant_is_name (const char *name)
{
  if (g_str_has_prefix (name, "devices/vfio"))
    name += strlen ("devices/vfio");
  return is_number (name, 9);
}

/* A unique name of a bus, or empty. */
static gboolean
is_owner (const char *text)
{
  return text[0] == 0 || (text[0] == ':' && is_word (text + 1, "._-", BIND_WORD_MAX));
}

static gboolean
is_boot (const char *text)
{
  return text[0] == 0 || is_word (text, "-", 36);
}

/* Text that is being read, line by line. */
typedef struct
{
  char **lines;
  guint next;
  gboolean ok;
} Reader;

static void
reader_init (Reader *reader, const char *text, gsize length, const char *title)
{
  g_autofree char *copy = NULL;

  reader->next = 1;
  reader->lines = NULL;
  /* A file that a power cut shortened ends without its last newline. */
  reader->ok = length > 0 && length <= BIND_LEDGER_FILE_MAX && memchr (text, 0, length) == NULL &&
               text[length - 1] == '\n';
  if (!reader->ok)
    return;
  copy = g_strndup (text, length - 1);
  reader->lines = g_strsplit (copy, "\n", 0);
  reader->ok = g_strcmp0 (reader->lines[0], title) == 0;
}

/* The next line's value, which must have this name; "" when all is lost. */
static const char *
reader_get (Reader *reader, const char *name)
{
  const char *line;
  gsize n = strlen (name);

  if (!reader->ok || reader->lines[reader->next] == NULL)
    {
      reader->ok = FALSE;
      return "";
    }
  line = reader->lines[reader->next++];
  if (strncmp (line, name, n) != 0 || line[n] != '=')
    {
      reader->ok = FALSE;
      return "";
    }
  return line + n + 1;
}

static void
reader_check (Reader *reader, gboolean right)
{
  reader->ok = reader->ok && right;
}

static guint64
reader_get_number (Reader *reader, const char *name, guint base, guint64 max)
{
  const char *text = reader_get (reader, name);
  guint64 value = 0;

  reader_check (reader, g_ascii_string_to_unsigned (text, base, 0, max, &value, NULL));
  return value;
}

static char *
reader_dup_driver (Reader *reader, const char *name)
{
  const char *text = reader_get (reader, name);

  if (text[0] == 0)
    return NULL;
  reader_check (reader, vfio_binding_is_driver (text));
  return g_strdup (text);
}

static gboolean
reader_finish (Reader *reader, const char *what, GError **error)
{
  gboolean ok = reader->ok && reader->lines[reader->next] == NULL;

  g_strfreev (reader->lines);
  if (!ok)
    g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "It is not the record of a %s", what);
  return ok;
}

char *
vfio_binding_to_text (const VfioBinding *binding)
{
  char address[VFIO_ADDRESS_TEXT_SIZE];

  return g_strdup_printf (BINDING_TITLE "\naddress=%s\nvendor=%04x\ndevice=%04x\ndriver=%s\n"
                                        "override=%s\nuid=%u\nowner=%s\nboot=%s\n"
                                        "since=%" G_GINT64_FORMAT "\n",
                          vfio_address_format (binding->address, address), binding->vendor,
                          binding->device, binding->driver != NULL ? binding->driver : "",
                          binding->driver_override != NULL ? binding->driver_override : "",
                          binding->uid, binding->owner != NULL ? binding->owner : "", binding->boot,
                          binding->since);
}

VfioBinding *
vfio_binding_from_text (const char *text, gsize length, GError **error)
{
  g_autoptr (VfioBinding) binding = g_new0 (VfioBinding, 1);
  char address[VFIO_ADDRESS_TEXT_SIZE];
  const char *word;
  Reader reader;

  reader_init (&reader, text, length, BINDING_TITLE);
  word = reader_get (&reader, "address");
  reader_check (&reader, vfio_address_parse (word, &binding->address) &&
                             strcmp (word, vfio_address_format (binding->address, address)) == 0);
  binding->vendor = (guint16)reader_get_number (&reader, "vendor", 16, G_MAXUINT16);
  binding->device = (guint16)reader_get_number (&reader, "device", 16, G_MAXUINT16);
  binding->driver = reader_dup_driver (&reader, "driver");
  binding->driver_override = reader_dup_driver (&reader, "override");
  binding->uid = (guint32)reader_get_number (&reader, "uid", 10, G_MAXUINT32);
  word = reader_get (&reader, "owner");
  reader_check (&reader, is_owner (word));
  binding->owner = word[0] != 0 ? g_strdup (word) : NULL;
  word = reader_get (&reader, "boot");
  reader_check (&reader, is_boot (word));
  binding->boot = g_strdup (word);
  binding->since = (gint64)reader_get_number (&reader, "since", 10, G_MAXINT64);
  return reader_finish (&reader, "binding", error) ? g_steal_pointer (&binding) : NULL;
}

char *
vfio_grant_to_text (const VfioGrant *grant)
{
  return g_strdup_printf (GRANT_TITLE "\nnode=%s\ngroup=%u\nuid=%u\nold-uid=%u\nold-gid=%u\n"
                                      "old-mode=%o\nboot=%s\n",
                          grant->name, grant->group, grant->uid, grant->old_uid, grant->old_gid,
                          grant->old_mode, grant->boot);
}

VfioGrant *
vfio_grant_from_text (const char *text, gsize length, GError **error)
{
  g_autoptr (VfioGrant) grant = g_new0 (VfioGrant, 1);
  const char *word;
  Reader reader;

  reader_init (&reader, text, length, GRANT_TITLE);
  word = reader_get (&reader, "node");
  reader_check (&reader, vfio_grant_is_name (word));
  grant->name = g_strdup (word);
  grant->group = (guint)reader_get_number (&reader, "group", 10, G_MAXINT32);
  grant->uid = (guint32)reader_get_number (&reader, "uid", 10, G_MAXUINT32);
  grant->old_uid = (guint32)reader_get_number (&reader, "old-uid", 10, G_MAXUINT32);
  grant->old_gid = (guint32)reader_get_number (&reader, "old-gid", 10, G_MAXUINT32);
  /* What a node had before is never more than this; no set-id bits. */
  grant->old_mode = (guint32)reader_get_number (&reader, "old-mode", 8, 0666);
  word = reader_get (&reader, "boot");
  reader_check (&reader, is_boot (word));
  grant->boot = g_strdup (word);
  return reader_finish (&reader, "grant", error) ? g_steal_pointer (&grant) : NULL;
}

VfioBinding *
vfio_binding_copy (const VfioBinding *binding)
{
  VfioBinding *copy = g_new (VfioBinding, 1);

  *copy = *binding;
  copy->driver = g_strdup (binding->driver);
  copy->driver_override = g_strdup (binding->driver_override);
  copy->owner = g_strdup (binding->owner);
  copy->boot = g_strdup (binding->boot);
  return copy;
}

void
vfio_binding_free (VfioBinding *binding)
{
  if (binding == NULL)
    return;
  g_free (binding->driver);
  g_free (binding->driver_override);
  g_free (binding->owner);
  g_free (binding->boot);
  g_free (binding);
}

void
vfio_grant_free (VfioGrant *grant)
{
  if (grant == NULL)
    return;
  g_free (grant->name);
  g_free (grant->boot);
  g_free (grant);
}
