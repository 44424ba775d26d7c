/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "vfio/host/quirks.h"

#include <string.h>
#include "vmm/error.h"

#define QUIRKS_MAX  4096
#define QUIRKS_PATH ALCOVE_DATA_DIR "/passthrough-quirks"

typedef struct
{
  guint16 vendor, first, last;
  VfioQuirkFlags flags;
  char *name;
} Quirk;

struct _VfioQuirks
{
  GArray *quirks;
};

static void
quirk_clear (gpointer data)
{
  g_free (((Quirk *)data)->name);
}

static gboolean
parse_hex (const char *text, guint16 *ret)
{
  guint64 value;

  if (strlen (text) != 4 || !g_ascii_isxdigit (text[0]) ||
      !g_ascii_string_to_unsigned (text, 16, 0, 0xffff, &value, NULL))
    return FALSE;
  *ret = (guint16)value;
  return TRUE;
}

static gboolean
parse_flags (const char *text, VfioQuirkFlags *ret)
{
  static const struct
  {
    const char *word;
    VfioQuirkFlags flag;
  } words[] = { { "reset", HOST_QUIRK_RESET },
                { "disputed", HOST_QUIRK_DISPUTED },
                { "d3", HOST_QUIRK_D3 } };
  g_auto (GStrv) parts = g_strsplit (text, ",", 8);

  *ret = 0;
  for (guint i = 0; parts[i] != NULL; i++)
    {
      guint k = 0;

      while (k < G_N_ELEMENTS (words) && strcmp (words[k].word, parts[i]) != 0)
        k++;
      if (k == G_N_ELEMENTS (words))
        return FALSE;
      *ret |= words[k].flag;
    }
  return *ret != 0;
}

/* "1002:7310-731f reset Navi 10" */
static gboolean
parse_line (const char *line, Quirk *quirk)
{
  g_auto (GStrv) words = g_strsplit_set (line, " \t", 3);
  g_auto (GStrv) ids = NULL;
  g_auto (GStrv) range = NULL;

  if (g_strv_length (words) != 3 || *g_strstrip (words[2]) == '\0')
    return FALSE;
  ids = g_strsplit (words[0], ":", 3);
  if (g_strv_length (ids) != 2)
    return FALSE;
  range = g_strsplit (ids[1], "-", 3);
  if (g_strv_length (range) < 1 || g_strv_length (range) > 2 ||
      !parse_hex (ids[0], &quirk->vendor) || !parse_hex (range[0], &quirk->first) ||
      !parse_hex (range[1] != NULL ? range[1] : range[0], &quirk->last) ||
      quirk->last < quirk->first || !parse_flags (words[1], &quirk->flags))
    return FALSE;
  quirk->name = g_strdup (words[2]);
  return TRUE;
}

VfioQuirks *
vfio_quirks_new_from_text (const char *text, GError **error)
{
  g_autoptr (VfioQuirks) quirks = g_new0 (VfioQuirks, 1);
  g_auto (GStrv) lines = NULL;

  quirks->quirks = g_array_new (FALSE, TRUE, sizeof (Quirk));
  g_array_set_clear_func (quirks->quirks, quirk_clear);
  if (!g_utf8_validate (text, -1, NULL))
    {
      g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID, "The list of cards is not text in UTF-8");
      return NULL;
    }
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      Quirk quirk = { 0 };

      if (*g_strstrip (lines[i]) == '\0' || *lines[i] == '#')
        continue;
      if (quirks->quirks->len >= QUIRKS_MAX || !parse_line (lines[i], &quirk))
        {
          g_set_error (error, VMM_ERROR, VMM_ERROR_INVALID,
                       "Line %u of the list of cards is not \"vendor:device flags name\": %.80s",
                       i + 1, lines[i]);
          return NULL;
        }
      g_array_append_val (quirks->quirks, quirk);
    }
  return g_steal_pointer (&quirks);
}

VfioQuirks *
vfio_quirks_load (GError **error)
{
  const char *path = g_getenv ("ALCOVE_QUIRKS");
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path != NULL ? path : QUIRKS_PATH, &text, NULL, error))
    return NULL;
  return vfio_quirks_new_from_text (text, error);
}

void
vfio_quirks_free (VfioQuirks *quirks)
{
  if (quirks == NULL)
    return;
  g_array_unref (quirks->quirks);
  g_free (quirks);
}

VfioQuirkFlags
vfio_quirks_find (const VfioQuirks *quirks, const VfioFunction *function, const char **ret_name)
{
  for (guint i = 0; i < quirks->quirks->len; i++)
    {
      const Quirk *quirk = &g_array_index (quirks->quirks, Quirk, i);

      if (quirk->vendor == function->vendor && function->device >= quirk->first &&
          function->device <= quirk->last)
        {
          if (ret_name != NULL)
            *ret_name = quirk->name;
          return quirk->flags;
        }
    }
  return 0;
}
