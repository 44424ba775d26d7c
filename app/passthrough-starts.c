/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/passthrough-starts.h"

#include <string.h>

#include "app/paths.h"
#include "vfio/host/address.h"

#define BOOT_ID "/proc/sys/kernel/random/boot_id"

static char *
dup_parent (void)
{
  return g_build_filename (g_get_user_state_dir (), "alcove", "passed-through", NULL);
}

/* (nullable): a kernel that does not tell its boot. */
static char *
dup_boot (void)
{
  g_autofree char *text = NULL;

  if (!g_file_get_contents (BOOT_ID, &text, NULL, NULL))
    return NULL;
  g_strstrip (text);
  return g_uuid_string_is_valid (text) ? g_steal_pointer (&text) : NULL;
}

/* (nullable): what is no address is no file's name. */
static char *
dup_path (const char *host, const char *parent, const char *boot)
{
  char text[VFIO_ADDRESS_TEXT_SIZE];
  VfioAddress address;

  if (boot == NULL || !vfio_address_parse (host, &address))
    return NULL;
  return g_build_filename (parent, boot, vfio_address_format (address, text), NULL);
}

static void
remove_others (const char *parent, const char *boot)
{
  g_autoptr (GDir) dir = g_dir_open (parent, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (strcmp (name, boot) != 0 && g_uuid_string_is_valid (name))
      {
        g_autofree char *path = g_build_filename (parent, name, NULL);

        alcove_paths_remove_tree (path);
      }
}

static void
add (const char *host, const char *parent, const char *boot)
{
  g_autofree char *path = dup_path (host, parent, boot);

  if (path != NULL && !g_file_set_contents (path, "", 0, NULL))
    g_debug ("%s is not written", path);
}

void
alcove_passthrough_starts_add (AlcoveDefinition *definition, const char *const *hosts)
{
  g_autofree char *parent = dup_parent ();
  g_autofree char *boot = dup_boot ();
  g_autofree char *folder = boot != NULL ? g_build_filename (parent, boot, NULL) : NULL;
  guint n = 0;
  const AlcovePciConfig *const *pcis =
      definition != NULL ? alcove_definition_get_pcis (definition, &n) : NULL;

  if ((n == 0 && hosts == NULL) || folder == NULL || !alcove_paths_ensure_private (folder, NULL))
    return;
  remove_others (parent, boot);
  for (guint i = 0; i < n; i++)
    add (pcis[i]->host, parent, boot);
  for (; hosts != NULL && *hosts != NULL; hosts++)
    add (*hosts, parent, boot);
}

gboolean
alcove_passthrough_starts_has (const char *host)
{
  g_autofree char *parent = dup_parent ();
  g_autofree char *boot = dup_boot ();
  g_autofree char *path = dup_path (host, parent, boot);

  return path != NULL && g_file_test (path, G_FILE_TEST_EXISTS);
}
