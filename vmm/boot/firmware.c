/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vmm/boot/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DESCRIPTOR  65536 /* bytes */
#define MAX_DEPTH       16
#define MAX_DESCRIPTORS 256
#define MACHINE         "pc-q35-7.2" /* what patterns such as pc-q35-* are matched with */

/* For images that no descriptor mentions: Debian and Ubuntu, Fedora, Arch. */
static const struct
{
  VmmFirmwareKind kind;
  const char *code, *vars;
} well_known[] = {
  { VMM_FIRMWARE_BIOS, "/usr/share/seabios/bios-256k.bin", NULL },
  { VMM_FIRMWARE_BIOS, "/usr/share/qemu/bios-256k.bin", NULL },
  { VMM_FIRMWARE_UEFI, "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd" },
  { VMM_FIRMWARE_UEFI, "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd" },
  { VMM_FIRMWARE_UEFI, "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/edk2/x64/OVMF_VARS.4m.fd" },
};

typedef struct
{
  const VmmFirmwareQuery *query;
  GPtrArray *found;
  GString *refused; /* (nullable) "path: reason" lines for the error */
} Search;

void
vmm_firmware_free (VmmFirmware *firmware)
{
  if (firmware == NULL)
    return;
  g_free (firmware->code);
  g_free (firmware->vars_template);
  g_free (firmware->description);
  g_free (firmware->descriptor);
  g_free (firmware);
}

static void
refuse (Search *search, const char *path, const char *reason)
{
  if (search->refused != NULL)
    g_string_append_printf (search->refused, "%s%s %s", search->refused->len > 0 ? "; " : "", path,
                            reason);
}

/* A regular file of at most limit bytes that can be read. */
static gboolean
is_file (const char *path)
{
  struct stat st;

  return stat (path, &st) == 0 && S_ISREG (st.st_mode) && st.st_size > 0 &&
         access (path, R_OK) == 0;
}

/* The whole file, NULL when it cannot be read or is too large. */
static char *
read_small (const char *path, gsize *ret_length)
{
  g_autofree char *data = g_malloc (MAX_DESCRIPTOR + 1);
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  gsize length = 0;
  ssize_t n = -1;

  if (fd < 0)
    return NULL;
  do
    {
      n = read (fd, data + length, MAX_DESCRIPTOR + 1 - length);
      if (n > 0)
        length += (gsize)n;
    }
  while ((n > 0 && length <= MAX_DESCRIPTOR) || (n < 0 && errno == EINTR));
  close (fd);
  if (n < 0 || length > MAX_DESCRIPTOR)
    return NULL;
  data[length] = '\0';
  *ret_length = length;
  return g_steal_pointer (&data);
}

/* The parser recurses, so the depth is bounded first. */
static gboolean
too_deep (const char *text, gsize length)
{
  gboolean in_string = FALSE;
  guint depth = 0;

  for (gsize i = 0; i < length; i++)
    {
      if (in_string && text[i] == '\\')
        i++;
      else if (text[i] == '"')
        in_string = !in_string;
      else if (!in_string && (text[i] == '{' || text[i] == '['))
        {
          if (++depth > MAX_DEPTH)
            return TRUE;
        }
      else if (!in_string && (text[i] == '}' || text[i] == ']') && depth > 0)
        depth--;
    }
  return FALSE;
}

/* Members of untrusted objects: NULL unless there and of the right type. */
static JsonObject *
get_object (JsonObject *object, const char *name)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static JsonArray *
get_array (JsonObject *object, const char *name)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;

  return node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
}

static const char *
node_string (JsonNode *node)
{
  return node != NULL && JSON_NODE_HOLDS_VALUE (node) &&
                 json_node_get_value_type (node) == G_TYPE_STRING
             ? json_node_get_string (node)
             : NULL;
}

static const char *
get_string (JsonObject *object, const char *name)
{
  return object != NULL ? node_string (json_object_get_member (object, name)) : NULL;
}

static gboolean
array_has (JsonArray *array, const char *value)
{
  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    if (g_strcmp0 (node_string (json_array_get_element (array, i)), value) == 0)
      return TRUE;
  return FALSE;
}

static gboolean
targets_us (JsonArray *targets)
{
  for (guint i = 0; targets != NULL && i < json_array_get_length (targets); i++)
    {
      JsonNode *node = json_array_get_element (targets, i);
      JsonObject *target = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
      JsonArray *machines = get_array (target, "machines");

      if (g_strcmp0 (get_string (target, "architecture"), "x86_64") != 0)
        continue;
      for (guint n = 0; machines != NULL && n < json_array_get_length (machines); n++)
        {
          const char *pattern = node_string (json_array_get_element (machines, n));

          if (pattern != NULL &&
              (fnmatch (pattern, MACHINE, 0) == 0 || g_str_equal (pattern, "q35")))
            return TRUE;
        }
    }
  return FALSE;
}

/* Fills code and vars_template. Returns NULL, or why this mapping cannot be used. */
static const char *
read_mapping (JsonObject *mapping, VmmFirmware *firmware)
{
  const char *device = get_string (mapping, "device");
  const char *mode = get_string (mapping, "mode");
  JsonObject *code = get_object (mapping, "executable");
  JsonObject *vars = get_object (mapping, "nvram-template");

  if (g_strcmp0 (device, "memory") == 0)
    {
      const char *path = get_string (mapping, "filename");

      if (path == NULL)
        return "names no image";
      firmware->code = g_strdup (path);
      return NULL;
    }
  if (g_strcmp0 (device, "flash") != 0)
    return "is mapped in a way that is not known";
  if (mode != NULL && !g_str_equal (mode, "split") && !g_str_equal (mode, "stateless"))
    return "keeps code and variables in one file";
  if (get_string (code, "filename") == NULL)
    return "names no image";
  if (g_strcmp0 (get_string (code, "format"), "raw") != 0)
    return "is not a raw image";
  firmware->code = g_strdup (get_string (code, "filename"));
  if (vars != NULL && g_strcmp0 (mode, "stateless") != 0)
    {
      if (g_strcmp0 (get_string (vars, "format"), "raw") != 0 ||
          get_string (vars, "filename") == NULL)
        return "has a variable store that is not a raw image";
      firmware->vars_template = g_strdup (get_string (vars, "filename"));
    }
  return NULL;
}

/* Returns NULL when taken, otherwise the reason. */
static const char *
consider (Search *search, JsonObject *root, VmmFirmware *firmware)
{
  const VmmFirmwareQuery *query = search->query;
  JsonArray *features = get_array (root, "features");
  const char *reason;

  firmware->secure_boot = array_has (features, "secure-boot");
  firmware->enrolled_keys = array_has (features, "enrolled-keys");
  if (!targets_us (get_array (root, "targets")))
    return "is not for this kind of machine";
  if (array_has (features, "requires-smm") && !query->smm)
    return "requires system management mode, which the machine does not have";
  if (query->secure_boot == VMM_SECURE_BOOT_OFF && firmware->secure_boot)
    return "has Secure Boot, which is not wanted";
  if (query->secure_boot == VMM_SECURE_BOOT_REQUIRED && !firmware->secure_boot)
    return "has no Secure Boot";
  reason = read_mapping (get_object (root, "mapping"), firmware);
  if (reason != NULL)
    return reason;
  if (!g_path_is_absolute (firmware->code) || !is_file (firmware->code))
    return "names an image that is not there";
  if (firmware->vars_template != NULL &&
      (!g_path_is_absolute (firmware->vars_template) || !is_file (firmware->vars_template)))
    return "names a variable store that is not there";
  return NULL;
}

static void
read_descriptor (Search *search, const char *path)
{
  g_autoptr (VmmFirmware) firmware = g_new0 (VmmFirmware, 1);
  g_autoptr (JsonParser) parser = NULL;
  g_autofree char *text = NULL;
  const char *kind = search->query->kind == VMM_FIRMWARE_UEFI ? "uefi" : "bios";
  const char *reason;
  JsonObject *root;
  gsize length = 0;

  text = read_small (path, &length);
  if (text == NULL || too_deep (text, length))
    {
      refuse (search, path, "cannot be read");
      return;
    }
  if (length == 0)
    return; /* hides weaker ones */
  parser = json_parser_new_immutable ();
  if (!json_parser_load_from_data (parser, text, (gssize)length, NULL) ||
      json_parser_get_root (parser) == NULL ||
      !JSON_NODE_HOLDS_OBJECT (json_parser_get_root (parser)))
    {
      refuse (search, path, "is malformed");
      return;
    }
  root = json_node_get_object (json_parser_get_root (parser));
  if (!array_has (get_array (root, "interface-types"), kind))
    return;
  firmware->kind = search->query->kind;
  firmware->descriptor = g_strdup (path);
  firmware->description = g_strdup (get_string (root, "description"));
  reason = consider (search, root, firmware);
  if (reason != NULL)
    refuse (search, path, reason);
  else
    g_ptr_array_add (search->found, g_steal_pointer (&firmware));
}

static void
add_directory (GPtrArray *names, GHashTable *paths, const char *directory)
{
  g_autoptr (GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      if (!g_str_has_suffix (name, ".json") || g_hash_table_contains (paths, name) ||
          names->len == MAX_DESCRIPTORS)
        continue;
      g_ptr_array_add (names, g_strdup (name));
      g_hash_table_insert (paths, g_strdup (name), g_build_filename (directory, name, NULL));
    }
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

static void
read_descriptors (Search *search)
{
  g_autofree char *user = g_build_filename (g_get_user_config_dir (), "qemu/firmware", NULL);
  const char *const defaults[] = { user, "/etc/qemu/firmware", "/usr/local/share/qemu/firmware",
                                   "/usr/share/qemu/firmware", NULL };
  const char *const *directories =
      search->query->directories != NULL ? search->query->directories : defaults;
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) paths = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);

  for (guint i = 0; directories[i] != NULL; i++)
    add_directory (names, paths, directories[i]);
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    read_descriptor (search, g_hash_table_lookup (paths, names->pdata[i]));
}

static gboolean
already_found (Search *search, const char *code)
{
  for (guint i = 0; i < search->found->len; i++)
    if (g_str_equal (((VmmFirmware *)search->found->pdata[i])->code, code))
      return TRUE;
  return FALSE;
}

static void
add_well_known (Search *search)
{
  const char *root = search->query->root != NULL ? search->query->root : "";

  if (search->query->secure_boot == VMM_SECURE_BOOT_REQUIRED)
    return;
  for (guint i = 0; i < G_N_ELEMENTS (well_known); i++)
    {
      g_autofree char *code = g_strconcat (root, well_known[i].code, NULL);
      g_autofree char *vars = NULL;
      VmmFirmware *firmware;

      if (well_known[i].vars != NULL)
        vars = g_strconcat (root, well_known[i].vars, NULL);
      if (well_known[i].kind != search->query->kind || !is_file (code) ||
          (vars != NULL && !is_file (vars)) || already_found (search, code))
        continue;
      firmware = g_new0 (VmmFirmware, 1);
      firmware->kind = well_known[i].kind;
      firmware->description = g_path_get_basename (code);
      firmware->code = g_steal_pointer (&code);
      firmware->vars_template = g_steal_pointer (&vars);
      g_ptr_array_add (search->found, firmware);
    }
}

/* "Any" prefers images without Secure Boot: those with it refuse unsigned systems. */
static gint
compare_preference (gconstpointer a, gconstpointer b)
{
  const VmmFirmware *x = *(const VmmFirmware *const *)a, *y = *(const VmmFirmware *const *)b;

  return (x->secure_boot && x->enrolled_keys) - (y->secure_boot && y->enrolled_keys);
}

static GPtrArray *
run (const VmmFirmwareQuery *query, GString *refused)
{
  Search search = { .query = query, .refused = refused };

  search.found = g_ptr_array_new_with_free_func ((GDestroyNotify)vmm_firmware_free);
  read_descriptors (&search);
  add_well_known (&search);
  if (query->secure_boot == VMM_SECURE_BOOT_ANY)
    g_ptr_array_sort (search.found, compare_preference); /* stable: GLib merge sort */
  return search.found;
}

GPtrArray *
vmm_firmware_list (const VmmFirmwareQuery *query)
{
  return run (query, NULL);
}

VmmFirmware *
vmm_firmware_find (const VmmFirmwareQuery *query, GError **error)
{
  g_autoptr (GString) refused = g_string_new (NULL);
  g_autoptr (GPtrArray) found = run (query, refused);

  if (found->len > 0)
    return g_ptr_array_steal_index (found, 0);
  g_set_error (
      error, VMM_ERROR, VMM_ERROR_NOT_FOUND, "no %s firmware%s was found; install %s%s%s%s",
      query->kind == VMM_FIRMWARE_UEFI ? "UEFI" : "BIOS",
      query->secure_boot == VMM_SECURE_BOOT_REQUIRED ? " with Secure Boot" : "",
      query->kind == VMM_FIRMWARE_UEFI
          ? "the package ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora, Arch)"
          : "the package seabios (Debian, Ubuntu, Arch) or seabios-bin (Fedora)",
      refused->len > 0 ? " (passed over: " : "", refused->str, refused->len > 0 ? ")" : "");
  return NULL;
}
