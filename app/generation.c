/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/generation.h"

#include <string.h>
#include "app/files.h"
#include "app/snapshot.h"

#define NAME     "generation"
#define TEXT_MAX 256 /* bytes */

void
alcove_generation_get (const char *folder, const char *uuid, guint8 ret_id[16])
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  guint8 digest[32];
  gsize length = sizeof digest;

  g_checksum_update (sum, (const guint8 *)uuid, (gssize)strlen (uuid));
  if (folder != NULL)
    {
      g_autofree char *path = alcove_snapshots_dup_path (folder, NAME);
      gsize n = 0;
      /* Missing as long as nothing was reverted. */
      g_autofree char *text = alcove_files_read (path, TEXT_MAX, &n, NULL);

      if (text != NULL)
        g_checksum_update (sum, (const guint8 *)text, (gssize)n);
    }
  g_checksum_get_digest (sum, digest, &length);
  memcpy (ret_id, digest, 16);
}

gboolean
alcove_generation_renew (const char *folder, GError **error)
{
  g_autofree char *path = alcove_snapshots_dup_path (folder, NAME);
  g_autofree char *text = g_uuid_string_random ();

  return alcove_files_write (path, text, strlen (text), error);
}
