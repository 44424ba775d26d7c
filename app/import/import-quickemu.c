/* SPDX-License-Identifier: GPL-3.0-or-later */
/* quickemu's .conf: assignments in the shell's syntax. They are read, never run: a value that would
 * need a shell is reported. */
#include <string.h>

#include "app/import/import-private.h"

/* The value of NAME=VALUE without its quotes and a comment behind it; NULL: it needs a shell. */
static char *
parse_value (const char *text)
{
  g_autoptr (GString) value = g_string_new (NULL);
  char quote = '\0';

  for (const char *p = text; *p != '\0'; p++)
    {
      if (quote == '\0' && (*p == '"' || *p == '\''))
        quote = *p;
      else if (quote != '\0' && *p == quote)
        quote = '\0';
      else if (quote == '\0' && (*p == '#' || *p == ';') && (p == text || g_ascii_isspace (p[-1])))
        break;
      else if (*p == '\\' && quote != '\'' && p[1] != '\0')
        g_string_append_c (value, *++p);
      else if (quote != '\'' && (*p == '$' || *p == '`'))
        {
          if (g_str_has_prefix (p, "${HOME}") || g_str_has_prefix (p, "$HOME/"))
            {
              g_string_append (value, g_get_home_dir ());
              p += p[1] == '{' ? strlen ("${HOME}") - 1 : strlen ("$HOME") - 1;
              continue;
            }
          return NULL;
        }
      else
        g_string_append_c (value, *p);
    }
  return quote == '\0' ? g_strstrip (g_strdup (value->str)) : NULL;
}

static guint64
parse_mib (const char *text)
{
  guint64 mib = 0;

  return text != NULL && alcove_parse_mib (text, &mib, NULL) ? mib : 0;
}

/* A name in the .conf is relative to the folder above the machine's own (where quickemu is started),
 * or to the .conf's. Whichever has it. */
static char *
find_file (AlcoveImport *import, const char *name)
{
  g_autofree char *folder = g_path_get_dirname (import->path);
  char *path = g_canonicalize_filename (name, folder);

  if (!g_file_test (path, G_FILE_TEST_EXISTS) && !g_path_is_absolute (name))
    {
      g_autofree char *above = g_path_get_dirname (folder);

      g_free (path);
      path = g_canonicalize_filename (name, above);
    }
  return path;
}

typedef struct
{
  const char *key, *what, *meaning;
} Setting;

static const Setting lost[] = {
  { "tpm", "TPM", "What the guest sealed in it is lost: have the recovery key ready." },
  { "secureboot", "Secure Boot", "Alcove has no Secure Boot yet." },
  { "usb_devices", "USB devices", "Alcove machines have no USB yet." },
  { "floppy", "Floppy drive", "Alcove has none." },
  { "public_dir", "Shared folder", "Shared folders come later." },
  { "extra_args", "Arguments for QEMU", "They mean nothing to Alcove." },
  { "sound_card", "Sound card", "Alcove machines have no sound yet." },
  { "network", "Network", "Only user networking is carried over." },
  { "macos_release", "macOS boot files", "Alcove does not start macOS." },
};

/* ("8080:80" "2222:22") becomes tcp:127.0.0.1:8080:80;... */
static void
read_forwards (AlcoveImport *import, AlcoveImportNic *nic, const char *text)
{
  g_auto (GStrv) words = g_strsplit_set (text, "()\"' \t", -1);
  g_autoptr (GString) forwards = g_string_new (NULL);

  for (guint i = 0; words[i] != NULL; i++)
    {
      guint64 host = 0, guest = 0;
      g_auto (GStrv) ports = g_strsplit (words[i], ":", 3);

      if (*words[i] == '\0')
        continue;
      if (g_strv_length (ports) == 2 &&
          g_ascii_string_to_unsigned (ports[0], 10, 1, 65535, &host, NULL) &&
          g_ascii_string_to_unsigned (ports[1], 10, 1, 65535, &guest, NULL))
        g_string_append_printf (forwards, "%stcp:127.0.0.1:%u:%u", forwards->len > 0 ? ";" : "",
                                (guint)host, (guint)guest);
      else
        alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "Forwarded port",
                             "“%s” makes no sense.", words[i]);
    }
  if (forwards->len > 0)
    nic->forwards = g_strdup (forwards->str);
}

static void
read_disks (AlcoveImport *import, GHashTable *values)
{
  const char *disk = g_hash_table_lookup (values, "disk_img");
  const char *format = g_hash_table_lookup (values, "disk_format");
  static const char *const media[] = { "iso", "fixed_iso" };

  if (disk != NULL && *disk != '\0')
    {
      g_autofree char *path = find_file (import, disk);

      import_add_file_disk (import, path, format != NULL ? format : "qcow2", NULL, FALSE);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (media); i++)
    {
      const char *iso = g_hash_table_lookup (values, media[i]);
      g_autofree char *path = iso != NULL && *iso != '\0' ? find_file (import, iso) : NULL;

      if (path != NULL && g_file_test (path, G_FILE_TEST_IS_REGULAR))
        g_ptr_array_add (import->cdroms, g_steal_pointer (&path));
    }
}

static void
read_values (AlcoveImport *import, GHashTable *values)
{
  const char *boot = g_hash_table_lookup (values, "boot");
  const char *guest = g_hash_table_lookup (values, "guest_os");
  const char *forwards = g_hash_table_lookup (values, "port_forwards");
  const char *cores = g_hash_table_lookup (values, "cpu_cores");
  guint64 mib = parse_mib (g_hash_table_lookup (values, "ram")), n = 0;
  AlcoveImportNic *nic = import_add_nic (import);

  import->firmware = g_strcmp0 (boot, "legacy") == 0 ? ALCOVE_FIRMWARE_BIOS : ALCOVE_FIRMWARE_UEFI;
  import->local_time = guest != NULL && g_str_has_prefix (guest, "windows");
  if (mib > 0)
    import_set_memory (import, mib);
  if (cores != NULL && g_ascii_string_to_unsigned (cores, 10, 1, 100000, &n, NULL))
    import_set_cpus (import, n);
  if (forwards != NULL && nic != NULL)
    read_forwards (import, nic, forwards);
  read_disks (import, values);
  for (gsize i = 0; i < G_N_ELEMENTS (lost); i++)
    {
      const char *value = g_hash_table_lookup (values, lost[i].key);

      if (value != NULL && *value != '\0' && strcmp (value, "off") != 0 &&
          strcmp (value, "()") != 0)
        alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, lost[i].what, "%s",
                             lost[i].meaning);
    }
  if (import->firmware == ALCOVE_FIRMWARE_UEFI)
    alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, "UEFI variables",
                         "Boot entries are found anew.");
}

gboolean
import_read_quickemu (AlcoveImport *import, const char *text, gsize length, GError **error)
{
  g_autoptr (GHashTable) values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_auto (GStrv) lines = NULL;
  g_autofree char *name = g_path_get_basename (import->path);

  if (!g_utf8_validate (text, (gssize)length, NULL))
    return import_set_invalid (error, import->path, "it is no text");
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      char *line = g_strstrip (lines[i]), *equals = strchr (line, '=');
      char *value;

      if (*line == '#' || *line == '\0' || equals == NULL)
        continue;
      *equals = '\0';
      value = parse_value (equals + 1);
      if (value == NULL)
        alcove_findings_add (import->findings, ALCOVE_FINDING_LOST, line,
                             "Line %u: its value needs a shell, which is not run.", i + 1);
      else
        g_hash_table_insert (values, g_strdup (line), value);
    }
  if (!g_hash_table_contains (values, "disk_img"))
    return import_set_invalid (error, import->path, "it is no quickemu file: it names no disk_img");
  if (g_str_has_suffix (name, ".conf"))
    name[strlen (name) - strlen (".conf")] = '\0';
  import->title = g_steal_pointer (&name);
  read_values (import, values);
  return TRUE;
}
