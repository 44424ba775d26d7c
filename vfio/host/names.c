/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names for people: from the distribution's pci.ids, shortened, and from the class code. */
#include <glib/gi18n-lib.h>
#include <string.h>
#include "vfio/host/inventory-private.h"

static const char *const ids_paths[] = {
  "/usr/share/misc/pci.ids",          /* Debian, Ubuntu */
  "/usr/share/hwdata/pci.ids",        /* Fedora, Arch, openSUSE */
  "/run/host/usr/share/misc/pci.ids", /* the host's, from within a Flatpak */
  "/run/host/usr/share/hwdata/pci.ids",
};

/* PCI Code and ID Assignment Specification 1.11. */
static const struct
{
  guint16 class_sub;
  const char *name;
} classes[] = {
  { 0x0101, N_ ("IDE controller") },    { 0x0104, N_ ("RAID controller") },
  { 0x0106, N_ ("SATA controller") },   { 0x0107, N_ ("SAS controller") },
  { 0x0108, N_ ("NVMe drive") },        { 0x0200, N_ ("network card") },
  { 0x0280, N_ ("wireless card") },     { 0x0300, N_ ("graphics card") },
  { 0x0302, N_ ("graphics card") },     { 0x0380, N_ ("graphics card") },
  { 0x0400, N_ ("video device") },      { 0x0401, N_ ("sound device") },
  { 0x0403, N_ ("sound device") },      { 0x0480, N_ ("multimedia device") },
  { 0x0500, N_ ("memory controller") }, { 0x0600, N_ ("host bridge") },
  { 0x0601, N_ ("mainboard bridge") },  { 0x0604, N_ ("PCI bridge") },
  { 0x0607, N_ ("CardBus bridge") },    { 0x0805, N_ ("card reader") },
  { 0x0c03, N_ ("USB controller") },    { 0x0c05, N_ ("system management bus") },
  { 0x0c80, N_ ("USB-C controller") },  { 0x0d11, N_ ("Bluetooth adapter") },
  { 0x1080, N_ ("encryption device") }, { 0x1180, N_ ("signal processor") },
  { 0x1200, N_ ("accelerator") },
};

static const struct
{
  guint8 base;
  const char *name;
} bases[] = {
  { 0x01, N_ ("storage controller") }, { 0x02, N_ ("network card") },
  { 0x03, N_ ("graphics card") },      { 0x04, N_ ("multimedia device") },
  { 0x05, N_ ("memory device") },      { 0x06, N_ ("bridge") },
  { 0x07, N_ ("serial port") },        { 0x08, N_ ("system device") },
  { 0x09, N_ ("input device") },       { 0x0c, N_ ("bus controller") },
  { 0x0d, N_ ("wireless card") },      { 0x10, N_ ("encryption device") },
  { 0x11, N_ ("signal processor") },   { 0x12, N_ ("accelerator") },
};

static const char *
class_name (const VfioFunction *function)
{
  if (HOST_CLASS_SUB (function) == 0x0c80 && !function->has_parent)
    return _ ("mainboard device"); /* flash and sensors, not the USB-C of a graphics card */
  for (guint i = 0; i < G_N_ELEMENTS (classes); i++)
    if (classes[i].class_sub == HOST_CLASS_SUB (function))
      return g_dgettext (GETTEXT_PACKAGE, classes[i].name);
  for (guint i = 0; i < G_N_ELEMENTS (bases); i++)
    if (bases[i].base == HOST_CLASS_BASE (function))
      return g_dgettext (GETTEXT_PACKAGE, bases[i].name);
  return _ ("device");
}

/* "Advanced Micro Devices, Inc. [AMD/ATI]" -> "AMD"; "Intel Corporation" -> "Intel". */
static char *
shorten_vendor (const char *name)
{
  static const char *const tails[] = {
    " Corporation", " Corp.",     " Corp",     ", Inc.",         " Inc.",         " Inc",
    ", Inc",        " Co., Ltd.", " Co., Ltd", " Co Ltd",        " Technologies", " Limited",
    " Ltd.",        " Ltd",       ",",         " Semiconductor", " Electronics",  " Technology"
  };
  const char *open = strrchr (name, '[');
  const char *close = open != NULL ? strchr (open, ']') : NULL;
  gboolean cut = TRUE;
  char *text;

  if (close != NULL && close > open + 1)
    {
      text = g_strndup (open + 1, (gsize)(close - open - 1));
      if (strcmp (text, "AMD/ATI") == 0)
        text[strlen ("AMD")] = '\0';
      return text;
    }
  text = g_strdup (name);
  while (cut)
    {
      cut = FALSE;
      for (guint i = 0; i < G_N_ELEMENTS (tails); i++)
        if (g_str_has_suffix (text, tails[i]) && strlen (text) > strlen (tails[i]))
          {
            text[strlen (text) - strlen (tails[i])] = '\0';
            cut = TRUE;
          }
    }
  return text;
}

/* "GA104 [GeForce RTX 3070]" -> "GeForce RTX 3070", what is printed on a graphics card's box; of
 * other things what is before the bracket. */
static char *
shorten_device (const VfioFunction *function, const char *name)
{
  const char *open = strchr (name, '[');
  const char *close = open != NULL ? strchr (open, ']') : NULL;

  if (close == NULL || close <= open + 1 || open == name)
    return g_strdup (name);
  if (HOST_CLASS_BASE (function) == 0x03)
    return g_strndup (open + 1, (gsize)(close - open - 1));
  return g_strchomp (g_strndup (name, (gsize)(open - name)));
}

static void
name_function (VfioFunction *function)
{
  g_autofree char *vendor = NULL, *device = NULL;

  g_free (function->class_name);
  g_free (function->name);
  function->class_name = g_strdup (class_name (function));
  if (function->vendor_name != NULL)
    vendor = shorten_vendor (function->vendor_name);
  if (function->device_name != NULL)
    device = shorten_device (function, function->device_name);
  if (vendor != NULL && device != NULL)
    function->name = g_str_has_prefix (device, vendor) ? g_strdup (device)
                                                       : g_strdup_printf ("%s %s", vendor, device);
  else if (vendor != NULL)
    function->name =
        g_strdup_printf ("%s %s (%04x)", vendor, function->class_name, function->device);
  else
    function->name = g_strdup_printf ("%s (%04x:%04x)", function->class_name, function->vendor,
                                      function->device);
}

/* Four hexadecimal digits, two blanks, a name: FALSE for anything else. */
static gboolean
parse_entry (const char *line, gsize len, guint16 *ret_id, const char **ret_name, gsize *ret_len)
{
  guint id = 0;

  if (len < 7 || len > 400 || line[4] != ' ' || line[5] != ' ')
    return FALSE;
  for (guint i = 0; i < 4; i++)
    {
      if (!g_ascii_isxdigit (line[i]))
        return FALSE;
      id = id << 4 | (guint)g_ascii_xdigit_value (line[i]);
    }
  *ret_id = (guint16)id;
  *ret_name = line + 6;
  *ret_len = len - 6;
  return TRUE;
}

static void
set_names (GPtrArray *functions, guint16 vendor, int device, const char *name, gsize len)
{
  for (guint i = 0; i < functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (functions, i);
      char **where = device < 0 ? &function->vendor_name : &function->device_name;

      if (function->vendor == vendor && (device < 0 || function->device == device) &&
          *where == NULL)
        {
          g_autofree char *copy = g_utf8_make_valid (name, (gssize)len);

          *where = g_strdup (g_strstrip (copy));
        }
    }
}

void
host_names_parse (const char *text, GPtrArray *functions)
{
  g_autoptr (GHashTable) wanted = g_hash_table_new (NULL, NULL);
  guint16 vendor = 0, id;
  gboolean inside = FALSE; /* below a vendor that somebody has */
  const char *name;
  gsize len;

  for (guint i = 0; i < functions->len; i++)
    g_hash_table_add (
        wanted, GUINT_TO_POINTER (((VfioFunction *)g_ptr_array_index (functions, i))->vendor + 1u));
  for (const char *line = text; *line != '\0';)
    {
      gsize line_len = strcspn (line, "\r\n");

      if (line[0] == 'C' && line[1] == ' ')
        break; /* the classes follow the devices */
      if (line[0] == '\t' && line[1] != '\t')
        {
          if (inside && parse_entry (line + 1, line_len - 1, &id, &name, &len))
            set_names (functions, vendor, id, name, len);
        }
      else if (line[0] != '\t' && line[0] != '#' && parse_entry (line, line_len, &id, &name, &len))
        {
          vendor = id;
          inside = g_hash_table_contains (wanted, GUINT_TO_POINTER (vendor + 1u));
          if (inside)
            set_names (functions, vendor, -1, name, len);
        }
      line += line_len;
      line += strspn (line, "\r\n");
    }
  for (guint i = 0; i < functions->len; i++)
    name_function (g_ptr_array_index (functions, i));
}

void
host_names_fill (VfioTree *tree, GPtrArray *functions)
{
  g_autofree char *text = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (ids_paths) && text == NULL; i++)
    text = vfio_tree_read_text (tree, ids_paths[i], VFIO_TREE_READ_MAX);
  host_names_parse (text != NULL ? text : "", functions);
}
