/* SPDX-License-Identifier: GPL-3.0-or-later */
/* alcove cd insert, eject. */
#include <string.h>

#include "app/cli/cli-private.h"
#include "app/machine-disks.h"

/* The drive that is meant, or NULL with *ret_status. */
static const AlcoveDiskConfig *
find_drive (AlcoveMachine *machine, const char *name, int *ret_status)
{
  AlcoveDefinition *definition = alcove_machine_get_definition (machine);
  const AlcoveDiskConfig *const *drives;
  guint n;

  *ret_status = ALCOVE_EXIT_FAILED;
  if (definition == NULL)
    {
      cli_say ("%s", alcove_machine_get_error (machine));
      return NULL;
    }
  drives = alcove_definition_get_cdroms (definition, &n);
  if (n == 0)
    {
      cli_say ("%s has no CD-ROM drive: add a [cdrom] to its definition",
               alcove_machine_get_name (machine));
      return NULL;
    }
  if (name == NULL && n == 1)
    return drives[0];
  for (guint i = 0; i < n; i++)
    if (name != NULL && strcmp (drives[i]->base.name, name) == 0)
      return drives[i];
  if (name != NULL)
    cli_say ("%s has no CD-ROM drive \"%s\"; there is \"%s\"", alcove_machine_get_name (machine),
             name, drives[0]->base.name);
  else
    cli_say ("%s has %u CD-ROM drives: say which, \"%s\" for instance",
             alcove_machine_get_name (machine), n, drives[0]->base.name);
  return NULL;
}

/* The next start finds what is in the drive now. */
static gboolean
remember (AlcoveDefinitionEdit *edit, const char *name, const char *path, GError **error)
{
  g_autofree char *group = g_strconcat ("cdrom ", name, NULL);

  return alcove_definition_set_value (alcove_definition_edit_get_definition (edit), group, "file",
                                      path, error) &&
         alcove_definition_edit_save (edit, error);
}

/* path: NULL to take out. */
static int
set_medium (Cli *cli, AlcoveMachine *machine, const char *drive, const char *path, gboolean force)
{
  int status = ALCOVE_EXIT_FAILED;
  const AlcoveDiskConfig *config = find_drive (machine, drive, &status);
  g_autoptr (AlcoveDefinitionEdit) edit = NULL;
  g_autofree char *name = NULL;
  g_autoptr (GAsyncResult) result = NULL;
  GError *error = NULL;

  if (config == NULL)
    return status;
  name = g_strdup (config->base.name);
  if (!alcove_machine_can_change_medium (machine, name, &error) ||
      (edit = cli_begin_edit (machine, "changes its media", &error)) == NULL)
    return cli_fail (cli, error);
  if (alcove_machine_is_active (machine))
    {
      alcove_machine_set_medium_async (machine, name, path, force, NULL, cli_on_ready, &result);
      cli_wait (&result);
      if (!alcove_machine_finish (machine, result, &error))
        return cli_fail (cli, error);
    }
  return remember (edit, name, path, &error) ? ALCOVE_EXIT_DONE : cli_fail (cli, error);
}

int
cli_cd (Cli *cli, int argc, char **argv)
{
  gboolean force = FALSE;
  const GOptionEntry entries[] = { { "force", 'f', 0, G_OPTION_ARG_NONE, &force,
                                     "Also when the guest has locked the tray", NULL },
                                   G_OPTION_ENTRY_NULL };
  g_auto (GStrv) arguments = NULL;
  g_autoptr (AlcoveMachine) machine = NULL;
  g_autofree char *path = NULL;
  gboolean insert;
  guint n;
  int status;

  if (!cli_parse (cli, entries, argc, argv, 2, 4, &arguments, &status))
    return status;
  n = g_strv_length (arguments);
  insert = strcmp (arguments[0], "insert") == 0;
  if (!insert && strcmp (arguments[0], "eject") != 0)
    return cli_usage (cli, "\"%s\" is neither insert nor eject", arguments[0]);
  if (insert && n < 3)
    return cli_usage (cli, "insert needs a FILE");
  if (!insert && n > 3)
    return cli_usage (cli, "eject takes no FILE");
  machine = cli_find (cli, arguments[1], &status);
  if (machine == NULL)
    return status;
  if (insert)
    {
      path = g_canonicalize_filename (arguments[n - 1], NULL);
      if (!g_file_test (path, G_FILE_TEST_EXISTS) || g_file_test (path, G_FILE_TEST_IS_DIR))
        {
          cli_say ("There is no file %s", path);
          return ALCOVE_EXIT_FAILED;
        }
    }
  return set_medium (cli, machine, n == (insert ? 4u : 3u) ? arguments[2] : NULL, path, force);
}
