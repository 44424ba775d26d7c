/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Judges tables with ACPICA's compiler. Header-only: used by the boot and the board tests. */
#pragma once
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

/* Disassembles the table (header included) and compiles the result again, without errors or
 * warnings; skips the calling test when there is no iasl. Returns: the disassembly. */
static inline char *
iasl_check (const void *table, gsize length, const char *signature)
{
  g_autofree char *iasl = g_find_program_in_path ("iasl");
  g_autofree char *dir = NULL, *aml = NULL, *dsl = NULL, *out = NULL, *err = NULL;
  g_autoptr (GError) error = NULL;
  char *text = NULL;
  int status;

  if (iasl == NULL)
    {
      g_test_skip ("iasl (package acpica-tools) is not installed");
      return NULL;
    }
  dir = g_dir_make_tmp ("alcove-iasl-XXXXXX", &error);
  g_assert_no_error (error);
  aml = g_strdup_printf ("%s/%s.aml", dir, signature);
  dsl = g_strdup_printf ("%s/%s.dsl", dir, signature);
  g_file_set_contents (aml, table, (gssize)length, &error);
  g_assert_no_error (error);

  {
    char *argv[] = { iasl, (char *)"-d", aml, NULL };

    g_spawn_sync (dir, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error);
    g_assert_no_error (error);
    if (status != 0 || strstr (err, "Error") != NULL || strstr (err, "Warning") != NULL)
      g_error ("iasl -d %s: %s%s", signature, out, err);
  }
  g_file_get_contents (dsl, &text, NULL, &error);
  g_assert_no_error (error);
  /* "External": a name that nothing defines. */
  if (strstr (text, "Invalid") != NULL || strstr (text, "Unknown") != NULL ||
      strstr (text, "External (") != NULL)
    g_error ("the disassembly of %s is faulty:\n%s", signature, text);
  {
    char *argv[] = { iasl, (char *)"-vi", dsl, NULL };
    const char *summary;

    g_clear_pointer (&out, g_free);
    g_clear_pointer (&err, g_free);
    g_spawn_sync (dir, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out, &err, &status, &error);
    g_assert_no_error (error);
    summary = strstr (out, "Compilation ");
    if (status != 0 || (summary != NULL && strstr (summary, "0 Errors, 0 Warnings") == NULL))
      g_error ("iasl %s: %s%s\n%s", signature, out, err, text);
  }
  {
    char *argv[] = { (char *)"rm", (char *)"-r", dir, NULL };

    g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL);
  }
  return text;
}
