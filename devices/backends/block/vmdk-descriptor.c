/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The text part of a VMDK: "Virtual Disk Format 5.0" (VMware, 2011), chapter "The Descriptor File". */
#include "devices/backends/block/vmdk-private.h"

#include <string.h>

static void
line_free (gpointer data)
{
  VmdkExtentLine *line = data;

  g_free (line->name);
  g_free (line);
}

void
vmdk_descriptor_clear (VmdkDescriptor *descriptor)
{
  g_clear_pointer (&descriptor->create_type, g_free);
  g_clear_pointer (&descriptor->parent_cid, g_free);
  g_clear_pointer (&descriptor->lines, g_ptr_array_unref);
}

/* The next word at *at, or the text in quotes; NULL at the end. */
static char *
take_word (char **at)
{
  char *p = *at, *start;

  while (*p == ' ' || *p == '\t')
    p++;
  if (*p == '\0')
    return NULL;
  if (*p == '"')
    {
      start = ++p;
      while (*p != '\0' && *p != '"')
        p++;
    }
  else
    {
      start = p;
      while (*p != '\0' && *p != ' ' && *p != '\t')
        p++;
    }
  *at = *p != '\0' ? p + 1 : p;
  *p = '\0';
  return start;
}

static gboolean
parse_extent (VmdkDescriptor *descriptor, char *text, BlockFile *file, GError **error)
{
  g_autofree char *whole = g_strdup (text);
  g_autofree VmdkExtentLine *line = g_new0 (VmdkExtentLine, 1);
  const char *sectors, *type, *name, *offset;
  char *at = text;

  (void)take_word (&at); /* RW, RDONLY: the same to us */
  sectors = take_word (&at);
  type = take_word (&at);
  name = take_word (&at);
  offset = name != NULL ? take_word (&at) : NULL;
  if (sectors == NULL || type == NULL ||
      !g_ascii_string_to_unsigned (sectors, 10, 1, BLOCK_FOREIGN_SIZE_MAX / VMDK_SECTOR,
                                   &line->sectors, NULL))
    return block_foreign_invalid (error, file, VMDK_FORMAT, "the extent \"%s\" makes no sense",
                                  whole);
  if (strcmp (type, "FLAT") == 0 || strcmp (type, "VMFS") == 0)
    line->kind = VMDK_EXTENT_FLAT;
  else if (strcmp (type, "SPARSE") == 0)
    line->kind = VMDK_EXTENT_SPARSE;
  else if (strcmp (type, "ZERO") == 0)
    line->kind = VMDK_EXTENT_ZERO;
  else
    return block_foreign_unsupported (error, file, VMDK_FORMAT,
                                      "it has an extent of type %s. Convert it with VMware's "
                                      "\"vmkfstools -i\" or \"vmware-vdiskmanager -r\" first",
                                      type);
  if (line->kind != VMDK_EXTENT_ZERO && name == NULL)
    return block_foreign_invalid (error, file, VMDK_FORMAT, "the extent \"%s\" names no file",
                                  whole);
  if (offset != NULL && line->kind == VMDK_EXTENT_FLAT &&
      !g_ascii_string_to_unsigned (offset, 10, 0, BLOCK_FOREIGN_SIZE_MAX / VMDK_SECTOR,
                                   &line->offset_sectors, NULL))
    return block_foreign_invalid (error, file, VMDK_FORMAT, "the extent \"%s\" makes no sense",
                                  whole);
  if (descriptor->lines->len >= VMDK_EXTENTS_MAX)
    return block_foreign_unsupported (error, file, VMDK_FORMAT, "it has more than %d extents",
                                      VMDK_EXTENTS_MAX);
  if (line->kind != VMDK_EXTENT_ZERO)
    line->name = g_strdup (name);
  g_ptr_array_add (descriptor->lines, g_steal_pointer (&line));
  return TRUE;
}

static gboolean
is_extent (const char *line)
{
  return g_str_has_prefix (line, "RW ") || g_str_has_prefix (line, "RDONLY ");
}

static void
parse_pair (VmdkDescriptor *descriptor, char *line)
{
  char *equals = strchr (line, '=');
  char *value;
  gsize length;

  if (equals == NULL)
    return;
  *equals = '\0';
  g_strstrip (line);
  value = g_strstrip (equals + 1);
  length = strlen (value);
  if (length >= 2 && value[0] == '"' && value[length - 1] == '"')
    {
      value[length - 1] = '\0';
      value++;
    }
  if (g_ascii_strcasecmp (line, "createType") == 0 && descriptor->create_type == NULL)
    descriptor->create_type = g_strdup (value);
  else if (g_ascii_strcasecmp (line, "parentCID") == 0 && descriptor->parent_cid == NULL)
    descriptor->parent_cid = g_strdup (value);
}

gboolean
vmdk_descriptor_parse (
    VmdkDescriptor *descriptor, const char *text, gsize length, BlockFile *file, GError **error)
{
  g_autofree char *copy = g_strndup (text, length); /* up to the first NUL: the rest is padding */
  g_auto (GStrv) lines = NULL;

  memset (descriptor, 0, sizeof *descriptor);
  descriptor->lines = g_ptr_array_new_with_free_func (line_free);
  if (!g_utf8_validate (copy, -1, NULL))
    {
      /* Old programs wrote names in the character set of their system: only names in ASCII can be
       * looked up then. */
      char *valid = g_utf8_make_valid (copy, -1);

      g_free (copy);
      copy = valid;
    }
  lines = g_strsplit_set (copy, "\r\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      char *line = g_strstrip (lines[i]);

      if (*line == '#' || *line == '\0')
        continue;
      if (is_extent (line))
        {
          if (!parse_extent (descriptor, line, file, error))
            return FALSE;
        }
      else
        {
          parse_pair (descriptor, line);
        }
    }
  if (descriptor->parent_cid != NULL && strcmp (descriptor->parent_cid, "ffffffff") != 0)
    return block_foreign_unsupported (
        error, file, VMDK_FORMAT,
        "it holds only the changes of a snapshot. Delete the machine's "
        "snapshots, or clone it, where it was made");
  if (descriptor->lines->len == 0)
    return block_foreign_invalid (error, file, VMDK_FORMAT, "its descriptor names no extent");
  return TRUE;
}
