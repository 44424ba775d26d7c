/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who shows a picture: boot framebuffers in /proc/iomem, DRM cards and their connectors. */
#include <string.h>
#include "vfio/host/inventory-private.h"

#define IOMEM_DEPTH 32
#define IOMEM_LINES 20000

/* The names under which the kernel's boot framebuffers hold memory (drivers/firmware/sysfb.c,
 * drivers/video/fbdev, drivers/gpu/drm/tiny and sysfb). */
static gboolean
is_framebuffer (const char *name)
{
  static const char *const names[] = { "BOOTFB",    "efifb",  "simplefb", "simple-framebuffer",
                                       "simpledrm", "efidrm", "vesafb",   "vesadrm" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (name, names[i]) == 0)
      return TRUE;
  return FALSE;
}

static VfioFunction *
function_with_address (VfioInventory *inventory, guint64 start, guint64 end)
{
  for (guint i = 0; i < inventory->functions->len; i++)
    {
      VfioFunction *function = g_ptr_array_index (inventory->functions, i);

      for (guint k = 0; k < VFIO_HOST_N_BARS && !function->bridge; k++)
        {
          const VfioBar *bar = &function->bars[k];

          if (bar->size != 0 && !bar->io && bar->start != 0 && start >= bar->start &&
              end - bar->start < bar->size)
            return function;
        }
    }
  return NULL;
}

static void
add_framebuffer (VfioFunction *function, const char *name)
{
  guint n = function->framebuffers != NULL ? g_strv_length (function->framebuffers) : 0;

  if (n >= 8 || (n > 0 && g_strv_contains ((const char *const *)function->framebuffers, name)))
    return;
  function->framebuffers = g_renew (char *, function->framebuffers, n + 2);
  function->framebuffers[n] = g_strdup (name);
  function->framebuffers[n + 1] = NULL;
}

/* "  e0000000-efffffff : 0000:01:00.0", two blanks a level. Users see zeros for the addresses, but
 * the names above a line still say whose memory it lies in. */
void
host_display_parse_iomem (VfioInventory *inventory, const char *text)
{
  VfioFunction *above[IOMEM_DEPTH] = { NULL };
  const char *line = text;

  for (guint n = 0; n < IOMEM_LINES && *line != '\0'; n++)
    {
      gsize len = strcspn (line, "\n");
      g_autofree char *copy = g_strndup (line, MIN (len, 400));
      gsize blanks = strspn (copy, " ");
      gsize depth = MIN (blanks / 2, IOMEM_DEPTH - 1);
      char *name = strstr (copy, " : "), *end;
      guint64 from, to;
      VfioAddress address;

      line += len;
      line += *line == '\n';
      if (name == NULL)
        continue;
      name = g_strstrip (name + 3);
      from = g_ascii_strtoull (copy + blanks, &end, 16);
      to = *end == '-' ? g_ascii_strtoull (end + 1, NULL, 16) : 0;
      above[depth] = depth > 0 ? above[depth - 1] : NULL;
      if (vfio_address_parse (name, &address))
        above[depth] = vfio_inventory_find (inventory, address);
      for (gsize i = depth + 1; i < IOMEM_DEPTH; i++)
        above[i] = above[depth];
      if (is_framebuffer (name))
        {
          VfioFunction *function = above[depth];

          if (function == NULL && from != 0 && to >= from)
            function = function_with_address (inventory, from, to);
          if (function != NULL)
            add_framebuffer (function, name);
        }
    }
}

static void
read_connectors (VfioTree *tree, VfioFunction *function, const char *card, char **names)
{
  g_autofree char *prefix = g_strconcat (card, "-", NULL);

  for (guint i = 0; names[i] != NULL; i++)
    if (g_str_has_prefix (names[i], prefix))
      {
        g_autofree char *status = g_strconcat ("/sys/class/drm/", names[i], "/status", NULL);
        g_autofree char *enabled = g_strconcat ("/sys/class/drm/", names[i], "/enabled", NULL);
        g_autofree char *status_word = vfio_tree_read_line (tree, status);
        g_autofree char *enabled_word = vfio_tree_read_line (tree, enabled);
        VfioConnector *connector;

        if (status_word == NULL || strcmp (names[i] + strlen (prefix), "Writeback-1") == 0)
          continue;
        connector = g_new0 (VfioConnector, 1);
        connector->name = g_strdup (names[i] + strlen (prefix));
        connector->connected = strcmp (status_word, "connected") == 0;
        connector->enabled = enabled_word != NULL && strcmp (enabled_word, "enabled") == 0;
        g_ptr_array_add (function->connectors, connector);
      }
}

void
host_display_fill (VfioTree *tree, VfioInventory *inventory)
{
  g_autofree char *iomem = vfio_tree_read_text (tree, "/proc/iomem", 1024 * 1024);
  g_auto (GStrv) names = vfio_tree_list (tree, "/sys/class/drm");

  if (iomem != NULL)
    host_display_parse_iomem (inventory, iomem);
  for (guint i = 0; names != NULL && names[i] != NULL; i++)
    {
      g_autofree char *path = NULL, *real = NULL;
      VfioFunction *function;

      if (!g_str_has_prefix (names[i], "card") || strchr (names[i], '-') != NULL)
        continue;
      path = g_strconcat ("/sys/class/drm/", names[i], NULL);
      real = vfio_tree_resolve (tree, path);
      function = real != NULL ? host_function_of_path (inventory, real) : NULL;
      if (function == NULL || function->drm_card != NULL)
        continue;
      function->drm_card = g_strdup (names[i]);
      read_connectors (tree, function, names[i], names);
    }
}
