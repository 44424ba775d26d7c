/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "app/locale.h"

#include <glib.h>
#include <libintl.h>
#include <locale.h>

void
alcove_locale_init (void)
{
  const char *folder = g_getenv ("ALCOVE_LOCALE_DIR");

  if (folder == NULL || *folder == '\0')
    folder = ALCOVE_LOCALE_DIR;
  setlocale (LC_ALL, "");
  bindtextdomain (GETTEXT_PACKAGE, folder);
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
}
